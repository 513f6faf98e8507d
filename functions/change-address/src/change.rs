//! Changing the address of an account to one whose mail the caller has read.

use codes::{open_or_completed_challenge, parse_answer, unproven_owner};
use domain::address_change::NewAddress;
use domain::challenge::Challenge;
use domain::session::Authenticated;
use domain::{Purpose, Timestamp};
use http_api::{
    Answer, BodyProblems, ChangeHeld, CodeProblems, Problem, Request, RequestProblems,
    TokenProblems, WRITE_ATTEMPTS, authenticate,
};
use serde::{Deserialize, Serialize};
use store::{StoreError, WriteOutcome};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::Deps;

/// The body of the request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct AddressChangeConfirmation {
    /// The challenge in the answer to `POST /v1/address-changes`.
    #[schema(value_type = String, pattern = "^cfc_[A-Za-z0-9_-]{49}$")]
    pub challenge: Zeroizing<String>,
    /// The code in the mail, in either case, with or without its dash. It can be tried five
    /// times, for ten minutes, by the session that asked for it.
    #[schema(value_type = String, max_length = 64, example = "K7QM-2R9X")]
    pub code: Zeroizing<String>,
}

/// The answer: the account's address.
#[derive(Serialize, ToSchema)]
pub struct AddressChanged {
    /// The new address, in its normal form.
    #[schema(example = "lea@example.org")]
    pub email: String,
}

/// Changes the address of the caller's account. No session ends. For seven days the mailbox
/// before can undo it, and nobody else gets the address before. The session that asked can repeat
/// the request, if the answer was lost.
#[utoipa::path(
    post, path = "/v1/address-changes/confirmations", operation_id = "confirmAddressChange",
    tag = "account",
    security(("bearer" = []), ("cookie" = [])),
    request_body(content = AddressChangeConfirmation, example = json!({
        "challenge": format!("cfc_{}", "x".repeat(49)),
        "code": "K7QM-2R9X",
    })),
    responses(
        (status = 200, description = "The account has the new address. The one before gets a mail.",
            body = AddressChanged, example = json!({ "email": "lea@example.org" })),
        RequestProblems, TokenProblems, BodyProblems, CodeProblems, ChangeHeld,
    ),
)]
pub(crate) async fn change_address(
    deps: &Deps,
    request: &Request,
    now: Timestamp,
) -> Result<Answer, Problem> {
    let mut caller = authenticate(&deps.store, request, &deps.limits, now).await?;
    let body: AddressChangeConfirmation = request.json()?;
    let presented = parse_answer(&body.challenge, &body.code)?;
    let purposes = [Purpose::AddressChange, Purpose::AddressChanged];
    let challenge = open_or_completed_challenge(&deps.store, purposes, &presented, now).await?;
    for _ in 0..WRITE_ATTEMPTS {
        if change(deps, &caller, &challenge, now).await? == WriteOutcome::Done {
            request.note_outcome("address-changed");
            let email = challenge.email.as_normal().to_owned();
            return Ok(Answer::json(200, &AddressChanged { email }));
        }
        caller = authenticate(&deps.store, request, &deps.limits, now).await?;
    }
    Err(StoreError::Contended.into())
}

async fn change(
    deps: &Deps,
    caller: &Authenticated,
    challenge: &Challenge,
    now: Timestamp,
) -> Result<WriteOutcome, Problem> {
    let account = &caller.account;
    if challenge.session != Some(caller.device.session) {
        return Err(Problem::CodeInvalid);
    }
    // The answer to an earlier request of this session was lost.
    if challenge.email.as_normal() == account.email {
        return Ok(WriteOutcome::Done);
    }
    // The verification was fresh when this session asked, and the challenge is bound to the
    // epoch. It changes the address once.
    if challenge.purpose != Purpose::AddressChange || challenge.epoch != Some(account.epoch) {
        return Err(Problem::CodeInvalid);
    }
    if let Some(until) = account.address_held_until(true, now) {
        return Err(Problem::ChangeHeld { until });
    }
    // No code is mailed to a taken address, so it was free when this one was.
    let claimed = unproven_owner(&deps.store, challenge, Problem::CodeInvalid, now).await?;
    // Without mail there would be no code.
    let by_settled_factor = account.is_proven_by_factor(true, challenge.asked_at);
    let email = challenge.email.clone();
    let new = NewAddress::new(account, email, by_settled_factor, (now, runtime::random()));
    let written = deps
        .store
        .change_address(caller, challenge, (&new, claimed), &deps.limits);
    Ok(Box::pin(written).await?)
}
