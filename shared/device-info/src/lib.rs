//! What a device is, from what it says of itself: its type, operating system,
//! browser or app, model, and a name that its owner recognises.
//!
//! Pure: no clock, no network, no table. Nothing here is proof of anything:
//! whoever signs in can say what they like, so no decision may rest on it.
//!
//! Three sources, the better before the worse: what the app says in the request
//! ([`ReportedInfo`]), what the browser says in [`ClientHints`], and the User-Agent.
//! One exception: a User-Agent that names a television or a console stands
//! beside a hint that is true and says less (webOS is a Linux, an Xbox runs
//! Windows).
//!
//! # Versions
//!
//! An operating system carries a version only where the device or a hint tells
//! it. In User-Agents it is a fiction by now: every Mac is on 10.15.7, every
//! Android on 10, Windows 11 is NT 10.0. For the same reason an iPad whose
//! Safari asks for desktop pages can't be told from a Mac; its app can, by
//! saying so.
//!
//! # The parser
//!
//! User-Agents are read by `woothee` (Apache-2.0): rules in code, with about
//! fifty small regular expressions, each built when it is first needed, none at
//! start. Measured on one core at 2.3 GHz, release profile: 0.5 to 1 ms and 1 MB
//! for the first User-Agent of a process, 4 µs for a later one, 15 µs for 8 KB
//! of nonsense, nothing where reported and hints have said it all; 1.6 MB of
//! binary, nearly all of it the `regex` crate.
//!
//! Its last release is of October 2021. Browsers have frozen the forms that its
//! rules follow, so they age slowly, and the newer browsers tell their names in
//! hints. It is blind to televisions and newer consoles, which one table here
//! adds. The tests hold User-Agents of each kind: a new one goes there first.
//!
//! `ua-parser` is better kept and knows far more models. It was measured beside
//! it, and not taken: it builds all its 1,196 expressions before the first
//! answer, which takes 190 ms and 25 MB in a function that starts often, adds
//! 1.8 MB of binary, and comes without its rules, which would have to be copied
//! here. `uaparser` and `user-agent-parser` build the same rules in the same
//! way; `rama-ua` brings a proxy with it; `device-detector` is a stub, under the
//! LGPL.
//!
//! Client hints are read by `sfv` (MIT or Apache-2.0), which Firefox uses too.

mod hints;
mod reported;
mod text;
mod user_agent;

#[cfg(test)]
mod tests;

use std::cell::LazyCell;

pub use domain::{DeviceInfo, DeviceType};
pub use hints::ClientHints;
use hints::{Brand, Hinted};
pub use reported::{InfoProblem, InvalidInfo, ReportedInfo};
use user_agent::Sign;

/// The longest name that [`describe`] gives, in Unicode code points: an app's on
/// a model, or the owner's own beside one. Its other texts stay within
/// [`ReportedInfo::MAX_CHARS`].
pub const MAX_NAME_CHARS: usize = 2 * ReportedInfo::MAX_CHARS + 4;

/// The name of a device of which nothing at all is known.
pub const UNKNOWN: &str = "Unknown device";

/// Longer User-Agents than this, in code points, are cut: what tells devices
/// apart stands in front, and the parser's time grows with the length.
const MAX_USER_AGENT_CHARS: usize = 1024;

