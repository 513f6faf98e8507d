//! Acknowledgements: a device reports that it has wiped what it had stored.

use std::collections::HashMap;

use domain::receipt::{AcknowledgeRows, Acknowledgement, SessionProof, Step};
use domain::{AccountId, DeviceId, EndInfo, Limits, SignOutId, Timestamp};

use crate::error::StoreError;
use crate::rows::{device, receipt};
use crate::{Store, reads};

/// The outcome of an acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcknowledgeOutcome {
    /// The receipt has it, from this call or an earlier one.
    Acknowledged(EndInfo),
    /// The sign-out does not exist or did not end this session; nothing was written.
    NotEnded,
    /// The proof fits no session of the device; nothing was written.
    UnknownSession,
}

impl Store {
    /// Records that a device has wiped what it had stored, if this sign-out ended the
    /// session that `proof` fits. The device may have signed in again since.
    ///
    /// One `BatchGetItem` of Devices (`account_id`, `device_id`) and Receipts
    /// (`account_id`, the keys of the header and the entry), consistent; then
    /// as [`Store::record_step`]. A replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when a read failed, or when the write failed or its outcome is
    /// unknown.
    pub async fn acknowledge(
        &self,
        account: AccountId,
        device: DeviceId,
        proof: SessionProof,
        sign_out: SignOutId,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<AcknowledgeOutcome, StoreError> {
        let rows = self.acknowledge_rows(account, device, sign_out).await?;
        let (ended, session) = match rows.judge(device, &proof, limits) {
            Acknowledgement::Record(ended, session) => (ended, session),
            // Answered without a write, so that repeating it costs one read.
            Acknowledgement::AlreadyRecorded(ended) => {
                return Ok(AcknowledgeOutcome::Acknowledged(ended));
            }
            Acknowledgement::NotEnded => return Ok(AcknowledgeOutcome::NotEnded),
            Acknowledgement::UnknownSession => return Ok(AcknowledgeOutcome::UnknownSession),
        };
        self.record_step(account, &ended, &session, Step::Wiped, now, limits)
            .await?;
        Ok(AcknowledgeOutcome::Acknowledged(ended))
    }

    async fn acknowledge_rows(
        &self,
        account: AccountId,
        device: DeviceId,
        sign_out: SignOutId,
    ) -> Result<AcknowledgeRows, StoreError> {
        let receipt_keys = vec![
            receipt::header_key(account, sign_out),
            receipt::entry_key(account, sign_out, device),
        ];
        let device_keys = vec![device::key(account, device)];
        let keys = HashMap::from([
            (self.tables.devices.clone(), reads::keys(device_keys)),
            (self.tables.receipts.clone(), reads::keys(receipt_keys)),
        ]);
        let mut rows = AcknowledgeRows::default();
        for (table, items) in reads::batch_get(&self.client, keys).await? {
            for item in items {
                if table == self.tables.devices {
                    rows.device = Some(device::from_item(&item)?);
                } else if receipt::is_entry(&item)? {
                    rows.entry = Some(receipt::entry_from_item(&item)?);
                } else {
                    rows.sign_out = Some(receipt::header_from_item(&item)?);
                }
            }
        }
        Ok(rows)
    }
}
