//! Fixtures that the test suites and the benchmarks share.

#![expect(
    clippy::missing_panics_doc,
    reason = "a panic is how a harness fails a test"
)]

pub mod account;
pub mod app;
pub mod authenticator;
pub mod aws;
pub mod background;
pub mod browser;
pub mod bundle;
pub mod client;
pub mod cloudformation;
pub mod conformance;
pub mod cost;
pub mod crowd;
pub mod delivery;
pub mod doors;
pub mod engine;
pub mod executor;
pub mod fake_aws;
pub mod inbox;
pub mod kms;
pub mod listener;
pub mod many;
pub mod metered;
pub mod old_chromium;
pub mod past;
pub mod person;
pub mod races;
pub mod random;
pub mod routes;
pub mod scripts;
pub mod snippets;
pub mod socket_events;
pub mod stack;
pub mod tables;
pub mod template;
pub mod wire;
