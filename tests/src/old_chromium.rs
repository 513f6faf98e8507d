//! Old versions of Chromium, as televisions have them: from the npm package
//! `chrome-aws-lambda`, driven by the `DevTools` protocol.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use curfew::{root, target};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};

use crate::browser::{Pages, write_picture};
use crate::client::unique;
use crate::conformance::{node, npm};
use crate::person::{is_named_once, key_events};

const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(20);

/// A version of the browser.
#[derive(Clone, Copy, Debug)]
pub enum Version {
    /// Chromium 84.
    V84,
    /// Chromium 92.
    V92,
}

impl Version {
    /// Returns the major version, and the version of the package.
    fn numbers(self) -> (u32, &'static str) {
        match self {
            Self::V84 => (84, "5.1.0"),
            Self::V92 => (92, "10.1.0"),
        }
    }

    /// Installs the browser once. Returns the command that drives it.
    ///
    /// # Errors
    /// When it can't be installed.
    pub(crate) async fn command(self) -> Result<String> {
        static INSTALLED: [OnceCell<()>; 2] = [const { OnceCell::const_new() }; 2];
        let (major, package) = self.numbers();
        let folder = target().join(format!("chromium-{major}"));
        let node = node().await?;
        let driver = format!("{node} tests/pages/old-chromium.mjs '{}'", folder.display());
        let install = async || {
            if folder.join("chromium").exists() {
                return Ok(());
            }
            fs::create_dir_all(&folder)?;
            let package = format!("chrome-aws-lambda@{package}");
            let options = ["--no-save", "--ignore-scripts", "--legacy-peer-deps"];
            npm(
                &folder,
                &[&["install", &package][..], &options[..]].concat(),
            )
            .await?;
            let unpack = format!("{driver} --unpack");
            let mut shell = Command::new("sh");
            let unpacked = shell.args(["-c", &unpack]).current_dir(root());
            ensure!(unpacked.status().await?.success(), "{unpack} failed");
            Ok(())
        };
        INSTALLED[self as usize].get_or_try_init(install).await?;
        Ok(driver)
    }
}

/// An old browser with one page.
#[derive(Debug)]
pub struct OldChromium {
    /// Killed on drop; the browser ends with it.
    _driver: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    state: PathBuf,
}

impl Drop for OldChromium {
    fn drop(&mut self) {
        // Anything that remains is removed with target/.
        let _ = fs::remove_dir_all(&self.state);
    }
}

impl OldChromium {
    /// Starts the browser, which finds the pages at [`crate::browser::ORIGIN`].
    ///
    /// # Errors
    /// When it can't be installed or started.
    pub async fn start(version: Version, pages: &Pages) -> Result<Self> {
        let state = target().join("browsers").join(unique());
        let command = version.command().await?;
        let (pages, folder) = (pages.address(), state.display());
        let mut driver = Command::new("sh")
            .args(["-c", &format!("exec {command} {pages} '{folder}'")])
            .current_dir(root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = driver.stdin.take().context("standard input is piped")?;
        let output = driver.stdout.take().context("standard output is piped")?;
        let mut browser = Self {
            _driver: driver,
            input,
            output: BufReader::new(output).lines(),
            state,
        };
        let agent = browser.value("navigator.userAgent").await?;
        let (major, _) = version.numbers();
        let is_it = agent.to_string().contains(&format!("Chrome/{major}."));
        ensure!(is_it, "another browser: {agent}");
        Ok(browser)
    }

    /// Sends a command of the protocol. Returns its answer.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn devtools(&mut self, method: &str, params: Value) -> Result<Value> {
        let line = json!({ "method": method, "params": params });
        self.input.write_all(format!("{line}\n").as_bytes()).await?;
        let answer = timeout(PATIENCE, self.output.next_line()).await??;
        let answer: Value = serde_json::from_str(&answer.context("the browser has ended")?)?;
        ensure!(answer["error"].is_null(), "{method} failed: {answer}");
        Ok(answer)
    }

    /// Returns the value of an expression in the page, or of its promise.
    ///
    /// # Errors
    /// When it throws.
    pub async fn value(&mut self, expression: &str) -> Result<Value> {
        let parameters =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.devtools("Runtime.evaluate", parameters).await?;
        Ok(answer["result"]["value"].clone())
    }

    /// Waits until an expression in the page is true.
    ///
    /// # Errors
    /// When that takes too long. The message contains the text of the page.
    pub async fn until(&mut self, expression: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        // The page may be between two documents.
        while self.value(expression).await.unwrap_or_default() != json!(true) {
            if Instant::now() > deadline {
                let text = self.value("document.body.innerText").await?;
                bail!("it was never true that {expression}; the page says: {text}");
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Waits until the page shows a text.
    ///
    /// # Errors
    /// When it never does.
    pub async fn reads(&mut self, text: &str) -> Result<()> {
        let text = json!(text);
        self.until(&format!("document.body.innerText.includes({text})"))
            .await
    }

    /// Presses what has this name, as soon as there is exactly one.
    ///
    /// # Errors
    /// When there is none or more than one.
    pub async fn press(&mut self, name: &str) -> Result<()> {
        self.until(&is_named_once(name)).await?;
        let click = "document.querySelector('[data-press]').click()";
        self.value(click).await.map(drop)
    }

    /// Presses a key.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn key(&mut self, name: &str, code: u32) -> Result<()> {
        for event in key_events(name, code) {
            self.devtools("Input.dispatchKeyEvent", event).await?;
        }
        Ok(())
    }

    /// Takes a screenshot in `target/page-pictures`.
    ///
    /// # Errors
    /// When it can't be taken or written.
    pub async fn photograph(&mut self, name: &str) -> Result<()> {
        let answer = self.devtools("Page.captureScreenshot", json!({})).await?;
        write_picture("page-pictures", name, &answer)
    }
}
