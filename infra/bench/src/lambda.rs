//! A Runtime API of our own, and a function that runs under it as a process, as
//! under Lambda.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use runtime::lock;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Valgrind is slow, and a machine may be busy.
const PATIENCE: Duration = Duration::from_mins(2);

/// What a function answered.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The JSON that it answered with.
    pub body: Value,
    /// When the answer was here.
    pub at: Instant,
}

/// What the Runtime API and the function's process share.
#[derive(Default)]
struct Api {
    events: Mutex<VecDeque<String>>,
    /// There is an event to hand out.
    arrived: Notify,
    answer: Mutex<Option<Result<Answered, String>>>,
    /// There is an answer to pick up.
    answered: Notify,
}

/// A function's process and the Runtime API that it hangs on.
pub struct Function {
    child: Child,
    api: Arc<Api>,
    asked: watch::Receiver<u64>,
    served: JoinHandle<()>,
    started: Instant,
    first_asked: Arc<Mutex<Option<Instant>>>,
    answers: u64,
}

impl Function {
    /// Starts a command whose program is a function, or a tool that runs one. An
    /// event that waits is handed out as soon as the function asks.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn start(mut command: Command, waiting: Option<&Value>, log: &Path) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let api = Arc::new(Api::default());
        if let Some(event) = waiting {
            lock(&api.events).push_back(event.to_string());
        }
        let (asks, asked) = watch::channel(0);
        let first_asked = Arc::<Mutex<Option<Instant>>>::default();
        let served = tokio::spawn(serve(listener, api.clone(), asks, first_asked.clone()));
        let output = fs::File::create(log)?;
        command
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true);
        let started = Instant::now();
        let child = command.spawn().context("a function does not start")?;
        Ok(Self {
            child,
            api,
            asked,
            served,
            started,
            first_asked,
            answers: 0,
        })
    }

    /// When it asked for work first: until here Lambda counts the init phase.
    ///
    /// # Errors
    /// When it ends before.
    pub async fn initialised(&mut self) -> Result<Duration> {
        self.asks(1).await?;
        let at = lock(&self.first_asked).context("nothing was asked")?;
        Ok(at - self.started)
    }

    /// The answer to an event that waited when the function was started, or to the
    /// one that was sent last; and how long after the start it was there.
    ///
    /// # Errors
    /// When the function fails or ends.
    pub async fn answer(&mut self) -> Result<(Answered, Duration)> {
        let answered = timeout(PATIENCE, async {
            loop {
                let arrived = self.api.answered.notified();
                if let Some(answer) = lock(&self.api.answer).take() {
                    return Ok(answer);
                }
                tokio::select! {
                    () = arrived => {}
                    end = self.child.wait() => bail!("a function ended ({})", end?),
                }
            }
        });
        let answer = answered
            .await
            .context("a function does not answer")??
            .map_err(|error| anyhow::anyhow!("a function failed: {error}"))?;
        self.answers += 1;
        let after = answer.at - self.started;
        Ok((answer, after))
    }

    /// Sends an event, and waits until it is answered and the function sleeps.
    ///
    /// # Errors
    /// When the function fails or ends.
    pub async fn invoke(&mut self, event: &Value) -> Result<Value> {
        let answer = self.ask(event).await?;
        self.idle().await?;
        Ok(answer)
    }

    /// Sends an event, and waits until it is answered: what the function still does
    /// then it may do beside the next one.
    ///
    /// # Errors
    /// When the function fails or ends.
    pub async fn ask(&mut self, event: &Value) -> Result<Value> {
        lock(&self.api.events).push_back(event.to_string());
        self.api.arrived.notify_one();
        let (answered, _) = self.answer().await?;
        Ok(answered.body)
    }

    /// Waits until it has asked for the next event and sleeps.
    ///
    /// # Errors
    /// When it ends.
    pub async fn idle(&mut self) -> Result<()> {
        self.asks(self.answers + 1).await?;
        at_rest(self.id()?).await
    }

    /// Processor time so far, of all its threads.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn processor_time(&self) -> Result<Duration> {
        processor_time(self.id()?)
    }

    /// Resident memory, in bytes.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u64 = kib.context("no VmRSS")?.trim().parse()?;
        Ok(kib * 1024)
    }

    /// Ends it in such a way that a tool which runs it writes down what it saw.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn end(mut self) -> Result<()> {
        let pid = Pid::from_raw(self.id()?.cast_signed()).context("a process has an id")?;
        kill_process(pid, Signal::TERM)?;
        timeout(PATIENCE, self.child.wait()).await??;
        self.served.abort();
        Ok(())
    }

    fn id(&self) -> Result<u32> {
        self.child.id().context("the function has ended")
    }

    /// Waits until it has asked for work so many times.
    async fn asks(&mut self, times: u64) -> Result<()> {
        let asked = self.asked.wait_for(|asked| *asked >= times);
        tokio::select! {
            asked = timeout(PATIENCE, asked) => {
                asked.context("a function does not ask for work")??;
                Ok(())
            }
            end = self.child.wait() => bail!("a function ended ({})", end?),
        }
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.served.abort();
    }
}

