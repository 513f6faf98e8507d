//! What the test suites share.

mod examples;
pub mod openapi;
pub mod stack;
