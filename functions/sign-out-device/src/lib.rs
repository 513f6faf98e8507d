//! `POST /v1/devices/{device_id}/sign-out`: one device, from anywhere.

use domain::session::{SessionStatus, session_status};
use domain::{DeviceId, Limits, SignOut, Timestamp};
use http_api::{
    Answer, Caller, CallerError, Event, OriginPolicy, Problem, Reply, Request, SignOutAnswer,
    Transport, authenticate, serve,
};
use runtime::Clock;
use store::{Store, StoreError, WriteOutcome};
use utoipa::OpenApi;

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

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller was not let in.
    #[error(transparent)]
    Caller(#[from] CallerError),
    /// The request is wrong.
    #[error("the request is not valid")]
    Request(Problem),
    /// The account has no such device.
    #[error("the account has no such device")]
    DeviceNotFound,
    /// The tables did not do their part.
    #[error("the tables failed")]
    Store(#[from] StoreError),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Caller(error) => error.into(),
            Error::Request(problem) => problem,
            Error::DeviceNotFound => Self::DeviceNotFound,
            Error::Store(error) => http_api::unavailable(&error),
        }
    }
}

/// The part of the `OpenAPI` document that this function answers for.
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

/// Signs one device of the account out. From the answer on it is refused.
#[utoipa::path(
    post, path = "/v1/devices/{device_id}/sign-out", operation_id = "signOutDevice",
    tag = "sign-outs",
    params(("device_id" = String, Path, description = "The `id` of a device of the account.", format = Uuid)),
    security(("bearer" = []), ("cookie" = [])),
    responses((
        status = 200, body = SignOutAnswer,
        description = "The device is signed out. If it was before, the sign-out is that one.",
    )),
)]
async fn sign_out(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Error> {
    // What is no id is the id of no device.
    let wanted: Option<DeviceId> = request
        .path_parameter("device_id")
        .and_then(|id| id.parse().ok());
    for _ in 0..ATTEMPTS {
        let Caller {
            caller,
            other: target,
            transport,
        } = authenticate(&deps.store, request, wanted, &deps.limits, now).await?;
        request.no_body().map_err(Error::Request)?;
        let target = target.ok_or(Error::DeviceNotFound)?;
        match session_status(&caller.account, &target, &deps.limits, now) {
            // It was signed out before: that stands, and nothing is written.
            SessionStatus::SignedOut(ended) => return Ok(answer(&ended)),
            SessionStatus::EndedByEpoch => {
                return Ok(answer(&deps.store.end_by_epoch(&target).await?));
            }
            SessionStatus::SignedIn | SessionStatus::Expired => {}
        }
        let sign_out = SignOut::of_device(&caller, &target, now, runtime::random());
        let is_this = sign_out.scope.includes_caller();
        let act = if is_this {
            deps.store
                .sign_out_this(&caller, &sign_out, &deps.limits)
                .await?
        } else {
            deps.store
                .sign_out_device(&caller, &target, &sign_out, &deps.limits)
                .await?
        };
        match act {
            WriteOutcome::Done if is_this && transport == Transport::Cookie => {
                return Ok(answer(&sign_out.end_info()).signing_out_the_page());
            }
            WriteOutcome::Done => return Ok(answer(&sign_out.end_info())),
            WriteOutcome::Stale => {}
        }
    }
    Err(StoreError::Contended.into())
}

fn answer(ended: &domain::EndInfo) -> Answer {
    Answer::json(200, &SignOutAnswer::of(ended))
}
