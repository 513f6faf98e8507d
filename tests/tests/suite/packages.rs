//! Targets whose tests are switched off in their `Cargo.toml`, because building an empty
//! test program of each function takes a minute.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Returns the files of Rust below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let is_rust = |path: &PathBuf| path.extension().is_some_and(|it| it == "rs");
    let below = folders.iter().flat_map(|folder| sources(folder));
    files.into_iter().filter(is_rust).chain(below).collect()
}

#[test]
fn no_test_and_no_example_is_in_a_target_whose_tests_are_off() {
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version=1"]);
    let output = cargo.current_dir(curfew::root()).output().unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let targets = packages
        .iter()
        .flat_map(|it| it["targets"].as_array().unwrap());
    let mut checked = 0;
    for target in targets {
        let file = Path::new(target["src_path"].as_str().unwrap());
        let files = if target["kind"][0] == "bin" {
            vec![file.to_owned()]
        } else {
            sources(file.parent().unwrap())
        };
        for file in files {
            let code = fs::read_to_string(&file).unwrap();
            if target["test"] == false && target["kind"][0] != "custom-build" {
                let has_tests = code.contains("#[cfg(test)]") || code.contains("test]\n");
                assert!(!has_tests, "{}: its tests do not run", file.display());
                checked += 1;
            }
            if target["kind"][0] == "lib" && target["doctest"] == false {
                let has_examples = code.contains("/// ```") || code.contains("//! ```");
                assert!(
                    !has_examples,
                    "{}: its example does not run",
                    file.display()
                );
            }
        }
    }
    assert!(checked > 40, "{checked}");
}
