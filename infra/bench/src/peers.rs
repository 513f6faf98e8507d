//! Better Auth and django-allauth beside Curfew: the same operations in the same
//! run on the same machine, what they leave alive, and what survives a change of
//! the password. `infra/docs/peers.md` says how each is set up and how to read it.

mod peer;
mod race;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::spawn_blocking;

use crate::growth::account::{Account, FUNCTIONS, Operation};
use crate::peers::peer::{Peer, install};
use crate::peers::race::Household;
use crate::programs::Builder;
use crate::report::{Report, Table, median};

/// The sessions of the account.
const SIZES: [usize; 5] = [1, 10, 100, 1_000, 10_000];

/// A peer's rounds of an operation at one number of sessions, unless the time is
/// over before.
const ROUNDS: usize = 101;
/// Seconds that they may take, beside a last round and the warming up.
const SECONDS: usize = 5;
const WARM_SECONDS: usize = 2;
/// Hashes alone.
const HASHES: usize = 31;
/// Requests of Curfew in each round: one at a time, and in a loop.
const TIMES: u32 = 5;
const TIMES_IN_A_LOOP: u32 = 100;

/// Rounds of the race, and after how many the progress is told.
const RACES: usize = 1_000;
const RACES_AT_ONCE: usize = 100;

/// Above this a figure at one number of sessions is not the same at another.
const FLAT: f64 = 1.25;

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// This product.
    Curfew,
    /// `better-auth`, for Node.js.
    BetterAuth,
    /// `django-allauth`, for Python.
    Allauth,
}

const EVERYBODY: [Who; 3] = [Who::Curfew, Who::BetterAuth, Who::Allauth];

impl Who {
    /// As its makers write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Curfew => "Curfew",
            Self::BetterAuth => "Better Auth",
            Self::Allauth => "django-allauth",
        }
    }
}

/// What is measured. Each is what the peer's own documentation offers for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum What {
    SignIn,
    SignInWithoutHash,
    Hash,
    Check,
    /// What the least view of a Django app takes that asks who is signed in.
    LeastCheck,
    List,
    EndOne,
    EndOthers,
}

impl What {
    /// Those that depend on the number of sessions.
    const ALL: [Self; 7] = [
        Self::SignIn,
        Self::SignInWithoutHash,
        Self::Check,
        Self::LeastCheck,
        Self::List,
        Self::EndOne,
        Self::EndOthers,
    ];

    /// As the peers know it, and the tables.
    fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::SignInWithoutHash => "sign-in, no hash",
            Self::Hash => "the hash alone",
            Self::Check => "check",
            Self::LeastCheck => "check, least view",
            Self::List => "list",
            Self::EndOne => "end one",
            Self::EndOthers => "end others",
        }
    }

    /// Whether it changes nothing, so that it can be asked over and over.
    fn only_reads(self) -> bool {
        matches!(self, Self::Check | Self::LeastCheck | Self::List)
    }

    /// Whether it can be asked of somebody with so many sessions.
    fn is_asked(self, who: Who, sessions: usize) -> bool {
        match self {
            Self::LeastCheck => who == Who::Allauth,
            // There is none but one's own.
            Self::EndOne => sessions > 1,
            _ => true,
        }
    }
}

/// How somebody is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Pace {
    /// One request after the other in a loop. A peer takes the time itself.
    Loop,
    /// It sleeps until it is told to answer one request, and sleeps again. The time
    /// is the kernel's, of the whole process.
    OneAtATime,
}

/// An operation at one number of sessions.
#[derive(Debug, Serialize)]
struct Figure {
    who: Who,
    what: What,
    pace: Pace,
    sessions: usize,
    /// Processor time, in milliseconds, the median of the rounds.
    cpu_ms: f64,
    /// SQL statements of a peer, calls to the tables of Curfew.
    statements: usize,
    /// Every round.
    rounds_ms: Vec<f64>,
}

