//! `cargo run`: builds the local stack, with one progress bar, and starts it.

use std::env;
use std::error::Error;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use curfew_launcher::{build, functions, is_set_by_cargo, root};

/// The binary of `infra/local`.
const LOCAL: &str = "curfew-local";

/// Printed when nothing has been built yet.
const FIRST_START: &str = "\
The first start builds Curfew. That takes about three minutes on two cores, downloads
crates and Python packages, and needs 3 GB of disk space in target/.
Later starts take about 15 seconds.";

fn main() -> ExitCode {
    match start() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Builds, and becomes the program that was built. Returns only if that fails.
fn start() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    // Cargo puts all binaries into one folder.
    let program = env::current_exe()?.with_file_name(LOCAL);
    if !program.exists() {
        eprintln!("{FIRST_START}");
    }
    let functions = functions()?;
    let mut binaries = vec![LOCAL];
    // A device or a help text needs no functions.
    let first = arguments.first().map(|it| it.to_string_lossy());
    let options = ["--port", "--watch", "--allow-origin"];
    let starts_a_stack =
        first.is_none_or(|it| it == "story" || options.iter().any(|option| it.starts_with(option)));
    if starts_a_stack {
        binaries.extend(functions.iter().map(String::as_str));
    }
    let status = cargo().args(build(binaries)).status()?;
    if !status.success() {
        return Ok(ExitCode::FAILURE);
    }
    Err(Command::new(program).args(arguments).exec().into())
}

/// Returns a command for cargo at the root of the workspace.
#[expect(
    clippy::disallowed_methods,
    reason = "the variables that a build must not inherit have to be known"
)]
fn cargo() -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root());
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_set_by_cargo) {
            cargo.env_remove(name);
        }
    }
    cargo
}
