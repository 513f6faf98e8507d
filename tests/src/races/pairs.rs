//! The pairs of operations that race.

use std::collections::{BTreeMap, BTreeSet};

use super::operations::{Announced, Operation, Target};
use super::schedule::History;
use super::second_steps::ON_FIRST_DEVICE;
use crate::random::SeededRandom;

/// The number of devices of the account.
const DEVICES: usize = 3;

/// The number of the first device with the token before its verification.
const TOKEN_BEFORE: usize = 3;

/// Returns every pair of operations that is worth a race after the history, with every
/// assignment of up to three devices. Of pairs that differ only in the numbers of equal
/// devices one is returned.
#[must_use]
pub fn pairs(history: History) -> Vec<[Operation; 2]> {
    let all = assignments(history);
    let mut seen = BTreeSet::new();
    let mut pairs = Vec::new();
    for (at, first) in all.iter().enumerate() {
        for second in &all[at..] {
            let pair = [*first, *second];
            if is_worth_it(history, pair) && seen.insert(canonical(history, pair)) {
                pairs.push(pair);
            }
        }
    }
    pairs
}

/// Draws operations at random.
pub fn drawn<const N: usize>(history: History, random: &mut SeededRandom) -> [Operation; N] {
    let all = assignments(history);
    // Draws a kind of operation first, so that kinds with more assignments are not
    // drawn more often.
    let mut kinds: BTreeMap<&str, Vec<Operation>> = BTreeMap::new();
    for operation in all {
        kinds.entry(operation.kind()).or_default().push(operation);
    }
    let kinds: Vec<Vec<Operation>> = kinds.into_values().collect();
    std::array::from_fn(|_| {
        let kind = &kinds[random.index(kinds.len())];
        kind[random.index(kind.len())]
    })
}

/// Returns every operation with every assignment of devices.
fn assignments(history: History) -> Vec<Operation> {
    match history {
        History::Verified => return of_verified(),
        History::WithApp => return of_app(),
        History::AppLost => return of_lost_app(),
        _ => {}
    }
    let mut all = vec![
        Operation::SignIn,
        Operation::SignInWithRehash,
        Operation::SignInFirst,
        Operation::SignInEndingOthers,
        Operation::Disable,
        Operation::Recover,
        Operation::Sweep(Announced::Last),
    ];
    if history == History::TwoSignOuts {
        all.push(Operation::Sweep(Announced::First));
    }
    if matches!(history, History::Fresh | History::AddressChanged) {
        all.push(Operation::UndoAddress);
        all.extend((0..DEVICES).map(Operation::ChangeAddress));
    }
    if history == History::Fresh {
        let steps = [(0, 0), (0, 1), (1, 0)];
        all.extend(steps.map(|(challenge, code)| Operation::CompleteSignIn(challenge, code)));
    }
    for by in 0..DEVICES {
        all.push(Operation::SignInAgain(by));
        all.push(Operation::Check(by));
        if is_ended(history, by) {
            continue;
        }
        all.extend([
            Operation::SignOutThis(by),
            Operation::SignOutOthers(by),
            Operation::SignOutGlobal(by),
            Operation::ChangePasswordKeeping(by),
            Operation::ChangePassword(by),
            Operation::Touch(by),
            Operation::Verify(by),
            Operation::SignOutOne(by, Target::Newest),
        ]);
        if history == History::Fresh {
            all.extend([
                Operation::ConfirmApp(by),
                Operation::TurnOffCodes(by),
                Operation::VerifyByMail(by),
            ]);
        }
        all.extend((0..DEVICES).map(|of| Operation::SignOutOne(by, Target::Device(of))));
        all.extend((0..DEVICES).map(|of| Operation::Rename(by, of)));
    }
    all.sort_unstable();
    all
}

/// The operations that the first device makes with both tokens, and those that end its session.
fn of_verified() -> Vec<Operation> {
    let mut all = vec![
        Operation::SignInAgain(0),
        Operation::SignOutOne(1, Target::Device(0)),
        Operation::SignOutOthers(1),
        Operation::ChangePassword(1),
        Operation::Recover,
    ];
    for by in [0, TOKEN_BEFORE] {
        all.extend([
            Operation::Touch(by),
            Operation::Verify(by),
            Operation::SignOutThis(by),
        ]);
    }
    all.sort_unstable();
    all
}

