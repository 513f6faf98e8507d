//! The five devices of the story, and the app that each runs.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use curfew_client::{
    Answer, Api, Client, DeviceInfo, Event, Frame, Secret, Session, Socket, Storage, Timing,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

use crate::Settings;

/// The time that a device may take on a busy machine, cold starts included.
const TIMEOUT: Duration = Duration::from_secs(20);

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
    claims: Value,
}

pub struct Device {
    pub is: Description,
    pub ip: IpAddr,
    pub api: Api,
    /// The latest session, also after its end.
    session: Option<Session>,
    key: Option<Secret>,
    client: Option<(Client, UnboundedReceiver<Event>)>,
    /// The socket of the tablet, whose old app ignores what it says.
    socket: Option<Socket>,
}

impl Device {
    /// Creates the hotel TV, the phone, the tablet, the laptop and the console.
    pub fn household(settings: &Settings) -> Result<[Self; 5]> {
        let descriptions: Vec<Description> = serde_json::from_str(include_str!("devices.json"))?;
        let device = |(host, is): (u8, Description)| {
            // The gateway of `--watch` sees every client at 127.0.0.1.
            let ip = own_address(if settings.watch { 1 } else { host });
            Ok(Self {
                is,
                ip,
                api: Api::from_address(&settings.api_url, ip)?,
                session: None,
                key: None,
                client: None,
                socket: None,
            })
        };
        let devices: Result<Vec<_>> = (2..).zip(descriptions).map(device).collect();
        devices?.try_into().ok().context("there are five devices")
    }

    pub fn session(&self) -> Result<&Session> {
        let session = self.session.as_ref();
        session.with_context(|| format!("{} has never signed in", self.is.role))
    }

    /// Returns the body of a sign-in. The device key makes it the same device.
    pub fn sign_in(&self, email: &str, password: &str) -> Value {
        let mut body = json!({ "email": email, "password": password, "device": self.is.claims });
        if let Some(key) = &self.key {
            body["device_key"] = key.reveal().into();
        }
        body
    }

    /// Takes the session from the answer to a sign-in, and opens its socket.
    pub async fn begin(&mut self, answer: &Answer, settings: &Settings) -> Result<()> {
        let member = |pointer| {
            let text = answer.member(pointer).map(str::to_owned);
            text.with_context(|| format!("no {pointer}: {}", answer.message()))
        };
        let session = Session {
            token: Secret::new(member("/token")?),
            id: member("/session")?,
            device: member("/device/id")?,
            account: member("/account/id")?,
        };
        self.session = Some(session.clone());
        self.key = Some(Secret::new(member("/device_key")?));
        if self.is.role == "Tablet" {
            let socket = Socket::open(&self.api, &settings.socket_url, &session.token).await?;
            self.socket = Some(socket);
            return Ok(());
        }
        let create = || {
            let settings = curfew_client::Settings {
                api: self.api.clone(),
                socket_url: Some(settings.socket_url.clone()),
                device: DeviceInfo::default(),
                timing: Timing::default(),
            };
            Client::new(settings, Storage::in_memory())
        };
        let (client, _) = self.client.get_or_insert_with(create);
        client.begin(session, None).await?;
        client.storage().store("film".into(), "downloaded".into())?;
        let connected = self.step().await;
        ensure!(
            connected == Some(Event::Connected),
            "{} does not connect",
            self.is.role
        );
        Ok(())
    }

    pub fn client(&self) -> Result<&Client> {
        let client = self.client.as_ref().map(|(client, _)| client);
        client.with_context(|| format!("{} has no client", self.is.role))
    }

    /// Waits for the client's next event. A socket may close at any time.
    pub async fn step(&mut self) -> Option<Event> {
        let (_, events) = self.client.as_mut()?;
        loop {
            match timeout(TIMEOUT, events.recv()).await.ok()?? {
                Event::Disconnected | Event::Retrying { .. } => {}
                event => return Some(event),
            }
        }
    }

    /// Cuts the network, and waits until the socket is closed: before that, a push
    /// could still reach it.
    pub async fn go_offline(&mut self) -> Result<()> {
        self.client()?.set_offline(true);
        let (_, events) = self.client.as_mut().context("no client")?;
        let event = timeout(TIMEOUT, events.recv()).await?;
        ensure!(
            event == Some(Event::Disconnected),
            "still online: {event:?}"
        );
        Ok(())
    }

    /// Returns an event that has come already.
    pub fn pending(&mut self) -> Option<Event> {
        self.client.as_mut()?.1.try_recv().ok()
    }

    /// Waits for the old app's next frame; none when its socket was closed.
    pub async fn frame(&mut self) -> Result<Option<Frame>> {
        let socket = self.socket.as_mut().context("no socket is open")?;
        Ok(timeout(TIMEOUT, socket.next()).await??)
    }
}

/// Returns an address that only one device has, where the whole of 127.0.0.0/8 is
/// this machine (as on Linux).
fn own_address(host: u8) -> IpAddr {
    let own = Ipv4Addr::new(127, 0, 0, host);
    let is_usable = TcpListener::bind((own, 0)).is_ok();
    IpAddr::V4(if is_usable { own } else { Ipv4Addr::LOCALHOST })
}
