//! The clauses of the conditions in calls, and calls without one of them. An
//! `if_not_exists` of an update is a condition, too: one for each attribute.

use serde_json::{Map, Value};

use super::operations::ENDING_OTHERS;
use crate::tables::DEVICES;
use crate::wire::Call;

/// The operation that every other one contains: recording the contact of a caller whose
/// session has ended.
pub const CONTACT: &str = "contact";

/// The attributes that every write of a receipt entry sets to the same value, so that
/// their `if_not_exists` has no effect.
const ALWAYS_THE_SAME: [&str; 3] = ["device_id", "refused_at", "delete_at"];

/// One clause of the condition of one write.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Clause {
    /// The operation that makes the write.
    pub operation: &'static str,
    /// The write: `Update Devices`, `Put Identities`.
    pub write: String,
    /// The clause as it is in the expression.
    pub text: String,
}

/// Returns whether a call records a contact, in the receipt or in the device's row.
#[must_use]
pub fn is_contact(call: &Call) -> bool {
    call.operation == "UpdateItem"
        && ["seen_at", "notified_at"]
            .iter()
            .any(|contact| call.body.contains(contact))
}

/// Returns the operation of a call, with contacts as their own operation. A sign-in that
/// meets the row of its own device, because its request came twice or its answer was lost,
/// is a sign-in again.
#[must_use]
pub fn made_by(operation: &'static str, call: &Call) -> &'static str {
    if is_contact(call) {
        CONTACT
    } else if operation == ENDING_OTHERS {
        operation
    } else if operation.starts_with("sign in") && call.body.contains("session_id = :session") {
        "sign in again"
    } else {
        operation
    }
}

/// Returns every clause of a call.
#[must_use]
pub fn clauses(operation: &'static str, call: &Call) -> Vec<Clause> {
    let body: Value = serde_json::from_str(&call.body).expect("a call of JSON");
    let operation = made_by(operation, call);
    let mut found = Vec::new();
    for (kind, part) in parts(call, &body) {
        let condition = part["ConditionExpression"].as_str().unwrap_or_default();
        let conditions = condition.split(" AND ").filter(|text| !text.is_empty());
        let sets = part["UpdateExpression"].as_str().unwrap_or_default();
        let kept = sets_of(sets).filter(|set| is_kept(set) && !is_always_the_same(set));
        for text in conditions.chain(kept) {
            found.push(Clause {
                operation,
                write: write_of(&kind, part, call),
                text: text.to_owned(),
            });
        }
    }
    found
}

/// Returns the assignments of an update.
fn sets_of(expression: &str) -> impl Iterator<Item = &str> {
    let sets = expression.strip_prefix("SET ").unwrap_or_default();
    // A comma also separates the arguments of a function.
    let mut depth = 0;
    sets.split(move |letter| {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        letter == ',' && depth == 0
    })
    .map(str::trim)
}

fn is_kept(set: &str) -> bool {
    set.contains("= if_not_exists(")
}

fn is_always_the_same(set: &str) -> bool {
    ALWAYS_THE_SAME.iter().any(|attribute| {
        set.strip_prefix(attribute)
            .is_some_and(|rest| rest.starts_with(' '))
    })
}

/// Returns the assignment without its `if_not_exists`.
fn set_anyhow(set: &str) -> Option<String> {
    let (attribute, rest) = set.split_once(" = if_not_exists(")?;
    let value = rest.strip_suffix(')')?.split_once(", ")?.1;
    Some(format!("{attribute} = {value}"))
}

/// Returns the call without the clause, or nothing if the call does not have it.
#[must_use]
pub fn without(clause: &Clause, call: &Call) -> Option<Call> {
    let mut body: Value = serde_json::from_str(&call.body).expect("a call of JSON");
    let mut is_found = false;
    if call.operation == "TransactWriteItems" {
        let items = body["TransactItems"].as_array_mut().expect("its items");
        items.retain_mut(|item| {
            let (kind, part) = only_member_mut(item);
            if write_of(&kind, part, call) != clause.write || !knock_out(clause, part) {
                return true;
            }
            is_found = true;
            // A check without a condition has no effect.
            kind != "ConditionCheck" || part.get("ConditionExpression").is_some()
        });
    } else {
        let kind = kind_of(&call.operation);
        if write_of(kind, &body, call) == clause.write {
            is_found = knock_out(clause, &mut body);
        }
    }
    is_found.then(|| Call {
        body: body.to_string(),
        ..call.clone()
    })
}

/// Returns the call without a clause, if there is one to knock out.
#[must_use]
pub fn weakened(call: Call, knocked_out: Option<&Clause>) -> Call {
    knocked_out
        .and_then(|clause| without(clause, &call))
        .unwrap_or(call)
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

/// Names a write by its kind and table: a transaction can check one row of a table and
/// change another.
fn write_of(kind: &str, part: &Value, call: &Call) -> String {
    let table = part["TableName"].as_str().unwrap_or_default();
    // A sign-in puts the same row alone, or together with the receipt entry of the
    // session that it replaces.
    let is_with_a_part = kind == "Put" && table == DEVICES && call.operation != "PutItem";
    let with = if is_with_a_part { ", with a part" } else { "" };
    format!("{kind} {table}{with}")
}

fn knock_out(clause: &Clause, part: &mut Value) -> bool {
    if let Some(anyhow) = set_anyhow(&clause.text) {
        let sets = part["UpdateExpression"].as_str().unwrap_or_default();
        if !sets_of(sets).any(|set| set == clause.text) {
            return false;
        }
        part["UpdateExpression"] = sets.replacen(&clause.text, &anyhow, 1).into();
        return true;
    }
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

/// Removes the names and values that no expression uses: DynamoDB rejects them.
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
