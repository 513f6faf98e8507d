//! The open sockets of the devices: sending a frame, closing a socket, and asking
//! for either through the queue of the pushes.
//!
//! Owns the calls of the gateway's management API and the queue's own messages.
//! Refuses policy: the functions decide who may be sent what.

mod gateway;
mod queue;

pub use gateway::{HANDSHAKE, SocketOutcome, Sockets};
pub use queue::{PushQueue, SocketTask};
