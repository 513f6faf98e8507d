//! The settings that several functions share, read once at start-up.

use domain::Limits;
use domain::password::PasswordRules;
use jiff::SignedDuration;
use origin_policy::{Distribution, OriginPolicy};

use crate::clients::Clients;
use crate::environment::{ConfigError, number, optional};

/// The longest limit: a century, so that no date overflows.
const MAX_DAYS: i64 = 36_500;

/// Reads `SESSION_IDLE_DAYS` (30), `SESSION_ABSOLUTE_DAYS` (365) and
/// `RECEIPT_RETENTION_DAYS` (90).
///
/// # Errors
/// [`ConfigError`], if a variable is not a number of days.
pub fn limits() -> Result<Limits, ConfigError> {
    Ok(Limits {
        idle: days("SESSION_IDLE_DAYS", 30)?,
        absolute: days("SESSION_ABSOLUTE_DAYS", 365)?,
        receipt_retention: days("RECEIPT_RETENTION_DAYS", 90)?,
    })
}

/// Reads `ALLOWED_ORIGINS` (none) and `DISTRIBUTION_SECRET`, the name of a secret
/// (none). Creates a client only for a secret.
///
/// # Errors
/// [`ConfigError`], if there is a secret, and the credentials to read it are missing.
pub fn origin_policy() -> Result<OriginPolicy, ConfigError> {
    let policy = OriginPolicy::new(optional("ALLOWED_ORIGINS").as_deref());
    let Some(secret) = optional("DISTRIBUTION_SECRET") else {
        return Ok(policy);
    };
    let client = Clients::from_environment()?.secrets();
    Ok(policy.with_distribution(Distribution::new(client, secret)))
}

/// Reads `PASSWORD_MIN_LENGTH` (15).
///
/// # Errors
/// [`ConfigError`], if it is not a length that the rules allow.
pub fn password_rules() -> Result<PasswordRules, ConfigError> {
    let name = "PASSWORD_MIN_LENGTH";
    let length = number(name, PasswordRules::DEFAULT_MIN_LENGTH)?;
    PasswordRules::with_min_length(length).map_err(|_| ConfigError::Invalid {
        name,
        expected: "a length from 8 to 64",
    })
}

fn days(name: &'static str, default: i64) -> Result<SignedDuration, ConfigError> {
    let days = number(name, default)?;
    if !(1..=MAX_DAYS).contains(&days) {
        return Err(ConfigError::Invalid {
            name,
            expected: "a number of days from 1 to 36500",
        });
    }
    Ok(SignedDuration::from_hours(days * 24))
}
