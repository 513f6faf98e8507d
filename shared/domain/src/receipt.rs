//! Receipts: how far a sign-out has come, device by device, and which
//! acknowledgements count.
//!
//! An entry only moves forward. Each step has its time, and the first time counts,
//! so steps may repeat and may arrive in any order.

#[cfg(test)]
mod tests;

use jiff::Timestamp;

use crate::device::{Device, DeviceState};
use crate::end_info::EndInfo;
use crate::ids::{DeviceId, SessionId};
use crate::limits::Limits;
use crate::sign_out::{EndedSession, SignOut, SignOutTarget};
use crate::token::TokenHash;

/// The state of a receipt entry; the furthest state is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryState {
    /// No call of the session and no push was seen since the sign-out.
    NotReached,
    /// The session called and was refused, but the device was not given the reason.
    Seen,
    /// The device was given the reason, in a push or in an answer.
    Notified,
    /// The device reported that it has wiped what it had stored.
    Wiped,
}

impl EntryState {
    /// Returns the word used in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotReached => "not_reached",
            Self::Seen => "seen",
            Self::Notified => "notified",
            Self::Wiped => "wiped",
        }
    }
}

/// A step of a receipt entry. Each leads to the [`EntryState`] of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The session called and was refused, but the device was not given the reason: by
    /// the authorizer, at a handshake, or because a service introspected its token.
    Seen,
    /// The device was given the reason: the gateway accepted a push for it, or the
    /// answer to its request had the reason. It need not have read either.
    Notified,
    /// The device reported that it has wiped what it had stored.
    Wiped,
}

/// The entry of one device in a receipt, with the first time of each step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptEntry {
    /// The session that was ended.
    pub session: EndedSession,
    /// The time of the sign-out: from then on the session is refused.
    pub refused_at: Timestamp,
    /// The time of [`Step::Seen`].
    pub seen_at: Option<Timestamp>,
    /// The time of [`Step::Notified`].
    pub notified_at: Option<Timestamp>,
    /// The time of [`Step::Wiped`].
    pub wiped_at: Option<Timestamp>,
}

impl ReceiptEntry {
    /// Creates the entry of a session that was ended at `at`, before any step.
    #[must_use]
    pub fn refused(session: EndedSession, at: Timestamp) -> Self {
        Self {
            session,
            refused_at: at,
            seen_at: None,
            notified_at: None,
            wiped_at: None,
        }
    }

    /// Returns the furthest state that the entry has reached.
    #[must_use]
    pub fn state(&self) -> EntryState {
        if self.wiped_at.is_some() {
            EntryState::Wiped
        } else if self.notified_at.is_some() {
            EntryState::Notified
        } else if self.seen_at.is_some() {
            EntryState::Seen
        } else {
            EntryState::NotReached
        }
    }
}

/// A sign-out with an entry for each device that it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The header.
    pub sign_out: SignOut,
    /// One entry for each device, the newest device first.
    pub entries: Vec<ReceiptEntry>,
}

/// The number of devices in a receipt, and in each state. All of them are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Total {
    /// All devices.
    pub devices: usize,
    /// Devices in [`EntryState::Wiped`].
    pub wiped: usize,
    /// Devices in [`EntryState::Notified`].
    pub notified: usize,
    /// Devices in [`EntryState::Seen`].
    pub seen: usize,
    /// Devices in [`EntryState::NotReached`].
    pub not_reached: usize,
}

impl Receipt {
    /// Creates a receipt. Sorts the entries, newest device first; of several entries for
    /// one device, keeps the first.
    #[must_use]
    pub fn new(sign_out: SignOut, mut entries: Vec<ReceiptEntry>) -> Self {
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.session.device));
        entries.dedup_by_key(|entry| entry.session.device);
        Self { sign_out, entries }
    }

    /// Counts the devices by state.
    #[must_use]
    pub fn total(&self) -> Total {
        let mut total = Total::default();
        for entry in &self.entries {
            total.devices += 1;
            match entry.state() {
                EntryState::Wiped => total.wiped += 1,
                EntryState::Notified => total.notified += 1,
                EntryState::Seen => total.seen += 1,
                EntryState::NotReached => total.not_reached += 1,
            }
        }
        total
    }

    /// Returns up to `limit` entries after the device `after`, or from the start if that
    /// is `None`. If more follow, also returns the device to pass as the next `after`.
    #[must_use]
    pub fn page(
        &self,
        after: Option<DeviceId>,
        limit: usize,
    ) -> (&[ReceiptEntry], Option<DeviceId>) {
        // The entries are in descending order, so those up to `after` come first.
        let start = after.map_or(0, |after| {
            self.entries
                .partition_point(|entry| entry.session.device >= after)
        });
        let rest = &self.entries[start..];
        let page = &rest[..limit.min(rest.len())];
        let next = (page.len() < rest.len())
            .then(|| page.last().map(|entry| entry.session.device))
            .flatten();
        (page, next)
    }

    /// Returns whether the sign-out's receipt may still be shown at `now`. Its rows are
    /// kept longer: see [`Limits::sign_out_kept_until`].
    #[must_use]
    pub fn is_kept(sign_out: &SignOut, limits: &Limits, now: Timestamp) -> bool {
        now.duration_since(sign_out.at) < limits.receipt_retention
    }
}

