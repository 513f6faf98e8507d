//! Frames of a device: heartbeats, acknowledgements and malformed ones.

use curfew_tests::app::TestApp;
use curfew_tests::fake_aws::Intercept;
use curfew_tests::socket_events::frame;
use curfew_tests::tables;
use domain::EntryState;
use jiff::SignedDuration;
use serde_json::{Value, json};

/// Returns every row that a frame could change.
fn everything(app: &TestApp) -> Vec<String> {
    app.aws.contents(&[
        tables::ACCOUNTS,
        tables::DEVICES,
        tables::RECEIPTS,
        tables::CONNECTIONS,
    ])
}

#[tokio::test]
async fn a_heartbeat_is_never_answered_and_touches_the_session_when_a_touch_is_due() {
    let app = TestApp::new().await;
    let [device] = app.connected(["one"]).await;
    let signed_in_at = app.row(&device).await.last_active_at;
    for (after, expected) in [(299, 0), (1, 300), (299, 300), (1, 600)] {
        app.clock.advance(SignedDuration::from_secs(after));

        let reply = app.heartbeat("one").await;

        assert_eq!(
            serde_json::to_value(reply).unwrap(),
            json!({ "statusCode": 200 })
        );
        let active = app.row(&device).await.last_active_at;
        assert_eq!(active.duration_since(signed_in_at).as_secs(), expected);
    }
    assert!(app.aws.all_frames().is_empty());
}

#[tokio::test]
async fn heartbeats_extend_the_idle_limit_and_not_the_absolute_one() {
    let app = TestApp::new().await;
    let [device] = app.connected(["one"]).await;
    let step = app.bundle.limits.idle - SignedDuration::from_hours(1);
    for _ in 0..12 {
        app.clock.advance(step);
        app.heartbeat("one").await;
    }
    assert!(app.aws.is_open("one"));
    let expires_at = app.row(&device).await.expires_at;
    let last = expires_at.duration_since(app.clock.now()) - SignedDuration::from_secs(1);
    app.clock.advance(last);
    app.heartbeat("one").await;
    assert!(app.aws.is_open("one"));

    app.clock.advance(SignedDuration::from_secs(1));
    app.heartbeat("one").await;

    assert!(!app.aws.is_open("one"), "closed without a frame");
    assert!(app.aws.all_frames().is_empty());
    assert!(app.aws.rows(tables::CONNECTIONS).is_empty());
}

#[tokio::test]
async fn a_frame_of_an_ended_session_is_in_the_receipt_and_answered_only_by_the_revocation() {
    let long = "x".repeat(5_000);
    let frames = [
        r#"{"type":"heartbeat"}"#,
        "no JSON",
        r#"{"type":"wipe"}"#,
        r#"{"type":"acknowledgement"}"#,
        r#"{"type":"acknowledgement","sign_out":"0199c0de-0000-7000-8000-000000000000"}"#,
        &long,
    ];
    for scope in ["device", "others", "global", "password"] {
        for text in frames {
            let app = TestApp::new().await;
            let [laptop, device] = app.connected(["laptop", "device"]).await;
            let sign_out = match scope {
                "device" => app.sign_out_device(&laptop, &device).await,
                "password" => app.change_password(&laptop, true).await,
                scope => app.sign_out_scope(&laptop, scope).await,
            };
            app.clock.advance(SignedDuration::from_mins(6));

            app.frame("device", text).await;

            assert!(app.aws.frames("device").is_empty(), "{text}");
            let states = app.states(&device, sign_out).await;
            assert_eq!(states[&device.id], EntryState::Seen, "{text}");
            app.drain().await;
            let frames = app.aws.frames("device");
            assert_eq!(frames.len(), 1, "{text}");
            assert_eq!(frames[0]["type"], "session-revoked");
            assert_eq!(frames[0]["sign_out"], json!(sign_out));
            assert!(!app.aws.is_open("device"));
            let all = app.aws.all_frames().into_iter();
            assert!(all.map(|(to, _)| to).all(|to| to == "device"));
        }
    }
}

