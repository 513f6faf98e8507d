//! Device rows: keys, conditions, item mapping. No policy: expiry lives in
//! `domain`.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem, Update};
use domain::account::Epoch;
use domain::device::{Device, DeviceInfo, DeviceState, DeviceType, Place};
use domain::end_info::{ByDevice, EndInfo};
use domain::sign_out::EndedSession;
use domain::token::{DeviceKeyHash, TokenHash};
use domain::{AccountId, DeviceId, Limits, Reason, Scope, SessionId, SignOut, Timestamp};

use crate::accounts::built;
use crate::attributes::{
    ACCOUNT_ID, APP, BROWSER, CITY, CONTACTED_AT, COUNTRY, DELETE_AT, DEVICE_ID, DEVICE_KEY_HASH,
    DEVICE_TYPE, EPOCH, EXPIRES_AT, FIRST_SIGNED_IN_AT, IP, Item, LAST_ACTIVE_AT, LAST_WRITE,
    MODEL, NAME, OS, OWN_NAME, PREVIOUS_DEVICE_KEY_HASH, REASON, Reader, SCOPE, SESSION_ID,
    SIGN_OUT_ID, SIGNED_IN_AT, SIGNED_OUT_AT, SIGNED_OUT_BY, SIGNED_OUT_BY_NAME, STATE,
    STATE_SIGNED_IN, STATE_SIGNED_OUT, TOKEN_HASH, VERIFIED_AT, WRITE_SIGN_IN, WRITE_SIGN_OUT,
    WRITE_SWEEP, WRITE_TOUCH, bytes, moment, number, text, ttl,
};
use crate::error::StoreError;
use crate::{Store, WriteOutcome, retry};

const TABLE: &str = "Devices";

/// Some of an account's devices, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePage {
    /// The devices, the newest first.
    pub devices: Vec<Device>,
    /// The last device of this page, when more may follow.
    pub next: Option<DeviceId>,
}

impl Store {
    /// Puts a device's row with a new session.
    ///
    /// `PutItem` of Devices (`account_id`, `device_id`), only if the row still
    /// carries the session that was read, or is still absent when none was. A
    /// replay after a lost answer is refused by that condition, and so can't
    /// revive a session that was ended in between. No condition on the epoch is
    /// needed: a session that carries an old one is dead at birth.
    ///
    /// # Errors
    /// [`StoreError`] when it is not known to have been written.
    pub async fn sign_in(
        &self,
        device: &Device,
        replaced: Option<SessionId>,
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        let mut attempt = 0;
        loop {
            let put = self
                .client
                .put_item()
                .table_name(&self.tables.devices)
                .set_item(Some(to_item(device, limits)));
            let put = match replaced {
                None => put.condition_expression("attribute_not_exists(device_id)"),
                Some(session) => put
                    .condition_expression("session_id = :replaced")
                    .expression_attribute_values(":replaced", text(session)),
            };
            return match put.send().await {
                Ok(_) => Ok(WriteOutcome::Done),
                Err(SdkError::ServiceError(error))
                    if error.err().is_conditional_check_failed_exception() =>
                {
                    Ok(WriteOutcome::Stale)
                }
                Err(SdkError::ServiceError(error))
                    if error.err().is_transaction_conflict_exception() =>
                {
                    attempt += 1;
                    if attempt == retry::ATTEMPTS {
                        return Err(StoreError::Contended);
                    }
                    retry::pause(attempt).await;
                    continue;
                }
                Err(error) => Err(StoreError::from_sdk("PutItem", error)),
            };
        }
    }

    /// Puts a device's row with a new session in the place of one that a sign-out
    /// of the whole account has ended and nobody has marked yet, and keeps that
    /// one's part of the receipt.
    ///
    /// One transaction of Devices (`account_id`, `device_id`), only if the row
    /// still carries the session that was read and nobody has marked it, and
    /// Receipts (`account_id`, `sign_out_id#device_id`), where each attribute is
    /// written only if it is not there. The rows that were read need not be of one
    /// moment: a session that was signed out by itself before the epoch moved on
    /// has no part in what moved it. The new session is the transaction's token, so
    /// a replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when it is not known to have been written.
    pub async fn replace_unswept_session(
        &self,
        device: &Device,
        replaced: &EndedSession,
        ended: &EndInfo,
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        let put = Put::builder()
            .table_name(&self.tables.devices)
            .set_item(Some(to_item(device, limits)))
            .condition_expression("session_id = :replaced AND #state = :signed_in")
            .expression_attribute_names("#state", STATE)
            .expression_attribute_values(":replaced", text(replaced.session))
            .expression_attribute_values(":signed_in", text(STATE_SIGNED_IN));
        let part = self.part(device.account, ended, replaced, None, limits);
        let items = vec![
            TransactWriteItem::builder().put(built(put.build())).build(),
            TransactWriteItem::builder().update(part).build(),
        ];
        self.transact(items, device.session.to_string()).await
    }

