//! The document that is served is the one that the types make.

use curfew_tests::openapi;

#[test]
fn the_document_in_the_repository_is_the_one_that_the_types_make() {
    let kept: serde_json::Value = serde_json::from_str(api::DOCUMENT).unwrap();
    assert_eq!(
        kept,
        openapi::document(),
        "run `cargo run -p curfew-tests --bin openapi` and look at the difference"
    );
    assert_eq!(api::DOCUMENT, openapi::text());
}
