//! Makes untrusted text safe to show: no control characters, no marks that reorder or
//! hide the text around them, no runs of white space, and a bounded length.

/// Removes characters that cannot be shown, joins runs of white space, and truncates
/// to `max_chars` code points. Returns `None` when nothing is left.
pub(crate) fn clean(text: &str, max_chars: usize) -> Option<String> {
    let mut cleaned = String::new();
    let mut chars = 0;
    let mut pending_space = false;
    // Bounds the work on a huge text. A text with more than seven hidden characters for
    // each visible one is not an honest name.
    for character in text.chars().take(max_chars * 8) {
        if character.is_whitespace() {
            pending_space = chars > 0;
            continue;
        }
        if is_hidden(character) {
            continue;
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
                | '\u{e0000}'..='\u{e0fff}'
        )
}
