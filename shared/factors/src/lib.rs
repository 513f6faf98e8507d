//! Second factors: authenticator apps (TOTP, RFC 6238), whose secrets KMS seals, and
//! recovery codes.
//!
//! Three functions check a factor: `second-step` at a sign-in, `verify` for a session, and
//! `confirm-codes` at a recovery. What a factor counts for is decided in `domain`; that a
//! code works once is a condition of `store`.

mod news;
mod seal;
mod totp;

use domain::attempts::CounterKey;
use domain::factors::{FactorUse, RecoveryCode, TotpFactor};
use domain::ownership::FactorStanding;
use domain::sign_in_budgets::{RECOVERY_CODE_TRIES, SECOND_STEPS};
use domain::verification::Proof;
use domain::{Account, DeviceId};
use http_api::Problem;
use jiff::Timestamp;
use store::{Charge, Charged, Factors, Store};

pub use news::{news_from, news_of, queue_news};
pub use seal::{SealError, Sealer};
pub use totp::{TotpCode, TotpSecret, qr_code};

/// What a request has shown of the account's factors.
#[derive(Debug)]
pub enum Shown {
    /// The code of an authenticator app.
    Totp(TotpCode),
    /// A recovery code.
    RecoveryCode(RecoveryCode),
}

impl Shown {
    /// Parses the two fields of a body, of which a request has one at most.
    ///
    /// # Errors
    /// `request-invalid`, with the field.
    pub fn parse(totp: Option<&str>, recovery_code: Option<&str>) -> Result<Option<Self>, Problem> {
        match (totp, recovery_code) {
            (None, None) => Ok(None),
            (Some(code), None) => match TotpCode::parse(code) {
                Some(code) => Ok(Some(Self::Totp(code))),
                None => Err(Problem::invalid("totp", "must have six digits")),
            },
            (None, Some(code)) => match RecoveryCode::parse(code) {
                Ok(code) => Ok(Some(Self::RecoveryCode(code))),
                Err(error) => Err(Problem::invalid("recovery_code", error.to_string())),
            },
            (Some(_), Some(_)) => {
                let detail = "was sent together with `totp`: send one";
                Err(Problem::invalid("recovery_code", detail))
            }
        }
    }

    /// Returns the kind of proof that it is.
    #[must_use]
    pub fn proof(&self) -> Proof {
        match self {
            Self::Totp(_) => Proof::Factor,
            Self::RecoveryCode(_) => Proof::RecoveryCode,
        }
    }

    /// Counts a try for the account, by what its caller has proven: who has the password or the
    /// mailbox could guess without an end otherwise, and a thief who has one of them must not
    /// use up the tries of an owner who has the other.
    ///
    /// # Errors
    /// `too-many-attempts`, `factor-locked` and `unavailable`.
    pub async fn charge(
        &self,
        store: &Store,
        account: &Account,
        after: After,
        now: Timestamp,
    ) -> Result<Charged, Problem> {
        let (counter, budget) = match self {
            Self::Totp(_) => (after.counter("second-step", account), &SECOND_STEPS),
            Self::RecoveryCode(_) => {
                let counter = after.counter("recovery-code", account);
                (counter, &RECOVERY_CODE_TRIES)
            }
        };
        match store.charge(counter, budget, now).await? {
            Charge::Admitted(charged) => Ok(charged),
            Charge::Refused(wait) => Err(Problem::too_many_attempts(wait)),
            Charge::Spent => Err(Problem::FactorLocked),
        }
    }
}

/// What the caller has proven before a factor is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The password, on a device that is not recognized.
    Password,
    /// That it is this recognized device.
    Recognized(DeviceId),
    /// A code to the address.
    AddressCode,
}

