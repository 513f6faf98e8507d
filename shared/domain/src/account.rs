//! The account: its credentials, and the epoch that its sessions must carry.

use jiff::Timestamp;

use crate::ids::{AccountId, SessionId};
use crate::password::StoredHash;

/// The account's counter of sign-outs of all devices. A session of an older epoch
/// has ended, unless it is the kept one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of a new account.
    pub const FIRST: Self = Self(1);

    /// Returns the epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The account's row, which every check reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The account's id.
    pub id: AccountId,
    /// The e-mail address as the owner wrote it, to send mail to. The account is
    /// found by its normal form.
    pub email: String,
    /// The hash of the account's password.
    pub password_hash: StoredHash,
    /// The current epoch, which new sessions carry.
    pub epoch: Epoch,
    /// The one session of an older epoch that is still valid.
    pub kept_session: Option<SessionId>,
    /// The time when the account was disabled: no session is valid, and no sign-in
    /// succeeds.
    pub disabled_at: Option<Timestamp>,
    /// The time of registration.
    pub created_at: Timestamp,
}
