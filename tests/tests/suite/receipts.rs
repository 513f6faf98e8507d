//! `GET /v1/sign-outs/{sign_out_id}` and its acknowledgement: the devices of a
//! receipt, their states, and the callers that may read and acknowledge it.

mod acknowledging;
mod contacts;
mod reading;

use std::collections::HashMap;

use curfew_tests::account::TestDevice;
use curfew_tests::app::{Boxed, TestApp, sign_out_of};
use curfew_tests::bundle::{event, json_of, problem_of};
use curfew_tests::tables::{DEVICES, RECEIPTS};
use domain::account::Epoch;
use domain::receipt::Step;
use domain::{EndedSession, Rfc3339, SignOutId, Token};
use jiff::SignedDuration;
use serde_json::{Value, json};

const SECOND: SignedDuration = SignedDuration::from_secs(1);

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn now(app: &TestApp) -> Value {
    json!(Rfc3339::from(app.clock.now()))
}

async fn read_receipt(app: &TestApp, by: &TestDevice, id: SignOutId) -> Value {
    let reply = app.bundle.receipt(&by.token, id).await;
    let body = json_of(&reply);
    assert_eq!(reply.status_code, 200, "{body}");
    body["sign_out"].clone()
}

/// Makes a call as a signed-out device, and returns the sign-out that refused it.
async fn refused(app: &TestApp, device: &TestDevice) -> SignOutId {
    app.advance(SECOND);
    let reply = app.bundle.who_am_i(&device.token).await;
    assert_eq!(problem_of(&reply), signed_out());
    let sign_out = &json_of(&reply)["sign_out"];
    sign_out.as_str().unwrap().parse().unwrap()
}

/// Delivers the event of a sign-out to the sweep.
fn sweep<'a>(app: &'a TestApp, by: &'a TestDevice, id: SignOutId) -> Boxed<'a, ()> {
    Box::pin(async move { app.sweep(&app.event_of(by.account, id).await).await })
}

/// Returns the outcome of something with the operations that it called.
async fn operations_of<T>(app: &TestApp, future: impl Future<Output = T>) -> (T, Vec<String>) {
    let future = Box::pin(future);
    app.aws.clear_calls();
    let outcome = future.await;
    (outcome, app.aws.operations())
}

/// Deletes the row of a device, as the TTL does.
fn expire_row(app: &TestApp, device: &TestDevice) {
    let key = json!({
        "account_id": { "S": device.account }, "device_id": { "S": device.id },
    });
    app.aws.engine.delete(DEVICES, &key);
}

/// Returns every row that a receipt is read from.
fn stored(app: &TestApp) -> Vec<String> {
    app.aws.contents(&[DEVICES, RECEIPTS])
}

fn signed_out() -> (i64, String) {
    (401, "session-signed-out".to_owned())
}

fn not_found() -> (i64, String) {
    (404, "sign-out-not-found".to_owned())
}

/// Returns the states of these devices in a receipt that has no other device.
fn states(receipt: &Value, devices: &[&TestDevice]) -> Vec<String> {
    let listed = receipt["devices"].as_array().unwrap();
    assert_eq!(listed.len(), devices.len(), "{receipt:#}");
    let state = |device: &&TestDevice| part(receipt, device)["state"].as_str().unwrap().to_owned();
    devices.iter().map(state).collect()
}

fn part<'a>(receipt: &'a Value, device: &TestDevice) -> &'a Value {
    let mut listed = receipt["devices"].as_array().unwrap().iter();
    let id = json!(device.id);
    listed
        .find(|part| part["id"] == id)
        .unwrap_or_else(|| panic!("{id} is not in {receipt:#}"))
}

/// Returns the total of devices of which some were wiped, some notified and some seen.
fn total(devices: usize, [wiped, notified, seen]: [usize; 3]) -> Value {
    json!({
        "devices": devices, "wiped": wiped, "notified": notified, "seen": seen,
        "not_reached": devices - wiped - notified - seen,
    })
}

#[tokio::test]
async fn a_receipt_lists_its_devices_before_any_of_them_has_a_row() {
    let (app, [laptop, tv, phone]) = TestApp::with_devices().await;
    let listed = json_of(&app.bundle.list(&laptop.token).await);
    let listed = part(&listed, &tv).clone();
    let id = app.sign_out_scope(&laptop, "others").await;

    let receipt = read_receipt(&app, &laptop, id).await;

    let rows = app.aws.engine.rows(RECEIPTS).len();
    assert_eq!(rows, 2, "only its header and its record");
    assert_eq!(
        states(&receipt, &[&tv, &phone]),
        ["not_reached", "not_reached"]
    );
    assert_eq!(receipt["total"], total(2, [0, 0, 0]));
    assert_eq!(receipt["id"], json!(id));
    assert_eq!(receipt["scope"], "others");
    assert_eq!(receipt["reason"], "signed_out");
    assert_eq!(receipt["requested_by"]["id"], json!(laptop.id));
    assert_eq!(receipt["requested_at"], now(&app));
    assert_eq!(receipt["next_cursor"], Value::Null);
    let expected = json!({
        "id": tv.id, "name": listed["name"], "type": listed["type"], "state": "not_reached",
        "refused_at": receipt["requested_at"],
        "wiped_at": null, "notified_at": null, "seen_at": null,
    });
    assert_eq!(*part(&receipt, &tv), expected);
}

