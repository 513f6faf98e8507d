//! An example of a service that keeps something open for a session (here: streams),
//! and ends it when Curfew's topic reports that the session has ended.
//!
//! [`Revocation`] interprets a message, however it was delivered. [`Endpoint`]
//! receives messages from SNS over HTTPS: it confirms the subscription to the one
//! expected topic, verifies signatures, and ends the [`Streams`] of ended sessions.
//! A service behind a queue needs only [`Revocation`].

mod certificates;
mod endpoint;
mod notification;
mod revocation;
mod streams;

pub use certificates::Certificates;
pub use endpoint::{Endpoint, NotATopic, Outcome, Rejection};
pub use notification::Notification;
pub use revocation::{Revocation, Session, Unreadable};
pub use streams::{Stream, Streams};
