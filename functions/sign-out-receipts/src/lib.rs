//! `GET /v1/sign-outs/{sign_out_id}` (the receipt: how far a sign-out has come)
//! and `POST /v1/sign-outs/{sign_out_id}/acknowledgement` (a device says that it
//! has wiped what it had stored).

use domain::{DeviceId, Limits, Receipt, SessionProof, SignOutId, Timestamp};
use http_api::{
    Answer, CallerError, Event, OriginPolicy, Paging, Presented, Problem, ReceiptAnswer,
    ReceiptView, Reply, Request, Transport, authenticate, serve,
};
use runtime::Clock;
use serde::{Deserialize, Serialize};
use store::{AcknowledgeOutcome, Store, StoreError};
use utoipa::{IntoParams, OpenApi, ToSchema};

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

/// What the function may reach: the rows of accounts and devices, and receipts.
#[derive(Debug)]
pub struct Deps {
    /// The tables.
    pub store: Store,
    /// How long a session lasts, and a receipt.
    pub limits: Limits,
    /// Who may call.
    pub origin_policy: OriginPolicy,
    /// The clock.
    pub clock: Clock,
}

/// The parameters of the query.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// How many devices at the most.
    #[param(required = false, minimum = 1, maximum = 1000, default = 100)]
    pub limit: usize,
    /// Where to go on: the `next_cursor` of the answer before.
    #[param(required = false, value_type = String, format = Uuid)]
    pub cursor: Option<DeviceId>,
}

/// That a device's acknowledgement is in the receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Acknowledged {
    /// `acknowledged`.
    #[schema(example = "acknowledged")]
    pub state: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller was not let in.
    #[error(transparent)]
    Caller(#[from] CallerError),
    /// The request is wrong.
    #[error("the request is not valid")]
    Request(Problem),
    /// The account has no such sign-out, or it did not end the caller's session.
    #[error("there is no such sign-out")]
    NotFound,
    /// The token is not that of a session that was ever ended.
    #[error("there is no such session")]
    Unknown,
    /// The tables did not do their part.
    #[error("the tables failed")]
    Store(#[from] StoreError),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Caller(error) => error.into(),
            Error::Request(problem) => problem,
            Error::NotFound => Self::SignOutNotFound,
            Error::Unknown => Self::TokenInvalid,
            Error::Store(error) => http_api::unavailable(&error),
        }
    }
}

/// The part of the `OpenAPI` document that this function answers for.
#[derive(Debug, Clone, Copy, OpenApi)]
#[openapi(paths(receipt, acknowledge))]
pub struct Document;

/// Answers a request of either route.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let now = deps.clock.now();
    serve(&deps.origin_policy, event, now, |request, now| async move {
        match request.method() {
            "GET" => receipt(deps, &request, now).await,
            _ => acknowledge(deps, &request, now).await,
        }
    })
    .await
}

/// Tells how far a sign-out has come, device by device.
#[utoipa::path(
    get, path = "/v1/sign-outs/{sign_out_id}", operation_id = "getSignOut", tag = "sign-outs",
    params(
        ("sign_out_id" = String, Path, description = "The `id` of a sign-out of the account.", format = Uuid),
        Query,
    ),
    security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, description = "The receipt of the sign-out.", body = ReceiptAnswer)),
)]
async fn receipt(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Error> {
    let caller = authenticate(&deps.store, request, None, &deps.limits, now)
        .await?
        .caller;
    let paging = Paging::read(request, DEFAULT_LIMIT, MAX_LIMIT, |_, _| Ok(false));
    let Paging { limit, cursor } = paging.map_err(Error::Request)?;
    let id = wanted(request).ok_or(Error::NotFound)?;
    let receipt = deps
        .store
        .receipt(caller.account.id, id, &deps.limits)
        .await?
        .filter(|receipt| Receipt::is_kept(&receipt.sign_out, &deps.limits, now))
        .ok_or(Error::NotFound)?;
    Ok(Answer::json(
        200,
        &ReceiptAnswer {
            sign_out: ReceiptView::new(&receipt, cursor, limit),
        },
    ))
}

/// Takes a device's word that it has wiped what it had stored. It comes with the
/// token that died by this sign-out, which may do just that.
#[utoipa::path(
    post, path = "/v1/sign-outs/{sign_out_id}/acknowledgement",
    operation_id = "acknowledgeSignOut", tag = "sign-outs",
    params(("sign_out_id" = String, Path, description = "The `id` of the sign-out that ended the session of the token.", format = Uuid)),
    security(("bearer" = []), ("cookie" = [])),
    responses((
        status = 200, body = Acknowledged,
        description = "The receipt has it. Saying it again changes nothing.",
    )),
)]
async fn acknowledge(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Error> {
    let Presented { token, transport } = request.token().map_err(Error::Request)?;
    if transport == Transport::Cookie {
        request.require_origin().map_err(Error::Request)?;
    }
    request.no_body().map_err(Error::Request)?;
    let id = wanted(request).ok_or(Error::NotFound)?;
    let proof = SessionProof::Token(token.hash());
    let outcome = deps
        .store
        .acknowledge(
            token.account(),
            token.device(),
            proof,
            id,
            now,
            &deps.limits,
        )
        .await?;
    if outcome != AcknowledgeOutcome::UnknownSession {
        // The caller holds the secret, so the ids in its token are its own.
        request.note_account(token.account());
        request.note_device(token.device());
    }
    match outcome {
        AcknowledgeOutcome::Acknowledged => {}
        AcknowledgeOutcome::NotEnded => return Err(Error::NotFound),
        AcknowledgeOutcome::UnknownSession => return Err(Error::Unknown),
    }
    let answer = Answer::json(
        200,
        &Acknowledged {
            state: "acknowledged".to_owned(),
        },
    );
    Ok(match transport {
        Transport::Cookie => answer.signing_out_the_page(),
        Transport::Bearer => answer,
    })
}

/// The sign-out in the path. What is no id is the id of no sign-out.
fn wanted(request: &Request) -> Option<SignOutId> {
    request.path_parameter("sign_out_id")?.parse().ok()
}
