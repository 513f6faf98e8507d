//! The sockets in process: handshakes, frames and pushes over the embedded
//! DynamoDB, with a stand-in for the gateway.

mod caps;
mod frames;
pub(crate) mod handshakes;
mod interleavings;
mod logs;
mod pushes;
mod tickets;