impl Figure {
    fn is(&self, pace: Pace, who: Who, what: What, sessions: usize) -> bool {
        self.pace == pace && self.who == who && self.what == what && self.sessions == sessions
    }
}

/// What is left after the other sessions were ended.
#[derive(Debug, Serialize)]
struct Left {
    who: Who,
    sessions: usize,
    /// Tokens that were presented afterwards.
    presented: usize,
    alive: usize,
}

/// Sign-ins with the old password while it was changed.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Outcome {
    rounds: u64,
    /// The old password was still taken.
    signed_in: u64,
    /// So it was, and both were under way at once.
    overlapping: u64,
    /// The session that came of it was let in after both had been answered.
    alive: u64,
    /// The session that changed the password was not let in afterwards.
    lost: u64,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.rounds += other.rounds;
        self.signed_in += other.signed_in;
        self.overlapping += other.overlapping;
        self.alive += other.alive;
        self.lost += other.lost;
    }
}

/// A goal, and what was found.
#[derive(Debug, Serialize)]
struct Verdict {
    what: String,
    found: String,
    goal: String,
    stretch: String,
    reached: &'static str,
}

/// Everything that was measured.
#[derive(Debug, Default, Serialize)]
struct Figures {
    versions: Vec<(Who, Vec<String>)>,
    operations: Vec<Figure>,
    left: Vec<Left>,
    races: Vec<(Who, Outcome)>,
    verdicts: Vec<Verdict>,
}

/// Installs, measures and compares.
///
/// # Errors
/// When something can't be installed or fails; after the figures are published,
/// when Curfew has left a session alive.
pub async fn run(builder: &Builder, rounds: usize) -> Result<()> {
    let installed = install().await?;
    let programs = builder.functions(&FUNCTIONS.map(ToOwned::to_owned)).await?;
    let mut figures = Figures::default();

    let mut accounts = Vec::new();
    for sessions in SIZES {
        eprintln!("Peers: Curfew, an account of {sessions} devices …");
        let mut account = Box::pin(Account::new(sessions, &programs)).await?;
        figures.count(&mut account).await?;
        accounts.push(account);
    }
    let mut peers = Vec::new();
    for installed in &installed {
        let mut peer = Peer::start(installed, false).await?;
        figures.begin(&mut peer).await?;
        peers.push(peer);
    }
    for sessions in SIZES {
        for peer in &mut peers {
            figures.measure(peer, sessions).await?;
        }
        // Between the peers, and at every number of devices by turns: whatever the
        // machine does beside meets all of them.
        let rounds = rounds.div_ceil(SIZES.len());
        for round in 1..=rounds {
            eprint!("\rPeers: Curfew, round {round} of {rounds} ");
            for peer in &mut peers {
                figures.spend_of_peer(peer, sessions).await?;
            }
            for account in &mut accounts {
                figures.spend(account).await?;
            }
        }
        eprintln!();
    }
    drop(peers);
    for account in accounts {
        account.end().await?;
    }
    for installed in &installed {
        figures.race(Peer::start(installed, true).await?).await?;
    }
    figures.race_of_curfew().await?;

    for figure in &mut figures.operations {
        figure.cpu_ms = median(figure.rounds_ms.iter().copied());
    }
    figures.verdicts = verdicts(&figures);
    let alive = figures.alive(Who::Curfew);
    let tables = vec![
        figures.times(),
        figures.one_at_a_time(),
        figures.left_alive(),
        figures.raced(),
        judged(&figures.verdicts),
    ];
    for (who, versions) in &figures.versions {
        println!("{}: {}", who.name(), versions.join(", "));
    }
    println!();
    Report::new("peers", figures, tables).publish()?;
    if alive > 0 {
        bail!("{alive} sessions of Curfew are alive that should be dead");
    }
    Ok(())
}

/// What a peer says of its versions.
#[derive(Deserialize)]
struct About {
    process: u32,
    versions: Vec<String>,
}

