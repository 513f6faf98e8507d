//! `cargo run -- device`: a device in a terminal. It plays until it is signed
//! out, and understands a few words.

mod adapter;
pub mod film;
mod screen;
mod typed;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use http::Method;
use http_api::{DeviceView, ReceiptView, Status};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use curfew_client::{
    Answer, Api, Client, Credentials, DeviceInfo, EndReason, Event, Secret, Settings, SignedOut,
    Storage, Timing,
};

use crate::film::{Piece, Projector, Shown};
use crate::screen::{Ink, Screen, bar};

/// How long the last words of a device may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often the line moves.
const FRAME: Duration = Duration::from_millis(200);

/// How often a receipt is looked at, and for how long, after a sign-out.
const LOOK: Duration = Duration::from_millis(400);
const LOOKS: u32 = 25;

/// Before a film is asked for again that did not come.
const AGAIN: Duration = Duration::from_secs(2);

/// How wide the bar is.
const CELLS: usize = 24;

/// The words that it understands.
const WORDS: &str = "devices · out N · out others · out all · out · receipt · \
                     offline · online · quit";

/// How the device is to be.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// What its owner calls it. A device of the same name stays the same one.
    #[arg(long, default_value = "Hotel TV")]
    name: String,
    /// What it is.
    #[arg(long = "type", default_value = "tv",
          value_parser = ["tv", "phone", "tablet", "computer", "console", "other"])]
    device_type: String,
    /// The household to sign in to; the demo household when it is not given.
    #[arg(long)]
    email: Option<String>,
    /// Its password.
    #[arg(long)]
    password: Option<String>,
    /// Another API than that of the running stack.
    #[arg(long, requires_all = ["email", "password"])]
    api_url: Option<String>,
    /// Begin without a network; `online` brings it.
    #[arg(long)]
    offline: bool,
    /// Stay signed in when it ends, as a television does that is switched off.
    /// Otherwise it keeps its device key and nothing else.
    #[arg(long)]
    remember: bool,
    /// Speak JSON with the suite of clients, on standard input and output.
    #[arg(long, conflicts_with_all = ["name", "device_type", "email", "password", "api_url",
                                      "offline", "remember"])]
    adapter: bool,
}

/// The API of a device, and the account that it signs in to.
#[derive(Clone, Debug)]
pub struct Place {
    /// The API.
    pub api_url: String,
    /// The socket, if it is known.
    pub socket_url: Option<String>,
    /// The example API that has the films, if there is one.
    pub example_url: Option<String>,
    /// The account.
    pub credentials: Credentials,
}

impl Arguments {
    /// Returns the running stack, or the API that was named instead of it.
    fn place(&self, running: Option<Place>) -> Result<Place> {
        if let (Some(api_url), Some(email), Some(password)) =
            (&self.api_url, &self.email, &self.password)
        {
            return Ok(Place {
                api_url: api_url.clone(),
                socket_url: None,
                example_url: None,
                credentials: Credentials {
                    email: email.clone(),
                    password: Secret::new(password),
                },
            });
        }
        let Some(mut place) = running else {
            bail!(
                "No stack is running on this machine. Start one with `cargo run` in another \
                 terminal, or name an API with --api-url, --email and --password."
            );
        };
        if let Some(email) = &self.email {
            place.credentials.email.clone_from(email);
            if self.password.is_none() {
                bail!("--email needs --password");
            }
        }
        if let Some(password) = &self.password {
            place.credentials.password = Secret::new(password);
        }
        Ok(place)
    }
}

fn folder_name(name: &str) -> Result<String> {
    let folder = name.replace(['/', '\\', '\0'], "-");
    if folder.trim().is_empty() || folder.starts_with('.') || folder.len() > 200 {
        bail!("--name {name:?} can't be used as the name of a folder");
    }
    Ok(folder)
}

/// Runs the device until its session is over, or until it is told to end.
///
/// # Errors
/// When it can't be signed in, or when the terminal fails it.
pub async fn run(
    arguments: Arguments,
    folder: &Path,
    running: Option<Place>,
    told_to_end: impl Future<Output = Result<()>>,
) -> Result<ExitCode> {
    if arguments.adapter {
        return adapter::run().await.map(|()| ExitCode::SUCCESS);
    }
    let device = Device::switch_on(&arguments, folder, running)?;
    tokio::select! {
        lived = device.live(arguments.offline) => lived,
        told = told_to_end => told.map(|()| ExitCode::SUCCESS),
    }
}

