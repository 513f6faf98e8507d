//! The services that the functions call: the tables and their streams, the topic, the
//! queues and the gateway. They keep the promises of the real ones and no more: a
//! message is delivered at least once and in any order, and a function can crash at
//! any call.

use std::collections::{BTreeMap, BTreeSet};

use curfew_tests::background::{PUSH_QUEUE, SWEEP_QUEUE, UNPUBLISHED_QUEUE};
use curfew_tests::delivery::{self, Published, Queued, management_response};
use curfew_tests::engine::{Engine, ServiceResponse};
use curfew_tests::random::SeededRandom;
use curfew_tests::tables;
use curfew_tests::wire::{Call, CallResult, Slot};
use domain::Timestamp;
use jiff::SignedDuration;
use runtime::Clock;
use serde_json::{Value, json};

const MAX_RECEIVES: u32 = 5;
/// The time until a device reads a frame, and until the gateway reports a disconnect.
const SOON: SignedDuration = SignedDuration::from_secs(1);

/// A fault of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The function crashes before the call is sent.
    CrashBefore,
    /// The call is made, and the function crashes before its answer.
    CrashAfter,
    /// The call is not made, and fails.
    Fail,
    /// The call is made, and its answer is lost.
    LoseAnswer,
    /// Another request runs before the call is made.
    Interrupt,
}

impl Fault {
    pub const CRASHES: [Self; 2] = [Self::CrashBefore, Self::CrashAfter];
    pub const ERRORS: [Self; 2] = [Self::Fail, Self::LoseAnswer];
}

/// A kind of call of one function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallSite {
    pub function: &'static str,
    pub call: String,
}

/// An action of a device or the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A device reads the last frame of a socket.
    ReadFrame(String),
    /// The gateway reports that a socket was closed.
    Disconnect(String),
    /// The gateway finishes an accepted handshake.
    FinishHandshake(String),
    /// A device opens a socket.
    Connect(usize),
    /// A device makes a call with its token.
    Call(usize),
    /// A device checks whether its socket was closed after its acknowledgement.
    CheckClosed { socket: String, sign_out: String },
    /// A device acknowledges over HTTP.
    Acknowledge { session: usize, sign_out: String },
    /// A device signs in again.
    SignIn(usize),
}

/// The state of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The handshake is not finished.
    Opening,
    Open,
    /// It was closed, or never opened.
    Closed,
}

#[derive(Debug, Clone)]
pub struct Socket {
    /// The number of its session.
    pub session: usize,
    pub stage: Stage,
    pub was_open: bool,
    /// The frames that it got, each with its time.
    pub frames: Vec<(Timestamp, Value)>,
    pub closed_at: Option<Timestamp>,
}

/// A fault of the management API for one socket: a status as the answer, several times
/// or always.
#[derive(Debug, Clone, Copy)]
pub struct Outage {
    pub status: u16,
    pub times: Option<u32>,
}

#[derive(Debug, Clone)]
struct Message {
    id: String,
    body: String,
    attributes: BTreeMap<String, String>,
    visible_at: Timestamp,
    receives: u32,
    is_duplicated: bool,
}

/// A queue with its dead-letter queue.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: Vec<Message>,
    dead: Vec<Message>,
    sent: usize,
}

impl Queue {
    fn send(
        &mut self,
        body: String,
        attributes: BTreeMap<String, String>,
        visible_at: Timestamp,
        is_duplicated: bool,
    ) {
        self.sent += 1;
        self.waiting.push(Message {
            id: format!("m-{}", self.sent),
            body,
            attributes,
            visible_at,
            receives: 0,
            is_duplicated,
        });
    }

    /// Returns the bodies that wait.
    pub fn waiting(&self) -> impl Iterator<Item = &str> {
        self.waiting.iter().map(|message| message.body.as_str())
    }

    /// Returns the bodies in the dead-letter queue.
    pub fn dead(&self) -> impl Iterator<Item = &str> {
        self.dead.iter().map(|message| message.body.as_str())
    }

