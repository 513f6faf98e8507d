//! Schedules: which call to a table comes next, and what becomes of it.
//!
//! Operations run as they are, through the real SDK, up to a call to a table.
//! There they wait until they are let go. A `BatchGetItem` reads its rows one by
//! one, in any order, since the table promises nothing of them together. A write
//! can lose its answer and be made again by the SDK, it can arrive a second time
//! when its caller has long been answered and the table has forgotten the token of
//! a transaction, and an operation can die at any call.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use domain::password::{Hasher, Params};
use domain::{DeviceId, SignOutId};
use jiff::SignedDuration;
use runtime::{Clock, lock};
use serde_json::{Value, json};

use super::clauses::{self, Clause};
use super::operations::{
    Announced, Found, Functions, Operation, Outcome, Running, Target, begin, check, new_password,
};
use super::oracle::{End, Oracle, Ran, Snapshot, Violation};
use crate::account::{EMAIL, PASSWORD, TestAccount, TestDevice, noon};
use crate::background::Background;
use crate::bundle::{Bundle, CHEAP};
use crate::delivery;
use crate::engine::{Engine, ServiceResponse};
use crate::random::SeededRandom;
use crate::tables::{IDENTITIES, RECEIPTS};
use crate::wire::{self, Call, CallResult, Slot};

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// An operation begins, and comes to its first call.
    Begin(usize),
    /// A row, or the whole of a query, is read.
    Read(usize, usize),
    /// A write is done and answered.
    Write(usize),
    /// A write is done, its answer is lost, and the SDK makes it again.
    WriteUnheard(usize),
    /// A write is done and answered, and will arrive once more.
    WriteEchoed(usize),
    /// A write that was done and answered arrives once more.
    Echo(usize),
    /// An operation dies.
    Die(usize),
}

impl Step {
    fn actor(self) -> usize {
        match self {
            Self::Begin(actor)
            | Self::Read(actor, _)
            | Self::Write(actor)
            | Self::WriteUnheard(actor)
            | Self::WriteEchoed(actor)
            | Self::Echo(actor)
            | Self::Die(actor) => actor,
        }
    }

    /// Beginning is next to a read.
    fn is_read(self) -> bool {
        matches!(self, Self::Begin(_) | Self::Read(..))
    }

    fn is_write(self) -> bool {
        matches!(
            self,
            Self::Write(_) | Self::WriteUnheard(_) | Self::WriteEchoed(_)
        )
    }

    fn rank(self) -> (usize, usize) {
        match self {
            Self::Read(actor, part) => (actor, part),
            other => (other.actor(), 0),
        }
    }

    fn is_fault(self) -> bool {
        matches!(
            self,
            Self::WriteUnheard(_) | Self::WriteEchoed(_) | Self::Die(_)
        )
    }
}

/// Who decides what happens next.
pub trait Chooser {
    /// Picks one of the steps.
    fn choose(&mut self, steps: &[Step]) -> usize;
    /// Whether it goes through all of them. Then schedules that differ only in
    /// the order of neighbours that have nothing to do with each other are one,
    /// and a write that arrives once more does so as the SDK's replay alone.
    fn is_exhaustive(&self) -> bool;
}

/// The rows that a call has to do with, each by its table and sort key; a query
/// has to do with a whole table.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Footprint {
    rows: BTreeSet<(String, String)>,
    tables: BTreeSet<String>,
}

impl Footprint {
    fn meets(&self, other: &Self) -> bool {
        let covers =
            |one: &Self, two: &Self| two.rows.iter().any(|(table, _)| one.tables.contains(table));
        !self.rows.is_disjoint(&other.rows) || covers(self, other) || covers(other, self)
    }
}

/// Goes through every schedule, one after the other.
#[derive(Debug, Default)]
pub struct Exhaustive {
    path: Vec<(usize, usize)>,
    depth: usize,
}

impl Exhaustive {
    /// Turns to the next schedule; there is none after the last.
    pub fn turn(&mut self) -> bool {
        self.depth = 0;
        while let Some((taken, of)) = self.path.pop() {
            if taken + 1 < of {
                self.path.push((taken + 1, of));
                return true;
            }
        }
        false
    }
}

