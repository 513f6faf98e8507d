//! Limits on attempts, such as wrong passwords and mails: when the next one is admitted.
//!
//! The generic cell rate algorithm (GCRA, ITU-T I.371): a counter holds one time, the
//! *theoretical arrival time* (TAT), which each attempt moves on by the budget's interval.
//! An attempt is admitted while the TAT is at most `burst - 1` intervals in the future.
//! Attempts are charged before the work that they cause, and given back after a success.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use crate::email::EmailAddress;
use crate::ids::SessionId;

/// The time for which failures in a row are remembered after the last one. Longer than
/// a device stays recognized without a sign-in.
const IN_A_ROW_KEPT: SignedDuration = SignedDuration::from_hours(100 * 24);

/// The attempts that a counter admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The most attempts at once; at least 1.
    pub burst: u32,
    /// The time after which another attempt is admitted.
    pub interval: SignedDuration,
    /// The limit on failures in a row, if there is one.
    pub in_a_row: Option<InARow>,
}

/// The limit on failures without a success in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InARow {
    /// The most failures.
    pub most: u32,
    /// The time between two attempts after these; `None` admits none.
    pub pause: Option<SignedDuration>,
}

impl InARow {
    /// Returns whether the owner is notified of this many failures: of half of the most, and
    /// of the most. Each of the two is reached once in a row.
    #[must_use]
    pub fn is_notified(&self, failures: u32) -> bool {
        failures > 1 && (failures == self.most || failures == self.most.div_ceil(2))
    }
}

/// Failures without a success in between.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Failures {
    /// Their number.
    pub count: u32,
    /// The time of the first one.
    pub since: Timestamp,
    /// Their places, as far as they are known: countries, or else an address.
    pub places: Vec<String>,
}

/// The state of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    /// The theoretical arrival time of the next attempt.
    pub tat: Timestamp,
    /// The attempts since the last success, if the budget limits them.
    pub in_a_row: u32,
}

/// The decision about an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Admitted: the TAT becomes this long after now.
    FromNow(SignedDuration),
    /// Admitted as part of a burst: the TAT becomes this much later.
    Later(SignedDuration),
    /// Admitted after too many failures in a row: the TAT becomes this long after now.
    AfterPause(SignedDuration),
    /// Refused. The next attempt is admitted after this time.
    Refused(SignedDuration),
    /// Refused, until the counter is reset: too many failures in a row.
    Spent,
}

impl Budget {
    /// Creates a budget without a limit on failures in a row.
    #[must_use]
    pub const fn new(burst: u32, interval: SignedDuration) -> Self {
        Self {
            burst,
            interval,
            in_a_row: None,
        }
    }

    /// Returns this budget with a limit on failures in a row.
    #[must_use]
    pub const fn with_in_a_row(self, most: u32, pause: Option<SignedDuration>) -> Self {
        Self {
            in_a_row: Some(InARow { most, pause }),
            ..self
        }
    }

    /// Returns the budget with so many times the attempts, at once and later.
    #[must_use]
    pub fn times(self, factor: u16) -> Self {
        let factor = factor.max(1);
        Self {
            burst: self.burst.saturating_mul(factor.into()),
            interval: self.interval / i32::from(factor),
            ..self
        }
    }

    /// Decides about an attempt.
    #[must_use]
    pub fn verdict(&self, counter: &Counter, now: Timestamp) -> Verdict {
        let ahead = counter.tat.duration_since(now);
        let is_due = !ahead.is_positive();
        match self.in_a_row {
            Some(InARow { most, pause }) if counter.in_a_row >= most => match pause {
                None => Verdict::Spent,
                Some(pause) if is_due => Verdict::AfterPause(pause),
                Some(_) => Verdict::Refused(ahead),
            },
            _ if is_due => Verdict::FromNow(self.interval),
            _ if ahead <= self.tolerance() => Verdict::Later(self.interval),
            _ => Verdict::Refused(ahead - self.tolerance()),
        }
    }

    /// Returns the latest TAT with which an attempt is admitted as part of a burst.
    #[must_use]
    pub fn latest_tat(&self, now: Timestamp) -> Timestamp {
        add(now, self.tolerance())
    }

    /// Returns the time from which the counter can be forgotten, if nothing charges it
    /// after `now`.
    #[must_use]
    pub fn kept_until(&self, now: Timestamp) -> Timestamp {
        let kept = match self.in_a_row {
            Some(_) => IN_A_ROW_KEPT,
            None => SignedDuration::ZERO,
        };
        add(now, kept.max(self.tolerance() + self.interval))
    }

    fn tolerance(&self) -> SignedDuration {
        let more = i32::try_from(self.burst.saturating_sub(1)).unwrap_or(i32::MAX);
        self.interval.saturating_mul(more)
    }
}

fn add(time: Timestamp, duration: SignedDuration) -> Timestamp {
    time.checked_add(duration).unwrap_or(Timestamp::MAX)
}

/// Reads a budget as parameters have it: `10/300` is 10 at once, then one in 300 seconds.
impl FromStr for Budget {
    type Err = InvalidBudget;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (burst, seconds) = text.split_once('/').ok_or(InvalidBudget)?;
        let number = |text: &str| text.parse().ok().filter(|n| (1..=86_400).contains(n));
        let burst: u32 = number(burst).ok_or(InvalidBudget)?;
        let seconds: u32 = number(seconds).ok_or(InvalidBudget)?;
        Ok(Self::new(burst, SignedDuration::from_secs(seconds.into())))
    }
}

/// The text is not a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be attempts and seconds, both from 1 to 86400, such as `10/300`")]
pub struct InvalidBudget;

/// The key of a counter: a digest, so that the table shows no address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CounterKey([u8; 32]);

