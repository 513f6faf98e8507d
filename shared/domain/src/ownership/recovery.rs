//! Recovery and the undo of a changed address: what each needs, and what each leaves.

use jiff::{SignedDuration, Timestamp};

use super::verification::Proof;

/// The time for which the old mailbox can undo a change of the address.
pub const UNDO_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The time that passes before a lost factor is removed by password and address.
pub const LOST_FACTOR_WAIT: SignedDuration = SignedDuration::from_hours(72);

/// Something that an account has, by which somebody could come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Remnant {
    /// A session.
    Session,
    /// The recognition of a device.
    Recognition,
    /// The password.
    Password,
    /// A factor that has not settled.
    YoungFactor,
    /// A factor that has settled.
    SettledFactor,
    /// A change that waits for a code or for its time.
    PendingChange,
    /// The recovery codes.
    RecoveryCodes,
    /// A hold on changes.
    Hold,
}

impl Remnant {
    /// Returns whether a recovery leaves it. It sets a new password and begins a hold, so
    /// neither is left.
    #[must_use]
    pub fn survives_recovery(self) -> bool {
        self == Self::SettledFactor
    }

    /// Returns whether the undo of a changed address leaves it. Nobody has a password then
    /// until a recovery by the address.
    #[must_use]
    pub fn survives_undo(self) -> bool {
        matches!(self, Self::SettledFactor | Self::RecoveryCodes)
    }
}

/// Returns the proofs that a recovery needs: those of any one of the lists, all of them. It
/// never goes round a factor that has settled.
#[must_use]
pub fn accepted_at_recovery(has_settled_factor: bool) -> &'static [&'static [Proof]] {
    use Proof::{AddressCode, Factor, RecoveryCode};
    if has_settled_factor {
        &[&[AddressCode, Factor], &[AddressCode, RecoveryCode]]
    } else {
        &[&[AddressCode]]
    }
}

/// When the factors of an account are removed whose owner has lost them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostFactor {
    /// At once.
    Now,
    /// After [`LOST_FACTOR_WAIT`], if nobody stops it with a settled factor.
    AfterWait,
    /// Not by these proofs; an operator can.
    Refused,
}

impl LostFactor {
    /// Returns when these proofs remove lost factors.
    #[must_use]
    pub fn by(proofs: &[Proof]) -> Self {
        let has = |proof| proofs.contains(&proof);
        if has(Proof::AddressCode) && has(Proof::RecoveryCode) {
            Self::Now
        } else if has(Proof::AddressCode) && has(Proof::Password) {
            Self::AfterWait
        } else {
            Self::Refused
        }
    }

    /// Returns the time when the wait that began at `asked_at` is over.
    #[must_use]
    pub fn due_at(asked_at: Timestamp) -> Timestamp {
        asked_at
            .checked_add(LOST_FACTOR_WAIT)
            .unwrap_or(Timestamp::MAX)
    }

    /// Returns whether the wait that began at `asked_at` is over.
    #[must_use]
    pub fn is_due(asked_at: Timestamp, now: Timestamp) -> bool {
        Self::due_at(asked_at) <= now
    }
}

/// What a press in the old mailbox does to a change of the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undo {
    /// The old address is back. See [`Remnant::survives_undo`].
    Undoes,
    /// The owner's devices are warned, and changes are held.
    Holds,
    /// It is too late.
    Expired,
}

impl Undo {
    /// Returns whether a press still does something. Until then the next change of the address
    /// is held.
    #[must_use]
    pub fn is_open(self) -> bool {
        self != Self::Expired
    }

    /// Returns what a press does at `now` to a change that was made at `changed_at`, proven
    /// by a settled factor or not.
    #[must_use]
    pub fn of(changed_at: Timestamp, by_settled_factor: bool, now: Timestamp) -> Self {
        if now.duration_since(changed_at) >= UNDO_FOR {
            Self::Expired
        } else if by_settled_factor {
            Self::Holds
        } else {
            Self::Undoes
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::now;

    const SECOND: SignedDuration = SignedDuration::from_secs(1);
    const ALL: [Remnant; 8] = [
        Remnant::Session,
        Remnant::Recognition,
        Remnant::Password,
        Remnant::YoungFactor,
        Remnant::SettledFactor,
        Remnant::PendingChange,
        Remnant::RecoveryCodes,
        Remnant::Hold,
    ];

    #[test]
    fn a_recovery_leaves_settled_factors_alone() {
        let left = ALL.into_iter().filter(|left| left.survives_recovery());
        assert_eq!(left.collect::<Vec<_>>(), [Remnant::SettledFactor]);
    }

    #[test]
    fn an_undo_leaves_no_session_password_young_factor_or_hold() {
        let left = ALL.into_iter().filter(|left| left.survives_undo());
        assert_eq!(
            left.collect::<Vec<_>>(),
            [Remnant::SettledFactor, Remnant::RecoveryCodes]
        );
    }

    #[test]
    fn a_recovery_never_goes_round_a_settled_factor() {
        assert_eq!(accepted_at_recovery(false), [[Proof::AddressCode]]);
        for all in accepted_at_recovery(true) {
            let second = all.iter().filter(|proof| **proof != Proof::AddressCode);
            assert!(all.contains(&Proof::AddressCode) && second.count() == 1);
        }
    }

    #[test]
    fn a_lost_factor_goes_at_once_by_a_recovery_code_and_after_72_hours_by_the_password() {
        use Proof::{AddressCode, Password, RecoveryCode};
        assert_eq!(
            LostFactor::by(&[AddressCode, RecoveryCode]),
            LostFactor::Now
        );
        assert_eq!(
            LostFactor::by(&[Password, AddressCode]),
            LostFactor::AfterWait
        );
        for too_little in [&[AddressCode][..], &[Password, RecoveryCode], &[]] {
            assert_eq!(LostFactor::by(too_little), LostFactor::Refused);
        }
        let due = now() + LOST_FACTOR_WAIT;
        assert!(!LostFactor::is_due(now(), due - SECOND) && LostFactor::is_due(now(), due));
    }

    #[test]
    fn the_old_mailbox_undoes_a_change_for_seven_days_to_the_second() {
        let last = now() + UNDO_FOR;
        assert_eq!(Undo::of(now(), false, last - SECOND), Undo::Undoes);
        assert_eq!(Undo::of(now(), true, last - SECOND), Undo::Holds);
        for by_settled_factor in [true, false] {
            assert_eq!(Undo::of(now(), by_settled_factor, last), Undo::Expired);
            assert!(!Undo::of(now(), by_settled_factor, last).is_open());
            assert!(Undo::of(now(), by_settled_factor, last - SECOND).is_open());
        }
    }
}
