//! A sign-in with the old password while it is changed, at random moments: the real
//! handlers, each on a thread of its own, over the embedded `DynamoDB`, with the
//! hash as it is deployed.

use std::future::Future;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use curfew_tests::bundle::{Bundle, json_of};
use curfew_tests::engine::Engine;
use curfew_tests::moments::{Dice, run};
use http_api::Reply;

use super::Outcome;
use crate::report::median;
use crate::services::bundle_over;

const EMAIL: &str = "lea@example.com";
const PASSWORDS: [&str; 2] = [
    "quiet otter borrows nine lanterns",
    "nine lanterns drift past the harbour",
];
/// How often each is done alone, to know how long it takes.
const ALONE: usize = 15;

/// A household: the laptop changes the password.
pub struct Household {
    bundle: Bundle,
    laptop: String,
    /// Which of the passwords is the present one.
    at: usize,
    sign_in_s: f64,
    change_s: f64,
    dice: Dice,
}

/// Something that was done, and when.
struct Done {
    reply: Reply,
    began: Instant,
    ended: Instant,
}

impl Household {
    /// Makes it, and takes the time of each half of the race alone.
    ///
    /// # Errors
    /// When a function refuses what it should do.
    pub fn new() -> Result<Self> {
        let bundle = bundle_over(&Engine::new());
        let reply = run(bundle.register(EMAIL, PASSWORDS[0]));
        if reply.status_code != 202 {
            bail!("registering: {reply:?}");
        }
        let laptop = token(&run(bundle.log_in(EMAIL, PASSWORDS[0], None)))?;
        let mut home = Self {
            bundle,
            laptop,
            at: 0,
            sign_in_s: 0.0,
            change_s: 0.0,
            dice: Dice::new(u64::from_be_bytes(runtime::random())),
        };
        let (mut sign_in_s, mut change_s) = (Vec::new(), Vec::new());
        for _ in 0..ALONE {
            let now = Instant::now();
            let signed_in = home.sign_in(now);
            token(&signed_in.reply)?;
            sign_in_s.push((signed_in.ended - now).as_secs_f64());
            let now = Instant::now();
            let changed = home.change(now);
            changed_by(&changed.reply)?;
            home.at = 1 - home.at;
            change_s.push((changed.ended - now).as_secs_f64());
        }
        home.sign_in_s = median(sign_in_s);
        home.change_s = median(change_s);
        Ok(home)
    }

    /// So many rounds of both at once.
    ///
    /// # Errors
    /// When a function neither does nor refuses what it is asked.
    pub fn race(&mut self, rounds: usize) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        for _ in 0..rounds {
            outcome.rounds += 1;
            // So that each may begin at any moment of the other.
            let span = self.sign_in_s + self.change_s;
            let offset = self.dice.share() * span - self.sign_in_s;
            let start = Instant::now() + Duration::from_millis(2);
            let later = |s: f64| start + Duration::from_secs_f64(s.max(0.0));
            let (entry, change) = thread::scope(|scope| {
                let entry = scope.spawn(|| self.sign_in(later(offset)));
                let change = scope.spawn(|| self.change(later(-offset)));
                (entry.join(), change.join())
            });
            let (Ok(entry), Ok(change)) = (entry, change) else {
                bail!("a thread of the race panicked");
            };
            changed_by(&change.reply)?;
            self.at = 1 - self.at;
            if entry.reply.status_code != 401 {
                let new = token(&entry.reply)?;
                let is_overlapping = entry.began < change.ended && change.began < entry.ended;
                outcome.signed_in += 1;
                outcome.overlapping += u64::from(is_overlapping);
                outcome.alive += u64::from(self.is_alive(&new)?);
            }
            outcome.lost += u64::from(!self.is_alive(&self.laptop)?);
        }
        Ok(outcome)
    }

    fn sign_in(&self, moment: Instant) -> Done {
        from(moment, self.bundle.log_in(EMAIL, PASSWORDS[self.at], None))
    }

    fn change(&self, moment: Instant) -> Done {
        let (old, new) = (PASSWORDS[self.at], PASSWORDS[1 - self.at]);
        from(
            moment,
            self.bundle.change_password(&self.laptop, old, new, true),
        )
    }

    fn is_alive(&self, token: &str) -> Result<bool> {
        let reply = run(self.bundle.who_am_i(token));
        match reply.status_code {
            200 => Ok(true),
            401 => Ok(false),
            _ => bail!("a check is not decided: {reply:?}"),
        }
    }
}

fn token(reply: &Reply) -> Result<String> {
    let token = json_of(reply)["token"].as_str().map(ToOwned::to_owned);
    token.with_context(|| format!("signing in: {reply:?}"))
}

fn changed_by(reply: &Reply) -> Result<()> {
    if reply.status_code != 200 {
        bail!("changing the password: {reply:?}");
    }
    Ok(())
}

/// Does something from a moment on.
fn from(moment: Instant, act: impl Future<Output = Reply>) -> Done {
    // The runtime is there before the moment is.
    run(async {});
    while Instant::now() < moment {
        thread::yield_now();
    }
    let began = Instant::now();
    let reply = run(act);
    Done {
        reply,
        began,
        ended: Instant::now(),
    }
}
