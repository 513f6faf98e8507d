//! The receipt: how far a sign-out has come, device by device.
//!
//! A part only moves forward. Each step that it has taken has its time, and the
//! first time counts, so that steps may come twice and in any order.

use jiff::Timestamp;

use crate::ids::DeviceId;
use crate::limits::Limits;
use crate::sign_out::{EndedSession, SignOut};

/// How far a sign-out has come with one device, the furthest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartState {
    /// Every request of it is refused; it has not been reached yet.
    Refused,
    /// It was told over its socket.
    Pushed,
    /// It called, and was refused.
    Contacted,
    /// It said that it has wiped what it had stored.
    Acknowledged,
}

impl PartState {
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

/// A step that a part can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The device was told over its socket.
    Pushed,
    /// It called, and was refused.
    Contacted,
    /// It said that it has wiped what it had stored.
    Acknowledged,
}

/// The part of one device, with the time of each step that it has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
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

impl Part {
    /// The part of a session that was ended just now.
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
    pub fn state(&self) -> PartState {
        if self.acknowledged_at.is_some() {
            PartState::Acknowledged
        } else if self.contacted_at.is_some() {
            PartState::Contacted
        } else if self.pushed_at.is_some() {
            PartState::Pushed
        } else {
            PartState::Refused
        }
    }
}

/// A sign-out, and its part for each device that it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The record of the sign-out.
    pub sign_out: SignOut,
    /// One part a device, in the order of the devices, the newest first.
    pub parts: Vec<Part>,
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
    /// Puts the parts in order, one a device.
    #[must_use]
    pub fn new(sign_out: SignOut, mut parts: Vec<Part>) -> Self {
        parts.sort_by_key(|part| std::cmp::Reverse(part.session.device));
        parts.dedup_by_key(|part| part.session.device);
        Self { sign_out, parts }
    }

    /// How many devices have come how far.
    #[must_use]
    pub fn total(&self) -> Total {
        let mut total = Total::default();
        for part in &self.parts {
            total.devices += 1;
            match part.state() {
                PartState::Refused => total.not_reached += 1,
                PartState::Pushed => total.pushed += 1,
                PartState::Contacted | PartState::Acknowledged => total.confirmed += 1,
            }
        }
        total
    }

    /// Some of the parts, from that of the device after this one on.
    #[must_use]
    pub fn page(&self, after: Option<DeviceId>, limit: usize) -> (&[Part], Option<DeviceId>) {
        let start = after.map_or(0, |after| {
            self.parts
                .partition_point(|part| part.session.device >= after)
        });
        let rest = &self.parts[start..];
        let page = &rest[..limit.min(rest.len())];
        let next = (page.len() < rest.len())
            .then(|| page.last().map(|part| part.session.device))
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
    use crate::ids::{AccountId, SessionId, SignOutId};
    use crate::sign_out::{Reason, Scope, SignOutTarget};
    use crate::token::TokenHash;
    use jiff::SignedDuration;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn part(n: u8) -> Part {
        let session = EndedSession {
            device: DeviceId::new(at(i64::from(n)), [n; 10]),
            session: SessionId::from_random([n; 16]),
            epoch: Epoch(1),
            token_hash: TokenHash::from_bytes([n; 32]),
            name: "Hotel TV".to_owned(),
            device_type: DeviceType::Tv,
        };
        Part::refused(session, at(100))
    }

    fn receipt(parts: Vec<Part>) -> Receipt {
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
        Receipt::new(sign_out, parts)
    }

    #[test]
    fn a_part_is_in_the_furthest_state_whatever_the_order_of_its_steps() {
        let mut one = part(1);
        assert_eq!(one.state(), PartState::Refused);
        one.acknowledged_at = Some(at(103));
        one.pushed_at = Some(at(104));
        assert_eq!(one.state(), PartState::Acknowledged);
        let mut other = part(2);
        other.contacted_at = Some(at(102));
        other.pushed_at = Some(at(105));
        assert_eq!(other.state(), PartState::Contacted);
    }

    #[test]
    fn a_total_counts_every_device_once() {
        let mut told = part(2);
        told.pushed_at = Some(at(101));
        let mut back = part(3);
        back.contacted_at = Some(at(102));
        let mut wiped = part(4);
        wiped.acknowledged_at = Some(at(102));
        let total = receipt(vec![part(1), told, back, wiped, part(1)]).total();
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
        let receipt = receipt((1..=5).map(part).collect());
        let (first, next) = receipt.page(None, 2);
        assert_eq!(first, [part(5), part(4)]);
        let (second, next) = receipt.page(next, 2);
        assert_eq!(second, [part(3), part(2)]);
        let (last, next) = receipt.page(next, 2);
        assert_eq!(last, [part(1)]);
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
