//! The check: the rows that a token names, and the status of sessions.

use std::collections::HashMap;

use domain::receipt::Step;
use domain::session::{SessionStatus, session_status};
use domain::{Account, AccountId, Device, DeviceId, EndInfo, Limits, SessionId, Timestamp};

use crate::attributes::RECORD;
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
}

/// The status of a session, with the sign-out that ended it looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolvedStatus {
    /// The session is valid.
    SignedIn,
    /// A sign-out ended the session, in its own row or by the account's epoch. By
    /// [`Store::resolve_end`] the row is read after that, so it has the session's last tokens.
    SignedOut(EndInfo, Box<Device>),
    /// The device has another session, or its row is gone.
    Replaced,
    /// The session has expired, also after a sign-out whose record is no longer kept.
    Expired,
    /// The account was disabled by hand, without a record.
    AccountDisabled,
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
    /// [`Store::ends_by_epoch`] if the account's epoch has ended any of them.
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
        let (mut statuses, mut by_epoch) = (Vec::with_capacity(sessions.len()), Vec::new());
        for batch in sessions.chunks(DEVICES_PER_BATCH) {
            let ids: Vec<DeviceId> = batch.iter().map(|session| session.device).collect();
            let rows = self.rows(account, &ids).await?;
            let by_session: HashMap<SessionId, &Device> =
                rows.devices.iter().map(|row| (row.session, row)).collect();
            for key in batch {
                let row = by_session.get(&key.session);
                let (Some(row), Some(account)) = (row, &rows.account) else {
                    statuses.push(ResolvedStatus::Replaced);
                    continue;
                };
                statuses.push(match session_status(account, row, limits, now) {
                    SessionStatus::SignedIn => ResolvedStatus::SignedIn,
                    SessionStatus::SignedOut(ended) => {
                        ResolvedStatus::SignedOut(ended, Box::new((*row).clone()))
                    }
                    SessionStatus::Expired => ResolvedStatus::Expired,
                    SessionStatus::AccountDisabled => ResolvedStatus::AccountDisabled,
                    SessionStatus::EndedByEpoch => {
                        by_epoch.push((statuses.len(), (*row).clone()));
                        ResolvedStatus::Expired
                    }
                });
            }
        }
        // After the rows: the record of a sign-out is written with the epoch that it
        // ends, so it must be found.
        let devices: Vec<&Device> = by_epoch.iter().map(|(_, row)| row).collect();
        let ends = self.ends_by_epoch(account, &devices).await?;
        for ((at, row), ended) in by_epoch.into_iter().zip(ends) {
            statuses[at] = ended_status(row, ended, limits, now)?;
        }
        Ok(statuses)
    }

    /// Returns the status of a session which the check found ended by the account's
    /// epoch, with the sign-out that ended it.
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
    ) -> Result<ResolvedStatus, StoreError> {
        if device.has_contact(Step::Seen) || device.has_contact(Step::Notified) {
            let ended = self.end_by_epoch(device).await?;
            return ended_status(device.clone(), ended, limits, now);
        }
        let session = SessionKey {
            device: device.id,
            session: device.session,
        };
        let statuses = self
            .resolved_statuses(device.account, &[session], limits, now)
            .await?;
        // A session that an epoch has ended is never valid again.
        let status = statuses.into_iter().next();
        let ended = status.filter(|status| *status != ResolvedStatus::SignedIn);
        ended.ok_or(StoreError::Contended)
    }

    /// Returns the sign-out that ended a session by moving the account's epoch on; `None`
    /// if its record is no longer kept.
    ///
    /// Reads as [`Store::ends_by_epoch`].
    ///
    /// # Errors
    /// [`StoreError`] when the read failed.
    pub async fn end_by_epoch(&self, device: &Device) -> Result<Option<EndInfo>, StoreError> {
        let ends = self.ends_by_epoch(device.account, &[device]).await?;
        Ok(ends.into_iter().next().flatten())
    }
}

/// Returns the status of a session that the epoch ended. Without the record the session
/// must have expired, because records are kept until then; if not, a row is corrupt.
fn ended_status(
    device: Device,
    ended: Option<EndInfo>,
    limits: &Limits,
    now: Timestamp,
) -> Result<ResolvedStatus, StoreError> {
    match ended {
        Some(ended) if !device.is_in_receipt_of(&ended, limits) => Ok(ResolvedStatus::Expired),
        Some(ended) => Ok(ResolvedStatus::SignedOut(ended, Box::new(device))),
        None if device.had_expired(now, limits) => Ok(ResolvedStatus::Expired),
        None => Err(StoreError::Corrupt {
            table: receipt::TABLE,
            attribute: RECORD,
        }),
    }
}
