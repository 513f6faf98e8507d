//! The device: signs in, shows what happens, and goes dark.

use std::io::{IsTerminal, stdin};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use curfew_client::{
    Api, Client, Credentials, DeviceInfo, EndReason, Error, Event, Proof, SecondStep, Session,
    Settings, SignedOut, Storage, Timing,
};
use jiff::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::codes::Challenges;
use crate::commands::{COMMANDS, Receipt};
use crate::film::{Fetched, Projector};
use crate::player::Player;
use crate::screen::{Ink, Screen};
use crate::{Arguments, Place, input};
use http_api::DeviceView;

/// The time that the acknowledgement may take at the end.
const ACKNOWLEDGEMENT_TIMEOUT: Duration = Duration::from_secs(20);

/// The time between two frames of the moving line.
const FRAME: Duration = Duration::from_millis(200);

/// The time between two reads of a receipt.
const RECEIPT_POLL: Duration = Duration::from_secs(1);

pub(crate) struct Device {
    pub(crate) screen: Screen,
    pub(crate) client: Client,
    pub(crate) player: Player,
    /// The devices of the last list, for `out N`.
    pub(crate) listed: Vec<DeviceView>,
    /// The receipt of the last sign-out from here.
    pub(crate) receipt: Receipt,
    name: String,
    folder: PathBuf,
    pub(crate) credentials: Credentials,
    /// What codes in mails work with.
    pub(crate) challenges: Challenges,
    events: UnboundedReceiver<Event>,
    is_connected: bool,
    is_offline: bool,
}

impl Device {
    pub(crate) fn new(arguments: &Arguments, place: Place, folder: PathBuf) -> Result<Self> {
        let storage = if arguments.remember {
            Storage::in_folder(folder.clone())
        } else {
            Storage::device_key_only(folder.clone())
        };
        let storage = storage.with_context(|| format!("{} can't start", arguments.name))?;
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
        let (client, events) = Client::new(settings, storage);
        Ok(Self {
            screen: Screen::new(),
            client,
            player: Player::new(projector),
            listed: Vec::new(),
            receipt: Receipt::default(),
            name: arguments.name.clone(),
            folder,
            credentials: place.credentials,
            challenges: Challenges::default(),
            events,
            is_connected: false,
            is_offline: arguments.offline,
        })
    }

    /// Runs until the session has ended, or the owner quits.
    pub(crate) async fn run(mut self, is_offline: bool) -> Result<ExitCode> {
        let title = self.screen.inked(Ink::Bold, &self.name);
        self.screen.line(&title);
        let mut lines = input::lines();
        if is_offline {
            self.screen.say("No network. Type online to connect.");
            self.wait_for_network(&mut lines).await?;
        }
        if let Err(failed) = self.sign_in().await {
            self.wait_for_way_in(failed, &mut lines).await?;
        }
        let (mut frames, mut polls) = (ticks(FRAME), ticks(RECEIPT_POLL));
        loop {
            tokio::select! {
                event = self.events.recv() => {
                    let event = event.context("the client has ended")?;
                    if let Some(code) = self.handle(event).await {
                        return Ok(code);
                    }
                }
                fetched = self.player.next() => self.show(fetched),
                line = lines.recv() => match line {
                    Some(line) => {
                        if self.run_command(line.trim()).await? {
                            return Ok(ExitCode::SUCCESS);
                        }
                    }
                    // Ctrl-D.
                    None if stdin().is_terminal() => {
                        self.quit();
                        return Ok(ExitCode::SUCCESS);
                    }
                    // Without a keyboard the device goes on.
                    None => lines = silence(),
                },
                _ = frames.tick() => self.draw(),
                _ = polls.tick(), if self.receipt.is_watched => self.read_receipt().await,
            }
        }
    }

    async fn wait_for_network(&mut self, lines: &mut UnboundedReceiver<String>) -> Result<()> {
        while self.is_offline {
            let line = lines.recv().await;
            let line = line.context("standard input ended before `online`")?;
            if line.trim() == "online" {
                self.set_offline(false);
            }
        }
        Ok(())
    }

