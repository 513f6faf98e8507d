//! Codes by mail as the second step of accounts without a factor that counts.

use std::collections::BTreeSet;

use curfew_tests::account::{EMAIL, OTHER_PASSWORD, PASSWORD, TestDevice};
use curfew_tests::app::TestApp;
use curfew_tests::bundle::{event, json_of, problem_of};
use curfew_tests::races::clauses::{Clause, clauses, weakened};
use curfew_tests::tables::ACCOUNTS;
use curfew_tests::wire::CallResult;
use domain::Purpose;
use domain::ownership::factors::SETTLED_AFTER;
use http_api::Reply;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::challenges::{ask, recover_by_link};
use crate::second_step::{add, app_with_device, events_of, mark_verified, notices};

async fn set(app: &TestApp, device: &TestDevice, enabled: bool) -> Reply {
    let body = json!({ "enabled": enabled });
    let event = event("PUT", "/v1/sign-in-codes", Some(&device.token), Some(&body));
    app.bundle.send(event).await
}

async fn turn_on(app: &TestApp, device: &TestDevice) {
    let reply = set(app, device, true).await;
    let expected = json!({ "enabled": true, "always": false, "available": true });
    assert_eq!((reply.status_code, json_of(&reply)), (200, expected));
}

/// Signs in on a device without recognition, and returns the challenge and the mailed code.
async fn asked(app: &TestApp, password: &str) -> Value {
    let reply = app.bundle.log_in(EMAIL, password, None).await;
    assert_eq!(problem_of(&reply), (403, "code-required".to_owned()));
    let [mail] = <[_; 1]>::try_from(app.aws.take_queued()).expect("one mail");
    let mail: Value = serde_json::from_str(&mail.body).unwrap();
    assert_eq!(
        (&mail["kind"], &mail["email"]),
        (&json!("pass"), &json!(EMAIL))
    );
    json!({ "challenge": json_of(&reply)["challenge"], "code": mail["code"] })
}

async fn log_in(app: &TestApp, pass: &Value) -> Reply {
    log_in_on(app, None, pass).await
}

async fn log_in_on(app: &TestApp, key: Option<&str>, pass: &Value) -> Reply {
    let body = json!({
        "email": EMAIL, "password": PASSWORD, "device_key": key, "pass": pass,
    });
    app.bundle
        .send(event("POST", "/v1/login", None, Some(&body)))
        .await
}

#[tokio::test]
async fn a_device_that_is_not_recognized_needs_the_mailed_code_and_is_then_recognized() {
    let (app, laptop) = app_with_device().await;
    turn_on(&app, &laptop).await;
    let pass = asked(&app, PASSWORD).await;
    let wrong = json!({ "challenge": pass["challenge"], "code": "0000-0000" });
    let refused = log_in(&app, &wrong).await;
    assert_eq!(problem_of(&refused), (403, "code-invalid".to_owned()));
    let television = TestDevice::of(&log_in(&app, &pass).await);
    let again = log_in(&app, &pass).await;
    assert_eq!(problem_of(&again), (403, "code-invalid".to_owned()), "used");
    let recognized = app.bundle.log_in(EMAIL, PASSWORD, Some(&television.key));
    assert_eq!(recognized.await.status_code, 200);
}

#[tokio::test]
async fn the_team_can_want_the_code_for_every_account_with_a_confirmed_address() {
    let (mut app, laptop) = app_with_device().await;
    app.bundle.login.sign_in_codes = true;
    app.bundle.second_step.sign_in_codes = true;
    let pass = asked(&app, PASSWORD).await;
    assert_eq!(log_in(&app, &pass).await.status_code, 200);
    let off = set(&app, &laptop, false).await;
    assert_eq!(
        json_of(&off),
        json!({ "enabled": false, "always": true, "available": true })
    );
    asked(&app, PASSWORD).await;

    let mut unproven = TestApp::without_account(|config| config).with_mail();
    unproven.bundle.login.sign_in_codes = true;
    let (store, now) = (&unproven.bundle.store, unproven.clock.now());
    let made = curfew_tests::account::register(store, EMAIL, PASSWORD, None, now);
    made.await.unwrap();
    let reply = unproven.bundle.log_in(EMAIL, PASSWORD, None).await;
    assert_eq!(reply.status_code, 200, "the address may be a stranger's");
}

#[tokio::test]
async fn a_factor_that_has_settled_is_asked_for_in_its_place() {
    let (app, laptop) = app_with_device().await;
    turn_on(&app, &laptop).await;
    let _phone = add(&app, &laptop).await;
    let _news = app.aws.take_queued();
    // A thief may have added it: a young app does not replace the mailbox.
    let pass = asked(&app, PASSWORD).await;
    let reply = log_in(&app, &pass).await;
    assert_eq!(problem_of(&reply), (403, "second-step-required".to_owned()));
    app.advance(SETTLED_AFTER);
    let reply = app.bundle.log_in(EMAIL, PASSWORD, None).await;
    assert_eq!(problem_of(&reply), (403, "second-step-required".to_owned()));
}

