//! What a receipt says: which devices, how far each has come, and to whom.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use aws_lambda_events::sqs::SqsEvent;
use curfew_tests::bundle::{Bundle, event, json_of};
use curfew_tests::engine::{Answer, Engine};
use curfew_tests::tables::{DEVICES, RECEIPTS};
use curfew_tests::wire::{self, Call, Fate};
use domain::account::Epoch;
use domain::receipt::Step;
use domain::{DeviceId, EndedSession, SignOut, SignOutId, Token};
use events::{Record, Topic};
use http_api::Reply;
use jiff::SignedDuration;
use runtime::{Clock, lock};
use serde_json::{Value, json};
use store::Change;
use sweep::Queue;

const EMAIL: &str = "lea@example.com";
const OTHER_EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "quiet otter borrows nine lanterns";
const OTHER_PASSWORD: &str = "nine lanterns drift past the harbour";

const SECOND: SignedDuration = SignedDuration::from_secs(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// What becomes of the calls that write.
type Judge = fn(usize) -> Option<Cut>;

/// How a call is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    NotMade,
    MadeAndUnheard,
}

#[derive(Default)]
struct Line {
    calls: Vec<Call>,
    updates: usize,
    judge: Option<Judge>,
}

/// An account over tables that note what they are asked.
struct Home {
    bundle: Bundle,
    sweep: sweep::Deps,
    engine: Engine,
    line: Arc<Mutex<Line>>,
}

/// Something on its way. What signs in is large, and is kept apart.
type Running<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A device, as its owner holds it.
#[derive(Clone)]
struct Device {
    id: DeviceId,
    token: String,
    key: String,
}

impl Home {
    async fn new() -> Self {
        let (engine, line) = (Engine::new(), Arc::<Mutex<Line>>::default());
        let (tables, at) = (engine.clone(), line.clone());
        let clients = wire::clients(move |call| answered(&tables, &mut lock(&at), call));
        let noon = "2026-11-20T12:00:00Z".parse().unwrap();
        let bundle = Bundle::new(clients.dynamodb(), Clock::fixed(noon));
        let sweep = sweep::Deps {
            store: bundle.store.clone(),
            topic: Topic::new(
                clients.sns(),
                "arn:aws:sns:eu-central-1:1:events".to_owned(),
            ),
            queue: Queue::new(clients.sqs(), "http://queues.invalid/sweep".to_owned()),
            issuer: "tests".to_owned(),
            page_size: 100,
            limits: bundle.limits,
        };
        let registered = bundle.register(EMAIL, PASSWORD).await;
        assert_eq!(registered.status_code, 202);
        Self {
            bundle,
            sweep,
            engine,
            line,
        }
    }