/// The processor time of a process so far, of all its threads.
///
/// # Errors
/// When the process is gone.
pub fn processor_time(process: u32) -> Result<Duration> {
    let mut total = 0;
    for text in of_threads(process, "schedstat")? {
        let ran = text.split(' ').next().unwrap_or_default();
        total += ran.parse::<u64>().context("schedstat is not as expected")?;
    }
    Ok(Duration::from_nanos(total))
}

/// Waits until every thread of a process sleeps.
///
/// # Errors
/// When the process is gone, or does not come to rest.
pub async fn at_rest(process: u32) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !sleeps(process)? {
        if Instant::now() > deadline {
            bail!("a process does not come to rest");
        }
        sleep(Duration::from_micros(200)).await;
    }
    Ok(())
}

fn sleeps(process: u32) -> Result<bool> {
    let mut all = true;
    for stat in of_threads(process, "stat")? {
        let state = stat.rsplit_once(") ").map(|(_, rest)| &rest[..1]);
        all &= state == Some("S");
    }
    Ok(all)
}

/// A file of each thread of a process. One that ends while they are read has none.
fn of_threads(process: u32, file: &str) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        match fs::read_to_string(thread?.path().join(file)) {
            Ok(text) => texts.push(text),
            Err(error) if has_ended(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(texts)
}

/// Whether a thread is no longer there: not its file, or not what is in it.
fn has_ended(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// Serves the Runtime API to one process.
async fn serve(
    listener: TcpListener,
    api: Arc<Api>,
    asks: watch::Sender<u64>,
    first_asked: Arc<Mutex<Option<Instant>>>,
) {
    let asks = Arc::new(asks);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let _ = stream.set_nodelay(true);
        let (api, asks, first_asked) = (api.clone(), asks.clone(), first_asked.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let (api, asks, first_asked) = (api.clone(), asks.clone(), first_asked.clone());
                async move {
                    if request.method() == Method::GET {
                        lock(&first_asked).get_or_insert_with(Instant::now);
                        asks.send_modify(|asked| *asked += 1);
                        return Ok::<_, Infallible>(next(&api).await);
                    }
                    Ok(take(&api, request).await)
                }
            });
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Hands the next event out, when there is one.
async fn next(api: &Api) -> Response<Full<Bytes>> {
    let event = loop {
        let arrived = api.arrived.notified();
        if let Some(event) = lock(&api.events).pop_front() {
            break event;
        }
        arrived.await;
    };
    Response::builder()
        .header(
            "lambda-runtime-aws-request-id",
            "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
        )
        .header("lambda-runtime-deadline-ms", "4102444800000")
        .header(
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:eu-central-1:123456789012:function:bench",
        )
        .header("content-type", "application/json")
        .body(Full::new(event.into()))
        .expect("headers that are well-formed")
}

/// Takes an answer, or an error.
async fn take(api: &Api, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let at = Instant::now();
    let is_answer = request.uri().path().ends_with("/response");
    let body = request.into_body().collect().await;
    let body = body.map(Collected::to_bytes).unwrap_or_default();
    let answer = match serde_json::from_slice(&body) {
        Ok(body) if is_answer => Ok(Answered { body, at }),
        _ => Err(String::from_utf8_lossy(&body).into_owned()),
    };
    *lock(&api.answer) = Some(answer);
    api.answered.notify_one();
    let mut taken = Response::new(Full::new(Bytes::new()));
    *taken.status_mut() = StatusCode::ACCEPTED;
    taken
}
