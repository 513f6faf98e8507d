//! Receipts: the header of each sign-out. Keys and item mapping. No policy.

use aws_sdk_dynamodb::types::{AttributeValue, Put};
use domain::account::Epoch;
use domain::device::Device;
use domain::sign_out::{ByDevice, Ended, Ending, SignOut, first_end};
use domain::token::TokenHash;
use domain::{AccountId, Limits, Reason, Scope};

use crate::accounts::built;
use crate::attributes::{
    ACCOUNT_ID, DELETE_AT, DEVICE_ID, ENDED_EPOCH, EPOCH, Item, KEPT_SESSION, REASON, REQUESTED_AT,
    REQUESTED_BY, REQUESTED_BY_NAME, Reader, SCOPE, SESSION_ID, SIGN_OUT_ID, TOKEN_HASH, bytes,
    moment, number, text, ttl,
};
use crate::error::StoreError;
use crate::{BY_ENDED_EPOCH, Store};

const TABLE: &str = "Receipts";

impl Store {
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
        let mut found = Vec::new();
        let mut start = None;
        loop {
            let answer = self
                .client
                .query()
                .table_name(&self.tables.receipts)
                .index_name(BY_ENDED_EPOCH)
                .key_condition_expression("account_id = :account AND ended_epoch >= :epoch")
                .expression_attribute_values(":account", text(account))
                .expression_attribute_values(":epoch", number(epoch.0))
                .consistent_read(true)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| StoreError::from_sdk("Query", error))?;
            for item in answer.items.unwrap_or_default() {
                found.push(from_item(&item)?);
            }
            start = answer.last_evaluated_key;
            if start.is_none() {
                return Ok(found);
            }
        }
    }

    /// How a session that the account's epoch has left behind came to its end.
    ///
    /// Reads as [`Store::sign_outs_since`].
    ///
    /// # Errors
    /// [`StoreError`] when it could not be read, or when there is no record: one
    /// is written with each epoch, and outlives the rows that it ended.
    pub async fn end_by_epoch(&self, device: &Device) -> Result<Ended, StoreError> {
        let sign_outs = self.sign_outs_since(device.account, device.epoch).await?;
        first_end(&sign_outs, device.session, device.epoch)
            .map(SignOut::ended)
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
    match &sign_out.ending {
        Ending::One {
            device,
            session,
            epoch,
            token_hash,
        } => {
            set(DEVICE_ID, text(device));
            set(SESSION_ID, text(session));
            set(EPOCH, number(epoch.0));
            set(TOKEN_HASH, bytes(token_hash.as_bytes()));
        }
        Ending::Epoch { ended, kept } => {
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
    let ending = if row.has(ENDED_EPOCH) {
        Ending::Epoch {
            ended: Epoch(row.number(ENDED_EPOCH)?),
            kept: row.parsed_if(KEPT_SESSION, |id| id.parse().ok())?,
        }
    } else {
        Ending::One {
            device: row.parsed(DEVICE_ID, |id| id.parse().ok())?,
            session: row.parsed(SESSION_ID, |id| id.parse().ok())?,
            epoch: Epoch(row.number(EPOCH)?),
            token_hash: TokenHash::from_bytes(row.bytes(TOKEN_HASH)?),
        }
    };
    Ok(SignOut {
        account: row.parsed(ACCOUNT_ID, |id| id.parse().ok())?,
        id: row.parsed(SIGN_OUT_ID, |id| id.parse().ok())?,
        scope: row.parsed(SCOPE, Scope::parse)?,
        reason: row.parsed(REASON, Reason::parse)?,
        at: row.moment(REQUESTED_AT)?,
        by,
        ending,
    })
}
