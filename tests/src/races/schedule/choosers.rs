//! The ways of choosing the next step.

use std::collections::VecDeque;

use super::Step;
use crate::random::SeededRandom;

/// Decides the next step.
pub trait Chooser {
    /// Returns the index of one of the steps.
    fn choose(&mut self, steps: &[Step]) -> usize;
    /// Returns whether it enumerates all schedules. Then of the schedules that differ
    /// only in the order of independent neighbors one is run, and a write only arrives
    /// again as a retry of the SDK.
    fn is_exhaustive(&self) -> bool;
}

/// Enumerates every schedule, one after the other.
#[derive(Debug, Default)]
pub struct Exhaustive {
    path: Vec<(usize, usize)>,
    depth: usize,
}

impl Exhaustive {
    /// Moves to the next schedule, and returns whether there is one.
    pub fn advance(&mut self) -> bool {
        self.depth = 0;
        while let Some((taken, of)) = self.path.pop() {
            if taken + 1 < of {
                self.path.push((taken + 1, of));
                return true;
            }
        }
        false
    }
}

impl Chooser for Exhaustive {
    fn choose(&mut self, steps: &[Step]) -> usize {
        if self.depth == self.path.len() {
            self.path.push((0, steps.len()));
        }
        let (taken, of) = self.path[self.depth];
        assert_eq!(of, steps.len(), "the same choices lead to the same steps");
        self.depth += 1;
        taken
    }

    fn is_exhaustive(&self) -> bool {
        true
    }
}

/// Follows a script, without faults.
#[derive(Debug, Clone)]
pub struct Scripted(pub VecDeque<Turn>);

/// A part of a script: an operation, and the point up to which it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Up to the read of one row of its first batch.
    ToOneRow(usize, usize),
    /// Up to its write.
    ToItsWrite(usize),
    /// Up to its end.
    ToItsEnd(usize),
    /// Up to its end; its write will arrive again later.
    ToItsReplayedEnd(usize),
    /// The write arrives again.
    Replay(usize),
}

impl Chooser for Scripted {
    fn choose(&mut self, steps: &[Step]) -> usize {
        loop {
            let turn = self.0.front().copied().expect("a turn for every step");
            let found = steps.iter().position(|step| match turn {
                Turn::ToOneRow(actor, row) => {
                    *step == Step::Begin(actor) || *step == Step::Read(actor, row)
                }
                Turn::ToItsWrite(actor) => step.actor() == actor && step.is_read(),
                Turn::ToItsEnd(actor) => {
                    step.actor() == actor && (step.is_read() || matches!(step, Step::Write(_)))
                }
                Turn::ToItsReplayedEnd(actor) => {
                    let is_echoed = matches!(step, Step::WriteThenReplay(_));
                    step.actor() == actor && (step.is_read() || is_echoed)
                }
                Turn::Replay(actor) => *step == Step::Replay(actor),
            });
            match found {
                Some(found) => return found,
                None => self.0.pop_front(),
            };
        }
    }

    fn is_exhaustive(&self) -> bool {
        false
    }
}

impl Chooser for SeededRandom {
    fn choose(&mut self, steps: &[Step]) -> usize {
        self.index(steps.len())
    }

    fn is_exhaustive(&self) -> bool {
        false
    }
}
