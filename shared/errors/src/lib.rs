//! Errors of any type: as the source of another, and as text for a log.

use std::error::Error;

/// An error of any type, kept whole as the source of another.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Returns the text of an error and of every source below it, for a log. `Display`
/// describes one layer only.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
