//! The way to AWS: HTTP/1.1 over TLS, from a pool of connections.
//!
//! The SDK's own client speaks HTTP/2 and through proxies as well, which no service
//! that is called here needs, and which is a fifth of a function's code. Retrying
//! is left to the SDK, so this says of each failure what kind it is.
//!
//! The roots that a connection is checked against are Amazon Trust Services' own
//! (Amazon Root CA 1 to 4 and Starfield's), which `build.rs` takes from
//! `webpki-root-certs`. AWS endpoints are certified by these, and AWS tells long
//! before another is added; a new one comes with an update of that crate and a
//! deployment.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector as SmithyConnector, HttpConnectorFuture, HttpConnectorSettings,
    SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// Amazon's roots, as DER.
const ROOTS: [&[u8]; 5] = include!(concat!(env!("OUT_DIR"), "/roots.rs"));

/// How long a connection may take, and how long it is kept without being used:
/// less than the minute after which DynamoDB closes it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// A client that trusts Amazon's roots. Where an address says `http`, as that of
/// the local AWS, it speaks without TLS.
pub(crate) fn client() -> SharedHttpClient {
    let mut roots = RootCertStore::empty();
    for root in ROOTS {
        roots
            .add(CertificateDer::from(root))
            .expect("certificates that were well-formed when this was built");
    }
    client_with(roots)
}

fn client_with(roots: RootCertStore) -> SharedHttpClient {
    let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has what TLS 1.2 and 1.3 need")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let pool = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build(HttpsConnector::from((tcp, tls)));
    SharedHttpClient::new(Https { pool })
}

/// The pool. Cloning it shares the connections.
#[derive(Debug, Clone)]
struct Https {
    pool: Client<HttpsConnector<HttpConnector>, SdkBody>,
}

impl HttpClient for Https {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl SmithyConnector for Https {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => {
                return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into())));
            }
        };
        let answer = self.pool.request(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await.map_err(failure)?;
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// What kind of failure it is. One of the connection may be tried again: every call
/// is made so that it can be repeated.
fn failure(error: Error) -> ConnectorError {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(this) = cause {
        if let Some(http) = this.downcast_ref::<hyper::Error>() {
            if http.is_timeout() {
                return ConnectorError::timeout(error.into());
            }
            if http.is_user() {
                return ConnectorError::user(error.into());
            }
            if http.is_parse() && !http.is_incomplete_message() {
                return ConnectorError::other(error.into(), None);
            }
        }
        cause = this.source();
    }
    ConnectorError::io(error.into())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use aws_credential_types::Credentials;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::ServerConfig;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::{Clients, RetryPolicy};

    /// An AWS of this machine that answers `{}` over TLS, and its root.
    async fn server() -> (String, RootCertStore) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "https://localhost:{}",
            listener.local_addr().unwrap().port()
        );
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(tcp).await else {
                    continue;
                };
                let answer = service_fn(async |_| {
                    Ok::<_, Infallible>(hyper::Response::new("{}".to_owned()))
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answer)
                    .await;
            }
        });
        (url, roots)
    }

    /// Whether a table can be asked, and if not, whether it was for the connection.
    async fn ask(url: String, http: SharedHttpClient) -> Result<(), bool> {
        let key = Credentials::new("test", "test", None, None, "tests");
        let region = "eu-central-1".to_owned();
        let clients = Clients::new(region, key, Some(url), http, RetryPolicy::Never);
        let asked = clients.dynamodb().list_tables().send().await;
        asked.map(|_| ()).map_err(|error| {
            let failure = match &error {
                aws_sdk_dynamodb::error::SdkError::DispatchFailure(failure) => failure,
                other => panic!("{other:?}"),
            };
            failure.is_io()
        })
    }

    #[tokio::test]
    async fn a_server_is_asked_whose_root_is_trusted_and_no_other() {
        let (url, roots) = server().await;
        assert_eq!(ask(url.clone(), client_with(roots)).await, Ok(()));
        assert_eq!(ask(url, client()).await, Err(true));
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_a_failure_of_the_connection() {
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", nobody.local_addr().unwrap());
        drop(nobody);
        assert_eq!(ask(url, client()).await, Err(true));
    }

    #[test]
    fn the_five_roots_of_amazon_are_compiled_in() {
        let mut roots = RootCertStore::empty();
        for root in ROOTS {
            roots.add(CertificateDer::from(root)).unwrap();
        }
        assert_eq!(roots.len(), 5);
    }
}
