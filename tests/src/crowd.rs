//! Many connected devices of one account on the deployed stack, all of which one
//! sign-out reaches.

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

/// The maximum number of concurrent handshakes and acknowledgements. The local AWS
/// starts a process for each concurrent call.
const AT_ONCE: usize = 16;

/// The time after which anything counts as lost.
const PATIENCE: Duration = Duration::from_mins(10);

/// The time that a device waits for its socket to close after its acknowledgement,
/// before it acknowledges over HTTP.
const GRACE: Duration = Duration::from_secs(10);

/// When a socket closes within this time after the revocation, the acknowledgement was
/// accepted.
const ACCEPTED: Duration = Duration::from_secs(4);

/// The connected devices of an account, and the laptop that signs them out.
#[derive(Debug)]
pub struct Crowd {
    household: Household,
    laptop: crate::client::Device,
    members: Vec<JoinHandle<Received>>,
    answered: watch::Sender<Option<Instant>>,
    /// The time of all handshakes together.
    pub connecting: Duration,
}

/// A device whose row the store wrote without a sign-in, because a password hash for
/// each of many devices would measure Argon2.
#[derive(Debug, Clone)]
pub struct WrittenDevice {
    /// Its id.
    pub device: DeviceId,
    /// Its session.
    pub session: SessionId,
    /// Its token.
    pub token: String,
}

impl WrittenDevice {
    /// Writes the row of the television with this number, in the given epoch.
    ///
    /// # Panics
    /// When its row can't be written.
    pub async fn new(store: &Store, account: AccountId, epoch: Epoch, n: usize) -> Self {
        let now = Clock::System.now();
        let id = DeviceId::new(now, runtime::random());
        let token = Token::new(account, id, runtime::random());
        let row = row(account, id, &token, epoch, n, now);
        let written = store.sign_in(&row, None, &Limits::default()).await;
        // A retried put has written the row, too.
        written.expect("a new row");
        let token = token.to_text().to_string();
        remember(&[&token]);
        Self {
            device: id,
            session: row.session,
            token,
        }
    }
}

/// What one device received.
#[derive(Debug, Clone)]
struct Received {
    member: WrittenDevice,
    /// The time from the answer of the sign-out to each revocation.
    revocations: Vec<Duration>,
    /// The sign-outs in the revocations.
    sign_outs: BTreeSet<String>,
    /// Other frames.
    other: Vec<Frame>,
    /// Whether the functions closed its socket.
    is_closed: bool,
}

/// The result of the sign-out.
#[derive(Debug)]
pub struct Report {
    /// Its id.
    pub sign_out: String,
    /// The time from its answer to the first revocation of each device, in no order.
    pub pushes: Vec<Duration>,
    /// The number of repeated revocations.
    pub repeated: usize,
    /// The time from its answer until the receipt was complete.
    pub wiped: Duration,
    /// The total of the receipt.
    pub total: Value,
    /// The devices of the receipt, over all its pages.
    pub devices: Vec<Value>,
    /// The tokens of the sessions that it ended.
    pub tokens: Vec<Secret>,
}

