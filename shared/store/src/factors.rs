//! Factors: adding, removing and using them.

use std::iter;

use domain::account::Account;
use domain::challenge::{Challenge, PendingSignIn};
use domain::factors::{AccountFactor, FactorRemoval, FactorUse, RecoveryCodes, TotpFactor};
use domain::session::Authenticated;
use domain::{AccountId, FactorId, Purpose, Timestamp};

use crate::attributes::{built, string};
use crate::error::StoreError;
use crate::rows::{account, challenge, device, factor};
use crate::writes::{self, Write, WriteOutcome};
use crate::{Store, reads};

/// The rows of an account's factors.
#[derive(Debug, Clone, Default)]
pub struct Factors {
    /// The authenticator apps, also those that are not confirmed.
    pub totp: Vec<TotpFactor>,
    /// The recovery codes, if the account has some.
    pub codes: Option<RecoveryCodes>,
}

impl Store {
    /// Returns the rows of an account's factors.
    ///
    /// `Query` of Factors (`account_id`), consistent, all pages: an account has few.
    ///
    /// # Errors
    /// [`StoreError`] when the read failed.
    pub async fn factors(&self, account: AccountId) -> Result<Factors, StoreError> {
        let query = self
            .client
            .query()
            .table_name(&self.tables.factors)
            .key_condition_expression("account_id = :account")
            .expression_attribute_values(":account", string(account));
        let mut factors = Factors::default();
        for item in reads::query_all(query).await? {
            if factor::is_recovery_codes(&item)? {
                factors.codes = Some(factor::codes_from_item(&item)?);
            } else {
                factors.totp.push(factor::from_item(&item)?);
            }
        }
        Ok(factors)
    }

