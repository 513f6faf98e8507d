//! The proof that a request came through the team's own distribution: a header whose
//! value only the distribution and AWS Secrets Manager know.
//!
//! Two values are valid at a time, the versions `AWSCURRENT` and `AWSPREVIOUS` of one
//! secret. So the secret can be rotated before the distribution sends the new value,
//! and both are accepted while the change spreads.

use std::fmt;

use aws_sdk_secretsmanager::Client;
use errors::Cause;
use jiff::{SignedDuration, Timestamp};
use subtle::{Choice, ConstantTimeEq as _};
use tokio::sync::Mutex;

/// The time for which values are used without being read again.
const LIFETIME: SignedDuration = SignedDuration::from_mins(5);
/// The least time between two reads, when the first failed, or when a request presents
/// a value that was not among those read. Anybody can send one.
const RETRY_AFTER: SignedDuration = SignedDuration::from_secs(10);
/// The shortest value that is accepted, in bytes. An empty one would match an empty
/// header.
const MIN_LENGTH: usize = 32;

/// The verdict on what a request presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The request came through the distribution.
    Valid,
    /// It presents nothing, or another value.
    None,
    /// It presents a value that matches none, and the last read of them failed.
    Unknown,
}

/// The distribution's secret. Read at the first request that presents a value, so that
/// a start does not wait for it.
pub struct Distribution {
    client: Client,
    secret: String,
    known: Mutex<Known>,
}

/// The values that were read last. They stay valid while later reads fail.
#[derive(Default)]
struct Known {
    values: Vec<String>,
    read_at: Option<Timestamp>,
    tried_at: Option<Timestamp>,
}

impl Distribution {
    /// Takes the client and the secret's name or ARN; does no I/O.
    #[must_use]
    pub fn new(client: Client, secret: String) -> Self {
        Self {
            client,
            secret,
            known: Mutex::default(),
        }
    }

    /// Compares what a request presents with the valid values, in constant time. Reads
    /// them first if they are old, or if they don't match and may have changed.
    pub async fn prove(&self, presented: Option<&str>, now: Timestamp) -> Proof {
        let Some(presented) = presented else {
            return Proof::None;
        };
        let mut known = self.known.lock().await;
        let is_settled = known.has(presented) && is_within(LIFETIME, known.read_at, now);
        if !is_settled && !is_within(RETRY_AFTER, known.tried_at, now) {
            known.tried_at = Some(now);
            match self.read().await {
                Ok(values) => {
                    known.values = values;
                    known.read_at = Some(now);
                }
                Err(error) => {
                    let cause = errors::chain(&*error);
                    tracing::error!(cause, "the distribution's secret could not be read");
                }
            }
        }
        if known.has(presented) {
            Proof::Valid
        } else if known.read_at == known.tried_at {
            Proof::None
        } else {
            // The last read failed, so the value may be a new one.
            Proof::Unknown
        }
    }

    /// Returns the valid values: the current one, and the previous one if there is one.
    async fn read(&self) -> Result<Vec<String>, Cause> {
        let (current, previous) =
            tokio::join!(self.version("AWSCURRENT"), self.version("AWSPREVIOUS"));
        let current = current?.ok_or("the secret has no current value")?;
        if !is_usable(&current) {
            let fault = "the current value must have at least 32 visible ASCII characters";
            return Err(fault.into());
        }
        let previous = previous?.filter(|value| is_usable(value));
        Ok([Some(current), previous].into_iter().flatten().collect())
    }

    /// Reads a version by its stage; none if the secret has no such version.
    async fn version(&self, stage: &str) -> Result<Option<String>, Cause> {
        let call = self.client.get_secret_value();
        match call
            .secret_id(&self.secret)
            .version_stage(stage)
            .send()
            .await
        {
            Ok(version) => Ok(version.secret_string),
            Err(error) => match error.as_service_error() {
                Some(error) if error.is_resource_not_found_exception() => Ok(None),
                Some(_) | None => Err(Box::new(error)),
            },
        }
    }
}

impl Known {
    fn has(&self, presented: &str) -> bool {
        let presented = presented.as_bytes();
        let equal = |value: &String| value.as_bytes().ct_eq(presented);
        let any = self.values.iter().map(equal);
        any.fold(Choice::from(0), |any, one| any | one).into()
    }
}

/// Returns whether `now` is less than `time` after `then`.
fn is_within(time: SignedDuration, then: Option<Timestamp>, now: Timestamp) -> bool {
    then.is_some_and(|then| (SignedDuration::ZERO..time).contains(&now.duration_since(then)))
}

/// Returns whether a header can carry the value, and nobody can guess it.
fn is_usable(value: &str) -> bool {
    value.len() >= MIN_LENGTH && value.bytes().all(|byte| byte.is_ascii_graphic())
}

// Omits the values.
impl fmt::Debug for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Distribution")
            .field("secret", &self.secret)
            .finish_non_exhaustive()
    }
}
