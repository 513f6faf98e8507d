//! A crowd: many connected devices of one account on the deployed stack, all told
//! by one sign-out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use curfew_client::{Api as DeviceApi, Frame, Secret, Socket, SocketError};
use domain::{
    AccountId, Device, DeviceId, DeviceInfo, DeviceKey, DeviceState, DeviceType, Epoch, Limits,
    Place, SessionId, Timestamp, Token,
};
use futures_util::{StreamExt, stream};
use runtime::Clock;
use serde_json::{Value, json};
use store::Store;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::client::{Household, LAPTOP, remember};
use crate::stack;

/// How many handshakes are made at once, and how many devices have wiped at once.
/// The local AWS starts a process for each call that it takes at once.
const AT_ONCE: usize = 16;

/// How long anything may take before it counts as lost.
const PATIENCE: Duration = Duration::from_mins(10);

/// How long a device waits for the end of its socket after its acknowledgement,
/// before it acknowledges by a call.
const GRACE: Duration = Duration::from_secs(10);

/// Within what time of its telling the end of a socket means that the
/// acknowledgement was taken.
const TAKEN: Duration = Duration::from_secs(4);

/// The connected devices of an account, and the laptop that signs them out.
#[derive(Debug)]
pub struct Crowd {
    household: Household,
    laptop: crate::client::Device,
    members: Vec<JoinHandle<Heard>>,
    answered: watch::Sender<Option<Instant>>,
    /// How long all the handshakes took together.
    pub connecting: Duration,
}

/// A device of the crowd.
#[derive(Debug, Clone, Copy)]
struct Member {
    device: DeviceId,
    session: SessionId,
}

/// A device that is signed in without a sign-in: its row was written past the API,
/// by the product's own store, because a password hash for each of many devices
/// would measure Argon2.
#[derive(Debug, Clone)]
pub struct Planted {
    /// Its id.
    pub device: DeviceId,
    /// Its session.
    pub session: SessionId,
    /// Its token.
    pub token: String,
}

impl Planted {
    /// Signs the television of this number in, in the account's present epoch.
    ///
    /// # Panics
    /// When its row can't be written.
    pub async fn new(store: &Store, account: AccountId, epoch: Epoch, n: usize) -> Self {
        let now = Clock::System.now();
        let id = DeviceId::new(now, runtime::random());
        let token = Token::new(account, id, runtime::random());
        let row = row(account, id, &token, epoch, n, now);
        let written = store.sign_in(&row, None, &Limits::default()).await;
        // A put that was heard twice has written it, too.
        written.expect("a row of its own");
        let token = token.to_text().to_string();
        remember(&[&token]);
        Self {
            device: id,
            session: row.session,
            token,
        }
    }
}

/// What one device heard.
#[derive(Debug, Clone)]
struct Heard {
    member: Member,
    token: Secret,
    /// From the answer of the sign-out to each revocation.
    revocations: Vec<Duration>,
    /// The sign-outs that they named.
    sign_outs: BTreeSet<String>,
    /// Anything else.
    strange: Vec<Frame>,
    /// Whether its socket was closed for it.
    is_closed: bool,
}

/// What came of the sign-out.
#[derive(Debug)]
pub struct Told {
    /// Its id.
    pub sign_out: String,
    /// From its answer to the first revocation of each device, in no order.
    pub pushes: Vec<Duration>,
    /// How many revocations came more than once.
    pub repeated: usize,
    /// From its answer until the receipt had everything.
    pub confirmed: Duration,
    /// The total of the receipt.
    pub total: Value,
    /// The devices of the receipt, over all its pages.
    pub devices: Vec<Value>,
    /// The tokens of the sessions that it ended.
    pub tokens: Vec<Secret>,
}

