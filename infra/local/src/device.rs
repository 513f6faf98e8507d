//! A device: signs in, keeps its socket, and goes dark when it is signed out.
//!
//! What any client has to do stands in `infra/docs/devices.md`; this is one that
//! does it, for the command line (`cargo run -- device`), for the story, and as
//! one of those that the suite of clients tries. [`client`] is the whole of it:
//! [`api`] makes the calls, [`socket`] is the live connection, `keep` holds the two
//! together for as long as a session lasts, [`memory`] is what is stored.
//! [`terminal`] shows it to a person, [`adapter`] to the suite.

pub mod adapter;
pub mod api;
pub mod client;
mod connector;
pub mod film;
mod keep;
pub mod memory;
mod pace;
mod screen;
pub mod socket;
pub mod terminal;
mod typed;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use api::{Answer, Api, Credentials, Facts};
pub use client::{Client, Failure, Settings};
pub use connector::AddressError;
pub use film::{Piece, Projector, Shown};
pub use memory::{Memory, Session};
pub use pace::Pace;
pub use socket::{Frame, Socket, SocketError};

/// A token, a device key or a password. Shown to nobody.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a text for a secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one who must be shown it.
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

/// That a session was signed out, as its device is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedOut {
    /// The sign-out's id, by which to acknowledge it, when it was told.
    pub sign_out: Option<String>,
    /// When, RFC 3339.
    pub at: String,
    /// By which device; none when an operator did it.
    pub by: Option<By>,
    /// Why: `signed_out`, `password_changed` or `account_disabled`.
    pub reason: String,
}

/// The device that asked for a sign-out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct By {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// Why a device shows its sign-in screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Because {
    /// Its session was signed out, and it has wiped itself.
    SignedOut(SignedOut),
    /// Its session ran out. What is stored stays.
    Expired,
    /// Its token is that of no session. What is stored stays.
    Invalid,
}

/// How a device heard of something, or told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Over the socket.
    Socket,
    /// By a call of the API.
    Call,
}

impl fmt::Display for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Socket => "over the socket",
            Self::Call => "by a call",
        })
    }
}

/// What happens to a device, as it happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Its socket is open.
    Connected,
    /// Its socket, which was open, is not any more.
    Disconnected,
    /// It can't be connected now, and waits before it tries again.
    Waits {
        /// Why.
        why: String,
        /// How long.
        wait: Duration,
    },
    /// It has said that it is still there.
    Heartbeat,
    /// Something that it said over the socket was refused; the problem's name.
    Problem(String),
    /// It was signed out, and stops whatever it does for the account.
    Stopped(SignedOut, Way),
    /// What it had stored for the account is gone.
    Wiped,
    /// It could not be removed; the sign-out is not acknowledged.
    NotWiped(String),
    /// It shows its sign-in screen.
    SignInScreen(Because),
    /// The API knows that it has wiped itself.
    Acknowledged(Way),
    /// The API will not know.
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
