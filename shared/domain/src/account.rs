//! The account: its credentials, and the epoch that its sessions must carry.

use jiff::{SignedDuration, Timestamp};

use crate::address_change::AddressChange;
use crate::factors::AccountFactor;
use crate::ids::{AccountId, SessionId};
use crate::ownership::Hold;
use crate::password::StoredHash;
use crate::verification::has_proving_address;

/// The account's counter of sign-outs of all devices. A session of an older epoch
/// has ended, unless it is the kept one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of a new account.
    pub const FIRST: Self = Self(1);

    /// The distance of the epochs that a jump leads to.
    const JUMP: u64 = 1000;

    /// Returns the epoch that a jump leads to: more than 1,000 sign-outs from this one, so
    /// that none that is under way can outrun it. It is a multiple of 1,000, so that the
    /// record of a jump is found by any of the epochs that it may have ended.
    #[must_use]
    pub fn after_jump(self) -> Self {
        Self((self.0 / Self::JUMP + 2) * Self::JUMP)
    }

    /// Returns the last epochs that a jump ended which was made while this one was the
    /// account's: a jump that was prepared in this thousand, or in the one before.
    #[must_use]
    pub fn ended_by_jump(self) -> [Self; 2] {
        [1, 2].map(|ahead| Self((self.0 / Self::JUMP + ahead) * Self::JUMP - 1))
    }

    /// Returns whether a jump may have ended the epochs up to this one.
    #[must_use]
    pub fn may_end_by_jump(self) -> bool {
        self.0 % Self::JUMP == Self::JUMP - 1
    }

    /// Returns the epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The account's row, which every check reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The account's id.
    pub id: AccountId,
    /// The e-mail address in its normal form, by which the account is found and mail is
    /// sent. Empty if another account has proven the address, which this one never did.
    pub email: String,
    /// The hash of the account's password.
    pub password_hash: StoredHash,
    /// The current epoch, which new sessions carry.
    pub epoch: Epoch,
    /// The one session of an older epoch that is still valid.
    pub kept_session: Option<SessionId>,
    /// The time when the account was disabled: no session is valid, and no sign-in
    /// succeeds.
    pub disabled_at: Option<Timestamp>,
    /// The time of registration.
    pub created_at: Timestamp,
    /// The time when its owner first proved that they read the address's mail; `None` if
    /// nobody ever did. A change of the address leaves it.
    pub confirmed_at: Option<Timestamp>,
    /// The time of the last recovery, or of the last undo of a changed address. It ended every
    /// challenge that was asked for before.
    pub recovered_at: Option<Timestamp>,
    /// The epoch that the last recovery led to.
    pub recovered_epoch: Option<Epoch>,
    /// Its factors, also those that a recovery has ended.
    pub factors: Vec<AccountFactor>,
    /// The time when somebody with its password and its mail asked to have the factors removed
    /// that it had by then.
    pub factors_lost_at: Option<Timestamp>,
    /// The hold on changes that a recovery or a warning began.
    pub hold: Option<Hold>,
    /// The last change of the address.
    pub address_change: Option<AddressChange>,
    /// Whether its owner has asked for a code by mail at sign-ins on new devices.
    pub sign_in_codes: bool,
}

/// The time for which an account whose address nobody has confirmed works as any other.
pub const UNCONFIRMED_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

impl Account {
    /// Returns whether its owner is to be asked to confirm the address: it has one that mail
    /// can reach, nobody has confirmed it, and the deployment sends mail. See
    /// [`EmailAddress::is_ascii`](crate::EmailAddress::is_ascii).
    #[must_use]
    pub fn is_to_be_confirmed(&self, sends_mail: bool) -> bool {
        let has_mail = sends_mail && !self.email.is_empty() && self.email.is_ascii();
        has_mail && self.confirmed_at.is_none()
    }

    /// Returns whether a device that is not recognized needs a code to the address to sign in:
    /// it is to be confirmed, and the account is 30 days old.
    #[must_use]
    pub fn needs_code(&self, sends_mail: bool, now: Timestamp) -> bool {
        let age = now.duration_since(self.created_at);
        self.is_to_be_confirmed(sends_mail) && age >= UNCONFIRMED_FOR
    }

    /// Returns whether a device that is not recognized needs a code to the confirmed address to
    /// sign in, because the owner or the team (`by_team`) wants it. A factor that counts is
    /// asked for in its place.
    #[must_use]
    pub fn wants_code(&self, sends_mail: bool, by_team: bool) -> bool {
        self.can_get_code(sends_mail) && (by_team || self.sign_in_codes)
    }

    /// Returns whether a code at a sign-in can reach the owner: the address is confirmed, and
    /// mail can be sent to it.
    #[must_use]
    pub fn can_get_code(&self, sends_mail: bool) -> bool {
        has_proving_address(self, sends_mail) && self.email.is_ascii()
    }

    /// Returns whether a recovery that was asked for at `asked_at` may still be completed: by
    /// then the address was confirmed, and no recovery has been completed since. Nothing else
    /// ends it.
    #[must_use]
    pub fn can_be_recovered(&self, asked_at: Timestamp) -> bool {
        self.confirmed_at.is_some_and(|at| at <= asked_at)
            && self.recovered_at.is_none_or(|at| at < asked_at)
            && self.disabled_at.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unconfirmed_account_needs_a_code_from_its_thirtieth_day_on_where_mail_is_sent() {
        let crate::session::Authenticated { mut account, .. } = crate::fixtures::authenticated();
        account.confirmed_at = None;
        let due = account.created_at + UNCONFIRMED_FOR;
        let second = SignedDuration::from_secs(1);
        assert!(!account.needs_code(true, due - second) && account.is_to_be_confirmed(true));
        assert!(account.needs_code(true, due));
        assert!(!account.needs_code(false, due) && !account.is_to_be_confirmed(false));
        let ascii = std::mem::replace(&mut account.email, "jos\u{e9}@example.com".to_owned());
        assert!(!account.needs_code(true, due) && !account.is_to_be_confirmed(true));
        account.email = ascii;
        account.confirmed_at = Some(due);
        assert!(!account.needs_code(true, due) && !account.is_to_be_confirmed(true));
    }

    #[test]
    fn a_code_is_wanted_by_the_owner_or_the_team_and_only_where_it_reaches_the_owner() {
        let crate::session::Authenticated { mut account, .. } = crate::fixtures::authenticated();
        account.confirmed_at = Some(account.created_at);
        for (by_owner, by_team) in [(false, false), (true, false), (false, true), (true, true)] {
            account.sign_in_codes = by_owner;
            assert_eq!(account.wants_code(true, by_team), by_owner || by_team);
            assert!(!account.wants_code(false, by_team));
        }
        account.confirmed_at = None;
        assert!(!account.wants_code(true, true));
    }

    #[test]
    fn a_jump_is_over_a_thousand_epochs_long_and_found_by_each_that_it_may_have_ended() {
        for prepared in [1, 2, 998, 999, 1000, 1001, 1999, 2000, 123_456] {
            let next = Epoch(prepared).after_jump();
            assert!(next.0 - prepared > 1000, "{prepared}");
            let last = Epoch(next.0 - 1);
            assert!(last.may_end_by_jump());
            for ended in prepared..next.0 {
                assert!(
                    Epoch(ended).ended_by_jump().contains(&last),
                    "{prepared} {ended}"
                );
            }
        }
    }
}
