//! The calls that a device makes, and what their answers mean to it.

use std::net::IpAddr;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::connector::{AddressError, Connector, address};
use super::{Because, Secret, SignedOut};

/// No answer takes so long, cold starts on a busy machine included.
const PATIENCE: Duration = Duration::from_secs(20);

/// No answer to a device is so large.
const MAX_BODY_BYTES: usize = 1 << 20;

/// The longest wait that the API may ask for.
const MOST_RETRY_AFTER: Duration = Duration::from_mins(5);

/// The address and the password of a household.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The e-mail address.
    pub email: String,
    /// The password.
    pub password: Secret,
}

/// What a device says of itself when it signs in.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Facts {
    /// Its owner's name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What kind of thing it is, in the API's words.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub device_type: Option<String>,
    /// The app that signs in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
}

/// That no answer came that means anything, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// Why, for people.
    pub why: String,
    /// How long to wait before another attempt, if the API said so.
    pub retry_after: Option<Duration>,
}

impl From<String> for Unanswered {
    fn from(why: String) -> Self {
        Self {
            why,
            retry_after: None,
        }
    }
}

/// What `GET /v1/session` means to the device that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The session is valid.
    SignedIn,
    /// It is over.
    Over(Because),
    /// No verdict: try again later.
    None(Unanswered),
}

/// What came of an acknowledgement that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledgement {
    /// The API knows that the device has wiped itself.
    Known,
    /// It does not want to know.
    Refused,
}

/// An answer of the API.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body; null when it is not JSON.
    pub body: Value,
    /// How long to wait before another attempt, if it says so.
    pub retry_after: Option<Duration>,
}

impl Answer {
    /// The text at a JSON pointer.
    #[must_use]
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.body.pointer(pointer)?.as_str()
    }

    /// The name of the problem that it is, if it is one.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.text("/type")?.strip_prefix("urn:curfew:problem:")
    }

    fn owned(&self, pointer: &str) -> Option<String> {
        self.text(pointer).map(str::to_owned)
    }

    /// What went wrong, for people.
    #[must_use]
    pub fn why(&self) -> String {
        let Self { status, .. } = self;
        match self.text("/detail").or(self.text("/title")) {
            Some(detail) => format!("{detail} ({status})"),
            None => format!("The API answered {status}."),
        }
    }

    /// That the session is over, if this problem says so. Only a whole and
    /// well-formed `session-signed-out` is a sign-out: a proxy's own 401 is not.
    #[must_use]
    pub fn over(&self) -> Option<Because> {
        match (self.status, self.problem()?) {
            (401, "session-signed-out") => Some(Because::SignedOut(self.signed_out()?)),
            (401, "session-expired") => Some(Because::Expired),
            (401, "token-invalid" | "token-missing") => Some(Because::Invalid),
            _ => None,
        }
    }

    fn signed_out(&self) -> Option<SignedOut> {
        let by = self.body.get("signed_out_by")?.clone();
        Some(SignedOut {
            sign_out: self.owned("/sign_out"),
            at: self.owned("/signed_out_at")?,
            by: serde_json::from_value(by).ok()?,
            reason: self.owned("/reason")?,
        })
    }

    /// What an answer to `GET /v1/session` means.
    fn verdict(&self) -> Verdict {
        match self.over() {
            Some(because) => Verdict::Over(because),
            None if self.status == 200 && self.text("/device/id").is_some() => Verdict::SignedIn,
            None => Verdict::None(self.unanswered()),
        }
    }

    fn unanswered(&self) -> Unanswered {
        Unanswered {
            why: self.why(),
            retry_after: self.retry_after,
        }
    }
}

/// The API, as one device calls it.
#[derive(Clone, Debug)]
pub struct Api {
    http: Client<Connector, Full<Bytes>>,
    connector: Connector,
    root: String,
    user_agent: Option<HeaderValue>,
}

