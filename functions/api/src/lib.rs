//! `GET /v1/openapi.json` and `GET /v1/asyncapi.json`, and what no other route
//! takes: 404, 405 and the preflights of pages. Has no right to any table.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use http_api::{Answer, Event, OriginPolicy, Problem, Reply, Request, serve};
use runtime::Clock;
use serde::Deserialize;
use serde_json::Value;
use utoipa::OpenApi;

/// The document, as it is kept in the repository.
pub const DOCUMENT: &str = include_str!("../openapi.json");

/// The document of the socket and the events, as it is kept in the repository.
pub const ASYNC_DOCUMENT: &str = include_str!("../asyncapi.json");

const DOCUMENT_PATH: &str = "/v1/openapi.json";
const ASYNC_DOCUMENT_PATH: &str = "/v1/asyncapi.json";

/// What a page may send (Fetch standard, CORS protocol).
const ALLOWED_HEADERS: &str = "authorization, content-type";
/// How long a browser may keep the answer to a preflight, in seconds.
const PREFLIGHT_AGE_S: &str = "600";

/// What the function is made of.
#[derive(Debug)]
pub struct Deps {
    /// Who may call.
    pub origin_policy: OriginPolicy,
    /// The clock.
    pub clock: Clock,
}

/// The part of the `OpenAPI` document that this function answers for.
#[derive(Debug, Clone, Copy, OpenApi)]
#[openapi(paths(document, async_document))]
pub struct Document;

/// Answers a request.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let now = deps.clock.now();
    serve(&deps.origin_policy, event, now, |request, _| async move {
        answer(&request)
    })
    .await
}

fn answer(request: &Request) -> Result<Answer, Problem> {
    match (request.method(), request.path()) {
        ("GET", DOCUMENT_PATH) => return Ok(document()),
        ("GET", ASYNC_DOCUMENT_PATH) => return Ok(async_document()),
        _ => {}
    }
    let Some(methods) = methods_of(request.path()) else {
        return Err(Problem::NotFound);
    };
    match request.method() {
        "OPTIONS" => Ok(preflight(request, methods)),
        _ => Err(Problem::MethodNotAllowed {
            allow: format!("{methods}, OPTIONS"),
        }),
    }
}

/// The `OpenAPI` document of this API.
#[utoipa::path(
    get, path = "/v1/openapi.json", operation_id = "getOpenApi", tag = "document",
    responses((status = 200, description = "The document.", content_type = "application/json", body = Object)),
)]
fn document() -> Answer {
    Answer::raw(200, DOCUMENT).with_header("cache-control", "public, max-age=300")
}

/// The `AsyncAPI` document of the socket and of the events on the topic.
#[utoipa::path(
    get, path = "/v1/asyncapi.json", operation_id = "getAsyncApi", tag = "document",
    responses((status = 200, description = "The document.", content_type = "application/json", body = Object)),
)]
fn async_document() -> Answer {
    Answer::raw(200, ASYNC_DOCUMENT).with_header("cache-control", "public, max-age=300")
}

/// Tells a browser what an allowed origin may send. The origin was checked.
fn preflight(request: &Request, methods: &str) -> Answer {
    let answer = Answer::empty(204).with_header("allow", &format!("{methods}, OPTIONS"));
    if request.origin().is_none() {
        return answer;
    }
    answer
        .with_header("access-control-allow-methods", methods)
        .with_header("access-control-allow-headers", ALLOWED_HEADERS)
        .with_header("access-control-max-age", PREFLIGHT_AGE_S)
}

/// The methods that a path of the document is for, comma-separated.
fn methods_of(path: &str) -> Option<&'static str> {
    let found = PATHS.iter().find(|(pattern, _)| fits(pattern, path));
    found.map(|(_, methods)| methods.as_str())
}

/// Every path of the document, with its methods. A part in braces stands for any.
/// Read when the first request asks, which the document itself never does.
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

fn fits(pattern: &str, path: &str) -> bool {
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
