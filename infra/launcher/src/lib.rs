//! The one cargo invocation that builds what the local stack runs.
//!
//! It names each binary in the whole workspace instead of single packages.
//! Features are then the same as for `cargo test --workspace`, which rebuilds
//! almost nothing, while the tests, the bench and what only they need are not
//! built.

use std::fs;
use std::io;
use std::path::Path;

/// The folders that hold one folder for each deployed function.
const FUNCTIONS: [&str; 2] = ["functions", "infra/example"];

/// Returns the root of the workspace.
#[must_use]
pub fn root() -> &'static Path {
    let this = Path::new(env!("CARGO_MANIFEST_DIR"));
    this.ancestors().nth(2).unwrap_or(this)
}

/// Returns the name of every deployed function, which is also the name of its
/// folder and of its binary.
///
/// # Errors
/// When the folders can't be read.
pub fn functions() -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for folder in FUNCTIONS {
        for entry in fs::read_dir(root().join(folder))? {
            let entry = entry?;
            if entry.path().join("src/main.rs").exists() {
                names.extend(entry.file_name().into_string());
            }
        }
    }
    names.sort();
    Ok(names)
}

/// Returns the arguments for cargo that build these binaries.
pub fn build<'a>(binaries: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut arguments = vec!["build", "--workspace"];
    for binary in binaries {
        arguments.extend(["--bin", binary]);
    }
    arguments
}

/// Returns whether cargo sets a variable for the programs that it runs. Build
/// scripts look at these, so a build that inherits them starts from scratch.
#[must_use]
pub fn is_set_by_cargo(variable: &str) -> bool {
    const NAMES: [&str; 8] = [
        "CARGO",
        "CARGO_BIN_NAME",
        "CARGO_CRATE_NAME",
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_PATH",
        "CARGO_PRIMARY_PACKAGE",
        "CARGO_TARGET_TMPDIR",
        "LD_LIBRARY_PATH",
    ];
    NAMES.contains(&variable)
        || variable.starts_with("CARGO_PKG_")
        || variable.starts_with("CARGO_BIN_EXE_")
}

#[cfg(test)]
mod tests {
    use super::functions;

    #[test]
    fn the_functions_of_the_bundle_and_of_the_example_are_found() {
        let functions = functions().unwrap();

        for name in ["login", "sign-out-device", "films"] {
            assert!(functions.iter().any(|it| it == name), "{functions:?}");
        }
        assert!(!functions.iter().any(|it| it == "subscriber"), "a library");
    }
}
