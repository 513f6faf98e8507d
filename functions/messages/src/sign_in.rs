//! Showing and answering a notice about a sign-in.

use domain::recognition::recognized_until;
use domain::session::{SessionStatus, session_status};
use domain::{Device, DeviceId, Notice, NoticeId, SessionId, SignOut, Timestamp};
use http_api::{Problem, Status};
use store::{StoreError, WriteOutcome};

use crate::answer::{Action, NoticeAnswered, NoticeRead};
use crate::{Deps, MessageView};

pub(crate) async fn read(
    deps: &Deps,
    notice: &Notice,
    of: (DeviceId, SessionId),
    now: Timestamp,
) -> Result<NoticeRead, Problem> {
    let (_, status) = find(deps, notice, of, now).await?;
    Ok(NoticeRead {
        message: MessageView::from(notice),
        status: Some(match status {
            SessionStatus::SignedIn => Status::SignedIn,
            _ => Status::SignedOut,
        }),
        undo: None,
    })
}

/// Answers the notice; `None` if the rows have changed since they were read.
pub(crate) async fn answer(
    deps: &Deps,
    notice: &Notice,
    of: (DeviceId, SessionId),
    action: Action,
    now: Timestamp,
) -> Result<Option<NoticeAnswered>, Problem> {
    let ended = match find(deps, notice, of, now).await? {
        (Some(device), SessionStatus::SignedIn) => {
            return Ok(write(deps, notice, &device, action, now).await?);
        }
        (_, SessionStatus::SignedOut(ended)) => Some(ended),
        (Some(device), SessionStatus::EndedByEpoch) => deps.store.end_by_epoch(&device).await?,
        _ => None,
    };
    Ok(Some(NoticeAnswered::of(ended.as_ref())))
}

async fn write(
    deps: &Deps,
    notice: &Notice,
    device: &Device,
    action: Action,
    now: Timestamp,
) -> Result<Option<NoticeAnswered>, StoreError> {
    let (store, limits) = (&deps.store, &deps.limits);
    let (written, ended) = if action == Action::End {
        let sign_out = SignOut::of_notice(device, now, runtime::random());
        let written = store
            .end_by_notice(notice, device, &sign_out, limits)
            .await?;
        (written, Some(sign_out.end_info()))
    } else {
        let times = (now, recognized_until(now));
        let attempt = NoticeId::new(now, runtime::random());
        let written = store
            .recognize_by_notice(notice, device, times, attempt)
            .await?;
        (written, None)
    };
    let is_done = written == WriteOutcome::Done;
    Ok(is_done.then(|| NoticeAnswered::of(ended.as_ref())))
}

/// Returns the device of a notice with the status of its session.
async fn find(
    deps: &Deps,
    notice: &Notice,
    (device, session): (DeviceId, SessionId),
    now: Timestamp,
) -> Result<(Option<Device>, SessionStatus), StoreError> {
    let mut rows = deps.store.rows(notice.account, &[device]).await?;
    // A sign-in on a known device goes on with the session that the owner was notified of; after
    // any other one, that session has ended.
    let device = rows.take_device(device);
    let device = device.filter(|device| device.notice_session == session);
    let status = match (&rows.account, &device) {
        (Some(account), Some(device)) => session_status(account, device, &deps.limits, now),
        _ => SessionStatus::Expired,
    };
    Ok((device, status))
}
