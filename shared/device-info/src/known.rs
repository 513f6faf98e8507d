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

/// Returns whether a text looks like the name of a place: letters and a few signs, without
/// what could make it an address, a number to call, or text that runs the other way.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    let is_of_a_name = |c: char| c.is_alphabetic() || " '’-(),".contains(c);
    text.chars().count() <= 64 && text.chars().all(is_of_a_name)
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
        for name in [
            "São Paulo",
            "Val-d'Or",
            "القاهرة",
            "東京",
            "Frankfurt (Oder)",
        ] {
            assert!(is_plain(name), "{name}");
        }
        let long = "Llanfair".repeat(9);
        let texts = [
            "evil.example",
            "a\nb",
            "Call 555",
            "evil。example",
            "\u{202e}otroP",
        ];
        for bait in texts.into_iter().chain([&*long]) {
            assert!(!is_plain(bait), "{bait}");
        }
    }
}
