//! The callers that may acknowledge a sign-out.

use curfew_tests::app::TestApp;
use curfew_tests::bundle::{acknowledgement_event, json_of, problem_of};
use domain::SignOutId;
use serde_json::{Value, json};

use super::{
    SECOND, not_found, now, operations_of, part, read_receipt, states, stored, sweep, total,
};

#[tokio::test]
async fn the_token_of_an_ended_session_acknowledges_once() {
    for is_swept in [false, true] {
        let (app, [laptop, tv, phone]) = TestApp::with_devices().await;
        let id = app.sign_out_scope(&laptop, "others").await;
        if is_swept {
            sweep(&app, &laptop, id).await;
        }
        app.advance(SECOND);
        let at = now(&app);

        let reply = app.bundle.acknowledge(&tv.token, id).await;

        assert_eq!(reply.status_code, 200);
        assert_eq!(json_of(&reply), json!({ "state": "wiped" }));
        let receipt = read_receipt(&app, &laptop, id).await;
        assert_eq!(part(&receipt, &tv)["wiped_at"], at);
        assert_eq!(part(&receipt, &tv)["notified_at"], Value::Null);
        assert_eq!(receipt["total"], total(2, [1, 0, 0]));
        assert_eq!(states(&receipt, &[&tv, &phone]), ["wiped", "not_reached"]);

        app.advance(SECOND);
        let again = app.bundle.acknowledge(&tv.token, id);
        let (again, calls) = operations_of(&app, again).await;
        assert_eq!(format!("{again:?}"), format!("{reply:?}"));
        assert!(!calls.contains(&"UpdateItem".to_owned()), "{calls:?}");
        assert_eq!(read_receipt(&app, &laptop, id).await, receipt);
    }
}

#[tokio::test]
async fn the_ended_token_of_a_device_that_signed_in_again_acknowledges() {
    for scope in ["device", "others", "others, swept"] {
        let (app, [laptop, tv, _]) = TestApp::with_devices().await;
        let id = if scope == "device" {
            app.sign_out_device(&laptop, &tv).await
        } else {
            app.sign_out_scope(&laptop, "others").await
        };
        if scope == "others, swept" {
            sweep(&app, &laptop, id).await;
        }
        let back = app.sign_in_again(&tv).await;

        let reply = app.bundle.acknowledge(&tv.token, id).await;

        assert_eq!(reply.status_code, 200, "{scope}");
        let receipt = read_receipt(&app, &laptop, id).await;
        assert_eq!(part(&receipt, &tv)["state"], "wiped", "{scope}");
        let reply = app.bundle.acknowledge(&back.token, id).await;
        assert_eq!(problem_of(&reply), not_found(), "the new session is valid");
        assert_eq!(app.bundle.who_am_i(&back.token).await.status_code, 200);
    }
}

#[tokio::test]
async fn a_device_that_was_verified_on_an_open_socket_acknowledges_after_it_signed_in_again() {
    for is_new in [true, false] {
        let app = TestApp::new().await;
        let [laptop, tv] = app.connected(["laptop", "tv"]).await;
        let verified = app.verify(&tv).await;
        let id = app.sign_out_scope(&laptop, "others").await;
        app.push(&app.event_of(tv.account, id).await).await;
        app.sign_in_again(&verified).await;

        let token = if is_new { &verified.token } else { &tv.token };
        let reply = app.bundle.acknowledge(token, id).await;

        assert_eq!(reply.status_code, 200, "{is_new}");
        assert_eq!(json_of(&reply), json!({ "state": "wiped" }));
    }
}

#[tokio::test]
async fn only_a_session_that_the_sign_out_ended_can_acknowledge_it() {
    let (app, [laptop, tv, phone]) = TestApp::with_devices().await;
    let earlier = app.sign_out_device(&laptop, &phone).await;
    let id = app.sign_out_scope(&laptop, "others").await;
    let later = app.sign_out_device(&laptop, &app.sign_in(None).await).await;
    let [stranger] = app.other_account().await;
    let their = app.sign_out_scope(&stranger, "global").await;
    let none = SignOutId::new(app.clock.now(), [7; 10]);
    let missing = app.bundle.acknowledge(&tv.token, none).await;
    assert_eq!(problem_of(&missing), not_found());
    let before = stored(&app);

    let live = (&laptop, id.to_string());
    let ended_by_an_earlier_one = (&phone, id.to_string());
    let of_another_device = [(&tv, earlier.to_string()), (&tv, later.to_string())];
    let of_another_account = [(&stranger, id.to_string()), (&tv, their.to_string())];
    let malformed = ["", "no id", ".."].map(|id| (&tv, id.to_owned()));
    let a_part = (&tv, format!("{id}#{}", tv.id));
    let mut all = vec![live, ended_by_an_earlier_one, a_part];
    all.extend(of_another_device);
    all.extend(of_another_account);
    all.extend(malformed);
    for (device, id) in all {
        let reply = app.bundle.acknowledge(&device.token, &id).await;
        assert_eq!(format!("{reply:?}"), format!("{missing:?}"), "{id}");
    }

    assert_eq!(stored(&app), before, "something was written");
}

#[tokio::test]
async fn a_wrong_secret_acknowledges_nothing() {
    let (app, [laptop, tv, phone]) = TestApp::with_devices().await;
    let of_phone = app.sign_out_device(&laptop, &phone).await;
    let id = app.sign_out_scope(&laptop, "others").await;
    let replaced = app.sign_in_again(&laptop).await;
    let before = stored(&app);

    let attempts = [
        (tv.with_wrong_secret(), id),
        (phone.with_wrong_secret(), of_phone),
        (replaced.with_wrong_secret(), id),
        (laptop, id),
    ];
    for (device, id) in attempts {
        let reply = app.bundle.acknowledge(&device.token, id).await;
        assert_eq!(problem_of(&reply), (401, "token-invalid".to_owned()));
    }

    assert_eq!(stored(&app), before, "something was written");
}

#[tokio::test]
async fn an_acknowledgement_with_a_body_is_refused() {
    let (app, [laptop, tv, _]) = TestApp::with_devices().await;
    let id = app.sign_out_scope(&laptop, "others").await;
    let event = acknowledgement_event(&tv.token, id, Some(&json!({ "wiped": true })));

    let reply = app.bundle.send(event).await;

    assert_eq!(problem_of(&reply), (400, "request-invalid".to_owned()));
    let receipt = read_receipt(&app, &laptop, id).await;
    assert_eq!(part(&receipt, &tv)["state"], "not_reached");
}
