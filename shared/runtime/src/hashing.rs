//! Hashing and verifying passwords, with the peppers of a secret if the deployment has
//! one.

use std::fmt;
use std::sync::{Mutex, MutexGuard};

use aws_sdk_secretsmanager::Client;
use domain::password::{Hasher, Password, PasswordCheck, Peppers, StoredHash, UnknownPepper};
use zeroize::Zeroizing;

use crate::{lock, random};

/// Hashes and verifies passwords, one at a time.
#[derive(Debug)]
pub struct PasswordHasher {
    /// Locked while a hash is computed in its buffer.
    hasher: Mutex<Hasher>,
    secret: Option<PepperSecret>,
}

/// The secret with the peppers.
struct PepperSecret {
    client: Client,
    name: String,
}

impl PasswordHasher {
    /// Takes a hasher, for a deployment without peppers.
    #[must_use]
    pub fn new(hasher: Hasher) -> Self {
        Self {
            hasher: Mutex::new(hasher),
            secret: None,
        }
    }

    /// Reads the peppers from a secret, by its name or ARN.
    ///
    /// # Errors
    /// The fault, which shows no part of the secret's value, if the secret can't be read
    /// or has no usable peppers.
    pub async fn with_secret(
        mut hasher: Hasher,
        client: Client,
        name: String,
    ) -> Result<Self, String> {
        let secret = PepperSecret { client, name };
        hasher.set_peppers(secret.read().await?);
        Ok(Self {
            hasher: Mutex::new(hasher),
            secret: Some(secret),
        })
    }

    /// Allocates the buffer in a background thread: see [`Hasher::prewarm`].
    pub fn prewarm(&self) {
        self.lock().prewarm();
    }

    /// Locks the hasher. Nothing is hashed until the guard is dropped.
    pub fn lock(&self) -> MutexGuard<'_, Hasher> {
        lock(&self.hasher)
    }

    /// Hashes a password with a new salt and the current pepper.
    #[must_use]
    pub fn hash(&self, password: &Password) -> StoredHash {
        self.lock().hash(password, random())
    }

    /// Verifies a password against a stored hash, or does the same work without one: see
    /// [`Hasher::verify`].
    ///
    /// Reads the secret again for a hash with a pepper that is not known: a process that
    /// started later may know a newer one.
    ///
    /// # Errors
    /// [`UnknownPepper`], after logging it, if the secret has no such pepper or can't be
    /// read.
    pub async fn verify(
        &self,
        password: &Password,
        stored: Option<&StoredHash>,
    ) -> Result<PasswordCheck, UnknownPepper> {
        let first = self.lock().verify(password, stored);
        let Err(unknown) = first else {
            return first;
        };
        if let Some(secret) = &self.secret {
            match Box::pin(secret.read()).await {
                Ok(peppers) => self.lock().set_peppers(peppers),
                Err(fault) => tracing::error!(cause = fault, "peppers not read again"),
            }
        }
        let again = self.lock().verify(password, stored);
        if again.is_err() {
            tracing::error!(cause = %unknown, "password not verified");
        }
        again
    }
}

impl PepperSecret {
    async fn read(&self) -> Result<Peppers, String> {
        let name = &self.name;
        let read = self.client.get_secret_value().secret_id(name).send().await;
        let value = read.map_err(|error| {
            // `Display` of the chain, because `Debug` may show an answer.
            let cause = errors::chain(&error);
            format!("the secret `{name}` can't be read: {cause}")
        })?;
        let text = Zeroizing::new(value.secret_string.unwrap_or_default());
        Peppers::parse(&text).map_err(|error| format!("the secret `{name}` {error}"))
    }
}

// Omits the client.
impl fmt::Debug for PepperSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PepperSecret")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
