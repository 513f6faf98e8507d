//! Nothing that a sign-out has to tell is lost: every function on the way dies at
//! each of its calls, before the call has left and after it was made; messages come
//! twice and in no order; one is poisoned; the push endpoint refuses. In the end the
//! receipt is right, everybody who must hear has heard, and no socket outlives its
//! session.

mod cloud;
mod redriving;
mod scenarios;
mod verdict;
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use curfew_tests::random::SeededRandom;
use futures_util::StreamExt as _;
use futures_util::stream;

use self::cloud::{Place, Strike};
use self::scenarios::{Outcome, Run, Scenario};
use self::world::{LAPTOP, Meanwhile, Origin, TV, World};

/// The pauses before a store asks again are waited out; other runs go on meanwhile.
const AT_ONCE: usize = 24;
const SEED: u64 = 20_261_120;
/// Runs of a scenario in which messages come twice and in no order.
const ROUGH: usize = 18;
/// The calls of a handshake.
const HANDSHAKE: usize = 3;
/// Whatever tells, or writes down that somebody was told.
const FUNCTIONS: [&str; 7] = [
    "publish-revocations",
    "push-revocations",
    "socket",
    "sweep",
    "sign-out-receipts",
    "login",
    "session",
];

/// Runs what is deep without optimisation: a world, its functions and the SDK.
fn deep() -> thread::Builder {
    thread::Builder::new().stack_size(32 << 20)
}

fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().build().unwrap()
}

