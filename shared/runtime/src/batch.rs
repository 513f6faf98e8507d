//! Batches of messages from a queue.

use std::error::Error;
use std::time::Duration;

use aws_lambda_events::sqs::SqsEvent;
use aws_lambda_events::streams::{SqsBatchItemFailure, SqsEventResponse};
use tokio::time::timeout;

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

/// The work on a message took too long, and was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no time left")]
pub struct NoTimeLeft;

/// Runs the work on a message for at most `limit`, then drops it. If Lambda ended the
/// process instead, the whole batch would be delivered again.
///
/// # Errors
/// [`NoTimeLeft`].
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, NoTimeLeft> {
    timeout(limit, work).await.map_err(|_| NoTimeLeft)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn work_that_does_not_end_is_dropped() {
        assert_eq!(within(Duration::ZERO, ready(1)).await, Ok(1));
        assert_eq!(
            within(Duration::ZERO, pending::<()>()).await,
            Err(NoTimeLeft)
        );
    }
}
