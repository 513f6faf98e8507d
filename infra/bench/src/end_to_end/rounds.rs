//! One sign-out at a time, of a television with an open socket: how long from the answer
//! until the next call is refused, a subscriber hears and the device is notified.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use curfew_client::{Frame, Socket};
use curfew_tests::client::{Device, Household as Account, LAPTOP, TV, unique};
use curfew_tests::listener::Listener;
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::endpoints::{ENDPOINTS, Endpoint, Endpoints};
use super::{PATIENCE, ms, spread};
use crate::report::Table;

/// Rounds whose times don't count: they start the processes of the functions.
const WARM_UP: usize = 10;
/// How often each way of signing out is followed by each endpoint.
const EACH: usize = 10;

/// The way in which the television's session ends.
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

#[derive(Serialize)]
struct Round {
    way: Way,
    /// From the beginning of the sign-out to its answer.
    answered_ms: f64,
    /// The endpoint of the next call, and how long the refusal took.
    endpoint: Endpoint,
    refused_ms: f64,
    /// From the answer to the first message at a subscriber's queue.
    message_ms: f64,
    /// From the answer to the frame at the device.
    notified_ms: f64,
}

/// A call that began after the answer of a sign-out.
#[derive(Serialize)]
struct Late {
    way: Way,
    endpoint: Endpoint,
    is_let_in: bool,
}

#[derive(Default, Serialize)]
pub struct Figures {
    rounds: Vec<Round>,
    late: Vec<Late>,
}

/// Signs out in every way.
pub async fn measure() -> Result<Figures> {
    let mut household = Household::new().await?;
    let mut figures = Figures::default();
    let counted = WAYS.len() * ENDPOINTS.len() * EACH;
    for n in 0..WARM_UP + counted {
        if n % 25 == WARM_UP {
            eprintln!("end-to-end: sign-outs, {} of {counted} …", n - WARM_UP);
        }
        let way = WAYS[n % WAYS.len()];
        // Each way is followed by each endpoint in turn.
        let first = n / WAYS.len() % ENDPOINTS.len();
        let round = household.round(way, first, &mut figures.late).await;
        let round = round.with_context(|| format!("round {n}, {}", way.name()))?;
        if n >= WARM_UP {
            figures.rounds.push(round);
        }
    }
    household.listening.abort();
    Ok(figures)
}

impl Figures {
    /// Returns how many calls were let in that should have been refused.
    pub fn alive(&self) -> usize {
        self.late.iter().filter(|late| late.is_let_in).count()
    }

    /// Times by the way of signing out, and by the endpoint of the next call.
    pub fn table(&self) -> Table {
        let title = "From the answer of a sign-out on (answered: from its beginning): \
                     p50 / p99 / max, ms";
        let columns = [
            "sign-out, endpoint",
            "times",
            "answered",
            "next call refused",
            "at a subscriber",
            "device notified",
            "calls after",
            "let in",
        ];
        let mut table = Table::new(title, &columns);
        let mut row = |name: &str, is_of: &dyn Fn(Way, Endpoint) -> bool| {
            let rounds = || self.rounds.iter().filter(|it| is_of(it.way, it.endpoint));
            let late = || self.late.iter().filter(|it| is_of(it.way, it.endpoint));
            table.row([
                name.to_owned(),
                rounds().count().to_string(),
                spread(rounds().map(|round| round.answered_ms)),
                spread(rounds().map(|round| round.refused_ms)),
                spread(rounds().map(|round| round.message_ms)),
                spread(rounds().map(|round| round.notified_ms)),
                late().count().to_string(),
                late().filter(|late| late.is_let_in).count().to_string(),
            ]);
        };
        for way in WAYS {
            row(way.name(), &|of, _| of == way);
        }
        for endpoint in ENDPOINTS {
            row(endpoint.name(), &|_, of| of == endpoint);
        }
        row("all", &|_, _| true);
        table
    }
}

/// A household with a laptop, a television and a subscriber.
struct Household {
    endpoints: Endpoints,
    tv: Device,
    laptop: Device,
    account: Account,
    /// Sign-outs as the subscriber hears of them.
    messages: UnboundedReceiver<(String, Instant)>,
    listening: JoinHandle<()>,
}

impl Household {
    async fn new() -> Result<Self> {
        let account = Account::register().await;
        let laptop = account.sign_in(LAPTOP).await;
        let tv = account.sign_in(TV).await;
        let (hear, messages) = unbounded_channel();
        let listener = Listener::of(&laptop.account_id).await?;
        Ok(Self {
            endpoints: Endpoints::new()?,
            tv,
            laptop,
            account,
            messages,
            listening: tokio::spawn(listen(listener, hear)),
        })
    }

