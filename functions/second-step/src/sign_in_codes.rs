//! Codes by mail at sign-ins.

use domain::notice::FactorAct;
use domain::{Account, FactorId, Timestamp};
use factors::{news_of, queue_news};
use http_api::{
    Answer, BodyProblems, MailUnavailable, Problem, Request, RequestProblems,
    VerifiedTokenProblems, WRITE_ATTEMPTS, authenticate, require_verified,
};
use serde::{Deserialize, Serialize};
use store::{StoreError, WriteOutcome};
use utoipa::ToSchema;

use crate::Deps;

/// The body of the request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct SetSignInCodes {
    /// Whether a sign-in on a device that is not recognized needs a code by mail.
    pub enabled: bool,
}

/// Codes by mail at sign-ins.
#[derive(Serialize, ToSchema)]
pub struct SignInCodesView {
    /// Whether the owner has turned them on.
    pub enabled: bool,
    /// Whether the deployment asks for them at every account (`SignInCodes`).
    pub always: bool,
    /// Whether a code can reach the owner: the deployment sends mail, and the address is
    /// confirmed. Without it none is asked for.
    pub available: bool,
}

impl SignInCodesView {
    pub(crate) fn of(deps: &Deps, account: &Account) -> Self {
        Self {
            enabled: account.sign_in_codes,
            always: deps.sign_in_codes,
            available: account.can_get_code(deps.policy.sends_mail),
        }
    }

    pub(crate) fn example() -> Self {
        Self {
            enabled: true,
            always: false,
            available: true,
        }
    }
}

/// Turns codes by mail at sign-ins on or off. A sign-in on a device that is not recognized is
/// then answered `code-required`, unless the account has a factor, which is asked for in its
/// place. The owner gets a mail when they are turned off.
#[utoipa::path(
    put, path = "/v1/sign-in-codes", operation_id = "setSignInCodes", tag = "factors",
    security(("bearer" = []), ("cookie" = [])),
    request_body(content = SetSignInCodes, example = json!({ "enabled": true })),
    responses(
        (status = 200, description = "The setting.", body = SignInCodesView,
            example = json!(SignInCodesView::example())),
        RequestProblems, VerifiedTokenProblems, BodyProblems, MailUnavailable,
    ),
)]
pub(crate) async fn set_sign_in_codes(
    deps: &Deps,
    request: &Request,
    now: Timestamp,
) -> Result<Answer, Problem> {
    for _ in 0..WRITE_ATTEMPTS {
        let mut caller = authenticate(&deps.store, request, &deps.limits, now).await?;
        let SetSignInCodes { enabled } = request.json()?;
        require_verified(deps.policy, &caller, &deps.limits, now)?;
        if enabled && !caller.account.can_get_code(deps.policy.sends_mail) {
            return Err(Problem::MailUnavailable);
        }
        let attempt = FactorId::new(now, runtime::random());
        if caller.account.sign_in_codes && !enabled {
            let news = news_of(&caller.device, (FactorAct::SignInCodesOff, attempt), now);
            queue_news(deps.notices.as_ref(), &news).await?;
        }
        let writing = deps.store.set_sign_in_codes(&caller, enabled, attempt);
        if writing.await? == WriteOutcome::Done {
            request.note_outcome("sign-in-codes-set");
            caller.account.sign_in_codes = enabled;
            let view = SignInCodesView::of(deps, &caller.account);
            return Ok(Answer::json(200, &view));
        }
    }
    Err(StoreError::Contended.into())
}
