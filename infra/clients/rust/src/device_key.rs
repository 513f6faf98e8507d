//! The device key, which a device makes before its first sign-in to an account.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::Secret;
use crate::error::Error;

const PREFIX: &str = "cfd_";
const CHARS: usize = 61;

/// Makes a device key: the time in milliseconds and 32 random bytes.
///
/// # Errors
/// When the system has no randomness.
pub(crate) fn make() -> Result<Secret, Error> {
    let mut bytes = [0; 32];
    #[expect(
        clippy::disallowed_methods,
        reason = "a client has nothing to take it from"
    )]
    getrandom::fill(&mut bytes).map_err(|error| Error::new(format!("no randomness: {error}")))?;
    #[expect(
        clippy::disallowed_methods,
        reason = "a client has nothing to take it from"
    )]
    let now = SystemTime::now();
    let millis = now
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let random = URL_SAFE_NO_PAD.encode(bytes);
    Ok(Secret::new(format!("{PREFIX}{millis:013}_{random}")))
}

/// Returns whether a stored text looks like a key. The API refuses a damaged one.
pub(crate) fn is_well_formed(key: &str) -> bool {
    let is_of_key = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    key.starts_with(PREFIX) && key.len() == CHARS && key.bytes().all(is_of_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_another_one_in_the_form_of_the_contract() {
        let (one, other) = (make().unwrap(), make().unwrap());
        assert_ne!(one, other);
        assert!(is_well_formed(one.reveal()));
        let damaged = &one.reveal()[..CHARS - 1];
        assert!(!is_well_formed(damaged));
    }
}
