//! The sockets in process: the functions behind them over the embedded DynamoDB,
//! with a stand-in for the gateway and for the queue of the pushes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use aws_lambda_events::sqs::SqsEvent;
use domain::{AccountId, Device, DeviceId, EntryState, SessionId, SignOutId, Token};
use events::Record;
use http_api::OriginPolicy;
use jiff::SignedDuration;
use runtime::{Calls, Clients, Clock, lock};
use serde_json::{Value, json};
use socket::Reply;
use sockets::{PushQueue, Sockets};
use store::Change;

use crate::bundle::{Bundle, json_of};
use crate::engine::{Answer, Engine};
use crate::wire::{self, Call, Fate};

/// The address of the household.
pub const EMAIL: &str = "lea@example.com";
/// Its password.
pub const PASSWORD: &str = "quiet otter borrows nine lanterns";
/// The web origin that may open sockets.
pub const ORIGIN: &str = "https://app.example.com";

/// Where the path of each management call begins: as the local AWS has it.
const STAGE: &str = "/_aws/execute-api/a1b2c3/v1/@connections/";

/// What becomes of a call.
#[derive(Debug)]
pub enum Verdict {
    /// It is made, and answered.
    Made,
    /// It is made, and its answer is lost.
    AnswerLost,
    /// It is not made.
    Instead(Fate),
}

/// A message that the queue of the pushes has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// The text.
    pub body: String,
    /// After how long it is delivered.
    pub delay_s: i64,
}

type Judge = Box<dyn FnMut(&Call) -> Verdict + Send>;

#[derive(Default)]
struct Seen {
    open: BTreeSet<String>,
    frames: Vec<(String, Value)>,
    closed: Vec<String>,
    queued: Vec<Queued>,
    calls: Vec<String>,
    statuses: BTreeMap<String, u16>,
}

/// The gateway's end of the sockets, the queue, and the tables.
pub struct Gateway {
    /// The tables.
    pub engine: Engine,
    seen: Mutex<Seen>,
    judge: Mutex<Judge>,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gateway(…)")
    }
}

