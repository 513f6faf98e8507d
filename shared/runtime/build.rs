//! Writes the roots that a connection to AWS is checked against, as the bytes of
//! DER, so that no start has to look for them or carries the other hundred.
//!
//! They are Amazon Trust Services' own: Amazon Root CA 1 to 4, and Starfield's,
//! which signs them.

use std::path::Path;
use std::{env, fs};

use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// The common names, as they stand in the certificates.
const ROOTS: [&str; 5] = [
    "Amazon Root CA 1",
    "Amazon Root CA 2",
    "Amazon Root CA 3",
    "Amazon Root CA 4",
    "Starfield Services Root Certificate Authority - G2",
];

#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script where to write by the environment"
)]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let roots = ROOTS.map(|name| format!("&{:?},", root(name))).concat();
    let folder = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::write(Path::new(&folder).join("roots.rs"), format!("[{roots}]"))
        .expect("OUT_DIR can be written");
}

/// The one certificate of that name: none, or two, fail the build.
fn root(name: &str) -> &'static [u8] {
    let mut found = TLS_SERVER_ROOT_CERTS.iter().filter(|certificate| {
        certificate
            .windows(name.len())
            .any(|window| window == name.as_bytes())
    });
    let (Some(certificate), None) = (found.next(), found.next()) else {
        panic!("webpki-root-certs has not just one root named {name}");
    };
    certificate
}
