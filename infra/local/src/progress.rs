//! Says on standard error what takes time, before it does, and how long it took.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Runs a step that may take a while. What a step prints itself stands between
/// its two lines.
pub async fn step<T>(what: impl Display, work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    eprintln!("{what} …");
    let result = work.await;
    let took = begun.elapsed();
    if took >= Duration::from_secs(1) {
        eprintln!("{what}: {:.1} s", took.as_secs_f64());
    }
    result
}