    /// Writes down that the first contact of a dead session is in its receipt, so
    /// that later ones write nothing.
    ///
    /// `UpdateItem` of Devices (`account_id`, `device_id`), only if the row is
    /// still of this session. A replay changes nothing.
    pub(crate) async fn note_contact(
        &self,
        device: &Device,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sent = self
            .client
            .update_item()
            .table_name(&self.tables.devices)
            .set_key(Some(key(device.account, device.id)))
            .update_expression("SET contacted_at = if_not_exists(contacted_at, :now)")
            .condition_expression("session_id = :session")
            .expression_attribute_values(":now", moment(now))
            .expression_attribute_values(":session", text(device.session))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            // The device has signed in again meanwhile, or its row is busy: the
            // receipt has the contact, and the next one is noted there again.
            Err(SdkError::ServiceError(error))
                if error.err().is_conditional_check_failed_exception()
                    || error.err().is_transaction_conflict_exception() =>
            {
                Ok(())
            }
            Err(error) => Err(StoreError::from_sdk("UpdateItem", error)),
        }
    }

    /// Writes down that a session is active.
    ///
    /// `UpdateItem` of Devices (`account_id`, `device_id`), only if the row is
    /// still of this session and signed in; a late one never revives a session.
    /// A replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when it is not known to have been written. A row that is
    /// busy in a transaction is left alone: the next touch will do.
    pub async fn touch(
        &self,
        account: AccountId,
        device: DeviceId,
        session: SessionId,
        now: Timestamp,
    ) -> Result<WriteOutcome, StoreError> {
        let sent = self
            .client
            .update_item()
            .table_name(&self.tables.devices)
            .set_key(Some(key(account, device)))
            .update_expression("SET last_active_at = :now, last_write = :touch")
            .condition_expression("session_id = :session AND #state = :signed_in")
            .expression_attribute_names("#state", STATE)
            .expression_attribute_values(":now", moment(now))
            .expression_attribute_values(":touch", text(WRITE_TOUCH))
            .expression_attribute_values(":session", text(session))
            .expression_attribute_values(":signed_in", text(STATE_SIGNED_IN))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(WriteOutcome::Done),
            Err(SdkError::ServiceError(error))
                if error.err().is_conditional_check_failed_exception() =>
            {
                Ok(WriteOutcome::Stale)
            }
            Err(SdkError::ServiceError(error))
                if error.err().is_transaction_conflict_exception() =>
            {
                Err(StoreError::Contended)
            }
            Err(error) => Err(StoreError::from_sdk("UpdateItem", error)),
        }
    }

    /// Reads some of an account's devices, the newest first.
    ///
    /// `Query` of Devices (`account_id`), consistent, from the cursor on.
    ///
    /// # Errors
    /// [`StoreError`] when the page could not be read.
    pub async fn devices(
        &self,
        account: AccountId,
        after: Option<DeviceId>,
        limit: i32,
    ) -> Result<DevicePage, StoreError> {
        self.devices_from(account, after, Some(limit)).await
    }

    /// As [`Store::devices`], as many as the table gives at once when there is no
    /// limit.
    pub(crate) async fn devices_from(
        &self,
        account: AccountId,
        after: Option<DeviceId>,
        limit: Option<i32>,
    ) -> Result<DevicePage, StoreError> {
        let answer = self
            .client
            .query()
            .table_name(&self.tables.devices)
            .key_condition_expression("account_id = :account")
            .expression_attribute_values(":account", text(account))
            .consistent_read(true)
            .scan_index_forward(false)
            .set_limit(limit)
            .set_exclusive_start_key(after.map(|device| key(account, device)))
            .send()
            .await
            .map_err(|error| StoreError::from_sdk("Query", error))?;
        let devices = answer
            .items
            .unwrap_or_default()
            .iter()
            .map(from_item)
            .collect::<Result<_, _>>()?;
        let next = answer
            .last_evaluated_key
            .map(|last| Reader::new(TABLE, &last).parsed(DEVICE_ID, |id| id.parse().ok()))
            .transpose()?;
        Ok(DevicePage { devices, next })
    }

    /// Marks a session that a sign-out-all has ended: its row, and its part of
    /// the receipt.
    ///
    /// One transaction of Devices (`account_id`, `device_id`), only if the row is
    /// still of the session that was judged and signed in, and Receipts
    /// (`account_id`, `sign_out_id#device_id`), where each attribute is written
    /// only if it is not there. A session never changes its epoch, so the session
    /// that was judged is all there is to bind it to. A session that had run out
    /// before the sign-out is marked and has no part. A replay changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when it is not known to have been written.
    pub async fn sweep(
        &self,
        device: &Device,
        sign_out: &SignOut,
        limits: &Limits,
    ) -> Result<WriteOutcome, StoreError> {
        let ended = sign_out.end_info();
        let update = end(&self.tables.devices, device, &ended, WRITE_SWEEP);
        let mut items = vec![TransactWriteItem::builder().update(update).build()];
        // A session that had run out before was not ended by this sign-out.
        if !device.had_expired(sign_out.at, limits) {
            let session = EndedSession::from(device);
            let part = self.part(device.account, &ended, &session, None, limits);
            items.push(TransactWriteItem::builder().update(part).build());
        }
        // The session can be marked once only, so it names the transaction: spelt
        // otherwise than by `replace_unswept_session`, whose transaction made it. A token has 36
        // characters at the most.
        let token = format!("end-{}", device.session.to_string().replace('-', ""));
        self.transact(items, token).await
    }
}

