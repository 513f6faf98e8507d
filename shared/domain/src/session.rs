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
use crate::end_info::EndInfo;
use crate::limits::Limits;
use crate::token::Token;

/// A caller who was let in: the rows that the check read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// The account, at the epoch that every act of this caller is bound to.
    pub account: Account,
    /// The device, with the session that every act of this caller is bound to.
    pub device: Device,
}

/// How a session stands by its rows, for one who need not hold its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionStatus {
    /// It is valid.
    SignedIn,
    /// Its own row says that it was ended.
    SignedOut(EndInfo),
    /// The account's epoch has moved on without it: the record of the sign-out
    /// says when and why.
    EndedByEpoch,
    /// It ran out.
    Expired,
}

/// Why a caller was not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthError {
    /// No such account or device, or not its secret. One answer for all.
    Unknown,
    /// The session was ended; the caller holds its secret and may know how.
    SignedOut(EndInfo, Box<Device>),
    /// The same, by the epoch: the record of the sign-out says how.
    EndedByEpoch(Box<Device>),
    /// It ran out; the caller holds its secret.
    Expired,
}

/// Judges a session by its two rows, whoever asks.
#[must_use]
pub fn session_status(
    account: &Account,
    device: &Device,
    limits: &Limits,
    now: Timestamp,
) -> SessionStatus {
    if let DeviceState::SignedOut(ended) = &device.state {
        return SessionStatus::SignedOut(ended.clone());
    }
    let carried_over =
        device.epoch == account.epoch || account.kept_session == Some(device.session);
    if account.disabled_at.is_some() || !carried_over {
        return SessionStatus::EndedByEpoch;
    }
    if device.had_expired(now, limits) {
        return SessionStatus::Expired;
    }
    SessionStatus::SignedIn
}

