//! The check: the rows that a token names, and the status of sessions.

use std::collections::HashMap;

use domain::session::{SessionStatus, session_status};
use domain::sign_out::first_to_end;
use domain::{
    Account, AccountId, Device, DeviceId, EndInfo, Epoch, Limits, SessionId, SignOut, Timestamp,
};

use crate::attributes::ENDED_EPOCH;
use crate::error::StoreError;
use crate::rows::{account, device, receipt};
use crate::{Store, reads};

/// An account's row with some of its devices' rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rows {
    /// The account, if it exists.
    pub account: Option<Account>,
    /// The requested devices that exist, in no order.
    pub devices: Vec<Device>,
}

impl Rows {
    /// Removes and returns the row of a device.
    pub fn take_device(&mut self, id: DeviceId) -> Option<Device> {
        let at = self.devices.iter().position(|device| device.id == id)?;
        Some(self.devices.swap_remove(at))
    }
}

/// The key of a session in rows that outlive it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionKey {
    /// The device of the session.
    pub device: DeviceId,
    /// The session.
    pub session: SessionId,
    /// The account's epoch when the session began.
    pub epoch: Epoch,
}

/// The status of a session, with the sign-out that ended it looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolvedStatus {
    /// The session is valid.
    SignedIn,
    /// A sign-out ended the session, in its own row or by the account's epoch.
    SignedOut(EndInfo),
    /// The device has another session, or its row is gone.
    Replaced,
    /// The session has expired.
    Expired,
}

/// `BatchGetItem` takes 100 keys; one is the account's.
const DEVICES_PER_BATCH: usize = 99;

impl Store {
    /// Reads an account and up to 99 of its devices.
    ///
    /// One `BatchGetItem` of Accounts (`account_id`) and Devices (`account_id`,
    /// `device_id`), consistent; unprocessed keys are read again, at most four times.
    ///
    /// # Errors
    /// [`StoreError`] when any row could not be read. Rows are never left out.
    pub async fn rows(&self, account: AccountId, devices: &[DeviceId]) -> Result<Rows, StoreError> {
        let account_keys = reads::keys(vec![account::key(account)]);
        let mut keys = HashMap::from([(self.tables.accounts.clone(), account_keys)]);
        let mut device_keys = Vec::with_capacity(devices.len());
        for (at, device) in devices.iter().enumerate() {
            // DynamoDB rejects a call with a duplicate key.
            if !devices[..at].contains(device) {
                device_keys.push(device::key(account, *device));
            }
        }
        // DynamoDB rejects a table without keys.
        if !device_keys.is_empty() {
            keys.insert(self.tables.devices.clone(), reads::keys(device_keys));
        }
        let mut rows = Rows::default();
        for (table, items) in reads::batch_get(&self.client, keys).await? {
            for item in items {
                if table == self.tables.accounts {
                    rows.account = Some(account::from_item(&item)?);
                } else {
                    rows.devices.push(device::from_item(&item)?);
                }
            }
        }
        Ok(rows)
    }

