//! How each operation grows with the devices of the account: its calls to the
//! tables and their units, the processor time of its function, and what it leaves
//! alive that should be dead.

pub mod account;

use std::fs;

use anyhow::{Result, bail};
use curfew_tests::cost::Cost;
use serde::Serialize;

use crate::growth::account::{Account, Counted, FUNCTIONS, Operation, Spent};
use crate::plot::{self, Line};
use crate::programs::{Builder, Program, folder};
use crate::report::{Report, Table, median};

/// The accounts, by how many devices they have.
const SIZES: [usize; 6] = [1, 10, 100, 1_000, 10_000, 100_000];

/// Requests of each kind in a round.
const TIMES: u32 = 5;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Figures {
    operations: Vec<Figure>,
    /// The processor time of a hash inside of a sign-in, in microseconds.
    hash_us: f64,
    verdicts: Vec<Verdict>,
}

/// An operation at one number of devices.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    operation: Operation,
    devices: usize,
    #[serde(flatten)]
    counted: Counted,
    /// Processor time of the function, in microseconds: the median of the rounds.
    processor_us: f64,
    /// The same without the hash, where there is one.
    without_hash_us: Option<f64>,
}

/// Something that must be so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Verdict {
    what: String,
    found: String,
    holds: bool,
}

/// Builds, does and counts.
///
/// # Errors
/// When something does not build or run; after the figures are published, when
/// signing out all does not cost the same at every number of devices, or when a
/// session is alive that should be dead.
pub async fn run(builder: &Builder, rounds: usize) -> Result<()> {
    let programs = builder.functions(&FUNCTIONS.map(ToOwned::to_owned)).await?;
    let mut accounts = Vec::new();
    for devices in SIZES {
        accounts.push(make(devices, &programs).await?);
    }
    let mut counted = Vec::new();
    for account in &mut accounts {
        let devices = thousands(account.devices);
        for operation in Operation::ALL {
            eprintln!(
                "Growth: counting with {devices} devices, {} …",
                operation.name()
            );
            let one = Box::pin(account.count(operation)).await?;
            counted.push((operation, account.devices, one));
        }
    }
    // Round by round, so that whatever the machine does beside meets all of them.
    let mut spent: Vec<Vec<Spent>> = counted.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        eprint!("\rGrowth: round {round} of {rounds} ");
        let mut place = spent.iter_mut();
        for account in &mut accounts {
            account.begin().await?;
            for (operation, spent) in Operation::ALL.into_iter().zip(&mut place) {
                spent.push(Box::pin(account.spend(operation, TIMES)).await?);
            }
        }
    }
    eprintln!();
    for account in accounts {
        account.end().await?;
    }

    let hashes = spent.iter().flatten().filter_map(|spent| spent.hash_us);
    let hash_us = median(hashes);
    let operations: Vec<Figure> = counted
        .into_iter()
        .zip(&spent)
        .map(|((operation, devices, counted), spent)| Figure {
            operation,
            devices,
            counted,
            processor_us: median(spent.iter().map(|spent| spent.us)),
            without_hash_us: without_hash(spent),
        })
        .collect();
    let verdicts = verdicts(&operations);
    let file = folder().join("growth.svg");
    let title = "Processor time of a call in its function, µs";
    let chart = plot::svg(
        title,
        "signed-in devices of the account",
        &lines(&operations),
    );
    fs::write(&file, chart)?;
    eprintln!("Growth: drawn in {}", file.display());
    let failed: Vec<Verdict> = verdicts.iter().filter(|it| !it.holds).cloned().collect();
    let tables = vec![costs(&operations), times(&operations), judged(&verdicts)];
    let figures = Figures {
        operations,
        hash_us,
        verdicts,
    };
    Report::new("growth", figures, tables).publish()?;
    if let Some(first) = failed.first() {
        bail!("{}: {}", first.what, first.found);
    }
    Ok(())
}

async fn make(devices: usize, programs: &[Program]) -> Result<Account> {
    eprint!(
        "Growth: making an account of {} devices …",
        thousands(devices)
    );
    let account = Box::pin(Account::new(devices, programs)).await?;
    eprintln!(" {:.1} s", account.made_in.as_secs_f64());
    Ok(account)
}

