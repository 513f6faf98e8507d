//! The device: one installation and one row in the list. Devices with the same name
//! or operating system are never merged.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::account::Epoch;
use crate::device_key::DeviceKeyHash;
use crate::end_info::{EndInfo, Scope};
use crate::ids::{AccountId, DeviceId, SessionId};
use crate::limits::{ENDING_ACTS_PER_HOUR, Limits, TOUCH_INTERVAL, TOUCH_MARGIN};
use crate::receipt::Step;
use crate::token::TokenHash;

/// The type of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceType {
    /// A television, or a set-top box or stick.
    Tv,
    /// A phone.
    Phone,
    /// A tablet.
    Tablet,
    /// A laptop or desktop computer.
    Computer,
    /// A games console.
    Console,
    /// Any other type, or an unknown one.
    #[default]
    Other,
}

impl DeviceType {
    /// Returns the name that JSON and the tables use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tv => "tv",
            Self::Phone => "phone",
            Self::Tablet => "tablet",
            Self::Computer => "computer",
            Self::Console => "console",
            Self::Other => "other",
        }
    }

    /// Parses the name; `None` for an unknown one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "tv" => Self::Tv,
            "phone" => Self::Phone,
            "tablet" => Self::Tablet,
            "computer" => Self::Computer,
            "console" => Self::Console,
            "other" => Self::Other,
            _ => return None,
        })
    }
}

/// The details by which a person recognizes a device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceInfo {
    /// The device's type.
    pub device_type: DeviceType,
    /// The name that the device reported, or one derived from the other details.
    pub name: String,
    /// The operating system, with its version if known.
    pub os: Option<String>,
    /// The browser, without a version.
    pub browser: Option<String>,
    /// The app, without a version.
    pub app: Option<String>,
    /// The manufacturer's model.
    pub model: Option<String>,
}

/// The place of a device, as API Gateway or the team's own distribution reported it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The IP address, in its canonical text form.
    pub ip: Option<String>,
    /// The city, in the distribution's spelling.
    pub city: Option<String>,
    /// The country, as an ISO 3166-1 alpha-2 code.
    pub country: Option<String>,
}

/// The state of a device's session in its own row. A signed-in row can still belong
/// to a session that the account's epoch has ended: see [`crate::session`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceState {
    /// The session was not signed out by itself.
    SignedIn,
    /// The session was signed out, or its end by the epoch was marked here.
    SignedOut(EndInfo),
}

/// The count of requests by which a session ended other sessions, in one clock hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EndingActs {
    /// The hour, counted from 1970.
    pub hour: i64,
    /// The number of requests in that hour.
    pub count: u32,
}

impl EndingActs {
    /// Returns the hour of a time.
    #[must_use]
    pub fn hour_of(at: Timestamp) -> i64 {
        at.as_second() / 3600
    }
}

/// The count of devices that a session signed out without a verification, in one day of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnprovenActs {
    /// The day, counted from 1970.
    pub day: i64,
    /// The number of devices on that day.
    pub count: u32,
}

impl UnprovenActs {
    /// Returns the day of a time.
    #[must_use]
    pub fn day_of(at: Timestamp) -> i64 {
        at.as_second() / (24 * 3600)
    }
}

/// A token that a verification replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreviousToken {
    /// Its hash.
    pub hash: TokenHash,
    /// The time until which it is accepted, for what needs no verification.
    pub until: Timestamp,
}

