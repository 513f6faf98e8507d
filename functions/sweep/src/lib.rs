//! After an account-wide sign-out: marks the row of each device that it signed out, and
//! creates its entry in the receipt.
//!
//! No caller waits for it: the account's epoch refuses these sessions from the moment
//! the sign-out was answered. One message sweeps one page of the devices and queues
//! the next page. Every step can be repeated, at any time and in any order. The index of
//! Devices finds the sessions that the sign-out ended and that are not marked yet, and
//! nothing else is read. A row is marked only if it still holds that session. The event
//! of a session is the same each time.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

mod queue;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use aws_lambda_events::streams::SqsEventResponse;
use domain::ids::InvalidId;
use domain::{AccountId, Device, Epoch, Limits, SignOut, SignOutId, SignOutTarget, Timestamp};
use events::{Event, PublishOutcome, Revoked, SecurityEventToken, Topic, session_ended};
use futures_util::future::join_all;
use runtime::{Clock, elapsed_us, return_failed};
use store::{Store, StoreError, WriteOutcome};

pub use queue::Queue;

/// Writes devices and receipts; publishes events; queues the next page.
#[derive(Debug)]
pub struct Deps {
    pub store: Store,
    pub topic: Topic,
    /// Its own queue, for the next page.
    pub queue: Queue,
    /// The `iss` of the events.
    pub issuer: String,
    /// The number of devices that one message sweeps.
    pub page_size: i32,
    pub limits: Limits,
    pub clock: Clock,
}

/// The time in which a batch marks devices. What is left then goes back to the queue, well
/// before Lambda ends the process after 30 seconds.
pub const TIME_BUDGET: Duration = Duration::from_secs(20);

