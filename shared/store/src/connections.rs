//! Connections: the open sockets of an account. Keys and item mapping. No policy.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::sign_out::EndedSession;
use domain::{AccountId, ConnectionId, Timestamp};
use jiff::SignedDuration;

use crate::attributes::{
    ACCOUNT_ID, CONNECTED_AT, CONNECTION_ID, DELETE_AT, Item, Reader, moment, text, ttl,
};
use crate::check::{SessionKey, all};
use crate::error::StoreError;
use crate::receipts::{ended_session, facts};
use crate::{BY_CONNECTION, Store, retry};

const TABLE: &str = "Connections";

/// The gateway ends a socket after two hours; a row that nobody has deleted by
/// then may go.
const KEPT: SignedDuration = SignedDuration::from_hours(3);

/// An open socket, with the session that opened it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Whose it is.
    pub account: AccountId,
    /// The gateway's name of it.
    pub id: ConnectionId,
    /// The session that opened it, with what a receipt will say of it.
    pub session: EndedSession,
    /// When it was opened.
    pub connected_at: Timestamp,
}

impl Connection {
    /// What names its session.
    #[must_use]
    pub fn session_key(&self) -> SessionKey {
        SessionKey {
            device: self.session.device,
            session: self.session.session,
            epoch: self.session.epoch,
        }
    }
}

impl Store {
    /// Writes down that a socket is open.
    ///
    /// `PutItem` of Connections (`account_id`, `connection_id`), unconditional:
    /// the gateway never gives one id twice. A replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when it is not known to have been written.
    pub async fn connect(&self, connection: &Connection) -> Result<(), StoreError> {
        let mut item = key(connection.account, &connection.id);
        let mut set = |attribute: &str, value: AttributeValue| {
            item.insert(attribute.to_owned(), value);
        };
        for (attribute, value) in facts(&connection.session) {
            set(attribute, value);
        }
        set(CONNECTED_AT, moment(connection.connected_at));
        let delete_at = connection.connected_at.checked_add(KEPT);
        set(DELETE_AT, ttl(delete_at.unwrap_or(Timestamp::MAX)));
        self.client
            .put_item()
            .table_name(&self.tables.connections)
            .set_item(Some(item))
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("PutItem", error))?;
        Ok(())
    }

    /// Every open socket of an account.
    ///
    /// `Query` of Connections (`account_id`), consistent, followed to its end.
    ///
    /// # Errors
    /// [`StoreError`] when any could not be read.
    pub async fn connections(&self, account: AccountId) -> Result<Vec<Connection>, StoreError> {
        let query = self
            .client
            .query()
            .table_name(&self.tables.connections)
            .key_condition_expression("account_id = :account")
            .expression_attribute_values(":account", text(account));
        all(query).await?.iter().map(from_item).collect()
    }

    /// One open socket, by the id that the gateway names it with.
    ///
    /// `Query` of the index `by_connection` for the account alone, a few times
    /// when it is not there yet (an index of this kind lags), then `GetItem` of
    /// Connections (`account_id`, `connection_id`), consistent.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be read.
    pub async fn connection(&self, id: &ConnectionId) -> Result<Option<Connection>, StoreError> {
        let mut attempt = 0;
        loop {
            let answer = self
                .client
                .query()
                .table_name(&self.tables.connections)
                .index_name(BY_CONNECTION)
                .key_condition_expression("connection_id = :connection")
                .expression_attribute_values(":connection", text(id))
                .limit(1)
                .send()
                .await
                .map_err(|error| StoreError::from_sdk("Query", error))?;
            if let Some(item) = answer.items.unwrap_or_default().first() {
                let account = Reader::new(TABLE, item).parsed(ACCOUNT_ID, |id| id.parse().ok())?;
                return self.connection_of(account, id).await;
            }
            attempt += 1;
            if attempt == retry::ATTEMPTS {
                return Ok(None);
            }
            retry::pause(attempt).await;
        }
    }

    /// One open socket of an account.
    ///
    /// `GetItem` of Connections (`account_id`, `connection_id`), consistent.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be read.
    pub async fn connection_of(
        &self,
        account: AccountId,
        id: &ConnectionId,
    ) -> Result<Option<Connection>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.tables.connections)
            .set_key(Some(key(account, id)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("GetItem", error))?;
        answer.item.as_ref().map(from_item).transpose()
    }

    /// Forgets a socket.
    ///
    /// `DeleteItem` of Connections (`account_id`, `connection_id`); a replay
    /// changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when it is not known to have been deleted.
    pub async fn disconnect(
        &self,
        account: AccountId,
        id: &ConnectionId,
    ) -> Result<(), StoreError> {
        self.client
            .delete_item()
            .table_name(&self.tables.connections)
            .set_key(Some(key(account, id)))
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("DeleteItem", error))?;
        Ok(())
    }
}

fn key(account: AccountId, id: &ConnectionId) -> Item {
    Item::from([
        (ACCOUNT_ID.to_owned(), text(account)),
        (CONNECTION_ID.to_owned(), text(id)),
    ])
}

fn from_item(item: &Item) -> Result<Connection, StoreError> {
    let row = Reader::new(TABLE, item);
    Ok(Connection {
        account: row.parsed(ACCOUNT_ID, |id| id.parse().ok())?,
        id: row.parsed(CONNECTION_ID, |id| id.parse().ok())?,
        session: ended_session(&row)?,
        connected_at: row.moment(CONNECTED_AT)?,
    })
}
