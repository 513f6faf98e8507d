//! Listing an account's devices.

use std::collections::HashMap;

use domain::{AccountId, Device, DeviceId, DeviceState, Epoch};

use crate::attributes::string;
use crate::error::StoreError;
use crate::rows::device;
use crate::{BY_SIGNED_IN, Store, reads};

/// One page of an account's devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePage {
    /// The devices, the newest first.
    pub devices: Vec<Device>,
    /// The device to continue after, when there may be more.
    pub next: Option<DeviceId>,
}

/// One page of the ids of an account's devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceIds {
    /// The ids, the newest first.
    pub ids: Vec<DeviceId>,
    /// The device to continue after, when there may be more.
    pub next: Option<DeviceId>,
}

impl Store {
    /// Returns at most `limit` of an account's devices, the newest first, from the
    /// one that follows `after`.
    ///
    /// `Query` of Devices (`account_id`), consistent.
    ///
    /// # Errors
    /// [`StoreError`] when the read failed.
    pub async fn devices(
        &self,
        account: AccountId,
        after: Option<DeviceId>,
        limit: i32,
    ) -> Result<DevicePage, StoreError> {
        let output = self
            .client
            .query()
            .table_name(&self.tables.devices)
            .key_condition_expression("account_id = :account")
            .expression_attribute_values(":account", string(account))
            .consistent_read(true)
            .scan_index_forward(false)
            .limit(limit)
            .set_exclusive_start_key(after.map(|id| device::key(account, id)))
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("Query", error))?;
        let items = output.items.unwrap_or_default();
        let devices = items.iter().map(device::from_item);
        let last = output.last_evaluated_key.as_ref();
        Ok(DevicePage {
            devices: devices.collect::<Result<_, _>>()?,
            next: last.map(device::id_of_key).transpose()?,
        })
    }

    /// Returns whether an account has a device of which `is_it` is true.
    ///
    /// As [`Store::devices`], page after page until there is one.
    ///
    /// # Errors
    /// [`StoreError`] when a read failed.
    pub async fn has_device(
        &self,
        account: AccountId,
        is_it: impl Fn(&Device) -> bool,
    ) -> Result<bool, StoreError> {
        let mut after = None;
        loop {
            let page = self.devices(account, after, 100).await?;
            if page.devices.iter().any(&is_it) {
                return Ok(true);
            }
            after = page.next;
            if after.is_none() {
                return Ok(false);
            }
        }
    }

    /// Returns the ids of up to `limit` devices, newest first, that are not marked as
    /// signed out and whose last epoch is `last_epoch`. For the account's current epoch,
    /// these sessions are valid or expired; for an ended epoch, they are the ones that
    /// its sign-out ended and the sweep has not marked.
    ///
    /// `Query` of the local index of Devices (`account_id`, `signed_in_key`),
    /// consistent: its cost does not depend on any other row.
    ///
    /// # Errors
    /// [`StoreError`] when the read failed.
    pub async fn signed_in_ids(
        &self,
        account: AccountId,
        last_epoch: Epoch,
        after: Option<DeviceId>,
        limit: i32,
    ) -> Result<DeviceIds, StoreError> {
        let output = self
            .client
            .query()
            .table_name(&self.tables.devices)
            .index_name(BY_SIGNED_IN)
            .key_condition_expression(
                "account_id = :account AND begins_with(signed_in_key, :epoch)",
            )
            .expression_attribute_values(":account", string(account))
            .expression_attribute_values(":epoch", string(device::epoch_prefix(last_epoch)))
            .consistent_read(true)
            .scan_index_forward(false)
            .limit(limit)
            .set_exclusive_start_key(after.map(|id| device::index_key(account, last_epoch, id)))
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("Query", error))?;
        let items = output.items.unwrap_or_default();
        let last = output.last_evaluated_key.as_ref();
        Ok(DeviceIds {
            ids: items
                .iter()
                .map(device::id_of_key)
                .collect::<Result<_, _>>()?,
            next: last.map(device::id_of_key).transpose()?,
        })
    }

    /// Returns the last epoch from `from` to `to` that a device has which is not marked as
    /// signed out.
    pub(crate) async fn last_unmarked_epoch(
        &self,
        account: AccountId,
        from: Epoch,
        to: Epoch,
    ) -> Result<Option<Epoch>, StoreError> {
        let output = self
            .client
            .query()
            .table_name(&self.tables.devices)
            .index_name(BY_SIGNED_IN)
            .key_condition_expression(
                "account_id = :account AND signed_in_key BETWEEN :from AND :to",
            )
            .expression_attribute_values(":account", string(account))
            .expression_attribute_values(":from", string(device::epoch_prefix(from)))
            // Every key of an epoch is less than the prefix of the next one.
            .expression_attribute_values(":to", string(device::epoch_prefix(to.next())))
            .consistent_read(true)
            .scan_index_forward(false)
            .limit(1)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("Query", error))?;
        let last = output.items.unwrap_or_default();
        last.first().map(device::last_epoch_of_key).transpose()
    }

    /// Returns at most `limit` of the devices, at most 100, whose sessions the end of an
    /// epoch ended and that are not marked yet, the newest first.
    ///
    /// As [`Store::signed_in_ids`]; then `BatchGetItem` of Devices (`account_id`,
    /// `device_id`), consistent, if there are any.
    ///
    /// # Errors
    /// [`StoreError`] when a read failed.
    pub async fn unmarked_devices(
        &self,
        account: AccountId,
        ended: Epoch,
        after: Option<DeviceId>,
        limit: i32,
    ) -> Result<DevicePage, StoreError> {
        let page = self.signed_in_ids(account, ended, after, limit).await?;
        let mut devices = Vec::new();
        if !page.ids.is_empty() {
            let keys = page
                .ids
                .iter()
                .map(|id| device::key(account, *id))
                .collect();
            let keys = HashMap::from([(self.tables.devices.clone(), reads::keys(keys))]);
            for items in reads::batch_get(&self.client, keys).await?.values() {
                for item in items {
                    devices.push(device::from_item(item)?);
                }
            }
        }
        // Since its key was read, a device may have been marked or signed in again.
        devices.retain(|it| it.state == DeviceState::SignedIn && it.last_epoch == ended);
        devices.sort_by_key(|device| std::cmp::Reverse(device.id));
        Ok(DevicePage {
            devices,
            next: page.next,
        })
    }
}
