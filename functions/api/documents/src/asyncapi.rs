//! The `AsyncAPI` document (version 3.0.0): the frames on a device's socket and
//! the events on the topic.

use serde_json::{Map, Value, json};

use crate::frames;

/// The path of the checked-in document.
pub const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../asyncapi.json");

/// Returns the document.
///
/// # Panics
/// When an event's schema is not a JSON object.
#[must_use]
pub fn document() -> Value {
    let mut schemas = Map::new();
    schemas.insert("attributes".to_owned(), attributes());
    let mut messages = frames::messages(&mut schemas);
    messages.append(&mut events(&mut schemas));
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Curfew: the socket and the events",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The messages to a device over its socket when its session has ended, and \
                the events for the services of the adopting team on the topic. Every message can \
                arrive twice and out of order: decide by the sessions and epochs that it names.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "defaultContentType": "application/json",
        "servers": servers(),
        "channels": channels(),
        "operations": operations(),
        "components": { "messages": messages, "schemas": schemas, "securitySchemes": security() },
    })
}

/// Returns the text of the document, as it is checked in.
#[must_use]
pub fn text() -> String {
    crate::text(&document())
}

fn channels() -> Value {
    json!({
        "socket": {
            "address": "/",
            "title": "A device's socket",
            "servers": [{ "$ref": "#/servers/socket" }],
            "messages": named(&frames::NAMES.map(str::to_owned)),
            "bindings": { "ws": { "method": "GET", "headers": handshake() } },
        },
        "events": {
            "address": null,
            "title": "The topic of the events",
            "description": "An SNS topic; its ARN is the output `TopicArn` of the stack.",
            "servers": [{ "$ref": "#/servers/topic" }],
            "messages": named(&event_names()),
        },
    })
}

fn operations() -> Value {
    json!({
        "tellEnd": operation("send", "socket", &["sessionRevoked"],
            "Notifies a device that its session has ended. No other frame is sent to such a \
             device."),
        "refuseFrame": operation("send", "socket", &["problem"],
            "Reports an invalid frame to a device that is signed in. Nothing has changed."),
        "hearHeartbeat": operation("receive", "socket", &["heartbeat"],
            "Receives that the device is in use. Has no answer."),
        "hearAcknowledgement": operation("receive", "socket", &["acknowledgement"],
            "Receives that the device has wiped its data, and closes the socket."),
        "publish": operation("send", "events",
            &event_names().iter().map(String::as_str).collect::<Vec<_>>(),
            "Publishes what happened to sessions, each event at least once."),
    })
}

/// Returns the messages of the events, and adds their schemas to `schemas`.
fn events(schemas: &mut Map<String, Value>) -> Map<String, Value> {
    let mut messages = Map::new();
    for (event, text) in events::SCHEMAS {
        let name = event.as_str();
        let mut schema: Value = serde_json::from_str(text).expect("a schema is JSON");
        let object = schema.as_object_mut().expect("an object");
        // Within the document, its path names it.
        object.remove("$schema");
        object.remove("$id");
        let summary = object["description"].clone();
        point_into(&mut schema, &format!("#/components/schemas/{name}"));
        schemas.insert(name.to_owned(), schema);
        let message = json!({
            "name": name,
            "title": name,
            "summary": summary,
            "contentType": "application/json",
            "headers": { "$ref": "#/components/schemas/attributes" },
            "payload": { "$ref": format!("#/components/schemas/{name}") },
        });
        messages.insert(name.to_owned(), message);
    }
    messages
}

fn event_names() -> Vec<String> {
    let names = events::SCHEMAS.iter();
    names.map(|(event, _)| event.as_str().to_owned()).collect()
}

fn servers() -> Value {
    json!({
        "socket": {
            "host": "{api}.execute-api.{region}.amazonaws.com",
            "pathname": "/v1",
            "protocol": "wss",
            "description": "The output `SocketUrl` of the stack, and the `url` that comes with a ticket. \
                A device can have 16 open sockets, and an account 8,192; with one more, the oldest is \
                closed.",
            "variables": {
                "api": { "description": "The id of the WebSocket API." },
                "region": { "description": "The Region of the stack." },
            },
            "security": [
                { "$ref": "#/components/securitySchemes/token" },
                { "$ref": "#/components/securitySchemes/ticket" },
            ],
        },
        "topic": {
            "host": "sns.{region}.amazonaws.com",
            "protocol": "sns",
            "description": "Subscribe a queue or an endpoint to the topic.",
            "variables": { "region": { "description": "The Region of the stack." } },
        },
    })
}

fn security() -> Value {
    json!({
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "A native client sends its token in the `Authorization` header of the handshake.",
        },
        "ticket": {
            "type": "httpApiKey",
            "in": "header",
            "name": "Sec-WebSocket-Protocol",
            "description": "A page offers the subprotocols `curfew.v1` and `curfew.ticket.` with a \
                ticket (the HTTP API's operation `createSocketTicket`), good for one handshake \
                within 30 seconds. The answer chooses `curfew.v1`. A session can have 16 unused \
                tickets; with one more, the oldest no longer works.",
        },
    })
}

/// Returns the headers that a handshake may have.
fn handshake() -> Value {
    json!({
        "type": "object",
        "properties": {
            "Authorization": { "type": "string", "pattern": "^Bearer cft_[A-Za-z0-9_-]{92}$" },
            "Sec-WebSocket-Protocol": {
                "type": "string",
                "pattern": "^curfew\\.v1, curfew\\.ticket\\.cfs_[A-Za-z0-9_-]{70}$",
            },
            "Origin": {
                "type": "string",
                "description": "With a token, any origin is accepted. With a ticket that was \
                    requested with an `Origin`, it must be the same one.",
            },
        },
    })
}

/// Returns the message attributes that a subscriber can filter by.
fn attributes() -> Value {
    json!({
        "type": "object",
        "required": ["event_type", "account_id"],
        "properties": {
            "event_type": { "enum": event_names() },
            "account_id": { "type": "string", "format": "uuid" },
            "scope": {
                "description": "Only on the message that announces a sign-out.",
                "enum": ["local", "device", "others", "global"],
            },
        },
    })
}

fn named(names: &[String]) -> Value {
    let messages = names.iter().map(|name| {
        let message = json!({ "$ref": format!("#/components/messages/{name}") });
        (name.clone(), message)
    });
    Value::Object(messages.collect())
}

fn operation(action: &str, channel: &str, messages: &[&str], summary: &str) -> Value {
    let messages: Vec<Value> = messages
        .iter()
        .map(|name| json!({ "$ref": format!("#/channels/{channel}/messages/{name}") }))
        .collect();
    json!({
        "action": action,
        "channel": { "$ref": format!("#/channels/{channel}") },
        "messages": messages,
        "summary": summary,
    })
}

/// Rewrites the references within a schema to start at the document.
fn point_into(value: &mut Value, place: &str) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(target) if name == "$ref" => {
                        if let Some(within) = target.strip_prefix('#') {
                            *target = format!("{place}{within}");
                        }
                    }
                    member => point_into(member, place),
                }
            }
        }
        Value::Array(members) => {
            for member in members {
                point_into(member, place);
            }
        }
        _ => {}
    }
}
