//! Requests that a gateway shows to a function in its own way, or answers by
//! itself: headers that stand twice, and bytes that are no text. Here they come
//! through the gateway of the local AWS; `cargo lambda watch` takes the last
//! header, and answers 500 to what is no text.

use curfew_tests::client::{Answer, Api, Call, Household, TV};
use serde_json::json;

/// Who is there, in the making.
fn who() -> Call {
    Api::default().call("GET", "/v1/session")
}

/// Looks that a request with two tokens was refused: they were joined into one,
/// which is no token, or both were seen.
#[track_caller]
fn assert_refused(answer: &Answer) {
    match answer.status {
        400 => assert_eq!(answer.invalid(), "Authorization"),
        _ => drop(answer.refused(401, "token-invalid")),
    }
}

#[tokio::test]
async fn two_authorization_headers_are_refused() {
    let tv = Household::register().await.sign_in(TV).await;
    let other = Household::register().await.sign_in(TV).await;

    assert_refused(&who().token(&tv.token).token(&tv.token).send().await);
    assert_refused(&who().token(&tv.token).token(&other.token).send().await);
    assert_refused(&who().token("nonsense").token(&tv.token).send().await);
    assert_refused(&who().token(&tv.token).token("nonsense").send().await);
}

#[tokio::test]
async fn two_headers_with_cookies_are_refused() {
    let tv = Household::register().await.sign_in(TV).await;
    let cookie = format!("__Host-curfew={}", tv.token);

    let answer = who()
        .header("cookie", &cookie)
        .header("cookie", &cookie)
        .send()
        .await;

    assert_eq!(answer.invalid(), "__Host-curfew");
}

#[tokio::test]
async fn an_authorization_header_that_is_no_text_is_refused() {
    let answer = who()
        .header("authorization", b"Bearer cft_\xff\xfe")
        .send()
        .await;

    answer.refused(401, "token-invalid");
}

#[tokio::test]
async fn a_body_that_is_no_utf8_is_refused() {
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;
    let text = json!({ "scope": "global" }).to_string();
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();

    for body in [b"{\"\xff\xfe\":1}".to_vec(), b"\x80".to_vec(), utf16] {
        for path in ["/v1/accounts", "/v1/login", "/v1/sign-out-all"] {
            let call = tv.call("POST", path).body("application/json", body.clone());

            call.send().await.refused(400, "request-invalid");
        }
    }
    assert!(tv.is_signed_in().await);
}
