//! How a device is recognized at a sign-in: by its key, in the body or in a page's cookie.

use curfew_tests::account::{EMAIL, OTHER_EMAIL, OTHER_PASSWORD, PASSWORD, TestDevice};
use curfew_tests::app::TestApp;
use curfew_tests::bundle::{ORIGIN, event, json_of, problem_of};
use curfew_tests::fake_aws::Intercept;
use curfew_tests::tables::DEVICES;
use curfew_tests::wire::CallResult;
use domain::{DeviceId, DeviceKey};
use http_api::Reply;
use jiff::SignedDuration;
use serde_json::{Value, json};

/// Returns a key that a device made, by a clock that is ahead of the API's.
fn own_key(app: &TestApp, ahead: SignedDuration) -> String {
    let key = DeviceKey::new(app.clock.now() + ahead, runtime::random());
    key.to_text().to_string()
}

/// Returns every device of the account, signed in or not.
async fn devices_of(app: &TestApp, device: &TestDevice) -> Vec<DeviceId> {
    let page = app.bundle.store.devices(device.account, None, 100).await;
    page.unwrap().devices.iter().map(|row| row.id).collect()
}

#[tokio::test]
async fn a_first_sign_in_that_is_sent_again_is_one_device() {
    let app = TestApp::new().await;
    let key = own_key(&app, SignedDuration::ZERO);

    let answer_was_lost = app.sign_in(Some(&key)).await;
    app.advance(SignedDuration::from_hours(24 * 7));
    let again = app.sign_in(Some(&key)).await;

    assert_eq!(again.id, answer_was_lost.id);
    assert_eq!(again.key, key);
    let unheard = app.bundle.who_am_i(&answer_was_lost.token).await;
    assert_eq!(problem_of(&unheard), (401, "token-invalid".to_owned()));
    assert_eq!(devices_of(&app, &again).await, [again.id]);
}

#[tokio::test]
async fn a_sign_in_that_arrives_after_its_retry_is_the_same_device() {
    let app = TestApp::new().await;
    let key = own_key(&app, SignedDuration::ZERO);

    let retry = app.sign_in(Some(&key)).await;
    let late = app.sign_in(Some(&key)).await;
    let next = app.sign_in(Some(&retry.key)).await;

    assert_eq!([late.id, next.id], [retry.id; 2]);
    assert_eq!(devices_of(&app, &next).await, [next.id]);
}

#[tokio::test]
async fn a_key_whose_time_is_more_than_a_day_off_names_no_new_device() {
    let app = TestApp::new().await;
    for apart in [25, -25] {
        let key = own_key(&app, SignedDuration::from_hours(apart));

        let device = app.sign_in(Some(&key)).await;
        let again = app.sign_in(Some(&device.key)).await;

        assert_ne!(device.key, key);
        assert_eq!(again.id, device.id);
    }
}

#[tokio::test]
async fn one_key_is_another_device_in_each_account() {
    let app = TestApp::new().await;
    app.register(OTHER_EMAIL).await;
    let key = own_key(&app, SignedDuration::ZERO);

    let mut devices = Vec::new();
    for _ in 0..3 {
        for email in [EMAIL, OTHER_EMAIL] {
            devices.push(app.sign_in_to(email, Some(&key)).await);
        }
    }

    let [.., ours, theirs] = &devices[..] else {
        panic!("two devices")
    };
    assert_ne!(ours.id, theirs.id);
    assert_eq!(devices_of(&app, ours).await, [ours.id]);
    assert_eq!(devices_of(&app, theirs).await, [theirs.id]);
}

#[tokio::test]
async fn a_device_key_without_the_password_changes_nothing() {
    let app = TestApp::new().await;
    let key = own_key(&app, SignedDuration::ZERO);
    let device = app.sign_in(Some(&key)).await;

    let refused = app.bundle.log_in(EMAIL, OTHER_PASSWORD, Some(&key)).await;

    assert_eq!(
        problem_of(&refused),
        (401, "credentials-invalid".to_owned())
    );
    let valid = app.bundle.who_am_i(&device.token).await;
    assert_eq!(valid.status_code, 200);
}

/// The cookies of a browser.
#[derive(Default)]
struct Browser(Vec<(String, String)>);

impl Browser {
    /// Signs a page in, and keeps the cookies of the answer.
    async fn sign_in(&mut self, app: &TestApp, email: &str, key: Option<&str>) -> Value {
        app.advance(SignedDuration::from_secs(1));
        let reply = self.send(app, email, key).await;
        for cookie in &reply.cookies {
            let (name, rest) = cookie.split_once('=').unwrap();
            let (value, _) = rest.split_once(';').unwrap();
            self.0.retain(|(known, _)| known != name);
            self.0.push((name.to_owned(), value.to_owned()));
        }
        let body = json_of(&reply);
        assert_eq!(reply.status_code, 200, "{body}");
        body
    }