    /// Stores a factor that the caller's session may confirm.
    ///
    /// `PutItem` of Factors (`account_id`, `factor_id`), unconditional: the id is new. A
    /// replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn begin_factor(&self, begun: &TotpFactor) -> Result<(), StoreError> {
        self.client
            .put_item()
            .table_name(&self.tables.factors)
            .set_item(Some(factor::to_item(begun)))
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("PutItem", error))?;
        Ok(())
    }

    /// Confirms a factor with the code of a time step, and adds it to the account, whose ended
    /// factors are removed.
    ///
    /// One transaction: Accounts (`account_id`), only if it still has the epoch and the
    /// factors that were read; Devices (`account_id`, `device_id`), only if the row still has
    /// the caller's session, signed in; Factors (`account_id`, `factor_id`), only if this
    /// session began it and nobody has confirmed it. Deletes the rows of ended factors. `attempt`
    /// is the client request token, so a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn confirm_factor(
        &self,
        caller: &Authenticated,
        (begun, added): (&TotpFactor, AccountFactor),
        (step, ended): (u64, &FactorRemoval),
        attempt: FactorId,
    ) -> Result<WriteOutcome, StoreError> {
        let mut factors = ended.left.clone();
        factors.push(added);
        let session = caller.device.session;
        let confirm = factor::confirm(&self.tables.factors, begun, session, step);
        let mut writes = self.replace_factors(caller, &factors);
        writes.push(Write::Update(confirm));
        writes.extend(self.deletes_of(caller.account.id, ended));
        writes::transact(&self.client, writes, attempt.to_string()).await
    }

    /// Removes a factor from the account.
    ///
    /// One transaction: Accounts and Devices as [`Store::confirm_factor`]; Factors
    /// (`account_id`, `factor_id`), which is deleted. `attempt` is the client request token,
    /// so a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn remove_factor(
        &self,
        caller: &Authenticated,
        id: FactorId,
        attempt: FactorId,
    ) -> Result<WriteOutcome, StoreError> {
        let account = &caller.account;
        let others = account.factors.iter().filter(|it| it.id != id).copied();
        let mut writes = self.replace_factors(caller, &others.collect::<Vec<_>>());
        let delete = factor::delete(&self.tables.factors, account.id, id);
        writes.push(Write::Delete(delete));
        writes::transact(&self.client, writes, attempt.to_string()).await
    }

    /// Removes a factor by the notice about it.
    ///
    /// One transaction: Accounts (`account_id`), only if it still has the epoch and the
    /// factors that were read; Factors (`account_id`, `factor_id`), which is deleted.
    /// `attempt` is the client request token, so a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn remove_young_factor(
        &self,
        account: &Account,
        id: FactorId,
        attempt: FactorId,
    ) -> Result<WriteOutcome, StoreError> {
        let others = account.factors.iter().filter(|it| it.id != id).copied();
        let others: Vec<_> = others.collect();
        let update = account::replace_factors(&self.tables.accounts, account, &others);
        let delete = factor::delete(&self.tables.factors, account.id, id);
        let writes = [Write::Update(built(update.build())), Write::Delete(delete)];
        writes::transact(&self.client, writes, attempt.to_string()).await
    }

    /// Replaces the recovery codes of the caller's account.
    ///
    /// One transaction: Accounts (`account_id`), only if it still has the epoch that the
    /// caller was authenticated under; Devices (`account_id`, `device_id`), only if the row
    /// still has the caller's session, signed in; Factors (`account_id`,
    /// `recovery-codes`). `attempt` is the client request token, so a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn put_recovery_codes(
        &self,
        caller: &Authenticated,
        codes: &RecoveryCodes,
        attempt: FactorId,
    ) -> Result<WriteOutcome, StoreError> {
        let account = &caller.account;
        let same_epoch = account::has_epoch(account.epoch)
            .check(&self.tables.accounts, account::key(account.id));
        let put = factor::put_codes(&self.tables.factors, account.id, codes);
        let writes = [
            Write::Check(same_epoch),
            self.is_signed_in(caller),
            Write::Put(put),
        ];
        writes::transact(&self.client, writes, attempt.to_string()).await
    }

    /// Turns codes by mail at the sign-ins of the caller's account on or off.
    ///
    /// One transaction: Accounts (`account_id`), only if it still has the epoch that the
    /// caller was authenticated under; Devices (`account_id`, `device_id`), only if the row
    /// still has the caller's session, signed in. `attempt` is the client request token, so a
    /// replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn set_sign_in_codes(
        &self,
        caller: &Authenticated,
        is_on: bool,
        attempt: FactorId,
    ) -> Result<WriteOutcome, StoreError> {
        let update = account::set_sign_in_codes(&self.tables.accounts, &caller.account, is_on);
        let writes = [
            Write::Update(built(update.build())),
            self.is_signed_in(caller),
        ];
        writes::transact(&self.client, writes, attempt.to_string()).await
    }

    /// Takes a second step away together with what has answered it, so that both work once.
    /// The sign-in is written afterwards.
    ///
    /// One transaction: Challenges (`challenge_id`), only if it is there; Factors
    /// (`account_id`, `factor_id`), only if no code of this time step or a later one was
    /// accepted, or the recovery code is left; with `stops_removal`, Accounts (`account_id`),
    /// only if it still has the epoch. `attempt` is the client request token, so a replay changes
    /// nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn take_second_step(
        &self,
        (account, stops_removal): (&Account, bool),
        challenge: &Challenge,
        shown: &FactorUse,
        attempt: FactorId,
    ) -> Result<WriteOutcome, StoreError> {
        let mut writes = vec![
            self.take_open(challenge),
            self.use_factor(account.id, shown),
        ];
        if stops_removal {
            writes.push(self.keep_factors(account));
        }
        writes::transact(&self.client, writes, attempt.to_string()).await
    }

    /// Asks for the removal of the factors that an account has, whose owner has lost them. The
    /// challenge is kept for a request that is repeated.
    ///
    /// One transaction: Accounts (`account_id`), only if it still has the epoch of the sign-in
    /// and nobody has asked before; Challenges (`challenge_id`), whose purpose changes, only if
    /// it has not changed: otherwise the same code could ask again after the removal was stopped. `attempt` is the client
    /// request token, so a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn lose_factors(
        &self,
        challenge: &Challenge,
        sign_in: PendingSignIn,
        now: Timestamp,
        attempt: FactorId,
    ) -> Result<WriteOutcome, StoreError> {
        let table = &self.tables.accounts;
        let lose = account::lose_factors(table, sign_in.account, sign_in.epoch, now);
        let reported = challenge::is_for(Purpose::LostFactor)
            .update(&self.tables.challenges, challenge::key(&challenge.id))
            .update_expression("SET purpose = :purpose")
            .expression_attribute_values(":purpose", string(Purpose::LostFactorReported.as_str()));
        let writes = [Write::Update(lose), Write::Update(built(reported.build()))];
        writes::transact(&self.client, writes, attempt.to_string()).await
    }

    /// Removes the factors that the owner of an account has lost.
    ///
    /// One transaction: Accounts (`account_id`), only if it still has the factors that were read
    /// and nobody has stopped the removal; Factors (`account_id`, `factor_id`), which are
    /// deleted. `attempt` is the client request token, so a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn remove_lost_factors(
        &self,
        account: &Account,
        removal: &FactorRemoval,
        attempt: FactorId,
    ) -> Result<WriteOutcome, StoreError> {
        let update = account::remove_lost_factors(&self.tables.accounts, account, removal);
        let deletes = self.deletes_of(account.id, removal);
        let writes = iter::once(Write::Update(update)).chain(deletes);
        writes::transact(&self.client, writes, attempt.to_string()).await
    }

    /// Removes every factor of an account and its recovery codes, for an operator.
    ///
    /// One transaction: Accounts (`account_id`), only if it still has the factors that were
    /// read; Factors (`account_id`, `factor_id`), which are deleted. `attempt` is the client
    /// request token, so a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn remove_factors(
        &self,
        account: &Account,
        attempt: FactorId,
    ) -> Result<WriteOutcome, StoreError> {
        let removal = account.removal_of_all();
        let update = account::remove_lost_factors(&self.tables.accounts, account, &removal);
        let codes = factor::delete_codes(&self.tables.factors, account.id, None);
        let mut writes = vec![Write::Update(update), Write::Delete(codes)];
        writes.extend(self.deletes_of(account.id, &removal));
        writes::transact(&self.client, writes, attempt.to_string()).await
    }

    /// Writes that the notice of a new factor went to the owner, from which on it settles.
    ///
    /// `UpdateItem` of Accounts (`account_id`), only if it still has the epoch and the factors
    /// that were read. A replay is `Stale`.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn record_factor_notices(
        &self,
        account: &Account,
        factors: &[AccountFactor],
    ) -> Result<WriteOutcome, StoreError> {
        let update = account::replace_factors(&self.tables.accounts, account, factors);
        writes::update(&self.client, &built(update.build())).await
    }

    /// Returns the writes of a recovery: the factor is used up, the recovery codes go, whoever
    /// made them, and lost factors go.
    pub(crate) fn use_at_recovery(
        &self,
        account: AccountId,
        used: Option<&FactorUse>,
        removal: Option<&FactorRemoval>,
    ) -> Vec<Write> {
        let code = match used {
            Some(FactorUse::RecoveryCode(hash)) => Some(hash),
            Some(FactorUse::Totp { .. }) | None => None,
        };
        let delete = Write::Delete(factor::delete_codes(&self.tables.factors, account, code));
        let totp = used.filter(|_| code.is_none());
        let totp = totp.map(|shown| self.use_factor(account, shown));
        let lost = removal
            .into_iter()
            .flat_map(|removal| self.deletes_of(account, removal));
        totp.into_iter().chain([delete]).chain(lost).collect()
    }

    /// Returns the write that stops the removal of lost factors, only if the account still has
    /// the epoch.
    pub(crate) fn keep_factors(&self, account: &Account) -> Write {
        Write::Update(account::keep_factors(&self.tables.accounts, account))
    }

    fn deletes_of(
        &self,
        account: AccountId,
        removal: &FactorRemoval,
    ) -> impl Iterator<Item = Write> {
        let delete = move |lost: &AccountFactor| {
            Write::Delete(factor::delete(&self.tables.factors, account, lost.id))
        };
        removal.removed.iter().map(delete)
    }

    /// Returns the delete of a challenge, only if it is not completed.
    fn take_open(&self, challenge: &Challenge) -> Write {
        let key = challenge::key(&challenge.id);
        Write::Delete(challenge::exists().delete(&self.tables.challenges, key))
    }

    /// Returns the write that uses a factor up.
    pub(crate) fn use_factor(&self, account: AccountId, shown: &FactorUse) -> Write {
        Write::Update(factor::use_up(&self.tables.factors, account, shown))
    }

    fn replace_factors(&self, caller: &Authenticated, new: &[AccountFactor]) -> Vec<Write> {
        let update = account::replace_factors(&self.tables.accounts, &caller.account, new);
        vec![
            Write::Update(built(update.build())),
            self.is_signed_in(caller),
        ]
    }

    /// Returns the check that the caller's session has not ended.
    fn is_signed_in(&self, caller: &Authenticated) -> Write {
        let row = &caller.device;
        let key = device::key(row.account, row.id);
        let check = device::is_signed_in(row.session).check(&self.tables.devices, key);
        Write::Check(check)
    }
}
