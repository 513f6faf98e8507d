//! The one rule that decides whether a session is valid.
//!
//! A token is accepted only if the account exists and is not disabled; the
//! device row exists, is signed in, and holds the hash of the presented secret;
//! the device's epoch is the account's, or its session is the kept one; and now
//! is before the absolute limit and within the idle limit. An end is monotone:
//! a session that once was not valid never is again.

use jiff::Timestamp;

use crate::account::Account;
use crate::device::{Device, DeviceState};
use crate::limits::Limits;
use crate::sign_out::Ended;
use crate::token::Token;

/// A caller who was let in: the rows that the check read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The account, at the epoch that every act of this caller is bound to.
    pub account: Account,
    /// The device, with the session that every act of this caller is bound to.
    pub device: Device,
}

/// How a session stands by its rows, for one who need not hold its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is valid.
    SignedIn,
    /// Its own row says that it was ended.
    SignedOut(Ended),
    /// The account's epoch has moved on without it: the record of the sign-out
    /// says when and why.
    EndedByEpoch,
    /// It ran out.
    Expired,
}

/// Why a caller was not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No such account or device, or not its secret. One answer for all.
    Unknown,
    /// The session was ended; the caller holds its secret and may know how.
    SignedOut(Ended),
    /// The same, by the epoch: the record of the sign-out says how.
    EndedByEpoch(Box<Device>),
    /// It ran out; the caller holds its secret.
    Expired,
}

/// Judges a session by its two rows, whoever asks.
#[must_use]
pub fn standing(account: &Account, device: &Device, limits: &Limits, now: Timestamp) -> Standing {
    if let DeviceState::SignedOut(ended) = &device.state {
        return Standing::SignedOut(ended.clone());
    }
    let carried_over =
        device.epoch == account.epoch || account.kept_session == Some(device.session);
    if account.disabled_at.is_some() || !carried_over {
        return Standing::EndedByEpoch;
    }
    if now >= device.expires_at || now >= limits.idle_at(device.last_active_at) {
        return Standing::Expired;
    }
    Standing::SignedIn
}

/// Decides whether the holder of the token is let in, by the rows that the
/// token names.
///
/// # Errors
/// [`Refusal`] says why not, and tells an end only to who holds the secret.
pub fn admit(
    token: &Token,
    account: Option<Account>,
    device: Option<Device>,
    limits: &Limits,
    now: Timestamp,
) -> Result<Admitted, Refusal> {
    let (Some(account), Some(device)) = (account, device) else {
        return Err(Refusal::Unknown);
    };
    if !device.token_hash.matches(&token.hash()) {
        return Err(Refusal::Unknown);
    }
    match standing(&account, &device, limits, now) {
        Standing::SignedIn => Ok(Admitted { account, device }),
        Standing::SignedOut(ended) => Err(Refusal::SignedOut(ended)),
        Standing::EndedByEpoch => Err(Refusal::EndedByEpoch(Box::new(device))),
        Standing::Expired => Err(Refusal::Expired),
    }
}
