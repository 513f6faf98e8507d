//! The device: one installation, one row in the list, never merged with
//! another by name or OS.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::account::Epoch;
use crate::end_info::{EndInfo, Scope};
use crate::ids::{AccountId, DeviceId, SessionId};
use crate::limits::{Limits, TOUCH_INTERVAL};
use crate::token::{DeviceKeyHash, TokenHash};

/// What kind of thing a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceType {
    /// A television, or a box or stick that drives one.
    Tv,
    /// A phone.
    Phone,
    /// A tablet.
    Tablet,
    /// A laptop or desktop computer.
    Computer,
    /// A games console.
    Console,
    /// Anything else, and what is not known.
    #[default]
    Other,
}

impl DeviceType {
    /// The word in JSON and in the table.
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

    /// Reads the word; `None` when there is no such type.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
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

/// What a device is, as a person would tell it apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceInfo {
    /// What kind of thing it is.
    pub device_type: DeviceType,
    /// The name to show: its owner's own, or one made from the facts.
    pub name: String,
    /// The operating system, with a version where one is known.
    pub os: Option<String>,
    /// The browser.
    pub browser: Option<String>,
    /// The app.
    pub app: Option<String>,
    /// The model.
    pub model: Option<String>,
}

/// Where a device was when it signed in, as the gateway or the team's own
/// distribution saw it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The address, in its canonical text form.
    pub ip: Option<String>,
    /// The city.
    pub city: Option<String>,
    /// The country, ISO 3166-1 alpha-2.
    pub country: Option<String>,
}

/// Whether a device's session stands, as its own row has it. The account's
/// epoch can have ended it all the same: see [`crate::session`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceState {
    /// The row has a session that was not ended one by one.
    SignedIn,
    /// The session was ended.
    SignedOut(EndInfo),
}

/// A device's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Whose it is.
    pub account: AccountId,
    /// Which one.
    pub id: DeviceId,
    /// What it is.
    pub info: DeviceInfo,
    /// The name that its owner gave it, which makes part of the shown one.
    pub own_name: Option<String>,
    /// Where it signed in.
    pub place: Place,
    /// Its session.
    pub session: SessionId,
    /// The hash of the session's token.
    pub token_hash: TokenHash,
    /// The hash of the key by which it is recognised.
    pub key_hash: DeviceKeyHash,
    /// The key before, which counts until the new one has been used.
    pub previous_key_hash: Option<DeviceKeyHash>,
    /// The account's epoch when the session was born.
    pub epoch: Epoch,
    /// When it first signed in.
    pub first_signed_in_at: Timestamp,
    /// When its session began.
    pub signed_in_at: Timestamp,
    /// When its owner last proved to be the owner on it.
    pub verified_at: Timestamp,
    /// When it was last seen, to within five minutes.
    pub last_active_at: Timestamp,
    /// When its session is over at the latest.
    pub expires_at: Timestamp,
    /// Whether its session stands.
    pub state: DeviceState,
    /// When its session, already over, was refused for the first time: the
    /// receipt has it, too. None until then.
    pub contacted_at: Option<Timestamp>,
}

impl Device {
    /// Returns whether the session had expired at `at`, by the absolute or the
    /// idle limit. No later sign-out ended it then.
    #[must_use]
    pub fn had_expired(&self, at: Timestamp, limits: &Limits) -> bool {
        at >= self.expires_at || at >= limits.idle_at(self.last_active_at)
    }

    /// Returns whether the receipt of the sign-out that ended the session has an
    /// entry for this device. A sign-out of many skips sessions that had already
    /// expired; a sign-out of one device always has its entry.
    #[must_use]
    pub fn is_in_receipt_of(&self, ended: &EndInfo, limits: &Limits) -> bool {
        matches!(ended.scope, Scope::Local | Scope::Device) || !self.had_expired(ended.at, limits)
    }

    /// Whether enough time has gone by to write down that it is active.
    #[must_use]
    pub fn is_touch_due(&self, now: Timestamp) -> bool {
        now.duration_since(self.last_active_at) >= TOUCH_INTERVAL
    }
}
