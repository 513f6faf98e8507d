//! The check: the rows that a token names, in one round trip.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::KeysAndAttributes;
use domain::session::{SessionStatus, session_status};
use domain::sign_out::first_to_end;
use domain::{
    Account, AccountId, Device, DeviceId, EndInfo, Epoch, Limits, SessionId, SignOut, Timestamp,
};

use crate::accounts::{self, built};
use crate::attributes::{ACCOUNT_ID, ENDED_EPOCH, Item, text};
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
        for (table, items) in self.read(ask).await? {
            for item in items {
                if table == self.tables.accounts {
                    rows.account = Some(accounts::from_item(&item)?);
                } else {
                    rows.devices.push(devices::from_item(&item)?);
                }
            }
        }
        Ok(rows)
    }

    /// Reads rows by their keys: `BatchGetItem`, and again for what comes back
    /// unprocessed, a bounded number of times. By table.
    pub(crate) async fn read(
        &self,
        mut ask: HashMap<String, KeysAndAttributes>,
    ) -> Result<HashMap<String, Vec<Item>>, StoreError> {
        let mut found: HashMap<String, Vec<Item>> = HashMap::new();
        let mut attempt = 0;
        loop {
            let answer = self
                .client
                .batch_get_item()
                .set_request_items(Some(ask))
                .send()
                .await
                .map_err(|error| StoreError::from_sdk("BatchGetItem", error))?;
            for (table, items) in answer.responses.unwrap_or_default() {
                found.entry(table).or_default().extend(items);
            }
            match answer.unprocessed_keys {
                Some(rest) if !rest.is_empty() => ask = rest,
                _ => return Ok(found),
            }
            attempt += 1;
            if attempt == retry::ATTEMPTS {
                return Err(StoreError::Throttled);
            }
            retry::pause(attempt).await;
        }
    }
}

/// One session, by what names it in a row that outlives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionKey {
    /// Its device.
    pub device: DeviceId,
    /// The session.
    pub session: SessionId,
    /// The epoch that it was born in.
    pub epoch: Epoch,
}

/// The status of a session, with the sign-out that ended it looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResolvedStatus {
    /// It is valid.
    SignedIn,
    /// A sign-out ended it: this one.
    SignedOut(EndInfo),
    /// Its device has signed in again, or its row is gone.
    Replaced,
    /// It ran out.
    Expired,
}

/// The keys that one `BatchGetItem` takes, less the account's.
const DEVICES_AT_ONCE: usize = 99;

impl Store {
    /// What has become of sessions of one account, in the order asked for.
    ///
    /// As [`Store::rows`], 99 devices a call, and as [`Store::sign_outs_since`]
    /// when the account's epoch has left any of them behind.
    ///
    /// # Errors
    /// [`StoreError`] when any of it could not be read.
    pub async fn resolved_statuses(
        &self,
        account: AccountId,
        sessions: &[SessionKey],
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Vec<ResolvedStatus>, StoreError> {
        let mut fates = Vec::with_capacity(sessions.len());
        let mut left_behind = Vec::new();
        for some in sessions.chunks(DEVICES_AT_ONCE) {
            let ids: Vec<DeviceId> = some.iter().map(|session| session.device).collect();
            let rows = self.rows(account, &ids).await?;
            let by_id: HashMap<DeviceId, &Device> =
                rows.devices.iter().map(|row| (row.id, row)).collect();
            for session in some {
                let row = by_id
                    .get(&session.device)
                    .filter(|row| row.session == session.session);
                fates.push(match (row, &rows.account) {
                    (None, _) | (_, None) => ResolvedStatus::Replaced,
                    (Some(row), Some(account)) => match session_status(account, row, limits, now) {
                        SessionStatus::SignedIn => ResolvedStatus::SignedIn,
                        SessionStatus::SignedOut(ended) => ResolvedStatus::SignedOut(ended),
                        SessionStatus::Expired => ResolvedStatus::Expired,
                        SessionStatus::EndedByEpoch => {
                            left_behind.push((fates.len(), *session));
                            ResolvedStatus::Replaced
                        }
                    },
                });
            }
        }
        if let Some(oldest) = left_behind.iter().map(|(_, session)| session.epoch).min() {
            let sign_outs = self.sign_outs_since(account, oldest).await?;
            for (at, session) in left_behind {
                let first = first_to_end(&sign_outs, session.session, session.epoch);
                // A record is written with each epoch, and outlives its rows.
                fates[at] = ResolvedStatus::SignedOut(first.map(SignOut::end_info).ok_or(
                    StoreError::Corrupt {
                        table: "Receipts",
                        attribute: ENDED_EPOCH,
                    },
                )?);
            }
        }
        Ok(fates)
    }

    /// How a session that the account's epoch has left behind came to its end; none
    /// when its device has another one.
    ///
    /// The two rows that said so need not be of one moment: the session may have
    /// been signed out by itself, or replaced, after its row was read and before the
    /// epoch moved on. Read now, as [`Store::resolved_statuses`], its row tells. Once a contact
    /// is noted in it, that was done.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be read.
    pub async fn resolve_end(
        &self,
        device: &Device,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Option<EndInfo>, StoreError> {
        if device.contacted_at.is_some() {
            return self.end_by_epoch(device).await.map(Some);
        }
        let session = SessionKey {
            device: device.id,
            session: device.session,
            epoch: device.epoch,
        };
        let fates = self
            .resolved_statuses(device.account, &[session], limits, now)
            .await?;
        Ok(match fates.into_iter().next() {
            Some(ResolvedStatus::SignedOut(ended)) => Some(ended),
            // What was over never is valid again, and is not over by time alone.
            Some(ResolvedStatus::Replaced | ResolvedStatus::SignedIn | ResolvedStatus::Expired)
            | None => None,
        })
    }
}

pub(crate) fn consistent(keys: Vec<Item>) -> KeysAndAttributes {
    built(
        KeysAndAttributes::builder()
            .set_keys(Some(keys))
            .consistent_read(true)
            .build(),
    )
}

/// Everything that a query finds: consistent, and followed to its end.
pub(crate) async fn all(query: QueryFluentBuilder) -> Result<Vec<Item>, StoreError> {
    let mut found = Vec::new();
    let mut start = None;
    loop {
        let page = query.clone().consistent_read(true);
        let page = page.set_exclusive_start_key(start);
        // Large, beside a query that is kept for the pages that follow.
        let answer = Box::pin(page.send())
            .await
            .map_err(|error| StoreError::from_sdk("Query", error))?;
        found.extend(answer.items.unwrap_or_default());
        start = answer.last_evaluated_key;
        if start.is_none() {
            return Ok(found);
        }
    }
}
