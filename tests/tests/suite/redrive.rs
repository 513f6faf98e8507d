//! `infra/redrive.py`: puts back what the fan-out could not deliver.

use curfew_tests::aws::{Call, Principal};
use curfew_tests::client::unique;
use curfew_tests::scripts;
use curfew_tests::stack::stack;
use serde_json::{Value, json};

/// Runs the script on the stack. Returns its exit code, its output and its errors.
async fn redrive(options: &[&str]) -> (i32, String, String) {
    let arguments = [&["--stack", "curfew"], options].concat();
    scripts::run("redrive.py", &arguments, &[]).await
}

/// Sends a message to a queue. Returns its id.
async fn send(queue: &str, body: &Value, attributes: &Value) -> String {
    let message = json!({
        "QueueUrl": stack().resources[queue],
        "MessageBody": body.to_string(),
        "MessageAttributes": attributes,
    });
    let call = Call::sqs("SendMessage", &message);
    let answer = Principal::root().call(&call).await.unwrap();
    answer.success().unwrap()["MessageId"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn on_object(method: &'static str, path: &str, body: &str) -> u16 {
    let call = Call::rest("s3", method, path, body);
    Principal::root().call(&call).await.unwrap().status
}

/// Returns the first number in the line about `name`.
fn count(output: &str, name: &str) -> u32 {
    let prefix = format!("{name}: ");
    let line = output.lines().find_map(|line| line.strip_prefix(&prefix));
    let mut words = line.expect(output).split(' ');
    words.find_map(|word| word.parse().ok()).expect(output)
}

// Other tests may send messages of their own at the same time.
#[tokio::test]
async fn everything_that_waits_is_redriven_and_what_fails_stays_and_is_named() {
    let task = json!({ "check": { "account_id": "6f9b1a52-7d0e-4c56-9c1b-2f0d7f1c9a10", "connection_id": unique() } });
    let push = send("PushDeadLetters", &task, &json!({})).await;
    let text = |value: &str| json!({ "DataType": "String", "StringValue": value });
    let event = json!({ "event_type": text("of-a-test") });
    let event = send("Unpublished", &json!({ "test": unique() }), &event).await;
    let record = json!({ "content": text("stream-record") });
    let records = send("Unpublished", &json!({ "Records": [] }), &record).await;
    let failing = send("Unpublished", &json!("no records"), &record).await;
    let batch = json!({ "payload": json!({ "Records": [] }).to_string() }).to_string();
    let path = format!("/{}/{}", stack().resources["UnpublishedBatches"], unique());
    assert_eq!(on_object("PUT", &path, &batch).await, 200);

    let (code, counted, _) = redrive(&["--dry-run"]).await;
    let batch_after_dry_run = on_object("GET", &path, "").await;
    let (partly, redriven, left) = redrive(&[]).await;
    let batch_after_redrive = on_object("GET", &path, "").await;
    let (_, _, left_later) = redrive(&[]).await;

    assert_eq!(code, 0);
    assert!(count(&counted, "PushDeadLetters") >= 1, "{counted}");
    assert!(count(&counted, "Unpublished") >= 3, "{counted}");
    assert!(count(&counted, "UnpublishedBatches") >= 1, "{counted}");
    assert_eq!(batch_after_dry_run, 200);
    assert_eq!(partly, 1);
    assert!(count(&redriven, "PushDeadLetters") >= 1, "{redriven}");
    assert!(count(&redriven, "Unpublished") >= 2, "{redriven}");
    assert!(count(&redriven, "UnpublishedBatches") >= 1, "{redriven}");
    assert_eq!(batch_after_redrive, 404);
    let name = format!("left: Unpublished {failing}: ");
    assert!(left.contains(&name), "{left}");
    for delivered in [push, event, records] {
        assert!(!left.contains(&delivered), "{left}");
    }
    // A message that failed is invisible for an hour.
    assert!(!left_later.contains(&failing), "{left_later}");
}
