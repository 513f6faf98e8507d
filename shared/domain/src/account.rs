//! The account: credentials, and the epoch that its sessions are judged by.

use jiff::Timestamp;

use crate::ids::{AccountId, SessionId};
use crate::password::StoredHash;

/// The account's counter: a session that carries an older one is over, unless
/// it is the kept one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of a new account.
    pub const FIRST: Self = Self(1);

    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The row that every check reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Whose row this is.
    pub id: AccountId,
    /// The address as its owner wrote it, for mails to them.
    pub email: String,
    /// The hash of the password.
    pub password_hash: StoredHash,
    /// The epoch that new sessions are born in.
    pub epoch: Epoch,
    /// The one session of an older epoch that lives on.
    pub kept_session: Option<SessionId>,
    /// Since when nobody can sign in.
    pub disabled_at: Option<Timestamp>,
    /// When the account was made.
    pub created_at: Timestamp,
}
