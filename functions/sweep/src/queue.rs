//! The queue of the sweeps, which carries a sweep from one page to the next.

use aws_lambda_events::sqs::SqsMessage;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageAttributeValue;
use domain::DeviceId;
use domain::ids::InvalidId;
use store::Cause;

/// The attribute with the last device of the page before. A message without it starts
/// a sweep.
const AFTER: &str = "after";

#[derive(Debug, Clone)]
pub struct Queue {
    client: Client,
    url: String,
}

impl Queue {
    /// Takes the client and the queue's URL; does no I/O.
    #[must_use]
    pub fn new(client: Client, url: String) -> Self {
        Self { client, url }
    }

    /// Queues the next page of a sweep: the same message, with the device after which
    /// it continues.
    ///
    /// # Errors
    /// The SDK's error, when the message may not have been queued.
    pub async fn send_next_page(&self, body: &str, after: DeviceId) -> Result<(), Cause> {
        self.client
            .send_message()
            .queue_url(&self.url)
            .message_body(body)
            .message_attributes(AFTER, text(after))
            .send()
            .await
            .map_err(Box::new)?;
        Ok(())
    }
}

fn text(value: DeviceId) -> MessageAttributeValue {
    let value = MessageAttributeValue::builder()
        .data_type("String")
        .string_value(value);
    value.build().expect("the data type is set")
}

/// Returns the device after which a message continues; none on the first page.
pub(crate) fn last_device(message: &SqsMessage) -> Result<Option<DeviceId>, InvalidId> {
    message
        .message_attributes
        .get(AFTER)
        .map(|attribute| {
            attribute
                .string_value
                .as_deref()
                .unwrap_or_default()
                .parse()
        })
        .transpose()
}
