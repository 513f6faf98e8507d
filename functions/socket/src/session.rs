//! The check of a session that is known by its ids and not by its token.

use domain::session::{SessionStatus, session_status};
use domain::{AccountId, Device, DeviceId, EndInfo, SessionId, Timestamp};
use store::{ResolvedStatus, StoreError};

use crate::Deps;

/// The status of a session, with what is needed to act on it.
pub(crate) enum CheckedSession {
    SignedIn(Box<Device>),
    /// A sign-out ended it, and the device has not signed in again.
    SignedOut(Box<Device>, EndInfo),
    /// Ended otherwise: it expired, its device has signed in again, or its row was
    /// deleted. There is nothing to report to the device.
    Ended,
}

/// Reads the current status of a session.
///
/// # Errors
/// [`StoreError`] when it could not be read, which is no verdict on the session.
pub(crate) async fn check_session(
    deps: &Deps,
    account: AccountId,
    device: DeviceId,
    session: SessionId,
    now: Timestamp,
) -> Result<CheckedSession, StoreError> {
    let mut rows = deps.store.rows(account, &[device]).await?;
    let device = rows.take_device(device);
    let (Some(account), Some(device)) = (rows.account, device) else {
        return Ok(CheckedSession::Ended);
    };
    if device.session != session {
        return Ok(CheckedSession::Ended);
    }
    let status = session_status(&account, &device, &deps.limits, now);
    let device = Box::new(device);
    Ok(match status {
        SessionStatus::SignedIn => CheckedSession::SignedIn(device),
        SessionStatus::SignedOut(end) => CheckedSession::SignedOut(device, end),
        SessionStatus::EndedByEpoch => {
            let limits = &deps.limits;
            match deps.store.resolve_end(&device, limits, now).await? {
                ResolvedStatus::SignedOut(end, device) => CheckedSession::SignedOut(device, end),
                _ => CheckedSession::Ended,
            }
        }
        SessionStatus::Expired | SessionStatus::AccountDisabled => CheckedSession::Ended,
    })
}
