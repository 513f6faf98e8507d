//! Makes untrusted text safe to show: no control characters, no marks that reorder or
//! hide the text around them, no mountain of combining marks, no runs of white space,
//! and a bounded length.

use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, GeneralCategoryGroup};

/// The most combining marks and joiners that follow one character. Pointed Hebrew and
/// Tibetan need up to four, Thai and the scripts of India three, an emoji two.
const MAX_MARKS: usize = 4;

/// Removes characters that cannot be shown, joins runs of white space, and truncates
/// to `max_chars` code points. Returns `None` when nothing visible is left.
pub(crate) fn clean(text: &str, max_chars: usize) -> Option<String> {
    let mut cleaned = String::new();
    let mut chars = 0;
    let mut pending_space = false;
    // A mark needs a visible character before it.
    let mut marks_left = 0;
    let mut in_flag = false;
    // Bounds the work on a huge text. A text with more than seven hidden characters for
    // each visible one is not an honest name.
    for character in text.chars().take(max_chars * 8) {
        if is_blank(character) {
            pending_space = chars > 0;
            marks_left = 0;
            continue;
        }
        // Tags spell the region of a flag: England, Scotland, Wales.
        in_flag = character == '\u{1f3f4}' || (in_flag && is_tag(character));
        if is_hidden(character) && !in_flag {
            continue;
        }
        if is_mark(character) {
            if marks_left == 0 {
                continue;
            }
            marks_left -= 1;
        } else if !is_tag(character) {
            marks_left = MAX_MARKS;
        }
        let needed = 1 + usize::from(pending_space);
        if chars + needed > max_chars {
            break;
        }
        if pending_space {
            cleaned.push(' ');
        }
        cleaned.push(character);
        chars += needed;
        pending_space = false;
    }
    (!cleaned.is_empty()).then_some(cleaned)
}

/// Returns whether the character is white space, or is a letter that looks like it:
/// the fillers of Hangul, and Braille without a dot.
fn is_blank(character: char) -> bool {
    character.is_whitespace()
        || matches!(
            character,
            '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}'
        )
}

/// Returns whether the character joins or changes the one before it: a combining mark
/// (Unicode category M), such as an accent or a variation selector, or a joiner.
fn is_mark(character: char) -> bool {
    matches!(character, '\u{200c}' | '\u{200d}')
        || GeneralCategoryGroup::Mark
            .contains(CodePointMapData::<GeneralCategory>::new().get(character))
}

fn is_tag(character: char) -> bool {
    matches!(character, '\u{e0020}'..='\u{e007f}')
}

/// Returns whether the character is invisible and can change or hide in the text
/// around it: control characters, bidirectional marks and overrides (Unicode Standard
/// Annex 9), and invisible formatting. The two joiners (U+200C, U+200D) stay, as emoji
/// and several scripts need them.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'
                | '\u{200e}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}