    /// A home with a laptop, a television and a phone.
    fn of_three() -> Running<'static, (Self, [Device; 3])> {
        Box::pin(async {
            let home = Self::new().await;
            let (laptop, tv) = (home.device().await, home.device().await);
            let phone = home.device().await;
            (home, [laptop, tv, phone])
        })
    }

    async fn device(&self) -> Device {
        self.sign_in(EMAIL, None).await
    }

    /// A device of another account.
    async fn stranger(&self) -> Device {
        let registered = self.bundle.register(OTHER_EMAIL, PASSWORD).await;
        assert_eq!(registered.status_code, 202);
        self.sign_in(OTHER_EMAIL, None).await
    }

    /// Signs a device in again, by its key.
    async fn again(&self, device: &Device) -> Device {
        let back = self.sign_in(EMAIL, Some(&device.key)).await;
        assert_eq!(back.id, device.id);
        back
    }

    fn sign_in<'a>(&'a self, email: &'a str, key: Option<&'a str>) -> Running<'a, Device> {
        Box::pin(async move {
            self.later(SECOND);
            let reply = self.bundle.log_in(email, PASSWORD, key).await;
            let body = json_of(&reply);
            let text = |name: &str| body[name].as_str().expect("a secret").to_owned();
            let token = text("token");
            Device {
                id: Token::parse(&token).unwrap().device(),
                token,
                key: text("device_key"),
            }
        })
    }

    fn later(&self, by: SignedDuration) {
        self.bundle.clock.advance(by);
    }

    fn now(&self) -> Value {
        json!(self.bundle.clock.now().to_string())
    }

    async fn sign_out_all(&self, by: &Device, scope: &str) -> SignOutId {
        self.later(SECOND);
        id_of(&self.bundle.sign_out_all(&by.token, scope).await)
    }

    async fn sign_out_device(&self, by: &Device, target: &Device) -> SignOutId {
        self.later(SECOND);
        id_of(&self.bundle.sign_out_device(&by.token, target.id).await)
    }

    async fn receipt(&self, by: &Device, id: SignOutId) -> Value {
        let reply = self.bundle.receipt(&by.token, id).await;
        assert_eq!(reply.status_code, 200, "{:?}", reply.body);
        json_of(&reply)["sign_out"].clone()
    }

    /// Calls as a device that is refused because it was signed out.
    async fn refused(&self, device: &Device) -> SignOutId {
        self.later(SECOND);
        let reply = self.bundle.who_am_i(&device.token).await;
        let body = json_of(&reply);
        assert_eq!(kind(&reply), (401, "session-signed-out".to_owned()));
        body["sign_out"].as_str().unwrap().parse().unwrap()
    }

    /// Marks what a sign-out ended.
    async fn swept(&self, by: &Device, id: SignOutId) {
        let record = self.record(by, id).await;
        let messages = events::messages(&Change::SignedOut(record), &Record::default(), "tests");
        let message = json!({ "messageId": "test", "body": messages[0].body() });
        let delivery: SqsEvent = serde_json::from_value(json!({ "Records": [message] })).unwrap();
        let handled = sweep::handle(&self.sweep, delivery).await;
        assert!(handled.batch_item_failures.is_empty());
    }

    async fn record(&self, by: &Device, id: SignOutId) -> SignOut {
        let account = Token::parse(&by.token).unwrap().account();
        let records = self.bundle.store.sign_outs_since(account, Epoch::FIRST);
        let mut records = records.await.unwrap().into_iter();
        records.find(|record| record.id == id).expect("its record")
    }

    /// What is called while something is done.
    async fn calls_of<T>(&self, done: impl Future<Output = T>) -> (T, Vec<String>) {
        let done = Box::pin(done);
        lock(&self.line).calls.clear();
        let outcome = done.await;
        let calls = lock(&self.line)
            .calls
            .iter()
            .map(|call| call.operation.clone())
            .collect();
        (outcome, calls)
    }

    /// Lets updates be cut off: the first has number 0.
    fn cut(&self, judge: Judge) {
        let mut line = lock(&self.line);
        (line.updates, line.judge) = (0, Some(judge));
    }

    fn mend(&self) {
        lock(&self.line).judge = None;
    }

    /// Takes a device's row away, as the TTL does.
    fn forget(&self, device: &Device) {
        let account = Token::parse(&device.token).unwrap().account();
        let key = json!({
            "account_id": { "S": account.to_string() }, "device_id": { "S": device.id.to_string() },
        });
        let delete = json!({ "TableName": DEVICES, "Key": key });
        assert!(
            self.engine
                .answer("DeleteItem", &delete.to_string())
                .is_success()
        );
    }

    /// Every row that a receipt is read from.
    fn rows(&self) -> Vec<String> {
        let mut rows: Vec<String> = [DEVICES, RECEIPTS]
            .iter()
            .flat_map(|table| self.engine.rows(table))
            .map(|row| serde_json::to_value(row).unwrap().to_string())
            .collect();
        rows.sort();
        rows
    }
}

fn answered(engine: &Engine, line: &mut Line, call: Call) -> Fate {
    let fate = match call.operation.as_str() {
        "PublishBatch" => Fate::Answered(published(&call.body)),
        "UpdateItem" => {
            line.updates += 1;
            match line.judge.and_then(|judge| judge(line.updates - 1)) {
                Some(Cut::NotMade) => Fate::Broken,
                Some(Cut::MadeAndUnheard) => {
                    let _unheard = engine.answer(&call.operation, &call.body);
                    Fate::Broken
                }
                None => Fate::Answered(engine.answer(&call.operation, &call.body)),
            }
        }
        operation => Fate::Answered(engine.answer(operation, &call.body)),
    };
    line.calls.push(call);
    fate
}

/// SNS has every message of a batch.
fn published(batch: &str) -> Answer {
    let mut members = String::new();
    for id in 0..batch.matches(".Id=").count() {
        let message = "<MessageId>test</MessageId>";
        write!(members, "<member><Id>{id}</Id>{message}</member>").unwrap();
    }
    Answer {
        status: 200,
        body: format!(
            "<PublishBatchResponse><PublishBatchResult><Successful>{members}</Successful>\
             </PublishBatchResult></PublishBatchResponse>"
        ),
    }
}

fn id_of(reply: &Reply) -> SignOutId {
    assert_eq!(reply.status_code, 200, "{:?}", reply.body);
    let body = json_of(reply);
    body["sign_out"]["id"].as_str().unwrap().parse().unwrap()
}

fn kind(reply: &Reply) -> (i64, String) {
    let body = json_of(reply);
    let problem = body["type"].as_str().unwrap_or_default();
    let name = problem.rsplit(':').next().unwrap_or_default();
    (reply.status_code, name.to_owned())
}

fn not_found() -> (i64, String) {
    (404, "sign-out-not-found".to_owned())
}

