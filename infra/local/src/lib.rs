//! The local AWS as a library: what `cargo run` does, also for the tests, which
//! start a stack of their own.
//!
//! [`Stack::start`] uses the modules in this order: [`tools`] installs the Python
//! tools, [`functions`] builds, [`emulator`] starts the local AWS, [`deploy`]
//! deploys the template, [`proxy`] gives the API a stable address, [`demo`]
//! registers an account, [`mails`] reads what was mailed. [`process`] ends every child process with this one;
//! [`watch`] is hot reload.

pub mod demo;
pub mod deploy;
pub mod emulator;
pub mod functions;
pub mod household;
pub mod mails;
pub mod process;
mod progress;
pub mod proxy;
mod record;
mod stack;
mod state;
pub mod tools;
pub mod watch;

use std::path::PathBuf;

pub use curfew_launcher::root;
pub use record::{Aws, Demo, Function, Record, Service, Tables};
pub use stack::{Options, Stack};
pub use state::running;

/// Returns the folder of everything that is built, installed or running.
#[must_use]
pub fn target() -> PathBuf {
    root().join("target")
}

/// Returns the path of a Python program of this folder.
fn program(name: &str) -> PathBuf {
    root().join("infra/local").join(name)
}
