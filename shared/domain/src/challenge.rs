//! Challenges: how a person proves that they read the mail of an address, have a factor, or were
//! at the team's own login.
//!
//! Who asks gets a secret. The mail has a code, which works together with that secret
//! only, so that the mail may be read on any device and is of no use to anybody else. A
//! recovery's mail also has a link with a secret of its own, which works wherever it is
//! opened.
//!
//! | secret | text | characters |
//! | --- | --- | --- |
//! | of who asks | `cfc_` + base64url(32 random bytes) + checksum | 4 + 43 + 6 |
//! | code | 8 of Crockford's characters: 40 random bits | 8, and a dash |
//! | link | base64url(challenge id) + `.` + base64url(32 random bytes) | 43 + 1 + 43 |
//!
//! Stored are the SHA-256 of each, of the code together with the secret of who asks: the
//! table alone opens nothing.

mod secrets;

use jiff::{SignedDuration, Timestamp};

use crate::account::Epoch;
use crate::email::EmailAddress;
use crate::ids::{AccountId, DeviceId, SessionId};
use crate::session::Authenticated;
use crate::token::SECRET_BYTES;
use crate::verification::VERIFIED_FOR;

pub use self::secrets::{ChallengeId, ChallengeSecret, Code, CodeDigest, Link, LinkHash};

/// The time for which a code can be typed.
pub const CODE_LIFETIME: SignedDuration = SignedDuration::from_mins(10);

/// The time for which a link works.
pub const LINK_LIFETIME: SignedDuration = SignedDuration::from_hours(1);

/// The most tries of a code. A guess is right once in 2^40 / 5.
pub const TRIES: u32 = 5;

/// What a challenge is for. A code for one purpose does nothing for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Making an account for the address.
    Confirmation,
    /// Recovering the account of the address.
    Recovery,
    /// Signing in past the limits that others may have used up.
    Pass,
    /// Proving again that the holder of a session is the owner.
    Verification,
    /// Completing a sign-in whose password was right.
    SecondStep,
    /// Changing the address of an account to this one.
    AddressChange,
    /// The address was changed to this one. The session that asked may repeat its confirmation.
    AddressChanged,
    /// Having the factors removed that the owner has lost.
    LostFactor,
    /// The removal of lost factors was asked for. The request may be repeated, if its answer was
    /// lost.
    LostFactorReported,
    /// Verifying a session: the team's own login has proven who its holder is.
    External,
}

impl Purpose {
    /// Returns the name that the table uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmation => "confirmation",
            Self::Recovery => "recovery",
            Self::Pass => "pass",
            Self::Verification => "verification",
            Self::SecondStep => "second_step",
            Self::AddressChange => "address_change",
            Self::AddressChanged => "address_changed",
            Self::LostFactor => "lost_factor",
            Self::LostFactorReported => "lost_factor_reported",
            Self::External => "external",
        }
    }

    /// Parses the name; `None` for an unknown one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "confirmation" => Self::Confirmation,
            "recovery" => Self::Recovery,
            "pass" => Self::Pass,
            "verification" => Self::Verification,
            "second_step" => Self::SecondStep,
            "address_change" => Self::AddressChange,
            "address_changed" => Self::AddressChanged,
            "lost_factor" => Self::LostFactor,
            "lost_factor_reported" => Self::LostFactorReported,
            "external" => Self::External,
            _ => return None,
        })
    }

    /// Returns whether its mail has a link that works wherever it is opened.
    #[must_use]
    pub fn has_link(self) -> bool {
        self == Self::Recovery
    }
}

/// A challenge as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Its id.
    pub id: ChallengeId,
    /// What it is for.
    pub purpose: Purpose,
    /// The address whose mail has the code, or that of the account.
    pub email: EmailAddress,
    /// The digest of the code; `None` for a second step, which a factor answers, and for an
    /// external proof.
    pub code: Option<CodeDigest>,
    /// The hash of the link's secret, if the mail has one that works anywhere.
    pub link: Option<LinkHash>,
    /// The time when it was asked for, or of the external proof.
    pub asked_at: Timestamp,
    /// The session that alone may answer it: for a verification, an external proof and a change
    /// of the address.
    pub session: Option<SessionId>,
    /// The account's epoch when it was made, in which alone it may be answered: for an external
    /// proof and a change of the address.
    pub epoch: Option<Epoch>,
    /// The sign-in that a second step completes, or that lacks a lost factor.
    pub sign_in: Option<PendingSignIn>,
}

