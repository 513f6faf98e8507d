//! Rows of Accounts and Identities.

use std::borrow::Cow;

use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Update};
use domain::account::{Account, Epoch};
use domain::address_change::{AddressChange, ChangeState, NewAddress};
use domain::challenge::Challenge;
use domain::factors::{AccountFactor, FactorRemoval};
use domain::ownership::{Hold, HoldCause};
use domain::password::StoredHash;
use domain::{AccountId, EmailAddress, Timestamp};

use crate::attributes::{
    ACCOUNT_ID, ADDED_AT, ADDRESS_CHANGE, ADDRESS_CHANGED_AT, CONFIRMED_AT, CREATED_AT,
    DISABLED_AT, EMAIL, EPOCH, FACTOR_ID, FACTORS, FACTORS_LOST_AT, HELD_BY, HELD_SINCE, Item,
    KEPT_SESSION, KEPT_UNTIL, NOTIFIED_AT, PASSWORD_HASH, PREVIOUS_EMAIL, RECOVERED_AT,
    RECOVERED_EPOCH, Reader, SIGN_IN_CODES, built, number, string, timestamp, ttl,
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
    if let Some(at) = account.factors_lost_at {
        set(FACTORS_LOST_AT, timestamp(at));
    }
    if let Some(hold) = &account.hold {
        set(HELD_SINCE, timestamp(hold.began_at));
        set(HELD_BY, string(hold.cause.as_str()));
    }
    if let Some(change) = &account.address_change {
        set(PREVIOUS_EMAIL, string(&change.previous));
        set(ADDRESS_CHANGED_AT, timestamp(change.at));
        set(ADDRESS_CHANGE, string(change.state.as_str()));
    }
    if account.sign_in_codes {
        set(SIGN_IN_CODES, AttributeValue::Bool(true));
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
        factors_lost_at: row.timestamp_opt(FACTORS_LOST_AT)?,
        hold: hold_from(&row)?,
        address_change: address_change_from(&row)?,
        sign_in_codes: item.contains_key(SIGN_IN_CODES),
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
        .expression_attribute_values(":factors", factors_to_list(new))
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
            .expression_attribute_values(":factors", factors_to_list(left)),
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
        values: vec![(":before", factors_to_list(&account.factors))],
    }
}

fn hold_from(row: &Reader<'_>) -> Result<Option<Hold>, StoreError> {
    let Some(began_at) = row.timestamp_opt(HELD_SINCE)? else {
        return Ok(None);
    };
    let cause = row.parsed(HELD_BY, HoldCause::parse)?;
    Ok(Some(Hold { cause, began_at }))
}

fn address_change_from(row: &Reader<'_>) -> Result<Option<AddressChange>, StoreError> {
    let Some(at) = row.timestamp_opt(ADDRESS_CHANGED_AT)? else {
        return Ok(None);
    };
    Ok(Some(AddressChange {
        previous: row.string(PREVIOUS_EMAIL)?,
        at,
        state: row.parsed(ADDRESS_CHANGE, ChangeState::parse)?,
    }))
}

pub(crate) fn identity_key(email: &EmailAddress) -> Item {
    Item::from([(EMAIL.to_owned(), string(email.as_normal()))])
}

/// Requires that no account has the address, and none that had it keeps it.
pub(crate) fn address_is_free(now: Timestamp) -> Condition {
    Condition {
        expression: Cow::Borrowed("attribute_not_exists(email) OR kept_until <= :now"),
        names: &[],
        values: vec![(":now", timestamp(now))],
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

/// Requires that the epoch is before that of a jump, `:next`, that the account has the address of
/// a challenge, and that no recovery was completed since that was asked for.
pub(crate) fn can_be_recovered(challenge: &Challenge) -> Condition {
    Condition {
        expression: Cow::Borrowed(
            "epoch < :next AND email = :email \
             AND (attribute_not_exists(recovered_at) OR recovered_at < :asked_at)",
        ),
        names: &[],
        values: vec![
            (":email", string(challenge.email.as_normal())),
            (":asked_at", timestamp(challenge.asked_at)),
        ],
    }
}

/// Begins the update that recovers an account. The caller adds the epoch of the jump, `:next`,
/// the hash, `:new`, the time, `:at`, and the hold, `:since` and `:by`.
pub(crate) fn recover(
    table: &str,
    (account, challenge): (AccountId, &Challenge),
    removal: Option<&FactorRemoval>,
) -> UpdateBuilder {
    let mut condition = can_be_recovered(challenge);
    let mut set = "SET epoch = :next, recovered_epoch = :next, password_hash = :new, \
                   recovered_at = :at, held_since = :since, held_by = :by"
        .to_owned();
    let mut remove = " REMOVE kept_session, factors_lost_at";
    let mut left = None;
    if let Some(removal) = removal {
        condition = and_is_not_stopped(condition, removal);
        if removal.left.is_empty() {
            remove = " REMOVE kept_session, factors_lost_at, factors";
        } else {
            set.push_str(", factors = :factors");
            left = Some(factors_to_list(&removal.left));
        }
    }
    set.push_str(remove);
    let update = condition.update(table, key(account)).update_expression(set);
    match left {
        Some(left) => update.expression_attribute_values(":factors", left),
        None => update,
    }
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

/// Returns the update that takes the address from an account that never proved it.
pub(crate) fn without_address(table: &str, account: AccountId) -> Update {
    let update = nobody_confirmed()
        .update(table, key(account))
        .update_expression("REMOVE email");
    built(update.build())
}

pub(crate) fn to_identity(account: &Account, email: &EmailAddress) -> Item {
    let mut item = identity_key(email);
    item.insert(ACCOUNT_ID.to_owned(), string(account.id));
    item.insert(CREATED_AT.to_owned(), timestamp(account.created_at));
    item
}

/// A row of Identities.
pub(crate) struct Identity {
    pub(crate) account: AccountId,
    /// The time until which it stays with the account, which had it before a change of its
    /// address. `None` if it has the address now.
    pub(crate) kept_until: Option<Timestamp>,
}

pub(crate) fn identity_from(item: &Item) -> Result<Identity, StoreError> {
    let row = Reader::new("Identities", item);
    Ok(Identity {
        account: row.id(ACCOUNT_ID)?,
        kept_until: row.timestamp_opt(KEPT_UNTIL)?,
    })
}

/// Returns the update that leaves an address to the account that had it, for some time.
pub(crate) fn keep_identity(table: &str, email: &str, until: Timestamp) -> Update {
    let update = Update::builder()
        .table_name(table)
        .key(EMAIL, string(email))
        .update_expression("SET kept_until = :until, delete_at = :delete_at")
        .expression_attribute_values(":until", timestamp(until))
        .expression_attribute_values(":delete_at", ttl(until));
    built(update.build())
}

/// Returns the update that gives an account the address back that was kept for it.
pub(crate) fn take_identity_back(table: &str, account: AccountId, email: &str) -> Update {
    let update = address_is_of(account)
        .update(table, Item::from([(EMAIL.to_owned(), string(email))]))
        .update_expression("REMOVE kept_until, delete_at");
    built(update.build())
}
