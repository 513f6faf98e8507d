//! The claims of a message: those of a Security Event Token (RFC 8417) as the Shared
//! Signals Framework 1.0 profiles it, with one event. There is never a `sub` and never
//! an `exp`, so that no receiver mistakes it for an access token.

use std::borrow::Cow;

use domain::{AccountId, DeviceId, Scope, SessionId};
use serde::{Deserialize, Serialize};

/// The claims of a message (RFC 8417, section 2.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityEventToken {
    /// The configured issuer.
    pub iss: String,
    /// The message's id: the same when it is delivered again.
    pub jti: String,
    /// The time of the record, in seconds since 1970.
    pub iat: i64,
    /// The cause: the id of the sign-out, of the session that began, or of the changed address.
    /// Several messages can share it.
    pub txn: String,
    /// The account, or one session of it.
    pub sub_id: Subject,
    /// The event, under its URI.
    pub events: Event,
}

/// A subject of format `complex` (Shared Signals Framework 1.0, section 3.3): the
/// account alone, or one session of one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "format", rename = "complex")]
pub struct Subject {
    /// The account that the event is about.
    pub user: Id<AccountId>,
    /// The device, if the event is about one session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Id<DeviceId>>,
    /// The session, if the event is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Id<SessionId>>,
}

impl Subject {
    pub(crate) fn account(account: AccountId) -> Self {
        Self {
            user: account.into(),
            device: None,
            session: None,
        }
    }

    pub(crate) fn session(account: AccountId, device: DeviceId, session: SessionId) -> Self {
        Self {
            user: account.into(),
            device: Some(device.into()),
            session: Some(session.into()),
        }
    }
}

/// A subject identifier of format `opaque` (RFC 9493, section 3.2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "format", rename = "opaque")]
pub struct Id<T> {
    /// An id that authenticates no one.
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
    /// A session ended, or every session of the account (CAEP 1.0, section 3.1).
    #[serde(rename = "https://schemas.openid.net/secevent/caep/event-type/session-revoked")]
    SessionRevoked(SessionRevoked),
    /// Every session but one ended. A `session-revoked` about the account would make
    /// receivers end that one too, so this is a type of our own.
    #[serde(rename = "urn:curfew:secevent:other-sessions-revoked")]
    OtherSessionsRevoked(OtherSessionsRevoked),
    /// The password was changed (CAEP 1.0, section 3.3).
    #[serde(rename = "https://schemas.openid.net/secevent/caep/event-type/credential-change")]
    CredentialChange(CredentialChange),
    /// A device signed in (CAEP 1.0, section 3.6).
    #[serde(rename = "https://schemas.openid.net/secevent/caep/event-type/session-established")]
    SessionEstablished(SessionEstablished),
    /// The address was changed. A type of our own: RISC's `identifier-changed` names the
    /// address, and no message has one.
    #[serde(rename = "urn:curfew:secevent:address-changed")]
    AddressChanged(AddressChanged),
}

impl Event {
    /// Returns the type of the event.
    #[must_use]
    pub fn event_type(&self) -> EventType {
        match self {
            Self::SessionRevoked(_) => EventType::SessionRevoked,
            Self::OtherSessionsRevoked(_) => EventType::OtherSessionsRevoked,
            Self::CredentialChange(_) => EventType::CredentialChange,
            Self::SessionEstablished(_) => EventType::SessionEstablished,
            Self::AddressChanged(_) => EventType::AddressChanged,
        }
    }
}

/// The type of an event, by which subscribers filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventType {
    /// A session ended, or every session of the account.
    SessionRevoked,
    /// Every session but the kept one ended.
    OtherSessionsRevoked,
    /// The password was changed.
    CredentialChange,
    /// A device signed in.
    SessionEstablished,
    /// The address was changed.
    AddressChanged,
}

impl EventType {
    /// Returns the last segment of the event's URI.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SessionRevoked => "session-revoked",
            Self::OtherSessionsRevoked => "other-sessions-revoked",
            Self::CredentialChange => "credential-change",
            Self::SessionEstablished => "session-established",
            Self::AddressChanged => "address-changed",
        }
    }
}

/// The claims that every event has (CAEP 1.0, section 2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Circumstances {
    /// The time of the event, in seconds since 1970.
    pub event_timestamp: i64,
    /// The owner or an operator.
    pub initiating_entity: InitiatingEntity,
    /// The reason, for an operator.
    pub reason_admin: Text,
    /// The reason, for the owner.
    pub reason_user: Text,
}

