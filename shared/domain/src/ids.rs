//! Ids: UUIDs (RFC 9562) in their hyphenated text form, read in either case and
//! written in lower case (section 4). An id is not a secret and proves nothing about
//! its holder.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid, Variant};

/// The error for a text that is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a valid id")]
pub struct InvalidId;

/// Parses the hyphenated form, the only one of its length.
fn parse_hyphenated(text: &str) -> Result<Uuid, InvalidId> {
    let id = Uuid::try_parse(text).map_err(|_| InvalidId)?;
    let is_hyphenated = text.len() == uuid::fmt::Hyphenated::LENGTH;
    if is_hyphenated && id.get_variant() == Variant::RFC4122 {
        Ok(id)
    } else {
        Err(InvalidId)
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// Returns the 16 bytes of the id.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse_hyphenated(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0.hyphenated())
            }
        }
    };
}

/// Adds the constructors of an id of 122 random bits (UUID version 4, RFC 9562
/// section 5.4).
macro_rules! random_id {
    ($name:ident) => {
        impl $name {
            /// Creates an id from 16 random bytes.
            #[must_use]
            pub fn from_random(bytes: [u8; 16]) -> Self {
                Self(Builder::from_random_bytes(bytes).into_uuid())
            }

            /// Restores an id from the bytes that [`Self::as_bytes`] returned;
            /// `None` when they are not a UUID's.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
                let id = Uuid::from_bytes(bytes);
                (id.get_variant() == Variant::RFC4122).then_some(Self(id))
            }
        }
    };
}

/// Adds the constructors of an id that sorts by its time of creation (UUID version
/// 7, RFC 9562 section 5.7), so that the newest row of an account is the last.
macro_rules! timed_id {
    ($name:ident) => {
        impl $name {
            /// Creates an id from the current time and 10 random bytes.
            #[must_use]
            pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
                let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
                Self(Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
            }

            /// Restores an id from the bytes that [`Self::as_bytes`] returned;
            /// `None` when they are not a UUID's.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
                let id = Uuid::from_bytes(bytes);
                (id.get_variant() == Variant::RFC4122).then_some(Self(id))
            }
        }
    };
}

id! {
    /// The id of an account: the credentials of a person or a household.
    AccountId
}
id! {
    /// The id of a device: one installation, stable across sign-ins.
    DeviceId
}
id! {
    /// The id of a session: a new one for each sign-in of a device.
    SessionId
}
id! {
    /// The id of a sign-out, and of its receipt.
    SignOutId
}
id! {
    /// The id of a notice to the owner.
    NoticeId
}
id! {
    /// The id of a factor of an account.
    FactorId
}
random_id!(AccountId);
timed_id!(DeviceId);
random_id!(SessionId);
timed_id!(SignOutId);
timed_id!(NoticeId);
timed_id!(FactorId);

/// API Gateway's id of an open WebSocket connection. It proves nothing about its
/// holder.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConnectionId(String);

impl ConnectionId {
    /// Returns the id as API Gateway sent it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ConnectionId {
    type Err = InvalidId;

    /// Parses 1 to 128 visible ASCII characters. API Gateway documents no format; the
    /// bound keeps a forged id from becoming an oversized key.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let fits =
            (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.to_owned())).ok_or(InvalidId)
    }
}

impl TryFrom<String> for ConnectionId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<ConnectionId> for String {
    fn from(id: ConnectionId) -> Self {
        id.0
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_in_either_case_and_written_in_lower_case() {
        let id = AccountId::from_random([0xab; 16]);
        let text = id.to_string();
        assert_eq!(text, text.to_lowercase());
        let mixed = text.replacen('a', "A", 3);
        for spelling in [&text, &mixed, &text.to_uppercase()] {
            assert_eq!(spelling.parse(), Ok(id), "{spelling}");
        }
    }

    #[test]
    fn an_id_has_one_form() {
        let text = AccountId::from_random([0xab; 16]).to_string();
        assert!(text.replace('-', "").parse::<AccountId>().is_err());
        assert!(format!("{{{text}}}").parse::<AccountId>().is_err());
        assert!(format!("urn:uuid:{text}").parse::<AccountId>().is_err());
        assert!(format!("{text} ").parse::<AccountId>().is_err());
        assert!("".parse::<AccountId>().is_err());
    }

    #[test]
    fn bytes_that_are_not_a_uuid_are_not_an_id() {
        assert_eq!(AccountId::from_bytes([0; 16]), None);
        let id = AccountId::from_random([0; 16]);
        assert_eq!(AccountId::from_bytes(*id.as_bytes()), Some(id));
    }

    #[test]
    fn a_later_device_sorts_after_an_earlier_one() {
        let early = DeviceId::new(Timestamp::from_millisecond(1_000).unwrap(), [0xff; 10]);
        let late = DeviceId::new(Timestamp::from_millisecond(1_001).unwrap(), [0; 10]);
        assert!(early.to_string() < late.to_string());
    }
}
