//! The mapping of rows, independent of the store's.

use std::collections::BTreeSet;

use domain::DeviceKeyHash;
use domain::account::{Account, Epoch};
use domain::address_change::{AddressChange, ChangeState};
use domain::device::{
    Device, DeviceInfo, DeviceState, DeviceType, EndingActs, Place, PreviousToken, UnprovenActs,
};
use domain::end_info::{ByDevice, EndInfo};
use domain::factors::AccountFactor;
use domain::ownership::{Hold, HoldCause};
use domain::password::StoredHash;
use domain::receipt::ReceiptEntry;
use domain::token::TokenHash;
use domain::{EndedSession, Reason, Scope, SignOut, SignOutId, SignOutTarget, Timestamp};
use dynoxide::{AttributeValue, Item};

fn text<'a>(row: &'a Item, name: &str) -> Option<&'a str> {
    match row.get(name)? {
        AttributeValue::S(text) => Some(text),
        _ => None,
    }
}

fn number<T: std::str::FromStr>(row: &Item, name: &str) -> Option<T> {
    match row.get(name)? {
        AttributeValue::N(digits) => digits.parse().ok(),
        _ => None,
    }
}

fn moment(row: &Item, name: &str) -> Option<Timestamp> {
    Timestamp::from_millisecond(number(row, name)?).ok()
}

fn bytes(row: &Item, name: &str) -> Option<[u8; 32]> {
    match row.get(name)? {
        AttributeValue::B(bytes) => bytes.as_slice().try_into().ok(),
        _ => None,
    }
}

fn id<T: std::str::FromStr>(row: &Item, name: &str) -> Option<T> {
    text(row, name)?.parse().ok()
}

fn by(row: &Item, id_name: &str, name: &str) -> Option<ByDevice> {
    Some(ByDevice {
        id: id(row, id_name)?,
        name: text(row, name)?.to_owned(),
    })
}

pub(super) fn read_account(row: &Item) -> Option<Account> {
    Some(Account {
        id: id(row, "account_id")?,
        email: text(row, "email")?.to_owned(),
        password_hash: StoredHash::parse(text(row, "password_hash")?).ok()?,
        epoch: Epoch(number(row, "epoch")?),
        kept_session: id(row, "kept_session"),
        disabled_at: moment(row, "disabled_at"),
        created_at: moment(row, "created_at")?,
        confirmed_at: moment(row, "confirmed_at"),
        recovered_at: moment(row, "recovered_at"),
        recovered_epoch: number(row, "recovered_epoch").map(Epoch),
        factors: factors(row)?,
        factors_lost_at: moment(row, "factors_lost_at"),
        hold: hold(row),
        address_change: address_change(row),
        sign_in_codes: row.contains_key("sign_in_codes"),
    })
}

fn factors(row: &Item) -> Option<Vec<AccountFactor>> {
    let Some(AttributeValue::L(factors)) = row.get("factors") else {
        return Some(Vec::new());
    };
    let read = |factor: &AttributeValue| {
        let AttributeValue::M(factor) = factor else {
            return None;
        };
        Some(AccountFactor {
            id: id(factor, "factor_id")?,
            added_at: moment(factor, "added_at")?,
            epoch: Epoch(number(factor, "epoch")?),
            notified_at: moment(factor, "notified_at"),
        })
    };
    factors.iter().map(read).collect()
}

fn hold(row: &Item) -> Option<Hold> {
    Some(Hold {
        cause: HoldCause::parse(text(row, "held_by")?)?,
        began_at: moment(row, "held_since")?,
    })
}

fn address_change(row: &Item) -> Option<AddressChange> {
    Some(AddressChange {
        previous: text(row, "previous_email")?.to_owned(),
        at: moment(row, "address_changed_at")?,
        state: ChangeState::parse(text(row, "address_change")?)?,
    })
}

/// Reads the hashes of the recovery codes that are left.
pub(super) fn read_codes(row: &Item) -> Option<BTreeSet<String>> {
    match row.get("code_hashes")? {
        AttributeValue::SS(hashes) => Some(hashes.iter().cloned().collect()),
        _ => None,
    }
}

/// Reads an address, and until when it is kept for who had it.
pub(super) fn read_identity(row: &Item) -> Option<(String, Option<Timestamp>)> {
    Some((text(row, "email")?.to_owned(), moment(row, "kept_until")))
}

