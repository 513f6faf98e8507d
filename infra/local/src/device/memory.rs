//! What a device stores: its device key, which outlives every sign-out; and its
//! session and what its app keeps for the account, which do not.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::Secret;

/// How a device key begins.
const KEY_PREFIX: &str = "cfd_";

/// What a device knows of its session.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Session {
    /// The secret.
    pub token: Secret,
    /// The session's id, by which the socket names it.
    pub id: String,
    /// The device's id.
    pub device: String,
    /// The account's id.
    pub account: String,
}

/// All that is stored for an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
struct Account {
    session: Option<Session>,
    /// Whose entries these are; known for as long as they are there.
    owner: Option<String>,
    entries: BTreeMap<String, String>,
    /// A wipe has begun. Whoever finds this finishes it.
    wiping: bool,
}

/// The storage of one device.
#[derive(Debug)]
pub struct Memory {
    account: Account,
    disk: Option<Disk>,
    /// The device key of a device without a disk.
    key: Option<Secret>,
}

#[derive(Debug)]
struct Disk {
    folder: PathBuf,
    /// Whether the session and the entries are written down, too.
    remembers: bool,
    _lock: File,
}

impl Memory {
    /// A memory that ends with the process.
    #[must_use]
    pub fn fleeting() -> Self {
        Self {
            account: Account::default(),
            disk: None,
            key: None,
        }
    }

    /// A memory that keeps the device key in this folder, and nothing else.
    ///
    /// # Errors
    /// When the folder can't be used, or another device uses it.
    pub fn of_key(folder: PathBuf) -> Result<Self> {
        Self::open(folder, false)
    }

    /// A memory that keeps everything in this folder, as a television does that
    /// is switched off and on again. A wipe that was begun is finished.
    ///
    /// # Errors
    /// When the folder can't be used, or another device uses it.
    pub fn of_everything(folder: PathBuf) -> Result<Self> {
        Self::open(folder, true)
    }

