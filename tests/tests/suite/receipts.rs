//! `GET /v1/sign-outs/{sign_out_id}` and its acknowledgement: the devices of a
//! receipt, their states, and the callers that may read and acknowledge it.

use std::collections::HashMap;

use curfew_tests::account::TestDevice;
use curfew_tests::app::{Boxed, TestApp, sign_out_of};
use curfew_tests::bundle::{acknowledgement_event, json_of, problem_of, receipt_event};
use curfew_tests::doors::Door;
use curfew_tests::fake_aws::Intercept;
use curfew_tests::tables::{DEVICES, RECEIPTS};
use curfew_tests::wire::CallResult;
use domain::account::Epoch;
use domain::receipt::Step;
use domain::{EndedSession, SignOutId, Token};
use http_api::Reply;
use jiff::SignedDuration;
use serde_json::{Value, json};

const SECOND: SignedDuration = SignedDuration::from_secs(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

fn now(app: &TestApp) -> Value {
    json!(app.clock.now().to_string())
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

fn total(devices: usize, confirmed: usize, pushed: usize) -> Value {
    json!({
        "devices": devices, "confirmed": confirmed, "pushed": pushed,
        "not_reached": devices - confirmed - pushed,
    })
}

#[tokio::test]
async fn a_receipt_lists_its_devices_before_any_of_them_has_a_row() {
    let (app, [laptop, tv, phone]) = TestApp::with_devices().await;
    let listed = json_of(&app.bundle.list(&laptop.token).await);
    let listed = part(&listed, &tv).clone();
    let id = app.sign_out_scope(&laptop, "others").await;

    let receipt = read_receipt(&app, &laptop, id).await;

    assert_eq!(app.aws.engine.rows(RECEIPTS).len(), 1, "only its record");
    assert_eq!(states(&receipt, &[&tv, &phone]), ["refused", "refused"]);
    assert_eq!(receipt["total"], total(2, 0, 0));
    assert_eq!(receipt["id"], json!(id));
    assert_eq!(receipt["scope"], "others");
    assert_eq!(receipt["reason"], "signed_out");
    assert_eq!(receipt["requested_by"]["id"], json!(laptop.id));
    assert_eq!(receipt["requested_at"], now(&app));
    assert_eq!(receipt["next_cursor"], Value::Null);
    let expected = json!({
        "id": tv.id, "name": listed["name"], "type": listed["type"], "state": "refused",
        "refused_at": receipt["requested_at"],
        "pushed_at": null, "contacted_at": null, "acknowledged_at": null,
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
    assert_eq!(states(&receipt, &[&tv]), ["refused"]);
    assert_eq!(receipt["scope"], "device");
    let receipt = read_receipt(&app, &laptop, of_phone).await;
    assert_eq!(states(&receipt, &[&phone]), ["refused"]);
    assert_eq!(receipt["scope"], "local");

    app.sign_in_again(&tv).await;
    expire_row(&app, &phone);
    let receipt = read_receipt(&app, &laptop, of_tv).await;
    assert_eq!(states(&receipt, &[&tv]), ["refused"], "signed in again");
    let receipt = read_receipt(&app, &laptop, of_phone).await;
    assert_eq!(
        states(&receipt, &[&phone]),
        ["refused"],
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
            assert_eq!(states(&first, &[&tv, &phone]), ["refused", "refused"]);
            assert_eq!(
                states(&second, &[&laptop, &console]),
                ["refused", "refused"]
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
        assert_eq!(states(&receipt, &[&tv]), ["contacted"]);
        assert_eq!(
            read_receipt(&app, &laptop, first).await,
            before,
            "the contact was of another session"
        );
        assert_eq!(states(&before, &[&tv, &phone]), ["refused", "refused"]);
    }
}

#[tokio::test]
async fn a_contacted_device_that_signs_in_again_stays_contacted() {
    let (app, [laptop, tv, phone]) = TestApp::with_devices().await;
    let id = app.sign_out_scope(&laptop, "others").await;
    refused(&app, &tv).await;
    let before = read_receipt(&app, &laptop, id).await;

    app.sign_in_again(&tv).await;

    assert_eq!(read_receipt(&app, &laptop, id).await, before);
    assert_eq!(states(&before, &[&tv, &phone]), ["contacted", "refused"]);
    assert_eq!(before["total"], total(2, 1, 0));
}

#[tokio::test]
async fn a_session_that_had_expired_before_is_in_no_receipt_of_a_sign_out_of_many() {
    let app = TestApp::new().await;
    let tv = app.sign_in(None).await;
    app.advance(DAY * 31);
    let (laptop, phone) = (app.sign_in(None).await, app.sign_in(None).await);
    let id = app.sign_out_scope(&laptop, "others").await;
    let others = async || states(&read_receipt(&app, &laptop, id).await, &[&phone]);

    assert_eq!(others().await, ["refused"]);
    refused(&app, &tv).await;
    assert_eq!(others().await, ["refused"], "after a call");
    sweep(&app, &laptop, id).await;
    refused(&app, &tv).await;
    assert_eq!(others().await, ["refused"], "after the sweep");
    let acknowledged = app.bundle.acknowledge(&tv.token, id).await;
    assert_eq!(problem_of(&acknowledged), not_found());
    app.sign_in_again(&tv).await;
    assert_eq!(others().await, ["refused"], "after signing in again");
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
        ["refused"]
    );
    sweep(&app, &laptop, id).await;
    assert_eq!(
        states(&read_receipt(&app, &laptop, id).await, &[&phone]),
        ["refused"]
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
    assert_eq!(states(&receipt, &[&back]), ["contacted"]);
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
        ["contacted"]
    );
}

/// Every order of three steps, each followed by a repetition of the steps.
const ORDERS: [[Step; 6]; 6] = {
    use Step::{Acknowledged as A, Contacted as C, Pushed as P};
    [
        [P, C, A, P, C, A],
        [P, A, C, C, A, P],
        [C, P, A, A, P, C],
        [C, A, P, P, A, C],
        [A, P, C, A, C, P],
        [A, C, P, C, P, A],
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
        let records = store
            .sign_outs_since(tv.account, Epoch::FIRST)
            .await
            .unwrap();
        let ended = records[0].end_info();
        let session = EndedSession::from(&app.row(&tv).await);
        let furthest = ["refused", "pushed", "contacted", "acknowledged"];
        let (mut reached, mut times) = (0, json!({}));
        for step in order {
            app.advance(SECOND);
            let limits = &app.bundle.limits;
            let marked =
                store.record_step(tv.account, &ended, &session, step, app.clock.now(), limits);
            marked.await.unwrap();

            let (rank, name) = match step {
                Step::Pushed => (1, "pushed_at"),
                Step::Contacted => (2, "contacted_at"),
                Step::Acknowledged => (3, "acknowledged_at"),
            };
            reached = reached.max(rank);
            if times[name].is_null() {
                times[name] = now(&app);
            }
            let receipt = read_receipt(&app, &laptop, id).await;
            let part = part(&receipt, &tv);
            assert_eq!(part["state"], furthest[reached], "{order:?}");
            for name in ["pushed_at", "contacted_at", "acknowledged_at"] {
                assert_eq!(part[name], times[name], "{order:?}");
            }
            assert_eq!(part["refused_at"], receipt["requested_at"]);
            let pushed = usize::from(reached == 1);
            assert_eq!(receipt["total"], total(2, 1 - pushed, pushed));
            assert_eq!(states(&receipt, &[&tv, &phone])[1], "refused");
        }
    }
}

#[tokio::test]
async fn another_accounts_receipt_is_not_found() {
    let (app, [laptop, tv, _]) = TestApp::with_devices().await;
    let id = app.sign_out_scope(&laptop, "others").await;
    let [stranger] = app.other_account().await;
    let none = SignOutId::new(app.clock.now(), [7; 10]);

    let missing = app.bundle.receipt(&stranger.token, none).await;

    assert_eq!(problem_of(&missing), not_found());
    let mut alike = vec![id.to_string(), format!("{id}#{}", tv.id)];
    alike.extend(["", "no id", "..", "0192f0c2-0b1d-7a40-8f6e"].map(str::to_owned));
    for id in alike {
        let reply = app.bundle.receipt(&stranger.token, &id).await;
        assert_eq!(format!("{reply:?}"), format!("{missing:?}"), "{id}");
    }
    let of_a_part = app
        .bundle
        .receipt(&laptop.token, format!("{id}#{}", tv.id))
        .await;
    assert_eq!(format!("{of_a_part:?}"), format!("{missing:?}"));
}

#[tokio::test]
async fn a_receipt_can_be_read_until_its_retention_ends() {
    let (app, [laptop, _, phone]) = TestApp::with_devices().await;
    let id = app.sign_out_device(&laptop, &phone).await;
    let none = SignOutId::new(app.clock.now(), [7; 10]);
    for _ in 0..3 {
        app.advance(DAY * 29);
        assert_eq!(app.bundle.who_am_i(&laptop.token).await.status_code, 200);
    }
    app.advance(DAY * 3 - SECOND);

    assert_eq!(app.bundle.receipt(&laptop.token, id).await.status_code, 200);
    app.advance(SECOND);
    let over = app.bundle.receipt(&laptop.token, id).await;

    assert_eq!(problem_of(&over), not_found());
    let missing = app.bundle.receipt(&laptop.token, none).await;
    assert_eq!(format!("{over:?}"), format!("{missing:?}"));
}

#[tokio::test]
async fn a_receipt_is_refused_to_a_signed_out_device_and_without_a_token() {
    let (app, [laptop, tv, _]) = TestApp::with_devices().await;
    let id = app.sign_out_scope(&laptop, "others").await;
    let reply = app.bundle.receipt(&tv.token, id).await;
    assert_eq!(problem_of(&reply), signed_out());
    let anonymous = receipt_event(None, id);
    let reply = sign_out_receipts::handle(&app.bundle.sign_out_receipts, anonymous).await;
    assert_eq!(problem_of(&reply), (401, "token-missing".to_owned()));
}

/// Asks for a page of a receipt.
async fn page(app: &TestApp, by: &TestDevice, id: SignOutId, query: &[(&str, &str)]) -> Reply {
    let mut event = receipt_event(Some(&by.token), id);
    let query: HashMap<String, String> = query
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    event.query_string_parameters = query.into();
    sign_out_receipts::handle(&app.bundle.sign_out_receipts, event).await
}

#[tokio::test]
async fn pages_show_each_device_once_under_one_total() {
    let app = TestApp::new().await;
    let laptop = app.sign_in(None).await;
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(app.sign_in(None).await);
    }
    let id = app.sign_out_scope(&laptop, "others").await;
    refused(&app, &others[1]).await;
    let mut listed = Vec::new();
    let mut cursor: Option<String> = None;

    for expected in [2, 2, 1] {
        let mut query = vec![("limit", "2")];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let reply = page(&app, &laptop, id, &query).await;
        let receipt = json_of(&reply)["sign_out"].clone();
        let devices = receipt["devices"].as_array().unwrap().clone();
        assert_eq!(devices.len(), expected);
        assert_eq!(receipt["total"], total(5, 1, 0));
        listed.extend(devices.into_iter().map(|part| part["id"].clone()));
        cursor = receipt["next_cursor"].as_str().map(str::to_owned);
    }

    assert_eq!(cursor, None);
    let newest_first: Vec<Value> = others.iter().rev().map(|it| json!(it.id)).collect();
    assert_eq!(listed, newest_first);
}

#[tokio::test]
async fn a_wrong_parameter_of_a_page_is_refused() {
    let (app, [laptop, _, _]) = TestApp::with_devices().await;
    let id = app.sign_out_scope(&laptop, "others").await;
    for query in [
        ("limit", "0"),
        ("limit", "1001"),
        ("limit", "-1"),
        ("limit", "two"),
        ("limit", ""),
        ("cursor", "no cursor"),
        ("page", "1"),
    ] {
        let reply = page(&app, &laptop, id, &[query]).await;
        assert_eq!(
            problem_of(&reply),
            (400, "request-invalid".to_owned()),
            "{query:?}"
        );
    }
    let reply = page(&app, &laptop, id, &[("limit", "1000")]).await;
    assert_eq!(reply.status_code, 200);
}

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
        assert_eq!(json_of(&reply), json!({ "state": "acknowledged" }));
        let receipt = read_receipt(&app, &laptop, id).await;
        assert_eq!(part(&receipt, &tv)["acknowledged_at"], at);
        assert_eq!(part(&receipt, &tv)["contacted_at"], Value::Null);
        assert_eq!(receipt["total"], total(2, 1, 0));
        assert_eq!(
            states(&receipt, &[&tv, &phone]),
            ["acknowledged", "refused"]
        );

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
        assert_eq!(part(&receipt, &tv)["state"], "acknowledged", "{scope}");
        let reply = app.bundle.acknowledge(&back.token, id).await;
        assert_eq!(problem_of(&reply), not_found(), "the new session is valid");
        assert_eq!(app.bundle.who_am_i(&back.token).await.status_code, 200);
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

    let reply = sign_out_receipts::handle(&app.bundle.sign_out_receipts, event).await;

    assert_eq!(problem_of(&reply), (400, "request-invalid".to_owned()));
    let receipt = read_receipt(&app, &laptop, id).await;
    assert_eq!(part(&receipt, &tv)["state"], "refused");
}

/// A way of ending the television's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    One,
    Many,
    ManySwept,
}

fn ended(end: End) -> Boxed<'static, (TestApp, [TestDevice; 3], SignOutId)> {
    Box::pin(async move {
        let (app, devices) = TestApp::with_devices().await;
        let id = match end {
            End::One => app.sign_out_device(&devices[0], &devices[1]).await,
            End::Many | End::ManySwept => app.sign_out_scope(&devices[0], "others").await,
        };
        if end == End::ManySwept {
            sweep(&app, &devices[0], id).await;
        }
        app.advance(SECOND);
        (app, devices, id)
    })
}

