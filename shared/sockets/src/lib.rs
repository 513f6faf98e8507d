//! The open sockets of the devices: sending a frame, ending one, and asking for
//! either through the queue of the pushes.
//!
//! Owns the calls of the gateway's management API and the queue's own messages.
//! Refuses policy: who may be sent what is decided by the functions.

mod gateway;
mod queue;

pub use gateway::{Reach, Sockets};
pub use queue::{Asked, PushQueue};
