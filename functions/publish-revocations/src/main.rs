//! Wiring of the `publish-revocations` function.

fn main() {}
