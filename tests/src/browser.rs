//! A headless browser for a test, and the pages that it shows.
//!
//! Each [`Browser`] is a Chromium with an empty profile, driven by `WebDriver`. It ends
//! when it is dropped, and when the test process ends or is killed.

mod chromium;

use std::fs;
use std::future::ready;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curfew::process::{Tether, Tethered, append_to};
use curfew::tools::find_python;
use curfew::{root, target};
use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{ClientBuilder, Locator};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use url::{ParseError, Url};

use self::chromium::Chromium;
use crate::client::unique;

/// The origin of the pages. Browsers treat the name as this machine, so that a page
/// without TLS can use all features.
pub const ORIGIN: &str = "http://page.localhost";

/// The maximum time for the driver to start, and for a condition of a page.
const PATIENCE: Duration = Duration::from_mins(1);
/// The pause between two checks of a page.
const PAUSE: Duration = Duration::from_millis(50);

/// A server for the pages of the tests and the module that they use.
#[derive(Debug)]
pub struct Pages {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Pages {
    /// Serves the pages of the tests and the client module until this is dropped.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn serve() -> Result<Self> {
        let folders = ["tests/pages", "infra/clients/javascript"];
        Self::of(folders.map(|folder| root().join(folder)).to_vec()).await
    }

    /// Serves the files of folders until this is dropped.
    ///
    /// # Errors
    /// As [`Self::serve`].
    pub async fn of(folders: Vec<PathBuf>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        Ok(Self {
            address,
            serving: tokio::spawn(serve(listener, folders.into())),
        })
    }

    /// Returns the address of the server.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, folders: Arc<[PathBuf]>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        let folders = Arc::clone(&folders);
        let answer = service_fn(move |request| ready(answer(&request, &folders)));
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

fn answer(
    request: &Request<Incoming>,
    folders: &[PathBuf],
) -> Result<Response<Full<Bytes>>, http::Error> {
    let name = match request.uri().path().trim_start_matches('/') {
        "" => "index.html",
        name => name,
    };
    let found = folders
        .iter()
        .filter(|_| !name.contains(".."))
        .find_map(|folder| fs::read(folder.join(name)).ok());
    let content_type = match Path::new(name).extension().and_then(|kind| kind.to_str()) {
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        _ => "text/html; charset=utf-8",
    };
    let status = match found {
        Some(_) => StatusCode::OK,
        None => StatusCode::NOT_FOUND,
    };
    Response::builder()
        .status(status)
        .header("content-type", content_type)
        .header("cache-control", "no-store")
        .body(found.unwrap_or_default().into())
}

/// A browser with one page open.
#[derive(Debug)]
pub struct Browser {
    client: fantoccini::Client,
    // Dropped after the client: the whole process group ends with it.
    _driver: Tethered,
    _profile: Profile,
}

/// The folder of a browser.
#[derive(Debug)]
struct Profile(PathBuf);

impl Drop for Profile {
    fn drop(&mut self) {
        // Anything that remains is removed with target/.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Browser {
    /// Starts a browser that finds the pages at [`ORIGIN`].
    ///
    /// # Errors
    /// When there is no browser and none can be installed, or it does not start.
    pub async fn start(pages: &Pages) -> Result<Self> {
        Self::start_with(pages, &[]).await
    }

    /// Starts a browser that finds these hosts, too.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(pages: &Pages, hosts: &[(&str, SocketAddr)]) -> Result<Self> {
        let tether = find_python()?;
        let chromium = chromium::chromium(&tether).await?;
        let profile = Profile(target().join("browsers").join(unique()));
        fs::create_dir_all(&profile.0)?;
        let log = profile.0.with_extension("log");
        let (driver, port) = start_driver(&tether, &chromium, &log).await?;
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities(&chromium, &profile.0, pages.address, hosts))
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .with_context(|| format!("the browser did not start; see {}", log.display()))?;
        // The log of a browser that started has nothing of interest.
        fs::remove_file(&log)?;
        Ok(Self {
            client,
            _driver: driver,
            _profile: profile,
        })
    }

