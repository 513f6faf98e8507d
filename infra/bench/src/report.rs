//! What a part found: tables for the eye, JSON for programs.

use std::fmt::Write as _;
use std::fs;

use anyhow::Result;
use curfew::target;
use serde::Serialize;

/// A table of text, the first column to the left and the others to the right.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(title: &str, columns: &[&str]) -> Self {
        Self {
            title: title.to_owned(),
            columns: columns.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, which has as many cells as there are columns.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as Markdown, so that it can be put into a page as it is.
    #[must_use]
    pub fn markdown(&self) -> String {
        let width = |n: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(n));
            let cells = cells.chain(self.columns.get(n));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |cells: &[String]| {
            let mut text = String::from("|");
            for (n, (cell, width)) in cells.iter().zip(&widths).enumerate() {
                let written = if n == 0 {
                    write!(text, " {cell:<width$} |")
                } else {
                    write!(text, " {cell:>width$} |")
                };
                written.expect("a text takes what is written");
            }
            text
        };
        let mut text = format!("{}\n\n{}\n", self.title, line(&self.columns));
        for (n, width) in widths.iter().enumerate() {
            let rule = "-".repeat(width + 1);
            text += "|";
            text += &rule;
            text += if n == 0 { "-" } else { ":" };
        }
        text += "|\n";
        for row in &self.rows {
            text += &line(row);
            text.push('\n');
        }
        text
    }
}

/// What a part found.
#[derive(Debug, Serialize)]
pub struct Report<T> {
    /// The part.
    pub part: &'static str,
    /// The machine: figures of two machines can't be compared.
    pub machine: String,
    /// Every figure.
    pub figures: T,
    /// The same for the eye.
    pub tables: Vec<Table>,
}

impl<T: Serialize> Report<T> {
    /// A report of this machine.
    #[must_use]
    pub fn new(part: &'static str, figures: T, tables: Vec<Table>) -> Self {
        Self {
            part,
            machine: machine(),
            figures,
            tables,
        }
    }

    /// Prints the tables, and writes `target/bench/<part>.json`.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn publish(&self) -> Result<()> {
        for table in &self.tables {
            println!("{}", table.markdown());
        }
        let folder = target().join("bench");
        fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{}.json", self.part));
        fs::write(&file, serde_json::to_string_pretty(self)?)?;
        eprintln!("{}: {} and {}", self.part, self.machine, file.display());
        Ok(())
    }
}

/// Processor and cores.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(": "))
        .map_or("an unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} cores")
}

/// The middle one, or 0 of none.
#[must_use]
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}

/// Megabytes, of a million bytes each.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
pub fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown_with_even_columns() {
        let mut table = Table::new("Sizes", &["what", "MB"]);
        table.row(["login".to_owned(), "8.3".to_owned()]);
        let lines: Vec<_> = [
            "Sizes",
            "",
            "| what  |  MB |",
            "|-------|----:|",
            "| login | 8.3 |",
        ]
        .into();
        assert_eq!(table.markdown().lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn the_median_is_the_middle_one_whatever_the_order() {
        assert!((median([9.0, 1.0, 5.0]) - 5.0).abs() < f64::EPSILON);
        assert!(median([]).abs() < f64::EPSILON);
    }
}
