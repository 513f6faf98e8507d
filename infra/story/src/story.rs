//! The checks that the steps are made of, and the output.

use std::collections::HashSet;
use std::fmt::{Debug, Display};
use std::io::{Write, stdout};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use curfew_client::{
    Answer, Api, Channel, EndReason, Event, Frame, Proof, SignedOut, Verification,
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::Settings;
use crate::device::Device;
use crate::topic::Topic;

/// The time that a step may take on a busy machine, cold starts included.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// The subject of a mail with a code for a verification.
const CODE_SUBJECT: &str = "Your code to confirm that it is you";

/// The time between two reads of a receipt.
const POLL: Duration = Duration::from_millis(100);

pub struct Story {
    pub settings: Settings,
    pub topic: Topic,
    pub email: String,
    pub password: String,
    /// The account's id, from the first sign-in on.
    account: Value,
    begun: Instant,
    /// The time of the answer to the latest sign-out.
    answered: Instant,
    step: usize,
    passed: usize,
    /// The number of mails with codes so far.
    codes: usize,
    /// The events so far: the sessions that were revoked, and the ids of the others.
    seen: HashSet<Value>,
}

impl Story {
    pub fn new(settings: Settings, topic: Topic) -> Self {
        Self {
            email: settings.email.clone(),
            password: settings.password.clone(),
            settings,
            topic,
            account: Value::Null,
            begun: Instant::now(),
            answered: Instant::now(),
            step: 0,
            passed: 0,
            codes: 0,
            seen: HashSet::new(),
        }
    }

    /// Prints the title of the next step.
    pub fn begin_step(&mut self, title: &str) {
        self.step += 1;
        line(format!("{:>2}  {title}", self.step));
    }

    /// Prints a line with `--verbose`.
    fn detail(&self, text: impl Display) {
        if self.settings.verbose {
            say(text);
        }
    }

    pub fn close(&self) {
        let (all, took) = (self.passed, self.begun.elapsed().as_secs_f64());
        line(format!("All {all} checks passed in {took:.1} s."));
    }

    /// Counts a check, or ends the story when the values differ.
    #[expect(clippy::needless_pass_by_value, reason = "callers compare temporaries")]
    pub fn check<T>(&mut self, claim: impl Display, got: T, expected: T) -> Result<()>
    where
        T: PartialEq + Debug,
    {
        ensure!(got == expected, "{claim}: {got:?} is not {expected:?}");
        self.passed += 1;
        self.detail(format!("✓ {claim}"));
        Ok(())
    }

    /// Makes a call such as `GET /v1/session`, and checks the status. A call that does
    /// not sign in has the device's token. A path outside `/v1` is the example's.
    pub async fn call(
        &self,
        device: &Device,
        call: &str,
        body: Option<Value>,
        status: u16,
    ) -> Result<Answer> {
        let (method, path) = call.split_once(' ').context("a method and a path")?;
        let url = if path.starts_with("/v1/") {
            &self.settings.api_url
        } else {
            &self.settings.example_url
        };
        let mut request = device.api.at(url)?.call(method.parse()?, path);
        for (name, value) in &device.is.headers {
            request = request.header(name, value);
        }
        if path != "/v1/login" {
            request = request.token(&device.session()?.token);
        }
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let texts = [body.unwrap_or_default(), answer.json.clone()];
        let [body, json] = texts.map(without_secrets);
        self.detail(format!("{}: {call} {body}", device.is.role));
        self.detail(format!("→ {} {json}", answer.status));
        ensure!(answer.status == status, "{call} gave {json}, not {status}");
        Ok(answer)
    }

    /// Signs devices in, and checks that each is recognised and connects.
    pub async fn sign_in(&mut self, devices: &mut [&mut Device]) -> Result<()> {
        let mut expected = Vec::new();
        for device in devices {
            let mut body = self.credentials(device, &self.password);
            // The device key makes it the same device.
            if let Some(key) = device.client.storage().device_key()? {
                body["device_key"] = key.reveal().into();
            }
            let login = self.call(device, "POST /v1/login", Some(body), 200);
            let answer = login.await?;
            let (got, is) = (&answer.json["device"], &device.is);
            let mut id = got["id"].clone();
            if let Ok(before) = device.session() {
                id = before.device.clone().into();
                // The replaced session may be revoked once more.
                self.seen.insert(before.id.clone().into());
            }
            let listed = json!([id, is.name, is.device_type]);
            let got = json!([got["id"], got["name"], got["type"]]);
            self.check(format!("{} is recognised", is.role), got, listed)?;
            self.account = answer.json["account"]["id"].clone();
            device.begin(&answer, &self.settings.socket_url).await?;
            expected.push(event("session-established", device)?);
        }
        self.receive(expected).await
    }

    /// Returns the body of a sign-in.
    pub fn credentials(&self, device: &Device, password: &str) -> Value {
        json!({ "email": self.email, "password": password, "device": device.is.claims })
    }

    /// Makes a sign-out, and checks its answer.
    pub async fn sign_out(
        &mut self,
        by: &Device,
        call: &str,
        body: Option<Value>,
        (scope, reason): (&str, &str),
    ) -> Result<SignedOut> {
        let answer = self.call(by, call, body, 200).await?;
        self.answered = Instant::now();
        let (got, sign_out) = answer.sign_out(reason).context("no sign-out")?;
        self.check("The scope is as asked for", got, scope)?;
        Ok(sign_out)
    }

    /// Proves that the owner holds the device, with a code in a mail: the password alone is
    /// not enough on a device that is not known yet.
    pub async fn verify(&mut self, device: &mut Device) -> Result<()> {
        let body = Some(json!({ "scope": "others" }));
        let call = self.call(device, "POST /v1/sign-out-all", body, 401);
        let (answer, expected) = (call.await?, Some("verification-required"));
        self.check("A token alone is not enough", answer.problem(), expected)?;
        let challenge = device.client.request_verification_code().await?;
        let code = self.mailed_code().await?;
        let code = Some(Proof { challenge, code });
        let verification = Verification {
            code,
            ..Verification::default()
        };
        device.client.verify(&verification).await?;
        device.take_token();
        say(format!("{} types the code in the mail.", device.is.role));
        Ok(())
    }

    /// Waits for the next mail with a code for a verification, and returns the code.
    async fn mailed_code(&mut self) -> Result<String> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let url = &self.settings.mails_url;
            let answer = Api::new(url)?.call("GET".parse()?, "").send().await?;
            let accounts = answer.json["messages"].as_object().into_iter().flatten();
            let mails = accounts.flat_map(|(_, mails)| mails.as_array().into_iter().flatten());
            let to_owner = |mail: &&Value| {
                let to = mail["To"].as_array().into_iter().flatten();
                to.into_iter().any(|to| *to == self.email)
            };
            let codes = mails.filter(to_owner).filter_map(|mail| {
                let subject = mail["Subject"].as_str()?;
                let is_code = |word: &&str| word.len() == 9 && word.find('-') == Some(4);
                let text = mail["BodyText"].as_str()?;
                let mut words = text.split_whitespace();
                (subject == CODE_SUBJECT).then(|| words.find(is_code))?
            });
            let codes: Vec<String> = codes.map(str::to_owned).collect();
            if codes.len() > self.codes {
                self.codes = codes.len();
                return codes.into_iter().next_back().context("a code");
            }
            ensure!(Instant::now() < deadline, "no mail with a code came");
            sleep(POLL).await;
        }
    }

    /// Checks that the API accepts each device, or refuses it and reports the sign-out.
    pub async fn sessions(&mut self, devices: &[&Device]) -> Result<()> {
        for device in devices {
            let status = if device.ended.is_some() { 401 } else { 200 };
            let answer = self.call(device, "GET /v1/session", None, status).await?;
            let end = device.ended.clone().map(EndReason::SignedOut);
            let claim = format!("{} is accepted, or learns why not", device.is.role);
            self.check(claim, answer.session_end(), end)?;
        }
        Ok(())
    }

    /// Checks that a device stops, wipes itself, shows the sign-in screen and
    /// acknowledges, in this order.
    pub async fn goes_dark(&mut self, device: &mut Device) -> Result<()> {
        let stopped = device.step().await?;
        let by = device.end()?.clone();
        let after = self.answered.elapsed().as_millis();
        let Event::Stopped(why, channel) = stopped else {
            bail!("{} does not stop: {stopped:?}", device.is.role);
        };
        let got = (why, [device.step().await?, device.step().await?]);
        let screen = Event::SignInScreen(EndReason::SignedOut(by.clone()));
        let expected = (by, [Event::Wiped, screen]);
        self.check("The device wipes itself", got, expected)?;
        let end = device.step().await?;
        let is_acknowledged = matches!(end, Event::Acknowledged(_));
        self.check("The device acknowledges", is_acknowledged, true)?;
        let role = &device.is.role;
        say(match channel {
            Channel::Socket => format!("{role}: notified after {after} ms; wiped, dark."),
            Channel::Call => format!("{role}: refused at its first call; wiped, dark."),
        });
        let storage = device.client.storage();
        let is_empty = storage.session().is_none() && storage.entries().is_empty();
        self.check(format!("{role} is empty"), is_empty, true)
    }

    /// Checks the devices in a list: the name, the device that ended the session, and
    /// the reason.
    pub async fn list(&mut self, by: &Device, status: &str, expected: &[Value]) -> Result<()> {
        let call = format!("GET /v1/devices?status={status}");
        let answer = self.call(by, &call, None, 200).await?;
        let devices = answer.json["devices"].as_array().into_iter().flatten();
        let row = |it: &Value| json!([it["name"], it["signed_out_by"]["name"], it["reason"]]);
        let listed: Vec<_> = devices.map(row).collect();
        self.check("The list is complete", &listed[..], expected)
    }

    /// Reads the receipt until it shows these states, in the order of the list, and
    /// these totals: wiped, notified, not reached.
    pub async fn receipt(
        &mut self,
        reader: &Device,
        sign_out: &SignedOut,
        states: &[(&Device, &str)],
        [wiped, notified, not_reached]: [usize; 3],
    ) -> Result<()> {
        let id = sign_out.sign_out.as_deref().context("no id")?;
        let call = format!("GET /v1/sign-outs/{id}");
        let state = |(device, state): &(&Device, _)| json!([device.is.name, state]);
        let expected = json!([states.iter().map(state).collect::<Vec<_>>(), {
            "devices": states.len(), "wiped": wiped,
            "notified": notified, "seen": 0, "not_reached": not_reached,
        }]);
        let deadline = Instant::now() + TIMEOUT;
        let got = loop {
            let answer = self.call(reader, &call, None, 200).await?;
            let receipt = &answer.json["sign_out"];
            let parts = receipt["devices"].as_array().into_iter().flatten();
            let states = parts.map(|part| json!([part["name"], part["state"]]));
            let got = json!([states.collect::<Vec<_>>(), receipt["total"]]);
            if got == expected || Instant::now() > deadline {
                break got;
            }
            sleep(POLL).await;
        };
        self.check("The receipt shows each device", got, expected)?;
        say(format!(
            "Receipt: all refused; {wiped} wiped, {notified} notified, {not_reached} not reached."
        ));
        for (device, state) in states {
            say(format!("   {state:<12} {}", device.is.name));
        }
        Ok(())
    }

    /// Waits for these events. Any other of the household is a failure.
    pub async fn receive(&mut self, mut expected: Vec<Value>) -> Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            for message in self.topic.receive().await? {
                let event_type = message.event_type();
                let claims = &message.claims;
                let [user, device, session] =
                    ["user", "device", "session"].map(|it| message.subject(it));
                let is_end = event_type == "session-revoked" && session.is_string();
                let id = if is_end { session } else { &claims["jti"] };
                // The stack may have other accounts, and an event may come again.
                if *user != self.account || !self.seen.insert(id.clone()) {
                    continue;
                }
                self.detail(format!("event {claims}"));
                let is_sign_in = event_type == "session-established";
                let txn = claims["txn"].as_str().filter(|_| !is_sign_in);
                let got = json!([event_type, txn, device, session]);
                let at = expected.iter().position(|one| *one == got);
                let at = at.with_context(|| format!("{got} is not among {expected:?}"))?;
                expected.remove(at);
            }
            if expected.is_empty() || Instant::now() > deadline {
                return self.check("Every event has come", expected, Vec::new());
            }
        }
    }
}

