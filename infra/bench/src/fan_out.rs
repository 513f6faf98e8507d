//! A sign-out of everybody told to a thousand connected devices, on a local AWS of
//! its own: how long after the answer each was told, and how many calls that took.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use curfew_client::{Api, Secret, SessionCheck};
use curfew_tests::crowd::Crowd;
use curfew_tests::stack;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use serde_json::Value;

use crate::report::{Report, Table};

/// How many devices are connected.
const DEVICES: usize = 1_000;
/// How often it is done, each time with devices of their own. The first round
/// starts the processes of the functions.
const ROUNDS: usize = 4;

/// One round.
#[derive(Debug, Serialize)]
pub struct Round {
    devices: usize,
    connecting_ms: u128,
    told_p50_ms: u128,
    told_p99_ms: u128,
    told_last_ms: u128,
    confirmed_ms: u128,
    revocations_twice: usize,
    /// Sessions that were let in once all was told.
    alive: usize,
    table_calls: u64,
    push_calls: u64,
}

/// How many sessions are tried at once.
const AT_ONCE: usize = 8;

/// Connects, signs out, and counts.
pub async fn run() -> Result<()> {
    let mut rounds = Vec::new();
    for round in 1..=ROUNDS {
        eprintln!("fan-out: round {round} of {ROUNDS}, connecting {DEVICES} devices …");
        let before = calls()?;
        let crowd = Crowd::connect(DEVICES).await;
        let connecting_ms = crowd.connecting.as_millis();
        let told = crowd.sign_out().await;
        let mut pushes = told.pushes;
        pushes.sort();
        let at = |percent: usize| {
            let place = (pushes.len() * percent).div_ceil(100).max(1) - 1;
            pushes.get(place).map_or(0, Duration::as_millis)
        };
        let after = calls()?;
        eprintln!("fan-out: trying the session of each …");
        let alive = alive(told.tokens).await?;
        rounds.push(Round {
            devices: DEVICES,
            connecting_ms,
            told_p50_ms: at(50),
            told_p99_ms: at(99),
            told_last_ms: at(100),
            confirmed_ms: told.confirmed.as_millis(),
            revocations_twice: told.repeated,
            alive,
            table_calls: after.0 - before.0,
            push_calls: after.1 - before.1,
        });
    }
    let columns = [
        "round",
        "connected, ms",
        "told p50, ms",
        "p99, ms",
        "last, ms",
        "receipt whole, ms",
        "told twice",
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
            round.told_p50_ms.to_string(),
            round.told_p99_ms.to_string(),
            round.told_last_ms.to_string(),
            round.confirmed_ms.to_string(),
            round.revocations_twice.to_string(),
            round.alive.to_string(),
            round.table_calls.to_string(),
            round.push_calls.to_string(),
        ]);
    }
    let alive: usize = rounds.iter().map(|round| round.alive).sum();
    Report::new("fan-out", rounds, vec![table]).publish()?;
    ensure!(alive == 0, "{alive} sessions outlived their sign-out");
    Ok(())
}

/// How many of these sessions are let in.
async fn alive(tokens: Vec<Secret>) -> Result<usize> {
    let api = Api::new(&stack::stack().api_url)?;
    let verdicts = stream::iter(tokens)
        .map(|token| {
            let api = api.clone();
            async move { api.check_session(&token).await }
        })
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    let mut alive = 0;
    for verdict in verdicts {
        match verdict {
            SessionCheck::Ended(_) => {}
            SessionCheck::SignedIn => alive += 1,
            SessionCheck::Unknown(no_answer) => {
                bail!("a session could not be checked: {no_answer}")
            }
        }
    }
    Ok(alive)
}

/// The calls of tables and sockets that the pushes have made so far, by their log.
fn calls() -> Result<(u64, u64)> {
    let file = stack::stack().logs.join("push-revocations.log");
    let log = if file.exists() {
        fs::read_to_string(&file).with_context(|| format!("could not read {}", file.display()))?
    } else {
        String::new()
    };
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(lines.fold((0, 0), |(tables, pushes), line| {
        let count = |name: &str| line[name].as_u64().unwrap_or(0);
        (tables + count("table_calls"), pushes + count("push_calls"))
    }))
}
