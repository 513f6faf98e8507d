//! `POST /v1/introspect` (RFC 7662): the adopting team's services ask whether a
//! token is that of a valid session.
//!
//! Answers callers with AWS credentials alone (RFC 7662, section 2.1: a public
//! endpoint would let everybody try tokens). Of a token that is not active it
//! says nothing else, and tables that fail are never a verdict.

use domain::{AuthError, Authenticated, Device, Limits, Timestamp, Token};
use http_api::{Answer, Denied, Event, OriginPolicy, Problem, Reply, Request, check_token, serve};
use runtime::Clock;
use serde::{Deserialize, Serialize};
use store::{Store, StoreError, WriteOutcome};
use utoipa::{OpenApi, ToSchema};

/// What the function may reach: the rows of accounts and devices, and the parts
/// of receipts, where the first contact of a device that was signed out is marked.
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
    /// Who says so, as in the events.
    pub issuer: Option<String>,
}

/// The form of a question. Other parameters are passed over (RFC 6749, section
/// 3.2).
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = IntrospectionQuestion)]
pub struct Question {
    /// The token to ask about, once.
    #[schema(min_length = 1)]
    pub token: String,
    /// Taken for the sake of the standard, at most once; there is only one kind
    /// of token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub token_type_hint: Option<String>,
}

/// What is said of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Introspection {
    /// It is that of a valid session.
    Active(Active),
    /// It is not, and no more is said.
    Inactive(Inactive),
}

/// A token of a valid session (RFC 7662, section 2.2). It is valid at this
/// moment: ask again at the next request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ActiveToken)]
pub struct Active {
    /// `true`.
    #[schema(example = true)]
    pub active: bool,
    /// The account.
    #[schema(example = "6f9b1a52-7d0e-4c56-9c1b-2f0d7f1c9a10")]
    pub sub: String,
    /// `Bearer` (RFC 6750).
    #[schema(example = "Bearer")]
    pub token_type: String,
    /// Who says so: the same as `iss` in the events. Absent when no issuer is
    /// configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub iss: Option<String>,
    /// When the session began, in seconds since 1970.
    #[schema(minimum = 0)]
    pub iat: i64,
    /// When it ends at the latest, in seconds since 1970. It ends earlier when it
    /// is signed out, or is not used for too long.
    #[schema(minimum = 0)]
    pub exp: i64,
    /// When the owner last proved to be the owner on the device, in seconds since
    /// 1970, as OIDC Core 1.0, section 2, says.
    #[schema(minimum = 0)]
    pub auth_time: i64,
    /// The device: the same at each sign-in.
    pub device_id: String,
    /// The session: another one at each sign-in.
    pub session_id: String,
    /// The account's epoch that the session was born in. Whoever keeps something
    /// open for the session judges the events by it.
    #[schema(minimum = 1)]
    pub epoch: u64,
}

/// A token that is not that of a valid session: never was, or not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = InactiveToken)]
pub struct Inactive {
    /// `false`.
    #[schema(example = false)]
    pub active: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is wrong, or its caller.
    #[error("the request is not acceptable: {}", .0.name())]
    Unacceptable(Problem),
    /// The tables did not do their part.
    #[error("the tables failed")]
    Store(#[from] StoreError),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Unacceptable(problem) => problem,
            Error::Store(error) => http_api::unavailable(&error),
        }
    }
}

/// The part of the `OpenAPI` document that this function answers for.
#[derive(Debug, Clone, Copy, OpenApi)]
#[openapi(paths(introspect))]
pub struct Document;

/// Answers a request.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let now = deps.clock.now();
    serve(&deps.origin_policy, event, now, |request, now| async move {
        introspect(deps, &request, now).await
    })
    .await
}

/// Tells one of your services whether a token is that of a valid session.
#[utoipa::path(
    post, path = "/v1/introspect", operation_id = "introspect", tag = "services",
    security(("iam" = [])),
    request_body(content = Question, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "Whether it is.", body = Introspection)),
)]
async fn introspect(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Error> {
    request.require_iam().map_err(Error::Unacceptable)?;
    let form = request.form().map_err(Error::Unacceptable)?;
    form.optional("token_type_hint")
        .map_err(Error::Unacceptable)?;
    let token = form.required("token").map_err(Error::Unacceptable)?;
    let said = match judge(deps, request, token, now).await {
        Ok(device) => Introspection::Active(active(&device, deps.issuer.clone())),
        Err(Denied::Store(error)) => return Err(error.into()),
        Err(denied) => {
            request.note_outcome(denied.outcome());
            Introspection::Inactive(Inactive { active: false })
        }
    };
    Ok(Answer::json(200, &said))
}

/// The device whose session the token is valid for; that it is in use is written
/// down.
async fn judge(
    deps: &Deps,
    request: &Request,
    token: &str,
    now: Timestamp,
) -> Result<Device, Denied> {
    let token = Token::parse(token).map_err(|_| Denied::Unacceptable(Problem::TokenInvalid))?;
    let check = async || {
        let checked = check_token(&deps.store, &token, &deps.limits, now).await;
        if !matches!(
            checked,
            Err(Denied::Store(_) | Denied::Refused(AuthError::Unknown))
        ) {
            // The token holds the secret, so the ids in it are its own.
            request.note_account(token.account());
            request.note_device(token.device());
        }
        checked.map(|Authenticated { device, .. }| device)
    };
    let device = check().await?;
    if !device.is_touch_due(now) {
        return Ok(device);
    }
    let touched = deps
        .store
        .touch(device.account, device.id, device.session, now);
    match touched.await {
        Ok(WriteOutcome::Done) => Ok(device),
        // It was ended since it was admitted: the second look tells.
        Ok(WriteOutcome::Stale) => check().await,
        Err(error) => {
            tracing::warn!(cause = error.chain(), "A touch was not written.");
            Ok(device)
        }
    }
}

fn active(device: &Device, issuer: Option<String>) -> Active {
    Active {
        active: true,
        sub: device.account.to_string(),
        token_type: "Bearer".to_owned(),
        iss: issuer,
        iat: device.signed_in_at.as_second(),
        exp: device.expires_at.as_second(),
        auth_time: device.verified_at.as_second(),
        device_id: device.id.to_string(),
        session_id: device.session.to_string(),
        epoch: device.epoch.0,
    }
}
