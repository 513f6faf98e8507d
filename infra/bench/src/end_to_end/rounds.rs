//! One sign-out at a time, of a television with an open socket: how long from the
//! answer until the very next call is refused, a subscriber hears, and the device
//! is told. Then the same of a busy television, whose calls never stop.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use curfew_client::{Frame, Socket};
use curfew_tests::client::{Answer, Device, Household, LAPTOP, TV, unique};
use curfew_tests::listener::Listener;
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Spread;
use super::doors::{DOORS, Door, Doors, Knock, Verdict};
use crate::report::Table;

/// Rounds that don't count: they start the processes of the functions. What they
/// let in counts all the same.
const WARM_UP: usize = 10;
/// How often each way of signing out is followed by each door as the very next call.
const EACH: usize = 10;
/// Sign-outs of a busy television.
const BUSY: usize = 60;
/// How many calls of a busy television begin after the answer, at each of its doors.
const CALLS_AFTER: usize = 3;

/// How long anything may take before it counts as lost.
const PATIENCE: Duration = Duration::from_mins(1);

/// How the television's session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    Local,
    Device,
    Others,
    Global,
    Password,
}

const WAYS: [Way; 5] = [
    Way::Local,
    Way::Device,
    Way::Others,
    Way::Global,
    Way::Password,
];

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Local => "this device (`local`)",
            Self::Device => "one device",
            Self::Others => "`others`",
            Self::Global => "`global`",
            Self::Password => "a changed password",
        }
    }
}

/// One sign-out.
#[derive(Debug, Serialize)]
struct Round {
    way: Way,
    /// From its beginning to its answer.
    answered_ms: f64,
    /// Which door the very next call tried, and from its beginning to the refusal.
    door: Door,
    refused_ms: f64,
    /// From the answer to the first message at a queue of a subscriber.
    message_ms: f64,
    /// From the answer to the frame at the device.
    told_ms: f64,
}

/// What became of calls.
#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Tally {
    refused: usize,
    let_in: usize,
    /// Errors: neither.
    neither: usize,
}

impl Tally {
    fn add(&mut self, verdict: Verdict) {
        *match verdict {
            Verdict::LetIn => &mut self.let_in,
            Verdict::Refused => &mut self.refused,
            Verdict::Neither(_) => &mut self.neither,
        } += 1;
    }
}

/// A busy television's calls.
#[derive(Debug, Default, Serialize)]
struct Busy {
    sign_outs: usize,
    /// Those that began before the answer: let in, or refused while the sign-out was
    /// on its way.
    before: Tally,
    after: Tally,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Figures {
    rounds: Vec<Round>,
    /// Every call after an answer, by way and by door.
    after: Vec<(Way, Door, Tally)>,
    busy: Busy,
    /// Sessions that ended though nobody signed them out.
    lost: usize,
}

/// Signs out in every way.
pub async fn measure() -> Result<Figures> {
    let mut home = Home::new().await?;
    let mut figures = Figures {
        rounds: Vec::new(),
        after: Vec::new(),
        busy: Busy::default(),
        lost: 0,
    };
    for way in WAYS {
        for door in DOORS {
            figures.after.push((way, door, Tally::default()));
        }
    }
    let counted = WAYS.len() * DOORS.len() * EACH;
    for n in 0..WARM_UP + counted {
        if n % 25 == WARM_UP {
            eprintln!(
                "end-to-end: sign-outs, {} of {counted} …",
                n.saturating_sub(WARM_UP)
            );
        }
        let way = WAYS[n % WAYS.len()];
        // Each way is followed by each door in turn.
        let first = n / WAYS.len() % DOORS.len();
        let round = home.round(way, first, &mut figures).await;
        let round = round.with_context(|| format!("round {n}, {}", way.name()))?;
        if n >= WARM_UP {
            figures.rounds.push(round);
        }
    }
    for n in 0..BUSY {
        if n % 20 == 0 {
            eprintln!("end-to-end: sign-outs of a busy device, {n} of {BUSY} …");
        }
        let way = WAYS[n % WAYS.len()];
        home.busy(way, n / WAYS.len() % 4, &mut figures).await?;
    }
    home.listening.abort();
    Ok(figures)
}

impl Figures {
    /// Sessions that were alive and should have been dead: each call is one.
    pub fn alive(&self) -> usize {
        let after = self.after.iter().map(|(_, _, after)| after.let_in);
        after.sum::<usize>() + self.busy.after.let_in
    }