/// The states of these devices in a receipt that has no other.
fn states(receipt: &Value, devices: &[&Device]) -> Vec<String> {
    let listed = receipt["devices"].as_array().unwrap();
    assert_eq!(listed.len(), devices.len(), "{receipt:#}");
    let state = |device: &&Device| part(receipt, device)["state"].as_str().unwrap().to_owned();
    devices.iter().map(state).collect()
}

fn part<'a>(receipt: &'a Value, device: &Device) -> &'a Value {
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
async fn a_receipt_lists_its_devices_at_once_without_a_row_for_each() {
    let (home, [laptop, tv, phone]) = Home::of_three().await;
    let listed = json_of(&home.bundle.list(&laptop.token).await);
    let listed = part(&listed, &tv).clone();
    let id = home.sign_out_all(&laptop, "others").await;

    let receipt = home.receipt(&laptop, id).await;

    assert_eq!(home.engine.rows(RECEIPTS).len(), 1, "its record");
    assert_eq!(states(&receipt, &[&tv, &phone]), ["refused", "refused"]);
    assert_eq!(receipt["total"], total(2, 0, 0));
    assert_eq!(receipt["id"], json!(id));
    assert_eq!(receipt["scope"], "others");
    assert_eq!(receipt["reason"], "signed_out");
    assert_eq!(receipt["requested_by"]["id"], json!(laptop.id));
    assert_eq!(receipt["requested_at"], home.now());
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
        let (home, [laptop, tv, phone]) = Home::of_three().await;
        let id = home.sign_out_all(&laptop, scope).await;
        home.refused(&tv).await;
        let reader = home.device().await;
        let before = home.receipt(&reader, id).await;

        home.swept(&reader, id).await;

        assert_eq!(home.receipt(&reader, id).await, before);
        home.forget(&tv);
        home.forget(&phone);
        assert_eq!(
            home.receipt(&reader, id).await,
            before,
            "the TTL took two rows"
        );
    }
}

#[tokio::test]
async fn one_device_has_a_receipt_of_its_own() {
    let (home, [laptop, tv, phone]) = Home::of_three().await;
    let of_tv = home.sign_out_device(&laptop, &tv).await;
    home.later(SECOND);
    let of_phone = id_of(&home.bundle.sign_out_this(&phone.token).await);

    let receipt = home.receipt(&laptop, of_tv).await;
    assert_eq!(states(&receipt, &[&tv]), ["refused"]);
    assert_eq!(receipt["scope"], "device");
    let receipt = home.receipt(&laptop, of_phone).await;
    assert_eq!(states(&receipt, &[&phone]), ["refused"]);
    assert_eq!(receipt["scope"], "local");

    home.again(&tv).await;
    home.forget(&phone);
    let receipt = home.receipt(&laptop, of_tv).await;
    assert_eq!(states(&receipt, &[&tv]), ["refused"], "signed in again");
    let receipt = home.receipt(&laptop, of_phone).await;
    assert_eq!(states(&receipt, &[&phone]), ["refused"], "its row is gone");
}

#[tokio::test]
async fn of_two_sign_outs_in_a_row_each_keeps_its_own_devices() {
    for order in [[0, 1], [1, 0]] {
        let (home, [laptop, tv, phone]) = Home::of_three().await;
        let others = home.sign_out_all(&laptop, "others").await;
        let console = home.device().await;
        let global = home.sign_out_all(&laptop, "global").await;
        let reader = home.device().await;
        let told = async || {
            let first = home.receipt(&reader, others).await;
            let second = home.receipt(&reader, global).await;
            assert_eq!(states(&first, &[&tv, &phone]), ["refused", "refused"]);
            assert_eq!(
                states(&second, &[&laptop, &console]),
                ["refused", "refused"]
            );
        };

        told().await;
        home.swept(&reader, [others, global][order[0]]).await;
        told().await;
        home.swept(&reader, [others, global][order[1]]).await;
        told().await;
    }
}

#[tokio::test]
async fn a_device_that_signs_in_again_keeps_its_part_in_the_older_receipt() {
    for is_swept in [false, true] {
        let (home, [laptop, tv, phone]) = Home::of_three().await;
        let first = home.sign_out_all(&laptop, "others").await;
        if is_swept {
            home.swept(&laptop, first).await;
        }
        let before = home.receipt(&laptop, first).await;

        let tv = home.again(&tv).await;

        assert_eq!(home.receipt(&laptop, first).await, before);
        home.swept(&laptop, first).await;
        assert_eq!(home.receipt(&laptop, first).await, before);
        assert_eq!(home.bundle.who_am_i(&tv.token).await.status_code, 200);
        let second = home.sign_out_all(&laptop, "others").await;
        home.refused(&tv).await;
        let receipt = home.receipt(&laptop, second).await;
        assert_eq!(states(&receipt, &[&tv]), ["contacted"]);
        assert_eq!(
            home.receipt(&laptop, first).await,
            before,
            "not of that session"
        );
        assert_eq!(states(&before, &[&tv, &phone]), ["refused", "refused"]);
    }
}