/// The operations on the factors of an account that has an app, and those that end them.
fn of_app() -> Vec<Operation> {
    let mut all = vec![
        Operation::SignIn,
        Operation::Recover,
        Operation::CompleteSignIn(0, 0),
        Operation::CompleteSignIn(ON_FIRST_DEVICE, 1),
        Operation::VerifyByCode(0, 0),
        Operation::VerifyByCode(0, 1),
        Operation::VerifyByCode(1, 0),
        Operation::ConfirmApp(1),
        Operation::RemoveApp(0),
        Operation::RemoveApp(1),
        Operation::MakeCodes(0),
        Operation::MakeCodes(1),
        Operation::ReportLost(0),
        Operation::ReportLost(1),
    ];
    all.extend(ends_by_second());
    all.sort_unstable();
    all
}

/// The operations that remove a lost app or stop that, and the sign-outs that end their sessions.
fn of_lost_app() -> Vec<Operation> {
    let mut all = vec![
        Operation::SignIn,
        Operation::Recover,
        Operation::CompleteSignIn(0, 0),
        Operation::VerifyByCode(0, 0),
        Operation::VerifyByCode(0, 1),
        Operation::MakeCodes(0),
        Operation::ConfirmApp(1),
        Operation::RemoveApp(0),
        Operation::ReportLost(0),
    ];
    all.extend(ends_by_second());
    all.sort_unstable();
    all
}

/// The sign-outs that end the first device's session, by itself or by the second device.
fn ends_by_second() -> [Operation; 4] {
    [
        Operation::SignOutThis(0),
        Operation::SignOutOne(1, Target::Device(0)),
        Operation::SignOutGlobal(1),
        Operation::ChangePassword(1),
    ]
}

/// Returns whether the history ended the device's session.
fn is_ended(history: History, member: usize) -> bool {
    match history {
        History::OneSignOut => member == 1,
        History::TwoSignOuts => member != 2,
        _ => false,
    }
}

fn is_worth_it(history: History, pair: [Operation; 2]) -> bool {
    if history == History::Verified {
        // The first call with the new token against everything; another verification also against
        // a sign-out, of which that call is a part, and against one with the token before.
        let others = [Operation::Verify(TOKEN_BEFORE), Operation::SignOutThis(0)];
        return pair.contains(&Operation::Touch(0))
            || pair.contains(&Operation::Verify(0)) && others.iter().any(|it| pair.contains(it));
    }
    if matches!(history, History::WithApp | History::AppLost) {
        let [one, other] = pair;
        return is_worth_it_with_app(history, one, other)
            || is_worth_it_with_app(history, other, one);
    }
    let newest = |operation| matches!(operation, Operation::SignOutOne(_, Target::Newest));
    let rehash = |operation| operation == Operation::SignInWithRehash;
    let sweeps = |operation| matches!(operation, Operation::Sweep(_));
    // Only a first sign-in makes a newest device.
    let has_newest = !pair.into_iter().any(newest)
        || pair
            .into_iter()
            .any(|it| it.is_sign_in_without_key() || it == Operation::SignInFirst);
    // A rehash adds only a write of the account's row to a sign-in.
    let adds = !pair.into_iter().any(rehash)
        || history == History::Fresh
            && pair.into_iter().any(|other| {
                newest(other)
                    || other.is_change_of_password()
                    || matches!(other, Operation::SignOutGlobal(_))
            });
    if pair.into_iter().any(Operation::is_about_addresses) {
        let undoes = pair.contains(&Operation::UndoAddress);
        if pair.into_iter().all(Operation::is_about_addresses) && undoes {
            return true;
        }
        // Without a change there is nothing to undo. With one, the next is held.
        let [one, other] = pair;
        return undoes == (history == History::AddressChanged)
            && (is_worth_it_to_address(one, other) || is_worth_it_to_address(other, one));
    }
    if pair.into_iter().any(Operation::is_about_factors) {
        let [one, other] = pair;
        return is_worth_it_to_factors(one, other) || is_worth_it_to_factors(other, one);
    }
    let verifies = |it| matches!(it, Operation::Verify(_) | Operation::VerifyByMail(_));
    if pair.into_iter().any(verifies) {
        let [one, other] = pair;
        return is_worth_it_to_verify(history, one, other)
            || is_worth_it_to_verify(history, other, one);
    }
    // A rename changes a name that no other operation writes but a sign-in of its device
    // and another rename.
    let renames = |it| matches!(it, Operation::Rename(..));
    if pair.into_iter().any(renames) {
        let [one, other] = pair;
        return is_worth_it_to_rename(history, one, other)
            || is_worth_it_to_rename(history, other, one);
    }
    // The history matters only to operations that end or mark many sessions, and a
    // second sign-out of many only to the sweep. Changing the password ends sessions in
    // the same way.
    let is_new = match history {
        History::Fresh => true,
        History::OneSignOut => {
            // A contact of an ended session against another contact and a new session.
            let is_of_a_part = pair.into_iter().all(Operation::is_about_parts)
                && pair.into_iter().any(|of| {
                    matches!(of, Operation::Check(by) | Operation::SignInAgain(by)
                        if is_ended(history, by))
                });
            is_of_a_part
                || pair.into_iter().any(|of| sweeps(of) || ends_many(of))
                    && !pair.into_iter().any(Operation::is_change_of_password)
        }
        History::TwoSignOuts => pair.into_iter().any(sweeps),
        // For scripts, for the undo alone, and above.
        _ => false,
    };
    has_newest && adds && is_new
}

