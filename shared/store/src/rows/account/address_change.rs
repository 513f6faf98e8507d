//! The last change of the address in a row of Accounts.

use std::borrow::Cow;

use aws_sdk_dynamodb::types::Update;
use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use domain::Timestamp;
use domain::account::Account;
use domain::address_change::{AddressChange, ChangeState, NewAddress};
use domain::ownership::Hold;

use super::{has_epoch, key};
use crate::attributes::{
    ADDRESS_CHANGE, ADDRESS_CHANGED_AT, PREVIOUS_EMAIL, Reader, built, string, timestamp,
};
use crate::error::StoreError;
use crate::writes::Condition;

pub(super) fn from_row(row: &Reader<'_>) -> Result<Option<AddressChange>, StoreError> {
    let Some(at) = row.timestamp_opt(ADDRESS_CHANGED_AT)? else {
        return Ok(None);
    };
    Ok(Some(AddressChange {
        previous: row.string(PREVIOUS_EMAIL)?,
        at,
        state: row.parsed(ADDRESS_CHANGE, ChangeState::parse)?,
    }))
}

/// Requires that a change of the address is still possible: the account has the epoch and the
/// address that were read, and is unconfirmed if it was. One without an address is.
fn has_address(account: &Account) -> Condition {
    let mut condition = has_epoch(account.epoch);
    let expression = condition.expression.to_mut();
    if account.confirmed_at.is_none() {
        expression.push_str(" AND attribute_not_exists(confirmed_at)");
    }
    if !account.email.is_empty() {
        expression.push_str(" AND email = :old");
        condition.values.push((":old", string(&account.email)));
    }
    condition
}

/// Returns the update that changes the address of an account. The time of its first confirmation
/// stays.
pub(crate) fn change_address(table: &str, account: &Account, new: &NewAddress) -> Update {
    let mut update = has_address(account)
        .update(table, key(account.id))
        .expression_attribute_values(":email", string(new.email.as_normal()));
    let mut set = "SET email = :email".to_owned();
    if account.confirmed_at.is_none() {
        set.push_str(", confirmed_at = :now");
        update = update.expression_attribute_values(":now", timestamp(new.at));
    }
    if let Some(change) = &new.change {
        set.push_str(
            ", previous_email = :previous, address_changed_at = :at, address_change = :state",
        );
        update = update
            .expression_attribute_values(":previous", string(&change.previous))
            .expression_attribute_values(":at", timestamp(change.at))
            .expression_attribute_values(":state", string(change.state.as_str()));
    } else {
        set.push_str(" REMOVE previous_email, address_changed_at, address_change");
    }
    built(update.update_expression(set).build())
}

/// Requires that a change of the address is the last one, and was not undone.
fn is_last_change(change: &AddressChange) -> Condition {
    Condition {
        expression: Cow::Borrowed("address_changed_at = :changed_at"),
        names: &[],
        values: vec![(":changed_at", timestamp(change.at))],
    }
}

/// Begins the update that gives an account the address before a change. The caller adds the
/// epoch of the jump, `:next`, and the hash that no password matches, `:void`.
pub(crate) fn restore_address(
    table: &str,
    (account, change): (&Account, &AddressChange),
    now: Timestamp,
) -> UpdateBuilder {
    let mut condition = is_last_change(change);
    condition.expression.to_mut().push_str(" AND epoch < :next");
    condition
        .update(table, key(account.id))
        .update_expression(
            "SET email = :email, previous_email = :undone, address_changed_at = :now, \
             address_change = :state, epoch = :next, recovered_epoch = :next, \
             password_hash = :void, recovered_at = :now \
             REMOVE kept_session, held_since, held_by, factors_lost_at",
        )
        .expression_attribute_values(":email", string(&change.previous))
        .expression_attribute_values(":undone", string(&account.email))
        .expression_attribute_values(":state", string(ChangeState::Undone.as_str()))
        .expression_attribute_values(":now", timestamp(now))
}

/// Returns the update that begins a hold, because the old mailbox warns of a change.
pub(crate) fn warn_of_change(
    table: &str,
    (account, change): (&Account, &AddressChange),
    hold: &Hold,
) -> Update {
    let update = is_last_change(change)
        .update(table, key(account.id))
        .update_expression("SET address_change = :state, held_since = :since, held_by = :by")
        .expression_attribute_values(":state", string(ChangeState::Warned.as_str()))
        .expression_attribute_values(":since", timestamp(hold.began_at))
        .expression_attribute_values(":by", string(hold.cause.as_str()));
    built(update.build())
}
