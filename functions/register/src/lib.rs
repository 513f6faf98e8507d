//! `POST /v1/accounts`: sends the code with which an account is made, or makes it at once in
//! a deployment that sends no mail.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

use codes::{CodeRequested, Codes};
use domain::account::{Account, Epoch};
use domain::challenge::{ChallengeRandom, Purpose};
use domain::password::PasswordRules;
use domain::{AccountId, EmailAddress, Timestamp};
use http_api::{
    Answer, BodyProblems, Event, NewPasswordProblems, OriginPolicy, Problem, Reply, Request,
    RequestProblems, TooManyAttempts, serve,
};
use runtime::{Clock, PasswordHasher};
use serde::{Deserialize, Serialize};
use store::{RegisterOutcome, Store};
use utoipa::{OpenApi, ToSchema};
use zeroize::Zeroizing;

/// Writes challenges and attempts, and queues mails; without mail, hashes, and writes accounts
/// and identities.
pub struct Deps {
    pub store: Store,
    pub origin_policy: OriginPolicy,
    pub clock: Clock,
    pub rules: PasswordRules,
    pub hasher: PasswordHasher,
    /// None when the deployment sends no mail.
    pub codes: Option<Codes>,
}

/// The body of the request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewAccount {
    /// The e-mail address, in any spelling. Its normal form is stored and shown.
    #[schema(format = Email, max_length = 254, example = "lea@example.com")]
    pub email: String,
    /// The password, only in a deployment that sends no mail: at least 15 characters (a
    /// parameter of the deployment). Where mail is sent, it travels with the confirmation.
    #[serde(default)]
    #[schema(
        value_type = Option<String>, format = Password, min_length = 15, max_length = 1024,
        example = "quiet otter borrows nine lanterns"
    )]
    pub password: Option<Zeroizing<String>>,
}

/// The answer.
#[derive(Serialize, ToSchema)]
pub struct AccountRequested {
    /// The secret that the code in the mail works with, for
    /// `POST /v1/accounts/confirmations`. Absent in a deployment that sends no mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^cfc_[A-Za-z0-9_-]{49}$")]
    pub challenge: Option<Zeroizing<String>>,
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

/// Sends a code to the address, for `POST /v1/accounts/confirmations`. In a deployment that
/// sends no mail, creates the account, if the address is free. The answer is the same, after
/// the same work, when it is not.
#[utoipa::path(
    post, path = "/v1/accounts", operation_id = "register", tag = "accounts",
    request_body(content = NewAccount, example = json!({ "email": "lea@example.com" })),
    responses(
        (status = 202, description = "Accepted. A mail is on its way. In a deployment that sends no mail, an address that was free has an account now.",
            body = AccountRequested, example = json!(CodeRequested::example())),
        RequestProblems, BodyProblems, NewPasswordProblems, TooManyAttempts,
    ),
)]
async fn register(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Problem> {
    let body: NewAccount = request.json()?;
    let email = EmailAddress::parse(&body.email)
        .map_err(|error| Problem::invalid("email", error.to_string()))?;
    match (&deps.codes, body.password) {
        (Some(codes), None) => {
            let random = ChallengeRandom {
                secret: runtime::random(),
                code: runtime::random(),
                link: runtime::random(),
            };
            let purpose = Purpose::Confirmation;
            codes
                .request(&deps.store, request, (purpose, email, None), now, random)
                .await
        }
        (Some(_), Some(_)) => Err(Problem::invalid(
            "password",
            "is not taken here: send it with the code, to `/v1/accounts/confirmations`",
        )),
        (None, Some(password)) => register_at_once(deps, request, &email, &password, now).await,
        (None, None) => Err(Problem::invalid("password", "is missing")),
    }
}

/// Creates an account whose address nobody has proven.
async fn register_at_once(
    deps: &Deps,
    request: &Request,
    email: &EmailAddress,
    password: &str,
    now: Timestamp,
) -> Result<Answer, Problem> {
    let password = deps
        .rules
        .accept(password, Some(email))
        .map_err(Problem::password_rejected)?;
    let hash = deps.hasher.hash(&password);
    let account = Account {
        id: AccountId::from_random(runtime::random()),
        email: email.as_normal().to_owned(),
        password_hash: hash,
        epoch: Epoch::FIRST,
        kept_session: None,
        disabled_at: None,
        created_at: now,
        confirmed_at: None,
        recovered_at: None,
        recovered_epoch: None,
        factors: Vec::new(),
        factors_lost_at: None,
        hold: None,
        address_change: None,
        sign_in_codes: false,
    };
    match deps.store.register(&account, email).await? {
        RegisterOutcome::Registered => {
            request.note_account(account.id);
            request.note_outcome("registered");
        }
        RegisterOutcome::AddressTaken => request.note_outcome("address-taken"),
    }
    Ok(Answer::json(202, &AccountRequested { challenge: None }))
}
