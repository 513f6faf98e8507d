//! The judge: reads the tables as they are, after every write, and tells which
//! rule was broken. It reads the rows by itself, apart from the store.

use std::collections::{BTreeMap, BTreeSet};

use domain::account::{Account, Epoch};
use domain::device::{Device, DeviceInfo, DeviceState, DeviceType, Place};
use domain::end_info::{ByDevice, EndInfo};
use domain::password::{Hasher, Password, PasswordCheck, StoredHash};
use domain::receipt::{Receipt, ReceiptEntry};
use domain::session::{SessionStatus, session_status};
use domain::sign_out::first_to_end;
use domain::token::{DeviceKeyHash, TokenHash};
use domain::{
    DeviceId, EndedSession, Limits, Reason, Scope, SessionId, SignOut, SignOutId, SignOutTarget,
    Timestamp, Token,
};
use dynoxide::{AttributeValue, Item};

use super::operations::{Operation, Outcome, Target};
use crate::account::TestAccount;
use crate::engine::Engine;
use crate::tables::{ACCOUNTS, DEVICES, RECEIPTS};

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: &'static str,
    /// What broke it.
    pub what: String,
}

type Judged = Result<(), Violation>;

fn broken<T>(rule: &'static str, what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation {
        rule,
        what: what.into(),
    })
}

/// An end is monotone.
pub const MONOTONE: &str = "a session that once was not valid never is again";
/// Every end has its act, and nothing else ends.
pub const EXPLAINED: &str = "what ends is ended by an act that says so";
/// Acts are for those whose session is valid.
pub const CALLER: &str = "an act is only done while its caller's session is valid";
/// A signed-out row stays.
pub const SETTLED: &str = "a signed-out row never changes but by a new session";
/// Rows and records agree.
pub const ATTRIBUTED: &str = "a signed-out row agrees with the first sign-out that ended it";
/// What was acknowledged holds.
pub const ACKNOWLEDGED: &str = "no acknowledged change is lost";
/// What ended is refused.
pub const REFUSED: &str = "a check that began after an end never accepts";
/// What lives is not refused.
pub const ADMITTED: &str = "nothing that should live is refused";
/// The times of a session are in order.
pub const TIMES: &str = "a session is not used before it began";
/// The tables read as they should.
pub const READABLE: &str = "every row is as the store writes it";
/// Nothing is unavailable.
pub const AVAILABLE: &str = "a race alone makes nothing unavailable";
/// Epochs are counted.
pub const COUNTED: &str = "each act that ends an epoch moves on to the next";
/// A part is about an end.
pub const PART: &str = "a part names a session that its sign-out was the first to end";
/// A part only moves forward.
pub const FORWARD: &str = "what a part or a row tells of a contact never changes";
/// A contact is in the receipt.
pub const CONTACTED: &str = "a session that is refused has its contact in a receipt, and no other";
/// A device stays in the receipt.
pub const KEPT: &str = "a device that a sign-out ended stays in its receipt";
/// A receipt is what has happened.
pub const RECEIPT: &str = "a receipt tells what the history tells";

/// The tables at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    account: Account,
    devices: BTreeMap<DeviceId, Device>,
    rows: BTreeMap<DeviceId, Item>,
    headers: BTreeMap<SignOutId, SignOut>,
    parts: BTreeMap<(SignOutId, DeviceId), ReceiptEntry>,
}

