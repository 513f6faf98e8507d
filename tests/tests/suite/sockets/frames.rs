//! Frames of a device: heartbeats, acknowledgements, and what is neither.

use std::collections::BTreeMap;

use curfew_tests::sockets::{Member, PASSWORD, Verdict, World, frame};
use curfew_tests::tables;
use curfew_tests::wire::Fate;
use domain::{EntryState, SignOutId};
use jiff::SignedDuration;
use serde_json::{Value, json};

/// Every row that a frame could change.
fn everything(world: &World) -> Vec<String> {
    let tables = [
        tables::ACCOUNTS,
        tables::DEVICES,
        tables::RECEIPTS,
        tables::CONNECTIONS,
    ];
    let mut rows: Vec<String> = tables
        .iter()
        .flat_map(|table| world.gateway.rows(table))
        .map(|row| {
            let row: BTreeMap<String, Value> = serde_json::from_value(row).unwrap();
            format!("{row:?}")
        })
        .collect();
    rows.sort();
    rows
}

#[tokio::test]
async fn a_heartbeat_is_never_answered_and_touches_the_session_when_that_is_due() {
    let world = World::new().await;
    let [device] = world.connected(["one"]).await;
    let signed_in_at = world.row(&device).await.last_active_at;
    for (after, expected) in [(299, 0), (1, 300), (299, 300), (1, 600)] {
        world.clock.advance(SignedDuration::from_secs(after));

        let reply = world.heartbeat("one").await;

        assert_eq!(
            serde_json::to_value(reply).unwrap(),
            json!({ "statusCode": 200 })
        );
        let active = world.row(&device).await.last_active_at;
        assert_eq!(active.duration_since(signed_in_at).as_secs(), expected);
    }
    assert!(world.gateway.all_frames().is_empty());
}

#[tokio::test]
async fn heartbeats_keep_a_session_from_running_idle_and_not_past_its_absolute_limit() {
    let world = World::new().await;
    let [device] = world.connected(["one"]).await;
    let step = world.bundle.limits.idle - SignedDuration::from_hours(1);
    for _ in 0..12 {
        world.clock.advance(step);
        world.heartbeat("one").await;
    }
    assert!(world.gateway.is_open("one"));
    let expires_at = world.row(&device).await.expires_at;
    let last = expires_at.duration_since(world.clock.now()) - SignedDuration::from_secs(1);
    world.clock.advance(last);
    world.heartbeat("one").await;
    assert!(world.gateway.is_open("one"));

    world.clock.advance(SignedDuration::from_secs(1));
    world.heartbeat("one").await;

    assert!(!world.gateway.is_open("one"), "ended without a word");
    assert!(world.gateway.all_frames().is_empty());
    assert!(world.gateway.rows(tables::CONNECTIONS).is_empty());
}

#[tokio::test]
async fn a_frame_of_a_dead_session_is_in_the_receipt_and_answered_by_the_revocation_alone() {
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
            let world = World::new().await;
            let [laptop, device] = world.connected(["laptop", "device"]).await;
            let sign_out = match scope {
                "device" => world.sign_out_device(&laptop, &device).await,
                "password" => change_password(&world, &laptop).await,
                scope => world.sign_out_all(&laptop, scope).await,
            };
            world.clock.advance(SignedDuration::from_mins(6));

            world.frame("device", text).await;

            assert!(world.gateway.frames("device").is_empty(), "{text}");
            let states = world.states(&device, sign_out).await;
            assert_eq!(states[&device.device], EntryState::Contacted, "{text}");
            world.drain().await;
            let told = world.gateway.frames("device");
            assert_eq!(told.len(), 1, "{text}");
            assert_eq!(told[0]["type"], "session-revoked");
            assert_eq!(told[0]["sign_out"], json!(sign_out));
            assert!(!world.gateway.is_open("device"));
            let heard = world.gateway.all_frames().into_iter();
            assert!(heard.map(|(to, _)| to).all(|to| to == "device"));
        }
    }
}

async fn change_password(world: &World, by: &Member) -> SignOutId {
    let new = "eleven lanterns drift past the harbour";
    let reply = world
        .bundle
        .change_password(&by.token, PASSWORD, new, true)
        .await;
    let body = curfew_tests::bundle::json_of(&reply);
    let id = body["sign_out"]["id"].as_str().unwrap();
    id.parse().unwrap()
}

