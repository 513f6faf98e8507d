//! Recording activity: of a valid session (the touch), and the first call of a
//! session that has ended.

use domain::end_info::EndInfo;
use domain::receipt::Step;
use domain::sign_out::EndedSession;
use domain::{AccountId, Device, DeviceId, Limits, Place, SessionId, Timestamp};

use crate::Store;
use crate::attributes::{built, timestamp};
use crate::error::StoreError;
use crate::rows::{device, receipt};
use crate::writes::{self, WriteOutcome};

impl Store {
    /// Updates the time at which a device's session was last active, and its place, if the
    /// activity came with one.
    ///
    /// `UpdateItem` of Devices (`account_id`, `device_id`), only if the row still
    /// holds this session, signed in: a late touch never revives a session. A replay
    /// changes nothing. Not retried when the row is busy: the next touch will do.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn touch(
        &self,
        account: AccountId,
        device: DeviceId,
        session: SessionId,
        place: Option<&Place>,
        now: Timestamp,
    ) -> Result<WriteOutcome, StoreError> {
        let key = device::key(account, device);
        let update = device::touch(&self.tables.devices, key, session, place, now);
        writes::update_once(&self.client, update).await
    }

    /// Records, once, that a session that has ended called and was refused: `contact`
    /// is [`Step::Notified`] if the answer has the reason, or [`Step::Seen`]. Does
    /// nothing if this is recorded or the receipt has no entry for the session.
    ///
    /// As [`Store::record_step`]; then `UpdateItem` of Devices (`account_id`,
    /// `device_id`), only if the row still holds this session, so that later calls
    /// write nothing. A replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn record_contact(
        &self,
        device: &Device,
        ended: &EndInfo,
        contact: Step,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<(), StoreError> {
        if device.has_contact(contact) || !device.is_in_receipt_of(ended, limits) {
            return Ok(());
        }
        let session = EndedSession::from(device);
        let account = device.account;
        // The receipt first: a crash in between costs one more write at the next
        // call. The other way round the receipt would never get the contact.
        self.record_step(account, ended, &session, contact, now, limits)
            .await?;
        self.note_contact(device, contact, now).await
    }

    async fn note_contact(
        &self,
        device: &Device,
        contact: Step,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let attribute = receipt::attribute_of(contact);
        let key = device::key(device.account, device.id);
        let update = device::has_session(device.session)
            .update(&self.tables.devices, key)
            .update_expression(format!(
                "SET {attribute} = if_not_exists({attribute}, :now)"
            ))
            .expression_attribute_values(":now", timestamp(now));
        match writes::update_once(&self.client, built(update.build())).await {
            // `Stale`: the device has signed in again. `Contended`: its row is busy.
            // The receipt has the contact either way, and the next call notes it.
            Ok(WriteOutcome::Done | WriteOutcome::Stale) | Err(StoreError::Contended) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
