//! A client under test, whatever it is written in, and the network between it and
//! the API. The protocol is that of `infra/docs/devices.md`.
//!
//! The client is the command in `CURFEW_CLIENT`, or else the JavaScript module in
//! a browser's page; and the device of `cargo run -- device` is another.

mod network;

use std::collections::VecDeque;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use curfew::process::run;
use curfew::tools::find_python;
use curfew::{root, target};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::OnceCell;
use tokio::time::{sleep, timeout};

pub use network::{Fault, Network, Seen};

use crate::browser::{Browser, Pages};
use crate::client::unique;

/// How long what a client does may take.
pub const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at a page.
const PAUSE: Duration = Duration::from_millis(20);
/// The cap of its back-off.
const RECONNECT_CAP_MS: u64 = 300;

/// Which client is tried.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// The one in `CURFEW_CLIENT`, or the JavaScript module in a page.
    Chosen,
    /// The device of `cargo run -- device`.
    Terminal,
}

impl Kind {
    /// The command that it is, or else a page.
    async fn command(self) -> Result<Option<String>> {
        match self {
            Self::Chosen => Ok(chosen()),
            Self::Terminal => terminal().await.map(Some),
        }
    }
}

/// A client under test.
#[derive(Debug)]
pub struct Client {
    kind: Kind,
    way: Way,
    state: State,
    asked: u64,
    /// Events that nobody has asked for yet.
    events: VecDeque<Value>,
    /// All of them, for messages.
    history: Vec<Value>,
}

/// The folder of one client.
#[derive(Debug)]
struct State(PathBuf);

impl Drop for State {
    fn drop(&mut self) {
        // What can't be removed is removed with target/.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Debug)]
enum Way {
    Process(Box<Process>),
    Page(Box<Page>),
}

#[derive(Debug)]
struct Process {
    /// Killed when it is dropped.
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

#[derive(Debug)]
struct Page {
    browser: Browser,
    lines: VecDeque<Value>,
    _pages: Pages,
}

impl Client {
    /// Starts a client that knows nothing yet.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn start(kind: Kind) -> Result<Self> {
        let state = State(target().join("clients").join(unique()));
        fs::create_dir_all(&state.0)?;
        let way = match kind.command().await? {
            Some(command) => Way::Process(Box::new(Process::start(&command)?)),
            None => Way::Page(Box::new(Page::open().await?)),
        };
        Ok(Self {
            kind,
            way,
            state,
            asked: 0,
            events: VecDeque::new(),
            history: Vec::new(),
        })
    }

    /// Tells it where the API is, and with that to begin.
    ///
    /// # Errors
    /// When it refuses.
    pub async fn configure(&mut self, network: &Network) -> Result<()> {
        let configuration = json!({
            "do": "configure",
            "api_url": network.api_url(),
            "socket_url": network.socket_url(),
            "state": self.state.0,
            "reconnect_cap_ms": RECONNECT_CAP_MS,
            "device": { "name": "Hotel TV", "type": "tv" },
        });
        self.tell(configuration).await.map(drop)
    }

    /// Switches it off without a word.
    ///
    /// # Errors
    /// When it can't be.
    pub async fn switch_off(&mut self) -> Result<()> {
        match &mut self.way {
            Way::Process(process) => process.child.kill().await?,
            Way::Page(page) => page.browser.go("about:blank").await?,
        }
        self.events.clear();
        Ok(())
    }

    /// Switches it on again.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn switch_on(&mut self, network: &Network) -> Result<()> {
        match &mut self.way {
            Way::Process(process) => {
                let command = self.kind.command().await?;
                let command = command.context("it was a command before")?;
                **process = Process::start(&command)?;
            }
            Way::Page(page) => page.show().await?,
        }
        self.configure(network).await
    }

    /// Gives a command, and waits for the answer to it.
    ///
    /// # Errors
    /// When it fails, or nothing is answered.
    pub async fn tell(&mut self, command: Value) -> Result<Value> {
        let answer = self.try_to(command.clone()).await?;
        ensure!(
            answer["ok"] == json!(true),
            "{command} failed: {answer}; before: {:?}",
            self.history
        );
        Ok(answer)
    }

    /// The same; the answer may say that it failed.
    ///
    /// # Errors
    /// When nothing is answered.
    pub async fn try_to(&mut self, mut command: Value) -> Result<Value> {
        self.asked += 1;
        let id = json!(self.asked);
        command["id"] = id.clone();
        match &mut self.way {
            Way::Process(process) => {
                let line = format!("{command}\n");
                process.input.write_all(line.as_bytes()).await?;
            }
            Way::Page(page) => page.hand(&command).await?,
        }
        loop {
            let line = self.line(PATIENCE).await;
            let line = line.with_context(|| format!("there was no answer to {command}"))?;
            if line["id"] == id {
                return Ok(line);
            }
            self.note(line);
        }
    }

    /// Waits for an event; those before it are passed over.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn event(&mut self, name: &str) -> Result<Value> {
        loop {
            while let Some(event) = self.events.pop_front() {
                if event["event"] == json!(name) {
                    return Ok(event);
                }
            }
            let line = self.line(PATIENCE).await;
            let line = line.with_context(|| format!("never {name}, but {:?}", self.history))?;
            self.note(line);
        }
    }

