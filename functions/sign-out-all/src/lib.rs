//! sign-out-all