/// Prints a line of the step.
pub fn say(text: impl Display) {
    line(format!("      {text}"));
}

fn line(text: impl Display) {
    // The reader may have gone; the story still clears up at its end.
    let _ = writeln!(stdout().lock(), "{text}");
}

/// Hides the secrets among the members of a body.
fn without_secrets(mut body: Value) -> Value {
    for (name, value) in body.as_object_mut().into_iter().flatten() {
        let is = |secret: &&str| name.ends_with(secret);
        if value.is_string() && ["password", "token", "device_key"].iter().any(is) {
            *value = "…".into();
        }
    }
    body
}

/// Returns the type of an event about a device, the sign-out, and both ids.
pub fn event(event_type: &str, device: &Device) -> Result<Value> {
    let (by, session) = (device.ended.as_ref(), device.session()?);
    let by = by.and_then(|by| by.sign_out.as_ref());
    Ok(json!([event_type, by, session.device, session.id]))
}

/// Returns the frame that a device must get.
pub fn revocation(device: &Device) -> Result<Frame> {
    Ok(Frame::SessionRevoked {
        session: device.session()?.id.clone(),
        signed_out: device.end()?.clone(),
    })
}

/// Returns 32 random hexadecimal digits.
pub fn random() -> String {
    format!("{:032x}", u128::from_be_bytes(runtime::random()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::without_secrets;

    #[test]
    fn secrets_are_hidden() {
        let body = json!({ "current_password": "a", "token": "b", "keep_current": true });
        let hidden = json!({ "current_password": "…", "token": "…", "keep_current": true });
        assert_eq!(without_secrets(body), hidden);
    }
}