#[tokio::test]
async fn the_sweep_changes_nothing_in_a_receipt() {
    for scope in ["others", "global"] {
        let (app, [laptop, tv, phone]) = TestApp::with_devices().await;
        let id = app.sign_out_scope(&laptop, scope).await;
        refused(&app, &tv).await;
        let reader = app.sign_in(None).await;
        let before = read_receipt(&app, &reader, id).await;

        sweep(&app, &reader, id).await;

        assert_eq!(read_receipt(&app, &reader, id).await, before);
        expire_row(&app, &tv);
        expire_row(&app, &phone);
        assert_eq!(
            read_receipt(&app, &reader, id).await,
            before,
            "without the rows that the TTL deleted"
        );
    }
}

#[tokio::test]
async fn a_sign_out_of_one_device_has_its_own_receipt() {
    let (app, [laptop, tv, phone]) = TestApp::with_devices().await;
    let of_tv = app.sign_out_device(&laptop, &tv).await;
    app.advance(SECOND);
    let of_phone = sign_out_of(&app.bundle.sign_out_this(&phone.token).await);

    let receipt = read_receipt(&app, &laptop, of_tv).await;
    assert_eq!(states(&receipt, &[&tv]), ["not_reached"]);
    assert_eq!(receipt["scope"], "device");
    let receipt = read_receipt(&app, &laptop, of_phone).await;
    assert_eq!(states(&receipt, &[&phone]), ["not_reached"]);
    assert_eq!(receipt["scope"], "local");

    app.sign_in_again(&tv).await;
    expire_row(&app, &phone);
    let receipt = read_receipt(&app, &laptop, of_tv).await;
    assert_eq!(states(&receipt, &[&tv]), ["not_reached"], "signed in again");
    let receipt = read_receipt(&app, &laptop, of_phone).await;
    assert_eq!(
        states(&receipt, &[&phone]),
        ["not_reached"],
        "its row was deleted"
    );
}

#[tokio::test]
async fn of_two_sign_outs_each_keeps_its_own_devices() {
    for order in [[0, 1], [1, 0]] {
        let (app, [laptop, tv, phone]) = TestApp::with_devices().await;
        let others = app.sign_out_scope(&laptop, "others").await;
        let console = app.sign_in(None).await;
        let global = app.sign_out_scope(&laptop, "global").await;
        let reader = app.sign_in(None).await;
        let check = async || {
            let first = read_receipt(&app, &reader, others).await;
            let second = read_receipt(&app, &reader, global).await;
            assert_eq!(
                states(&first, &[&tv, &phone]),
                ["not_reached", "not_reached"]
            );
            assert_eq!(
                states(&second, &[&laptop, &console]),
                ["not_reached", "not_reached"]
            );
        };

        check().await;
        sweep(&app, &reader, [others, global][order[0]]).await;
        check().await;
        sweep(&app, &reader, [others, global][order[1]]).await;
        check().await;
    }
}

#[tokio::test]
async fn a_device_that_signs_in_again_keeps_its_part_in_the_older_receipt() {
    for is_swept in [false, true] {
        let (app, [laptop, tv, phone]) = TestApp::with_devices().await;
        let first = app.sign_out_scope(&laptop, "others").await;
        if is_swept {
            sweep(&app, &laptop, first).await;
        }
        let before = read_receipt(&app, &laptop, first).await;

        let tv = app.sign_in_again(&tv).await;

        assert_eq!(read_receipt(&app, &laptop, first).await, before);
        sweep(&app, &laptop, first).await;
        assert_eq!(read_receipt(&app, &laptop, first).await, before);
        assert_eq!(app.bundle.who_am_i(&tv.token).await.status_code, 200);
        let second = app.sign_out_scope(&laptop, "others").await;
        refused(&app, &tv).await;
        let receipt = read_receipt(&app, &laptop, second).await;
        assert_eq!(states(&receipt, &[&tv]), ["notified"]);
        assert_eq!(
            read_receipt(&app, &laptop, first).await,
            before,
            "the contact was of another session"
        );
        assert_eq!(
            states(&before, &[&tv, &phone]),
            ["not_reached", "not_reached"]
        );
    }
}