    fn open(folder: PathBuf, remembers: bool) -> Result<Self> {
        fs::create_dir_all(&folder)
            .with_context(|| format!("could not make {}", folder.display()))?;
        let lock = File::create(folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another device uses {}", folder.display())
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).context("could not lock the folder");
            }
        }
        let disk = Disk {
            folder,
            remembers,
            _lock: lock,
        };
        let account = disk.account()?;
        let mut memory = Self {
            account,
            disk: Some(disk),
            key: None,
        };
        if memory.account.wiping {
            memory
                .wipe()
                .context("could not finish the wipe that was begun")?;
        }
        Ok(memory)
    }

    /// The folder, when there is one.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.disk.as_ref().map(|disk| disk.folder.as_path())
    }

    /// The key of the last sign-in, if there was one.
    ///
    /// # Errors
    /// When it is there and can't be read.
    pub fn key(&self) -> io::Result<Option<Secret>> {
        let Some(disk) = &self.disk else {
            return Ok(self.key.clone());
        };
        let text = read(&disk.key_path())?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        // What is no key is worth nothing: the next sign-in replaces it.
        Ok(Some(text.trim())
            .filter(|text| text.starts_with(KEY_PREFIX))
            .map(Secret::new))
    }

    /// The session, if there is one.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.account.session.as_ref()
    }

    /// What is stored for the account.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<String, String> {
        &self.account.entries
    }

    /// Stores a session that has just begun, and the key that came with it. What
    /// was stored for another account goes first.
    ///
    /// # Errors
    /// When it can't be written; then it is not the device's session.
    pub fn begin(&mut self, session: Session, key: Option<&Secret>) -> io::Result<()> {
        let owner = self.account.owner.as_ref();
        if owner.is_some_and(|owner| *owner != session.account) {
            self.wipe()?;
        }
        if let Some(key) = key {
            self.keep(key)?;
        }
        self.account.owner = Some(session.account.clone());
        self.account.session = Some(session);
        self.save()
    }

    /// Forgets a session that is over, if it still is the device's, and tells
    /// whether it was. What is stored for the account stays.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn forget(&mut self, session: &Session) -> io::Result<bool> {
        if self.session() != Some(session) {
            return Ok(false);
        }
        self.account.session = None;
        self.save()?;
        Ok(true)
    }

    /// Stores a text for the account.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn store(&mut self, key: String, value: String) -> io::Result<()> {
        self.account.entries.insert(key, value);
        self.save()
    }

    /// Removes everything but the device key. A process that ends in between
    /// leaves a note, by which the next one finishes it.
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
            Some(disk) if disk.remembers => remove(&disk.account_path()),
            _ => Ok(()),
        }
    }

    fn keep(&mut self, key: &Secret) -> io::Result<()> {
        match &self.disk {
            None => self.key = Some(key.clone()),
            Some(disk) => write(&disk.key_path(), format!("{}\n", key.reveal()).as_bytes())?,
        }
        Ok(())
    }

    fn save(&self) -> io::Result<()> {
        match &self.disk {
            Some(disk) if disk.remembers => {
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

    /// What an earlier process left. A device that remembers nothing removes it.
    fn account(&self) -> Result<Account> {
        let path = self.account_path();
        if !self.remembers {
            remove(&path)?;
            return Ok(Account::default());
        }
        match read(&path)? {
            None => Ok(Account::default()),
            Some(text) => serde_json::from_slice(&text)
                .with_context(|| format!("{} can't be read", path.display())),
        }
    }
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes in one piece, for the owner's eyes.
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
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::{Memory, Session};
    use crate::device::Secret;
    use crate::target;

    /// An empty folder of this name.
    fn folder(name: &str) -> PathBuf {
        let folder = target().join("tests-of-devices").join(name);
        let _ = fs::remove_dir_all(&folder);
        folder
    }

    fn session(account: &str, id: &str) -> Session {
        Session {
            token: Secret::new(format!("cft_{id}")),
            id: id.into(),
            device: "tv".into(),
            account: account.into(),
        }
    }

    /// Whether a text stands anywhere in a folder.
    fn stands_in(folder: &PathBuf, text: &str) -> bool {
        fs::read_dir(folder).unwrap().any(|file| {
            let bytes = fs::read(file.unwrap().path()).unwrap();
            String::from_utf8_lossy(&bytes).contains(text)
        })
    }

    #[test]
    fn a_wipe_leaves_the_device_key_alone() {
        let folder = folder("wipe");
        let mut memory = Memory::of_everything(folder.clone()).unwrap();
        let key = Secret::new("cfd_1");
        memory.begin(session("home", "1"), Some(&key)).unwrap();
        memory.store("film".into(), "at 12 minutes".into()).unwrap();
        assert!(stands_in(&folder, "cft_1") && stands_in(&folder, "at 12 minutes"));

        memory.wipe().unwrap();

        assert!(!stands_in(&folder, "cft_1") && !stands_in(&folder, "at 12 minutes"));
        assert_eq!((memory.session(), memory.entries().len()), (None, 0));
        assert_eq!(memory.key().unwrap(), Some(key));
    }

    #[test]
    fn a_device_that_is_switched_on_again_goes_on() {
        let folder = folder("on-again");
        let mut memory = Memory::of_everything(folder.clone()).unwrap();
        memory.begin(session("home", "1"), None).unwrap();
        memory.store("film".into(), "at 12 minutes".into()).unwrap();
        assert!(
            Memory::of_everything(folder.clone()).is_err(),
            "it is taken"
        );
        drop(memory);

        let memory = Memory::of_everything(folder).unwrap();

        assert_eq!(memory.session(), Some(&session("home", "1")));
        assert_eq!(memory.entries().len(), 1);
    }

    #[test]
    fn a_wipe_that_was_begun_is_finished() {
        let folder = folder("begun");
        let mut memory = Memory::of_everything(folder.clone()).unwrap();
        memory.begin(session("home", "1"), None).unwrap();
        memory.store("film".into(), "at 12 minutes".into()).unwrap();
        memory.account.wiping = true;
        memory.save().unwrap();
        drop(memory);

        let memory = Memory::of_everything(folder.clone()).unwrap();

        assert_eq!((memory.session(), memory.entries().len()), (None, 0));
        assert!(!stands_in(&folder, "at 12 minutes"));
    }

    #[test]
    fn a_memory_of_the_key_writes_nothing_else() {
        let folder = folder("key");
        let mut memory = Memory::of_key(folder.clone()).unwrap();
        let key = Secret::new("cfd_1");
        memory.begin(session("home", "1"), Some(&key)).unwrap();
        memory.store("film".into(), "at 12 minutes".into()).unwrap();
        assert!(!stands_in(&folder, "cft_1") && !stands_in(&folder, "at 12 minutes"));
        let file = folder.join("device-key");
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(memory);

        let memory = Memory::of_key(folder).unwrap();

        assert_eq!(memory.session(), None);
        assert_eq!(memory.key().unwrap(), Some(key));
    }

    #[test]
    fn another_account_finds_nothing() {
        let mut memory = Memory::fleeting();
        memory.begin(session("home", "1"), None).unwrap();
        memory.store("film".into(), "at 12 minutes".into()).unwrap();
        assert!(memory.forget(&session("home", "1")).unwrap());
        memory.begin(session("home", "2"), None).unwrap();
        assert_eq!(memory.entries().len(), 1, "the same account finds its own");

        memory.begin(session("elsewhere", "3"), None).unwrap();

        assert_eq!(memory.entries().len(), 0);
        assert_eq!(memory.session(), Some(&session("elsewhere", "3")));
    }

    #[test]
    fn a_session_that_was_replaced_is_not_forgotten_late() {
        let mut memory = Memory::fleeting();
        memory.begin(session("home", "1"), None).unwrap();
        memory.begin(session("home", "2"), None).unwrap();

        assert!(!memory.forget(&session("home", "1")).unwrap());

        assert_eq!(memory.session(), Some(&session("home", "2")));
    }
}
