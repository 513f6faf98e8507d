//! Rows of Receipts: the header of a sign-out (sort key: its id), an entry for each
//! device (sort key: `sign_out_id#device_id`), and for an account-wide sign-out a copy
//! of the header by the epoch that it ended (sort key: `epoch#` and its number). The record of
//! a changed address is here for the stream (sort key: `address#` and the change's id).

use aws_sdk_dynamodb::types::{AttributeValue, Put, Update};
use domain::account::Epoch;
use domain::address_change::{AddressChanged, NewAddress};
use domain::device::DeviceType;
use domain::end_info::{ByDevice, EndInfo};
use domain::receipt::{ReceiptEntry, Step};
use domain::session::Authenticated;
use domain::sign_out::{EndedSession, SignOut, SignOutTarget};
use domain::token::TokenHash;
use domain::{AccountId, DeviceId, Limits, Reason, Scope, SignOutId, Timestamp};

use crate::attributes::{
    ACCOUNT_ID, DELETE_AT, DEVICE_ID, DEVICE_TYPE, ENDED_EPOCH, EPOCH, FROM_EPOCH, Item,
    KEPT_SESSION, KIND, NAME, NOTIFIED_AT, REASON, RECORD, REFUSED_AT, REQUESTED_AT, REQUESTED_BY,
    REQUESTED_BY_NAME, Reader, SCOPE, SEEN_AT, SESSION_ID, SIGN_OUT_ID, TOKEN_HASH, WIPED_AT,
    built, bytes, number, string, timestamp, ttl,
};
use crate::error::StoreError;

pub(crate) const TABLE: &str = "Receipts";

/// The begin of the sort key of the record of a changed address.
const ADDRESS_KEY: &str = "address#";

pub(crate) fn header_key(account: AccountId, sign_out: SignOutId) -> Item {
    key(account, &sign_out.to_string())
}

pub(crate) fn entry_key(account: AccountId, sign_out: SignOutId, device: DeviceId) -> Item {
    key(account, &format!("{sign_out}#{device}"))
}

/// The key of the record of the sign-out that ended an epoch.
pub(crate) fn record_key(account: AccountId, ended: Epoch) -> Item {
    key(account, &format!("epoch#{}", ended.0))
}

fn key(account: AccountId, sort_key: &str) -> Item {
    Item::from([
        (ACCOUNT_ID.to_owned(), string(account)),
        (SIGN_OUT_ID.to_owned(), string(sort_key)),
    ])
}

/// Returns whether the item is an entry and not a header.
pub(crate) fn is_entry(item: &Item) -> Result<bool, StoreError> {
    Ok(Reader::new(TABLE, item).str(SIGN_OUT_ID)?.contains('#'))
}

/// Returns the puts of a header and, for an account-wide sign-out, of its record. They
/// need no condition: the header's key is a new id, and the transaction that they are
/// part of ends the epoch.
pub(crate) fn put_header(table: &str, sign_out: &SignOut, limits: &Limits) -> Vec<Put> {
    let header = header_to_item(sign_out, limits);
    let mut items = vec![header.clone()];
    if let SignOutTarget::Epoch { ended, .. } = sign_out.target {
        let mut record = record_key(sign_out.account, ended);
        let delete_at = limits.sign_out_kept_until(sign_out.at);
        record.insert(DELETE_AT.to_owned(), ttl(delete_at));
        // As one attribute, so that it does not look like a header in the stream.
        record.insert(RECORD.to_owned(), AttributeValue::M(header));
        items.push(record);
    }
    let put = |item| Put::builder().table_name(table).set_item(Some(item));
    items
        .into_iter()
        .map(|item| built(put(item).build()))
        .collect()
}

fn header_to_item(sign_out: &SignOut, limits: &Limits) -> Item {
    let mut item = header_key(sign_out.account, sign_out.id);
    let mut set = |attribute: &str, value| item.insert(attribute.to_owned(), value);
    set(SCOPE, string(sign_out.scope.as_str()));
    set(REASON, string(sign_out.reason.as_str()));
    set(REQUESTED_AT, timestamp(sign_out.at));
    set(DELETE_AT, ttl(limits.sign_out_kept_until(sign_out.at)));
    if let Some(by) = &sign_out.by {
        set(REQUESTED_BY, string(by.id));
        set(REQUESTED_BY_NAME, string(&by.name));
    }
    match &sign_out.target {
        SignOutTarget::One(one) => {
            for (attribute, value) in session_to_attributes(one) {
                set(attribute, value);
            }
        }
        SignOutTarget::Epoch { from, ended, kept } => {
            set(ENDED_EPOCH, number(ended.0));
            if from != ended {
                set(FROM_EPOCH, number(from.0));
            }
            if let Some(kept) = kept {
                set(KEPT_SESSION, string(kept));
            }
        }
    }
    item
}

/// The kind of the record of a changed address.
pub(crate) const ADDRESS_CHANGED: &str = "address_changed";

/// Returns the put of the record of a changed address, which the stream publishes. It needs no
/// condition: its key is a new id.
pub(crate) fn put_address_change(
    table: &str,
    caller: &Authenticated,
    new: &NewAddress,
    limits: &Limits,
) -> Put {
    let mut item = key(caller.account.id, &format!("{ADDRESS_KEY}{}", new.id));
    let mut set = |attribute: &str, value| item.insert(attribute.to_owned(), value);
    set(KIND, string(ADDRESS_CHANGED));
    set(REQUESTED_AT, timestamp(new.at));
    set(REQUESTED_BY, string(caller.device.id));
    set(DELETE_AT, ttl(limits.sign_out_kept_until(new.at)));
    built(
        Put::builder()
            .table_name(table)
            .set_item(Some(item))
            .build(),
    )
}

