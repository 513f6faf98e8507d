//! The lifetime of sessions, and the retention of what remains of them.

use jiff::{SignedDuration, Timestamp};

/// The limits of a session (OWASP ASVS 5.0 requirement 7.1.1). Code checks them all;
/// `DynamoDB`'s TTL only deletes old rows, and may be days late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The time after the last activity at which a session expires.
    pub idle: SignedDuration,
    /// The time after the sign-in at which a session expires, whatever its activity.
    pub absolute: SignedDuration,
    /// The time after the sign-out for which its receipt can be read.
    pub receipt_retention: SignedDuration,
}

/// The least time between two writes of a device's last activity. A write
/// at every check would cost more than the check's reads.
pub const TOUCH_INTERVAL: SignedDuration = SignedDuration::from_mins(5);

/// The time before the idle limit in which activity is no longer written. A function
/// runs for at most 8 seconds.
pub(crate) const TOUCH_MARGIN: SignedDuration = SignedDuration::from_secs(30);

/// The most requests by which one session may end other sessions in one clock hour. A
/// person needs a few; each one costs records, events and pushes. The limit is on the
/// session, not on the account, so that another session can't use up the owner's.
pub const ENDING_ACTS_PER_HOUR: u32 = 30;

/// The most open sockets of one device. Each tab of a browser has its own.
pub const SOCKETS_PER_DEVICE: usize = 16;

/// The most open sockets of one group of an account's devices. An account has 256 groups;
/// a device is in one by the last byte of its id, a byte of a hash of its key. Twice the
/// cap of a device, so that one device can't use up its group.
pub const SOCKETS_PER_GROUP: usize = 2 * SOCKETS_PER_DEVICE;

/// The most unused socket tickets of one session.
pub const TICKETS_PER_SESSION: usize = 16;

impl Limits {
    /// Returns the absolute expiry of a session that begins at `signed_in_at`.
    #[must_use]
    pub fn expires_at(&self, signed_in_at: Timestamp) -> Timestamp {
        add(signed_in_at, self.absolute)
    }

    /// Returns the time when a device's row may be deleted. Until then the row
    /// outlives its session and any receipt of it.
    #[must_use]
    pub fn device_kept_until(&self, expires_at: Timestamp) -> Timestamp {
        add(expires_at, self.receipt_retention)
    }

    /// Returns the time when the record of a sign-out and its receipt may be deleted.
    /// A session that it ended has been idle for too long by then, so that it can be
    /// refused without the record.
    #[must_use]
    pub fn sign_out_kept_until(&self, at: Timestamp) -> Timestamp {
        add(at, self.receipt_retention.max(self.idle))
    }

    /// Returns the time when a session expires from inactivity.
    #[must_use]
    pub fn idle_at(&self, last_active_at: Timestamp) -> Timestamp {
        add(last_active_at, self.idle)
    }
}

/// Adds, and saturates at the largest timestamp instead of overflowing.
fn add(time: Timestamp, duration: SignedDuration) -> Timestamp {
    time.checked_add(duration).unwrap_or(Timestamp::MAX)
}

impl Default for Limits {
    /// Returns an idle limit of 30 days, an absolute limit of 365 days, and 90 days
    /// of receipts.
    fn default() -> Self {
        Self {
            idle: SignedDuration::from_hours(30 * 24),
            absolute: SignedDuration::from_hours(365 * 24),
            receipt_retention: SignedDuration::from_hours(90 * 24),
        }
    }
}
