//! A subscriber of an account's events.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
pub use curfew_story::Message;
use curfew_story::Topic;

use crate::stack::stack;

/// The maximum time for an event, which usually takes a second or two.
const PATIENCE: Duration = Duration::from_mins(2);

/// A queue that gets the events of one account.
#[derive(Debug)]
pub struct Listener {
    topic: Topic,
    received: Vec<Message>,
}

impl Listener {
    /// Subscribes a new queue to the events of an account.
    ///
    /// # Errors
    /// When a call to the local AWS fails.
    pub async fn of(account: &str) -> Result<Self> {
        let clients = stack().aws.clients();
        Ok(Self {
            topic: Topic::subscribe(&clients, &stack().topic_arn, Some(account)).await?,
            received: Vec::new(),
        })
    }

    /// Waits until the events are enough, and returns all so far.
    ///
    /// # Errors
    /// When that takes too long. The message contains the events.
    pub async fn until(&mut self, enough: impl Fn(&[Message]) -> bool) -> Result<&[Message]> {
        let deadline = Instant::now() + PATIENCE;
        while !enough(&self.received) {
            let is_late = Instant::now() > deadline;
            ensure!(!is_late, "only received {:#?}", self.received);
            self.received.extend(self.topic.receive().await?);
        }
        Ok(&self.received)
    }
}
