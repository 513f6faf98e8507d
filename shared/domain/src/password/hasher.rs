//! Hashing and verifying passwords, in one buffer and with the same work for every
//! outcome.

use std::fmt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use argon2::{Algorithm, Argon2, Block, Version};
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::{Zeroize, Zeroizing};

use super::hash::{Argon2id, Params, ParamsError, StoredHash};
use super::normal::Password;
use super::peppers::{Pepper, Peppers, UnknownPepper};

/// The length of a new salt: 128 bits, which RFC 9106 section 3.1 recommends.
pub const SALT_BYTES: usize = 16;
/// The length of a new tag: 256 bits, as in both recommended options of RFC 9106
/// section 4.
const TAG_BYTES: usize = 32;

/// The result of verifying a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum PasswordCheck {
    /// The password is the one that was hashed.
    Match {
        /// The hash has other parameters or another pepper than new ones: hash the
        /// password again and store that.
        needs_rehash: bool,
    },
    /// The password is another one, or there is no hash.
    Mismatch,
}

/// Computes password hashes in one buffer, which it keeps.
///
/// A fresh buffer of 19 MiB costs 4,864 page faults per hash. A process therefore
/// keeps one, with every page touched in advance: at construction
/// ([`Hasher::new`]), or in the background ([`Hasher::prewarm`]). Each hash wipes
/// the part of the buffer it used, which takes a twentieth of the hash's time.
pub struct Hasher {
    params: Params,
    peppers: Option<Peppers>,
    /// Verified in place of the hash of an account that does not exist.
    dummy: Argon2id,
    memory: Vec<Block>,
    /// The background thread that allocates the buffer, until it is joined.
    prewarming: Option<JoinHandle<Vec<Block>>>,
    /// The work done so far, for tests: time is too coarse a measure.
    #[cfg(test)]
    blocks_filled: u64,
}

