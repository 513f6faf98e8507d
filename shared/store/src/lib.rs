//! The tables: keys, conditions, consistency and the mapping of items.
//!
//! Owns every name of an attribute, and every write: each change is one atomic
//! call whose conditions make an end monotone under any interleaving, crash and
//! replay. Refuses policy: what is valid, expired or worth a write is decided in
//! `domain`. A condition that fails is an outcome with a name, not an error.

mod accounts;
mod attributes;
mod check;
mod connections;
mod devices;
mod error;
mod receipts;
mod retry;
mod sign_outs;
mod stream;
mod tickets;

pub use accounts::RegisterOutcome;
pub use check::{ResolvedStatus, Rows, SessionKey};
pub use connections::Connection;
pub use devices::DevicePage;
pub use error::{Cause, StoreError, chain};
pub use receipts::AcknowledgeOutcome;
pub use stream::Change;
pub use tickets::Ticket;

use aws_sdk_dynamodb::Client;

/// The names of the tables. A function that has no right to one leaves it empty.
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
    /// Key `ticket_hash`.
    pub socket_tickets: String,
}

/// The local index of Receipts that finds sign-outs by the epoch they ended.
pub const BY_ENDED_EPOCH: &str = "by_ended_epoch";

/// The index of Connections that finds the account of a connection.
pub const BY_CONNECTION: &str = "by_connection";

/// The outcome of a conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It was written.
    Done,
    /// The rows are no longer as the caller read them; nothing was written. Read
    /// them again before deciding anything.
    Stale,
}

/// The tables, through one client.
#[derive(Debug, Clone)]
pub struct Store {
    client: Client,
    tables: Tables,
}

impl Store {
    /// Takes the client and the names; does no I/O.
    #[must_use]
    pub fn new(client: Client, tables: Tables) -> Self {
        Self { client, tables }
    }
}
