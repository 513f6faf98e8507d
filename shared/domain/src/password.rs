//! Passwords: how one is read, when one is refused, how one is hashed and
//! verified.
//!
//! Owns the normal form, the rules for a new password, the stored form and the
//! work of hashing. Refuses randomness (the salt is an input) and composition
//! rules (NIST SP 800-63B-4 section 3.1.1.2): a password is refused for its
//! length, or because it would soon be guessed, and for nothing else.

use std::fmt;
use std::thread::{self, JoinHandle};

use argon2::{Algorithm, Argon2, Block, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use icu_normalizer::ComposingNormalizerBorrowed;
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::{Zeroize, Zeroizing};
use zxcvbn::matching::Match;
use zxcvbn::matching::patterns::MatchPattern;

use crate::email::EmailAddress;

/// The most bytes of UTF-8 that are taken as a password, as received.
pub const MAX_BYTES: usize = 1024;

/// A password as somebody gave it, in its normal form.
///
/// The normal form is what the `OpaqueString` profile (RFC 8265 section 4.2.2)
/// makes of it: every space that is not ASCII (Unicode category Zs) becomes
/// U+0020, then Unicode NFC; case, width and direction stay. It is applied once,
/// when a password is set and when it is verified, and nothing else is changed,
/// trimmed or cut. Unlike that profile, no character is refused: which ones are
/// assigned depends on the version of Unicode, and nobody should be locked out
/// by a new one.
///
/// Wiped when dropped; shows nothing of itself in `Debug`.
pub struct Password {
    normal: Zeroizing<String>,
}

/// Why a text is not taken as a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// More than [`MAX_BYTES`].
    #[error("is longer than {MAX_BYTES} bytes")]
    TooLong,
}

impl Password {
    /// Reads a password; no work is done on one that is too long.
    ///
    /// # Errors
    /// [`PasswordError::TooLong`] above [`MAX_BYTES`], as received.
    pub fn parse(received: &str) -> Result<Self, PasswordError> {
        if received.len() > MAX_BYTES {
            return Err(PasswordError::TooLong);
        }
        // NFC makes UTF-8 at most three times as long, so this never moves and
        // leaves no copy behind.
        let mut normal = Zeroizing::new(String::with_capacity(3 * received.len()));
        let spaced = received.chars().map(ascii_space);
        normal.extend(ComposingNormalizerBorrowed::new_nfc().normalize_iter(spaced));
        Ok(Self { normal })
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Spells out category Zs, so that a later Unicode changes no stored password.
fn ascii_space(c: char) -> char {
    match c {
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            ' '
        }
        other => other,
    }
}

/// What a new password must satisfy.
///
/// The lists and the estimate are those of `zxcvbn` (30,000 common passwords,
/// and words and names of the English-speaking world, with their usual
/// respellings; repeats, sequences, walks on a keyboard, dates). A password is
/// taken apart into the pieces that are guessed most cheaply, and refused when
/// the product of their guesses and of the orders they can stand in is below
///
/// - 10⁸ where the minimum length is 15 or more, so that the password may stand
///   alone: with the parameters of [`Params::DEFAULT`], 10⁸ hashes are about a
///   month of one core, so a copied row falls to a rented machine within a day.
///   Two ordinary words in a row are below it, and three are above it unless they
///   are among the commonest;
/// - 10⁶ where it is less, so that a second factor is in use: what an attacker
///   can try online. Eight random letters are above it.
///
/// The estimate is made of the whole password, never of a part of it: where it
/// is longer than can be judged at once, every stretch of it must be guessable.
/// The crate reads the year from the system's clock, once a process, for dates
/// alone: a year close to it counts as likely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordRules {
    min_length: usize,
}

/// Why a new password is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Fewer code points than the minimum.
    #[error("The password must have at least {min_length} characters.")]
    TooShort {
        /// The fewest code points that are taken.
        min_length: usize,
    },
    /// More bytes than are taken.
    #[error("The password must have at most {MAX_BYTES} bytes.")]
    TooLong,
    /// It stands in a list.
    #[error("The password is in a list of common passwords, words and names.")]
    Common,
    /// The account's own words make it guessable.
    #[error(
        "The password is made of words that belong to the account, such as its e-mail address."
    )]
    OwnWords,
    /// Few and likely pieces make it guessable.
    #[error(
        "The password is made of a few common words, repeats, sequences or dates, and would soon be guessed. Add another unusual word."
    )]
    Guessable,
}

impl Rejection {
    /// The name by which a program tells it from the others.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TooShort { .. } => "too_short",
            Self::TooLong => "too_long",
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

/// A minimum length outside [`PasswordRules::LOWEST_MIN_LENGTH`] to
/// [`PasswordRules::HIGHEST_MIN_LENGTH`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be from {} to {}",
    PasswordRules::LOWEST_MIN_LENGTH,
    PasswordRules::HIGHEST_MIN_LENGTH
)]
pub struct MinLengthError;

impl PasswordRules {
    /// The minimum, in code points, of a password that stands alone.
    pub const DEFAULT_MIN_LENGTH: usize = 15;
    /// The lowest minimum, for where a second factor is in use.
    pub const LOWEST_MIN_LENGTH: usize = 8;
    /// The highest minimum: 64 characters must always be allowed.
    pub const HIGHEST_MIN_LENGTH: usize = 64;

    /// Rules with another minimum length, in code points.
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

    /// The fewest code points that are taken.
    #[must_use]
    pub fn min_length(self) -> usize {
        self.min_length
    }

    /// Takes a new password as it was received, for the account of an address.
    ///
    /// # Errors
    /// Everything that is wrong with it, as [`PasswordRules::check`] tells it.
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

