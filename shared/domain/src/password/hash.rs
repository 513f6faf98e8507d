//! The stored hash of a password, and the Argon2id parameters it may ask for.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::peppers::PepperId;

/// The cost parameters of an Argon2id hash (RFC 9106 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// Memory, in KiB.
    pub m_kib: u32,
    /// Passes over the memory.
    pub t: u32,
    /// Lanes, which are computed one after the other here.
    pub p: u32,
}

/// The error for parameters that are not valid for Argon2id or above the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("has Argon2id parameters out of bounds")]
pub struct ParamsError;

impl Params {
    /// The minimum that the OWASP Password Storage Cheat Sheet recommends for
    /// Argon2id: 19 MiB, two passes, one lane.
    pub const DEFAULT: Self = Self {
        m_kib: 19_456,
        t: 2,
        p: 1,
    };

    /// The most memory that a hash may ask for, in KiB: that of the second
    /// recommended option in RFC 9106 section 4.
    pub const MAX_M_KIB: u32 = 65_536;
    /// The most passes that a hash may ask for.
    pub const MAX_T: u32 = 10;
    /// The most lanes that a hash may ask for.
    pub const MAX_P: u32 = 4;
    /// The most blocks of 1 KiB that a hash may fill over all passes: about seven
    /// times the default.
    pub const MAX_WORK: u32 = 262_144;

    pub(super) fn checked(self) -> Result<Self, ParamsError> {
        // Argon2 needs eight blocks a lane (RFC 9106 section 3.1).
        let is_bounded = (1..=Self::MAX_P).contains(&self.p)
            && (1..=Self::MAX_T).contains(&self.t)
            && (8 * self.p..=Self::MAX_M_KIB).contains(&self.m_kib)
            && self.work() <= Self::MAX_WORK;
        if is_bounded {
            Ok(self)
        } else {
            Err(ParamsError)
        }
    }

    /// Returns the number of blocks that are filled over all passes.
    pub(super) fn work(self) -> u32 {
        self.m_kib.saturating_mul(self.t)
    }

    pub(super) fn argon2(self) -> argon2::Params {
        argon2::Params::new(self.m_kib, self.t, self.p, None)
            .expect("parameters are bounded when they are parsed or configured")
    }
}

impl Default for Params {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The longest stored hash, in characters.
const MAX_HASH_CHARS: usize = 256;
const SALT_RANGE: std::ops::RangeInclusive<usize> = 8..=64;
// A tag below 128 bits would be easier to match by chance than a good password is
// to guess.
const TAG_RANGE: std::ops::RangeInclusive<usize> = 16..=64;

/// The stored hash of a password: a PHC string of Argon2id version 1.3.
///
/// Its costs are bounded when it is parsed, so that a hostile row cannot exhaust
/// memory or time: see [`Params`]; 8 to 64 bytes of salt, 16 to 64 bytes of tag.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredHash {
    text: String,
    pub(super) argon2id: Argon2id,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Argon2id {
    pub(super) params: Params,
    /// The pepper that the hash was made with; none for a hash without one.
    pub(super) pepper: Option<PepperId>,
    pub(super) salt: Vec<u8>,
    pub(super) tag: Vec<u8>,
}

/// The reason why a text cannot be a stored hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoredHashError {
    /// Not a PHC string, or not in its canonical spelling.
    #[error("is malformed")]
    Malformed,
    /// An algorithm, or a version of it, that is not supported.
    #[error("is of an unsupported algorithm")]
    Unsupported,
    /// Costs, salt or tag outside the bounds.
    #[error("is out of bounds")]
    OutOfBounds,
}

impl StoredHash {
    /// Parses a PHC string: `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<tag>`, with
    /// `,keyid=<base64>` after `p=1` for a hash with a pepper.
    ///
    /// # Errors
    /// [`StoredHashError`] when it cannot be verified. A sign-in that reads such a
    /// row verifies against `None` instead, so that its answer takes as long.
    pub fn parse(text: &str) -> Result<Self, StoredHashError> {
        if text.len() > MAX_HASH_CHARS {
            return Err(StoredHashError::OutOfBounds);
        }
        let fields: Vec<&str> = text.split('$').collect();
        let ["", algorithm, fields @ ..] = fields.as_slice() else {
            return Err(StoredHashError::Malformed);
        };
        let argon2id = match *algorithm {
            "" => return Err(StoredHashError::Malformed),
            "argon2id" => Argon2id::parse(fields)?,
            _ => return Err(StoredHashError::Unsupported),
        };
        Ok(Self {
            text: text.to_owned(),
            argon2id,
        })
    }