/// What a peer measured.
#[derive(Deserialize)]
struct Measured {
    cpu_ms: Vec<f64>,
    queries: usize,
}

/// What a peer found alive.
#[derive(Deserialize)]
struct Survivors {
    presented: usize,
    alive: usize,
}

impl Figures {
    /// The figure of an operation, an empty one when there is none yet.
    fn figure(&mut self, pace: Pace, who: Who, what: What, sessions: usize) -> &mut Figure {
        let is_it = |it: &Figure| it.is(pace, who, what, sessions);
        let found = self.operations.iter().position(is_it);
        let at = found.unwrap_or_else(|| {
            self.operations.push(Figure {
                who,
                what,
                pace,
                sessions,
                cpu_ms: 0.0,
                statements: 0,
                rounds_ms: Vec::new(),
            });
            self.operations.len() - 1
        });
        &mut self.operations[at]
    }

    /// Asks a peer who it is, and what its hash takes.
    async fn begin(&mut self, peer: &mut Peer) -> Result<()> {
        let about: About = peer.ask(&json!({ "do": "about" })).await?;
        peer.process = about.process;
        self.versions.push((peer.who, about.versions));
        eprintln!("Peers: {}, {}", peer.who.name(), What::Hash.name());
        let hash = json!({ "do": "hash", "rounds": HASHES });
        let hash: Measured = peer.ask(&hash).await?;
        self.figure(Pace::Loop, peer.who, What::Hash, 0).rounds_ms = hash.cpu_ms;
        Ok(())
    }

    /// Measures a peer whose account has so many sessions.
    async fn measure(&mut self, peer: &mut Peer, sessions: usize) -> Result<()> {
        let who = peer.who;
        let say = |what: &str| eprintln!("Peers: {}, {sessions} sessions: {what}", who.name());
        say("made");
        let seed = json!({ "do": "seed", "sessions": sessions });
        let _seeded: serde_json::Value = peer.ask(&seed).await?;
        for what in What::ALL {
            if !what.is_asked(who, sessions) {
                continue;
            }
            say(what.name());
            let measure = json!({
                "do": "measure", "operation": what.name(), "rounds": ROUNDS,
                "seconds": SECONDS, "warm_seconds": WARM_SECONDS,
            });
            let measured: Measured = peer.ask(&measure).await?;
            let figure = self.figure(Pace::Loop, who, what, sessions);
            figure.statements = measured.queries;
            figure.rounds_ms = measured.cpu_ms;
        }
        say("every other token presented after the end of the others");
        let left: Survivors = peer.ask(&json!({ "do": "survivors" })).await?;
        self.left.push(Left {
            who,
            sessions,
            presented: left.presented,
            alive: left.alive,
        });
        Ok(())
    }

    /// Does each operation of Curfew once, and judges every session after it.
    async fn count(&mut self, account: &mut Account) -> Result<()> {
        let sessions = account.devices;
        for (what, operation) in OPERATIONS {
            if !what.is_asked(Who::Curfew, sessions) {
                continue;
            }
            let counted = Box::pin(account.count(operation)).await?;
            let mut set = |pace, what| {
                let figure = self.figure(pace, Who::Curfew, what, sessions);
                figure.statements = counted.cost.calls.len();
            };
            set(Pace::OneAtATime, what);
            if what.only_reads() {
                set(Pace::Loop, what);
            }
            if what == What::SignIn {
                set(Pace::OneAtATime, What::SignInWithoutHash);
            }
            if what == What::EndOthers {
                self.left.push(Left {
                    who: Who::Curfew,
                    sessions,
                    presented: counted.tokens_tried - 1,
                    alive: counted.alive_that_should_be_dead,
                });
            }
        }
        Ok(())
    }

