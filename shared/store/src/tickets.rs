//! Socket tickets: each opens one socket, once. Keys and item mapping. No policy:
//! whether one has run out is decided in the code that redeems it.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use domain::{AccountId, DeviceId, SessionId, TicketHash, Timestamp};

use crate::Store;
use crate::attributes::{
    ACCOUNT_ID, DELETE_AT, DEVICE_ID, EXPIRES_AT, Item, Reader, SESSION_ID, TICKET_HASH, bytes,
    moment, text, ttl,
};
use crate::error::StoreError;

const TABLE: &str = "SocketTickets";

/// What a ticket opens a socket for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The account.
    pub account: AccountId,
    /// The device that asked for it.
    pub device: DeviceId,
    /// The session that asked for it.
    pub session: SessionId,
    /// From when on it opens nothing.
    pub expires_at: Timestamp,
}

impl Store {
    /// Writes a ticket down.
    ///
    /// `PutItem` of `SocketTickets` (`ticket_hash`), unconditional: the hash is
    /// that of 32 random bytes. A replay changes nothing: nobody has the ticket
    /// before it is written.
    ///
    /// # Errors
    /// [`StoreError`] when it is not known to have been written.
    pub async fn put_ticket(&self, hash: &TicketHash, ticket: &Ticket) -> Result<(), StoreError> {
        let mut item = key(hash);
        let mut set = |attribute: &str, value: AttributeValue| {
            item.insert(attribute.to_owned(), value);
        };
        set(ACCOUNT_ID, text(ticket.account));
        set(DEVICE_ID, text(ticket.device));
        set(SESSION_ID, text(ticket.session));
        set(EXPIRES_AT, moment(ticket.expires_at));
        set(DELETE_AT, ttl(ticket.expires_at));
        self.client
            .put_item()
            .table_name(&self.tables.socket_tickets)
            .set_item(Some(item))
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("PutItem", error))?;
        Ok(())
    }

    /// Takes a ticket out, so that nobody else can.
    ///
    /// `DeleteItem` of `SocketTickets` (`ticket_hash`), which gives the old row to
    /// one caller alone. When the answer is lost, a replay gives nothing: the
    /// socket stays shut, and the device asks for another ticket.
    ///
    /// # Errors
    /// [`StoreError`] when it is not known to have been taken out.
    pub async fn redeem_ticket(&self, hash: &TicketHash) -> Result<Option<Ticket>, StoreError> {
        let answer = self
            .client
            .delete_item()
            .table_name(&self.tables.socket_tickets)
            .set_key(Some(key(hash)))
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("DeleteItem", error))?;
        answer.attributes.as_ref().map(from_item).transpose()
    }
}

fn key(hash: &TicketHash) -> Item {
    Item::from([(TICKET_HASH.to_owned(), bytes(hash.as_bytes()))])
}

fn from_item(item: &Item) -> Result<Ticket, StoreError> {
    let row = Reader::new(TABLE, item);
    Ok(Ticket {
        account: row.parsed(ACCOUNT_ID, |id| id.parse().ok())?,
        device: row.parsed(DEVICE_ID, |id| id.parse().ok())?,
        session: row.parsed(SESSION_ID, |id| id.parse().ok())?,
        expires_at: row.moment(EXPIRES_AT)?,
    })
}