/// Returns whether the other operation ends what changes the address or is ended by its undo, or
/// reads the address. Of the devices one is enough for an undo, which treats all alike.
fn is_worth_it_to_address(change: Operation, other: Operation) -> bool {
    let is_of_all = ends_many(other)
        || other.is_change_of_password()
        || matches!(
            other,
            Operation::Recover | Operation::SignIn | Operation::SignInEndingOthers
        );
    match change {
        Operation::ChangeAddress(by) => {
            let is_change = matches!(other, Operation::ChangeAddress(_));
            is_of_all || is_change || is_of_session(other, by)
        }
        Operation::UndoAddress => {
            let is_of_first = other.caller().is_none_or(|by| by == 0);
            let is_of_one = matches!(
                other,
                Operation::SignInAgain(0)
                    | Operation::SignOutThis(0)
                    | Operation::Verify(0)
                    | Operation::UndoAddress
            );
            is_of_one || is_of_all && is_of_first
        }
        _ => false,
    }
}

/// Returns whether the other operation ends the session that confirms an app, or the sign-in that
/// a second step completes, or uses the same factor.
fn is_worth_it_to_factors(of_factor: Operation, other: Operation) -> bool {
    let ends_all = ends_many(other)
        || other.is_change_of_password()
        || matches!(other, Operation::Recover | Operation::SignInEndingOthers);
    match of_factor {
        Operation::CompleteSignIn(0, 0) => {
            let is_of_device = matches!(
                other,
                Operation::CompleteSignIn(..) | Operation::SignOutOne(_, Target::Newest)
            );
            ends_all || is_of_device
        }
        Operation::ConfirmApp(by) => {
            let is_of_factor = matches!(other, Operation::ConfirmApp(_) | Operation::SignIn);
            ends_all || is_of_factor || is_of_session(other, by)
        }
        Operation::TurnOffCodes(by) => ends_all || is_of_session(other, by),
        _ => false,
    }
}

/// Returns whether the operation ends the session of this device alone, or replaces its token.
fn is_of_session(operation: Operation, by: usize) -> bool {
    match operation {
        Operation::SignOutOne(_, Target::Device(of)) => of == by,
        Operation::SignInAgain(device)
        | Operation::SignOutThis(device)
        | Operation::Verify(device) => device == by,
        _ => false,
    }
}

/// Returns whether the other operation ends the session that changes the factors of an account
/// with an app, or the sign-in, or changes or uses the same factor.
fn is_worth_it_with_app(history: History, of_factor: Operation, other: Operation) -> bool {
    let is_new_session =
        |it: Operation| matches!(it, Operation::CompleteSignIn(step, _) if step == ON_FIRST_DEVICE);
    // A sign-out of one device changes nothing that these read.
    let needs_no_session = matches!(
        of_factor,
        Operation::CompleteSignIn(..)
            | Operation::ReportLost(_)
            | Operation::SignIn
            | Operation::Recover
    ) && !is_new_session(of_factor);
    let is_own = |it: Operation| it.caller().is_none_or(|by| by == 0);
    let removes = |it: Operation| {
        matches!(
            it,
            Operation::RemoveApp(0) | Operation::SignIn | Operation::Recover
        )
    };
    match other {
        _ if matches!(of_factor, Operation::ConfirmApp(_)) => false,
        Operation::ConfirmApp(_) => removes(of_factor),
        Operation::SignOutThis(_) | Operation::SignOutOne(..) => {
            !needs_no_session && of_factor.is_about_factors() && is_own(of_factor)
        }
        Operation::SignOutGlobal(_) | Operation::ChangePassword(_) => {
            of_factor.is_about_factors() && is_own(of_factor)
        }
        _ if history == History::AppLost => {
            of_factor.is_about_factors() && other.is_about_factors()
                || of_factor == Operation::SignIn
                || of_factor == Operation::Recover
        }
        // Neither shows a factor.
        Operation::SignIn | Operation::Recover => matches!(
            of_factor,
            Operation::RemoveApp(0) | Operation::ReportLost(0) | Operation::CompleteSignIn(0, 0)
        ),
        _ => of_factor.is_about_factors() && other.is_about_factors() && is_own(of_factor),
    }
}