    /// Signs in, unless a stored session is resumed, and starts to play.
    pub(crate) async fn sign_in(&mut self) -> Result<()> {
        self.sign_in_as(None).await
    }

    /// Signs in, with a pass if there is one.
    pub(crate) async fn sign_in_as(&mut self, pass: Option<&Proof>) -> Result<()> {
        if self.client.session().is_some() {
            self.screen.say("Still signed in from before.");
        } else {
            let had_key = self.has_key()?;
            let (client, credentials) = (&mut self.client, &self.credentials);
            let session = match pass {
                None => client.sign_in(credentials).await,
                Some(pass) => client.sign_in_with_pass(credentials, pass).await,
            };
            self.say_signed_in(session, had_key)?;
        }
        self.play();
        Ok(())
    }

    /// Completes the sign-in with a factor, and starts to play.
    pub(crate) async fn complete_sign_in(&mut self, step: &SecondStep) -> Result<()> {
        let email = &self.credentials.email;
        let session = self.client.complete_sign_in(email, step).await;
        self.say_signed_in(session, false)?;
        self.play();
        Ok(())
    }

    fn say_signed_in(&mut self, session: Result<Session, Error>, had_key: bool) -> Result<()> {
        if let Err(error) = &session
            && error.problem.as_deref() == Some("second-step-required")
        {
            self.challenges.step.clone_from(&error.challenge);
            self.screen
                .say("Type: factor CODE, or lost if you no longer have the app");
        }
        session.context("Sign-in failed")?;
        self.challenges.step = None;
        let again = if had_key { " as the same device" } else { "" };
        let email = &self.credentials.email;
        self.screen.say(&format!("Signed in to {email}{again}."));
        Ok(())
    }

    fn play(&mut self) {
        self.screen.say(&format!("Commands: {COMMANDS}"));
        if let Some(session) = self.client.session() {
            self.player.start(session.token);
        }
    }

    fn has_key(&self) -> Result<bool> {
        let storage = self.client.storage();
        Ok(storage.device_key_of(&self.credentials.email)?.is_some())
    }

    fn show(&mut self, fetched: Fetched) {
        if matches!(fetched, Fetched::Refused(_)) {
            // The session may have ended. The service that refused can't tell why.
            self.client.check_session();
        }
        if let Some(text) = self.player.take(fetched) {
            self.screen.say(&text);
        }
    }

    /// Shows an event. Returns the exit code at the end of the session.
    async fn handle(&mut self, event: Event) -> Option<ExitCode> {
        match event {
            Event::Connected => {
                self.is_connected = true;
                self.screen.say("Socket open.");
            }
            Event::Disconnected => {
                self.is_connected = false;
                if !self.is_offline && self.player.is_playing() {
                    self.screen.say("Socket closed.");
                }
            }
            Event::Retrying { reason, wait } => {
                let wait = wait.as_secs_f64();
                let text = format!("Not connected: {reason}. Next attempt in {wait:.1} s.");
                self.screen.say(&text);
            }
            Event::Problem(name) => {
                let text = format!("The API refused a frame: {name}.");
                self.screen.say(&text);
            }
            Event::Stopped(signed_out, channel) => {
                self.stop();
                let text = self.screen.inked(Ink::Bad, &description(&signed_out));
                self.screen.say(&format!("{text} Notified {channel}."));
            }
            Event::Wiped => self.screen.say("Wiped: no data of the account is left."),
            Event::WipeFailed(error) => {
                let text = format!("Wiping failed: {error}. The sign-out is not acknowledged.");
                self.screen.say(&self.screen.inked(Ink::Bad, &text));
            }
            Event::SignInScreen(reason) => return Some(self.go_dark(reason).await),
            // Acknowledgements come after the sign-in screen, which waits for them.
            Event::Heartbeat | Event::Acknowledged(_) | Event::NotAcknowledged => {}
        }
        None
    }

    /// Says why a session has ended that was not signed out.
    fn forgotten(&self, text: &str) -> ExitCode {
        self.screen.say(&self.screen.inked(Ink::Bad, text));
        self.screen.say("Nothing was wiped. Sign in again.");
        ExitCode::FAILURE
    }

