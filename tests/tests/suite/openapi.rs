//! The documents that are served are those that the types make.

use documents::{asyncapi, frames, openapi};
use serde_json::Value;

#[test]
fn the_document_in_the_repository_is_the_one_that_the_types_make() {
    let kept: Value = serde_json::from_str(api::DOCUMENT).unwrap();
    assert_eq!(
        kept,
        openapi::document(),
        "run `cargo run --bin documents` and look at the difference"
    );
    assert_eq!(api::DOCUMENT, openapi::text());
}

#[test]
fn the_document_of_the_socket_and_the_events_is_the_one_that_the_types_make() {
    let kept: Value = serde_json::from_str(api::ASYNC_DOCUMENT).unwrap();
    assert_eq!(
        kept,
        asyncapi::document(),
        "run `cargo run --bin documents` and look at the difference"
    );
    assert_eq!(api::ASYNC_DOCUMENT, asyncapi::text());
}

#[test]
fn every_reference_of_the_socket_document_leads_somewhere() {
    let document = asyncapi::document();
    let mut places = Vec::new();
    references(&document, &mut places);
    assert!(places.len() > 20, "{places:?}");
    for place in places {
        let pointer = place.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{place}");
    }
}

#[test]
fn the_example_of_each_frame_is_as_its_schema_says() {
    let document = asyncapi::document();
    for frame in frames::NAMES {
        let schema = &document["components"]["schemas"][frame];
        let example = &document["components"]["messages"][frame]["examples"][0]["payload"];
        let validator = jsonschema::validator_for(schema).unwrap();
        validator.validate(example).unwrap();
        let mut strange = example.clone();
        strange["strange"] = true.into();
        assert!(!validator.is_valid(&strange), "{frame}");
    }
}

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(place) if name == "$ref" => found.push(place),
                    member => references(member, found),
                }
            }
        }
        Value::Array(members) => {
            for member in members {
                references(member, found);
            }
        }
        _ => {}
    }
}
