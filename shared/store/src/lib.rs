//! The DynamoDB tables: keys, conditions, consistency and the mapping of items.
//!
//! Owns every attribute name and every write. Each write is one atomic call; its
//! conditions make sure that a session that has ended stays ended, whatever the
//! order of writes, crashes and replays. No policy: `domain` decides what is valid,
//! expired or worth a write. A failed condition is a named outcome, not an error.
//!
//! Three levels, each of which uses only those before it: values, reads, writes and
//! retries; the rows of each table; the acts, one file each.

mod attributes;
mod error;
mod reads;
mod retry;
mod writes;

mod rows;

mod accounts;
mod acknowledge;
mod addresses;
mod attempts;
mod challenges;
mod check;
mod connections;
mod contact;
mod devices;
mod factors;
mod notices;
mod receipts;
mod rename;
mod sign_in;
mod sign_outs;
mod stream;
mod sweep;
mod tickets;
mod verification;

pub use accounts::{AccountPage, RegisterOutcome};
pub use acknowledge::AcknowledgeOutcome;
pub use addresses::AddressOwner;
pub use attempts::{Charge, Charged};
pub use check::{ResolvedStatus, Rows, SessionKey};
pub use devices::{DeviceIds, DevicePage};
pub use error::StoreError;
pub use errors::{Cause, chain};
pub use factors::Factors;
pub use notices::{NoticePage, Recorded};
pub use rows::connection::{Connection, OpenSocket};
pub use rows::device::CountedAct;
pub use rows::ticket::Ticket;
pub use stream::Change;
pub use verification::UsedUp;
pub use writes::WriteOutcome;

use aws_sdk_dynamodb::Client;

/// The names of the tables. A function leaves those empty that it may not use.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// Key `account_id`.
    pub accounts: String,
    /// Key `email`, in its normal form.
    pub identities: String,
    /// Key `account_id`, `device_id`.
    pub devices: String,
    /// Key `account_id`, `sign_out_id`.
    pub receipts: String,
    /// Key `account_id`, `connection_id`.
    pub connections: String,
    /// Key `session_id`, `ticket_hash`.
    pub tickets: String,
    /// Key `counter`.
    pub attempts: String,
    /// Key `account_id`, `notice_id`.
    pub notices: String,
    /// Key `challenge_id`.
    pub challenges: String,
    /// Key `account_id`, `factor_id`.
    pub factors: String,
}

/// The local index of Devices that finds the rows that no write has ended, by the last
/// epoch that their sessions can be valid in.
pub const BY_SIGNED_IN: &str = "by_signed_in";

/// The index of Connections that finds the account of a connection.
pub const BY_CONNECTION: &str = "by_connection";

/// The local index of Connections that finds the newest sockets of a group of devices.
pub const BY_OPENED: &str = "by_opened";

/// The tables, accessed through one client.
#[derive(Debug, Clone)]
pub struct Store {
    client: Client,
    tables: Tables,
}

impl Store {
    /// Creates a store. Does no I/O.
    #[must_use]
    pub fn new(client: Client, tables: Tables) -> Self {
        Self { client, tables }
    }
}