/// Reasons to return a message to the queue. Completed work is not undone.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the message is not an event")]
    NotAnEvent(#[source] serde_json::Error),
    #[error("the message has an invalid id")]
    InvalidId(#[from] InvalidId),
    #[error("DynamoDB request failed")]
    Store(#[from] StoreError),
    /// The rows of these sessions are not marked, so that the next delivery publishes
    /// their events again.
    #[error("publish failed")]
    NotPublished,
    /// The devices that are marked stay so; the next delivery marks the rest.
    #[error("no time left")]
    NoTimeLeft,
    #[error("next page not queued")]
    NextPage(#[source] store::Cause),
}

/// The sign-out that a message announces. Its record decides what it ended, not the
/// message.
struct Announced {
    account: AccountId,
    sign_out: SignOutId,
    ended: Epoch,
}

/// The counts of one page, for the log.
#[derive(Debug, Default)]
struct Page {
    devices: usize,
    marked: usize,
    is_last: bool,
}

impl Page {
    fn empty() -> Self {
        Self {
            is_last: true,
            ..Self::default()
        }
    }
}

/// Sweeps one page for each message, side by side, so that no account's messages wait
/// for another's. Returns the failed messages, which go back to the queue.
pub async fn handle(deps: &Deps, event: SqsEvent) -> SqsEventResponse {
    let deadline = deps.clock.now() + TIME_BUDGET;
    let pages = event.records.iter();
    let pages = join_all(pages.map(|message| process(deps, message, deadline))).await;
    return_failed(&event, pages, "sweep failed")
}

/// Sweeps the page that a message asks for, and logs one line about it.
async fn process(deps: &Deps, message: &SqsMessage, deadline: Timestamp) -> Result<(), Error> {
    let started = Instant::now();
    let body = message.body.as_deref().unwrap_or_default();
    let token: SecurityEventToken = serde_json::from_str(body).map_err(Error::NotAnEvent)?;
    let Some(announced) = Announced::parse(&token)? else {
        tracing::info!(jti = token.jti, "nothing to sweep");
        return Ok(());
    };
    let page = sweep(deps, &announced, message, body, deadline).await?;
    tracing::info!(
        account = %announced.account,
        sign_out = %announced.sign_out,
        devices = page.devices,
        marked = page.marked,
        is_last = page.is_last,
        duration_us = elapsed_us(started),
        "page swept",
    );
    Ok(())
}

/// Sweeps one page, and queues the next one when all of this one is done.
async fn sweep(
    deps: &Deps,
    announced: &Announced,
    message: &SqsMessage,
    body: &str,
    deadline: Timestamp,
) -> Result<Page, Error> {
    let after = queue::last_device(message)?;
    let (account, store) = (announced.account, &deps.store);
    let Some(ended) = store.resolved_epoch(account, announced.ended).await? else {
        return Ok(Page::empty());
    };
    let page = store
        .unmarked_devices(account, ended, after, deps.page_size)
        .await?;
    let mut marked = 0;
    if !page.devices.is_empty()
        && let Some(sign_out) = record(deps, announced).await?
    {
        // The writes of a transaction need not be seen together: the row of a session
        // that was kept may still be in the index under the ended epoch.
        let mut devices = page.devices.clone();
        devices.retain(|device| sign_out.is_end_of(device));
        marked = mark(deps, &sign_out, &devices, deadline).await?;
    }
    if let Some(last) = page.next {
        deps.queue
            .send_next_page(body, last)
            .await
            .map_err(Error::NextPage)?;
    }
    Ok(Page {
        devices: page.devices.len(),
        marked,
        is_last: page.next.is_none(),
    })
}

/// Returns the record of the sign-out; none when the message is not about the sign-out
/// that ended this epoch.
async fn record(deps: &Deps, announced: &Announced) -> Result<Option<SignOut>, StoreError> {
    let epochs = BTreeSet::from([announced.ended]);
    let records = deps.store.records(announced.account, &epochs).await?;
    let record = records.into_values().next();
    Ok(record.filter(|record| record.id == announced.sign_out))
}

/// Marks the devices, and returns how many were not marked before.
async fn mark(
    deps: &Deps,
    sign_out: &SignOut,
    devices: &[Device],
    deadline: Timestamp,
) -> Result<usize, Error> {
    // A marked row is never looked at again, so its event has to be published first.
    let published = publish(deps, sign_out, devices).await;
    let mut marked = 0;
    for (device, outcome) in devices.iter().zip(&published) {
        if *outcome == PublishOutcome::Published {
            if deps.clock.now() >= deadline {
                return Err(Error::NoTimeLeft);
            }
            match deps.store.sweep(device, sign_out, &deps.limits).await? {
                WriteOutcome::Done => marked += 1,
                // Marked before, or the device has signed in again: nothing to do.
                WriteOutcome::Stale => {}
            }
        }
    }
    let is_published = |outcome: &PublishOutcome| *outcome == PublishOutcome::Published;
    if published.iter().all(is_published) {
        Ok(marked)
    } else {
        Err(Error::NotPublished)
    }
}

/// Publishes an event for each ended session, if the sign-out kept the caller's session.
/// If not, publishes nothing: the event about the whole account covers every session.
async fn publish(deps: &Deps, sign_out: &SignOut, devices: &[Device]) -> Vec<PublishOutcome> {
    if !matches!(sign_out.target, SignOutTarget::Epoch { kept: Some(_), .. }) {
        return vec![PublishOutcome::Published; devices.len()];
    }
    let message = |device: &Device| session_ended(sign_out, device, &deps.issuer);
    let messages: Vec<_> = devices.iter().map(message).collect();
    deps.topic.publish(&messages).await
}

impl Announced {
    /// Returns the account-wide sign-out that a message is about; none when it is
    /// about something else.
    fn parse(token: &SecurityEventToken) -> Result<Option<Self>, InvalidId> {
        let ended = match &token.events {
            Event::SessionRevoked(event) => match event.revoked {
                Revoked::Account { ended_epoch } => ended_epoch,
                Revoked::Session { .. } => return Ok(None),
            },
            Event::OtherSessionsRevoked(event) => event.ended_epoch,
            Event::CredentialChange(_)
            | Event::SessionEstablished(_)
            | Event::AddressChanged(_) => return Ok(None),
        };
        Ok(Some(Self {
            account: token.sub_id.user.id,
            sign_out: token.txn.parse()?,
            ended: Epoch(ended),
        }))
    }
}
