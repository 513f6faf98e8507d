//! The rules for a new password: its length, and how easily it is guessed.

use zeroize::Zeroizing;

use super::guesses;
use super::lists::{Lists, fold};
use super::{MAX_BYTES, Password, PasswordError};
use crate::email::EmailAddress;

/// The rules for a new password.
///
/// A password is rejected when it is in the list of leaked ones, or when it is
/// easily guessed. For that it is split into the pieces that are cheapest to guess
/// (words, names, repeats, sequences, walks on a keyboard, dates), and rejected when
/// the product of their guesses and of their possible orders is below
///
/// - 10⁸ where the minimum length is 15 or more, so that the password may be the
///   only factor: with [`Params::DEFAULT`](super::Params::DEFAULT), 10⁸ hashes take
///   one core about a month, so a rented machine breaks a copied row within a day.
///   Two ordinary words in a row are below it; three are above it unless they are
///   among the most common;
/// - 10⁶ where it is less, so that a second factor is in use: the number of guesses
///   that an attacker can make online. Eight random letters are above it.
///
/// The whole password is estimated, never a part of it: one that is too long to
/// estimate at once is rejected only if every chunk of it is easily guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordRules {
    min_length: usize,
}

/// The reason why a new password is rejected. `Display` is a sentence for the
/// person who chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Fewer code points than the minimum.
    #[error("The password must have at least {min_length} characters.")]
    TooShort {
        /// The minimum, in code points.
        min_length: usize,
    },
    /// Longer than [`MAX_BYTES`].
    #[error("The password must have at most {MAX_BYTES} bytes.")]
    TooLong,
    /// In the list of leaked passwords.
    #[error("The password is in a list of leaked ones.")]
    Leaked,
    /// A common password, word or name.
    #[error("The password is in a list of common passwords, words and names.")]
    Common,
    /// Easily guessed because of words that belong to the account.
    #[error("The password is made of words from your account, such as your e-mail address.")]
    OwnWords,
    /// Easily guessed because of few and likely pieces.
    #[error(
        "The password is easy to guess: it is made of a few common words, repeats, sequences or dates. Add another unusual word."
    )]
    Guessable,
}

impl Rejection {
    /// Returns the code that programs match on.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TooShort { .. } => "too_short",
            Self::TooLong => "too_long",
            Self::Leaked => "leaked",
            Self::Common => "common",
            Self::OwnWords => "own_words",
            Self::Guessable => "guessable",
        }
    }
}

impl From<PasswordError> for Rejection {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::TooLong => Self::TooLong,
        }
    }
}

/// The error for a minimum length outside [`PasswordRules::LOWEST_MIN_LENGTH`] to
/// [`PasswordRules::HIGHEST_MIN_LENGTH`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be between {} and {}",
    PasswordRules::LOWEST_MIN_LENGTH,
    PasswordRules::HIGHEST_MIN_LENGTH
)]
pub struct MinLengthError;

impl PasswordRules {
    /// The minimum length, in code points, where the password is the only factor
    /// (NIST SP 800-63B-4 section 3.1.1.2).
    pub const DEFAULT_MIN_LENGTH: usize = 15;
    /// The lowest minimum that can be configured, for use with a second factor
    /// (same section).
    pub const LOWEST_MIN_LENGTH: usize = 8;
    /// The highest minimum that can be configured: passwords of 64 characters must
    /// be allowed (same section).
    pub const HIGHEST_MIN_LENGTH: usize = 64;

    /// Creates rules with a minimum length in code points.
    ///
    /// # Errors
    /// [`MinLengthError`] below 8 or above 64.
    pub fn with_min_length(min_length: usize) -> Result<Self, MinLengthError> {
        if (Self::LOWEST_MIN_LENGTH..=Self::HIGHEST_MIN_LENGTH).contains(&min_length) {
            Ok(Self { min_length })
        } else {
            Err(MinLengthError)
        }
    }

    /// Returns the minimum length in code points.
    #[must_use]
    pub fn min_length(self) -> usize {
        self.min_length
    }

    /// Parses and checks a new password for the account with this e-mail address.
    ///
    /// # Errors
    /// Every reason to reject it, as [`PasswordRules::check`] returns them.
    pub fn accept(
        self,
        received: &str,
        email: Option<&EmailAddress>,
    ) -> Result<Password, Vec<Rejection>> {
        let password = Password::parse(received).map_err(|error| vec![error.into()])?;
        let own_words: Vec<&str> = email.into_iter().flat_map(EmailAddress::words).collect();
        self.check(&password, &own_words)?;
        Ok(password)
    }

