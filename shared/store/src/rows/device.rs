//! Rows of Devices.

mod updates;

use std::borrow::Cow;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::account::Epoch;
use domain::device::{
    Device, DeviceInfo, DeviceState, DeviceType, EndingActs, Place, PreviousToken, UnprovenActs,
};
use domain::end_info::{ByDevice, EndInfo};
use domain::token::TokenHash;
use domain::{AccountId, DeviceId, DeviceKeyHash, Limits, Reason, Scope, SessionId};

use crate::attributes::{
    ACCOUNT_ID, ACTIVE_CITY, ACTIVE_COUNTRY, ACTIVE_IP, ACTS, ACTS_HOUR, APP, BROWSER, CITY,
    COUNTRY, DELETE_AT, DEVICE_ID, DEVICE_KEY_HASH, DEVICE_TYPE, EPOCH, EXPIRES_AT,
    FIRST_SIGNED_IN_AT, IP, Item, LAST_ACTIVE_AT, LAST_WRITE, MODEL, NAME, NOTICE_SESSION,
    NOTIFIED_AT, OS, OWNER_NAME, PREVIOUS_TOKEN_HASH, PREVIOUS_TOKEN_UNTIL, REASON,
    RECOGNIZED_UNTIL, REPORTED_NAME, Reader, SCOPE, SEEN_AT, SESSION_ID, SIGN_OUT_ID, SIGNED_IN_AT,
    SIGNED_IN_KEY, SIGNED_OUT_AT, SIGNED_OUT_BY, SIGNED_OUT_BY_NAME, STATE, STATE_SIGNED_IN,
    STATE_SIGNED_OUT, TOKEN_HASH, UNPROVEN_ACTS, UNPROVEN_ACTS_DAY, VERIFIED_AT, WRITE_SIGN_IN,
    bytes, number, string, timestamp, ttl,
};
use crate::error::StoreError;
use crate::writes::Condition;

pub use self::updates::CountedAct;
pub(crate) use self::updates::{
    count_act, end_previous_token, end_session, recognize, recognize_signed_in, touch, verify,
};

const TABLE: &str = "Devices";

pub(crate) fn key(account: AccountId, device: DeviceId) -> Item {
    Item::from([
        (ACCOUNT_ID.to_owned(), string(account)),
        (DEVICE_ID.to_owned(), string(device)),
    ])
}

/// The key of a row in the index of signed-in devices.
pub(crate) fn index_key(account: AccountId, last_epoch: Epoch, device: DeviceId) -> Item {
    let mut item = key(account, device);
    let value = string(signed_in_key(last_epoch, device));
    item.insert(SIGNED_IN_KEY.to_owned(), value);
    item
}

/// Returns the sort key of the index: first the epoch, with as many digits as the
/// largest one, then the device, so that those of one epoch are in the order of the
/// table.
pub(crate) fn signed_in_key(last_epoch: Epoch, device: DeviceId) -> String {
    format!("{}{device}", epoch_prefix(last_epoch))
}

/// Returns the start of the sort keys of one epoch.
pub(crate) fn epoch_prefix(last_epoch: Epoch) -> String {
    format!("{:020}#", last_epoch.0)
}

/// Requires that the device has no row.
pub(crate) fn is_absent() -> Condition {
    Condition {
        expression: Cow::Borrowed("attribute_not_exists(device_id)"),
        names: &[],
        values: vec![],
    }
}

/// Requires that the device has a row.
pub(crate) fn exists() -> Condition {
    Condition {
        expression: Cow::Borrowed("attribute_exists(device_id)"),
        names: &[],
        values: vec![],
    }
}

/// Also requires that the owner's name for the device is still the one that was read.
pub(crate) fn and_has_owner_name(mut condition: Condition, name: Option<&str>) -> Condition {
    let is_same = match name {
        None => " AND attribute_not_exists(owner_name)",
        Some(_) => " AND owner_name = :owner_name",
    };
    condition.expression.to_mut().push_str(is_same);
    let value = name.map(|name| (":owner_name", string(name)));
    condition.values.extend(value);
    condition
}

/// Also requires that the row has this count of sign-outs without a verification.
pub(crate) fn and_has_unproven(mut condition: Condition, unproven: UnprovenActs) -> Condition {
    let is_same = if unproven.count == 0 {
        " AND attribute_not_exists(unproven_acts)"
    } else {
        let values = [(":acts", unproven.count.into()), (":day", unproven.day)];
        let values = values.map(|(name, value)| (name, number(value)));
        condition.values.extend(values);
        " AND unproven_acts = :acts AND unproven_acts_day = :day"
    };
    condition.expression.to_mut().push_str(is_same);
    condition
}

/// Requires that the row holds this session, ended or not.
pub(crate) fn has_session(session: SessionId) -> Condition {
    Condition {
        expression: Cow::Borrowed("session_id = :session"),
        names: &[],
        values: vec![(":session", string(session))],
    }
}

