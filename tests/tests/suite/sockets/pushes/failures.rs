//! Lost sockets, failing calls and malformed messages.

use std::collections::BTreeMap;

use curfew_tests::account::TestDevice;
use curfew_tests::app::TestApp;
use curfew_tests::tables;
use domain::{EntryState, SignOutId};
use jiff::SignedDuration;
use serde_json::json;

use super::{revoked_by, rows};

#[tokio::test]
async fn the_row_of_a_lost_socket_is_deleted_and_the_message_succeeds() {
    let app = TestApp::new().await;
    let [laptop, device] = app.connected(["laptop", "device"]).await;
    let sign_out = app.sign_out_scope(&laptop, "global").await;
    app.aws.lose("device");
    app.clock.advance(SignedDuration::from_secs(30));

    app.push(&app.event_of(device.account, sign_out).await)
        .await;

    assert_eq!(rows(&app), ["laptop"]);
    assert_eq!(
        revoked_by(&app, ["laptop", "device"]),
        [Some(sign_out), None]
    );
    let states = app.states(&device, sign_out).await;
    assert_eq!(states[&device.id], EntryState::NotReached);
}

#[tokio::test]
async fn a_socket_that_is_still_opening_gets_its_revocation_later() {
    let app = TestApp::new().await;
    let laptop = app.sign_in(None).await;
    let device = app.sign_in(None).await;
    app.open(&device, "device").await;
    app.aws.lose("device"); // The gateway has not registered it yet.
    let sign_out = app.sign_out_device(&laptop, &device).await;

    app.push(&app.event_of(device.account, sign_out).await)
        .await;

    assert_eq!(rows(&app), ["device"]);
    let queued = app.aws.take_queued();
    assert_eq!(queued.len(), 1);
    assert_eq!(queued[0].delay_s, 10);
    app.aws.open("device");
    app.clock.advance(SignedDuration::from_secs(10));
    app.push(&queued[0].body).await;
    assert_eq!(revoked_by(&app, ["device"]), [Some(sign_out)]);
    app.drain().await;
    assert!(!app.aws.is_open("device"));
    assert!(rows(&app).is_empty());
}

#[tokio::test]
async fn the_row_of_a_socket_that_never_opens_is_deleted_after_thirty_seconds() {
    for (age, left) in [(29_999, 1), (30_000, 0)] {
        let app = TestApp::new().await;
        let laptop = app.sign_in(None).await;
        let device = app.sign_in(None).await;
        app.open(&device, "device").await;
        let opened_at = app.clock.now();
        app.aws.lose("device");
        let sign_out = app.sign_out_device(&laptop, &device).await;
        let body = app.event_of(device.account, sign_out).await;
        let since = app.clock.now().duration_since(opened_at);
        app.clock.advance(SignedDuration::from_millis(age) - since);

        app.push(&body).await;

        assert_eq!(rows(&app).len(), left, "{age} ms");
        app.drain().await;
        assert!(rows(&app).is_empty());
    }
}

#[tokio::test]
async fn a_socket_of_a_replaced_session_that_is_still_opening_is_closed() {
    let app = TestApp::new().await;
    let device = app.sign_in(None).await;
    app.open(&device, "old").await;
    app.aws.lose("old"); // The gateway has not registered it yet.
    let (_, replaced) = app.replace_session(&device).await;

    app.push(&replaced).await;
    app.aws.open("old");
    app.drain().await;

    assert!(!app.aws.is_open("old"));
    assert!(rows(&app).is_empty());
    assert_eq!(revoked_by(&app, ["old"]), [None]);
}

#[tokio::test]
async fn a_failed_frame_is_retried_by_itself_and_delays_no_other_socket() {
    for status in [429, 500, 503, 403] {
        let app = TestApp::new().await;
        let [laptop, device, tv] = app.connected(["laptop", "device", "tv"]).await;
        let first = app.sign_out_device(&laptop, &device).await;
        let rest = app.sign_out_scope(&laptop, "global").await;
        let body = app.event_of(laptop.account, rest).await;
        app.aws.answer_frames_with("device", status);

        assert_eq!(app.deliver(&["null", &body]).await, [0], "{status}");

        let sockets = ["laptop", "device", "tv"];
        assert_eq!(revoked_by(&app, sockets), [Some(rest), None, Some(rest)]);
        let states = app.states(&laptop, rest).await;
        assert_eq!(states[&laptop.id], EntryState::Notified);
        assert_eq!(states[&tv.id], EntryState::Notified);
        let states = app.states(&laptop, first).await;
        assert_eq!(states[&device.id], EntryState::NotReached);
        let queued = app.aws.take_queued();
        let delays: Vec<_> = queued.iter().map(|queued| queued.delay_s).collect();
        assert_eq!(
            delays,
            [5, 10],
            "a close for the others, a retry for this one"
        );
        app.push(&queued[0].body).await;
        assert_eq!(rows(&app), ["device"]);

        // The retry fails only its own message, until the queue redrives it.
        let later = queued[1].body.as_str();
        assert_eq!(app.deliver(&[later]).await, [0], "{status}");
        assert!(app.aws.take_queued().is_empty());
        app.aws.restore();
        app.push(later).await;
        app.drain().await;
        assert_eq!(
            revoked_by(&app, sockets),
            [Some(rest), Some(first), Some(rest)]
        );
        let states = app.states(&laptop, first).await;
        assert_eq!(states[&device.id], EntryState::Notified);
        assert!(rows(&app).is_empty());
    }
}

