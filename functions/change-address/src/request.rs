//! Asking for a change of the account's address.

use codes::CodeRequested;
use domain::EmailAddress;
use domain::Timestamp;
use domain::challenge::ChallengeRandom;
use http_api::{
    AddressChangeUnavailable, Answer, BodyProblems, Problem, Request, RequestProblems,
    TooManyAttempts, VerifiedTokenProblems, authenticate, require_verified,
};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::Deps;

/// The body of the request.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct AddressChangeRequest {
    /// The new e-mail address.
    #[schema(format = Email, max_length = 254, example = "lea@example.org")]
    pub email: String,
}

/// Asks for a mail to a new address, whose code changes the account's address to it. Needs a
/// verification. The answer is the same whether or not the address has an account.
#[utoipa::path(
    post, path = "/v1/address-changes", operation_id = "requestAddressChange", tag = "account",
    security(("bearer" = []), ("cookie" = [])),
    request_body(content = AddressChangeRequest, example = json!({ "email": "lea@example.org" })),
    responses(
        (status = 202, description = "Accepted. A mail to the new address is on its way. If it has an account, \
                the mail says so, and has no code.",
            body = CodeRequested, example = json!(CodeRequested::example())),
        RequestProblems, VerifiedTokenProblems, BodyProblems, AddressChangeUnavailable,
        TooManyAttempts,
    ),
)]
pub(crate) async fn request_address_change(
    deps: &Deps,
    request: &Request,
    now: Timestamp,
) -> Result<Answer, Problem> {
    let caller = authenticate(&deps.store, request, &deps.limits, now).await?;
    let body: AddressChangeRequest = request.json()?;
    let email = EmailAddress::parse(&body.email)
        .map_err(|error| Problem::invalid("email", error.to_string()))?;
    if email.as_normal() == caller.account.email {
        return Err(Problem::invalid(
            "email",
            "is the account's address already",
        ));
    }
    let codes = deps.codes.as_ref().ok_or(Problem::MailUnavailable)?;
    require_verified(deps.policy, &caller, &deps.limits, now)?;
    if let Some(until) = caller.account.address_held_until(true, now) {
        return Err(Problem::ChangeHeld { until });
    }
    let random = ChallengeRandom {
        secret: runtime::random(),
        code: runtime::random(),
        link: runtime::random(),
    };
    codes
        .send_address_change(&deps.store, request, (&caller, email), now, random)
        .await
}