/// Round by round, the two taken from each other were measured by turns.
fn without_hash(spent: &[Spent]) -> Option<f64> {
    let rest = |spent: &Spent| Some(spent.us - spent.hash_us?);
    let rest: Vec<f64> = spent.iter().filter_map(rest).collect();
    (!rest.is_empty()).then(|| median(rest))
}

/// What must hold, and whether it does.
fn verdicts(figures: &[Figure]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for operation in Operation::ALL {
        if operation.is_sign_out_all() {
            verdicts.push(costs_the_same(operation, figures));
        }
    }
    for operation in Operation::ALL {
        verdicts.push(leaves_nothing(operation, figures));
    }
    verdicts
}

/// Signing out all takes the calls and units of one device at any number of them.
fn costs_the_same(operation: Operation, figures: &[Figure]) -> Verdict {
    let costs: Vec<(usize, &Cost)> = of(operation, figures)
        .map(|figure| (figure.devices, &figure.counted.cost))
        .collect();
    let (first, last) = (costs.first(), costs.last());
    let most = last.map_or(0, |(devices, _)| *devices);
    let found = match (first, last) {
        (Some((_, few)), Some((_, many))) => format!("{}; {}", brief(few), brief(many)),
        _ => "nothing".to_owned(),
    };
    let is_same = costs.windows(2).all(|pair| pair[0].1 == pair[1].1);
    Verdict {
        what: format!(
            "{}: calls and units at 1 and at {} devices, equal",
            operation.name(),
            thousands(most)
        ),
        found,
        holds: costs.len() > 1 && is_same,
    }
}

/// No session is alive that should be dead, and none is dead that should be alive.
fn leaves_nothing(operation: Operation, figures: &[Figure]) -> Verdict {
    let sum = |count: fn(&Counted) -> usize| -> usize {
        of(operation, figures)
            .map(|figure| count(&figure.counted))
            .sum()
    };
    let alive = sum(|counted| counted.alive_that_should_be_dead);
    let dead = sum(|counted| counted.dead_that_should_be_alive);
    let rows = sum(|counted| counted.rows_judged);
    let tried = sum(|counted| counted.tokens_tried);
    Verdict {
        what: format!(
            "{}: sessions alive that should be dead, 0",
            operation.name()
        ),
        found: format!(
            "{alive}, and {dead} dead that should be alive; {} rows judged, {} tokens tried",
            thousands(rows),
            thousands(tried)
        ),
        holds: alive == 0 && dead == 0 && rows > 0 && tried > 0,
    }
}

fn of(operation: Operation, figures: &[Figure]) -> impl Iterator<Item = &Figure> {
    figures
        .iter()
        .filter(move |figure| figure.operation == operation)
}

/// `2 calls, 2 + 7 units`.
fn brief(cost: &Cost) -> String {
    let calls = cost.calls.len();
    format!("{calls} calls, {} + {} units", cost.reads, cost.writes)
}

/// A number with its thousands apart.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The columns of a table with a column for each number of devices.
fn by_devices<'a>(first: &'a [&'a str], sizes: &'a [String], last: &'a [&'a str]) -> Vec<&'a str> {
    let sizes = sizes.iter().map(String::as_str);
    first
        .iter()
        .copied()
        .chain(sizes)
        .chain(last.iter().copied())
        .collect()
}

fn costs(figures: &[Figure]) -> Table {
    let sizes = SIZES.map(thousands);
    let columns = by_devices(&["operation", "calls"], &sizes, &[]);
    let title = "Read + write units of an operation, by the devices of the account";
    let mut table = Table::new(title, &columns);
    for operation in Operation::ALL {
        let mut calls: Vec<String> = Vec::new();
        let mut units = Vec::new();
        for Figure { counted, .. } in of(operation, figures) {
            let cost = &counted.cost;
            let these = cost.calls.join(", ");
            if !calls.contains(&these) {
                calls.push(these);
            }
            units.push(format!("{} + {}", cost.reads, cost.writes));
        }
        table.row(
            [operation.name().to_owned(), calls.join("; ")]
                .into_iter()
                .chain(units),
        );
    }
    table
}

fn times(figures: &[Figure]) -> Table {
    let sizes = SIZES.map(thousands);
    let columns = by_devices(&["operation"], &sizes, &["last / first"]);
    let title = "CPU µs of an operation in its function, by the devices of the account";
    let mut table = Table::new(title, &columns);
    for line in lines(figures) {
        let of_first = match (line.points.first(), line.points.last()) {
            (Some((_, first)), Some((_, last))) => last / first,
            _ => 0.0,
        };
        let times = line.points.iter().map(|(_, us)| format!("{us:.0}"));
        let cells = std::iter::once(line.name).chain(times);
        table.row(cells.chain([format!("{of_first:.2}")]));
    }
    table
}

