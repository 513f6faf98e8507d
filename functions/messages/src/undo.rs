//! Showing and answering a notice about a changed address, in the mailbox before.

use domain::ownership::{Hold, Undo};
use domain::password::StoredHash;
use domain::{Account, AddressChange, Notice, NoticeId, SignOut, Timestamp};
use http_api::Problem;
use mail::AddressWarning;
use serde::{Deserialize, Serialize};
use store::{StoreError, WriteOutcome};
use utoipa::ToSchema;

use crate::answer::{NoticeAnswered, NoticeRead};
use crate::{Deps, MessageView};

/// The effect of the answer `undo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UndoEffect {
    /// The account gets the address before, every device is signed out, and the password is void
    /// until a recovery by that address.
    Undoes,
    /// Further changes are held for 72 hours, because a factor proved this one. The account's
    /// address gets a mail.
    Holds,
}

/// Shows the notice, without its reference: who answers it has to know it.
pub(crate) async fn read(
    deps: &Deps,
    notice: &Notice,
    now: Timestamp,
) -> Result<NoticeRead, Problem> {
    let (_, change) = find(deps, notice).await?;
    let effect = match change.undo(now) {
        Undo::Undoes => UndoEffect::Undoes,
        Undo::Holds => UndoEffect::Holds,
        Undo::Expired => return Err(Problem::NoticeNotFound),
    };
    Ok(NoticeRead {
        message: MessageView {
            reference: None,
            ..MessageView::from(notice)
        },
        status: None,
        undo: Some(effect),
    })
}

/// Requires the reference in the mail. A program that opens the links of mails does not type.
pub(crate) fn require_reference(notice: &Notice, given: Option<&str>) -> Result<(), Problem> {
    let given = given.ok_or(Problem::invalid("reference", "is missing"))?;
    if given.trim().eq_ignore_ascii_case(&notice.reference) {
        return Ok(());
    }
    let detail = "is not the one in the mail: six letters and digits";
    Err(Problem::invalid("reference", detail))
}

/// Undoes the change, or holds the next ones; `None` if the rows have changed since they were
/// read.
pub(crate) async fn answer(
    deps: &Deps,
    notice: &Notice,
    now: Timestamp,
) -> Result<Option<NoticeAnswered>, Problem> {
    let (account, change) = find(deps, notice).await?;
    match change.undo(now) {
        Undo::Undoes => Ok(undo(deps, notice, (&account, &change), now).await?),
        Undo::Holds => warn(deps, notice, (&account, &change), now).await,
        Undo::Expired => Err(Problem::NoticeNotFound),
    }
}

async fn undo(
    deps: &Deps,
    notice: &Notice,
    of: (&Account, &AddressChange),
    now: Timestamp,
) -> Result<Option<NoticeAnswered>, StoreError> {
    let sign_out = SignOut::of_restored(of.0, now, runtime::random());
    let void = StoredHash::void(runtime::random());
    let written = deps
        .store
        .undo_address_change(of, notice, (&sign_out, &void), &deps.limits)
        .await?;
    let is_done = written == WriteOutcome::Done;
    Ok(is_done.then(|| NoticeAnswered::of(Some(&sign_out.end_info()))))
}

async fn warn(
    deps: &Deps,
    notice: &Notice,
    of: (&Account, &AddressChange),
    now: Timestamp,
) -> Result<Option<NoticeAnswered>, Problem> {
    let hold = Hold::of_warning(now);
    queue_warning(deps, of.0, &hold).await?;
    let attempt = NoticeId::new(now, runtime::random());
    let written = deps
        .store
        .warn_of_address_change(of, notice, &hold, attempt)
        .await?;
    let answered = NoticeAnswered {
        sign_out: None,
        held_until: Some(hold.ends_at().into()),
    };
    Ok((written == WriteOutcome::Done).then_some(answered))
}

/// Queues the warning before it is written, so that none goes without its mail.
async fn queue_warning(deps: &Deps, account: &Account, hold: &Hold) -> Result<(), Problem> {
    let Some(queue) = &deps.warnings else {
        return Ok(());
    };
    let warning = AddressWarning {
        warned_account: account.id.to_string(),
        at_ms: hold.began_at.as_millisecond(),
    };
    queue.send_warning(&warning).await.map_err(|error| {
        let cause = errors::chain(&*error);
        tracing::error!(cause, "warning not queued");
        Problem::Unavailable
    })
}

/// Returns the account of a notice with the change that it is about.
async fn find(deps: &Deps, notice: &Notice) -> Result<(Account, AddressChange), Problem> {
    let account = deps.store.rows(notice.account, &[]).await?.account;
    let account = account.ok_or(Problem::NoticeNotFound)?;
    let change = account.address_change.clone();
    let change = change.filter(|change| change.at == notice.at);
    Ok((account, change.ok_or(Problem::NoticeNotFound)?))
}
