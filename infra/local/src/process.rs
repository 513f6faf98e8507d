//! Child processes that end when we do, however we end.
//!
//! Each runs under `infra/local/tether.py`, which ends the whole process group
//! of the child as soon as the pipe to it closes. Dropping a [`Tethered`]
//! closes the pipe; so does the kernel when we are killed.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::program;

/// The tether gives a child five seconds to end by itself.
const PATIENCE: Duration = Duration::from_secs(8);

/// Lets this process, and the children that it starts from now on, open as many
/// files as the system allows: each socket is two, and many systems begin with
/// 1,024, macOS with 256. Where that can't be raised, it stays.
pub fn open_many_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    // macOS takes no more than this where it says that there is no limit.
    for current in [maximum, Some(10_240)] {
        if setrlimit(Resource::Nofile, Rlimit { current, maximum }).is_ok() {
            break;
        }
    }
}

/// What starts tethered children: a Python of this machine.
#[derive(Clone, Debug)]
pub struct Tether {
    python: PathBuf,
}

impl Tether {
    /// Tethers by this Python.
    #[must_use]
    pub fn new(python: PathBuf) -> Self {
        Self { python }
    }

    /// The Python itself.
    #[must_use]
    pub fn python(&self) -> &Path {
        &self.python
    }

    /// A command that will run tethered, without the variables by which cargo
    /// told *us* who we are (build scripts look at them, so a build below us
    /// would start afresh) and without any AWS account of the user's.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "what children must not inherit has to be known"
    )]
    pub fn command(&self, command: impl AsRef<OsStr>) -> Command {
        let mut tethered = Command::new(&self.python);
        tethered
            .arg(program("tether.py"))
            .arg(command)
            .stdin(Stdio::piped())
            // A group of its own: Ctrl-C reaches us alone, and we end the
            // children in order.
            .process_group(0);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if is_ours_alone(&name) {
                tethered.env_remove(&*name);
            }
        }
        tethered
    }
}

/// Whether a variable must not reach a child.
fn is_ours_alone(name: &str) -> bool {
    const CARGO: [&str; 8] = [
        "CARGO",
        "CARGO_BIN_NAME",
        "CARGO_CRATE_NAME",
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_PATH",
        "CARGO_PRIMARY_PACKAGE",
        "CARGO_TARGET_TMPDIR",
        "LD_LIBRARY_PATH",
    ];
    CARGO.contains(&name)
        || name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_BIN_EXE_")
        || name.starts_with("AWS_")
}

/// A running child.
#[derive(Debug)]
pub struct Tethered {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Tethered {
    /// Starts what [`Tether::command`] made.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(mut command: Command) -> Result<Self> {
        let mut child = command.spawn().context("could not start a process")?;
        // Taken out, because waiting for a child closes its input first.
        let pipe = child.stdin.take();
        Ok(Self { child, pipe })
    }

    /// Its standard output, once, when the command asked for a pipe.
    pub fn output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When the operating system can't tell.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        self.child
            .wait()
            .await
            .context("could not wait for a process")
    }
}

impl Drop for Tethered {
    /// Ends the child and waits, so that nothing is left running after us.
    fn drop(&mut self) {
        drop(self.pipe.take());
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < PATIENCE {
            sleep(Duration::from_millis(10));
        }
    }
}

/// Runs a command to its end, with its output on ours.
///
/// # Errors
/// When it can't be started or ends in failure; `what` says of what.
pub async fn run(command: Command, what: &str) -> Result<()> {
    let status = Tethered::start(command)?.ended().await?;
    if !status.success() {
        bail!("{what} failed ({status})");
    }
    Ok(())
}

/// Runs a command to its end, with its output in a log.
///
/// # Errors
/// When it can't be started or ends in failure; the message ends in the last
/// lines of the log.
pub async fn run_logged(mut command: Command, what: &str, log: &Path) -> Result<()> {
    let output = append_to(log)?;
    command.stdout(output.try_clone()?).stderr(output);
    let status = Tethered::start(command)?.ended().await?;
    if !status.success() {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(20)..].join("\n");
        bail!(
            "{what} failed ({status}); all of it is in {}:\n{last}",
            log.display()
        );
    }
    Ok(())
}

/// A log, opened to write at its end.
///
/// # Errors
/// When it can't be opened.
pub fn append_to(log: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("could not open {}", log.display()))
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;
    use std::time::Duration;

    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::time::timeout;

    use super::{Tethered, run};
    use crate::tools::find_python;

    #[tokio::test]
    async fn what_a_child_started_ends_with_us() {
        let mut command = find_python().unwrap().command("sh");
        command
            .args(["-c", "sleep 600 & echo started; wait"])
            .stdout(Stdio::piped());
        let mut child = Tethered::start(command).unwrap();
        let mut lines = BufReader::new(child.output().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "started");

        drop(child);

        // The pipe ends when the last process that could write to it has.
        let end = timeout(Duration::from_secs(5), lines.next_line())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(end, None);
    }

    #[tokio::test]
    async fn a_child_learns_of_no_aws_account_and_of_no_other_cargo() {
        let mut command = find_python().unwrap().command("sh");
        command.args(["-c", "! env | grep -E '^(AWS_|CARGO_PKG_)'"]);

        run(command, "the check").await.unwrap();
    }
}
