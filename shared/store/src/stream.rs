//! The records of the tables' streams, which serve as the outbox.

use aws_lambda_events::dynamodb::EventRecord;
use aws_sdk_dynamodb::types::AttributeValue;
use domain::address_change::AddressChanged;
use domain::{Device, SignOut};

use crate::attributes::{Item, KIND, LAST_WRITE, SCOPE, WRITE_SIGN_IN};
use crate::error::StoreError;
use crate::rows::{device, receipt};

/// A change in a stream record, for subscribers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A sign-out ended sessions.
    SignedOut(SignOut),
    /// A device signed in, possibly replacing an earlier session.
    SignedIn {
        /// The row with the new session.
        device: Box<Device>,
        /// The row before, if there was one.
        before: Option<Box<Device>>,
    },
    /// The address of an account was changed.
    AddressChanged(AddressChanged),
    /// A change that is not published.
    Other,
}

impl Change {
    /// Reads a record of the stream of Receipts or Devices.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a row is malformed.
    pub fn from_record(record: &EventRecord) -> Result<Self, StoreError> {
        let new = Item::from(record.change.new_image.clone());
        let is_write = matches!(record.event_name.as_str(), "INSERT" | "MODIFY");
        if !is_write || new.is_empty() {
            return Ok(Self::Other);
        }
        // Of the rows with a scope, a header has no `last_write` and a signed-out
        // device has one. A header is inserted once and never updated.
        if record.event_name == "INSERT" && new.contains_key(SCOPE) && !new.contains_key(LAST_WRITE)
        {
            return receipt::header_from_item(&new).map(Self::SignedOut);
        }
        if new.get(KIND) == Some(&AttributeValue::S(receipt::ADDRESS_CHANGED.to_owned())) {
            return receipt::address_change_from_item(&new).map(Self::AddressChanged);
        }
        if new.get(LAST_WRITE) == Some(&AttributeValue::S(WRITE_SIGN_IN.to_owned())) {
            let old = Item::from(record.change.old_image.clone());
            let before = (!old.is_empty())
                .then(|| device::from_item(&old).map(Box::new))
                .transpose()?;
            let device = Box::new(device::from_item(&new)?);
            return Ok(Self::SignedIn { device, before });
        }
        Ok(Self::Other)
    }
}
