//! `GET /v1/session` (who am I, and heartbeat) and `POST /v1/sign-out` (this
//! device).

use domain::{Limits, SignOut, Timestamp};
use http_api::{
    AccountView, Answer, Caller, CallerError, DeviceView, Event, OriginPolicy, Problem, Reply,
    Request, SignOutAnswer, Transport, authenticate, serve,
};
use runtime::Clock;
use serde::{Deserialize, Serialize};
use store::{Store, StoreError, WriteOutcome};
use utoipa::{OpenApi, ToSchema};

/// How often a sign-out is decided anew when rows change under it.
const ATTEMPTS: u32 = 3;

/// What the function may reach: the rows of accounts and devices, and receipts.
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
}

/// Who is signed in, and on which device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// The account.
    pub account: AccountView,
    /// The device that asks.
    pub device: DeviceView,
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
#[openapi(paths(who_am_i, sign_out))]
pub struct Document;

/// Answers a request of either route.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let now = deps.clock.now();
    serve(&deps.origin_policy, event, now, |request, now| async move {
        match request.method() {
            "GET" => who_am_i(deps, &request, now).await,
            _ => sign_out(deps, &request, now).await,
        }
    })
    .await
}

/// Tells who is signed in, and writes down that the device is in use.
#[utoipa::path(
    get, path = "/v1/session", operation_id = "getSession", tag = "sessions",
    security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, description = "Who is signed in, and on which device.", body = Session)),
)]
async fn who_am_i(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Error> {
    let mut caller = authenticate(&deps.store, request, None, &deps.limits, now)
        .await?
        .caller;
    if caller.device.is_touch_due(now) {
        let device = &caller.device;
        match deps
            .store
            .touch(device.account, device.id, device.session, now)
            .await
        {
            Ok(WriteOutcome::Done) => caller.device.last_active_at = now,
            // It was ended since it was admitted: it is told how.
            Ok(WriteOutcome::Stale) => {
                caller = authenticate(&deps.store, request, None, &deps.limits, now)
                    .await?
                    .caller;
            }
            // The check has passed; a note that was not taken harms nobody.
            Err(error) => tracing::warn!(cause = error.chain(), "A touch was not written."),
        }
    }
    Ok(Answer::json(
        200,
        &Session {
            account: AccountView::from(&caller.account),
            device: DeviceView::signed_in(&caller.device, caller.device.id),
        },
    ))
}

/// Signs this device out.
#[utoipa::path(
    post, path = "/v1/sign-out", operation_id = "signOut", tag = "sign-outs",
    security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, description = "This device is signed out.", body = SignOutAnswer)),
)]
async fn sign_out(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Error> {
    for _ in 0..ATTEMPTS {
        let Caller {
            caller, transport, ..
        } = authenticate(&deps.store, request, None, &deps.limits, now).await?;
        request.no_body().map_err(Error::Request)?;
        let sign_out = SignOut::of_this(&caller, now, runtime::random());
        match deps
            .store
            .sign_out_this(&caller, &sign_out, &deps.limits)
            .await?
        {
            WriteOutcome::Done => {
                let answer = Answer::json(200, &SignOutAnswer::of(&sign_out.end_info()));
                return Ok(match transport {
                    Transport::Cookie => answer.signing_out_the_page(),
                    Transport::Bearer => answer,
                });
            }
            WriteOutcome::Stale => {}
        }
    }
    Err(StoreError::Contended.into())
}
