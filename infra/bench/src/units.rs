//! What an operation asks of the tables: the units that `infra/docs/performance/cost.md` has,
//! which a test of the suite compares with what is measured, and those of what
//! nobody waits for, measured here on the embedded `DynamoDB`.

use std::collections::BTreeMap;
use std::fs;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, bail};
use aws_lambda_events::sqs::SqsEvent;
use curfew::root;
use curfew_tests::bundle::json_of;
use curfew_tests::delivery;
use curfew_tests::sockets::{EMAIL, Gateway, Member, PASSWORD, World, by_ticket, by_token, end};
use curfew_tests::wire::{self, Call, Fate};
use domain::SignOutId;
use events::Topic;
use jiff::SignedDuration;
use runtime::{Clients, Clock, lock};
use serde::Serialize;
use serde_json::{Value, json};

use crate::page::{Column, Sheet};

/// The page that has the units of what callers wait for.
pub const PAGE: &str = "infra/docs/performance/cost.md";

/// What an operation used.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Units {
    /// Every call, of tables and of others, in its order.
    pub calls: Vec<String>,
    /// Read units.
    pub reads: f64,
    /// Write units.
    pub writes: f64,
    /// Read and write units by table; empty where the page tells the sums alone.
    pub by_table: BTreeMap<String, (f64, f64)>,
}

impl Units {
    /// The write units of one table.
    #[must_use]
    pub fn writes_of(&self, table: &str) -> f64 {
        self.by_table.get(table).map_or(0.0, |(_, writes)| *writes)
    }

    /// The read units of one table.
    #[must_use]
    pub fn reads_of(&self, table: &str) -> f64 {
        self.by_table.get(table).map_or(0.0, |(reads, _)| *reads)
    }

    fn add(&mut self, call: &Call, answer: &Value) {
        let used = match &answer["ConsumedCapacity"] {
            Value::Array(tables) => tables.clone(),
            Value::Null => Vec::new(),
            one => vec![one.clone()],
        };
        for table in used {
            let units = table["CapacityUnits"].as_f64().unwrap_or(0.0);
            let name = table["TableName"].as_str().unwrap_or_default();
            let of_table = self.by_table.entry(name.to_owned()).or_default();
            if call.is_write() {
                self.writes += units;
                of_table.1 += units;
            } else {
                self.reads += units;
                of_table.0 += units;
            }
        }
        self.calls.push(call.operation.clone());
    }
}

/// An operation by its name, with what it used.
pub type Named = (&'static str, Units);

/// The operations that callers wait for, as the page has them.
///
/// # Errors
/// When the page does not have the table.
pub fn of_page() -> Result<BTreeMap<String, Units>> {
    let page = fs::read_to_string(root().join(PAGE)).context(PAGE)?;
    let header = "| operation | calls to the tables | read units | write units |\n";
    let (_, table) = page.split_once(header).context("the table of units")?;
    let lines = table
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with('|'));
    let mut operations = BTreeMap::new();
    for line in lines {
        let row: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, calls, reads, writes] = row.as_slice() else {
            bail!("not a row of the table: {line}");
        };
        let called = calls
            .split(", ")
            .map(|call| call.trim_matches('`').to_owned());
        let units = Units {
            calls: called.collect(),
            reads: reads.parse().with_context(|| line.to_owned())?,
            writes: writes.parse().with_context(|| line.to_owned())?,
            by_table: BTreeMap::new(),
        };
        operations.insert((*name).to_owned(), units);
    }
    Ok(operations)
}

/// The read units of a receipt of so many devices that the sweep has marked, as the
/// page has it.
///
/// # Errors
/// When the page does not have it.
pub fn of_receipt(scope: &str, devices: u32) -> Result<f64> {
    let page = fs::read_to_string(root().join(PAGE)).context(PAGE)?;
    let begins = format!("| {scope} | {devices} |");
    let row = page.lines().find(|line| line.starts_with(&begins));
    let row = row.with_context(|| format!("{PAGE} has no receipt of {devices} devices"))?;
    let units = row.trim_matches('|').rsplit('|').next().unwrap_or_default();
    units.trim().parse().with_context(|| row.to_owned())
}

