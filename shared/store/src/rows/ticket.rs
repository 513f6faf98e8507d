//! Rows of `Tickets`.

use domain::{AccountId, DeviceId, SessionId, TicketHash, Timestamp};

use crate::attributes::{
    ACCOUNT_ID, DELETE_AT, DEVICE_ID, EXPIRES_AT, Item, ORIGIN, Reader, SESSION_ID, TICKET_HASH,
    bytes, string, timestamp, ttl,
};
use crate::error::StoreError;

const TABLE: &str = "Tickets";

/// The right of a session to open one socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The account of the session.
    pub account: AccountId,
    /// The device that requested the ticket.
    pub device: DeviceId,
    /// The session that requested the ticket.
    pub session: SessionId,
    /// The web origin that requested the ticket, if any.
    pub origin: Option<String>,
    /// The first moment at which the ticket is no longer accepted.
    pub expires_at: Timestamp,
}

pub(crate) fn key(session: SessionId, hash: &TicketHash) -> Item {
    Item::from([
        (SESSION_ID.to_owned(), string(session)),
        (TICKET_HASH.to_owned(), bytes(hash.as_bytes())),
    ])
}

pub(crate) fn to_item(hash: &TicketHash, ticket: &Ticket) -> Item {
    let mut item = key(ticket.session, hash);
    let mut set = |attribute: &str, value| item.insert(attribute.to_owned(), value);
    set(ACCOUNT_ID, string(ticket.account));
    set(DEVICE_ID, string(ticket.device));
    if let Some(origin) = &ticket.origin {
        set(ORIGIN, string(origin));
    }
    set(EXPIRES_AT, timestamp(ticket.expires_at));
    set(DELETE_AT, ttl(ticket.expires_at));
    item
}

pub(crate) fn from_item(item: &Item) -> Result<Ticket, StoreError> {
    let row = Reader::new(TABLE, item);
    Ok(Ticket {
        account: row.id(ACCOUNT_ID)?,
        device: row.id(DEVICE_ID)?,
        session: row.id(SESSION_ID)?,
        origin: row.string_opt(ORIGIN)?,
        expires_at: row.timestamp(EXPIRES_AT)?,
    })
}

/// Reads the hash of a ticket, and the time from which it is not accepted.
pub(crate) fn hash_and_expiry(item: &Item) -> Result<(TicketHash, Timestamp), StoreError> {
    let row = Reader::new(TABLE, item);
    let hash = TicketHash::from_bytes(row.bytes(TICKET_HASH)?);
    Ok((hash, row.timestamp(EXPIRES_AT)?))
}
