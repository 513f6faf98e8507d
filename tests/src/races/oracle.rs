//! The oracle: reads the tables after every write and checks the rules. It reads the
//! rows itself, without the store.

mod outcomes;
mod receipts;
mod rows;
pub mod rules;
mod snapshot;
mod writes;

use std::collections::{BTreeMap, BTreeSet};

use domain::device::{Device, DeviceState};
use domain::token::TokenHash;
use domain::{DeviceId, EndedSession, Epoch, Reason, SessionId, SignOut, SignOutId, Timestamp};

pub use self::rules::Violation;
use self::rules::{ACKNOWLEDGED, COUNTED, Checked, EXPLAINED, broken};
pub use self::snapshot::Snapshot;
use self::snapshot::first_to_end;
use super::operations::{Operation, Outcome};
use crate::account::TestAccount;
use crate::engine::Engine;
use crate::wire::Call;

/// A session and its end.
#[derive(Debug, Clone)]
struct TrackedSession {
    has_ended: bool,
    /// The sign-out that ended it: none for a valid session and one that a sign-in
    /// replaced.
    ended_by: Option<SignOutId>,
    /// The details that its receipt entry must have.
    session: EndedSession,
    /// The other names that its device had: a receipt shows the one that was read.
    earlier_names: Vec<String>,
    /// The hashes of its tokens, current and previous, before each verification: the record
    /// of a sign-out has the ones that were read.
    earlier_tokens: Vec<(TokenHash, Option<TokenHash>)>,
}

impl TrackedSession {
    fn new(device: &Device, seen: &Snapshot, now: Timestamp) -> Self {
        let has_ended = !seen.is_valid(device.session, now);
        let ended_by = match &device.state {
            DeviceState::SignedOut(ended) => Some(ended.sign_out),
            DeviceState::SignedIn => {
                let ends = seen.epoch_ends();
                first_to_end(&ends, device.session, device.epoch).map(|first| first.id)
            }
        };
        Self {
            has_ended,
            ended_by: ended_by.filter(|_| has_ended),
            session: EndedSession::from(device),
            earlier_names: Vec::new(),
            earlier_tokens: Vec::new(),
        }
    }

    /// Takes the tokens of the row after a verification.
    fn replace_token(&mut self, device: &Device) {
        let before = (self.session.token_hash, self.session.previous_token_hash);
        self.earlier_tokens.push(before);
        let now = EndedSession::from(device);
        self.session.token_hash = now.token_hash;
        self.session.previous_token_hash = now.previous_token_hash;
    }

    /// Returns whether a record or an entry is about this session.
    fn is_in(&self, recorded: &EndedSession) -> bool {
        let name = self.session.name.clone();
        let is_name = name == recorded.name || self.earlier_names.contains(&recorded.name);
        let tokens = (recorded.token_hash, recorded.previous_token_hash);
        let are_tokens = tokens == (self.session.token_hash, self.session.previous_token_hash)
            || self.earlier_tokens.contains(&tokens);
        let recorded = EndedSession {
            name,
            token_hash: self.session.token_hash,
            previous_token_hash: self.session.previous_token_hash,
            ..recorded.clone()
        };
        is_name && are_tokens && recorded == self.session
    }
}

/// The status of a session at the end of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FinalStatus {
    /// The session is valid.
    Valid,
    /// Its row is marked as signed out.
    SignedOut,
    /// A sign-out of many has ended it.
    EndedByEpoch,
    /// It has expired.
    Expired,
    /// Its row has another session, or tokens of later verifications.
    Replaced,
    /// The session is valid, and a later token has been seen.
    Superseded,
}

/// An operation that has run.
#[derive(Debug)]
pub struct CompletedOperation {
    /// The operation.
    pub operation: Operation,
    /// Its answer, or none when it crashed.
    pub outcome: Option<Outcome>,
    /// The sessions that were valid when it began.
    pub valid_before: BTreeSet<SessionId>,
    /// The sessions that a sweep has to mark, and the sign-out that ended them.
    pub to_mark: Option<(SignOutId, BTreeSet<SessionId>)>,
    /// The session of its target when it began.
    pub target: Option<SessionId>,
    /// Whether a change of the address could be undone when it began.
    pub has_change: bool,
    /// Whether the account's app was reported as lost when it began.
    pub is_reported: bool,
    /// Whether the account had that app when it began.
    pub has_app: bool,
}