/// Returns whether the other operation ends the session that is verified, or is made by it.
fn is_worth_it_to_verify(history: History, verification: Operation, other: Operation) -> bool {
    let by = match verification {
        Operation::Verify(by) => by,
        // A mailed code adds the challenge that it uses up.
        Operation::VerifyByMail(by) => {
            let is_of_it = is_of_session(other, by) || other == Operation::VerifyByMail(by);
            let ends_all = matches!(
                other,
                Operation::SignOutGlobal(_) | Operation::ChangePassword(_) | Operation::Recover
            );
            return history == History::Fresh && (is_of_it || ends_all);
        }
        _ => return false,
    };
    let is_of_this = is_of_session(other, by) || other == Operation::Touch(by);
    let ends_all = ends_many(other) || other.is_change_of_password();
    match history {
        History::Fresh => {
            let is_made_by_it = other.caller() == Some(by)
                && !matches!(other, Operation::Check(_) | Operation::Rename(..));
            is_of_this
                || ends_all
                || is_made_by_it
                || matches!(other, Operation::Recover | Operation::SignInEndingOthers)
        }
        History::OneSignOut => matches!(other, Operation::Sweep(_)),
        _ => false,
    }
}

/// Returns whether the other operation writes the name of the same device. The history of
/// one sign-out gives the second and the third device a name.
fn is_worth_it_to_rename(history: History, rename: Operation, other: Operation) -> bool {
    let Operation::Rename(_, of) = rename else {
        return false;
    };
    let is_of_target = match other {
        Operation::SignInAgain(device) | Operation::Rename(_, device) => device == of,
        _ => false,
    };
    match history {
        History::Fresh | History::OneSignOut => is_of_target,
        // The first device has no name, and its end is not swept.
        History::TwoSignOuts => other == Operation::SignInAgain(0) && of == 0,
        _ => false,
    }
}

fn ends_many(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::SignOutOthers(_) | Operation::SignOutGlobal(_) | Operation::Disable
    )
}

/// Returns the same pair with its devices numbered in their order. Devices are equal
/// only without a history.
fn canonical(history: History, pair: [Operation; 2]) -> [Operation; 2] {
    if history != History::Fresh {
        return pair;
    }
    let [first, second] = pair;
    let named = |pair: [Operation; 2]| {
        let mut names: Vec<usize> = Vec::new();
        pair.map(|operation| {
            renamed(operation, |member| {
                if let Some(at) = names.iter().position(|known| *known == member) {
                    return at;
                }
                names.push(member);
                names.len() - 1
            })
        })
    };
    named([first, second]).min(named([second, first]))
}

fn renamed(operation: Operation, mut name: impl FnMut(usize) -> usize) -> Operation {
    match operation {
        Operation::SignInAgain(by) => Operation::SignInAgain(name(by)),
        Operation::SignOutThis(by) => Operation::SignOutThis(name(by)),
        Operation::Rename(by, of) => {
            let by = name(by);
            Operation::Rename(by, name(of))
        }
        Operation::SignOutOne(by, Target::Device(of)) => {
            let by = name(by);
            Operation::SignOutOne(by, Target::Device(name(of)))
        }
        Operation::SignOutOne(by, Target::Newest) => {
            Operation::SignOutOne(name(by), Target::Newest)
        }
        Operation::SignOutOthers(by) => Operation::SignOutOthers(name(by)),
        Operation::SignOutGlobal(by) => Operation::SignOutGlobal(name(by)),
        Operation::ChangePasswordKeeping(by) => Operation::ChangePasswordKeeping(name(by)),
        Operation::ChangePassword(by) => Operation::ChangePassword(name(by)),
        Operation::ChangeAddress(by) => Operation::ChangeAddress(name(by)),
        Operation::ConfirmApp(by) => Operation::ConfirmApp(name(by)),
        Operation::TurnOffCodes(by) => Operation::TurnOffCodes(name(by)),
        Operation::VerifyByMail(by) => Operation::VerifyByMail(name(by)),
        Operation::Touch(by) => Operation::Touch(name(by)),
        Operation::Verify(by) => Operation::Verify(name(by)),
        Operation::Check(by) => Operation::Check(name(by)),
        other @ (Operation::SignIn
        | Operation::SignInWithRehash
        | Operation::SignInFirst
        | Operation::SignInEndingOthers
        | Operation::CompleteSignIn(..)
        | Operation::ReportLost(_)
        | Operation::RemoveApp(_)
        | Operation::MakeCodes(_)
        | Operation::VerifyByCode(..)
        | Operation::Disable
        | Operation::Recover
        | Operation::UndoAddress
        | Operation::Sweep(_)) => other,
    }
}