impl Chooser for Exhaustive {
    fn choose(&mut self, steps: &[Step]) -> usize {
        if self.depth == self.path.len() {
            self.path.push((0, steps.len()));
        }
        let (taken, of) = self.path[self.depth];
        assert_eq!(of, steps.len(), "a schedule can be run again");
        self.depth += 1;
        taken
    }

    fn is_exhaustive(&self) -> bool {
        true
    }
}

/// Lets operations come one after the other, as it is told, and nothing go wrong.
#[derive(Debug, Clone)]
pub struct Scripted(pub VecDeque<Turn>);

/// How far an operation goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Until one row of the first that it asks for is read.
    ToOneRow(usize, usize),
    /// Until all that it needs to read is read.
    ToItsWrite(usize),
    /// Until it is done.
    ToItsEnd(usize),
    /// The same, and its write will arrive once more.
    ToItsEchoedEnd(usize),
    /// Its write arrives once more.
    Echo(usize),
}

impl Chooser for Scripted {
    fn choose(&mut self, steps: &[Step]) -> usize {
        loop {
            let turn = self.0.front().copied().expect("a turn for every step");
            let found = steps.iter().position(|step| match turn {
                Turn::ToOneRow(actor, row) => {
                    *step == Step::Begin(actor) || *step == Step::Read(actor, row)
                }
                Turn::ToItsWrite(actor) => step.actor() == actor && step.is_read(),
                Turn::ToItsEnd(actor) => {
                    step.actor() == actor && (step.is_read() || matches!(step, Step::Write(_)))
                }
                Turn::ToItsEchoedEnd(actor) => {
                    let is_echoed = matches!(step, Step::WriteEchoed(_));
                    step.actor() == actor && (step.is_read() || is_echoed)
                }
                Turn::Echo(actor) => *step == Step::Echo(actor),
            });
            match found {
                Some(found) => return found,
                None => self.0.pop_front(),
            };
        }
    }

    fn is_exhaustive(&self) -> bool {
        false
    }
}

impl Chooser for SeededRandom {
    fn choose(&mut self, steps: &[Step]) -> usize {
        self.index(steps.len())
    }

    fn is_exhaustive(&self) -> bool {
        false
    }
}

/// A household and what happened to it before the race.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum History {
    /// Three devices are signed in.
    Fresh,
    /// The first device signed every other one out, and stayed; the third signed
    /// in again. Nothing was swept.
    OneSignOut,
    /// As before, and then the third did the same.
    TwoSignOuts,
}

/// A history that can be gone back to.
#[derive(Debug)]
pub struct Past {
    history: History,
    saved: PathBuf,
    account: TestAccount,
}

/// What waits at the wire.
#[derive(Debug)]
struct Waiting {
    call: Call,
    /// Whether it writes a contact down.
    is_mark: bool,
    slot: Slot,
    parts: Vec<(usize, String, String)>,
    found: BTreeMap<String, Vec<Value>>,
}

#[derive(Debug, Default)]
struct Desk {
    engine: Option<Engine>,
    /// Whose calls wait; without one, calls are answered at once.
    actor: Option<usize>,
    waiting: BTreeMap<usize, Waiting>,
    /// What calls that do not wait are made without.
    left_out: Option<Clause>,
    handed_over: Arc<Mutex<BTreeMap<usize, String>>>,
}

impl Desk {
    fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("an engine")
    }
}

/// One thread's functions, wire and clock.
pub struct World {
    desk: Arc<Mutex<Desk>>,
    functions: Rc<Functions>,
    clock: Clock,
    earlier: Clock,
    hasher: Hasher,
    probed: HashSet<(Vec<Operation>, Option<Clause>, Vec<End>)>,
    receipts: HashSet<(Option<Clause>, Vec<usize>)>,
    runtime: tokio::runtime::Runtime,
}

