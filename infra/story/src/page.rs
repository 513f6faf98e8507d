//! What the story looks like in a terminal, and what it comes to: each
//! expectation is counted here, so that none that failed is forgotten.

use std::cell::Cell;
use std::fmt::{Debug, Display};
use std::io::{IsTerminal, Write, stdout};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Longer lines are broken.
const WIDTH: usize = 100;

/// Where stands what somebody does and what comes of it, behind who it is.
const INDENT: usize = 12;

/// Where what came back says more than its status and time.
const ANSWER_INDENT: usize = INDENT + 14;

/// What is written, and what was counted on the way.
pub struct Page {
    has_colour: bool,
    /// Whether an empty line comes before the next one.
    wants_gap: Cell<bool>,
    begun: Instant,
    step: usize,
    met: usize,
    failed: Vec<String>,
}

/// How a text stands out; only where there is colour.
#[derive(Clone, Copy)]
pub enum Ink {
    /// What a reader's eye should find first.
    Bold,
    /// What is there for whoever looks closer.
    Faint,
    /// Who acts.
    Actor,
    /// As it should be.
    Good,
    /// Refused, which may be just what is wanted.
    Refused,
    /// Not as it should be.
    Bad,
}

impl Ink {
    /// The parameter of the terminal's escape sequence (ECMA-48, section
    /// 8.3.117).
    fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Faint => "2",
            Self::Actor => "36",
            Self::Good => "32",
            Self::Refused => "33",
            Self::Bad => "1;31",
        }
    }
}

/// A line of a table.
pub struct Row {
    /// One text for each column.
    pub cells: Vec<String>,
    /// Whether it steps back behind the others.
    pub is_faint: bool,
}

