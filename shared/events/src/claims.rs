//! The claims of a message: a Security Event Token's (RFC 8417) as the Shared
//! Signals Framework 1.0 profiles it, with one event. There is never a `sub` and
//! never an `exp`, so that no receiver takes one for a token of entry.

use std::borrow::Cow;

use domain::{AccountId, DeviceId, Scope, SessionId};
use serde::{Deserialize, Serialize};

/// The claims of a message (RFC 8417, section 2.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityEventToken {
    /// Who says so: the configured issuer.
    pub iss: String,
    /// The message's own id: the same when it is delivered again.
    pub jti: String,
    /// When the change was recorded, in seconds since 1970.
    pub iat: i64,
    /// What brought it about: the sign-out's id, or the id of the session that
    /// began. Several messages can share it.
    pub txn: String,
    /// Whom or what it is about.
    pub sub_id: Subject,
    /// What happened: one event, by its URI.
    pub events: Event,
}

/// A subject of format `complex` (Shared Signals Framework 1.0, section 3.3): the
/// account alone, or one session of one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "format", rename = "complex")]
pub struct Subject {
    /// The account.
    pub user: Id<AccountId>,
    /// The device, when the event is about one session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Id<DeviceId>>,
    /// The session, when the event is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Id<SessionId>>,
}

/// A subject identifier of format `opaque` (RFC 9493, section 3.2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "format", rename = "opaque")]
pub struct Id<T> {
    /// The id.
    pub id: T,
}

impl<T> From<T> for Id<T> {
    fn from(id: T) -> Self {
        Self { id }
    }
}

/// The one event of a message, under its URI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Sessions were ended (CAEP 1.0, section 3.1).
    #[serde(rename = "https://schemas.openid.net/secevent/caep/event-type/session-revoked")]
    SessionRevoked(SessionRevoked),
    /// Every session but one was ended. A `session-revoked` about the account
    /// would tell receivers to end that one too, so this type is our own.
    #[serde(rename = "urn:curfew:secevent:other-sessions-revoked")]
    OtherSessionsRevoked(OtherSessionsRevoked),
    /// The password was changed (CAEP 1.0, section 3.3).
    #[serde(rename = "https://schemas.openid.net/secevent/caep/event-type/credential-change")]
    CredentialChange(CredentialChange),
    /// A session began (CAEP 1.0, section 3.6).
    #[serde(rename = "https://schemas.openid.net/secevent/caep/event-type/session-established")]
    SessionEstablished(SessionEstablished),
}

impl Event {
    /// Which of the four it is.
    #[must_use]
    pub fn event_type(&self) -> EventType {
        match self {
            Self::SessionRevoked(_) => EventType::SessionRevoked,
            Self::OtherSessionsRevoked(_) => EventType::OtherSessionsRevoked,
            Self::CredentialChange(_) => EventType::CredentialChange,
            Self::SessionEstablished(_) => EventType::SessionEstablished,
        }
    }
}

/// The type of an event, as subscribers filter by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventType {
    /// One session, or every one of the account.
    SessionRevoked,
    /// Every one but the kept.
    OtherSessionsRevoked,
    /// The password.
    CredentialChange,
    /// A sign-in.
    SessionEstablished,
}

impl EventType {
    /// The last word of the event's URI.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SessionRevoked => "session-revoked",
            Self::OtherSessionsRevoked => "other-sessions-revoked",
            Self::CredentialChange => "credential-change",
            Self::SessionEstablished => "session-established",
        }
    }
}

/// What every event says of how it came about (CAEP 1.0, section 2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Circumstances {
    /// When it happened, in seconds since 1970.
    pub event_timestamp: i64,
    /// Who made it happen.
    pub initiating_entity: InitiatingEntity,
    /// Why, for a log.
    pub reason_admin: Text,
    /// Why, for the owner.
    pub reason_user: Text,
}

/// A text by its language (BCP 47).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// In English.
    pub en: Cow<'static, str>,
}

impl From<&'static str> for Text {
    fn from(en: &'static str) -> Self {
        Self {
            en: Cow::Borrowed(en),
        }
    }
}

/// Who made an event happen, in the words of CAEP 1.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitiatingEntity {
    /// The owner, on one of the devices.
    User,
    /// An operator.
    Admin,
}

/// Why sessions ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The owner signed out.
    SignedOut,
    /// The password was changed.
    PasswordChanged,
    /// The account was disabled.
    AccountDisabled,
    /// The same device signed in again.
    Replaced,
}

impl From<domain::Reason> for Reason {
    fn from(reason: domain::Reason) -> Self {
        match reason {
            domain::Reason::SignedOut => Self::SignedOut,
            domain::Reason::PasswordChanged => Self::PasswordChanged,
            domain::Reason::AccountDisabled => Self::AccountDisabled,
        }
    }
}

/// The claims of `session-revoked`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRevoked {
    /// How it came about.
    #[serde(flatten)]
    pub circumstances: Circumstances,
    /// Why, for software.
    pub reason: Reason,
    /// Which sessions the sign-out was about; none when it was no sign-out.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "scope")]
    pub scope: Option<Scope>,
    /// The device that asked for it; none when an operator did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<DeviceId>,
    /// What it ended.
    #[serde(flatten)]
    pub revoked: Revoked,
}

/// What a `session-revoked` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Revoked {
    /// One session: the subject's.
    Session {
        /// Which one.
        session_id: SessionId,
        /// The epoch that it was born in.
        epoch: u64,
    },
    /// Every session of the account that was born in this epoch or before.
    Account {
        /// The epoch that ended.
        ended_epoch: u64,
    },
}

/// The claims of `other-sessions-revoked`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherSessionsRevoked {
    /// How it came about.
    #[serde(flatten)]
    pub circumstances: Circumstances,
    /// Why, for software.
    pub reason: Reason,
    /// Which sessions the sign-out was about.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "scope")]
    pub scope: Option<Scope>,
    /// The device that asked for it; none when an operator did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<DeviceId>,
    /// The epoch that ended: every session born in it or before is over.
    pub ended_epoch: u64,
    /// The one that lives on.
    pub kept_session: SessionId,
}

/// The claims of `credential-change`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialChange {
    /// How it came about.
    #[serde(flatten)]
    pub circumstances: Circumstances,
    /// What was changed.
    pub credential_type: CredentialType,
    /// How it was changed.
    pub change_type: ChangeType,
    /// The device that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<DeviceId>,
    /// The epoch that ended with it.
    pub ended_epoch: u64,
    /// The session that lives on, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_session: Option<SessionId>,
}

/// A kind of credential, in the words of CAEP 1.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialType {
    /// The password.
    Password,
}

/// A change of a credential, in the words of CAEP 1.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeType {
    /// Another one took its place.
    Update,
}

/// The claims of `session-established`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEstablished {
    /// How it came about.
    #[serde(flatten)]
    pub circumstances: Circumstances,
    /// The session: the subject's.
    pub session_id: SessionId,
    /// The account's epoch that it was born in. If that has ended already, so has
    /// the session.
    pub epoch: u64,
}

/// A scope by its word.
mod scope {
    use domain::Scope;
    use serde::de::{Error, Unexpected};
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(
        clippy::ref_option,
        clippy::trivially_copy_pass_by_ref,
        reason = "serde calls it so"
    )]
    pub(super) fn serialize<S: Serializer>(
        scope: &Option<Scope>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match scope {
            Some(scope) => serializer.serialize_str(scope.as_str()),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Scope>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|word| {
                Scope::parse(&word)
                    .ok_or_else(|| Error::invalid_value(Unexpected::Str(&word), &"a scope"))
            })
            .transpose()
    }
}
