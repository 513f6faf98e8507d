//! Sign-outs and checks beside a flood of wrong passwords: without a flood, with one and a
//! reserved concurrency of 1 for `login`, and with one and no reservation. The conditions
//! take turns.
//!
//! A wrong password costs its hash and writes nothing: the flood needs the processors and
//! not the tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use curfew_tests::aws::{Call, Principal};
use curfew_tests::client::{Device, Household, LAPTOP};
use curfew_tests::crowd::WrittenDevice;
use curfew_tests::listener::{Listener, Message};
use curfew_tests::stack;
use domain::AccountId;
use serde::Serialize;
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::endpoints::{Endpoint, Endpoints};
use super::{PATIENCE, ms, percentile, spread};
use crate::report::{Table, float};

/// How often each condition is measured. The first turn only starts the processes of the
/// functions.
const TURNS: usize = 9;
/// Sign-outs in each turn, and fewer where each takes many times as long.
const SIGN_OUTS: usize = 50;
const SLOW_SIGN_OUTS: usize = 20;
/// Clients that flood. Each tries a password once in a period, or as soon as the last one
/// is answered.
const CLIENTS: u32 = 16;
const PERIOD: Duration = Duration::from_millis(250);
/// The answers from which on a flood is under way.
const UNDER_WAY: usize = 16;

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Beside {
    Nothing,
    FloodReserved,
    FloodUnreserved,
}

const CONDITIONS: [Beside; 3] = [
    Beside::Nothing,
    Beside::FloodReserved,
    Beside::FloodUnreserved,
];

impl Beside {
    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no sign-ins",
            Self::FloodReserved => "a flood, one hash at a time",
            Self::FloodUnreserved => "a flood, no reservation",
        }
    }
}

/// One turn of a condition.
#[derive(Serialize)]
pub struct Turn {
    beside: Beside,
    /// Checks of a device that stays signed in.
    checks_ms: Vec<f64>,
    sign_outs_ms: Vec<f64>,
    /// The next call of each device that was signed out.
    refusals_ms: Vec<f64>,
    /// Those calls that were let in.
    let_in: usize,
    took_ms: f64,
    /// Sign-ins of the flood that were hashed, and those that were answered 429.
    hashed: usize,
    turned_away: usize,
}

/// Measures the conditions in turn. Restores the reserved concurrency of `login`.
pub async fn measure() -> Result<Vec<Turn>> {
    let login = Login::new()?;
    let before = login.reserved().await?;
    let turns = measure_with(&login).await;
    login.reserve(before).await?;
    turns
}

async fn measure_with(login: &Login) -> Result<Vec<Turn>> {
    let mut home = Home::new().await?;
    let mut turns = Vec::new();
    for n in 0..TURNS {
        for m in 0..CONDITIONS.len() {
            // Another condition comes first in each turn.
            let beside = CONDITIONS[(n + m) % CONDITIONS.len()];
            eprintln!("end-to-end: turn {} of {TURNS}, {} …", n + 1, beside.name());
            let reserved = (beside == Beside::FloodReserved).then_some(1);
            login.reserve(reserved).await?;
            let turn = home.turn(beside).await?;
            // The first turn does not count, but for sessions that were alive in it.
            if n > 0 || turn.let_in > 0 {
                turns.push(turn);
            }
        }
    }
    Ok(turns)
}

/// Returns how many sessions were alive that should have been dead.
pub fn alive(turns: &[Turn]) -> usize {
    turns.iter().map(|turn| turn.let_in).sum()
}

