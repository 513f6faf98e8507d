//! Bounded, jittered retries of what the SDK does not retry itself.

use std::time::Duration;

/// How often a call that met other writers, or was served in part, is made.
pub(crate) const ATTEMPTS: u32 = 5;
const BASE: Duration = Duration::from_millis(10);

/// Waits before the next attempt: a random part of a span that doubles ("full
/// jitter"), at most 80 ms at the last.
pub(crate) async fn pause(attempt: u32) {
    let mut byte = [0; 1];
    // Without randomness the whole span is waited: slower, never wrong.
    #[expect(clippy::disallowed_methods, reason = "jitter decides nothing")]
    let part = match getrandom::fill(&mut byte) {
        Ok(()) => u32::from(byte[0]) + 1,
        Err(_) => 256,
    };
    let span = BASE * 2_u32.pow(attempt.min(3));
    tokio::time::sleep(span * part / 256).await;
}
