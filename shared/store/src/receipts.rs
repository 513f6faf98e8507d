//! Receipts: the header of each sign-out, and its part for each device. Keys,
//! conditions and item mapping. No policy.
//!
//! Every write of a part sets each attribute only if it is not there: the first
//! time of each step counts, and steps may come twice and in any order.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, Update};
use domain::account::Epoch;
use domain::device::{Device, DeviceState, DeviceType};
use domain::end_info::{ByDevice, EndInfo};
use domain::receipt::{Receipt, ReceiptEntry, SessionProof, Step};
use domain::sign_out::{EndedSession, SignOut, SignOutTarget, first_to_end};
use domain::token::TokenHash;
use domain::{AccountId, DeviceId, Limits, Reason, Scope, SignOutId, Timestamp};

use crate::accounts::built;
use crate::attributes::{
    ACCOUNT_ID, ACKNOWLEDGED_AT, CONTACTED_AT, DELETE_AT, DEVICE_ID, DEVICE_TYPE, ENDED_EPOCH,
    EPOCH, Item, KEPT_SESSION, NAME, PUSHED_AT, REASON, REFUSED_AT, REQUESTED_AT, REQUESTED_BY,
    REQUESTED_BY_NAME, Reader, SCOPE, SESSION_ID, SIGN_OUT_ID, TOKEN_HASH, bytes, moment, number,
    text, ttl,
};
use crate::check::{all, consistent};
use crate::error::StoreError;
use crate::{BY_ENDED_EPOCH, Store, devices, retry};

const TABLE: &str = "Receipts";

/// The outcome of an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcknowledgeOutcome {
    /// The receipt has it, from this call or an earlier one.
    Acknowledged,
    /// There is no such sign-out, or it did not end this session; nothing was
    /// written.
    NotEnded,
    /// No row is of a session that the proof fits; nothing was written.
    UnknownSession,
}

impl Store {
    /// Reads a sign-out with its part for each device.
    ///
    /// `Query` of Receipts (`account_id`, `sign_out_id` and what begins with it),
    /// and, when the sign-out ended an epoch, of Devices (`account_id`) and of the
    /// index, all consistent and followed to their ends: a device that the sweep has
    /// not come to yet is judged by the records of the sign-outs. The cost grows
    /// with the number of devices of the account.
    ///
    /// # Errors
    /// [`StoreError`] when any of it could not be read.
    pub async fn receipt(
        &self,
        account: AccountId,
        id: SignOutId,
        limits: &Limits,
    ) -> Result<Option<Receipt>, StoreError> {
        let header = self
            .receipt_items(account, "sign_out_id = :key", &id.to_string())
            .await?;
        let Some(sign_out) = header.first().map(from_item).transpose()? else {
            return Ok(None);
        };
        // The devices before the parts: one that signs in again meanwhile has its
        // part written with its new row, and is found there.
        let judged = match &sign_out.target {
            SignOutTarget::One(one) => vec![one.clone()],
            SignOutTarget::Epoch { .. } => self.judged(&sign_out, limits).await?,
        };
        let mut parts: BTreeMap<DeviceId, ReceiptEntry> = judged
            .into_iter()
            .map(|session| (session.device, ReceiptEntry::refused(session, sign_out.at)))
            .collect();
        let of_device = "begins_with(sign_out_id, :key)";
        for item in self
            .receipt_items(account, of_device, &format!("{id}#"))
            .await?
        {
            let part = part_from_item(&item)?;
            parts.insert(part.session.device, part);
        }
        Ok(Some(Receipt::new(sign_out, parts.into_values().collect())))
    }

    /// The devices whose present row this sign-out of a whole account ended.
    async fn judged(
        &self,
        sign_out: &SignOut,
        limits: &Limits,
    ) -> Result<Vec<EndedSession>, StoreError> {
        let mut after = None;
        let mut found = Vec::new();
        loop {
            let page = self.devices_from(sign_out.account, after, None).await?;
            found.extend(page.devices.into_iter().filter(|device| {
                let could_be = match &device.state {
                    DeviceState::SignedIn => sign_out.ends(device.session, device.epoch),
                    DeviceState::SignedOut(ended) => ended.sign_out == sign_out.id,
                };
                could_be && !device.had_expired(sign_out.at, limits)
            }));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let unmarked = found
            .iter()
            .filter(|device| device.state == DeviceState::SignedIn);
        if let Some(oldest) = unmarked.map(|device| device.epoch).min() {
            let sign_outs = self.sign_outs_since(sign_out.account, oldest).await?;
            found.retain(|device| {
                device.state != DeviceState::SignedIn
                    || first_to_end(&sign_outs, device.session, device.epoch)
                        .is_some_and(|first| first.id == sign_out.id)
            });
        }
        Ok(found.iter().map(EndedSession::from).collect())
    }

    /// The items of an account in Receipts whose keys are so.
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
            .expression_attribute_values(":account", text(account))
            .expression_attribute_values(":key", text(key));
        all(query).await
    }

