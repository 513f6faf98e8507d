//! How soon a sign-out takes effect, over HTTP on a local AWS of real processes: when
//! the session is refused, when subscribers hear of it and when the device is notified;
//! and whether a flood of sign-ins keeps others from signing out.
//!
//! Calls that began after the answer and were let in are counted. One of them fails the
//! part.

mod endpoints;
mod flood;
mod rounds;

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::report::Report;

/// How long anything may take before it counts as lost.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Serialize)]
struct Figures {
    rounds: rounds::Figures,
    flood: Vec<flood::Turn>,
}

/// Signs out in every way, and beside a flood. Fails when a session was alive that should
/// have been dead, or ended without a sign-out.
pub async fn run() -> Result<()> {
    let rounds = rounds::measure().await?;
    let flood = Box::pin(flood::measure()).await?;
    let alive = rounds.alive() + flood::alive(&flood);
    let tables = vec![rounds.table(), flood::table(&flood)];
    Report::new("end-to-end", Figures { rounds, flood }, tables).publish()?;
    ensure!(
        alive == 0,
        "{alive} calls were let in that began after the answer of their sign-out"
    );
    Ok(())
}

/// Returns the median, the 99th percentile and the longest, for a table.
fn spread(figures: impl IntoIterator<Item = f64>) -> String {
    let figures: Vec<f64> = figures.into_iter().collect();
    let [p50, p99, max] = [50, 99, 100].map(|percent| percentile(&figures, percent));
    format!("{p50:.0} / {p99:.0} / {max:.0}")
}

fn percentile(figures: &[f64], percent: usize) -> f64 {
    let mut figures = figures.to_vec();
    figures.sort_by(f64::total_cmp);
    let place = (figures.len() * percent).div_ceil(100).max(1) - 1;
    figures.get(place).copied().unwrap_or(0.0)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_figure_that_was_measured() {
        assert_eq!(spread((1..=200).rev().map(f64::from)), "100 / 198 / 200");
        assert_eq!(spread([7.0]), "7 / 7 / 7");
        assert_eq!(spread([]), "0 / 0 / 0");
    }
}
