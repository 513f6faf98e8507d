//! The device keys of a request: which device signs in, and by which key.

use domain::recognition::is_recognized;
use domain::{Account, AccountId, Device, DeviceId, DeviceKey, EmailAddress, Limits, Timestamp};
use store::{Rows, Store, StoreError};
use zeroize::Zeroizing;

use crate::cookies::DEVICE_COOKIE;
use crate::problem::Problem;
use crate::request::Request;

/// The most keys in a page's cookie: one for each account that signs in there. The one
/// used longest ago gives way.
const MAX_IN_COOKIE: usize = 8;

/// The character between two keys in the cookie.
const SEPARATOR: char = '.';

/// The device keys of a request, the one used last at the end.
///
/// Every attempt of a request uses the same keys, and so does a client that sends its
/// request again: a session whose write succeeded unnoticed is found and replaced.
#[derive(Debug, Default)]
pub struct DeviceKeys {
    keys: Vec<DeviceKey>,
    /// The number of them that came in the page's cookie. They are the first ones.
    in_cookie: usize,
}

/// The key of the device that signs in, and the row that it names, if there is one.
#[derive(Debug)]
pub struct Identified<'a> {
    /// The key.
    pub key: &'a DeviceKey,
    /// The row.
    pub before: Option<Device>,
}

impl DeviceKeys {
    /// Reads the keys in a page's cookie. Skips malformed ones: no script can fix that
    /// cookie, and the answer replaces it.
    #[must_use]
    pub fn from_cookie(request: &Request) -> Self {
        let cookies = request.cookies(DEVICE_COOKIE);
        let [cookie] = cookies.as_slice() else {
            return Self::default();
        };
        let keys = cookie.rsplit(SEPARATOR).take(MAX_IN_COOKIE);
        let mut keys: Vec<_> = keys.filter_map(|key| DeviceKey::parse(key).ok()).collect();
        keys.reverse();
        let in_cookie = keys.len();
        Self { keys, in_cookie }
    }

    /// Reads the keys of an allowed page's cookie, and adds the key that the request has in its
    /// body.
    ///
    /// # Errors
    /// `request-invalid` for a malformed key in the body.
    pub fn presented(request: &Request, key: Option<&str>) -> Result<Self, Problem> {
        let mut keys = match request.require_origin() {
            Ok(()) => Self::from_cookie(request),
            Err(_) => Self::default(),
        };
        if let Some(key) = key {
            let key = DeviceKey::parse(key)
                .map_err(|error| Problem::invalid("device_key", error.to_string()))?;
            keys.add(key);
        }
        Ok(keys)
    }

    /// Adds the key that the request has in its body.
    pub fn add(&mut self, key: DeviceKey) {
        self.keys.push(key);
    }

    /// Reads the account of an address and the rows of the keys in it. For an unknown
    /// address, reads those of `unknown`, a random account, so that it costs the same.
    ///
    /// # Errors
    /// [`StoreError`] when a read failed.
    pub async fn first_rows(
        &self,
        store: &Store,
        address: &EmailAddress,
        unknown: AccountId,
    ) -> Result<(AccountId, Rows), StoreError> {
        let found = store.account_by_email(address).await?;
        let account = found.unwrap_or(unknown);
        let rows = store.rows(account, &self.devices_in(account)).await?;
        Ok((account, rows))
    }

    /// Returns the device that each key names in an account.
    #[must_use]
    pub fn devices_in(&self, account: AccountId) -> Vec<DeviceId> {
        self.keys.iter().map(|key| key.device_in(account)).collect()
    }

    /// Returns the key that was used last.
    #[must_use]
    pub fn last(&self) -> Option<&DeviceKey> {
        self.keys.last()
    }

    /// Returns the last key that names one of the rows, if that device is recognized.
    #[must_use]
    pub fn recognized(
        &self,
        account: &Account,
        rows: &[Device],
        limits: &Limits,
        now: Timestamp,
    ) -> Option<&DeviceKey> {
        let (key, row) = self.find(account, rows)?;
        is_recognized(account, &rows[row], limits, now).then(|| &self.keys[key])
    }

    /// Returns the last key that names one of the rows, with this row. Without one,
    /// returns a key for a new device, and makes it of the secret if the request has none.
    #[must_use]
    pub fn identify(
        &mut self,
        account: &Account,
        rows: Vec<Device>,
        now: Timestamp,
        secret: [u8; 32],
    ) -> Identified<'_> {
        if let Some((at, row)) = self.find(account, &rows) {
            let before = rows.into_iter().nth(row);
            return Identified {
                key: &self.keys[at],
                before,
            };
        }
        let may_be_new = |key: &DeviceKey| key.may_name_new_device(now);
        let at = self.keys.iter().rposition(may_be_new).unwrap_or_else(|| {
            self.keys.push(DeviceKey::new(now, secret));
            self.keys.len() - 1
        });
        Identified {
            key: &self.keys[at],
            before: None,
        }
    }

    /// Returns the positions of the last key that names one of the rows, and of this row.
    fn find(&self, account: &Account, rows: &[Device]) -> Option<(usize, usize)> {
        let is_named = |key: &DeviceKey, row: &Device| {
            key.device_in(account.id) == row.id && key.hash_in(account.id).matches(&row.key_hash)
        };
        self.keys.iter().enumerate().rev().find_map(|(at, key)| {
            let row = rows.iter().position(|row| is_named(key, row))?;
            Some((at, row))
        })
    }

    /// Returns the value of a page's cookie: the keys that it had, and the used one at the
    /// end. An unused key of the body would crowd out another account's.
    #[must_use]
    pub fn to_cookie(&self, used: &str) -> Zeroizing<String> {
        let had = &self.keys[..self.in_cookie];
        let texts: Vec<_> = had.iter().map(DeviceKey::to_text).collect();
        let others = texts
            .iter()
            .map(|key| key.as_str())
            .filter(|key| *key != used);
        let mut kept: Vec<&str> = others.collect();
        kept.drain(..(kept.len() + 1).saturating_sub(MAX_IN_COOKIE));
        kept.push(used);
        Zeroizing::new(kept.join(&SEPARATOR.to_string()))
    }
}
