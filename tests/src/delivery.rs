//! The wire formats of SNS, SQS and the gateway's management API: reads the calls
//! that the SDK sends, and builds the answers. Delivers nothing by itself.

use std::collections::BTreeMap;
use std::fmt::Write;

use aws_lambda_events::sqs::SqsEvent;
use aws_lambda_events::streams::SqsEventResponse;
use serde_json::{Value, json};

use crate::engine::ServiceResponse;
use crate::wire::{Call, CallResult};

/// A message that was published to the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its text.
    pub body: String,
    /// The attributes that subscribers filter by.
    pub attributes: BTreeMap<String, String>,
}

/// A message that was sent to a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// The queue's URL.
    pub queue: String,
    /// Its text.
    pub body: String,
    /// Its message attributes.
    pub attributes: BTreeMap<String, String>,
    /// The seconds until it may be received.
    pub delay_s: i64,
}

/// Returns the messages of a `PublishBatch`, each with its id in the call.
#[must_use]
pub fn batch(body: &str) -> Vec<(String, Published)> {
    let form = form(body);
    assert_eq!(form["Action"], "PublishBatch");
    let mut entries = Vec::new();
    for n in 1..=11 {
        let member = format!("PublishBatchRequestEntries.member.{n}");
        let Some(id) = form.get(&format!("{member}.Id")) else {
            break;
        };
        assert!(n <= 10, "SNS takes ten messages in one call");
        let attributes = (1..)
            .map_while(|m| {
                let entry = format!("{member}.MessageAttributes.entry.{m}");
                let name = form.get(&format!("{entry}.Name"))?;
                assert_eq!(form[&format!("{entry}.Value.DataType")], "String");
                let value = form[&format!("{entry}.Value.StringValue")].clone();
                Some((name.clone(), value))
            })
            .collect();
        let message = Published {
            body: form[&format!("{member}.Message")].clone(),
            attributes,
        };
        entries.push((id.clone(), message));
    }
    entries
}

/// Returns the answer to a `PublishBatch`, from the id of each message and, for one
/// that was rejected, its error code.
#[must_use]
pub fn batch_answer(outcomes: &[(String, Option<&str>)]) -> ServiceResponse {
    let (mut successful, mut failed) = (String::new(), String::new());
    for (id, code) in outcomes {
        let written = match code {
            None => {
                let message_id = format!("<MessageId>m-{id}</MessageId>");
                write!(successful, "<member><Id>{id}</Id>{message_id}</member>")
            }
            Some(code) => {
                let fault = "<SenderFault>true</SenderFault>";
                write!(
                    failed,
                    "<member><Id>{id}</Id><Code>{code}</Code>{fault}</member>"
                )
            }
        };
        written.expect("writing to a string succeeds");
    }
    ServiceResponse {
        status: 200,
        body: format!(
            "<PublishBatchResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\">\
             <PublishBatchResult><Successful>{successful}</Successful>\
             <Failed>{failed}</Failed></PublishBatchResult></PublishBatchResponse>"
        ),
    }
}

/// Returns the message of a `SendMessage`.
#[must_use]
pub fn sent(body: &str) -> Queued {
    let message: Value = serde_json::from_str(body).expect("a call of JSON");
    let attributes = message["MessageAttributes"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    Queued {
        queue: text(&message["QueueUrl"]),
        body: text(&message["MessageBody"]),
        attributes: attributes
            .iter()
            .map(|(name, value)| (name.clone(), text(&value["StringValue"])))
            .collect(),
        delay_s: message["DelaySeconds"].as_i64().unwrap_or(0),
    }
}

/// Returns the answer to a `SendMessage`.
#[must_use]
pub fn sent_answer() -> ServiceResponse {
    ServiceResponse {
        status: 200,
        body: json!({ "MessageId": "m" }).to_string(),
    }
}

/// Returns an error answer of SNS to a whole call.
#[must_use]
pub fn sns_error(status: u16, code: &str) -> CallResult {
    CallResult::Answered(ServiceResponse {
        status,
        body: format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>\
             <Message>injected by a test</Message></Error></ErrorResponse>"
        ),
    })
}

/// Returns the socket that a call of the management API names.
#[must_use]
pub fn connection_of(call: &Call) -> String {
    let (_, name) = call
        .path
        .rsplit_once("/@connections/")
        .expect("the path of a connection");
    name.replace("%3D", "=")
}

/// Returns an answer of the management API: a success, or the error that the status
/// stands for.
#[must_use]
pub fn management_response(status: u16) -> ServiceResponse {
    let code = match status {
        200 | 204 => {
            return ServiceResponse {
                status,
                body: String::new(),
            };
        }
        410 => "GoneException",
        429 => "LimitExceededException",
        403 => "ForbiddenException",
        _ => "InternalServerError",
    };
    ServiceResponse::error(status, code)
}

/// Returns the event that delivers messages of a queue, numbered from 0.
#[must_use]
pub fn queue_event(bodies: &[&str]) -> SqsEvent {
    let messages = bodies.iter().enumerate();
    let messages: Vec<Value> = messages
        .map(|(n, body)| json!({ "messageId": n.to_string(), "body": body }))
        .collect();
    event_of_messages(&json!(messages))
}

/// Returns the event that delivers one message of a queue, with the attribute
/// `after` by which a sweep continues.
#[must_use]
pub fn queue_event_after(body: &str, after: Option<&str>) -> SqsEvent {
    let mut message = json!({ "messageId": "0", "body": body, "messageAttributes": {} });
    if let Some(after) = after {
        message["messageAttributes"]["after"] =
            json!({ "stringValue": after, "dataType": "String" });
    }
    event_of_messages(&json!([message]))
}

/// Returns the event that delivers these messages of a queue.
#[must_use]
pub fn event_of_messages(messages: &Value) -> SqsEvent {
    let event = json!({ "Records": messages });
    serde_json::from_value(event).expect("a well-formed event")
}

/// Returns the ids of the messages that a function failed to process.
#[must_use]
pub fn failed_messages(response: SqsEventResponse) -> Vec<String> {
    let failures = response.batch_item_failures.into_iter();
    failures
        .map(|failure| failure.item_identifier.expect("the id of a message"))
        .collect()
}

fn form(body: &str) -> BTreeMap<String, String> {
    body.split('&')
        .map(|pair| {
            let (name, value) = pair.split_once('=').expect("a form is pairs");
            (decoded(name), decoded(value))
        })
        .collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next(), rest.next()].map(|digit| digit.expect("two digits"));
                let digits = str::from_utf8(&digits).expect("digits");
                u8::from_str_radix(digits, 16).expect("hexadecimal digits")
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).expect("a form of text")
}
