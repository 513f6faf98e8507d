//! The local AWS, as a library: everything that `cargo run` does, for whoever
//! wants a stack of their own, such as the end-to-end tests.
//!
//! [`Stack::start`] walks through the modules in this order: [`tools`] installs
//! what is needed, [`functions`] builds, [`emulator`] starts the local AWS,
//! [`deploy`] brings the template to it, [`front`] gives the API a stable
//! address, [`demo`] makes a household through it. [`process`] sees to it that
//! no child process outlives us, [`watch`] is hot reload.

pub mod demo;
pub mod deploy;
pub mod emulator;
pub mod front;
pub mod functions;
pub mod process;
mod progress;
mod record;
mod stack;
mod state;
pub mod tools;
pub mod watch;

use std::path::{Path, PathBuf};

pub use record::{Aws, Demo, Function, Record, Tables};
pub use stack::{Options, Stack};
pub use state::running;

/// The root of the workspace, where `template.yaml` is.
#[must_use]
pub fn root() -> &'static Path {
    let this = Path::new(env!("CARGO_MANIFEST_DIR"));
    this.ancestors().nth(2).unwrap_or(this)
}

/// The folder that everything made on this machine lies in.
#[must_use]
pub fn target() -> PathBuf {
    root().join("target")
}

/// One of our Python programs.
fn program(name: &str) -> PathBuf {
    root().join("infra/local").join(name)
}
