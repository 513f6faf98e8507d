//! The frame around every handler: origin check, answer, log line.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::Timestamp;
use origin_policy::OriginPolicy;

use crate::answer::Answer;
use crate::cookies::{
    CLEARED_SESSION_COOKIE, ENDED_COOKIE, ENDED_COOKIE_AGE_S, SESSION_COOKIE, cookie,
};
use crate::problem::Problem;
use crate::request::Request;

/// The gateway's event, payload format 2.0.
pub type Event = ApiGatewayV2httpRequest;
/// The gateway's response.
pub type Reply = ApiGatewayV2httpResponse;

/// Answers one request: rejects one that did not come through a required distribution,
/// or comes from a web origin that is not allowed, calls the handler, and writes the
/// log line.
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
    let mut request = Request::new(event, origin_policy);
    let admitted = request.check_distribution(now).await;
    let request = Arc::new(request);
    let result = match admitted.and_then(|()| request.check_origin()) {
        Ok(()) => handler(request.clone(), now).await,
        Err(problem) => Err(problem),
    };
    let outcome = result.as_ref().err().map_or("done", Problem::name);
    let answer = result.unwrap_or_else(|problem| refuse(&request, problem));
    request.log(Some(answer.status()), outcome, began);
    allow_origin(&request, answer).into_response()
}

/// Answers with a problem. The cookie of a session that has ended is deleted, so that
/// it does not stand beside another credential later. No other problem deletes it: a
/// late answer about a replaced session would delete the cookie of the new one. So would
/// one about a session that its own page has ended: the answer to that sign-out or
/// sign-in has deleted or replaced the cookie, unless the browser has missed it.
fn refuse(request: &Request, problem: Problem) -> Answer {
    let has_signed_out = matches!(problem, Problem::SessionSignedOut { .. });
    let deletes_cookie = matches!(
        problem,
        Problem::SessionSignedOut {
            by_itself: false,
            ..
        } | Problem::SessionExpired
            | Problem::AccountDisabled
    ) || (has_signed_out && request.missed_own_sign_out());
    let mut answer = Answer::from(problem);
    if let Some(token) = request.cookies(SESSION_COOKIE).first() {
        if deletes_cookie {
            answer = answer.with_cookie(CLEARED_SESSION_COOKIE);
        }
        if has_signed_out {
            answer = answer.with_cookie(cookie(ENDED_COOKIE, token, ENDED_COOKIE_AGE_S));
        }
    }
    answer
}

/// Lets a page of an allowed origin read the answer (Fetch standard, CORS protocol).
fn allow_origin(request: &Request, answer: Answer) -> Answer {
    let answer = answer.varying("Origin");
    match request.origin() {
        Some(origin) if request.check_origin().is_ok() => {
            let answer = answer
                .with_header("access-control-allow-origin", origin)
                .with_header(
                    "access-control-expose-headers",
                    "WWW-Authenticate, Retry-After",
                );
            // An opaque origin is not that of one page, so none may use its cookie.
            if OriginPolicy::is_opaque(origin) {
                return answer;
            }
            answer.with_header("access-control-allow-credentials", "true")
        }
        Some(_) | None => answer,
    }
}
