//! Answers: status, headers, cookies and body.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use aws_lambda_events::encodings::Body;
use aws_lambda_events::http::{HeaderMap, HeaderValue};
use domain::SignOut;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cookies::{
    CLEARED_SESSION_COOKIE, ENDED_COOKIE, ENDED_COOKIE_AGE_S, SESSION_COOKIE, Transport, cookie,
};
use crate::problem::Problem;
use crate::request::Request;
use crate::views::SignOutAnswer;

/// A body without members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct Empty {}

/// Browsers use nothing but HTTPS for this host and those below it, for a year
/// (RFC 6797).
const HSTS: &str = "max-age=31536000; includeSubDomains";

/// An answer that a handler builds.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: HeaderMap,
    cookies: Vec<String>,
    body: Body,
}

impl Answer {
    /// Creates an answer with a JSON body. No cache may keep it, unless
    /// [`Answer::with_header`] sets another `cache-control`.
    ///
    /// # Panics
    /// When `body` can't be serialized; plain structs of text always can.
    #[must_use]
    pub fn json<T: Serialize>(status: u16, body: &T) -> Self {
        let body = serde_json::to_string(body).expect("the answers are plain structs of text");
        Self::raw(status, body)
    }

    /// Creates an answer whose body is already JSON.
    #[must_use]
    pub fn raw(status: u16, body: impl Into<String>) -> Self {
        let mut answer = Self::empty(status).with_header("content-type", "application/json");
        answer.body = Body::Text(body.into());
        answer
    }

    /// Creates an answer with the content of a file.
    #[must_use]
    pub fn bytes(status: u16, content: impl Into<Vec<u8>>) -> Self {
        let mut answer = Self::empty(status);
        answer.body = Body::Binary(content.into());
        answer
    }

    /// Creates an answer without a body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        let answer = Self {
            status,
            headers: HeaderMap::new(),
            cookies: Vec::new(),
            body: Body::Empty,
        };
        answer
            .with_header("cache-control", "no-store")
            .with_header("x-content-type-options", "nosniff")
            .with_header("strict-transport-security", HSTS)
    }

    /// Sets a header. Skips a value that is not allowed in a header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Adds a header to what `vary` names already.
    #[must_use]
    pub fn varying(self, header: &str) -> Self {
        let before = self.headers.get("vary").and_then(|it| it.to_str().ok());
        let both = before.map_or_else(|| header.to_owned(), |before| format!("{before}, {header}"));
        self.with_header("vary", &both)
    }

    /// Adds a `Set-Cookie` value.
    #[must_use]
    pub fn with_cookie(mut self, cookie: impl Into<String>) -> Self {
        self.cookies.push(cookie.into());
        self
    }

    /// Completes the answer to a request that ended its own session. A page's
    /// browser then deletes the session cookie, and its cache for this host
    /// (Clear-Site-Data). The device cookie stays, so that the next sign-in is
    /// recognised as the same device.
    #[must_use]
    pub fn for_signed_out(self, transport: Transport) -> Self {
        match transport {
            Transport::Bearer => self,
            Transport::Cookie => self
                .with_cookie(CLEARED_SESSION_COOKIE)
                .with_header("clear-site-data", "\"cache\""),
        }
    }

    /// Creates the answer to a sign-out that the caller requested. The token of a page
    /// that signed itself out moves to the cookie with which it can acknowledge.
    #[must_use]
    pub fn sign_out(sign_out: &SignOut, request: &Request) -> Self {
        let answer = Self::json(200, &SignOutAnswer::of(&sign_out.end_info()));
        if !sign_out.scope.includes_caller() {
            return answer;
        }
        let answer = answer.for_signed_out(request.transport());
        match request.cookies(SESSION_COOKIE).first() {
            Some(token) => answer.with_cookie(cookie(ENDED_COOKIE, token, ENDED_COOKIE_AGE_S)),
            None => answer,
        }
    }

    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Converts the answer to what the gateway takes.
    #[must_use]
    pub fn into_response(self) -> ApiGatewayV2httpResponse {
        let mut response = ApiGatewayV2httpResponse::default();
        response.status_code = i64::from(self.status);
        response.headers = self.headers;
        response.cookies = self.cookies;
        response.is_base64_encoded = matches!(self.body, Body::Binary(_));
        response.body = (self.body != Body::Empty).then_some(self.body);
        response
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        let mut answer = Self::json(problem.status(), &problem.document())
            .with_header("content-type", "application/problem+json");
        if let Some(challenge) = problem.challenge() {
            answer = answer.with_header("www-authenticate", &challenge);
        }
        if let Problem::MethodNotAllowed { allow } = &problem {
            answer = answer.with_header("allow", allow);
        }
        match problem {
            Problem::RateLimited { retry_after } | Problem::TooManyAttempts { retry_after } => {
                answer = answer.with_header("retry-after", &retry_after.to_string());
            }
            Problem::Unavailable => answer = answer.with_header("retry-after", "1"),
            _ => {}
        }
        answer
    }
}
