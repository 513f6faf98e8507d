//! How each operation grows with the devices of the account: calls and units, the
//! processor time of its function, and the sessions that it leaves alive that should be
//! dead.

mod account;
mod operation;

use anyhow::{Result, bail};
use curfew_tests::cost::Cost;
use curfew_tests::past::{PASTS, costs_after};
use serde::Serialize;

use self::account::{Account, Counted, Spent};
use self::operation::{FUNCTIONS, Operation};
use crate::programs::Builder;
use crate::report::{Report, Table, float, grouped, median};

/// The accounts, by their number of devices.
const SIZES: [usize; 6] = [1, 10, 100, 1_000, 10_000, 100_000];

/// Requests of each kind in a round.
const TIMES: u32 = 5;

#[derive(Serialize)]
struct Figures {
    operations: Vec<Figure>,
    pasts: Vec<Past>,
    /// The processor time of a hash inside a sign-in, in microseconds.
    hash_us: f64,
    verdicts: Vec<Verdict>,
}

/// An operation at one number of devices.
#[derive(Serialize)]
struct Figure {
    operation: Operation,
    devices: usize,
    #[serde(flatten)]
    counted: Counted,
    /// Processor time of the function, in microseconds: the median of the rounds.
    processor_us: f64,
    /// The same without the hash, of operations that hash.
    without_hash_us: Option<f64>,
}

/// What lists, receipts and sweeps cost after an account's past.
#[derive(Serialize)]
struct Past {
    dead_devices: usize,
    sign_outs: u64,
    costs: Vec<(&'static str, Cost)>,
}

/// A property that must hold.
#[derive(Serialize)]
struct Verdict {
    what: String,
    found: String,
    holds: bool,
}

/// Builds the functions, counts and measures.
pub async fn run(builder: &Builder, rounds: usize) -> Result<()> {
    let programs = builder.functions(&FUNCTIONS.map(ToOwned::to_owned)).await?;
    let mut accounts = Vec::new();
    for devices in SIZES {
        eprintln!("growth: creating an account of {} devices …", text(devices));
        accounts.push(Box::pin(Account::new(devices, &programs)).await?);
    }
    let counted = count(&mut accounts).await?;
    let spent = measure(&mut accounts, rounds).await?;
    for account in accounts {
        Box::pin(account.end()).await?;
    }
    let hashes = spent.iter().flatten().filter_map(|spent| spent.hash_us);
    let hash_us = median(hashes);
    let figures = counted.into_iter().zip(&spent);
    let operations = figures.map(|((operation, devices, counted), spent)| Figure {
        operation,
        devices,
        counted,
        processor_us: median(spent.iter().map(|spent| spent.us)),
        without_hash_us: without_hash(spent),
    });
    publish(operations.collect(), pasts().await, hash_us)
}

async fn pasts() -> Vec<Past> {
    let mut pasts = Vec::new();
    for (dead_devices, sign_outs) in PASTS {
        eprintln!("growth: {dead_devices} dead devices, {sign_outs} earlier sign-outs …");
        let costs = Box::pin(costs_after(dead_devices, sign_outs)).await;
        pasts.push(Past {
            dead_devices,
            sign_outs,
            costs,
        });
    }
    pasts
}

/// Counts each operation once on each account.
async fn count(accounts: &mut [Account]) -> Result<Vec<(Operation, usize, Counted)>> {
    let mut counted = Vec::new();
    for account in accounts {
        let devices = account.devices;
        for operation in Operation::ALL {
            eprintln!(
                "growth: counting {}, {} devices …",
                operation.name(),
                text(devices)
            );
            let one = Box::pin(account.count(operation)).await?;
            counted.push((operation, devices, one));
        }
    }
    Ok(counted)
}

/// Measures each operation on each account in each round, so that other load on the
/// machine affects all of them.
async fn measure(accounts: &mut [Account], rounds: usize) -> Result<Vec<Vec<Spent>>> {
    let places = accounts.len() * Operation::ALL.len();
    let mut spent: Vec<Vec<Spent>> = (0..places).map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        eprint!("\rgrowth: round {round} of {rounds} ");
        let mut place = spent.iter_mut();
        for account in &mut *accounts {
            account.begin().await?;
            for (operation, spent) in Operation::ALL.into_iter().zip(&mut place) {
                spent.push(Box::pin(account.spend(operation, TIMES)).await?);
            }
        }
    }
    eprintln!();
    Ok(spent)
}

