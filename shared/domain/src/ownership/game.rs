//! The game of owner against thief, played with the rules of this module.
//!
//! Every position that either can reach is solved by backward induction. Both know
//! everything, the thief moves as often as they like between two moves of the owner, and
//! time passes in half weeks.

mod left_out;
mod lines;
mod moves;
mod rules;
mod solve;
mod state;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use left_out::{CHANGE_NO_LINE, NEEDED};
use lines::{SETTINGS, Setting, THEFTS, Theft, is_in_control, start};
use rules::{Rule, Rules};
use solve::{Game, Reached, Won};
use state::Player;

/// The half weeks for which a thief is left alone.
const HALF_WEEKS: usize = 6;

/// The half weeks within which the owner looks into the mailbox.
const PREMISE: usize = 2;

/// The moves that an owner tries in a trace, the best first.
const ATTEMPTS: [&str; 6] = [
    "completes",
    "presses",
    "signs in",
    "reports",
    "asks for",
    "changes the address",
];

/// The moves of the owner in a trace.
const ROUNDS: usize = 3;

/// Who wins a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Owner,
    /// The owner, unless a thief is left alone for as many half weeks.
    OwnerFor(usize),
    /// The first of the two who acts.
    First,
    Contested,
    Thief,
}

impl Verdict {
    fn text(self) -> &'static str {
        match self {
            Self::Owner => "owner, now",
            Self::OwnerFor(1) => "owner, now, for half a week",
            Self::OwnerFor(2) => "owner, now, for seven days",
            Self::OwnerFor(4) => "owner, now, for fourteen days",
            Self::OwnerFor(_) => "owner, for a time",
            Self::First => "who acts first",
            Self::Contested => "contested",
            Self::Thief => "thief",
        }
    }
}

/// A line of the table, played.
struct Played {
    game: Game,
    owner: Won,
    alone: Vec<Vec<Reached>>,
    verdict: Verdict,
}

fn play(theft: Theft, setting: Setting, without: &[Rule]) -> Played {
    let (world, state) = start(theft, setting);
    let game = Game::new(world, Rules { without }, state);
    let solve = |player| game.solve(player, |state| is_in_control(world, state, player));
    let owner = solve(Player::Owner);
    let alone = game.alone(HALF_WEEKS);
    let is_lost = |reached: &Reached| owner[reached.at].is_none();
    let lost_after = alone.iter().position(|now| now.iter().any(is_lost));
    let has_thief_won = || {
        let thief = game.holds(Player::Thief, &solve(Player::Thief));
        alone[..PREMISE].iter().flatten().any(|now| thief[now.at])
    };
    let verdict = match lost_after {
        None => Verdict::Owner,
        Some(0) if owner[0].is_some() => Verdict::First,
        Some(0) if has_thief_won() => Verdict::Thief,
        Some(0) => Verdict::Contested,
        Some(half_weeks) => Verdict::OwnerFor(half_weeks),
    };
    Played {
        game,
        owner,
        alone,
        verdict,
    }
}

impl Played {
    /// Returns the positions that the thief reaches before the owner looks, those that the
    /// owner has lost, and the most waits that the others need.
    fn figures(&self) -> (usize, usize, u32) {
        let early = || self.alone[..PREMISE].iter().flatten();
        let waits = early().map(|now| self.owner[now.at]);
        let lost = waits.clone().filter(Option::is_none).count();
        (early().count(), lost, waits.flatten().max().unwrap_or(0))
    }

    /// Returns after how many half weeks alone the thief can reach a lost position; `None` if
    /// the owner has lost even with the first move.
    fn alone_until_lost(&self) -> Option<usize> {
        self.owner[0]?;
        let is_lost = |reached: &Reached| self.owner[reached.at].is_none();
        let has_lost = |now: &Vec<Reached>| now.iter().any(is_lost);
        let lost_after = self.alone.iter().position(has_lost);
        Some(lost_after.unwrap_or(usize::MAX))
    }

