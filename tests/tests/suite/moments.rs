//! The latency contract: from the answer of a sign-out on, every door is shut to
//! the device, and nothing but the revocation is sent to it. A busy device is
//! signed out at random moments, thousands of times, each time in one of several
//! ways.
//!
//! `CURFEW_MOMENTS` sets how many, `CURFEW_SEED` the order of the moments.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use curfew_tests::bundle::{event, json_of};
use curfew_tests::moments::{Dice, run};
use curfew_tests::sockets::{EMAIL, PASSWORD, World, by_ticket, by_token};
use domain::{DeviceId, EntryState, SignOutId};
use http_api::Reply;
use serde_json::{Value, json};

/// What the password is changed to, and back.
const OTHER_PASSWORD: &str = "nine lanterns drift past the harbour";

/// The ways in which a device is signed out.
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

/// The doors that a device can try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Door {
    Session,
    Devices,
    SignOut,
    SignOutDevice,
    SignOutAll,
    Password,
    Receipt,
    SocketTicket,
    Authorizer,
    Introspection,
    SocketByToken,
    SocketByTicket,
    Heartbeat,
}

const DOORS: [Door; 13] = [
    Door::Session,
    Door::Devices,
    Door::SignOut,
    Door::SignOutDevice,
    Door::SignOutAll,
    Door::Password,
    Door::Receipt,
    Door::SocketTicket,
    Door::Authorizer,
    Door::Introspection,
    Door::SocketByToken,
    Door::SocketByTicket,
    Door::Heartbeat,
];

/// Those that a busy device goes through all the time: they change nothing that
/// it would miss.
const BUSY: [Door; 7] = [
    Door::Session,
    Door::Devices,
    Door::SocketTicket,
    Door::Authorizer,
    Door::Introspection,
    Door::SocketByToken,
    Door::Heartbeat,
];

/// A device in use.
#[derive(Debug, Clone)]
struct Busy {
    token: String,
    key: String,
    device: DeviceId,
    socket: String,
    ticket: String,
}

#[test]
fn from_the_answer_of_a_sign_out_on_every_door_is_shut_to_a_busy_device() {
    let rounds = number("CURFEW_MOMENTS").unwrap_or(1_000);
    let seed = number("CURFEW_SEED").unwrap_or_else(|| u64::from_be_bytes(runtime::random()));
    println!("seed {seed}: CURFEW_SEED={seed} tries the same moments");
    let mut dice = Dice::new(seed);
    let mut ways: BTreeMap<Way, u64> = BTreeMap::new();
    let mut tried = Tried::default();
    let mut home = Home::new();
    for round in 0..rounds {
        // Devices pile up where nothing ever takes them.
        if round % 250 == 249 {
            home = Home::new();
        }
        let way = dice.pick(&WAYS);
        *ways.entry(way).or_default() += 1;
        home.round(
            round,
            way,
            Duration::from_micros(dice.below(4_000)),
            &mut tried,
        );
    }
    println!(
        "{rounds} sign-outs at random moments: {ways:?}; before their answers the devices went \
         through {} doors, after them they were refused at {} {:?}; {} revocations sent, and \
         no other frame",
        tried.admitted,
        tried.refused.values().sum::<usize>(),
        tried.refused,
        tried.revocations,
    );
    assert!(tried.admitted as u64 > rounds, "the devices were not busy");
    for door in DOORS {
        let refused = tried.refused.get(&door).copied().unwrap_or(0);
        assert!(
            refused as u64 >= rounds,
            "{door:?} was tried {refused} times"
        );
    }
}

/// What was tried in all rounds.
#[derive(Debug, Default)]
struct Tried {
    admitted: usize,
    refused: BTreeMap<Door, usize>,
    revocations: usize,
}

/// A household: the one that signs out, and the one that is signed out.
struct Home {
    world: Arc<World>,
    password: &'static str,
    laptop: String,
    television: Option<String>,
}

impl Home {
    fn new() -> Self {
        let world = Arc::new(run(World::new()));
        let laptop = sign_in(&world, PASSWORD, None);
        Self {
            world,
            password: PASSWORD,
            laptop: laptop.token,
            television: None,
        }
    }

