//! The HTTPS endpoint that SNS posts to.

use std::fmt;

use form_urlencoded::Serializer;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Body, Bytes};

use crate::certificates::{Certificates, is_address_of};
use crate::notification::Notification;
use crate::revocation::Revocation;
use crate::streams::Streams;

/// A message has at most 256 KiB; its envelope escapes some of it.
const MAX_BYTES: usize = 1024 * 1024;

/// The endpoint for one topic.
pub struct Endpoint {
    topic_arn: String,
    /// Where SNS is, for confirmations.
    sns_url: String,
    /// The host that certificates come from.
    sns_host: String,
    is_signed: bool,
    certificates: Certificates,
    streams: Streams,
}

/// What has become of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// The subscription is confirmed.
    Confirmed,
    /// It is a revocation, and has ended so many streams.
    EndInfo(usize),
    /// There was nothing to do.
    Nothing,
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no message of SNS, or not what its schema says.
    #[error("it is not a message")]
    Unreadable,
    /// It is of another topic, or SNS has not signed it.
    #[error("it is not of the topic")]
    Untrusted,
    /// SNS, which was to be asked, did not answer.
    #[error("SNS does not answer")]
    Unavailable,
}

impl Refused {
    /// What SNS is answered: it gives up after a 4xx, and hands the message to
    /// the subscription's dead-letter queue; it tries again after a 5xx.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Unreadable => StatusCode::BAD_REQUEST,
            Self::Untrusted => StatusCode::FORBIDDEN,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// The text is no ARN of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("that is no ARN of an SNS topic")]
pub struct NotATopic;

impl Endpoint {
    /// An endpoint for the messages of one topic, which ends streams.
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

    /// The same for an AWS on this machine, which signs nothing. Whoever reaches
    /// such an endpoint can end streams: for tests alone.
    #[must_use]
    pub fn of_local_aws(self, url: &str) -> Self {
        Self {
            sns_url: url.to_owned(),
            is_signed: false,
            ..self
        }
    }

    /// Answers a request of SNS. 200 says that the message was acted upon.
    pub async fn answer<B: Body>(&self, request: Request<B>) -> Response<Empty<Bytes>>
    where
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut response = Response::new(Empty::new());
        *response.status_mut() = if request.method() == Method::POST {
            match Limited::new(request.into_body(), MAX_BYTES).collect().await {
                Ok(body) => self.take(&body.to_bytes()).await,
                Err(_) => Err(Refused::Unreadable),
            }
            .map_or_else(Refused::status, |_| StatusCode::OK)
        } else {
            StatusCode::METHOD_NOT_ALLOWED
        };
        response
    }

    /// Takes what SNS has posted.
    ///
    /// # Errors
    /// [`Refused`], when it is not to be believed, or not now.
    pub async fn take(&self, body: &[u8]) -> Result<Taken, Refused> {
        let outcome = self.judge(body).await;
        match &outcome {
            Ok(taken) => tracing::info!(?taken, "A message of SNS was taken."),
            Err(refused) => tracing::warn!(%refused, "A message of SNS was refused."),
        }
        outcome
    }

    async fn judge(&self, body: &[u8]) -> Result<Taken, Refused> {
        let envelope: Notification =
            serde_json::from_slice(body).map_err(|_| Refused::Unreadable)?;
        // A signature tells that SNS sends it, and not on whose behalf: anybody
        // can have a topic.
        if envelope.topic_arn != self.topic_arn {
            return Err(Refused::Untrusted);
        }
        if self.is_signed {
            self.verify(&envelope).await?;
        }
        match (envelope.kind.as_str(), &envelope.token) {
            ("SubscriptionConfirmation", Some(token)) => self.confirm(token).await,
            ("Notification", _) => {
                let revocation =
                    Revocation::read(&envelope.message).map_err(|_| Refused::Unreadable)?;
                Ok(revocation.map_or(Taken::Nothing, |revocation| {
                    Taken::EndInfo(self.streams.end(&revocation))
                }))
            }
            _ => Ok(Taken::Nothing),
        }
    }

    async fn verify(&self, envelope: &Notification) -> Result<(), Refused> {
        let url = &envelope.signing_cert_url;
        if !is_address_of(url, &self.sns_host) {
            return Err(Refused::Untrusted);
        }
        let certificate = self.certificates.at(url).await;
        let certificate = certificate.ok_or(Refused::Unavailable)?;
        if envelope.is_signed_by(&certificate) {
            Ok(())
        } else {
            Err(Refused::Untrusted)
        }
    }