    /// How often an event has come by now. The answer to a question that was put
    /// to the client comes after every event before it.
    ///
    /// # Errors
    /// When the client is gone.
    pub async fn count(&mut self, name: &str) -> Result<usize> {
        self.tell(json!({ "do": "stored" })).await?;
        let is_one = |event: &&Value| event["event"] == json!(name);
        Ok(self.history.iter().filter(is_one).count())
    }

    fn note(&mut self, line: Value) {
        if line["event"].is_string() {
            self.history.push(line.clone());
            self.events.push_back(line);
        }
    }

    async fn line(&mut self, patience: Duration) -> Result<Value> {
        match &mut self.way {
            Way::Process(process) => {
                let line = timeout(patience, process.output.next_line()).await??;
                let line = line.context("the client has ended")?;
                serde_json::from_str(&line).with_context(|| format!("no JSON: {line}"))
            }
            Way::Page(page) => page.line(patience).await,
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is tested is chosen from outside"
)]
fn chosen() -> Option<String> {
    env::var("CURFEW_CLIENT")
        .ok()
        .filter(|text| !text.is_empty())
}

/// Builds the device of the terminal, once, with the features of every other
/// cargo command on the workspace.
async fn terminal() -> Result<String> {
    static BUILT: OnceCell<()> = OnceCell::const_new();
    let build = async || {
        let mut build = find_python()?.command("cargo");
        build
            .args(["build", "--quiet", "--workspace", "--bin", "curfew"])
            .current_dir(root());
        run(build, "cargo build --bin curfew").await
    };
    BUILT.get_or_try_init(build).await?;
    // Beside the folder of the test's own program.
    let test = env::current_exe()?;
    let folder = test.parent().and_then(Path::parent);
    let program = folder.context("it lies in a folder")?.join("curfew");
    Ok(format!("'{}' device --adapter", program.display()))
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
        let input = child.stdin.take().context("its input is piped")?;
        let output = child.stdout.take().context("its output is piped")?;
        Ok(Self {
            child,
            input,
            output: BufReader::new(output).lines(),
        })
    }
}

impl Page {
    async fn open() -> Result<Self> {
        let pages = Pages::serve().await?;
        let page = Self {
            browser: Browser::start(&pages).await?,
            lines: VecDeque::new(),
            _pages: pages,
        };
        page.show().await?;
        Ok(page)
    }

    async fn show(&self) -> Result<()> {
        self.browser.go("/adapter.html").await?;
        self.browser.until("window.adapter !== undefined").await
    }

    /// Does not wait until the page has done it: it answers by a line.
    async fn hand(&self, command: &Value) -> Result<()> {
        let given = json!(command.to_string());
        let handed = self.browser.value_of("void window.adapter(given)", given);
        handed.await.map(drop)
    }

    async fn line(&mut self, patience: Duration) -> Result<Value> {
        let deadline = Instant::now() + patience;
        while self.lines.is_empty() {
            let taken = self.browser.value("window.lines.splice(0)").await?;
            let taken = taken.as_array().context("a list")?;
            self.lines.extend(taken.iter().cloned());
            if self.lines.is_empty() {
                if Instant::now() > deadline {
                    bail!("the page was silent");
                }
                sleep(PAUSE).await;
            }
        }
        self.lines.pop_front().context("there is one")
    }
}
