//! No effect of a sign-out is lost: every function on the way crashes at each of its
//! calls, before and after the call is made; messages are duplicated and reordered; one
//! is malformed; the management API fails. In the end the receipt is correct, every
//! subscriber has got its events, and no socket outlives its session.

mod cloud;
mod redriving;
mod scenarios;
mod simulation;
mod verdict;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use curfew_tests::random::SeededRandom;
use futures_util::StreamExt as _;
use futures_util::stream;

use self::cloud::{CallSite, Fault};
use self::scenarios::{Outcome, Run, Scenario};
use self::simulation::{InitialState, Interruption, LAPTOP, Simulation, TV};

/// Runs that go on at once on a thread, because each waits in the pauses of the retries.
const AT_ONCE: usize = 24;
const SEED: u64 = 20_261_120;
/// Runs of a scenario with duplicated and reordered messages.
const DISORDERED: usize = 18;
/// The number of calls of a handshake.
const HANDSHAKE: usize = 3;
/// The functions that notify devices and subscribers, or record it.
const FUNCTIONS: [&str; 7] = [
    "publish-revocations",
    "push-revocations",
    "socket",
    "sweep",
    "sign-out-receipts",
    "login",
    "session",
];

/// Returns a thread with a large stack: without optimization the functions and the SDK
/// need one.
fn deep() -> thread::Builder {
    thread::Builder::new().stack_size(32 << 20)
}

fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().unwrap()
}

/// Plays runs on two threads.
fn play(runs: &[Run]) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let work = || {
        runtime().block_on(async {
            let initial = InitialState::new().await;
            let runs = std::iter::from_fn(|| runs.get(next.fetch_add(1, Ordering::Relaxed)));
            // A simulation is reused for the next run.
            let (simulations, initial) = (RefCell::new(Vec::<Simulation>::new()), &initial);
            let played = stream::iter(runs).map(async |run| {
                let free = simulations.borrow_mut().pop();
                let simulation = free.unwrap_or_else(Simulation::new);
                let outcome = run.clone().play(&simulation, initial).await;
                simulations.borrow_mut().push(simulation);
                outcome
            });
            played.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await
        })
    };
    thread::scope(|scope| {
        let threads = [(); 2].map(|()| deep().spawn_scoped(scope, work).unwrap());
        let played = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap());
        played.collect()
    })
}

/// The number of faults of two kinds at each kind of call.
#[derive(Default)]
struct Tally {
    sites: BTreeMap<CallSite, [usize; 2]>,
    runs: usize,
    left_behind: usize,
    violations: Vec<String>,
}

impl Tally {
    fn add(&mut self, outcome: &Outcome, ways: [Fault; 2]) {
        self.runs += 1;
        self.left_behind += outcome.left_behind.len();
        for (site, fault) in &outcome.injected {
            let at = ways.iter().position(|way| way == fault).unwrap();
            self.sites.entry(site.clone()).or_default()[at] += 1;
        }
        let violations = outcome.violations.iter();
        self.violations
            .extend(violations.map(|violation| {
                format!("{:?}, {:?}: {violation}", outcome.run, outcome.injected)
            }));
    }

    fn table(&self, ways: [&str; 2]) -> String {
        let mut table = format!(
            "{:<20} {:<28} {:>7} {:>7}\n",
            "function", "call", ways[0], ways[1]
        );
        let mut totals: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
        for (site, times) in &self.sites {
            let (function, call) = (site.function, &site.call);
            writeln!(
                table,
                "{function:<20} {call:<28} {:>7} {:>7}",
                times[0], times[1]
            )
            .unwrap();
            let total = totals.entry(function).or_default();
            *total = [total[0] + times[0], total[1] + times[1]];
        }
        for (function, times) in &totals {
            writeln!(
                table,
                "{function:<20} {:<28} {:>7} {:>7}",
                "all", times[0], times[1]
            )
            .unwrap();
        }
        let all: usize = self.sites.values().flatten().sum();
        let (sites, runs) = (self.sites.len(), self.runs);
        writeln!(table, "{all} in {runs} runs, at {sites} kinds of calls").unwrap();
        write!(
            table,
            "{} rows of sockets that only the TTL deletes",
            self.left_behind
        )
        .unwrap();
        table
    }

    fn assert_nothing_lost(&self) {
        let few: Vec<&String> = self.violations.iter().take(5).collect();
        assert!(
            few.is_empty(),
            "{} violations: {few:#?}",
            self.violations.len()
        );
    }
}

/// Returns the calls of undisturbed runs.
fn calls(runs: &[Run]) -> BTreeMap<Scenario, Vec<CallSite>> {
    let mut calls = BTreeMap::new();
    for outcome in play(runs) {
        assert!(outcome.violations.is_empty(), "{:#?}", outcome.violations);
        calls.insert(outcome.run.scenario, outcome.calls);
    }
    calls
}

