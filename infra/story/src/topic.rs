//! The events, as a subscriber of the topic receives them.

use anyhow::{Context, Result};
use aws_sdk_sqs::types::QueueAttributeName::{Policy, VisibilityTimeout};
use runtime::Clients;
use serde_json::{Value, json};

use crate::story::random;

/// A queue that is subscribed to the topic.
#[derive(Debug)]
pub struct Topic {
    sns: aws_sdk_sns::Client,
    sqs: aws_sdk_sqs::Client,
    queue_url: String,
    subscription: String,
}

impl Topic {
    /// Creates a queue that only the topic may send to, and subscribes it to the
    /// events of one account or of all.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn subscribe(
        clients: &Clients,
        topic_arn: &str,
        account: Option<&str>,
    ) -> Result<Self> {
        let (sns, sqs) = (aws_sdk_sns::Client::new(clients.config()), clients.sqs());
        let (prefix, _) = topic_arn.rsplit_once(':').context("the topic's ARN")?;
        let name = format!("subscriber-{}", random());
        let queue_arn = format!("{}:{name}", prefix.replace(":sns:", ":sqs:"));
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": { "Service": "sns.amazonaws.com" },
                "Action": "sqs:SendMessage",
                "Resource": queue_arn,
                "Condition": { "ArnEquals": { "aws:SourceArn": topic_arn } },
            }],
        });
        let create = sqs.create_queue().queue_name(name);
        let create = create.attributes(Policy, policy.to_string());
        // A message that was received does not come back, so it is not deleted.
        let created = create.attributes(VisibilityTimeout, "43200").send().await?;
        let subscribe = sns.subscribe().topic_arn(topic_arn).endpoint(queue_arn);
        let subscribe = subscribe.protocol("sqs").return_subscription_arn(true);
        // The message without SNS's envelope.
        let mut subscribe = subscribe.attributes("RawMessageDelivery", "true");
        if let Some(account) = account {
            let filter = json!({ "account_id": [account] });
            subscribe = subscribe.attributes("FilterPolicy", filter.to_string());
        }
        let subscribed = subscribe.send().await?;
        Ok(Self {
            sns,
            sqs,
            queue_url: created.queue_url.context("the queue has no URL")?,
            subscription: subscribed.subscription_arn.unwrap_or_default(),
        })
    }

    /// Waits up to a second for messages.
    ///
    /// # Errors
    /// When the call fails, or a message is not JSON.
    pub async fn receive(&self) -> Result<Vec<Message>> {
        let receive = self.sqs.receive_message().queue_url(&self.queue_url);
        let receive = receive.max_number_of_messages(10).wait_time_seconds(1);
        let received = receive.message_attribute_names("All").send().await?;
        let mut messages = Vec::new();
        for message in received.messages.unwrap_or_default() {
            let attributes = message.message_attributes.into_iter().flatten();
            messages.push(Message {
                claims: serde_json::from_str(&message.body.unwrap_or_default())?,
                attributes: attributes
                    .map(|(name, value)| (name, value.string_value))
                    .collect(),
            });
        }
        Ok(messages)
    }

    /// Removes the queue and its subscription.
    ///
    /// # Errors
    /// When one of them may be left.
    pub async fn remove(&self) -> Result<()> {
        let subscription = self.subscription.clone();
        let unsubscribe = self.sns.unsubscribe().subscription_arn(subscription);
        unsubscribe.send().await?;
        let delete = self.sqs.delete_queue().queue_url(&self.queue_url);
        delete.send().await?;
        Ok(())
    }
}

/// A message of the topic.
#[derive(Clone, Debug)]
pub struct Message {
    /// The claims of a Security Event Token (RFC 8417).
    pub claims: Value,
    /// The attributes by which subscribers filter.
    pub attributes: Value,
}

impl Message {
    /// Returns the type of the event.
    #[must_use]
    pub fn event_type(&self) -> &str {
        self.attributes["event_type"].as_str().unwrap_or_default()
    }

    /// Returns the id of its `user`, `device` or `session`, or null.
    #[must_use]
    pub fn subject(&self, name: &str) -> &Value {
        &self.claims["sub_id"][name]["id"]
    }
}
