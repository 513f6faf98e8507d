//! From the answer of a sign-out on, over HTTP, on a local AWS of real processes:
//! how soon the dead session is refused, subscribers hear and the device is told;
//! and whether a flood of sign-ins keeps others from signing out.
//!
//! Calls that were let in though they began after the answer are counted. One is
//! one too many: the part then fails.

mod doors;
mod flood;
mod rounds;

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::report::Report;

/// What was measured.
#[derive(Debug, Serialize)]
struct Figures {
    rounds: rounds::Figures,
    flood: flood::Figures,
}

/// Signs out, again and again, and looks what becomes of it.
pub async fn run() -> Result<()> {
    let rounds = rounds::measure().await?;
    let flood = flood::measure().await?;
    let mut tables = rounds.tables();
    tables.extend(flood.tables());
    let (alive, lost) = (rounds.alive() + flood.alive(), rounds.lost());
    Report::new("end-to-end", Figures { rounds, flood }, tables).publish()?;
    ensure!(
        alive == 0,
        "{alive} calls were let in that began after the answer of their sign-out"
    );
    ensure!(
        lost == 0,
        "{lost} sessions were ended that nobody signed out"
    );
    Ok(())
}

/// How long something took, many times.
#[derive(Debug, Serialize)]
struct Spread {
    times: usize,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

impl Spread {
    fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            let place = (figures.len() * percent).div_ceil(100).max(1) - 1;
            figures.get(place).copied().unwrap_or(0.0)
        };
        Self {
            times: figures.len(),
            p50_ms: at(50),
            p99_ms: at(99),
            max_ms: at(100),
        }
    }

    /// The median, the 99th percentile and the longest, for a table.
    fn cell(&self) -> String {
        format!(
            "{:.0} / {:.0} / {:.0}",
            self.p50_ms, self.p99_ms, self.max_ms
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_what_really_happened() {
        let spread = Spread::of((1..=200).rev().map(f64::from));
        assert_eq!(spread.times, 200);
        assert_eq!(spread.cell(), "100 / 198 / 200");
        assert_eq!(Spread::of([7.0]).cell(), "7 / 7 / 7");
        assert_eq!(Spread::of([]).cell(), "0 / 0 / 0");
    }
}
