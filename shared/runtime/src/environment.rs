//! Configuration from the environment. Errors name the variable.

use std::str::FromStr;

use origin_policy::InvalidOrigin;

/// A variable is missing or invalid.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The variable is not set, or empty.
    #[error("the environment variable {0} is missing")]
    Missing(&'static str),
    /// `ALLOWED_ORIGINS` has an origin that no browser sends.
    #[error("the environment variable ALLOWED_ORIGINS is wrong: {0}")]
    Origin(#[source] InvalidOrigin),
    /// The variable has a text that can't be used.
    #[error("the environment variable {name} is wrong: {fault}")]
    Wrong {
        /// Name of the variable.
        name: &'static str,
        /// The fault.
        fault: String,
    },
    /// The variable has a value that is not allowed.
    #[error("the environment variable {name} must be {expected}")]
    Invalid {
        /// Name of the variable.
        name: &'static str,
        /// The allowed values, as the end of "must be …".
        expected: &'static str,
    },
}

/// Reads a variable; none if it is unset or empty.
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
/// [`ConfigError::Missing`] if it is unset or empty.
pub fn required(name: &'static str) -> Result<String, ConfigError> {
    optional(name).ok_or(ConfigError::Missing(name))
}

/// Reads the names of headers, comma-separated; an empty text if the variable is unset.
///
/// # Errors
/// [`ConfigError::Invalid`] if it has a character that no common name has, such as `*`.
pub fn header_names(name: &'static str) -> Result<String, ConfigError> {
    let names = optional(name).unwrap_or_default();
    let is_common = |c: char| c.is_ascii_alphanumeric() || "-_, ".contains(c);
    if names.chars().all(is_common) {
        return Ok(names);
    }
    let expected = "names of headers, separated by commas";
    Err(ConfigError::Invalid { name, expected })
}

/// Reads a number; `default` if the variable is unset or empty.
///
/// # Errors
/// [`ConfigError::Invalid`] if it is not a number.
pub fn number<T: FromStr>(name: &'static str, default: T) -> Result<T, ConfigError> {
    optional(name).map_or(Ok(default), |value| {
        value.parse().map_err(|_| ConfigError::Invalid {
            name,
            expected: "a whole number",
        })
    })
}

/// Reads `true` or `false`; `false` if the variable is unset or empty.
///
/// # Errors
/// [`ConfigError::Invalid`] if it is anything else.
pub fn flag(name: &'static str) -> Result<bool, ConfigError> {
    match optional(name).as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(ConfigError::Invalid {
            name,
            expected: "`true` or `false`",
        }),
    }
}
