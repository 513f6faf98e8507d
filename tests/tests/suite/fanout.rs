//! The fan-out: streams to events, events to the topic, and the sweep, over the
//! embedded DynamoDB and the real SDK.

mod household;
mod messages;
mod network;
mod publishing;
mod sweeping;
