//! Waits. Every wait is random, so that devices that lost their sockets together
//! don't all come back in the same second.

use std::ops::Range;
use std::time::Duration;

/// The waits of a device.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Between two heartbeats; shorter than the gateway's idle limit of ten minutes.
    pub heartbeat: Range<Duration>,
    /// The longest wait before the first retry. It doubles with each failure.
    pub first_retry: Duration,
    /// The longest wait before any retry.
    pub max_retry: Duration,
    /// A connection that lasted this long resets the count of failures.
    pub settled: Duration,
    /// The time to wait for the answer to an acknowledgement over the socket.
    /// Curfew closes the socket after five seconds in any case, so a later close
    /// proves nothing.
    pub grace: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_mins(4)..Duration::from_mins(5),
            first_retry: Duration::from_secs(1),
            max_retry: Duration::from_mins(1),
            settled: Duration::from_mins(1),
            grace: Duration::from_secs(4),
        }
    }
}

impl Timing {
    /// Limits the wait before every retry.
    #[must_use]
    pub fn capped(self, max_retry: Duration) -> Self {
        Self {
            first_retry: self.first_retry.min(max_retry),
            max_retry,
            ..self
        }
    }

    /// Draws the wait before the next heartbeat.
    pub(crate) fn until_heartbeat(&self) -> Duration {
        let Range { start, end } = self.heartbeat;
        start + random_below(end.saturating_sub(start))
    }

    /// Draws the wait before a retry, after this many failures in a row (full
    /// jitter: anything up to a bound that doubles with each failure).
    pub(crate) fn until_retry(&self, failures: u32) -> Duration {
        let bound = self.first_retry.saturating_mul(1 << failures.min(16));
        random_below(bound.min(self.max_retry))
    }
}

/// Draws a duration below the bound, uniformly.
fn random_below(bound: Duration) -> Duration {
    #[expect(
        clippy::disallowed_methods,
        reason = "a device draws its own waits; no secret depends on them"
    )]
    // Without randomness, half the bound is still a wait.
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    bound.mul_f64(f64::from(random) / (f64::from(u32::MAX) + 1.0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Timing;

    #[test]
    fn a_heartbeat_comes_before_the_gateways_idle_limit() {
        let timing = Timing::default();
        for _ in 0..1_000 {
            let wait = timing.until_heartbeat();
            assert!(timing.heartbeat.contains(&wait), "{wait:?}");
        }
        assert!(timing.heartbeat.end < Duration::from_mins(10));
    }

    #[test]
    fn retries_grow_rarer_up_to_a_bound_and_differ() {
        let timing = Timing::default();
        let longest = |failures| {
            let waits = (0..200).map(|_| timing.until_retry(failures));
            waits.max().unwrap()
        };

        assert!(longest(0) <= timing.first_retry);
        assert!(longest(5) > timing.first_retry);
        assert!(longest(40) <= timing.max_retry);
        assert!((0..200).any(|_| timing.until_retry(40) < timing.max_retry / 2));
    }
}
