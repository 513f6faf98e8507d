//! An account whose rows are fixed to the byte, written by the store itself, and the
//! functions of the fan-out over [`FakeAws`]. With fixed rows two runs can be
//! compared.

use std::collections::HashMap;
use std::sync::Arc;

use curfew_tests::account::EMAIL;
use curfew_tests::background::{Background, SWEEP_QUEUE};
use curfew_tests::bundle::Bundle;
use curfew_tests::delivery::{Published, failed_messages, queue_event, queue_event_after};
use curfew_tests::fake_aws::FakeAws;
use curfew_tests::tables;
use domain::password::StoredHash;
use domain::{
    Account, AccountId, Authenticated, ByDevice, Device, DeviceId, DeviceInfo, DeviceKeyHash,
    DeviceState, EmailAddress, EndedSession, Epoch, Limits, Place, Reason, Scope, SessionId,
    SignOut, SignOutId, SignOutTarget, Timestamp, TokenHash,
};
use publish_revocations::StreamEvent;
use runtime::Clock;
use serde_json::{Value, json};
use store::{Store, WriteOutcome};

/// One account, its devices, and the functions of the fan-out.
pub struct FanOut {
    pub aws: Arc<FakeAws>,
    pub store: Store,
    pub limits: Limits,
    pub account: Account,
    pub clock: Clock,
    background: Background,
}

