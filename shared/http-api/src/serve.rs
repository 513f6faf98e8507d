//! The frame around every handler: the origin, the answer, the log line.

use std::future::Future;
use std::time::Instant;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::{OriginPolicy, Timestamp};

use crate::answer::Answer;
use crate::problem::Problem;
use crate::request::Request;

/// What the gateway sends: payload format 2.0.
pub type Event = ApiGatewayV2httpRequest;
/// What the gateway takes.
pub type Reply = ApiGatewayV2httpResponse;

/// Answers one request: refuses a web origin that is not allowed, lets the
/// handler answer, and writes one line to the log.
pub async fn serve<'a, H, F, E>(
    origin_policy: &OriginPolicy,
    event: Event,
    now: Timestamp,
    handler: H,
) -> Reply
where
    H: FnOnce(std::sync::Arc<Request>, Timestamp) -> F,
    F: Future<Output = Result<Answer, E>> + 'a,
    Problem: From<E>,
{
    let began = Instant::now();
    let request = std::sync::Arc::new(Request::new(event, origin_policy));
    let outcome = match request.check_origin() {
        Ok(()) => handler(request.clone(), now).await.map_err(Problem::from),
        Err(problem) => Err(problem),
    };
    let problem = outcome.as_ref().err().map(Problem::name);
    let answer = outcome.unwrap_or_else(Answer::from);
    let status = Some(answer.status());
    request.log(
        "A request was answered.",
        status,
        problem.unwrap_or("done"),
        began,
    );
    allow_origin(&request, answer).into_response()
}

/// Lets the page of an allowed origin read the answer (Fetch standard, CORS
/// protocol). The origin was checked before.
fn allow_origin(request: &Request, answer: Answer) -> Answer {
    let answer = answer.with_header("vary", "Origin");
    match request.origin() {
        Some(origin) if request.check_origin().is_ok() => answer
            .with_header("access-control-allow-origin", origin)
            .with_header("access-control-allow-credentials", "true")
            .with_header(
                "access-control-expose-headers",
                "WWW-Authenticate, Retry-After",
            ),
        _ => answer,
    }
}

/// The problem for tables that did not do their part; the cause goes to the log.
#[must_use]
pub fn unavailable(error: &store::StoreError) -> Problem {
    tracing::error!(cause = error.chain(), "The tables did not do their part.");
    Problem::Unavailable
}
