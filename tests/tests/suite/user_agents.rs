//! The descriptions of devices, compared with two public collections: kinds with
//! Matomo's, names of browsers and systems with uap-core's.

use std::collections::BTreeMap;

use curfew::root;
use curfew::tools::{Environment, find_python};
use device_info::{ClientHints, ReportedInfo, describe};
use serde_json::Value;

/// The least share of each kind and name on which the crate and the collection agree, in
/// percent. `infra/docs/devices.md` has the shares.
const FLOORS: &[(&str, f64)] = &[
    ("tv", 95.0),
    ("phone", 98.5),
    ("tablet", 87.0),
    ("computer", 87.0),
    ("console", 66.0),
    ("browser", 97.0),
    ("os", 99.0),
];

/// The names that uap-core and this crate give to one browser; none for a web view.
const BROWSERS: &[(&str, Option<&str>)] = &[
    ("Chrome", Some("Chrome")),
    ("Chrome Mobile", Some("Chrome")),
    ("Chrome Mobile iOS", Some("Chrome")),
    ("Chrome Mobile WebView", None),
    ("Mobile Safari UI/WKWebView", None),
    ("Mobile Safari", Some("Safari")),
    ("Safari", Some("Safari")),
    ("Firefox", Some("Firefox")),
    ("Firefox Mobile", Some("Firefox")),
    ("Firefox iOS", Some("Firefox")),
    ("Edge", Some("Edge")),
    ("Edge Mobile", Some("Edge")),
    ("Opera", Some("Opera")),
    ("Opera Mobile", Some("Opera")),
    ("Samsung Internet", Some("Samsung Internet")),
    ("Yandex Browser", Some("Yandex Browser")),
    ("UC Browser", Some("UC Browser")),
    ("MiuiBrowser", Some("Mi Browser")),
    ("Huawei Browser", Some("Huawei Browser")),
    ("Amazon Silk", Some("Silk")),
    ("IE", Some("Internet Explorer")),
    ("IE Mobile", Some("Internet Explorer")),
    ("DuckDuckGo Mobile", Some("DuckDuckGo")),
    ("Vivaldi", Some("Vivaldi")),
    ("Facebook", Some("Facebook")),
    ("Instagram", Some("Instagram")),
];

/// The names of one operating system.
const SYSTEMS: &[(&str, &[&str])] = &[
    ("Windows", &["Windows"]),
    ("Mac OS X", &["macOS"]),
    ("Android", &["Android", "Fire OS"]),
    ("iOS", &["iOS", "iPadOS"]),
    ("Chrome OS", &["ChromeOS"]),
    ("Linux", &["Linux"]),
    ("Ubuntu", &["Linux"]),
];

/// How many entries of each kind and name there are, and how many agree.
type Agreements = BTreeMap<&'static str, (u32, u32)>;

fn count(agreements: &mut Agreements, what: &'static str, agrees: bool) {
    let (all, agreeing) = agreements.entry(what).or_default();
    *all += 1;
    *agreeing += u32::from(agrees);
}

fn compare(agreements: &mut Agreements, entry: &Value) {
    let text = |name: &str| entry[name].as_str().unwrap_or_default();
    let hints = ClientHints::default();
    let info = describe(&ReportedInfo::default(), Some(text("user_agent")), &hints);
    let kind = text("kind");
    let (known, _) = FLOORS.iter().find(|(known, _)| *known == kind).unwrap();
    count(agreements, known, info.device_type.as_str() == kind);
    if matches!(kind, "tv" | "console") {
        return;
    }
    let mut browsers = BROWSERS.iter();
    if let Some((_, ours)) = browsers.find(|(theirs, _)| *theirs == text("browser")) {
        count(agreements, "browser", info.browser.as_deref() == *ours);
    }
    let mut systems = SYSTEMS.iter();
    if let Some((_, ours)) = systems.find(|(theirs, _)| *theirs == text("os")) {
        let os = info.os.unwrap_or_default();
        count(agreements, "os", ours.contains(&os.as_str()));
    }
}

#[tokio::test]
async fn kinds_and_names_agree_with_the_public_collections() {
    let tether = find_python().unwrap();
    Environment::UserAgents.install(&tether).await.unwrap();
    let python = Environment::UserAgents.programs().join("python");
    let script = root().join("tests/user-agents/collection.py");
    let printed = std::process::Command::new(python)
        .arg(script)
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&printed.stderr);
    assert!(printed.status.success(), "{log}");

    let mut agreements = Agreements::new();
    for line in printed.stdout.split(|byte| *byte == b'\n') {
        if !line.is_empty() {
            compare(&mut agreements, &serde_json::from_slice(line).unwrap());
        }
    }

    for (what, floor) in FLOORS {
        let (all, agreeing) = agreements[what];
        let share = 100.0 * f64::from(agreeing) / f64::from(all);
        println!("{what}: {agreeing} of {all} agree, {share:.1} %");
        assert!(share >= *floor, "{what}: {share:.1} % agree, not {floor} %");
    }
    assert!(agreements["tv"].0 > 3_000, "the collection is incomplete");
}
