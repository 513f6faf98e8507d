//! Where a request goes, and what the proxy changes about it.

use std::net::SocketAddr;

use anyhow::Result;
use http::header::{HOST, HeaderMap, UPGRADE};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::upgrade::OnUpgrade;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::copy_bidirectional;
use tokio::sync::mpsc::UnboundedSender;

use super::headers::{CLIENT_ADDRESS, CLIENT_HOST, address, next_hop, replace};
use super::origin;

/// The path of the example API.
pub const EXAMPLE_PATH: &str = "/example";

/// The path at which devices open their socket.
pub const SOCKET_PATH: &str = "/v1/socket";

type Body = BoxBody<Bytes, hyper::Error>;

/// A server to forward to.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// `host:port`.
    pub authority: String,
    /// A prefix for every path: empty, or with a leading `/`.
    pub prefix: String,
}

impl Upstream {
    fn uri(&self, path: &str) -> Result<Uri, http::Error> {
        Uri::builder()
            .scheme("http")
            .authority(self.authority.as_str())
            .path_and_query(format!("{}{path}", self.prefix))
            .build()
    }
}

/// The servers to forward to.
#[derive(Clone, Debug)]
pub struct Upstreams {
    /// The API.
    pub api: Upstream,
    /// The API of sockets. They have no path but the prefix.
    pub socket: Upstream,
    /// The example API.
    pub example: Upstream,
}

impl Upstreams {
    /// Returns where a request goes.
    fn uri(&self, uri: &Uri, is_socket: bool) -> Result<Uri, http::Error> {
        let query = uri
            .query()
            .map_or(String::new(), |query| format!("?{query}"));
        if is_socket {
            return self.socket.uri(&query);
        }
        // Only a CONNECT has an empty path.
        let path = Some(uri.path()).filter(|path| !path.is_empty());
        let path = path.unwrap_or("/");
        let (upstream, path) = match path.strip_prefix(EXAMPLE_PATH) {
            Some(rest) if rest.starts_with('/') => (&self.example, rest),
            _ => (&self.api, path),
        };
        upstream.uri(&format!("{path}{query}"))
    }
}

/// The two ends of a connection that has become a socket.
pub(super) struct Socket {
    client: OnUpgrade,
    gateway: OnUpgrade,
}

impl Socket {
    /// Copies in both directions, until both ends have closed.
    pub(super) async fn copy(self) -> Result<()> {
        let (client, gateway) = tokio::try_join!(self.client, self.gateway)?;
        copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(gateway)).await?;
        Ok(())
    }
}

/// The clients that forward requests.
#[derive(Clone)]
pub(super) struct Forwarder {
    client: Client<HttpConnector, Incoming>,
    /// Reuses no connection: the emulator closes one soon after it has rejected a
    /// handshake on it, without a `Connection: close`.
    sockets: Client<HttpConnector, Incoming>,
    upstreams: Upstreams,
}

impl Forwarder {
    pub(super) fn new(upstreams: Upstreams) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector.clone()),
            sockets: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build(connector),
            upstreams,
        }
    }

    /// Forwards a request, and returns the answer. A connection that becomes a
    /// socket is sent to `opened`.
    pub(super) async fn forward(
        &self,
        mut request: Request<Incoming>,
        client: SocketAddr,
        opened: &UnboundedSender<Socket>,
    ) -> Result<Response<Body>, http::Error> {
        let is_socket = request.uri().path() == SOCKET_PATH && is_handshake(request.headers());
        *request.uri_mut() = self.upstreams.uri(request.uri(), is_socket)?;
        let upgrade = is_socket.then(|| hyper::upgrade::on(&mut request));
        let headers = request.headers_mut();
        next_hop(headers, is_socket);
        // The HTTP client writes the host of the gateway. The emulator would take
        // another host for the name of another service.
        let host = headers.remove(HOST);
        replace(headers, CLIENT_HOST, host);
        replace(headers, CLIENT_ADDRESS, Some(address(client.ip())));
        let page = origin::replace(headers);
        let http = if is_socket {
            &self.sockets
        } else {
            &self.client
        };
        let Ok(mut response) = http.request(request).await else {
            return bad_gateway();
        };
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if let (Some(client), true) = (upgrade, switches) {
            let gateway = hyper::upgrade::on(&mut response);
            // Sending fails when the client has gone.
            let _ = opened.send(Socket { client, gateway });
        }
        next_hop(response.headers_mut(), switches);
        origin::restore(response.headers_mut(), page);
        Ok(response.map(BodyExt::boxed))
    }
}

/// Returns whether a request is the handshake of a WebSocket.
fn is_handshake(headers: &HeaderMap) -> bool {
    headers
        .get(UPGRADE)
        .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

fn bad_gateway() -> Result<Response<Body>, http::Error> {
    let text = Full::from("The local gateway does not answer.\n");
    Response::builder()
        .status(StatusCode::BAD_GATEWAY)
        .body(text.map_err(|never| match never {}).boxed())
}
