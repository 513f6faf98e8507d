//! Holds: which changes wait after a recovery or a warning, and for whom.

use jiff::{SignedDuration, Timestamp};

use super::verification::Act;

/// The time for which a change is held.
pub const HELD_FOR: SignedDuration = SignedDuration::from_hours(72);

/// What began a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HoldCause {
    /// A recovery.
    Recovery,
    /// A press in the old mailbox, after a settled factor had changed the address.
    Warning,
}

/// A hold on changes of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// What began it.
    pub cause: HoldCause,
    /// The time when it began.
    pub began_at: Timestamp,
}

impl HoldCause {
    /// Returns the name that the table uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recovery => "recovery",
            Self::Warning => "warning",
        }
    }

    /// Parses the name; `None` for an unknown one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Recovery, Self::Warning]
            .into_iter()
            .find(|cause| cause.as_str() == name)
    }
}

impl Hold {
    /// Returns the hold of a warning at `now`.
    #[must_use]
    pub fn of_warning(now: Timestamp) -> Self {
        Self {
            cause: HoldCause::Warning,
            began_at: now,
        }
    }

    /// Returns the hold after a recovery at `now`. A hold that is running is not prolonged.
    #[must_use]
    pub fn after_recovery(running: Option<Self>, now: Timestamp) -> Self {
        let running = running.filter(|hold| now < hold.ends_at());
        running.unwrap_or(Self {
            cause: HoldCause::Recovery,
            began_at: now,
        })
    }

    /// Returns the time when it ends.
    #[must_use]
    pub fn ends_at(&self) -> Timestamp {
        self.began_at
            .checked_add(HELD_FOR)
            .unwrap_or(Timestamp::MAX)
    }

    /// Returns whether it holds an act at `now`. `by_earlier_factor` is whether the act is
    /// proven by a factor that had settled before the hold began.
    ///
    /// Removing factors and signing out others are never held: that would protect a thief.
    #[must_use]
    pub fn holds(&self, act: Act, by_earlier_factor: bool, now: Timestamp) -> bool {
        let is_concerned = match self.cause {
            HoldCause::Recovery => act == Act::ChangeAddress && !by_earlier_factor,
            HoldCause::Warning => matches!(
                act,
                Act::ChangeAddress | Act::AddFactor | Act::MakeRecoveryCodes
            ),
        };
        is_concerned && now < self.ends_at()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::now;

    const SECOND: SignedDuration = SignedDuration::from_secs(1);
    const ALL: [Act; 10] = [
        Act::SignOutSelf,
        Act::SignOutGlobal,
        Act::SignOutDevice,
        Act::SignOutOthers,
        Act::ChangePassword,
        Act::KeepDevice,
        Act::ChangeAddress,
        Act::AddFactor,
        Act::RemoveFactor,
        Act::MakeRecoveryCodes,
    ];

    fn held(hold: Hold, by_earlier_factor: bool) -> Vec<Act> {
        let is_held = |act: &Act| hold.holds(*act, by_earlier_factor, now());
        ALL.into_iter().filter(is_held).collect()
    }

    #[test]
    fn a_recovery_holds_a_change_of_the_address_for_72_hours_to_the_second() {
        let hold = Hold::after_recovery(None, now());
        assert_eq!(held(hold, false), [Act::ChangeAddress]);
        let last = now() + HELD_FOR;
        assert!(hold.holds(Act::ChangeAddress, false, last - SECOND));
        assert!(!hold.holds(Act::ChangeAddress, false, last));
    }

    #[test]
    fn a_recovery_holds_nothing_from_who_proves_a_factor_that_had_settled_before() {
        assert_eq!(held(Hold::after_recovery(None, now()), true), []);
    }

    #[test]
    fn another_recovery_does_not_prolong_a_hold() {
        let first = Hold::after_recovery(None, now());
        let last = now() + HELD_FOR;
        assert_eq!(Hold::after_recovery(Some(first), last - SECOND), first);
        assert_eq!(Hold::after_recovery(Some(first), last).began_at, last);
    }

    #[test]
    fn a_warning_holds_what_could_keep_the_owner_out_and_never_what_ends_a_thief() {
        let hold = Hold::of_warning(now());
        for by_earlier_factor in [true, false] {
            assert_eq!(
                held(hold, by_earlier_factor),
                [Act::ChangeAddress, Act::AddFactor, Act::MakeRecoveryCodes]
            );
        }
    }
}
