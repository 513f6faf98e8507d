//! What goes out: a status, headers, cookies and a body.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use aws_lambda_events::encodings::Body;
use aws_lambda_events::http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The cookie that carries the token for a page. The prefix binds it to this
/// host, to HTTPS and to the whole of it (RFC 6265bis, section 4.1.3).
pub const SESSION_COOKIE: &str = "__Host-curfew";

/// What makes a browser forget the token.
pub const CLEARED_SESSION_COOKIE: &str =
    "__Host-curfew=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0";

/// A cookie that only this host gets, over HTTPS, and that no script can read.
#[must_use]
pub fn cookie(name: &str, value: &str, max_age_s: i64) -> String {
    format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={max_age_s}")
}

/// A body without a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct Empty {}

/// An answer in the making.
#[derive(Debug, Clone)]
pub struct Answer {
    status: u16,
    headers: HeaderMap,
    cookies: Vec<String>,
    body: Option<String>,
}

impl Answer {
    /// An answer with a JSON body. Nobody may keep a copy, unless another
    /// `cache-control` says so.
    ///
    /// # Panics
    /// When the body is no JSON, which no plain struct of texts is.
    #[must_use]
    pub fn json<T: Serialize>(status: u16, body: &T) -> Self {
        let body = serde_json::to_string(body).expect("the answers are plain structs of text");
        Self::raw(status, body)
    }

    /// An answer whose body is JSON already.
    #[must_use]
    pub fn raw(status: u16, body: impl Into<String>) -> Self {
        Self::empty(status)
            .with_body(body.into())
            .with_header("content-type", "application/json")
    }

    /// An answer without a body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        let answer = Self {
            status,
            headers: HeaderMap::new(),
            cookies: Vec::new(),
            body: None,
        };
        answer
            .with_header("cache-control", "no-store")
            .with_header("x-content-type-options", "nosniff")
    }

    fn with_body(mut self, body: String) -> Self {
        self.body = Some(body);
        self
    }

    /// Sets a header; one whose value can't stand in a header is left out.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Adds a cookie.
    #[must_use]
    pub fn with_cookie(mut self, cookie: impl Into<String>) -> Self {
        self.cookies.push(cookie.into());
        self
    }

    /// Makes a browser drop the token and what it has stored for this host
    /// (Clear-Site-Data). The key of the device stays, so the device is
    /// recognised when it signs in again.
    #[must_use]
    pub fn signing_out_the_page(self) -> Self {
        self.with_cookie(CLEARED_SESSION_COOKIE)
            .with_header("clear-site-data", "\"cache\", \"storage\"")
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// As the gateway takes it.
    #[must_use]
    pub fn into_response(self) -> ApiGatewayV2httpResponse {
        let mut response = ApiGatewayV2httpResponse::default();
        response.status_code = i64::from(self.status);
        response.headers = self.headers;
        response.cookies = self.cookies;
        response.body = self.body.map(Body::Text);
        response
    }
}