    /// A round of each operation of Curfew.
    async fn spend(&mut self, account: &mut Account) -> Result<()> {
        let sessions = account.devices;
        account.begin().await?;
        for (what, operation) in OPERATIONS {
            if !what.is_asked(Who::Curfew, sessions) {
                continue;
            }
            let spent = Box::pin(account.spend(operation, TIMES)).await?;
            let mut add = |pace, what, sessions, us: f64| {
                let figure = self.figure(pace, Who::Curfew, what, sessions);
                figure.rounds_ms.push(us / 1e3);
            };
            add(Pace::OneAtATime, what, sessions, spent.us);
            if let Some(hash_us) = spent.hash_us {
                let without = spent.us - hash_us;
                add(Pace::OneAtATime, What::SignInWithoutHash, sessions, without);
                add(Pace::OneAtATime, What::Hash, 0, hash_us);
            }
            if what.only_reads() {
                let us = Box::pin(account.spend_in_a_loop(operation, TIMES_IN_A_LOOP)).await?;
                add(Pace::Loop, what, sessions, us);
            }
        }
        Ok(())
    }

    /// A round of what has a goal, one request at a time.
    async fn spend_of_peer(&mut self, peer: &mut Peer, sessions: usize) -> Result<()> {
        for what in [What::SignInWithoutHash, What::Check] {
            if peer.who == Who::Allauth && what == What::SignInWithoutHash && sessions > 100 {
                // Seconds, and no goal.
                continue;
            }
            for _ in 0..TIMES {
                let took = peer.once(what.name()).await?;
                let figure = self.figure(Pace::OneAtATime, peer.who, what, sessions);
                figure.rounds_ms.push(took.as_secs_f64() * 1e3);
            }
        }
        Ok(())
    }

    async fn race(&mut self, mut peer: Peer) -> Result<()> {
        let mut all = Outcome::default();
        while all.rounds < RACES as u64 {
            let name = peer.who.name();
            eprint!("\rPeers: {name}, race {} of {RACES} ", all.rounds);
            let race = json!({ "do": "race", "rounds": RACES_AT_ONCE });
            all.add(peer.ask(&race).await?);
        }
        eprintln!();
        self.races.push((peer.who, all));
        Ok(())
    }

    async fn race_of_curfew(&mut self) -> Result<()> {
        let mut all = Outcome::default();
        while all.rounds < RACES as u64 {
            eprint!("\rPeers: Curfew, race {} of {RACES} ", all.rounds);
            // Devices pile up, because nothing ever takes them: a new household.
            let race = spawn_blocking(|| Household::new()?.race(RACES_AT_ONCE));
            all.add(race.await.context("a race that panicked")??);
        }
        eprintln!();
        self.races.push((Who::Curfew, all));
        Ok(())
    }

    /// How many sessions of somebody are alive that should be dead.
    fn alive(&self, who: Who) -> u64 {
        let left = self.left.iter().filter(|left| left.who == who);
        let raced = self.races.iter().filter(|(of, _)| *of == who);
        left.map(|left| left.alive as u64).sum::<u64>()
            + raced.map(|(_, outcome)| outcome.alive).sum::<u64>()
    }

    /// The figure of an operation. What changes something Curfew does one at a time,
    /// because the tables are put right in between: that figure stands for both.
    fn at(&self, pace: Pace, who: Who, what: What, sessions: usize) -> Option<&Figure> {
        let pace = if who == Who::Curfew && !what.only_reads() {
            Pace::OneAtATime
        } else {
            pace
        };
        let is_it = |it: &&Figure| it.is(pace, who, what, sessions);
        self.operations.iter().find(is_it)
    }