impl Gateway {
    /// A gateway without sockets, over new tables.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            engine: Engine::new(),
            seen: Mutex::default(),
            judge: Mutex::new(Box::new(|_| Verdict::Made)),
        })
    }

    /// The clients that reach it.
    #[must_use]
    pub fn clients(self: &Arc<Self>) -> Clients {
        let gateway = self.clone();
        wire::clients(move |call| gateway.decide(&call))
    }

    /// Lets every later call be judged.
    pub fn judge(&self, judge: impl FnMut(&Call) -> Verdict + Send + 'static) {
        *lock(&self.judge) = Box::new(judge);
    }

    /// Lets every later call be made.
    pub fn mend(&self) {
        self.judge(|_| Verdict::Made);
        lock(&self.seen).statuses.clear();
    }

    /// Registers a socket whose handshake is over.
    pub fn open(&self, socket: &str) {
        lock(&self.seen).open.insert(socket.to_owned());
    }

    /// Loses a socket, without telling anybody.
    pub fn lose(&self, socket: &str) {
        lock(&self.seen).open.remove(socket);
    }

    /// Lets every frame to a socket be answered by a status.
    pub fn answer_by(&self, socket: &str, status: u16) {
        lock(&self.seen).statuses.insert(socket.to_owned(), status);
    }

    /// Whether a socket is open.
    #[must_use]
    pub fn is_open(&self, socket: &str) -> bool {
        lock(&self.seen).open.contains(socket)
    }

    /// The frames that a socket got, in their order.
    #[must_use]
    pub fn frames(&self, socket: &str) -> Vec<Value> {
        let seen = lock(&self.seen);
        let of_socket = seen.frames.iter().filter(|(to, _)| to == socket);
        of_socket.map(|(_, frame)| frame.clone()).collect()
    }

    /// The frames that all sockets got.
    #[must_use]
    pub fn all_frames(&self) -> Vec<(String, Value)> {
        lock(&self.seen).frames.clone()
    }

    /// The sockets that were ended by the functions, in their order.
    #[must_use]
    pub fn closed(&self) -> Vec<String> {
        lock(&self.seen).closed.clone()
    }

    /// What the queue was sent since it was last asked.
    #[must_use]
    pub fn take_queued(&self) -> Vec<Queued> {
        std::mem::take(&mut lock(&self.seen).queued)
    }

    /// The operations since they were last asked for, in their order.
    #[must_use]
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.seen).calls)
    }

    /// Counts operations from now on.
    pub fn forget_calls(&self) {
        lock(&self.seen).calls.clear();
    }

    /// Every row of a table, in no order.
    #[must_use]
    pub fn rows(&self, table: &str) -> Vec<Value> {
        let rows = self.engine.rows(table);
        rows.iter()
            .map(|row| serde_json::to_value(row).expect("a row is JSON"))
            .collect()
    }

    fn decide(&self, call: &Call) -> Fate {
        lock(&self.seen).calls.push(call.operation.clone());
        let verdict = (lock(&self.judge))(call);
        match verdict {
            Verdict::Made => Fate::Answered(self.make(call)),
            Verdict::AnswerLost => {
                let _unheard = self.make(call);
                Fate::Broken
            }
            Verdict::Instead(fate) => fate,
        }
    }

    /// Makes a call.
    #[must_use]
    pub fn make(&self, call: &Call) -> Answer {
        let mut seen = lock(&self.seen);
        match call.operation.as_str() {
            "PostToConnection" => {
                let socket = socket_of(call);
                if let Some(status) = seen.statuses.get(&socket) {
                    return refused(*status);
                }
                if !seen.open.contains(&socket) {
                    return refused(410);
                }
                let frame = serde_json::from_str(&call.body).expect("a frame of JSON");
                seen.frames.push((socket, frame));
                answered(200, "")
            }
            "DeleteConnection" => {
                let socket = socket_of(call);
                if !seen.open.remove(&socket) {
                    return refused(410);
                }
                seen.closed.push(socket);
                answered(204, "")
            }
            "SendMessage" => {
                let message: Value = serde_json::from_str(&call.body).expect("a call of JSON");
                seen.queued.push(Queued {
                    body: message["MessageBody"].as_str().expect("a body").to_owned(),
                    delay_s: message["DelaySeconds"].as_i64().unwrap_or(0),
                });
                answered(200, r#"{"MessageId":"test"}"#)
            }
            operation => self.engine.answer(operation, &call.body),
        }
    }
}

fn answered(status: u16, body: &str) -> Answer {
    Answer {
        status,
        body: body.to_owned(),
    }
}

fn refused(status: u16) -> Answer {
    let code = match status {
        410 => "GoneException",
        429 => "LimitExceededException",
        403 => "ForbiddenException",
        _ => "InternalServerError",
    };
    Answer::error(status, code)
}

/// The socket that a management call names.
fn socket_of(call: &Call) -> String {
    let name = call.path.strip_prefix(STAGE);
    let name = name.unwrap_or_else(|| panic!("{} is not under the stage", call.path));
    name.replace("%3D", "=")
}

/// A device of the household, as its owner holds it.
#[derive(Debug, Clone)]
pub struct Member {
    /// The secret of its session.
    pub token: String,
    /// The key by which it signs in again.
    pub key: String,
    /// The device.
    pub device: DeviceId,
    /// Its session.
    pub session: SessionId,
}

/// A household over the gateway, and the functions that it calls.
pub struct World {
    /// The gateway.
    pub gateway: Arc<Gateway>,
    /// The functions behind HTTP.
    pub bundle: Bundle,
    /// The function behind the sockets.
    pub socket: socket::Deps,
    /// The function behind the queue.
    pub push: push_revocations::Deps,
    /// The clock of all of them.
    pub clock: Clock,
}