/// How many devices one page of the sweep has, by the default of its parameter.
pub const PAGE_OF_SWEEP: usize = 25;

/// The clients of everything, with a meter between them and the engine.
struct Meter {
    used: Arc<Mutex<Units>>,
    published: Arc<Mutex<usize>>,
    gateway: Arc<Gateway>,
    clients: Clients,
}

impl Meter {
    fn new() -> Self {
        let gateway = Gateway::new();
        let used = Arc::<Mutex<Units>>::default();
        let published = Arc::<Mutex<usize>>::default();
        let (to, meter, topic) = (gateway.clone(), used.clone(), published.clone());
        let clients = wire::clients(move |call| {
            if call.operation == "PublishBatch" {
                let batch = delivery::batch(&call.body);
                *lock(&topic) += batch.len();
                lock(&meter).calls.push(call.operation);
                let taken: Vec<_> = batch.into_iter().map(|(id, _)| (id, None)).collect();
                return Fate::Answered(delivery::batch_answer(&taken));
            }
            let is_table = !matches!(
                call.operation.as_str(),
                "PostToConnection" | "DeleteConnection" | "SendMessage"
            );
            let asked = if is_table { metered(&call) } else { call };
            let answer = to.make(&asked);
            let told = serde_json::from_str(&answer.body).unwrap_or_default();
            lock(&meter).add(&asked, &told);
            Fate::Answered(answer)
        });
        Self {
            used,
            published,
            gateway,
            clients,
        }
    }

    /// Forgets what was used, and tells it.
    fn take(&self) -> Units {
        std::mem::take(&mut *lock(&self.used))
    }
}

/// The same call, asking what it used.
fn metered(call: &Call) -> Call {
    let mut body: Value = serde_json::from_str(&call.body).unwrap_or_default();
    body["ReturnConsumedCapacity"] = "TOTAL".into();
    Call {
        body: body.to_string(),
        ..call.clone()
    }
}

/// A household whose every call is metered.
struct Metered {
    meter: Meter,
    world: World,
}

impl Metered {
    async fn new() -> Result<Self> {
        let meter = Meter::new();
        let noon = "2026-11-20T12:00:00Z".parse().context("a moment")?;
        let world = World::over(&meter.gateway, &meter.clients, Clock::fixed(noon));
        let reply = world.bundle.register(EMAIL, PASSWORD).await;
        if reply.status_code != 202 {
            bail!("registering: {reply:?}");
        }
        Ok(Self { meter, world })
    }

    /// What it used.
    fn cost<'a, T>(
        &'a self,
        operation: impl Future<Output = T> + 'a,
    ) -> Pin<Box<dyn Future<Output = Units> + 'a>> {
        let operation = Box::pin(operation);
        Box::pin(async move {
            let _before = self.meter.take();
            let _done = operation.await;
            self.meter.take()
        })
    }

    /// The topic's message about a sign-out, and nothing metered for it.
    async fn announced(&self, member: &Member, sign_out: SignOutId) -> String {
        self.world.event_of(member, sign_out).await
    }
}

/// What the socket, the pushes and the sweep use, on an account of a few devices.
///
/// # Errors
/// When a function refuses what it should do.
pub async fn behind() -> Result<Vec<Named>> {
    let mut found = Box::pin(of_sockets()).await?;
    found.extend(Box::pin(of_pushes()).await?);
    for (name, scope) in [
        ("the sweep, 25 devices of `global`", "global"),
        ("the sweep, 25 devices of `others`", "others"),
    ] {
        found.push((name, Box::pin(of_sweep(scope)).await?));
    }
    Ok(found)
}

