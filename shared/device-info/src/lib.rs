//! Describes a device from what it reports: type, operating system, browser or app,
//! model, and a name that its owner recognizes.
//!
//! Pure: no clock, no network, no table. Nothing here is proven: a client can report
//! anything, so no decision may depend on it.
//!
//! There are three sources, the better one first: the details that the app reports in
//! the request ([`ReportedInfo`]), the browser's [`ClientHints`], and the User-Agent.
//! One exception: a User-Agent that names a television or a console is preferred to a
//! hint that is true but less specific (webOS is a Linux, an Xbox runs Windows).
//!
//! # Versions
//!
//! An operating system has a version only where the device or a hint reports one. The
//! one in a User-Agent is frozen: every Mac is on 10.15.7, every Android on 10, and
//! Windows 11 is NT 10.0. For the same reason an iPad whose Safari requests desktop
//! pages looks like a Mac; only its app can report that it is an iPad.
//!
//! # The parser
//!
//! User-Agents are parsed by `woothee` (Apache-2.0): rules in code, with about fifty
//! small regular expressions, each compiled at its first use and none at the start.
//! Measured on one core at 2.3 GHz, release profile: 0.5 to 1 ms and 1 MB for the
//! first User-Agent of a process, 4 µs for a later one, 15 µs for 8 KB of nonsense,
//! nothing where the other sources have every detail; 1.6 MB of binary, nearly all of
//! it the `regex` crate.
//!
//! Its last release is from October 2021. Browsers have frozen the forms that its
//! rules match, so the rules age slowly, and newer browsers send their names in hints.
//! It does not know televisions and newer consoles, which a table here adds. The
//! tests have User-Agents of each kind: add a new one there first.
//!
//! `ua-parser` is better maintained and knows far more models. It was measured and
//! rejected: it compiles all of its 1,196 expressions before the first result, which
//! takes 190 ms and 25 MB in a function that starts often, adds 1.8 MB of binary, and
//! ships without its rules, which would have to be copied here. `uaparser` and
//! `user-agent-parser` compile the same rules in the same way; `rama-ua` depends on a
//! proxy; `device-detector` is a stub, under the LGPL.
//!
//! Client hints are parsed by `sfv` (MIT or Apache-2.0), which Firefox uses too.

mod hints;
mod name;
mod reported;
mod text;
mod user_agent;

#[cfg(test)]
mod tests;

use std::cell::OnceCell;

pub use domain::{DeviceInfo, DeviceType};
pub use hints::ClientHints;
use hints::{Brand, Hinted};
pub use name::{MAX_NAME_CHARS, UNKNOWN};
pub use reported::{InfoProblem, InvalidInfo, ReportedInfo};
use user_agent::{Parsed, Sign};

/// The number of code points that are read of a User-Agent. The part that identifies
/// a device is at the front, and the parser's time grows with the length.
const MAX_USER_AGENT_CHARS: usize = 1024;

/// Describes a device. Never fails: an unreadable source counts as not sent.
///
/// Every text in the result is safe to show: no control characters, nothing that
/// reorders or hides the text around it, and a bounded length. The name is the
/// owner's own, or else derived ("Chrome on Linux"). The browser and the app have no
/// version.
#[must_use]
pub fn describe(
    reported: &ReportedInfo,
    user_agent: Option<&str>,
    hints: &ClientHints<'_>,
) -> DeviceInfo {
    let sources = Sources {
        reported: reported.cleaned(),
        hinted: hints::read(hints),
        user_agent: user_agent
            .and_then(|user_agent| text::clean(user_agent, MAX_USER_AGENT_CHARS))
            .unwrap_or_default(),
        parsed: OnceCell::new(),
    };
    let sign = sources.sign();
    let device_type = sources.device_type(sign);
    let mut info = DeviceInfo {
        device_type,
        name: String::new(),
        os: sources.os(sign),
        browser: sources.browser(device_type),
        app: sources.app(),
        model: sources.model(sign, device_type),
    };
    let product = sources.spoken_name(sign, info.model.as_deref());
    info.name = name::name(sources.reported.name, &info, product.as_deref());
    info
}

/// The sources of a description. Texts are cleaned.
struct Sources {
    reported: ReportedInfo,
    hinted: Hinted,
    user_agent: String,
    parsed: OnceCell<Parsed>,
}

impl Sources {
    /// Returns the parsed User-Agent. It is parsed at the first call, as most requests
    /// need none: apps report every detail, and Chromium sends hints.
    fn parsed(&self) -> &Parsed {
        self.parsed
            .get_or_init(|| user_agent::parse(&self.user_agent))
    }

