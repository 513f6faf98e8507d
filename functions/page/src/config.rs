//! What a team may change of the page without a fork.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The configuration of the page: the template's `PageConfig`, and what the page has to
/// know of the other parameters.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The product's name.
    #[serde(default = "default_name")]
    pub name: String,
    /// The address of an image, `https:` or `data:`.
    #[serde(default)]
    pub logo: Option<String>,
    /// A colour, `#rrggbb`. The page makes it lighter or darker where it could not be
    /// read.
    #[serde(default)]
    pub accent: Option<String>,
    /// The radius of corners, in pixels.
    #[serde(default = "default_radius")]
    pub radius: u8,
    /// The links at the foot of the page.
    #[serde(default)]
    pub links: Vec<Link>,
    /// Texts that replace those of the page, by language and key.
    #[serde(default)]
    pub texts: BTreeMap<String, BTreeMap<String, Value>>,
    #[serde(skip_deserializing)]
    password_min_length: usize,
    #[serde(skip_deserializing)]
    session_idle_days: i64,
}

/// A link at the foot of the page.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The text.
    pub text: String,
    /// The address, `https:` or `mailto:`.
    pub url: String,
}

/// The fault of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFault {
    /// It is not JSON, or a member is missing, unknown or of a wrong type.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// A member has a value that the page can't use.
    #[error("`{member}` must be {expected}")]
    Member {
        /// The member.
        member: &'static str,
        /// The values that it may have.
        expected: &'static str,
    },
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`ConfigFault`], which names the member.
    pub fn parse(
        json: &str,
        password_min_length: usize,
        session_idle_days: i64,
    ) -> Result<Self, ConfigFault> {
        let config: Self = serde_json::from_str(json)?;
        config.check()?;
        Ok(Self {
            password_min_length,
            session_idle_days,
            ..config
        })
    }

    fn check(&self) -> Result<(), ConfigFault> {
        let is_link = |link: &Link| {
            origin(&link.url).is_some() && link.url.starts_with("https:")
                || link.url.starts_with("mailto:")
        };
        let fault = |member, expected| Err(ConfigFault::Member { member, expected });
        if !(1..=60).contains(&self.name.trim().chars().count()) {
            return fault("name", "a text of 1 to 60 characters");
        }
        if self
            .logo
            .as_ref()
            .is_some_and(|it| image_source(it).is_none())
        {
            return fault("logo", "an `https:` or `data:image/` address");
        }
        if self.accent.as_ref().is_some_and(|it| !is_colour(it)) {
            return fault("accent", "a colour such as `#2456d6`");
        }
        if self.radius > 32 {
            return fault("radius", "a number of pixels from 0 to 32");
        }
        if !self.texts.values().all(|texts| texts.values().all(is_text)) {
            return fault("texts", "texts, or objects of texts with `other`");
        }
        if !self.links.iter().all(is_link) {
            return fault("links", "`https:` or `mailto:` addresses");
        }
        Ok(())
    }

    /// Returns where images may come from, as sources of the Content-Security-Policy.
    pub(crate) fn image_sources(&self) -> String {
        let logo = self.logo.as_deref().and_then(image_source);
        logo.map_or_else(|| "'self'".to_owned(), |logo| format!("'self' {logo}"))
    }
}

/// Returns whether the page can show a text: one form, or one for each plural category.
fn is_text(text: &Value) -> bool {
    let forms = text.as_object();
    let has_forms = |forms: &Map<String, Value>| {
        forms.contains_key("other") && forms.values().all(Value::is_string)
    };
    text.is_string() || forms.is_some_and(has_forms)
}

fn is_colour(text: &str) -> bool {
    let digits = text.strip_prefix('#').unwrap_or_default();
    digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns the source of an image, or none if the page may not show it.
fn image_source(address: &str) -> Option<&str> {
    if address.starts_with("data:image/") {
        return Some("data:");
    }
    origin(address).filter(|_| address.starts_with("https:"))
}

/// Returns scheme, host and port of an address. Other characters than those of a host
/// could add to a Content-Security-Policy.
pub(crate) fn origin(address: &str) -> Option<&str> {
    let (scheme, rest) = address.split_once("://")?;
    let host = rest.split('/').next().unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    let is_origin = !host.is_empty()
        && host.bytes().all(is_plain)
        && scheme.bytes().all(|byte| byte.is_ascii_lowercase());
    is_origin.then(|| &address[..scheme.len() + 3 + host.len()])
}

fn default_name() -> String {
    "Curfew".to_owned()
}

fn default_radius() -> u8 {
    12
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Config, ConfigFault> {
        Config::parse(json, 15, 30)
    }

    #[test]
    fn an_empty_configuration_has_the_defaults() {
        let config = serde_json::to_value(parse("{}").unwrap()).unwrap();

        assert_eq!(config["name"], "Curfew");
        assert_eq!(config["password_min_length"], 15);
        assert_eq!(config["session_idle_days"], 30);
    }

    #[test]
    fn a_wrong_member_is_named() {
        for (json, member) in [
            (r#"{"name": " "}"#, "name"),
            (r#"{"logo": "http://example.com/a.png"}"#, "logo"),
            (r#"{"logo": "javascript:alert(1)"}"#, "logo"),
            (r#"{"logo": "https://a.example;script-src *"}"#, "logo"),
            (r#"{"logo": "data:text/html,a"}"#, "logo"),
            (r#"{"accent": "red"}"#, "accent"),
            (r##"{"accent": "#12345g"}"##, "accent"),
            (r#"{"radius": 33}"#, "radius"),
            (
                r#"{"links": [{"text": "a", "url": "javascript:a"}]}"#,
                "links",
            ),
            (r#"{"texts": {"en": {"title": 3}}}"#, "texts"),
            (r#"{"texts": {"en": {"title": {"one": "a"}}}}"#, "texts"),
            (r#"{"link": []}"#, "link"),
            (r#"{"api": "https://evil.example"}"#, "api"),
            (r#"{"password_min_length": 1}"#, "password_min_length"),
        ] {
            let fault = parse(json).unwrap_err().to_string();

            assert!(fault.contains(&format!("`{member}`")), "{json}: {fault}");
        }
    }

    #[test]
    fn images_come_from_the_page_and_the_logo_alone() {
        let source = |json| parse(json).unwrap().image_sources();

        assert_eq!(source("{}"), "'self'");
        let remote = r#"{"logo": "https://img.example:8443/a;b.png?x"}"#;
        assert_eq!(source(remote), "'self' https://img.example:8443");
        let inline = r#"{"logo": "data:image/png;base64,AAAA"}"#;
        assert_eq!(source(inline), "'self' data:");
    }
}
