//! Notices: mails that notify the owner of what happened to the account, and the secret in
//! their links.
//!
//! | secret | text | characters |
//! | --- | --- | --- |
//! | notice token | `cfn_` + base64url(account id ‖ notice id ‖ 32 random bytes) + checksum | 4 + 86 + 6 |

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::attempts::Failures;
use crate::device::DeviceType;
use crate::ids::{AccountId, DeviceId, FactorId, NoticeId, SessionId, SignOutId};
use crate::token::{Malformed, SECRET_BYTES, decode, encode, slice, stored};

/// The time in which the link of a notice can be used.
pub const NOTICE_LINK_LIFETIME: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The time in which acts of one device are gathered in one notice.
const GATHERED_S: i64 = 3600;

const PREFIX: &str = "cfn_";
const BYTES: usize = 16 + 16 + SECRET_BYTES;

/// What a notice is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeEvent {
    /// A device that was not known signed in.
    SignedIn {
        /// The device.
        device: DeviceId,
        /// The session, which the link of the notice can end.
        session: SessionId,
    },
    /// A device signed out others.
    SignedOut(SignOutId),
    /// The password was changed.
    PasswordChanged(SignOutId),
    /// The account was recovered by its address.
    Recovered(SignOutId),
    /// The address was changed. The notice goes to the address before, which can undo it.
    AddressChanged,
    /// The old mailbox undid a change of the address.
    AddressRestored(SignOutId),
    /// The old mailbox warned of a change of the address, which a factor had proven.
    AddressWarned,
    /// A device was signed out because it gave too many wrong current passwords.
    WrongPassword(SignOutId),
    /// Devices that are not recognized gave many wrong passwords in a row.
    ManyFailures(Failures),
    /// Something happened to a factor, or for the lack of one.
    Factor {
        /// What happened.
        act: FactorAct,
        /// The id of the factor or, if it is about none, of the event.
        id: FactorId,
        /// The device and the session that did it, if one did.
        by: Option<(DeviceId, SessionId)>,
    },
}

/// What happened to a factor, or for the lack of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactorAct {
    /// An authenticator app was added. As long as it is young, the link of the notice removes
    /// it, and ends the session that added it.
    Added,
    /// An authenticator app was removed.
    Removed,
    /// New recovery codes were made.
    CodesMade,
    /// A recovery code was used.
    CodeUsed,
    /// Codes by mail at sign-ins were turned off.
    SignInCodesOff,
    /// Somebody knew the password, and did not complete the second step.
    StepMissing,
    /// Somebody with the password and the mail asked to have lost factors removed.
    RemovalAsked,
}

impl FactorAct {
    const ALL: [Self; 7] = [
        Self::Added,
        Self::Removed,
        Self::CodesMade,
        Self::CodeUsed,
        Self::SignInCodesOff,
        Self::StepMissing,
        Self::RemovalAsked,
    ];

    /// Returns the name that JSON and the tables use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "factor_added",
            Self::Removed => "factor_removed",
            Self::CodesMade => "recovery_codes_made",
            Self::CodeUsed => "recovery_code_used",
            Self::SignInCodesOff => "sign_in_codes_off",
            Self::StepMissing => "second_step_missing",
            Self::RemovalAsked => "factor_removal_asked",
        }
    }

    /// Parses the name; `None` for an unknown one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.as_str() == name)
    }
}

impl NoticeEvent {
    /// Returns the name of its kind that JSON and the tables use.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SignedIn { .. } => "signed_in",
            Self::SignedOut(_) => "signed_out",
            Self::PasswordChanged(_) => "password_changed",
            Self::Recovered(_) => "recovered",
            Self::AddressChanged => "address_changed",
            Self::AddressRestored(_) => "address_restored",
            Self::AddressWarned => "address_warned",
            Self::WrongPassword(_) => "wrong_password",
            Self::ManyFailures(_) => "many_failures",
            Self::Factor { act, .. } => act.as_str(),
        }
    }

    /// Returns the id of the notice about this: the same each time, so that an event that
    /// comes twice has one notice. Sign-outs of one device each that `gathered_by` makes within
    /// an hour have one.
    #[must_use]
    pub fn notice_id(&self, at: Timestamp, gathered_by: Option<DeviceId>) -> NoticeId {
        let mut hash = Sha256::new();
        hash.update(self.kind());
        let mut at_s = at.as_second();
        match (self, gathered_by) {
            (Self::SignedIn { session, .. }, _) => hash.update(session.as_bytes()),
            (Self::SignedOut(_), Some(by)) => {
                at_s -= at_s.rem_euclid(GATHERED_S);
                hash.update(by.as_bytes());
            }
            (
                Self::SignedOut(id)
                | Self::PasswordChanged(id)
                | Self::Recovered(id)
                | Self::AddressRestored(id)
                | Self::WrongPassword(id),
                _,
            ) => hash.update(id.as_bytes()),
            (Self::Factor { id, .. }, _) => hash.update(id.as_bytes()),
            (Self::AddressChanged | Self::AddressWarned, _) => {
                hash.update(at.as_millisecond().to_be_bytes());
            }
            (Self::ManyFailures(failures), _) => {
                hash.update(failures.since.as_millisecond().to_be_bytes());
                hash.update(failures.count.to_be_bytes());
            }
        }
        let at = Timestamp::from_second(at_s).unwrap_or(at);
        NoticeId::new(at, slice(&hash.finalize()[..10]))
    }
}