    /// Waits for the acknowledgement, and says how to sign in again.
    async fn go_dark(&mut self, reason: EndReason) -> ExitCode {
        self.stop();
        let code = match reason {
            EndReason::Expired => self.forgotten("The session has expired."),
            EndReason::AccountDisabled => self.forgotten("The account is disabled."),
            EndReason::Invalid => {
                self.forgotten("The token is not valid. Another sign-in may have replaced it.")
            }
            EndReason::SignedOut(_) => {
                self.wait_for_acknowledgement().await;
                ExitCode::SUCCESS
            }
        };
        let key = self.folder.join("device-key");
        self.screen.say(&format!(
            "Dark. Run it again to sign in as the same device, by the key in {}.",
            key.display()
        ));
        code
    }

    async fn wait_for_acknowledgement(&mut self) {
        let answered = timeout(ACKNOWLEDGEMENT_TIMEOUT, async {
            loop {
                match self.events.recv().await {
                    Some(Event::Acknowledged(channel)) => return Some(channel),
                    Some(Event::NotAcknowledged) | None => return None,
                    Some(_) => {}
                }
            }
        });
        let text = match answered.await {
            Ok(Some(channel)) => {
                let text = format!("Acknowledged {channel}. The receipt shows it.");
                self.screen.inked(Ink::Good, &text)
            }
            Ok(None) => "The sign-out could not be acknowledged.".to_owned(),
            Err(_) => "The acknowledgement was not answered.".to_owned(),
        };
        self.screen.say(&text);
    }

    /// Stops the film.
    pub(crate) fn stop(&mut self) {
        self.player.stop();
        self.screen.rest();
    }

    pub(crate) fn set_offline(&mut self, is_offline: bool) {
        self.is_offline = is_offline;
        self.client.set_offline(is_offline);
        self.screen.say(if is_offline {
            "The network is off."
        } else {
            "The network is on."
        });
    }

    /// Draws the moving line: the film and the connection.
    fn draw(&mut self) {
        if self.client.session().is_none() {
            return;
        }
        let state = match (self.is_offline, self.is_connected) {
            (true, _) => self.screen.inked(Ink::Bad, "○ offline"),
            (false, true) => self.screen.inked(Ink::Good, "● connected"),
            (false, false) => self.screen.inked(Ink::Bad, "○ not connected"),
        };
        let line = self.player.line(&self.screen, self.is_offline, &state);
        self.screen.move_on(line);
    }
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

/// Describes a sign-out to the owner.
fn description(signed_out: &SignedOut) -> String {
    let by = match &signed_out.by {
        Some(by) => format!(" by {}", by.name),
        None => String::new(),
    };
    let at = match signed_out.at.parse::<Timestamp>() {
        Ok(at) => at.strftime("%H:%M:%S UTC").to_string(),
        Err(_) => signed_out.at.clone(),
    };
    let reason = match signed_out.reason.as_str() {
        "signed_out" => String::new(),
        "password_changed" => ", because the password was changed".to_owned(),
        "account_disabled" => ", because the account was disabled".to_owned(),
        "recovered" => ", because the account was recovered by its address".to_owned(),
        "address_restored" => ", because a change of the address was undone".to_owned(),
        "wrong_password" => ", because the current password was wrong ten times".to_owned(),
        other => format!(" ({other})"),
    };
    format!("Signed out{by} at {at}{reason}.")
}

/// Returns lines that never come.
fn silence() -> UnboundedReceiver<String> {
    let (sender, receiver) = unbounded_channel();
    tokio::spawn(async move { sender.closed().await });
    receiver
}

#[cfg(test)]
mod tests {
    use curfew_client::{By, SignedOut};

    use super::description;

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
            description(&signed_out),
            "Signed out by Lea's phone at 10:30:00 UTC, because the password was changed."
        );
        signed_out.by = None;
        signed_out.reason = "signed_out".into();
        assert_eq!(description(&signed_out), "Signed out at 10:30:00 UTC.");
    }
}
