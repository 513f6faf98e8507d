//! Passwords: the normal form, the rules for a new one, the stored hash, its pepper,
//! and hashing and verifying.
//!
//! Refuses randomness (the salt is an input) and composition rules (NIST SP
//! 800-63B-4 section 3.1.1.2): a password is rejected for its length, or because
//! it is easily guessed, and for nothing else.

mod guesses;
mod hash;
mod hasher;
mod keyboard;
pub mod lists;
mod normal;
mod peppers;
mod rules;

#[cfg(test)]
mod fixtures;

pub use hash::{Params, ParamsError, StoredHash, StoredHashError};
pub use hasher::{Hasher, PasswordCheck, SALT_BYTES};
pub use normal::{MAX_BYTES, Password, PasswordError};
pub use peppers::{PepperId, Peppers, PeppersError, UnknownPepper};
pub use rules::{MinLengthError, PasswordRules, Rejection};
