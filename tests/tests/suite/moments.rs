//! The latency promise: once a sign-out is answered, every door refuses the device,
//! and its socket gets only the revocation. A busy device is signed out at random
//! moments, a thousand times, each time in one of several ways.
//!
//! `CURFEW_MOMENTS` sets how often, `CURFEW_SEED` the random numbers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use curfew_tests::account::{EMAIL, OTHER_PASSWORD, PASSWORD, TestDevice};
use curfew_tests::app::{TestApp, sign_out_of};
use curfew_tests::doors::Door;
use curfew_tests::executor::block_on;
use curfew_tests::random::SeededRandom;
use curfew_tests::socket_events::{by_ticket, by_token};
use domain::{EntryState, SignOutId};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::second_step::mark_verified;

/// A way of signing a device out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Itself,
    ByAnother,
    Others,
    Global,
    NewPassword,
}

const WAYS: [Way; 5] = [
    Way::Itself,
    Way::ByAnother,
    Way::Others,
    Way::Global,
    Way::NewPassword,
];

/// A door, or an event of the device's sockets.
#[derive(Debug, Clone)]
enum Attempt {
    Door(Door),
    SocketByToken,
    SocketByTicket,
    Heartbeat,
}

impl Attempt {
    fn all() -> Vec<Self> {
        let doors = Door::all().into_iter().map(Self::Door);
        let sockets = [Self::SocketByToken, Self::SocketByTicket, Self::Heartbeat];
        doors.chain(sockets).collect()
    }

    /// Those that a busy device makes all the time. None of them ends its session or
    /// uses its ticket.
    fn busy() -> Vec<Self> {
        let doors = Door::harmless().into_iter().map(Self::Door);
        doors
            .chain([Self::SocketByToken, Self::Heartbeat])
            .collect()
    }

    fn name(&self) -> &str {
        match self {
            Self::Door(door) => door.name(),
            Self::SocketByToken => "socket by token",
            Self::SocketByTicket => "socket by ticket",
            Self::Heartbeat => "heartbeat",
        }
    }

    /// Makes the attempt, and returns whether the device was accepted, if the answer
    /// shows that.
    async fn make(&self, app: &TestApp, busy: &Busy, socket: &str) -> Option<bool> {
        let event = match self {
            Self::Door(door) => {
                // No sign-out has this id, and no device.
                let id = "0192f0c2-1c44-7e02-a1b5-6d7e8f901234";
                return Some(door.knock(app, &busy.device, id).await.is_accepted());
            }
            Self::Heartbeat => {
                // A heartbeat is never answered. What it causes is checked elsewhere.
                let reply = app.heartbeat(&busy.socket).await;
                assert_eq!(reply.status_code, 200);
                return None;
            }
            Self::SocketByToken => by_token(&busy.device.token, socket),
            Self::SocketByTicket => by_ticket(&busy.ticket, socket),
        };
        match app.socket_event(event).await.status_code {
            200 => Some(true),
            401 => Some(false),
            // On a machine that is busy itself, the device opens as many as it may before it is
            // signed out. Its attempt after that must be refused: refusals are counted.
            429 => None,
            status => panic!("{status}"),
        }
    }
}

/// A device in use, with an open socket and an unused ticket.
#[derive(Debug, Clone)]
struct Busy {
    device: TestDevice,
    socket: String,
    ticket: String,
}

#[test]
fn once_a_sign_out_is_answered_every_door_refuses_a_busy_device() {
    let rounds = number("CURFEW_MOMENTS").unwrap_or(1_000);
    let seed = number("CURFEW_SEED").unwrap_or_else(|| u64::from_be_bytes(runtime::random()));
    println!("seed {seed}: CURFEW_SEED={seed} repeats the same moments");
    let mut random = SeededRandom::new(seed);
    let mut ways: BTreeMap<Way, u64> = BTreeMap::new();
    let mut counts = Counts::default();
    let mut account = Account::new();
    for round in 0..rounds {
        // The devices of an account accumulate, so a new one starts now and then.
        if round % 250 == 249 {
            account = Account::new();
        }
        let way = random.pick(&WAYS);
        *ways.entry(way).or_default() += 1;
        let moment = Duration::from_micros(random.below(4_000));
        account.round(round, way, moment, &mut counts);
    }
    println!(
        "{rounds} sign-outs at random moments: {ways:?}; before their answers {} attempts were \
         accepted, after them {} were refused {:?}; {} revocations sent, and no other frame",
        counts.accepted,
        counts.refused.values().sum::<usize>(),
        counts.refused,
        counts.revocations,
    );
    assert!(counts.accepted as u64 > rounds, "the devices were not busy");
    for attempt in Attempt::all() {
        let name = attempt.name();
        let refused = counts.refused.get(name).copied().unwrap_or(0);
        assert!(refused as u64 >= rounds, "{name} refused only {refused}");
    }
}

