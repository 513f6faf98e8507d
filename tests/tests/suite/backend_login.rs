//! `POST /v1/backend/login`: the team's own backend signs a person in.

use curfew_tests::account::{EMAIL, OTHER_PASSWORD, PASSWORD, TestDevice};
use curfew_tests::app::TestApp;
use curfew_tests::bundle::{by_iam, event, json_of, problem_of};
use http_api::Reply;
use serde_json::{Value, json};

const PATH: &str = "/v1/backend/login";
const BACKEND: &str = "192.0.2.1";

fn body(ip: &str, password: &str) -> Value {
    json!({
        "person": { "ip": ip, "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0" },
        "sign_in": { "email": EMAIL, "password": password },
    })
}

async fn send(app: &TestApp, body: &Value) -> Reply {
    let event = event("POST", PATH, None, Some(body));
    assert_eq!(
        event.request_context.http.source_ip.as_deref(),
        Some(BACKEND)
    );
    app.bundle.send(by_iam(event)).await
}

fn refused(field: &str, reply: &Reply) {
    let named = json_of(reply)["field"].clone();
    assert_eq!(problem_of(reply), (400, "request-invalid".to_owned()));
    assert_eq!(named, field);
}

#[tokio::test]
async fn a_person_signed_in_by_a_backend_has_a_session_with_the_persons_own_address() {
    let app = TestApp::new().await;

    let device = TestDevice::of(&send(&app, &body("2001:db8::7", PASSWORD)).await);

    let seen = json_of(&app.bundle.who_am_i(&device.token).await)["device"].clone();
    assert_eq!(seen["name"], "Firefox on Linux");
    assert_eq!(
        app.row(&device).await.place.ip.as_deref(),
        Some("2001:db8::7")
    );
}

#[tokio::test]
async fn wrong_passwords_are_counted_for_the_person_and_not_for_the_backend() {
    let app = TestApp::new().await;
    let guess = |ip: &str, number: u32| {
        let mut body = body(ip, OTHER_PASSWORD);
        body["sign_in"]["email"] = json!(format!("user{number}@example.com"));
        body
    };
    let mut last = 0;
    for number in 0..31 {
        last = send(&app, &guess("203.0.113.7", number)).await.status_code;
    }
    assert_eq!(last, 429);
    // The same network in another spelling.
    let mapped = send(&app, &guess("::ffff:203.0.113.7", 40)).await;
    assert_eq!(mapped.status_code, 429);
    for ip in ["203.0.113.8", BACKEND] {
        assert_eq!(send(&app, &guess(ip, 50)).await.status_code, 401, "{ip}");
    }
}

#[tokio::test]
async fn a_request_without_a_signature_is_refused_and_counts_nothing() {
    let app = TestApp::new().await;
    app.aws.clear_calls();
    let unsigned = event("POST", PATH, None, Some(&body("203.0.113.7", PASSWORD)));

    let reply = app.bundle.send(unsigned).await;

    assert_eq!(problem_of(&reply), (403, "caller-not-allowed".to_owned()));
    assert!(app.aws.calls().is_empty());
}

#[tokio::test]
async fn a_body_that_names_no_person_or_wants_a_cookie_is_refused() {
    let app = TestApp::new().await;
    for (pointer, value, field) in [
        ("/person/ip", json!("203.0.113.7:443"), "person.ip"),
        ("/person/ip", json!(""), "person.ip"),
        (
            "/person/user_agent",
            json!("x".repeat(1025)),
            "person.user_agent",
        ),
        ("/sign_in/email", json!("lea"), "sign_in.email"),
        (
            "/sign_in/password",
            json!("x".repeat(1025)),
            "sign_in.password",
        ),
        ("/person", json!(null), "person"),
    ] {
        let mut body = body("203.0.113.7", PASSWORD);
        *body.pointer_mut(pointer).unwrap() = value;
        refused(field, &send(&app, &body).await);
    }
    let mut wanting = body("203.0.113.7", PASSWORD);
    wanting["sign_in"]["transport"] = json!("cookie");
    refused("sign_in.transport", &send(&app, &wanting).await);
}