#[tokio::test]
async fn a_session_that_ends_under_its_heartbeat_is_not_taken_for_a_living_one() {
    let world = World::new().await;
    let [laptop, device] = world.connected(["laptop", "device"]).await;
    let sign_out = world.sign_out_device(&laptop, &device).await;
    let ended = world.gateway.rows(tables::DEVICES);
    let id = json!(device.device);
    let of_device = |rows: Vec<Value>| {
        let mut rows = rows.into_iter();
        rows.find(|row| row["device_id"]["S"] == id).unwrap()
    };
    let ended = of_device(ended);
    // The row as it was before, until the touch comes.
    let mut before = ended.clone();
    before["state"]["S"] = json!("signed_in");
    let engine = world.gateway.engine.clone();
    engine.put(tables::DEVICES, &before);
    world.gateway.judge(move |call| {
        if call.operation == "UpdateItem" && call.body.contains("last_active_at") {
            engine.put(tables::DEVICES, &ended);
        }
        Verdict::Made
    });
    world.clock.advance(SignedDuration::from_mins(6));

    world.heartbeat("device").await;

    assert_eq!(world.gateway.take_queued().len(), 1, "a push is asked for");
    let states = world.states(&device, sign_out).await;
    assert_eq!(states[&device.device], EntryState::Contacted);
}

#[tokio::test]
async fn an_acknowledgement_is_in_the_receipt_and_ends_the_socket() {
    for scope in ["device", "global"] {
        let world = World::new().await;
        let [laptop, device] = world.connected(["laptop", "device"]).await;
        let sign_out = match scope {
            "device" => world.sign_out_device(&laptop, &device).await,
            scope => world.sign_out_all(&laptop, scope).await,
        };
        world.push(&world.event_of(&device, sign_out).await).await;

        world.acknowledge("device", sign_out).await;

        let states = world.states(&device, sign_out).await;
        assert_eq!(states[&device.device], EntryState::Acknowledged);
        assert!(!world.gateway.is_open("device"));
        let rows = world.gateway.rows(tables::CONNECTIONS);
        assert!(rows.iter().all(|row| row["connection_id"]["S"] == "laptop"));
        assert_eq!(world.gateway.frames("device").len(), 1, "the revocation");

        // What comes after it, and the close after the grace, changes nothing.
        let after = everything(&world);
        world.acknowledge("device", sign_out).await;
        assert_eq!(everything(&world), after);
        world.drain().await;
        assert_eq!(world.states(&device, sign_out).await, states);
        assert_eq!(world.gateway.frames("device").len(), 1);
    }
}

#[tokio::test]
async fn an_acknowledgement_may_come_before_the_push() {
    let world = World::new().await;
    let [laptop, device] = world.connected(["laptop", "device"]).await;
    let sign_out = world.sign_out_device(&laptop, &device).await;

    world.acknowledge("device", sign_out).await;
    world.push(&world.event_of(&device, sign_out).await).await;
    world.drain().await;

    let states = world.states(&device, sign_out).await;
    assert_eq!(states[&device.device], EntryState::Acknowledged);
    assert!(world.gateway.frames("device").is_empty());
}

#[tokio::test]
async fn what_is_wrong_with_a_frame_is_said_and_nothing_is_changed() {
    let world = World::new().await;
    let [laptop, device, other] = world.connected(["laptop", "device", "other"]).await;
    let of_other = world.sign_out_device(&laptop, &other).await;
    let stranger = "mo@example.com";
    let registered = world.bundle.register(stranger, PASSWORD).await;
    assert_eq!(registered.status_code, 202);
    let strangers = [
        world.sign_in_to(stranger, None).await,
        world.sign_in_to(stranger, None).await,
    ];
    let of_stranger = world.sign_out_device(&strangers[0], &strangers[1]).await;
    let before = everything(&world);
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
        (&acknowledge(&of_stranger.to_string()), not_found, None),
    ];
    for (n, (text, problem, field)) in cases.into_iter().enumerate() {
        let reply = world.frame("device", text).await;

        assert_eq!(
            serde_json::to_value(reply).unwrap(),
            json!({ "statusCode": 200 })
        );
        let frames = world.gateway.frames("device");
        assert_eq!(frames.len(), n + 1, "{text}");
        let frame = &frames[n];
        assert_eq!(frame["type"], "problem", "{text}");
        let kind = format!("urn:curfew:problem:{problem}");
        assert_eq!(frame["problem"]["type"], kind, "{text}");
        assert_eq!(frame["problem"]["field"].as_str(), field, "{text}");
        assert!(frame["problem"]["detail"].is_string() || field.is_none());
        assert_eq!(everything(&world), before, "{text}");
    }
    // Not one of them has ended it.
    let who = world.bundle.who_am_i(&device.token).await;
    assert_eq!(who.status_code, 200);
    assert!(world.gateway.is_open("device"));
    assert!(world.gateway.take_queued().is_empty());
}

