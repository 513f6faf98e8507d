//! `infra/docs/assurance.md`: every line is there, and every test that it names exists.

use std::fs;

/// The requirements on sessions, by their numbers in ASVS 5.0.
const SESSIONS: [&str; 18] = [
    "7.1.1, 7.1.2",
    "7.2.1",
    "7.2.2, 7.2.3",
    "7.2.4",
    "7.4.1",
    "7.4.2",
    "7.4.3",
    "7.4.5",
    "7.5.1, 7.5.2, 7.5.3",
    "8.2.2",
    "8.3.2, 15.4.2",
    "16.5.3",
    "3.3",
    "3.5",
    "4.4",
    "14.2.1",
    "14.3",
    "16",
];

/// The subjects of the requirements on credentials.
const CREDENTIALS: [&str; 9] = [
    "length",
    "composition",
    "normalisation",
    "hash",
    "guessing",
    "failures in a row",
    "codes",
    "factors",
    "enumeration",
];

/// How many things that broke elsewhere are tried.
const BROKE: usize = 28;

fn page() -> String {
    fs::read_to_string(curfew::root().join("infra/docs/assurance.md")).unwrap()
}

/// Returns the cells of the rows of the tables.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| "));
    rows.map(|row| row.trim_end_matches(" |").split(" | ").collect())
        .collect()
}

/// Returns whether a source has a test of this name.
fn has_test(code: &str, name: &str) -> bool {
    let signature = format!("fn {name}(");
    code.split_once(&signature).is_some_and(|(before, _)| {
        let attributes = before.rsplit("\n\n").next().unwrap_or_default();
        attributes.contains("test")
    })
}

#[test]
fn every_line_is_there_with_its_tests_or_says_that_it_is_not_built() {
    let page = page();
    let rows = rows(&page);
    let numbers = (1..=BROKE).map(|number| number.to_string());
    let fixed = SESSIONS.iter().chain(&CREDENTIALS);
    for wanted in fixed.map(|name| (*name).to_owned()).chain(numbers) {
        let row = rows.iter().find(|row| row[0] == wanted);
        let row = row.unwrap_or_else(|| panic!("no line {wanted}"));
        assert_eq!(row.len(), 3, "{row:?}");
        assert!(
            row[2].contains("::") || row[2].starts_with("Not yet"),
            "{wanted}"
        );
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let page = page();
    let code = page.split('`').skip(1).step_by(2);
    let named: Vec<_> = code.filter_map(|code| code.split_once("::")).collect();
    assert!(named.len() > 100, "{}", named.len());
    for (file, name) in named {
        let folder = if file.starts_with("shared/") {
            ""
        } else {
            "tests/tests/suite"
        };
        let path = curfew::root().join(folder).join(file);
        let source = fs::read_to_string(&path);
        let source = source.unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(has_test(&source, name), "{file} has no test {name}");
    }
}
