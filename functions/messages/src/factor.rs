//! Showing and answering a notice about a new authenticator app, as long as that is young.

use domain::ownership::FactorStanding;
use domain::{Account, DeviceId, FactorId, Notice, SessionId, Timestamp};
use http_api::Problem;
use store::WriteOutcome;

use crate::answer::{Action, NoticeAnswered, NoticeRead};
use crate::{Deps, sign_in};

/// The app, and the device and the session that added it.
pub(crate) type Added = (FactorId, (DeviceId, SessionId));

pub(crate) async fn read(
    deps: &Deps,
    notice: &Notice,
    (id, by): Added,
    now: Timestamp,
) -> Result<NoticeRead, Problem> {
    let account = account_of(deps, notice).await?;
    if !is_young(deps, &account, id, now) {
        return Err(Problem::NoticeNotFound);
    }
    sign_in::read(deps, notice, by, now).await
}

/// Removes the app, and ends the session that added it; `None` if the rows have changed since
/// they were read. An app that has settled stays: it has power over the address, and not the
/// address over it.
pub(crate) async fn answer(
    deps: &Deps,
    notice: &Notice,
    (id, by): Added,
    now: Timestamp,
) -> Result<Option<NoticeAnswered>, Problem> {
    let account = account_of(deps, notice).await?;
    if account.factors.iter().any(|it| it.id == id) {
        if !is_young(deps, &account, id, now) {
            return Err(Problem::NoticeNotFound);
        }
        let attempt = FactorId::new(now, runtime::random());
        let removing = deps.store.remove_young_factor(&account, id, attempt);
        if Box::pin(removing).await? == WriteOutcome::Stale {
            return Ok(None);
        }
    }
    sign_in::answer(deps, notice, by, Action::End, now).await
}

async fn account_of(deps: &Deps, notice: &Notice) -> Result<Account, Problem> {
    let account = deps.store.rows(notice.account, &[]).await?.account;
    account.ok_or(Problem::NoticeNotFound)
}

fn is_young(deps: &Deps, account: &Account, id: FactorId, now: Timestamp) -> bool {
    let mut factors = account.live_factors(deps.sends_mail, now);
    factors.any(|(factor, standing)| factor.id == id && standing == FactorStanding::Young)
}