#[tokio::test]
async fn a_thief_who_uses_the_mails_up_does_not_stop_the_owner() {
    let (app, laptop) = app_with_device().await;
    turn_on(&app, &laptop).await;
    let phone = TestDevice::of(&log_in(&app, &asked(&app, PASSWORD).await).await);
    for _ in 0..2 {
        asked(&app, PASSWORD).await;
    }
    let refused = app.bundle.log_in(EMAIL, PASSWORD, None).await;
    assert_eq!(problem_of(&refused), (429, "too-many-attempts".to_owned()));
    let recognized = app.bundle.log_in(EMAIL, PASSWORD, Some(&phone.key)).await;
    assert_eq!(recognized.status_code, 200);
    // A recovery takes the password from the thief, and gives the owner mails of their own.
    let recovery = ask(&app, Purpose::Recovery, EMAIL).await;
    let recovered = recover_by_link(&app, &recovery, OTHER_PASSWORD).await;
    assert_eq!(recovered.status_code, 200, "{}", json_of(&recovered));
    asked(&app, OTHER_PASSWORD).await;
}

#[tokio::test]
async fn turning_them_off_needs_a_proof_and_reaches_the_owner() {
    let (app, laptop) = app_with_device().await;
    turn_on(&app, &laptop).await;
    assert!(app.aws.take_queued().is_empty());
    app.advance(SignedDuration::from_mins(6));
    for enabled in [false, true] {
        let reply = set(&app, &laptop, enabled).await;
        let expected = (401, "verification-required".to_owned());
        assert_eq!(problem_of(&reply), expected);
    }
    asked(&app, PASSWORD).await;
    mark_verified(&app, &laptop);
    assert_eq!(set(&app, &laptop, false).await.status_code, 200);
    assert_eq!(events_of(&notices(&app).await), ["sign_in_codes_off"]);
    let reply = app.bundle.log_in(EMAIL, PASSWORD, None).await;
    assert_eq!(reply.status_code, 200);
}

#[tokio::test]
async fn nothing_is_turned_off_without_its_notice_and_no_notice_is_of_nothing() {
    let (app, laptop) = app_with_device().await;
    turn_on(&app, &laptop).await;
    for operation in ["SendMessage", "TransactWriteItems"] {
        app.aws.fail(operation, || CallResult::Broken);
        let refused = set(&app, &laptop, false).await;
        assert_eq!(problem_of(&refused), (503, "unavailable".to_owned()));
        app.aws.restore();
    }
    assert_eq!(events_of(&notices(&app).await), [] as [&str; 0]);
    asked(&app, PASSWORD).await;
}

#[tokio::test]
async fn without_mail_they_can_not_be_turned_on_and_are_not_asked_for() {
    let (mut app, laptop) = app_with_device().await;
    turn_on(&app, &laptop).await;
    app.bundle.second_step.policy.sends_mail = false;
    app.bundle.login.codes = None;
    let refused = set(&app, &laptop, true).await;
    assert_eq!(problem_of(&refused), (409, "mail-unavailable".to_owned()));
    let reply = app.bundle.log_in(EMAIL, PASSWORD, None).await;
    assert_eq!(reply.status_code, 200);
    assert_eq!(set(&app, &laptop, false).await.status_code, 200);
}

/// What ends the session that is turning them off.
const MEANWHILE: [&str; 3] = ["sign-in", "sign-out", "global"];

/// Turns the codes off while something else happens. Returns whether they are still on, and the
/// clauses of the transaction.
async fn turned_off_during(what: &str, knocked_out: Option<&Clause>) -> (bool, BTreeSet<Clause>) {
    let (app, laptop) = app_with_device().await;
    let other = app.sign_in(None).await;
    turn_on(&app, &laptop).await;
    mark_verified(&app, &other);
    let pass = asked(&app, PASSWORD).await;
    let mut met = BTreeSet::new();
    let meanwhile = async {
        let status = match what {
            "sign-in" => log_in_on(&app, Some(&other.key), &pass).await.status_code,
            "sign-out" => {
                let sign_out = event("POST", "/v1/sign-out", Some(&other.token), None);
                app.bundle.send(sign_out).await.status_code
            }
            scope => {
                let _ = app.sign_out_scope(&other, scope).await;
                200
            }
        };
        assert_eq!(status, 200, "{what}");
    };
    let change = |call| {
        met.extend(clauses("sign-in codes", &call));
        weakened(call, knocked_out)
    };
    let turning_off = set(&app, &other, false);
    let held = app.aws.hold_up(ACCOUNTS, turning_off, meanwhile, change);
    let _refused_or_not = Box::pin(held).await;
    let rows = app.bundle.store.rows(other.account, &[]).await.unwrap();
    (rows.account.unwrap().sign_in_codes, met)
}

#[tokio::test]
async fn every_condition_of_turning_them_off_is_needed() {
    let mut all = BTreeSet::new();
    for what in MEANWHILE {
        let (is_on, met) = Box::pin(turned_off_during(what, None)).await;
        assert!(is_on, "{what}");
        all.extend(met);
    }
    assert!(!all.is_empty());
    for clause in all {
        let mut is_needed = false;
        for what in MEANWHILE {
            let (is_on, _) = Box::pin(turned_off_during(what, Some(&clause))).await;
            is_needed |= !is_on;
        }
        assert!(is_needed, "{clause:?}");
    }
}
