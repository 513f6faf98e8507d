//! A device's storage: its device key, which outlives every sign-out; and its
//! session and its app's data for the account, which a sign-out removes.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Secret, device_key};

/// The most accounts whose device keys are kept. The one used longest ago gives way.
const MAX_KEYS: usize = 20;

/// Device keys, each with the name of its account, the latest last.
type Keys = Vec<(String, Secret)>;

/// A session, as the device stores it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Session {
    /// The bearer token.
    pub token: Secret,
    /// The session's id, by which revocations name it.
    pub id: String,
    /// The device's id.
    pub device: String,
    /// The account's id.
    pub account: String,
    /// The account's address in its normal form.
    #[serde(default)]
    pub email: String,
}

/// Everything that is stored for an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
struct Account {
    session: Option<Session>,
    /// The account that the entries belong to, also after its session has expired.
    owner: Option<String>,
    entries: BTreeMap<String, String>,
    /// A wipe has begun. The next process finishes it.
    wiping: bool,
}

/// The storage of one device.
#[derive(Debug)]
pub struct Storage {
    account: Account,
    disk: Option<Disk>,
    /// The device keys, when there is no disk.
    keys: Keys,
}

#[derive(Debug)]
struct Disk {
    folder: PathBuf,
    /// True when the session and the entries are written as well.
    keeps_session: bool,
    /// Keeps other processes out of the folder.
    _lock: File,
}

