//! The network between a client and the API. It can be cut, answer instead of the
//! API, and duplicate, lose or forge frames.

use std::mem;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use futures_util::{SinkExt, StreamExt};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN,
    CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, SEC_WEBSOCKET_EXTENSIONS, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;
use tokio_websockets::{ClientBuilder, Message, ServerBuilder};

use super::{PATIENCE, PAUSE};

const SOCKET_PATH: &str = "/v1/socket";

type Answer = Response<Full<Bytes>>;

/// A false answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A problem with this status and name.
    Problem(u16, &'static str),
    /// A body that the API never sends, with this status.
    Other(u16, &'static str),
    /// An answer of another deployment, with this status.
    Json(u16, Value),
    /// The request reaches the API, and its answer is lost.
    LostAnswer,
}

/// A request and the status of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The method.
    pub method: Method,
    /// The path without its query.
    pub path: String,
    /// The status of the answer.
    pub status: u16,
}

/// The faults of the network, and a record of its traffic.
#[derive(Debug, Default)]
struct Conditions {
    /// Faults with their method (any, if none), path prefix and remaining count.
    faults: Vec<(Option<Method>, String, Fault, usize)>,
    /// Frames to the device are duplicated.
    duplicates_frames: bool,
    /// Frames from the device are lost.
    loses_frames: bool,
    /// Frames to the device are lost.
    is_deaf: bool,
    seen: Vec<Seen>,
    /// The frames from the device.
    frames: Vec<String>,
}

/// The network of one client.
#[derive(Debug)]
pub struct Network {
    address: SocketAddr,
    cut: watch::Sender<bool>,
    held: watch::Sender<bool>,
    forged: broadcast::Sender<String>,
    conditions: Arc<Mutex<Conditions>>,
    serving: JoinHandle<()>,
}

impl Drop for Network {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Network {
    /// Creates a network without faults in front of the API at this address.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn before(api_url: &str) -> Result<Self> {
        Self::start(api_url, false).await
    }

    /// Creates a network that shows the API the origin `http://a.localhost` as
    /// `http://a.example`: a browser keeps secure cookies of such hosts alone without TLS,
    /// and the local stack allows them all.
    ///
    /// # Errors
    /// As [`Self::before`].
    pub async fn published(api_url: &str) -> Result<Self> {
        Self::start(api_url, true).await
    }

    async fn start(api_url: &str, is_public: bool) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (cut, is_cut) = watch::channel(false);
        let (held, is_held) = watch::channel(false);
        let (forged, _) = broadcast::channel(64);
        let conditions = Arc::default();
        let authority = api_url.strip_prefix("http://");
        let link = Link {
            address,
            authority: authority
                .context("the API must be on this machine")?
                .to_owned(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            conditions: Arc::clone(&conditions),
            forged: forged.clone(),
            is_held,
            is_public,
        };
        Ok(Self {
            address,
            cut,
            held,
            forged,
            conditions,
            serving: tokio::spawn(accept(listener, link, is_cut)),
        })
    }

    /// Returns the address at which the network takes connections.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the API's address for the client.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the socket's address for the client.
    #[must_use]
    pub fn socket_url(&self) -> String {
        format!("ws://{}{SOCKET_PATH}", self.address)
    }

    /// Cuts the network, or restores it. Connections that were cut stay closed.
    pub fn set_cut(&self, is_cut: bool) {
        self.cut.send_replace(is_cut);
    }

    /// Answers the next calls of a path prefix with a fault.
    pub fn fault(&self, method: Option<Method>, path: &str, fault: Fault, times: usize) {
        let fault = (method, path.to_owned(), fault, times);
        self.conditions().faults.push(fault);
    }

    /// Removes all faults of calls.
    pub fn clear_faults(&self) {
        self.conditions().faults.clear();
    }

    /// Duplicates frames to the device.
    pub fn duplicate_frames(&self) {
        self.conditions().duplicates_frames = true;
    }

    /// Loses frames from the device.
    pub fn lose_frames(&self) {
        self.conditions().loses_frames = true;
    }

    /// Loses frames to the device. Its socket stays open.
    pub fn deafen(&self) {
        self.conditions().is_deaf = true;
    }

    /// Delays every false answer, or releases them.
    pub fn hold_faults(&self, are_held: bool) {
        self.held.send_replace(are_held);
    }

    /// Returns the frames from the device.
    #[must_use]
    pub fn frames(&self) -> Vec<String> {
        self.conditions().frames.clone()
    }

