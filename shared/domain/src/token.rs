//! Tokens and socket tickets: secrets that are shown once, and the hashes that are
//! stored. The others are in [`crate::device_key`] and [`crate::notice`].
//!
//! | secret | text | characters |
//! | --- | --- | --- |
//! | token | `cft_` + base64url(account id ‖ device id ‖ 32 random bytes) + checksum | 4 + 86 + 6 |
//! | socket ticket | `cfs_` + base64url(session id ‖ 32 random bytes) + checksum | 4 + 64 + 6 |
//!
//! Base64url is that of RFC 4648 section 5, without padding and in its canonical form
//! only. The checksum is base64url(CRC-32 of everything before it). With it a
//! mistyped or truncated secret is rejected without reading a table, and secret
//! scanners can find leaked ones. It proves nothing.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::SignedDuration;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

use crate::ids::{AccountId, DeviceId, SessionId};

/// The length of a secret, in random bytes: 256 bits, too many to guess, so that a
/// fast hash (SHA-256) suffices for what is stored.
pub const SECRET_BYTES: usize = 32;

const TOKEN_PREFIX: &str = "cft_";
const TICKET_PREFIX: &str = "cfs_";
/// The base64url of a CRC-32's four bytes.
const CHECKSUM_CHARS: usize = 6;
const TOKEN_BYTES: usize = 16 + 16 + SECRET_BYTES;
const TICKET_BYTES: usize = 16 + SECRET_BYTES;

/// The error for a text that is not a secret of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is malformed")]
pub struct Malformed;

/// The bearer secret of a session, shown once at the sign-in. Wiped when dropped.
#[derive(ZeroizeOnDrop)]
pub struct Token {
    #[zeroize(skip)]
    account: AccountId,
    #[zeroize(skip)]
    device: DeviceId,
    secret: [u8; SECRET_BYTES],
}

/// The SHA-256 of a token's secret, as stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl Token {
    /// Creates a token from random bytes.
    #[must_use]
    pub fn new(account: AccountId, device: DeviceId, secret: [u8; SECRET_BYTES]) -> Self {
        Self {
            account,
            device,
            secret,
        }
    }

    /// Parses a presented token. This proves nothing yet: compare its hash.
    ///
    /// # Errors
    /// [`Malformed`] for any wrong, missing or extra character.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let bytes = decode::<TOKEN_BYTES>(TOKEN_PREFIX, text)?;
        Ok(Self {
            account: AccountId::from_bytes(slice(&bytes[..16])).ok_or(Malformed)?,
            device: DeviceId::from_bytes(slice(&bytes[16..32])).ok_or(Malformed)?,
            secret: slice(&bytes[32..]),
        })
    }

    /// Returns the text to show, once.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        bytes[..16].copy_from_slice(self.account.as_bytes());
        bytes[16..32].copy_from_slice(self.device.as_bytes());
        bytes[32..].copy_from_slice(&self.secret);
        encode(TOKEN_PREFIX, &*bytes)
    }

    /// Returns the account that the token claims.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// Returns the device that the token claims.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// Returns the hash to store or to compare.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.secret).into())
    }
}

/// The secret that opens one WebSocket connection, once, within [`TICKET_LIFETIME`].
/// Wiped when dropped.
#[derive(ZeroizeOnDrop)]
pub struct SocketTicket {
    #[zeroize(skip)]
    session: SessionId,
    secret: [u8; SECRET_BYTES],
}

/// The SHA-256 of a socket ticket's secret, as stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TicketHash([u8; 32]);

/// The lifetime of a socket ticket.
pub const TICKET_LIFETIME: SignedDuration = SignedDuration::from_secs(30);

impl SocketTicket {
    /// Creates a ticket from random bytes.
    #[must_use]
    pub fn new(session: SessionId, secret: [u8; SECRET_BYTES]) -> Self {
        Self { session, secret }
    }

    /// Parses a presented ticket. This proves nothing yet: look its hash up.
    ///
    /// # Errors
    /// [`Malformed`] for any wrong, missing or extra character.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let bytes = decode::<TICKET_BYTES>(TICKET_PREFIX, text)?;
        Ok(Self {
            session: SessionId::from_bytes(slice(&bytes[..16])).ok_or(Malformed)?,
            secret: slice(&bytes[16..]),
        })
    }

    /// Returns the text to show, once.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; TICKET_BYTES]);
        bytes[..16].copy_from_slice(self.session.as_bytes());
        bytes[16..].copy_from_slice(&self.secret);
        encode(TICKET_PREFIX, &*bytes)
    }

    /// Returns the session that the ticket claims.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Returns the hash to store or to compare.
    #[must_use]
    pub fn hash(&self) -> TicketHash {
        TicketHash(Sha256::digest(self.secret).into())
    }
}

impl fmt::Debug for SocketTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SocketTicket(…)")
    }
}

