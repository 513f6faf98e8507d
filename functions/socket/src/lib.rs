//! The socket that a device keeps open, to be told at once when its session ends:
//! the handshake, the device's frames, and the end of the connection.
//!
//! To a device whose session has ended this sends nothing. What such a device is
//! told, `push-revocations` tells it; here, its frames are noted in the receipt
//! and answered by asking for that.

mod frame;
mod handshake;
mod standing;

use std::collections::BTreeMap;
use std::time::Instant;

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use domain::{AccountId, ConnectionId, DeviceId, Limits, Timestamp};
use http_api::OriginPolicy;
use runtime::Clock;
use serde::{Deserialize, Serialize};
use sockets::{PushQueue, Sockets};
use store::{Store, StoreError};

/// What the function may reach: the rows of accounts, devices and connections,
/// the receipts, the tickets, to redeem them, the open sockets, and the queue of
/// the pushes.
#[derive(Debug)]
pub struct Deps {
    /// The tables.
    pub store: Store,
    /// The open sockets.
    pub sockets: Sockets,
    /// Where a push is asked for.
    pub queue: PushQueue,
    /// How long a session lasts.
    pub limits: Limits,
    /// Who may open a socket.
    pub origin_policy: OriginPolicy,
    /// The clock.
    pub clock: Clock,
}

/// What the gateway sends.
pub type Event = ApiGatewayWebsocketProxyRequest;

/// The answer, as the gateway takes it. It never has a body: one to a frame would
/// be sent to the device, whatever has become of its session meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// The HTTP status: of a handshake, what its client gets.
    pub status_code: u16,
    /// Headers of the answer to a handshake.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// What came of an event: the words for the log, and the answer.
struct Done {
    outcome: &'static str,
    reply: Reply,
}

/// Whose event it is, for the log.
#[derive(Default)]
struct Notes {
    account: Option<AccountId>,
    device: Option<DeviceId>,
}

/// Answers an event of the gateway, and writes one line to the log.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let began = Instant::now();
    let now = deps.clock.now();
    let context = &event.request_context;
    let id = context.connection_id.as_deref().unwrap_or_default();
    let mut notes = Notes::default();
    // By what has happened and not by the route: a frame picks its route itself,
    // and can pick that of a handshake.
    let kind = context.event_type.as_deref().unwrap_or_default();
    let done = match (kind, id.parse::<ConnectionId>()) {
        ("CONNECT", Ok(id)) => connect(deps, &event, id, now, &mut notes).await,
        ("MESSAGE", Ok(id)) => message(deps, &event, &id, now, &mut notes).await,
        ("DISCONNECT", Ok(id)) => disconnect(deps, &id, &mut notes).await,
        _ => Done {
            outcome: "not-an-event",
            reply: Reply::bare(400),
        },
    };
    tracing::info!(
        request = context.request_id.as_deref(),
        event = kind,
        connection = id,
        status = done.reply.status_code,
        outcome = done.outcome,
        account = notes.account.map(tracing::field::display),
        device = notes.device.map(tracing::field::display),
        duration_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        "An event of a socket was worked through.",
    );
    done.reply
}

/// Lets a device connect, or refuses the handshake. A refusal never says why: who
/// holds a token asks `GET /v1/session`.
async fn connect(
    deps: &Deps,
    event: &Event,
    id: ConnectionId,
    now: Timestamp,
    notes: &mut Notes,
) -> Done {
    match handshake::connect(deps, event, id, now, notes).await {
        Ok(protocol) => Done {
            outcome: "connected",
            reply: Reply {
                headers: protocol.into_iter().collect(),
                ..Reply::bare(200)
            },
        },
        Err(refused) => {
            if let handshake::Refused::Store(error) = &refused {
                tracing::error!(cause = error.chain(), "A handshake could not be judged.");
            }
            Done {
                outcome: refused.outcome(),
                reply: Reply::bare(refused.status()),
            }
        }
    }
}

/// Takes a frame. The answer is the same whatever comes of it: the gateway would
/// tell the device of any other.
async fn message(
    deps: &Deps,
    event: &Event,
    id: &ConnectionId,
    now: Timestamp,
    notes: &mut Notes,
) -> Done {
    let outcome = match frame::take(deps, event, id, now, notes).await {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::error!(
                cause = store::chain(&error),
                "A frame was not worked through."
            );
            "unavailable"
        }
    };
    Done {
        outcome,
        reply: Reply::bare(200),
    }
}

/// Forgets a connection that is over.
async fn disconnect(deps: &Deps, id: &ConnectionId, notes: &mut Notes) -> Done {
    let forgotten: Result<&'static str, StoreError> = async {
        let Some(connection) = deps.store.connection(id).await? else {
            return Ok("unknown");
        };
        notes.of(connection.account, connection.session.device);
        deps.store.disconnect(connection.account, id).await?;
        Ok("disconnected")
    }
    .await;
    let outcome = forgotten.unwrap_or_else(|error| {
        // The next push, or the TTL, takes the row.
        tracing::warn!(cause = error.chain(), "A connection was not forgotten.");
        "unavailable"
    });
    Done {
        outcome,
        reply: Reply::bare(200),
    }
}

impl Reply {
    fn bare(status_code: u16) -> Self {
        Self {
            status_code,
            headers: BTreeMap::new(),
        }
    }
}

impl Notes {
    fn of(&mut self, account: AccountId, device: DeviceId) {
        self.account = Some(account);
        self.device = Some(device);
    }
}
