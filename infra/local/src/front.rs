//! The stable address of the API and of the socket: a small HTTP server on
//! 127.0.0.1 that passes each request and each socket on to the local gateway,
//! whose own addresses change at every start, and tells it the client's address.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::copy_bidirectional;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// Below this is the example of an adopting team's API.
pub const EXAMPLE_PATH: &str = "/example";

/// Where devices open their socket.
pub const SOCKET_PATH: &str = "/v1/socket";

/// By this header, and by nothing that a client can send, the local gateway
/// learns the client's address. `infra/local/emulator.py` reads it.
pub const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("x-curfew-client-address");

/// And by this one, for which host a request was signed.
pub const CLIENT_HOST: HeaderName = HeaderName::from_static("x-curfew-client-host");

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

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

/// Where requests or sockets go: this address, below this path.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// `host:port`.
    pub authority: String,
    /// Put before every path; empty or beginning with `/`.
    pub prefix: String,
}

/// Where everything goes.
#[derive(Clone, Debug)]
pub struct Upstreams {
    /// Requests, each below its own path.
    pub api: Upstream,
    /// Sockets, all at the prefix itself.
    pub socket: Upstream,
    /// Requests to the example.
    pub example: Upstream,
}

impl Upstreams {
    /// Where a request goes, and by which path there.
    fn of<'a>(&self, path: &'a str) -> (&Upstream, &'a str) {
        match path.strip_prefix(EXAMPLE_PATH) {
            Some(rest) if rest.starts_with('/') => (&self.example, rest),
            _ => (&self.api, path),
        }
    }
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
    /// Begins to answer, by what the upstreams answer.
    ///
    /// # Errors
    /// When the listener is not fit for it.
    pub fn serve(listener: TcpListener, upstreams: Upstreams) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let forwarder = Forwarder {
            client: Client::builder(TokioExecutor::new()).build(connector.clone()),
            sockets: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build(connector),
            upstreams,
        };
        Ok(Self {
            serving: tokio::spawn(accept(listener, forwarder)),
        })
    }
}

async fn accept(listener: tokio::net::TcpListener, forwarder: Forwarder) {
    // Dropping the set at our end ends every connection.
    let mut connections = JoinSet::new();
    loop {
        // A client that went away before it was accepted is nobody's error. Nor is
        // it that no more files may be open, until some are closed.
        let Ok((stream, peer)) = listener.accept().await else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        while connections.try_join_next().is_some() {}
        let forwarder = forwarder.clone();
        connections.spawn(async move {
            let (opened, mut opening) = unbounded_channel();
            let answer = service_fn(|request| forwarder.forward(request, peer, &opened));
            // So is one that goes away in between.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .with_upgrades()
                .await;
            if let Ok(socket) = opening.try_recv() {
                let _ = socket.carry().await;
            }
        });
    }
}

/// A connection that is a socket from now on: its end at the client, and ours at
/// the gateway.
struct Socket {
    client: OnUpgrade,
    gateway: OnUpgrade,
}

impl Socket {
    /// Carries what is sent from one end to the other, until both have ended.
    async fn carry(self) -> Result<()> {
        let (client, gateway) = tokio::try_join!(self.client, self.gateway)?;
        copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(gateway)).await?;
        Ok(())
    }
}

#[derive(Clone)]
struct Forwarder {
    client: Client<HttpConnector, Incoming>,
    /// The emulator closes a connection soon after it has refused a handshake on it,
    /// without saying so: none of these is used again.
    sockets: Client<HttpConnector, Incoming>,
    upstreams: Upstreams,
}

impl Forwarder {
    async fn forward(
        &self,
        mut request: Request<Incoming>,
        peer: SocketAddr,
        opened: &UnboundedSender<Socket>,
    ) -> Result<Response<Body>, http::Error> {
        let socket = request.uri().path() == SOCKET_PATH && asks_for_a_socket(request.headers());
        let uri = request.uri();
        let query = uri
            .query()
            .map_or(String::new(), |query| format!("?{query}"));
        *request.uri_mut() = if socket {
            self.upstreams.socket.address(&query)?
        } else {
            // Only a CONNECT has none.
            let path = Some(uri.path()).filter(|path| !path.is_empty());
            let (upstream, path) = self.upstreams.of(path.unwrap_or("/"));
            upstream.address(&format!("{path}{query}"))?
        };
        let client = socket.then(|| hyper::upgrade::on(&mut request));
        pass_on(request.headers_mut(), socket);
        // The gateway's own host is written in its place: it is by the host
        // that the emulator could be led to another service.
        let host = request.headers_mut().remove(HOST);
        set(request.headers_mut(), CLIENT_HOST, host);
        let address = header_of(peer.ip());
        set(request.headers_mut(), CLIENT_ADDRESS, Some(address));
        let upstream = if socket { &self.sockets } else { &self.client };
        let Ok(mut response) = upstream.request(request).await else {
            return Response::builder().status(StatusCode::BAD_GATEWAY).body(
                Full::from("The local gateway does not answer.\n")
                    .map_err(|e| match e {})
                    .boxed(),
            );
        };
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if let (Some(client), true) = (client, switches) {
            let gateway = hyper::upgrade::on(&mut response);
            // Nobody listens any more when the client has gone.
            let _ = opened.send(Socket { client, gateway });
        }
        pass_on(response.headers_mut(), switches);
        Ok(response.map(BodyExt::boxed))
    }
}

