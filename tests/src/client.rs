//! Accounts and devices to test with, on top of the Rust client, with assertions
//! on its answers.
//!
//! Every secret that is used here is remembered ([`secrets`]), so that a test can
//! look for all of them where none may be, such as in logs.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use curfew_client::Secret;
use domain::challenge::ChallengeRandom;
use domain::ownership::factors::SETTLED_AFTER;
use domain::{EmailAddress, NewChallenge, Purpose, Timestamp};
use runtime::Clock;
use serde_json::{Value, json};

use crate::account;
use crate::aws::{self, Principal};
use crate::stack::{self, stack, store};

/// The time for an answer: long, because a busy machine starts functions slowly.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(5);

/// The path of the sign-out of many sessions.
pub const SIGN_OUT_ALL: &str = "/v1/sign-out-all";

/// The User-Agent of a TV.
pub const TV: &str = "Mozilla/5.0 (SMART-TV; LINUX; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) 94.0.4606.31/7.0 TV Safari/537.36";
/// The User-Agent of a phone.
pub const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
/// The User-Agent of a tablet.
pub const TABLET: &str = "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 Safari/604.1";
/// The User-Agent of a laptop.
pub const LAPTOP: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
/// The User-Agent of a games console.
pub const CONSOLE: &str = "Mozilla/5.0 (PlayStation; PlayStation 5/6.50) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 Safari/605.1.15";

/// The headers that differ between two otherwise equal answers: the gateway's ids,
/// and the time.
const VARYING_HEADERS: [&str; 6] = [
    "date",
    "apigw-requestid",
    "x-amzn-requestid",
    "x-amz-request-id",
    "x-amz-id-2",
    "x-amzn-trace-id",
];

/// The API of the running stack, or at another address.
#[derive(Clone, Debug)]
pub struct Api(curfew_client::Api);

impl Default for Api {
    fn default() -> Self {
        Self::at(stack::api_url())
    }
}

impl Api {
    /// Creates a client for the API at an address.
    ///
    /// # Panics
    /// When it is not an address of an API.
    #[must_use]
    pub fn at(url: &str) -> Self {
        let api = curfew_client::Api::new(url).expect("an address");
        Self(api.with_timeout(TIMEOUT))
    }

    /// Prepares a call.
    ///
    /// # Panics
    /// When the method is malformed.
    #[must_use]
    pub fn call(&self, method: &str, path: &str) -> Call {
        Call(self.0.call(method.parse().expect("a method"), path))
    }

    /// Sends a body to a route that needs no token.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path).json(body).send().await
    }
}

/// A call to send.
#[derive(Debug)]
pub struct Call(curfew_client::Call);

impl Call {
    /// Adds a header; earlier ones of the same name stay.
    #[must_use]
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        Self(self.0.header(name, value))
    }

    /// Adds the token as an app does.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        Self(self.0.token(&Secret::new(token)))
    }

    /// Sets a JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        Self(self.0.json(body))
    }

    /// Sets any body.
    #[must_use]
    pub fn body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.header("content-type", content_type).untyped(body)
    }

    /// Sets a body without a content type.
    #[must_use]
    pub fn untyped(self, body: impl Into<Vec<u8>>) -> Self {
        Self(self.0.body(body.into()))
    }

    /// Sends the call, and waits for the answer.
    ///
    /// # Panics
    /// When there is none.
    pub async fn send(self) -> Answer {
        match self.0.send().await {
            Ok(answer) => Answer(answer),
            Err(no_answer) => panic!("no answer: {no_answer}"),
        }
    }
}

/// An answer, with assertions.
#[derive(Debug, Clone)]
pub struct Answer(curfew_client::Answer);

