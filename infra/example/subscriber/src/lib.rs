//! An example of an adopting team's service that keeps something open for a
//! session (here: streams) and ends it when Curfew's topic tells that the session
//! has ended.
//!
//! [`Revocation`] judges a message, however it came. [`Endpoint`] takes messages
//! over HTTPS from SNS: it confirms the subscription to the one topic that it
//! expects, believes what SNS has signed, and ends the [`Streams`] concerned. Its
//! like behind a queue needs the first of the two alone.

mod certificates;
mod endpoint;
mod notification;
mod revocation;
mod streams;

pub use certificates::Certificates;
pub use endpoint::{Endpoint, NotATopic, Refused, Taken};
pub use notification::Notification;
pub use revocation::{Revocation, Session, Unreadable};
pub use streams::{Stream, Streams};