    /// Judges a new password. `own_words` are those that an attacker would try
    /// first for this account: its e-mail address and the parts of it, and the
    /// name of the service.
    ///
    /// # Errors
    /// Everything that is wrong with it, never empty.
    pub fn check(self, password: &Password, own_words: &[&str]) -> Result<(), Vec<Rejection>> {
        let mut rejections = Vec::new();
        if password.normal.chars().count() < self.min_length {
            rejections.push(Rejection::TooShort {
                min_length: self.min_length,
            });
        }
        rejections.extend(self.guessed_as(&password.normal, own_words));
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
            100_000_000
        }
    }

    /// Why an attacker would soon guess it, if they would.
    fn guessed_as(self, text: &str, own_words: &[&str]) -> Option<Rejection> {
        let chars = Zeroizing::new(text.chars().collect::<Vec<char>>());
        let rest = without_own_words(&chars, own_words);
        let is_own = rest.len() < chars.len();
        if is_own && (rest.is_empty() || self.judge(&rest).is_some()) {
            return Some(Rejection::OwnWords);
        }
        self.judge(&chars)
    }

    /// Why the characters would soon be guessed, whosever they are.
    fn judge(self, chars: &[char]) -> Option<Rejection> {
        if chars.is_empty() {
            return None;
        }
        let mut reason = Rejection::Common;
        for stretch in chars.chunks(STRETCH).take(MAX_STRETCHES) {
            let estimate = estimate(stretch);
            if estimate.guesses >= self.guesses_needed() {
                return None;
            }
            if !estimate.is_listed {
                reason = Rejection::Guessable;
            }
        }
        Some(reason)
    }
}

impl Default for PasswordRules {
    fn default() -> Self {
        Self {
            min_length: Self::DEFAULT_MIN_LENGTH,
        }
    }
}

/// The code points that are judged at once. zxcvbn takes up to 100, but needs
/// 0.6 s for a hostile 100 (its respellings multiply) against 0.06 s for 28, and
/// multiplies without a check: a walk on a keypad overflows at 29.
const STRETCH: usize = 28;

/// How many stretches are judged: if all these are guessable, so is the rest.
const MAX_STRETCHES: usize = 4;

/// The most own words that are looked for, with their parts.
const MAX_OWN_WORDS: usize = 32;

struct Estimate {
    guesses: u64,
    /// It is one entry of a list, respelt or repeated perhaps.
    is_listed: bool,
}

fn estimate(stretch: &[char]) -> Estimate {
    let (guesses, is_listed) = estimate_plain(stretch.iter());
    // Two patterns dealt out in turn, as in 1q2w3e4r5t6y7u8i or 0102030405, are
    // as guessable as the two, which the estimate misses.
    let (even, _) = estimate_plain(stretch.iter().step_by(2));
    let (odd, _) = estimate_plain(stretch.iter().skip(1).step_by(2));
    let dealt = even.saturating_mul(odd).saturating_mul(2);
    Estimate {
        guesses: guesses.min(dealt),
        is_listed,
    }
}

fn estimate_plain<'a>(chars: impl Iterator<Item = &'a char>) -> (u64, bool) {
    let text = Zeroizing::new(chars.collect::<String>());
    let estimate = zxcvbn::zxcvbn(&text, &[]);
    (guesses(estimate.sequence()), is_listed(estimate.sequence()))
}

/// The guesses for each piece and for their order. zxcvbn's own sum adds 10⁴ for
/// every further piece, by which three pieces always pass for 10⁸, were they
/// `password`, `123` and `!!`.
fn guesses(pieces: &[Match]) -> u64 {
    (1_u64..).zip(pieces).fold(1, |product, (place, piece)| {
        let guesses = piece.guesses.unwrap_or(u64::MAX);
        product.saturating_mul(place).saturating_mul(guesses)
    })
}

fn is_listed(pieces: &[Match]) -> bool {
    let [piece] = pieces else { return false };
    match &piece.pattern {
        MatchPattern::Dictionary(_) => true,
        MatchPattern::Repeat(repeat) => is_listed(&repeat.base_matches),
        _ => false,
    }
}

/// What is left of a password once the account's own words are taken out, in
/// whatever case, respelt as usual, or written backwards.
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

/// The own words, their parts, and each backwards: folded, the longest first.
/// Two letters are no word.
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
    let backwards: Vec<Vec<char>> = pieces
        .iter()
        .map(|piece| piece.iter().rev().copied().collect())
        .collect();
    pieces.extend(backwards);
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.len()));
    pieces
}

/// One letter for all its cases and usual respellings.
fn fold(c: char) -> char {
    match c.to_lowercase().next().unwrap_or(c) {
        '4' | '@' => 'a',
        '3' => 'e',
        '1' | '!' | '|' | 'l' => 'i',
        '0' => 'o',
        '5' | '$' => 's',
        '7' | '+' => 't',
        other => other,
    }
}

/// The cost of an Argon2id hash (RFC 9106 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// Memory, in KiB.
    pub m_kib: u32,
    /// Passes over the memory.
    pub t: u32,
    /// Lanes, computed one after the other.
    pub p: u32,
}

/// Parameters that are not an Argon2id's, or cost more than is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("has Argon2id parameters out of bounds")]
pub struct ParamsError;

impl Params {
    /// The least that OWASP asks for.
    pub const DEFAULT: Self = Self {
        m_kib: 19_456,
        t: 2,
        p: 1,
    };

    /// The most memory that a hash may ask for, in KiB: that of the second
    /// recommendation of RFC 9106 section 4.
    pub const MAX_M_KIB: u32 = 65_536;
    /// The most passes.
    pub const MAX_T: u32 = 10;
    /// The most lanes.
    pub const MAX_P: u32 = 4;
    /// The most blocks of 1 KiB over all passes, about seven times the default.
    pub const MAX_WORK: u32 = 262_144;

