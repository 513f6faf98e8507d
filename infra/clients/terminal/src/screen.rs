//! What a device shows: lines that stay, and at a terminal one that moves, above
//! the line where its owner types.

use std::io::{IsTerminal, Write, stdout};

use runtime::Clock;

/// Escape sequences (ECMA-48, and DEC's for the cursor and for wrapping).
const ERASE: &str = "\r\u{1b}[2K";
const UP: &str = "\u{1b}[1A";
const SAVE: &str = "\u{1b}7";
const RESTORE: &str = "\u{1b}8";
const CUT: &str = "\u{1b}[?7l";
const WRAP: &str = "\u{1b}[?7h";

/// Where the owner types.
const PROMPT: &str = "› ";

/// How a text stands out; only where there is colour.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ink {
    Bold,
    Faint,
    Good,
    Bad,
}

impl Ink {
    /// The parameter of the escape sequence (ECMA-48, section 8.3.117).
    fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Faint => "2",
            Self::Good => "32",
            Self::Bad => "1;31",
        }
    }
}

/// The screen of one device.
#[derive(Debug)]
pub(super) struct Screen {
    is_terminal: bool,
    has_colour: bool,
    clock: Clock,
    /// The line that moves, once there is one.
    moving: Option<String>,
}

impl Screen {
    /// A screen, in colour when it is a terminal and nobody asked for none
    /// (<https://no-color.org>).
    #[expect(
        clippy::disallowed_methods,
        reason = "NO_COLOR is about this terminal and configures nothing"
    )]
    pub(super) fn new() -> Self {
        let is_terminal = stdout().is_terminal();
        let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            is_terminal,
            has_colour: is_terminal && !is_unwanted,
            clock: Clock::System,
            moving: None,
        }
    }

    pub(super) fn inked(&self, ink: Ink, text: &str) -> String {
        if self.has_colour && !text.is_empty() {
            format!("\u{1b}[{}m{text}\u{1b}[0m", ink.code())
        } else {
            text.to_owned()
        }
    }

    /// Writes a line that stays, with the time.
    pub(super) fn say(&self, text: &str) {
        let time = self.clock.now().strftime("%H:%M:%S").to_string();
        self.line(&format!("{}  {text}", self.inked(Ink::Faint, &time)));
    }

    /// Writes a line that stays.
    pub(super) fn line(&self, text: &str) {
        let below = match &self.moving {
            Some(moving) => format!("{CUT}{moving}{WRAP}\n{PROMPT}"),
            None => String::new(),
        };
        write(&format!("{}{text}\n{below}", self.erased()));
    }

    /// Puts something in the place of the line that moves.
    pub(super) fn move_on(&mut self, text: String) {
        if !self.is_terminal {
            return;
        }
        if self.moving.is_some() {
            write(&format!("{SAVE}{UP}{ERASE}{CUT}{text}{WRAP}{RESTORE}"));
        } else {
            write(&format!("{CUT}{text}{WRAP}\n{PROMPT}"));
        }
        self.moving = Some(text);
    }

    /// Takes the line away on which the owner has just pressed the return key.
    pub(super) fn typed(&self) {
        if self.moving.is_some() {
            write(&format!("{UP}{ERASE}{PROMPT}"));
        }
    }

    /// Takes the line that moves away.
    pub(super) fn rest(&mut self) {
        let erased = self.erased();
        self.moving = None;
        write(&erased);
    }

    /// What takes the last two lines away.
    fn erased(&self) -> String {
        match self.moving {
            Some(_) => format!("{ERASE}{UP}{ERASE}"),
            None => String::new(),
        }
    }
}

fn write(text: &str) {
    // Whoever looked may have gone; the device goes on.
    let mut screen = stdout().lock();
    let _ = screen.write_all(text.as_bytes());
    let _ = screen.flush();
}

/// A bar of so many cells, filled in this share.
pub(super) fn bar(cells: usize, share: f64) -> (String, String) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a bar has a few dozen halves of cells"
    )]
    let halves = ((cells * 2) as f64 * share.clamp(0.0, 1.0)).round() as usize;
    let half = if halves % 2 == 1 { "╸" } else { "" };
    let played = format!("{}{half}", "━".repeat(halves / 2));
    let rest = "─".repeat(cells - halves.div_ceil(2));
    (played, rest)
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn a_bar_is_as_long_as_it_is_however_full() {
        for share in [-1.0, 0.0, 0.04, 0.1, 0.5, 0.99, 1.0, 2.0] {
            let (played, rest) = bar(10, share);
            assert_eq!((played + &rest).chars().count(), 10, "{share}");
        }
        assert_eq!(bar(4, 0.375).0, "━╸");
    }
}