impl After {
    /// Returns the counter of the account's epoch and newest app. A recovery, a changed password
    /// and a new app begin another, so that a hundred wrong codes don't lock the owner out for
    /// good. Nobody does any of this with the password alone.
    fn counter(self, kind: &'static str, account: &Account) -> CounterKey {
        let (id, epoch) = (account.id.as_bytes(), account.epoch.0.to_be_bytes());
        let newest = account.factors.last();
        let newest = newest.map_or(&[][..], |factor| factor.id.as_bytes());
        let by: &[u8] = match &self {
            Self::Password => b"password",
            Self::Recognized(device) => device.as_bytes(),
            Self::AddressCode => b"address",
        };
        CounterKey::new(kind, &[id, &epoch, newest, by])
    }
}

/// The factors that a check accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// Every one: at a sign-in.
    Live,
    /// Those that count against the address: at a verification and a recovery.
    Settled,
}

impl Accepted {
    fn takes(self, standing: FactorStanding) -> bool {
        match self {
            Self::Live => standing.is_asked_at_sign_in(),
            Self::Settled => standing.counts(),
        }
    }
}

/// Checks factors.
#[derive(Debug, Clone)]
pub struct Checker {
    /// Opens the secrets; `None` where the deployment has no second factors.
    pub sealer: Option<Sealer>,
    /// Whether the deployment sends mail.
    pub sends_mail: bool,
}

impl Checker {
    /// Returns what the request uses up, if it has shown a factor of the account. The caller
    /// has counted the try, and makes the use part of its own transaction.
    ///
    /// # Errors
    /// `factors-unavailable` and `unavailable`.
    pub async fn check(
        &self,
        store: &Store,
        account: &Account,
        (shown, accepted): (&Shown, Accepted),
        now: Timestamp,
    ) -> Result<Option<FactorUse>, Problem> {
        let rows = store.factors(account.id).await?;
        match shown {
            Shown::Totp(code) => self.find(account, &rows, (code, accepted), now).await,
            Shown::RecoveryCode(code) => {
                let hash = code.hash_in(account.id);
                let is_left = rows.codes.is_some_and(|codes| codes.has(&hash));
                Ok(is_left.then_some(FactorUse::RecoveryCode(hash)))
            }
        }
    }

    /// Returns the authenticator app that shows this code, with its time step. A code that was
    /// used is wrong (RFC 6238, section 5.2).
    async fn find(
        &self,
        account: &Account,
        rows: &Factors,
        (code, accepted): (&TotpCode, Accepted),
        now: Timestamp,
    ) -> Result<Option<FactorUse>, Problem> {
        for (factor, standing) in account.live_factors(self.sends_mail, now) {
            let row = rows.totp.iter().find(|row| row.id == factor.id);
            if let Some(row) = row.filter(|_| accepted.takes(standing))
                && let Some(step) = self.step_of(row, code, now).await?
                && row.last_step.is_none_or(|last| last < step)
            {
                let id = factor.id;
                return Ok(Some(FactorUse::Totp { id, step }));
            }
        }
        Ok(None)
    }

    /// Returns the time step whose code this is. A secret that does not open is skipped: a
    /// changed row must not keep the other factors from working.
    ///
    /// # Errors
    /// `factors-unavailable` and `unavailable`.
    pub async fn step_of(
        &self,
        row: &TotpFactor,
        code: &TotpCode,
        now: Timestamp,
    ) -> Result<Option<u64>, Problem> {
        let sealer = self.sealer.as_ref().ok_or(Problem::FactorsUnavailable)?;
        match sealer.open(row).await {
            Ok(secret) => Ok(secret.step_of(code, now)),
            Err(SealError::Changed) => {
                tracing::error!(factor = %row.id, "sealed secret does not open");
                Ok(None)
            }
            Err(SealError::Failed(cause)) => {
                tracing::error!(cause, "KMS request failed");
                Err(Problem::Unavailable)
            }
        }
    }

    /// Gives the charge of a right factor back. A failure is only logged.
    pub async fn give_back(store: &Store, charged: &Charged) {
        if let Err(error) = store.give_back(charged).await {
            tracing::warn!(cause = error.chain(), "charge not given back");
        }
    }
}