    fn checked(self) -> Result<Self, ParamsError> {
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

    /// Blocks filled over all passes; only called on a bounded product.
    fn work(self) -> u32 {
        self.m_kib.saturating_mul(self.t)
    }

    fn argon2(self) -> argon2::Params {
        argon2::Params::new(self.m_kib, self.t, self.p, None)
            .expect("parameters are bounded where they are taken")
    }
}

impl Default for Params {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The bytes of a salt of ours.
pub const SALT_BYTES: usize = 16;
const TAG_BYTES: usize = 32;

/// The most characters of a stored hash.
const MAX_HASH_CHARS: usize = 256;
const SALT_RANGE: std::ops::RangeInclusive<usize> = 8..=64;
// A shorter tag would be easier to meet than the password is to guess.
const TAG_RANGE: std::ops::RangeInclusive<usize> = 16..=64;

/// A password's hash as it is stored: a PHC string.
///
/// Argon2id of version 1.3 for now. What it asks for is bounded when it is read,
/// so that a hostile row can't burn memory or time: see [`Params`]; 8 to 64
/// bytes of salt, 16 to 64 of tag.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredHash {
    text: String,
    kind: Kind,
}

/// The algorithms that a password can be verified by.
#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Argon2id(Argon2id),
}

#[derive(Clone, PartialEq, Eq)]
struct Argon2id {
    params: Params,
    salt: Vec<u8>,
    tag: Vec<u8>,
}

/// Why a text is not taken as a stored hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoredHashError {
    /// Not a PHC string, or not in its one canonical spelling.
    #[error("is malformed")]
    Malformed,
    /// An algorithm, or a version of it, that is not verified here.
    #[error("is of an unknown kind")]
    UnknownKind,
    /// It asks for more, or for less, than is allowed.
    #[error("is out of bounds")]
    OutOfBounds,
}

impl StoredHash {
    /// Reads a PHC string, as `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<tag>`.
    ///
    /// # Errors
    /// [`StoredHashError`] says why it can't be verified. Where a sign-in meets
    /// one, it verifies against `None`, so that the answer takes as long.
    pub fn parse(text: &str) -> Result<Self, StoredHashError> {
        if text.len() > MAX_HASH_CHARS {
            return Err(StoredHashError::OutOfBounds);
        }
        let fields: Vec<&str> = text.split('$').collect();
        let ["", kind, fields @ ..] = fields.as_slice() else {
            return Err(StoredHashError::Malformed);
        };
        let kind = match *kind {
            "" => return Err(StoredHashError::Malformed),
            "argon2id" => Kind::Argon2id(Argon2id::parse(fields)?),
            _ => return Err(StoredHashError::UnknownKind),
        };
        Ok(Self {
            text: text.to_owned(),
            kind,
        })
    }

    /// The PHC string.
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
        if number(version, "v=")? != 19 {
            return Err(StoredHashError::UnknownKind);
        }
        let params: Vec<&str> = params.split(',').collect();
        let [m, t, p] = *params.as_slice() else {
            return Err(StoredHashError::Malformed);
        };
        let params = Params {
            m_kib: number(m, "m=")?,
            t: number(t, "t=")?,
            p: number(p, "p=")?,
        };
        let params = params.checked().map_err(|_| StoredHashError::OutOfBounds)?;
        let salt = STANDARD_NO_PAD
            .decode(salt)
            .map_err(|_| StoredHashError::Malformed)?;
        let tag = STANDARD_NO_PAD
            .decode(tag)
            .map_err(|_| StoredHashError::Malformed)?;
        if !SALT_RANGE.contains(&salt.len()) || !TAG_RANGE.contains(&tag.len()) {
            return Err(StoredHashError::OutOfBounds);
        }
        Ok(Self { params, salt, tag })
    }

    fn into_stored(self) -> StoredHash {
        let Params { m_kib, t, p } = self.params;
        let salt = STANDARD_NO_PAD.encode(&self.salt);
        let tag = STANDARD_NO_PAD.encode(&self.tag);
        let text = format!("$argon2id$v=19$m={m_kib},t={t},p={p}${salt}${tag}");
        StoredHash {
            text,
            kind: Kind::Argon2id(self),
        }
    }
}

/// Reads a decimal number in its only spelling: no sign, no leading zero.
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

/// What came of verifying a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum PasswordCheck {
    /// It is the one that was hashed.
    Match {
        /// The hash was made with other parameters than are used now: hash the
        /// password again and store that.
        needs_rehash: bool,
    },
    /// It is another one, or there is no hash.
    Mismatch,
}

/// Computes hashes in one buffer, kept for its life.
///
/// A fresh buffer of 19 MiB costs 4,864 page faults, at every hash. So a process has
/// one, whose every page is touched when it is made: at once ([`Hasher::new`]), or
/// beside the start ([`Hasher::prewarm`]). Each hash is computed in it, and
/// wipes what it used (which takes a twentieth of the hash).
pub struct Hasher {
    params: Params,
    /// Stands in for the hash of an account that does not exist.
    absent: Argon2id,
    memory: Vec<Block>,
    /// Where the buffer comes from, while it is still being made.
    making: Option<JoinHandle<Vec<Block>>>,
    /// The work done so far, for tests: time is too coarse a measure.
    #[cfg(test)]
    blocks_filled: u64,
}

