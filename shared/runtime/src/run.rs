//! The loop that takes requests from Lambda's Runtime API.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use lambda_runtime::Error;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};
use tracing::Level;

/// Runs a function whose handler always has an answer: calls `prepare` once, then
/// `handler` for each request, until Lambda ends the process.
///
/// Logs are JSON, one line an entry. One thread is enough: Lambda gives a process
/// one request at a time.
///
/// # Errors
/// The error of `prepare` or of the Runtime API; Lambda logs it and starts the
/// process again.
pub fn run<P, D, H, F, A, B>(prepare: P, handler: H) -> Result<(), Error>
where
    P: FnOnce() -> Result<D, Error>,
    H: Fn(&'static D, A) -> F,
    F: Future<Output = B>,
    D: Sync + 'static,
    A: for<'de> Deserialize<'de>,
    B: Serialize,
{
    run_with_warmup(prepare, |_| {}, handler)
}

/// Runs a function whose handler can fail. Lambda reports the error to the caller as
/// the error of the invocation. Otherwise as [`run`].
///
/// # Errors
/// As [`run`].
pub fn try_run<P, D, H, F, A, B, E>(prepare: P, handler: H) -> Result<(), Error>
where
    P: FnOnce() -> Result<D, Error>,
    H: Fn(&'static D, A) -> F,
    F: Future<Output = Result<B, E>>,
    D: Sync + 'static,
    A: for<'de> Deserialize<'de>,
    B: Serialize,
    E: Into<Diagnostic> + std::fmt::Debug,
{
    serve(prepare, |_| {}, handler)
}

/// Runs a function as [`run`] does, and calls `warmup` once after the function has asked
/// for its first request, so that the init phase does not include it.
///
/// If that request is there at once, `warmup` runs at the first `await` that has to wait,
/// in the handler or while its answer is sent.
///
/// # Errors
/// As [`run`].
pub fn run_with_warmup<P, D, W, H, F, A, B>(prepare: P, warmup: W, handler: H) -> Result<(), Error>
where
    P: FnOnce() -> Result<D, Error>,
    W: Fn(&'static D) + Send + Sync + 'static,
    H: Fn(&'static D, A) -> F,
    F: Future<Output = B>,
    D: Sync + 'static,
    A: for<'de> Deserialize<'de>,
    B: Serialize,
{
    serve(prepare, warmup, |deps, event| {
        let answer = handler(deps, event);
        async { Ok::<_, Infallible>(answer.await) }
    })
}

fn serve<P, D, W, H, F, A, B, E>(prepare: P, warmup: W, handler: H) -> Result<(), Error>
where
    P: FnOnce() -> Result<D, Error>,
    W: Fn(&'static D) + Send + Sync + 'static,
    H: Fn(&'static D, A) -> F,
    F: Future<Output = Result<B, E>>,
    D: Sync + 'static,
    A: for<'de> Deserialize<'de>,
    B: Serialize,
    E: Into<Diagnostic> + std::fmt::Debug,
{
    start_log();
    // Never freed: the dependencies are used until the process ends, and
    // `lambda_runtime` asks for a handler that borrows nothing.
    let deps: &'static D = Box::leak(Box::new(prepare()?));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(on_second_park(move || warmup(deps)))
        .build()?;
    // Boxed: the handler's future is nested inside those of `lambda_runtime` and tower,
    // and without a box the type is nested deeper than the compiler allows.
    let call = move |event: LambdaEvent<A>| -> Pin<Box<dyn Future<Output = Result<B, E>>>> {
        Box::pin(handler(deps, event.payload))
    };
    runtime.block_on(lambda_runtime::run(service_fn(call)))
}

fn start_log() {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .with_ansi(false)
        .with_max_level(Level::INFO)
        .init();
}

/// Returns a callback for tokio's `on_thread_park` that calls `warmup` the second
/// time that the thread has nothing to do.
///
/// Lambda counts the init phase until the function asks for its first request
/// (`GET …/invocation/next`), and `lambda_runtime` has no hook for that moment. So
/// this counts how often the thread parks: the first time the connection to the
/// Runtime API is being opened, the second time the request has been sent. A
/// version of `lambda_runtime` that waits more or less often than that fails
/// `the_warmup_runs_once_and_after_the_first_request_was_asked_for`, below.
fn on_second_park(warmup: impl Fn()) -> impl Fn() {
    let parks = AtomicUsize::new(0);
    move || {
        // `fetch_add` returns the count before this park.
        if parks.fetch_add(1, Ordering::Relaxed) == 1 {
            warmup();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::process::{Child, Command, Stdio};

    use serde::de::IgnoredAny;

    use super::*;

    /// The variable with the address that the warm-up of the child process connects to.
    const WARMUP_ADDRESS: &str = "WARMUP_ADDRESS";

    /// A process that is killed when the test ends, however it ends.
    struct KillOnDrop(Child);

    impl Drop for KillOnDrop {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Not a test: the body of the process that `start_function` starts.
    #[test]
    #[ignore = "started by start_function"]
    fn a_function() {
        let Ok(address) = crate::required(WARMUP_ADDRESS) else {
            return;
        };
        let warmup = move |(): &()| drop(TcpStream::connect(&address));
        run_with_warmup(|| Ok(()), warmup, |(): &(), _: IgnoredAny| async {}).unwrap();
    }

    /// Reads a request up to its body: its first line, and the body's length.
    fn head(from: &mut BufReader<TcpStream>) -> (String, usize) {
        let (mut first, mut length) = (String::new(), 0);
        from.read_line(&mut first).unwrap();
        loop {
            let mut line = String::new();
            from.read_line(&mut line).unwrap();
            let line = line.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                return (first, length);
            }
        }
    }

    fn start_function(runtime_api: &TcpListener, warmups: &TcpListener) -> KillOnDrop {
        let address = |of: &TcpListener| of.local_addr().unwrap().to_string();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "run::tests::a_function"])
            .env("AWS_LAMBDA_RUNTIME_API", address(runtime_api))
            .env("AWS_LAMBDA_FUNCTION_NAME", "test")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env(WARMUP_ADDRESS, address(warmups))
            .stdout(Stdio::null())
            .spawn();
        KillOnDrop(child.unwrap())
    }

    #[test]
    fn the_warmup_runs_once_and_after_the_first_request_was_asked_for() {
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (runtime_api, warmups) = (listen(), listen());
        let _function = start_function(&runtime_api, &warmups);
        let (stream, _) = runtime_api.accept().unwrap();
        let mut answers = stream.try_clone().unwrap();
        let mut requests = BufReader::new(stream);

        // What the function wrote before its warm-up can be read by now.
        drop(warmups.accept().unwrap());
        requests.get_ref().set_nonblocking(true).unwrap();
        assert!(
            !requests.fill_buf().unwrap().is_empty(),
            "the first request was asked for"
        );
        requests.get_ref().set_nonblocking(false).unwrap();

        warmups.set_nonblocking(true).unwrap();
        for n in 0..3 {
            assert!(head(&mut requests).0.starts_with("GET "), "{n}");
            let event = format!(
                "HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: {n}\r\n\
                 lambda-runtime-deadline-ms: 4102444800000\r\ncontent-type: application/json\r\n\
                 content-length: 2\r\n\r\n{{}}"
            );
            answers.write_all(event.as_bytes()).unwrap();
            let (answer, length) = head(&mut requests);
            assert!(answer.contains(&format!("/{n}/response")), "{answer}");
            requests.read_exact(&mut vec![0; length]).unwrap();
            let accepted = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
            answers.write_all(accepted).unwrap();
        }
        assert!(head(&mut requests).0.starts_with("GET "));
        assert!(warmups.accept().is_err(), "the warm-up ran once");
    }
}