impl Crowd {
    /// Makes the devices, and opens a socket for each.
    ///
    /// # Panics
    /// When any can't be connected.
    pub async fn connect(devices: usize) -> Self {
        let household = Household::register().await;
        let laptop = household.sign_in(LAPTOP).await;
        let account: AccountId = laptop.account_id.parse().expect("an id");
        let store = stack::store();
        let rows = store.rows(account, &[]).await.expect("tables that answer");
        let epoch = rows.account.expect("an account").epoch;
        let (answered, is_answered) = watch::channel(None);
        let wiping = Arc::new(Semaphore::new(AT_ONCE));
        let api = DeviceApi::new(&stack::stack().api_url).expect("an address");
        let began = Instant::now();
        let members = stream::iter(0..devices)
            .map(|n| {
                let (store, api, is_answered) = (store.clone(), api.clone(), is_answered.clone());
                async move {
                    let planted = Planted::new(&store, account, epoch, n).await;
                    let member = Member {
                        device: planted.device,
                        session: planted.session,
                    };
                    let token = Secret::new(planted.token.as_str());
                    let socket = open(&api, &token).await;
                    (socket, api, token, member, is_answered)
                }
            })
            .buffer_unordered(AT_ONCE)
            .map(|(socket, api, token, member, is_answered)| {
                tokio::spawn(listen(
                    socket,
                    api,
                    token,
                    member,
                    is_answered,
                    wiping.clone(),
                ))
            })
            .collect()
            .await;
        Self {
            household,
            laptop,
            members,
            answered,
            connecting: began.elapsed(),
        }
    }

