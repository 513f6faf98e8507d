//! The terminal: lines that stay, and below them one that moves and one to type in.

use std::io::{IsTerminal, Write, stdout};

use runtime::Clock;

/// Escape sequences (ECMA-48; DEC's for the cursor and for wrapping).
const ERASE: &str = "\r\u{1b}[2K";
const UP: &str = "\u{1b}[1A";
const SAVE: &str = "\u{1b}7";
const RESTORE: &str = "\u{1b}8";
const CUT: &str = "\u{1b}[?7l";
const WRAP: &str = "\u{1b}[?7h";

/// The prompt of the line to type in.
const PROMPT: &str = "› ";

/// The colour or weight of a text. Ignored where there is no colour.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ink {
    Bold,
    Faint,
    Good,
    Bad,
}

impl Ink {
    /// Returns the parameter of the escape sequence (ECMA-48, section 8.3.117).
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
pub(crate) struct Screen {
    is_terminal: bool,
    has_colour: bool,
    clock: Clock,
    /// The moving line, once there is one.
    moving: Option<String>,
}

impl Screen {
    /// Creates the screen. It has colour on a terminal, unless `NO_COLOR` is set
    /// (<https://no-color.org>). With `TERM=dumb`, it only writes lines.
    #[expect(
        clippy::disallowed_methods,
        reason = "NO_COLOR and TERM are about this terminal and configure nothing"
    )]
    pub(crate) fn new() -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let is_terminal = stdout().is_terminal() && !is_dumb;
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            is_terminal,
            has_colour: is_terminal && !no_colour,
            clock: Clock::System,
            moving: None,
        }
    }

    pub(crate) fn inked(&self, ink: Ink, text: &str) -> String {
        if self.has_colour && !text.is_empty() {
            format!("\u{1b}[{}m{text}\u{1b}[0m", ink.code())
        } else {
            text.to_owned()
        }
    }

    /// Writes a line that stays, with the time.
    pub(crate) fn say(&self, text: &str) {
        let time = self.clock.now().strftime("%H:%M:%S").to_string();
        self.line(&format!("{}  {text}", self.inked(Ink::Faint, &time)));
    }

    /// Writes a line that stays.
    pub(crate) fn line(&self, text: &str) {
        let below = match &self.moving {
            Some(moving) => format!("{CUT}{moving}{WRAP}\n{PROMPT}"),
            None => String::new(),
        };
        write(&format!("{}{text}\n{below}", self.erased()));
    }

    /// Replaces the moving line.
    pub(crate) fn move_on(&mut self, text: String) {
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

    /// Erases the line that was just entered.
    pub(crate) fn typed(&self) {
        if self.moving.is_some() {
            write(&format!("{UP}{ERASE}{PROMPT}"));
        }
    }

    /// Erases the moving line.
    pub(crate) fn rest(&mut self) {
        let erased = self.erased();
        self.moving = None;
        write(&erased);
    }

    /// Returns the sequence that erases the moving line and the prompt.
    fn erased(&self) -> String {
        match self.moving {
            Some(_) => format!("{ERASE}{UP}{ERASE}"),
            None => String::new(),
        }
    }
}

fn write(text: &str) {
    // The terminal may be gone; the device goes on.
    let mut screen = stdout().lock();
    let _ = screen.write_all(text.as_bytes());
    let _ = screen.flush();
}

/// Draws a bar of this many cells, filled to this share. Returns the filled and
/// the empty part.
pub(crate) fn bar(cells: usize, share: f64) -> (String, String) {
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
    fn a_bar_has_the_same_length_at_every_share() {
        for share in [-1.0, 0.0, 0.04, 0.1, 0.5, 0.99, 1.0, 2.0] {
            let (played, rest) = bar(10, share);
            assert_eq!((played + &rest).chars().count(), 10, "{share}");
        }
        assert_eq!(bar(4, 0.375).0, "━╸");
    }
}
