//! A handshake while its session is being ended: every order of the steps of the
//! two, and of the push that follows.
//!
//! Each call waits at the wire until it is let go. A batch is read row by row, in
//! any order, since the table promises nothing of its rows together. That the
//! gateway registers the socket, once its handshake was answered, is a step, too.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use curfew_tests::bundle::json_of;
use curfew_tests::engine::Answer;
use curfew_tests::sockets::{Gateway, Member, PASSWORD, World, by_ticket, by_token, event_of};
use curfew_tests::wire::{self, Call, Fate, Slot};
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

/// What a socket is opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum With {
    Token,
    Ticket,
}

/// What became of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Became {
    /// There is no socket.
    Refused,
    /// The socket was open, was told, and ended.
    Told,
    /// The socket was open, and ended without a word.
    EndInfo,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    /// A call of one of the two is made; of a batch, one row is read.
    Call(usize, usize),
    /// The gateway registers the socket.
    Register,
}

/// What happens next, and when that became possible.
#[derive(Debug, Clone)]
struct Step {
    act: Act,
    reach: Reach,
    since: usize,
}

impl Step {
    /// Whether it could as well have come before the last step: neither makes a
    /// difference to the other, and that order is run anyway.
    fn is_out_of_order(&self, last: &Step, steps: usize) -> bool {
        self.act < last.act && self.since < steps && !self.reach.meets(&last.reach)
    }
}

const HANDSHAKE: usize = 0;
const ENDING: usize = 1;

/// A call that waits.
struct Waiting {
    call: Call,
    slot: Slot,
    /// The rows that are still to be read, each by a call of its own.
    parts: BTreeMap<usize, Call>,
    found: BTreeMap<String, Vec<Value>>,
    /// After how many steps it began to wait.
    since: usize,
}

/// The tables that a step reads and those that it writes; the gateway counts as
/// one.
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

    /// Whether the order of the two makes a difference.
    fn meets(&self, other: &Self) -> bool {
        let writes_what = |one: &Self, two: &Self| !one.writes.is_disjoint(&two.reads);
        writes_what(self, other)
            || writes_what(other, self)
            || !self.writes.is_disjoint(&other.writes)
    }
}

#[derive(Default)]
struct Desk {
    /// Whose calls wait; without one, they are made at once.
    actor: Option<usize>,
    steps: usize,
    waiting: BTreeMap<usize, Waiting>,
}

/// Goes through every order, one after the other.
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
        assert_eq!(before, of, "an order can be run again");
        self.depth += 1;
        taken
    }

    fn turn(&mut self) -> bool {
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
    gateway: Arc<Gateway>,
    desk: Arc<Mutex<Desk>>,
    clock: Clock,
    /// The functions whose calls wait.
    raced: &'static World,
    /// The same, whose calls don't.
    aside: &'static World,
    households: usize,
}

