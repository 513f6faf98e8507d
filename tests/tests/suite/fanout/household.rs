//! A household over the embedded DynamoDB, with the fan-out behind it.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lambda_events::sqs::SqsEvent;
use curfew_tests::tables;
use domain::password::StoredHash;
use domain::{
    Account, AccountId, Authenticated, ByDevice, Device, DeviceId, DeviceInfo, DeviceKeyHash,
    DeviceState, EmailAddress, EndedSession, Epoch, Limits, Place, Reason, Scope, SessionId,
    SignOut, SignOutId, SignOutTarget, Timestamp, TokenHash,
};
use events::Topic;
use publish_revocations::{StreamEvent, Unpublished};
use serde_json::{Value, json};
use store::{Store, WriteOutcome};
use sweep::Queue;

use super::network::{Network, Published};

pub const ISSUER: &str = "https://curfew.example";
pub const SWEEP_QUEUE: &str = "http://queues.invalid/sweep";
pub const UNPUBLISHED_QUEUE: &str = "http://queues.invalid/unpublished";

/// One account, its devices, and the functions of the fan-out.
pub struct Household {
    pub network: Arc<Network>,
    pub store: Store,
    pub limits: Limits,
    pub account: Account,
    publish: publish_revocations::Deps,
    sweep: sweep::Deps,
}