impl Page {
    /// An empty page, in colour when it is read at a terminal and nobody asked
    /// for none (<https://no-color.org>).
    #[expect(
        clippy::disallowed_methods,
        reason = "NO_COLOR is about this terminal and configures nothing"
    )]
    pub fn new() -> Self {
        let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            has_colour: stdout().is_terminal() && !is_unwanted,
            wants_gap: Cell::new(true),
            begun: Instant::now(),
            step: 0,
            met: 0,
            failed: Vec::new(),
        }
    }

    /// The first line.
    pub fn title(&self, title: &str) {
        self.line(&self.inked(Ink::Bold, title));
        self.gap();
    }

    /// Begins the next step.
    pub fn step(&mut self, title: &str) {
        self.step += 1;
        let title = format!("{}  {title}", self.step);
        self.gap();
        self.line(&self.inked(Ink::Bold, &title));
        self.gap();
    }

    /// A line of its own.
    pub fn remark(&self, text: &str) {
        for line in wrapped(text, WIDTH - 2) {
            self.line(&format!("  {line}"));
        }
    }

    /// What a device calls.
    pub fn called(&self, who: &str, what: &str, details: &[String]) {
        let what = self.inked(Ink::Bold, what);
        self.line(&format!("{}{what}", self.actor(who)));
        for detail in details {
            self.below(INDENT, Ink::Faint, std::slice::from_ref(detail));
        }
    }

    /// What came back, part by part.
    pub fn answered(&self, status: u16, took: Duration, parts: &[String]) {
        let ink = match status {
            200..=299 => Ink::Good,
            400..=499 => Ink::Refused,
            _ => Ink::Bad,
        };
        let status = self.inked(ink, &status.to_string());
        let took = self.inked(Ink::Faint, &format!("{:>7}", shown(took)));
        let mut lines = joined(parts, WIDTH - ANSWER_INDENT).into_iter();
        let first = lines.next().unwrap_or_default();
        let line = format!("{:INDENT$}{status} {took}   {first}", "");
        self.line(line.trim_end());
        for line in lines {
            self.line(&format!("{:ANSWER_INDENT$}{line}", ""));
        }
    }

    /// What came by itself, as it should or with flaws; a claim that it should.
    pub fn came(&mut self, from: &str, claim: &str, flaws: &[String], details: &[String]) {
        let actor = self.actor(from);
        self.counted(&actor, claim, flaws);
        self.below(INDENT + 2, Ink::Faint, details);
    }

    /// What came by itself and neither had to nor must not.
    pub fn came_besides(&self, from: &str, what: &str, details: &[String]) {
        self.line(&format!("{}  {what}", self.actor(from)));
        self.below(INDENT + 2, Ink::Faint, details);
    }

    /// Compares what came with what should have come.
    pub fn expect<T: PartialEq + Debug>(&mut self, claim: &str, came: &T, expected: &T) {
        if came == expected {
            self.met(claim);
        } else {
            let flaws = [
                format!("expected  {expected:?}"),
                format!("came      {came:?}"),
            ];
            self.counted(&" ".repeat(INDENT), claim, &flaws);
        }
    }

    /// An expectation that was met.
    pub fn met(&mut self, claim: &str) {
        self.counted(&" ".repeat(INDENT), claim, &[]);
    }

    /// An expectation that was not, and why.
    pub fn failed(&mut self, claim: &str, why: String) {
        self.counted(&" ".repeat(INDENT), claim, &[why]);
    }

    fn counted(&mut self, actor: &str, claim: &str, flaws: &[String]) {
        if flaws.is_empty() {
            self.met += 1;
            self.line(&format!("{actor}{} {claim}", self.inked(Ink::Good, "✓")));
            return;
        }
        self.failed.push(format!("step {}: {claim}", self.step));
        self.line(&format!(
            "{actor}{} {}",
            self.inked(Ink::Bad, "✗"),
            self.inked(Ink::Bad, claim)
        ));
        for flaw in flaws {
            self.below(INDENT + 2, Ink::Bad, std::slice::from_ref(flaw));
        }
    }

    /// What stands below something, part by part.
    fn below(&self, indent: usize, ink: Ink, parts: &[String]) {
        if parts.is_empty() {
            return;
        }
        for line in joined(parts, WIDTH - indent) {
            self.line(&format!("{:indent$}{}", "", self.inked(ink, &line)));
        }
    }

    /// Who acts, up to where what they do begins.
    fn actor(&self, who: &str) -> String {
        let pad = " ".repeat(INDENT.saturating_sub(2 + who.chars().count()));
        format!("  {}{pad}", self.inked(Ink::Actor, who))
    }

    /// Columns as wide as their texts.
    pub fn table(&self, header: &[&str], rows: &[Row]) {
        let widths: Vec<usize> = (0..header.len())
            .map(|column| {
                let texts = rows.iter().filter_map(|row| row.cells.get(column));
                let widest = texts.map(|text| text.chars().count()).max().unwrap_or(0);
                widest.max(header[column].chars().count())
            })
            .collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let cells = cells
                .zip(&widths)
                .map(|(cell, &width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let rule = header.iter().zip(&widths);
        let rule: Vec<String> = rule
            .map(|(title, &width)| if title.is_empty() { "" } else { "─" }.repeat(width))
            .collect();
        self.gap();
        let titles = line(&mut header.iter().copied());
        self.line(&format!("  {}", self.inked(Ink::Bold, &titles)));
        let rule = line(&mut rule.iter().map(String::as_str));
        self.line(&format!("  {}", self.inked(Ink::Faint, &rule)));
        for row in rows {
            let text = line(&mut row.cells.iter().map(String::as_str));
            let text = if row.is_faint {
                self.inked(Ink::Faint, &text)
            } else {
                text
            };
            self.line(&format!("  {text}"));
        }
        self.gap();
    }

    /// The last lines: what it came to, and where to look when it was not as it
    /// should be.
    ///
    /// # Errors
    /// When an expectation was not met.
    pub fn close(self, logs: &str) -> Result<()> {
        let all = self.met + self.failed.len();
        self.gap();
        if self.failed.is_empty() {
            let end = format!("All {all} expectations were met.");
            let took = format!("It took {}.", shown(self.begun.elapsed()));
            self.line(&format!(
                "{} {}",
                self.inked(Ink::Good, &end),
                self.inked(Ink::Faint, &took)
            ));
            return Ok(());
        }
        let end = format!("{} of {all} expectations were not met:", self.failed.len());
        self.line(&self.inked(Ink::Bad, &end));
        for claim in &self.failed {
            self.line(&format!("  {} {claim}", self.inked(Ink::Bad, "✗")));
        }
        self.line(&format!("The logs of the functions are in {logs}"));
        bail!("the story did not go as it should");
    }

    fn inked(&self, ink: Ink, text: &str) -> String {
        if self.has_colour && !text.is_empty() {
            format!("\u{1b}[{}m{text}\u{1b}[0m", ink.code())
        } else {
            text.to_owned()
        }
    }

    /// Leaves an empty line, but never two.
    pub fn gap(&self) {
        self.wants_gap.set(true);
    }

    fn line(&self, text: &str) {
        let gap = if self.wants_gap.take() { "\n" } else { "" };
        // Whoever reads may have seen enough; the story still goes on to its
        // end, where it clears up.
        let _ = writeln!(stdout().lock(), "{gap}{text}");
    }
}

/// A duration as people say it.
pub fn shown(duration: Duration) -> impl Display {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

/// Joins parts into lines, and breaks between them wherever that is enough.
fn joined(parts: &[String], width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for part in parts {
        if line.is_empty() {
            line.clone_from(part);
        } else if line.chars().count() + 3 + part.chars().count() <= width {
            line = format!("{line} · {part}");
        } else {
            lines.extend(wrapped(&line, width));
            line.clone_from(part);
        }
    }
    lines.extend(wrapped(&line, width));
    lines
}

/// Breaks a text at spaces, or within a word that is too long for a line.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let mut word = word.to_owned();
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        while let Some((at, _)) = word.char_indices().nth(width) {
            lines.push(word[..at].to_owned());
            word.drain(..at);
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::{joined, wrapped};

    #[test]
    fn a_text_is_broken_at_spaces() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("one two", 7), ["one two"]);
    }

    #[test]
    fn a_word_that_is_too_long_is_broken() {
        assert_eq!(wrapped("a bcdefgh i", 3), ["a", "bcd", "efg", "h i"]);
    }

    #[test]
    fn parts_stay_whole_where_they_can() {
        let parts = ["one two", "three", "four five six"].map(str::to_owned);
        assert_eq!(joined(&parts, 9), ["one two", "three", "four five", "six"]);
        assert_eq!(joined(&parts[..2], 15), ["one two · three"]);
    }

    #[test]
    fn no_text_is_one_empty_line() {
        assert_eq!(wrapped("", 3), [""]);
    }
}
