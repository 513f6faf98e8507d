//! `PUT /v1/password`: a new password, and the end of every session, or of every
//! other one.

use std::sync::Mutex;

use domain::password::{Hasher, Password, PasswordCheck, PasswordRules};
use domain::{EmailAddress, Limits, Reason, SignOut, Timestamp};
use http_api::{
    Answer, Caller, CallerError, Event, OriginPolicy, PasswordReason, Problem, Reply, Request,
    SignOutAnswer, Transport, authenticate, serve,
};
use runtime::Clock;
use serde::Deserialize;
use store::{Store, StoreError, WriteOutcome};
use utoipa::{OpenApi, ToSchema};
use zeroize::Zeroizing;

/// How often a change is decided anew when rows change under it.
const ATTEMPTS: u32 = 3;

/// What the function may reach: the rows of accounts and devices, and receipts.
pub struct Deps {
    /// The tables.
    pub store: Store,
    /// How long a session lasts.
    pub limits: Limits,
    /// Who may call.
    pub origin_policy: OriginPolicy,
    /// The clock.
    pub clock: Clock,
    /// What a new password must be.
    pub rules: PasswordRules,
    /// The buffer that hashes are computed in.
    pub hasher: Mutex<Hasher>,
}

/// The body of the request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct ChangePassword {
    /// The password until now.
    #[schema(value_type = String, format = Password, max_length = 1024)]
    pub current_password: Zeroizing<String>,
    /// The one from now on.
    #[schema(value_type = String, format = Password, min_length = 15, max_length = 1024)]
    pub new_password: Zeroizing<String>,
    /// Whether this device stays signed in. Every other one is signed out either
    /// way.
    #[serde(default)]
    #[schema(default = false)]
    pub keep_current: bool,
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
    /// The current password is wrong.
    #[error("the current password is wrong")]
    WrongPassword,
    /// The new password is refused.
    #[error("the new password is refused")]
    Rejected(Vec<PasswordReason>),
    /// The tables did not do their part.
    #[error("the tables failed")]
    Store(#[from] StoreError),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Caller(error) => error.into(),
            Error::Request(problem) => problem,
            Error::WrongPassword => Self::CurrentPasswordWrong,
            Error::Rejected(reasons) => Self::PasswordRejected(reasons),
            Error::Store(error) => http_api::unavailable(&error),
        }
    }
}

/// The part of the `OpenAPI` document that this function answers for.
#[derive(Debug, Clone, Copy, OpenApi)]
#[openapi(paths(change))]
pub struct Document;

/// Answers a request.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let now = deps.clock.now();
    serve(&deps.origin_policy, event, now, |request, now| async move {
        change(deps, &request, now).await
    })
    .await
}

/// Changes the password, and signs every device out, or every other one.
#[utoipa::path(
    put, path = "/v1/password", operation_id = "changePassword", tag = "accounts",
    request_body = ChangePassword,
    security(("bearer" = []), ("cookie" = [])),
    responses((
        status = 200, body = SignOutAnswer,
        description = "The password is changed, and the sessions have ended.",
    )),
)]
async fn change(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Error> {
    for _ in 0..ATTEMPTS {
        let Caller {
            caller, transport, ..
        } = authenticate(&deps.store, request, None, &deps.limits, now).await?;
        let body: ChangePassword = request.json().map_err(Error::Request)?;
        let current = Password::parse(&body.current_password).map_err(|error| {
            Error::Request(Problem::invalid("current_password", error.to_string()))
        })?;
        let new = accepted(deps, &body, &caller.account.email)?;
        let new_hash = {
            let mut hasher = runtime::lock(&deps.hasher);
            match hasher.verify(&current, Some(&caller.account.password_hash)) {
                PasswordCheck::Match { .. } => hasher.hash(&new, runtime::random()),
                PasswordCheck::Mismatch => return Err(Error::WrongPassword),
            }
        };
        let sign_out = SignOut::of_all(
            &caller,
            body.keep_current,
            Reason::PasswordChanged,
            now,
            runtime::random(),
        );
        let act = deps
            .store
            .change_password(&caller, &new_hash, &sign_out, &deps.limits)
            .await?;
        match act {
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

/// The new password, if the rules take it.
fn accepted(deps: &Deps, body: &ChangePassword, email: &str) -> Result<Password, Error> {
    if body.new_password == body.current_password {
        return Err(Error::Rejected(vec![PasswordReason {
            code: "unchanged",
            detail: "The password is the one that you have.".to_owned(),
        }]));
    }
    deps.rules
        .accept(&body.new_password, EmailAddress::parse(email).ok().as_ref())
        .map_err(|reasons| Error::Rejected(reasons.into_iter().map(PasswordReason::from).collect()))
}
