//! Account rows and identities: keys, conditions, item mapping. No policy.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use domain::account::{Account, Epoch};
use domain::password::StoredHash;
use domain::{AccountId, EmailAddress};

use crate::attributes::{
    ACCOUNT_ID, CREATED_AT, DISABLED_AT, EMAIL, EPOCH, Item, KEPT_SESSION, PASSWORD_HASH, Reader,
    moment, number, text,
};
use crate::error::StoreError;
use crate::{Store, WriteOutcome, retry};

const TABLE: &str = "Accounts";

/// The outcome of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterOutcome {
    /// The account is there.
    Registered,
    /// The address belongs to an account; nothing was written.
    AddressTaken,
}

impl Store {
    /// Makes an account and gives it its address.
    ///
    /// One transaction of Accounts (`account_id`) and Identities (`email`),
    /// which is written only if no identity has the address. The transaction's
    /// token is the account's id, so a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when it is not known to have been written.
    pub async fn register(
        &self,
        account: &Account,
        email: &EmailAddress,
    ) -> Result<RegisterOutcome, StoreError> {
        let account_row = Put::builder()
            .table_name(&self.tables.accounts)
            .set_item(Some(to_item(account)));
        let identity = Put::builder()
            .table_name(&self.tables.identities)
            .item(EMAIL, text(email.as_normal()))
            .item(ACCOUNT_ID, text(account.id))
            .item(CREATED_AT, moment(account.created_at))
            .condition_expression("attribute_not_exists(email)");
        let items = vec![
            TransactWriteItem::builder()
                .put(built(account_row.build()))
                .build(),
            TransactWriteItem::builder()
                .put(built(identity.build()))
                .build(),
        ];
        match self.transact(items, account.id.to_string()).await? {
            WriteOutcome::Done => Ok(RegisterOutcome::Registered),
            WriteOutcome::Stale => Ok(RegisterOutcome::AddressTaken),
        }
    }

    /// Finds the account that has the address.
    ///
    /// `GetItem` of Identities (`email`), consistent.
    ///
    /// # Errors
    /// [`StoreError`] when the row could not be read.
    pub async fn account_by_email(
        &self,
        email: &EmailAddress,
    ) -> Result<Option<AccountId>, StoreError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.tables.identities)
            .key(EMAIL, text(email.as_normal()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("GetItem", error))?;
        answer
            .item
            .map(|item| Reader::new("Identities", &item).parsed(ACCOUNT_ID, |id| id.parse().ok()))
            .transpose()
    }

    /// Stores the hash of the same password, made with other parameters.
    ///
    /// `UpdateItem` of Accounts (`account_id`), only if the row still has the
    /// hash that was verified, so that it can't bring an old password back. A
    /// replay changes nothing. The epoch stays.
    ///
    /// # Errors
    /// [`StoreError`] when it is not known to have been written.
    pub async fn rehash(
        &self,
        account: AccountId,
        verified: &StoredHash,
        new: &StoredHash,
    ) -> Result<WriteOutcome, StoreError> {
        let sent = self
            .client
            .update_item()
            .table_name(&self.tables.accounts)
            .key(ACCOUNT_ID, text(account))
            .update_expression("SET password_hash = :new")
            .condition_expression("password_hash = :verified")
            .expression_attribute_values(":new", text(new.as_str()))
            .expression_attribute_values(":verified", text(verified.as_str()))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(WriteOutcome::Done),
            Err(SdkError::ServiceError(error))
                if error.err().is_conditional_check_failed_exception() =>
            {
                Ok(WriteOutcome::Stale)
            }
            Err(error) => Err(StoreError::from_sdk("UpdateItem", error)),
        }
    }

    /// Lets people sign in to an account again. No session comes back: disabling
    /// moved the epoch on.
    ///
    /// `UpdateItem` of Accounts (`account_id`), only if the row is there. A
    /// replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when it is not known to have been written.
    pub async fn enable(&self, account: AccountId) -> Result<WriteOutcome, StoreError> {
        let mut attempt = 0;
        loop {
            let sent = self
                .client
                .update_item()
                .table_name(&self.tables.accounts)
                .key(ACCOUNT_ID, text(account))
                .update_expression("REMOVE disabled_at")
                .condition_expression("attribute_exists(account_id)")
                .send()
                .await;
            return match sent {
                Ok(_) => Ok(WriteOutcome::Done),
                Err(SdkError::ServiceError(error))
                    if error.err().is_conditional_check_failed_exception() =>
                {
                    Ok(WriteOutcome::Stale)
                }
                Err(SdkError::ServiceError(error))
                    if error.err().is_transaction_conflict_exception() =>
                {
                    attempt += 1;
                    if attempt == retry::ATTEMPTS {
                        return Err(StoreError::Contended);
                    }
                    retry::pause(attempt).await;
                    continue;
                }
                Err(error) => Err(StoreError::from_sdk("UpdateItem", error)),
            };
        }
    }
}

/// What a builder gives whose every required member was set.
pub(crate) fn built<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    result.expect("every required member was set")
}

fn to_item(account: &Account) -> Item {
    let mut item = Item::from([
        (ACCOUNT_ID.to_owned(), text(account.id)),
        (EMAIL.to_owned(), text(&account.email)),
        (
            PASSWORD_HASH.to_owned(),
            text(account.password_hash.as_str()),
        ),
        (EPOCH.to_owned(), number(account.epoch.0)),
        (CREATED_AT.to_owned(), moment(account.created_at)),
    ]);
    if let Some(kept) = account.kept_session {
        item.insert(KEPT_SESSION.to_owned(), text(kept));
    }
    if let Some(at) = account.disabled_at {
        item.insert(DISABLED_AT.to_owned(), moment(at));
    }
    item
}

pub(crate) fn from_item(item: &Item) -> Result<Account, StoreError> {
    let row = Reader::new(TABLE, item);
    Ok(Account {
        id: row.parsed(ACCOUNT_ID, |id| id.parse().ok())?,
        email: row.text(EMAIL)?.to_owned(),
        password_hash: row.parsed(PASSWORD_HASH, |hash| StoredHash::parse(hash).ok())?,
        epoch: Epoch(row.number(EPOCH)?),
        kept_session: row.parsed_if(KEPT_SESSION, |id| id.parse().ok())?,
        disabled_at: row.moment_if(DISABLED_AT)?,
        created_at: row.moment(CREATED_AT)?,
    })
}
