//! Builds the functions, for this machine, in the development profile.

use std::env::{join_paths, split_paths, var_os};
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::process::{Tether, run};
use crate::tools::Environment;
use crate::{root, target};

/// Where `cargo lambda build` leaves `<function>/bootstrap`.
#[must_use]
pub fn built() -> PathBuf {
    target().join("lambda")
}

/// Builds the workspace as a whole, so that every crate is built once and with
/// the same features as by any other cargo command on the workspace.
///
/// # Errors
/// When it does not build.
pub async fn build(tether: &Tether) -> Result<()> {
    let mut command = cargo_lambda(tether)?;
    command.args(["build", "--workspace", "--compiler", "cargo"]);
    run(command, "cargo lambda build").await
}

/// `cargo lambda`, to be completed with a subcommand.
///
/// # Errors
/// When the PATH can't hold another folder.
pub fn cargo_lambda(tether: &Tether) -> Result<tokio::process::Command> {
    let programs = Environment::Tools.programs();
    let mut command = tether.command(programs.join("cargo-lambda"));
    command
        .arg("lambda")
        .env("PATH", path_with(programs)?)
        .current_dir(root());
    Ok(command)
}

/// The PATH with one more folder in front.
#[expect(
    clippy::disallowed_methods,
    reason = "children are found by the PATH, not configured"
)]
fn path_with(folder: PathBuf) -> Result<OsString> {
    let path = var_os("PATH").unwrap_or_default();
    join_paths(std::iter::once(folder).chain(split_paths(&path)))
        .context("the workspace's path holds a character that the PATH can't")
}