impl Api {
    /// The API at an address, called from this address of our own, or from any.
    ///
    /// # Errors
    /// [`AddressError`] when secrets can't go there.
    pub fn new(root: &str, from: Option<IpAddr>) -> Result<Self, AddressError> {
        address(root, ["http", "https"])?;
        let connector = Connector::new(from);
        Ok(Self {
            http: Client::builder(TokioExecutor::new()).build(connector.clone()),
            connector,
            root: root.trim_end_matches('/').to_owned(),
            user_agent: None,
        })
    }

    /// The same, under another name.
    #[must_use]
    pub fn with_user_agent(mut self, name: &'static str) -> Self {
        self.user_agent = Some(HeaderValue::from_static(name));
        self
    }

    pub(crate) fn connector(&self) -> &Connector {
        &self.connector
    }

    pub(crate) fn user_agent(&self) -> Option<&HeaderValue> {
        self.user_agent.as_ref()
    }

    /// Another API, called from the same device: on its network, by its name.
    ///
    /// # Errors
    /// [`AddressError`] when secrets can't go there.
    pub(crate) fn elsewhere(&self, root: &str) -> Result<Self, AddressError> {
        address(root, ["http", "https"])?;
        Ok(Self {
            root: root.trim_end_matches('/').to_owned(),
            ..self.clone()
        })
    }

    /// Loses the network, or has it again: every device that this API was cloned
    /// for.
    pub fn set_offline(&self, is_offline: bool) {
        self.connector.set_offline(is_offline);
    }

    /// Signs a device in. With the key of an earlier sign-in it stays the same
    /// device.
    ///
    /// # Errors
    /// Why no answer came.
    pub async fn sign_in(
        &self,
        credentials: &Credentials,
        facts: &Facts,
        key: Option<&Secret>,
    ) -> Result<Answer, Unanswered> {
        let mut body = json!({
            "email": credentials.email,
            "password": credentials.password.reveal(),
            "device": facts,
        });
        if let Some(key) = key {
            body["device_key"] = key.reveal().into();
        }
        self.call(Method::POST, "/v1/login", None, Some(&body))
            .await
    }

    /// Asks whether the session is still valid, and if not, why.
    pub async fn session(&self, token: &Secret) -> Verdict {
        let answer = self.call(Method::GET, "/v1/session", Some(token), None);
        match answer.await {
            Ok(answer) => answer.verdict(),
            Err(why) => Verdict::None(why),
        }
    }

    /// Where the socket is, for a device that was not told: a ticket says it.
    ///
    /// # Errors
    /// Why it is not known.
    pub async fn socket_url(&self, token: &Secret) -> Result<String, Unanswered> {
        let answer = self
            .call(Method::POST, "/v1/socket-tickets", Some(token), None)
            .await?;
        let url = answer.text("/url").filter(|_| answer.status == 200);
        url.map(str::to_owned).ok_or_else(|| answer.unanswered())
    }

    /// Says, with the token of the session that was signed out, that this device
    /// has wiped itself.
    ///
    /// # Errors
    /// Why nothing is known; another attempt may be answered.
    pub async fn acknowledge(
        &self,
        token: &Secret,
        sign_out: &str,
    ) -> Result<Acknowledgement, Unanswered> {
        let path = format!("/v1/sign-outs/{sign_out}/acknowledgement");
        let answer = self.call(Method::POST, &path, Some(token), None).await?;
        match answer.status {
            200 => Ok(Acknowledgement::Known),
            429 | 500..=599 => Err(answer.unanswered()),
            _ => Ok(Acknowledgement::Refused),
        }
    }

