//! Mails: what can be mailed, and the queues that carry it to `send-mail` and `notify-owner`.
//!
//! Owns the messages of the two queues. Refuses texts: `send-mail` renders a message in
//! its language, and no function but that one sends.

mod language;
mod message;
mod queue;

pub use language::Language;
pub use message::{
    AddressWarning, Challenge, FactorNews, FailedSignIns, Failures, Message, Notice,
};
pub use queue::{MailQueue, NEWS_DELAY_S};
