//! The calls that a device makes. [`Api::call`] makes any call; the others are
//! the ones that every device needs.

use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, InvalidHeaderValue, USER_AGENT};
use http::{HeaderValue, Method, Request, request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::answer::{Answer, NoAnswer, SessionCheck};
use crate::connector::{AddressError, Connector, address};
use crate::{Proof, SecondStep, Secret};

/// The time for an answer, cold starts on a busy machine included.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The limit of an answer. The API's largest is a page of a receipt, far below.
const MAX_BODY_BYTES: usize = 16 << 20;

/// The e-mail address and the password of an account.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The e-mail address.
    pub email: String,
    /// The password.
    pub password: Secret,
}

/// The description that a device gives of itself when it signs in.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct DeviceInfo {
    /// The owner's name for the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `tv`, `phone`, `tablet`, `computer`, `console` or `other`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
    /// The app that signs in, with its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
}

/// The API as one device calls it. Clones share connections and whether the
/// device is offline.
#[derive(Clone, Debug)]
pub struct Api {
    http: Client<Connector, Full<Bytes>>,
    connector: Connector,
    url: String,
    user_agent: Option<HeaderValue>,
    timeout: Duration,
}

impl Api {
    /// Creates a client for the API at this address: `https`, or `http` on this
    /// machine. A path in it comes before the path of each call.
    ///
    /// # Errors
    /// [`AddressError`] when secrets must not go there.
    pub fn new(url: &str) -> Result<Self, AddressError> {
        address(url, ["http", "https"])?;
        let connector = Connector::new();
        Ok(Self {
            http: Client::builder(TokioExecutor::new()).build(connector.clone()),
            connector,
            url: url.trim_end_matches('/').to_owned(),
            user_agent: None,
            timeout: TIMEOUT,
        })
    }

    /// Returns a client of another API, such as your own, on the same device.
    ///
    /// # Errors
    /// [`AddressError`] when secrets must not go there.
    pub fn at(&self, url: &str) -> Result<Self, AddressError> {
        address(url, ["http", "https"])?;
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            ..self.clone()
        })
    }

    /// Sends this `User-Agent`.
    #[must_use]
    pub fn with_user_agent(mut self, name: &'static str) -> Self {
        self.user_agent = Some(HeaderValue::from_static(name));
        self
    }

    /// Waits this long for an answer instead of 20 seconds.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub(crate) fn connector(&self) -> &Connector {
        &self.connector
    }

    pub(crate) fn user_agent(&self) -> Option<&HeaderValue> {
        self.user_agent.as_ref()
    }

    /// Simulates a lost network, or restores it, for all clones.
    pub fn set_offline(&self, is_offline: bool) {
        self.connector.set_offline(is_offline);
    }

    /// Prepares any call. The path begins with a slash and may have a query.
    pub fn call(&self, method: Method, path: &str) -> Call {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url));
        if let Some(name) = &self.user_agent {
            request = request.header(USER_AGENT, name);
        }
        Call {
            api: self.clone(),
            request,
            body: Bytes::new(),
        }
    }

    /// Signs a device in. With the device key of an earlier sign-in it stays the
    /// same device in the owner's list.
    ///
    /// # Errors
    /// [`NoAnswer`]. A refusal is an [`Answer`].
    pub async fn sign_in(
        &self,
        credentials: &Credentials,
        device: &DeviceInfo,
        key: Option<&Secret>,
        pass: Option<&Proof>,
    ) -> Result<Answer, NoAnswer> {
        let mut body = json!({
            "email": credentials.email,
            "password": credentials.password.reveal(),
            "device": device,
        });
        if let Some(key) = key {
            body["device_key"] = key.reveal().into();
        }
        if let Some(pass) = pass {
            body["pass"] = pass.to_json();
        }
        self.call(Method::POST, "/v1/login")
            .json(&body)
            .send()
            .await
    }

    /// Completes a sign-in that was refused with `second-step-required`.
    ///
    /// # Errors
    /// [`NoAnswer`]. A refusal is an [`Answer`].
    pub async fn complete_sign_in(
        &self,
        step: &SecondStep,
        device: &DeviceInfo,
        key: Option<&Secret>,
    ) -> Result<Answer, NoAnswer> {
        let mut body = step.to_json();
        body["device"] = json!(device);
        if let Some(key) = key {
            body["device_key"] = key.reveal().into();
        }
        let call = self.call(Method::POST, "/v1/second-steps");
        call.json(&body).send().await
    }

    /// Asks whether the session is still valid, and if not, why.
    pub async fn check_session(&self, token: &Secret) -> SessionCheck {
        let call = self.call(Method::GET, "/v1/session").token(token);
        match call.send().await {
            Ok(answer) => answer.session_check(),
            Err(no_answer) => SessionCheck::Unknown(no_answer),
        }
    }

    /// Asks for the socket's address, which a ticket names.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn socket_url(&self, token: &Secret) -> Result<String, NoAnswer> {
        let call = self.call(Method::POST, "/v1/socket-tickets").token(token);
        let answer = call.send().await?;
        let url = answer.member("/url").filter(|_| answer.status == 200);
        url.map(str::to_owned).ok_or_else(|| answer.no_answer())
    }

    /// Signs out the session of this token. Returns the sign-out's id, or none when the
    /// session had ended before.
    ///
    /// # Errors
    /// [`NoAnswer`]: retry.
    pub(crate) async fn sign_out(&self, token: &Secret) -> Result<Option<String>, NoAnswer> {
        let call = self.call(Method::POST, "/v1/sign-out").token(token);
        let answer = call.send().await?;
        match answer.status {
            429 | 500..=599 => Err(answer.no_answer()),
            _ => Ok(answer.member("/sign_out/id").map(str::to_owned)),
        }
    }

    /// Reports that this device has wiped itself, with the token of the session
    /// that the sign-out ended. Returns whether the API accepted it; a refusal is
    /// final.
    ///
    /// # Errors
    /// [`NoAnswer`]: retry.
    pub async fn acknowledge(&self, token: &Secret, sign_out: &str) -> Result<bool, NoAnswer> {
        let path = format!("/v1/sign-outs/{sign_out}/acknowledgement");
        let answer = self.call(Method::POST, &path).token(token).send().await?;
        match answer.status {
            200 => Ok(true),
            429 | 500..=599 => Err(answer.no_answer()),
            _ => Ok(false),
        }
    }
}