#[tokio::test]
async fn a_notified_device_that_signs_in_again_stays_notified() {
    let (app, [laptop, tv, phone]) = TestApp::with_devices().await;
    let id = app.sign_out_scope(&laptop, "others").await;
    refused(&app, &tv).await;
    let before = read_receipt(&app, &laptop, id).await;

    app.sign_in_again(&tv).await;

    assert_eq!(read_receipt(&app, &laptop, id).await, before);
    assert_eq!(states(&before, &[&tv, &phone]), ["notified", "not_reached"]);
    assert_eq!(before["total"], total(2, [0, 1, 0]));
}

#[tokio::test]
async fn a_session_that_had_expired_before_a_sign_out_of_many_stays_expired_and_is_in_no_receipt() {
    let app = TestApp::new().await;
    let tv = app.sign_in(None).await;
    app.advance(DAY * 31);
    let (laptop, phone) = (app.sign_in(None).await, app.sign_in(None).await);
    let id = app.sign_out_scope(&laptop, "others").await;
    let stays_expired = async || {
        let reply = app.bundle.who_am_i(&tv.token).await;
        assert_eq!(
            json_of(&reply)["type"],
            "urn:curfew:problem:session-expired"
        );
        let mut list = event("GET", "/v1/devices", Some(&laptop.token), None);
        let all = HashMap::from([("status".to_owned(), "all".to_owned())]);
        list.query_string_parameters = all.into();
        let listed = app.bundle.send(list).await;
        let row = part(&json_of(&listed), &tv).clone();
        assert_eq!(
            (&row["status"], &row["reason"]),
            (&json!("signed_out"), &json!("expired"))
        );
    };
    let others = async || states(&read_receipt(&app, &laptop, id).await, &[&phone]);

    assert_eq!(others().await, ["not_reached"]);
    stays_expired().await;
    assert_eq!(others().await, ["not_reached"], "after a call");
    sweep(&app, &laptop, id).await;
    stays_expired().await;
    assert_eq!(others().await, ["not_reached"], "after the sweep");
    let acknowledged = app.bundle.acknowledge(&tv.token, id).await;
    assert_eq!(problem_of(&acknowledged), not_found());
    app.sign_in_again(&tv).await;
    assert_eq!(others().await, ["not_reached"], "after signing in again");
}

#[tokio::test]
async fn an_expired_session_that_is_replaced_before_the_sweep_is_in_no_receipt() {
    let app = TestApp::new().await;
    let tv = app.sign_in(None).await;
    app.advance(DAY * 31);
    let (laptop, phone) = (app.sign_in(None).await, app.sign_in(None).await);
    let id = app.sign_out_scope(&laptop, "others").await;

    app.sign_in_again(&tv).await;

    assert_eq!(
        states(&read_receipt(&app, &laptop, id).await, &[&phone]),
        ["not_reached"]
    );
    sweep(&app, &laptop, id).await;
    assert_eq!(
        states(&read_receipt(&app, &laptop, id).await, &[&phone]),
        ["not_reached"]
    );
}

/// The transactions of such a sign-in and of a sweep are about one session, within the
/// ten minutes for which DynamoDB remembers a transaction's token.
#[tokio::test]
async fn a_device_that_signed_in_again_before_a_sweep_is_marked_when_it_is_signed_out_again() {
    let (app, [laptop, tv, _]) = TestApp::with_devices().await;
    let first = app.sign_out_scope(&laptop, "others").await;
    let back = app.sign_in_again(&tv).await;
    let second = app.sign_out_scope(&laptop, "others").await;

    sweep(&app, &laptop, first).await;
    sweep(&app, &laptop, second).await;

    assert_eq!(refused(&app, &back).await, second);
    let receipt = read_receipt(&app, &laptop, second).await;
    assert_eq!(states(&receipt, &[&back]), ["notified"]);
}

#[tokio::test]
async fn an_expired_session_is_in_the_receipt_of_its_own_sign_out() {
    let app = TestApp::new().await;
    let tv = app.sign_in(None).await;
    app.advance(DAY * 31);
    let laptop = app.sign_in(None).await;
    let id = app.sign_out_device(&laptop, &tv).await;

    refused(&app, &tv).await;

    assert_eq!(
        states(&read_receipt(&app, &laptop, id).await, &[&tv]),
        ["notified"]
    );
}

/// Every order of three steps, each followed by a repetition of the steps.
const ORDERS: [[Step; 6]; 6] = {
    use Step::{Notified as N, Seen as S, Wiped as W};
    [
        [S, N, W, S, N, W],
        [S, W, N, N, W, S],
        [N, S, W, W, S, N],
        [N, W, S, S, W, N],
        [W, S, N, W, N, S],
        [W, N, S, N, S, W],
    ]
};

