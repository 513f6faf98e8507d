//! The measured programs: the functions, built as they are deployed, and what they are
//! compared with.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use curfew::functions::cargo_lambda;
use curfew::process::{Tether, run};
use curfew::tools::{Environment, find_python};
use curfew::{root, target};
use tokio::process::Command;

pub struct Program {
    pub name: String,
    pub file: PathBuf,
}

impl Program {
    /// Fails unless the program was built.
    fn new(name: &str, file: PathBuf) -> Result<Self> {
        if !file.exists() {
            let file = file.display();
            bail!("{file} is not built; run the same command without `--built` to build it");
        }
        let name = name.to_owned();
        Ok(Self { name, file })
    }
}

/// Builds programs, unless the caller says that an earlier run has built them.
pub struct Builder {
    tether: Tether,
    built: bool,
}

impl Builder {
    /// Installs what building needs.
    pub async fn new(built: bool) -> Result<Self> {
        let tether = find_python()?;
        Environment::CargoLambda.install(&tether).await?;
        fs::create_dir_all(folder())?;
        Ok(Self { tether, built })
    }

    /// Builds functions in release, as they are deployed. `.ci/run` does the same beside its
    /// other steps.
    pub async fn functions(&self, names: &[String]) -> Result<Vec<Program>> {
        // `cargo run` has its development builds in another folder.
        let built = folder().join("lambda");
        let mut command = cargo_lambda(&self.tether)?;
        command.args(["build", "--release", "--compiler", "cargo", "--locked"]);
        command.arg("--lambda-dir").arg(&built);
        for name in names {
            command.args(["--package", name]);
        }
        if !self.built {
            eprintln!("Building {} functions in release …", names.len());
            run(command, "cargo lambda build").await?;
        }
        let file = |name: &String| built.join(name).join("bootstrap");
        names
            .iter()
            .map(|name| Program::new(name, file(name)))
            .collect()
    }

    /// Builds an example of `bench-programs` in release.
    pub async fn example(&self, name: &str) -> Result<Program> {
        let mut command = self.tether.command("cargo");
        command
            .args([
                "build",
                "--release",
                "--locked",
                "--package",
                "bench-programs",
            ])
            .args(["--example", name, "--message-format", "short"])
            .current_dir(root());
        if !self.built {
            eprintln!("Building {name} in release …");
            run(command, "cargo build").await?;
        }
        let release = target().join(host().await?).join("release");
        Program::new(name, release.join("examples").join(name))
    }

    /// Builds the floor, a static program in C.
    pub async fn floor(&self) -> Result<Program> {
        let file = folder().join("floor");
        let mut command = self.tether.command("cc");
        command
            .args(["-O2", "-static", "-s", "-D_GNU_SOURCE", "-o"])
            .arg(&file)
            .arg(sources().join("floor.c"));
        run(command, "cc").await?;
        Program::new("floor", file)
    }
}

/// Returns the names of the functions, which are those of the folders.
pub fn all_functions() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("functions"))? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").exists() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Returns the folder of everything that the bench builds and writes.
pub fn folder() -> PathBuf {
    target().join("bench")
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}

/// Returns the target tuple of this machine.
async fn host() -> Result<String> {
    let mut rustc = Command::new("rustc");
    let output = rustc.args(["--print", "host-tuple"]).output().await;
    let tuple = String::from_utf8(output.context("rustc does not start")?.stdout)?;
    Ok(tuple.trim().to_owned())
}
