//! Solves a game by backward induction.
//!
//! Who is to move plays one move; then the other plays as many as they like. A player wins
//! where some move leads to positions that are all won, whatever the other replies: a least
//! fixed point. A position is safe if nothing that the other does, however long it takes,
//! takes it away: a greatest one.

use std::collections::HashMap;

use super::moves::{Moved, Turn, World};
use super::rules::Rules;
use super::state::{Player, State};

/// Every position that can be reached, with its moves.
pub struct Game {
    pub states: Vec<State>,
    index: HashMap<State, usize>,
    moves: [Vec<Vec<(&'static str, usize)>>; 2],
    /// The position after a wait from each.
    pub steps: Vec<usize>,
    /// The positions before each by a move of each player, and by waiting.
    before: [Vec<Vec<usize>>; 2],
    before_wait: Vec<Vec<usize>>,
}

/// A position that the thief reaches alone, with the position and the move before it.
#[derive(Clone, Copy)]
pub struct Reached {
    pub at: usize,
    pub before: Option<(usize, &'static str)>,
}

/// How many waits a player needs to win from each position; `None` if they can't.
pub type Won = Vec<Option<u32>>;

impl Game {
    /// Finds every position that can be reached from the start.
    pub fn new(world: World, rules: Rules<'_>, start: State) -> Self {
        let mut game = Self {
            states: Vec::new(),
            index: HashMap::new(),
            moves: [Vec::new(), Vec::new()],
            steps: Vec::new(),
            before: [Vec::new(), Vec::new()],
            before_wait: Vec::new(),
        };
        game.add(start.normal());
        let mut next = 0;
        while let Some(state) = game.states.get(next).copied() {
            for player in [Player::Owner, Player::Thief] {
                let turn = Turn {
                    world,
                    rules,
                    player,
                    state,
                };
                let moves = turn.moves().into_iter();
                let moves = moves
                    .map(|(name, to): Moved| (name, game.add(to)))
                    .collect();
                game.moves[player as usize].push(moves);
            }
            let later = game.add(state.later());
            game.steps.push(later);
            next += 1;
        }
        game.link();
        game
    }

    /// Writes down the positions before each.
    fn link(&mut self) {
        let count = self.states.len();
        self.before = [vec![Vec::new(); count], vec![Vec::new(); count]];
        self.before_wait = vec![Vec::new(); count];
        for at in 0..count {
            for player in 0..2 {
                for (_, to) in &self.moves[player][at] {
                    self.before[player][*to].push(at);
                }
            }
            self.before_wait[self.steps[at]].push(at);
        }
    }

    fn add(&mut self, state: State) -> usize {
        let next = self.states.len();
        *self.index.entry(state).or_insert_with(|| {
            self.states.push(state);
            next
        })
    }

    pub fn moves(&self, player: Player, at: usize) -> &[(&'static str, usize)] {
        &self.moves[player as usize][at]
    }

    /// Returns for each position whether a player can reach a marked one, with or without
    /// waiting.
    fn can_reach(&self, player: Player, may_wait: bool, mut marked: Vec<bool>) -> Vec<bool> {
        let mut open: Vec<usize> = (0..marked.len()).filter(|at| marked[*at]).collect();
        while let Some(at) = open.pop() {
            let waits = may_wait.then_some(&self.before_wait[at]);
            let before = self.before[player as usize][at].iter();
            for from in before.chain(waits.into_iter().flatten()) {
                if !std::mem::replace(&mut marked[*from], true) {
                    open.push(*from);
                }
            }
        }
        marked
    }

    /// Returns whether each position is a player's for good.
    fn safe(&self, player: Player, is_in_control: impl Fn(&State) -> bool) -> Vec<bool> {
        let out = self.states.iter().map(|state| !is_in_control(state));
        let lost = self.can_reach(player.other(), true, out.collect());
        lost.into_iter().map(|lost| !lost).collect()
    }

    /// Solves the game for a player.
    pub fn solve(&self, player: Player, is_in_control: impl Fn(&State) -> bool) -> Won {
        let safe = self.safe(player, is_in_control);
        let mut won: Won = safe.iter().map(|safe| safe.then_some(0)).collect();
        for waits in 0.. {
            let before = won.iter().flatten().count();
            if waits > 0 {
                let holds = self.holds(player, &won);
                for (won, later) in won.iter_mut().zip(&self.steps) {
                    if holds[*later] {
                        *won = won.or(Some(waits));
                    }
                }
            }
            self.extend(player, waits, &mut won);
            if waits > 0 && won.iter().flatten().count() == before {
                break;
            }
        }
        won
    }

    /// Returns whether each position is won after anything that the other replies.
    pub fn holds(&self, player: Player, won: &[Option<u32>]) -> Vec<bool> {
        let not_won = won.iter().map(Option::is_none).collect();
        let lost = self.can_reach(player.other(), false, not_won);
        lost.into_iter().map(|lost| !lost).collect()
    }

    /// Adds the positions from which a move that is no wait leads to won ones.
    fn extend(&self, player: Player, waits: u32, won: &mut Won) {
        loop {
            let holds = self.holds(player, won);
            let mut has_changed = false;
            for (won, moves) in won.iter_mut().zip(&self.moves[player as usize]) {
                if won.is_none() && moves.iter().any(|(_, to)| holds[*to]) {
                    *won = Some(waits);
                    has_changed = true;
                }
            }
            if !has_changed {
                return;
            }
        }
    }

    /// Returns the positions that the thief can reach alone, by the half weeks that pass.
    pub fn alone(&self, steps: usize) -> Vec<Vec<Reached>> {
        let mut seen = vec![false; self.states.len()];
        let start = Reached {
            at: 0,
            before: None,
        };
        let mut all = vec![self.replies(vec![start], &mut seen)];
        for step in 0..steps {
            let later = |reached: &Reached| Reached {
                at: self.steps[reached.at],
                before: Some((reached.at, "waits half a week")),
            };
            let now = all[step].iter().map(later).collect();
            all.push(self.replies(now, &mut seen));
        }
        all
    }

    /// Returns the new positions among these, and those that the thief can reach from them
    /// without waiting.
    pub fn replies(&self, mut now: Vec<Reached>, seen: &mut [bool]) -> Vec<Reached> {
        now.retain(|reached| !std::mem::replace(&mut seen[reached.at], true));
        let mut next = 0;
        while let Some(Reached { at, .. }) = now.get(next).copied() {
            for (name, to) in self.moves(Player::Thief, at) {
                if !std::mem::replace(&mut seen[*to], true) {
                    now.push(Reached {
                        at: *to,
                        before: Some((at, *name)),
                    });
                }
            }
            next += 1;
        }
        now
    }
}