/// Requires that the row holds this session and that no write has ended it. The
/// account's epoch may have ended it all the same.
pub(crate) fn is_signed_in(session: SessionId) -> Condition {
    Condition {
        expression: Cow::Borrowed("session_id = :session AND #state = :signed_in"),
        names: &[("#state", STATE)],
        values: vec![
            (":session", string(session)),
            (":signed_in", string(STATE_SIGNED_IN)),
        ],
    }
}

/// Returns the item of a new session, which has no contact after its end yet.
pub(crate) fn to_item(device: &Device, limits: &Limits) -> Item {
    let mut item = key(device.account, device.id);
    item.extend(info_to_attributes(device));
    item.extend(state_to_attributes(device));
    let mut set = |attribute: &str, value| item.insert(attribute.to_owned(), value);
    set(SESSION_ID, string(device.session));
    set(TOKEN_HASH, bytes(device.token_hash.as_bytes()));
    set(DEVICE_KEY_HASH, bytes(device.key_hash.as_bytes()));
    set(EPOCH, number(device.epoch.0));
    set(FIRST_SIGNED_IN_AT, timestamp(device.first_signed_in_at));
    set(SIGNED_IN_AT, timestamp(device.signed_in_at));
    set(LAST_ACTIVE_AT, timestamp(device.last_active_at));
    set(EXPIRES_AT, timestamp(device.expires_at));
    set(DELETE_AT, ttl(limits.device_kept_until(device.expires_at)));
    set(LAST_WRITE, string(WRITE_SIGN_IN));
    if device.notice_session != device.session {
        set(NOTICE_SESSION, string(device.notice_session));
    }
    if let Some(at) = device.verified_at {
        set(VERIFIED_AT, timestamp(at));
    }
    if let Some(until) = device.recognized_until {
        set(RECOGNIZED_UNTIL, timestamp(until));
    }
    let unproven = device.unproven_acts;
    if unproven.count > 0 {
        set(UNPROVEN_ACTS, number(unproven.count));
        set(UNPROVEN_ACTS_DAY, number(unproven.day));
    }
    item
}

fn info_to_attributes(device: &Device) -> Vec<(String, AttributeValue)> {
    let (info, place) = (&device.info, &device.place);
    let optional = [
        (OWNER_NAME, &device.owner_name),
        (REPORTED_NAME, &device.reported_name),
        (OS, &info.os),
        (BROWSER, &info.browser),
        (APP, &info.app),
        (MODEL, &info.model),
        (IP, &place.ip),
        (CITY, &place.city),
        (COUNTRY, &place.country),
    ];
    let optional = optional
        .into_iter()
        .chain(active_place_attributes(&device.active_place))
        .filter_map(|(attribute, value)| Some((attribute, string(value.as_ref()?))));
    let required = [
        (DEVICE_TYPE, string(info.device_type.as_str())),
        (NAME, string(&info.name)),
    ];
    required
        .into_iter()
        .chain(optional)
        .map(|(attribute, value)| (attribute.to_owned(), value))
        .collect()
}