impl Deref for Answer {
    type Target = curfew_client::Answer;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Answer {
    /// Returns a header that is there exactly once.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    }

    /// Returns the `Set-Cookie` headers, each as it was sent.
    #[must_use]
    pub fn cookies(&self) -> Vec<&str> {
        self.headers
            .get_all("set-cookie")
            .iter()
            .filter_map(|cookie| cookie.to_str().ok())
            .collect()
    }

    /// Asserts a success that no cache may store, and returns its JSON.
    ///
    /// # Panics
    /// When the answer is something else.
    #[track_caller]
    #[must_use]
    pub fn done(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Asserts a complete problem document of this name, and returns it.
    ///
    /// # Panics
    /// When the answer is something else.
    #[track_caller]
    pub fn refused(&self, status: u16, name: &str) -> Value {
        let seen = format!("{} {}", self.status, self.text());
        let problem: Value = serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not a problem document: {seen}"));
        assert_eq!(
            problem["type"],
            json!(format!("urn:curfew:problem:{name}")),
            "{seen}"
        );
        assert_eq!(self.status, status, "{seen}");
        assert_eq!(problem["status"], json!(status), "{seen}");
        assert!(problem["title"].is_string(), "{seen}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{seen}"
        );
        assert_eq!(self.header("cache-control"), Some("no-store"), "{seen}");
        assert_eq!(
            self.header("www-authenticate").is_some(),
            status == 401,
            "{seen}"
        );
        problem
    }

    /// Asserts `request-invalid`, and returns the field that it names.
    ///
    /// # Panics
    /// When the answer is something else.
    #[track_caller]
    pub fn invalid(&self) -> String {
        let problem = self.refused(400, "request-invalid");
        problem["field"].as_str().expect("a field").to_owned()
    }

    /// Returns everything that an indistinguishable answer must share.
    #[must_use]
    pub fn alike(&self) -> (u16, BTreeSet<String>, String) {
        let headers = self
            .headers
            .iter()
            .filter(|(name, _)| !VARYING_HEADERS.contains(&name.as_str()))
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        (self.status, headers, self.text())
    }
}

/// The account of one test.
#[derive(Clone, Debug)]
pub struct Household {
    /// The API that has the account.
    pub api: Api,
    /// The e-mail address.
    pub email: String,
    /// The password.
    pub password: String,
}

impl Household {
    /// Makes a new account as a confirmation does, without its mail.
    ///
    /// # Panics
    /// When the tables don't take it.
    pub async fn register() -> Self {
        Self::register_as(true).await
    }

    /// Registers an account whose address somebody has confirmed or not.
    ///
    /// # Panics
    /// When the tables don't take it.
    pub async fn register_as(is_confirmed: bool) -> Self {
        Self::register_with(is_confirmed.then(|| Clock::System.now())).await
    }

    /// Registers an account whose address was confirmed a week ago, so that a factor is young
    /// at first.
    ///
    /// # Panics
    /// When the tables don't take it.
    pub async fn register_long_ago() -> Self {
        Self::register_with(Some(Clock::System.now() - SETTLED_AFTER)).await
    }

    async fn register_with(confirmed_at: Option<Timestamp>) -> Self {
        let household = Self::unregistered();
        let (email, password) = (&household.email, &household.password);
        let now = Clock::System.now();
        let store = store();
        let register = account::register(&store, email, password, confirmed_at, now);
        Box::pin(register)
            .await
            .expect("the tables of the stack answer");
        household
    }

    /// Returns an unused e-mail address, and a password that the rules accept.
    #[must_use]
    pub fn unregistered() -> Self {
        let email = format!("{}@household.example", unique());
        let password = format!("quiet otter {}", unique());
        remember(&[&email, &password]);
        Self {
            api: Api::default(),
            email,
            password,
        }
    }

    /// Returns the body of a sign-in.
    #[must_use]
    pub fn credentials(&self) -> Value {
        json!({ "email": self.email, "password": self.password })
    }

    /// Returns a pass, as its answer and its mail have it.
    ///
    /// # Panics
    /// When the tables don't take it.
    pub async fn pass(&self) -> Value {
        let random = ChallengeRandom {
            secret: runtime::random(),
            code: runtime::random(),
            link: runtime::random(),
        };
        let email = EmailAddress::parse(&self.email).expect("an address");
        let pass = NewChallenge::new(Purpose::Pass, email, Clock::System.now(), random);
        let put = store().put_challenge(&pass.challenge).await;
        put.expect("the tables of the stack answer");
        json!({ "challenge": *pass.secret.to_text(), "code": *pass.code.to_text() })
    }

    /// Signs in a device that sends only its User-Agent.
    pub async fn sign_in(&self, user_agent: &str) -> Device {
        self.sign_in_with(user_agent, json!({})).await
    }

    /// Signs in a device that sends more members with the credentials.
    ///
    /// # Panics
    /// When the sign-in is refused.
    pub async fn sign_in_with(&self, user_agent: &str, more: Value) -> Device {
        let answer = self.log_in(more).header("user-agent", user_agent);
        let device = Device::of(&self.api, &answer.send().await);
        device.verify().await;
        device
    }

    /// Prepares a sign-in with more members.
    ///
    /// # Panics
    /// When `more` is not an object.
    #[must_use]
    pub fn log_in(&self, more: Value) -> Call {
        let mut body = self.credentials();
        let members = body.as_object_mut().expect("an object");
        let Value::Object(more) = more else {
            panic!("an object");
        };
        members.extend(more);
        self.api.call("POST", "/v1/login").json(&body)
    }
}

/// Lets the session of a device end others, as a verification does, but without another token.
///
/// # Panics
/// When the table doesn't take it.
pub async fn verify(account_id: &str, device_id: &str) {
    let now = Clock::System.now().as_millisecond().to_string();
    let update = json!({
        "TableName": stack().tables.devices,
        "Key": { "account_id": { "S": account_id }, "device_id": { "S": device_id } },
        "UpdateExpression": "SET verified_at = :now, last_write = :verify",
        "ExpressionAttributeValues": { ":now": { "N": now }, ":verify": { "S": "verify" } },
    });
    let call = aws::Call::dynamodb("UpdateItem", &update);
    let updated = Principal::root().call(&call).await;
    let updated = updated.and_then(|answer| answer.success());
    updated.expect("the table takes it");
}

/// A device that has signed in.
#[derive(Clone, Debug)]
pub struct Device {
    api: Api,
    /// The token.
    pub token: String,
    /// The device key.
    pub key: String,
    /// The device's id.
    pub id: String,
    /// The account's id.
    pub account_id: String,
    /// The device as the API shows it.
    pub shown: Value,
}

impl Device {
    /// Reads the device from the answer to a sign-in.
    ///
    /// # Panics
    /// When the sign-in was refused.
    #[must_use]
    pub fn of(api: &Api, answer: &Answer) -> Self {
        let body = answer.done(200);
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let (token, key) = (text(&body["token"]), text(&body["device_key"]));
        remember(&[&token, &key]);
        Self {
            api: api.clone(),
            token,
            key,
            id: text(&body["device"]["id"]),
            account_id: text(&body["account"]["id"]),
            shown: body["device"].clone(),
        }
    }

    /// Lets the session end others, as a verification does, but without another token.
    pub async fn verify(&self) {
        verify(&self.account_id, &self.id).await;
    }

    /// Prepares a call with the token.
    #[must_use]
    pub fn call(&self, method: &str, path: &str) -> Call {
        self.api.call(method, path).token(&self.token)
    }

    /// Sends a GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send().await
    }

    /// Sends a POST without a body.
    pub async fn post(&self, path: &str) -> Answer {
        self.call("POST", path).send().await
    }

    /// Signs out by scope: `global` or `others`.
    pub async fn sign_out_scope(&self, scope: &str) -> Answer {
        let body = json!({ "scope": scope });
        self.call("POST", SIGN_OUT_ALL).json(&body).send().await
    }

    /// Signs out one device of the account.
    pub async fn sign_out(&self, device: &str) -> Answer {
        self.post(&format!("/v1/devices/{device}/sign-out")).await
    }

    /// Changes the password.
    pub async fn change_password(&self, from: &str, to: &str, keep_current: bool) -> Answer {
        remember(&[from, to]);
        let body = json!({
            "current_password": from,
            "new_password": to,
            "keep_current": keep_current,
        });
        self.call("PUT", "/v1/password").json(&body).send().await
    }

    /// Returns whether the API accepts the token.
    ///
    /// # Panics
    /// When the answer is neither 200 nor 401.
    pub async fn is_signed_in(&self) -> bool {
        let answer = self.get("/v1/session").await;
        match answer.status {
            200 => true,
            401 => false,
            _ => panic!("neither accepted nor refused: {}", answer.text()),
        }
    }

    /// Asserts that the session was signed out, and returns the problem.
    ///
    /// # Panics
    /// When the API answers something else.
    pub async fn ended(&self) -> Value {
        let answer = self.get("/v1/session").await;
        answer.refused(401, "session-signed-out")
    }

    /// Reads a receipt until the device's entry is in this state. Returns the entry.
    ///
    /// # Panics
    /// When that takes longer than a minute.
    pub async fn receipt_entry(&self, sign_out: &str, device: &str, state: &str) -> Value {
        let path = format!("/v1/sign-outs/{sign_out}");
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let receipt = self.get(&path).await.done(200);
            let entries = receipt["sign_out"]["devices"].as_array();
            let mut entries = entries.expect("devices").iter();
            let is_it = |entry: &&Value| entry["id"] == device && entry["state"] == state;
            if let Some(entry) = entries.find(is_it) {
                return entry.clone();
            }
            assert!(Instant::now() < deadline, "{receipt}");
        }
    }

    /// Lists the devices of this status, which must fit on one page.
    ///
    /// # Panics
    /// When the list is refused, or longer.
    pub async fn devices(&self, status: &str) -> Vec<Value> {
        let path = format!("/v1/devices?status={status}&limit=100");
        let page = self.get(&path).await.done(200);
        assert!(page["next_cursor"].is_null(), "there are more");
        page["devices"].as_array().expect("devices").clone()
    }
}

/// Returns a random word.
#[must_use]
pub fn unique() -> String {
    u64::from_be_bytes(runtime::random()).to_string()
}

/// Returns every secret and e-mail address that was used so far.
#[must_use]
pub fn secrets() -> BTreeSet<String> {
    remembered().clone()
}

/// Remembers secrets that a test creates itself.
pub fn remember(secrets: &[&str]) {
    remembered().extend(secrets.iter().map(|&secret| secret.to_owned()));
}

fn remembered() -> MutexGuard<'static, BTreeSet<String>> {
    static SECRETS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    SECRETS.lock().unwrap_or_else(PoisonError::into_inner)
}
