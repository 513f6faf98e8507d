//! How far it goes: at which load which quota or limit bites, by arithmetic from the
//! units, the times, the template's values and `infra/bench/quotas.toml`. It stands
//! in `infra/docs/performance/scale.md`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result};
use curfew::root;
use push_revocations::{BUDGET, WIDTH};
use serde::{Deserialize, Serialize};

use crate::cost;
use crate::model::{HEARTBEAT_MINUTES, Model, count, read};
use crate::page::{self, Column, Sheet, grouped, joined};
use crate::report::{Report, Table};
use crate::units::{PAGE_OF_SWEEP, Units, of_receipt};

/// The page.
const PAGE: &str = "infra/docs/performance/scale.md";
/// The name of the marks in it.
const MARK: &str = "scale";

/// The devices of the large account of the example.
const LARGE: f64 = 100_000.0;
/// A query gives so many bytes at a time.
const QUERY_BYTES: f64 = 1_048_576.0;
/// A batch of reads has so many devices.
const BATCH_READ: f64 = 99.0;
/// A batch of the topic has so many messages.
const BATCH_PUBLISHED: f64 = 10.0;

/// Rows that other tables refer to.
const ROUTE: &str = "requests of one route, such as `GET /v1/session`";
const SIGN_INS: &str = "sign-ins, and as many registrations";
const FRAMES: &str = "frames of devices";
const SWEPT: &str = "devices swept, of all accounts";

/// `quotas.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Quotas {
    quotas: BTreeMap<String, Quota>,
}

/// A published limit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Quota {
    value: f64,
    what: String,
    raise: String,
    source: String,
    known: String,
}

impl Quotas {
    fn get(&self, name: &str) -> Result<f64> {
        let quota = self.quotas.get(name);
        let quota = quota.with_context(|| format!("quotas.toml has no {name}"))?;
        Ok(quota.value)
    }
}

/// What one account can do of something in a second.
#[derive(Debug, Serialize)]
struct OfAccount {
    what: &'static str,
    table: String,
    kind: &'static str,
    units: f64,
    a_second: f64,
}

/// What the stack can do of something in a second.
#[derive(Debug, Serialize)]
struct OfStack {
    what: &'static str,
    limit: String,
    a_second: f64,
    raise: &'static str,
}

/// What the app of the example asks for.
#[derive(Debug, Serialize)]
struct Asked {
    what: &'static str,
    mean: f64,
    peak: f64,
    limit: &'static str,
    has: f64,
}

/// Everything that is computed.
#[derive(Debug, Serialize)]
struct Figures {
    account: Vec<OfAccount>,
    stack: Vec<OfStack>,
    app: Vec<Asked>,
    large: Vec<(String, String)>,
}

/// The parameters with which a stack for production is deployed.
struct Production {
    hashing: f64,
    sign_out: f64,
    publish: f64,
}

impl Production {
    /// By `infra/samconfig.toml`.
    fn read() -> Result<Self> {
        let file = root().join("infra/samconfig.toml");
        let text = fs::read_to_string(&file).context("infra/samconfig.toml")?;
        let config: toml::Table = toml::from_str(&text).context("infra/samconfig.toml")?;
        let overrides =
            config["production"]["deploy"]["parameters"]["parameter_overrides"].as_array();
        let overrides = overrides.context("parameter_overrides")?;
        let of = |name: &str| -> Result<f64> {
            let mut pairs = overrides
                .iter()
                .filter_map(|it| it.as_str()?.split_once('='));
            let found = pairs.find(|(it, _)| *it == name);
            let (_, value) = found.with_context(|| format!("samconfig.toml has no {name}"))?;
            Ok(value.parse()?)
        };
        Ok(Self {
            hashing: of("HashingConcurrency")?,
            sign_out: of("SignOutConcurrency")?,
            publish: of("PublishConcurrency")?,
        })
    }

