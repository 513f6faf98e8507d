//! Every pair of operations in every order of their calls, some at random with
//! a third, and every condition of a write left out once: then a rule is broken.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::{Debug, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use curfew_tests::bundle::Bundle;
use curfew_tests::engine::Engine;
use curfew_tests::races::clauses::{self, CONTACT, Clause};
use curfew_tests::races::operations::{Announced, Operation, Target};
use curfew_tests::races::pairs::{drawn, pairs};
use curfew_tests::races::schedule::{Exhaustive, History, Past, Run, Scripted, Turn, World};
use curfew_tests::random::SeededRandom;
use curfew_tests::tables::ACCOUNTS;
use curfew_tests::wire::{self, Call, CallResult};
use domain::AccountId;
use runtime::{Clock, lock};

const HISTORIES: [History; 3] = [History::Fresh, History::OneSignOut, History::TwoSignOuts];

/// How many schedules of three operations are drawn, unless `CURFEW_RACES` says
/// otherwise.
const DRAWN: usize = 2_000;
/// What they are drawn from, unless `CURFEW_SEED` says otherwise.
const SEED: u64 = 20_261_120;

/// Operations that race after a history.
#[derive(Debug, Clone, Copy)]
struct Case<const N: usize> {
    history: History,
    operations: [Operation; N],
}

/// What the schedules of a case came to.
#[derive(Debug, Default)]
struct Tally {
    schedules: usize,
    repetitions: usize,
    calls: usize,
    clauses: BTreeSet<Clause>,
}

impl Tally {
    fn count(&mut self, run: &Run) {
        self.calls += run.calls;
        self.clauses.extend(run.clauses.iter().cloned());
        if run.is_repetition {
            self.repetitions += 1;
        } else {
            self.schedules += 1;
        }
    }

    fn add(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.repetitions += other.repetitions;
        self.calls += other.calls;
        self.clauses.extend(other.clauses);
    }
}

fn cases() -> Vec<Case<2>> {
    let of = |history| {
        pairs(history).into_iter().map(move |operations| Case {
            history,
            operations,
        })
    };
    HISTORIES.into_iter().flat_map(of).collect()
}

fn played() -> Vec<Past> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let world = World::new();
    HISTORIES.iter().map(|it| world.play(*it, folder)).collect()
}

fn past(pasts: &[Past], history: History) -> &Past {
    let found = pasts.iter().find(|past| past.history() == history);
    found.expect("it was played")
}

/// Works through a list on two threads, each with a world of its own.
fn on_two_threads<T: Sync, R: Send>(
    list: &[T],
    work: impl Fn(&mut World, &T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut world = World::new();
                while let Some(item) = list.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = work(&mut world, item);
                    lock(&done).push(result);
                }
            });
        }
    });
    done.into_inner().unwrap()
}

/// What broke a rule, as a person can follow it.
fn told(case: &impl Debug, run: &Run) -> Option<String> {
    let violation = run.violation.as_ref()?;
    Some(format!(
        "{case:?}\n  {:?}\n  {}: {}",
        run.steps, violation.rule, violation.what
    ))
}

/// Runs every schedule of a case; the first that breaks a rule ends it.
fn exhaust(
    world: &mut World,
    pasts: &[Past],
    case: Case<2>,
    left_out: Option<&Clause>,
) -> (Tally, Option<String>) {
    let (mut chooser, mut tally) = (Exhaustive::default(), Tally::default());
    loop {
        let past = past(pasts, case.history);
        let run = world.run(past, &case.operations, &mut chooser, left_out);
        tally.count(&run);
        if let Some(broken) = told(&case, &run) {
            return (tally, Some(broken));
        }
        // Without the clause in the first schedule's calls there may still be
        // some in another's, so the case goes on.
        if !chooser.turn() {
            return (tally, None);
        }
    }
}

