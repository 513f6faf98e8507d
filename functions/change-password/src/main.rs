//! Wiring of the `change-password` function.

fn main() {}