impl CounterKey {
    /// Creates the key of what is counted. `kind` keeps the counters of different limits
    /// apart; no two lists of parts have the same key.
    #[must_use]
    pub fn new(kind: &'static str, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in [kind.as_bytes()].iter().chain(parts) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }

    /// Creates the key for the sign-ins to an address, in every spelling.
    #[must_use]
    pub fn sign_ins_to(address: &EmailAddress) -> Self {
        Self::new("sign-in", &[address.as_normal().as_bytes()])
    }

    /// Creates the key for the wrong proofs of a session.
    #[must_use]
    pub fn proofs_of(session: SessionId) -> Self {
        Self::new("proof", &[session.to_string().as_bytes()])
    }

    /// Returns the bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for CounterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CounterKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::now;

    const SECOND: SignedDuration = SignedDuration::from_secs(1);
    const TEN: Budget = Budget::new(10, SignedDuration::from_mins(5));

    /// Makes an attempt every `every` until `end`; returns the number of those admitted.
    fn admitted(budget: Budget, every: SignedDuration, end: SignedDuration) -> u32 {
        let mut counter = Counter {
            tat: now(),
            in_a_row: 0,
        };
        let (mut at, mut admitted) = (now(), 0);
        while at < now() + end {
            match budget.verdict(&counter, at) {
                Verdict::FromNow(by) | Verdict::AfterPause(by) => counter.tat = at + by,
                Verdict::Later(by) => counter.tat += by,
                Verdict::Refused(wait) => {
                    let is_refused =
                        |at| matches!(budget.verdict(&counter, at), Verdict::Refused(_));
                    let exactly = at + wait;
                    assert!(
                        !is_refused(exactly)
                            && is_refused(exactly - SignedDuration::from_millis(1))
                    );
                    at += every;
                    continue;
                }
                Verdict::Spent => return admitted,
            }
            counter.in_a_row += 1;
            admitted += 1;
            at += every;
        }
        admitted
    }

    #[test]
    fn ten_attempts_at_once_and_then_one_in_five_minutes_are_admitted() {
        let at_once = SignedDuration::from_millis(1);
        assert_eq!(admitted(TEN, at_once, SECOND), 10);
        let hour = SignedDuration::from_hours(1);
        assert_eq!(admitted(TEN, SECOND, hour), 10 + 11);
        // One who keeps to the pace is never refused.
        assert_eq!(admitted(TEN, TEN.interval, hour), 12);
    }

    #[test]
    fn a_budget_that_is_sixteen_times_larger_admits_sixteen_times_as_many() {
        let network = Budget::new(30, SignedDuration::from_secs(10));
        let minute = SignedDuration::from_mins(1);
        let every = SignedDuration::from_millis(25);
        assert_eq!(admitted(network, every, minute), 30 + 5);
        assert_eq!(
            admitted(network.times(16), every, minute),
            (30 + 6) * 16 - 1
        );
    }

    #[test]
    fn after_too_many_failures_in_a_row_no_attempt_is_admitted_or_one_in_a_pause() {
        let year = SignedDuration::from_hours(365 * 24);
        let every = SignedDuration::from_mins(5);
        assert_eq!(admitted(TEN.with_in_a_row(100, None), every, year), 100);
        let pause = SignedDuration::from_hours(1);
        let day = SignedDuration::from_hours(24);
        // The hundredth is made after 8 hours and 15 minutes.
        assert_eq!(
            admitted(TEN.with_in_a_row(100, Some(pause)), every, day),
            100 + 16
        );
    }

    #[test]
    fn of_a_hundred_failures_in_a_row_two_are_news_to_the_owner() {
        let notified = |most| {
            let limit = InARow { most, pause: None };
            let counts = (1..=most).filter(move |it| limit.is_notified(*it));
            counts.collect::<Vec<_>>()
        };
        assert_eq!(notified(100), [50, 100]);
        assert_eq!(notified(5), [3, 5]);
        assert_eq!(notified(2), [2]);
        assert!(notified(1).is_empty());
    }

    #[test]
    fn a_counter_is_kept_until_it_says_no_more_than_an_absent_one() {
        let full = TEN.interval * 10;
        assert_eq!(TEN.kept_until(now()), now() + full);
        let last = Counter {
            tat: now() + full,
            in_a_row: 0,
        };
        assert_eq!(
            TEN.verdict(&last, now() + full),
            Verdict::FromNow(TEN.interval)
        );
        let kept = TEN.with_in_a_row(100, None).kept_until(now());
        assert_eq!(kept, now() + IN_A_ROW_KEPT);
    }

    #[test]
    fn a_budget_is_read_from_attempts_and_seconds() {
        assert_eq!("10/300".parse(), Ok(TEN));
        for wrong in [
            "", "10", "/", "10/", "0/300", "10/0", "10/86401", "-1/5", "10/5/1", "1e1/5",
        ] {
            assert_eq!(wrong.parse::<Budget>(), Err(InvalidBudget), "{wrong}");
        }
    }

    #[test]
    fn keys_of_different_limits_and_parts_differ_and_show_nothing() {
        let keys = [
            CounterKey::new("a", &[b"bc"]),
            CounterKey::new("ab", &[b"c"]),
            CounterKey::new("a", &[b"b", b"c"]),
            CounterKey::new("a", &[b"bc", b""]),
        ];
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
        assert_eq!(format!("{:?}", keys[0]), "CounterKey(…)");
        let spelled = |text| CounterKey::sign_ins_to(&EmailAddress::parse(text).unwrap());
        assert_eq!(spelled("Lea@EXAMPLE.com"), spelled("lea@example.com"));
        assert_ne!(spelled("lea+x@example.com"), spelled("lea@example.com"));
    }
}
