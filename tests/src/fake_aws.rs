//! AWS as the functions reach it, in process: the embedded DynamoDB, and stand-ins
//! for SNS, SQS, SES, KMS and the gateway's management API. A test reads what was sent, and
//! decides which calls fail and how.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use runtime::{Clients, lock};
use serde_json::Value;

use crate::delivery::{self, Published, Queued};
use crate::engine::{Engine, ServiceResponse};
use crate::kms;
use crate::wire::{self, Call, CallResult, Slot};

/// A test's decision about one call.
#[derive(Debug)]
pub enum Intercept {
    /// The service handles the call and answers it.
    Make,
    /// The service handles the call, and its answer is lost.
    LoseAnswer,
    /// The service never sees the call; the caller gets this instead.
    Replace(CallResult),
}

type Interceptor = Box<dyn FnMut(&Call) -> Intercept + Send>;
type Rejection = Box<dyn Fn(&Published) -> Option<&'static str> + Send>;

#[derive(Default)]
struct Recorded {
    calls: Vec<Call>,
    published: Vec<Published>,
    queued: Vec<Queued>,
    open: BTreeSet<String>,
    frames: Vec<(String, Value)>,
    closed: Vec<String>,
    mails: Vec<Value>,
    statuses: BTreeMap<String, u16>,
}

/// The services, and everything that they were sent.
pub struct FakeAws {
    /// The tables.
    pub engine: Engine,
    recorded: Mutex<Recorded>,
    interceptor: Mutex<Interceptor>,
    rejection: Mutex<Rejection>,
}

impl fmt::Debug for FakeAws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeAws(…)")
    }
}

