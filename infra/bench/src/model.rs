//! What an operation uses of everything that is billed or limited, by arithmetic:
//! from the measured units, the template's values, and `usage.toml`.

use std::collections::BTreeMap;
use std::fs;
use std::ops::AddAssign;

use anyhow::{Context as _, Result, bail};
use curfew::root;
use curfew_tests::template;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::units::{self, Named, PAGE_OF_SWEEP, Units};

/// A million.
pub const MILLION: f64 = 1e6;
/// Bytes of a gigabyte, as prices have it.
pub const GIGABYTE: f64 = 1e9;
/// The memory, in MB, for which Lambda gives one whole processor.
const WHOLE_PROCESSOR_MB: f64 = 1_769.0;
/// A device sends a heartbeat every so many minutes, in the mean
/// (`infra/docs/devices.md`).
pub const HEARTBEAT_MINUTES: f64 = 4.5;

/// `usage.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Measured processor times.
    pub processor: Processor,
    /// How long calls take, by kind.
    pub trip_ms: Trips,
    /// The logs.
    pub log_bytes: LogBytes,
    /// What leaves for the internet.
    pub answer_bytes: AnswerBytes,
    /// Rows.
    pub row_bytes: RowBytes,
    /// Polling of queues.
    pub polling: Polling,
    /// A month.
    pub month: Month,
    /// The app of the example.
    pub app: App,
}

/// Measured processor times.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Processor {
    /// When and on what.
    pub measured: String,
    /// Microseconds, by function.
    us: BTreeMap<String, f64>,
    /// With how many devices, for the functions that take many.
    devices: BTreeMap<String, f64>,
}

/// How long calls take, in milliseconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trips {
    /// Of a table.
    pub table: f64,
    /// Of tables, as a transaction.
    pub transaction: f64,
    /// Of the topic.
    pub topic: f64,
    /// Of a queue.
    pub queue: f64,
    /// Of the gateway's management API.
    pub socket: f64,
}

/// The bytes of logs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogBytes {
    line: f64,
    platform: f64,
    access: f64,
    overhead: f64,
    /// As they are kept, of what was taken in.
    pub compression: f64,
    /// For how many days they are kept.
    pub kept_days: f64,
}

/// The bytes of answers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerBytes {
    http: f64,
    frame: f64,
}

/// The bytes of rows.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowBytes {
    /// In Accounts.
    pub account: f64,
    /// In Identities.
    pub identity: f64,
    /// In Devices.
    pub device: f64,
    /// In Receipts, a record or a part.
    pub receipt: f64,
}

/// How Lambda polls a queue.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Polling {
    /// How many at once.
    pub pollers: f64,
    /// How long each time.
    pub seconds: f64,
}

/// A month.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Month {
    /// Its hours.
    pub hours: f64,
}

/// The app of the example: `usage.toml` says what each is.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    pub devices: f64,
    pub devices_per_account: f64,
    pub calls_per_device_day: f64,
    pub opens_per_device_day: f64,
    pub touches_per_device_day: f64,
    pub sign_ins_per_device_month: f64,
    pub new_devices: f64,
    pub lists_per_account_month: f64,
    pub sign_outs_this_per_account_month: f64,
    pub sign_outs_one_per_account_month: f64,
    pub sign_outs_others_per_account_month: f64,
    pub sign_outs_global_per_account_month: f64,
    pub password_changes_per_account_month: f64,
    pub receipts_per_account_month: f64,
    pub connected: f64,
    pub socket_minutes: f64,
    pub peak: f64,
    pub connections_per_request: f64,
    pub kept_devices: f64,
}

impl App {
    /// Its accounts.
    #[must_use]
    pub fn accounts(&self) -> f64 {
        self.devices / self.devices_per_account
    }
}

