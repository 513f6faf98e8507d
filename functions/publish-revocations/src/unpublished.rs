//! The queue for what can't be published, so that it is not lost. Each message in it
//! shows by its attributes how to redrive it.

use std::sync::OnceLock;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageAttributeValue;
use events::Message;
use runtime::Clients;
use serde_json::{Value, json};
use store::chain;

/// The queue, with a client that is built on first use: most invocations need none.
#[derive(Debug)]
pub struct Unpublished {
    clients: Clients,
    client: OnceLock<Client>,
    url: String,
}

impl Unpublished {
    /// Takes the source of the client, and the queue's URL; does no I/O.
    #[must_use]
    pub fn new(clients: Clients, url: String) -> Self {
        Self {
            clients,
            client: OnceLock::new(),
            url,
        }
    }

    /// Stores a finished message with its attributes. To redrive it, publish both as
    /// they are. Returns whether it was stored.
    pub async fn store_message(&self, message: &Message) -> bool {
        let jti = message.token.jti.as_str();
        self.send(jti, message.body(), message.attributes()).await
    }

    /// Stores an unreadable record, as an event of this function. To redrive it, invoke
    /// the function with the body once the function can read it. It is a raw row that
    /// must never be published, so it has the attribute `content` and none of a
    /// message's. Returns whether it was stored.
    pub async fn store_record(&self, record: &Value) -> bool {
        let event_id = record
            .get("eventID")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let body = json!({ "Records": [record] }).to_string();
        self.send(
            event_id,
            body,
            vec![("content", "stream-record".to_owned())],
        )
        .await
    }

    async fn send(&self, id: &str, body: String, attributes: Vec<(&str, String)>) -> bool {
        let client = self.client.get_or_init(|| self.clients.sqs());
        let mut send = client
            .send_message()
            .queue_url(&self.url)
            .message_body(body);
        for (name, value) in attributes {
            let value = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(value);
            send = send.message_attributes(name, value.build().expect("the data type is set"));
        }
        match send.send().await {
            Ok(_) => {
                tracing::warn!(id, "unpublishable item stored");
                true
            }
            Err(error) => {
                let cause = chain(&error);
                tracing::error!(id, cause, "unpublishable item not stored");
                false
            }
        }
    }
}
