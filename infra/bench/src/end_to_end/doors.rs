//! The doors that a dead session is tried at.

use std::time::{Duration, Instant};

use anyhow::Result;
use curfew_client::{Api as DeviceApi, Secret, Socket, SocketError};
use curfew_tests::aws::{Call, Principal};
use curfew_tests::client::Api;
use curfew_tests::stack;
use serde::Serialize;
use serde_json::Value;

/// Where a token is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// `GET /v1/session`.
    Session,
    /// `GET /v1/devices`.
    Devices,
    /// An adopting team's API, behind the authorizer.
    Authorizer,
    /// `POST /v1/introspect`, signed, as a service asks.
    Introspection,
    /// The handshake of the socket.
    Socket,
}

/// All of them.
pub const DOORS: [Door; 5] = [
    Door::Session,
    Door::Devices,
    Door::Authorizer,
    Door::Introspection,
    Door::Socket,
];

impl Door {
    /// Its name in a table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "`GET /v1/session`",
            Self::Devices => "`GET /v1/devices`",
            Self::Authorizer => "the example's API, behind the authorizer",
            Self::Introspection => "`POST /v1/introspect`",
            Self::Socket => "the socket's handshake",
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The session is alive.
    LetIn,
    /// It is dead.
    Refused,
    /// An error, with its status: neither.
    Neither(u16),
}

/// One attempt.
#[derive(Debug, Clone, Copy)]
pub struct Knock {
    /// When it began.
    pub began: Instant,
    /// How long it took.
    pub took: Duration,
    /// What came of it.
    pub verdict: Verdict,
}

/// The ways to the doors.
#[derive(Debug, Clone)]
pub struct Doors {
    api: Api,
    films: Api,
    socket: DeviceApi,
    service: Principal,
}

impl Doors {
    /// The doors of the stack.
    pub fn new() -> Result<Self> {
        let stack = stack::stack();
        Ok(Self {
            api: Api::default(),
            films: Api::at(&stack.example_url),
            socket: DeviceApi::new(&stack.api_url)?,
            service: Principal::root(),
        })
    }

    /// Tries one with a token.
    pub async fn knock(&self, door: Door, token: &str) -> Result<Knock> {
        let began = Instant::now();
        let verdict = match door {
            Door::Session => get(&self.api, "/v1/session", token, 401).await,
            Door::Devices => get(&self.api, "/v1/devices", token, 401).await,
            // The gateway's own refusal.
            Door::Authorizer => get(&self.films, "/films", token, 403).await,
            Door::Introspection => self.introspect(token).await?,
            Door::Socket => self.open(token).await?,
        };
        Ok(Knock {
            began,
            took: began.elapsed(),
            verdict,
        })
    }

    async fn introspect(&self, token: &str) -> Result<Verdict> {
        let call = Call::posted("execute-api", "/v1/introspect", format!("token={token}"));
        let answer = self.service.call_at(stack::api_url(), &call).await?;
        let told = serde_json::from_str::<Value>(&answer.text).unwrap_or_default();
        Ok(match (answer.status, told["active"].as_bool()) {
            (200, Some(true)) => Verdict::LetIn,
            (200, Some(false)) => Verdict::Refused,
            (status, _) => Verdict::Neither(status),
        })
    }

    async fn open(&self, token: &str) -> Result<Verdict> {
        let opened = self.socket(token).await;
        match opened {
            Ok(socket) => {
                socket.close().await;
                Ok(Verdict::LetIn)
            }
            Err(SocketError::Refused(401)) => Ok(Verdict::Refused),
            Err(SocketError::Refused(status)) => Ok(Verdict::Neither(status)),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a socket.
    pub async fn socket(&self, token: &str) -> Result<Socket, SocketError> {
        let token = Secret::new(token);
        Socket::open(&self.socket, &stack::stack().socket_url, &token).await
    }
}

async fn get(api: &Api, path: &str, token: &str, refusal: u16) -> Verdict {
    match api.call("GET", path).token(token).send().await.status {
        200 => Verdict::LetIn,
        status if status == refusal => Verdict::Refused,
        status => Verdict::Neither(status),
    }
}
