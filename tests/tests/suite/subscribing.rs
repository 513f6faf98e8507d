//! `infra/docs/subscribing.md` with the code of `infra/example`: a queue with a filter
//! policy, and an HTTPS endpoint (over HTTP here: the local AWS has no TLS and signs
//! nothing). Both get real revocations.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use curfew::root;
use curfew_tests::aws::{Call, Principal};
use curfew_tests::client::{Api, Device, Household, LAPTOP, PHONE, TV, unique};
use curfew_tests::stack::stack;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use subscriber::{Certificates, Endpoint, Revocation, Session, Streams};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

/// The maximum time for background work.
const PATIENCE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(50);

/// Returns a device's session as introspection describes it.
async fn session(device: &Device) -> Session {
    let answer = crate::introspect::Service::new()
        .await
        .ask(&device.token)
        .await;
    let answer = answer.success().unwrap();
    Session {
        account_id: answer["sub"].as_str().unwrap().to_owned(),
        session_id: answer["session_id"].as_str().unwrap().to_owned(),
        epoch: answer["epoch"].as_u64().unwrap(),
    }
}

/// Calls a service that accepts forms, as the root user.
async fn form(service: &'static str, version: &str, fields: &[(&str, &str)]) -> String {
    let call = Call::form(service, version, fields);
    let outcome = Principal::root().call(&call).await.unwrap();
    assert_eq!(outcome.status, 200, "{}", outcome.text);
    outcome.text
}

/// Returns the text of every XML element with a name.
fn elements<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    text.split(&open)
        .skip(1)
        .filter_map(|rest| rest.split_once(&close))
        .map(|(inner, _)| inner)
        .collect()
}

/// A deployed stack of `infra/example/subscription.yaml`.
struct Queue {
    url: String,
    root: Principal,
}

impl Queue {
    async fn deploy() -> Self {
        let path = root().join("infra/example/subscription.yaml");
        let template = fs::read_to_string(path).unwrap();
        let name = format!("subscription-{}", unique());
        let version = "2010-05-15";
        let fields = [
            ("Action", "CreateStack"),
            ("StackName", &*name),
            ("TemplateBody", &*template),
            ("Parameters.member.1.ParameterKey", "TopicArn"),
            ("Parameters.member.1.ParameterValue", &*stack().topic_arn),
        ];
        form("cloudformation", version, &fields).await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let fields = [("Action", "DescribeStacks"), ("StackName", &*name)];
            let described = form("cloudformation", version, &fields).await;
            match elements(&described, "StackStatus")[0] {
                "CREATE_COMPLETE" => {
                    let names = elements(&described, "OutputKey");
                    let values = elements(&described, "OutputValue");
                    let mut outputs = names.into_iter().zip(values);
                    let url = outputs.find(|(name, _)| *name == "QueueUrl").unwrap().1;
                    return Self {
                        url: url.to_owned(),
                        root: Principal::root(),
                    };
                }
                "CREATE_IN_PROGRESS" => {}
                other => panic!("{other}: {described}"),
            }
            assert!(Instant::now() < deadline, "{described}");
            sleep(POLL).await;
        }
    }

    /// Waits for as many messages about an account, and returns them.
    async fn hear(&self, account: &str, count: usize) -> Vec<(Value, Revocation)> {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        while heard.len() < count {
            assert!(Instant::now() < deadline, "only {heard:#?}");
            let receive = json!({
                "QueueUrl": self.url,
                "WaitTimeSeconds": 1,
                "MaxNumberOfMessages": 10,
                "MessageAttributeNames": ["All"],
            });
            let received = self.call("ReceiveMessage", &receive).await;
            for message in received["Messages"].as_array().into_iter().flatten() {
                let body = message["Body"].as_str().unwrap();
                let revocation = Revocation::read(body).unwrap();
                let revocation = revocation.expect("an event that ends no session");
                if revocation.account_id() == account {
                    heard.push((message["MessageAttributes"].clone(), revocation));
                }
                let handle = &message["ReceiptHandle"];
                let done = json!({ "QueueUrl": self.url, "ReceiptHandle": handle });
                self.call("DeleteMessage", &done).await;
            }
        }
        heard
    }

    async fn call(&self, action: &str, body: &Value) -> Value {
        let outcome = self.root.call(&Call::sqs(action, body)).await.unwrap();
        assert_eq!(outcome.status, 200, "{}", outcome.text);
        serde_json::from_str(&outcome.text).unwrap_or_default()
    }
}

