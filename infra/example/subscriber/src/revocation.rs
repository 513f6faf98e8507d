//! What a message ends. Judged by what stands in the message alone: never by the
//! order of messages, never by their time, never by the device.

use serde::Deserialize;

/// What a service remembers of a session that it keeps something open for, as
/// introspection tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// `sub`.
    pub account_id: String,
    /// `session_id`.
    pub session_id: String,
    /// `epoch`: the account's, when the session was born.
    pub epoch: u64,
}

/// What a message says has ended. The end of a session is for ever, so a message
/// may come twice, late, and after a later one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// One session.
    Session {
        /// Its account.
        account_id: String,
        /// The session.
        session_id: String,
    },
    /// Every session of an account up to an epoch.
    Account {
        /// The account.
        account_id: String,
        /// Sessions born in this epoch or before are over.
        ended_epoch: u64,
        /// But for this one.
        kept_session: Option<String>,
    },
}

/// A message that is not what its schema says.
#[derive(Debug, thiserror::Error)]
#[error("the message is not what its schema says")]
pub struct Unreadable(#[from] serde_json::Error);

impl Revocation {
    /// Reads a message of the topic; none when it ends nothing.
    ///
    /// # Errors
    /// [`Unreadable`]: keep the message, and look at it.
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

    /// The account that it is about.
    #[must_use]
    pub fn account_id(&self) -> &str {
        match self {
            Self::Session { account_id, .. } | Self::Account { account_id, .. } => account_id,
        }
    }

    /// Whether it ends a session.
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
    fn the_end_of_an_epoch_ends_what_was_born_in_it_or_before() {
        let ended = read(SESSION_REVOKED, &json!({ "ended_epoch": 3 })).unwrap();

        assert!(ended.ends(&session("tv", 3)));
        assert!(ended.ends(&session("phone", 1)));
        assert!(!ended.ends(&session("signed in since", 4)));
    }

    #[test]
    fn the_end_of_the_others_keeps_the_kept_one() {
        let event = json!({ "ended_epoch": 3, "kept_session": "laptop" });
        let ended = read(OTHER_SESSIONS_REVOKED, &event).unwrap();

        assert!(ended.ends(&session("tv", 3)));
        assert!(!ended.ends(&session("laptop", 3)));
        assert!(!ended.ends(&session("signed in since", 4)));
    }

    #[test]
    fn nothing_of_another_account_ends() {
        let ended = read(SESSION_REVOKED, &json!({ "ended_epoch": 3 })).unwrap();
        let theirs = Session {
            account_id: "theirs".to_owned(),
            ..session("tv", 1)
        };

        assert!(!ended.ends(&theirs));
    }

    #[test]
    fn an_event_that_ends_nothing_is_passed_over() {
        assert_eq!(read("https://example.com/another", &json!({})), None);
    }

    #[test]
    fn a_message_that_is_not_what_its_schema_says_is_told() {
        for message in ["", "{}", "[]", r#"{"sub_id":{},"events":{}}"#] {
            assert!(Revocation::read(message).is_err(), "{message}");
        }
    }
}
