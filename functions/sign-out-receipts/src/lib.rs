//! `GET /v1/sign-outs/{sign_out_id}` (the receipt of a sign-out) and
//! `POST /v1/sign-outs/{sign_out_id}/acknowledgement` (a device confirms that it has
//! wiped what it had stored).

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

use domain::{DeviceId, EndInfo, Limits, Receipt, SessionProof, SignOutId, Timestamp, Token};
use http_api::{
    Answer, BodyProblems, ENDED_COOKIE, EndedTokenProblems, Event, OriginPolicy, Paging, Problem,
    ReceiptAnswer, ReceiptView, Reply, Request, RequestProblems, SESSION_COOKIE, SignOutNotFound,
    TokenProblems, authenticate, cookie, serve,
};
use runtime::Clock;
use serde::{Deserialize, Serialize};
use store::{AcknowledgeOutcome, Store};
use utoipa::{IntoParams, OpenApi, ToSchema};

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

/// Reads accounts; writes devices and receipts.
#[derive(Debug)]
pub struct Deps {
    pub store: Store,
    pub limits: Limits,
    pub origin_policy: OriginPolicy,
    pub clock: Clock,
}

/// The parameters of the query.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Query {
    /// The most devices to return.
    #[param(required = false, minimum = 1, maximum = 1000, default = 100)]
    pub limit: usize,
    /// The start of the page: the `next_cursor` of the previous page.
    #[param(required = false, value_type = String, format = Uuid)]
    pub cursor: Option<DeviceId>,
}

/// The answer to an acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Acknowledged {
    /// `wiped`.
    #[schema(example = "wiped")]
    pub state: String,
}

/// The function's part of the `OpenAPI` document.
#[derive(Debug, Clone, Copy, OpenApi)]
#[openapi(paths(receipt, acknowledge))]
pub struct Document;

/// Answers a request of either route.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let now = deps.clock.now();
    serve(&deps.origin_policy, event, now, |request, now| async move {
        match request.route() {
            "GET /v1/sign-outs/{sign_out_id}" => receipt(deps, &request, now).await,
            "POST /v1/sign-outs/{sign_out_id}/acknowledgement" => {
                acknowledge(deps, &request, now).await
            }
            _ => Err(Problem::NotFound),
        }
    })
    .await
}

/// Returns the progress of a sign-out, device by device.
#[utoipa::path(
    get, path = "/v1/sign-outs/{sign_out_id}", operation_id = "getSignOut", tag = "sign-outs",
    params(
        ("sign_out_id" = String, Path, description = "The `id` of a sign-out of the account.", format = Uuid),
        Query,
    ),
    security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "The receipt of the sign-out.", body = ReceiptAnswer,
            example = json!(ReceiptAnswer::example())),
        RequestProblems, TokenProblems, SignOutNotFound,
    ),
)]
async fn receipt(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Problem> {
    let caller = authenticate(&deps.store, request, &deps.limits, now).await?;
    let Paging { limit, cursor } =
        Paging::read(request, DEFAULT_LIMIT, MAX_LIMIT, |_, _| Ok(false))?;
    let id = wanted(request)?;
    let receipt = deps
        .store
        .receipt(caller.account.id, id, &deps.limits)
        .await?
        .filter(|receipt| Receipt::is_kept(&receipt.sign_out, &deps.limits, now))
        .ok_or(Problem::SignOutNotFound)?;
    Ok(Answer::json(
        200,
        &ReceiptAnswer {
            sign_out: ReceiptView::new(&receipt, cursor, limit),
        },
    ))
}

/// Records that a device has wiped what it had stored. The device sends the token
/// that this sign-out ended; the token is valid for this request only.
#[utoipa::path(
    post, path = "/v1/sign-outs/{sign_out_id}/acknowledgement",
    operation_id = "acknowledgeSignOut", tag = "sign-outs",
    params(("sign_out_id" = String, Path, description = "The `id` of the sign-out that ended the session of the token.", format = Uuid)),
    security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "The acknowledgement is in the receipt. Sending it again changes nothing.",
            body = Acknowledged, example = json!({ "state": "wiped" })),
        RequestProblems, EndedTokenProblems, BodyProblems, SignOutNotFound,
    ),
)]
async fn acknowledge(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Problem> {
    request.no_body()?;
    let id = wanted(request)?;
    // The ended cookie comes first, and only it is cleared: the session cookie may belong
    // to a later session of the page. Try the session cookie only if the ended one is of
    // another sign-out. After a failed read the client has to retry.
    if let Some(token) = request.ended_token()? {
        let done = acknowledge_as(deps, request, &token, id, now).await;
        let is_of_another = matches!(done, Err(Problem::SignOutNotFound | Problem::TokenInvalid));
        if !is_of_another || request.cookies(SESSION_COOKIE).is_empty() {
            done?;
            return Ok(acknowledged().with_cookie(cookie(ENDED_COOKIE, "", 0)));
        }
    }
    let token = request.token()?;
    let ended = acknowledge_as(deps, request, &token, id, now).await?;
    if ended.is_by_itself(token.device()) {
        // The answer to the page's own sign-out has deleted or replaced the cookie.
        return Ok(acknowledged());
    }
    Ok(acknowledged().for_signed_out(request.transport()))
}

fn acknowledged() -> Answer {
    let state = "wiped".to_owned();
    Answer::json(200, &Acknowledged { state })
}

async fn acknowledge_as(
    deps: &Deps,
    request: &Request,
    token: &Token,
    id: SignOutId,
    now: Timestamp,
) -> Result<EndInfo, Problem> {
    let (account, device) = (token.account(), token.device());
    let proof = SessionProof::Token(token.hash());
    let outcome = deps
        .store
        .acknowledge(account, device, proof, id, now, &deps.limits)
        .await?;
    if outcome != AcknowledgeOutcome::UnknownSession {
        // The caller holds the secret, so the ids in its token are its own.
        request.note_account(account);
        request.note_device(device);
    }
    match outcome {
        AcknowledgeOutcome::Acknowledged(ended) => Ok(ended),
        AcknowledgeOutcome::NotEnded => Err(Problem::SignOutNotFound),
        AcknowledgeOutcome::UnknownSession => Err(Problem::TokenInvalid),
    }
}

/// Returns the sign-out in the path. Treats an id that can't be parsed as not found.
fn wanted(request: &Request) -> Result<SignOutId, Problem> {
    request
        .path_parameter("sign_out_id")
        .and_then(|id| id.parse().ok())
        .ok_or(Problem::SignOutNotFound)
}
