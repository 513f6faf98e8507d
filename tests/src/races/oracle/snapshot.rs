//! The contents of the tables, read without the store.

use std::collections::{BTreeMap, BTreeSet};

use domain::account::{Account, Epoch};
use domain::device::{Device, DeviceState};
use domain::receipt::ReceiptEntry;
use domain::session::{SessionStatus, session_status};
use domain::{DeviceId, Limits, SessionId, SignOut, SignOutId, SignOutTarget, Timestamp};
use dynoxide::Item;

use super::rows::{
    read_account, read_codes, read_device, read_header, read_identity, read_part, read_record,
};
use super::rules::{READABLE, Violation, broken};
use crate::engine::Engine;
use crate::tables::{ACCOUNTS, DEVICES, FACTORS, IDENTITIES, RECEIPTS};
use crate::wire::Call;

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
    /// The hashes of the recovery codes that are left.
    pub(super) codes: BTreeSet<String>,
}

impl Snapshot {
    /// Reads the tables of an engine with one account.
    ///
    /// # Errors
    /// A [`Violation`] when a row can't be read.
    pub fn read(engine: &Engine) -> Result<Self, Violation> {
        let mut snapshot = Self {
            account: account_of(engine)?,
            devices: BTreeMap::new(),
            rows: BTreeMap::new(),
            headers: BTreeMap::new(),
            records: BTreeMap::new(),
            parts: BTreeMap::new(),
            addresses: BTreeMap::new(),
            codes: BTreeSet::new(),
        };
        snapshot.read_tables(engine, |_| true)?;
        Ok(snapshot)
    }

    /// Reads the tables that a call has written to. The others are as they were.
    pub(super) fn after(&self, engine: &Engine, call: &Call) -> Result<Self, Violation> {
        let mut snapshot = self.clone();
        let is_written = |table: &str| call.body.contains(&format!("\"{table}\""));
        if is_written(ACCOUNTS) {
            snapshot.account = account_of(engine)?;
        }
        snapshot.read_tables(engine, is_written)?;
        Ok(snapshot)
    }

    fn read_tables(&mut self, engine: &Engine, of: impl Fn(&str) -> bool) -> Result<(), Violation> {
        if of(FACTORS) {
            self.codes.clear();
            for row in engine.rows(FACTORS) {
                self.codes.extend(read_codes(&row).unwrap_or_default());
            }
        }
        if of(IDENTITIES) {
            self.addresses.clear();
            for row in engine.rows(IDENTITIES) {
                let (email, kept_until) =
                    read_identity(&row).ok_or_else(|| unreadable("an address"))?;
                self.addresses.insert(email, kept_until);
            }
        }
        if of(DEVICES) {
            self.rows.clear();
            self.devices.clear();
            for mut row in engine.rows(DEVICES) {
                let device = read_device(&row).ok_or_else(|| unreadable("a device"))?;
                // The contacts are checked separately from the rest of the row.
                row.remove("seen_at");
                row.remove("notified_at");
                self.rows.insert(device.id, row);
                self.devices.insert(device.id, device);
            }
        }
        if of(RECEIPTS) {
            self.read_receipts(engine)?;
        }
        Ok(())
    }

    fn read_receipts(&mut self, engine: &Engine) -> Result<(), Violation> {
        self.headers.clear();
        self.records.clear();
        self.parts.clear();
        for row in engine.rows(RECEIPTS) {
            if row.contains_key("scope") {
                let header = read_header(&row).ok_or_else(|| unreadable("a header"))?;
                self.headers.insert(header.id, header);
            } else if row.contains_key("record") {
                let (ended, record) = read_record(&row).ok_or_else(|| unreadable("a record"))?;
                self.records.insert(ended, record);
            } else if !row.contains_key("kind") {
                let (sign_out, part) = read_part(&row).ok_or_else(|| unreadable("a part"))?;
                self.parts.insert((sign_out, part.session.device), part);
            }
        }
        Ok(())
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

fn account_of(engine: &Engine) -> Result<Account, Violation> {
    let accounts = engine.rows(ACCOUNTS);
    let [account] = accounts.as_slice() else {
        return broken(READABLE, format!("{} accounts", accounts.len()));
    };
    read_account(account).ok_or_else(|| unreadable("the account"))
}

fn unreadable(what: &str) -> Violation {
    Violation {
        rule: READABLE,
        what: what.to_owned(),
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