/// What a person has in front of them.
struct Device {
    screen: Screen,
    name: String,
    folder: PathBuf,
    credentials: Credentials,
    client: Client,
    news: UnboundedReceiver<Event>,
    projector: Option<Projector>,
    playing: Option<AbortHandle>,
    shown: UnboundedReceiver<Shown>,
    show: UnboundedSender<Shown>,
    /// What is on the screen, since when.
    piece: Option<(Piece, Instant)>,
    is_connected: bool,
    is_offline: bool,
    has_played: bool,
    /// Why nothing plays, as far as it was said.
    trouble: Option<String>,
    /// The devices of the last list, for `out N`.
    listed: Vec<DeviceView>,
    /// The last sign-out from here.
    sign_out: Option<String>,
    /// How often its receipt is still looked at.
    looks: u32,
    /// What the receipt last said.
    said: String,
}

impl Device {
    fn switch_on(arguments: &Arguments, folder: &Path, running: Option<Place>) -> Result<Self> {
        let place = arguments.place(running)?;
        let folder = folder.join(folder_name(&arguments.name)?);
        let memory = if arguments.remember {
            Storage::in_folder(folder.clone())
        } else {
            Storage::device_key_only(folder.clone())
        };
        let memory = memory.with_context(|| format!("{} can't start", arguments.name))?;
        let api = Api::new(&place.api_url)?;
        api.set_offline(arguments.offline);
        let projector = match &place.example_url {
            // Another film on each device.
            Some(url) => Some(Projector::new(&api, url, arguments.name.len())?),
            None => None,
        };
        let settings = Settings {
            api,
            socket_url: place.socket_url,
            device: DeviceInfo {
                name: Some(arguments.name.clone()),
                device_type: Some(arguments.device_type.clone()),
                app: Some("Curfew in a terminal".to_owned()),
            },
            timing: Timing::default(),
        };
        let (client, news) = Client::new(settings, memory);
        let (show, shown) = unbounded_channel();
        Ok(Self {
            screen: Screen::new(),
            name: arguments.name.clone(),
            folder,
            credentials: place.credentials,
            client,
            news,
            projector,
            playing: None,
            shown,
            show,
            piece: None,
            is_connected: false,
            is_offline: arguments.offline,
            has_played: false,
            trouble: None,
            listed: Vec::new(),
            sign_out: None,
            looks: 0,
            said: String::new(),
        })
    }

