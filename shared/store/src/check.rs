//! The check: the rows that a token names, in one round trip.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::KeysAndAttributes;
use domain::{Account, AccountId, Device, DeviceId};

use crate::accounts::{self, built};
use crate::attributes::{ACCOUNT_ID, Item, text};
use crate::error::StoreError;
use crate::{Store, devices, retry};

/// An account's row and some of its devices'.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rows {
    /// The account, if there is one.
    pub account: Option<Account>,
    /// Those of the devices asked for that there are, in no order.
    pub devices: Vec<Device>,
}

impl Rows {
    /// Takes the row of one device out.
    pub fn take_device(&mut self, id: DeviceId) -> Option<Device> {
        let at = self.devices.iter().position(|device| device.id == id)?;
        Some(self.devices.swap_remove(at))
    }
}

impl Store {
    /// Reads an account and at most a few of its devices.
    ///
    /// One `BatchGetItem` of Accounts (`account_id`) and Devices (`account_id`,
    /// `device_id`), all consistent; what comes back unprocessed is asked for
    /// again, a bounded number of times.
    ///
    /// # Errors
    /// [`StoreError`] when any of the rows could not be read: never a row less.
    pub async fn rows(&self, account: AccountId, devices: &[DeviceId]) -> Result<Rows, StoreError> {
        let account_key = Item::from([(ACCOUNT_ID.to_owned(), text(account))]);
        let mut ask =
            HashMap::from([(self.tables.accounts.clone(), consistent(vec![account_key]))]);
        let mut device_keys: Vec<Item> = Vec::with_capacity(devices.len());
        for (at, device) in devices.iter().enumerate() {
            // A key that stands twice in one call is refused by the table.
            if !devices[..at].contains(device) {
                device_keys.push(devices::key(account, *device));
            }
        }
        if !device_keys.is_empty() {
            ask.insert(self.tables.devices.clone(), consistent(device_keys));
        }
        let mut rows = Rows::default();
        let mut attempt = 0;
        loop {
            let answer = self
                .client
                .batch_get_item()
                .set_request_items(Some(ask))
                .send()
                .await
                .map_err(|error| StoreError::from_sdk("BatchGetItem", error))?;
            let mut found = answer.responses.unwrap_or_default();
            for item in found.remove(&self.tables.accounts).unwrap_or_default() {
                rows.account = Some(accounts::from_item(&item)?);
            }
            for item in found.remove(&self.tables.devices).unwrap_or_default() {
                rows.devices.push(devices::from_item(&item)?);
            }
            match answer.unprocessed_keys {
                Some(rest) if !rest.is_empty() => ask = rest,
                _ => return Ok(rows),
            }
            attempt += 1;
            if attempt == retry::ATTEMPTS {
                return Err(StoreError::Throttled);
            }
            retry::pause(attempt).await;
        }
    }
}

fn consistent(keys: Vec<Item>) -> KeysAndAttributes {
    built(
        KeysAndAttributes::builder()
            .set_keys(Some(keys))
            .consistent_read(true)
            .build(),
    )
}
