//! Bounded retries with jitter, for what the SDK does not retry itself.

use std::time::Duration;

/// The number of attempts of a call that meets other writers or is answered in part.
const ATTEMPTS: u32 = 5;
const BASE: Duration = Duration::from_millis(10);

/// The outcome of one attempt.
pub(crate) enum Attempt<T> {
    /// The outcome of the call; no retry helps or is needed.
    Final(T),
    /// The call may be retried; its outcome when this was the last attempt.
    Retry(T),
}

/// Makes up to five attempts of a call, with a pause before each retry.
pub(crate) async fn retry<T>(mut call: impl AsyncFnMut() -> Attempt<T>) -> T {
    let mut attempt = 1;
    loop {
        match call().await {
            Attempt::Final(outcome) => return outcome,
            Attempt::Retry(outcome) if attempt == ATTEMPTS => return outcome,
            Attempt::Retry(_) => pause(attempt).await,
        }
        attempt += 1;
    }
}

/// Waits for a random part of a span that doubles with each attempt up to 80 ms
/// ("full jitter"), so that writers who met once do not meet again.
async fn pause(attempt: u32) {
    let mut byte = [0; 1];
    #[expect(clippy::disallowed_methods, reason = "jitter decides nothing")]
    let part = match getrandom::fill(&mut byte) {
        Ok(()) => u32::from(byte[0]) + 1,
        // Without randomness the whole span is waited: slower, never wrong.
        Err(_) => 256,
    };
    let span = BASE * 2_u32.pow(attempt.min(3));
    tokio::time::sleep(span * part / 256).await;
}
