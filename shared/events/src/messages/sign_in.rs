//! The messages of a sign-in.

use domain::{Device, DeviceState};

use super::{Message, Record, Source};
use crate::claims::{
    Circumstances, Event, InitiatingEntity, Reason, Revoked, SessionEstablished, SessionRevoked,
    Subject,
};

pub(super) fn messages(
    device: &Device,
    before: Option<&Device>,
    record: &Record,
    issuer: &str,
) -> Vec<Message> {
    if before.is_some_and(|before| before.session == device.session) {
        return Vec::new(); // The write changed something else in the row.
    }
    let source = Source {
        issuer,
        record,
        txn: device.session.to_string(),
        at: device.signed_in_at,
    };
    let mut messages = Vec::new();
    // A session that was signed out before has had its message then.
    if let Some(before) = before
        && before.state == DeviceState::SignedIn
    {
        messages.push(source.message(session(before), replaced(device, before), None));
    }
    let event = Event::SessionEstablished(SessionEstablished {
        circumstances: circumstances(
            device,
            "A device signed in.",
            "A device signed in to your account.",
        ),
        session_id: device.session,
        epoch: device.epoch.0,
        is_known_device: device.was_known(before),
    });
    messages.push(source.message(session(device), event, None));
    messages
}

/// Returns the event that a sign-in on the same device ended the session `before`.
fn replaced(device: &Device, before: &Device) -> Event {
    Event::SessionRevoked(SessionRevoked {
        circumstances: circumstances(
            device,
            "A new sign-in on the same device replaced the session.",
            "You signed in again on this device.",
        ),
        reason: Reason::Replaced,
        scope: None,
        requested_by: Some(device.id),
        revoked: Revoked::Session {
            session_id: before.session,
            epoch: before.epoch.0,
        },
    })
}

fn session(device: &Device) -> Subject {
    Subject::session(device.account, device.id, device.session)
}

fn circumstances(
    device: &Device,
    reason_admin: &'static str,
    reason_user: &'static str,
) -> Circumstances {
    Circumstances {
        event_timestamp: device.signed_in_at.as_second(),
        initiating_entity: InitiatingEntity::User,
        reason_admin: reason_admin.into(),
        reason_user: reason_user.into(),
    }
}
