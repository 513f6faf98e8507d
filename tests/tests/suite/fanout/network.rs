//! SNS and SQS as the SDK meets them, beside the embedded DynamoDB: what they were
//! sent is remembered, and a test decides which call goes wrong, and how.

use std::sync::{Arc, Mutex};

use curfew_tests::delivery;
pub use curfew_tests::delivery::{Published, Queued};
use curfew_tests::engine::{Answer, Engine};
use curfew_tests::wire::{self, Call, Fate};
use runtime::Clients;

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
type AuthError = Box<dyn Fn(&Published) -> Option<&'static str> + Send>;

/// The services, and all that they were sent.
pub struct Network {
    pub engine: Engine,
    topic: Mutex<Vec<Published>>,
    queues: Mutex<Vec<Queued>>,
    operations: Mutex<Vec<String>>,
    judge: Mutex<Judge>,
    refusal: Mutex<AuthError>,
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
        let refusal = self.refusal.lock().unwrap();
        let entries = delivery::batch(body).into_iter();
        let outcomes: Vec<_> = entries
            .map(|(id, message)| {
                let code = refusal(&message);
                if code.is_none() {
                    self.topic.lock().unwrap().push(message);
                }
                (id, code)
            })
            .collect();
        delivery::batch_answer(&outcomes)
    }

    fn send(&self, body: &str) -> Answer {
        self.queues.lock().unwrap().push(delivery::sent(body));
        delivery::sent_answer()
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
