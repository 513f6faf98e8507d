//! `POST /v1/introspect` (RFC 7662): returns to the adopting team's services whether a
//! token belongs to a valid session.
//!
//! Answers only callers with AWS credentials: with a public endpoint, anyone could try
//! tokens (RFC 7662, section 2.1). Of an inactive token it returns nothing else. A
//! failed read is never a verdict.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

use domain::{Device, Limits, Timestamp, Token};
use http_api::{
    Answer, BodyProblems, Event, IamProblems, OriginPolicy, Problem, Reply, Request,
    RequestProblems, check_and_touch, outcome, serve,
};
use runtime::Clock;
use serde::{Deserialize, Serialize};
use store::{Store, StoreError};
use utoipa::{OpenApi, ToSchema};

/// Reads accounts; writes devices and receipts.
#[derive(Debug)]
pub struct Deps {
    pub store: Store,
    pub limits: Limits,
    pub origin_policy: OriginPolicy,
    pub clock: Clock,
    /// The `iss` of the answers, as in the events.
    pub issuer: Option<String>,
}

/// The form of the request. Other parameters are ignored (RFC 6749, section 3.2).
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = IntrospectionQuestion)]
pub struct Question {
    /// The token to check, sent once.
    #[schema(min_length = 1)]
    pub token: String,
    /// Accepted for RFC 7662, at most once, and ignored: there is one kind of token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub token_type_hint: Option<String>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Introspection {
    /// The token belongs to a valid session.
    Active(Active),
    /// The token belongs to no valid session.
    Inactive(Inactive),
}

/// A token of a valid session (RFC 7662, section 2.2). It may end at any moment: ask
/// again for each request.
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
    /// The issuer: the same as `iss` in the events. Absent when none is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub iss: Option<String>,
    /// The start of the session, in seconds since 1970.
    #[schema(minimum = 0)]
    pub iat: i64,
    /// The latest end of the session, in seconds since 1970. It ends earlier when it
    /// is signed out or is not used for too long.
    #[schema(minimum = 0)]
    pub exp: i64,
    /// The time when the owner last authenticated on the device, in seconds since 1970
    /// (OIDC Core 1.0, section 2).
    #[schema(minimum = 0)]
    pub auth_time: i64,
    /// The device: the same at every sign-in.
    pub device_id: String,
    /// The session: a new one at every sign-in.
    pub session_id: String,
    /// The account's epoch when the session began. A service that keeps a connection
    /// open for the session compares it with the epochs of events.
    #[schema(minimum = 1)]
    pub epoch: u64,
}

/// A token that belongs to no valid session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = InactiveToken)]
pub struct Inactive {
    /// `false`.
    #[schema(example = false)]
    pub active: bool,
}

/// The function's part of the `OpenAPI` document.
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

/// Returns to one of your services whether a token belongs to a valid session.
#[utoipa::path(
    post, path = "/v1/introspect", operation_id = "introspect", tag = "services",
    security(("iam" = [])),
    request_body(content = Question, content_type = "application/x-www-form-urlencoded",
        example = json!({ "token": format!("cft_{}", "x".repeat(92)) })),
    responses(
        (status = 200, description = "The state of the token.", body = Introspection,
            example = json!(Active::example())),
        RequestProblems, BodyProblems, IamProblems,
    ),
)]
async fn introspect(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Problem> {
    request.require_iam()?;
    let form = request.form()?;
    form.optional("token_type_hint")?;
    let token = form.required("token")?;
    let answer = match check(deps, request, token, now).await? {
        Ok(device) => Introspection::Active(Active::of(&device, deps.issuer.clone())),
        Err(outcome) => {
            request.note_outcome(outcome);
            Introspection::Inactive(Inactive { active: false })
        }
    };
    Ok(Answer::json(200, &answer))
}

/// Checks the session and updates when its device was last active. The inner error
/// is the outcome for the log.
async fn check(
    deps: &Deps,
    request: &Request,
    token: &str,
    now: Timestamp,
) -> Result<Result<Device, &'static str>, StoreError> {
    let Ok(token) = Token::parse(token) else {
        return Ok(Err(Problem::TokenInvalid.name()));
    };
    // The request comes from the team's service, not from the device.
    let place = None;
    let session = check_and_touch(&deps.store, request, &token, place, &deps.limits, now).await?;
    Ok(session.map_err(|error| outcome(&error)))
}

impl Active {
    fn of(device: &Device, issuer: Option<String>) -> Self {
        Self {
            active: true,
            sub: device.account.to_string(),
            token_type: "Bearer".to_owned(),
            iss: issuer,
            iat: device.signed_in_at.as_second(),
            exp: device.expires_at.as_second(),
            auth_time: device.authenticated_at().as_second(),
            device_id: device.id.to_string(),
            session_id: device.session.to_string(),
            epoch: device.epoch.0,
        }
    }

    fn example() -> Self {
        Self {
            active: true,
            sub: "6f9b1a52-7d0e-4c56-9c1b-2f0d7f1c9a10".to_owned(),
            token_type: "Bearer".to_owned(),
            iss: Some("https://a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com".to_owned()),
            iat: 1_795_167_000,
            exp: 1_826_703_000,
            auth_time: 1_795_167_000,
            device_id: "0192f0c1-4b2d-7a90-8f3e-1d2c3b4a5968".to_owned(),
            session_id: "c2a7a1f4-6d0b-4b43-9a55-0e3f9d2b7c11".to_owned(),
            epoch: 3,
        }
    }
}