#[tokio::test]
async fn a_session_that_ends_during_its_heartbeat_is_not_treated_as_valid() {
    let app = TestApp::new().await;
    let [laptop, device] = app.connected(["laptop", "device"]).await;
    // The function reads the row from before the sign-out, until it writes the touch.
    let before = app.aws.rows(tables::DEVICES);
    let sign_out = app.sign_out_device(&laptop, &device).await;
    let ended = app.aws.rows(tables::DEVICES);
    let id = json!(device.id);
    let of_device = |rows: Vec<Value>| {
        let mut rows = rows.into_iter();
        rows.find(|row| row["device_id"]["S"] == id).unwrap()
    };
    let (before, ended) = (of_device(before), of_device(ended));
    let engine = app.aws.engine.clone();
    engine.put(tables::DEVICES, &before);
    app.aws.intercept(move |call| {
        if call.operation == "UpdateItem" && call.body.contains("last_active_at") {
            engine.put(tables::DEVICES, &ended);
        }
        Intercept::Make
    });
    app.clock.advance(SignedDuration::from_mins(6));

    app.heartbeat("device").await;

    assert_eq!(app.aws.take_queued().len(), 1, "a push is requested");
    let states = app.states(&device, sign_out).await;
    assert_eq!(states[&device.id], EntryState::Seen);
}

#[tokio::test]
async fn an_acknowledgement_is_in_the_receipt_and_ends_the_socket() {
    for scope in ["device", "global"] {
        let app = TestApp::new().await;
        let [laptop, device] = app.connected(["laptop", "device"]).await;
        let sign_out = app.sign_out(&laptop, &device, scope).await;
        app.push(&app.event_of(device.account, sign_out).await)
            .await;

        app.acknowledge("device", sign_out).await;

        let states = app.states(&device, sign_out).await;
        assert_eq!(states[&device.id], EntryState::Wiped);
        assert!(!app.aws.is_open("device"));
        let rows = app.aws.rows(tables::CONNECTIONS);
        assert!(rows.iter().all(|row| row["connection_id"]["S"] == "laptop"));
        assert_eq!(app.aws.frames("device").len(), 1, "the revocation");

        // A second acknowledgement and the close after the grace change nothing.
        let after = everything(&app);
        app.acknowledge("device", sign_out).await;
        assert_eq!(everything(&app), after);
        app.drain().await;
        assert_eq!(app.states(&device, sign_out).await, states);
        assert_eq!(app.aws.frames("device").len(), 1);
    }
}

#[tokio::test]
async fn an_acknowledgement_may_come_before_the_push() {
    let app = TestApp::new().await;
    let [laptop, device] = app.connected(["laptop", "device"]).await;
    let sign_out = app.sign_out_device(&laptop, &device).await;

    app.acknowledge("device", sign_out).await;
    app.push(&app.event_of(device.account, sign_out).await)
        .await;
    app.drain().await;

    let states = app.states(&device, sign_out).await;
    assert_eq!(states[&device.id], EntryState::Wiped);
    assert!(app.aws.frames("device").is_empty());
}

