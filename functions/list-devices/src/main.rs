//! Wiring of the `list-devices` function.

fn main() {}
