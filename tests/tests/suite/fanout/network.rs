//! SNS and SQS as the SDK meets them, beside the embedded DynamoDB: what they were
//! sent is remembered, and a test decides which call goes wrong, and how.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};

use curfew_tests::engine::{Answer, Engine};
use curfew_tests::wire::{self, Call, Fate};
use serde_json::{Value, json};
use start::Clients;

/// What the topic was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub body: String,
    pub attributes: BTreeMap<String, String>,
}

/// What a queue was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    pub queue: String,
    pub body: String,
    pub attributes: BTreeMap<String, String>,
}

/// What becomes of a call.
pub enum Verdict {
    /// It is made, and answered.
    Made,
    /// It is made, and its answer is lost.
    AnswerLost,
    /// It is not made.
    Instead(Fate),
}

type Judge = Box<dyn FnMut(&str) -> Verdict + Send>;
type Refusal = Box<dyn Fn(&Published) -> Option<&'static str> + Send>;

/// The services, and all that they were sent.
pub struct Network {
    pub engine: Engine,
    topic: Mutex<Vec<Published>>,
    queues: Mutex<Vec<Queued>>,
    operations: Mutex<Vec<String>>,
    judge: Mutex<Judge>,
    refusal: Mutex<Refusal>,
}

impl Network {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            engine: Engine::new(),
            topic: Mutex::default(),
            queues: Mutex::default(),
            operations: Mutex::default(),
            judge: Mutex::new(Box::new(|_| Verdict::Made)),
            refusal: Mutex::new(Box::new(|_| None)),
        })
    }

    pub fn clients(self: &Arc<Self>) -> Clients {
        let network = Arc::clone(self);
        wire::clients(move |call| network.decide(&call))
    }

    /// Lets every later call be judged by its operation.
    pub fn judge(&self, judge: impl FnMut(&str) -> Verdict + Send + 'static) {
        *self.judge.lock().unwrap() = Box::new(judge);
    }

    /// Lets every later call be made.
    pub fn mend(&self) {
        self.judge(|_| Verdict::Made);
        self.refuse(|_| None);
    }

    /// Lets SNS fail single messages, with a code.
    pub fn refuse(&self, refusal: impl Fn(&Published) -> Option<&'static str> + Send + 'static) {
        *self.refusal.lock().unwrap() = Box::new(refusal);
    }

    /// What the topic was sent so far, in its order.
    pub fn published(&self) -> Vec<Published> {
        self.topic.lock().unwrap().clone()
    }

    /// What the queues were sent since they were last asked.
    pub fn take_queued(&self) -> Vec<Queued> {
        std::mem::take(&mut self.queues.lock().unwrap())
    }

    /// The operations so far, in their order.
    pub fn operations(&self) -> Vec<String> {
        self.operations.lock().unwrap().clone()
    }

    fn decide(&self, call: &Call) -> Fate {
        // SNS is called by forms, and names the operation in the body.
        let operation = if call.operation.is_empty() {
            "PublishBatch"
        } else {
            call.operation.as_str()
        };
        self.operations.lock().unwrap().push(operation.to_owned());
        let verdict = (self.judge.lock().unwrap())(operation);
        match verdict {
            Verdict::Made => Fate::Answered(self.make(operation, &call.body)),
            Verdict::AnswerLost => {
                let _ = self.make(operation, &call.body);
                Fate::Broken
            }
            Verdict::Instead(fate) => fate,
        }
    }

    fn make(&self, operation: &str, body: &str) -> Answer {
        match operation {
            "PublishBatch" => self.publish(body),
            "SendMessage" => self.send(body),
            _ => self.engine.answer(operation, body),
        }
    }

    fn publish(&self, body: &str) -> Answer {
        let form = form(body);
        assert_eq!(form["Action"], "PublishBatch");
        let (mut successful, mut failed) = (String::new(), String::new());
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
                    Some((
                        name.clone(),
                        form[&format!("{entry}.Value.StringValue")].clone(),
                    ))
                })
                .collect();
            let message = Published {
                body: form[&format!("{member}.Message")].clone(),
                attributes,
            };
            if let Some(code) = (self.refusal.lock().unwrap())(&message) {
                let fault = "<SenderFault>true</SenderFault>";
                write!(
                    failed,
                    "<member><Id>{id}</Id><Code>{code}</Code>{fault}</member>"
                )
                .unwrap();
            } else {
                let message_id = format!("<MessageId>m-{n}</MessageId>");
                write!(successful, "<member><Id>{id}</Id>{message_id}</member>").unwrap();
                self.topic.lock().unwrap().push(message);
            }
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

    fn send(&self, body: &str) -> Answer {
        let message: Value = serde_json::from_str(body).unwrap();
        let attributes = message["MessageAttributes"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        self.queues.lock().unwrap().push(Queued {
            queue: text(&message["QueueUrl"]),
            body: text(&message["MessageBody"]),
            attributes: attributes
                .iter()
                .map(|(name, value)| (name.clone(), text(&value["StringValue"])))
                .collect(),
        });
        Answer {
            status: 200,
            body: json!({ "MessageId": "m" }).to_string(),
        }
    }
}

/// An error of SNS as a whole.
pub fn sns_error(status: u16, code: &str) -> Fate {
    Fate::Answered(Answer {
        status,
        body: format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>\
             <Message>made by a test</Message></Error></ErrorResponse>"
        ),
    })
}

fn form(body: &str) -> BTreeMap<String, String> {
    body.split('&')
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap();
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
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}
