//! `POST /v1/socket-tickets`: issues a ticket that opens one socket. Pages need it:
//! a browser can't send a token in a header when it opens a socket.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

use domain::limits::TICKETS_PER_SESSION;
use domain::token::TICKET_LIFETIME;
use domain::{Limits, Rfc3339, SocketTicket, Timestamp};
use http_api::{
    Answer, BodyProblems, Event, OriginPolicy, Problem, Reply, Request, RequestProblems,
    TokenProblems, authenticate, serve,
};
use runtime::Clock;
use serde::Serialize;
use store::{Store, Ticket};
use utoipa::{OpenApi, ToSchema};
use zeroize::Zeroizing;

/// Reads accounts; writes devices, receipts and socket tickets.
#[derive(Debug)]
pub struct Deps {
    pub store: Store,
    pub limits: Limits,
    pub origin_policy: OriginPolicy,
    pub clock: Clock,
    /// The URL of the sockets.
    pub url: String,
}

/// The answer: a ticket.
#[derive(Serialize, ToSchema)]
pub struct Issued {
    /// The ticket, shown this once. Offer the subprotocols `curfew.v1` and
    /// `curfew.ticket.` followed by the ticket. It opens one socket.
    #[schema(value_type = String, pattern = "^cfs_[A-Za-z0-9_-]{70}$")]
    pub ticket: Zeroizing<String>,
    /// The time from which the ticket is no longer valid.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Rfc3339,
    /// The URL of the socket.
    #[schema(value_type = String, format = "uri", example = "wss://sockets.example.com/v1")]
    pub url: String,
}

impl Issued {
    fn example() -> Self {
        Self {
            ticket: Zeroizing::new(format!("cfs_{}", "x".repeat(70))),
            expires_at: "2026-11-20T09:30:30Z"
                .parse::<Timestamp>()
                .expect("it is a time")
                .into(),
            url: "wss://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com/v1".to_owned(),
        }
    }
}

/// The function's part of the `OpenAPI` document.
#[derive(Debug, Clone, Copy, OpenApi)]
#[openapi(paths(issue))]
pub struct Document;

/// Answers a request.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let now = deps.clock.now();
    serve(&deps.origin_policy, event, now, |request, now| async move {
        issue(deps, &request, now).await
    })
    .await
}

/// Issues a ticket to a device that is signed in. It belongs to the caller's session:
/// once that has ended, the ticket opens nothing. A session has at most 16 unused tickets:
/// with one more, the oldest no longer works.
#[utoipa::path(
    post, path = "/v1/socket-tickets", operation_id = "createSocketTicket", tag = "sockets",
    security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "A ticket that opens one socket within 30 seconds.",
            body = Issued, example = json!(Issued::example())),
        RequestProblems, TokenProblems, BodyProblems,
    ),
)]
async fn issue(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Problem> {
    let device = authenticate(&deps.store, request, &deps.limits, now)
        .await?
        .device;
    request.no_body()?;
    let ticket = SocketTicket::new(device.session, runtime::random());
    let row = Ticket {
        account: device.account,
        device: device.id,
        session: device.session,
        origin: request.origin().map(str::to_owned),
        expires_at: now + TICKET_LIFETIME,
    };
    deps.store.put_ticket(&ticket.hash(), &row).await?;
    deps.store
        .keep_newest_tickets(device.session, TICKETS_PER_SESSION)
        .await?;
    Ok(Answer::json(
        200,
        &Issued {
            ticket: ticket.to_text(),
            expires_at: row.expires_at.into(),
            url: deps.url.clone(),
        },
    ))
}
