//! Two accounts, their devices, and the functions over the cloud. Deliveries and
//! actions run until none is left.

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use aws_lambda_events::streams::SqsBatchItemFailure;
use curfew_tests::account::{EMAIL, NOON, OTHER_EMAIL, OTHER_PASSWORD, PASSWORD};
use curfew_tests::background::Background;
use curfew_tests::bundle::{Bundle, json_of};
use curfew_tests::engine::Engine;
use curfew_tests::random::SeededRandom;
use curfew_tests::socket_events::{by_token, disconnect, frame};
use curfew_tests::wire;
use domain::{AccountId, DeviceId, Timestamp, Token};
use http_api::Reply;
use jiff::SignedDuration;
use publish_revocations::StreamEvent;
use runtime::Clock;
use serde_json::{Value, json};

use super::cloud::{Action, Cloud, QueueName, Socket, Stage, Stream, Work};

/// The maximum number of deliveries and actions in a run, far above what any run needs.
const ENOUGH: usize = 1_500;

pub const LAPTOP: usize = 0;
pub const TV: usize = 1;
pub const PHONE: usize = 2;
pub const TABLET: usize = 3;
pub const CONSOLE: usize = 4;
pub const RADIO: usize = 5;

/// The reaction of a device to the end of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behavior {
    /// Wipes, and acknowledges until that succeeds.
    Acknowledges,
    /// Does nothing.
    Silent,
}

#[derive(Debug, Clone)]
pub struct Device {
    pub email: &'static str,
    pub behavior: Behavior,
    pub key: String,
    pub id: DeviceId,
    /// The number of its current session.
    pub session: usize,
}

/// A session, and the facts that the checks need.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact that a check needs"
)]
pub struct TrackedSession {
    pub device: usize,
    pub account: AccountId,
    pub id: String,
    pub token: String,
    /// The sign-out that ended it.
    pub end: Option<String>,
    /// Its device has started to sign in again.
    pub is_replaced: bool,
    /// It may have made a call since its end.
    pub has_called: bool,
    /// It made a call since its end, and was refused.
    pub is_refused: bool,
    /// Its device learned of the end by a call.
    pub has_asked: bool,
    /// Its device has learned of the end.
    pub has_learned: bool,
    /// Its acknowledgement was accepted.
    pub is_acknowledged: bool,
    /// It began while calls were recorded.
    pub is_watched: bool,
}

/// A sign-out that was answered.
#[derive(Debug, Clone)]
pub struct AnsweredSignOut {
    pub id: String,
    pub account: AccountId,
    pub scope: &'static str,
    pub is_password: bool,
}

/// A request that runs in the middle of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    SignsInAgain(usize),
    SignsOutAll(usize),
}

#[derive(Default)]
pub struct Accounts {
    pub devices: Vec<Device>,
    pub sessions: Vec<TrackedSession>,
    pub sign_outs: Vec<AnsweredSignOut>,
    pub interruption: Option<Interruption>,
    /// Sockets whose handshake or disconnect event failed.
    pub unfinished: BTreeSet<String>,
    /// Sockets that the network has lost.
    pub cut: BTreeSet<String>,
    pub violations: Vec<String>,
}

pub struct Simulation {
    cloud: Arc<Mutex<Cloud>>,
    accounts: RefCell<Accounts>,
    clock: Clock,
    pub bundle: Bundle,
    background: Background,
}

/// The accounts as they are at the start of every run.
pub struct InitialState {
    saved: PathBuf,
    at: Timestamp,
    sockets: BTreeMap<String, Socket>,
    streams: BTreeMap<&'static str, Stream>,
    devices: Vec<Device>,
    sessions: Vec<TrackedSession>,
}

impl InitialState {
    /// Creates the accounts, and saves their tables to a file.
    pub async fn new() -> Self {
        let simulation = Simulation::with_accounts().await;
        let name = u64::from_be_bytes(runtime::random());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let saved = folder.join(format!("nothing-lost-{name:016x}.db"));
        let (cloud, accounts) = (simulation.cloud(), simulation.accounts());
        cloud.engine.save(&saved);
        Self {
            saved,
            at: simulation.clock.now(),
            sockets: cloud.sockets.clone(),
            streams: cloud.streams.clone(),
            devices: accounts.devices.clone(),
            sessions: accounts.sessions.clone(),
        }
    }
}

impl Drop for InitialState {
    fn drop(&mut self) {
        let _left_behind_at_worst = std::fs::remove_file(&self.saved);
    }
}

enum Polled<T> {
    Done(T),
    Dead,
    Waiting,
}