/// Says what a device is. Never fails: what can't be read counts as not said.
///
/// Every text in the answer is fit to be shown: no control characters, nothing
/// that reorders or hides its surroundings, a bounded length. The name is the
/// owner's own, or else what the device is ("Chrome on Linux"); the browser and
/// the app carry no version.
#[must_use]
pub fn describe(
    reported: &ReportedInfo,
    user_agent: Option<&str>,
    hints: &ClientHints<'_>,
) -> DeviceInfo {
    let reported = shown(reported);
    let hinted = hints::read(hints);
    let user_agent = user_agent
        .and_then(|user_agent| text::clean(user_agent, MAX_USER_AGENT_CHARS))
        .unwrap_or_default();
    // Most requests never come to this: apps say what they are, Chromium hints.
    let parsed = LazyCell::new(|| user_agent::parse(&user_agent));

    let sign = sign(&reported, &hinted, &user_agent);
    let device_type = reported
        .device_type
        .or_else(|| Some(sign?.device_type))
        .or(hinted.device_type)
        .or_else(|| type_by_os(reported.os.as_deref()?))
        .or_else(|| parsed.device_type)
        .unwrap_or_default();
    let os = reported.os.clone().or_else(|| match sign {
        Some(sign) => sign.os.map(str::to_owned),
        None => hinted.os.clone().or_else(|| parsed.os.map(str::to_owned)),
    });
    let browser = browser(&hinted, &user_agent, || parsed.browser)
        .filter(|browser| !is_built_in(device_type, browser));
    let app = reported
        .app
        .clone()
        .or_else(|| text::clean(&user_agent::app(&user_agent)?, ReportedInfo::MAX_CHARS));
    let product = sign.and_then(|sign| sign.product);
    let model = reported
        .model
        .clone()
        .or_else(|| hinted.model.clone())
        .or_else(|| {
            text::clean(
                user_agent::android_model(&user_agent)?,
                ReportedInfo::MAX_CHARS,
            )
        })
        .or_else(|| product.map(str::to_owned))
        .or_else(|| is_played_on(device_type).then(|| parsed.product.clone())?);

    // What people call it: the model itself, where that is a name and no code.
    let called = match (&reported.model, product) {
        (Some(model), _) if is_name(model) => Some(model.clone()),
        (_, Some(product)) => Some(product.to_owned()),
        _ => model.clone().filter(|model| is_name(model)),
    };
    let name = match reported.name {
        Some(own) => Some(own_name(own, device_type, called.as_deref())),
        None => readable_name(
            device_type,
            called.as_deref(),
            os.as_deref(),
            browser.as_deref(),
            app.as_deref(),
        ),
    };
    DeviceInfo {
        device_type,
        name: name.unwrap_or_else(|| UNKNOWN.to_owned()),
        os,
        browser,
        app,
        model,
    }
}

/// The reported as they may be shown.
fn shown(reported: &ReportedInfo) -> ReportedInfo {
    let shown = |text: &Option<String>| text::clean(text.as_deref()?, ReportedInfo::MAX_CHARS);
    ReportedInfo {
        name: shown(&reported.name),
        device_type: reported.device_type,
        os: shown(&reported.os),
        model: shown(&reported.model),
        app: shown(&reported.app),
    }
}

/// What the device gives itself away by, in the reported, else the hinted model,
/// else the User-Agent; unless a better source says that it is something else.
fn sign(reported: &ReportedInfo, hinted: &Hinted, user_agent: &str) -> Option<&'static Sign> {
    let claimed = format!(
        "; {}; {}; {}",
        reported.model.as_deref().unwrap_or_default(),
        reported.os.as_deref().unwrap_or_default(),
        reported.device_type.map_or("", DeviceType::as_str),
    );
    let fits = |sign: &&Sign| {
        reported
            .device_type
            .is_none_or(|claimed| claimed == sign.device_type)
    };
    Sign::find(&claimed)
        .filter(fits)
        .or_else(|| Sign::find(&format!("; {}", hinted.model.as_deref()?)).filter(fits))
        .or_else(|| {
            Sign::find(user_agent).filter(fits).filter(|sign| {
                hinted
                    .platform
                    .as_deref()
                    .is_none_or(|platform| sign.runs_on(platform))
            })
        })
}

