//! Rows of Challenges.

use std::borrow::Cow;

use domain::EmailAddress;
use domain::account::Epoch;
use domain::challenge::{Challenge, ChallengeId, CodeDigest, LinkHash, Purpose, TRIES};

use crate::attributes::{
    ASKED_AT, CHALLENGE_ID, CODE_DIGEST, DELETE_AT, EMAIL, EPOCH, Item, LINK_HASH, PURPOSE, Reader,
    SESSION_ID, TRIES_MADE, bytes, number, string, timestamp, ttl,
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
    set(CODE_DIGEST, bytes(challenge.code.as_bytes()));
    if let Some(link) = &challenge.link {
        set(LINK_HASH, bytes(link.as_bytes()));
    }
    set(ASKED_AT, timestamp(challenge.asked_at));
    set(TRIES_MADE, number(0));
    if let Some(session) = challenge.session {
        set(SESSION_ID, string(session));
    }
    if let Some(epoch) = challenge.epoch {
        set(EPOCH, number(epoch.0));
    }
    set(DELETE_AT, ttl(challenge.expires_at()));
    item
}

pub(crate) fn from_item(item: &Item) -> Result<Challenge, StoreError> {
    let row = Reader::new(TABLE, item);
    Ok(Challenge {
        id: row.id(CHALLENGE_ID)?,
        purpose: row.parsed(PURPOSE, Purpose::parse)?,
        email: row.parsed(EMAIL, |email| EmailAddress::parse(email).ok())?,
        code: CodeDigest::from_bytes(row.bytes(CODE_DIGEST)?),
        link: row.bytes_opt(LINK_HASH)?.map(LinkHash::from_bytes),
        asked_at: row.timestamp(ASKED_AT)?,
        session: row.id_opt(SESSION_ID)?,
        epoch: row.number_opt(EPOCH)?.map(Epoch),
    })
}
