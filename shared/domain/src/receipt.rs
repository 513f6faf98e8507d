//! The receipt: how far a sign-out has come, device by device.
//!
//! A entry only moves forward. Each step that it has taken has its time, and the
//! first time counts, so that steps may come twice and in any order.

use jiff::Timestamp;

use crate::ids::{DeviceId, SessionId};
use crate::limits::Limits;
use crate::sign_out::{EndedSession, SignOut};
use crate::token::TokenHash;

/// How a caller proves that it held a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionProof {
    /// It presents the session's token.
    Token(TokenHash),
    /// Its socket was opened by the session.
    Session(SessionId),
}

impl SessionProof {
    /// Returns whether the proof is of this session.
    #[must_use]
    pub fn fits(&self, session: &EndedSession) -> bool {
        match self {
            Self::Token(hash) => hash.matches(&session.token_hash),
            Self::Session(id) => *id == session.session,
        }
    }
}

/// How far a sign-out has come with one device, the furthest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryState {
    /// Every request of it is refused; it has not been reached yet.
    Refused,
    /// It was told over its socket.
    Pushed,
    /// It called, and was refused.
    Contacted,
    /// It said that it has wiped what it had stored.
    Acknowledged,
}

impl EntryState {
    /// The word in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Pushed => "pushed",
            Self::Contacted => "contacted",
            Self::Acknowledged => "acknowledged",
        }
    }

    /// Whether it is known that the device has learnt of its end.
    #[must_use]
    pub fn is_confirmed(self) -> bool {
        self >= Self::Contacted
    }
}

/// A step that a entry can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The device was told over its socket.
    Pushed,
    /// It called, and was refused.
    Contacted,
    /// It said that it has wiped what it had stored.
    Acknowledged,
}

/// The entry of one device, with the time of each step that it has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptEntry {
    /// The session that was ended.
    pub session: EndedSession,
    /// From when on it is refused: the time of the sign-out.
    pub refused_at: Timestamp,
    /// When it was told over its socket.
    pub pushed_at: Option<Timestamp>,
    /// When it called for the first time, and was refused.
    pub contacted_at: Option<Timestamp>,
    /// When it said that it has wiped what it had stored.
    pub acknowledged_at: Option<Timestamp>,
}

impl ReceiptEntry {
    /// The entry of a session that was ended just now.
    #[must_use]
    pub fn refused(session: EndedSession, at: Timestamp) -> Self {
        Self {
            session,
            refused_at: at,
            pushed_at: None,
            contacted_at: None,
            acknowledged_at: None,
        }
    }

    /// The furthest step that it has taken.
    #[must_use]
    pub fn state(&self) -> EntryState {
        if self.acknowledged_at.is_some() {
            EntryState::Acknowledged
        } else if self.contacted_at.is_some() {
            EntryState::Contacted
        } else if self.pushed_at.is_some() {
            EntryState::Pushed
        } else {
            EntryState::Refused
        }
    }
}

/// A sign-out, and its entry for each device that it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The record of the sign-out.
    pub sign_out: SignOut,
    /// One entry a device, in the order of the devices, the newest first.
    pub entries: Vec<ReceiptEntry>,
}

/// How many devices have come how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Total {
    /// All of them.
    pub devices: usize,
    /// Those that are known to have learnt of their end.
    pub confirmed: usize,
    /// Those that were told and have not confirmed it yet.
    pub pushed: usize,
    /// Those that were not reached yet. They are refused when they call.
    pub not_reached: usize,
}