impl Race {
    fn new() -> Self {
        let gateway = Gateway::new();
        let clock = Clock::fixed("2026-11-20T12:00:00Z".parse().unwrap());
        let desk: Arc<Mutex<Desk>> = Arc::default();
        let (at_the_desk, behind) = (desk.clone(), gateway.clone());
        let waiting = wire::clients(move |call| receive(&mut lock(&at_the_desk), &behind, call));
        // The test ends with the race, so its worlds may live as long.
        let world = |clients: &Clients| {
            &*Box::leak(Box::new(World::over(&gateway, clients, clock.clone())))
        };
        Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap(),
            desk,
            raced: world(&waiting),
            aside: world(&gateway.clients()),
            households: 0,
            clock,
            gateway,
        }
    }

    /// A household of its own: its address, a laptop and a device.
    fn household(&mut self) -> (String, Member, Member) {
        self.households += 1;
        let email = format!("household-{}@example.com", self.households);
        let aside = self.aside;
        self.runtime.block_on(async {
            let registered = aside.bundle.register(&email, PASSWORD).await;
            assert_eq!(registered.status_code, 202);
            let laptop = aside.sign_in_to(&email, None).await;
            let device = aside.sign_in_to(&email, None).await;
            (email.clone(), laptop, device)
        })
    }

    /// The handshake of a device.
    fn event(&self, with: With, device: &Member, socket: &str) -> socket::Event {
        match with {
            With::Token => by_token(&device.token, socket),
            With::Ticket => {
                let issued = self.aside.bundle.socket_ticket(&device.token);
                let reply = self.runtime.block_on(issued);
                by_ticket(json_of(&reply)["ticket"].as_str().unwrap(), socket)
            }
        }
    }

    /// Runs the two against each other in one order; none when it is left because
    /// it differs from another one in nothing that counts.
    fn run(&mut self, end: End, with: With, orders: &mut Orders) -> Option<Became> {
        let (email, laptop, device) = self.household();
        let socket = format!("socket-{}", self.households);
        let event = self.event(with, &device, &socket);
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
            match step.act {
                Act::Register => {
                    self.gateway.open(&socket);
                    is_registered = true;
                }
                Act::Call(actor, part) => {
                    if self.make(actor, part) {
                        self.go_on(&mut actors, actor);
                    }
                }
            }
            last = Some(step);
        }
        assert!(actors.iter().all(Option::is_none), "both have ended");
        let status = lock(&status).unwrap();
        assert_eq!(status == 200, is_registered);
        Some(self.judge(end, &socket, &device, status))
    }

    /// What can happen next.
    fn steps(&self, answered_at: Option<usize>) -> Vec<Step> {
        let desk = lock(&self.desk);
        let mut steps = Vec::new();
        for (actor, waiting) in &desk.waiting {
            let step = |part: usize, call: &Call| Step {
                act: Act::Call(*actor, part),
                reach: Reach::of(call),
                since: waiting.since,
            };
            if waiting.parts.is_empty() {
                steps.push(step(0, &waiting.call));
            }
            steps.extend(waiting.parts.iter().map(|(part, call)| step(*part, call)));
        }
        steps.extend(answered_at.map(|since| Step {
            act: Act::Register,
            reach: Reach::of_gateway(),
            since,
        }));
        steps
    }

    /// Makes a call, or a part of it; whether it is answered by that.
    fn make(&self, actor: usize, part: usize) -> bool {
        let mut desk = lock(&self.desk);
        let waiting = desk.waiting.get_mut(&actor).unwrap();
        let answer = match waiting.parts.remove(&part) {
            None => self.gateway.make(&waiting.call),
            Some(call) => {
                let answer = self.gateway.make(&call);
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
                Answer {
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

    /// Lets one of the two go on to its next call, or to its end.
    fn go_on(&self, actors: &mut [Actor; 2], actor: usize) {
        let _within = self.runtime.enter();
        lock(&self.desk).actor = Some(actor);
        let mut context = Context::from_waker(Waker::noop());
        let running = actors[actor].as_mut().unwrap();
        if running.as_mut().poll(&mut context).is_ready() {
            actors[actor] = None;
        } else {
            let waits = lock(&self.desk).waiting.contains_key(&actor);
            assert!(waits, "it waits for a call and for nothing else");
        }
        lock(&self.desk).actor = None;
    }

    /// Lets the queue come to its end, and judges it.
    fn judge(&self, end: End, socket: &str, device: &Member, status: u16) -> Became {
        let connections = self.runtime.block_on(async {
            self.aside.drain().await;
            let account = self.aside.account(device);
            self.aside.bundle.store.connections(account).await.unwrap()
        });
        assert!(!self.gateway.is_open(socket), "it does not survive");
        assert_eq!(connections, [], "it is forgotten");
        let frames = self.gateway.frames(socket);
        for frame in &frames {
            assert_eq!(frame["type"], "session-revoked");
            assert_eq!(frame["session"], json!(device.session));
        }
        match (status, end, frames.is_empty()) {
            (401, _, true) => Became::Refused,
            (200, End::SignInAgain, true) => Became::EndInfo,
            (200, End::Device | End::Others | End::Global, false) => Became::Told,
            (status, ..) => panic!("answered {status}, and then told {frames:?}"),
        }
    }
}

/// Takes a call in. The queue of the pushes takes its messages at once.
fn receive(desk: &mut Desk, gateway: &Gateway, call: Call) -> Fate {
    let actor = match desk.actor {
        Some(actor) if call.operation != "SendMessage" => actor,
        _ => return Fate::Answered(gateway.make(&call)),
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
    assert!(before.is_none(), "each makes one call at a time");
    Fate::Waiting(slot)
}

/// The rows that a `BatchGetItem` asks for, each by a call of its own, in an order
/// that is the same each time.
fn parts_of(call: &Call) -> BTreeMap<usize, Call> {
    if call.operation != "BatchGetItem" {
        return BTreeMap::new();
    }
    let body: Value = serde_json::from_str(&call.body).unwrap();
    let mut bodies = BTreeSet::new();
    for (table, ask) in body["RequestItems"].as_object().unwrap() {
        for key in ask["Keys"].as_array().unwrap() {
            // The wire writes the members in any order; here, they are sorted.
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

async fn open(raced: &'static World, event: socket::Event, status: Arc<Mutex<Option<u16>>>) {
    let reply = socket::handle(&raced.socket, event).await;
    *lock(&status) = Some(reply.status_code);
}

/// Ends the session of the device, and delivers what the topic says of it.
async fn ending(
    raced: &'static World,
    aside: &'static World,
    end: End,
    email: String,
    laptop: Member,
    device: Member,
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
            End::Device => {
                raced
                    .bundle
                    .sign_out_device(&laptop.token, device.device)
                    .await
            }
            End::Others => raced.bundle.sign_out_all(&laptop.token, "others").await,
            End::Global | End::SignInAgain => {
                raced.bundle.sign_out_all(&laptop.token, "global").await
            }
        };
        assert_eq!(reply.status_code, 200);
        let id = json_of(&reply)["sign_out"]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        aside.event_of(&device, id.parse().unwrap()).await
    };
    assert_eq!(raced.deliver(&[&body]).await, [0; 0]);
}

/// Runs every order of one kind of race; how many there are, and what became of
/// the handshakes.
fn every_order(end: End, with: With) -> (usize, BTreeSet<Became>) {
    let mut race = Race::new();
    let mut orders = Orders::default();
    let (mut runs, mut outcomes) = (0, BTreeSet::new());
    loop {
        if let Some(became) = race.run(end, with, &mut orders) {
            outcomes.insert(became);
            runs += 1;
        }
        race.clock.advance(SignedDuration::from_mins(1));
        if !orders.turn() {
            return (runs, outcomes);
        }
    }
}

fn a_connection_that_opens_while_its_session_ends(end: End, expected: Became) {
    for with in [With::Token, With::Ticket] {
        let (runs, outcomes) = every_order(end, with);
        println!("{end:?}, {with:?}: {runs} orders");
        assert_eq!(outcomes, BTreeSet::from([Became::Refused, expected]));
    }
}

#[test]
fn a_socket_that_opens_while_its_device_is_signed_out_does_not_survive() {
    a_connection_that_opens_while_its_session_ends(End::Device, Became::Told);
}

#[test]
fn a_socket_that_opens_while_every_other_device_is_signed_out_does_not_survive() {
    a_connection_that_opens_while_its_session_ends(End::Others, Became::Told);
}

#[test]
fn a_socket_that_opens_while_every_device_is_signed_out_does_not_survive() {
    a_connection_that_opens_while_its_session_ends(End::Global, Became::Told);
}

#[test]
fn a_socket_that_opens_while_its_device_signs_in_again_does_not_survive() {
    a_connection_that_opens_while_its_session_ends(End::SignInAgain, Became::EndInfo);
}
