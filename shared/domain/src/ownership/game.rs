//! The game of owner against thief, played with the rules of this module.
//!
//! Every position that either can reach is solved by backward induction. Both know
//! everything, the thief moves as often as they like between two moves of the owner, and
//! time passes in days.

mod lines;
mod moves;
mod rules;
mod solve;
mod state;

use lines::{SETTINGS, Setting, THEFTS, Theft, is_in_control, start};
use rules::{Rule, Rules};
use solve::Game;
use state::Player;

/// The half weeks for which a thief is left alone.
const HALF_WEEKS: usize = 6;

/// The half weeks within which the owner looks into the mailbox.
const PREMISE: usize = 2;

struct Outcome {
    states: usize,
    lost: usize,
    of_thief: usize,
    waits: u32,
    days: Option<usize>,
    trace: Vec<&'static str>,
    graph: usize,
}

fn play(theft: Theft, setting: Setting, without: &[Rule]) -> Outcome {
    let (world, state) = start(theft, setting);
    let rules = Rules { without };
    let game = Game::new(&world, rules, state);
    let solve = |player| game.solve(player, |state| is_in_control(&world, state, player));
    let (owner, thief) = (solve(Player::Owner), solve(Player::Thief));
    let alone = game.alone(HALF_WEEKS);
    let early = || alone[..PREMISE].iter().flatten().map(|(at, _)| *at);
    let is_lost = |at: &usize| owner[*at].is_none();
    let days = alone
        .iter()
        .position(|day| day.iter().any(|(at, _)| is_lost(at)));
    Outcome {
        states: early().count(),
        lost: early().filter(is_lost).count(),
        of_thief: early().filter(|at| thief[*at].is_some()).count(),
        waits: early().filter_map(|at| owner[at]).max().unwrap_or(0),
        days,
        trace: Vec::new(),
        graph: game.states.len(),
    }
}

#[test]
fn explore() {
    for (theft, name) in THEFTS {
        for (setting, column) in SETTINGS {
            if !theft.is_with(setting) {
                continue;
            }
            let t = std::time::Instant::now();
            let o = play(theft, setting, &[]);
            println!(
                "{name:60} | {column:28} | states {} lost {} thief {} waits {} days {:?} graph {} {:?}",
                o.states, o.lost, o.of_thief, o.waits, o.days, o.graph, t.elapsed()
            );
        }
    }
}
