//! Writes the root certificates that the functions trust, in DER, so that no start has
//! to search the hundred others or the system's.
//!
//! They are those of Amazon Trust Services: Amazon Root CA 1 to 4, and Starfield's,
//! which signs them.

use std::path::Path;
use std::{env, fs};

use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

/// The common names of the certificates.
const ROOTS: [&str; 5] = [
    "Amazon Root CA 1",
    "Amazon Root CA 2",
    "Amazon Root CA 3",
    "Amazon Root CA 4",
    "Starfield Services Root Certificate Authority - G2",
];

#[expect(
    clippy::disallowed_methods,
    reason = "cargo passes the output folder of a build script in the environment"
)]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let roots = ROOTS.map(|name| format!("&{:?},", root(name))).concat();
    let folder = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::write(Path::new(&folder).join("roots.rs"), format!("[{roots}]"))
        .expect("OUT_DIR can be written");
}

/// Returns the certificate of that name. None or two of them fail the build.
fn root(name: &str) -> &'static [u8] {
    let mut found = TLS_SERVER_ROOT_CERTS.iter().filter(|certificate| {
        certificate
            .windows(name.len())
            .any(|window| window == name.as_bytes())
    });
    let (Some(certificate), None) = (found.next(), found.next()) else {
        panic!("webpki-root-certs does not have exactly one root named {name}");
    };
    certificate
}
