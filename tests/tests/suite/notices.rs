//! What owners are notified of by mail, and what the links in these mails can do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use curfew_tests::account::{EMAIL, OTHER_PASSWORD, PASSWORD, TestDevice, register};
use curfew_tests::app::{TestApp, sign_out_of};
use curfew_tests::aws::{Call as AwsCall, Principal};
use curfew_tests::bundle::{ISSUER, event, json_of, problem_of};
use curfew_tests::client::{Household, LAPTOP, TV};
use curfew_tests::delivery::{failed_messages, queue_event};
use curfew_tests::engine::ServiceResponse;
use curfew_tests::fake_aws::{FakeAws, Intercept};
use curfew_tests::inbox;
use curfew_tests::person::Person;
use curfew_tests::races::clauses::{Clause, clauses, weakened};
use curfew_tests::stack::stack;
use curfew_tests::tables::{DEVICES, NOTICES, RECEIPTS};
use curfew_tests::wire::{CallResult, Slot};
use device_info::known;
use domain::Device;
use futures_util::future::join_all;
use jiff::SignedDuration;
use mail::{Language, MailQueue, Message, Notice};
use runtime::lock;
use serde_json::{Value, json};
use store::Change;

/// The product, with the function that notifies owners.
struct Notifying {
    app: TestApp,
    notify: notify_owner::Deps,
}

impl Notifying {
    /// Returns it with an account and a first device of it.
    async fn with_laptop() -> (Self, TestDevice) {
        let (app, [laptop]) = TestApp::with_devices().await;
        let queue = MailQueue::new(
            app.aws.clients().sqs(),
            "https://sqs.invalid/mails".to_owned(),
        );
        let notify = notify_owner::Deps {
            store: app.bundle.store.clone(),
            queue: Some(queue),
            language: Language::En,
            clock: app.clock.clone(),
        };
        (Self { app, notify }, laptop)
    }

    fn aws(&self) -> &Arc<FakeAws> {
        &self.app.aws
    }

    /// Waits until the queue delivers a message that failed again.
    fn next_delivery(&self) {
        self.app.advance(SignedDuration::from_secs(180));
    }

    /// Delivers events, and returns the messages that failed.
    async fn deliver(&self, bodies: &[&str]) -> Vec<String> {
        failed_messages(notify_owner::handle(&self.notify, queue_event(bodies)).await)
    }

