//! The device behind the suite of clients: one JSON object a line in each
//! direction, as `infra/docs/devices.md` says.

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
    Api, Client, Credentials, DeviceInfo, EndReason, Error, Event, Secret, Settings, Storage,
    Timing,
};

use crate::typed;

/// A numbered command.
#[derive(Deserialize)]
struct Command {
    id: Value,
    #[serde(flatten)]
    what: What,
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum What {
    Configure(Configuration),
    SignIn {
        email: String,
        password: Secret,
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

#[derive(Deserialize)]
struct Configuration {
    api_url: String,
    socket_url: Option<String>,
    state: PathBuf,
    reconnect_cap_ms: Option<u64>,
    #[serde(default)]
    device: DeviceInfo,
}

/// Does what standard input says, until it ends or says `end`.
///
/// # Errors
/// When standard output can't be written.
pub async fn run() -> Result<()> {
    let (say, mut said) = unbounded_channel::<Value>();
    let mut adapter = Adapter { client: None, say };
    let mut lines = typed::lines();
    let answering = async {
        while let Some(line) = lines.recv().await {
            if !line.trim().is_empty() && !adapter.obey(&line).await {
                return;
            }
        }
    };
    let mut answering = pin!(answering);
    loop {
        tokio::select! {
            // In this order: what is said is written before the end is seen.
            biased;
            Some(line) = said.recv() => write(&line)?,
            () = &mut answering => break,
        }
    }
    // A device whose acknowledgement nobody answers would never be silent: what
    // was said by now is all.
    while let Ok(line) = said.try_recv() {
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
    /// Does what a line says, and answers; false when that was the last one.
    async fn obey(&mut self, line: &str) -> bool {
        let (id, done, goes_on) = match serde_json::from_str(line) {
            Err(error) => {
                let id = serde_json::from_str::<Value>(line)
                    .map(|line| line["id"].clone())
                    .unwrap_or_default();
                (id, Err(failure(format!("no such command: {error}"))), true)
            }
            Ok(Command { id, what }) => {
                let goes_on = !matches!(what, What::End);
                (id, self.act(what).await, goes_on)
            }
        };
        let answer = match done {
            Ok(mut members) => {
                members.insert("id".into(), id);
                members.insert("ok".into(), true.into());
                Value::Object(members)
            }
            Err(Error { problem, detail }) => {
                json!({ "id": id, "ok": false, "problem": problem, "detail": detail })
            }
        };
        // Nobody is left to hear it when this fails.
        let _ = self.say.send(answer);
        goes_on
    }

    async fn act(&mut self, what: What) -> Result<Map<String, Value>, Error> {
        let members = match what {
            What::Configure(configuration) => {
                self.configure(configuration)?;
                json!({})
            }
            What::SignIn { email, password } => {
                let credentials = Credentials { email, password };
                let session = self.client_mut()?.sign_in(&credentials).await?;
                json!({ "device_id": session.device })
            }
            What::Store { key, value } => {
                let stored = self.client()?.storage().store(key, value);
                stored.map_err(|error| failure(error.to_string()))?;
                json!({})
            }
            What::Stored => {
                let memory = self.client()?.storage();
                let key = memory
                    .device_key()
                    .map_err(|error| failure(error.to_string()))?;
                json!({
                    "entries": memory.entries(),
                    "token": memory.session().is_some(),
                    "device_key": key.is_some(),
                })
            }
            What::Call { method, path } => {
                let method: Method = method.parse().map_err(|_| failure("no such method"))?;
                match self.client()?.call(method, &path, None).await {
                    Ok(answer) => json!({ "status": answer.status, "problem": answer.problem() }),
                    Err(_) => json!({ "status": 0, "problem": null }),
                }
            }
            What::SignOut { scope } => {
                json!({ "sign_out": self.client()?.sign_out(&scope).await? })
            }
            What::ChangePassword {
                current_password,
                new_password,
                keep_current,
            } => {
                let client = self.client()?;
                let changed =
                    client.change_password(&current_password, &new_password, keep_current);
                json!({ "sign_out": changed.await? })
            }
            What::End => {
                if let Some(client) = self.client.take() {
                    client.close().await;
                }
                json!({})
            }
        };
        match members {
            Value::Object(members) => Ok(members),
            _ => Ok(Map::new()),
        }
    }

    fn configure(&mut self, configuration: Configuration) -> Result<(), Error> {
        let Configuration {
            api_url,
            socket_url,
            state,
            reconnect_cap_ms,
            device,
        } = configuration;
        let api = Api::new(&api_url).map_err(|error| failure(error.to_string()))?;
        let mut timing = Timing::default();
        if let Some(cap) = reconnect_cap_ms {
            timing = timing.capped(Duration::from_millis(cap));
        }
        // The one before lets go of its folder first.
        self.client = None;
        let memory = Storage::in_folder(state).map_err(|error| failure(format!("{error:#}")))?;
        let settings = Settings {
            api,
            socket_url,
            device,
            timing,
        };
        let (client, news) = Client::new(settings, memory);
        self.client = Some(client);
        tokio::spawn(tell(news, self.say.clone()));
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
    failure("configure comes first")
}

fn failure(detail: impl Into<String>) -> Error {
    Error {
        problem: None,
        detail: detail.into(),
    }
}

async fn tell(mut news: UnboundedReceiver<Event>, say: UnboundedSender<Value>) {
    while let Some(news) = news.recv().await {
        if let Some(event) = event(&news)
            && say.send(event).is_err()
        {
            return;
        }
    }
}

/// What the suite is told of it.
fn event(news: &Event) -> Option<Value> {
    let event = match news {
        Event::Connected => json!({ "event": "connected" }),
        Event::Disconnected => json!({ "event": "disconnected" }),
        Event::Stopped(..) => json!({ "event": "stopped" }),
        Event::Wiped => json!({ "event": "wiped" }),
        Event::Acknowledged(_) => json!({ "event": "acknowledged" }),
        Event::SignInScreen(EndReason::Expired) => {
            json!({ "event": "sign_in_screen", "because": "expired" })
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
    Some(event)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

    use super::Adapter;

    fn adapter() -> (Adapter, UnboundedReceiver<Value>) {
        let (say, said) = unbounded_channel();
        (Adapter { client: None, say }, said)
    }

    #[tokio::test]
    async fn what_is_no_command_fails_under_its_number() {
        let (mut adapter, mut said) = adapter();
        for (line, id) in [
            (r#"{"id":7,"do":"dance"}"#, json!(7)),
            (r#"{"id":8,"do":"sign_in"}"#, json!(8)),
            (r#"{"id":9,"do":"stored"}"#, json!(9)),
            ("nonsense", Value::Null),
        ] {
            assert!(adapter.obey(line).await);
            let answer = said.recv().await.unwrap();
            assert_eq!((&answer["id"], &answer["ok"]), (&id, &json!(false)));
            assert_eq!(answer["problem"], Value::Null);
        }
    }

    #[tokio::test]
    async fn the_end_is_answered() {
        let (mut adapter, mut said) = adapter();
        assert!(!adapter.obey(r#"{"id":1,"do":"end"}"#).await);
        assert_eq!(said.recv().await.unwrap(), json!({ "id": 1, "ok": true }));
    }
}
