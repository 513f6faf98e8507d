//! Rows of Connections.

use domain::sign_out::EndedSession;
use domain::{AccountId, ConnectionId, DeviceId, Timestamp};
use jiff::SignedDuration;

use crate::attributes::{
    ACCOUNT_ID, CONNECTED_AT, CONNECTION_ID, DELETE_AT, DEVICE_ID, Item, OPENED_KEY, Reader,
    string, timestamp, ttl,
};
use crate::error::StoreError;
use crate::rows::receipt::{session_from, session_to_attributes};

const TABLE: &str = "Connections";

/// API Gateway closes a socket after two hours at the latest, so a row that is still
/// there after three is a leftover that the TTL may delete.
const KEPT: SignedDuration = SignedDuration::from_hours(3);

/// An open socket, with the session that opened it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The account of the session.
    pub account: AccountId,
    /// The gateway's id of the socket.
    pub id: ConnectionId,
    /// The session that opened the socket, as it was at the handshake. Receipts take it from the
    /// device's row.
    pub session: EndedSession,
    /// The time at which the socket was opened.
    pub connected_at: Timestamp,
}

/// An open socket as the index of its group has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSocket {
    /// The gateway's id of the socket.
    pub id: ConnectionId,
    /// The device that opened it.
    pub device: DeviceId,
    /// The time at which it was opened.
    pub connected_at: Timestamp,
}

pub(crate) fn key(account: AccountId, id: &ConnectionId) -> Item {
    Item::from([
        (ACCOUNT_ID.to_owned(), string(account)),
        (CONNECTION_ID.to_owned(), string(id)),
    ])
}

pub(crate) fn to_item(connection: &Connection) -> Item {
    let mut item = key(connection.account, &connection.id);
    let mut set = |attribute: &str, value| item.insert(attribute.to_owned(), value);
    for (attribute, value) in session_to_attributes(&connection.session) {
        set(attribute, value);
    }
    set(CONNECTED_AT, timestamp(connection.connected_at));
    let opened = format!(
        "{}{:015}",
        group_prefix(connection.session.device),
        connection.connected_at.as_millisecond()
    );
    set(OPENED_KEY, string(opened));
    let delete_at = connection.connected_at.checked_add(KEPT);
    set(DELETE_AT, ttl(delete_at.unwrap_or(Timestamp::MAX)));
    item
}

pub(crate) fn from_item(item: &Item) -> Result<Connection, StoreError> {
    let row = Reader::new(TABLE, item);
    Ok(Connection {
        account: row.id(ACCOUNT_ID)?,
        id: row.id(CONNECTION_ID)?,
        session: session_from(&row)?,
        connected_at: row.timestamp(CONNECTED_AT)?,
    })
}

/// Returns the start of the index keys of a device's group: the last byte of its id. A
/// device that makes its own key can choose its group, but no other device's.
pub(crate) fn group_prefix(device: DeviceId) -> String {
    let [.., group] = device.as_bytes();
    format!("{group:02x}#")
}

/// Reads an item of the index of open sockets.
pub(crate) fn open_socket_from_item(item: &Item) -> Result<OpenSocket, StoreError> {
    let row = Reader::new(TABLE, item);
    Ok(OpenSocket {
        id: row.id(CONNECTION_ID)?,
        device: row.id(DEVICE_ID)?,
        connected_at: row.timestamp(CONNECTED_AT)?,
    })
}

/// Reads the account of an item of the index, which has the keys alone.
pub(crate) fn account_of_item(item: &Item) -> Result<AccountId, StoreError> {
    Reader::new(TABLE, item).id(ACCOUNT_ID)
}