/// The row of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The account that it belongs to.
    pub account: AccountId,
    /// The device's id.
    pub id: DeviceId,
    /// The details that a person recognizes it by.
    pub info: DeviceInfo,
    /// The name that the owner gave it in the list of devices.
    pub owner_name: Option<String>,
    /// The name that the device reported at a sign-in, which is part of the name in
    /// `info`.
    pub reported_name: Option<String>,
    /// The place of its last sign-in.
    pub place: Place,
    /// The place of its last activity that came with one.
    pub active_place: Place,
    /// The current session, or the last one if it has ended.
    pub session: SessionId,
    /// The hash of the session's token.
    pub token_hash: TokenHash,
    /// The token that the last verification replaced.
    pub previous_token: Option<PreviousToken>,
    /// The hash of the device key, which identifies it at its sign-ins.
    pub key_hash: DeviceKeyHash,
    /// The account's epoch when the session began.
    pub epoch: Epoch,
    /// The last epoch that the session can be valid in: the one it began in or, since a
    /// sign-out of others kept it, the one after that sign-out. The sign-out that ends
    /// this epoch ended the session. Validity is not decided by it.
    pub last_epoch: Epoch,
    /// The first session since the device was last unknown: the notice to the owner is about
    /// it. A sign-in on a known device keeps it.
    pub notice_session: SessionId,
    /// The time of its first sign-in.
    pub first_signed_in_at: Timestamp,
    /// The time when the session began.
    pub signed_in_at: Timestamp,
    /// The time until which a proof lets the device be recognized. It is judged, never just
    /// believed: see [`crate::recognition`].
    pub recognized_until: Option<Timestamp>,
    /// The time of the session's last full proof that its holder is the owner: a
    /// verification, or a sign-in that was one. It counts for the current token alone.
    pub verified_at: Option<Timestamp>,
    /// The time of its last activity, up to [`TOUCH_INTERVAL`] ago.
    pub last_active_at: Timestamp,
    /// The absolute expiry of the session.
    pub expires_at: Timestamp,
    /// The state of the session in this row.
    pub state: DeviceState,
    /// The time of [`Step::Seen`] in the receipt, so that it is recorded only once.
    pub seen_at: Option<Timestamp>,
    /// The time of [`Step::Notified`] by an answer, for the same reason.
    pub notified_at: Option<Timestamp>,
    /// The last requests by which the session ended other sessions.
    pub ending_acts: EndingActs,
    /// The devices that the session signed out without a verification.
    pub unproven_acts: UnprovenActs,
}

impl Device {
    /// Returns whether this sign-in is on a device that was known: it is recognized, or its
    /// row had a session that nobody had ended, neither by itself nor by the account's epoch.
    #[must_use]
    pub fn was_known(&self, before: Option<&Self>) -> bool {
        self.recognized_until.is_some()
            || before.is_some_and(|before| {
                before.state == DeviceState::SignedIn && before.last_epoch >= self.epoch
            })
    }

    /// Returns the name to show: the owner's, or else the one of its details.
    #[must_use]
    pub fn name(&self) -> &str {
        self.owner_name.as_deref().unwrap_or(&self.info.name)
    }

    /// Returns the time when the session expires, by the absolute or the idle limit.
    #[must_use]
    pub fn expiry(&self, limits: &Limits) -> Timestamp {
        self.expires_at.min(limits.idle_at(self.last_active_at))
    }

    /// Returns whether the session had expired at `at`, by the absolute or the
    /// idle limit. No later sign-out ended it then.
    #[must_use]
    pub fn had_expired(&self, at: Timestamp, limits: &Limits) -> bool {
        at >= self.expiry(limits)
    }

    /// Returns whether the receipt of the sign-out that ended the session has an
    /// entry for this device. A sign-out of many skips sessions that had already
    /// expired; a sign-out of one device always has its entry.
    #[must_use]
    pub fn is_in_receipt_of(&self, ended: &EndInfo, limits: &Limits) -> bool {
        matches!(ended.scope, Scope::Local | Scope::Device) || !self.had_expired(ended.at, limits)
    }

    /// Returns whether the token that a verification replaced is still accepted. It no longer
    /// is once the new one has been seen.
    #[must_use]
    pub fn accepts_previous_token(&self, now: Timestamp) -> bool {
        let previous = self.previous_token.as_ref();
        previous.is_some_and(|previous| now < previous.until)
    }

    /// Returns the time when its holder last proved something: at the sign-in or later.
    #[must_use]
    pub fn authenticated_at(&self) -> Timestamp {
        let verified_at = self.verified_at.unwrap_or(self.signed_in_at);
        verified_at.max(self.signed_in_at)
    }

    /// Returns the seconds to wait until the session may end other sessions again; `None`
    /// if it may now.
    #[must_use]
    pub fn must_wait(&self, now: Timestamp) -> Option<i64> {
        let EndingActs { hour, count } = self.ending_acts;
        let is_over = hour >= EndingActs::hour_of(now) && count >= ENDING_ACTS_PER_HOUR;
        is_over.then(|| (hour + 1) * 3600 - now.as_second())
    }

    /// Returns whether the receipt has this contact of the ended session.
    #[must_use]
    pub fn has_contact(&self, contact: Step) -> bool {
        match contact {
            Step::Seen => self.seen_at.is_some(),
            Step::Notified => self.notified_at.is_some(),
            Step::Wiped => false,
        }
    }

    /// Returns whether the last activity is old enough to be updated. Shortly before the
    /// idle limit it is not: the write could arrive after it, and revive a session that
    /// was answered as expired in between.
    #[must_use]
    pub fn is_touch_due(&self, now: Timestamp, limits: &Limits) -> bool {
        now.duration_since(self.last_active_at) >= TOUCH_INTERVAL
            && now + TOUCH_MARGIN < limits.idle_at(self.last_active_at)
    }
}
