//! `POST /v1/backend/verifications`: the team's own login has proven who the holder of a session
//! is.
//!
//! The session's token stays between the app and this API. The backend gets a challenge, which
//! the app shows with its token. So nobody who lacks the token can use the challenge, and nobody
//! who lacks the challenge has been to the login.

use domain::{
    AccountId, Challenge, ChallengeSecret, EmailAddress, Rfc3339, SessionId, Timestamp,
    verification::VERIFIED_FOR,
};
use http_api::{
    Answer, BodyProblems, IamProblems, Problem, Request, RequestProblems, parse_auth_time,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::Deps;

/// The most authentication methods of one proof.
const MAX_METHODS: usize = 10;
/// The longest name of a method, in bytes.
const MAX_METHOD: usize = 32;

/// The body of the request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct BackendVerification {
    /// The account of the person that your login has recognized. Take it from your own records,
    /// never from the request of the app.
    #[schema(format = Uuid, example = "8b0f4f0e-59d5-4f0e-9c3a-52f2b7c1d9aa")]
    pub account: String,
    /// The session to verify: the query parameter `session` with which your page was opened.
    #[schema(format = Uuid, example = "c2a7a1f4-6d0b-4b43-9a55-0e3f9d2b7c11")]
    pub session: String,
    /// The time when your login has proven who the person is, in seconds since 1970, less than five
    /// minutes ago. As `auth_time` of `OpenID` Connect (Core 1.0, section 2).
    #[schema(example = 1_795_167_000)]
    pub auth_time: i64,
    /// What your login has checked, for the log (RFC 8176).
    #[schema(min_items = 1, max_items = 10, example = json!(["hwk", "user"]))]
    pub amr: Vec<String>,
}

/// The answer: what the app verifies with.
#[derive(Serialize, ToSchema)]
pub struct ExternalProof {
    /// The secret that the app sends as `external` to `POST /v1/verifications`. It works once,
    /// for this session alone.
    #[schema(value_type = String, pattern = "^cfc_[A-Za-z0-9_-]{49}$")]
    pub challenge: Zeroizing<String>,
    /// The time until which it works.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Rfc3339,
}

impl ExternalProof {
    fn example() -> Self {
        let expires_at: Timestamp = "2026-11-20T09:35:00Z".parse().expect("it is a time");
        Self {
            challenge: Zeroizing::new(format!("cfc_{}", "x".repeat(49))),
            expires_at: expires_at.into(),
        }
    }
}

/// Says that your own login has proven who the holder of a session is. For deployments with
/// `ExternalVerification`. Send the person back to the app with the challenge.
#[utoipa::path(
    post, path = "/v1/backend/verifications", operation_id = "verifyByBackend", tag = "services",
    security(("iam" = [])),
    request_body(content = BackendVerification, example = json!({
        "account": "8b0f4f0e-59d5-4f0e-9c3a-52f2b7c1d9aa",
        "session": "c2a7a1f4-6d0b-4b43-9a55-0e3f9d2b7c11",
        "auth_time": 1_795_167_000,
        "amr": ["hwk", "user"],
    })),
    responses(
        (status = 200, description = "The app can verify the session with the challenge.",
            body = ExternalProof, example = json!(ExternalProof::example())),
        RequestProblems, BodyProblems, IamProblems,
    ),
)]
pub(crate) async fn verify_by_backend(
    deps: &Deps,
    request: &Request,
    now: Timestamp,
) -> Result<Answer, Problem> {
    request.require_iam()?;
    let body: BackendVerification = request.json()?;
    let id = |field: &'static str| Problem::invalid(field, "must be a UUID");
    let account: AccountId = body.account.parse().map_err(|_| id("account"))?;
    let session: SessionId = body.session.parse().map_err(|_| id("session"))?;
    let auth_time = ("auth_time", body.auth_time);
    let proven_at = parse_auth_time(auth_time, deps.policy.external, now)?;
    require_names(&body.amr)?;
    request.note_account(account);
    let found = deps.store.rows(account, &[]).await?.account;
    let found = found.filter(|it| it.disabled_at.is_none());
    let email = found
        .as_ref()
        .and_then(|it| EmailAddress::parse(&it.email).ok());
    let (Some(account), Some(email)) = (found, email) else {
        return Err(Problem::invalid(
            "account",
            "is no enabled account with an address",
        ));
    };
    let secret = ChallengeSecret::new(runtime::random());
    let of = (session, account.epoch);
    let challenge = Challenge::of_external(&secret, email, of, proven_at);
    deps.store.put_challenge(&challenge).await?;
    tracing::info!(
        %session, amr = body.amr.join(" "), "external proof reported"
    );
    let expires_at = proven_at
        .checked_add(VERIFIED_FOR)
        .unwrap_or(Timestamp::MAX);
    let proof = ExternalProof {
        challenge: secret.to_text(),
        expires_at: expires_at.into(),
    };
    Ok(Answer::json(200, &proof))
}

/// Requires names of authentication methods: they are written to the log.
fn require_names(methods: &[String]) -> Result<(), Problem> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let is_name =
        |name: &String| (1..=MAX_METHOD).contains(&name.len()) && name.bytes().all(is_letter);
    if (1..=MAX_METHODS).contains(&methods.len()) && methods.iter().all(is_name) {
        return Ok(());
    }
    let detail = format!(
        "must be 1 to {MAX_METHODS} names of at most {MAX_METHOD} letters, digits, `_` and `-`"
    );
    Err(Problem::invalid("amr", detail))
}