    /// Empties the dead-letter queue.
    pub fn purge(&mut self) {
        self.dead.clear();
    }
}

/// The stream of a table, and its position.
#[derive(Debug, Clone, Default)]
pub struct Stream {
    records: Vec<Value>,
    delivered: usize,
    /// The sequence number of the last record that was read.
    last: Option<String>,
    /// The batch size, which is halved after a crash.
    limit: usize,
}

/// One of the two queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum QueueName {
    Push,
    Sweep,
}

impl QueueName {
    /// Returns the visibility timeout, as in the template.
    pub fn visibility(self) -> SignedDuration {
        match self {
            Self::Push | Self::Sweep => SignedDuration::from_mins(3),
        }
    }
}

/// A delivery or action that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    Stream(&'static str),
    Queue(QueueName),
    Action(Action),
}

pub struct Cloud {
    pub engine: Engine,
    pub clock: Clock,
    /// The function that runs.
    pub running: &'static str,
    /// Whether calls are recorded, and faults injected.
    pub is_watched: bool,
    pub calls: Vec<CallSite>,
    pub plan: BTreeMap<usize, Fault>,
    pub injected: Vec<(CallSite, Fault)>,
    /// Whether the function that runs has crashed.
    pub is_dead: bool,
    /// The call that an interruption delays.
    pub waiting: Option<(Slot, Call)>,
    pub queues: BTreeMap<QueueName, Queue>,
    /// The messages of the topic, as another subscriber gets them.
    pub heard: Vec<Published>,
    /// The messages that could not be published.
    pub unpublished: Vec<Queued>,
    pub sockets: BTreeMap<String, Socket>,
    pub outages: BTreeMap<String, Outage>,
    pub actions: Vec<(Timestamp, Action)>,
    /// The source of disorder: messages are duplicated and reordered.
    pub disorder: Option<SeededRandom>,
    pub streams: BTreeMap<&'static str, Stream>,
    is_written: bool,
}

impl Cloud {
    pub fn new(clock: Clock, engine: Engine) -> Self {
        Self {
            engine,
            clock,
            running: "nothing",
            is_watched: false,
            calls: Vec::new(),
            plan: BTreeMap::new(),
            injected: Vec::new(),
            is_dead: false,
            waiting: None,
            queues: BTreeMap::from([
                (QueueName::Push, Queue::default()),
                (QueueName::Sweep, Queue::default()),
            ]),
            heard: Vec::new(),
            unpublished: Vec::new(),
            sockets: BTreeMap::new(),
            outages: BTreeMap::new(),
            actions: Vec::new(),
            disorder: None,
            streams: BTreeMap::from([
                (tables::RECEIPTS, Stream::default()),
                (tables::DEVICES, Stream::default()),
            ]),
            is_written: false,
        }
    }

    fn draw(&mut self, below: usize) -> usize {
        self.disorder
            .as_mut()
            .map_or(0, |disorder| disorder.index(below))
    }

    /// Schedules an action.
    pub fn later(&mut self, after_s: i64, action: Action) {
        let at = self.clock.now() + SignedDuration::from_secs(after_s);
        self.actions.push((at, action));
    }

    // --- Calls --------------------------------------------------------------

    /// Receives a call of the function that runs.
    pub fn decide(&mut self, call: Call) -> CallResult {
        if self.is_dead {
            return CallResult::Waiting(Slot::default());
        }
        if !self.is_watched {
            return CallResult::Answered(self.make(&call));
        }
        let site = CallSite {
            function: self.running,
            call: kind(&call),
        };
        let number = self.calls.len();
        self.calls.push(site.clone());
        let Some(fault) = self.plan.remove(&number) else {
            return CallResult::Answered(self.make(&call));
        };
        self.injected.push((site, fault));
        match fault {
            Fault::CrashBefore => {
                self.is_dead = true;
                CallResult::Waiting(Slot::default())
            }
            Fault::CrashAfter => {
                let _lost = self.make(&call);
                self.is_dead = true;
                CallResult::Waiting(Slot::default())
            }
            Fault::Fail => CallResult::Broken,
            Fault::LoseAnswer => {
                let _lost = self.make(&call);
                CallResult::Broken
            }
            Fault::Interrupt => {
                let slot = Slot::default();
                self.waiting = Some((slot.clone(), call));
                CallResult::Waiting(slot)
            }
        }
    }

