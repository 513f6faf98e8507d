//! Client hints: the headers in which a Chromium browser describes itself (W3C
//! User-Agent Client Hints). Each is a structured field (RFC 9651, which replaced
//! RFC 8941). A malformed header counts as not sent.

use domain::DeviceType;
use sfv::{BareItem, Item, List, ListEntry, Parser};

use crate::ReportedInfo;
use crate::text::clean;

/// The values of the client hint headers, as received.
///
/// Browsers send the first three by default, and only over HTTPS. They send the other
/// two after a response has requested them with `Accept-CH`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientHints<'a> {
    /// `Sec-CH-UA`: the brands of the browser.
    pub ua: Option<&'a str>,
    /// `Sec-CH-UA-Mobile`: whether the browser prefers pages for phones.
    pub mobile: Option<&'a str>,
    /// `Sec-CH-UA-Platform`: the operating system.
    pub platform: Option<&'a str>,
    /// `Sec-CH-UA-Platform-Version`: the version of the operating system.
    pub platform_version: Option<&'a str>,
    /// `Sec-CH-UA-Model`: the model, empty on computers.
    pub model: Option<&'a str>,
    /// Not a hint of the browser: the type that the team's own distribution reports
    /// (CloudFront's `CloudFront-Is-*-Viewer`), if the request proves that it came
    /// through it.
    pub viewer_type: Option<DeviceType>,
}

impl<'a> ClientHints<'a> {
    /// Reads the hints from a request's headers. `header` is called with lower-case
    /// names.
    #[must_use]
    pub fn from_headers(header: impl Fn(&str) -> Option<&'a str>) -> Self {
        Self {
            ua: header("sec-ch-ua"),
            mobile: header("sec-ch-ua-mobile"),
            platform: header("sec-ch-ua-platform"),
            platform_version: header("sec-ch-ua-platform-version"),
            model: header("sec-ch-ua-model"),
            viewer_type: None,
        }
    }
}

/// The browser, as its brands describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Brand {
    /// A browser with this name.
    Browser(String),
    /// Chromium without another name: the browser itself, or one that hides its name.
    Chromium,
    /// An app that shows web pages.
    WebView,
}

/// The parsed hints.
#[derive(Debug, Default)]
pub(crate) struct Hinted {
    pub(crate) brand: Option<Brand>,
    /// The platform, if it is one that Chromium runs on.
    pub(crate) platform: Option<String>,
    /// The operating system, with its version where the hint has the real one.
    pub(crate) os: Option<String>,
    pub(crate) device_type: Option<DeviceType>,
    pub(crate) model: Option<String>,
}

/// The longest header that is parsed. No browser sends a longer one.
const MAX_HEADER_BYTES: usize = 1024;

/// The platforms that Chromium runs on: the name in the hint, and the one to show.
const PLATFORMS: &[(&str, &str)] = &[
    ("Windows", "Windows"),
    ("macOS", "macOS"),
    ("Linux", "Linux"),
    ("Android", "Android"),
    ("Chrome OS", "ChromeOS"),
    ("Chromium OS", "ChromeOS"),
    ("iOS", "iOS"),
];

/// Brands whose name in the hint is not the one that people know.
const BRANDS: &[(&str, &str)] = &[
    ("Microsoft Edge", "Edge"),
    ("YaBrowser", "Yandex Browser"),
    ("Yowser", "Yandex Browser"),
    ("HeadlessChrome", "Headless Chrome"),
    ("Opera Mobile", "Opera"),
];

pub(crate) fn read(hints: &ClientHints<'_>) -> Hinted {
    let hinted = string(hints.platform);
    let platform = hinted.as_deref().and_then(|hinted| {
        PLATFORMS
            .iter()
            .find_map(|(name, shown)| hinted.eq_ignore_ascii_case(name).then_some(*shown))
    });
    let mobile = hints
        .mobile
        .and_then(item)
        .and_then(|value| value.as_boolean());
    Hinted {
        brand: hints.ua.and_then(brand),
        platform: platform.map(str::to_owned),
        os: platform
            .map(|platform| with_version(platform, string(hints.platform_version).as_deref())),
        device_type: device_type(platform, mobile),
        model: string(hints.model),
    }
}

fn device_type(platform: Option<&str>, mobile: Option<bool>) -> Option<DeviceType> {
    match (platform, mobile) {
        (_, Some(true)) => Some(DeviceType::Phone),
        (Some("Android" | "iOS"), Some(false)) => Some(DeviceType::Tablet),
        (Some("Android" | "iOS") | None, _) => None,
        (Some(_), _) => Some(DeviceType::Computer),
    }
}

/// Returns the platform, with its version where people know it by that. The hint's
/// major versions of Windows are not the product's: 1 to 10 mean Windows 10, and 13
/// and higher mean Windows 11 (Microsoft, "Detect Windows 11 using client hints").
fn with_version(platform: &str, version: Option<&str>) -> String {
    let major = version.and_then(|version| version.split('.').next()?.parse::<u16>().ok());
    match (platform, major) {
        ("Windows", Some(13..)) => "Windows 11".to_owned(),
        ("Windows", Some(1..=10)) => "Windows 10".to_owned(),
        ("macOS" | "Android" | "iOS", Some(major @ 1..)) => format!("{platform} {major}"),
        _ => platform.to_owned(),
    }
}

/// Returns the browser among the brands. Chromium shuffles them and adds a made-up
/// one, so that no server relies on their order or number. A browser based on Chrome
/// may list Chrome too, so any other name takes precedence.
fn brand(header: &str) -> Option<Brand> {
    if header.len() > MAX_HEADER_BYTES {
        return None;
    }
    let list: List = Parser::new(header).parse().ok()?;
    let (mut chrome, mut chromium) = (false, false);
    for entry in &list {
        let ListEntry::Item(Item {
            bare_item: BareItem::String(name),
            ..
        }) = entry
        else {
            continue;
        };
        match name.as_str() {
            "Chromium" => chromium = true,
            "Google Chrome" => chrome = true,
            "Android WebView" | "Microsoft Edge WebView2" => return Some(Brand::WebView),
            name if is_made_up(name) => {}
            name => {
                let known = BRANDS
                    .iter()
                    .find_map(|(hinted, shown)| (name == *hinted).then_some(*shown));
                if let Some(name) = clean(known.unwrap_or(name), ReportedInfo::MAX_CHARS) {
                    return Some(Brand::Browser(name));
                }
            }
        }
    }
    match (chrome, chromium) {
        (true, _) => Some(Brand::Browser("Chrome".to_owned())),
        (false, true) => Some(Brand::Chromium),
        (false, false) => None,
    }
}

/// Returns whether the brand is Chromium's made-up one: "Not A Brand" with any
/// punctuation.
fn is_made_up(brand: &str) -> bool {
    brand
        .bytes()
        .filter(u8::is_ascii_alphabetic)
        .map(|letter| letter.to_ascii_lowercase())
        .eq(*b"notabrand")
}

fn item(header: &str) -> Option<BareItem> {
    if header.len() > MAX_HEADER_BYTES {
        return None;
    }
    let item: Item = Parser::new(header).parse().ok()?;
    Some(item.bare_item)
}

fn string(header: Option<&str>) -> Option<String> {
    clean(
        item(header?)?.as_string()?.as_str(),
        ReportedInfo::MAX_CHARS,
    )
}