fn publish(operations: Vec<Figure>, pasts: Vec<Past>, hash_us: f64) -> Result<()> {
    let mut verdicts = verdicts(&operations);
    verdicts.push(past_is_free(&pasts));
    let failed = verdicts.iter().find(|verdict| !verdict.holds);
    let failed = failed.map(|verdict| format!("{}: {}", verdict.what, verdict.found));
    let tables = vec![
        costs(&operations),
        times(&operations),
        after(&pasts),
        judged(&verdicts),
    ];
    let figures = Figures {
        operations,
        pasts,
        hash_us,
        verdicts,
    };
    Report::new("growth", figures, tables).publish()?;
    match failed {
        Some(failed) => bail!(failed),
        None => Ok(()),
    }
}

/// Subtracts the hash round by round: both were measured in the same round.
fn without_hash(spent: &[Spent]) -> Option<f64> {
    let rest = |spent: &Spent| Some(spent.us - spent.hash_us?);
    let rest: Vec<f64> = spent.iter().filter_map(rest).collect();
    (!rest.is_empty()).then(|| median(rest))
}

fn verdicts(figures: &[Figure]) -> Vec<Verdict> {
    let all = Operation::ALL.into_iter();
    let same = all.filter(|operation| operation.is_sign_out_all());
    let same = same.map(|operation| costs_the_same(operation, figures));
    let dead = Operation::ALL.map(|operation| leaves_nothing(operation, figures));
    same.chain(dead).collect()
}

/// Signing out all takes the calls and units of one device at any number of them.
fn costs_the_same(operation: Operation, figures: &[Figure]) -> Verdict {
    let costs: Vec<&Cost> = of(operation, figures).map(|it| &it.counted.cost).collect();
    let ends = [costs.first(), costs.last()];
    let found = ends.into_iter().flatten().map(|cost| {
        let calls = cost.calls.len();
        format!(
            "{calls} calls, {} + {} units",
            cost.read_units(),
            cost.write_units()
        )
    });
    Verdict {
        what: format!(
            "{}: the same calls and units at every size",
            operation.name()
        ),
        found: found.collect::<Vec<_>>().join("; "),
        holds: costs.len() > 1 && costs.windows(2).all(|pair| pair[0] == pair[1]),
    }
}

/// Lists, receipts and sweeps cost the same whatever the account did before.
fn past_is_free(pasts: &[Past]) -> Verdict {
    let differing = pasts.iter().find(|past| past.costs != pasts[0].costs);
    Verdict {
        what: "lists, receipts and sweeps: the same calls and units after every past".to_owned(),
        found: differing.map_or("the same".to_owned(), |past| {
            format!(
                "not after {} dead devices and {} sign-outs",
                past.dead_devices, past.sign_outs
            )
        }),
        holds: differing.is_none() && pasts.len() > 1,
    }
}

/// No session is alive that should be dead, and none is dead that should be alive.
fn leaves_nothing(operation: Operation, figures: &[Figure]) -> Verdict {
    let sum = |count: fn(&Counted) -> usize| -> usize {
        of(operation, figures).map(|it| count(&it.counted)).sum()
    };
    let alive = sum(|counted| counted.alive_that_should_be_dead);
    let dead = sum(|counted| counted.dead_that_should_be_alive);
    let rows = sum(|counted| counted.rows_judged);
    let tried = sum(|counted| counted.tokens_tried);
    Verdict {
        what: format!("{}: sessions alive that should be dead", operation.name()),
        found: format!(
            "{alive}, and {dead} dead that should be alive; {} rows, {} tokens",
            text(rows),
            text(tried)
        ),
        holds: alive == 0 && dead == 0 && rows > 0 && tried > 0,
    }
}

fn of(operation: Operation, figures: &[Figure]) -> impl Iterator<Item = &Figure> {
    figures
        .iter()
        .filter(move |figure| figure.operation == operation)
}

fn text(number: usize) -> String {
    grouped(float(number))
}

/// Creates a table with a column for each number of devices.
fn by_devices(title: &str, first: &[&str], last: &[&str]) -> Table {
    let sizes = SIZES.map(text);
    let sizes = sizes.iter().map(String::as_str);
    let columns = first
        .iter()
        .copied()
        .chain(sizes)
        .chain(last.iter().copied());
    Table::new(title, &columns.collect::<Vec<_>>())
}

