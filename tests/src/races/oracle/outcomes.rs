//! The checks at the end of a schedule: the answers of the operations, and the state
//! that they left.

use std::collections::BTreeSet;

use domain::password::{Hasher, Password, PasswordCheck};
use domain::session::{SessionStatus, session_status};
use domain::{Device, DeviceId, Limits, SessionId, Step, Timestamp, Token};

use super::rules::{
    ACKNOWLEDGED, ADMITTED, ATTRIBUTED, AVAILABLE, CONTACTED, Checked, MONOTONE, ONCE, ONE_DEVICE,
    REFUSED, broken,
};
use super::{CompletedOperation, FinalStatus, Oracle, Snapshot, TrackedSession};
use crate::engine::Engine;
use crate::races::operations::{Operation, Outcome, Target, first_key};
use crate::races::second_steps::{device_of, factor_id, own_app};

impl Oracle<'_> {
    /// Checks the answers of all operations.
    ///
    /// # Errors
    /// The rule that was broken.
    pub fn check_outcomes(
        &self,
        all: &[CompletedOperation],
        hasher: &mut Hasher,
        now: Timestamp,
    ) -> Checked {
        for ran in all {
            if let Some(outcome) = &ran.outcome {
                self.check_outcome(all, ran, outcome, now)?;
            }
        }
        for (at, device) in self.account.devices.iter().enumerate() {
            let is_done = |ran: &&CompletedOperation| {
                matches!(ran.operation, Operation::Rename(_, of) if of == at)
                    && ran.outcome == Some(Outcome::Passed)
            };
            let written = self.names.get(&device.id).map_or(0, Vec::len);
            if all.iter().filter(is_done).count() > written {
                return broken(ACKNOWLEDGED, "a rename was not written");
            }
        }
        let is_change = |ran: &&CompletedOperation| {
            matches!(ran.operation, Operation::ChangeAddress(_))
                && ran.outcome == Some(Outcome::Passed)
        };
        if all.iter().filter(is_change).count() > self.address_changes {
            return broken(ACKNOWLEDGED, "a change of the address was not written");
        }
        self.check_factors_of(all)?;
        self.check_new_devices(all)?;
        for header in self.seen.headers.values() {
            for (session, tracked) in &self.sessions {
                if header.ends(*session, tracked.session.epoch) && self.seen.is_valid(*session, now)
                {
                    return broken(ACKNOWLEDGED, format!("{session} outlived {}", header.id));
                }
            }
        }
        let mut opens = |password: &str| {
            let password = Password::parse(password).expect("a password");
            let verdict = hasher.verify(&password, Some(&self.seen.account.password_hash));
            matches!(verdict, Ok(PasswordCheck::Match { .. }))
        };
        let is_void = self.password.is_empty();
        if !is_void && !opens(&self.password) {
            return broken(
                ACKNOWLEDGED,
                "the password is not the last one that was set",
            );
        }
        if !is_void && self.password != self.account.password && opens(&self.account.password) {
            return broken(ACKNOWLEDGED, "the old password opens");
        }
        Ok(())
    }

    /// Checks that no two operations have completed the same second step, or used the same code,
    /// and that each change of the factors that was answered was written.
    fn check_factors_of(&self, all: &[CompletedOperation]) -> Checked {
        let mut completed = BTreeSet::new();
        let mut used = BTreeSet::new();
        let passed = all.iter().filter(|it| it.outcome == Some(Outcome::Passed));
        let made = passed.filter(|it| matches!(it.operation, Operation::MakeCodes(_)));
        if made.count() > self.codes_made {
            return broken(ACKNOWLEDGED, "new recovery codes were not written");
        }
        for ran in all {
            let is_lost = match ran.operation {
                Operation::RemoveApp(_) => {
                    let mut factors = self.seen.account.factors.iter();
                    factors.any(|it| it.id == own_app())
                }
                Operation::TurnOffCodes(_) => self.seen.account.sign_in_codes,
                _ => false,
            };
            if is_lost && ran.outcome == Some(Outcome::Passed) {
                return broken(ACKNOWLEDGED, format!("{:?} was not written", ran.operation));
            }
            let code = match ran.operation {
                Operation::VerifyByMail(_) => Some(ran.operation),
                Operation::VerifyByCode(_, code) => Some(Operation::VerifyByCode(0, code)),
                _ => None,
            };
            if let (Some(code), Some(Outcome::Verified { .. })) = (code, &ran.outcome)
                && !used.insert(code)
            {
                return broken(ONCE, format!("{code:?} has verified twice"));
            }
            if let Operation::ConfirmApp(member) = ran.operation
                && ran.outcome == Some(Outcome::Passed)
            {
                let mut factors = self.seen.account.factors.iter();
                // A recovery that read the account before the app was added still ends it, because
                // it is young.
                let is_ended = self.seen.account.recovered_at.is_some();
                if !is_ended && !factors.any(|factor| factor.id == factor_id(member)) {
                    return broken(ACKNOWLEDGED, "an app was not added");
                }
            }
            if let Operation::CompleteSignIn(step, _) = ran.operation
                && matches!(ran.outcome, Some(Outcome::SignedIn { .. }))
                && !completed.insert(step)
            {
                return broken(ONCE, format!("{step} was completed twice"));
            }
        }
        Ok(())
    }

    /// Checks that each sign-in without a key made at most one device, and that those
    /// with the same key made the same one.
    fn check_new_devices(&self, all: &[CompletedOperation]) -> Checked {
        let first = first_key().device_in(self.account.id);
        let is_known = |id| self.account.devices.iter().any(|known| known.id == id);
        let made = self.seen.devices.keys().filter(|id| !is_known(**id));
        let without_key = all
            .iter()
            .filter(|ran| ran.operation.is_sign_in_without_key());
        let is_completed = |id: &DeviceId| {
            [0, 1]
                .map(|step| device_of(step, self.account))
                .contains(id)
        };
        let made = made.filter(|id| **id != first && !is_completed(id)).count();
        if made > without_key.count() {
            return broken(ONE_DEVICE, format!("{made} devices"));
        }
        Ok(())
    }

    fn check_outcome(
        &self,
        all: &[CompletedOperation],
        ran: &CompletedOperation,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Checked {
        let operation = ran.operation;
        let caller = operation
            .caller()
            .map(|member| self.account.devices[member].session);
        let has_ended = |session: SessionId| !self.seen.is_valid(session, now);
        match outcome {
            Outcome::SignedIn { token, device } => {
                let token = Token::parse(token).expect("a token of ours");
                let hash = token.hash();
                if !self
                    .sessions
                    .values()
                    .any(|tracked| tracked.session.token_hash == hash)
                {
                    return broken(ACKNOWLEDGED, "a sign-in was not written");
                }
                if let Operation::SignInAgain(member) = operation
                    && *device != self.account.devices[member].id
                {
                    return broken(ACKNOWLEDGED, "the same device has two rows");
                }
                let mut alive = ran.valid_before.iter();
                if operation == Operation::SignInEndingOthers
                    && let Some(alive) = alive.find(|session| !has_ended(**session))
                {
                    return broken(ACKNOWLEDGED, format!("{alive} outlived a sign-in"));
                }
                let first = first_key().device_in(self.account.id);
                if let Operation::CompleteSignIn(step, _) = operation
                    && *device != device_of(step, self.account)
                {
                    return broken(ONE_DEVICE, "the second step is of another device");
                }
                if operation == Operation::SignInFirst && *device != first {
                    return broken(ONE_DEVICE, "the key names another device");
                }
            }
            Outcome::Verified { token } => {
                let hash = Token::parse(token).expect("a token of ours").hash();
                let is_known = |tracked: &TrackedSession| {
                    tracked.session.token_hash == hash
                        || tracked
                            .earlier_tokens
                            .iter()
                            .any(|(known, _)| *known == hash)
                };
                if !self.sessions.values().any(is_known) {
                    return broken(ACKNOWLEDGED, "a verification was not written");
                }
            }
            Outcome::SignedOut { id, scope } => {
                let Some(header) = self.seen.headers.get(id) else {
                    return broken(ACKNOWLEDGED, format!("{operation:?} has no record"));
                };
                if header.scope != *scope {
                    return broken(ATTRIBUTED, "the answer has another scope");
                }
                let wanted: BTreeSet<SessionId> = match operation {
                    Operation::SignOutThis(_) => caller.into_iter().collect(),
                    Operation::SignOutOne(..) => ran.target.into_iter().collect(),
                    Operation::SignOutOthers(_) | Operation::ChangePasswordKeeping(_) => ran
                        .valid_before
                        .iter()
                        .copied()
                        .filter(|session| Some(*session) != caller)
                        .collect(),
                    _ => ran.valid_before.clone(),
                };
                if let Some(alive) = wanted.into_iter().find(|session| !has_ended(*session)) {
                    return broken(ACKNOWLEDGED, format!("{alive} outlived {operation:?}"));
                }
            }
            Outcome::Passed => match operation {
                _ if operation.needs_a_session_alone() => return check_caller(ran, caller),
                Operation::Sweep(_) => {
                    if let Some((sign_out, to_mark)) = &ran.to_mark
                        && !self.seen.unmarked(*sign_out).is_disjoint(to_mark)
                    {
                        return broken(ACKNOWLEDGED, "a session was not marked");
                    }
                }
                Operation::ReportLost(_) if ran.is_reported || !self.reported.is_empty() => {}
                Operation::Recover => {
                    let mut alive = ran.valid_before.iter();
                    if let Some(alive) = alive.find(|session| !has_ended(**session)) {
                        return broken(ACKNOWLEDGED, format!("{alive} outlived a recovery"));
                    }
                }
                _ if self.seen.account.disabled_at.is_none() => {
                    return broken(ACKNOWLEDGED, format!("{operation:?} was not written"));
                }
                _ => {}
            },
            Outcome::Refused { status, problem } => {
                self.check_refusal(all, ran, (*status, problem), now)?;
            }
        }
        Ok(())
    }

    fn check_refusal(
        &self,
        all: &[CompletedOperation],
        ran: &CompletedOperation,
        (status, problem): (i64, &str),
        now: Timestamp,
    ) -> Checked {
        let operation = ran.operation;
        let caller = operation
            .caller()
            .map(|member| &self.account.devices[member]);
        let has_ended = caller.is_none_or(|caller| !self.seen.is_valid(caller.session, now));
        let row = caller.and_then(|caller| self.seen.device_of(caller.session));
        let is_replaced = caller.is_some() && row.is_none();
        let hash = caller.map(|caller| {
            let token = Token::parse(&caller.token);
            token.expect("a token of ours").hash()
        });
        let is_current = |row: &Device| Some(row.token_hash) == hash;
        let is_previous = |row: &Device| row.previous_token.map(|it| it.hash) == hash;
        // A verification has given the session another token than the caller has.
        let is_rotated = row.is_some_and(|row| !is_current(row));
        let account = &self.seen.account;
        let has_moved = account.epoch != self.epoch;
        let has_no_app = account.factors.is_empty();
        // A report of its loss whose wait is over ends it, unless it was stopped.
        let is_app_asked_for = ran.has_app && (!self.is_app_lost || self.was_stopped);
        let is_unknown = row.is_some_and(|row| !is_current(row) && !is_previous(row));
        let password_changed = self.password != self.account.password;
        let address_changed = self.seen.account.email != self.account.email;
        if let Some(caller) = caller {
            let is_signed_out_answer = problem == "session-signed-out";
            let row = self.seen.device_of(caller.session);
            let contact = if status == 401 {
                Step::Notified
            } else {
                Step::Seen
            };
            let has_contact = row.is_none_or(|row| row.has_contact(contact));
            // The authorizer gives no reason: the session may have been replaced, and a
            // replaced session has no contact.
            let is_due =
                is_signed_out_answer || status == 403 && problem.is_empty() && row.is_some();
            if is_due && !(has_contact && self.is_contact_kept(caller.session, contact, &self.seen))
            {
                return broken(CONTACTED, format!("that of {operation:?} is in no receipt"));
            }
        }
        let is_right = match (operation, status, problem) {
            (_, 503, _) => return broken(AVAILABLE, format!("{operation:?}")),
            _ if self.is_refused_by_factors(all, operation, (status, problem)) => true,
            (Operation::Recover, 403, "factor-required") => is_app_asked_for,
            (Operation::Recover, 403, "code-invalid") => {
                address_changed || account.recovered_at.is_some() || account.disabled_at.is_some()
            }
            (Operation::ChangeAddress(_), 403, "code-invalid") => address_changed || has_moved,
            (Operation::ChangeAddress(_), 409, "change-held") => {
                address_changed || self.is_changed || self.seen.account.recovered_at.is_some()
            }
            (Operation::UndoAddress, 404, "notice-not-found") => !ran.has_change || self.is_undone,
            (_, 403, "second-step-required") => {
                let mut factors = account.factors.iter();
                let has_other = factors.any(|it| it.id != own_app());
                operation.is_sign_in() && (is_app_asked_for || has_other)
            }
            // With an app, the password is no proof.
            (Operation::Verify(_), 401, "verification-required") if !has_no_app => true,
            (_, 401, "verification-required") => is_rotated,
            (_, 401, "credentials-invalid") => {
                operation.is_sign_in()
                    && (password_changed
                        || address_changed
                        || self.seen.account.disabled_at.is_some())
            }
            (Operation::Check(_), 403, "") | (_, 401, "session-signed-out") => has_ended,
            // A call with the new token ended this one, or another verification came first.
            (_, 401, "token-superseded") => {
                let is_ended = hash.is_some_and(|hash| self.superseded.contains(&hash));
                is_ended || is_rotated && operation.is_verification()
            }
            (_, 401, "token-invalid") => has_ended && is_replaced || is_unknown,
            (_, 403, "credentials-invalid") => {
                let shows_password =
                    matches!(operation, Operation::Verify(_) | Operation::VerifyByMail(_));
                (shows_password || operation.is_change_of_password()) && password_changed
            }
            (Operation::SignOutOne(_, Target::Newest), 404, "device-not-found") => {
                ran.target.is_none()
            }
            _ => false,
        };
        if is_right {
            Ok(())
        } else {
            broken(
                ADMITTED,
                format!("{operation:?} was answered {status} {problem}"),
            )
        }
    }

    /// Returns whether an operation on factors or codes was refused because of what another
    /// operation did to them.
    fn is_refused_by_factors(
        &self,
        all: &[CompletedOperation],
        operation: Operation,
        (status, problem): (i64, &str),
    ) -> bool {
        let account = &self.seen.account;
        let has_moved = account.epoch != self.epoch;
        let is_app_gone = account.factors.iter().all(|it| it.id != own_app());
        let is_refused = |it: &CompletedOperation| {
            it.operation == operation && matches!(it.outcome, Some(Outcome::Refused { .. }))
        };
        let sent = all.iter().filter(|it| it.operation == operation).count();
        let is_sent_twice = all.iter().filter(|it| is_refused(it)).count() < sent;
        let (step, code) = match operation {
            Operation::CompleteSignIn(step, code) => (Some(step), Some(code)),
            Operation::VerifyByCode(_, code) => (None, Some(code)),
            _ => (None, None),
        };
        // Another operation has used the step or the code up.
        let has_used = |it: &Operation| match *it {
            Operation::CompleteSignIn(its_step, its_code) => {
                *it != operation && (Some(its_step) == step || Some(its_code) == code)
            }
            Operation::VerifyByCode(_, its_code) => *it != operation && Some(its_code) == code,
            _ => false,
        };
        // What it has used up itself is not lost.
        let is_used = (self.has_used_code.iter().any(has_used) || self.codes_made > 0)
            && !self.has_used_code.contains(&operation);
        match (operation, status, problem) {
            (Operation::CompleteSignIn(..) | Operation::VerifyByCode(..), 403, "code-invalid") => {
                has_moved || is_sent_twice || is_used
            }
            (Operation::VerifyByMail(_), 403, "code-invalid") => is_sent_twice,
            (Operation::VerifyByCode(..), 401, "verification-required")
            | (Operation::RemoveApp(_), 404, "factor-not-found") => is_app_gone,
            (Operation::ReportLost(code), 403, "code-invalid") => {
                let was_stopped = self.was_stopped && self.reported.contains(&code);
                has_moved || is_app_gone || was_stopped
            }
            (Operation::ConfirmApp(_), 404, "factor-not-found") => has_moved,
            _ => false,
        }
    }

    /// Returns the status of the session of each token.
    #[must_use]
    pub fn final_statuses(&self, tokens: &[&str], now: Timestamp) -> Vec<FinalStatus> {
        tokens
            .iter()
            .map(|token| {
                let hash = Token::parse(token).expect("a token of ours").hash();
                let mut devices = self.seen.devices.values();
                let is_its_own = |device: &&Device| {
                    let previous = device.previous_token.map(|it| it.hash);
                    device.token_hash == hash || previous == Some(hash)
                };
                let Some(device) = devices.find(is_its_own) else {
                    return FinalStatus::Replaced;
                };
                let is_accepted = device.token_hash == hash || device.accepts_previous_token(now);
                match session_status(&self.seen.account, device, &Limits::default(), now) {
                    SessionStatus::SignedIn if is_accepted => FinalStatus::Valid,
                    SessionStatus::SignedIn => FinalStatus::Superseded,
                    SessionStatus::SignedOut(_) => FinalStatus::SignedOut,
                    SessionStatus::EndedByEpoch | SessionStatus::AccountDisabled => {
                        FinalStatus::EndedByEpoch
                    }
                    SessionStatus::Expired => FinalStatus::Expired,
                }
            })
            .collect()
    }

    /// Checks the answer of the authorizer to a token, by the tables before that call: one with a
    /// new token ends the token before.
    ///
    /// # Errors
    /// The rule that was broken.
    pub fn check_probe(
        before: &Snapshot,
        token: &str,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Checked {
        let hash = Token::parse(token).expect("a token of ours").hash();
        let is_valid = before.devices.values().any(|device| {
            let previous = device.previous_token.map(|it| it.hash);
            let is_accepted = device.token_hash == hash
                || previous == Some(hash) && device.accepts_previous_token(now);
            is_accepted && before.is_valid(device.session, now)
        });
        match (is_valid, outcome) {
            (true, Outcome::Passed) | (false, Outcome::Refused { status: 403, .. }) => Ok(()),
            (true, _) => broken(ADMITTED, format!("a valid token was answered {outcome:?}")),
            (false, _) => broken(REFUSED, format!("an ended token was answered {outcome:?}")),
        }
    }

    /// Checks the tables after the account was enabled again.
    ///
    /// # Errors
    /// When a session is valid again.
    pub fn check_enabled(&self, engine: &Engine, now: Timestamp) -> Checked {
        let after = Snapshot::read(engine)?;
        match after.valid(now).into_iter().next() {
            Some(session) => broken(MONOTONE, format!("enabling revived {session}")),
            None => Ok(()),
        }
    }
}

/// Checks that the caller's session was valid when an operation began that succeeded.
fn check_caller(ran: &CompletedOperation, caller: Option<SessionId>) -> Checked {
    if caller.is_none_or(|caller| ran.valid_before.contains(&caller)) {
        return Ok(());
    }
    broken(REFUSED, format!("{:?}", ran.operation))
}