    /// Sends a forged frame to the open sockets.
    ///
    /// # Errors
    /// When no socket is open.
    pub fn forge(&self, frame: &str) -> Result<()> {
        let receivers = self.forged.send(frame.to_owned()).unwrap_or_default();
        ensure!(receivers > 0, "no socket is open");
        Ok(())
    }

    /// Returns the requests so far with this path prefix.
    #[must_use]
    pub fn seen(&self, path: &str) -> Vec<Seen> {
        let seen = self.conditions().seen.clone();
        seen.into_iter()
            .filter(|one| one.path.starts_with(path))
            .collect()
    }

    /// Waits until this many requests with this path prefix were answered.
    ///
    /// # Errors
    /// When they are not in time.
    pub async fn until_seen(&self, path: &str, count: usize) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.seen(path).len() < count {
            ensure!(Instant::now() < deadline, "only {:?}", self.seen(path));
            sleep(PAUSE).await;
        }
        Ok(())
    }

    fn conditions(&self) -> MutexGuard<'_, Conditions> {
        lock(&self.conditions)
    }
}

fn lock(conditions: &Mutex<Conditions>) -> MutexGuard<'_, Conditions> {
    conditions.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, link: Link, is_cut: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        if *is_cut.borrow() {
            continue;
        }
        let _ = stream.set_nodelay(true);
        while connections.try_join_next().is_some() {}
        let (link, mut is_cut) = (link.clone(), is_cut.clone());
        connections.spawn(async move {
            let sockets = Mutex::new(Vec::new());
            let answer = service_fn(|request| link.answer(request, &sockets));
            let serving = async {
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answer)
                    .with_upgrades()
                    .await;
                let sockets =
                    mem::take(&mut *sockets.lock().unwrap_or_else(PoisonError::into_inner));
                for (device, curfew) in sockets {
                    let _ = link.forward(device, curfew).await;
                }
            };
            tokio::select! {
                () = serving => {}
                _ = is_cut.wait_for(|is_cut| *is_cut) => {}
            }
        });
    }
}

/// Answers a page's preflight for a path that the API does not have.
fn preflight(origin: Option<HeaderValue>) -> Result<Answer> {
    let answer = Response::builder()
        .status(StatusCode::NO_CONTENT)
        .header(ACCESS_CONTROL_ALLOW_HEADERS, "authorization");
    let answer = match origin {
        Some(origin) => answer.header(ACCESS_CONTROL_ALLOW_ORIGIN, origin),
        None => answer,
    };
    Ok(answer.body(Full::default())?)
}

#[derive(Clone)]
struct Link {
    address: SocketAddr,
    authority: String,
    client: Client<HttpConnector, Incoming>,
    conditions: Arc<Mutex<Conditions>>,
    forged: broadcast::Sender<String>,
    is_held: watch::Receiver<bool>,
    /// Names of this machine reach the API as names of the internet.
    is_public: bool,
}

type Sockets = Mutex<Vec<(OnUpgrade, OnUpgrade)>>;

