//! The HTTP client of the SDK: HTTP/1.1 over TLS, with a pool of connections.
//!
//! The SDK's own client also supports HTTP/2 and proxies, which no service that is
//! called here needs, and which is a fifth of a function's code. The SDK does the
//! retries, so this client classifies each failure.
//!
//! It trusts only the roots of Amazon Trust Services (Amazon Root CA 1 to 4 and
//! Starfield's), which `build.rs` takes from `webpki-root-certs`. AWS endpoints have
//! certificates of these, and AWS announces a new root long before it uses it. To add
//! one, update that crate and deploy.

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

/// Amazon's roots, in DER.
const ROOTS: [&[u8]; 5] = include!(concat!(env!("OUT_DIR"), "/roots.rs"));

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Less than the minute after which DynamoDB closes an idle connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// Returns a client that trusts Amazon's roots. It does not use TLS for `http:`
/// addresses, such as the local AWS's.
pub(crate) fn client() -> SharedHttpClient {
    let mut roots = RootCertStore::empty();
    for root in ROOTS {
        roots
            .add(CertificateDer::from(root))
            .expect("the certificates were well-formed when this was built");
    }
    client_with(roots)
}

fn client_with(roots: RootCertStore) -> SharedHttpClient {
    let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3")
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

/// The pool of connections. Clones share it.
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

/// Classifies a failure. The SDK retries those of the connection, which is safe: every
/// call here can be repeated.
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

    /// Starts a server that answers `{}` over TLS. Returns its URL and its root.
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

    /// Makes a call. An error says whether it is one of the connection.
    async fn call(url: String, http: SharedHttpClient) -> Result<(), bool> {
        let key = Credentials::new("test", "test", None, None, "tests");
        let region = "eu-central-1".to_owned();
        let clients = Clients::new(region, key, Some(url), http, RetryPolicy::Never);
        let result = clients.dynamodb().list_tables().send().await;
        result.map(|_| ()).map_err(|error| {
            let failure = match &error {
                aws_sdk_dynamodb::error::SdkError::DispatchFailure(failure) => failure,
                other => panic!("{other:?}"),
            };
            failure.is_io()
        })
    }

    #[tokio::test]
    async fn only_a_server_whose_root_is_trusted_is_called() {
        let (url, roots) = server().await;
        assert_eq!(call(url.clone(), client_with(roots)).await, Ok(()));
        assert_eq!(call(url, client()).await, Err(true));
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_a_failure_of_the_connection() {
        let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", unused.local_addr().unwrap());
        drop(unused);
        assert_eq!(call(url, client()).await, Err(true));
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