    /// Sessions that ended though nobody signed them out.
    pub fn lost(&self) -> usize {
        self.lost
    }

    /// For the eye.
    pub fn tables(&self) -> Vec<Table> {
        vec![self.by_way(), self.by_door(), self.of_busy()]
    }

    fn by_way(&self) -> Table {
        let columns = [
            "sign-out",
            "times",
            "answered",
            "next call refused",
            "at a subscriber",
            "socket told",
            "calls after",
            "let in",
        ];
        let title = "From the answer of a sign-out on (answered: from its beginning): \
                     p50 / p99 / max, ms";
        let mut table = Table::new(title, &columns);
        let mut row = |name: &str, is_of: &dyn Fn(Way) -> bool| {
            let rounds = self.rounds.iter().filter(|round| is_of(round.way));
            let rounds: Vec<&Round> = rounds.collect();
            let cell = |figure: fn(&Round) -> f64| {
                Spread::of(rounds.iter().map(|round| figure(round))).cell()
            };
            let after = self.after.iter().filter(|(way, _, _)| is_of(*way));
            let (calls, let_in) = total(after.map(|(_, _, after)| after));
            table.row([
                name.to_owned(),
                rounds.len().to_string(),
                cell(|round| round.answered_ms),
                cell(|round| round.refused_ms),
                cell(|round| round.message_ms),
                cell(|round| round.told_ms),
                calls.to_string(),
                let_in.to_string(),
            ]);
        };
        for way in WAYS {
            row(way.name(), &|of| of == way);
        }
        row("all", &|_| true);
        table
    }

    fn by_door(&self) -> Table {
        let columns = [
            "door",
            "very next calls",
            "refused after",
            "calls after",
            "let in",
        ];
        let title = "The same, by where the dead session knocked: p50 / p99 / max, ms";
        let mut table = Table::new(title, &columns);
        for door in DOORS {
            let rounds = self.rounds.iter().filter(|round| round.door == door);
            let spread = Spread::of(rounds.map(|round| round.refused_ms));
            let after = self.after.iter().filter(|(_, of, _)| *of == door);
            let (calls, let_in) = total(after.map(|(_, _, after)| after));
            table.row([
                door.name().to_owned(),
                spread.times.to_string(),
                spread.cell(),
                calls.to_string(),
                let_in.to_string(),
            ]);
        }
        table
    }

    fn of_busy(&self) -> Table {
        let columns = [
            "sign-outs",
            "begun before the answer: let in",
            "refused",
            "begun after it: refused",
            "let in",
            "errors",
        ];
        let busy = &self.busy;
        let mut table = Table::new("The calls of a device that never stops calling", &columns);
        table.row(
            [
                busy.sign_outs,
                busy.before.let_in,
                busy.before.refused,
                busy.after.refused,
                busy.after.let_in,
                busy.before.neither + busy.after.neither,
            ]
            .map(|count| count.to_string()),
        );
        table
    }
}

/// How many calls, and how many of them were let in.
fn total<'a>(after: impl Iterator<Item = &'a Tally>) -> (usize, usize) {
    after.fold((0, 0), |(calls, let_in), after| {
        let all = after.refused + after.let_in + after.neither;
        (calls + all, let_in + after.let_in)
    })
}

/// A household with a laptop, a television and a subscriber.
struct Home {
    doors: Doors,
    household: Household,
    laptop: Device,
    tv: Device,
    messages: UnboundedReceiver<(String, Instant)>,
    listening: JoinHandle<()>,
}

impl Home {
    async fn new() -> Result<Self> {
        let household = Household::register().await;
        let laptop = household.sign_in(LAPTOP).await;
        let tv = household.sign_in(TV).await;
        let (hear, messages) = unbounded_channel();
        let listener = Listener::of(&laptop.account_id).await?;
        Ok(Self {
            doors: Doors::new()?,
            household,
            laptop,
            tv,
            messages,
            listening: tokio::spawn(listen(listener, hear)),
        })
    }

