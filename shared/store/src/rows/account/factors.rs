//! The factors in a row of Accounts.

use std::borrow::Cow;

use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Update};
use domain::account::{Account, Epoch};
use domain::factors::{AccountFactor, FactorRemoval};
use domain::{AccountId, Timestamp};

use super::{has_epoch, key};
use crate::attributes::{
    ADDED_AT, EPOCH, FACTOR_ID, FACTORS, Item, NOTIFIED_AT, Reader, built, number, string,
    timestamp,
};
use crate::error::StoreError;
use crate::writes::Condition;

pub(super) fn to_list(factors: &[AccountFactor]) -> AttributeValue {
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

pub(super) fn from_list(row: &Reader<'_>) -> Result<Vec<AccountFactor>, StoreError> {
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
    let mut condition = has_factors(account);
    condition
        .expression
        .to_mut()
        .push_str(" AND epoch = :epoch");
    condition.values.push((":epoch", number(account.epoch.0)));
    let update = condition.update(table, key(account.id));
    if new.is_empty() {
        return update.update_expression("REMOVE factors");
    }
    update
        .update_expression("SET factors = :factors")
        .expression_attribute_values(":factors", to_list(new))
}

/// Turns codes at sign-ins on or off, if the account still has the epoch that was read.
pub(crate) fn set_sign_in_codes(table: &str, account: &Account, is_on: bool) -> UpdateBuilder {
    let update = has_epoch(account.epoch).update(table, key(account.id));
    if !is_on {
        return update.update_expression("REMOVE sign_in_codes");
    }
    update
        .update_expression("SET sign_in_codes = :on")
        .expression_attribute_values(":on", AttributeValue::Bool(true))
}

/// Returns the update that removes lost factors, which requires that they are still those that
/// were read, and that nobody has stopped it.
pub(crate) fn remove_lost_factors(
    table: &str,
    account: &Account,
    removal: &FactorRemoval,
) -> Update {
    let condition = and_is_not_stopped(has_factors(account), removal);
    let update = condition.update(table, key(account.id));
    let update = match &*removal.left {
        [] => update.update_expression("REMOVE factors, factors_lost_at"),
        left => update
            .update_expression("SET factors = :factors REMOVE factors_lost_at")
            .expression_attribute_values(":factors", to_list(left)),
    };
    built(update.build())
}

/// Requires that the removal of lost factors is not stopped, if it had to wait.
pub(crate) fn and_is_not_stopped(mut condition: Condition, removal: &FactorRemoval) -> Condition {
    if let Some(asked_at) = removal.asked_at {
        let expression = condition.expression.to_mut();
        expression.push_str(" AND factors_lost_at = :lost_at");
        condition.values.push((":lost_at", timestamp(asked_at)));
    }
    condition
}

/// Returns the update that asks for the removal of lost factors, which requires that the epoch
/// is that of the sign-in, and that nobody has asked before.
pub(crate) fn lose_factors(
    table: &str,
    account: AccountId,
    epoch: Epoch,
    now: Timestamp,
) -> Update {
    let mut condition = has_epoch(epoch);
    let expression = condition.expression.to_mut();
    expression.push_str(" AND attribute_not_exists(factors_lost_at)");
    let update = condition
        .update(table, key(account))
        .update_expression("SET factors_lost_at = :now")
        .expression_attribute_values(":now", timestamp(now));
    built(update.build())
}

/// Returns the update that stops the removal of lost factors, which requires that the epoch is
/// that which was read.
pub(crate) fn keep_factors(table: &str, account: &Account) -> Update {
    let update = has_epoch(account.epoch)
        .update(table, key(account.id))
        .update_expression("REMOVE factors_lost_at");
    built(update.build())
}

/// Requires that the factors are still those that were read.
fn has_factors(account: &Account) -> Condition {
    if account.factors.is_empty() {
        return Condition {
            expression: Cow::Borrowed("attribute_not_exists(factors)"),
            names: &[],
            values: Vec::new(),
        };
    }
    Condition {
        expression: Cow::Borrowed("factors = :before"),
        names: &[],
        values: vec![(":before", to_list(&account.factors))],
    }
}
