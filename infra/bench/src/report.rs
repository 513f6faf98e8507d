//! Results of a part: tables to read, and JSON for programs.

use std::fmt::Write as _;
use std::fs;

use anyhow::Result;
use curfew::target;
use serde::Serialize;

/// A table with a title. Columns of figures are aligned to the right.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(title: &str, columns: &[&str]) -> Self {
        Self {
            title: title.to_owned(),
            columns: columns.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row with a cell for each column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Returns the table as Markdown with cells padded for a terminal.
    pub fn markdown(&self) -> String {
        let width = |n: usize| {
            let rows = self.rows.iter().chain([&self.columns]);
            let widths = rows.map(|row| row.get(n).map_or(0, |cell| cell.chars().count()));
            widths.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        format!("{}\n\n{}", self.title, self.lines(&widths))
    }

    /// Returns the table as Markdown for a page: without its title, and not padded, so
    /// that a changed figure changes one line.
    pub fn for_page(&self) -> String {
        self.lines(&vec![0; self.columns.len()])
    }

    fn lines(&self, widths: &[usize]) -> String {
        let is_figures: Vec<bool> = (0..self.columns.len())
            .map(|n| self.is_figures(n))
            .collect();
        let line = |cells: &[String]| {
            let mut text = String::from("|");
            for ((cell, width), is_figures) in cells.iter().zip(widths).zip(&is_figures) {
                let written = if *is_figures {
                    write!(text, " {cell:>width$} |")
                } else {
                    write!(text, " {cell:<width$} |")
                };
                written.expect("writing to a string succeeds");
            }
            text + "\n"
        };
        let rule = |(is_figures, width): (&bool, &usize)| {
            let dashes = "-".repeat((*width).max(3));
            if *is_figures {
                format!("{}:", &dashes[1..])
            } else {
                dashes
            }
        };
        let rules: Vec<String> = is_figures.iter().zip(widths).map(rule).collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        line(&self.columns) + &line(&rules) + &rows
    }

    fn is_figures(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().map(|row| &row[column]);
        column > 0 && cells.all(|cell| !cell.contains(|it: char| it.is_ascii_alphabetic()))
    }
}

/// What a part found, and where.
#[derive(Debug, Serialize)]
pub struct Report<T> {
    part: &'static str,
    /// Figures of two machines can't be compared.
    machine: String,
    figures: T,
    tables: Vec<Table>,
}

impl<T: Serialize> Report<T> {
    /// Creates a report of this machine.
    pub fn new(part: &'static str, figures: T, tables: Vec<Table>) -> Self {
        Self {
            part,
            machine: machine(),
            figures,
            tables,
        }
    }

    /// Prints the tables and writes `target/bench/<part>.json`.
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

/// Returns the processor and its number of cores.
fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut lines = info.lines().filter(|line| line.starts_with("model name"));
    let model = lines.next().and_then(|line| line.split_once(": "));
    let model = model.map_or("an unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} cores")
}

/// Returns the median, or 0 of nothing.
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}

/// Returns millions: of bytes, which are megabytes, or of instructions.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn millions(count: u64) -> f64 {
    count as f64 / 1e6
}

/// Returns a count as a number to compute with.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn float(count: usize) -> f64 {
    count as f64
}

/// Formats a whole number with its thousands separated: `1,234,568`.
pub fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0.0 && text != "0" {
        text.insert(0, '-');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown_with_even_columns() {
        let mut table = Table::new("Sizes", &["what", "MB", "note"]);
        table.row(["login", "8.3", "hashes"].map(ToOwned::to_owned));

        let padded = "Sizes\n\n| what  |  MB | note   |\n| ----- | --: | ------ |\n| login | 8.3 | hashes |\n";
        assert_eq!(table.markdown(), padded);
        let for_page = "| what | MB | note |\n| --- | --: | --- |\n| login | 8.3 | hashes |\n";
        assert_eq!(table.for_page(), for_page);
    }

    #[test]
    fn the_median_is_the_middle_one_in_any_order() {
        assert!((median([9.0, 1.0, 5.0]) - 5.0).abs() < f64::EPSILON);
        assert!(median([]).abs() < f64::EPSILON);
    }

    #[test]
    fn thousands_are_separated() {
        let texts = [0.4, 999.0, 1_000.0, 1_234_567.8, -1_500.0].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "1,234,568", "-1,500"]);
    }
}