async fn of_sockets() -> Result<Vec<Named>> {
    let m = Metered::new().await?;
    let world = &m.world;
    let phone = world.sign_in(None).await;
    let _tv = world.sign_in(None).await;
    let mut found = Vec::new();

    let reply = world.bundle.socket_ticket(&phone.token);
    let _before = m.meter.take();
    let reply = json_of(&reply.await);
    found.push(("a ticket", m.meter.take()));
    let ticket = reply["ticket"].as_str().context("a ticket")?;
    for (name, event) in [
        ("a handshake by ticket", by_ticket(ticket, "page")),
        ("a handshake by token", by_token(&phone.token, "phone")),
    ] {
        let used = m.cost(socket::handle(&world.socket, event)).await;
        found.push((name, used));
    }
    for socket in ["page", "phone"] {
        m.meter.gateway.open(socket);
    }
    let heartbeat = m.cost(world.heartbeat("phone")).await;
    found.push(("a heartbeat", heartbeat));
    world.clock.advance(SignedDuration::from_mins(5));
    let touch = m.cost(world.heartbeat("phone")).await;
    found.push(("a heartbeat, when a touch is due", touch));
    let gone = m.cost(socket::handle(&world.socket, end("page"))).await;
    found.push(("the end of a socket", gone));
    Ok(found)
}

async fn of_pushes() -> Result<Vec<Named>> {
    let m = Metered::new().await?;
    let world = &m.world;
    let laptop = world.sign_in(None).await;
    let tv = world.sign_in(None).await;
    let off = world.sign_in(None).await;
    world.open(&tv, "tv").await;
    // Its handshake is long over.
    world.clock.advance(SignedDuration::from_mins(10));
    let mut found = Vec::new();

    let sign_out = world.sign_out_device(&laptop, &off).await;
    let event = m.announced(&off, sign_out).await;
    let push = m.cost(world.push(&event)).await;
    found.push(("a push, to a device without a socket", push));
    let sign_out = world.sign_out_device(&laptop, &tv).await;
    let event = m.announced(&tv, sign_out).await;
    let push = m.cost(world.push(&event)).await;
    found.push(("a push, to a device with one", push));
    let acknowledged = m.cost(world.acknowledge("tv", sign_out)).await;
    found.push(("its acknowledgement, which ends the socket", acknowledged));
    let close = m.meter.gateway.take_queued();
    let close = close.first().context("a close that was asked for")?;
    let closed = m.cost(world.push(&close.body)).await;
    found.push(("the close after the grace", closed));
    Ok(found)
}

/// A page of the sweep, every device of which is to be marked.
async fn of_sweep(scope: &str) -> Result<Units> {
    let m = Metered::new().await?;
    let caller = m.world.sign_in(None).await;
    for _ in 0..=PAGE_OF_SWEEP {
        m.world.sign_in(None).await;
    }
    let sign_out = m.world.sign_out_all(&caller, scope).await;
    let event = m.announced(&caller, sign_out).await;
    let topic = "arn:aws:sns:eu-central-1:1:events".to_owned();
    let deps = sweep::Deps {
        store: m.world.bundle.store.clone(),
        topic: Topic::new(m.meter.clients.sns(), topic),
        queue: sweep::Queue::new(
            m.meter.clients.sqs(),
            "http://queues.invalid/sweep".to_owned(),
        ),
        issuer: "https://curfew.example".to_owned(),
        page_size: i32::try_from(PAGE_OF_SWEEP)?,
        limits: m.world.bundle.limits,
    };
    let message = json!({ "messageId": "m", "body": event, "messageAttributes": {} });
    let message: SqsEvent = serde_json::from_value(json!({ "Records": [message] }))?;
    let used = m.cost(sweep::handle(&deps, message)).await;
    let marked = used
        .calls
        .iter()
        .filter(|call| *call == "TransactWriteItems");
    if marked.count() != PAGE_OF_SWEEP {
        bail!("a page of the sweep did not mark its devices: {used:?}");
    }
    let told = *lock(&m.meter.published);
    let wanted = if scope == "others" { PAGE_OF_SWEEP } else { 0 };
    if told != wanted {
        bail!("{told} events were published");
    }
    Ok(used)
}

