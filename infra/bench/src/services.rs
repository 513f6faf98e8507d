//! AWS as the functions meet it, over HTTP on this machine: the embedded DynamoDB,
//! and an SNS, an SQS and open sockets that take whatever they are sent.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Result;
use curfew_tests::bundle::Bundle;
use curfew_tests::cost::{Cost, Meter};
use curfew_tests::delivery::{self, Published};
use curfew_tests::engine::{Answer, Engine};
use curfew_tests::wire::{self, Fate};
use domain::password::Hasher;
use http_body_util::{BodyExt as _, Collected, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use runtime::{Clock, lock};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The functions in this process over tables, with passwords hashed as they are in
/// the cloud: what a world is made with before it is measured.
#[must_use]
pub fn bundle_over(engine: &Engine) -> Bundle {
    let engine = engine.clone();
    let clients =
        wire::clients(move |call| Fate::Answered(engine.answer(&call.operation, &call.body)));
    let mut bundle = Bundle::new(clients.dynamodb(), Clock::System);
    bundle.register.hasher = Mutex::new(Hasher::new());
    bundle.login.hasher = Mutex::new(Hasher::new());
    bundle.change_password.hasher = Mutex::new(Hasher::new());
    bundle
}

/// The services. They end when this is dropped.
pub struct Services {
    /// The tables.
    pub engine: Engine,
    /// Where they are.
    pub url: String,
    made: Arc<Made>,
    served: JoinHandle<()>,
}

/// What was asked of them.
#[derive(Default)]
struct Made {
    calls: Mutex<Vec<String>>,
    published: Mutex<Vec<Published>>,
    /// The tables are to say what each call uses.
    is_metered: AtomicBool,
    meter: Meter,
}

impl Services {
    /// Starts them over these tables.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(engine: Engine) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let made = Arc::<Made>::default();
        let served = tokio::spawn(serve(listener, engine.clone(), made.clone()));
        Ok(Self {
            engine,
            url,
            made,
            served,
        })
    }

    /// The calls since this was last asked, by their operation.
    #[must_use]
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.made.calls))
    }

    /// From now on the tables are asked, with each call, what it used; or not any
    /// more. A function then gets a few bytes more for an answer.
    pub fn meter(&self, is_metered: bool) {
        self.made.is_metered.store(is_metered, Ordering::SeqCst);
    }

    /// What the calls have used since this was last asked, those that were metered.
    #[must_use]
    pub fn take_cost(&self) -> Cost {
        self.made.meter.take()
    }

    /// The messages that the topic was sent since this was last asked.
    #[must_use]
    pub fn take_published(&self) -> Vec<Published> {
        std::mem::take(&mut lock(&self.made.published))
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.served.abort();
    }
}

async fn serve(listener: TcpListener, engine: Engine, made: Arc<Made>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let (engine, made) = (engine.clone(), made.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let (engine, made) = (engine.clone(), made.clone());
                async move { Ok::<_, Infallible>(answer(&engine, &made, request).await) }
            });
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(engine: &Engine, made: &Made, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let target = request.headers().get("x-amz-target");
    let target = target
        .and_then(|target| target.to_str().ok())
        .unwrap_or("")
        .to_owned();
    let is_socket = request.uri().path().contains("/@connections/");
    let body = request.into_body().collect().await;
    let body = body.map(Collected::to_bytes).unwrap_or_default();
    let body = String::from_utf8_lossy(&body);
    let (service, operation) = target.rsplit_once('.').unwrap_or_default();
    let (operation, answer) = if is_socket {
        (
            "sockets",
            Answer {
                status: 200,
                body: String::new(),
            },
        )
    } else if service.starts_with("DynamoDB") && made.is_metered.load(Ordering::SeqCst) {
        (operation, made.meter.answer(engine, operation, &body))
    } else if service.starts_with("DynamoDB") {
        (operation, engine.answer(operation, &body))
    } else if service == "AmazonSQS" {
        (operation, delivery::sent_answer())
    } else if body.contains("Action=") {
        let (ids, messages): (Vec<_>, Vec<_>) = delivery::batch(&body).into_iter().unzip();
        lock(&made.published).extend(messages);
        let outcomes: Vec<_> = ids.into_iter().map(|id| (id, None)).collect();
        ("PublishBatch", delivery::batch_answer(&outcomes))
    } else {
        // What a connection is opened with before it is needed.
        (
            "health",
            Answer {
                status: 200,
                body: String::new(),
            },
        )
    };
    lock(&made.calls).push(operation.to_owned());
    let is_xml = operation == "PublishBatch";
    Response::builder()
        .status(answer.status)
        .header(
            "content-type",
            if is_xml {
                "text/xml"
            } else {
                "application/x-amz-json-1.0"
            },
        )
        .body(Full::new(answer.body.into()))
        .expect("headers that are well-formed")
}