/// The attempts of all rounds.
#[derive(Debug, Default)]
struct Counts {
    accepted: usize,
    refused: BTreeMap<String, usize>,
    revocations: usize,
}

impl Counts {
    fn refuse(&mut self, attempt: &str, times: usize) {
        *self.refused.entry(attempt.to_owned()).or_default() += times;
    }
}

/// An account with a laptop, and a television that is signed out again and again.
struct Account {
    app: Arc<TestApp>,
    password: &'static str,
    laptop: TestDevice,
    television_key: Option<String>,
}

impl Account {
    fn new() -> Self {
        let app = Arc::new(block_on(TestApp::new()));
        let laptop = sign_in(&app, PASSWORD, None);
        Self {
            app,
            password: PASSWORD,
            laptop,
            television_key: None,
        }
    }

    fn busy(&mut self, round: u64) -> Busy {
        let device = sign_in(&self.app, self.password, self.television_key.as_deref());
        self.television_key = Some(device.key.clone());
        let socket = format!("socket-{round}");
        block_on(self.app.open(&device, &socket));
        // Issued while the session is valid, and used after its end.
        let ticket = block_on(self.app.ticket(&device));
        Busy {
            device,
            socket,
            ticket,
        }
    }

    fn round(&mut self, round: u64, way: Way, moment: Duration, counts: &mut Counts) {
        let busy = self.busy(round);
        let progress = Arc::new(Progress::default());
        let start = Arc::new(Barrier::new(3));
        let clients: Vec<_> = (0..2)
            .map(|n| {
                let client = Client {
                    app: self.app.clone(),
                    busy: busy.clone(),
                    progress: progress.clone(),
                    name: format!("{round}-{n}"),
                };
                let start = start.clone();
                thread::spawn(move || {
                    start.wait();
                    client.run()
                })
            })
            .collect();
        start.wait();
        // The device is in use before it is signed out, also on a machine that is busy itself.
        while progress.accepted.load(Ordering::SeqCst) == 0
            && !clients.iter().any(thread::JoinHandle::is_finished)
        {
            thread::yield_now();
        }
        thread::sleep(moment);
        let sign_out = self.sign_out(way, &busy);
        progress.is_answered.store(true, Ordering::SeqCst);

        for (n, attempt) in Attempt::all().iter().enumerate() {
            let socket = format!("{round}-after-{n}");
            let accepted = block_on(attempt.make(&self.app, &busy, &socket));
            let name = attempt.name();
            assert_ne!(accepted, Some(true), "{way:?}, {round}: {name} accepted it");
            counts.refuse(name, usize::from(accepted.is_some()));
        }
        progress.is_finished.store(true, Ordering::SeqCst);
        for client in clients {
            for (name, refused) in client.join().expect("a client that saw no violation") {
                counts.refuse(&name, refused);
            }
        }
        counts.accepted += progress.accepted.load(Ordering::SeqCst);
        self.check_heartbeat(&busy);
        counts.refuse(Attempt::Heartbeat.name(), 1);
        self.push(way, &busy, sign_out, counts);
    }

    /// Checks that a heartbeat of an ended session does one thing: it requests a push
    /// to its socket.
    fn check_heartbeat(&self, busy: &Busy) {
        let row = || block_on(self.app.row(&busy.device));
        let _earlier = self.app.aws.take_queued();
        let before = row();
        assert_eq!(block_on(self.app.heartbeat(&busy.socket)).status_code, 200);
        let queued = self.app.aws.take_queued();
        assert_eq!(queued.len(), 1, "{queued:?}");
        let message: Value = serde_json::from_str(&queued[0].body).unwrap();
        assert_eq!(message["check"]["connection_id"], json!(busy.socket));
        assert_eq!(row(), before);
    }

