//! The files of the page, as they are in `assets/`.

use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// Names a file of `assets/`, and includes it.
macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../assets/", $name)))),*]
    };
}

/// Every file by its address below `assets/`. The client module comes from its package.
pub(crate) const FILES: &[(&str, &[u8])] = &{
    const OWN: &[(&str, &[u8])] = files![
        "app.js",
        "brand.js",
        "codes.js",
        "config.js",
        "html.js",
        "icon.svg",
        "icons.js",
        "languages/de.js",
        "languages/en.js",
        "languages/es.js",
        "languages/index.js",
        "main.js",
        "outcomes.js",
        "security.js",
        "television.js",
        "style.css",
        "text.js",
        "vendor/htm.LICENSE",
        "vendor/htm.mjs",
        "vendor/preact.LICENSE",
        "vendor/preact.mjs",
        "views/address.js",
        "views/card.js",
        "views/confirm.js",
        "views/devices.js",
        "views/dialogs.js",
        "views/factor.js",
        "views/form.js",
        "views/later.js",
        "views/lost.js",
        "views/messages.js",
        "views/new-address.js",
        "views/notice.js",
        "views/password.js",
        "views/pass.js",
        "views/past.js",
        "views/receipt.js",
        "views/recover.js",
        "views/second-step.js",
        "views/security.js",
        "views/shell.js",
        "views/sign-in.js",
        "views/sign-up.js",
        "views/undo.js",
        "views/verified.js",
    ];
    const CLIENT: &[u8] = include_bytes!("../../../infra/clients/javascript/curfew.js");
    let mut all = [("curfew.js", CLIENT); OWN.len() + 1];
    let mut index = 0;
    while index < OWN.len() {
        all[index] = OWN[index];
        index += 1;
    }
    all
};

const HTML: &str = include_str!("../assets/index.html");
/// Where the page's HTML lists the modules that it needs at once.
const MODULES: &str = "<!-- modules -->";
/// Modules that are loaded only if they are needed.
const LATER: [&str; 15] = [
    "languages/de.js",
    "languages/es.js",
    "security.js",
    "views/lost.js",
    "views/messages.js",
    "views/new-address.js",
    "views/notice.js",
    "views/pass.js",
    "views/password.js",
    "views/past.js",
    "views/receipt.js",
    "views/recover.js",
    "views/security.js",
    "views/undo.js",
    "views/verified.js",
];

/// Returns the hash of all files. It stands in their addresses, so that a browser may
/// keep them.
pub(crate) fn version() -> String {
    let mut hash = Sha256::new();
    for (name, content) in FILES {
        hash.update(name);
        hash.update([0]);
        hash.update(content.len().to_be_bytes());
        hash.update(content);
    }
    let mut version = String::new();
    for byte in &hash.finalize()[..8] {
        let _ = write!(version, "{byte:02x}");
    }
    version
}

/// Returns the page with the addresses of this version.
pub(crate) fn html(version: &str) -> String {
    let is_module = |name| content_type(name).starts_with("text/javascript");
    let mut modules = String::new();
    for (name, _) in FILES {
        if is_module(name) && !LATER.contains(name) {
            let _ = writeln!(
                modules,
                r#"<link rel="modulepreload" href="assets/{name}" />"#
            );
        }
    }
    HTML.replace(MODULES, &modules)
        .replace("\"assets/", &format!("\"assets/{version}/"))
}

/// Returns the content type of a file.
pub(crate) fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, kind)| kind) {
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some(_) | None => "text/plain; charset=utf-8",
    }
}

/// Compresses a text (RFC 1952).
///
/// # Panics
/// Never: memory takes every byte.
pub(crate) fn compress(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).expect("memory takes every byte");
    encoder.finish().expect("memory takes every byte")
}
