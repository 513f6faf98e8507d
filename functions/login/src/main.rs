//! Wiring of the `login` function.

fn main() {}
