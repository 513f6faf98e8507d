//! Renaming: the owner's name for a device.

use domain::Device;

use crate::Store;
use crate::attributes::{WRITE_RENAME, built, string};
use crate::error::StoreError;
use crate::rows::device;
use crate::writes::{self, WriteOutcome};

impl Store {
    /// Gives a device the owner's name, or removes that name if it is `None`.
    ///
    /// `UpdateItem` of Devices (`account_id`, `device_id`), only if the row exists and
    /// still has the owner's name that was read: a late replay must not undo a later
    /// rename. Not a transaction: a flood of transactions on these rows would make the
    /// owner's sign-outs fail with conflicts.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn rename(
        &self,
        device: &Device,
        name: Option<&str>,
    ) -> Result<WriteOutcome, StoreError> {
        let key = device::key(device.account, device.id);
        let update = device::and_has_owner_name(device::exists(), device.owner_name.as_deref())
            .update(&self.tables.devices, key)
            .expression_attribute_values(":rename", string(WRITE_RENAME));
        let update = match name {
            Some(name) => update
                .update_expression("SET last_write = :rename, owner_name = :name")
                .expression_attribute_values(":name", string(name)),
            None => update.update_expression("SET last_write = :rename REMOVE owner_name"),
        };
        writes::update(&self.client, &built(update.build())).await
    }
}