impl Simulation {
    /// Creates the functions and clients, which are expensive. [`Simulation::begin`]
    /// sets the state.
    #[must_use]
    pub fn new() -> Self {
        Self::over(Engine::new(), NOON.parse().unwrap())
    }

    /// Resets everything to the initial state.
    pub fn begin(&self, initial: &InitialState, seed: Option<u64>) {
        let (mut cloud, mut accounts) = (self.cloud(), self.accounts());
        self.clock
            .advance(initial.at.duration_since(self.clock.now()));
        *cloud = Cloud::new(self.clock.clone(), Engine::from_saved(&initial.saved));
        cloud.sockets = initial.sockets.clone();
        cloud.streams = initial.streams.clone();
        cloud.disorder = seed.map(SeededRandom::new);
        *accounts = Accounts {
            devices: initial.devices.clone(),
            sessions: initial.sessions.clone(),
            ..Accounts::default()
        };
    }

    /// Creates an account with five devices, three of them connected, one of these
    /// twice; and another account with one device.
    async fn with_accounts() -> Self {
        let simulation = Self::over(Engine::new(), NOON.parse().unwrap());
        let devices = [
            (EMAIL, Behavior::Acknowledges, 1),
            (EMAIL, Behavior::Acknowledges, 2),
            (EMAIL, Behavior::Silent, 1),
            (EMAIL, Behavior::Acknowledges, 0),
            (EMAIL, Behavior::Silent, 0),
            (OTHER_EMAIL, Behavior::Acknowledges, 1),
        ];
        for email in [EMAIL, OTHER_EMAIL] {
            let registered = simulation.bundle.register(email, PASSWORD).await;
            assert_eq!(registered.status_code, 202);
        }
        for (device, (email, behavior, sockets)) in devices.into_iter().enumerate() {
            simulation.pass(1);
            let call = simulation.bundle.log_in(email, PASSWORD, None);
            let reply = Box::pin(call).await;
            let (session, key, id) = signed_in(&reply, device);
            simulation.accounts().sessions.push(session);
            simulation.accounts().devices.push(Device {
                email,
                behavior,
                key,
                id,
                session: device,
            });
            for _ in 0..sockets {
                simulation.connect(device).await;
            }
        }
        simulation.pass(60);
        let mut cloud = simulation.cloud();
        for (_, action) in std::mem::take(&mut cloud.actions) {
            let Action::FinishHandshake(socket) = action else {
                panic!("{action:?}");
            };
            cloud.open(&socket);
        }
        cloud.skip_streams();
        drop(cloud);
        simulation
    }

    fn over(engine: Engine, at: Timestamp) -> Self {
        let clock = Clock::fixed(at);
        let cloud = Arc::new(Mutex::new(Cloud::new(clock.clone(), engine)));
        let behind = cloud.clone();
        let clients = wire::clients(move |call| behind.lock().unwrap().decide(call));
        let bundle = Bundle::new(clients.dynamodb(), clock.clone());
        let mut background = Background::new(&clients, &bundle);
        // Small enough that the sweep hands pages over.
        background.sweep.page_size = 3;
        Self {
            bundle,
            background,
            cloud,
            accounts: RefCell::default(),
            clock,
        }
    }

