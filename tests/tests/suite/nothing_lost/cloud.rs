//! What the functions reach: the tables and their streams, the topic, the queues
//! and the gateway's end of the sockets. What is promised of the real ones is kept,
//! and no more: at least once, in no order, and a call may be the last thing that
//! its function does.

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
/// A device reads a frame, and the gateway tells of a closed socket, after this.
const SOON: SignedDuration = SignedDuration::from_secs(1);

/// What becomes of a call that is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strike {
    /// The function dies before the call has left.
    DiesBefore,
    /// The call is made, and the function dies before it hears the answer.
    DiesAfter,
    /// The call is not made, and the function is told so.
    Fails,
    /// The call is made, and its answer is lost.
    AnswerLost,
    /// Something else happens before the call is made.
    Meanwhile,
}

impl Strike {
    pub const DEATHS: [Self; 2] = [Self::DiesBefore, Self::DiesAfter];
    pub const FAULTS: [Self; 2] = [Self::Fails, Self::AnswerLost];
}

/// Where a call is made: by which function, and which kind of call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub function: &'static str,
    pub call: String,
}

/// What a device or the gateway does at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// A device reads what came through a socket.
    Reads(String),
    /// The gateway tells that a socket is over.
    EndInfo(String),
    /// A handshake that was let in is finished.
    Opens(String),
    /// A device opens a socket.
    Connects(usize),
    /// A device calls with the token that it has.
    Calls(usize),
    /// A device looks whether its socket was ended upon its acknowledgement.
    Looks { socket: String, sign_out: String },
    /// A device acknowledges by a call.
    Acknowledges { life: usize, sign_out: String },
    /// A device signs in again.
    SignsIn(usize),
}

/// How far a socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its handshake is not finished.
    Opening,
    Open,
    /// It was ended, or never opened.
    Closed,
}

#[derive(Debug, Clone)]
pub struct Socket {
    /// Of which session.
    pub life: usize,
    pub stage: Stage,
    pub was_open: bool,
    /// What came through it, and when.
    pub frames: Vec<(Timestamp, Value)>,
    pub closed_at: Option<Timestamp>,
}

/// The push endpoint answers for one socket with a status, some times or for ever.
#[derive(Debug, Clone, Copy)]
pub struct Trouble {
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
    comes_again: bool,
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
        comes_again: bool,
    ) {
        self.sent += 1;
        self.waiting.push(Message {
            id: format!("m-{}", self.sent),
            body,
            attributes,
            visible_at,
            receives: 0,
            comes_again,
        });
    }

    /// The texts that wait.
    pub fn waiting(&self) -> impl Iterator<Item = &str> {
        self.waiting.iter().map(|message| message.body.as_str())
    }

    /// The texts that were received too often.
    pub fn dead(&self) -> impl Iterator<Item = &str> {
        self.dead.iter().map(|message| message.body.as_str())
    }

    /// Throws away what was received too often.
    pub fn purge(&mut self) {
        self.dead.clear();
    }
}

/// The stream of a table, and how far it has been delivered.
#[derive(Debug, Clone, Default)]
pub struct Stream {
    records: Vec<Value>,
    delivered: usize,
    /// The number of the last record that was read.
    last: Option<String>,
    /// How many records are delivered at once: fewer after a death.
    limit: usize,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Line {
    Push,
    Sweep,
}

impl Line {
    /// For how long a message is out of sight once it was received, as the template
    /// has it.
    pub fn visibility(self) -> SignedDuration {
        match self {
            Self::Push => SignedDuration::from_mins(1),
            Self::Sweep => SignedDuration::from_mins(3),
        }
    }
}

/// What can be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    Stream(&'static str),
    Queue(Line),
    Deed(Deed),
}

