//! The contents of the tables, read without the store.

use std::collections::{BTreeMap, BTreeSet};

use domain::account::{Account, Epoch};
use domain::device::{Device, DeviceState};
use domain::receipt::ReceiptEntry;
use domain::session::{SessionStatus, session_status};
use domain::{DeviceId, Limits, SessionId, SignOut, SignOutId, SignOutTarget, Timestamp};
use dynoxide::Item;

use super::rows::{read_account, read_device, read_header, read_identity, read_part, read_record};
use super::rules::{READABLE, Violation, broken};
use crate::engine::Engine;
use crate::tables::{ACCOUNTS, DEVICES, IDENTITIES, RECEIPTS};

/// The tables at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(super) account: Account,
    pub(super) devices: BTreeMap<DeviceId, Device>,
    pub(super) rows: BTreeMap<DeviceId, Item>,
    pub(super) headers: BTreeMap<SignOutId, SignOut>,
    pub(super) records: BTreeMap<Epoch, SignOut>,
    pub(super) parts: BTreeMap<(SignOutId, DeviceId), ReceiptEntry>,
    /// The addresses, each with the time until which it is kept if it is a former one.
    pub(super) addresses: BTreeMap<String, Option<Timestamp>>,
}

impl Snapshot {
    /// Reads the tables of an engine with one account.
    ///
    /// # Errors
    /// A [`Violation`] when a row can't be read.
    pub fn read(engine: &Engine) -> Result<Self, Violation> {
        let unreadable = |what: &str| Violation {
            rule: READABLE,
            what: what.to_owned(),
        };
        let accounts = engine.rows(ACCOUNTS);
        let [account] = accounts.as_slice() else {
            return broken(READABLE, format!("{} accounts", accounts.len()));
        };
        let account = read_account(account).ok_or_else(|| unreadable("the account"))?;
        let mut snapshot = Self {
            account,
            devices: BTreeMap::new(),
            rows: BTreeMap::new(),
            headers: BTreeMap::new(),
            records: BTreeMap::new(),
            parts: BTreeMap::new(),
            addresses: BTreeMap::new(),
        };
        for row in engine.rows(IDENTITIES) {
            let (email, kept_until) =
                read_identity(&row).ok_or_else(|| unreadable("an address"))?;
            snapshot.addresses.insert(email, kept_until);
        }
        for mut row in engine.rows(DEVICES) {
            let device = read_device(&row).ok_or_else(|| unreadable("a device"))?;
            // The contacts are checked separately from the rest of the row.
            row.remove("seen_at");
            row.remove("notified_at");
            snapshot.rows.insert(device.id, row);
            snapshot.devices.insert(device.id, device);
        }
        for row in engine.rows(RECEIPTS) {
            if row.contains_key("scope") {
                let header = read_header(&row).ok_or_else(|| unreadable("a header"))?;
                snapshot.headers.insert(header.id, header);
            } else if row.contains_key("record") {
                let (ended, record) = read_record(&row).ok_or_else(|| unreadable("a record"))?;
                snapshot.records.insert(ended, record);
            } else if !row.contains_key("kind") {
                let (sign_out, part) = read_part(&row).ok_or_else(|| unreadable("a part"))?;
                snapshot.parts.insert((sign_out, part.session.device), part);
            }
        }
        Ok(snapshot)
    }

    /// Returns the account.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Returns the device that was the last to sign in for the first time.
    #[must_use]
    pub fn newest_device(&self) -> Option<DeviceId> {
        self.devices.keys().next_back().copied()
    }

    /// Returns every sign-out.
    pub fn sign_outs(&self) -> impl Iterator<Item = SignOutId> {
        self.headers.keys().copied()
    }

    /// Returns the current session of a device.
    #[must_use]
    pub fn session_of(&self, device: DeviceId) -> Option<SessionId> {
        Some(self.devices.get(&device)?.session)
    }

    pub(super) fn device_of(&self, session: SessionId) -> Option<&Device> {
        self.devices
            .values()
            .find(|device| device.session == session)
    }

    pub(super) fn is_valid(&self, session: SessionId, now: Timestamp) -> bool {
        self.device_of(session).is_some_and(|device| {
            session_status(&self.account, device, &Limits::default(), now)
                == SessionStatus::SignedIn
        })
    }

    /// Returns every valid session.
    #[must_use]
    pub fn valid(&self, now: Timestamp) -> BTreeSet<SessionId> {
        self.devices
            .values()
            .map(|device| device.session)
            .filter(|session| self.is_valid(*session, now))
            .collect()
    }

    /// Returns every session that this sign-out was the first to end and whose row is
    /// not marked yet.
    #[must_use]
    pub fn unmarked(&self, sign_out: SignOutId) -> BTreeSet<SessionId> {
        let ends = self.epoch_ends();
        self.devices
            .values()
            .filter(|device| device.state == DeviceState::SignedIn)
            .filter(|device| {
                first_to_end(&ends, device.session, device.epoch)
                    .is_some_and(|first| first.id == sign_out)
            })
            .map(|device| device.session)
            .collect()
    }

    /// Returns the sign-outs of many sessions, in the order of their epochs.
    #[must_use]
    pub fn epoch_ends(&self) -> Vec<SignOut> {
        let mut ends: Vec<SignOut> = self
            .headers
            .values()
            .filter(|header| matches!(header.target, SignOutTarget::Epoch { .. }))
            .cloned()
            .collect();
        ends.sort_by_key(ended_epoch);
        ends
    }
}

/// Returns the sign-out that ended the session: the first that covers it, as later ones
/// found it already ended. `sign_outs` are in the order of their epochs.
pub(super) fn first_to_end(
    sign_outs: &[SignOut],
    session: SessionId,
    born: Epoch,
) -> Option<&SignOut> {
    sign_outs
        .iter()
        .find(|sign_out| sign_out.ends(session, born))
}

pub(super) fn ended_epoch(header: &SignOut) -> Epoch {
    match header.target {
        SignOutTarget::Epoch { ended, .. } => ended,
        SignOutTarget::One(_) => Epoch(0),
    }
}