    /// Returns the sign in the reported details, else in the hinted model, else in the
    /// User-Agent; unless a better source contradicts it.
    fn sign(&self) -> Option<&'static Sign> {
        let Self {
            reported, hinted, ..
        } = self;
        let words = format!(
            "; {}; {}; {}",
            reported.model.as_deref().unwrap_or_default(),
            reported.os.as_deref().unwrap_or_default(),
            reported.device_type.map_or("", DeviceType::as_str),
        );
        let has_reported_type = |sign: &&Sign| {
            reported
                .device_type
                .is_none_or(|reported| reported == sign.device_type)
        };
        let has_hinted_platform = |sign: &&Sign| {
            hinted
                .platform
                .as_deref()
                .is_none_or(|platform| sign.runs_on(platform))
        };
        Sign::find(&words)
            .filter(has_reported_type)
            .or_else(|| {
                Sign::find(&format!("; {}", hinted.model.as_deref()?)).filter(has_reported_type)
            })
            .or_else(|| {
                Sign::find(&self.user_agent)
                    .filter(has_reported_type)
                    .filter(has_hinted_platform)
            })
    }

    fn device_type(&self, sign: Option<&Sign>) -> DeviceType {
        self.reported
            .device_type
            .or_else(|| Some(sign?.device_type))
            .or(self.hinted.device_type)
            .or_else(|| type_of_os(self.reported.os.as_deref()?))
            .or_else(|| self.parsed().device_type)
            .unwrap_or_default()
    }

    fn os(&self, sign: Option<&Sign>) -> Option<String> {
        self.reported.os.clone().or_else(|| match sign {
            Some(sign) => sign.os.map(str::to_owned),
            None => self
                .hinted
                .os
                .clone()
                .or_else(|| self.parsed().os.map(str::to_owned)),
        })
    }

    /// Returns the browser that the hints name, else the parser. The web view of an
    /// app is not a browser.
    fn browser(&self, device_type: DeviceType) -> Option<String> {
        let browser = match &self.hinted.brand {
            Some(Brand::Browser(name)) => Some(name.clone()),
            Some(Brand::WebView) => None,
            Some(Brand::Chromium) => match self.parsed_browser() {
                Some("Chrome") | None => Some("Chromium".to_owned()),
                browser => browser.map(str::to_owned),
            },
            None => self.parsed_browser().map(str::to_owned),
        }?;
        // Televisions and consoles show their apps with a browser's engine, whose name
        // means nothing to the owner.
        let is_engine = name::is_tv_or_console(device_type)
            && matches!(browser.as_str(), "Chrome" | "Chromium" | "Safari");
        (!is_engine).then_some(browser)
    }

    /// Returns the browser that the parser finds. Only browsers begin like these, so
    /// other User-Agents are not parsed for it.
    fn parsed_browser(&self) -> Option<&'static str> {
        let is_browser =
            self.user_agent.starts_with("Mozilla/") || self.user_agent.starts_with("Opera/");
        is_browser.then(|| self.parsed().browser).flatten()
    }

    fn app(&self) -> Option<String> {
        self.reported
            .app
            .clone()
            .or_else(|| text::clean(&user_agent::app(&self.user_agent)?, ReportedInfo::MAX_CHARS))
    }

    fn model(&self, sign: Option<&Sign>, device_type: DeviceType) -> Option<String> {
        self.reported
            .model
            .clone()
            .or_else(|| self.hinted.model.clone())
            .or_else(|| {
                text::clean(
                    user_agent::android_model(&self.user_agent)?,
                    ReportedInfo::MAX_CHARS,
                )
            })
            .or_else(|| Some(sign?.product?.to_owned()))
            .or_else(|| {
                name::is_tv_or_console(device_type).then(|| self.parsed().product.clone())?
            })
    }

    /// Returns what people call the device: the model, if it reads as a name and not
    /// as a code, or the product.
    fn spoken_name(&self, sign: Option<&Sign>, model: Option<&str>) -> Option<String> {
        let is_reported = self.reported.model.is_some();
        let named = model.filter(|model| name::is_name(model));
        let product = sign.and_then(|sign| sign.product);
        // A reported model is more specific than the product of a sign; any other
        // model is less certain.
        if is_reported {
            named.or(product)
        } else {
            product.or(named)
        }
        .map(str::to_owned)
    }
}

/// Returns the type that a reported operating system implies.
fn type_of_os(os: &str) -> Option<DeviceType> {
    Some(match name::without_version(os) {
        "Windows" | "macOS" | "Linux" | "ChromeOS" => DeviceType::Computer,
        "iPadOS" => DeviceType::Tablet,
        "iOS" => DeviceType::Phone,
        _ => return None,
    })
}
