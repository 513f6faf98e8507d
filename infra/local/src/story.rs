//! `cargo run -- story`: finds a stack and plays the story on it.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Result, bail};
use curfew::{Options, Record, Stack, demo, mails, running, target};
use curfew_client::Api;
use curfew_story::{Settings, Topic};
use http::Method;
use store::Store;

/// A stack that answers later than this is stuck.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Plays the story on the running stack, or on one that ends with it.
///
/// # Errors
/// When there is no stack, or when an expectation of the story is not met.
pub async fn play(verbose: bool, interrupted: impl Future<Output = Result<()>>) -> Result<()> {
    if let Some(record) = running(&target().join("local"))? {
        if answers(&record.api_url).await {
            return play_on(&record, verbose, interrupted).await;
        }
        eprintln!("The stack at {} does not answer.", record.api_url);
    }
    eprintln!("No stack is running. Starting one for the story.");
    let mut interrupted = pin!(interrupted);
    let mut stack = tokio::select! {
        stack = Stack::start(Options::apart("story")) => stack?,
        end = &mut interrupted => return end.and_then(|()| bail!("interrupted")),
    };
    let record = stack.record().clone();
    let interrupted = async {
        tokio::select! {
            end = interrupted => end,
            broken = stack.broken() => broken,
        }
    };
    Box::pin(play_on(&record, verbose, interrupted)).await
}

async fn answers(api_url: &str) -> bool {
    let Ok(api) = Api::new(api_url) else {
        return false;
    };
    let call = api
        .with_timeout(TIMEOUT)
        .call(Method::GET, "/v1/openapi.json");
    call.send().await.is_ok_and(|answer| answer.status == 200)
}

/// Subscribes to the topic, and plays the story.
async fn play_on(
    record: &Record,
    verbose: bool,
    interrupted: impl Future<Output = Result<()>>,
) -> Result<()> {
    let clients = record.aws.clients();
    let topic = Topic::subscribe(&clients, &record.topic_arn, None);
    let store = Store::new(clients.dynamodb(), record.tables.clone().into());
    let [email, password] = [demo::password()?, demo::password()?];
    let email = format!("lea.{}@example.com", email.to_lowercase());
    demo::register(&store, &email, &password).await?;
    let settings = Settings {
        email,
        password,
        api_url: record.api_url.clone(),
        socket_url: record.socket_url.clone(),
        example_url: record.example_url.clone(),
        mails_url: mails::url(&record.aws),
        logs: record.logs.clone(),
        verbose,
    };
    curfew_story::play(settings, topic.await?, interrupted).await
}
