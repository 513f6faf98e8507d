//! Wiring of the `sweep` function.

fn main() {}
