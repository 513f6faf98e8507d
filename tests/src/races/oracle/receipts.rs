//! The checks of receipts.

use std::collections::BTreeMap;

use domain::account::Epoch;
use domain::device::DeviceState;
use domain::receipt::{Receipt, ReceiptEntry};
use domain::{DeviceId, EndedSession, SessionId, SignOut, SignOutId, SignOutTarget, Step, Token};

use super::rules::{CONTACTED, Checked, KEPT, RECEIPT, broken};
use super::{Oracle, Snapshot, TrackedSession};
use crate::engine::Engine;
use crate::races::operations::Operation;

impl Oracle<'_> {
    /// Returns the receipt of a sign-out that the history of the writes leads to.
    #[must_use]
    pub fn receipt_of(&self, sign_out: &SignOut) -> Receipt {
        let mut parts: BTreeMap<DeviceId, ReceiptEntry> = BTreeMap::new();
        let mut add = |session: &EndedSession| {
            parts.insert(
                session.device,
                ReceiptEntry::refused(session.clone(), sign_out.at),
            );
        };
        match &sign_out.target {
            SignOutTarget::One(one) => add(one),
            SignOutTarget::Epoch { .. } => {
                for (session, tracked) in &self.sessions {
                    let is_there = self.seen.device_of(*session).is_some();
                    if tracked.ended_by == Some(sign_out.id)
                        && is_there
                        && !self.has_own_end(*session)
                    {
                        add(&tracked.session);
                    }
                }
            }
        }
        for ((of, device), part) in &self.seen.parts {
            if *of == sign_out.id {
                parts.insert(*device, part.clone());
            }
        }
        Receipt::new(sign_out.clone(), parts.into_values().collect())
    }

    /// Returns whether a sign-out of this one session ended it.
    fn has_own_end(&self, session: SessionId) -> bool {
        self.seen.headers.values().any(
            |header| matches!(&header.target, SignOutTarget::One(one) if one.session == session),
        )
    }

    /// Checks the receipts that the history leads to, and those that were read.
    ///
    /// # Errors
    /// The rule that was broken.
    pub fn check_receipts(&self, read: &BTreeMap<SignOutId, Option<Receipt>>) -> Checked {
        for tracked in self.sessions.values() {
            let Some(header) = tracked.ended_by.and_then(|id| self.seen.headers.get(&id)) else {
                continue;
            };
            let device = tracked.session.device;
            let mut parts = self.receipt_of(header).entries.into_iter();
            // The sign-out of this one session has it.
            let has_own_end = self.has_own_end(tracked.session.session);
            if !has_own_end && !parts.any(|part| part.session.device == device) {
                return broken(
                    KEPT,
                    format!("{device} is missing in that of {}", header.id),
                );
            }
        }
        for (id, read) in read {
            let header = self.seen.headers.get(id);
            let expected = header.map(|header| self.receipt_of(header));
            if *read != expected {
                return broken(RECEIPT, format!("{read:?} and not {expected:?}"));
            }
        }
        Ok(())
    }

    /// Checks that the contact of a refused session is in a receipt.
    ///
    /// # Errors
    /// The rule that was broken.
    pub fn check_contact(&self, token: &str, engine: &Engine) -> Checked {
        let hash = Token::parse(token).expect("a token of ours").hash();
        let seen = Snapshot::read(engine)?;
        self.check_parts(Operation::Check(0), &seen)?;
        let session = seen
            .devices
            .values()
            .find(|device| {
                let previous = device.previous_token.map(|it| it.hash);
                device.token_hash == hash || previous == Some(hash)
            })
            .map(|device| device.session);
        match session {
            Some(session) if self.sessions[&session].has_ended => {
                let row = seen.device_of(session).expect("its row");
                let is_kept = self.is_contact_kept(session, Step::Seen, &seen);
                if row.seen_at.is_none() || !is_kept {
                    return broken(CONTACTED, format!("that of {session} is in no receipt"));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Returns everything that a receipt and its check depend on, with numbers in the
    /// place of random ids. Receipts of the same shape need only be read once.
    #[must_use]
    pub fn shape(&self) -> Vec<usize> {
        let headers: BTreeMap<SignOutId, usize> =
            self.seen.headers.keys().copied().zip(0..).collect();
        let devices: BTreeMap<DeviceId, usize> =
            self.seen.devices.keys().copied().zip(0..).collect();
        let mut sessions = BTreeMap::new();
        let mut name = |session: SessionId| {
            let next = sessions.len();
            *sessions.entry(session).or_insert(next)
        };
        let epoch = |epoch: Epoch| usize::try_from(epoch.0).expect("a small number");
        let mut shape = vec![epoch(self.seen.account.epoch)];
        for device in self.seen.devices.values() {
            let state = match &device.state {
                DeviceState::SignedIn => usize::MAX,
                DeviceState::SignedOut(ended) => headers[&ended.sign_out],
            };
            let is_noted = usize::from(device.seen_at.is_some())
                + 2 * usize::from(device.notified_at.is_some());
            shape.extend([name(device.session), epoch(device.epoch), state, is_noted]);
        }
        for header in self.seen.headers.values() {
            match &header.target {
                SignOutTarget::One(one) => {
                    shape.extend([1, devices[&one.device], name(one.session)]);
                }
                SignOutTarget::Epoch { ended, kept, .. } => {
                    shape.extend([2, epoch(*ended), kept.map_or(usize::MAX, &mut name)]);
                }
            }
        }
        for ((sign_out, device), part) in &self.seen.parts {
            let is_contacted =
                usize::from(part.seen_at.is_some()) + 2 * usize::from(part.notified_at.is_some());
            let session = name(part.session.session);
            shape.extend([headers[sign_out], devices[device], session, is_contacted]);
        }
        let tracked = |(session, tracked): (&SessionId, &TrackedSession)| {
            let ended_by = tracked.ended_by.map_or(usize::MAX, |id| headers[&id]);
            let is_there = usize::from(self.seen.device_of(*session).is_some());
            let of = (
                devices[&tracked.session.device],
                epoch(tracked.session.epoch),
            );
            (of, usize::from(tracked.has_ended), ended_by, is_there)
        };
        let mut sessions: Vec<_> = self.sessions.iter().map(tracked).collect();
        sessions.sort_unstable();
        for ((device, epoch), has_ended, ended_by, is_there) in sessions {
            shape.extend([device, epoch, has_ended, ended_by, is_there]);
        }
        shape
    }
}