/// A device as a mail shows it. No text is one that a device, a browser or a stranger
/// chose.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NoticeDevice {
    /// Its type.
    pub device_type: DeviceType,
    /// The operating system, if it is a known one.
    pub os: Option<String>,
    /// The browser, if it is a known one.
    pub browser: Option<String>,
    /// The place: city and country, or else the address.
    pub place: Option<String>,
}

/// A notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The account that it is about.
    pub account: AccountId,
    /// Its id.
    pub id: NoticeId,
    /// What it is about.
    pub event: NoticeEvent,
    /// The time of the event.
    pub at: Timestamp,
    /// The device that did it.
    pub device: Option<NoticeDevice>,
    /// The six characters that a forged mail does not have.
    pub reference: String,
    /// The answer of the owner to it.
    pub answer: Option<(NoticeAnswer, Timestamp)>,
    /// The time when its mail came back, if the mailbox did not take it.
    pub returned_at: Option<Timestamp>,
}

/// What the owner answered to a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeAnswer {
    /// "It was not me": the session was ended.
    End,
    /// "It was me": the device is recognized.
    Mine,
    /// "It was not me": the change of the address was undone.
    Undo,
}

impl NoticeAnswer {
    /// Returns the name that JSON and the tables use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Mine => "mine",
            Self::Undo => "undo",
        }
    }

    /// Parses the name; `None` for an unknown one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::End, Self::Mine, Self::Undo]
            .into_iter()
            .find(|answer| answer.as_str() == name)
    }
}

/// Returns the reference of a notice: six characters of Crockford's base32 alphabet, which
/// has no letters that are taken for others.
#[must_use]
pub fn reference(random: [u8; 6]) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let character = |byte: u8| char::from(ALPHABET[usize::from(byte % 32)]);
    random.into_iter().map(character).collect()
}

/// The secret in the link of a notice, shown once. Wiped when dropped.
#[derive(ZeroizeOnDrop)]
pub struct NoticeToken {
    #[zeroize(skip)]
    account: AccountId,
    #[zeroize(skip)]
    notice: NoticeId,
    secret: [u8; SECRET_BYTES],
}

/// The SHA-256 of a notice token's secret, as stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NoticeHash([u8; 32]);
stored!(NoticeHash);

impl NoticeToken {
    /// Creates a token from random bytes.
    #[must_use]
    pub fn new(account: AccountId, notice: NoticeId, secret: [u8; SECRET_BYTES]) -> Self {
        Self {
            account,
            notice,
            secret,
        }
    }

    /// Parses a presented token. This proves nothing yet: compare its hash.
    ///
    /// # Errors
    /// [`Malformed`] for any wrong, missing or extra character.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let bytes = decode::<BYTES>(PREFIX, text)?;
        Ok(Self {
            account: AccountId::from_bytes(slice(&bytes[..16])).ok_or(Malformed)?,
            notice: NoticeId::from_bytes(slice(&bytes[16..32])).ok_or(Malformed)?,
            secret: slice(&bytes[32..]),
        })
    }

    /// Returns the text to mail, once.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        bytes[..16].copy_from_slice(self.account.as_bytes());
        bytes[16..32].copy_from_slice(self.notice.as_bytes());
        bytes[32..].copy_from_slice(&self.secret);
        encode(PREFIX, &*bytes)
    }

    /// Returns the account that the token claims.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// Returns the notice that the token claims.
    #[must_use]
    pub fn notice(&self) -> NoticeId {
        self.notice
    }

    /// Returns the hash to store or to compare.
    #[must_use]
    pub fn hash(&self) -> NoticeHash {
        NoticeHash(Sha256::digest(self.secret).into())
    }
}

impl fmt::Debug for NoticeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoticeToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_token_has_one_spelling_and_names_its_notice() {
        let account = AccountId::from_random([1; 16]);
        let notice = NoticeId::new(at(7200), [2; 10]);
        let text = NoticeToken::new(account, notice, [3; 32]).to_text();

        let parsed = NoticeToken::parse(&text).unwrap();
        assert_eq!((parsed.account(), parsed.notice()), (account, notice));
        for at in 0..text.len() {
            let mut changed = text.as_bytes().to_vec();
            changed[at] ^= 1;
            let changed = String::from_utf8(changed).unwrap();
            assert!(NoticeToken::parse(&changed).is_err(), "{at}");
        }
        assert!(NoticeToken::parse(&text[..text.len() - 1]).is_err());
        assert!(NoticeToken::parse(&format!("{}A", *text)).is_err());
    }

    #[test]
    fn an_event_has_one_notice_and_sign_outs_of_a_device_one_an_hour() {
        let device = DeviceId::new(at(0), [1; 10]);
        let id = |n| SignOutId::new(at(0), [n; 10]);
        let signed_out =
            |n, second| NoticeEvent::SignedOut(id(n)).notice_id(at(second), Some(device));

        assert_eq!(signed_out(1, 7200), signed_out(2, 10_799));
        assert_ne!(signed_out(1, 7200), signed_out(1, 10_800));
        let changed =
            |n, second| NoticeEvent::PasswordChanged(id(n)).notice_id(at(second), Some(device));
        assert_eq!(changed(1, 7200), changed(1, 7200));
        assert_ne!(changed(1, 7200), changed(2, 7200));
        assert_ne!(
            changed(1, 7200),
            NoticeEvent::Recovered(id(1)).notice_id(at(7200), None)
        );
    }
}
