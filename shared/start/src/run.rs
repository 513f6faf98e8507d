//! The loop that takes requests from Lambda's Runtime API.

use std::future::Future;

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
    D: 'static,
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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // The process ends with the function, so its parts may live as long.
        let deps: &'static D = Box::leak(Box::new(prepare()?));
        lambda_runtime::run(service_fn(move |event: LambdaEvent<A>| {
            handler(deps, event.payload)
        }))
        .await
    })
}
