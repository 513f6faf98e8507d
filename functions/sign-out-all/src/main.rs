//! Wiring of the `sign-out-all` function.

fn main() {}
