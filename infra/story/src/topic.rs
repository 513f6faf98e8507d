//! The events, as a subscriber of the topic receives them.

use anyhow::{Context, Result};
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Map, Value, json};

use crate::Settings;

pub const SESSION_ESTABLISHED: &str =
    "https://schemas.openid.net/secevent/caep/event-type/session-established";
pub const SESSION_REVOKED: &str =
    "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
pub const CREDENTIAL_CHANGE: &str =
    "https://schemas.openid.net/secevent/caep/event-type/credential-change";
pub const OTHER_SESSIONS_REVOKED: &str = "urn:curfew:secevent:other-sessions-revoked";

/// A queue that is subscribed to the topic for as long as the story lasts.
pub struct Topic {
    sns: aws_sdk_sns::Client,
    sqs: aws_sdk_sqs::Client,
    queue_url: String,
    subscription: Option<String>,
}

impl Topic {
    pub async fn subscribe(settings: &Settings) -> Result<Self> {
        let random = u32::from_be_bytes(runtime::random());
        let create = settings.sqs.create_queue();
        let created = create
            .queue_name(format!("curfew-story-{random:08x}"))
            .send()
            .await?;
        let mut topic = Self {
            sns: settings.sns.clone(),
            sqs: settings.sqs.clone(),
            queue_url: created.queue_url.context("the queue has no URL")?,
            subscription: None,
        };
        if let Err(error) = topic.attach(&settings.topic_arn).await {
            topic.remove().await?;
            return Err(error.context("the story's queue could not be subscribed"));
        }
        Ok(topic)
    }

    /// Lets the topic send to the queue, and subscribes it.
    async fn attach(&mut self, topic_arn: &str) -> Result<()> {
        let attributes = self.sqs.get_queue_attributes().queue_url(&self.queue_url);
        let attributes = attributes.attribute_names(QueueAttributeName::QueueArn);
        let attributes = attributes.send().await?.attributes.unwrap_or_default();
        let arn = attributes.get(&QueueAttributeName::QueueArn);
        let arn = arn.context("the queue has no ARN")?;
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": { "Service": "sns.amazonaws.com" },
                "Action": "sqs:SendMessage",
                "Resource": arn,
                "Condition": { "ArnEquals": { "aws:SourceArn": topic_arn } },
            }],
        });
        let change = self.sqs.set_queue_attributes().queue_url(&self.queue_url);
        let change = change.attributes(QueueAttributeName::Policy, policy.to_string());
        change.send().await?;
        let subscribe = self.sns.subscribe().topic_arn(topic_arn);
        let subscribe = subscribe.protocol("sqs").endpoint(arn);
        // The message without SNS's envelope.
        let subscribe = subscribe.attributes("RawMessageDelivery", "true");
        let subscribed = subscribe.return_subscription_arn(true).send().await?;
        self.subscription = subscribed.subscription_arn;
        Ok(())
    }

    /// Waits up to a second for messages.
    pub async fn receive(&self) -> Result<Vec<Message>> {
        let receive = self.sqs.receive_message().queue_url(&self.queue_url);
        let receive = receive.max_number_of_messages(10).wait_time_seconds(1);
        let received = receive.message_attribute_names("All").send().await?;
        let mut messages = Vec::new();
        for message in received.messages.unwrap_or_default() {
            let delete = self.sqs.delete_message().queue_url(&self.queue_url);
            delete
                .set_receipt_handle(message.receipt_handle)
                .send()
                .await?;
            let attributes = message.message_attributes.unwrap_or_default().into_iter();
            let text = |(name, value): (_, aws_sdk_sqs::types::MessageAttributeValue)| {
                Some((name, value.string_value?.into()))
            };
            messages.push(Message {
                claims: serde_json::from_str(&message.body.unwrap_or_default())?,
                attributes: attributes.filter_map(text).collect(),
            });
        }
        Ok(messages)
    }

    /// Removes the queue and its subscription.
    pub async fn remove(&self) -> Result<()> {
        let deleted = self
            .sqs
            .delete_queue()
            .queue_url(&self.queue_url)
            .send()
            .await;
        if let Some(arn) = &self.subscription {
            self.sns.unsubscribe().subscription_arn(arn).send().await?;
        }
        deleted.context("the story's queue could not be removed")?;
        Ok(())
    }
}

/// A message of the topic: a Security Event Token (RFC 8417) and the attributes by
/// which subscribers filter.
pub struct Message {
    pub claims: Value,
    pub attributes: Map<String, Value>,
}

impl Message {
    pub fn claim(&self, pointer: &str) -> Option<&str> {
        self.claims.pointer(pointer)?.as_str()
    }

    /// Returns the type of the event, empty unless there is exactly one.
    pub fn event_type(&self) -> &str {
        let events = self.claims["events"]
            .as_object()
            .filter(|events| events.len() == 1);
        events
            .and_then(|events| events.keys().next())
            .map_or("", String::as_str)
    }

    pub fn session(&self) -> Option<&str> {
        self.claim("/sub_id/session/id")
    }

    /// Returns whether the claims and the attributes are those of one event.
    pub fn is_sound(&self) -> bool {
        let has = |claim| self.claim(claim).is_some_and(|text| !text.is_empty());
        let name = self.event_type().rsplit(['/', ':']).next();
        let attribute = |name| self.attributes.get(name).and_then(Value::as_str);
        let session_id = self.claims["events"][self.event_type()]["session_id"].as_str();
        has("/iss")
            && has("/jti")
            && has("/txn")
            && self.claims["iat"].is_u64()
            // Either could make a receiver take it for an access token.
            && self.claims["sub"].is_null()
            && self.claims["exp"].is_null()
            && self.claim("/sub_id/format") == Some("complex")
            && (session_id.is_none() || session_id == self.session())
            && attribute("event_type") == name
            && attribute("account_id") == self.claim("/sub_id/user/id")
    }

    /// Returns whether these are the claims of the same event about the same device.
    pub fn is(&self, expected: &Value) -> bool {
        !expected["events"][self.event_type()].is_null()
            && self.claims["sub_id"]["device"]["id"] == expected["sub_id"]["device"]["id"]
    }
}

/// Returns whether every member of `part` is in `whole` with the same value.
pub fn contains(whole: &Value, part: &Value) -> bool {
    match part {
        Value::Object(members) => {
            let mut members = members.iter();
            members.all(|(name, value)| contains(&whole[name], value))
        }
        _ => whole == part,
    }
}

#[cfg(test)]
mod tests;