impl World {
    /// A household without devices.
    pub async fn new() -> Self {
        let gateway = Gateway::new();
        let noon = "2026-11-20T12:00:00Z".parse().expect("a moment");
        let world = Self::over(&gateway, &gateway.clients(), Clock::fixed(noon));
        let registered = world.bundle.register(EMAIL, PASSWORD).await;
        assert_eq!(registered.status_code, 202);
        world
    }

    /// The functions alone, over clients that reach the gateway in some way.
    #[must_use]
    pub fn over(gateway: &Arc<Gateway>, clients: &Clients, clock: Clock) -> Self {
        let bundle = Bundle::new(clients.dynamodb(), clock.clone());
        let callback_url = "https://a1b2c3.execute-api.eu-central-1.amazonaws.com/v1";
        let queue_url = "http://queues.invalid/push";
        let (table_calls, push_calls) = (Calls::default(), Calls::default());
        let counted = clients.counted(&table_calls).dynamodb();
        Self {
            gateway: gateway.clone(),
            socket: socket::Deps {
                store: bundle.store.clone(),
                sockets: Sockets::new(clients.sockets(callback_url)),
                queue: PushQueue::new(clients.sqs(), queue_url.to_owned()),
                limits: bundle.limits,
                origin_policy: OriginPolicy::new(Some(ORIGIN), None),
                clock: clock.clone(),
            },
            push: push_revocations::Deps {
                store: store::Store::new(counted, crate::tables::names()),
                sockets: Sockets::new(clients.counted(&push_calls).sockets(callback_url)),
                queue: PushQueue::new(clients.sqs(), queue_url.to_owned()),
                limits: bundle.limits,
                clock: clock.clone(),
                table_calls,
                push_calls,
            },
            bundle,
            clock,
        }
    }

    /// Signs a device in, the same one again by its key.
    pub async fn sign_in(&self, key: Option<&str>) -> Member {
        self.sign_in_to(EMAIL, key).await
    }

    /// The same, to another account.
    pub async fn sign_in_to(&self, email: &str, key: Option<&str>) -> Member {
        self.clock.advance(SignedDuration::from_secs(1));
        let reply = self.bundle.log_in(email, PASSWORD, key).await;
        assert_eq!(reply.status_code, 200);
        let body = json_of(&reply);
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        Member {
            token: text(&body["token"]),
            key: text(&body["device_key"]),
            device: text(&body["device"]["id"]).parse().expect("an id"),
            session: text(&body["session"]).parse().expect("an id"),
        }
    }

    /// Several devices, each with one open socket by the name that is given.
    pub async fn connected<const N: usize>(&self, sockets: [&str; N]) -> [Member; N] {
        let mut members = Vec::new();
        for socket in sockets {
            let member = self.sign_in(None).await;
            self.open(&member, socket).await;
            members.push(member);
        }
        members.try_into().expect("as many as sockets")
    }

    /// Opens a socket of a device.
    pub async fn open(&self, member: &Member, socket: &str) {
        let event = by_token(&member.token, socket);
        let reply = socket::handle(&self.socket, event).await;
        assert_eq!(reply.status_code, 200, "{socket}");
        self.gateway.open(socket);
    }

    /// Sends a frame through a socket.
    pub async fn frame(&self, socket: &str, text: &str) -> Reply {
        socket::handle(&self.socket, frame(socket, text)).await
    }

