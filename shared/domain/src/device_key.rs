//! The device key: a secret by which a device is recognized at its sign-ins.
//!
//! A device makes its key before its first sign-in, or gets one in the answer. The key
//! opens nothing: it only counts together with the account's password.
//!
//! | part | |
//! | --- | --- |
//! | `cfd_` | the prefix |
//! | 13 digits | the time when it was made, in milliseconds since 1970 |
//! | `_` and 43 characters | base64url (RFC 4648 section 5, no padding) of 32 random bytes |
//!
//! The key and an account together name one device. A sign-in whose answer was lost can
//! therefore be sent again: it meets the row that the first one wrote. An account's
//! device and its stored hash reveal neither the key nor the same key's device in another
//! account.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

use crate::attempts::CounterKey;
use crate::email::EmailAddress;
use crate::ids::{AccountId, DeviceId};
use crate::token::{Malformed, SECRET_BYTES, stored};

const PREFIX: &str = "cfd_";
const TIME_DIGITS: usize = 13;
const SECRET_CHARS: usize = 43;

/// The most that the time of a key and the time of the server may differ when the key
/// names a new device. Devices are listed in the order of these times, so a device can't
/// be placed among older ones.
pub const NEW_DEVICE_WINDOW: SignedDuration = SignedDuration::from_hours(24);

/// The secret that identifies a device at its sign-ins. Wiped when dropped.
#[derive(ZeroizeOnDrop)]
pub struct DeviceKey {
    #[zeroize(skip)]
    made_at: Timestamp,
    secret: [u8; SECRET_BYTES],
}

/// The SHA-256 of an account's id and the secret of a device key, as stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DeviceKeyHash([u8; 32]);

stored!(DeviceKeyHash);

impl DeviceKey {
    /// Creates a device key from the current time and random bytes.
    #[must_use]
    pub fn new(now: Timestamp, secret: [u8; SECRET_BYTES]) -> Self {
        Self {
            made_at: now,
            secret,
        }
    }