    /// Lives until the session is over.
    async fn live(mut self, is_offline: bool) -> Result<ExitCode> {
        let title = self.screen.inked(Ink::Bold, &self.name);
        self.screen.line(&title);
        let mut words = typed::lines();
        if is_offline {
            self.screen
                .say("There is no network. Type online to have it.");
            self.wait_for_network(&mut words).await?;
        }
        self.come_in().await?;
        let mut frames = interval(FRAME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                news = self.news.recv() => {
                    if let Some(end) = self.hear(news.context("the device has ended")?).await {
                        return Ok(end);
                    }
                }
                shown = self.shown.recv() => self.see(shown.context("the film has ended")?),
                word = words.recv() => match word {
                    Some(word) => {
                        if self.obey(word.trim()).await? {
                            return Ok(ExitCode::SUCCESS);
                        }
                    }
                    // Nobody types; the device goes on.
                    None => words = silence(),
                },
                _ = frames.tick() => self.draw(),
                _ = looks.tick(), if self.looks > 0 => self.look().await,
            }
        }
    }

    async fn wait_for_network(&mut self, words: &mut UnboundedReceiver<String>) -> Result<()> {
        while self.is_offline {
            let word = words.recv().await;
            let word = word.context("nobody is there to type online")?;
            if word.trim() == "online" {
                self.set_offline(false);
            }
        }
        Ok(())
    }

    /// Signs in, unless it still is.
    async fn come_in(&mut self) -> Result<()> {
        if self.client.session().is_some() {
            self.screen
                .say("Still signed in from before, as far as it knows.");
        } else {
            let had_key = self.client.storage().device_key()?.is_some();
            let session = self.client.sign_in(&self.credentials).await;
            session.context("It can't be signed in")?;
            let again = if had_key { ", by its device key" } else { "" };
            self.screen
                .say(&format!("Signed in as {}{again}.", self.credentials.email));
        }
        self.screen.say(&format!("You can type: {WORDS}"));
        self.play();
        Ok(())
    }

    /// Begins to play.
    fn play(&mut self) {
        let (Some(projector), Some(session)) = (&self.projector, self.client.session()) else {
            return;
        };
        let mut projector = projector.clone();
        let show = self.show.clone();
        let playing = tokio::spawn(async move {
            loop {
                let shown = projector.show(&session.token).await;
                let wait = match &shown {
                    Shown::Piece(piece) => Duration::from_secs(piece.plays_seconds.into()),
                    Shown::Refused(_) | Shown::Nothing(_) => AGAIN,
                };
                if show.send(shown).is_err() {
                    return;
                }
                sleep(wait).await;
            }
        });
        self.playing = Some(playing.abort_handle());
    }

    /// Stops whatever plays.
    fn stop(&mut self) {
        if let Some(playing) = self.playing.take() {
            playing.abort();
        }
        self.piece = None;
        self.screen.rest();
    }

    fn see(&mut self, shown: Shown) {
        if self.playing.is_none() {
            return;
        }
        match shown {
            Shown::Piece(piece) => {
                // The films that follow are told by the line that moves.
                if !self.has_played {
                    self.screen.say(&format!("Plays “{}”.", piece.title));
                } else if self.trouble.is_some() {
                    self.screen.say("Plays on.");
                }
                self.has_played = true;
                self.trouble = None;
                self.piece = Some((piece, Instant::now()));
            }
            Shown::Refused(status) => {
                // It may be the end; the service that has refused can't say.
                self.client.check_session();
                self.pause(format!("The film was refused ({status})."));
            }
            Shown::Nothing(why) => self.pause(format!("The film does not come: {why}.")),
        }
    }

    /// Says once why nothing plays.
    fn pause(&mut self, why: String) {
        if self.trouble.as_ref() != Some(&why) {
            self.screen.say(&why);
            self.trouble = Some(why);
        }
    }

    /// Takes in what happened; at the end of the session, how the process ends.
    async fn hear(&mut self, news: Event) -> Option<ExitCode> {
        match news {
            Event::Connected => {
                self.is_connected = true;
                self.screen.say("Its socket is open.");
            }
            Event::Disconnected => {
                self.is_connected = false;
                if !self.is_offline && self.playing.is_some() {
                    self.screen.say("Its socket has closed.");
                }
            }
            Event::Retrying { reason: why, wait } => {
                let wait = wait.as_secs_f64();
                self.screen
                    .say(&format!("Not connected: {why}. Again in {wait:.1} s."));
            }
            Event::Problem(name) => self.screen.say(&format!("The socket answers: {name}.")),
            Event::Stopped(signed_out, way) => {
                self.stop();
                let told = self.screen.inked(Ink::Bad, &told(&signed_out));
                self.screen.say(&format!("{told} It was told {way}."));
            }
            Event::Wiped => self
                .screen
                .say("Wiped: nothing of the account is left here."),
            Event::WipeFailed(why) => {
                let text = format!("It could not be wiped: {why}. Nobody is told that it was.");
                self.screen.say(&self.screen.inked(Ink::Bad, &text));
            }
            Event::SignInScreen(because) => return Some(self.go_dark(because).await),
            // Acknowledgements come after the sign-in screen, which waits for them.
            Event::Heartbeat | Event::Acknowledged(_) | Event::NotAcknowledged => {}
        }
        None
    }

    /// The end: waits until the owner can know, and says how to come back.
    async fn go_dark(&mut self, because: EndReason) -> ExitCode {
        self.stop();
        let code = match because {
            EndReason::Expired | EndReason::Invalid => {
                let why = if because == EndReason::Expired {
                    "The session has run out."
                } else {
                    "The token is that of no session; another sign-in may have replaced it."
                };
                self.screen.say(&self.screen.inked(Ink::Bad, why));
                self.screen.say("Nothing was wiped. Sign in again.");
                ExitCode::FAILURE
            }
            EndReason::SignedOut(_) => {
                self.acknowledged().await;
                ExitCode::SUCCESS
            }
        };
        let key = self.folder.join("device-key");
        self.screen.say(&format!(
            "Dark. It stays the same device by the key in {}.",
            key.display()
        ));
        code
    }

    async fn acknowledged(&mut self) {
        let answered = timeout(PATIENCE, async {
            loop {
                match self.news.recv().await {
                    Some(Event::Acknowledged(way)) => return Some(way),
                    Some(Event::NotAcknowledged) | None => return None,
                    Some(_) => {}
                }
            }
        });
        let text = match answered.await {
            Ok(Some(way)) => self.screen.inked(
                Ink::Good,
                &format!("Acknowledged {way}: the receipt says so."),
            ),
            Ok(None) => "The sign-out could not be acknowledged.".to_owned(),
            Err(_) => "Nobody has answered the acknowledgement.".to_owned(),
        };
        self.screen.say(&text);
    }

    fn set_offline(&mut self, is_offline: bool) {
        self.is_offline = is_offline;
        self.client.set_offline(is_offline);
        self.screen.say(if is_offline {
            "The network is gone."
        } else {
            "The network is back."
        });
    }

    /// Draws the line that moves.
    fn draw(&mut self) {
        if self.client.session().is_none() {
            return;
        }
        let state = match (self.is_offline, self.is_connected) {
            (true, _) => self.screen.inked(Ink::Bad, "○ offline"),
            (false, true) => self.screen.inked(Ink::Good, "● connected"),
            (false, false) => self.screen.inked(Ink::Bad, "○ not connected"),
        };
        let line = match &self.piece {
            None => state,
            Some((piece, since)) => {
                let is_paused = self.is_offline || self.trouble.is_some();
                let played = if is_paused {
                    Duration::ZERO
                } else {
                    since.elapsed()
                };
                let length = f64::from(piece.plays_seconds.max(1));
                let within = (played.as_secs_f64() / length).min(1.0);
                let share = (f64::from(piece.position) + within) / f64::from(piece.of.max(1));
                let (played, rest) = bar(CELLS, share);
                let sign = if is_paused { "⏸" } else { "▶" };
                format!(
                    "{sign} {}  {played}{}  {state}  {}",
                    self.screen.inked(Ink::Bold, &piece.title),
                    self.screen.inked(Ink::Faint, &rest),
                    self.screen.inked(Ink::Faint, &piece.scene)
                )
            }
        };
        self.screen.move_on(line);
    }

    /// Does what was typed; true when that was to end.
    async fn obey(&mut self, words: &str) -> Result<bool> {
        self.screen.typed();
        let words: Vec<&str> = words.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            ["offline"] => self.set_offline(true),
            ["online"] => self.set_offline(false),
            ["devices"] => self.list().await,
            ["receipt"] => {
                self.said.clear();
                self.look().await;
            }
            ["out"] => self.sign_out("/v1/sign-out", None).await,
            ["out", scope @ ("others" | "all")] => {
                let scope = if *scope == "all" { "global" } else { scope };
                let body = json!({ "scope": scope });
                self.sign_out("/v1/sign-out-all", Some(&body)).await;
            }
            ["out", number] => match number.parse().ok().and_then(|n: usize| n.checked_sub(1)) {
                Some(at) if at < self.listed.len() => {
                    let path = format!("/v1/devices/{}/sign-out", self.listed[at].id);
                    self.sign_out(&path, None).await;
                }
                _ => self
                    .screen
                    .say("Type devices first, then out and a number of the list."),
            },
            ["quit"] => {
                self.stop();
                self.screen
                    .say("Switched off. Its session goes on until it is signed out.");
                return Ok(true);
            }
            _ => self.screen.say(&format!("It knows: {WORDS}")),
        }
        Ok(false)
    }

    async fn list(&mut self) {
        let path = "/v1/devices?limit=100";
        let Some(answer) = self.call(Method::GET, path, None).await else {
            return;
        };
        let Some(devices) = member::<Vec<DeviceView>>(&answer, "/devices") else {
            return self.screen.say(&answer.message());
        };
        for (at, device) in devices.iter().enumerate() {
            let kind = device.device_type.as_str();
            let since = device.signed_in_at.strftime("%H:%M:%S");
            let this = if device.current { "  ← this one" } else { "" };
            let line = format!(
                "  {:>2}  {:<24} {kind:<9} since {since}{this}",
                at + 1,
                device.name
            );
            let is_out = device.status == Status::SignedOut;
            let ink = if is_out { Ink::Faint } else { Ink::Bold };
            self.screen.line(&self.screen.inked(ink, &line));
        }
        self.listed = devices;
    }

    async fn sign_out(&mut self, path: &str, body: Option<&serde_json::Value>) {
        let Some(answer) = self.call(Method::POST, path, body).await else {
            return;
        };
        let Some(id) = self.client.apply_sign_out(&answer, "signed_out") else {
            return self.screen.say(&answer.message());
        };
        self.screen
            .say("Signed out. Every request from there is refused from now on.");
        self.sign_out = Some(id);
        self.said.clear();
        self.looks = LOOKS;
    }

    /// Looks how far the last sign-out has come, and says what is new.
    async fn look(&mut self) {
        let Some(sign_out) = self.sign_out.clone() else {
            return self.screen.say("Nothing was signed out from here.");
        };
        self.looks = self.looks.saturating_sub(1);
        if self.client.session().is_none() {
            self.looks = 0;
            return;
        }
        let path = format!("/v1/sign-outs/{sign_out}");
        let Some(answer) = self.call(Method::GET, &path, None).await else {
            return;
        };
        let Some(receipt) = member::<ReceiptView>(&answer, "/sign_out") else {
            self.looks = 0;
            return self.screen.say(&answer.message());
        };
        let total = receipt.total;
        let text = format!(
            "{} of {} confirmed, {} told, {} not reached yet",
            total.confirmed, total.devices, total.pushed, total.not_reached
        );
        if total.confirmed == total.devices {
            self.looks = 0;
        }
        if text != self.said {
            self.screen.say(&format!("Receipt: {text}."));
            for part in &receipt.devices {
                let line = format!("      {:<24} {}", part.name, part.state);
                self.screen.line(&self.screen.inked(Ink::Faint, &line));
            }
            self.said = text;
        }
    }

    async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Option<Answer> {
        match self.client.call(method, path, body).await {
            Ok(answer) => Some(answer),
            Err(failure) => {
                self.screen.say(&format!("Not done: {failure}."));
                None
            }
        }
    }
}