    /// Sends that a device is there.
    pub async fn heartbeat(&self, socket: &str) -> Reply {
        self.frame(socket, r#"{"type":"heartbeat"}"#).await
    }

    /// Sends that a device has wiped.
    pub async fn acknowledge(&self, socket: &str, sign_out: SignOutId) -> Reply {
        let text = json!({ "type": "acknowledgement", "sign_out": sign_out });
        self.frame(socket, &text.to_string()).await
    }

    /// A device signs another one out.
    pub async fn sign_out_device(&self, by: &Member, device: &Member) -> SignOutId {
        self.clock.advance(SignedDuration::from_secs(1));
        let reply = self.bundle.sign_out_device(&by.token, device.device).await;
        sign_out_of(&reply)
    }

    /// A device signs every one out, or every other one.
    pub async fn sign_out_all(&self, by: &Member, scope: &str) -> SignOutId {
        self.clock.advance(SignedDuration::from_secs(1));
        let reply = self.bundle.sign_out_all(&by.token, scope).await;
        sign_out_of(&reply)
    }

    /// The account of a device.
    #[must_use]
    pub fn account(&self, member: &Member) -> AccountId {
        let token = Token::parse(&member.token).expect("a token of ours");
        token.account()
    }

    /// What the topic says of a sign-out.
    pub async fn event_of(&self, member: &Member, sign_out: SignOutId) -> String {
        let account = self.account(member);
        let store = &self.bundle.store;
        let receipt = store.receipt(account, sign_out, &self.bundle.limits);
        let receipt = receipt.await.expect("tables that answer");
        event_of(&Change::SignedOut(receipt.expect("a sign-out").sign_out))
    }

    /// A device signs in again; it, and what the topic says of its old session.
    pub async fn sign_in_again(&self, member: &Member) -> (Member, String) {
        let before = self.row(member).await;
        let again = self.sign_in(Some(&member.key)).await;
        assert_eq!(again.device, member.device);
        let change = Change::SignedIn {
            device: Box::new(self.row(&again).await),
            before: Some(Box::new(before)),
        };
        (again, event_of(&change))
    }

    /// The row of a device.
    pub async fn row(&self, member: &Member) -> Device {
        let (account, store) = (self.account(member), &self.bundle.store);
        let rows = store.rows(account, &[member.device]).await;
        let mut rows = rows.expect("tables that answer");
        rows.take_device(member.device).expect("a device")
    }

    /// Delivers messages at once, and gives the numbers of those that are to be
    /// delivered again.
    pub async fn deliver(&self, bodies: &[&str]) -> Vec<usize> {
        let messages = bodies.iter().enumerate();
        let messages: Vec<Value> = messages
            .map(|(n, body)| json!({ "messageId": n.to_string(), "body": body }))
            .collect();
        let event: SqsEvent = serde_json::from_value(json!({ "Records": messages })).expect("one");
        let response = push_revocations::handle(&self.push, event).await;
        let failed = response.batch_item_failures.into_iter();
        failed
            .map(|failure| failure.item_identifier.expect("a message's id"))
            .map(|id| id.parse().expect("the id of one of these messages"))
            .collect()
    }

    /// Delivers a message that is settled by it.
    pub async fn push(&self, body: &str) {
        assert_eq!(self.deliver(&[body]).await, [0; 0], "{body}");
    }

    /// Delivers what the queue has, each when it is due, until it has nothing.
    pub async fn drain(&self) {
        let mut waiting = self.gateway.take_queued();
        let mut deliveries = 0;
        while !waiting.is_empty() {
            deliveries += 1;
            assert!(deliveries < 1_000, "the queue has no end: {waiting:?}");
            let soonest = (0..waiting.len()).min_by_key(|at| waiting[*at].delay_s);
            let next = waiting.remove(soonest.expect("a message"));
            self.clock.advance(SignedDuration::from_secs(next.delay_s));
            for queued in &mut waiting {
                queued.delay_s = (queued.delay_s - next.delay_s).max(0);
            }
            if !self.deliver(&[&next.body]).await.is_empty() {
                waiting.push(Queued {
                    delay_s: 180,
                    ..next
                });
            }
            waiting.extend(self.gateway.take_queued());
        }
    }

    /// How far a sign-out has come with each device, by the receipt.
    pub async fn states(
        &self,
        member: &Member,
        sign_out: SignOutId,
    ) -> BTreeMap<DeviceId, EntryState> {
        let store = &self.bundle.store;
        let receipt = store.receipt(self.account(member), sign_out, &self.bundle.limits);
        let receipt = receipt.await.expect("tables that answer");
        let parts = receipt.expect("a sign-out").entries.into_iter();
        parts
            .map(|part| (part.session.device, part.state()))
            .collect()
    }
}

/// The sign-out of an answer.
fn sign_out_of(reply: &http_api::Reply) -> SignOutId {
    assert_eq!(reply.status_code, 200);
    let id = &json_of(reply)["sign_out"]["id"];
    let id = id.as_str().expect("a sign-out");
    id.parse().expect("an id")
}

/// What the topic says of a change: the first message is that of the end.
#[must_use]
pub fn event_of(change: &Change) -> String {
    events::messages(change, &Record::default(), "https://curfew.example")[0].body()
}

/// A handshake, with its headers as they were sent.
#[must_use]
pub fn handshake(socket: &str, headers: &[(&str, &str)]) -> socket::Event {
    let mut last: BTreeMap<&str, &str> = BTreeMap::from([("Host", "sockets.invalid")]);
    let mut all: BTreeMap<&str, Vec<&str>> = BTreeMap::from([("Host", vec!["sockets.invalid"])]);
    for (name, value) in headers {
        last.insert(name, value);
        all.entry(name).or_default().push(value);
    }
    event(&json!({
        "headers": last,
        "multiValueHeaders": all,
        "queryStringParameters": null,
        "multiValueQueryStringParameters": null,
        "requestContext": context(socket, "CONNECT", "$connect"),
        "body": "",
        "isBase64Encoded": false,
    }))
}

/// A handshake of a device that shows its token.
#[must_use]
pub fn by_token(token: &str, socket: &str) -> socket::Event {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("Authorization", &*bearer),
        ("Sec-WebSocket-Protocol", "curfew.v1"),
    ];
    handshake(socket, &headers)
}