impl Household {
    pub async fn new(page_size: i32) -> Self {
        let network = Network::new();
        let clients = network.clients();
        let store = Store::new(clients.dynamodb(), tables::names());
        let limits = Limits::default();
        let topic = Topic::new(
            clients.sns(),
            "arn:aws:sns:eu-central-1:1:events".to_owned(),
        );
        let email = "anna@example.com";
        let account = Account {
            id: AccountId::from_random([0xaa; 16]),
            email: email.to_owned(),
            password_hash: StoredHash::parse(
                "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$\
                 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            )
            .unwrap(),
            epoch: Epoch::FIRST,
            kept_session: None,
            disabled_at: None,
            created_at: at(0),
        };
        let address = EmailAddress::parse(email).unwrap();
        store.register(&account, &address).await.unwrap();
        Self {
            publish: publish_revocations::Deps {
                topic: topic.clone(),
                unpublished: Unpublished::new(clients.clone(), UNPUBLISHED_QUEUE.to_owned()),
                issuer: ISSUER.to_owned(),
            },
            sweep: sweep::Deps {
                store: store.clone(),
                topic,
                queue: Queue::new(clients.sqs(), SWEEP_QUEUE.to_owned()),
                issuer: ISSUER.to_owned(),
                page_size,
                limits,
            },
            network,
            store,
            limits,
            account,
        }
    }

    /// Signs a device in with a session of its own, in the account's epoch.
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

    /// Signs a device in again over a session that a sign-out of many has ended and
    /// that is not marked yet, as a sign-in does.
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

    /// The caller that a device of the account is authenticated as.
    pub fn caller(&self, device: &Device) -> Authenticated {
        Authenticated {
            account: self.account.clone(),
            device: device.clone(),
        }
    }

    /// Signs every device out, or every one but the caller's.
    pub async fn sign_out_all(&mut self, by: &Device, scope: Scope, n: u8) -> SignOut {
        let kept = (scope == Scope::Others).then_some(by.session);
        let sign_out = SignOut {
            target: SignOutTarget::Epoch {
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

    /// Publishes records of a stream.
    pub async fn publish(&self, records: Vec<Value>) -> Vec<String> {
        let response = publish_revocations::handle(&self.publish, StreamEvent { records }).await;
        response
            .batch_item_failures
            .into_iter()
            .map(|failure| failure.item_identifier.unwrap())
            .collect()
    }

    /// What the topic is sent for a sign-out.
    pub async fn announce(&self, sign_out: &SignOut) -> Published {
        assert_eq!(
            self.publish(vec![self.header_record(sign_out)]).await,
            [""; 0]
        );
        self.network.published().pop().unwrap()
    }

    /// The record that the stream of Receipts has for a sign-out.
    pub fn header_record(&self, sign_out: &SignOut) -> Value {
        let id = sign_out.id.to_string();
        let rows = self.rows(tables::RECEIPTS);
        let row = rows
            .into_iter()
            .find(|row| row["sign_out_id"]["S"] == json!(id))
            .unwrap();
        record(&id, "INSERT", &row, None)
    }

    /// Every row of a table, as the wire has it.
    pub fn rows(&self, table: &str) -> Vec<Value> {
        let rows = self.network.engine.rows(table);
        rows.iter()
            .map(|row| serde_json::to_value(row).unwrap())
            .collect()
    }

    /// The part of a device in the receipt of a sign-out, as the wire has it.
    pub fn part(&self, sign_out: &SignOut, device: u8) -> Value {
        let name = json!(format!("{}#{}", sign_out.id, device_id(device)));
        let mut rows = self.rows(tables::RECEIPTS).into_iter();
        rows.find(|row| row["sign_out_id"]["S"] == name).unwrap()
    }

    /// Delivers a message to the sweep; whether it is settled.
    pub async fn deliver(&self, body: &str, after: Option<&str>) -> bool {
        let mut message = json!({ "messageId": "m-0", "body": body, "messageAttributes": {} });
        if let Some(after) = after {
            message["messageAttributes"] =
                json!({ "after": { "stringValue": after, "dataType": "String" } });
        }
        self.sweep(json!([message])).await.is_empty()
    }

    /// Delivers messages to the sweep at once, and names those that failed.
    pub async fn deliver_batch(&self, bodies: &[&str]) -> Vec<String> {
        let messages = bodies.iter().enumerate();
        let messages: Vec<Value> = messages
            .map(|(n, body)| json!({ "messageId": format!("m-{n}"), "body": body }))
            .collect();
        self.sweep(json!(messages)).await
    }

    async fn sweep(&self, messages: Value) -> Vec<String> {
        let event: SqsEvent = serde_json::from_value(json!({ "Records": messages })).unwrap();
        let response = sweep::handle(&self.sweep, event).await;
        response
            .batch_item_failures
            .into_iter()
            .map(|failure| failure.item_identifier.unwrap())
            .collect()
    }

    /// Delivers a message to the sweep, and every one that it sends itself, each
    /// until it is settled.
    pub async fn sweep_to_the_end(&self, body: &str) {
        let mut waiting = vec![(body.to_owned(), None)];
        let mut deliveries = 0;
        while let Some((body, after)) = waiting.pop() {
            deliveries += 1;
            assert!(deliveries < 200, "the sweep has no end");
            let is_settled = self.deliver(&body, after.as_deref()).await;
            waiting.extend(self.next_pages());
            if !is_settled {
                waiting.push((body, after));
            }
        }
    }

    /// What the sweep has sent itself since it was last asked.
    pub fn next_pages(&self) -> Vec<(String, Option<String>)> {
        let queued = self.network.take_queued().into_iter();
        queued
            .map(|mut queued| {
                assert_eq!(queued.queue, SWEEP_QUEUE);
                (queued.body, queued.attributes.remove("after"))
            })
            .collect()
    }

    /// The devices as their rows have them.
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

    /// By which sign-out a device's row says that it was ended.
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

/// A row full of what must not be in any message.
pub fn device_row(device: u8, session: u8, epoch: Epoch) -> Device {
    Device {
        account: AccountId::from_random([0xaa; 16]),
        id: device_id(device),
        info: DeviceInfo {
            name: "canary-name".to_owned(),
            ..DeviceInfo::default()
        },
        own_name: Some("canary-own-name".to_owned()),
        place: Place {
            ip: Some("203.0.113.77".to_owned()),
            city: Some("canary-city".to_owned()),
            country: Some("XK".to_owned()),
        },
        session: session_id(session),
        token_hash: TokenHash::from_bytes([0xca; 32]),
        key_hash: DeviceKeyHash::from_bytes([0xcb; 32]),
        previous_key_hash: None,
        epoch,
        first_signed_in_at: at(100),
        signed_in_at: at(100),
        verified_at: at(100),
        last_active_at: at(100),
        expires_at: at(31_536_100),
        state: DeviceState::SignedIn,
        contacted_at: None,
    }
}

/// A sign-out of the caller's own session.
pub fn sign_out(by: &Device, scope: Scope, n: u8) -> SignOut {
    let asked_at = at(1_000 + i64::from(n));
    SignOut {
        account: by.account,
        id: SignOutId::new(asked_at, [n; 10]),
        scope,
        reason: Reason::SignedOut,
        at: asked_at,
        by: Some(ByDevice {
            id: by.id,
            name: "canary-name".to_owned(),
        }),
        target: SignOutTarget::One(EndedSession::from(by)),
    }
}

/// A record of a stream, as Lambda hands it over.
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
