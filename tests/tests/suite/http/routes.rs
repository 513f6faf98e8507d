//! Every route of the OpenAPI document: without a token, with a malformed one, with
//! one that was signed out, and with another account's device.

use std::collections::{BTreeMap, BTreeSet};

use curfew_tests::client::{Api, Call, Device, Household, LAPTOP, TV};
use curfew_tests::routes::{Guard, Route, routes, session_routes};
use domain::Token;
use serde_json::Value;

/// Returns a call of a route in which nothing but the token can be wrong.
fn call(route: &Route, id: &str) -> Call {
    let call = Api::default().call(&route.method, &route.path_to(id));
    match &route.example {
        Some(body) => call.json(body),
        None => call,
    }
}

/// Returns the routes that need the token of a session, valid or ended.
fn token_routes() -> impl Iterator<Item = Route> {
    let is_by_token = |guard| matches!(guard, Guard::Session | Guard::EndedSession);
    routes()
        .into_iter()
        .filter(move |route| is_by_token(route.guard))
}

#[tokio::test]
async fn every_route_is_refused_without_a_token() {
    let tv = Household::register().await.sign_in(TV).await;

    for route in token_routes() {
        let answer = call(&route, &tv.id).send().await;

        answer.refused(401, "token-missing");
    }
    assert!(tv.is_signed_in().await);
}

#[tokio::test]
async fn every_route_is_refused_with_a_malformed_token() {
    let tv = Household::register().await.sign_in(TV).await;
    let cut = &tv.token[..tv.token.len() - 1];

    for route in token_routes() {
        for malformed in ["nonsense", cut, "cft_"] {
            let call = call(&route, &tv.id).token(malformed);

            call.send().await.refused(401, "token-invalid");
        }
    }
    assert!(tv.is_signed_in().await);
}

#[tokio::test]
async fn every_route_is_refused_with_a_token_that_was_signed_out() {
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;
    let laptop = household.sign_in(LAPTOP).await;
    let sign_out = laptop.sign_out(&tv.id).await.done(200);

    for route in session_routes() {
        let call = call(&route, &laptop.id).token(&tv.token);

        let refused = call.send().await.refused(401, "session-signed-out");

        let at = &sign_out["sign_out"]["requested_at"];
        assert_eq!(&refused["signed_out_at"], at, "{}", route.id);
    }
    assert!(laptop.is_signed_in().await);
}

#[tokio::test]
async fn every_route_is_refused_after_a_global_sign_out() {
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;
    let laptop = household.sign_in(LAPTOP).await;
    let _ = laptop.sign_out_scope("global").await.done(200);

    for route in session_routes() {
        for device in [&tv, &laptop] {
            let call = call(&route, &tv.id).token(&device.token);

            call.send().await.refused(401, "session-signed-out");
        }
    }
}

#[tokio::test]
async fn a_route_for_callers_of_iam_refuses_a_token() {
    let tv = Household::register().await.sign_in(TV).await;
    let form = format!("token={}", tv.token).into_bytes();

    for route in routes().into_iter().filter(|it| it.guard == Guard::Iam) {
        let calls = [
            Api::default().call(&route.method, &route.path),
            tv.call(&route.method, &route.path),
        ];
        for call in calls {
            let call = call.body("application/x-www-form-urlencoded", form.clone());

            let answer = call.send().await;

            assert_eq!(answer.status, 403, "{}: {}", route.id, answer.text());
            assert!(!answer.text().contains(&tv.account_id));
        }
    }
}

/// Returns a well-formed token that names a device under another account.
fn naming(account: &Device, device: &Device) -> String {
    let (account, device) = (&account.account_id, &device.id);
    let token = Token::new(
        account.parse().unwrap(),
        device.parse().unwrap(),
        runtime::random(),
    );
    token.to_text().to_string()
}

#[tokio::test]
async fn every_route_is_refused_with_another_accounts_device() {
    let ours = Household::register().await.sign_in(TV).await;
    let household = Household::register().await;
    let theirs = household.sign_in(TV).await;
    let signed_out = household.sign_in(LAPTOP).await.post("/v1/sign-out").await;
    let signed_out = signed_out.done(200);
    let sign_out = signed_out["sign_out"]["id"].as_str().unwrap();

    for route in token_routes() {
        for token in [naming(&ours, &theirs), naming(&theirs, &ours)] {
            let call = call(&route, &theirs.id).token(&token);

            call.send().await.refused(401, "token-invalid");
        }
        if route.names_device() {
            let call = call(&route, &theirs.id).token(&ours.token);

            call.send().await.refused(404, "device-not-found");
        }
        if route.names_sign_out() {
            let call = call(&route, sign_out).token(&ours.token);

            call.send().await.refused(404, "sign-out-not-found");
        }
    }
    assert!(ours.is_signed_in().await);
    assert!(theirs.is_signed_in().await);
}

#[tokio::test]
async fn every_path_refuses_every_other_method() {
    let tv = Household::register().await.sign_in(TV).await;
    let mut methods: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for route in routes() {
        let path = route.path_to(&tv.id);
        methods.entry(path).or_default().insert(route.method);
    }

    for (path, taken) in &methods {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            if taken.contains(method) {
                continue;
            }
            let answer = tv.call(method, path).send().await;

            answer.refused(405, "method-not-allowed");
            let allow = answer.header("allow").unwrap();
            let allowed: BTreeSet<&str> = allow.split(", ").collect();
            let taken = taken.iter().map(String::as_str);
            assert_eq!(allowed, taken.chain(["OPTIONS"]).collect(), "{path}");
        }
    }
    assert!(tv.is_signed_in().await);
}

#[tokio::test]
async fn an_unknown_path_is_not_found() {
    let tv = Household::register().await.sign_in(TV).await;
    let paths = [
        "/index.html",
        "/assets",
        "/v1",
        "/v1/",
        "/v2/session",
        "/V1/session",
        "/v1/session/",
        "/v1/sessions",
        "/v1/devices/",
        "/v1/devices//sign-out",
        "/v1/devices/x/y/sign-out",
        "/v1/devices/x/sign-out/",
        "/v1/openapi.json/x",
        "/v1/%73ession%00",
        "/.env",
    ];

    for path in paths {
        for method in ["GET", "POST", "DELETE"] {
            let answer = tv.call(method, path).send().await;

            assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text());
            answer.refused(404, "not-found");
        }
    }
}

#[tokio::test]
async fn the_document_is_served_without_a_token() {
    let answer = Api::default().call("GET", "/v1/openapi.json").send().await;

    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    let served: Value = serde_json::from_slice(&answer.body).unwrap();
    let document: Value = serde_json::from_str(api::DOCUMENT).unwrap();
    assert_eq!(served, document);
}
