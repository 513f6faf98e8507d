//! The AWS clients.
//!
//! The roots that a connection is checked against are Amazon Trust Services' own
//! (Amazon Root CA 1 to 4 and Starfield's), which `build.rs` takes from
//! `webpki-root-certs`. AWS endpoints are certified by these, and AWS tells long
//! before another is added; a new one comes with an update of that crate and a
//! deployment.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Region, SharedAsyncSleep, SharedCredentialsProvider,
};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use crate::environment::{ConfigError, optional, required};

/// Amazon's roots, as PEM.
const ROOTS: &str = include_str!(concat!(env!("OUT_DIR"), "/roots.pem"));

/// Whether the SDK makes a failed call again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryPolicy {
    /// As the SDK does by default: three attempts, with jitter.
    Standard,
    /// Never: for tests that make their own.
    Never,
}

/// What every client is built from.
#[derive(Debug, Clone)]
pub struct Clients {
    region: Region,
    credentials: SharedCredentialsProvider,
    endpoint: Option<String>,
    http: SharedHttpClient,
    retry: RetryPolicy,
}

impl Clients {
    /// Reads what Lambda puts into the environment; does no I/O.
    ///
    /// # Errors
    /// [`ConfigError`] names the variable that is missing.
    pub fn from_environment() -> Result<Self, ConfigError> {
        let credentials = Credentials::new(
            required("AWS_ACCESS_KEY_ID")?,
            required("AWS_SECRET_ACCESS_KEY")?,
            optional("AWS_SESSION_TOKEN"),
            None,
            "environment",
        );
        let endpoint = optional("AWS_ENDPOINT_URL");
        let plain = endpoint
            .as_deref()
            .is_some_and(|url| url.starts_with("http://"));
        let http = if plain {
            Builder::new().build_http()
        } else {
            https()
        };
        let region = required("AWS_REGION")?;
        Ok(Self::new(
            region,
            credentials,
            endpoint,
            http,
            RetryPolicy::Standard,
        ))
    }

    /// Takes everything from the caller, as tests do.
    #[must_use]
    pub fn new(
        region: String,
        credentials: Credentials,
        endpoint: Option<String>,
        http: SharedHttpClient,
        retry: RetryPolicy,
    ) -> Self {
        Self {
            region: Region::new(region),
            credentials: SharedCredentialsProvider::new(credentials),
            endpoint,
            http,
            retry,
        }
    }

    fn retry_config(&self) -> RetryConfig {
        match self.retry {
            RetryPolicy::Standard => RetryConfig::standard(),
            RetryPolicy::Never => RetryConfig::disabled(),
        }
    }

    /// Makes a client of DynamoDB.
    #[must_use]
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let mut config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(self.region.clone())
            .credentials_provider(self.credentials.clone())
            .http_client(self.http.clone())
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            .time_source(SystemTimeSource::new())
            .timeout_config(timeouts())
            .retry_config(self.retry_config());
        config.set_endpoint_url(self.endpoint.clone());
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    /// Makes a client of SNS.
    #[must_use]
    pub fn sns(&self) -> aws_sdk_sns::Client {
        let mut config = aws_sdk_sns::Config::builder()
            .behavior_version(aws_sdk_sns::config::BehaviorVersion::v2026_01_12())
            .region(self.region.clone())
            .credentials_provider(self.credentials.clone())
            .http_client(self.http.clone())
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            .time_source(SystemTimeSource::new())
            .timeout_config(timeouts())
            .retry_config(self.retry_config());
        config.set_endpoint_url(self.endpoint.clone());
        aws_sdk_sns::Client::from_conf(config.build())
    }

    /// Makes a client of SQS.
    #[must_use]
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        let mut config = aws_sdk_sqs::Config::builder()
            .behavior_version(aws_sdk_sqs::config::BehaviorVersion::v2026_01_12())
            .region(self.region.clone())
            .credentials_provider(self.credentials.clone())
            .http_client(self.http.clone())
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            .time_source(SystemTimeSource::new())
            .timeout_config(timeouts())
            .retry_config(self.retry_config());
        config.set_endpoint_url(self.endpoint.clone());
        aws_sdk_sqs::Client::from_conf(config.build())
    }
}

/// An attempt is given up long before the caller would.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_secs(2))
        .operation_timeout(Duration::from_secs(6))
        .build()
}

fn https() -> SharedHttpClient {
    let trusted = TrustStore::empty().with_pem_certificate(ROOTS);
    let context = TlsContext::builder().with_trust_store(trusted).build();
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .tls_context(context.expect("a trust store of well-formed certificates"))
        .build_https()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_five_roots_of_amazon_are_compiled_in() {
        assert_eq!(ROOTS.matches("-----BEGIN CERTIFICATE-----").count(), 5);
    }

    #[test]
    fn the_client_for_the_cloud_is_built_from_them() {
        let _client = https();
    }
}
