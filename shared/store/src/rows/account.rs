//! Rows of Accounts and Identities.

mod address_change;
mod factors;

use std::borrow::Cow;

use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Update};
use domain::account::{Account, Epoch};
use domain::challenge::Challenge;
use domain::factors::FactorRemoval;
use domain::ownership::{Hold, HoldCause};
use domain::password::StoredHash;
use domain::{AccountId, EmailAddress, Timestamp};

use crate::attributes::{
    ACCOUNT_ID, ADDRESS_CHANGE, ADDRESS_CHANGED_AT, CONFIRMED_AT, CREATED_AT, DISABLED_AT, EMAIL,
    EPOCH, FACTORS, FACTORS_LOST_AT, HELD_BY, HELD_SINCE, Item, KEPT_SESSION, KEPT_UNTIL,
    PASSWORD_HASH, PREVIOUS_EMAIL, RECOVERED_AT, RECOVERED_EPOCH, Reader, SIGN_IN_CODES, built,
    number, string, timestamp, ttl,
};
use crate::error::StoreError;
use crate::writes::Condition;

pub(crate) use self::address_change::{change_address, restore_address, warn_of_change};
pub(crate) use self::factors::{
    and_is_not_stopped, keep_factors, lose_factors, remove_lost_factors, replace_factors,
    set_sign_in_codes,
};

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
    item.extend(times_to_attributes(account));
    let mut set = |attribute: &str, value| item.insert(attribute.to_owned(), value);
    set(EMAIL, string(&account.email));
    set(PASSWORD_HASH, string(account.password_hash.as_str()));
    set(EPOCH, number(account.epoch.0));
    set(CREATED_AT, timestamp(account.created_at));
    if let Some(kept) = account.kept_session {
        set(KEPT_SESSION, string(kept));
    }
    if let Some(epoch) = account.recovered_epoch {
        set(RECOVERED_EPOCH, number(epoch.0));
    }
    if !account.factors.is_empty() {
        set(FACTORS, factors::to_list(&account.factors));
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

fn times_to_attributes(account: &Account) -> impl Iterator<Item = (String, AttributeValue)> {
    let times = [
        (DISABLED_AT, account.disabled_at),
        (CONFIRMED_AT, account.confirmed_at),
        (RECOVERED_AT, account.recovered_at),
        (FACTORS_LOST_AT, account.factors_lost_at),
    ];
    let times = times.into_iter();
    times.filter_map(|(attribute, at)| Some((attribute.to_owned(), timestamp(at?))))
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
        factors: factors::from_list(&row)?,
        factors_lost_at: row.timestamp_opt(FACTORS_LOST_AT)?,
        hold: hold_from(&row)?,
        address_change: address_change::from_row(&row)?,
        sign_in_codes: item.contains_key(SIGN_IN_CODES),
    })
}

fn hold_from(row: &Reader<'_>) -> Result<Option<Hold>, StoreError> {
    let Some(began_at) = row.timestamp_opt(HELD_SINCE)? else {
        return Ok(None);
    };
    let cause = row.parsed(HELD_BY, HoldCause::parse)?;
    Ok(Some(Hold { cause, began_at }))
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
            left = Some(factors::to_list(&removal.left));
        }
    }
    set.push_str(remove);
    let update = condition.update(table, key(account)).update_expression(set);
    match left {
        Some(left) => update.expression_attribute_values(":factors", left),
        None => update,
    }
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