/// The update that ends one session in its own row, on condition that it is
/// still the row's and signed in.
pub(crate) fn end(table: &str, device: &Device, ended: &EndInfo, write: &str) -> Update {
    let mut set = "SET #state = :signed_out, signed_out_at = :at, reason = :reason, \
                   #scope = :scope, sign_out_id = :sign_out, last_write = :write"
        .to_owned();
    let mut update = Update::builder()
        .table_name(table)
        .set_key(Some(key(device.account, device.id)))
        .condition_expression("session_id = :session AND #state = :signed_in")
        .expression_attribute_names("#state", STATE)
        .expression_attribute_names("#scope", SCOPE)
        .expression_attribute_values(":session", text(device.session))
        .expression_attribute_values(":signed_in", text(STATE_SIGNED_IN))
        .expression_attribute_values(":signed_out", text(STATE_SIGNED_OUT))
        .expression_attribute_values(":at", moment(ended.at))
        .expression_attribute_values(":reason", text(ended.reason.as_str()))
        .expression_attribute_values(":scope", text(ended.scope.as_str()))
        .expression_attribute_values(":sign_out", text(ended.sign_out))
        .expression_attribute_values(":write", text(write));
    if let Some(by) = &ended.by {
        set.push_str(", signed_out_by = :by, signed_out_by_name = :by_name");
        update = update
            .expression_attribute_values(":by", text(by.id))
            .expression_attribute_values(":by_name", text(&by.name));
    }
    built(update.update_expression(set).build())
}

/// The write mark of a sign-out of one device.
pub(crate) const SIGNED_OUT_ONE: &str = WRITE_SIGN_OUT;

pub(crate) fn key(account: AccountId, device: DeviceId) -> Item {
    Item::from([
        (ACCOUNT_ID.to_owned(), text(account)),
        (DEVICE_ID.to_owned(), text(device)),
    ])
}

