use serde_json::{Value, json};

use super::*;
use crate::notification::tests::{NOTIFICATION, certificate};
use crate::revocation::Session;

/// The topic of the signed envelopes.
const TOPIC: &str = "arn:aws:sns:eu-central-1:123456789012:curfew-Events";

fn envelope() -> Value {
    serde_json::from_str(NOTIFICATION).unwrap()
}

fn endpoint(streams: &Streams) -> Endpoint {
    let envelope = envelope();
    let url = envelope["SigningCertURL"].as_str().unwrap();
    let certificates = Certificates::new().with(url, certificate());
    Endpoint::new(TOPIC, certificates, streams.clone()).unwrap()
}

/// Returns the session that the signed message ends.
fn session() -> Session {
    let message = envelope();
    let message: Value = serde_json::from_str(message["Message"].as_str().unwrap()).unwrap();
    let id = |name: &str| {
        let id = message["sub_id"][name]["id"].as_str();
        id.unwrap().to_owned()
    };
    Session {
        account_id: id("user"),
        session_id: id("session"),
        epoch: 1,
    }
}

#[tokio::test]
async fn a_signed_revocation_ends_the_stream() {
    let streams = Streams::default();
    let mut stream = streams.open(session());

    let outcome = endpoint(&streams).receive(NOTIFICATION.as_bytes()).await;

    assert_eq!(outcome, Ok(Outcome::Ended(1)));
    stream.ended().await;
}

#[tokio::test]
async fn a_forged_message_ends_nothing() {
    let streams = Streams::default();
    let _stream = streams.open(session());
    let endpoint = endpoint(&streams);
    let forged = |member: &str, value: &str| {
        let mut forged = envelope();
        forged[member] = json!(value);
        forged.to_string()
    };

    for forged in [
        forged("Signature", ""),
        forged("Message", "{}"),
        forged("SignatureVersion", "1"),
        forged(
            "SigningCertURL",
            "https://evil.example/SimpleNotificationService-0.pem",
        ),
        forged("TopicArn", "arn:aws:sns:eu-central-1:210987654321:evil"),
    ] {
        let outcome = endpoint.receive(forged.as_bytes()).await;

        assert_eq!(outcome, Err(Rejection::Untrusted), "{forged}");
    }
    assert_eq!(streams.count(), 1);
}

#[tokio::test]
async fn a_signed_message_of_another_topic_ends_nothing() {
    let streams = Streams::default();
    let _stream = streams.open(session());
    let url = envelope()["SigningCertURL"].as_str().unwrap().to_owned();
    let certificates = Certificates::new().with(&url, certificate());
    let other = "arn:aws:sns:eu-central-1:123456789012:another";
    let endpoint = Endpoint::new(other, certificates, streams.clone()).unwrap();

    let outcome = endpoint.receive(NOTIFICATION.as_bytes()).await;

    assert_eq!(outcome, Err(Rejection::Untrusted));
    assert_eq!(streams.count(), 1);
}

#[tokio::test]
async fn malformed_messages_are_rejected() {
    let endpoint = endpoint(&Streams::default());

    for body in ["", "{}", "[]", "hello"] {
        let outcome = endpoint.receive(body.as_bytes()).await;

        assert_eq!(outcome, Err(Rejection::Unreadable), "{body}");
    }
}

#[test]
fn an_endpoint_needs_the_arn_of_a_topic() {
    for no_topic in ["", "arn:aws:sqs:eu-central-1:123456789012:queue"] {
        let endpoint = Endpoint::new(no_topic, Certificates::new(), Streams::default());

        assert_eq!(endpoint.unwrap_err(), NotATopic);
    }
}
