//! The AWS clients, and a counter of their calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, IdentityCache, Region, SharedAsyncSleep, SharedCredentialsProvider,
    StalledStreamProtectionConfig,
};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, SharedInterceptor};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_types::SdkConfig;

use crate::environment::{ConfigError, optional, required};
use crate::https;

/// The SDK's policy for failed calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryPolicy {
    /// The SDK's default: three attempts, with jitter.
    Standard,
    /// No retries, for tests that make their own.
    Never,
}

/// The configuration that every client is built from.
#[derive(Debug, Clone)]
pub struct Clients {
    config: SdkConfig,
    calls: Option<Calls>,
}

/// A counter of the calls that clients make. Each attempt counts.
#[derive(Debug, Clone, Default)]
pub struct Calls(Arc<AtomicUsize>);

impl Calls {
    /// Returns the number of calls so far.
    #[must_use]
    pub fn made(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Intercept for Calls {
    fn name(&self) -> &'static str {
        "Calls"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Clients {
    /// Reads the credentials and the region that Lambda puts into the environment. Does
    /// no I/O.
    ///
    /// # Errors
    /// [`ConfigError`], with the name of the missing variable.
    pub fn from_environment() -> Result<Self, ConfigError> {
        let credentials = Credentials::new(
            required("AWS_ACCESS_KEY_ID")?,
            required("AWS_SECRET_ACCESS_KEY")?,
            optional("AWS_SESSION_TOKEN"),
            None,
            "environment",
        );
        Ok(Self::new(
            required("AWS_REGION")?,
            credentials,
            optional("AWS_ENDPOINT_URL"),
            https::client(),
            RetryPolicy::Standard,
        ))
    }

    /// Builds the configuration from values, for tests and tools.
    #[must_use]
    pub fn new(
        region: String,
        credentials: Credentials,
        endpoint: Option<String>,
        http: SharedHttpClient,
        retry: RetryPolicy,
    ) -> Self {
        let retry = match retry {
            RetryPolicy::Standard => RetryConfig::standard(),
            RetryPolicy::Never => RetryConfig::disabled(),
        };
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(region))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(http)
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            .time_source(SystemTimeSource::new())
            .timeout_config(timeouts())
            // It waits longer than an attempt's timeout, and so would never act.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // Lambda's credentials are valid as long as the process lives.
            .identity_cache(IdentityCache::no_cache())
            .retry_config(retry);
        config.set_endpoint_url(endpoint);
        Self {
            config: config.build(),
            calls: None,
        }
    }

    /// Returns the same configuration, with the calls of the DynamoDB and socket clients
    /// counted.
    #[must_use]
    pub fn counted(&self, calls: &Calls) -> Self {
        Self {
            calls: Some(calls.clone()),
            ..self.clone()
        }
    }

    /// Builds a client of DynamoDB.
    #[must_use]
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let mut config = aws_sdk_dynamodb::config::Builder::from(&self.config);
        if let Some(calls) = &self.calls {
            config.push_interceptor(SharedInterceptor::new(calls.clone()));
        }
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    /// Returns the configuration, for the clients that few functions build. Their SDKs compile
    /// slowly, so they are no dependencies here.
    #[must_use]
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// Builds a client of SQS.
    #[must_use]
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        aws_sdk_sqs::Client::new(&self.config)
    }

    /// Builds a client of Secrets Manager. A request waits for it, so it gives up sooner
    /// than the others.
    #[must_use]
    pub fn secrets(&self) -> aws_sdk_secretsmanager::Client {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_millis(500))
            .operation_attempt_timeout(Duration::from_secs(1))
            .operation_timeout(Duration::from_secs(2))
            .build();
        let config = aws_sdk_secretsmanager::config::Builder::from(&self.config);
        aws_sdk_secretsmanager::Client::from_conf(config.timeout_config(timeouts).build())
    }

    /// Builds a client of the open sockets of a WebSocket API. `callback_url` is the URL
    /// of one of its stages: `https://{api}.execute-api.{region}.{suffix}/{stage}`. If
    /// `AWS_ENDPOINT_URL` is set, the client calls the same stage there.
    #[must_use]
    pub fn sockets(&self, callback_url: &str) -> aws_sdk_apigatewaymanagement::Client {
        let url = match self.config.endpoint_url() {
            Some(endpoint) => local_url(endpoint, callback_url),
            None => callback_url.to_owned(),
        };
        let config = aws_sdk_apigatewaymanagement::config::Builder::from(&self.config);
        let mut config = config.endpoint_url(url);
        if let Some(calls) = &self.calls {
            config.push_interceptor(SharedInterceptor::new(calls.clone()));
        }
        aws_sdk_apigatewaymanagement::Client::from_conf(config.build())
    }
}

/// Returns the URL at which the local AWS serves the open sockets of a stage.
fn local_url(endpoint: &str, callback_url: &str) -> String {
    let (_, rest) = callback_url.split_once("://").unwrap_or(("", callback_url));
    let (host, stage) = rest.split_once('/').unwrap_or((rest, ""));
    let (api, _) = host.split_once('.').unwrap_or((host, ""));
    let endpoint = endpoint.trim_end_matches('/');
    format!("{endpoint}/_aws/execute-api/{api}/{stage}")
}

/// The longest that a call takes, with its retries.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(6);

/// Returns the timeouts: three attempts of 2 s fit into [`CALL_TIMEOUT`], well before a
/// caller of the API gives up (the gateway waits 30 s).
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(1))
        .operation_attempt_timeout(Duration::from_secs(2))
        .operation_timeout(CALL_TIMEOUT)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_aws_serves_the_sockets_of_a_stage_under_its_own_address() {
        let callback_url = "https://a1b2c3.execute-api.eu-central-1.amazonaws.com/v1";
        for endpoint in ["http://127.0.0.1:4566", "http://127.0.0.1:4566/"] {
            assert_eq!(
                local_url(endpoint, callback_url),
                "http://127.0.0.1:4566/_aws/execute-api/a1b2c3/v1"
            );
        }
    }
}
