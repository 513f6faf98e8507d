//! Every line of the table in `infra/docs/ownership.md`, played against the product.
//!
//! Over HTTP: the lines of deployments with mail on the running stack, with the mails of its
//! inbox, and those without mail on a second stack that sends none. No line has to wait: a
//! recognized device, a proof that is over, a factor that has settled and a removal that is due
//! are rows with earlier times. How long the owner can stay away is in `address_changes.rs` and
//! `second_step.rs`.
//!
//! What a thief with password and mailbox gets by having a factor removed as lost, after 72 hours,
//! is in `second_step/lost.rs`.

mod lines;
mod moves;

use std::fs;

use futures_util::{StreamExt as _, stream};

use lines::{ACCOUNTS, Account, Part, THEFTS};
use moves::{Deployments, Game, Move, Who};

/// How many lines are played at once: the local AWS has no more than two cores.
const AT_ONCE: usize = 8;

/// What a thief tries: first to take everything over, at once or after the owner is out.
const TAKE_OVER: [Move; 8] = [
    Move::SignIn,
    Move::AddFactor,
    Move::MakeCodes,
    Move::ChangeAddress,
    Move::Recover,
    Move::SignIn,
    Move::SignOutOthers,
    Move::ChangePassword,
];

/// What a thief tries who leaves the address alone, of which the owner gets a mail.
const LOCK_OUT: [Move; 4] = [
    Move::SignIn,
    Move::SignOutOthers,
    Move::ChangePassword,
    Move::AddFactor,
];

/// What a thief tries who has the mailbox for an hour. The recovery holds the change of the
/// address until it is over.
const IN_AN_HOUR: [Move; 5] = [
    Move::Recover,
    Move::SignIn,
    Move::ChangeAddress,
    Move::SignOutOthers,
    Move::ChangePassword,
];

/// What the password alone changes.
const CHANGED_PASSWORD: [Move; 3] = [Move::SignIn, Move::SignIn, Move::ChangePassword];

/// What the mailbox alone takes over.
const RECOVERED: [Move; 4] = [
    Move::Recover,
    Move::SignIn,
    Move::SignOutOthers,
    Move::ChangePassword,
];

/// What the password takes over in a deployment without mail.
const WITHOUT_MAIL: [Move; 6] = [
    Move::SignIn,
    Move::AddFactor,
    Move::MakeCodes,
    Move::SignIn,
    Move::SignOutOthers,
    Move::ChangePassword,
];

/// Returns what the thief has, the account and the verdict of each line of the page.
fn lines() -> Vec<[String; 3]> {
    let page = fs::read_to_string(curfew::root().join("infra/docs/ownership.md")).unwrap();
    let (_, table) = page.split_once("## The table").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| "));
    rows.skip(2)
        .map(|row| {
            let mut cells = row.split(" | ").map(str::to_owned);
            std::array::from_fn(|_| cells.next().unwrap())
        })
        .collect()
}

/// Returns the value of a name in a list.
fn named<T: Copy>(list: &[(&str, T)], name: &str) -> T {
    let found = list.iter().find(|(it, _)| *it == name);
    found.unwrap_or_else(|| panic!("no play for: {name}")).1
}

/// Makes the moves that are not refused, and returns them.
async fn tries(game: &mut Game, moves: &[Move]) -> Vec<Move> {
    let mut done = Vec::new();
    for what in moves {
        if game.plays(Who::Thief, *what).await {
            done.push(*what);
        }
    }
    done
}

/// The owner acts: takes the address back, gets in by password or recovery, and ends what the
/// thief could come back with.
async fn owner_acts(game: &mut Game, has: &[Part]) {
    if has.contains(&Part::First) {
        game.plays(Who::Owner, Move::Claim).await;
    } else if !has.contains(&Part::MailboxIsLost) && !game.reads_address(Who::Owner) {
        game.plays(Who::Owner, Move::Press).await;
    }
    game.plays(Who::Owner, Move::LoseFactor).await;
    if game.plays(Who::Owner, Move::SignInAlone).await {
        game.plays(Who::Owner, Move::ChangePassword).await;
    } else if game.plays(Who::Owner, Move::Recover).await {
        game.plays(Who::Owner, Move::SignIn).await;
    }
    if has.contains(&Part::Factor) {
        game.plays(Who::Owner, Move::RemoveFactor).await;
    }
    if !game.reads_address(Who::Owner) {
        game.plays(Who::Owner, Move::ChangeAddress).await;
    }
}

