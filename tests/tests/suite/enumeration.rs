//! Sign-in and registration do not show whether an address has an account: the
//! answers are alike, and so are the calls to the tables. (That a hash is verified
//! in every case is a rule of `domain`, with its tests there.)

use curfew_tests::account::{
    EMAIL, OTHER_EMAIL, OTHER_PASSWORD, PASSWORD, TestDevice, register as register_as,
};
use curfew_tests::app::TestApp;
use curfew_tests::bundle::{event, json_of};
use curfew_tests::wire::Call;
use http_api::Reply;
use jiff::SignedDuration;
use serde_json::{Value, json};

const WRONG: &str = OTHER_PASSWORD;
const UNKNOWN: &str = OTHER_EMAIL;

/// All that a client and an observer of the tables see of a request, except its
/// time.
#[derive(Debug, PartialEq)]
struct Seen {
    status: i64,
    headers: String,
    body: Value,
    calls: Vec<String>,
}

async fn seen(app: &TestApp, request: impl Future<Output = Reply>) -> Seen {
    app.aws.clear_calls();
    let reply = Box::pin(request).await;
    Seen {
        status: reply.status_code,
        headers: format!("{:?}", reply.headers),
        body: json_of(&reply),
        calls: app.aws.calls().iter().map(shape).collect(),
    }
}

async fn register(app: &TestApp, email: &str) -> Seen {
    seen(app, app.bundle.register(email, PASSWORD)).await
}

async fn log_in(app: &TestApp, email: &str, password: &str, key: Option<&str>) -> Seen {
    // So long that the network's counter is as before.
    app.advance(SignedDuration::from_hours(1));
    seen(app, app.bundle.log_in(email, password, key)).await
}

/// Returns the operation of a call, its tables, and the number of its rows.
fn shape(call: &Call) -> String {
    let body: Value = serde_json::from_str(&call.body).unwrap();
    let about = match body["RequestItems"].as_object() {
        Some(tables) => tables
            .iter()
            .map(|(table, items)| {
                let keys = items["Keys"].as_array().map_or(0, Vec::len);
                format!("{table} {keys}")
            })
            .collect::<Vec<_>>()
            .join(", "),
        None => body["TableName"].as_str().unwrap_or_default().to_owned(),
    };
    format!("{} {about}", call.operation)
}

#[tokio::test]
async fn an_unknown_address_looks_like_a_wrong_password() {
    let app = TestApp::new().await;

    let wrong = log_in(&app, EMAIL, WRONG, None).await;
    let unknown = log_in(&app, UNKNOWN, WRONG, None).await;

    assert_eq!(wrong.status, 401);
    assert_eq!(unknown, wrong);
}

#[tokio::test]
async fn an_unknown_address_looks_like_a_wrong_password_with_a_device_key_too() {
    let (app, [device]) = TestApp::with_devices().await;
    let key = Some(&*device.key);

    let wrong = log_in(&app, EMAIL, WRONG, key).await;
    let unknown = log_in(&app, UNKNOWN, WRONG, key).await;

    assert_eq!(wrong.status, 401);
    assert_eq!(unknown, wrong);
}

#[tokio::test]
async fn a_disabled_account_looks_like_a_wrong_password() {
    let (app, [device]): (_, [TestDevice; 1]) = TestApp::with_devices().await;
    app.disable(device.account).await;

    let disabled = log_in(&app, EMAIL, PASSWORD, None).await;
    let wrong = log_in(&app, EMAIL, WRONG, None).await;
    let unknown = log_in(&app, UNKNOWN, PASSWORD, None).await;

    assert_eq!(disabled.status, 401);
    assert_eq!(wrong, disabled);
    assert_eq!(unknown, disabled);
}

