//! Who tells the story: calls for the devices, listens to the topic, and compares
//! what came with what should have come.

use std::fmt::Debug;
use std::time::Duration;

use crate::Stage;
use anyhow::Result;
use curfew_client::{By, EndReason, Event as News, Frame, SignedOut};
use http_api::{DeviceView, PartView, ReceiptView, SignOutView, Status};
use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout_at};

use crate::device::{Answer, Call, Device, Household};
use crate::event::{Event, Expected};
use crate::live::{Film, Live};
use crate::page::{Page, Row, shown};
use crate::subscription::Subscription;

/// How long an event may take. It takes a second, or a few when functions start
/// on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The same, once one has not come: the rest of the story should not take long.
const LITTLE_PATIENCE: Duration = Duration::from_secs(3);

/// Between two looks at a receipt.
const LOOK: Duration = Duration::from_millis(100);

/// Who tells of events.
const SNS: &str = "SNS";

/// Who tells of sockets, and of films.
const SOCKETS: &str = "Sockets";
const FILMS: &str = "Films";

/// So much of a film is enough to know that it plays.
const PIECES: usize = 3;

/// Tells the story, from the first line to the last.
pub struct Narrator {
    page: Page,
    record: Stage,
    subscription: Subscription,
    /// The events of the household that were told already.
    heard: Vec<Event>,
    patience: Duration,
}

impl Narrator {
    /// Begins to listen, and writes the first lines.
    ///
    /// # Errors
    /// When the topic can't be listened to.
    pub async fn begin(record: &Stage) -> Result<Self> {
        let subscription = Subscription::begin(record).await?;
        let page = Page::new();
        page.title("Curfew sends every device home");
        page.remark(&format!("API    {}", record.api_url));
        page.remark(&format!("Socket {}", record.socket_url));
        page.remark(&format!("Topic  {}", record.topic_arn));
        page.remark(&format!("Films  {}", record.example_url));
        Ok(Self {
            page,
            record: record.clone(),
            subscription,
            heard: Vec::new(),
            patience: PATIENCE,
        })
    }

    /// Takes away what the story made, and sums up.
    ///
    /// # Errors
    /// When the story did not come to its end, when something in it was not as
    /// it should be, or when something is left behind.
    pub async fn end(self, told: Result<()>) -> Result<()> {
        let Self {
            mut page,
            subscription,
            record,
            ..
        } = self;
        if let Err(error) = told {
            page.failed("The story goes on to its end", format!("{error:#}"));
        }
        if let Err(error) = subscription.end().await {
            page.failed("The story leaves nothing behind", format!("{error:#}"));
        }
        page.close(&record.logs.display().to_string())
    }

    /// Begins the next step.
    pub fn step(&mut self, title: &str) {
        self.page.step(title);
    }

