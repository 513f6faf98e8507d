//! Changes of an account's address: what is stored of the last one, what the old mailbox can do
//! about it, and when the next one is allowed.

use jiff::Timestamp;

use crate::account::Account;
use crate::email::EmailAddress;
use crate::ids::{AccountId, DeviceId, NoticeId};
use crate::ownership::recovery::UNDO_FOR;
use crate::ownership::verification::PROOF_LIFETIME;
use crate::ownership::{Act, Hold, Undo};

/// The last change of an account's address, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressChange {
    /// The address before it, in its normal form.
    pub previous: String,
    /// The time of the change or, if it was undone, of that.
    pub at: Timestamp,
    /// What has become of it.
    pub state: ChangeState,
}

/// What has become of a change of the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeState {
    /// The address was changed.
    Changed,
    /// The address was changed, which a settled factor proved.
    ChangedByFactor,
    /// The old mailbox has warned of a change that a settled factor proved.
    Warned,
    /// The old mailbox has undone the change.
    Undone,
}

impl ChangeState {
    const ALL: [Self; 4] = [
        Self::Changed,
        Self::ChangedByFactor,
        Self::Warned,
        Self::Undone,
    ];

    /// Returns the name that the table uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::ChangedByFactor => "changed_by_factor",
            Self::Warned => "warned",
            Self::Undone => "undone",
        }
    }

    /// Parses the name; `None` for an unknown one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl AddressChange {
    /// Returns what a press in the old mailbox does.
    #[must_use]
    pub fn undo(&self, now: Timestamp) -> Undo {
        let by_settled_factor = match self.state {
            ChangeState::Changed => false,
            ChangeState::ChangedByFactor => true,
            ChangeState::Warned | ChangeState::Undone => return Undo::Expired,
        };
        Undo::of(self.at, by_settled_factor, now)
    }

    /// Returns the time from which the old mailbox can't undo it, and from which anyone may use
    /// the address before.
    #[must_use]
    pub fn undo_ends_at(&self) -> Timestamp {
        self.at.checked_add(UNDO_FOR).unwrap_or(Timestamp::MAX)
    }
}

/// A change of the address that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAddress {
    /// The id of the change.
    pub id: NoticeId,
    /// The new address, whose mail the caller has read.
    pub email: EmailAddress,
    /// The time of the change.
    pub at: Timestamp,
    /// What the old mailbox can undo. `None` if nobody has confirmed the address before: it may
    /// be a stranger's.
    pub change: Option<AddressChange>,
}

impl NewAddress {
    /// Creates the change of an account's address.
    #[must_use]
    pub fn new(
        account: &Account,
        email: EmailAddress,
        by_settled_factor: bool,
        (now, random): (Timestamp, [u8; 10]),
    ) -> Self {
        let is_confirmed = account.confirmed_at.is_some() && !account.email.is_empty();
        Self {
            id: NoticeId::new(now, random),
            email,
            at: now,
            change: is_confirmed.then(|| AddressChange {
                previous: account.email.clone(),
                at: now,
                state: if by_settled_factor {
                    ChangeState::ChangedByFactor
                } else {
                    ChangeState::Changed
                },
            }),
        }
    }
}

/// The record that an address was changed, for those who follow the account. It has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressChanged {
    /// The account.
    pub account: AccountId,
    /// The id of the change.
    pub id: NoticeId,
    /// The time of the change.
    pub at: Timestamp,
    /// The device that changed it.
    pub by: DeviceId,
}

impl Account {
    /// Returns the time until which an act is held; `None` if it is not. A factor that had
    /// settled before the hold began proves the act: where one counts, nothing else verifies.
    #[must_use]
    pub fn held_until(&self, act: Act, sends_mail: bool, now: Timestamp) -> Option<Timestamp> {
        let holds = |hold: &Hold| {
            let by_earlier_factor = self.has_settled_factor(sends_mail, hold.began_at);
            hold.holds(act, by_earlier_factor, now)
        };
        self.hold.filter(holds).map(|hold| hold.ends_at())
    }

