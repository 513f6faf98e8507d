//! The acts that end sessions. Each is one transaction of constant size that also
//! writes the header of the receipt.

use aws_sdk_dynamodb::types::{ConditionCheck, Update};
use domain::account::{Account, Epoch};
use domain::password::StoredHash;
use domain::session::Authenticated;
use domain::sign_out::SignOutTarget;
use domain::{AccountId, Device, Limits, SignOut};

use crate::Store;
use crate::attributes::{WRITE_SIGN_OUT, built, number, string, timestamp};
use crate::error::StoreError;
use crate::rows::device::CountedAct;
use crate::rows::{account, device, receipt};
use crate::writes::{self, Write, WriteOutcome};

impl Store {
    /// Signs the caller's own device out.
    ///
    /// One transaction: Devices (`account_id`, `device_id`), only if the row still
    /// holds the caller's session and it is signed in; Receipts (the header). The
    /// sign-out's id is the client request token, so a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn sign_out_this(
        &self,
        caller: &Authenticated,
        sign_out: &SignOut,
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        // The caller is the target: the condition of this update also checks that the
        // caller is signed in. The account's epoch need not be checked: a session that
        // an epoch ended in between has ended either way.
        let end = self.end_session(&caller.device, sign_out);
        self.act(vec![Write::Update(end)], sign_out, limits).await
    }

    /// Signs another device of the caller's account out.
    ///
    /// One transaction: Accounts (`account_id`), only if it still has the epoch that
    /// the caller was authenticated under; the caller's row of Devices
    /// (`account_id`, `device_id`), which counts the act, only if it still holds the
    /// caller's session, signed in and with acts left in this hour and, without a
    /// verification, on this day; the target's row, only if it still holds the session that was read
    /// and it is signed in; Receipts (the header). The sign-out's id is the client
    /// request token, so a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn sign_out_device(
        &self,
        caller: &Authenticated,
        target: &Device,
        sign_out: &SignOut,
        counted: CountedAct,
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        let account = &caller.account;
        // Check the caller's row, so that of two devices that sign each other out only
        // one succeeds. Check the epoch, so that a caller that an account-wide sign-out
        // ended cannot sign out others.
        let same_epoch = account::has_epoch(account.epoch)
            .check(&self.tables.accounts, account::key(account.id));
        let writes = vec![
            Write::Check(same_epoch),
            self.count_act(caller, sign_out, counted),
            Write::Update(self.end_session(target, sign_out)),
        ];
        self.act(writes, sign_out, limits).await
    }

    /// Signs every device of the caller's account out, or every other one, as the
    /// sign-out's target says. The cost does not depend on the number of devices.
    ///
    /// One transaction: Accounts (`account_id`), which gets the next epoch only if it
    /// still has the one that the caller was authenticated under; the caller's row of
    /// Devices (`account_id`, `device_id`), only if it still holds the caller's session
    /// and it is signed in; if the session is kept, this row counts the act, if it has acts
    /// left in this hour, and moves to the next epoch; Receipts (the header and the record). The sign-out's id is the client request
    /// token, so a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn sign_out_all(
        &self,
        caller: &Authenticated,
        sign_out: &SignOut,
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        self.end_epoch_as(caller, sign_out, Alongside::Nothing, limits)
            .await
    }

    /// Changes the password and ends every session, or every other one.
    ///
    /// As [`Store::sign_out_all`], and stores the new hash in the same update. The
    /// condition on the epoch also ensures that the verified password is still the
    /// current one: every change of the password raises the epoch. A rehash does not,
    /// but it is a hash of the same password.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn change_password(
        &self,
        caller: &Authenticated,
        new: &StoredHash,
        sign_out: &SignOut,
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        self.end_epoch_as(caller, sign_out, Alongside::NewPassword(new), limits)
            .await
    }

    /// Disables an account and ends every session.
    ///
    /// One transaction: Accounts (`account_id`), only if it still has the epoch that
    /// was read; Receipts (the header and the record). The sign-out's id is the client
    /// request token, so a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn disable(
        &self,
        account: &Account,
        sign_out: &SignOut,
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        let update = self.next_epoch(account.id, account.epoch, sign_out, Alongside::Disabled);
        self.act(vec![Write::Update(update)], sign_out, limits)
            .await
    }

    /// Ends every session of an account for an operator, whose sign-out is a jump: no other
    /// sign-out that is written in between gets in its way. A disabled account stays
    /// disabled.
    ///
    /// One transaction: Accounts (`account_id`), whose epoch jumps and whose kept session
    /// goes, only if the epoch is still before the jump; Receipts (the header and the
    /// record). The sign-out's id is the client request token, so a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn end_sessions(
        &self,
        sign_out: &SignOut,
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        let next = sign_out.last_ended().map_or(Epoch::FIRST, Epoch::next);
        let update = account::is_before(next)
            .update(&self.tables.accounts, account::key(sign_out.account))
            .update_expression("SET epoch = :next REMOVE kept_session");
        let update = Write::Update(built(update.build()));
        self.act(vec![update], sign_out, limits).await
    }

    async fn end_epoch_as(
        &self,
        caller: &Authenticated,
        sign_out: &SignOut,
        alongside: Alongside<'_>,
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        let account = &caller.account;
        let writes = vec![
            Write::Update(self.next_epoch(account.id, account.epoch, sign_out, alongside)),
            if sign_out.scope.includes_caller() {
                Write::Check(self.caller_is_signed_in(caller))
            } else {
                let counted = CountedAct::VerifiedMovingTo(account.epoch.next());
                self.count_act(caller, sign_out, counted)
            },
        ];
        self.act(writes, sign_out, limits).await
    }

    /// Returns the update that gives the account its next epoch.
    fn next_epoch(
        &self,
        account: AccountId,
        epoch: Epoch,
        sign_out: &SignOut,
        alongside: Alongside<'_>,
    ) -> Update {
        let mut update = account::has_epoch(epoch)
            .update(&self.tables.accounts, account::key(account))
            .expression_attribute_values(":next", number(epoch.next().0));
        let mut set = "SET epoch = :next".to_owned();
        match alongside {
            Alongside::Nothing => {}
            Alongside::NewPassword(new) => {
                set.push_str(", password_hash = :new");
                update = update.expression_attribute_values(":new", string(new.as_str()));
            }
            Alongside::Disabled => {
                set.push_str(", disabled_at = :at");
                update = update.expression_attribute_values(":at", timestamp(sign_out.at));
            }
        }
        // Always set or remove the kept session. Otherwise a session that an earlier
        // sign-out kept would also survive this sign-out.
        match &sign_out.target {
            SignOutTarget::Epoch {
                kept: Some(session),
                ..
            } => {
                set.push_str(", kept_session = :kept");
                update = update.expression_attribute_values(":kept", string(session));
            }
            SignOutTarget::Epoch { kept: None, .. } | SignOutTarget::One(_) => {
                set.push_str(" REMOVE kept_session");
            }
        }
        built(update.update_expression(set).build())
    }

    fn end_session(&self, target: &Device, sign_out: &SignOut) -> Update {
        let table = &self.tables.devices;
        device::end_session(table, target, &sign_out.end_info(), WRITE_SIGN_OUT)
    }

    fn caller_is_signed_in(&self, caller: &Authenticated) -> ConditionCheck {
        let key = device::key(caller.account.id, caller.device.id);
        device::is_signed_in(caller.device.session).check(&self.tables.devices, key)
    }

    /// Returns the update that counts an act of a caller that stays signed in.
    fn count_act(&self, caller: &Authenticated, sign_out: &SignOut, counted: CountedAct) -> Write {
        let table = &self.tables.devices;
        Write::Update(device::count_act(
            table,
            &caller.device,
            sign_out.at,
            counted,
        ))
    }

    /// Makes the writes and puts the header, in one transaction.
    async fn act(
        &self,
        mut writes: Vec<Write>,
        sign_out: &SignOut,
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        let records = receipt::put_header(&self.tables.receipts, sign_out, limits);
        writes.extend(records.into_iter().map(Write::Put));
        writes::transact(&self.client, writes, sign_out.id.to_string()).await
    }
}

/// Other changes that the update of the epoch makes to the account's row.
#[derive(Clone, Copy)]
enum Alongside<'a> {
    Nothing,
    NewPassword(&'a StoredHash),
    Disabled,
}
