//! Rows of Accounts and Identities.

use std::borrow::Cow;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use domain::account::{Account, Epoch};
use domain::factors::AccountFactor;
use domain::password::StoredHash;
use domain::{AccountId, EmailAddress, Timestamp};

use crate::attributes::{
    ACCOUNT_ID, ADDED_AT, CONFIRMED_AT, CREATED_AT, DISABLED_AT, EMAIL, EPOCH, FACTOR_ID, FACTORS,
    Item, KEPT_SESSION, NOTIFIED_AT, PASSWORD_HASH, RECOVERED_AT, RECOVERED_EPOCH, Reader, number,
    string, timestamp,
};
use crate::error::StoreError;
use crate::writes::Condition;

pub(crate) fn key(account: AccountId) -> Item {
    Item::from([(ACCOUNT_ID.to_owned(), string(account))])
}

/// Requires that the account exists.
pub(crate) fn exists() -> Condition {
    Condition {
        expression: Cow::Borrowed("attribute_exists(account_id)"),
        names: &[],
        values: vec![],
    }
}

/// Requires that no sign-out has moved the account's epoch on.
pub(crate) fn has_epoch(epoch: Epoch) -> Condition {
    Condition {
        expression: Cow::Borrowed("epoch = :epoch"),
        names: &[],
        values: vec![(":epoch", number(epoch.0))],
    }
}

/// Requires what a jump to another epoch requires: that the account is still before it, has
/// the password hash that was verified, and is not disabled.
pub(crate) fn may_jump(next: Epoch, verified: &StoredHash) -> Condition {
    Condition {
        expression: Cow::Borrowed(
            "epoch < :next AND password_hash = :verified AND attribute_not_exists(disabled_at)",
        ),
        names: &[],
        values: vec![
            (":next", number(next.0)),
            (":verified", string(verified.as_str())),
        ],
    }
}

/// Requires that the account exists and is still before this epoch.
pub(crate) fn is_before(next: Epoch) -> Condition {
    Condition {
        expression: Cow::Borrowed("epoch < :next"),
        names: &[],
        values: vec![(":next", number(next.0))],
    }
}

/// Requires that the account still has the password hash that was verified.
pub(crate) fn has_password_hash(verified: &StoredHash) -> Condition {
    Condition {
        expression: Cow::Borrowed("password_hash = :verified"),
        names: &[],
        values: vec![(":verified", string(verified.as_str()))],
    }
}

pub(crate) fn to_item(account: &Account) -> Item {
    let mut item = key(account.id);
    let mut set = |attribute: &str, value| item.insert(attribute.to_owned(), value);
    set(EMAIL, string(&account.email));
    set(PASSWORD_HASH, string(account.password_hash.as_str()));
    set(EPOCH, number(account.epoch.0));
    set(CREATED_AT, timestamp(account.created_at));
    if let Some(kept) = account.kept_session {
        set(KEPT_SESSION, string(kept));
    }
    if let Some(at) = account.disabled_at {
        set(DISABLED_AT, timestamp(at));
    }
    if let Some(at) = account.confirmed_at {
        set(CONFIRMED_AT, timestamp(at));
    }
    if let Some(at) = account.recovered_at {
        set(RECOVERED_AT, timestamp(at));
    }
    if let Some(epoch) = account.recovered_epoch {
        set(RECOVERED_EPOCH, number(epoch.0));
    }
    if !account.factors.is_empty() {
        set(FACTORS, factors_to_list(&account.factors));
    }
    item
}

pub(crate) fn from_item(item: &Item) -> Result<Account, StoreError> {
    let row = Reader::new("Accounts", item);
    Ok(Account {
        id: row.id(ACCOUNT_ID)?,
        email: row.string_opt(EMAIL)?.unwrap_or_default(),
        password_hash: row.parsed(PASSWORD_HASH, |hash| StoredHash::parse(hash).ok())?,
        epoch: Epoch(row.number(EPOCH)?),
        kept_session: row.id_opt(KEPT_SESSION)?,
        disabled_at: row.timestamp_opt(DISABLED_AT)?,
        created_at: row.timestamp(CREATED_AT)?,
        confirmed_at: row.timestamp_opt(CONFIRMED_AT)?,
        recovered_at: row.timestamp_opt(RECOVERED_AT)?,
        recovered_epoch: row.number_opt(RECOVERED_EPOCH)?.map(Epoch),
        factors: factors_from_list(&row)?,
    })
}