    /// The laptop signs out every device, its own included. Each device
    /// acknowledges, and the receipt is followed until it has all of them.
    ///
    /// # Panics
    /// When a device hears anything but its revocation, or nothing, or the receipt
    /// does not come to its end.
    pub async fn sign_out(self) -> Told {
        let expected = self.members.len() + 1;
        let answer = self.laptop.sign_out_scope("global").await;
        let at = Instant::now();
        self.answered.send_replace(Some(at));
        let sign_out = answer.done(200)["sign_out"]["id"]
            .as_str()
            .expect("an id")
            .to_owned();
        let path = format!("/v1/sign-outs/{sign_out}");
        let wiped = self.laptop.post(&format!("{path}/acknowledgement")).await;
        let _ = wiped.done(200);

        let mut heard = Vec::new();
        for member in self.members {
            heard.push(member.await.expect("a device that listens"));
        }
        let mut told = Told {
            sign_out,
            pushes: Vec::new(),
            repeated: 0,
            confirmed: Duration::ZERO,
            total: Value::Null,
            devices: Vec::new(),
            tokens: heard.iter().map(|one| one.token.clone()).collect(),
        };
        for one in &heard {
            assert_eq!(
                one.strange,
                [],
                "{} heard something else",
                one.member.device
            );
            let named: Vec<_> = one.sign_outs.iter().collect();
            assert_eq!(named, [&told.sign_out], "{}", one.member.device);
            assert!(one.is_closed, "{} was left connected", one.member.device);
            told.pushes.push(one.revocations[0]);
            told.repeated += one.revocations.len() - 1;
        }

        let reader = self.household.sign_in(LAPTOP).await;
        loop {
            let (total, devices) = read(&reader, &path).await;
            let is_whole = total["confirmed"] == json!(expected)
                && devices
                    .iter()
                    .all(|part| part["id"] == self.laptop.id || part["pushed_at"].is_string());
            if is_whole {
                told.confirmed = at.elapsed();
                (told.total, told.devices) = (total, devices);
                break;
            }
            assert!(at.elapsed() < PATIENCE, "the receipt stays at {total}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let ids: BTreeSet<_> = heard
            .iter()
            .map(|one| one.member.device.to_string())
            .collect();
        let shown: BTreeMap<_, _> = told
            .devices
            .iter()
            .map(|part| (part["id"].as_str().expect("an id").to_owned(), part))
            .collect();
        assert_eq!(shown.len(), told.devices.len(), "a device stands twice");
        assert!(ids.iter().all(|id| shown.contains_key(id)));
        told
    }
}

/// Opens the socket. A gateway that is busy is asked again.
async fn open(api: &DeviceApi, token: &Secret) -> Socket {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Socket::open(api, &stack::stack().socket_url, token).await {
            Ok(socket) => return socket,
            Err(SocketError::Refused(status)) if status < 429 => {
                panic!("a handshake was refused: {status}")
            }
            Err(error) => assert!(Instant::now() < deadline, "no socket: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits for the revocation, acknowledges it as `infra/docs/devices.md` says, and
/// listens on until the socket is closed.
async fn listen(
    mut socket: Socket,
    api: DeviceApi,
    token: Secret,
    member: Member,
    mut is_answered: watch::Receiver<Option<Instant>>,
    wiping: Arc<Semaphore>,
) -> Heard {
    let (mut turn, mut told, mut said) = (None, None, None);
    let mut heard = Heard {
        member,
        token: token.clone(),
        revocations: Vec::new(),
        sign_outs: BTreeSet::new(),
        strange: Vec::new(),
        is_closed: false,
    };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut grace = deadline;
    let mut is_called = false;
    loop {
        let next = tokio::select! {
            next = socket.next() => next,
            () = tokio::time::sleep_until(grace) => {
                assert!(grace < deadline, "{} waits in vain", member.device);
                // Nothing came of it: it says so again, by a call.
                acknowledge(&api, &token, &heard.sign_outs).await;
                (is_called, grace) = (true, deadline);
                continue;
            }
        };
        let at = Instant::now();
        match next {
            Ok(Some(Frame::SessionRevoked {
                session,
                signed_out,
            })) if session == member.session.to_string() => {
                // The push can overtake the answer.
                let answered = is_answered.wait_for(Option::is_some).await;
                let answered = answered.expect("an answer").expect("it is there");
                heard
                    .revocations
                    .push(at.saturating_duration_since(answered));
                let sign_out = signed_out.sign_out.expect("a sign-out's id");
                // Each takes its own time to wipe. When the socket is closed by then,
                // the call below says it.
                if turn.is_none() {
                    turn = wiping.clone().acquire_owned().await.ok();
                }
                told.get_or_insert(at);
                said = socket.acknowledge(&sign_out).await.ok();
                heard.sign_outs.insert(sign_out);
                grace = tokio::time::Instant::now() + GRACE;
            }
            Ok(Some(strange)) => heard.strange.push(strange),
            Ok(None) | Err(_) => break,
        }
    }
    heard.is_closed = true;
    // A socket that closes soon has taken the acknowledgement; later it may have
    // been closed because there was none.
    let is_taken = said.is_some() && told.is_some_and(|told| told.elapsed() < TAKEN);
    if !is_called && !is_taken {
        if turn.is_none() {
            turn = wiping.acquire_owned().await.ok();
        }
        acknowledge(&api, &token, &heard.sign_outs).await;
    }
    drop(turn);
    heard
}

/// Acknowledges by a call, until it is answered.
async fn acknowledge(api: &DeviceApi, token: &Secret, sign_outs: &BTreeSet<String>) {
    let deadline = Instant::now() + PATIENCE;
    for sign_out in sign_outs {
        while api.acknowledge(token, sign_out).await.is_err() {
            assert!(Instant::now() < deadline, "an acknowledgement is not taken");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// The receipt: its total, and its devices over all pages.
async fn read(reader: &crate::client::Device, path: &str) -> (Value, Vec<Value>) {
    let mut devices = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = reader.get(&format!("{path}?limit=400{cursor}")).await;
        let receipt = &page.done(200)["sign_out"];
        devices.extend(receipt["devices"].as_array().expect("devices").clone());
        match receipt["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (receipt["total"].clone(), devices),
        }
    }
}

fn row(
    account: AccountId,
    id: DeviceId,
    token: &Token,
    epoch: Epoch,
    n: usize,
    now: Timestamp,
) -> Device {
    Device {
        account,
        id,
        info: DeviceInfo {
            device_type: DeviceType::Tv,
            name: format!("Television {n}"),
            ..DeviceInfo::default()
        },
        own_name: None,
        place: Place::default(),
        session: SessionId::from_random(runtime::random()),
        token_hash: token.hash(),
        key_hash: DeviceKey::new(id, runtime::random()).hash(),
        previous_key_hash: None,
        epoch,
        first_signed_in_at: now,
        signed_in_at: now,
        verified_at: now,
        last_active_at: now,
        expires_at: Limits::default().expires_at(now),
        state: DeviceState::SignedIn,
        contacted_at: None,
    }
}
