//! The fan-out: the messages, `publish-revocations` and `sweep`.

mod fixture;
mod messages;
mod publish_revocations;
mod sweep;
