//! The HTTP API: requests, authentication, answers.
//!
//! Owns the request (payload format 2.0 of an API Gateway HTTP API), the way from a
//! token to its session, the problem documents (RFC 9457), and the JSON of devices
//! and sign-outs. Makes no decision: `domain` decides who may do what, by the rows
//! that `store` reads.

mod answer;
mod body;
mod caller;
mod cookies;
mod credential;
mod device_keys;
mod examples;
mod form;
mod log;
mod object;
mod paging;
mod password_reason;
mod problem;
mod proofs;
mod request;
mod responses;
mod serve;
mod views;

pub use answer::{Answer, Empty};
pub use body::object;
pub use caller::{
    authenticate, authenticate_with_device, check_and_touch, check_token, may_end_others, outcome,
    record_contact, touch_if_due,
};
pub use cookies::{
    CLEARED_SESSION_COOKIE, DEVICE_COOKIE, ENDED_COOKIE, ENDED_COOKIE_AGE_S, SESSION_COOKIE,
    Transport, cookie,
};
pub use credential::bearer;
pub use device_keys::{DeviceKeys, Identified};
pub use form::Form;
pub use object::Object;
pub use origin_policy::OriginPolicy;
pub use paging::Paging;
pub use password_reason::PasswordReason;
pub use problem::{Problem, ProblemDocument};
pub use proofs::{Proving, parse_auth_time, require_verified};
pub use request::Request;
pub use responses::{
    AddressChangeUnavailable, AddressTaken, AddressUnconfirmed, BodyProblems, ChangeHeld,
    CodeProblems, CredentialsInvalid, CurrentPasswordWrong, DeviceNotFound, EndedTokenProblems,
    FactorNotFound, FactorProblems, IamProblems, MailUnavailable, NewPasswordProblems,
    NoticeNotFound, OriginProblems, RateLimited, RecoveryProblems, RequestProblems,
    SecondStepProblems, SignOutNotFound, TokenProblems, TooManyAttempts, UnprovenStep,
    VerifiedTokenProblems, WrongProofs,
};
pub use serve::{Event, Reply, serve};
pub use views::{
    AccountView, DeviceKind, DeviceView, LocationView, PartView, ReceiptAnswer, ReceiptView,
    SessionEnd, SignOutAnswer, SignOutView, SignedOutBy, Status, TotalView,
};

/// The most times that a handler reads rows and writes, when other writes to the
/// same rows come in between. The store has retried a conflict with a transaction that
/// is still running ([`store::StoreError::Contended`]) five times by itself: reading again
/// changes nothing about that, so it is answered with 503 at once.
pub const WRITE_ATTEMPTS: u32 = 3;