/// A file of the bench.
///
/// # Errors
/// When it is not there or not as it should be.
pub fn read<T: DeserializeOwned>(name: &str) -> Result<T> {
    let file = root().join("infra/bench").join(name);
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    toml::from_str(&text).with_context(|| name.to_owned())
}

/// What is used of things that have a price, by the price's name, and of the time
/// of functions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Use {
    /// How much, by the name of its price.
    pub amounts: BTreeMap<&'static str, f64>,
    /// Milliseconds that functions are busy.
    pub busy_ms: f64,
}

impl Use {
    /// So much of one thing.
    #[must_use]
    pub fn of(name: &'static str, amount: f64) -> Self {
        Self {
            amounts: BTreeMap::from([(name, amount)]),
            busy_ms: 0.0,
        }
    }

    /// The same so many times.
    #[must_use]
    pub fn times(mut self, factor: f64) -> Self {
        self.busy_ms *= factor;
        for amount in self.amounts.values_mut() {
            *amount *= factor;
        }
        self
    }

    /// This and another.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl AddAssign for Use {
    fn add_assign(&mut self, other: Self) {
        self.busy_ms += other.busy_ms;
        for (name, amount) in other.amounts {
            *self.amounts.entry(name).or_default() += amount;
        }
    }
}

/// Everything that the arithmetic begins with.
pub struct Model {
    /// `usage.toml`.
    pub usage: Usage,
    /// The template.
    pub template: Value,
    page: BTreeMap<String, Units>,
    behind: Vec<Named>,
    /// What one account's operations use, by table.
    pub by_table: Vec<Named>,
}

impl Model {
    /// Reads and measures it.
    ///
    /// # Errors
    /// When something is not there, or a function refuses what it should do.
    pub async fn new() -> Result<Self> {
        Ok(Self {
            usage: read("usage.toml")?,
            template: template::read()?,
            page: units::of_page()?,
            behind: Box::pin(units::behind()).await?,
            by_table: Box::pin(units::by_table()).await?,
        })
    }

    /// What was measured here of what nobody waits for.
    #[must_use]
    pub fn behind(&self) -> &[Named] {
        &self.behind
    }

    /// The units of an operation that the page has, or that was measured here.
    ///
    /// # Errors
    /// When nobody knows it.
    pub fn units(&self, name: &str) -> Result<&Units> {
        let measured = self.behind.iter().chain(&self.by_table);
        let mut measured = measured.filter(|(it, _)| *it == name);
        let found = self.page.get(name);
        found
            .or_else(|| measured.next().map(|(_, units)| units))
            .with_context(|| format!("no operation is called {name:?}"))
    }

    /// A value of the template.
    ///
    /// # Errors
    /// When it is no number.
    pub fn value(&self, pointer: &str) -> Result<f64> {
        let value = self.template.pointer(pointer);
        let value = value.and_then(Value::as_f64);
        value.with_context(|| format!("template.yaml has no number at {pointer}"))
    }

    /// The default of a parameter.
    ///
    /// # Errors
    /// When it is no number.
    pub fn default_of(&self, parameter: &str) -> Result<f64> {
        self.value(&format!("/Parameters/{parameter}/Default"))
    }

    /// The memory of a function, in MB.
    ///
    /// # Errors
    /// When the template does not say.
    pub fn memory_mb(&self, function: &str) -> Result<f64> {
        let id = logical_id(function);
        if self.template["Resources"][&id].is_null() {
            bail!("template.yaml has no {id}");
        }
        self.value(&format!("/Resources/{id}/Properties/MemorySize"))
            .or_else(|_| self.value("/Globals/Function/MemorySize"))
    }

    /// The part of a processor that a function has.
    ///
    /// # Errors
    /// When the template does not say.
    pub fn share(&self, function: &str) -> Result<f64> {
        Ok((self.memory_mb(function)? / WHOLE_PROCESSOR_MB).min(1.0))
    }

