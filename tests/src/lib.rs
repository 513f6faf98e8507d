//! What the test suites share.

pub mod stack;
