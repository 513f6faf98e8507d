//! The Python tools, in virtual environments under `target/`. Every package is
//! pinned in `infra/local/requirements/`. `uv` installs them.
//!
//! There are several environments because the tools pin different versions of the
//! same libraries, and because `cargo run` needs only the first two.

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
    /// The SAM command line.
    Tools,
    /// The local AWS.
    Aws,
    /// `cargo lambda`, with the compiler that it brings (450 MB).
    CargoLambda,
    /// The contract tester.
    Contract,
    /// The collections of User-Agents that the tests compare with.
    UserAgents,
    /// Node, in which the tests run the JavaScript module.
    Node,
    /// `uv`, which installs the others.
    Uv,
}

impl Environment {
    fn name(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Aws => "aws",
            Self::CargoLambda => "cargo-lambda",
            Self::Contract => "contract",
            Self::UserAgents => "user-agents",
            Self::Node => "node",
            Self::Uv => "uv",
        }
    }

    /// Returns the folder of its programs.
    #[must_use]
    pub fn programs(self) -> PathBuf {
        target().join(self.name()).join("bin")
    }

    /// Installs the environment, unless it is already installed with the same
    /// requirements.
    ///
    /// # Errors
    /// When Python can't create an environment, or a package can't be installed.
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
        let work = async {
            match self {
                Self::Uv => install_with_pip(tether, &folder, &requirements).await,
                _ => install_with_uv(tether, &folder, &requirements).await,
            }
        };
        step(what, work).await?;
        fs::write(installed, wanted)?;
        Ok(())
    }
}

/// Creates an environment with Python's own tools.
async fn install_with_pip(tether: &Tether, folder: &Path, requirements: &Path) -> Result<()> {
    let mut venv = tether.command(tether.python());
    venv.args(["-m", "venv"]).arg(folder);
    run(
        venv,
        "python -m venv (Debian and Ubuntu have it in the package python3-venv)",
    )
    .await?;
    let mut install = tether.command(folder.join("bin/python"));
    install
        .args(["-m", "pip", "--disable-pip-version-check", "install"])
        .args(["--quiet", "--requirement"])
        .arg(requirements);
    run(install, "pip install").await
}

/// Creates an environment with `uv`.
async fn install_with_uv(tether: &Tether, folder: &Path, requirements: &Path) -> Result<()> {
    // Boxed, because this future contains that of another installation.
    Box::pin(Environment::Uv.install(tether)).await?;
    let uv = Environment::Uv.programs().join("uv");
    let mut venv = tether.command(&uv);
    venv.args(["venv", "--no-cache", "--quiet", "--clear", "--python"])
        .arg(tether.python())
        .arg(folder);
    run(venv, "uv venv").await?;
    let mut install = tether.command(&uv);
    install
        .args(["pip", "install", "--no-cache", "--quiet", "--python"])
        .arg(folder.join("bin/python"))
        .arg("--requirement")
        .arg(requirements);
    run(
        install,
        "uv pip install (UV_DEFAULT_INDEX names another package index)",
    )
    .await
}

/// Finds a Python on this machine that is new enough.
///
/// # Errors
/// When there is none; the message names the version that is needed.
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
        .find_map(|name| new_enough(Path::new(name)));
    let Some(python) = python else {
        let (major, minor) = OLDEST_PYTHON;
        bail!("Python {major}.{minor} or newer is needed; no python3 on the PATH is new enough");
    };
    Ok(Tether::new(python))
}

/// Returns the absolute path of a Python, if it is new enough.
fn new_enough(python: &Path) -> Option<PathBuf> {
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
