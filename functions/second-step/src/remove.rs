//! Removing a factor.

use domain::notice::FactorAct;
use domain::{FactorId, Timestamp};
use factors::{news_of, queue_news};
use http_api::{
    Answer, BodyProblems, Empty, FactorNotFound, Problem, Request, RequestProblems,
    VerifiedTokenProblems, WRITE_ATTEMPTS, authenticate, require_verified,
};
use store::{StoreError, WriteOutcome};

use crate::Deps;

/// Removes an authenticator app.
#[utoipa::path(
    delete, path = "/v1/factors/{factor_id}", operation_id = "removeFactor", tag = "factors",
    params(("factor_id" = String, Path, description = "The `id` of a factor.", format = Uuid)),
    security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "The account does not have the factor any more.",
            body = Empty, example = json!({})),
        RequestProblems, VerifiedTokenProblems, BodyProblems, FactorNotFound,
    ),
)]
pub(crate) async fn remove_factor(
    deps: &Deps,
    request: &Request,
    now: Timestamp,
) -> Result<Answer, Problem> {
    let wanted: Option<FactorId> = request
        .path_parameter("factor_id")
        .and_then(|id| id.parse().ok());
    for _ in 0..WRITE_ATTEMPTS {
        let caller = authenticate(&deps.store, request, &deps.limits, now).await?;
        request.no_body()?;
        require_verified(deps.policy, &caller, &deps.limits, now)?;
        let mut factors = caller.account.factors.iter();
        let wanted = wanted.filter(|wanted| factors.any(|it| it.id == *wanted));
        let wanted = wanted.ok_or(Problem::FactorNotFound)?;
        let news = news_of(&caller.device, (FactorAct::Removed, wanted), now);
        queue_news(deps.notices.as_ref(), &news).await?;
        let attempt = FactorId::new(now, runtime::random());
        let removing = deps.store.remove_factor(&caller, wanted, attempt);
        if removing.await? == WriteOutcome::Done {
            request.note_outcome("factor-removed");
            return Ok(Answer::json(200, &Empty {}));
        }
    }
    Err(StoreError::Contended.into())
}
