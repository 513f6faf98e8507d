//! The open sockets of an account.

use domain::{AccountId, ConnectionId, DeviceId};

use crate::attributes::string;
use crate::check::SessionKey;
use crate::error::StoreError;
use crate::retry::{Attempt, retry};
use crate::rows::connection::{self, Connection, OpenSocket};
use crate::{BY_CONNECTION, BY_OPENED, Store, reads};

impl Connection {
    /// Returns the key of the session that opened the socket.
    #[must_use]
    pub fn session_key(&self) -> SessionKey {
        SessionKey {
            device: self.session.device,
            session: self.session.session,
        }
    }
}

impl Store {
    /// Stores an open socket.
    ///
    /// `PutItem` of Connections (`account_id`, `connection_id`), unconditional: API
    /// Gateway never assigns an id twice. A replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn connect(&self, connection: &Connection) -> Result<(), StoreError> {
        self.client
            .put_item()
            .table_name(&self.tables.connections)
            .set_item(Some(connection::to_item(connection)))
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("PutItem", error))?;
        Ok(())
    }

    /// Returns the open sockets of an account.
    ///
    /// `Query` of Connections (`account_id`), consistent, read to its end.
    ///
    /// # Errors
    /// [`StoreError`] when the read failed.
    pub async fn connections(&self, account: AccountId) -> Result<Vec<Connection>, StoreError> {
        let query = self
            .client
            .query()
            .table_name(&self.tables.connections)
            .key_condition_expression("account_id = :account")
            .expression_attribute_values(":account", string(account));
        let items = reads::query_all(query).await?;
        items.iter().map(connection::from_item).collect()
    }

    /// Returns up to `limit` open sockets of the group of a device, newest first.
    ///
    /// `Query` of the local index of Connections (`account_id`, `opened_key`), consistent:
    /// its cost does not depend on the sockets of other groups.
    ///
    /// # Errors
    /// [`StoreError`] when the read failed.
    pub async fn newest_sockets(
        &self,
        account: AccountId,
        device: DeviceId,
        limit: i32,
    ) -> Result<Vec<OpenSocket>, StoreError> {
        let output = self
            .client
            .query()
            .table_name(&self.tables.connections)
            .index_name(BY_OPENED)
            .key_condition_expression("account_id = :account AND begins_with(opened_key, :group)")
            .expression_attribute_values(":account", string(account))
            .expression_attribute_values(":group", string(connection::group_prefix(device)))
            .consistent_read(true)
            .scan_index_forward(false)
            .limit(limit)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("Query", error))?;
        let items = output.items.unwrap_or_default();
        items
            .iter()
            .map(connection::open_socket_from_item)
            .collect()
    }

    /// Returns an open socket by its id alone.
    ///
    /// `Query` of the index `by_connection` for the account, at most five times while
    /// it has no item; then as [`Store::connection_of`].
    ///
    /// # Errors
    /// [`StoreError`] when a read failed.
    pub async fn connection(&self, id: &ConnectionId) -> Result<Option<Connection>, StoreError> {
        let found = retry((), |()| async {
            match self.account_of_connection(id).await {
                // A global index lags behind its table, and a device may send a frame
                // right after its socket is opened.
                Ok(None) => Attempt::Retry((), Ok(None)),
                outcome => Attempt::Final(outcome),
            }
        });
        match found.await? {
            Some(account) => self.connection_of(account, id).await,
            None => Ok(None),
        }
    }

    async fn account_of_connection(
        &self,
        id: &ConnectionId,
    ) -> Result<Option<AccountId>, StoreError> {
        let output = self
            .client
            .query()
            .table_name(&self.tables.connections)
            .index_name(BY_CONNECTION)
            .key_condition_expression("connection_id = :connection")
            .expression_attribute_values(":connection", string(id))
            .limit(1)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("Query", error))?;
        let items = output.items.unwrap_or_default();
        items.first().map(connection::account_of_item).transpose()
    }

    /// Returns an open socket of an account.
    ///
    /// `GetItem` of Connections (`account_id`, `connection_id`), consistent.
    ///
    /// # Errors
    /// [`StoreError`] when the read failed.
    pub async fn connection_of(
        &self,
        account: AccountId,
        id: &ConnectionId,
    ) -> Result<Option<Connection>, StoreError> {
        let key = connection::key(account, id);
        let item = reads::get(&self.client, &self.tables.connections, key).await?;
        item.as_ref().map(connection::from_item).transpose()
    }

    /// Deletes a socket that is closed.
    ///
    /// `DeleteItem` of Connections (`account_id`, `connection_id`), unconditional. A
    /// replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn disconnect(
        &self,
        account: AccountId,
        id: &ConnectionId,
    ) -> Result<(), StoreError> {
        self.client
            .delete_item()
            .table_name(&self.tables.connections)
            .set_key(Some(connection::key(account, id)))
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("DeleteItem", error))?;
        Ok(())
    }
}
