//! The rules, and the violation of one.

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: &'static str,
    /// The change or answer that broke it.
    pub what: String,
}

/// The result of a check.
pub type Checked = Result<(), Violation>;

/// Returns a violation of a rule.
pub(super) fn broken<T>(rule: &'static str, what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation {
        rule,
        what: what.into(),
    })
}

/// The end of a session is final.
pub const MONOTONE: &str = "a session that has ended never becomes valid again";
/// Every end has a cause.
pub const EXPLAINED: &str = "a session only ends by a sign-out or sign-in that names it";
/// Only valid sessions act.
pub const CALLER: &str = "a sign-out is only written while its caller's session is valid";
/// Acts are counted.
pub const LIMITED: &str = "a session's acts against others are counted, up to the limit";
/// A signed-out row is final.
pub const SETTLED: &str = "a signed-out row only changes by a new session";
/// Rows and records agree.
pub const ATTRIBUTED: &str = "a signed-out row names the first sign-out that ended it";
/// An answered change is kept.
pub const ACKNOWLEDGED: &str = "no change that was answered is lost";
/// A sign-in makes one device.
pub const ONE_DEVICE: &str = "a sign-in makes one device, however often it is sent or written";
/// An ended session is refused.
pub const REFUSED: &str = "a check that began after the end of a session refuses it";
/// A valid session is accepted.
pub const ADMITTED: &str = "a valid session is accepted";
/// The times of a session are in order.
pub const TIMES: &str = "a session is not used before it began";
/// The index of signed-in devices is exact.
pub const INDEXED: &str = "a row is in the index by the epoch that ends it, until a write ends it";
/// Every row can be read.
pub const READABLE: &str = "every row has the format that the store writes";
/// Races cause no errors.
pub const AVAILABLE: &str = "a race alone makes nothing unavailable";
/// Epochs are counted.
pub const COUNTED: &str = "each sign-out of many moves the account to the next epoch";
/// A receipt entry belongs to an end.
pub const PART: &str = "a receipt entry names a session that its sign-out was the first to end";
/// A receipt entry only moves forward.
pub const FORWARD: &str = "a recorded contact or step never changes";
/// A contact is in the receipt.
pub const CONTACTED: &str = "a receipt has a contact exactly for each session that was refused";
/// A device stays in the receipt.
pub const KEPT: &str = "a device that a sign-out ended stays in its receipt";
/// A token is replaced by its holder.
pub const ROTATED: &str =
    "only a verification of a valid session replaces its token, and its caller keeps one";
/// The account has one address.
pub const ADDRESS: &str =
    "only a valid session changes the address, only the old mailbox undoes it, and one opens it";
/// A second step works once.
pub const ONCE: &str = "a second step and a recovery code are used once, in their epoch";
/// Factors are changed by their owner.
pub const FACTORS: &str = "only a valid session, or a report of a loss after its wait, changes the factors, and only a factor or a recovery ends a report";
/// A receipt matches the history.
pub const RECEIPT: &str = "a receipt shows what the history of the writes shows";
