//! The names of the attributes, and the readers and writers of single values.

use std::collections::HashMap;
use std::str::FromStr;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use domain::Timestamp;

use crate::error::StoreError;

pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) const ACCOUNT_ID: &str = "account_id";
pub(crate) const DEVICE_ID: &str = "device_id";
pub(crate) const SIGN_OUT_ID: &str = "sign_out_id";
pub(crate) const EMAIL: &str = "email";
pub(crate) const PASSWORD_HASH: &str = "password_hash";
pub(crate) const EPOCH: &str = "epoch";
pub(crate) const KEPT_SESSION: &str = "kept_session";
pub(crate) const DISABLED_AT: &str = "disabled_at";
pub(crate) const CREATED_AT: &str = "created_at";
pub(crate) const CONFIRMED_AT: &str = "confirmed_at";
pub(crate) const RECOVERED_AT: &str = "recovered_at";
pub(crate) const RECOVERED_EPOCH: &str = "recovered_epoch";
/// The factors of an account: a list of maps.
pub(crate) const FACTORS: &str = "factors";
/// The time when the removal of lost factors was asked for.
pub(crate) const FACTORS_LOST_AT: &str = "factors_lost_at";
pub(crate) const FACTOR_ID: &str = "factor_id";
pub(crate) const ADDED_AT: &str = "added_at";
pub(crate) const MADE_AT: &str = "made_at";
pub(crate) const FACTOR_NAME: &str = "factor_name";
pub(crate) const SEALED_SECRET: &str = "sealed_secret";
/// The last time step whose code was accepted.
pub(crate) const LAST_STEP: &str = "last_step";
/// The session that may confirm a factor; absent once it is confirmed.
pub(crate) const BEGUN_BY: &str = "begun_by";
pub(crate) const BEGUN_AT: &str = "begun_at";
/// The hashes of the recovery codes that are left, in base64url.
pub(crate) const CODE_HASHES: &str = "code_hashes";
pub(crate) const HELD_SINCE: &str = "held_since";
pub(crate) const HELD_BY: &str = "held_by";
pub(crate) const PREVIOUS_EMAIL: &str = "previous_email";
pub(crate) const ADDRESS_CHANGED_AT: &str = "address_changed_at";
pub(crate) const ADDRESS_CHANGE: &str = "address_change";
pub(crate) const SIGN_IN_CODES: &str = "sign_in_codes";
/// The time until which an address stays with the account that had it.
pub(crate) const KEPT_UNTIL: &str = "kept_until";
pub(crate) const SESSION_ID: &str = "session_id";
pub(crate) const STATE: &str = "state";
/// The sort key of the index of signed-in devices. Only rows whose state is
/// `signed_in` have it.
pub(crate) const SIGNED_IN_KEY: &str = "signed_in_key";
pub(crate) const TOKEN_HASH: &str = "token_hash";
pub(crate) const DEVICE_KEY_HASH: &str = "device_key_hash";
pub(crate) const DEVICE_TYPE: &str = "device_type";
pub(crate) const NAME: &str = "device_name";
pub(crate) const OWNER_NAME: &str = "owner_name";
pub(crate) const REPORTED_NAME: &str = "reported_name";
pub(crate) const OS: &str = "os";
pub(crate) const BROWSER: &str = "browser";
pub(crate) const APP: &str = "app";
pub(crate) const MODEL: &str = "model";
pub(crate) const IP: &str = "ip";
pub(crate) const CITY: &str = "city";
pub(crate) const COUNTRY: &str = "country";
pub(crate) const ACTIVE_IP: &str = "active_ip";
pub(crate) const ACTIVE_CITY: &str = "active_city";
pub(crate) const ACTIVE_COUNTRY: &str = "active_country";
pub(crate) const FIRST_SIGNED_IN_AT: &str = "first_signed_in_at";
pub(crate) const SIGNED_IN_AT: &str = "signed_in_at";
pub(crate) const VERIFIED_AT: &str = "verified_at";
pub(crate) const PREVIOUS_TOKEN_HASH: &str = "previous_token_hash";
pub(crate) const PREVIOUS_TOKEN_UNTIL: &str = "previous_token_until";
pub(crate) const UNPROVEN_ACTS: &str = "unproven_acts";
pub(crate) const UNPROVEN_ACTS_DAY: &str = "unproven_acts_day";
pub(crate) const LAST_ACTIVE_AT: &str = "last_active_at";
pub(crate) const EXPIRES_AT: &str = "expires_at";
pub(crate) const RECOGNIZED_UNTIL: &str = "recognized_until";
pub(crate) const ACTS_HOUR: &str = "acts_hour";
pub(crate) const ACTS: &str = "acts";
pub(crate) const SIGNED_OUT_AT: &str = "signed_out_at";
pub(crate) const SIGNED_OUT_BY: &str = "signed_out_by";
pub(crate) const SIGNED_OUT_BY_NAME: &str = "signed_out_by_name";
pub(crate) const REASON: &str = "reason";
pub(crate) const SCOPE: &str = "scope";
pub(crate) const REQUESTED_AT: &str = "requested_at";
pub(crate) const REQUESTED_BY: &str = "requested_by";
pub(crate) const REQUESTED_BY_NAME: &str = "requested_by_name";
pub(crate) const RECORD: &str = "record";
pub(crate) const ENDED_EPOCH: &str = "ended_epoch";
pub(crate) const FROM_EPOCH: &str = "from_epoch";
pub(crate) const REFUSED_AT: &str = "refused_at";
pub(crate) const SEEN_AT: &str = "seen_at";
pub(crate) const NOTIFIED_AT: &str = "notified_at";
pub(crate) const WIPED_AT: &str = "wiped_at";
pub(crate) const CONNECTION_ID: &str = "connection_id";
pub(crate) const CONNECTED_AT: &str = "connected_at";
/// The sort key of the index of open sockets.
pub(crate) const OPENED_KEY: &str = "opened_key";
pub(crate) const TICKET_HASH: &str = "ticket_hash";
pub(crate) const CHALLENGE_ID: &str = "challenge_id";
pub(crate) const PURPOSE: &str = "purpose";
pub(crate) const CODE_DIGEST: &str = "code_digest";
pub(crate) const LINK_HASH: &str = "link_hash";
pub(crate) const ASKED_AT: &str = "asked_at";
pub(crate) const TRIES_MADE: &str = "tries_made";
pub(crate) const ORIGIN: &str = "origin";
pub(crate) const NOTICE_SESSION: &str = "notice_session";
pub(crate) const NOTICE_ID: &str = "notice_id";
pub(crate) const KIND: &str = "kind";
pub(crate) const AT: &str = "at";
pub(crate) const REFERENCE: &str = "reference";
pub(crate) const QUEUED_AT: &str = "queued_at";
pub(crate) const RETURNED_AT: &str = "returned_at";
pub(crate) const PLACE: &str = "place";
/// The hashes of the tokens in the mails of a notice: one, or more after a retry.
pub(crate) const SECRET_HASHES: &str = "secret_hashes";
pub(crate) const ANSWER: &str = "answer";
pub(crate) const ANSWERED_AT: &str = "answered_at";
pub(crate) const COUNTER: &str = "counter";
/// The theoretical arrival time of a counter's next attempt.
pub(crate) const TAT: &str = "tat";
pub(crate) const IN_A_ROW: &str = "in_a_row";
/// The time of the first failure in a row.
pub(crate) const IN_A_ROW_SINCE: &str = "in_a_row_since";
/// The countries of the failures in a row.
pub(crate) const IN_A_ROW_FROM: &str = "in_a_row_from";
/// Seconds since 1970, for the table's TTL. Nothing is decided by it: DynamoDB may
/// delete the row days later.
pub(crate) const DELETE_AT: &str = "delete_at";
/// The kind of the last write to a device row, so that the stream can be filtered.
pub(crate) const LAST_WRITE: &str = "last_write";

