//! Counts the instructions of a program by valgrind's callgrind: the same for the
//! same binary, whatever else the machine does.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

use crate::programs::{Program, folder};

/// Fails unless callgrind is there.
///
/// # Errors
/// When it is not.
pub async fn required() -> Result<()> {
    let version = Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .await;
    match version {
        Ok(status) if status.success() => Ok(()),
        _ => bail!("valgrind is needed (on Debian: apt-get install valgrind)"),
    }
}

/// A program to be run under callgrind, without an environment.
#[must_use]
pub fn command(program: &Program) -> Command {
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", out(&program.name)))
        .arg(&program.file)
        .env_clear();
    command
}

/// The instructions of a program that [`command`] ran and that has ended.
///
/// # Errors
/// When callgrind wrote nothing that can be read.
pub fn instructions(program: &Program) -> Result<u64> {
    let text = fs::read_to_string(out(&program.name)).context("callgrind wrote nothing")?;
    let total = text.lines().find_map(|line| {
        line.strip_prefix("totals: ")
            .or(line.strip_prefix("summary: "))
    });
    let total = total.context("callgrind wrote no total")?;
    Ok(total.trim().parse()?)
}

fn out(name: &str) -> String {
    let name = name.replace([' ', '(', ')'], "");
    let file = folder().join(format!("{name}.callgrind"));
    Path::new(&file).to_string_lossy().into_owned()
}
