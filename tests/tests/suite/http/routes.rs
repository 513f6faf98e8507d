//! Every route of the document, tried without a token, with a malformed one, with
//! one that was signed out, and with another account's device. A route that is
//! new in the document has to be added to the table.

use std::collections::{BTreeMap, BTreeSet};

use curfew_tests::client::{Api, Call, Device, Household, LAPTOP, TV};
use documents::openapi;
use domain::Token;
use serde_json::Value;

/// Who is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    /// Everybody.
    Open,
    /// Whoever presents a token.
    Token,
    /// The same, for a device of the account alone.
    TokenAndDevice,
    /// The same, for a sign-out of the account alone.
    TokenAndSignOut,
    /// Whoever presents a token that the sign-out has ended.
    DeadToken,
    /// Whom IAM lets in, whatever token they present as theirs.
    Iam,
}

const GUARDS: [(&str, Guard); 14] = [
    ("register", Guard::Open),
    ("login", Guard::Open),
    ("getOpenApi", Guard::Open),
    ("getAsyncApi", Guard::Open),
    ("getSession", Guard::Token),
    ("signOut", Guard::Token),
    ("listDevices", Guard::Token),
    ("signOutDevice", Guard::TokenAndDevice),
    ("signOutAll", Guard::Token),
    ("changePassword", Guard::Token),
    ("createSocketTicket", Guard::Token),
    ("getSignOut", Guard::TokenAndSignOut),
    ("acknowledgeSignOut", Guard::DeadToken),
    ("introspect", Guard::Iam),
];

/// An operation of the document.
struct Route {
    id: String,
    method: String,
    path: String,
    example: Option<Value>,
    guard: Guard,
}

impl Route {
    /// A call of it, about a device or a sign-out, that nothing but the token can
    /// be wrong with.
    fn call(&self, api: &Api, about: &str) -> Call {
        let path = about_one(&self.path, about);
        let call = api.call(&self.method, &path);
        match &self.example {
            Some(body) => call.json(body),
            None => call,
        }
    }
}

/// A path with an id in the place of each name.
fn about_one(path: &str, id: &str) -> String {
    path.replace("{device_id}", id).replace("{sign_out_id}", id)
}

/// The operations of the document, each with its guard.
fn routes() -> Vec<Route> {
    let document = openapi::document();
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            let guard = GUARDS.iter().find(|(known, _)| *known == id);
            let (_, guard) = guard.unwrap_or_else(|| panic!("{id} is not in the table"));
            let needs_token = operation.get("security").is_some();
            assert_eq!(needs_token, *guard != Guard::Open, "{id}");
            let names_device = path.contains("{device_id}");
            assert_eq!(names_device, *guard == Guard::TokenAndDevice, "{id}");
            let names_sign_out = path.contains("{sign_out_id}");
            let is_about_one = matches!(guard, Guard::TokenAndSignOut | Guard::DeadToken);
            assert_eq!(names_sign_out, is_about_one, "{id}");
            let example = &operation["requestBody"]["content"]["application/json"]["example"];
            routes.push(Route {
                id: id.to_owned(),
                method: method.to_uppercase(),
                path: path.clone(),
                example: (!example.is_null()).then(|| example.clone()),
                guard: *guard,
            });
        }
    }
    routes
}

/// Those that need the token of a session, valid or over.
fn asking_for_a_token() -> impl Iterator<Item = Route> {
    routes()
        .into_iter()
        .filter(|route| !matches!(route.guard, Guard::Open | Guard::Iam))
}

/// Those that need the token of a valid session.
fn guarded() -> impl Iterator<Item = Route> {
    asking_for_a_token().filter(|route| route.guard != Guard::DeadToken)
}

#[test]
fn the_table_has_every_operation_of_the_document_and_no_other() {
    let known: BTreeSet<&str> = GUARDS.iter().map(|(id, _)| *id).collect();
    let routes = routes();
    let documented: BTreeSet<&str> = routes.iter().map(|route| &*route.id).collect();

    assert_eq!(documented, known);
}

#[tokio::test]
async fn every_route_is_refused_without_a_token() {
    let tv = Household::register().await.sign_in(TV).await;
    let api = Api::default();

    for route in asking_for_a_token() {
        let answer = route.call(&api, &tv.id).send().await;

        answer.refused(401, "token-missing");
    }
    assert!(tv.is_signed_in().await);
}

#[tokio::test]
async fn every_route_is_refused_with_a_malformed_token() {
    let tv = Household::register().await.sign_in(TV).await;
    let api = Api::default();
    let cut = &tv.token[..tv.token.len() - 1];

    for route in asking_for_a_token() {
        for malformed in ["nonsense", cut, "cft_"] {
            let call = route.call(&api, &tv.id).token(malformed);

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
    let api = Api::default();

    for route in guarded() {
        let call = route.call(&api, &laptop.id).token(&tv.token);

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
    let _ = laptop.sign_out_all("global").await.done(200);
    let api = Api::default();

    for route in guarded() {
        for device in [&tv, &laptop] {
            let call = route.call(&api, &tv.id).token(&device.token);

            call.send().await.refused(401, "session-signed-out");
        }
    }
}

#[tokio::test]
async fn a_route_for_callers_of_iam_is_for_no_holder_of_a_token() {
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

/// A token of one device's secret that names another row, with the right checksum.
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
    let api = Api::default();

    for route in asking_for_a_token() {
        for token in [naming(&ours, &theirs), naming(&theirs, &ours)] {
            let call = route.call(&api, &theirs.id).token(&token);

            call.send().await.refused(401, "token-invalid");
        }
        if route.guard == Guard::TokenAndDevice {
            let call = route.call(&api, &theirs.id).token(&ours.token);

            call.send().await.refused(404, "device-not-found");
        }
        if matches!(route.guard, Guard::TokenAndSignOut | Guard::DeadToken) {
            let call = route.call(&api, sign_out).token(&ours.token);

            call.send().await.refused(404, "sign-out-not-found");
        }
    }
    assert!(ours.is_signed_in().await);
    assert!(theirs.is_signed_in().await);
}

#[tokio::test]
async fn every_path_refuses_the_methods_that_it_is_not_for() {
    let tv = Household::register().await.sign_in(TV).await;
    let mut methods: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for route in routes() {
        let path = about_one(&route.path, &tv.id);
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
async fn what_is_no_path_is_not_found() {
    let tv = Household::register().await.sign_in(TV).await;
    let paths = [
        "/",
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
async fn the_document_is_served_to_everybody() {
    let answer = Api::default().call("GET", "/v1/openapi.json").send().await;

    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    let served: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(served, openapi::document());
}