/// How a schedule went.
#[derive(Debug)]
pub struct Run {
    /// What happened, step by step.
    pub steps: Vec<Step>,
    /// The rule that was broken.
    pub violation: Option<Violation>,
    /// It is another schedule but for the order of neighbouring reads, and was
    /// left.
    pub is_repetition: bool,
    /// The clauses of the writes that were made.
    pub clauses: BTreeSet<Clause>,
    /// How many calls to a table were made.
    pub calls: usize,
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// Wires the functions up.
    #[must_use]
    pub fn new() -> Self {
        let desk: Arc<Mutex<Desk>> = Arc::default();
        let at_the_desk = desk.clone();
        let clients = wire::clients(move |call| receive(&mut lock(&at_the_desk), call));
        let client = clients.dynamodb();
        let (clock, earlier) = (noon(), noon());
        let mut dearer = Bundle::new(client.clone(), clock.clone());
        let params = Params { t: 2, ..CHEAP };
        dearer.login.hasher = Mutex::new(Hasher::with_params(params).expect("in bounds"));
        let mut sweep = Background::new(&clients, &dearer).sweep;
        sweep.page_size = 1;
        let handed_over = lock(&desk).handed_over.clone();
        let functions = Functions {
            sweep,
            handed_over,
            bundle: Bundle::new(client.clone(), clock.clone()),
            earlier: Bundle::new(client, earlier.clone()),
            dearer,
        };
        Self {
            desk,
            functions: Rc::new(functions),
            clock,
            earlier,
            hasher: Hasher::with_params(CHEAP).expect("in bounds"),
            probed: HashSet::new(),
            receipts: HashSet::new(),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime"),
        }
    }

    /// Plays a history once and keeps its end in a file of the folder.
    #[must_use]
    pub fn play(&self, history: History, folder: &Path) -> Past {
        self.set_clocks();
        lock(&self.desk).engine = Some(Engine::new());
        lock(&self.desk).actor = None;
        let saved = folder.join(format!("{history:?}-{:016x}.db", rand_name()));
        let account = self.runtime.block_on(self.live(history));
        lock(&self.desk).engine().save(&saved);
        Past {
            history,
            saved,
            account,
        }
    }

    async fn live(&self, history: History) -> TestAccount {
        let bundle = &self.functions.bundle;
        let registered = bundle.register(EMAIL, PASSWORD).await;
        assert_eq!(registered.status_code, 202);
        let mut devices = Vec::new();
        for _ in 0..3 {
            devices.push(self.sign_in(None).await);
        }
        let others = async |by: &TestDevice| {
            self.clock.advance(SignedDuration::from_secs(1));
            let reply = bundle.sign_out_scope(&by.token, "others").await;
            assert_eq!(reply.status_code, 200);
        };
        if history != History::Fresh {
            others(&devices[0]).await;
            devices[2] = self.sign_in(Some(&devices[2].key)).await;
        }
        if history == History::TwoSignOuts {
            others(&devices[2]).await;
        }
        TestAccount {
            id: devices[0].account,
            email: EMAIL.to_owned(),
            password: PASSWORD.to_owned(),
            devices,
        }
    }

    async fn sign_in(&self, key: Option<&str>) -> TestDevice {
        self.clock.advance(SignedDuration::from_secs(1));
        TestDevice::of(&self.functions.bundle.log_in(EMAIL, PASSWORD, key).await)
    }

    fn set_clocks(&self) {
        let noon = noon().now();
        self.clock.advance(noon.duration_since(self.clock.now()));
        self.earlier
            .advance(noon.duration_since(self.earlier.now()));
    }

    /// Runs operations against each other once, after a history.
    ///
    /// # Panics
    /// When an operation waits for anything but a table.
    pub fn run(
        &mut self,
        past: &Past,
        operations: &[Operation],
        chooser: &mut dyn Chooser,
        left_out: Option<&Clause>,
    ) -> Run {
        self.set_clocks();
        // A touch is due to all but those on the earlier clock.
        self.clock.advance(SignedDuration::from_mins(10));
        self.earlier.advance(SignedDuration::from_mins(1));
        let engine = Engine::from_saved(&past.saved);
        let handed_over = self.functions.handed_over.clone();
        lock(&handed_over).clear();
        *lock(&self.desk) = Desk {
            engine: Some(engine.clone()),
            left_out: left_out.cloned(),
            handed_over,
            ..Desk::default()
        };
        let mut run = Run {
            steps: Vec::new(),
            violation: None,
            is_repetition: false,
            clauses: BTreeSet::new(),
            calls: 0,
        };
        let account = Rc::new(past.account.clone());
        let mut race = Race {
            world: self,
            engine,
            account,
            actors: operations.iter().map(|op| Actor::new(*op)).collect(),
            is_spent: false,
            is_exhaustive: chooser.is_exhaustive(),
            are_marks_apart: !chooser.is_exhaustive()
                || operations.iter().all(|it| it.is_about_parts()),
            last_footprint: Footprint::default(),
            run: &mut run,
            left_out,
        };
        if let Err(violation) = race.go(chooser) {
            run.violation = Some(violation);
        }
        run
    }
}

