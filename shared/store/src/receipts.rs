//! Reading receipts and the records of sign-outs, and recording the steps of an
//! entry.

use std::collections::BTreeMap;

use domain::account::Epoch;
use domain::device::Device;
use domain::end_info::EndInfo;
use domain::receipt::{EndedBy, Receipt, ReceiptEntry, Step, ended_by};
use domain::sign_out::{EndedSession, SignOut, SignOutTarget, first_to_end};
use domain::{AccountId, DeviceId, Limits, SignOutId, Timestamp};

use crate::attributes::{Item, number, string};
use crate::error::StoreError;
use crate::rows::receipt;
use crate::{BY_ENDED_EPOCH, Store, reads, writes};

impl Store {
    /// Returns a sign-out with an entry for each device that it ended.
    ///
    /// `Query` of Receipts (`account_id`, `sign_out_id` and its prefix), and, if the
    /// sign-out ended an epoch, of Devices (`account_id`) and of the index, all
    /// consistent and read to their ends: a device that the sweep has not reached yet
    /// is judged by its row and the records of the sign-outs. The cost grows with the
    /// number of devices of the account.
    ///
    /// # Errors
    /// [`StoreError`] when a read failed.
    pub async fn receipt(
        &self,
        account: AccountId,
        id: SignOutId,
        limits: &Limits,
    ) -> Result<Option<Receipt>, StoreError> {
        let header = self
            .receipt_items(account, "sign_out_id = :key", &id.to_string())
            .await?;
        let Some(sign_out) = header.first().map(receipt::header_from_item).transpose()? else {
            return Ok(None);
        };
        // The devices before the entries: a device that signs in between the two reads
        // gets its entry together with its new row, and is found by the second read.
        let ended = match &sign_out.target {
            SignOutTarget::One(one) => vec![one.clone()],
            SignOutTarget::Epoch { .. } => self.sessions_ended_by(&sign_out, limits).await?,
        };
        let mut entries: BTreeMap<DeviceId, ReceiptEntry> = ended
            .into_iter()
            .map(|session| (session.device, ReceiptEntry::refused(session, sign_out.at)))
            .collect();
        let is_entry = "begins_with(sign_out_id, :key)";
        let items = self
            .receipt_items(account, is_entry, &format!("{id}#"))
            .await?;
        for item in items {
            let entry = receipt::entry_from_item(&item)?;
            entries.insert(entry.session.device, entry);
        }
        Ok(Some(Receipt::new(
            sign_out,
            entries.into_values().collect(),
        )))
    }

    /// Returns the sessions in the account's rows that an account-wide sign-out ended.
    async fn sessions_ended_by(
        &self,
        sign_out: &SignOut,
        limits: &Limits,
    ) -> Result<Vec<EndedSession>, StoreError> {
        let mut after = None;
        let mut found: Vec<(Device, EndedBy)> = Vec::new();
        loop {
            let page = self.device_page(sign_out.account, after, None).await?;
            found.extend(page.devices.into_iter().filter_map(|device| {
                match ended_by(sign_out, &device, limits) {
                    EndedBy::Other => None,
                    by => Some((device, by)),
                }
            }));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let unswept = found
            .iter()
            .filter(|(_, by)| *by == EndedBy::ThisUnlessEarlier);
        // One query for all devices, and none once the sweep is done.
        if let Some(oldest) = unswept.map(|(device, _)| device.epoch).min() {
            let sign_outs = self.sign_outs_since(sign_out.account, oldest).await?;
            found.retain(|(device, by)| {
                *by == EndedBy::This
                    || first_to_end(&sign_outs, device.session, device.epoch)
                        .is_some_and(|first| first.id == sign_out.id)
            });
        }
        Ok(found.iter().map(|(device, _)| device.into()).collect())
    }

    /// Returns the items of Receipts whose sort keys meet the condition.
    async fn receipt_items(
        &self,
        account: AccountId,
        condition: &str,
        key: &str,
    ) -> Result<Vec<Item>, StoreError> {
        let query = self
            .client
            .query()
            .table_name(&self.tables.receipts)
            .key_condition_expression(format!("account_id = :account AND {condition}"))
            .expression_attribute_values(":account", string(account))
            .expression_attribute_values(":key", string(key));
        reads::query_all(query).await
    }

    /// Returns the sign-outs that ended this epoch of the account or a later one, in
    /// the order of their epochs.
    ///
    /// `Query` of the local index of Receipts (`account_id`, `ended_epoch`),
    /// consistent, read to its end. It shows which sign-out ended a session that is
    /// known to have ended; the index never decides whether one has.
    ///
    /// # Errors
    /// [`StoreError`] when the read failed.
    pub async fn sign_outs_since(
        &self,
        account: AccountId,
        epoch: Epoch,
    ) -> Result<Vec<SignOut>, StoreError> {
        let query = self
            .client
            .query()
            .table_name(&self.tables.receipts)
            .index_name(BY_ENDED_EPOCH)
            .key_condition_expression("account_id = :account AND ended_epoch >= :epoch")
            .expression_attribute_values(":account", string(account))
            .expression_attribute_values(":epoch", number(epoch.0));
        let items = reads::query_all(query).await?;
        items.iter().map(receipt::header_from_item).collect()
    }

    /// Records a step in a session's receipt entry, and creates the entry if absent.
    ///
    /// `UpdateItem` of Receipts (`account_id`, `sign_out_id#device_id`), each
    /// attribute only if it is absent. A replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the write failed or its outcome is unknown.
    pub async fn record_step(
        &self,
        account: AccountId,
        ended: &EndInfo,
        session: &EndedSession,
        step: Step,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<(), StoreError> {
        let table = &self.tables.receipts;
        let step = Some((step, now));
        let update = receipt::update_entry(table, account, ended, session, step, limits);
        // Without a condition the outcome is always `Done`.
        writes::update(&self.client, &update).await?;
        Ok(())
    }
}
