//! What the edge is told by configuration.

use std::fmt;

use subtle::ConstantTimeEq as _;

/// Which web origins may call, and how the team's own distribution proves itself.
#[derive(Clone, Default)]
pub struct OriginPolicy {
    origins: Vec<String>,
    distribution_secret: Option<String>,
}

impl OriginPolicy {
    /// Takes a comma-separated list of origins (`https://app.example.com`) and
    /// the secret that the team's own distribution sends along.
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

    /// Whether a web origin (RFC 6454) may call. By configuration alone, never by
    /// the Host header.
    #[must_use]
    pub fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|allowed| allowed == origin)
    }

    /// Whether the request came through the team's own distribution.
    pub(crate) fn is_distribution(&self, presented: &str) -> bool {
        self.distribution_secret
            .as_ref()
            .is_some_and(|secret| secret.as_bytes().ct_eq(presented.as_bytes()).into())
    }
}

impl fmt::Debug for OriginPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginPolicy")
            .field("origins", &self.origins)
            .finish_non_exhaustive()
    }
}
