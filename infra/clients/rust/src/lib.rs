//! A device's side of Curfew: signs in, keeps its socket open, and stops and wipes
//! when it is signed out.
//!
//! [`Client`] does everything that `infra/docs/devices.md` asks of a device: it
//! keeps one session, reconnects with back-off, and at a sign-out reports, wipes
//! and acknowledges in the right order. It reports what happens as [`Event`]s.
//! Below it lie [`Api`], which makes any call and returns the raw answer, and
//! [`Socket`]. [`Storage`] is what survives: in memory, or in a folder.
//!
//! ```no_run
//! use std::path::PathBuf;
//!
//! use curfew_client::{
//!     Api, Client, Credentials, DeviceInfo, EndReason, Event, Secret, Settings, Storage, Timing,
//! };
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Settings {
//!     api: Api::new("https://api.example.com")?,
//!     // Asked of the API when it is not configured.
//!     socket_url: None,
//!     device: DeviceInfo {
//!         name: Some("Living room".into()),
//!         device_type: Some("tv".into()),
//!         app: Some("Films 4.2".into()),
//!     },
//!     timing: Timing::default(),
//! };
//! let storage = Storage::in_folder(PathBuf::from("/var/lib/films"))?;
//! let (mut client, mut events) = Client::new(settings, storage);
//! if client.session().is_none() {
//!     let credentials = Credentials {
//!         email: "lea@example.com".into(),
//!         password: Secret::new("correct horse battery"),
//!     };
//!     client.sign_in(&credentials).await?;
//! }
//! while let Some(event) = events.recv().await {
//!     match event {
//!         Event::Stopped(..) => println!("Stop playing."),
//!         Event::SignInScreen(EndReason::SignedOut(sign_out)) => {
//!             println!("Signed out at {}.", sign_out.at);
//!         }
//!         Event::SignInScreen(_) => println!("Please sign in again."),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A person who can't sign in gets a code by mail: [`Client::request_password_reset`] and
//! [`Client::request_pass`].
//!
//! A sign-in to an account with an authenticator app is refused with `second-step-required`:
//! [`Client::complete_sign_in`] with the [`challenge`](Error::challenge) and a code. Who has lost
//! the app and the recovery codes has it removed after 72 hours: [`Client::report_lost`] and
//! [`Api::confirm_lost`].
//!
//! Signing out others may be refused with `verification-required` and its
//! [`methods`](Error::methods): [`Client::verify`], and repeat the call. The session then has
//! another token, which the client stores and uses by itself.
//!
//! It is a crate for Tokio, and trusts the certificate roots of browsers.

mod answer;
mod api;
mod client;
mod codes;
mod connector;
mod device_key;
mod error;
mod factor;
mod session_task;
mod sign_outs;
mod socket;
mod storage;
mod timing;
mod verification;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use answer::{Answer, NoAnswer, SessionCheck};
pub use api::{Api, Call, Credentials, DeviceInfo};
pub use client::{Client, Settings};
pub use codes::Proof;
pub use connector::AddressError;
pub use error::Error;
pub use factor::{Factor, SecondStep};
pub use socket::{Frame, Socket, SocketError};
pub use storage::{Session, Storage};
pub use timing::Timing;
pub use verification::Verification;

/// A token, a device key or a password. `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text as a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the secret itself, to send or to store it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// A sign-out that ended this device's session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedOut {
    /// The sign-out's id, needed to acknowledge it. Problems of old sign-outs may
    /// lack it.
    pub sign_out: Option<String>,
    /// The time, RFC 3339.
    pub at: String,
    /// The device that asked for it; none when an operator did.
    pub by: Option<By>,
    /// `signed_out`, `password_changed`, `account_disabled`, `recovered`, `address_restored` or
    /// `wrong_password`.
    pub reason: String,
}

/// The device that asked for a sign-out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct By {
    /// The device's id.
    pub id: String,
    /// The device's name.
    pub name: String,
}

/// The reason for showing the sign-in screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The session was signed out, and the device has wiped itself.
    SignedOut(SignedOut),
    /// The session expired. Stored data stays.
    Expired,
    /// The account is disabled. Stored data stays.
    AccountDisabled,
    /// The API does not know the token. Stored data stays.
    Invalid,
}

/// The connection that a message took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// A frame on the socket.
    Socket,
    /// A call of the API.
    Call,
}

impl fmt::Display for Channel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Socket => "over the socket",
            Self::Call => "by a call",
        })
    }
}

/// A change in the device's life, reported as it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The socket is open.
    Connected,
    /// The socket was open and has closed.
    Disconnected,
    /// The connection failed and is retried after a wait.
    Retrying {
        /// The cause, for people.
        reason: String,
        /// The time until the next attempt.
        wait: Duration,
    },
    /// A heartbeat was sent.
    Heartbeat,
    /// The API refused a frame; the problem's name.
    Problem(String),
    /// The session was signed out. Stop what runs for the account.
    Stopped(SignedOut, Channel),
    /// The account's stored data is gone.
    Wiped,
    /// The stored data could not be removed, so the sign-out is not acknowledged.
    WipeFailed(String),
    /// The session has ended. Show the sign-in screen.
    SignInScreen(EndReason),
    /// The API has accepted the acknowledgement.
    Acknowledged(Channel),
    /// The sign-out was not acknowledged, and won't be retried.
    NotAcknowledged,
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_is_not_printed() {
        let shown = format!("{:?}", Secret::new("cft_1"));
        assert!(!shown.contains("cft_1"), "{shown}");
    }
}