    /// Checks a new password. `own_words` are those that an attacker tries first
    /// for this account: its e-mail address and the parts of it, and the name of
    /// the service.
    ///
    /// # Errors
    /// Every reason to reject it; never empty.
    pub fn check(self, password: &Password, own_words: &[&str]) -> Result<(), Vec<Rejection>> {
        let text = password.as_str();
        let mut rejections = Vec::new();
        if text.chars().count() < self.min_length {
            rejections.push(Rejection::TooShort {
                min_length: self.min_length,
            });
        }
        rejections.extend(self.guessable(text, own_words));
        if rejections.is_empty() {
            Ok(())
        } else {
            Err(rejections)
        }
    }

    fn guesses_needed(self) -> u64 {
        if self.min_length < Self::DEFAULT_MIN_LENGTH {
            1_000_000
        } else {
            guesses::ONLY_FACTOR
        }
    }

    /// Returns the reason if the password is easily guessed for this account.
    fn guessable(self, text: &str, own_words: &[&str]) -> Option<Rejection> {
        let chars = Zeroizing::new(text.chars().collect::<Vec<char>>());
        if Lists::compiled().has_leaked(&chars) {
            return Some(Rejection::Leaked);
        }
        let rest = without_own_words(&chars, own_words);
        let has_own_words = rest.len() < chars.len();
        // An attacker knows the own words, so only the rest counts.
        if has_own_words && (rest.is_empty() || self.guessable_by_anyone(&rest).is_some()) {
            return Some(Rejection::OwnWords);
        }
        self.guessable_by_anyone(&chars)
    }

    /// Returns the reason if the characters are easily guessed for any account.
    fn guessable_by_anyone(self, chars: &[char]) -> Option<Rejection> {
        let easily = guesses::below(self.guesses_needed(), &Lists::compiled(), chars)?;
        Some(if easily.is_listed {
            Rejection::Common
        } else {
            Rejection::Guessable
        })
    }
}

impl Default for PasswordRules {
    fn default() -> Self {
        Self {
            min_length: Self::DEFAULT_MIN_LENGTH,
        }
    }
}

/// The number of own words, with their parts, that are looked for.
const MAX_OWN_WORDS: usize = 32;

/// Returns the password without the account's own words, in any case, in their
/// usual respellings, or reversed.
fn without_own_words(chars: &[char], own_words: &[&str]) -> Zeroizing<Vec<char>> {
    let pieces = own_pieces(own_words);
    let folded = Zeroizing::new(chars.iter().copied().map(fold).collect::<Vec<char>>());
    let mut rest = Zeroizing::new(Vec::with_capacity(chars.len()));
    let mut at = 0;
    while at < chars.len() {
        if let Some(piece) = pieces.iter().find(|piece| folded[at..].starts_with(piece)) {
            at += piece.len();
        } else {
            rest.push(chars[at]);
            at += 1;
        }
    }
    rest
}

/// Returns the own words, their parts, and each of them reversed: folded, the
/// longest first. Pieces shorter than three characters are skipped: they would
/// occur in many passwords by chance.
fn own_pieces(own_words: &[&str]) -> Vec<Vec<char>> {
    let mut pieces: Vec<Vec<char>> = Vec::new();
    for word in own_words {
        let parts = word.split(|c: char| !c.is_alphanumeric());
        let names = parts
            .clone()
            .map(|part| part.trim_matches(char::is_numeric));
        for piece in std::iter::once(*word).chain(parts).chain(names) {
            let piece: Vec<char> = piece.chars().map(fold).take(MAX_BYTES).collect();
            if piece.len() >= 3 && !pieces.contains(&piece) && pieces.len() < MAX_OWN_WORDS {
                pieces.push(piece);
            }
        }
    }
    let reversed: Vec<Vec<char>> = pieces
        .iter()
        .map(|piece| piece.iter().rev().copied().collect())
        .collect();
    pieces.extend(reversed);
    // The longest first: of "lea" and "lea.martin" the longer one is removed.
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.len()));
    pieces
}

#[cfg(test)]
mod tests;