/// A name for a file that no other thread or process has.
fn rand_name() -> u64 {
    u64::from_be_bytes(runtime::random())
}

/// Takes a call in. What is not a table is always there, and has no part in a
/// race: the events of a sweep can come twice, and its next page waits for it.
fn receive(desk: &mut Desk, call: Call) -> CallResult {
    match call.operation.as_str() {
        "PublishBatch" => {
            let messages = delivery::batch(&call.body).into_iter();
            let outcomes: Vec<_> = messages.map(|(id, _)| (id, None)).collect();
            return CallResult::Answered(delivery::batch_answer(&outcomes));
        }
        "SendMessage" => {
            let place = delivery::sent(&call.body).attributes["after"].clone();
            let actor = desk.actor.expect("a sweep is an operation of a race");
            lock(&desk.handed_over).insert(actor, place);
            return CallResult::Answered(delivery::sent_answer());
        }
        _ => {}
    }
    let Some(actor) = desk.actor else {
        let is_its_own = |clause: &&Clause| clause.operation == clauses::made_by("", &call);
        let left_out = desk.left_out.as_ref().filter(is_its_own);
        let call = left_out
            .and_then(|clause| clauses::without(clause, &call))
            .unwrap_or(call);
        let answer = desk.engine().answer(&call.operation, &call.body);
        return CallResult::Answered(answer);
    };
    if call.operation == "GetItem" {
        // Of an address, which no operation of a race writes: when it is read
        // makes no difference.
        let answer = desk.engine().answer(&call.operation, &call.body);
        return CallResult::Answered(answer);
    }
    let slot = Slot::default();
    let parts = match call.operation.as_str() {
        "BatchGetItem" => rows_of(&call.body),
        _ if call.is_write() => Vec::new(),
        _ => vec![(0, String::new(), call.body.clone())],
    };
    let waiting = Waiting {
        is_mark: clauses::is_mark(&call),
        call,
        slot: slot.clone(),
        parts,
        found: BTreeMap::new(),
    };
    let before = desk.waiting.insert(actor, waiting);
    assert!(before.is_none(), "an operation makes one call at a time");
    CallResult::Waiting(slot)
}

/// The rows that a `BatchGetItem` asks for, each with a call of its own.
fn rows_of(body: &str) -> Vec<(usize, String, String)> {
    let body: Value = serde_json::from_str(body).expect("a call of JSON");
    let tables = body["RequestItems"].as_object().expect("its tables");
    let mut asked = Vec::new();
    for (table, ask) in tables {
        for key in ask["Keys"].as_array().expect("its keys") {
            let one = json!({ "RequestItems": { table: {
                "Keys": [key], "ConsistentRead": ask["ConsistentRead"],
            } } });
            // The SDK writes a key's attributes in any order.
            let device = key["device_id"]["S"].as_str().unwrap_or_default();
            asked.push((table.clone(), device.to_owned(), one.to_string()));
        }
    }
    asked.sort();
    asked
        .into_iter()
        .enumerate()
        .map(|(part, (table, _, one))| (part, table, one))
        .collect()
}

/// The call as it is when it comes so late that a transaction's token is forgotten:
/// the table remembers one for ten minutes.
fn without_token(call: Call) -> Call {
    let mut body: Value = serde_json::from_str(&call.body).expect("a call of JSON");
    let members = body.as_object_mut().expect("a call of JSON");
    members.remove("ClientRequestToken");
    Call {
        body: body.to_string(),
        ..call
    }
}

