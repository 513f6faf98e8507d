//! One schedule: makes its steps, and checks each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use domain::{DeviceId, Epoch, SignOutId, Timestamp};
use jiff::SignedDuration;
use runtime::lock;
use serde_json::{Value, json};

use super::calls::{Footprint, footprint, without_token};
use super::{Chooser, Run, Runner, Step};
use crate::account::TestAccount;
use crate::engine::{Engine, ServiceResponse};
use crate::races::clauses::{self, Clause};
use crate::races::operations::{
    Announced, Found, Operation, Outcome, Running, Target, begin, check, new_password,
};
use crate::races::oracle::{CompletedOperation, Oracle, Snapshot, Violation};
use crate::races::second_steps::own_app;
use crate::tables::IDENTITIES;
use crate::wire::Call;

#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Actor {
    operation: Operation,
    running: Option<Running>,
    is_begun: bool,
    is_done: bool,
    outcome: Option<Outcome>,
    replay: Option<Call>,
    /// The number of steps before its current call began to wait.
    waits_since: usize,
    valid_before: BTreeSet<domain::SessionId>,
    to_mark: Option<(SignOutId, BTreeSet<domain::SessionId>)>,
    target: Option<domain::SessionId>,
    has_change: bool,
    is_reported: bool,
    has_app: bool,
}

impl Actor {
    pub(super) fn new(operation: Operation) -> Self {
        Self {
            operation,
            running: None,
            is_begun: false,
            is_done: false,
            outcome: None,
            replay: None,
            waits_since: 0,
            valid_before: BTreeSet::new(),
            to_mark: None,
            target: None,
            has_change: false,
            is_reported: false,
            has_app: false,
        }
    }
}

#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(super) struct Race<'a> {
    pub(super) runner: &'a mut Runner,
    pub(super) engine: Engine,
    pub(super) account: Rc<TestAccount>,
    pub(super) actors: Vec<Actor>,
    /// Whether the one fault of the schedule has happened.
    pub(super) is_fault_used: bool,
    pub(super) is_exhaustive: bool,
    /// Whether the two calls that record a contact are steps of their own, with faults.
    /// If not, they follow at once on the read that showed the end of the session. Every
    /// operation whose caller is refused makes the same two calls, and they decide
    /// nothing: only another contact, a sign-in of the device and a sweep read or write
    /// the same attributes. A check against each of these runs in every order with
    /// separate steps, and so do all random schedules.
    pub(super) are_contacts_steps: bool,
    pub(super) last_footprint: Footprint,
    /// Whether the last write succeeded.
    pub(super) has_just_written: bool,
    /// The account's epoch before the race.
    pub(super) epoch: Epoch,
    /// The time of the change of the address before the race, or in it.
    pub(super) changed_at: Timestamp,
    /// Whether the account's app was reported as lost before the race.
    pub(super) is_app_lost: bool,
    pub(super) run: &'a mut Run,
    pub(super) knocked_out: Option<&'a Clause>,
}

