//! Registering, finding, listing, rehashing and enabling accounts.

use domain::account::Account;
use domain::password::StoredHash;
use domain::{AccountId, EmailAddress};

use aws_sdk_dynamodb::types::Put;

use crate::attributes::{ACCOUNT_ID, Item, Reader, built, string};
use crate::error::StoreError;
use crate::rows::account;
use crate::writes::{self, Write, WriteOutcome};
use crate::{Store, reads};

/// The outcome of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterOutcome {
    /// The account exists, from this call or its replay.
    Registered,
    /// Another account has the address; nothing was written.
    AddressTaken,
}

/// A page of the ids of all accounts.
#[derive(Debug)]
pub struct AccountPage {
    /// The ids, in no order.
    pub accounts: Vec<AccountId>,
    /// Keys that are not ids.
    pub malformed: Vec<String>,
    /// The start of the next page, if there is one.
    pub next: Option<String>,
}

impl Store {
    /// Creates an account and assigns the address to it.
    ///
    /// One transaction of Accounts (`account_id`) and Identities (`email`), only if no account
    /// has the address, or the time is over for which it was kept. The account's id is the
    /// transaction's token, so a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn register(
        &self,
        account: &Account,
        email: &EmailAddress,
    ) -> Result<RegisterOutcome, StoreError> {
        let row = Put::builder()
            .table_name(&self.tables.accounts)
            .set_item(Some(account::to_item(account)));
        let identity = account::address_is_free(account.created_at).put(
            &self.tables.identities,
            account::to_identity(account, email),
        );
        let writes = [Write::Put(built(row.build())), Write::Put(identity)];
        match writes::transact(&self.client, writes, account.id.to_string()).await? {
            WriteOutcome::Done => Ok(RegisterOutcome::Registered),
            WriteOutcome::Stale => Ok(RegisterOutcome::AddressTaken),
        }
    }

    /// Returns the account that has the address. One that had it before a change of its address
    /// does not have it.
    ///
    /// `GetItem` of Identities (`email`), consistent.
    ///
    /// # Errors
    /// [`StoreError`] when the read failed.
    pub async fn account_by_email(
        &self,
        email: &EmailAddress,
    ) -> Result<Option<AccountId>, StoreError> {
        let key = account::identity_key(email);
        let item = reads::get(&self.client, &self.tables.identities, key).await?;
        let identity = item.as_ref().map(account::identity_from).transpose()?;
        Ok(identity.and_then(|it| it.kept_until.is_none().then_some(it.account)))
    }

    /// Returns a page of the ids of all accounts, for an operator. No function may scan.
    ///
    /// `Scan` of Accounts, consistent, with the key alone.
    ///
    /// # Errors
    /// [`StoreError`] when the read failed.
    pub async fn account_page(
        &self,
        after: Option<&str>,
        limit: i32,
    ) -> Result<AccountPage, StoreError> {
        let scan = self
            .client
            .scan()
            .table_name(&self.tables.accounts)
            .projection_expression(ACCOUNT_ID)
            .consistent_read(true)
            .limit(limit)
            .set_exclusive_start_key(
                after.map(|after| Item::from([(ACCOUNT_ID.to_owned(), string(after))])),
            );
        let output = scan
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("Scan", error))?;
        let mut page = AccountPage {
            accounts: Vec::new(),
            malformed: Vec::new(),
            next: None,
        };
        for item in output.items.unwrap_or_default() {
            let key = Reader::new("Accounts", &item).string(ACCOUNT_ID)?;
            match key.parse() {
                Ok(account) => page.accounts.push(account),
                Err(_) => page.malformed.push(key),
            }
        }
        if let Some(last) = output.last_evaluated_key {
            page.next = Some(Reader::new("Accounts", &last).string(ACCOUNT_ID)?);
        }
        Ok(page)
    }

    /// Replaces the hash of a password by a hash of the same password with other
    /// parameters. The epoch does not change.
    ///
    /// `UpdateItem` of Accounts (`account_id`), only if the row still has the hash
    /// that was verified: a changed password is not overwritten. A replay changes
    /// nothing. Not retried when the row is busy: the next sign-in rehashes.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn rehash(
        &self,
        account: AccountId,
        verified: &StoredHash,
        new: &StoredHash,
    ) -> Result<WriteOutcome, StoreError> {
        let update = account::has_password_hash(verified)
            .update(&self.tables.accounts, account::key(account))
            .update_expression("SET password_hash = :new")
            .expression_attribute_values(":new", string(new.as_str()));
        writes::update_once(&self.client, built(update.build())).await
    }

    /// Enables an account that [`Store::disable`] disabled, or one that is enabled. Its
    /// earlier sessions stay ended: disabling has moved the epoch on. For one whose row
    /// was disabled by hand, call [`Store::end_sessions`] first.
    ///
    /// `UpdateItem` of Accounts (`account_id`), only if the row exists; `Stale` if
    /// not. A replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn enable(&self, account: AccountId) -> Result<WriteOutcome, StoreError> {
        let update = account::exists()
            .update(&self.tables.accounts, account::key(account))
            .update_expression("REMOVE disabled_at");
        writes::update(&self.client, &built(update.build())).await
    }
}
