//! Writes the `OpenAPI` and the `AsyncAPI` document: `cargo run --bin documents`.

use documents::{asyncapi, openapi};

fn main() -> std::io::Result<()> {
    std::fs::write(openapi::PATH, openapi::text())?;
    std::fs::write(asyncapi::PATH, asyncapi::text())
}