    /// What it reserves of the account's concurrency, by the template.
    fn reserved(&self) -> f64 {
        3.0 * self.hashing + 2.0 * self.sign_out + self.publish
    }
}

/// Computes it, prints it, and writes it into the page.
///
/// # Errors
/// When something that it begins with is not there.
pub async fn run() -> Result<()> {
    eprintln!("scale: measuring units on the embedded DynamoDB …");
    let model = Box::pin(Model::new()).await?;
    let quotas: Quotas = read("quotas.toml")?;
    let figures = figures(&model, &quotas)?;
    let sheets = sheets(&figures, &quotas);
    if page::write(PAGE, MARK, &joined(&sheets))? {
        eprintln!("scale: {PAGE} has new figures");
    }
    let tables: Vec<Table> = sheets.iter().map(Table::from).collect();
    Report::new("scale", figures, tables).publish()
}

fn figures(model: &Model, quotas: &Quotas) -> Result<Figures> {
    let production = Production::read()?;
    let stack = stack(model, quotas, &production)?;
    Ok(Figures {
        account: account(model, quotas)?,
        app: app(model, &stack, quotas)?,
        large: large(model, quotas)?,
        stack,
    })
}

/// The table that has no more room first when an operation is done again and again
/// on one account, whose rows are one partition of each table.
fn bottleneck(
    what: &'static str,
    units: &Units,
    devices: f64,
    quotas: &Quotas,
) -> Result<OfAccount> {
    let (reads, writes) = (
        quotas.get("partition_reads")?,
        quotas.get("partition_writes")?,
    );
    let mut found: Option<OfAccount> = None;
    for (table, (read, written)) in &units.by_table {
        for (kind, used, limit) in [("read", *read, reads), ("write", *written, writes)] {
            let each = used / devices;
            // The address and the ticket are not of the account's partition.
            let is_of_account = !matches!(table.as_str(), "Identities" | "SocketTickets");
            if each > 0.0
                && is_of_account
                && found.as_ref().is_none_or(|it| limit / each < it.a_second)
            {
                found = Some(OfAccount {
                    what,
                    table: table.clone(),
                    kind,
                    units: each,
                    a_second: limit / each,
                });
            }
        }
    }
    found.with_context(|| format!("{what} uses no table"))
}

fn account(model: &Model, quotas: &Quotas) -> Result<Vec<OfAccount>> {
    let page = count(PAGE_OF_SWEEP);
    let mut rows = Vec::new();
    for (what, operation, devices) in [
        ("checks, of all its devices", "a check", 1.0),
        ("sign-ins", "a sign-in", 1.0),
        ("sign-outs of one device", "a sign-out of one", 1.0),
        ("sign-outs of the others", "a sign-out of the others", 1.0),
        (
            "heartbeats, a touch due",
            "a heartbeat, when a touch is due",
            1.0,
        ),
        ("handshakes of sockets", "a handshake by token", 1.0),
        ("devices swept", "the sweep, 25 devices of `global`", page),
        ("devices pushed to", "a push, to a device with one", 1.0),
        (
            "acknowledgements over sockets",
            "its acknowledgement, which ends the socket",
            1.0,
        ),
    ] {
        rows.push(bottleneck(what, model.units(operation)?, devices, quotas)?);
    }
    Ok(rows)
}

/// How many of an operation so many executions at a time do in a second. However
/// short they are, Lambda gives each execution no more than ten requests in one.
fn by_concurrency(
    model: &Model,
    quotas: &Quotas,
    function: &str,
    operation: &str,
    executions: f64,
) -> Result<f64> {
    let busy_ms = model.busy_ms(function, model.units(operation)?, 1.0)?;
    let each = quotas.get("requests_by_execution")?;
    Ok(executions * each.min(1_000.0 / busy_ms))
}

impl OfStack {
    fn new(
        what: &'static str,
        limit: impl Into<String>,
        a_second: f64,
        raise: &'static str,
    ) -> Self {
        Self {
            what,
            limit: limit.into(),
            a_second,
            raise,
        }
    }
}