    /// Returns the notices whose mails were queued since the last call.
    fn queued(&self) -> Vec<Notice> {
        let queued = self.aws().take_queued().into_iter();
        let message = queued.map(|it| serde_json::from_str(&it.body).unwrap());
        message
            .map(|message| match message {
                Message::Notice(notice) => *notice,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    /// Delivers the messages of a change, and returns the notices.
    async fn notices_of(&self, change: &Change) -> Vec<Notice> {
        let messages = events::messages(change, &events::Record::default(), ISSUER);
        let bodies: Vec<String> = messages.iter().map(events::Message::body).collect();
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        assert_eq!(self.deliver(&bodies).await, [] as [&str; 0]);
        self.queued()
    }

    /// Signs a device in, and returns the change in the stream.
    async fn sign_in(&self, before: Option<&TestDevice>) -> (TestDevice, Change) {
        let row = match before {
            Some(device) => Some(Box::new(self.app.row(device).await)),
            None => None,
        };
        let device = self.app.sign_in(before.map(|it| &*it.key)).await;
        let change = signed_in(self.app.row(&device).await, row);
        (device, change)
    }

    /// Signs a new device in, and returns it with the notice about it.
    async fn new_device(&self) -> (TestDevice, Notice) {
        let (device, change) = self.sign_in(None).await;
        let [notice] = <[_; 1]>::try_from(self.notices_of(&change).await).expect("one notice");
        (device, notice)
    }

    async fn signed_out(&self, by: &TestDevice, id: domain::SignOutId) -> Vec<Notice> {
        let store = &self.app.bundle.store;
        let receipt = store.receipt(by.account, id, &self.app.bundle.limits).await;
        let sign_out = receipt.unwrap().expect("a receipt").sign_out;
        self.notices_of(&Change::SignedOut(sign_out)).await
    }

    async fn post(&self, path: &str, body: &Value) -> (i64, Value) {
        let reply = self.app.bundle.send(event("POST", path, None, Some(body)));
        let reply = reply.await;
        (reply.status_code, json_of(&reply))
    }

    async fn press(&self, secret: &str) -> (i64, Value) {
        self.answer(secret, "end").await
    }

    async fn answer(&self, secret: &str, action: &str) -> (i64, Value) {
        let body = json!({ "secret": secret, "action": action });
        self.post("/v1/notices/actions", &body).await
    }

    async fn is_signed_in(&self, device: &TestDevice) -> bool {
        self.app.bundle.who_am_i(&device.token).await.status_code == 200
    }
}

fn signed_in(device: Device, before: Option<Box<Device>>) -> Change {
    let device = Box::new(device);
    Change::SignedIn { device, before }
}

fn secret(notice: &Notice) -> &str {
    notice.link_secret.as_deref().expect("a link")
}

#[tokio::test]
async fn a_new_device_causes_a_notice_and_a_first_or_known_one_does_not() {
    let (it, laptop) = Notifying::with_laptop().await;
    let first = signed_in(it.app.row(&laptop).await, None);
    assert_eq!(it.notices_of(&first).await, []);

    let (_, notice) = it.new_device().await;
    assert_eq!(
        (notice.email.as_str(), notice.event.as_str()),
        (EMAIL, "signed_in")
    );
    let (_, change) = it.sign_in(Some(&laptop)).await;
    assert_eq!(it.notices_of(&change).await, [], "known, wherever it is");
}

#[tokio::test]
async fn a_device_whose_session_was_ended_causes_a_notice_when_it_comes_back() {
    let (it, laptop) = Notifying::with_laptop().await;
    let (thief, _) = it.new_device().await;
    // By itself, by another device, and by the end of the epoch.
    for end in ["this", "device", "others"] {
        if end == "this" {
            let _sign_out = it.app.bundle.sign_out_this(&thief.token).await;
        } else {
            it.app.sign_out(&laptop, &thief, end).await;
        }
        let (back, change) = it.sign_in(Some(&thief)).await;
        let notices = it.notices_of(&change).await;
        assert_eq!(notices.len(), 1, "{end}");
        let again = it.app.sign_in_again(&back).await;
        assert!(it.is_signed_in(&again).await);
        // The next round signs out the session that the device has now.
        let (_, change) = it.sign_in(Some(&thief)).await;
        assert_eq!(it.notices_of(&change).await, [], "{end}");
        if end == "this" {
            let now = it.app.sign_in_again(&back).await;
            assert_eq!(
                it.app.bundle.sign_out_this(&now.token).await.status_code,
                200
            );
        }
    }
}

#[tokio::test]
async fn the_next_sign_in_of_an_old_account_without_devices_causes_a_notice() {
    let (it, laptop) = Notifying::with_laptop().await;
    it.app.advance(SignedDuration::from_hours(25));
    let mut row = it.app.row(&laptop).await;
    row.signed_in_at = it.app.clock.now();
    assert_eq!(it.notices_of(&signed_in(row, None)).await.len(), 1);
}

#[tokio::test]
async fn acts_on_other_devices_cause_one_notice_an_hour_and_a_changed_password_one_each_time() {
    let (it, laptop) = Notifying::with_laptop().await;
    let (tv, _) = it.new_device().await;
    let (phone, _) = it.new_device().await;

    let id = it.app.sign_out_device(&laptop, &tv).await;
    let notices = it.signed_out(&laptop, id).await;
    assert_eq!(notices.len(), 1);
    assert_eq!(notices[0].event, "signed_out");
    assert_eq!(notices[0].sign_out, Some(id.to_string()));
    let id = it.app.sign_out_device(&laptop, &phone).await;
    assert_eq!(it.signed_out(&laptop, id).await, [], "within the hour");
    let id = it.app.sign_out_scope(&laptop, "others").await;
    assert_eq!(it.signed_out(&laptop, id).await.len(), 1, "of many");

    let id = it.app.change_password(&laptop, true).await;
    let notices = it.signed_out(&laptop, id).await;
    assert_eq!(notices.len(), 1, "the two events have one notice");
    assert_eq!(notices[0].event, "password_changed");
    let this = it.app.bundle.sign_out_this(&laptop.token).await;
    let id = sign_out_of(&this);
    assert_eq!(it.signed_out(&laptop, id).await, [], "its own act");
}

#[tokio::test]
async fn the_owner_is_notified_of_a_session_that_wrong_passwords_ended() {
    let (it, laptop) = Notifying::with_laptop().await;
    let (thief, _) = it.new_device().await;
    it.app.advance(SignedDuration::from_secs(1));
    let mut ended = Value::Null;
    for _ in 0..10 {
        let change = it
            .app
            .bundle
            .change_password(&thief.token, OTHER_PASSWORD, PASSWORD, true);
        ended = json_of(&change.await);
    }
    let id = ended["sign_out"].as_str().unwrap().parse().unwrap();

    let notices = it.signed_out(&laptop, id).await;

    assert_eq!(notices.len(), 1, "{ended}");
    assert_eq!(notices[0].event, "wrong_password");
    assert_eq!(notices[0].sign_out, Some(id.to_string()));
    assert_eq!(notices[0].device_type.as_deref(), Some("other"));
    let list = event("GET", "/v1/messages", Some(&laptop.token), None);
    let listed = json_of(&it.app.bundle.send(list).await);
    let newest = &listed["messages"][0];
    assert_eq!(newest["kind"], "wrong_password");
    assert_eq!(newest["reference"], notices[0].reference.as_str());
}

/// Makes wrong attempts to sign in. Returns the messages for `notify-owner`.
async fn guess(app: &TestApp, email: &str, times: usize) -> Vec<String> {
    for _ in 0..times {
        app.advance(SignedDuration::from_mins(10));
        let guess = app.bundle.log_in(email, OTHER_PASSWORD, None).await;
        assert_eq!(guess.status_code, 401);
    }
    let queued = app.aws.take_queued().into_iter();
    queued.map(|message| message.body).collect()
}

#[tokio::test]
async fn the_owner_is_notified_at_half_of_the_most_failures_in_a_row_and_at_the_most() {
    let (mut it, laptop) = Notifying::with_laptop().await;
    it.app = it.app.with_mail();
    let budgets = &mut it.app.bundle.login.budgets;
    budgets.address = budgets.address.with_in_a_row(10, None);
    let began = it.app.clock.now() + SignedDuration::from_mins(10);

    for expected in [5, 10] {
        let [message] = <[_; 1]>::try_from(guess(&it.app, EMAIL, 5).await).expect("one message");
        assert_eq!(it.deliver(&[&message, &message]).await, [] as [&str; 0]);
        assert_eq!(it.deliver(&[&message]).await, [] as [&str; 0]);
        let [notice] = <[_; 1]>::try_from(it.queued()).expect("one notice");
        assert_eq!((&*notice.email, &*notice.event), (EMAIL, "many_failures"));
        let failures = notice.failures.unwrap();
        assert_eq!(failures.count, expected);
        assert_eq!(failures.since_s, began.as_second());
        assert_eq!(notice.place.as_deref(), Some("192.0.2.1"));
        assert_eq!(notice.link_secret, None);
        let list = event("GET", "/v1/messages", Some(&laptop.token), None);
        let listed = json_of(&it.app.bundle.send(list).await);
        let newest = &listed["messages"][0];
        assert_eq!(newest["kind"], "many_failures");
        assert_eq!(newest["reference"], notice.reference.as_str());
        assert_eq!(newest["failures"]["count"], expected);
        assert_eq!(newest["failures"]["places"], json!(["192.0.2.1"]));
    }
    let refused = it.app.bundle.log_in(EMAIL, OTHER_PASSWORD, None).await;
    assert_eq!(refused.status_code, 429);
    assert!(it.aws().take_queued().is_empty(), "once per run");
}

#[tokio::test]
async fn a_notice_of_failures_names_ten_countries_and_counts_the_others() {
    let (mut it, _) = Notifying::with_laptop().await;
    it.app = it.app.with_mail();
    let budgets = &mut it.app.bundle.login.budgets;
    budgets.address = budgets.address.with_in_a_row(10, None);
    let [message] = <[_; 1]>::try_from(guess(&it.app, EMAIL, 5).await).expect("one message");
    let mut failed: Value = serde_json::from_str(&message).unwrap();
    let countries: Vec<String> = (b'A'..=b'Q').map(|c| format!("A{}", c as char)).collect();
    failed["places"] = json!(countries);

    assert_eq!(it.deliver(&[&failed.to_string()]).await, [] as [&str; 0]);

    let [notice] = <[_; 1]>::try_from(it.queued()).expect("one notice");
    assert_eq!(notice.failures.unwrap().more_places, 7);
    let named = notice.place.unwrap();
    assert_eq!(named, countries[..10].join(", "));
    assert!(known::is_plain(&named));
}

#[tokio::test]
async fn a_success_begins_another_run_of_failures() {
    let (mut it, _) = Notifying::with_laptop().await;
    it.app = it.app.with_mail();
    let budgets = &mut it.app.bundle.login.budgets;
    budgets.address = budgets.address.with_in_a_row(10, None);
    let mut references = Vec::new();
    for _ in 0..2 {
        assert_eq!(guess(&it.app, EMAIL, 4).await, [] as [&str; 0]);
        let _owner = it.app.sign_in(None).await;
        let [message] = <[_; 1]>::try_from(guess(&it.app, EMAIL, 5).await).expect("one message");
        assert_eq!(it.deliver(&[&message]).await, [] as [&str; 0]);
        references.extend(it.queued().into_iter().map(|notice| notice.reference));
        let _owner = it.app.sign_in(None).await;
    }
    assert_eq!(references.len(), 2);
    assert_ne!(references[0], references[1]);
}

#[tokio::test]
async fn nobody_is_notified_of_wrong_passwords_for_an_unconfirmed_or_unknown_address() {
    let (mut it, _) = Notifying::with_laptop().await;
    it.app = it.app.with_mail();
    let budgets = &mut it.app.bundle.login.budgets;
    budgets.address = budgets.address.with_in_a_row(4, None);
    let (store, now) = (&it.app.bundle.store, it.app.clock.now());
    let unproven = register(store, "ada@example.com", PASSWORD, None, now);
    unproven.await.unwrap();
    for email in ["ada@example.com", "noa@example.com"] {
        let [message] = <[_; 1]>::try_from(guess(&it.app, email, 2).await).expect("one message");
        assert_eq!(it.deliver(&[&message]).await, [] as [&str; 0]);
        assert_eq!(it.queued(), [], "{email}");
    }
    // A queue that fails changes no answer.
    it.aws().fail("SendMessage", || {
        CallResult::Answered(ServiceResponse::error(500, "InternalError"))
    });
    assert_eq!(guess(&it.app, EMAIL, 2).await, [] as [&str; 0]);
}

#[tokio::test]
async fn an_event_that_comes_twice_causes_one_notice_and_one_that_failed_causes_it_later() {
    let (it, _) = Notifying::with_laptop().await;
    let (_, change) = it.sign_in(None).await;
    let message = events::messages(&change, &events::Record::default(), ISSUER)[0].body();

    // SQS fails, then the answer of the write that remembers the mail is lost.
    it.aws().fail("SendMessage", || {
        CallResult::Answered(ServiceResponse::error(500, "InternalError"))
    });
    assert_eq!(it.deliver(&[&message]).await, ["0"]);
    assert_eq!(it.queued(), []);
    it.next_delivery();
    it.aws().intercept(move |call| {
        if call.body.contains("SET queued_at") {
            return Intercept::Replace(CallResult::Broken);
        }
        Intercept::Make
    });
    assert_eq!(it.deliver(&[&message]).await, ["0"]);
    it.aws().restore();
    it.next_delivery();
    assert_eq!(it.deliver(&[&message]).await, [] as [&str; 0]);
    let mails = it.queued();
    assert_eq!(mails.len(), 2, "two mails rather than none");
    assert_eq!(mails[0].reference, mails[1].reference);
    for mail in &mails {
        let body = json!({ "secret": secret(mail) });
        assert_eq!(it.post("/v1/notices/read", &body).await.0, 200);
    }

    assert_eq!(it.deliver(&[&message, &message]).await, [] as [&str; 0]);
    assert_eq!(it.queued(), [], "a duplicate");
}

#[tokio::test]
async fn duplicates_at_the_same_time_queue_one_mail_and_lose_none() {
    let (it, _) = Notifying::with_laptop().await;
    let (_, change) = it.sign_in(None).await;
    let message = events::messages(&change, &events::Record::default(), ISSUER)[0].body();

    let (slot, held) = (Slot::default(), Arc::new(Mutex::new(None)));
    let (parked, answer) = (held.clone(), slot.clone());
    it.aws().intercept(move |call| {
        let is_first = call.operation == "SendMessage" && lock(&parked).is_none();
        if is_first {
            *lock(&parked) = Some(call.clone());
            return Intercept::Replace(CallResult::Waiting(answer.clone()));
        }
        Intercept::Make
    });
    let release = async {
        let call = lock(&held).take().expect("the first one is at the queue");
        slot.fill(it.aws().make(&call));
    };
    let messages = [&*message; 3];
    let (failed, ()) = tokio::join!(it.deliver(&messages), release);
    it.aws().restore();
    assert_eq!(failed, ["1", "2"], "they wait for the first one");
    assert_eq!(it.queued().len(), 1);
    it.next_delivery();
    assert_eq!(it.deliver(&[&message]).await, [] as [&str; 0]);
    assert_eq!(it.queued(), []);

    // The attempt that has the lease dies: a duplicate queues the mail after it.
    let (_, change) = it.sign_in(None).await;
    let message = events::messages(&change, &events::Record::default(), ISSUER)[0].body();
    it.aws().fail("SendMessage", || CallResult::Broken);
    assert_eq!(it.deliver(&[&message, &message]).await, ["0", "1"]);
    it.aws().restore();
    it.next_delivery();
    assert_eq!(it.deliver(&[&message]).await, [] as [&str; 0]);
    assert_eq!(it.queued().len(), 1);
}

#[tokio::test]
async fn a_write_that_the_sdk_sends_again_keeps_its_lease() {
    let (it, _) = Notifying::with_laptop().await;
    let (_, change) = it.sign_in(None).await;
    let aws = it.aws().clone();
    it.aws().intercept(move |call| {
        if call.body.contains("leased_until") {
            let _lost = aws.make(call);
        }
        Intercept::Make
    });
    assert_eq!(it.notices_of(&change).await.len(), 1);
}

#[tokio::test]
async fn looking_at_a_link_changes_nothing_and_one_press_ends_that_device() {
    let (it, laptop) = Notifying::with_laptop().await;
    let (thief, notice) = it.new_device().await;
    let (other, _) = it.new_device().await;
    let secret = secret(&notice);

    let before = it.aws().contents(&[DEVICES, RECEIPTS, NOTICES]);
    for _ in 0..3 {
        let (status, read) = it
            .post("/v1/notices/read", &json!({ "secret": secret }))
            .await;
        assert_eq!(status, 200, "{read}");
        assert_eq!(read["status"], "signed_in");
        assert_eq!(read["message"]["reference"], notice.reference.as_str());
    }
    assert_eq!(it.aws().contents(&[DEVICES, RECEIPTS, NOTICES]), before);

    let presses = join_all((0..10).map(|_| it.press(secret))).await;
    let done: Vec<_> = presses
        .iter()
        .filter(|(status, _)| *status == 200)
        .collect();
    let [(_, answer)] = done.as_slice() else {
        panic!("{presses:?}");
    };
    assert!(
        presses
            .iter()
            .all(|(status, _)| [200, 404].contains(status))
    );
    assert_eq!(answer["sign_out"]["scope"], "device");
    assert!(!it.is_signed_in(&thief).await);
    assert!(it.is_signed_in(&laptop).await && it.is_signed_in(&other).await);
    let id = answer["sign_out"]["id"].as_str().unwrap();
    let receipt = json_of(&it.app.bundle.receipt(&laptop.token, id).await);
    assert_eq!(receipt["sign_out"]["total"]["devices"], 1, "{receipt}");
    assert_eq!(it.press(secret).await.0, 404, "it works once");
}

impl Notifying {
    /// Answers a notice, holds the write up for something else, and knocks a clause of its
    /// conditions out.
    async fn answer_around(
        &self,
        (secret, action): (&str, &str),
        knocked_out: Option<&Clause>,
        in_between: impl Future<Output = ()>,
    ) -> (i64, Value) {
        let request = self.answer(secret, action);
        let change = |call| weakened(call, knocked_out);
        let aws = self.aws();
        aws.hold_up(NOTICES, request, in_between, change).await
    }

    /// Holds answers up for what can happen in between, and returns the rule that this
    /// broke.
    async fn broken_rule(
        &self,
        laptop: &TestDevice,
        knocked_out: Option<&Clause>,
    ) -> Option<&'static str> {
        let (thief, notice) = self.new_device().await;
        let mut back = None;
        let in_between = async { back = Some(self.app.sign_in_again(&thief).await) };
        let end = (secret(&notice), "end");
        let (_, answer) = self.answer_around(end, knocked_out, in_between).await;
        let id = answer["sign_out"]["id"].as_str().unwrap_or_default();
        let (store, limits) = (&self.app.bundle.store, &self.app.bundle.limits);
        let receipt = store
            .receipt(thief.account, id.parse().unwrap(), limits)
            .await;
        let sign_out = receipt.unwrap().expect("a receipt").sign_out;
        let row = self.app.row(&back.expect("it signed in")).await;
        if !sign_out.ends(row.session, row.epoch) {
            return Some("the receipt is that of the session that was ended");
        }

        let (thief, notice) = self.new_device().await;
        let mut own = None;
        let in_between = async {
            let reply = self.app.bundle.sign_out_this(&thief.token).await;
            own = Some(sign_out_of(&reply).to_string());
        };
        let end = (secret(&notice), "end");
        self.answer_around(end, knocked_out, in_between).await;
        let refused = json_of(&self.app.bundle.who_am_i(&thief.token).await);
        if refused["sign_out"].as_str() != own.as_deref() {
            return Some("the first end of a session is its end");
        }

        let (thief, notice) = self.new_device().await;
        let in_between = async {
            assert_eq!(self.answer(secret(&notice), "mine").await.0, 200);
        };
        let end = (secret(&notice), "end");
        let (status, _) = self.answer_around(end, knocked_out, in_between).await;
        if status != 404 || !self.is_signed_in(&thief).await {
            return Some("a link works once");
        }

        let (thief, notice) = self.new_device().await;
        let mut back = None;
        let in_between = async {
            self.app.sign_out_device(laptop, &thief).await;
            back = Some(self.app.sign_in_again(&thief).await);
        };
        let mine = (secret(&notice), "mine");
        self.answer_around(mine, knocked_out, in_between).await;
        let row = self.app.row(&back.expect("it signed in")).await;
        row.recognized_until
            .map(|_| "only the session that the notice is about is recognized")
    }
}

#[tokio::test]
async fn an_answer_keeps_the_rules_in_a_race_and_needs_each_of_its_conditions() {
    let (it, laptop) = Notifying::with_laptop().await;
    assert_eq!(it.broken_rule(&laptop, None).await, None);

    let mut needed = Vec::new();
    for action in ["end", "mine"] {
        let (_, notice) = it.new_device().await;
        it.aws().clear_calls();
        assert_eq!(it.answer(secret(&notice), action).await.0, 200);
        for call in it.aws().calls() {
            needed.extend(clauses("answer", &call));
        }
    }
    let texts: Vec<&str> = needed.iter().map(|clause| &*clause.text).collect();
    let answered = "attribute_not_exists(answer)";
    let session = "session_id = :session";
    assert_eq!(
        texts,
        [answered, session, "#state = :signed_in", answered, session]
    );
    for clause in &needed {
        // The budget of mails is not what is tested here.
        it.app.advance(SignedDuration::from_hours(24));
        let laptop = it.app.sign_in_again(&laptop).await;
        let broken = it.broken_rule(&laptop, Some(clause)).await;
        assert!(broken.is_some(), "{clause:?}");
    }
}

#[tokio::test]
async fn a_device_that_the_owner_claims_is_recognized_and_stays_so() {
    let (it, laptop) = Notifying::with_laptop().await;
    let (phone, notice) = it.new_device().await;

    assert_eq!(it.answer(secret(&notice), "mine").await.0, 200);

    assert!(it.is_signed_in(&phone).await);
    assert_eq!(it.press(secret(&notice)).await.0, 404, "it works once");
    assert_eq!(
        it.app.bundle.sign_out_this(&phone.token).await.status_code,
        200
    );
    let (phone, change) = it.sign_in(Some(&phone)).await;
    assert_eq!(it.notices_of(&change).await, [], "recognized");
    it.app.sign_out_device(&laptop, &phone).await;
    let (_, change) = it.sign_in(Some(&phone)).await;
    assert_eq!(
        it.notices_of(&change).await.len(),
        1,
        "not after another one ended it"
    );
}

#[tokio::test]
async fn an_old_link_does_not_end_a_later_session_with_a_notice_of_its_own() {
    let (it, laptop) = Notifying::with_laptop().await;
    let (phone, old) = it.new_device().await;
    it.app.sign_out_device(&laptop, &phone).await;
    let (back, change) = it.sign_in(Some(&phone)).await;
    let [new] = <[_; 1]>::try_from(it.notices_of(&change).await).expect("one notice");

    for action in ["end", "mine"] {
        let (status, answer) = it.answer(secret(&old), action).await;
        assert_eq!((status, &answer["sign_out"]), (200, &Value::Null));
    }
    assert!(it.is_signed_in(&back).await);
    assert_eq!(it.app.row(&back).await.recognized_until, None);
    assert_eq!(it.press(secret(&new)).await.0, 200);
    assert!(!it.is_signed_in(&back).await);
}

#[tokio::test]
async fn a_flood_of_sign_ins_fills_no_mailbox() {
    let (it, laptop) = Notifying::with_laptop().await;
    let mut mails = 0;
    for _ in 0..12 {
        let (_, change) = it.sign_in(None).await;
        mails += it.notices_of(&change).await.len();
    }
    assert_eq!(mails, 10);
    let list = event("GET", "/v1/messages", Some(&laptop.token), None);
    let listed = json_of(&it.app.bundle.send(list).await);
    assert_eq!(listed["messages"].as_array().unwrap().len(), 12);
}

#[tokio::test]
async fn a_press_ends_the_session_that_the_device_has_now() {
    let (it, _) = Notifying::with_laptop().await;
    let (thief, notice) = it.new_device().await;
    let again = it.app.sign_in_again(&thief).await;

    assert_eq!(it.press(secret(&notice)).await.0, 200);

    assert!(!it.is_signed_in(&again).await);
}

#[tokio::test]
async fn a_press_after_the_session_has_ended_reports_that_end() {
    let (it, laptop) = Notifying::with_laptop().await;
    for scope in ["device", "others"] {
        let (thief, notice) = it.new_device().await;
        let id = it.app.sign_out(&laptop, &thief, scope).await;

        let (status, pressed) = it.press(secret(&notice)).await;

        assert_eq!(status, 200);
        assert_eq!(pressed["sign_out"]["id"], id.to_string(), "{scope}");
    }
}

#[tokio::test]
async fn a_link_is_worthless_when_it_is_changed_old_or_of_another_notice() {
    let (it, _) = Notifying::with_laptop().await;
    let (thief, notice) = it.new_device().await;
    let (_, other) = it.new_device().await;
    let token = domain::NoticeToken::parse(secret(&notice)).unwrap();
    let of_other = domain::NoticeToken::parse(secret(&other)).unwrap();
    let forged = domain::NoticeToken::new(token.account(), of_other.notice(), [7; 32]).to_text();
    let cut = &secret(&notice)[1..];

    for worthless in [&**forged, cut, "", "cfn_"] {
        assert_eq!(it.press(worthless).await.0, 404, "{worthless}");
    }
    it.app.advance(SignedDuration::from_hours(7 * 24));
    let (status, problem) = it.press(secret(&notice)).await;
    assert_eq!(status, 404);
    assert_eq!(problem["type"], "urn:curfew:problem:notice-not-found");
    assert!(it.is_signed_in(&thief).await);
}

#[tokio::test]
async fn the_messages_are_listed_newest_first_for_their_account_alone() {
    let (it, laptop) = Notifying::with_laptop().await;
    let mut references = Vec::new();
    for _ in 0..3 {
        references.push(it.new_device().await.1.reference);
    }
    references.reverse();
    let list = async |token: &str, query: Option<(&str, &str)>| {
        let mut event = event("GET", "/v1/messages", Some(token), None);
        let query = query.map(|(name, value)| (name.to_owned(), value.to_owned()));
        event.query_string_parameters = HashMap::from_iter(query).into();
        it.app.bundle.send(event).await
    };

    let all = json_of(&list(&laptop.token, None).await);
    let listed: Vec<&str> = all["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["reference"].as_str().unwrap())
        .collect();
    assert_eq!(listed, references);
    let first = json_of(&list(&laptop.token, Some(("limit", "2"))).await);
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = json_of(&list(&laptop.token, Some(("cursor", cursor))).await);
    assert_eq!(rest["messages"][0]["reference"], references[2].as_str());
    assert!(rest["next_cursor"].is_null());
    let [stranger] = it.app.other_account().await;
    assert_eq!(
        json_of(&list(&stranger.token, None).await)["messages"],
        json!([])
    );
    let refused = list(&laptop.token, Some(("limit", "101"))).await;
    assert_eq!(problem_of(&refused), (400, "request-invalid".to_owned()));
}

/// Returns SES's event about a mail that came back, as `EventBridge` delivers it.
fn bounce(tags: &Value) -> mark_returned_mails::BounceEvent {
    let event = json!({
        "source": "aws.ses",
        "detail-type": "Email Bounced",
        "detail": {
            "eventType": "Bounce",
            "bounce": { "bounceType": "Permanent", "bouncedRecipients": [{ "emailAddress": EMAIL }] },
            "mail": { "destination": [EMAIL], "tags": tags },
        },
    });
    serde_json::from_value(event).unwrap()
}

#[tokio::test]
async fn a_notice_whose_mail_came_back_is_shown_as_such() {
    let (it, laptop) = Notifying::with_laptop().await;
    let (_, notice) = it.new_device().await;
    let (_, other) = it.new_device().await;
    let deps = mark_returned_mails::Deps {
        store: it.app.bundle.store.clone(),
        clock: it.app.clock.clone(),
    };
    let returned = async || {
        let list = event("GET", "/v1/messages", Some(&laptop.token), None);
        let listed = json_of(&it.app.bundle.send(list).await);
        let messages = listed["messages"].as_array().unwrap().clone();
        let is_returned = |message: &&Value| !message["returned_at"].is_null();
        let returned = messages.iter().filter(is_returned);
        returned
            .map(|message| message["reference"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let ids = |notice: &Notice| {
        json!({
            "account": [notice.account_id],
            "notice": [notice.notice_id],
            "ses:configuration-set": ["ProvenMails"],
        })
    };
    assert_eq!(returned().await, [] as [&str; 0]);

    for _ in ["once", "twice"] {
        let marked = mark_returned_mails::handle(&deps, bounce(&ids(&notice))).await;
        marked.unwrap();
        assert_eq!(returned().await, [&*notice.reference]);
        it.app.advance(SignedDuration::from_secs(1));
    }
    // A code has no notice, and a notice that is gone is not written again.
    let code = mark_returned_mails::handle(&deps, bounce(&json!({})));
    code.await.unwrap();
    let mut gone = ids(&other);
    gone["notice"] = json!([domain::NoticeId::new(it.app.clock.now(), [7; 10]).to_string()]);
    let gone = mark_returned_mails::handle(&deps, bounce(&gone));
    gone.await.unwrap();
    assert_eq!(it.aws().rows(NOTICES).len(), 2);
    let broken = json!({ "account": ["none"], "notice": ["none"] });
    let broken = mark_returned_mails::handle(&deps, bounce(&broken));
    assert!(broken.await.is_err());
}

#[tokio::test]
async fn no_text_that_a_device_chose_is_in_a_notice() {
    let (it, _) = Notifying::with_laptop().await;
    let key = domain::DeviceKey::new(it.app.clock.now(), runtime::random()).to_text();
    let bait = "Call +1 555 0100 or evil.example";
    let info = json!({ "name": bait, "type": "tv", "os": bait, "app": bait, "model": bait });
    let reply = it.app.bundle.log_in_as(EMAIL, PASSWORD, &key, &info).await;
    let device = TestDevice::of(&reply);

    let notices = it
        .notices_of(&signed_in(it.app.row(&device).await, None))
        .await;

    let text = serde_json::to_string(&notices).unwrap();
    assert!(text.contains("\"device_type\":\"tv\""), "{text}");
    assert!(!text.contains("555") && !text.contains("evil"), "{text}");
}

#[tokio::test]
async fn a_new_device_causes_a_mail_whose_link_ends_it_in_the_deployed_stack() {
    let household = Household::register().await;
    let laptop = household.sign_in(LAPTOP).await;
    let thief = household.sign_in(TV).await;

    let [mail] = <[_; 1]>::try_from(inbox::wait_for(&household.email, 1).await).unwrap();

    assert_eq!(mail.subject, "A device signed in");
    let link = format!("{}#/notice/", stack().page_url());
    let (_, rest) = mail
        .body_text
        .split_once(&link)
        .expect("a link to the page");
    let secret = rest.lines().next().unwrap();
    let person = Person::open().await.unwrap();
    person.go(&format!("#/notice/{secret}")).await.unwrap();
    person.reads("Nothing has changed yet.").await.unwrap();
    let address = person.browser.value("location.hash").await.unwrap();
    assert_eq!(address, "#/notice", "the secret is not in the history");
    for (scheme, picture) in [
        ("light", "notice-phone-light"),
        ("dark", "notice-phone-dark"),
    ] {
        let feature = [("prefers-color-scheme", scheme)];
        person.looks((390, 844), "", &feature).await.unwrap();
        person
            .browser
            .photograph_in("page-pictures", picture)
            .await
            .unwrap();
    }
    assert!(thief.is_signed_in().await, "looking changes nothing");
    person.press("It was not me: sign it out").await.unwrap();
    person
        .reads("This sign-in used your password.")
        .await
        .unwrap();
    assert_eq!(thief.ended().await["reason"], "signed_out");
    assert!(laptop.is_signed_in().await);
    let listed = laptop.get("/v1/messages").await.done(200);
    let [message] = listed["messages"].as_array().unwrap().as_slice() else {
        panic!("{listed}");
    };
    assert_eq!(message["answer"], "end");
    let reference = message["reference"].as_str().unwrap();
    assert!(mail.body_text.contains(reference));
    person.go("#/").await.unwrap();
    let signed_in = person.sign_in(&household.email, &household.password).await;
    signed_in.unwrap();
    person.reads("This device").await.unwrap();
    person.go("#/messages").await.unwrap();
    let shown = format!("Reference {reference}");
    person.reads(&shown).await.unwrap();
    person.reads("You answered: it was not me").await.unwrap();

    come_back(&laptop.account_id).await;
    let listed = laptop.get("/v1/messages").await.done(200);
    let mut messages = listed["messages"].as_array().unwrap().iter();
    let oldest = messages.next_back().unwrap();
    assert!(oldest["returned_at"].is_string(), "{listed}");
    person.browser.reload().await.unwrap();
    person.reads("This mail was returned").await.unwrap();
}

/// Calls the function as SES's rule does after the first mail to an account came back.
async fn come_back(account: &str) {
    let root = Principal::root();
    let query = json!({
        "TableName": stack().tables.notices,
        "KeyConditionExpression": "account_id = :account",
        "ExpressionAttributeValues": { ":account": { "S": account } },
    });
    let rows = root.call(&AwsCall::dynamodb("Query", &query)).await;
    let rows = rows.unwrap().success().unwrap();
    let notice = &rows["Items"][0]["notice_id"]["S"];
    let tags = json!({ "account": [account], "notice": [notice] });
    let event = json!({ "detail": { "mail": { "tags": tags } } });
    let function = &stack().functions["MarkReturnedMails"].function_name;
    let path = format!("/2015-03-31/functions/{function}/invocations");
    let call = AwsCall::rest("lambda", "POST", &path, &event.to_string());
    assert_eq!(root.call(&call).await.unwrap().text, "null");
}