/// Adds the conversions and the comparison of a stored hash.
macro_rules! stored {
    ($name:ident) => {
        impl $name {
            /// Restores a hash from the bytes that [`Self::as_bytes`] returned.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// Returns the 32 bytes to store.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Compares in constant time: the position of the first different byte
            /// must not show in the time of the answer.
            #[must_use]
            pub fn matches(&self, other: &Self) -> bool {
                self.0.ct_eq(&other.0).into()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}
stored!(TokenHash);
stored!(TicketHash);
pub(crate) use stored;

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

pub(crate) fn encode(prefix: &str, bytes: &[u8]) -> Zeroizing<String> {
    // With the full capacity the buffer is never reallocated, which would leave an
    // unwiped copy of the secret in freed memory.
    let length = prefix.len() + (bytes.len() * 4).div_ceil(3) + CHECKSUM_CHARS;
    let mut text = Zeroizing::new(String::with_capacity(length));
    text.push_str(prefix);
    URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
    let checksum = crc32fast::hash(text.as_bytes()).to_be_bytes();
    URL_SAFE_NO_PAD.encode_string(checksum, &mut text);
    text
}

pub(crate) fn decode<const N: usize>(
    prefix: &str,
    text: &str,
) -> Result<Zeroizing<[u8; N]>, Malformed> {
    let body_chars = (N * 4).div_ceil(3);
    // `is_ascii` keeps `split_at` off the middle of a character, where it panics.
    if text.len() != prefix.len() + body_chars + CHECKSUM_CHARS || !text.is_ascii() {
        return Err(Malformed);
    }
    let (covered, checksum) = text.split_at(prefix.len() + body_chars);
    let body = covered.strip_prefix(prefix).ok_or(Malformed)?;
    let checksum = URL_SAFE_NO_PAD.decode(checksum).map_err(|_| Malformed)?;
    if checksum != crc32fast::hash(covered.as_bytes()).to_be_bytes() {
        return Err(Malformed);
    }
    // The engine rejects padding and non-zero unused bits, so each secret has one
    // spelling.
    let mut decoded = URL_SAFE_NO_PAD.decode(body).map_err(|_| Malformed)?;
    let bytes = <[u8; N]>::try_from(decoded.as_slice()).map_err(|_| Malformed);
    decoded.zeroize();
    bytes.map(Zeroizing::new)
}

pub(crate) fn slice<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn token() -> Token {
        Token::new(
            AccountId::from_random([1; 16]),
            DeviceId::new(Timestamp::UNIX_EPOCH, [2; 10]),
            [3; 32],
        )
    }

    #[test]
    fn a_token_names_its_own_rows() {
        let token = token();
        let text = token.to_text();
        assert!(text.starts_with("cft_"));
        assert_eq!(text.len(), 96);
        let read = Token::parse(&text).unwrap();
        assert_eq!(read.account(), token.account());
        assert_eq!(read.device(), token.device());
        assert!(read.hash().matches(&token.hash()));
    }

    #[test]
    fn a_token_with_any_byte_changed_is_refused() {
        let text = token().to_text();
        for at in 0..text.len() {
            for byte in 0..=127_u8 {
                let mut bytes = text.as_bytes().to_vec();
                if bytes[at] == byte {
                    continue;
                }
                bytes[at] = byte;
                let changed = String::from_utf8(bytes).unwrap();
                assert!(Token::parse(&changed).is_err(), "{at} {byte}");
            }
        }
    }

    #[test]
    fn a_token_cut_padded_or_in_another_case_is_refused() {
        let text = token().to_text();
        for end in 0..text.len() {
            assert!(Token::parse(&text[..end]).is_err());
            assert!(Token::parse(&text[end + 1..]).is_err());
        }
        for padded in [
            format!("{}=", *text),
            format!(" {}", *text),
            format!("{} ", *text),
            format!("{}\n", *text),
            format!("{}A", *text),
            format!("{0}{0}", *text),
        ] {
            assert!(Token::parse(&padded).is_err());
        }
        assert!(Token::parse(&text.to_uppercase()).is_err());
        assert!(Token::parse(&text.to_lowercase()).is_err());
    }

    #[test]
    fn a_token_in_another_encoding_of_the_same_bytes_is_refused() {
        // The last character of the body has four unused bits. If they could be set,
        // with a checksum to match, a token would have a second spelling.
        let text = token().to_text();
        let body = &text[..90];
        for last in ["Q", "g", "w", "x", "B"] {
            let other = format!("{}{last}", &body[..89]);
            if other == body {
                continue;
            }
            let checksum = URL_SAFE_NO_PAD.encode(crc32fast::hash(other.as_bytes()).to_be_bytes());
            let spelled = format!("{other}{checksum}");
            let same = Token::parse(&spelled).is_ok_and(|read| read.hash() == token().hash());
            assert!(!same, "{last}");
        }
    }

    #[test]
    fn a_socket_ticket_is_not_a_token() {
        let session = SessionId::from_random([5; 16]);
        let ticket = SocketTicket::new(session, [3; 32]);
        let text = ticket.to_text();
        assert_eq!(text.len(), 74);
        assert!(text.starts_with("cfs_"));
        let read = SocketTicket::parse(&text).unwrap();
        assert!(read.hash().matches(&ticket.hash()));
        assert_eq!(read.session(), session);
        assert!(Token::parse(&text).is_err());
        assert!(SocketTicket::parse(&token().to_text()).is_err());
        for end in 0..text.len() {
            assert!(SocketTicket::parse(&text[..end]).is_err());
        }
    }

    #[test]
    fn debug_does_not_show_secrets() {
        let token = token();
        let shown = format!("{token:?} {:?}", token.hash());
        assert_eq!(shown, "Token(…) TokenHash(…)");
        let ticket = SocketTicket::new(SessionId::from_random([5; 16]), [3; 32]);
        let shown = format!("{ticket:?} {:?}", ticket.hash());
        assert_eq!(shown, "SocketTicket(…) TicketHash(…)");
    }
}
