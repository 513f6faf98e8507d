//! The certificates of SNS. They are fetched from SNS itself over HTTPS, which is
//! what makes them trustworthy, and cached. SNS serves them without their chain, so
//! neither the chain nor the dates are checked.

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

/// The time in which SNS has to answer. It gives endpoints 15 seconds.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The largest accepted answer. A certificate has 2 or 3 KB.
const MAX_BYTES: usize = 64 * 1024;

/// A client of SNS, with a cache of certificates.
pub struct Certificates {
    web: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    cache: Mutex<HashMap<String, CertificateDer<'static>>>,
}

impl Certificates {
    /// Creates a client that trusts Mozilla's certification authorities.
    ///
    /// # Panics
    /// Never: ring supports the default versions of TLS.
    #[must_use]
    pub fn new() -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring supports the default versions of TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            // The local AWS has no TLS. Certificates are fetched over HTTPS only.
            .https_or_http()
            .enable_http1()
            .build();
        Self {
            web: Client::builder(TokioExecutor::new()).build(connector),
            cache: Mutex::default(),
        }
    }

    /// Adds a certificate to the cache.
    #[must_use]
    pub fn with(self, url: &str, certificate: CertificateDer<'static>) -> Self {
        self.insert(url, certificate);
        self
    }

    /// Returns the certificate at an address that [`is_address_of`] accepts.
    pub(crate) async fn at(&self, url: &str) -> Option<CertificateDer<'static>> {
        if let Some(certificate) = self.cache().get(url) {
            return Some(certificate.clone());
        }
        let pem = self.get(url).await?;
        let certificate = CertificateDer::from_pem_slice(&pem).ok()?;
        self.insert(url, certificate.clone());
        Some(certificate)
    }

    /// Returns the body of a successful answer. Redirects are not followed.
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
        timeout(TIMEOUT, answer).await.ok()?
    }

    fn insert(&self, url: &str, certificate: CertificateDer<'static>) {
        self.cache().insert(url.to_owned(), certificate);
    }

    fn cache(&self) -> MutexGuard<'_, HashMap<String, CertificateDer<'static>>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Returns whether an address is that of a certificate on this host of SNS. A sender
/// that could name another address could sign with its own key.
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
    fn certificates_are_fetched_from_sns_only() {
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
