//! What operations use of everything that is billed or limited.

use std::fs;

use anyhow::{Context as _, Result};
use curfew::root;
use curfew_tests::template::{self, resources};
use serde_json::Value;

use super::data::{Amounts, Operation, Operations, Per, Prices, Quotas, Usage, Via, read};
use crate::report::float;

const GIGABYTE: f64 = 1e9;
/// The memory, in MB, for which Lambda gives a whole processor.
const WHOLE_PROCESSOR_MB: f64 = 1_769.0;
pub const MONTH_HOURS: f64 = 730.0;
pub const MONTH_SECONDS: f64 = MONTH_HOURS * 3_600.0;
/// DynamoDB asks for its key once in five minutes for each connection in use.
const KEY_REQUESTS_AN_HOUR: f64 = 12.0;

/// Everything that the pages are computed from.
pub struct Model {
    pub operations: Operations,
    pub usage: Usage,
    pub prices: Prices,
    pub quotas: Quotas,
    template: Value,
    production: Amounts,
}

/// Amounts that are used: by price, by operation, and by `<table> reads` and
/// `<table> writes`. `executions` are seconds in which a function is busy.
pub type Used = Amounts;

/// Adds amounts, multiplied by a factor.
pub fn add(sum: &mut Used, used: &Used, factor: f64) {
    for (name, amount) in used {
        *sum.entry(name.clone()).or_default() += amount * factor;
    }
}

impl Model {
    pub fn read() -> Result<Self> {
        Ok(Self {
            operations: read("operations.toml")?,
            usage: read("usage.toml")?,
            prices: read("prices.toml")?,
            quotas: read("quotas.toml")?,
            template: template::read()?,
            production: production()?,
        })
    }

    pub fn operation(&self, key: &str) -> Result<&Operation> {
        let all = &self.operations;
        let mut all = all.measured.iter().chain(&all.assumed);
        let found = all.find(|operation| operation.key == key);
        found.with_context(|| format!("operations.toml has no {key}"))
    }

    /// Returns a number of the template.
    pub fn value(&self, pointer: &str) -> Result<f64> {
        let value = self.template.pointer(pointer).and_then(Value::as_f64);
        value.with_context(|| format!("template.yaml has no number at {pointer}"))
    }

    /// Returns a parameter's value for production, or its default.
    pub fn parameter(&self, name: &str) -> Result<f64> {
        match self.production.get(name) {
            Some(value) => Ok(*value),
            None => self.value(&format!("/Parameters/{name}/Default")),
        }
    }

    pub fn quota(&self, name: &str) -> Result<f64> {
        let quota = self.quotas.published.get(name);
        Ok(quota
            .with_context(|| format!("quotas.toml has no {name}"))?
            .value)
    }

    pub fn memory_mb(&self, function: &str) -> Result<f64> {
        let id = logical_id(function);
        let resource = &self.template["Resources"][&id];
        resource
            .as_object()
            .with_context(|| format!("template.yaml has no {id}"))?;
        match resource["Properties"]["MemorySize"].as_f64() {
            Some(memory) => Ok(memory),
            None => self.value("/Globals/Function/MemorySize"),
        }
    }

    /// Returns the milliseconds that a function computes for one request, or for one of
    /// the devices that a request is about.
    pub fn computing_ms(&self, function: &str) -> Result<f64> {
        let processor = &self.operations.processor;
        let us = processor.us.get(function);
        let us = us.with_context(|| format!("operations.toml has no time of {function}"))?;
        let devices = processor.devices.get(function).unwrap_or(&1.0);
        let share = (self.memory_mb(function)? / WHOLE_PROCESSOR_MB).min(1.0);
        Ok(us / devices / 1_000.0 / share)
    }

    pub fn trip_ms(&self, call: &str) -> f64 {
        let trips = &self.usage.trip_ms;
        *trips.get(call).unwrap_or(&trips["default"])
    }

    /// Returns how long a function is busy: it computes, and waits for one call after
    /// the other.
    pub fn busy_ms(&self, operation: &Operation) -> Result<f64> {
        let Some(function) = &operation.function else {
            return Ok(0.0);
        };
        let waits = operation
            .calls()
            .map(|(times, call)| times * self.trip_ms(call));
        Ok(self.computing_ms(function)? * operation.devices + waits.sum::<f64>())
    }

