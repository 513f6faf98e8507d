//! The callers that may read a receipt, and its pages.

use std::collections::HashMap;

use curfew_tests::account::TestDevice;
use curfew_tests::app::TestApp;
use curfew_tests::bundle::{json_of, problem_of, receipt_event};
use domain::SignOutId;
use http_api::Reply;
use serde_json::{Value, json};

use super::{DAY, SECOND, not_found, refused, signed_out, total};

#[tokio::test]
async fn another_accounts_receipt_is_not_found() {
    let (app, [laptop, tv, _]) = TestApp::with_devices().await;
    let id = app.sign_out_scope(&laptop, "others").await;
    let [stranger] = app.other_account().await;
    let none = SignOutId::new(app.clock.now(), [7; 10]);

    let missing = app.bundle.receipt(&stranger.token, none).await;

    assert_eq!(problem_of(&missing), not_found());
    let mut alike = vec![id.to_string(), format!("{id}#{}", tv.id)];
    alike.extend(["", "no id", "..", "0192f0c2-0b1d-7a40-8f6e"].map(str::to_owned));
    for id in alike {
        let reply = app.bundle.receipt(&stranger.token, &id).await;
        assert_eq!(format!("{reply:?}"), format!("{missing:?}"), "{id}");
    }
    let of_a_part = app
        .bundle
        .receipt(&laptop.token, format!("{id}#{}", tv.id))
        .await;
    assert_eq!(format!("{of_a_part:?}"), format!("{missing:?}"));
}

#[tokio::test]
async fn a_receipt_can_be_read_until_its_retention_ends() {
    let (app, [laptop, _, phone]) = TestApp::with_devices().await;
    let id = app.sign_out_device(&laptop, &phone).await;
    let none = SignOutId::new(app.clock.now(), [7; 10]);
    for _ in 0..3 {
        app.advance(DAY * 29);
        assert_eq!(app.bundle.who_am_i(&laptop.token).await.status_code, 200);
    }
    app.advance(DAY * 3 - SECOND);

    assert_eq!(app.bundle.receipt(&laptop.token, id).await.status_code, 200);
    app.advance(SECOND);
    let over = app.bundle.receipt(&laptop.token, id).await;

    assert_eq!(problem_of(&over), not_found());
    let missing = app.bundle.receipt(&laptop.token, none).await;
    assert_eq!(format!("{over:?}"), format!("{missing:?}"));
}

#[tokio::test]
async fn a_receipt_is_refused_to_a_signed_out_device_and_without_a_token() {
    let (app, [laptop, tv, _]) = TestApp::with_devices().await;
    let id = app.sign_out_scope(&laptop, "others").await;
    let reply = app.bundle.receipt(&tv.token, id).await;
    assert_eq!(problem_of(&reply), signed_out());
    let anonymous = receipt_event(None, id);
    let reply = app.bundle.send(anonymous).await;
    assert_eq!(problem_of(&reply), (401, "token-missing".to_owned()));
}

/// Asks for a page of a receipt.
async fn page(app: &TestApp, by: &TestDevice, id: SignOutId, query: &[(&str, &str)]) -> Reply {
    let mut event = receipt_event(Some(&by.token), id);
    let query: HashMap<String, String> = query
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    event.query_string_parameters = query.into();
    app.bundle.send(event).await
}

#[tokio::test]
async fn pages_show_each_device_once_under_one_total() {
    let app = TestApp::new().await;
    let laptop = app.sign_in(None).await;
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(app.sign_in(None).await);
    }
    let id = app.sign_out_scope(&laptop, "others").await;
    refused(&app, &others[1]).await;
    let mut listed = Vec::new();
    let mut cursor: Option<String> = None;

    for expected in [2, 2, 1] {
        let mut query = vec![("limit", "2")];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let reply = page(&app, &laptop, id, &query).await;
        let receipt = json_of(&reply)["sign_out"].clone();
        let devices = receipt["devices"].as_array().unwrap().clone();
        assert_eq!(devices.len(), expected);
        assert_eq!(receipt["total"], total(5, [0, 1, 0]));
        listed.extend(devices.into_iter().map(|part| part["id"].clone()));
        cursor = receipt["next_cursor"].as_str().map(str::to_owned);
    }

    assert_eq!(cursor, None);
    let newest_first: Vec<Value> = others.iter().rev().map(|it| json!(it.id)).collect();
    assert_eq!(listed, newest_first);
}

#[tokio::test]
async fn a_wrong_parameter_of_a_page_is_refused() {
    let (app, [laptop, _, _]) = TestApp::with_devices().await;
    let id = app.sign_out_scope(&laptop, "others").await;
    for query in [
        ("limit", "0"),
        ("limit", "1001"),
        ("limit", "-1"),
        ("limit", "two"),
        ("limit", ""),
        ("cursor", "no cursor"),
        ("page", "1"),
    ] {
        let reply = page(&app, &laptop, id, &[query]).await;
        assert_eq!(
            problem_of(&reply),
            (400, "request-invalid".to_owned()),
            "{query:?}"
        );
    }
    let reply = page(&app, &laptop, id, &[("limit", "1000")]).await;
    assert_eq!(reply.status_code, 200);
}
