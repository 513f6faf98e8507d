//! The rounds of a sign-in. Each goes from the rows as they are now to the write of a session;
//! another one follows if the rows have to be read again.

use domain::challenge::ChallengeRandom;
use domain::verification::is_proven_by_sign_in;
use domain::{Account, AccountId, ChallengeSecret, DeviceId};
use futures_util::future::join;
use http_api::{Answer, DeviceKeys, Problem};
use sign_in::{NewSession, SignIn, Trust};
use store::{Rows, WriteOutcome};

use crate::attempt::Attempt;
use crate::charges::Charges;
use crate::verify::{Verified, require_enabled};
use crate::{Deps, second_step};

/// A sign-in whose attempt is charged, and what stays the same from round to round.
pub(crate) struct Rounds<'a> {
    deps: &'a Deps,
    sign_in: SignIn<'a>,
    attempt: &'a Attempt,
    charges: Charges<'a>,
    keys: DeviceKeys,
    verified: Verified,
}

impl<'a> Rounds<'a> {
    pub(crate) fn new(
        deps: &'a Deps,
        sign_in: SignIn<'a>,
        attempt: &'a Attempt,
        charges: Charges<'a>,
        keys: DeviceKeys,
    ) -> Self {
        Self {
            deps,
            sign_in,
            attempt,
            charges,
            keys,
            verified: Verified::default(),
        }
    }

    /// Returns the devices whose rows the next round needs.
    pub(crate) fn devices_in(&self, account: AccountId) -> Vec<DeviceId> {
        self.keys.devices_in(account)
    }

    /// Signs the device in by these rows, or asks for a second step. Returns `None` if the
    /// rows have to be read again.
    ///
    /// # Errors
    /// Every problem of the routes.
    pub(crate) async fn next(&mut self, rows: Rows) -> Result<Option<Answer>, Problem> {
        let Rows { account, devices } = rows;
        let account = self.verify(account).await?;
        let (deps, sign_in) = (self.deps, self.sign_in);
        if let Some(removal) = account.due_removal(sign_in.now) {
            second_step::remove_lost(deps, &sign_in, (&account, &removal)).await?;
            return Ok(None);
        }
        let is_recognized = self
            .charges
            .are_of_recognized(&self.keys, &account, &devices);
        let trust = self.trust(&account, is_recognized);
        let needs_step = self.needs_second_step(&account, is_recognized);
        self.require_pass(&account, trust, needs_step).await?;
        if needs_step {
            let asking = second_step::ask(deps, &sign_in, (&account, devices), &mut self.keys);
            return Box::pin(asking).await.map(Some);
        }
        self.charges.take_pass().await?;
        let preparing = sign_in.prepare(&account, devices, &mut self.keys, trust);
        let session = Box::pin(preparing).await?;
        let writing = Box::pin(sign_in.write(&account, &session));
        if join(writing, self.charges.give_back()).await.0? == WriteOutcome::Done {
            return Ok(Some(self.finish(account, session).await));
        }
        // Another write came first, or the answer to ours was lost. The same session must
        // not be written twice: the next round makes a new one.
        Ok(None)
    }

    /// Returns the account, if its password is the attempt's and it is not disabled. Reports
    /// the failures in a row of the address otherwise.
    async fn verify(&mut self, account: Option<Account>) -> Result<Account, Problem> {
        let (request, password) = (self.sign_in.request, &self.attempt.password);
        let verifying = self
            .verified
            .verify(self.deps, request, password, account.as_ref());
        let verified = verifying
            .await
            .and_then(|()| require_enabled(request, account));
        if let Err(Problem::CredentialsInvalid) = verified {
            self.charges.report().await;
        }
        let account = verified?;
        // Otherwise a password thief could prove themselves with an account of their own.
        let proven = self.attempt.proven;
        if proven.is_some_and(|(proven, _)| proven != account.id) {
            request.note_outcome("other-account");
            let detail = "is not the account that signs in";
            return Err(Problem::invalid("proof.account", detail));
        }
        Ok(account)
    }

