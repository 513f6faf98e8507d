//! Leaves the index of the unwind tables out of the release build. That build aborts on a panic
//! and never unwinds, and the index is 64 kB of the program.

#[expect(
    clippy::disallowed_methods,
    reason = "cargo gives a build script its settings in variables"
)]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("PROFILE").as_deref() == Ok("release") {
        println!("cargo::rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    }
}
