//! The secrets of a challenge, and what is stored of them.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::crockford;
use crate::token::{Malformed, SECRET_BYTES, decode, encode, stored};

const CHALLENGE_PREFIX: &str = "cfc_";
const CODE_CHARS: usize = 8;

/// The id of a challenge: the SHA-256 of the secret of who asked. It gives no access.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChallengeId([u8; 32]);

/// The SHA-256 of the secret of who asked and the code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CodeDigest([u8; 32]);

/// The SHA-256 of a link's secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LinkHash([u8; 32]);

stored!(ChallengeId);
stored!(CodeDigest);
stored!(LinkHash);

impl fmt::Display for ChallengeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl FromStr for ChallengeId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        bytes_of(text).map(|bytes| Self(*bytes))
    }
}

/// Reads 32 bytes in base64url.
fn bytes_of(text: &str) -> Result<Zeroizing<[u8; SECRET_BYTES]>, Malformed> {
    let decoded = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).map_err(|_| Malformed)?);
    let bytes = <[u8; SECRET_BYTES]>::try_from(decoded.as_slice());
    bytes.map(Zeroizing::new).map_err(|_| Malformed)
}

/// The secret that only who asked gets. Wiped when dropped.
#[derive(ZeroizeOnDrop)]
pub struct ChallengeSecret([u8; SECRET_BYTES]);

impl ChallengeSecret {
    /// Creates a secret from random bytes.
    #[must_use]
    pub fn new(secret: [u8; SECRET_BYTES]) -> Self {
        Self(secret)
    }

    /// Parses a presented secret. This proves nothing yet.
    ///
    /// # Errors
    /// [`Malformed`] for any wrong, missing or extra character.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        decode(CHALLENGE_PREFIX, text).map(|bytes| Self(*bytes))
    }

    /// Returns the text to give to who asked.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        encode(CHALLENGE_PREFIX, &self.0)
    }

    /// Returns the id of the challenge.
    #[must_use]
    pub fn id(&self) -> ChallengeId {
        ChallengeId(Sha256::digest(self.0).into())
    }

    /// Returns the digest of a code, to store or to compare.
    #[must_use]
    pub fn digest(&self, code: &Code) -> CodeDigest {
        let digest = Sha256::new().chain_update(self.0).chain_update(code.0);
        CodeDigest(digest.finalize().into())
    }
}

/// The code that a mail shows. Wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Code([u8; CODE_CHARS]);

impl Code {
    /// Creates a code from random bytes.
    #[must_use]
    pub fn new(random: [u8; 5]) -> Self {
        Self(crockford::encode(&random))
    }

    /// Parses what a person typed: in either case, with or without dashes and blanks, with
    /// `O` for zero and `I` or `L` for one.
    ///
    /// # Errors
    /// [`Malformed`] for anything else.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        crockford::parse(text).map(Self)
    }

    /// Returns the text to show, in two groups.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        crockford::grouped(&self.0, CODE_CHARS / 2)
    }
}

/// The secret of a recovery's link. Wiped when dropped.
#[derive(ZeroizeOnDrop)]
pub struct Link {
    #[zeroize(skip)]
    challenge: ChallengeId,
    secret: [u8; SECRET_BYTES],
}

impl Link {
    /// Creates the link of a challenge from random bytes.
    #[must_use]
    pub fn new(challenge: ChallengeId, secret: [u8; SECRET_BYTES]) -> Self {
        Self { challenge, secret }
    }

    /// Parses a presented link. This proves nothing yet.
    ///
    /// # Errors
    /// [`Malformed`] for any wrong, missing or extra character.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let (challenge, secret) = text.split_once('.').ok_or(Malformed)?;
        Ok(Self {
            challenge: challenge.parse()?,
            secret: *bytes_of(secret)?,
        })
    }

    /// Returns the text of the secret: what the link has after the challenge's id and a dot.
    #[must_use]
    pub fn secret_text(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(self.secret))
    }

    /// Returns the challenge that the link claims.
    #[must_use]
    pub fn challenge(&self) -> ChallengeId {
        self.challenge
    }

    /// Returns the hash to store or to compare.
    #[must_use]
    pub fn hash(&self) -> LinkHash {
        LinkHash(Sha256::digest(self.secret).into())
    }
}

impl fmt::Debug for ChallengeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChallengeSecret(…)")
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(…)")
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code = Code::new([0xff, 0, 0xff, 0, 0x0f]);
        assert_eq!(*code.to_text(), "ZW0F-Y00F");
        for typed in ["ZW0F-Y00F", "zw0f y00f", " ZWOFYoOF ", "z-w-0-f-y-0-0-f"] {
            assert_eq!(Code::parse(typed).unwrap().0, code.0, "{typed}");
        }
        assert_eq!(Code::parse("1Il1-0oO0").unwrap().0, *b"11110000");
        for wrong in ["", "ZW0F-Y00", "ZW0F-Y00FF", "ZW0F-Y00U", "ZW0F-Y0é0"] {
            assert!(Code::parse(wrong).is_err(), "{wrong}");
        }
    }
}