#[tokio::test]
async fn a_malformed_message_fails_alone() {
    let malformed = [
        "",
        "null",
        "{}",
        "no JSON",
        r#"{"check":{}}"#,
        r#"{"check":{"account_id":"x","connection_id":"one"}}"#,
        r#"{"close":{"account_id":"x","connection_ids":[]}}"#,
        r#"{"wipe":{}}"#,
        r#"{"Type":"Notification","Message":"{}"}"#,
    ];
    for body_of_one in malformed {
        let app = TestApp::new().await;
        let [laptop, device] = app.connected(["laptop", "device"]).await;
        let sign_out = app.sign_out_device(&laptop, &device).await;
        let body = app.event_of(device.account, sign_out).await;

        let failed = app.deliver(&[body_of_one, &body, body_of_one]).await;

        assert_eq!(failed, [0, 2], "{body_of_one}");
        assert_eq!(
            revoked_by(&app, ["laptop", "device"]),
            [None, Some(sign_out)]
        );
    }
}

#[tokio::test]
async fn a_corrupt_row_fails_only_the_messages_of_its_account() {
    let app = TestApp::new().await;
    let [laptop, device] = app.connected(["laptop", "device"]).await;
    let others: [TestDevice; 2] = app.other_account().await;
    app.open(&others[1], "other").await;
    let mut corrupt = app.aws.rows(tables::CONNECTIONS)[0].clone();
    corrupt["account_id"]["S"] = json!(laptop.account);
    corrupt["connection_id"]["S"] = json!("corrupt");
    corrupt["epoch"] = json!({ "S": "one" });
    app.aws.engine.put(tables::CONNECTIONS, &corrupt);
    let of_corrupt = app.sign_out_device(&laptop, &device).await;
    let of_other = app.sign_out_device(&others[0], &others[1]).await;
    let bodies = [
        app.event_of(device.account, of_corrupt).await,
        app.event_of(others[1].account, of_other).await,
    ];

    let failed = app.deliver(&[&bodies[0], &bodies[1]]).await;

    assert_eq!(failed, [0]);
    assert_eq!(revoked_by(&app, ["other"]), [Some(of_other)]);
}

/// Signs out the others of a laptop: four devices with five sockets, one of which is
/// lost, and one that has signed in again. Returns the message about it.
async fn signed_out_others() -> (TestApp, TestDevice, SignOutId, String) {
    let app = TestApp::new().await;
    let [laptop, device, _tv, replaced] =
        app.connected(["laptop", "device", "tv", "replaced"]).await;
    app.open(&device, "device-2").await;
    let gone = app.sign_in(None).await;
    app.open(&gone, "gone").await;
    app.aws.lose("gone");
    let sign_out = app.sign_out_scope(&laptop, "others").await;
    app.sign_in(Some(&replaced.key)).await;
    app.clock.advance(SignedDuration::from_secs(25));
    let body = app.event_of(laptop.account, sign_out).await;
    app.aws.clear_calls();
    (app, laptop, sign_out, body)
}

#[tokio::test]
async fn a_push_that_fails_at_any_call_leads_to_the_same_end() {
    let (undisturbed, laptop, sign_out, body) = Box::pin(signed_out_others()).await;
    undisturbed.push(&body).await;
    undisturbed.drain().await;
    let calls = undisturbed.aws.take_operations().len();
    assert!(calls > 20, "{calls}");
    let states = undisturbed.states(&laptop, sign_out).await;
    assert_eq!(rows(&undisturbed), ["laptop"]);
    let sockets = ["laptop", "device", "device-2", "tv", "replaced", "gone"];

    let mut kills = 0;
    for number in 1..=calls {
        for is_made in [false, true] {
            let (app, laptop, sign_out, body) = Box::pin(signed_out_others()).await;
            app.aws.fail_call(number, is_made);
            kills += 1;

            // The queue delivers a failed message again.
            for _ in 0..3 {
                if app.deliver(&[&body]).await.is_empty() {
                    break;
                }
            }
            app.drain().await;

            assert_eq!(rows(&app), ["laptop"], "{number}");
            assert_eq!(app.states(&laptop, sign_out).await.len(), states.len());
            let of = app.states(&laptop, sign_out).await;
            let reached = |states: &BTreeMap<_, EntryState>| {
                let mut reached: Vec<EntryState> = states.values().copied().collect();
                reached.sort();
                reached
            };
            assert_eq!(reached(&of), reached(&states), "{number}");
            for socket in sockets {
                let is_revoked = !app.aws.frames(socket).is_empty();
                let expected = !undisturbed.aws.frames(socket).is_empty();
                assert_eq!(is_revoked, expected, "{socket} {number}");
                let of_kind = app.aws.frames(socket).into_iter();
                assert!(
                    of_kind
                        .into_iter()
                        .all(|it| it["type"] == "session-revoked")
                );
                assert_eq!(app.aws.is_open(socket), socket == "laptop", "{number}");
            }
        }
    }
    println!("push-revocations was killed {kills} times, at each of {calls} calls");
}

#[tokio::test]
async fn a_message_that_is_delivered_again_changes_nothing() {
    let (app, ..) = Box::pin(signed_out_others()).await;
    let [laptop, device] = app.connected(["again", "again-2"]).await;
    let sign_out = app.sign_out_device(&laptop, &device).await;
    let body = app.event_of(device.account, sign_out).await;
    app.push(&body).await;
    app.drain().await;
    let state = || {
        let receipts = app.aws.contents(&[tables::RECEIPTS]);
        (receipts, rows(&app), app.aws.all_frames())
    };
    let before = state();

    app.push(&body).await;
    app.drain().await;

    assert_eq!(state(), before);
}