#[test]
fn every_pair_in_every_order_keeps_the_rules() {
    let (pasts, cases) = (played(), cases());

    let results = on_two_threads(&cases, |world, case| exhaust(world, &pasts, *case, None));

    let mut tally = Tally::default();
    let mut broken = Vec::new();
    for (one, violation) in results {
        tally.add(one);
        broken.extend(violation);
    }
    println!(
        "{} pairs, {} schedules ({} repetitions left), {} calls to a table",
        cases.len(),
        tally.schedules,
        tally.repetitions,
        tally.calls,
    );
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn three_at_once_drawn_at_random_keep_the_rules() {
    let setting = |name| runtime::optional(name).map(|value| value.parse().expect("a number"));
    let seed = setting("CURFEW_SEED").unwrap_or(SEED);
    let count = setting("CURFEW_RACES").map_or(DRAWN, |count| usize::try_from(count).unwrap());
    println!("CURFEW_SEED={seed}, {count} schedules");
    let pasts = played();
    let list: Vec<u64> = (0..count as u64)
        .map(|at| seed.wrapping_add(at << 32))
        .collect();

    let broken = on_two_threads(&list, |world, seed| {
        let mut random = SeededRandom::new(*seed);
        let history = HISTORIES[random.index(HISTORIES.len())];
        let operations: [Operation; 3] = drawn(history, &mut random);
        let case = Case {
            history,
            operations,
        };
        let run = world.run(past(&pasts, history), &operations, &mut random, None);
        told(&case, &run)
    });

    let broken: Vec<String> = broken.into_iter().flatten().collect();
    assert!(
        broken.is_empty(),
        "CURFEW_SEED={seed}\n{}",
        broken.join("\n")
    );
}

/// Every clause of every condition that the operations write under.
fn clauses_of(world: &mut World, pasts: &[Past], cases: &[Case<2>]) -> BTreeSet<Clause> {
    let mut found = BTreeSet::new();
    for case in cases {
        // In any one schedule each operation makes its writes.
        let past = past(pasts, case.history);
        let run = world.run(past, &case.operations, &mut Exhaustive::default(), None);
        found.extend(run.clauses);
    }
    found
}

/// A clause, and what shows that it is needed.
struct Shown {
    clause: Clause,
    schedules: usize,
    by: Option<String>,
    rule: String,
}

/// Leaves a clause out until a rule is broken.
fn show(world: &mut World, pasts: &[Past], cases: &[Case<2>], clause: &Clause) -> Shown {
    let mut shown = Shown {
        clause: clause.clone(),
        schedules: 0,
        by: None,
        rule: String::new(),
    };
    let mut is_shown = |by: String, broken: Option<String>, count: usize| {
        shown.schedules += count;
        if let Some(broken) = &broken {
            shown.by = Some(by);
            broken
                .lines()
                .last()
                .unwrap_or_default()
                .trim()
                .clone_into(&mut shown.rule);
        }
        broken.is_some()
    };
    let scripted = after_two_ends_by_one(clause).or_else(|| later(clause));
    if let Some((case, turns)) = scripted {
        let past = past(pasts, case.history);
        let run = world.run(past, &case.operations, &mut Scripted(turns), Some(clause));
        let by = format!("{:?} {:?}", case.history, case.operations);
        if is_shown(by, told(&case, &run), 1) {
            return shown;
        }
    }
    if let Some(case) = threes(clause) {
        let mut random = SeededRandom::new(SEED);
        for _ in 0..DRAWN {
            let past = past(pasts, case.history);
            let run = world.run(past, &case.operations, &mut random, Some(clause));
            let by = format!("{:?} {:?}", case.history, case.operations);
            if is_shown(by, told(&case, &run), 1) {
                return shown;
            }
        }
    }
    let of_it = |case: &&Case<2>| {
        let mut operations = case.operations.iter();
        if clause.operation == CONTACT {
            let is_check = |it: &Operation| matches!(it, Operation::Check(_));
            return operations.clone().any(is_check) && operations.all(|it| it.is_about_parts());
        }
        operations.any(|it| it.kind() == clause.operation)
    };
    let mut cases: Vec<&Case<2>> = cases.iter().filter(of_it).collect();
    cases.sort_by_key(|case| !is_likely(case.operations, clause));
    for case in cases {
        let (tally, broken) = exhaust(world, pasts, *case, Some(clause));
        let by = format!("{:?} {:?}", case.history, case.operations);
        if is_shown(by, broken, tally.schedules) {
            return shown;
        }
    }
    shown
}

/// Whether the one operation may well get in the way of the other just where the
/// clause stands: then the pair is tried first, which saves time and no more.
fn is_likely(pair: [Operation; 2], clause: &Clause) -> bool {
    if clause.operation == CONTACT {
        return matches!(pair,
            [Operation::Check(one) | Operation::SignInAgain(one), Operation::Check(other)]
                if one == other);
    }
    let is_in_the_way = |it: Operation, of: Operation| {
        if clause.write.ends_with("Accounts") {
            matches!(it, Operation::SignOutOthers(_)) && it.caller() != of.caller()
        } else {
            matches!(it, Operation::SignInAgain(_) | Operation::SignOutThis(_))
        }
    };
    is_in_the_way(pair[0], pair[1]) || is_in_the_way(pair[1], pair[0])
}

/// Three operations for what two cannot show: a row that the sweep found signed
/// in is signed out by its own device, which was let in before the sign-out of
/// all that is swept.
fn threes(clause: &Clause) -> Option<Case<3>> {
    let is_of_the_state = clause.operation == "sweep" && clause.text.contains("#state");
    is_of_the_state.then_some(Case {
        history: History::Fresh,
        operations: [
            Operation::SignOutThis(1),
            Operation::SignOutGlobal(0),
            Operation::Sweep(Announced::Last),
        ],
    })
}

/// One sign-out can end two sessions of a device, one after the other: the second
/// was signing in, in the place of the first, when everyone was signed out, and was
/// dead at birth. The first has its part by its contact, and what comes then, for
/// the second, leaves the part as it is. Gives operations that do so, with the
/// write of the clause last.
fn after_two_ends_by_one(clause: &Clause) -> Option<(Script, VecDeque<Turn>)> {
    if !clause.text.contains("if_not_exists") || clause.text.contains("_at ") {
        return None;
    }
    let mut operations = vec![
        Operation::SignInAgain(0),
        Operation::SignOutGlobal(2),
        Operation::Check(0),
    ];
    let mut turns = VecDeque::from([
        Turn::ToItsWrite(0),
        Turn::ToItsEnd(1),
        Turn::ToItsEnd(2),
        Turn::ToItsEnd(0),
    ]);
    match clause.operation {
        // By its token, when every one is tried at the end.
        CONTACT => {}
        "sweep" => operations.push(Operation::Sweep(Announced::Last)),
        "sign in again" => operations.push(Operation::SignInAgain(0)),
        _ => return None,
    }
    turns.extend((3..operations.len()).map(Turn::ToItsEnd));
    // The first session was kept once, so the two are of different epochs.
    let history = History::OneSignOut;
    Some((
        Script {
            history,
            operations,
        },
        turns,
    ))
}

/// A sign-in that keeps a part is one transaction, whose token makes a replay
/// harmless, for ten minutes. Its condition on the session is for what comes later:
/// by then the device may have signed in once more, which ended the session that
/// comes again. Its condition on the state is for a row that was read before the
/// rest.
fn later(clause: &Clause) -> Option<(Script, VecDeque<Turn>)> {
    if !clause.write.ends_with("with a part") {
        return None;
    }
    if clause.text.contains("#state") {
        return Some(torn(Operation::SignInAgain(1), Operation::SignOutThis(1)));
    }
    let script = Script {
        history: History::OneSignOut,
        operations: vec![Operation::SignInAgain(1); 2],
    };
    let turns = [Turn::ToItsEchoedEnd(0), Turn::ToItsEnd(1), Turn::Echo(0)];
    Some((script, turns.into()))
}

/// An operation reads the row of its device; before it reads the account's, the
/// session comes to another end, and then everyone is signed out.
fn torn(reader: Operation, end: Operation) -> (Script, VecDeque<Turn>) {
    let script = Script {
        history: History::Fresh,
        operations: vec![reader, end, Operation::SignOutGlobal(0)],
    };
    let turns = [
        Turn::ToOneRow(0, 1),
        Turn::ToItsEnd(1),
        Turn::ToItsEnd(2),
        Turn::ToItsEnd(0),
    ];
    (script, turns.into())
}

#[test]
fn a_session_that_ended_otherwise_while_its_rows_were_read_is_in_no_receipt_of_all() {
    let (mut world, pasts) = (World::new(), played());
    let readers = [
        Operation::Check(1),
        Operation::Touch(1),
        Operation::SignOutOthers(1),
        Operation::SignInAgain(1),
    ];
    let ends = [
        Operation::SignOutThis(1),
        Operation::SignOutOne(0, Target::Device(1)),
        Operation::SignInAgain(1),
    ];
    for reader in readers {
        for end in ends {
            let (script, turns) = torn(reader, end);
            let past = past(&pasts, script.history);
            let run = world.run(past, &script.operations, &mut Scripted(turns), None);
            assert_eq!(told(&script, &run), None);
        }
    }
}

/// Any number of operations after a history.
#[derive(Debug)]
struct Script {
    history: History,
    operations: Vec<Operation>,
}

#[test]
fn every_condition_that_is_left_out_breaks_a_rule() {
    let (pasts, cases) = (played(), cases());
    let clauses: Vec<Clause> = clauses_of(&mut World::new(), &pasts, &cases)
        .into_iter()
        .collect();

    let mut shown = on_two_threads(&clauses, |world, clause| {
        show(world, &pasts, &cases, clause)
    });

    shown.sort_by(|one, two| one.clause.cmp(&two.clause));
    let mut table = String::new();
    for it in &shown {
        let Clause {
            operation,
            write,
            text,
        } = &it.clause;
        let by = it.by.as_deref().unwrap_or("NOTHING");
        writeln!(
            table,
            "{operation} | {write} | {text} | {by} | {} | {}",
            it.schedules, it.rule
        )
        .unwrap();
    }
    println!("{table}");
    assert!(
        shown.iter().all(|it| it.by.is_some()),
        "a clause that nothing needs\n{table}"
    );
}

/// A wire that leaves a clause out of every call, or none, and notes the others.
fn without(
    left_out: Option<Clause>,
    operation: &'static str,
) -> (Engine, Bundle, Arc<Mutex<BTreeSet<Clause>>>) {
    let (engine, met) = (Engine::new(), Arc::<Mutex<BTreeSet<Clause>>>::default());
    let (tables, note) = (engine.clone(), met.clone());
    let clients = wire::clients(move |call: Call| {
        if call.is_write() {
            lock(&note).extend(clauses::clauses(operation, &call));
        }
        let weakened = left_out.as_ref().and_then(|it| clauses::without(it, &call));
        let call = weakened.unwrap_or(call);
        CallResult::Answered(tables.answer(&call.operation, &call.body))
    });
    let clock = Clock::fixed("2026-11-20T12:00:00Z".parse().unwrap());
    (engine, Bundle::new(clients.dynamodb(), clock), met)
}

/// Two people register one address. Gives whether the first still has it, and
/// the clauses that were met.
async fn registered_twice(left_out: Option<Clause>) -> (bool, BTreeSet<Clause>) {
    let (_, bundle, met) = without(left_out, "register");
    let (first, second) = (
        "quiet otter borrows nine lanterns",
        "nine lanterns drift past the harbour",
    );
    bundle.register("lea@example.com", first).await;
    bundle.register("Lea@Example.com", second).await;
    let clauses = lock(&met).clone();
    let opens = bundle.log_in("lea@example.com", first, None).await;
    (opens.status_code == 200, clauses)
}

#[tokio::test]
async fn the_first_to_register_an_address_keeps_it_by_every_condition() {
    let (is_kept, clauses) = registered_twice(None).await;
    assert!(is_kept);
    assert_eq!(clauses.len(), 1);
    for clause in clauses {
        assert!(
            !registered_twice(Some(clause.clone())).await.0,
            "{clause:?}"
        );
    }
}

/// An account that there is not is enabled. Gives whether there is still none,
/// and the clauses that were met.
async fn enabled_nobody(left_out: Option<Clause>) -> (bool, BTreeSet<Clause>) {
    let (engine, bundle, met) = without(left_out, "enable");
    let nobody = AccountId::from_random([7; 16]);
    let _outcome = bundle.store.enable(nobody).await.unwrap();
    let clauses = lock(&met).clone();
    (engine.rows(ACCOUNTS).is_empty(), clauses)
}

#[tokio::test]
async fn enabling_makes_no_account_by_every_condition() {
    let (is_nobody, clauses) = enabled_nobody(None).await;
    assert!(is_nobody);
    assert_eq!(clauses.len(), 1);
    for clause in clauses {
        assert!(!enabled_nobody(Some(clause.clone())).await.0, "{clause:?}");
    }
}
