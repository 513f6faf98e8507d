//! SNS and SQS as the SDK speaks to them: what a call carries, and how it is
//! answered. What becomes of a message is the caller's to decide.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use crate::engine::Answer;

/// A message that the topic is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The text.
    pub body: String,
    /// What subscribers filter by.
    pub attributes: BTreeMap<String, String>,
}

/// A message that a queue is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// The queue's URL.
    pub queue: String,
    /// The text.
    pub body: String,
    /// What is written beside it.
    pub attributes: BTreeMap<String, String>,
    /// After how long it may be received.
    pub delay_s: i64,
}

/// The messages of a `PublishBatch`, each with its id in the call.
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

/// The answer to a `PublishBatch`: the id of each message, and the code of what
/// is wrong with it, if it was not taken.
#[must_use]
pub fn batch_answer(outcomes: &[(String, Option<&str>)]) -> Answer {
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
        written.expect("a text takes what is written");
    }
    Answer {
        status: 200,
        body: format!(
            "<PublishBatchResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\">\
             <PublishBatchResult><Successful>{successful}</Successful>\
             <Failed>{failed}</Failed></PublishBatchResult></PublishBatchResponse>"
        ),
    }
}

/// The message of a `SendMessage`.
#[must_use]
pub fn sent(body: &str) -> Queued {
    let message: Value = serde_json::from_str(body).expect("a call of JSON");
    let attributes = message["MessageAttributes"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
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

/// The answer to a `SendMessage`.
#[must_use]
pub fn sent_answer() -> Answer {
    Answer {
        status: 200,
        body: json!({ "MessageId": "m" }).to_string(),
    }
}

fn form(body: &str) -> BTreeMap<String, String> {
    body.split('&')
        .map(|pair| {
            let (name, value) = pair.split_once('=').expect("a form has pairs");
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
