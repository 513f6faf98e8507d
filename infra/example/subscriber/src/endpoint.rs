//! The HTTPS endpoint to which SNS posts messages.

use std::fmt;

use form_urlencoded::Serializer;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Body, Bytes};

use crate::certificates::{Certificates, is_address_of};
use crate::notification::Notification;
use crate::revocation::Revocation;
use crate::streams::Streams;

/// The largest accepted request. A message has at most 256 KiB, and its envelope
/// escapes some characters.
const MAX_BYTES: usize = 1024 * 1024;

/// The endpoint of one topic.
pub struct Endpoint {
    topic_arn: String,
    /// The address of SNS, for confirmations.
    sns_url: String,
    /// The host of the certificates.
    sns_host: String,
    is_signed: bool,
    certificates: Certificates,
    streams: Streams,
}

/// The outcome of an accepted message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The subscription was confirmed.
    Confirmed,
    /// This number of streams was ended.
    Ended(usize),
    /// The message needs no action.
    Ignored,
}

/// The reasons to reject a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The body is not a message of SNS, or the message does not match its schema.
    #[error("the message is malformed")]
    Unreadable,
    /// The message is from another topic, or SNS has not signed it.
    #[error("the message is not from the topic")]
    Untrusted,
    /// SNS did not answer a request for a certificate or a confirmation.
    #[error("SNS did not answer")]
    Unavailable,
}

impl Rejection {
    /// Returns the status of the answer. After a 4xx, SNS sends the message to the
    /// subscription's dead-letter queue; after a 5xx, it retries.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Unreadable => StatusCode::BAD_REQUEST,
            Self::Untrusted => StatusCode::FORBIDDEN,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// The text is not the ARN of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the ARN of an SNS topic")]
pub struct NotATopic;

impl Endpoint {
    /// Creates an endpoint that ends streams on the messages of one topic.
    ///
    /// # Errors
    /// [`NotATopic`].
    pub fn new(
        topic_arn: &str,
        certificates: Certificates,
        streams: Streams,
    ) -> Result<Self, NotATopic> {
        let parts: Vec<&str> = topic_arn.split(':').collect();
        let ["arn", partition, "sns", region, _account, _name] = parts.as_slice() else {
            return Err(NotATopic);
        };
        let suffix = match *partition {
            "aws-cn" => "amazonaws.com.cn",
            _ => "amazonaws.com",
        };
        let sns_host = format!("sns.{region}.{suffix}");
        Ok(Self {
            topic_arn: topic_arn.to_owned(),
            sns_url: format!("https://{sns_host}"),
            sns_host,
            is_signed: true,
            certificates,
            streams,
        })
    }

    /// Accepts unsigned messages of a local AWS. Any client of such an endpoint can
    /// end streams, so this is for tests only.
    #[must_use]
    pub fn of_local_aws(self, url: &str) -> Self {
        Self {
            sns_url: url.to_owned(),
            is_signed: false,
            ..self
        }
    }

    /// Answers a request of SNS, with 200 if the message was processed.
    pub async fn answer<B: Body>(&self, request: Request<B>) -> Response<Empty<Bytes>>
    where
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut response = Response::new(Empty::new());
        *response.status_mut() = if request.method() == Method::POST {
            match Limited::new(request.into_body(), MAX_BYTES).collect().await {
                Ok(body) => self.receive(&body.to_bytes()).await,
                Err(_) => Err(Rejection::Unreadable),
            }
            .map_or_else(Rejection::status, |_| StatusCode::OK)
        } else {
            StatusCode::METHOD_NOT_ALLOWED
        };
        response
    }

    /// Processes a message that SNS has posted.
    ///
    /// # Errors
    /// [`Rejection`] when the message is malformed, can't be trusted, or can't be
    /// verified now.
    pub async fn receive(&self, body: &[u8]) -> Result<Outcome, Rejection> {
        let outcome = self.process(body).await;
        match &outcome {
            Ok(outcome) => tracing::info!(?outcome, "message processed"),
            Err(reason) => tracing::warn!(%reason, "message rejected"),
        }
        outcome
    }

    async fn process(&self, body: &[u8]) -> Result<Outcome, Rejection> {
        let envelope: Notification =
            serde_json::from_slice(body).map_err(|_| Rejection::Unreadable)?;
        // The signature proves that SNS has sent the message, not from which topic.
        // Every AWS customer can have a topic.
        if envelope.topic_arn != self.topic_arn {
            return Err(Rejection::Untrusted);
        }
        if self.is_signed {
            self.verify(&envelope).await?;
        }
        match (envelope.kind.as_str(), &envelope.token) {
            ("SubscriptionConfirmation", Some(token)) => self.confirm(token).await,
            ("Notification", _) => {
                let revocation =
                    Revocation::read(&envelope.message).map_err(|_| Rejection::Unreadable)?;
                Ok(revocation.map_or(Outcome::Ignored, |revocation| {
                    Outcome::Ended(self.streams.end(&revocation))
                }))
            }
            _ => Ok(Outcome::Ignored),
        }
    }

    async fn verify(&self, envelope: &Notification) -> Result<(), Rejection> {
        let url = &envelope.signing_cert_url;
        if !is_address_of(url, &self.sns_host) {
            return Err(Rejection::Untrusted);
        }
        let certificate = self.certificates.at(url).await;
        let certificate = certificate.ok_or(Rejection::Unavailable)?;
        if envelope.is_signed_by(&certificate) {
            Ok(())
        } else {
            Err(Rejection::Untrusted)
        }
    }

    /// Confirms the subscription. The address is built here, because the one in the
    /// message could lead anywhere.
    async fn confirm(&self, token: &str) -> Result<Outcome, Rejection> {
        let query = Serializer::new(String::new())
            .append_pair("Action", "ConfirmSubscription")
            .append_pair("TopicArn", &self.topic_arn)
            .append_pair("Token", token)
            .finish();
        let url = format!("{}/?{query}", self.sns_url);
        match self.certificates.get(&url).await {
            Some(_) => Ok(Outcome::Confirmed),
            None => Err(Rejection::Unavailable),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("topic_arn", &self.topic_arn)
            .field("is_signed", &self.is_signed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
