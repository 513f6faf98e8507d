//! A stand-in for AWS over HTTP on this machine: the embedded DynamoDB, and an SNS, an
//! SQS and open sockets that accept everything.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Result;
use curfew_tests::bundle::Bundle;
use curfew_tests::cost::{Cost, Meter};
use curfew_tests::delivery::{self, Published};
use curfew_tests::engine::{Engine, ServiceResponse};
use curfew_tests::wire::{self, CallResult};
use domain::password::Hasher;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use runtime::{Clock, PasswordHasher, lock};

use crate::server::{Answer, Server, body};

/// Creates the functions in this process, with passwords hashed as in the cloud: they
/// prepare the rows that a measurement begins with.
pub fn bundle_over(engine: &Engine) -> Bundle {
    let engine = engine.clone();
    let clients =
        wire::clients(move |call| CallResult::Answered(engine.answer(&call.operation, &call.body)));
    let mut bundle = Bundle::new(clients.dynamodb(), Clock::System);
    bundle.register.hasher = PasswordHasher::new(Hasher::new());
    bundle.login.hasher = PasswordHasher::new(Hasher::new());
    bundle.change_password.hasher = PasswordHasher::new(Hasher::new());
    bundle
}

/// The services. They end when this is dropped.
pub struct Services {
    pub engine: Engine,
    pub url: String,
    seen: Arc<Seen>,
    _server: Server,
}

#[derive(Default)]
struct Seen {
    calls: Mutex<Vec<String>>,
    published: Mutex<Vec<Published>>,
    /// Whether the tables report what each call uses.
    is_metered: AtomicBool,
    meter: Meter,
}

impl Services {
    pub async fn start(engine: Engine) -> Result<Self> {
        let seen = Arc::<Seen>::default();
        let (tables, to) = (engine.clone(), seen.clone());
        let server = Server::start(move |request| {
            let (tables, seen) = (tables.clone(), to.clone());
            async move { answer(&tables, &seen, request).await }
        });
        let server = server.await?;
        Ok(Self {
            engine,
            url: format!("http://{}", server.address),
            seen,
            _server: server,
        })
    }

    /// Returns the calls since the last time, by operation.
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.seen.calls))
    }

    /// Lets the tables report the units of each call, or not. A function's answer is
    /// then a few bytes longer.
    pub fn meter(&self, is_metered: bool) {
        self.seen.is_metered.store(is_metered, Ordering::SeqCst);
    }

    /// Returns what metered calls have used since the last time.
    pub fn take_cost(&self) -> Cost {
        self.seen.meter.take()
    }

    /// Returns the messages published to the topic since the last time.
    pub fn take_published(&self) -> Vec<Published> {
        std::mem::take(&mut lock(&self.seen.published))
    }
}

async fn answer(engine: &Engine, seen: &Seen, request: Request<Incoming>) -> Answer {
    let target = request.headers().get("x-amz-target");
    let target = target.and_then(|target| target.to_str().ok());
    let target = target.unwrap_or_default().to_owned();
    let is_socket = request.uri().path().contains("/@connections/");
    let is_mail = request.uri().path().starts_with("/v2/email/");
    let body = body(request).await;
    let body = String::from_utf8_lossy(&body);
    let nothing = || ServiceResponse {
        status: 200,
        body: String::new(),
    };
    let (operation, answer) = match target.rsplit_once('.').unwrap_or_default() {
        _ if is_socket => ("sockets", nothing()),
        _ if is_mail => (
            "SES",
            ServiceResponse {
                status: 200,
                body: "{}".to_owned(),
            },
        ),
        (service, operation) if service.starts_with("DynamoDB") => {
            let answer = if seen.is_metered.load(Ordering::SeqCst) {
                seen.meter.answer(engine, operation, &body)
            } else {
                engine.answer(operation, &body)
            };
            (operation, answer)
        }
        ("AmazonSQS", operation) => (operation, delivery::sent_answer()),
        _ if body.contains("Action=") => {
            let (ids, messages): (Vec<_>, Vec<_>) = delivery::batch(&body).into_iter().unzip();
            lock(&seen.published).extend(messages);
            let outcomes: Vec<_> = ids.into_iter().map(|id| (id, None)).collect();
            ("PublishBatch", delivery::batch_answer(&outcomes))
        }
        // A function opens its connection before it needs it.
        _ => ("health", nothing()),
    };
    lock(&seen.calls).push(operation.to_owned());
    let content_type = match operation {
        "PublishBatch" => "text/xml",
        "SES" => "application/json",
        _ => "application/x-amz-json-1.0",
    };
    Response::builder()
        .status(answer.status)
        .header("content-type", content_type)
        .body(Full::new(answer.body.into()))
        .expect("the headers are well-formed")
}
