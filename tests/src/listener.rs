//! A subscriber of the events: a queue that is subscribed to the topic.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::aws::{Call, Principal};
use crate::client::unique;
use crate::stack::stack;

/// The maximum time for an event, which usually takes a second or two.
const PATIENCE: Duration = Duration::from_mins(2);

/// An event that the queue delivered.
#[derive(Debug, Clone)]
pub struct ReceivedEvent {
    /// The time of its delivery.
    pub at: Instant,
    /// The attributes that subscribers filter by.
    pub attributes: Value,
    /// The claims of its token.
    pub claims: Value,
}

impl ReceivedEvent {
    /// Returns the type of the event.
    #[must_use]
    pub fn event_type(&self) -> &str {
        self.attributes["event_type"].as_str().unwrap_or_default()
    }

    /// Returns the details of the event.
    #[must_use]
    pub fn event(&self) -> &Value {
        let events = self.claims["events"].as_object();
        events
            .and_then(|events| events.values().next())
            .unwrap_or(&Value::Null)
    }

    /// Returns the id of one of its subjects, or null.
    #[must_use]
    pub fn subject(&self, name: &str) -> &Value {
        &self.claims["sub_id"][name]["id"]
    }
}

/// A queue that gets the events of one account.
#[derive(Debug)]
pub struct Listener {
    root: Principal,
    queue: String,
    received: Vec<ReceivedEvent>,
}

impl Listener {
    /// Subscribes a new queue to the events of an account.
    ///
    /// # Errors
    /// When a call to the local AWS fails.
    pub async fn of(account: &str) -> Result<Self> {
        let root = Principal::root();
        let topic = &*stack().topic_arn;
        let name = format!("listener-{}", unique());
        let created = Call::sqs("CreateQueue", &json!({ "QueueName": name }));
        let created = root.call(&created).await?.success()?;
        let queue = created["QueueUrl"].as_str().context("a queue has an URL")?;
        let asked = json!({ "QueueUrl": queue, "AttributeNames": ["QueueArn"] });
        let asked = Call::sqs("GetQueueAttributes", &asked);
        let attributes = root.call(&asked).await?.success()?;
        let arn = &attributes["Attributes"]["QueueArn"];
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": { "Service": "sns.amazonaws.com" },
                "Action": "sqs:SendMessage",
                "Resource": arn,
                "Condition": { "ArnEquals": { "aws:SourceArn": topic } },
            }],
        });
        let policy = json!({ "QueueUrl": queue, "Attributes": { "Policy": policy.to_string() } });
        let policy = Call::sqs("SetQueueAttributes", &policy);
        ensure!(root.call(&policy).await?.status == 200, "a policy is taken");
        let filter = json!({ "account_id": [account] }).to_string();
        let fields = [
            ("Action", "Subscribe"),
            ("TopicArn", topic),
            ("Protocol", "sqs"),
            ("Endpoint", arn.as_str().context("a queue has an ARN")?),
            ("Attributes.entry.1.key", "FilterPolicy"),
            ("Attributes.entry.1.value", &filter),
        ];
        let subscribed = root.call(&Call::form("sns", "2010-03-31", &fields)).await?;
        subscribed.element("SubscriptionArn")?;
        Ok(Self {
            root,
            queue: queue.to_owned(),
            received: Vec::new(),
        })
    }

    /// Waits until the events are enough, and returns all so far.
    ///
    /// # Errors
    /// When that takes too long. The message contains the events.
    pub async fn until(
        &mut self,
        enough: impl Fn(&[ReceivedEvent]) -> bool,
    ) -> Result<&[ReceivedEvent]> {
        let deadline = Instant::now() + PATIENCE;
        while !enough(&self.received) {
            ensure!(
                Instant::now() < deadline,
                "only received {:#?}",
                self.received
            );
            let receive = json!({
                "QueueUrl": self.queue,
                "WaitTimeSeconds": 1,
                "MaxNumberOfMessages": 10,
            });
            let receive = Call::sqs("ReceiveMessage", &receive);
            let received = self.root.call(&receive).await?.success()?;
            let at = Instant::now();
            for message in received["Messages"].as_array().into_iter().flatten() {
                self.received.push(received_event(message, at)?);
                let receipt = &message["ReceiptHandle"];
                let done = json!({ "QueueUrl": self.queue, "ReceiptHandle": receipt });
                self.root.call(&Call::sqs("DeleteMessage", &done)).await?;
            }
        }
        Ok(&self.received)
    }
}

/// Reads the event in the envelope of SNS.
fn received_event(message: &Value, at: Instant) -> Result<ReceivedEvent> {
    let body = message["Body"].as_str().context("a message has a body")?;
    let envelope: Value = serde_json::from_str(body)?;
    let claims = envelope["Message"]
        .as_str()
        .context("an envelope is full")?;
    let attributes = envelope["MessageAttributes"].as_object();
    let attributes = attributes
        .into_iter()
        .flatten()
        .map(|(name, attribute)| (name.clone(), attribute["Value"].clone()))
        .collect();
    Ok(ReceivedEvent {
        at,
        attributes: Value::Object(attributes),
        claims: serde_json::from_str(claims)?,
    })
}