/// The thief replies with everything, and the owner keeps the account.
async fn owner_keeps(game: &mut Game, has: &[Part], line: &str) {
    game.is_held_by(Who::Owner, line).await;
    tries(game, &TAKE_OVER).await;
    if has.contains(&Part::MailboxIsLost) {
        assert!(
            !game.plays(Who::Thief, Move::Press).await,
            "{line}: it only warns"
        );
    }
    game.is_held_by(Who::Owner, line).await;
}

/// Plays a line. Returns what the thief could take over alone.
async fn play(deployments: &Deployments, [theft, setting, wins]: &[String; 3]) -> Vec<Move> {
    let line = &*format!("{theft}; {setting}");
    let (has, account) = (named(&THEFTS, theft), named(&ACCOUNTS, setting));
    let mut game = Game::new(deployments, has, account).await;
    if wins == "contested" {
        // Each undoes what the other did. The thief waits, so that no mailbox gets too many mails.
        owner_acts(&mut game, has).await;
        game.is_held_by(Who::Owner, line).await;
        let taken = tries(&mut game, &TAKE_OVER).await;
        game.is_held_by(Who::Thief, line).await;
        owner_acts(&mut game, has).await;
        game.is_held_by(Who::Owner, line).await;
        return taken;
    }
    let taken = if has.contains(&Part::ForAnHour) {
        let taken = tries(&mut game, &IN_AN_HOUR).await;
        game.ends_hour();
        taken
    } else {
        tries(&mut game, &TAKE_OVER).await
    };
    owner_acts(&mut game, has).await;
    if account == Account::FactorLost {
        for who in [Who::Owner, Who::Thief] {
            assert!(!game.is_signed_in(who).await, "{line}: {who:?} is in");
        }
    } else if wins == "thief" || wins == "who acts first" {
        game.is_held_by(Who::Thief, line).await;
    } else {
        assert!(wins.starts_with("owner, now"), "{line}: {wins}");
        owner_keeps(&mut game, has, line).await;
    }
    if wins != "thief" && !has.starts_with(&[Part::Mailbox]) {
        let mut game = Game::new(deployments, has, account).await;
        if wins.starts_with("owner") {
            tries(&mut game, &LOCK_OUT).await;
        }
        owner_acts(&mut game, has).await;
        owner_keeps(&mut game, has, line).await;
    }
    taken
}

/// Returns what a thief takes over: alone, or in a contested line after the owner has acted.
fn takes(has: &[Part], account: Account) -> &'static [Move] {
    use Account::{Factor, FactorLost, NoMail};
    let [is_recognized, password, mailbox, factor, codes] = [
        Part::Recognized,
        Part::Password,
        Part::Mailbox,
        Part::Factor,
        Part::Codes,
    ]
    .map(|part| has.contains(&part));
    match account {
        // The factor proves everything, and gets a password by the new address.
        Factor if factor => &TAKE_OVER[1..],
        // The codes and the mailbox remove the factor.
        Factor if codes => &RECOVERED,
        // The password alone changes itself, and nothing else.
        Factor | FactorLost if password && is_recognized => &CHANGED_PASSWORD,
        NoMail if password => &WITHOUT_MAIL,
        Factor | FactorLost | NoMail => &[],
        _ if password && is_recognized => &TAKE_OVER,
        _ if mailbox => &RECOVERED,
        _ if password => &CHANGED_PASSWORD,
        _ => &[],
    }
}

#[tokio::test]
async fn each_line_of_the_table_ends_as_the_page_says() {
    let lines = lines();
    let deployments = Deployments::new().await;
    let plays = lines.iter().map(|line| Box::pin(play(&deployments, line)));
    let mut plays = stream::iter(plays).buffered(AT_ONCE);
    for line in &lines {
        let taken = plays.next().await.expect("a play of each line");
        let (has, account) = (named(&THEFTS, &line[0]), named(&ACCOUNTS, &line[1]));
        assert_eq!(taken, takes(has, account), "{line:?}");
    }
}
