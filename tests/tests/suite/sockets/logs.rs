//! The log of the sockets: one line an event, with ids and without secrets.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use curfew_tests::app::TestApp;
use curfew_tests::fake_aws::Intercept;
use curfew_tests::socket_events::{by_ticket, by_token, disconnect, handshake};
use curfew_tests::wire::CallResult;
use runtime::lock;
use serde_json::Value;
use tracing::Dispatch;
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing_subscriber::fmt::MakeWriter;

/// Collects log lines.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    /// Returns the lines so far, and clears them.
    fn take(&self) -> Vec<Value> {
        let bytes = std::mem::take(&mut *lock(&self.0));
        let text = String::from_utf8(bytes).unwrap();
        let lines = text.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().unwrap()
    }
}

/// Collects everything that this thread logs, at any level.
fn listen() -> (Log, DefaultGuard) {
    // With a single subscriber, tracing caches for the whole process whether the
    // first thread at a call site was interested. A second one prevents that.
    static SECOND: OnceLock<Dispatch> = OnceLock::new();
    SECOND.get_or_init(|| Dispatch::new(NoSubscriber::default()));
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    (log, guard)
}

/// Returns the lines of our own crates.
fn ours(lines: Vec<Value>) -> Vec<Value> {
    let is_ours = |line: &Value| {
        let target = line["target"].as_str().unwrap_or_default();
        ["socket", "push_revocations", "http_api", "curfew"]
            .iter()
            .any(|name| target.starts_with(name))
    };
    lines.into_iter().filter(is_ours).collect()
}

#[tokio::test]
async fn an_event_of_a_socket_is_one_line_with_its_ids_and_outcome() {
    let app = TestApp::new().await;
    let device = app.sign_in(None).await;
    let (log, _guard) = listen();

    app.socket_event(by_token(&device.token, "one")).await;
    app.aws.open("one");
    app.heartbeat("one").await;
    app.frame("one", "no JSON").await;
    app.socket_event(handshake("two", &[])).await;
    app.socket_event(disconnect("one")).await;

    let lines = ours(log.take());
    let seen: Vec<_> = lines
        .iter()
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
            (text("event"), text("connection"), text("outcome"))
        })
        .collect();
    let expected = [
        ("CONNECT", "one", "connected"),
        ("MESSAGE", "one", "heartbeat"),
        ("MESSAGE", "one", "request-invalid"),
        ("CONNECT", "two", "token-missing"),
        ("DISCONNECT", "one", "disconnected"),
    ];
    let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(seen, expected);
    for line in lines.iter().filter(|line| line["connection"] == "one") {
        assert_eq!(line["account"], device.account.to_string());
        assert_eq!(line["device"], device.id.to_string());
        assert!(line["duration_us"].is_u64());
    }
}

#[tokio::test]
async fn no_token_ticket_or_frame_is_ever_logged() {
    let app = TestApp::new().await;
    let laptop = app.sign_in(None).await;
    let device = app.sign_in(None).await;
    let ticket = app.ticket(&device).await;
    let unknown = domain::SocketTicket::new(device.session, [7; 32])
        .to_text()
        .to_string();
    let (log, _guard) = listen();

    app.socket_event(by_token(&device.token, "one")).await;
    app.socket_event(by_token("cft_canary", "two")).await;
    app.socket_event(by_ticket(&ticket, "three")).await;
    app.socket_event(by_ticket(&ticket, "four")).await;
    app.socket_event(by_ticket(&unknown, "five")).await;
    let odd = [
        ("Sec-WebSocket-Protocol", "canary"),
        ("Origin", "https://canary.example"),
    ];
    app.socket_event(handshake("six", &odd)).await;
    app.aws.open("one");
    for text in [
        "canary",
        r#"{"type":"canary"}"#,
        r#"{"type":"heartbeat","canary":1}"#,
        r#"{"type":"acknowledgement","sign_out":"canary"}"#,
    ] {
        app.frame("one", text).await;
    }
    app.aws
        .intercept(|_| Intercept::Replace(CallResult::Broken));
    app.socket_event(by_token(&device.token, "seven")).await;
    app.socket_event(by_ticket(&unknown, "eight")).await;
    app.frame("one", "canary").await;
    app.aws.restore();
    let sign_out = app.sign_out_device(&laptop, &device).await;
    app.push(&app.event_of(device.account, sign_out).await)
        .await;
    app.aws.answer_frames_with("one", 500);
    app.deliver(&[&app.event_of(device.account, sign_out).await])
        .await;

    let lines = ours(log.take());
    assert!(lines.len() > 15, "{}", lines.len());
    let text = serde_json::to_string(&lines).unwrap();
    for secret in [&device.token, &laptop.token, &ticket, &unknown, "canary"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    let from_device = app.row(&device).await.info.name;
    assert!(!text.contains(&from_device), "the device's name is logged");
}

#[tokio::test]
async fn a_message_of_the_queue_is_one_line_with_counts() {
    let app = TestApp::new().await;
    let [laptop, device] = app.connected(["laptop", "device"]).await;
    app.open(&device, "gone").await;
    app.aws.lose("gone");
    app.clock.advance(jiff::SignedDuration::from_secs(31));
    let sign_out = app.sign_out_device(&laptop, &device).await;
    let body = app.event_of(device.account, sign_out).await;
    let (log, _guard) = listen();

    app.deliver(&[&body, "null"]).await;

    let lines = ours(log.take());
    let notified = lines.iter().find(|line| line["task"] == "notify").unwrap();
    let count = |name: &str| notified[name].as_u64().unwrap();
    assert_eq!(
        (count("notified"), count("gone"), count("failed")),
        (1, 1, 0)
    );
    assert_eq!(notified["account"], device.account.to_string());
    let batch = lines.last().unwrap();
    assert_eq!(
        (&batch["messages"], &batch["returned"]),
        (&2.into(), &1.into())
    );
    // Two queries, a batch of the rows, the mark and the deleted row; and one call
    // for each of the two sockets.
    assert_eq!(batch["table_calls"], 4);
    assert_eq!(batch["push_calls"], 2);
}
