//! The name to show for a device.

use domain::{DeviceInfo, DeviceType};

use crate::ReportedInfo;

/// The longest name that [`describe`](crate::describe) returns, in Unicode code
/// points: "app on model", or the owner's own name and " · model". Its other texts
/// have at most [`ReportedInfo::MAX_CHARS`].
pub const MAX_NAME_CHARS: usize = 2 * ReportedInfo::MAX_CHARS + 4;

/// The name of a device that nothing is known about.
pub const UNKNOWN: &str = "Unknown device";

/// Returns the name to show: the owner's own, or one derived from the other details.
/// `product` is what people call the device.
pub(crate) fn name(own: Option<String>, info: &DeviceInfo, product: Option<&str>) -> String {
    match own {
        Some(own) => own_name(own, info.device_type, product),
        None => derived_name(info, product).unwrap_or_else(|| UNKNOWN.to_owned()),
    }
}

/// Returns the owner's own name, with the product unless the name mentions it:
/// "Living room · Samsung TV", but "Anna's iPhone". A computer's product is its
/// operating system, which does not distinguish computers.
fn own_name(own: String, device_type: DeviceType, product: Option<&str>) -> String {
    let Some(product) = product.filter(|_| device_type != DeviceType::Computer) else {
        return own;
    };
    let words = |text: &str| -> Vec<String> {
        text.split(|character: char| !character.is_alphanumeric())
            .filter(|word| word.chars().nth(1).is_some())
            .map(str::to_lowercase)
            .collect()
    };
    let own_words = words(&own);
    if words(product).iter().any(|word| own_words.contains(word)) {
        return own;
    }
    format!("{own} · {product}")
}

/// Returns a name for a device that its owner has not named.
fn derived_name(info: &DeviceInfo, product: Option<&str>) -> Option<String> {
    let browser = info
        .browser
        .as_deref()
        .filter(|_| !is_tv_or_console(info.device_type));
    let program = info.app.as_deref().or(browser);
    let os = info.os.as_deref().map(without_version);
    match (program, product.or(os)) {
        (Some(program), Some(device)) => Some(format!("{program} on {device}")),
        (Some(program), None) => Some(program.to_owned()),
        (None, _) => product
            .map(str::to_owned)
            .or_else(|| type_name(info.device_type, os)),
    }
}

/// Returns a name for a device that little more than the type is known about.
fn type_name(device_type: DeviceType, os: Option<&str>) -> Option<String> {
    let word = match device_type {
        DeviceType::Tv => return Some("TV".to_owned()),
        DeviceType::Console => return Some("Game console".to_owned()),
        DeviceType::Phone => "phone",
        DeviceType::Tablet => "tablet",
        DeviceType::Computer => "computer",
        DeviceType::Other => return os.map(str::to_owned),
    };
    Some(match os {
        Some(os) => format!("{os} {word}"),
        None => word[..1].to_ascii_uppercase() + &word[1..],
    })
}

pub(crate) fn is_tv_or_console(device_type: DeviceType) -> bool {
    matches!(device_type, DeviceType::Tv | DeviceType::Console)
}

/// Returns an operating system without its version: "Android" for "Android 14".
pub(crate) fn without_version(os: &str) -> &str {
    let version = os
        .match_indices(' ')
        .map(|(at, _)| at)
        .find(|at| os[at + 1..].starts_with(|first: char| first.is_ascii_digit()));
    &os[..version.unwrap_or(os.len())]
}

/// Returns whether a model reads as a name ("Pixel 8") and not as a code ("SM-S918B",
/// "iPhone16,2").
pub(crate) fn is_name(model: &str) -> bool {
    model.chars().any(char::is_lowercase) && !model.contains(',')
}
