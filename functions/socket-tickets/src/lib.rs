//! `POST /v1/socket-tickets`: a ticket that opens one socket, for a page, which
//! can't send its token in a header when it opens one.

use domain::token::TICKET_LIFETIME;
use domain::{Limits, SocketTicket, Timestamp};
use http_api::{
    Answer, CallerError, Event, OriginPolicy, Problem, Reply, Request, authenticate, serve,
};
use runtime::Clock;
use serde::Serialize;
use store::{Store, StoreError, Ticket};
use utoipa::{OpenApi, ToSchema};
use zeroize::Zeroizing;

/// What the function may reach: the rows of accounts and devices, the receipts of
/// refused contacts, and the tickets, to write them.
#[derive(Debug)]
pub struct Deps {
    /// The tables.
    pub store: Store,
    /// How long a session lasts.
    pub limits: Limits,
    /// Who may call.
    pub origin_policy: OriginPolicy,
    /// The clock.
    pub clock: Clock,
    /// Where the ticket opens a socket.
    pub url: String,
}

/// The answer: a ticket.
#[derive(Serialize, ToSchema)]
pub struct Issued {
    /// The ticket, shown this once: offer the subprotocols `curfew.v1` and
    /// `curfew.ticket.` followed by it. It opens one socket.
    #[schema(value_type = String, pattern = "^cfs_[A-Za-z0-9_-]{49}$")]
    pub ticket: Zeroizing<String>,
    /// From when on it opens nothing.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    /// Where it opens a socket.
    #[schema(value_type = String, format = "uri", example = "wss://sockets.example.com/v1")]
    pub url: String,
}

/// Why there is no ticket.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller was not let in.
    #[error(transparent)]
    Caller(#[from] CallerError),
    /// The request is wrong.
    #[error("the request is not valid")]
    Request(Problem),
    /// The tables did not do their part.
    #[error("the tables failed")]
    Store(#[from] StoreError),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Caller(error) => error.into(),
            Error::Request(problem) => problem,
            Error::Store(error) => http_api::unavailable(&error),
        }
    }
}

/// The part of the `OpenAPI` document that this function answers for.
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

/// Gives a ticket to a device that is signed in. It belongs to the session that
/// asked: when that has ended, the ticket opens nothing.
#[utoipa::path(
    post, path = "/v1/socket-tickets", operation_id = "createSocketTicket", tag = "sockets",
    security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, description = "A ticket that opens one socket within 30 seconds.", body = Issued)),
)]
async fn issue(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Error> {
    let device = authenticate(&deps.store, request, None, &deps.limits, now)
        .await?
        .caller
        .device;
    request.no_body().map_err(Error::Request)?;
    let ticket = SocketTicket::new(runtime::random());
    let row = Ticket {
        account: device.account,
        device: device.id,
        session: device.session,
        expires_at: now + TICKET_LIFETIME,
    };
    deps.store.put_ticket(&ticket.hash(), &row).await?;
    Ok(Answer::json(
        200,
        &Issued {
            ticket: ticket.to_text(),
            expires_at: row.expires_at,
            url: deps.url.clone(),
        },
    ))
}