#[tokio::test]
async fn a_device_in_contact_before_it_signs_in_again_stays_contacted() {
    let (home, [laptop, tv, phone]) = Home::of_three().await;
    let id = home.sign_out_all(&laptop, "others").await;
    home.refused(&tv).await;
    let before = home.receipt(&laptop, id).await;

    home.again(&tv).await;

    assert_eq!(home.receipt(&laptop, id).await, before);
    assert_eq!(states(&before, &[&tv, &phone]), ["contacted", "refused"]);
    assert_eq!(before["total"], total(2, 1, 0));
}

#[tokio::test]
async fn a_session_that_had_expired_before_is_in_no_receipt_of_many() {
    let home = Home::new().await;
    let tv = home.device().await;
    home.later(DAY * 31);
    let (laptop, phone) = (home.device().await, home.device().await);
    let id = home.sign_out_all(&laptop, "others").await;
    let told = async || states(&home.receipt(&laptop, id).await, &[&phone]);

    assert_eq!(told().await, ["refused"]);
    home.refused(&tv).await;
    assert_eq!(told().await, ["refused"], "it has called");
    home.swept(&laptop, id).await;
    home.refused(&tv).await;
    assert_eq!(told().await, ["refused"], "its row was swept");
    let acknowledged = home.bundle.acknowledge(&tv.token, id).await;
    assert_eq!(kind(&acknowledged), not_found());
    home.again(&tv).await;
    assert_eq!(told().await, ["refused"], "it has signed in again");
}

#[tokio::test]
async fn a_session_that_had_expired_and_signs_in_again_before_the_sweep_is_in_no_receipt() {
    let home = Home::new().await;
    let tv = home.device().await;
    home.later(DAY * 31);
    let (laptop, phone) = (home.device().await, home.device().await);
    let id = home.sign_out_all(&laptop, "others").await;

    home.again(&tv).await;

    assert_eq!(
        states(&home.receipt(&laptop, id).await, &[&phone]),
        ["refused"]
    );
    home.swept(&laptop, id).await;
    assert_eq!(
        states(&home.receipt(&laptop, id).await, &[&phone]),
        ["refused"]
    );
}

/// The transactions of such a sign-in and of a sweep are about one session, within the
/// ten minutes for which DynamoDB remembers a transaction by its token.
#[tokio::test]
async fn a_device_that_signed_in_again_before_a_sweep_is_marked_when_it_is_ended_once_more() {
    let (home, [laptop, tv, _]) = Home::of_three().await;
    let first = home.sign_out_all(&laptop, "others").await;
    let back = home.again(&tv).await;
    let second = home.sign_out_all(&laptop, "others").await;

    home.swept(&laptop, first).await;
    home.swept(&laptop, second).await;

    assert_eq!(home.refused(&back).await, second);
    let receipt = home.receipt(&laptop, second).await;
    assert_eq!(states(&receipt, &[&back]), ["contacted"]);
}

#[tokio::test]
async fn one_device_that_had_expired_is_in_the_receipt_of_its_own_sign_out() {
    let home = Home::new().await;
    let tv = home.device().await;
    home.later(DAY * 31);
    let laptop = home.device().await;
    let id = home.sign_out_device(&laptop, &tv).await;

    home.refused(&tv).await;

    assert_eq!(
        states(&home.receipt(&laptop, id).await, &[&tv]),
        ["contacted"]
    );
}

/// Every order of three steps, each step once more at the end.
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
async fn a_state_only_moves_forward_whatever_the_order_and_however_often() {
    for (at, order) in ORDERS.into_iter().enumerate() {
        let (home, [laptop, tv, phone]) = Home::of_three().await;
        let id = home.sign_out_all(&laptop, "others").await;
        if at % 2 == 0 {
            home.swept(&laptop, id).await;
        }
        let ended = home.record(&laptop, id).await.end_info();
        let token = Token::parse(&tv.token).unwrap();
        let rows = home.bundle.store.rows(token.account(), &[tv.id]).await;
        let session = EndedSession::from(&rows.unwrap().devices[0]);
        let furthest = ["refused", "pushed", "contacted", "acknowledged"];
        let (mut reached, mut times) = (0, json!({}));
        for step in order {
            home.later(SECOND);
            let now = home.bundle.clock.now();
            let (store, limits) = (&home.bundle.store, &home.bundle.limits);
            let marked = store.record_step(token.account(), &ended, &session, step, now, limits);
            marked.await.unwrap();

            let (rank, name) = match step {
                Step::Pushed => (1, "pushed_at"),
                Step::Contacted => (2, "contacted_at"),
                Step::Acknowledged => (3, "acknowledged_at"),
            };
            reached = reached.max(rank);
            if times[name].is_null() {
                times[name] = home.now();
            }
            let receipt = home.receipt(&laptop, id).await;
            let part = part(&receipt, &tv);
            assert_eq!(part["state"], furthest[reached], "{order:?}");
            for name in ["pushed_at", "contacted_at", "acknowledged_at"] {
                assert_eq!(part[name], times[name], "{order:?}");
            }
            assert_eq!(part["refused_at"], receipt["requested_at"]);
            let told = usize::from(reached == 1);
            assert_eq!(receipt["total"], total(2, 1 - told, told));
            assert_eq!(states(&receipt, &[&tv, &phone])[1], "refused");
        }
    }
}