fn stack(model: &Model, quotas: &Quotas, production: &Production) -> Result<Vec<OfStack>> {
    let mut rows = of_requests(model, quotas, production)?;
    rows.extend(of_tables(model, quotas)?);
    rows.extend(of_fan_out(model, quotas, production)?);
    Ok(rows)
}

/// The gateway's throttles and the functions' executions.
fn of_requests(model: &Model, quotas: &Quotas, production: &Production) -> Result<Vec<OfStack>> {
    let of = |parameter: &str| model.default_of(parameter);
    let (api, sign_in, frames) = (
        of("ApiRateLimit")?,
        of("SignInRateLimit")?,
        of("SocketRateLimit")?,
    );
    let by = |function: &str, operation: &str, executions: f64| {
        by_concurrency(model, quotas, function, operation, executions)
    };
    let free = quotas.get("concurrency")? - production.reserved();
    Ok(vec![
        OfStack::new(
            ROUTE,
            format!("`ApiRateLimit` {}", grouped(api)),
            api,
            "the parameter",
        ),
        OfStack::new(
            "requests, frames and pushes of all APIs of the account",
            "the gateway's quota",
            quotas.get("gateway_rate")?,
            "Service Quotas",
        ),
        OfStack::new(
            SIGN_INS,
            format!("`SignInRateLimit` {sign_in}"),
            sign_in,
            "the parameter, and the next line",
        ),
        OfStack::new(
            "sign-ins",
            format!("`HashingConcurrency` {} in production", production.hashing),
            by("login", "sign in, the same device", production.hashing)?,
            "the parameter",
        ),
        OfStack::new(
            "sign-outs of one device",
            format!("`SignOutConcurrency` {} in production", production.sign_out),
            by("sign-out-device", "sign out one", production.sign_out)?,
            "the parameter",
        ),
        OfStack::new(
            "checks by the authorizer, with all of the rest",
            format!(
                "{} executions that production leaves unreserved",
                grouped(free)
            ),
            by("authorizer", "authorizer", free)?,
            "the quota of concurrency",
        ),
        OfStack::new(
            "further checks by the authorizer with each second",
            "Lambda's scaling",
            by("authorizer", "authorizer", quotas.get("scaling")?)?,
            "–",
        ),
        OfStack::new(
            FRAMES,
            format!("`SocketRateLimit` {}", grouped(frames)),
            frames,
            "the parameter",
        ),
        OfStack::new(
            "handshakes",
            "the gateway's quota of new sockets",
            quotas.get("new_sockets")?,
            "Service Quotas",
        ),
    ])
}

fn of_tables(model: &Model, quotas: &Quotas) -> Result<Vec<OfStack>> {
    let read = model.units("a check")?.reads_of("Accounts");
    let written = model.units("a sign-in")?.writes_of("Devices");
    Ok(vec![
        OfStack::new(
            "checks of every kind",
            "reads of Accounts, as a new table",
            quotas.get("new_table_reads")? / read,
            "warm throughput",
        ),
        OfStack::new(
            "checks of every kind",
            "reads of Accounts, the table's quota",
            quotas.get("table_reads")? / read,
            "Service Quotas",
        ),
        OfStack::new(
            "sign-ins and touches",
            "writes of Devices, as a new table",
            quotas.get("new_table_writes")? / written,
            "warm throughput",
        ),
        OfStack::new(
            "sign-ins and touches",
            "writes of Devices, the table's quota",
            quotas.get("table_writes")? / written,
            "Service Quotas",
        ),
    ])
}