/// Returns the attributes of the place of the last activity, each with its value, if known.
fn active_place_attributes(place: &Place) -> [(&'static str, &Option<String>); 3] {
    [
        (ACTIVE_IP, &place.ip),
        (ACTIVE_CITY, &place.city),
        (ACTIVE_COUNTRY, &place.country),
    ]
}

fn state_to_attributes(device: &Device) -> Vec<(String, AttributeValue)> {
    let mut attributes = Vec::new();
    let mut set = |attribute: &str, value| attributes.push((attribute.to_owned(), value));
    match &device.state {
        DeviceState::SignedIn => {
            set(STATE, string(STATE_SIGNED_IN));
            let key = signed_in_key(device.last_epoch, device.id);
            set(SIGNED_IN_KEY, string(key));
        }
        DeviceState::SignedOut(ended) => {
            set(STATE, string(STATE_SIGNED_OUT));
            set(SIGNED_OUT_AT, timestamp(ended.at));
            set(REASON, string(ended.reason.as_str()));
            set(SCOPE, string(ended.scope.as_str()));
            set(SIGN_OUT_ID, string(ended.sign_out));
            if let Some(by) = &ended.by {
                set(SIGNED_OUT_BY, string(by.id));
                set(SIGNED_OUT_BY_NAME, string(&by.name));
            }
        }
    }
    attributes
}

pub(crate) fn from_item(item: &Item) -> Result<Device, StoreError> {
    let row = Reader::new(TABLE, item);
    let (state, epoch) = (state_from(&row)?, Epoch(row.number(EPOCH)?));
    let session = row.id(SESSION_ID)?;
    let last_epoch = match state {
        DeviceState::SignedIn => row.parsed(SIGNED_IN_KEY, last_epoch_from)?,
        DeviceState::SignedOut(_) => epoch,
    };
    Ok(Device {
        account: row.id(ACCOUNT_ID)?,
        id: row.id(DEVICE_ID)?,
        info: info_from(&row)?,
        owner_name: row.string_opt(OWNER_NAME)?,
        reported_name: row.string_opt(REPORTED_NAME)?,
        place: place_from(&row, [IP, CITY, COUNTRY])?,
        active_place: place_from(&row, [ACTIVE_IP, ACTIVE_CITY, ACTIVE_COUNTRY])?,
        session,
        notice_session: row.id_opt(NOTICE_SESSION)?.unwrap_or(session),
        token_hash: TokenHash::from_bytes(row.bytes(TOKEN_HASH)?),
        key_hash: DeviceKeyHash::from_bytes(row.bytes(DEVICE_KEY_HASH)?),
        epoch,
        last_epoch,
        first_signed_in_at: row.timestamp(FIRST_SIGNED_IN_AT)?,
        signed_in_at: row.timestamp(SIGNED_IN_AT)?,
        recognized_until: row.timestamp_opt(RECOGNIZED_UNTIL)?,
        previous_token: previous_token_from(&row)?,
        verified_at: row.timestamp_opt(VERIFIED_AT)?,
        last_active_at: row.timestamp(LAST_ACTIVE_AT)?,
        expires_at: row.timestamp(EXPIRES_AT)?,
        state,
        seen_at: row.timestamp_opt(SEEN_AT)?,
        notified_at: row.timestamp_opt(NOTIFIED_AT)?,
        ending_acts: ending_acts_from(&row)?,
        unproven_acts: unproven_acts_from(&row)?,
    })
}

fn ending_acts_from(row: &Reader<'_>) -> Result<EndingActs, StoreError> {
    Ok(EndingActs {
        hour: row.number_opt(ACTS_HOUR)?.unwrap_or_default(),
        count: row.number_opt(ACTS)?.unwrap_or_default(),
    })
}

fn unproven_acts_from(row: &Reader<'_>) -> Result<UnprovenActs, StoreError> {
    Ok(UnprovenActs {
        day: row.number_opt(UNPROVEN_ACTS_DAY)?.unwrap_or_default(),
        count: row.number_opt(UNPROVEN_ACTS)?.unwrap_or_default(),
    })
}

fn previous_token_from(row: &Reader<'_>) -> Result<Option<PreviousToken>, StoreError> {
    let Some(hash) = row.bytes_opt(PREVIOUS_TOKEN_HASH)? else {
        return Ok(None);
    };
    Ok(Some(PreviousToken {
        hash: TokenHash::from_bytes(hash),
        until: row.timestamp(PREVIOUS_TOKEN_UNTIL)?,
    }))
}

fn place_from(
    row: &Reader<'_>,
    [ip, city, country]: [&'static str; 3],
) -> Result<Place, StoreError> {
    Ok(Place {
        ip: row.string_opt(ip)?,
        city: row.string_opt(city)?,
        country: row.string_opt(country)?,
    })
}

fn info_from(row: &Reader<'_>) -> Result<DeviceInfo, StoreError> {
    Ok(DeviceInfo {
        device_type: row.parsed(DEVICE_TYPE, DeviceType::parse)?,
        name: row.string(NAME)?,
        os: row.string_opt(OS)?,
        browser: row.string_opt(BROWSER)?,
        app: row.string_opt(APP)?,
        model: row.string_opt(MODEL)?,
    })
}

fn state_from(row: &Reader<'_>) -> Result<DeviceState, StoreError> {
    match row.str(STATE)? {
        STATE_SIGNED_IN => Ok(DeviceState::SignedIn),
        STATE_SIGNED_OUT => Ok(DeviceState::SignedOut(EndInfo {
            at: row.timestamp(SIGNED_OUT_AT)?,
            by: match row.id_opt(SIGNED_OUT_BY)? {
                Some(id) => Some(ByDevice {
                    id,
                    name: row.string(SIGNED_OUT_BY_NAME)?,
                }),
                None => None,
            },
            reason: row.parsed(REASON, Reason::parse)?,
            scope: row.parsed(SCOPE, Scope::parse)?,
            sign_out: row.id(SIGN_OUT_ID)?,
        })),
        _ => Err(row.corrupt(STATE)),
    }
}

fn last_epoch_from(signed_in_key: &str) -> Option<Epoch> {
    let (epoch, _) = signed_in_key.split_once('#')?;
    epoch.parse().ok().map(Epoch)
}

/// Reads the last epoch of a key in the index.
pub(crate) fn last_epoch_of_key(key: &Item) -> Result<Epoch, StoreError> {
    Reader::new(TABLE, key).parsed(SIGNED_IN_KEY, last_epoch_from)
}

/// Reads the device of a key, in the table or in its index.
pub(crate) fn id_of_key(key: &Item) -> Result<DeviceId, StoreError> {
    Reader::new(TABLE, key).id(DEVICE_ID)
}
