//! The socket that a device keeps open, so that it is notified at once when its
//! session ends: the handshake, the device's frames, and the close.
//!
//! Sends nothing to a device whose session has ended: that is done by
//! `push-revocations` alone. A frame of such a device is recorded in the receipt, and
//! queues a push to it.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

mod caps;
mod frame;
mod handshake;
mod session;

use std::collections::BTreeMap;
use std::time::Instant;

use aws_lambda_events::apigw::ApiGatewayWebsocketProxyRequest;
use domain::{AccountId, ConnectionId, DeviceId, Limits, Timestamp};
use runtime::{Clock, elapsed_us};
use serde::{Deserialize, Serialize};
use sockets::{PushQueue, Sockets};
use store::{Store, StoreError};

/// Reads accounts; writes devices, receipts and connections; redeems tickets; sends to
/// sockets and queues pushes.
#[derive(Debug)]
pub struct Deps {
    pub store: Store,
    pub sockets: Sockets,
    /// The queue of the pushes.
    pub queue: PushQueue,
    pub limits: Limits,
    pub clock: Clock,
}

/// An event of the gateway's WebSocket API.
pub type Event = ApiGatewayWebsocketProxyRequest;

/// The answer to the gateway. It never has a body: the gateway would send the body of
/// an answer to a frame to the device, whose session may have ended by then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// The HTTP status. Only the client of a handshake gets it.
    pub status_code: u16,
    /// The headers of the answer to a handshake.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

/// The answer to an event, and its outcome for the log.
struct Handled {
    outcome: &'static str,
    reply: Reply,
}

/// The ids of the caller, for the log.
#[derive(Default)]
struct LogIds {
    account: Option<AccountId>,
    device: Option<DeviceId>,
}

/// Handles an event of the gateway, and logs one line about it.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let started = Instant::now();
    let now = deps.clock.now();
    let context = &event.request_context;
    let id = context.connection_id.as_deref().unwrap_or_default();
    let mut ids = LogIds::default();
    // By the type of the event, which the gateway sets, and not by its route: a frame
    // chooses its route by its own text, and could choose that of a handshake.
    let kind = context.event_type.as_deref().unwrap_or_default();
    let handled = match (kind, id.parse::<ConnectionId>()) {
        ("CONNECT", Ok(id)) => connect(deps, &event, id, now, &mut ids).await,
        ("MESSAGE", Ok(id)) => message(deps, &event, &id, now, &mut ids).await,
        ("DISCONNECT", Ok(id)) => disconnect(deps, &id, &mut ids).await,
        _ => Handled {
            outcome: "unknown-event",
            reply: Reply::bare(400),
        },
    };
    tracing::info!(
        request = context.request_id.as_deref(),
        event = kind,
        connection = id,
        status = handled.reply.status_code,
        outcome = handled.outcome,
        account = ids.account.map(tracing::field::display),
        device = ids.device.map(tracing::field::display),
        duration_us = elapsed_us(started),
        "socket event",
    );
    handled.reply
}

/// Accepts or refuses a handshake. A refusal has no reason: a client that holds a
/// token learns it from `GET /v1/session`.
async fn connect(
    deps: &Deps,
    event: &Event,
    id: ConnectionId,
    now: Timestamp,
    ids: &mut LogIds,
) -> Handled {
    match handshake::connect(deps, event, id, now, ids).await {
        Ok(protocol) => Handled {
            outcome: "connected",
            reply: Reply {
                headers: protocol.into_iter().collect(),
                ..Reply::bare(200)
            },
        },
        Err(refused) => {
            if let handshake::Refused::Store(error) = &refused {
                tracing::error!(cause = error.chain(), "handshake failed");
            }
            Handled {
                outcome: refused.outcome(),
                reply: Reply::bare(refused.status()),
            }
        }
    }
}

/// Handles a frame. The answer is always 200: the gateway would report any other
/// status to the device.
async fn message(
    deps: &Deps,
    event: &Event,
    id: &ConnectionId,
    now: Timestamp,
    ids: &mut LogIds,
) -> Handled {
    let outcome = match frame::handle(deps, event, id, now, ids).await {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::error!(cause = store::chain(&error), "frame failed");
            "unavailable"
        }
    };
    Handled {
        outcome,
        reply: Reply::bare(200),
    }
}

/// Deletes the row of a connection that was closed.
async fn disconnect(deps: &Deps, id: &ConnectionId, ids: &mut LogIds) -> Handled {
    let deleted: Result<&'static str, StoreError> = async {
        let Some(connection) = deps.store.connection(id).await? else {
            return Ok("unknown");
        };
        ids.set(connection.account, connection.session.device);
        deps.store.disconnect(connection.account, id).await?;
        Ok("disconnected")
    }
    .await;
    let outcome = deleted.unwrap_or_else(|error| {
        // The row does no harm: the next push or the TTL deletes it.
        tracing::warn!(cause = error.chain(), "connection not deleted");
        "unavailable"
    });
    Handled {
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

impl LogIds {
    fn set(&mut self, account: AccountId, device: DeviceId) {
        self.account = Some(account);
        self.device = Some(device);
    }
}
