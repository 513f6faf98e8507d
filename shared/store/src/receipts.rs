//! Reading receipts and the records of sign-outs, and recording the steps of an
//! entry.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::account::Epoch;
use domain::device::Device;
use domain::end_info::EndInfo;
use domain::receipt::{Receipt, ReceiptEntry, Step, is_ended_by};
use domain::sign_out::{EndedSession, SignOut, SignOutTarget};
use domain::{AccountId, DeviceId, Limits, SignOutId, Timestamp};

use crate::attributes::{Item, string};
use crate::error::StoreError;
use crate::rows::receipt;
use crate::{Store, reads, writes};

/// The devices that a receipt reads in one call, which is the most that
/// `BatchGetItem` takes.
const MARKED_AT_ONCE: i32 = 100;

/// The most records that are read in a row for one session. Each further one means that
/// a sign-out kept the session between two reads of one check.
const RECORDS_IN_A_ROW: usize = 4;

impl Store {
    /// Returns a sign-out with an entry for each device that it ended.
    ///
    /// `Query` of Receipts (`account_id`, `sign_out_id` and its prefix), and, if the
    /// sign-out ended an epoch, as [`Store::unmarked_devices`] for the devices that the
    /// sweep has not reached yet, all consistent and read to their ends. The cost grows
    /// with the number of devices that the sign-out ended.
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
        // The devices before the entries: a device that is marked or signs in between
        // the two reads gets its entry in the same transaction, and is found by the
        // second read.
        let ended = self.ended_sessions(&sign_out, limits).await?;
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

    /// Returns the session that a sign-out of one ended; of an account-wide one, as
    /// [`Self::unmarked_sessions`].
    async fn ended_sessions(
        &self,
        sign_out: &SignOut,
        limits: &Limits,
    ) -> Result<Vec<EndedSession>, StoreError> {
        match &sign_out.target {
            SignOutTarget::One(one) => Ok(vec![one.clone()]),
            SignOutTarget::Epoch { ended, .. } => {
                match self.resolved_epoch(sign_out.account, *ended).await? {
                    Some(ended) => self.unmarked_sessions(sign_out, ended, limits).await,
                    None => Ok(Vec::new()),
                }
            }
        }
    }

    /// Returns the sessions that an account-wide sign-out ended and that had no entry in
    /// its receipt when they were read.
    async fn unmarked_sessions(
        &self,
        sign_out: &SignOut,
        ended: Epoch,
        limits: &Limits,
    ) -> Result<Vec<EndedSession>, StoreError> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self
                .unmarked_devices(sign_out.account, ended, after, MARKED_AT_ONCE)
                .await?;
            let devices = page.devices.iter();
            let of_it = devices.filter(|device| is_ended_by(sign_out, device, limits));
            found.extend(of_it.map(EndedSession::from));
            after = page.next;
            if after.is_none() {
                return Ok(found);
            }
        }
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

    /// Returns the records of the sign-outs that ended these epochs of an account, as
    /// far as they are kept.
    ///
    /// `BatchGetItem` of Receipts (`account_id`, `epoch#` and its number), 100 in each
    /// call, consistent. A record shows how a session ended that is known to have
    /// ended; it never decides whether one has.
    ///
    /// # Errors
    /// [`StoreError`] when a read failed.
    pub async fn records(
        &self,
        account: AccountId,
        ended: &BTreeSet<Epoch>,
    ) -> Result<BTreeMap<Epoch, SignOut>, StoreError> {
        let mut records = BTreeMap::new();
        let keys: Vec<Item> = ended
            .iter()
            .map(|epoch| receipt::record_key(account, *epoch))
            .collect();
        for keys in keys.chunks(100) {
            let keys = reads::keys(keys.to_vec());
            let keys = HashMap::from([(self.tables.receipts.clone(), keys)]);
            for item in reads::batch_get(&self.client, keys)
                .await?
                .values()
                .flatten()
            {
                let record = receipt::record_from_item(item)?;
                if let SignOutTarget::Epoch { ended, .. } = record.target {
                    records.insert(ended, record);
                }
            }
        }
        Ok(records)
    }

    /// Returns, for each of these devices of one account, how its session ended: by the
    /// sign-out that ended the last epoch that it could be valid in. `None` if the
    /// record of that sign-out is no longer kept, or there never was one.
    ///
    /// As [`Store::records`], once; again, a few times, if a device's row was read
    /// before a sign-out kept its session.
    ///
    /// # Errors
    /// [`StoreError`] when a read failed.
    pub async fn ends_by_epoch(
        &self,
        account: AccountId,
        devices: &[&Device],
    ) -> Result<Vec<Option<EndInfo>>, StoreError> {
        let mut ends = vec![None; devices.len()];
        let mut open: Vec<_> = (0..).zip(devices.iter().map(|it| it.last_epoch)).collect();
        for _ in 0..RECORDS_IN_A_ROW {
            let epochs = open.iter().map(|(_, epoch)| *epoch).collect();
            let records = self.records(account, &epochs).await?;
            let jumps = self.jumps(account, &epochs, &records).await?;
            open.retain_mut(|(at, epoch): &mut (usize, Epoch)| {
                let by_jump = || jumps.iter().find(|jump| jump.may_have_ended(*epoch));
                let Some(record) = records.get(epoch).or_else(by_jump) else {
                    return false;
                };
                if record.ends(devices[*at].session, *epoch) {
                    ends[*at] = Some(record.end_info());
                    return false;
                }
                *epoch = epoch.next();
                true
            });
            if open.is_empty() {
                return Ok(ends);
            }
        }
        Err(StoreError::Contended)
    }

    /// Returns the jumps that may have ended those of the epochs that have no record of
    /// their own, the earliest first.
    async fn jumps(
        &self,
        account: AccountId,
        epochs: &BTreeSet<Epoch>,
        records: &BTreeMap<Epoch, SignOut>,
    ) -> Result<Vec<SignOut>, StoreError> {
        let without = epochs.iter().filter(|epoch| !records.contains_key(epoch));
        let ended = without.flat_map(|epoch| epoch.ended_by_jump()).collect();
        let records = self.records(account, &ended).await?;
        Ok(records.into_values().filter(SignOut::is_jump).collect())
    }

    /// Returns the epoch whose sessions a sign-out ended that ended all up to `ended`; `None`
    /// if no row of such a session is left to be marked.
    ///
    /// `ended` itself without a read, unless a jump may have ended it. Then as
    /// [`Store::records`] and, for a jump, `Query` of the local index of Devices
    /// (`account_id`, `signed_in_key`), consistent, for the last epoch that it has.
    ///
    /// # Errors
    /// [`StoreError`] when a read failed.
    pub async fn resolved_epoch(
        &self,
        account: AccountId,
        ended: Epoch,
    ) -> Result<Option<Epoch>, StoreError> {
        if !ended.may_end_by_jump() {
            return Ok(Some(ended));
        }
        let record = self.records(account, &[ended].into()).await?.remove(&ended);
        let Some(SignOutTarget::Epoch { from, .. }) = record.map(|record| record.target) else {
            return Ok(Some(ended));
        };
        if from == ended {
            return Ok(Some(ended));
        }
        let last = self.last_unmarked_epoch(account, from, ended).await?;
        let Some(last) = last.filter(|last| *last != ended) else {
            return Ok(last);
        };
        let by_another = self.records(account, &[last].into()).await?;
        Ok(by_another.is_empty().then_some(last))
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