    fn times(&self) -> Table {
        let columns = [
            "operation",
            "sessions",
            "Curfew",
            "Better Auth",
            "django-allauth",
            "calls of Curfew",
            "SQL of Better Auth",
            "SQL of django-allauth",
        ];
        let title = "CPU ms of an operation in a loop";
        let mut table = Table::new(title, &columns);
        let all = What::ALL
            .into_iter()
            .flat_map(|what| SIZES.map(|sessions| (what, sessions)));
        for (what, sessions) in [(What::Hash, 0)].into_iter().chain(all) {
            let of = EVERYBODY.map(|who| self.at(Pace::Loop, who, what, sessions));
            if of.iter().all(Option::is_none) {
                continue;
            }
            let text =
                |it: Option<&Figure>, text: fn(&Figure) -> String| it.map_or("–".to_owned(), text);
            let ms = of.map(|it| text(it, |it| format!("{:.2}", it.cpu_ms)));
            let statements = of.map(|it| text(it, |it| it.statements.to_string()));
            let sessions = if what == What::Hash {
                "any".to_owned()
            } else {
                sessions.to_string()
            };
            let cells = [what.name().to_owned(), sessions];
            table.row(cells.into_iter().chain(ms).chain(statements));
        }
        table
    }

    fn one_at_a_time(&self) -> Table {
        let columns = [
            "operation",
            "sessions",
            "Curfew",
            "Better Auth",
            "django-allauth",
        ];
        let title = "CPU ms of an operation, one at a time";
        let mut table = Table::new(title, &columns);
        for what in [What::SignInWithoutHash, What::Check] {
            for sessions in SIZES {
                let of = |who| self.at(Pace::OneAtATime, who, what, sessions);
                let ms = |who| of(who).map_or("–".to_owned(), |it| format!("{:.2}", it.cpu_ms));
                let cells = [what.name().to_owned(), sessions.to_string()];
                table.row(cells.into_iter().chain(EVERYBODY.map(ms)));
            }
        }
        table
    }

    fn left_alive(&self) -> Table {
        let columns = ["who", "sessions", "other tokens presented", "alive"];
        let mut table = Table::new("Alive after the other sessions were ended", &columns);
        for left in &self.left {
            table.row([
                left.who.name().to_owned(),
                left.sessions.to_string(),
                left.presented.to_string(),
                left.alive.to_string(),
            ]);
        }
        table
    }

    fn raced(&self) -> Table {
        let columns = [
            "who",
            "rounds",
            "old password taken",
            "at once with the change",
            "alive afterwards",
            "the changer's own lost",
        ];
        let title = "A sign-in with the old password while it is changed";
        let mut table = Table::new(title, &columns);
        for (who, it) in &self.races {
            let counts = [it.rounds, it.signed_in, it.overlapping, it.alive, it.lost];
            let cells = [who.name().to_owned()].into_iter();
            table.row(cells.chain(counts.map(|count| count.to_string())));
        }
        table
    }
}

/// The operations of Curfew for what is measured.
const OPERATIONS: [(What, Operation); 5] = [
    (What::SignIn, Operation::SignIn),
    (What::Check, Operation::Check),
    (What::List, Operation::List),
    (What::EndOne, Operation::SignOutOne),
    (What::EndOthers, Operation::SignOutOthers),
];

fn verdicts(figures: &Figures) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for pace in [Pace::Loop, Pace::OneAtATime] {
        for (what, who, goal, stretch) in [
            (What::Check, Who::BetterAuth, 3.0, 4.0),
            (What::Check, Who::Allauth, 6.0, 8.0),
            (What::SignInWithoutHash, Who::BetterAuth, 6.0, 8.0),
        ] {
            verdicts.push(ratio(figures, (pace, what, who), goal, stretch));
        }
    }
    verdicts.extend([What::Check, What::SignInWithoutHash].map(|what| flat(figures, what)));
    let alive = figures.alive(Who::Curfew);
    verdicts.push(Verdict {
        what: "Curfew's sessions alive that should be dead".to_owned(),
        found: alive.to_string(),
        goal: "0".to_owned(),
        stretch: String::new(),
        reached: if alive == 0 { "yes" } else { "NO" },
    });
    verdicts
}

