//! Wiring of the `session` function.

fn main() {}
