//! `POST /v1/second-steps`: completes a sign-in with a factor. `/v1/factors` and
//! `POST /v1/recovery-codes`: the owner's factors. `/v1/lost-factors`: asks for the removal of
//! those that the owner has lost. `PUT /v1/sign-in-codes`: whether a sign-in without a settled
//! factor needs a code by mail.
//!
//! The secrets of authenticator apps are sealed by KMS, and only this function may seal one.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

mod add;
mod complete;
mod list;
mod lost;
mod recovery_codes;
mod remove;
mod sign_in_codes;

use codes::Codes;
use domain::Limits;
use domain::verification::VerificationPolicy;
use factors::Checker;
use http_api::{Event, OriginPolicy, Problem, Reply, serve};
use mail::MailQueue;
use runtime::Clock;
use store::Store;
use utoipa::OpenApi;

pub use add::{BegunFactor, ConfirmFactor, NewFactor};
pub use complete::SecondStep;
pub use list::{FactorView, FactorsView, RecoveryCodesView};
pub use lost::{LostFactorConfirmation, LostFactorRequest, RemovalView};
pub use recovery_codes::NewRecoveryCodes;
pub use sign_in_codes::{SetSignInCodes, SignInCodesView};

/// Writes accounts, devices, receipts, challenges, factors and counters of attempts; seals and
/// opens secrets; queues notices and mails with codes.
pub struct Deps {
    pub store: Store,
    pub limits: Limits,
    pub policy: VerificationPolicy,
    pub checker: Checker,
    /// The name that an authenticator app shows.
    pub product: String,
    /// Whether the team wants a code at every sign-in on a device that is not recognized.
    pub sign_in_codes: bool,
    /// The queue of `notify-owner`; none when the stack sends no mail.
    pub notices: Option<MailQueue>,
    /// None when the deployment sends no mail.
    pub codes: Option<Codes>,
    pub origin_policy: OriginPolicy,
    pub clock: Clock,
}

/// The function's part of the `OpenAPI` document.
#[derive(Debug, Clone, Copy, OpenApi)]
#[openapi(paths(
    complete::complete_sign_in,
    list::list_factors,
    add::begin_factor,
    add::confirm_factor,
    remove::remove_factor,
    recovery_codes::make_recovery_codes,
    sign_in_codes::set_sign_in_codes,
    lost::report_lost_factors,
    lost::confirm_lost_factors,
))]
pub struct Document;

/// Answers a request of one of the routes.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let now = deps.clock.now();
    serve(&deps.origin_policy, event, now, |request, now| async move {
        match request.route() {
            "POST /v1/second-steps" => {
                Box::pin(complete::complete_sign_in(deps, &request, now)).await
            }
            "GET /v1/factors" => list::list_factors(deps, &request, now).await,
            "POST /v1/factors" => Box::pin(add::begin_factor(deps, &request, now)).await,
            "POST /v1/factors/{factor_id}/confirmation" => {
                Box::pin(add::confirm_factor(deps, &request, now)).await
            }
            "DELETE /v1/factors/{factor_id}" => {
                Box::pin(remove::remove_factor(deps, &request, now)).await
            }
            "POST /v1/recovery-codes" => {
                Box::pin(recovery_codes::make_recovery_codes(deps, &request, now)).await
            }
            "PUT /v1/sign-in-codes" => {
                Box::pin(sign_in_codes::set_sign_in_codes(deps, &request, now)).await
            }
            "POST /v1/lost-factors" => {
                Box::pin(lost::report_lost_factors(deps, &request, now)).await
            }
            "POST /v1/lost-factors/confirmations" => {
                Box::pin(lost::confirm_lost_factors(deps, &request, now)).await
            }
            _ => Err(Problem::NotFound),
        }
    })
    .await
}
