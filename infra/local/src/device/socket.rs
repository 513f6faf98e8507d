//! The socket: the handshake with the token in a header, and the frames.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::Uri;
use http::header::{AUTHORIZATION, USER_AGENT};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_websockets::{ClientBuilder, Error, Limits, Message, WebSocketStream, upgrade};

use super::api::{Api, bearer};
use super::connector::{Stream, address};
use super::{By, Secret, SignedOut};

/// No handshake takes so long, cold starts on a busy machine included.
const PATIENCE: Duration = Duration::from_secs(20);

/// No frame of the API is so large.
const MAX_FRAME_BYTES: usize = 32 * 1024;

/// Why there is no socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketError {
    /// The handshake was refused, with this status. Why, `GET /v1/session` says.
    Refused(u16),
    /// It can't be reached, or broke.
    Broken(String),
}

impl std::fmt::Display for SocketError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(status) => write!(formatter, "the socket was refused ({status})"),
            Self::Broken(why) => formatter.write_str(why),
        }
    }
}

impl std::error::Error for SocketError {}

/// What the API says over a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The session that opened the socket was signed out.
    SessionRevoked {
        /// Which session.
        session: String,
        /// How it ended.
        signed_out: SignedOut,
    },
    /// Something that the device sent was refused; the problem's name.
    Problem(String),
    /// Anything else, which a device of today passes over.
    Unknown,
}

impl Frame {
    /// Reads a text. What can't be read is passed over: it can't be a whole
    /// revocation.
    fn read(text: &str) -> Self {
        let Ok(frame) = serde_json::from_str::<Value>(text) else {
            return Self::Unknown;
        };
        match frame["type"].as_str() {
            Some("session-revoked") => match Revoked::deserialize(&frame) {
                Ok(revoked) => Self::SessionRevoked {
                    session: revoked.session,
                    signed_out: SignedOut {
                        sign_out: Some(revoked.sign_out),
                        at: revoked.signed_out_at,
                        by: revoked.signed_out_by,
                        reason: revoked.reason,
                    },
                },
                Err(_) => Self::Unknown,
            },
            Some("problem") => {
                let name = frame.pointer("/problem/type").and_then(Value::as_str);
                let name = name.and_then(|name| name.rsplit(':').next());
                Self::Problem(name.unwrap_or_default().to_owned())
            }
            _ => Self::Unknown,
        }
    }
}

#[derive(Deserialize)]
struct Revoked {
    sign_out: String,
    session: String,
    reason: String,
    signed_out_at: String,
    signed_out_by: Option<By>,
}

/// An open socket. It is closed, without a word, when it is dropped.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<TokioIo<Stream>>,
}

impl Socket {
    /// Opens the socket of a session. The token goes in a header, never in the
    /// address.
    ///
    /// # Errors
    /// [`SocketError`].
    pub async fn open(api: &Api, url: &str, token: &Secret) -> Result<Self, SocketError> {
        let broken = |why: String| SocketError::Broken(why);
        let uri: Uri = address(url, ["ws", "wss"]).map_err(|error| broken(error.to_string()))?;
        let limits = Limits::default().max_payload_len(Some(MAX_FRAME_BYTES));
        let mut handshake = ClientBuilder::from_uri(uri.clone())
            .limits(limits)
            .add_header(AUTHORIZATION, bearer(token).map_err(broken)?)
            .map_err(|error| failed(&error))?;
        if let Some(name) = api.user_agent() {
            handshake = handshake
                .add_header(USER_AGENT, name.clone())
                .map_err(|error| failed(&error))?;
        }
        let opened = timeout(PATIENCE, async {
            let stream = api
                .connector()
                .open(&uri)
                .await
                .map_err(|error| broken(format!("the socket can't be reached: {error}")))?;
            let opened = handshake.connect_on(stream).await;
            opened.map_err(|error| failed(&error))
        });
        match opened.await {
            Ok(opened) => opened.map(|(stream, _)| Self { stream }),
            Err(_) => Err(broken("the socket does not answer".to_owned())),
        }
    }

    /// The next frame; none once the other side has closed it.
    ///
    /// # Errors
    /// When it broke.
    pub async fn next(&mut self) -> Result<Option<Frame>, SocketError> {
        loop {
            let message = match self.stream.next().await {
                None => return Ok(None),
                Some(message) => message.map_err(|error| failed(&error))?,
            };
            if message.is_close() {
                return Ok(None);
            }
            if let Some(text) = message.as_text() {
                return Ok(Some(Frame::read(text)));
            }
        }
    }

    /// Says that the device is still there. Nothing answers.
    ///
    /// # Errors
    /// When it broke.
    pub async fn heartbeat(&mut self) -> Result<(), SocketError> {
        self.say(&json!({ "type": "heartbeat" })).await
    }

    /// Says that the device has wiped itself.
    ///
    /// # Errors
    /// When it broke.
    pub async fn acknowledge(&mut self, sign_out: &str) -> Result<(), SocketError> {
        let frame = json!({ "type": "acknowledgement", "sign_out": sign_out });
        self.say(&frame).await
    }

    /// Closes it, and waits for the other side to do the same.
    pub async fn close(mut self) {
        // Whoever is gone is closed as well.
        if self.stream.close().await.is_ok() {
            while let Some(Ok(_)) = self.stream.next().await {}
        }
    }

    async fn say(&mut self, frame: &Value) -> Result<(), SocketError> {
        self.stream
            .send(Message::text(frame.to_string()))
            .await
            .map_err(|error| failed(&error))
    }
}

fn failed(error: &Error) -> SocketError {
    match error {
        Error::Upgrade(upgrade::Error::DidNotSwitchProtocols(status)) => {
            SocketError::Refused(*status)
        }
        other => SocketError::Broken(format!("the socket broke: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Frame;

    fn revoked() -> Value {
        json!({
            "type": "session-revoked", "sign_out": "o", "session": "s", "reason": "signed_out",
            "signed_out_at": "2026-11-20T12:00:00Z", "signed_out_by": null,
        })
    }

    #[test]
    fn a_whole_revocation_is_one() {
        let frame = Frame::read(&revoked().to_string());
        let Frame::SessionRevoked { signed_out, .. } = frame else {
            panic!("{frame:?}");
        };
        assert_eq!(signed_out.sign_out.as_deref(), Some("o"));
        assert_eq!(signed_out.by, None);
    }

    #[test]
    fn what_is_no_whole_revocation_is_passed_over() {
        let mut texts: Vec<String> = ["type", "sign_out", "session", "reason", "signed_out_at"]
            .into_iter()
            .map(|member| {
                let mut frame = revoked();
                frame[member] = Value::Null;
                frame.to_string()
            })
            .collect();
        texts.extend(["", "session-revoked", "[]", "{}"].map(str::to_owned));
        for text in texts {
            assert_eq!(Frame::read(&text), Frame::Unknown, "{text}");
        }
    }

    #[test]
    fn a_member_of_tomorrow_changes_nothing_today() {
        let mut frame = revoked();
        frame["colour"] = "red".into();
        let frame = Frame::read(&frame.to_string());
        assert!(matches!(frame, Frame::SessionRevoked { .. }));
    }
}
