//! The calls of the operations: they wait until the schedule makes them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use runtime::lock;
use serde_json::{Value, json};

use crate::delivery;
use crate::engine::Engine;
use crate::kms;
use crate::races::clauses::{self, Clause};
use crate::tables::{CHALLENGES, IDENTITIES, RECEIPTS};
use crate::wire::{Call, CallResult, Slot};

/// A call that waits for the schedule.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) call: Call,
    /// Whether it records a contact.
    pub(super) is_contact: bool,
    pub(super) slot: Slot,
    /// The rows to read, each with its number, table and call.
    pub(super) parts: Vec<(usize, String, String)>,
    /// The rows that were read, by table.
    pub(super) found: BTreeMap<String, Vec<Value>>,
}

/// The calls that wait, and the operation whose turn it is.
#[derive(Debug, Default)]
pub(super) struct PendingCalls {
    pub(super) engine: Option<Engine>,
    /// The operation that runs. Without one, calls are answered at once.
    pub(super) actor: Option<usize>,
    pub(super) waiting: BTreeMap<usize, Waiting>,
    /// The clause that calls outside of the race are made without.
    pub(super) knocked_out: Option<Clause>,
    /// Whether an operation of the race writes addresses, so that reading one is a step.
    pub(super) reads_addresses: bool,
    pub(super) handed_over: Arc<Mutex<BTreeMap<usize, String>>>,
}

impl PendingCalls {
    pub(super) fn engine(&self) -> &Engine {
        self.engine.as_ref().expect("an engine")
    }
}

/// Receives a call. SNS, SQS and KMS answer at once: they take no part in a race.
pub(super) fn receive(pending: &mut PendingCalls, call: Call) -> CallResult {
    match call.operation.as_str() {
        "PublishBatch" => {
            let messages = delivery::batch(&call.body).into_iter();
            let outcomes: Vec<_> = messages.map(|(id, _)| (id, None)).collect();
            return CallResult::Answered(delivery::batch_answer(&outcomes));
        }
        "Encrypt" | "Decrypt" => {
            return CallResult::Answered(kms::answer(&call.operation, &call.body));
        }
        "SendMessage" => {
            let place = delivery::sent(&call.body).attributes["after"].clone();
            let actor = pending.actor.expect("a sweep is an operation of a race");
            lock(&pending.handed_over).insert(actor, place);
            return CallResult::Answered(delivery::sent_answer());
        }
        _ => {}
    }
    let Some(actor) = pending.actor else {
        let is_its_own = |clause: &&Clause| clause.operation == clauses::made_by("", &call);
        let knocked_out = pending.knocked_out.as_ref().filter(is_its_own);
        let call = clauses::weakened(call, knocked_out);
        let answer = pending.engine().answer(&call.operation, &call.body);
        return CallResult::Answered(answer);
    };
    let is_of_an_address = pending.reads_addresses && call.body.contains(IDENTITIES);
    let is_read = call.operation == "GetItem" && !is_of_an_address;
    let is_try = call.operation == "UpdateItem" && call.body.contains(CHALLENGES);
    if is_read || is_try || call.is_of_a_counter() {
        // It reads an address, which no operation of this race writes, a challenge or a notice,
        // or it counts a try or an attempt. None of these says anything about sessions.
        let answer = pending.engine().answer(&call.operation, &call.body);
        return CallResult::Answered(answer);
    }
    let slot = Slot::default();
    let parts = match call.operation.as_str() {
        "BatchGetItem" => rows_of(&call.body),
        _ if call.is_write() => Vec::new(),
        _ => vec![(0, String::new(), call.body.clone())],
    };
    let waiting = Waiting {
        is_contact: clauses::is_contact(&call),
        call,
        slot: slot.clone(),
        parts,
        found: BTreeMap::new(),
    };
    let before = pending.waiting.insert(actor, waiting);
    assert!(before.is_none(), "an operation makes one call at a time");
    CallResult::Waiting(slot)
}

/// Returns the rows that a `BatchGetItem` reads, each with its own call.
fn rows_of(body: &str) -> Vec<(usize, String, String)> {
    let body: Value = serde_json::from_str(body).expect("a call of JSON");
    let tables = body["RequestItems"].as_object().expect("its tables");
    let mut asked = Vec::new();
    for (table, ask) in tables {
        for key in ask["Keys"].as_array().expect("its keys") {
            let one = json!({ "RequestItems": { table: {
                "Keys": [key], "ConsistentRead": ask["ConsistentRead"],
            } } });
            // The SDK writes the attributes of a key in any order, so they can not sort.
            let device = key["device_id"]["S"].as_str().unwrap_or_default();
            asked.push((table.clone(), device.to_owned(), one.to_string()));
        }
    }
    asked.sort();
    asked
        .into_iter()
        .enumerate()
        .map(|(part, (table, _, one))| (part, table, one))
        .collect()
}

/// Returns the call without its token: DynamoDB forgets a transaction's token after ten
/// minutes.
pub(super) fn without_token(call: Call) -> Call {
    let mut body: Value = serde_json::from_str(&call.body).expect("a call of JSON");
    let members = body.as_object_mut().expect("a call of JSON");
    members.remove("ClientRequestToken");
    Call {
        body: body.to_string(),
        ..call
    }
}

/// The rows that a call reads or writes, each by its table and sort key; a query reads
/// a whole table.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Footprint {
    rows: BTreeSet<(String, String)>,
    tables: BTreeSet<String>,
}

impl Footprint {
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let covers =
            |one: &Self, two: &Self| two.rows.iter().any(|(table, _)| one.tables.contains(table));
        !self.rows.is_disjoint(&other.rows) || covers(self, other) || covers(other, self)
    }
}

/// Returns the rows of a call: its keys, or the key of the row that it puts.
pub(super) fn footprint(operation: &str, body: &str) -> Footprint {
    let body: Value = serde_json::from_str(body).expect("a call of JSON");
    let mut footprint = Footprint::default();
    let mut add = |table: &Value, key: &Value| {
        let sort = [
            "device_id",
            "sign_out_id",
            "email",
            "factor_id",
            "challenge_id",
        ]
        .into_iter()
        .find_map(|name| key[name]["S"].as_str());
        let table = table.as_str().unwrap_or_default().to_owned();
        let sort = sort.unwrap_or_default().to_owned();
        footprint.rows.insert((table, sort));
    };
    let keyed = |part: &Value| {
        if part["Item"].is_null() {
            part["Key"].clone()
        } else {
            part["Item"].clone()
        }
    };
    match operation {
        "BatchGetItem" => {
            for (table, ask) in body["RequestItems"].as_object().expect("its tables") {
                for key in ask["Keys"].as_array().expect("its keys") {
                    add(&table.as_str().into(), key);
                }
            }
        }
        "TransactWriteItems" => {
            for item in body["TransactItems"].as_array().expect("its items") {
                for part in item.as_object().expect("an item").values() {
                    // The record of a sign-out also has the attribute `device_id`.
                    let mut key = keyed(part);
                    if !key["sign_out_id"].is_null() && part["TableName"] == RECEIPTS {
                        key["device_id"] = Value::Null;
                    }
                    add(&part["TableName"], &key);
                }
            }
        }
        "Query" => {
            let table = body["TableName"].as_str().unwrap_or_default();
            footprint.tables.insert(table.to_owned());
        }
        _ => add(&body["TableName"], &keyed(&body)),
    }
    footprint
}
