//! Sign-outs and checks while others flood the sign-in with wrong passwords: without
//! the flood, with it and one hash at a time (the reserved concurrency of `login`),
//! and with it and no reservation. In turn, several times. A flood that is turned
//! away as a whole shows what of it is the local AWS's own handling.
//!
//! A wrong password costs its hash and writes nothing, so that the flood reaches the
//! processors and not the tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use curfew_tests::aws::{Call, Principal};
use curfew_tests::client::{Device, Household, LAPTOP};
use curfew_tests::crowd::Planted;
use curfew_tests::listener::{Heard, Listener};
use curfew_tests::stack;
use domain::AccountId;
use serde::Serialize;
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Spread;
use super::doors::{Door, Doors, Verdict};
use crate::report::Table;

/// How often the conditions come in turn. The first time does not count: it starts
/// the processes of the functions.
const TURNS: usize = 9;
/// Sign-outs in each turn of a condition.
const SIGN_OUTS: usize = 50;
/// The same without the reservation, where each takes many times as long.
const SLOW_SIGN_OUTS: usize = 20;
/// Who floods, and how often each tries a password, if the last try was answered
/// by then.
const CLIENTS: usize = 16;
const PERIOD: Duration = Duration::from_millis(250);
/// From how many answers on the flood counts as one.
const SWOLLEN: usize = 16;

/// How long anything may take before it counts as lost.
const PATIENCE: Duration = Duration::from_mins(1);

/// What goes on beside the sign-outs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Beside {
    Nothing,
    FloodTurnedAway,
    FloodReserved,
    FloodUnreserved,
}

const CONDITIONS: [Beside; 4] = [
    Beside::Nothing,
    Beside::FloodTurnedAway,
    Beside::FloodReserved,
    Beside::FloodUnreserved,
];

impl Beside {
    fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no sign-ins",
            Self::FloodTurnedAway => "a flood, all of it turned away",
            Self::FloodReserved => "a flood, one hash at a time",
            Self::FloodUnreserved => "a flood, no reservation",
        }
    }

    /// The reserved concurrency of `login`.
    fn reserved(self) -> Option<u64> {
        match self {
            Self::FloodTurnedAway => Some(0),
            Self::FloodReserved => Some(1),
            Self::Nothing | Self::FloodUnreserved => None,
        }
    }
}

/// One turn of a condition.
#[derive(Debug, Serialize)]
struct Turn {
    beside: Beside,
    /// Of a device that stays signed in.
    checks_ms: Vec<f64>,
    sign_outs_ms: Vec<f64>,
    /// The very next call of each device that was signed out.
    refusals_ms: Vec<f64>,
    /// Those that were let in.
    let_in: usize,
    /// How long all of it took.
    took_ms: f64,
    /// What became of the flood.
    flood: Flood,
}

/// What became of the sign-ins of a flood.
#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Flood {
    /// Their hash was computed, and they were refused.
    hashed: usize,
    /// Turned away, because a hash was being computed.
    turned_away: usize,
    /// Any other answer.
    other: usize,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Figures {
    turns: Vec<Turn>,
    conditions: Vec<Condition>,
}

/// A condition over all its turns.
#[derive(Debug, Serialize)]
struct Condition {
    beside: Beside,
    check: Spread,
    sign_out: Spread,
    refusal: Spread,
    /// The 99th percentile beside that of no sign-ins.
    check_ratio: f64,
    sign_out_ratio: f64,
    let_in: usize,
    hashed_per_second: f64,
    turned_away_per_second: f64,
}

/// Measures each condition in turn. The function's concurrency is afterwards as it
/// was.
pub async fn measure() -> Result<Figures> {
    let login = Login::new()?;
    let before = login.reserved().await?;
    let turns = measure_with(&login).await;
    login.reserve(before).await?;
    let turns = turns?;
    let of = |beside| Condition::of(beside, &turns);
    let conditions = CONDITIONS.map(of).into();
    Ok(Figures { turns, conditions })
}