/// Returns a run with faults.
fn injected(scenario: Scenario, faults: &[(usize, Fault)]) -> Run {
    Run {
        faults: faults.to_vec(),
        ..Run::undisturbed(scenario)
    }
}

#[test]
fn a_function_that_crashes_at_any_call_loses_nothing() {
    let mut runs = Vec::new();
    for (scenario, calls) in calls(&Scenario::ALL.map(Run::undisturbed)) {
        for call in 0..calls.len() {
            runs.extend(Fault::CRASHES.map(|death| injected(scenario, &[(call, death)])));
        }
    }

    let mut tally = Tally::default();
    for outcome in play(&runs) {
        assert_eq!(outcome.injected.len(), 1, "the fault was injected");
        tally.add(&outcome, Fault::CRASHES);
    }

    println!("{}", tally.table(["before", "after"]));
    tally.assert_nothing_lost();
    for function in FUNCTIONS {
        let mut sites = tally.sites.keys();
        assert!(sites.any(|site| site.function == function), "{function}");
    }
}

#[test]
fn crashes_with_duplicated_and_reordered_messages_lose_nothing() {
    let mut random = SeededRandom::new(SEED);
    let mut runs = Vec::new();
    for (scenario, calls) in calls(&Scenario::ALL.map(Run::undisturbed)) {
        for run in 0..DISORDERED {
            // With duplicated messages a run has more calls than without.
            let mut fault = || {
                (
                    random.index(calls.len() * 2),
                    Fault::CRASHES[random.index(2)],
                )
            };
            let faults: Vec<_> = (0..=run % 3).map(|_| fault()).collect();
            runs.push(Run {
                disorder: Some(random.index(usize::MAX) as u64),
                ..injected(scenario, &faults)
            });
        }
    }

    let mut tally = Tally::default();
    for outcome in play(&runs) {
        tally.add(&outcome, Fault::CRASHES);
    }

    println!("{}", tally.table(["before", "after"]));
    println!("drawn from {SEED}");
    tally.assert_nothing_lost();
}

#[test]
fn a_call_that_fails_or_loses_its_answer_loses_nothing() {
    let scenarios = [Scenario::Others, Scenario::Global, Scenario::Connects];
    let mut runs = Vec::new();
    for (scenario, calls) in calls(&scenarios.map(Run::undisturbed)) {
        for (call, site) in calls.iter().enumerate() {
            // A device sends a failed frame again, and most reads of the socket function
            // change nothing: one kind of fault is enough.
            let violations = match site.function {
                "socket" => &Fault::ERRORS[call % 2..=call % 2],
                _ => &Fault::ERRORS,
            };
            let violations = violations.iter();
            runs.extend(violations.map(|violation| injected(scenario, &[(call, *violation)])));
        }
    }

    let mut tally = Tally::default();
    for outcome in play(&runs) {
        tally.add(&outcome, Fault::ERRORS);
    }

    println!("{}", tally.table(["failed", "unheard"]));
    tally.assert_nothing_lost();
}

#[test]
fn a_sign_in_or_sign_out_in_the_middle_of_a_call_loses_nothing() {
    let scenarios = [Scenario::Others, Scenario::Global, Scenario::Connects];
    let mut runs = Vec::new();
    for (scenario, calls) in calls(&scenarios.map(Run::undisturbed)) {
        let in_the_middle = match scenario {
            // Every device is signed out in the middle of a handshake.
            Scenario::Connects => vec![Interruption::SignsOutAll(LAPTOP)],
            Scenario::Global => vec![Interruption::SignsInAgain(TV)],
            _ => vec![
                Interruption::SignsInAgain(TV),
                Interruption::SignsOutAll(LAPTOP),
            ],
        };
        let calls = calls.iter().enumerate();
        let calls = calls.filter(|(at, site)| match scenario {
            Scenario::Connects => *at < HANDSHAKE,
            _ => site.function != "socket" && site.function != "session",
        });
        for (call, _) in calls {
            runs.extend(in_the_middle.iter().map(|interruption| Run {
                interruption: Some(*interruption),
                ..injected(scenario, &[(call, Fault::Interrupt)])
            }));
        }
    }

    let mut violations = Vec::new();
    for outcome in play(&runs) {
        assert_eq!(outcome.injected.len(), 1);
        let run = outcome.run;
        violations.extend(
            outcome
                .violations
                .iter()
                .map(|violation| format!("{run:?}: {violation}")),
        );
    }

    println!("{} runs", runs.len());
    assert!(violations.is_empty(), "{violations:#?}");
}
