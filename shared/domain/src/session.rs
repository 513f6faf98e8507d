//! The one rule that decides whether a session is valid.
//!
//! A token is accepted only if all of these hold:
//!
//! - the account exists and is not disabled;
//! - the device's row exists, is signed in, and has the hash of the token's secret, or had it
//!   before a verification replaced the token, at most five minutes ago;
//! - the device's epoch is the account's, or its session is the kept one;
//! - now is before the absolute and the idle limit.
//!
//! Ends are final: a session that was not valid once is never valid again. The one
//! exception is an account whose row was disabled by hand, without moving the epoch:
//! its sessions are valid again when that is undone. `Store::disable` moves it.

use jiff::Timestamp;

use crate::account::Account;
use crate::device::{Device, DeviceState};
use crate::end_info::EndInfo;
use crate::limits::Limits;
use crate::token::Token;

/// An authenticated caller: the rows that the check read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// The account. Writes of this caller are conditional on its epoch.
    pub account: Account,
    /// The device. Writes of this caller are conditional on its session.
    pub device: Device,
}

/// The status of a session by its two rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionStatus {
    /// The session is valid.
    SignedIn,
    /// The session was signed out, as its own row says.
    SignedOut(EndInfo),
    /// A sign-out of all devices ended the session by raising the account's epoch.
    /// The sign-out's record has the time and the reason.
    EndedByEpoch,
    /// The session has expired.
    Expired,
    /// The account is disabled, and no sign-out has ended the session: its row was
    /// changed by hand.
    AccountDisabled,
}

/// The reason why a caller is not authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthError {
    /// The account or the device does not exist, or the secret is wrong. These are not
    /// distinguished, so that a guessed token reveals nothing.
    Unknown,
    /// The session was signed out. The caller has its secret, so they may learn how.
    SignedOut(EndInfo, Box<Device>),
    /// A sign-out of all devices ended the session. Its record has the details.
    EndedByEpoch(Box<Device>),
    /// The session has expired. The caller has its secret.
    Expired,
    /// The account is disabled. The caller has the session's secret.
    AccountDisabled,
    /// The session is valid, but a verification replaced the token.
    Superseded,
}

/// Returns the status of a session by its two rows.
#[must_use]
pub fn session_status(
    account: &Account,
    device: &Device,
    limits: &Limits,
    now: Timestamp,
) -> SessionStatus {
    if let DeviceState::SignedOut(ended) = &device.state {
        // The sweep also marks sessions that had expired before. They keep their own end.
        return if device.is_in_receipt_of(ended, limits) {
            SessionStatus::SignedOut(ended.clone())
        } else {
            SessionStatus::Expired
        };
    }
    // Equal, not "at least": no row may carry an epoch that the account never had.
    let survived_epoch =
        device.epoch == account.epoch || account.kept_session == Some(device.session);
    if !survived_epoch {
        return SessionStatus::EndedByEpoch;
    }
    // After the ends, so that a signed-out session keeps its reason after it would have
    // expired.
    if device.had_expired(now, limits) {
        return SessionStatus::Expired;
    }
    if account.disabled_at.is_some() {
        return SessionStatus::AccountDisabled;
    }
    SessionStatus::SignedIn
}