#[tokio::test]
async fn a_receipt_that_is_not_ones_own_is_like_none() {
    let (home, [laptop, tv, _]) = Home::of_three().await;
    let id = home.sign_out_all(&laptop, "others").await;
    let stranger = home.stranger().await;
    let none = SignOutId::new(home.bundle.clock.now(), [7; 10]);

    let missing = home.bundle.receipt(&stranger.token, none).await;

    assert_eq!(kind(&missing), not_found());
    let mut alike = vec![id.to_string(), format!("{id}#{}", tv.id)];
    alike.extend(["", "no id", "..", "0192f0c2-0b1d-7a40-8f6e"].map(str::to_owned));
    for id in alike {
        let told = home.bundle.receipt(&stranger.token, &id).await;
        assert_eq!(format!("{told:?}"), format!("{missing:?}"), "{id}");
    }
    let of_a_part = home
        .bundle
        .receipt(&laptop.token, format!("{id}#{}", tv.id))
        .await;
    assert_eq!(format!("{of_a_part:?}"), format!("{missing:?}"));
}

#[tokio::test]
async fn a_receipt_can_be_read_until_its_retention_is_over() {
    let (home, [laptop, _, phone]) = Home::of_three().await;
    let id = home.sign_out_device(&laptop, &phone).await;
    let none = SignOutId::new(home.bundle.clock.now(), [7; 10]);
    for _ in 0..3 {
        home.later(DAY * 29);
        assert_eq!(home.bundle.who_am_i(&laptop.token).await.status_code, 200);
    }
    home.later(DAY * 3 - SECOND);

    assert_eq!(
        home.bundle.receipt(&laptop.token, id).await.status_code,
        200
    );
    home.later(SECOND);
    let over = home.bundle.receipt(&laptop.token, id).await;

    assert_eq!(kind(&over), not_found());
    let missing = home.bundle.receipt(&laptop.token, none).await;
    assert_eq!(format!("{over:?}"), format!("{missing:?}"));
}

#[tokio::test]
async fn a_receipt_is_for_who_is_signed_in() {
    let (home, [laptop, tv, _]) = Home::of_three().await;
    let id = home.sign_out_all(&laptop, "others").await;
    let told = home.bundle.receipt(&tv.token, id).await;
    assert_eq!(kind(&told), (401, "session-signed-out".to_owned()));
    let path = format!("/v1/sign-outs/{id}");
    let anonymous = event("GET", &path, None, None);
    let told = sign_out_receipts::handle(&home.bundle.sign_out_receipts, anonymous).await;
    assert_eq!(kind(&told), (401, "token-missing".to_owned()));
}

/// Asks for a receipt with parameters.
async fn page(home: &Home, by: &Device, id: SignOutId, query: &[(&str, &str)]) -> Reply {
    let mut event = event("GET", &format!("/v1/sign-outs/{id}"), Some(&by.token), None);
    event
        .path_parameters
        .insert("sign_out_id".to_owned(), id.to_string());
    let query: HashMap<String, String> = query
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    event.query_string_parameters = query.into();
    sign_out_receipts::handle(&home.bundle.sign_out_receipts, event).await
}

