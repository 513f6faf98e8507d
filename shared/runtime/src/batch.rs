//! Batches of messages from a queue.

use std::error::Error;

use aws_lambda_events::sqs::SqsEvent;
use aws_lambda_events::streams::{SqsBatchItemFailure, SqsEventResponse};

/// Returns the messages that failed to their queue, and logs each with its cause as
/// `failed`.
pub fn return_failed<E: Error + 'static>(
    event: &SqsEvent,
    outcomes: impl IntoIterator<Item = Result<(), E>>,
    failed: &'static str,
) -> SqsEventResponse {
    let mut response = SqsEventResponse::default();
    for (message, outcome) in event.records.iter().zip(outcomes) {
        if let Err(error) = outcome {
            let message_id = message.message_id.as_deref();
            tracing::error!(message_id, cause = errors::chain(&error), "{failed}");
            let mut failure = SqsBatchItemFailure::default();
            failure.item_identifier = Some(message_id.unwrap_or_default().to_owned());
            response.batch_item_failures.push(failure);
        }
    }
    response
}
