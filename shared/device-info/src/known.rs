//! What a mail may show of a device: only names of ours. Apps and browsers report texts of
//! their own, and a mail that repeats them could be made to say anything.

use crate::name::without_version;
use crate::user_agent::BROWSERS;

/// The operating systems that [`crate::describe`] names.
const SYSTEMS: [&str; 22] = [
    "Android",
    "Android TV",
    "BSD",
    "Bada",
    "BlackBerry",
    "ChromeOS",
    "Fire OS",
    "Horizon OS",
    "iOS",
    "iPadOS",
    "KaiOS",
    "Linux",
    "macOS",
    "NetCast",
    "SteamOS",
    "Symbian",
    "Tizen",
    "tvOS",
    "watchOS",
    "webOS",
    "Windows",
    "Windows Phone",
];

/// Returns the name of an operating system without its version, if it is a known one.
#[must_use]
pub fn os(os: &str) -> Option<&'static str> {
    let name = without_version(os);
    SYSTEMS.into_iter().find(|known| *known == name)
}

/// Returns the name of a browser, if it is a known one.
#[must_use]
pub fn browser(browser: &str) -> Option<&'static str> {
    let names = BROWSERS.lines().filter_map(|line| line.rsplit('|').next());
    names
        .filter(|known| !known.is_empty())
        .find(|known| *known == browser)
}

/// Returns whether a text can be no address: it has none of `.`, `/`, `:` and `@`, and no
/// control character.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    !text.contains(['.', '/', ':', '@']) && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_names_are_shown() {
        for (given, shown) in [
            ("Windows 11", Some("Windows")),
            ("iOS 17.2", Some("iOS")),
            ("Android", Some("Android")),
            ("Call +1 555 0100 now", None),
            ("evil.example 1", None),
            ("Windows evil.example", None),
            ("", None),
        ] {
            assert_eq!(os(given), shown, "{given}");
        }
        assert_eq!(browser("Samsung Internet"), Some("Samsung Internet"));
        assert_eq!(browser("evil.example"), None);
        assert_eq!(browser(""), None);
        assert!(is_plain("São Paulo") && !is_plain("evil.example") && !is_plain("a\nb"));
    }
}
