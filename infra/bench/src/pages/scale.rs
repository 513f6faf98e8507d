//! The tables of `infra/docs/performance/scale.md`.

use anyhow::{Context as _, Result};
use push_revocations::{MAX_CONCURRENT, TIME_BUDGET};

use super::Tables;
use super::data::{Limit, Operation};
use super::model::{MONTH_SECONDS, Model, Used, total};
use crate::report::{Table, float, grouped};

/// The devices of the large account.
const LARGE: f64 = 100_000.0;
/// The devices of the app for which the load is shown.
const APP: f64 = 1e6;
/// The rows that a batch of reads has at most, but for the account's.
const BATCH_READ: f64 = 99.0;
/// The bytes of rows that one query returns at most.
const QUERY_BYTES: f64 = 1_048_576.0;
/// The bytes of a device's row; assumed, and more than most take.
const DEVICE_BYTES: f64 = 1_000.0;

pub fn tables(model: &Model) -> Result<Tables> {
    Ok(vec![
        ("limits", limits(model)?),
        ("account", account(model)?),
        ("large", large(model)?),
        ("quotas", quotas(model)),
    ])
}

/// The limits in the order in which the example app reaches them as it grows.
fn limits(model: &Model) -> Result<Table> {
    let mut month = model.month(APP, &[])?;
    // Polling of empty queues does not grow with the app.
    month.pop();
    let month = total(&month);
    let mut rows = Vec::new();
    for limit in &model.quotas.limits {
        let amounts = limit.demand.iter().map(|name| demand(&month, name));
        let mean = amounts.sum::<Result<f64>>()? / MONTH_SECONDS;
        let peak = mean * model.usage.app.peak;
        let most = most(model, limit)?;
        rows.push((APP * most / peak, peak, most, limit));
    }
    rows.sort_by(|one, other| one.0.total_cmp(&other.0));
    let columns = [
        "load",
        "a second, at peak",
        "limit",
        "a second",
        "reached at, devices",
        "raise",
    ];
    let mut table = Table::new("", &columns);
    for (devices, peak, most, limit) in rows {
        table.row([
            limit.what.clone(),
            rate(peak),
            format!("`{}`", limit.name),
            grouped(most),
            size(devices),
            limit.raise.clone(),
        ]);
    }
    Ok(table)
}

/// Formats a number of devices, rounded down.
fn size(devices: f64) -> String {
    if devices > 1e9 {
        "over 1,000,000,000".to_owned()
    } else {
        grouped((devices / 1e4).floor() * 1e4)
    }
}

fn demand(month: &Used, name: &str) -> Result<f64> {
    let amount = month.get(name).copied();
    amount.with_context(|| format!("the app does not use {name}"))
}

/// Returns how much a limit allows in a second.
fn most(model: &Model, limit: &Limit) -> Result<f64> {
    let value = model
        .quota(&limit.name)
        .or_else(|_| model.parameter(&limit.name))?;
    if let Some(operation) = &limit.by {
        return Ok(value * by_execution(model, model.operation(operation)?)?);
    }
    match &limit.times {
        Some(quota) => Ok(value * model.quota(quota)?),
        None => Ok(value),
    }
}

/// Returns how often one execution can serve an operation in a second.
fn by_execution(model: &Model, operation: &Operation) -> Result<f64> {
    let most = model.quota("requests_by_execution")?;
    Ok(most.min(1_000.0 / model.busy_ms(operation)?))
}

/// How often one account can do something: its rows are one partition of each table.
fn account(model: &Model) -> Result<Table> {
    let mut table = Table::new(
        "",
        &["one account", "limited by", "units of one", "a second"],
    );
    for key in &model.quotas.one_account {
        let operation = model.operation(key)?;
        let (units, limited_by, a_second) = bottleneck(model, operation)?;
        let what = match operation.devices {
            1.0 => operation.what.clone(),
            _ => format!("{}: devices", operation.what),
        };
        let units = units / operation.devices;
        table.row([
            what,
            limited_by,
            format!("{units:.2}"),
            grouped(a_second * operation.devices),
        ]);
    }
    Ok(table)
}

/// Returns the units, the name and the rate of the partition that is exhausted first.
fn bottleneck(model: &Model, operation: &Operation) -> Result<(f64, String, f64)> {
    let mut found: Option<(f64, String, f64)> = None;
    for (kind, units, most) in [
        ("read", &operation.reads, model.quota("partition_reads")?),
        ("write", &operation.writes, model.quota("partition_writes")?),
    ] {
        // The counters, the address and the ticket are not in the account's partition.
        let of_account = units
            .iter()
            .filter(|(table, _)| !matches!(table.as_str(), "Attempts" | "Identities" | "Tickets"));
        for (table, units) in of_account {
            let a_second = most / units;
            if found.as_ref().is_none_or(|(_, _, least)| a_second < *least) {
                found = Some((*units, format!("{kind} units of {table}"), a_second));
            }
        }
    }
    found.with_context(|| format!("{} uses no table", operation.what))
}

