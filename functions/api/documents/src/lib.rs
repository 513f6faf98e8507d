//! The `OpenAPI` and the `AsyncAPI` document, made from the functions' own types.
//!
//! The `api` function serves the checked-in copies. After a change to a route, write
//! them again with `cargo run --bin documents`.

pub mod asyncapi;
pub mod frames;
pub mod openapi;

use serde_json::Value;

/// Returns the text of a document, as it is checked in.
fn text(document: &Value) -> String {
    format!("{document:#}\n")
}
