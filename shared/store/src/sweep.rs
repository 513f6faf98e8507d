//! The sweep: marking the rows of sessions that an account-wide sign-out ended.

use domain::sign_out::EndedSession;
use domain::{Device, Limits, SignOut};

use crate::Store;
use crate::attributes::WRITE_SWEEP;
use crate::error::StoreError;
use crate::rows::{device, receipt};
use crate::writes::{self, Write, WriteOutcome};

impl Store {
    /// Marks a session that an account-wide sign-out ended: signs its row out and
    /// creates its receipt entry.
    ///
    /// One transaction: Devices (`account_id`, `device_id`), only if the row still
    /// holds the session that was read, signed in; Receipts (`account_id`,
    /// `sign_out_id#device_id`), each attribute only if it is absent. A replay
    /// changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn sweep(
        &self,
        device: &Device,
        sign_out: &SignOut,
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        let ended = sign_out.end_info();
        // A session never changes its epoch, so a row that still holds the session is
        // still one that this sign-out ended. No condition on the epoch is needed.
        let end = device::end_session(&self.tables.devices, device, &ended, WRITE_SWEEP);
        let mut writes = vec![Write::Update(end)];
        // A session that had expired before was not ended by this sign-out: its row is
        // marked, and the receipt has no entry for it.
        if !device.had_expired(sign_out.at, limits) {
            let session = EndedSession::from(device);
            let (table, account) = (&self.tables.receipts, device.account);
            let entry = receipt::update_entry(table, account, &ended, &session, None, limits);
            writes.push(Write::Update(entry));
        }
        // A session can be marked only once, so its id is the transaction's token. The
        // sign-in that replaces an unswept session uses the bare id of its new session;
        // the prefix keeps the two apart. The dashes go to stay within 36 characters.
        let token = format!("end-{}", device.session.to_string().replace('-', ""));
        writes::transact(&self.client, writes, token).await
    }
}
