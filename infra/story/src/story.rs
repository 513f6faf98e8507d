//! The checks that the steps are made of.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use curfew_client::{Answer, By, Channel, EndReason, Event, Frame, SignedOut};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::Settings;
use crate::device::Device;
use crate::page::without_secrets;
use crate::topic::{Message, SESSION_ESTABLISHED, Topic};

/// The time that an event or a receipt may take on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The time between two reads of a receipt.
const POLL: Duration = Duration::from_millis(100);

pub struct Story<'a> {
    pub settings: Settings,
    pub begun: Instant,
    /// The number of the last step.
    pub step: usize,
    /// The number of checks that passed, and the texts of the others.
    pub passed: usize,
    pub failed: Vec<String>,
    pub email: String,
    pub password: String,
    /// The account's id, from the first sign-in on.
    account: Option<String>,
    topic: &'a Topic,
    /// The sessions that a later sign-in of their device has replaced. Each may be
    /// revoked once more.
    replaced: Vec<String>,
    /// The household's events so far.
    events: Vec<Message>,
}

/// A sign-out that was answered.
pub struct SignOut {
    pub id: String,
    /// The details that each device must get.
    end: SignedOut,
    /// The time of the answer.
    at: Instant,
}

impl<'a> Story<'a> {
    pub fn new(settings: Settings, topic: &'a Topic) -> Self {
        Self {
            settings,
            begun: Instant::now(),
            step: 0,
            passed: 0,
            failed: Vec::new(),
            account: None,
            email: format!("lea.{}@example.com", random()),
            password: random(),
            topic,
            replaced: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Makes a call such as `GET /v1/session`, with the device's token unless it signs
    /// in. The body may be null.
    pub async fn call(&self, device: &Device, call: &str, body: Value) -> Result<Answer> {
        self.detail(format!("{}: {call}", device.is.role));
        let (method, path) = call.split_once(' ').context("a method and a path")?;
        let mut call = device.api.call(method.parse()?, path);
        for (name, value) in &device.is.headers {
            call = call.header(name, value);
        }
        if !["/v1/accounts", "/v1/login"].contains(&path) {
            call = call.token(&device.session()?.token);
        }
        if !body.is_null() {
            call = call.json(&body);
            self.detail(without_secrets(body));
        }
        let answer = call.send().await?;
        let json = without_secrets(answer.json.clone());
        self.detail(format!("→ {} {json}", answer.status));
        Ok(answer)
    }

    /// Signs devices in, and checks that each is recognised and connects.
    pub async fn sign_in(&mut self, devices: &mut [&mut Device]) -> Result<()> {
        let mut expected = Vec::new();
        for device in devices {
            let body = device.sign_in(&self.email, &self.password);
            let answer = self.call(device, "POST /v1/login", body).await?;
            let (got, is) = (&answer.json["device"], &device.is);
            let listed = json!({ "name": is.name, "type": is.device_type, "ip": device.ip });
            self.check_members(format!("{} is recognised", is.role), got, &listed);
            if let Ok(before) = device.session() {
                let claim = format!("{} is the same device as before", is.role);
                self.check(claim, got["id"].as_str(), Some(&before.device));
                self.replaced.push(before.id.clone());
            }
            self.account = answer.member("/account/id").map(str::to_owned);
            device.begin(&answer, &self.settings).await?;
            expected.push(about(device, None, SESSION_ESTABLISHED, json!({}))?);
        }
        self.receive(expected).await
    }

    /// Makes a sign-out, and checks its answer.
    pub async fn sign_out(
        &mut self,
        by: &Device,
        call: &str,
        body: Value,
        (scope, reason): (&str, &str),
    ) -> Result<SignOut> {
        let answer = self.call(by, call, body).await?;
        let at = Instant::now();
        let sign_out = &answer.json["sign_out"];
        let expected = json!({ "scope": scope, "requested_by": { "id": by.session()?.device } });
        self.check("The sign-out is answered", answer.status, 200);
        self.check_members("The sign-out is as asked for", sign_out, &expected);
        let text = |name: &str| sign_out[name].as_str().map(str::to_owned);
        let id = text("id").with_context(|| answer.message())?;
        let end = SignedOut {
            sign_out: Some(id.clone()),
            at: text("requested_at").context("no time")?,
            by: By::deserialize(&sign_out["requested_by"]).ok(),
            reason: reason.to_owned(),
        };
        Ok(SignOut { id, end, at })
    }

    /// Checks that the API accepts a device, or refuses it and reports the sign-out.
    pub async fn session(&mut self, device: &Device, by: Option<&SignOut>) -> Result<()> {
        let answer = self.call(device, "GET /v1/session", Value::Null).await?;
        let expected = by.map(|by| EndReason::SignedOut(by.end.clone()));
        let is_accepted = answer.status == 200;
        let got = (is_accepted, answer.session_end());
        let claim = format!("{} is accepted, or learns why not", device.is.role);
        self.check(claim, got, (by.is_none(), expected));
        Ok(())
    }

    /// Calls the example API, and checks the status.
    pub async fn film(&mut self, device: &Device, path: &str, status: u16) -> Result<Answer> {
        let api = device.api.at(&self.settings.example_url)?;
        let call = api.call(Method::GET, path).token(&device.session()?.token);
        let answer = call.send().await?;
        self.detail(format!("{path} → {} {}", answer.status, answer.json));
        self.check("The film plays, or is refused", answer.status, status);
        Ok(answer)
    }

    /// Checks that a device stops, wipes itself, shows the sign-in screen and
    /// acknowledges, in this order.
    pub async fn goes_dark(&mut self, device: &mut Device, by: &SignOut) -> Result<()> {
        let stopped = device.step().await;
        let after = by.at.elapsed().as_millis();
        let rest = [
            device.step().await,
            device.step().await,
            device.step().await,
        ];
        let role = &device.is.role;
        match (&stopped, &rest) {
            (
                Some(Event::Stopped(first, how)),
                [
                    Some(Event::Wiped),
                    Some(Event::SignInScreen(EndReason::SignedOut(second))),
                    Some(Event::Acknowledged(_)),
                ],
            ) => {
                let got = (first, second);
                self.check("The device learns why", got, (&by.end, &by.end));
                self.say(match how {
                    Channel::Socket => format!("{role}: notified after {after} ms; wiped, dark."),
                    Channel::Call => format!("{role}: refused at its first call; wiped, dark."),
                });
            }
            other => self.fail(format!("{role} does not go dark: {other:?}")),
        }
        let storage = device.client()?.storage();
        let is_empty = storage.session().is_none() && storage.entries().is_empty();
        self.check(format!("{role} is empty"), is_empty, true);
        Ok(())
    }

    /// Checks that the old app is notified too, although it ignores it.
    pub async fn is_notified(&mut self, device: &mut Device, by: &SignOut) -> Result<()> {
        let expected = Some(revocation(device, by)?);
        let claim = format!("{} is notified, and ignores it.", device.is.role);
        self.say(&claim);
        self.check(claim, device.frame().await?, expected);
        Ok(())
    }

    /// Lists devices: the name, the device that ended the session, and the reason.
    pub async fn list(&self, device: &Device, status: &str) -> Result<Vec<Value>> {
        let call = format!("GET /v1/devices?status={status}");
        let answer = self.call(device, &call, Value::Null).await?;
        let devices = answer.json["devices"].as_array().into_iter().flatten();
        let row = |it: &Value| json!([it["name"], it["signed_out_by"]["name"], it["reason"]]);
        Ok(devices.map(row).collect())
    }

    /// Reads the receipt until it shows these states, in the order of the list, and
    /// these totals: confirmed, pushed, not reached.
    pub async fn receipt(
        &mut self,
        reader: &Device,
        sign_out: &SignOut,
        states: &[(&Device, &str)],
        [confirmed, pushed, not_reached]: [usize; 3],
    ) -> Result<()> {
        let path = format!("/v1/sign-outs/{}", sign_out.id);
        let total = json!({
            "devices": states.len(), "confirmed": confirmed,
            "pushed": pushed, "not_reached": not_reached,
        });
        let state = |&(device, state): &(&Device, &str)| json!([device.is.name, state]);
        let states = states.iter().map(state);
        let expected = (states.collect::<Vec<_>>(), total);
        let deadline = Instant::now() + TIMEOUT;
        let got = loop {
            let call = reader.api.call(Method::GET, &path);
            let answer = call.token(&reader.session()?.token).send().await?;
            let receipt = &answer.json["sign_out"];
            let parts = receipt["devices"].as_array().into_iter().flatten();
            let states = parts.map(|part| json!([part["name"], part["state"]]));
            let got = (states.collect(), receipt["total"].clone());
            if got == expected || Instant::now() > deadline {
                break got;
            }
            sleep(POLL).await;
        };
        let total = &got.1;
        let (confirmed, pushed) = (&total["confirmed"], &total["pushed"]);
        let not_reached = &total["not_reached"];
        self.say(format!(
            "Receipt: {confirmed} confirmed, {pushed} notified, {not_reached} not reached."
        ));
        for part in &got.0 {
            let text = |at: usize| part[at].as_str().unwrap_or_default();
            self.say(format!("   {:<12} {}", text(1), text(0)));
        }
        self.check("The receipt shows each device", got, expected);
        Ok(())
    }

    /// Waits for these events. Any other event of the household is a failure.
    pub async fn receive(&mut self, mut expected: Vec<Value>) -> Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            for message in self.topic.receive().await? {
                self.take(message, &mut expected);
            }
            if expected.is_empty() || Instant::now() > deadline {
                break;
            }
        }
        self.check("Every event has come", expected, Vec::new());
        Ok(())
    }

