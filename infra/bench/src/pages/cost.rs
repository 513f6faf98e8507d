//! The tables of `infra/docs/performance/cost.md`.

use anyhow::Result;

use super::Tables;
use super::data::{Amounts, Price};
use super::model::{Model, Used, total};
use crate::report::{Table, grouped};

const MILLION: f64 = 1e6;

pub fn tables(model: &Model) -> Result<Tables> {
    Ok(vec![
        ("operations", operations(model)?),
        ("receipts", receipts(model)),
        ("month", month(model)?),
        ("cognito", cognito(model)?),
        ("prices", prices(model)),
    ])
}

/// Calls, units, billed time, and the price of a million of each operation.
fn operations(model: &Model) -> Result<Table> {
    let columns = [
        "operation",
        "calls",
        "read units",
        "write units",
        "billed ms",
        "USD a million",
    ];
    let mut table = Table::new("", &columns);
    let all = &model.operations;
    for operation in all.measured.iter().chain(&all.assumed) {
        let used = model.used(&operation.key)?;
        let million = used
            .into_iter()
            .map(|(name, amount)| (name, amount * MILLION));
        let million: Used = million.collect();
        let billed = model.busy_ms(operation)?.ceil();
        table.row([
            operation.what.clone(),
            operation.calls_text(),
            sum(&operation.reads),
            sum(&operation.writes),
            if billed > 0.0 {
                billed.to_string()
            } else {
                String::new()
            },
            format!("{:.2}", model.usd(&million, &million)),
        ]);
    }
    Ok(table)
}

fn sum(units: &Amounts) -> String {
    // The sum of nothing is -0.
    (units.values().sum::<f64>() + 0.0).to_string()
}

fn receipts(model: &Model) -> Table {
    let columns = [
        "receipt of",
        "devices",
        "calls",
        "read units",
        "calls, swept",
        "read units, swept",
    ];
    let mut table = Table::new("", &columns);
    for it in &model.operations.receipts {
        let figures = [
            it.devices,
            it.calls,
            it.reads,
            it.swept_calls,
            it.swept_reads,
        ];
        let cells = figures.map(grouped).into_iter();
        table.row(std::iter::once(it.scope.clone()).chain(cells));
    }
    table
}

/// Returns an empty table with a column for each size of the example app.
fn by_size(model: &Model, first: &str) -> Table {
    let name = |size: &f64| match size {
        0.0 => "nobody".to_owned(),
        _ => format!("{} devices", grouped(*size)),
    };
    let names: Vec<String> = model.usage.app.sizes.iter().map(name).collect();
    let names = names.iter().map(String::as_str);
    let columns: Vec<&str> = std::iter::once(first).chain(names).collect();
    Table::new("", &columns)
}

fn money(usd: f64) -> String {
    if usd < 100.0 {
        format!("{usd:.2}")
    } else {
        grouped(usd)
    }
}

/// A month of the example app by activity, at each size.
fn month(model: &Model) -> Result<Table> {
    let mut table = by_size(model, "USD a month");
    let sizes = &model.usage.app.sizes;
    let mut months = Vec::new();
    for size in sizes {
        months.push(model.month(*size, &[])?);
    }
    let wholes: Vec<Used> = months.iter().map(|rows| total(rows)).collect();
    for n in 0..months[0].len() {
        let parts = months.iter().zip(&wholes);
        let cells = parts.map(|(rows, whole)| money(model.usd(&rows[n].1, whole)));
        table.row(std::iter::once(months[0][n].0.to_owned()).chain(cells));
    }
    let sums: Vec<f64> = wholes.iter().map(|whole| model.usd(whole, whole)).collect();
    let cells = sums.iter().map(|sum| format!("**{}**", money(*sum)));
    table.row(std::iter::once("**total**".to_owned()).chain(cells));
    let each = sums.iter().zip(sizes).map(|(sum, size)| match size {
        0.0 => String::new(),
        _ => format!("{:.4}", sum / size),
    });
    table.row(std::iter::once("a device".to_owned()).chain(each));
    Ok(table)
}

/// The same people with Amazon Cognito, each account an active user.
fn cognito(model: &Model) -> Result<Table> {
    let mut table = by_size(model, "USD a month for the same people");
    let sizes = &model.usage.app.sizes;
    for (what, without) in [
        ("Curfew", &[][..]),
        ("Curfew without sockets", &["sockets"]),
        (
            "Curfew without sockets, checking only when the app opens",
            &["sockets", "calls"],
        ),
    ] {
        let mut cells = vec![what.to_owned()];
        for size in sizes {
            let whole = total(&model.month(*size, without)?);
            cells.push(grouped(model.usd(&whole, &whole)));
        }
        table.row(cells);
    }
    let mut plans: Vec<(&String, &Price)> = model.prices.cognito.iter().collect();
    let users = |size: f64| size / model.usage.app.devices_per_account;
    let largest = sizes.last().copied().unwrap_or_default();
    plans.sort_by(|(_, one), (_, other)| {
        one.usd(users(largest))
            .total_cmp(&other.usd(users(largest)))
    });
    for (plan, price) in plans {
        let cells = sizes.iter().map(|size| grouped(price.usd(users(*size))));
        table.row(std::iter::once(format!("Cognito {plan}")).chain(cells));
    }
    Ok(table)
}

fn prices(model: &Model) -> Table {
    let mut table = Table::new("", &["what", "USD", "for", "seen"]);
    for price in model
        .prices
        .prices
        .values()
        .chain(model.prices.cognito.values())
    {
        let tiers = price.tiers.iter().map(|tier| match tier.first {
            Some(first) => format!("{} (first {})", tier.usd, grouped(first)),
            None => tier.usd.to_string(),
        });
        table.row([
            format!("[{}]({})", price.what, price.source),
            tiers.collect::<Vec<_>>().join(", then "),
            grouped(price.per),
            price.known.clone(),
        ]);
    }
    table
}
