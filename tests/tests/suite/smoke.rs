//! `infra/smoke.py`: checks a deployed stack, and says what is wrong.

use curfew_tests::aws::{Call, Principal};
use curfew_tests::client::Household;
use curfew_tests::conformance::{Fault, Network};
use curfew_tests::scripts;
use curfew_tests::stack::stack;
use http::Method;
use serde_json::json;
use tokio::sync::Mutex;

/// Every check, in its order.
const CHECKS: [&str; 16] = [
    "stack",
    "register",
    "sign in",
    "list",
    "introspection without a signature",
    "introspection with a signature",
    "sign-in by a backend without a signature",
    "sign-in by a backend with a signature",
    "authorizer",
    "socket",
    "sign out",
    "push, acknowledgement and receipt",
    "the signed-out device is refused",
    "sign out everything",
    "throttles",
    "redrive, dry run",
];

/// Runs the script. Returns its exit code, and each check with whether it was met.
async fn smoke(name: &str, api_url: &str, socket_url: &str) -> (i32, Vec<(String, bool)>) {
    let household = Household::register().await;
    let arguments = [
        "--stack",
        name,
        "--api-url",
        api_url,
        "--email",
        &household.email,
    ];
    let others = ["--introspection-url", api_url, "--socket-url", socket_url];
    let arguments = [&arguments[..], &others].concat();
    let password = ("CURFEW_SMOKE_PASSWORD", &*household.password);
    let (code, output, errors) = scripts::run("smoke.py", &arguments, &[password]).await;
    assert_eq!(errors, "", "{output}");
    let check = |line: &str| match line.split_at_checked(8) {
        Some((state, check)) => {
            let name = check.split([':', '(']).next().unwrap().trim_end();
            let is_met = state == "ok      ";
            assert!(is_met || state == "FAILED  ", "{line}");
            (name.to_owned(), is_met)
        }
        None => panic!("{line}"),
    };
    (code, output.lines().map(check).collect())
}

/// Runs the script on the stack, and returns the names of the checks that failed.
async fn failed(api_url: &str, socket_url: &str) -> Vec<String> {
    let (code, checks) = smoke("curfew", api_url, socket_url).await;
    let failed = checks.into_iter().filter(|(_, is_met)| !is_met);
    let failed: Vec<String> = failed.map(|(name, _)| name).collect();
    assert_eq!(code, i32::from(!failed.is_empty()));
    failed
}

/// Sets the burst limit of the sockets.
async fn set_burst_limit(limit: u32) {
    let path = format!("/v2/apis/{}/stages/v1", stack().resources["SocketApi"]);
    let settings = json!({ "throttlingBurstLimit": limit, "throttlingRateLimit": 1000 });
    let body = json!({ "defaultRouteSettings": settings }).to_string();
    let call = Call::rest("apigateway", "PATCH", &path, &body);
    let answer = Principal::root().call(&call).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// One test at a time: the stack's throttles are for all.
static THROTTLES: Mutex<()> = Mutex::const_new(());

/// Where nothing answers.
const NOBODY: &str = "http://127.0.0.1:1";

#[tokio::test]
async fn a_working_stack_meets_every_check_and_what_is_broken_fails_its_own() {
    let _alone = THROTTLES.lock().await;
    let (api, socket) = (&*stack().api_url, &*stack().socket_url);

    let (code, checks) = smoke("curfew", api, socket).await;
    let no_socket = failed(api, "ws://127.0.0.1:1").await;
    set_burst_limit(7).await;
    let other_throttle = failed(api, socket).await;
    set_burst_limit(2000).await;
    let no_api = failed(NOBODY, socket).await;
    let other_api = failed(&stack().example_url, socket).await;

    let all = CHECKS.map(|name| (name.to_owned(), true));
    assert_eq!((code, checks), (0, all.into()));
    assert_eq!(no_socket, ["socket", "push, acknowledgement and receipt"]);
    assert_eq!(other_throttle, ["throttles"]);
    assert_eq!(no_api, ["register"]);
    assert_eq!(other_api, ["register"]);
}

#[tokio::test]
async fn a_device_that_is_let_in_after_its_sign_out_and_one_that_is_not_heard_fail() {
    let _alone = THROTTLES.lock().await;
    let network = Network::before(&stack().api_url).await.unwrap();
    let (api, socket) = (network.api_url(), network.socket_url());
    let session = Fault::Other(200, "{}");
    network.fault(Some(Method::GET), "/v1/session", session, 1);
    let let_in = failed(&api, &socket).await;
    network.lose_frames();
    let not_heard = failed(&api, &socket).await;

    assert_eq!(let_in, ["the signed-out device is refused"]);
    assert_eq!(not_heard, ["push, acknowledgement and receipt"]);
}

#[tokio::test]
async fn a_stack_that_does_not_exist_fails() {
    let (code, checks) = smoke("nowhere", NOBODY, NOBODY).await;

    assert_eq!((code, checks), (1, vec![("stack".to_owned(), false)]));
}