    /// Returns what an operation uses, with everything that follows it.
    pub fn used(&self, key: &str) -> Result<Used> {
        let operation = self.operation(key)?;
        let mut used = operation.uses.clone();
        let mut count =
            |name: &str, amount: f64| *used.entry(name.to_owned()).or_default() += amount;
        count(key, 1.0);
        for (table, units) in &operation.reads {
            count(&format!("{table} reads"), *units);
            count("read_unit", *units);
        }
        for (table, units) in &operation.writes {
            count(&format!("{table} writes"), *units);
            count("write_unit", *units);
        }
        for (times, call) in operation.calls() {
            match call {
                "SendMessage" => count("queue_request", times),
                "PostToConnection" => {
                    count("socket_message", times);
                    count("transfer_gb", times * self.usage.assumed.frame / GIGABYTE);
                }
                _ => {}
            }
        }
        self.count_function(operation, &mut count)?;
        for (then, times) in &operation.then {
            add(&mut used, &self.used(then)?, *times);
        }
        Ok(used)
    }

    fn count_function(
        &self,
        operation: &Operation,
        count: &mut impl FnMut(&str, f64),
    ) -> Result<()> {
        let assumed = &self.usage.assumed;
        if let Some(function) = &operation.function {
            let busy_ms = self.busy_ms(operation)?;
            let gb = self.memory_mb(function)? / 1_024.0;
            // Lambda logs two events of its own, and bills whole milliseconds.
            let lines = operation.log_lines * (assumed.log_line + assumed.log_overhead);
            let bytes = lines + assumed.log_platform + 2.0 * assumed.log_overhead;
            count("invocation", 1.0);
            count("executions", busy_ms / 1_000.0);
            count("gb_second", gb * busy_ms.ceil() / 1_000.0);
            count("log_gb", bytes / GIGABYTE);
        }
        match operation.via {
            Some(Via::Http) => {
                count("http_request", 1.0);
                count("transfer_gb", assumed.http_answer / GIGABYTE);
                count(
                    "log_gb",
                    (assumed.log_access + assumed.log_overhead) / GIGABYTE,
                );
            }
            Some(Via::Socket) => count("socket_message", 1.0),
            None => {}
        }
        Ok(())
    }

    /// Returns what the example app uses in a month, by activity. Leaves out those whose
    /// keys are `without`.
    pub fn month(&self, devices: f64, without: &[&str]) -> Result<Vec<(&str, Used)>> {
        let app = &self.usage.app;
        let mut rows = Vec::new();
        let activities = app.activities.iter();
        for activity in activities.filter(|it| !without.contains(&it.key.as_str())) {
            let times = match activity.per {
                Per::DeviceDay => devices * MONTH_HOURS / 24.0,
                Per::DeviceMonth => devices,
                Per::AccountMonth => devices / app.devices_per_account,
            };
            let mut used = Used::new();
            add(&mut used, &activity.uses, times);
            for (operation, count) in &activity.does {
                add(&mut used, &self.used(operation)?, count * times);
            }
            rows.push((activity.what.as_str(), used));
        }
        let stored = devices * app.stored_bytes_per_device / GIGABYTE;
        let stored = ["table_gb_month", "backup_gb_month"].map(|it| (it.to_owned(), stored));
        rows.push(("rows and their backups", Used::from(stored)));
        let fixed = self.fixed(&total(&rows));
        rows.push(("alarms, polling, keys, stored logs", fixed));
        Ok(rows)
    }

    /// Returns what is used whatever happens, and what follows from everything else.
    fn fixed(&self, all: &Used) -> Used {
        let amount = |name: &str| all.get(name).copied().unwrap_or(0.0);
        let assumed = &self.usage.assumed;
        let alarms = resources(&self.template, "AWS::CloudWatch::Alarm").len();
        let polls = self.sources("SQS") * assumed.pollers * MONTH_SECONDS / assumed.poll_seconds;
        // Lambda polls the streams as well, each over one connection.
        let busy = amount("executions") / MONTH_SECONDS * self.usage.app.connections_per_request;
        let connections = busy + self.sources("DynamoDB");
        let months = assumed.log_kept_days / (MONTH_HOURS / 24.0);
        let amounts = [
            ("alarm", float(alarms)),
            ("queue_request", polls),
            (
                "key_request",
                connections * KEY_REQUESTS_AN_HOUR * MONTH_HOURS,
            ),
            (
                "log_gb_month",
                amount("log_gb") * assumed.log_compression * months,
            ),
        ];
        amounts
            .map(|(name, amount)| (name.to_owned(), amount))
            .into()
    }

