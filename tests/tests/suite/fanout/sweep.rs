//! `sweep` after a sign-out of many: pages, crashes, repeated and reordered messages.

use curfew_tests::fake_aws::Intercept;
use curfew_tests::tables;
use curfew_tests::wire::CallResult;
use domain::receipt::Step;
use domain::{Device, DeviceState, EndedSession, Epoch, Scope, SignOut};
use serde_json::{Value, json};
use store::WriteOutcome;

use super::fixture::{FanOut, at, device_id, device_row, session_id};

/// Returns four devices, the first of which has signed out the others or all; the
/// sign-out, and the message about it.
async fn signed_out(page_size: i32, scope: Scope) -> (FanOut, Vec<Device>, SignOut, String) {
    let mut fan_out = FanOut::new(page_size).await;
    let mut devices = Vec::new();
    for n in 1..=4 {
        devices.push(fan_out.sign_in(n, n).await);
    }
    let sign_out = fan_out.sign_out_scope(&devices[0], scope, 1).await;
    let body = fan_out.announce(&sign_out).await.body;
    (fan_out, devices, sign_out, body)
}

/// Returns the sessions that have an event of their own, in the order of the events.
fn own_events(fan_out: &FanOut) -> Vec<String> {
    fan_out
        .aws
        .published()
        .iter()
        .filter(|message| !message.attributes.contains_key("scope"))
        .map(|message| {
            let claims: Value = serde_json::from_str(&message.body).unwrap();
            claims["sub_id"]["session"]["id"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect()
}

/// Returns the devices that have a part in the receipt of a sign-out.
fn parts(fan_out: &FanOut, sign_out: &SignOut) -> Vec<String> {
    let prefix = format!("{}#", sign_out.id);
    let rows = fan_out.rows(tables::RECEIPTS);
    let mut parts: Vec<String> = rows
        .iter()
        .filter_map(|row| row["sign_out_id"]["S"].as_str()?.strip_prefix(&prefix))
        .map(str::to_owned)
        .collect();
    parts.sort();
    parts
}

fn ids(devices: &[Device]) -> Vec<String> {
    devices.iter().map(|device| device.id.to_string()).collect()
}

fn everything(fan_out: &FanOut) -> Vec<String> {
    let tables = [tables::DEVICES, tables::RECEIPTS];
    fan_out.aws.contents(&tables)
}

#[tokio::test]
async fn every_device_is_marked_with_every_page_size() {
    for page_size in [1, 2, 3, 4, 5, 25] {
        let (fan_out, devices, sign_out, body) = signed_out(page_size, Scope::Global).await;

        fan_out.sweep_to_the_end(&body).await;

        for n in 1..=4 {
            assert_eq!(fan_out.marked_by(n).await, Some(sign_out.id));
        }
        assert_eq!(parts(&fan_out, &sign_out), ids(&devices));
        assert_eq!(
            own_events(&fan_out),
            [""; 0],
            "the event of the account is enough"
        );
    }
}

#[tokio::test]
async fn one_message_processes_one_page() {
    let (fan_out, _, _, body) = signed_out(1, Scope::Global).await;
    assert!(fan_out.deliver(&body, None).await);
    let marked = marks(&fan_out).await;
    assert_eq!(marked, [false, false, false, true], "the newest first");
    let newest = device_id(4).to_string();
    assert_eq!(fan_out.next_pages(), [(body, Some(newest))]);
}

async fn marks(fan_out: &FanOut) -> Vec<bool> {
    let mut marked = Vec::new();
    for n in 1..=4 {
        marked.push(fan_out.marked_by(n).await.is_some());
    }
    marked
}

#[tokio::test]
async fn when_one_session_is_kept_each_other_one_gets_its_own_event_before_its_mark() {
    let (fan_out, devices, sign_out, body) = signed_out(1, Scope::Others).await;
    let before = fan_out.aws.operations().len();

    fan_out.sweep_to_the_end(&body).await;

    assert_eq!(fan_out.marked_by(1).await, None, "the kept session");
    assert_eq!(parts(&fan_out, &sign_out), ids(&devices[1..]));
    let sessions = own_events(&fan_out);
    assert_eq!(sessions, [4, 3, 2].map(|n| session_id(n).to_string()));
    let calls = fan_out.aws.operations().split_off(before);
    let mut published = 0;
    for call in calls {
        match call.as_str() {
            "PublishBatch" => published += 1,
            "TransactWriteItems" => published -= 1,
            _ => {}
        }
        assert!(
            (0..=1).contains(&published),
            "each event comes before its mark"
        );
    }
}

#[tokio::test]
async fn a_sweep_that_fails_between_event_and_mark_publishes_again_and_marks() {
    for is_lost in [false, true] {
        let (fan_out, _, sign_out, body) = signed_out(25, Scope::Others).await;
        fan_out
            .aws
            .intercept(move |call| match call.operation.as_str() {
                "TransactWriteItems" if is_lost => Intercept::LoseAnswer,
                "TransactWriteItems" => Intercept::Replace(CallResult::Broken),
                _ => Intercept::Make,
            });

        assert!(!fan_out.deliver(&body, None).await);
        let once = own_events(&fan_out).len();
        fan_out.aws.restore();
        fan_out.sweep_to_the_end(&body).await;

        let mut twice = fan_out.aws.published().split_off(1);
        assert_eq!(once, 3);
        let again = twice.split_off(3);
        assert!(
            again.iter().all(|message| twice.contains(message)),
            "the repeated events are the same"
        );
        for n in 2..=4 {
            assert_eq!(fan_out.marked_by(n).await, Some(sign_out.id));
        }
    }
}

#[tokio::test]
async fn a_row_is_not_marked_before_its_event_is_published() {
    let (fan_out, _, _, body) = signed_out(25, Scope::Others).await;
    let third = session_id(3).to_string();
    fan_out
        .aws
        .reject(move |message| message.body.contains(&third).then_some("InternalError"));

    assert!(!fan_out.deliver(&body, None).await);

    let marked = marks(&fan_out).await;
    assert_eq!(marked, [false, true, false, true]);
    fan_out.aws.restore();
    fan_out.sweep_to_the_end(&body).await;
    assert!(fan_out.marked_by(3).await.is_some());
    assert!(own_events(&fan_out).contains(&session_id(3).to_string()));
}

#[tokio::test]
async fn a_sweep_that_fails_at_any_call_leads_to_the_same_end() {
    for scope in [Scope::Others, Scope::Global] {
        let (undisturbed, _, _, body) = signed_out(2, scope).await;
        let calls = undisturbed.aws.operations().len();
        undisturbed.sweep_to_the_end(&body).await;
        let calls = undisturbed.aws.operations().len() - calls;
        assert!(calls > 8);

        for number in 1..=calls {
            for is_made in [false, true] {
                let (fan_out, _, _, body) = signed_out(2, scope).await;
                fan_out.aws.fail_call(number, is_made);

                fan_out.sweep_to_the_end(&body).await;

                assert_eq!(everything(&fan_out), everything(&undisturbed), "{number}");
                let mut sessions = own_events(&fan_out);
                sessions.sort();
                sessions.dedup();
                let mut expected = own_events(&undisturbed);
                expected.sort();
                assert_eq!(sessions, expected, "{number}");
            }
        }
    }
}

#[tokio::test]
async fn a_message_that_is_delivered_again_changes_nothing() {
    let (fan_out, _, _, body) = signed_out(1, Scope::Others).await;
    fan_out.sweep_to_the_end(&body).await;
    let (rows, events) = (everything(&fan_out), own_events(&fan_out));

    fan_out.sweep_to_the_end(&body).await;

    assert_eq!(everything(&fan_out), rows);
    assert_eq!(own_events(&fan_out), events);
}

#[tokio::test]
async fn two_sweeps_of_the_same_pages_mark_each_device_once() {
    let (fan_out, devices, sign_out, body) = signed_out(2, Scope::Others).await;
    assert!(fan_out.deliver(&body, None).await);
    assert!(fan_out.deliver(&body, None).await);
    for (body, after) in fan_out.next_pages() {
        assert!(fan_out.deliver(&body, after.as_deref()).await);
    }
    assert_eq!(parts(&fan_out, &sign_out), ids(&devices[1..]));
}

#[tokio::test]
async fn of_two_sign_outs_each_marks_the_devices_it_ended_in_either_order() {
    for is_reversed in [false, true] {
        let mut fan_out = FanOut::new(1).await;
        let laptop = fan_out.sign_in(1, 1).await;
        fan_out.sign_in(2, 2).await;
        let others = fan_out.sign_out_scope(&laptop, Scope::Others, 1).await;
        fan_out.sign_in(3, 3).await;
        let global = fan_out.sign_out_scope(&laptop, Scope::Global, 2).await;
        let mut bodies = [
            fan_out.announce(&others).await.body,
            fan_out.announce(&global).await.body,
        ];
        if is_reversed {
            bodies.reverse();
        }

        fan_out.sweep_to_the_end(&bodies[0]).await;
        fan_out.sweep_to_the_end(&bodies[1]).await;

        assert_eq!(
            fan_out.marked_by(1).await,
            Some(global.id),
            "kept once, then ended"
        );
        assert_eq!(
            fan_out.marked_by(2).await,
            Some(others.id),
            "ended before the second sign-out"
        );
        assert_eq!(
            fan_out.marked_by(3).await,
            Some(global.id),
            "began between the two"
        );
        assert_eq!(parts(&fan_out, &others), [device_id(2).to_string()]);
        assert_eq!(
            parts(&fan_out, &global),
            [1, 3].map(|n| device_id(n).to_string())
        );
        assert_eq!(own_events(&fan_out), [session_id(2).to_string()]);
    }
}

#[tokio::test]
async fn a_device_that_signed_in_again_is_not_marked_and_keeps_its_part() {
    let (fan_out, devices, sign_out, body) = signed_out(25, Scope::Others).await;
    fan_out.sign_in_over(&sign_out, 3, 30).await;

    fan_out.sweep_to_the_end(&body).await;

    assert_eq!(fan_out.marked_by(3).await, None);
    assert_eq!(
        fan_out.devices().await[&device_id(3)].session,
        session_id(30)
    );
    assert!(!own_events(&fan_out).contains(&session_id(30).to_string()));
    assert_eq!(parts(&fan_out, &sign_out), ids(&devices[1..]));
    let part = fan_out.part(&sign_out, 3);
    assert_eq!(part["session_id"]["S"], json!(session_id(3)));
}

#[tokio::test]
async fn the_state_of_a_part_survives_the_sweep() {
    for scope in [Scope::Others, Scope::Global] {
        let (fan_out, devices, sign_out, body) = signed_out(25, scope).await;
        let session = EndedSession::from(&devices[2]);
        let (ended, limits) = (sign_out.end_info(), fan_out.limits);
        let store = &fan_out.store;
        let marked = store.record_step(
            sign_out.account,
            &ended,
            &session,
            Step::Seen,
            at(2_000),
            &limits,
        );
        marked.await.unwrap();
        let before = fan_out.part(&sign_out, 3);

        fan_out.sweep_to_the_end(&body).await;

        assert_eq!(fan_out.marked_by(3).await, Some(sign_out.id));
        assert_eq!(fan_out.part(&sign_out, 3), before);
        assert!(before["seen_at"].is_object());
    }
}

#[tokio::test]
async fn a_session_that_had_expired_before_is_marked_and_has_no_part() {
    let mut fan_out = FanOut::new(25).await;
    let laptop = fan_out.sign_in(1, 1).await;
    fan_out.sign_in(2, 2).await;
    let mut row = fan_out
        .rows(tables::DEVICES)
        .into_iter()
        .find(|row| row["device_id"]["S"] == json!(device_id(2)))
        .unwrap();
    let second_before = sign_out_at(1) - 1_000;
    row["expires_at"] = json!({ "N": second_before.to_string() });
    fan_out.aws.engine.put(tables::DEVICES, &row);
    let sign_out = fan_out.sign_out_scope(&laptop, Scope::Global, 1).await;
    let body = fan_out.announce(&sign_out).await.body;

    fan_out.sweep_to_the_end(&body).await;

    assert_eq!(fan_out.marked_by(2).await, Some(sign_out.id));
    assert_eq!(
        parts(&fan_out, &sign_out),
        [device_id(1).to_string()],
        "the session had expired before"
    );
}

/// Returns the time of the sign-out with this number, in milliseconds.
fn sign_out_at(n: i64) -> i64 {
    at(1_000 + n).as_millisecond()
}

#[tokio::test]
async fn a_device_that_signs_in_again_during_the_sweep_is_not_marked() {
    let (fan_out, _, sign_out, body) = signed_out(25, Scope::Others).await;
    let before = fan_out.rows(tables::DEVICES);
    fan_out.sign_in(3, 30).await;
    let signed_in_again = fan_out.rows(tables::DEVICES);
    let row = |rows: &[Value]| {
        let id = json!(device_id(3));
        rows.iter()
            .find(|row| row["device_id"]["S"] == id)
            .unwrap()
            .clone()
    };
    // The sweep reads the old row, and its write meets the new one.
    let (old, new) = (row(&before), row(&signed_in_again));
    fan_out.aws.engine.put(tables::DEVICES, &old);
    let engine = fan_out.aws.engine.clone();
    let mut is_first = true;
    fan_out.aws.intercept(move |call| {
        if call.operation == "TransactWriteItems" && std::mem::take(&mut is_first) {
            engine.put(tables::DEVICES, &new);
        }
        Intercept::Make
    });

    assert!(fan_out.deliver(&body, None).await);

    assert_eq!(fan_out.marked_by(3).await, None);
    assert_eq!(
        fan_out.devices().await[&device_id(3)].session,
        session_id(30)
    );
    assert!(
        own_events(&fan_out).contains(&session_id(3).to_string()),
        "the replaced session has ended, too"
    );
    assert_eq!(
        parts(&fan_out, &sign_out),
        [2, 4].map(|n| device_id(n).to_string())
    );
}

#[tokio::test]
async fn a_device_that_was_signed_out_before_keeps_its_own_end() {
    let mut fan_out = FanOut::new(25).await;
    let laptop = fan_out.sign_in(1, 1).await;
    let phone = fan_out.sign_in(2, 2).await;
    let local = super::fixture::sign_out(&phone, Scope::Local, 9);
    fan_out
        .store
        .sign_out_this(&fan_out.caller(&phone), &local, &fan_out.limits)
        .await
        .unwrap();
    let global = fan_out.sign_out_scope(&laptop, Scope::Global, 1).await;
    let body = fan_out.announce(&global).await.body;

    fan_out.sweep_to_the_end(&body).await;

    assert_eq!(fan_out.marked_by(2).await, Some(local.id));
    assert_eq!(parts(&fan_out, &global), [device_id(1).to_string()]);
}

#[tokio::test]
async fn the_record_decides_which_sessions_are_marked_and_not_the_message() {
    let (fan_out, _, _, body) = signed_out(25, Scope::Others).await;
    let mut forged: Value = serde_json::from_str(&body).unwrap();
    let event = &mut forged["events"]["urn:curfew:secevent:other-sessions-revoked"];
    event["kept_session"] = json!(session_id(2));

    assert!(fan_out.deliver(&forged.to_string(), None).await);

    assert_eq!(
        fan_out.marked_by(1).await,
        None,
        "the record keeps this session"
    );
    assert!(
        fan_out.marked_by(2).await.is_some(),
        "the record ended this session"
    );

    // A session that began before the sign-out and was written after it.
    let late = device_row(90, 91, Epoch::FIRST);
    let signed_in = fan_out.store.sign_in(&late, None, &fan_out.limits).await;
    assert_eq!(signed_in.unwrap(), WriteOutcome::Done);
    let of_another_epoch = body.replace("\"ended_epoch\":1", "\"ended_epoch\":2");
    forged["txn"] = json!("0199c0de-0000-7000-8000-000000000000");
    for body in [of_another_epoch, forged.to_string()] {
        assert!(fan_out.deliver(&body, None).await);
        assert_eq!(fan_out.marked_by(90).await, None, "marked without a record");
    }
}

#[tokio::test]
async fn a_message_for_the_next_page_that_fails_is_sent_again() {
    let (fan_out, devices, sign_out, body) = signed_out(1, Scope::Global).await;
    fan_out.aws.fail("SendMessage", || CallResult::Broken);
    assert!(!fan_out.deliver(&body, None).await);
    fan_out.aws.restore();
    fan_out.sweep_to_the_end(&body).await;
    assert_eq!(parts(&fan_out, &sign_out), ids(&devices));
}

#[tokio::test]
async fn a_message_about_one_session_is_skipped_and_a_malformed_one_fails() {
    let (fan_out, devices, _, body) = signed_out(25, Scope::Others).await;
    fan_out.sweep_to_the_end(&body).await;
    let calls = fan_out.aws.operations().len();
    let of_one = fan_out.aws.published().pop().unwrap().body;
    assert!(fan_out.deliver(&of_one, None).await);

    for body in [
        "",
        "{}",
        "null",
        "no JSON",
        "{\"Type\":\"Notification\",\"Message\":\"{}\"}",
    ] {
        assert!(!fan_out.deliver(body, None).await, "{body}");
    }
    assert!(!fan_out.deliver(&body, Some("no device")).await);
    assert_eq!(fan_out.aws.operations().len(), calls);
    assert_eq!(
        fan_out.devices().await[&devices[0].id].state,
        DeviceState::SignedIn
    );
}

#[tokio::test]
async fn a_malformed_message_fails_alone() {
    let (fan_out, _, sign_out, body) = signed_out(25, Scope::Global).await;
    let failed = fan_out.deliver_batch(&["no JSON", &body]).await;
    assert_eq!(failed, ["0"]);
    assert_eq!(fan_out.marked_by(4).await, Some(sign_out.id));
}

#[tokio::test]
async fn what_is_left_when_the_time_is_over_goes_back_to_the_queue() {
    let (fan_out, devices, sign_out, body) = signed_out(25, Scope::Global).await;
    let clock = fan_out.clock.clone();
    fan_out.aws.intercept(move |call| {
        if call.operation == "TransactWriteItems" {
            clock.advance(sweep::TIME_BUDGET.try_into().unwrap());
        }
        Intercept::Make
    });

    assert_eq!(fan_out.deliver_batch(&[&body]).await, ["0"]);

    assert_eq!(parts(&fan_out, &sign_out).len(), 1, "marked in time");
    fan_out.sweep_to_the_end(&body).await;
    assert_eq!(parts(&fan_out, &sign_out), ids(&devices));
}
