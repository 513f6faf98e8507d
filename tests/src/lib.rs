//! What the test suites share.

pub mod aws;
pub mod client;

mod examples;
pub mod listener;
pub mod openapi;
pub mod stack;
pub mod template;
