//! Publishes what the streams of Receipts and Devices say: each sign-out, and
//! each sign-in.
//!
//! The streams are the outbox, so nothing that was written is lost: a record that
//! SNS can't take now is delivered again, from there on. It only publishes, and
//! waits for nothing else.

mod unpublished;

use std::time::Instant;

use aws_lambda_events::dynamodb::EventRecord;
use aws_lambda_events::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use domain::Timestamp;
use events::{Message, Publish, Record, Topic, messages};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Change, StoreError};

pub use unpublished::Unpublished;

/// What the function may reach: the topic, and the queue for what the topic will
/// never take.
#[derive(Debug)]
pub struct Deps {
    /// Where the events go.
    pub topic: Topic,
    /// Where what can't be published is kept.
    pub unpublished: Unpublished,
    /// The `iss` of the events.
    pub issuer: String,
}

/// A batch of a stream's records. Each is read by itself, so that one that can't
/// be read does not hold up the others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamEvent {
    /// The records, in the order in which they were written.
    #[serde(rename = "Records")]
    pub records: Vec<Value>,
}

/// Why a record gives no message.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    /// It is not a record of a DynamoDB stream. The cause quotes what it found, a
    /// row's secrets perhaps, so it is never logged.
    #[error("it is not a record of a stream")]
    Shape(#[from] serde_json::Error),
    /// Its row is not as the store writes it.
    #[error(transparent)]
    Row(#[from] StoreError),
}

/// Publishes a batch, and names the first record that is to be delivered again:
/// Lambda goes on from there. What follows it may have been published all the
/// same, and then is published twice.
pub async fn handle(deps: &Deps, event: StreamEvent) -> DynamoDbEventResponse {
    let began = Instant::now();
    let read: Vec<_> = event
        .records
        .iter()
        .map(|record| read(record, &deps.issuer))
        .collect();
    let found: Vec<Message> = read.iter().flatten().flatten().cloned().collect();
    let outcomes = deps.topic.publish(&found).await;
    let mut outcomes = found.iter().zip(outcomes);

    let mut response = DynamoDbEventResponse::default();
    for (record, read) in event.records.iter().zip(&read) {
        let is_settled = match read {
            Ok(messages) => {
                let outcomes: Vec<_> = outcomes.by_ref().take(messages.len()).collect();
                settle(deps, &outcomes).await
            }
            Err(cause) => {
                let event_id = text(record, "/eventID");
                tracing::error!(event_id, %cause, "A record can't be read.");
                deps.unpublished.keep_record(record).await
            }
        };
        if !is_settled {
            // Without a number of its own, the whole batch is delivered again.
            let mut failure = DynamoDbBatchItemFailure::default();
            failure.item_identifier = Some(text(record, "/dynamodb/SequenceNumber").to_owned());
            response.batch_item_failures.push(failure);
            break;
        }
    }
    tracing::info!(
        records = event.records.len(),
        messages = found.len(),
        again_from = response
            .batch_item_failures
            .first()
            .and_then(|failure| failure.item_identifier.as_deref()),
        duration_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        "A batch of a stream was worked through.",
    );
    response
}

/// Whether nothing more is to be done for the messages of one record: each is
/// published, or kept to be published later.
async fn settle(deps: &Deps, outcomes: &[(&Message, Publish)]) -> bool {
    for (message, outcome) in outcomes {
        let is_settled = match outcome {
            Publish::Published => {
                let token = &message.token;
                tracing::info!(
                    jti = token.jti,
                    txn = token.txn,
                    event_type = token.events.event_type().as_str(),
                    account = %token.sub_id.user.id,
                    "An event was published.",
                );
                true
            }
            Publish::Refused => deps.unpublished.keep_message(message).await,
            Publish::Failed => false,
        };
        if !is_settled {
            return false;
        }
    }
    true
}

/// Reads the messages that a record gives.
fn read(record: &Value, issuer: &str) -> Result<Vec<Message>, Unreadable> {
    let record = EventRecord::deserialize(&with_what_may_be_missing(record))?;
    let at = record.change.approximate_creation_date_time.timestamp();
    let origin = Record {
        event_id: Some(record.event_id.clone()).filter(|id| !id.is_empty()),
        at: Timestamp::from_second(at)
            .ok()
            .filter(|at| *at != Timestamp::UNIX_EPOCH),
    };
    Ok(messages(&Change::from_record(&record)?, &origin, issuer))
}

/// Adds what the type of a record insists on and nothing here depends on.
fn with_what_may_be_missing(record: &Value) -> Value {
    let mut record = record.clone();
    let mut add = |within: &str, name: &str, value: Value| {
        if let Some(Value::Object(object)) = record.pointer_mut(within) {
            object.entry(name).or_insert(value);
        }
    };
    add("", "eventID", json!(""));
    add("", "awsRegion", json!(""));
    add("/dynamodb", "SizeBytes", json!(0));
    record
}

/// A text within a record; empty when there is none.
fn text<'a>(record: &'a Value, pointer: &str) -> &'a str {
    record
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
