//! `GET /v1/session` (the caller's session, and heartbeat) and `POST /v1/sign-out`
//! (this device).

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

use domain::recognition::is_recognized;
use domain::{Limits, SignOut, Timestamp};
use http_api::{
    AccountView, Answer, BodyProblems, DeviceView, Event, OriginPolicy, Problem, Reply, Request,
    RequestProblems, SignOutAnswer, TokenProblems, WRITE_ATTEMPTS, authenticate, serve,
    touch_if_due,
};
use runtime::Clock;
use serde::{Deserialize, Serialize};
use store::{Store, StoreError, WriteOutcome};
use utoipa::{OpenApi, ToSchema};

/// Reads accounts; writes devices and receipts.
#[derive(Debug)]
pub struct Deps {
    pub store: Store,
    pub limits: Limits,
    pub origin_policy: OriginPolicy,
    pub clock: Clock,
    pub sends_mail: bool,
}

/// The account and the device of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// The account.
    pub account: AccountView,
    /// The device that sent the request.
    pub device: DeviceView,
}

impl Session {
    fn example() -> Self {
        Self {
            account: AccountView::example(),
            device: DeviceView::example(),
        }
    }
}

/// The function's part of the `OpenAPI` document.
#[derive(Debug, Clone, Copy, OpenApi)]
#[openapi(paths(get_session, sign_out))]
pub struct Document;

/// Answers a request of either route.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let now = deps.clock.now();
    serve(&deps.origin_policy, event, now, |request, now| async move {
        match request.route() {
            "GET /v1/session" => get_session(deps, &request, now).await,
            "POST /v1/sign-out" => sign_out(deps, &request, now).await,
            _ => Err(Problem::NotFound),
        }
    })
    .await
}

/// Returns the caller's session, and records that the device is in use, and where.
#[utoipa::path(
    get, path = "/v1/session", operation_id = "getSession", tag = "sessions",
    security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "The session's account and device.", body = Session,
            example = json!(Session::example())),
        RequestProblems, TokenProblems,
    ),
)]
async fn get_session(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Problem> {
    let mut caller = authenticate(&deps.store, request, &deps.limits, now).await?;
    let (device, place) = (&mut caller.device, Some(request.place()));
    if touch_if_due(&deps.store, device, place, &deps.limits, now).await == WriteOutcome::Stale {
        // It was signed out since it was read: the second read reports how.
        caller = authenticate(&deps.store, request, &deps.limits, now).await?;
    }
    let device = &caller.device;
    let is_recognized = is_recognized(&caller.account, device, &deps.limits, now);
    Ok(Answer::json(
        200,
        &Session {
            account: AccountView::new(&caller.account, deps.sends_mail),
            device: DeviceView::signed_in(device, device.id, is_recognized),
        },
    ))
}

/// Signs this device out.
#[utoipa::path(
    post, path = "/v1/sign-out", operation_id = "signOut", tag = "sign-outs",
    security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "This device is signed out.", body = SignOutAnswer,
            example = json!(SignOutAnswer::example("local"))),
        RequestProblems, TokenProblems, BodyProblems,
    ),
)]
async fn sign_out(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Problem> {
    for _ in 0..WRITE_ATTEMPTS {
        let caller = authenticate(&deps.store, request, &deps.limits, now).await?;
        request.no_body()?;
        let sign_out = SignOut::of_this(&caller, now, runtime::random());
        let written = deps
            .store
            .sign_out_this(&caller, &sign_out, &deps.limits)
            .await?;
        if written == WriteOutcome::Done {
            return Ok(Answer::sign_out(&sign_out, request));
        }
    }
    Err(StoreError::Contended.into())
}
