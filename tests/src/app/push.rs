//! Sockets and pushes of a [`TestApp`].

use std::collections::BTreeMap;

use domain::{DeviceId, EndedSession, EntryState, SignOutId};
use jiff::SignedDuration;
use serde_json::json;
use socket::Reply;
use store::{Change, Connection};

use super::{Boxed, TestApp, event_of};
use crate::account::TestDevice;
use crate::bundle::json_of;
use crate::delivery::{self, Queued};
use crate::socket_events::{by_token, frame};

/// The seconds after which the queue delivers a message again that was not
/// processed.
const VISIBILITY_TIMEOUT_S: i64 = 180;

impl TestApp {
    /// Signs in as many devices as there are names, each with an open socket of that
    /// name.
    #[must_use]
    pub fn connected<'a, const N: usize>(
        &'a self,
        sockets: [&'a str; N],
    ) -> Boxed<'a, [TestDevice; N]> {
        Box::pin(async move {
            let mut devices = Vec::with_capacity(N);
            for socket in sockets {
                let device = self.sign_in(None).await;
                self.open(&device, socket).await;
                devices.push(device);
            }
            devices.try_into().expect("as many as sockets")
        })
    }

    /// Opens a socket of a device.
    pub async fn open(&self, device: &TestDevice, socket: &str) {
        let reply = self.socket_event(by_token(&device.token, socket)).await;
        assert_eq!(reply.status_code, 200, "{socket}");
        self.aws.open(socket);
    }

    /// Returns the row of a socket of a device, opened now.
    pub async fn socket_row(&self, device: &TestDevice, socket: &str) -> Connection {
        Connection {
            account: device.account,
            id: socket.parse().expect("an id"),
            session: EndedSession::from(&self.row(device).await),
            connected_at: self.clock.now(),
        }
    }

    /// Delivers an event of a socket.
    pub async fn socket_event(&self, event: socket::Event) -> Reply {
        socket::handle(&self.background().socket, event).await
    }

    /// Sends a frame through a socket.
    pub async fn frame(&self, socket: &str, text: &str) -> Reply {
        self.socket_event(frame(socket, text)).await
    }

    /// Sends a heartbeat.
    pub async fn heartbeat(&self, socket: &str) -> Reply {
        self.frame(socket, r#"{"type":"heartbeat"}"#).await
    }

    /// Sends an acknowledgement through a socket.
    pub async fn acknowledge(&self, socket: &str, sign_out: SignOutId) -> Reply {
        let text = json!({ "type": "acknowledgement", "sign_out": sign_out });
        self.frame(socket, &text.to_string()).await
    }

    /// Returns a ticket for a socket of the device.
    pub async fn ticket(&self, device: &TestDevice) -> String {
        let reply = self.bundle.socket_ticket(&device.token).await;
        let body = json_of(&reply);
        assert_eq!(reply.status_code, 200, "{body}");
        body["ticket"].as_str().expect("a ticket").to_owned()
    }

    /// Signs a device in again, and returns with it the message that the topic gets
    /// about the session that it replaced.
    #[must_use]
    pub fn replace_session<'a>(
        &'a self,
        device: &'a TestDevice,
    ) -> Boxed<'a, (TestDevice, String)> {
        Box::pin(async move {
            let before = self.row(device).await;
            let again = self.sign_in_again(device).await;
            let change = Change::SignedIn {
                device: Box::new(self.row(&again).await),
                before: Some(Box::new(before)),
            };
            (again, event_of(&change))
        })
    }

    /// Delivers messages to the push function in one batch, and returns the numbers
    /// of those that failed.
    pub async fn deliver(&self, bodies: &[&str]) -> Vec<usize> {
        let event = delivery::queue_event(bodies);
        let response = push_revocations::handle(&self.background().push, event).await;
        let failed = delivery::failed_messages(response).into_iter();
        failed
            .map(|id| id.parse().expect("the id of one of these messages"))
            .collect()
    }

    /// Delivers a message that must not fail.
    pub async fn push(&self, body: &str) {
        assert_eq!(self.deliver(&[body]).await, [0; 0], "{body}");
    }

    /// Delivers the messages of the push queue, each when it is due, until the queue
    /// is empty.
    pub async fn drain(&self) {
        let mut waiting = self.aws.take_queued();
        let mut deliveries = 0;
        while !waiting.is_empty() {
            deliveries += 1;
            assert!(deliveries < 1_000, "the queue never empties: {waiting:?}");
            let soonest = (0..waiting.len()).min_by_key(|at| waiting[*at].delay_s);
            let next = waiting.remove(soonest.expect("a message"));
            self.advance(SignedDuration::from_secs(next.delay_s));
            for queued in &mut waiting {
                queued.delay_s = (queued.delay_s - next.delay_s).max(0);
            }
            if !self.deliver(&[&next.body]).await.is_empty() {
                waiting.push(Queued {
                    delay_s: VISIBILITY_TIMEOUT_S,
                    ..next
                });
            }
            waiting.extend(self.aws.take_queued());
        }
    }

    /// Returns the state of each device in the receipt of a sign-out.
    pub async fn states(
        &self,
        device: &TestDevice,
        sign_out: SignOutId,
    ) -> BTreeMap<DeviceId, EntryState> {
        let (store, limits) = (&self.bundle.store, &self.bundle.limits);
        let receipt = store.receipt(device.account, sign_out, limits).await;
        let receipt = receipt.expect("the tables answer").expect("a receipt");
        let entries = receipt.entries.into_iter();
        entries
            .map(|entry| (entry.session.device, entry.state()))
            .collect()
    }
}
