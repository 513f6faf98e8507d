//! `cargo run -- story`: plays the main job on a running stack, as an app and a
//! subscriber see it, and checks each step.
//!
//! `steps` is the script, `story` the checks that it is made of, `device` the
//! devices, `topic` the events, and `page` the output.

mod device;
mod page;
mod steps;
mod story;
mod topic;

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::story::Story;
use crate::topic::Topic;

/// The stack that the story plays on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The API, without a slash at the end.
    pub api_url: String,
    /// The socket of devices.
    pub socket_url: String,
    /// The example API that has the films.
    pub example_url: String,
    /// The topic of the events.
    pub topic_arn: String,
    /// The client of the topic's AWS.
    pub sns: aws_sdk_sns::Client,
    /// The client of the same AWS, for a queue.
    pub sqs: aws_sdk_sqs::Client,
    /// The folder of the functions' logs, named when a check fails.
    pub logs: PathBuf,
    /// True when the gateway sees every client at 127.0.0.1.
    pub watch: bool,
    /// Print requests, answers and events too.
    pub verbose: bool,
}

/// Plays the story until its end, or until `interrupted` resolves.
///
/// # Errors
/// When a check fails, the stack does not answer, or something is left behind.
pub async fn play(settings: Settings, interrupted: impl Future<Output = Result<()>>) -> Result<()> {
    let topic = Topic::subscribe(&settings).await?;
    let mut story = Story::new(settings, &topic);
    let end = tokio::select! {
        end = steps::play(&mut story) => end,
        end = interrupted => end.and_then(|()| bail!("interrupted")),
    };
    if let Err(error) = end {
        story.fail(format!("the story stopped: {error:#}"));
    }
    if let Err(error) = topic.remove().await {
        story.fail(format!("something is left behind: {error:#}"));
    }
    story.close()
}
