//! The household and its five devices: what each says of itself, what it holds,
//! and how it calls.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use crate::Stage;
use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use curfew_client::{Secret, Session};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_api::{DeviceView, ReceiptView, SignOutView};
use reqwest::Client;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::ser::Formatter;
use serde_json::{Serializer, Value, json};

use crate::event::{Event, SESSION_ESTABLISHED};
use crate::live::Live;

/// No answer takes so long, cold starts on a busy machine included.
const PATIENCE: Duration = Duration::from_secs(20);

/// What stands in place of a secret.
const HIDDEN: &str = "…";

/// The members that are secrets, in requests (where a word may stand before it)
/// and in answers.
const SECRETS: [&str; 3] = ["password", "token", "device_key"];

/// The members of an answer that are shown, in this order.
const ESSENTIALS: [(&str, &str); 13] = [
    ("/field", "field"),
    ("/reason", "reason"),
    ("/signed_out_by/name", "by"),
    ("/signed_out_at", "at"),
    ("/token", "token"),
    ("/device_key", "device_key"),
    ("/device/name", "device"),
    ("/device/type", "type"),
    ("/device/ip", "ip"),
    ("/sign_out/scope", "scope"),
    ("/sign_out/requested_by/name", "by"),
    ("/sign_out/requested_at", "at"),
    ("/sign_out/id", "id"),
];

/// A household that nobody has met before.
pub struct Household {
    pub email: String,
    pub password: String,
    /// Its account's id, once a device has signed in.
    pub account: Option<String>,
    pub tv: Device,
    pub phone: Device,
    pub tablet: Device,
    pub laptop: Device,
    pub console: Device,
}

impl Household {
    /// Another e-mail address and another password each time.
    ///
    /// # Errors
    /// When a device can't be made ready to call.
    pub fn new(record: &Stage) -> Result<Self> {
        let mark = u32::from_be_bytes(runtime::random());
        let ip = |host| {
            if record.watch {
                Ipv4Addr::LOCALHOST.into()
            } else {
                own_address(host)
            }
        };
        Ok(Self {
            email: format!("lea.{mark:08x}@example.com"),
            password: new_password(),
            account: None,
            tv: hotel_tv(ip(2))?,
            phone: phone(ip(3))?,
            tablet: tablet(ip(4))?,
            laptop: laptop(ip(5))?,
            console: console(ip(6))?,
        })
    }

    pub fn devices(&self) -> [&Device; 5] {
        [
            &self.tv,
            &self.phone,
            &self.tablet,
            &self.laptop,
            &self.console,
        ]
    }

    /// Learns from the events which session each device has now.
    pub fn learn(&mut self, heard: &[Event]) {
        let sign_ins = heard
            .iter()
            .filter(|event| event.name() == SESSION_ESTABLISHED);
        for event in sign_ins {
            for device in self.devices_mut() {
                if event.device() == device.id.as_deref() {
                    device.session = event.session().map(str::to_owned);
                }
            }
        }
    }

    pub fn devices_mut(&mut self) -> [&mut Device; 5] {
        [
            &mut self.tv,
            &mut self.phone,
            &mut self.tablet,
            &mut self.laptop,
            &mut self.console,
        ]
    }
}

/// 24 characters, 144 random bits.
pub fn new_password() -> String {
    URL_SAFE_NO_PAD.encode(runtime::random::<18>())
}

/// The television of a hotel room: its owner gives it a name, the rest is told by
/// its browser.
fn hotel_tv(ip: IpAddr) -> Result<Device> {
    Device::new(
        "Hotel TV",
        ip,
        "Mozilla/5.0 (SMART-TV; LINUX; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) \
         94.0.4606.31/7.0 TV Safari/537.36",
        &[],
        Some(json!({ "name": "Hotel room 512" })),
        Looks {
            device_type: "tv",
            name: "Hotel room 512 · Samsung TV",
        },
    )
}

/// A phone with the service's own app, which says everything of itself.
fn phone(ip: IpAddr) -> Result<Device> {
    Device::new(
        "Phone",
        ip,
        "Streamy/5.2.1 (com.example.streamy; build:412; iOS 18.5.0) Alamofire/5.10.2",
        &[],
        Some(json!({
            "name": "Lea's iPhone", "type": "phone", "os": "iOS 18.5",
            "model": "iPhone 16 Pro", "app": "Streamy",
        })),
        Looks {
            device_type: "phone",
            name: "Lea's iPhone",
        },
    )
}

