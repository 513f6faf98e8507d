//! A client of the API as an app or a page is one, and households to test with.
//!
//! Every secret that passes through here is remembered ([`secrets`]), so that a
//! test can look for all of them where none may be.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, Method};
use reqwest::redirect::Policy;
use serde_json::{Value, json};

use crate::stack;

/// A television's User-Agent.
pub const TV: &str = "Mozilla/5.0 (SMART-TV; LINUX; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) 94.0.4606.31/7.0 TV Safari/537.36";
/// A phone's.
pub const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
/// A tablet's.
pub const TABLET: &str = "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 Safari/604.1";
/// A laptop's.
pub const LAPTOP: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
/// A games console's.
pub const CONSOLE: &str = "Mozilla/5.0 (PlayStation; PlayStation 5/6.50) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 Safari/605.1.15";

/// The headers that differ between two answers that are alike: the gateway's own
/// ids, and the time.
const OF_THE_MOMENT: [&str; 6] = [
    "date",
    "apigw-requestid",
    "x-amzn-requestid",
    "x-amz-request-id",
    "x-amz-id-2",
    "x-amzn-trace-id",
];

/// The API.
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
    url: String,
}

impl Default for Api {
    fn default() -> Self {
        Self::at(stack::api_url())
    }
}

impl Api {
    /// The API at an address without a slash at its end.
    ///
    /// # Panics
    /// When there is no TLS to be had.
    #[must_use]
    pub fn at(url: &str) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .build()
            .expect("a client without special wishes");
        Self {
            http,
            url: url.to_owned(),
        }
    }

    /// A call in the making.
    ///
    /// # Panics
    /// When the method is none.
    #[must_use]
    pub fn call(&self, method: &str, path: &str) -> Call {
        let method: Method = method.parse().expect("a method");
        Call(self.http.request(method, format!("{}{path}", self.url)))
    }

    /// Registers an account.
    pub async fn register(&self, email: &str, password: &str) -> Answer {
        remember(&[email, password]);
        self.call("POST", "/v1/accounts")
            .json(&json!({ "email": email, "password": password }))
            .send()
            .await
    }
}

/// A call in the making.
#[derive(Debug)]
pub struct Call(reqwest::RequestBuilder);

