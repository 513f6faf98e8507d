//! The frames of a device: that it is there, and that it has wiped.

use std::time::Duration;

use domain::{ConnectionId, Device, SessionProof, SignOutId, Timestamp};
use http_api::{Problem, ProblemDocument};
use serde::{Deserialize, Serialize};
use sockets::Asked;
use store::{AcknowledgeOutcome, Cause, Connection, StoreError, WriteOutcome};

use crate::standing::{Stands, contacted, judge};
use crate::{Deps, Event, Notes};

/// The most bytes in a frame.
const MAX_FRAME_BYTES: usize = 4 * 1024;

/// Why a frame was not worked through. Its device hears nothing of it, and sends
/// another.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The tables did not do their part.
    #[error("the tables failed")]
    Store(#[from] StoreError),
    /// The socket could not be ended.
    #[error("the gateway failed")]
    Gateway(#[source] Cause),
    /// A push could not be asked for.
    #[error("the queue failed")]
    Queue(#[source] Cause),
}

/// A frame, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Written {
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

/// What a frame says.
enum Frame {
    /// The device is there.
    Heartbeat,
    /// The device has wiped what it had stored; no sign-out has the id that it
    /// names if there is none here.
    Acknowledgement(Option<SignOutId>),
}

/// What is wrong with a frame, to the device that sent it.
#[derive(Serialize)]
struct AuthError {
    #[serde(rename = "type")]
    kind: &'static str,
    problem: ProblemDocument,
}

/// Takes a frame, and tells what came of it, for the log.
pub(crate) async fn take(
    deps: &Deps,
    event: &Event,
    id: &ConnectionId,
    now: Timestamp,
    notes: &mut Notes,
) -> Result<&'static str, Error> {
    let Some(connection) = deps.store.connection(id).await? else {
        // It was forgotten, so no push finds it: it must not stay open.
        deps.sockets.close(id).await.map_err(Error::Gateway)?;
        return Ok("unknown");
    };
    let (account, session) = (connection.account, &connection.session);
    notes.of(account, session.device);
    let frame = read(event);
    if let Ok(Frame::Acknowledgement(Some(sign_out))) = frame
        && acknowledge(deps, &connection, sign_out, now).await?
    {
        return Ok("acknowledged");
    }
    let mut stands = judge(deps, account, session.device, session.session, now).await?;
    if let (Stands::SignedIn(device), Ok(Frame::Heartbeat)) = (&stands, &frame)
        && !touch(deps, device, now).await
    {
        // It was ended since it was judged.
        stands = judge(deps, account, session.device, session.session, now).await?;
    }
    match stands {
        Stands::SignedIn(_) => match frame {
            Ok(Frame::Heartbeat) => Ok("heartbeat"),
            Ok(Frame::Acknowledgement(_)) => Ok(refuse(deps, id, &Problem::SignOutNotFound).await),
            Err(problem) => Ok(refuse(deps, id, &problem).await),
        },
        Stands::EndInfo(device, ended) => {
            contacted(deps, &device, &ended, now).await;
            let check = Asked::Check {
                account_id: account,
                connection_id: id.clone(),
            };
            let asked = deps.queue.ask(&check, Duration::ZERO).await;
            asked.map_err(Error::Queue)?;
            Ok("session-signed-out")
        }
        Stands::Over => {
            end(deps, &connection).await?;
            Ok("session-over")
        }
    }
}

/// Reads a frame.
fn read(event: &Event) -> Result<Frame, Problem> {
    let text = event.body.as_deref().unwrap_or_default();
    if event.is_base64_encoded {
        return Err(Problem::invalid("frame", "must be text"));
    }
    if text.len() > MAX_FRAME_BYTES {
        let detail = format!("has more than {MAX_FRAME_BYTES} bytes");
        return Err(Problem::invalid("frame", detail));
    }
    let written: Written = http_api::object(text.as_bytes()).map_err(|problem| match problem {
        Problem::RequestInvalid { field, detail } if field == "body" => {
            Problem::invalid("frame", detail)
        }
        problem => problem,
    })?;
    match (written.kind, written.sign_out) {
        (Kind::Heartbeat, None) => Ok(Frame::Heartbeat),
        (Kind::Heartbeat, Some(_)) => {
            Err(Problem::invalid("sign_out", "is not known in a heartbeat"))
        }
        (Kind::Acknowledgement, Some(id)) => Ok(Frame::Acknowledgement(id.parse().ok())),
        (Kind::Acknowledgement, None) => Err(Problem::invalid("sign_out", "is missing")),
    }
}

/// Writes down that the device has wiped, and ends its connection; whether the
/// sign-out was one that ended its session.
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
        AcknowledgeOutcome::Acknowledged => {
            end(deps, connection).await?;
            Ok(true)
        }
        AcknowledgeOutcome::NotEnded | AcknowledgeOutcome::UnknownSession => Ok(false),
    }
}

/// Ends a connection and forgets it. In this order: a row without a socket harms
/// nobody, but a socket without a row is found by no push.
async fn end(deps: &Deps, connection: &Connection) -> Result<(), Error> {
    let (account, id) = (connection.account, &connection.id);
    deps.sockets.close(id).await.map_err(Error::Gateway)?;
    deps.store.disconnect(account, id).await?;
    Ok(())
}

/// Writes down that the device is in use, when that is due; false when its session
/// was ended meanwhile.
async fn touch(deps: &Deps, device: &Device, now: Timestamp) -> bool {
    if !device.is_touch_due(now) {
        return true;
    }
    let (account, session) = (device.account, device.session);
    match deps.store.touch(account, device.id, session, now).await {
        Ok(touch) => touch == WriteOutcome::Done,
        Err(error) => {
            // The check has passed; a note that was not taken harms nobody.
            tracing::warn!(cause = error.chain(), "A touch was not written.");
            true
        }
    }
}

/// Tells a device whose session has just been seen to be valid what is wrong with
/// its frame, now or not at all.
async fn refuse(deps: &Deps, id: &ConnectionId, problem: &Problem) -> &'static str {
    let refusal = AuthError {
        kind: "problem",
        problem: problem.document(),
    };
    let frame = serde_json::to_string(&refusal).expect("a problem is texts and numbers");
    if let Err(error) = deps.sockets.send_now(id, &frame).await {
        let cause = store::chain(error.as_ref());
        tracing::warn!(cause, "A device was not told what is wrong with its frame.");
    }
    problem.name()
}