    /// Creates a hash that no password matches: its tag is random. It costs what the hash of a
    /// password costs, so a sign-in takes as long.
    #[must_use]
    pub fn void(random: [u8; 48]) -> Self {
        let (salt, tag) = random.split_at(16);
        let argon2id = Argon2id {
            params: Params::DEFAULT,
            // Nothing matches it with a pepper, either.
            pepper: None,
            salt: salt.to_vec(),
            tag: tag.to_vec(),
        };
        argon2id.into_stored()
    }

    /// Returns the PHC string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for StoredHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredHash(…)")
    }
}

impl Argon2id {
    fn parse(fields: &[&str]) -> Result<Self, StoredHashError> {
        let [version, params, salt, tag] = *fields else {
            return Err(StoredHashError::Malformed);
        };
        // 0x13 in decimal: version 1.3, the only one that RFC 9106 specifies.
        if number(version, "v=")? != 19 {
            return Err(StoredHashError::Unsupported);
        }
        let params: Vec<&str> = params.split(',').collect();
        let [m, t, p, ref keyid @ ..] = *params.as_slice() else {
            return Err(StoredHashError::Malformed);
        };
        let pepper = match *keyid {
            [] => None,
            [keyid] => Some(pepper(keyid)?),
            _ => return Err(StoredHashError::Malformed),
        };
        let params = Params {
            m_kib: number(m, "m=")?,
            t: number(t, "t=")?,
            p: number(p, "p=")?,
        };
        let params = params.checked().map_err(|_| StoredHashError::OutOfBounds)?;
        let (salt, tag) = (decode(salt)?, decode(tag)?);
        if !SALT_RANGE.contains(&salt.len()) || !TAG_RANGE.contains(&tag.len()) {
            return Err(StoredHashError::OutOfBounds);
        }
        Ok(Self {
            params,
            pepper,
            salt,
            tag,
        })
    }

    pub(super) fn into_stored(self) -> StoredHash {
        let Params { m_kib, t, p } = self.params;
        let salt = STANDARD_NO_PAD.encode(&self.salt);
        let tag = STANDARD_NO_PAD.encode(&self.tag);
        let keyid = self.pepper.as_ref().map_or_else(String::new, |id| {
            format!(",keyid={}", STANDARD_NO_PAD.encode(id.as_str()))
        });
        StoredHash {
            text: format!("$argon2id$v=19$m={m_kib},t={t},p={p}{keyid}${salt}${tag}"),
            argon2id: self,
        }
    }
}

fn pepper(keyid: &str) -> Result<PepperId, StoredHashError> {
    let base64 = keyid.strip_prefix("keyid=");
    let bytes = decode(base64.ok_or(StoredHashError::Malformed)?)?;
    let text = String::from_utf8(bytes).ok();
    text.and_then(PepperId::new)
        .ok_or(StoredHashError::Malformed)
}

fn decode(base64: &str) -> Result<Vec<u8>, StoredHashError> {
    STANDARD_NO_PAD
        .decode(base64)
        .map_err(|_| StoredHashError::Malformed)
}

/// Parses a decimal number in its canonical spelling: no sign, no leading zero.
fn number(field: &str, key: &str) -> Result<u32, StoredHashError> {
    let digits = field.strip_prefix(key).ok_or(StoredHashError::Malformed)?;
    let is_canonical = digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.is_empty()
        && (digits == "0" || !digits.starts_with('0'));
    if !is_canonical {
        return Err(StoredHashError::Malformed);
    }
    digits.parse().map_err(|_| StoredHashError::OutOfBounds)
}

#[cfg(test)]
mod tests;
