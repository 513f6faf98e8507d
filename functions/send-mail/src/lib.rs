//! Sends the mails of both queues: decides which mail a message becomes, renders it and
//! hands it to SES.
//!
//! The only function that knows whether an address that somebody typed belongs to an
//! account, and nobody waits for its answer. A message can come twice, and then the mail
//! can, too.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

mod choose;
mod facts;
mod render;
mod sender;

use std::time::Instant;

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use aws_lambda_events::streams::SqsEventResponse;
use domain::email::InvalidEmail;
use futures_util::future::join_all;
use mail::Message;
use runtime::{elapsed_us, return_failed};
use store::{Store, StoreError};

pub use choose::{Addressee, Mail};
pub use facts::{Facts, FailureFacts};
pub use render::{Rendered, render};
pub use sender::{ConfigurationSets, SendError, Sender};

/// Reads identities and accounts; sends mails.
#[derive(Debug)]
pub struct Deps {
    pub store: Store,
    /// None when the stack sends no mail.
    pub sender: Option<Sender>,
    /// The address of the page, to which every link goes.
    pub page_url: String,
    /// The name of the product.
    pub product: String,
}

/// Reasons to return a message to its queue.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the message is not one of the mail queues")]
    InvalidMessage(#[source] serde_json::Error),
    #[error("the message has an invalid address")]
    InvalidAddress(#[from] InvalidEmail),
    #[error("the message is not a notice that can be mailed")]
    InvalidNotice,
    #[error("DynamoDB request failed")]
    Store(#[from] StoreError),
    #[error("the mail could not be rendered")]
    Render(#[from] askama::Error),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("MailFrom is empty, so no mail is sent")]
    NoSender,
}

/// Sends the mail of each message, and returns the messages that failed to their queue.
pub async fn handle(deps: &Deps, event: SqsEvent) -> SqsEventResponse {
    let sent = join_all(event.records.iter().map(|message| process(deps, message))).await;
    return_failed(&event, sent, "mail not sent")
}

/// Sends the mail of one message, and logs one line about it.
async fn process(deps: &Deps, message: &SqsMessage) -> Result<(), Error> {
    let started = Instant::now();
    let sender = deps.sender.as_ref().ok_or(Error::NoSender)?;
    let body = message.body.as_deref().unwrap_or_default();
    let message: Message = serde_json::from_str(body).map_err(Error::InvalidMessage)?;
    let (mail, to) = choose::choose(deps, &message).await?;
    let rendered = render(&mail, to.language, &deps.product)?;
    let outcome = match sender.send(&to, &rendered).await {
        Ok(()) => "sent",
        // Another attempt would be refused, too.
        Err(SendError::Refused(_)) => "refused",
        Err(error) => return Err(error.into()),
    };
    tracing::info!(
        asked = message.kind(),
        mail = mail.name(),
        language = to.language.tag(),
        outcome,
        duration_us = elapsed_us(started),
        "mail processed",
    );
    Ok(())
}
