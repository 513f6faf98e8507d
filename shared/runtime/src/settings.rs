//! The settings that several functions share, read once at start-up.

use std::fmt::Display;
use std::str::FromStr;

use domain::networks::NetworkRanges;
use domain::password::{Hasher, PasswordRules};
use domain::sign_in_budgets::{FAILURES_IN_A_ROW, PAUSE_WITHOUT_MAIL};
use domain::verification::{UNPROVEN_SIGN_OUTS_PER_DAY, VerificationPolicy};
use domain::{Budget, Limits, SignInBudgets};
use jiff::SignedDuration;
use origin_policy::{Distribution, OriginPolicy};
use serde::Deserialize;

use crate::clients::Clients;
use crate::environment::{ConfigError, flag, number, optional};
use crate::hashing::PasswordHasher;

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

/// Reads `ALLOWED_ORIGINS` (none), for a function that is called beside the distribution.
#[must_use]
pub fn allowed_origins() -> OriginPolicy {
    OriginPolicy::new(optional("ALLOWED_ORIGINS").as_deref())
}

/// Reads `ALLOWED_ORIGINS` (none), `DISTRIBUTION_SECRET`, the name of a secret (none),
/// and `REQUIRE_DISTRIBUTION` (`false`). Creates a client only for a secret.
///
/// # Errors
/// [`ConfigError`], if the distribution is required and has no secret, or the
/// credentials to read it are missing.
pub fn origin_policy() -> Result<OriginPolicy, ConfigError> {
    let policy = allowed_origins();
    let is_required = flag("REQUIRE_DISTRIBUTION")?;
    let secret = match optional("DISTRIBUTION_SECRET") {
        Some(secret) => secret,
        None if is_required => return Err(ConfigError::Missing("DISTRIBUTION_SECRET")),
        None => return Ok(policy),
    };
    let client = Clients::from_environment()?.secrets();
    Ok(policy.with_distribution(Distribution::new(client, secret), is_required))
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

/// Reads `PEPPER_SECRET`, the name of a secret (none), and waits for the secret. The
/// buffer is not allocated yet.
///
/// # Errors
/// [`ConfigError`], if the secret can't be read or has no usable peppers: hashes without
/// one would be weaker than the deployment asks for.
pub fn password_hasher() -> Result<PasswordHasher, ConfigError> {
    let name = "PEPPER_SECRET";
    let Some(secret) = optional(name) else {
        return Ok(PasswordHasher::new(Hasher::lazy()));
    };
    let client = Clients::from_environment()?.secrets();
    // The loop that takes requests, which has a runtime of its own, starts later.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| error.to_string());
    let reading = PasswordHasher::with_secret(Hasher::lazy(), client, secret);
    runtime
        .and_then(|runtime| runtime.block_on(Box::pin(reading)))
        .map_err(|fault| ConfigError::Wrong { name, fault })
}

/// Reads `ADDRESS_BUDGET` (10/300), `NETWORK_BUDGET` (30/10) and `DEVICE_BUDGET` (5/60),
/// `MOST_FAILURES` (100), `UNCOUNTED_NETWORKS` (none) and `MAIL_FROM` (none).
///
/// # Errors
/// [`ConfigError`], if one is malformed.
pub fn sign_in_budgets() -> Result<SignInBudgets, ConfigError> {
    let defaults = SignInBudgets::default();
    let most = number("MOST_FAILURES", FAILURES_IN_A_ROW)?;
    if !(1..=FAILURES_IN_A_ROW).contains(&most) {
        return Err(ConfigError::Invalid {
            name: "MOST_FAILURES",
            expected: "a number from 1 to 100",
        });
    }
    // With mail, a pass is the way past the limit.
    let sends_mail = optional("MAIL_FROM").is_some();
    let pause = (!sends_mail).then_some(PAUSE_WITHOUT_MAIL);
    Ok(SignInBudgets {
        address: parsed("ADDRESS_BUDGET", defaults.address)?.with_in_a_row(most, pause),
        network: parsed("NETWORK_BUDGET", defaults.network)?,
        device: Budget {
            in_a_row: defaults.device.in_a_row,
            ..parsed("DEVICE_BUDGET", defaults.device)?
        },
        uncounted: uncounted_networks()?,
    })
}

/// Reads `MAIL_FROM` (none) and `EXTERNAL_VERIFICATION` (none).
///
/// # Errors
/// [`ConfigError`], if the address is not one of a page.
pub fn verification_policy() -> Result<VerificationPolicy, ConfigError> {
    Ok(VerificationPolicy {
        sends_mail: optional("MAIL_FROM").is_some(),
        external: external_verification()?,
    })
}

/// Reads `UNPROVEN_SIGN_OUTS` (3): how many devices a recognized device signs out in a day
/// without a verification.
///
/// # Errors
/// [`ConfigError`], if it is not a number from 0 to 3.
pub fn unproven_sign_outs() -> Result<u32, ConfigError> {
    let name = "UNPROVEN_SIGN_OUTS";
    let most_unproven = number(name, UNPROVEN_SIGN_OUTS_PER_DAY)?;
    if most_unproven > UNPROVEN_SIGN_OUTS_PER_DAY {
        return Err(ConfigError::Invalid {
            name,
            expected: "a number from 0 to 3",
        });
    }
    Ok(most_unproven)
}

/// Reads `EXTERNAL_VERIFICATION` (none). Call it once in a process, because it leaks the text.
///
/// # Errors
/// [`ConfigError`], if it is not an https address without query and fragment.
pub fn external_verification() -> Result<Option<&'static str>, ConfigError> {
    let name = "EXTERNAL_VERIFICATION";
    let Some(address) = optional(name) else {
        return Ok(None);
    };
    // A page opens it.
    let rest = address.strip_prefix("https://").unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:/_~".contains(&byte);
    if rest.is_empty() || rest.starts_with(['/', ':']) || !rest.bytes().all(is_plain) {
        return Err(ConfigError::Invalid {
            name,
            expected: "an https address without `?` and `#`",
        });
    }
    Ok(Some(address.leak()))
}