pub(crate) const STATE_SIGNED_IN: &str = "signed_in";
pub(crate) const STATE_SIGNED_OUT: &str = "signed_out";
pub(crate) const WRITE_SIGN_IN: &str = "sign_in";
pub(crate) const WRITE_TOUCH: &str = "touch";
pub(crate) const WRITE_ACT: &str = "act";
pub(crate) const WRITE_SIGN_OUT: &str = "sign_out";
pub(crate) const WRITE_SWEEP: &str = "sweep";
pub(crate) const WRITE_RENAME: &str = "rename";
pub(crate) const WRITE_RECOGNIZE: &str = "recognize";
pub(crate) const WRITE_VERIFY: &str = "verify";

/// Returns the result of a builder whose required members are all set.
pub(crate) fn built<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    result.expect("every required member was set")
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "ids are copied, texts are borrowed"
)]
pub(crate) fn string(value: impl ToString) -> AttributeValue {
    AttributeValue::S(value.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "numbers are copied")]
pub(crate) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(crate) fn bytes(value: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new(value))
}

/// Writes milliseconds since 1970.
pub(crate) fn timestamp(value: Timestamp) -> AttributeValue {
    number(value.as_millisecond())
}

/// Writes whole seconds since 1970, rounded up so that no row goes too early.
pub(crate) fn ttl(value: Timestamp) -> AttributeValue {
    number(value.as_second() + 1)
}

