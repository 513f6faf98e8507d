//! The messages that a change gives.

mod address;
mod sign_in;
mod sign_out;
#[cfg(test)]
mod tests;

use domain::{Scope, Timestamp};
use store::Change;

use crate::claims::{Event, SecurityEventToken, Subject};

pub use sign_out::session_ended;

/// A message of the topic: the claims, and the attributes that subscribers filter by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The claims, which are the body.
    pub token: SecurityEventToken,
    /// The scope of the sign-out that this message announces. None in every other
    /// message, also in those of the single sessions that a sign-out ended.
    pub scope: Option<Scope>,
}

impl Message {
    /// Returns the claims as JSON.
    ///
    /// # Panics
    /// Never: claims are strings and numbers in structs.
    #[must_use]
    pub fn body(&self) -> String {
        serde_json::to_string(&self.token).expect("claims are strings and numbers in structs")
    }

    /// Returns the attributes, each with its name.
    #[must_use]
    pub fn attributes(&self) -> Vec<(&'static str, String)> {
        let event_type = self.token.events.event_type().as_str();
        let mut attributes = vec![
            ("event_type", event_type.to_owned()),
            ("account_id", self.token.sub_id.user.id.to_string()),
        ];
        if let Some(scope) = self.scope {
            attributes.push(("scope", scope.as_str().to_owned()));
        }
        attributes
    }
}

/// The record of a stream that a change was read from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// The id that the stream gave it: the same when it is delivered again.
    pub event_id: Option<String>,
    /// The time of the write.
    pub at: Option<Timestamp>,
}

/// Returns the messages that a change gives, in the order in which to publish them.
///
/// | change | messages |
/// | --- | --- |
/// | a sign-out of one session | `session-revoked` of it |
/// | a sign-out of all sessions, a disabled account | `session-revoked` of the account |
/// | a sign-out of all other sessions | `other-sessions-revoked` |
/// | a changed password, a recovery, an undone change of the address | one of the last two, and `credential-change` |
/// | a changed address | `address-changed` |
/// | a sign-in | `session-established`, after `session-revoked` of the session that it replaced, if any |
#[must_use]
pub fn messages(change: &Change, record: &Record, issuer: &str) -> Vec<Message> {
    match change {
        Change::SignedOut(sign_out) => sign_out::messages(sign_out, record, issuer),
        Change::SignedIn { device, before } => {
            sign_in::messages(device, before.as_deref(), record, issuer)
        }
        Change::AddressChanged(change) => vec![address::message(change, record, issuer)],
        Change::Other => Vec::new(),
    }
}

/// The parts that the messages of one change have in common.
struct Source<'a> {
    issuer: &'a str,
    record: &'a Record,
    /// The id of the sign-out, of the session that began, or of the changed address.
    txn: String,
    /// The time of the change, for a record without one.
    at: Timestamp,
}

impl Source<'_> {
    fn message(&self, sub_id: Subject, events: Event, scope: Option<Scope>) -> Message {
        // A record gives at most one message of each type, so the two together are the
        // message's id: the same each time that the record is delivered. `txn` is
        // as stable, for a record without an id.
        let record = self.record.event_id.as_deref().unwrap_or(&self.txn);
        Message {
            token: SecurityEventToken {
                iss: self.issuer.to_owned(),
                jti: format!("{record}:{}", events.event_type().as_str()),
                iat: self.record.at.unwrap_or(self.at).as_second(),
                txn: self.txn.clone(),
                sub_id,
                events,
            },
            scope,
        }
    }
}
