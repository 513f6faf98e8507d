//! Rows of Challenges.

use std::borrow::Cow;

use aws_sdk_dynamodb::types::Delete;
use domain::challenge::{
    Challenge, ChallengeId, CodeDigest, LinkHash, PendingSignIn, Purpose, TRIES,
};
use domain::{EmailAddress, Epoch};

use crate::attributes::{
    ACCOUNT_ID, ASKED_AT, CHALLENGE_ID, CODE_DIGEST, DELETE_AT, DEVICE_ID, EMAIL, EPOCH, Item,
    LINK_HASH, PURPOSE, Reader, SESSION_ID, TRIES_MADE, built, bytes, number, string, timestamp,
    ttl,
};
use crate::error::StoreError;
use crate::writes::Condition;

const TABLE: &str = "Challenges";

pub(crate) fn key(id: &ChallengeId) -> Item {
    Item::from([(CHALLENGE_ID.to_owned(), string(id))])
}

/// Requires that the challenge is not completed.
pub(crate) fn exists() -> Condition {
    Condition {
        expression: Cow::Borrowed("attribute_exists(challenge_id)"),
        names: &[],
        values: vec![],
    }
}

/// Requires that the challenge is still for this purpose.
pub(crate) fn is_for(purpose: Purpose) -> Condition {
    Condition {
        expression: Cow::Borrowed("purpose = :open"),
        names: &[],
        values: vec![(":open", string(purpose.as_str()))],
    }
}

/// Requires that the challenge is not completed, is for this purpose, and has tries left.
pub(crate) fn has_tries(purpose: Purpose) -> Condition {
    Condition {
        expression: Cow::Borrowed("purpose = :purpose AND tries_made < :most"),
        names: &[],
        values: vec![
            (":purpose", string(purpose.as_str())),
            (":most", number(TRIES)),
        ],
    }
}

pub(crate) fn to_item(challenge: &Challenge) -> Item {
    let mut item = key(&challenge.id);
    let mut set = |attribute: &str, value| item.insert(attribute.to_owned(), value);
    set(PURPOSE, string(challenge.purpose.as_str()));
    set(EMAIL, string(challenge.email.as_normal()));
    if let Some(code) = &challenge.code {
        set(CODE_DIGEST, bytes(code.as_bytes()));
    }
    if let Some(link) = &challenge.link {
        set(LINK_HASH, bytes(link.as_bytes()));
    }
    set(ASKED_AT, timestamp(challenge.asked_at));
    set(TRIES_MADE, number(0));
    if let Some(session) = challenge.session {
        set(SESSION_ID, string(session));
    }
    if let Some(sign_in) = &challenge.sign_in {
        set(ACCOUNT_ID, string(sign_in.account));
        set(DEVICE_ID, string(sign_in.device));
    }
    if let Some(epoch) = challenge.epoch.or(challenge.sign_in.map(|it| it.epoch)) {
        set(EPOCH, number(epoch.0));
    }
    set(DELETE_AT, ttl(challenge.kept_until()));
    item
}

pub(crate) fn delete(table: &str, id: &ChallengeId) -> Delete {
    let delete = Delete::builder().table_name(table).set_key(Some(key(id)));
    built(delete.build())
}

pub(crate) fn from_item(item: &Item) -> Result<Challenge, StoreError> {
    let row = Reader::new(TABLE, item);
    let sign_in = pending_sign_in(&row)?;
    let epoch = row.number_opt(EPOCH)?.map(Epoch);
    Ok(Challenge {
        id: row.id(CHALLENGE_ID)?,
        purpose: row.parsed(PURPOSE, Purpose::parse)?,
        email: row.parsed(EMAIL, |email| EmailAddress::parse(email).ok())?,
        code: row.bytes_opt(CODE_DIGEST)?.map(CodeDigest::from_bytes),
        link: row.bytes_opt(LINK_HASH)?.map(LinkHash::from_bytes),
        asked_at: row.timestamp(ASKED_AT)?,
        session: row.id_opt(SESSION_ID)?,
        epoch: epoch.filter(|_| sign_in.is_none()),
        sign_in,
    })
}

fn pending_sign_in(row: &Reader<'_>) -> Result<Option<PendingSignIn>, StoreError> {
    let Some(account) = row.id_opt(ACCOUNT_ID)? else {
        return Ok(None);
    };
    Ok(Some(PendingSignIn {
        account,
        epoch: Epoch(row.number(EPOCH)?),
        device: row.id(DEVICE_ID)?,
    }))
}
