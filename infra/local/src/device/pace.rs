//! How often a device does what it does: every wait is drawn at random, so that
//! devices that lost their sockets together don't all come back together.

use std::ops::Range;
use std::time::Duration;

/// How long a device waits.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Between two heartbeats: shorter than the gateway's ten idle minutes.
    pub heartbeat: Range<Duration>,
    /// At the most before the first new attempt to reach the API.
    pub first: Duration,
    /// At the most before any.
    pub most: Duration,
    /// A connection that held this long was a good one: the next attempt counts
    /// as a first one again.
    pub settled: Duration,
    /// For the answer to an acknowledgement over the socket: less than the five
    /// seconds after which Curfew hangs up unasked.
    pub grace: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_mins(4)..Duration::from_mins(5),
            first: Duration::from_secs(1),
            most: Duration::from_mins(1),
            settled: Duration::from_mins(1),
            grace: Duration::from_secs(4),
        }
    }
}

impl Pace {
    /// The same, but with no wait before an attempt longer than this.
    #[must_use]
    pub fn capped(self, most: Duration) -> Self {
        Self {
            first: self.first.min(most),
            most,
            ..self
        }
    }

    /// The wait before the next heartbeat.
    pub(crate) fn to_heartbeat(&self) -> Duration {
        let Range { start, end } = self.heartbeat;
        start + drawn(end.saturating_sub(start))
    }

    /// The wait before another attempt, after so many that failed in a row:
    /// anything up to a bound that doubles with each.
    pub(crate) fn to_attempt(&self, failed: u32) -> Duration {
        let bound = self.first.saturating_mul(1 << failed.min(16));
        drawn(bound.min(self.most))
    }
}

/// A duration below this one, each as likely as any other.
fn drawn(bound: Duration) -> Duration {
    let share = u32::from_be_bytes(runtime::random());
    bound.mul_f64(f64::from(share) / (f64::from(u32::MAX) + 1.0))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Pace;

    #[test]
    fn a_heartbeat_comes_before_the_gateway_would_hang_up() {
        let pace = Pace::default();
        for _ in 0..1_000 {
            let wait = pace.to_heartbeat();
            assert!(pace.heartbeat.contains(&wait), "{wait:?}");
        }
        assert!(pace.heartbeat.end < Duration::from_mins(10));
    }

    #[test]
    fn attempts_grow_rarer_up_to_a_bound_and_differ() {
        let pace = Pace::default();
        let longest = |failed| (0..200).map(|_| pace.to_attempt(failed)).max().unwrap();

        assert!(longest(0) <= pace.first);
        assert!(longest(5) > pace.first);
        assert!(longest(40) <= pace.most);
        assert!((0..200).any(|_| pace.to_attempt(40) < pace.most / 2));
    }
}
