//! What calls to the tables used: the calls themselves, and the capacity that the
//! tables say they took.

use std::sync::{Arc, Mutex};

use runtime::lock;
use serde::Serialize;
use serde_json::Value;

use crate::engine::{Answer, Engine};
use crate::wire::is_write;

/// What an operation used.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Cost {
    /// The calls by their operation, in their order.
    pub calls: Vec<String>,
    /// Read units.
    pub reads: f64,
    /// Write units.
    pub writes: f64,
}

impl Cost {
    /// These calls, with their units.
    #[must_use]
    pub fn of(calls: &[&str], reads: f64, writes: f64) -> Self {
        Self {
            calls: calls.iter().map(ToString::to_string).collect(),
            reads,
            writes,
        }
    }

    /// One more call. Only one that succeeded tells its units.
    fn add(&mut self, operation: &str, answer: &Answer) {
        self.calls.push(operation.to_owned());
        if !answer.is_success() {
            return;
        }
        let answer: Value = serde_json::from_str(&answer.body).expect("an answer is JSON");
        let used = match &answer["ConsumedCapacity"] {
            Value::Array(tables) => tables.clone(),
            one => vec![one.clone()],
        };
        let units: f64 = used
            .iter()
            .map(|table| table["CapacityUnits"].as_f64().expect("what was used"))
            .sum();
        if is_write(operation) {
            self.writes += units;
        } else {
            self.reads += units;
        }
    }
}

/// Passes calls on to an engine, and adds up what they used.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    used: Arc<Mutex<Cost>>,
}

impl Meter {
    /// Answers a call as the engine does, which is asked what the call used.
    #[must_use]
    pub fn answer(&self, engine: &Engine, operation: &str, body: &str) -> Answer {
        let mut body: Value = serde_json::from_str(body).expect("the SDK sends JSON");
        body["ReturnConsumedCapacity"] = "TOTAL".into();
        let answer = engine.answer(operation, &body.to_string());
        lock(&self.used).add(operation, &answer);
        answer
    }

    /// What was used since this was last asked.
    #[must_use]
    pub fn take(&self) -> Cost {
        std::mem::take(&mut lock(&self.used))
    }
}