pub(super) fn read_device(row: &Item) -> Option<Device> {
    let state = match text(row, "state")? {
        "signed_in" => DeviceState::SignedIn,
        "signed_out" => DeviceState::SignedOut(EndInfo {
            at: moment(row, "signed_out_at")?,
            by: by(row, "signed_out_by", "signed_out_by_name"),
            reason: Reason::parse(text(row, "reason")?)?,
            scope: Scope::parse(text(row, "scope")?)?,
            sign_out: id(row, "sign_out_id")?,
        }),
        _ => return None,
    };
    Some(Device {
        account: id(row, "account_id")?,
        id: id(row, "device_id")?,
        info: DeviceInfo {
            device_type: DeviceType::parse(text(row, "device_type")?)?,
            name: text(row, "device_name")?.to_owned(),
            ..DeviceInfo::default()
        },
        owner_name: text(row, "owner_name").map(str::to_owned),
        reported_name: None,
        place: Place::default(),
        active_place: Place::default(),
        session: id(row, "session_id")?,
        token_hash: TokenHash::from_bytes(bytes(row, "token_hash")?),
        key_hash: DeviceKeyHash::from_bytes(bytes(row, "device_key_hash")?),
        epoch: Epoch(number(row, "epoch")?),
        // The rule of the index checks its key, and no other rule depends on this.
        last_epoch: Epoch(number(row, "epoch")?),
        first_signed_in_at: moment(row, "first_signed_in_at")?,
        signed_in_at: moment(row, "signed_in_at")?,
        recognized_until: moment(row, "recognized_until"),
        notice_session: id(row, "session_id")?,
        previous_token: previous_token(row),
        verified_at: moment(row, "verified_at"),
        last_active_at: moment(row, "last_active_at")?,
        expires_at: moment(row, "expires_at")?,
        state,
        seen_at: moment(row, "seen_at"),
        notified_at: moment(row, "notified_at"),
        ending_acts: EndingActs {
            hour: number(row, "acts_hour").unwrap_or_default(),
            count: number(row, "acts").unwrap_or_default(),
        },
        unproven_acts: UnprovenActs {
            day: number(row, "unproven_acts_day").unwrap_or_default(),
            count: number(row, "unproven_acts").unwrap_or_default(),
        },
    })
}

fn previous_token(row: &Item) -> Option<PreviousToken> {
    Some(PreviousToken {
        hash: TokenHash::from_bytes(bytes(row, "previous_token_hash")?),
        until: moment(row, "previous_token_until")?,
    })
}

fn read_ended(row: &Item) -> Option<EndedSession> {
    let AttributeValue::B(hashes) = row.get("token_hash")? else {
        return None;
    };
    let mut hashes = hashes
        .as_chunks::<32>()
        .0
        .iter()
        .copied()
        .map(TokenHash::from_bytes);
    Some(EndedSession {
        device: id(row, "device_id")?,
        session: id(row, "session_id")?,
        epoch: Epoch(number(row, "epoch")?),
        token_hash: hashes.next()?,
        previous_token_hash: hashes.next(),
        name: text(row, "device_name")?.to_owned(),
        device_type: DeviceType::parse(text(row, "device_type")?)?,
    })
}

pub(super) fn read_part(row: &Item) -> Option<(SignOutId, ReceiptEntry)> {
    let (sign_out, device) = text(row, "sign_out_id")?.split_once('#')?;
    let part = ReceiptEntry {
        session: read_ended(row)?,
        refused_at: moment(row, "refused_at")?,
        seen_at: moment(row, "seen_at"),
        notified_at: moment(row, "notified_at"),
        wiped_at: moment(row, "wiped_at"),
    };
    (device == part.session.device.to_string()).then_some((sign_out.parse().ok()?, part))
}

/// Reads a record: a copy of a header, by the epoch that it ended.
pub(super) fn read_record(row: &Item) -> Option<(Epoch, SignOut)> {
    let ended = text(row, "sign_out_id")?.strip_prefix("epoch#")?;
    let AttributeValue::M(header) = row.get("record")? else {
        return None;
    };
    let is_kept_as_long = row.get("delete_at") == header.get("delete_at");
    is_kept_as_long.then_some((Epoch(ended.parse().ok()?), read_header(header)?))
}

/// Returns the sort key of a row in the index of signed-in devices.
pub(super) fn signed_in_key(row: &Item) -> Option<&str> {
    text(row, "signed_in_key")
}

pub(super) fn read_header(row: &Item) -> Option<SignOut> {
    let target = match number(row, "ended_epoch") {
        Some(ended) => SignOutTarget::Epoch {
            from: Epoch(number(row, "from_epoch").unwrap_or(ended)),
            ended: Epoch(ended),
            kept: id(row, "kept_session"),
        },
        None => SignOutTarget::One(read_ended(row)?),
    };
    Some(SignOut {
        account: id(row, "account_id")?,
        id: id(row, "sign_out_id")?,
        scope: Scope::parse(text(row, "scope")?)?,
        reason: Reason::parse(text(row, "reason")?)?,
        at: moment(row, "requested_at")?,
        by: by(row, "requested_by", "requested_by_name"),
        target,
    })
}
