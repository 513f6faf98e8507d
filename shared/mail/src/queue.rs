//! Queues mails: codes for new accounts, other codes, and all other mails. Codes are
//! worthless after some minutes. Failed sign-ins go to the queue of the notices.

use aws_sdk_sqs::Client;
use errors::Cause;

use crate::{AddressWarning, FactorNews, FailedSignIns, Message};

/// The time after which news is read: longer than a function may take, so that what it is
/// about is written by then, or never.
pub const NEWS_DELAY_S: i32 = 15;

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

    /// Queues news of a factor, to be delivered after a delay of at most 900 seconds. It can
    /// arrive twice.
    ///
    /// # Errors
    /// As [`MailQueue::send`].
    pub async fn send_factor_news(&self, news: &FactorNews, delay_s: i32) -> Result<(), Cause> {
        self.send_later(serde_json::to_string(news)?, delay_s).await
    }

    /// Queues a warning of a changed address, to be delivered after [`NEWS_DELAY_S`]. It can
    /// arrive twice.
    ///
    /// # Errors
    /// As [`MailQueue::send`].
    pub async fn send_warning(&self, warning: &AddressWarning) -> Result<(), Cause> {
        self.send_later(serde_json::to_string(warning)?, NEWS_DELAY_S)
            .await
    }

    async fn send_body(&self, body: String) -> Result<(), Cause> {
        self.send_later(body, 0).await
    }

    async fn send_later(&self, body: String, delay_s: i32) -> Result<(), Cause> {
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(body)
            .set_delay_seconds((delay_s > 0).then_some(delay_s))
            .send()
            .await
            .map_err(Box::new)?;
        Ok(())
    }
}
