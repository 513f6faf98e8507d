//! What the bench writes into a page: tables of Markdown between two marks. A test
//! fails when a page has something else there.

use std::fs;

use anyhow::{Context as _, Result, bail};
use curfew::root;

use crate::report::Table;

/// A column of a table.
#[derive(Debug, Clone)]
pub struct Column {
    name: String,
    is_number: bool,
}

impl Column {
    /// A column of texts, to the left.
    #[must_use]
    pub fn text(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            is_number: false,
        }
    }

    /// A column of figures, to the right.
    #[must_use]
    pub fn number(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            is_number: true,
        }
    }
}

/// A table of a page, with a sentence before it.
#[derive(Debug, Clone)]
pub struct Sheet {
    title: String,
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Sheet {
    /// An empty table.
    #[must_use]
    pub fn new(title: &str, columns: impl IntoIterator<Item = Column>) -> Self {
        Self {
            title: title.to_owned(),
            columns: columns.into_iter().collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, which has as many cells as there are columns.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as the page has it: cells are not padded, so that a changed figure
    /// changes its own line alone.
    #[must_use]
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let names: Vec<_> = self.columns.iter().map(|it| it.name.clone()).collect();
        let rules = self.columns.iter().map(|column| {
            let rule = if column.is_number { "--:" } else { "---" };
            rule.to_owned()
        });
        let mut text = format!("{}\n\n{}", self.title, line(&names));
        text += &line(&rules.collect::<Vec<_>>());
        for row in &self.rows {
            text += &line(row);
        }
        text
    }
}

impl From<&Sheet> for Table {
    fn from(sheet: &Sheet) -> Self {
        let names: Vec<_> = sheet.columns.iter().map(|it| it.name.as_str()).collect();
        let mut table = Self::new(&sheet.title, &names);
        for row in &sheet.rows {
            table.row(row.iter().cloned());
        }
        table
    }
}

/// Tables one after the other.
#[must_use]
pub fn joined(sheets: &[Sheet]) -> String {
    let texts: Vec<_> = sheets.iter().map(Sheet::markdown).collect();
    texts.join("\n")
}

/// What a page has between the marks of a name.
///
/// # Errors
/// When the page or its marks are not there.
#[cfg(test)]
pub fn between(path: &str, name: &str) -> Result<String> {
    let page = fs::read_to_string(root().join(path)).with_context(|| path.to_owned())?;
    let (_, text, _) = parts(path, &page, name)?;
    Ok(text.to_owned())
}

/// Writes what a page has between the marks of a name; whether it had something
/// else there.
///
/// # Errors
/// When the page or its marks are not there.
pub fn write(path: &str, name: &str, text: &str) -> Result<bool> {
    let file = root().join(path);
    let page = fs::read_to_string(&file).with_context(|| path.to_owned())?;
    let (before, old, after) = parts(path, &page, name)?;
    if old == text {
        return Ok(false);
    }
    fs::write(&file, format!("{before}{text}{after}"))?;
    Ok(true)
}

/// The parts of a page: up to the first mark, between the two, and from the second.
fn parts<'a>(path: &str, page: &'a str, name: &str) -> Result<(&'a str, &'a str, &'a str)> {
    let first = format!("<!-- {name}: made by the bench, see above -->\n\n");
    let second = format!("\n<!-- {name}: end -->\n");
    let Some(at) = page.find(&first).map(|at| at + first.len()) else {
        bail!("{path} has no line {}", first.trim_end());
    };
    let Some(to) = page[at..].find(&second).map(|to| at + to) else {
        bail!("{path} has no line {}", second.trim());
    };
    Ok((&page[..at], &page[at..to], &page[to..]))
}

/// A figure with its thousands apart.
#[must_use]
pub fn grouped(figure: f64) -> String {
    let digits = format!("{:.0}", figure.abs());
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if figure < 0.0 && text != "0" {
        text.insert(0, '-');
    }
    text
}

/// An amount of money: with cents where they say something.
#[must_use]
pub fn usd(amount: f64) -> String {
    if amount.abs() < 999.995 {
        format!("{amount:.2}")
    } else {
        grouped(amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        let texts = [0.4, 999.0, 1_000.0, 1_234_567.8, -1_500.0].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "1,234,568", "-1,500"]);
        assert_eq!(
            [0.125, 999.99, 1_000.4].map(usd),
            ["0.12", "999.99", "1,000"]
        );
    }

    #[test]
    fn what_stands_between_the_marks_is_found_and_nothing_else() {
        let page = "a\n<!-- x: made by the bench, see above -->\n\n| 1 |\n\n<!-- x: end -->\nb\n";
        let (before, text, after) = parts("page", page, "x").unwrap();
        assert_eq!(text, "| 1 |\n");
        assert!(before.ends_with("-->\n\n") && after.starts_with("\n<!--"));
        assert!(parts("page", page, "y").is_err());
    }
}
