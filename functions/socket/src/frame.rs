//! The frames that a device sends: heartbeats, and the acknowledgement that it has
//! wiped its data.

use std::time::Duration;

use domain::{ConnectionId, SessionProof, SignOutId, Step, Timestamp};
use http_api::{Problem, ProblemDocument, record_contact, touch_if_due};
use serde::{Deserialize, Serialize};
use sockets::SocketTask;
use store::{AcknowledgeOutcome, Cause, Connection, StoreError, WriteOutcome};

use crate::session::{CheckedSession, check_session};
use crate::{Deps, Event, LogIds};

const MAX_FRAME_BYTES: usize = 4 * 1024;

/// The time that the index of connections may need to show a new socket, with reserve:
/// DynamoDB names "a fraction of a second" under normal conditions. In milliseconds.
const INDEX_LAG_MS: i64 = 10_000;

/// Reasons that a frame could not be handled. They are logged and not sent to the
/// device, which sends its next heartbeat, or its acknowledgement again, anyway.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("DynamoDB request failed")]
    Store(#[from] StoreError),
    #[error("socket not closed")]
    Gateway(#[source] Cause),
    #[error("push not queued")]
    Queue(#[source] Cause),
}

/// The JSON of a frame.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct RawFrame {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default)]
    sign_out: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Heartbeat,
    Acknowledgement,
}

enum Frame {
    Heartbeat,
    /// The device has wiped what it had stored. None if the id that it names can't be
    /// that of a sign-out.
    Acknowledgement(Option<SignOutId>),
}

/// The frame that reports to a device what is wrong with its own.
#[derive(Serialize)]
struct ProblemFrame {
    #[serde(rename = "type")]
    kind: &'static str,
    problem: ProblemDocument,
}

/// Handles a frame. Returns its outcome, for the log.
pub(crate) async fn handle(
    deps: &Deps,
    event: &Event,
    id: &ConnectionId,
    now: Timestamp,
    ids: &mut LogIds,
) -> Result<&'static str, Error> {
    let Some(connection) = deps.store.connection(id).await? else {
        return close_unknown(deps, event, id, now).await;
    };
    ids.set(connection.account, connection.session.device);
    let frame = parse(event);
    // Before the check of the session: a device acknowledges when its session has
    // ended.
    if let Ok(Frame::Acknowledgement(Some(sign_out))) = frame
        && acknowledge(deps, &connection, sign_out, now).await?
    {
        return Ok("acknowledged");
    }
    match check(deps, &connection, &frame, now).await? {
        CheckedSession::SignedIn(_) => match frame {
            Ok(Frame::Heartbeat) => Ok("heartbeat"),
            Ok(Frame::Acknowledgement(_)) => Ok(reject(deps, id, &Problem::SignOutNotFound).await),
            Err(problem) => Ok(reject(deps, id, &problem).await),
        },
        CheckedSession::SignedOut(device, end) => {
            record_contact(&deps.store, &device, &end, Step::Seen, &deps.limits, now).await;
            queue_push(deps, &connection).await?;
            Ok("session-signed-out")
        }
        CheckedSession::Ended => {
            close(deps, &connection).await?;
            Ok("session-ended")
        }
    }
}

/// Closes a socket without a row, unless it is too new to have one. Returns the outcome.
async fn close_unknown(
    deps: &Deps,
    event: &Event,
    id: &ConnectionId,
    now: Timestamp,
) -> Result<&'static str, Error> {
    if is_new(event, now) {
        return Ok("not-found-yet");
    }
    // Its row was deleted, so no push would find it: it must not stay open.
    deps.sockets.close(id).await.map_err(Error::Gateway)?;
    Ok("unknown")
}

/// Returns whether the socket is so new that the index may not have its row yet.
fn is_new(event: &Event, now: Timestamp) -> bool {
    // In milliseconds since 1970, by the gateway.
    let connected_at = event.request_context.connected_at;
    now.as_millisecond() - connected_at < INDEX_LAG_MS
}

