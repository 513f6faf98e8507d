//! Client hints: what a Chromium browser says of itself in headers made for it
//! (W3C User-Agent Client Hints), each a structured field (RFC 9651, which
//! replaced RFC 8941). A header that isn't one counts as not sent.

use domain::DeviceType;
use sfv::{BareItem, Item, List, ListEntry, Parser};

use crate::ReportedInfo;
use crate::text::clean;

/// The values of the client hint headers, as they came.
///
/// Browsers send the first three of their own accord, and only over HTTPS; the
/// other two only after an answer has asked for them with `Accept-CH`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientHints<'a> {
    /// `Sec-CH-UA`: the brands of the browser.
    pub ua: Option<&'a str>,
    /// `Sec-CH-UA-Mobile`: whether it prefers pages made for phones.
    pub mobile: Option<&'a str>,
    /// `Sec-CH-UA-Platform`: the operating system.
    pub platform: Option<&'a str>,
    /// `Sec-CH-UA-Platform-Version`: the operating system's version.
    pub platform_version: Option<&'a str>,
    /// `Sec-CH-UA-Model`: the device's model, empty on computers.
    pub model: Option<&'a str>,
}

impl<'a> ClientHints<'a> {
    /// Takes the hints out of a request's headers, asked for by their names in
    /// lower case.
    #[must_use]
    pub fn from_headers(header: impl Fn(&str) -> Option<&'a str>) -> Self {
        Self {
            ua: header("sec-ch-ua"),
            mobile: header("sec-ch-ua-mobile"),
            platform: header("sec-ch-ua-platform"),
            platform_version: header("sec-ch-ua-platform-version"),
            model: header("sec-ch-ua-model"),
        }
    }
}

/// What the brands say of the browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Brand {
    /// A browser of this name.
    Browser(String),
    /// Chromium, and no name besides: the browser itself, or one that hides.
    Chromium,
    /// An app that shows web pages.
    WebView,
}

/// What the hints say, once read.
#[derive(Debug, Default)]
pub(crate) struct Hinted {
    pub(crate) brand: Option<Brand>,
    /// The platform as it was told, when it is one that Chromium knows.
    pub(crate) platform: Option<String>,
    /// The operating system, with the version where that is told truly.
    pub(crate) os: Option<String>,
    pub(crate) device_type: Option<DeviceType>,
    pub(crate) model: Option<String>,
}

/// Longer headers than this come from no browser, and are not read.
const MAX_HEADER_BYTES: usize = 1024;

/// The platforms that Chromium runs on, by the name in the hint and ours.
const PLATFORMS: &[(&str, &str)] = &[
    ("Windows", "Windows"),
    ("macOS", "macOS"),
    ("Linux", "Linux"),
    ("Android", "Android"),
    ("Chrome OS", "ChromeOS"),
    ("Chromium OS", "ChromeOS"),
    ("iOS", "iOS"),
];

/// Brands whose name in the hint isn't the one that people know.
const BRANDS: &[(&str, &str)] = &[
    ("Microsoft Edge", "Edge"),
    ("YaBrowser", "Yandex Browser"),
    ("Yowser", "Yandex Browser"),
    ("HeadlessChrome", "Headless Chrome"),
    ("Opera Mobile", "Opera"),
];

pub(crate) fn read(hints: &ClientHints<'_>) -> Hinted {
    let told = string(hints.platform);
    let platform = told.as_deref().and_then(|told| {
        PLATFORMS
            .iter()
            .find_map(|(hinted, ours)| told.eq_ignore_ascii_case(hinted).then_some(*ours))
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

/// The platform with its version where people know it by that. Windows counts
/// on after 10: 1 to 10 mean Windows 10, 13 and more mean Windows 11.
fn with_version(platform: &str, version: Option<&str>) -> String {
    let major = version.and_then(|version| version.split('.').next()?.parse::<u16>().ok());
    match (platform, major) {
        ("Windows", Some(13..)) => "Windows 11".to_owned(),
        ("Windows", Some(1..=10)) => "Windows 10".to_owned(),
        ("macOS" | "Android" | "iOS", Some(major @ 1..)) => format!("{platform} {major}"),
        _ => platform.to_owned(),
    }
}

/// The browser among the brands. Chromium shuffles them and adds a made-up one,
/// so that nobody relies on their order or number; a browser made from Chrome
/// may name Chrome too.
fn brand(header: &str) -> Option<Brand> {
    if header.len() > MAX_HEADER_BYTES {
        return None;
    }
    let list: List = Parser::new(header).parse().ok()?;
    let (mut chrome, mut chromium) = (false, false);
    for entry in &list {
        let ListEntry::Item(Item {
            bare_item: BareItem::String(told),
            ..
        }) = entry
        else {
            continue;
        };
        match told.as_str() {
            "Chromium" => chromium = true,
            "Google Chrome" => chrome = true,
            "Android WebView" | "Microsoft Edge WebView2" => return Some(Brand::WebView),
            told if is_made_up(told) => {}
            told => {
                let known = BRANDS
                    .iter()
                    .find_map(|(hinted, ours)| (told == *hinted).then_some(*ours));
                if let Some(name) = clean(known.unwrap_or(told), ReportedInfo::MAX_CHARS) {
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

/// Whether it is Chromium's made-up brand, "Not A Brand" with any punctuation.
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