/// A text by its language (BCP 47).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// The English text.
    pub en: Cow<'static, str>,
}

impl From<&'static str> for Text {
    fn from(en: &'static str) -> Self {
        Self {
            en: Cow::Borrowed(en),
        }
    }
}

/// The initiator of an event, in the words of CAEP 1.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitiatingEntity {
    /// The owner, on one of the devices.
    User,
    /// An operator of the deployment.
    Admin,
    /// A limit of the service.
    Policy,
}

/// The reason that sessions ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The owner signed out.
    SignedOut,
    /// The password was changed.
    PasswordChanged,
    /// The account was disabled.
    AccountDisabled,
    /// The owner recovered the account by its address.
    Recovered,
    /// The mailbox of the address before undid a change of the address.
    AddressRestored,
    /// The device gave too many wrong current passwords.
    WrongPassword,
    /// The same device signed in again.
    Replaced,
}

impl From<domain::Reason> for Reason {
    fn from(reason: domain::Reason) -> Self {
        match reason {
            domain::Reason::SignedOut => Self::SignedOut,
            domain::Reason::PasswordChanged => Self::PasswordChanged,
            domain::Reason::AccountDisabled => Self::AccountDisabled,
            domain::Reason::Recovered => Self::Recovered,
            domain::Reason::AddressRestored => Self::AddressRestored,
            domain::Reason::WrongPassword => Self::WrongPassword,
        }
    }
}

/// The claims of `session-revoked`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRevoked {
    /// The claims that every event has.
    #[serde(flatten)]
    pub circumstances: Circumstances,
    /// The reason, for software.
    pub reason: Reason,
    /// The scope of the sign-out. None for a session that a sign-in replaced.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "scope")]
    pub scope: Option<Scope>,
    /// The device that asked for it. None for an operator and a recovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<DeviceId>,
    /// The sessions that ended.
    #[serde(flatten)]
    pub revoked: Revoked,
}

/// The sessions that a `session-revoked` ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Revoked {
    /// The session of the subject.
    Session {
        /// The id of the session.
        session_id: SessionId,
        /// The epoch that the session was born in.
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
    /// The claims that every event has.
    #[serde(flatten)]
    pub circumstances: Circumstances,
    /// The reason, for software.
    pub reason: Reason,
    /// The scope of the sign-out.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "scope")]
    pub scope: Option<Scope>,
    /// The device that asked for it. None for an operator and a recovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<DeviceId>,
    /// The epoch that ended: every session born in it or before has ended.
    pub ended_epoch: u64,
    /// The session that is kept.
    pub kept_session: SessionId,
}

/// The claims of `credential-change`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialChange {
    /// The claims that every event has.
    #[serde(flatten)]
    pub circumstances: Circumstances,
    /// The kind of credential.
    pub credential_type: CredentialType,
    /// The kind of change.
    pub change_type: ChangeType,
    /// The device that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<DeviceId>,
    /// The epoch that ended with it.
    pub ended_epoch: u64,
    /// The session that is kept, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_session: Option<SessionId>,
}

/// A kind of credential, in the words of CAEP 1.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialType {
    /// The account's password.
    Password,
}

/// A change of a credential, in the words of CAEP 1.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeType {
    /// The credential was replaced.
    Update,
    /// The credential was made void.
    Revoke,
}

/// The claims of `session-established`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEstablished {
    /// The claims that every event has.
    #[serde(flatten)]
    pub circumstances: Circumstances,
    /// The session of the subject.
    pub session_id: SessionId,
    /// The epoch that the session was born in. If that has ended already, so has the
    /// session.
    pub epoch: u64,
    /// Whether the device was known: it had a session that nobody had ended.
    #[serde(default)]
    pub is_known_device: bool,
}

/// The claims of `address-changed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressChanged {
    /// The claims that every event has.
    #[serde(flatten)]
    pub circumstances: Circumstances,
    /// The device that changed it.
    pub requested_by: DeviceId,
}

/// The JSON of a scope: its word.
mod scope {
    use domain::Scope;
    use serde::de::{Error, Unexpected};
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(
        clippy::ref_option,
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature that serde calls"
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
