//! The SNS topic of the events. No policy: the caller decides what to do with a
//! message that was not published.

use aws_sdk_sns::error::ProvideErrorMetadata;
use aws_sdk_sns::operation::publish_batch::PublishBatchOutput;
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
use aws_sdk_sns::{Client, Config};
use errors::chain;

use crate::messages::Message;

/// The most messages that `PublishBatch` accepts.
const BATCH: usize = 10;

/// The outcome of publishing a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishOutcome {
    /// SNS has accepted it.
    Published,
    /// SNS will never accept it as it is.
    Rejected,
    /// SNS did not accept it now, or was not called for it. It may have been published
    /// all the same, if an answer was lost: messages can come twice.
    Failed,
}

/// Client of the topic.
#[derive(Debug, Clone)]
pub struct Topic {
    client: Client,
    arn: String,
}

impl Topic {
    /// Takes the client's configuration and the topic's ARN; does no I/O.
    #[must_use]
    pub fn new(config: impl Into<Config>, arn: String) -> Self {
        let client = Client::from_conf(config.into());
        Self { client, arn }
    }

    /// Publishes messages in their order, and returns the outcome of each.
    ///
    /// Calls `PublishBatch` with ten messages at a time. When a whole call fails, no
    /// further one is made: the next batch would fail for the same reason, and a caller
    /// that is waiting cannot retry. When SNS rejects a call for one of its messages,
    /// each of them is published by itself.
    pub async fn publish(&self, messages: &[Message]) -> Vec<PublishOutcome> {
        let mut outcomes = vec![PublishOutcome::Failed; messages.len()];
        for (batch, outcomes) in messages.chunks(BATCH).zip(outcomes.chunks_mut(BATCH)) {
            let can_go_on = match self.publish_batch(batch, outcomes).await {
                CallOutcome::Accepted => true,
                CallOutcome::Rejected if batch.len() > 1 => {
                    self.publish_one_by_one(batch, outcomes).await
                }
                CallOutcome::Rejected => {
                    outcomes.fill(PublishOutcome::Rejected);
                    true
                }
                CallOutcome::Failed => false,
            };
            if !can_go_on {
                break;
            }
        }
        outcomes
    }

    /// Publishes each message with a call of its own. Returns whether further calls can
    /// be made.
    async fn publish_one_by_one(
        &self,
        messages: &[Message],
        outcomes: &mut [PublishOutcome],
    ) -> bool {
        for (message, outcome) in messages.chunks(1).zip(outcomes.chunks_mut(1)) {
            match self.publish_batch(message, outcome).await {
                CallOutcome::Accepted => {}
                CallOutcome::Rejected => outcome.fill(PublishOutcome::Rejected),
                CallOutcome::Failed => return false,
            }
        }
        true
    }

    /// Publishes at most [`BATCH`] messages with one call, and sets the outcome of each
    /// that SNS answers for.
    async fn publish_batch(
        &self,
        messages: &[Message],
        outcomes: &mut [PublishOutcome],
    ) -> CallOutcome {
        let entries = messages.iter().enumerate();
        let entries = entries.map(|(index, message)| entry(index, message));
        let sent = self
            .client
            .publish_batch()
            .topic_arn(&self.arn)
            .set_publish_batch_request_entries(Some(entries.collect()))
            .send()
            .await;
        match sent {
            Ok(answer) => {
                apply(&answer, messages, outcomes);
                CallOutcome::Accepted
            }
            Err(error) => {
                let code = error.code().unwrap_or_default();
                tracing::error!(code, cause = chain(&error), "publish failed");
                if is_rejection(code) {
                    CallOutcome::Rejected
                } else {
                    CallOutcome::Failed
                }
            }
        }
    }
}

/// Sets the outcome of each message from SNS's answer, and logs the failed ones. The
/// id of an entry is the index of its message.
fn apply(answer: &PublishBatchOutput, messages: &[Message], outcomes: &mut [PublishOutcome]) {
    for accepted in answer.successful() {
        if let Some(outcome) = index(accepted.id()).and_then(|index| outcomes.get_mut(index)) {
            *outcome = PublishOutcome::Published;
        }
    }
    for failed in answer.failed() {
        let Some(index) = index(Some(failed.id())) else {
            continue;
        };
        if let (Some(message), Some(outcome)) = (messages.get(index), outcomes.get_mut(index)) {
            if is_rejection(failed.code()) {
                *outcome = PublishOutcome::Rejected;
            }
            let (jti, code) = (message.token.jti.as_str(), failed.code());
            tracing::error!(jti, code, "publish failed");
        }
    }
}

/// The outcome of one call.
enum CallOutcome {
    /// Each message has an outcome of its own.
    Accepted,
    /// SNS will never accept one of the messages, and so accepted none.
    Rejected,
    /// SNS could not be reached, or reported a fault that is not the messages'.
    Failed,
}

/// Returns whether an error code is about the message. Other faults (of SNS, the
/// topic's key or this function's rights) can be fixed, and the message be published
/// then.
fn is_rejection(code: &str) -> bool {
    matches!(
        code,
        "InvalidParameter"
            | "InvalidParameterException"
            | "InvalidParameterValue"
            | "InvalidParameterValueException"
            | "ParameterValueInvalid"
            | "ValidationError"
            | "ValidationException"
            | "BatchRequestTooLong"
            | "BatchRequestTooLongException"
    )
}

fn entry(index: usize, message: &Message) -> PublishBatchRequestEntry {
    let mut entry = PublishBatchRequestEntry::builder()
        .id(index.to_string())
        .message(message.body());
    for (name, value) in message.attributes() {
        let value = MessageAttributeValue::builder()
            .data_type("String")
            .string_value(value);
        entry = entry.message_attributes(name, value.build().expect("the data type is set"));
    }
    entry.build().expect("the id is set")
}

fn index(id: Option<&str>) -> Option<usize> {
    id?.parse().ok()
}