/// What nobody waits for.
fn of_fan_out(model: &Model, quotas: &Quotas, production: &Production) -> Result<Vec<OfStack>> {
    let at_once = |function: &str| {
        let ends = format!("/Resources/{function}/Properties/Events/Ends/Properties");
        model.value(&format!("{ends}/ScalingConfig/MaximumConcurrency"))
    };
    let (sweeps, pushes) = (at_once("Sweep")?, at_once("PushRevocations")?);
    let told = 1_000.0 / push_ms(model)?;
    Ok(vec![
        OfStack::new(
            "sign-ins and sign-outs published, by one shard",
            "one batch of a shard at a time",
            of_shard(model)?,
            "`ParallelizationFactor`, which the template leaves at 1",
        ),
        OfStack::new(
            "the same, by all shards",
            format!("`PublishConcurrency` {} in production", production.publish),
            of_shard(model)? * production.publish,
            "the parameter",
        ),
        OfStack::new(
            "messages of the topic",
            "SNS's quota",
            quotas.get("topic_messages")?,
            "Service Quotas",
        ),
        OfStack::new(
            "devices swept, of one account",
            "one page after the other",
            of_sweep(model, "global")?,
            "–; nobody waits",
        ),
        OfStack::new(
            SWEPT,
            format!("`MaximumConcurrency` {sweeps} of `Sweep`"),
            of_sweep(model, "global")? * sweeps,
            "the template",
        ),
        OfStack::new(
            "connected devices told, of one account",
            "one message is one execution of 512 MB",
            told,
            "`MemorySize` of `PushRevocations`",
        ),
        OfStack::new(
            "connected devices told, of all accounts",
            format!("`MaximumConcurrency` {pushes} of `PushRevocations`"),
            told * pushes,
            "the gateway's quota comes first",
        ),
    ])
}

/// How many records of one shard are published in a second: a batch of so many, ten
/// messages a call.
fn of_shard(model: &Model) -> Result<f64> {
    let records = model
        .value("/Resources/PublishRevocations/Properties/Events/SignOuts/Properties/BatchSize")?;
    let calls = records / BATCH_PUBLISHED;
    let each = model.computing_ms("publish-revocations")?;
    // What it computes for one record is mostly that of the call.
    let busy_ms = calls * (each + model.usage.trip_ms.topic);
    Ok(records * 1_000.0 / busy_ms)
}

/// How many devices of one account are swept in a second.
fn of_sweep(model: &Model, scope: &str) -> Result<f64> {
    let page = count(PAGE_OF_SWEEP);
    Ok(page * 1_000.0 / page_ms(model, scope)?)
}

/// How long a page of the sweep takes, from its message to the next.
fn page_ms(model: &Model, scope: &str) -> Result<f64> {
    let units = model.units(&format!("the sweep, 25 devices of `{scope}`"))?;
    let busy_ms = model.busy_ms("sweep", units, count(PAGE_OF_SWEEP))?;
    // The next page is received.
    Ok(busy_ms + model.usage.trip_ms.queue)
}

/// How long one of many connected devices takes: it is computed for one after the
/// other, and waited for side by side.
fn push_ms(model: &Model) -> Result<f64> {
    let trips = &model.usage.trip_ms;
    let computing = model.computing_ms("push-revocations")?;
    let waiting = (trips.socket + trips.table) / count(WIDTH);
    let reading =
        trips.table / BATCH_READ + trips.table * model.usage.row_bytes.device / QUERY_BYTES;
    Ok(computing.max(waiting) + reading)
}

/// How often the app of the example does something in a mean second.
struct Rates {
    calls: f64,
    opens: f64,
    touches: f64,
    sign_ins: f64,
    sign_outs: f64,
    swept: f64,
    beats: f64,
    handshakes: f64,
    invocations: f64,
    executions: f64,
}

