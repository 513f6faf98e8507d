//! The message of a changed address.

use domain::address_change::AddressChanged;

use super::{Message, Record, Source};
use crate::claims::{self, Circumstances, Event, InitiatingEntity, Subject};

pub(super) fn message(change: &AddressChanged, record: &Record, issuer: &str) -> Message {
    let source = Source {
        issuer,
        record,
        txn: change.id.to_string(),
        at: change.at,
    };
    let event = Event::AddressChanged(claims::AddressChanged {
        circumstances: Circumstances {
            event_timestamp: change.at.as_second(),
            initiating_entity: InitiatingEntity::User,
            reason_admin: "The address was changed.".into(),
            reason_user: "The address of your account was changed.".into(),
        },
        requested_by: change.by,
    });
    source.message(Subject::account(change.account), event, None)
}
