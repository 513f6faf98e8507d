//! A Runtime API, and a function that runs under it as a process, as under Lambda.

use std::collections::VecDeque;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use runtime::lock;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::server::{Answer, Server, body};

/// Valgrind is slow, and a machine may be busy.
const PATIENCE: Duration = Duration::from_mins(2);

/// What the Runtime API and the handle of the function share.
struct Api {
    events: Mutex<VecDeque<String>>,
    /// Signals a new event.
    arrived: Notify,
    answer: Mutex<Option<(Result<Value, String>, Instant)>>,
    /// Signals a new answer.
    answered: Notify,
    /// How often the function has asked for an event.
    asks: watch::Sender<u64>,
    first_asked: Mutex<Option<Instant>>,
}

/// A function's process and its Runtime API.
pub struct Function {
    child: Child,
    api: Arc<Api>,
    ask_count: watch::Receiver<u64>,
    started: Instant,
    answers: u64,
    _server: Server,
}

impl Function {
    /// Starts a command whose program is a function, or a tool that runs one. The
    /// function gets `event`, if there is one, as soon as it asks.
    pub async fn start(mut command: Command, event: Option<&Value>, log: &Path) -> Result<Self> {
        let (counter, ask_count) = watch::channel(0);
        let api = Arc::new(Api {
            events: Mutex::new(event.iter().map(ToString::to_string).collect()),
            arrived: Notify::new(),
            answer: Mutex::default(),
            answered: Notify::new(),
            asks: counter,
            first_asked: Mutex::default(),
        });
        let shared = api.clone();
        let server = Server::start(move |request| serve(shared.clone(), request)).await?;
        let output = fs::File::create(log)?;
        command
            .env("AWS_LAMBDA_RUNTIME_API", server.address.to_string())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true);
        let started = Instant::now();
        let child = command.spawn().context("a function does not start")?;
        Ok(Self {
            child,
            api,
            ask_count,
            started,
            answers: 0,
            _server: server,
        })
    }

    /// Waits until the function asks for work for the first time, where Lambda's init
    /// phase ends. Returns how long that took.
    pub async fn initialised(&mut self) -> Result<Duration> {
        self.asks(1).await?;
        let at = lock(&self.api.first_asked).context("nothing was asked")?;
        Ok(at - self.started)
    }

    /// Waits for the answer to the latest event. Returns it and the time since the start
    /// of the process.
    pub async fn answer(&mut self) -> Result<(Value, Duration)> {
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
        let (answer, at) = answered.await.context("a function does not answer")??;
        self.answers += 1;
        let answer = answer.map_err(|error| anyhow!("a function failed: {error}"))?;
        Ok((answer, at - self.started))
    }

    /// Sends an event and waits until it is answered and the function is idle.
    pub async fn invoke(&mut self, event: &Value) -> Result<Value> {
        Ok(self.timed(event).await?.0)
    }

    /// Does the same, and returns how long the answer took, too.
    pub async fn timed(&mut self, event: &Value) -> Result<(Value, Duration)> {
        let sent = self.started.elapsed();
        lock(&self.api.events).push_back(event.to_string());
        self.api.arrived.notify_one();
        let (answer, at) = self.answer().await?;
        self.idle().await?;
        Ok((answer, at.saturating_sub(sent)))
    }

    /// Waits until the function has asked for the next event and all its threads sleep.
    pub async fn idle(&mut self) -> Result<()> {
        self.asks(self.answers + 1).await?;
        let process = self.id()?;
        let deadline = Instant::now() + PATIENCE;
        while !is_asleep(process)? {
            if Instant::now() > deadline {
                bail!("a function does not become idle");
            }
            sleep(Duration::from_micros(200)).await;
        }
        Ok(())
    }

    /// Returns the processor time so far, of all threads.
    pub fn processor_time(&self) -> Result<Duration> {
        let mut total = 0;
        for text in of_threads(self.id()?, "schedstat")? {
            let ran = text.split(' ').next().unwrap_or_default();
            total += ran.parse::<u64>().context("schedstat is not as expected")?;
        }
        Ok(Duration::from_nanos(total))
    }

    pub fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u64 = kib.context("no VmRSS")?.trim().parse()?;
        Ok(kib * 1024)
    }

    /// Terminates the process by a signal, so that a tool that runs it writes its report.
    pub async fn end(mut self) -> Result<()> {
        let pid = Pid::from_raw(self.id()?.cast_signed()).context("a process has an id")?;
        kill_process(pid, Signal::TERM)?;
        timeout(PATIENCE, self.child.wait()).await??;
        Ok(())
    }

    fn id(&self) -> Result<u32> {
        self.child.id().context("the function has ended")
    }

    /// Waits until the function has asked for work so many times.
    async fn asks(&mut self, times: u64) -> Result<()> {
        let asked = self.ask_count.wait_for(|count| *count >= times);
        tokio::select! {
            asked = timeout(PATIENCE, asked) => {
                asked.context("a function does not ask for work")??;
                Ok(())
            }
            end = self.child.wait() => bail!("a function ended ({})", end?),
        }
    }
}

fn is_asleep(process: u32) -> Result<bool> {
    let states = of_threads(process, "stat")?;
    let mut states = states.iter().map(|stat| stat.rsplit_once(") "));
    Ok(states.all(|state| state.is_some_and(|(_, rest)| rest.starts_with('S'))))
}

/// Reads a file of each thread of a process, and skips threads that have just ended.
fn of_threads(process: u32, file: &str) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        match fs::read_to_string(thread?.path().join(file)) {
            Ok(text) => texts.push(text),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            // The file was opened, and the thread ended before it was read.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(texts)
}

async fn serve(api: Arc<Api>, request: Request<Incoming>) -> Answer {
    if request.method() == Method::GET {
        lock(&api.first_asked).get_or_insert_with(Instant::now);
        api.asks.send_modify(|asked| *asked += 1);
        return next(&api).await;
    }
    let at = Instant::now();
    let is_answer = request.uri().path().ends_with("/response");
    let body = body(request).await;
    let answer = match serde_json::from_slice(&body) {
        Ok(body) if is_answer => Ok(body),
        _ => Err(String::from_utf8_lossy(&body).into_owned()),
    };
    *lock(&api.answer) = Some((answer, at));
    api.answered.notify_one();
    let mut accepted = Response::new(Full::new(Bytes::new()));
    *accepted.status_mut() = StatusCode::ACCEPTED;
    accepted
}

/// Waits for the next event and hands it out.
async fn next(api: &Api) -> Answer {
    let event = loop {
        let arrived = api.arrived.notified();
        if let Some(event) = lock(&api.events).pop_front() {
            break event;
        }
        arrived.await;
    };
    let arn = "arn:aws:lambda:eu-central-1:123456789012:function:bench";
    Response::builder()
        .header(
            "lambda-runtime-aws-request-id",
            "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
        )
        .header("lambda-runtime-deadline-ms", "4102444800000")
        .header("lambda-runtime-invoked-function-arn", arn)
        .header("content-type", "application/json")
        .body(Full::new(event.into()))
        .expect("the headers are well-formed")
}