/// A handshake of a page that shows a ticket.
#[must_use]
pub fn by_ticket(ticket: &str, socket: &str) -> socket::Event {
    let offered = format!("curfew.v1, curfew.ticket.{ticket}");
    let headers = [("Origin", ORIGIN), ("Sec-WebSocket-Protocol", &*offered)];
    handshake(socket, &headers)
}

/// A frame of a device.
#[must_use]
pub fn frame(socket: &str, text: &str) -> socket::Event {
    let route = serde_json::from_str::<Value>(text).ok();
    let route = route.as_ref().and_then(|frame| frame["type"].as_str());
    let mut context = context(socket, "MESSAGE", route.unwrap_or("$default"));
    context["messageId"] = "message".into();
    event(&json!({ "requestContext": context, "body": text, "isBase64Encoded": false }))
}

/// The end of a socket.
#[must_use]
pub fn end(socket: &str) -> socket::Event {
    let mut context = context(socket, "DISCONNECT", "$disconnect");
    context["disconnectStatusCode"] = 1005.into();
    event(&json!({ "requestContext": context, "body": "", "isBase64Encoded": false }))
}

fn event(event: &Value) -> socket::Event {
    serde_json::from_value(event.clone()).expect("an event of the gateway")
}

fn context(socket: &str, event_type: &str, route: &str) -> Value {
    json!({
        "routeKey": route,
        "eventType": event_type,
        "stage": "v1",
        "connectedAt": 1_795_176_000_000_i64,
        "requestTimeEpoch": 1_795_176_000_000_i64,
        "requestId": "test",
        "domainName": "a1b2c3.execute-api.eu-central-1.amazonaws.com",
        "connectionId": socket,
        "apiId": "a1b2c3",
        "identity": { "sourceIp": "192.0.2.1" },
    })
}
