//! Confirming the address of an account that exists.

use codes::{answered_challenge, parse_answer};
use domain::recognition::recognized_until;
use domain::{NoticeId, Purpose, Timestamp};
use http_api::{
    Answer, BodyProblems, CodeProblems, Empty, Problem, Request, RequestProblems, TokenProblems,
    WRITE_ATTEMPTS, authenticate,
};
use serde::Deserialize;
use store::{StoreError, WriteOutcome};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::Deps;

/// The body of the request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct AddressConfirmation {
    /// The challenge in the answer to `POST /v1/accounts` with the account's own address.
    #[schema(value_type = String, pattern = "^cfc_[A-Za-z0-9_-]{49}$")]
    pub challenge: Zeroizing<String>,
    /// The code in the mail, in either case, with or without its dash. It can be tried five
    /// times, for ten minutes.
    #[schema(value_type = String, max_length = 64, example = "K7QM-2R9X")]
    pub code: Zeroizing<String>,
}

/// Confirms the address of the caller's account, if nobody has, and recognizes the caller's
/// device.
#[utoipa::path(
    post, path = "/v1/address-confirmations", operation_id = "confirmAddress", tag = "accounts",
    security(("bearer" = []), ("cookie" = [])),
    request_body(content = AddressConfirmation, example = json!({
        "challenge": format!("cfc_{}", "x".repeat(49)),
        "code": "K7QM-2R9X",
    })),
    responses(
        (status = 200, description = "The address is confirmed.", body = Empty,
            example = json!({})),
        RequestProblems, TokenProblems, BodyProblems, CodeProblems,
    ),
)]
pub(crate) async fn confirm_address(
    deps: &Deps,
    request: &Request,
    now: Timestamp,
) -> Result<Answer, Problem> {
    let mut caller = authenticate(&deps.store, request, &deps.limits, now).await?;
    let body: AddressConfirmation = request.json()?;
    let presented = parse_answer(&body.challenge, &body.code)?;
    let purpose = Purpose::Confirmation;
    let challenge = answered_challenge(&deps.store, purpose, &presented, now).await?;
    let times = (now, recognized_until(now));
    for _ in 0..WRITE_ATTEMPTS {
        let account = &caller.account;
        if account.confirmed_at.is_some() || account.email != challenge.email.as_normal() {
            return Err(Problem::CodeInvalid);
        }
        let attempt = NoticeId::new(now, runtime::random());
        let written = deps
            .store
            .confirm_address_of(&caller, &challenge, times, attempt)
            .await?;
        if written == WriteOutcome::Done {
            request.note_outcome("confirmed");
            return Ok(Answer::json(200, &Empty {}));
        }
        caller = authenticate(&deps.store, request, &deps.limits, now).await?;
    }
    Err(StoreError::Contended.into())
}