#[tokio::test]
async fn a_queue_with_the_filter_policy_gets_the_ends_and_not_the_begins_of_sessions() {
    let queue = Queue::deploy().await;
    let household = Household::register().await;
    let laptop = household.sign_in(LAPTOP).await;
    let (tv, phone) = (household.sign_in(TV).await, household.sign_in(PHONE).await);
    let (tv_session, phone_session) = (session(&tv).await, session(&phone).await);
    let laptop_session = session(&laptop).await;

    let _ = laptop.sign_out(&tv.id).await.done(200);
    let one = queue.hear(&laptop.account_id, 1).await;
    let _ = laptop.sign_out_scope("others").await.done(200);
    let others = queue.hear(&laptop.account_id, 2).await;

    let (attributes, one) = &one[0];
    assert_eq!(attributes["event_type"]["StringValue"], "session-revoked");
    assert!(one.ends(&tv_session));
    assert!(!one.ends(&phone_session) && !one.ends(&laptop_session));
    // One event of the account, and those that the sweep publishes for each session.
    let kinds: BTreeSet<&str> = others
        .iter()
        .map(|(attributes, _)| attributes["event_type"]["StringValue"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["other-sessions-revoked", "session-revoked"].into());
    for (_, revocation) in &others {
        assert!(revocation.ends(&phone_session), "{revocation:?}");
        assert!(!revocation.ends(&laptop_session), "{revocation:?}");
    }
}

#[tokio::test]
async fn a_device_that_has_signed_in_again_is_not_ended_by_an_older_message() {
    let queue = Queue::deploy().await;
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;
    let before = session(&tv).await;
    let _ = tv.sign_out_scope("global").await.done(200);
    let again = json!({ "device_key": tv.key });
    let again = household.sign_in_with(TV, again).await;
    assert_eq!(again.id, tv.id);
    let after = session(&again).await;

    let heard = queue.hear(&tv.account_id, 1).await;

    assert!(heard.iter().any(|(_, revocation)| revocation.ends(&before)));
    assert!(heard.iter().all(|(_, revocation)| !revocation.ends(&after)));
}

/// A service with open streams, and its endpoint.
struct Service {
    streams: Streams,
    address: SocketAddr,
}

impl Service {
    async fn start() -> Self {
        let streams = Streams::default();
        let endpoint = Endpoint::new(&stack().topic_arn, Certificates::new(), streams.clone());
        let endpoint = endpoint.unwrap().of_local_aws(&stack().aws.endpoint_url);
        let endpoint = Arc::new(endpoint);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let endpoint = endpoint.clone();
                tokio::spawn(async move {
                    let answer = service_fn(async |request| {
                        Ok::<_, std::convert::Infallible>(endpoint.answer(request).await)
                    });
                    http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answer)
                        .await
                });
            }
        });
        Self { streams, address }
    }

    /// Subscribes the endpoint to the events of an account.
    async fn subscribe(&self, topic: &str, account: &str) {
        let filter = json!({
            "event_type": ["session-revoked", "other-sessions-revoked"],
            "account_id": [account],
        });
        let fields = [
            ("Action", "Subscribe"),
            ("TopicArn", topic),
            ("Protocol", "http"),
            ("Endpoint", &*self.url()),
            ("Attributes.entry.1.key", "FilterPolicy"),
            ("Attributes.entry.1.value", &*filter.to_string()),
        ];
        form("sns", "2010-03-31", &fields).await;
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Returns whether the subscription to a topic is confirmed.
    async fn is_confirmed(&self, topic: &str) -> bool {
        let fields = [("Action", "ListSubscriptionsByTopic"), ("TopicArn", topic)];
        let listed = form("sns", "2010-03-31", &fields).await;
        let members = elements(&listed, "member");
        let ours = members.iter().find(|one| one.contains(&self.url()));
        let arn = elements(ours.unwrap(), "SubscriptionArn")[0];
        let action = ("Action", "GetSubscriptionAttributes");
        let attributes = form("sns", "2010-03-31", &[action, ("SubscriptionArn", arn)]).await;
        let keys = elements(&attributes, "key").into_iter();
        let mut entries = keys.zip(elements(&attributes, "value"));
        entries.any(|entry| entry == ("PendingConfirmation", "false"))
    }

    async fn wait_for_confirmation(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_confirmed(&stack().topic_arn).await {
            assert!(
                Instant::now() < deadline,
                "the subscription was not confirmed"
            );
            sleep(POLL).await;
        }
    }

    async fn post(&self, body: &Value) -> u16 {
        let call = Api::at(&self.url()).call("POST", "/");
        call.untyped(body.to_string()).send().await.status
    }
}

