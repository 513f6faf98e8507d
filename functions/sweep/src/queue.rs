//! The queue of the sweeps: a sweep hands over to the next page through it.

use aws_lambda_events::sqs::SqsMessage;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageAttributeValue;
use domain::DeviceId;
use domain::ids::InvalidId;
use store::Cause;

/// The attribute with the last device of the page before; a message without it
/// begins a sweep.
const AFTER: &str = "after";

/// The queue, through one client.
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

    /// Asks for the next page of a sweep: the same message, with the place to go on.
    ///
    /// # Errors
    /// The SDK's, when it is not known to have been sent.
    pub async fn go_on(&self, body: &str, after: DeviceId) -> Result<(), Cause> {
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
    value.build().expect("the data type is given")
}

/// Where a message says to go on; none at the beginning.
pub(crate) fn place(message: &SqsMessage) -> Result<Option<DeviceId>, InvalidId> {
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