    /// Returns how the owner loses: the thief's moves to a lost position, or none if the owner is
    /// first, then up to [`ROUNDS`] moves of the owner, each with the thief's reply.
    fn trace(&self, is_owner_first: bool) -> String {
        let has_lost = |now: &&Vec<Reached>| now.iter().any(|now| self.owner[now.at].is_none());
        let reached: Vec<_> = self.alone.iter().flatten().copied().collect();
        let lost_in = self.alone.iter().find(has_lost);
        let lost_in = lost_in.map(|now| if is_owner_first { &now[..1] } else { now });
        let Some(lost) = lost_in.and_then(|now| self.worst(now)) else {
            return "The owner does not lose.".to_owned();
        };
        let mut text = said("thief", &path(&reached, lost));
        let mut at = lost;
        for _ in 0..ROUNDS {
            let Some((name, to)) = self.attempt(at) else {
                return text + "The owner has no move that helps.";
            };
            let from = Reached {
                at: to,
                before: None,
            };
            let replies = self
                .game
                .replies(vec![from], &mut vec![false; self.owner.len()]);
            at = self.worst(&replies).unwrap_or(to);
            text = text + &said("owner", &[name]) + &said("thief", &path(&replies, at));
            if at == lost {
                break;
            }
        }
        text + "And so on."
    }

    /// Returns the move of the owner that is likeliest to help.
    fn attempt(&self, at: usize) -> Option<(&'static str, usize)> {
        let moves = self.game.moves(Player::Owner, at);
        let find = |start: &str| moves.iter().find(|(name, _)| name.starts_with(start));
        ATTEMPTS.iter().find_map(|start| find(start)).copied()
    }

    /// Returns the lost position that leaves the owner the fewest moves, now and after a wait.
    fn worst(&self, reached: &[Reached]) -> Option<usize> {
        let lost = reached.iter().map(|now| now.at);
        let lost = lost.filter(|at| self.owner[*at].is_none());
        let moves = |at| self.game.moves(Player::Owner, at).len();
        lost.min_by_key(|at| moves(*at) + moves(self.game.steps[*at]))
    }
}

/// Returns the moves that lead to a position.
fn path(reached: &[Reached], mut at: usize) -> Vec<&'static str> {
    let mut moves = Vec::new();
    while let Some((from, name)) = reached
        .iter()
        .find(|now| now.at == at)
        .and_then(|now| now.before)
    {
        moves.insert(0, name);
        at = from;
    }
    moves
}

/// Returns a sentence that says who makes these moves.
fn said(who: &str, moves: &[&str]) -> String {
    if moves.is_empty() {
        return String::new();
    }
    format!("The {who} {}. ", moves.join(", "))
}

/// Returns the table of who wins.
fn render_lines() -> String {
    let mut text = String::from(
        "| the thief has | the account | who wins | positions | lost | most waits |\n\
         | --- | --- | --- | ---: | ---: | ---: |\n",
    );
    for (theft, name) in THEFTS {
        for (setting, column) in SETTINGS {
            if theft.is_with(setting) {
                let played = play(theft, setting, &[]);
                let (states, lost, waits) = played.figures();
                let verdict = played.verdict.text();
                let _ = writeln!(
                    text,
                    "| {name} | {column} | {verdict} | {states} | {lost} | {waits} |"
                );
            }
        }
    }
    text
}

/// Returns the table of rules that are left out.
fn render_left_out() -> String {
    let mut text = String::from(
        "| left out | the thief has; the account | who wins then | how |\n| --- | --- | --- | --- |\n",
    );
    for (without, theft, setting) in NEEDED {
        let played = play(theft, setting, without);
        let is_owner_first = play(theft, setting, &[]).alone_until_lost() == Some(0);
        let rules: Vec<_> = without.iter().map(|rule| rule.text()).collect();
        let _ = writeln!(
            text,
            "| {} | {}; {} | {} | {} |",
            rules.join("; and "),
            theft.name(),
            setting.name(),
            played.verdict.text(),
            played.trace(is_owner_first)
        );
    }
    text
}

