//! change-password