/// Plays runs on both cores.
fn play(runs: &[Run]) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let work = || {
        runtime().block_on(async {
            let origin = Origin::new().await;
            let runs = std::iter::from_fn(|| runs.get(next.fetch_add(1, Ordering::Relaxed)));
            // A world whose run is over is there for the next one.
            let (worlds, origin) = (RefCell::new(Vec::<World>::new()), &origin);
            let played = stream::iter(runs).map(async |run| {
                let free = worlds.borrow_mut().pop();
                let world = free.unwrap_or_else(World::new);
                let outcome = run.clone().play(&world, origin).await;
                worlds.borrow_mut().push(world);
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

/// Where calls were struck, how often, and in which of two ways.
#[derive(Default)]
struct Tally {
    places: BTreeMap<Place, [usize; 2]>,
    runs: usize,
    left_behind: usize,
    faults: Vec<String>,
}

impl Tally {
    fn add(&mut self, outcome: &Outcome, ways: [Strike; 2]) {
        self.runs += 1;
        self.left_behind += outcome.left_behind.len();
        for (place, strike) in &outcome.struck {
            let at = ways.iter().position(|way| way == strike).unwrap();
            self.places.entry(place.clone()).or_default()[at] += 1;
        }
        let faults = outcome.faults.iter();
        self.faults.extend(
            faults.map(|fault| format!("{:?}, {:?}: {fault}", outcome.run, outcome.struck)),
        );
    }

    fn table(&self, ways: [&str; 2]) -> String {
        let mut table = format!(
            "{:<20} {:<28} {:>7} {:>7}\n",
            "function", "call", ways[0], ways[1]
        );
        let mut totals: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
        for (place, times) in &self.places {
            let (function, call) = (place.function, &place.call);
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
        let all: usize = self.places.values().flatten().sum();
        let (places, runs) = (self.places.len(), self.runs);
        writeln!(table, "{all} in {runs} runs, at {places} kinds of calls").unwrap();
        write!(
            table,
            "{} rows of sockets left to the TTL",
            self.left_behind
        )
        .unwrap();
        table
    }

    fn assert_nothing_lost(&self) {
        let few: Vec<&String> = self.faults.iter().take(5).collect();
        assert!(few.is_empty(), "{} faults: {few:#?}", self.faults.len());
    }
}

/// The calls of undisturbed runs.
fn calls(runs: &[Run]) -> BTreeMap<Scenario, Vec<Place>> {
    let mut calls = BTreeMap::new();
    for outcome in play(runs) {
        assert!(outcome.faults.is_empty(), "{:#?}", outcome.faults);
        calls.insert(outcome.run.scenario, outcome.calls);
    }
    calls
}

/// A run in which some calls are struck.
fn struck(scenario: Scenario, strikes: &[(usize, Strike)]) -> Run {
    Run {
        strikes: strikes.to_vec(),
        ..Run::calm(scenario)
    }
}

#[test]
fn a_function_that_dies_at_any_of_its_calls_loses_nothing() {
    let mut runs = Vec::new();
    for (scenario, calls) in calls(&Scenario::ALL.map(Run::calm)) {
        for call in 0..calls.len() {
            runs.extend(Strike::DEATHS.map(|death| struck(scenario, &[(call, death)])));
        }
    }

    let mut tally = Tally::default();
    for outcome in play(&runs) {
        assert_eq!(outcome.struck.len(), 1, "each boundary is one of the run");
        tally.add(&outcome, Strike::DEATHS);
    }

    println!("{}", tally.table(["before", "after"]));
    tally.assert_nothing_lost();
    for function in FUNCTIONS {
        let mut places = tally.places.keys();
        assert!(places.any(|place| place.function == function), "{function}");
    }
}

#[test]
fn functions_that_die_while_messages_come_twice_and_in_no_order_lose_nothing() {
    let mut random = SeededRandom::new(SEED);
    let mut runs = Vec::new();
    for (scenario, calls) in calls(&Scenario::ALL.map(Run::calm)) {
        for run in 0..ROUGH {
            // Roughly delivered, a run has more calls than calmly.
            let mut strike = || {
                (
                    random.index(calls.len() * 2),
                    Strike::DEATHS[random.index(2)],
                )
            };
            let strikes: Vec<_> = (0..=run % 3).map(|_| strike()).collect();
            runs.push(Run {
                rough: Some(random.index(usize::MAX) as u64),
                ..struck(scenario, &strikes)
            });
        }
    }

    let mut tally = Tally::default();
    for outcome in play(&runs) {
        tally.add(&outcome, Strike::DEATHS);
    }

    println!("{}", tally.table(["before", "after"]));
    println!("drawn from {SEED}");
    tally.assert_nothing_lost();
}

#[test]
fn a_call_that_fails_or_is_not_heard_of_loses_nothing() {
    let scenarios = [Scenario::Others, Scenario::Global, Scenario::Connects];
    let mut runs = Vec::new();
    for (scenario, calls) in calls(&scenarios.map(Run::calm)) {
        for (call, place) in calls.iter().enumerate() {
            // A frame that was not worked through is the device's to send again, and
            // most of what the socket reads is read in vain.
            let faults = match place.function {
                "socket" => &Strike::FAULTS[call % 2..=call % 2],
                _ => &Strike::FAULTS,
            };
            let faults = faults.iter();
            runs.extend(faults.map(|fault| struck(scenario, &[(call, *fault)])));
        }
    }

    let mut tally = Tally::default();
    for outcome in play(&runs) {
        tally.add(&outcome, Strike::FAULTS);
    }

    println!("{}", tally.table(["failed", "unheard"]));
    tally.assert_nothing_lost();
}

#[test]
fn a_device_that_signs_in_again_or_is_signed_out_in_the_middle_is_told_what_is_its_own() {
    let scenarios = [Scenario::Others, Scenario::Global, Scenario::Connects];
    let mut runs = Vec::new();
    for (scenario, calls) in calls(&scenarios.map(Run::calm)) {
        let in_the_middle = match scenario {
            // Everybody is signed out in the middle of a handshake.
            Scenario::Connects => vec![Meanwhile::SignsOutAll(LAPTOP)],
            Scenario::Global => vec![Meanwhile::SignsInAgain(TV)],
            _ => vec![Meanwhile::SignsInAgain(TV), Meanwhile::SignsOutAll(LAPTOP)],
        };
        let calls = calls.iter().enumerate();
        let calls = calls.filter(|(at, place)| match scenario {
            Scenario::Connects => *at < HANDSHAKE,
            _ => place.function != "socket" && place.function != "session",
        });
        for (call, _) in calls {
            runs.extend(in_the_middle.iter().map(|meanwhile| Run {
                meanwhile: Some(*meanwhile),
                ..struck(scenario, &[(call, Strike::Meanwhile)])
            }));
        }
    }

    let mut faults = Vec::new();
    for outcome in play(&runs) {
        assert_eq!(outcome.struck.len(), 1);
        let run = outcome.run;
        faults.extend(
            outcome
                .faults
                .iter()
                .map(|fault| format!("{run:?}: {fault}")),
        );
    }

    println!("{} runs", runs.len());
    assert!(faults.is_empty(), "{faults:#?}");
}
