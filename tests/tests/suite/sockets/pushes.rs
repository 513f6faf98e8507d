//! Pushes: which frame each socket gets, which sockets are closed, and which
//! messages fail.

mod failures;
mod many;

use std::collections::BTreeMap;

use curfew_tests::app::TestApp;
use curfew_tests::tables;
use domain::{EntryState, Reason, Rfc3339, SignOutId};
use jiff::SignedDuration;
use serde_json::{Value, json};

/// Returns the sockets that have a row, sorted.
fn rows(app: &TestApp) -> Vec<String> {
    let rows = app.aws.rows(tables::CONNECTIONS);
    let mut names: Vec<String> = rows
        .iter()
        .map(|row| row["connection_id"]["S"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// Returns the sign-out in the one revocation that each socket got, or nothing for a
/// socket that got no frame.
fn revoked_by<const N: usize>(app: &TestApp, sockets: [&str; N]) -> [Option<SignOutId>; N] {
    sockets.map(|socket| {
        let frames = app.aws.frames(socket);
        assert!(frames.len() <= 1, "{socket}: {frames:?}");
        let frame = frames.first()?;
        assert_eq!(frame["type"], "session-revoked");
        Some(frame["sign_out"].as_str().unwrap().parse().unwrap())
    })
}

#[tokio::test]
async fn a_revocation_names_the_sign_out_its_time_its_reason_and_the_device_that_asked() {
    let app = TestApp::new().await;
    let [laptop, device] = app.connected(["laptop", "L0SM9cOFvHcCIhw="]).await;
    let sign_out = app.sign_out_device(&laptop, &device).await;
    let signed_out_at = app.clock.now();

    app.push(&app.event_of(device.account, sign_out).await)
        .await;

    let by = app.row(&laptop).await.info.name;
    let frame = json!({
        "type": "session-revoked",
        "sign_out": sign_out,
        "session": device.session,
        "reason": "signed_out",
        "signed_out_at": Rfc3339::from(signed_out_at),
        "signed_out_by": { "id": laptop.id, "name": by },
    });
    assert_eq!(app.aws.frames("L0SM9cOFvHcCIhw="), [frame]);
    assert!(app.aws.frames("laptop").is_empty());
    let states = app.states(&device, sign_out).await;
    assert_eq!(states, BTreeMap::from([(device.id, EntryState::Notified)]));
}

#[tokio::test]
async fn a_revocation_names_a_changed_password_and_a_disabled_account_as_the_reason() {
    for reason in [Reason::PasswordChanged, Reason::AccountDisabled] {
        let app = TestApp::new().await;
        let [laptop, device] = app.connected(["laptop", "device"]).await;
        let sign_out = match reason {
            Reason::AccountDisabled => app.disable(laptop.account).await,
            _ => app.change_password(&laptop, false).await,
        };

        app.push(&app.event_of(device.account, sign_out).await)
            .await;

        let frame = &app.aws.frames("device")[0];
        assert_eq!(frame["reason"], reason.as_str());
        let by = frame.get("signed_out_by").unwrap();
        assert_eq!(by.is_null(), reason == Reason::AccountDisabled);
        assert_eq!(revoked_by(&app, ["laptop"]), [Some(sign_out)]);
    }
}

#[tokio::test]
async fn a_device_that_does_not_acknowledge_is_disconnected_after_five_seconds() {
    let app = TestApp::new().await;
    let [laptop, device] = app.connected(["laptop", "device"]).await;
    let sign_out = app.sign_out_device(&laptop, &device).await;

    app.push(&app.event_of(device.account, sign_out).await)
        .await;

    assert!(app.aws.is_open("device"));
    let queued = app.aws.take_queued();
    assert_eq!(queued.len(), 1);
    assert_eq!(queued[0].delay_s, 5);
    app.push(&queued[0].body).await;
    assert!(!app.aws.is_open("device"));
    assert_eq!(rows(&app), ["laptop"]);
    assert!(app.aws.is_open("laptop"));
    app.push(&queued[0].body).await;
}

#[tokio::test]
async fn a_global_sign_out_reaches_every_socket_and_one_of_the_others_not_the_kept_session() {
    for scope in ["global", "others"] {
        let app = TestApp::new().await;
        let [laptop, device, tv] = app.connected(["laptop", "device", "tv"]).await;
        app.open(&laptop, "laptop-2").await;
        app.open(&tv, "tv-2").await;
        let sign_out = app.sign_out_scope(&laptop, scope).await;

        app.push(&app.event_of(laptop.account, sign_out).await)
            .await;

        let is_kept = scope == "others";
        let ended = Some(sign_out);
        let of_laptop = ended.filter(|_| !is_kept);
        let sockets = ["laptop", "laptop-2", "device", "tv", "tv-2"];
        let expected = [of_laptop, of_laptop, ended, ended, ended];
        assert_eq!(revoked_by(&app, sockets), expected);
        app.drain().await;
        for (socket, revoked) in sockets.into_iter().zip(expected) {
            assert_eq!(app.aws.is_open(socket), revoked.is_none(), "{socket}");
        }
        let states = app.states(&laptop, sign_out).await;
        let mut expected = vec![
            (device.id, EntryState::Notified),
            (tv.id, EntryState::Notified),
        ];
        if !is_kept {
            expected.push((laptop.id, EntryState::Notified));
        }
        assert_eq!(states, expected.into_iter().collect());
    }
}

#[tokio::test]
async fn sockets_of_another_account_are_left_alone() {
    let app = TestApp::new().await;
    let [laptop, _] = app.connected(["laptop", "device"]).await;
    let [other] = app.other_account().await;
    app.open(&other, "other").await;
    let sign_out = app.sign_out_scope(&laptop, "global").await;

    app.push(&app.event_of(laptop.account, sign_out).await)
        .await;
    app.drain().await;

    assert_eq!(revoked_by(&app, ["other"]), [None]);
    assert_eq!(rows(&app), ["other"]);
    assert!(app.aws.is_open("other"));
}

#[tokio::test]
async fn of_two_sign_outs_each_reaches_its_own_devices_in_either_order_of_delivery() {
    for order in [[0, 1], [1, 0]] {
        for is_one_batch in [false, true] {
            let app = TestApp::new().await;
            let [laptop, device] = app.connected(["laptop", "device"]).await;
            let others = app.sign_out_scope(&laptop, "others").await;
            let [tv] = app.connected(["tv"]).await;
            let global = app.sign_out_scope(&laptop, "global").await;
            let bodies = [
                app.event_of(laptop.account, others).await,
                app.event_of(laptop.account, global).await,
            ];
            let bodies = order.map(|n| bodies[n].as_str());

            if is_one_batch {
                assert_eq!(app.deliver(&bodies).await, [0; 0]);
            } else {
                app.push(bodies[0]).await;
                app.push(bodies[1]).await;
            }
            app.drain().await;

            let all = app.aws.all_frames();
            for (socket, sign_out) in [("laptop", global), ("device", others), ("tv", global)] {
                let frames = all.iter().filter(|(to, _)| to == socket);
                let named: Vec<&Value> = frames.map(|(_, frame)| &frame["sign_out"]).collect();
                assert!(!named.is_empty(), "{socket}");
                assert!(named.iter().all(|id| **id == json!(sign_out)), "{socket}");
            }
            let states = app.states(&laptop, others).await;
            assert_eq!(states, BTreeMap::from([(device.id, EntryState::Notified)]));
            let states = app.states(&laptop, global).await;
            let expected = [laptop.id, tv.id].map(|id| (id, EntryState::Notified));
            assert_eq!(states, expected.into_iter().collect());
        }
    }
}

#[tokio::test]
async fn a_device_that_signed_in_again_gets_no_revocation() {
    for scope in ["device", "others"] {
        let app = TestApp::new().await;
        let [laptop, device] = app.connected(["laptop", "old"]).await;
        let sign_out = app.sign_out(&laptop, &device, scope).await;
        let ended = app.event_of(device.account, sign_out).await;
        let (again, _) = app.replace_session(&device).await;
        app.open(&again, "new").await;

        app.push(&ended).await;
        app.drain().await;

        assert_eq!(revoked_by(&app, ["old", "new"]), [None, None]);
        assert!(!app.aws.is_open("old"), "closed without a frame");
        assert!(app.aws.is_open("new"));
        assert_eq!(rows(&app), ["laptop", "new"]);
        let states = app.states(&device, sign_out).await;
        assert_eq!(
            states[&device.id],
            EntryState::NotReached,
            "its part of the receipt is unchanged"
        );
    }
}

#[tokio::test]
async fn a_socket_of_a_replaced_session_is_closed_without_a_frame() {
    let app = TestApp::new().await;
    let [_, device] = app.connected(["laptop", "old"]).await;
    let (again, replaced) = app.replace_session(&device).await;
    app.open(&again, "new").await;

    app.push(&replaced).await;

    assert_eq!(
        revoked_by(&app, ["laptop", "old", "new"]),
        [None, None, None]
    );
    assert_eq!(rows(&app), ["laptop", "new"]);
    assert_eq!(app.aws.closed(), ["old"]);
    assert!(app.aws.take_queued().is_empty());
}

#[tokio::test]
async fn the_tables_decide_which_sessions_have_ended_and_not_the_message() {
    let app = TestApp::new().await;
    let [laptop, device] = app.connected(["laptop", "device"]).await;
    let sign_out = app.sign_out_device(&laptop, &device).await;
    let body = app.event_of(device.account, sign_out).await;
    let mut forged: Value = serde_json::from_str(&body).unwrap();
    let uri = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
    forged["events"][uri]["session_id"] = json!(laptop.session);

    app.push(&forged.to_string()).await;

    assert_eq!(revoked_by(&app, ["laptop", "device"]), [None, None]);
    let event = forged["events"][uri].as_object_mut().unwrap();
    event.remove("session_id");
    event.remove("epoch");
    event.insert("ended_epoch".to_owned(), json!(99));
    app.push(&forged.to_string()).await;
    assert_eq!(
        revoked_by(&app, ["laptop", "device"]),
        [None, Some(sign_out)]
    );
    assert!(app.aws.is_open("laptop"));
}

#[tokio::test]
async fn events_that_end_no_session_are_skipped() {
    let app = TestApp::new().await;
    let [laptop, device] = app.connected(["laptop", "device"]).await;
    let sign_out = app.sign_out_device(&laptop, &device).await;
    let body = app.event_of(device.account, sign_out).await;
    let mut other: Value = serde_json::from_str(&body).unwrap();
    let uri = "https://schemas.openid.net/secevent/caep/event-type/";
    let event = other["events"][format!("{uri}session-revoked")].clone();
    other["events"] = json!({ format!("{uri}session-established"): event });
    app.aws.clear_calls();

    app.push(&other.to_string()).await;

    assert_eq!(app.aws.take_operations(), [""; 0]);
}

#[tokio::test]
async fn duplicate_and_reordered_steps_leave_the_receipt_correct() {
    // Orders of the steps, some of them repeated: push, heartbeat, acknowledgement.
    let orders = [
        "paph", "pahp", "hpap", "apph", "aphp", "phap", "ahpp", "hhpp", "pphh", "ppaa", "aapp",
        "hahp", "pp", "aa", "hh",
    ];
    for order in orders {
        let app = TestApp::new().await;
        let [laptop, device] = app.connected(["laptop", "one"]).await;
        for socket in ["two", "three", "four"] {
            app.open(&device, socket).await;
        }
        let sign_out = app.sign_out_scope(&laptop, "others").await;
        let body = app.event_of(device.account, sign_out).await;
        let sockets = ["one", "two", "three", "four"];
        let mut furthest = EntryState::NotReached;
        let mut first_times: BTreeMap<char, Value> = BTreeMap::new();
        for (step, socket) in order.chars().zip(sockets) {
            app.clock.advance(SignedDuration::from_secs(1));
            let (state, attribute) = match step {
                'p' => {
                    app.push(&body).await;
                    (EntryState::Notified, "notified_at")
                }
                'h' => {
                    app.heartbeat(socket).await;
                    (EntryState::Seen, "seen_at")
                }
                _ => {
                    app.acknowledge(socket, sign_out).await;
                    (EntryState::Wiped, "wiped_at")
                }
            };
            furthest = furthest.max(state);
            let states = app.states(&device, sign_out).await;
            assert_eq!(states[&device.id], furthest, "{order}");
            let rows = app.aws.rows(tables::RECEIPTS);
            let part = rows
                .iter()
                .find(|row| !row["token_hash"].is_null())
                .unwrap();
            let time = part[attribute].clone();
            assert!(!time.is_null(), "{order}");
            assert_eq!(
                *first_times.entry(step).or_insert(time.clone()),
                time,
                "{order}"
            );
        }
        app.drain().await;
        let states = app.states(&device, sign_out).await;
        let furthest = furthest.max(EntryState::Notified.min(states[&device.id]));
        assert_eq!(states, BTreeMap::from([(device.id, furthest)]), "{order}");
        if order.contains('p') {
            assert_eq!(rows(&app), ["laptop"], "{order}");
        }
    }
}

#[tokio::test]
async fn a_check_of_a_valid_session_or_of_no_socket_does_nothing() {
    let app = TestApp::new().await;
    let [laptop] = app.connected(["laptop"]).await;
    let account = laptop.account;
    for socket in ["laptop", "unknown"] {
        let check = json!({ "check": { "account_id": account, "connection_id": socket } });
        app.push(&check.to_string()).await;
    }
    assert!(app.aws.all_frames().is_empty());
    assert_eq!(rows(&app), ["laptop"]);
    assert!(app.aws.take_queued().is_empty());
}