pub struct Cloud {
    pub engine: Engine,
    pub clock: Clock,
    /// Which function makes the calls.
    pub running: &'static str,
    /// Whether calls are counted, and may be struck.
    pub is_watched: bool,
    pub calls: Vec<Place>,
    pub plan: BTreeMap<usize, Strike>,
    pub struck: Vec<(Place, Strike)>,
    /// Whether the function that runs has died.
    pub is_dead: bool,
    /// A call that waits until something else has happened.
    pub waiting: Option<(Slot, Call)>,
    pub queues: BTreeMap<Line, Queue>,
    /// What the other subscriber of the topic has heard.
    pub heard: Vec<Published>,
    /// What could not be published.
    pub unpublished: Vec<Queued>,
    pub sockets: BTreeMap<String, Socket>,
    pub troubles: BTreeMap<String, Trouble>,
    pub deeds: Vec<(Timestamp, Deed)>,
    /// Messages come twice and in no order.
    pub rough: Option<SeededRandom>,
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
            struck: Vec::new(),
            is_dead: false,
            waiting: None,
            queues: BTreeMap::from([
                (Line::Push, Queue::default()),
                (Line::Sweep, Queue::default()),
            ]),
            heard: Vec::new(),
            unpublished: Vec::new(),
            sockets: BTreeMap::new(),
            troubles: BTreeMap::new(),
            deeds: Vec::new(),
            rough: None,
            streams: BTreeMap::from([
                (tables::RECEIPTS, Stream::default()),
                (tables::DEVICES, Stream::default()),
            ]),
            is_written: false,
        }
    }

    fn draw(&mut self, below: usize) -> usize {
        self.rough.as_mut().map_or(0, |rough| rough.index(below))
    }

    /// Lets something happen after a while.
    pub fn later(&mut self, after_s: i64, deed: Deed) {
        let at = self.clock.now() + SignedDuration::from_secs(after_s);
        self.deeds.push((at, deed));
    }

    // --- The seam -----------------------------------------------------------

    /// Takes a call of the function that runs.
    pub fn decide(&mut self, call: Call) -> CallResult {
        if self.is_dead {
            return CallResult::Waiting(Slot::default());
        }
        if !self.is_watched {
            return CallResult::Answered(self.make(&call));
        }
        let place = Place {
            function: self.running,
            call: kind(&call),
        };
        let number = self.calls.len();
        self.calls.push(place.clone());
        let Some(strike) = self.plan.remove(&number) else {
            return CallResult::Answered(self.make(&call));
        };
        self.struck.push((place, strike));
        match strike {
            Strike::DiesBefore => {
                self.is_dead = true;
                CallResult::Waiting(Slot::default())
            }
            Strike::DiesAfter => {
                let _unheard = self.make(&call);
                self.is_dead = true;
                CallResult::Waiting(Slot::default())
            }
            Strike::Fails => CallResult::Broken,
            Strike::AnswerLost => {
                let _unheard = self.make(&call);
                CallResult::Broken
            }
            Strike::Meanwhile => {
                let slot = Slot::default();
                self.waiting = Some((slot.clone(), call));
                CallResult::Waiting(slot)
            }
        }
    }

    /// Does what a call asks for.
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

    /// Hands each message to its subscribers, by the filters of the template.
    fn publish(&mut self, body: &str) -> ServiceResponse {
        let now = self.clock.now();
        let mut outcomes = Vec::new();
        for (id, message) in delivery::batch(body) {
            let is_end = ["session-revoked", "other-sessions-revoked"]
                .contains(&message.attributes["event_type"].as_str());
            let scope = message.attributes.get("scope").map(String::as_str);
            let copies = if self.rough.is_some() { 2 } else { 1 };
            for _ in 0..copies {
                self.heard.push(message.clone());
                if is_end {
                    self.enqueue(Line::Push, &message, now);
                }
                if is_end && matches!(scope, Some("others" | "global")) {
                    self.enqueue(Line::Sweep, &message, now);
                }
            }
            outcomes.push((id, None));
        }
        delivery::batch_answer(&outcomes)
    }

    fn enqueue(&mut self, line: Line, message: &Published, now: Timestamp) {
        let comes_again = self.draw(3) == 1;
        let queue = self.queues.get_mut(&line).unwrap();
        // By raw delivery the attributes come with it.
        let attributes = message.attributes.clone();
        queue.send(message.body.clone(), attributes, now, comes_again);
    }

    fn send(&mut self, message: Queued) -> ServiceResponse {
        let visible_at = self.clock.now() + SignedDuration::from_secs(message.delay_s);
        let comes_again = self.draw(3) == 1;
        let line = match message.queue.as_str() {
            PUSH_QUEUE => Line::Push,
            SWEEP_QUEUE => Line::Sweep,
            _ => {
                assert_eq!(message.queue, UNPUBLISHED_QUEUE);
                self.unpublished.push(message);
                return delivery::sent_answer();
            }
        };
        let queue = self.queues.get_mut(&line).unwrap();
        queue.send(message.body, message.attributes, visible_at, comes_again);
        delivery::sent_answer()
    }

    /// Puts a message into a queue, as somebody who may.
    pub fn smuggle(&mut self, line: Line, body: &str) {
        let now = self.clock.now();
        let queue = self.queues.get_mut(&line).unwrap();
        queue.send(body.to_owned(), BTreeMap::new(), now, false);
    }

    /// Receives messages: they are out of sight for a while, and what was received
    /// too often goes to the dead-letter queue.
    pub fn receive(&mut self, line: Line) -> Vec<Value> {
        let now = self.clock.now();
        let at_once = match line {
            Line::Push => 10,
            Line::Sweep => 5,
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

    /// Deletes what was received and is done, if it is not delivered once more.
    pub fn delete(&mut self, line: Line, id: &str) {
        let now = self.clock.now();
        let after_s = i64::try_from(self.draw(20)).unwrap();
        let queue = self.queues.get_mut(&line).unwrap();
        let at = queue.waiting.iter().position(|message| message.id == id);
        let at = at.expect("a message that was received");
        let message = &mut queue.waiting[at];
        if std::mem::take(&mut message.comes_again) {
            message.visible_at = now + SignedDuration::from_secs(after_s);
        } else {
            queue.waiting.remove(at);
        }
    }

    /// Moves what is in the dead-letter queues back.
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

    /// Takes up what was written, by the filters of the template.
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

    /// Passes over what the streams have so far.
    pub fn skip_streams(&mut self) {
        self.read_streams();
        for stream in self.streams.values_mut() {
            stream.delivered = stream.records.len();
        }
    }

    /// The next records of a stream.
    pub fn batch(&self, table: &str) -> Vec<Value> {
        let stream = &self.streams[table];
        let limit = if stream.limit == 0 { 100 } else { stream.limit };
        let rest = stream.records[stream.delivered..].iter();
        rest.take(limit).cloned().collect()
    }

    /// Goes on in a stream, behind so many records; or, when the function has
    /// died, with half of them.
    pub fn go_on(&mut self, table: &str, done: Option<usize>) {
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
        if let Some(trouble) = self.troubles.get_mut(id)
            && trouble.times != Some(0)
        {
            trouble.times = trouble.times.map(|times| times - 1);
            return management_response(trouble.status);
        }
        let now = self.clock.now();
        match self.sockets.get_mut(id) {
            Some(socket) if socket.stage == Stage::Open => {
                let frame = serde_json::from_str(frame).expect("a frame of JSON");
                socket.frames.push((now, frame));
                self.deeds.push((now + SOON, Deed::Reads(id.to_owned())));
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

    /// Finishes a handshake that was let in.
    pub fn open(&mut self, id: &str) {
        let socket = self.sockets.get_mut(id).expect("a socket");
        socket.stage = Stage::Open;
        socket.was_open = true;
    }

    /// Ends a socket, and tells of it.
    pub fn end(&mut self, id: &str) {
        let now = self.clock.now();
        self.deeds.push((now + SOON, Deed::EndInfo(id.to_owned())));
        self.lose(id);
    }

    /// Ends a socket; nobody is told.
    pub fn lose(&mut self, id: &str) {
        let now = self.clock.now();
        let socket = self.sockets.get_mut(id).expect("a socket");
        socket.stage = Stage::Closed;
        socket.closed_at = Some(now);
    }

    // --- What comes next ----------------------------------------------------

    /// Something that can be done now; when time has to pass first, it passes.
    pub fn next(&mut self) -> Option<Work> {
        self.read_streams();
        loop {
            let now = self.clock.now();
            let ready = self.ready(now);
            if !ready.is_empty() {
                let work = ready[self.draw(ready.len())].clone();
                if let Work::Deed(deed) = &work {
                    let is_it = |(at, other): &(Timestamp, Deed)| *at <= now && other == deed;
                    let at = self.deeds.iter().position(is_it).unwrap();
                    self.deeds.remove(at);
                }
                return Some(work);
            }
            let messages = self.queues.values().flat_map(|queue| &queue.waiting);
            let times = messages.map(|message| message.visible_at);
            let soonest = times.chain(self.deeds.iter().map(|(at, _)| *at)).min()?;
            self.clock.advance(soonest.duration_since(now));
        }
    }

    fn ready(&self, now: Timestamp) -> Vec<Work> {
        let streams = self.streams.iter();
        let streams = streams.filter(|(_, stream)| stream.delivered < stream.records.len());
        let deeds = self.deeds.iter().filter(|(at, _)| *at <= now);
        let queues = self.queues.iter().filter(|(_, queue)| {
            let mut messages = queue.waiting.iter();
            messages.any(|message| message.visible_at <= now)
        });
        streams
            .map(|(table, _)| Work::Stream(table))
            .chain(deeds.map(|(_, deed)| Work::Deed(deed.clone())))
            .chain(queues.map(|(line, _)| Work::Queue(*line)))
            .collect()
    }

    /// The rows of Connections: the socket, and the session that it is of.
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

/// The kind of a call: what it does, and to which table.
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
