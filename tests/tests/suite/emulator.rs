//! The local AWS where it falls short of the real one: each correction works,
//! and is still needed. A test that says "no longer needed" asks for the
//! correction to be removed.

use std::process::Stdio;
use std::sync::OnceLock;

use curfew::emulator::{Emulator, point};
use curfew::process::Tethered;
use curfew::tools::{Environment, find_python};
use curfew::{root, target};
use serde::Deserialize;
use tokio::io::AsyncReadExt;

/// Every correction of `infra/local/emulator.py`.
const CORRECTIONS: [&str; 6] = [
    "nagle",
    "partial-batches",
    "client-address",
    "secure-transport",
    "preflights",
    "batch-permissions",
];

/// What `tests/emulator/probe.py` saw.
#[derive(Deserialize)]
struct Seen {
    deployed: Applied,
    completed: Applied,
    source_address: String,
    headers: Vec<String>,
    warm_call_ms: f64,
    preflight: String,
    second_batch: Vec<String>,
    publishes_where_tls_is_demanded: bool,
    publishes_batches_by_the_right_to_publish: bool,
}

/// What of a template has come to be.
#[derive(Debug, Deserialize, PartialEq)]
struct Applied {
    routes: Vec<String>,
    time_to_live: String,
    reserved_concurrency: Option<u32>,
}

/// The emulator as we start it.
fn corrected() -> &'static Seen {
    static SEEN: OnceLock<Seen> = OnceLock::new();
    SEEN.get_or_init(|| probe("corrected", &[]))
}

/// The emulator as it is.
fn bare() -> &'static Seen {
    static SEEN: OnceLock<Seen> = OnceLock::new();
    SEEN.get_or_init(|| probe("bare", &CORRECTIONS))
}

#[tokio::main]
async fn probe(name: &str, without: &[&str]) -> Seen {
    let tether = find_python().unwrap();
    Environment::Aws.install(&tether).await.unwrap();
    let folder = target().join("tests").join(name);
    let (logs, temporary) = (folder.join("logs"), folder.join("temporary"));
    let emulator = Emulator::start(&tether, &logs, &temporary, without)
        .await
        .unwrap();

    let mut command = tether.command(Environment::Aws.programs().join("python"));
    command
        .arg(root().join("tests/emulator/probe.py"))
        .arg(&folder);
    command
        .arg(root().join("infra/local/complete.py"))
        .stdout(Stdio::piped());
    point(&mut command, emulator.aws());
    let mut process = Tethered::start(command).unwrap();
    let mut text = String::new();
    process
        .output()
        .unwrap()
        .read_to_string(&mut text)
        .await
        .unwrap();
    assert!(
        process.ended().await.unwrap().success(),
        "the probe failed: {text}"
    );
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_warm_call_is_answered_without_delay() {
    let (corrected, bare) = (corrected().warm_call_ms, bare().warm_call_ms);

    // Nagle's algorithm and the delayed acknowledgement cost 40 ms.
    assert!(
        corrected + 20.0 < bare,
        "{corrected} ms, {bare} ms without: no longer needed"
    );
}

#[test]
fn a_partly_failed_stream_batch_is_tried_again() {
    assert!(corrected().second_batch.contains(&"first".to_owned()));

    assert_eq!(bare().second_batch, ["second"], "no longer needed");
}

#[test]
fn the_clients_address_is_the_source_address() {
    assert_eq!(corrected().source_address, "203.0.113.7");
    let private = "x-curfew-client-address".to_owned();
    assert!(
        !corrected().headers.contains(&private),
        "no function sees our front's header"
    );

    assert_eq!(bare().source_address, "127.0.0.1", "no longer needed");
}

#[test]
fn a_preflight_reaches_the_route() {
    assert_eq!(corrected().preflight, "OPTIONS");

    assert_eq!(bare().preflight, "", "no longer needed");
}

#[test]
fn policies_that_demand_tls_let_local_requests_through() {
    assert!(corrected().publishes_where_tls_is_demanded);

    assert!(!bare().publishes_where_tls_is_demanded, "no longer needed");
}

#[test]
fn the_right_to_publish_covers_batches() {
    assert!(corrected().publishes_batches_by_the_right_to_publish);

    assert!(
        !bare().publishes_batches_by_the_right_to_publish,
        "no longer needed"
    );
}

#[test]
fn completing_a_deployment_applies_what_the_emulator_ignores() {
    let wanted = Applied {
        routes: vec!["$default".into(), "GET /echo".into()],
        time_to_live: "ENABLED".into(),
        reserved_concurrency: Some(3),
    };
    assert_eq!(corrected().completed, wanted);

    let ignored = Applied {
        routes: vec![],
        time_to_live: "DISABLED".into(),
        reserved_concurrency: None,
    };
    assert_eq!(corrected().deployed, ignored, "no longer needed");
}