async fn measure_with(login: &Login) -> Result<Vec<Turn>> {
    let mut home = Home::new().await?;
    let mut turns = Vec::new();
    for n in 0..TURNS {
        for m in 0..CONDITIONS.len() {
            // Each comes first in its turn.
            let beside = CONDITIONS[(n + m) % CONDITIONS.len()];
            eprintln!("end-to-end: turn {} of {TURNS}, {} …", n + 1, beside.name());
            login.reserve(beside.reserved()).await?;
            let turn = home.turn(beside).await?;
            if n > 0 || turn.let_in > 0 {
                turns.push(turn);
            }
        }
    }
    Ok(turns)
}

impl Condition {
    fn of(beside: Beside, turns: &[Turn]) -> Self {
        let all = |beside: Beside, figure: fn(&Turn) -> &Vec<f64>| {
            let of = turns.iter().filter(move |turn| turn.beside == beside);
            Spread::of(of.flat_map(figure).copied())
        };
        let check = all(beside, |turn| &turn.checks_ms);
        let sign_out = all(beside, |turn| &turn.sign_outs_ms);
        let of = || turns.iter().filter(|turn| turn.beside == beside);
        let seconds = of().map(|turn| turn.took_ms).sum::<f64>() / 1e3;
        let rate = |figure: fn(&Flood) -> usize| {
            let count: usize = of().map(|turn| figure(&turn.flood)).sum();
            u32::try_from(count).map_or(f64::NAN, f64::from) / seconds
        };
        Self {
            beside,
            check_ratio: check.p99_ms / all(Beside::Nothing, |turn| &turn.checks_ms).p99_ms,
            sign_out_ratio: sign_out.p99_ms
                / all(Beside::Nothing, |turn| &turn.sign_outs_ms).p99_ms,
            check,
            sign_out,
            refusal: all(beside, |turn| &turn.refusals_ms),
            let_in: of().map(|turn| turn.let_in).sum(),
            hashed_per_second: rate(|flood| flood.hashed),
            turned_away_per_second: rate(|flood| flood.turned_away),
        }
    }
}

impl Figures {
    /// Sessions that were alive and should have been dead.
    pub fn alive(&self) -> usize {
        self.turns.iter().map(|turn| turn.let_in).sum()
    }

    /// For the eye.
    pub fn tables(&self) -> Vec<Table> {
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
        let title = "Sign-outs and checks beside a flood of sign-ins: p50 / p99 / max, ms";
        let mut table = Table::new(title, &columns);
        for it in &self.conditions {
            table.row([
                it.beside.name().to_owned(),
                it.sign_out.times.to_string(),
                it.sign_out.cell(),
                format!("{:.1}", it.sign_out_ratio),
                it.refusal.cell(),
                it.let_in.to_string(),
                it.check.cell(),
                format!("{:.1}", it.check_ratio),
                format!("{:.0}", it.hashed_per_second),
                format!("{:.0}", it.turned_away_per_second),
            ]);
        }
        vec![table]
    }
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
        let told = self.root.call(&call).await?.success()?;
        Ok(told["ReservedConcurrentExecutions"].as_u64())
    }

    /// Reserves so much, or takes the reservation away, and reads it back.
    async fn reserve(&self, concurrency: Option<u64>) -> Result<()> {
        let path = format!("/2017-10-31/functions/{}/concurrency", self.name);
        let call = match concurrency {
            Some(number) => {
                let body = json!({ "ReservedConcurrentExecutions": number });
                Call::rest("lambda", "PUT", &path, &body.to_string())
            }
            None => Call::rest("lambda", "DELETE", &path, ""),
        };
        let outcome = self.root.call(&call).await?;
        ensure!(outcome.status < 300, "{} {}", outcome.status, outcome.text);
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
    doors: Doors,
    laptop: Device,
    account: AccountId,
    listener: Listener,
    /// How many televisions there have been.
    televisions: usize,
    /// Whose sign-in is tried.
    target: Household,
}

