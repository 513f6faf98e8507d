//! Two households, their devices, and the functions of the bundle over the cloud:
//! whatever is delivered, told or done by a device goes on until nothing is left.

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

use super::cloud::{Cloud, Deed, Line, Socket, Stage, Stream, Work};

/// What is delivered and done in one run at most; far more than any run takes.
const ENOUGH: usize = 1_500;

pub const LAPTOP: usize = 0;
pub const TV: usize = 1;
pub const PHONE: usize = 2;
pub const TABLET: usize = 3;
pub const CONSOLE: usize = 4;
pub const RADIO: usize = 5;

/// What a device does when it learns that its session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Temper {
    /// It wipes, and says so until that is taken.
    Acknowledges,
    /// Nothing.
    Mute,
}

#[derive(Debug, Clone)]
pub struct Device {
    pub email: &'static str,
    pub temper: Temper,
    pub key: String,
    pub id: DeviceId,
    /// Its present session.
    pub life: usize,
}

/// One session of a device, and what has happened to it.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact that the verdict asks for by itself"
)]
pub struct Life {
    pub device: usize,
    pub account: AccountId,
    pub session: String,
    pub token: String,
    /// The sign-out that ended it.
    pub end: Option<String>,
    /// Its device has begun to sign in again.
    pub is_replaced: bool,
    /// It may have called since its end.
    pub has_called: bool,
    /// It called since its end, and was refused.
    pub is_refused: bool,
    /// It learnt of its end by calling.
    pub has_asked: bool,
    /// It has learnt of its end.
    pub has_learnt: bool,
    /// Its acknowledgement was taken.
    pub is_acknowledged: bool,
    /// It began while the fan-out was watched.
    pub is_watched: bool,
}

/// A sign-out that was answered.
#[derive(Debug, Clone)]
pub struct Act {
    pub id: String,
    pub account: AccountId,
    pub scope: &'static str,
    pub is_password: bool,
}

/// What happens in the middle of something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meanwhile {
    SignsInAgain(usize),
    SignsOutAll(usize),
}

#[derive(Default)]
pub struct Home {
    pub devices: Vec<Device>,
    pub lives: Vec<Life>,
    pub acts: Vec<Act>,
    pub meanwhile: Option<Meanwhile>,
    /// Sockets whose handshake or end the function did not get through.
    pub unfinished: BTreeSet<String>,
    /// Sockets that the network has cut.
    pub cut: BTreeSet<String>,
    pub faults: Vec<String>,
}

pub struct World {
    cloud: Arc<Mutex<Cloud>>,
    home: RefCell<Home>,
    clock: Clock,
    pub bundle: Bundle,
    background: Background,
}

/// The households before anything happens, to begin each run from.
pub struct Origin {
    saved: PathBuf,
    at: Timestamp,
    sockets: BTreeMap<String, Socket>,
    streams: BTreeMap<&'static str, Stream>,
    devices: Vec<Device>,
    lives: Vec<Life>,
}

impl Origin {
    /// Furnishes the households, and keeps their tables in a file.
    pub async fn new() -> Self {
        let world = World::furnished().await;
        let name = u64::from_be_bytes(runtime::random());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let saved = folder.join(format!("nothing-lost-{name:016x}.db"));
        let (cloud, home) = (world.cloud(), world.home());
        cloud.engine.save(&saved);
        Self {
            saved,
            at: world.clock.now(),
            sockets: cloud.sockets.clone(),
            streams: cloud.streams.clone(),
            devices: home.devices.clone(),
            lives: home.lives.clone(),
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _left_behind_at_worst = std::fs::remove_file(&self.saved);
    }
}

enum Polled<T> {
    Done(T),
    Dead,
    Waiting,
}

impl World {
    /// Functions and clients, which are dear to make; what they reach comes with a
    /// beginning.
    #[must_use]
    pub fn new() -> Self {
        Self::over(Engine::new(), NOON.parse().unwrap())
    }

    /// Begins anew, with the households as they are before anything happens.
    pub fn begin(&self, origin: &Origin, seed: Option<u64>) {
        let (mut cloud, mut home) = (self.cloud(), self.home());
        self.clock
            .advance(origin.at.duration_since(self.clock.now()));
        *cloud = Cloud::new(self.clock.clone(), Engine::from_saved(&origin.saved));
        cloud.sockets = origin.sockets.clone();
        cloud.streams = origin.streams.clone();
        cloud.rough = seed.map(SeededRandom::new);
        *home = Home {
            devices: origin.devices.clone(),
            lives: origin.lives.clone(),
            ..Home::default()
        };
    }

