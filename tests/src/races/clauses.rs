//! The clauses of the conditions, as they stand in the calls: what they are, and
//! a call without one of them.

use serde_json::{Map, Value};

use crate::wire::Call;

/// One clause of the condition of one write.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Clause {
    /// Which operation of the product writes.
    pub operation: &'static str,
    /// What is written under the condition: `Update Devices`, `Put Identities`.
    pub write: String,
    /// The clause, as it stands in the expression.
    pub text: String,
}

/// Every clause of a call.
#[must_use]
pub fn clauses(operation: &'static str, call: &Call) -> Vec<Clause> {
    let body: Value = serde_json::from_str(&call.body).expect("a call of JSON");
    let mut found = Vec::new();
    for (kind, part) in parts(call, &body) {
        let Some(condition) = part["ConditionExpression"].as_str() else {
            continue;
        };
        for text in condition.split(" AND ") {
            found.push(Clause {
                operation,
                write: write_of(&kind, part),
                text: text.to_owned(),
            });
        }
    }
    found
}

/// The call without the clause, if it has it.
#[must_use]
pub fn without(clause: &Clause, call: &Call) -> Option<Call> {
    let mut body: Value = serde_json::from_str(&call.body).expect("a call of JSON");
    let mut is_found = false;
    if call.operation == "TransactWriteItems" {
        let items = body["TransactItems"].as_array_mut().expect("its items");
        items.retain_mut(|item| {
            let (kind, part) = only_member_mut(item);
            if write_of(&kind, part) != clause.write || !knock_out(clause, part) {
                return true;
            }
            is_found = true;
            // A check without a condition checks nothing.
            kind != "ConditionCheck" || part.get("ConditionExpression").is_some()
        });
    } else {
        let kind = kind_of(&call.operation);
        if write_of(kind, &body) == clause.write {
            is_found = knock_out(clause, &mut body);
        }
    }
    is_found.then(|| Call {
        body: body.to_string(),
        ..call.clone()
    })
}

fn parts<'a>(call: &Call, body: &'a Value) -> Vec<(String, &'a Value)> {
    if call.operation != "TransactWriteItems" {
        return vec![(kind_of(&call.operation).to_owned(), body)];
    }
    let items = body["TransactItems"].as_array().expect("its items");
    items
        .iter()
        .flat_map(|item| item.as_object().expect("an item"))
        .map(|(kind, part)| (kind.clone(), part))
        .collect()
}

fn only_member_mut(item: &mut Value) -> (String, &mut Value) {
    let item = item.as_object_mut().expect("an item");
    let (kind, part) = item.iter_mut().next().expect("what it is");
    (kind.clone(), part)
}

fn kind_of(operation: &str) -> &str {
    operation.strip_suffix("Item").unwrap_or(operation)
}

/// A transaction can write two rows of one table: what is checked and what is
/// changed are told apart by their kind.
fn write_of(kind: &str, part: &Value) -> String {
    format!("{kind} {}", part["TableName"].as_str().unwrap_or_default())
}

fn knock_out(clause: &Clause, part: &mut Value) -> bool {
    let Some(condition) = part["ConditionExpression"].as_str() else {
        return false;
    };
    let all: Vec<&str> = condition.split(" AND ").collect();
    let rest: Vec<&str> = all
        .iter()
        .copied()
        .filter(|text| *text != clause.text)
        .collect();
    if rest.len() == all.len() {
        return false;
    }
    let rest = rest.join(" AND ");
    let part = part.as_object_mut().expect("a write");
    if rest.is_empty() {
        part.remove("ConditionExpression");
    } else {
        part.insert("ConditionExpression".to_owned(), rest.into());
    }
    drop_unused(part);
    true
}

/// Names and values that stand in no expression are refused by the table.
fn drop_unused(part: &mut Map<String, Value>) {
    let expressions: Vec<String> = ["ConditionExpression", "UpdateExpression"]
        .into_iter()
        .filter_map(|name| part.get(name)?.as_str().map(str::to_owned))
        .collect();
    let is_used = |placeholder: &str| {
        expressions.iter().any(|expression| {
            expression
                .split(|c: char| !(c.is_alphanumeric() || "_:#".contains(c)))
                .any(|word| word == placeholder)
        })
    };
    for name in ["ExpressionAttributeNames", "ExpressionAttributeValues"] {
        let is_empty = part.get_mut(name).is_some_and(|given| {
            let given = given.as_object_mut().expect("names or values");
            given.retain(|placeholder, _| is_used(placeholder));
            given.is_empty()
        });
        if is_empty {
            part.remove(name);
        }
    }
}
