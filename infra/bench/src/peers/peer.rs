//! The peers as programs: installed under `target/`, pinned, and started. Each
//! connects to us, is told what to do by lines of JSON, and ends with us.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use curfew::process::{Tether, Tethered, run};
use curfew::tools::find_python;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::Command;
use tokio::time::timeout;

use super::Who;
use crate::lambda::{at_rest, processor_time};
use crate::programs::folder;

/// No command takes so long, whatever else the machine does.
const PATIENCE: Duration = Duration::from_mins(20);
/// Nor does a start.
const START_PATIENCE: Duration = Duration::from_mins(2);

/// A peer that can be started.
#[derive(Debug)]
pub struct Installed {
    who: Who,
    program: PathBuf,
    arguments: Vec<OsString>,
    folder: PathBuf,
}

/// Installs both, unless an earlier run has.
///
/// # Errors
/// When a tool that they need is missing, which is named, or a package can't be had.
pub async fn install() -> Result<[Installed; 2]> {
    let tether = find_python()?;
    Ok([better_auth(&tether).await?, allauth(&tether).await?])
}

async fn better_auth(tether: &Tether) -> Result<Installed> {
    const WHY: &str = "Better Auth is measured with Node.js 20 or newer and its npm";
    let node = version("node", WHY).await?;
    if !is_at_least(&node, 20) {
        bail!("{WHY}; `node` is {node}");
    }
    version("npm", WHY).await?;
    let (from, to) = (sources("better-auth"), place("better-auth"));
    fs::create_dir_all(&to)?;
    let _lock = lock(&to)?;
    let files = ["package.json", "package-lock.json", "measure.mjs"];
    for file in files {
        fs::copy(from.join(file), to.join(file)).with_context(|| file.to_owned())?;
    }
    let wanted = fs::read_to_string(from.join("package-lock.json"))? + &node;
    if !is_installed(&to, &wanted) {
        eprintln!(
            "Installing Better Auth into target/bench/peers (minutes, where its SQLite has to \
             be compiled) …"
        );
        let mut command = tether.command("npm");
        command
            .args(["ci", "--no-audit", "--no-fund", "--loglevel", "error"])
            .current_dir(&to);
        run(command, "npm ci").await?;
        fs::write(to.join(MARK), &wanted)?;
    }
    Ok(Installed {
        who: Who::BetterAuth,
        program: "node".into(),
        arguments: vec!["measure.mjs".into()],
        folder: to,
    })
}

async fn allauth(tether: &Tether) -> Result<Installed> {
    let (from, to) = (sources("django-allauth"), place("django-allauth"));
    fs::create_dir_all(&to)?;
    let _lock = lock(&to)?;
    let requirements = from.join("requirements.txt");
    let wanted = fs::read_to_string(&requirements)?;
    let python = to.join("venv/bin/python");
    if !is_installed(&to, &wanted) {
        eprintln!("Installing django-allauth into target/bench/peers …");
        let mut make = tether.command(tether.python());
        make.args(["-m", "venv", "--clear"]).arg(to.join("venv"));
        let what = "python -m venv (on Debian it needs the package python3-venv)";
        run(make, what).await?;
        let mut command = tether.command(&python);
        command
            .args(["-m", "pip", "--disable-pip-version-check", "install"])
            .args(["--quiet", "--no-deps", "--requirement"])
            .arg(&requirements);
        run(command, "pip install").await?;
        fs::write(to.join(MARK), &wanted)?;
    }
    let measure = from.join("measure.py");
    Ok(Installed {
        who: Who::Allauth,
        program: python,
        // It leaves nothing beside its source.
        arguments: vec!["-B".into(), measure.into()],
        folder: to,
    })
}

/// What stands in a folder once all of it is there: what it was made from.
const MARK: &str = "installed.txt";

fn is_installed(folder: &Path, wanted: &str) -> bool {
    fs::read_to_string(folder.join(MARK)).is_ok_and(|it| it == wanted)
}

/// Two runs at once would break each other's installation.
fn lock(folder: &Path) -> Result<File> {
    let lock = File::create(folder.join("lock"))?;
    lock.lock()?;
    Ok(lock)
}

fn sources(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(name)
}

fn place(name: &str) -> PathBuf {
    folder().join("peers").join(name)
}

