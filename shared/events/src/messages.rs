//! Which change gives which messages.

use domain::{AccountId, Device, DeviceState, Scope, SignOut, SignOutTarget, Timestamp};
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
        epoch: device.epoch.0,
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
    match &sign_out.target {
        SignOutTarget::One(one) => {
            let subject = Subject {
                user: sign_out.account.into(),
                device: Some(Id::from(one.device)),
                session: Some(Id::from(one.session)),
            };
            let revoked = Revoked::Session {
                session_id: one.session,
                epoch: one.epoch.0,
            };
            let event = Event::SessionRevoked(session_revoked(sign_out, revoked));
            vec![source.message(subject, event, scope)]
        }
        SignOutTarget::Epoch { ended, kept } => {
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
                epoch: before.epoch.0,
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

#[cfg(test)]
mod tests {
    use domain::{
        ByDevice, DeviceId, DeviceInfo, DeviceKeyHash, EndInfo, EndedSession, Epoch, Place,
        SignOutId, TokenHash,
    };
    use serde_json::{Value, json};

    use super::*;

    const ISSUER: &str = "https://curfew.example";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn account() -> AccountId {
        AccountId::from_random([1; 16])
    }

    fn session(n: u8) -> domain::SessionId {
        domain::SessionId::from_random([n; 16])
    }

    fn television(n: u8) -> Device {
        Device {
            account: account(),
            id: DeviceId::new(at(1_000), [3; 10]),
            info: DeviceInfo {
                name: "Anna's television".to_owned(),
                ..DeviceInfo::default()
            },
            own_name: None,
            place: Place {
                ip: Some("203.0.113.9".to_owned()),
                ..Place::default()
            },
            session: session(n),
            token_hash: TokenHash::from_bytes([9; 32]),
            key_hash: DeviceKeyHash::from_bytes([9; 32]),
            previous_key_hash: None,
            epoch: Epoch(4),
            first_signed_in_at: at(1_000),
            signed_in_at: at(2_000),
            verified_at: at(2_000),
            last_active_at: at(2_000),
            expires_at: at(9_000),
            state: DeviceState::SignedIn,
            contacted_at: None,
        }
    }

    fn sign_out(scope: Scope, reason: domain::Reason, target: SignOutTarget) -> SignOut {
        SignOut {
            account: account(),
            id: SignOutId::new(at(3_000), [4; 10]),
            scope,
            reason,
            at: at(3_000),
            by: Some(ByDevice {
                id: DeviceId::new(at(1_500), [5; 10]),
                name: "Anna's laptop".to_owned(),
            }),
            target,
        }
    }

    fn record() -> Record {
        Record {
            event_id: Some("7de3041dd709b024af6f29e4fa13d34c".to_owned()),
            at: Some(at(3_001)),
        }
    }

    /// The events of the messages, by their types.
    fn events(messages: &[Message]) -> Vec<(&'static str, Value)> {
        messages
            .iter()
            .map(|message| {
                let event_type = message.token.events.event_type().as_str();
                let body: Value = serde_json::from_str(&message.body()).unwrap();
                let mut events = body["events"].as_object().unwrap().values();
                (event_type, events.next().unwrap().clone())
            })
            .collect()
    }

    #[test]
    fn a_sign_out_of_one_device_names_its_session() {
        let target = SignOutTarget::One(EndedSession {
            epoch: Epoch(3),
            ..EndedSession::from(&television(6))
        });
        let sign_out = sign_out(Scope::Device, domain::Reason::SignedOut, target);
        let by = sign_out.by.clone().unwrap().id;
        let txn = sign_out.id;

        let messages = messages(&Change::SignedOut(sign_out), &record(), ISSUER);

        let [message] = messages.as_slice() else {
            panic!("{messages:?}")
        };
        assert_eq!(
            serde_json::from_str::<Value>(&message.body()).unwrap(),
            json!({
                "iss": "https://curfew.example",
                "jti": "7de3041dd709b024af6f29e4fa13d34c:session-revoked",
                "iat": 3_001,
                "txn": txn,
                "sub_id": {
                    "format": "complex",
                    "user": { "format": "opaque", "id": account() },
                    "device": { "format": "opaque", "id": television(6).id },
                    "session": { "format": "opaque", "id": session(6) },
                },
                "events": {
                    "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {
                        "event_timestamp": 3_000,
                        "initiating_entity": "user",
                        "reason_admin": { "en": "One device was signed out." },
                        "reason_user": { "en": "This device was signed out of your account." },
                        "reason": "signed_out",
                        "scope": "device",
                        "requested_by": by,
                        "session_id": session(6),
                        "epoch": 3,
                    },
                },
            })
        );
        assert_eq!(
            message.attributes(),
            [
                ("event_type", "session-revoked".to_owned()),
                ("account_id", account().to_string()),
                ("scope", "device".to_owned()),
            ]
        );
    }

    #[test]
    fn the_end_of_every_session_names_the_account_alone() {
        let target = SignOutTarget::Epoch {
            ended: Epoch(4),
            kept: None,
        };
        let sign_out = sign_out(Scope::Global, domain::Reason::SignedOut, target);

        let messages = messages(&Change::SignedOut(sign_out), &record(), ISSUER);

        assert_eq!(messages[0].token.sub_id, whole_account(account()));
        let [(event_type, event)] = events(&messages).try_into().unwrap();
        assert_eq!(
            (event_type, &event["ended_epoch"]),
            ("session-revoked", &json!(4))
        );
    }

    #[test]
    fn the_end_of_every_other_session_names_the_one_that_lives_on() {
        let target = SignOutTarget::Epoch {
            ended: Epoch(4),
            kept: Some(session(7)),
        };
        let sign_out = sign_out(Scope::Others, domain::Reason::SignedOut, target);

        let messages = messages(&Change::SignedOut(sign_out), &record(), ISSUER);

        assert_eq!(messages[0].token.sub_id, whole_account(account()));
        let [(event_type, event)] = events(&messages).try_into().unwrap();
        assert_eq!(event_type, "other-sessions-revoked");
        assert_eq!(event["ended_epoch"], json!(4));
        assert_eq!(event["kept_session"], json!(session(7)));
    }

    #[test]
    fn a_changed_password_is_told_beside_what_it_ended() {
        for (kept, first) in [
            (None, "session-revoked"),
            (Some(session(7)), "other-sessions-revoked"),
        ] {
            let scope = if kept.is_some() {
                Scope::Others
            } else {
                Scope::Global
            };
            let target = SignOutTarget::Epoch {
                ended: Epoch(4),
                kept,
            };
            let sign_out = sign_out(scope, domain::Reason::PasswordChanged, target);

            let messages = messages(&Change::SignedOut(sign_out), &record(), ISSUER);

            let [(end, _), (change, event)] = events(&messages).try_into().unwrap();
            assert_eq!((end, change), (first, "credential-change"));
            assert_eq!(event["credential_type"], "password");
            assert_eq!(event["change_type"], "update");
            assert_eq!(event["kept_session"], json!(kept));
            assert_eq!(messages[0].scope, Some(scope));
            assert_eq!(messages[1].scope, None);
            assert_eq!(messages[0].token.txn, messages[1].token.txn);
            assert_ne!(messages[0].token.jti, messages[1].token.jti);
        }
    }

    #[test]
    fn disabling_is_an_operators_act() {
        let target = SignOutTarget::Epoch {
            ended: Epoch(4),
            kept: None,
        };
        let mut sign_out = sign_out(Scope::Global, domain::Reason::AccountDisabled, target);
        sign_out.by = None;

        let messages = messages(&Change::SignedOut(sign_out), &record(), ISSUER);

        let [(event_type, event)] = events(&messages).try_into().unwrap();
        assert_eq!(event_type, "session-revoked");
        assert_eq!(event["initiating_entity"], "admin");
        assert_eq!(event["reason"], "account_disabled");
        assert_eq!(event.get("requested_by"), None);
    }

    #[test]
    fn a_first_sign_in_begins_a_session() {
        let device = Box::new(television(8));

        let messages = messages(
            &Change::SignedIn {
                device,
                before: None,
            },
            &record(),
            ISSUER,
        );

        let [(event_type, event)] = events(&messages).try_into().unwrap();
        assert_eq!(event_type, "session-established");
        assert_eq!(event["session_id"], json!(session(8)));
        assert_eq!(event["epoch"], json!(4));
        assert_eq!(messages[0].token.txn, session(8).to_string());
    }

    #[test]
    fn a_session_that_a_sign_in_replaced_is_over() {
        let device = Box::new(television(8));
        let before = Some(Box::new(television(6)));

        let messages = messages(&Change::SignedIn { device, before }, &record(), ISSUER);

        let [(end, event), (begin, _)] = events(&messages).try_into().unwrap();
        assert_eq!((end, begin), ("session-revoked", "session-established"));
        assert_eq!(event["session_id"], json!(session(6)));
        assert_eq!(event["reason"], "replaced");
        assert_eq!(messages[0].token.sub_id.session, Some(session(6).into()));
        assert_eq!(messages[1].token.sub_id.session, Some(session(8).into()));
    }

    #[test]
    fn a_session_that_was_over_is_not_replaced() {
        let mut before = television(6);
        before.state = DeviceState::SignedOut(EndInfo {
            at: at(1_900),
            by: None,
            reason: domain::Reason::SignedOut,
            scope: Scope::Local,
            sign_out: SignOutId::new(at(1_900), [4; 10]),
        });
        let change = Change::SignedIn {
            device: Box::new(television(8)),
            before: Some(Box::new(before)),
        };

        let messages = messages(&change, &record(), ISSUER);

        let [(event_type, _)] = events(&messages).try_into().unwrap();
        assert_eq!(event_type, "session-established");
    }

    #[test]
    fn a_row_that_keeps_its_session_is_no_sign_in() {
        let change = Change::SignedIn {
            device: Box::new(television(8)),
            before: Some(Box::new(television(8))),
        };
        assert_eq!(messages(&change, &record(), ISSUER), []);
        assert_eq!(messages(&Change::Other, &record(), ISSUER), []);
    }

    #[test]
    fn a_message_is_the_same_each_time_even_without_the_streams_id() {
        let change = || Change::SignedIn {
            device: Box::new(television(8)),
            before: Some(Box::new(television(6))),
        };
        let first = messages(&change(), &Record::default(), ISSUER);
        assert_eq!(first, messages(&change(), &Record::default(), ISSUER));
        assert_ne!(first[0].token.jti, first[1].token.jti);
        assert_eq!(first[1].token.iat, 2_000);
    }

    #[test]
    fn the_event_of_one_of_many_sessions_has_no_scope_to_be_filtered_by() {
        let target = SignOutTarget::Epoch {
            ended: Epoch(4),
            kept: Some(session(7)),
        };
        let sign_out = sign_out(Scope::Others, domain::Reason::SignedOut, target);

        let message = session_ended(&sign_out, &television(6), ISSUER);

        assert_eq!(message, session_ended(&sign_out, &television(6), ISSUER));
        assert_eq!(message.token.jti, format!("{}:{}", sign_out.id, session(6)));
        assert_eq!(message.token.txn, sign_out.id.to_string());
        assert!(
            message
                .attributes()
                .iter()
                .all(|(name, _)| *name != "scope")
        );
        let [(event_type, event)] = events(&[message]).try_into().unwrap();
        assert_eq!(
            (event_type, &event["scope"]),
            ("session-revoked", &json!("others"))
        );
        assert_eq!(event["session_id"], json!(session(6)));
    }

    #[test]
    fn claims_are_read_back_as_they_were_written() {
        let change = Change::SignedIn {
            device: Box::new(television(8)),
            before: Some(Box::new(television(6))),
        };
        let target = SignOutTarget::Epoch {
            ended: Epoch(4),
            kept: Some(session(7)),
        };
        let password = sign_out(Scope::Others, domain::Reason::PasswordChanged, target);
        for change in [change, Change::SignedOut(password)] {
            for message in messages(&change, &record(), ISSUER) {
                assert_eq!(
                    serde_json::from_str::<SecurityEventToken>(&message.body()).unwrap(),
                    message.token
                );
            }
        }
    }
}
