//! The rules of Curfew: valid ids, addresses, tokens, passwords and sessions, and
//! the sign-outs that end a session.
//!
//! Owns every decision. Refuses I/O of any kind: no AWS, no HTTP, no clock, no
//! randomness and no async. `now` and random bytes are arguments, so a test fixes
//! both.

pub mod account;
pub mod address_change;
pub mod attempts;
pub mod challenge;
mod crockford;
pub mod device;
pub mod device_key;
pub mod email;
pub mod end_info;
pub mod factors;
pub mod ids;
pub mod limits;
pub mod networks;
pub mod notice;
pub mod ownership;
pub mod password;
pub mod receipt;
pub mod recognition;
pub mod rfc3339;
pub mod session;
pub mod sign_in_budgets;
pub mod sign_out;
pub mod token;
pub mod verification;

#[cfg(test)]
mod fixtures;

pub use account::{Account, Epoch};
pub use address_change::{AddressChange, ChangeState, NewAddress};
pub use attempts::{Budget, CounterKey, Failures};
pub use challenge::{Challenge, ChallengeId, ChallengeSecret, Code, NewChallenge, Purpose};
pub use device::{Device, DeviceInfo, DeviceState, DeviceType, Place};
pub use device_key::{DeviceKey, DeviceKeyHash};
pub use email::EmailAddress;
pub use end_info::{ByDevice, EndInfo, Reason, Scope};
pub use ids::{AccountId, ConnectionId, DeviceId, FactorId, NoticeId, SessionId, SignOutId};
pub use limits::Limits;
pub use networks::NetworkRanges;
pub use notice::{Notice, NoticeAnswer, NoticeDevice, NoticeEvent, NoticeHash, NoticeToken};
pub use receipt::{Acknowledgement, EntryState, Receipt, ReceiptEntry, SessionProof, Step, Total};
pub use rfc3339::Rfc3339;
pub use session::{AuthError, Authenticated, authenticate};
pub use sign_in_budgets::SignInBudgets;
pub use sign_out::{EndedSession, SignOut, SignOutTarget};
pub use token::{SocketTicket, TicketHash, Token, TokenHash};

/// A point in time, in UTC.
pub use jiff::Timestamp;
