//! Writes the `OpenAPI` and the `AsyncAPI` document anew: `cargo run -p
//! curfew-tests --bin openapi`.

use curfew_tests::{asyncapi, openapi};

fn main() -> std::io::Result<()> {
    std::fs::write(openapi::PATH, openapi::text())?;
    std::fs::write(asyncapi::PATH, asyncapi::text())
}
