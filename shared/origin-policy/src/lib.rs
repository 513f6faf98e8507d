//! Where requests may come from: the web origins that may call the API, and the team's
//! own distribution.

mod distribution;

use std::sync::Arc;

use jiff::Timestamp;

pub use distribution::{Distribution, Proof};

/// The allowed web origins, and the team's own distribution, if there is one.
#[derive(Debug, Clone, Default)]
pub struct OriginPolicy {
    origins: Vec<String>,
    distribution: Option<Arc<Distribution>>,
    requires_distribution: bool,
}

impl OriginPolicy {
    /// Takes a comma-separated list of origins (`https://app.example.com`).
    #[must_use]
    pub fn new(origins: Option<&str>) -> Self {
        let origins = origins
            .unwrap_or_default()
            .split(',')
            .map(|origin| origin.trim().to_owned())
            .filter(|origin| !origin.is_empty())
            .collect();
        Self {
            origins,
            ..Self::default()
        }
    }

    /// Adds the team's own distribution. If it is required, requests that don't prove
    /// that they came through it are to be rejected.
    #[must_use]
    pub fn with_distribution(self, distribution: Distribution, is_required: bool) -> Self {
        Self {
            distribution: Some(Arc::new(distribution)),
            requires_distribution: is_required,
            ..self
        }
    }

    /// Returns the policy of a route that callers of IAM use beside the distribution.
    #[must_use]
    pub fn without_distribution(&self) -> Self {
        Self {
            distribution: None,
            requires_distribution: false,
            origins: self.origins.clone(),
        }
    }

    /// Returns whether every request must come through the team's own distribution.
    #[must_use]
    pub fn requires_distribution(&self) -> bool {
        self.requires_distribution
    }

    /// Checks that a browser could send each of the origins.
    ///
    /// # Errors
    /// [`InvalidOrigin`] for the first that never matches.
    pub fn validate(&self) -> Result<(), InvalidOrigin> {
        for origin in &self.origins {
            if let Some(fault) = fault(origin) {
                let origin = origin.clone();
                return Err(InvalidOrigin { origin, fault });
            }
        }
        Ok(())
    }

    /// Returns whether an origin is opaque (RFC 6454, section 4): the one that apps
    /// from a file and sandboxed frames send, no matter who wrote them. It may be listed for
    /// a packaged app, which sends a token, but is never enough for a cookie.
    #[must_use]
    pub fn is_opaque(origin: &str) -> bool {
        ["null", "file://"].contains(&origin)
    }

    /// Returns whether a web origin (RFC 6454) may call. Decided by configuration
    /// alone, never by the Host header, which the caller writes.
    #[must_use]
    pub fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|allowed| allowed == origin)
    }

    /// Returns whether a request proves that it came through the team's own
    /// distribution by what it presents.
    pub async fn prove_distribution(&self, presented: Option<&str>, now: Timestamp) -> Proof {
        match &self.distribution {
            Some(distribution) => distribution.prove(presented, now).await,
            None => Proof::None,
        }
    }
}

/// An allowed origin that no browser sends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{origin}` is not an origin: {fault}")]
pub struct InvalidOrigin {
    origin: String,
    fault: &'static str,
}

/// Returns why an origin is not in the form that browsers send (RFC 6454, section 6.2).
fn fault(origin: &str) -> Option<&'static str> {
    if OriginPolicy::is_opaque(origin) {
        return None;
    }
    if origin.contains('*') {
        return Some("a wildcard is not supported, list every origin");
    }
    let Some((scheme, rest)) = origin.split_once("://") else {
        return Some("it needs a scheme, such as `https://`");
    };
    if rest.contains(['/', '?', '#']) {
        return Some("it must end after its host or port, without a slash");
    }
    let is_sent = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-._:[]".contains(&b);
    if rest.is_empty() || !origin.replacen("://", "", 1).bytes().all(is_sent) {
        return Some("it must have a host, in lower case and in ASCII (Punycode)");
    }
    let default_port = [("https", ":443"), ("http", ":80")];
    if default_port
        .iter()
        .any(|(of, port)| scheme == *of && rest.ends_with(port))
    {
        return Some("browsers leave out the default port");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_that_no_browser_sends_is_named_with_its_fault() {
        for (origin, fault) in [
            ("https://app.example.com/", "without a slash"),
            ("https://app.example.com/films", "without a slash"),
            ("https://app.example.com?x", "without a slash"),
            ("*", "a wildcard"),
            ("https://*.example.com", "a wildcard"),
            ("app.example.com", "needs a scheme"),
            ("localhost:5173", "needs a scheme"),
            ("https://", "must have a host"),
            ("https://App.example.com", "lower case"),
            ("HTTPS://app.example.com", "lower case"),
            ("https://b\u{fc}cher.example", "Punycode"),
            ("https://lea@app.example.com", "must have a host"),
            ("\"https://app.example.com\"", "lower case"),
            ("https://app.example.com:443", "default port"),
            ("http://app.example.com:80", "default port"),
        ] {
            let listed = format!("https://good.example, {origin}");
            let error = OriginPolicy::new(Some(&listed)).validate();
            let error = error.unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{origin}` ")), "{error}");
            assert!(error.contains(fault), "{error}");
        }
        let good = "https://app.example.com,http://localhost:5173 , http://[::1]:3000,\
            capacitor://localhost,https://app.example.com:80,file://,null,";
        assert_eq!(OriginPolicy::new(Some(good)).validate(), Ok(()));
    }
}