    fn round(&mut self, round: u64, way: Way, moment: Duration, tried: &mut Tried) {
        let mut busy = sign_in(&self.world, self.password, self.television.as_deref());
        self.television = Some(busy.key.clone());
        busy.socket = format!("socket-{round}");
        run(self.world.open(
            &curfew_tests::sockets::Member {
                token: busy.token.clone(),
                key: busy.key.clone(),
                device: busy.device,
                session: self.row(&busy).session,
            },
            &busy.socket,
        ));
        // To open a socket with, drawn while that was allowed.
        busy.ticket = ticket(&self.world, &busy);

        let is_answered = Arc::new(AtomicBool::new(false));
        let is_over = Arc::new(AtomicBool::new(false));
        let admitted = Arc::new(AtomicUsize::new(0));
        let together = Arc::new(Barrier::new(3));
        let lives: Vec<_> = (0..2)
            .map(|n| {
                let life = Life {
                    world: self.world.clone(),
                    busy: busy.clone(),
                    is_answered: is_answered.clone(),
                    is_over: is_over.clone(),
                    admitted: admitted.clone(),
                    together: together.clone(),
                    name: format!("{round}-{n}"),
                };
                thread::spawn(move || life.live())
            })
            .collect();
        together.wait();
        thread::sleep(moment);
        let sign_out = self.sign_out(way, &busy);
        is_answered.store(true, Ordering::SeqCst);

        for (n, door) in DOORS.into_iter().enumerate() {
            let name = format!("{round}-after-{n}");
            let is_open = run(knock(&self.world, &busy, door, &name));
            assert!(
                is_open != Some(true),
                "{way:?}, round {round}: {door:?} let it in"
            );
            if is_open.is_some() {
                *tried.refused.entry(door).or_default() += 1;
            }
        }
        is_over.store(true, Ordering::SeqCst);
        for life in lives {
            for (door, refused) in life.join().expect("a life without a broken promise") {
                *tried.refused.entry(door).or_default() += refused;
            }
        }
        tried.admitted += admitted.load(Ordering::SeqCst);
        self.refuse_a_frame(&busy);
        *tried.refused.entry(Door::Heartbeat).or_default() += 1;
        self.tell(way, &busy, sign_out, tried);
    }

    /// A frame of a session that is over does one thing: it asks that its device be
    /// told.
    fn refuse_a_frame(&self, busy: &Busy) {
        let gateway = &self.world.gateway;
        let _of_before = gateway.take_queued();
        let before = self.row(busy);
        let name = "a frame after the end";
        let shown = run(knock(&self.world, busy, Door::Heartbeat, name));
        assert_eq!(shown, None);
        let queued = gateway.take_queued();
        assert_eq!(queued.len(), 1, "{queued:?}");
        let asked: Value = serde_json::from_str(&queued[0].body).unwrap();
        assert_eq!(asked["check"]["connection_id"], json!(busy.socket));
        assert_eq!(self.row(busy), before);
    }

    /// Delivers the revocation, and lets the device acknowledge it. Of all frames
    /// that were sent through its socket, every one is the revocation.
    fn tell(&mut self, way: Way, busy: &Busy, sign_out: SignOutId, tried: &mut Tried) {
        if way == Way::Global {
            self.laptop = sign_in(&self.world, self.password, None).token;
        }
        let world = &self.world;
        let account = domain::Token::parse(&busy.token).unwrap().account();
        let receipt = run(world
            .bundle
            .store
            .receipt(account, sign_out, &world.bundle.limits));
        let change = store::Change::SignedOut(receipt.unwrap().unwrap().sign_out);
        run(world.push(&curfew_tests::sockets::event_of(&change)));
        let frames = world.gateway.frames(&busy.socket);
        assert!(!frames.is_empty(), "{way:?}: it was not told");
        for frame in &frames {
            assert_eq!(frame["type"], "session-revoked", "{way:?}: {frame}");
            assert_eq!(frame["sign_out"], json!(sign_out), "{way:?}");
        }
        tried.revocations += frames.len();
        run(world.acknowledge(&busy.socket, sign_out));
        run(world.drain());
        assert!(!world.gateway.is_open(&busy.socket));
        let receipt = run(world
            .bundle
            .store
            .receipt(account, sign_out, &world.bundle.limits));
        let parts = receipt.unwrap().unwrap().entries;
        let part = parts.iter().find(|part| part.session.device == busy.device);
        assert_eq!(
            part.map(domain::ReceiptEntry::state),
            Some(EntryState::Acknowledged),
            "{way:?}"
        );
    }

    fn sign_out(&mut self, way: Way, busy: &Busy) -> SignOutId {
        let bundle = &self.world.bundle;
        let reply = match way {
            Way::Itself => run(bundle.sign_out_this(&busy.token)),
            Way::ByAnother => run(bundle.sign_out_device(&self.laptop, busy.device)),
            Way::Others => run(bundle.sign_out_all(&self.laptop, "others")),
            Way::Global => run(bundle.sign_out_all(&self.laptop, "global")),
            Way::NewPassword => {
                let new = if self.password == PASSWORD {
                    OTHER_PASSWORD
                } else {
                    PASSWORD
                };
                let before = std::mem::replace(&mut self.password, new);
                run(bundle.change_password(&self.laptop, before, new, true))
            }
        };
        assert_eq!(reply.status_code, 200, "{way:?}: {:?}", json_of(&reply));
        text(&json_of(&reply)["sign_out"]["id"]).parse().unwrap()
    }

