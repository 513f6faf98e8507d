//! The SNS topic of the events. No policy: what becomes of a message that was not
//! published is its caller's business.

use aws_sdk_sns::Client;
use aws_sdk_sns::error::ProvideErrorMetadata;
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
use store::chain;

use crate::messages::Message;

/// SNS takes this many messages in one call.
const BATCH: usize = 10;

/// What came of publishing a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publish {
    /// SNS has it.
    Published,
    /// SNS will never take it as it is.
    Refused,
    /// SNS did not take it now, or was not asked. It may have it all the same, if
    /// an answer was lost: messages can come twice.
    Failed,
}

/// The topic, through one client.
#[derive(Debug, Clone)]
pub struct Topic {
    client: Client,
    arn: String,
}

impl Topic {
    /// Takes the client and the topic's ARN; does no I/O.
    #[must_use]
    pub fn new(client: Client, arn: String) -> Self {
        Self { client, arn }
    }

    /// Publishes messages in their order, and tells for each what came of it.
    ///
    /// `PublishBatch`, ten at a time. When a call as a whole fails, no further one
    /// is made: what ails one will ail the next, and who waits for SNS can't
    /// retry. When a call is refused for one of its messages, each is tried alone.
    pub async fn publish(&self, messages: &[Message]) -> Vec<Publish> {
        let mut outcomes = vec![Publish::Failed; messages.len()];
        for (batch, outcomes) in messages.chunks(BATCH).zip(outcomes.chunks_mut(BATCH)) {
            let is_done = match self.publish_batch(batch, outcomes).await {
                Answer::Taken => true,
                Answer::Refused if batch.len() > 1 => self.publish_alone(batch, outcomes).await,
                Answer::Refused => {
                    outcomes.fill(Publish::Refused);
                    true
                }
                Answer::Failed => false,
            };
            if !is_done {
                break;
            }
        }
        outcomes
    }

    /// Publishes each message by a call of its own; whether the topic can be
    /// asked further.
    async fn publish_alone(&self, messages: &[Message], outcomes: &mut [Publish]) -> bool {
        for (message, outcome) in messages.chunks(1).zip(outcomes.chunks_mut(1)) {
            match self.publish_batch(message, outcome).await {
                Answer::Taken => {}
                Answer::Refused => outcome.fill(Publish::Refused),
                Answer::Failed => return false,
            }
        }
        true
    }

    async fn publish_batch(&self, messages: &[Message], outcomes: &mut [Publish]) -> Answer {
        let entries = messages
            .iter()
            .enumerate()
            .map(|(index, message)| entry(index, message));
        let sent = self
            .client
            .publish_batch()
            .topic_arn(&self.arn)
            .set_publish_batch_request_entries(Some(entries.collect()))
            .send()
            .await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(error) => {
                let code = error.code().unwrap_or_default().to_owned();
                let answer = if is_refusal(&code) {
                    Answer::Refused
                } else {
                    Answer::Failed
                };
                tracing::error!(
                    code,
                    cause = chain(&error),
                    "SNS did not take a batch of messages."
                );
                return answer;
            }
        };
        for taken in answer.successful() {
            if let Some(outcome) = position(taken.id()).and_then(|index| outcomes.get_mut(index)) {
                *outcome = Publish::Published;
            }
        }
        for failed in answer.failed() {
            let Some(index) = position(Some(failed.id())) else {
                continue;
            };
            if let (Some(message), Some(outcome)) = (messages.get(index), outcomes.get_mut(index)) {
                if is_refusal(failed.code()) {
                    *outcome = Publish::Refused;
                }
                let (jti, code) = (message.token.jti.as_str(), failed.code());
                tracing::error!(jti, code, "SNS did not take a message.");
            }
        }
        Answer::Taken
    }
}

/// What came of one call.
enum Answer {
    /// Each message has an outcome of its own.
    Taken,
    /// Something in it is such that SNS will never take it.
    Refused,
    /// SNS could not be asked.
    Failed,
}

/// Whether the code of an error is about the message and not about SNS, the
/// topic's key or this function's rights: those can be mended, and the message
/// published then.
fn is_refusal(code: &str) -> bool {
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
        entry = entry.message_attributes(name, value.build().expect("the data type is given"));
    }
    entry.build().expect("the id is given")
}

fn position(id: Option<&str>) -> Option<usize> {
    id?.parse().ok()
}