impl Home {
    async fn new() -> Result<Self> {
        let laptop = Household::register().await.sign_in(LAPTOP).await;
        Ok(Self {
            doors: Doors::new()?,
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
            _ => Some(Flooding::begin(&self.target).await?),
        };
        let mut turn = Turn {
            beside,
            checks_ms: Vec::new(),
            sign_outs_ms: Vec::new(),
            refusals_ms: Vec::new(),
            let_in: 0,
            took_ms: 0.0,
            flood: Flood::default(),
        };
        let begun = Instant::now();
        for device in &devices {
            let check = self.doors.knock(Door::Session, &self.laptop.token).await?;
            ensure!(
                check.verdict == Verdict::LetIn,
                "a check of a device that is signed in: {:?}",
                check.verdict
            );
            turn.checks_ms.push(ms(check.took));
            let signing_out = Instant::now();
            let answer = self.laptop.sign_out(&device.device.to_string()).await;
            turn.sign_outs_ms.push(ms(signing_out.elapsed()));
            ensure!(answer.status == 200, "a sign-out: {}", answer.text());
            let next = self.doors.knock(Door::Session, &device.token).await?;
            turn.refusals_ms.push(ms(next.took));
            match next.verdict {
                Verdict::Refused => {}
                Verdict::LetIn => turn.let_in += 1,
                Verdict::Neither(status) => bail!("a dead session was answered {status}"),
            }
        }
        turn.took_ms = ms(begun.elapsed());
        if let Some(flood) = flood {
            turn.flood = flood.end().await?;
        }
        self.drain("session-revoked").await?;
        Ok(turn)
    }

    /// Signs televisions in, and waits until nothing is left to be published.
    async fn plant(&mut self, number: usize) -> Result<Vec<Planted>> {
        let store = stack::store();
        let rows = store.rows(self.account, &[]).await?;
        let epoch = rows.account.context("the account is there")?.epoch;
        let mut devices = Vec::new();
        for _ in 0..number {
            self.televisions += 1;
            devices.push(Planted::new(&store, self.account, epoch, self.televisions).await);
        }
        self.drain("session-established").await?;
        Ok(devices)
    }

    /// Waits until a subscriber has heard one event of a type for each television.
    async fn drain(&mut self, event_type: &str) -> Result<()> {
        let televisions = self.televisions;
        let is_all = |heard: &[Heard]| {
            let of = heard.iter().filter(|one| one.event_type() == event_type);
            of.count() >= televisions
        };
        self.listener.until(is_all).await.map(drop)
    }
}

/// A flood that is going on. It ends when this is dropped.
struct Flooding {
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

impl Flooding {
    /// Begins one, and waits until it has swollen.
    async fn begin(target: &Household) -> Result<Self> {
        let counts = Arc::<Counts>::default();
        let mut clients = JoinSet::new();
        for n in 0..CLIENTS {
            let mut target = target.clone();
            target.password = format!("wrong otter {n} of many");
            clients.spawn(try_passwords(target, n, counts.clone()));
        }
        let flooding = Self { clients, counts };
        let swollen = async {
            let mut answered = 0;
            while answered < SWOLLEN {
                flooding.counts.answered.notified().await;
                let latest = flooding.take();
                answered += latest.hashed + latest.turned_away + latest.other;
            }
        };
        timeout(PATIENCE, swollen)
            .await
            .context("the flood does not come")?;
        Ok(flooding)
    }

    /// What was answered since the last of these readings.
    fn take(&self) -> Flood {
        let of = |count: &AtomicUsize| count.swap(0, Ordering::SeqCst);
        Flood {
            hashed: of(&self.counts.hashed),
            turned_away: of(&self.counts.turned_away),
            other: of(&self.counts.other),
        }
    }

    /// Ends it, and waits for the last answers, which don't count.
    async fn end(mut self) -> Result<Flood> {
        let flood = self.take();
        self.counts.is_over.store(true, Ordering::SeqCst);
        let last = async {
            while let Some(client) = self.clients.join_next().await {
                client?;
            }
            anyhow::Ok(())
        };
        timeout(PATIENCE, last)
            .await
            .context("the flood does not end")??;
        ensure!(
            flood.other == 0,
            "{} sign-ins of the flood were answered otherwise",
            flood.other
        );
        Ok(flood)
    }
}

/// One client of the flood.
async fn try_passwords(target: Household, n: usize, counts: Arc<Counts>) {
    // They don't all come at the same moment.
    let share = u32::try_from(n).unwrap_or(0) * PERIOD / u32::try_from(CLIENTS).unwrap_or(1);
    tokio::time::sleep(share).await;
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

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
