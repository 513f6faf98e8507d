//! The checks of one write.

use domain::address_change::AddressChange;
use domain::device::DeviceState;
use domain::factors::AccountFactor;
use domain::limits::ENDING_ACTS_PER_HOUR;
use domain::{
    Device, DeviceId, EndedSession, Epoch, Scope, SessionId, SignOut, SignOutTarget, Step,
    Timestamp, Token,
};
use dynoxide::Item;
use jiff::SignedDuration;

use super::rows::signed_in_key;
use super::rules::{
    ACKNOWLEDGED, ADDRESS, ATTRIBUTED, CALLER, CONTACTED, COUNTED, Checked, EXPLAINED, FACTORS,
    FORWARD, INDEXED, LIMITED, MONOTONE, ONCE, PART, ROTATED, SETTLED, TIMES, broken,
};
use super::snapshot::{ended_epoch, first_to_end};
use super::{Oracle, Snapshot, TrackedSession};
use crate::races::operations::{Operation, Target};
use crate::races::second_steps::{code_hash, device_of, own_app};

impl Oracle<'_> {
    pub(super) fn check_act(
        &self,
        by: Operation,
        header: &SignOut,
        after: &Snapshot,
        now: Timestamp,
    ) -> Checked {
        let caller = by.caller().map(|member| &self.account.devices[member]);
        let signed_in = (by == Operation::SignInEndingOthers).then(|| {
            after
                .devices
                .values()
                .find(|it| !self.sessions.contains_key(&it.session))
        });
        let signed_in = signed_in.flatten();
        let expected = caller.map(|caller| caller.id);
        let expected = expected.or(signed_in.map(|device| device.id));
        if header.by.as_ref().map(|by| by.id) != expected {
            return broken(EXPLAINED, "the record names another device");
        }
        if let Some(caller) = caller {
            let may = if header.scope == Scope::Local {
                // It only changes its own row. A sign-out of many in between has ended the
                // session already, and loses nothing by it.
                self.seen
                    .device_of(caller.session)
                    .is_some_and(|device| device.state == DeviceState::SignedIn)
            } else {
                self.seen.is_valid(caller.session, now)
            };
            if !may {
                return broken(CALLER, format!("{by:?} by an ended session"));
            }
            let acts = |seen: &Snapshot| seen.devices[&caller.id].ending_acts.count;
            let counted = u32::from(!header.scope.includes_caller());
            let expected = acts(&self.seen) + counted;
            if counted == 1 && acts(after) != expected || expected > ENDING_ACTS_PER_HOUR {
                return broken(LIMITED, format!("{by:?} is act {expected}"));
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
                    // The session that the device had at the write.
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
                    return broken(EXPLAINED, "the record names another session");
                }
            }
            SignOutTarget::Epoch { ended, kept, .. } => {
                let keeps = matches!(
                    by,
                    Operation::SignOutOthers(_) | Operation::ChangePasswordKeeping(_)
                );
                let wanted = caller.filter(|_| keeps).map(|caller| caller.session);
                let wanted = wanted.or(signed_in.map(|device| device.session));
                if *kept != wanted || after.account.kept_session != wanted {
                    return broken(EXPLAINED, "another session was kept");
                }
                let is_next = match by {
                    Operation::Recover | Operation::UndoAddress | Operation::SignInEndingOthers => {
                        *ended > self.seen.account.epoch
                    }
                    _ => *ended == self.seen.account.epoch,
                };
                if !is_next || after.account.epoch != ended.next() {
                    return broken(COUNTED, format!("{by:?} ended {ended:?} twice"));
                }
            }
        }
        Ok(())
    }

    pub(super) fn check_sessions(
        &mut self,
        by: Operation,
        header: Option<&SignOut>,
        after: &Snapshot,
        now: Timestamp,
    ) -> Checked {
        for (session, tracked) in &mut self.sessions {
            let (was, is) = (!tracked.has_ended, after.is_valid(*session, now));
            if !was && is {
                return broken(MONOTONE, format!("{session} by {by:?}"));
            }
            if was && !is {
                let is_ended =
                    header.is_some_and(|header| header.ends(*session, tracked.session.epoch));
                let is_replaced = after.device_of(*session).is_none()
                    && self.seen.device_of(*session).is_some_and(|device| {
                        let known = &self.account.devices;
                        match by {
                            Operation::SignInAgain(member) => known[member].id == device.id,
                            Operation::CompleteSignIn(step, _) => {
                                device_of(step, self.account) == device.id
                            }
                            // The session of an earlier attempt.
                            _ => by.is_sign_in() && known.iter().all(|it| it.id != device.id),
                        }
                    });
                if !is_ended && !is_replaced {
                    return broken(EXPLAINED, format!("{session} ended by {by:?}"));
                }
                tracked.has_ended = true;
                tracked.ended_by = header.filter(|_| is_ended).map(|header| header.id);
            }
            if is && header.is_some_and(|header| header.ends(*session, tracked.session.epoch)) {
                return broken(ACKNOWLEDGED, format!("{session} outlived {by:?}"));
            }
        }
        for device in after.devices.values() {
            if self.sessions.contains_key(&device.session) {
                continue;
            }
            let is_valid = after.is_valid(device.session, now);
            let is_ended_at_birth =
                device.epoch < after.account.epoch || after.account.disabled_at.is_some();
            if !by.is_sign_in() || !(is_valid || is_ended_at_birth) {
                return broken(EXPLAINED, format!("{by:?} made a session"));
            }
            if let Operation::CompleteSignIn(challenge, code) = by {
                // An attempt whose answer was lost completes the same step twice, on one device.
                let of_other =
                    |(other, shown): &&(u8, u8)| (*other == challenge) != (*shown == code);
                let used = self.completed.iter().find(of_other);
                if used.is_some() || device.epoch != self.epoch {
                    return broken(ONCE, format!("{by:?} after {used:?}"));
                }
                self.completed.push((challenge, code));
            }
            let tracked = TrackedSession::new(device, after, now);
            self.sessions.insert(device.session, tracked);
        }
        Ok(())
    }

    pub(super) fn check_rows(
        &mut self,
        by: Operation,
        after: &Snapshot,
        now: Timestamp,
    ) -> Checked {
        let epoch_ends = after.epoch_ends();
        for (id, device) in &after.devices {
            let changed = self.seen.rows.get(id) != after.rows.get(id);
            let before = self.seen.devices.get(id);
            if let Some(before) = before.filter(|_| changed) {
                let was_out = before.state != DeviceState::SignedIn;
                let is_renamed = before.owner_name != device.owner_name;
                if was_out && !is_renamed && !(by.is_sign_in() && before.session != device.session)
                {
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
                let presented = by.caller().map(|member| {
                    let token = Token::parse(&self.account.devices[member].token);
                    token.expect("a token of ours").hash()
                });
                let caller = by.caller().filter(|_| by.is_verification());
                let is_of_caller =
                    caller.is_some_and(|by| self.account.devices[by].session == before.session);
                let is_verified = device.token_hash != before.token_hash
                    || device.verified_at != before.verified_at;
                if is_verified && device.session == before.session {
                    if !is_of_caller {
                        return broken(ROTATED, format!("{by:?} changed a token"));
                    }
                    if !self.seen.is_valid(before.session, now) {
                        return broken(ROTATED, format!("{by:?} of an ended session"));
                    }
                    if device.previous_token.map(|it| it.hash) != presented {
                        return broken(ROTATED, "the caller has lost its token");
                    }
                    if let Some(tracked) = self.sessions.get_mut(&device.session) {
                        tracked.replace_token(device);
                    }
                } else if device.previous_token != before.previous_token
                    && device.session == before.session
                {
                    // The first call with the new token ends the one before, and no other.
                    let is_ended = matches!((before.previous_token, device.previous_token),
                        (Some(was), Some(is)) if was.hash == is.hash && is.until < was.until);
                    if !is_ended || presented != Some(before.token_hash) {
                        return broken(ROTATED, format!("{by:?} changed the token before"));
                    }
                    self.superseded
                        .extend(before.previous_token.map(|it| it.hash));
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
                        return broken(ATTRIBUTED, "an ended session without a record");
                    }
                }
                DeviceState::SignedOut(ended) => {
                    let Some(header) = after.headers.get(&ended.sign_out) else {
                        return broken(ATTRIBUTED, "a row names no record");
                    };
                    let is_its_own = match &header.target {
                        SignOutTarget::One(one) => self.sessions[&device.session].is_in(one),
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

    /// Checks that a change of the address is made by a valid session or undone by the old
    /// mailbox, that the account's own address alone opens it, and that the one before a change
    /// is kept.
    pub(super) fn check_address(
        &mut self,
        by: Operation,
        after: &Snapshot,
        now: Timestamp,
    ) -> Checked {
        let (was, is) = (&self.seen.account, &after.account);
        let mut own = after.addresses.iter().filter(|(_, kept)| kept.is_none());
        let own = (own.next(), own.next());
        if !matches!(own, (Some((email, _)), None) if *email == is.email) {
            return broken(ADDRESS, format!("{by:?} left {own:?} for {}", is.email));
        }
        if was.email == is.email {
            return Ok(());
        }
        let undo_ends_at = is.address_change.as_ref().map(AddressChange::undo_ends_at);
        let kept_until = after.addresses.get(&was.email).copied().flatten();
        let is_right = match by {
            Operation::ChangeAddress(member) => {
                self.address_changes += 1;
                let session = self.account.devices[member].session;
                let is_held = was.address_change.is_some();
                self.seen.is_valid(session, now) && !is_held && kept_until == undo_ends_at
            }
            Operation::UndoAddress => {
                self.is_undone = true;
                let before = was.address_change.as_ref().map(|it| &it.previous);
                let is_void = is.password_hash != was.password_hash;
                before == Some(&is.email) && is_void && kept_until.is_some_and(|at| at <= now)
            }
            _ => false,
        };
        if is_right {
            Ok(())
        } else {
            broken(
                ADDRESS,
                format!("{by:?} made {} of {}", is.email, was.email),
            )
        }
    }

    /// Checks that only a valid session adds or removes an app, in its epoch, and that a report of
    /// a lost one removes it after the wait.
    pub(super) fn check_factors(&self, by: Operation, after: &Snapshot, now: Timestamp) -> Checked {
        let (was, is) = (&self.seen.account, &after.account);
        if was.sign_in_codes != is.sign_in_codes {
            let is_off = matches!(by, Operation::TurnOffCodes(_)) && !is.sign_in_codes;
            if !is_off || !self.is_by_valid(by, now) {
                return broken(
                    FACTORS,
                    format!("{by:?} turned codes at sign-ins on or off"),
                );
            }
        }
        self.check_entry_past_app(by, after)?;
        if was.factors == is.factors {
            return Ok(());
        }
        let added = is.factors.strip_prefix(was.factors.as_slice());
        let is_right = match (by, added) {
            (Operation::ConfirmApp(_), Some([added])) => {
                self.is_by_valid(by, now) && added.epoch == was.epoch
            }
            (Operation::RemoveApp(_), None) => {
                let kept = was.factors.iter().filter(|it| it.id != own_app());
                self.is_by_valid(by, now) && kept.eq(&is.factors)
            }
            (Operation::SignIn | Operation::Recover, None) => {
                let lost_at = was.factors_lost_at;
                let since = |hours, at| now.duration_since(at) >= SignedDuration::from_hours(hours);
                let is_lost = |it: &AccountFactor| lost_at.is_some_and(|at| it.added_at <= at);
                // A recovery ends every factor that has not settled.
                let is_settled = |it: &AccountFactor| {
                    let is_old = it.notified_at.is_some_and(|at| since(7 * 24, at));
                    is_old || by != Operation::Recover
                };
                let is_over = lost_at.is_some_and(|at| since(72, at));
                let left: Vec<_> = was.factors.iter().filter(|it| !is_lost(it)).collect();
                let mut kept = left.iter().filter(|it| is_settled(it));
                is_over
                    && is.factors.iter().all(|it| left.contains(&it))
                    && kept.all(|it| is.factors.contains(it))
            }
            _ => false,
        };
        if is_right {
            Ok(())
        } else {
            broken(
                FACTORS,
                format!("{by:?} made {:?} of {:?}", is.factors, was.factors),
            )
        }
    }

    /// Checks that neither the password alone nor the mailbox alone gets past the account's app.
    fn check_entry_past_app(&self, by: Operation, after: &Snapshot) -> Checked {
        let has_app = after.account.factors.iter().any(|it| it.id == own_app());
        let is_entry = if by == Operation::Recover {
            after.account.epoch != self.seen.account.epoch
        } else {
            let mut devices = after.devices.values();
            let is_new = |it: &Device| self.seen.device_of(it.session).is_none();
            by.is_sign_in_by_password() && devices.any(is_new)
        };
        if has_app && is_entry {
            return broken(FACTORS, format!("{by:?} got past the app"));
        }
        Ok(())
    }

    /// Checks that each mailed code reports a lost app once and in its epoch, that a second report
    /// keeps the time, and that only a factor, the removal or a recovery ends the report.
    pub(super) fn check_lost(
        &mut self,
        by: Operation,
        after: &Snapshot,
        now: Timestamp,
    ) -> Checked {
        let (was, is) = (&self.seen.account, &after.account);
        let uses_code = after.codes.len() < self.seen.codes.len();
        let is_right = match (was.factors_lost_at, is.factors_lost_at, by) {
            (Some(_), Some(_), Operation::Recover) if was.epoch != is.epoch => false,
            (before, now, _) if before == now => true,
            (None, Some(_), Operation::ReportLost(code)) => {
                let is_new = !self.reported.contains(&code);
                self.reported.push(code);
                is_new && was.epoch == self.epoch
            }
            (Some(_), None, Operation::CompleteSignIn(..)) => {
                self.was_stopped = true;
                was.epoch == self.epoch && uses_code
            }
            (Some(_), None, Operation::VerifyByCode(..)) => {
                self.was_stopped = true;
                self.is_by_valid(by, now) && uses_code
            }
            (Some(at), None, Operation::SignIn) => {
                let is_over = now.duration_since(at) >= SignedDuration::from_hours(72);
                // Or its owner has removed the app, and only the report is left.
                is_over && (is.factors.is_empty() || was.factors != is.factors)
            }
            (Some(_), None, Operation::Recover) => true,
            _ => false,
        };
        if is_right {
            Ok(())
        } else {
            broken(FACTORS, format!("{by:?} changed the report of a lost app"))
        }
    }

    /// Checks that each recovery code is used up when it proves something, that only a valid
    /// session makes new ones, and that a recovery ends all.
    pub(super) fn check_codes(
        &mut self,
        by: Operation,
        after: &Snapshot,
        now: Timestamp,
    ) -> Checked {
        let (was, is) = (&self.seen.codes, &after.codes);
        let used = match by {
            Operation::CompleteSignIn(_, code) | Operation::VerifyByCode(_, code) => {
                Some(code_hash(self.account.id, code))
            }
            _ => None,
        };
        if was != is {
            let is_used = |code: &String| {
                let mut left = was.clone();
                left.remove(code) && left == *is
            };
            let is_right = match by {
                Operation::MakeCodes(_) => self.is_by_valid(by, now),
                Operation::Recover => is.is_empty(),
                _ => used.as_ref().is_some_and(is_used),
            };
            if !is_right {
                return broken(ONCE, format!("{by:?} made {is:?} of {was:?}"));
            }
            if used.is_some() {
                self.has_used_code.push(by);
            }
            self.codes_made += usize::from(matches!(by, Operation::MakeCodes(_)));
        }
        let has_recovered = after.account.epoch != self.seen.account.epoch;
        if by == Operation::Recover && has_recovered && !is.is_empty() {
            return broken(ONCE, "recovery codes outlived a recovery");
        }
        let has_entered = |(id, device): (&DeviceId, &Device)| {
            let before = self.seen.devices.get(id);
            before.is_none_or(|before| before.token_hash != device.token_hash)
        };
        let is_proof = used.is_some() && after.devices.iter().any(has_entered);
        // A second step is taken before the session is written, and a verification is one write.
        let is_used = if by.is_verification() {
            was != is
        } else {
            self.has_used_code.contains(&by)
        };
        if is_proof && !is_used {
            return broken(ONCE, format!("{by:?} by a code that was used up"));
        }
        Ok(())
    }

    /// Returns whether the session of the caller is valid.
    fn is_by_valid(&self, by: Operation, now: Timestamp) -> bool {
        let caller = by.caller().map(|member| &self.account.devices[member]);
        caller.is_some_and(|caller| self.seen.is_valid(caller.session, now))
    }

    /// Checks that each row is in the index until a write has ended its session, by the
    /// last epoch that the session can be valid in; and that each sign-out of many has
    /// its record.
    pub(super) fn check_index(by: Operation, after: &Snapshot) -> Checked {
        let ends = after.epoch_ends();
        for (id, device) in &after.devices {
            let first = first_to_end(&ends, device.session, device.epoch);
            let last = first.map_or(after.account.epoch, |first| epoch_at(&ends, first));
            let expected =
                (device.state == DeviceState::SignedIn).then(|| format!("{:020}#{id}", last.0));
            if signed_in_key(&after.rows[id]) != expected.as_deref() {
                return broken(INDEXED, format!("{by:?} on {id}: not {expected:?}"));
            }
        }
        let records = after.records.iter().map(|(ended, record)| (*ended, record));
        if !records.eq(ends.iter().map(|end| (ended_epoch(end), end))) {
            return broken(COUNTED, format!("{by:?}: another record than its header"));
        }
        Ok(())
    }

    /// Checks that only a rename changes a name, and not after it was answered.
    pub(super) fn check_names(&mut self, by: Operation, after: &Snapshot) -> Checked {
        for (id, device) in &after.devices {
            let before = self.seen.devices.get(id);
            let Some(before) = before.filter(|it| it.owner_name != device.owner_name) else {
                continue;
            };
            let (Operation::Rename(_, of), Some(name)) = (by, &device.owner_name) else {
                return broken(ACKNOWLEDGED, format!("{by:?} lost the name of {id}"));
            };
            let same_but_named = |row: &Item| {
                let mut row = row.clone();
                row.remove("owner_name");
                row.remove("last_write");
                row
            };
            let (old, new) = (&self.seen.rows[id], &after.rows[id]);
            if self.account.devices[of].id != *id || same_but_named(old) != same_but_named(new) {
                return broken(EXPLAINED, format!("{by:?} changed {id}"));
            }
            if self.is_replay {
                return broken(ACKNOWLEDGED, format!("{by:?} undid a later rename"));
            }
            let names = self.names.entry(*id).or_default();
            if !names.contains(name) {
                names.push(name.clone());
            }
            if let Some(tracked) = self.sessions.get_mut(&device.session) {
                tracked.earlier_names.push(before.name().to_owned());
                device.name().clone_into(&mut tracked.session.name);
            }
        }
        Ok(())
    }

    /// Checks that receipt entries only move forward and belong to sessions that their
    /// sign-out ended, and that the contact in a row is in a receipt.
    pub(super) fn check_parts(&self, by: Operation, after: &Snapshot) -> Checked {
        for (key, before) in &self.seen.parts {
            let Some(part) = after.parts.get(key) else {
                return broken(FORWARD, format!("{by:?} removed an entry"));
            };
            let stays = |was: Option<Timestamp>, is: Option<Timestamp>| was.is_none() || was == is;
            let is_as_it_was = part.session == before.session
                && part.refused_at == before.refused_at
                && stays(before.seen_at, part.seen_at)
                && stays(before.notified_at, part.notified_at)
                && stays(before.wiped_at, part.wiped_at);
            if !is_as_it_was {
                return broken(FORWARD, format!("{by:?} changed an entry"));
            }
        }
        for ((sign_out, _), part) in &after.parts {
            let is_of = |header: &SignOut| match &header.target {
                SignOutTarget::One(one) => {
                    let tracked = self.sessions.get(&one.session);
                    tracked.is_some_and(|it| it.is_in(one) && it.is_in(&part.session))
                }
                SignOutTarget::Epoch { .. } => self.sessions.values().any(|tracked| {
                    tracked.ended_by == Some(header.id) && tracked.is_in(&part.session)
                }),
            };
            let header = after.headers.get(sign_out);
            if !header.is_some_and(|header| is_of(header) && part.refused_at == header.at) {
                return broken(PART, format!("{by:?} on {}", part.session.device));
            }
        }
        for (id, device) in &after.devices {
            let before = self.seen.devices.get(id);
            let before = before.filter(|before| before.session == device.session);
            for contact in [Step::Seen, Step::Notified] {
                let noted = before.and_then(|before| contact_at(before, contact));
                if noted.is_some() && contact_at(device, contact) != noted {
                    return broken(FORWARD, format!("{by:?} changed the contact of {id}"));
                }
                let is_noted = device.has_contact(contact);
                if is_noted && !self.is_contact_kept(device.session, contact, after) {
                    return broken(
                        CONTACTED,
                        format!("{by:?} recorded one of {id} that no receipt has"),
                    );
                }
            }
        }
        Ok(())
    }

    /// Returns whether a receipt has the contact of an ended session. A session that a
    /// sign-out of many has ended can be signed out once more by a request of its own
    /// device that began before; either receipt may have the contact. When one sign-out
    /// ended two sessions of a device, they share one entry.
    pub(super) fn is_contact_kept(
        &self,
        session: SessionId,
        contact: Step,
        seen: &Snapshot,
    ) -> bool {
        let Some(tracked) = self
            .sessions
            .get(&session)
            .filter(|tracked| tracked.has_ended)
        else {
            return false;
        };
        seen.parts.iter().any(|((sign_out, device), part)| {
            let is_its_own = tracked.ended_by == Some(*sign_out) || tracked.is_in(&part.session);
            let has_contact = match contact {
                Step::Seen => part.seen_at.is_some(),
                Step::Notified => part.notified_at.is_some(),
                Step::Wiped => part.wiped_at.is_some(),
            };
            *device == tracked.session.device && is_its_own && has_contact
        })
    }
}

/// Returns the epoch that the account had when a sign-out of many ended it. `ends` are in
/// the order of their epochs.
fn epoch_at(ends: &[SignOut], sign_out: &SignOut) -> Epoch {
    let before = ends.iter().rev().map(ended_epoch);
    let before = before.clone().find(|ended| *ended < ended_epoch(sign_out));
    before.map_or(Epoch::FIRST, Epoch::next)
}

fn contact_at(device: &Device, contact: Step) -> Option<Timestamp> {
    match contact {
        Step::Seen => device.seen_at,
        Step::Notified => device.notified_at,
        Step::Wiped => None,
    }
}
