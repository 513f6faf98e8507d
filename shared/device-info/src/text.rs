//! Text that strangers wrote, made fit to be shown: no control characters, no
//! marks that reorder or hide what is around them, no runs of spaces, a bounded
//! length. It changes only what can't be shown; it judges nothing.

/// Leaves out what can't be shown, joins runs of white space, and cuts after
/// `max_chars` code points; `None` when nothing is left. Reads a bounded part of
/// a text, however long it is.
pub(crate) fn clean(text: &str, max_chars: usize) -> Option<String> {
    let mut cleaned = String::new();
    let mut chars = 0;
    let mut gap = false;
    // Room for what is left out; a text of more is hiding something.
    for character in text.chars().take(max_chars * 8) {
        if character.is_whitespace() {
            gap = chars > 0;
            continue;
        }
        if is_hidden(character) {
            continue;
        }
        let needed = 1 + usize::from(gap);
        if chars + needed > max_chars {
            break;
        }
        if gap {
            cleaned.push(' ');
        }
        cleaned.push(character);
        chars += needed;
        gap = false;
    }
    (!cleaned.is_empty()).then_some(cleaned)
}

/// Whether the character shows nothing itself but changes, or hides in, the
/// text around it: control characters, bidirectional marks and overrides
/// (Unicode Standard Annex 9), and invisible formatting. The two joiners stay,
/// for emoji and several scripts are spelt with them.
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
                | '\u{e0000}'..='\u{e0fff}'
        )
}
