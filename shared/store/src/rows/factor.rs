//! Rows of Factors: authenticator apps and, in one row, the recovery codes of an account.

use std::borrow::Cow;

use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, Update};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::account::Epoch;
use domain::factors::{Begun, FactorUse, RecoveryCodeHash, RecoveryCodes, TotpFactor};
use domain::{AccountId, FactorId, SessionId};

use crate::attributes::{
    ACCOUNT_ID, BEGUN_AT, BEGUN_BY, CODE_HASHES, DELETE_AT, EPOCH, FACTOR_ID, FACTOR_NAME, Item,
    LAST_STEP, MADE_AT, Reader, SEALED_SECRET, built, bytes, number, string, timestamp, ttl,
};
use crate::error::StoreError;
use crate::writes::Condition;

const TABLE: &str = "Factors";
/// The sort key of the row with the recovery codes.
const RECOVERY_CODES: &str = "recovery-codes";

fn key(account: AccountId, factor: FactorId) -> Item {
    row_key(account, string(factor))
}

fn row_key(account: AccountId, sort: AttributeValue) -> Item {
    Item::from([
        (ACCOUNT_ID.to_owned(), string(account)),
        (FACTOR_ID.to_owned(), sort),
    ])
}

fn codes_key(account: AccountId) -> Item {
    row_key(account, string(RECOVERY_CODES))
}

/// Requires that this session began the factor, and that nobody has confirmed it.
fn was_begun_by(session: SessionId) -> Condition {
    Condition {
        expression: Cow::Borrowed("begun_by = :session"),
        names: &[],
        values: vec![(":session", string(session))],
    }
}

/// Requires that no code of this time step or a later one was accepted.
fn is_before_step(step: u64) -> Condition {
    Condition {
        expression: Cow::Borrowed("last_step < :step"),
        names: &[],
        values: vec![(":step", number(step))],
    }
}

/// Requires that this recovery code is left.
fn has_code(hash: &RecoveryCodeHash) -> Condition {
    Condition {
        expression: Cow::Borrowed("contains(code_hashes, :code)"),
        names: &[],
        values: vec![(":code", string(text(hash)))],
    }
}

fn text(hash: &RecoveryCodeHash) -> String {
    URL_SAFE_NO_PAD.encode(hash.as_bytes())
}

pub(crate) fn to_item(factor: &TotpFactor) -> Item {
    let mut item = key(factor.account, factor.id);
    let mut set = |attribute: &str, value| item.insert(attribute.to_owned(), value);
    set(FACTOR_NAME, string(&factor.name));
    set(SEALED_SECRET, bytes(&factor.sealed));
    if let Some(step) = factor.last_step {
        set(LAST_STEP, number(step));
    }
    if let Some(begun) = &factor.begun {
        set(BEGUN_BY, string(begun.session));
        set(BEGUN_AT, timestamp(begun.at));
        set(EPOCH, number(begun.epoch.0));
        set(DELETE_AT, ttl(begun.confirm_until()));
    }
    item
}

pub(crate) fn from_item(item: &Item) -> Result<TotpFactor, StoreError> {
    let row = Reader::new(TABLE, item);
    let begun = match row.id_opt(BEGUN_BY)? {
        None => None,
        Some(session) => Some(Begun {
            session,
            epoch: Epoch(row.number(EPOCH)?),
            at: row.timestamp(BEGUN_AT)?,
        }),
    };
    Ok(TotpFactor {
        account: row.id(ACCOUNT_ID)?,
        id: row.id(FACTOR_ID)?,
        name: row.string(FACTOR_NAME)?,
        sealed: row.blob(SEALED_SECRET)?,
        last_step: row.number_opt(LAST_STEP)?,
        begun,
    })
}

/// Returns whether the row is that of the recovery codes.
pub(crate) fn is_recovery_codes(item: &Item) -> Result<bool, StoreError> {
    Ok(Reader::new(TABLE, item).str(FACTOR_ID)? == RECOVERY_CODES)
}

pub(crate) fn codes_from_item(item: &Item) -> Result<RecoveryCodes, StoreError> {
    let row = Reader::new(TABLE, item);
    let hashes = row.strings(CODE_HASHES)?;
    let left = hashes.iter().map(|hash| {
        let bytes = URL_SAFE_NO_PAD.decode(hash).ok();
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let hash = bytes.map(RecoveryCodeHash::from_bytes);
        hash.ok_or_else(|| row.corrupt(CODE_HASHES))
    });
    Ok(RecoveryCodes {
        left: left.collect::<Result<_, _>>()?,
        made_at: row.timestamp(MADE_AT)?,
    })
}

/// Returns the put of new recovery codes, which replace all earlier ones.
pub(crate) fn put_codes(table: &str, account: AccountId, codes: &RecoveryCodes) -> Put {
    let mut item = codes_key(account);
    let left = codes.left.iter().map(text).collect();
    item.insert(CODE_HASHES.to_owned(), AttributeValue::Ss(left));
    item.insert(MADE_AT.to_owned(), timestamp(codes.made_at));
    let put = Put::builder().table_name(table).set_item(Some(item));
    built(put.build())
}

/// Returns the delete of a factor. The account's list, which is written with it, says whether
/// there is one.
pub(crate) fn delete(table: &str, account: AccountId, factor: FactorId) -> Delete {
    let delete = Delete::builder()
        .table_name(table)
        .set_key(Some(key(account, factor)));
    built(delete.build())
}

/// Returns the delete of the recovery codes, only if this one is left, if one is given.
pub(crate) fn delete_codes(
    table: &str,
    account: AccountId,
    code: Option<&RecoveryCodeHash>,
) -> Delete {
    let key = codes_key(account);
    if let Some(hash) = code {
        return has_code(hash).delete(table, key);
    }
    let delete = Delete::builder().table_name(table).set_key(Some(key));
    built(delete.build())
}

/// Returns the update that confirms a factor with the code of a time step.
pub(crate) fn confirm(table: &str, factor: &TotpFactor, session: SessionId, step: u64) -> Update {
    let update = was_begun_by(session)
        .update(table, key(factor.account, factor.id))
        .update_expression("SET last_step = :step REMOVE begun_by, begun_at, epoch, delete_at")
        .expression_attribute_values(":step", number(step));
    built(update.build())
}

/// Returns the update that uses a factor up: no code is accepted twice.
pub(crate) fn use_up(table: &str, account: AccountId, shown: &FactorUse) -> Update {
    let update = match shown {
        FactorUse::Totp { id, step } => is_before_step(*step)
            .update(table, key(account, *id))
            .update_expression("SET last_step = :step"),
        FactorUse::RecoveryCode(hash) => has_code(hash)
            .update(table, codes_key(account))
            .update_expression("DELETE code_hashes :codes")
            .expression_attribute_values(":codes", AttributeValue::Ss(vec![text(hash)])),
    };
    built(update.build())
}
