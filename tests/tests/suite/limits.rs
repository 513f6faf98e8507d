//! The limit of the acts by which one session ends others, and sessions whose end has no
//! record.

use curfew_tests::account::{EMAIL, OTHER_PASSWORD, PASSWORD};
use curfew_tests::app::TestApp;
use curfew_tests::bundle::{json_of, problem_of};
use curfew_tests::doors::{Door, DoorAnswer};
use curfew_tests::tables::{ACCOUNTS, RECEIPTS};
use jiff::SignedDuration;
use serde_json::json;

#[tokio::test]
async fn a_session_ends_others_thirty_times_an_hour_and_itself_at_any_time() {
    let (app, [thief, owner]) = TestApp::with_devices().await;
    let bundle = &app.bundle;
    let device = app.sign_in(None).await;
    for _ in 0..15 {
        app.sign_out_device(&thief, &app.sign_in_again(&device).await)
            .await;
        app.sign_out_scope(&thief, "others").await;
    }
    let owner = app.sign_in_again(&owner).await;
    let device = app.sign_in_again(&device).await;

    let keeping = bundle.change_password(&thief.token, PASSWORD, OTHER_PASSWORD, true);
    for reply in [
        bundle.sign_out_device(&thief.token, device.id).await,
        bundle.sign_out_scope(&thief.token, "others").await,
        keeping.await,
    ] {
        let problem = problem_of(&reply);
        assert_eq!(problem, (429, "rate-limited".to_owned()));
        let seconds = reply.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse::<i64>()
            .unwrap();
        assert!((1..=3600).contains(&seconds), "{seconds}");
    }

    assert_eq!(bundle.who_am_i(&device.token).await.status_code, 200);
    // The owner's session has its own count, and ending itself is never limited.
    app.sign_out_device(&owner, &device).await;
    assert_eq!(bundle.sign_out_this(&thief.token).await.status_code, 200);
    app.advance(SignedDuration::from_hours(1));
    app.sign_out_scope(&owner, "global").await;
}

#[tokio::test]
async fn a_session_whose_end_has_no_record_has_expired_once_the_record_may_be_gone() {
    let (app, [tv, phone]) = TestApp::with_devices().await;
    let asked = async || problem_of(&app.bundle.who_am_i(&tv.token).await);
    let expired = (401, "session-expired".to_owned());
    app.sign_out_scope(&phone, "global").await;
    for row in app.aws.rows(RECEIPTS) {
        let key = json!({ "account_id": row["account_id"], "sign_out_id": row["sign_out_id"] });
        app.aws.engine.delete(RECEIPTS, &key);
    }
    assert_eq!(
        asked().await,
        (503, "unavailable".to_owned()),
        "lost too soon"
    );
    app.advance(app.bundle.limits.idle);
    assert_eq!(asked().await, expired);
}

#[tokio::test]
async fn an_account_that_was_disabled_by_hand_is_named_so_at_every_door() {
    let app = TestApp::new().await;
    let [tv, phone] = app.connected(["tv", "phone"]).await;
    let id = app.sign_out_device(&phone, &tv).await;
    let mut account = app.aws.rows(ACCOUNTS).remove(0);
    account["disabled_at"] = json!({ "N": "1" });
    app.aws.engine.put(ACCOUNTS, &account);

    for door in Door::all() {
        match door.knock(&app, &phone, &id.to_string()).await {
            DoorAnswer::Reply(reply) => {
                let disabled = (401, "account-disabled".to_owned());
                assert_eq!(problem_of(&reply), disabled, "{}", door.name());
            }
            DoorAnswer::Decision(is_authorized) => assert!(!is_authorized),
            DoorAnswer::Introspected(reply) => {
                assert_eq!(json_of(&reply), json!({ "active": false }));
            }
        }
    }
    app.frame("phone", r#"{"type":"heartbeat"}"#).await;
    assert!(!app.aws.is_open("phone"), "closed without a frame");
    let signed_out = problem_of(&app.bundle.who_am_i(&tv.token).await);
    assert_eq!(signed_out, (401, "session-signed-out".to_owned()));
    // A sign-in is answered as with a wrong password.
    for password in [PASSWORD, OTHER_PASSWORD] {
        let refused = app.bundle.log_in(EMAIL, password, Some(&phone.key)).await;
        let credentials = (401, "credentials-invalid".to_owned());
        assert_eq!(problem_of(&refused), credentials);
    }
}
