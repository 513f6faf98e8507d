//! The acts that end sessions: each one transaction of constant size, with the
//! header of its receipt in it.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{ConditionCheck, TransactWriteItem, Update};
use domain::account::{Account, Epoch};
use domain::password::StoredHash;
use domain::session::Authenticated;
use domain::sign_out::SignOutTarget;
use domain::{AccountId, Device, Limits, SignOut};

use crate::accounts::built;
use crate::attributes::{ACCOUNT_ID, STATE, STATE_SIGNED_IN, moment, number, text};
use crate::error::{StoreError, is_throttle};
use crate::{Store, WriteOutcome, devices, receipts, retry};

impl Store {
    /// Signs the caller's own device out.
    ///
    /// One transaction of Devices (`account_id`, `device_id`), only if the row is
    /// still of this session and signed in, and Receipts (the header). The
    /// sign-out's id is the transaction's token, so a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when it is not known to have been written.
    pub async fn sign_out_this(
        &self,
        caller: &Authenticated,
        sign_out: &SignOut,
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        let ended = sign_out.end_info();
        let update = devices::end(
            &self.tables.devices,
            &caller.device,
            &ended,
            devices::SIGNED_OUT_ONE,
        );
        self.act(
            vec![TransactWriteItem::builder().update(update).build()],
            sign_out,
            limits,
        )
        .await
    }

    /// Signs another device of the caller's account out.
    ///
    /// One transaction: Accounts (`account_id`), only if the epoch is the one the
    /// caller was admitted under; the caller's row of Devices, only if it is
    /// still of the caller's session and signed in; the target's row of Devices,
    /// only if it is still of the session that was seen and signed in; Receipts
    /// (the header). The sign-out's id is the transaction's token, so a replay
    /// changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when it is not known to have been written.
    pub async fn sign_out_device(
        &self,
        caller: &Authenticated,
        target: &Device,
        sign_out: &SignOut,
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        let ended = sign_out.end_info();
        let same_epoch = ConditionCheck::builder()
            .table_name(&self.tables.accounts)
            .key(ACCOUNT_ID, text(caller.account.id))
            .condition_expression("epoch = :epoch")
            .expression_attribute_values(":epoch", number(caller.account.epoch.0));
        let update = devices::end(
            &self.tables.devices,
            target,
            &ended,
            devices::SIGNED_OUT_ONE,
        );
        let items = vec![
            TransactWriteItem::builder()
                .condition_check(built(same_epoch.build()))
                .build(),
            self.caller_is_signed_in(caller),
            TransactWriteItem::builder().update(update).build(),
        ];
        self.act(items, sign_out, limits).await
    }

    /// Signs every device of the caller's account out, or every other one: the
    /// sign-out's ending tells which. The cost does not depend on how many there
    /// are.
    ///
    /// One transaction: Accounts (`account_id`), whose epoch moves on only if it
    /// is the one the caller was admitted under; the caller's row of Devices,
    /// only if it is still of the caller's session and signed in; Receipts (the
    /// header). The sign-out's id is the transaction's token, so a replay
    /// changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when it is not known to have been written.
    pub async fn sign_out_all(
        &self,
        caller: &Authenticated,
        sign_out: &SignOut,
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        let update = self.next_epoch(
            caller.account.id,
            caller.account.epoch,
            sign_out,
            Alongside::Nothing,
        );
        self.act(
            vec![update, self.caller_is_signed_in(caller)],
            sign_out,
            limits,
        )
        .await
    }

    /// Changes the password and ends every session, or every other one.
    ///
    /// As [`Store::sign_out_all`], with the new hash in the same update. The
    /// epoch stands for the hash that was verified: every change of the password
    /// moves it.
    ///
    /// # Errors
    /// [`StoreError`] when it is not known to have been written.
    pub async fn change_password(
        &self,
        caller: &Authenticated,
        new: &StoredHash,
        sign_out: &SignOut,
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        let alongside = Alongside::NewPassword(new);
        let update = self.next_epoch(caller.account.id, caller.account.epoch, sign_out, alongside);
        self.act(
            vec![update, self.caller_is_signed_in(caller)],
            sign_out,
            limits,
        )
        .await
    }

    /// Disables an account and ends every session.
    ///
    /// One transaction: Accounts (`account_id`), only if the epoch is the one
    /// that was read; Receipts (the header). The sign-out's id is the
    /// transaction's token, so a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when it is not known to have been written.
    pub async fn disable(
        &self,
        account: &Account,
        sign_out: &SignOut,
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        let update = self.next_epoch(account.id, account.epoch, sign_out, Alongside::Disabled);
        self.act(vec![update], sign_out, limits).await
    }