/// Curfew's processor time as a part of a peer's, where it is the largest part.
fn ratio(
    figures: &Figures,
    (pace, what, who): (Pace, What, Who),
    goal: f64,
    stretch: f64,
) -> Verdict {
    let ratios = SIZES.iter().filter_map(|&sessions| {
        let ours = figures.at(pace, Who::Curfew, what, sessions)?.cpu_ms;
        Some(ours / figures.at(pace, who, what, sessions)?.cpu_ms)
    });
    let largest = ratios.fold(0.0, f64::max);
    let paced = match pace {
        Pace::Loop => "in a loop",
        Pace::OneAtATime => "one at a time",
    };
    Verdict {
        what: format!(
            "{}: CPU of Curfew / of {}, {paced}",
            what.name(),
            who.name()
        ),
        found: format!("{largest:.3} (1/{:.1}) at most", 1.0 / largest),
        goal: format!("≤ 1/{goal}"),
        stretch: format!("≤ 1/{stretch}"),
        reached: if largest <= 1.0 / stretch {
            "stretch"
        } else if largest <= 1.0 / goal {
            "yes"
        } else {
            "no"
        },
    }
}

/// Whether Curfew takes the same at any number of sessions.
fn flat(figures: &Figures, what: What) -> Verdict {
    let times = SIZES
        .iter()
        .filter_map(|&sessions| figures.at(Pace::Loop, Who::Curfew, what, sessions))
        .map(|figure| figure.cpu_ms);
    let (least, most) = times.fold((f64::INFINITY, 0.0_f64), |(least, most), it| {
        (least.min(it), most.max(it))
    });
    let found = most / least;
    Verdict {
        what: format!("{}: CPU of Curfew, most / least by sessions", what.name()),
        found: format!("{found:.2}"),
        goal: format!("flat, ≤ {FLAT}"),
        stretch: String::new(),
        reached: if found <= FLAT { "yes" } else { "no" },
    }
}

fn judged(verdicts: &[Verdict]) -> Table {
    let columns = ["what", "found", "goal", "stretch", "reached"];
    let mut table = Table::new("Goals", &columns);
    for verdict in verdicts {
        table.row([
            verdict.what.clone(),
            verdict.found.clone(),
            verdict.goal.clone(),
            verdict.stretch.clone(),
            verdict.reached.to_owned(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(curfew: [f64; 2], peer: [f64; 2]) -> Figures {
        let mut figures = Figures::default();
        for (at, sessions) in [1, 10].into_iter().enumerate() {
            for (who, of) in [(Who::Curfew, curfew), (Who::Allauth, peer)] {
                figures
                    .figure(Pace::Loop, who, What::Check, sessions)
                    .cpu_ms = of[at];
            }
        }
        figures
    }

    #[test]
    fn a_ratio_is_judged_where_it_is_the_worst() {
        let reached = |curfew, peer| {
            let figures = figures(curfew, peer);
            let of = (Pace::Loop, What::Check, Who::Allauth);
            ratio(&figures, of, 6.0, 8.0).reached
        };
        assert_eq!(reached([1.0, 1.0], [10.0, 9.0]), "stretch");
        assert_eq!(reached([1.0, 1.0], [10.0, 7.0]), "yes");
        assert_eq!(reached([1.0, 1.0], [10.0, 5.0]), "no");
    }

    #[test]
    fn what_grows_with_the_sessions_is_not_flat() {
        let reached = |curfew| flat(&figures(curfew, [1.0, 1.0]), What::Check).reached;
        assert_eq!(reached([1.0, 1.2]), "yes");
        assert_eq!(reached([1.0, 1.3]), "no");
    }

    #[test]
    fn one_session_alive_is_one_too_many() {
        let mut figures = figures([1.0, 1.0], [9.0, 9.0]);
        assert_eq!(verdicts(&figures).last().unwrap().reached, "yes");
        let alive = Outcome {
            alive: 1,
            ..Outcome::default()
        };
        figures.races.push((Who::Allauth, alive));
        assert_eq!(verdicts(&figures).last().unwrap().reached, "yes");
        figures.races.push((Who::Curfew, alive));
        assert_eq!(verdicts(&figures).last().unwrap().reached, "NO");
    }
}