/// Judges by a device's row whether a sign-out ended the session in it and has an entry
/// for it in its receipt.
#[must_use]
pub fn is_ended_by(sign_out: &SignOut, device: &Device, limits: &Limits) -> bool {
    let is_its_end = match &device.state {
        DeviceState::SignedOut(ended) => ended.sign_out == sign_out.id,
        // The epoch has ended the session and the sweep has not marked its row yet.
        DeviceState::SignedIn => sign_out.is_end_of(device),
    };
    is_its_end && device.is_in_receipt_of(&sign_out.end_info(), limits)
}

/// The proof that a caller held a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionProof {
    /// The caller presents the session's token.
    Token(TokenHash),
    /// The caller's socket was opened with this session.
    Session(SessionId),
}

impl SessionProof {
    fn fits(&self, session: &EndedSession) -> bool {
        match self {
            Self::Token(hash) => {
                let previous = session.previous_token_hash.as_ref();
                hash.matches(&session.token_hash)
                    || previous.is_some_and(|previous| hash.matches(previous))
            }
            Self::Session(id) => *id == session.session,
        }
    }
}

/// The rows that an acknowledgement is judged by; `None` for a row that does not
/// exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AcknowledgeRows {
    /// The device's row, which may hold a later session.
    pub device: Option<Device>,
    /// The receipt's header.
    pub sign_out: Option<SignOut>,
    /// The receipt's entry for the device.
    pub entry: Option<ReceiptEntry>,
}

/// The decision about an acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acknowledgement {
    /// The sign-out ended this session: record [`Step::Wiped`].
    Record(EndInfo, EndedSession),
    /// The receipt has an acknowledgement of this session.
    AlreadyRecorded(EndInfo),
    /// The sign-out does not exist or did not end this session.
    NotEnded,
    /// The proof fits no session in the rows.
    UnknownSession,
}

impl AcknowledgeRows {
    /// Decides whether `device`, which presents `proof`, may acknowledge the sign-out.
    ///
    /// Only a session that this sign-out ended may. Looks for that session in the
    /// receipt's entry, then in the header (of a sign-out of one device), and last in
    /// the device's row, because a later sign-in overwrites the row.
    #[must_use]
    pub fn judge(
        &self,
        device: DeviceId,
        proof: &SessionProof,
        limits: &Limits,
    ) -> Acknowledgement {
        let entry = self.entry.as_ref().filter(|it| proof.fits(&it.session));
        let row = self.device.as_ref().map(|row| (row, row.into()));
        let row = row.filter(|(_, session)| proof.fits(session));
        let Some(sign_out) = &self.sign_out else {
            // The table's TTL may delete a header before its entries.
            return if entry.is_some() || row.is_some() {
                Acknowledgement::NotEnded
            } else {
                Acknowledgement::UnknownSession
            };
        };
        let ended = sign_out.end_info();
        if let Some(entry) = entry {
            return if entry.wiped_at.is_some() {
                Acknowledgement::AlreadyRecorded(ended)
            } else {
                Acknowledgement::Record(ended, entry.session.clone())
            };
        }
        if let SignOutTarget::One(one) = &sign_out.target
            && one.device == device
            && proof.fits(one)
        {
            return Acknowledgement::Record(ended, one.clone());
        }
        let Some((row, session)) = row else {
            return Acknowledgement::UnknownSession;
        };
        if is_ended_by(sign_out, row, limits) {
            Acknowledgement::Record(ended, session)
        } else {
            Acknowledgement::NotEnded
        }
    }
}
