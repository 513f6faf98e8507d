//! What the log has of a socket: a line an event, with ids and without secrets.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use curfew_tests::bundle::json_of;
use curfew_tests::sockets::{Verdict, World, by_ticket, by_token, end, handshake};
use curfew_tests::wire::Fate;
use runtime::lock;
use serde_json::Value;
use tracing::Dispatch;
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing_subscriber::fmt::MakeWriter;

/// Keeps what is logged.
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
    /// The lines since it was last asked.
    fn take(&self) -> Vec<Value> {
        let bytes = std::mem::take(&mut *lock(&self.0));
        let text = String::from_utf8(bytes).unwrap();
        let lines = text.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().unwrap()
    }
}

/// Keeps everything that this thread logs, at any level.
fn listen() -> (Log, DefaultGuard) {
    // While there is one listener alone, the first thread to pass a place that logs
    // decides for all of them whether anybody listens there. So there is another.
    static ANOTHER: OnceLock<Dispatch> = OnceLock::new();
    ANOTHER.get_or_init(|| Dispatch::new(NoSubscriber::default()));
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

/// The lines of our own crates.
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
async fn an_event_of_a_socket_is_one_line_with_who_and_what_came_of_it() {
    let world = World::new().await;
    let device = world.sign_in(None).await;
    let (log, _guard) = listen();
    let account = world.account(&device);

    socket::handle(&world.socket, by_token(&device.token, "one")).await;
    world.gateway.open("one");
    world.heartbeat("one").await;
    world.frame("one", "no JSON").await;
    socket::handle(&world.socket, handshake("two", &[])).await;
    socket::handle(&world.socket, end("one")).await;

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
        assert_eq!(line["account"], account.to_string());
        assert_eq!(line["device"], device.device.to_string());
        assert!(line["duration_us"].is_u64());
    }
}

#[tokio::test]
async fn no_token_ticket_or_frame_is_ever_logged() {
    let world = World::new().await;
    let laptop = world.sign_in(None).await;
    let device = world.sign_in(None).await;
    let issued = world.bundle.socket_ticket(&device.token).await;
    let ticket = json_of(&issued)["ticket"].as_str().unwrap().to_owned();
    let unknown = domain::SocketTicket::new([7; 32]).to_text().to_string();
    let (log, _guard) = listen();

    socket::handle(&world.socket, by_token(&device.token, "one")).await;
    socket::handle(&world.socket, by_token("cft_canary", "two")).await;
    socket::handle(&world.socket, by_ticket(&ticket, "three")).await;
    socket::handle(&world.socket, by_ticket(&ticket, "four")).await;
    socket::handle(&world.socket, by_ticket(&unknown, "five")).await;
    let odd = [
        ("Sec-WebSocket-Protocol", "canary"),
        ("Origin", "https://canary.example"),
    ];
    socket::handle(&world.socket, handshake("six", &odd)).await;
    world.gateway.open("one");
    for text in [
        "canary",
        r#"{"type":"canary"}"#,
        r#"{"type":"heartbeat","canary":1}"#,
        r#"{"type":"acknowledgement","sign_out":"canary"}"#,
    ] {
        world.frame("one", text).await;
    }
    world.gateway.judge(|_| Verdict::Instead(Fate::Broken));
    socket::handle(&world.socket, by_token(&device.token, "seven")).await;
    socket::handle(&world.socket, by_ticket(&unknown, "eight")).await;
    world.frame("one", "canary").await;
    world.gateway.mend();
    let sign_out = world.sign_out_device(&laptop, &device).await;
    world.push(&world.event_of(&device, sign_out).await).await;
    world.gateway.answer_by("one", 500);
    world
        .deliver(&[&world.event_of(&device, sign_out).await])
        .await;

    let lines = ours(log.take());
    assert!(lines.len() > 15, "{}", lines.len());
    let text = serde_json::to_string(&lines).unwrap();
    for secret in [&device.token, &laptop.token, &ticket, &unknown, "canary"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    let from_device = world.row(&device).await.info.name;
    assert!(!text.contains(&from_device), "a name is nobody's business");
}

#[tokio::test]
async fn a_message_of_the_queue_is_one_line_with_what_was_done() {
    let world = World::new().await;
    let [laptop, device] = world.connected(["laptop", "device"]).await;
    world.open(&device, "gone").await;
    world.gateway.lose("gone");
    world.clock.advance(jiff::SignedDuration::from_secs(31));
    let sign_out = world.sign_out_device(&laptop, &device).await;
    let body = world.event_of(&device, sign_out).await;
    let (log, _guard) = listen();

    world.deliver(&[&body, "null"]).await;

    let lines = ours(log.take());
    let notified = lines.iter().find(|line| line["task"] == "notify").unwrap();
    let count = |name: &str| notified[name].as_u64().unwrap();
    assert_eq!(
        (count("notified"), count("gone"), count("failed")),
        (1, 1, 0)
    );
    assert_eq!(notified["account"], world.account(&device).to_string());
    let batch = lines.last().unwrap();
    assert_eq!(
        (&batch["messages"], &batch["returned"]),
        (&2.into(), &1.into())
    );
    // Two queries and a batch of the rows, the mark, the row that is gone; and
    // the two sockets.
    assert_eq!(batch["table_calls"], 4);
    assert_eq!(batch["push_calls"], 2);
}
