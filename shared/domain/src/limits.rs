//! How long a session may last, and how long its traces are kept.

use jiff::{SignedDuration, Timestamp};

/// The limits of a session (ASVS 7.1.1), all decided in code and never left to
/// the table's TTL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A session that was not active for this long is over.
    pub idle: SignedDuration,
    /// A session is over this long after the sign-in, whatever its activity.
    pub absolute: SignedDuration,
    /// How long a receipt can be read after its sign-out.
    pub receipt_retention: SignedDuration,
}

/// A touch writes at most this often.
pub const TOUCH_INTERVAL: SignedDuration = SignedDuration::from_mins(5);

impl Limits {
    /// When a session that begins now is over at the latest.
    #[must_use]
    pub fn expires_at(&self, signed_in_at: Timestamp) -> Timestamp {
        add(signed_in_at, self.absolute)
    }

    /// When the row of a device that signs in now may go: later than the end of
    /// its session and the retention of a receipt together.
    #[must_use]
    pub fn device_kept_until(&self, expires_at: Timestamp) -> Timestamp {
        add(expires_at, self.receipt_retention)
    }

    /// When the record of a sign-out may go. It outlives every row that it
    /// judges, so that a dead session can always be told why.
    #[must_use]
    pub fn sign_out_kept_until(&self, at: Timestamp) -> Timestamp {
        add(add(at, self.absolute), self.receipt_retention)
    }

    /// When a session that was last active then is over for want of activity.
    #[must_use]
    pub fn idle_at(&self, last_active_at: Timestamp) -> Timestamp {
        add(last_active_at, self.idle)
    }
}

/// Adds, and stops at the end of time instead of overflowing.
fn add(moment: Timestamp, duration: SignedDuration) -> Timestamp {
    moment.checked_add(duration).unwrap_or(Timestamp::MAX)
}

impl Default for Limits {
    /// Idle 30 days, absolute 365 days, receipts 90 days.
    fn default() -> Self {
        Self {
            idle: SignedDuration::from_hours(30 * 24),
            absolute: SignedDuration::from_hours(365 * 24),
            receipt_retention: SignedDuration::from_hours(90 * 24),
        }
    }
}
