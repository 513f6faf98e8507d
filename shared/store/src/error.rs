//! The errors of the store, in as many kinds as a caller can act on.

use std::error::Error;

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::error::SdkError;
use errors::Cause;

/// A failed read or write. It never means that a session is invalid: callers answer
/// "unavailable".
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// DynamoDB throttled the call, after bounded retries.
    #[error("the table is throttled")]
    Throttled,
    /// Other writes to the same rows were in the way, after bounded retries.
    #[error("the rows are too busy")]
    Contended,
    /// A row is malformed: this crate has not written it, or has a bug.
    #[error("a row of {table} has a bad {attribute}")]
    Corrupt {
        /// The table's name in the template.
        table: &'static str,
        /// The missing or malformed attribute.
        attribute: &'static str,
    },
    /// Any other error of the SDK.
    #[error("{operation} failed")]
    Sdk {
        /// The API operation, such as `PutItem`.
        operation: &'static str,
        /// The SDK's error.
        #[source]
        source: Cause,
    },
}

impl StoreError {
    /// Converts an error of the SDK.
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

/// Returns whether the code of an error or of a cancellation reason means that the
/// call was throttled.
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
    /// Returns the text of this error and of every source below it, for a log.
    #[must_use]
    pub fn chain(&self) -> String {
        errors::chain(self)
    }
}
