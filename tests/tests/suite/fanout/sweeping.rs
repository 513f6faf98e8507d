//! The sweep after a whole-account end: pages of one, crashes, repeats and
//! disorder.

use curfew_tests::tables;
use curfew_tests::wire::Fate;
use domain::receipt::Step;
use domain::{Device, DeviceState, EndedSession, Scope, SignOut};
use serde_json::{Value, json};

use super::household::{Household, at, device_id, session_id};
use super::network::Verdict;

/// Four devices, the first of which signs out; and what the topic was sent.
async fn signed_out(page_size: i32, scope: Scope) -> (Household, Vec<Device>, SignOut, String) {
    let mut household = Household::new(page_size).await;
    let mut devices = Vec::new();
    for n in 1..=4 {
        devices.push(household.sign_in(n, n).await);
    }
    let sign_out = household.sign_out_all(&devices[0], scope, 1).await;
    let body = household.announce(&sign_out).await.body;
    (household, devices, sign_out, body)
}

/// The sessions whose own events the topic was sent, in their order.
fn told(household: &Household) -> Vec<String> {
    household
        .network
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

/// The devices that have a part in the receipt of a sign-out.
fn parts(household: &Household, sign_out: &SignOut) -> Vec<String> {
    let prefix = format!("{}#", sign_out.id);
    let rows = household.rows(tables::RECEIPTS);
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

fn everything(household: &Household) -> Vec<String> {
    let mut rows: Vec<String> = [tables::DEVICES, tables::RECEIPTS]
        .iter()
        .flat_map(|table| household.rows(table))
        .map(|row| {
            let row: std::collections::BTreeMap<String, Value> =
                serde_json::from_value(row).unwrap();
            format!("{row:?}")
        })
        .collect();
    rows.sort();
    rows
}

#[tokio::test]
async fn every_device_is_marked_whatever_the_size_of_a_page() {
    for page_size in [1, 2, 3, 4, 5, 25] {
        let (household, devices, sign_out, body) = signed_out(page_size, Scope::Global).await;

        household.sweep_to_the_end(&body).await;

        for n in 1..=4 {
            assert_eq!(household.marked_by(n).await, Some(sign_out.id));
        }
        assert_eq!(parts(&household, &sign_out), ids(&devices));
        assert_eq!(
            told(&household),
            [""; 0],
            "the account's own event has told it all"
        );
    }
}

#[tokio::test]
async fn one_message_walks_one_page() {
    let (household, _, _, body) = signed_out(1, Scope::Global).await;
    assert!(household.deliver(&body, None).await);
    let marked = marks(&household).await;
    assert_eq!(marked, [false, false, false, true], "the newest first");
    let newest = device_id(4).to_string();
    assert_eq!(household.next_pages(), [(body, Some(newest))]);
}

async fn marks(household: &Household) -> Vec<bool> {
    let mut marked = Vec::new();
    for n in 1..=4 {
        marked.push(household.marked_by(n).await.is_some());
    }
    marked
}

#[tokio::test]
async fn when_one_session_lives_on_each_other_one_is_told_by_itself_before_it_is_marked() {
    let (household, devices, sign_out, body) = signed_out(1, Scope::Others).await;
    let before = household.network.operations().len();

    household.sweep_to_the_end(&body).await;

    assert_eq!(household.marked_by(1).await, None, "the kept one");
    assert_eq!(parts(&household, &sign_out), ids(&devices[1..]));
    let told = told(&household);
    assert_eq!(told, [4, 3, 2].map(|n| session_id(n).to_string()));
    let calls = household.network.operations().split_off(before);
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
async fn a_sweep_that_dies_between_event_and_mark_tells_again_and_marks() {
    for is_lost in [false, true] {
        let (household, _, sign_out, body) = signed_out(25, Scope::Others).await;
        household.network.judge(move |operation| match operation {
            "TransactWriteItems" if is_lost => Verdict::AnswerLost,
            "TransactWriteItems" => Verdict::Instead(Fate::Broken),
            _ => Verdict::Made,
        });

        assert!(!household.deliver(&body, None).await);
        let once = told(&household).len();
        household.network.mend();
        household.sweep_to_the_end(&body).await;

        let mut twice = household.network.published().split_off(1);
        assert_eq!(once, 3);
        let again = twice.split_off(3);
        assert!(
            again.iter().all(|message| twice.contains(message)),
            "the same, to the letter"
        );
        for n in 2..=4 {
            assert_eq!(household.marked_by(n).await, Some(sign_out.id));
        }
    }
}

#[tokio::test]
async fn a_row_is_not_marked_before_its_event_is_published() {
    let (household, _, _, body) = signed_out(25, Scope::Others).await;
    let third = session_id(3).to_string();
    household
        .network
        .refuse(move |message| message.body.contains(&third).then_some("InternalError"));

    assert!(!household.deliver(&body, None).await);

    let marked = marks(&household).await;
    assert_eq!(marked, [false, true, false, true]);
    household.network.mend();
    household.sweep_to_the_end(&body).await;
    assert!(household.marked_by(3).await.is_some());
    assert!(told(&household).contains(&session_id(3).to_string()));
}

#[tokio::test]
async fn whatever_dies_wherever_the_end_is_the_same() {
    for scope in [Scope::Others, Scope::Global] {
        let (undisturbed, _, _, body) = signed_out(2, scope).await;
        let calls = undisturbed.network.operations().len();
        undisturbed.sweep_to_the_end(&body).await;
        let calls = undisturbed.network.operations().len() - calls;
        assert!(calls > 8);

        for dies_at in 0..calls {
            for is_made in [false, true] {
                let (household, _, _, body) = signed_out(2, scope).await;
                let mut call = 0;
                household.network.judge(move |_| {
                    call += 1;
                    match (call == dies_at + 1, is_made) {
                        (false, _) => Verdict::Made,
                        (true, true) => Verdict::AnswerLost,
                        (true, false) => Verdict::Instead(Fate::Broken),
                    }
                });

                household.sweep_to_the_end(&body).await;

                assert_eq!(
                    everything(&household),
                    everything(&undisturbed),
                    "{dies_at}"
                );
                let mut sessions = told(&household);
                sessions.sort();
                sessions.dedup();
                let mut expected = told(&undisturbed);
                expected.sort();
                assert_eq!(sessions, expected, "{dies_at}");
            }
        }
    }
}

#[tokio::test]
async fn a_message_that_comes_again_changes_nothing() {
    let (household, _, _, body) = signed_out(1, Scope::Others).await;
    household.sweep_to_the_end(&body).await;
    let (rows, told_once) = (everything(&household), told(&household));

    household.sweep_to_the_end(&body).await;

    assert_eq!(everything(&household), rows);
    assert_eq!(told(&household), told_once);
}

#[tokio::test]
async fn two_sweeps_over_the_same_pages_change_nothing_twice() {
    let (household, devices, sign_out, body) = signed_out(2, Scope::Others).await;
    assert!(household.deliver(&body, None).await);
    assert!(household.deliver(&body, None).await);
    for (body, after) in household.next_pages() {
        assert!(household.deliver(&body, after.as_deref()).await);
    }
    assert_eq!(parts(&household, &sign_out), ids(&devices[1..]));
}

#[tokio::test]
async fn of_two_sign_outs_in_a_row_each_marks_what_it_ended_in_whatever_order_they_come() {
    for is_reversed in [false, true] {
        let mut household = Household::new(1).await;
        let laptop = household.sign_in(1, 1).await;
        household.sign_in(2, 2).await;
        let others = household.sign_out_all(&laptop, Scope::Others, 1).await;
        household.sign_in(3, 3).await;
        let global = household.sign_out_all(&laptop, Scope::Global, 2).await;
        let mut bodies = [
            household.announce(&others).await.body,
            household.announce(&global).await.body,
        ];
        if is_reversed {
            bodies.reverse();
        }

        household.sweep_to_the_end(&bodies[0]).await;
        household.sweep_to_the_end(&bodies[1]).await;

        assert_eq!(
            household.marked_by(1).await,
            Some(global.id),
            "kept once, then ended"
        );
        assert_eq!(
            household.marked_by(2).await,
            Some(others.id),
            "dead before the second"
        );
        assert_eq!(
            household.marked_by(3).await,
            Some(global.id),
            "born between the two"
        );
        assert_eq!(parts(&household, &others), [device_id(2).to_string()]);
        assert_eq!(
            parts(&household, &global),
            [1, 3].map(|n| device_id(n).to_string())
        );
        assert_eq!(told(&household), [session_id(2).to_string()]);
    }
}

#[tokio::test]
async fn a_device_that_has_signed_in_again_is_left_alone_and_has_its_part() {
    let (household, devices, sign_out, body) = signed_out(25, Scope::Others).await;
    household.sign_in_over(&sign_out, 3, 30).await;

    household.sweep_to_the_end(&body).await;

    assert_eq!(household.marked_by(3).await, None);
    assert_eq!(
        household.devices().await[&device_id(3)].session,
        session_id(30)
    );
    assert!(!told(&household).contains(&session_id(30).to_string()));
    assert_eq!(parts(&household, &sign_out), ids(&devices[1..]));
    let part = household.part(&sign_out, 3);
    assert_eq!(part["session_id"]["S"], json!(session_id(3)));
}

#[tokio::test]
async fn what_a_part_has_come_to_is_kept() {
    for scope in [Scope::Others, Scope::Global] {
        let (household, devices, sign_out, body) = signed_out(25, scope).await;
        let session = EndedSession::from(&devices[2]);
        let (ended, limits) = (sign_out.end_info(), household.limits);
        let store = &household.store;
        let marked = store.record_step(
            sign_out.account,
            &ended,
            &session,
            Step::Contacted,
            at(2_000),
            &limits,
        );
        marked.await.unwrap();
        let before = household.part(&sign_out, 3);

        household.sweep_to_the_end(&body).await;

        assert_eq!(household.marked_by(3).await, Some(sign_out.id));
        assert_eq!(household.part(&sign_out, 3), before);
        assert!(before["contacted_at"].is_object());
    }
}

#[tokio::test]
async fn a_session_that_had_expired_before_is_marked_and_has_no_part() {
    let mut household = Household::new(25).await;
    let laptop = household.sign_in(1, 1).await;
    household.sign_in(2, 2).await;
    let mut row = household
        .rows(tables::DEVICES)
        .into_iter()
        .find(|row| row["device_id"]["S"] == json!(device_id(2)))
        .unwrap();
    let second_before = sign_out_at(1) - 1_000;
    row["expires_at"] = json!({ "N": second_before.to_string() });
    household.network.engine.put(tables::DEVICES, &row);
    let sign_out = household.sign_out_all(&laptop, Scope::Global, 1).await;
    let body = household.announce(&sign_out).await.body;

    household.sweep_to_the_end(&body).await;

    assert_eq!(household.marked_by(2).await, Some(sign_out.id));
    assert_eq!(
        parts(&household, &sign_out),
        [device_id(1).to_string()],
        "it was over by itself"
    );
}

/// When the sign-out of this number is asked for, in milliseconds.
fn sign_out_at(n: i64) -> i64 {
    at(1_000 + n).as_millisecond()
}

#[tokio::test]
async fn a_device_that_signs_in_again_under_the_sweep_is_left_alone() {
    let (household, _, sign_out, body) = signed_out(25, Scope::Others).await;
    let before = household.rows(tables::DEVICES);
    household.sign_in(3, 30).await;
    let signed_in_again = household.rows(tables::DEVICES);
    let row = |rows: &[Value]| {
        let id = json!(device_id(3));
        rows.iter()
            .find(|row| row["device_id"]["S"] == id)
            .unwrap()
            .clone()
    };
    // The sweep reads the old row, and finds the new one when it writes.
    let (old, new) = (row(&before), row(&signed_in_again));
    household.network.engine.put(tables::DEVICES, &old);
    let engine = household.network.engine.clone();
    let mut is_first = true;
    household.network.judge(move |operation| {
        if operation == "TransactWriteItems" && std::mem::take(&mut is_first) {
            engine.put(tables::DEVICES, &new);
        }
        Verdict::Made
    });

    assert!(household.deliver(&body, None).await);

    assert_eq!(household.marked_by(3).await, None);
    assert_eq!(
        household.devices().await[&device_id(3)].session,
        session_id(30)
    );
    assert!(
        told(&household).contains(&session_id(3).to_string()),
        "that one is over all the same"
    );
    assert_eq!(
        parts(&household, &sign_out),
        [2, 4].map(|n| device_id(n).to_string())
    );
}

#[tokio::test]
async fn a_device_that_was_signed_out_before_keeps_its_own_end() {
    let mut household = Household::new(25).await;
    let laptop = household.sign_in(1, 1).await;
    let phone = household.sign_in(2, 2).await;
    let local = super::household::sign_out(&phone, Scope::Local, 9);
    household
        .store
        .sign_out_this(&household.caller(&phone), &local, &household.limits)
        .await
        .unwrap();
    let global = household.sign_out_all(&laptop, Scope::Global, 1).await;
    let body = household.announce(&global).await.body;

    household.sweep_to_the_end(&body).await;

    assert_eq!(household.marked_by(2).await, Some(local.id));
    assert_eq!(parts(&household, &global), [device_id(1).to_string()]);
}

#[tokio::test]
async fn the_record_decides_and_not_the_message() {
    let (household, _, _, body) = signed_out(25, Scope::Others).await;
    let mut forged: Value = serde_json::from_str(&body).unwrap();
    let event = &mut forged["events"]["urn:curfew:secevent:other-sessions-revoked"];
    event["ended_epoch"] = json!(99);
    event["kept_session"] = json!(session_id(2));

    assert!(household.deliver(&forged.to_string(), None).await);

    assert_eq!(household.marked_by(1).await, None, "the record kept it");
    assert!(
        household.marked_by(2).await.is_some(),
        "the record ended it"
    );

    forged["txn"] = json!("0199c0de-0000-7000-8000-000000000000");
    household.sign_in(2, 20).await;
    assert!(household.deliver(&forged.to_string(), None).await);
    assert_eq!(household.marked_by(2).await, None, "no record, no mark");
}

#[tokio::test]
async fn a_next_page_that_could_not_be_asked_for_is_asked_for_again() {
    let (household, devices, sign_out, body) = signed_out(1, Scope::Global).await;
    household.network.judge(|operation| match operation {
        "SendMessage" => Verdict::Instead(Fate::Broken),
        _ => Verdict::Made,
    });
    assert!(!household.deliver(&body, None).await);
    household.network.mend();
    household.sweep_to_the_end(&body).await;
    assert_eq!(parts(&household, &sign_out), ids(&devices));
}

#[tokio::test]
async fn messages_about_one_session_need_no_sweep_and_garbage_waits_for_a_person() {
    let (household, devices, _, body) = signed_out(25, Scope::Others).await;
    household.sweep_to_the_end(&body).await;
    let calls = household.network.operations().len();
    let of_one = household.network.published().pop().unwrap().body;
    assert!(household.deliver(&of_one, None).await);

    for body in [
        "",
        "{}",
        "null",
        "no JSON",
        "{\"Type\":\"Notification\",\"Message\":\"{}\"}",
    ] {
        assert!(!household.deliver(body, None).await, "{body}");
    }
    assert!(!household.deliver(&body, Some("no device")).await);
    assert_eq!(household.network.operations().len(), calls);
    assert_eq!(
        household.devices().await[&devices[0].id].state,
        DeviceState::SignedIn
    );
}

#[tokio::test]
async fn one_bad_message_does_not_fail_its_batch() {
    let (household, _, sign_out, body) = signed_out(25, Scope::Global).await;
    let failed = household.deliver_batch(&["no JSON", &body]).await;
    assert_eq!(failed, ["m-0"]);
    assert_eq!(household.marked_by(4).await, Some(sign_out.id));
}