/// A call to send. A malformed part is reported by [`send`](Self::send).
#[derive(Debug)]
#[must_use = "a call does nothing until it is sent"]
pub struct Call {
    api: Api,
    request: request::Builder,
    body: Bytes,
}

impl Call {
    /// Adds a header; earlier ones of the same name stay.
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let request = self.request.header(name, value.as_ref());
        Self { request, ..self }
    }

    /// Adds the token in the `Authorization` header (RFC 6750).
    pub fn token(self, token: &Secret) -> Self {
        match bearer(token) {
            Ok(value) => Self {
                request: self.request.header(AUTHORIZATION, value),
                ..self
            },
            // Fails again, and the builder keeps the error.
            Err(_) => self.header(AUTHORIZATION.as_str(), token.reveal()),
        }
    }

    /// Sets a JSON body.
    pub fn json(self, body: &Value) -> Self {
        self.header(CONTENT_TYPE.as_str(), "application/json")
            .body(body.to_string())
    }

    /// Sets the body, without a content type.
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self { body, ..self }
    }

    /// Sends the call, and returns the answer whatever its status. Redirects are
    /// not followed.
    ///
    /// # Errors
    /// [`NoAnswer`] when the API can't be reached or does not answer in time.
    pub async fn send(self) -> Result<Answer, NoAnswer> {
        let Self { api, request, body } = self;
        let request = request
            .body(Full::new(body))
            .map_err(|error| format!("the call is malformed: {error}"))?;
        if api.connector.is_offline() {
            return Err("there is no network".to_owned().into());
        }
        match timeout(api.timeout, exchange(&api, request)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(format!("no answer came within {} s", api.timeout.as_secs()).into()),
        }
    }
}

async fn exchange(api: &Api, request: Request<Full<Bytes>>) -> Result<Answer, String> {
    let answer = api.http.request(request).await;
    let (parts, body) = answer.map_err(|error| unreachable(&error))?.into_parts();
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await;
    let body = body.map_err(|error| format!("the answer broke off: {error}"))?;
    let body = body.to_bytes();
    Ok(Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        json: serde_json::from_slice(&body).unwrap_or_default(),
        body,
    })
}

/// Returns the value of the `Authorization` header, marked so that `Debug` hides it.
pub(crate) fn bearer(token: &Secret) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut header = HeaderValue::from_str(&format!("Bearer {}", token.reveal()))?;
    header.set_sensitive(true);
    Ok(header)
}

/// Describes a failed request by its innermost cause, which is the specific one.
fn unreachable(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    format!("the API can't be reached: {cause}")
}
