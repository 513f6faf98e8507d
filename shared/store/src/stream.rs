//! What a record of the tables' streams says: the outbox, read back.

use aws_lambda_events::dynamodb::EventRecord;
use aws_sdk_dynamodb::types::AttributeValue;
use domain::{Device, SignOut};

use crate::attributes::{Item, LAST_WRITE, SCOPE, WRITE_SIGN_IN};
use crate::error::StoreError;
use crate::{devices, receipts};

/// A change that others must hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Sessions were ended.
    SignedOut(SignOut),
    /// A device signed in, maybe in the place of an older session of its own.
    SignedIn {
        /// The row with the new session.
        device: Box<Device>,
        /// The row before, when there was one.
        before: Option<Box<Device>>,
    },
    /// Nothing that others must hear of.
    Other,
}

impl Change {
    /// Reads a record of the stream of Receipts or of Devices.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when a row is not as this crate writes it.
    pub fn from_record(record: &EventRecord) -> Result<Self, StoreError> {
        let new = Item::from(record.change.new_image.clone());
        let is_write = matches!(record.event_name.as_str(), "INSERT" | "MODIFY");
        if !is_write || new.is_empty() {
            return Ok(Self::Other);
        }
        if record.event_name == "INSERT" && new.contains_key(SCOPE) && !new.contains_key(LAST_WRITE)
        {
            return receipts::from_item(&new).map(Self::SignedOut);
        }
        if new.get(LAST_WRITE) == Some(&AttributeValue::S(WRITE_SIGN_IN.to_owned())) {
            let old = Item::from(record.change.old_image.clone());
            let before = (!old.is_empty())
                .then(|| devices::from_item(&old).map(Box::new))
                .transpose()?;
            let device = Box::new(devices::from_item(&new)?);
            return Ok(Self::SignedIn { device, before });
        }
        Ok(Self::Other)
    }
}
