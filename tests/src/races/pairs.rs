//! Who races whom.

use std::collections::{BTreeMap, BTreeSet};

use super::operations::{Announced, Operation, Target};
use super::schedule::History;
use crate::random::SeededRandom;

/// The devices of the household.
const MEMBERS: usize = 3;

/// Every pair of operations worth a race after the history, with every cast of
/// up to three devices: a pair that differs from another in the names of equal
/// devices alone is left out.
#[must_use]
pub fn pairs(history: History) -> Vec<[Operation; 2]> {
    let all = casts(history);
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

/// Some operations to race, drawn at random.
pub fn drawn<const N: usize>(history: History, random: &mut SeededRandom) -> [Operation; N] {
    let all = casts(history);
    // A kind of operation is drawn first, so that those with more casts do not
    // crowd out the others.
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

/// Every operation, by every device that can do it.
fn casts(history: History) -> Vec<Operation> {
    let mut all = vec![
        Operation::SignIn,
        Operation::SignInWithRehash,
        Operation::Disable,
        Operation::Sweep(Announced::Last),
    ];
    if history == History::TwoSignOuts {
        all.push(Operation::Sweep(Announced::First));
    }
    for by in 0..MEMBERS {
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
            Operation::SignOutOne(by, Target::Newest),
        ]);
        all.extend((0..MEMBERS).map(|of| Operation::SignOutOne(by, Target::Device(of))));
    }
    all.sort_unstable();
    all
}

/// Whether the history ended the device's session: it can only be told so.
fn is_ended(history: History, member: usize) -> bool {
    match history {
        History::Fresh => false,
        History::OneSignOut => member == 1,
        History::TwoSignOuts => member != 2,
    }
}

fn is_worth_it(history: History, pair: [Operation; 2]) -> bool {
    let newest = |operation| matches!(operation, Operation::SignOutOne(_, Target::Newest));
    let rehash = |operation| operation == Operation::SignInWithRehash;
    let sweeps = |operation| matches!(operation, Operation::Sweep(_));
    // Nobody but a first sign-in makes a newest device.
    let is_cast = !pair.into_iter().any(newest)
        || pair
            .into_iter()
            .any(|it| it == Operation::SignIn || rehash(it));
    // The account's row is all that a rehash adds to a sign-in.
    let adds = !pair.into_iter().any(rehash)
        || history == History::Fresh
            && pair.into_iter().any(|other| {
                newest(other)
                    || other.is_change_of_password()
                    || matches!(other, Operation::SignOutGlobal(_))
            });
    // What came before matters to what ends or marks many, and a second sign-out
    // of many to the sweep alone. A change of the password ends as they do.
    let is_new = match history {
        History::Fresh => true,
        History::OneSignOut => {
            // What a dead session's contact meets: another one, and a new session.
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
    };
    is_cast && adds && is_new
}

fn ends_many(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::SignOutOthers(_) | Operation::SignOutGlobal(_) | Operation::Disable
    )
}

/// The same pair with the devices named in the order in which they come. They
/// are equal only when nothing has happened to them.
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
        Operation::Touch(by) => Operation::Touch(name(by)),
        Operation::Check(by) => Operation::Check(name(by)),
        other @ (Operation::SignIn
        | Operation::SignInWithRehash
        | Operation::Disable
        | Operation::Sweep(_)) => other,
    }
}
