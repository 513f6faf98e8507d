//! The stack that the end-to-end tests of a run share: the real template on a
//! local AWS, started by the first test that asks for it, on free ports and in a
//! folder of its own. It ends with the test process, however that ends.
//!
//! Environment variables point the tests elsewhere:
//! - `CURFEW_TEST_STACK`: a `stack.json` of a stack that runs already, such as
//!   `target/local/stack.json` of `cargo run`.
//! - `CURFEW_TEST_URL`: an API for what [`api_url`] is enough for, such as that
//!   of `cargo run -- --watch` or a real deployment. It is tried by
//!   `cargo test -p curfew-tests --test suite http::`.
//! - `CURFEW_TEST_ORIGIN`: an origin that this API lets in. Without one, and
//!   where the stack has none, the tests of pages pass without trying anything.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc::sync_channel;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use aws_credential_types::Credentials;
use curfew::{Options, Record, Stack};
use curfew_client::Api;
use http::Method;
use runtime::{Clients, RetryPolicy};
use store::Store;

/// The origins that our own stack lets in.
const ORIGINS: &str = "https://app.example.com,https://tv.example.com,http://page.localhost";

/// Where the API is that the tests try, without a slash at the end.
///
/// # Panics
/// When the stack can't be started.
#[must_use]
pub fn api_url() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| match variable("CURFEW_TEST_URL") {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => stack().api_url.clone(),
    })
}

/// The stack that the tests try: its API, tables, topic, functions and logs.
///
/// # Panics
/// When the stack can't be started.
#[must_use]
pub fn stack() -> &'static Record {
    static STACK: OnceLock<Record> = OnceLock::new();
    STACK.get_or_init(|| {
        let record = match variable("CURFEW_TEST_STACK") {
            Some(path) => read(Path::new(&path)),
            None => start(),
        };
        record.unwrap_or_else(|error| panic!("there is no stack to test: {error:#}"))
    })
}

/// An origin that the API lets in, if there is one.
#[must_use]
pub fn allowed_origin() -> Option<String> {
    if let Some(origin) = variable("CURFEW_TEST_ORIGIN") {
        return Some(origin);
    }
    if variable("CURFEW_TEST_URL").is_some() {
        return None;
    }
    let origins = stack()
        .functions
        .get("Login")?
        .environment
        .get("ALLOWED_ORIGINS")?;
    let first = origins.split(',').next()?;
    (!first.is_empty()).then(|| first.to_owned())
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is tested is chosen from outside"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn read(path: &Path) -> Result<Record> {
    let text = fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no record", path.display()))
}

/// A stack that has an allowed origin and a distribution of its own, neither of
/// which a template has by default.
fn options() -> Options {
    let mut options = Options::apart("tests");
    let secret = u128::from_be_bytes(runtime::random());
    options.parameters.extend([
        ("AllowedOrigins".to_owned(), ORIGINS.to_owned()),
        ("DistributionSecret".to_owned(), format!("{secret:039}")),
    ]);
    options
}

/// Starts the stack on a thread of its own, which serves the API until the
/// process ends: each test has a runtime of its own, and takes what runs on it
/// along when it ends.
fn start() -> Result<Record> {
    let (tell, told) = sync_channel(1);
    let serve = move || -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            match Stack::start(options()).await {
                Ok(mut stack) => {
                    tell.send(Ok(stack.record().clone()))?;
                    stack.broken().await
                }
                Err(error) => Ok(tell.send(Err(error))?),
            }
        })
    };
    thread::spawn(move || {
        if let Err(error) = serve() {
            eprintln!("the stack under test is gone: {error:#}");
        }
    });
    told.recv()
        .map_err(|_| anyhow!("the stack ended while it started"))?
}

/// The tables of the stack, through the product's own store, as the root user.
#[must_use]
pub fn store() -> Store {
    let Record { aws, tables, .. } = stack();
    let credentials = Credentials::new(
        &aws.access_key_id,
        &aws.secret_access_key,
        None,
        None,
        "root",
    );
    let clients = Clients::new(
        aws.region.clone(),
        credentials,
        Some(aws.endpoint_url.clone()),
        aws_smithy_http_client::Builder::new().build_http(),
        RetryPolicy::Standard,
    );
    let tables = store::Tables {
        accounts: tables.accounts.clone(),
        identities: tables.identities.clone(),
        devices: tables.devices.clone(),
        receipts: tables.receipts.clone(),
        connections: tables.connections.clone(),
        tickets: tables.tickets.clone(),
    };
    Store::new(clients.dynamodb(), tables)
}

/// Short-lived keys, as a function has them.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The key's id.
    pub access_key_id: String,
    /// The key's secret.
    pub secret_access_key: String,
    /// What shows that a role stands behind the key.
    pub session_token: String,
}

/// The keys of the role of a function, named by its logical id: what is called
/// with them is allowed or refused as it is for the function.
///
/// # Errors
/// When there is no such function, or the local AWS does not give them.
pub async fn keys_of(function: &str) -> Result<Keys> {
    let stack = stack();
    let facts = stack.functions.get(function);
    let facts = facts.with_context(|| format!("the template has no function {function}"))?;
    let aws = &stack.aws;
    // The root key of the local AWS needs no true signature.
    let credential = format!(
        "{}/20260101/{}/sts/aws4_request",
        aws.access_key_id, aws.region
    );
    let answer = Api::new(&aws.endpoint_url)?
        .call(Method::POST, "/")
        .header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"),
        )
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!(
            "Action=AssumeRole&Version=2011-06-15&RoleSessionName=test&RoleArn={}",
            facts.role_arn
        ))
        .send()
        .await?;
    let text = answer.text();
    ensure!(
        answer.status == 200,
        "assuming the role of {function} gave {}: {text}",
        answer.status
    );
    Ok(Keys {
        access_key_id: element(&text, "AccessKeyId")?,
        secret_access_key: element(&text, "SecretAccessKey")?,
        session_token: element(&text, "SessionToken")?,
    })
}

/// The text of the only XML element of a name.
pub(crate) fn element(text: &str, name: &str) -> Result<String> {
    let inner = || {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>"))
            .map(|(inner, _)| inner.to_owned())
    };
    inner().with_context(|| format!("the answer has no {name}"))
}