fn judged(verdicts: &[Verdict]) -> Table {
    let mut table = Table::new("What must hold", &["what", "found", "verdict"]);
    for verdict in verdicts {
        let said = if verdict.holds { "holds" } else { "FAILS" };
        table.row([verdict.what.clone(), verdict.found.clone(), said.to_owned()]);
    }
    table
}

/// Processor time in microseconds: a line for each operation, and one for the sign-in
/// without its hash.
fn lines(figures: &[Figure]) -> Vec<Line> {
    let mut lines = Vec::new();
    for operation in Operation::ALL {
        let mut line = |name: String, time: fn(&Figure) -> Option<f64>| {
            let points: Vec<(f64, f64)> = of(operation, figures)
                .filter_map(|figure| Some((real(figure.devices), time(figure)?)))
                .collect();
            if !points.is_empty() {
                lines.push(Line { name, points });
            }
        };
        line(operation.name().to_owned(), |it| Some(it.processor_us));
        line(format!("{}, without the hash", operation.name()), |it| {
            it.without_hash_us
        });
    }
    lines
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn real(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(operation: Operation, devices: usize, cost: Cost) -> Figure {
        Figure {
            operation,
            devices,
            counted: Counted {
                cost,
                rows_judged: devices,
                tokens_tried: 1,
                alive_that_should_be_dead: 0,
                dead_that_should_be_alive: 0,
            },
            processor_us: 900.0,
            without_hash_us: None,
        }
    }

    fn act() -> Cost {
        Cost::of(&["BatchGetItem", "TransactWriteItems"], 2.0, 7.0)
    }

    fn others(last: Cost) -> Vec<Figure> {
        let others = Operation::SignOutOthers;
        vec![
            figure(others, 1, act()),
            figure(others, 10, act()),
            figure(others, 100, last),
        ]
    }

    #[test]
    fn signing_out_all_must_cost_the_same_at_every_number_of_devices() {
        let others = |last| costs_the_same(Operation::SignOutOthers, &self::others(last));
        assert!(others(act()).holds);

        let mut more = act();
        more.reads = 3.0;
        assert!(!others(more).holds, "a unit more");
        let mut again = act();
        again.calls.push("Query".to_owned());
        let again = others(again);
        assert!(!again.holds, "a call more");
        assert_eq!(again.found, "2 calls, 2 + 7 units; 3 calls, 2 + 7 units");
    }

    #[test]
    fn what_was_not_measured_does_not_hold() {
        let global = Operation::SignOutGlobal;
        assert!(!costs_the_same(global, &others(act())).holds);
        assert!(!leaves_nothing(global, &others(act())).holds);
    }

    #[test]
    fn one_session_on_the_wrong_side_is_enough_to_fail() {
        let mut figures = others(act());
        assert!(leaves_nothing(Operation::SignOutOthers, &figures).holds);

        figures[1].counted.alive_that_should_be_dead = 1;
        assert!(!leaves_nothing(Operation::SignOutOthers, &figures).holds);

        figures[1].counted.alive_that_should_be_dead = 0;
        figures[2].counted.dead_that_should_be_alive = 1;
        assert!(!leaves_nothing(Operation::SignOutOthers, &figures).holds);
    }

    #[test]
    fn the_hash_is_taken_from_the_sign_in_of_its_own_round() {
        let round = |us, hash_us| Spent { us, hash_us };
        // A slow round, and two others.
        let rounds = [
            round(31_000.0, Some(29_900.0)),
            round(15_000.0, Some(14_000.0)),
            round(15_200.0, Some(14_000.0)),
        ];
        let rest = without_hash(&rounds).unwrap();
        assert!((rest - 1_100.0).abs() < 0.1, "{rest}");
        assert_eq!(without_hash(&[round(900.0, None)]), None);
    }

    #[test]
    fn thousands_are_set_apart() {
        let said = [0, 10, 999, 1_000, 100_000, 1_234_567].map(thousands);
        let right = ["0", "10", "999", "1,000", "100,000", "1,234,567"];
        assert_eq!(said, right);
    }
}
