//! Sends the mails of the three queues: decides which mail a message becomes, renders it and
//! hands it to SES.
//!
//! Looks up whether an address that a person typed belongs to an account. No caller waits
//! for it, so no answer and no duration reveals it. A message can come twice, and then the
//! mail can, too.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

mod choose;
mod facts;
mod render;
mod sender;

use std::time::{Duration, Instant};

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use aws_lambda_events::streams::SqsEventResponse;
use domain::email::InvalidEmail;
use domain::{Budget, CounterKey};
use futures_util::future::join_all;
use jiff::SignedDuration;
use mail::Message;
use runtime::{Clock, NoTimeLeft, elapsed_us, return_failed, within};
use store::{Charge, Store, StoreError};

pub use choose::{Addressee, Mail};
pub use facts::{Facts, FailureFacts};
pub use render::{Rendered, render};
pub use sender::{ConfigurationSets, SendError, Sender};

/// Reads identities and accounts; writes one counter; sends mails.
#[derive(Debug)]
pub struct Deps {
    pub store: Store,
    /// None when the stack sends no mail.
    pub sender: Option<Sender>,
    /// The address of the page, to which every link goes.
    pub page_url: String,
    /// The name of the product.
    pub product: String,
    /// The budget of mails to unproven addresses.
    pub unproven: Budget,
    pub clock: Clock,
}

/// The time in which a message becomes a mail. With the call to SES that follows
/// ([`runtime::CALL_TIMEOUT`], 6 s) a batch ends before Lambda ends the process after 15
/// seconds, which would return mails that were sent to the queue.
pub const TIME_TO_CHOOSE: Duration = Duration::from_secs(8);

/// The default of `UnprovenMailBudget`: a hundred mails at once, then one a second for the
/// whole stack. Anyone can ask for these mails, and their bounces count against the team's
/// account in SES.
pub const UNPROVEN: Budget = Budget::new(100, SignedDuration::from_secs(1));

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
    #[error(transparent)]
    NoTimeLeft(#[from] NoTimeLeft),
    /// Later in its life the code may still be sent.
    #[error("too many mails to unproven addresses")]
    OverBudget,
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
    let now_s = deps.clock.now().as_second();
    if message.expires_at_s().is_some_and(|end_s| end_s <= now_s) {
        tracing::info!(asked = message.kind(), outcome = "expired", "mail skipped");
        return Ok(());
    }
    let (mail, to, is_admitted) = within(TIME_TO_CHOOSE, prepare(deps, &message)).await??;
    let outcome = match send(sender, &mail, &to, is_admitted, &deps.product).await {
        Ok(()) => "sent",
        // Another attempt would be refused, too.
        Err(Error::Send(SendError::Refused(_))) => "refused",
        // Nobody waits for it, and retries would keep codes waiting.
        Err(Error::OverBudget | Error::Send(SendError::Paused))
            if !to.is_proven && !mail.has_code() =>
        {
            "dropped"
        }
        Err(error) => return Err(error),
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

/// Returns the mail that a message becomes, who it goes to, and whether the budget admits it.
/// Mails to proven addresses are not counted.
async fn prepare(deps: &Deps, message: &Message) -> Result<(Mail, Addressee, bool), Error> {
    let (mail, to) = choose::choose(deps, message).await?;
    if to.is_proven {
        return Ok((mail, to, true));
    }
    // Apart: a code that is late must not reveal that a mail about no account was sent.
    let name = if mail.has_code() {
        "unproven-mails"
    } else {
        "unproven-mails-without-code"
    };
    let counter = CounterKey::new(name, &[]);
    let charge = deps.store.charge(counter, &deps.unproven, deps.clock.now());
    let is_admitted = matches!(charge.await?, Charge::Admitted(_));
    Ok((mail, to, is_admitted))
}

async fn send(
    sender: &Sender,
    mail: &Mail,
    to: &Addressee,
    is_admitted: bool,
    product: &str,
) -> Result<(), Error> {
    if !is_admitted {
        return Err(Error::OverBudget);
    }
    let rendered = render(mail, to.language, product)?;
    Ok(sender.send(to, &rendered).await?)
}
