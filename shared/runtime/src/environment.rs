//! Configuration from the environment; its errors name the variable.

use std::str::FromStr;

/// A variable is missing or not what it has to be.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It is not set, or empty.
    #[error("the environment variable {0} is missing")]
    Missing(&'static str),
    /// It is set to something else than it has to be.
    #[error("the environment variable {name} must be {expected}")]
    Invalid {
        /// Which one.
        name: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
}

/// Reads a variable that may be unset or empty.
#[must_use]
pub fn optional(name: &'static str) -> Option<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the environment is read"
    )]
    let value = std::env::var(name).ok();
    value.filter(|value| !value.is_empty())
}

/// Reads a variable that must be set.
///
/// # Errors
/// [`ConfigError::Missing`] when it is not.
pub fn required(name: &'static str) -> Result<String, ConfigError> {
    optional(name).ok_or(ConfigError::Missing(name))
}

/// Reads a number, or takes the default when the variable is not set.
///
/// # Errors
/// [`ConfigError::Invalid`] when it is set to something else.
pub fn number<T: FromStr>(name: &'static str, default: T) -> Result<T, ConfigError> {
    optional(name).map_or(Ok(default), |value| {
        value.parse().map_err(|_| ConfigError::Invalid {
            name,
            expected: "a whole number",
        })
    })
}
