//! The queue for what can't be published: nothing is lost, and each message in it
//! says by itself how it is redriven.

use std::sync::OnceLock;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageAttributeValue;
use events::Message;
use runtime::Clients;
use serde_json::{Value, json};
use store::chain;

/// The queue, through a client that is made when it is first needed.
#[derive(Debug)]
pub struct Unpublished {
    clients: Clients,
    client: OnceLock<Client>,
    url: String,
}

impl Unpublished {
    /// Takes what the client is made from, and the queue's URL; does no I/O.
    #[must_use]
    pub fn new(clients: Clients, url: String) -> Self {
        Self {
            clients,
            client: OnceLock::new(),
            url,
        }
    }

    /// Keeps a finished message, with its attributes: it is redriven by publishing
    /// both as they are. Whether it is kept.
    pub async fn keep_message(&self, message: &Message) -> bool {
        let jti = message.token.jti.as_str();
        self.keep(jti, message.body(), message.attributes()).await
    }

    /// Keeps a record that gives no message, as the event that this function is
    /// called with: it is redriven by calling the function with the body, once the
    /// function can read it. It is a raw row, so it must never be published; it has
    /// an attribute `content` and none of a message's. Whether it is kept.
    pub async fn keep_record(&self, record: &Value) -> bool {
        let event_id = record
            .get("eventID")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let body = json!({ "Records": [record] }).to_string();
        self.keep(
            event_id,
            body,
            vec![("content", "stream-record".to_owned())],
        )
        .await
    }

    async fn keep(&self, id: &str, body: String, attributes: Vec<(&str, String)>) -> bool {
        let client = self.client.get_or_init(|| self.clients.sqs());
        let mut send = client
            .send_message()
            .queue_url(&self.url)
            .message_body(body);
        for (name, value) in attributes {
            let value = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(value);
            send = send.message_attributes(name, value.build().expect("the data type is given"));
        }
        match send.send().await {
            Ok(_) => {
                tracing::warn!(id, "What can't be published is kept in its queue.");
                true
            }
            Err(error) => {
                let cause = chain(&error);
                tracing::error!(
                    id,
                    cause,
                    "What can't be published could not be kept either."
                );
                false
            }
        }
    }
}