/// What the owner reads on a screen that has gone dark.
fn told(signed_out: &SignedOut) -> String {
    let by = match &signed_out.by {
        Some(by) => format!(" by {}", by.name),
        None => String::new(),
    };
    let at = match signed_out.at.parse::<Timestamp>() {
        Ok(at) => at.strftime("%H:%M:%S UTC").to_string(),
        Err(_) => signed_out.at.clone(),
    };
    let why = match signed_out.reason.as_str() {
        "signed_out" => String::new(),
        "password_changed" => ", because the password was changed".to_owned(),
        "account_disabled" => ", because the account was disabled".to_owned(),
        other => format!(" ({other})"),
    };
    format!("Signed out{by} at {at}{why}.")
}

fn member<T: DeserializeOwned>(answer: &Answer, pointer: &str) -> Option<T> {
    T::deserialize(answer.json.pointer(pointer)?).ok()
}

/// A terminal at which nobody will ever type.
fn silence() -> UnboundedReceiver<String> {
    let (say, said) = unbounded_channel();
    tokio::spawn(async move { say.closed().await });
    said
}

#[cfg(test)]
mod tests {
    use curfew_client::{By, SignedOut};

    use super::{folder_name, told};

    #[test]
    fn a_name_leads_nowhere_else() {
        assert_eq!(folder_name("a/../b").unwrap(), "a-..-b");
        for name in ["", " ", ".", "..", ".hidden"] {
            assert!(folder_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_dark_screen_says_by_whom_when_and_why() {
        let mut signed_out = SignedOut {
            sign_out: None,
            at: "2026-11-20T10:30:00.25Z".into(),
            by: Some(By {
                id: "1".into(),
                name: "Lea's phone".into(),
            }),
            reason: "password_changed".into(),
        };
        assert_eq!(
            told(&signed_out),
            "Signed out by Lea's phone at 10:30:00 UTC, because the password was changed."
        );
        signed_out.by = None;
        signed_out.reason = "signed_out".into();
        assert_eq!(told(&signed_out), "Signed out at 10:30:00 UTC.");
    }
}
