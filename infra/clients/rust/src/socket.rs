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

use crate::api::{Api, bearer};
use crate::connector::{Stream, address};
use crate::{By, Secret, SignedOut};

/// The time for a handshake, cold starts on a busy machine included.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);

/// The limit of the gateway's frames (`infra/docs/limits.md`).
const MAX_FRAME_BYTES: usize = 32 * 1024;

/// A socket that did not open, or broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketError {
    /// The gateway refused the handshake with this status. It can't say why:
    /// [`Api::check_session`] does.
    Refused(u16),
    /// The socket can't be reached, or broke.
    Broken(String),
}

impl std::fmt::Display for SocketError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(status) => write!(formatter, "the socket was refused ({status})"),
            Self::Broken(reason) => formatter.write_str(reason),
        }
    }
}

impl std::error::Error for SocketError {}

/// A frame from the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A session was signed out.
    SessionRevoked {
        /// The session's id. It counts only if it is the socket's own.
        session: String,
        /// The sign-out that ended it.
        signed_out: SignedOut,
    },
    /// The API refused a frame of the device; the problem's name.
    Problem(String),
    /// A frame of another type, or an incomplete one. Skip it.
    Unknown,
}

impl Frame {
    /// Reads a text. An incomplete revocation is unknown: a device wipes itself
    /// on complete ones only.
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

/// An open socket. Dropping it closes the connection without a closing handshake.
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
        match timeout(HANDSHAKE_TIMEOUT, Self::handshake(api, url, token)).await {
            Ok(opened) => opened,
            Err(_) => Err(SocketError::Broken("the socket does not answer".to_owned())),
        }
    }

    async fn handshake(api: &Api, url: &str, token: &Secret) -> Result<Self, SocketError> {
        let uri: Uri = address(url, ["ws", "wss"]).map_err(broken)?;
        let limits = Limits::default().max_payload_len(Some(MAX_FRAME_BYTES));
        let mut handshake = ClientBuilder::from_uri(uri.clone())
            .limits(limits)
            .add_header(AUTHORIZATION, bearer(token).map_err(broken)?)
            .map_err(failed)?;
        if let Some(name) = api.user_agent() {
            handshake = handshake
                .add_header(USER_AGENT, name.clone())
                .map_err(failed)?;
        }
        let unreachable = |error| broken(format!("the socket can't be reached: {error}"));
        let stream = api.connector().open(&uri).await.map_err(unreachable)?;
        let (stream, _) = handshake.connect_on(stream).await.map_err(failed)?;
        Ok(Self { stream })
    }

    /// Waits for the next frame. Returns none when the other side has closed the
    /// socket.
    ///
    /// # Errors
    /// [`SocketError::Broken`].
    pub async fn next(&mut self) -> Result<Option<Frame>, SocketError> {
        loop {
            let message = match self.stream.next().await {
                None => return Ok(None),
                Some(message) => message.map_err(failed)?,
            };
            if message.is_close() {
                return Ok(None);
            }
            if let Some(text) = message.as_text() {
                return Ok(Some(Frame::read(text)));
            }
        }
    }

    /// Sends a heartbeat, which is never answered.
    ///
    /// # Errors
    /// [`SocketError::Broken`].
    pub async fn heartbeat(&mut self) -> Result<(), SocketError> {
        self.send(&json!({ "type": "heartbeat" })).await
    }

    /// Reports that the device has wiped itself. Curfew then closes the socket.
    ///
    /// # Errors
    /// [`SocketError::Broken`].
    pub async fn acknowledge(&mut self, sign_out: &str) -> Result<(), SocketError> {
        let frame = json!({ "type": "acknowledgement", "sign_out": sign_out });
        self.send(&frame).await
    }

    /// Closes the socket, and waits until the other side has closed it too.
    pub async fn close(mut self) {
        // An error means that the connection is gone, which is as good.
        if self.stream.close().await.is_ok() {
            while let Some(Ok(_)) = self.stream.next().await {}
        }
    }

    async fn send(&mut self, frame: &Value) -> Result<(), SocketError> {
        let message = Message::text(frame.to_string());
        self.stream.send(message).await.map_err(failed)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err passes it so")]
fn broken(reason: impl ToString) -> SocketError {
    SocketError::Broken(reason.to_string())
}

fn failed(error: Error) -> SocketError {
    match error {
        Error::Upgrade(upgrade::Error::DidNotSwitchProtocols(status)) => {
            SocketError::Refused(status)
        }
        other => broken(format!("the socket broke: {other}")),
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
    fn a_complete_revocation_is_read() {
        let frame = Frame::read(&revoked().to_string());
        let Frame::SessionRevoked { signed_out, .. } = frame else {
            panic!("{frame:?}");
        };
        assert_eq!(signed_out.sign_out.as_deref(), Some("o"));
        assert_eq!(signed_out.by, None);
    }

    #[test]
    fn an_incomplete_revocation_is_unknown() {
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
    fn an_unknown_member_is_skipped() {
        let mut frame = revoked();
        frame["colour"] = "red".into();
        let frame = Frame::read(&frame.to_string());
        assert!(matches!(frame, Frame::SessionRevoked { .. }));
    }
}