/// Returns how many devices of one account are swept in a second.
fn swept_a_second(model: &Model, operation: &str) -> Result<f64> {
    let operation = model.operation(operation)?;
    // The message of the next page has to be received.
    let page_ms = model.busy_ms(operation)? + model.trip_ms("SendMessage");
    Ok(operation.devices * 1_000.0 / page_ms)
}

/// Returns how long one of many connected devices takes: the function computes for one
/// after the other and waits for many at once.
fn push_ms(model: &Model) -> Result<f64> {
    let trip = |call: &str| model.trip_ms(call);
    let computing = model.computing_ms("push-revocations")?;
    let waiting = (trip("PostToConnection") + trip("UpdateItem")) / float(MAX_CONCURRENT);
    let reading = trip("Query") * (1.0 / BATCH_READ + DEVICE_BYTES / QUERY_BYTES);
    Ok(computing.max(waiting) + reading)
}

/// Signing out an account of very many devices.
fn large(model: &Model) -> Result<Table> {
    let title = format!("an account of {} devices", grouped(LARGE));
    let mut table = Table::new("", &[&title, ""]);
    let mut row = |what: &str, value: String| table.row([what.to_owned(), value]);
    for (what, sweep) in [("global", "sweep-global"), ("others", "sweep-others")] {
        let swept = LARGE / swept_a_second(model, sweep)?;
        row(&format!("the sweep after `{what}` takes"), minutes(swept));
    }
    let connected = LARGE * model.usage.app.connected;
    let what = format!(
        "of {} connected devices, the last is notified after",
        grouped(connected)
    );
    row(
        &what,
        format!("{:.0} s", connected * push_ms(model)? / 1_000.0),
    );
    let queue = |name: &str| model.value(&format!("/Resources/PushQueue/Properties/{name}"));
    let by_delivery = (TIME_BUDGET.as_secs_f64() * 1_000.0 / push_ms(model)?).floor();
    let what = format!(
        "one delivery notifies within its {} s",
        TIME_BUDGET.as_secs()
    );
    row(&what, format!("{} devices", grouped(by_delivery)));
    let what = format!(
        "if all are connected: deliveries, one every {} s (after {} the message is a dead letter)",
        queue("VisibilityTimeout")?,
        queue("RedrivePolicy/maxReceiveCount")?
    );
    row(&what, grouped((LARGE / by_delivery).ceil()));
    let timeout = model.value("/Globals/Function/Timeout")?;
    let mut receipts = model
        .operations
        .receipts
        .iter()
        .filter(|it| it.scope == "others");
    let largest = receipts.next_back().context("a receipt of `others`")?;
    let units = largest.swept_reads / largest.devices;
    let readable = model.quota("partition_reads")? * timeout / units;
    let what = format!("a receipt can be read within the {timeout} s of its function up to");
    row(
        &what,
        format!("{} devices", grouped((readable / 1e3).floor() * 1e3)),
    );
    let rate = model.parameter("SignInRateLimit")?;
    let what = format!("all devices sign in again, at `SignInRateLimit` {rate}, within");
    row(&what, minutes(LARGE / rate));
    Ok(table)
}

fn minutes(seconds: f64) -> String {
    format!("{:.0} minutes", seconds / 60.0)
}

/// Formats a rate, with a decimal where it is small.
fn rate(a_second: f64) -> String {
    if a_second < 10.0 {
        format!("{a_second:.1}")
    } else {
        grouped(a_second)
    }
}

fn quotas(model: &Model) -> Table {
    let mut table = Table::new("", &["quota", "value", "raise", "seen"]);
    for (name, quota) in &model.quotas.published {
        table.row([
            format!("`{name}`: [{}]({})", quota.what, quota.source),
            grouped(quota.value),
            quota.raise.clone(),
            quota.known.clone(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_that_is_exhausted_first_is_the_limit() {
        let model = Model::read().unwrap();
        let sign_out = model.operation("sign-out-one").unwrap();

        let (units, limited_by, a_second) = bottleneck(&model, sign_out).unwrap();

        assert_eq!(limited_by, "write units of Devices");
        assert!((units * a_second - 1_000.0).abs() < 1e-9);
    }

    #[test]
    fn production_leaves_lambda_the_executions_that_it_must_have() {
        let model = Model::read().unwrap();
        let of = |name: &str| model.parameter(name).unwrap();
        let hashing = 3.0 * of("HashingConcurrency");
        let reserved = hashing + 2.0 * of("SignOutConcurrency") + of("PublishConcurrency");
        assert!(model.quota("concurrency").unwrap() - reserved >= 100.0);
    }
}
