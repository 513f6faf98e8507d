//! The queue of the pushes. Besides the events of the topic it takes two messages
//! of our own: check one socket, and close some.

use std::time::Duration;

use aws_sdk_sqs::Client;
use domain::{AccountId, ConnectionId};
use errors::Cause;
use serde::{Deserialize, Serialize};

/// A message of our own: a task for sockets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SocketTask {
    /// Check one socket, and notify its device if its session has ended.
    Check {
        /// The owner of the device.
        account_id: AccountId,
        /// The socket to check.
        connection_id: ConnectionId,
    },
    /// Close sockets whose devices were notified, if they are still open.
    Close {
        /// The owner of the device.
        account_id: AccountId,
        /// The sockets to close.
        connection_ids: Vec<ConnectionId>,
    },
}

/// Client of the queue.
#[derive(Debug, Clone)]
pub struct PushQueue {
    client: Client,
    url: String,
}

impl PushQueue {
    /// Takes the client and the queue's URL; does no I/O.
    #[must_use]
    pub fn new(client: Client, url: String) -> Self {
        Self { client, url }
    }

    /// Queues a task that is delivered after `delay`: whole seconds, at most 15
    /// minutes (the limit of SQS).
    ///
    /// # Errors
    /// The SDK's error, when the task may not have been queued.
    pub async fn send(&self, task: &SocketTask, delay: Duration) -> Result<(), Cause> {
        let delay_s = i32::try_from(delay.as_secs()).unwrap_or(i32::MAX);
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(serde_json::to_string(task)?)
            .delay_seconds(delay_s)
            .send()
            .await
            .map_err(Box::new)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_of_our_own_messages_is_fixed() {
        let account_id = AccountId::from_random([1; 16]);
        let connection_id: ConnectionId = "TWegAcC4EowCHnA=".parse().unwrap();
        let check = SocketTask::Check {
            account_id,
            connection_id: connection_id.clone(),
        };
        assert_eq!(
            serde_json::to_string(&check).unwrap(),
            format!(
                r#"{{"check":{{"account_id":"{account_id}","connection_id":"TWegAcC4EowCHnA="}}}}"#
            )
        );
        let close = SocketTask::Close {
            account_id,
            connection_ids: vec![connection_id],
        };
        assert_eq!(
            serde_json::to_string(&close).unwrap(),
            format!(
                r#"{{"close":{{"account_id":"{account_id}","connection_ids":["TWegAcC4EowCHnA="]}}}}"#
            )
        );
    }
}
