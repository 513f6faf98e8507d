//! list-devices
