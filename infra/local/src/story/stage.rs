//! The stack that the story plays on: the one that runs already, or one of its
//! own, which ends with it.

use std::time::Duration;

use anyhow::Result;
use curfew::{Options, Record, Stack, running, target};
use reqwest::Client;

/// A stack that runs but is stuck is no stage.
const PATIENCE: Duration = Duration::from_secs(10);

/// A stack, and whose it is.
pub enum Stage {
    /// That of `cargo run`, in another process.
    Running(Box<Record>),
    /// The story's own.
    Own(Box<Stack>),
}

impl Stage {
    /// Takes the running stack, or else starts one.
    ///
    /// # Errors
    /// When none runs and none can be started.
    pub async fn find() -> Result<Self> {
        if let Some(record) = running(&target().join("local"))? {
            if answers(&record.api_url).await {
                return Ok(Self::Running(Box::new(record)));
            }
            eprintln!("The stack at {} does not answer.", record.api_url);
        }
        eprintln!("No stack is running, so the story starts one of its own.");
        let stack = Stack::start(Options::apart("story")).await?;
        Ok(Self::Own(Box::new(stack)))
    }

    /// What there is to know of it.
    pub fn record(&self) -> &Record {
        match self {
            Self::Running(record) => record,
            Self::Own(stack) => stack.record(),
        }
    }

    /// Waits until the story's own stack breaks. That of another process shows
    /// it by not answering.
    ///
    /// # Errors
    /// Always, if it ever ends; the message says which part has broken.
    pub async fn broken(&mut self) -> Result<()> {
        match self {
            Self::Running(_) => std::future::pending().await,
            Self::Own(stack) => stack.broken().await,
        }
    }
}

async fn answers(api_url: &str) -> bool {
    let Ok(client) = Client::builder().no_proxy().timeout(PATIENCE).build() else {
        return false;
    };
    let answer = client
        .get(format!("{api_url}/v1/openapi.json"))
        .send()
        .await;
    answer.is_ok_and(|answer| answer.status().is_success())
}
