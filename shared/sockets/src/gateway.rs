//! The gateway's management API of the sockets (`@connections`).

use std::error::Error;

use aws_sdk_apigatewaymanagement::Client;
use aws_sdk_apigatewaymanagement::config::Builder;
use aws_sdk_apigatewaymanagement::config::http::HttpResponse;
use aws_sdk_apigatewaymanagement::config::retry::RetryConfig;
use aws_sdk_apigatewaymanagement::error::SdkError;
use aws_sdk_apigatewaymanagement::primitives::Blob;
use domain::ConnectionId;
use errors::Cause;
use jiff::SignedDuration;

/// The gateway's status for a socket that is closed or not open yet.
const GONE: u16 = 410;

/// The time after which a handshake is over: the gateway ends it after 29 seconds, and
/// one second is added. A socket that the gateway does not know by then never opens.
pub const HANDSHAKE: SignedDuration = SignedDuration::from_secs(30);

/// The outcome of a call about one socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketOutcome {
    /// The gateway did as it was asked.
    Done,
    /// There is no such socket: it is closed, or its handshake has not finished yet.
    Gone,
}

/// Client of the sockets of one stage of the gateway.
#[derive(Debug, Clone)]
pub struct Sockets {
    client: Client,
}

impl Sockets {
    /// Takes the client; does no I/O.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Sends a text frame. The SDK retries, so that the frame can arrive twice when
    /// an answer is lost.
    ///
    /// # Errors
    /// The SDK's error, when the frame may not have been sent.
    pub async fn send(&self, socket: &ConnectionId, frame: &str) -> Result<SocketOutcome, Cause> {
        let sent = self
            .client
            .post_to_connection()
            .connection_id(socket.as_str())
            .data(Blob::new(frame))
            .send()
            .await;
        outcome(sent)
    }

    /// Sends a text frame with a single attempt, for a frame that must not arrive
    /// late.
    ///
    /// # Errors
    /// The SDK's error, when the frame may not have been sent.
    pub async fn send_once(
        &self,
        socket: &ConnectionId,
        frame: &str,
    ) -> Result<SocketOutcome, Cause> {
        let once = Builder::default().retry_config(RetryConfig::disabled());
        let sent = self
            .client
            .post_to_connection()
            .connection_id(socket.as_str())
            .data(Blob::new(frame))
            .customize()
            .config_override(once)
            .send()
            .await;
        outcome(sent)
    }

    /// Closes a socket.
    ///
    /// # Errors
    /// The SDK's error, when the socket may still be open.
    pub async fn close(&self, socket: &ConnectionId) -> Result<SocketOutcome, Cause> {
        let sent = self
            .client
            .delete_connection()
            .connection_id(socket.as_str())
            .send()
            .await;
        outcome(sent)
    }
}

fn outcome<T, E>(sent: Result<T, SdkError<E, HttpResponse>>) -> Result<SocketOutcome, Cause>
where
    E: Error + Send + Sync + 'static,
{
    match sent {
        Ok(_) => Ok(SocketOutcome::Done),
        Err(error)
            if error
                .raw_response()
                .is_some_and(|answer| answer.status().as_u16() == GONE) =>
        {
            Ok(SocketOutcome::Gone)
        }
        Err(error) => Err(Box::new(error)),
    }
}
