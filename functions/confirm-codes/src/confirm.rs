//! Confirming an address, which makes its account.

use codes::{answered_challenge, parse_answer, unproven_owner};
use domain::account::{Account, Epoch};
use domain::challenge::Challenge;
use domain::password::StoredHash;
use domain::{AccountId, Purpose, Timestamp};
use http_api::{
    AddressTaken, Answer, BodyProblems, CodeProblems, Empty, NewPasswordProblems, Problem, Request,
    RequestProblems, WRITE_ATTEMPTS,
};
use serde::Deserialize;
use store::{StoreError, WriteOutcome};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::{Deps, accept, hash};

/// The body of the request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewAccountConfirmation {
    /// The challenge in the answer to `POST /v1/accounts`.
    #[schema(value_type = String, pattern = "^cfc_[A-Za-z0-9_-]{49}$")]
    pub challenge: Zeroizing<String>,
    /// The code in the mail, in either case, with or without its dash. It can be tried five
    /// times, for ten minutes.
    #[schema(value_type = String, max_length = 64, example = "K7QM-2R9X")]
    pub code: Zeroizing<String>,
    /// The password: at least 15 characters (a parameter of the deployment).
    #[schema(
        value_type = String, format = Password, min_length = 15, max_length = 1024,
        example = "quiet otter borrows nine lanterns"
    )]
    pub password: Zeroizing<String>,
}

/// Creates the account of an address that the caller has proven. Signs nobody in. An
/// account that had the address without a proof is left without one.
#[utoipa::path(
    post, path = "/v1/accounts/confirmations", operation_id = "confirmAccount", tag = "accounts",
    request_body(content = NewAccountConfirmation, example = json!({
        "challenge": format!("cfc_{}", "x".repeat(49)),
        "code": "K7QM-2R9X",
        "password": "quiet otter borrows nine lanterns",
    })),
    responses(
        (status = 201, description = "The account exists. Sign in with its password.",
            body = Empty, example = json!({})),
        RequestProblems, BodyProblems, CodeProblems, AddressTaken, NewPasswordProblems,
    ),
)]
pub(crate) async fn confirm_account(
    deps: &Deps,
    request: &Request,
    now: Timestamp,
) -> Result<Answer, Problem> {
    let body: NewAccountConfirmation = request.json()?;
    let presented = parse_answer(&body.challenge, &body.code)?;
    accept(deps, &body.password, None)?;
    let purpose = Purpose::Confirmation;
    let challenge = answered_challenge(&deps.store, purpose, &presented, now).await?;
    let password_hash = hash(deps, &body.password, &challenge)?;
    for _ in 0..WRITE_ATTEMPTS {
        let taken = Problem::AddressTaken;
        let claimed = unproven_owner(&deps.store, &challenge, taken, now).await?;
        let account = new_account(&challenge, password_hash.clone(), now);
        let written = deps.store.confirm(&account, &challenge, claimed).await?;
        if written == WriteOutcome::Done {
            request.note_account(account.id);
            request.note_outcome(claimed.map_or("confirmed", |_| "claimed"));
            return Ok(Answer::json(201, &Empty {}));
        }
    }
    Err(StoreError::Contended.into())
}

fn new_account(challenge: &Challenge, password_hash: StoredHash, now: Timestamp) -> Account {
    Account {
        id: AccountId::from_random(runtime::random()),
        email: challenge.email.as_normal().to_owned(),
        password_hash,
        epoch: Epoch::FIRST,
        kept_session: None,
        disabled_at: None,
        created_at: now,
        confirmed_at: Some(now),
        recovered_at: None,
        recovered_epoch: None,
        factors: Vec::new(),
        factors_lost_at: None,
        hold: None,
        address_change: None,
        sign_in_codes: false,
    }
}
