//! Notifying devices: which socket gets a revocation, and what happens to each.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use domain::{
    AccountId, ConnectionId, Device, DeviceId, EndInfo, EndedSession, Rfc3339, SessionId,
    SignOutId, Step,
};
use serde::Serialize;
use sockets::{HANDSHAKE, SocketOutcome, SocketTask};
use store::{Cause, Connection, ResolvedStatus, StoreError, chain};

use crate::Batch;
use crate::deadline::{GRACE, TimedOut};
use crate::report::Report;

/// The time that a device has to acknowledge before its socket is closed.
const TIME_TO_ACKNOWLEDGE: Duration = Duration::from_secs(5);

/// The delay before a socket is checked again: one that may not be open yet, or one
/// whose push failed.
const RETRY_DELAY: Duration = Duration::from_secs(10);

/// The most sockets that are notified before their close is queued, as one message. It
/// is far below the size limit of SQS: an id has about 16 bytes.
const CHUNK: usize = 500;

/// The additional time for queueing the close of notified sockets. With
/// [`crate::TIME_BUDGET`] (20 s) and [`GRACE`] (5 s) it ends before Lambda does (30 s).
const TIME_TO_QUEUE: Duration = Duration::from_secs(4);

/// The retry of a socket whose push failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetryMode {
    /// Queue a new message for this socket alone, due soon. The other sockets are not
    /// notified again. A socket that timed out is retried with the whole message.
    Separate,
    /// Let SQS deliver the message again: it is about this socket alone.
    WithBatch,
}

/// The result of a push to one socket.
enum PushResult {
    Notified,
    /// The socket was closed already.
    Gone,
    /// Perhaps not open yet; queued to be checked again.
    NotOpenYet,
    /// The session was replaced or expired: there is nothing to report to the device.
    ClosedSilently,
    /// The session is valid.
    SignedIn,
}

/// The revocation: the only frame that is sent to a device whose session has ended.
#[derive(Debug, Serialize)]
struct Frame<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    sign_out: SignOutId,
    session: SessionId,
    reason: &'static str,
    signed_out_at: Rfc3339,
    signed_out_by: Option<SignedOutBy<'a>>,
}

#[derive(Debug, Serialize)]
struct SignedOutBy<'a> {
    id: DeviceId,
    name: &'a str,
}

/// A device was notified, but the receipt does not say so.
#[derive(Debug, thiserror::Error)]
#[error("the push was not recorded")]
struct NotRecorded;

/// The sockets of an account that one message is about.
struct Notifier<'a> {
    batch: &'a Batch<'a>,
    account: AccountId,
    statuses: HashMap<SessionId, ResolvedStatus>,
    /// The sessions whose push is already recorded in the receipt. It is recorded once
    /// for a device, even if the device has several sockets.
    recorded: RefCell<HashSet<SessionId>>,
}

/// Sends a revocation to each socket whose session a sign-out ended, records the push
/// in the receipt, and queues the close. Closes sockets of replaced and expired sessions
/// silently. A failure of one socket does not stop the others; it is added to `report`.
///
/// # Errors
/// [`StoreError`] when the sessions could not be read; then nothing was sent.
pub(crate) async fn notify(
    batch: &Batch<'_>,
    account: AccountId,
    connections: &[Connection],
    retry_mode: RetryMode,
    report: &mut Report,
) -> Result<(), StoreError> {
    let notifier = Notifier {
        batch,
        account,
        statuses: statuses(batch, account, connections).await?,
        recorded: RefCell::default(),
    };
    // Each chunk is finished, with its close queued, before the next one starts: if
    // time runs out, devices that were notified need not be notified again.
    let mut failed = Vec::new();
    for chunk in connections.chunks(CHUNK) {
        failed.extend(notifier.notify_chunk(chunk, report).await);
    }

    // Retry each failed socket with its own message, except those that timed out: they
    // can be thousands, so the whole message is delivered again for them.
    let is_separate = |cause: &Cause| retry_mode == RetryMode::Separate && !cause.is::<TimedOut>();
    let (separate, with_batch): (Vec<_>, Vec<_>) = failed
        .into_iter()
        .partition(|(_, cause)| is_separate(cause));
    notifier.retry_separately(separate, report).await;
    for (_, cause) in with_batch {
        report.add_failure(cause);
    }
    Ok(())
}