    /// Returns whether a factor has to complete the sign-in: on a device that is not recognized,
    /// and to sign the others out where only a factor verifies.
    fn needs_second_step(&self, account: &Account, is_recognized: bool) -> bool {
        let SignIn {
            sends_mail, now, ..
        } = self.sign_in;
        let is_alone = self.attempt.wanted.ends_others && self.attempt.proven.is_none();
        let needs_proof = is_alone && account.has_settled_factor(sends_mail, now);
        account.has_factor(sends_mail, now) && (!is_recognized || needs_proof)
    }

    fn trust(&self, account: &Account, is_recognized: bool) -> Trust {
        // A pass proves access to the address's mail, which a password thief lacks.
        let is_recognized = is_recognized || self.charges.is_by_pass;
        let (policy, now) = (self.deps.policy(), self.sign_in.now);
        let by_password = is_proven_by_sign_in(account, is_recognized, policy, now);
        Trust {
            is_recognized,
            verified_at: by_password
                .then_some(now)
                .or(self.attempt.proven.map(|(_, at)| at)),
        }
    }

    /// Requires a pass, and mails one, if the password alone is not enough. A second step takes
    /// its place, but a young factor, which a thief may have added, not that of a wanted code.
    async fn require_pass(
        &self,
        account: &Account,
        trust: Trust,
        needs_step: bool,
    ) -> Result<(), Problem> {
        let SignIn {
            sends_mail, now, ..
        } = self.sign_in;
        let wants_code =
            !trust.is_recognized && account.wants_code(sends_mail, self.deps.sign_in_codes);
        let lacks_proof = self.attempt.wanted.ends_others && trust.verified_at.is_none();
        if let (true, false, Some(address)) = (lacks_proof, needs_step, self.deps.external) {
            return Err(Problem::external_required(address));
        }
        let problem = if needs_step {
            if !wants_code || account.has_settled_factor(sends_mail, now) {
                return Ok(());
            }
            Problem::code_required
        } else if !trust.is_recognized && account.needs_code(sends_mail, now) {
            Problem::address_unconfirmed
        } else if wants_code {
            Problem::code_required
        } else if lacks_proof {
            Problem::pass_required
        } else {
            return Ok(());
        };
        Err(problem(&self.send_pass(account).await?))
    }

    /// Mails a pass to the address of an account whose password was right, and returns the
    /// secret of its challenge.
    async fn send_pass(&self, account: &Account) -> Result<ChallengeSecret, Problem> {
        let SignIn {
            store,
            request,
            now,
            ..
        } = self.sign_in;
        let codes = self.deps.codes.as_ref().ok_or(Problem::MailUnavailable)?;
        let random = ChallengeRandom {
            secret: runtime::random(),
            code: runtime::random(),
            link: runtime::random(),
        };
        let to = (account, self.attempt.email.clone());
        let sending = codes.send_pass(store, request, to, now, random);
        Box::pin(sending).await
    }

    /// Does what follows the write of a session, and returns the answer.
    async fn finish(&self, mut account: Account, session: NewSession) -> Answer {
        self.charges.end_failures().await;
        if self.charges.is_by_pass {
            self.confirm_by_pass(&mut account).await;
        }
        let password = &self.attempt.password;
        self.verified.rehash(self.deps, password, &account).await;
        self.sign_in.answer(&account, session, &self.keys)
    }

    /// Confirms the address of an account that was signed in to with a code to it. An error is
    /// logged: the next pass confirms it.
    async fn confirm_by_pass(&self, account: &mut Account) {
        if account.confirmed_at.is_some() {
            return;
        }
        let SignIn { store, now, .. } = self.sign_in;
        let confirming = store.confirm_by_pass(account.id, &self.attempt.email, now);
        match confirming.await {
            Ok(WriteOutcome::Done) => account.confirmed_at = Some(now),
            Ok(WriteOutcome::Stale) => {}
            Err(error) => tracing::warn!(cause = error.chain(), "address not confirmed"),
        }
    }
}