impl Snapshot {
    /// Reads the tables of an engine that has one account.
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
            parts: BTreeMap::new(),
        };
        for mut row in engine.rows(DEVICES) {
            let device = read_device(&row).ok_or_else(|| unreadable("a device"))?;
            // Whether it has been in contact is judged apart from the rest.
            row.remove("contacted_at");
            snapshot.rows.insert(device.id, row);
            snapshot.devices.insert(device.id, device);
        }
        for row in engine.rows(RECEIPTS) {
            if row.contains_key("scope") {
                let header = read_header(&row).ok_or_else(|| unreadable("a header"))?;
                snapshot.headers.insert(header.id, header);
            } else {
                let (sign_out, part) = read_part(&row).ok_or_else(|| unreadable("a part"))?;
                snapshot.parts.insert((sign_out, part.session.device), part);
            }
        }
        Ok(snapshot)
    }

    /// The account.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The device that was the last to sign in for the first time.
    #[must_use]
    pub fn newest_device(&self) -> Option<DeviceId> {
        self.devices.keys().next_back().copied()
    }

    /// Every sign-out that there was.
    pub fn sign_outs(&self) -> impl Iterator<Item = SignOutId> {
        self.headers.keys().copied()
    }

    /// The session that a device has now.
    #[must_use]
    pub fn session_of(&self, device: DeviceId) -> Option<SessionId> {
        Some(self.devices.get(&device)?.session)
    }

    fn device_of(&self, session: SessionId) -> Option<&Device> {
        self.devices
            .values()
            .find(|device| device.session == session)
    }

    fn is_valid(&self, session: SessionId, now: Timestamp) -> bool {
        self.device_of(session).is_some_and(|device| {
            session_status(&self.account, device, &Limits::default(), now)
                == SessionStatus::SignedIn
        })
    }

    /// Every session that is valid.
    #[must_use]
    pub fn valid(&self, now: Timestamp) -> BTreeSet<SessionId> {
        self.devices
            .values()
            .map(|device| device.session)
            .filter(|session| self.is_valid(*session, now))
            .collect()
    }

    /// Every session that this sign-out was the first to end, and whose row does
    /// not say so yet.
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

    /// The sign-outs of many sessions, in the order of their epochs.
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

fn ended_epoch(header: &SignOut) -> Epoch {
    match header.target {
        SignOutTarget::Epoch { ended, .. } => ended,
        SignOutTarget::One(_) => Epoch(0),
    }
}

/// A session's life so far.
#[derive(Debug, Clone)]
struct Life {
    is_over: bool,
    /// The sign-out that ended it; none while it lives, and when a sign-in on its
    /// device did.
    ended_by: Option<SignOutId>,
    /// What is to stand in the part of its device.
    facts: EndedSession,
}

impl Life {
    fn new(device: &Device, seen: &Snapshot, now: Timestamp) -> Self {
        let is_over = !seen.is_valid(device.session, now);
        let ended_by = match &device.state {
            DeviceState::SignedOut(ended) => Some(ended.sign_out),
            DeviceState::SignedIn => {
                let ends = seen.epoch_ends();
                first_to_end(&ends, device.session, device.epoch).map(|first| first.id)
            }
        };
        Self {
            is_over,
            ended_by: ended_by.filter(|_| is_over),
            facts: EndedSession::from(device),
        }
    }
}

/// How a session stands at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// It is valid.
    Valid,
    /// Its row says that it is over.
    SignedOut,
    /// The epoch says so.
    LeftBehind,
    /// The time says so.
    Expired,
    /// Its row has another one.
    Replaced,
}

/// An operation that has run, for the judgement at the end.
#[derive(Debug)]
pub struct Ran {
    /// Which one.
    pub operation: Operation,
    /// What it told its caller; none when it died.
    pub outcome: Option<Outcome>,
    /// The sessions that were valid when it began.
    pub valid_before: BTreeSet<SessionId>,
    /// What it was to mark, and whose end that is.
    pub to_mark: Option<(SignOutId, BTreeSet<SessionId>)>,
    /// The session of its target when it began.
    pub target: Option<SessionId>,
}

/// Follows one account through its writes.
#[derive(Debug)]
pub struct Oracle<'a> {
    account: &'a TestAccount,
    lives: BTreeMap<SessionId, Life>,
    seen: Snapshot,
    /// The password that the last change of it set.
    password: String,
}

impl<'a> Oracle<'a> {
    /// Begins with the tables as they are.
    ///
    /// # Errors
    /// A [`Violation`] when a row can't be read.
    pub fn new(
        account: &'a TestAccount,
        engine: &Engine,
        now: Timestamp,
    ) -> Result<Self, Violation> {
        let seen = Snapshot::read(engine)?;
        let lives = seen
            .devices
            .values()
            .map(|device| (device.session, Life::new(device, &seen, now)));
        // Those that were replaced, and have their parts.
        let gone = seen.parts.iter().map(|((sign_out, _), part)| {
            let life = Life {
                is_over: true,
                ended_by: Some(*sign_out),
                facts: part.session.clone(),
            };
            (part.session.session, life)
        });
        let lives = gone.chain(lives).collect();
        Ok(Self {
            account,
            lives,
            seen,
            password: account.password.clone(),
        })
    }

    /// The tables as they are.
    #[must_use]
    pub fn seen(&self) -> &Snapshot {
        &self.seen
    }

