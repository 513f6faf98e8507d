//! Which change gives which messages.

use domain::{AccountId, Device, DeviceState, Ending, Scope, SignOut, Timestamp};
use store::Change;

use crate::claims::{
    ChangeType, Circumstances, CredentialChange, CredentialType, Event, Id, InitiatingEntity,
    OtherSessionsRevoked, Reason, Revoked, SecurityEventToken, SessionEstablished, SessionRevoked,
    Subject,
};

/// What is published: the claims, and the attributes that subscribers filter by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The claims.
    pub token: SecurityEventToken,
    /// The scope of the sign-out that this message announces; none for every
    /// other message, those of the single sessions that it ended included.
    pub scope: Option<Scope>,
}

impl Message {
    /// The claims as JSON.
    ///
    /// # Panics
    /// Never: the claims are texts and numbers under names.
    #[must_use]
    pub fn body(&self) -> String {
        serde_json::to_string(&self.token).expect("claims are texts and numbers under names")
    }

    /// The attributes by name.
    #[must_use]
    pub fn attributes(&self) -> Vec<(&'static str, String)> {
        let mut attributes = vec![
            (
                "event_type",
                self.token.events.event_type().as_str().to_owned(),
            ),
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
    /// The stream's own id of it, which stays the same when it is delivered
    /// again.
    pub event_id: Option<String>,
    /// When it was written.
    pub at: Option<Timestamp>,
}

/// The messages that a change gives, in the order in which they are published.
///
/// | change | messages |
/// | --- | --- |
/// | a sign-out of one session | `session-revoked` of it |
/// | one of every session, a disabled account | `session-revoked` of the account |
/// | one of every other session | `other-sessions-revoked` |
/// | a changed password | one of the last two, and `credential-change` |
/// | a sign-in | `session-established`, after `session-revoked` of the session that it replaced, if any |
#[must_use]
pub fn messages(change: &Change, record: &Record, issuer: &str) -> Vec<Message> {
    match change {
        Change::SignedOut(sign_out) => signed_out(sign_out, record, issuer),
        Change::SignedIn { device, before } => signed_in(device, before.as_deref(), record, issuer),
        Change::Other => Vec::new(),
    }
}

/// The message that one session was ended by a sign-out of every other one. The
/// sign-out and the session are its id, so it is the same each time.
#[must_use]
pub fn session_ended(sign_out: &SignOut, device: &Device, issuer: &str) -> Message {
    let revoked = Revoked::Session {
        session_id: device.session,
    };
    Message {
        token: SecurityEventToken {
            iss: issuer.to_owned(),
            jti: format!("{}:{}", sign_out.id, device.session),
            iat: sign_out.at.as_second(),
            txn: sign_out.id.to_string(),
            sub_id: one_session(device),
            events: Event::SessionRevoked(session_revoked(sign_out, revoked)),
        },
        scope: None,
    }
}

fn signed_out(sign_out: &SignOut, record: &Record, issuer: &str) -> Vec<Message> {
    let source = Source {
        issuer,
        record,
        txn: sign_out.id.to_string(),
        at: sign_out.at,
    };
    let account = whole_account(sign_out.account);
    let scope = Some(sign_out.scope);
    match &sign_out.ending {
        Ending::One {
            device, session, ..
        } => {
            let subject = Subject {
                user: sign_out.account.into(),
                device: Some(Id::from(*device)),
                session: Some(Id::from(*session)),
            };
            let revoked = Revoked::Session {
                session_id: *session,
            };
            let event = Event::SessionRevoked(session_revoked(sign_out, revoked));
            vec![source.message(subject, event, scope)]
        }
        Ending::Epoch { ended, kept } => {
            let end = if let Some(kept) = kept {
                Event::OtherSessionsRevoked(OtherSessionsRevoked {
                    circumstances: circumstances(sign_out),
                    reason: sign_out.reason.into(),
                    scope,
                    requested_by: sign_out.by.as_ref().map(|by| by.id),
                    ended_epoch: ended.0,
                    kept_session: *kept,
                })
            } else {
                let revoked = Revoked::Account {
                    ended_epoch: ended.0,
                };
                Event::SessionRevoked(session_revoked(sign_out, revoked))
            };
            let mut messages = vec![source.message(account.clone(), end, scope)];
            if sign_out.reason == domain::Reason::PasswordChanged {
                let event = Event::CredentialChange(CredentialChange {
                    circumstances: circumstances(sign_out),
                    credential_type: CredentialType::Password,
                    change_type: ChangeType::Update,
                    requested_by: sign_out.by.as_ref().map(|by| by.id),
                    ended_epoch: ended.0,
                    kept_session: *kept,
                });
                messages.push(source.message(account, event, None));
            }
            messages
        }
    }
}

fn signed_in(
    device: &Device,
    before: Option<&Device>,
    record: &Record,
    issuer: &str,
) -> Vec<Message> {
    if before.is_some_and(|before| before.session == device.session) {
        return Vec::new(); // Something else about the row was written.
    }
    let source = Source {
        issuer,
        record,
        txn: device.session.to_string(),
        at: device.signed_in_at,
    };
    let circumstances = |reason_admin: &'static str, reason_user: &'static str| Circumstances {
        event_timestamp: device.signed_in_at.as_second(),
        initiating_entity: InitiatingEntity::User,
        reason_admin: reason_admin.into(),
        reason_user: reason_user.into(),
    };
    let mut messages = Vec::new();
    if let Some(before) = before
        && before.state == DeviceState::SignedIn
    {
        let event = Event::SessionRevoked(SessionRevoked {
            circumstances: circumstances(
                "A new sign-in on the same device replaced the session.",
                "You signed in again on this device.",
            ),
            reason: Reason::Replaced,
            scope: None,
            requested_by: Some(device.id),
            revoked: Revoked::Session {
                session_id: before.session,
            },
        });
        messages.push(source.message(one_session(before), event, None));
    }
    let event = Event::SessionEstablished(SessionEstablished {
        circumstances: circumstances("A device signed in.", "A device signed in to your account."),
        session_id: device.session,
        epoch: device.epoch.0,
    });
    messages.push(source.message(one_session(device), event, None));
    messages
}

/// Where messages come from: what they have in common.
struct Source<'a> {
    issuer: &'a str,
    record: &'a Record,
    txn: String,
    at: Timestamp,
}

impl Source<'_> {
    /// One record gives at most one message of a type, so the record and the type
    /// are the message's id. What the record is about stands in for a record
    /// without an id: it, too, is the same each time.
    fn message(&self, sub_id: Subject, events: Event, scope: Option<Scope>) -> Message {
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

fn whole_account(account: AccountId) -> Subject {
    Subject {
        user: account.into(),
        device: None,
        session: None,
    }
}

fn one_session(device: &Device) -> Subject {
    Subject {
        user: device.account.into(),
        device: Some(device.id.into()),
        session: Some(device.session.into()),
    }
}

fn session_revoked(sign_out: &SignOut, revoked: Revoked) -> SessionRevoked {
    SessionRevoked {
        circumstances: circumstances(sign_out),
        reason: sign_out.reason.into(),
        scope: Some(sign_out.scope),
        requested_by: sign_out.by.as_ref().map(|by| by.id),
        revoked,
    }
}

fn circumstances(sign_out: &SignOut) -> Circumstances {
    let (reason_admin, reason_user) = match (sign_out.reason, sign_out.scope) {
        (domain::Reason::SignedOut, Scope::Local) => (
            "A device signed itself out.",
            "You signed out on this device.",
        ),
        (domain::Reason::SignedOut, Scope::Device) => (
            "One device was signed out.",
            "This device was signed out of your account.",
        ),
        (domain::Reason::SignedOut, Scope::Others) => (
            "Every device but one was signed out.",
            "All other devices were signed out of your account.",
        ),
        (domain::Reason::SignedOut, Scope::Global) => (
            "Every device was signed out.",
            "All devices were signed out of your account.",
        ),
        (domain::Reason::PasswordChanged, _) => {
            ("The password was changed.", "Your password was changed.")
        }
        (domain::Reason::AccountDisabled, _) => {
            ("The account was disabled.", "Your account was disabled.")
        }
    };
    Circumstances {
        event_timestamp: sign_out.at.as_second(),
        initiating_entity: match sign_out.by {
            Some(_) => InitiatingEntity::User,
            None => InitiatingEntity::Admin,
        },
        reason_admin: reason_admin.into(),
        reason_user: reason_user.into(),
    }
}
