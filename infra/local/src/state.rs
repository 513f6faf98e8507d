//! The folder of a running stack: its lock, `stack.json` and other files with secrets,
//! and the files that the local AWS unpacks.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::record::Record;

/// Returns the record of the stack that is running in a folder, if there is one.
///
/// # Errors
/// When the record can't be read.
pub fn running(state: &Path) -> Result<Option<Record>> {
    let path = state.join("stack.json");
    // A killed stack leaves its record behind, but not its lock.
    if !path.exists() || lock(state).is_ok() {
        return Ok(None);
    }
    let text = fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{} does not describe a stack", path.display()))
        .map(Some)
}

/// Locks the folder for one stack, until the file is dropped.
pub(crate) fn lock(state: &Path) -> Result<File> {
    let file = File::create(state.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "a stack is already running; see {}",
            state.join("stack.json").display()
        ),
        Err(TryLockError::Error(error)) => Err(error).context("could not lock the state folder"),
    }
}

/// Removes a folder, if it exists.
pub(crate) fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("could not remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// A folder that is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct TemporaryFolder {
    pub(crate) path: PathBuf,
}

impl TemporaryFolder {
    /// Removes what a killed stack left in the folder.
    pub(crate) fn new(path: PathBuf) -> Result<Self> {
        remove_folder(&path)?;
        Ok(Self { path })
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What can't be removed now is removed by the next start.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// A file with secrets, such as `stack.json`. It exists only while the stack answers.
#[derive(Debug)]
pub(crate) struct SecretFile {
    pub(crate) path: PathBuf,
}

impl SecretFile {
    /// Removes the file of a killed stack. Writes nothing yet.
    pub(crate) fn new(path: PathBuf) -> Result<Self> {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("could not remove {}", path.display()))
            }
            _ => Ok(Self { path }),
        }
    }

    /// Writes the file atomically, readable by the owner only.
    pub(crate) fn write(&self, content: &[u8]) -> Result<()> {
        let partial = self.path.with_extension("partial");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&partial)?;
        file.write_all(content)?;
        fs::rename(partial, &self.path)
            .with_context(|| format!("could not write {}", self.path.display()))
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        // It may never have been written.
        let _ = fs::remove_file(&self.path);
    }
}