impl Upstream {
    fn address(&self, path: &str) -> Result<Uri, http::Error> {
        Uri::builder()
            .scheme("http")
            .authority(self.authority.as_str())
            .path_and_query(format!("{}{path}", self.prefix))
            .build()
    }
}

fn asks_for_a_socket(headers: &HeaderMap) -> bool {
    headers
        .get(UPGRADE)
        .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Removes what concerns only the connection that the headers came by, and says
/// of a socket that the next connection is to be one, too.
fn pass_on(headers: &mut HeaderMap, socket: bool) {
    strip(headers);
    if socket {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, WEBSOCKET);
    }
}

/// Puts our own value in the place of whatever a client has sent.
fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    headers.remove(&name);
    if let Some(value) = value {
        headers.insert(name, value);
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
    use std::net::SocketAddr;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::{CLIENT_ADDRESS, CLIENT_HOST, Front, SOCKET_PATH, Upstream, Upstreams, listen};

    /// A gateway, and our front before it.
    async fn start() -> (TcpListener, Front, SocketAddr) {
        let gateway = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = gateway.local_addr().unwrap().to_string();
        let listener = listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let below = |prefix: &str| Upstream {
            authority: authority.clone(),
            prefix: prefix.into(),
        };
        let upstreams = Upstreams {
            api: below("/api"),
            socket: below("/socket/v1"),
            example: below("/films"),
        };
        let front = Front::serve(listener, upstreams).unwrap();
        (gateway, front, address)
    }

    /// What is sent next, in lower case.
    async fn next(stream: &mut TcpStream) -> String {
        let mut seen = vec![0; 4096];
        let length = stream.read(&mut seen).await.unwrap();
        String::from_utf8_lossy(&seen[..length]).to_lowercase()
    }

    /// What the gateway is sent when a client sends this.
    async fn forwarded(request: &str) -> String {
        let (gateway, _front, address) = start().await;

        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let (mut stream, _) = gateway.accept().await.unwrap();
        next(&mut stream).await
    }

    #[tokio::test]
    async fn the_gateway_hears_the_clients_address_and_not_what_the_client_says() {
        let seen = forwarded(&format!(
            "GET /v1/session?x=1 HTTP/1.1\r\nHost: other.example\r\n{CLIENT_ADDRESS}: 6.6.6.6\r\n\
             {CLIENT_HOST}: 6.6.6.6\r\n\r\n"
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
        assert!(!seen.contains("6.6.6.6"), "{seen}");
        assert_eq!(seen.matches("other.example").count(), 1, "{seen}");
        assert!(
            seen.contains(&format!("{CLIENT_HOST}: other.example\r\n")),
            "{seen}"
        );
    }

    #[tokio::test]
    async fn the_example_has_its_own_gateway() {
        for (path, reaches) in [
            ("/example/films?x=1", "/films/films?x=1"),
            ("/example/", "/films/"),
            ("/example", "/api/example"),
            ("/examples/films", "/api/examples/films"),
            ("/v1/example/films", "/api/v1/example/films"),
        ] {
            let seen = forwarded(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;

            assert!(seen.starts_with(&format!("get {reaches} http")), "{seen}");
        }
    }

    const HANDSHAKE: &str = "Host: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Protocol: a, b\r\nAuthorization: Bearer c\r\nOrigin: https://d\r\n\
        X-Curfew-Client-Address: 6.6.6.6\r\n\r\n";

    #[tokio::test]
    async fn a_handshake_reaches_the_sockets_gateway_as_it_was_sent() {
        let seen = forwarded(&format!("GET {SOCKET_PATH}?x=1 HTTP/1.1\r\n{HANDSHAKE}")).await;

        assert!(
            seen.starts_with("get /socket/v1?x=1 http/1.1\r\n"),
            "{seen}"
        );
        for header in [
            "connection: upgrade",
            "upgrade: websocket",
            "sec-websocket-protocol: a, b",
            "authorization: bearer c",
            "origin: https://d",
            "x-curfew-client-address: 127.0.0.1",
        ] {
            assert!(seen.contains(&format!("\r\n{header}\r\n")), "{seen}");
        }
        assert!(!seen.contains("6.6.6.6"), "{seen}");
    }

    #[tokio::test]
    async fn what_is_no_handshake_for_the_socket_is_a_request() {
        let plain = forwarded(&format!("GET {SOCKET_PATH} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        let elsewhere = forwarded(&format!("GET /v1/session HTTP/1.1\r\n{HANDSHAKE}")).await;

        assert!(plain.starts_with("get /api/v1/socket http"), "{plain}");
        assert!(
            elsewhere.starts_with("get /api/v1/session http"),
            "{elsewhere}"
        );
        assert!(!elsewhere.contains("upgrade"), "{elsewhere}");
    }

    #[tokio::test]
    async fn an_accepted_socket_carries_both_ways_and_ends_with_either_end() {
        let (gateway, _front, address) = start().await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {SOCKET_PATH} HTTP/1.1\r\n{HANDSHAKE}");
        client.write_all(request.as_bytes()).await.unwrap();
        let (mut stream, _) = gateway.accept().await.unwrap();
        next(&mut stream).await;
        let accepted = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
            Upgrade: WebSocket\r\nSec-WebSocket-Accept: e\r\n\r\n";
        stream.write_all(accepted.as_bytes()).await.unwrap();
        let answer = next(&mut client).await;
        assert!(answer.starts_with("http/1.1 101 "), "{answer}");
        assert!(answer.contains("\r\nconnection: upgrade\r\n"), "{answer}");
        assert!(
            answer.contains("\r\nsec-websocket-accept: e\r\n"),
            "{answer}"
        );

        client.write_all(b"from the device").await.unwrap();
        assert_eq!(next(&mut stream).await, "from the device");
        stream.write_all(b"to the device").await.unwrap();
        assert_eq!(next(&mut client).await, "to the device");

        drop(client);
        assert_eq!(next(&mut stream).await, "");
    }

    #[tokio::test]
    async fn a_refused_socket_is_an_answer() {
        let (gateway, _front, address) = start().await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {SOCKET_PATH} HTTP/1.1\r\n{HANDSHAKE}");
        client.write_all(request.as_bytes()).await.unwrap();
        let (mut stream, _) = gateway.accept().await.unwrap();
        next(&mut stream).await;

        let refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(refusal).await.unwrap();

        let answer = next(&mut client).await;
        assert!(answer.starts_with("http/1.1 401 "), "{answer}");
    }

    #[tokio::test]
    async fn the_connection_of_a_refused_socket_is_not_used_again() {
        let handshake = format!("GET {SOCKET_PATH} HTTP/1.1\r\n{HANDSHAKE}");
        let plain = "GET /v1/session HTTP/1.1\r\nHost: x\r\n\r\n".to_owned();
        for next_request in [&plain, &handshake] {
            let (gateway, _front, address) = start().await;
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(handshake.as_bytes()).await.unwrap();
            let (mut refusing, _) = gateway.accept().await.unwrap();
            next(&mut refusing).await;
            let refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
            refusing.write_all(refusal).await.unwrap();
            next(&mut client).await;

            client.write_all(next_request.as_bytes()).await.unwrap();

            let another = timeout(Duration::from_secs(5), gateway.accept()).await;
            let (mut stream, _) = another.unwrap().unwrap();
            assert!(next(&mut stream).await.starts_with("get /"));
        }
    }

    #[tokio::test]
    async fn sockets_end_with_the_front() {
        let (gateway, front, address) = start().await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {SOCKET_PATH} HTTP/1.1\r\n{HANDSHAKE}");
        client.write_all(request.as_bytes()).await.unwrap();
        let (mut stream, _) = gateway.accept().await.unwrap();
        next(&mut stream).await;
        let accepted = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
            Upgrade: WebSocket\r\n\r\n";
        stream.write_all(accepted.as_bytes()).await.unwrap();
        next(&mut client).await;

        drop(front);

        assert_eq!(next(&mut client).await, "");
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
