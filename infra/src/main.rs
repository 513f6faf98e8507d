//! The local AWS.

fn main() {}
