//! Meters what operations use: their calls, and the capacity units of each table.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use runtime::lock;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::{Engine, ServiceResponse};
use crate::wire::is_write;

/// The calls of an operation and the units that they used.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// The names of the calls, in order.
    pub calls: Vec<String>,
    /// Read units by table.
    #[serde(default)]
    pub reads: BTreeMap<String, f64>,
    /// Write units by table.
    #[serde(default)]
    pub writes: BTreeMap<String, f64>,
}

impl Cost {
    /// Returns the read units of all tables together.
    #[must_use]
    pub fn read_units(&self) -> f64 {
        self.reads.values().sum()
    }

    /// Returns the write units of all tables together.
    #[must_use]
    pub fn write_units(&self) -> f64 {
        self.writes.values().sum()
    }

    /// Returns the calls with repeated ones counted: `25 × TransactWriteItems`.
    #[must_use]
    pub fn counted_calls(&self) -> Vec<String> {
        let runs = self.calls.chunk_by(|one, next| one == next);
        runs.map(|run| match run {
            [call] => call.clone(),
            _ => format!("{} × {}", run.len(), run[0]),
        })
        .collect()
    }

    /// Adds a call. One that failed reports no units, and one to no table has none.
    fn add(&mut self, operation: &str, answer: &ServiceResponse) {
        self.calls.push(operation.to_owned());
        if !answer.is_success() {
            return;
        }
        let answer: Value = serde_json::from_str(&answer.body).expect("an answer is JSON");
        let used = match &answer["ConsumedCapacity"] {
            Value::Array(tables) => tables.clone(),
            one => vec![one.clone()],
        };
        let units = if is_write(operation) {
            &mut self.writes
        } else {
            &mut self.reads
        };
        for table in used {
            let name = table["TableName"].as_str().expect("a table's name");
            let of_table = table["CapacityUnits"].as_f64().expect("a table's units");
            if of_table > 0.0 {
                *units.entry(name.to_owned()).or_default() += of_table;
            }
        }
    }
}

/// Passes calls to an engine and adds up what they use.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    used: Arc<Mutex<Cost>>,
}

impl Meter {
    /// Answers a call as the engine does, with a report of the units it used.
    #[must_use]
    pub fn answer(&self, engine: &Engine, operation: &str, body: &str) -> ServiceResponse {
        let mut body: Value = serde_json::from_str(body).expect("the SDK sends JSON");
        body["ReturnConsumedCapacity"] = "TOTAL".into();
        let answer = engine.answer(operation, &body.to_string());
        lock(&self.used).add(operation, &answer);
        answer
    }

    /// Adds a call to a service that has no capacity units.
    pub fn count(&self, operation: &str) {
        lock(&self.used).calls.push(operation.to_owned());
    }

    /// Returns what was used since the last time.
    #[must_use]
    pub fn take(&self) -> Cost {
        std::mem::take(&mut lock(&self.used))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_calls_are_counted() {
        let calls = ["Query", "UpdateItem", "UpdateItem", "Query"].map(ToOwned::to_owned);
        let cost = Cost {
            calls: calls.into(),
            ..Cost::default()
        };

        assert_eq!(cost.counted_calls(), ["Query", "2 × UpdateItem", "Query"]);
    }
}
