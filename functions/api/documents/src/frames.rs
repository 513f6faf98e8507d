//! The frames on a device's socket, for the `AsyncAPI` document.

use http_api::Problem;
use serde_json::{Map, Value, json};

/// The names of the frames among the document's components.
pub const NAMES: [&str; 4] = ["heartbeat", "acknowledgement", "sessionRevoked", "problem"];

const SIGN_OUT: &str = "0192f0c2-1c44-7e02-a1b5-6d7e8f901234";

/// A frame: the schemas of its members beside `type`, and an example.
struct Frame {
    name: &'static str,
    summary: &'static str,
    members: Value,
    example: Value,
}

/// Returns the messages of the frames, and adds their schemas to `schemas`.
pub(crate) fn messages(schemas: &mut Map<String, Value>) -> Map<String, Value> {
    let mut messages = Map::new();
    for frame in [heartbeat(), acknowledgement(), session_revoked(), problem()] {
        schemas.insert(frame.name.to_owned(), frame.schema());
        messages.insert(frame.name.to_owned(), frame.message());
    }
    messages
}

fn heartbeat() -> Frame {
    Frame {
        name: "heartbeat",
        summary: "The device is in use. Send it every 4 to 5 minutes: the gateway closes a socket \
            after 10 minutes of silence.",
        members: json!({}),
        example: json!({ "type": "heartbeat" }),
    }
}

fn acknowledgement() -> Frame {
    Frame {
        name: "acknowledgement",
        summary: "The device has wiped what it had stored.",
        members: json!({ "sign_out": id() }),
        example: json!({ "type": "acknowledgement", "sign_out": SIGN_OUT }),
    }
}

fn session_revoked() -> Frame {
    Frame {
        name: "sessionRevoked",
        summary: "The session has ended: stop, wipe, acknowledge, show the sign-in screen.",
        members: json!({
            "sign_out": id(),
            "session": id(),
            "reason": { "enum": ["signed_out", "password_changed", "account_disabled", "recovered", "address_restored", "wrong_password"] },
            "signed_out_at": { "type": "string", "format": "date-time" },
            "signed_out_by": {
                "description": "The device that requested it; null when an operator did.",
                "oneOf": [
                    { "type": "null" },
                    {
                        "type": "object",
                        "required": ["id", "name"],
                        "properties": { "id": id(), "name": { "type": "string" } },
                        "additionalProperties": false,
                    },
                ],
            },
        }),
        example: json!({
            "type": "session-revoked",
            "sign_out": SIGN_OUT,
            "session": "c2a7a1f4-6d0b-4b43-9a55-0e3f9d2b7c11",
            "reason": "signed_out",
            "signed_out_at": "2026-11-20T09:30:00.000Z",
            "signed_out_by": {
                "id": "0192f0c1-5a3e-7c11-9d52-3f1f6a0b7c21", "name": "Firefox on Linux",
            },
        }),
    }
}

fn problem() -> Frame {
    let problem = Problem::invalid("type", "must be `heartbeat` or `acknowledgement`");
    Frame {
        name: "problem",
        summary: "A frame was not valid. Nothing has changed.",
        members: json!({
            "problem": {
                "description": "A problem document (RFC 9457), as the API's.",
                "type": "object",
                "required": ["type", "title", "status"],
                "properties": {
                    "type": { "type": "string", "pattern": "^urn:curfew:problem:" },
                    "title": { "type": "string" },
                    "status": { "type": "integer" },
                    "detail": { "type": "string" },
                    "field": { "type": "string" },
                },
            },
        }),
        example: json!({ "type": "problem", "problem": problem.document() }),
    }
}

fn id() -> Value {
    json!({ "type": "string", "format": "uuid" })
}

impl Frame {
    /// Returns the schema. Every member is required, and no other is allowed.
    fn schema(&self) -> Value {
        let mut properties = self.members.as_object().expect("it is an object").clone();
        properties.insert("type".to_owned(), json!({ "const": self.example["type"] }));
        let required: Vec<String> = properties.keys().cloned().collect();
        json!({
            "type": "object",
            "required": required,
            "properties": properties,
            "additionalProperties": false,
        })
    }

    fn message(&self) -> Value {
        let name = self.name;
        json!({
            "name": self.example["type"],
            "title": name,
            "summary": self.summary,
            "contentType": "application/json",
            "payload": { "$ref": format!("#/components/schemas/{name}") },
            "examples": [{ "payload": self.example }],
        })
    }
}
