//! Peppers: secret keys of password hashes, which the tables don't have. Who has the
//! tables alone can't test a guess.
//!
//! A pepper is Argon2's own secret input, K in RFC 9106 section 3.1. A hash names its
//! pepper by the `keyid` of the PHC string format.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use zeroize::Zeroizing;

/// The longest `keyid` of Argon2 in the PHC string format, in bytes.
const MAX_ID_BYTES: usize = 8;
/// The shortest pepper: nobody guesses 256 random bits.
const MIN_KEY_BYTES: usize = 32;

/// The name of a pepper: 1 to 8 letters, digits, `.`, `_` or `-` of ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PepperId(String);

impl PepperId {
    pub(super) fn new(text: String) -> Option<Self> {
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let has_length = (1..=MAX_ID_BYTES).contains(&text.len());
        (has_length && text.bytes().all(is_valid)).then_some(Self(text))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PepperId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The peppers of a deployment. They are wiped when dropped.
pub struct Peppers {
    current: Arc<Pepper>,
    all: Vec<Arc<Pepper>>,
}

pub(super) struct Pepper {
    pub(super) id: PepperId,
    pub(super) key: Zeroizing<Vec<u8>>,
}

/// The error for a hash with a pepper that is not known. Whether the password is right
/// can't be said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the password's hash was made with the pepper `{0}`, which the secret does not have")]
pub struct UnknownPepper(pub PepperId);

/// The reason why a text has no usable peppers. It never shows the text, and an id only
/// if it is too short to be a pepper.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeppersError {
    /// Not JSON of the form of [`Peppers::parse`].
    #[error(
        r#"is not JSON of the form {{"current": "ID", "peppers": {{"ID": "BASE64"}}}} (line {line}, column {column})"#
    )]
    Malformed {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// An id of another form.
    #[error("has an id that is not 1 to 8 letters, digits, `.`, `_` or `-` in `{0}`")]
    Id(&'static str),
    /// An id stands twice.
    #[error("has the id `{0}` twice in `peppers`")]
    Repeated(PepperId),
    /// A pepper is not base64.
    #[error("has the pepper `{0}`, which is not base64 with padding")]
    Encoding(PepperId),
    /// A pepper is too short.
    #[error("has the pepper `{0}`, which is shorter than 32 bytes")]
    Short(PepperId),
    /// `current` names no pepper.
    #[error("has no pepper `{0}`, which `current` names")]
    NoCurrent(PepperId),
}

/// The JSON of a secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    current: Zeroizing<String>,
    peppers: Entries,
}

/// The entries of a JSON object, in their order and with repeated names.
struct Entries(Vec<(Zeroizing<String>, Zeroizing<String>)>);

impl Peppers {
    /// Parses the value of a secret:
    /// `{"current": "2026-11", "peppers": {"2026-11": "<base64 of at least 32 bytes>"}}`.
    ///
    /// # Errors
    /// [`PeppersError`] if anything is missing, unknown, repeated or too short.
    pub fn parse(text: &str) -> Result<Self, PeppersError> {
        // The error of `serde_json` may show a value.
        let secret: Secret = serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            PeppersError::Malformed { line, column }
        })?;
        let mut all: Vec<Arc<Pepper>> = Vec::new();
        for (id, key) in &secret.peppers.0 {
            let pepper = Pepper::parse(id, key)?;
            if all.iter().any(|it| it.id == pepper.id) {
                return Err(PeppersError::Repeated(pepper.id));
            }
            all.push(Arc::new(pepper));
        }
        let current = PepperId::new(secret.current.to_string());
        let current = current.ok_or(PeppersError::Id("current"))?;
        let found = all.iter().find(|it| it.id == current).cloned();
        match found {
            Some(current) => Ok(Self { current, all }),
            None => Err(PeppersError::NoCurrent(current)),
        }
    }

    pub(super) fn current(&self) -> Arc<Pepper> {
        self.current.clone()
    }

    pub(super) fn find(&self, id: &PepperId) -> Option<Arc<Pepper>> {
        self.all.iter().find(|it| it.id == *id).cloned()
    }
}

impl Pepper {
    fn parse(id: &str, key: &str) -> Result<Self, PeppersError> {
        let id = PepperId::new(id.to_owned()).ok_or(PeppersError::Id("peppers"))?;
        let key = match STANDARD.decode(key) {
            Ok(key) => Zeroizing::new(key),
            Err(_) => return Err(PeppersError::Encoding(id)),
        };
        if key.len() < MIN_KEY_BYTES {
            return Err(PeppersError::Short(id));
        }
        Ok(Self { id, key })
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}

// Omits the keys.
impl fmt::Debug for Peppers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.all.iter().map(|it| it.id.as_str()).collect();
        f.debug_struct("Peppers")
            .field("current", &self.current.id.as_str())
            .field("all", &ids)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
