//! Requests that a gateway changes or answers itself: duplicate headers, and bytes
//! that are not UTF-8. They need the gateway of the local AWS: `cargo lambda watch`
//! passes only the last header on, and answers such bytes with 500.

use curfew_tests::client::{Api, Call, Household, TV};
use curfew_tests::routes::{Guard, Route, routes};
use serde_json::json;

/// Returns a call for the session of a token.
fn session() -> Call {
    Api::default().call("GET", "/v1/session")
}

#[tokio::test]
async fn two_authorization_headers_are_refused() {
    let tv = Household::register().await.sign_in(TV).await;
    let other = Household::register().await.sign_in(TV).await;

    // The gateway joins them with a comma, or passes both on.
    for [first, second] in [
        [&*tv.token, &*tv.token],
        [&tv.token, &other.token],
        ["nonsense", &tv.token],
        [&tv.token, "nonsense"],
    ] {
        let answer = session().token(first).token(second).send().await;

        assert_eq!(answer.invalid(), "Authorization");
    }
}

#[tokio::test]
async fn two_headers_with_cookies_are_refused() {
    let tv = Household::register().await.sign_in(TV).await;
    let cookie = format!("__Host-curfew={}", tv.token);

    let answer = session()
        .header("cookie", &cookie)
        .header("cookie", &cookie)
        .send()
        .await;

    assert_eq!(answer.invalid(), "__Host-curfew");
}

#[tokio::test]
async fn an_authorization_header_that_is_not_utf8_is_refused() {
    let answer = session()
        .header("authorization", b"Bearer cft_\xff\xfe")
        .send()
        .await;

    assert_eq!(answer.invalid(), "Authorization");
}

#[tokio::test]
async fn a_body_that_is_not_utf8_is_refused() {
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;
    let text = json!({ "scope": "global" }).to_string();
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();

    for body in [b"{\"\xff\xfe\":1}".to_vec(), b"\x80".to_vec(), utf16] {
        // The gateway refuses a caller without IAM before the function reads a body.
        let with_body = |route: &&Route| route.example.is_some() && route.guard != Guard::Iam;
        for route in routes().iter().filter(with_body) {
            let call = tv.call(&route.method, &route.path);
            let call = call.body("application/json", body.clone());

            call.send().await.refused(400, "request-invalid");
        }
    }
    assert!(tv.is_signed_in().await);
}
