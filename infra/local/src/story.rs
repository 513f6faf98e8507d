//! `cargo run -- story`: finds a stack and plays the story on it.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Result, bail};
use aws_credential_types::Credentials;
use curfew::{Options, Record, Stack, running, target};
use curfew_client::Api;
use curfew_story::Settings;
use http::Method;
use runtime::{Clients, RetryPolicy};

/// A stack that answers later than this is stuck.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Plays the story on the running stack, or on one that ends with it.
///
/// # Errors
/// When there is no stack, or when an expectation of the story is not met.
pub async fn play(verbose: bool, interrupted: impl Future<Output = Result<()>>) -> Result<()> {
    if let Some(record) = running(&target().join("local"))? {
        if answers(&record.api_url).await {
            return curfew_story::play(settings(&record, verbose), interrupted).await;
        }
        eprintln!("The stack at {} does not answer.", record.api_url);
    }
    eprintln!("No stack is running. Starting one for the story.");
    let mut interrupted = pin!(interrupted);
    let mut stack = tokio::select! {
        stack = Stack::start(Options::apart("story")) => stack?,
        end = &mut interrupted => return end.and_then(|()| bail!("interrupted")),
    };
    let settings = settings(stack.record(), verbose);
    let interrupted = async {
        tokio::select! {
            end = interrupted => end,
            broken = stack.broken() => broken,
        }
    };
    Box::pin(curfew_story::play(settings, interrupted)).await
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

fn settings(record: &Record, verbose: bool) -> Settings {
    let aws = &record.aws;
    let credentials = Credentials::new(
        &aws.access_key_id,
        &aws.secret_access_key,
        None,
        None,
        "stack.json",
    );
    let clients = Clients::new(
        aws.region.clone(),
        credentials,
        Some(aws.endpoint_url.clone()),
        aws_smithy_http_client::Builder::new().build_http(),
        RetryPolicy::Standard,
    );
    Settings {
        api_url: record.api_url.clone(),
        socket_url: record.socket_url.clone(),
        example_url: record.example_url.clone(),
        topic_arn: record.topic_arn.clone(),
        sns: clients.sns(),
        sqs: clients.sqs(),
        logs: record.logs.clone(),
        watch: record.watch,
        verbose,
    }
}
