//! `GET /`, `GET /config.json` and `GET /assets/{proxy+}`: the page "Manage access and
//! devices". Has access to no table.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

mod config;
mod files;

use std::sync::OnceLock;

use http_api::{Answer, Event, OriginPolicy, Problem, Reply, Request, serve};
use runtime::Clock;

pub use config::{Config, ConfigFault, Link};

const FOREVER: &str = "public, max-age=31536000, immutable";
const NEVER: &str = "no-store";

/// Accesses no table.
#[derive(Debug)]
pub struct Deps {
    origin_policy: OriginPolicy,
    clock: Clock,
    version: String,
    /// The compressed files, each once it was asked for.
    compressed: [OnceLock<Vec<u8>>; files::FILES.len()],
    html: String,
    config: String,
    content_security_policy: String,
}

impl Deps {
    /// Prepares the page.
    ///
    /// # Panics
    /// Never: a configuration is plain text.
    #[must_use]
    pub fn new(
        origin_policy: OriginPolicy,
        config: &Config,
        socket_url: &str,
        clock: Clock,
    ) -> Self {
        let version = files::version();
        Self {
            origin_policy,
            clock,
            html: files::html(&version),
            version,
            compressed: [const { OnceLock::new() }; files::FILES.len()],
            config: serde_json::to_string(config).expect("a configuration is plain text"),
            content_security_policy: content_security_policy(config, socket_url),
        }
    }
}

/// Answers a request.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let now = deps.clock.now();
    serve(&deps.origin_policy, event, now, |request, _| async move {
        match request.route() {
            "GET /" => Ok(page(deps, &request)),
            "GET /config.json" => Ok(configuration(deps, &request)),
            "GET /assets/{proxy+}" => asset(deps, &request),
            _ => Err(Problem::NotFound),
        }
    })
    .await
}

fn page(deps: &Deps, request: &Request) -> Answer {
    let content = deps.html.as_bytes();
    let compressed = OnceLock::new();
    file(
        request,
        content,
        &compressed,
        "text/html; charset=utf-8",
        NEVER,
    )
    .with_header("content-security-policy", &deps.content_security_policy)
    .with_header("cross-origin-opener-policy", "same-origin")
    .with_header("referrer-policy", "no-referrer")
    .with_header("x-frame-options", "DENY")
}

fn configuration(deps: &Deps, request: &Request) -> Answer {
    let content = deps.config.as_bytes();
    file(
        request,
        content,
        &OnceLock::new(),
        "application/json",
        NEVER,
    )
}

/// Returns this version's file under the address of any version: a page that was open
/// during a deployment can load what it still needs. Only the current address may be kept.
fn asset(deps: &Deps, request: &Request) -> Result<Answer, Problem> {
    let path = request.path_parameter("proxy").unwrap_or_default();
    let (version, name) = path.split_once('/').ok_or(Problem::NotFound)?;
    let known = files::FILES.iter().position(|(known, _)| *known == name);
    let at = known.ok_or(Problem::NotFound)?;
    let (name, content) = files::FILES[at];
    let age = if version == deps.version {
        FOREVER
    } else {
        NEVER
    };
    let content_type = files::content_type(name);
    Ok(file(
        request,
        content,
        &deps.compressed[at],
        content_type,
        age,
    ))
}

fn file(
    request: &Request,
    content: &[u8],
    compressed: &OnceLock<Vec<u8>>,
    content_type: &str,
    age: &str,
) -> Answer {
    let accepted = request.header("accept-encoding").unwrap_or_default();
    let takes_gzip = accepted
        .split(',')
        .any(|coding| coding.trim().split(';').next() == Some("gzip"));
    let answer = if takes_gzip {
        let packed = compressed.get_or_init(|| files::compress(content));
        Answer::bytes(200, packed.clone()).with_header("content-encoding", "gzip")
    } else {
        Answer::bytes(200, content)
    };
    answer
        .with_header("content-type", content_type)
        .with_header("cache-control", age)
        .with_header("cross-origin-resource-policy", "same-origin")
        .varying("Accept-Encoding")
}

/// Returns the page's policy (Content Security Policy Level 3): its own scripts, styles
/// and API, its socket, and the logo.
fn content_security_policy(config: &Config, socket_url: &str) -> String {
    let socket = config::origin(socket_url).unwrap_or_default();
    let images = config.image_sources();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src {images}; \
         connect-src 'self' {socket}; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
}
