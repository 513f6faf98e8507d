//! `POST /v1/devices/{device_id}/sign-out`: signs out one device, from anywhere.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

use domain::session::{Authenticated, SessionStatus, session_status};
use domain::{Device, DeviceId, EndInfo, Limits, SignOut, Timestamp};
use http_api::{
    Answer, BodyProblems, DeviceNotFound, Event, OriginPolicy, Problem, RateLimited, Reply,
    Request, RequestProblems, SignOutAnswer, TokenProblems, WRITE_ATTEMPTS,
    authenticate_with_device, may_end_others, serve,
};
use runtime::Clock;
use store::{Store, StoreError, WriteOutcome};
use utoipa::OpenApi;

/// Reads accounts; writes devices and receipts.
#[derive(Debug)]
pub struct Deps {
    pub store: Store,
    pub limits: Limits,
    pub origin_policy: OriginPolicy,
    pub clock: Clock,
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

/// Signs out one device of the account. After the answer, every request of it is refused.
#[utoipa::path(
    post, path = "/v1/devices/{device_id}/sign-out", operation_id = "signOutDevice",
    tag = "sign-outs",
    params(("device_id" = String, Path, description = "The `id` of a device of the account.", format = Uuid)),
    security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "The device is signed out. For a device that was signed out before, \
                this is that earlier sign-out.",
            body = SignOutAnswer, example = json!(SignOutAnswer::example("device"))),
        RequestProblems, TokenProblems, BodyProblems, DeviceNotFound, RateLimited,
    ),
)]
async fn sign_out(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Problem> {
    // An id that can't be parsed is treated as not found.
    let wanted: Option<DeviceId> = request
        .path_parameter("device_id")
        .and_then(|id| id.parse().ok());
    let (store, limits) = (&deps.store, &deps.limits);
    for _ in 0..WRITE_ATTEMPTS {
        let (caller, target) =
            authenticate_with_device(store, request, wanted, limits, now).await?;
        request.no_body()?;
        let target = target.ok_or(Problem::DeviceNotFound)?;
        if let Some(ended) = earlier_end(deps, &caller, &target, now).await? {
            return Ok(Answer::json(200, &SignOutAnswer::of(&ended)));
        }
        let sign_out = SignOut::of_device(&caller, &target, now, runtime::random());
        let written = if target.id == caller.device.id {
            store.sign_out_this(&caller, &sign_out, limits).await?
        } else {
            may_end_others(&caller, now)?;
            store
                .sign_out_device(&caller, &target, &sign_out, limits)
                .await?
        };
        if written == WriteOutcome::Done {
            return Ok(Answer::sign_out(&sign_out, request));
        }
    }
    Err(StoreError::Contended.into())
}

/// Returns the sign-out that already ended the target's session, if there is one. A
/// second sign-out then writes nothing and returns the first one.
async fn earlier_end(
    deps: &Deps,
    caller: &Authenticated,
    target: &Device,
    now: Timestamp,
) -> Result<Option<EndInfo>, StoreError> {
    match session_status(&caller.account, target, &deps.limits, now) {
        SessionStatus::SignedOut(ended) => Ok(Some(ended)),
        SessionStatus::EndedByEpoch => deps.store.end_by_epoch(target).await,
        SessionStatus::SignedIn | SessionStatus::Expired | SessionStatus::AccountDisabled => {
            Ok(None)
        }
    }
}