fn factors_to_list(factors: &[AccountFactor]) -> AttributeValue {
    let to_map = |factor: &AccountFactor| {
        let mut map = Item::from([
            (FACTOR_ID.to_owned(), string(factor.id)),
            (ADDED_AT.to_owned(), timestamp(factor.added_at)),
            (EPOCH.to_owned(), number(factor.epoch.0)),
        ]);
        if let Some(at) = factor.notified_at {
            map.insert(NOTIFIED_AT.to_owned(), timestamp(at));
        }
        AttributeValue::M(map)
    };
    AttributeValue::L(factors.iter().map(to_map).collect())
}

fn factors_from_list(row: &Reader<'_>) -> Result<Vec<AccountFactor>, StoreError> {
    let from_map = |map| {
        let row = Reader::new("Accounts", map);
        Ok(AccountFactor {
            id: row.id(FACTOR_ID)?,
            added_at: row.timestamp(ADDED_AT)?,
            epoch: Epoch(row.number(EPOCH)?),
            notified_at: row.timestamp_opt(NOTIFIED_AT)?,
        })
    };
    row.maps(FACTORS)?.into_iter().map(from_map).collect()
}

/// Begins the update of an account's factors, which requires that they are still those that
/// were read, and that the epoch is.
pub(crate) fn replace_factors(
    table: &str,
    account: &Account,
    new: &[AccountFactor],
) -> UpdateBuilder {
    let mut condition = has_epoch(account.epoch);
    let expression = condition.expression.to_mut();
    if account.factors.is_empty() {
        expression.push_str(" AND attribute_not_exists(factors)");
    } else {
        expression.push_str(" AND factors = :before");
        let before = factors_to_list(&account.factors);
        condition.values.push((":before", before));
    }
    let update = condition.update(table, key(account.id));
    if new.is_empty() {
        return update.update_expression("REMOVE factors");
    }
    update
        .update_expression("SET factors = :factors")
        .expression_attribute_values(":factors", factors_to_list(new))
}

pub(crate) fn identity_key(email: &EmailAddress) -> Item {
    Item::from([(EMAIL.to_owned(), string(email.as_normal()))])
}

/// Requires that no account has the address.
pub(crate) fn address_is_free() -> Condition {
    Condition {
        expression: Cow::Borrowed("attribute_not_exists(email)"),
        names: &[],
        values: vec![],
    }
}

/// Requires that the address is still the account's.
pub(crate) fn address_is_of(account: AccountId) -> Condition {
    Condition {
        expression: Cow::Borrowed("account_id = :account"),
        names: &[],
        values: vec![(":account", string(account))],
    }
}

/// Requires that nobody has confirmed the account's address.
pub(crate) fn nobody_confirmed() -> Condition {
    Condition {
        expression: Cow::Borrowed("attribute_not_exists(confirmed_at)"),
        names: &[],
        values: Vec::new(),
    }
}

/// Requires that the account still has the address, which nobody has confirmed.
pub(crate) fn is_unconfirmed(email: &EmailAddress) -> Condition {
    Condition {
        expression: Cow::Borrowed("email = :email AND attribute_not_exists(confirmed_at)"),
        names: &[],
        values: vec![(":email", string(email.as_normal()))],
    }
}

/// Requires that the epoch is before that of a jump, `:next`, and that no recovery was
/// completed since a challenge was asked for.
pub(crate) fn can_be_recovered(asked_at: Timestamp) -> Condition {
    Condition {
        expression: Cow::Borrowed(
            "epoch < :next AND (attribute_not_exists(recovered_at) OR recovered_at < :asked_at)",
        ),
        names: &[],
        values: vec![(":asked_at", timestamp(asked_at))],
    }
}

pub(crate) fn to_identity(account: &Account, email: &EmailAddress) -> Item {
    let mut item = identity_key(email);
    item.insert(ACCOUNT_ID.to_owned(), string(account.id));
    item.insert(CREATED_AT.to_owned(), timestamp(account.created_at));
    item
}

pub(crate) fn account_of_identity(item: &Item) -> Result<AccountId, StoreError> {
    Reader::new("Identities", item).id(ACCOUNT_ID)
}