/// What an account's operations use of each table, for what one account can do.
///
/// # Errors
/// When a function refuses what it should do.
pub async fn by_table() -> Result<Vec<Named>> {
    let m = Metered::new().await?;
    let (world, bundle) = (&m.world, &m.world.bundle);
    let laptop = world.sign_in(None).await;
    let tv = world.sign_in(None).await;
    let mut found = vec![
        ("a check", m.cost(bundle.who_am_i(&laptop.token)).await),
        (
            "a sign-in",
            m.cost(bundle.log_in(EMAIL, PASSWORD, None)).await,
        ),
    ];
    world.clock.advance(SignedDuration::from_mins(1));
    let one = bundle.sign_out_device(&laptop.token, tv.device);
    found.push(("a sign-out of one", m.cost(one).await));
    let many = bundle.sign_out_all(&laptop.token, "others");
    found.push(("a sign-out of the others", m.cost(many).await));
    Ok(found)
}

/// The units of what nobody waits for, for the page.
#[must_use]
pub fn sheet(found: &[Named]) -> Sheet {
    let columns = [
        Column::text("operation"),
        Column::text("calls"),
        Column::number("read units"),
        Column::number("write units"),
    ];
    let title = "### On the socket, and behind the answer\n\nAs above, measured on the embedded DynamoDB, for \
                 what nobody waits for:";
    let mut sheet = Sheet::new(title, columns);
    for (name, units) in found {
        sheet.row([
            (*name).to_owned(),
            counted(&units.calls),
            units.reads.to_string(),
            units.writes.to_string(),
        ]);
    }
    sheet
}

/// Calls in their order, those that repeat with their number.
fn counted(calls: &[String]) -> String {
    let mut texts: Vec<(String, usize)> = Vec::new();
    for call in calls {
        match texts.last_mut() {
            Some((last, times)) if last == call => *times += 1,
            _ => texts.push((call.clone(), 1)),
        }
    }
    let texts = texts.into_iter().map(|(call, times)| match times {
        1 => format!("`{call}`"),
        times => format!("{times} × `{call}`"),
    });
    texts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_tells_what_a_check_and_a_sign_in_use() {
        let operations = of_page().unwrap();
        let check = &operations["check"];
        assert_eq!(check.calls, ["BatchGetItem"]);
        assert!((check.reads - 2.0).abs() < f64::EPSILON);
        assert!(operations.contains_key("sign in, the same device"));
        assert!(operations.contains_key("acknowledge again"), "the last row");
    }

    #[tokio::test]
    async fn what_is_measured_by_table_is_what_the_page_has_in_sum() {
        let operations = of_page().unwrap();
        for (name, of_page) in [
            ("a check", "check"),
            ("a sign-in", "sign in, a new device"),
            ("a sign-out of one", "sign out one"),
            ("a sign-out of the others", "sign out others"),
        ] {
            let found = Box::pin(by_table()).await.unwrap();
            let (_, units) = found.iter().find(|(it, _)| *it == name).unwrap();
            let page = &operations[of_page];
            assert_eq!(
                (&units.calls, units.reads),
                (&page.calls, page.reads),
                "{name}"
            );
            assert!((units.writes - page.writes).abs() < f64::EPSILON, "{name}");
        }
    }

    #[test]
    fn the_page_tells_what_a_receipt_uses_after_the_sweep() {
        let (few, many) = (of_receipt("others", 100), of_receipt("others", 1_000));
        assert!(few.unwrap() < many.unwrap());
        assert!(of_receipt("others", 7).is_err());
    }

    #[test]
    fn a_page_of_the_sweep_is_as_the_template_has_it() {
        let template = curfew_tests::template::read().unwrap();
        let size = &template["Parameters"]["SweepPageSize"]["Default"];
        assert_eq!(size, &json!(PAGE_OF_SWEEP));
    }

    #[test]
    fn calls_that_repeat_are_counted() {
        let calls = ["Query", "UpdateItem", "UpdateItem"].map(ToOwned::to_owned);
        assert_eq!(counted(&calls), "`Query`, 2 × `UpdateItem`");
    }
}
