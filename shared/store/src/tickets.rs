//! Socket tickets: each opens one socket, once. Whether a ticket has expired is
//! decided by the code that redeems it.

use aws_sdk_dynamodb::types::ReturnValue;
use domain::TicketHash;

use crate::Store;
use crate::error::StoreError;
use crate::rows::ticket::{self, Ticket};

impl Store {
    /// Stores a ticket.
    ///
    /// `PutItem` of `Tickets` (`ticket_hash`), unconditional: the hash is that
    /// of 32 random bytes. A replay changes nothing: no caller has the ticket
    /// before this call returns.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn put_ticket(&self, hash: &TicketHash, ticket: &Ticket) -> Result<(), StoreError> {
        self.client
            .put_item()
            .table_name(&self.tables.tickets)
            .set_item(Some(ticket::to_item(hash, ticket)))
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("PutItem", error))?;
        Ok(())
    }

    /// Deletes a ticket and returns it, so that it is used only once.
    ///
    /// `DeleteItem` of `Tickets` (`ticket_hash`), which returns the old row to
    /// one caller only. A replay returns `None`: if the first answer is lost, the
    /// handshake fails and the device requests another ticket.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn redeem_ticket(&self, hash: &TicketHash) -> Result<Option<Ticket>, StoreError> {
        let output = self
            .client
            .delete_item()
            .table_name(&self.tables.tickets)
            .set_key(Some(ticket::key(hash)))
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("DeleteItem", error))?;
        output
            .attributes
            .as_ref()
            .map(ticket::from_item)
            .transpose()
    }
}
