//! Renders the tables of the cost and scale pages. They are arithmetic over the TOML
//! files of `infra/bench`, the template and the production parameters: nothing is
//! measured here.

mod cost;
mod data;
mod model;
mod scale;

use std::fs;

use anyhow::{Context as _, Result, bail};
use curfew::root;

use crate::report::Table;
use model::Model;

/// Tables by the names of their places in a page.
type Tables = Vec<(&'static str, Table)>;

/// Renders both pages and writes those that have changed.
pub fn run() -> Result<()> {
    for (page, old, new) in rendered()? {
        if old != new {
            fs::write(root().join(page), new)?;
            eprintln!("pages: {page} has new figures");
        }
    }
    Ok(())
}

/// Returns each page's path, its present text, and its text with rendered tables.
fn rendered() -> Result<Vec<(&'static str, String, String)>> {
    let model = Model::read()?;
    let mut pages = Vec::new();
    for (page, tables) in [
        ("infra/docs/performance/cost.md", cost::tables(&model)?),
        ("infra/docs/performance/scale.md", scale::tables(&model)?),
    ] {
        let old = fs::read_to_string(root().join(page)).context(page)?;
        let new = fill(&old, &tables).context(page)?;
        pages.push((page, old, new));
    }
    Ok(pages)
}

const BEGIN: &str = "<!-- rendered: ";
const END: &str = "<!-- end -->";

/// Replaces what is between `<!-- rendered: name -->` and `<!-- end -->`.
fn fill(page: &str, tables: &Tables) -> Result<String> {
    let mut parts = page.split(BEGIN);
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut placed = 0;
    for part in parts {
        let (name, rest) = part.split_once(" -->").context("an open comment")?;
        let (_, after) = rest
            .split_once(END)
            .with_context(|| format!("{name} has no end"))?;
        let table = tables.iter().find(|(of, _)| *of == name);
        let (_, table) = table.with_context(|| format!("no table is named {name}"))?;
        text.extend([BEGIN, name, " -->\n", &table.for_page(), END, after]);
        placed += 1;
    }
    if placed != tables.len() {
        bail!("{placed} of {} tables have a place in it", tables.len());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_have_the_rendered_tables() {
        for (page, old, new) in rendered().unwrap() {
            assert!(
                old == new,
                "run `cargo run -p bench -- pages`; {page} should be\n{new}"
            );
        }
    }

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let mut table = Table::new("", &["a"]);
        table.row(["1".to_owned()]);
        let tables = vec![("x", table)];

        let page = "before\n<!-- rendered: x -->\nold\n<!-- end -->\nafter\n";
        let filled = "before\n<!-- rendered: x -->\n| a |\n| --- |\n| 1 |\n<!-- end -->\nafter\n";
        assert_eq!(fill(page, &tables).unwrap(), filled);
        assert!(fill("no marks", &tables).is_err());
        assert!(fill("<!-- rendered: y -->\n<!-- end -->", &tables).is_err());
    }
}
