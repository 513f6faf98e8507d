//! Errors of a device.

use std::io;

use crate::Secret;
use crate::answer::{Answer, NoAnswer};

/// A failed request of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The problem's name, such as `credentials-invalid`, when the API answered
    /// with one.
    pub problem: Option<String>,
    /// With `address-unconfirmed`, `code-required`, or `verification-required` at a sign-in, the
    /// challenge of the pass whose code was mailed; with `second-step-required`, that of the
    /// second step.
    pub challenge: Option<Secret>,
    /// With `verification-required`, the sets of proofs of which each is enough:
    /// `password`, `code`, or both; `totp` and `recovery_code`; or `external`.
    pub methods: Vec<Vec<String>>,
    /// With the method `external`, the page of the team's own login. Add the query parameters
    /// `session` and `return_to`, an address of the app to which the login appends a challenge.
    pub verify_at: Option<String>,
    /// The cause, for people.
    pub detail: String,
}

impl std::fmt::Display for Error {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.detail)
    }
}

impl std::error::Error for Error {}

impl Error {
    pub(crate) fn new(detail: impl Into<String>) -> Self {
        Self {
            problem: None,
            challenge: None,
            methods: Vec::new(),
            verify_at: None,
            detail: detail.into(),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "map_err passes it so")]
    pub(crate) fn storage(error: io::Error) -> Self {
        Self::new(format!("the device's storage failed: {error}"))
    }
}

impl From<NoAnswer> for Error {
    fn from(no_answer: NoAnswer) -> Self {
        Self::new(no_answer.reason)
    }
}

impl From<&Answer> for Error {
    fn from(answer: &Answer) -> Self {
        Self {
            problem: answer.problem().map(str::to_owned),
            challenge: answer.member("/challenge").map(Secret::new),
            methods: answer.methods(),
            verify_at: answer.member("/verify_at").map(str::to_owned),
            detail: answer.message(),
        }
    }
}
