//! The loop that takes requests from Lambda's Runtime API.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use lambda_runtime::{Diagnostic, service_fn};
pub use lambda_runtime::{Error, LambdaEvent};
use serde::{Deserialize, Serialize};
use tracing::Level;

/// Runs a function until Lambda ends it: sets up the log (JSON, a line a fact),
/// lets `prepare` read the configuration and build what the handler needs, and
/// hands it one request after the other.
///
/// One thread is enough: Lambda gives a process one request at a time.
///
/// # Errors
/// What `prepare` or the Runtime API reports; Lambda logs it and starts anew.
pub fn run<P, D, H, F, A, B, E>(prepare: P, handler: H) -> Result<(), Error>
where
    P: FnOnce() -> Result<D, Error>,
    H: Fn(&'static D, A) -> F,
    F: Future<Output = Result<B, E>>,
    D: Sync + 'static,
    A: for<'de> Deserialize<'de>,
    B: Serialize,
    E: Into<Diagnostic> + std::fmt::Debug,
{
    run_meanwhile(prepare, |_| {}, handler)
}

/// The same, and does something `meanwhile` while Lambda looks for the first
/// request, so that the init phase does not wait for it.
///
/// It is done once, when there is nothing else to do for the second time: the first
/// time the connection to the Runtime API is not there yet, the second time Lambda
/// has been asked for work. At the latest it is done while the first request waits
/// for something.
///
/// # Errors
/// As [`run`].
pub fn run_meanwhile<P, D, M, H, F, A, B, E>(
    prepare: P,
    meanwhile: M,
    handler: H,
) -> Result<(), Error>
where
    P: FnOnce() -> Result<D, Error>,
    M: Fn(&'static D) + Send + Sync + 'static,
    H: Fn(&'static D, A) -> F,
    F: Future<Output = Result<B, E>>,
    D: Sync + 'static,
    A: for<'de> Deserialize<'de>,
    B: Serialize,
    E: Into<Diagnostic> + std::fmt::Debug,
{
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .with_ansi(false)
        .with_max_level(Level::INFO)
        .init();
    // The process ends with the function, so its parts may live as long.
    let deps: &'static D = Box::leak(Box::new(prepare()?));
    let rests = AtomicUsize::new(0);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || {
            if rests.fetch_add(1, Ordering::Relaxed) == 1 {
                meanwhile(deps);
            }
        })
        .build()?;
    runtime.block_on(lambda_runtime::run(service_fn(
        move |event: LambdaEvent<A>| handler(deps, event.payload),
    )))
}
