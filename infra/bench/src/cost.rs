//! What it costs: the units of each operation and what else it uses, at the
//! published prices of `infra/bench/prices.toml`. All of it is arithmetic, the same
//! on every machine, and stands in `infra/docs/performance/cost.md`.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use curfew_tests::template::resources;
use serde::{Deserialize, Serialize};

use crate::model::{GIGABYTE, HEARTBEAT_MINUTES, MILLION, Model, Use, count, read};
use crate::page::{self, Column, Sheet, grouped, joined, usd};
use crate::report::{Report, Table};
use crate::units;

/// The page.
const PAGE: &str = units::PAGE;
/// The name of the marks in it.
const MARK: &str = "cost";
/// Those of the table of prices.
const PRICES_MARK: &str = "prices";

/// `prices.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Published {
    region: String,
    prices: BTreeMap<String, Price>,
    cognito: BTreeMap<String, Price>,
}

/// A published price.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Price {
    #[serde(default)]
    group: String,
    what: String,
    per: f64,
    tiers: Vec<Tier>,
    source: String,
    known: String,
}

/// A price for some of a month's amount.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tier {
    first: Option<f64>,
    usd: f64,
}

impl Price {
    /// What an amount of one month costs.
    fn usd(&self, amount: f64) -> f64 {
        let (mut left, mut sum) = (amount, 0.0);
        for tier in &self.tiers {
            let here = tier.first.map_or(left, |first| left.min(first));
            sum += here / self.per * tier.usd;
            left -= here;
        }
        sum
    }

    /// What an amount costs at the first price that is not nothing.
    fn first_usd(&self, amount: f64) -> f64 {
        let tier = self.tiers.iter().find(|tier| tier.usd > 0.0);
        amount / self.per * tier.map_or(0.0, |tier| tier.usd)
    }

    /// The tiers, for a reader.
    fn told(&self) -> String {
        let tiers = self.tiers.iter().map(|tier| match tier.first {
            Some(first) => format!("{} (first {})", tier.usd, grouped(first)),
            None => tier.usd.to_string(),
        });
        tiers.collect::<Vec<_>>().join(", then ")
    }
}

/// What the sockets of the app do.
const SOCKETS: &str = "sockets: connections and heartbeats";

/// The groups of prices, in the order of the columns.
const GROUPS: [&str; 5] = ["gateway", "functions", "tables", "topic and queues", "logs"];

/// Money by group.
#[derive(Debug, Clone, Default, Serialize)]
struct Bill {
    by_group: BTreeMap<String, f64>,
    usd: f64,
}

impl Bill {
    fn add(&mut self, group: &str, amount: f64) {
        *self.by_group.entry(group.to_owned()).or_default() += amount;
        self.usd += amount;
    }

    fn of(&self, group: &str) -> f64 {
        self.by_group.get(group).copied().unwrap_or(0.0)
    }

    /// What is in none of the columns.
    fn rest(&self) -> f64 {
        self.usd - GROUPS.iter().map(|group| self.of(group)).sum::<f64>()
    }
}

impl Published {
    /// What is used, each at its price for such an amount.
    fn bill(&self, used: &Use, price: impl Fn(&Price, f64) -> f64) -> Result<Bill> {
        let mut bill = Bill::default();
        for (name, amount) in &used.amounts {
            let of = self.prices.get(*name);
            let of = of.with_context(|| format!("prices.toml has no {name}"))?;
            bill.add(&of.group, price(of, *amount));
        }
        Ok(bill)
    }

    /// What a part of a month's use costs, when volume makes the whole cheaper.
    fn part(&self, part: &Use, whole: &Use) -> Result<Bill> {
        let mut bill = Bill::default();
        for (name, amount) in &part.amounts {
            let of = self.prices.get(*name);
            let of = of.with_context(|| format!("prices.toml has no {name}"))?;
            let all = whole.amounts.get(name).copied().unwrap_or(*amount);
            if all > 0.0 {
                bill.add(&of.group, of.usd(all) * amount / all);
            }
        }
        Ok(bill)
    }
}