impl Race<'_> {
    pub(super) fn go(&mut self, chooser: &mut dyn Chooser) -> Result<(), Violation> {
        let account = self.account.clone();
        let mut oracle = Oracle::new(&account, &self.engine, self.runner.clock.now())?;
        let before = oracle.seen().account();
        self.epoch = before.epoch;
        self.is_app_lost = before.factors_lost_at.is_some();
        if let Some(change) = &before.address_change {
            self.changed_at = change.at;
        }
        loop {
            let last = self.run.steps.last().copied();
            let mut steps = self.steps(last, self.run.steps.len());
            if steps.is_empty() {
                break;
            }
            if chooser.is_exhaustive() {
                let len = self.run.steps.len();
                let last = last.map(|last| (last, &self.last_footprint));
                steps.retain(|step| !self.is_out_of_order(*step, last, len));
                steps.retain(|step| !self.leads_nowhere(*step));
                if steps.is_empty() {
                    self.run.is_equivalent = true;
                    return Ok(());
                }
            }
            let step = steps[chooser.choose(&steps)];
            self.last_footprint = self.footprint(step);
            self.run.steps.push(step);
            let second = SignedDuration::from_secs(1);
            self.runner.clock.advance(second);
            self.runner.earlier.advance(second);
            self.take(step, &mut oracle, chooser)?;
        }
        self.end(&oracle)
    }

    /// Returns the steps that are possible after the last of `len` ones.
    fn steps(&self, last: Option<Step>, len: usize) -> Vec<Step> {
        let pending = lock(&self.runner.pending);
        // An operation that begins goes on to its first call: nothing before it reads a
        // table.
        let only = match last {
            Some(Step::Begin(actor)) => Some(actor),
            _ => None,
        };
        let mut waiting = pending.waiting.iter();
        if let Some((at, _)) = waiting.find(|(_, it)| it.is_contact && !self.are_contacts_steps) {
            return vec![Step::Write(*at)];
        }
        let mut steps = Vec::new();
        for (at, actor) in self.actors.iter().enumerate() {
            if only.is_some_and(|only| only != at) {
                continue;
            }
            if !actor.is_begun {
                steps.push(Step::Begin(at));
            }
            if let Some(waiting) = pending.waiting.get(&at) {
                if waiting.call.is_write() {
                    steps.push(Step::Write(at));
                    if !self.is_fault_used && !self.is_exhaustive {
                        steps.push(Step::WriteLosingAnswer(at));
                        steps.push(Step::WriteThenReplay(at));
                    }
                } else {
                    steps.extend(waiting.parts.iter().map(|part| Step::Read(at, part.0)));
                }
                if !self.is_fault_used && last.is_some_and(|last| self.may_crash(at, last, len)) {
                    steps.push(Step::Crash(at));
                }
            }
            if actor.replay.is_some() {
                steps.push(Step::Replay(at));
            }
        }
        steps
    }

    /// Returns whether a crash now differs from every other schedule. The others don't notice a
    /// crash, so it comes directly after a step of the same operation. Only its writes remain (and
    /// counted tries, which no rule is about), so a crash after a read equals one after the write
    /// before. If there was none, it equals a run of the others alone, for which one crash after
    /// the first read stands.
    fn may_crash(&self, at: usize, last: Step, len: usize) -> bool {
        let is_of_it = last.actor() == at;
        let is_first_read = len == 2;
        is_of_it
            && match last {
                Step::Begin(_) | Step::Replay(_) => false,
                Step::Read(..) => !self.is_exhaustive || is_first_read,
                _ => !self.is_exhaustive || self.has_just_written,
            }
    }

    /// Returns whether the step could as well have come before the last one, because the
    /// two are independent. The other order is run, too. `len` steps were made before it.
    fn is_out_of_order(&self, step: Step, last: Option<(Step, &Footprint)>, len: usize) -> bool {
        let Some((last, last_footprint)) = last else {
            return false;
        };
        let was_possible = self.actors[step.actor()].waits_since < len;
        if !was_possible || matches!(last, Step::Begin(_)) || step.rank() >= last.rank() {
            return false;
        }
        match (last.is_read(), step.is_read()) {
            (true, true) => true,
            (true, false) => step.is_write() && !self.footprint(step).overlaps(last_footprint),
            (false, true) => {
                last.is_write()
                    && !matches!(step, Step::Begin(_))
                    && !self.footprint(step).overlaps(last_footprint)
            }
            (false, false) => false,
        }
    }

    /// Returns whether every step after this one is out of order. That is known of the read of
    /// one row of several, which lets no operation go on.
    fn leads_nowhere(&self, step: Step) -> bool {
        let Step::Read(at, _) = step else {
            return false;
        };
        if lock(&self.runner.pending).waiting[&at].parts.len() == 1 {
            return false;
        }
        let len = self.run.steps.len() + 1;
        let footprint = self.footprint(step);
        let next = self
            .steps(Some(step), len)
            .into_iter()
            .filter(|next| *next != step);
        let mut next = next.map(|next| self.is_out_of_order(next, Some((step, &footprint)), len));
        next.all(|is_out_of_order| is_out_of_order)
    }

    /// Returns the rows of a step.
    fn footprint(&self, step: Step) -> Footprint {
        let pending = lock(&self.runner.pending);
        let Some(waiting) = pending.waiting.get(&step.actor()) else {
            return Footprint::default();
        };
        match step {
            Step::Read(_, part) => {
                let asked = waiting.parts.iter().find(|asked| asked.0 == part);
                footprint(
                    &waiting.call.operation,
                    &asked.expect("what is asked for").2,
                )
            }
            _ if step.is_write() => footprint(&waiting.call.operation, &waiting.call.body),
            _ => Footprint::default(),
        }
    }

    fn take(
        &mut self,
        step: Step,
        oracle: &mut Oracle<'_>,
        chooser: &mut dyn Chooser,
    ) -> Result<(), Violation> {
        let at = step.actor();
        self.is_fault_used |= step.is_fault();
        match step {
            Step::Begin(_) => {
                self.begin(at, oracle.seen());
                self.poll(at);
            }
            Step::Read(_, part) => {
                if self.read(at, part) {
                    self.poll(at);
                }
            }
            Step::Write(_) | Step::WriteLosingAnswer(_) | Step::WriteThenReplay(_) => {
                let call = lock(&self.runner.pending).waiting[&at].call.clone();
                let answer = self.write(at, &call, oracle)?;
                if matches!(step, Step::WriteLosingAnswer(_)) || self.loses_answer(at, chooser) {
                    return Ok(());
                }
                if matches!(step, Step::WriteThenReplay(_)) {
                    self.actors[at].replay = Some(call);
                }
                self.answer(at, answer);
                self.poll(at);
            }
            Step::Replay(_) => {
                let call = self.actors[at].replay.take().expect("an replay");
                let call = without_token(call);
                oracle.is_replay = true;
                let lost = self.write(at, &call, oracle);
                oracle.is_replay = false;
                let _lost = lost?;
            }
            Step::Crash(_) => {
                self.actors[at].running = None;
                self.actors[at].is_done = true;
                lock(&self.runner.pending).waiting.remove(&at);
            }
        }
        Ok(())
    }

    /// Lets an exhaustive chooser decide whether the answer to a write is lost. A write that failed
    /// has changed nothing: its retry is the same as making the write later, which another
    /// schedule does.
    fn loses_answer(&mut self, at: usize, chooser: &mut dyn Chooser) -> bool {
        let is_contact = lock(&self.runner.pending).waiting[&at].is_contact;
        let is_step = self.are_contacts_steps || !is_contact;
        let may_lose = self.is_exhaustive && is_step && !self.is_fault_used;
        if !may_lose || !self.has_just_written {
            return false;
        }
        let ways = [Step::Write(at), Step::WriteLosingAnswer(at)];
        let way = ways[chooser.choose(&ways)];
        self.is_fault_used = way.is_fault();
        self.run.steps.pop();
        self.run.steps.push(way);
        way.is_fault()
    }

    fn begin(&mut self, at: usize, seen: &Snapshot) {
        let now = self.runner.clock.now();
        let newest = seen
            .newest_device()
            .filter(|id| self.account.devices.iter().all(|member| member.id != *id));
        let target = self.target(at, newest, seen);
        let mut ends = seen.epoch_ends();
        let announced = match self.actors[at].operation {
            Operation::Sweep(Announced::First) if !ends.is_empty() => Some(ends.swap_remove(0)),
            Operation::Sweep(_) => ends.pop(),
            _ => None,
        };
        let actor = &mut self.actors[at];
        actor.is_begun = true;
        actor.valid_before = seen.valid(now);
        actor.has_change = seen.account().address_change.is_some();
        actor.is_reported = seen.account().factors_lost_at.is_some();
        actor.has_app = seen.account().factors.iter().any(|it| it.id == own_app());
        actor.to_mark = announced
            .as_ref()
            .map(|sign_out| (sign_out.id, seen.unmarked(sign_out.id)));
        actor.target = target;
        let operation = actor.operation;
        let found = Found {
            newest,
            announced,
            epoch: self.epoch,
            changed_at: self.changed_at,
            is_app_lost: self.is_app_lost,
        };
        let running = begin(operation, at, &self.runner.functions, &self.account, found);
        self.actors[at].running = Some(running);
    }

    fn target(
        &self,
        at: usize,
        newest: Option<DeviceId>,
        seen: &Snapshot,
    ) -> Option<domain::SessionId> {
        match self.actors[at].operation {
            Operation::SignOutOne(_, Target::Device(member)) => {
                seen.session_of(self.account.devices[member].id)
            }
            Operation::SignOutOne(_, Target::Newest) => seen.session_of(newest?),
            _ => None,
        }
    }

    /// Runs the operation up to its next call, or to its end.
    fn poll(&mut self, at: usize) {
        lock(&self.runner.pending).actor = Some(at);
        let running = self.actors[at].running.as_mut().expect("it is running");
        let polled = {
            let _timers = self.runner.runtime.enter();
            running
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
        };
        lock(&self.runner.pending).actor = None;
        let actor = &mut self.actors[at];
        actor.waits_since = self.run.steps.len();
        match polled {
            Poll::Ready(outcome) => {
                actor.running = None;
                actor.is_done = true;
                actor.outcome = Some(outcome);
            }
            Poll::Pending => assert!(
                lock(&self.runner.pending).waiting.contains_key(&at),
                "an operation waits only for calls"
            ),
        }
    }

    fn answer(&mut self, at: usize, answer: ServiceResponse) {
        let waiting = lock(&self.runner.pending).waiting.remove(&at);
        waiting.expect("it waits").slot.fill(answer);
    }

    /// Reads one row of a call. Returns whether it was the last.
    fn read(&mut self, at: usize, part: usize) -> bool {
        self.run.calls += 1;
        let answer = {
            let mut pending = lock(&self.runner.pending);
            let waiting = pending.waiting.get_mut(&at).expect("it waits");
            let found = waiting.parts.iter().position(|asked| asked.0 == part);
            let (_, table, body) = waiting.parts.remove(found.expect("what is asked for"));
            let answer = self.engine.answer(&waiting.call.operation, &body);
            if waiting.call.operation == "BatchGetItem" {
                let read: Value = serde_json::from_str(&answer.body).expect("an answer of JSON");
                let rows = read["Responses"][&table].as_array().expect("its rows");
                waiting.found.entry(table).or_default().extend(rows.clone());
                if !waiting.parts.is_empty() {
                    return false;
                }
                let all = json!({ "Responses": waiting.found, "UnprocessedKeys": {} });
                ServiceResponse {
                    status: 200,
                    body: all.to_string(),
                }
            } else {
                answer
            }
        };
        self.answer(at, answer);
        true
    }

    fn write(
        &mut self,
        at: usize,
        call: &Call,
        oracle: &mut Oracle<'_>,
    ) -> Result<ServiceResponse, Violation> {
        self.run.calls += 1;
        let operation = self.actors[at].operation;
        let is_of_an_address = call.body.contains(IDENTITIES);
        assert!(!is_of_an_address || operation.is_about_addresses());
        let mut weakened = None;
        match self.knocked_out {
            Some(clause) if clause.operation == clauses::made_by(operation.kind(), call) => {
                weakened = clauses::without(clause, call);
            }
            Some(_) => {}
            None => self
                .run
                .clauses
                .extend(clauses::clauses(operation.kind(), call)),
        }
        let call = weakened.as_ref().unwrap_or(call);
        let answer = self.engine.answer(&call.operation, &call.body);
        self.has_just_written = answer.is_success();
        if answer.is_success() {
            let now = self.runner.clock.now();
            let by = (operation, &*new_password(at));
            oracle.check_write(by, &self.engine, call, now)?;
        } else {
            let is_condition = answer.body.contains("ConditionalCheckFailed");
            assert!(is_condition, "{}", answer.body);
        }
        Ok(answer)
    }

    /// Checks the end, reads every receipt, and checks every token once more.
    fn end(&mut self, oracle: &Oracle<'_>) -> Result<(), Violation> {
        let now = self.runner.clock.now();
        let ran: Vec<CompletedOperation> = self
            .actors
            .iter_mut()
            .map(|actor| CompletedOperation {
                operation: actor.operation,
                outcome: actor.outcome.take(),
                valid_before: std::mem::take(&mut actor.valid_before),
                to_mark: actor.to_mark.take(),
                target: actor.target,
                has_change: actor.has_change,
                is_reported: actor.is_reported,
                has_app: actor.has_app,
            })
            .collect();
        oracle.check_outcomes(&ran, &mut self.runner.hasher, now)?;
        self.read_receipts(oracle)?;
        let mut tokens: Vec<&str> = self
            .account
            .devices
            .iter()
            .map(|member| member.token.as_str())
            .collect();
        for ran in &ran {
            if let Some(Outcome::SignedIn { token, .. } | Outcome::Verified { token }) =
                &ran.outcome
            {
                tokens.push(token);
            }
        }
        let functions = self.runner.functions.clone();
        // The same end need only be checked once.
        let end = oracle.final_statuses(&tokens, now);
        let of = self.actors.iter().map(|actor| actor.operation).collect();
        if !self
            .runner
            .probed
            .insert((of, self.knocked_out.cloned(), end))
        {
            return Ok(());
        }
        for token in tokens {
            let before = Snapshot::read(&self.engine)?;
            let outcome = self
                .runner
                .runtime
                .block_on(check(&functions.earlier, token));
            Oracle::check_probe(&before, token, &outcome, now)?;
            oracle.check_contact(token, &self.engine)?;
        }
        if oracle.seen().account().disabled_at.is_some() {
            let enabled = functions.bundle.store.enable(self.account.id);
            self.runner.runtime.block_on(enabled).expect("an account");
            oracle.check_enabled(&self.engine, now)?;
        }
        Ok(())
    }
}

impl Race<'_> {
    /// Reads the receipt of every sign-out, once for each shape.
    fn read_receipts(&mut self, oracle: &Oracle<'_>) -> Result<(), Violation> {
        let mut read = BTreeMap::new();
        let shape = (self.knocked_out.cloned(), oracle.shape());
        if self.runner.receipts.insert(shape) {
            let bundle = &self.runner.functions.bundle;
            for id in oracle.seen().sign_outs() {
                let receipt = bundle.store.receipt(self.account.id, id, &bundle.limits);
                let receipt = self.runner.runtime.block_on(receipt);
                read.insert(id, receipt.expect("tables that can be read"));
            }
        }
        oracle.check_receipts(&read)
    }
}
