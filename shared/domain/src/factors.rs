//! The factors of an account: authenticator apps (TOTP, RFC 6238) and recovery codes.
//!
//! The account's row says which factors it has and since when; so a sign-in decides without
//! another read. What a factor counts for is decided by [`crate::ownership::factors`]. The
//! secrets, sealed, and the times of use are in rows of their own.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::account::{Account, Epoch};
use crate::crockford;
use crate::ids::{AccountId, FactorId, SessionId};
use crate::ownership::LostFactor;
use crate::ownership::factors::{AddressHistory, Factor, FactorStanding};
use crate::token::{Malformed, stored};
use crate::verification::has_proving_address;

/// The most authenticator apps of an account.
pub const MOST_FACTORS: usize = 5;

/// The time for which a new factor can be confirmed by the session that asked for it.
pub const CONFIRM_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// The number of recovery codes that are made at once.
pub const RECOVERY_CODES: usize = 10;

const RECOVERY_CODE_CHARS: usize = 24;
const GROUP: usize = 4;

/// A factor in the account's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountFactor {
    /// Its id.
    pub id: FactorId,
    /// The time when it was confirmed.
    pub added_at: Timestamp,
    /// The account's epoch at that time. A recovery moves it on, so clocks don't decide which
    /// of the two came first.
    pub epoch: Epoch,
    /// The time when its notice went to the address; `None` if none has gone yet.
    pub notified_at: Option<Timestamp>,
}

impl Account {
    /// Returns how far a factor has come. One that was lost ends when the wait is over, without
    /// a write.
    #[must_use]
    pub fn standing_of(
        &self,
        factor: &AccountFactor,
        sends_mail: bool,
        now: Timestamp,
    ) -> FactorStanding {
        let is_due = |at| LostFactor::is_due(at, now);
        if self.factors_lost_at.is_some_and(is_due) && self.is_lost(factor) {
            return FactorStanding::Ended;
        }
        Factor::from(factor).standing(&self.history(factor, sends_mail), now)
    }

    /// Returns the time at which a factor settles; `None` as long as no notice has gone.
    #[must_use]
    pub fn settles_at(&self, factor: &AccountFactor, sends_mail: bool) -> Option<Timestamp> {
        Factor::from(factor).settles_at(&self.history(factor, sends_mail))
    }

    /// Returns the time when lost factors are removed, as long as that can be stopped.
    #[must_use]
    pub fn removal_due_at(&self, now: Timestamp) -> Option<Timestamp> {
        let due_at = self.factors_lost_at.map(LostFactor::due_at);
        due_at.filter(|at| now < *at)
    }

    /// Returns the removal of lost factors that was asked for, if its wait is over. What was
    /// added since stays.
    #[must_use]
    pub fn due_removal(&self, now: Timestamp) -> Option<FactorRemoval> {
        let asked_at = self.factors_lost_at?;
        let is_lost = |factor: &AccountFactor| self.is_lost(factor);
        let (removed, left) = self.factors.iter().copied().partition(is_lost);
        LostFactor::is_due(asked_at, now).then_some(FactorRemoval {
            asked_at: Some(asked_at),
            removed,
            left,
        })
    }

    /// Returns the removal of every factor, by who has lost them and needs no wait.
    #[must_use]
    pub fn removal_of_all(&self) -> FactorRemoval {
        FactorRemoval {
            asked_at: None,
            removed: self.factors.clone(),
            left: Vec::new(),
        }
    }

    /// Returns the removal of the factors that a recovery has ended, so that the account's row
    /// stays small. Lost ones have a removal of their own, which can be stopped.
    #[must_use]
    pub fn removal_of_ended(&self, sends_mail: bool, now: Timestamp) -> FactorRemoval {
        let is_live = |it: &AccountFactor| {
            let history = self.history(it, sends_mail);
            Factor::from(it)
                .standing(&history, now)
                .is_asked_at_sign_in()
        };
        let (left, removed) = self.factors.iter().copied().partition(is_live);
        FactorRemoval {
            asked_at: None,
            removed,
            left,
        }
    }

