//! The rows of each table: keys, conditions, and the mapping of items. Each
//! condition expression exists once, here.

pub(crate) mod account;
pub(crate) mod challenge;
pub(crate) mod connection;
pub(crate) mod counter;
pub(crate) mod device;
pub(crate) mod factor;
pub(crate) mod notice;
pub(crate) mod receipt;
pub(crate) mod ticket;
