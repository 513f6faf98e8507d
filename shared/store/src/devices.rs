//! Listing an account's devices.

use domain::{AccountId, Device, DeviceId};

use crate::Store;
use crate::attributes::string;
use crate::error::StoreError;
use crate::rows::device;

/// One page of an account's devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePage {
    /// The devices, the newest first.
    pub devices: Vec<Device>,
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
        self.device_page(account, after, Some(limit)).await
    }

    /// As [`Store::devices`]; without a limit, as many as one call returns (1 MB).
    pub(crate) async fn device_page(
        &self,
        account: AccountId,
        after: Option<DeviceId>,
        limit: Option<i32>,
    ) -> Result<DevicePage, StoreError> {
        let output = self
            .client
            .query()
            .table_name(&self.tables.devices)
            .key_condition_expression("account_id = :account")
            .expression_attribute_values(":account", string(account))
            .consistent_read(true)
            .scan_index_forward(false)
            .set_limit(limit)
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
}
