//! The certificates by which SNS signs: fetched from SNS itself, by HTTPS, and
//! kept. That SNS serves it is what makes a certificate good. It comes without its
//! chain, so neither that nor its dates are looked at.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Uri;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::time::timeout;

/// How long SNS may take to answer. It gives its own endpoints 15 seconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// A certificate has two or three.
const MAX_BYTES: usize = 64 * 1024;

/// A client of SNS, with the certificates that it has fetched.
pub struct Certificates {
    web: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    known: Mutex<HashMap<String, CertificateDer<'static>>>,
}

impl Certificates {
    /// A client that trusts the usual certification authorities.
    ///
    /// # Panics
    /// When rustls can't do what it can.
    #[must_use]
    pub fn new() -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the default versions of TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            // The local AWS has no TLS. Certificates are asked for by HTTPS alone.
            .https_or_http()
            .enable_http1()
            .build();
        Self {
            web: Client::builder(TokioExecutor::new()).build(connector),
            known: Mutex::default(),
        }
    }

    /// Takes a certificate that is known to be at an address.
    #[must_use]
    pub fn knowing(self, url: &str, certificate: CertificateDer<'static>) -> Self {
        self.keep(url, certificate);
        self
    }

    /// The certificate at an address of SNS, which was looked at by
    /// [`is_address_of`].
    pub(crate) async fn at(&self, url: &str) -> Option<CertificateDer<'static>> {
        if let Some(certificate) = self.known().get(url) {
            return Some(certificate.clone());
        }
        let pem = self.get(url).await?;
        let certificate = CertificateDer::from_pem_slice(&pem).ok()?;
        self.keep(url, certificate.clone());
        Some(certificate)
    }

    /// The body of a success; redirects are not followed.
    pub(crate) async fn get(&self, url: &str) -> Option<Bytes> {
        let url: Uri = url.parse().ok()?;
        let answer = async {
            let answer = self.web.get(url).await.ok()?;
            if !answer.status().is_success() {
                return None;
            }
            let body = Limited::new(answer.into_body(), MAX_BYTES);
            Some(body.collect().await.ok()?.to_bytes())
        };
        timeout(PATIENCE, answer).await.ok()?
    }

    fn keep(&self, url: &str, certificate: CertificateDer<'static>) {
        self.known().insert(url.to_owned(), certificate);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, CertificateDer<'static>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Certificates {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates(…)")
    }
}

/// Whether an address is one where SNS itself, at this host, keeps a certificate.
/// Whoever could name another address could sign.
pub(crate) fn is_address_of(url: &str, host: &str) -> bool {
    let Some(name) = url
        .strip_prefix("https://")
        .and_then(|rest| rest.strip_prefix(host))
        .and_then(|path| path.strip_prefix("/SimpleNotificationService-"))
        .and_then(|name| name.strip_suffix(".pem"))
    else {
        return false;
    };
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::is_address_of;

    const HOST: &str = "sns.eu-central-1.amazonaws.com";

    #[test]
    fn a_certificate_is_fetched_from_sns_and_from_nobody_else() {
        let good = format!("https://{HOST}/SimpleNotificationService-0a1b2c.pem");
        assert!(is_address_of(&good, HOST));

        for bad in [
            good.replace("https", "http"),
            good.replace(HOST, "sns.us-east-1.amazonaws.com"),
            good.replace(HOST, "sns.eu-central-1.amazonaws.com.evil.example"),
            good.replace(HOST, "evil.example/sns.eu-central-1.amazonaws.com"),
            good.replace(HOST, &format!("{HOST}@evil.example")),
            good.replace(HOST, &format!("{HOST}:444")),
            good.replace("0a1b2c", "../0a1b2c"),
            good.replace("0a1b2c", ""),
            good.replace(".pem", ".pem?x=.pem"),
            good.replace(".pem", ""),
            format!("https://{HOST}/bucket/SimpleNotificationService-0a1b2c.pem"),
        ] {
            assert!(!is_address_of(&bad, HOST), "{bad}");
        }
    }
}