/// Every address with another history, over every route that sends a code: the same answer,
/// the same writes, and a message of the same form.
#[tokio::test]
async fn asking_for_a_code_looks_the_same_for_every_address() {
    let app = TestApp::new().await.with_mail();
    let (store, now) = (&app.bundle.store, app.clock.now());
    let disabled = register_as(store, "eve@example.com", PASSWORD, Some(now), now).await;
    app.disable(disabled.unwrap()).await;
    let unconfirmed = register_as(store, "ada@example.com", PASSWORD, None, now).await;
    unconfirmed.unwrap();
    for path in ["/v1/accounts", "/v1/password-resets", "/v1/passes"] {
        let mut all = Vec::new();
        for email in [
            EMAIL,
            "ada@example.com",
            "eve@example.com",
            "noa@example.com",
        ] {
            let body = json!({ "email": email });
            let mut seen = seen(
                &app,
                app.bundle.send(event("POST", path, None, Some(&body))),
            )
            .await;
            // The network's counter takes another write once it is in its burst.
            seen.calls.dedup();
            let challenge = seen.body["challenge"].take();
            assert_eq!(challenge.as_str().unwrap().len(), 53);
            let [queued] = <[_; 1]>::try_from(app.aws.take_queued()).unwrap();
            let mut message: Value = serde_json::from_str(&queued.body).unwrap();
            assert_eq!(message["email"].take(), email);
            let form = message.as_object().unwrap().iter();
            let form: Vec<_> = form
                .map(|(name, value)| (name.clone(), value.to_string().len()))
                .collect();
            all.push((seen, form));
        }
        assert_eq!(all[0].0.status, 202, "{path}");
        assert!(all.iter().all(|one| *one == all[0]), "{path}: {all:?}");
        let reads = |call: &String| call.contains("Identities") || call.contains("Accounts");
        assert!(!all[0].0.calls.iter().any(reads), "{path}");
    }
}

#[tokio::test]
async fn over_its_budget_every_address_looks_alike() {
    let (app, [device]): (_, [TestDevice; 1]) = TestApp::with_devices().await;
    app.disable(device.account).await;
    app.register("eve@example.com").await;
    let mut over_budget = Vec::new();
    for email in [EMAIL, UNKNOWN, "eve@example.com"] {
        app.advance(SignedDuration::from_hours(1));
        for _ in 0..10 {
            app.bundle.log_in(email, WRONG, None).await;
        }
        over_budget.push(seen(&app, app.bundle.log_in(email, PASSWORD, None)).await);
    }

    let [disabled, unknown, enabled] = over_budget.try_into().unwrap();
    assert_eq!(disabled.status, 429);
    assert_eq!(disabled, unknown);
    assert_eq!(disabled, enabled);
}

#[tokio::test]
async fn a_wrong_password_of_an_old_unconfirmed_account_looks_like_an_unknown_address() {
    let app = TestApp::without_account(|config| config).with_mail();
    let (store, now) = (&app.bundle.store, app.clock.now());
    register_as(store, EMAIL, PASSWORD, None, now)
        .await
        .unwrap();
    app.advance(domain::account::UNCONFIRMED_FOR);

    let unconfirmed = log_in(&app, EMAIL, WRONG, None).await;
    let unknown = log_in(&app, UNKNOWN, WRONG, None).await;

    assert_eq!(unconfirmed.status, 401);
    assert_eq!(unknown, unconfirmed);
}

#[tokio::test]
async fn asking_for_a_code_with_an_unrecognized_key_looks_the_same_for_every_address() {
    let (app, [device]): (_, [TestDevice; 1]) = TestApp::with_devices().await;
    let app = app.with_mail();
    let mut all = Vec::new();
    for email in [EMAIL, UNKNOWN] {
        let body = json!({ "email": email, "device_key": *device.key });
        let event = event("POST", "/v1/passes", None, Some(&body));
        let mut seen = seen(&app, app.bundle.send(event)).await;
        seen.calls.dedup();
        seen.body["challenge"].take();
        all.push(seen);
    }

    assert_eq!(all[0].status, 202);
    assert_eq!(all[0], all[1]);
    assert!(all[0].calls.iter().any(|call| call.contains("Identities")));
}

/// The failure that is news to an owner is handed over for every address.
#[tokio::test]
async fn the_failures_in_a_row_that_are_news_look_alike_for_every_address() {
    let mut app = TestApp::new().await.with_mail();
    let budgets = &mut app.bundle.login.budgets;
    budgets.address = budgets.address.with_in_a_row(4, None);
    let mut news = Vec::new();
    for email in [EMAIL, UNKNOWN] {
        log_in(&app, email, WRONG, None).await;
        news.push(log_in(&app, email, WRONG, None).await);
        assert_eq!(app.aws.take_queued().len(), 1, "{email}");
    }

    assert_eq!(news[0].status, 401);
    assert_eq!(news[0], news[1]);
    assert!(
        news[0]
            .calls
            .iter()
            .any(|call| call.contains("SendMessage"))
    );
}

#[tokio::test]
async fn registering_a_taken_address_looks_like_registering_a_free_one() {
    let app = TestApp::new().await;

    let taken = register(&app, EMAIL).await;
    let free = register(&app, UNKNOWN).await;

    assert_eq!(taken.status, 202);
    assert_eq!(taken, free);
    assert_eq!(taken.calls.len(), 1);
}