#[tokio::test]
async fn a_state_only_moves_forward_in_every_order_of_the_steps() {
    for (at, order) in ORDERS.into_iter().enumerate() {
        let (app, [laptop, tv, phone]) = TestApp::with_devices().await;
        let id = app.sign_out_scope(&laptop, "others").await;
        if at % 2 == 0 {
            sweep(&app, &laptop, id).await;
        }
        let store = &app.bundle.store;
        let records = store.records(tv.account, &[Epoch::FIRST].into()).await;
        let ended = records.unwrap()[&Epoch::FIRST].end_info();
        let session = EndedSession::from(&app.row(&tv).await);
        let furthest = ["not_reached", "seen", "notified", "wiped"];
        let (mut reached, mut times) = (0, json!({}));
        for step in order {
            app.advance(SECOND);
            let limits = &app.bundle.limits;
            let marked =
                store.record_step(tv.account, &ended, &session, step, app.clock.now(), limits);
            marked.await.unwrap();

            let (rank, name) = match step {
                Step::Seen => (1, "seen_at"),
                Step::Notified => (2, "notified_at"),
                Step::Wiped => (3, "wiped_at"),
            };
            reached = reached.max(rank);
            if times[name].is_null() {
                times[name] = now(&app);
            }
            let receipt = read_receipt(&app, &laptop, id).await;
            let part = part(&receipt, &tv);
            assert_eq!(part["state"], furthest[reached], "{order:?}");
            for name in ["seen_at", "notified_at", "wiped_at"] {
                assert_eq!(part[name], times[name], "{order:?}");
            }
            assert_eq!(part["refused_at"], receipt["requested_at"]);
            let count = [3, 2, 1].map(|state| usize::from(reached == state));
            assert_eq!(receipt["total"], total(2, count));
            assert_eq!(states(&receipt, &[&tv, &phone])[1], "not_reached");
        }
    }
}

#[tokio::test]
async fn the_caller_of_a_global_sign_out_is_in_its_own_receipt() {
    let (app, [laptop, tv, phone]) = TestApp::with_devices().await;
    let id = app.sign_out_scope(&laptop, "global").await;
    assert_eq!(refused(&app, &laptop).await, id);
    let old = laptop.token.clone();

    let laptop = app.sign_in_again(&laptop).await;

    let receipt = read_receipt(&app, &laptop, id).await;
    let expected = ["notified", "not_reached", "not_reached"];
    assert_eq!(states(&receipt, &[&laptop, &tv, &phone]), expected);
    assert_eq!(receipt["total"], total(3, [0, 1, 0]));
    assert_eq!(receipt["requested_by"]["id"], json!(laptop.id));
    assert_eq!(app.bundle.acknowledge(&old, id).await.status_code, 200);
    let receipt = read_receipt(&app, &laptop, id).await;
    assert_eq!(part(&receipt, &laptop)["state"], "wiped");
}

#[tokio::test]
async fn a_changed_password_has_a_receipt_too() {
    let (app, [laptop, tv, phone]) = TestApp::with_devices().await;
    let id = app.change_password(&laptop, true).await;
    refused(&app, &phone).await;

    let receipt = read_receipt(&app, &laptop, id).await;

    assert_eq!(receipt["reason"], "password_changed");
    assert_eq!(
        states(&receipt, &[&tv, &phone]),
        ["not_reached", "notified"]
    );
}

#[tokio::test]
async fn a_session_that_was_ended_at_its_start_shares_the_part_of_its_device() {
    // The television signs in while every other device is signed out: the new session
    // replaces one that the sign-out ended, and is ended by the same sign-out.
    let (app, [laptop, tv, phone]) = TestApp::with_devices().await;
    let mut row = app.row(&tv).await;
    let id = app.sign_out_scope(&laptop, "others").await;
    refused(&app, &tv).await;
    let before = read_receipt(&app, &laptop, id).await;
    let replaced = row.session;
    let new = Token::new(tv.account, tv.id, [9; 32]);
    row.session = domain::SessionId::from_random([9; 16]);
    row.token_hash = new.hash();
    let (store, limits) = (&app.bundle.store, &app.bundle.limits);
    let put = store.sign_in(&row, Some(replaced), limits).await;
    assert_eq!(put.unwrap(), store::WriteOutcome::Done);

    let back = TestDevice {
        token: new.to_text().to_string(),
        ..tv.clone()
    };
    assert_eq!(refused(&app, &back).await, id);

    assert_eq!(
        read_receipt(&app, &laptop, id).await,
        before,
        "the device has two parts"
    );
    assert_eq!(states(&before, &[&tv, &phone]), ["notified", "not_reached"]);
    for token in [&tv.token, &back.token] {
        assert_eq!(app.bundle.acknowledge(token, id).await.status_code, 200);
    }
}