impl Crowd {
    /// Writes the devices, and opens a socket for each.
    ///
    /// # Panics
    /// When a device can not be connected.
    pub async fn connect(devices: usize) -> Self {
        let household = Household::register().await;
        let laptop = household.sign_in(LAPTOP).await;
        let account: AccountId = laptop.account_id.parse().expect("an id");
        let store = stack::store();
        let rows = store.rows(account, &[]).await.expect("the tables answer");
        let epoch = rows.account.expect("an account").epoch;
        let (answered, is_answered) = watch::channel(None);
        let wiping = Arc::new(Semaphore::new(AT_ONCE));
        let api = DeviceApi::new(&stack::stack().api_url).expect("an address");
        let began = Instant::now();
        let members = stream::iter(0..devices)
            .map(|n| {
                let (store, api, is_answered) = (store.clone(), api.clone(), is_answered.clone());
                async move {
                    let member = WrittenDevice::new(&store, account, epoch, n).await;
                    let socket = open(&api, &Secret::new(&*member.token)).await;
                    (socket, api, member, is_answered)
                }
            })
            .buffer_unordered(AT_ONCE)
            .map(|(socket, api, member, is_answered)| {
                tokio::spawn(listen(socket, api, member, is_answered, wiping.clone()))
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

    /// Signs out every device including the laptop. Each device acknowledges, and the
    /// receipt is read until it is complete.
    ///
    /// # Panics
    /// When a device receives another frame or none, or the receipt stays incomplete.
    pub async fn sign_out(self) -> Report {
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

        let mut received = Vec::new();
        for member in self.members {
            received.push(member.await.expect("a device that listens"));
        }
        let mut report = Report {
            sign_out,
            pushes: Vec::new(),
            repeated: 0,
            wiped: Duration::ZERO,
            total: Value::Null,
            devices: Vec::new(),
            tokens: received
                .iter()
                .map(|one| Secret::new(&*one.member.token))
                .collect(),
        };
        for one in &received {
            assert_eq!(
                one.other,
                [],
                "{} received another frame",
                one.member.device
            );
            let named: Vec<_> = one.sign_outs.iter().collect();
            assert_eq!(named, [&report.sign_out], "{}", one.member.device);
            assert!(one.is_closed, "{} is still connected", one.member.device);
            report.pushes.push(one.revocations[0]);
            report.repeated += one.revocations.len() - 1;
        }

        let reader = self.household.sign_in(LAPTOP).await;
        loop {
            let (total, devices) = read(&reader, &path).await;
            let is_whole = total["wiped"] == json!(expected)
                && devices
                    .iter()
                    .all(|part| part["id"] == self.laptop.id || part["notified_at"].is_string());
            if is_whole {
                report.wiped = at.elapsed();
                (report.total, report.devices) = (total, devices);
                break;
            }
            assert!(at.elapsed() < PATIENCE, "the receipt stays at {total}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let ids: BTreeSet<_> = received
            .iter()
            .map(|one| one.member.device.to_string())
            .collect();
        let shown: BTreeMap<_, _> = report
            .devices
            .iter()
            .map(|part| (part["id"].as_str().expect("an id").to_owned(), part))
            .collect();
        assert_eq!(
            shown.len(),
            report.devices.len(),
            "a device is listed twice"
        );
        assert!(ids.iter().all(|id| shown.contains_key(id)));
        report
    }
}

/// Opens the socket, and retries when the gateway is busy.
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

/// Waits for the revocation, acknowledges it as `infra/docs/devices.md` describes, and
/// waits until the socket is closed.
async fn listen(
    mut socket: Socket,
    api: DeviceApi,
    member: WrittenDevice,
    mut is_answered: watch::Receiver<Option<Instant>>,
    wiping: Arc<Semaphore>,
) -> Received {
    let token = Secret::new(&*member.token);
    let (mut turn, mut first, mut sent) = (None, None, None);
    let mut received = Received {
        member: member.clone(),
        revocations: Vec::new(),
        sign_outs: BTreeSet::new(),
        other: Vec::new(),
        is_closed: false,
    };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut grace = deadline;
    let mut is_called = false;
    loop {
        let next = tokio::select! {
            next = socket.next() => next,
            () = tokio::time::sleep_until(grace) => {
                assert!(grace < deadline, "{} received nothing", member.device);
                // The socket is still open: acknowledge over HTTP.
                acknowledge(&api, &token, &received.sign_outs).await;
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
                received
                    .revocations
                    .push(at.saturating_duration_since(answered));
                let sign_out = signed_out.sign_out.expect("a sign-out's id");
                // Wiping takes time. When the socket is closed before, the call below
                // acknowledges.
                if turn.is_none() {
                    turn = wiping.clone().acquire_owned().await.ok();
                }
                first.get_or_insert(at);
                sent = socket.acknowledge(&sign_out).await.ok();
                received.sign_outs.insert(sign_out);
                grace = tokio::time::Instant::now() + GRACE;
            }
            Ok(Some(other)) => received.other.push(other),
            Ok(None) | Err(_) => break,
        }
    }
    received.is_closed = true;
    // A socket that closed late may have been closed for want of an acknowledgement.
    let is_accepted = sent.is_some() && first.is_some_and(|first| first.elapsed() < ACCEPTED);
    if !is_called && !is_accepted {
        if turn.is_none() {
            turn = wiping.acquire_owned().await.ok();
        }
        acknowledge(&api, &token, &received.sign_outs).await;
    }
    drop(turn);
    received
}

/// Acknowledges over HTTP, until it succeeds.
async fn acknowledge(api: &DeviceApi, token: &Secret, sign_outs: &BTreeSet<String>) {
    let deadline = Instant::now() + PATIENCE;
    for sign_out in sign_outs {
        while api.acknowledge(token, sign_out).await.is_err() {
            assert!(
                Instant::now() < deadline,
                "an acknowledgement is not accepted"
            );
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Returns the total of the receipt, and its devices from all pages.
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
    let session = SessionId::from_random(runtime::random());
    Device {
        account,
        id,
        info: DeviceInfo {
            device_type: DeviceType::Tv,
            name: format!("Television {n}"),
            ..DeviceInfo::default()
        },
        owner_name: None,
        reported_name: None,
        place: Place::default(),
        active_place: Place::default(),
        session,
        token_hash: token.hash(),
        key_hash: DeviceKey::new(now, runtime::random()).hash_in(account),
        epoch,
        last_epoch: epoch,
        first_signed_in_at: now,
        signed_in_at: now,
        previous_token: None,
        verified_at: Some(now),
        last_active_at: now,
        expires_at: Limits::default().expires_at(now),
        state: DeviceState::SignedIn,
        seen_at: None,
        notified_at: None,
        recognized_until: None,
        notice_session: session,
        ending_acts: domain::device::EndingActs::default(),
        unproven_acts: domain::device::UnprovenActs::default(),
    }
}
