//! The time that a batch has, and many calls at once within it.

use std::future::Future;
use std::time::Duration;

use domain::Timestamp;
use futures_util::StreamExt as _;
use futures_util::stream;
use runtime::Clock;
use store::Cause;
use tokio::time::timeout;

/// Grace period for calls that started before the deadline; longer ones are dropped.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// The moment after which no new calls are started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline<'a> {
    pub(crate) clock: &'a Clock,
    pub(crate) at: Timestamp,
}

/// The error of a call that did not start before the deadline, or did not finish in
/// its grace period.
#[derive(Debug, thiserror::Error)]
#[error("timed out")]
pub(crate) struct TimedOut;

impl Deadline<'_> {
    /// Returns the time that is left, or none after the deadline.
    fn left(&self) -> Option<Duration> {
        let left = self.at.duration_since(self.clock.now());
        Duration::try_from(left).ok().filter(|left| !left.is_zero())
    }

    /// Runs a call until `grace` after the deadline, and drops it then.
    ///
    /// # Errors
    /// [`TimedOut`], or the error of the call.
    pub(crate) async fn within<T>(
        &self,
        grace: Duration,
        call: impl Future<Output = Result<T, Cause>>,
    ) -> Result<T, Cause> {
        let time = self.left().unwrap_or_default() + grace;
        timeout(time, call)
            .await
            .unwrap_or_else(|_| Err(TimedOut.into()))
    }

    /// Makes a call for each item, at most `concurrency` at once, and returns each
    /// item with its result. After the deadline the remaining items get [`TimedOut`].
    pub(crate) async fn for_each<T, R>(
        &self,
        concurrency: usize,
        items: impl IntoIterator<Item = T>,
        call: impl AsyncFn(&T) -> Result<R, Cause>,
    ) -> Vec<(T, Result<R, Cause>)> {
        let call = &call;
        stream::iter(items)
            .map(|item| async move {
                let result = if self.left().is_some() {
                    self.within(GRACE, call(&item)).await
                } else {
                    Err(TimedOut.into())
                };
                (item, result)
            })
            .buffer_unordered(concurrency)
            .collect()
            .await
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const NOON: Timestamp = Timestamp::UNIX_EPOCH;

    #[tokio::test]
    async fn no_call_starts_after_the_deadline() {
        let clock = Clock::fixed(NOON);
        let deadline = Deadline {
            clock: &clock,
            at: NOON,
        };
        let started = Cell::new(0);
        let results = deadline.for_each(2, [1, 2, 3], async |_| {
            started.set(started.get() + 1);
            Ok(())
        });
        let results = results.await;
        assert_eq!(results.len(), 3, "each item has a result");
        assert!(results.iter().all(|(_, result)| result.is_err()));
        assert_eq!(started.get(), 0);
    }

    #[tokio::test]
    async fn as_many_calls_run_at_once_as_are_allowed_and_no_more() {
        let clock = Clock::fixed(NOON);
        let deadline = Deadline {
            clock: &clock,
            at: NOON + Duration::from_mins(1),
        };
        let (running, most) = (Cell::new(0), Cell::new(0));
        let results = deadline.for_each(3, 0..10, async |n| {
            running.set(running.get() + 1);
            most.set(running.get().max(most.get()));
            tokio::task::yield_now().await;
            running.set(running.get() - 1);
            Ok(*n)
        });
        let mut done: Vec<i32> = results.await.into_iter().map(|(n, _)| n).collect();
        done.sort_unstable();
        assert_eq!(done, (0..10).collect::<Vec<_>>());
        assert_eq!(most.get(), 3);
    }
}
