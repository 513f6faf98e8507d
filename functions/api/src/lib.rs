//! `GET /v1/openapi.json` and `GET /v1/asyncapi.json`, and every request without a
//! route of its own: 404, 405 and the preflights of pages. Has access to no table.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use http_api::{Answer, Event, OriginPolicy, OriginProblems, Problem, Reply, Request, serve};
use runtime::Clock;
use serde::Deserialize;
use serde_json::Value;
use utoipa::OpenApi;

/// The `OpenAPI` document, as checked in.
pub const DOCUMENT: &str = include_str!("../openapi.json");

/// The `AsyncAPI` document of the socket and the events, as checked in.
pub const ASYNC_DOCUMENT: &str = include_str!("../asyncapi.json");

const DOCUMENT_PATH: &str = "/v1/openapi.json";
const ASYNC_DOCUMENT_PATH: &str = "/v1/asyncapi.json";

/// The headers that every page may send (Fetch standard, CORS protocol).
const ALLOWED_HEADERS: &str = "authorization, content-type";
/// The time that a browser may keep the answer to a preflight, in seconds.
const PREFLIGHT_AGE_S: &str = "600";

/// Accesses no table.
#[derive(Debug)]
pub struct Deps {
    pub origin_policy: OriginPolicy,
    /// Further headers that a page may send, comma-separated.
    pub allowed_headers: String,
    pub clock: Clock,
}

/// The function's part of the `OpenAPI` document.
#[derive(Debug, Clone, Copy, OpenApi)]
#[openapi(paths(document, async_document))]
pub struct Document;

/// Answers a request.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let now = deps.clock.now();
    serve(&deps.origin_policy, event, now, |request, _| async move {
        answer(&request, &deps.allowed_headers)
    })
    .await
}

fn answer(request: &Request, further_headers: &str) -> Result<Answer, Problem> {
    match (request.method(), request.path()) {
        ("GET", DOCUMENT_PATH) => return Ok(document()),
        ("GET", ASYNC_DOCUMENT_PATH) => return Ok(async_document()),
        _ => {}
    }
    let Some(methods) = methods_of(request.path()) else {
        return Err(Problem::NotFound);
    };
    match request.method() {
        "OPTIONS" => Ok(preflight(request, methods, further_headers)),
        // The route exists, but not at this path: the gateway would have found it.
        method if methods.split(", ").any(|known| known == method) => Err(Problem::NotFound),
        _ => Err(Problem::MethodNotAllowed {
            allow: format!("{methods}, OPTIONS"),
        }),
    }
}

/// Returns the `OpenAPI` document of this API.
#[utoipa::path(
    get, path = "/v1/openapi.json", operation_id = "getOpenApi", tag = "document",
    responses(
        (status = 200, description = "The document.", content_type = "application/json", body = Object),
        OriginProblems,
    ),
)]
fn document() -> Answer {
    Answer::raw(200, DOCUMENT).with_header("cache-control", "public, max-age=300")
}

/// Returns the `AsyncAPI` document of the socket and of the events on the topic.
#[utoipa::path(
    get, path = "/v1/asyncapi.json", operation_id = "getAsyncApi", tag = "document",
    responses(
        (status = 200, description = "The document.", content_type = "application/json", body = Object),
        OriginProblems,
    ),
)]
fn async_document() -> Answer {
    Answer::raw(200, ASYNC_DOCUMENT).with_header("cache-control", "public, max-age=300")
}

/// Answers a preflight: the methods and headers that an allowed origin may send.
/// [`serve`] has checked the origin.
fn preflight(request: &Request, methods: &str, further_headers: &str) -> Answer {
    let answer = Answer::empty(204).with_header("allow", &format!("{methods}, OPTIONS"));
    if request.origin().is_none() {
        return answer;
    }
    let mut headers = ALLOWED_HEADERS.to_owned();
    if !further_headers.is_empty() {
        headers = format!("{headers}, {further_headers}");
    }
    answer
        .with_header("access-control-allow-methods", methods)
        .with_header("access-control-allow-headers", &headers)
        .with_header("access-control-max-age", PREFLIGHT_AGE_S)
}

/// Returns the methods of a path in the document, comma-separated.
fn methods_of(path: &str) -> Option<&'static str> {
    let found = PATHS.iter().find(|(pattern, _)| matches(pattern, path));
    found.map(|(_, methods)| methods.as_str())
}

/// Every path of the document with its methods. A part in braces matches any text.
/// Parsed at the first request that needs it; a request for the document does not.
static PATHS: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    #[derive(Deserialize)]
    struct Paths {
        paths: BTreeMap<String, BTreeMap<String, Value>>,
    }
    let document: Paths = serde_json::from_str(DOCUMENT).expect("a test compares the document");
    let methods = |of: BTreeMap<String, Value>| {
        let names: Vec<String> = of.into_keys().map(|name| name.to_uppercase()).collect();
        names.join(", ")
    };
    let paths = document.paths.into_iter();
    paths.map(|(path, of)| (path, methods(of))).collect()
});

/// Returns whether a path matches a pattern of the document.
fn matches(pattern: &str, path: &str) -> bool {
    let mut parts = path.split('/');
    let same = pattern.split('/').all(|wanted| {
        parts.next().is_some_and(|part| {
            if wanted.starts_with('{') {
                !part.is_empty()
            } else {
                part == wanted
            }
        })
    });
    same && parts.next().is_none()
}
