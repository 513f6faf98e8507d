//! Child processes that end when this process ends, even when it is killed.
//!
//! Each runs under `infra/local/tether.py`, which ends the whole process group
//! of the child as soon as the pipe to it closes. Dropping a [`Tethered`]
//! closes the pipe; the kernel does so when this process is killed.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use curfew_launcher::is_set_by_cargo;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::program;

/// The time in which a child has to end. The tether kills it after five seconds.
const TIMEOUT: Duration = Duration::from_secs(8);

/// Raises the limit of open files to the highest allowed value, for this process
/// and the children that it starts from now on. Each socket takes two files; many
/// systems start at 1,024, macOS at 256. A failure is ignored.
pub fn open_many_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    // macOS accepts no more than this where it reports that there is no limit.
    for current in [maximum, Some(10_240)] {
        if setrlimit(Resource::Nofile, Rlimit { current, maximum }).is_ok() {
            break;
        }
    }
}

/// Starts tethered children with a Python of this machine.
#[derive(Clone, Debug)]
pub struct Tether {
    python: PathBuf,
}

impl Tether {
    /// Creates a tether that uses this Python.
    #[must_use]
    pub fn new(python: PathBuf) -> Self {
        Self { python }
    }

    /// Returns the path of the Python.
    #[must_use]
    pub fn python(&self) -> &Path {
        &self.python
    }

    /// Returns a command that runs tethered. It does not inherit the variables that
    /// cargo has set for this process, nor any `AWS_*`: a child can't reach an AWS
    /// account of the user's.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the variables that children must not inherit have to be known"
    )]
    pub fn command(&self, command: impl AsRef<OsStr>) -> Command {
        let mut tethered = Command::new(&self.python);
        tethered
            .arg(program("tether.py"))
            .arg(command)
            .stdin(Stdio::piped())
            // A process group of its own, so that Ctrl-C reaches only this process,
            // which ends the children in order.
            .process_group(0);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if is_set_by_cargo(&name) || name.starts_with("AWS_") {
                tethered.env_remove(&*name);
            }
        }
        tethered
    }
}

/// A running child.
#[derive(Debug)]
pub struct Tethered {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Tethered {
    /// Starts a command of [`Tether::command`].
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(mut command: Command) -> Result<Self> {
        let mut child = command.spawn().context("could not start a process")?;
        // Taken out, because tokio closes the input of a child that it waits for.
        let pipe = child.stdin.take();
        Ok(Self { child, pipe })
    }

    /// Takes the standard output, if the command has asked for a pipe.
    pub fn output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits until the child has ended by itself.
    ///
    /// # Errors
    /// When the operating system can't report it.
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
        let started = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && started.elapsed() < TIMEOUT {
            sleep(Duration::from_millis(10));
        }
    }
}

/// Runs a command until it ends. Its output goes to that of this process.
///
/// # Errors
/// When it can't be started or fails; the message begins with `what`.
pub async fn run(command: Command, what: &str) -> Result<()> {
    let status = Tethered::start(command)?.ended().await?;
    if !status.success() {
        bail!("{what} failed ({status})");
    }
    Ok(())
}

/// Runs a command until it ends. Its output is appended to a log.
///
/// # Errors
/// When it can't be started or fails; the message ends with the last lines of the
/// log.
pub async fn run_logged(mut command: Command, what: &str, log: &Path) -> Result<()> {
    let output = append_to(log)?;
    command.stdout(output.try_clone()?).stderr(output);
    let status = Tethered::start(command)?.ended().await?;
    if !status.success() {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(20)..].join("\n");
        bail!(
            "{what} failed ({status}); the log is {}:\n{last}",
            log.display()
        );
    }
    Ok(())
}

/// Opens a log to append to it.
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
    async fn the_children_of_a_child_end_with_it() {
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
    async fn a_child_inherits_no_variables_of_aws_or_cargo() {
        let mut command = find_python().unwrap().command("sh");
        command.args(["-c", "! env | grep -E '^(AWS_|CARGO_PKG_)'"]);

        run(command, "the check").await.unwrap();
    }
}
