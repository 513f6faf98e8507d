//! Wiring of the `sign-out-device` function.

fn main() {}