impl Rates {
    fn of(model: &Model) -> Result<Self> {
        let app = &model.usage.app;
        let (month_s, day_s) = (model.usage.month.hours * 3_600.0, 86_400.0);
        let accounts = app.accounts();
        let of_many = app.sign_outs_others_per_account_month
            + app.sign_outs_global_per_account_month
            + app.password_changes_per_account_month;
        let of_one = app.sign_outs_one_per_account_month + app.sign_outs_this_per_account_month;
        let sockets = app.devices * app.connected;
        let used = cost::sum(&cost::activities(model, app.calls_per_device_day)?);
        let invocations = used.amounts.get("invocation").copied();
        Ok(Self {
            calls: app.devices * app.calls_per_device_day / day_s,
            opens: app.devices * app.opens_per_device_day / day_s,
            touches: app.devices * app.touches_per_device_day / day_s,
            sign_ins: app.devices * app.sign_ins_per_device_month / month_s,
            sign_outs: accounts * (of_one + of_many) / month_s,
            swept: app.devices * of_many / month_s,
            beats: sockets / (HEARTBEAT_MINUTES * 60.0),
            handshakes: sockets / (app.socket_minutes * 60.0),
            invocations: invocations.unwrap_or(0.0) / month_s,
            executions: used.busy_ms / 1_000.0 / month_s,
        })
    }
}

fn app(model: &Model, stack: &[OfStack], quotas: &Quotas) -> Result<Vec<Asked>> {
    let it = Rates::of(model)?;
    let of_stack = |what: &str| -> Result<f64> {
        let found = stack.iter().find(|row| row.what == what);
        let found = found.with_context(|| format!("the stack has no row {what:?}"))?;
        Ok(found.a_second)
    };
    let of = |name: &str| quotas.get(name);
    let shards = of("new_table_writes")? / of("partition_writes")?;
    let peak = model.usage.app.peak;
    let asked = |what, mean: f64, limit, has| Asked {
        what,
        mean,
        peak: mean * peak,
        limit,
        has,
    };
    Ok(vec![
        asked(
            "requests of `GET /v1/session`",
            it.opens,
            "`ApiRateLimit`",
            of_stack(ROUTE)?,
        ),
        asked(
            "requests, frames and handshakes, without the app's own API",
            it.opens + it.sign_ins + it.sign_outs + it.beats + it.handshakes,
            "the gateway's quota",
            of("gateway_rate")?,
        ),
        asked(
            "executions at a time, of all functions",
            it.executions,
            "Lambda's quota",
            of("concurrency")?,
        ),
        asked(
            "requests of functions",
            it.invocations,
            "ten for each execution of Lambda's quota",
            of("concurrency")? * of("requests_by_execution")?,
        ),
        asked(
            "reads of Accounts",
            it.calls + it.opens + it.beats,
            "the table's quota",
            of("table_reads")?,
        ),
        asked(
            "writes of Devices",
            it.touches + it.beats / 2.0 + it.sign_ins,
            "a new table",
            of("new_table_writes")?,
        ),
        asked(
            "sign-ins",
            it.sign_ins,
            "`SignInRateLimit`",
            of_stack(SIGN_INS)?,
        ),
        asked(
            "frames of devices",
            it.beats,
            "`SocketRateLimit`",
            of_stack(FRAMES)?,
        ),
        asked(
            "handshakes",
            it.handshakes,
            "the gateway's quota",
            of("new_sockets")?,
        ),
        asked(
            "sign-ins and sign-outs published",
            it.sign_ins * 2.0 + it.sign_outs,
            "the shards of a new table",
            of_shard(model)? * shards,
        ),
        asked(
            "devices swept",
            it.swept,
            "`MaximumConcurrency` of `Sweep`",
            of_stack(SWEPT)?,
        ),
    ])
}

