//! The counts of what was done for one message, and its first failure.

use store::Cause;

use crate::Error;

/// The number of sockets, by what was done for each.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// A revocation was sent.
    pub(crate) notified: usize,
    /// Closed already; the row was deleted.
    pub(crate) gone: usize,
    /// Perhaps not open yet; checked again later.
    pub(crate) not_open_yet: usize,
    /// Closed without a frame: the device has signed in again, or the session expired.
    pub(crate) closed_silently: usize,
    /// Left alone: the session is valid.
    pub(crate) signed_in: usize,
    /// Closed, some time after a revocation was sent.
    pub(crate) closed: usize,
    /// Failed, and checked again soon by a message of its own.
    pub(crate) retried: usize,
    /// Failed, so that the message is delivered again. A request to close sockets
    /// that could not be queued counts as one.
    pub(crate) failed: usize,
    first_failure: Option<Cause>,
}

impl Report {
    pub(crate) fn add_failure(&mut self, cause: Cause) {
        self.failed += 1;
        self.first_failure.get_or_insert(cause);
    }

    /// Returns an error with the first failure, if there was any.
    pub(crate) fn result(&mut self) -> Result<(), Error> {
        match self.first_failure.take() {
            None => Ok(()),
            Some(first) => Err(Error::Incomplete {
                failed: self.failed,
                first,
            }),
        }
    }
}
