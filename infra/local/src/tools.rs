//! The Python tools, in virtual environments under `target/`, every package
//! pinned by `infra/local/requirements/`.
//!
//! There are several environments because the tools can't share one: each
//! pins other versions of the same libraries.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process::{Tether, run};
use crate::progress::step;
use crate::{root, target};

/// The oldest Python that the pinned packages run on.
const OLDEST_PYTHON: (u32, u32) = (3, 10);

/// An environment: `target/<name>`.
#[derive(Clone, Copy, Debug)]
pub enum Environment {
    /// `cargo-lambda` and the SAM command line.
    Tools,
    /// The local AWS.
    Aws,
    /// The contract tester.
    Contract,
}

impl Environment {
    fn name(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Aws => "aws",
            Self::Contract => "contract",
        }
    }

    /// The folder of its programs.
    #[must_use]
    pub fn programs(self) -> PathBuf {
        target().join(self.name()).join("bin")
    }

    /// Installs the environment unless that has been done with these very
    /// requirements.
    ///
    /// # Errors
    /// When Python can't make an environment, or a package can't be had.
    pub async fn install(self, tether: &Tether) -> Result<()> {
        let name = self.name();
        let folder = target().join(name);
        let requirements = root().join(format!("infra/local/requirements/{name}.txt"));
        let wanted = fs::read_to_string(&requirements)
            .with_context(|| format!("could not read {}", requirements.display()))?;
        fs::create_dir_all(target())?;
        // Two runs at once would break each other's installation.
        let lock = File::create(target().join(format!("{name}.lock")))?;
        lock.lock()?;
        let installed = folder.join("requirements.txt");
        let python = folder.join("bin/python");
        if python.exists() && fs::read_to_string(&installed).is_ok_and(|it| it == wanted) {
            return Ok(());
        }
        let packages = wanted.lines().filter(|line| line.contains("==")).count();
        let what = format!("Installing {packages} Python packages into target/{name}");
        step(what, async {
            let mut make = tether.command(tether.python());
            make.args(["-m", "venv"]).arg(&folder);
            run(
                make,
                "python -m venv (on Debian it needs the package python3-venv)",
            )
            .await?;
            let mut install = tether.command(&python);
            install
                .args([
                    "-m",
                    "pip",
                    "--disable-pip-version-check",
                    "install",
                    "--quiet",
                ])
                .arg("--requirement")
                .arg(&requirements);
            run(install, "pip install").await
        })
        .await?;
        fs::write(installed, wanted)?;
        Ok(())
    }
}

/// Finds a Python of this machine that is new enough.
///
/// # Errors
/// When there is none; the message says which is needed.
pub fn find_python() -> Result<Tether> {
    const NAMES: [&str; 6] = [
        "python3",
        "python3.14",
        "python3.13",
        "python3.12",
        "python3.11",
        "python3.10",
    ];
    let python = NAMES
        .into_iter()
        .find_map(|name| is_new_enough(Path::new(name)));
    let Some(python) = python else {
        let (major, minor) = OLDEST_PYTHON;
        bail!("Python {major}.{minor} or newer is needed, as python3 on the PATH");
    };
    Ok(Tether::new(python))
}

/// The true path of a Python, if it is new enough.
fn is_new_enough(python: &Path) -> Option<PathBuf> {
    let output = Command::new(python)
        .args([
            "-c",
            "import sys; print(*sys.version_info[:2], sys.executable)",
        ])
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut words = text.trim_end().splitn(3, ' ');
    let version = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (version >= OLDEST_PYTHON)
        .then(|| words.next().map(PathBuf::from))
        .flatten()
}