/// Reads `SIGN_IN_CODES` (`false`).
///
/// # Errors
/// [`ConfigError`], if it is neither `true` nor `false`.
pub fn sign_in_codes() -> Result<bool, ConfigError> {
    parsed("SIGN_IN_CODES", false)
}

/// Reads `UNCOUNTED_NETWORKS` (none).
///
/// # Errors
/// [`ConfigError`], if a range is malformed.
pub fn uncounted_networks() -> Result<NetworkRanges, ConfigError> {
    parsed("UNCOUNTED_NETWORKS", NetworkRanges::default())
}

/// Reads the name of the product in `PAGE_CONFIG` (`Curfew`).
///
/// # Errors
/// [`ConfigError`], if it is malformed.
pub fn product() -> Result<String, ConfigError> {
    #[derive(Deserialize)]
    struct Page {
        name: Option<String>,
    }
    let malformed = |_| ConfigError::Invalid {
        name: "PAGE_CONFIG",
        expected: "JSON with a `name` of text, or without one",
    };
    let page = optional("PAGE_CONFIG").map(|config| serde_json::from_str::<Page>(&config));
    let page = page.transpose().map_err(malformed)?;
    let name = page.and_then(|page| page.name);
    Ok(name.unwrap_or_else(|| "Curfew".to_owned()))
}

/// Reads a budget, such as `100/1`.
///
/// # Errors
/// [`ConfigError`], if it is malformed.
pub fn budget(name: &'static str, default: Budget) -> Result<Budget, ConfigError> {
    parsed(name, default)
}

/// Reads a variable whose errors say what is wrong with it.
fn parsed<T>(name: &'static str, default: T) -> Result<T, ConfigError>
where
    T: FromStr,
    T::Err: Display,
{
    optional(name).map_or(Ok(default), |text| {
        text.parse().map_err(|error: T::Err| ConfigError::Wrong {
            name,
            fault: error.to_string(),
        })
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
