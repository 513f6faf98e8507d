//! The five devices of the story, and the app that each runs.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use curfew_client::{Answer, Api, Client, DeviceInfo, Event, Frame, Session};
use curfew_client::{SignedOut, Socket, Storage, Timing};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use crate::Settings;
use crate::story::TIMEOUT;

/// The fixed facts about a device, in `devices.json`. The API recognises each
/// device by more or less of them.
#[derive(Deserialize)]
pub struct Description {
    /// The device's name in the story.
    pub role: String,
    /// The name and the type in the owner's list.
    pub name: String,
    #[serde(rename = "type")]
    pub device_type: String,
    /// The User-Agent and the client hints.
    pub headers: BTreeMap<String, String>,
    /// The description that the device sends at sign-in.
    pub claims: Value,
}

pub struct Device {
    pub is: Description,
    pub api: Api,
    pub client: Client,
    pub events: UnboundedReceiver<Event>,
    /// The latest session, also after its end.
    session: Option<Session>,
    /// The sign-out that ended it.
    pub ended: Option<SignedOut>,
    /// The socket of the tablet, whose old app ignores what it says.
    socket: Option<Socket>,
}

impl Device {
    /// Creates the hotel TV, the phone, the tablet, the laptop and the console.
    pub fn household(settings: &Settings) -> Result<[Self; 5]> {
        let descriptions: Vec<Description> = serde_json::from_str(include_str!("devices.json"))?;
        let device = |is| {
            let api = Api::new(&settings.api_url)?;
            let client = curfew_client::Settings {
                api: api.clone(),
                socket_url: Some(settings.socket_url.clone()),
                device: DeviceInfo::default(),
                timing: Timing::default(),
            };
            let (client, events) = Client::new(client, Storage::in_memory());
            Ok(Self {
                is,
                api,
                client,
                events,
                session: None,
                ended: None,
                socket: None,
            })
        };
        let devices: Result<Vec<_>> = descriptions.into_iter().map(device).collect();
        devices?.try_into().ok().context("there are five devices")
    }

    pub fn session(&self) -> Result<&Session> {
        let session = self.session.as_ref();
        session.with_context(|| format!("{} has never signed in", self.is.role))
    }

    /// Returns the sign-out that ended the session.
    pub fn end(&self) -> Result<&SignedOut> {
        let ended = self.ended.as_ref();
        ended.with_context(|| format!("{} is signed in", self.is.role))
    }

    /// Takes the token that a verification has given to the session.
    pub fn take_token(&mut self) {
        self.session = self.client.session().or(self.session.take());
    }

    /// Takes the session from the answer to a sign-in, and opens its socket.
    pub async fn begin(&mut self, answer: &Answer, socket_url: &str) -> Result<()> {
        let (session, key) = answer.sign_in()?;
        self.session = Some(session.clone());
        self.ended = None;
        if self.is.role == "Tablet" {
            self.socket = Some(Socket::open(&self.api, socket_url, &session.token).await?);
            return Ok(());
        }
        self.client.begin(session, Some(&key)).await?;
        let film = ("film".into(), "downloaded".into());
        self.client.storage().store(film.0, film.1)?;
        let event = self.step().await?;
        ensure!(event == Event::Connected, "not connected: {event:?}");
        Ok(())
    }

    /// Waits for the client's next event. A socket may close at any time.
    pub async fn step(&mut self) -> Result<Event> {
        loop {
            match timeout(TIMEOUT, self.events.recv()).await? {
                Some(Event::Disconnected | Event::Retrying { .. }) => {}
                event => return event.context("the client has ended"),
            }
        }
    }

    /// Cuts the network, and waits until the socket is closed: before that, a push
    /// could still reach it.
    pub async fn go_offline(&mut self) -> Result<()> {
        self.client.set_offline(true);
        let event = timeout(TIMEOUT, self.events.recv()).await?;
        ensure!(event == Some(Event::Disconnected), "online: {event:?}");
        Ok(())
    }

    /// Waits for the old app's next frame; none when its socket was closed.
    pub async fn frame(&mut self) -> Result<Option<Frame>> {
        let socket = self.socket.as_mut().context("no socket is open")?;
        Ok(timeout(TIMEOUT, socket.next()).await??)
    }
}