/// Reads an item attribute by attribute. A missing or malformed one becomes
/// [`StoreError::Corrupt`] with its name; the `_opt` readers accept a missing one.
pub(crate) struct Reader<'a> {
    table: &'static str,
    item: &'a Item,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(table: &'static str, item: &'a Item) -> Self {
        Self { table, item }
    }

    pub(crate) fn corrupt(&self, attribute: &'static str) -> StoreError {
        StoreError::Corrupt {
            table: self.table,
            attribute,
        }
    }

    pub(crate) fn has(&self, attribute: &'static str) -> bool {
        self.item.contains_key(attribute)
    }

    pub(crate) fn str_opt(&self, attribute: &'static str) -> Result<Option<&'a str>, StoreError> {
        match self.item.get(attribute) {
            None => Ok(None),
            Some(AttributeValue::S(text)) => Ok(Some(text)),
            Some(_) => Err(self.corrupt(attribute)),
        }
    }

    pub(crate) fn str(&self, attribute: &'static str) -> Result<&'a str, StoreError> {
        self.required(attribute, self.str_opt(attribute))
    }

    pub(crate) fn string_opt(&self, attribute: &'static str) -> Result<Option<String>, StoreError> {
        Ok(self.str_opt(attribute)?.map(str::to_owned))
    }

    pub(crate) fn string(&self, attribute: &'static str) -> Result<String, StoreError> {
        self.required(attribute, self.string_opt(attribute))
    }

    /// Reads a string with a parser that returns `None` when it is malformed.
    pub(crate) fn parsed_opt<T>(
        &self,
        attribute: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        self.str_opt(attribute)?
            .map(|text| parse(text).ok_or_else(|| self.corrupt(attribute)))
            .transpose()
    }

    pub(crate) fn parsed<T>(
        &self,
        attribute: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        self.required(attribute, self.parsed_opt(attribute, parse))
    }

    pub(crate) fn id_opt<T: FromStr>(
        &self,
        attribute: &'static str,
    ) -> Result<Option<T>, StoreError> {
        self.parsed_opt(attribute, |id| id.parse().ok())
    }

    pub(crate) fn id<T: FromStr>(&self, attribute: &'static str) -> Result<T, StoreError> {
        self.required(attribute, self.id_opt(attribute))
    }

    pub(crate) fn number_opt<T: FromStr>(
        &self,
        attribute: &'static str,
    ) -> Result<Option<T>, StoreError> {
        match self.item.get(attribute) {
            None => Ok(None),
            Some(AttributeValue::N(digits)) => digits
                .parse()
                .map(Some)
                .map_err(|_| self.corrupt(attribute)),
            Some(_) => Err(self.corrupt(attribute)),
        }
    }

    pub(crate) fn number<T: FromStr>(&self, attribute: &'static str) -> Result<T, StoreError> {
        self.required(attribute, self.number_opt(attribute))
    }

    pub(crate) fn timestamp_opt(
        &self,
        attribute: &'static str,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.number_opt(attribute)?
            .map(|millis| Timestamp::from_millisecond(millis).map_err(|_| self.corrupt(attribute)))
            .transpose()
    }

    /// Returns the strings of a set, in their order; none if it is absent.
    pub(crate) fn strings(&self, attribute: &'static str) -> Result<Vec<String>, StoreError> {
        match self.item.get(attribute) {
            None => Ok(Vec::new()),
            Some(AttributeValue::Ss(strings)) => {
                let mut strings = strings.clone();
                strings.sort();
                Ok(strings)
            }
            Some(_) => Err(self.corrupt(attribute)),
        }
    }

    pub(crate) fn timestamp(&self, attribute: &'static str) -> Result<Timestamp, StoreError> {
        self.required(attribute, self.timestamp_opt(attribute))
    }

    pub(crate) fn bytes_opt(
        &self,
        attribute: &'static str,
    ) -> Result<Option<[u8; 32]>, StoreError> {
        match self.item.get(attribute) {
            None => Ok(None),
            Some(AttributeValue::B(blob)) => blob
                .as_ref()
                .try_into()
                .map(Some)
                .map_err(|_| self.corrupt(attribute)),
            Some(_) => Err(self.corrupt(attribute)),
        }
    }

    /// Returns bytes of any length.
    pub(crate) fn blob(&self, attribute: &'static str) -> Result<Vec<u8>, StoreError> {
        match self.item.get(attribute) {
            Some(AttributeValue::B(blob)) => Ok(blob.as_ref().to_vec()),
            Some(_) | None => Err(self.corrupt(attribute)),
        }
    }

    /// Returns the maps of a list, in their order; none if it is absent.
    pub(crate) fn maps(&self, attribute: &'static str) -> Result<Vec<&'a Item>, StoreError> {
        match self.item.get(attribute) {
            None => Ok(Vec::new()),
            Some(AttributeValue::L(values)) => values
                .iter()
                .map(|value| value.as_m().map_err(|_| self.corrupt(attribute)))
                .collect(),
            Some(_) => Err(self.corrupt(attribute)),
        }
    }

    pub(crate) fn bytes(&self, attribute: &'static str) -> Result<[u8; 32], StoreError> {
        self.required(attribute, self.bytes_opt(attribute))
    }

    fn required<T>(
        &self,
        attribute: &'static str,
        value: Result<Option<T>, StoreError>,
    ) -> Result<T, StoreError> {
        value?.ok_or_else(|| self.corrupt(attribute))
    }
}
