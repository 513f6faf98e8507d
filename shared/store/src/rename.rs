//! Renaming: the owner's name for a device.

use domain::Device;
use domain::session::Authenticated;

use crate::Store;
use crate::attributes::{WRITE_RENAME, built, string};
use crate::error::StoreError;
use crate::rows::{account, device};
use crate::writes::{self, Write, WriteOutcome};

impl Store {
    /// Gives a device of the caller's account the owner's name, or removes that name
    /// if it is `None`.
    ///
    /// One transaction: Accounts (`account_id`), only if it still has the epoch that
    /// the caller was authenticated under; the caller's row of Devices (`account_id`,
    /// `device_id`), only if it still holds the caller's session and it is signed in;
    /// the target's row, only if it exists and still has the owner's name that was
    /// read: a late replay must not undo a later rename. `token` is the transaction's
    /// token, so an early replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn rename(
        &self,
        caller: &Authenticated,
        target: &Device,
        name: Option<&str>,
        token: [u8; 16],
    ) -> Result<WriteOutcome, StoreError> {
        let (account, table) = (&caller.account, &self.tables.devices);
        let same_epoch = account::has_epoch(account.epoch)
            .check(&self.tables.accounts, account::key(account.id));
        let mut writes = vec![Write::Check(same_epoch)];
        // A transaction takes one write of a row.
        let condition = if target.id == caller.device.id {
            device::is_signed_in(caller.device.session)
        } else {
            writes.push(Write::Check(self.caller_is_signed_in(caller)));
            device::exists()
        };
        let update = device::and_has_owner_name(condition, target.owner_name.as_deref())
            .update(table, device::key(account.id, target.id))
            .expression_attribute_values(":rename", string(WRITE_RENAME));
        let update = match name {
            Some(name) => update
                .update_expression("SET last_write = :rename, owner_name = :name")
                .expression_attribute_values(":name", string(name)),
            None => update.update_expression("SET last_write = :rename REMOVE owner_name"),
        };
        writes.push(Write::Update(built(update.build())));
        let token = format!("{:032x}", u128::from_be_bytes(token));
        writes::transact(&self.client, writes, token).await
    }
}