/// What a tool says of its version.
async fn version(tool: &str, why: &str) -> Result<String> {
    let told = Command::new(tool).arg("--version").output().await;
    let told = match told {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("{why}; there is no `{tool}` on the PATH")
        }
        told => told.with_context(|| format!("{why}; `{tool}` does not start"))?,
    };
    Ok(String::from_utf8_lossy(&told.stdout).trim().to_owned())
}

/// Whether a version such as `v20.20.2` is of that major one or a later.
fn is_at_least(version: &str, major: u32) -> bool {
    let found = version.trim_start_matches('v').split('.').next();
    found.is_some_and(|found| found.parse().is_ok_and(|found: u32| found >= major))
}

/// A peer that runs.
pub struct Peer {
    /// Which.
    pub who: Who,
    /// Its process, once it has told.
    pub process: u32,
    /// It ends when this is dropped, and when we are killed.
    _program: Tethered,
    tell: OwnedWriteHalf,
    told: Lines<BufReader<OwnedReadHalf>>,
}

impl Peer {
    /// Starts one to measure it, or its race.
    ///
    /// # Errors
    /// When it does not start, or ends before it is told anything.
    pub async fn start(installed: &Installed, races: bool) -> Result<Self> {
        let who = installed.who;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut command = find_python()?.command(&installed.program);
        command
            .args(&installed.arguments)
            .arg(if races { "race" } else { "measure" })
            .arg(listener.local_addr()?.port().to_string())
            .current_dir(&installed.folder)
            .env("NODE_ENV", "production");
        let mut program = Tethered::start(command)?;
        let connected = tokio::select! {
            connected = timeout(START_PATIENCE, listener.accept()) => connected,
            end = program.ended() => bail!("{} ended ({})", who.name(), end?),
        };
        let connected = connected.with_context(|| format!("{} does not start", who.name()));
        let (stream, _) = connected??;
        let (told, tell) = stream.into_split();
        Ok(Self {
            who,
            process: 0,
            _program: program,
            tell,
            told: BufReader::new(told).lines(),
        })
    }

    /// Lets it do something once, from sleep to sleep, and tells the processor time
    /// of its process.
    ///
    /// # Errors
    /// When it fails.
    pub async fn once(&mut self, operation: &str) -> Result<Duration> {
        at_rest(self.process).await?;
        let before = processor_time(self.process)?;
        let once = json!({ "do": "once", "operation": operation });
        let _done: Value = self.ask(&once).await?;
        at_rest(self.process).await?;
        let took = processor_time(self.process)?.saturating_sub(before);
        let _undone: Value = self.ask(&json!({ "do": "undo" })).await?;
        Ok(took)
    }

    /// Tells it to do something, and waits for its answer.
    ///
    /// # Errors
    /// When it fails; what it says of it is on standard error.
    pub async fn ask<T: DeserializeOwned>(&mut self, command: &Value) -> Result<T> {
        let name = self.who.name();
        self.tell
            .write_all(format!("{command}\n").as_bytes())
            .await?;
        let line = timeout(PATIENCE, self.told.next_line()).await;
        let line = line.with_context(|| format!("{name} does not answer to {command}"))??;
        let Some(line) = line else {
            bail!("{name} ended at {command}");
        };
        serde_json::from_str(&line).with_context(|| format!("{name}: {command}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_node_is_told_from_a_newer() {
        assert!(is_at_least("v20.20.2", 20) && is_at_least("v22.1.0", 20));
        assert!(!is_at_least("v18.19.0", 20) && !is_at_least("", 20));
    }

    #[test]
    fn the_lock_of_better_auth_pins_every_package_and_names_no_registry() {
        let lock = sources("better-auth").join("package-lock.json");
        let lock = fs::read_to_string(lock).unwrap();
        assert!(
            !lock.contains("://"),
            "a registry is everybody's own choice"
        );
        let lock: Value = serde_json::from_str(&lock).unwrap();
        let packages = lock["packages"].as_object().unwrap();
        for (path, package) in packages.iter().filter(|(path, _)| !path.is_empty()) {
            assert!(package["version"].is_string(), "{path}");
            assert!(package["integrity"].is_string(), "{path}");
        }
    }

    #[test]
    fn every_package_of_django_allauth_is_pinned() {
        let requirements = sources("django-allauth").join("requirements.txt");
        let requirements = fs::read_to_string(requirements).unwrap();
        assert!(requirements.contains("django-allauth=="));
        for line in requirements.lines() {
            assert!(line.contains("=="), "{line}");
        }
    }
}
