//! The sessions that a message ends. Only the content of the message counts: not the
//! order of messages, not their time, and not the device.

use serde::Deserialize;

/// A session for which a service keeps something open, as introspection describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// `sub`.
    pub account_id: String,
    /// `session_id`.
    pub session_id: String,
    /// `epoch`: the account's epoch when the session started.
    pub epoch: u64,
}

/// The sessions that a message ends. A session never becomes valid again, so a
/// message may arrive twice, late, or after a later one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// One session.
    Session {
        /// The account.
        account_id: String,
        /// The session.
        session_id: String,
    },
    /// Every session of an account up to an epoch.
    Account {
        /// The account.
        account_id: String,
        /// The last epoch whose sessions have ended.
        ended_epoch: u64,
        /// A session that has not ended.
        kept_session: Option<String>,
    },
}

/// A message that does not match its schema.
#[derive(Debug, thiserror::Error)]
#[error("the message does not match its schema")]
pub struct Unreadable(#[from] serde_json::Error);

impl Revocation {
    /// Reads a message of the topic. Returns `None` if it ends no session.
    ///
    /// # Errors
    /// [`Unreadable`]: keep the message, and investigate.
    pub fn read(message: &str) -> Result<Option<Self>, Unreadable> {
        let claims: Claims = serde_json::from_str(message)?;
        let account_id = claims.sub_id.user.id;
        let events = claims.events;
        if let Some(event) = events.other_sessions_revoked {
            return Ok(Some(Self::Account {
                account_id,
                ended_epoch: event.ended_epoch,
                kept_session: Some(event.kept_session),
            }));
        }
        Ok(events.session_revoked.map(|event| match event {
            SessionRevoked::One { session_id } => Self::Session {
                account_id,
                session_id,
            },
            SessionRevoked::Every { ended_epoch } => Self::Account {
                account_id,
                ended_epoch,
                kept_session: None,
            },
        }))
    }

    /// Returns the account of the message.
    #[must_use]
    pub fn account_id(&self) -> &str {
        match self {
            Self::Session { account_id, .. } | Self::Account { account_id, .. } => account_id,
        }
    }

    /// Returns whether the message ends a session.
    #[must_use]
    pub fn ends(&self, session: &Session) -> bool {
        self.account_id() == session.account_id
            && match self {
                Self::Session { session_id, .. } => *session_id == session.session_id,
                Self::Account {
                    ended_epoch,
                    kept_session,
                    ..
                } => {
                    session.epoch <= *ended_epoch
                        && kept_session.as_ref() != Some(&session.session_id)
                }
            }
    }
}

#[derive(Deserialize)]
struct Claims {
    sub_id: Subject,
    events: Events,
}

#[derive(Deserialize)]
struct Subject {
    user: Id,
}

#[derive(Deserialize)]
struct Id {
    id: String,
}

#[derive(Deserialize)]
struct Events {
    #[serde(rename = "https://schemas.openid.net/secevent/caep/event-type/session-revoked")]
    session_revoked: Option<SessionRevoked>,
    #[serde(rename = "urn:curfew:secevent:other-sessions-revoked")]
    other_sessions_revoked: Option<OtherSessionsRevoked>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum SessionRevoked {
    One { session_id: String },
    Every { ended_epoch: u64 },
}

#[derive(Deserialize)]
struct OtherSessionsRevoked {
    ended_epoch: u64,
    kept_session: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const SESSION_REVOKED: &str =
        "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
    const OTHER_SESSIONS_REVOKED: &str = "urn:curfew:secevent:other-sessions-revoked";

    fn session(session_id: &str, epoch: u64) -> Session {
        Session {
            account_id: "ours".to_owned(),
            session_id: session_id.to_owned(),
            epoch,
        }
    }

    fn read(uri: &str, event: &Value) -> Option<Revocation> {
        let message = json!({
            "sub_id": { "format": "complex", "user": { "format": "opaque", "id": "ours" } },
            "events": { uri: event },
        });
        Revocation::read(&message.to_string()).unwrap()
    }

    #[test]
    fn the_end_of_one_session_ends_it_and_no_other() {
        let event = json!({ "session_id": "tv", "epoch": 3 });
        let ended = read(SESSION_REVOKED, &event).unwrap();

        assert!(ended.ends(&session("tv", 3)));
        // The same device, signed in again.
        assert!(!ended.ends(&session("tv again", 3)));
    }

    #[test]
    fn the_end_of_an_epoch_ends_the_sessions_up_to_it() {
        let ended = read(SESSION_REVOKED, &json!({ "ended_epoch": 3 })).unwrap();

        assert!(ended.ends(&session("tv", 3)));
        assert!(ended.ends(&session("phone", 1)));
        assert!(!ended.ends(&session("signed in since", 4)));
    }

    #[test]
    fn the_end_of_the_other_sessions_keeps_the_kept_one() {
        let event = json!({ "ended_epoch": 3, "kept_session": "laptop" });
        let ended = read(OTHER_SESSIONS_REVOKED, &event).unwrap();

        assert!(ended.ends(&session("tv", 3)));
        assert!(!ended.ends(&session("laptop", 3)));
        assert!(!ended.ends(&session("signed in since", 4)));
    }

    #[test]
    fn sessions_of_another_account_do_not_end() {
        let ended = read(SESSION_REVOKED, &json!({ "ended_epoch": 3 })).unwrap();
        let theirs = Session {
            account_id: "theirs".to_owned(),
            ..session("tv", 1)
        };

        assert!(!ended.ends(&theirs));
    }

    #[test]
    fn an_event_that_ends_no_session_is_ignored() {
        assert_eq!(read("https://example.com/another", &json!({})), None);
    }

    #[test]
    fn a_message_that_does_not_match_its_schema_is_an_error() {
        for message in ["", "{}", "[]", r#"{"sub_id":{},"events":{}}"#] {
            assert!(Revocation::read(message).is_err(), "{message}");
        }
    }
}