    pub fn cloud(&self) -> MutexGuard<'_, Cloud> {
        self.cloud.lock().unwrap()
    }

    pub fn accounts(&self) -> RefMut<'_, Accounts> {
        self.accounts.borrow_mut()
    }

    /// Starts to record calls, and to inject the planned faults.
    pub fn watch(&self) {
        self.cloud().is_watched = true;
    }

    pub fn pass(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
    }

    fn violation(&self, violation: impl Into<String>) {
        self.accounts().violations.push(violation.into());
    }

    // --- Functions ----------------------------------------------------------

    /// Runs a function until it returns or crashes.
    fn invoke<'a, T: 'a>(
        &'a self,
        function: &'static str,
        handler: impl Future<Output = T> + 'a,
    ) -> impl Future<Output = Option<T>> + 'a {
        // Handlers are large futures.
        self.run(function, Box::pin(handler))
    }

    async fn run<T>(
        &self,
        function: &'static str,
        mut handler: Pin<Box<dyn Future<Output = T> + '_>>,
    ) -> Option<T> {
        let before = std::mem::replace(&mut self.cloud().running, function);
        let output = loop {
            let polled = poll_fn(|context| {
                let polled = handler.as_mut().poll(context);
                let cloud = self.cloud();
                match polled {
                    _ if cloud.is_dead => Poll::Ready(Polled::Dead),
                    Poll::Ready(output) => Poll::Ready(Polled::Done(output)),
                    Poll::Pending if cloud.waiting.is_some() => Poll::Ready(Polled::Waiting),
                    Poll::Pending => Poll::Pending,
                }
            });
            match polled.await {
                Polled::Done(output) => break Some(output),
                Polled::Dead => break None,
                Polled::Waiting => {
                    let (slot, call) = self.cloud().waiting.take().unwrap();
                    self.cloud().is_watched = false;
                    Box::pin(self.interruption()).await;
                    let mut cloud = self.cloud();
                    cloud.is_watched = true;
                    slot.fill(cloud.make(&call));
                }
            }
        };
        let mut cloud = self.cloud();
        cloud.is_dead = false;
        cloud.running = before;
        output
    }

    async fn interruption(&self) {
        let interruption = self.accounts().interruption.take();
        match interruption {
            Some(Interruption::SignsInAgain(device)) => self.sign_in_again(device).await,
            Some(Interruption::SignsOutAll(by)) => self.sign_out_scope(by, "global").await,
            None => {}
        }
    }

    /// Makes every delivery and action until none is left.
    pub async fn settle(&self) {
        for _ in 0..ENOUGH {
            let work = self.cloud().next();
            match work {
                None => return,
                Some(Work::Stream(table)) => self.deliver_records(table).await,
                Some(Work::Queue(line)) => self.deliver_messages(line).await,
                Some(Work::Action(action)) => self.act(action).await,
            }
        }
        self.violation("the run does not end");
        self.cloud().actions.clear();
    }

    async fn deliver_records(&self, table: &'static str) {
        let records = self.cloud().batch(table);
        let numbers: Vec<Value> = records
            .iter()
            .map(|record| record["dynamodb"]["SequenceNumber"].clone())
            .collect();
        let event = StreamEvent { records };
        let handler = publish_revocations::handle(&self.background.publish, event);
        let done = self.invoke("publish-revocations", handler).await;
        let done = done.map(|response| {
            let failed = response.batch_item_failures.into_iter().next();
            let from = failed.map(|failure| failure.item_identifier.unwrap());
            from.map_or(numbers.len(), |from| {
                numbers.iter().position(|number| *number == *from).unwrap()
            })
        });
        self.cloud().advance(table, done);
    }

    async fn deliver_messages(&self, line: QueueName) {
        let messages = self.cloud().receive(line);
        if messages.is_empty() {
            return;
        }
        let ids: Vec<String> = messages
            .iter()
            .map(|message| message["messageId"].as_str().unwrap().to_owned())
            .collect();
        let event = serde_json::from_value(json!({ "Records": messages })).unwrap();
        let response = match line {
            QueueName::Push => {
                let handler = push_revocations::handle(&self.background.push, event);
                self.invoke("push-revocations", handler).await
            }
            QueueName::Sweep => {
                let handler = sweep::handle(&self.background.sweep, event);
                self.invoke("sweep", handler).await
            }
        };
        // Lambda deletes no message of a function that crashed.
        let Some(response) = response else { return };
        let failed = |failure: &SqsBatchItemFailure| failure.item_identifier.clone().unwrap();
        let failed: BTreeSet<String> = response.batch_item_failures.iter().map(failed).collect();
        for id in ids.iter().filter(|id| !failed.contains(*id)) {
            self.cloud().delete(line, id);
        }
    }

    // --- Actions ------------------------------------------------------------

    async fn act(&self, action: Action) {
        match action {
            Action::ReadFrame(socket) => self.read(socket).await,
            Action::Disconnect(socket) => {
                let event = self.invoke(
                    "socket",
                    socket::handle(&self.background.socket, disconnect(&socket)),
                );
                self.may_be_unfinished(&socket, event).await;
            }
            Action::FinishHandshake(socket) => self.cloud().open(&socket),
            Action::Connect(device) => self.connect(device).await,
            Action::Call(device) => self.call(device).await,
            Action::CheckClosed { socket, sign_out } => {
                let (session, stage) = {
                    let cloud = self.cloud();
                    let socket = &cloud.sockets[&socket];
                    (socket.session, socket.stage)
                };
                if stage == Stage::Closed {
                    self.accounts().sessions[session].is_acknowledged = true;
                } else {
                    self.acknowledge(session, sign_out).await;
                }
            }
            Action::Acknowledge { session, sign_out } => self.acknowledge(session, sign_out).await,
            Action::SignIn(device) => self.sign_in_again(device).await,
        }
    }

    /// Runs the socket function, and records when a fault hit it: the gateway sends each
    /// event once.
    async fn may_be_unfinished<T>(&self, socket: &str, run: impl Future<Output = T>) -> T {
        let injected = self.cloud().injected.len();
        let output = run.await;
        if self.cloud().injected.len() > injected {
            self.accounts().unfinished.insert(socket.to_owned());
        }
        output
    }

    /// Opens a socket of a device. The gateway finishes an accepted handshake a little
    /// later.
    pub async fn connect(&self, device: usize) {
        let (session, token) = {
            let accounts = self.accounts();
            let session = accounts.devices[device].session;
            (session, accounts.sessions[session].token.clone())
        };
        let socket = {
            let mut cloud = self.cloud();
            let id = format!("socket-{}=", cloud.sockets.len());
            let socket = Socket {
                session,
                stage: Stage::Opening,
                was_open: false,
                frames: Vec::new(),
                closed_at: None,
            };
            cloud.sockets.insert(id.clone(), socket);
            id
        };
        let event = by_token(&token, &socket);
        let run = self.invoke("socket", socket::handle(&self.background.socket, event));
        let reply = self.may_be_unfinished(&socket, run).await;
        let status = reply.map_or(502, |reply| reply.status_code);
        if status == 200 {
            self.cloud().later(3, Action::FinishHandshake(socket));
            return;
        }
        self.cloud().lose(&socket);
        if status < 500 {
            self.accounts().sessions[session].has_called = true;
            self.cloud().later(1, Action::Call(device));
        } else {
            self.cloud().later(2, Action::Connect(device));
        }
    }

    /// Reads the revocation of a socket, and acknowledges it over the same socket.
    async fn read(&self, socket: String) {
        let (session, revocation) = {
            let cloud = self.cloud();
            let read = &cloud.sockets[&socket];
            let revocation = read.frames.iter().map(|(_, frame)| frame);
            let mut revocation = revocation.filter(|frame| frame["type"] == "session-revoked");
            (read.session, revocation.next_back().cloned())
        };
        if let Some(revocation) = revocation {
            let sign_out = revocation["sign_out"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            self.learn(session, sign_out, Some(socket)).await;
        }
    }

    /// Makes a call with the token of a device.
    async fn call(&self, device: usize) {
        let (session, token, end) = {
            let mut accounts = self.accounts();
            let at = accounts.devices[device].session;
            let session = &mut accounts.sessions[at];
            session.has_called |= session.end.is_some();
            (at, session.token.clone(), session.end.clone())
        };
        let reply = self.invoke("session", self.bundle.who_am_i(&token)).await;
        let Some(reply) = answered(reply) else {
            self.cloud().later(1, Action::Call(device));
            return;
        };
        let body = json_of(&reply);
        match (reply.status_code, end) {
            (200, None) => {}
            (401, Some(end)) if body["sign_out"] == end => {
                {
                    let session = &mut self.accounts().sessions[session];
                    session.is_refused = true;
                    session.has_asked |= !session.has_learned;
                }
                let open = {
                    let cloud = self.cloud();
                    let mut open = cloud.sockets.iter();
                    let open = open.find(|(_, socket)| {
                        socket.session == session && socket.stage == Stage::Open
                    });
                    open.map(|(id, _)| id.clone())
                };
                self.learn(session, end, open).await;
            }
            (status, end) => self.violation(format!(
                "device {device}, ended by {end:?}, was answered {status} {body}"
            )),
        }
    }

    /// Lets a device learn that its session has ended, and acknowledge once if that is
    /// its behavior.
    async fn learn(&self, session: usize, sign_out: String, socket: Option<String>) {
        {
            let mut accounts = self.accounts();
            let device = &accounts.devices[accounts.sessions[session].device];
            let is_ignored = device.session != session || device.behavior == Behavior::Silent;
            if is_ignored || accounts.sessions[session].has_learned {
                return;
            }
            accounts.sessions[session].has_learned = true;
        }
        let open = socket.filter(|socket| self.cloud().sockets[socket].stage == Stage::Open);
        let Some(socket) = open else {
            self.acknowledge(session, sign_out).await;
            return;
        };
        let text = json!({ "type": "acknowledgement", "sign_out": sign_out }).to_string();
        let event = frame(&socket, &text);
        self.invoke("socket", socket::handle(&self.background.socket, event))
            .await;
        // Before the grace period ends, so that only the acknowledgement can have closed it.
        self.cloud()
            .later(3, Action::CheckClosed { socket, sign_out });
    }

    async fn acknowledge(&self, session: usize, sign_out: String) {
        let token = self.accounts().sessions[session].token.clone();
        let call = self.bundle.acknowledge(&token, &sign_out);
        let reply = self.invoke("sign-out-receipts", call).await;
        match answered(reply).map(|reply| reply.status_code) {
            None => {
                let again = Action::Acknowledge { session, sign_out };
                self.cloud().later(1, again);
            }
            Some(200) => self.accounts().sessions[session].is_acknowledged = true,
            Some(status) => self.violation(format!("an acknowledgement was answered {status}")),
        }
    }

    /// Signs a device in again. Its old sockets stay open.
    pub async fn sign_in_again(&self, device: usize) {
        let (email, key) = {
            let mut accounts = self.accounts();
            let session = accounts.devices[device].session;
            accounts.sessions[session].is_replaced = true;
            (
                accounts.devices[device].email,
                accounts.devices[device].key.clone(),
            )
        };
        let call = self.bundle.log_in(email, PASSWORD, Some(&key));
        let Some(reply) = answered(self.invoke("login", call).await) else {
            self.cloud().later(1, Action::SignIn(device));
            return;
        };
        let (session, key, id) = signed_in(&reply, device);
        {
            let mut accounts = self.accounts();
            assert_eq!(accounts.devices[device].id, id);
            accounts.sessions.push(TrackedSession {
                is_watched: true,
                ..session
            });
            accounts.devices[device].session = accounts.sessions.len() - 1;
            accounts.devices[device].key = key;
        }
        self.cloud().later(1, Action::Connect(device));
    }

    // --- Sign-outs ----------------------------------------------------------

    pub async fn sign_out_device(&self, by: usize, device: usize) {
        self.pass(1);
        let (token, id) = {
            let accounts = self.accounts();
            (accounts.token(by), accounts.devices[device].id)
        };
        let reply = self.bundle.sign_out_device(&token, id).await;
        self.ended(&reply, by, "device", false, |at| at == device);
    }

    pub async fn sign_out_scope(&self, by: usize, scope: &'static str) {
        self.pass(1);
        let token = self.accounts().token(by);
        let reply = self.bundle.sign_out_scope(&token, scope).await;
        self.ended(&reply, by, scope, false, |at| scope == "global" || at != by);
    }

    pub async fn change_password(&self, by: usize, keep: bool) {
        self.pass(1);
        let token = self.accounts().token(by);
        let call = self
            .bundle
            .change_password(&token, PASSWORD, OTHER_PASSWORD, keep);
        let scope = if keep { "others" } else { "global" };
        self.ended(&call.await, by, scope, true, |at| !keep || at != by);
    }

    /// Records the sessions that a sign-out ended. The first end counts.
    fn ended(
        &self,
        reply: &Reply,
        by: usize,
        scope: &'static str,
        is_password: bool,
        ends: impl Fn(usize) -> bool,
    ) {
        assert_eq!(reply.status_code, 200, "{}", json_of(reply));
        let id = json_of(reply)["sign_out"]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let mut accounts = self.accounts();
        let email = accounts.devices[by].email;
        let account = accounts.sessions[accounts.devices[by].session].account;
        let ended: Vec<usize> = (0..accounts.devices.len())
            .filter(|at| accounts.devices[*at].email == email && ends(*at))
            .map(|at| accounts.devices[at].session)
            .collect();
        for session in ended {
            // A session that is being replaced may have ended already, without a sign-out.
            let session = &mut accounts.sessions[session];
            if !session.is_replaced {
                session.end.get_or_insert(id.clone());
            }
        }
        accounts.sign_outs.push(AnsweredSignOut {
            id,
            account,
            scope,
            is_password,
        });
    }
}

impl Accounts {
    fn token(&self, device: usize) -> String {
        self.sessions[self.devices[device].session].token.clone()
    }
}

/// Returns the answer of a function that neither crashed nor failed.
fn answered(reply: Option<Reply>) -> Option<Reply> {
    reply.filter(|reply| reply.status_code < 500)
}

fn signed_in(reply: &Reply, device: usize) -> (TrackedSession, String, DeviceId) {
    let body = json_of(reply);
    assert_eq!(reply.status_code, 200, "{body}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let token = text(&body["token"]);
    let session = TrackedSession {
        device,
        account: Token::parse(&token).unwrap().account(),
        id: text(&body["session"]),
        token,
        end: None,
        is_replaced: false,
        has_called: false,
        is_refused: false,
        has_asked: false,
        has_learned: false,
        is_acknowledged: false,
        is_watched: false,
    };
    let id = text(&body["device"]["id"]).parse().unwrap();
    (session, text(&body["device_key"]), id)
}
