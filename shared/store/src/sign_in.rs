//! Signing in: a device's row with a new session.

use domain::end_info::EndInfo;
use domain::password::StoredHash;
use domain::sign_out::EndedSession;
use domain::{Device, Limits, SessionId, SignOut};

use crate::Store;
use crate::attributes::{built, string};
use crate::error::StoreError;
use crate::rows::{account, device, receipt};
use crate::writes::{self, Condition, Write, WriteOutcome};

impl Store {
    /// Writes a device's row with a new session. The session is valid if the account
    /// still has the epoch that the row carries.
    ///
    /// `PutItem` of Devices (`account_id`, `device_id`), only if the row still holds
    /// the session `replaced`, the owner's name and the count of sign-outs without a
    /// verification, or is still absent if `replaced` is `None`. No condition on the
    /// epoch is needed: a session with an old one is never valid.
    ///
    /// A replay of a put that succeeded finds the condition false and is `Stale`, so
    /// it cannot revive a session that was ended in between. For that reason a
    /// caller that gets `Stale` must sign in with another new session.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn sign_in(
        &self,
        device: &Device,
        replaced: Option<SessionId>,
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        let condition = match replaced {
            None => device::is_absent(),
            Some(session) => has_kept(device::has_session(session), device),
        };
        let put = condition.put(&self.tables.devices, device::to_item(device, limits));
        writes::put(&self.client, &put).await
    }

    /// Writes a device's row with a new session, and signs every other device out. No
    /// other sign-out can outrun it: the account's epoch jumps to the row's.
    ///
    /// One transaction: Accounts (`account_id`), only if its epoch is still before the
    /// row's, it has the password hash that was verified and it is not disabled; Devices,
    /// as [`Store::sign_in`] or, with `unswept`, [`Store::replace_unswept_session`];
    /// Receipts (the header, the record, and the entry of `unswept`). The sign-out's id is
    /// the client request token, so a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn sign_in_and_end_others(
        &self,
        (device, replaced): (&Device, Option<SessionId>),
        unswept: Option<(&EndedSession, &EndInfo)>,
        (sign_out, verified): (&SignOut, &StoredHash),
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        let table = &self.tables.accounts;
        let jump = account::may_jump(device.epoch, verified)
            .update(table, account::key(device.account))
            .update_expression("SET epoch = :next, kept_session = :kept")
            .expression_attribute_values(":kept", string(device.session));
        let condition = match (replaced, unswept) {
            (None, _) => device::is_absent(),
            (Some(session), Some(_)) => has_kept(device::is_signed_in(session), device),
            (Some(session), None) => has_kept(device::has_session(session), device),
        };
        let put = condition.put(&self.tables.devices, device::to_item(device, limits));
        let mut writes = vec![Write::Update(built(jump.build())), Write::Put(put)];
        let receipts = &self.tables.receipts;
        if let Some((session, ended)) = unswept {
            let of = device.account;
            let entry = receipt::update_entry(receipts, of, ended, session, None, limits);
            writes.push(Write::Update(entry));
        }
        let records = receipt::put_header(receipts, sign_out, limits);
        writes.extend(records.into_iter().map(Write::Put));
        writes::transact(&self.client, writes, sign_out.id.to_string()).await
    }

    /// Replaces a session that an account-wide sign-out ended but the sweep has not
    /// marked yet, and writes its receipt entry in the same transaction.
    ///
    /// One transaction of Devices (`account_id`, `device_id`), only if the row is as
    /// [`Store::sign_in`] requires and not marked, and Receipts (`account_id`,
    /// `sign_out_id#device_id`), each attribute only if it is absent. The new
    /// session's id is the transaction's token, so a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn replace_unswept_session(
        &self,
        device: &Device,
        replaced: &EndedSession,
        ended: &EndInfo,
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        // The state is part of the condition because the caller may have read the
        // device before the account: a session that was signed out by itself in
        // between has no entry in the receipt of what moved the epoch.
        let put = has_kept(device::is_signed_in(replaced.session), device)
            .put(&self.tables.devices, device::to_item(device, limits));
        let entry = receipt::update_entry(
            &self.tables.receipts,
            device.account,
            ended,
            replaced,
            None,
            limits,
        );
        let writes = [Write::Put(put), Write::Update(entry)];
        writes::transact(&self.client, writes, device.session.to_string()).await
    }
}

/// Requires that the row still has what the new row keeps, so that no change in between is
/// lost: the owner's name, and the count of sign-outs without a verification.
fn has_kept(condition: Condition, device: &Device) -> Condition {
    let condition = device::and_has_owner_name(condition, device.owner_name.as_deref());
    device::and_has_unproven(condition, device.unproven_acts)
}