/// The browser that the hints name, else the parser. An app's web view is none.
fn browser(
    hinted: &Hinted,
    user_agent: &str,
    parsed: impl FnOnce() -> Option<&'static str>,
) -> Option<String> {
    match &hinted.brand {
        Some(Brand::Browser(name)) => return Some(name.clone()),
        Some(Brand::WebView) => return None,
        Some(Brand::Chromium) | None => {}
    }
    // Only browsers begin so, and what is no browser needs no parser.
    let is_browser = user_agent.starts_with("Mozilla/") || user_agent.starts_with("Opera/");
    match is_browser.then(parsed).flatten() {
        Some("Chrome") | None if hinted.brand.is_some() => Some("Chromium".to_owned()),
        browser => browser.map(str::to_owned),
    }
}

fn is_played_on(device_type: DeviceType) -> bool {
    matches!(device_type, DeviceType::Tv | DeviceType::Console)
}

/// Televisions and consoles show their apps with a browser's engine, whose name
/// says nothing.
fn is_built_in(device_type: DeviceType, browser: &str) -> bool {
    is_played_on(device_type) && matches!(browser, "Chrome" | "Chromium" | "Safari")
}

/// The type that goes with an operating system, where only that is told.
fn type_by_os(os: &str) -> Option<DeviceType> {
    Some(match family(os) {
        "Windows" | "macOS" | "Linux" | "ChromeOS" => DeviceType::Computer,
        "iPadOS" => DeviceType::Tablet,
        "iOS" => DeviceType::Phone,
        _ => return None,
    })
}

/// An operating system without its version: "Android 14" is "Android".
fn family(os: &str) -> &str {
    let version = os
        .match_indices(' ')
        .map(|(at, _)| at)
        .find(|at| os[at + 1..].starts_with(|first: char| first.is_ascii_digit()));
    &os[..version.unwrap_or(os.len())]
}

/// Whether a model reads as a name ("Pixel 8") and not as a code ("SM-S918B",
/// "iPhone16,2").
fn is_name(model: &str) -> bool {
    model.chars().any(char::is_lowercase) && !model.contains(',')
}

/// The owner's own name, and what the device is called where the name doesn't
/// say: "Living room · Samsung TV", but "Anna's iPhone". A computer is called
/// after its system, which tells no computers apart.
fn own_name(own: String, device_type: DeviceType, called: Option<&str>) -> String {
    let Some(called) = called.filter(|_| device_type != DeviceType::Computer) else {
        return own;
    };
    let words = |text: &str| -> Vec<String> {
        text.split(|character: char| !character.is_alphanumeric())
            .filter(|word| word.chars().nth(1).is_some())
            .map(str::to_lowercase)
            .collect()
    };
    let said = words(&own);
    if words(called).iter().any(|word| said.contains(word)) {
        return own;
    }
    format!("{own} · {called}")
}

/// A name for a device that its owner has not named.
fn readable_name(
    device_type: DeviceType,
    called: Option<&str>,
    os: Option<&str>,
    browser: Option<&str>,
    app: Option<&str>,
) -> Option<String> {
    let what = app.or(browser.filter(|_| !is_played_on(device_type)));
    let family = os.map(family);
    match (what, called.or(family)) {
        (Some(what), Some(on)) => Some(format!("{what} on {on}")),
        (Some(what), None) => Some(what.to_owned()),
        (None, _) => called
            .map(str::to_owned)
            .or_else(|| plain_name(device_type, family)),
    }
}

/// What to call a device of which little more than its type is known.
fn plain_name(device_type: DeviceType, family: Option<&str>) -> Option<String> {
    let word = match device_type {
        DeviceType::Tv => return Some("TV".to_owned()),
        DeviceType::Console => return Some("Game console".to_owned()),
        DeviceType::Phone => "phone",
        DeviceType::Tablet => "tablet",
        DeviceType::Computer => "computer",
        DeviceType::Other => return family.map(str::to_owned),
    };
    Some(match family {
        Some(family) => format!("{family} {word}"),
        None => word[..1].to_ascii_uppercase() + &word[1..],
    })
}