    /// Signs the television in and out, and tries its token at every endpoint.
    async fn round(&mut self, way: Way, first: usize, late: &mut Vec<Late>) -> Result<Round> {
        self.sign_in().await;
        let socket = self.endpoints.open(&self.tv.token).await?;
        let notified = tokio::spawn(acknowledge(socket));
        let before = self.endpoints.attempt(ENDPOINTS[first], &self.tv.token);
        ensure!(before.await?.is_let_in, "refused before the sign-out");

        let begun = Instant::now();
        let sign_out = self.sign_out(way).await;
        let at = Instant::now();
        let mut refused = None;
        for n in 0..ENDPOINTS.len() {
            let endpoint = ENDPOINTS[(first + n) % ENDPOINTS.len()];
            let attempt = self.endpoints.attempt(endpoint, &self.tv.token).await?;
            let is_let_in = attempt.is_let_in;
            late.push(Late {
                way,
                endpoint,
                is_let_in,
            });
            refused.get_or_insert(attempt.took);
        }
        let message = self.message(&sign_out).await?;
        let notified = timeout(PATIENCE, notified).await;
        let (of, frame) = notified.context("the device was not notified")???;
        ensure!(of == sign_out, "notified of another sign-out, {of}");
        self.check_laptop(way, late).await?;
        Ok(Round {
            way,
            answered_ms: ms(at - begun),
            endpoint: ENDPOINTS[first],
            refused_ms: ms(refused.unwrap_or(Duration::ZERO)),
            message_ms: ms(message.saturating_duration_since(at)),
            // The push can overtake the answer.
            notified_ms: ms(frame.saturating_duration_since(at)),
        })
    }

    /// Signs the television in again as the same device.
    async fn sign_in(&mut self) {
        let key = json!({ "device_key": self.tv.key });
        self.tv = self.account.sign_in_with(TV, key).await;
    }

    /// Signs the television out. Returns the id of the sign-out.
    async fn sign_out(&mut self, way: Way) -> String {
        let answer = match way {
            Way::Local => self.tv.post("/v1/sign-out").await,
            Way::Device => self.laptop.sign_out(&self.tv.id).await,
            Way::Others => self.laptop.sign_out_scope("others").await,
            Way::Global => self.laptop.sign_out_scope("global").await,
            Way::Password => {
                let new = format!("quiet otter {}", unique());
                let old = std::mem::replace(&mut self.account.password, new.clone());
                self.laptop.change_password(&old, &new, true).await
            }
        };
        let id = answer.done(200)["sign_out"]["id"].clone();
        id.as_str().expect("a sign-out has an id").to_owned()
    }

    /// Fails unless the laptop is still signed in. After `global` it must not be, and
    /// signs in again.
    async fn check_laptop(&mut self, way: Way, late: &mut Vec<Late>) -> Result<()> {
        let endpoint = Endpoint::Session;
        let attempt = self.endpoints.attempt(endpoint, &self.laptop.token).await?;
        let is_let_in = attempt.is_let_in;
        if way != Way::Global {
            ensure!(
                is_let_in,
                "{} has ended the laptop's session too",
                way.name()
            );
            return Ok(());
        }
        late.push(Late {
            way,
            endpoint,
            is_let_in,
        });
        let key = json!({ "device_key": self.laptop.key });
        self.laptop = self.account.sign_in_with(LAPTOP, key).await;
        Ok(())
    }

    /// Waits for the first message about a sign-out.
    async fn message(&mut self, sign_out: &str) -> Result<Instant> {
        let heard = async {
            loop {
                let message = self.messages.recv().await;
                let (of, at) = message.context("the listener has ended")?;
                if of == sign_out {
                    return Ok(at);
                }
            }
        };
        let heard = timeout(PATIENCE, heard).await;
        heard.context("no subscriber heard of it")?
    }
}

/// Passes on each message's sign-out, with the time at which it came.
async fn listen(mut listener: Listener, hear: UnboundedSender<(String, Instant)>) {
    let mut known = 0;
    while let Ok(heard) = listener.until(|heard| heard.len() > known).await {
        let at = Instant::now();
        for one in &heard[known..] {
            if let Some(sign_out) = one.claims["txn"].as_str() {
                // The receiver is gone when the measurement ends.
                let _ = hear.send((sign_out.to_owned(), at));
            }
        }
        known = heard.len();
    }
}

/// Acknowledges the revocation and waits for the end of the socket. Returns the sign-out
/// and the time at which the frame came.
async fn acknowledge(mut socket: Socket) -> Result<(String, Instant)> {
    let mut notified = None;
    while let Some(frame) = socket.next().await? {
        let at = Instant::now();
        let Frame::SessionRevoked { signed_out, .. } = frame else {
            bail!("the device got another frame");
        };
        let sign_out = signed_out.sign_out.context("a revocation has its id")?;
        if notified.is_none() {
            socket.acknowledge(&sign_out).await?;
            notified = Some((sign_out, at));
        }
    }
    notified.context("the socket was closed without a frame")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_that_was_let_in_late_counts() {
        let late = |is_let_in| Late {
            way: Way::Others,
            endpoint: Endpoint::Session,
            is_let_in,
        };
        let figures = |late: Vec<Late>| Figures {
            late,
            ..Figures::default()
        };

        assert_eq!(figures(vec![late(false)]).alive(), 0);
        assert_eq!(figures(vec![late(false), late(true)]).alive(), 1);
    }
}
