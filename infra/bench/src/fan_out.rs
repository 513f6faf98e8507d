//! One sign-out of a thousand connected devices, on a local AWS of its own: how long after
//! the answer each device is notified, and how many calls that takes.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use curfew_client::{Api, Secret, SessionCheck};
use curfew_tests::crowd::Crowd;
use curfew_tests::stack;
use serde::Serialize;
use serde_json::Value;

use crate::report::{Report, Table};

const DEVICES: usize = 1_000;
/// Each round has devices of its own. The first one starts the processes of the functions.
const ROUNDS: usize = 4;

#[derive(Serialize)]
struct Round {
    connecting_ms: u128,
    notified_p50_ms: u128,
    notified_p99_ms: u128,
    notified_last_ms: u128,
    /// Until the receipt has every push and acknowledgement.
    confirmed_ms: u128,
    notified_twice: usize,
    /// Sessions that were let in afterwards.
    alive: usize,
    table_calls: u64,
    push_calls: u64,
}

/// Connects the devices, signs them out and tries their sessions. Fails when one is alive.
pub async fn run() -> Result<()> {
    let mut rounds = Vec::new();
    for n in 1..=ROUNDS {
        eprintln!("fan-out: round {n} of {ROUNDS}, {DEVICES} devices …");
        rounds.push(round().await?);
    }
    let columns = [
        "round",
        "connected, ms",
        "notified p50, ms",
        "p99, ms",
        "last, ms",
        "receipt complete, ms",
        "notified twice",
        "still alive",
        "table calls",
        "push calls",
    ];
    let title = format!("{DEVICES} connected devices, `global`, from the answer on");
    let mut table = Table::new(&title, &columns);
    for (n, round) in rounds.iter().enumerate() {
        table.row([
            (n + 1).to_string(),
            round.connecting_ms.to_string(),
            round.notified_p50_ms.to_string(),
            round.notified_p99_ms.to_string(),
            round.notified_last_ms.to_string(),
            round.confirmed_ms.to_string(),
            round.notified_twice.to_string(),
            round.alive.to_string(),
            round.table_calls.to_string(),
            round.push_calls.to_string(),
        ]);
    }
    let alive: usize = rounds.iter().map(|round| round.alive).sum();
    Report::new("fan-out", rounds, vec![table]).publish()?;
    ensure!(
        alive == 0,
        "{alive} sessions are alive after their sign-out"
    );
    Ok(())
}

async fn round() -> Result<Round> {
    let before = calls()?;
    let crowd = Crowd::connect(DEVICES).await;
    let connecting_ms = crowd.connecting.as_millis();
    let result = crowd.sign_out().await;
    let mut pushes = result.pushes;
    pushes.sort();
    let at = |percent: usize| {
        let place = (pushes.len() * percent).div_ceil(100).max(1) - 1;
        pushes.get(place).map_or(0, Duration::as_millis)
    };
    let after = calls()?;
    Ok(Round {
        connecting_ms,
        notified_p50_ms: at(50),
        notified_p99_ms: at(99),
        notified_last_ms: at(100),
        confirmed_ms: result.confirmed.as_millis(),
        notified_twice: result.repeated,
        alive: alive(result.tokens).await?,
        table_calls: after.0 - before.0,
        push_calls: after.1 - before.1,
    })
}

/// Returns how many of these sessions are let in.
async fn alive(tokens: Vec<Secret>) -> Result<usize> {
    let api = Api::new(&stack::stack().api_url)?;
    let mut alive = 0;
    for token in tokens {
        match api.check_session(&token).await {
            SessionCheck::Ended(_) => {}
            SessionCheck::SignedIn => alive += 1,
            SessionCheck::Unknown(error) => bail!("a session could not be checked: {error}"),
        }
    }
    Ok(alive)
}

/// Returns the calls to tables and sockets that the pushes have logged so far.
fn calls() -> Result<(u64, u64)> {
    let file = stack::stack().logs.join("push-revocations.log");
    let log = match fs::read_to_string(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        log => log.with_context(|| format!("could not read {}", file.display()))?,
    };
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(lines.fold((0, 0), |(tables, pushes), line| {
        let count = |name: &str| line[name].as_u64().unwrap_or(0);
        (tables + count("table_calls"), pushes + count("push_calls"))
    }))
}