#[tokio::test]
async fn an_endpoint_confirms_itself_and_ends_the_stream_of_a_signed_out_device() {
    let household = Household::register().await;
    let laptop = household.sign_in(LAPTOP).await;
    let (tv, phone) = (household.sign_in(TV).await, household.sign_in(PHONE).await);
    let service = Service::start().await;
    service
        .subscribe(&stack().topic_arn, &laptop.account_id)
        .await;
    service.wait_for_confirmation().await;
    let mut on_tv = service.streams.open(session(&tv).await);
    let mut on_phone = service.streams.open(session(&phone).await);
    let _on_laptop = service.streams.open(session(&laptop).await);

    let _ = laptop.sign_out(&tv.id).await.done(200);
    timeout(PATIENCE, on_tv.ended()).await.unwrap();
    assert_eq!(service.streams.count(), 2);

    let _ = laptop.sign_out_scope("others").await.done(200);
    timeout(PATIENCE, on_phone.ended()).await.unwrap();
    assert_eq!(service.streams.count(), 1, "the laptop was kept");
}

#[tokio::test]
async fn an_endpoint_neither_confirms_nor_accepts_another_topic() {
    let service = Service::start().await;
    let name = format!("another-{}", unique());
    let fields = [("Action", "CreateTopic"), ("Name", &*name)];
    let created = form("sns", "2010-03-31", &fields).await;
    let other = elements(&created, "TopicArn")[0];
    let tv = Household::register().await.sign_in(TV).await;
    let session = session(&tv).await;
    let _on_tv = service.streams.open(session.clone());
    service.subscribe(other, &tv.account_id).await;
    // This subscription is confirmed after the other one would have been.
    service.subscribe(&stack().topic_arn, &tv.account_id).await;
    service.wait_for_confirmation().await;

    let message = json!({
        "sub_id": { "format": "complex", "user": { "format": "opaque", "id": tv.account_id } },
        "events": { "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {
            "session_id": session.session_id,
        }},
    });
    let mut envelope = json!({
        "Type": "Notification",
        "MessageId": unique(),
        "TopicArn": other,
        "Message": message.to_string(),
        "Timestamp": "2026-11-20T09:30:00.123Z",
        "SignatureVersion": "2",
        "Signature": "",
        "SigningCertURL": "",
    });
    let of_another_topic = service.post(&envelope).await;
    assert_eq!(of_another_topic, 403);
    assert_eq!(service.streams.count(), 1);
    assert!(!service.is_confirmed(other).await);

    // The same message from the right topic ends the stream.
    envelope["TopicArn"] = json!(stack().topic_arn);
    assert_eq!(service.post(&envelope).await, 200);
    assert_eq!(service.streams.count(), 0);
}
