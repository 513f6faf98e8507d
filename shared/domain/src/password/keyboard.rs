//! Walks on a keyboard, from each key to a neighbour.

use super::guesses::MAX_CHARS;
use super::lists::lower;

struct Layout {
    rows: [&'static str; 4],
    /// Each row is shifted to the right by half a key.
    is_slanted: bool,
}

/// With the shifted keys of the first row of the American one.
const LAYOUTS: [Layout; 4] = [
    Layout {
        rows: ["1234567890-=", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./"],
        is_slanted: true,
    },
    Layout {
        rows: ["1234567890ß", "qwertzuiopü+", "asdfghjklöä#", "yxcvbnm,.-"],
        is_slanted: true,
    },
    Layout {
        rows: ["1234567890", "azertyuiop", "qsdfghjklm", "wxcvbn,;:!"],
        is_slanted: true,
    },
    Layout {
        rows: ["789", "456", "123", "0"],
        is_slanted: false,
    },
];

/// The keys at which a walk begins, and the neighbours of a key.
const KEYS: u64 = 47;
const NEIGHBOURS: u64 = 5;

/// A key's row, and twice its place in it.
type Key = (i32, i32);

/// The guesses for every walk in a text.
pub(super) struct Walks {
    guesses: Vec<[Option<u64>; MAX_CHARS + 1]>,
}

impl Walks {
    pub(super) fn new(chars: &[char]) -> Self {
        let mut guesses = vec![[None; MAX_CHARS + 1]; chars.len()];
        for layout in &LAYOUTS {
            let keys: Vec<Option<Key>> = chars.iter().map(|c| layout.key(*c)).collect();
            for (start, guesses) in guesses.iter_mut().enumerate() {
                layout.walk(&keys[start..], &mut guesses[start..]);
            }
        }
        Self { guesses }
    }

    /// Returns the guesses for the walk from `start` to `end`, if it is one.
    pub(super) fn guesses(&self, start: usize, end: usize) -> Option<u64> {
        self.guesses[start][end]
    }
}

impl Layout {
    fn key(&self, c: char) -> Option<Key> {
        let c = unshifted(c);
        (0..).zip(self.rows).find_map(|(row, keys)| {
            let (place, _) = (0..).zip(keys.chars()).find(|(_, key)| *key == c)?;
            let shift = if self.is_slanted { row } else { 0 };
            Some((row, 2 * place + shift))
        })
    }

    /// Writes the guesses for each walk that begins at the first key, by its length.
    fn walk(&self, keys: &[Option<Key>], guesses: &mut [Option<u64>]) {
        let (mut direction, mut turns) = (None, 0);
        for at in 1..keys.len() {
            let (Some(from), Some(to)) = (keys[at - 1], keys[at]) else {
                return;
            };
            let step = (to.0 - from.0, to.1 - from.1);
            if !self.is_step(step) {
                return;
            }
            if direction != Some(step) {
                (direction, turns) = (Some(step), turns + 1);
            }
            let length = at + 1;
            if length >= 3 {
                let walk = walk_guesses(length as u64, turns);
                guesses[length] = Some(guesses[length].unwrap_or(walk).min(walk));
            }
        }
    }

    fn is_step(&self, (rows, places): Key) -> bool {
        match rows.abs() {
            0 => places.abs() == 2,
            1 if self.is_slanted => places.abs() == 1,
            1 => places.abs() <= 2,
            _ => false,
        }
    }
}

/// Returns the number of walks of at most this length and number of turns.
fn walk_guesses(length: u64, turns: u64) -> u64 {
    let mut guesses = 0_u64;
    for length in 2..=length {
        // The ways to place the turns, and to choose a direction at each.
        let mut ways = KEYS * NEIGHBOURS;
        for turn in 1..=turns.min(length - 1) {
            guesses = guesses.saturating_add(ways);
            ways = ways.saturating_mul((length - turn) * NEIGHBOURS) / turn;
        }
    }
    guesses
}

fn unshifted(c: char) -> char {
    match lower(c) {
        '!' => '1',
        '@' | '"' => '2',
        '#' | '§' => '3',
        '$' => '4',
        '%' => '5',
        '^' => '6',
        '&' => '7',
        '*' => '8',
        '(' => '9',
        ')' => '0',
        '_' => '-',
        '+' => '=',
        other => other,
    }
}
