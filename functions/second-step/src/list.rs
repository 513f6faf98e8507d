//! Listing the factors.

use domain::ownership::{Act, FactorStanding};
use domain::session::Authenticated;
use domain::{Rfc3339, Timestamp};
use http_api::{Answer, Problem, Request, RequestProblems, TokenProblems, authenticate};
use serde::Serialize;
use store::Factors;
use utoipa::ToSchema;

use crate::lost::RemovalView;
use crate::{Deps, SignInCodesView};

/// The factors of an account.
#[derive(Serialize, ToSchema)]
pub struct FactorsView {
    /// The authenticator apps, in the order in which they were added.
    pub factors: Vec<FactorView>,
    /// The recovery codes; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_codes: Option<RecoveryCodesView>,
    /// Whether the deployment has second factors, so that one can be added.
    pub available: bool,
    /// The time until which the address can't be changed: after a recovery or a warning, or
    /// because the mailbox before can still undo the last change. Absent if it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub address_held_until: Option<Rfc3339>,
    /// The time until which no authenticator app can be added and no recovery codes can be made:
    /// after a warning. Absent if they can.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub factors_held_until: Option<Rfc3339>,
    /// Codes by mail, which a sign-in without a settled factor needs.
    pub sign_in_codes: SignInCodesView,
    /// The removal of lost authenticator apps that somebody with the password and the mail asked
    /// for; absent if nobody did. A verification by a factor or a recovery code stops it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removal: Option<RemovalView>,
}

/// An authenticator app.
#[derive(Serialize, ToSchema)]
pub struct FactorView {
    #[schema(value_type = String, format = Uuid)]
    pub id: String,
    #[schema(example = "Lea's phone")]
    pub name: String,
    /// The time when it was confirmed.
    #[schema(value_type = String, format = DateTime)]
    pub added_at: Rfc3339,
    /// Whether it counts for more than the sign-in: a verification and a recovery take it, and
    /// nothing else.
    pub settled: bool,
    /// The time from which on it does; absent as long as its notice has not gone to the
    /// address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub settles_at: Option<Rfc3339>,
}

/// The recovery codes of an account.
#[derive(Serialize, ToSchema)]
pub struct RecoveryCodesView {
    /// The codes that were not used.
    #[schema(maximum = 10)]
    pub left: usize,
    /// The time when they were made.
    #[schema(value_type = String, format = DateTime)]
    pub made_at: Rfc3339,
}

impl FactorsView {
    fn example() -> Self {
        let time = |text: &str| text.parse::<Timestamp>().expect("it is a time").into();
        Self {
            factors: vec![FactorView {
                id: "0192f0c2-0b1d-7a40-8f6e-2d1c9b7a5e33".to_owned(),
                name: "Lea's phone".to_owned(),
                added_at: time("2026-11-20T09:30:00Z"),
                settled: false,
                settles_at: Some(time("2026-11-27T09:30:04Z")),
            }],
            recovery_codes: Some(RecoveryCodesView {
                left: 9,
                made_at: time("2026-11-20T09:31:00Z"),
            }),
            available: true,
            address_held_until: None,
            factors_held_until: None,
            sign_in_codes: SignInCodesView::example(),
            removal: None,
        }
    }
}

/// Lists the factors of the caller's account.
#[utoipa::path(
    get, path = "/v1/factors", operation_id = "listFactors", tag = "factors",
    security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "The factors.", body = FactorsView,
            example = json!(FactorsView::example())),
        RequestProblems, TokenProblems,
    ),
)]
pub(crate) async fn list_factors(
    deps: &Deps,
    request: &Request,
    now: Timestamp,
) -> Result<Answer, Problem> {
    let caller = authenticate(&deps.store, request, &deps.limits, now).await?;
    let rows = deps.store.factors(caller.account.id).await?;
    Ok(Answer::json(200, &view(deps, &caller, &rows, now)))
}

fn view(deps: &Deps, caller: &Authenticated, rows: &Factors, now: Timestamp) -> FactorsView {
    let (account, sends_mail) = (&caller.account, deps.policy.sends_mail);
    let live = account.live_factors(sends_mail, now);
    let factors = live.filter_map(|(factor, standing)| {
        let row = rows.totp.iter().find(|row| row.id == factor.id)?;
        Some(FactorView {
            id: factor.id.to_string(),
            name: row.name.clone(),
            added_at: factor.added_at.into(),
            settled: standing == FactorStanding::Settled,
            settles_at: account.settles_at(factor, sends_mail).map(Into::into),
        })
    });
    FactorsView {
        factors: factors.collect(),
        recovery_codes: rows.codes.as_ref().map(|codes| RecoveryCodesView {
            left: codes.left.len(),
            made_at: codes.made_at.into(),
        }),
        available: deps.checker.sealer.is_some(),
        address_held_until: account.address_held_until(sends_mail, now).map(Into::into),
        factors_held_until: account
            .held_until(Act::AddFactor, sends_mail, now)
            .map(Into::into),
        sign_in_codes: SignInCodesView::of(deps, account),
        removal: account.removal_due_at(now).map(RemovalView::from),
    }
}