#[tokio::test]
async fn a_frame_of_4_096_bytes_is_taken() {
    let world = World::new().await;
    let _device = world.connected(["one"]).await;
    let padded = format!(r#"{{"type":"heartbeat"}}{}"#, " ".repeat(4_076));
    assert_eq!(padded.len(), 4_096);
    world.frame("one", &padded).await;
    assert!(world.gateway.frames("one").is_empty());
}

#[tokio::test]
async fn a_frame_that_is_not_text_is_refused() {
    let world = World::new().await;
    let _device = world.connected(["one"]).await;
    let mut event = serde_json::to_value(frame("one", "eyJ0eXBlIjoiaGVhcnRiZWF0In0=")).unwrap();
    event["isBase64Encoded"] = json!(true);
    let event = serde_json::from_value(event).unwrap();
    socket::handle(&world.socket, event).await;
    assert_eq!(world.gateway.frames("one")[0]["problem"]["field"], "frame");
}

#[tokio::test]
async fn a_device_that_is_signed_in_acknowledges_nothing_of_its_own_account() {
    let world = World::new().await;
    let [laptop, device] = world.connected(["laptop", "device"]).await;
    let sign_out = world.sign_out_all(&laptop, "others").await;
    let before = world.states(&laptop, sign_out).await;

    world.acknowledge("laptop", sign_out).await;

    let refused = &world.gateway.frames("laptop")[0];
    assert_eq!(
        refused["problem"]["type"],
        "urn:curfew:problem:sign-out-not-found"
    );
    assert_eq!(world.states(&laptop, sign_out).await, before);
    assert_eq!(before[&device.device], EntryState::Refused);
    assert!(!before.contains_key(&laptop.device));
    assert!(world.gateway.is_open("laptop"));
}

#[tokio::test]
async fn a_dead_session_acknowledges_the_sign_out_that_ended_it_and_no_other() {
    let world = World::new().await;
    let [laptop, device] = world.connected(["laptop", "device"]).await;
    let others = world.sign_out_all(&laptop, "others").await;
    let global = world.sign_out_all(&laptop, "global").await;

    world.acknowledge("device", global).await;

    assert!(
        !world
            .states(&device, global)
            .await
            .contains_key(&device.device)
    );
    let states = world.states(&device, others).await;
    assert_eq!(states[&device.device], EntryState::Contacted);
    world.acknowledge("device", others).await;
    let states = world.states(&device, others).await;
    assert_eq!(states[&device.device], EntryState::Acknowledged);
}

#[tokio::test]
async fn an_old_socket_of_a_device_that_has_signed_in_again_speaks_for_its_old_session_alone() {
    let world = World::new().await;
    let [laptop, device] = world.connected(["laptop", "old"]).await;
    world.open(&device, "older").await;
    let first = world.sign_out_all(&laptop, "others").await;
    let (again, _) = world.sign_in_again(&device).await;
    world.open(&again, "new").await;
    let second = world.sign_out_device(&laptop, &again).await;

    // The second sign-out ended the new session, which only "new" speaks for.
    world.acknowledge("old", second).await;
    assert!(world.gateway.frames("old").is_empty());
    assert!(!world.gateway.is_open("old"));
    let states = world.states(&device, second).await;
    assert_eq!(states[&device.device], EntryState::Refused);

    world.acknowledge("older", first).await;
    let states = world.states(&device, first).await;
    assert_eq!(states[&device.device], EntryState::Acknowledged);
    let states = world.states(&device, second).await;
    assert_eq!(states[&device.device], EntryState::Refused);
}

#[tokio::test]
async fn a_socket_that_nobody_knows_is_ended_and_that_is_all() {
    let world = World::new().await;
    world.gateway.open("unknown");
    world.gateway.forget_calls();

    let reply = world.heartbeat("unknown").await;

    assert_eq!(reply.status_code, 200);
    assert!(!world.gateway.is_open("unknown"));
    assert!(world.gateway.all_frames().is_empty());
    let calls = world.gateway.take_calls();
    assert!(
        calls
            .iter()
            .all(|call| call == "Query" || call == "DeleteConnection"),
        "{calls:?}"
    );
}

#[tokio::test]
async fn a_frame_that_can_t_be_worked_through_is_not_answered_and_no_verdict() {
    for is_dead in [false, true] {
        for (text, calls) in [(r#"{"type":"heartbeat"}"#, 7), ("no JSON", 6)] {
            for dies_at in 1..=calls {
                let world = World::new().await;
                let [laptop, device] = world.connected(["laptop", "device"]).await;
                if is_dead {
                    world.sign_out_device(&laptop, &device).await;
                }
                world.clock.advance(SignedDuration::from_mins(6));
                let mut call = 0;
                world.gateway.judge(move |_| {
                    call += 1;
                    if call == dies_at {
                        Verdict::Instead(Fate::Broken)
                    } else {
                        Verdict::Made
                    }
                });

                let reply = world.frame("device", text).await;

                assert_eq!(
                    serde_json::to_value(reply).unwrap(),
                    json!({ "statusCode": 200 })
                );
                world.gateway.mend();
                let frames = world.gateway.frames("device");
                assert!(frames.is_empty() || (!is_dead && text == "no JSON"));
                assert!(world.gateway.is_open("device"), "no verdict");
                let who = world.bundle.who_am_i(&device.token).await;
                assert_eq!(who.status_code, if is_dead { 401 } else { 200 });
                // The next frame goes its way.
                world.heartbeat("device").await;
                assert_eq!(world.gateway.take_queued().is_empty(), !is_dead);
            }
        }
    }
}
