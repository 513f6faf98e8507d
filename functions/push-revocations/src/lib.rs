//! Tells each connected device whose session has ended, and ends its connection.
//!
//! A message only says where to look. Which session is over, and which sign-out
//! ended it, is read from the tables, so messages may come twice, late and in any
//! order; and a device that has signed in again is never told to wipe. The one
//! frame that is ever sent is the revocation, and only to a session that is over.

mod message;
mod tell;

use std::time::{Duration, Instant};

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use aws_lambda_events::streams::{SqsBatchItemFailure, SqsEventResponse};
use domain::{Limits, Timestamp};
use futures_util::future::join_all;
use runtime::{Calls, Clock};
use sockets::{PushQueue, Sockets};
use store::{Cause, Store, StoreError, chain};

use crate::message::Task;
use crate::tell::{Counts, Failing, Pace, close, tell};

/// What the function may reach: the rows of accounts, devices and connections,
/// the receipts, the open sockets, and its own queue.
#[derive(Debug)]
pub struct Deps {
    /// The tables.
    pub store: Store,
    /// The open sockets.
    pub sockets: Sockets,
    /// Where something is asked for that has to wait.
    pub queue: PushQueue,
    /// How long a session lasts.
    pub limits: Limits,
    /// The clock.
    pub clock: Clock,
    /// The calls of the tables.
    pub table_calls: Calls,
    /// The calls of the sockets.
    pub push_calls: Calls,
}

/// How many devices are told at once.
pub const WIDTH: usize = 64;

/// For how long new calls are begun. What was begun by then is finished or given up
/// soon after, and what is left fails its message, before Lambda (30 s) would end
/// everything without a word of what was done.
pub const BUDGET: Duration = Duration::from_secs(20);

/// Why a message is to be delivered again. Whatever was done of it stays done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The message is none of this queue.
    #[error("the message is none of this queue")]
    NotAMessage(#[source] serde_json::Error),
    /// The tables did not do their part.
    #[error("the tables failed")]
    Store(#[from] StoreError),
    /// Some of it could not be done; everything else was.
    #[error("{undone} parts were not done, one of them so")]
    Undone {
        /// How many.
        undone: usize,
        /// Why the first was not.
        #[source]
        first: Cause,
    },
}

/// Does what each message asks for, each by itself, and names those that are to
/// be delivered again.
pub async fn handle(deps: &Deps, event: SqsEvent) -> SqsEventResponse {
    let began = Instant::now();
    let now = deps.clock.now();
    let calls = || (deps.table_calls.made(), deps.push_calls.made());
    let before = calls();
    let pace = Pace {
        clock: &deps.clock,
        until: now + BUDGET,
        width: (WIDTH / event.records.len().max(1)).max(1),
    };
    let messages = event.records.iter();
    let done = join_all(messages.map(|message| work(deps, message, pace, now))).await;

    let mut response = SqsEventResponse::default();
    for (message, is_done) in event.records.iter().zip(done) {
        if !is_done {
            let mut failure = SqsBatchItemFailure::default();
            failure.item_identifier = Some(message.message_id.clone().unwrap_or_default());
            response.batch_item_failures.push(failure);
        }
    }
    let after = calls();
    tracing::info!(
        messages = event.records.len(),
        again = response.batch_item_failures.len(),
        table_calls = after.0 - before.0,
        push_calls = after.1 - before.1,
        duration_us = micros(began),
        "A batch of messages was worked through.",
    );
    response
}

/// Does what a message asks for, and writes one line to the log; whether nothing
/// is left to do.
async fn work(deps: &Deps, message: &SqsMessage, pace: Pace<'_>, now: Timestamp) -> bool {
    let began = Instant::now();
    let message_id = message.message_id.as_deref();
    let mut counts = Counts::default();
    let task = match Task::read(message.body.as_deref().unwrap_or_default()) {
        Ok(task) => task,
        Err(error) => {
            let cause = chain(&Error::NotAMessage(error));
            tracing::error!(message_id, cause, "A message can't be read.");
            return false;
        }
    };
    let done = match &task {
        Task::Tell(account, concerned) => match deps.store.connections(*account).await {
            Ok(mut connections) => {
                connections.retain(|connection| concerned.has(connection));
                tell(
                    deps,
                    *account,
                    &connections,
                    Failing::Apart,
                    pace,
                    now,
                    &mut counts,
                )
                .await
            }
            Err(error) => Err(error.into()),
        },
        Task::Check(account, id) => match deps.store.connection_of(*account, id).await {
            Ok(connection) => {
                let connections: Vec<_> = connection.into_iter().collect();
                tell(
                    deps,
                    *account,
                    &connections,
                    Failing::Together,
                    pace,
                    now,
                    &mut counts,
                )
                .await
            }
            Err(error) => Err(error.into()),
        },
        Task::Close(account, ids) => close(deps, *account, ids, pace, &mut counts).await,
        Task::Nothing => Ok(()),
    };
    if let Err(error) = &done {
        let cause = chain(error);
        tracing::error!(message_id, cause, "A message is to be delivered again.");
    }
    tracing::info!(
        message_id,
        task = task.name(),
        account = task.account().map(tracing::field::display),
        is_done = done.is_ok(),
        told = counts.told,
        gone = counts.gone,
        early = counts.early,
        replaced = counts.replaced,
        valid = counts.valid,
        closed = counts.closed,
        later = counts.later,
        failed = counts.failed,
        duration_us = micros(began),
        "A message was worked through.",
    );
    done.is_ok()
}

fn micros(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}