#[tokio::test]
async fn pages_show_each_device_once_under_one_total() {
    let home = Home::new().await;
    let laptop = home.device().await;
    let mut others = Vec::new();
    for _ in 0..5 {
        others.push(home.device().await);
    }
    let id = home.sign_out_all(&laptop, "others").await;
    home.refused(&others[1]).await;
    let mut listed = Vec::new();
    let mut cursor: Option<String> = None;

    for expected in [2, 2, 1] {
        let mut query = vec![("limit", "2")];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let reply = page(&home, &laptop, id, &query).await;
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
async fn a_page_that_there_is_not_is_refused() {
    let (home, [laptop, _, _]) = Home::of_three().await;
    let id = home.sign_out_all(&laptop, "others").await;
    for query in [
        ("limit", "0"),
        ("limit", "1001"),
        ("limit", "-1"),
        ("limit", "two"),
        ("limit", ""),
        ("cursor", "no cursor"),
        ("page", "1"),
    ] {
        let told = page(&home, &laptop, id, &[query]).await;
        assert_eq!(
            kind(&told),
            (400, "request-invalid".to_owned()),
            "{query:?}"
        );
    }
    let told = page(&home, &laptop, id, &[("limit", "1000")]).await;
    assert_eq!(told.status_code, 200);
}

#[tokio::test]
async fn a_dead_token_acknowledges_once_and_for_all() {
    for is_swept in [false, true] {
        let (home, [laptop, tv, phone]) = Home::of_three().await;
        let id = home.sign_out_all(&laptop, "others").await;
        if is_swept {
            home.swept(&laptop, id).await;
        }
        home.later(SECOND);
        let at = home.now();

        let told = home.bundle.acknowledge(&tv.token, id).await;

        assert_eq!(told.status_code, 200);
        assert_eq!(json_of(&told), json!({ "state": "acknowledged" }));
        let receipt = home.receipt(&laptop, id).await;
        assert_eq!(part(&receipt, &tv)["acknowledged_at"], at);
        assert_eq!(part(&receipt, &tv)["contacted_at"], Value::Null);
        assert_eq!(receipt["total"], total(2, 1, 0));
        assert_eq!(
            states(&receipt, &[&tv, &phone]),
            ["acknowledged", "refused"]
        );

        home.later(SECOND);
        let again = home.bundle.acknowledge(&tv.token, id);
        let (again, calls) = home.calls_of(again).await;
        assert_eq!(format!("{again:?}"), format!("{told:?}"));
        assert!(!calls.contains(&"UpdateItem".to_owned()), "{calls:?}");
        assert_eq!(home.receipt(&laptop, id).await, receipt);
    }
}

#[tokio::test]
async fn the_dead_token_of_a_device_that_has_signed_in_again_acknowledges() {
    for scope in ["device", "others", "others, swept"] {
        let (home, [laptop, tv, _]) = Home::of_three().await;
        let id = if scope == "device" {
            home.sign_out_device(&laptop, &tv).await
        } else {
            home.sign_out_all(&laptop, "others").await
        };
        if scope == "others, swept" {
            home.swept(&laptop, id).await;
        }
        let back = home.again(&tv).await;

        let told = home.bundle.acknowledge(&tv.token, id).await;

        assert_eq!(told.status_code, 200, "{scope}");
        let receipt = home.receipt(&laptop, id).await;
        assert_eq!(part(&receipt, &tv)["state"], "acknowledged", "{scope}");
        let told = home.bundle.acknowledge(&back.token, id).await;
        assert_eq!(kind(&told), not_found(), "its new session lives");
        assert_eq!(home.bundle.who_am_i(&back.token).await.status_code, 200);
    }
}

#[tokio::test]
async fn who_is_not_concerned_acknowledges_nothing() {
    let (home, [laptop, tv, phone]) = Home::of_three().await;
    let earlier = home.sign_out_device(&laptop, &phone).await;
    let id = home.sign_out_all(&laptop, "others").await;
    let later = home.sign_out_device(&laptop, &home.device().await).await;
    let stranger = home.stranger().await;
    let their = home.sign_out_all(&stranger, "global").await;
    let none = SignOutId::new(home.bundle.clock.now(), [7; 10]);
    let missing = home.bundle.acknowledge(&tv.token, none).await;
    assert_eq!(kind(&missing), not_found());
    let rows = home.rows();

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
        let told = home.bundle.acknowledge(&device.token, &id).await;
        assert_eq!(format!("{told:?}"), format!("{missing:?}"), "{id}");
    }

    assert_eq!(home.rows(), rows, "nothing was written");
}

#[tokio::test]
async fn a_wrong_secret_acknowledges_nothing() {
    let (home, [laptop, tv, phone]) = Home::of_three().await;
    let of_phone = home.sign_out_device(&laptop, &phone).await;
    let id = home.sign_out_all(&laptop, "others").await;
    let replaced = home.again(&laptop).await;
    let rows = home.rows();
    let secret = |device: &Device| {
        let token = Token::parse(&device.token).unwrap();
        let other = Token::new(token.account(), token.device(), [1; 32]);
        other.to_text().to_string()
    };

    let tried = [
        (secret(&tv), id),
        (secret(&phone), of_phone),
        (secret(&replaced), id),
        (laptop.token.clone(), id),
    ];
    for (token, id) in tried {
        let told = home.bundle.acknowledge(&token, id).await;
        assert_eq!(kind(&told), (401, "token-invalid".to_owned()));
    }

    assert_eq!(home.rows(), rows, "nothing was written");
}

#[tokio::test]
async fn an_acknowledgement_with_a_body_is_refused() {
    let (home, [laptop, tv, _]) = Home::of_three().await;
    let id = home.sign_out_all(&laptop, "others").await;
    let path = format!("/v1/sign-outs/{id}/acknowledgement");
    let mut event = event(
        "POST",
        &path,
        Some(&tv.token),
        Some(&json!({ "wiped": true })),
    );
    event
        .path_parameters
        .insert("sign_out_id".to_owned(), id.to_string());

    let told = sign_out_receipts::handle(&home.bundle.sign_out_receipts, event).await;

    assert_eq!(kind(&told), (400, "request-invalid".to_owned()));
    let receipt = home.receipt(&laptop, id).await;
    assert_eq!(part(&receipt, &tv)["state"], "refused");
}

/// Where a device may knock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    WhoAmI,
    SignOutThis,
    List,
    SignOutDevice,
    SignOutAll,
    ChangePassword,
    Receipt,
    SocketTicket,
    Authorizer,
    Introspect,
}

