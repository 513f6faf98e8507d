//! `POST /v1/accounts/confirmations` and `POST /v1/password-resets/confirmations`: a
//! password for an address whose mail the caller has read. `POST /v1/address-confirmations`: the
//! address of the caller's own account. `POST /v1/address-changes/confirmations`: another address
//! for it.
//!
//! Nothing is hashed before the code or the link is found right.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

mod address;
mod change;
mod confirm;
mod recover;

use std::fmt;

use domain::challenge::Challenge;
use domain::password::{Password, PasswordRules, StoredHash};
use domain::{AccountId, ChallengeSecret, Code, Limits, Purpose, Timestamp};
use factors::Checker;
use http_api::{Event, OriginPolicy, Problem, Reply, serve};
use runtime::{Clock, PasswordHasher};
use store::{AddressOwner, Store};
use utoipa::OpenApi;

pub use address::AddressConfirmation;
pub use change::{AddressChangeConfirmation, AddressChanged};
pub use confirm::NewAccountConfirmation;
pub use recover::PasswordResetConfirmation;

/// Reads identities; writes accounts, identities, devices, challenges, receipts, factors and
/// counters of attempts; opens secrets of authenticator apps.
pub struct Deps {
    pub store: Store,
    pub limits: Limits,
    pub origin_policy: OriginPolicy,
    pub clock: Clock,
    pub rules: PasswordRules,
    pub checker: Checker,
    pub hasher: PasswordHasher,
}

/// The function's part of the `OpenAPI` document.
#[derive(Debug, Clone, Copy, OpenApi)]
#[openapi(paths(
    confirm::confirm_account,
    recover::recover_account,
    address::confirm_address,
    change::change_address
))]
pub struct Document;

/// Answers a request of one of the routes.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let now = deps.clock.now();
    serve(&deps.origin_policy, event, now, |request, now| async move {
        match request.route() {
            "POST /v1/accounts/confirmations" => {
                confirm::confirm_account(deps, &request, now).await
            }
            "POST /v1/password-resets/confirmations" => {
                recover::recover_account(deps, &request, now).await
            }
            "POST /v1/address-changes/confirmations" => {
                Box::pin(change::change_address(deps, &request, now)).await
            }
            "POST /v1/address-confirmations" => address::confirm_address(deps, &request, now).await,
            _ => Err(Problem::NotFound),
        }
    })
    .await
}

/// Reads the secret and the code of a request.
fn parse(challenge: &str, code: &str) -> Result<(ChallengeSecret, Code), Problem> {
    Ok((
        ChallengeSecret::parse(challenge).map_err(|error| invalid("challenge", error))?,
        Code::parse(code).map_err(|error| invalid("code", error))?,
    ))
}

fn invalid(field: &str, error: impl fmt::Display) -> Problem {
    Problem::invalid(field, error.to_string())
}

/// Counts a try, and returns the challenge if the code answers it.
async fn answered(
    deps: &Deps,
    purpose: Purpose,
    (secret, code): &(ChallengeSecret, Code),
    now: Timestamp,
) -> Result<Challenge, Problem> {
    let found = deps.store.try_challenge(&secret.id(), purpose).await?;
    let answered = found.filter(|it| it.is_answered_by_code(secret, code, now));
    answered.ok_or(Problem::CodeInvalid)
}

/// Returns the account that has the address of a challenge without a proof, if one has.
///
/// # Errors
/// `taken`, if an account has proven the address, or had it and can still get it back; and
/// `unavailable`.
async fn unproven_owner(
    deps: &Deps,
    challenge: &Challenge,
    taken: Problem,
    now: Timestamp,
) -> Result<Option<AccountId>, Problem> {
    let owner = match deps.store.address_owner(&challenge.email, now).await? {
        AddressOwner::Nobody => return Ok(None),
        AddressOwner::Former => return Err(taken),
        AddressOwner::Account(owner) => owner,
    };
    let account = deps.store.rows(owner, &[]).await?.account;
    let is_confirmed = account.is_some_and(|account| account.confirmed_at.is_some());
    if is_confirmed {
        Err(taken)
    } else {
        Ok(Some(owner))
    }
}

/// Returns the hash of a password that keeps the rules, for the address of a challenge
/// that was answered.
fn hash(deps: &Deps, text: &str, challenge: &Challenge) -> Result<StoredHash, Problem> {
    let password = accept(deps, text, Some(challenge))?;
    Ok(deps.hasher.hash(&password))
}

/// Judges a password. Before the challenge is known, without the address, so that most
/// passwords that are rejected take no try.
fn accept(deps: &Deps, text: &str, challenge: Option<&Challenge>) -> Result<Password, Problem> {
    deps.rules
        .accept(text, challenge.map(|challenge| &challenge.email))
        .map_err(Problem::password_rejected)
}
