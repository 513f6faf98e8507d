use serde_json::{Value, json};

use super::*;

fn revoked() -> Message {
    let claims = json!({
        "iss": "https://api.example.com", "jti": "1", "iat": 1, "txn": "2",
        "sub_id": {
            "format": "complex",
            "user": { "id": "home" }, "device": { "id": "tv" }, "session": { "id": "s" },
        },
        "events": { SESSION_REVOKED: { "session_id": "s" } },
    });
    let attributes = json!({ "event_type": "session-revoked", "account_id": "home" });
    let attributes = attributes.as_object().unwrap().clone();
    Message { claims, attributes }
}

#[test]
fn only_a_complete_event_is_sound() {
    assert!(revoked().is_sound());
    for (member, value) in [
        ("iss", json!("")),
        ("txn", Value::Null),
        ("iat", json!("1")),
        ("sub", json!("home")),
        ("exp", json!(2)),
        ("events", json!({})),
        ("events", json!({ SESSION_REVOKED: { "session_id": "t" } })),
    ] {
        let mut message = revoked();
        message.claims[member] = value;
        assert!(!message.is_sound(), "{member}");
    }
    let mut message = revoked();
    message.attributes.remove("event_type");
    assert!(!message.is_sound());
}

#[test]
fn an_expected_event_must_match_in_every_member() {
    let whole = json!({ "a": { "b": 1, "c": 2 }, "d": 3 });
    assert!(contains(&whole, &json!({ "a": { "b": 1 } })));
    assert!(!contains(&whole, &json!({ "a": { "b": 2 } })));
    assert!(!contains(&whole, &json!({ "a": { "e": 1 } })));
}
