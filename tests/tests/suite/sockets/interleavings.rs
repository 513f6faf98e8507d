//! A handshake that races the end of its session: every order of their calls, and
//! of those of the push that follows.
//!
//! Each call waits at the wire until the schedule releases it. A batch is read row
//! by row in any order, because DynamoDB promises no consistency between the rows.
//! The gateway's registration of the socket, after the handshake's answer, is a
//! step of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use curfew_tests::account::{PASSWORD, TestDevice, noon};
use curfew_tests::app::{TestApp, event_of, sign_out_of};
use curfew_tests::engine::ServiceResponse;
use curfew_tests::fake_aws::FakeAws;
use curfew_tests::socket_events::{by_ticket, by_token};
use curfew_tests::wire::{self, Call, CallResult, Slot};
use jiff::SignedDuration;
use runtime::{Clients, Clock, lock};
use serde_json::{Value, json};
use store::Change;

/// How the session is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Another device signs it out.
    Device,
    /// Another device signs every other one out.
    Others,
    /// Another device signs every one out.
    Global,
    /// The device signs in again.
    SignInAgain,
}

/// The credential of the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Credential {
    Token,
    Ticket,
}

/// The outcome of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The handshake was refused.
    Refused,
    /// The socket opened, got the revocation, and was closed.
    Revoked,
    /// The socket opened, and was closed without a frame.
    Closed,
}

/// An action that the schedule can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    /// Makes a call of one actor; of a batch, reads one row.
    Call(usize, usize),
    /// Registers the socket at the gateway.
    Register,
}

/// An action, the tables that it touches, and the number of the step after which it
/// became possible.
#[derive(Debug, Clone)]
struct Step {
    action: Action,
    reach: Reach,
    since: usize,
}

impl Step {
    /// Returns whether it could as well have come before the last step: the two are
    /// independent, and the other order is run too.
    fn is_out_of_order(&self, last: &Step, steps: usize) -> bool {
        self.action < last.action && self.since < steps && !self.reach.conflicts_with(&last.reach)
    }
}

const HANDSHAKE: usize = 0;
const ENDING: usize = 1;

/// A call that waits.
struct Waiting {
    call: Call,
    slot: Slot,
    /// The rows of a batch that are still to be read, each with its own call.
    parts: BTreeMap<usize, Call>,
    found: BTreeMap<String, Vec<Value>>,
    /// The number of steps before it began to wait.
    since: usize,
}

/// The tables that a step reads and writes. The gateway counts as a table.
#[derive(Debug, Clone, Default)]
struct Reach {
    reads: BTreeSet<String>,
    writes: BTreeSet<String>,
}

impl Reach {
    fn of(call: &Call) -> Self {
        let mut reach = Self::default();
        let body = serde_json::from_str(&call.body).unwrap_or(Value::Null);
        let table = |part: &Value| part["TableName"].as_str().unwrap().to_owned();
        match call.operation.as_str() {
            "PostToConnection" | "DeleteConnection" => return Self::of_gateway(),
            "BatchGetItem" => {
                let tables = body["RequestItems"].as_object().unwrap();
                reach.reads.extend(tables.keys().cloned());
            }
            "GetItem" | "Query" => reach.reads = BTreeSet::from([table(&body)]),
            "TransactWriteItems" => {
                for item in body["TransactItems"].as_array().unwrap() {
                    for (kind, part) in item.as_object().unwrap() {
                        let is_read = kind == "ConditionCheck";
                        let to = if is_read {
                            &mut reach.reads
                        } else {
                            &mut reach.writes
                        };
                        to.insert(table(part));
                    }
                }
            }
            _ => reach.writes = BTreeSet::from([table(&body)]),
        }
        reach
    }

    fn of_gateway() -> Self {
        Self {
            writes: BTreeSet::from(["the gateway".to_owned()]),
            ..Self::default()
        }
    }

    /// Returns whether the order of the two matters.
    fn conflicts_with(&self, other: &Self) -> bool {
        let writes_what = |one: &Self, two: &Self| !one.writes.is_disjoint(&two.reads);
        writes_what(self, other)
            || writes_what(other, self)
            || !self.writes.is_disjoint(&other.writes)
    }
}

