//! Every pair of operations in every order of their calls; three operations in random
//! orders; and every condition of a write knocked out once, which must break a rule.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::{Debug, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use curfew_tests::account::{EMAIL, PASSWORD, TestDevice, noon, register};
use curfew_tests::bundle::Bundle;
use curfew_tests::engine::Engine;
use curfew_tests::races::clauses::{self, CONTACT, Clause};
use curfew_tests::races::operations::{
    Announced, ENDING_OTHERS, Operation, Target, new_password, recovery,
};
use curfew_tests::races::pairs::{drawn, pairs};
use curfew_tests::races::schedule::{
    Exhaustive, History, PlayedHistory, Run, Runner, Scripted, Turn,
};
use curfew_tests::random::SeededRandom;
use curfew_tests::tables::{self, ACCOUNTS, ATTEMPTS, DEVICES, IDENTITIES};
use curfew_tests::wire::{self, Call, CallResult};
use domain::account::Account;
use domain::challenge::TRIES;
use domain::{AccountId, Budget, CounterKey, Device, DeviceId, EmailAddress, Epoch, Purpose};
use jiff::SignedDuration;
use runtime::{Clock, lock};
use serde_json::{Value, json};
use store::{Charged, Store, WriteOutcome};

const HISTORIES: [History; 7] = [
    History::Fresh,
    History::OneSignOut,
    History::TwoSignOuts,
    History::AddressChanged,
    History::Verified,
    History::WithApp,
    History::AppLost,
];

/// The number of random schedules of three operations, unless `CURFEW_RACES` is set.
const DRAWN: usize = 2_000;
/// Their seed, unless `CURFEW_SEED` is set.
const SEED: u64 = 20_261_120;

/// Operations that race after a history.
#[derive(Debug, Clone, Copy)]
struct Case<const N: usize> {
    history: History,
    operations: [Operation; N],
}

/// The totals of the schedules of a case.
#[derive(Debug, Default)]
struct Tally {
    schedules: usize,
    equivalent: usize,
    calls: usize,
    clauses: BTreeSet<Clause>,
}

impl Tally {
    fn count(&mut self, run: &Run) {
        self.calls += run.calls;
        self.clauses.extend(run.clauses.iter().cloned());
        if run.is_equivalent {
            self.equivalent += 1;
        } else {
            self.schedules += 1;
        }
    }

    fn add(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.equivalent += other.equivalent;
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

fn played() -> Vec<PlayedHistory> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let runner = Runner::new();
    let histories = HISTORIES.iter().chain(&[History::AtTheLimit]);
    histories.map(|it| runner.play(*it, folder)).collect()
}

fn find(histories: &[PlayedHistory], history: History) -> &PlayedHistory {
    let found = histories.iter().find(|played| played.history() == history);
    found.expect("it was played")
}

/// Processes a list on two threads, each with its own runner.
fn on_two_threads<T: Sync, R: Send>(
    list: &[T],
    work: impl Fn(&mut Runner, &T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut runner = Runner::new();
                while let Some(item) = list.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = work(&mut runner, item);
                    lock(&done).push(result);
                }
            });
        }
    });
    done.into_inner().unwrap()
}

/// Describes the violation of a schedule, if there is one.
fn violation_of(case: &impl Debug, run: &Run) -> Option<String> {
    let violation = run.violation.as_ref()?;
    Some(format!(
        "{case:?}\n  {:?}\n  {}: {}",
        run.steps, violation.rule, violation.what
    ))
}

/// Runs every schedule of a case up to the first violation.
fn exhaust(
    runner: &mut Runner,
    histories: &[PlayedHistory],
    case: Case<2>,
    knocked_out: Option<&Clause>,
) -> (Tally, Option<String>) {
    let (mut chooser, mut tally) = (Exhaustive::default(), Tally::default());
    loop {
        let history = find(histories, case.history);
        let run = runner.run(history, &case.operations, &mut chooser, knocked_out);
        tally.count(&run);
        if let Some(broken) = violation_of(&case, &run) {
            return (tally, Some(broken));
        }
        // The clause may only be in the calls of a later schedule.
        if !chooser.advance() {
            return (tally, None);
        }
    }
}