/// Authenticates the holder of a token by the two rows that the token names.
///
/// # Errors
/// [`AuthError`] with the reason; the details of an end only for the session's secret.
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
    // Before anything else is revealed: the id in a token is not a secret.
    let hash = token.hash();
    let is_current = device.token_hash.matches(&hash);
    let is_previous = || {
        let previous = device.previous_token.as_ref();
        previous.is_some_and(|previous| previous.hash.matches(&hash))
    };
    if !is_current && !is_previous() {
        return Err(AuthError::Unknown);
    }
    match session_status(&account, &device, limits, now) {
        SessionStatus::SignedIn if is_current => Ok(Authenticated { account, device }),
        SessionStatus::SignedIn if device.accepts_previous_token(now) => {
            // The old token proves nothing.
            let verified_at = None;
            let device = Device {
                verified_at,
                ..device
            };
            Ok(Authenticated { account, device })
        }
        SessionStatus::SignedIn => Err(AuthError::Superseded),
        SessionStatus::SignedOut(ended) => Err(AuthError::SignedOut(ended, Box::new(device))),
        SessionStatus::EndedByEpoch => Err(AuthError::EndedByEpoch(Box::new(device))),
        SessionStatus::Expired => Err(AuthError::Expired),
        SessionStatus::AccountDisabled => Err(AuthError::AccountDisabled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Epoch;
    use crate::device::PreviousToken;
    use crate::end_info::{Reason, Scope};
    use crate::fixtures;
    use crate::ids::{SessionId, SignOutId};
    use crate::verification::VERIFIED_FOR;
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
    fn a_session_of_the_accounts_epoch_is_accepted() {
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

    /// Returns a case whose token a verification has just replaced.
    fn verified() -> Case {
        let mut case = Case::signed_in();
        let new = Token::new(case.account.id, case.device.id, [8; 32]);
        case.device.previous_token = Some(PreviousToken {
            hash: case.device.token_hash,
            until: case.now + VERIFIED_FOR,
        });
        case.device.token_hash = new.hash();
        case.device.verified_at = Some(case.now);
        case
    }

    #[test]
    fn a_replaced_token_is_accepted_for_five_minutes_and_proves_nothing() {
        let mut case = verified();
        let until = case.now + VERIFIED_FOR;
        let accepted = case.authenticate_at(until - SECOND).expect("accepted");
        assert!(!accepted.device.is_verified(case.now));
        assert_eq!(case.authenticate_at(until), Err(AuthError::Superseded));
        // The new one has been seen.
        case.device.previous_token.as_mut().unwrap().until = case.now;
        assert_eq!(case.authenticate(), Err(AuthError::Superseded));
        case.token = Token::new(case.account.id, case.device.id, [8; 32]);
        assert!(case.authenticate().unwrap().device.is_verified(case.now));
        case.token = Token::new(case.account.id, case.device.id, [9; 32]);
        assert_eq!(case.authenticate(), Err(AuthError::Unknown));
    }

    #[test]
    fn a_replaced_token_learns_how_its_session_ended() {
        let mut case = verified();
        let later = case.now + VERIFIED_FOR + SECOND;
        case.device.epoch = Epoch(4);
        let ended_by_epoch = case.authenticate_at(later);
        assert!(matches!(ended_by_epoch, Err(AuthError::EndedByEpoch(_))));
        case.device.state = DeviceState::SignedOut(ended(&case));
        let signed_out = case.authenticate_at(later);
        assert!(matches!(signed_out, Err(AuthError::SignedOut(..))));
    }

    #[test]
    fn a_signed_out_session_is_refused_with_the_details() {
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
    fn only_the_kept_session_survives_its_epoch() {
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
    fn a_disabled_account_refuses_every_session() {
        let mut case = Case::signed_in();
        case.account.disabled_at = Some(case.now);
        assert_eq!(case.authenticate(), Err(AuthError::AccountDisabled));
        case.device.epoch = Epoch(4);
        case.account.kept_session = Some(case.device.session);
        assert_eq!(case.authenticate(), Err(AuthError::AccountDisabled));
        case.account.kept_session = None;
        assert!(matches!(
            case.authenticate(),
            Err(AuthError::EndedByEpoch(_))
        ));
        case.device.epoch = Epoch(5);
        let end = case.device.expiry(&Limits::default());
        assert_eq!(case.authenticate_at(end), Err(AuthError::Expired));
        case.token = Token::new(case.account.id, case.device.id, [9; 32]);
        assert_eq!(case.authenticate(), Err(AuthError::Unknown));
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
        let limits = Limits::default();
        assert!(!case.device.is_touch_due(due - SECOND, &limits));
        assert!(case.device.is_touch_due(due, &limits));
    }

    #[test]
    fn no_touch_that_could_arrive_after_the_idle_limit_is_due() {
        let case = Case::signed_in();
        let limits = Limits::default();
        let end = case.now + limits.idle;
        assert!(case.device.is_touch_due(end - SECOND * 31, &limits));
        assert!(!case.device.is_touch_due(end - SECOND * 30, &limits));
        assert!(!case.device.is_touch_due(end + SECOND, &limits));
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
