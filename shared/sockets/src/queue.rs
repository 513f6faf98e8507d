//! The queue of the pushes. Beside the events of the topic it takes two messages
//! of our own: look at one socket, and end some.

use std::time::Duration;

use aws_sdk_sqs::Client;
use domain::{AccountId, ConnectionId};
use serde::{Deserialize, Serialize};
use store::Cause;

/// What a message of our own asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Asked {
    /// Look at one socket, and tell its device if its session has ended.
    Check {
        /// The account.
        account_id: AccountId,
        /// The socket.
        connection_id: ConnectionId,
    },
    /// End sockets whose devices were told, if they are still open.
    Close {
        /// The account.
        account_id: AccountId,
        /// The sockets.
        connection_ids: Vec<ConnectionId>,
    },
}

/// The queue, through one client.
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

    /// Asks for something, to be done after a while of at most 15 minutes.
    ///
    /// # Errors
    /// The SDK's, when it is not known to have been asked.
    pub async fn ask(&self, asked: &Asked, after: Duration) -> Result<(), Cause> {
        let delay_s = i32::try_from(after.as_secs()).unwrap_or(i32::MAX);
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(serde_json::to_string(asked)?)
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
    fn messages_of_our_own_are_spelled_so() {
        let account_id = AccountId::from_random([1; 16]);
        let connection_id: ConnectionId = "TWegAcC4EowCHnA=".parse().unwrap();
        let check = Asked::Check {
            account_id,
            connection_id: connection_id.clone(),
        };
        assert_eq!(
            serde_json::to_string(&check).unwrap(),
            format!(
                r#"{{"check":{{"account_id":"{account_id}","connection_id":"TWegAcC4EowCHnA="}}}}"#
            )
        );
        let close = Asked::Close {
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