    /// Opens a page of [`ORIGIN`], or any other address.
    ///
    /// # Errors
    /// When it can not be opened.
    pub async fn go(&self, page: &str) -> Result<()> {
        let address = if page.starts_with('/') {
            format!("{ORIGIN}{page}")
        } else {
            page.to_owned()
        };
        Ok(self.client.goto(&address).await?)
    }

    /// Returns the value of an expression in the page, or of its promise.
    ///
    /// # Errors
    /// When it throws.
    pub async fn value(&self, expression: &str) -> Result<Value> {
        self.value_of(expression, json!(null)).await
    }

    /// Returns the value of an expression that uses `given`.
    ///
    /// # Errors
    /// When it throws.
    pub async fn value_of(&self, expression: &str, given: Value) -> Result<Value> {
        let script = format!("const given = arguments[0]; return ({expression});");
        let value = self.client.execute(&script, vec![given]).await;
        value.with_context(|| format!("the page failed to evaluate {expression}"))
    }

    /// Waits until an expression in the page is true.
    ///
    /// # Errors
    /// When that takes too long. The message contains the text of the page.
    pub async fn until(&self, expression: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.value(expression).await? != json!(true) {
            if Instant::now() > deadline {
                let text = self.value("document.body.innerText").await?;
                bail!("it was never true that {expression}; the page says: {text}");
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Waits until the browser has a cookie of this name, or has none.
    ///
    /// # Errors
    /// When that takes too long.
    pub async fn until_cookie(&self, name: &str, is_there: bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.devtools("Network.getAllCookies", json!({})).await?;
            let cookies = answer["cookies"].as_array().context("cookies")?;
            if cookies.iter().any(|cookie| cookie["name"] == name) == is_there {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the cookie {name} is there: {}", !is_there);
            }
            sleep(PAUSE).await;
        }
    }

    /// Loads the page again, and waits until it is loaded.
    ///
    /// # Errors
    /// When it can't be loaded.
    pub async fn reload(&self) -> Result<()> {
        Ok(self.client.refresh().await?)
    }

    /// Waits for an element.
    async fn found(&self, selector: &str) -> Result<Element> {
        let wait = self.client.wait().at_most(PATIENCE).every(PAUSE);
        let found = wait.for_element(Locator::Css(selector)).await;
        found.with_context(|| format!("{selector} never appeared"))
    }

    /// Types into a field, as soon as it is there.
    ///
    /// # Errors
    /// When it never is.
    pub async fn write(&self, field: &str, text: &str) -> Result<()> {
        let field = self.found(field).await?;
        field.clear().await?;
        Ok(field.send_keys(text).await?)
    }

    /// Clicks on an element, as soon as it is there.
    ///
    /// # Errors
    /// When it never is, or can't be clicked on.
    pub async fn click(&self, what: &str) -> Result<()> {
        Ok(self.found(what).await?.click().await?)
    }

    /// Takes a screenshot as a PNG in `target/browsers`.
    ///
    /// # Errors
    /// When it can not be taken or written.
    pub async fn photograph(&self, name: &str) -> Result<()> {
        self.photograph_in("browsers", name).await
    }

    /// Takes a screenshot as a PNG in a folder of `target`.
    ///
    /// # Errors
    /// When it can not be taken or written.
    pub async fn photograph_in(&self, folder: &str, name: &str) -> Result<()> {
        let quick = json!({ "optimizeForSpeed": true });
        let answer = self.devtools("Page.captureScreenshot", quick).await?;
        write_picture(folder, name, &answer)
    }

    /// Takes the page offline, or online again. Offline, requests and new sockets fail,
    /// and Chromium keeps an open socket.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn set_offline(&self, is_offline: bool) -> Result<()> {
        let conditions = json!({
            "offline": is_offline,
            "latency": 0,
            "downloadThroughput": -1,
            "uploadThroughput": -1,
        });
        self.devtools("Network.enable", json!({})).await?;
        self.devtools("Network.emulateNetworkConditions", conditions)
            .await
            .map(|_| ())
    }

    /// Sends a command of the `DevTools` protocol. Returns its answer.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn devtools(&self, name: &'static str, parameters: Value) -> Result<Value> {
        let command = DevTools { name, parameters };
        Ok(self.client.issue_cmd(command).await?)
    }

