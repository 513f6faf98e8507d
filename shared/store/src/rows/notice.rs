//! Rows of Notices.

use std::borrow::Cow;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, Update};
use domain::notice::{
    FactorAct, NOTICE_LINK_LIFETIME, Notice, NoticeAnswer, NoticeDevice, NoticeEvent, NoticeHash,
};
use domain::{AccountId, DeviceType, NoticeId, Timestamp};
use jiff::SignedDuration;

use crate::attributes::{
    ACCOUNT_ID, ANSWER, ANSWERED_AT, AT, BROWSER, DELETE_AT, DEVICE_ID, DEVICE_TYPE, FACTOR_ID,
    IN_A_ROW, IN_A_ROW_FROM, IN_A_ROW_SINCE, Item, KIND, NOTICE_ID, OS, PLACE, QUEUED_AT,
    REFERENCE, RETURNED_AT, Reader, SECRET_HASHES, SESSION_ID, SIGN_OUT_ID, built, bytes, number,
    string, timestamp, ttl,
};
use crate::error::StoreError;
use crate::rows::counter;
use crate::writes::Condition;

const TABLE: &str = "Notices";

/// The time for which a notice is shown.
const KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);

pub(crate) fn key(account: AccountId, notice: NoticeId) -> Item {
    Item::from([
        (ACCOUNT_ID.to_owned(), string(account)),
        (NOTICE_ID.to_owned(), string(notice)),
    ])
}

/// Returns the update that writes a notice, adds the hash of one more token, and takes the
/// lease on queuing its mail: unless the mail was queued, or another attempt has the lease.
/// What an earlier attempt wrote stays.
pub(crate) fn record(
    table: &str,
    notice: &Notice,
    hash: &NoticeHash,
    (now, leased_until): (Timestamp, Timestamp),
) -> Update {
    // An attempt whose answer was lost is sent again, and has the hash in the row already.
    let condition = Condition {
        expression: Cow::Borrowed(
            "attribute_not_exists(queued_at) AND (attribute_not_exists(leased_until) \
             OR leased_until <= :now OR contains(secret_hashes, :hash))",
        ),
        names: &[],
        values: vec![
            (":now", timestamp(now)),
            (":until", timestamp(leased_until)),
            (":hash", bytes(hash.as_bytes())),
            (
                ":hashes",
                AttributeValue::Bs(vec![Blob::new(hash.as_bytes())]),
            ),
        ],
    };
    let mut update = condition.update(table, key(notice.account, notice.id));
    let mut set = Vec::new();
    for (number, (attribute, value)) in to_attributes(notice).into_iter().enumerate() {
        set.push(format!("#{number} = if_not_exists(#{number}, :{number})"));
        update = update
            .expression_attribute_names(format!("#{number}"), attribute)
            .expression_attribute_values(format!(":{number}"), value);
    }
    set.push("leased_until = :until".to_owned());
    let expression = format!("SET {} ADD secret_hashes :hashes", set.join(", "));
    built(update.update_expression(expression).build())
}

/// Returns the update that remembers that the mail of a notice was queued.
pub(crate) fn mark_queued(table: &str, notice: &Notice, now: Timestamp) -> Update {
    let condition = Condition {
        expression: Cow::Borrowed("attribute_exists(notice_id)"),
        names: &[],
        values: vec![],
    };
    let update = condition
        .update(table, key(notice.account, notice.id))
        .update_expression("SET queued_at = if_not_exists(queued_at, :now)")
        .expression_attribute_values(":now", timestamp(now));
    built(update.build())
}

/// Returns the update that remembers that the mail of a notice came back.
pub(crate) fn mark_returned(
    table: &str,
    account: AccountId,
    notice: NoticeId,
    now: Timestamp,
) -> Update {
    let condition = Condition {
        expression: Cow::Borrowed("attribute_exists(notice_id)"),
        names: &[],
        values: vec![],
    };
    let update = condition
        .update(table, key(account, notice))
        .update_expression("SET returned_at = if_not_exists(returned_at, :now)")
        .expression_attribute_values(":now", timestamp(now));
    built(update.build())
}

/// Returns the update that answers a notice, once.
pub(crate) fn answer(table: &str, notice: &Notice, answer: NoticeAnswer, now: Timestamp) -> Update {
    let condition = Condition {
        expression: Cow::Borrowed("attribute_not_exists(answer)"),
        names: &[],
        values: vec![],
    };
    let update = condition.update(table, key(notice.account, notice.id));
    built(set_answer(update, answer, now).build())
}

/// Returns the update that answers a notice together with a write whose condition makes sure that
/// this happens once.
pub(crate) fn answer_alongside(
    table: &str,
    notice: &Notice,
    answer: NoticeAnswer,
    now: Timestamp,
) -> Update {
    let update = Update::builder()
        .table_name(table)
        .set_key(Some(key(notice.account, notice.id)));
    built(set_answer(update, answer, now).build())
}

fn set_answer(update: UpdateBuilder, answer: NoticeAnswer, now: Timestamp) -> UpdateBuilder {
    update
        .update_expression("SET answer = :answer, answered_at = :now")
        .expression_attribute_values(":answer", string(answer.as_str()))
        .expression_attribute_values(":now", timestamp(now))
}