const DOORS: [Door; 10] = [
    Door::WhoAmI,
    Door::SignOutThis,
    Door::List,
    Door::SignOutDevice,
    Door::SignOutAll,
    Door::ChangePassword,
    Door::Receipt,
    Door::SocketTicket,
    Door::Authorizer,
    Door::Introspect,
];

/// What a device is told at a door.
fn knock<'a>(home: &'a Home, door: Door, by: &'a Device, id: SignOutId) -> Running<'a, String> {
    Box::pin(async move {
        let (bundle, token) = (&home.bundle, by.token.as_str());
        let reply = match door {
            Door::WhoAmI => bundle.who_am_i(token).await,
            Door::SignOutThis => bundle.sign_out_this(token).await,
            Door::List => bundle.list(token).await,
            Door::SignOutDevice => bundle.sign_out_device(token, by.id).await,
            Door::SignOutAll => bundle.sign_out_all(token, "global").await,
            Door::ChangePassword => {
                let change = bundle.change_password(token, PASSWORD, OTHER_PASSWORD, true);
                change.await
            }
            Door::Receipt => bundle.receipt(token, id).await,
            Door::SocketTicket => bundle.socket_ticket(token).await,
            Door::Introspect => bundle.introspect(token).await,
            Door::Authorizer => {
                let event = event("GET", "/films", Some(token), None);
                let decision = authorizer::handle(&bundle.authorizer, event).await;
                return format!("{}", decision.unwrap().is_authorized);
            }
        };
        format!("{reply:?}")
    })
}

/// How the television comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    One,
    Many,
    ManySwept,
}

fn ended(end: End) -> Running<'static, (Home, [Device; 3], SignOutId)> {
    Box::pin(async move {
        let (home, devices) = Home::of_three().await;
        let id = match end {
            End::One => home.sign_out_device(&devices[0], &devices[1]).await,
            End::Many | End::ManySwept => home.sign_out_all(&devices[0], "others").await,
        };
        if end == End::ManySwept {
            home.swept(&devices[0], id).await;
        }
        home.later(SECOND);
        (home, devices, id)
    })
}

const ENDS: [End; 3] = [End::One, End::Many, End::ManySwept];

fn writes(calls: &[String]) -> usize {
    calls.iter().filter(|call| *call == "UpdateItem").count()
}

#[tokio::test]
async fn the_first_contact_at_each_door_is_marked_once() {
    for end in ENDS {
        for door in DOORS {
            let (home, [laptop, tv, _], id) = ended(end).await;
            let at = home.now();

            let knocked = knock(&home, door, &tv, id);
            let (told, calls) = home.calls_of(knocked).await;

            assert_eq!(writes(&calls), 2, "{end:?} {door:?} {calls:?}");
            let receipt = home.receipt(&laptop, id).await;
            let part = part(&receipt, &tv);
            assert_eq!(part["state"], "contacted", "{end:?} {door:?}");
            assert_eq!(part["contacted_at"], at, "{end:?} {door:?}");
            let rows = home.rows();
            home.later(SECOND);
            for door in DOORS {
                let (_, calls) = home.calls_of(knock(&home, door, &tv, id)).await;
                assert_eq!(writes(&calls), 0, "{end:?} {door:?} {calls:?}");
            }
            let (again, _) = home.calls_of(knock(&home, door, &tv, id)).await;
            assert_eq!(again, told, "{end:?} {door:?}");
            assert_eq!(home.rows(), rows, "{end:?} {door:?}");
        }
    }
}

#[tokio::test]
async fn a_table_that_fails_while_a_contact_is_marked_changes_no_verdict() {
    const CUTS: [Judge; 5] = [
        |at| (at == 0).then_some(Cut::NotMade),
        |at| (at == 1).then_some(Cut::NotMade),
        |at| (at == 0).then_some(Cut::MadeAndUnheard),
        |at| (at == 1).then_some(Cut::MadeAndUnheard),
        |_| Some(Cut::NotMade),
    ];
    // Told how it came to its end, and not.
    let doors = [
        Door::WhoAmI,
        Door::SignOutAll,
        Door::Authorizer,
        Door::Introspect,
    ];
    for end in ENDS {
        for door in doors {
            let (well, devices, id) = ended(end).await;
            let right = masked(&knock(&well, door, &devices[1], id).await, &devices, id);
            for cut in CUTS {
                let (home, devices, id) = ended(end).await;
                let [laptop, tv, _] = &devices;
                home.cut(cut);

                let told = knock(&home, door, tv, id).await;

                assert_eq!(masked(&told, &devices, id), right, "{end:?} {door:?}");
                home.mend();
                home.refused(tv).await;
                let receipt = home.receipt(laptop, id).await;
                assert_eq!(part(&receipt, tv)["state"], "contacted");
                let (_, calls) = home.calls_of(home.bundle.who_am_i(&tv.token)).await;
                assert_eq!(writes(&calls), 0, "{end:?} {door:?} {calls:?}");
            }
        }
    }
}