/// Who wins the lines that some accounts alone have.
const FURTHER: [(Theft, Setting, Verdict); 11] = [
    (
        Theft::MailboxForAnHour,
        Setting::NoFactor,
        Verdict::OwnerFor(2),
    ),
    (Theft::MailboxForAnHour, Setting::Factor, Verdict::Owner),
    (
        Theft::CodesAndMailboxForAnHour,
        Setting::Factor,
        Verdict::OwnerFor(2),
    ),
    (Theft::TokenAndPassword, Setting::FactorLost, Verdict::First),
    (Theft::PhoneWithFactor, Setting::Factor, Verdict::Thief),
    (
        Theft::PhoneWithFactorCodesKept,
        Setting::Factor,
        Verdict::First,
    ),
    (Theft::ThiefFirst, Setting::NoFactor, Verdict::Owner),
    (Theft::ThiefFirst, Setting::Forgot, Verdict::Owner),
    (Theft::ThiefFirst, Setting::NoMail, Verdict::Thief),
    (Theft::MailboxAlone, Setting::NoFactor, Verdict::Thief),
    (Theft::MailboxAlone, Setting::Factor, Verdict::Owner),
];

#[test]
fn the_owner_wins_every_line_that_the_table_says_and_no_other() {
    use Theft as T;
    use Verdict::{Contested, Owner, OwnerFor, Thief};
    let in_order = [Setting::NoFactor, Setting::Factor, Setting::Forgot];
    let expected: [(T, &[Verdict], Option<Verdict>); 7] = [
        (T::RecognizedToken, &[Owner; 3], Some(Owner)),
        (T::Token, &[Owner; 3], Some(Owner)),
        (T::Password, &[OwnerFor(4), Owner, OwnerFor(4)], Some(Thief)),
        (
            T::TokenAndPassword,
            &[OwnerFor(2), Owner, OwnerFor(2)],
            Some(Thief),
        ),
        (T::Mailbox, &[Contested, Owner, Contested], Some(Owner)),
        (T::OpenPhone, &[Contested, Owner, Contested], Some(Owner)),
        (T::PasswordAndMailbox, &[Contested, OwnerFor(1)], None),
    ];
    for (theft, verdicts, without_mail) in expected {
        for (setting, verdict) in in_order.iter().zip(verdicts) {
            let played = play(theft, *setting, &[]);
            assert_eq!(played.verdict, *verdict, "{theft:?} {setting:?}");
        }
        if let Some(verdict) = without_mail {
            let played = play(theft, Setting::NoMail, &[]);
            assert_eq!(played.verdict, verdict, "{theft:?} without mail");
        }
    }
    for (theft, setting, verdict) in FURTHER {
        let played = play(theft, setting, &[]);
        assert_eq!(played.verdict, verdict, "{theft:?} {setting:?}");
    }
}

#[test]
fn each_rule_that_the_owner_needs_is_needed() {
    for (without, theft, setting) in NEEDED {
        let with = play(theft, setting, &[]).alone_until_lost();
        let left_out = play(theft, setting, without).alone_until_lost();
        assert!(left_out < with, "{without:?} {theft:?} {setting:?}");
        for back in without {
            let others: Vec<_> = without
                .iter()
                .copied()
                .filter(|rule| rule != back)
                .collect();
            let saved = play(theft, setting, &others).alone_until_lost();
            assert_eq!(saved, with, "{back:?} of {without:?} {theft:?} {setting:?}");
        }
    }
}

#[test]
fn each_rule_is_one_that_the_owner_needs() {
    let needed = NEEDED.iter().flat_map(|(rules, ..)| *rules).copied();
    assert_eq!(needed.collect::<BTreeSet<_>>(), BTreeSet::from(Rule::ALL));
}

#[test]
fn each_further_rule_changes_no_line_when_it_alone_is_left_out() {
    for (theft, _) in THEFTS {
        for (setting, _) in SETTINGS {
            if theft.is_with(setting) {
                let with = play(theft, setting, &[]).verdict;
                for rule in CHANGE_NO_LINE {
                    let without = play(theft, setting, &[rule]).verdict;
                    assert_eq!(with, without, "{rule:?} {theft:?} {setting:?}");
                }
            }
        }
    }
}

#[test]
fn the_page_has_the_tables() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/docs/ownership.md");
    let page = std::fs::read_to_string(path).unwrap();
    for table in [render_lines(), render_left_out()] {
        println!("{table}");
        assert!(
            page.contains(&table),
            "infra/docs/ownership.md needs:\n{table}"
        );
    }
}