    /// The update that moves the account's epoch on. It always sets or removes
    /// the kept session: one that was left standing would outlive its end.
    fn next_epoch(
        &self,
        account: AccountId,
        epoch: Epoch,
        sign_out: &SignOut,
        alongside: Alongside<'_>,
    ) -> TransactWriteItem {
        let kept = match &sign_out.target {
            SignOutTarget::Epoch { kept, .. } => *kept,
            SignOutTarget::One { .. } => None,
        };
        let mut update = Update::builder()
            .table_name(&self.tables.accounts)
            .key(ACCOUNT_ID, text(account))
            .condition_expression("epoch = :epoch")
            .expression_attribute_values(":epoch", number(epoch.0))
            .expression_attribute_values(":next", number(epoch.next().0));
        let mut set = "SET epoch = :next".to_owned();
        match alongside {
            Alongside::Nothing => {}
            Alongside::NewPassword(new) => {
                set.push_str(", password_hash = :new");
                update = update.expression_attribute_values(":new", text(new.as_str()));
            }
            Alongside::Disabled => {
                set.push_str(", disabled_at = :at");
                update = update.expression_attribute_values(":at", moment(sign_out.at));
            }
        }
        match kept {
            Some(session) => {
                set.push_str(", kept_session = :kept");
                update = update.expression_attribute_values(":kept", text(session));
            }
            None => set.push_str(" REMOVE kept_session"),
        }
        let update = built(update.update_expression(set).build());
        TransactWriteItem::builder().update(update).build()
    }

    fn caller_is_signed_in(&self, caller: &Authenticated) -> TransactWriteItem {
        let check = ConditionCheck::builder()
            .table_name(&self.tables.devices)
            .set_key(Some(devices::key(caller.account.id, caller.device.id)))
            .condition_expression("session_id = :caller AND #state = :signed_in")
            .expression_attribute_names("#state", STATE)
            .expression_attribute_values(":caller", text(caller.device.session))
            .expression_attribute_values(":signed_in", text(STATE_SIGNED_IN));
        TransactWriteItem::builder()
            .condition_check(built(check.build()))
            .build()
    }

    async fn act(
        &self,
        mut items: Vec<TransactWriteItem>,
        sign_out: &SignOut,
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        let header = receipts::put(&self.tables.receipts, sign_out, limits);
        items.push(TransactWriteItem::builder().put(header).build());
        self.transact(items, sign_out.id.to_string()).await
    }

    /// Makes a transaction: conflicts with others are retried, bounded and with
    /// jitter; a failed condition is not.
    pub(crate) async fn transact(
        &self,
        items: Vec<TransactWriteItem>,
        token: String,
    ) -> Result<WriteOutcome, StoreError> {
        let mut attempt = 0;
        loop {
            let sent = self
                .client
                .transact_write_items()
                .set_transact_items(Some(items.clone()))
                .client_request_token(&token)
                .send()
                .await;
            let again = match sent {
                Ok(_) => return Ok(WriteOutcome::Done),
                Err(SdkError::ServiceError(error)) => match error.err() {
                    TransactWriteItemsError::TransactionCanceledException(cancelled) => {
                        let codes = || {
                            cancelled
                                .cancellation_reasons()
                                .iter()
                                .filter_map(|reason| reason.code())
                        };
                        if codes().any(|code| code == "ConditionalCheckFailed") {
                            return Ok(WriteOutcome::Stale);
                        }
                        if codes().any(is_throttle) {
                            StoreError::Throttled
                        } else if codes().any(|code| code == "TransactionConflict") {
                            StoreError::Contended
                        } else {
                            let error = SdkError::ServiceError(error);
                            return Err(StoreError::from_sdk("TransactWriteItems", error));
                        }
                    }
                    TransactWriteItemsError::TransactionInProgressException(_) => {
                        StoreError::Contended
                    }
                    _ => {
                        let error = SdkError::ServiceError(error);
                        return Err(StoreError::from_sdk("TransactWriteItems", error));
                    }
                },
                Err(error) => return Err(StoreError::from_sdk("TransactWriteItems", error)),
            };
            attempt += 1;
            if attempt == retry::ATTEMPTS {
                return Err(again);
            }
            retry::pause(attempt).await;
        }
    }
}

/// What an update of the epoch changes beside it.
#[derive(Clone, Copy)]
enum Alongside<'a> {
    Nothing,
    NewPassword(&'a StoredHash),
    Disabled,
}
