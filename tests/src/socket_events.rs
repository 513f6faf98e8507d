//! The events of a socket, as the gateway sends them to the function.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::bundle::ORIGIN;

/// Returns the handshake of a socket with these headers, in the order in which they
/// were sent.
#[must_use]
pub fn handshake(socket: &str, headers: &[(&str, &str)]) -> socket::Event {
    let mut last: BTreeMap<&str, &str> = BTreeMap::from([("Host", "sockets.invalid")]);
    let mut all: BTreeMap<&str, Vec<&str>> = BTreeMap::from([("Host", vec!["sockets.invalid"])]);
    for (name, value) in headers {
        last.insert(name, value);
        all.entry(name).or_default().push(value);
    }
    event(&json!({
        "headers": last,
        "multiValueHeaders": all,
        "queryStringParameters": null,
        "multiValueQueryStringParameters": null,
        "requestContext": context(socket, "CONNECT", "$connect"),
        "body": "",
        "isBase64Encoded": false,
    }))
}

/// Returns the handshake of a device that presents its token.
#[must_use]
pub fn by_token(token: &str, socket: &str) -> socket::Event {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("Authorization", &*bearer),
        ("Sec-WebSocket-Protocol", "curfew.v1"),
    ];
    handshake(socket, &headers)
}

/// Returns the handshake of a page that presents a ticket.
#[must_use]
pub fn by_ticket(ticket: &str, socket: &str) -> socket::Event {
    let offered = format!("curfew.v1, curfew.ticket.{ticket}");
    let headers = [("Origin", ORIGIN), ("Sec-WebSocket-Protocol", &*offered)];
    handshake(socket, &headers)
}

/// Returns the event of a frame that a device sent.
#[must_use]
pub fn frame(socket: &str, text: &str) -> socket::Event {
    let route = serde_json::from_str::<Value>(text).ok();
    let route = route.as_ref().and_then(|frame| frame["type"].as_str());
    let mut context = context(socket, "MESSAGE", route.unwrap_or("$default"));
    context["messageId"] = "message".into();
    event(&json!({ "requestContext": context, "body": text, "isBase64Encoded": false }))
}

/// Returns the event of a socket that was closed.
#[must_use]
pub fn disconnect(socket: &str) -> socket::Event {
    let mut context = context(socket, "DISCONNECT", "$disconnect");
    context["disconnectStatusCode"] = 1005.into();
    event(&json!({ "requestContext": context, "body": "", "isBase64Encoded": false }))
}

fn event(event: &Value) -> socket::Event {
    serde_json::from_value(event.clone()).expect("a well-formed event")
}

fn context(socket: &str, event_type: &str, route: &str) -> Value {
    json!({
        "routeKey": route,
        "eventType": event_type,
        "stage": "v1",
        "connectedAt": 1_795_176_000_000_i64,
        "requestTimeEpoch": 1_795_176_000_000_i64,
        "requestId": "test",
        "domainName": "a1b2c3.execute-api.eu-central-1.amazonaws.com",
        "connectionId": socket,
        "apiId": "a1b2c3",
        "identity": { "sourceIp": "192.0.2.1" },
    })
}