    /// Returns how many sources of a kind Lambda polls for the functions.
    fn sources(&self, kind: &str) -> f64 {
        let functions = resources(&self.template, "AWS::Serverless::Function");
        let events =
            (functions.iter()).filter_map(|(_, it)| it["Properties"]["Events"].as_object());
        let sources = events.flatten().filter(|(_, event)| event["Type"] == kind);
        float(sources.count())
    }

    /// Returns what a part of a month's usage costs, at the prices that the volume of the
    /// whole month has.
    pub fn usd(&self, part: &Used, whole: &Used) -> f64 {
        let amount = |used: &Used, name: &str| used.get(name).copied().unwrap_or(0.0);
        let prices = self.prices.prices.iter();
        let used = prices.filter(|(name, _)| amount(whole, name) > 0.0);
        used.map(|(name, price)| {
            let all = amount(whole, name);
            price.usd(all) * amount(part, name) / all
        })
        .sum()
    }
}

/// Adds up the parts of a month.
pub fn total(rows: &[(&str, Used)]) -> Used {
    let mut sum = Used::new();
    for (_, used) in rows {
        add(&mut sum, used, 1.0);
    }
    sum
}

/// Reads the numeric parameters of production from `infra/samconfig.toml`.
fn production() -> Result<Amounts> {
    let file = root().join("infra/samconfig.toml");
    let text = fs::read_to_string(&file).context("infra/samconfig.toml")?;
    let config: toml::Table = toml::from_str(&text).context("infra/samconfig.toml")?;
    let parameters = &config["production"]["deploy"]["parameters"]["parameter_overrides"];
    let pairs = parameters.as_array().context("parameter_overrides")?.iter();
    let pairs = pairs.filter_map(|it| it.as_str()?.split_once('='));
    let numbers = pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
    Ok(numbers.collect())
}

/// Returns a function's name in the template: `ListDevices` for `list-devices`.
fn logical_id(function: &str) -> String {
    let words = function.split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_function_computes_longer_and_waits_as_long() {
        let mut model = Model::read().unwrap();
        let busy = |model: &Model| model.busy_ms(model.operation("check").unwrap()).unwrap();
        let before = busy(&model);
        model.template["Globals"]["Function"]["MemorySize"] = 128.into();
        let after = busy(&model);

        let waits = model.usage.trip_ms["default"];
        let ratio = (after - waits) / (before - waits);
        assert!((ratio - 2.0).abs() < 1e-9, "{ratio}");
    }

    #[test]
    fn every_price_is_one_of_something_the_app_uses() {
        let model = Model::read().unwrap();
        let used = total(&model.month(1e6, &[]).unwrap());
        for name in model.prices.prices.keys() {
            assert!(used.get(name).is_some_and(|amount| *amount > 0.0), "{name}");
        }
    }

    #[test]
    fn everything_used_beside_calls_has_a_price() {
        let model = Model::read().unwrap();
        let all = &model.operations;
        let operations = all.measured.iter().chain(&all.assumed).map(|it| &it.uses);
        let activities = model.usage.app.activities.iter().map(|it| &it.uses);
        for name in operations.chain(activities).flat_map(Amounts::keys) {
            assert!(model.prices.prices.contains_key(name), "{name}");
        }
    }

    #[test]
    fn the_parts_of_a_month_cost_what_the_whole_does() {
        let model = Model::read().unwrap();
        let rows = model.month(1e7, &[]).unwrap();
        let whole = total(&rows);
        let usd = |part: &Used| model.usd(part, &whole);
        let parts: f64 = rows.iter().map(|(_, used)| usd(used)).sum();
        assert!((parts - usd(&whole)).abs() < 0.01, "{parts}");
    }
}
