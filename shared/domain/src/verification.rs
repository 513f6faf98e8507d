//! Verification: what proves that the holder of a session is the owner.
//!
//! A session alone may not end other sessions: its token may be stolen. Its holder proves
//! again who they are, by what a thief of the token lacks. A device that is recognized
//! proves it with the password or with a code to the account's address. Another one may be
//! that of a password thief, so it needs both. Without a confirmed address, or where no
//! mail is sent, the password is all there is. The rules are in [`crate::ownership`]; here they
//! are asked about the rows of a session.

use jiff::{SignedDuration, Timestamp};

use crate::account::Account;
use crate::device::{Device, PreviousToken, UnprovenActs};
use crate::ownership::verification::{Act, Caller};
use crate::recognition::recognized_until;
use crate::token::{Token, TokenHash};

/// The time for which a verification counts, and for which the token that it replaced is
/// still accepted for what needs none.
pub use crate::ownership::verification::PROOF_LIFETIME as VERIFIED_FOR;
pub use crate::ownership::verification::{Proof, UNPROVEN_SIGN_OUTS_PER_DAY};

/// What a deployment asks for before a session ends others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerificationPolicy {
    /// Whether the deployment sends mail.
    pub sends_mail: bool,
    /// The address of the team's own login, whose backend says who has proven what. With one,
    /// nothing else verifies. It lives as long as the process.
    pub external: Option<&'static str>,
}

/// The sets of proofs of which each is enough.
pub type Methods = &'static [&'static [Proof]];

/// Returns whether the account has an address that counts for a proof: a confirmed one, to
/// which this deployment can send mail.
#[must_use]
pub fn has_proving_address(account: &Account, sends_mail: bool) -> bool {
    sends_mail && account.confirmed_at.is_some() && !account.email.is_empty()
}

/// Returns what the holder of a session can verify with.
#[must_use]
pub fn methods(
    account: &Account,
    device: &Device,
    is_recognized: bool,
    policy: VerificationPolicy,
    now: Timestamp,
) -> Methods {
    let sends_mail = policy.sends_mail;
    let caller = Caller {
        is_recognized,
        has_factor: account.has_settled_factor(sends_mail, now),
        has_mail: has_proving_address(account, sends_mail),
        is_external: policy.external.is_some(),
    };
    // The sign-in has shown the password.
    let is_just_signed_in = now.duration_since(device.signed_in_at) < VERIFIED_FOR;
    let is_by_address = caller.has_mail && !caller.has_factor && !caller.is_external;
    if is_by_address && !is_recognized && is_just_signed_in {
        return &[
            &[Proof::AddressCode],
            &[Proof::Password, Proof::AddressCode],
        ];
    }
    caller.accepted()
}

/// Returns whether these proofs are enough for one of the methods.
#[must_use]
pub fn is_enough(methods: Methods, shown: &[Proof]) -> bool {
    let is_shown = |wanted: &&[Proof]| wanted.iter().all(|proof| shown.contains(proof));
    methods.iter().any(is_shown)
}

/// Returns whether a sign-in with the right password counts as a verification. One with a pass
/// makes its device recognized. Where a factor counts, only a factor verifies; where the team's
/// own login does, nothing else.
#[must_use]
pub fn is_proven_by_sign_in(
    account: &Account,
    is_recognized: bool,
    policy: VerificationPolicy,
    now: Timestamp,
) -> bool {
    let sends_mail = policy.sends_mail;
    let is_enough = is_recognized || !has_proving_address(account, sends_mail);
    let is_by_password = !account.has_settled_factor(sends_mail, now) && policy.external.is_none();
    is_enough && is_by_password
}

/// The time by which the clock of a backend may be ahead.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(60);

/// Returns the time of a proof that a backend reports, if it counts at `now`. A clock that is
/// ahead by up to a minute gives `now`.
#[must_use]
pub fn external_proof(auth_time: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let age = now.duration_since(auth_time);
    (age < VERIFIED_FOR && -age <= CLOCK_SKEW).then(|| auth_time.min(now))
}

/// The token that a verification gives to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewToken {
    /// Its hash.
    pub hash: TokenHash,
    /// The token that the caller presented, which is accepted a little longer.
    pub previous: PreviousToken,
    /// The time of the verification.
    pub verified_at: Timestamp,
    /// The time until which a code to the address makes the device a recognized one.
    pub recognized_until: Option<Timestamp>,
}

impl NewToken {
    /// Creates the record of a verification whose caller presented the token `presented`:
    /// the session's current one or, if the answer to an earlier verification was lost,
    /// the one before. A proof of the team's own login counts from its time, `external_at`.
    #[must_use]
    pub fn new(
        new: &Token,
        presented: &Token,
        (shown, external_at): (&[Proof], Option<Timestamp>),
        now: Timestamp,
    ) -> Self {
        let until = now.checked_add(VERIFIED_FOR).unwrap_or(Timestamp::MAX);
        Self {
            hash: new.hash(),
            previous: PreviousToken {
                hash: presented.hash(),
                until,
            },
            verified_at: external_at.unwrap_or(now),
            recognized_until: shown
                .contains(&Proof::AddressCode)
                .then(|| recognized_until(now)),
        }
    }
}

impl Device {
    /// Returns whether the session's last verification still counts.
    #[must_use]
    pub fn is_verified(&self, now: Timestamp) -> bool {
        let verified_at = self.verified_at;
        verified_at.is_some_and(|at| now.duration_since(at) < VERIFIED_FOR)
    }

