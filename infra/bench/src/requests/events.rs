//! Events as Lambda gets them.

use serde_json::{Value, json};

/// Returns an event that a function answers without a call: it is refused, or empty.
pub fn refused(function: &str) -> Value {
    match function {
        "notify-owner" | "publish-revocations" | "push-revocations" | "send-mail" | "sweep" => {
            json!({ "Records": [] })
        }
        "pause-mails" => alarm("OK"),
        "mark-returned-mails" => json!({ "detail": { "mail": {} } }),
        "socket" => {
            let mut event = socket("=");
            event["requestContext"]["eventType"] = "CONNECT".into();
            event
        }
        "authorizer" => {
            let mut event = authorizer("");
            event["headers"] = json!({});
            event["identitySource"] = Value::Null;
            event
        }
        _ => gateway("POST", "/v1/nothing", None, None),
    }
}

/// The event of an alarm in this state.
pub fn alarm(state: &str) -> Value {
    json!({ "alarmData": { "alarmName": "UnprovenBounces", "state": { "value": state } } })
}

/// An SQS event with one message.
pub fn queued(body: &str) -> Value {
    json!({ "Records": [{
        "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        "body": body,
        "attributes": { "ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183" },
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:queue",
        "awsRegion": "eu-central-1",
    }]})
}

/// An event of the HTTP API, with the headers of an app's call.
pub fn gateway(method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> Value {
    let mut headers = json!({
        "accept": "application/json",
        "accept-encoding": "gzip",
        "host": "a1b2c3.execute-api.eu-central-1.amazonaws.com",
        "user-agent": "Mozilla/5.0 (SMART-TV; LINUX; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) 94.0.4606.31/7.0 TV Safari/537.36",
        "x-amzn-trace-id": "Root=1-5e6722a7-cc56xmpl46db7ae02d4da47e",
        "x-forwarded-for": "192.0.2.1",
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
    });
    if let Some(token) = token {
        headers["authorization"] = format!("Bearer {token}").into();
    }
    if body.is_some() {
        headers["content-type"] = "application/json".into();
    }
    json!({
        "version": "2.0",
        "routeKey": format!("{method} {path}"),
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "a1b2c3",
            "domainName": "a1b2c3.execute-api.eu-central-1.amazonaws.com",
            "domainPrefix": "a1b2c3",
            "http": {
                "method": method, "path": path, "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1", "userAgent": "tv",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": format!("{method} {path}"),
            "stage": "$default",
            "time": "20/Nov/2026:12:00:00 +0000",
            "timeEpoch": 1_795_176_000_000_i64,
        },
        "body": body.map(ToString::to_string),
        "isBase64Encoded": false,
    })
}

/// An event of the authorizer.
pub fn authorizer(token: &str) -> Value {
    let mut event = gateway("GET", "/films", Some(token), None);
    event["type"] = "REQUEST".into();
    event["routeArn"] = "arn:aws:execute-api:eu-central-1:1:a1b2c3/$default/GET/films".into();
    event["identitySource"] = json!([format!("Bearer {token}")]);
    event
}

/// A heartbeat.
pub fn socket(connection: &str) -> Value {
    json!({
        "headers": {},
        "requestContext": {
            "apiId": "a1b2c3",
            "connectedAt": 1_795_176_000_000_i64,
            "connectionId": connection,
            "domainName": "a1b2c3.execute-api.eu-central-1.amazonaws.com",
            "eventType": "MESSAGE",
            "extendedRequestId": "JKJaXmPLvHcESHA=",
            "identity": { "sourceIp": "192.0.2.1", "userAgent": "tv" },
            "messageDirection": "IN",
            "requestId": "JKJaXmPLvHcESHA=",
            "requestTime": "20/Nov/2026:12:00:00 +0000",
            "requestTimeEpoch": 1_795_176_000_000_i64,
            "routeKey": "$default",
            "stage": "v1",
        },
        "body": "{\"type\":\"heartbeat\"}",
        "isBase64Encoded": false,
    })
}