    /// Handles a call and returns its answer.
    pub fn make(&mut self, call: &Call) -> ServiceResponse {
        match call.operation.as_str() {
            "PublishBatch" => self.publish(&call.body),
            "SendMessage" => self.send(delivery::sent(&call.body)),
            "PostToConnection" => self.post(&delivery::connection_of(call), &call.body),
            "DeleteConnection" => self.close(&delivery::connection_of(call)),
            operation => {
                self.is_written |= call.is_write();
                self.engine.answer(operation, &call.body)
            }
        }
    }

    // --- The topic and the queues -------------------------------------------

    /// Delivers each message to its subscribers, by the filters of the template.
    fn publish(&mut self, body: &str) -> ServiceResponse {
        let now = self.clock.now();
        let mut outcomes = Vec::new();
        for (id, message) in delivery::batch(body) {
            let is_end = ["session-revoked", "other-sessions-revoked"]
                .contains(&message.attributes["event_type"].as_str());
            let scope = message.attributes.get("scope").map(String::as_str);
            let copies = if self.disorder.is_some() { 2 } else { 1 };
            for _ in 0..copies {
                self.heard.push(message.clone());
                if is_end {
                    self.enqueue(QueueName::Push, &message, now);
                }
                if is_end && matches!(scope, Some("others" | "global")) {
                    self.enqueue(QueueName::Sweep, &message, now);
                }
            }
            outcomes.push((id, None));
        }
        delivery::batch_answer(&outcomes)
    }

    fn enqueue(&mut self, line: QueueName, message: &Published, now: Timestamp) {
        let is_duplicated = self.draw(3) == 1;
        let queue = self.queues.get_mut(&line).unwrap();
        // Raw delivery passes the attributes on.
        let attributes = message.attributes.clone();
        queue.send(message.body.clone(), attributes, now, is_duplicated);
    }

    fn send(&mut self, message: Queued) -> ServiceResponse {
        let visible_at = self.clock.now() + SignedDuration::from_secs(message.delay_s);
        let is_duplicated = self.draw(3) == 1;
        let line = match message.queue.as_str() {
            PUSH_QUEUE => QueueName::Push,
            SWEEP_QUEUE => QueueName::Sweep,
            _ => {
                assert_eq!(message.queue, UNPUBLISHED_QUEUE);
                self.unpublished.push(message);
                return delivery::sent_answer();
            }
        };
        let queue = self.queues.get_mut(&line).unwrap();
        queue.send(message.body, message.attributes, visible_at, is_duplicated);
        delivery::sent_answer()
    }

    /// Puts a message into a queue directly.
    pub fn inject(&mut self, line: QueueName, body: &str) {
        let now = self.clock.now();
        let queue = self.queues.get_mut(&line).unwrap();
        queue.send(body.to_owned(), BTreeMap::new(), now, false);
    }

