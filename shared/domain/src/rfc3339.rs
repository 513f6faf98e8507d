//! Times as they are shown.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

/// A time as every JSON shows it: RFC 3339 in UTC, always with three digits of a
/// second, so that texts sort as times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Rfc3339(pub Timestamp);

impl From<Timestamp> for Rfc3339 {
    fn from(time: Timestamp) -> Self {
        Self(time)
    }
}

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl Serialize for Rfc3339 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_three_digits_of_a_second() {
        for (millis, shown) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (44_000, "1970-01-01T00:00:44.000Z"),
            (44_100, "1970-01-01T00:00:44.100Z"),
            (44_123, "1970-01-01T00:00:44.123Z"),
        ] {
            let time = Timestamp::from_millisecond(millis).unwrap();
            assert_eq!(Rfc3339::from(time).to_string(), shown);
        }
    }
}