const ENDS: [End; 3] = [End::One, End::Many, End::ManySwept];

/// Presents the token of a device at a door, and returns the answer as text.
fn knock<'a>(
    app: &'a TestApp,
    door: &'a Door,
    device: &'a TestDevice,
    id: SignOutId,
) -> Boxed<'a, String> {
    Box::pin(async move {
        let about = match door {
            Door::Route(route) if route.names_device() => device.id.to_string(),
            _ => id.to_string(),
        };
        format!("{:?}", door.knock(app, device, &about).await)
    })
}

fn writes(calls: &[String]) -> usize {
    calls.iter().filter(|call| *call == "UpdateItem").count()
}

#[tokio::test]
async fn the_first_contact_at_each_door_is_marked_once() {
    let doors = Door::all();
    for end in ENDS {
        for door in &doors {
            let (app, [laptop, tv, _], id) = ended(end).await;
            let at = now(&app);
            let case = format!("{end:?} {}", door.name());

            let (answer, calls) = operations_of(&app, knock(&app, door, &tv, id)).await;

            assert_eq!(writes(&calls), 2, "{case} {calls:?}");
            let receipt = read_receipt(&app, &laptop, id).await;
            let part = part(&receipt, &tv);
            assert_eq!(part["state"], "contacted", "{case}");
            assert_eq!(part["contacted_at"], at, "{case}");
            let before = stored(&app);
            app.advance(SECOND);
            for door in &doors {
                let (_, calls) = operations_of(&app, knock(&app, door, &tv, id)).await;
                assert_eq!(writes(&calls), 0, "{case} {calls:?}");
            }
            assert_eq!(knock(&app, door, &tv, id).await, answer, "{case}");
            assert_eq!(stored(&app), before, "{case}");
        }
    }
}