/// A sign-in whose password was right, and which a factor has to complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingSignIn {
    /// The account.
    pub account: AccountId,
    /// The epoch that was read together with the password's hash. The session gets this
    /// one, so that a password that is changed in between signs nobody in.
    pub epoch: Epoch,
    /// The device that asked, which alone may complete it.
    pub device: DeviceId,
}

/// A new challenge, with the secrets that are not stored.
pub struct NewChallenge {
    /// What is stored.
    pub challenge: Challenge,
    /// What who asked gets.
    pub secret: ChallengeSecret,
    /// What the mail shows.
    pub code: Code,
    /// What the mail links to, if that works wherever it is opened.
    pub link: Option<Link>,
}

/// The random bytes of a challenge.
#[derive(Clone, Copy)]
pub struct ChallengeRandom {
    /// Of the secret.
    pub secret: [u8; SECRET_BYTES],
    /// Of the code.
    pub code: [u8; 5],
    /// Of the link.
    pub link: [u8; SECRET_BYTES],
}

impl NewChallenge {
    /// Creates a challenge.
    #[must_use]
    pub fn new(
        purpose: Purpose,
        email: EmailAddress,
        now: Timestamp,
        random: ChallengeRandom,
    ) -> Self {
        let secret = ChallengeSecret::new(random.secret);
        let code = Code::new(random.code);
        let link = purpose
            .has_link()
            .then(|| Link::new(secret.id(), random.link));
        Self {
            challenge: Challenge {
                id: secret.id(),
                purpose,
                email,
                code: Some(secret.digest(&code)),
                link: link.as_ref().map(Link::hash),
                asked_at: now,
                session: None,
                sign_in: None,
                epoch: None,
            },
            secret,
            code,
            link,
        }
    }

    /// Binds it to a session: no other one can answer it.
    #[must_use]
    pub fn bound_to(mut self, session: SessionId) -> Self {
        self.challenge.session = Some(session);
        self
    }

    /// Binds it to a sign-in that lacks a factor, and to the epoch of that.
    #[must_use]
    pub fn of_sign_in(mut self, sign_in: PendingSignIn) -> Self {
        self.challenge.sign_in = Some(sign_in);
        self
    }

    /// Binds it to an epoch of the account: what ends other sessions ends it, too.
    #[must_use]
    pub fn in_epoch(mut self, epoch: Epoch) -> Self {
        self.challenge.epoch = Some(epoch);
        self
    }
}

impl Challenge {
    /// Creates the challenge of a second step.
    #[must_use]
    pub fn of_second_step(
        secret: &ChallengeSecret,
        email: EmailAddress,
        sign_in: PendingSignIn,
        now: Timestamp,
    ) -> Self {
        Self {
            id: secret.id(),
            purpose: Purpose::SecondStep,
            email,
            code: None,
            link: None,
            asked_at: now,
            session: None,
            epoch: None,
            sign_in: Some(sign_in),
        }
    }

    /// Creates the challenge with which a session shows that the team's own login has proven
    /// who its holder is, at `proven_at`.
    #[must_use]
    pub fn of_external(
        secret: &ChallengeSecret,
        email: EmailAddress,
        (session, epoch): (SessionId, Epoch),
        proven_at: Timestamp,
    ) -> Self {
        Self {
            id: secret.id(),
            purpose: Purpose::External,
            email,
            code: None,
            link: None,
            asked_at: proven_at,
            session: Some(session),
            epoch: Some(epoch),
            sign_in: None,
        }
    }

    /// Returns the time of the external proof that it is, if it counts for this caller at `now`.
    /// The backend has named the account: a thief of the session who signs in there with an
    /// account of their own proves nothing about this one.
    #[must_use]
    pub fn external_proof(&self, caller: &Authenticated, now: Timestamp) -> Option<Timestamp> {
        let is_of_it = self.purpose == Purpose::External
            && self.session == Some(caller.device.session)
            && self.email.as_normal() == caller.account.email
            && self.epoch == Some(caller.account.epoch);
        let is_fresh = self.is_within(VERIFIED_FOR, now);
        (is_of_it && is_fresh).then_some(self.asked_at)
    }

    /// Returns the sign-in that a second step may complete at `now`, on a device of these.
    /// The try must have been counted before.
    #[must_use]
    pub fn sign_in_on(&self, devices: &[DeviceId], now: Timestamp) -> Option<PendingSignIn> {
        let is_own = |it: &PendingSignIn| devices.contains(&it.device);
        self.sign_in
            .filter(is_own)
            .filter(|_| self.is_within(CODE_LIFETIME, now))
    }