pub fn table(turns: &[Turn]) -> Table {
    let title = "Sign-outs and checks beside a flood of sign-ins: p50 / p99 / max, ms";
    let columns = [
        "beside it",
        "times",
        "sign-out",
        "its p99 / without",
        "next call refused",
        "let in",
        "check",
        "its p99 / without",
        "hashes a second",
        "turned away a second",
    ];
    let mut table = Table::new(title, &columns);
    for beside in CONDITIONS {
        let all = |beside: Beside, figure: fn(&Turn) -> &Vec<f64>| -> Vec<f64> {
            let of = turns.iter().filter(|turn| turn.beside == beside);
            of.flat_map(figure).copied().collect()
        };
        let ratio = |figure: fn(&Turn) -> &Vec<f64>| {
            let p99 = |beside| percentile(&all(beside, figure), 99);
            format!("{:.1}", p99(beside) / p99(Beside::Nothing))
        };
        let of = || turns.iter().filter(|turn| turn.beside == beside);
        let seconds = of().map(|turn| turn.took_ms).sum::<f64>() / 1e3;
        let rate = |figure: fn(&Turn) -> usize| {
            let count: usize = of().map(figure).sum();
            format!("{:.0}", float(count) / seconds)
        };
        let sign_outs = all(beside, |turn| &turn.sign_outs_ms);
        table.row([
            beside.name().to_owned(),
            sign_outs.len().to_string(),
            spread(sign_outs),
            ratio(|turn| &turn.sign_outs_ms),
            spread(all(beside, |turn| &turn.refusals_ms)),
            of().map(|turn| turn.let_in).sum::<usize>().to_string(),
            spread(all(beside, |turn| &turn.checks_ms)),
            ratio(|turn| &turn.checks_ms),
            rate(|turn| turn.hashed),
            rate(|turn| turn.turned_away),
        ]);
    }
    table
}

/// The function that hashes, as the local AWS limits it.
struct Login {
    root: Principal,
    name: String,
}

impl Login {
    fn new() -> Result<Self> {
        let function = stack::stack().functions.get("Login");
        let function = function.context("the template has a function Login")?;
        Ok(Self {
            root: Principal::root(),
            name: function.function_name.clone(),
        })
    }

    async fn reserved(&self) -> Result<Option<u64>> {
        let path = format!("/2019-09-30/functions/{}/concurrency", self.name);
        let call = Call::rest("lambda", "GET", &path, "");
        let body = self.root.call(&call).await?.success()?;
        Ok(body["ReservedConcurrentExecutions"].as_u64())
    }

    /// Sets or removes the reservation, and reads it back.
    async fn reserve(&self, concurrency: Option<u64>) -> Result<()> {
        let path = format!("/2017-10-31/functions/{}/concurrency", self.name);
        let call = match concurrency {
            Some(number) => {
                let body = json!({ "ReservedConcurrentExecutions": number });
                Call::rest("lambda", "PUT", &path, &body.to_string())
            }
            None => Call::rest("lambda", "DELETE", &path, ""),
        };
        let answer = self.root.call(&call).await?;
        ensure!(answer.status < 300, "{} {}", answer.status, answer.text);
        let found = self.reserved().await?;
        ensure!(
            found == concurrency,
            "the reserved concurrency is {found:?} and not {concurrency:?}"
        );
        Ok(())
    }
}

/// A household whose laptop signs televisions out, and a subscriber.
struct Home {
    endpoints: Endpoints,
    laptop: Device,
    account: AccountId,
    listener: Listener,
    /// How many televisions there have been.
    televisions: usize,
    /// Whose sign-in is flooded.
    target: Household,
}

impl Home {
    async fn new() -> Result<Self> {
        let laptop = Household::register().await.sign_in(LAPTOP).await;
        Ok(Self {
            endpoints: Endpoints::new()?,
            account: laptop.account_id.parse()?,
            listener: Listener::of(&laptop.account_id).await?,
            laptop,
            televisions: 0,
            target: Household::register().await,
        })
    }

    async fn turn(&mut self, beside: Beside) -> Result<Turn> {
        let sign_outs = match beside {
            Beside::FloodUnreserved => SLOW_SIGN_OUTS,
            _ => SIGN_OUTS,
        };
        let devices = self.plant(sign_outs).await?;
        let flood = match beside {
            Beside::Nothing => None,
            _ => Some(Flood::begin(&self.target).await?),
        };
        let mut turn = Turn {
            beside,
            checks_ms: Vec::new(),
            sign_outs_ms: Vec::new(),
            refusals_ms: Vec::new(),
            let_in: 0,
            took_ms: 0.0,
            hashed: 0,
            turned_away: 0,
        };
        let begun = Instant::now();
        for device in &devices {
            self.sign_out(device, &mut turn).await?;
        }
        turn.took_ms = ms(begun.elapsed());
        if let Some(flood) = flood {
            (turn.hashed, turn.turned_away) = flood.end().await?;
        }
        self.wait_for("session-revoked").await?;
        Ok(turn)
    }