impl Link {
    async fn answer(&self, request: Request<Incoming>, sockets: &Sockets) -> Result<Answer> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let origin = request.headers().get(ORIGIN).cloned();
        if method == Method::OPTIONS && !path.starts_with("/v1/") {
            return preflight(origin);
        }
        let answer = match self.fault(&method, &path) {
            Some(fault) => {
                self.is_held.clone().wait_for(|is_held| !is_held).await?;
                if matches!(fault, Fault::LostAnswer) {
                    let _lost = self.pass(request, sockets).await?;
                }
                fault.answer(origin)?
            }
            None => self.pass(request, sockets).await?,
        };
        let status = answer.status().as_u16();
        lock(&self.conditions).seen.push(Seen {
            method,
            path,
            status,
        });
        Ok(answer)
    }

    fn fault(&self, method: &Method, path: &str) -> Option<Fault> {
        // A preflight is not a call.
        if method == Method::OPTIONS {
            return None;
        }
        let mut conditions = lock(&self.conditions);
        let (.., fault, times) = conditions.faults.iter_mut().find(|(of, at, _, times)| {
            *times > 0 && of.as_ref().is_none_or(|of| of == method) && path.starts_with(&**at)
        })?;
        *times -= 1;
        Some(fault.clone())
    }

    async fn pass(&self, mut request: Request<Incoming>, sockets: &Sockets) -> Result<Answer> {
        let device = request
            .headers()
            .contains_key(UPGRADE)
            .then(|| hyper::upgrade::on(&mut request));
        let path = request.uri().path_and_query();
        let path = path.map_or("/", PathAndQuery::as_str);
        *request.uri_mut() = format!("http://{}{path}", self.authority).parse()?;
        request.headers_mut().remove(HOST);
        if self.is_public
            && let Some(origin) = request.headers_mut().get_mut(ORIGIN)
        {
            *origin = origin.to_str()?.replace(".localhost", ".example").parse()?;
        }
        // Compressed frames could not be read here.
        request.headers_mut().remove(SEC_WEBSOCKET_EXTENSIONS);
        let mut answer = self.client.request(request).await?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS
            && let Some(device) = device
        {
            let both = (device, hyper::upgrade::on(&mut answer));
            sockets
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(both);
            let (parts, _) = answer.into_parts();
            return Ok(Response::from_parts(parts, Full::default()));
        }
        let (mut parts, body) = answer.into_parts();
        let mut body = body.collect().await?.to_bytes();
        // A ticket names the socket.
        let mut json: Value = serde_json::from_slice(&body).unwrap_or_default();
        if json["ticket"].is_string() {
            json["url"] = format!("ws://{}{SOCKET_PATH}", self.address).into();
            body = json.to_string().into();
            parts.headers.remove(CONTENT_LENGTH);
        }
        Ok(Response::from_parts(parts, body.into()))
    }

    /// Forwards the frames of one socket.
    async fn forward(&self, device: OnUpgrade, curfew: OnUpgrade) -> Result<()> {
        let (device, curfew) = tokio::try_join!(device, curfew)?;
        let mut device = ServerBuilder::new().serve(TokioIo::new(device));
        let mut curfew = ClientBuilder::new().take_over(TokioIo::new(curfew));
        let mut forged = self.forged.subscribe();
        loop {
            tokio::select! {
                frame = device.next() => match frame {
                    Some(frame) => {
                        let frame = frame?;
                        if self.passes(&frame) {
                            curfew.send(frame).await?;
                        }
                    }
                    None => return Ok(()),
                },
                frame = curfew.next() => match frame {
                    Some(frame) => {
                        let frame = frame?;
                        for _ in 0..self.copies(&frame) {
                            device.send(frame.clone()).await?;
                        }
                    }
                    None => return Ok(()),
                },
                frame = forged.recv() => device.send(Message::text(frame?)).await?,
            }
        }
    }
}

impl Link {
    /// Returns whether a frame from the device reaches Curfew.
    fn passes(&self, frame: &Message) -> bool {
        let mut conditions = lock(&self.conditions);
        let Some(text) = frame.as_text() else {
            return true;
        };
        conditions.frames.push(text.to_owned());
        !conditions.loses_frames
    }

    /// Returns how often a frame from Curfew reaches the device.
    fn copies(&self, frame: &Message) -> usize {
        let conditions = lock(&self.conditions);
        match (
            frame.is_text(),
            conditions.is_deaf,
            conditions.duplicates_frames,
        ) {
            (true, true, _) => 0,
            (true, false, true) => 2,
            _ => 1,
        }
    }
}

impl Fault {
    fn answer(&self, origin: Option<HeaderValue>) -> Result<Answer> {
        let (status, content_type, body) = match self {
            Self::Problem(status, name) => {
                let document = json!({
                    "type": format!("urn:curfew:problem:{name}"),
                    "title": "A fault of the network.",
                    "status": status,
                });
                (status, "application/problem+json", document.to_string())
            }
            Self::Other(status, text) => (status, "text/html", (*text).to_owned()),
            Self::Json(status @ 400.., problem) => {
                (status, "application/problem+json", problem.to_string())
            }
            Self::Json(status, body) => (status, "application/json", body.to_string()),
            Self::LostAnswer => (&504, "text/html", "no answer in time".to_owned()),
        };
        let mut answer: Answer = Response::builder()
            .status(*status)
            .header(CONTENT_TYPE, content_type)
            .body(body.into())?;
        if let Some(origin) = origin {
            answer
                .headers_mut()
                .insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        // A page with the cookie reads the API's problems. What is lost has no such header.
        if matches!(self, Self::Problem(..)) {
            let with_cookie = HeaderValue::from_static("true");
            answer
                .headers_mut()
                .insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, with_cookie);
        }
        Ok(answer)
    }
}
