//! The end of a session: when, by which device, why, and by which sign-out.

use jiff::Timestamp;

use crate::ids::{DeviceId, SignOutId};

/// The sessions that a sign-out ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The caller's own session.
    Local,
    /// The session of one other device.
    Device,
    /// Every session except the caller's.
    Others,
    /// Every session, including the caller's.
    Global,
}

impl Scope {
    /// Returns the name that JSON and the tables use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Device => "device",
            Self::Others => "others",
            Self::Global => "global",
        }
    }

    /// Parses the name; `None` for an unknown one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "local" => Self::Local,
            "device" => Self::Device,
            "others" => Self::Others,
            "global" => Self::Global,
            _ => return None,
        })
    }

    /// Returns whether a sign-out of this scope ends the caller's own session.
    #[must_use]
    pub fn includes_caller(self) -> bool {
        match self {
            Self::Local | Self::Global => true,
            Self::Device | Self::Others => false,
        }
    }
}

/// The reason for a sign-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The owner signed out.
    SignedOut,
    /// The owner changed the password.
    PasswordChanged,
    /// An operator disabled the account.
    AccountDisabled,
    /// The owner recovered the account by its address.
    Recovered,
    /// The mailbox of the address before undid a change of the address.
    AddressRestored,
    /// The session's device gave too many wrong current passwords in a row.
    WrongPassword,
}

impl Reason {
    /// Returns the name that JSON and the tables use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::PasswordChanged => "password_changed",
            Self::AccountDisabled => "account_disabled",
            Self::Recovered => "recovered",
            Self::AddressRestored => "address_restored",
            Self::WrongPassword => "wrong_password",
        }
    }

    /// Parses the name; `None` for an unknown one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "signed_out" => Self::SignedOut,
            "password_changed" => Self::PasswordChanged,
            "account_disabled" => Self::AccountDisabled,
            "recovered" => Self::Recovered,
            "address_restored" => Self::AddressRestored,
            "wrong_password" => Self::WrongPassword,
            _ => return None,
        })
    }
}

/// The device that requested a sign-out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByDevice {
    /// The device's id.
    pub id: DeviceId,
    /// The device's name at the time of the sign-out.
    pub name: String,
}

/// The details of a session's end, as shown to the device that was signed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndInfo {
    /// The time of the sign-out, from which the session is refused.
    pub at: Timestamp,
    /// The device that requested it; `None` for an operator, wrong passwords, a recovery and
    /// an undo.
    pub by: Option<ByDevice>,
    /// The reason for the sign-out.
    pub reason: Reason,
    /// The sessions that the sign-out ended.
    pub scope: Scope,
    /// The sign-out that ended the session.
    pub sign_out: SignOutId,
}

impl EndInfo {
    /// Returns whether a session of this device ended itself, alone or with all others.
    #[must_use]
    pub fn is_by_itself(&self, device: DeviceId) -> bool {
        self.by.as_ref().is_some_and(|by| by.id == device)
    }
}
