//! Describes a device from what it reports: type, operating system, browser or app,
//! model, and a name that its owner recognizes.
//!
//! Pure: no clock, no network, no table. Nothing here is proven: a client can report
//! anything, so no decision may depend on it.
//!
//! There are four sources, the better one first: the details that the app reports in
//! the request ([`ReportedInfo`]), the browser's [`ClientHints`], the type that the team's
//! own distribution reports, and the User-Agent. Two exceptions: a User-Agent that names
//! a television or a console is preferred to a hint that is true but less specific
//! (webOS is a Linux, an Xbox runs Windows), and so is the distribution's television.
//!
//! # Versions
//!
//! An operating system has a version only where the device or a hint reports one. The
//! one in a User-Agent is frozen: every Mac is on 10.15.7, every Android on 10, and
//! Windows 11 is NT 10.0. For the same reason an iPad whose Safari requests desktop
//! pages looks like a Mac; its app can report that it is an iPad, and other browsers on
//! it have names that only iOS knows.
//!
//! # The tables
//!
//! A User-Agent is searched for the words of a few tables: no regular expressions and
//! nothing to compile (`infra/docs/decisions.md`, 46).
//! The suite (`user_agents.rs`) compares the results with Matomo's collection and with
//! `uap-core`, and has a floor for each kind. Many models of Android televisions are
//! recognized by their form: a size in inches at the front, "TV" or "LED" in the name,
//! or a system that is built for televisions only. New words belong into the tables
//! only if no phone has them: a phone that is shown as a television is the worse error.
//!
//! Client hints are parsed by `sfv` (MIT or Apache-2.0), which Firefox uses too.

mod hints;
pub mod known;
mod name;
mod reported;
mod signs;
mod text;
mod user_agent;

#[cfg(test)]
mod tests;

use std::cell::OnceCell;

use domain::DeviceType::{Computer, Phone, Tablet, Tv};
pub use domain::{DeviceInfo, DeviceType};
pub use hints::ClientHints;
use hints::{Brand, Hinted};
pub use name::{MAX_NAME_CHARS, UNKNOWN};
pub use reported::{InfoProblem, InvalidInfo, ReportedInfo, owner_name};
use signs::Sign;
use user_agent::Parsed;

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
        viewer_type: hints.viewer_type,
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
        model: sources.model(sign),
    };
    let product = sources.spoken_name(sign, info.model.as_deref());
    info.name = name::name(sources.reported.name, &info, product.as_deref());
    info
}

/// The sources of a description. Texts are cleaned.
struct Sources {
    reported: ReportedInfo,
    hinted: Hinted,
    viewer_type: Option<DeviceType>,
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
    fn sign(&self) -> Option<Sign> {
        let Self {
            reported, hinted, ..
        } = self;
        let words = format!(
            "; {}; {}; {}",
            reported.model.as_deref().unwrap_or_default(),
            reported.os.as_deref().unwrap_or_default(),
            reported.device_type.map_or("", DeviceType::as_str),
        );
        let has_reported_type = |sign: &Sign| {
            reported
                .device_type
                .is_none_or(|reported| reported == sign.device_type)
        };
        let has_hinted_platform = |sign: &Sign| {
            hinted
                .platform
                .as_deref()
                .is_none_or(|platform| sign.runs_on(platform))
        };
        let of =
            |text: &str, model: Option<&str>| Sign::find(text).or_else(|| Sign::of_model(model?));
        let may_be_tv = reported.os.as_deref().and_then(type_of_os).is_none();
        of(&words, reported.model.as_deref().filter(|_| may_be_tv))
            .filter(has_reported_type)
            .or_else(|| {
                let model = hinted.model.as_deref()?;
                of(&format!("; {model}"), Some(model)).filter(has_reported_type)
            })
            .or_else(|| {
                of(
                    &self.user_agent,
                    user_agent::android_build(&self.user_agent),
                )
                .filter(has_reported_type)
                .filter(has_hinted_platform)
            })
    }

    fn device_type(&self, sign: Option<Sign>) -> DeviceType {
        // CloudFront knows more televisions and tablets than the other sources can tell
        // apart, and calls a computer what it doesn't know.
        let viewer =
            |types: &[DeviceType]| self.viewer_type.filter(|viewer| types.contains(viewer));
        self.reported
            .device_type
            .or_else(|| Some(sign?.device_type))
            .or_else(|| viewer(&[Tv]))
            .or(self.hinted.device_type)
            .or_else(|| type_of_os(self.reported.os.as_deref()?))
            .or_else(|| viewer(&[Tablet, Phone]))
            .or_else(|| self.parsed().device_type)
            .or_else(|| viewer(&[Computer]).filter(|_| self.is_browser()))
            .unwrap_or_default()
    }

    fn os(&self, sign: Option<Sign>) -> Option<String> {
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
            && matches!(browser.as_str(), "Chrome" | "Chromium" | "Safari" | "Edge");
        (!is_engine).then_some(browser)
    }

    /// Returns the browser that the parser finds. Only browsers begin like these, so
    /// other User-Agents are not parsed for it.
    fn parsed_browser(&self) -> Option<&'static str> {
        self.is_browser().then(|| self.parsed().browser).flatten()
    }

    fn is_browser(&self) -> bool {
        self.user_agent.starts_with("Mozilla/") || self.user_agent.starts_with("Opera/")
    }

    fn app(&self) -> Option<String> {
        self.reported
            .app
            .clone()
            .or_else(|| text::clean(&user_agent::app(&self.user_agent)?, ReportedInfo::MAX_CHARS))
    }

    fn model(&self, sign: Option<Sign>) -> Option<String> {
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
    }

    /// Returns what people call the device: the model, if it reads as a name and not
    /// as a code, or the product.
    fn spoken_name(&self, sign: Option<Sign>, model: Option<&str>) -> Option<String> {
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
