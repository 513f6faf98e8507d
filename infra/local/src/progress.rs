//! Progress on standard error.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Prints the name of a step, runs it, and prints how long it took, if that was
/// more than a second. The step may print lines of its own in between.
pub async fn step<T>(name: impl Display, work: impl Future<Output = T>) -> T {
    let started = Instant::now();
    eprintln!("{name} …");
    let result = work.await;
    let took = started.elapsed();
    if took >= Duration::from_secs(1) {
        eprintln!("{name}: {:.1} s", took.as_secs_f64());
    }
    result
}
