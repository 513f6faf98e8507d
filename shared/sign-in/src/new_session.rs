//! The new session: its row and its secrets.

use device_info::{ClientHints, ReportedInfo};
use domain::device::{EndingActs, UnprovenActs};
use domain::recognition::recognized_until;
use domain::{
    Account, Device, DeviceInfo, DeviceKey, DeviceState, SessionId, SignOut, Timestamp, Token,
};
use http_api::Identified;
use zeroize::Zeroizing;

use crate::SignIn;
use crate::page::EndedEarlier;

/// The trust that a sign-in has earned.
#[derive(Debug, Clone, Copy)]
pub struct Trust {
    /// Whether its device is recognized.
    pub is_recognized: bool,
    /// The time from which it counts as a verification, if it does.
    pub verified_at: Option<Timestamp>,
}

/// A new session: the row to write, and the secrets to show.
pub struct NewSession {
    /// The row.
    pub row: Device,
    pub(crate) replaced: Option<Device>,
    pub(crate) token: Token,
    pub(crate) key: Zeroizing<String>,
    /// The session that the page's cookie has, if a sign-out has ended it.
    pub(crate) earlier: Option<EndedEarlier>,
    /// The sign-out of every other device.
    pub(crate) sign_out: Option<SignOut>,
}

impl NewSession {
    /// Creates a session for a device of the account.
    pub(crate) fn new(
        sign_in: &SignIn<'_>,
        (account, Identified { key, before }, trust): (&Account, Identified<'_>, Trust),
    ) -> Self {
        let token = Token::new(account.id, key.device_in(account.id), runtime::random());
        let mut row = new_row(sign_in, (account, key, before.as_ref()), &token, trust);
        if let Some(before) = &before
            && row.was_known(Some(before))
        {
            row.notice_session = before.notice_session;
        }
        Self {
            row,
            replaced: before,
            token,
            key: key.to_text(),
            earlier: None,
            sign_out: None,
        }
    }

    /// Makes it the one session that is left of the account.
    pub(crate) fn end_others(&mut self, account: &Account, sign_out: SignOut) {
        self.sign_out = Some(sign_out);
        self.row.epoch = account.epoch.after_jump();
        self.row.last_epoch = self.row.epoch;
    }
}

/// Returns the row of a session that begins now. Keeps the device's first sign-in and its names.
fn new_row(
    sign_in: &SignIn<'_>,
    (account, key, before): (&Account, &DeviceKey, Option<&Device>),
    token: &Token,
    trust: Trust,
) -> Device {
    let (request, now) = (sign_in.request, sign_in.now);
    let (info, reported_name) = describe(sign_in, before);
    let session = SessionId::from_random(runtime::random());
    Device {
        account: account.id,
        id: token.device(),
        info,
        owner_name: before.and_then(|row| row.owner_name.clone()),
        reported_name,
        place: request.place(),
        active_place: request.place(),
        session,
        notice_session: session,
        token_hash: token.hash(),
        key_hash: key.hash_in(account.id),
        epoch: account.epoch,
        last_epoch: account.epoch,
        first_signed_in_at: first_sign_in(before, now),
        signed_in_at: now,
        recognized_until: trust.is_recognized.then(|| recognized_until(now)),
        previous_token: None,
        verified_at: trust.verified_at,
        last_active_at: now,
        expires_at: sign_in.limits.expires_at(now),
        state: DeviceState::SignedIn,
        seen_at: None,
        notified_at: None,
        ending_acts: EndingActs::default(),
        // A sign-in by the password alone is no proof where the account has a factor.
        unproven_acts: before.map_or_else(UnprovenActs::default, |row| row.unproven_acts),
    }
}

/// Returns the time of the device's first sign-in. A request that began earlier may find
/// the row of its own retry.
fn first_sign_in(before: Option<&Device>, now: Timestamp) -> Timestamp {
    before.map_or(now, |row| row.first_signed_in_at.min(now))
}

/// Returns the details of the device and the name that it reports. Keeps the name that
/// it reported before, if the request has none.
fn describe(sign_in: &SignIn<'_>, before: Option<&Device>) -> (DeviceInfo, Option<String>) {
    let SignIn {
        request, wanted, ..
    } = *sign_in;
    let reported_name = wanted
        .reported
        .name
        .clone()
        .or_else(|| before.and_then(|row| row.reported_name.clone()));
    let reported = ReportedInfo {
        name: reported_name.clone(),
        ..wanted.reported.clone()
    };
    let hints = ClientHints {
        viewer_type: request.viewer_type(),
        ..ClientHints::from_headers(|name| request.header(name))
    };
    let info = device_info::describe(&reported, request.header("user-agent"), &hints);
    (info, reported_name)
}