/// A tablet with a browser that tells little, but for its client hints, and a
/// page of before that heeds no sign-out.
fn tablet(ip: IpAddr) -> Result<Device> {
    let tablet = Device::new(
        "Tablet",
        ip,
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
         Chrome/137.0.0.0 Safari/537.36",
        &[
            (
                "sec-ch-ua",
                r#""Google Chrome";v="137", "Chromium";v="137", "Not/A)Brand";v="24""#,
            ),
            ("sec-ch-ua-mobile", "?0"),
            ("sec-ch-ua-platform", r#""Android""#),
            ("sec-ch-ua-model", r#""Pixel Tablet""#),
        ],
        None,
        Looks {
            device_type: "tablet",
            name: "Chrome on Pixel Tablet",
        },
    )?;
    Ok(Device {
        is_heedless: true,
        ..tablet
    })
}

/// A laptop with a browser that tells little, and no hints.
fn laptop(ip: IpAddr) -> Result<Device> {
    Device::new(
        "Laptop",
        ip,
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:139.0) Gecko/20100101 Firefox/139.0",
        &[],
        None,
        Looks {
            device_type: "computer",
            name: "Firefox on macOS",
        },
    )
}

/// A console, which is switched off after it has signed in.
fn console(ip: IpAddr) -> Result<Device> {
    Device::new(
        "Console",
        ip,
        "Mozilla/5.0 (PlayStation; PlayStation 5/6.50) AppleWebKit/605.1.15 (KHTML, like Gecko) \
         Version/13.0 Safari/605.1.15",
        &[],
        Some(json!({ "name": "Kids' room" })),
        Looks {
            device_type: "console",
            name: "Kids' room · PlayStation 5",
        },
    )
}

/// How a device must stand in the list.
#[derive(Debug)]
pub struct Looks {
    pub device_type: &'static str,
    pub name: &'static str,
}

/// One of the devices.
pub struct Device {
    /// What it is called in the story.
    pub role: &'static str,
    pub user_agent: &'static str,
    /// Its client hints, by the names of their headers.
    pub hints: &'static [(&'static str, &'static str)],
    /// Its own address.
    pub ip: IpAddr,
    /// What it says of itself when it signs in.
    pub claims: Option<Value>,
    pub looks: Looks,
    /// Its id, from its first sign-in on.
    pub id: Option<String>,
    /// What it holds: the token of its latest sign-in, ended or not.
    pub token: Option<String>,
    /// What it is recognised by at its next sign-in.
    pub key: Option<String>,
    /// Its session, as the event of its latest sign-in told it.
    pub session: Option<String>,
    /// What it holds, in the words of its client.
    pub begun: Option<Session>,
    /// Whether it goes on as if nothing had been said.
    pub is_heedless: bool,
    /// The part of it that keeps a socket open.
    pub live: Option<Live>,
    http: Client,
}

impl Device {
    fn new(
        role: &'static str,
        ip: IpAddr,
        user_agent: &'static str,
        hints: &'static [(&'static str, &'static str)],
        claims: Option<Value>,
        looks: Looks,
    ) -> Result<Self> {
        let headers: HeaderMap = hints
            .iter()
            .map(|&(name, value)| {
                let name = HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            })
            .collect();
        // No proxy of the user's can reach an address of this machine.
        let http = Client::builder()
            .no_proxy()
            .user_agent(user_agent)
            .default_headers(headers)
            .local_address(ip)
            .timeout(PATIENCE)
            .build()?;
        Ok(Self {
            role,
            user_agent,
            hints,
            ip,
            claims,
            looks,
            id: None,
            token: None,
            key: None,
            session: None,
            begun: None,
            is_heedless: false,
            live: None,
            http,
        })
    }

    /// Its id.
    ///
    /// # Errors
    /// When it has never signed in.
    pub fn known_id(&self) -> Result<&str> {
        let id = self.id.as_deref();
        id.with_context(|| format!("{} has never signed in", self.role))
    }

    /// The session of its latest sign-in.
    ///
    /// # Errors
    /// When it has never signed in.
    pub fn begun(&self) -> Result<Session> {
        let begun = self.begun.clone();
        begun.with_context(|| format!("{} has never signed in", self.role))
    }

    /// The part of it that keeps a socket open.
    ///
    /// # Errors
    /// When it has none yet.
    pub fn live(&self) -> Result<&Live> {
        let live = self.live.as_ref();
        live.with_context(|| format!("{} has never been live", self.role))
    }

    /// Calls the API with the token that it holds, if any.
    ///
    /// # Errors
    /// When no answer comes, or none that is JSON.
    pub async fn call(&self, api_url: &str, call: &Call) -> Result<Answer> {
        let mut request = self
            .http
            .request(call.method.clone(), format!("{api_url}{}", call.path));
        if let Some(token) = self.token.as_ref().filter(|_| call.is_signed_in) {
            request = request.bearer_auth(token);
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let begun = Instant::now();
        let failed = || format!("{} {} was not answered", call.method, call.path);
        let answer = request.send().await.with_context(failed)?;
        let status = answer.status().as_u16();
        let text = answer.text().await.with_context(failed)?;
        let at = Instant::now();
        let body = serde_json::from_str(&text)
            .with_context(|| format!("the answer {status} is not JSON: {text}"))?;
        Ok(Answer {
            status,
            body,
            at,
            took: at - begun,
        })
    }
}

/// An address of its own, where the whole of 127.0.0.0/8 is this machine's (as on
/// Linux); otherwise everybody's.
fn own_address(host: u8) -> IpAddr {
    let own = Ipv4Addr::new(127, 0, 0, host);
    let is_ours = TcpListener::bind((own, 0)).is_ok();
    if is_ours { own } else { Ipv4Addr::LOCALHOST }.into()
}

/// A call of the API.
pub struct Call {
    method: Method,
    path: String,
    body: Option<Value>,
    is_signed_in: bool,
}

impl Call {
    /// A call with the device's token.
    pub fn get(path: &str) -> Self {
        Self::new(Method::GET, path, None, true)
    }

    /// The same, that changes something.
    pub fn post(path: &str, body: Option<Value>) -> Self {
        Self::new(Method::POST, path, body, true)
    }

    /// The same, that puts something in the place of what was there.
    pub fn put(path: &str, body: Value) -> Self {
        Self::new(Method::PUT, path, Some(body), true)
    }

    /// A call that anybody can make.
    pub fn anonymous(path: &str, body: Value) -> Self {
        Self::new(Method::POST, path, Some(body), false)
    }

    fn new(method: Method, path: &str, body: Option<Value>, is_signed_in: bool) -> Self {
        Self {
            method,
            path: path.to_owned(),
            body,
            is_signed_in,
        }
    }

    /// Whether it signs a device in.
    pub fn is_sign_in(&self) -> bool {
        self.path == "/v1/login"
    }

    /// Method and path.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The body without its secrets.
    pub fn body(&self) -> Option<String> {
        self.body.as_ref().map(without_secrets)
    }
}

/// What came back.
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub at: Instant,
    pub took: Duration,
}

impl Answer {
    /// The text at a JSON pointer.
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.body.pointer(pointer)?.as_str()
    }

    /// A member in one of the API's own types.
    ///
    /// # Errors
    /// When it is not there or something else.
    pub fn member<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let what = || format!("no {name} came, but {}", without_secrets(&self.body));
        let member = self.body.get(name).with_context(what)?;
        T::deserialize(member).with_context(what)
    }

    /// The session that it tells of.
    ///
    /// # Errors
    /// When it tells of none.
    pub fn session(&self) -> Result<Session> {
        let text = |pointer| {
            let text = self.text(pointer).map(str::to_owned);
            text.with_context(|| format!("no {pointer} came"))
        };
        Ok(Session {
            token: Secret::new(text("/token")?),
            id: text("/session")?,
            device: text("/device/id")?,
            account: text("/account/id")?,
        })
    }

    /// The sign-out that it tells of.
    ///
    /// # Errors
    /// When it tells of none.
    pub fn sign_out(&self) -> Result<SignOutView> {
        self.member("sign_out")
    }

    /// The receipt that it is.
    ///
    /// # Errors
    /// When it is none.
    pub fn receipt(&self) -> Result<ReceiptView> {
        self.member("sign_out")
    }

    /// The devices that it lists.
    ///
    /// # Errors
    /// When it lists none.
    pub fn devices(&self) -> Result<Vec<DeviceView>> {
        self.member("devices")
    }

    /// The status, and the last word of the problem's type.
    pub fn problem(&self) -> (u16, Option<&str>) {
        let name = self.text("/type").and_then(|uri| uri.rsplit(':').next());
        (self.status, name)
    }

    /// What it comes to, part by part, without secrets.
    pub fn essentials(&self) -> Vec<String> {
        if let Some(devices) = self.body.get("devices").and_then(Value::as_array) {
            return vec![format!("{} devices", devices.len())];
        }
        let mut parts: Vec<String> = self.problem().1.map(str::to_owned).into_iter().collect();
        for (pointer, name) in ESSENTIALS {
            let Some(value) = self.text(pointer) else {
                continue;
            };
            let is_secret = SECRETS.contains(&name);
            let value = value.get(..4).filter(|_| is_secret).unwrap_or(value);
            let hidden = if is_secret { HIDDEN } else { "" };
            parts.push(format!("{name} {value}{hidden}"));
        }
        parts
    }
}

/// JSON on one line with its secrets hidden.
fn without_secrets(body: &Value) -> String {
    let mut body = body.clone();
    hide(&mut body);
    let mut line = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut line, Roomy);
    match body.serialize(&mut serializer) {
        Ok(()) => String::from_utf8_lossy(&line).into_owned(),
        Err(_) => body.to_string(),
    }
}

fn hide(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let is_secret = SECRETS.iter().any(|secret| name.ends_with(secret));
                if is_secret && value.is_string() {
                    *value = HIDDEN.into();
                } else {
                    hide(value);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(hide),
        _ => {}
    }
}

/// One line, with a space after each comma, so that it can be broken.
struct Roomy;

impl Formatter for Roomy {
    fn begin_object_key<W: std::io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_array_value<W: std::io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::without_secrets;

    #[test]
    fn secrets_are_hidden_wherever_they_are() {
        let body = json!({
            "current_password": "a", "device_key": "b", "keep_current": true,
            "email": "c", "in": [{ "token": "d" }],
        });
        assert_eq!(
            without_secrets(&body),
            r#"{"current_password":"…", "device_key":"…", "email":"c", "in":[{"token":"…"}], "keep_current":true}"#
        );
    }
}