/// The rows of a call: its keys, or the key of what it puts.
fn footprint(operation: &str, body: &str) -> Footprint {
    let body: Value = serde_json::from_str(body).expect("a call of JSON");
    let mut footprint = Footprint::default();
    let mut add = |table: &Value, key: &Value| {
        let sort = ["device_id", "sign_out_id"]
            .into_iter()
            .find_map(|name| key[name]["S"].as_str());
        let table = table.as_str().unwrap_or_default().to_owned();
        let sort = sort.unwrap_or_default().to_owned();
        footprint.rows.insert((table, sort));
    };
    let keyed = |part: &Value| {
        if part["Item"].is_null() {
            part["Key"].clone()
        } else {
            part["Item"].clone()
        }
    };
    match operation {
        "BatchGetItem" => {
            for (table, ask) in body["RequestItems"].as_object().expect("its tables") {
                for key in ask["Keys"].as_array().expect("its keys") {
                    add(&table.as_str().into(), key);
                }
            }
        }
        "TransactWriteItems" => {
            for item in body["TransactItems"].as_array().expect("its items") {
                for part in item.as_object().expect("an item").values() {
                    // A header has a device among its attributes and is named by
                    // its own key.
                    let mut key = keyed(part);
                    if !key["sign_out_id"].is_null() && part["TableName"] == RECEIPTS {
                        key["device_id"] = Value::Null;
                    }
                    add(&part["TableName"], &key);
                }
            }
        }
        "Query" => {
            let table = body["TableName"].as_str().unwrap_or_default();
            footprint.tables.insert(table.to_owned());
        }
        _ => add(&body["TableName"], &keyed(&body)),
    }
    footprint
}

struct Actor {
    operation: Operation,
    running: Option<Running>,
    is_begun: bool,
    is_over: bool,
    outcome: Option<Outcome>,
    echo: Option<Call>,
    /// The number of the step after which its present call was waiting.
    waits_since: usize,
    valid_before: BTreeSet<domain::SessionId>,
    to_mark: Option<(SignOutId, BTreeSet<domain::SessionId>)>,
    target: Option<domain::SessionId>,
}

impl Actor {
    fn new(operation: Operation) -> Self {
        Self {
            operation,
            running: None,
            is_begun: false,
            is_over: false,
            outcome: None,
            echo: None,
            waits_since: 0,
            valid_before: BTreeSet::new(),
            to_mark: None,
            target: None,
        }
    }
}

struct Race<'a> {
    world: &'a mut World,
    engine: Engine,
    account: Rc<TestAccount>,
    actors: Vec<Actor>,
    /// Whether the one fault of a schedule has happened.
    is_spent: bool,
    is_exhaustive: bool,
    /// Whether a contact is written down in steps of their own, any of which can go
    /// wrong. If not, they follow at once on the read that told of the end. A
    /// refused caller of any operation writes the same two calls, which decide
    /// nothing: they add to a part and note the contact in the row, and all that
    /// reads or writes either one is another contact, a sign-in on the device, and
    /// a sweep. A check against each of these is tried in every order, and draws
    /// at random keep the marks apart for all.
    are_marks_apart: bool,
    last_footprint: Footprint,
    run: &'a mut Run,
    left_out: Option<&'a Clause>,
}

