//! Ownership: the rules by which the owner of an account keeps it against a thief.
//!
//! Owns what an act must be proven with, when a factor counts, what a recovery and the undo
//! of a changed address leave, and what is held. The test `game` plays these rules and
//! renders `infra/docs/ownership.md`.

pub mod factors;
pub mod holds;
pub mod recovery;
pub mod verification;

#[cfg(test)]
mod game;

pub use factors::{AddressHistory, Factor, FactorStanding};
pub use holds::{Hold, HoldCause};
pub use recovery::{LostFactor, Remnant, Undo};
pub use verification::{Act, Caller, Proof, Proven};
