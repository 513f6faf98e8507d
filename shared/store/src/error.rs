//! What can go wrong with a table, in as many kinds as a caller can act on.

use std::error::Error;

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::error::SdkError;

/// The SDK's own error, kept whole.
pub type Cause = Box<dyn Error + Send + Sync>;

/// A table could not be read or written. Never a verdict about a session: the
/// answer to each of these is "unavailable".
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The table had no room for the call, after bounded retries.
    #[error("the table is throttled")]
    Throttled,
    /// Other writes to the same rows came in between each time, after bounded
    /// retries.
    #[error("the rows are too busy")]
    Contended,
    /// A row is not as this crate writes it.
    #[error("a row of {table} has a bad {attribute}")]
    Corrupt {
        /// Which table.
        table: &'static str,
        /// Which attribute.
        attribute: &'static str,
    },
    /// Anything else that the SDK reports.
    #[error("{operation} failed")]
    Sdk {
        /// Which call.
        operation: &'static str,
        /// Why.
        #[source]
        source: Cause,
    },
}

impl StoreError {
    /// Sorts an error of the SDK.
    pub(crate) fn from_sdk<E>(operation: &'static str, error: SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let code = error
            .as_service_error()
            .and_then(ProvideErrorMetadata::code);
        if code.is_some_and(is_throttle) {
            return Self::Throttled;
        }
        Self::Sdk {
            operation,
            source: Box::new(error),
        }
    }
}

/// Whether the code of an error or of a cancellation means "later".
pub(crate) fn is_throttle(code: &str) -> bool {
    matches!(
        code,
        "ThrottlingException"
            | "ThrottlingError"
            | "ProvisionedThroughputExceededException"
            | "ProvisionedThroughputExceeded"
            | "RequestLimitExceeded"
    )
}

impl StoreError {
    /// This error and every cause below it, joined, for a log.
    #[must_use]
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// An error and every cause below it, joined, for a log: `Display` of each layer
/// tells only its own.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
