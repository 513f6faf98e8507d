//! The lists of leaked passwords and of common words, as one filter that is
//! compiled in.
//!
//! A binary fuse filter with 16 bits a key is a quarter of the size of the lists
//! and is read where it lies. A text that is in no list has a chance of one in
//! 65,536 to be found. `lists/README.md` says what the lists are and how the
//! filter is made.

use std::fmt;

use xorf::{BinaryFuse16Ref, Filter as _, FilterRef as _};
use zeroize::Zeroizing;

use super::guesses;
pub use super::guesses::ONLY_FACTOR;

/// The filter that is compiled in.
static COMPILED: &Aligned<[u8]> = &Aligned(*include_bytes!("lists/lists.bin"));

/// The filter's numbers have 16 bits.
#[repr(C, align(2))]
struct Aligned<Bytes: ?Sized>(Bytes);

/// The length of the part of a filter that describes the rest.
pub const DESCRIPTOR_BYTES: usize = 20;

/// Words of fewer code points are cheaper to guess letter by letter.
pub const SHORTEST_WORD: usize = 3;
/// Longer words are not looked for.
pub const LONGEST_WORD: usize = 20;
/// A longer word has two keys. One found by chance would make up most of a
/// password.
const LONGEST_WITH_ONE_KEY: usize = 8;

/// The highest rank of each tier of words. A word has its tier's lowest rank
/// or a higher one.
pub const TIERS: [u64; 6] = [64, 256, 1_024, 4_096, 16_384, 65_536];

/// Lists of leaked passwords and of words, as a filter.
pub struct Lists<'a> {
    filter: BinaryFuse16Ref<'a>,
}

impl Lists<'static> {
    /// Returns the lists that are compiled in.
    #[must_use]
    pub fn compiled() -> Self {
        Lists::read(&COMPILED.0)
    }
}

impl<'a> Lists<'a> {
    /// Reads a filter: its descriptor, then its 16-bit numbers.
    ///
    /// # Panics
    /// When `bytes` are shorter than a descriptor, or not aligned to 2.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Self {
        let (descriptor, fingerprints) = bytes.split_at(DESCRIPTOR_BYTES);
        Self {
            filter: BinaryFuse16Ref::from_dma(descriptor, fingerprints),
        }
    }

    /// Returns whether the filter has a key.
    #[must_use]
    pub fn has_key(&self, key: u64) -> bool {
        self.filter.contains(&key)
    }

    /// Returns whether the whole password is in the list of leaked ones, in any
    /// case, with the usual respellings, and with or without separators.
    pub(super) fn has_leaked(&self, password: &[char]) -> bool {
        self.has_key(leaked_key(password.iter().copied()))
    }

    /// Returns the guesses for a folded word, if it is in the list.
    pub(super) fn word_guesses(&self, folded: impl Iterator<Item = char> + Clone) -> Option<u64> {
        let word = hash(folded.clone());
        let is_long = folded.count() > LONGEST_WITH_ONE_KEY;
        let tier = (0..TIERS.len()).find(|tier| {
            self.filter.contains(&word_key(word, *tier))
                && (!is_long || self.filter.contains(&second_key(word, *tier)))
        })?;
        // The middle of the ranks, near enough.
        Some(TIERS[tier] / 2)
    }
}

impl Lists<'_> {
    /// Returns the guesses for a password by these words alone.
    #[must_use]
    pub fn guesses(&self, password: &str) -> u64 {
        let chars = Zeroizing::new(password.chars().collect::<Vec<char>>());
        guesses::estimate(self, &chars, &mut 0).guesses
    }
}

impl fmt::Debug for Lists<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lists(…)")
    }
}

/// Returns the key of a leaked password.
pub fn leaked_key(password: impl Iterator<Item = char>) -> u64 {
    let folded = password.filter(|c| !is_separator(*c)).map(fold);
    mix(hash(folded), 0)
}

/// Returns the keys of a word of this rank.
pub fn word_keys(word: &str, rank: u64) -> impl Iterator<Item = u64> {
    let folded = Zeroizing::new(word.chars().map(fold).collect::<Vec<char>>());
    let hash = hash(folded.iter().copied());
    let tier = TIERS.partition_point(|highest| *highest < rank);
    let second = (folded.len() > LONGEST_WITH_ONE_KEY).then(|| second_key(hash, tier));
    std::iter::once(word_key(hash, tier)).chain(second)
}

fn word_key(hash: u64, tier: usize) -> u64 {
    mix(hash, 1 + tier as u64)
}

fn second_key(hash: u64, tier: usize) -> u64 {
    mix(hash, 1 + (TIERS.len() + tier) as u64)
}

/// FNV-1a with 64 bits. The filter mixes its keys well, and a collision that somebody makes
/// only gets their own password refused.
fn hash(text: impl Iterator<Item = char>) -> u64 {
    text.fold(0xcbf2_9ce4_8422_2325, |hash, c| mix(hash, u64::from(c)))
}

fn mix(hash: u64, value: u64) -> u64 {
    (hash ^ value).wrapping_mul(0x100_0000_01b3)
}

/// Returns whether people put this character between words.
pub(super) fn is_separator(c: char) -> bool {
    matches!(c, ' ' | '-' | '_' | '.' | ',' | ':' | ';' | '/')
}

/// Maps a letter's cases and usual respellings to one letter.
#[must_use]
pub fn fold(c: char) -> char {
    match lower(c) {
        '4' | '@' => 'a',
        '3' => 'e',
        '1' | '!' | '|' | 'l' => 'i',
        '0' => 'o',
        '5' | '$' => 's',
        '7' | '+' => 't',
        other => other,
    }
}

/// Returns the first code point of a letter's lower case.
pub(super) fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

#[cfg(test)]
mod tests;