/// Decides whether the holder of the token is let in, by the rows that the
/// token names.
///
/// # Errors
/// [`AuthError`] says why not, and tells an end only to who holds the secret.
pub fn authenticate(
    token: &Token,
    account: Option<Account>,
    device: Option<Device>,
    limits: &Limits,
    now: Timestamp,
) -> Result<Authenticated, AuthError> {
    let (Some(account), Some(device)) = (account, device) else {
        return Err(AuthError::Unknown);
    };
    if !device.token_hash.matches(&token.hash()) {
        return Err(AuthError::Unknown);
    }
    match session_status(&account, &device, limits, now) {
        SessionStatus::SignedIn => Ok(Authenticated { account, device }),
        SessionStatus::SignedOut(ended) => Err(AuthError::SignedOut(ended, Box::new(device))),
        SessionStatus::EndedByEpoch => Err(AuthError::EndedByEpoch(Box::new(device))),
        SessionStatus::Expired => Err(AuthError::Expired),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Epoch;
    use crate::end_info::{Reason, Scope};
    use crate::fixtures;
    use crate::ids::{SessionId, SignOutId};
    use jiff::SignedDuration;

    const SECOND: SignedDuration = SignedDuration::from_secs(1);

    struct Case {
        token: Token,
        account: Account,
        device: Device,
        now: Timestamp,
    }

    impl Case {
        fn signed_in() -> Self {
            let Authenticated { account, device } = fixtures::authenticated();
            Self {
                token: fixtures::token(),
                account,
                device,
                now: fixtures::now(),
            }
        }

        fn authenticate_at(&self, now: Timestamp) -> Result<Authenticated, AuthError> {
            let account = Some(self.account.clone());
            let device = Some(self.device.clone());
            authenticate(&self.token, account, device, &Limits::default(), now)
        }

        fn authenticate(&self) -> Result<Authenticated, AuthError> {
            self.authenticate_at(self.now)
        }
    }

    #[test]
    fn a_session_of_the_accounts_epoch_is_admitted() {
        assert!(Case::signed_in().authenticate().is_ok());
    }

    #[test]
    fn a_missing_row_is_unknown() {
        let case = Case::signed_in();
        let limits = Limits::default();
        let account = Some(case.account.clone());
        let device = Some(case.device.clone());
        assert_eq!(
            authenticate(&case.token, None, device, &limits, case.now),
            Err(AuthError::Unknown)
        );
        assert_eq!(
            authenticate(&case.token, account, None, &limits, case.now),
            Err(AuthError::Unknown)
        );
    }

    #[test]
    fn another_secret_is_unknown_even_to_a_session_that_has_ended() {
        let mut case = Case::signed_in();
        case.token = Token::new(case.account.id, case.device.id, [9; 32]);
        assert_eq!(case.authenticate(), Err(AuthError::Unknown));
        case.device.epoch = Epoch(4);
        assert_eq!(case.authenticate(), Err(AuthError::Unknown));
        case.device.state = DeviceState::SignedOut(ended(&case));
        assert_eq!(case.authenticate(), Err(AuthError::Unknown));
    }

    #[test]
    fn a_signed_out_session_is_refused_and_told_how() {
        let mut case = Case::signed_in();
        let ended = ended(&case);
        case.device.state = DeviceState::SignedOut(ended.clone());
        let device = Box::new(case.device.clone());
        assert_eq!(
            case.authenticate(),
            Err(AuthError::SignedOut(ended, device))
        );
    }

    #[test]
    fn a_session_of_an_older_or_a_newer_epoch_is_refused() {
        for epoch in [4, 6] {
            let mut case = Case::signed_in();
            case.device.epoch = Epoch(epoch);
            assert!(matches!(
                case.authenticate(),
                Err(AuthError::EndedByEpoch(_))
            ));
        }
    }

    #[test]
    fn the_kept_session_outlives_its_epoch_and_no_other_does() {
        let mut case = Case::signed_in();
        case.device.epoch = Epoch(1);
        case.account.kept_session = Some(case.device.session);
        assert!(case.authenticate().is_ok());
        case.account.kept_session = Some(SessionId::from_random([8; 16]));
        assert!(matches!(
            case.authenticate(),
            Err(AuthError::EndedByEpoch(_))
        ));
    }

    #[test]
    fn nobody_is_admitted_to_a_disabled_account() {
        let mut case = Case::signed_in();
        case.account.disabled_at = Some(case.now);
        case.account.kept_session = Some(case.device.session);
        assert!(case.authenticate().is_err());
    }

    #[test]
    fn the_idle_limit_ends_a_session_to_the_second() {
        let mut case = Case::signed_in();
        case.device.last_active_at = case.now;
        let end = case.now + Limits::default().idle;
        assert!(case.authenticate_at(end - SECOND).is_ok());
        assert_eq!(case.authenticate_at(end), Err(AuthError::Expired));
        assert_eq!(case.authenticate_at(end + SECOND), Err(AuthError::Expired));
    }

    #[test]
    fn the_absolute_limit_ends_a_session_to_the_second_whatever_its_activity() {
        let mut case = Case::signed_in();
        let end = case.device.expires_at;
        case.device.last_active_at = end - SECOND;
        assert!(case.authenticate_at(end - SECOND).is_ok());
        assert_eq!(case.authenticate_at(end), Err(AuthError::Expired));
        case.device.last_active_at = end + SECOND;
        assert_eq!(case.authenticate_at(end + SECOND), Err(AuthError::Expired));
    }

    #[test]
    fn a_touch_is_due_after_five_minutes() {
        let case = Case::signed_in();
        let due = case.now + crate::limits::TOUCH_INTERVAL;
        assert!(!case.device.is_touch_due(due - SECOND));
        assert!(case.device.is_touch_due(due));
    }

    fn ended(case: &Case) -> EndInfo {
        EndInfo {
            at: case.now,
            by: None,
            reason: Reason::SignedOut,
            scope: Scope::Device,
            sign_out: SignOutId::new(case.now, [7; 10]),
        }
    }
}