/// Breaks the connection of one later update, or of every one.
fn fail_update(app: &TestApp, number: Option<usize>, is_made: bool) {
    let mut updates = 0;
    app.aws.intercept(move |call| {
        if call.operation != "UpdateItem" {
            return Intercept::Make;
        }
        updates += 1;
        match number {
            Some(number) if number != updates => Intercept::Make,
            _ if is_made => Intercept::LoseAnswer,
            _ => Intercept::Replace(CallResult::Broken),
        }
    });
}

#[tokio::test]
async fn a_contact_that_can_not_be_written_changes_no_answer() {
    // The number of the update that fails, or every one; and whether it is made.
    let faults = [
        (Some(1), false),
        (Some(2), false),
        (Some(1), true),
        (Some(2), true),
        (None, false),
    ];
    for end in ENDS {
        for door in Door::all() {
            let (well, devices, id) = ended(end).await;
            let right = masked(&knock(&well, &door, &devices[1], id).await, &devices, id);
            for (number, is_made) in faults {
                let (app, devices, id) = ended(end).await;
                let [laptop, tv, _] = &devices;
                let case = format!("{end:?} {} {number:?} {is_made}", door.name());
                fail_update(&app, number, is_made);

                let answer = knock(&app, &door, tv, id).await;

                assert_eq!(masked(&answer, &devices, id), right, "{case}");
                app.aws.restore();
                refused(&app, tv).await;
                let receipt = read_receipt(&app, laptop, id).await;
                assert_eq!(part(&receipt, tv)["state"], "contacted", "{case}");
                let (_, calls) = operations_of(&app, app.bundle.who_am_i(&tv.token)).await;
                assert_eq!(writes(&calls), 0, "{case} {calls:?}");
            }
        }
    }
}