impl Race<'_> {
    fn go(&mut self, chooser: &mut dyn Chooser) -> Result<(), Violation> {
        let account = self.account.clone();
        let mut oracle = Oracle::new(&account, &self.engine, self.world.clock.now())?;
        loop {
            let mut steps = self.steps();
            if steps.is_empty() {
                break;
            }
            if chooser.is_exhaustive() {
                steps.retain(|step| !self.is_out_of_order(*step));
                if steps.is_empty() {
                    self.run.is_repetition = true;
                    return Ok(());
                }
            }
            let step = steps[chooser.choose(&steps)];
            self.last_footprint = self.footprint(step);
            self.run.steps.push(step);
            let second = SignedDuration::from_secs(1);
            self.world.clock.advance(second);
            self.world.earlier.advance(second);
            self.take(step, &mut oracle)?;
        }
        self.end(&oracle)
    }

    /// What can happen next.
    fn steps(&self) -> Vec<Step> {
        let desk = lock(&self.world.desk);
        let last = self.run.steps.last().copied();
        // Beginning and the first call are one step: what lies between them
        // touches no table.
        let only = match last {
            Some(Step::Begin(actor)) => Some(actor),
            _ => None,
        };
        let mut waiting = desk.waiting.iter();
        if let Some((at, _)) = waiting.find(|(_, it)| it.is_mark && !self.are_marks_apart) {
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
            if let Some(waiting) = desk.waiting.get(&at) {
                if waiting.call.is_write() {
                    steps.push(Step::Write(at));
                    if !self.is_spent {
                        steps.push(Step::WriteUnheard(at));
                        if !self.is_exhaustive {
                            steps.push(Step::WriteEchoed(at));
                        }
                    }
                } else {
                    steps.extend(waiting.parts.iter().map(|part| Step::Read(at, part.0)));
                }
                // When it dies makes no difference to the others, so it does at
                // once after a step of its own.
                let has_just_moved = last.is_some_and(|last| last.actor() == at)
                    && !matches!(last, Some(Step::Begin(_) | Step::Echo(_)));
                if !self.is_spent && has_just_moved {
                    steps.push(Step::Die(at));
                }
            }
            if actor.echo.is_some() {
                steps.push(Step::Echo(at));
            }
        }
        steps
    }

    /// Whether the step could as well have come before the last one, in a
    /// schedule that is run too: neither makes a difference to the other.
    fn is_out_of_order(&self, step: Step) -> bool {
        let Some(last) = self.run.steps.last().copied() else {
            return false;
        };
        let was_possible = self.actors[step.actor()].waits_since < self.run.steps.len();
        if !was_possible || matches!(last, Step::Begin(_)) || step.rank() >= last.rank() {
            return false;
        }
        match (last.is_read(), step.is_read()) {
            (true, true) => true,
            (true, false) => step.is_write() && !self.footprint(step).meets(&self.last_footprint),
            (false, true) => {
                last.is_write()
                    && !matches!(step, Step::Begin(_))
                    && !self.footprint(step).meets(&self.last_footprint)
            }
            (false, false) => false,
        }
    }

    /// What the step has to do with.
    fn footprint(&self, step: Step) -> Footprint {
        let desk = lock(&self.world.desk);
        let Some(waiting) = desk.waiting.get(&step.actor()) else {
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

    fn take(&mut self, step: Step, oracle: &mut Oracle<'_>) -> Result<(), Violation> {
        let at = step.actor();
        self.is_spent |= step.is_fault();
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
            Step::Write(_) | Step::WriteUnheard(_) | Step::WriteEchoed(_) => {
                let call = lock(&self.world.desk).waiting[&at].call.clone();
                let answer = self.write(at, &call, oracle)?;
                if matches!(step, Step::WriteUnheard(_)) {
                    return Ok(());
                }
                if matches!(step, Step::WriteEchoed(_)) {
                    self.actors[at].echo = Some(call);
                }
                self.answer(at, answer);
                self.poll(at);
            }
            Step::Echo(_) => {
                let call = self.actors[at].echo.take().expect("an echo");
                let call = without_token(call);
                let _nobody_hears_it = self.write(at, &call, oracle)?;
            }
            Step::Die(_) => {
                self.actors[at].running = None;
                self.actors[at].is_over = true;
                lock(&self.world.desk).waiting.remove(&at);
            }
        }
        Ok(())
    }

    fn begin(&mut self, at: usize, seen: &Snapshot) {
        let now = self.world.clock.now();
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
        actor.to_mark = announced
            .as_ref()
            .map(|sign_out| (sign_out.id, seen.unmarked(sign_out.id)));
        actor.target = target;
        let operation = actor.operation;
        let found = Found { newest, announced };
        let running = begin(operation, at, &self.world.functions, &self.account, found);
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

    /// Lets the operation go on to its next call, or to its end.
    fn poll(&mut self, at: usize) {
        lock(&self.world.desk).actor = Some(at);
        let running = self.actors[at].running.as_mut().expect("it is running");
        let polled = {
            let _timers = self.world.runtime.enter();
            running
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
        };
        lock(&self.world.desk).actor = None;
        let actor = &mut self.actors[at];
        actor.waits_since = self.run.steps.len();
        match polled {
            Poll::Ready(outcome) => {
                actor.running = None;
                actor.is_over = true;
                actor.outcome = Some(outcome);
            }
            Poll::Pending => assert!(
                lock(&self.world.desk).waiting.contains_key(&at),
                "an operation waits for a table and for nothing else"
            ),
        }
    }

    fn answer(&mut self, at: usize, answer: ServiceResponse) {
        let waiting = lock(&self.world.desk).waiting.remove(&at);
        waiting.expect("it waits").slot.fill(answer);
    }

    /// Reads a part of what is asked for. Tells whether that was the last.
    fn read(&mut self, at: usize, part: usize) -> bool {
        self.run.calls += 1;
        let answer = {
            let mut desk = lock(&self.world.desk);
            let waiting = desk.waiting.get_mut(&at).expect("it waits");
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
        assert!(!call.body.contains(IDENTITIES), "nobody's address changes");
        let operation = self.actors[at].operation;
        let mut weakened = None;
        match self.left_out {
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
        if answer.is_success() {
            let now = self.world.clock.now();
            oracle.wrote(operation, &new_password(at), &self.engine, now)?;
        } else {
            let is_condition = answer.body.contains("ConditionalCheckFailed");
            assert!(is_condition, "{}", answer.body);
        }
        Ok(answer)
    }

    /// Judges the end, reads every receipt, and tries every token once more.
    fn end(&mut self, oracle: &Oracle<'_>) -> Result<(), Violation> {
        let now = self.world.clock.now();
        let ran: Vec<Ran> = self
            .actors
            .iter_mut()
            .map(|actor| Ran {
                operation: actor.operation,
                outcome: actor.outcome.take(),
                valid_before: std::mem::take(&mut actor.valid_before),
                to_mark: actor.to_mark.take(),
                target: actor.target,
            })
            .collect();
        oracle.told(&ran, &mut self.world.hasher, now)?;
        self.read_receipts(oracle)?;
        let mut tokens: Vec<&str> = self
            .account
            .devices
            .iter()
            .map(|member| member.token.as_str())
            .collect();
        for ran in &ran {
            if let Some(Outcome::SignedIn { token, .. }) = &ran.outcome {
                tokens.push(token);
            }
        }
        let functions = self.world.functions.clone();
        // Ends that are alike in all that a check reads are tried once.
        let end = oracle.end_of(&tokens, now);
        let of = self.actors.iter().map(|actor| actor.operation).collect();
        if !self.world.probed.insert((of, self.left_out.cloned(), end)) {
            return Ok(());
        }
        for token in tokens {
            let outcome = self
                .world
                .runtime
                .block_on(check(&functions.earlier, token));
            oracle.probed(token, &outcome, now)?;
            oracle.contacts(token, &self.engine)?;
        }
        if oracle.seen().account().disabled_at.is_some() {
            let enabled = functions.bundle.store.enable(self.account.id);
            self.world.runtime.block_on(enabled).expect("an account");
            oracle.enabled(&self.engine, now)?;
        }
        Ok(())
    }
}

impl Race<'_> {
    /// Reads the receipt of every sign-out that there was. Those of one shape are
    /// read once.
    fn read_receipts(&mut self, oracle: &Oracle<'_>) -> Result<(), Violation> {
        let mut read = BTreeMap::new();
        let shape = (self.left_out.cloned(), oracle.shape());
        if self.world.receipts.insert(shape) {
            let bundle = &self.world.functions.bundle;
            for id in oracle.seen().sign_outs() {
                let receipt = bundle.store.receipt(self.account.id, id, &bundle.limits);
                let receipt = self.world.runtime.block_on(receipt);
                read.insert(id, receipt.expect("tables that can be read"));
            }
        }
        oracle.receipts(&read)
    }
}

impl Past {
    /// Which history it is.
    #[must_use]
    pub fn history(&self) -> History {
        self.history
    }
}

impl Drop for Past {
    fn drop(&mut self) {
        let _left_behind_at_worst = std::fs::remove_file(&self.saved);
    }
}
