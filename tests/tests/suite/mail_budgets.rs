//! Mails that a recognized device asks for, while strangers have used up the budgets.

use curfew_tests::account::{EMAIL, OTHER_EMAIL, TestDevice};
use curfew_tests::app::TestApp;
use curfew_tests::bundle::{ORIGIN, event, problem_of};
use domain::recognition::EARNED_AFTER;
use http_api::{DEVICE_COOKIE, Event};
use jiff::SignedDuration;
use serde_json::json;

const PATHS: [&str; 2] = ["/v1/passes", "/v1/password-resets"];

fn asking(path: &str, email: &str, key: Option<&str>) -> Event {
    let mut body = json!({ "email": email });
    if let Some(key) = key {
        body["device_key"] = key.into();
    }
    event("POST", path, None, Some(&body))
}

async fn status(app: &TestApp, event: Event) -> i64 {
    app.bundle.send(event).await.status_code
}

/// Returns the product with a recognized device, after strangers have used up the mails to its
/// address and of its network.
async fn used_up() -> (TestApp, TestDevice) {
    let (app, [device]) = TestApp::with_devices().await;
    let app = app.with_mail();
    app.advance(EARNED_AFTER);
    for path in PATHS {
        let mut last = 0;
        for _ in 0..4 {
            last = status(&app, asking(path, EMAIL, None)).await;
        }
        assert_eq!(last, 429, "{path}");
        for number in 0..40 {
            let email = format!("user{number}@example.com");
            last = status(&app, asking(path, &email, None)).await;
        }
        assert_eq!(last, 429, "{path}");
    }
    (app, device)
}

#[tokio::test]
async fn a_recognized_device_has_a_budget_of_its_own() {
    let (app, device) = used_up().await;
    for path in PATHS {
        for _ in 0..3 {
            let asked = asking(path, EMAIL, Some(&device.key));
            assert_eq!(status(&app, asked).await, 202, "{path}");
        }
        let refused = app.bundle.send(asking(path, EMAIL, Some(&device.key)));
        let refused = refused.await;
        assert_eq!(problem_of(&refused), (429, "too-many-attempts".to_owned()));
        assert_eq!(refused.headers["retry-after"], "1200");
    }
}

#[tokio::test]
async fn the_key_in_a_pages_cookie_counts_from_an_allowed_origin_alone() {
    let (app, device) = used_up().await;
    let from = |origin: Option<&'static str>| {
        let mut asked = asking(PATHS[0], EMAIL, None);
        let cookie = format!("{DEVICE_COOKIE}={}", &*device.key);
        asked.headers.insert("cookie", cookie.parse().unwrap());
        if let Some(origin) = origin {
            asked.headers.insert("origin", origin.parse().unwrap());
        }
        asked
    };
    assert_eq!(status(&app, from(Some(ORIGIN))).await, 202);
    assert_eq!(status(&app, from(None)).await, 429);
    let elsewhere = status(&app, from(Some("https://evil.example"))).await;
    assert_eq!(elsewhere, 400);
}

#[tokio::test]
async fn no_other_key_and_no_other_address_gets_past_the_budgets() {
    let (app, device) = used_up().await;
    app.register(OTHER_EMAIL).await;
    // Signed in just now: a right password alone does not recognize.
    let new = app.sign_in(None).await;
    assert_eq!(
        status(&app, asking(PATHS[0], EMAIL, Some(&new.key))).await,
        429
    );
    let other = asking(PATHS[0], OTHER_EMAIL, Some(&device.key));
    assert_eq!(status(&app, other).await, 429, "its network is used up");
    app.sign_out_scope(&new, "global").await;
    let ended = asking(PATHS[0], EMAIL, Some(&device.key));
    assert_eq!(status(&app, ended).await, 429);

    let malformed = app.bundle.send(asking(PATHS[0], EMAIL, Some("cfd_")));
    assert_eq!(problem_of(&malformed.await).0, 400);
    app.advance(SignedDuration::from_hours(24));
    assert_eq!(status(&app, asking(PATHS[0], EMAIL, None)).await, 202);
}
