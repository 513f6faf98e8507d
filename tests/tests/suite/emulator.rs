//! The corrections of the local AWS: each one works and is still needed. When a test
//! fails with "no longer needed", remove the correction.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::OnceLock;

use curfew::emulator::{Emulator, point};
use curfew::process::Tethered;
use curfew::tools::{Environment, find_python};
use curfew::{root, target};
use serde::Deserialize;
use tokio::io::AsyncReadExt;

/// Every correction of `infra/local/emulator.py`.
const CORRECTIONS: [&str; 17] = [
    "nagle",
    "partial-batches",
    "client-address",
    "secure-transport",
    "preflights",
    "batch-permissions",
    "attributes",
    "senders",
    "one-mailbox",
    "queue-concurrency",
    "signatures",
    "subprotocols",
    "refusals",
    "one-way",
    "every-header",
    "message-size",
    "processes",
];

/// The report of `tests/emulator/probe.py`.
#[derive(Deserialize)]
struct Seen {
    deployed: Applied,
    completed: Applied,
    source_address: String,
    headers: Vec<String>,
    warm_call_ms: f64,
    preflight: String,
    signed_for_another_host: u16,
    sockets: OnSockets,
    at_once: AtOnce,
    second_batch: Vec<String>,
    publishes_where_tls_is_demanded: bool,
    publishes_batches_by_the_right_to_publish: bool,
    updates: Vec<String>,
    mails_by_the_right_to_one_sender: Vec<String>,
    mails_to_one_address: Vec<String>,
}

/// The report of a client of a socket and of its function.
#[derive(Deserialize)]
struct OnSockets {
    subprotocol: Option<String>,
    source_address: String,
    authorization: Vec<String>,
    headers: Vec<String>,
    refusal: u16,
    first_frame_is_the_gateways: bool,
    takes_large_messages: bool,
}

/// The number of concurrent calls of a function, and of the processes that ran them.
#[derive(Deserialize)]
struct AtOnce {
    calls: usize,
    processes: usize,
}

/// The parts of a template that were applied.
#[derive(Debug, Deserialize, PartialEq)]
struct Applied {
    /// Each with its authorization.
    routes: BTreeMap<String, String>,
    burst_limit: Option<u32>,
    time_to_live: String,
    reserved_concurrency: Option<u32>,
}

/// Returns the report of the corrected emulator.
fn corrected() -> &'static Seen {
    static SEEN: OnceLock<Seen> = OnceLock::new();
    SEEN.get_or_init(|| probe("corrected", &[]))
}

/// Returns the report of the emulator without corrections.
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
fn a_partly_failed_stream_batch_is_retried() {
    assert!(corrected().second_batch.contains(&"first".to_owned()));

    assert_eq!(bare().second_batch, ["second"], "no longer needed");
}

#[test]
fn the_clients_address_is_the_source_address() {
    assert_eq!(corrected().source_address, "203.0.113.7");
    let private = "x-curfew-client-address".to_owned();
    assert!(
        !corrected().headers.contains(&private),
        "a function gets the header of our front"
    );

    assert_eq!(bare().source_address, "127.0.0.1", "no longer needed");
}

#[test]
fn the_clients_address_is_the_source_address_of_its_socket() {
    let corrected = &corrected().sockets;
    assert_eq!(corrected.source_address, "203.0.113.7");
    let private = "x-curfew-client-address".to_owned();
    assert!(!corrected.headers.contains(&private));

    assert_eq!(
        bare().sockets.source_address,
        "127.0.0.1",
        "no longer needed"
    );
}

#[test]
fn a_signature_for_the_host_and_path_of_our_front_is_valid() {
    assert_eq!(corrected().signed_for_another_host, 200);

    assert_eq!(bare().signed_for_another_host, 403, "no longer needed");
}

#[test]
fn a_socket_gets_the_subprotocol_that_the_function_returns() {
    let named = corrected().sockets.subprotocol.as_deref();
    assert_eq!(named, Some("probe.v1"));

    assert_eq!(bare().sockets.subprotocol, None, "no longer needed");
}

#[test]
fn a_refused_socket_gets_the_status_of_the_function() {
    assert_eq!(corrected().sockets.refusal, 401);

    assert_eq!(bare().sockets.refusal, 403, "no longer needed");
}

#[test]
fn the_answer_of_a_function_to_a_frame_is_not_sent() {
    assert!(corrected().sockets.first_frame_is_the_gateways);

    assert!(
        !bare().sockets.first_frame_is_the_gateways,
        "no longer needed"
    );
}

#[test]
fn a_function_gets_duplicate_headers_of_a_handshake() {
    assert_eq!(corrected().sockets.authorization, ["first", "second"]);

    assert_eq!(bare().sockets.authorization, ["second"], "no longer needed");
}

#[test]
fn a_large_message_closes_the_socket() {
    assert!(!corrected().sockets.takes_large_messages);

    assert!(bare().sockets.takes_large_messages, "no longer needed");
}

#[test]
fn concurrent_calls_of_a_function_share_a_few_processes() {
    let AtOnce { calls, processes } = corrected().at_once;
    assert!(processes <= calls * 2 / 3, "{processes} for {calls} calls");

    let AtOnce { calls, processes } = bare().at_once;
    assert!(processes > calls * 2 / 3, "no longer needed");
}

#[test]
fn a_preflight_reaches_the_route() {
    assert_eq!(corrected().preflight, "OPTIONS");

    assert_eq!(bare().preflight, "", "no longer needed");
}

#[test]
fn policies_that_demand_tls_allow_local_requests() {
    assert!(corrected().publishes_where_tls_is_demanded);

    assert!(!bare().publishes_where_tls_is_demanded, "no longer needed");
}

#[test]
fn the_permission_to_publish_covers_batches() {
    assert!(corrected().publishes_batches_by_the_right_to_publish);

    assert!(
        !bare().publishes_batches_by_the_right_to_publish,
        "no longer needed"
    );
}

#[test]
fn a_policy_can_allow_the_mails_of_one_sender() {
    let one = ["one@example.com"];
    assert_eq!(corrected().mails_by_the_right_to_one_sender, one);

    let bare = &bare().mails_by_the_right_to_one_sender;
    assert_ne!(bare, &one, "no longer needed");
}

#[test]
fn the_mails_to_one_address_are_shown() {
    let one = ["to one"];
    assert_eq!(corrected().mails_to_one_address, one);

    assert_ne!(bare().mails_to_one_address, one, "no longer needed");
}

#[test]
fn a_policy_can_deny_the_update_of_an_attribute() {
    assert_eq!(corrected().updates, ["open", "open in a transaction"]);

    let all = [
        "open",
        "open in a transaction",
        "shut",
        "shut in a transaction",
    ];
    assert_eq!(bare().updates, all, "no longer needed");
}

#[test]
fn completing_a_deployment_applies_what_the_emulator_ignores() {
    let guards = [
        ("$default", "NONE"),
        ("GET /echo", "NONE"),
        ("GET /guarded", "AWS_IAM"),
    ];
    let wanted = Applied {
        routes: guards.map(|(key, by)| (key.into(), by.into())).into(),
        burst_limit: Some(40),
        time_to_live: "ENABLED".into(),
        reserved_concurrency: Some(3),
    };
    assert_eq!(corrected().completed, wanted);

    let ignored = Applied {
        routes: BTreeMap::new(),
        burst_limit: None,
        time_to_live: "DISABLED".into(),
        reserved_concurrency: None,
    };
    assert_eq!(corrected().deployed, ignored, "no longer needed");
}