    /// Receives messages: they become invisible for a while, and those that were
    /// received too often move to the dead-letter queue.
    pub fn receive(&mut self, line: QueueName) -> Vec<Value> {
        let now = self.clock.now();
        let at_once = match line {
            QueueName::Push => 10,
            QueueName::Sweep => 5,
        };
        let mut received = Vec::new();
        while received.len() < at_once {
            let queue = &self.queues[&line];
            let visible: Vec<usize> = (0..queue.waiting.len())
                .filter(|at| queue.waiting[*at].visible_at <= now)
                .collect();
            if visible.is_empty() || (!received.is_empty() && self.draw(4) == 1) {
                break;
            }
            let at = visible[self.draw(visible.len())];
            let queue = self.queues.get_mut(&line).unwrap();
            let message = &mut queue.waiting[at];
            message.receives += 1;
            message.visible_at = now + line.visibility();
            if message.receives > MAX_RECEIVES {
                let dead = queue.waiting.remove(at);
                queue.dead.push(dead);
                continue;
            }
            let attributes: BTreeMap<_, _> = message
                .attributes
                .iter()
                .map(|(name, value)| {
                    let value = json!({ "stringValue": value, "dataType": "String" });
                    (name.clone(), value)
                })
                .collect();
            received.push(json!({
                "messageId": message.id, "body": message.body, "messageAttributes": attributes,
            }));
        }
        received
    }

    /// Deletes a message that was processed, unless it is to be delivered again.
    pub fn delete(&mut self, line: QueueName, id: &str) {
        let now = self.clock.now();
        let after_s = i64::try_from(self.draw(20)).unwrap();
        let queue = self.queues.get_mut(&line).unwrap();
        let at = queue.waiting.iter().position(|message| message.id == id);
        let at = at.expect("a message that was received");
        let message = &mut queue.waiting[at];
        if std::mem::take(&mut message.is_duplicated) {
            message.visible_at = now + SignedDuration::from_secs(after_s);
        } else {
            queue.waiting.remove(at);
        }
    }

    /// Moves the messages of the dead-letter queues back.
    pub fn redrive(&mut self) {
        let now = self.clock.now();
        for queue in self.queues.values_mut() {
            for mut message in std::mem::take(&mut queue.dead) {
                message.receives = 0;
                message.visible_at = now;
                queue.waiting.push(message);
            }
        }
    }

    // --- The streams --------------------------------------------------------

    /// Reads the new records of the streams, by the filters of the template.
    fn read_streams(&mut self) {
        if !std::mem::take(&mut self.is_written) {
            return;
        }
        for (table, stream) in &mut self.streams {
            let records = self.engine.stream(table, stream.last.as_deref());
            if let Some(last) = records.last() {
                let number = &last["dynamodb"]["SequenceNumber"];
                stream.last = Some(number.as_str().unwrap().to_owned());
            }
            let wanted = records.into_iter().filter(|record| {
                let new = &record["dynamodb"]["NewImage"];
                let event = record["eventName"].as_str().unwrap();
                match *table {
                    tables::RECEIPTS => event == "INSERT" && new["scope"]["S"].is_string(),
                    _ => {
                        ["INSERT", "MODIFY"].contains(&event) && new["last_write"]["S"] == "sign_in"
                    }
                }
            });
            stream.records.extend(wanted);
        }
    }

    /// Skips the records that the streams have so far.
    pub fn skip_streams(&mut self) {
        self.read_streams();
        for stream in self.streams.values_mut() {
            stream.delivered = stream.records.len();
        }
    }

    /// Returns the next batch of a stream.
    pub fn batch(&self, table: &str) -> Vec<Value> {
        let stream = &self.streams[table];
        let limit = if stream.limit == 0 { 100 } else { stream.limit };
        let rest = stream.records[stream.delivered..].iter();
        rest.take(limit).cloned().collect()
    }

    /// Moves on in a stream by the records that were processed or, after a crash, halves
    /// the batch.
    pub fn advance(&mut self, table: &str, done: Option<usize>) {
        let size = self.batch(table).len();
        let stream = self.streams.get_mut(table).unwrap();
        match done {
            Some(done) => {
                stream.delivered += done;
                stream.limit = 100;
            }
            None => stream.limit = (size / 2).max(1),
        }
    }

    // --- The gateway --------------------------------------------------------

