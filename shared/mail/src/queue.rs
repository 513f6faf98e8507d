//! Queues mails: codes for new accounts, other codes, and all other mails. Codes are
//! worthless after some minutes. Failed sign-ins go to the queue of the notices.

use aws_sdk_sqs::Client;
use errors::Cause;

use crate::{FailedSignIns, Message};

/// Client of one of the queues.
#[derive(Debug, Clone)]
pub struct MailQueue {
    client: Client,
    url: String,
}

impl MailQueue {
    /// Takes the client and the queue's URL; does no I/O.
    #[must_use]
    pub fn new(client: Client, url: String) -> Self {
        Self { client, url }
    }

    /// Queues a message. It can arrive twice.
    ///
    /// # Errors
    /// The SDK's error, when the message may not have been queued.
    pub async fn send(&self, message: &Message) -> Result<(), Cause> {
        self.send_body(serde_json::to_string(message)?).await
    }

    /// Queues failed sign-ins. They can arrive twice.
    ///
    /// # Errors
    /// As [`MailQueue::send`].
    pub async fn send_failures(&self, failed: &FailedSignIns) -> Result<(), Cause> {
        self.send_body(serde_json::to_string(failed)?).await
    }

    async fn send_body(&self, body: String) -> Result<(), Cause> {
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(body)
            .send()
            .await
            .map_err(Box::new)?;
        Ok(())
    }
}