    /// A household with five devices, three of them connected, one of these twice;
    /// and one next door.
    async fn furnished() -> Self {
        let world = Self::over(Engine::new(), NOON.parse().unwrap());
        let devices = [
            (EMAIL, Temper::Acknowledges, 1),
            (EMAIL, Temper::Acknowledges, 2),
            (EMAIL, Temper::Mute, 1),
            (EMAIL, Temper::Acknowledges, 0),
            (EMAIL, Temper::Mute, 0),
            (OTHER_EMAIL, Temper::Acknowledges, 1),
        ];
        for email in [EMAIL, OTHER_EMAIL] {
            let registered = world.bundle.register(email, PASSWORD).await;
            assert_eq!(registered.status_code, 202);
        }
        for (device, (email, temper, sockets)) in devices.into_iter().enumerate() {
            world.pass(1);
            let call = world.bundle.log_in(email, PASSWORD, None);
            let reply = Box::pin(call).await;
            let (life, key, id) = signed_in(&reply, device);
            world.home().lives.push(life);
            world.home().devices.push(Device {
                email,
                temper,
                key,
                id,
                life: device,
            });
            for _ in 0..sockets {
                world.connect(device).await;
            }
        }
        world.pass(60);
        let mut cloud = world.cloud();
        for (_, deed) in std::mem::take(&mut cloud.deeds) {
            let Deed::Opens(socket) = deed else {
                panic!("{deed:?}");
            };
            cloud.open(&socket);
        }
        cloud.skip_streams();
        drop(cloud);
        world
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
            home: RefCell::default(),
            clock,
        }
    }

