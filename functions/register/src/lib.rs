//! `POST /v1/accounts`: an account for an address.

use std::sync::Mutex;

use domain::account::{Account, Epoch};
use domain::password::{Hasher, PasswordRules, Rejection};
use domain::{AccountId, EmailAddress, Timestamp};
use http_api::{
    Answer, Empty, Event, OriginPolicy, PasswordReason, Problem, Reply, Request, serve,
};
use runtime::Clock;
use serde::Deserialize;
use store::{RegisterOutcome, Store, StoreError};
use utoipa::{OpenApi, ToSchema};
use zeroize::Zeroizing;

/// What the function may write: new rows of accounts and identities.
pub struct Deps {
    /// The tables.
    pub store: Store,
    /// Who may call.
    pub origin_policy: OriginPolicy,
    /// The clock.
    pub clock: Clock,
    /// What a password must be.
    pub rules: PasswordRules,
    /// The buffer that hashes are computed in.
    pub hasher: Mutex<Hasher>,
}

/// The body of the request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewAccount {
    /// The address, in any spelling.
    #[schema(format = Email, max_length = 254, example = "lea@example.com")]
    pub email: String,
    /// The password: from 15 characters (a parameter of the deployment).
    #[schema(
        value_type = String, format = Password, min_length = 15, max_length = 1024,
        example = "quiet otter borrows nine lanterns"
    )]
    pub password: Zeroizing<String>,
}

/// Why there is no account.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request is wrong.
    #[error("the request is not valid")]
    Request(Problem),
    /// The password is refused.
    #[error("the password is refused")]
    Rejected(Vec<Rejection>),
    /// The tables did not do their part.
    #[error("the tables failed")]
    Store(#[from] StoreError),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Request(problem) => problem,
            Error::Rejected(reasons) => {
                Self::PasswordRejected(reasons.into_iter().map(PasswordReason::from).collect())
            }
            Error::Store(error) => http_api::unavailable(&error),
        }
    }
}

/// The part of the `OpenAPI` document that this function answers for.
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

/// Makes an account, if the address is free. The answer is the same, after the
/// same work, when it is not.
#[utoipa::path(
    post, path = "/v1/accounts", operation_id = "register", tag = "accounts",
    request_body = NewAccount,
    responses((
        status = 202, body = Empty,
        description = "Taken in. If the address was free it has an account now.",
    )),
)]
async fn register(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Error> {
    let body: NewAccount = request.json().map_err(Error::Request)?;
    let email = EmailAddress::parse(&body.email)
        .map_err(|error| Error::Request(Problem::invalid("email", error.to_string())))?;
    let password = deps
        .rules
        .accept(&body.password, Some(&email))
        .map_err(Error::Rejected)?;
    let hash = runtime::lock(&deps.hasher).hash(&password, runtime::random());
    let account = Account {
        id: AccountId::from_random(runtime::random()),
        email: body.email,
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