    /// Returns whether the session may sign out one more device today without a
    /// verification, of at most `most`.
    #[must_use]
    pub fn may_act_unproven(&self, is_recognized: bool, most: u32, now: Timestamp) -> bool {
        let UnprovenActs { day, count } = self.unproven_acts;
        // The day in the row is later than this one if this clock is behind: count in it.
        let used = if day >= UnprovenActs::day_of(now) {
            count
        } else {
            0
        };
        !Act::SignOutDevice.needs_verification(is_recognized, used, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use crate::session::Authenticated;

    const SECOND: SignedDuration = SignedDuration::from_secs(1);
    const MAIL: VerificationPolicy = VerificationPolicy {
        sends_mail: true,
        external: None,
    };

    fn confirmed() -> Authenticated {
        let mut caller = fixtures::authenticated();
        caller.account.confirmed_at = Some(fixtures::now());
        caller
    }

    #[test]
    fn a_recognized_device_proves_with_either_and_another_one_with_both() {
        let Authenticated { account, device } = confirmed();
        let later = fixtures::now() + VERIFIED_FOR;
        let [password, code] = [Proof::Password, Proof::AddressCode];
        let recognized = methods(&account, &device, true, MAIL, later);
        assert!(is_enough(recognized, &[password]) && is_enough(recognized, &[code]));
        let unknown = methods(&account, &device, false, MAIL, later);
        assert!(!is_enough(unknown, &[password]) && !is_enough(unknown, &[code]));
        assert!(is_enough(unknown, &[code, password]));
        assert!(!is_enough(recognized, &[]) && !is_enough(unknown, &[]));
    }

    #[test]
    fn the_password_of_the_sign_in_counts_for_five_minutes_to_the_second() {
        let Authenticated { account, device } = confirmed();
        let at = |now| methods(&account, &device, false, MAIL, now);
        let end = device.signed_in_at + VERIFIED_FOR;
        assert!(is_enough(at(end - SECOND), &[Proof::AddressCode]));
        assert!(!is_enough(at(end - SECOND), &[Proof::Password]));
        assert!(!is_enough(at(end), &[Proof::AddressCode]));
    }

    #[test]
    fn the_password_is_enough_where_no_address_proves_anything() {
        let mut caller = confirmed();
        let later = fixtures::now() + VERIFIED_FOR;
        let is_password_enough = |caller: &Authenticated, sends_mail| {
            let Authenticated { account, device } = caller;
            let policy = VerificationPolicy { sends_mail, ..MAIL };
            let methods = methods(account, device, false, policy, later);
            is_enough(methods, &[Proof::Password])
                && is_proven_by_sign_in(account, false, policy, fixtures::now())
        };
        assert!(!is_password_enough(&caller, true));
        assert!(is_password_enough(&caller, false));
        caller.account.email.clear();
        assert!(is_password_enough(&caller, true));
        let mut caller = confirmed();
        caller.account.confirmed_at = None;
        assert!(is_password_enough(&caller, true));
    }

    #[test]
    fn where_the_team_has_a_login_of_its_own_nothing_else_verifies() {
        let Authenticated { account, device } = confirmed();
        let now = fixtures::now();
        let external = Some("https://login.example.com/verify");
        for (is_recognized, sends_mail) in [(true, true), (true, false), (false, true)] {
            let policy = VerificationPolicy {
                sends_mail,
                external,
            };
            let methods = methods(&account, &device, is_recognized, policy, now);
            assert_eq!(methods, [[Proof::External]]);
            assert!(!is_proven_by_sign_in(&account, is_recognized, policy, now));
        }
    }

    #[test]
    fn the_proof_of_a_backend_counts_for_five_minutes_and_its_clock_may_be_a_minute_ahead() {
        let now = fixtures::now();
        assert_eq!(external_proof(now, now), Some(now));
        let last = now - VERIFIED_FOR + SECOND;
        assert_eq!(external_proof(last, now), Some(last));
        assert_eq!(external_proof(now - VERIFIED_FOR, now), None);
        assert_eq!(external_proof(now + CLOCK_SKEW, now), Some(now));
        assert_eq!(external_proof(now + CLOCK_SKEW + SECOND, now), None);
    }

    #[test]
    fn a_verification_counts_for_five_minutes_to_the_second() {
        let Authenticated { mut device, .. } = confirmed();
        let end = fixtures::now() + VERIFIED_FOR;
        assert!(device.is_verified(end - SECOND) && !device.is_verified(end));
        device.verified_at = None;
        assert!(!device.is_verified(fixtures::now()));
    }

    #[test]
    fn three_devices_a_day_need_no_verification() {
        let Authenticated { mut device, .. } = confirmed();
        let now = fixtures::now();
        let day = UnprovenActs::day_of(now);
        device.unproven_acts = UnprovenActs { day, count: 2 };
        assert!(device.may_act_unproven(true, UNPROVEN_SIGN_OUTS_PER_DAY, now));
        device.unproven_acts.count = 3;
        assert!(!device.may_act_unproven(true, UNPROVEN_SIGN_OUTS_PER_DAY, now));
        let midnight = now + (SignedDuration::from_hours(14));
        assert!(!device.may_act_unproven(true, UNPROVEN_SIGN_OUTS_PER_DAY, midnight - SECOND));
        assert!(device.may_act_unproven(true, UNPROVEN_SIGN_OUTS_PER_DAY, midnight));
        assert!(!device.may_act_unproven(true, 0, midnight));
        assert!(!device.may_act_unproven(false, UNPROVEN_SIGN_OUTS_PER_DAY, midnight));
        // A clock that is behind has no day of its own.
        let behind = now - SignedDuration::from_hours(24);
        assert!(!device.may_act_unproven(true, UNPROVEN_SIGN_OUTS_PER_DAY, behind));
    }
}