    fn row(&self, busy: &Busy) -> domain::Device {
        let account = domain::Token::parse(&busy.token).unwrap().account();
        let rows = run(self.world.bundle.store.rows(account, &[busy.device]));
        rows.unwrap().take_device(busy.device).unwrap()
    }
}

/// One of the things that a busy device does at once.
struct Life {
    world: Arc<World>,
    busy: Busy,
    is_answered: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
    admitted: Arc<AtomicUsize>,
    together: Arc<Barrier>,
    name: String,
}

impl Life {
    /// Goes through one door after the other until it is told to stop, and counts
    /// at which it was refused. Whatever begins after the answer of the sign-out
    /// must be.
    fn live(self) -> BTreeMap<Door, usize> {
        let mut refused: BTreeMap<Door, usize> = BTreeMap::new();
        self.together.wait();
        for (n, door) in BUSY.into_iter().cycle().enumerate() {
            if self.is_over.load(Ordering::SeqCst) {
                break;
            }
            let must_be_refused = self.is_answered.load(Ordering::SeqCst);
            let name = format!("{}-{n}", self.name);
            let is_open = run(knock(&self.world, &self.busy, door, &name));
            assert!(
                !(is_open == Some(true) && must_be_refused),
                "{door:?} let a device in after the answer of its sign-out"
            );
            match is_open {
                Some(true) => {
                    self.admitted.fetch_add(1, Ordering::SeqCst);
                }
                Some(false) => *refused.entry(door).or_default() += 1,
                None => {}
            }
        }
        refused
    }
}

/// Tries a door; whether the device was let in, if that shows at once.
async fn knock(world: &World, busy: &Busy, door: Door, name: &str) -> Option<bool> {
    let bundle = &world.bundle;
    let token = busy.token.as_str();
    let reply = match door {
        Door::Session => bundle.who_am_i(token).await,
        Door::Devices => bundle.list(token).await,
        Door::SignOut => bundle.sign_out_this(token).await,
        Door::SignOutDevice => bundle.sign_out_device(token, busy.device).await,
        Door::SignOutAll => bundle.sign_out_all(token, "others").await,
        Door::Password => {
            let new = "brass kettles hum beside the window";
            bundle.change_password(token, PASSWORD, new, true).await
        }
        Door::Receipt => {
            let any = "0192f0c2-1c44-7e02-a1b5-6d7e8f901234";
            bundle.receipt(token, any).await
        }
        Door::SocketTicket => bundle.socket_ticket(token).await,
        Door::Authorizer => {
            let asked = event("GET", "/films", Some(token), None);
            let decision = authorizer::handle(&bundle.authorizer, asked).await;
            return Some(decision.expect("tables that answer").is_authorized);
        }
        Door::Introspection => {
            let body = json_of(&bundle.introspect(token).await);
            return Some(body["active"].as_bool().expect("a verdict"));
        }
        Door::SocketByToken => {
            let reply = socket::handle(&world.socket, by_token(token, name)).await;
            return Some(is_admitted(reply.status_code));
        }
        Door::SocketByTicket => {
            let reply = socket::handle(&world.socket, by_ticket(&busy.ticket, name)).await;
            return Some(is_admitted(reply.status_code));
        }
        Door::Heartbeat => {
            // Never answered; what became of it shows in what it asked for.
            let reply = world.heartbeat(&busy.socket).await;
            assert_eq!(reply.status_code, 200);
            return None;
        }
    };
    Some(is_let_in(&reply))
}

/// Whether the API let a call in: refused as signed out, and nothing else, is a
/// refusal here.
fn is_let_in(reply: &Reply) -> bool {
    if reply.status_code != 401 {
        return true;
    }
    let problem = json_of(reply);
    assert_eq!(problem["type"], "urn:curfew:problem:session-signed-out");
    assert!(problem["sign_out"].is_string());
    false
}

fn is_admitted(status: u16) -> bool {
    assert!(matches!(status, 200 | 401), "{status}");
    status == 200
}

fn sign_in(world: &World, password: &str, key: Option<&str>) -> Busy {
    world.clock.advance(jiff::SignedDuration::from_secs(1));
    let reply = run(world.bundle.log_in(EMAIL, password, key));
    assert_eq!(reply.status_code, 200);
    let body = json_of(&reply);
    Busy {
        token: text(&body["token"]),
        key: text(&body["device_key"]),
        device: text(&body["device"]["id"]).parse().unwrap(),
        socket: String::new(),
        ticket: String::new(),
    }
}

fn ticket(world: &World, busy: &Busy) -> String {
    text(&json_of(&run(world.bundle.socket_ticket(&busy.token)))["ticket"])
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

#[expect(
    clippy::disallowed_methods,
    reason = "how much is tried is chosen from outside"
)]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
