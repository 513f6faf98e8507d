//! Publishes each sign-out and each sign-in, from the streams of Receipts and Devices.
//!
//! The streams are the outbox, so no written change is lost: when SNS does not accept
//! a record now, the stream delivers again from that record on. This function only
//! publishes, and waits for nothing else.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

mod unpublished;

use std::time::Instant;

use aws_lambda_events::dynamodb::EventRecord;
use aws_lambda_events::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
use domain::Timestamp;
use events::{Message, PublishOutcome, Record, Topic, messages};
use runtime::elapsed_us;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Change, StoreError};

pub use unpublished::Unpublished;

/// Publishes events, and stores those that the topic rejects in a queue.
#[derive(Debug)]
pub struct Deps {
    pub topic: Topic,
    pub unpublished: Unpublished,
    /// The `iss` of the events.
    pub issuer: String,
}

/// A batch of a stream's records. Each is parsed by itself, so that an unreadable one
/// does not hold up the others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamEvent {
    #[serde(rename = "Records")]
    pub records: Vec<Value>,
}

/// Reasons that a record gives no message.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    /// Never logged with its cause, which quotes the record and could contain a row's
    /// secrets.
    #[error("not a record of a stream")]
    Shape(#[from] serde_json::Error),
    #[error(transparent)]
    Row(#[from] StoreError),
}

/// Publishes a batch, and returns the first record that failed: Lambda delivers again
/// from there. Later records may have been published already, and are then published
/// twice.
pub async fn handle(deps: &Deps, event: StreamEvent) -> DynamoDbEventResponse {
    let started = Instant::now();
    let parsed: Vec<_> = event
        .records
        .iter()
        .map(|record| parse(record, &deps.issuer))
        .collect();
    let found: Vec<Message> = parsed.iter().flatten().flatten().cloned().collect();
    let outcomes = deps.topic.publish(&found).await;
    let mut outcomes = found.iter().zip(outcomes);

    let mut failed = None;
    for (record, parsed) in event.records.iter().zip(&parsed) {
        let is_settled = match parsed {
            Ok(messages) => {
                let outcomes: Vec<_> = outcomes.by_ref().take(messages.len()).collect();
                settle(deps, &outcomes).await
            }
            Err(cause) => {
                let event_id = text(record, "/eventID");
                tracing::error!(event_id, %cause, "record unreadable");
                deps.unpublished.store_record(record).await
            }
        };
        if !is_settled {
            failed = Some(text(record, "/dynamodb/SequenceNumber"));
            break;
        }
    }
    tracing::info!(
        records = event.records.len(),
        messages = found.len(),
        returned_from = failed,
        duration_us = elapsed_us(started),
        "batch processed",
    );
    response(failed)
}

/// Returns the answer that makes Lambda deliver again from the record with this
/// sequence number; the whole batch, if the number is empty.
fn response(failed: Option<&str>) -> DynamoDbEventResponse {
    let mut response = DynamoDbEventResponse::default();
    if let Some(sequence_number) = failed {
        let mut failure = DynamoDbBatchItemFailure::default();
        failure.item_identifier = Some(sequence_number.to_owned());
        response.batch_item_failures.push(failure);
    }
    response
}

/// Returns whether each message of one record is published, or stored to be published
/// later. Stores those that SNS rejects.
async fn settle(deps: &Deps, outcomes: &[(&Message, PublishOutcome)]) -> bool {
    for (message, outcome) in outcomes {
        let is_settled = match outcome {
            PublishOutcome::Published => {
                let token = &message.token;
                tracing::info!(
                    jti = token.jti,
                    txn = token.txn,
                    event_type = token.events.event_type().as_str(),
                    account = %token.sub_id.user.id,
                    "event published",
                );
                true
            }
            PublishOutcome::Rejected => deps.unpublished.store_message(message).await,
            PublishOutcome::Failed => false,
        };
        if !is_settled {
            return false;
        }
    }
    true
}

/// Returns the messages that a record gives.
fn parse(record: &Value, issuer: &str) -> Result<Vec<Message>, Unreadable> {
    let record = EventRecord::deserialize(&with_defaults(record))?;
    let at = record.change.approximate_creation_date_time.timestamp();
    let origin = Record {
        event_id: Some(record.event_id.clone()).filter(|id| !id.is_empty()),
        at: Timestamp::from_second(at)
            .ok()
            .filter(|at| *at != Timestamp::UNIX_EPOCH),
    };
    Ok(messages(&Change::from_record(&record)?, &origin, issuer))
}

/// Adds fields that `EventRecord` requires and nothing here depends on.
fn with_defaults(record: &Value) -> Value {
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

/// Returns a string within a record; empty when there is none.
fn text<'a>(record: &'a Value, pointer: &str) -> &'a str {
    record
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
