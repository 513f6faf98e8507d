//! The story's own ear: a queue behind the topic, there as long as the story.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result};
use aws_sdk_sqs::types::{Message, QueueAttributeName};
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::Stage;
use crate::event::Event;

/// A queue that hears everything that the topic is told.
pub struct Subscription {
    sns: aws_sdk_sns::Client,
    queue: Queue,
    arn: String,
    arrivals: UnboundedReceiver<Result<Event>>,
    receiving: JoinHandle<()>,
}

impl Subscription {
    /// Makes the queue, hangs it behind the topic and begins to listen.
    ///
    /// # Errors
    /// When the local AWS refuses; nothing is left behind.
    pub async fn begin(record: &Stage) -> Result<Self> {
        let (sns, sqs) = (record.sns.clone(), record.sqs.clone());
        let queue = Queue::create(sqs, &record.topic_arn).await?;
        let arn = match subscribe(&sns, &queue, &record.topic_arn).await {
            Ok(arn) => arn,
            Err(error) => {
                queue.delete().await?;
                return Err(error);
            }
        };
        let (tell, arrivals) = unbounded_channel();
        let receiving = tokio::spawn(queue.clone().receive(tell));
        Ok(Self {
            sns,
            queue,
            arn,
            arrivals,
            receiving,
        })
    }

    /// The next event, whoever it is about.
    ///
    /// # Errors
    /// When the queue can't be read any more.
    pub async fn next(&mut self) -> Result<Event> {
        let arrival = self.arrivals.recv().await;
        arrival.context("the queue is not read any more")?
    }

    /// The next event, if it has come already.
    pub fn pending(&mut self) -> Option<Result<Event>> {
        self.arrivals.try_recv().ok()
    }

    /// Takes the queue away again.
    ///
    /// # Errors
    /// When something of it is left behind.
    pub async fn end(self) -> Result<()> {
        self.receiving.abort();
        let unsubscribed = self
            .sns
            .unsubscribe()
            .subscription_arn(&self.arn)
            .send()
            .await;
        self.queue.delete().await?;
        unsubscribed
            .map(|_| ())
            .context("the story's subscription could not be removed")
    }
}

#[derive(Clone)]
struct Queue {
    sqs: aws_sdk_sqs::Client,
    url: String,
    arn: String,
}

impl Queue {
    /// A queue of a name that no other story has, which the topic may send to.
    async fn create(sqs: aws_sdk_sqs::Client, topic_arn: &str) -> Result<Self> {
        let mark = u32::from_be_bytes(runtime::random());
        let created = sqs
            .create_queue()
            .queue_name(format!("curfew-story-{mark:08x}"))
            .send()
            .await
            .context("the story's queue could not be made")?;
        let url = created
            .queue_url
            .context("the story's queue has no address")?;
        let mut queue = Self {
            sqs,
            url,
            arn: String::new(),
        };
        match queue.admit(topic_arn).await {
            Ok(arn) => queue.arn = arn,
            Err(error) => {
                queue.delete().await?;
                return Err(error);
            }
        }
        Ok(queue)
    }

    /// Lets the topic send to it, and tells its ARN.
    async fn admit(&self, topic_arn: &str) -> Result<String> {
        let attributes = self
            .sqs
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(QueueAttributeName::QueueArn)
            .send()
            .await
            .context("the story's queue could not be looked at")?;
        let arn = attributes
            .attributes()
            .and_then(|attributes| attributes.get(&QueueAttributeName::QueueArn))
            .context("the story's queue has no ARN")?;
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
        self.sqs
            .set_queue_attributes()
            .queue_url(&self.url)
            .attributes(QueueAttributeName::Policy, policy.to_string())
            .send()
            .await
            .context("the story's queue could not be opened to the topic")?;
        Ok(arn.clone())
    }

    /// Reads for as long as anybody listens.
    async fn receive(self, tell: UnboundedSender<Result<Event>>) {
        loop {
            let read = self.read().await;
            let is_over = read.is_err();
            let arrivals = match read {
                Ok(events) => events,
                Err(error) => vec![Err(error)],
            };
            for arrival in arrivals {
                if tell.send(arrival).is_err() {
                    return;
                }
            }
            if is_over {
                return;
            }
        }
    }

    async fn read(&self) -> Result<Vec<Result<Event>>> {
        let received = self
            .sqs
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(10)
            .wait_time_seconds(1)
            .message_attribute_names("All")
            .send()
            .await
            .context("the story's queue could not be read")?;
        let at = Instant::now();
        let mut events = Vec::new();
        for message in received.messages.unwrap_or_default() {
            events.push(event(&message, at));
            // Otherwise it would come again.
            self.sqs
                .delete_message()
                .queue_url(&self.url)
                .set_receipt_handle(message.receipt_handle)
                .send()
                .await
                .context("a message could not be taken from the story's queue")?;
        }
        Ok(events)
    }

    async fn delete(&self) -> Result<()> {
        let deleted = self.sqs.delete_queue().queue_url(&self.url).send().await;
        deleted
            .map(|_| ())
            .context("the story's queue could not be removed")
    }
}

async fn subscribe(sns: &aws_sdk_sns::Client, queue: &Queue, topic_arn: &str) -> Result<String> {
    let subscribed = sns
        .subscribe()
        .topic_arn(topic_arn)
        .protocol("sqs")
        .endpoint(&queue.arn)
        // The message itself, without SNS's envelope; its attributes become the
        // queue's.
        .attributes("RawMessageDelivery", "true")
        .return_subscription_arn(true)
        .send()
        .await
        .context("the story's queue could not be subscribed to the topic")?;
    subscribed
        .subscription_arn
        .context("the story's subscription has no ARN")
}

fn event(message: &Message, at: Instant) -> Result<Event> {
    let attributes: BTreeMap<String, String> = message
        .message_attributes()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.string_value()?.to_owned())))
        .collect();
    Event::read(message.body().unwrap_or_default(), attributes, at)
}
