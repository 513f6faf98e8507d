//! Notifies each connected device whose session has ended, and closes its socket.
//!
//! A message only says where to look. Which session has ended, and which sign-out
//! ended it, is read from the tables. So messages may come twice, late and in any
//! order, and a device that has signed in again never wipes because of one. The only
//! frame that is ever sent is the revocation, and only to a session that has ended.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

mod deadline;
mod message;
mod notify;
mod report;

use std::time::{Duration, Instant};

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use aws_lambda_events::streams::{SqsBatchItemFailure, SqsEventResponse};
use domain::{Limits, Timestamp};
use futures_util::future::join_all;
use runtime::{Calls, Clock, elapsed_us};
use sockets::{PushQueue, Sockets};
use store::{Cause, Store, StoreError, chain};

use crate::deadline::Deadline;
use crate::message::Task;
use crate::notify::{RetryMode, close, notify};
use crate::report::Report;

/// Reads accounts and devices; writes connections and receipts; sends to sockets and
/// queues tasks for later.
#[derive(Debug)]
pub struct Deps {
    pub store: Store,
    pub sockets: Sockets,
    /// Its own queue, for tasks that have to wait.
    pub queue: PushQueue,
    pub limits: Limits,
    pub clock: Clock,
    /// Counts the calls of the tables.
    pub table_calls: Calls,
    /// Counts the calls of the gateway.
    pub push_calls: Calls,
}

/// The most calls of one batch that run at the same time.
pub const MAX_CONCURRENT: usize = 64;

/// The time in which a batch starts new calls. Calls that have started get a little
/// longer (`deadline.rs`), so that what was done is logged and what is left goes back
/// to the queue before Lambda ends the process after 30 seconds.
pub const TIME_BUDGET: Duration = Duration::from_secs(20);

/// Reasons to return a message to the queue. Completed work is not undone.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the message is neither an event nor a task for sockets")]
    InvalidMessage(#[source] serde_json::Error),
    #[error("DynamoDB request failed")]
    Store(#[from] StoreError),
    /// Some parts failed; all others are done.
    #[error("{failed} parts failed")]
    Incomplete {
        failed: usize,
        /// The cause of the first failure.
        #[source]
        first: Cause,
    },
}

/// The context that the messages of one batch share.
struct Batch<'a> {
    deps: &'a Deps,
    now: Timestamp,
    deadline: Deadline<'a>,
    /// The calls that one message may run at the same time.
    concurrency: usize,
}

/// Processes the messages of a batch independently of each other, and returns those
/// that failed to the queue.
pub async fn handle(deps: &Deps, event: SqsEvent) -> SqsEventResponse {
    let started = Instant::now();
    let now = deps.clock.now();
    let calls = || (deps.table_calls.made(), deps.push_calls.made());
    let calls_before = calls();
    let batch = Batch {
        deps,
        now,
        deadline: Deadline {
            clock: &deps.clock,
            at: now + TIME_BUDGET,
        },
        concurrency: (MAX_CONCURRENT / event.records.len().max(1)).max(1),
    };
    let processed = join_all(event.records.iter().map(|message| batch.process(message))).await;

    let mut response = SqsEventResponse::default();
    for (message, is_done) in event.records.iter().zip(processed) {
        if !is_done {
            let mut failure = SqsBatchItemFailure::default();
            failure.item_identifier = Some(message.message_id.clone().unwrap_or_default());
            response.batch_item_failures.push(failure);
        }
    }
    let calls_after = calls();
    tracing::info!(
        messages = event.records.len(),
        returned = response.batch_item_failures.len(),
        table_calls = calls_after.0 - calls_before.0,
        push_calls = calls_after.1 - calls_before.1,
        duration_us = elapsed_us(started),
        "batch processed",
    );
    response
}

impl Batch<'_> {
    /// Makes a call for each item, as [`Deadline::for_each`] does.
    async fn for_each<T, R>(
        &self,
        items: impl IntoIterator<Item = T>,
        call: impl AsyncFn(&T) -> Result<R, Cause>,
    ) -> Vec<(T, Result<R, Cause>)> {
        self.deadline.for_each(self.concurrency, items, call).await
    }

    /// Processes one message and logs one line about it. Returns whether it is done;
    /// if not, it has to be delivered again.
    async fn process(&self, message: &SqsMessage) -> bool {
        let started = Instant::now();
        let message_id = message.message_id.as_deref();
        let task = match Task::parse(message.body.as_deref().unwrap_or_default()) {
            Ok(task) => task,
            Err(error) => {
                let cause = chain(&Error::InvalidMessage(error));
                tracing::error!(message_id, cause, "message unreadable");
                return false;
            }
        };
        let mut report = Report::default();
        let result = self.run(&task, &mut report).await;
        if let Err(error) = &result {
            tracing::error!(message_id, cause = chain(error), "message failed");
        }
        tracing::info!(
            message_id,
            task = task.name(),
            account = task.account().map(tracing::field::display),
            is_done = result.is_ok(),
            notified = report.notified,
            gone = report.gone,
            not_open_yet = report.not_open_yet,
            closed_silently = report.closed_silently,
            signed_in = report.signed_in,
            closed = report.closed,
            retried = report.retried,
            failed = report.failed,
            duration_us = elapsed_us(started),
            "message processed",
        );
        result.is_ok()
    }

    async fn run(&self, task: &Task, report: &mut Report) -> Result<(), Error> {
        let store = &self.deps.store;
        match task {
            Task::Notify(account, affected) => {
                let mut connections = store.connections(*account).await?;
                connections.retain(|connection| affected.contains(connection));
                notify(self, *account, &connections, RetryMode::Separate, report).await?;
            }
            Task::Check(account, id) => {
                let connection = store.connection_of(*account, id).await?;
                let connections = connection.as_slice();
                notify(self, *account, connections, RetryMode::WithBatch, report).await?;
            }
            Task::Close(account, ids) => close(self, *account, ids, report).await,
            Task::Nothing => {}
        }
        report.result()
    }
}
