//! The normal form of a password, in which it is hashed and compared.

use std::fmt;

use icu_normalizer::ComposingNormalizerBorrowed;
use zeroize::Zeroizing;

/// The longest password that is accepted, in bytes of UTF-8 as received.
pub const MAX_BYTES: usize = 1024;

/// A password in its normal form.
///
/// The normal form follows the `OpaqueString` profile (RFC 8265 section 4.2.2):
/// every non-ASCII space (Unicode category Zs) becomes U+0020, then Unicode NFC
/// is applied; case, width and direction stay. The same steps run when a password
/// is set and when it is verified, and nothing else is changed, trimmed or cut.
/// Unlike the profile, no character is rejected: the set of assigned characters
/// depends on the version of Unicode, and an upgrade must lock no one out.
///
/// Wiped when dropped; redacted in `Debug`.
pub struct Password {
    text: Zeroizing<String>,
}

/// The reason why a text cannot be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Longer than [`MAX_BYTES`].
    #[error("is longer than {MAX_BYTES} bytes")]
    TooLong,
}

impl Password {
    /// Parses a password and brings it into its normal form.
    ///
    /// # Errors
    /// [`PasswordError::TooLong`] above [`MAX_BYTES`], before any other work, so
    /// that a huge text costs nothing.
    pub fn parse(received: &str) -> Result<Self, PasswordError> {
        if received.len() > MAX_BYTES {
            return Err(PasswordError::TooLong);
        }
        // NFC makes UTF-8 at most three times as long (Unicode normalization FAQ).
        // With that capacity the buffer is never reallocated, which would leave an
        // unwiped copy in freed memory.
        let mut text = Zeroizing::new(String::with_capacity(3 * received.len()));
        let spaced = received.chars().map(ascii_space);
        text.extend(ComposingNormalizerBorrowed::new_nfc().normalize_iter(spaced));
        Ok(Self { text })
    }

    /// Returns the normal form.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Replaces a character of Unicode category Zs by the ASCII space. The category is
/// spelled out: one that a later Unicode adds would change stored passwords.
fn ascii_space(c: char) -> char {
    match c {
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            ' '
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
