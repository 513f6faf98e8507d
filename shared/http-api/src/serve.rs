//! The frame around every handler: origin check, answer, log line.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::{OriginPolicy, Timestamp};

use crate::answer::Answer;
use crate::problem::Problem;
use crate::request::Request;

/// The gateway's event, payload format 2.0.
pub type Event = ApiGatewayV2httpRequest;
/// The gateway's response.
pub type Reply = ApiGatewayV2httpResponse;

/// Answers one request: rejects a web origin that is not allowed, calls the handler,
/// and writes the log line.
pub async fn serve<'a, H, F>(
    origin_policy: &OriginPolicy,
    event: Event,
    now: Timestamp,
    handler: H,
) -> Reply
where
    H: FnOnce(Arc<Request>, Timestamp) -> F,
    F: Future<Output = Result<Answer, Problem>> + 'a,
{
    let began = Instant::now();
    let request = Arc::new(Request::new(event, origin_policy));
    let result = match request.check_origin() {
        Ok(()) => handler(request.clone(), now).await,
        Err(problem) => Err(problem),
    };
    let outcome = result.as_ref().err().map_or("done", Problem::name);
    let answer = result.unwrap_or_else(Answer::from);
    request.log(Some(answer.status()), outcome, began);
    allow_origin(&request, answer).into_response()
}

/// Lets a page of an allowed origin read the answer (Fetch standard, CORS protocol).
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
        Some(_) | None => answer,
    }
}