#[test]
fn every_pair_in_every_order_keeps_the_rules() {
    let (histories, cases) = (played(), cases());

    let results = on_two_threads(&cases, |runner, case| {
        exhaust(runner, &histories, *case, None)
    });

    let mut tally = Tally::default();
    let mut broken = Vec::new();
    for (one, violation) in results {
        tally.add(one);
        broken.extend(violation);
    }
    println!(
        "{} pairs, {} schedules ({} equivalent ones skipped), {} calls to a table",
        cases.len(),
        tally.schedules,
        tally.equivalent,
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
    let histories = played();
    let list: Vec<u64> = (0..count as u64)
        .map(|at| seed.wrapping_add(at << 32))
        .collect();

    let broken = on_two_threads(&list, |runner, seed| {
        let mut random = SeededRandom::new(*seed);
        let history = HISTORIES[random.index(HISTORIES.len())];
        let operations: [Operation; 3] = drawn(history, &mut random);
        let case = Case {
            history,
            operations,
        };
        let run = runner.run(find(&histories, history), &operations, &mut random, None);
        violation_of(&case, &run)
    });

    let broken: Vec<String> = broken.into_iter().flatten().collect();
    assert!(
        broken.is_empty(),
        "CURFEW_SEED={seed}\n{}",
        broken.join("\n")
    );
}

/// Returns every clause of every condition of the operations.
fn clauses_of(
    runner: &mut Runner,
    histories: &[PlayedHistory],
    cases: &[Case<2>],
) -> BTreeSet<Clause> {
    let mut found = BTreeSet::new();
    for case in cases {
        // Each operation makes its writes in every schedule.
        let history = find(histories, case.history);
        let run = runner.run(history, &case.operations, &mut Exhaustive::default(), None);
        found.extend(run.clauses);
    }
    found
}

/// A clause, and the case that shows its need.
struct Knockout {
    clause: Clause,
    schedules: usize,
    by: Option<String>,
    rule: String,
}

/// Knocks a clause out until a rule is broken.
fn knock_out(
    runner: &mut Runner,
    histories: &[PlayedHistory],
    cases: &[Case<2>],
    clause: &Clause,
) -> Knockout {
    let mut shown = Knockout {
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
    let scripted = after_two_ends_by_one(clause)
        .or_else(|| later(clause))
        .or_else(|| two_acts(clause))
        .or_else(|| swept_over(clause))
        .or_else(|| reported_after_a_stop(clause));
    if let Some((case, turns)) = scripted {
        let history = find(histories, case.history);
        let run = runner.run(
            history,
            &case.operations,
            &mut Scripted(turns),
            Some(clause),
        );
        let by = format!("{:?} {:?}", case.history, case.operations);
        if is_shown(by, violation_of(&case, &run), 1) {
            return shown;
        }
    }
    if clause.operation == CONTACT && clause.text.contains("notified_at") {
        let case = Case {
            history: History::OneSignOut,
            operations: [Operation::Touch(1); 2],
        };
        let (tally, broken) = exhaust(runner, histories, case, Some(clause));
        if is_shown(format!("{case:?}"), broken, tally.schedules) {
            return shown;
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
        let (tally, broken) = exhaust(runner, histories, *case, Some(clause));
        let by = format!("{:?} {:?}", case.history, case.operations);
        if is_shown(by, broken, tally.schedules) {
            return shown;
        }
    }
    shown
}

/// Returns whether the pair is likely to need the clause. It is run first, only to save
/// time.
fn is_likely(pair: [Operation; 2], clause: &Clause) -> bool {
    if clause.operation == CONTACT {
        return matches!(pair,
            [Operation::Check(one) | Operation::SignInAgain(one), Operation::Check(other)]
                if one == other);
    }
    let is_rename = |it: Operation| matches!(it, Operation::Rename(..));
    if clause.text.contains("owner_name") {
        return pair.into_iter().any(is_rename);
    }
    let is_change = |it: Operation| matches!(it, Operation::ChangeAddress(_));
    if pair.into_iter().all(Operation::is_about_factors) || pair.into_iter().all(is_change) {
        return true;
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

/// Returns a script for a clause that two operations can not show: a row that the sweep
/// read as signed in is signed out by its own device, whose request was authenticated
/// before the sign-out of all.
fn swept_over(clause: &Clause) -> Option<(Script, VecDeque<Turn>)> {
    if clause.operation != "sweep" || !clause.text.contains("#state") {
        return None;
    }
    let script = Script {
        history: History::Fresh,
        operations: vec![
            // The newest device, which the sweep reaches first.
            Operation::SignOutThis(2),
            Operation::SignOutGlobal(0),
            Operation::Sweep(Announced::Last),
        ],
    };
    let turns = [
        Turn::ToItsWrite(0),
        Turn::ToItsEnd(1),
        Turn::ToItsWrite(2),
        Turn::ToItsEnd(0),
        Turn::ToItsEnd(2),
    ];
    Some((script, turns.into()))
}

/// Returns a script for the clause by which a mailed code reports a lost app once: the same
/// request came first, and its report was then stopped.
fn reported_after_a_stop(clause: &Clause) -> Option<(Script, VecDeque<Turn>)> {
    if !clause.text.starts_with("purpose") {
        return None;
    }
    let script = Script {
        history: History::WithApp,
        operations: vec![
            Operation::ReportLost(0),
            Operation::ReportLost(0),
            Operation::CompleteSignIn(0, 0),
        ],
    };
    let turns = [
        Turn::ToItsWrite(0),
        Turn::ToItsEnd(1),
        Turn::ToItsEnd(2),
        Turn::ToItsEnd(0),
    ];
    Some((script, turns.into()))
}

/// Returns a script for the clauses that keep a receipt entry. One sign-out can end two
/// sessions of a device: the second one replaces the first while every device is signed
/// out, and has ended when it begins. The contact of the first session has created the
/// entry, and the writes for the second one must not change it. The write of the clause
/// comes last.
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
        // The check of every token at the end makes the contact.
        CONTACT => {}
        "sweep" => operations.push(Operation::Sweep(Announced::Last)),
        "sign in again" => operations.push(Operation::SignInAgain(0)),
        _ => return None,
    }
    turns.extend((3..operations.len()).map(Turn::ToItsEnd));
    // The first session was kept once, so the two belong to different epochs.
    let history = History::OneSignOut;
    Some((
        Script {
            history,
            operations,
        },
        turns,
    ))
}

/// Returns a script for the sign-in that writes a receipt entry, which is one
/// transaction. Its token makes a replay harmless for ten minutes. The condition on the
/// session is for a later replay: by then the device may have signed in again. The
/// condition on the state is for a row that was read before the rest.
fn later(clause: &Clause) -> Option<(Script, VecDeque<Turn>)> {
    if clause.operation.starts_with("rename") {
        return Some(renamed_later(clause));
    }
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
    let turns = [
        Turn::ToItsReplayedEnd(0),
        Turn::ToItsEnd(1),
        Turn::Replay(0),
    ];
    Some((script, turns.into()))
}

/// Returns a script for the clauses that count the acts of a session: it acts twice at
/// once, on its first acts in this hour or with one left.
fn two_acts(clause: &Clause) -> Option<(Script, VecDeque<Turn>)> {
    if !clause.text.contains("acts") {
        return None;
    }
    let act = match clause.operation {
        "sign out one" => Operation::SignOutOne(0, Target::Device(2)),
        "sign out others" => Operation::SignOutOthers(0),
        "change password, keeping" => Operation::ChangePasswordKeeping(0),
        _ => return None,
    };
    let is_first = clause.text.contains("acts_hour");
    let script = Script {
        history: if is_first {
            History::Fresh
        } else {
            History::AtTheLimit
        },
        operations: vec![act, Operation::SignOutOne(0, Target::Device(1))],
    };
    let turns = [Turn::ToItsWrite(0), Turn::ToItsEnd(1), Turn::ToItsEnd(0)];
    Some((script, turns.into()))
}

/// Returns a script for the condition of a rename: its late replay must not undo a later
/// rename. The history of one sign-out gives the third device a name.
fn renamed_later(clause: &Clause) -> (Script, VecDeque<Turn>) {
    let by = if clause.operation == "rename itself" {
        2
    } else {
        0
    };
    let history = if clause.text.contains("not_exists") {
        History::Fresh
    } else {
        History::OneSignOut
    };
    let script = Script {
        history,
        operations: vec![Operation::Rename(by, 2), Operation::Rename(2 - by, 2)],
    };
    let turns = [
        Turn::ToItsReplayedEnd(0),
        Turn::ToItsEnd(1),
        Turn::Replay(0),
    ];
    (script, turns.into())
}

/// Returns a script in which an operation reads the row of its device, and before it
/// reads the account's the session ends otherwise and every device is signed out.
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
fn a_session_that_ended_otherwise_during_a_read_is_in_no_receipt_of_a_global_sign_out() {
    let (mut runner, histories) = (Runner::new(), played());
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
            let history = find(&histories, script.history);
            let run = runner.run(history, &script.operations, &mut Scripted(turns), None);
            assert_eq!(violation_of(&script, &run), None);
        }
    }
}

/// Operations after a history, for a script.
#[derive(Debug)]
struct Script {
    history: History,
    operations: Vec<Operation>,
}

#[test]
fn every_condition_that_is_knocked_out_breaks_a_rule() {
    let (histories, cases) = (played(), cases());
    // No race deletes a row: `every_condition_of_renaming_prevents_a_new_row` shows that
    // a rename needs one.
    let clauses: Vec<Clause> = clauses_of(&mut Runner::new(), &histories, &cases)
        .into_iter()
        .filter(|clause| clause.text != A_ROW)
        // Two recoveries of the pairs exclude each other by either of their conditions:
        // `every_condition_of_a_recovery_is_needed` takes them apart. No race tries a code
        // often, or one of another purpose: `every_condition_of_a_try_is_needed` does.
        .filter(|clause| clause.operation != "recover")
        // The same holds for two undos, and nobody else registers an address in a race:
        // `every_condition_on_addresses_is_needed` has these.
        .filter(|clause| clause.operation != "undo address")
        .filter(|clause| !clause.write.ends_with("Identities"))
        // Two confirmations of one app exclude each other by the account's list of factors, and
        // only a third one meets a list that has one: `every_condition_on_factors_is_needed`.
        .filter(|clause| clause.text != "begun_by = :session")
        // Its other conditions on the account are in `sign_in_others`. That on the row is for
        // a known device, whose session it replaces: for a new one, the epoch's is enough.
        .filter(|clause| clause.operation != ENDING_OTHERS || clause.text.starts_with("epoch"))
        // No race signs a device out without a verification: `verification` does.
        .filter(|clause| !clause.text.contains("unproven_acts"))
        // A verification itself has none on the session. That of the end of the token before
        // takes another verification after a sign-in, and is in `verification`.
        .filter(|clause| clause.operation != "verify" || clause.text != "session_id = :session")
        .collect();

    let mut shown = on_two_threads(&clauses, |runner, clause| {
        knock_out(runner, &histories, &cases, clause)
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
        "a clause without effect\n{table}"
    );
}

/// The clauses of the calls that were made.
type Met = Arc<Mutex<BTreeSet<Clause>>>;

/// Returns a client of the tables whose calls lack a clause, and the clauses of its calls.
fn weakened(
    engine: &Engine,
    knocked_out: Option<Clause>,
    operation: &'static str,
) -> (aws_sdk_dynamodb::Client, Met) {
    let (tables, met) = (engine.clone(), Met::default());
    let note = met.clone();
    let clients = wire::clients(move |call: Call| {
        if call.is_write() {
            lock(&note).extend(clauses::clauses(operation, &call));
        }
        let call = clauses::weakened(call, knocked_out.as_ref());
        CallResult::Answered(tables.answer(&call.operation, &call.body))
    });
    (clients.dynamodb(), met)
}

/// Returns a bundle whose calls lack a clause, and the clauses of its calls.
fn without(knocked_out: Option<Clause>, operation: &'static str) -> (Engine, Bundle, Met) {
    let engine = Engine::new();
    let (client, met) = weakened(&engine, knocked_out, operation);
    let clock = Clock::fixed("2026-11-20T12:00:00Z".parse().unwrap());
    (engine, Bundle::new(client, clock), met)
}

/// Registers one address twice. Returns whether the first password is still valid, and
/// the clauses of the calls.
async fn registered_twice(knocked_out: Option<Clause>) -> (bool, BTreeSet<Clause>) {
    let (_, bundle, met) = without(knocked_out, "register");
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
async fn every_condition_of_registering_protects_the_first_account() {
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

/// Enables an unknown account. Returns whether there is still no account, and the
/// clauses of the calls.
async fn enabled_unknown(knocked_out: Option<Clause>) -> (bool, BTreeSet<Clause>) {
    let (engine, bundle, met) = without(knocked_out, "enable");
    let unknown = AccountId::from_random([7; 16]);
    let _outcome = bundle.store.enable(unknown).await.unwrap();
    let clauses = lock(&met).clone();
    (engine.rows(ACCOUNTS).is_empty(), clauses)
}

#[tokio::test]
async fn every_condition_of_enabling_prevents_a_new_account() {
    let (is_unknown, clauses) = enabled_unknown(None).await;
    assert!(is_unknown);
    assert_eq!(clauses.len(), 1);
    for clause in clauses {
        assert!(!enabled_unknown(Some(clause.clone())).await.0, "{clause:?}");
    }
}

/// The condition that a device has a row.
const A_ROW: &str = "attribute_exists(device_id)";

/// Renames a device whose row is gone. Returns the number of rows.
async fn renamed_gone(knocked_out: Option<&str>) -> usize {
    let clause = knocked_out.map(|text| Clause {
        operation: "rename",
        write: "Update Devices".to_owned(),
        text: text.to_owned(),
    });
    let (engine, bundle, _) = without(clause, "rename");
    bundle.register(EMAIL, PASSWORD).await;
    let device = TestDevice::of(&bundle.log_in(EMAIL, PASSWORD, None).await);
    let mut rows = bundle
        .store
        .rows(device.account, &[device.id])
        .await
        .unwrap();
    let gone = Device {
        id: DeviceId::new(bundle.clock.now(), [7; 10]),
        ..rows.take_device(device.id).unwrap()
    };
    let renamed = bundle.store.rename(&gone, Some("TV")).await.unwrap();
    assert_eq!(renamed == WriteOutcome::Stale, knocked_out.is_none());
    engine.rows(DEVICES).len()
}

#[tokio::test]
async fn every_condition_of_renaming_prevents_a_new_row() {
    assert_eq!(Box::pin(renamed_gone(None)).await, 1);
    assert_eq!(Box::pin(renamed_gone(Some(A_ROW))).await, 2);
}

/// Makes 20 attempts, each write of which another caller makes as well who has read the same;
/// then gives back a charge that is gone. Returns how many were admitted, and how many rows
/// there are then.
async fn charged_twice(budget: Budget, knocked_out: Option<Clause>) -> (usize, usize) {
    let engine = Engine::new();
    let admitted = Arc::new(AtomicUsize::new(0));
    let (tables, count) = (engine.clone(), admitted.clone());
    let clients = wire::clients(move |call: Call| {
        let call = clauses::weakened(call, knocked_out.as_ref());
        let answers = [(); 2].map(|()| tables.answer(&call.operation, &call.body));
        let successes = answers.iter().filter(|answer| answer.is_success()).count();
        count.fetch_add(successes, Ordering::Relaxed);
        let [_, last] = answers;
        CallResult::Answered(last)
    });
    let clock = Clock::fixed("2026-11-20T12:00:00Z".parse().unwrap());
    let store = Bundle::new(clients.dynamodb(), clock.clone()).store;
    let key = CounterKey::new("test", &[]);
    for _ in 0..20 {
        let _charge = store.charge(key, &budget, clock.now()).await;
    }
    let admitted = admitted.load(Ordering::Relaxed);
    let gone = Charged::nothing(CounterKey::new("gone", &[]));
    let _outcome = store.give_back(&gone).await;
    (admitted, engine.rows(ATTEMPTS).len())
}

#[tokio::test]
async fn every_condition_of_a_charge_keeps_the_budget_against_a_caller_who_read_the_same() {
    let minute = SignedDuration::from_mins(1);
    let in_a_row = "(attribute_not_exists(in_a_row) OR in_a_row < :most)";
    for (budget, text) in [
        (
            Budget::new(3, minute),
            "(attribute_not_exists(tat) OR tat <= :now)",
        ),
        (Budget::new(4, minute), "tat <= :latest"),
        (Budget::new(10, minute).with_in_a_row(4, None), in_a_row),
    ] {
        let most = budget.in_a_row.map_or(budget.burst, |limit| limit.most) as usize;
        assert_eq!(charged_twice(budget, None).await, (most, 1));
        let knocked_out = Clause {
            operation: "charge",
            write: format!("Update {ATTEMPTS}"),
            text: text.to_owned(),
        };
        let (admitted, _) = charged_twice(budget, Some(knocked_out)).await;
        assert!(admitted > most, "{text}");
    }
}

/// Recovers an account whose row changes between the read and the write. Returns the row
/// afterwards, and the clauses of the calls.
async fn recovered_meanwhile(
    changes: &Value,
    knocked_out: Option<Clause>,
) -> (Value, BTreeSet<Clause>) {
    let (engine, met) = (Engine::new(), Arc::<Mutex<BTreeSet<Clause>>>::default());
    let pending: Arc<Mutex<Option<Value>>> = Arc::default();
    let (tables, note, change) = (engine.clone(), met.clone(), pending.clone());
    let clients = wire::clients(move |call: Call| {
        let is_write = call.operation == "TransactWriteItems";
        if let Some(changes) = is_write.then(|| lock(&change).take()).flatten() {
            let row = tables.rows(ACCOUNTS).pop().unwrap();
            let mut row = serde_json::to_value(row).unwrap();
            let row = row.as_object_mut().unwrap();
            row.extend(changes.as_object().unwrap().clone());
            tables.put(ACCOUNTS, &json!(row));
            lock(&note).extend(clauses::clauses("recover", &call));
        }
        let call = clauses::weakened(call, knocked_out.as_ref());
        CallResult::Answered(tables.answer(&call.operation, &call.body))
    });
    let bundle = Bundle::new(clients.dynamodb(), noon());
    let (store, now) = (&bundle.store, bundle.clock.now());
    register(store, EMAIL, PASSWORD, Some(now), now)
        .await
        .unwrap();
    store.put_challenge(&recovery(0).challenge).await.unwrap();
    *lock(&pending) = Some(changes.clone());
    let _either = bundle.recover(&recovery(0), &new_password(0)).await;
    let clauses = lock(&met).clone();
    (
        serde_json::to_value(engine.rows(ACCOUNTS).pop().unwrap()).unwrap(),
        clauses,
    )
}

#[tokio::test]
async fn every_condition_of_a_recovery_is_needed() {
    let jump = Epoch::FIRST.after_jump().0;
    let later = recovery(0).challenge.asked_at.as_millisecond() + 1;
    // A sign-in that jumps to the same epoch keeps no session of it; another recovery, which
    // began before an epoch that this one has not read, keeps its password.
    let jumped = json!({ "epoch": { "N": jump.to_string() } });
    let recovered = json!({
        "epoch": { "N": (jump - 1).to_string() },
        "recovered_at": { "N": later.to_string() },
        "password_hash": { "S": "theirs" },
    });
    // A change of the address ends it: who reads the mail of the one before is not the owner
    // of this one.
    let moved = json!({ "email": { "S": "new@example.com" }, "password_hash": { "S": "theirs" } });
    for (changes, condition, attribute) in [
        (jumped, "epoch < :next", "epoch"),
        (moved, "email = :email", "password_hash"),
        (
            recovered,
            "(attribute_not_exists(recovered_at)",
            "password_hash",
        ),
    ] {
        let (row, clauses) = recovered_meanwhile(&changes, None).await;
        let is_kept = attribute == "password_hash";
        assert_eq!(row[attribute] == changes[attribute], is_kept, "{row}");
        let its = clauses
            .iter()
            .filter(|clause| clause.write == "Update Accounts");
        let its: Vec<&Clause> = its.collect();
        assert_eq!(its.len(), 3, "{clauses:?}");
        let clause = its.iter().find(|clause| clause.text.starts_with(condition));
        let clause = (*clause.unwrap()).clone();
        let (row, _) = recovered_meanwhile(&changes, Some(clause)).await;
        assert_eq!(
            row[attribute] == changes[attribute],
            !is_kept,
            "{condition}: {row}"
        );
    }
}

/// Tries a code for two purposes until no try is admitted. Returns how many were for each,
/// and the clauses of the calls.
async fn tried(knocked_out: Option<Clause>) -> ([usize; 2], BTreeSet<Clause>) {
    let (_, bundle, met) = without(knocked_out, "try");
    let asked = recovery(0).challenge;
    bundle.store.put_challenge(&asked).await.unwrap();
    let admitted = async |purpose| {
        let mut count = 0;
        for _ in 0..=TRIES {
            let tried = bundle.store.try_challenge(&asked.id, purpose).await;
            count += usize::from(tried.unwrap().is_some());
        }
        count
    };
    let counts = [
        admitted(Purpose::Confirmation).await,
        admitted(Purpose::Recovery).await,
    ];
    let clauses = lock(&met).clone();
    (counts, clauses)
}

#[tokio::test]
async fn every_condition_of_a_try_is_needed() {
    let most = usize::try_from(TRIES).unwrap();
    let (counts, clauses) = tried(None).await;
    assert_eq!(counts, [0, most]);
    assert_eq!(clauses.len(), 2, "{clauses:?}");
    for clause in clauses {
        let (counts, _) = tried(Some(clause.clone())).await;
        assert!(counts[0] > 0 || counts[1] > most, "{clause:?}");
    }
}

/// Confirms one address twice, with the owner that both callers read. Returns whether the
/// first has the address, and the clauses of the calls.
async fn confirmed_twice(
    is_claimed: bool,
    knocked_out: Option<Clause>,
) -> (bool, BTreeSet<Clause>) {
    let (engine, bundle, _) = without(None, "register");
    let (store, now) = (&bundle.store, bundle.clock.now());
    let owner = register(store, EMAIL, PASSWORD, None, now).await.unwrap();
    let email = EmailAddress::parse(EMAIL).unwrap();
    let old = store.rows(owner, &[]).await.unwrap().account.unwrap();
    if !is_claimed {
        engine.delete(IDENTITIES, &json!({ "email": { "S": EMAIL } }));
    }
    let (client, met) = weakened(&engine, knocked_out, "confirm");
    let store = Store::new(client, tables::names());
    let mut outcomes = Vec::new();
    let ids = [1, 2].map(|byte| AccountId::from_random([byte; 16]));
    for (n, id) in ids.into_iter().enumerate() {
        let challenge = recovery(n).challenge;
        store.put_challenge(&challenge).await.unwrap();
        let new = Account { id, ..old.clone() };
        let claimed = is_claimed.then_some(owner);
        outcomes.push(store.confirm(&new, &challenge, claimed).await.unwrap());
    }
    assert_eq!(outcomes[0], WriteOutcome::Done);
    let has_it = store.account_by_email(&email).await.unwrap();
    let clauses = lock(&met).clone();
    (has_it == Some(ids[0]), clauses)
}

/// Claims an address that the owner has confirmed since the claim read the account. Returns
/// whether the owner still has it, and the clauses of the claim's calls.
async fn claimed_after_its_confirmation(knocked_out: Option<Clause>) -> (bool, BTreeSet<Clause>) {
    let (engine, bundle, _) = without(None, "register");
    let (store, now) = (&bundle.store, bundle.clock.now());
    let owner = register(store, EMAIL, PASSWORD, None, now).await.unwrap();
    let email = EmailAddress::parse(EMAIL).unwrap();
    let read = store.rows(owner, &[]).await.unwrap().account.unwrap();
    let confirmed = store.confirm_by_pass(owner, &email, now).await.unwrap();
    assert_eq!(confirmed, WriteOutcome::Done);
    let (client, met) = weakened(&engine, knocked_out, "confirm");
    let weak = Store::new(client, tables::names());
    let challenge = recovery(1).challenge;
    store.put_challenge(&challenge).await.unwrap();
    let id = AccountId::from_random([1; 16]);
    let new = Account { id, ..read };
    weak.confirm(&new, &challenge, Some(owner)).await.unwrap();
    let has_it = store.account_by_email(&email).await.unwrap();
    let account = store.rows(owner, &[]).await.unwrap().account.unwrap();
    let clauses = lock(&met).clone();
    (has_it == Some(owner) && account.email == EMAIL, clauses)
}

#[tokio::test]
async fn every_condition_of_a_confirmation_protects_who_was_first() {
    let (is_kept, mut unshown) = Box::pin(claimed_after_its_confirmation(None)).await;
    assert!(is_kept);
    assert_eq!(unshown.len(), 2, "{unshown:?}");
    for is_claimed in [false, true] {
        let (is_kept, clauses) = Box::pin(confirmed_twice(is_claimed, None)).await;
        assert!(is_kept, "{is_claimed}");
        assert_eq!(clauses.len(), 1 + usize::from(is_claimed), "{clauses:?}");
        for clause in clauses {
            let knocked_out = Some(clause.clone());
            let (is_kept, _) = Box::pin(confirmed_twice(is_claimed, knocked_out.clone())).await;
            let (is_first, _) = Box::pin(claimed_after_its_confirmation(knocked_out)).await;
            assert!(!is_kept || !is_first, "{clause:?}");
            unshown.remove(&clause);
        }
    }
    assert!(unshown.is_empty(), "{unshown:?}");
}
