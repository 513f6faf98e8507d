//! Builds the functions for this machine, in the development profile.

use std::env::{join_paths, split_paths, var_os};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use curfew_launcher::functions;
use serde::Deserialize;
use tokio::io::AsyncReadExt;

use crate::process::{Tether, Tethered};
use crate::root;
use crate::tools::Environment;

/// A message of `cargo build --message-format json`. Only those about a binary
/// name an executable.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
}

/// Builds the functions, and returns the folder that holds their binaries.
///
/// # Errors
/// When a function does not compile.
pub async fn build(tether: &Tether) -> Result<PathBuf> {
    let functions = functions().context("could not list the functions")?;
    let mut command = tether.command("cargo");
    command
        .args(curfew_launcher::build(functions.iter().map(String::as_str)))
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(root())
        .stdout(Stdio::piped());
    let mut process = Tethered::start(command)?;
    let mut output = String::new();
    let mut pipe = process.output().context("cargo has no output")?;
    pipe.read_to_string(&mut output).await?;
    let status = process.ended().await?;
    if !status.success() {
        bail!("cargo build failed ({status})");
    }
    folder(&output).context("cargo build named no binary")
}

/// Returns the folder of the first binary that cargo names.
fn folder(messages: &str) -> Option<PathBuf> {
    let executable = messages
        .lines()
        .find_map(|line| serde_json::from_str::<Message>(line).ok()?.executable)?;
    executable.parent().map(PathBuf::from)
}

/// Returns `cargo lambda`, to be completed with a subcommand. It has to be
/// installed: [`Environment::CargoLambda`].
///
/// # Errors
/// When the PATH can't hold another folder.
pub fn cargo_lambda(tether: &Tether) -> Result<tokio::process::Command> {
    let programs = Environment::CargoLambda.programs();
    let mut command = tether.command(programs.join("cargo-lambda"));
    command
        .arg("lambda")
        .env("PATH", path_with(programs)?)
        .current_dir(root());
    Ok(command)
}

/// Returns the PATH with one more folder in front.
#[expect(
    clippy::disallowed_methods,
    reason = "the PATH is passed on to a child, not read as configuration"
)]
fn path_with(folder: PathBuf) -> Result<OsString> {
    let path = var_os("PATH").unwrap_or_default();
    join_paths(std::iter::once(folder).chain(split_paths(&path)))
        .context("the path of the workspace contains a character that the PATH can't hold")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::folder;

    #[test]
    fn the_folder_is_that_of_the_first_binary() {
        let messages = r#"{"reason":"compiler-artifact","executable":null}
{"reason":"build-script-executed"}
{"reason":"compiler-artifact","executable":"/target/debug/login"}"#;

        assert_eq!(
            folder(messages).as_deref(),
            Some(Path::new("/target/debug"))
        );
        assert_eq!(folder(""), None);
    }
}
