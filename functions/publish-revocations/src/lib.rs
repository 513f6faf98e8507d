//! publish-revocations