    /// Calls the API.
    ///
    /// # Errors
    /// Why no answer came.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&Secret>,
        body: Option<&Value>,
    ) -> Result<Answer, Unanswered> {
        let request = self.request(method, path, token, body)?;
        if self.connector.is_offline() {
            return Err("there is no network".to_owned().into());
        }
        match timeout(PATIENCE, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer came within {} s", PATIENCE.as_secs()).into()),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, Unanswered> {
        let answer = self
            .http
            .request(request)
            .await
            .map_err(|error| unreachable(&error))?;
        let status = answer.status().as_u16();
        let retry_after = retry_after(answer.headers());
        let body = Limited::new(answer.into_body(), MAX_BODY_BYTES)
            .collect()
            .await
            .map_err(|_| "the answer broke off".to_owned())?;
        let body = serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null);
        Ok(Answer {
            status,
            body,
            retry_after,
        })
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        token: Option<&Secret>,
        body: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>, String> {
        let uri: Uri = format!("{}{path}", self.root)
            .parse()
            .map_err(|_| format!("{path} is no path"))?;
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(name) = &self.user_agent {
            request = request.header(USER_AGENT, name);
        }
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, bearer(token)?);
        }
        let bytes = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        request
            .body(Full::new(bytes))
            .map_err(|error| error.to_string())
    }
}

/// The header that a token goes in; sensitive, so that nothing prints it.
pub(crate) fn bearer(token: &Secret) -> Result<HeaderValue, String> {
    let text = format!("Bearer {}", token.reveal());
    let mut header =
        HeaderValue::from_str(&text).map_err(|_| "the token is no token".to_owned())?;
    header.set_sensitive(true);
    Ok(header)
}

/// The wait that a header asks for, in seconds (RFC 9110, section 10.2.3), up to
/// a bound: a device is not sent away for a day.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(MOST_RETRY_AFTER))
}

/// The innermost cause, which says most.
fn unreachable(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    format!("the API can't be reached: {cause}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Answer, Because, Verdict};

    fn verdict(status: u16, body: Value) -> Verdict {
        let retry_after = None;
        Answer {
            status,
            body,
            retry_after,
        }
        .verdict()
    }

    fn signed_out() -> Value {
        json!({
            "type": "urn:curfew:problem:session-signed-out", "status": 401, "sign_out": "o",
            "signed_out_at": "2026-11-20T12:00:00Z", "reason": "signed_out",
            "signed_out_by": { "id": "1", "name": "Laptop" },
        })
    }

    #[test]
    fn only_a_whole_session_signed_out_is_a_sign_out() {
        let Verdict::Over(Because::SignedOut(told)) = verdict(401, signed_out()) else {
            panic!("it is one");
        };
        assert_eq!(told.by.unwrap().name, "Laptop");

        for status in [200, 400, 403, 500, 503] {
            let verdict = verdict(status, signed_out());
            assert!(matches!(verdict, Verdict::None(_)), "{status}: {verdict:?}");
        }
        for member in ["signed_out_at", "reason", "type"] {
            let mut body = signed_out();
            body[member] = Value::Null;
            let verdict = verdict(401, body);
            assert!(matches!(verdict, Verdict::None(_)), "{member}: {verdict:?}");
        }
    }

    #[test]
    fn an_operators_sign_out_is_one_too() {
        let mut body = signed_out();
        body["signed_out_by"] = Value::Null;
        let Verdict::Over(Because::SignedOut(told)) = verdict(401, body) else {
            panic!("it is one");
        };
        assert_eq!(told.by, None);
    }

    #[test]
    fn a_session_that_ran_out_is_over_and_not_signed_out() {
        for (name, because) in [
            ("session-expired", Because::Expired),
            ("token-invalid", Because::Invalid),
            ("token-missing", Because::Invalid),
        ] {
            let body = json!({ "type": format!("urn:curfew:problem:{name}") });
            assert_eq!(verdict(401, body), Verdict::Over(because));
        }
    }

    #[test]
    fn what_is_no_answer_of_the_api_is_no_verdict() {
        for (status, body) in [
            (401, Value::Null),
            (
                401,
                json!({ "type": "https://proxy.example/session-signed-out" }),
            ),
            (
                401,
                json!({ "type": "urn:curfew:problem:verification-required" }),
            ),
            (403, json!({ "message": "Forbidden" })),
            (200, json!({ "portal": "Accept the terms of our hotel" })),
            (503, json!({ "type": "urn:curfew:problem:unavailable" })),
        ] {
            let verdict = verdict(status, body);
            assert!(matches!(verdict, Verdict::None(_)), "{status}: {verdict:?}");
        }
    }
}