    /// Writes down that a session's part of a receipt has taken a step.
    ///
    /// `UpdateItem` of Receipts (`account_id`, `sign_out_id#device_id`), each
    /// attribute only if it is not there; a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when it is not known to have been written.
    pub async fn record_step(
        &self,
        account: AccountId,
        ended: &EndInfo,
        session: &EndedSession,
        step: Step,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<(), StoreError> {
        let mut attempt = 0;
        loop {
            let part = self.part(account, ended, session, Some((step, now)), limits);
            let sent = self
                .client
                .update_item()
                .table_name(part.table_name)
                .set_key(Some(part.key))
                .update_expression(part.update_expression)
                .set_expression_attribute_values(part.expression_attribute_values)
                .send()
                .await;
            match sent {
                Ok(_) => return Ok(()),
                Err(SdkError::ServiceError(error))
                    if error.err().is_transaction_conflict_exception() =>
                {
                    attempt += 1;
                    if attempt == retry::ATTEMPTS {
                        return Err(StoreError::Contended);
                    }
                    retry::pause(attempt).await;
                }
                Err(error) => return Err(StoreError::from_sdk("UpdateItem", error)),
            }
        }
    }

    /// Writes down, once, that a dead session has called and was refused: in the
    /// receipt first, then in the device's row, so that later calls write nothing.
    ///
    /// As [`Store::record_step`], and `UpdateItem` of Devices (`account_id`,
    /// `device_id`), only if the row is still of this session. Nothing is written of
    /// a session that the sign-out has no part for.
    ///
    /// # Errors
    /// [`StoreError`] when it is not known to have been written.
    pub async fn record_contact(
        &self,
        device: &Device,
        ended: &EndInfo,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<(), StoreError> {
        if device.contacted_at.is_some() || !device.is_in_receipt_of(ended, limits) {
            return Ok(());
        }
        let session = EndedSession::from(device);
        self.record_step(
            device.account,
            ended,
            &session,
            Step::Contacted,
            now,
            limits,
        )
        .await?;
        self.note_contact(device, now).await
    }

    /// Writes down that a device has wiped what it had stored, if this sign-out
    /// ended the session that it shows.
    ///
    /// One `BatchGetItem` of Devices (`account_id`, `device_id`) and Receipts (the
    /// header and the part), consistent; the index, when the sweep has not come to
    /// the device yet; then as [`Store::record_step`]. A device that has signed in again
    /// is known by the record of its dead session.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be judged, or is not known to have been
    /// written.
    pub async fn acknowledge(
        &self,
        account: AccountId,
        device: DeviceId,
        proof: SessionProof,
        sign_out: SignOutId,
        now: Timestamp,
        limits: &Limits,
    ) -> Result<AcknowledgeOutcome, StoreError> {
        let (row, header, part) = self.concerned(account, device, sign_out).await?;
        let of_row = row.filter(|row| proof.fits(&EndedSession::from(row)));
        let of_part = part.filter(|part| proof.fits(&part.session));
        let of_header = header.as_ref().and_then(|header| match &header.target {
            SignOutTarget::One(one) if one.device == device && proof.fits(one) => Some(one.clone()),
            _ => None,
        });
        let is_known = of_row.is_some() || of_part.is_some() || of_header.is_some();
        let by_row = match (&of_row, &header) {
            // The part knows it already.
            _ if of_part.is_some() => false,
            (Some(row), Some(header)) if row.is_in_receipt_of(&header.end_info(), limits) => {
                self.ended_by(row, header).await?
            }
            _ => false,
        };
        let (Some(header), true) = (header, by_row || of_part.is_some() || of_header.is_some())
        else {
            return Ok(if is_known {
                AcknowledgeOutcome::NotEnded
            } else {
                AcknowledgeOutcome::UnknownSession
            });
        };
        if of_part
            .as_ref()
            .is_some_and(|part| part.acknowledged_at.is_some())
        {
            return Ok(AcknowledgeOutcome::Acknowledged);
        }
        let session = of_part
            .map(|part| part.session)
            .or(of_header)
            .or(of_row.as_ref().map(EndedSession::from));
        if let Some(session) = session {
            let ended = header.end_info();
            self.record_step(account, &ended, &session, Step::Acknowledged, now, limits)
                .await?;
        }
        Ok(AcknowledgeOutcome::Acknowledged)
    }

    /// Whether it was this sign-out that ended the session of the row.
    async fn ended_by(&self, row: &Device, sign_out: &SignOut) -> Result<bool, StoreError> {
        Ok(match &row.state {
            DeviceState::SignedOut(ended) => ended.sign_out == sign_out.id,
            DeviceState::SignedIn if sign_out.ends(row.session, row.epoch) => {
                let sign_outs = self.sign_outs_since(row.account, row.epoch).await?;
                first_to_end(&sign_outs, row.session, row.epoch)
                    .is_some_and(|first| first.id == sign_out.id)
            }
            DeviceState::SignedIn => false,
        })
    }

    /// The row of a device, the header of a sign-out, and its part for the device.
    async fn concerned(
        &self,
        account: AccountId,
        device: DeviceId,
        sign_out: SignOutId,
    ) -> Result<(Option<Device>, Option<SignOut>, Option<ReceiptEntry>), StoreError> {
        let header_key = key(account, &sign_out.to_string());
        let part_key = key(account, &part_name(sign_out, device));
        let ask = HashMap::from([
            (
                self.tables.devices.clone(),
                consistent(vec![devices::key(account, device)]),
            ),
            (
                self.tables.receipts.clone(),
                consistent(vec![header_key, part_key]),
            ),
        ]);
        let (mut row, mut header, mut part) = (None, None, None);
        for (table, items) in self.read(ask).await? {
            for item in items {
                if table == self.tables.devices {
                    row = Some(devices::from_item(&item)?);
                } else if is_part(&item)? {
                    part = Some(part_from_item(&item)?);
                } else {
                    header = Some(from_item(&item)?);
                }
            }
        }
        Ok((row, header, part))
    }

    /// The update of a session's part, with the step that it takes, if any.
    pub(crate) fn part(
        &self,
        account: AccountId,
        ended: &EndInfo,
        session: &EndedSession,
        step: Option<(Step, Timestamp)>,
        limits: &Limits,
    ) -> Update {
        let mut values = facts(session);
        values.push((REFUSED_AT, moment(ended.at)));
        values.push((DELETE_AT, ttl(limits.sign_out_kept_until(ended.at))));
        if let Some((step, now)) = step {
            let attribute = match step {
                Step::Pushed => PUSHED_AT,
                Step::Contacted => CONTACTED_AT,
                Step::Acknowledged => ACKNOWLEDGED_AT,
            };
            values.push((attribute, moment(now)));
        }
        let set: Vec<_> = values
            .iter()
            .map(|(attribute, _)| format!("{attribute} = if_not_exists({attribute}, :{attribute})"))
            .collect();
        let update = values.into_iter().fold(
            Update::builder()
                .table_name(&self.tables.receipts)
                .set_key(Some(key(
                    account,
                    &part_name(ended.sign_out, session.device),
                )))
                .update_expression(format!("SET {}", set.join(", "))),
            |update, (attribute, value)| {
                update.expression_attribute_values(format!(":{attribute}"), value)
            },
        );
        built(update.build())
    }

    /// Reads the sign-outs that ended this epoch of the account or a later one,
    /// in the order of their epochs.
    ///
    /// `Query` of Receipts by its local index (`account_id`, `ended_epoch`),
    /// consistent, followed to its end. The index only tells how a session that
    /// is known to be over came to its end; it decides nothing.
    ///
    /// # Errors
    /// [`StoreError`] when any could not be read.
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
            .expression_attribute_values(":account", text(account))
            .expression_attribute_values(":epoch", number(epoch.0));
        all(query).await?.iter().map(from_item).collect()
    }

    /// How a session that the account's epoch has left behind came to its end.
    ///
    /// Reads as [`Store::sign_outs_since`].
    ///
    /// # Errors
    /// [`StoreError`] when it could not be read, or when there is no record: one
    /// is written with each epoch, and outlives the rows that it ended.
    pub async fn end_by_epoch(&self, device: &Device) -> Result<EndInfo, StoreError> {
        let sign_outs = self.sign_outs_since(device.account, device.epoch).await?;
        first_to_end(&sign_outs, device.session, device.epoch)
            .map(SignOut::end_info)
            .ok_or(StoreError::Corrupt {
                table: TABLE,
                attribute: ENDED_EPOCH,
            })
    }
}

/// The put of a header. It has a key of its own, so it needs no condition; it
/// goes in the same transaction as the act.
pub(crate) fn put(table: &str, sign_out: &SignOut, limits: &Limits) -> Put {
    let mut item = Item::new();
    let mut set = |attribute: &str, value: AttributeValue| {
        item.insert(attribute.to_owned(), value);
    };
    set(ACCOUNT_ID, text(sign_out.account));
    set(SIGN_OUT_ID, text(sign_out.id));
    set(SCOPE, text(sign_out.scope.as_str()));
    set(REASON, text(sign_out.reason.as_str()));
    set(REQUESTED_AT, moment(sign_out.at));
    set(DELETE_AT, ttl(limits.sign_out_kept_until(sign_out.at)));
    if let Some(by) = &sign_out.by {
        set(REQUESTED_BY, text(by.id));
        set(REQUESTED_BY_NAME, text(&by.name));
    }
    match &sign_out.target {
        SignOutTarget::One(one) => {
            for (attribute, value) in facts(one) {
                set(attribute, value);
            }
        }
        SignOutTarget::Epoch { ended, kept } => {
            set(ENDED_EPOCH, number(ended.0));
            if let Some(kept) = kept {
                set(KEPT_SESSION, text(kept));
            }
        }
    }
    built(
        Put::builder()
            .table_name(table)
            .set_item(Some(item))
            .build(),
    )
}

pub(crate) fn from_item(item: &Item) -> Result<SignOut, StoreError> {
    let row = Reader::new(TABLE, item);
    let by = match row.parsed_if(REQUESTED_BY, |id| id.parse().ok())? {
        Some(id) => {
            let name = row.text(REQUESTED_BY_NAME)?.to_owned();
            Some(ByDevice { id, name })
        }
        None => None,
    };
    let target = if row.has(ENDED_EPOCH) {
        SignOutTarget::Epoch {
            ended: Epoch(row.number(ENDED_EPOCH)?),
            kept: row.parsed_if(KEPT_SESSION, |id| id.parse().ok())?,
        }
    } else {
        SignOutTarget::One(ended_session(&row)?)
    };
    Ok(SignOut {
        account: row.parsed(ACCOUNT_ID, |id| id.parse().ok())?,
        id: row.parsed(SIGN_OUT_ID, |id| id.parse().ok())?,
        scope: row.parsed(SCOPE, Scope::parse)?,
        reason: row.parsed(REASON, Reason::parse)?,
        at: row.moment(REQUESTED_AT)?,
        by,
        target,
    })
}

fn key(account: AccountId, name: &str) -> Item {
    Item::from([
        (ACCOUNT_ID.to_owned(), text(account)),
        (SIGN_OUT_ID.to_owned(), text(name)),
    ])
}

fn part_name(sign_out: SignOutId, device: DeviceId) -> String {
    format!("{sign_out}#{device}")
}

fn is_part(item: &Item) -> Result<bool, StoreError> {
    Ok(Reader::new(TABLE, item).text(SIGN_OUT_ID)?.contains('#'))
}

/// What a header or a part says of the session that was ended.
pub(crate) fn facts(session: &EndedSession) -> Vec<(&'static str, AttributeValue)> {
    vec![
        (DEVICE_ID, text(session.device)),
        (SESSION_ID, text(session.session)),
        (EPOCH, number(session.epoch.0)),
        (TOKEN_HASH, bytes(session.token_hash.as_bytes())),
        (NAME, text(&session.name)),
        (DEVICE_TYPE, text(session.device_type.as_str())),
    ]
}

pub(crate) fn ended_session(row: &Reader<'_>) -> Result<EndedSession, StoreError> {
    Ok(EndedSession {
        device: row.parsed(DEVICE_ID, |id| id.parse().ok())?,
        session: row.parsed(SESSION_ID, |id| id.parse().ok())?,
        epoch: Epoch(row.number(EPOCH)?),
        token_hash: TokenHash::from_bytes(row.bytes(TOKEN_HASH)?),
        name: row.text(NAME)?.to_owned(),
        device_type: row.parsed(DEVICE_TYPE, DeviceType::parse)?,
    })
}

fn part_from_item(item: &Item) -> Result<ReceiptEntry, StoreError> {
    let row = Reader::new(TABLE, item);
    Ok(ReceiptEntry {
        session: ended_session(&row)?,
        refused_at: row.moment(REFUSED_AT)?,
        pushed_at: row.moment_if(PUSHED_AT)?,
        contacted_at: row.moment_if(CONTACTED_AT)?,
        acknowledged_at: row.moment_if(ACKNOWLEDGED_AT)?,
    })
}