    /// Checks the laptop, signs a television out and tries its next call.
    async fn sign_out(&self, device: &WrittenDevice, turn: &mut Turn) -> Result<()> {
        let session = Endpoint::Session;
        let check = self.endpoints.attempt(session, &self.laptop.token).await?;
        ensure!(check.is_let_in, "the laptop is signed out");
        turn.checks_ms.push(ms(check.took));
        let signing_out = Instant::now();
        let answer = self.laptop.sign_out(&device.device.to_string()).await;
        turn.sign_outs_ms.push(ms(signing_out.elapsed()));
        ensure!(answer.status == 200, "a sign-out: {}", answer.text());
        let next = self.endpoints.attempt(session, &device.token).await?;
        turn.refusals_ms.push(ms(next.took));
        turn.let_in += usize::from(next.is_let_in);
        Ok(())
    }

    /// Signs televisions in, and waits until everything about them is published.
    async fn plant(&mut self, number: usize) -> Result<Vec<WrittenDevice>> {
        let store = stack::store();
        let rows = store.rows(self.account, &[]).await?;
        let epoch = rows.account.context("the account is there")?.epoch;
        let mut devices = Vec::new();
        for _ in 0..number {
            self.televisions += 1;
            devices.push(WrittenDevice::new(&store, self.account, epoch, self.televisions).await);
        }
        self.wait_for("session-established").await?;
        Ok(devices)
    }

    /// Waits until a subscriber has heard an event of this type for each television.
    async fn wait_for(&mut self, event_type: &str) -> Result<()> {
        let televisions = self.televisions;
        let is_all = |heard: &[Message]| {
            let of = heard.iter().filter(|one| one.event_type() == event_type);
            of.count() >= televisions
        };
        self.listener.until(is_all).await.map(drop)
    }
}

/// A flood that is going on. It ends when this is dropped.
struct Flood {
    clients: JoinSet<()>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    hashed: AtomicUsize,
    turned_away: AtomicUsize,
    other: AtomicUsize,
    is_over: AtomicBool,
    answered: Notify,
}

impl Flood {
    /// Begins a flood and waits until it is under way. Earlier answers don't count.
    async fn begin(target: &Household) -> Result<Self> {
        let counts = Arc::<Counts>::default();
        let mut clients = JoinSet::new();
        for n in 0..CLIENTS {
            let mut target = target.clone();
            target.password = format!("wrong otter {n} of many");
            clients.spawn(try_passwords(target, n, counts.clone()));
        }
        let flood = Self { clients, counts };
        let under_way = async {
            let mut answered = 0;
            while answered < UNDER_WAY {
                flood.counts.answered.notified().await;
                answered += flood.take().iter().sum::<usize>();
            }
        };
        let under_way = timeout(PATIENCE, under_way).await;
        under_way.context("the flood does not begin")?;
        Ok(flood)
    }

    /// Returns what was hashed, turned away and answered otherwise since the last time.
    fn take(&self) -> [usize; 3] {
        let counts = &self.counts;
        let counts = [&counts.hashed, &counts.turned_away, &counts.other];
        counts.map(|count| count.swap(0, Ordering::SeqCst))
    }

    /// Ends the flood and waits for its last answers, which don't count.
    async fn end(mut self) -> Result<(usize, usize)> {
        let [hashed, turned_away, other] = self.take();
        self.counts.is_over.store(true, Ordering::SeqCst);
        let last = async {
            while let Some(client) = self.clients.join_next().await {
                client?;
            }
            anyhow::Ok(())
        };
        let last = timeout(PATIENCE, last).await;
        last.context("the flood does not end")??;
        ensure!(other == 0, "{other} sign-ins were answered otherwise");
        Ok((hashed, turned_away))
    }
}

/// One client of the flood.
async fn try_passwords(target: Household, n: u32, counts: Arc<Counts>) {
    // The clients begin at different moments.
    sleep(n * PERIOD / CLIENTS).await;
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !counts.is_over.load(Ordering::SeqCst) {
        ticks.tick().await;
        let answer = target.log_in(json!({})).send().await;
        let count = match answer.status {
            401 => &counts.hashed,
            429 => &counts.turned_away,
            _ => &counts.other,
        };
        count.fetch_add(1, Ordering::SeqCst);
        counts.answered.notify_one();
    }
}