/// Everything that is computed.
#[derive(Debug, Serialize)]
struct Figures {
    region: String,
    millions: Vec<(&'static str, Bill)>,
    idle_month: Vec<(&'static str, f64, f64)>,
    connected_device_month: Vec<(&'static str, f64, f64)>,
    app_month: Vec<(&'static str, Bill)>,
    app_usd: f64,
    app_with_more_calls_usd: f64,
    app_without_sockets_usd: f64,
    app_on_opening_alone_usd: f64,
    cognito_usd: Vec<(String, f64)>,
}

/// What the app of the example does in a month.
pub type Activities = Vec<(&'static str, Use)>;

/// Computes it, prints it, and writes it into the page.
///
/// # Errors
/// When something that it begins with is not there.
pub async fn run() -> Result<()> {
    eprintln!("cost: measuring units on the embedded DynamoDB …");
    let model = Box::pin(Model::new()).await?;
    let prices: Published = read("prices.toml")?;
    let figures = figures(&model, &prices)?;
    let sheets = sheets(&model, &figures)?;
    let tables: Vec<Table> = sheets.iter().map(Table::from).collect();
    let is_new = [
        page::write(PAGE, MARK, &joined(&sheets))?,
        page::write(PAGE, PRICES_MARK, &prices_sheet(&prices).markdown())?,
    ];
    if is_new.contains(&true) {
        eprintln!("cost: {PAGE} has new figures");
    }
    Report::new("cost", figures, tables).publish()
}

fn figures(model: &Model, prices: &Published) -> Result<Figures> {
    let mut millions = Vec::new();
    for (name, used) in operations(model)? {
        millions.push((name, prices.bill(&used.times(MILLION), Price::first_usd)?));
    }
    let activities = activities(model, model.usage.app.calls_per_device_day)?;
    let whole = sum(&activities);
    let mut app_month = Vec::new();
    for (name, used) in &activities {
        app_month.push((*name, prices.part(used, &whole)?));
    }
    let month = |calls: f64, has_sockets: bool| -> Result<f64> {
        let mut of_month = self::activities(model, calls)?;
        of_month.retain(|(name, _)| has_sockets || *name != SOCKETS);
        Ok(prices.bill(&sum(&of_month), Price::usd)?.usd)
    };
    let calls = model.usage.app.calls_per_device_day;
    let accounts = model.usage.app.accounts();
    let cognito = prices.cognito.iter();
    let mut cognito_usd: Vec<_> = cognito
        .map(|(name, price)| (name.clone(), price.usd(accounts)))
        .collect();
    cognito_usd.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    Ok(Figures {
        region: prices.region.clone(),
        millions,
        idle_month: idle_month(model, prices)?,
        connected_device_month: connected_month(model, prices)?,
        app_month,
        app_usd: prices.bill(&whole, Price::usd)?.usd,
        app_with_more_calls_usd: month(calls * 5.0, true)?,
        app_without_sockets_usd: month(calls, false)?,
        app_on_opening_alone_usd: month(0.0, false)?,
        cognito_usd,
    })
}

/// One of each operation.
///
/// # Errors
/// When something of it is not known.
fn operations(model: &Model) -> Result<Activities> {
    let announced = |messages| model.published(messages);
    Ok(vec![
        (
            "check, by `GET /v1/session`",
            model.http("session", "check")?,
        ),
        (
            "the same, when a touch is due",
            model.http("session", "check, when a touch is due")?,
        ),
        (
            "check, by the authorizer",
            model.call("authorizer", "authorizer")?,
        ),
        (
            "check, by introspection",
            model.http("introspect", "introspect")?,
        ),
        ("sign-in, a new device", sign_in(model, false)?),
        ("sign-in, the same device again", sign_in(model, true)?),
        ("registration", model.http("register", "register")?),
        (
            "list of devices",
            model.http("list-devices", "list, three devices")?,
        ),
        (
            "sign-out of this device",
            model
                .http("session", "sign out this")?
                .and(announced(1.0)?)
                .and(model.push(false)?),
        ),
        (
            "sign-out of another device",
            model
                .http("sign-out-device", "sign out one")?
                .and(announced(1.0)?)
                .and(model.push(false)?),
        ),
        (
            "sign-out of the others, the act",
            sign_out_all(model, "others")?,
        ),
        (
            "sign-out of everybody, the act",
            sign_out_all(model, "global")?,
        ),
        (
            "… and for each device that `others` ends",
            model.swept("others")?.and(model.push(false)?),
        ),
        (
            "… and for each device that `global` ends",
            model.swept("global")?,
        ),
        (
            "… and for each of them that is connected: told, acknowledged, closed",
            connected(model)?,
        ),
        (
            "… and for each that calls again, the first time",
            model.http("session", "refused for the first time")?,
        ),
        ("socket: a handshake, and its end", handshake(model)?),
        ("socket: a heartbeat", heartbeat(model)?),
    ])
}

fn sign_in(model: &Model, is_again: bool) -> Result<Use> {
    Ok(if is_again {
        // The session that it replaces has a message of its own, and a push.
        model
            .http("login", "sign in, the same device")?
            .and(model.published(2.0)?)
            .and(model.push(false)?)
    } else {
        model
            .http("login", "sign in, a new device")?
            .and(model.published(1.0)?)
    })
}

/// The act alone, with its message to both queues.
fn sign_out_all(model: &Model, scope: &str) -> Result<Use> {
    Ok(model
        .http("sign-out-all", &format!("sign out {scope}"))?
        .and(model.published(1.0)?)
        .and(model.push(false)?)
        .and(Model::delivered()))
}

/// What a device that is connected costs beyond one that is not.
fn connected(model: &Model) -> Result<Use> {
    model.push(true)
}

/// The gateway counts messages; whether it counts the events of a handshake and an
/// end as messages its page does not say, so they are.
fn handshake(model: &Model) -> Result<Use> {
    Ok(model
        .frame("a handshake by token")?
        .and(model.frame("the end of a socket")?))
}

/// Every second one finds that a touch is due: they come every four to five
/// minutes, and a touch is due after five.
fn heartbeat(model: &Model) -> Result<Use> {
    let bare = model.frame("a heartbeat")?;
    let touch = model.frame("a heartbeat, when a touch is due")?;
    Ok(bare.and(touch).times(0.5))
}

/// What a minute of a socket costs, heartbeats included, but for its handshake.
fn socket_minute(model: &Model) -> Result<Use> {
    let beats = heartbeat(model)?.times(1.0 / HEARTBEAT_MINUTES);
    Ok(Use::of("socket_minute", 1.0).and(beats))
}

/// What the app does in a month.
///
/// # Errors
/// When something of it is not known.
pub fn activities(model: &Model, calls_per_device_day: f64) -> Result<Activities> {
    let app = &model.usage.app;
    let days = model.usage.month.hours / 24.0;
    let (devices, accounts) = (app.devices, app.accounts());
    let opens = model
        .http("session", "check")?
        .times(devices * app.opens_per_device_day * days);
    let calls = model
        .call("authorizer", "authorizer")?
        .times(devices * calls_per_device_day * days);
    let touches = app
        .touches_per_device_day
        .min(calls_per_device_day + app.opens_per_device_day);
    let touches = Use::of("write_unit", devices * touches * days);
    let sign_ins = devices * app.sign_ins_per_device_month;
    let signed_in = sign_in(model, false)?
        .times(sign_ins * app.new_devices)
        .and(sign_in(model, true)?.times(sign_ins * (1.0 - app.new_devices)));
    let minutes = devices * app.connected * model.usage.month.hours * 60.0;
    let sockets = socket_minute(model)?
        .times(minutes)
        .and(handshake(model)?.times(minutes / app.socket_minutes));
    let looks = model
        .http("list-devices", "list, three devices")?
        .times(accounts * app.lists_per_account_month)
        .and(
            model
                .http("sign-out-receipts", "receipt, one device")?
                .times(accounts * app.receipts_per_account_month),
        );
    let mut all = vec![
        (
            "calls to the app's API, each checked by the authorizer",
            calls,
        ),
        ("`GET /v1/session` on opening", opens),
        ("touches", touches),
        ("sign-ins", signed_in),
        ("sign-outs, with sweeps and pushes", sign_outs(model)?),
        ("lists and receipts", looks),
        (SOCKETS, sockets),
        ("rows and their backups", kept(model)),
    ];
    let keys = keys(model, &sum(&all));
    let whole = sum(&all);
    let taken_in = whole.amounts.get("log_gb").copied().unwrap_or(0.0);
    // Of every month that is still kept.
    let months = model.usage.log_bytes.kept_days / days;
    let kept_logs = taken_in * model.usage.log_bytes.compression * months;
    let logs = Use::of("log_gb_month", kept_logs);
    all.push((
        "alarms, polling, keys, kept logs",
        fixed(model).and(keys).and(logs),
    ));
    Ok(all)
}

/// Every sign-out of a month, with what follows it.
fn sign_outs(model: &Model) -> Result<Use> {
    let app = &model.usage.app;
    let accounts = app.accounts();
    let ended = |connected: f64| -> Result<Use> {
        let told = model.push(true)?.times(connected);
        Ok(told.and(model.push(false)?.times(1.0 - connected)))
    };
    let contact = model.http("session", "refused for the first time")?;
    let one = model
        .http("sign-out-device", "sign out one")?
        .and(model.published(1.0)?)
        .and(ended(app.connected)?)
        .and(contact.clone());
    let this = model
        .http("session", "sign out this")?
        .and(model.published(1.0)?)
        .and(model.push(false)?);
    let ended_by_many = app.devices_per_account - 1.0;
    let follows = |scope: &str, devices: f64| -> Result<Use> {
        let mut each = model.swept(scope)?.and(contact.clone());
        each += model.push(true)?.times(app.connected);
        if scope == "others" {
            each += model.push(false)?.times(1.0 - app.connected);
        }
        Ok(each.times(devices))
    };
    let others = sign_out_all(model, "others")?.and(follows("others", ended_by_many)?);
    let global = sign_out_all(model, "global")?.and(follows("global", app.devices_per_account)?);
    let password = model
        .http("change-password", "change the password, keeping")?
        .and(model.published(2.0)?)
        .and(model.push(false)?)
        .and(Model::delivered())
        .and(follows("others", ended_by_many)?);
    Ok(this
        .times(accounts * app.sign_outs_this_per_account_month)
        .and(one.times(accounts * app.sign_outs_one_per_account_month))
        .and(others.times(accounts * app.sign_outs_others_per_account_month))
        .and(global.times(accounts * app.sign_outs_global_per_account_month))
        .and(password.times(accounts * app.password_changes_per_account_month)))
}

/// The rows that are kept.
fn kept(model: &Model) -> Use {
    let (app, bytes) = (&model.usage.app, &model.usage.row_bytes);
    let accounts = app.accounts() * (bytes.account + bytes.identity);
    let devices = app.devices * (1.0 + app.kept_devices) * bytes.device;
    let receipts = app.devices * app.kept_devices * bytes.receipt;
    let gb = (accounts + devices + receipts) / GIGABYTE;
    Use::of("table_gb_month", gb).and(Use::of("backup_gb_month", gb))
}

/// What is paid for whatever happens: alarms, and queues that are polled.
fn fixed(model: &Model) -> Use {
    let alarms = resources(&model.template, "AWS::CloudWatch::Alarm").len();
    Use::of("alarm", count(alarms)).and(Use::of("queue_request", polls(model)))
}

/// The requests with which Lambda polls the queues in a month in which they are
/// empty.
fn polls(model: &Model) -> f64 {
    let polling = &model.usage.polling;
    let seconds = model.usage.month.hours * 3_600.0;
    sources(model, "SQS") * polling.pollers * seconds / polling.seconds
}

/// How many sources of a kind Lambda polls for the functions.
fn sources(model: &Model, kind: &str) -> f64 {
    let functions = resources(&model.template, "AWS::Serverless::Function");
    let events = functions
        .iter()
        .filter_map(|(_, it)| it["Properties"]["Events"].as_object());
    let sources = events.flatten().filter(|(_, event)| event["Type"] == kind);
    count(sources.count())
}

/// DynamoDB asks for the key once in five minutes for each connection in use.
const KEY_REQUESTS_AN_HOUR: f64 = 12.0;

/// What DynamoDB asks of the key, by the connections of all functions.
fn keys(model: &Model, used: &Use) -> Use {
    let hours = model.usage.month.hours;
    let under_way = used.busy_ms / (hours * 3_600_000.0);
    let connections = under_way * model.usage.app.connections_per_request;
    Use::of("key_request", connections * KEY_REQUESTS_AN_HOUR * hours)
}

/// Everything together.
#[must_use]
pub fn sum(activities: &Activities) -> Use {
    let mut all = Use::default();
    for (_, used) in activities {
        all += used.clone();
    }
    all
}

fn idle_month(model: &Model, prices: &Published) -> Result<Vec<(&'static str, f64, f64)>> {
    let alarms = count(resources(&model.template, "AWS::CloudWatch::Alarm").len());
    let polls = polls(model);
    let mut lines = Vec::new();
    for (name, price, amount) in [
        ("alarms", "alarm", alarms),
        (
            "requests of Lambda that poll the two queues",
            "queue_request",
            polls,
        ),
        (
            "requests for the key, by the two streams that Lambda polls",
            "key_request",
            sources(model, "DynamoDB") * KEY_REQUESTS_AN_HOUR * model.usage.month.hours,
        ),
        ("requests, functions, tables, sockets", "invocation", 0.0),
    ] {
        let bill = prices.bill(&Use::of(price, amount), Price::first_usd)?;
        lines.push((name, amount, bill.usd));
    }
    Ok(lines)
}

fn connected_month(model: &Model, prices: &Published) -> Result<Vec<(&'static str, f64, f64)>> {
    // The gateway ends a socket after two hours.
    let minutes = model.usage.month.hours * 60.0;
    let (beats, sockets) = (minutes / HEARTBEAT_MINUTES, minutes / 120.0);
    let mut lines = Vec::new();
    for (name, amount, used) in [
        (
            "minutes of connection",
            minutes,
            Use::of("socket_minute", 1.0),
        ),
        ("heartbeats", beats, heartbeat(model)?),
        ("handshakes and ends", sockets, handshake(model)?),
    ] {
        let bill = prices.bill(&used.times(amount), Price::first_usd)?;
        lines.push((name, amount, bill.usd));
    }
    Ok(lines)
}

/// The tables of the page.
fn sheets(model: &Model, figures: &Figures) -> Result<Vec<Sheet>> {
    let mut sheets = vec![
        units::sheet(model.behind()),
        durations(model)?,
        millions(&figures.millions),
    ];
    let lines = |title: &str, lines: &[(&str, f64, f64)]| {
        let columns = [
            Column::text("what"),
            Column::number("amount"),
            Column::number("USD"),
        ];
        let mut sheet = Sheet::new(title, columns);
        for (name, amount, money) in lines {
            let money = format!("{money:.3}");
            sheet.row([(*name).to_owned(), grouped(*amount), money]);
        }
        let all: f64 = lines.iter().map(|(_, _, money)| money).sum();
        sheet.row([
            "**together**".to_owned(),
            String::new(),
            format!("**{all:.3}**"),
        ]);
        sheet
    };
    sheets.push(lines(
        "### A month in which nobody calls\n\nUSD:",
        &figures.idle_month,
    ));
    sheets.push(lines(
        "### A device that is connected for a month\n\nUSD, day and night, which a television in a kitchen comes near to:",
        &figures.connected_device_month,
    ));
    sheets.push(app(model));
    sheets.push(app_month(model, figures));
    sheets.push(beside(model, figures));
    Ok(sheets)
}

/// How long a function is taken to be busy.
fn durations(model: &Model) -> Result<Sheet> {
    let columns = [
        Column::text("function"),
        Column::text("for"),
        Column::number("MB"),
        Column::number("computes, ms"),
        Column::number("waits for calls, ms"),
        Column::number("billed, ms"),
    ];
    let title = format!(
        "### How long a request is billed\n\nComputing was measured ({}) and is stretched to the share of a processor \
         that the memory gives; waiting is assumed:",
        model.usage.processor.measured
    );
    let mut sheet = Sheet::new(&title, columns);
    for (function, operation) in [
        ("session", "check"),
        ("authorizer", "authorizer"),
        ("introspect", "introspect"),
        ("login", "sign in, the same device"),
        ("register", "register"),
        ("list-devices", "list, three devices"),
        ("sign-out-device", "sign out one"),
        ("sign-out-all", "sign out others"),
        ("change-password", "change the password, keeping"),
        ("socket", "a heartbeat"),
        ("push-revocations", "a push, to a device with one"),
    ] {
        let units = model.units(operation)?;
        let busy = model.busy_ms(function, units, 1.0)?;
        let computing = model.computing_ms(function)?;
        sheet.row([
            format!("`{function}`"),
            operation.to_owned(),
            format!("{}", model.memory_mb(function)?),
            format!("{computing:.1}"),
            format!("{:.0}", busy - computing),
            format!("{:.0}", busy.ceil()),
        ]);
    }
    Ok(sheet)
}

fn millions(millions: &[(&str, Bill)]) -> Sheet {
    let mut columns = vec![Column::text("a million times")];
    columns.extend(GROUPS.map(Column::number));
    columns.push(Column::number("USD"));
    let mut sheet = Sheet::new(
        "### A million of each\n\nUSD, at the first price of each:",
        columns,
    );
    for (name, bill) in millions {
        let mut cells = vec![(*name).to_owned()];
        cells.extend(GROUPS.map(|group| usd(bill.of(group))));
        cells.push(format!("**{}**", usd(bill.usd)));
        sheet.row(cells);
    }
    sheet
}

fn app(model: &Model) -> Sheet {
    let app = &model.usage.app;
    let columns = [Column::text("an app, as it is assumed"), Column::number("")];
    let mut sheet = Sheet::new(
        "### An app with 10 million devices\n\nWhat is assumed of it, in `infra/bench/usage.toml`:",
        columns,
    );
    let percent = |part: f64| format!("{} %", part * 100.0);
    for (name, value) in [
        ("devices", grouped(app.devices)),
        ("accounts (households)", grouped(app.accounts())),
        (
            "calls to the app's own API, by device and day",
            app.calls_per_device_day.to_string(),
        ),
        (
            "`GET /v1/session`, by device and day",
            app.opens_per_device_day.to_string(),
        ),
        (
            "touches, by device and day",
            app.touches_per_device_day.to_string(),
        ),
        (
            "sign-ins, by device and month",
            app.sign_ins_per_device_month.to_string(),
        ),
        ("… of these from a new device", percent(app.new_devices)),
        (
            "sign-outs of this device, by account and month",
            app.sign_outs_this_per_account_month.to_string(),
        ),
        (
            "… of another one",
            app.sign_outs_one_per_account_month.to_string(),
        ),
        (
            "… of the others",
            app.sign_outs_others_per_account_month.to_string(),
        ),
        (
            "… of everybody",
            app.sign_outs_global_per_account_month.to_string(),
        ),
        (
            "changed passwords, by account and month",
            app.password_changes_per_account_month.to_string(),
        ),
        (
            "devices that are connected, in the mean of a month",
            percent(app.connected),
        ),
        (
            "… for how long at a time, in minutes",
            app.socket_minutes.to_string(),
        ),
    ] {
        sheet.row([name.to_owned(), value]);
    }
    sheet
}

fn app_month(model: &Model, figures: &Figures) -> Sheet {
    let mut columns = vec![Column::text("a month of it")];
    columns.extend(GROUPS.map(Column::number));
    columns.push(Column::number("other"));
    columns.push(Column::number("USD"));
    let mut sheet = Sheet::new(
        "USD for a month of it, with the lower prices of its volume:",
        columns,
    );
    let mut all = Bill::default();
    for (name, bill) in &figures.app_month {
        let mut cells = vec![(*name).to_owned()];
        cells.extend(GROUPS.map(|group| grouped(bill.of(group))));
        cells.push(grouped(bill.rest()));
        cells.push(grouped(bill.usd));
        sheet.row(cells);
        for (group, amount) in &bill.by_group {
            all.add(group, *amount);
        }
    }
    let mut cells = vec!["**together**".to_owned()];
    cells.extend(GROUPS.map(|group| format!("**{}**", grouped(all.of(group)))));
    cells.push(format!("**{}**", grouped(all.rest())));
    cells.push(format!("**{}**", grouped(all.usd)));
    sheet.row(cells);
    let mut cells = vec!["for one device".to_owned()];
    cells.extend(GROUPS.map(|_| String::new()));
    cells.push(String::new());
    cells.push(format!("{:.5}", all.usd / model.usage.app.devices));
    sheet.row(cells);
    sheet
}

fn beside(model: &Model, figures: &Figures) -> Sheet {
    let app = &model.usage.app;
    let columns = [
        Column::text("for the same people"),
        Column::number("USD a month"),
        Column::number("USD by account"),
    ];
    let mut sheet = Sheet::new(
        "### Beside Amazon Cognito\n\nThe same people, each account one active user:",
        columns,
    );
    let mut row = |name: String, money: f64| {
        let each = format!("{:.4}", money / app.accounts());
        sheet.row([name, grouped(money), each]);
    };
    row("Curfew, all of the above".to_owned(), figures.app_usd);
    row(
        "Curfew, and five times as many calls".to_owned(),
        figures.app_with_more_calls_usd,
    );
    row(
        "Curfew without sockets: a device hears at its next call".to_owned(),
        figures.app_without_sockets_usd,
    );
    row(
        "Curfew without sockets, and no call checked but on opening".to_owned(),
        figures.app_on_opening_alone_usd,
    );
    for (name, money) in &figures.cognito_usd {
        row(format!("Cognito {name}"), *money);
    }
    sheet
}

/// The prices, for the page.
fn prices_sheet(prices: &Published) -> Sheet {
    let columns = [
        Column::text("what"),
        Column::text("USD"),
        Column::number("for"),
        Column::text("known of"),
    ];
    let title = format!("In {}, each as far as it is known here:", prices.region);
    let mut sheet = Sheet::new(&title, columns);
    let mut row = |what: &str, price: &Price| {
        sheet.row([
            format!("[{what}]({})", price.source),
            price.told(),
            grouped(price.per),
            price.known.clone(),
        ]);
    };
    for price in prices.prices.values() {
        row(&price.what, price);
    }
    for (name, price) in &prices.cognito {
        row(&format!("Cognito {name}, an active user of a month"), price);
    }
    sheet
}

#[cfg(test)]
mod tests {
    use crate::model::is_known;

    use super::*;

    fn prices() -> Published {
        read("prices.toml").unwrap()
    }

    #[tokio::test]
    async fn the_page_has_what_is_computed() {
        let model = Box::pin(Model::new()).await.unwrap();
        let figures = figures(&model, &prices()).unwrap();
        let computed = joined(&sheets(&model, &figures).unwrap());
        let found = page::between(PAGE, MARK).unwrap();
        assert!(
            found == computed,
            "run `cargo run -p bench -- cost`; {PAGE} should have\n{computed}"
        );
        let found = page::between(PAGE, PRICES_MARK).unwrap();
        let table = prices_sheet(&prices()).markdown();
        assert!(
            found == table,
            "run `cargo run -p bench -- cost`; {PAGE} should have\n{table}"
        );
    }

    #[test]
    fn every_price_has_a_source_and_a_day_and_is_used() {
        let prices = prices();
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
        let groups = [GROUPS.as_slice(), &["storage", "alarms and keys"]].concat();
        for (name, price) in &prices.prices {
            assert!(groups.contains(&price.group.as_str()), "{name}");
        }
    }

    #[tokio::test]
    async fn every_price_is_that_of_something_the_app_uses() {
        let model = Box::pin(Model::new()).await.unwrap();
        let whole = sum(&activities(&model, 20.0).unwrap());
        for name in prices().prices.keys() {
            let amount = whole.amounts.get(name.as_str());
            assert!(amount.is_some_and(|amount| *amount > 0.0), "{name}");
        }
    }

    #[test]
    fn tiers_apply_to_what_is_within_them() {
        let prices = prices();
        let lite = &prices.cognito["Lite"];
        for (users, usd) in [(10_000.0, 0.0), (100_000.0, 495.0), (950_000.0, 4_405.0)] {
            assert!(
                (lite.usd(users) - usd).abs() < 0.01,
                "{users}: {}",
                lite.usd(users)
            );
        }
        let http = &prices.prices["http_request"];
        assert!((http.usd(400e6) - 390.0).abs() < 1e-9);
        assert!((http.first_usd(400e6) - 400.0).abs() < 1e-9);
    }

    #[tokio::test]
    async fn the_parts_of_the_apps_month_are_the_whole() {
        let model = Box::pin(Model::new()).await.unwrap();
        let figures = figures(&model, &prices()).unwrap();
        let parts: f64 = figures.app_month.iter().map(|(_, bill)| bill.usd).sum();
        assert!(
            (parts - figures.app_usd).abs() < 0.01,
            "{parts} {}",
            figures.app_usd
        );
    }
}
