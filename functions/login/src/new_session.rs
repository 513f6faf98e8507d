//! The new session: its device, its secrets and its row.

use device_info::{ClientHints, ReportedInfo};
use domain::token::DeviceKeyHash;
use domain::{
    Account, Device, DeviceId, DeviceInfo, DeviceKey, DeviceState, Limits, SessionId, Timestamp,
    Token,
};
use http_api::Request;

use crate::attempt::Attempt;

/// A new session: the row to write, and the secrets to show.
pub(crate) struct NewSession {
    pub(crate) row: Device,
    pub(crate) replaced: Option<Device>,
    pub(crate) token: Token,
    pub(crate) key: DeviceKey,
}

impl NewSession {
    /// Creates a session for the device that the key names, if the key is right, and
    /// for a new device otherwise.
    pub(crate) fn new(
        limits: &Limits,
        request: &Request,
        attempt: &Attempt,
        account: &Account,
        before: Option<Device>,
        now: Timestamp,
    ) -> Self {
        let (before, used_key, id) = identify(attempt, before, now);
        let token = Token::new(account.id, id, runtime::random());
        let key = DeviceKey::new(id, runtime::random());
        let (info, reported_name) = describe(attempt, request, before.as_ref());
        let row = Device {
            account: account.id,
            id,
            info,
            owner_name: before.as_ref().and_then(|row| row.owner_name.clone()),
            reported_name,
            place: request.place(),
            session: SessionId::from_random(runtime::random()),
            token_hash: token.hash(),
            key_hash: key.hash(),
            previous_key_hash: used_key,
            epoch: account.epoch,
            last_epoch: account.epoch,
            first_signed_in_at: before.as_ref().map_or(now, |row| row.first_signed_in_at),
            signed_in_at: now,
            verified_at: now,
            last_active_at: now,
            expires_at: limits.expires_at(now),
            state: DeviceState::SignedIn,
            seen_at: None,
            notified_at: None,
            ending_acts: domain::device::EndingActs::default(),
        };
        request.note_device(id);
        Self {
            row,
            replaced: before,
            token,
            key,
        }
    }
}

/// Returns the row and the hash of the key that names it, if the key is right, and the
/// device's id, a new one without a row.
fn identify(
    attempt: &Attempt,
    before: Option<Device>,
    now: Timestamp,
) -> (Option<Device>, Option<DeviceKeyHash>, DeviceId) {
    let presented = attempt.device_key.as_ref().map(DeviceKey::hash);
    let before = before.filter(|row| presented.is_some_and(|key| has_key(row, key)));
    let id = before
        .as_ref()
        .map_or_else(|| DeviceId::new(now, runtime::random()), |row| row.id);
    // The used key stays valid until the new one is used: the answer that carries the
    // new one may be lost.
    let used_key = presented.filter(|_| before.is_some());
    (before, used_key, id)
}

/// Returns whether the row has this key, now or as the previous one. Compares both in
/// any case (`|`), so that the time does not show which.
fn has_key(row: &Device, key: DeviceKeyHash) -> bool {
    let previous = row.previous_key_hash.as_ref();
    key.matches(&row.key_hash) | previous.is_some_and(|previous| key.matches(previous))
}

/// Returns the details of the device and the name that it reports. Keeps the name that
/// it reported before, if the request has none.
fn describe(
    attempt: &Attempt,
    request: &Request,
    before: Option<&Device>,
) -> (DeviceInfo, Option<String>) {
    let reported_name = attempt
        .reported
        .name
        .clone()
        .or_else(|| before.and_then(|row| row.reported_name.clone()));
    let reported = ReportedInfo {
        name: reported_name.clone(),
        ..attempt.reported.clone()
    };
    let hints = ClientHints {
        viewer_type: request.viewer_type(),
        ..ClientHints::from_headers(|name| request.header(name))
    };
    let info = device_info::describe(&reported, request.header("user-agent"), &hints);
    (info, reported_name)
}
