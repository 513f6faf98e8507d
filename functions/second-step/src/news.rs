//! News of factors for the owner.

use domain::notice::FactorAct;
use domain::session::Authenticated;
use domain::{FactorId, Timestamp};
use http_api::Problem;
use mail::FactorNews;

use crate::Deps;

/// The time after which the news is read: longer than this function may take, so that what it
/// is about is written by then, or never.
const DELAY_S: i32 = 15;

/// Queues the news of an act, before it is written: no act goes without its notice.
/// `notify-owner` reads the rows again, so an act that was not written has none.
///
/// # Errors
/// `unavailable`: the act must not be written.
pub(crate) async fn queue(
    deps: &Deps,
    caller: &Authenticated,
    (act, id): (FactorAct, FactorId),
    now: Timestamp,
) -> Result<(), Problem> {
    let device = &caller.device;
    send(
        deps,
        FactorNews {
            factor_account: device.account.to_string(),
            act: act.as_str().to_owned(),
            id: id.to_string(),
            by: Some((device.id.to_string(), device.notice_session.to_string())),
            challenge_id: None,
            place: None,
            at_ms: now.as_millisecond(),
        },
    )
    .await
}

/// The same for what is queued without a session.
///
/// # Errors
/// `unavailable`.
pub(crate) async fn send(deps: &Deps, news: FactorNews) -> Result<(), Problem> {
    let Some(queue) = &deps.notices else {
        return Ok(());
    };
    if let Err(error) = queue.send_factor_news(&news, DELAY_S).await {
        tracing::error!(cause = store::chain(&*error), "news of a factor not queued");
        return Err(Problem::Unavailable);
    }
    Ok(())
}
