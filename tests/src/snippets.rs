//! The code blocks of a document, as a reader copies them into files and terminals.

use std::env::{join_paths, split_paths, var_os};
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use curfew::process::Tethered;
use curfew::root;
use curfew::tools::{Environment, find_python};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::ChildStdout;
use tokio::time::timeout;

/// The maximum time for a line of a program.
const PATIENCE: Duration = Duration::from_mins(2);

/// The code blocks of a document.
#[derive(Debug)]
pub struct Snippets {
    path: &'static str,
    /// Each with its language.
    blocks: Vec<(String, String)>,
}

impl Snippets {
    /// Reads a document of the project, with some texts replaced: addresses and
    /// folders that another stack has.
    ///
    /// # Errors
    /// When there is no such document, or it has no such text.
    pub fn of(path: &'static str, replaced: &[(&str, &str)]) -> Result<Self> {
        let mut text = fs::read_to_string(root().join(path))?;
        for (from, to) in replaced {
            ensure!(text.contains(from), "{path} has no {from}");
            text = text.replace(from, to);
        }
        // Every second part is the inside of a fence.
        let fenced = text.split("\n```").skip(1).step_by(2);
        let blocks = fenced
            .filter_map(|block| block.split_once('\n'))
            .map(|(language, code)| (language.to_owned(), format!("{code}\n")))
            .collect();
        Ok(Self { path, blocks })
    }

    /// Returns the only block of a language that contains a text.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn block(&self, language: &str, text: &str) -> Result<&str> {
        let mut found = self
            .blocks
            .iter()
            .filter(|(of, code)| of == language && code.contains(text));
        match (found.next(), found.next()) {
            (Some((_, code)), None) => Ok(code),
            _ => bail!("{} has not one `{language}` block with {text}", self.path),
        }
    }
}

/// What is typed in a terminal at the root of the clone: its commands run one after
/// the other, and the first that fails ends it.
#[derive(Debug)]
pub struct Terminal {
    process: Tethered,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Terminal {
    /// Starts the commands, which find the pinned Node and Python. Servers listen on a
    /// free port.
    ///
    /// # Errors
    /// When the tools can't be installed.
    pub async fn start(commands: &[&str]) -> Result<Self> {
        let tether = find_python()?;
        let environments = [Environment::Aws, Environment::Node];
        for environment in environments {
            environment.install(&tether).await?;
        }
        let mut command = tether.command("sh");
        command
            .args(["-euc", &commands.join("\n")])
            .current_dir(root())
            .env("PATH", path_with(environments.map(Environment::programs))?)
            .env("PORT", "0")
            .stdout(Stdio::piped());
        let mut process = Tethered::start(command)?;
        let output = process.output().context("its output is piped")?;
        let lines = BufReader::new(output).lines();
        Ok(Self { process, lines })
    }

    /// Waits for a line with this text, and returns it.
    ///
    /// # Errors
    /// When the commands end or take too long before that.
    pub async fn line(&mut self, text: &str) -> Result<String> {
        let next = async {
            while let Some(line) = self.lines.next_line().await? {
                if line.contains(text) {
                    return Ok(line);
                }
            }
            bail!("the commands ended before they printed {text}")
        };
        timeout(PATIENCE, next)
            .await
            .with_context(|| format!("the commands did not print {text}"))?
    }

    /// Waits until the commands have ended, and returns the rest of their output.
    ///
    /// # Errors
    /// When one of them fails.
    pub async fn end(mut self) -> Result<String> {
        let mut text = String::new();
        let mut output = self.lines.into_inner();
        let reading = output.read_to_string(&mut text);
        timeout(PATIENCE, reading)
            .await
            .context("they do not end")??;
        let status = self.process.ended().await?;
        ensure!(status.success(), "{status}: {text}");
        Ok(text)
    }
}

/// Returns the PATH with more folders in front.
fn path_with<const N: usize>(folders: [PathBuf; N]) -> Result<std::ffi::OsString> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the PATH is passed on to a child, not read as configuration"
    )]
    let path = var_os("PATH").unwrap_or_default();
    Ok(join_paths(folders.into_iter().chain(split_paths(&path)))?)
}
