//! Wiring of the `register` function.

fn main() {}