/// Checks the session of a connection, and updates when the device was last active
/// if the frame is a heartbeat.
async fn check(
    deps: &Deps,
    connection: &Connection,
    frame: &Result<Frame, Problem>,
    now: Timestamp,
) -> Result<CheckedSession, StoreError> {
    let (account, session) = (connection.account, &connection.session);
    let check = || check_session(deps, account, session.device, session.session, now);
    let mut checked = check().await?;
    if let (CheckedSession::SignedIn(device), Ok(Frame::Heartbeat)) = (&mut checked, frame)
        // A frame has no headers, so a distribution could not say where it comes from.
        && touch_if_due(&deps.store, device, None, &deps.limits, now).await == WriteOutcome::Stale
    {
        // The session ended after it was read: the second check returns how.
        return check().await;
    }
    Ok(checked)
}

/// Queues a push to a device whose session has ended: what it is sent is decided in
/// `push-revocations` alone.
async fn queue_push(deps: &Deps, connection: &Connection) -> Result<(), Error> {
    let task = SocketTask::Check {
        account_id: connection.account,
        connection_id: connection.id.clone(),
    };
    let queued = deps.queue.send(&task, Duration::ZERO).await;
    queued.map_err(Error::Queue)
}

fn parse(event: &Event) -> Result<Frame, Problem> {
    let text = event.body.as_deref().unwrap_or_default();
    if event.is_base64_encoded {
        return Err(Problem::invalid("frame", "must be text"));
    }
    if text.len() > MAX_FRAME_BYTES {
        let detail = format!("must have at most {MAX_FRAME_BYTES} bytes");
        return Err(Problem::invalid("frame", detail));
    }
    let raw: RawFrame = http_api::object(text.as_bytes()).map_err(|problem| match problem {
        Problem::RequestInvalid { field, detail } if field == "body" => {
            Problem::invalid("frame", detail)
        }
        problem => problem,
    })?;
    match (raw.kind, raw.sign_out) {
        (Kind::Heartbeat, None) => Ok(Frame::Heartbeat),
        (Kind::Heartbeat, Some(_)) => Err(Problem::invalid(
            "sign_out",
            "is not allowed in a heartbeat",
        )),
        (Kind::Acknowledgement, Some(id)) => Ok(Frame::Acknowledgement(id.parse().ok())),
        (Kind::Acknowledgement, None) => Err(Problem::invalid("sign_out", "is missing")),
    }
}

/// Records in the receipt that the device has wiped, and closes its socket. Returns
/// whether the sign-out is one that ended the session.
async fn acknowledge(
    deps: &Deps,
    connection: &Connection,
    sign_out: SignOutId,
    now: Timestamp,
) -> Result<bool, Error> {
    let (account, session) = (connection.account, &connection.session);
    let proof = SessionProof::Session(session.session);
    let limits = &deps.limits;
    match deps
        .store
        .acknowledge(account, session.device, proof, sign_out, now, limits)
        .await?
    {
        AcknowledgeOutcome::Acknowledged(_) => {
            close(deps, connection).await?;
            Ok(true)
        }
        AcknowledgeOutcome::NotEnded | AcknowledgeOutcome::UnknownSession => Ok(false),
    }
}

/// Closes a socket and deletes its row. In this order: a row without a socket does no
/// harm, but a socket without a row is found by no push.
async fn close(deps: &Deps, connection: &Connection) -> Result<(), Error> {
    let (account, id) = (connection.account, &connection.id);
    deps.sockets.close(id).await.map_err(Error::Gateway)?;
    deps.store.disconnect(account, id).await?;
    Ok(())
}

/// Reports to a device what is wrong with its frame. Its session was valid a moment
/// ago, so there is a single attempt: a retry could reach it after its session ended.
/// Returns the problem's name, for the log.
async fn reject(deps: &Deps, id: &ConnectionId, problem: &Problem) -> &'static str {
    let frame = ProblemFrame {
        kind: "problem",
        problem: problem.document(),
    };
    let frame = serde_json::to_string(&frame).expect("a problem has strings and numbers alone");
    if let Err(error) = deps.sockets.send_once(id, &frame).await {
        let cause = store::chain(error.as_ref());
        tracing::warn!(cause, "problem not sent");
    }
    problem.name()
}
