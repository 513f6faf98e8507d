//! Bounded retries with jitter, for what the SDK does not retry itself.

use std::time::Duration;

/// The number of attempts of a call that meets other writers or is answered in part.
const ATTEMPTS: u32 = 5;
const BASE: Duration = Duration::from_millis(10);

/// The outcome of one attempt.
pub(crate) enum Attempt<S, T> {
    /// The outcome of the call; no retry helps or is needed.
    Final(T),
    /// The call may be retried with this state; its outcome if no attempt is left.
    Retry(S, T),
}

/// Makes up to five attempts of a call, with a pause before each retry. Each attempt
/// gets the state that the one before returned.
// Takes a closure that returns a future: the compiler cannot show that the future of
// an `AsyncFnMut` is `Send`.
pub(crate) async fn retry<S, T, F>(mut state: S, mut call: impl FnMut(S) -> F) -> T
where
    F: Future<Output = Attempt<S, T>>,
{
    let mut attempt = 1;
    loop {
        match call(state).await {
            Attempt::Final(outcome) => return outcome,
            Attempt::Retry(_, outcome) if attempt == ATTEMPTS => return outcome,
            Attempt::Retry(next, _) => state = next,
        }
        pause(attempt).await;
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