    /// The milliseconds that a function computes for one request, or for one device
    /// of many.
    ///
    /// # Errors
    /// When it was not measured.
    pub fn computing_ms(&self, function: &str) -> Result<f64> {
        let processor = &self.usage.processor;
        let us = processor.us.get(function);
        let us = us.with_context(|| format!("usage.toml has no time of {function}"))?;
        let devices = processor.devices.get(function).copied().unwrap_or(1.0);
        Ok(us / devices / 1_000.0 / self.share(function)?)
    }

    /// How long one call takes, by its name.
    #[must_use]
    pub fn trip_ms(&self, call: &str) -> f64 {
        let trips = &self.usage.trip_ms;
        match call {
            "TransactWriteItems" => trips.transaction,
            "PublishBatch" => trips.topic,
            "SendMessage" => trips.queue,
            "PostToConnection" | "DeleteConnection" => trips.socket,
            _ => trips.table,
        }
    }

    /// How long a function is busy with a request: it computes, and waits for its
    /// calls one after the other.
    ///
    /// # Errors
    /// When it was not measured.
    pub fn busy_ms(&self, function: &str, units: &Units, devices: f64) -> Result<f64> {
        let waiting: f64 = units.calls.iter().map(|call| self.trip_ms(call)).sum();
        Ok(self.computing_ms(function)? * devices + waiting)
    }

    /// One call of a function, which does an operation.
    ///
    /// # Errors
    /// When something of it is not known.
    pub fn call(&self, function: &str, operation: &str) -> Result<Use> {
        self.call_for(function, operation, 1.0)
    }

    fn call_for(&self, function: &str, operation: &str, devices: f64) -> Result<Use> {
        let units = self.units(operation)?;
        let busy_ms = self.busy_ms(function, units, devices)?;
        let gb = self.memory_mb(function)? / 1_024.0;
        let log = &self.usage.log_bytes;
        let log_bytes = log.line + log.platform + 3.0 * log.overhead;
        let sent = |name: &str| {
            let calls = units.calls.iter().filter(|call| *call == name);
            count(calls.count())
        };
        // Billed by whole milliseconds.
        let mut used = Use::of("gb_second", gb * busy_ms.ceil() / 1_000.0);
        used.busy_ms = busy_ms;
        for (name, amount) in [
            ("invocation", 1.0),
            ("read_unit", units.reads),
            ("write_unit", units.writes),
            ("log_gb", log_bytes / GIGABYTE),
            ("queue_request", sent("SendMessage")),
            ("socket_message", sent("PostToConnection")),
            (
                "transfer_gb",
                sent("PostToConnection") * self.usage.answer_bytes.frame / GIGABYTE,
            ),
        ] {
            used += Use::of(name, amount);
        }
        Ok(used)
    }

    /// The same, asked for through the HTTP API.
    ///
    /// # Errors
    /// When something of it is not known.
    pub fn http(&self, function: &str, operation: &str) -> Result<Use> {
        let log = &self.usage.log_bytes;
        let access = Use::of("log_gb", (log.access + log.overhead) / GIGABYTE);
        let answer = self.usage.answer_bytes.http / GIGABYTE;
        let request = Use::of("http_request", 1.0)
            .and(Use::of("transfer_gb", answer))
            .and(access);
        Ok(self.call(function, operation)?.and(request))
    }

    /// An event of the socket, which is a message.
    ///
    /// # Errors
    /// When something of it is not known.
    pub fn frame(&self, operation: &str) -> Result<Use> {
        Ok(self
            .call("socket", operation)?
            .and(Use::of("socket_message", 1.0)))
    }