impl FakeAws {
    /// Returns services with empty tables and without open sockets.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            engine: Engine::new(),
            recorded: Mutex::default(),
            interceptor: Mutex::new(Box::new(|_| Intercept::Make)),
            rejection: Mutex::new(Box::new(|_| None)),
        })
    }

    /// Returns the product's clients, connected to these services.
    #[must_use]
    pub fn clients(self: &Arc<Self>) -> Clients {
        let aws = self.clone();
        wire::clients(move |call| aws.receive(&call))
    }

    // --- Faults -------------------------------------------------------------

    /// Asks the test about every later call.
    pub fn intercept(&self, interceptor: impl FnMut(&Call) -> Intercept + Send + 'static) {
        *lock(&self.interceptor) = Box::new(interceptor);
    }

    /// Fails every later call of one operation.
    pub fn fail(&self, operation: &'static str, result: impl Fn() -> CallResult + Send + 'static) {
        self.intercept(move |call| {
            if call.operation == operation {
                Intercept::Replace(result())
            } else {
                Intercept::Make
            }
        });
    }

    /// Breaks the connection of one later call, the next one being number 1: before
    /// the service sees the call, or after it has handled it.
    pub fn fail_call(&self, number: usize, is_made: bool) {
        let mut calls = 0;
        self.intercept(move |_| {
            calls += 1;
            match (calls == number, is_made) {
                (false, _) => Intercept::Make,
                (true, true) => Intercept::LoseAnswer,
                (true, false) => Intercept::Replace(CallResult::Broken),
            }
        });
    }

    /// Makes a request whose transaction on a table is held up for something else, and then
    /// made as `change` returns it. Ends every fault.
    pub async fn hold_up<T>(
        &self,
        table: &'static str,
        request: impl Future<Output = T>,
        meanwhile: impl Future<Output = ()>,
        change: impl FnOnce(Call) -> Call,
    ) -> T {
        let is_it =
            move |call: &Call| call.operation == "TransactWriteItems" && call.body.contains(table);
        self.hold_up_call(is_it, request, meanwhile, change).await
    }

    /// As [`Self::hold_up`], for any call.
    pub async fn hold_up_call<T>(
        &self,
        is_it: impl Fn(&Call) -> bool + Send + 'static,
        request: impl Future<Output = T>,
        meanwhile: impl Future<Output = ()>,
        change: impl FnOnce(Call) -> Call,
    ) -> T {
        let (slot, held) = (Slot::default(), Arc::new(Mutex::new(None)));
        let (parked, answers) = (held.clone(), slot.clone());
        let mut is_held = false;
        self.intercept(move |call| {
            if is_held || !is_it(call) {
                return Intercept::Make;
            }
            is_held = true;
            *lock(&parked) = Some(call.clone());
            Intercept::Replace(CallResult::Waiting(answers.clone()))
        });
        let release = async {
            while lock(&held).is_none() {
                tokio::task::yield_now().await;
            }
            let call = lock(&held).take().expect("it is held up");
            meanwhile.await;
            slot.fill(self.make(&change(call)));
        };
        let (done, ()) = tokio::join!(request, release);
        self.restore();
        done
    }

    /// Lets SNS reject single messages of a batch, each with an error code.
    pub fn reject(&self, rejection: impl Fn(&Published) -> Option<&'static str> + Send + 'static) {
        *lock(&self.rejection) = Box::new(rejection);
    }

    /// Lets the gateway answer every frame to a socket with a status.
    pub fn answer_frames_with(&self, socket: &str, status: u16) {
        lock(&self.recorded)
            .statuses
            .insert(socket.to_owned(), status);
    }

    /// Ends every fault: later calls are made and answered.
    pub fn restore(&self) {
        self.intercept(|_| Intercept::Make);
        self.reject(|_| None);
        lock(&self.recorded).statuses.clear();
    }

    // --- What was sent ------------------------------------------------------

    /// Returns the calls since they were last cleared, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.recorded).calls.clone()
    }

    /// Returns the operations of [`FakeAws::calls`].
    #[must_use]
    pub fn operations(&self) -> Vec<String> {
        let recorded = lock(&self.recorded);
        let calls = recorded.calls.iter();
        calls.map(|call| call.operation.clone()).collect()
    }

    /// Starts counting calls from here.
    pub fn clear_calls(&self) {
        lock(&self.recorded).calls.clear();
    }

    /// Returns the operations since they were last cleared, and clears them.
    #[must_use]
    pub fn take_operations(&self) -> Vec<String> {
        let operations = self.operations();
        self.clear_calls();
        operations
    }

    /// Returns every message that the topic has taken, in order.
    #[must_use]
    pub fn published(&self) -> Vec<Published> {
        lock(&self.recorded).published.clone()
    }

    /// Returns the messages that the queues were sent, and clears them.
    #[must_use]
    pub fn take_queued(&self) -> Vec<Queued> {
        std::mem::take(&mut lock(&self.recorded).queued)
    }

    /// Returns the mails that SES has taken, as the calls that sent them, and clears them.
    #[must_use]
    pub fn take_mails(&self) -> Vec<Value> {
        std::mem::take(&mut lock(&self.recorded).mails)
    }

    // --- Sockets ------------------------------------------------------------

    /// Registers a socket, as the gateway does when its handshake has succeeded.
    pub fn open(&self, socket: &str) {
        lock(&self.recorded).open.insert(socket.to_owned());
    }

    /// Drops a socket without a disconnect event.
    pub fn lose(&self, socket: &str) {
        lock(&self.recorded).open.remove(socket);
    }

    /// Returns whether a socket is open.
    #[must_use]
    pub fn is_open(&self, socket: &str) -> bool {
        lock(&self.recorded).open.contains(socket)
    }

    /// Returns the frames that a socket was sent, in order.
    #[must_use]
    pub fn frames(&self, socket: &str) -> Vec<Value> {
        let recorded = lock(&self.recorded);
        let of_socket = recorded.frames.iter().filter(|(to, _)| to == socket);
        of_socket.map(|(_, frame)| frame.clone()).collect()
    }

    /// Returns the frames that all sockets were sent, each with its socket.
    #[must_use]
    pub fn all_frames(&self) -> Vec<(String, Value)> {
        lock(&self.recorded).frames.clone()
    }

    /// Returns the sockets that the functions closed, in order.
    #[must_use]
    pub fn closed(&self) -> Vec<String> {
        lock(&self.recorded).closed.clone()
    }

    // --- Tables -------------------------------------------------------------

    /// Returns every row of a table, in no order.
    #[must_use]
    pub fn rows(&self, table: &str) -> Vec<Value> {
        let rows = self.engine.rows(table);
        rows.iter()
            .map(|row| serde_json::to_value(row).expect("a row is JSON"))
            .collect()
    }

    /// Returns every row of some tables as text in a fixed order, so that two states
    /// of the tables can be compared.
    #[must_use]
    pub fn contents(&self, tables: &[&str]) -> Vec<String> {
        let mut rows: Vec<String> = tables
            .iter()
            .flat_map(|table| self.rows(table))
            .map(|row| {
                let row: BTreeMap<String, Value> =
                    serde_json::from_value(row).expect("a row is an object");
                format!("{row:?}")
            })
            .collect();
        rows.sort();
        rows
    }

    // --- The services -------------------------------------------------------

    fn receive(&self, call: &Call) -> CallResult {
        lock(&self.recorded).calls.push(call.clone());
        let decision = (lock(&self.interceptor))(call);
        match decision {
            Intercept::Make => CallResult::Answered(self.make(call)),
            Intercept::LoseAnswer => {
                let _lost = self.make(call);
                CallResult::Broken
            }
            Intercept::Replace(result) => result,
        }
    }

    /// Handles a call and returns its answer.
    #[must_use]
    pub fn make(&self, call: &Call) -> ServiceResponse {
        match call.operation.as_str() {
            "PublishBatch" => self.publish(&call.body),
            "SendMessage" => {
                let queued = delivery::sent(&call.body);
                lock(&self.recorded).queued.push(queued);
                delivery::sent_answer()
            }
            "SendEmail" => {
                let mail = serde_json::from_str(&call.body).expect("a call of JSON");
                lock(&self.recorded).mails.push(mail);
                delivery::sent_answer()
            }
            "PutConfigurationSetSendingOptions" => delivery::sent_answer(),
            "PostToConnection" => self.post(delivery::connection_of(call), &call.body),
            "DeleteConnection" => self.close(delivery::connection_of(call)),
            "Encrypt" | "Decrypt" => kms::answer(&call.operation, &call.body),
            operation => self.engine.answer(operation, &call.body),
        }
    }

    fn publish(&self, body: &str) -> ServiceResponse {
        let rejection = lock(&self.rejection);
        let entries = delivery::batch(body).into_iter();
        let outcomes: Vec<_> = entries
            .map(|(id, message)| {
                let code = rejection(&message);
                if code.is_none() {
                    lock(&self.recorded).published.push(message);
                }
                (id, code)
            })
            .collect();
        delivery::batch_answer(&outcomes)
    }

    fn post(&self, socket: String, frame: &str) -> ServiceResponse {
        let mut recorded = lock(&self.recorded);
        if let Some(status) = recorded.statuses.get(&socket) {
            return delivery::management_response(*status);
        }
        if !recorded.open.contains(&socket) {
            return delivery::management_response(410);
        }
        let frame = serde_json::from_str(frame).expect("a frame of JSON");
        recorded.frames.push((socket, frame));
        delivery::management_response(200)
    }

    fn close(&self, socket: String) -> ServiceResponse {
        let mut recorded = lock(&self.recorded);
        if !recorded.open.remove(&socket) {
            return delivery::management_response(410);
        }
        recorded.closed.push(socket);
        delivery::management_response(204)
    }
}
