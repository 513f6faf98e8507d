//! `POST /v1/accounts`: creates an account for an e-mail address.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

use std::sync::Mutex;

use domain::account::{Account, Epoch};
use domain::password::{Hasher, PasswordRules};
use domain::{AccountId, EmailAddress, Timestamp};
use http_api::{
    Answer, BodyProblems, Empty, Event, NewPasswordProblems, OriginPolicy, Problem, Reply, Request,
    RequestProblems, serve,
};
use runtime::Clock;
use serde::Deserialize;
use store::{RegisterOutcome, Store};
use utoipa::{OpenApi, ToSchema};
use zeroize::Zeroizing;

/// Writes accounts and identities.
pub struct Deps {
    pub store: Store,
    pub origin_policy: OriginPolicy,
    pub clock: Clock,
    pub rules: PasswordRules,
    /// Locked while a hash is computed in its buffer.
    pub hasher: Mutex<Hasher>,
}

/// The body of the request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewAccount {
    /// The e-mail address, in any spelling. Its normal form is stored and shown.
    #[schema(format = Email, max_length = 254, example = "lea@example.com")]
    pub email: String,
    /// The password: at least 15 characters (a parameter of the deployment).
    #[schema(
        value_type = String, format = Password, min_length = 15, max_length = 1024,
        example = "quiet otter borrows nine lanterns"
    )]
    pub password: Zeroizing<String>,
}

/// The function's part of the `OpenAPI` document.
#[derive(Debug, Clone, Copy, OpenApi)]
#[openapi(paths(register))]
pub struct Document;

/// Answers a request.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let now = deps.clock.now();
    serve(&deps.origin_policy, event, now, |request, now| async move {
        register(deps, &request, now).await
    })
    .await
}

/// Creates an account, if the address is free. The answer is the same, after the same
/// work, when it is not.
#[utoipa::path(
    post, path = "/v1/accounts", operation_id = "register", tag = "accounts",
    request_body(content = NewAccount, example = json!({
        "email": "lea@example.com", "password": "quiet otter borrows nine lanterns",
    })),
    responses(
        (status = 202, description = "Accepted. If the address was free, it has an account now.",
            body = Empty, example = json!({})),
        RequestProblems, BodyProblems, NewPasswordProblems,
    ),
)]
async fn register(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Problem> {
    let body: NewAccount = request.json()?;
    let email = EmailAddress::parse(&body.email)
        .map_err(|error| Problem::invalid("email", error.to_string()))?;
    let password = deps
        .rules
        .accept(&body.password, Some(&email))
        .map_err(Problem::password_rejected)?;
    let hash = runtime::lock(&deps.hasher).hash(&password, runtime::random());
    let account = Account {
        id: AccountId::from_random(runtime::random()),
        email: email.as_normal().to_owned(),
        password_hash: hash,
        epoch: Epoch::FIRST,
        kept_session: None,
        disabled_at: None,
        created_at: now,
    };
    match deps.store.register(&account, &email).await? {
        RegisterOutcome::Registered => {
            request.note_account(account.id);
            request.note_outcome("registered");
        }
        RegisterOutcome::AddressTaken => request.note_outcome("address-taken"),
    }
    Ok(Answer::json(202, &Empty {}))
}
