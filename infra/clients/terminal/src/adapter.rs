//! The adapter for the suite of clients: one JSON object per line in each
//! direction. The protocol is in `infra/docs/devices.md`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use anyhow::Result;
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use curfew_client::{
    Api, Client, Credentials, DeviceInfo, EndReason, Error, Event, Factor, Proof, SecondStep,
    Secret, Session, Settings, Storage, Timing, Verification,
};

use crate::input;

/// A numbered command.
#[derive(Deserialize)]
struct Command {
    id: Value,
    #[serde(flatten)]
    action: Action,
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Action {
    Configure(Configuration),
    SignIn {
        email: String,
        password: Secret,
        #[serde(flatten)]
        factor: TypedFactor,
        #[serde(default)]
        remember: bool,
    },
    Store {
        key: String,
        value: String,
    },
    Stored,
    Call {
        method: String,
        path: String,
    },
    RequestVerificationCode,
    Verify {
        password: Option<Secret>,
        challenge: Option<Secret>,
        code: Option<String>,
        #[serde(flatten)]
        factor: TypedFactor,
        external: Option<Secret>,
    },
    SignOutDevice {
        device: String,
    },
    SignOut {
        scope: String,
    },
    ChangePassword {
        current_password: Secret,
        new_password: Secret,
        #[serde(default)]
        keep_current: bool,
    },
    End,
}

/// A factor in a command.
#[derive(Deserialize)]
struct TypedFactor {
    totp: Option<Secret>,
    recovery_code: Option<Secret>,
}

impl TypedFactor {
    fn shown(self) -> Option<Factor> {
        let recovery_code = self.recovery_code.map(Factor::RecoveryCode);
        self.totp.map(Factor::Totp).or(recovery_code)
    }
}

#[derive(Deserialize)]
struct Configuration {
    api_url: String,
    socket_url: Option<String>,
    state: PathBuf,
    reconnect_cap_ms: Option<u64>,
    #[serde(default)]
    device: DeviceInfo,
}

/// Follows the commands on standard input until it ends, or until `end`.
///
/// # Errors
/// When standard output can't be written.
pub async fn run() -> Result<()> {
    let (say, mut written) = unbounded_channel::<Value>();
    let mut adapter = Adapter { client: None, say };
    let mut lines = input::lines();
    let answering = async {
        while let Some(line) = lines.recv().await {
            if !line.trim().is_empty() && !adapter.run(&line).await {
                return;
            }
        }
    };
    let mut answering = pin!(answering);
    loop {
        tokio::select! {
            // In this order, so that every answer is written before the end.
            biased;
            Some(line) = written.recv() => write(&line)?,
            () = &mut answering => break,
        }
    }
    // Don't wait for more: an acknowledgement without an answer is retried forever.
    while let Ok(line) = written.try_recv() {
        write(&line)?;
    }
    Ok(())
}

fn write(line: &Value) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}

struct Adapter {
    client: Option<Client>,
    say: UnboundedSender<Value>,
}

impl Adapter {
    /// Runs the command in a line, and answers it. Returns false after the last one.
    async fn run(&mut self, line: &str) -> bool {
        let (id, done, goes_on) = match serde_json::from_str(line) {
            Err(error) => {
                let id = serde_json::from_str::<Value>(line)
                    .map(|line| line["id"].clone())
                    .unwrap_or_default();
                (id, Err(failure(format!("unknown command: {error}"))), true)
            }
            Ok(Command { id, action }) => {
                let goes_on = !matches!(action, Action::End);
                (id, self.act(action).await, goes_on)
            }
        };
        let answer = match done {
            Ok(mut members) => {
                members.insert("id".into(), id);
                members.insert("ok".into(), true.into());
                Value::Object(members)
            }
            Err(Error {
                problem,
                detail,
                methods,
                ..
            }) => {
                json!({ "id": id, "ok": false, "problem": problem, "detail": detail, "methods": methods })
            }
        };
        // Fails only when the process ends.
        let _ = self.say.send(answer);
        goes_on
    }

    async fn act(&mut self, action: Action) -> Result<Map<String, Value>, Error> {
        let members = match action {
            Action::Configure(configuration) => {
                self.configure(configuration)?;
                json!({})
            }
            Action::SignIn {
                email,
                password,
                factor,
                remember,
            } => {
                let credentials = Credentials { email, password };
                let signing_in = self.sign_in(&credentials, factor.shown(), remember);
                json!({ "device_id": signing_in.await?.device })
            }
            Action::Store { key, value } => {
                let stored = self.client()?.storage().store(key, value);
                stored.map_err(failure)?;
                json!({})
            }
            Action::Stored => self.stored()?,
            Action::Call { method, path } => self.call(&method, &path).await?,
            Action::RequestVerificationCode => {
                let challenge = self.client()?.request_verification_code().await?;
                json!({ "challenge": challenge.reveal() })
            }
            Action::Verify {
                password,
                challenge,
                code,
                factor,
                external,
            } => {
                let code = challenge.zip(code);
                let verification = Verification {
                    password,
                    code: code.map(|(challenge, code)| Proof { challenge, code }),
                    factor: factor.shown(),
                    external,
                };
                self.client()?.verify(&verification).await?;
                json!({})
            }
            Action::SignOutDevice { device } => {
                json!({ "sign_out": self.client()?.sign_out_device(&device).await? })
            }
            Action::SignOut { scope } => {
                json!({ "sign_out": self.client()?.sign_out(&scope).await? })
            }
            Action::ChangePassword {
                current_password,
                new_password,
                keep_current,
            } => {
                let client = self.client()?;
                let changed =
                    client.change_password(&current_password, &new_password, keep_current);
                json!({ "sign_out": changed.await? })
            }
            Action::End => self.end().await,
        };
        match members {
            Value::Object(members) => Ok(members),
            _ => Ok(Map::new()),
        }
    }

