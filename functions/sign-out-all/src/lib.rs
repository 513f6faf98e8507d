//! `POST /v1/sign-out-all`: every device, or every other one, in one step of
//! constant cost.

use domain::{Limits, Reason, SignOut, Timestamp};
use http_api::{
    Answer, Caller, CallerError, Event, OriginPolicy, Problem, Reply, Request, SignOutAnswer,
    Transport, authenticate, serve,
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

/// Which sessions to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AllScope {
    /// Every one but the caller's.
    Others,
    /// Every one, the caller's included.
    Global,
}

/// The body of the request.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct SignOutAll {
    /// Which sessions to end.
    pub scope: AllScope,
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

/// Signs every device out, or every other one. From the answer on all of them
/// are refused.
#[utoipa::path(
    post, path = "/v1/sign-out-all", operation_id = "signOutAll", tag = "sign-outs",
    request_body = SignOutAll,
    security(("bearer" = []), ("cookie" = [])),
    responses((status = 200, description = "They are signed out.", body = SignOutAnswer)),
)]
async fn sign_out(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Error> {
    for _ in 0..ATTEMPTS {
        let Caller {
            caller, transport, ..
        } = authenticate(&deps.store, request, None, &deps.limits, now).await?;
        let scope = request.json::<SignOutAll>().map_err(Error::Request)?.scope;
        let keep_caller = match scope {
            AllScope::Others => true,
            AllScope::Global => false,
        };
        let reason = Reason::SignedOut;
        let sign_out = SignOut::of_all(&caller, keep_caller, reason, now, runtime::random());
        match deps
            .store
            .sign_out_all(&caller, &sign_out, &deps.limits)
            .await?
        {
            WriteOutcome::Done => {
                let answer = Answer::json(200, &SignOutAnswer::of(&sign_out.end_info()));
                let page_is_out =
                    sign_out.scope.includes_caller() && transport == Transport::Cookie;
                return Ok(if page_is_out {
                    answer.signing_out_the_page()
                } else {
                    answer
                });
            }
            WriteOutcome::Stale => {}
        }
    }
    Err(StoreError::Contended.into())
}
