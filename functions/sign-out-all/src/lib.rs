//! `POST /v1/sign-out-all`: signs out every device, or every other one, in one
//! write of constant size.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

use domain::verification::VerificationPolicy;
use domain::{Limits, Reason, SignOut, Timestamp};
use http_api::{
    Answer, BodyProblems, Event, OriginPolicy, Problem, RateLimited, Reply, Request,
    RequestProblems, SignOutAnswer, VerifiedTokenProblems, WRITE_ATTEMPTS, authenticate,
    may_end_others, require_verified, serve,
};
use runtime::Clock;
use serde::{Deserialize, Serialize};
use store::{Store, StoreError, WriteOutcome};
use utoipa::{OpenApi, ToSchema};

/// Writes accounts, devices and receipts.
#[derive(Debug)]
pub struct Deps {
    pub store: Store,
    pub limits: Limits,
    pub policy: VerificationPolicy,
    pub origin_policy: OriginPolicy,
    pub clock: Clock,
}

/// The sessions to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AllScope {
    /// Every session except the caller's.
    Others,
    /// Every session, including the caller's.
    Global,
}

/// The body of the request.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct SignOutAll {
    /// The sessions to end.
    pub scope: AllScope,
}

impl SignOutAll {
    fn example() -> Self {
        Self {
            scope: AllScope::Others,
        }
    }
}

/// The function's part of the `OpenAPI` document.
#[derive(Debug, Clone, Copy, OpenApi)]
#[openapi(paths(sign_out))]
pub struct Document;

/// Answers a request.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let now = deps.clock.now();
    serve(&deps.origin_policy, event, now, |request, now| async move {
        sign_out(deps, &request, now).await
    })
    .await
}

/// Signs out every device, or every other one. From the answer on, all of them are
/// refused.
#[utoipa::path(
    post, path = "/v1/sign-out-all", operation_id = "signOutAll", tag = "sign-outs",
    request_body(content = SignOutAll, example = json!(SignOutAll::example())),
    security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "The devices are signed out.", body = SignOutAnswer,
            example = json!(SignOutAnswer::example("others"))),
        RequestProblems, VerifiedTokenProblems, BodyProblems, RateLimited,
    ),
)]
async fn sign_out(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Problem> {
    for _ in 0..WRITE_ATTEMPTS {
        let caller = authenticate(&deps.store, request, &deps.limits, now).await?;
        let SignOutAll { scope } = request.json()?;
        let keep_caller = scope == AllScope::Others;
        if keep_caller {
            require_verified(deps.policy, &caller, &deps.limits, now)?;
            may_end_others(&caller, now)?;
        }
        let reason = Reason::SignedOut;
        let sign_out = SignOut::of_all(&caller, keep_caller, reason, now, runtime::random());
        let written = deps
            .store
            .sign_out_all(&caller, &sign_out, &deps.limits)
            .await?;
        if written == WriteOutcome::Done {
            return Ok(Answer::sign_out(&sign_out, request));
        }
    }
    Err(StoreError::Contended.into())
}