    /// Signs the television in and out, and looks what becomes of it.
    async fn round(&mut self, way: Way, first: usize, figures: &mut Figures) -> Result<Round> {
        self.sign_in().await;
        let socket = self.doors.socket(&self.tv.token).await?;
        let told = tokio::spawn(told(socket));
        let door = DOORS[first];
        let before = self.doors.knock(door, &self.tv.token).await?;
        ensure!(
            before.verdict == Verdict::LetIn,
            "{} before the sign-out: {:?}",
            door.name(),
            before.verdict
        );

        let begun = Instant::now();
        let answer = self.sign_out(way).await;
        let at = Instant::now();
        let mut refused = Duration::ZERO;
        for n in 0..DOORS.len() {
            let door = DOORS[(first + n) % DOORS.len()];
            let knock = self.doors.knock(door, &self.tv.token).await?;
            count(figures, way, door, knock)?;
            if n == 0 {
                refused = knock.took;
            }
        }
        let sign_out = id_of(&answer);
        let message = self.message(&sign_out).await?;
        let told = timeout(PATIENCE, told).await;
        let (heard, frame) = told.context("the device was not told")???;
        ensure!(
            heard == sign_out,
            "the device was told of another sign-out, {heard}"
        );
        self.look_at_the_laptop(way, figures).await?;
        Ok(Round {
            way,
            answered_ms: ms(at - begun),
            door,
            refused_ms: ms(refused),
            message_ms: ms(message.saturating_duration_since(at)),
            // The push can overtake the answer.
            told_ms: ms(frame.saturating_duration_since(at)),
        })
    }

    /// The same of a television that calls without a pause through two doors, signed
    /// out after so many of its calls.
    async fn busy(&mut self, way: Way, calls: usize, figures: &mut Figures) -> Result<()> {
        self.sign_in().await;
        let (answered, is_answered) = watch::channel(None);
        let (called, mut calling) = unbounded_channel();
        let mut lives = Vec::new();
        for door in [Door::Session, Door::Authorizer] {
            let life = Life {
                doors: self.doors.clone(),
                door,
                token: self.tv.token.clone(),
                answered: is_answered.clone(),
                called: called.clone(),
            };
            lives.push(tokio::spawn(life.live()));
        }
        for _ in 0..calls {
            calling.recv().await.context("a life has ended early")?;
        }
        let answer = self.sign_out(way).await;
        answered.send_replace(Some(Instant::now()));
        let _ = id_of(&answer);
        for life in lives {
            let (before, after) = timeout(PATIENCE, life).await???;
            for verdict in before {
                figures.busy.before.add(verdict);
            }
            for verdict in after {
                figures.busy.after.add(verdict);
            }
        }
        figures.busy.sign_outs += 1;
        self.look_at_the_laptop(way, figures).await
    }

    /// The television, signed in again as the same device.
    async fn sign_in(&mut self) {
        let key = json!({ "device_key": self.tv.key });
        self.tv = self.household.sign_in_with(TV, key).await;
    }

    async fn sign_out(&mut self, way: Way) -> Answer {
        match way {
            Way::Local => self.tv.post("/v1/sign-out").await,
            Way::Device => self.laptop.sign_out(&self.tv.id).await,
            Way::Others => self.laptop.sign_out_all("others").await,
            Way::Global => self.laptop.sign_out_all("global").await,
            Way::Password => {
                let new = format!("quiet otter {}", unique());
                let old = std::mem::replace(&mut self.household.password, new.clone());
                self.laptop.change_password(&old, &new, true).await
            }
        }
    }

    /// It is still signed in, but after `global`.
    async fn look_at_the_laptop(&mut self, way: Way, figures: &mut Figures) -> Result<()> {
        let knock = self.doors.knock(Door::Session, &self.laptop.token).await?;
        if way == Way::Global {
            count(figures, way, Door::Session, knock)?;
            let key = json!({ "device_key": self.laptop.key });
            self.laptop = self.household.sign_in_with(LAPTOP, key).await;
        } else if knock.verdict == Verdict::Refused {
            figures.lost += 1;
            bail!("{} has ended the laptop's session, too", way.name());
        }
        Ok(())
    }

