//! The browser: one that is installed, or Debian's, which is downloaded without root to
//! `target/browser`.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use curfew::process::{Tether, run_logged};
use curfew::target;
use serde_json::{Value, json};

/// The browsers, the preferred ones first: a headless shell starts with an eighth of the
/// processor time.
const BROWSERS: [&str; 6] = [
    SHELL,
    "chrome-headless-shell",
    "chromium",
    "google-chrome",
    "google-chrome-stable",
    "chromium-browser",
];
const DRIVER: &str = "chromedriver";
/// Chromium without the parts that a person sees, by its Debian package and program.
const SHELL: &str = "chromium-headless-shell";
/// Debian's packages. Older releases have no headless shell.
const PACKAGES: [[&str; 2]; 2] = [[SHELL, "chromium-driver"], ["chromium", "chromium-driver"]];

/// A browser and its driver.
#[derive(Clone, Debug)]
pub(super) struct Chromium {
    pub browser: PathBuf,
    pub driver: PathBuf,
    /// The environment variables of both.
    pub environment: Vec<(&'static str, OsString)>,
}

impl Chromium {
    /// Returns the capabilities of a session: the browser's name, and its options with these
    /// arguments.
    pub(super) fn capabilities(&self, arguments: &[String]) -> Value {
        let program = self.browser.file_name().unwrap_or_default();
        let is_shell = program.to_string_lossy().ends_with("-headless-shell");
        let (name, headless) = if is_shell {
            ("chrome-headless-shell", "--headless")
        } else {
            ("chrome", "--headless=new")
        };
        let arguments: Vec<_> = arguments
            .iter()
            .map(String::as_str)
            .chain([headless])
            .collect();
        json!({
            "browserName": name,
            "goog:chromeOptions": { "binary": self.browser, "args": arguments },
        })
    }
}

/// Finds a browser and its driver on the PATH, or downloads both: a driver only drives
/// the browser of its own version.
pub(super) async fn chromium(tether: &Tether) -> Result<Chromium> {
    if let Some(driver) = on_path(DRIVER)
        && let Some(version) = major_version(tether, &driver).await
    {
        for browser in BROWSERS.into_iter().filter_map(on_path) {
            if major_version(tether, &browser).await == Some(version) {
                return Ok(Chromium {
                    browser,
                    driver,
                    environment: Vec::new(),
                });
            }
        }
    }
    fetched(tether).await
}

#[expect(clippy::disallowed_methods, reason = "programs are found by the PATH")]
fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// Returns the major version that a program reports: 142 for "Chromium 142.0.7444.59".
async fn major_version(tether: &Tether, program: &Path) -> Option<u32> {
    let output = tether.command(program).arg("--version").output().await;
    let text = String::from_utf8(output.ok()?.stdout).ok()?;
    let version = text
        .split_whitespace()
        .find_map(|word| word.split_once('.'));
    version?.0.parse().ok()
}

/// Returns Debian's browser in `target/browser`, and downloads it first if needed.
async fn fetched(tether: &Tether) -> Result<Chromium> {
    let folder = target().join("browser");
    fs::create_dir_all(target())?;
    // Two tests must not install at the same time.
    let lock = File::create(target().join("browser.lock"))?;
    lock.lock()?;
    let done = folder.join("installed");
    if !done.exists() {
        fetch(tether, &folder).await?;
        fs::write(done, "")?;
    }
    installed(&folder.join("root")).context("target/browser is broken; remove it")
}

async fn fetch(tether: &Tether, folder: &Path) -> Result<()> {
    let (Some(apt), Some(dpkg)) = (on_path("apt-get"), on_path("dpkg")) else {
        bail!(
            "no browser: install Chromium or Google Chrome and its ChromeDriver, so that \
             `chromium` or `google-chrome`, and `chromedriver`, are on the PATH"
        );
    };
    let begun = Instant::now();
    eprintln!("Fetching Chromium and its driver into target/browser …");
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let (state, cache) = (folder.join("state"), folder.join("cache"));
    fs::create_dir_all(state.join("lists/partial"))?;
    fs::create_dir_all(cache.join("archives/partial"))?;
    let log = folder.join("install.log");
    // The package sources and status of the system with a state in our folder: this
    // needs neither root nor an earlier update.
    let settings = [
        format!("Dir::State={}", state.display()),
        "Dir::State::status=/var/lib/dpkg/status".to_owned(),
        format!("Dir::Cache={}", cache.display()),
        "Debug::NoLocking=1".to_owned(),
        "APT::Sandbox::User=".to_owned(),
        "APT::Install-Recommends=0".to_owned(),
        "Acquire::Languages=none".to_owned(),
        "Acquire::Retries=3".to_owned(),
    ];
    // Also what the system has: the browser and the driver must be in our folder.
    let install = ["--yes", "--download-only", "--reinstall", "install"];
    let run = async |arguments: &[&str]| {
        let mut command = tether.command(&apt);
        for setting in &settings {
            command.args(["--option", setting]);
        }
        command.args(arguments);
        run_logged(command, "apt-get", &log).await
    };
    let mut outcome = run(&["update"]).await;
    if outcome.is_ok() {
        let [with_shell, without] = PACKAGES.map(|packages| [&install[..], &packages].concat());
        outcome = run(&with_shell).await;
        if outcome.is_err() {
            outcome = run(&without).await;
        }
    }
    outcome.context(
        "apt could not install a browser: install Chromium and ChromeDriver, so that \
         `chromium` and `chromedriver` are on the PATH",
    )?;
    let root = folder.join("root");
    for archive in fs::read_dir(cache.join("archives"))? {
        let archive = archive?.path();
        if archive.extension().is_some_and(|kind| kind == "deb") {
            let mut command = tether.command(&dpkg);
            command.arg("--extract").arg(&archive).arg(&root);
            run_logged(command, "dpkg --extract", &log).await?;
        }
    }
    fs::remove_dir_all(cache)?;
    fs::remove_dir_all(state)?;
    eprintln!(
        "Fetching Chromium and its driver into target/browser: {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Returns the browser in the folder with the unpacked packages.
fn installed(root: &Path) -> Result<Chromium> {
    // The program, not the script that looks for it in /usr.
    let mut browsers = [SHELL, "chromium"]
        .into_iter()
        .map(|program| root.join("usr/lib/chromium").join(program));
    let driver = root.join("usr/bin/chromedriver");
    let (Some(browser), true) = (browsers.find(|it| it.is_file()), driver.is_file()) else {
        bail!(
            "Debian's packages have no browser here: install Chromium and ChromeDriver, so that \
             `chromium` and `chromedriver` are on the PATH",
        );
    };
    let mut folders = BTreeSet::new();
    for libraries in ["usr/lib", "lib"] {
        libraries_below(&root.join(libraries), &mut folders)?;
    }
    let mut environment = vec![("LD_LIBRARY_PATH", env::join_paths(folders)?)];
    if root.join("etc/fonts/fonts.conf").exists() {
        environment.push(("FONTCONFIG_PATH", root.join("etc/fonts").into()));
        environment.push(("XDG_DATA_HOME", root.join("usr/share").into()));
    }
    Ok(Chromium {
        browser,
        driver,
        environment,
    })
}

/// Collects the folders that contain libraries: some packages have their own.
fn libraries_below(folder: &Path, found: &mut BTreeSet<PathBuf>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !path.is_symlink() {
            libraries_below(&path, found)?;
        } else if name.contains(".so") {
            found.insert(folder.to_owned());
        }
    }
    Ok(())
}
