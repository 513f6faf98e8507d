//! A network under the real SDK: every call of the product to AWS ends here, and a
//! function of the test answers it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use runtime::{Clients, RetryPolicy};

use crate::engine::ServiceResponse;
use crate::tables::ATTEMPTS;

/// A call to AWS, as the SDK sends it.
#[derive(Debug, Clone)]
pub struct Call {
    /// `PutItem`, `Query` and so on.
    pub operation: String,
    /// The path of its URL, where the management API names a socket.
    pub path: String,
    /// The JSON of the body.
    pub body: String,
}

impl Call {
    /// Returns whether it charges a counter of attempts, or gives the charge back.
    #[must_use]
    pub fn is_of_a_counter(&self) -> bool {
        self.body.contains(&format!("\"TableName\":\"{ATTEMPTS}\""))
    }

    /// Returns whether it may change a row.
    #[must_use]
    pub fn is_write(&self) -> bool {
        is_write(&self.operation)
    }
}

/// Returns whether an operation may change a row.
#[must_use]
pub fn is_write(operation: &str) -> bool {
    matches!(
        operation,
        "PutItem" | "UpdateItem" | "DeleteItem" | "TransactWriteItems"
    )
}

/// The result of a call.
#[derive(Debug)]
pub enum CallResult {
    /// The service answers.
    Answered(ServiceResponse),
    /// The connection breaks.
    Broken,
    /// The client times out.
    TimedOut,
    /// The answer comes later, through the slot, or never.
    Waiting(Slot),
}

/// Holds the answer to a call that waits for it.
#[derive(Debug, Clone, Default)]
pub struct Slot(Arc<Mutex<Later>>);

#[derive(Debug, Default)]
struct Later {
    answer: Option<ServiceResponse>,
    waker: Option<Waker>,
}

impl Slot {
    /// Answers the call, and wakes its caller.
    pub fn fill(&self, answer: ServiceResponse) {
        let mut later = runtime::lock(&self.0);
        later.answer = Some(answer);
        if let Some(waker) = later.waker.take() {
            waker.wake();
        }
    }
}

/// A network that a function answers for.
pub struct Wire {
    decide: Box<dyn Fn(Call) -> CallResult + Send + Sync>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire(…)")
    }
}

/// Returns the product's clients over a network that the function answers for. The
/// SDK's own retries are off.
pub fn clients(decide: impl Fn(Call) -> CallResult + Send + Sync + 'static) -> Clients {
    let wire = Arc::new(Wire {
        decide: Box::new(decide),
    });
    Clients::new(
        "eu-central-1".to_owned(),
        Credentials::new("test", "test", None, None, "tests"),
        Some("http://tables.invalid".to_owned()),
        SharedHttpClient::new(Network(wire)),
        RetryPolicy::Never,
    )
}

#[derive(Debug, Clone)]
struct Network(Arc<Wire>);

impl HttpClient for Network {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Network {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let mut operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let bytes = request.body().bytes().expect("a body in memory");
        let body = String::from_utf8(bytes.to_vec()).expect("a body of text");
        if operation.is_empty() {
            // SNS takes a form, which names the operation in the body.
            let action = body
                .split('&')
                .find_map(|pair| pair.strip_prefix("Action="));
            action.unwrap_or_default().clone_into(&mut operation);
        }
        let path = request
            .uri()
            .parse::<http::Uri>()
            .expect("a well-formed URL")
            .path()
            .to_owned();
        if path.contains("/@connections/") {
            let name = match request.method() {
                "DELETE" => "DeleteConnection",
                _ => "PostToConnection",
            };
            name.clone_into(&mut operation);
        }
        if path == "/v2/email/outbound-emails" {
            "SendEmail".clone_into(&mut operation);
        }
        if path.starts_with("/v2/email/configuration-sets/") {
            "PutConfigurationSetSendingOptions".clone_into(&mut operation);
        }
        let call = Call {
            operation,
            path,
            body,
        };
        match (self.0.decide)(call) {
            CallResult::Answered(answer) => HttpConnectorFuture::ready(Ok(response(answer))),
            CallResult::Broken => {
                HttpConnectorFuture::ready(Err(ConnectorError::io("the connection broke".into())))
            }
            CallResult::TimedOut => {
                HttpConnectorFuture::ready(Err(ConnectorError::timeout("no answer in time".into())))
            }
            CallResult::Waiting(slot) => HttpConnectorFuture::new(Wait(slot)),
        }
    }
}

struct Wait(Slot);

impl Future for Wait {
    type Output = Result<HttpResponse, ConnectorError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut later = runtime::lock(&self.0.0);
        if let Some(answer) = later.answer.take() {
            Poll::Ready(Ok(response(answer)))
        } else {
            later.waker = Some(context.waker().clone());
            Poll::Pending
        }
    }
}

fn response(answer: ServiceResponse) -> HttpResponse {
    let status = answer.status.try_into().expect("a status");
    HttpResponse::new(status, SdkBody::from(answer.body))
}