    /// What a record of a stream costs that is published: one call of the publisher,
    /// and its messages.
    ///
    /// # Errors
    /// When something of it is not known.
    pub fn published(&self, messages: f64) -> Result<Use> {
        let log = &self.usage.log_bytes;
        let function = "publish-revocations";
        let busy_ms = self.computing_ms(function)? + self.usage.trip_ms.topic;
        let gb = self.memory_mb(function)? / 1_024.0;
        // A line for each message and one for the batch.
        let lines = messages * (log.line + log.overhead) + log.line + log.platform;
        let mut used = Use::of("gb_second", gb * busy_ms.ceil() / 1_000.0);
        used.busy_ms = busy_ms;
        Ok(used
            .and(Use::of("invocation", 1.0))
            .and(Use::of("topic_message", messages))
            .and(Use::of("log_gb", (lines + 3.0 * log.overhead) / GIGABYTE)))
    }

    /// A message that a queue delivers: it is sent, received and deleted.
    #[must_use]
    pub fn delivered() -> Use {
        Use::of("queue_request", 3.0)
    }

    /// A session's end for the pushes: its device has no socket, or it has one, is
    /// told, acknowledges, and is closed.
    ///
    /// # Errors
    /// When something of it is not known.
    pub fn push(&self, is_connected: bool) -> Result<Use> {
        let push = |operation: &str| self.call("push-revocations", operation);
        if !is_connected {
            let nobody = push("a push, to a device without a socket")?;
            return Ok(Self::delivered().and(nobody));
        }
        let told = push("a push, to a device with one")?;
        let closed = push("the close after the grace")?;
        Ok(Self::delivered()
            .and(told)
            .and(self.frame("its acknowledgement, which ends the socket")?)
            .and(self.call("socket", "the end of a socket")?)
            // It was sent by the push, which has counted that.
            .and(Use::of("queue_request", 2.0))
            .and(closed))
    }

    /// The sweep's part of one device: of the page that it stands on.
    ///
    /// # Errors
    /// When something of it is not known.
    pub fn swept(&self, scope: &str) -> Result<Use> {
        let page = count(PAGE_OF_SWEEP);
        let operation = format!("the sweep, 25 devices of `{scope}`");
        let walked = self.call_for("sweep", &operation, page)?;
        // The next page's message was sent by this one.
        let mut used = walked.and(Use::of("queue_request", 2.0));
        if scope == "others" {
            used += Use::of("topic_message", page);
        }
        Ok(used.times(1.0 / page))
    }
}

/// `sign-out-all` is `SignOutAll` in the template.
fn logical_id(function: &str) -> String {
    let words = function.split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    });
    words.collect()
}

/// A count as a number to reckon with.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn count(count: usize) -> f64 {
    count as f64
}

/// Whether something says when it was known: a day, or "mid-2025" where nobody has
/// written the day down.
#[cfg(test)]
pub fn is_known(known: &str) -> bool {
    let year = known.strip_prefix("mid-");
    known.parse::<jiff::civil::Date>().is_ok()
        || year.is_some_and(|year| year.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_of_the_template_that_has_a_price_has_its_time() {
        let usage: Usage = read("usage.toml").unwrap();
        for (function, us) in &usage.processor.us {
            assert!(*us > 0.0, "{function}");
        }
        for function in usage.processor.devices.keys() {
            assert!(usage.processor.us.contains_key(function), "{function}");
        }
    }

    #[test]
    fn a_function_is_called_in_the_template_as_its_folder_is_but_in_pascal_case() {
        assert_eq!(logical_id("sign-out-all"), "SignOutAll");
        assert_eq!(logical_id("login"), "Login");
    }

    #[tokio::test]
    async fn a_smaller_function_computes_longer_and_waits_as_long() {
        let mut model = Box::pin(Model::new()).await.unwrap();
        let check = model.units("check").unwrap().clone();
        let before = model.busy_ms("session", &check, 1.0).unwrap();
        model.template["Globals"]["Function"]["MemorySize"] = 128.into();
        let after = model.busy_ms("session", &check, 1.0).unwrap();
        let waiting = model.usage.trip_ms.table;
        let ratio = (after - waiting) / (before - waiting);
        assert!((ratio - 2.0).abs() < 1e-9, "{ratio}");
    }
}