/// Reads the record of a changed address.
pub(crate) fn address_change_from_item(item: &Item) -> Result<AddressChanged, StoreError> {
    let row = Reader::new(TABLE, item);
    let id = |key: &str| key.strip_prefix(ADDRESS_KEY)?.parse().ok();
    Ok(AddressChanged {
        account: row.id(ACCOUNT_ID)?,
        id: row.parsed(SIGN_OUT_ID, id)?,
        at: row.timestamp(REQUESTED_AT)?,
        by: row.id(REQUESTED_BY)?,
    })
}

/// Reads the record of an account-wide sign-out, which is a copy of its header.
pub(crate) fn record_from_item(item: &Item) -> Result<SignOut, StoreError> {
    match item.get(RECORD) {
        Some(AttributeValue::M(header)) => header_from_item(header),
        _ => Err(Reader::new(TABLE, item).corrupt(RECORD)),
    }
}

pub(crate) fn header_from_item(item: &Item) -> Result<SignOut, StoreError> {
    let row = Reader::new(TABLE, item);
    let by = match row.id_opt(REQUESTED_BY)? {
        Some(id) => Some(ByDevice {
            id,
            name: row.string(REQUESTED_BY_NAME)?,
        }),
        None => None,
    };
    let target = if row.has(ENDED_EPOCH) {
        let ended = row.number(ENDED_EPOCH)?;
        SignOutTarget::Epoch {
            from: Epoch(row.number_opt(FROM_EPOCH)?.unwrap_or(ended)),
            ended: Epoch(ended),
            kept: row.id_opt(KEPT_SESSION)?,
        }
    } else {
        SignOutTarget::One(session_from(&row)?)
    };
    Ok(SignOut {
        account: row.id(ACCOUNT_ID)?,
        id: row.id(SIGN_OUT_ID)?,
        scope: row.parsed(SCOPE, Scope::parse)?,
        reason: row.parsed(REASON, Reason::parse)?,
        at: row.timestamp(REQUESTED_AT)?,
        by,
        target,
    })
}

/// Returns the attribute with the time of a step.
pub(crate) fn attribute_of(step: Step) -> &'static str {
    match step {
        Step::Seen => SEEN_AT,
        Step::Notified => NOTIFIED_AT,
        Step::Wiped => WIPED_AT,
    }
}

/// Returns the update of a session's entry, with a step if there is one.
///
/// Sets each attribute only if it is absent: the first writer creates the entry, the
/// first time of each step counts, and a replay changes nothing.
pub(crate) fn update_entry(
    table: &str,
    account: AccountId,
    ended: &EndInfo,
    session: &EndedSession,
    step: Option<(Step, Timestamp)>,
    limits: &Limits,
) -> Update {
    let mut values = session_to_attributes(session).to_vec();
    values.push((REFUSED_AT, timestamp(ended.at)));
    values.push((DELETE_AT, ttl(limits.sign_out_kept_until(ended.at))));
    if let Some((step, now)) = step {
        values.push((attribute_of(step), timestamp(now)));
    }
    let set: Vec<_> = values
        .iter()
        .map(|(attribute, _)| format!("{attribute} = if_not_exists({attribute}, :{attribute})"))
        .collect();
    let mut update = Update::builder()
        .table_name(table)
        .set_key(Some(entry_key(account, ended.sign_out, session.device)))
        .update_expression(format!("SET {}", set.join(", ")));
    for (attribute, value) in values {
        update = update.expression_attribute_values(format!(":{attribute}"), value);
    }
    built(update.build())
}

pub(crate) fn entry_from_item(item: &Item) -> Result<ReceiptEntry, StoreError> {
    let row = Reader::new(TABLE, item);
    Ok(ReceiptEntry {
        session: session_from(&row)?,
        refused_at: row.timestamp(REFUSED_AT)?,
        seen_at: row.timestamp_opt(SEEN_AT)?,
        notified_at: row.timestamp_opt(NOTIFIED_AT)?,
        wiped_at: row.timestamp_opt(WIPED_AT)?,
    })
}

/// Returns the attributes that name a session in a header, an entry or a connection. The hash of
/// the token before is appended to that of the token: an entry is never made of two sessions.
pub(crate) fn session_to_attributes(session: &EndedSession) -> [(&'static str, AttributeValue); 6] {
    let previous = session.previous_token_hash.as_ref();
    let previous = previous.map_or(&[][..], |hash| hash.as_bytes());
    let hashes = [session.token_hash.as_bytes(), previous].concat();
    [
        (DEVICE_ID, string(session.device)),
        (SESSION_ID, string(session.session)),
        (EPOCH, number(session.epoch.0)),
        (TOKEN_HASH, bytes(&hashes)),
        (NAME, string(&session.name)),
        (DEVICE_TYPE, string(session.device_type.as_str())),
    ]
}

pub(crate) fn session_from(row: &Reader<'_>) -> Result<EndedSession, StoreError> {
    let hashes = row.blob(TOKEN_HASH)?;
    let (hashes, rest) = hashes.as_chunks::<32>();
    let (&[token_hash, ref previous @ ..], []) = (hashes, rest) else {
        return Err(row.corrupt(TOKEN_HASH));
    };
    Ok(EndedSession {
        device: row.id(DEVICE_ID)?,
        session: row.id(SESSION_ID)?,
        epoch: Epoch(row.number(EPOCH)?),
        token_hash: TokenHash::from_bytes(token_hash),
        previous_token_hash: previous.first().copied().map(TokenHash::from_bytes),
        name: row.string(NAME)?,
        device_type: row.parsed(DEVICE_TYPE, DeviceType::parse)?,
    })
}
