//! sign-out-device