fn costs(figures: &[Figure]) -> Table {
    let title = "Read + write units of an operation, by the devices of the account";
    let mut table = by_devices(title, &["operation", "calls"], &[]);
    for operation in Operation::ALL {
        let costs = || of(operation, figures).map(|it| &it.counted.cost);
        let mut calls: Vec<String> = costs().map(|cost| cost.calls.join(", ")).collect();
        calls.dedup();
        let names = [operation.name().to_owned(), calls.join("; ")];
        let units = costs().map(|it| format!("{} + {}", it.read_units(), it.write_units()));
        table.row(names.into_iter().chain(units));
    }
    table
}

fn times(figures: &[Figure]) -> Table {
    let title = "CPU µs of an operation in its function, by the devices of the account";
    let mut table = by_devices(title, &["operation"], &["last / first"]);
    for operation in Operation::ALL {
        let mut row = |name: String, time: fn(&Figure) -> Option<f64>| {
            let times: Vec<f64> = of(operation, figures).filter_map(time).collect();
            if let [first, .., last] = times.as_slice() {
                let cells = times.iter().map(|us| format!("{us:.0}"));
                let ratio = format!("{:.2}", last / first);
                table.row(std::iter::once(name).chain(cells).chain([ratio]));
            }
        };
        row(operation.name().to_owned(), |it| Some(it.processor_us));
        row(format!("{}, without the hash", operation.name()), |it| {
            it.without_hash_us
        });
    }
    table
}

fn after(pasts: &[Past]) -> Table {
    let sizes = pasts.iter().map(|past| {
        let (dead, sign_outs) = (past.dead_devices, past.sign_outs);
        format!("{dead} dead, {sign_outs} sign-outs")
    });
    let columns: Vec<String> = std::iter::once("operation".to_owned())
        .chain(sizes)
        .collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let title = "Read + write units after an account's past";
    let mut table = Table::new(title, &columns);
    let names = pasts.first().into_iter().flat_map(|past| &past.costs);
    for (at, (name, _)) in names.enumerate() {
        let units = pasts.iter().map(|past| {
            let (_, cost) = &past.costs[at];
            format!("{} + {}", cost.read_units(), cost.write_units())
        });
        table.row(std::iter::once((*name).to_owned()).chain(units));
    }
    table
}

fn judged(verdicts: &[Verdict]) -> Table {
    let mut table = Table::new("What must hold", &["what", "found", "verdict"]);
    for verdict in verdicts {
        let holds = if verdict.holds { "holds" } else { "FAILS" };
        table.row([
            verdict.what.clone(),
            verdict.found.clone(),
            holds.to_owned(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn act() -> Cost {
        let units = |units: f64| BTreeMap::from([("Accounts".to_owned(), units)]);
        Cost {
            calls: ["BatchGetItem", "TransactWriteItems"]
                .map(ToOwned::to_owned)
                .into(),
            reads: units(2.0),
            writes: units(7.0),
        }
    }

    fn others(last: Cost) -> Vec<Figure> {
        let figure = |(devices, cost)| Figure {
            operation: Operation::SignOutOthers,
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
        };
        [(1, act()), (10, act()), (100, last)].map(figure).into()
    }

    #[test]
    fn signing_out_all_must_cost_the_same_at_every_number_of_devices() {
        let others = |last| costs_the_same(Operation::SignOutOthers, &self::others(last));
        assert!(others(act()).holds);

        let mut more = act();
        more.reads.insert("Accounts".to_owned(), 3.0);
        assert!(!others(more).holds, "a unit more");
        let mut again = act();
        again.calls.push("Query".to_owned());
        let again = others(again);
        assert!(!again.holds, "a call more");
        assert_eq!(again.found, "2 calls, 2 + 7 units; 3 calls, 2 + 7 units");
    }

    #[test]
    fn a_past_that_costs_more_fails() {
        let past = |sign_outs, cost| Past {
            dead_devices: 0,
            sign_outs,
            costs: vec![("list", cost)],
        };
        assert!(past_is_free(&[past(0, act()), past(2_000, act())]).holds);

        let mut more = act();
        more.reads.insert("Receipts".to_owned(), 0.5);
        let differing = past_is_free(&[past(0, act()), past(2_000, more)]);
        assert!(!differing.holds);
        assert_eq!(
            differing.found,
            "not after 0 dead devices and 2000 sign-outs"
        );
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
    fn the_hash_is_subtracted_from_the_sign_in_of_its_own_round() {
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
}