/// Checks one account after each write.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Oracle<'a> {
    account: &'a TestAccount,
    sessions: BTreeMap<SessionId, TrackedSession>,
    seen: Snapshot,
    /// The current password.
    password: String,
    /// The account's epoch before the race.
    epoch: Epoch,
    /// Whether its address was changed before the race, and the change can be undone.
    is_changed: bool,
    /// Whether the account's app was reported as lost before the race.
    is_app_lost: bool,
    /// Whether a report of the lost app was ended without its removal.
    was_stopped: bool,
    /// The second steps that have signed a device in, each with its recovery code.
    completed: Vec<(u8, u8)>,
    /// The operations that have used a recovery code up.
    has_used_code: Vec<Operation>,
    /// The number of times that new recovery codes were written.
    codes_made: usize,
    /// The mailed codes by which the app was reported as lost.
    reported: Vec<u8>,
    /// The number of changes of the address that were written.
    address_changes: usize,
    /// Whether one was undone.
    is_undone: bool,
    /// The tokens before a verification that a call with the new one has ended.
    superseded: Vec<TokenHash>,
    /// The names that were written for each device.
    names: BTreeMap<DeviceId, Vec<String>>,
    /// Whether the write arrives again after its caller was answered.
    pub is_replay: bool,
}

impl<'a> Oracle<'a> {
    /// Starts with the current tables.
    ///
    /// # Errors
    /// A [`Violation`] when a row can't be read.
    pub fn new(
        account: &'a TestAccount,
        engine: &Engine,
        now: Timestamp,
    ) -> Result<Self, Violation> {
        let seen = Snapshot::read(engine)?;
        let sessions = seen
            .devices
            .values()
            .map(|device| (device.session, TrackedSession::new(device, &seen, now)));
        // Sessions that were replaced and have receipt entries.
        let gone = seen.parts.iter().map(|((sign_out, _), part)| {
            let tracked = TrackedSession {
                has_ended: true,
                ended_by: Some(*sign_out),
                session: part.session.clone(),
                earlier_names: Vec::new(),
                earlier_tokens: Vec::new(),
            };
            (part.session.session, tracked)
        });
        let sessions = gone.chain(sessions).collect();
        let epoch = seen.account.epoch;
        let is_changed = seen.account.address_change.is_some();
        let is_app_lost = seen.account.factors_lost_at.is_some();
        Ok(Self {
            account,
            sessions,
            seen,
            epoch,
            is_changed,
            is_app_lost,
            was_stopped: false,
            completed: Vec::new(),
            has_used_code: Vec::new(),
            codes_made: 0,
            reported: Vec::new(),
            address_changes: 0,
            is_undone: false,
            superseded: Vec::new(),
            password: account.password.clone(),
            names: BTreeMap::new(),
            is_replay: false,
        })
    }

    /// Returns the tables after the last write.
    #[must_use]
    pub fn seen(&self) -> &Snapshot {
        &self.seen
    }

    /// Checks a write that succeeded.
    ///
    /// # Errors
    /// The rule that it broke.
    pub fn check_write(
        &mut self,
        (by, new_password): (Operation, &str),
        engine: &Engine,
        call: &Call,
        now: Timestamp,
    ) -> Checked {
        let after = self.seen.after(engine, call)?;
        let header = self.new_header(&after)?;
        if let Some(header) = &header {
            self.check_act(by, header, &after, now)?;
            if header.reason == Reason::AddressRestored {
                // Void.
                self.password.clear();
            } else if header.sets_password() {
                new_password.clone_into(&mut self.password);
            }
        } else if after.account.epoch != self.seen.account.epoch
            || after.account.kept_session != self.seen.account.kept_session
        {
            return broken(COUNTED, "the epoch moved without a record");
        }
        self.check_sessions(by, header.as_ref(), &after, now)?;
        self.check_address(by, &after, now)?;
        self.check_factors(by, &after, now)?;
        self.check_lost(by, &after, now)?;
        self.check_codes(by, &after, now)?;
        self.check_names(by, &after)?;
        self.check_rows(by, &after, now)?;
        Self::check_index(by, &after)?;
        self.check_parts(by, &after)?;
        self.seen = after;
        Ok(())
    }

    /// Returns the sign-out that the write recorded, if it did.
    fn new_header(&self, after: &Snapshot) -> Result<Option<SignOut>, Violation> {
        for (id, header) in &self.seen.headers {
            if after.headers.get(id) != Some(header) {
                return broken(ACKNOWLEDGED, format!("the record {id} changed"));
            }
        }
        let mut new = after
            .headers
            .values()
            .filter(|header| !self.seen.headers.contains_key(&header.id));
        let header = new.next().cloned();
        if new.next().is_some() {
            return broken(EXPLAINED, "one write made two records");
        }
        Ok(header)
    }
}