impl Storage {
    /// Creates a storage that ends with the process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self {
            account: Account::default(),
            disk: None,
            keys: Keys::new(),
        }
    }

    /// Opens a storage that keeps only the device key in this folder.
    ///
    /// # Errors
    /// When the folder can't be used, or another device uses it.
    pub fn device_key_only(folder: PathBuf) -> io::Result<Self> {
        Self::open(folder, false)
    }

    /// Opens a storage that keeps everything in this folder, like a TV that is
    /// switched off and on again. Finishes a wipe that was interrupted.
    ///
    /// # Errors
    /// When the folder can't be used, or another device uses it.
    pub fn in_folder(folder: PathBuf) -> io::Result<Self> {
        Self::open(folder, true)
    }

    fn open(folder: PathBuf, keeps_session: bool) -> io::Result<Self> {
        let shown = folder.display().to_string();
        fs::create_dir_all(&folder).map_err(|error| context("can't create", &shown, &error))?;
        let lock = File::create(folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = format!("another device uses {shown}");
                return Err(io::Error::new(ErrorKind::ResourceBusy, text));
            }
            Err(TryLockError::Error(error)) => return Err(context("can't lock", &shown, &error)),
        }
        let disk = Disk {
            folder,
            keeps_session,
            _lock: lock,
        };
        let mut storage = Self {
            account: disk.account()?,
            disk: Some(disk),
            keys: Keys::new(),
        };
        if storage.account.wiping {
            storage.wipe()?;
        }
        Ok(storage)
    }

    /// Returns the device key of the last sign-in, if there was one.
    ///
    /// # Errors
    /// When the key is there and can't be read.
    pub fn device_key(&self) -> io::Result<Option<Secret>> {
        Ok(self.keys()?.pop().map(|(_, key)| key))
    }

    /// Returns the device key of the account with this address, if there is one.
    ///
    /// # Errors
    /// When the keys are there and can't be read.
    pub fn device_key_of(&self, email: &str) -> io::Result<Option<Secret>> {
        let account = account_name(email);
        let keys = self.keys()?;
        Ok(keys
            .into_iter()
            .find_map(|(name, key)| (name == account).then_some(key)))
    }

    fn keys(&self) -> io::Result<Keys> {
        let Some(disk) = &self.disk else {
            return Ok(self.keys.clone());
        };
        let text = read(&disk.key_path())?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        // A damaged key is skipped: the next sign-in makes another one.
        Ok(pairs
            .filter(|(_, key)| device_key::is_well_formed(key))
            .map(|(name, key)| (name.to_owned(), Secret::new(key)))
            .collect())
    }

    /// Returns the session, if there is one.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.account.session.as_ref()
    }

    /// Returns the app's data for the account.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<String, String> {
        &self.account.entries
    }

    /// Stores a new session and its device key. Removes another account's data
    /// first. Returns the session that it replaces, if that is another account's or
    /// another device's: nothing else can end it.
    ///
    /// # Errors
    /// When it can't be written; the device must not use the session then.
    pub fn begin(&mut self, session: Session, key: Option<&Secret>) -> io::Result<Option<Session>> {
        let replaced = self.account.session.clone();
        let owner = self.account.owner.as_ref();
        if owner.is_some_and(|owner| *owner != session.account) {
            self.wipe()?;
        }
        if let Some(key) = key {
            let mut keys = self.keys_with(&session.email, key)?;
            keys.drain(..keys.len().saturating_sub(MAX_KEYS));
            self.save_keys(keys)?;
        }
        let replaced = replaced.filter(|before| before.device != session.device);
        self.account.owner = Some(session.account.clone());
        self.account.session = Some(session);
        self.save()?;
        Ok(replaced)
    }

    /// Removes a session that has ended, and keeps the account's data. Returns
    /// false when the device has another session by now.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn forget(&mut self, session: &Session) -> io::Result<bool> {
        if self.token_of(session).is_none() {
            return Ok(false);
        }
        self.account.session = None;
        self.save()?;
        Ok(true)
    }

    /// Returns the present token of a session, if it is still the stored one. A
    /// verification replaces it.
    pub(crate) fn token_of(&self, session: &Session) -> Option<&Secret> {
        let stored = self.session().filter(|stored| stored.id == session.id);
        stored.map(|stored| &stored.token)
    }

    /// Replaces the token of a session, if it is still the stored one.
    pub(crate) fn rotate(&mut self, session: &Session, token: Secret) -> io::Result<()> {
        let stored = self.account.session.as_mut();
        let Some(stored) = stored.filter(|stored| stored.id == session.id) else {
            return Ok(());
        };
        stored.token = token;
        self.save()
    }

    /// Stores an entry for the account.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn store(&mut self, key: String, value: String) -> io::Result<()> {
        self.account.entries.insert(key, value);
        self.save()
    }

    /// Removes everything but the device key. If the process ends in between, the
    /// next one finishes the wipe.
    ///
    /// # Errors
    /// When it can't be removed.
    pub fn wipe(&mut self) -> io::Result<()> {
        self.account.session = None;
        self.account.wiping = true;
        self.save()?;
        self.account.entries.clear();
        self.account.owner = None;
        self.account.wiping = false;
        match &self.disk {
            Some(disk) if disk.keeps_session => remove(&disk.account_path()),
            _ => Ok(()),
        }
    }

    /// Stores the key of an account before its first sign-in. No other gives way yet: the
    /// address may be mistyped.
    pub(crate) fn store_key(&mut self, email: &str, key: &Secret) -> io::Result<()> {
        let keys = self.keys_with(email, key)?;
        self.save_keys(keys)
    }

    /// Removes the key of the account with this address.
    pub(crate) fn remove_key(&mut self, email: &str) -> io::Result<()> {
        let keys = self.keys_without(email)?;
        self.save_keys(keys)
    }

    fn keys_with(&self, email: &str, key: &Secret) -> io::Result<Keys> {
        let mut keys = self.keys_without(email)?;
        keys.push((account_name(email), key.clone()));
        Ok(keys)
    }

    fn keys_without(&self, email: &str) -> io::Result<Keys> {
        let account = account_name(email);
        let mut keys = self.keys()?;
        keys.retain(|(name, _)| *name != account);
        Ok(keys)
    }

    fn save_keys(&mut self, keys: Keys) -> io::Result<()> {
        if let Some(disk) = &self.disk {
            let line = |(name, key): &(String, Secret)| format!("{name} {}\n", key.reveal());
            let text: String = keys.iter().map(line).collect();
            write(&disk.key_path(), text.as_bytes())?;
        } else {
            self.keys = keys;
        }
        Ok(())
    }

    fn save(&self) -> io::Result<()> {
        match &self.disk {
            Some(disk) if disk.keeps_session => {
                write(&disk.account_path(), &serde_json::to_vec(&self.account)?)
            }
            _ => Ok(()),
        }
    }
}

impl Disk {
    fn key_path(&self) -> PathBuf {
        self.folder.join("device-key")
    }

    fn account_path(&self) -> PathBuf {
        self.folder.join("account.json")
    }

    /// Reads what an earlier process stored. A device that keeps no session
    /// removes it.
    fn account(&self) -> io::Result<Account> {
        let path = self.account_path();
        if !self.keeps_session {
            remove(&path)?;
            return Ok(Account::default());
        }
        match read(&path)? {
            None => Ok(Account::default()),
            Some(text) => Ok(serde_json::from_slice(&text)?),
        }
    }
}

/// Returns the name under which an account's device key is kept: a hash (FNV-1a), from
/// which the address can't be read.
fn account_name(email: &str) -> String {
    let email = email.trim().to_lowercase();
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    format!("{:x}", email.bytes().fold(0x811c_9dc5, step))
}

fn context(what: &str, path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what} {path}: {error}"))
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces a file in one step; only its owner may read it.
fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&partial)?;
    file.write_all(text)?;
    fs::rename(partial, path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