    /// When the first message of a sign-out came.
    async fn message(&mut self, sign_out: &str) -> Result<Instant> {
        let heard = async {
            loop {
                let message = self.messages.recv().await;
                let (of, at) = message.context("nobody listens any more")?;
                if of == sign_out {
                    return Ok(at);
                }
            }
        };
        timeout(PATIENCE, heard)
            .await
            .context("no subscriber heard of it")?
    }
}

/// Counts a call after the answer. An error is no refusal, and not what is measured.
fn count(figures: &mut Figures, way: Way, door: Door, knock: Knock) -> Result<()> {
    if let Verdict::Neither(status) = knock.verdict {
        bail!("{} answered {status}", door.name());
    }
    let mut after = figures.after.iter_mut();
    let (_, _, after) = after
        .find(|(of, at, _)| (*of, *at) == (way, door))
        .expect("every way and door is there");
    after.add(knock.verdict);
    Ok(())
}

/// Tells of each message by the sign-out that it is about.
async fn listen(mut listener: Listener, hear: UnboundedSender<(String, Instant)>) {
    let mut known = 0;
    while let Ok(heard) = listener.until(|heard| heard.len() > known).await {
        for one in &heard[known..] {
            if let Some(sign_out) = one.claims["txn"].as_str() {
                // Nobody asks any more at the end.
                let _ = hear.send((sign_out.to_owned(), one.at));
            }
        }
        known = heard.len();
    }
}

/// Waits for the revocation, acknowledges it, and waits for the end of the socket;
/// which sign-out it told of, and when it came.
async fn told(mut socket: Socket) -> Result<(String, Instant)> {
    let mut told = None;
    while let Some(frame) = socket.next().await? {
        let at = Instant::now();
        let Frame::SessionRevoked { signed_out, .. } = frame else {
            bail!("the device heard something else");
        };
        let sign_out = signed_out.sign_out.context("a revocation has its id")?;
        if told.is_none() {
            socket.acknowledge(&sign_out).await?;
            told = Some((sign_out, at));
        }
    }
    told.context("the socket was closed without a word")
}

/// One of the things that a busy television does at once.
struct Life {
    doors: Doors,
    door: Door,
    token: String,
    answered: watch::Receiver<Option<Instant>>,
    called: UnboundedSender<()>,
}

impl Life {
    /// Calls until some of the calls have begun after the answer; what came of those
    /// before it and after.
    async fn live(self) -> Result<(Vec<Verdict>, Vec<Verdict>)> {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        while after.len() < CALLS_AFTER {
            let knock = self.doors.knock(self.door, &self.token).await?;
            let is_after = self.answered.borrow().is_some_and(|at| knock.began > at);
            if is_after { &mut after } else { &mut before }.push(knock.verdict);
            let _ = self.called.send(());
        }
        Ok((before, after))
    }
}

/// The id of a sign-out that was answered.
fn id_of(answer: &Answer) -> String {
    let body = answer.done(200);
    let id = body["sign_out"]["id"].as_str();
    id.expect("a sign-out has an id").to_owned()
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_was_let_in_once_is_alive_wherever_it_was() {
        let of = |verdicts: &[Verdict]| {
            let mut tally = Tally::default();
            for verdict in verdicts {
                tally.add(*verdict);
            }
            tally
        };
        let dead = of(&[Verdict::Refused, Verdict::Neither(502), Verdict::Refused]);
        let alive = of(&[Verdict::Refused, Verdict::LetIn]);
        let figures = |door: Tally, busy: Tally| Figures {
            rounds: Vec::new(),
            after: vec![
                (Way::Others, Door::Session, dead),
                (Way::Global, Door::Socket, door),
            ],
            busy: Busy {
                after: busy,
                ..Busy::default()
            },
            lost: 0,
        };

        assert_eq!(figures(dead, dead).alive(), 0);
        assert_eq!(figures(alive, dead).alive(), 1);
        assert_eq!(figures(alive, alive).alive(), 2);
        assert_eq!(total([dead, alive].iter()), (5, 1));
    }
}