    /// Returns the time until which a change of the address is held; `None` if it is not.
    ///
    /// A change that the old mailbox can still undo holds the next one, so that a thief can't
    /// change the address away from under the undo.
    #[must_use]
    pub fn address_held_until(&self, sends_mail: bool, now: Timestamp) -> Option<Timestamp> {
        let change = self.address_change.as_ref();
        let change = change.filter(|it| it.undo(now).is_open());
        let held = self.held_until(Act::ChangeAddress, sends_mail, now);
        held.max(change.map(AddressChange::undo_ends_at))
    }

    /// Returns whether a factor that counted has proven a change that was asked for at
    /// `asked_at`. It had settled before the verification, so that a thief can't change the
    /// address just when a factor of theirs settles.
    #[must_use]
    pub fn is_proven_by_factor(&self, sends_mail: bool, asked_at: Timestamp) -> bool {
        let verified_after = asked_at.checked_sub(PROOF_LIFETIME);
        verified_after.is_ok_and(|at| self.has_settled_factor(sends_mail, at))
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::factors::AccountFactor;
    use crate::fixtures::{authenticated, now};
    use crate::ids::FactorId;
    use crate::ownership::holds::HELD_FOR;
    use crate::ownership::{Hold, HoldCause};

    const SECOND: SignedDuration = SignedDuration::from_secs(1);

    fn changed(state: ChangeState) -> AddressChange {
        AddressChange {
            previous: "lea@example.com".to_owned(),
            at: now(),
            state,
        }
    }

    #[test]
    fn only_a_change_that_stands_can_be_undone_and_for_seven_days() {
        let last = now() + UNDO_FOR;
        let undo = |state, at| changed(state).undo(at);
        assert_eq!(undo(ChangeState::Changed, last - SECOND), Undo::Undoes);
        assert_eq!(
            undo(ChangeState::ChangedByFactor, last - SECOND),
            Undo::Holds
        );
        assert_eq!(undo(ChangeState::Changed, last), Undo::Expired);
        for state in [ChangeState::Warned, ChangeState::Undone] {
            assert_eq!(undo(state, now()), Undo::Expired);
        }
        assert_eq!(changed(ChangeState::Changed).undo_ends_at(), last);
    }

    #[test]
    fn a_change_is_held_by_a_recovery_and_by_the_change_before_it() {
        let mut account = authenticated().account;
        assert_eq!(account.address_held_until(false, now()), None);
        account.hold = Some(Hold {
            cause: HoldCause::Recovery,
            began_at: now(),
        });
        let of_hold = now() + HELD_FOR;
        let held = |account: &Account, at| account.address_held_until(false, at);
        assert_eq!(held(&account, of_hold - SECOND), Some(of_hold));
        assert_eq!(held(&account, of_hold), None);
        let mut with_factor = account.clone();
        with_factor.factors = vec![AccountFactor {
            id: FactorId::new(now(), [7; 10]),
            added_at: now() - SECOND,
            epoch: account.epoch,
            notified_at: None,
        }];
        // It settled at once, since no mail reaches the account.
        assert_eq!(with_factor.address_held_until(false, now()), None);
        account.address_change = Some(changed(ChangeState::Changed));
        let last = now() + UNDO_FOR;
        assert_eq!(held(&account, now()), Some(last));
        assert_eq!(held(&account, last - SECOND), Some(last));
        assert_eq!(held(&account, last), None);
    }

    #[test]
    fn an_address_that_nobody_confirmed_has_no_undo() {
        let mut account = authenticated().account;
        let email = || EmailAddress::parse("new@example.com").unwrap();
        let new = |account: &Account, by| NewAddress::new(account, email(), by, (now(), [1; 10]));
        assert_eq!(new(&account, false).change, None);
        account.confirmed_at = Some(now());
        assert_eq!(
            new(&account, false).change,
            Some(changed(ChangeState::Changed))
        );
        let by_factor = Some(changed(ChangeState::ChangedByFactor));
        assert_eq!(new(&account, true).change, by_factor);
        account.email.clear();
        assert_eq!(new(&account, false).change, None);
    }

    #[test]
    fn a_state_is_read_by_its_name() {
        for state in ChangeState::ALL {
            assert_eq!(ChangeState::parse(state.as_str()), Some(state));
        }
        assert_eq!(ChangeState::parse("other"), None);
    }
}
