//! How many guesses an attacker needs who knows how people make passwords.
//!
//! A text is split into the pieces that are cheapest to guess: words, repeats,
//! sequences, walks on a keyboard, dates, and what is none of these. The guesses
//! are the product of those for the pieces and for their possible orders. The
//! kinds of pieces and their prices follow zxcvbn (Wheeler, USENIX Security 2016).

use zeroize::Zeroizing;

use super::keyboard::Walks;
use super::lists::{LONGEST_WORD, Lists, SHORTEST_WORD, fold, is_separator, lower};

/// The guesses that a password needs if it is the only factor.
pub const ONLY_FACTOR: u64 = 100_000_000;

/// The number of code points that are estimated at once. The work grows with the
/// cube.
pub(super) const MAX_CHARS: usize = 28;

/// The number of chunks that are estimated. If all of these are easily guessed, the
/// rest is not expected to be better.
const MAX_CHUNKS: usize = 4;

/// More pieces have more orders (12! = 479,001,600) than any rule demands guesses.
const MAX_PIECES: usize = 11;

/// The guesses for a character that belongs to no pattern. As in zxcvbn, it is
/// low: what matches no pattern here may match one that an attacker knows.
const ANY_CHARACTER: u64 = 10;
/// The guesses for a separator, which does not change the order of the pieces.
const SEPARATOR: u64 = 4;
/// The years that occur in passwords.
const YEARS: std::ops::RangeInclusive<u32> = 1_930..=2_049;
const YEAR: u64 = 120;
const DAY: u64 = 365;

/// An estimate of a text.
#[derive(Clone, Copy)]
pub(super) struct Estimate {
    /// The guesses, at most `u64::MAX`.
    pub(super) guesses: u64,
    /// The text is a word of the lists, possibly respelled or repeated.
    pub(super) is_listed: bool,
}

impl Estimate {
    const NONE: Self = Self::unlisted(u64::MAX);

    const fn unlisted(guesses: u64) -> Self {
        Self {
            guesses,
            is_listed: false,
        }
    }

    fn cheaper(self, other: Self) -> Self {
        if other.guesses < self.guesses {
            other
        } else {
            self
        }
    }

    fn times(self, factor: u64) -> Self {
        Self {
            guesses: self.guesses.saturating_mul(factor),
            ..self
        }
    }
}

/// Estimates a text by its chunks, if each of them takes fewer than `needed` guesses.
pub(super) fn below(needed: u64, lists: &Lists, chars: &[char]) -> Option<Estimate> {
    count_below(needed, lists, chars, &mut 0)
}

/// The same, and increases `steps` by the work done. Tests look at it: time is too
/// coarse a measure.
fn count_below(needed: u64, lists: &Lists, chars: &[char], steps: &mut u32) -> Option<Estimate> {
    let mut cheap: Option<Estimate> = None;
    for chunk in chars.chunks(MAX_CHARS).take(MAX_CHUNKS) {
        let chunk = estimate(lists, chunk, steps);
        if chunk.guesses >= needed {
            return None;
        }
        let is_listed = chunk.is_listed && cheap.is_none_or(|before| before.is_listed);
        cheap = Some(Estimate { is_listed, ..chunk });
    }
    cheap
}

/// Estimates up to [`MAX_CHARS`] code points. `steps` is increased by the work done.
pub(super) fn estimate(lists: &Lists, chars: &[char], steps: &mut u32) -> Estimate {
    let whole = Search::new(lists, chars).run(steps);
    // Two interleaved patterns, as in 1q2w3e4r5t6y7u8i or 0102030405, are as
    // guessable as the two alone.
    let [even, odd] = [0, 1].map(|first| {
        let every_other = chars.iter().copied().skip(first).step_by(2);
        let chars = Zeroizing::new(every_other.collect::<Vec<char>>());
        Search::new(lists, &chars).run(steps).guesses
    });
    let interleaved = even.saturating_mul(odd).saturating_mul(2);
    whole.cheaper(Estimate::unlisted(interleaved))
}