fn to_attributes(notice: &Notice) -> Vec<(&'static str, AttributeValue)> {
    let mut attributes = vec![
        (KIND, string(notice.event.kind())),
        (AT, timestamp(notice.at)),
        (REFERENCE, string(&notice.reference)),
        (DELETE_AT, ttl(notice.at + KEPT)),
    ];
    attributes.extend(event_to_attributes(&notice.event));
    if let Some(device) = &notice.device {
        attributes.push((DEVICE_TYPE, string(device.device_type.as_str())));
        let texts = [
            (OS, &device.os),
            (BROWSER, &device.browser),
            (PLACE, &device.place),
        ];
        let texts = texts.into_iter();
        attributes.extend(texts.filter_map(|(name, text)| Some((name, string(text.as_ref()?)))));
    }
    attributes
}

/// Returns what an event has beside its kind.
fn event_to_attributes(event: &NoticeEvent) -> Vec<(&'static str, AttributeValue)> {
    let mut attributes = Vec::new();
    match event {
        NoticeEvent::SignedIn { device, session } => {
            attributes.push((DEVICE_ID, string(device)));
            attributes.push((SESSION_ID, string(session)));
        }
        NoticeEvent::AddressChanged | NoticeEvent::AddressWarned => {}
        NoticeEvent::Factor { id, by, .. } => {
            attributes.push((FACTOR_ID, string(id)));
            if let Some((device, session)) = by {
                attributes.push((DEVICE_ID, string(device)));
                attributes.push((SESSION_ID, string(session)));
            }
        }
        NoticeEvent::SignedOut(id)
        | NoticeEvent::PasswordChanged(id)
        | NoticeEvent::Recovered(id)
        | NoticeEvent::AddressRestored(id)
        | NoticeEvent::WrongPassword(id) => attributes.push((SIGN_OUT_ID, string(id))),
        NoticeEvent::ManyFailures(failures) => {
            attributes.push((IN_A_ROW, number(failures.count)));
            attributes.push((IN_A_ROW_SINCE, timestamp(failures.since)));
            if !failures.places.is_empty() {
                let places = AttributeValue::Ss(failures.places.clone());
                attributes.push((IN_A_ROW_FROM, places));
            }
        }
    }
    attributes
}

/// A row, with what only the check of a token reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) notice: Notice,
    pub(crate) hashes: Vec<NoticeHash>,
}

pub(crate) fn from_item(item: &Item) -> Result<Row, StoreError> {
    let row = Reader::new(TABLE, item);
    let event = event_from(item)?;
    let answer = match row.timestamp_opt(ANSWERED_AT)? {
        Some(at) => Some((row.parsed(ANSWER, NoticeAnswer::parse)?, at)),
        None => None,
    };
    let device = match row.string_opt(DEVICE_TYPE)? {
        Some(_) => Some(NoticeDevice {
            device_type: row.parsed(DEVICE_TYPE, DeviceType::parse)?,
            os: row.string_opt(OS)?,
            browser: row.string_opt(BROWSER)?,
            place: row.string_opt(PLACE)?,
        }),
        None => None,
    };
    let notice = Notice {
        account: row.id(ACCOUNT_ID)?,
        id: row.id(NOTICE_ID)?,
        event,
        at: row.timestamp(AT)?,
        device,
        reference: row.string(REFERENCE)?,
        answer,
        returned_at: row.timestamp_opt(RETURNED_AT)?,
    };
    Ok(Row {
        notice,
        hashes: hashes(item).ok_or_else(|| row.corrupt(SECRET_HASHES))?,
    })
}

fn event_from(item: &Item) -> Result<NoticeEvent, StoreError> {
    let row = Reader::new(TABLE, item);
    Ok(match row.str(KIND)? {
        "signed_in" => NoticeEvent::SignedIn {
            device: row.id(DEVICE_ID)?,
            session: row.id(SESSION_ID)?,
        },
        "signed_out" => NoticeEvent::SignedOut(row.id(SIGN_OUT_ID)?),
        "password_changed" => NoticeEvent::PasswordChanged(row.id(SIGN_OUT_ID)?),
        "recovered" => NoticeEvent::Recovered(row.id(SIGN_OUT_ID)?),
        "address_changed" => NoticeEvent::AddressChanged,
        "address_restored" => NoticeEvent::AddressRestored(row.id(SIGN_OUT_ID)?),
        "address_warned" => NoticeEvent::AddressWarned,
        "wrong_password" => NoticeEvent::WrongPassword(row.id(SIGN_OUT_ID)?),
        "many_failures" => NoticeEvent::ManyFailures(counter::failures(item)?),
        kind => NoticeEvent::Factor {
            act: FactorAct::parse(kind).ok_or_else(|| row.corrupt(KIND))?,
            id: row.id(FACTOR_ID)?,
            by: row.id_opt(DEVICE_ID)?.zip(row.id_opt(SESSION_ID)?),
        },
    })
}

fn hashes(item: &Item) -> Option<Vec<NoticeHash>> {
    let Some(hashes) = item.get(SECRET_HASHES) else {
        return Some(Vec::new());
    };
    let hashes = hashes.as_bs().ok()?.iter();
    let hashes = hashes.map(|hash| <[u8; 32]>::try_from(hash.as_ref()).ok());
    hashes
        .map(|hash| hash.map(NoticeHash::from_bytes))
        .collect()
}

/// Returns whether the mail of a notice was queued.
pub(crate) fn is_queued(item: &Item) -> bool {
    item.contains_key(QUEUED_AT)
}

/// Returns whether the link of a notice can still be used.
pub(crate) fn is_link_open(notice: &Notice, now: Timestamp) -> bool {
    notice.answer.is_none() && now < notice.at + NOTICE_LINK_LIFETIME
}