#[derive(Default)]
struct Desk {
    /// The actor whose calls wait. Without one, calls are made at once.
    actor: Option<usize>,
    steps: usize,
    waiting: BTreeMap<usize, Waiting>,
}

/// Enumerates every order, one after the other.
#[derive(Default)]
struct Orders {
    path: Vec<(usize, usize)>,
    depth: usize,
}

impl Orders {
    fn choose(&mut self, of: usize) -> usize {
        if self.depth == self.path.len() {
            self.path.push((0, of));
        }
        let (taken, before) = self.path[self.depth];
        assert_eq!(before, of, "the same choices lead to the same steps");
        self.depth += 1;
        taken
    }

    fn advance(&mut self) -> bool {
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

type Actor = Option<Pin<Box<dyn Future<Output = ()>>>>;

struct Race {
    runtime: tokio::runtime::Runtime,
    aws: Arc<FakeAws>,
    desk: Arc<Mutex<Desk>>,
    clock: Clock,
    /// The functions whose calls the schedule orders.
    raced: &'static TestApp,
    /// The functions whose calls are made at once.
    aside: &'static TestApp,
    accounts: usize,
}

impl Race {
    fn new() -> Self {
        let aws = FakeAws::new();
        let clock = noon();
        let desk: Arc<Mutex<Desk>> = Arc::default();
        let (at_the_desk, behind) = (desk.clone(), aws.clone());
        let waiting = wire::clients(move |call| receive(&mut lock(&at_the_desk), &behind, call));
        // The test ends with the race, so that the leak ends, too.
        let app =
            |clients: &Clients| &*Box::leak(Box::new(TestApp::over(&aws, clients, clock.clone())));
        Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap(),
            desk,
            raced: app(&waiting),
            aside: app(&aws.clients()),
            accounts: 0,
            clock,
            aws,
        }
    }

    /// Registers an account, and signs in a laptop and a device.
    fn account(&mut self) -> (String, TestDevice, TestDevice) {
        self.accounts += 1;
        let email = format!("account-{}@example.com", self.accounts);
        let aside = self.aside;
        self.runtime.block_on(async {
            aside.register(&email).await;
            let laptop = aside.sign_in_to(&email, None).await;
            let device = aside.sign_in_to(&email, None).await;
            (email.clone(), laptop, device)
        })
    }

    /// Returns the handshake of a device.
    fn event(&self, credential: Credential, device: &TestDevice, socket: &str) -> socket::Event {
        match credential {
            Credential::Token => by_token(&device.token, socket),
            Credential::Ticket => {
                let ticket = self.runtime.block_on(self.aside.ticket(device));
                by_ticket(&ticket, socket)
            }
        }
    }

    /// Runs the two against each other in one order. Returns nothing when the order
    /// is skipped because it is equivalent to another one.
    fn run(&mut self, end: End, credential: Credential, orders: &mut Orders) -> Option<Outcome> {
        let (email, laptop, device) = self.account();
        let socket = format!("socket-{}", self.accounts);
        let event = self.event(credential, &device, &socket);
        *lock(&self.desk) = Desk::default();
        let status: Arc<Mutex<Option<u16>>> = Arc::default();
        let mut actors: [Actor; 2] = [
            Some(Box::pin(open(self.raced, event, status.clone()))),
            Some(Box::pin(ending(
                self.raced,
                self.aside,
                end,
                email,
                laptop,
                device.clone(),
            ))),
        ];
        self.go_on(&mut actors, HANDSHAKE);
        self.go_on(&mut actors, ENDING);
        let mut is_registered = false;
        let mut answered_at = None;
        let mut last: Option<Step> = None;
        loop {
            let now = lock(&self.desk).steps;
            if *lock(&status) == Some(200) {
                answered_at.get_or_insert(now);
            }
            let mut steps = self.steps(answered_at.filter(|_| !is_registered));
            if steps.is_empty() {
                break;
            }
            if let Some(last) = &last {
                steps.retain(|step| !step.is_out_of_order(last, now));
            }
            if steps.is_empty() {
                return None;
            }
            let step = steps.swap_remove(orders.choose(steps.len()));
            lock(&self.desk).steps += 1;
            match step.action {
                Action::Register => {
                    self.aws.open(&socket);
                    is_registered = true;
                }
                Action::Call(actor, part) => {
                    if self.make(actor, part) {
                        self.go_on(&mut actors, actor);
                    }
                }
            }
            last = Some(step);
        }
        assert!(actors.iter().all(Option::is_none), "both actors have ended");
        let status = lock(&status).unwrap();
        assert_eq!(status == 200, is_registered);
        Some(self.outcome(end, &socket, &device, status))
    }

    /// Returns the steps that are possible now.
    fn steps(&self, answered_at: Option<usize>) -> Vec<Step> {
        let desk = lock(&self.desk);
        let mut steps = Vec::new();
        for (actor, waiting) in &desk.waiting {
            let step = |part: usize, call: &Call| Step {
                action: Action::Call(*actor, part),
                reach: Reach::of(call),
                since: waiting.since,
            };
            if waiting.parts.is_empty() {
                steps.push(step(0, &waiting.call));
            }
            steps.extend(waiting.parts.iter().map(|(part, call)| step(*part, call)));
        }
        steps.extend(answered_at.map(|since| Step {
            action: Action::Register,
            reach: Reach::of_gateway(),
            since,
        }));
        steps
    }

    /// Makes a call or, of a batch, reads one row. Returns whether the call is
    /// answered by that.
    fn make(&self, actor: usize, part: usize) -> bool {
        let mut desk = lock(&self.desk);
        let waiting = desk.waiting.get_mut(&actor).unwrap();
        let answer = match waiting.parts.remove(&part) {
            None => self.aws.make(&waiting.call),
            Some(call) => {
                let answer = self.aws.make(&call);
                assert!(answer.is_success(), "{}", answer.body);
                let body: Value = serde_json::from_str(&answer.body).unwrap();
                for (table, rows) in body["Responses"].as_object().unwrap() {
                    let found = waiting.found.entry(table.clone()).or_default();
                    found.extend(rows.as_array().unwrap().iter().cloned());
                }
                if !waiting.parts.is_empty() {
                    return false;
                }
                let body = json!({ "Responses": waiting.found, "UnprocessedKeys": {} });
                ServiceResponse {
                    status: 200,
                    body: body.to_string(),
                }
            }
        };
        let waiting = desk.waiting.remove(&actor).unwrap();
        drop(desk);
        waiting.slot.fill(answer);
        true
    }

    /// Runs one actor up to its next call, or to its end.
    fn go_on(&self, actors: &mut [Actor; 2], actor: usize) {
        let _within = self.runtime.enter();
        lock(&self.desk).actor = Some(actor);
        let mut context = Context::from_waker(Waker::noop());
        let running = actors[actor].as_mut().unwrap();
        if running.as_mut().poll(&mut context).is_ready() {
            actors[actor] = None;
        } else {
            let is_waiting = lock(&self.desk).waiting.contains_key(&actor);
            assert!(is_waiting, "an actor waits only for calls");
        }
        lock(&self.desk).actor = None;
    }

    /// Empties the queue, and checks that the socket did not survive.
    fn outcome(&self, end: End, socket: &str, device: &TestDevice, status: u16) -> Outcome {
        let connections = self.runtime.block_on(async {
            self.aside.drain().await;
            let store = &self.aside.bundle.store;
            store.connections(device.account).await.unwrap()
        });
        assert!(!self.aws.is_open(socket), "the socket survived");
        assert_eq!(connections, [], "its row survived");
        let frames = self.aws.frames(socket);
        for frame in &frames {
            assert_eq!(frame["type"], "session-revoked");
            assert_eq!(frame["session"], json!(device.session));
        }
        match (status, end, frames.is_empty()) {
            (401, _, true) => Outcome::Refused,
            (200, End::SignInAgain, true) => Outcome::Closed,
            (200, End::Device | End::Others | End::Global, false) => Outcome::Revoked,
            (status, ..) => panic!("answered {status}, and then sent {frames:?}"),
        }
    }
}

/// Receives a call. Messages to the push queue are taken at once.
fn receive(desk: &mut Desk, aws: &FakeAws, call: Call) -> CallResult {
    let actor = match desk.actor {
        // A counter says nothing about sessions.
        Some(actor) if call.operation != "SendMessage" && !call.is_of_a_counter() => actor,
        _ => return CallResult::Answered(aws.make(&call)),
    };
    let slot = Slot::default();
    let waiting = Waiting {
        parts: parts_of(&call),
        found: BTreeMap::new(),
        slot: slot.clone(),
        since: desk.steps,
        call,
    };
    let before = desk.waiting.insert(actor, waiting);
    assert!(before.is_none(), "an actor makes one call at a time");
    CallResult::Waiting(slot)
}

/// Returns the rows that a `BatchGetItem` reads, each as its own call, in an order
/// that is the same each time.
fn parts_of(call: &Call) -> BTreeMap<usize, Call> {
    if call.operation != "BatchGetItem" {
        return BTreeMap::new();
    }
    let body: Value = serde_json::from_str(&call.body).unwrap();
    let mut bodies = BTreeSet::new();
    for (table, ask) in body["RequestItems"].as_object().unwrap() {
        for key in ask["Keys"].as_array().unwrap() {
            // The SDK writes the members in any order; here they are sorted.
            let key: BTreeMap<String, Value> = serde_json::from_value(key.clone()).unwrap();
            let one =
                json!({ "RequestItems": { table: { "Keys": [key], "ConsistentRead": true } } });
            bodies.insert(one.to_string());
        }
    }
    let parts = bodies.into_iter().map(|body| Call {
        body,
        ..call.clone()
    });
    parts.enumerate().collect()
}

async fn open(raced: &'static TestApp, event: socket::Event, status: Arc<Mutex<Option<u16>>>) {
    let reply = raced.socket_event(event).await;
    *lock(&status) = Some(reply.status_code);
}

/// Ends the session of the device, and delivers the event about it.
async fn ending(
    raced: &'static TestApp,
    aside: &'static TestApp,
    end: End,
    email: String,
    laptop: TestDevice,
    device: TestDevice,
) {
    let body = if end == End::SignInAgain {
        let before = aside.row(&device).await;
        let reply = raced
            .bundle
            .log_in(&email, PASSWORD, Some(&device.key))
            .await;
        assert_eq!(reply.status_code, 200);
        event_of(&Change::SignedIn {
            device: Box::new(aside.row(&device).await),
            before: Some(Box::new(before)),
        })
    } else {
        let reply = match end {
            End::Device => raced.bundle.sign_out_device(&laptop.token, device.id).await,
            End::Others => raced.bundle.sign_out_scope(&laptop.token, "others").await,
            End::Global | End::SignInAgain => {
                raced.bundle.sign_out_scope(&laptop.token, "global").await
            }
        };
        aside.event_of(device.account, sign_out_of(&reply)).await
    };
    assert_eq!(raced.deliver(&[&body]).await, [0; 0]);
}

/// Runs every order of one kind of race. Returns their number, and the outcomes of
/// the handshakes.
fn every_order(end: End, credential: Credential) -> (usize, BTreeSet<Outcome>) {
    let mut race = Race::new();
    let mut orders = Orders::default();
    let (mut runs, mut outcomes) = (0, BTreeSet::new());
    loop {
        if let Some(outcome) = race.run(end, credential, &mut orders) {
            outcomes.insert(outcome);
            runs += 1;
        }
        race.clock.advance(SignedDuration::from_mins(1));
        if !orders.advance() {
            return (runs, outcomes);
        }
    }
}

fn check_every_order(end: End, expected: Outcome) {
    for credential in [Credential::Token, Credential::Ticket] {
        let (runs, outcomes) = every_order(end, credential);
        println!("{end:?}, {credential:?}: {runs} orders");
        assert_eq!(outcomes, BTreeSet::from([Outcome::Refused, expected]));
    }
}

#[test]
fn a_socket_that_opens_while_its_device_is_signed_out_does_not_survive() {
    check_every_order(End::Device, Outcome::Revoked);
}

#[test]
fn a_socket_that_opens_while_every_other_device_is_signed_out_does_not_survive() {
    check_every_order(End::Others, Outcome::Revoked);
}

#[test]
fn a_socket_that_opens_while_every_device_is_signed_out_does_not_survive() {
    check_every_order(End::Global, Outcome::Revoked);
}

#[test]
fn a_socket_that_opens_while_its_device_signs_in_again_does_not_survive() {
    check_every_order(End::SignInAgain, Outcome::Closed);
}
