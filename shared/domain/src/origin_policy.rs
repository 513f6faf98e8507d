//! The web origins that may call the API, and the proof that a request came through
//! the team's own distribution.

use std::fmt;

use subtle::ConstantTimeEq as _;

/// The allowed web origins, and the secret that the team's own distribution sends.
#[derive(Clone, Default)]
pub struct OriginPolicy {
    origins: Vec<String>,
    distribution_secret: Option<String>,
}

impl OriginPolicy {
    /// Takes a comma-separated list of origins (`https://app.example.com`) and
    /// the secret that the team's own distribution adds to each request.
    #[must_use]
    pub fn new(origins: Option<&str>, distribution_secret: Option<String>) -> Self {
        let origins = origins
            .unwrap_or_default()
            .split(',')
            .map(|origin| origin.trim().to_owned())
            .filter(|origin| !origin.is_empty())
            .collect();
        Self {
            origins,
            distribution_secret,
        }
    }

    /// Returns whether a web origin (RFC 6454) may call. Decided by configuration
    /// alone, never by the Host header, which the caller writes.
    #[must_use]
    pub fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|allowed| allowed == origin)
    }

    /// Returns whether `presented` is the secret of the team's own distribution.
    /// Compares in constant time.
    #[must_use]
    pub fn is_distribution(&self, presented: &str) -> bool {
        self.distribution_secret
            .as_ref()
            .is_some_and(|secret| secret.as_bytes().ct_eq(presented.as_bytes()).into())
    }
}

// Omits the secret.
impl fmt::Debug for OriginPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginPolicy")
            .field("origins", &self.origins)
            .finish_non_exhaustive()
    }
}
