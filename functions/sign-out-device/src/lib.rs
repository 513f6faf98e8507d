//! `POST /v1/devices/{device_id}/sign-out`: signs out one device, from anywhere.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

use domain::session::{Authenticated, SessionStatus, session_status};
use domain::verification::VerificationPolicy;
use domain::{Device, DeviceId, DeviceKey, EndInfo, Limits, SignOut, Timestamp};
use http_api::{
    Answer, BodyProblems, DeviceKeys, DeviceNotFound, Event, OriginPolicy, Problem, RateLimited,
    Reply, Request, RequestProblems, SignOutAnswer, Transport, VerifiedTokenProblems,
    WRITE_ATTEMPTS, authenticate_with_device, may_end_others, require_verified, serve,
};
use runtime::Clock;
use serde::Deserialize;
use store::{CountedAct, Store, StoreError, WriteOutcome};
use utoipa::{OpenApi, ToSchema};
use zeroize::Zeroizing;

/// Reads accounts; writes devices and receipts.
#[derive(Debug)]
pub struct Deps {
    pub store: Store,
    pub limits: Limits,
    pub policy: VerificationPolicy,
    /// The most devices that a recognized device signs out in a day without a verification.
    pub most_unproven: u32,
    pub origin_policy: OriginPolicy,
    pub clock: Clock,
}

/// The body of the request, which may be missing.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct SignOutDevice {
    /// The device key of the caller. With it, a recognized device signs out up to three devices
    /// a day without a verification. A page's keys come in a cookie.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^cfd_[0-9]{13}_[A-Za-z0-9_-]{43}$")]
    pub device_key: Option<Zeroizing<String>>,
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
    request_body(content = Option<SignOutDevice>, example = json!({})),
    params(("device_id" = String, Path, description = "The `id` of a device of the account.", format = Uuid)),
    security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "The device is signed out. For a device that was signed out before, \
                this is that earlier sign-out.",
            body = SignOutAnswer, example = json!(SignOutAnswer::example("device"))),
        RequestProblems, VerifiedTokenProblems, BodyProblems, DeviceNotFound, RateLimited,
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
        let keys = device_keys(request, &request.optional_json()?)?;
        let target = target.ok_or(Problem::DeviceNotFound)?;
        if let Some(ended) = earlier_end(deps, &caller, &target, now).await? {
            return Ok(Answer::json(200, &SignOutAnswer::of(&ended)));
        }
        let sign_out = SignOut::of_device(&caller, &target, now, runtime::random());
        let written = if target.id == caller.device.id {
            store.sign_out_this(&caller, &sign_out, limits).await?
        } else {
            let counted = admit(deps, &keys, &caller, now)?;
            may_end_others(&caller, now)?;
            store
                .sign_out_device(&caller, &target, &sign_out, counted, limits)
                .await?
        };
        if written == WriteOutcome::Done {
            return Ok(Answer::sign_out(&sign_out, request));
        }
    }
    Err(StoreError::Contended.into())
}

/// Decides how the sign-out of another device is counted: with a verification, or as one of the
/// few a day that a recognized device may do without one.
fn admit(
    deps: &Deps,
    keys: &DeviceKeys,
    caller: &Authenticated,
    now: Timestamp,
) -> Result<CountedAct, Problem> {
    let Authenticated { account, device } = caller;
    let most = deps.most_unproven;
    if !device.is_verified(now) {
        // A token alone may be stolen: the key shows that it is still on its device.
        let rows = std::slice::from_ref(device);
        let shown = keys.recognized(account, rows, &deps.limits, now);
        if device.may_act_unproven(shown.is_some(), most, now) {
            return Ok(CountedAct::Unproven { most });
        }
    }
    require_verified(deps.policy, caller, &deps.limits, now)?;
    Ok(CountedAct::Verified)
}

/// Returns the device keys of the body and of a page's cookie.
fn device_keys(request: &Request, body: &SignOutDevice) -> Result<DeviceKeys, Problem> {
    let mut keys = match request.transport() {
        Transport::Cookie => DeviceKeys::from_cookie(request),
        Transport::Bearer => DeviceKeys::default(),
    };
    if let Some(key) = &body.device_key {
        let key = DeviceKey::parse(key)
            .map_err(|error| Problem::invalid("device_key", error.to_string()))?;
        keys.add(key);
    }
    Ok(keys)
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