    fn take(&mut self, message: Message, expected: &mut Vec<Value>) {
        let is_same = |it: &Message, pointer| message.claim(pointer) == it.claim(pointer);
        // The stack may have other accounts.
        let is_ours = message.claim("/sub_id/user/id") == self.account.as_deref();
        let is_repeated = |earlier: &Message| {
            let is_same_end = message.session().is_some()
                && message.session() == earlier.session()
                && message.event_type() == earlier.event_type();
            is_same(earlier, "/jti") || is_same_end
        };
        if !is_ours || self.events.iter().any(is_repeated) {
            return;
        }
        let claims = &message.claims;
        self.detail(format!("event {claims}"));
        let is_replaced = |id| self.replaced.iter().any(|replaced| replaced == id);
        if let Some(at) = expected.iter().position(|one| message.is(one)) {
            let expected = expected.remove(at);
            self.check("The event is sound", message.is_sound(), true);
            self.check_members("The event is as expected", claims, &expected);
        } else if !message.session().is_some_and(is_replaced) {
            self.fail(format!("an event too many: {claims}"));
        }
        self.events.push(message);
    }
}

/// Returns the claims of an event about a device's session.
pub fn about(device: &Device, by: Option<&SignOut>, event: &str, members: Value) -> Result<Value> {
    let session = device.session()?;
    let mut claims = about_all(by, event, members);
    claims["sub_id"] =
        json!({ "device": { "id": session.device }, "session": { "id": session.id } });
    Ok(claims)
}

/// Returns the claims of an event about the account.
pub fn about_all(by: Option<&SignOut>, event: &str, mut members: Value) -> Value {
    members["initiating_entity"] = "user".into();
    match by {
        Some(by) => json!({ "txn": by.id, "events": { event: members } }),
        None => json!({ "events": { event: members } }),
    }
}

/// Returns the frame that a device must get.
pub fn revocation(device: &Device, by: &SignOut) -> Result<Frame> {
    Ok(Frame::SessionRevoked {
        session: device.session()?.id.clone(),
        signed_out: by.end.clone(),
    })
}

/// Returns 32 random hexadecimal digits.
pub fn random() -> String {
    format!("{:032x}", u128::from_be_bytes(runtime::random()))
}
