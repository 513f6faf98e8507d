//! The connection below calls and sockets: TCP, with TLS unless the API is on this
//! machine.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower_service::Service;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// The silence after which TCP probes the peer, the time that the peer has to
/// answer, and the limit for opening a connection.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// A connection, with or without TLS.
pub(crate) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// An address that no API or socket can have; the text says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError(String);

impl std::fmt::Display for AddressError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for AddressError {}

/// Opens connections. Clones share whether the network is up.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    https: HttpsConnector<HttpConnector>,
    is_offline: Arc<AtomicBool>,
}

impl Connector {
    pub(crate) fn new() -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(Some(KEEP_ALIVE));
        http.set_keepalive_interval(Some(KEEP_ALIVE / 3));
        http.set_keepalive_retries(Some(3));
        http.set_connect_timeout(Some(KEEP_ALIVE));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(TLS.clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        Self {
            https,
            is_offline: Arc::default(),
        }
    }

    /// Simulates a lost network, or restores it.
    pub(crate) fn set_offline(&self, is_offline: bool) {
        self.is_offline.store(is_offline, Ordering::Relaxed);
    }

    pub(crate) fn is_offline(&self) -> bool {
        self.is_offline.load(Ordering::Relaxed)
    }

    /// Opens a connection to the host of a `ws` or `wss` address.
    pub(crate) async fn open(&self, socket: &Uri) -> Result<TokioIo<Stream>, BoxError> {
        if self.is_offline() {
            return Err("there is no network".into());
        }
        let is_secure = socket.scheme_str() == Some("wss");
        let authority = socket
            .authority()
            .map_or("", |authority| authority.as_str());
        let uri = Uri::builder()
            .scheme(if is_secure { "https" } else { "http" })
            .authority(authority)
            .path_and_query("/")
            .build()?;
        let stream = self.https.clone().call(uri).await?;
        Ok(TokioIo::new(stream))
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        self.https.call(uri)
    }
}

/// The TLS settings with the roots that browsers trust, parsed once a process.
static TLS: LazyLock<ClientConfig> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(TLS_SERVER_ROOT_CERTS.iter().cloned());
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the ciphers of TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
});

/// Parses the address of an API or a socket. Passwords and tokens go there, so it
/// needs TLS unless it is on this machine.
///
/// # Errors
/// The fault in the address.
pub(crate) fn address(text: &str, schemes: [&str; 2]) -> Result<Uri, AddressError> {
    let [plain, secure] = schemes;
    let invalid = |fault: &str| AddressError(format!("{text} {fault}"));
    let uri: Uri = text
        .trim_end_matches('/')
        .parse()
        .map_err(|_| invalid("is not an address"))?;
    let host = uri.host().ok_or_else(|| invalid("has no host"))?;
    if uri.query().is_some() {
        return Err(invalid("has a query, which is not allowed here"));
    }
    match uri.scheme_str() {
        Some(scheme) if scheme == secure => Ok(uri),
        Some(scheme) if scheme == plain && is_this_machine(host) => Ok(uri),
        Some(scheme) if scheme == plain => Err(invalid(&format!(
            "is on another machine, where secrets need {secure}"
        ))),
        _ => Err(invalid(&format!("must begin with {plain} or {secure}"))),
    }
}

fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::address;

    const HTTP: [&str; 2] = ["http", "https"];

    #[test]
    fn secrets_leave_this_machine_by_tls_only() {
        for allowed in [
            "http://127.0.0.1:9400",
            "http://localhost:1",
            "http://[::1]:1",
            "https://api.example.com/",
        ] {
            assert!(address(allowed, HTTP).is_ok(), "{allowed}");
        }
        for refused in [
            "http://api.example.com",
            "http://127.0.0.1.example.com",
            "ftp://127.0.0.1",
            "127.0.0.1:9400",
            "https://api.example.com?token=1",
        ] {
            assert!(address(refused, HTTP).is_err(), "{refused}");
        }
    }
}