    /// Calls the API from a device, and shows what was called and what came back.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn call(&self, device: &Device, call: Call) -> Result<Answer> {
        let mut details = Vec::new();
        if call.is_sign_in() {
            details.push(format!("User-Agent: {}", device.user_agent));
            let hints = device.hints.iter();
            details.extend(hints.map(|(name, value)| format!("{name}: {value}")));
        }
        details.extend(call.body());
        self.page.called(device.role, &call.line(), &details);
        let answer = device.call(&self.record.api_url, &call).await?;
        self.page
            .answered(answer.status, answer.took, &answer.essentials());
        Ok(answer)
    }

    /// Compares what came with what should have come.
    pub fn expect<T: PartialEq + Debug>(&mut self, claim: &str, came: &T, expected: &T) {
        self.page.expect(claim, came, expected);
    }

    /// Makes a call with what the device still holds, and expects that it is
    /// refused and told by which sign-out it was ended.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn is_refused(
        &mut self,
        device: &Device,
        by: &SignOutView,
        reason: &str,
    ) -> Result<()> {
        let answer = self.call(device, Call::get("/v1/session")).await?;
        let text = |pointer| answer.text(pointer).map(str::to_owned);
        let came = AuthError {
            problem: answer.problem(),
            reason: text("/reason"),
            at: text("/signed_out_at"),
            by: text("/signed_out_by/name"),
        };
        let expected = AuthError {
            problem: (401, Some("session-signed-out")),
            reason: Some(reason.to_owned()),
            at: Some(by.requested_at.to_string()),
            by: by.requested_by.as_ref().map(|device| device.name.clone()),
        };
        let claim = format!(
            "{} is refused, and told when, by which device and why",
            device.role
        );
        self.expect(&claim, &came, &expected);
        Ok(())
    }

    /// Makes a call, and expects that the device is still let in.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn is_let_in(&mut self, device: &Device) -> Result<()> {
        let answer = self.call(device, Call::get("/v1/session")).await?;
        let claim = format!("{} is let in", device.role);
        let came = (answer.status, answer.text("/device/id").map(str::to_owned));
        self.expect(&claim, &came, &(200, device.id.clone()));
        Ok(())
    }

    /// Lets devices that have signed in keep a socket open, and expects that they
    /// do.
    ///
    /// # Errors
    /// When one of them has not signed in.
    pub async fn connect<const N: usize>(&mut self, devices: [&mut Device; N]) -> Result<()> {
        let mut flaws = Vec::new();
        for device in devices {
            let session = device.begun()?;
            let before = device.live.take();
            match Live::begin(before, &self.record, device, session).await {
                Ok(live) => {
                    if !live.is_connected().await {
                        flaws.push(format!("{} does not", device.role));
                    }
                    device.live = Some(live);
                }
                Err(error) => flaws.push(format!("{} does not: {error:#}", device.role)),
            }
        }
        let claim = match N {
            1 => "It keeps a socket open".to_owned(),
            _ => format!("All {N} keep a socket open"),
        };
        self.page.came(SOCKETS, &claim, &flaws, &[]);
        Ok(())
    }

    /// Takes the network from a device.
    ///
    /// # Errors
    /// When it has no client.
    pub async fn switch_off(&mut self, device: &Device) -> Result<()> {
        let live = device.live()?.heedful()?;
        live.client.set_offline(true);
        let came = live.next().await.map(|(news, _)| news);
        self.page.came_besides(device.role, "is switched off", &[]);
        self.expect("Its socket is gone", &came, &Some(News::Disconnected));
        Ok(())
    }

    /// Gives a device its network back, and expects that it asks, is told by which
    /// sign-out its session was ended, and goes dark.
    ///
    /// # Errors
    /// When it has no client.
    pub async fn switch_on(
        &mut self,
        device: &Device,
        by: &SignOutView,
        reason: &str,
    ) -> Result<()> {
        let since = std::time::Instant::now();
        self.page
            .came_besides(device.role, "has its network again", &[]);
        device.live()?.heedful()?.client.set_offline(false);
        self.goes_dark(device, by, reason, since).await
    }

    /// Lets a device play a film, and expects that it does.
    ///
    /// # Errors
    /// When it is not signed in.
    pub async fn plays(&mut self, device: &Device, film: usize) -> Result<Film> {
        let mut film = Film::begin(&self.record, device, film)?;
        self.page
            .came_besides(device.role, "asks for one piece after the other", &[]);
        match film.pieces(PIECES).await {
            Ok(piece) => {
                let claim = format!(
                    "“{}” plays, piece {} of {}",
                    piece.title,
                    piece.position + 1,
                    piece.of
                );
                let scene = format!("“{}”", piece.scene);
                self.page.came(FILMS, &claim, &[], &[scene]);
            }
            Err(error) => {
                let flaws = [format!("{error:#}")];
                self.page.came(FILMS, "The film plays", &flaws, &[]);
            }
        }
        Ok(film)
    }

    /// Expects that a film stops, and that no piece of it came that was asked for
    /// after the answer. Then the device asks Curfew what that means.
    ///
    /// # Errors
    /// When the device has no client.
    pub async fn stops(
        &mut self,
        device: &Device,
        mut film: Film,
        since: std::time::Instant,
    ) -> Result<()> {
        let (claim, flaws) = match film.refused().await {
            Err(error) => ("The film stops".to_owned(), vec![format!("{error:#}")]),
            Ok(refused) => {
                let after = shown(refused.at.saturating_duration_since(since));
                let mut flaws = Vec::new();
                if refused.last_asked.is_some_and(|asked| asked > since) {
                    flaws.push("a piece came that was asked for after the answer".to_owned());
                }
                if refused.status != 403 {
                    flaws.push(format!("the refusal is {}", refused.status));
                }
                let claim =
                    format!("The film stops: its next piece is refused, {after} after the answer");
                (claim, flaws)
            }
        };
        self.page.came(FILMS, &claim, &flaws, &[]);
        device.live()?.heedful()?.client.check_session();
        Ok(())
    }

    /// Expects that a device is told by which sign-out its session was ended,
    /// stops, wipes itself, shows the sign-in screen and acknowledges.
    ///
    /// # Errors
    /// When it has no client.
    pub async fn goes_dark(
        &mut self,
        device: &Device,
        by: &SignOutView,
        reason: &str,
        since: std::time::Instant,
    ) -> Result<()> {
        let live = device.live()?.heedful()?;
        let expected = ended(by, reason);
        let (mut flaws, mut seen, mut how) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let Some((news, at)) = live.next().await else {
                flaws.push(format!("it waits in vain after {}", seen.join(", ")));
                break;
            };
            let after = shown(at.saturating_duration_since(since));
            match news {
                News::Stopped(told, way) => {
                    if told != expected {
                        flaws.push(format!("it was told {told:?}"));
                    }
                    how.push(format!("told {way} after {after}"));
                    seen.push("stopped");
                }
                News::Wiped => {
                    if !live.is_empty() {
                        flaws.push("something of the account is left".to_owned());
                    }
                    seen.push("wiped");
                }
                News::SignInScreen(because) => {
                    if because != EndReason::SignedOut(expected.clone()) {
                        flaws.push(format!("its sign-in screen says {because:?}"));
                    }
                    seen.push("sign-in screen");
                }
                News::Acknowledged(way) => {
                    how.push(format!("acknowledged {way} after {after}"));
                    seen.push("acknowledged");
                    break;
                }
                News::NotAcknowledged => {
                    flaws.push("it could not acknowledge".to_owned());
                    break;
                }
                // It may lose its socket at any time.
                News::Connected | News::Disconnected | News::Retrying { .. } => {}
                News::Heartbeat | News::Problem(_) | News::WipeFailed(_) => {
                    flaws.push(format!("{news:?} came"));
                }
            }
        }
        if seen != ["stopped", "wiped", "sign-in screen", "acknowledged"] {
            flaws.push(format!("it did this: {}", seen.join(", ")));
        }
        let claim = "goes dark: it stops, wipes itself, and shows the sign-in screen";
        self.page.came(device.role, claim, &flaws, &how);
        Ok(())
    }

    /// Expects that a device which heeds nothing is told all the same.
    ///
    /// # Errors
    /// When it has a client.
    pub async fn is_told_in_vain(
        &mut self,
        device: &Device,
        by: &SignOutView,
        reason: &str,
        since: std::time::Instant,
    ) -> Result<()> {
        let told = device.live()?.heedless()?.next().await;
        let after = told
            .as_ref()
            .map(|(_, at)| shown(at.saturating_duration_since(since)));
        let came = told.and_then(|(frame, _)| frame);
        let expected = revoked(device, by, reason);
        let flaws = if came.as_ref() == Some(&expected) {
            Vec::new()
        } else {
            vec![
                format!("came      {came:?}"),
                format!("expected  {expected:?}"),
            ]
        };
        let details: Vec<String> = after
            .map(|after| format!("told over the socket after {after}"))
            .into_iter()
            .collect();
        let claim = "is told, and goes on as if nothing had been said";
        self.page.came(device.role, claim, &flaws, &details);
        Ok(())
    }

    /// Expects that a device which has heeded nothing is hung up on, and that it
    /// was told nothing else: the same thing may come twice.
    ///
    /// # Errors
    /// When it has a client.
    pub async fn is_hung_up_on(
        &mut self,
        device: &Device,
        by: &SignOutView,
        reason: &str,
    ) -> Result<()> {
        let live = device.live()?.heedless()?;
        let revoked = revoked(device, by, reason);
        let came = loop {
            match live.next().await {
                Some((Some(frame), _)) if frame == revoked => {}
                other => break other.map(|(frame, _)| frame),
            }
        };
        let claim = format!(
            "{} is hung up on after a while, and was told nothing else",
            device.role
        );
        self.expect(&claim, &came, &Some(None));
        Ok(())
    }

    /// Expects that nobody has said anything to devices that a sign-out does not
    /// concern.
    ///
    /// # Errors
    /// When one of them has no client.
    pub async fn hear_nothing<const N: usize>(&mut self, devices: [&Device; N]) -> Result<()> {
        let mut came = Vec::new();
        for device in devices {
            let news = device.live()?.heedful()?.pending().await;
            came.extend(news.into_iter().map(|news| (device.role, news)));
        }
        let roles = devices.map(|device| device.role.to_lowercase()).join(", ");
        let claim = format!("Nothing was said to the others: {roles}");
        self.expect(&claim, &came, &Vec::new());
        Ok(())
    }

    /// Looks at the receipt of a sign-out until it says how far each device has
    /// come, and expects that it does: the devices by their names, in the order of
    /// the list.
    ///
    /// # Errors
    /// When no answer came, or none with a receipt.
    pub async fn receipt(
        &mut self,
        reader: &Device,
        sign_out: &SignOutView,
        expected: &[(&Device, &str)],
    ) -> Result<()> {
        let call = Call::get(&format!("/v1/sign-outs/{}", sign_out.id));
        let expected: Vec<_> = expected
            .iter()
            .map(|&(device, state)| (device.looks.name, state))
            .collect();
        let states = |receipt: &ReceiptView| -> Vec<(String, String)> {
            let parts = receipt.devices.iter();
            parts
                .map(|part| (part.name.clone(), part.state.clone()))
                .collect()
        };
        let deadline = Instant::now() + self.patience;
        loop {
            let answer = reader.call(&self.record.api_url, &call).await?;
            let has_come = answer.receipt().is_ok_and(|receipt| {
                let states = states(&receipt);
                let states: Vec<_> = states
                    .iter()
                    .map(|(a, b)| (a.as_str(), b.as_str()))
                    .collect();
                states == expected
            });
            if has_come || Instant::now() > deadline {
                self.page.called(reader.role, &call.line(), &[]);
                self.page
                    .answered(answer.status, answer.took, &answer.essentials());
                let receipt = answer.receipt()?;
                self.show_receipt(&receipt);
                let came = states(&receipt);
                let came: Vec<_> = came.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
                let confirmed = |state: &str| ["acknowledged", "contacted"].contains(&state);
                let count = |of: &dyn Fn(&str) -> bool| {
                    expected.iter().filter(|(_, state)| of(state)).count()
                };
                let (all, done) = (expected.len(), count(&confirmed));
                let told = count(&|state| state == "pushed");
                let open = count(&|state| state == "refused");
                let total = receipt.total;
                let mut claim = format!("The receipt: {done} of {all} confirmed");
                if told > 0 {
                    claim = format!("{claim}, {told} told");
                }
                if open > 0 {
                    claim = format!("{claim}, {open} not reached yet");
                }
                self.expect(
                    &claim,
                    &(
                        (
                            total.devices,
                            total.confirmed,
                            total.pushed,
                            total.not_reached,
                        ),
                        came,
                    ),
                    &((all, done, told, open), expected),
                );
                return Ok(());
            }
            sleep(LOOK).await;
        }
    }

    fn show_receipt(&self, receipt: &ReceiptView) {
        let header = ["", "NAME", "TYPE", "STATE", "TOLD", "REFUSED", "WIPED"];
        let rows: Vec<Row> = receipt.devices.iter().map(part_row).collect();
        self.page.table(&header, &rows);
    }

    /// Shows devices as their owner sees them.
    pub fn show(&self, devices: &[DeviceView]) {
        let header = [
            "",
            "NAME",
            "TYPE",
            "PLACE",
            "SINCE (UTC)",
            "LAST ACTIVE",
            "STATUS",
        ];
        let rows: Vec<Row> = devices.iter().map(row).collect();
        self.page.table(&header, &rows);
    }

    /// Waits for these events. Any other one about the
    /// household is one too many.
    ///
    /// # Errors
    /// When the topic can't be listened to any more.
    pub async fn hear(&mut self, home: &Household, mut expected: Vec<Expected>) -> Result<()> {
        self.page.gap();
        let deadline = Instant::now() + self.patience;
        while !expected.is_empty() {
            let Ok(event) = timeout_at(deadline, self.subscription.next()).await else {
                break;
            };
            self.take(home, event?, &mut expected);
        }
        for missing in expected {
            let late = format!("did not come within {} s", self.patience.as_secs());
            self.page.came(SNS, &missing.headline(), &[late], &[]);
            self.patience = LITTLE_PATIENCE;
        }
        self.page.gap();
        Ok(())
    }

    /// The events of the household that were told, in the order of their coming.
    pub fn heard(&self) -> &[Event] {
        &self.heard
    }

    /// Expects that no event has come beside those that were told.
    ///
    /// # Errors
    /// When the topic can't be listened to any more.
    pub fn hear_no_more(&mut self, home: &Household) -> Result<()> {
        let before = self.heard.len();
        while let Some(event) = self.subscription.pending() {
            self.take(home, event?, &mut Vec::new());
        }
        if self.heard.len() == before {
            self.page.met("No other event about the household has come");
        }
        Ok(())
    }

    /// Tells of one event, unless it is about somebody else or told already.
    fn take(&mut self, home: &Household, event: Event, expected: &mut Vec<Expected>) {
        let is_told = self.heard.iter().any(|earlier| event.repeats(earlier));
        if event.account() != home.account.as_deref() || is_told {
            return;
        }
        let details = event.parts(home);
        let found = expected.iter().position(|one| one.is_met_by(&event));
        if let Some(expected) = found.map(|at| expected.remove(at)) {
            let after = shown(event.at.saturating_duration_since(expected.since));
            let claim = format!("{}, {after} after the answer", expected.headline());
            self.page
                .came(SNS, &claim, &expected.flaws(&event), &details);
        } else if event.is_known(&self.heard) {
            let what = format!("{}, which was known already", event.name());
            self.page.came_besides(SNS, &what, &details);
        } else {
            let flaw = "nobody did anything that tells this".to_owned();
            self.page.came(SNS, event.name(), &[flaw], &details);
        }
        self.heard.push(event);
    }
}

