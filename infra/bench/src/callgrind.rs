//! Counts the instructions of a program with valgrind's callgrind: the same for the same
//! binary, however busy the machine is.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

use crate::programs::{Program, folder};

/// Fails unless valgrind is installed.
pub async fn required() -> Result<()> {
    let mut version = Command::new("valgrind");
    version.arg("--version").stdout(Stdio::null());
    match version.status().await {
        Ok(status) if status.success() => Ok(()),
        _ => bail!("valgrind is needed (on Debian: apt-get install valgrind)"),
    }
}

/// Returns a command that runs a program under callgrind, with an empty environment.
pub fn command(program: &Program) -> Command {
    let mut out = OsString::from("--callgrind-out-file=");
    out.push(report(program));
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", "--tool=callgrind"])
        .arg(out)
        .arg(&program.file)
        .env_clear();
    command
}

/// Returns the instructions of a program that [`command`] ran and that has ended.
pub fn instructions(program: &Program) -> Result<u64> {
    let text = fs::read_to_string(report(program)).context("callgrind wrote no report")?;
    let total = text.lines().find_map(|line| {
        line.strip_prefix("totals: ")
            .or(line.strip_prefix("summary: "))
    });
    let total = total.context("callgrind wrote no total")?;
    Ok(total.trim().parse()?)
}

fn report(program: &Program) -> PathBuf {
    folder().join(format!("{}.callgrind", program.name))
}