#[tokio::test]
async fn a_wrong_frame_is_answered_by_its_problem_and_changes_nothing() {
    let app = TestApp::new().await;
    let [laptop, device, other] = app.connected(["laptop", "device", "other"]).await;
    let of_other = app.sign_out_device(&laptop, &other).await;
    let [theirs, ended] = app.other_account().await;
    let of_another_account = app.sign_out_device(&theirs, &ended).await;
    let before = everything(&app);
    let acknowledge = |id: &str| json!({ "type": "acknowledgement", "sign_out": id }).to_string();
    let padded = format!(r#"{{"type":"heartbeat"}}{}"#, " ".repeat(4_077));
    assert_eq!(padded.len(), 4_097);
    let deep = format!(r#"{{"type":{}"#, "[".repeat(2_000));
    let not_found = "sign-out-not-found";
    let invalid = "request-invalid";
    let cases: [(&str, &str, Option<&str>); 24] = [
        ("", invalid, Some("frame")),
        ("no JSON", invalid, Some("frame")),
        ("{", invalid, Some("frame")),
        ("[]", invalid, Some("frame")),
        ("null", invalid, Some("frame")),
        ("\"heartbeat\"", invalid, Some("frame")),
        (r#"["heartbeat",null]"#, invalid, Some("frame")),
        (r#"{"type":"heartbeat"} {}"#, invalid, Some("frame")),
        ("{}", invalid, Some("type")),
        (r#"{"type":null}"#, invalid, Some("type")),
        (r#"{"type":7}"#, invalid, Some("type")),
        (r#"{"type":"wipe"}"#, invalid, Some("type")),
        (r#"{"type":"Heartbeat"}"#, invalid, Some("type")),
        (r#"{"type":"session-revoked"}"#, invalid, Some("type")),
        (
            r#"{"type":"heartbeat","type":"heartbeat"}"#,
            invalid,
            Some("type"),
        ),
        (r#"{"type":"heartbeat","at":"now"}"#, invalid, Some("at")),
        (
            r#"{"type":"heartbeat","sign_out":"0199c0de-0000-7000-8000-000000000000"}"#,
            invalid,
            Some("sign_out"),
        ),
        (r#"{"type":"acknowledgement"}"#, invalid, Some("sign_out")),
        (
            r#"{"type":"acknowledgement","sign_out":7}"#,
            invalid,
            Some("sign_out"),
        ),
        (&padded, invalid, Some("frame")),
        (&deep, invalid, Some("frame")),
        (&acknowledge("no id"), not_found, None),
        (&acknowledge(&of_other.to_string()), not_found, None),
        (
            &acknowledge(&of_another_account.to_string()),
            not_found,
            None,
        ),
    ];
    for (n, (text, problem, field)) in cases.into_iter().enumerate() {
        let reply = app.frame("device", text).await;

        assert_eq!(
            serde_json::to_value(reply).unwrap(),
            json!({ "statusCode": 200 })
        );
        let frames = app.aws.frames("device");
        assert_eq!(frames.len(), n + 1, "{text}");
        let frame = &frames[n];
        assert_eq!(frame["type"], "problem", "{text}");
        let kind = format!("urn:curfew:problem:{problem}");
        assert_eq!(frame["problem"]["type"], kind, "{text}");
        assert_eq!(frame["problem"]["field"].as_str(), field, "{text}");
        assert!(frame["problem"]["detail"].is_string() || field.is_none());
        assert_eq!(everything(&app), before, "{text}");
    }
    // None of them ended the session or the socket.
    let session = app.bundle.who_am_i(&device.token).await;
    assert_eq!(session.status_code, 200);
    assert!(app.aws.is_open("device"));
    assert!(app.aws.take_queued().is_empty());
}

#[tokio::test]
async fn a_frame_of_4_096_bytes_is_accepted() {
    let app = TestApp::new().await;
    let _device = app.connected(["one"]).await;
    let padded = format!(r#"{{"type":"heartbeat"}}{}"#, " ".repeat(4_076));
    assert_eq!(padded.len(), 4_096);
    app.frame("one", &padded).await;
    assert!(app.aws.frames("one").is_empty());
}

#[tokio::test]
async fn a_binary_frame_is_refused() {
    let app = TestApp::new().await;
    let _device = app.connected(["one"]).await;
    let mut event = serde_json::to_value(frame("one", "eyJ0eXBlIjoiaGVhcnRiZWF0In0=")).unwrap();
    event["isBase64Encoded"] = json!(true);
    let event = serde_json::from_value(event).unwrap();
    app.socket_event(event).await;
    assert_eq!(app.aws.frames("one")[0]["problem"]["field"], "frame");
}

#[tokio::test]
async fn a_signed_in_device_can_acknowledge_no_sign_out_of_its_account() {
    let app = TestApp::new().await;
    let [laptop, device] = app.connected(["laptop", "device"]).await;
    let sign_out = app.sign_out_scope(&laptop, "others").await;
    let before = app.states(&laptop, sign_out).await;

    app.acknowledge("laptop", sign_out).await;

    let refused = &app.aws.frames("laptop")[0];
    assert_eq!(
        refused["problem"]["type"],
        "urn:curfew:problem:sign-out-not-found"
    );
    assert_eq!(app.states(&laptop, sign_out).await, before);
    assert_eq!(before[&device.id], EntryState::NotReached);
    assert!(!before.contains_key(&laptop.id));
    assert!(app.aws.is_open("laptop"));
}

#[tokio::test]
async fn an_ended_session_acknowledges_only_the_sign_out_that_ended_it() {
    let app = TestApp::new().await;
    let [laptop, device] = app.connected(["laptop", "device"]).await;
    let others = app.sign_out_scope(&laptop, "others").await;
    let global = app.sign_out_scope(&laptop, "global").await;

    app.acknowledge("device", global).await;

    assert!(!app.states(&device, global).await.contains_key(&device.id));
    let states = app.states(&device, others).await;
    assert_eq!(states[&device.id], EntryState::Seen);
    app.acknowledge("device", others).await;
    let states = app.states(&device, others).await;
    assert_eq!(states[&device.id], EntryState::Wiped);
}

#[tokio::test]
async fn an_old_socket_of_a_device_that_signed_in_again_acts_only_for_its_old_session() {
    let app = TestApp::new().await;
    let [laptop, device] = app.connected(["laptop", "old"]).await;
    app.open(&device, "older").await;
    let first = app.sign_out_scope(&laptop, "others").await;
    let again = app.sign_in_again(&device).await;
    app.open(&again, "new").await;
    let second = app.sign_out_device(&laptop, &again).await;

    // The second sign-out ended the new session, which only "new" belongs to.
    app.acknowledge("old", second).await;
    assert!(app.aws.frames("old").is_empty());
    assert!(!app.aws.is_open("old"));
    let states = app.states(&device, second).await;
    assert_eq!(states[&device.id], EntryState::NotReached);

    app.acknowledge("older", first).await;
    let states = app.states(&device, first).await;
    assert_eq!(states[&device.id], EntryState::Wiped);
    let states = app.states(&device, second).await;
    assert_eq!(states[&device.id], EntryState::NotReached);
}

#[tokio::test]
async fn a_socket_without_a_row_is_closed_once_the_index_must_have_it() {
    let app = TestApp::new().await;
    app.aws.open("unknown");
    for seconds in [0, 9] {
        app.clock.advance(SignedDuration::from_secs(seconds));
        assert_eq!(app.heartbeat("unknown").await.status_code, 200);
        assert!(app.aws.is_open("unknown"), "the index may lag behind");
    }
    app.clock.advance(SignedDuration::from_secs(1));
    app.aws.clear_calls();

    let reply = app.heartbeat("unknown").await;

    assert_eq!(reply.status_code, 200);
    assert!(!app.aws.is_open("unknown"));
    assert!(app.aws.all_frames().is_empty());
    let calls = app.aws.take_operations();
    assert!(
        calls
            .iter()
            .all(|call| call == "Query" || call == "DeleteConnection"),
        "{calls:?}"
    );
}

#[tokio::test]
async fn a_frame_whose_tables_fail_is_not_answered_and_leaves_the_socket_open() {
    for is_ended in [false, true] {
        for (text, calls) in [(r#"{"type":"heartbeat"}"#, 7), ("no JSON", 6)] {
            for number in 1..=calls {
                let app = TestApp::new().await;
                let [laptop, device] = app.connected(["laptop", "device"]).await;
                if is_ended {
                    app.sign_out_device(&laptop, &device).await;
                }
                app.clock.advance(SignedDuration::from_mins(6));
                app.aws.fail_call(number, false);

                let reply = app.frame("device", text).await;

                assert_eq!(
                    serde_json::to_value(reply).unwrap(),
                    json!({ "statusCode": 200 })
                );
                app.aws.restore();
                let frames = app.aws.frames("device");
                assert!(frames.is_empty() || (!is_ended && text == "no JSON"));
                assert!(app.aws.is_open("device"), "the socket was closed");
                let session = app.bundle.who_am_i(&device.token).await;
                assert_eq!(session.status_code, if is_ended { 401 } else { 200 });
                // The next frame is processed.
                app.heartbeat("device").await;
                assert_eq!(app.aws.take_queued().is_empty(), !is_ended);
            }
        }
    }
}
