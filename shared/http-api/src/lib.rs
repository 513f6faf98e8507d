//! The edge: what comes in over HTTP and what goes out.
//!
//! Owns the request (payload format 2.0 of an API Gateway HTTP API), the caller,
//! the problem documents (RFC 9457) and the JSON of devices and sign-outs.
//! Refuses decisions: who may do what is decided in `domain`, by the rows that
//! `store` reads.

mod answer;
mod caller;
mod form;
mod object;
mod paging;
mod problem;
mod request;
mod serve;
mod views;

pub use answer::{Answer, CLEARED_SESSION_COOKIE, Empty, SESSION_COOKIE, cookie};
pub use caller::{Caller, CallerError, Denied, authenticate, check, check_token};
pub use domain::OriginPolicy;
pub use form::Form;
pub use object::Object;
pub use paging::Paging;
pub use problem::{PasswordReason, Problem, ProblemDocument};
pub use request::{Body, DEVICE_COOKIE, Presented, Request, Transport, object};
pub use serve::{Event, Reply, serve, unavailable};
pub use views::{
    AccountView, DeviceKind, DeviceView, LocationView, Over, PartView, ReceiptAnswer, ReceiptView,
    SignOutAnswer, SignOutView, SignedOutBy, Status, TotalView,
};