impl Call {
    /// Adds a header; one that is there already stays.
    #[must_use]
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        Self(self.0.header(name, value.as_ref()))
    }

    /// Presents a token as an app does.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// Sends JSON.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    /// Sends any body.
    #[must_use]
    pub fn body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self(
            self.0
                .header("content-type", content_type)
                .body(body.into()),
        )
    }

    /// Sends a body without saying what it is.
    #[must_use]
    pub fn untyped(self, body: impl Into<Vec<u8>>) -> Self {
        Self(self.0.body(body.into()))
    }

    /// Waits for the answer.
    ///
    /// # Panics
    /// When there is none.
    pub async fn send(self) -> Answer {
        let answer = self.0.send().await.expect("an answer");
        Answer {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            body: answer.bytes().await.expect("a whole body").to_vec(),
        }
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header, if it stands there once.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    }

    /// The cookies that it sets, each as it was sent.
    #[must_use]
    pub fn cookies(&self) -> Vec<&str> {
        self.headers
            .get_all("set-cookie")
            .iter()
            .filter_map(|cookie| cookie.to_str().ok())
            .collect()
    }

    /// The JSON of a success that nobody may keep.
    ///
    /// # Panics
    /// When it is something else.
    #[track_caller]
    #[must_use]
    pub fn done(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The problem document of a refusal, complete with what goes with it.
    ///
    /// # Panics
    /// When it is something else.
    #[track_caller]
    #[expect(clippy::must_use_candidate, reason = "it is an assertion")]
    pub fn refused(&self, status: u16, name: &str) -> Value {
        let seen = format!("{} {}", self.status, self.text());
        let problem: Value = serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no problem document: {seen}"));
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

    /// The field that a refused request is wrong in.
    ///
    /// # Panics
    /// When it was answered otherwise.
    #[track_caller]
    #[expect(clippy::must_use_candidate, reason = "it is an assertion")]
    pub fn invalid(&self) -> String {
        let problem = self.refused(400, "request-invalid");
        problem["field"].as_str().expect("a field").to_owned()
    }

    /// All that another answer to the same question must have in common with it.
    #[must_use]
    pub fn alike(&self) -> (u16, BTreeSet<String>, String) {
        let headers = self
            .headers
            .iter()
            .filter(|(name, _)| !OF_THE_MOMENT.contains(&name.as_str()))
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        (self.status, headers, self.text())
    }
}

/// An account of one test.
#[derive(Clone, Debug)]
pub struct Household {
    /// The API that it is known to.
    pub api: Api,
    /// Its address.
    pub email: String,
    /// Its password.
    pub password: String,
}

impl Household {
    /// Registers an account that nobody else has.
    ///
    /// # Panics
    /// When that is refused.
    pub async fn register() -> Self {
        let household = Self::unregistered();
        let answer = household
            .api
            .register(&household.email, &household.password)
            .await;
        let _ = answer.done(202);
        household
    }

    /// An address that nobody has, and a password that would do.
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

    /// What it signs in with.
    #[must_use]
    pub fn credentials(&self) -> Value {
        json!({ "email": self.email, "password": self.password })
    }

    /// Signs in a device that says no more of itself than its User-Agent.
    pub async fn sign_in(&self, user_agent: &str) -> Device {
        self.sign_in_with(user_agent, json!({})).await
    }

    /// Signs in a device that sends more than the credentials.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn sign_in_with(&self, user_agent: &str, more: Value) -> Device {
        let answer = self.log_in(more).header("user-agent", user_agent);
        Device::of(&self.api, &answer.send().await)
    }

    /// A sign-in in the making.
    ///
    /// # Panics
    /// When `more` is no object.
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

/// A device that has signed in.
#[derive(Clone, Debug)]
pub struct Device {
    api: Api,
    /// Its token.
    pub token: String,
    /// The key that it keeps.
    pub key: String,
    /// Its id.
    pub id: String,
    /// The account's.
    pub account_id: String,
    /// How it is shown.
    pub shown: Value,
}

impl Device {
    /// The device of a sign-in that was answered.
    ///
    /// # Panics
    /// When it was refused.
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

    /// A call with its token, in the making.
    #[must_use]
    pub fn call(&self, method: &str, path: &str) -> Call {
        self.api.call(method, path).token(&self.token)
    }

    /// Asks.
    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send().await
    }

    /// Acts, without a body.
    pub async fn post(&self, path: &str) -> Answer {
        self.call("POST", path).send().await
    }

    /// Signs out every device, or every other one.
    pub async fn sign_out_all(&self, scope: &str) -> Answer {
        let body = json!({ "scope": scope });
        self.call("POST", "/v1/sign-out-all")
            .json(&body)
            .send()
            .await
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

    /// Whether it is let in.
    ///
    /// # Panics
    /// When it is neither let in nor refused.
    pub async fn is_signed_in(&self) -> bool {
        let answer = self.get("/v1/session").await;
        match answer.status {
            200 => true,
            401 => false,
            _ => panic!("no verdict: {}", answer.text()),
        }
    }

    /// The devices that it lists, all of them on one page.
    ///
    /// # Panics
    /// When it is refused, or there are more.
    pub async fn devices(&self, status: &str) -> Vec<Value> {
        let path = format!("/v1/devices?status={status}&limit=100");
        let page = self.get(&path).await.done(200);
        assert!(page["next_cursor"].is_null(), "there are more");
        page["devices"].as_array().expect("devices").clone()
    }
}

/// A word that was never used before.
#[must_use]
pub fn unique() -> String {
    u64::from_be_bytes(runtime::random()).to_string()
}

/// Every secret that a test has used so far, and every address.
#[must_use]
pub fn secrets() -> BTreeSet<String> {
    remembered().clone()
}

/// Remembers secrets that a test makes itself.
pub fn remember(secrets: &[&str]) {
    remembered().extend(secrets.iter().map(|&secret| secret.to_owned()));
}

fn remembered() -> MutexGuard<'static, BTreeSet<String>> {
    static SECRETS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    SECRETS.lock().unwrap_or_else(PoisonError::into_inner)
}