struct Search<'a> {
    lists: &'a Lists<'a>,
    chars: &'a [char],
    folded: Zeroizing<Vec<char>>,
    walks: Walks,
    /// The cheapest single piece, and the cheapest split, from one place to another.
    pieces: Vec<[Estimate; MAX_CHARS + 1]>,
    splits: Vec<[Estimate; MAX_CHARS + 1]>,
}

impl<'a> Search<'a> {
    fn new(lists: &'a Lists<'a>, chars: &'a [char]) -> Self {
        let chars = &chars[..chars.len().min(MAX_CHARS)];
        Self {
            lists,
            chars,
            folded: Zeroizing::new(chars.iter().copied().map(fold).collect()),
            walks: Walks::new(chars),
            pieces: vec![[Estimate::NONE; MAX_CHARS + 1]; chars.len()],
            splits: vec![[Estimate::NONE; MAX_CHARS + 1]; chars.len()],
        }
    }

    fn run(mut self, steps: &mut u32) -> Estimate {
        // A repeat needs the cheapest split of what it repeats, which begins where
        // it does; a split needs every piece that begins later.
        for start in (0..self.chars.len()).rev() {
            self.split_from(start, steps);
        }
        let end = self.chars.len();
        self.splits
            .first()
            .map_or(Estimate::unlisted(1), |splits| splits[end])
    }

    /// Finds the cheapest split of every text that begins at `start`.
    fn split_from(&mut self, start: usize, steps: &mut u32) {
        // By the number of pieces, since each further one has more orders.
        let mut by_count = [[Estimate::NONE; MAX_PIECES + 1]; MAX_CHARS + 1];
        by_count[start][0] = Estimate::unlisted(1);
        for end in start + 1..=self.chars.len() {
            self.pieces[start][end] = self.piece(start, end, steps);
            for middle in start..end {
                let piece = self.pieces[middle][end];
                let is_separator = self.is_separators(middle, end);
                for count in 0..MAX_PIECES {
                    *steps += 1;
                    let before = by_count[middle][count];
                    if before.guesses == u64::MAX {
                        continue;
                    }
                    let (count, order) = if is_separator {
                        (count, 1)
                    } else {
                        (count + 1, count as u64 + 1)
                    };
                    let split = Estimate {
                        is_listed: piece.is_listed && middle == start,
                        ..piece.times(order).times(before.guesses)
                    };
                    by_count[end][count] = by_count[end][count].cheaper(split);
                }
            }
            self.splits[start][end] = by_count[end]
                .into_iter()
                .fold(Estimate::NONE, Estimate::cheaper);
        }
    }

    /// Estimates the text as one piece.
    fn piece(&self, start: usize, end: usize, steps: &mut u32) -> Estimate {
        let chars = &self.chars[start..end];
        let length = u32::try_from(chars.len()).unwrap_or(u32::MAX);
        let unlisted = [
            Some(ANY_CHARACTER.saturating_pow(length)),
            self.is_separators(start, end).then_some(SEPARATOR),
            sequence(chars),
            self.walks.guesses(start, end),
            date(chars),
        ];
        let cheapest = unlisted.into_iter().flatten().min().unwrap_or(u64::MAX);
        Estimate::unlisted(cheapest)
            .cheaper(self.word(start, end, steps))
            .cheaper(self.repeat(start, end, steps))
    }

    fn is_separators(&self, start: usize, end: usize) -> bool {
        let first = self.chars[start];
        is_separator(first) && self.chars[start..end].iter().all(|c| *c == first)
    }

    /// Estimates the text as a word, possibly respelled or reversed.
    fn word(&self, start: usize, end: usize, steps: &mut u32) -> Estimate {
        let folded = &self.folded[start..end];
        if !(SHORTEST_WORD..=LONGEST_WORD).contains(&folded.len()) {
            return Estimate::NONE;
        }
        *steps += 2;
        let forward = self.lists.word_guesses(folded.iter().copied());
        let reversed = self.lists.word_guesses(folded.iter().rev().copied());
        let reversed = reversed.map(|guesses| 2 * guesses);
        let Some(guesses) = forward.into_iter().chain(reversed).min() else {
            return Estimate::NONE;
        };
        Estimate {
            guesses: guesses.saturating_mul(spellings(&self.chars[start..end])),
            is_listed: true,
        }
    }

