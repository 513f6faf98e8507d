//! Rows of Attempts.

use std::borrow::Cow;

use aws_sdk_dynamodb::types::{AttributeValue, Update};
use domain::Timestamp;
use domain::attempts::{Budget, Counter, CounterKey, Failures, Verdict};
use jiff::SignedDuration;

use crate::attributes::{
    COUNTER, IN_A_ROW, IN_A_ROW_FROM, IN_A_ROW_SINCE, Item, Reader, TAT, built, bytes, number,
    timestamp, ttl,
};
use crate::error::StoreError;
use crate::writes::Condition;

const TABLE: &str = "Attempts";

pub(crate) fn key(counter: &CounterKey) -> Item {
    Item::from([(COUNTER.to_owned(), bytes(counter.as_bytes()))])
}

/// Returns the update that charges a counter as the verdict says, if the counter still
/// admits the attempt; `None` for a refusal. Remembers the attempt's country, if the budget
/// limits failures in a row.
pub(crate) fn charge(
    table: &str,
    (counter, budget, country): (&CounterKey, &Budget, Option<&str>),
    verdict: Verdict,
    now: Timestamp,
) -> Option<Update> {
    let (set, mut condition) = moving_tat(budget, verdict, now)?;
    let mut set = set.to_owned();
    if let Some(limit) = &budget.in_a_row {
        set.push_str(", in_a_row_since = if_not_exists(in_a_row_since, :since)");
        set.push_str(" ADD in_a_row :one");
        condition.values.push((":since", timestamp(now)));
        if let Some(country) = country {
            set.push_str(", in_a_row_from :from");
            let from = AttributeValue::Ss(vec![country.to_owned()]);
            condition.values.push((":from", from));
        }
        if !matches!(verdict, Verdict::AfterPause(_)) {
            let below = " AND (attribute_not_exists(in_a_row) OR in_a_row < :most)";
            condition.expression.to_mut().push_str(below);
            condition.values.push((":most", number(limit.most)));
        }
        condition.values.push((":one", number(1)));
    }
    let delete_at = ttl(budget.kept_until(now));
    let update = condition
        .update(table, key(counter))
        .update_expression(set)
        .expression_attribute_values(":delete_at", delete_at);
    Some(built(update.build()))
}

/// Returns what sets the TAT as the verdict says, and the condition under which the
/// counter still admits the attempt; `None` for a refusal.
fn moving_tat(
    budget: &Budget,
    verdict: Verdict,
    now: Timestamp,
) -> Option<(&'static str, Condition)> {
    let (set, condition, values) = match verdict {
        Verdict::FromNow(by) | Verdict::AfterPause(by) => {
            let tat = now.checked_add(by).unwrap_or(Timestamp::MAX);
            (
                "SET tat = :tat, delete_at = :delete_at",
                "(attribute_not_exists(tat) OR tat <= :now)",
                vec![(":now", timestamp(now)), (":tat", timestamp(tat))],
            )
        }
        Verdict::Later(by) => (
            "SET tat = tat + :by, delete_at = :delete_at",
            "tat <= :latest",
            vec![
                (":latest", timestamp(budget.latest_tat(now))),
                (":by", millis(by)),
            ],
        ),
        Verdict::Refused(_) | Verdict::Spent => return None,
    };
    let condition = Condition {
        expression: Cow::Borrowed(condition),
        names: &[],
        values,
    };
    Some((set, condition))
}

/// Returns the update that takes a charge back, and ends the failures in a row. A counter
/// that is gone stays so.
pub(crate) fn give_back(table: &str, counter: &CounterKey, cost: SignedDuration) -> Update {
    let condition = Condition {
        expression: Cow::Borrowed("attribute_exists(tat)"),
        names: &[],
        values: vec![(":cost", millis(cost))],
    };
    let update = condition
        .update(table, key(counter))
        .update_expression("SET tat = tat - :cost REMOVE in_a_row, in_a_row_since, in_a_row_from");
    built(update.build())
}

fn millis(duration: SignedDuration) -> AttributeValue {
    number(duration.as_millis())
}

pub(crate) fn from_item(item: &Item) -> Result<Counter, StoreError> {
    let row = Reader::new(TABLE, item);
    Ok(Counter {
        tat: row.timestamp(TAT)?,
        in_a_row: row.number_opt(IN_A_ROW)?.unwrap_or_default(),
    })
}

/// Reads the failures in a row.
pub(crate) fn failures(item: &Item) -> Result<Failures, StoreError> {
    let row = Reader::new(TABLE, item);
    Ok(Failures {
        count: row.number_opt(IN_A_ROW)?.unwrap_or_default(),
        since: row.timestamp_opt(IN_A_ROW_SINCE)?.unwrap_or_default(),
        places: row.strings(IN_A_ROW_FROM)?,
    })
}