    pub fn cloud(&self) -> MutexGuard<'_, Cloud> {
        self.cloud.lock().unwrap()
    }

    pub fn home(&self) -> RefMut<'_, Home> {
        self.home.borrow_mut()
    }

    /// From now on calls are counted, and struck by the plan.
    pub fn watch(&self) {
        self.cloud().is_watched = true;
    }

    pub fn pass(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
    }

    fn fault(&self, fault: impl Into<String>) {
        self.home().faults.push(fault.into());
    }

    // --- Functions ----------------------------------------------------------

    /// Runs a function until it is done, or dead.
    fn invoke<'a, T: 'a>(
        &'a self,
        function: &'static str,
        handler: impl Future<Output = T> + 'a,
    ) -> impl Future<Output = Option<T>> + 'a {
        // A handler is large, and whoever waits for it need not be.
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
                    Box::pin(self.meanwhile()).await;
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

    async fn meanwhile(&self) {
        let meanwhile = self.home().meanwhile.take();
        match meanwhile {
            Some(Meanwhile::SignsInAgain(device)) => self.sign_in_again(device).await,
            Some(Meanwhile::SignsOutAll(by)) => self.sign_out_scope(by, "global").await,
            None => {}
        }
    }

    /// Delivers and does whatever there is, until nothing is left.
    pub async fn settle(&self) {
        for _ in 0..ENOUGH {
            let work = self.cloud().next();
            match work {
                None => return,
                Some(Work::Stream(table)) => self.deliver_records(table).await,
                Some(Work::Queue(line)) => self.deliver_messages(line).await,
                Some(Work::Deed(deed)) => self.act(deed).await,
            }
        }
        self.fault("there is no end to it");
        self.cloud().deeds.clear();
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
        self.cloud().go_on(table, done);
    }

    async fn deliver_messages(&self, line: Line) {
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
            Line::Push => {
                let handler = push_revocations::handle(&self.background.push, event);
                self.invoke("push-revocations", handler).await
            }
            Line::Sweep => {
                let handler = sweep::handle(&self.background.sweep, event);
                self.invoke("sweep", handler).await
            }
        };
        // Of a function that has died, Lambda deletes nothing.
        let Some(response) = response else { return };
        let failed = |failure: &SqsBatchItemFailure| failure.item_identifier.clone().unwrap();
        let failed: BTreeSet<String> = response.batch_item_failures.iter().map(failed).collect();
        for id in ids.iter().filter(|id| !failed.contains(*id)) {
            self.cloud().delete(line, id);
        }
    }

    // --- Deeds --------------------------------------------------------------

    async fn act(&self, deed: Deed) {
        match deed {
            Deed::Reads(socket) => self.read(socket).await,
            Deed::EndInfo(socket) => {
                let event = self.invoke(
                    "socket",
                    socket::handle(&self.background.socket, disconnect(&socket)),
                );
                self.may_be_unfinished(&socket, event).await;
            }
            Deed::Opens(socket) => self.cloud().open(&socket),
            Deed::Connects(device) => self.connect(device).await,
            Deed::Calls(device) => self.call(device).await,
            Deed::Looks { socket, sign_out } => {
                let (life, stage) = {
                    let cloud = self.cloud();
                    let socket = &cloud.sockets[&socket];
                    (socket.life, socket.stage)
                };
                if stage == Stage::Closed {
                    self.home().lives[life].is_acknowledged = true;
                } else {
                    self.acknowledge(life, sign_out).await;
                }
            }
            Deed::Acknowledges { life, sign_out } => self.acknowledge(life, sign_out).await,
            Deed::SignsIn(device) => self.sign_in_again(device).await,
        }
    }

    /// Runs the function behind the sockets, and notes when it was disturbed: what
    /// the gateway tells of a socket, it tells once.
    async fn may_be_unfinished<T>(&self, socket: &str, run: impl Future<Output = T>) -> T {
        let struck = self.cloud().struck.len();
        let output = run.await;
        if self.cloud().struck.len() > struck {
            self.home().unfinished.insert(socket.to_owned());
        }
        output
    }

    /// A device opens a socket. What is let in is finished by the gateway a little
    /// later.
    pub async fn connect(&self, device: usize) {
        let (life, token) = {
            let home = self.home();
            let life = home.devices[device].life;
            (life, home.lives[life].token.clone())
        };
        let socket = {
            let mut cloud = self.cloud();
            let id = format!("socket-{}=", cloud.sockets.len());
            let socket = Socket {
                life,
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
            self.cloud().later(3, Deed::Opens(socket));
            return;
        }
        self.cloud().lose(&socket);
        if status < 500 {
            self.home().lives[life].has_called = true;
            self.cloud().later(1, Deed::Calls(device));
        } else {
            self.cloud().later(2, Deed::Connects(device));
        }
    }

    /// A device reads what it is told, and acknowledges it where it is told.
    async fn read(&self, socket: String) {
        let (life, told) = {
            let cloud = self.cloud();
            let read = &cloud.sockets[&socket];
            let told = read.frames.iter().map(|(_, frame)| frame);
            let mut told = told.filter(|frame| frame["type"] == "session-revoked");
            (read.life, told.next_back().cloned())
        };
        if let Some(told) = told {
            let sign_out = told["sign_out"].as_str().unwrap_or_default().to_owned();
            self.learn(life, sign_out, Some(socket)).await;
        }
    }

    /// A device calls with its token, as one does that was refused or switched on.
    async fn call(&self, device: usize) {
        let (life, token, end) = {
            let mut home = self.home();
            let at = home.devices[device].life;
            let life = &mut home.lives[at];
            life.has_called |= life.end.is_some();
            (at, life.token.clone(), life.end.clone())
        };
        let reply = self.invoke("session", self.bundle.who_am_i(&token)).await;
        let Some(reply) = answered(reply) else {
            self.cloud().later(1, Deed::Calls(device));
            return;
        };
        let body = json_of(&reply);
        match (reply.status_code, end) {
            (200, None) => {}
            (401, Some(end)) if body["sign_out"] == end => {
                {
                    let life = &mut self.home().lives[life];
                    life.is_refused = true;
                    life.has_asked |= !life.has_learnt;
                }
                let open = {
                    let cloud = self.cloud();
                    let mut open = cloud.sockets.iter();
                    let open =
                        open.find(|(_, socket)| socket.life == life && socket.stage == Stage::Open);
                    open.map(|(id, _)| id.clone())
                };
                self.learn(life, end, open).await;
            }
            (status, end) => self.fault(format!(
                "device {device}, ended by {end:?}, was answered {status} {body}"
            )),
        }
    }

    /// A device learns that its session has ended: by its temper it acknowledges,
    /// once.
    async fn learn(&self, life: usize, sign_out: String, socket: Option<String>) {
        {
            let mut home = self.home();
            let device = &home.devices[home.lives[life].device];
            let is_over = device.life != life || device.temper == Temper::Mute;
            if is_over || home.lives[life].has_learnt {
                return;
            }
            home.lives[life].has_learnt = true;
        }
        let open = socket.filter(|socket| self.cloud().sockets[socket].stage == Stage::Open);
        let Some(socket) = open else {
            self.acknowledge(life, sign_out).await;
            return;
        };
        let text = json!({ "type": "acknowledgement", "sign_out": sign_out }).to_string();
        let event = frame(&socket, &text);
        self.invoke("socket", socket::handle(&self.background.socket, event))
            .await;
        // Before the end of the grace, so that it is the acknowledgement's answer.
        self.cloud().later(3, Deed::Looks { socket, sign_out });
    }

    async fn acknowledge(&self, life: usize, sign_out: String) {
        let token = self.home().lives[life].token.clone();
        let call = self.bundle.acknowledge(&token, &sign_out);
        let reply = self.invoke("sign-out-receipts", call).await;
        match answered(reply).map(|reply| reply.status_code) {
            None => {
                let again = Deed::Acknowledges { life, sign_out };
                self.cloud().later(1, again);
            }
            Some(200) => self.home().lives[life].is_acknowledged = true,
            Some(status) => self.fault(format!("an acknowledgement was answered {status}")),
        }
    }

    /// A device signs in again. Its old sockets stay as they are.
    pub async fn sign_in_again(&self, device: usize) {
        let (email, key) = {
            let mut home = self.home();
            let life = home.devices[device].life;
            home.lives[life].is_replaced = true;
            (home.devices[device].email, home.devices[device].key.clone())
        };
        let call = self.bundle.log_in(email, PASSWORD, Some(&key));
        let Some(reply) = answered(self.invoke("login", call).await) else {
            self.cloud().later(1, Deed::SignsIn(device));
            return;
        };
        let (life, key, id) = signed_in(&reply, device);
        {
            let mut home = self.home();
            assert_eq!(home.devices[device].id, id);
            home.lives.push(Life {
                is_watched: true,
                ..life
            });
            home.devices[device].life = home.lives.len() - 1;
            home.devices[device].key = key;
        }
        self.cloud().later(1, Deed::Connects(device));
    }

    // --- Acts ---------------------------------------------------------------

    pub async fn sign_out_device(&self, by: usize, device: usize) {
        self.pass(1);
        let (token, id) = {
            let home = self.home();
            (home.token(by), home.devices[device].id)
        };
        let reply = self.bundle.sign_out_device(&token, id).await;
        self.ended(&reply, by, "device", false, |at| at == device);
    }

    pub async fn sign_out_scope(&self, by: usize, scope: &'static str) {
        self.pass(1);
        let token = self.home().token(by);
        let reply = self.bundle.sign_out_scope(&token, scope).await;
        self.ended(&reply, by, scope, false, |at| scope == "global" || at != by);
    }

    pub async fn change_password(&self, by: usize, keep: bool) {
        self.pass(1);
        let token = self.home().token(by);
        let call = self
            .bundle
            .change_password(&token, PASSWORD, OTHER_PASSWORD, keep);
        let scope = if keep { "others" } else { "global" };
        self.ended(&call.await, by, scope, true, |at| !keep || at != by);
    }

    /// Notes whose sessions are over from now on, and by what: the first end counts.
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
        let mut home = self.home();
        let email = home.devices[by].email;
        let account = home.lives[home.devices[by].life].account;
        let concerned: Vec<usize> = (0..home.devices.len())
            .filter(|at| home.devices[*at].email == email && ends(*at))
            .map(|at| home.devices[at].life)
            .collect();
        for life in concerned {
            // A session that is being replaced may be over already, without a word.
            let life = &mut home.lives[life];
            if !life.is_replaced {
                life.end.get_or_insert(id.clone());
            }
        }
        home.acts.push(Act {
            id,
            account,
            scope,
            is_password,
        });
    }
}

impl Home {
    fn token(&self, device: usize) -> String {
        self.lives[self.devices[device].life].token.clone()
    }
}

/// What a device hears: none of a function that has died, or could not.
fn answered(reply: Option<Reply>) -> Option<Reply> {
    reply.filter(|reply| reply.status_code < 500)
}

fn signed_in(reply: &Reply, device: usize) -> (Life, String, DeviceId) {
    let body = json_of(reply);
    assert_eq!(reply.status_code, 200, "{body}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let token = text(&body["token"]);
    let life = Life {
        device,
        account: Token::parse(&token).unwrap().account(),
        session: text(&body["session"]),
        token,
        end: None,
        is_replaced: false,
        has_called: false,
        is_refused: false,
        has_asked: false,
        has_learnt: false,
        is_acknowledged: false,
        is_watched: false,
    };
    let id = text(&body["device"]["id"]).parse().unwrap();
    (life, text(&body["device_key"]), id)
}
