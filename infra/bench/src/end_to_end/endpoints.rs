//! The endpoints at which the token of an ended session is tried.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use curfew_client::{Api as DeviceApi, Secret, Socket, SocketError};
use curfew_tests::aws::{Call, Principal};
use curfew_tests::client::Api;
use curfew_tests::stack;
use serde::Serialize;
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    Session,
    Devices,
    /// An adopting team's API, behind the authorizer.
    Authorizer,
    /// Introspection, signed as a service's request.
    Introspection,
    /// The handshake of the socket.
    Socket,
}

pub const ENDPOINTS: [Endpoint; 5] = [
    Endpoint::Session,
    Endpoint::Devices,
    Endpoint::Authorizer,
    Endpoint::Introspection,
    Endpoint::Socket,
];

impl Endpoint {
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

/// One call with a token.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    pub took: Duration,
    pub is_let_in: bool,
}

#[derive(Debug, Clone)]
pub struct Endpoints {
    api: Api,
    films: Api,
    socket: DeviceApi,
    service: Principal,
}

impl Endpoints {
    pub fn new() -> Result<Self> {
        let stack = stack::stack();
        Ok(Self {
            api: Api::default(),
            films: Api::at(&stack.example_url),
            socket: DeviceApi::new(&stack.api_url)?,
            service: Principal::root(),
        })
    }

    /// Calls an endpoint with a token. Fails when it neither lets the session in nor
    /// refuses it.
    pub async fn attempt(&self, endpoint: Endpoint, token: &str) -> Result<Attempt> {
        let began = Instant::now();
        let is_let_in = match endpoint {
            Endpoint::Session => get(&self.api, "/v1/session", token, 401).await,
            Endpoint::Devices => get(&self.api, "/v1/devices", token, 401).await,
            // 403 is the gateway's own answer.
            Endpoint::Authorizer => get(&self.films, "/films", token, 403).await,
            Endpoint::Introspection => self.introspect(token).await,
            Endpoint::Socket => self.open_and_close(token).await,
        };
        let is_let_in = is_let_in.map_err(|error| error.context(endpoint.name()))?;
        Ok(Attempt {
            took: began.elapsed(),
            is_let_in,
        })
    }

    async fn introspect(&self, token: &str) -> Result<bool> {
        let call = Call::posted("execute-api", "/v1/introspect", format!("token={token}"));
        let answer = self.service.call_at(stack::api_url(), &call).await?;
        let body: Value = serde_json::from_str(&answer.text).unwrap_or_default();
        match (answer.status, body["active"].as_bool()) {
            (200, Some(is_active)) => Ok(is_active),
            (status, _) => bail!("status {status}"),
        }
    }

    async fn open_and_close(&self, token: &str) -> Result<bool> {
        match self.open(token).await {
            Ok(socket) => {
                socket.close().await;
                Ok(true)
            }
            Err(SocketError::Refused(401)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a socket.
    pub async fn open(&self, token: &str) -> Result<Socket, SocketError> {
        let token = Secret::new(token);
        Socket::open(&self.socket, &stack::stack().socket_url, &token).await
    }
}

async fn get(api: &Api, path: &str, token: &str, refusal: u16) -> Result<bool> {
    let status = api.call("GET", path).token(token).send().await.status;
    ensure!(status == 200 || status == refusal, "status {status}");
    Ok(status == 200)
}
