//! Functions with more than one route: a route key that is none of theirs is not
//! found, reads no table and changes nothing.

use aws_lambda_events::http::Method;
use curfew_tests::app::TestApp;
use curfew_tests::bundle::{event, json_of, problem_of};
use http_api::Event;

/// A request with a valid token that reaches a function by a route key that it does
/// not have.
fn misrouted(method: &str, path: &str, key: Option<&str>, token: &str) -> Event {
    let mut event = event(method, path, Some(token), None);
    event.request_context.http.method = Method::from_bytes(method.as_bytes()).unwrap();
    event.route_key = key.map(str::to_owned);
    event
}

#[tokio::test]
async fn a_head_request_that_reaches_the_session_function_signs_nothing_out() {
    let (app, [tv]) = TestApp::with_devices().await;
    let keys = [
        ("HEAD", Some("HEAD /v1/session")),
        ("HEAD", Some("HEAD /v1/sign-out")),
        ("GET", Some("GET /v1/sign-out")),
        ("POST", Some("POST /v1/session")),
        ("DELETE", Some("DELETE /v1/session")),
        ("POST", Some("$default")),
        ("POST", None),
    ];

    for (method, key) in keys {
        app.aws.clear_calls();
        let event = misrouted(method, "/v1/session", key, &tv.token);
        let reply = session::handle(&app.bundle.session, event).await;

        let not_found = (404, "not-found".to_owned());
        assert_eq!(problem_of(&reply), not_found, "{method} {key:?}");
        assert!(app.aws.calls().is_empty(), "{method} {key:?}");
    }
    let reply = app.bundle.who_am_i(&tv.token).await;
    assert_eq!(reply.status_code, 200, "{}", json_of(&reply));
}

#[tokio::test]
async fn a_head_request_that_reaches_the_receipts_function_acknowledges_nothing() {
    let (app, [tv, laptop]) = TestApp::with_devices().await;
    let sign_out = app.sign_out_device(&laptop, &tv).await;
    let keys = [
        ("HEAD", Some("HEAD /v1/sign-outs/{sign_out_id}")),
        (
            "HEAD",
            Some("HEAD /v1/sign-outs/{sign_out_id}/acknowledgement"),
        ),
        ("POST", Some("POST /v1/sign-outs/{sign_out_id}")),
        ("POST", Some("$default")),
        ("POST", None),
    ];

    for (method, key) in keys {
        app.aws.clear_calls();
        let path = format!("/v1/sign-outs/{sign_out}");
        let mut event = misrouted(method, &path, key, &tv.token);
        let id = sign_out.to_string();
        event.path_parameters.insert("sign_out_id".to_owned(), id);
        let deps = &app.bundle.sign_out_receipts;
        let reply = sign_out_receipts::handle(deps, event).await;

        let not_found = (404, "not-found".to_owned());
        assert_eq!(problem_of(&reply), not_found, "{method} {key:?}");
        assert!(app.aws.calls().is_empty(), "{method} {key:?}");
    }
    let receipt = json_of(&app.bundle.receipt(&laptop.token, sign_out).await);
    let device = &receipt["sign_out"]["devices"][0];
    assert_eq!(device["state"], "not_reached", "{receipt}");
}
