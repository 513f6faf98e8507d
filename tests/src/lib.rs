//! What the test suites share.

#![expect(
    clippy::missing_panics_doc,
    reason = "a panic is how a harness fails a test"
)]

pub mod asyncapi;
pub mod aws;
pub mod browser;
pub mod bundle;
pub mod client;
pub mod conformance;
pub mod cost;
pub mod crowd;
pub mod delivery;
pub mod engine;
mod examples;
pub mod listener;
pub mod many;
pub mod moments;
pub mod openapi;
pub mod races;
pub mod sockets;
pub mod stack;
pub mod tables;
pub mod template;
pub mod wire;
