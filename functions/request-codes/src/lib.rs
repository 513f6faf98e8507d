//! `POST /v1/password-resets` and `POST /v1/passes`: a mail with a code, if the address has
//! an account. This function learns whether it has only from a request with a device key, and its
//! answer reveals it only to a recognized device.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

use codes::{CodeRequested, Codes};
use domain::challenge::{ChallengeRandom, Purpose};
use domain::{AccountId, DeviceId, EmailAddress, Limits, Timestamp};
use http_api::{
    Answer, BodyProblems, DeviceKeys, Event, MailUnavailable, OriginPolicy, Problem, Reply,
    Request, RequestProblems, TooManyAttempts, serve,
};
use runtime::Clock;
use serde::Deserialize;
use store::Store;
use utoipa::{OpenApi, ToSchema};
use zeroize::Zeroizing;

/// Reads identities, accounts and devices; writes challenges and attempts; queues mails.
pub struct Deps {
    pub store: Store,
    pub limits: Limits,
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
    /// The device key that the device signs in to this account with. If the device is
    /// recognized, the request is counted for it alone, whatever others have used up. A page's
    /// keys come in a cookie, too.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^cfd_[0-9]{13}_[A-Za-z0-9_-]{43}$")]
    pub device_key: Option<Zeroizing<String>>,
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
    let device_key = body.device_key.as_ref().map(|key| key.as_str());
    let keys = DeviceKeys::presented(request, device_key)?;
    let recognized = recognized_device(deps, &email, &keys, now).await?;
    let asked = (purpose, email, recognized);
    codes
        .request(&deps.store, request, asked, now, random)
        .await
}

/// Returns the device of the keys, if it is recognized for the account of the address. Reads
/// the same for every address, and nothing without a key.
async fn recognized_device(
    deps: &Deps,
    email: &EmailAddress,
    keys: &DeviceKeys,
    now: Timestamp,
) -> Result<Option<DeviceId>, Problem> {
    if keys.last().is_none() {
        return Ok(None);
    }
    let unknown = AccountId::from_random(runtime::random());
    let (_, rows) = keys.first_rows(&deps.store, email, unknown).await?;
    Ok(rows.account.and_then(|account| {
        let key = keys.recognized(&account, &rows.devices, &deps.limits, now)?;
        Some(key.device_in(account.id))
    }))
}