impl Hasher {
    /// A hasher with [`Params::DEFAULT`] and its 19 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self::bounded(Params::DEFAULT)
    }

    /// The same without its buffer, which [`Hasher::prewarm`] makes, or else
    /// the first hash.
    #[must_use]
    pub fn lazy() -> Self {
        Self::without_memory(Params::DEFAULT)
    }

    /// Has the buffer made by a thread of its own, which ends with that. The first
    /// hash waits for it.
    ///
    /// Touching the pages takes several times as long as all else that a function
    /// does before its first request. That request waits for the tables before it
    /// comes to its hash, and the buffer is there by then.
    pub fn prewarm(&mut self) {
        let needed = self.params.argon2().block_count();
        if self.making.is_some() || self.memory.len() >= needed {
            return;
        }
        let make = move || {
            let mut memory = Vec::new();
            grow(&mut memory, needed);
            memory
        };
        // Without a thread the first hash makes it.
        self.making = thread::Builder::new().spawn(make).ok();
    }

    /// A hasher with other parameters.
    ///
    /// # Errors
    /// [`ParamsError`] when they are no Argon2id's or above the bounds.
    pub fn with_params(params: Params) -> Result<Self, ParamsError> {
        params.checked().map(Self::bounded)
    }

    fn bounded(params: Params) -> Self {
        let mut hasher = Self::without_memory(params);
        hasher.grow_to(params);
        hasher
    }

    fn without_memory(params: Params) -> Self {
        let absent = Argon2id {
            params,
            salt: vec![0; SALT_BYTES],
            tag: vec![0; TAG_BYTES],
        };
        Self {
            params,
            absent,
            memory: Vec::new(),
            making: None,
            #[cfg(test)]
            blocks_filled: 0,
        }
    }

    /// Hashes a password. The salt must be fresh random bytes.
    #[must_use]
    pub fn hash(&mut self, password: &Password, salt: [u8; SALT_BYTES]) -> StoredHash {
        let mut tag = vec![0; TAG_BYTES];
        self.compute(self.params, password, &salt, &mut tag);
        Argon2id {
            params: self.params,
            salt: salt.to_vec(),
            tag,
        }
        .into_stored()
    }

    /// Verifies a password against a stored hash, in constant time for the same
    /// parameters.
    ///
    /// `None`, an account that doesn't exist, takes the same work, and so does a
    /// hash with cheaper parameters than are used now. One with dearer
    /// parameters takes longer, until it is hashed again at its next sign-in.
    pub fn verify(&mut self, password: &Password, stored: Option<&StoredHash>) -> PasswordCheck {
        match stored.map(|stored| &stored.kind) {
            Some(Kind::Argon2id(hash)) => {
                if bool::from(self.is_tag_of(password, hash)) {
                    let needs_rehash = hash.params != self.params
                        || hash.salt.len() != SALT_BYTES
                        || hash.tag.len() != TAG_BYTES;
                    PasswordCheck::Match { needs_rehash }
                } else {
                    PasswordCheck::Mismatch
                }
            }
            None => {
                let absent = self.absent.clone();
                let _never = self.is_tag_of(password, &absent);
                PasswordCheck::Mismatch
            }
        }
    }

    fn is_tag_of(&mut self, password: &Password, hash: &Argon2id) -> Choice {
        let mut tag = Zeroizing::new(vec![0; hash.tag.len()]);
        self.compute(hash.params, password, &hash.salt, &mut tag);
        self.make_up_for(hash.params, password);
        tag.ct_eq(&hash.tag)
    }

    /// Does the work that parameters cheaper than ours saved.
    fn make_up_for(&mut self, params: Params, password: &Password) {
        let saved = self.params.work().saturating_sub(params.work());
        let rest = Params {
            m_kib: saved / self.params.t,
            t: self.params.t,
            p: 1,
        };
        if rest.checked().is_ok() {
            let mut tag = Zeroizing::new([0; TAG_BYTES]);
            self.compute(rest, password, &[0; SALT_BYTES], tag.as_mut());
        }
    }

    fn compute(&mut self, params: Params, password: &Password, salt: &[u8], tag: &mut [u8]) {
        self.grow_to(params);
        #[cfg(test)]
        let work = params.work();
        let params = params.argon2();
        let used = &mut self.memory[..params.block_count()];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(password.normal.as_bytes(), salt, tag, &mut *used)
            .expect("the buffer fits, and salt and tag are bounded where they are taken");
        #[cfg(test)]
        {
            self.blocks_filled += u64::from(work);
        }
        // The blocks would tell a guess from the password at a fraction of the
        // cost of a hash.
        used.iter_mut().for_each(Zeroize::zeroize);
    }

    /// Makes the buffer large enough and touches each page of what is new.
    fn grow_to(&mut self, params: Params) {
        if let Some(making) = self.making.take() {
            self.memory = making.join().expect("making the buffer does not panic");
        }
        grow(&mut self.memory, params.argon2().block_count());
    }
}

