//! The TOML files of `infra/bench` as they are written; the files explain their fields.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result};
use curfew::root;
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub type Amounts = BTreeMap<String, f64>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operations {
    pub processor: Processor,
    pub measured: Vec<Operation>,
    pub assumed: Vec<Operation>,
    pub receipts: Vec<Receipt>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    pub key: String,
    pub what: String,
    pub function: Option<String>,
    pub via: Option<Via>,
    #[serde(default)]
    calls: Vec<String>,
    #[serde(default)]
    pub reads: Amounts,
    #[serde(default)]
    pub writes: Amounts,
    #[serde(default)]
    pub uses: Amounts,
    #[serde(default)]
    pub then: Amounts,
    #[serde(default = "one")]
    pub devices: f64,
    #[serde(default = "one")]
    pub log_lines: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    Http,
    Socket,
}

fn one() -> f64 {
    1.0
}

impl Operation {
    /// Returns each run of calls: how many, and the name.
    pub fn calls(&self) -> impl Iterator<Item = (f64, &str)> {
        self.calls.iter().map(|call| match call.split_once(" × ") {
            Some((times, name)) => (times.parse().unwrap_or(1.0), name),
            None => (1.0, call.as_str()),
        })
    }

    /// Returns the calls as a page shows them.
    pub fn calls_text(&self) -> String {
        let calls = self.calls().map(|(times, name)| {
            if times > 1.0 {
                format!("{times} × `{name}`")
            } else {
                format!("`{name}`")
            }
        });
        calls.collect::<Vec<_>>().join(", ")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    pub scope: String,
    pub devices: f64,
    pub calls: f64,
    pub reads: f64,
    pub swept_calls: f64,
    pub swept_reads: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    pub trip_ms: Amounts,
    pub assumed: Assumed,
    pub app: App,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Processor {
    pub us: Amounts,
    pub devices: Amounts,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assumed {
    pub log_line: f64,
    pub log_platform: f64,
    pub log_access: f64,
    pub log_overhead: f64,
    pub log_compression: f64,
    pub log_kept_days: f64,
    pub http_answer: f64,
    pub frame: f64,
    pub pollers: f64,
    pub poll_seconds: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    pub sizes: Vec<f64>,
    pub devices_per_account: f64,
    pub peak: f64,
    pub connections_per_request: f64,
    pub stored_bytes_per_device: f64,
    pub connected: f64,
    pub activities: Vec<Activity>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Activity {
    pub what: String,
    #[serde(default)]
    pub key: String,
    pub per: Per,
    #[serde(default)]
    pub uses: Amounts,
    pub does: Amounts,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Per {
    DeviceDay,
    DeviceMonth,
    AccountMonth,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    pub prices: BTreeMap<String, Price>,
    pub cognito: BTreeMap<String, Price>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    pub what: String,
    pub per: f64,
    pub tiers: Vec<Tier>,
    pub source: String,
    pub known: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    pub first: Option<f64>,
    pub usd: f64,
}

impl Price {
    /// Returns what an amount of one month costs.
    pub fn usd(&self, amount: f64) -> f64 {
        let (mut left, mut sum) = (amount, 0.0);
        for tier in &self.tiers {
            let here = tier.first.map_or(left, |first| left.min(first));
            sum += here / self.per * tier.usd;
            left -= here;
        }
        sum
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quotas {
    /// Operations of which the scale page shows how often one account can do them.
    pub one_account: Vec<String>,
    #[serde(rename = "quotas")]
    pub published: BTreeMap<String, Quota>,
    pub limits: Vec<Limit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    pub value: f64,
    pub what: String,
    pub raise: String,
    pub source: String,
    pub known: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    pub what: String,
    pub demand: Vec<String>,
    pub name: String,
    pub times: Option<String>,
    pub by: Option<String>,
    pub raise: String,
}

/// Reads a file of `infra/bench`.
pub fn read<T: DeserializeOwned>(name: &str) -> Result<T> {
    let file = root().join("infra/bench").join(name);
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    toml::from_str(&text).with_context(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns whether this is a day, or "mid-2025" where the day was not written down.
    fn is_known(known: &str) -> bool {
        let year = known.strip_prefix("mid-").map(str::parse::<u16>);
        known.parse::<jiff::civil::Date>().is_ok() || year.is_some_and(|year| year.is_ok())
    }

    #[test]
    fn every_price_has_a_source_a_day_and_a_last_tier() {
        let prices: Prices = read("prices.toml").unwrap();
        for (name, price) in prices.prices.iter().chain(&prices.cognito) {
            assert!(
                price.source.starts_with("https://aws.amazon.com/"),
                "{name}"
            );
            assert!(is_known(&price.known), "{name}");
            let (last, before) = price.tiers.split_last().unwrap();
            assert!(last.first.is_none(), "{name}: the last tier has no end");
            assert!(before.iter().all(|tier| tier.first.is_some()), "{name}");
        }
    }

    #[test]
    fn every_quota_has_a_source_and_a_day() {
        let quotas: Quotas = read("quotas.toml").unwrap();
        for (name, quota) in &quotas.published {
            let is_documented = quota.source.starts_with("https://docs.aws.amazon.com/");
            assert!(is_documented && is_known(&quota.known), "{name}");
        }
    }

    #[test]
    fn tiers_apply_to_the_amount_within_them() {
        let prices: Prices = read("prices.toml").unwrap();
        let lite = &prices.cognito["Lite"];
        for (users, usd) in [(10_000.0, 0.0), (100_000.0, 495.0), (950_000.0, 4_405.0)] {
            assert!((lite.usd(users) - usd).abs() < 0.01, "{users}");
        }
        assert!((prices.prices["http_request"].usd(400e6) - 390.0).abs() < 1e-9);
    }
}