/// A sign-out of everybody in an account of very many devices.
fn large(model: &Model, quotas: &Quotas) -> Result<Vec<(String, String)>> {
    let app = &model.usage.app;
    let act = model.units("sign out global")?;
    let mut rows = Vec::new();
    let mut row = |what: &str, figure: String| rows.push((what.to_owned(), figure));
    row(
        "the act: calls to the tables, read and write units",
        format!("{}, {}, {}", act.calls.len(), act.reads, act.writes),
    );
    row(
        "every one of them is refused",
        "from the answer on".to_owned(),
    );
    let page = count(PAGE_OF_SWEEP);
    for scope in ["global", "others"] {
        row(
            &format!(
                "the sweep after `{scope}`: {} pages one after the other",
                grouped(LARGE / page)
            ),
            minutes(LARGE / of_sweep(model, scope)? * 1_000.0),
        );
    }
    let part = model.units("the sweep, 25 devices of `global`")?;
    let part = part.writes_of("Receipts") / page;
    row(
        "… which the partition of its receipts would allow in",
        minutes(LARGE * part / quotas.get("partition_writes")? * 1_000.0),
    );
    let parts_gb = LARGE * model.usage.row_bytes.receipt / 1e9;
    row(
        "its parts in Receipts, of the 10 GB that one account may have there",
        format!("{parts_gb:.2} GB"),
    );
    let deliveries =
        model.value("/Resources/PushQueue/Properties/RedrivePolicy/maxReceiveCount")?;
    let again_s = model.value("/Resources/PushQueue/Properties/VisibilityTimeout")?;
    let budget_ms = BUDGET.as_secs_f64() * 1_000.0;
    let at_once = (budget_ms / push_ms(model)?).floor();
    row(
        "connected devices that one delivery of its push tells and writes down within its 20 seconds",
        grouped(at_once),
    );
    let connected = LARGE * app.connected;
    row(
        &format!(
            "if {} of its devices are connected, the last is told after",
            grouped(connected)
        ),
        format!("{:.0} s", connected * push_ms(model)? / 1_000.0),
    );
    let rounds = (LARGE / at_once).ceil();
    row(
        &format!(
            "if all are: such deliveries, one every {again_s} s, where the message is a dead letter after {deliveries}"
        ),
        grouped(rounds),
    );
    let patience_s = model.value("/Globals/Function/Timeout")?;
    let each = of_receipt("others", 1_000)? / 1_000.0;
    row(
        &format!(
            "devices whose receipt can be read within the {patience_s} seconds of `SignOutReceipts`, by the partitions alone"
        ),
        grouped((quotas.get("partition_reads")? * patience_s / each / 1_000.0).floor() * 1_000.0),
    );
    let sign_in = model.default_of("SignInRateLimit")?;
    row(
        &format!("its devices all sign in again, at `SignInRateLimit` {sign_in}"),
        minutes(LARGE / sign_in * 1_000.0),
    );
    row(
        "the app's 10 million devices all do, at the same",
        format!("{:.0} hours", app.devices / sign_in / 3_600.0),
    );
    let production = Production::read()?;
    let hashing = by_concurrency(
        model,
        quotas,
        "login",
        "sign in, the same device",
        production.hashing,
    )?;
    row(
        &format!(
            "… at what `HashingConcurrency` {} allows",
            production.hashing
        ),
        format!("{:.1} hours", app.devices / hashing / 3_600.0),
    );
    Ok(rows)
}

fn minutes(milliseconds: f64) -> String {
    format!("{:.0} minutes", milliseconds / 60_000.0)
}

/// A rate, with a digit after the point where it is small.
fn rate(a_second: f64) -> String {
    if a_second < 10.0 {
        format!("{a_second:.1}")
    } else {
        grouped(a_second)
    }
}