/// Makes a buffer large enough and touches each page of what is new.
fn grow(memory: &mut Vec<Block>, needed: usize) {
    memory.reserve_exact(needed.saturating_sub(memory.len()));
    // Zeroed memory can be handed out untouched; blocks with a one can't. The next
    // hash overwrites it. Not by `resize`, which writes word by word.
    let mut touched = Block::new();
    touched.as_mut()[0] = 1;
    while memory.len() < needed {
        memory.push(touched);
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher")
            .field("params", &self.params)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; SALT_BYTES] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    const CHEAP: Params = Params {
        m_kib: 64,
        t: 3,
        p: 1,
    };

    /// Made by the reference implementation (argon2-cffi 25.1.0), with `SALT`.
    const REFERENCE: &str = "$argon2id$v=19$m=64,t=3,p=1$AAECAwQFBgcICQoLDA0ODw$vCQOGAogW9Lngs3GSYPyR+dq64+yEzrsFXC3DMzWi/8";

    fn password(text: &str) -> Password {
        Password::parse(text).unwrap()
    }

    fn stored(text: &str) -> StoredHash {
        StoredHash::parse(text).unwrap()
    }

    fn cheap_hasher() -> Hasher {
        Hasher::with_params(CHEAP).unwrap()
    }

    fn matches(given: &str, set: &str) -> bool {
        let mut hasher = cheap_hasher();
        let hash = hasher.hash(&password(set), SALT);
        hasher.verify(&password(given), Some(&hash)) != PasswordCheck::Mismatch
    }

    fn rejections(text: &str) -> Vec<Rejection> {
        rejections_of("lea.martin@example.com", text)
    }

    fn rejections_of(email: &str, text: &str) -> Vec<Rejection> {
        PasswordRules::default()
            .check(&password(text), &[email, "Curfew"])
            .err()
            .unwrap_or_default()
    }

    #[test]
    fn a_password_of_1024_bytes_is_taken_and_a_longer_one_is_not() {
        assert!(Password::parse(&"x".repeat(1024)).is_ok());
        assert_eq!(
            Password::parse(&"x".repeat(1025)).err(),
            Some(PasswordError::TooLong)
        );
        assert_eq!(
            Password::parse(&"é".repeat(513)).err(),
            Some(PasswordError::TooLong)
        );
    }

    #[test]
    fn the_same_characters_typed_otherwise_are_the_same_password() {
        assert!(matches("cafe\u{301} au lait", "caf\u{e9} au lait"));
        assert!(matches("caf\u{e9} au lait", "cafe\u{301} au lait"));
        assert!(matches(
            "caf\u{e9}\u{a0}au\u{3000}lait",
            "caf\u{e9} au lait"
        ));
        assert!(matches("\u{212b}ngstrom", "\u{c5}ngstrom"));
    }

    #[test]
    fn nothing_but_the_normal_form_is_changed() {
        for other in [
            "Caf\u{e9} au lait",
            " caf\u{e9} au lait",
            "caf\u{e9} au lait ",
            "caf\u{e9}  au lait",
            "caf\u{e9} au lait\n",
            "caf\u{e9} au lait\0",
            "caf\u{e9} au\tlait",
            "cafe au lait",
            "\u{ff43}af\u{e9} au lait",
            "caf\u{e9} au lait\u{200b}",
        ] {
            assert!(!matches(other, "caf\u{e9} au lait"), "{other:?}");
        }
    }

    #[test]
    fn every_byte_of_a_long_password_counts() {
        let long = "x".repeat(1023);
        assert!(matches(&format!("{long}y"), &format!("{long}y")));
        assert!(!matches(&format!("{long}y"), &format!("{long}z")));
        assert!(!matches(&long, &format!("{long}z")));
    }

    #[test]
    fn normalising_leaves_no_copy_behind() {
        // What NFC lengthens most, and what it shortens.
        for text in [
            "\u{1d160}".repeat(256),
            "\u{fb2c}".repeat(341),
            "e\u{301}".repeat(341),
        ] {
            let normal = password(&text).normal;
            assert_eq!(normal.capacity(), 3 * text.len(), "the text was moved");
        }
    }

    #[test]
    fn no_secret_shows_in_debug() {
        let mut hasher = cheap_hasher();
        let secret = password("wxyz wxyz wxyz");
        let hash = hasher.hash(&secret, SALT);
        assert_eq!(format!("{secret:?}"), "Password(…)");
        assert_eq!(format!("{hash:?}"), "StoredHash(…)");
        assert_eq!(
            format!("{hasher:?}"),
            "Hasher { params: Params { m_kib: 64, t: 3, p: 1 }, .. }"
        );
    }

    #[test]
    fn the_minimum_is_counted_in_code_points_of_the_normal_form() {
        let too_short = vec![Rejection::TooShort { min_length: 15 }];
        assert_eq!(rejections("vqjxkzwpbfmhdg"), too_short);
        assert_eq!(rejections("vqjxkzwpbfmhdgt"), []);
        assert_eq!(rejections("vqjxkzwpbfmhd\u{e9}"), too_short);
        assert_eq!(rejections("vqjxkzwpbfmhde\u{301}"), too_short);
        assert_eq!(rejections("vqjxkzwpbfmhdge\u{301}"), []);
        assert_eq!(rejections("🦊🎻🌵🧲🪁🍋🛶🔭🧵🎲🪐🦑🥁🧊🪵"), []);
    }

    #[test]
    fn a_minimum_is_from_8_to_64() {
        for (min_length, is_taken) in [(0, false), (7, false), (8, true), (64, true), (65, false)] {
            assert_eq!(PasswordRules::with_min_length(min_length).is_ok(), is_taken);
        }
        assert_eq!(PasswordRules::default().min_length(), 15);
        assert_eq!(PasswordRules::with_min_length(20).unwrap().min_length(), 20);
    }

    #[test]
    fn a_good_password_may_be_as_long_as_one_is_taken() {
        let words = "gravel otter ninety lantern ".repeat(40);
        for length in [64, 65, 100, 101, 1024] {
            assert_eq!(rejections(&words[..length]), [], "{length}");
        }
    }

    #[test]
    fn no_kind_of_character_is_asked_for() {
        for text in [
            "vqjxkzwpbfmhdgt",
            "VQJXKZWPBFMHDGT",
            "739164825017463",
            "gravel otter lantern",
            "graveotterlantern",
            "мой пёс любит сыр",
            "我家的猫昨天晚上吃了三条很大的鱼",
            "correct horse battery staple",
        ] {
            assert_eq!(rejections(text), [], "{text}");
        }
    }

    #[test]
    fn a_listed_password_is_refused() {
        for text in [
            "1qaz2wsx3edc4rfv",
            "passwordpassword",
            "PasswordPassword",
            "p@ssw0rdp@ssw0rd",
            "drowssapdrowssap",
            "iloveyouiloveyou",
            "counterproductive",
            "12345678900987654321",
        ] {
            assert_eq!(rejections(text), [Rejection::Common], "{text}");
        }
    }

    #[test]
    fn a_guessable_password_is_refused() {
        for text in [
            "aaaaaaaaaaaaaaa",
            "abcabcabcabcabc",
            "abcdefghijklmnop",
            "987654321098765",
            "qwertyuiopasdfgh",
            "!@#$%^&*()_+!@#",
            "1q2w3e4r5t6y7u8i",
            "1q2w3e4r5t6y7u8i9o",
            "0102030405060708",
            "11223344556677889900",
            "a1b2c3d4e5f6g7h8",
            "password1234567",
            "Password123!!2024",
            "christopher12345",
            "manchesterunited",
            "elephantbicycle",
            "Summer2024Summer2024",
            "               ",
        ] {
            assert_eq!(rejections(text), [Rejection::Guessable], "{text:?}");
        }
    }

    #[test]
    fn two_ordinary_words_are_refused_and_three_are_taken() {
        for text in ["elephantbicycle", "summerwinterlove"] {
            assert_eq!(rejections(text), [Rejection::Guessable], "{text}");
        }
        for text in ["tigerlionmonkey", "elephantbicyclelake"] {
            assert_eq!(rejections(text), [], "{text}");
        }
    }

    #[test]
    fn a_password_of_the_accounts_own_words_is_refused() {
        for text in [
            "lea.martin@example.com",
            "LEA.MARTIN@EXAMPLE.COM",
            "leamartinexamplecom",
            "lea-martin-curfew-1",
            "L34-M4rt1n-Curf3w!",
            "nitramaelwefruc!",
            "Curfew Curfew Lea 2",
        ] {
            assert_eq!(rejections(text), [Rejection::OwnWords], "{text}");
        }
        // The longer of two words that begin alike.
        let text = "vqjxkzwpbfmhdg!!";
        assert_eq!(
            rejections_of("vqj.vqjxkzwpbfmhdg@example.com", text),
            [Rejection::OwnWords]
        );
        let long = "bartholomew.featherstonehaugh@westmorland.example";
        assert_eq!(rejections_of(long, long), [Rejection::OwnWords]);
    }

    #[test]
    fn another_accounts_words_are_no_reason() {
        let text = "featherstonehaugh-bartholomew";
        let owner = "bartholomew.featherstonehaugh@example.com";
        assert_eq!(rejections_of(owner, text), [Rejection::OwnWords]);
        assert_eq!(rejections_of("lea@example.com", text), []);
    }

    #[test]
    fn an_own_word_in_a_good_password_is_no_reason() {
        assert_eq!(rejections("martin gravel otter lantern"), []);
    }

    #[test]
    fn a_long_password_is_refused_only_if_all_of_it_is_guessable() {
        assert_eq!(rejections(&"letmein".repeat(16)), [Rejection::Common]);
        assert_eq!(
            rejections(&format!("{}abcdefghijklmnop", "letmein".repeat(4))),
            [Rejection::Guessable]
        );
        assert_eq!(rejections(&"a".repeat(1024)), [Rejection::Guessable]);
        assert_eq!(
            rejections(&format!("{}vqjxkzwpbfmhdgt", "a".repeat(28))),
            []
        );
        assert_eq!(
            rejections(&format!("{}vqjxkzwpbfmhdgt", "a".repeat(84))),
            []
        );
    }

    #[test]
    fn beside_a_second_factor_eight_random_letters_pass_and_a_common_word_does_not() {
        let rules = PasswordRules::with_min_length(8).unwrap();
        for text in ["vqjxkzwp", "V7qjxk2w", "elephantbicycle"] {
            assert_eq!(rules.check(&password(text), &[]), Ok(()), "{text}");
        }
        for text in [
            "password",
            "P@ssw0rd",
            "password1",
            "qwertyui",
            "12345678",
            "elephant1",
        ] {
            assert!(rules.check(&password(text), &[]).is_err(), "{text}");
        }
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let too_short = Rejection::TooShort { min_length: 15 };
        assert_eq!(rejections("password"), [too_short, Rejection::Common]);
        assert_eq!(rejections("lea.martin"), [too_short, Rejection::OwnWords]);
        assert_eq!(rejections("aaaa"), [too_short, Rejection::Guessable]);
        assert_eq!(rejections(""), [too_short]);
    }

    #[test]
    fn every_rejection_has_a_name_and_a_sentence() {
        let all = [
            Rejection::TooShort { min_length: 15 },
            Rejection::from(PasswordError::TooLong),
            Rejection::Common,
            Rejection::OwnWords,
            Rejection::Guessable,
        ];
        let names = all.map(Rejection::name);
        assert_eq!(
            names,
            ["too_short", "too_long", "common", "own_words", "guessable"]
        );
        for rejection in all {
            let sentence = rejection.to_string();
            assert!(sentence.starts_with("The password ") && sentence.ends_with('.'));
        }
        assert!(all[0].to_string().contains("15"));
    }

    #[test]
    fn no_password_makes_the_judge_fail() {
        // A walk on a keypad that turns at every step overflows zxcvbn where it
        // is given whole; respellings multiply; lower case can be longer.
        let walk = "5253596259898489598489598548595745324268453632695487475955752156356";
        let respelt = "48@({[<36910!|7$5+%2".repeat(50);
        for text in [
            walk,
            &walk.repeat(15),
            &respelt,
            &"İ".repeat(512),
            &"ß\u{301}".repeat(256),
        ] {
            let _ = rejections(text);
        }
        let alphabet: Vec<char> = "aA@4eE3 0oO$5sS!1iI(c<2024ßİ\u{301}🦊\0\n147895632"
            .chars()
            .collect();
        let mut state = 1_u32;
        for length in 0..400_u32 {
            let text: String = (0..length % 60)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    alphabet[usize::try_from(state >> 16).unwrap() % alphabet.len()]
                })
                .collect();
            let _ = rejections(&text);
        }
    }

    #[test]
    fn hashes_of_the_reference_implementation_match() {
        let mut hasher = cheap_hasher();
        for (text, hash) in [
            ("correct horse battery staple", REFERENCE),
            (
                "correct horse battery staple",
                "$argon2id$v=19$m=19456,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$gYJZtjEAJqjg26xdLmknq8/bB7MiWPrE9hsYuA+SkIU",
            ),
            (
                "passwörd mit Ümläut",
                "$argon2id$v=19$m=256,t=3,p=4$AAECAwQFBgcICQoLDA0ODw$Ybc9qBL1Vw9dXVJOy76hbsqSVqqlea5e4VU7VzHZ5Ao",
            ),
            (
                "correct horse battery staple",
                "$argon2id$v=19$m=65536,t=3,p=4$AAECAwQFBgcICQoLDA0ODw$hTsnKkTbFCHAKWJmmlXrCZTzyrOF7RxMeSU+7hm6tJ4",
            ),
            (
                "correct horse battery staple",
                "$argon2id$v=19$m=64,t=1,p=1$AAECAwQFBgc$qMOW7PF01xIltPkhQfXNig",
            ),
        ] {
            let verdict = hasher.verify(&password(text), Some(&stored(hash)));
            assert_ne!(verdict, PasswordCheck::Mismatch, "{hash}");
            let verdict = hasher.verify(
                &password("Correct horse battery staple"),
                Some(&stored(hash)),
            );
            assert_eq!(verdict, PasswordCheck::Mismatch, "{hash}");
        }
    }

    #[test]
    fn a_hash_is_the_phc_string_of_the_reference_implementation() {
        let hash = cheap_hasher().hash(&password("correct horse battery staple"), SALT);
        assert_eq!(hash.as_str(), REFERENCE);
        assert_eq!(hash, stored(REFERENCE));
        let hash = Hasher::new().hash(&password("correct horse battery staple"), SALT);
        assert_eq!(
            hash.as_str(),
            "$argon2id$v=19$m=19456,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$gYJZtjEAJqjg26xdLmknq8/bB7MiWPrE9hsYuA+SkIU"
        );
    }

    #[test]
    fn a_changed_salt_or_tag_does_not_match() {
        let mut hasher = cheap_hasher();
        let given = password("correct horse battery staple");
        for changed in [
            REFERENCE.replace("$AAEC", "$BAEC"),
            REFERENCE.replace("$vCQO", "$wCQO"),
            REFERENCE.replace("Wi/8", "Wi/4"),
            REFERENCE.replace("t=3", "t=2"),
            REFERENCE.replace("m=64", "m=72"),
        ] {
            assert_ne!(changed, REFERENCE);
            assert_eq!(
                hasher.verify(&given, Some(&stored(&changed))),
                PasswordCheck::Mismatch
            );
        }
    }

    #[test]
    fn no_password_matches_an_account_that_does_not_exist() {
        let mut hasher = cheap_hasher();
        for text in ["", "correct horse battery staple"] {
            assert_eq!(
                hasher.verify(&password(text), None),
                PasswordCheck::Mismatch
            );
        }
    }

    #[test]
    fn a_hash_with_other_parameters_needs_a_rehash() {
        let given = password("correct horse battery staple");
        let mut hasher = cheap_hasher();
        let now = hasher.verify(&given, Some(&stored(REFERENCE)));
        assert_eq!(
            now,
            PasswordCheck::Match {
                needs_rehash: false
            }
        );
        let short = "$argon2id$v=19$m=64,t=1,p=1$AAECAwQFBgc$qMOW7PF01xIltPkhQfXNig";
        let other = hasher.verify(&given, Some(&stored(short)));
        assert_eq!(other, PasswordCheck::Match { needs_rehash: true });
        for (salt_bytes, tag_bytes) in [(8, TAG_BYTES), (SALT_BYTES, 16)] {
            let (salt, mut tag) = (vec![1; salt_bytes], vec![0; tag_bytes]);
            hasher.compute(CHEAP, &given, &salt, &mut tag);
            let params = CHEAP;
            let short = Argon2id { params, salt, tag }.into_stored();
            let verdict = hasher.verify(&given, Some(&short));
            assert_eq!(verdict, PasswordCheck::Match { needs_rehash: true });
        }
        let mut raised = Hasher::with_params(Params {
            m_kib: 128,
            ..CHEAP
        })
        .unwrap();
        let before = raised.verify(&given, Some(&stored(REFERENCE)));
        assert_eq!(before, PasswordCheck::Match { needs_rehash: true });
    }

    #[test]
    fn every_verdict_takes_the_same_work() {
        let params = Params {
            m_kib: 1024,
            t: 2,
            p: 1,
        };
        let mut hasher = Hasher::with_params(params).unwrap();
        let right = password("correct horse battery staple");
        let current = hasher.hash(&right, SALT);
        let cheaper = stored(REFERENCE);
        let mut work = |given: &Password, stored: Option<&StoredHash>| {
            let before = hasher.blocks_filled;
            let _ = hasher.verify(given, stored);
            hasher.blocks_filled - before
        };
        assert_eq!(work(&right, Some(&current)), 2048);
        assert_eq!(work(&password("wrong"), Some(&current)), 2048);
        assert_eq!(work(&password(""), None), 2048);
        assert_eq!(work(&right, None), 2048);
        assert_eq!(work(&right, Some(&cheaper)), 2048);
        assert_eq!(work(&password("wrong"), Some(&cheaper)), 2048);
    }

    #[test]
    fn a_hash_that_is_malformed_is_not_read() {
        let tag = "vCQOGAogW9Lngs3GSYPyR+dq64+yEzrsFXC3DMzWi/8";
        for text in [
            "",
            "$",
            "$$",
            "password",
            "argon2id$v=19$m=64,t=3,p=1$AAECAwQFBgcICQoLDA0ODw$",
            "$argon2id",
            "$argon2id$v=19$m=64,t=3,p=1$AAECAwQFBgcICQoLDA0ODw",
            &format!("{REFERENCE}$"),
            &format!("{REFERENCE}="),
            &format!("{REFERENCE} "),
            &format!(" {REFERENCE}"),
            &REFERENCE.replace("Wi/8", "Wi/9"),
            &REFERENCE.replace("Wi/8", "Wi_8"),
            &REFERENCE.replace("v=19$", ""),
            &REFERENCE.replace("v=19", "v=019"),
            &REFERENCE.replace("v=19", "v=+19"),
            &REFERENCE.replace("m=64", "m="),
            &REFERENCE.replace("m=64", "m=-64"),
            &REFERENCE.replace("m=64", "m=064"),
            &REFERENCE.replace("m=64", "m=6４"),
            &REFERENCE.replace("m=64,t=3", "t=3,m=64"),
            &REFERENCE.replace("p=1", "p=1,data=AAAA"),
            &REFERENCE.replace(tag, "é"),
        ] {
            assert_eq!(
                StoredHash::parse(text),
                Err(StoredHashError::Malformed),
                "{text}"
            );
        }
    }

    #[test]
    fn a_hash_of_another_kind_is_not_read() {
        for text in [
            "$argon2i$v=19$m=64,t=3,p=1$AAECAwQFBgcICQoLDA0ODw$C8W2xoWFXVw5yOZgMePINu7i1XC/kkjTfqJcYyNNb80",
            "$2b$12$abcdefghijklmnopqrstuvabcdefghijklmnopqrstuvabcdefghijk",
            &REFERENCE.replace("argon2id", "ARGON2ID"),
            &REFERENCE.replace("argon2id", "argon2d"),
            &REFERENCE.replace("v=19", "v=16"),
        ] {
            assert_eq!(
                StoredHash::parse(text),
                Err(StoredHashError::UnknownKind),
                "{text}"
            );
        }
    }

    #[test]
    fn a_hash_that_asks_for_too_much_or_too_little_is_not_read() {
        let (salt, tag) = (
            "AAECAwQFBgcICQoLDA0ODw",
            "vCQOGAogW9Lngs3GSYPyR+dq64+yEzrsFXC3DMzWi/8",
        );
        for text in [
            &REFERENCE.replace("m=64", "m=65537"),
            &REFERENCE.replace("m=64", "m=4294967295"),
            &REFERENCE.replace("m=64", "m=4294967296"),
            &REFERENCE.replace("m=64", "m=99999999999999999999"),
            &REFERENCE.replace("m=64", "m=7"),
            &REFERENCE.replace("m=64", "m=0"),
            &REFERENCE.replace("t=3", "t=0"),
            &REFERENCE.replace("t=3", "t=11"),
            &REFERENCE.replace("t=3", "t=4294967295"),
            &REFERENCE.replace("p=1", "p=0"),
            &REFERENCE.replace("p=1", "p=5"),
            &REFERENCE.replace("p=1", "p=4294967295"),
            &REFERENCE.replace("m=64,t=3,p=1", "m=31,t=3,p=4"),
            &REFERENCE.replace("m=64,t=3", "m=65536,t=5"),
            &REFERENCE.replace(salt, "AAECAwQFBg"),
            &REFERENCE.replace(salt, &"AAAA".repeat(22)),
            &REFERENCE.replace(salt, ""),
            &REFERENCE.replace(tag, "AAAAAAAAAAAAAAAAAAAA"),
            &REFERENCE.replace(tag, &"AAAA".repeat(22)),
            &REFERENCE.replace(tag, ""),
            &"$".repeat(257),
            &format!("{REFERENCE}{}", "A".repeat(1_000_000)),
        ] {
            let text = &text[..text.len().min(300)];
            assert_eq!(
                StoredHash::parse(text),
                Err(StoredHashError::OutOfBounds),
                "{text}"
            );
        }
    }

    #[test]
    fn a_hasher_beyond_the_bounds_is_not_made() {
        for params in [
            Params {
                m_kib: 65_537,
                t: 1,
                p: 1,
            },
            Params {
                m_kib: 64,
                t: 0,
                p: 1,
            },
            Params {
                m_kib: 64,
                t: 1,
                p: 0,
            },
            Params {
                m_kib: 15,
                t: 1,
                p: 2,
            },
            Params {
                m_kib: u32::MAX,
                t: u32::MAX,
                p: 1,
            },
        ] {
            assert_eq!(
                Hasher::with_params(params).err(),
                Some(ParamsError),
                "{params:?}"
            );
        }
        assert_eq!(
            Params::default(),
            Params {
                m_kib: 19_456,
                t: 2,
                p: 1
            }
        );
    }

    #[test]
    fn every_hash_is_computed_in_the_kept_buffer_and_wiped_from_it() {
        let mut hasher = cheap_hasher();
        let (at, blocks) = (hasher.memory.as_ptr(), hasher.memory.len());
        let hash = hasher.hash(&password("correct horse battery staple"), SALT);
        let _ = hasher.verify(&password("correct horse battery staple"), Some(&hash));
        let _ = hasher.verify(&password("wrong"), None);
        assert_eq!((hasher.memory.as_ptr(), hasher.memory.len()), (at, blocks));
        assert!(
            hasher
                .memory
                .iter()
                .all(|block| block.as_ref().iter().all(|word| *word == 0))
        );
    }

    #[test]
    fn the_buffer_grows_once_for_a_larger_hash_and_never_beyond_the_bound() {
        let with_m = |m_kib| Hasher::with_params(Params { m_kib, t: 1, p: 1 }).unwrap();
        let given = password("correct horse battery staple");
        let hash = with_m(Params::MAX_M_KIB).hash(&given, SALT);
        let mut hasher = with_m(40_000);
        for _ in 0..2 {
            let verdict = hasher.verify(&given, Some(&hash));
            assert_eq!(verdict, PasswordCheck::Match { needs_rehash: true });
            assert_eq!(hasher.memory.len(), 65_536);
            assert_eq!(hasher.memory.capacity(), 65_536);
        }
    }

    /// The page faults of this thread so far (proc(5), field 10 of `stat`).
    #[cfg(target_os = "linux")]
    fn page_faults() -> u64 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, after_name) = stat.rsplit_once(") ").unwrap();
        after_name.split(' ').nth(7).unwrap().parse().unwrap()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_first_hash_touches_no_page_that_the_start_did_not() {
        let given = password("correct horse battery staple");
        for mut hasher in [Hasher::new(), made_meanwhile()] {
            let before = page_faults();
            let _ = hasher.hash(&given, SALT);
            let faults = page_faults() - before;
            assert!(faults < 64, "{faults} page faults");
        }
    }

    #[test]
    fn a_hasher_made_meanwhile_hashes_and_keeps_its_buffer_like_any_other() {
        let given = password("correct horse battery staple");
        let mut hasher = made_meanwhile();
        let hash = hasher.hash(&given, SALT);
        assert_eq!(hash, Hasher::new().hash(&given, SALT));
        let (at, blocks) = (hasher.memory.as_ptr(), hasher.memory.len());
        assert_eq!(blocks, 19_456);
        let _ = hasher.verify(&given, Some(&hash));
        assert_eq!((hasher.memory.as_ptr(), hasher.memory.len()), (at, blocks));
        hasher.prewarm();
        assert!(hasher.making.is_none(), "it is there");
    }

    #[test]
    fn a_hasher_that_nobody_made_makes_its_buffer_at_the_first_hash() {
        let given = password("correct horse battery staple");
        let hash = Hasher::lazy().hash(&given, SALT);
        assert_eq!(hash, Hasher::new().hash(&given, SALT));
    }

    fn made_meanwhile() -> Hasher {
        let mut hasher = Hasher::lazy();
        hasher.prewarm();
        hasher
    }
}