impl Hasher {
    /// Creates a hasher with [`Params::DEFAULT`] and its buffer of 19 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self::with_memory(Params::DEFAULT)
    }

    /// Creates a hasher with [`Params::DEFAULT`] and no buffer yet. It is allocated
    /// by [`Hasher::prewarm`], or else by the first hash.
    #[must_use]
    pub fn lazy() -> Self {
        Self::without_memory(Params::DEFAULT)
    }

    /// Creates a hasher with other parameters.
    ///
    /// # Errors
    /// [`ParamsError`] when they are not valid for Argon2id or above the bounds.
    pub fn with_params(params: Params) -> Result<Self, ParamsError> {
        params.checked().map(Self::with_memory)
    }

    fn with_memory(params: Params) -> Self {
        let mut hasher = Self::without_memory(params);
        hasher.grow_to(params);
        hasher
    }

    fn without_memory(params: Params) -> Self {
        let dummy = Argon2id {
            params,
            pepper: None,
            salt: vec![0; SALT_BYTES],
            tag: vec![0; TAG_BYTES],
        };
        Self {
            params,
            peppers: None,
            dummy,
            memory: Vec::new(),
            prewarming: None,
            #[cfg(test)]
            blocks_filled: 0,
        }
    }

    /// Makes new hashes with the current one of these peppers from now on, and verifies
    /// hashes with any of them.
    pub fn set_peppers(&mut self, peppers: Peppers) {
        self.peppers = Some(peppers);
    }

    /// Allocates the buffer in a background thread. The first hash waits for it.
    ///
    /// Touching the pages takes several times as long as everything else that a
    /// function does before its first request. That request reads from `DynamoDB`
    /// before it hashes, and by then the buffer is ready.
    pub fn prewarm(&mut self) {
        let needed = self.params.argon2().block_count();
        if self.prewarming.is_some() || self.memory.len() >= needed {
            return;
        }
        let allocate = move || {
            let mut memory = Vec::new();
            grow(&mut memory, needed);
            memory
        };
        // If no thread can be spawned, the first hash allocates the buffer.
        self.prewarming = thread::Builder::new().spawn(allocate).ok();
    }

    /// Hashes a password. The salt must be fresh random bytes.
    #[must_use]
    pub fn hash(&mut self, password: &Password, salt: [u8; SALT_BYTES]) -> StoredHash {
        let mut tag = vec![0; TAG_BYTES];
        let pepper = self.current_pepper();
        self.compute(self.params, password, pepper.as_deref(), &salt, &mut tag);
        Argon2id {
            params: self.params,
            pepper: pepper.map(|it| it.id.clone()),
            salt: salt.to_vec(),
            tag,
        }
        .into_stored()
    }

    /// Verifies a password against a stored hash, in constant time for the same
    /// parameters.
    ///
    /// `None`, for an account that does not exist, takes the same work, and so does
    /// a hash with cheaper parameters than new ones. A hash with more expensive
    /// parameters takes longer, until the next sign-in hashes it again.
    ///
    /// # Errors
    /// [`UnknownPepper`], if the hash was made with a pepper that this hasher does not
    /// have. Nothing is computed then.
    pub fn verify(
        &mut self,
        password: &Password,
        stored: Option<&StoredHash>,
    ) -> Result<PasswordCheck, UnknownPepper> {
        // Returning early without a hash would answer faster, and so reveal which
        // e-mail addresses have an account.
        let current = self.current_pepper();
        let Some(stored) = stored else {
            let dummy = self.dummy.clone();
            let _ignored = self.tag_matches(password, &dummy, current.as_deref());
            return Ok(PasswordCheck::Mismatch);
        };
        let hash = &stored.argon2id;
        let pepper = self.pepper_of(hash)?;
        if !bool::from(self.tag_matches(password, hash, pepper.as_deref())) {
            return Ok(PasswordCheck::Mismatch);
        }
        let needs_rehash = hash.params != self.params
            || hash.pepper.as_ref() != current.as_ref().map(|it| &it.id)
            || hash.salt.len() != SALT_BYTES
            || hash.tag.len() != TAG_BYTES;
        Ok(PasswordCheck::Match { needs_rehash })
    }

    fn current_pepper(&self) -> Option<Arc<Pepper>> {
        self.peppers.as_ref().map(Peppers::current)
    }

    fn pepper_of(&self, hash: &Argon2id) -> Result<Option<Arc<Pepper>>, UnknownPepper> {
        let Some(id) = &hash.pepper else {
            return Ok(None);
        };
        let found = self.peppers.as_ref().and_then(|all| all.find(id));
        found.map(Some).ok_or_else(|| UnknownPepper(id.clone()))
    }

    fn tag_matches(
        &mut self,
        password: &Password,
        hash: &Argon2id,
        pepper: Option<&Pepper>,
    ) -> Choice {
        let mut tag = Zeroizing::new(vec![0; hash.tag.len()]);
        self.compute(hash.params, password, pepper, &hash.salt, &mut tag);
        self.equalize(hash.params, password);
        // In constant time: the position of the first wrong byte must not show in
        // the time of the answer.
        tag.ct_eq(&hash.tag)
    }

    /// Does the work that parameters cheaper than the current ones saved, so that
    /// the time of the answer does not reveal which accounts have an old hash.
    fn equalize(&mut self, params: Params, password: &Password) {
        let saved = self.params.work().saturating_sub(params.work());
        let rest = Params {
            m_kib: saved / self.params.t,
            t: self.params.t,
            p: 1,
        };
        if rest.checked().is_ok() {
            let mut tag = Zeroizing::new([0; TAG_BYTES]);
            self.compute(rest, password, None, &[0; SALT_BYTES], tag.as_mut());
        }
    }

    fn compute(
        &mut self,
        params: Params,
        password: &Password,
        pepper: Option<&Pepper>,
        salt: &[u8],
        tag: &mut [u8],
    ) {
        self.grow_to(params);
        #[cfg(test)]
        {
            self.blocks_filled += u64::from(params.work());
        }
        let params = params.argon2();
        let used = &mut self.memory[..params.block_count()];
        // Without a pepper Argon2's secret is empty (RFC 9106 section 3.1).
        let key = pepper.map_or(&[][..], |pepper| &pepper.key);
        Argon2::new_with_secret(key, Algorithm::Argon2id, Version::V0x13, params)
            .expect("a secret in Secrets Manager is shorter than Argon2's limit of 4 GB")
            .hash_password_into_with_memory(password.as_str().as_bytes(), salt, tag, &mut *used)
            .expect("the buffer is large enough, and salt and tag are bounded");
        // With the blocks left by a hash, an attacker could test a guess at a
        // fraction of the cost of a hash.
        used.iter_mut().for_each(Zeroize::zeroize);
    }

    /// Grows the buffer to the size that the parameters need, after waiting for the
    /// background thread if there is one.
    fn grow_to(&mut self, params: Params) {
        if let Some(thread) = self.prewarming.take() {
            self.memory = thread.join().expect("allocating does not panic");
        }
        grow(&mut self.memory, params.argon2().block_count());
    }
}

/// Grows a buffer to `needed` blocks and touches each new page.
fn grow(memory: &mut Vec<Block>, needed: usize) {
    memory.reserve_exact(needed.saturating_sub(memory.len()));
    // The allocator may return zeroed pages that are not mapped yet; writing a one
    // maps them. The next hash overwrites it. `resize` would write word by word.
    let mut touched = Block::new();
    touched.as_mut()[0] = 1;
    while memory.len() < needed {
        memory.push(touched);
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher")
            .field("params", &self.params)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