    /// Judges a write that was done.
    ///
    /// # Errors
    /// The rule that it broke.
    pub fn wrote(
        &mut self,
        by: Operation,
        new_password: &str,
        engine: &Engine,
        now: Timestamp,
    ) -> Judged {
        let after = Snapshot::read(engine)?;
        let header = self.new_header(&after)?;
        if let Some(header) = &header {
            self.judge_act(by, header, &after, now)?;
            if header.reason == Reason::PasswordChanged {
                new_password.clone_into(&mut self.password);
            }
        } else if after.account.epoch != self.seen.account.epoch
            || after.account.kept_session != self.seen.account.kept_session
        {
            return broken(COUNTED, "the epoch moved without a record");
        }
        self.judge_lives(by, header.as_ref(), &after, now)?;
        self.judge_rows(by, &after)?;
        self.judge_parts(by, &after)?;
        self.seen = after;
        Ok(())
    }

    /// The record that the write made.
    fn new_header(&self, after: &Snapshot) -> Result<Option<SignOut>, Violation> {
        for (id, header) in &self.seen.headers {
            if after.headers.get(id) != Some(header) {
                return broken(ACKNOWLEDGED, format!("the record {id} is not as it was"));
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

    fn judge_act(
        &self,
        by: Operation,
        header: &SignOut,
        after: &Snapshot,
        now: Timestamp,
    ) -> Judged {
        let caller = by.caller().map(|member| &self.account.devices[member]);
        if header.by.as_ref().map(|by| by.id) != caller.map(|caller| caller.id) {
            return broken(EXPLAINED, "the record names another device");
        }
        if let Some(caller) = caller {
            let may = if header.scope == Scope::Local {
                // Its own row is all that it changes: an end of the epoch in
                // between has refused it already, and loses nothing by it.
                self.seen
                    .device_of(caller.session)
                    .is_some_and(|device| device.state == DeviceState::SignedIn)
            } else {
                self.seen.is_valid(caller.session, now)
            };
            if !may {
                return broken(CALLER, format!("{by:?} by an ended session"));
            }
        }
        match &header.target {
            SignOutTarget::One(EndedSession {
                device, session, ..
            }) => {
                let same = after.headers.values().filter(
                    |other| matches!(&other.target, SignOutTarget::One(one) if one.session == *session),
                );
                if same.count() != 1 {
                    return broken(SETTLED, "two records end one session");
                }
                let is_named = match by {
                    Operation::SignOutThis(_) => caller.is_some_and(|by| by.session == *session),
                    // Whatever session the device had when it was decided.
                    Operation::SignOutOne(_, target) => {
                        let is_target = match target {
                            Target::Device(member) => self.account.devices[member].id == *device,
                            Target::Newest => {
                                self.account.devices.iter().all(|known| known.id != *device)
                            }
                        };
                        is_target && self.seen.session_of(*device) == Some(*session)
                    }
                    _ => false,
                };
                if !is_named {
                    return broken(EXPLAINED, "the record names a session that was not meant");
                }
            }
            SignOutTarget::Epoch { ended, kept } => {
                let keeps = matches!(
                    by,
                    Operation::SignOutOthers(_) | Operation::ChangePasswordKeeping(_)
                );
                let wanted = caller.filter(|_| keeps).map(|caller| caller.session);
                if *kept != wanted || after.account.kept_session != wanted {
                    return broken(EXPLAINED, "another session was kept");
                }
                if *ended != self.seen.account.epoch || after.account.epoch != ended.next() {
                    return broken(COUNTED, format!("{by:?} ended {ended:?} twice"));
                }
            }
        }
        Ok(())
    }

    fn judge_lives(
        &mut self,
        by: Operation,
        header: Option<&SignOut>,
        after: &Snapshot,
        now: Timestamp,
    ) -> Judged {
        for (session, life) in &mut self.lives {
            let (was, is) = (!life.is_over, after.is_valid(*session, now));
            if !was && is {
                return broken(MONOTONE, format!("{session} by {by:?}"));
            }
            if was && !is {
                let is_ended = header.is_some_and(|header| header.ends(*session, life.facts.epoch));
                let is_replaced = by.is_sign_in()
                    && after.device_of(*session).is_none()
                    && self.seen.device_of(*session).is_some_and(|device| {
                        matches!(by, Operation::SignInAgain(member)
                            if self.account.devices[member].id == device.id)
                    });
                if !is_ended && !is_replaced {
                    return broken(EXPLAINED, format!("{session} ended by {by:?}"));
                }
                life.is_over = true;
                life.ended_by = header.filter(|_| is_ended).map(|header| header.id);
            }
            if is && header.is_some_and(|header| header.ends(*session, life.facts.epoch)) {
                return broken(ACKNOWLEDGED, format!("{session} outlived {by:?}"));
            }
        }
        for device in after.devices.values() {
            if self.lives.contains_key(&device.session) {
                continue;
            }
            let is_valid = after.is_valid(device.session, now);
            let is_dead_at_birth =
                device.epoch < after.account.epoch || after.account.disabled_at.is_some();
            if !by.is_sign_in() || !(is_valid || is_dead_at_birth) {
                return broken(EXPLAINED, format!("{by:?} made a session"));
            }
            let life = Life::new(device, after, now);
            self.lives.insert(device.session, life);
        }
        Ok(())
    }

    fn judge_rows(&self, by: Operation, after: &Snapshot) -> Judged {
        let epoch_ends = after.epoch_ends();
        for (id, device) in &after.devices {
            let changed = self.seen.rows.get(id) != after.rows.get(id);
            let before = self.seen.devices.get(id);
            if let Some(before) = before.filter(|_| changed) {
                let was_out = before.state != DeviceState::SignedIn;
                if was_out && !(by.is_sign_in() && before.session != device.session) {
                    return broken(SETTLED, format!("{by:?} changed a signed-out row"));
                }
                if let Operation::Touch(member) = by
                    && self.account.devices[member].session != device.session
                {
                    return broken(EXPLAINED, "a touch of another session");
                }
                if device.session != before.session && !by.is_sign_in() {
                    return broken(EXPLAINED, format!("{by:?} changed a row's session"));
                }
            }
            if device.last_active_at < device.signed_in_at
                || device.signed_in_at < device.first_signed_in_at
            {
                return broken(TIMES, format!("{by:?} on {id}"));
            }
            let first = first_to_end(&epoch_ends, device.session, device.epoch);
            match &device.state {
                DeviceState::SignedIn => {
                    let is_left = device.epoch != after.account.epoch
                        && after.account.kept_session != Some(device.session);
                    if is_left && first.is_none() {
                        return broken(ATTRIBUTED, "an ended session that no record ended");
                    }
                }
                DeviceState::SignedOut(ended) => {
                    let Some(header) = after.headers.get(&ended.sign_out) else {
                        return broken(ATTRIBUTED, "a row names no record");
                    };
                    let is_its_own = match &header.target {
                        SignOutTarget::One(one) => *one == EndedSession::from(device),
                        SignOutTarget::Epoch { .. } => {
                            first.map(|first| first.id) == Some(header.id)
                        }
                    };
                    if !is_its_own || *ended != header.end_info() {
                        return broken(ATTRIBUTED, format!("{by:?} on {id}"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Parts appear and move forward, each about a session that its sign-out ended;
    /// a row that tells of a contact has it in a receipt.
    fn judge_parts(&self, by: Operation, after: &Snapshot) -> Judged {
        for (key, before) in &self.seen.parts {
            let Some(part) = after.parts.get(key) else {
                return broken(FORWARD, format!("{by:?} took a part away"));
            };
            let stays = |was: Option<Timestamp>, is: Option<Timestamp>| was.is_none() || was == is;
            let is_as_it_was = part.session == before.session
                && part.refused_at == before.refused_at
                && stays(before.pushed_at, part.pushed_at)
                && stays(before.contacted_at, part.contacted_at)
                && stays(before.acknowledged_at, part.acknowledged_at);
            if !is_as_it_was {
                return broken(FORWARD, format!("{by:?} changed a part"));
            }
        }
        for ((sign_out, _), part) in &after.parts {
            let is_of = |header: &SignOut| match &header.target {
                SignOutTarget::One(one) => *one == part.session,
                SignOutTarget::Epoch { .. } => self
                    .lives
                    .values()
                    .any(|life| life.ended_by == Some(header.id) && life.facts == part.session),
            };
            let header = after.headers.get(sign_out);
            if !header.is_some_and(|header| is_of(header) && part.refused_at == header.at) {
                return broken(PART, format!("{by:?} on {}", part.session.device));
            }
        }
        for (id, device) in &after.devices {
            let before = self.seen.devices.get(id);
            let before = before.filter(|before| before.session == device.session);
            let noted = before.and_then(|before| before.contacted_at);
            if noted.is_some() && device.contacted_at != noted {
                return broken(FORWARD, format!("{by:?} changed when {id} was in contact"));
            }
            if device.contacted_at.is_some() && !self.is_contact_kept(device.session, after) {
                return broken(
                    CONTACTED,
                    format!("{by:?} noted one of {id} that is nowhere"),
                );
            }
        }
        Ok(())
    }

    /// Whether a receipt tells that the session was in contact since its end. A
    /// session that a sign-out of many has ended can be signed out by its own
    /// device once more, in flight since before; either record may have it. When
    /// one sign-out ended two sessions of a device in a row, one part is for both.
    fn is_contact_kept(&self, session: SessionId, seen: &Snapshot) -> bool {
        let Some(life) = self.lives.get(&session).filter(|life| life.is_over) else {
            return false;
        };
        seen.parts.iter().any(|((sign_out, device), part)| {
            let is_its_own = life.ended_by == Some(*sign_out) || part.session == life.facts;
            *device == life.facts.device && is_its_own && part.contacted_at.is_some()
        })
    }

    /// The receipt of a sign-out, by the history.
    #[must_use]
    pub fn receipt_of(&self, sign_out: &SignOut) -> Receipt {
        let mut parts: BTreeMap<DeviceId, ReceiptEntry> = BTreeMap::new();
        let mut add = |facts: &EndedSession| {
            parts.insert(
                facts.device,
                ReceiptEntry::refused(facts.clone(), sign_out.at),
            );
        };
        match &sign_out.target {
            SignOutTarget::One(one) => add(one),
            SignOutTarget::Epoch { .. } => {
                for (session, life) in &self.lives {
                    let is_there = self.seen.device_of(*session).is_some();
                    if life.ended_by == Some(sign_out.id) && is_there && !self.has_own_end(*session)
                    {
                        add(&life.facts);
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

    /// Whether a record of its own says that it is over.
    fn has_own_end(&self, session: SessionId) -> bool {
        self.seen.headers.values().any(
            |header| matches!(&header.target, SignOutTarget::One(one) if one.session == session),
        )
    }

    /// Judges the receipts, as the history has them, and as they are read if they
    /// were.
    ///
    /// # Errors
    /// The rule that was broken.
    pub fn receipts(&self, read: &BTreeMap<SignOutId, Option<Receipt>>) -> Judged {
        for life in self.lives.values() {
            let Some(header) = life.ended_by.and_then(|id| self.seen.headers.get(&id)) else {
                continue;
            };
            let device = life.facts.device;
            let mut parts = self.receipt_of(header).entries.into_iter();
            // Its own record has it.
            let has_own_end = self.has_own_end(life.facts.session);
            if !has_own_end && !parts.any(|part| part.session.device == device) {
                return broken(KEPT, format!("{device} is not in that of {}", header.id));
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

    /// Judges that the first refusal of each of these sessions is in a receipt.
    ///
    /// # Errors
    /// One is not.
    pub fn contacts(&self, token: &str, engine: &Engine) -> Judged {
        let hash = Token::parse(token).expect("a token of ours").hash();
        let seen = Snapshot::read(engine)?;
        self.judge_parts(Operation::Check(0), &seen)?;
        let session = seen
            .devices
            .values()
            .find(|device| device.token_hash == hash)
            .map(|device| device.session);
        match session {
            Some(session) if self.lives[&session].is_over => {
                let row = seen.device_of(session).expect("its row");
                if row.contacted_at.is_none() || !self.is_contact_kept(session, &seen) {
                    return broken(CONTACTED, format!("that of {session} is nowhere"));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// All that the reading of a receipt goes by, and the history that it is judged
    /// by, with numbers in the place of what is drawn at random: receipts of one
    /// shape are read alike.
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
            let is_noted = usize::from(device.contacted_at.is_some());
            shape.extend([name(device.session), epoch(device.epoch), state, is_noted]);
        }
        for header in self.seen.headers.values() {
            match &header.target {
                SignOutTarget::One(one) => {
                    shape.extend([1, devices[&one.device], name(one.session)])
                }
                SignOutTarget::Epoch { ended, kept } => {
                    shape.extend([2, epoch(*ended), kept.map_or(usize::MAX, &mut name)]);
                }
            }
        }
        for ((sign_out, device), part) in &self.seen.parts {
            let is_contacted = usize::from(part.contacted_at.is_some());
            let session = name(part.session.session);
            shape.extend([headers[sign_out], devices[device], session, is_contacted]);
        }
        let life = |(session, life): (&SessionId, &Life)| {
            let ended_by = life.ended_by.map_or(usize::MAX, |id| headers[&id]);
            let is_there = usize::from(self.seen.device_of(*session).is_some());
            let of = (devices[&life.facts.device], epoch(life.facts.epoch));
            (of, usize::from(life.is_over), ended_by, is_there)
        };
        let mut lives: Vec<_> = self.lives.iter().map(life).collect();
        lives.sort_unstable();
        for ((device, epoch), is_over, ended_by, is_there) in lives {
            shape.extend([device, epoch, is_over, ended_by, is_there]);
        }
        shape
    }

    /// Judges what the callers were told, when everything is done.
    ///
    /// # Errors
    /// The rule that was broken.
    pub fn told(&self, all: &[Ran], hasher: &mut Hasher, now: Timestamp) -> Judged {
        for ran in all {
            if let Some(outcome) = &ran.outcome {
                self.judge_outcome(ran, outcome, now)?;
            }
        }
        for header in self.seen.headers.values() {
            for (session, life) in &self.lives {
                if header.ends(*session, life.facts.epoch) && self.seen.is_valid(*session, now) {
                    return broken(ACKNOWLEDGED, format!("{session} outlived {}", header.id));
                }
            }
        }
        let mut opens = |password: &str| {
            let password = Password::parse(password).expect("a password");
            let verdict = hasher.verify(&password, Some(&self.seen.account.password_hash));
            matches!(verdict, PasswordCheck::Match { .. })
        };
        if !opens(&self.password) {
            return broken(
                ACKNOWLEDGED,
                "the password is not the last one that was set",
            );
        }
        if self.password != self.account.password && opens(&self.account.password) {
            return broken(ACKNOWLEDGED, "the old password opens");
        }
        Ok(())
    }

    fn judge_outcome(&self, ran: &Ran, outcome: &Outcome, now: Timestamp) -> Judged {
        let operation = ran.operation;
        let caller = operation
            .caller()
            .map(|member| self.account.devices[member].session);
        let is_over_now = |session: SessionId| !self.seen.is_valid(session, now);
        match outcome {
            Outcome::SignedIn { token, device } => {
                let token = Token::parse(token).expect("a token of ours");
                let hash = token.hash();
                if !self
                    .lives
                    .values()
                    .any(|life| life.facts.token_hash == hash)
                {
                    return broken(ACKNOWLEDGED, "a sign-in was never written");
                }
                if let Operation::SignInAgain(member) = operation
                    && *device != self.account.devices[member].id
                {
                    return broken(ACKNOWLEDGED, "the same device has two rows");
                }
            }
            Outcome::SignedOut { id, scope } => {
                let Some(header) = self.seen.headers.get(id) else {
                    return broken(ACKNOWLEDGED, format!("{operation:?} has no record"));
                };
                if header.scope != *scope {
                    return broken(ATTRIBUTED, "the answer tells another scope");
                }
                let wanted: BTreeSet<SessionId> = match operation {
                    Operation::SignOutThis(_) => caller.into_iter().collect(),
                    Operation::SignOutOne(..) => ran.target.into_iter().collect(),
                    Operation::SignOutOthers(_) | Operation::ChangePasswordKeeping(_) => ran
                        .valid_before
                        .iter()
                        .copied()
                        .filter(|session| Some(*session) != caller)
                        .collect(),
                    _ => ran.valid_before.clone(),
                };
                if let Some(alive) = wanted.into_iter().find(|session| !is_over_now(*session)) {
                    return broken(ACKNOWLEDGED, format!("{alive} outlived {operation:?}"));
                }
            }
            Outcome::Passed => match operation {
                Operation::Touch(_) | Operation::Check(_)
                    if caller.is_some_and(|caller| !ran.valid_before.contains(&caller)) =>
                {
                    return broken(REFUSED, format!("{operation:?}"));
                }
                Operation::Touch(_) | Operation::Check(_) => {}
                Operation::Sweep(_) => {
                    if let Some((sign_out, to_mark)) = &ran.to_mark
                        && !self.seen.unmarked(*sign_out).is_disjoint(to_mark)
                    {
                        return broken(ACKNOWLEDGED, "a session was not marked");
                    }
                }
                _ if self.seen.account.disabled_at.is_none() => {
                    return broken(ACKNOWLEDGED, "the account is not disabled");
                }
                _ => {}
            },
            Outcome::Refused { status, problem } => {
                self.judge_refusal(ran, *status, problem, now)?;
            }
        }
        Ok(())
    }

    fn judge_refusal(&self, ran: &Ran, status: i64, problem: &str, now: Timestamp) -> Judged {
        let operation = ran.operation;
        let caller = operation
            .caller()
            .map(|member| &self.account.devices[member]);
        let is_over = caller.is_none_or(|caller| !self.seen.is_valid(caller.session, now));
        let is_replaced =
            caller.is_some_and(|caller| self.seen.device_of(caller.session).is_none());
        let password_changed = self.password != self.account.password;
        if let Some(caller) = caller {
            let is_told = problem == "session-signed-out";
            let row = self.seen.device_of(caller.session);
            let is_noted = row.is_none_or(|row| row.contacted_at.is_some());
            // One who is not told why may have been replaced before: a stranger.
            let is_due = is_told || status == 403 && problem.is_empty() && row.is_some();
            if is_due && !(is_noted && self.is_contact_kept(caller.session, &self.seen)) {
                return broken(CONTACTED, format!("that of {operation:?} is nowhere"));
            }
        }
        let is_right = match (operation, status, problem) {
            (_, 503, _) => return broken(AVAILABLE, format!("{operation:?}")),
            (_, 401, "credentials-invalid") => {
                operation.is_sign_in()
                    && (password_changed || self.seen.account.disabled_at.is_some())
            }
            (Operation::Check(_), 403, "") | (_, 401, "session-signed-out") => is_over,
            (_, 401, "token-invalid") => is_over && is_replaced,
            (_, 403, "credentials-invalid") => {
                operation.is_change_of_password() && password_changed
            }
            (Operation::SignOutOne(_, Target::Newest), 404, "device-not-found") => {
                ran.target.is_none()
            }
            _ => false,
        };
        if is_right {
            Ok(())
        } else {
            broken(
                ADMITTED,
                format!("{operation:?} was told {status} {problem}"),
            )
        }
    }

    /// How the sessions of some tokens stand.
    #[must_use]
    pub fn end_of(&self, tokens: &[&str], now: Timestamp) -> Vec<End> {
        tokens
            .iter()
            .map(|token| {
                let hash = Token::parse(token).expect("a token of ours").hash();
                let mut devices = self.seen.devices.values();
                let Some(device) = devices.find(|device| device.token_hash == hash) else {
                    return End::Replaced;
                };
                match session_status(&self.seen.account, device, &Limits::default(), now) {
                    SessionStatus::SignedIn => End::Valid,
                    SessionStatus::SignedOut(_) => End::SignedOut,
                    SessionStatus::EndedByEpoch => End::LeftBehind,
                    SessionStatus::Expired => End::Expired,
                }
            })
            .collect()
    }

    /// Judges whether the holder of a token is let in, now that all is quiet.
    ///
    /// # Errors
    /// The rule that was broken.
    pub fn probed(&self, token: &str, outcome: &Outcome, now: Timestamp) -> Judged {
        let hash = Token::parse(token).expect("a token of ours").hash();
        let is_valid = self.lives.iter().any(|(session, life)| {
            life.facts.token_hash == hash && self.seen.is_valid(*session, now)
        });
        match (is_valid, outcome) {
            (true, Outcome::Passed) | (false, Outcome::Refused { status: 403, .. }) => Ok(()),
            (true, _) => broken(ADMITTED, format!("a valid token was told {outcome:?}")),
            (false, _) => broken(REFUSED, format!("an ended token was told {outcome:?}")),
        }
    }

    /// Judges the tables once the account was enabled again.
    ///
    /// # Errors
    /// A session came back.
    pub fn enabled(&self, engine: &Engine, now: Timestamp) -> Judged {
        let after = Snapshot::read(engine)?;
        match after.valid(now).into_iter().next() {
            Some(session) => broken(MONOTONE, format!("enabling revived {session}")),
            None => Ok(()),
        }
    }
}

fn text<'a>(row: &'a Item, name: &str) -> Option<&'a str> {
    match row.get(name)? {
        AttributeValue::S(text) => Some(text),
        _ => None,
    }
}

fn number<T: std::str::FromStr>(row: &Item, name: &str) -> Option<T> {
    match row.get(name)? {
        AttributeValue::N(digits) => digits.parse().ok(),
        _ => None,
    }
}

fn moment(row: &Item, name: &str) -> Option<Timestamp> {
    Timestamp::from_millisecond(number(row, name)?).ok()
}

fn bytes(row: &Item, name: &str) -> Option<[u8; 32]> {
    match row.get(name)? {
        AttributeValue::B(bytes) => bytes.as_slice().try_into().ok(),
        _ => None,
    }
}

fn id<T: std::str::FromStr>(row: &Item, name: &str) -> Option<T> {
    text(row, name)?.parse().ok()
}

fn by(row: &Item, id_name: &str, name: &str) -> Option<ByDevice> {
    Some(ByDevice {
        id: id(row, id_name)?,
        name: text(row, name)?.to_owned(),
    })
}

fn read_account(row: &Item) -> Option<Account> {
    Some(Account {
        id: id(row, "account_id")?,
        email: text(row, "email")?.to_owned(),
        password_hash: StoredHash::parse(text(row, "password_hash")?).ok()?,
        epoch: Epoch(number(row, "epoch")?),
        kept_session: id(row, "kept_session"),
        disabled_at: moment(row, "disabled_at"),
        created_at: moment(row, "created_at")?,
    })
}

fn read_device(row: &Item) -> Option<Device> {
    let state = match text(row, "state")? {
        "signed_in" => DeviceState::SignedIn,
        "signed_out" => DeviceState::SignedOut(EndInfo {
            at: moment(row, "signed_out_at")?,
            by: by(row, "signed_out_by", "signed_out_by_name"),
            reason: Reason::parse(text(row, "reason")?)?,
            scope: Scope::parse(text(row, "scope")?)?,
            sign_out: id(row, "sign_out_id")?,
        }),
        _ => return None,
    };
    Some(Device {
        account: id(row, "account_id")?,
        id: id(row, "device_id")?,
        info: DeviceInfo {
            device_type: DeviceType::parse(text(row, "device_type")?)?,
            name: text(row, "device_name")?.to_owned(),
            ..DeviceInfo::default()
        },
        own_name: None,
        place: Place::default(),
        session: id(row, "session_id")?,
        token_hash: TokenHash::from_bytes(bytes(row, "token_hash")?),
        key_hash: DeviceKeyHash::from_bytes(bytes(row, "device_key_hash")?),
        previous_key_hash: None,
        epoch: Epoch(number(row, "epoch")?),
        first_signed_in_at: moment(row, "first_signed_in_at")?,
        signed_in_at: moment(row, "signed_in_at")?,
        verified_at: moment(row, "verified_at")?,
        last_active_at: moment(row, "last_active_at")?,
        expires_at: moment(row, "expires_at")?,
        state,
        contacted_at: moment(row, "contacted_at"),
    })
}

fn read_ended(row: &Item) -> Option<EndedSession> {
    Some(EndedSession {
        device: id(row, "device_id")?,
        session: id(row, "session_id")?,
        epoch: Epoch(number(row, "epoch")?),
        token_hash: TokenHash::from_bytes(bytes(row, "token_hash")?),
        name: text(row, "device_name")?.to_owned(),
        device_type: DeviceType::parse(text(row, "device_type")?)?,
    })
}

fn read_part(row: &Item) -> Option<(SignOutId, ReceiptEntry)> {
    let (sign_out, device) = text(row, "sign_out_id")?.split_once('#')?;
    let part = ReceiptEntry {
        session: read_ended(row)?,
        refused_at: moment(row, "refused_at")?,
        pushed_at: moment(row, "pushed_at"),
        contacted_at: moment(row, "contacted_at"),
        acknowledged_at: moment(row, "acknowledged_at"),
    };
    (device == part.session.device.to_string()).then_some((sign_out.parse().ok()?, part))
}

fn read_header(row: &Item) -> Option<SignOut> {
    let target = match number(row, "ended_epoch") {
        Some(ended) => SignOutTarget::Epoch {
            ended: Epoch(ended),
            kept: id(row, "kept_session"),
        },
        None => SignOutTarget::One(read_ended(row)?),
    };
    Some(SignOut {
        account: id(row, "account_id")?,
        id: id(row, "sign_out_id")?,
        scope: Scope::parse(text(row, "scope")?)?,
        reason: Reason::parse(text(row, "reason")?)?,
        at: moment(row, "requested_at")?,
        by: by(row, "requested_by", "requested_by_name"),
        target,
    })
}
