//! The security events: the messages that a change gives, their JSON, and the calls
//! that publish them.
//!
//! Owns the claims (those of a Security Event Token, RFC 8417, with CAEP 1.0 events),
//! the attributes that subscribers filter by, and the calls of SNS. Refuses personal
//! data and secrets: no message has an address, name, place, token or hash, only ids
//! that authenticate no one.
//!
//! A message can come twice, late and out of order. So every event names what it ends:
//! a session, or an epoch and the session that is kept. Consumers decide by that, never
//! by the order of messages, never by the device.

mod claims;
mod messages;
mod topic;

pub use claims::{
    AddressChanged, ChangeType, Circumstances, CredentialChange, CredentialType, Event, EventType,
    Id, InitiatingEntity, OtherSessionsRevoked, Reason, Revoked, SecurityEventToken,
    SessionEstablished, SessionRevoked, Subject, Text,
};
pub use messages::{Message, Record, messages, session_ended};
pub use topic::{PublishOutcome, Topic};

/// The JSON Schema (2020-12) of the message of each event type.
pub const SCHEMAS: [(EventType, &str); 5] = [
    (
        EventType::SessionRevoked,
        include_str!("../schemas/session-revoked.json"),
    ),
    (
        EventType::OtherSessionsRevoked,
        include_str!("../schemas/other-sessions-revoked.json"),
    ),
    (
        EventType::CredentialChange,
        include_str!("../schemas/credential-change.json"),
    ),
    (
        EventType::SessionEstablished,
        include_str!("../schemas/session-established.json"),
    ),
    (
        EventType::AddressChanged,
        include_str!("../schemas/address-changed.json"),
    ),
];
