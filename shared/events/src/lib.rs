//! The security events: which change gives which message, what a message looks
//! like, and how it is published.
//!
//! Owns the claims (a Security Event Token's, RFC 8417, with CAEP 1.0 events),
//! the attributes that subscribers filter by, and the calls of SNS. Refuses
//! everything that is nobody's business: no address, name, place, token or hash
//! is in any message, only ids that authenticate nobody.
//!
//! A message can come twice, late and out of order. So every event names what it
//! ends, a session or an epoch and the session that lives on, and consumers judge
//! by that: never by the order of messages, never by the device.

mod claims;
mod messages;
mod topic;

pub use claims::{
    ChangeType, Circumstances, CredentialChange, CredentialType, Event, EventType, Id,
    InitiatingEntity, OtherSessionsRevoked, Reason, Revoked, SecurityEventToken,
    SessionEstablished, SessionRevoked, Subject, Text,
};
pub use messages::{Message, Record, messages, session_ended};
pub use topic::{Publish, Topic};

/// The JSON Schema (2020-12) of each event's message, by its type.
pub const SCHEMAS: [(EventType, &str); 4] = [
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
];
