//! How the session of a connection stands now.

use domain::session::{SessionStatus, session_status};
use domain::{AccountId, Device, DeviceId, EndInfo, SessionId, Timestamp};
use store::StoreError;

use crate::Deps;

/// How a session stands.
pub(crate) enum Stands {
    /// It is valid.
    SignedIn(Box<Device>),
    /// A sign-out ended it, and the device's row is still of it.
    EndInfo(Box<Device>, EndInfo),
    /// It is over otherwise: it ran out, or its device has signed in again, or the
    /// row is gone. There is nothing to tell the device.
    Over,
}

/// Reads how a session stands.
///
/// # Errors
/// [`StoreError`] when it could not be read, which is no verdict.
pub(crate) async fn judge(
    deps: &Deps,
    account: AccountId,
    device: DeviceId,
    session: SessionId,
    now: Timestamp,
) -> Result<Stands, StoreError> {
    let mut rows = deps.store.rows(account, &[device]).await?;
    let device = rows.take_device(device);
    let (Some(account), Some(device)) = (rows.account, device) else {
        return Ok(Stands::Over);
    };
    if device.session != session {
        return Ok(Stands::Over);
    }
    let status = session_status(&account, &device, &deps.limits, now);
    let device = Box::new(device);
    Ok(match status {
        SessionStatus::SignedIn => Stands::SignedIn(device),
        SessionStatus::SignedOut(ended) => Stands::EndInfo(device, ended),
        SessionStatus::EndedByEpoch => {
            let limits = &deps.limits;
            match deps.store.resolve_end(&device, limits, now).await? {
                Some(ended) => Stands::EndInfo(device, ended),
                None => Stands::Over,
            }
        }
        SessionStatus::Expired => Stands::Over,
    })
}

/// Writes down that a dead session has called and was refused. When that fails,
/// the next call is written down.
pub(crate) async fn contacted(deps: &Deps, device: &Device, ended: &EndInfo, now: Timestamp) {
    let written = deps
        .store
        .record_contact(device, ended, now, &deps.limits)
        .await;
    if let Err(error) = written {
        tracing::warn!(cause = error.chain(), "A contact was not written.");
    }
}