    /// Switches to a tab, and opens it if it is the next one.
    ///
    /// # Errors
    /// When there is no such tab.
    pub async fn tab(&self, number: usize) -> Result<()> {
        if self.client.windows().await?.len() <= number {
            self.client.new_window(true).await?;
        }
        let tabs = self.client.windows().await?;
        let tab = tabs.get(number).context("there is no such tab")?;
        Ok(self.client.switch_to_window(tab.clone()).await?)
    }
}

/// Writes the picture in an answer of the `DevTools` protocol to a folder of `target`.
pub(crate) fn write_picture(folder: &str, name: &str, answer: &Value) -> Result<()> {
    let folder = target().join(folder);
    fs::create_dir_all(&folder)?;
    let png = STANDARD.decode(answer["data"].as_str().context("a picture")?)?;
    Ok(fs::write(folder.join(format!("{name}.png")), png)?)
}

/// Starts a driver, and returns its port. The driver picks a port that is free for IPv4
/// or IPv6 and can fail because it is taken for the other, so this retries.
async fn start_driver(tether: &Tether, chromium: &Chromium, log: &Path) -> Result<(Tethered, u16)> {
    let mut tries = 0;
    loop {
        let mut command = tether.command(&chromium.driver);
        command
            .args(["--port=0", "--log-level=WARNING"])
            .envs(
                chromium
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .stdout(Stdio::piped())
            .stderr(append_to(log)?);
        let mut driver = Tethered::start(command)?;
        let port = timeout(PATIENCE, port_of(&mut driver))
            .await
            .context("chromedriver did not report its start")?;
        tries += 1;
        match port {
            Ok(port) => return Ok((driver, port)),
            Err(_) if tries < 5 => {}
            Err(error) => {
                return Err(
                    error.context(format!("chromedriver did not start; see {}", log.display()))
                );
            }
        }
    }
}

/// Reads the port from the output of a driver.
async fn port_of(driver: &mut Tethered) -> Result<u16> {
    let output = driver.output().context("its output is piped")?;
    let mut lines = BufReader::new(output).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            return Ok(port.trim_end_matches('.').parse()?);
        }
    }
    bail!("it ended")
}

fn capabilities(
    chromium: &Chromium,
    profile: &Path,
    pages: SocketAddr,
    hosts: &[(&str, SocketAddr)],
) -> serde_json::Map<String, Value> {
    let own = (ORIGIN.trim_start_matches("http://"), pages);
    let found = hosts.iter().chain([&own]);
    let rules: Vec<_> = found
        .map(|(host, address)| format!("MAP {host}:80 {address}"))
        .collect();
    let switches = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--no-proxy-server",
        "--window-size=960,640",
    ];
    let own = [
        format!("--host-resolver-rules={}", rules.join(",")),
        format!("--user-data-dir={}", profile.display()),
    ];
    let arguments: Vec<_> = switches.map(str::to_owned).into_iter().chain(own).collect();
    let Value::Object(capabilities) = chromium.capabilities(&arguments) else {
        unreachable!("it is an object");
    };
    capabilities
}

/// A command of the `DevTools` protocol, which Chromium's driver passes on.
#[derive(Debug)]
struct DevTools {
    name: &'static str,
    parameters: Value,
}

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        let session = session.unwrap_or_default();
        base.join(&format!("session/{session}/goog/cdp/execute"))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        let body = json!({ "cmd": self.name, "params": self.parameters });
        (Method::POST, Some(body.to_string()))
    }
}
