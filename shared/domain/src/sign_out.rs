//! Sign-outs: what they end, why, and which one ended a given session.

use jiff::Timestamp;

use crate::account::Epoch;
use crate::device::{Device, DeviceType};
use crate::ids::{AccountId, DeviceId, SessionId, SignOutId};
use crate::token::TokenHash;

/// Which sessions a sign-out ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The caller's own.
    Local,
    /// One device's.
    Device,
    /// Every one but the caller's.
    Others,
    /// Every one, the caller's included.
    Global,
}

impl Scope {
    /// The word in JSON and in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Device => "device",
            Self::Others => "others",
            Self::Global => "global",
        }
    }

    /// Reads the word; `None` when there is no such scope.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "local" => Self::Local,
            "device" => Self::Device,
            "others" => Self::Others,
            "global" => Self::Global,
            _ => return None,
        })
    }
}

/// Why sessions ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The owner signed out.
    SignedOut,
    /// The password was changed.
    PasswordChanged,
    /// The account was disabled.
    AccountDisabled,
}

impl Reason {
    /// The word in JSON and in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::PasswordChanged => "password_changed",
            Self::AccountDisabled => "account_disabled",
        }
    }

    /// Reads the word; `None` when there is no such reason.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "signed_out" => Self::SignedOut,
            "password_changed" => Self::PasswordChanged,
            "account_disabled" => Self::AccountDisabled,
            _ => return None,
        })
    }
}

/// The device that asked for a sign-out, with its name at that time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByDevice {
    /// Which one.
    pub id: DeviceId,
    /// What its owner would call it.
    pub name: String,
}

/// What a sign-out ends: one session, or every one up to an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignOutTarget {
    /// The session of one device.
    One(EndedSession),
    /// Every session born in this epoch or before.
    Epoch {
        /// The epoch that ended.
        ended: Epoch,
        /// The one that lives on.
        kept: Option<SessionId>,
    },
}

/// A session that was ended, with what its receipt says of the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedSession {
    /// Which device.
    pub device: DeviceId,
    /// Its session.
    pub session: SessionId,
    /// The epoch that the session was born in.
    pub epoch: Epoch,
    /// The hash of the token that died with it.
    pub token_hash: TokenHash,
    /// The device's name when its session ended.
    pub name: String,
    /// What kind of thing it is.
    pub device_type: DeviceType,
}

impl From<&Device> for EndedSession {
    fn from(device: &Device) -> Self {
        Self {
            device: device.id,
            session: device.session,
            epoch: device.epoch,
            token_hash: device.token_hash,
            name: device.facts.name.clone(),
            device_type: device.facts.device_type,
        }
    }
}

/// The record of a sign-out: the header of its receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignOut {
    /// Whose sessions.
    pub account: AccountId,
    /// Which sign-out.
    pub id: SignOutId,
    /// Which sessions it is about.
    pub scope: Scope,
    /// Why.
    pub reason: Reason,
    /// When.
    pub at: Timestamp,
    /// By which device; none when an operator did it.
    pub by: Option<ByDevice>,
    /// What it ended.
    pub target: SignOutTarget,
}

impl SignOut {
    /// What a device that this ended is told.
    #[must_use]
    pub fn ended(&self) -> EndInfo {
        EndInfo {
            at: self.at,
            by: self.by.clone(),
            reason: self.reason,
            scope: self.scope,
            sign_out: self.id,
        }
    }

    /// Whether this ended the session, had it not been over before.
    #[must_use]
    pub fn ends(&self, session: SessionId, born: Epoch) -> bool {
        match &self.target {
            SignOutTarget::One(one) => one.session == session,
            SignOutTarget::Epoch { ended, kept } => born <= *ended && *kept != Some(session),
        }
    }
}

/// How a session came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndInfo {
    /// When.
    pub at: Timestamp,
    /// By which device; none when an operator did it.
    pub by: Option<ByDevice>,
    /// Why.
    pub reason: Reason,
    /// Which sessions the sign-out was about.
    pub scope: Scope,
    /// By which sign-out.
    pub sign_out: SignOutId,
}

/// The first of these sign-outs, which come in the order of their epochs, that
/// ended the session: later ones found it dead.
#[must_use]
pub fn first_end(sign_outs: &[SignOut], session: SessionId, born: Epoch) -> Option<&SignOut> {
    sign_outs
        .iter()
        .find(|sign_out| sign_out.ends(session, born))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(id: u8, ended: u64, kept: Option<SessionId>) -> SignOut {
        SignOut {
            account: AccountId::from_random([1; 16]),
            id: SignOutId::new(Timestamp::UNIX_EPOCH, [id; 10]),
            scope: if kept.is_some() {
                Scope::Others
            } else {
                Scope::Global
            },
            reason: Reason::SignedOut,
            at: Timestamp::UNIX_EPOCH,
            by: None,
            target: SignOutTarget::Epoch {
                ended: Epoch(ended),
                kept,
            },
        }
    }

    #[test]
    fn the_first_sign_out_that_did_not_keep_a_session_ended_it() {
        let kept = SessionId::from_random([2; 16]);
        let other = SessionId::from_random([3; 16]);
        let acts = [
            all(1, 1, Some(kept)),
            all(2, 2, Some(kept)),
            all(3, 3, None),
        ];
        assert_eq!(first_end(&acts, kept, Epoch(1)), Some(&acts[2]));
        assert_eq!(first_end(&acts, other, Epoch(1)), Some(&acts[0]));
        assert_eq!(first_end(&acts, other, Epoch(3)), Some(&acts[2]));
        assert_eq!(first_end(&acts, other, Epoch(4)), None);
    }
}