    /// Delivers the revocation, and acknowledges it. Every frame that the socket got
    /// is the revocation.
    fn push(&mut self, way: Way, busy: &Busy, sign_out: SignOutId, counts: &mut Counts) {
        if way == Way::Global {
            self.laptop = sign_in(&self.app, self.password, None);
        }
        let app = &self.app;
        let body = block_on(app.event_of(busy.device.account, sign_out));
        block_on(app.push(&body));
        let frames = app.aws.frames(&busy.socket);
        assert!(!frames.is_empty(), "{way:?}: no revocation was sent");
        for frame in &frames {
            assert_eq!(frame["type"], "session-revoked", "{way:?}: {frame}");
            assert_eq!(frame["sign_out"], json!(sign_out), "{way:?}");
        }
        counts.revocations += frames.len();
        block_on(app.acknowledge(&busy.socket, sign_out));
        block_on(app.drain());
        assert!(!app.aws.is_open(&busy.socket));
        let states = block_on(app.states(&busy.device, sign_out));
        let state = states.get(&busy.device.id);
        assert_eq!(state, Some(&EntryState::Wiped), "{way:?}");
    }

    fn sign_out(&mut self, way: Way, busy: &Busy) -> SignOutId {
        // Each round takes seconds of the test's clock, and many can go by before the laptop
        // signs in again.
        mark_verified(&self.app, &self.laptop);
        let (bundle, laptop) = (&self.app.bundle, self.laptop.token.as_str());
        let reply = match way {
            Way::Itself => block_on(bundle.sign_out_this(&busy.device.token)),
            Way::ByAnother => block_on(bundle.sign_out_device(laptop, busy.device.id)),
            Way::Others => block_on(bundle.sign_out_scope(laptop, "others")),
            Way::Global => block_on(bundle.sign_out_scope(laptop, "global")),
            Way::NewPassword => {
                let new = match self.password {
                    PASSWORD => OTHER_PASSWORD,
                    _ => PASSWORD,
                };
                let before = std::mem::replace(&mut self.password, new);
                block_on(bundle.change_password(laptop, before, new, true))
            }
        };
        sign_out_of(&reply)
    }
}

/// The progress of a round.
#[derive(Debug, Default)]
struct Progress {
    /// The sign-out was answered: from now on every attempt must be refused.
    is_answered: AtomicBool,
    is_finished: AtomicBool,
    accepted: AtomicUsize,
}

/// One of the threads on which a busy device makes its attempts.
struct Client {
    app: Arc<TestApp>,
    busy: Busy,
    progress: Arc<Progress>,
    name: String,
}

impl Client {
    /// Makes one attempt after the other until the round is finished, and returns the
    /// number of refusals. An attempt that began after the sign-out's answer must be
    /// refused.
    fn run(self) -> BTreeMap<String, usize> {
        let mut refused: BTreeMap<String, usize> = BTreeMap::new();
        for (n, attempt) in Attempt::busy().iter().cycle().enumerate() {
            if self.progress.is_finished.load(Ordering::SeqCst) {
                break;
            }
            let must_be_refused = self.progress.is_answered.load(Ordering::SeqCst);
            let socket = format!("{}-{n}", self.name);
            match block_on(attempt.make(&self.app, &self.busy, &socket)) {
                Some(true) => {
                    let name = attempt.name();
                    assert!(!must_be_refused, "{name} accepted a signed-out device");
                    self.progress.accepted.fetch_add(1, Ordering::SeqCst);
                }
                Some(false) => *refused.entry(attempt.name().to_owned()).or_default() += 1,
                None => {}
            }
        }
        refused
    }
}

fn sign_in(app: &TestApp, password: &str, key: Option<&str>) -> TestDevice {
    app.advance(SignedDuration::from_secs(1));
    TestDevice::of(&block_on(app.bundle.log_in(EMAIL, password, key)))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the number of rounds is a setting"
)]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