    /// Returns whether this use of a factor stops the removal of lost ones: a young one has no
    /// power over what was there before.
    #[must_use]
    pub fn stops_removal(&self, used: &FactorUse, sends_mail: bool, now: Timestamp) -> bool {
        let counts = match used {
            FactorUse::RecoveryCode(_) => true,
            FactorUse::Totp { id, .. } => self.is_settled(*id, sends_mail, now),
        };
        counts && self.removal_due_at(now).is_some()
    }

    /// Returns whether this use of a factor is a verification: a young app doesn't count, and a
    /// recovery code counts if the account has an app that does.
    #[must_use]
    pub fn is_proven_by(&self, used: &FactorUse, sends_mail: bool, now: Timestamp) -> bool {
        match used {
            FactorUse::RecoveryCode(_) => self.has_settled_factor(sends_mail, now),
            FactorUse::Totp { id, .. } => self.is_settled(*id, sends_mail, now),
        }
    }

    fn is_settled(&self, id: FactorId, sends_mail: bool, now: Timestamp) -> bool {
        self.live_factors(sends_mail, now)
            .any(|(factor, standing)| factor.id == id && standing.counts())
    }

    /// Returns whether a factor was there when the removal of lost ones was asked for.
    fn is_lost(&self, factor: &AccountFactor) -> bool {
        self.factors_lost_at.is_some_and(|at| factor.added_at <= at)
    }

    /// Returns the factors that no recovery has ended, and that are not lost.
    pub fn live_factors(
        &self,
        sends_mail: bool,
        now: Timestamp,
    ) -> impl Iterator<Item = (&AccountFactor, FactorStanding)> {
        let with_standing = move |factor| (factor, self.standing_of(factor, sends_mail, now));
        let factors = self.factors.iter().map(with_standing);
        factors.filter(|(_, standing)| standing.is_asked_at_sign_in())
    }

    /// Returns whether a sign-in on a device that is not recognized needs a factor.
    #[must_use]
    pub fn has_factor(&self, sends_mail: bool, now: Timestamp) -> bool {
        self.live_factors(sends_mail, now).next().is_some()
    }

    /// Returns whether the account has a factor that counts against the address.
    #[must_use]
    pub fn has_settled_factor(&self, sends_mail: bool, now: Timestamp) -> bool {
        let mut factors = self.live_factors(sends_mail, now);
        factors.any(|(_, standing)| standing.counts())
    }

    fn history(&self, factor: &AccountFactor, sends_mail: bool) -> AddressHistory {
        let is_before = self
            .recovered_epoch
            .is_some_and(|epoch| factor.epoch < epoch);
        let recovered_at = self.recovered_at.filter(|_| is_before);
        AddressHistory {
            has_mail: has_proving_address(self, sends_mail),
            confirmed_at: self.confirmed_at,
            recovered_at: recovered_at.map(|at| at.max(factor.added_at)),
        }
    }
}

/// The removal of factors that their owner has lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactorRemoval {
    /// The time when it was asked for, if it had to wait.
    pub asked_at: Option<Timestamp>,
    /// The factors that go.
    pub removed: Vec<AccountFactor>,
    /// The factors that stay.
    pub left: Vec<AccountFactor>,
}

impl From<&AccountFactor> for Factor {
    fn from(factor: &AccountFactor) -> Self {
        Self {
            added_at: factor.added_at,
            notified_at: factor.notified_at,
        }
    }
}

/// An authenticator app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TotpFactor {
    /// The account.
    pub account: AccountId,
    /// Its id.
    pub id: FactorId,
    /// The name that the owner gave it.
    pub name: String,
    /// The secret, sealed.
    pub sealed: Vec<u8>,
    /// The last time step whose code was accepted (RFC 6238, section 5.2): none is accepted
    /// twice.
    pub last_step: Option<u64>,
    /// The session that may confirm it, and since when; `None` once it is confirmed.
    pub begun: Option<Begun>,
}

/// The request that began a factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// The session.
    pub session: SessionId,
    /// The account's epoch.
    pub epoch: Epoch,
    /// The time.
    pub at: Timestamp,
}