    /// Returns whether a typed code answers it. The try must have been counted before.
    #[must_use]
    pub fn is_answered_by_code(
        &self,
        secret: &ChallengeSecret,
        code: &Code,
        now: Timestamp,
    ) -> bool {
        let is_right = self.code.is_some_and(|it| it.matches(&secret.digest(code)));
        is_right && self.is_within(CODE_LIFETIME, now)
    }

    /// Returns whether a link answers it.
    #[must_use]
    pub fn is_answered_by_link(&self, link: &Link, now: Timestamp) -> bool {
        let is_right = self.link.is_some_and(|hash| hash.matches(&link.hash()));
        is_right && self.is_within(LINK_LIFETIME, now)
    }

    /// Returns the time until which its row is kept. That of a second step shows afterwards
    /// that nobody has completed it.
    #[must_use]
    pub fn kept_until(&self) -> Timestamp {
        match self.sign_in {
            Some(_) => self
                .asked_at
                .checked_add(LINK_LIFETIME)
                .unwrap_or(Timestamp::MAX),
            None => self.expires_at(),
        }
    }

    /// Returns the time from which nothing answers it.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        let lifetime = if self.link.is_some() {
            LINK_LIFETIME
        } else if self.purpose == Purpose::External {
            VERIFIED_FOR
        } else {
            CODE_LIFETIME
        };
        self.asked_at
            .checked_add(lifetime)
            .unwrap_or(Timestamp::MAX)
    }

    fn is_within(&self, lifetime: SignedDuration, now: Timestamp) -> bool {
        now.duration_since(self.asked_at) < lifetime
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn asked(purpose: Purpose) -> NewChallenge {
        let random = ChallengeRandom {
            secret: [1; 32],
            code: [0xff, 0, 0xff, 0, 0x0f],
            link: [3; 32],
        };
        let email = EmailAddress::parse("lea@example.com").unwrap();
        NewChallenge::new(purpose, email, fixtures::now(), random)
    }

    #[test]
    fn a_code_works_for_ten_minutes_and_with_its_secret_only() {
        let asked = asked(Purpose::Confirmation);
        let (challenge, code) = (&asked.challenge, &asked.code);
        let last = fixtures::now() + CODE_LIFETIME;
        let early = last - SignedDuration::from_millis(1);
        assert!(challenge.is_answered_by_code(&asked.secret, code, early));
        assert!(!challenge.is_answered_by_code(&asked.secret, code, last));
        assert!(!challenge.is_answered_by_code(&ChallengeSecret::new([2; 32]), code, early));
        assert!(!challenge.is_answered_by_code(&asked.secret, &Code::new([9; 5]), early));
        assert_eq!(challenge.expires_at(), last);
    }

    #[test]
    fn only_a_recovery_has_a_link_and_it_works_for_an_hour() {
        let asked_now = asked(Purpose::Recovery);
        let (challenge, link) = (&asked_now.challenge, asked_now.link.as_ref().unwrap());
        let last = fixtures::now() + LINK_LIFETIME;
        let early = last - SignedDuration::from_millis(1);
        assert!(challenge.is_answered_by_link(link, early));
        assert!(!challenge.is_answered_by_link(link, last));
        assert!(!challenge.is_answered_by_link(&Link::new(challenge.id, [4; 32]), early));
        assert_eq!(challenge.expires_at(), last);
        let other = asked(Purpose::Pass);
        assert!(other.link.is_none() && !other.challenge.is_answered_by_link(link, early));
    }

    #[test]
    fn secrets_are_read_back_and_not_shown() {
        let asked = asked(Purpose::Recovery);
        let secret = ChallengeSecret::parse(&asked.secret.to_text()).unwrap();
        assert_eq!(secret.id(), asked.challenge.id);
        let made = asked.link.as_ref().unwrap();
        let text = format!("{}.{}", asked.challenge.id, *made.secret_text());
        let link = Link::parse(&text).unwrap();
        assert_eq!(link.challenge(), asked.challenge.id);
        assert!(link.hash().matches(&made.hash()));
        assert!(Link::parse(&asked.secret.to_text()).is_err());
        assert!(Link::parse(&text[1..]).is_err() && Link::parse(&format!("{text}=")).is_err());
        assert!(ChallengeSecret::parse(&text).is_err());
        let shown = format!(
            "{:?} {:?} {:?} {:?}",
            secret, asked.code, link, asked.challenge
        );
        assert!(
            !shown.contains("ZW0F") && !shown.contains("lea@"),
            "{shown}"
        );
    }
}
