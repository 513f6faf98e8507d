//! `infra/redrive.py`: puts back what the fan-out could not deliver.

use std::process::Output;

use curfew::emulator::point;
use curfew::tools::{Environment, find_python};
use curfew_tests::aws::{Call, Principal};
use curfew_tests::client::unique;
use curfew_tests::stack::stack;
use serde_json::{Value, json};
use tokio::process::Command;

/// Runs the script on the stack. Returns its exit code, its output and its errors.
async fn redrive(options: &[&str]) -> (i32, String, String) {
    let tether = find_python().unwrap();
    Environment::Aws.install(&tether).await.unwrap();
    let mut command = Command::new(Environment::Aws.programs().join("python"));
    command
        .env_remove("AWS_PROFILE")
        .kill_on_drop(true)
        .arg(curfew::root().join("infra/redrive.py"))
        .args(["--stack", "curfew"])
        .args(options);
    point(&mut command, &stack().aws);
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

async fn send(queue: &str, body: &Value, attributes: &Value) {
    let message = json!({
        "QueueUrl": stack().resources[queue],
        "MessageBody": body.to_string(),
        "MessageAttributes": attributes,
    });
    let call = Call::sqs("SendMessage", &message);
    let answer = Principal::root().call(&call).await.unwrap();
    answer.success().unwrap();
}

#[tokio::test]
async fn everything_that_waits_is_redriven_and_what_fails_stays_and_is_named() {
    let task = json!({ "check": { "account_id": "6f9b1a52-7d0e-4c56-9c1b-2f0d7f1c9a10", "connection_id": unique() } });
    send("PushDeadLetters", &task, &json!({})).await;
    let text = |value: &str| json!({ "DataType": "String", "StringValue": value });
    let event = json!({ "event_type": text("of-a-test") });
    send("Unpublished", &json!({ "test": unique() }), &event).await;
    let record = json!({ "content": text("stream-record") });
    send("Unpublished", &json!({ "Records": [] }), &record).await;
    send("Unpublished", &json!("no records"), &record).await;
    let batch = json!({ "payload": json!({ "Records": [] }).to_string() }).to_string();
    let path = format!("/{}/{}", stack().resources["UnpublishedBatches"], unique());
    let put = Call::rest("s3", "PUT", &path, &batch);
    assert_eq!(Principal::root().call(&put).await.unwrap().status, 200);

    let (code, counted, _) = redrive(&["--dry-run"]).await;
    let (partly, redriven, left) = redrive(&[]).await;
    let (rest, nothing, _) = redrive(&[]).await;

    assert_eq!(code, 0);
    assert!(
        counted.contains("Unpublished: about 3 messages"),
        "{counted}"
    );
    assert!(
        counted.contains("UnpublishedBatches: 1 batches"),
        "{counted}"
    );
    assert_eq!(partly, 1);
    assert!(
        redriven.contains("PushDeadLetters: 1 messages redriven"),
        "{redriven}"
    );
    assert!(
        redriven.contains("Unpublished: 2 messages redriven"),
        "{redriven}"
    );
    assert!(
        redriven.contains("UnpublishedBatches: 1 batches redriven"),
        "{redriven}"
    );
    assert!(left.contains("left: Unpublished "), "{left}");
    assert_eq!(rest, 0, "the message that failed is invisible for an hour");
    assert!(
        nothing.contains("UnpublishedBatches: 0 batches redriven"),
        "{nothing}"
    );
}
