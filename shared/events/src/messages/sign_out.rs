//! The messages of a sign-out, and of each session that it ended.

use domain::{Device, Epoch, Scope, SessionId, SignOut, SignOutTarget};

use super::{Message, Record, Source};
use crate::claims::{
    ChangeType, Circumstances, CredentialChange, CredentialType, Event, InitiatingEntity,
    OtherSessionsRevoked, Revoked, SecurityEventToken, SessionRevoked, Subject,
};

pub(super) fn messages(sign_out: &SignOut, record: &Record, issuer: &str) -> Vec<Message> {
    let source = Source {
        issuer,
        record,
        txn: sign_out.id.to_string(),
        at: sign_out.at,
    };
    let scope = Some(sign_out.scope);
    match &sign_out.target {
        SignOutTarget::One(one) => {
            let subject = Subject::session(sign_out.account, one.device, one.session);
            let event = session_revoked(sign_out, one.session, one.epoch);
            vec![source.message(subject, event, scope)]
        }
        SignOutTarget::Epoch { ended, kept, .. } => {
            let account = Subject::account(sign_out.account);
            let event = epoch_ended(sign_out, *ended, *kept);
            let mut messages = vec![source.message(account.clone(), event, scope)];
            if sign_out.sets_password() {
                let event = password_changed(sign_out, *ended, *kept);
                messages.push(source.message(account, event, None));
            }
            messages
        }
    }
}

/// Returns the message that a sign-out of all other devices ended the session of
/// `device`. Its id is made of the sign-out and the session, so it is the same each time.
#[must_use]
pub fn session_ended(sign_out: &SignOut, device: &Device, issuer: &str) -> Message {
    Message {
        token: SecurityEventToken {
            iss: issuer.to_owned(),
            jti: format!("{}:{}", sign_out.id, device.session),
            iat: sign_out.at.as_second(),
            txn: sign_out.id.to_string(),
            sub_id: Subject::session(device.account, device.id, device.session),
            events: session_revoked(sign_out, device.session, device.epoch),
        },
        scope: None,
    }
}

/// Returns the event that one session ended.
fn session_revoked(sign_out: &SignOut, session_id: SessionId, epoch: Epoch) -> Event {
    revoked(
        sign_out,
        Revoked::Session {
            session_id,
            epoch: epoch.0,
        },
    )
}

/// Returns the event that an epoch ended: for every session, or for every one but the
/// kept.
fn epoch_ended(sign_out: &SignOut, ended: Epoch, kept: Option<SessionId>) -> Event {
    let ended_epoch = ended.0;
    match kept {
        None => revoked(sign_out, Revoked::Account { ended_epoch }),
        Some(kept_session) => Event::OtherSessionsRevoked(OtherSessionsRevoked {
            circumstances: circumstances(sign_out),
            reason: sign_out.reason.into(),
            scope: Some(sign_out.scope),
            requested_by: sign_out.by.as_ref().map(|by| by.id),
            ended_epoch,
            kept_session,
        }),
    }
}

fn revoked(sign_out: &SignOut, revoked: Revoked) -> Event {
    Event::SessionRevoked(SessionRevoked {
        circumstances: circumstances(sign_out),
        reason: sign_out.reason.into(),
        scope: Some(sign_out.scope),
        requested_by: sign_out.by.as_ref().map(|by| by.id),
        revoked,
    })
}

fn password_changed(sign_out: &SignOut, ended: Epoch, kept: Option<SessionId>) -> Event {
    Event::CredentialChange(CredentialChange {
        circumstances: circumstances(sign_out),
        credential_type: CredentialType::Password,
        change_type: match sign_out.reason {
            domain::Reason::AddressRestored => ChangeType::Revoke,
            _ => ChangeType::Update,
        },
        requested_by: sign_out.by.as_ref().map(|by| by.id),
        ended_epoch: ended.0,
        kept_session: kept,
    })
}

fn circumstances(sign_out: &SignOut) -> Circumstances {
    let (reason_admin, reason_user) = reasons(sign_out);
    Circumstances {
        event_timestamp: sign_out.at.as_second(),
        initiating_entity: match (&sign_out.by, sign_out.reason) {
            (Some(_), _) | (None, domain::Reason::Recovered | domain::Reason::AddressRestored) => {
                InitiatingEntity::User
            }
            (None, domain::Reason::WrongPassword) => InitiatingEntity::Policy,
            (None, _) => InitiatingEntity::Admin,
        },
        reason_admin: reason_admin.into(),
        reason_user: reason_user.into(),
    }
}

/// Returns the reason of a sign-out for an operator, and for the owner.
fn reasons(sign_out: &SignOut) -> (&'static str, &'static str) {
    match (sign_out.reason, sign_out.scope) {
        (domain::Reason::SignedOut, Scope::Local) => (
            "A device signed itself out.",
            "You signed out on this device.",
        ),
        (domain::Reason::SignedOut, Scope::Device) => (
            "One device was signed out.",
            "This device was signed out of your account.",
        ),
        (domain::Reason::SignedOut, Scope::Others) => (
            "Every device but one was signed out.",
            "All other devices were signed out of your account.",
        ),
        (domain::Reason::SignedOut, Scope::Global) => (
            "Every device was signed out.",
            "All devices were signed out of your account.",
        ),
        (domain::Reason::PasswordChanged, _) => {
            ("The password was changed.", "Your password was changed.")
        }
        (domain::Reason::Recovered, _) => (
            "The account was recovered by its address.",
            "Your account was recovered by its address.",
        ),
        (domain::Reason::AddressRestored, _) => (
            "A change of the address was undone from the mailbox before.",
            "A change of your address was undone from the mailbox before.",
        ),
        (domain::Reason::WrongPassword, _) => (
            "A device gave ten wrong current passwords in a row.",
            "This device was signed out: the current password was wrong ten times.",
        ),
        (domain::Reason::AccountDisabled, _) => {
            ("The account was disabled.", "Your account was disabled.")
        }
    }
}