/// Reads the status of each session that has a socket, once for all its sockets.
async fn statuses(
    batch: &Batch<'_>,
    account: AccountId,
    connections: &[Connection],
) -> Result<HashMap<SessionId, ResolvedStatus>, StoreError> {
    let mut seen = HashSet::new();
    let sessions: Vec<_> = connections
        .iter()
        .map(Connection::session_key)
        .filter(|key| seen.insert(key.session))
        .collect();
    if sessions.is_empty() {
        return Ok(HashMap::new());
    }
    let statuses = batch
        .deps
        .store
        .resolved_statuses(account, &sessions, &batch.deps.limits, batch.now)
        .await?;
    let ids = sessions.iter().map(|key| key.session);
    Ok(ids.zip(statuses).collect())
}

impl Notifier<'_> {
    /// Notifies some of the sockets and queues their close. Returns those that failed.
    async fn notify_chunk<'c>(
        &self,
        connections: &'c [Connection],
        report: &mut Report,
    ) -> Vec<(&'c Connection, Cause)> {
        let pushes = self
            .batch
            .for_each(connections, async |connection| self.push(connection).await);
        let (mut notified, mut failed) = (Vec::new(), Vec::new());
        for (connection, result) in pushes.await {
            match result {
                Ok(PushResult::Notified) => notified.push(connection),
                Ok(PushResult::Gone) => report.gone += 1,
                Ok(PushResult::NotOpenYet) => report.not_open_yet += 1,
                Ok(PushResult::ClosedSilently) => report.closed_silently += 1,
                Ok(PushResult::SignedIn) => report.signed_in += 1,
                Err(cause) => failed.push((connection, cause)),
            }
        }
        report.notified += notified.len();

        // Close a socket only after its push is recorded in the receipt: a retry needs
        // the open socket and its row to record it.
        let (recorded, unrecorded): (Vec<_>, Vec<_>) = notified
            .into_iter()
            .partition(|connection| self.is_recorded(connection));
        failed.extend(unrecorded.into_iter().map(|one| (one, NotRecorded.into())));
        if !recorded.is_empty()
            && let Err(cause) = self.queue_close(&recorded).await
        {
            report.add_failure(cause);
        }
        failed
    }

    /// Handles one socket by the status of its session: notifies its device, closes the
    /// socket silently, or leaves it alone.
    async fn push(&self, connection: &Connection) -> Result<PushResult, Cause> {
        let deps = self.batch.deps;
        let (account, id) = (connection.account, &connection.id);
        match &self.statuses[&connection.session.session] {
            ResolvedStatus::SignedIn => Ok(PushResult::SignedIn),
            ResolvedStatus::SignedOut(end, row) => {
                match deps.sockets.send(id, &frame(connection, end)).await? {
                    SocketOutcome::Done => {
                        // At once, and not with the rest of the chunk: time may run
                        // out before that.
                        self.record(connection, end, row).await;
                        Ok(PushResult::Notified)
                    }
                    SocketOutcome::Gone => self.forget_or_retry(connection).await,
                }
            }
            ResolvedStatus::Replaced
            | ResolvedStatus::Expired
            | ResolvedStatus::AccountDisabled => match deps.sockets.close(id).await? {
                SocketOutcome::Done => {
                    deps.store.disconnect(account, id).await?;
                    Ok(PushResult::ClosedSilently)
                }
                SocketOutcome::Gone => self.forget_or_retry(connection).await,
            },
        }
    }

    /// Deletes the row of a socket that the gateway does not know, unless its
    /// handshake may still be in progress: then the socket is checked again later.
    async fn forget_or_retry(&self, connection: &Connection) -> Result<PushResult, Cause> {
        let deps = self.batch.deps;
        if self.batch.now.duration_since(connection.connected_at) < HANDSHAKE {
            self.check_later(connection).await?;
            return Ok(PushResult::NotOpenYet);
        }
        deps.store
            .disconnect(connection.account, &connection.id)
            .await?;
        Ok(PushResult::Gone)
    }

    fn is_recorded(&self, connection: &Connection) -> bool {
        let session = &connection.session.session;
        self.recorded.borrow().contains(session)
    }

    /// Records in the receipt that a device was notified, unless another of its
    /// sockets has done so. A failure is logged; [`Self::is_recorded`] then says no.
    ///
    /// The session's row has its last tokens, of which either acknowledges; the connection
    /// has those of its handshake.
    async fn record(&self, connection: &Connection, end: &EndInfo, row: &Device) {
        if self.is_recorded(connection) {
            return;
        }
        let Batch { deps, now, .. } = self.batch;
        let (session, step) = (EndedSession::from(row), Step::Notified);
        let recorded = deps
            .store
            .record_step(self.account, end, &session, step, *now, &deps.limits)
            .await;
        match recorded {
            Ok(()) => {
                self.recorded.borrow_mut().insert(session.session);
            }
            Err(error) => {
                let cause = chain(&error);
                tracing::warn!(cause, connection = %connection.id, "push not recorded");
            }
        }
    }

    /// Queues the close of sockets whose devices were notified.
    async fn queue_close(&self, connections: &[&Connection]) -> Result<(), Cause> {
        let ids = connections.iter().map(|connection| connection.id.clone());
        let task = SocketTask::Close {
            account_id: self.account,
            connection_ids: ids.collect(),
        };
        let sending = self.batch.deps.queue.send(&task, TIME_TO_ACKNOWLEDGE);
        let grace = GRACE + TIME_TO_QUEUE;
        self.batch.deadline.within(grace, sending).await
    }

    /// Queues a check of each socket that failed. One that can't be queued counts as
    /// a failure of this message.
    async fn retry_separately(&self, failed: Vec<(&Connection, Cause)>, report: &mut Report) {
        let queued = self.batch.for_each(failed, async |(connection, _)| {
            self.check_later(connection).await
        });
        for ((connection, cause), result) in queued.await {
            let cause = chain(cause.as_ref());
            match result {
                Ok(()) => {
                    tracing::warn!(cause, connection = %connection.id, "push retried");
                    report.retried += 1;
                }
                Err(error) => {
                    tracing::warn!(cause, connection = %connection.id, "push failed");
                    report.add_failure(error);
                }
            }
        }
    }

    /// Queues a message of its own for one socket.
    async fn check_later(&self, connection: &Connection) -> Result<(), Cause> {
        let task = SocketTask::Check {
            account_id: connection.account,
            connection_id: connection.id.clone(),
        };
        self.batch.deps.queue.send(&task, RETRY_DELAY).await
    }
}

/// Closes sockets whose devices were notified, and deletes their rows. Failures are
/// added to `report`.
pub(crate) async fn close(
    batch: &Batch<'_>,
    account: AccountId,
    ids: &[ConnectionId],
    report: &mut Report,
) {
    let deps = batch.deps;
    let closes = batch.for_each(ids, async |id| {
        // Close first: without its row, no later push would find an open socket.
        deps.sockets.close(id).await?;
        deps.store.disconnect(account, id).await?;
        Ok(())
    });
    for (_, closed) in closes.await {
        match closed {
            Ok(()) => report.closed += 1,
            Err(cause) => report.add_failure(cause),
        }
    }
}

/// Returns the text of the revocation for a session that has ended.
fn frame(connection: &Connection, end: &EndInfo) -> String {
    let frame = Frame {
        kind: "session-revoked",
        sign_out: end.sign_out,
        session: connection.session.session,
        reason: end.reason.as_str(),
        signed_out_at: end.at.into(),
        signed_out_by: end.by.as_ref().map(|by| SignedOutBy {
            id: by.id,
            name: &by.name,
        }),
    };
    serde_json::to_string(&frame).expect("every field of a frame is a string or null")
}