/// What a device is told that is refused because it was signed out.
#[derive(Debug, PartialEq)]
struct AuthError<'a> {
    problem: (u16, Option<&'a str>),
    reason: Option<String>,
    at: Option<String>,
    by: Option<String>,
}

/// What a device is told of a sign-out over its socket.
fn revoked(device: &Device, by: &SignOutView, reason: &str) -> Frame {
    Frame::SessionRevoked {
        session: device.session.clone().unwrap_or_default(),
        signed_out: ended(by, reason),
    }
}

/// The same, however it is told.
fn ended(by: &SignOutView, reason: &str) -> SignedOut {
    SignedOut {
        sign_out: Some(by.id.clone()),
        at: by.requested_at.to_string(),
        by: by.requested_by.as_ref().map(|by| By {
            id: by.id.clone(),
            name: by.name.clone(),
        }),
        reason: reason.to_owned(),
    }
}

fn part_row(part: &PartView) -> Row {
    let time = |at: Option<Timestamp>| match at {
        Some(at) => at.strftime("%H:%M:%S%.3f").to_string(),
        None => "–".to_owned(),
    };
    let sign = match part.state.as_str() {
        "acknowledged" | "contacted" => "✓",
        "pushed" => "→",
        _ => "·",
    };
    Row {
        cells: vec![
            sign.to_owned(),
            part.name.clone(),
            part.device_type.as_str().to_owned(),
            part.state.clone(),
            time(part.pushed_at),
            time(part.contacted_at),
            time(part.acknowledged_at),
        ],
        is_faint: part.state == "refused",
    }
}

fn row(device: &DeviceView) -> Row {
    let by = device.signed_out_by.as_ref().map(|by| by.name.as_str());
    let status = match (device.status, device.signed_out_at, &device.reason) {
        (Status::SignedIn, ..) => "signed in".to_owned(),
        (Status::SignedOut, Some(at), Some(reason)) => {
            let by = by.unwrap_or("an operator");
            format!("{reason} {} by {by}", at.strftime("%H:%M:%S"))
        }
        (Status::SignedOut, ..) => "signed out".to_owned(),
    };
    let location = device.location.as_ref().map(|place| {
        let parts = [place.city.as_deref(), place.country.as_deref()];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    });
    Row {
        cells: vec![
            if device.current { "▸" } else { " " }.to_owned(),
            device.name.clone(),
            device.device_type.as_str().to_owned(),
            location.or(device.ip.clone()).unwrap_or_default(),
            device.signed_in_at.strftime("%H:%M:%S").to_string(),
            device.last_active_at.strftime("%H:%M:%S").to_string(),
            status,
        ],
        is_faint: device.status == Status::SignedOut,
    }
}
