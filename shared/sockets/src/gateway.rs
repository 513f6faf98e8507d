//! The gateway's end of the sockets (`@connections`).

use std::error::Error;

use aws_sdk_apigatewaymanagement::Client;
use aws_sdk_apigatewaymanagement::config::Builder;
use aws_sdk_apigatewaymanagement::config::http::HttpResponse;
use aws_sdk_apigatewaymanagement::config::retry::RetryConfig;
use aws_sdk_apigatewaymanagement::error::SdkError;
use aws_sdk_apigatewaymanagement::primitives::Blob;
use domain::ConnectionId;
use store::Cause;

/// What the gateway says of a socket that there is none of, or none any more.
const GONE: u16 = 410;

/// Whether a socket was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It was, and the gateway did as it was asked.
    Reached,
    /// There is no such socket: it was closed, or its handshake is not over yet.
    Gone,
}

/// The sockets of one stage, through one client.
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

    /// Sends a frame of text. When an answer is lost, it may be sent again.
    ///
    /// # Errors
    /// The SDK's, when it is not known to have been sent.
    pub async fn send(&self, socket: &ConnectionId, frame: &str) -> Result<Reach, Cause> {
        let sent = self
            .client
            .post_to_connection()
            .connection_id(socket.as_str())
            .data(Blob::new(frame))
            .send()
            .await;
        reach(sent)
    }

    /// As [`Sockets::send`], by one attempt alone: a frame that must not come late
    /// is rather not sent.
    ///
    /// # Errors
    /// The SDK's, when it is not known to have been sent.
    pub async fn send_now(&self, socket: &ConnectionId, frame: &str) -> Result<Reach, Cause> {
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
        reach(sent)
    }

    /// Ends a socket.
    ///
    /// # Errors
    /// The SDK's, when it is not known to have been ended.
    pub async fn close(&self, socket: &ConnectionId) -> Result<Reach, Cause> {
        let sent = self
            .client
            .delete_connection()
            .connection_id(socket.as_str())
            .send()
            .await;
        reach(sent)
    }
}

fn reach<T, E>(sent: Result<T, SdkError<E, HttpResponse>>) -> Result<Reach, Cause>
where
    E: Error + Send + Sync + 'static,
{
    match sent {
        Ok(_) => Ok(Reach::Reached),
        Err(error)
            if error
                .raw_response()
                .is_some_and(|answer| answer.status().as_u16() == GONE) =>
        {
            Ok(Reach::Gone)
        }
        Err(error) => Err(Box::new(error)),
    }
}
