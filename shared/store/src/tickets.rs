//! Socket tickets: each opens one socket, once. Whether a ticket has expired is
//! decided by the code that redeems it.

use aws_sdk_dynamodb::types::ReturnValue;
use domain::{SessionId, SocketTicket, TicketHash, Timestamp};

use crate::attributes::string;
use crate::error::StoreError;
use crate::rows::ticket::{self, Ticket};
use crate::{Store, reads};

/// The most tickets that one call of [`Store::keep_newest_tickets`] deletes.
const MAX_DELETES: usize = 8;

impl Store {
    /// Stores a ticket.
    ///
    /// `PutItem` of Tickets (`session_id`, `ticket_hash`), unconditional: the hash is
    /// that of 32 random bytes. A replay changes nothing: no caller has the ticket
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

    /// Deletes the oldest tickets of a session if it has more than `most`, at most eight.
    ///
    /// `Query` of Tickets (`session_id`), consistent; then `DeleteItem` for each. A caller
    /// that has just written a ticket sees it and every earlier one, so of concurrent
    /// callers the last one sees all. A replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when a call failed or its outcome is unknown.
    pub async fn keep_newest_tickets(
        &self,
        session: SessionId,
        most: usize,
    ) -> Result<(), StoreError> {
        let query = self
            .client
            .query()
            .table_name(&self.tables.tickets)
            .key_condition_expression("session_id = :session")
            .expression_attribute_values(":session", string(session));
        let items = reads::query_all(query).await?;
        let tickets = items.iter().map(ticket::hash_and_expiry);
        let mut tickets: Vec<(TicketHash, Timestamp)> = tickets.collect::<Result<_, _>>()?;
        tickets.sort_by_key(|(hash, expires_at)| (*expires_at, *hash.as_bytes()));
        let surplus = tickets.len().saturating_sub(most);
        for (hash, _) in tickets.iter().take(surplus.min(MAX_DELETES)) {
            self.client
                .delete_item()
                .table_name(&self.tables.tickets)
                .set_key(Some(ticket::key(session, hash)))
                .send()
                .await
                .map_err(|error| StoreError::from_sdk("DeleteItem", error))?;
        }
        Ok(())
    }

    /// Deletes a ticket and returns it, so that it is used only once.
    ///
    /// `DeleteItem` of Tickets (`session_id`, `ticket_hash`), which returns the old row
    /// to one caller only. A replay returns `None`: if the first answer is lost, the
    /// handshake fails and the device requests another ticket.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn redeem_ticket(
        &self,
        presented: &SocketTicket,
    ) -> Result<Option<Ticket>, StoreError> {
        let output = self
            .client
            .delete_item()
            .table_name(&self.tables.tickets)
            .set_key(Some(ticket::key(presented.session(), &presented.hash())))
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
