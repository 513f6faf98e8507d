//! The programs that are measured: the functions, built as they are deployed, and
//! what they are compared with, built in the same go.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use curfew::functions::cargo_lambda;
use curfew::process::{Tether, run};
use curfew::tools::{Environment, find_python};
use curfew::{root, target};
use tokio::process::Command;

/// A program that is measured.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: PathBuf,
}

/// What builds.
pub struct Builder {
    tether: Tether,
    /// Everything is there from an earlier run.
    built: bool,
}

impl Builder {
    /// Installs what building needs.
    ///
    /// # Errors
    /// When it can't be installed.
    pub async fn new(built: bool) -> Result<Self> {
        let tether = find_python()?;
        Environment::Tools.install(&tether).await?;
        fs::create_dir_all(folder())?;
        Ok(Self { tether, built })
    }

    /// Builds functions in release, as they are deployed.
    ///
    /// # Errors
    /// When they do not build.
    pub async fn functions(&self, names: &[String]) -> Result<Vec<Program>> {
        // Beside those of `cargo run`, which are built for development.
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
        let programs = names.iter().map(|name| Program {
            name: name.clone(),
            file: built.join(name).join("bootstrap"),
        });
        Ok(programs.collect())
    }

    /// Builds one of the examples of `bench-programs` in release.
    ///
    /// # Errors
    /// When it does not build.
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
        let host = host().await?;
        Ok(Program {
            name: name.to_owned(),
            file: target().join(host).join("release/examples").join(name),
        })
    }

    /// Builds the floor: a static program in C.
    ///
    /// # Errors
    /// When there is no C compiler.
    pub async fn floor(&self) -> Result<Program> {
        let file = folder().join("floor");
        let mut command = self.tether.command("cc");
        command
            .args(["-O2", "-static", "-s", "-D_GNU_SOURCE", "-o"])
            .arg(&file)
            .arg(sources().join("floor.c"));
        run(command, "cc").await?;
        Ok(Program {
            name: "floor".to_owned(),
            file,
        })
    }

    /// Builds the C counterpart of our hasher around the reference library, as
    /// fast as the compiler can make it for a processor: `native` is this very one.
    ///
    /// # Errors
    /// When the library can't be had, or there is no C compiler.
    pub async fn argon2(&self, processor: &str) -> Result<Program> {
        let library = self.argon2_library().await?;
        let name = format!("argon2-{processor}");
        let file = folder().join(&name);
        let mut command = self.tether.command("cc");
        command
            .args(["-O3", "-DARGON2_NO_THREADS"])
            .arg(format!("-march={processor}"))
            .arg("-I")
            .arg(library.join("include"))
            .arg("-o")
            .arg(&file)
            .arg(sources().join("argon2.c"));
        for source in [
            "argon2.c",
            "core.c",
            "encoding.c",
            "opt.c",
            "thread.c",
            "blake2/blake2b.c",
        ] {
            command.arg(library.join("src").join(source));
        }
        run(command, "cc").await?;
        Ok(Program { name, file })
    }

    /// The sources of the reference library: the package on `PyPI` that carries
    /// them, pinned.
    async fn argon2_library(&self) -> Result<PathBuf> {
        const VERSION: &str = "25.1.0";
        let package = folder().join(format!("argon2_cffi_bindings-{VERSION}"));
        let library = package.join("extras/libargon2");
        if library.join("include/argon2.h").exists() {
            return Ok(library);
        }
        eprintln!("Fetching the reference library of Argon2 …");
        let mut command = self
            .tether
            .command(Environment::Tools.programs().join("python"));
        command
            .args([
                "-m",
                "pip",
                "--disable-pip-version-check",
                "download",
                "--quiet",
            ])
            .args(["--no-deps", "--no-binary", ":all:", "--dest"])
            .arg(folder())
            .arg(format!("argon2-cffi-bindings=={VERSION}"));
        run(command, "pip download").await?;
        let archive = package.with_added_extension("tar.gz");
        let mut command = self.tether.command("tar");
        command.arg("-xzf").arg(archive).arg("-C").arg(folder());
        run(command, "tar").await?;
        if !library.join("include/argon2.h").exists() {
            bail!("the reference library of Argon2 is not where it should be");
        }
        Ok(library)
    }
}

/// The folders under `functions/`: their names are the functions'.
///
/// # Errors
/// When they can't be listed.
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

/// Where everything of the bench lies.
#[must_use]
pub fn folder() -> PathBuf {
    target().join("bench")
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}

/// What `rustc` calls this machine.
async fn host() -> Result<String> {
    let told = Command::new("rustc")
        .args(["--print", "host-tuple"])
        .output();
    let told = String::from_utf8(told.await.context("rustc does not start")?.stdout)?;
    Ok(told.trim().to_owned())
}
