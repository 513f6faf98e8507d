//! The languages of the mails.

use serde::{Deserialize, Serialize};

/// A language that mails are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English, also for who asks for no other of these.
    #[default]
    En,
    /// Spanish.
    Es,
    /// German.
    De,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 3] = [Self::En, Self::Es, Self::De];

    /// Returns its tag (BCP 47).
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Es => "es",
            Self::De => "de",
        }
    }

    /// Returns the language of a tag such as `de-AT`; none if mails are not written in it.
    #[must_use]
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next().unwrap_or_default().trim();
        let is_it = |language: &Self| primary.eq_ignore_ascii_case(language.tag());
        Self::ALL.into_iter().find(is_it)
    }

    /// Returns the language that the header `Accept-Language` prefers (RFC 9110, section
    /// 12.5.4): of those that mails are written in, the first with the highest weight.
    #[must_use]
    pub fn preferred(accept_language: &str) -> Self {
        let mut best = (Self::default(), 0.0);
        for range in accept_language.split(',') {
            let (tag, parameter) = range.split_once(';').unwrap_or((range, ""));
            let weight = match parameter.trim().strip_prefix("q=") {
                Some(weight) => weight.parse().unwrap_or(0.0),
                None => 1.0,
            };
            if let Some(language) = Self::of_tag(tag)
                && weight > best.1
            {
                best = (language, weight);
            }
        }
        best.0
    }
}

#[cfg(test)]
mod tests {
    use super::Language;

    #[test]
    fn the_preferred_language_is_the_known_one_with_the_highest_weight() {
        for (header, language) in [
            ("de-AT,de;q=0.9,en;q=0.8", Language::De),
            ("fr-FR, es;q=0.7, en;q=0.8", Language::En),
            ("fr, ES-mx;q=0.4", Language::Es),
            ("en;q=0.1, de ; q=0.5", Language::De),
            ("de;q=nonsense, es;q=0.1", Language::Es),
            ("de;q=0", Language::En),
            ("fr", Language::En),
            ("", Language::En),
        ] {
            assert_eq!(Language::preferred(header), language, "{header}");
        }
    }
}
