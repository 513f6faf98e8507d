//! The stable address of the API: a small HTTP server on 127.0.0.1 that passes
//! each request on to the local gateway, whose own addresses change at every
//! start, and tells it the client's address.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context, Result, bail};
use http::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::{JoinHandle, JoinSet};

/// By this header, and by nothing that a client can send, the local gateway
/// learns the client's address. `infra/local/emulator.py` reads it.
pub const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("x-curfew-client-address");

/// What concerns one connection only (RFC 9110, section 7.6.1), beside what
/// `Connection` itself names.
const HOP_BY_HOP: [HeaderName; 7] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

type Body = BoxBody<Bytes, hyper::Error>;

/// Where requests go: this address, below this path.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// `host:port`.
    pub authority: String,
    /// Put before every path; empty or beginning with `/`.
    pub prefix: String,
}

/// The running server. It ends when this is dropped.
#[derive(Debug)]
pub struct Front {
    serving: JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Takes the port, without answering yet; 0 takes any free one.
///
/// # Errors
/// When another process has the port; the message says how to take another.
pub fn listen(port: u16) -> Result<TcpListener> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            bail!("port {port} of 127.0.0.1 is taken; choose another by --port")
        }
        Err(error) => Err(error).with_context(|| format!("could not listen on port {port}")),
    }
}

impl Front {
    /// Begins to answer, by what the upstream answers.
    ///
    /// # Errors
    /// When the listener is not fit for it.
    pub fn serve(listener: TcpListener, upstream: Upstream) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let forwarder = Forwarder { client, upstream };
        Ok(Self {
            serving: tokio::spawn(accept(listener, forwarder)),
        })
    }
}

async fn accept(listener: tokio::net::TcpListener, forwarder: Forwarder) {
    // Dropping the set at our end ends every connection.
    let mut connections = JoinSet::new();
    loop {
        // A client that went away before it was accepted is nobody's error.
        let Ok((stream, peer)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        while connections.try_join_next().is_some() {}
        let forwarder = forwarder.clone();
        connections.spawn(async move {
            let answer = service_fn(|request| forwarder.forward(request, peer));
            // So is one that goes away in between.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await;
        });
    }
}

#[derive(Clone)]
struct Forwarder {
    client: Client<HttpConnector, Incoming>,
    upstream: Upstream,
}

impl Forwarder {
    async fn forward(
        &self,
        mut request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Response<Body>, http::Error> {
        *request.uri_mut() = self.upstream.address_of(request.uri())?;
        strip(request.headers_mut());
        // The gateway's own host is written in its place: it is by the host
        // that the emulator could be led to another service.
        request.headers_mut().remove(HOST);
        request
            .headers_mut()
            .insert(CLIENT_ADDRESS, header_of(peer.ip()));
        match self.client.request(request).await {
            Ok(mut response) => {
                strip(response.headers_mut());
                Ok(response.map(BodyExt::boxed))
            }
            Err(_) => Response::builder().status(StatusCode::BAD_GATEWAY).body(
                Full::from("The local gateway does not answer.\n")
                    .map_err(|e| match e {})
                    .boxed(),
            ),
        }
    }
}

impl Upstream {
    fn address_of(&self, uri: &Uri) -> Result<Uri, http::Error> {
        let asked = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        Uri::builder()
            .scheme("http")
            .authority(self.authority.as_str())
            .path_and_query(format!("{}{asked}", self.prefix))
            .build()
    }
}

/// Removes what concerns only the connection that the headers came by.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.into_iter().chain(HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn header_of(address: IpAddr) -> HeaderValue {
    HeaderValue::from_str(&address.to_string()).expect("an address is plain text")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::{CLIENT_ADDRESS, Front, Upstream, listen};

    /// What the gateway is sent when a client sends this.
    async fn forwarded(request: &str) -> String {
        let gateway = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = gateway.local_addr().unwrap().to_string();
        let listener = listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let _front = Front::serve(
            listener,
            Upstream {
                authority,
                prefix: "/api".into(),
            },
        )
        .unwrap();

        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let (mut stream, _) = gateway.accept().await.unwrap();
        let mut seen = vec![0; 4096];
        let length = stream.read(&mut seen).await.unwrap();
        String::from_utf8_lossy(&seen[..length]).to_lowercase()
    }

    #[tokio::test]
    async fn the_gateway_hears_the_clients_address_and_not_what_the_client_says() {
        let seen = forwarded(&format!(
            "GET /v1/session?x=1 HTTP/1.1\r\nHost: other.example\r\n{CLIENT_ADDRESS}: 6.6.6.6\r\n\r\n"
        ))
        .await;

        assert!(
            seen.starts_with("get /api/v1/session?x=1 http/1.1\r\n"),
            "{seen}"
        );
        assert!(
            seen.contains(&format!("{CLIENT_ADDRESS}: 127.0.0.1\r\n")),
            "{seen}"
        );
        assert!(
            !seen.contains("6.6.6.6") && !seen.contains("other.example"),
            "{seen}"
        );
    }

    #[tokio::test]
    async fn what_concerns_one_connection_is_not_passed_on() {
        let seen = forwarded(
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: X-Own\r\nX-Own: 1\r\nX-Other: 2\r\n\r\n",
        )
        .await;

        assert!(
            !seen.contains("x-own") && seen.contains("x-other: 2"),
            "{seen}"
        );
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let taken = listen(0).unwrap();
        let port = taken.local_addr().unwrap().port();

        let error = listen(port).unwrap_err();

        assert!(
            error
                .to_string()
                .contains(&format!("port {port} of 127.0.0.1 is taken"))
        );
    }
}
