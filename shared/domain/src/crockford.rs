//! Codes that people read and type: Crockford's base 32, which has no I, L, O and U.

use zeroize::Zeroizing;

use crate::token::Malformed;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Returns the characters of random bytes, five bits each. `N` characters take all of them.
pub(crate) fn encode<const BYTES: usize, const N: usize>(random: &[u8; BYTES]) -> [u8; N] {
    const {
        assert!(BYTES * 8 == N * 5, "every character has five bits");
    }
    std::array::from_fn(|at| {
        let five = (0..5).fold(0_usize, |bits, bit| {
            let bit = at * 5 + bit;
            bits << 1 | usize::from(random[bit / 8] >> (7 - bit % 8) & 1)
        });
        ALPHABET[five]
    })
}

/// Parses what a person typed: in either case, with or without dashes and blanks, with `O`
/// for zero and `I` or `L` for one.
pub(crate) fn parse<const N: usize>(text: &str) -> Result<[u8; N], Malformed> {
    let mut code = [0; N];
    let mut length = 0;
    let is_shown = |letter: &char| *letter != '-' && !letter.is_whitespace();
    for letter in text.chars().filter(is_shown) {
        let letter = match letter.to_ascii_uppercase() {
            'O' => b'0',
            'I' | 'L' => b'1',
            letter => u8::try_from(letter).map_err(|_| Malformed)?,
        };
        if !ALPHABET.contains(&letter) {
            return Err(Malformed);
        }
        *code.get_mut(length).ok_or(Malformed)? = letter;
        length += 1;
    }
    if length == N {
        Ok(code)
    } else {
        Err(Malformed)
    }
}

/// Returns the text to show, in groups with dashes between them.
pub(crate) fn grouped(code: &[u8], group: usize) -> Zeroizing<String> {
    let groups = code.chunks(group).map(String::from_utf8_lossy);
    Zeroizing::new(groups.collect::<Vec<_>>().join("-"))
}