    /// Parses a presented device key.
    ///
    /// # Errors
    /// [`Malformed`] for any text of another form.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let rest = text.strip_prefix(PREFIX).ok_or(Malformed)?;
        let (time, secret) = rest.split_once('_').ok_or(Malformed)?;
        let is_time = time.len() == TIME_DIGITS && time.bytes().all(|b| b.is_ascii_digit());
        if !is_time || secret.len() != SECRET_CHARS {
            return Err(Malformed);
        }
        let millis = time.parse().map_err(|_| Malformed)?;
        let made_at = Timestamp::from_millisecond(millis).map_err(|_| Malformed)?;
        let mut decoded = URL_SAFE_NO_PAD.decode(secret).map_err(|_| Malformed)?;
        let secret = <[u8; SECRET_BYTES]>::try_from(decoded.as_slice());
        decoded.zeroize();
        let secret = secret.map_err(|_| Malformed)?;
        Ok(Self { made_at, secret })
    }

    /// Returns the text of the key.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let time = format!("{:0TIME_DIGITS$}_", self.made_at.as_millisecond());
        // With the full capacity the buffer is never reallocated, which would leave an
        // unwiped copy of the secret in freed memory.
        let length = PREFIX.len() + time.len() + SECRET_CHARS;
        let mut text = Zeroizing::new(String::with_capacity(length));
        text.push_str(PREFIX);
        text.push_str(&time);
        URL_SAFE_NO_PAD.encode_string(self.secret, &mut text);
        text
    }

    /// Returns the device that the key names in an account: the time of the key, and a
    /// hash of the rest, so that nobody can choose the id of a device.
    #[must_use]
    pub fn device_in(&self, account: AccountId) -> DeviceId {
        let hash = Sha256::digest(self.hash_in(account).as_bytes());
        let mut part = [0; 10];
        part.copy_from_slice(&hash[..10]);
        DeviceId::new(self.made_at, part)
    }

    /// Returns the hash to store or to compare in an account.
    #[must_use]
    pub fn hash_in(&self, account: AccountId) -> DeviceKeyHash {
        let hash = Sha256::new()
            .chain_update(account.as_bytes())
            .chain_update(self.secret);
        DeviceKeyHash(hash.finalize().into())
    }

    /// Returns the key of the counter for the device's sign-ins to an address. It is known
    /// before the address's account is.
    #[must_use]
    pub fn counter_for(&self, address: &EmailAddress) -> CounterKey {
        CounterKey::new("device", &[&self.secret, address.as_normal().as_bytes()])
    }

    /// Returns whether a device without a row may get the id that this key names.
    #[must_use]
    pub fn may_name_new_device(&self, now: Timestamp) -> bool {
        now.duration_since(self.made_at).abs() <= NEW_DEVICE_WINDOW
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::now;
    use crate::token::Token;

    const SECOND: SignedDuration = SignedDuration::from_secs(1);

    fn account(n: u8) -> AccountId {
        AccountId::from_random([n; 16])
    }

    fn key() -> DeviceKey {
        DeviceKey::new(now(), [3; 32])
    }

    #[test]
    fn a_device_key_has_its_time_and_its_secret_in_its_text() {
        let text = key().to_text();
        assert_eq!(
            *text,
            format!(
                "cfd_{}_{}M",
                now().as_millisecond(),
                "AwMD".repeat(10) + "Aw"
            )
        );
        let read = DeviceKey::parse(&text).unwrap();
        assert_eq!(read.device_in(account(1)), key().device_in(account(1)));
        assert!(read.hash_in(account(1)).matches(&key().hash_in(account(1))));
    }

    #[test]
    fn a_device_key_of_another_form_is_refused() {
        let text = key().to_text();
        for end in 0..text.len() {
            assert!(DeviceKey::parse(&text[..end]).is_err(), "{end}");
            assert!(DeviceKey::parse(&text[end + 1..]).is_err(), "{end}");
        }
        let token = Token::new(account(1), key().device_in(account(1)), [3; 32]);
        for other in [
            format!("{}=", *text),
            format!(" {}", *text),
            format!("{}A", *text),
            text.to_uppercase(),
            text.replace("cfd_1", "cfd_-"),
            text.replace("cfd_1", "cfd_+"),
            text.replace("cfd_", "cfd_0"),
            text.replace("AwM", "A/M"),
            // Another spelling of the same bytes.
            format!("{}N", &text[..text.len() - 1]),
            token.to_text().to_string(),
        ] {
            assert!(DeviceKey::parse(&other).is_err(), "{other}");
        }
    }

    #[test]
    fn a_device_key_names_another_device_in_each_account_and_for_each_secret_and_time() {
        let named = key().device_in(account(1));
        assert_ne!(named, key().device_in(account(2)));
        assert_ne!(named, DeviceKey::new(now(), [4; 32]).device_in(account(1)));
        let later = DeviceKey::new(now() + SECOND, [3; 32]);
        assert_ne!(named, later.device_in(account(1)));
        assert!(named < later.device_in(account(1)));
        assert!(
            !key()
                .hash_in(account(1))
                .matches(&key().hash_in(account(2)))
        );
    }

    #[test]
    fn a_device_key_names_a_new_device_for_a_day_to_the_second() {
        let day = NEW_DEVICE_WINDOW;
        for (apart, may) in [(day, true), (day + SECOND, false)] {
            assert_eq!(key().may_name_new_device(now() + apart), may);
            assert_eq!(key().may_name_new_device(now() - apart), may);
        }
    }

    #[test]
    fn debug_does_not_show_a_device_key() {
        let shown = format!("{:?} {:?}", key(), key().hash_in(account(1)));
        assert_eq!(shown, "DeviceKey(…) DeviceKeyHash(…)");
    }
}
