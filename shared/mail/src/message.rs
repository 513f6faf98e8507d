//! What can be mailed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Language;

/// A message of the queues. Only `send-mail` reads whose address it is, and decides which mail
/// it becomes: the function that queues it learns nothing about the address.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Message {
    /// A request for an account with this address.
    ConfirmAddress(Challenge),
    /// A request to recover the account of this address.
    PasswordReset(Challenge),
    /// A request for a few tries of one's own to sign in.
    Pass(Challenge),
    /// A signed-in person's request to prove that they are the owner.
    Verification(Challenge),
    /// A signed-in person's request to change the address of the account to this one.
    ChangeAddress(Challenge),
    /// A request, by who signs in with the password, to remove lost factors.
    LostFactor(Challenge),
    /// Something happened to an account that its owner should know.
    Notice(Box<Notice>),
}

/// A challenge that is answered by a code or a link, which only the reader of the mail has.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Challenge {
    /// The address that the mail goes to, in its normal form.
    pub email: String,
    /// The id of the challenge, which proves nothing.
    pub challenge_id: String,
    /// The code to type.
    pub code: String,
    /// The secret of a link that works wherever it is opened. Only a recovery's mail has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_secret: Option<String>,
    /// The time when the challenge expires, in seconds since 1970.
    pub expires_at_s: i64,
    /// The language of the request.
    pub language: Language,
    /// Whether the caller has shown the password of the address's account.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_for_password: bool,
}

/// Failures of a notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failures {
    /// Their number.
    pub count: u32,
    /// The time of the first one, in seconds since 1970.
    pub since_s: i64,
    /// The number of places that the notice does not name.
    #[serde(default)]
    pub more_places: usize,
}

/// A notice to the owner of a confirmed address. Its texts are ours: none was chosen by a
/// device or a stranger.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// The account.
    pub account_id: String,
    /// The id of the notice in the account, by which SES reports that its mail came back.
    pub notice_id: String,
    /// The address of the account or, after a change, the one before.
    pub email: String,
    /// What happened: `signed_in`, `signed_out`, `password_changed`, `recovered`,
    /// `address_changed`, `address_restored`, `address_lost`, `address_warned`, `wrong_password`,
    /// `many_failures`, `factor_added`, `factor_removed`, `recovery_codes_made`,
    /// `sign_in_codes_off`, `recovery_code_used`, `second_step_missing` or
    /// `factor_removal_asked`.
    pub event: String,
    /// When, in seconds since 1970.
    pub at_s: i64,
    /// The type of the device that did it, if one did.
    pub device_type: Option<String>,
    /// Its operating system, if it is a known one.
    pub os: Option<String>,
    /// Its browser, if it is a known one.
    pub browser: Option<String>,
    /// Its place.
    pub place: Option<String>,
    /// The six characters that the page shows, too.
    pub reference: String,
    /// The sign-out, whose receipt the page shows.
    pub sign_out: Option<String>,
    /// The wrong passwords in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<Failures>,
    /// The token of the link, for a sign-in and a changed address.
    pub link_secret: Option<String>,
    /// The language of the owner.
    pub language: Language,
}

/// Many failed sign-ins in a row to an address. `notify-owner` reads whose address it is: the
/// function that counts them can't tell an unknown address from one that has an account.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailedSignIns {
    /// The address, in its normal form.
    pub email: String,
    /// Their number.
    pub failures: u32,
    /// The time of the first one, in milliseconds since 1970.
    pub since_ms: i64,
    /// The time of the last one, in milliseconds since 1970.
    pub at_ms: i64,
    /// Their places, as far as they are known.
    pub places: Vec<String>,
}

/// A factor was added, removed or used, or a sign-in was not completed with one. It is queued
/// before the write, so `notify-owner` reads the rows again and drops it if the write failed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactorNews {
    /// The account.
    pub factor_account: String,
    /// What happened, as a notice calls it.
    pub act: String,
    /// The id of the factor or, if it is about none, of the event.
    pub id: String,
    /// The device and the session that did it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<(String, String)>,
    /// The challenge of a second step that is news if it is still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge_id: Option<String>,
    /// The place of who knew the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

/// The mailbox before a change of the address warned of it. It is queued before the write, so
/// `notify-owner` reads the account again and drops it if the write failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressWarning {
    /// The account.
    pub warned_account: String,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

impl Message {
    /// Returns the name of its kind, for the log.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ConfirmAddress(_) => "confirm_address",
            Self::PasswordReset(_) => "password_reset",
            Self::Pass(_) => "pass",
            Self::Verification(_) => "verification",
            Self::ChangeAddress(_) => "change_address",
            Self::LostFactor(_) => "lost_factor",
            Self::Notice(_) => "notice",
        }
    }

    /// Returns the time from which its mail is useless, in seconds since 1970. A notice is
    /// worth sending at any time.
    #[must_use]
    pub fn expires_at_s(&self) -> Option<i64> {
        match self {
            Self::ConfirmAddress(challenge)
            | Self::PasswordReset(challenge)
            | Self::Pass(challenge)
            | Self::Verification(challenge)
            | Self::ChangeAddress(challenge)
            | Self::LostFactor(challenge) => Some(challenge.expires_at_s),
            Self::Notice(_) => None,
        }
    }
}

/// Addresses and secrets belong in no log.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({})", self.kind())
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Challenge({})", self.challenge_id)
    }
}

impl fmt::Debug for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notice({})", self.event)
    }
}

impl fmt::Debug for FactorNews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FactorNews({})", self.act)
    }
}

impl fmt::Debug for FailedSignIns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FailedSignIns({})", self.failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_of_a_message_is_fixed_and_its_debug_shows_nothing() {
        let message = Message::PasswordReset(Challenge {
            email: "lea@example.com".to_owned(),
            challenge_id: "id".to_owned(),
            code: "K7QM2R9X".to_owned(),
            link_secret: Some("secret".to_owned()),
            expires_at_s: 1_795_960_000,
            language: Language::De,
            is_for_password: false,
        });

        let json = serde_json::to_string(&message).unwrap();
        assert_eq!(
            json,
            r#"{"kind":"password_reset","email":"lea@example.com","challenge_id":"id","code":"K7QM2R9X","link_secret":"secret","expires_at_s":1795960000,"language":"de"}"#
        );
        assert_eq!(serde_json::from_str::<Message>(&json).unwrap(), message);
        assert_eq!(format!("{message:?}"), "Message(password_reset)");
    }
}