    /// Confirms the subscription by an address that is made here: the message's
    /// own could lead anywhere.
    async fn confirm(&self, token: &str) -> Result<Taken, Refused> {
        let query = Serializer::new(String::new())
            .append_pair("Action", "ConfirmSubscription")
            .append_pair("TopicArn", &self.topic_arn)
            .append_pair("Token", token)
            .finish();
        let url = format!("{}/?{query}", self.sns_url);
        match self.certificates.get(&url).await {
            Some(_) => Ok(Taken::Confirmed),
            None => Err(Refused::Unavailable),
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
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::notification::tests::{NOTIFICATION, certificate};
    use crate::revocation::Session;

    /// That of the signed envelopes.
    const TOPIC: &str = "arn:aws:sns:eu-central-1:123456789012:curfew-Events";

    fn envelope() -> Value {
        serde_json::from_str(NOTIFICATION).unwrap()
    }

    fn endpoint(streams: &Streams) -> Endpoint {
        let envelope = envelope();
        let url = envelope["SigningCertURL"].as_str().unwrap();
        let certificates = Certificates::new().knowing(url, certificate());
        Endpoint::new(TOPIC, certificates, streams.clone()).unwrap()
    }

    /// The session that the signed message ends.
    fn session() -> Session {
        let message = envelope();
        let message: Value = serde_json::from_str(message["Message"].as_str().unwrap()).unwrap();
        let id = |name: &str| {
            let id = message["sub_id"][name]["id"].as_str();
            id.unwrap().to_owned()
        };
        Session {
            account_id: id("user"),
            session_id: id("session"),
            epoch: 1,
        }
    }

    #[tokio::test]
    async fn a_signed_revocation_ends_the_stream() {
        let streams = Streams::default();
        let mut stream = streams.open(session());

        let taken = endpoint(&streams).take(NOTIFICATION.as_bytes()).await;

        assert_eq!(taken, Ok(Taken::EndInfo(1)));
        stream.ended().await;
    }

    #[tokio::test]
    async fn a_forged_message_ends_nothing() {
        let streams = Streams::default();
        let _stream = streams.open(session());
        let endpoint = endpoint(&streams);
        let forged = |member: &str, value: &str| {
            let mut forged = envelope();
            forged[member] = json!(value);
            forged.to_string()
        };

        for forged in [
            forged("Signature", ""),
            forged("Message", "{}"),
            forged("SignatureVersion", "1"),
            forged(
                "SigningCertURL",
                "https://evil.example/SimpleNotificationService-0.pem",
            ),
            forged("TopicArn", "arn:aws:sns:eu-central-1:210987654321:evil"),
        ] {
            let taken = endpoint.take(forged.as_bytes()).await;

            assert_eq!(taken, Err(Refused::Untrusted), "{forged}");
        }
        assert_eq!(streams.count(), 1);
    }

    #[tokio::test]
    async fn what_sns_has_signed_for_another_topic_ends_nothing() {
        let streams = Streams::default();
        let _stream = streams.open(session());
        let url = envelope()["SigningCertURL"].as_str().unwrap().to_owned();
        let certificates = Certificates::new().knowing(&url, certificate());
        let other = "arn:aws:sns:eu-central-1:123456789012:another";
        let endpoint = Endpoint::new(other, certificates, streams.clone()).unwrap();

        let taken = endpoint.take(NOTIFICATION.as_bytes()).await;

        assert_eq!(taken, Err(Refused::Untrusted));
        assert_eq!(streams.count(), 1);
    }

    #[tokio::test]
    async fn what_is_no_message_is_refused() {
        let endpoint = endpoint(&Streams::default());

        for body in ["", "{}", "[]", "hello"] {
            let taken = endpoint.take(body.as_bytes()).await;

            assert_eq!(taken, Err(Refused::Unreadable), "{body}");
        }
    }

    #[test]
    fn an_endpoint_is_for_a_topic() {
        for no_topic in ["", "arn:aws:sqs:eu-central-1:123456789012:queue"] {
            let endpoint = Endpoint::new(no_topic, Certificates::new(), Streams::default());

            assert_eq!(endpoint.unwrap_err(), NotATopic);
        }
    }
}
