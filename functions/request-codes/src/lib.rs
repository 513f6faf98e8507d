//! `POST /v1/password-resets` and `POST /v1/passes`: a mail with a code, if the address has
//! an account. This function does not learn whether it has.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

use codes::{CodeRequested, Codes};
use domain::challenge::{ChallengeRandom, Purpose};
use domain::{EmailAddress, Timestamp};
use http_api::{
    Answer, BodyProblems, Event, MailUnavailable, OriginPolicy, Problem, Reply, Request,
    RequestProblems, TooManyAttempts, serve,
};
use runtime::Clock;
use serde::Deserialize;
use store::Store;
use utoipa::{OpenApi, ToSchema};

/// Writes challenges and attempts; queues mails.
pub struct Deps {
    pub store: Store,
    pub origin_policy: OriginPolicy,
    pub clock: Clock,
    /// None when the deployment sends no mail.
    pub codes: Option<Codes>,
}

/// The body of the request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct CodeRequest {
    /// The e-mail address, in any spelling.
    #[schema(format = Email, max_length = 254, example = "lea@example.com")]
    pub email: String,
}

/// The function's part of the `OpenAPI` document.
#[derive(Debug, Clone, Copy, OpenApi)]
#[openapi(paths(request_password_reset, request_pass))]
pub struct Document;

/// Answers a request of either route.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let now = deps.clock.now();
    serve(&deps.origin_policy, event, now, |request, now| async move {
        match request.route() {
            "POST /v1/password-resets" => request_password_reset(deps, &request, now).await,
            "POST /v1/passes" => request_pass(deps, &request, now).await,
            _ => Err(Problem::NotFound),
        }
    })
    .await
}

/// Asks for a mail with which the account of an address is recovered. The answer is the same
/// whether or not it has one.
#[utoipa::path(
    post, path = "/v1/password-resets", operation_id = "requestPasswordReset", tag = "accounts",
    request_body(content = CodeRequest, example = json!({ "email": "lea@example.com" })),
    responses(
        (status = 202, description = "Accepted. If the address has an account that was confirmed, a mail is on its way.",
            body = CodeRequested, example = json!(CodeRequested::example())),
        RequestProblems, BodyProblems, MailUnavailable, TooManyAttempts,
    ),
)]
async fn request_password_reset(
    deps: &Deps,
    request: &Request,
    now: Timestamp,
) -> Result<Answer, Problem> {
    ask(deps, request, Purpose::Recovery, now).await
}

/// Asks for a mail with a pass: five tries to sign in that nobody else can use up. The answer
/// is the same whether or not the address has an account.
#[utoipa::path(
    post, path = "/v1/passes", operation_id = "requestPass", tag = "sessions",
    request_body(content = CodeRequest, example = json!({ "email": "lea@example.com" })),
    responses(
        (status = 202, description = "Accepted. If the address has an account, a mail is on its way.",
            body = CodeRequested, example = json!(CodeRequested::example())),
        RequestProblems, BodyProblems, MailUnavailable, TooManyAttempts,
    ),
)]
async fn request_pass(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Problem> {
    ask(deps, request, Purpose::Pass, now).await
}

async fn ask(
    deps: &Deps,
    request: &Request,
    purpose: Purpose,
    now: Timestamp,
) -> Result<Answer, Problem> {
    let body: CodeRequest = request.json()?;
    let email = EmailAddress::parse(&body.email)
        .map_err(|error| Problem::invalid("email", error.to_string()))?;
    let codes = deps.codes.as_ref().ok_or(Problem::MailUnavailable)?;
    let random = ChallengeRandom {
        secret: runtime::random(),
        code: runtime::random(),
        link: runtime::random(),
    };
    codes
        .request(&deps.store, request, purpose, email, now, random)
        .await
}
