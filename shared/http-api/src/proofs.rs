//! Proofs of a session's holder: the current password and verifications. Ten wrong ones in a
//! row end the session.

use domain::recognition::is_recognized;
use domain::session::Authenticated;
use domain::sign_in_budgets::WRONG_PROOFS;
use domain::verification::{VerificationPolicy, external_proof, methods};
use domain::{CounterKey, Limits, SignOut, Timestamp};
use store::{Charge, Charged, Store, StoreError, WriteOutcome};

use crate::caller::authenticate;
use crate::problem::Problem;
use crate::request::Request;

/// A request that proves something.
#[derive(Debug, Clone, Copy)]
pub struct Proving<'a> {
    /// The tables.
    pub store: &'a Store,
    /// The limits of sessions.
    pub limits: &'a Limits,
    /// The request.
    pub request: &'a Request,
    /// Now.
    pub now: Timestamp,
    /// Random bytes, for the sign-out of a guesser.
    pub random: [u8; 10],
}

impl Proving<'_> {
    /// Counts an attempt of the session, before its proof is looked at.
    ///
    /// # Errors
    /// `too-many-attempts`; `session-signed-out` if the last wrong proof was before; and
    /// `unavailable`.
    pub async fn count(&self, caller: &Authenticated) -> Result<Charged, Problem> {
        let counter = CounterKey::proofs_of(caller.device.session);
        match self.store.charge(counter, &WRONG_PROOFS, self.now).await? {
            Charge::Admitted(attempt) => Ok(attempt),
            Charge::Refused(wait) => Err(Problem::too_many_attempts(wait)),
            Charge::Spent => Err(self.end_session(caller).await?),
        }
    }

    /// Returns the problem of a wrong proof: `wrong`, or `session-signed-out` for the last one
    /// that is allowed in a row, which ends the session.
    ///
    /// # Errors
    /// The problem of a session that can't be ended.
    pub async fn refuse(
        &self,
        caller: &Authenticated,
        attempt: &Charged,
        wrong: Problem,
    ) -> Result<Problem, Problem> {
        let is_last = WRONG_PROOFS
            .in_a_row
            .is_some_and(|limit| attempt.in_a_row.count >= limit.most);
        if is_last {
            return self.end_session(caller).await;
        }
        Ok(wrong)
    }

    /// Gives the attempt of a right proof back, which ends the wrong ones in a row. A failure
    /// is only logged.
    pub async fn give_back(&self, attempt: &Charged) {
        if let Err(error) = self.store.give_back(attempt).await {
            tracing::warn!(cause = error.chain(), "charge not given back");
        }
    }

    /// Ends the caller's session, and returns the problem that says so.
    async fn end_session(&self, caller: &Authenticated) -> Result<Problem, Problem> {
        let sign_out = SignOut::of_guesser(caller, self.now, self.random);
        let ending = self.store.sign_out_this(caller, &sign_out, self.limits);
        match ending.await? {
            WriteOutcome::Done => Ok(Problem::signed_out(&sign_out.end_info(), caller.device.id)),
            // Its session has ended by another way, which says how.
            WriteOutcome::Stale => {
                authenticate(self.store, self.request, self.limits, self.now).await?;
                Err(StoreError::Contended.into())
            }
        }
    }
}

/// Parses the time of a proof by the team's own login, whose address is `external`: the field
/// `field` in seconds since 1970.
///
/// # Errors
/// `request-invalid`, if the deployment has no such login or the proof is too old.
pub fn parse_auth_time(
    (field, auth_time): (&'static str, i64),
    external: Option<&str>,
    now: Timestamp,
) -> Result<Timestamp, Problem> {
    let invalid = |detail| Problem::invalid(field, detail);
    if external.is_none() {
        let detail =
            "can't be used: this deployment has no login of its own (`ExternalVerification`)";
        return Err(invalid(detail));
    }
    let at = Timestamp::from_second(auth_time).ok();
    at.and_then(|at| external_proof(at, now))
        .ok_or_else(|| invalid("must be a time in seconds since 1970, less than five minutes ago and at most a minute ahead"))
}

/// Requires a verification of at most five minutes ago.
///
/// # Errors
/// `verification-required`, with the methods that the caller has.
pub fn require_verified(
    policy: VerificationPolicy,
    caller: &Authenticated,
    limits: &Limits,
    now: Timestamp,
) -> Result<(), Problem> {
    if caller.device.is_verified(now) {
        return Ok(());
    }
    let Authenticated { account, device } = caller;
    let is_recognized = is_recognized(account, device, limits, now);
    Err(Problem::VerificationRequired {
        methods: methods(account, device, is_recognized, policy, now),
        challenge: None,
        external: policy.external,
    })
}