/// What was told, with names for the ids that differ between two homes.
fn masked(told: &str, devices: &[Device], id: SignOutId) -> String {
    let told = told.replace(&id.to_string(), "the sign-out");
    let name = |told: String, (at, device): (usize, &Device)| {
        told.replace(&device.id.to_string(), &format!("device {at}"))
    };
    devices.iter().enumerate().fold(told, name)
}

#[tokio::test]
async fn a_contact_of_a_live_session_or_a_wrong_secret_is_none() {
    let (home, [laptop, tv, phone]) = Home::of_three().await;
    let id = home.sign_out_device(&laptop, &tv).await;
    let rows = home.rows();
    let token = Token::parse(&tv.token).unwrap();
    let other = Device {
        token: Token::new(token.account(), token.device(), [1; 32])
            .to_text()
            .to_string(),
        ..tv.clone()
    };

    for door in [Door::WhoAmI, Door::List, Door::Authorizer, Door::Receipt] {
        for device in [&laptop, &phone, &other] {
            knock(&home, door, device, id).await;
        }
    }

    assert_eq!(home.rows(), rows);
}

#[tokio::test]
async fn the_caller_of_a_global_sign_out_is_in_its_own_receipt() {
    let (home, [laptop, tv, phone]) = Home::of_three().await;
    let id = home.sign_out_all(&laptop, "global").await;
    assert_eq!(home.refused(&laptop).await, id);
    let old = laptop.token.clone();

    let laptop = home.again(&laptop).await;

    let receipt = home.receipt(&laptop, id).await;
    let expected = ["contacted", "refused", "refused"];
    assert_eq!(states(&receipt, &[&laptop, &tv, &phone]), expected);
    assert_eq!(receipt["total"], total(3, 1, 0));
    assert_eq!(receipt["requested_by"]["id"], json!(laptop.id));
    assert_eq!(home.bundle.acknowledge(&old, id).await.status_code, 200);
    let receipt = home.receipt(&laptop, id).await;
    assert_eq!(part(&receipt, &laptop)["state"], "acknowledged");
}

#[tokio::test]
async fn a_changed_password_has_a_receipt_too() {
    let (home, [laptop, tv, phone]) = Home::of_three().await;
    home.later(SECOND);
    let change = home
        .bundle
        .change_password(&laptop.token, PASSWORD, OTHER_PASSWORD, true);
    let id = id_of(&change.await);
    home.refused(&phone).await;

    let receipt = home.receipt(&laptop, id).await;

    assert_eq!(receipt["reason"], "password_changed");
    assert_eq!(states(&receipt, &[&tv, &phone]), ["refused", "contacted"]);
}

#[tokio::test]
async fn a_session_that_was_born_dead_is_known_by_its_device() {
    // It signs in while everyone is signed out: its session takes the place of one
    // that the sign-out has ended, and is ended by it too.
    let (home, [laptop, tv, phone]) = Home::of_three().await;
    let token = Token::parse(&tv.token).unwrap();
    let rows = home
        .bundle
        .store
        .rows(token.account(), &[tv.id])
        .await
        .unwrap();
    let mut born_dead = rows.devices[0].clone();
    let id = home.sign_out_all(&laptop, "others").await;
    home.refused(&tv).await;
    let before = home.receipt(&laptop, id).await;
    let replaced = born_dead.session;
    let new = Token::new(token.account(), tv.id, [9; 32]);
    born_dead.session = domain::SessionId::from_random([9; 16]);
    born_dead.token_hash = new.hash();
    let (store, limits) = (&home.bundle.store, &home.bundle.limits);
    let put = store.sign_in(&born_dead, Some(replaced), limits).await;
    assert_eq!(put.unwrap(), store::WriteOutcome::Done);

    let back = Device {
        token: new.to_text().to_string(),
        ..tv.clone()
    };
    assert_eq!(home.refused(&back).await, id);

    assert_eq!(home.receipt(&laptop, id).await, before, "one part a device");
    assert_eq!(states(&before, &[&tv, &phone]), ["contacted", "refused"]);
    for token in [&tv.token, &back.token] {
        assert_eq!(home.bundle.acknowledge(token, id).await.status_code, 200);
    }
}
