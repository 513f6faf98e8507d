//! `cargo run -- story`: plays the main job on a running stack, as an app and a
//! subscriber see it, and checks each step.
//!
//! `steps` is the script, `story` the checks that it is made of and the output,
//! `device` the devices, and `topic` the events.

mod device;
mod steps;
mod story;
mod topic;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::story::Story;
pub use crate::topic::{Message, Topic};

/// The stack that the story plays on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The API, without a slash at the end.
    pub api_url: String,
    /// The account's e-mail address.
    pub email: String,
    /// Its password.
    pub password: String,
    /// The socket of devices.
    pub socket_url: String,
    /// The example API that has the films.
    pub example_url: String,
    /// The address at which the local AWS shows its mails.
    pub mails_url: String,
    /// The folder of the functions' logs, named when a check fails.
    pub logs: PathBuf,
    /// Print requests, answers and events too.
    pub verbose: bool,
}

/// Plays the story until its end, or until `interrupted` resolves.
///
/// # Errors
/// When a check fails, the stack does not answer, or something is left behind.
pub async fn play(
    settings: Settings,
    topic: Topic,
    interrupted: impl Future<Output = Result<()>>,
) -> Result<()> {
    let logs = format!("the functions' logs are in {}", settings.logs.display());
    let mut story = Story::new(settings, topic);
    let end = tokio::select! {
        end = steps::play(&mut story) => end.context(logs),
        end = interrupted => end.and_then(|()| bail!("interrupted")),
    };
    let removed = story.topic.remove().await;
    end.and(removed.context("the story's queue is left behind"))
}