    /// Returns the status of sessions of one account, in the order of `sessions`.
    ///
    /// Reads as [`Store::rows`], 99 devices in each call, and as
    /// [`Store::sign_outs_since`] if the account's epoch has ended any of them.
    ///
    /// # Errors
    /// [`StoreError`] when a read failed.
    pub async fn resolved_statuses(
        &self,
        account: AccountId,
        sessions: &[SessionKey],
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Vec<ResolvedStatus>, StoreError> {
        let mut statuses = Vec::with_capacity(sessions.len());
        for batch in sessions.chunks(DEVICES_PER_BATCH) {
            let ids: Vec<DeviceId> = batch.iter().map(|session| session.device).collect();
            let rows = self.rows(account, &ids).await?;
            let by_id: HashMap<DeviceId, &Device> =
                rows.devices.iter().map(|row| (row.id, row)).collect();
            statuses.extend(batch.iter().map(|key| {
                let row = by_id.get(&key.device)?;
                let account = rows.account.as_ref()?;
                (row.session == key.session).then(|| session_status(account, row, limits, now))
            }));
        }
        let ended = sessions.iter().zip(&statuses);
        let oldest = ended
            .filter(|(_, status)| **status == Some(SessionStatus::EndedByEpoch))
            .map(|(key, _)| key.epoch)
            .min();
        // Read only if needed, and after the rows: the record of a sign-out is
        // written with the epoch that it ends, so it must be found.
        let sign_outs = match oldest {
            Some(oldest) => self.sign_outs_since(account, oldest).await?,
            None => Vec::new(),
        };
        let statuses = sessions.iter().zip(statuses);
        statuses
            .map(|(key, status)| resolve(key, status, &sign_outs))
            .collect()
    }

    /// Returns the sign-out that ended a session which the check found ended by the
    /// account's epoch, or `None` if the device has another session now.
    ///
    /// Reads as [`Store::resolved_statuses`], because the check's two rows need not
    /// be of one moment: after the device's row was read and before the epoch moved
    /// on, the session may have been signed out by itself or replaced. A row that has
    /// the time of the session's first contact was resolved so before; then this reads
    /// as [`Store::end_by_epoch`].
    ///
    /// # Errors
    /// [`StoreError`] when a read failed.
    pub async fn resolve_end(
        &self,
        device: &Device,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Option<EndInfo>, StoreError> {
        if device.contacted_at.is_some() {
            return self.end_by_epoch(device).await.map(Some);
        }
        let session = SessionKey {
            device: device.id,
            session: device.session,
            epoch: device.epoch,
        };
        let statuses = self
            .resolved_statuses(device.account, &[session], limits, now)
            .await?;
        Ok(match statuses.into_iter().next() {
            Some(ResolvedStatus::SignedOut(ended)) => Some(ended),
            // A session that has ended is never valid again, and the check tests for
            // a sign-out before it tests for expiry, so only `Replaced` occurs.
            Some(ResolvedStatus::Replaced | ResolvedStatus::SignedIn | ResolvedStatus::Expired)
            | None => None,
        })
    }

    /// Returns the sign-out that ended a session by moving the account's epoch on.
    ///
    /// Reads as [`Store::sign_outs_since`].
    ///
    /// # Errors
    /// [`StoreError`] when the read failed, or when there is no such record: one is
    /// written with each epoch and kept longer than the rows that it ended.
    pub async fn end_by_epoch(&self, device: &Device) -> Result<EndInfo, StoreError> {
        let sign_outs = self.sign_outs_since(device.account, device.epoch).await?;
        first_to_end_of(&sign_outs, device.session, device.epoch)
    }
}

/// Returns the resolved status of a session; `status` is `None` if no row holds it.
fn resolve(
    key: &SessionKey,
    status: Option<SessionStatus>,
    sign_outs: &[SignOut],
) -> Result<ResolvedStatus, StoreError> {
    Ok(match status {
        None => ResolvedStatus::Replaced,
        Some(SessionStatus::SignedIn) => ResolvedStatus::SignedIn,
        Some(SessionStatus::SignedOut(ended)) => ResolvedStatus::SignedOut(ended),
        Some(SessionStatus::Expired) => ResolvedStatus::Expired,
        Some(SessionStatus::EndedByEpoch) => {
            ResolvedStatus::SignedOut(first_to_end_of(sign_outs, key.session, key.epoch)?)
        }
    })
}

fn first_to_end_of(
    sign_outs: &[SignOut],
    session: SessionId,
    epoch: Epoch,
) -> Result<EndInfo, StoreError> {
    first_to_end(sign_outs, session, epoch)
        .map(SignOut::end_info)
        .ok_or(StoreError::Corrupt {
            table: receipt::TABLE,
            attribute: ENDED_EPOCH,
        })
}