    /// Signs in, and completes a second step with the factor, if there is one.
    async fn sign_in(
        &mut self,
        credentials: &Credentials,
        factor: Option<Factor>,
        remember: bool,
    ) -> Result<Session, Error> {
        let client = self.client_mut()?;
        let required = match client.sign_in(credentials).await {
            Err(error) if error.problem.as_deref() == Some("second-step-required") => error,
            signed_in => return signed_in,
        };
        let (Some(challenge), Some(factor)) = (required.challenge.clone(), factor) else {
            return Err(required);
        };
        let step = SecondStep {
            challenge,
            factor,
            remember,
        };
        client.complete_sign_in(&credentials.email, &step).await
    }

    async fn end(&mut self) -> Value {
        if let Some(client) = self.client.take() {
            client.close().await;
        }
        json!({})
    }

    fn stored(&self) -> Result<Value, Error> {
        let storage = self.client()?.storage();
        let key = storage.device_key().map_err(failure)?;
        Ok(json!({
            "entries": storage.entries(),
            "token": storage.session().is_some(),
            "device_key": key.is_some(),
        }))
    }

    async fn call(&self, method: &str, path: &str) -> Result<Value, Error> {
        let method: Method = method.parse().map_err(failure)?;
        Ok(match self.client()?.call(method, path, None).await {
            Ok(answer) => json!({ "status": answer.status, "problem": answer.problem() }),
            Err(_) => json!({ "status": 0, "problem": null }),
        })
    }

    fn configure(&mut self, configuration: Configuration) -> Result<(), Error> {
        let Configuration {
            api_url,
            socket_url,
            state,
            reconnect_cap_ms,
            device,
        } = configuration;
        let api = Api::new(&api_url).map_err(failure)?;
        let mut timing = Timing::default();
        if let Some(cap) = reconnect_cap_ms {
            timing = timing.capped(Duration::from_millis(cap));
        }
        // The device before releases its folder first.
        self.client = None;
        let memory = Storage::in_folder(state).map_err(failure)?;
        let settings = Settings {
            api,
            socket_url,
            device,
            timing,
        };
        let (client, events) = Client::new(settings, memory);
        self.client = Some(client);
        tokio::spawn(report(events, self.say.clone()));
        Ok(())
    }

    fn client(&self) -> Result<&Client, Error> {
        self.client.as_ref().ok_or_else(unconfigured)
    }

    fn client_mut(&mut self) -> Result<&mut Client, Error> {
        self.client.as_mut().ok_or_else(unconfigured)
    }
}

fn unconfigured() -> Error {
    failure("configure must come first")
}

#[expect(clippy::needless_pass_by_value, reason = "map_err passes it so")]
fn failure(detail: impl ToString) -> Error {
    Error {
        problem: None,
        challenge: None,
        methods: Vec::new(),
        verify_at: None,
        detail: detail.to_string(),
    }
}

async fn report(mut events: UnboundedReceiver<Event>, say: UnboundedSender<Value>) {
    while let Some(event) = events.recv().await {
        if let Some(event) = line(&event)
            && say.send(event).is_err()
        {
            return;
        }
    }
}

/// Returns the line that reports an event to the suite.
fn line(event: &Event) -> Option<Value> {
    let line = match event {
        Event::Connected => json!({ "event": "connected" }),
        Event::Disconnected => json!({ "event": "disconnected" }),
        Event::Stopped(..) => json!({ "event": "stopped" }),
        Event::Wiped => json!({ "event": "wiped" }),
        Event::Acknowledged(_) => json!({ "event": "acknowledged" }),
        Event::SignInScreen(EndReason::Expired) => {
            json!({ "event": "sign_in_screen", "because": "expired" })
        }
        Event::SignInScreen(EndReason::AccountDisabled) => {
            json!({ "event": "sign_in_screen", "because": "disabled" })
        }
        Event::SignInScreen(EndReason::Invalid) => {
            json!({ "event": "sign_in_screen", "because": "invalid" })
        }
        Event::SignInScreen(EndReason::SignedOut(signed_out)) => json!({
            "event": "sign_in_screen",
            "because": "signed_out",
            "sign_out": signed_out.sign_out,
            "reason": signed_out.reason,
            "signed_out_at": signed_out.at,
            "signed_out_by": signed_out.by,
        }),
        Event::Retrying { .. }
        | Event::Heartbeat
        | Event::Problem(_)
        | Event::WipeFailed(_)
        | Event::NotAcknowledged => return None,
    };
    Some(line)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::Adapter;

    fn adapter() -> (Adapter, UnboundedReceiver<Value>) {
        let (say, written) = unbounded_channel();
        (Adapter { client: None, say }, written)
    }

    #[tokio::test]
    async fn a_malformed_command_fails_under_its_number() {
        let (mut adapter, mut written) = adapter();
        for (line, id) in [
            (r#"{"id":7,"do":"dance"}"#, json!(7)),
            (r#"{"id":8,"do":"sign_in"}"#, json!(8)),
            (r#"{"id":9,"do":"stored"}"#, json!(9)),
            ("nonsense", Value::Null),
        ] {
            assert!(adapter.run(line).await);
            let answer = written.recv().await.unwrap();
            assert_eq!((&answer["id"], &answer["ok"]), (&id, &json!(false)));
            assert_eq!(answer["problem"], Value::Null);
        }
    }

    #[tokio::test]
    async fn the_end_is_answered() {
        let (mut adapter, mut written) = adapter();
        assert!(!adapter.run(r#"{"id":1,"do":"end"}"#).await);
        assert_eq!(
            written.recv().await.unwrap(),
            json!({ "id": 1, "ok": true })
        );
    }
}
