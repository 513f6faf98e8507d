//! `POST /v1/address-changes` and `POST /v1/address-changes/confirmations`: another address for
//! the caller's account, by a code to it. `POST /v1/address-confirmations`: confirms the address
//! that the account has.
//!
//! Every route needs a session, and none computes a hash.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

mod change;
mod confirm;
mod request;

use codes::Codes;
use domain::Limits;
use domain::verification::VerificationPolicy;
use http_api::{Event, OriginPolicy, Problem, Reply, serve};
use runtime::Clock;
use store::Store;
use utoipa::OpenApi;

pub use change::{AddressChangeConfirmation, AddressChanged};
pub use confirm::AddressConfirmation;
pub use request::AddressChangeRequest;

/// Writes accounts, identities, devices, challenges, receipts and counters of attempts; queues
/// mails.
pub struct Deps {
    pub store: Store,
    pub limits: Limits,
    pub policy: VerificationPolicy,
    pub origin_policy: OriginPolicy,
    pub clock: Clock,
    /// None when the deployment sends no mail.
    pub codes: Option<Codes>,
}

/// The function's part of the `OpenAPI` document.
#[derive(Debug, Clone, Copy, OpenApi)]
#[openapi(paths(
    confirm::confirm_address,
    change::change_address,
    request::request_address_change
))]
pub struct Document;

/// Answers a request of one of the routes.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let now = deps.clock.now();
    serve(&deps.origin_policy, event, now, |request, now| async move {
        match request.route() {
            "POST /v1/address-changes" => {
                request::request_address_change(deps, &request, now).await
            }
            "POST /v1/address-changes/confirmations" => {
                Box::pin(change::change_address(deps, &request, now)).await
            }
            "POST /v1/address-confirmations" => confirm::confirm_address(deps, &request, now).await,
            _ => Err(Problem::NotFound),
        }
    })
    .await
}
