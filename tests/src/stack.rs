//! The stack that all end-to-end tests of a process share: the real template on a local
//! AWS. The first test that needs it starts it, on free ports and in a new folder. It
//! ends with the process, even when that is killed.
//!
//! Environment variables select another one:
//! - `CURFEW_TEST_STACK`: the `stack.json` of a running stack, such as
//!   `target/local/stack.json` of `cargo run`.
//! - `CURFEW_TEST_URL`: the URL of an API, such as that of `cargo run -- --watch` or a
//!   real deployment, for the tests that need only [`api_url`]:
//!   `cargo test --workspace --test suite http::`.
//! - `CURFEW_TEST_ORIGIN`: an allowed origin of this API. Without one, and where the
//!   stack has none, the tests of pages pass without a check.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc::sync_channel;
use std::thread;

use anyhow::{Context, Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curfew::deploy::{Protocol, create_stack};
use curfew::tools::find_python;
use curfew::{Options, Record, Stack, functions};
use serde_json::{Map, Value, json};
use store::Store;

use crate::client::{remember, unique};

/// The allowed origins of the stack, besides those of this machine.
const ORIGINS: [&str; 3] = [
    "https://app.example.com",
    "https://tv.example.com",
    SHOP_ORIGIN,
];

/// An allowed origin whose site has other subdomains, at which a test can put a page.
pub const SHOP_ORIGIN: &str = "http://id.shop.example";

/// The name of the secret that a distribution in front of the stack sends.
pub const SECRET: &str = "curfew/distribution";

/// The name of the secret with the peppers of the stack.
pub const PEPPERS: &str = "curfew/peppers";

/// Returns the URL of the API under test, without a slash at the end.
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

/// Returns the stack under test.
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
        record.unwrap_or_else(|error| panic!("the stack did not start: {error:#}"))
    })
}

/// Returns an allowed origin of the API, if it has one.
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
    reason = "the stack under test is a setting"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn read(path: &Path) -> Result<Record> {
    let text = fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no record", path.display()))
}

/// Returns the options of a stack with allowed origins, the secret of a distribution and
/// peppers, which the template does not have by default.
fn options() -> Options {
    let mut options = Options::apart("tests");
    options.allowed_origins = ORIGINS.map(str::to_owned).into();
    let secrets = [("DistributionSecret", SECRET), ("PepperSecret", PEPPERS)];
    let secrets = secrets.map(|(parameter, name)| (parameter.to_owned(), name.to_owned()));
    options.parameters.extend(secrets);
    options
}

/// Creates a secret, before a function looks for it.
async fn create_secret(stack: &Record, name: &str, value: String) -> Result<()> {
    let client = stack.aws.clients().secrets();
    let create = client.create_secret().name(name);
    let created = create.secret_string(value).send().await;
    // The local AWS refuses a retry after a lost answer.
    let Err(error) = created else { return Ok(()) };
    match error.as_service_error() {
        Some(it) if it.is_resource_exists_exception() => Ok(()),
        Some(_) | None => Err(error.into()),
    }
}

/// Returns a value for the secret with the peppers of these ids. The first is the current
/// one.
#[must_use]
pub fn peppers(ids: &[&str]) -> String {
    let entry = |id: &&str| ((*id).to_owned(), pepper(id).into());
    let peppers: Map<String, Value> = ids.iter().map(entry).collect();
    json!({ "current": ids[0], "peppers": peppers }).to_string()
}

/// Returns the pepper of an id, in base64.
#[must_use]
pub fn pepper(id: &str) -> String {
    STANDARD.encode(format!("{id:*>32}"))
}

/// Returns a new value for the secret of the distribution.
#[must_use]
pub fn new_secret() -> String {
    format!("{:039}", u128::from_be_bytes(runtime::random()))
}

/// Starts the stack on its own thread, which serves the API until the process ends. The
/// runtime of a test would end with the test.
fn start() -> Result<Record> {
    let (sender, receiver) = sync_channel(1);
    let serve = move || -> Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            match Stack::start(options()).await {
                Ok(mut stack) => {
                    create_secret(stack.record(), SECRET, new_secret()).await?;
                    remember(&[&pepper("2026-11")]);
                    create_secret(stack.record(), PEPPERS, peppers(&["2026-11"])).await?;
                    sender.send(Ok(stack.record().clone()))?;
                    stack.broken().await
                }
                Err(error) => Ok(sender.send(Err(error))?),
            }
        })
    };
    thread::spawn(move || {
        if let Err(error) = serve() {
            eprintln!("the stack under test ended: {error:#}");
        }
    });
    receiver
        .recv()
        .map_err(|_| anyhow!("the stack ended while it started"))?
}

/// Returns the store of the stack, as the root user.
#[must_use]
pub fn store() -> Store {
    let Record { aws, tables, .. } = stack();
    Store::new(aws.clients().dynamodb(), tables.clone().into())
}

/// Deploys the template a second time to the same local AWS, as a deployment that sends no
/// mail. Returns the URL of its API, and its tables.
///
/// # Errors
/// When it can't be deployed.
pub async fn deploy_without_mail() -> Result<(String, store::Tables)> {
    let aws = &stack().aws;
    let tether = find_python()?;
    let binaries = functions::build(&tether).await?;
    // A running stack may have one of an earlier run.
    let name = format!("without-mail-{}", unique());
    let deploying = create_stack(
        &tether,
        aws,
        &binaries,
        &name,
        "template.yaml",
        &[
            ("SecondFactors", "true"),
            ("UncountedNetworks", "127.0.0.1/32"),
        ],
    );
    let deployed = deploying.await?;
    let url = format!("{}{}", aws.endpoint_url, deployed.path(Protocol::Http)?);
    Ok((url, deployed.tables()?.into()))
}
