//! Passwords: how one is read, when one is refused, how one is hashed and
//! verified.
//!
//! Owns the normal form, the rules for a new password, the stored form and the
//! work of hashing. Refuses randomness (the salt is an input) and composition
//! rules (NIST SP 800-63B-4 section 3.1.1.2): a password is refused for its
//! length, or because it would soon be guessed, and for nothing else.

use std::fmt;

use argon2::{Algorithm, Argon2, Block, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use icu_normalizer::ComposingNormalizerBorrowed;
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::{Zeroize, Zeroizing};
use zxcvbn::matching::Match;
use zxcvbn::matching::patterns::MatchPattern;

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
///   Two ordinary words in a row are below it, three are not;
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
        let lower = Zeroizing::new(text.to_lowercase());
        if own_words.iter().any(|word| word.to_lowercase() == *lower) {
            return Some(Rejection::OwnWords);
        }
        let own_words = own_pieces(own_words);
        let chars = Zeroizing::new(text.chars().collect::<Vec<char>>());
        let mut reason = None;
        for stretch in chars.chunks(STRETCH).take(MAX_STRETCHES) {
            let estimate = estimate(stretch, &own_words, self.guesses_needed());
            if estimate.guesses >= self.guesses_needed() {
                return None;
            }
            reason = match (reason, estimate.reason) {
                (None, first) => Some(first),
                (Some(Rejection::OwnWords), _) | (_, Rejection::OwnWords) => {
                    Some(Rejection::OwnWords)
                }
                _ => Some(Rejection::Guessable),
            };
        }
        reason
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
/// 0.6 s for a hostile 100 (its respellings multiply) against 30 ms for 28, and
/// multiplies without a check: a walk on a keypad overflows at 29.
const STRETCH: usize = 28;

/// How many stretches are judged: if all these are guessable, so is the rest.
const MAX_STRETCHES: usize = 4;

/// The most own words that are looked for.
const MAX_OWN_WORDS: usize = 16;

struct Estimate {
    guesses: u64,
    /// What to say, should the guesses be too few.
    reason: Rejection,
}

fn estimate(stretch: &[char], own_words: &[String], needed: u64) -> Estimate {
    let own_words: Vec<&str> = own_words.iter().map(String::as_str).collect();
    let text = Zeroizing::new(stretch.iter().collect::<String>());
    let estimate = zxcvbn::zxcvbn(&text, &own_words);
    let plain = guesses(estimate.sequence());
    let reason = if uses_own_word(estimate.sequence(), &own_words) {
        Rejection::OwnWords
    } else if is_listed(estimate.sequence()) {
        Rejection::Common
    } else {
        Rejection::Guessable
    };
    if plain < needed {
        return Estimate {
            guesses: plain,
            reason,
        };
    }
    // Two patterns dealt out in turn, as in 1q2w3e4r5t6y7u8i or 0102030405, are
    // as guessable as the two, which the estimate misses.
    let dealt = [0, 1].map(|first| {
        let half = Zeroizing::new(stretch.iter().skip(first).step_by(2).collect::<String>());
        guesses(zxcvbn::zxcvbn(&half, &[]).sequence())
    });
    let dealt = dealt[0].saturating_mul(dealt[1]).saturating_mul(2);
    Estimate {
        guesses: plain.min(dealt),
        reason: Rejection::Guessable,
    }
}

/// The guesses for each piece and for their order. zxcvbn's own sum adds 10⁴ for
/// every further piece, by which three pieces always pass for 10⁸, were they
/// `password`, `123` and `!!`.
fn guesses(pieces: &[Match]) -> u64 {
    (1_u64..).zip(pieces).fold(1, |product, (place, piece)| {
        product
            .saturating_mul(place)
            .saturating_mul(piece.guesses.unwrap_or(u64::MAX))
    })
}

fn uses_own_word(pieces: &[Match], own_words: &[&str]) -> bool {
    pieces.iter().any(|piece| match &piece.pattern {
        MatchPattern::Dictionary(word) => own_words.contains(&word.matched_word.as_str()),
        MatchPattern::Repeat(repeat) => uses_own_word(&repeat.base_matches, own_words),
        _ => false,
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

/// The own words and the parts of them, in lower case, bounded in number and
/// length; two letters are no word.
fn own_pieces(own_words: &[&str]) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    for word in own_words {
        let parts = word.split(|c: char| !c.is_alphanumeric());
        let names = parts
            .clone()
            .map(|part| part.trim_matches(|c: char| c.is_numeric()));
        for piece in std::iter::once(*word).chain(parts).chain(names) {
            let piece = piece.to_lowercase();
            if (3..=STRETCH).contains(&piece.chars().count()) && !pieces.contains(&piece) {
                pieces.push(piece);
            }
            if pieces.len() == MAX_OWN_WORDS {
                return pieces;
            }
        }
    }
    pieces
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
pub enum Verdict {
    /// It is the one that was hashed.
    Matches {
        /// The hash was made with other parameters than are used now: hash the
        /// password again and store that.
        needs_rehash: bool,
    },
    /// It is another one, or there is no hash.
    DoesNotMatch,
}

/// Computes hashes in one buffer, kept for its life.
///
/// A fresh buffer takes more than half as long again, for its page faults. So
/// one of these is made when a process starts, which touches every page, and
/// each hash is computed in it and wipes what it used.
pub struct Hasher {
    params: Params,
    /// Stands in for the hash of an account that does not exist.
    absent: Argon2id,
    memory: Vec<Block>,
}

impl Hasher {
    /// A hasher with [`Params::DEFAULT`] and its 19 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self::bounded(Params::DEFAULT)
    }

    /// A hasher with other parameters.
    ///
    /// # Errors
    /// [`ParamsError`] when they are no Argon2id's or above the bounds.
    pub fn with_params(params: Params) -> Result<Self, ParamsError> {
        params.checked().map(Self::bounded)
    }

    fn bounded(params: Params) -> Self {
        let absent = Argon2id {
            params,
            salt: vec![0; SALT_BYTES],
            tag: vec![0; TAG_BYTES],
        };
        let mut hasher = Self {
            params,
            absent,
            memory: Vec::new(),
        };
        hasher.grow_to(params);
        hasher
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
    pub fn verify(&mut self, password: &Password, stored: Option<&StoredHash>) -> Verdict {
        match stored.map(|stored| &stored.kind) {
            Some(Kind::Argon2id(hash)) => {
                if bool::from(self.is_tag_of(password, hash)) {
                    let needs_rehash = hash.params != self.params
                        || hash.salt.len() != SALT_BYTES
                        || hash.tag.len() != TAG_BYTES;
                    Verdict::Matches { needs_rehash }
                } else {
                    Verdict::DoesNotMatch
                }
            }
            None => {
                let absent = self.absent.clone();
                let _never = self.is_tag_of(password, &absent);
                Verdict::DoesNotMatch
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
        let params = params.argon2();
        let used = &mut self.memory[..params.block_count()];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(password.normal.as_bytes(), salt, tag, &mut *used)
            .expect("the buffer fits, and salt and tag are bounded where they are taken");
        // The blocks would tell a guess from the password at a fraction of the
        // cost of a hash.
        used.iter_mut().for_each(Zeroize::zeroize);
    }

    /// Makes the buffer large enough and touches each page of what is new.
    fn grow_to(&mut self, params: Params) {
        let (had, needed) = (self.memory.len(), params.argon2().block_count());
        if needed > had {
            self.memory.reserve_exact(needed - had);
            self.memory.resize(needed, Block::new());
            // Zeroed memory can be handed out untouched; a block with a one
            // can't. The next hash overwrites it.
            for block in &mut self.memory[had..] {
                block.as_mut()[0] = 1;
            }
        }
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