/// Returns an answer with fixed names in the place of the ids, which differ from
/// account to account.
fn masked(answer: &str, devices: &[TestDevice], id: SignOutId) -> String {
    let answer = answer.replace(&id.to_string(), "the sign-out");
    let name = |answer: String, (at, device): (usize, &TestDevice)| {
        answer.replace(&device.id.to_string(), &format!("device {at}"))
    };
    devices.iter().enumerate().fold(answer, name)
}

#[tokio::test]
async fn a_valid_session_or_a_wrong_secret_marks_no_contact() {
    let (app, [laptop, tv, phone]) = TestApp::with_devices().await;
    let id = app.sign_out_device(&laptop, &tv).await;
    let before = stored(&app);
    let wrong_secret = tv.with_wrong_secret();

    for door in Door::harmless() {
        for device in [&laptop, &phone, &wrong_secret] {
            knock(&app, &door, device, id).await;
        }
    }

    assert_eq!(stored(&app), before);
}

#[tokio::test]
async fn the_caller_of_a_global_sign_out_is_in_its_own_receipt() {
    let (app, [laptop, tv, phone]) = TestApp::with_devices().await;
    let id = app.sign_out_scope(&laptop, "global").await;
    assert_eq!(refused(&app, &laptop).await, id);
    let old = laptop.token.clone();

    let laptop = app.sign_in_again(&laptop).await;

    let receipt = read_receipt(&app, &laptop, id).await;
    let expected = ["contacted", "refused", "refused"];
    assert_eq!(states(&receipt, &[&laptop, &tv, &phone]), expected);
    assert_eq!(receipt["total"], total(3, 1, 0));
    assert_eq!(receipt["requested_by"]["id"], json!(laptop.id));
    assert_eq!(app.bundle.acknowledge(&old, id).await.status_code, 200);
    let receipt = read_receipt(&app, &laptop, id).await;
    assert_eq!(part(&receipt, &laptop)["state"], "acknowledged");
}

#[tokio::test]
async fn a_changed_password_has_a_receipt_too() {
    let (app, [laptop, tv, phone]) = TestApp::with_devices().await;
    let id = app.change_password(&laptop, true).await;
    refused(&app, &phone).await;

    let receipt = read_receipt(&app, &laptop, id).await;

    assert_eq!(receipt["reason"], "password_changed");
    assert_eq!(states(&receipt, &[&tv, &phone]), ["refused", "contacted"]);
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
    assert_eq!(states(&before, &[&tv, &phone]), ["contacted", "refused"]);
    for token in [&tv.token, &back.token] {
        assert_eq!(app.bundle.acknowledge(token, id).await.status_code, 200);
    }
}