    async fn send(&self, app: &TestApp, email: &str, key: Option<&str>) -> Reply {
        let mut body = json!({ "email": email, "password": PASSWORD, "transport": "cookie" });
        if let Some(key) = key {
            body["device_key"] = key.into();
        }
        let mut event = event("POST", "/v1/login", None, Some(&body));
        event.headers.insert("origin", ORIGIN.parse().unwrap());
        let cookies = self.0.iter().map(|(name, value)| format!("{name}={value}"));
        event.cookies = Some(cookies.collect());
        app.bundle.send(event).await
    }

    fn cookie(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(known, _)| known == name);
        &found.expect("a cookie").1
    }
}

fn id_of(answer: &Value) -> DeviceId {
    answer["device"]["id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn accounts_in_turn_in_one_browser_are_one_device_each() {
    for days_apart in [0, 10] {
        let app = TestApp::new().await;
        let [first] = app.other_account().await;
        let second = app.sign_in(None).await;
        let mut browser = Browser::default();

        for _ in 0..3 {
            browser.sign_in(&app, EMAIL, None).await;
            app.advance(SignedDuration::from_hours(24 * days_apart));
            browser.sign_in(&app, OTHER_EMAIL, None).await;
        }

        assert_eq!(devices_of(&app, &first).await.len(), 2, "{days_apart}");
        assert_eq!(devices_of(&app, &second).await.len(), 2, "{days_apart}");
    }
}

#[tokio::test]
async fn a_browser_keeps_the_keys_of_the_eight_accounts_used_last() {
    let app = TestApp::new().await;
    let mut browser = Browser::default();
    let mut ids = Vec::new();
    let address = |n: usize| format!("viewer-{n}@example.com");
    for n in 0..9 {
        app.register(&address(n)).await;
        ids.push(id_of(&browser.sign_in(&app, &address(n), None).await));
        // One key is good for every account on the day on which it is made.
        app.advance(SignedDuration::from_hours(25));
    }
    assert!(browser.cookie("__Host-curfew-device").len() < 512);

    for (n, id) in ids.iter().enumerate().skip(1) {
        assert_eq!(id_of(&browser.sign_in(&app, &address(n), None).await), *id);
    }
    let gone = browser.sign_in(&app, &address(0), None).await;
    assert_ne!(id_of(&gone), ids[0]);
}

#[tokio::test]
async fn unused_keys_of_a_page_crowd_out_no_account() {
    let app = TestApp::new().await;
    app.register(OTHER_EMAIL).await;
    let mut browser = Browser::default();
    let id = id_of(&browser.sign_in(&app, OTHER_EMAIL, None).await);

    for _ in 0..8 {
        let key = own_key(&app, SignedDuration::ZERO);
        browser.sign_in(&app, EMAIL, Some(&key)).await;
    }

    let again = browser.sign_in(&app, OTHER_EMAIL, None).await;
    assert_eq!(id_of(&again), id);
    let keys = browser.cookie("__Host-curfew-device").split('.').count();
    assert_eq!(keys, 2);
}

#[tokio::test]
async fn a_page_whose_first_answer_was_lost_is_one_device_by_a_key_of_its_own() {
    let app = TestApp::new().await;
    let key = own_key(&app, SignedDuration::ZERO);
    let other = app.sign_in(None).await;

    let lost = Browser::default().sign_in(&app, EMAIL, Some(&key)).await;
    let mut browser = Browser::default();
    let heard = browser.sign_in(&app, EMAIL, Some(&key)).await;
    let by_cookie = browser.sign_in(&app, EMAIL, None).await;
    let with_another_key = own_key(&app, SignedDuration::ZERO);
    let by_both = browser.sign_in(&app, EMAIL, Some(&with_another_key)).await;

    let id = id_of(&lost);
    assert_eq!([id_of(&heard), id_of(&by_cookie), id_of(&by_both)], [id; 3]);
    assert_eq!(devices_of(&app, &other).await, [other.id, id]);
}

#[tokio::test]
async fn signing_in_to_another_account_in_one_browser_ends_the_session_before() {
    let app = TestApp::new().await;
    app.register(OTHER_EMAIL).await;
    let mut browser = Browser::default();
    browser.sign_in(&app, EMAIL, None).await;
    let token = browser.cookie("__Host-curfew").to_owned();

    let answer = browser.sign_in(&app, OTHER_EMAIL, None).await;

    let refused = app.bundle.who_am_i(&token).await;
    assert_eq!(problem_of(&refused), (401, "session-signed-out".to_owned()));
    let sign_out = answer["earlier_sign_out"].as_str().unwrap();
    assert_eq!(json_of(&refused)["sign_out"], sign_out);
    assert_eq!(browser.cookie("__Host-curfew-ended"), token);
    let wiped = app.bundle.acknowledge(&token, sign_out).await;
    assert_eq!(wiped.status_code, 200);
}

#[tokio::test]
async fn a_page_acknowledges_an_account_wide_sign_out_after_it_has_signed_in_elsewhere() {
    let app = TestApp::new().await;
    app.register(OTHER_EMAIL).await;
    let tv = app.sign_in(None).await;
    let mut browser = Browser::default();
    browser.sign_in(&app, EMAIL, None).await;
    let token = browser.cookie("__Host-curfew").to_owned();
    let sign_out = app.sign_out_scope(&tv, "others").await;

    let answer = browser.sign_in(&app, OTHER_EMAIL, None).await;

    assert_eq!(answer["earlier_sign_out"], sign_out.to_string());
    assert_eq!(browser.cookie("__Host-curfew-ended"), token);
    let wiped = app.bundle.acknowledge(&token, sign_out).await;
    assert_eq!(wiped.status_code, 200);
}

#[tokio::test]
async fn a_page_whose_session_had_expired_before_all_were_signed_out_has_nothing_to_acknowledge() {
    let app = TestApp::new().await;
    app.register(OTHER_EMAIL).await;
    let mut browser = Browser::default();
    browser.sign_in(&app, EMAIL, None).await;
    app.advance(app.bundle.limits.idle);
    let tv = app.sign_in(None).await;
    app.sign_out_scope(&tv, "others").await;

    let answer = browser.sign_in(&app, OTHER_EMAIL, None).await;

    assert_eq!(answer.get("earlier_sign_out"), None);
}

#[tokio::test]
async fn signing_in_again_in_one_browser_ends_nothing_else() {
    let app = TestApp::new().await;
    let other = app.sign_in(None).await;
    let mut browser = Browser::default();
    browser.sign_in(&app, EMAIL, None).await;

    let answer = browser.sign_in(&app, EMAIL, None).await;

    assert_eq!(answer.get("earlier_sign_out"), None);
    assert_eq!(app.bundle.who_am_i(&other.token).await.status_code, 200);
}

#[tokio::test]
async fn a_session_is_only_replaced_by_a_page_that_proves_its_origin_and_the_password() {
    let app = TestApp::new().await;
    app.register(OTHER_EMAIL).await;
    let mut browser = Browser::default();
    browser.sign_in(&app, EMAIL, None).await;
    let token = browser.cookie("__Host-curfew").to_owned();
    let login = |origin: Option<&str>, password: &str, transport: &str| {
        let body = json!({ "email": OTHER_EMAIL, "password": password, "transport": transport });
        let mut event = event("POST", "/v1/login", None, Some(&body));
        if let Some(origin) = origin {
            event.headers.insert("origin", origin.parse().unwrap());
        }
        event.cookies = Some(vec![format!("__Host-curfew={token}")]);
        event
    };

    for (event, status) in [
        (login(Some("https://evil.example"), PASSWORD, "cookie"), 400),
        (login(Some("null"), PASSWORD, "cookie"), 400),
        (login(None, PASSWORD, "cookie"), 400),
        (login(Some(ORIGIN), OTHER_PASSWORD, "cookie"), 401),
        (login(None, PASSWORD, "bearer"), 200),
    ] {
        assert_eq!(app.bundle.send(event).await.status_code, status);
        assert_eq!(app.bundle.who_am_i(&token).await.status_code, 200);
    }
}

#[tokio::test]
async fn a_page_whose_earlier_session_cannot_be_ended_is_not_signed_in() {
    let app = TestApp::new().await;
    app.register(OTHER_EMAIL).await;
    let mut browser = Browser::default();
    browser.sign_in(&app, EMAIL, None).await;
    let before = app.aws.rows(DEVICES);

    app.aws.fail("TransactWriteItems", || CallResult::Broken);
    let refused = browser.send(&app, OTHER_EMAIL, None).await;
    app.aws.restore();

    assert_eq!(problem_of(&refused), (503, "unavailable".to_owned()));
    assert_eq!(refused.cookies, [""; 0]);
    assert_eq!(app.aws.rows(DEVICES), before);
    browser.sign_in(&app, OTHER_EMAIL, None).await;
    assert_eq!(app.aws.rows(DEVICES).len(), 2);
}

#[tokio::test]
async fn a_sign_in_whose_write_lost_its_answer_leaves_one_device() {
    let app = TestApp::new().await;
    let key = own_key(&app, SignedDuration::ZERO);
    app.aws.intercept(|call| {
        if call.operation == "PutItem" {
            Intercept::LoseAnswer
        } else {
            Intercept::Make
        }
    });
    let unheard = app.bundle.log_in(EMAIL, PASSWORD, Some(&key)).await;
    assert_eq!(problem_of(&unheard), (503, "unavailable".to_owned()));
    assert_eq!(app.aws.rows(DEVICES).len(), 1);
    app.aws.restore();

    app.sign_in(Some(&key)).await;

    assert_eq!(app.aws.rows(DEVICES).len(), 1);
}