    /// Estimates the text as a repeat of the cheapest part.
    fn repeat(&self, start: usize, end: usize, steps: &mut u32) -> Estimate {
        let folded = &self.folded[start..end];
        let length = folded.len();
        let mut cheapest = Estimate::NONE;
        for period in (1..=length / 2).filter(|period| length.is_multiple_of(*period)) {
            *steps += 1;
            if folded[period..] == folded[..length - period] {
                let times = (length / period) as u64;
                let part = self.splits[start][start + period];
                cheapest = cheapest.cheaper(part.times(times));
            }
        }
        cheapest
    }
}

/// Returns the spellings to try for a word that is written like this.
fn spellings(chars: &[char]) -> u64 {
    let upper = chars.iter().filter(|c| c.is_uppercase()).count();
    let lower = chars.iter().filter(|c| c.is_lowercase()).count();
    let cases = if upper == 0 {
        0
    } else if upper == 1 && chars[0].is_uppercase() {
        1
    } else {
        lower.min(upper).max(1)
    };
    let has_letters = upper + lower > 0;
    let is_respelled = |c: &&char| !c.is_alphabetic() && fold(**c) != **c;
    let respelled = chars.iter().filter(is_respelled).count();
    let respelled = if has_letters { respelled } else { 0 };
    // At most 2 to the power of twice the length of a word: 40.
    1 << (cases + respelled)
}

/// Returns the guesses for a sequence: characters that differ by the same step.
fn sequence(chars: &[char]) -> Option<u64> {
    let at = |i: usize| i64::from(u32::from(lower(chars[i])));
    let step = if chars.len() < 3 { 0 } else { at(1) - at(0) };
    let is_sequence = (1..=5).contains(&step.abs())
        && chars.iter().all(|c| c.is_alphanumeric())
        && (1..chars.len()).all(|i| at(i) - at(i - 1) == step);
    let start = match lower(chars[0]) {
        'a' | 'z' | '0' | '1' | '9' => 4,
        c if c.is_ascii_digit() => 10,
        _ => 26,
    };
    let direction = if step < 0 { 2 } else { 1 };
    is_sequence.then_some(start * direction * step.unsigned_abs() * chars.len() as u64)
}

/// Returns the guesses for a year, or for a date with or without separators.
fn date(chars: &[char]) -> Option<u64> {
    let number = |chars: &[char]| {
        chars
            .iter()
            .try_fold(0, |number, c| Some(10 * number + c.to_digit(10)?))
    };
    let is_date = |a: &[char], b: &[char], c: &[char]| {
        let (Some(a), Some(b), Some(c)) = (number(a), number(b), number(c)) else {
            return false;
        };
        let is_day = |day, month| (1..=31).contains(&day) && (1..=12).contains(&month);
        let is_year = |year| year < 100 || YEARS.contains(&year);
        is_year(c) && (is_day(a, b) || is_day(b, a)) || is_year(a) && is_day(c, b)
    };
    let separator = chars.iter().position(|c| !c.is_ascii_digit());
    match (separator, chars.len()) {
        (None, 4) => {
            let year = number(chars)?;
            let is_day = (1..=31).contains(&(year / 100)) && (1..=12).contains(&(year % 100));
            let is_other_day = (1..=31).contains(&(year % 100)) && (1..=12).contains(&(year / 100));
            if YEARS.contains(&year) {
                Some(YEAR)
            } else {
                (is_day || is_other_day).then_some(DAY)
            }
        }
        (None, 6) => is_date(&chars[..2], &chars[2..4], &chars[4..]).then_some(DAY * YEAR),
        (None, 8) => {
            let day_first = is_date(&chars[..2], &chars[2..4], &chars[4..]);
            let year_first = is_date(&chars[..4], &chars[4..6], &chars[6..]);
            (day_first || year_first).then_some(DAY * YEAR)
        }
        (Some(at), 6..=10) if !chars[at].is_alphanumeric() => {
            let mut parts = chars.split(|c| *c == chars[at]);
            let (a, b, c) = (parts.next()?, parts.next()?, parts.next()?);
            let is_short = [a, b, c].iter().all(|part| (1..=4).contains(&part.len()));
            (parts.next().is_none() && is_short && is_date(a, b, c)).then_some(4 * DAY * YEAR)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
