//! Marks, after every session of an account was ended or every one but one, each
//! device that this ended: its row, and its part of the receipt.
//!
//! Nobody waits for it: the account's epoch refuses them all from the moment the
//! sign-out was answered. One message walks one page of the devices and hands over
//! to the next. Any step can be repeated, at any time and in any order: a session
//! is judged by the records of the sign-outs, its row is marked on condition that
//! it still is of that session, and its event is the same each time.

mod queue;

use std::time::Instant;

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use aws_lambda_events::streams::{SqsBatchItemFailure, SqsEventResponse};
use domain::ids::InvalidId;
use domain::sign_out::first_to_end;
use domain::{AccountId, Device, DeviceState, Epoch, Limits, SignOut, SignOutId, SignOutTarget};
use events::{Event, Publish, Revoked, SecurityEventToken, Topic, session_ended};
use store::{Store, StoreError, WriteOutcome, chain};

pub use queue::Queue;

/// What the function may reach: the rows of devices, the receipts, the topic, and
/// its own queue.
#[derive(Debug)]
pub struct Deps {
    /// The tables.
    pub store: Store,
    /// Where the events of single sessions go.
    pub topic: Topic,
    /// Where the next page is asked for.
    pub queue: Queue,
    /// The `iss` of the events.
    pub issuer: String,
    /// How many devices one message walks.
    pub page_size: i32,
    /// How long receipts are kept.
    pub limits: Limits,
}

/// Why a page is to be walked again. Whatever was done of it stays done.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The message is none of the events.
    #[error("the message is none of the events")]
    NotAnEvent(#[source] serde_json::Error),
    /// The message names a sign-out or a place that can't be one.
    #[error("the message has an id that is none")]
    InvalidId(#[from] InvalidId),
    /// The tables did not do their part.
    #[error("the tables failed")]
    Store(#[from] StoreError),
    /// SNS did not take an event; the session's row is not marked, so that the
    /// event comes again.
    #[error("an event was not published")]
    NotPublished,
    /// The next page could not be asked for.
    #[error("the next page was not asked for")]
    NextPage(#[source] store::Cause),
}

/// The sign-out that a message announces. What it ended is judged by its record,
/// and not by the message.
struct Announced {
    account: AccountId,
    sign_out: SignOutId,
    ended: Epoch,
}

/// What was done on one page.
#[derive(Debug, Default)]
struct Page {
    devices: usize,
    marked: usize,
    is_last: bool,
}

/// Walks a page for each message, and names those that are to be delivered again.
pub async fn handle(deps: &Deps, event: SqsEvent) -> SqsEventResponse {
    let mut response = SqsEventResponse::default();
    for message in &event.records {
        let began = Instant::now();
        if let Err(error) = sweep(deps, message, began).await {
            let message_id = message.message_id.as_deref();
            tracing::error!(message_id, cause = chain(&error), "A page was not swept.");
            let mut failure = SqsBatchItemFailure::default();
            failure.item_identifier = Some(message_id.unwrap_or_default().to_owned());
            response.batch_item_failures.push(failure);
        }
    }
    response
}

async fn sweep(deps: &Deps, message: &SqsMessage, began: Instant) -> Result<(), Error> {
    let body = message.body.as_deref().unwrap_or_default();
    let token: SecurityEventToken = serde_json::from_str(body).map_err(Error::NotAnEvent)?;
    let Some(announced) = Announced::by(&token)? else {
        tracing::info!(
            jti = token.jti,
            "A message was about one session: nothing to sweep."
        );
        return Ok(());
    };
    let page = walk(deps, &announced, message, body).await?;
    tracing::info!(
        account = %announced.account,
        sign_out = %announced.sign_out,
        devices = page.devices,
        marked = page.marked,
        is_last = page.is_last,
        duration_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        "A page was swept.",
    );
    Ok(())
}

/// Walks one page, and asks for the next when all of this one is done.
async fn walk(
    deps: &Deps,
    announced: &Announced,
    message: &SqsMessage,
    body: &str,
) -> Result<Page, Error> {
    let after = queue::place(message)?;
    let page = deps
        .store
        .devices(announced.account, after, deps.page_size)
        .await?;
    let marked = match ended(deps, announced, &page.devices).await? {
        Some((sign_out, devices)) => mark(deps, &sign_out, &devices).await?,
        None => 0,
    };
    if let Some(last) = page.next {
        deps.queue
            .go_on(body, last)
            .await
            .map_err(Error::NextPage)?;
    }
    Ok(Page {
        devices: page.devices.len(),
        marked,
        is_last: page.next.is_none(),
    })
}

/// The record of the sign-out, and the devices of a page whose sessions it ended
/// and which are not marked yet. Those that an earlier one ended are that one's to
/// mark.
async fn ended<'a>(
    deps: &Deps,
    announced: &Announced,
    devices: &'a [Device],
) -> Result<Option<(SignOut, Vec<&'a Device>)>, StoreError> {
    let unmarked = || {
        devices.iter().filter(|device| {
            device.state == DeviceState::SignedIn && device.epoch <= announced.ended
        })
    };
    let Some(oldest) = unmarked().map(|device| device.epoch).min() else {
        return Ok(None);
    };
    let sign_outs = deps
        .store
        .sign_outs_since(announced.account, oldest)
        .await?;
    let ended = unmarked()
        .filter(|device| {
            first_to_end(&sign_outs, device.session, device.epoch)
                .is_some_and(|sign_out| sign_out.id == announced.sign_out)
        })
        .collect();
    let sign_out = sign_outs
        .iter()
        .find(|sign_out| sign_out.id == announced.sign_out);
    Ok(sign_out.map(|sign_out| (sign_out.clone(), ended)))
}

/// Marks the devices, and tells how many were not marked before. When one session
/// lives on, each one that ended has an event of its own; a row that is marked is
/// never looked at again, so its event comes first.
async fn mark(deps: &Deps, sign_out: &SignOut, devices: &[&Device]) -> Result<usize, Error> {
    let outcomes = if matches!(sign_out.target, SignOutTarget::Epoch { kept: Some(_), .. }) {
        let event = |device: &&Device| session_ended(sign_out, device, &deps.issuer);
        deps.topic
            .publish(&devices.iter().map(event).collect::<Vec<_>>())
            .await
    } else {
        vec![Publish::Published; devices.len()]
    };
    let mut marked = 0;
    for (device, _) in devices
        .iter()
        .zip(&outcomes)
        .filter(|(_, it)| **it == Publish::Published)
    {
        match deps.store.sweep(device, sign_out, &deps.limits).await? {
            WriteOutcome::Done => marked += 1,
            // Marked before, or the device has signed in again: both are well.
            WriteOutcome::Stale => {}
        }
    }
    if outcomes
        .iter()
        .all(|outcome| *outcome == Publish::Published)
    {
        Ok(marked)
    } else {
        Err(Error::NotPublished)
    }
}

impl Announced {
    /// The whole-account end that a message is about; none when it is about
    /// something else.
    fn by(token: &SecurityEventToken) -> Result<Option<Self>, InvalidId> {
        let ended = match &token.events {
            Event::SessionRevoked(event) => match event.revoked {
                Revoked::Account { ended_epoch } => ended_epoch,
                Revoked::Session { .. } => return Ok(None),
            },
            Event::OtherSessionsRevoked(event) => event.ended_epoch,
            Event::CredentialChange(_) | Event::SessionEstablished(_) => return Ok(None),
        };
        Ok(Some(Self {
            account: token.sub_id.user.id,
            sign_out: token.txn.parse()?,
            ended: Epoch(ended),
        }))
    }
}