impl FanOut {
    pub async fn new(page_size: i32) -> Self {
        let aws = FakeAws::new();
        let clients = aws.clients();
        let clock = Clock::fixed(at(0));
        let bundle = Bundle::new(clients.dynamodb(), clock.clone());
        let mut background = Background::new(&clients, &bundle);
        background.sweep.page_size = page_size;
        let (store, limits) = (bundle.store, bundle.limits);
        let account = Account {
            id: AccountId::from_random([0xaa; 16]),
            email: EMAIL.to_owned(),
            password_hash: StoredHash::parse(
                "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$\
                 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            )
            .unwrap(),
            epoch: Epoch::FIRST,
            kept_session: None,
            disabled_at: None,
            created_at: at(0),
            confirmed_at: None,
            recovered_at: None,
            recovered_epoch: None,
            factors: Vec::new(),
            factors_lost_at: None,
            hold: None,
            address_change: None,
            sign_in_codes: false,
        };
        let address = EmailAddress::parse(EMAIL).unwrap();
        Box::pin(store.register(&account, &address)).await.unwrap();
        Self {
            aws,
            store,
            limits,
            account,
            clock,
            background,
        }
    }

    /// Signs a device in with a session in the account's epoch.
    pub async fn sign_in(&self, device: u8, session: u8) -> Device {
        let before = self
            .devices()
            .await
            .remove(&device_id(device))
            .map(|device| device.session);
        let device = device_row(device, session, self.account.epoch);
        let signed_in = self.store.sign_in(&device, before, &self.limits).await;
        assert_eq!(signed_in.unwrap(), WriteOutcome::Done);
        device
    }

    /// Signs a device in again whose session a sign-out of many has ended and the
    /// sweep has not marked yet.
    pub async fn sign_in_over(&self, ended_by: &SignOut, device: u8, session: u8) -> Device {
        let before = self.devices().await.remove(&device_id(device)).unwrap();
        let replaced = EndedSession::from(&before);
        let device = device_row(device, session, self.account.epoch);
        let ended = ended_by.end_info();
        let signed_in = self
            .store
            .replace_unswept_session(&device, &replaced, &ended, &self.limits)
            .await;
        assert_eq!(signed_in.unwrap(), WriteOutcome::Done);
        device
    }

    /// Returns the caller that a device of the account authenticates as.
    pub fn caller(&self, device: &Device) -> Authenticated {
        Authenticated {
            account: self.account.clone(),
            device: device.clone(),
        }
    }

    /// Signs out every device, or every one but the caller's.
    pub async fn sign_out_scope(&mut self, by: &Device, scope: Scope, n: u8) -> SignOut {
        let kept = (scope == Scope::Others).then_some(by.session);
        let sign_out = SignOut {
            target: SignOutTarget::Epoch {
                from: self.account.epoch,
                ended: self.account.epoch,
                kept,
            },
            ..sign_out(by, scope, n)
        };
        let caller = self.caller(by);
        let act = self
            .store
            .sign_out_all(&caller, &sign_out, &self.limits)
            .await;
        assert_eq!(act.unwrap(), WriteOutcome::Done);
        self.account.epoch = self.account.epoch.next();
        self.account.kept_session = kept;
        sign_out
    }

    /// Delivers records of a stream, and returns the numbers of those that failed.
    pub async fn publish(&self, records: Vec<Value>) -> Vec<String> {
        let response =
            publish_revocations::handle(&self.background.publish, StreamEvent { records }).await;
        response
            .batch_item_failures
            .into_iter()
            .map(|failure| failure.item_identifier.unwrap())
            .collect()
    }

    /// Publishes a sign-out, and returns its message.
    pub async fn announce(&self, sign_out: &SignOut) -> Published {
        assert_eq!(
            self.publish(vec![self.header_record(sign_out)]).await,
            [""; 0]
        );
        self.aws.published().pop().unwrap()
    }

    /// Returns the record of a sign-out in the stream of Receipts.
    pub fn header_record(&self, sign_out: &SignOut) -> Value {
        let id = sign_out.id.to_string();
        let rows = self.rows(tables::RECEIPTS);
        let row = rows
            .into_iter()
            .find(|row| row["sign_out_id"]["S"] == json!(id))
            .unwrap();
        record(&id, "INSERT", &row, None)
    }

    /// Returns every row of a table.
    pub fn rows(&self, table: &str) -> Vec<Value> {
        self.aws.rows(table)
    }

    /// Returns the row of a device's part in the receipt of a sign-out.
    pub fn part(&self, sign_out: &SignOut, device: u8) -> Value {
        let name = json!(format!("{}#{}", sign_out.id, device_id(device)));
        let mut rows = self.rows(tables::RECEIPTS).into_iter();
        rows.find(|row| row["sign_out_id"]["S"] == name).unwrap()
    }

    /// Delivers a message to the sweep, and returns whether it succeeds.
    pub async fn deliver(&self, body: &str, after: Option<&str>) -> bool {
        let event = queue_event_after(body, after);
        let response = sweep::handle(&self.background.sweep, event).await;
        failed_messages(response).is_empty()
    }

    /// Delivers messages to the sweep in one batch, and returns the numbers of those
    /// that failed.
    pub async fn deliver_batch(&self, bodies: &[&str]) -> Vec<String> {
        let event = queue_event(bodies);
        failed_messages(sweep::handle(&self.background.sweep, event).await)
    }

    /// Delivers a message to the sweep and every one that it sends itself, each until
    /// it succeeds.
    pub async fn sweep_to_the_end(&self, body: &str) {
        let mut waiting = vec![(body.to_owned(), None)];
        let mut deliveries = 0;
        while let Some((body, after)) = waiting.pop() {
            deliveries += 1;
            assert!(deliveries < 200, "the sweep never ends");
            let is_done = self.deliver(&body, after.as_deref()).await;
            waiting.extend(self.next_pages());
            if !is_done {
                waiting.push((body, after));
            }
        }
    }

    /// Returns the messages that the sweep has sent itself, and clears them.
    pub fn next_pages(&self) -> Vec<(String, Option<String>)> {
        let queued = self.aws.take_queued().into_iter();
        queued
            .map(|mut queued| {
                assert_eq!(queued.queue, SWEEP_QUEUE);
                (queued.body, queued.attributes.remove("after"))
            })
            .collect()
    }

    /// Reads the rows of the devices.
    pub async fn devices(&self) -> HashMap<DeviceId, Device> {
        let page = self
            .store
            .devices(self.account.id, None, 100)
            .await
            .unwrap();
        page.devices
            .into_iter()
            .map(|device| (device.id, device))
            .collect()
    }

    /// Returns the sign-out that a device's row names as its end.
    pub async fn marked_by(&self, device: u8) -> Option<SignOutId> {
        match &self.devices().await[&device_id(device)].state {
            DeviceState::SignedIn => None,
            DeviceState::SignedOut(ended) => Some(ended.sign_out),
        }
    }
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub fn device_id(n: u8) -> DeviceId {
    DeviceId::new(at(i64::from(n)), [n; 10])
}

pub fn session_id(n: u8) -> SessionId {
    SessionId::from_random([n; 16])
}

/// Returns a row with canaries in every field that must not be in any message.
pub fn device_row(device: u8, session: u8, epoch: Epoch) -> Device {
    Device {
        account: AccountId::from_random([0xaa; 16]),
        id: device_id(device),
        info: DeviceInfo {
            name: "canary-name".to_owned(),
            ..DeviceInfo::default()
        },
        owner_name: Some("canary-owner-name".to_owned()),
        reported_name: Some("canary-reported-name".to_owned()),
        place: Place {
            ip: Some("203.0.113.77".to_owned()),
            city: Some("canary-city".to_owned()),
            country: Some("XK".to_owned()),
        },
        active_place: Place {
            ip: Some("203.0.113.78".to_owned()),
            city: Some("canary-active-city".to_owned()),
            country: Some("XY".to_owned()),
        },
        session: session_id(session),
        token_hash: TokenHash::from_bytes([0xca; 32]),
        key_hash: DeviceKeyHash::from_bytes([0xcb; 32]),
        epoch,
        last_epoch: epoch,
        first_signed_in_at: at(100),
        signed_in_at: at(100),
        previous_token: None,
        verified_at: Some(at(100)),
        last_active_at: at(100),
        expires_at: at(31_536_100),
        state: DeviceState::SignedIn,
        seen_at: None,
        notified_at: None,
        recognized_until: None,
        notice_session: session_id(session),
        ending_acts: domain::device::EndingActs::default(),
        unproven_acts: domain::device::UnprovenActs::default(),
    }
}

/// Returns a sign-out of the caller's own session.
pub fn sign_out(by: &Device, scope: Scope, n: u8) -> SignOut {
    let requested_at = at(1_000 + i64::from(n));
    SignOut {
        account: by.account,
        id: SignOutId::new(requested_at, [n; 10]),
        scope,
        reason: Reason::SignedOut,
        at: requested_at,
        by: Some(ByDevice {
            id: by.id,
            name: "canary-name".to_owned(),
        }),
        target: SignOutTarget::One(EndedSession::from(by)),
    }
}

/// Returns a record of a stream, as Lambda delivers it.
pub fn record(event_id: &str, event_name: &str, new: &Value, old: Option<&Value>) -> Value {
    let mut record = json!({
        "eventID": event_id,
        "eventName": event_name,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "eu-central-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1_800_002_000,
            "Keys": {},
            "NewImage": new,
            "SequenceNumber": format!("seq-{event_id}"),
            "SizeBytes": 1,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        "eventSourceARN": "arn:aws:dynamodb:eu-central-1:1:table/Receipts/stream/1",
    });
    if let Some(old) = old {
        record["dynamodb"]["OldImage"] = old.clone();
    }
    record
}
