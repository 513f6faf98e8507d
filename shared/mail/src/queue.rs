//! The queues of the mails: one for mails with codes, which are worthless after some
//! minutes, and one for all others.

use aws_sdk_sqs::Client;
use errors::Cause;

use crate::Message;

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
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(serde_json::to_string(message)?)
            .send()
            .await
            .map_err(Box::new)?;
        Ok(())
    }
}