fn to_item(device: &Device, limits: &Limits) -> Item {
    let mut item = key(device.account, device.id);
    let mut set = |attribute: &str, value: AttributeValue| {
        item.insert(attribute.to_owned(), value);
    };
    set(DEVICE_TYPE, text(device.info.device_type.as_str()));
    set(NAME, text(&device.info.name));
    set(SESSION_ID, text(device.session));
    set(TOKEN_HASH, bytes(device.token_hash.as_bytes()));
    set(DEVICE_KEY_HASH, bytes(device.key_hash.as_bytes()));
    set(EPOCH, number(device.epoch.0));
    set(FIRST_SIGNED_IN_AT, moment(device.first_signed_in_at));
    set(SIGNED_IN_AT, moment(device.signed_in_at));
    set(VERIFIED_AT, moment(device.verified_at));
    set(LAST_ACTIVE_AT, moment(device.last_active_at));
    set(EXPIRES_AT, moment(device.expires_at));
    set(DELETE_AT, ttl(limits.device_kept_until(device.expires_at)));
    set(LAST_WRITE, text(WRITE_SIGN_IN));
    let optional = [
        (OWN_NAME, &device.own_name),
        (OS, &device.info.os),
        (BROWSER, &device.info.browser),
        (APP, &device.info.app),
        (MODEL, &device.info.model),
        (IP, &device.place.ip),
        (CITY, &device.place.city),
        (COUNTRY, &device.place.country),
    ];
    for (attribute, value) in optional {
        if let Some(value) = value {
            set(attribute, text(value));
        }
    }
    if let Some(contacted_at) = device.contacted_at {
        set(CONTACTED_AT, moment(contacted_at));
    }
    if let Some(previous) = &device.previous_key_hash {
        set(PREVIOUS_DEVICE_KEY_HASH, bytes(previous.as_bytes()));
    }
    match &device.state {
        DeviceState::SignedIn => set(STATE, text(STATE_SIGNED_IN)),
        DeviceState::SignedOut(ended) => {
            set(STATE, text(STATE_SIGNED_OUT));
            set(SIGNED_OUT_AT, moment(ended.at));
            set(REASON, text(ended.reason.as_str()));
            set(SCOPE, text(ended.scope.as_str()));
            set(SIGN_OUT_ID, text(ended.sign_out));
            if let Some(by) = &ended.by {
                set(SIGNED_OUT_BY, text(by.id));
                set(SIGNED_OUT_BY_NAME, text(&by.name));
            }
        }
    }
    item
}

pub(crate) fn from_item(item: &Item) -> Result<Device, StoreError> {
    let row = Reader::new(TABLE, item);
    let state = match row.text(STATE)? {
        STATE_SIGNED_IN => DeviceState::SignedIn,
        STATE_SIGNED_OUT => DeviceState::SignedOut(EndInfo {
            at: row.moment(SIGNED_OUT_AT)?,
            by: match row.parsed_if(SIGNED_OUT_BY, |id| id.parse().ok())? {
                Some(id) => {
                    let name = row.text(SIGNED_OUT_BY_NAME)?.to_owned();
                    Some(ByDevice { id, name })
                }
                None => None,
            },
            reason: row.parsed(REASON, Reason::parse)?,
            scope: row.parsed(SCOPE, Scope::parse)?,
            sign_out: row.parsed(SIGN_OUT_ID, |id| id.parse().ok())?,
        }),
        _ => return Err(row.corrupt(STATE)),
    };
    Ok(Device {
        account: row.parsed(ACCOUNT_ID, |id| id.parse().ok())?,
        id: row.parsed(DEVICE_ID, |id| id.parse().ok())?,
        info: DeviceInfo {
            device_type: row.parsed(DEVICE_TYPE, DeviceType::parse)?,
            name: row.text(NAME)?.to_owned(),
            os: row.owned_if(OS)?,
            browser: row.owned_if(BROWSER)?,
            app: row.owned_if(APP)?,
            model: row.owned_if(MODEL)?,
        },
        own_name: row.owned_if(OWN_NAME)?,
        place: Place {
            ip: row.owned_if(IP)?,
            city: row.owned_if(CITY)?,
            country: row.owned_if(COUNTRY)?,
        },
        session: row.parsed(SESSION_ID, |id| id.parse().ok())?,
        token_hash: TokenHash::from_bytes(row.bytes(TOKEN_HASH)?),
        key_hash: DeviceKeyHash::from_bytes(row.bytes(DEVICE_KEY_HASH)?),
        previous_key_hash: row
            .bytes_if(PREVIOUS_DEVICE_KEY_HASH)?
            .map(DeviceKeyHash::from_bytes),
        epoch: Epoch(row.number(EPOCH)?),
        first_signed_in_at: row.moment(FIRST_SIGNED_IN_AT)?,
        signed_in_at: row.moment(SIGNED_IN_AT)?,
        verified_at: row.moment(VERIFIED_AT)?,
        last_active_at: row.moment(LAST_ACTIVE_AT)?,
        expires_at: row.moment(EXPIRES_AT)?,
        state,
        contacted_at: row.moment_if(CONTACTED_AT)?,
    })
}