impl Begun {
    /// Returns the time until which the factor can be confirmed.
    #[must_use]
    pub fn confirm_until(&self) -> Timestamp {
        self.at
            .checked_add(CONFIRM_WITHIN)
            .unwrap_or(Timestamp::MAX)
    }

    /// Returns whether this session may still confirm the factor.
    #[must_use]
    pub fn may_be_confirmed(&self, session: SessionId, epoch: Epoch, now: Timestamp) -> bool {
        let is_own = self.session == session && self.epoch == epoch;
        is_own && now.duration_since(self.at) < CONFIRM_WITHIN
    }
}

/// What a request has shown of the account's factors, to be used up with the act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactorUse {
    /// The code of a time step.
    Totp {
        /// The factor.
        id: FactorId,
        /// The time step.
        step: u64,
    },
    /// A recovery code.
    RecoveryCode(RecoveryCodeHash),
}

/// The SHA-256 of an account's id and a recovery code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RecoveryCodeHash([u8; 32]);

stored!(RecoveryCodeHash);

/// A recovery code: 24 of Crockford's characters, 120 random bits. Wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct RecoveryCode([u8; RECOVERY_CODE_CHARS]);

impl RecoveryCode {
    /// Creates a code from random bytes.
    #[must_use]
    pub fn new(random: [u8; 15]) -> Self {
        Self(crockford::encode(&random))
    }

    /// Parses what a person typed, as leniently as [`Code::parse`](crate::Code::parse).
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        crockford::parse(text).map(Self)
    }

    /// Returns the text to show, in groups of four.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        crockford::grouped(&self.0, GROUP)
    }

    /// Returns the hash to store or to compare.
    #[must_use]
    pub fn hash_in(&self, account: AccountId) -> RecoveryCodeHash {
        let digest = Sha256::new().chain_update(account.as_bytes());
        RecoveryCodeHash(digest.chain_update(self.0).finalize().into())
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(…)")
    }
}

/// The recovery codes of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryCodes {
    /// Those that are left.
    pub left: Vec<RecoveryCodeHash>,
    /// The time when they were made.
    pub made_at: Timestamp,
}

