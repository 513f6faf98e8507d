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
    run_with_warmup(prepare, |_| {}, handler)
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
pub fn run_with_warmup<P, D, M, H, F, A, B, E>(
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

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::process::{Child, Command, Stdio};

    use serde::de::IgnoredAny;

    use super::*;

    /// Where the process of the test tells that it did something meanwhile.
    const TELL: &str = "TELL_MEANWHILE";

    /// A process that ends with the test, however that ends.
    struct EndInfo(Child);

    impl Drop for EndInfo {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Not a test of its own: what the next one starts as a process.
    #[test]
    #[ignore = "is started by the next one"]
    fn a_function() {
        let Ok(tell) = crate::required(TELL) else {
            return;
        };
        let meanwhile = move |(): &()| drop(TcpStream::connect(&tell));
        let answer = |(): &(), _: IgnoredAny| async { Ok::<_, Error>(()) };
        run_with_warmup(|| Ok(()), meanwhile, answer).unwrap();
    }

    /// What is read of a request, up to its body.
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

    #[test]
    fn what_is_done_meanwhile_is_done_once_and_after_work_was_asked_for() {
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (runtime_api, told) = (listen(), listen());
        let address = |of: &TcpListener| of.local_addr().unwrap().to_string();
        let program = std::env::current_exe().unwrap();
        let child = Command::new(program)
            .args(["--exact", "--ignored", "run::tests::a_function"])
            .env("AWS_LAMBDA_RUNTIME_API", address(&runtime_api))
            .env("AWS_LAMBDA_FUNCTION_NAME", "test")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env(TELL, address(&told))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let _ended = EndInfo(child);
        let (stream, _) = runtime_api.accept().unwrap();
        let mut answers = stream.try_clone().unwrap();
        let mut asked = BufReader::new(stream);

        // Whatever was written before it was told can be read by now.
        drop(told.accept().unwrap());
        asked.get_ref().set_nonblocking(true).unwrap();
        assert!(!asked.fill_buf().unwrap().is_empty(), "work was asked for");
        asked.get_ref().set_nonblocking(false).unwrap();

        told.set_nonblocking(true).unwrap();
        for n in 0..3 {
            assert!(head(&mut asked).0.starts_with("GET "), "{n}");
            let event = format!(
                "HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: {n}\r\n\
                 lambda-runtime-deadline-ms: 4102444800000\r\ncontent-type: application/json\r\n\
                 content-length: 2\r\n\r\n{{}}"
            );
            answers.write_all(event.as_bytes()).unwrap();
            let (answer, length) = head(&mut asked);
            assert!(answer.contains(&format!("/{n}/response")), "{answer}");
            asked.read_exact(&mut vec![0; length]).unwrap();
            let taken = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
            answers.write_all(taken).unwrap();
        }
        assert!(head(&mut asked).0.starts_with("GET "));
        assert!(told.accept().is_err(), "once");
    }
}
