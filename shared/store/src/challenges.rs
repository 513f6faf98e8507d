//! Challenges: asking, trying, and what completing one does to an account.

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{Delete, Put, ReturnValue, Update};
use domain::account::Account;
use domain::challenge::{Challenge, ChallengeId, Purpose};
use domain::factors::{FactorRemoval, FactorUse};
use domain::ownership::Hold;
use domain::password::StoredHash;
use domain::session::Authenticated;
use domain::{AccountId, EmailAddress, Limits, NoticeId, SignOut, Timestamp};

use crate::attributes::{built, number, string, timestamp};
use crate::error::StoreError;
use crate::rows::{account, challenge, device, receipt};
use crate::writes::{self, Condition, Write, WriteOutcome};
use crate::{Store, reads};

impl Store {
    /// Stores a challenge.
    ///
    /// `PutItem` of Challenges (`challenge_id`), unconditional: the id is the hash of 32
    /// random bytes. A replay changes nothing: nobody has the secret before this call returns.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn put_challenge(&self, new: &Challenge) -> Result<(), StoreError> {
        self.client
            .put_item()
            .table_name(&self.tables.challenges)
            .set_item(Some(challenge::to_item(new)))
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("PutItem", error))?;
        Ok(())
    }

    /// Counts a try of a challenge's code, and returns the challenge. The caller compares the
    /// code afterwards, so no number of parallel tries compares more than five. `None` if
    /// there is no such challenge for this purpose, or it has no tries left.
    ///
    /// `UpdateItem` of Challenges (`challenge_id`), only if it has the purpose and tries left.
    /// A replay counts again.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn try_challenge(
        &self,
        id: &ChallengeId,
        purpose: Purpose,
    ) -> Result<Option<Challenge>, StoreError> {
        let update = challenge::has_tries(purpose)
            .update(&self.tables.challenges, challenge::key(id))
            .update_expression("SET tries_made = tries_made + :one")
            .expression_attribute_values(":one", number(1));
        let update = built(update.build());
        let sent = self
            .client
            .update_item()
            .table_name(update.table_name)
            .set_key(Some(update.key))
            .update_expression(update.update_expression)
            .set_condition_expression(update.condition_expression)
            .set_expression_attribute_values(update.expression_attribute_values)
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        match sent {
            Ok(output) => output
                .attributes
                .as_ref()
                .map(challenge::from_item)
                .transpose(),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(None),
                Some(UpdateItemError::TransactionConflictException(_)) => {
                    Err(StoreError::Contended)
                }
                _ => Err(StoreError::from_sdk("UpdateItem", error)),
            },
        }
    }

    /// Returns a challenge that is not completed. Counts no try: for a link, whose secret
    /// can't be guessed.
    ///
    /// `GetItem` of Challenges (`challenge_id`), consistent.
    ///
    /// # Errors
    /// [`StoreError`] when the read failed.
    pub async fn challenge(&self, id: &ChallengeId) -> Result<Option<Challenge>, StoreError> {
        let key = challenge::key(id);
        let item = reads::get(&self.client, &self.tables.challenges, key).await?;
        item.as_ref().map(challenge::from_item).transpose()
    }

    /// Takes a challenge away, so that it works once.
    ///
    /// `DeleteItem` of Challenges (`challenge_id`), which returns the old row to one caller
    /// only. A replay is `Stale`.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn take_challenge(&self, id: &ChallengeId) -> Result<WriteOutcome, StoreError> {
        let output = self
            .client
            .delete_item()
            .table_name(&self.tables.challenges)
            .set_key(Some(challenge::key(id)))
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("DeleteItem", error))?;
        Ok(match output.attributes {
            Some(_) => WriteOutcome::Done,
            None => WriteOutcome::Stale,
        })
    }

    /// Creates an account whose owner has proven the address, and makes the challenge a pass for
    /// its first sign-in.
    /// `claimed` is the account that had the address without a proof: it is left without
    /// an address.
    ///
    /// One transaction: Identities (`email`), only if no account has the address, or still the
    /// claimed one, or the time is over for which it was kept; Accounts (`account_id`), the new
    /// row and, if claimed, the old one, only if nobody has confirmed its address; Challenges
    /// (`challenge_id`), whose purpose changes. The new account's id is the transaction's token,
    /// so a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn confirm(
        &self,
        new: &Account,
        challenge: &Challenge,
        claimed: Option<AccountId>,
    ) -> Result<WriteOutcome, StoreError> {
        let accounts = &self.tables.accounts;
        let row = Put::builder()
            .table_name(accounts)
            .set_item(Some(account::to_item(new)));
        let condition = match claimed {
            None => account::address_is_free(new.created_at),
            Some(old) => account::address_is_of(old),
        };
        let identity = account::to_identity(new, &challenge.email);
        let mut writes = vec![
            Write::Put(condition.put(&self.tables.identities, identity)),
            Write::Put(built(row.build())),
            self.turn_into(challenge, Purpose::Pass),
        ];
        if let Some(old) = claimed {
            writes.push(Write::Update(account::without_address(accounts, old)));
        }
        writes::transact(&self.client, writes, new.id.to_string()).await
    }

    /// Confirms the address of the caller's account, whose mail the caller has read, takes the
    /// challenge away and recognizes the caller's device.
    ///
    /// One transaction: Accounts (`account_id`), only if it still has the address, nobody has
    /// confirmed it, and the epoch is that of the caller's check; Devices (`account_id`,
    /// `device_id`), only if the row still holds the caller's session, signed in; Challenges
    /// (`challenge_id`). A claim of the address takes it from the account's row, so only one of
    /// the two succeeds. `attempt` is the client request token, so a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn confirm_address_of(
        &self,
        caller: &Authenticated,
        challenge: &Challenge,
        (now, recognized_until): (Timestamp, Timestamp),
        attempt: NoticeId,
    ) -> Result<WriteOutcome, StoreError> {
        let mut condition = account::is_unconfirmed(&challenge.email);
        condition
            .expression
            .to_mut()
            .push_str(" AND epoch = :epoch");
        condition
            .values
            .push((":epoch", number(caller.account.epoch.0)));
        let table = &self.tables.accounts;
        let confirm = set_confirmed(condition, table, caller.account.id, now);
        let devices = &self.tables.devices;
        let recognize = device::recognize_signed_in(devices, &caller.device, recognized_until);
        let writes = [
            Write::Update(confirm),
            Write::Update(recognize),
            self.take(challenge),
        ];
        writes::transact(&self.client, writes, attempt.to_string()).await
    }

    /// Confirms the address of an account whose owner has signed in with a pass, which is a
    /// code to it.
    ///
    /// `UpdateItem` of Accounts (`account_id`), only if it still has the address and nobody has
    /// confirmed it; `Stale` if not. A replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn confirm_by_pass(
        &self,
        account: AccountId,
        email: &EmailAddress,
        now: Timestamp,
    ) -> Result<WriteOutcome, StoreError> {
        let condition = account::is_unconfirmed(email);
        let update = set_confirmed(condition, &self.tables.accounts, account, now);
        writes::update(&self.client, &update).await
    }

    /// Recovers an account: sets the password, ends every session and takes the challenge
    /// away. No sign-out and no change of the password that is written in between gets in
    /// its way.
    ///
    /// One transaction: Accounts (`account_id`), whose epoch jumps and whose kept session
    /// goes, only if the epoch is still before the jump, it still has the address, and no
    /// recovery was completed since the challenge was asked for; Challenges (`challenge_id`);
    /// Receipts (the header and the record); Factors (`account_id`, `factor_id`), the recovery
    /// codes, which go, and, with a factor, that one, as [`Store::take_second_step`]. With
    /// `removal`, the account's factors go, too, only if a removal that had to wait is not
    /// stopped; one that is still waiting ends. The sign-out's id is the transaction's token, so
    /// a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn recover(
        &self,
        sign_out: &SignOut,
        (challenge, used): (&Challenge, Option<&FactorUse>),
        (new, hold): (&StoredHash, &Hold),
        removal: Option<&FactorRemoval>,
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        // Not before the question, even if this clock is behind the other function's:
        // otherwise the same question could be answered again.
        let recovered_at: Timestamp = sign_out.at.max(challenge.asked_at);
        let next = sign_out.last_ended().map_or(0, |ended| ended.next().0);
        let update = account::recover(
            &self.tables.accounts,
            (sign_out.account, challenge),
            removal,
        )
        .expression_attribute_values(":since", timestamp(hold.began_at))
        .expression_attribute_values(":by", string(hold.cause.as_str()))
        .expression_attribute_values(":next", number(next))
        .expression_attribute_values(":new", string(new.as_str()))
        .expression_attribute_values(":at", timestamp(recovered_at));
        let mut writes = vec![Write::Update(built(update.build())), self.take(challenge)];
        writes.extend(self.use_at_recovery(sign_out.account, used, removal));
        let records = receipt::put_header(&self.tables.receipts, sign_out, limits);
        writes.extend(records.into_iter().map(Write::Put));
        writes::transact(&self.client, writes, sign_out.id.to_string()).await
    }

    /// Returns the update that gives a completed challenge another purpose, with the tries that
    /// it has left. It needs no condition: of two confirmations of one address, the condition on
    /// the identity or on the account's address stops the second.
    pub(crate) fn turn_into(&self, challenge: &Challenge, purpose: Purpose) -> Write {
        let update = Update::builder()
            .table_name(&self.tables.challenges)
            .set_key(Some(challenge::key(&challenge.id)))
            .update_expression("SET purpose = :purpose")
            .expression_attribute_values(":purpose", string(purpose.as_str()));
        Write::Update(built(update.build()))
    }

    /// Returns the delete of a challenge. It needs no condition: of two completions of one
    /// recovery, the condition on the last recovery stops the second.
    pub(crate) fn take(&self, challenge: &Challenge) -> Write {
        let delete = Delete::builder()
            .table_name(&self.tables.challenges)
            .set_key(Some(challenge::key(&challenge.id)));
        Write::Delete(built(delete.build()))
    }
}

/// Returns the update that confirms the address of an account.
fn set_confirmed(condition: Condition, table: &str, id: AccountId, now: Timestamp) -> Update {
    let update = condition
        .update(table, account::key(id))
        .update_expression("SET confirmed_at = :now")
        .expression_attribute_values(":now", timestamp(now));
    built(update.build())
}