impl RecoveryCodes {
    /// Returns whether this is one of those that are left.
    #[must_use]
    pub fn has(&self, shown: &RecoveryCodeHash) -> bool {
        self.left
            .iter()
            .fold(false, |found, left| found | left.matches(shown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{authenticated, now};
    use crate::ownership::factors::SETTLED_AFTER;
    use crate::ownership::recovery::LOST_FACTOR_WAIT;

    fn factor(notified_at: Option<Timestamp>) -> AccountFactor {
        AccountFactor {
            id: FactorId::new(now(), [7; 10]),
            added_at: now(),
            epoch: Epoch(5),
            notified_at,
        }
    }

    fn account(factor: AccountFactor) -> Account {
        let mut account = authenticated().account;
        account.confirmed_at = Some(now() - SETTLED_AFTER);
        account.factors = vec![factor];
        account
    }

    #[test]
    fn a_young_factor_is_asked_at_sign_in_and_counts_after_seven_days() {
        let account = account(factor(Some(now())));
        let settled = now() + SETTLED_AFTER;
        assert!(account.has_factor(true, now()) && account.has_factor(true, settled));
        assert!(!account.has_settled_factor(true, now()));
        assert!(account.has_settled_factor(true, settled));
    }

    #[test]
    fn a_factor_whose_notice_never_went_never_counts() {
        let account = account(factor(None));
        assert!(account.has_factor(true, now()));
        assert!(!account.has_settled_factor(true, now() + SETTLED_AFTER * 9));
    }

    #[test]
    fn a_recovery_ends_what_was_young_whatever_the_clocks_say() {
        let mut account = account(factor(Some(now())));
        account.recovered_epoch = Some(Epoch(1000));
        account.recovered_at = Some(now() - SETTLED_AFTER);
        assert!(!account.has_factor(true, now() + SETTLED_AFTER * 9));
        account.factors[0].epoch = Epoch(1000);
        assert!(account.has_factor(true, now()));
    }

    #[test]
    fn a_recovery_leaves_what_had_settled() {
        let mut account = account(factor(Some(now())));
        let settled = now() + SETTLED_AFTER;
        account.recovered_epoch = Some(Epoch(1000));
        account.recovered_at = Some(settled);
        assert!(account.has_settled_factor(true, settled));
    }

    #[test]
    fn a_lost_factor_counts_for_72_hours_to_the_second_and_a_later_one_stays() {
        let mut account = account(factor(Some(now() - SETTLED_AFTER)));
        account.factors_lost_at = Some(now());
        let due = now() + LOST_FACTOR_WAIT;
        let early = due - SignedDuration::from_secs(1);
        assert!(account.has_settled_factor(true, early) && !account.has_factor(true, due));
        assert_eq!(account.removal_due_at(early), Some(due));
        assert_eq!(account.removal_due_at(due), None);
        assert_eq!(account.due_removal(early), None);
        let later = AccountFactor {
            added_at: now() + SignedDuration::from_secs(1),
            ..account.factors[0]
        };
        account.factors.push(later);
        assert!(account.has_factor(true, due));
        let removal = account.due_removal(due).unwrap();
        assert_eq!((removal.removed.len(), removal.left), (1, vec![later]));
    }

    #[test]
    fn a_settled_factor_or_a_recovery_code_stops_the_removal_and_a_young_factor_does_not() {
        let mut account = account(factor(Some(now())));
        let (settled, asked) = (now() + SETTLED_AFTER, now() + SETTLED_AFTER / 2);
        let totp = FactorUse::Totp {
            id: account.factors[0].id,
            step: 1,
        };
        let code = RecoveryCode::new([1; 15]).hash_in(account.id);
        let code = FactorUse::RecoveryCode(code);
        assert!(!account.stops_removal(&totp, true, settled));
        account.factors_lost_at = Some(asked);
        assert!(!account.stops_removal(&totp, true, asked));
        assert!(account.stops_removal(&code, true, asked));
        account.factors_lost_at = Some(settled);
        assert!(account.stops_removal(&totp, true, settled));
        let due = settled + LOST_FACTOR_WAIT;
        assert!(!account.stops_removal(&totp, true, due));
        assert!(!account.stops_removal(&code, true, due));
    }

    #[test]
    fn only_the_session_that_began_a_factor_confirms_it_within_ten_minutes() {
        let session = SessionId::from_random([1; 16]);
        let begun = Begun {
            session,
            epoch: Epoch(5),
            at: now(),
        };
        let last = now() + CONFIRM_WITHIN;
        let early = last - SignedDuration::from_secs(1);
        assert!(begun.may_be_confirmed(session, Epoch(5), early));
        assert!(!begun.may_be_confirmed(session, Epoch(5), last));
        assert!(!begun.may_be_confirmed(session, Epoch(6), early));
        let other = SessionId::from_random([2; 16]);
        assert!(!begun.may_be_confirmed(other, Epoch(5), early));
    }

    #[test]
    fn a_recovery_code_is_read_back_as_people_type_it_and_belongs_to_its_account() {
        let code = RecoveryCode::new([0xa5; 15]);
        let text = code.to_text();
        assert_eq!(text.len(), 24 + 5);
        let typed = text.to_lowercase().replace('-', " ");
        let account = AccountId::from_random([1; 16]);
        let hash = code.hash_in(account);
        assert!(
            RecoveryCode::parse(&typed)
                .unwrap()
                .hash_in(account)
                .matches(&hash)
        );
        assert!(!code.hash_in(AccountId::from_random([2; 16])).matches(&hash));
        for wrong in ["", &text[1..], "U"] {
            assert!(RecoveryCode::parse(wrong).is_err(), "{wrong}");
        }
        let codes = RecoveryCodes {
            left: vec![hash],
            made_at: now(),
        };
        assert!(codes.has(&hash));
        assert!(!codes.has(&RecoveryCode::new([1; 15]).hash_in(account)));
    }
}