fn sheets(figures: &Figures, quotas: &Quotas) -> Vec<Sheet> {
    let columns = [
        Column::text("one account, in a second"),
        Column::text("is held up by"),
        Column::number("units of one"),
        Column::number("a second"),
    ];
    let mut account = Sheet::new(
        "## One account\n\nThe rows of an account are one partition key in each table:",
        columns,
    );
    for row in &figures.account {
        account.row([
            row.what.to_owned(),
            format!("{} units of {}", row.kind, row.table),
            format!("{:.2}", row.units),
            grouped(row.a_second),
        ]);
    }
    let columns = [
        Column::text("the stack, in a second"),
        Column::text("is held up by"),
        Column::number("a second"),
        Column::text("raise"),
    ];
    let mut stack = Sheet::new(
        "## The whole stack\n\nWith the defaults of the template, the production settings of `infra/samconfig.toml`, and the first quotas of an account:",
        columns,
    );
    for row in &figures.stack {
        stack.row([
            row.what.to_owned(),
            row.limit.clone(),
            grouped(row.a_second),
            row.raise.to_owned(),
        ]);
    }
    let columns = [
        Column::text("the app of the example"),
        Column::number("mean"),
        Column::number("at its peak"),
        Column::text("limit"),
        Column::number("which is"),
        Column::text("enough"),
    ];
    let mut app = Sheet::new(
        "## An app with 10 million devices\n\nThe [app of the other page](cost.md#an-app-with-10-million-devices), in a second:",
        columns,
    );
    for row in &figures.app {
        let is_enough = if row.peak <= row.has { "yes" } else { "**no**" };
        app.row([
            row.what.to_owned(),
            rate(row.mean),
            rate(row.peak),
            row.limit.to_owned(),
            grouped(row.has),
            is_enough.to_owned(),
        ]);
    }
    let columns = [
        Column::text("an account with 100,000 devices"),
        Column::number(""),
    ];
    let mut large = Sheet::new(
        "## An account with 100,000 devices\n\nNo household has them, but a chain of hotels may. Its owner signs everybody out:",
        columns,
    );
    for (what, figure) in &figures.large {
        large.row([what.clone(), figure.clone()]);
    }
    let columns = [
        Column::text("quota or limit"),
        Column::number("value"),
        Column::text("raise"),
        Column::text("known of"),
    ];
    let mut published = Sheet::new(
        "## The limits that were used\n\nPublished ones, from `infra/bench/quotas.toml`:",
        columns,
    );
    for quota in quotas.quotas.values() {
        published.row([
            format!("[{}]({})", quota.what, quota.source),
            grouped(quota.value),
            quota.raise.clone(),
            quota.known.clone(),
        ]);
    }
    vec![account, stack, app, large, published]
}

#[cfg(test)]
mod tests {
    use crate::model::is_known;

    use super::*;

    #[tokio::test]
    async fn the_page_has_what_is_computed() {
        let model = Box::pin(Model::new()).await.unwrap();
        let quotas: Quotas = read("quotas.toml").unwrap();
        let figures = figures(&model, &quotas).unwrap();
        let computed = joined(&sheets(&figures, &quotas));
        let found = page::between(PAGE, MARK).unwrap();
        assert!(
            found == computed,
            "run `cargo run -p bench -- scale`; {PAGE} should have\n{computed}"
        );
    }

    #[test]
    fn every_quota_has_a_source_and_a_day() {
        let quotas: Quotas = read("quotas.toml").unwrap();
        for (name, quota) in &quotas.quotas {
            assert!(
                quota.source.starts_with("https://docs.aws.amazon.com/"),
                "{name}"
            );
            assert!(is_known(&quota.known), "{name}");
        }
    }

    #[test]
    fn the_tighter_of_two_limits_is_the_one_that_holds_up() {
        let quotas: Quotas = read("quotas.toml").unwrap();
        let units = Units {
            by_table: BTreeMap::from([
                ("Accounts".to_owned(), (1.0, 2.0)),
                ("Devices".to_owned(), (1.0, 4.0)),
                ("Identities".to_owned(), (0.0, 9.0)),
            ]),
            ..Units::default()
        };
        let found = bottleneck("it", &units, 1.0, &quotas).unwrap();
        assert_eq!((found.table.as_str(), found.kind), ("Devices", "write"));
        assert!((found.a_second - 250.0).abs() < f64::EPSILON);
    }

    #[test]
    fn production_reserves_less_than_the_quota_and_leaves_what_lambda_wants_left() {
        let quotas: Quotas = read("quotas.toml").unwrap();
        let left = quotas.get("concurrency").unwrap() - Production::read().unwrap().reserved();
        assert!(left >= 100.0, "{left}");
    }
}