impl Receipt {
    /// Puts the entries in order, one a device.
    #[must_use]
    pub fn new(sign_out: SignOut, mut entries: Vec<ReceiptEntry>) -> Self {
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.session.device));
        entries.dedup_by_key(|entry| entry.session.device);
        Self { sign_out, entries }
    }

    /// How many devices have come how far.
    #[must_use]
    pub fn total(&self) -> Total {
        let mut total = Total::default();
        for entry in &self.entries {
            total.devices += 1;
            match entry.state() {
                EntryState::Refused => total.not_reached += 1,
                EntryState::Pushed => total.pushed += 1,
                EntryState::Contacted | EntryState::Acknowledged => total.confirmed += 1,
            }
        }
        total
    }

    /// Some of the entries, from that of the device after this one on.
    #[must_use]
    pub fn page(
        &self,
        after: Option<DeviceId>,
        limit: usize,
    ) -> (&[ReceiptEntry], Option<DeviceId>) {
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

    /// Whether it can still be read at that time.
    #[must_use]
    pub fn is_kept(sign_out: &SignOut, limits: &Limits, now: Timestamp) -> bool {
        now.duration_since(sign_out.at) < limits.receipt_retention
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Epoch;
    use crate::device::DeviceType;
    use crate::end_info::{Reason, Scope};
    use crate::ids::{AccountId, SessionId, SignOutId};
    use crate::sign_out::SignOutTarget;
    use crate::token::TokenHash;
    use jiff::SignedDuration;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn entry(n: u8) -> ReceiptEntry {
        let session = EndedSession {
            device: DeviceId::new(at(i64::from(n)), [n; 10]),
            session: SessionId::from_random([n; 16]),
            epoch: Epoch(1),
            token_hash: TokenHash::from_bytes([n; 32]),
            name: "Hotel TV".to_owned(),
            device_type: DeviceType::Tv,
        };
        ReceiptEntry::refused(session, at(100))
    }

    fn receipt(entries: Vec<ReceiptEntry>) -> Receipt {
        let sign_out = SignOut {
            account: AccountId::from_random([1; 16]),
            id: SignOutId::new(at(100), [7; 10]),
            scope: Scope::Global,
            reason: Reason::SignedOut,
            at: at(100),
            by: None,
            target: SignOutTarget::Epoch {
                ended: Epoch(1),
                kept: None,
            },
        };
        Receipt::new(sign_out, entries)
    }

    #[test]
    fn a_part_is_in_the_furthest_state_whatever_the_order_of_its_steps() {
        let mut one = entry(1);
        assert_eq!(one.state(), EntryState::Refused);
        one.acknowledged_at = Some(at(103));
        one.pushed_at = Some(at(104));
        assert_eq!(one.state(), EntryState::Acknowledged);
        let mut other = entry(2);
        other.contacted_at = Some(at(102));
        other.pushed_at = Some(at(105));
        assert_eq!(other.state(), EntryState::Contacted);
    }

    #[test]
    fn a_total_counts_every_device_once() {
        let mut told = entry(2);
        told.pushed_at = Some(at(101));
        let mut back = entry(3);
        back.contacted_at = Some(at(102));
        let mut wiped = entry(4);
        wiped.acknowledged_at = Some(at(102));
        let total = receipt(vec![entry(1), told, back, wiped, entry(1)]).total();
        let expected = Total {
            devices: 4,
            confirmed: 2,
            pushed: 1,
            not_reached: 1,
        };
        assert_eq!(total, expected);
    }

    #[test]
    fn pages_show_each_part_once_the_newest_device_first() {
        let receipt = receipt((1..=5).map(entry).collect());
        let (first, next) = receipt.page(None, 2);
        assert_eq!(first, [entry(5), entry(4)]);
        let (second, next) = receipt.page(next, 2);
        assert_eq!(second, [entry(3), entry(2)]);
        let (last, next) = receipt.page(next, 2);
        assert_eq!(last, [entry(1)]);
        assert_eq!(next, None);
        assert_eq!(receipt.page(None, 5).1, None);
    }

    #[test]
    fn a_receipt_is_kept_to_the_second() {
        let receipt = receipt(Vec::new());
        let limits = Limits::default();
        let end = receipt.sign_out.at + limits.receipt_retention;
        let second = SignedDuration::from_secs(1);
        assert!(Receipt::is_kept(&receipt.sign_out, &limits, end - second));
        assert!(!Receipt::is_kept(&receipt.sign_out, &limits, end));
    }
}
