//! `POST /v1/accounts/confirmations` and `POST /v1/password-resets/confirmations`: a
//! password for an address whose mail the caller has read.
//!
//! Nothing is hashed before the code or the link is found right.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

mod confirm;
mod recover;

use std::fmt;

use domain::Limits;
use domain::challenge::Challenge;
use domain::password::{Password, PasswordRules, StoredHash};
use factors::Checker;
use http_api::{Event, OriginPolicy, Problem, Reply, serve};
use runtime::{Clock, PasswordHasher};
use store::Store;
use utoipa::OpenApi;

pub use confirm::NewAccountConfirmation;
pub use recover::PasswordResetConfirmation;

/// Writes accounts, identities, challenges, receipts, factors and counters of attempts; opens
/// secrets of authenticator apps.
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
#[openapi(paths(confirm::confirm_account, recover::recover_account))]
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
            _ => Err(Problem::NotFound),
        }
    })
    .await
}

fn invalid(field: &str, error: impl fmt::Display) -> Problem {
    Problem::invalid(field, error.to_string())
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