    fn post(&mut self, id: &str, frame: &str) -> ServiceResponse {
        if let Some(outage) = self.outages.get_mut(id)
            && outage.times != Some(0)
        {
            outage.times = outage.times.map(|times| times - 1);
            return management_response(outage.status);
        }
        let now = self.clock.now();
        match self.sockets.get_mut(id) {
            Some(socket) if socket.stage == Stage::Open => {
                let frame = serde_json::from_str(frame).expect("a frame of JSON");
                socket.frames.push((now, frame));
                self.actions
                    .push((now + SOON, Action::ReadFrame(id.to_owned())));
                management_response(200)
            }
            _ => management_response(410),
        }
    }

    fn close(&mut self, id: &str) -> ServiceResponse {
        match self.sockets.get(id) {
            Some(socket) if socket.stage == Stage::Open => {
                self.end(id);
                management_response(204)
            }
            _ => management_response(410),
        }
    }

    /// Finishes an accepted handshake.
    pub fn open(&mut self, id: &str) {
        let socket = self.sockets.get_mut(id).expect("a socket");
        socket.stage = Stage::Open;
        socket.was_open = true;
    }

    /// Closes a socket, and schedules its disconnect event.
    pub fn end(&mut self, id: &str) {
        let now = self.clock.now();
        self.actions
            .push((now + SOON, Action::Disconnect(id.to_owned())));
        self.lose(id);
    }

    /// Closes a socket without a disconnect event.
    pub fn lose(&mut self, id: &str) {
        let now = self.clock.now();
        let socket = self.sockets.get_mut(id).expect("a socket");
        socket.stage = Stage::Closed;
        socket.closed_at = Some(now);
    }

    // --- Time ---------------------------------------------------------------

    /// Returns the next delivery or action, and moves the clock when none is due.
    pub fn next(&mut self) -> Option<Work> {
        self.read_streams();
        loop {
            let now = self.clock.now();
            let ready = self.ready(now);
            if !ready.is_empty() {
                let work = ready[self.draw(ready.len())].clone();
                if let Work::Action(action) = &work {
                    let is_it = |(at, other): &(Timestamp, Action)| *at <= now && other == action;
                    let at = self.actions.iter().position(is_it).unwrap();
                    self.actions.remove(at);
                }
                return Some(work);
            }
            let messages = self.queues.values().flat_map(|queue| &queue.waiting);
            let times = messages.map(|message| message.visible_at);
            let soonest = times.chain(self.actions.iter().map(|(at, _)| *at)).min()?;
            self.clock.advance(soonest.duration_since(now));
        }
    }

    fn ready(&self, now: Timestamp) -> Vec<Work> {
        let streams = self.streams.iter();
        let streams = streams.filter(|(_, stream)| stream.delivered < stream.records.len());
        let actions = self.actions.iter().filter(|(at, _)| *at <= now);
        let queues = self.queues.iter().filter(|(_, queue)| {
            let mut messages = queue.waiting.iter();
            messages.any(|message| message.visible_at <= now)
        });
        streams
            .map(|(table, _)| Work::Stream(table))
            .chain(actions.map(|(_, action)| Work::Action(action.clone())))
            .chain(queues.map(|(line, _)| Work::Queue(*line)))
            .collect()
    }

    /// Returns the rows of Connections, each as its socket and session.
    pub fn connections(&self) -> BTreeSet<(String, String)> {
        let rows = self.engine.rows(tables::CONNECTIONS);
        rows.iter()
            .map(|row| {
                let row = serde_json::to_value(row).unwrap();
                let text = |name: &str| row[name]["S"].as_str().unwrap_or_default().to_owned();
                (text("connection_id"), text("session_id"))
            })
            .collect()
    }
}

/// Returns the operation of a call, with its table.
fn kind(call: &Call) -> String {
    let table = || {
        let (_, rest) = call.body.split_once("\"TableName\":\"")?;
        rest.split_once('"').map(|(table, _)| table)
    };
    match (call.operation.as_str(), table()) {
        ("TransactWriteItems" | "BatchGetItem", _) | (_, None) => call.operation.clone(),
        (operation, Some(table)) => format!("{operation} {table}"),
    }
}
