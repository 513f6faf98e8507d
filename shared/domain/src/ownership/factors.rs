//! Factors: when one counts against the address.
//!
//! A young factor has no power over what was there before. A thief who adds one must not be
//! able to keep the owner out with it.

use jiff::{SignedDuration, Timestamp};

/// The time after its notice went to the address at which a factor settles.
pub const SETTLED_AFTER: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The time after the first confirmation of the account's address in which a factor settles
/// at once.
pub const FIRST_DAY: SignedDuration = SignedDuration::from_hours(24);

/// A factor of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Factor {
    /// The time when it was confirmed.
    pub added_at: Timestamp,
    /// The time when its notice went to the address; `None` if none has gone yet.
    pub notified_at: Option<Timestamp>,
}

/// What happened to the account's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressHistory {
    /// Whether the deployment sends mail to it.
    pub has_mail: bool,
    /// The time of the account's first confirmation.
    pub confirmed_at: Option<Timestamp>,
    /// The time of the last recovery, or of the last undo of a changed address.
    pub recovered_at: Option<Timestamp>,
}

/// How far a factor has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactorStanding {
    /// It is asked for at sign-in, and counts for nothing else.
    Young,
    /// It counts: at a verification and at a recovery, too.
    Settled,
    /// A recovery ended it.
    Ended,
}

impl FactorStanding {
    /// Returns whether a sign-in asks for it.
    #[must_use]
    pub fn is_asked_at_sign_in(self) -> bool {
        self != Self::Ended
    }

    /// Returns whether it counts against the address.
    #[must_use]
    pub fn counts(self) -> bool {
        self == Self::Settled
    }
}

impl Factor {
    /// Returns the time at which it settles; `None` as long as no notice has gone.
    #[must_use]
    pub fn settles_at(&self, address: &AddressHistory) -> Option<Timestamp> {
        let is_of_first_day = address
            .confirmed_at
            .is_some_and(|at| at <= self.added_at && self.added_at.duration_since(at) < FIRST_DAY);
        if !address.has_mail || is_of_first_day {
            return Some(self.added_at);
        }
        let settles = |at: Timestamp| at.checked_add(SETTLED_AFTER).unwrap_or(Timestamp::MAX);
        self.notified_at.map(settles)
    }

    /// Returns how far it has come at `now`. A recovery ends every factor that had not
    /// settled by then, without a write to it.
    #[must_use]
    pub fn standing(&self, address: &AddressHistory, now: Timestamp) -> FactorStanding {
        let settles_at = self.settles_at(address);
        let is_settled_by = |time: Timestamp| settles_at.is_some_and(|at| at <= time);
        let ends = |at: Timestamp| self.added_at <= at && !is_settled_by(at);
        if address.recovered_at.is_some_and(ends) {
            FactorStanding::Ended
        } else if is_settled_by(now) {
            FactorStanding::Settled
        } else {
            FactorStanding::Young
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::now;

    const SECOND: SignedDuration = SignedDuration::from_secs(1);

    fn factor() -> Factor {
        Factor {
            added_at: now(),
            notified_at: Some(now() + SECOND),
        }
    }

    fn address() -> AddressHistory {
        AddressHistory {
            has_mail: true,
            confirmed_at: Some(now() - FIRST_DAY),
            recovered_at: None,
        }
    }

    #[test]
    fn a_factor_settles_seven_days_after_its_notice_to_the_second() {
        let settled = now() + SECOND + SETTLED_AFTER;
        let standing = |at| factor().standing(&address(), at);
        assert_eq!(standing(settled - SECOND), FactorStanding::Young);
        assert_eq!(standing(settled), FactorStanding::Settled);
        let unannounced = Factor {
            notified_at: None,
            ..factor()
        };
        let late = settled + SETTLED_AFTER;
        assert_eq!(
            unannounced.standing(&address(), late),
            FactorStanding::Young
        );
    }

    #[test]
    fn a_factor_of_the_first_day_settles_at_once_to_the_second() {
        let confirmed = |ago| AddressHistory {
            confirmed_at: Some(now() - ago),
            ..address()
        };
        let standing = |ago| factor().standing(&confirmed(ago), now());
        assert_eq!(standing(FIRST_DAY - SECOND), FactorStanding::Settled);
        assert_eq!(standing(FIRST_DAY), FactorStanding::Young);
        // Added by who registered the address, before its reader confirmed it.
        assert_eq!(standing(-SECOND), FactorStanding::Young);
        let unconfirmed = AddressHistory {
            confirmed_at: None,
            ..address()
        };
        assert_eq!(
            factor().standing(&unconfirmed, now()),
            FactorStanding::Young
        );
    }

    #[test]
    fn without_mail_a_factor_settles_at_once() {
        let silent = AddressHistory {
            has_mail: false,
            confirmed_at: None,
            ..address()
        };
        let unannounced = Factor {
            notified_at: None,
            ..factor()
        };
        assert_eq!(
            unannounced.standing(&silent, now()),
            FactorStanding::Settled
        );
    }

    #[test]
    fn a_recovery_ends_what_had_not_settled_for_ever_and_nothing_else() {
        let settled = now() + SECOND + SETTLED_AFTER;
        let recovered = |at| AddressHistory {
            recovered_at: Some(at),
            ..address()
        };
        let late = settled + SETTLED_AFTER;
        let standing = |at| factor().standing(&recovered(at), late);
        assert_eq!(standing(settled - SECOND), FactorStanding::Ended);
        assert_eq!(standing(now()), FactorStanding::Ended);
        assert_eq!(standing(settled), FactorStanding::Settled);
        assert_eq!(standing(now() - SECOND), FactorStanding::Settled);
    }

    #[test]
    fn a_young_factor_is_asked_for_at_sign_in_and_does_not_count() {
        use FactorStanding::{Ended, Settled, Young};
        assert!(Young.is_asked_at_sign_in() && Settled.is_asked_at_sign_in());
        assert!(!Ended.is_asked_at_sign_in());
        assert!(Settled.counts() && !Young.counts() && !Ended.counts());
    }
}
