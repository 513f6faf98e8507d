//! Wrong current passwords: ten in a row end the session that tried them.

use curfew_tests::account::{EMAIL, OTHER_PASSWORD, PASSWORD, TestDevice};
use curfew_tests::app::TestApp;
use curfew_tests::bundle::{json_of, problem_of};
use curfew_tests::engine::ServiceResponse;
use curfew_tests::wire::CallResult;
use domain::recognition::{EARNED_AFTER, is_recognized};
use futures_util::future::join_all;

const WRONG: &str = "eleven lanterns drift past the harbour";

async fn guess(app: &TestApp, thief: &TestDevice) -> (i64, String) {
    let change = app
        .bundle
        .change_password(&thief.token, WRONG, OTHER_PASSWORD, false);
    problem_of(&change.await)
}

fn wrong() -> (i64, String) {
    (403, "credentials-invalid".to_owned())
}

fn ended() -> (i64, String) {
    (401, "session-signed-out".to_owned())
}

#[tokio::test]
async fn of_a_hundred_wrong_passwords_of_a_session_ten_are_hashed_and_the_tenth_ends_it() {
    let (app, [thief, owner]) = TestApp::with_devices().await;
    app.advance(EARNED_AFTER);
    let answers = join_all((0..100).map(|_| guess(&app, &thief))).await;
    let refused = answers.iter().filter(|it| **it == wrong()).count();
    assert_eq!(refused, 9);
    assert!(answers.iter().all(|it| *it == wrong() || *it == ended()));

    // No device did it, so the device is not recognized any more.
    let told = json_of(&app.bundle.who_am_i(&thief.token).await);
    assert!(told["signed_out_by"].is_null());
    assert_eq!(told["reason"], "wrong_password");
    let rows = app
        .bundle
        .store
        .rows(thief.account, &[thief.id])
        .await
        .unwrap();
    let (account, row) = (rows.account.unwrap(), &rows.devices[0]);
    let (limits, now) = (&app.bundle.limits, app.clock.now());
    assert!(!is_recognized(&account, row, limits, now));
    assert_eq!(app.bundle.who_am_i(&owner.token).await.status_code, 200);
    // The way past it is to sign in.
    let _again = app.sign_in_again(&thief).await;
}

#[tokio::test]
async fn a_right_password_ends_the_failures_in_a_row() {
    let (app, [device]) = TestApp::with_devices().await;
    for (from, to) in [(PASSWORD, OTHER_PASSWORD), (OTHER_PASSWORD, PASSWORD)] {
        for _ in 0..9 {
            assert_eq!(guess(&app, &device).await, wrong());
        }
        let changed = app.bundle.change_password(&device.token, from, to, true);
        assert_eq!(changed.await.status_code, 200);
    }
}

#[expect(
    clippy::await_holding_lock,
    reason = "a request that hashed would never end"
)]
#[tokio::test]
async fn an_attempt_that_can_not_be_counted_is_not_made() {
    let (app, [device]) = TestApp::with_devices().await;
    let failed = || CallResult::Answered(ServiceResponse::error(500, "InternalServerError"));
    app.aws.fail("UpdateItem", failed);
    let hasher = app.bundle.change_password.hasher.lock();
    assert_eq!(guess(&app, &device).await.0, 503);
    drop(hasher);
}

#[tokio::test]
async fn a_session_whose_last_attempt_was_cut_short_ends_at_the_next_one() {
    let (app, [thief]) = TestApp::with_devices().await;
    for _ in 0..9 {
        assert_eq!(guess(&app, &thief).await, wrong());
    }
    let failed = || CallResult::Answered(ServiceResponse::error(500, "InternalServerError"));
    app.aws.fail("TransactWriteItems", failed);
    assert_eq!(guess(&app, &thief).await.0, 503);
    app.aws.restore();
    // Also with the right password: it was tried ten times.
    let change = app
        .bundle
        .change_password(&thief.token, PASSWORD, OTHER_PASSWORD, false);
    assert_eq!(problem_of(&change.await), ended());
    assert_eq!(
        app.bundle.log_in(EMAIL, PASSWORD, None).await.status_code,
        200
    );
}
