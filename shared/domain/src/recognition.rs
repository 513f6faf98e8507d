//! Recognition: whether a device has earned trust for an account.
//!
//! Recognition begins by a proof that a password thief lacks, or by a session that nobody
//! has ended for seven days. A right password alone never recognizes. It is judged by the
//! rows of account and device and not written, so that what ends sessions ends it, too:
//! the one transaction that signs every other device out, changes the password or recovers
//! the account.

use jiff::{SignedDuration, Timestamp};

use crate::account::Account;
use crate::device::{Device, DeviceState};
use crate::limits::Limits;

/// The time for which a device stays recognized after a proof, or after the last day of a
/// session that has earned it.
pub const RECOGNIZED_FOR: SignedDuration = SignedDuration::from_hours(90 * 24);

/// The time after which a session that nobody has ended has earned recognition.
pub const EARNED_AFTER: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Returns the time until which a device is recognized that is recognized at `now`.
#[must_use]
pub fn recognized_until(now: Timestamp) -> Timestamp {
    now.checked_add(RECOGNIZED_FOR).unwrap_or(Timestamp::MAX)
}

/// Returns whether a device is recognized: it was by a proof or has earned it, neither is
/// too long ago, and nobody but the device itself has ended the session in its row.
#[must_use]
pub fn is_recognized(account: &Account, device: &Device, limits: &Limits, now: Timestamp) -> bool {
    let is_of_account = device.account == account.id
        && (device.epoch == account.epoch || account.kept_session == Some(device.session));
    let until = match &device.state {
        DeviceState::SignedIn => now,
        DeviceState::SignedOut(ended) if ended.is_by_itself(device.id) => ended.at,
        DeviceState::SignedOut(_) => return false,
    };
    let has_earned = || {
        let lasted_until = until.min(device.expiry(limits));
        lasted_until.duration_since(device.signed_in_at) >= EARNED_AFTER
            && now < recognized_until(lasted_until)
    };
    let is_proven = device.recognized_until.is_some_and(|until| now < until);
    is_of_account && (is_proven || has_earned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Epoch;
    use crate::end_info::{ByDevice, EndInfo, Reason, Scope};
    use crate::fixtures;
    use crate::ids::{DeviceId, SignOutId};
    use crate::session::Authenticated;

    const SECOND: SignedDuration = SignedDuration::from_secs(1);
    const DAY: SignedDuration = SignedDuration::from_hours(24);

    struct Case {
        account: Account,
        device: Device,
    }

    impl Case {
        fn signed_in() -> Self {
            let Authenticated {
                account,
                mut device,
            } = fixtures::authenticated();
            device.signed_in_at = fixtures::now();
            device.last_active_at = fixtures::now();
            Self { account, device }
        }

        fn proven() -> Self {
            let mut case = Self::signed_in();
            case.device.recognized_until = Some(recognized_until(fixtures::now()));
            case
        }

        fn signed_out_by(mut self, by: Option<DeviceId>, after: SignedDuration) -> Self {
            let at = fixtures::now() + after;
            self.device.state = DeviceState::SignedOut(EndInfo {
                at,
                by: by.map(|id| ByDevice {
                    id,
                    name: "TV".to_owned(),
                }),
                reason: Reason::SignedOut,
                scope: Scope::Device,
                sign_out: SignOutId::new(at, [7; 10]),
            });
            self
        }

        fn is_recognized_after(&self, time: SignedDuration) -> bool {
            let now = fixtures::now() + time;
            is_recognized(&self.account, &self.device, &Limits::default(), now)
        }
    }

    #[test]
    fn a_right_password_alone_does_not_recognize() {
        let case = Case::signed_in();
        assert!(!case.is_recognized_after(SECOND));
        let own = case.device.id;
        let again = case.signed_out_by(Some(own), SECOND);
        assert!(!again.is_recognized_after(DAY * 8));
    }

    #[test]
    fn a_proof_recognizes_for_ninety_days_to_the_second() {
        let own = Case::proven().device.id;
        let case = Case::proven().signed_out_by(Some(own), SECOND);
        assert!(case.is_recognized_after(SECOND * 2));
        assert!(case.is_recognized_after(DAY * 90 - SECOND));
        assert!(!case.is_recognized_after(DAY * 90));
    }

    #[test]
    fn a_session_of_seven_days_has_earned_recognition_for_ninety_more() {
        let case = Case::signed_in();
        assert!(!case.is_recognized_after(EARNED_AFTER - SECOND));
        assert!(case.is_recognized_after(EARNED_AFTER));
        let own = case.device.id;
        let early = Case::signed_in().signed_out_by(Some(own), EARNED_AFTER - SECOND);
        assert!(!early.is_recognized_after(EARNED_AFTER * 2));
        let late = Case::signed_in().signed_out_by(Some(own), EARNED_AFTER);
        assert!(late.is_recognized_after(EARNED_AFTER + DAY * 90 - SECOND));
        assert!(!late.is_recognized_after(EARNED_AFTER + DAY * 90));
        // A session that is not used expires after 30 days.
        assert!(case.is_recognized_after(DAY * 120 - SECOND));
        assert!(!case.is_recognized_after(DAY * 120));
    }

    #[test]
    fn a_session_that_somebody_else_has_ended_ends_recognition() {
        let other = DeviceId::new(fixtures::now(), [9; 10]);
        for by in [None, Some(other)] {
            let case = Case::proven().signed_out_by(by, EARNED_AFTER);
            assert!(!case.is_recognized_after(EARNED_AFTER));
        }
    }

    #[test]
    fn an_end_of_every_session_ends_recognition_also_of_a_device_that_had_signed_itself_out() {
        let own = Case::proven().device.id;
        let cases = [
            Case::proven(),
            Case::proven().signed_out_by(Some(own), SECOND),
        ];
        for mut case in cases {
            case.account.epoch = case.account.epoch.next();
            assert!(!case.is_recognized_after(DAY));
            case.account.kept_session = Some(case.device.session);
            assert!(case.is_recognized_after(DAY));
            // No row may have an epoch that its account never had.
            case.account.kept_session = None;
            case.account.epoch = Epoch(case.device.epoch.0 - 1);
            assert!(!case.is_recognized_after(DAY));
        }
    }
}
