//! Changing the address of an account, and undoing it in the mailbox before.

use std::collections::BTreeSet;

use curfew_tests::account::{EMAIL, OTHER_EMAIL, OTHER_PASSWORD, PASSWORD, TestDevice, register};
use curfew_tests::app::TestApp;
use curfew_tests::bundle::{event, json_of, problem_of};
use curfew_tests::delivery::{failed_messages, queue_event};
use curfew_tests::engine::ServiceResponse;
use curfew_tests::fake_aws::Intercept;
use curfew_tests::races::clauses::{Clause, clauses, weakened};
use curfew_tests::tables::{ACCOUNTS, DEVICES, IDENTITIES, RECEIPTS};
use curfew_tests::wire::{Call, CallResult};
use domain::address_change::ChangeState;
use domain::ownership::holds::HELD_FOR;
use domain::ownership::recovery::UNDO_FOR;
use domain::ownership::{HoldCause, Remnant};
use domain::recognition::is_recognized;
use domain::verification::VERIFIED_FOR;
use domain::{Account, EmailAddress, Purpose};
use http_api::Reply;
use jiff::SignedDuration;
use mail::{Language, MailQueue, Message, Notice};
use serde_json::{Value, json};
use store::{AddressOwner, WriteOutcome};

use crate::challenges::{ask, confirm, post};

const SECOND: SignedDuration = SignedDuration::from_secs(1);
const NEW: &str = "new@example.com";
const NEWER: &str = "newer@example.com";
const REQUEST: &str = "/v1/address-changes";
const CONFIRM: &str = "/v1/address-changes/confirmations";

/// The product with mail, and the function that notifies owners.
struct Changing {
    app: TestApp,
    notify: notify_owner::Deps,
}

/// Returns the product with a confirmed account and as many devices, which may change the
/// address.
async fn changing<const N: usize>() -> (Changing, [TestDevice; N]) {
    let (app, devices) = TestApp::with_devices().await;
    let queue = MailQueue::new(app.aws.clients().sqs(), "mails".to_owned());
    let notify = notify_owner::Deps {
        store: app.bundle.store.clone(),
        queue: Some(queue),
        language: Language::En,
        clock: app.clock.clone(),
    };
    let app = app.with_mail();
    (Changing { app, notify }, devices)
}

impl Changing {
    async fn send(&self, path: &str, token: &str, body: Value) -> Reply {
        self.app.advance(SECOND);
        let event = event("POST", path, Some(token), Some(&body));
        self.app.bundle.send(event).await
    }

    async fn request(&self, by: &TestDevice, email: &str) -> Reply {
        self.send(REQUEST, &by.token, json!({ "email": email }))
            .await
    }

    /// Asks for a change, and returns what answers it: the challenge, and the code as the mail
    /// has it, or would have it.
    async fn asked(&self, by: &TestDevice, email: &str) -> Value {
        let answer = self.request(by, email).await;
        let body = json_of(&answer);
        assert_eq!(answer.status_code, 202, "{body}");
        let queued = self.app.aws.take_queued().pop().expect("a message");
        let message: Value = serde_json::from_str(&queued.body).unwrap();
        let normal = json!(email.to_lowercase());
        assert_eq!(
            (&message["kind"], &message["email"]),
            (&json!("change_address"), &normal)
        );
        json!({ "challenge": body["challenge"], "code": message["code"] })
    }

    async fn confirm(&self, by: &TestDevice, answer: &Value) -> (i64, String) {
        problem_of(&self.send(CONFIRM, &by.token, answer.clone()).await)
    }

    async fn change(&self, by: &TestDevice, email: &str) {
        let answer = self.asked(by, email).await;
        assert_eq!(self.confirm(by, &answer).await, fine());
    }

    async fn account(&self, of: &TestDevice) -> Account {
        let rows = self.app.bundle.store.rows(of.account, &[]).await.unwrap();
        rows.account.expect("the account")
    }

    async fn owner_of(&self, email: &str) -> AddressOwner {
        let email = EmailAddress::parse(email).unwrap();
        let owner = self
            .app
            .bundle
            .store
            .address_owner(&email, self.app.clock.now());
        owner.await.unwrap()
    }

    async fn log_in(&self, email: &str, password: &str) -> i64 {
        self.app.advance(SECOND);
        self.app
            .bundle
            .log_in(email, password, None)
            .await
            .status_code
    }

    /// Publishes what the stream of Receipts has, delivers it to `notify-owner`, and returns the
    /// mails.
    async fn mails(&self) -> Vec<Notice> {
        let stream = self.app.aws.engine.stream(RECEIPTS, None);
        let records = publish_revocations::StreamEvent { records: stream };
        let published = self.app.aws.published().len();
        publish_revocations::handle(&self.app.background().publish, records).await;
        let bodies = self.app.aws.published().split_off(published).into_iter();
        let bodies: Vec<String> = bodies.map(|message| message.body).collect();
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        let failed = notify_owner::handle(&self.notify, queue_event(&bodies)).await;
        assert_eq!(failed_messages(failed), [] as [&str; 0]);
        self.queued_mails()
    }

    /// Delivers the warnings that are queued to `notify-owner`, and returns the mails.
    async fn warnings(&self) -> Vec<Notice> {
        let queued = self.app.aws.take_queued().into_iter();
        let bodies: Vec<String> = queued.map(|it| it.body).collect();
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        let failed = notify_owner::handle(&self.notify, queue_event(&bodies)).await;
        assert_eq!(failed_messages(failed), [] as [&str; 0]);
        self.queued_mails()
    }

    fn queued_mails(&self) -> Vec<Notice> {
        let queued = self.app.aws.take_queued().into_iter();
        let message = queued.map(|it| serde_json::from_str(&it.body).unwrap());
        let notice = message.map(|message| match message {
            Message::Notice(notice) => *notice,
            other => panic!("{other:?}"),
        });
        notice.collect()
    }

    /// Changes the address to [`NEW`], which a settled factor proved, and returns the mail to the
    /// address before.
    async fn changed_by_factor(&self, by: &TestDevice) -> Notice {
        self.change(by, NEW).await;
        let by_factor = ChangeState::ChangedByFactor.as_str();
        self.rewrite(by, &json!({ "address_change": { "S": by_factor } }));
        let [mail] = <[_; 1]>::try_from(self.mails().await).expect("one mail");
        mail
    }

    /// Changes the address to [`NEW`], and returns the mail to the address before.
    async fn changed_mail(&self, by: &TestDevice) -> Notice {
        self.change(by, NEW).await;
        let [mail] = <[_; 1]>::try_from(self.mails().await).expect("one mail");
        assert_eq!((&*mail.event, &*mail.email), ("address_changed", EMAIL));
        mail
    }

    async fn read(&self, mail: &Notice) -> Reply {
        let body = json!({ "secret": mail.link_secret });
        post(&self.app, "/v1/notices/read", body).await
    }

    async fn press_as(&self, mail: &Notice, action: &str, reference: Option<&str>) -> Reply {
        self.app.advance(SECOND);
        let mut body = json!({ "secret": mail.link_secret, "action": action });
        if let Some(reference) = reference {
            body["reference"] = reference.into();
        }
        post(&self.app, "/v1/notices/actions", body).await
    }

    async fn press(&self, mail: &Notice) -> Reply {
        self.press_as(mail, "undo", Some(&mail.reference)).await
    }

    async fn recover(&self, email: &str, password: &str) -> i64 {
        let asked = ask(&self.app, Purpose::Recovery, email).await;
        self.app.bundle.recover(&asked, password).await.status_code
    }

    /// Lets a session change the address, as a verification does.
    fn verify(&self, device: &TestDevice) {
        let rows = self.app.aws.rows(DEVICES).into_iter();
        let is_it = |row: &Value| row["device_id"]["S"] == device.id.to_string();
        let mut row = rows.into_iter().find(is_it).expect("the device");
        let now = self.app.clock.now().as_millisecond();
        row["verified_at"] = json!({ "N": now.to_string() });
        self.app.aws.engine.put(DEVICES, &row);
    }

    /// Writes into the account's row.
    fn rewrite(&self, of: &TestDevice, attributes: &Value) {
        let mut rows = self.app.aws.rows(ACCOUNTS).into_iter();
        let mut row = rows
            .find(|row| row["account_id"]["S"] == of.account.to_string())
            .expect("the account");
        let row_of = row.as_object_mut().expect("a row");
        row_of.extend(attributes.as_object().expect("attributes").clone());
        self.app.aws.engine.put(ACCOUNTS, &row);
    }
}

fn fine() -> (i64, String) {
    (200, String::new())
}

fn code_invalid() -> (i64, String) {
    (403, "code-invalid".to_owned())
}

fn gone() -> (i64, String) {
    (404, "notice-not-found".to_owned())
}

#[tokio::test]
async fn an_undo_ends_the_request_to_remove_lost_factors() {
    let (it, [laptop, _]) = changing().await;
    let mail = it.changed_mail(&laptop).await;
    let now = it.app.clock.now().as_millisecond().to_string();
    it.rewrite(&laptop, &json!({ "factors_lost_at": { "N": now } }));
    assert!(it.account(&laptop).await.factors_lost_at.is_some());
    assert_eq!(it.press(&mail).await.status_code, 200);
    assert_eq!(it.account(&laptop).await.factors_lost_at, None);
}

#[tokio::test]
async fn a_code_to_the_new_address_changes_it_and_ends_no_session() {
    let (it, [laptop, tv]) = changing().await;
    let before = it.account(&laptop).await;

    it.change(&laptop, "New@Example.com").await;

    let account = it.account(&laptop).await;
    let change = account.address_change.clone().expect("it can be undone");
    assert_eq!(account.email, NEW);
    assert_eq!(
        (&*change.previous, change.state),
        (EMAIL, ChangeState::Changed)
    );
    assert_eq!(
        account.confirmed_at, before.confirmed_at,
        "the first confirmation stays"
    );
    assert_eq!(it.owner_of(NEW).await, AddressOwner::Account(account.id));
    for device in [&laptop, &tv] {
        assert_eq!(it.app.bundle.who_am_i(&device.token).await.status_code, 200);
    }
    assert_eq!(it.log_in(NEW, PASSWORD).await, 200);
    assert_eq!(it.log_in(EMAIL, PASSWORD).await, 401);
    assert_eq!(it.recover(NEW, OTHER_PASSWORD).await, 200);
    assert_eq!(it.log_in(NEW, OTHER_PASSWORD).await, 200);
}

#[tokio::test]
async fn a_change_needs_a_verification_of_at_most_five_minutes() {
    let (it, [laptop]) = changing().await;
    it.app.advance(VERIFIED_FOR);
    let refused = it.request(&laptop, NEW).await;
    assert_eq!(
        problem_of(&refused),
        (401, "verification-required".to_owned())
    );
    let challenge = refused.headers["www-authenticate"].to_str().unwrap();
    assert!(
        challenge.contains("insufficient_user_authentication"),
        "{challenge}"
    );
    assert_eq!(it.app.aws.take_queued().len(), 0);
}

#[tokio::test]
async fn a_taken_address_is_answered_like_a_free_one_and_never_gets_a_code() {
    let (it, [laptop]) = changing().await;
    it.app.register(OTHER_EMAIL).await;
    let answers = [
        it.request(&laptop, NEW).await,
        it.request(&laptop, OTHER_EMAIL).await,
    ];
    let shape = |reply: &Reply| {
        let names = json_of(reply)
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>();
        let headers: Vec<String> = reply.headers.keys().map(ToString::to_string).collect();
        (reply.status_code, names, headers)
    };
    assert_eq!(shape(&answers[0]), shape(&answers[1]));

    let aws = &it.app.aws;
    let mailing = crate::mails::deps(aws);
    let asked = aws.take_queued();
    let bodies: Vec<&str> = asked.iter().map(|it| &*it.body).collect();
    assert_eq!(crate::mails::deliver(&mailing, &bodies).await, [""; 0]);
    let mails = aws.take_mails();
    let subjects = mails
        .iter()
        .map(|mail| &mail["Content"]["Simple"]["Subject"]["Data"]);
    let subjects: Vec<_> = subjects.collect();
    assert_eq!(
        subjects,
        [
            "Your code for the new address",
            "You already have an account"
        ]
    );
    let taken: Value = serde_json::from_str(&asked[1].body).unwrap();
    let code = taken["code"].as_str().unwrap();
    assert!(
        !mails[1].to_string().contains(code),
        "a taken address got a code"
    );

    let challenge = json_of(&answers[1])["challenge"].clone();
    let guessed = json!({ "challenge": challenge, "code": code });
    assert_eq!(it.confirm(&laptop, &guessed).await, code_invalid());
}

#[tokio::test]
async fn an_address_that_is_registered_before_the_code_is_typed_is_answered_like_a_wrong_code() {
    let (it, [laptop]) = changing().await;
    let answer = it.asked(&laptop, NEW).await;
    it.app.register(NEW).await;
    assert_eq!(it.confirm(&laptop, &answer).await, code_invalid());
    assert_eq!(it.account(&laptop).await.email, EMAIL);
}

#[tokio::test]
async fn only_the_session_that_asked_can_answer_five_times_for_ten_minutes_in_its_epoch() {
    let (it, [laptop, phone]) = changing().await;
    let answer = it.asked(&laptop, NEW).await;
    assert_eq!(it.confirm(&phone, &answer).await, code_invalid());

    let mut wrong = answer.clone();
    wrong["code"] = "0000-0000".into();
    for _ in 0..4 {
        assert_eq!(it.confirm(&laptop, &wrong).await, code_invalid());
    }
    assert_eq!(
        it.confirm(&laptop, &answer).await,
        code_invalid(),
        "the sixth try"
    );

    let answer = it.asked(&laptop, NEW).await;
    let purposes = ["/v1/address-confirmations", "/v1/verifications"];
    for other in purposes {
        assert_eq!(
            problem_of(&it.send(other, &laptop.token, answer.clone()).await),
            code_invalid()
        );
    }
    it.app.sign_out_scope(&laptop, "others").await;
    assert_eq!(
        it.confirm(&laptop, &answer).await,
        code_invalid(),
        "another epoch"
    );

    let answer = it.asked(&laptop, NEW).await;
    it.app.advance(SignedDuration::from_mins(10));
    assert_eq!(it.confirm(&laptop, &answer).await, code_invalid());
    assert_eq!(it.account(&laptop).await.email, EMAIL);
}

#[tokio::test]
async fn mails_are_counted_for_the_session_and_for_the_new_mailbox() {
    let (it, [laptop, phone, tv, radio]) = changing().await;
    let too_many = (429, "too-many-attempts".to_owned());
    for tag in ["", "+1", "+2"] {
        let email = format!("new{tag}@example.com");
        assert_eq!(it.request(&laptop, &email).await.status_code, 202);
    }
    assert_eq!(
        problem_of(&it.request(&laptop, OTHER_EMAIL).await),
        too_many,
        "the session"
    );
    assert_eq!(
        problem_of(&it.request(&phone, NEW).await),
        too_many,
        "the mailbox"
    );
    assert_eq!(it.request(&tv, OTHER_EMAIL).await.status_code, 202);
    // A stranger who uses up a mailbox here leaves its other mails alone.
    let reset = post(&it.app, "/v1/password-resets", json!({ "email": NEW })).await;
    assert_eq!(reset.status_code, 202);
    let code = event("POST", "/v1/verification-codes", Some(&radio.token), None);
    assert_eq!(it.app.bundle.send(code).await.status_code, 202);
}

#[tokio::test]
async fn wrong_addresses_are_refused_with_field_and_reason() {
    let (it, [laptop]) = changing().await;
    for (email, reason) in [
        ("new", "`email` "),
        (
            "Lea@Example.com",
            "`email` is the account's address already",
        ),
        ("jos\u{e9}@example.com", "only ASCII letters before the `@`"),
    ] {
        let refused = it.request(&laptop, email).await;
        assert_eq!(
            problem_of(&refused),
            (400, "request-invalid".to_owned()),
            "{email}"
        );
        let body = json_of(&refused);
        assert_eq!(body["field"], "email");
        assert!(body["detail"].as_str().unwrap().contains(reason), "{body}");
    }
    let (silent, [device]) = TestApp::with_devices().await;
    let body = json!({ "email": NEW });
    let event = event("POST", REQUEST, Some(&device.token), Some(&body));
    let refused = silent.bundle.send(event).await;
    assert_eq!(problem_of(&refused), (409, "mail-unavailable".to_owned()));
}

#[tokio::test]
async fn a_change_is_held_for_72_hours_after_a_recovery_and_no_longer_by_another_one() {
    let (it, [laptop]) = changing().await;
    let first = it.app.clock.now();
    assert_eq!(it.recover(EMAIL, OTHER_PASSWORD).await, 200);
    assert_eq!(it.app.bundle.who_am_i(&laptop.token).await.status_code, 401);
    it.app.advance(SignedDuration::from_hours(48));
    assert_eq!(it.recover(EMAIL, PASSWORD).await, 200);
    let owner = it.app.sign_in(None).await;
    it.verify(&owner);

    let refused = it.request(&owner, NEW).await;

    assert_eq!(problem_of(&refused), (409, "change-held".to_owned()));
    let until = json_of(&refused)["held_until"].as_str().unwrap().to_owned();
    let until: domain::Timestamp = until.parse().unwrap();
    let hold = it.account(&owner).await.hold.expect("a hold");
    assert_eq!((hold.cause, until), (HoldCause::Recovery, hold.ends_at()));
    assert!(
        until < first + HELD_FOR + SignedDuration::from_mins(1),
        "{until}"
    );
    it.app
        .advance(until.duration_since(it.app.clock.now()) - SECOND * 2);
    it.verify(&owner);
    assert_eq!(
        problem_of(&it.request(&owner, NEW).await).0,
        409,
        "a second before"
    );
    assert_eq!(problem_of(&it.request(&owner, NEW).await).0, 202);
}

#[tokio::test]
async fn the_next_change_is_held_as_long_as_the_last_one_can_be_undone() {
    let (it, [laptop]) = changing().await;
    it.change(&laptop, NEW).await;
    let until = it.account(&laptop).await.address_change.unwrap().at + UNDO_FOR;
    let refused = it.request(&laptop, NEWER).await;
    assert_eq!(problem_of(&refused), (409, "change-held".to_owned()));
    assert_eq!(
        json_of(&refused)["held_until"],
        domain::Rfc3339::from(until).to_string()
    );

    it.app.advance(until.duration_since(it.app.clock.now()));
    it.verify(&laptop);
    it.change(&laptop, NEWER).await;
    assert_eq!(it.owner_of(EMAIL).await, AddressOwner::Nobody);
    assert_eq!(it.owner_of(NEW).await, AddressOwner::Former);
    it.app.advance(UNDO_FOR);
    it.verify(&laptop);
    it.change(&laptop, EMAIL).await;
    assert_eq!(
        it.owner_of(EMAIL).await,
        AddressOwner::Account(laptop.account)
    );
}

#[tokio::test]
async fn nobody_gets_the_old_address_before_seven_days_and_its_mails_say_why() {
    let (it, [laptop]) = changing().await;
    it.change(&laptop, NEW).await;
    let [thief] = it.app.other_account().await;
    it.verify(&thief);
    let answer = it.asked(&thief, EMAIL).await;
    assert_eq!(it.confirm(&thief, &answer).await, code_invalid());
    let asked = ask(&it.app, Purpose::Confirmation, EMAIL).await;
    let taken = confirm(&it.app, &asked, &asked.code.to_text(), PASSWORD).await;
    assert_eq!(problem_of(&taken), (409, "address-taken".to_owned()));
    assert_eq!(it.recover(EMAIL, OTHER_PASSWORD).await, 403);

    let mut mailing = crate::mails::deps(&it.app.aws);
    mailing.clock = it.app.clock.clone();
    let _asked_before = it.app.aws.take_queued();
    for path in ["/v1/accounts", "/v1/password-resets", "/v1/passes"] {
        let asked = post(&it.app, path, json!({ "email": EMAIL })).await;
        assert_eq!(asked.status_code, 202);
        let [message] = <[_; 1]>::try_from(it.app.aws.take_queued()).unwrap();
        assert_eq!(
            crate::mails::deliver(&mailing, &[&message.body]).await,
            [""; 0]
        );
        let [mail] = <[Value; 1]>::try_from(it.app.aws.take_mails()).unwrap();
        let subject = &mail["Content"]["Simple"]["Subject"]["Data"];
        assert_eq!(subject, "This address belonged to an account");
    }

    it.app.advance(UNDO_FOR);
    let asked = ask(&it.app, Purpose::Confirmation, EMAIL).await;
    let free = confirm(&it.app, &asked, &asked.code.to_text(), OTHER_PASSWORD).await;
    assert_eq!(free.status_code, 201);
    assert_eq!(it.log_in(EMAIL, OTHER_PASSWORD).await, 200);
    assert_eq!(it.log_in(NEW, PASSWORD).await, 200);
}

#[tokio::test]
async fn an_address_that_nobody_proved_is_claimed_and_one_that_was_never_confirmed_is_not_kept() {
    let (it, [laptop]) = changing().await;
    let now = it.app.clock.now();
    let store = &it.app.bundle.store;
    let squatter = register(store, NEW, PASSWORD, None, now).await.unwrap();
    it.change(&laptop, NEW).await;
    assert_eq!(
        it.owner_of(NEW).await,
        AddressOwner::Account(laptop.account)
    );
    let squatter = store.rows(squatter, &[]).await.unwrap().account.unwrap();
    assert_eq!(squatter.email, "");

    // An imported account corrects an address that is perhaps a stranger's.
    let imported = register(store, OTHER_EMAIL, PASSWORD, None, now);
    let imported = imported.await.unwrap();
    let device = it.app.sign_in_to(OTHER_EMAIL, None).await;
    it.change(&device, NEWER).await;
    let account = store.rows(imported, &[]).await.unwrap().account.unwrap();
    assert_eq!((&*account.email, account.address_change), (NEWER, None));
    assert!(account.confirmed_at.is_some());
    assert_eq!(it.owner_of(OTHER_EMAIL).await, AddressOwner::Nobody);
    let events: Vec<_> = it
        .mails()
        .await
        .into_iter()
        .map(|mail| mail.email)
        .collect();
    assert_eq!(
        events,
        [EMAIL],
        "an address that nobody proved gets no notice"
    );
}

#[tokio::test]
async fn the_old_mailbox_gets_a_notice_and_its_press_is_a_recoverys_first_half() {
    let (it, [thief, tv]) = changing().await;
    let mail = it.changed_mail(&thief).await;
    assert_eq!(mail.device_type.as_deref(), Some("other"));
    let list = event("GET", "/v1/messages", Some(&thief.token), None);
    let listed = json_of(&it.app.bundle.send(list).await);
    assert_eq!(listed["messages"][0]["kind"], "address_changed");
    assert_eq!(listed["messages"][0]["reference"], *mail.reference);

    let read = json_of(&it.read(&mail).await);
    assert_eq!(
        (&read["undo"], &read["status"]),
        (&json!("undoes"), &Value::Null)
    );
    assert!(
        !read.to_string().contains(&mail.reference),
        "a scanner could type it"
    );
    assert_eq!(it.account(&tv).await.email, NEW, "reading changes nothing");

    let pressed = it.press(&mail).await;

    let body = json_of(&pressed);
    assert_eq!(pressed.status_code, 200, "{body}");
    assert_eq!(body["sign_out"]["scope"], "global");
    let account = it.account(&tv).await;
    let change = account.address_change.clone().unwrap();
    assert_eq!(
        (&*account.email, change.state),
        (EMAIL, ChangeState::Undone)
    );
    for device in [&thief, &tv] {
        let answer = json_of(&it.app.bundle.who_am_i(&device.token).await);
        assert_eq!(answer["reason"], "address_restored");
        assert_eq!(answer["signed_out_by"], Value::Null);
    }
    for email in [EMAIL, NEW] {
        assert_eq!(it.log_in(email, PASSWORD).await, 401, "{email}");
    }
    assert_eq!(it.owner_of(NEW).await, AddressOwner::Nobody);
    assert_eq!(problem_of(&it.press(&mail).await), gone(), "it works once");
    assert_eq!(it.recover(NEW, OTHER_PASSWORD).await, 403);
    assert_eq!(it.recover(EMAIL, OTHER_PASSWORD).await, 200);
    assert_eq!(it.log_in(EMAIL, OTHER_PASSWORD).await, 200);
}

#[tokio::test]
async fn both_mailboxes_learn_that_a_change_was_undone() {
    let (it, [thief]) = changing().await;
    let mail = it.changed_mail(&thief).await;
    assert_eq!(it.press(&mail).await.status_code, 200);
    let mails = it.mails().await;
    let seen = mails.iter().map(|mail| (&*mail.event, &*mail.email));
    let seen: Vec<_> = seen.collect();
    assert_eq!(seen, [("address_restored", EMAIL), ("address_lost", NEW)]);
    assert!(mails.iter().all(|mail| mail.link_secret.is_none()));
}

#[tokio::test]
async fn an_undo_leaves_nothing_that_the_rule_ends() {
    let (it, [thief]) = changing().await;
    let pending = it.asked(&thief, NEWER).await;
    let mail = it.changed_mail(&thief).await;
    let until = (it.app.clock.now() + SignedDuration::from_hours(1)).as_millisecond();
    it.rewrite(
        &thief,
        &json!({
            "held_since": { "N": until.to_string() },
            "held_by": { "S": "recovery" },
        }),
    );
    let recovery = ask(&it.app, Purpose::Recovery, EMAIL).await;
    assert_eq!(it.press(&mail).await.status_code, 200);

    let (account, row) = (it.account(&thief).await, it.app.row(&thief).await);
    for remnant in [
        Remnant::Session,
        Remnant::Recognition,
        Remnant::Password,
        Remnant::PendingChange,
        Remnant::Hold,
    ] {
        assert!(!remnant.survives_undo());
        let is_left = match remnant {
            Remnant::Session => it.app.bundle.who_am_i(&thief.token).await.status_code == 200,
            Remnant::Recognition => {
                is_recognized(&account, &row, &it.app.bundle.limits, it.app.clock.now())
            }
            Remnant::Password => it.log_in(EMAIL, PASSWORD).await == 200,
            Remnant::PendingChange => {
                let recovered = it.app.bundle.recover(&recovery, OTHER_PASSWORD).await;
                it.confirm(&thief, &pending).await.0 == 200 || recovered.status_code == 200
            }
            _ => account.hold.is_some(),
        };
        assert!(!is_left, "{remnant:?}");
    }
    // By this a factor that has not settled ends.
    assert_eq!(account.recovered_at, account.address_change.map(|it| it.at));
}

#[tokio::test]
async fn a_press_needs_the_reference_in_the_mail_and_the_answer_that_fits() {
    let (it, [thief]) = changing().await;
    let mail = it.changed_mail(&thief).await;
    let wrong = if mail.reference == "000000" {
        "111111"
    } else {
        "000000"
    };
    for (action, reference, field) in [
        ("undo", None, "reference"),
        ("undo", Some(wrong), "reference"),
        ("undo", Some(""), "reference"),
        ("end", Some(&*mail.reference), "action"),
        ("mine", Some(&*mail.reference), "action"),
    ] {
        let refused = it.press_as(&mail, action, reference).await;
        assert_eq!(
            problem_of(&refused),
            (400, "request-invalid".to_owned()),
            "{action}"
        );
        assert_eq!(json_of(&refused)["field"], field);
    }
    assert_eq!(it.account(&thief).await.email, NEW);
    let typed = format!(" {} ", mail.reference.to_lowercase());
    assert_eq!(
        it.press_as(&mail, "undo", Some(&typed)).await.status_code,
        200
    );
}

#[tokio::test]
async fn the_old_mailbox_undoes_a_change_for_seven_days_to_the_second_whatever_happened_since() {
    let (it, [thief]) = changing().await;
    let mail = it.changed_mail(&thief).await;
    // The thief recovers by the new address, which ends no undo.
    assert_eq!(it.recover(NEW, OTHER_PASSWORD).await, 200);
    let last = it.account(&thief).await.address_change.unwrap().at + UNDO_FOR;
    it.app
        .advance(last.duration_since(it.app.clock.now()) - SECOND * 2);
    assert_eq!(it.press(&mail).await.status_code, 200, "the last second");
    assert_eq!(it.account(&thief).await.email, EMAIL);

    let (it, [owner]) = changing().await;
    let mail = it.changed_mail(&owner).await;
    let last = it.account(&owner).await.address_change.unwrap().at + UNDO_FOR;
    it.app
        .advance(last.duration_since(it.app.clock.now()) - SECOND);
    assert_eq!(problem_of(&it.press(&mail).await), gone());
    assert_eq!(problem_of(&it.read(&mail).await), gone());
    assert_eq!(it.account(&owner).await.email, NEW);
}

#[tokio::test]
async fn an_undo_ends_the_factors_that_are_young_and_no_settled_one() {
    for (hours, is_left) in [(0, false), (7 * 24, true)] {
        let (it, [thief]) = changing().await;
        let at = it.app.clock.now() - SignedDuration::from_hours(hours);
        let at = json!({ "N": at.as_millisecond().to_string() });
        let factor = json!({
            "factor_id": { "S": domain::FactorId::new(it.app.clock.now(), [7; 10]) },
            "added_at": at, "notified_at": at, "epoch": { "N": "1" },
        });
        // On its first day, an account's factor settles at once.
        it.rewrite(
            &thief,
            &json!({ "confirmed_at": { "N": "0" }, "factors": { "L": [{ "M": factor }] } }),
        );
        let mail = it.changed_mail(&thief).await;
        let now = it.app.clock.now();
        assert!(it.account(&thief).await.has_factor(true, now));

        assert_eq!(it.press(&mail).await.status_code, 200);

        let account = it.account(&thief).await;
        assert_eq!(account.email, EMAIL);
        assert_eq!(account.has_factor(true, now), is_left);
    }
}

#[tokio::test]
async fn where_a_settled_factor_proved_the_change_a_press_only_holds_the_next_ones() {
    let (it, [owner]) = changing().await;
    let mail = it.changed_by_factor(&owner).await;
    assert_eq!(json_of(&it.read(&mail).await)["undo"], "holds");

    let pressed = json_of(&it.press(&mail).await);

    let account = it.account(&owner).await;
    let hold = account.hold.expect("a hold");
    assert_eq!((&*account.email, hold.cause), (NEW, HoldCause::Warning));
    let until = domain::Rfc3339::from(hold.ends_at()).to_string();
    assert_eq!(
        (&pressed["sign_out"], &pressed["held_until"]),
        (&Value::Null, &json!(until))
    );
    assert_eq!(it.app.bundle.who_am_i(&owner.token).await.status_code, 200);
    let refused = it.request(&owner, NEWER).await;
    assert_eq!(problem_of(&refused), (409, "change-held".to_owned()));
    assert_eq!(json_of(&refused)["held_until"], until);
    let list = event("GET", "/v1/messages", Some(&owner.token), None);
    let listed = json_of(&it.app.bundle.send(list).await);
    assert_eq!(listed["messages"][0]["answer"], "undo");
    assert_eq!(problem_of(&it.press(&mail).await), gone());
}

#[tokio::test]
async fn a_press_that_only_warns_is_mailed_to_the_new_address_and_shown_on_the_devices() {
    let (it, [owner]) = changing().await;
    let mail = it.changed_by_factor(&owner).await;
    assert_eq!(it.press(&mail).await.status_code, 200);
    let [warning] = <[_; 1]>::try_from(it.app.aws.take_queued()).expect("one warning");
    for mails in [1, 0] {
        let event = queue_event(&[&warning.body]);
        let failed = notify_owner::handle(&it.notify, event).await;
        assert_eq!(failed_messages(failed), [] as [&str; 0]);
        let sent = it.queued_mails();
        let seen: Vec<_> = sent.iter().map(|it| (&*it.event, &*it.email)).collect();
        assert_eq!(seen, [("address_warned", NEW)][..mails], "it is sent once");
        assert!(sent.iter().all(|mail| mail.link_secret.is_none()));
    }
    let list = event("GET", "/v1/messages", Some(&owner.token), None);
    let listed = json_of(&it.app.bundle.send(list).await);
    let kinds = [0, 1].map(|at| listed["messages"][at]["kind"].clone());
    assert_eq!(kinds, ["address_warned", "address_changed"]);
}

#[tokio::test]
async fn no_warning_goes_without_its_mail_and_no_mail_without_the_warning() {
    let (it, [owner]) = changing().await;
    let mail = it.changed_by_factor(&owner).await;
    let unavailable = (503, "unavailable".to_owned());
    it.app.aws.fail("SendMessage", || CallResult::Broken);
    assert_eq!(problem_of(&it.press(&mail).await), unavailable);
    it.app.aws.restore();
    assert_eq!(it.account(&owner).await.hold, None);
    it.app.aws.fail("TransactWriteItems", || CallResult::Broken);
    assert_eq!(problem_of(&it.press(&mail).await), unavailable);
    it.app.aws.restore();
    assert_eq!(it.warnings().await, []);
}

#[tokio::test]
async fn a_notice_that_comes_after_the_undo_or_twice_sends_nothing_more() {
    let (it, [thief]) = changing().await;
    let mail = it.changed_mail(&thief).await;
    assert_eq!(it.mails().await, [], "it was queued before");
    assert_eq!(it.press(&mail).await.status_code, 200);
    let events: Vec<_> = it
        .mails()
        .await
        .into_iter()
        .map(|mail| mail.event)
        .collect();
    assert_eq!(events, ["address_restored", "address_lost"]);
    assert_eq!(it.mails().await, []);
}

#[tokio::test]
async fn no_row_of_a_change_is_left_for_ever() {
    let (it, [laptop]) = changing().await;
    it.change(&laptop, NEW).await;
    let rows = it.app.aws.rows(IDENTITIES);
    let old = rows.iter().find(|row| row["email"]["S"] == EMAIL).unwrap();
    assert!(old["delete_at"]["N"].is_string(), "{old}");
    let new = rows.iter().find(|row| row["email"]["S"] == NEW).unwrap();
    assert!(new["delete_at"].is_null(), "{new}");
    let records = it.app.aws.rows(RECEIPTS);
    let record = records
        .iter()
        .find(|row| row["kind"]["S"] == "address_changed")
        .unwrap();
    assert!(record["delete_at"]["N"].is_string() && !record.to_string().contains('@'));
}

#[tokio::test]
async fn a_failure_of_a_table_changes_no_address_and_a_lost_answer_changes_it_once() {
    let (it, [laptop]) = changing().await;
    let failed = || CallResult::Answered(ServiceResponse::error(500, "InternalServerError"));
    let unavailable = (503, "unavailable".to_owned());
    let answer = it.asked(&laptop, NEW).await;
    for operation in [
        "BatchGetItem",
        "UpdateItem",
        "GetItem",
        "TransactWriteItems",
    ] {
        it.app.aws.fail(operation, failed);
        assert_eq!(
            it.confirm(&laptop, &answer).await,
            unavailable,
            "{operation}"
        );
        it.app.aws.restore();
        assert_eq!(it.account(&laptop).await.email, EMAIL);
    }
    it.app.aws.intercept(lose_first_transaction());
    assert_eq!(it.confirm(&laptop, &answer).await, unavailable);
    it.app.aws.restore();
    assert_eq!(it.account(&laptop).await.email, NEW);
    assert_eq!(it.confirm(&laptop, &answer).await, fine());
    let [mail] = <[_; 1]>::try_from(it.mails().await).expect("one mail");

    for operation in ["GetItem", "BatchGetItem", "TransactWriteItems"] {
        it.app.aws.fail(operation, failed);
        assert_eq!(
            problem_of(&it.press(&mail).await),
            unavailable,
            "{operation}"
        );
        it.app.aws.restore();
        assert_eq!(it.account(&laptop).await.email, NEW);
    }
    it.app.aws.intercept(lose_first_transaction());
    assert_eq!(problem_of(&it.press(&mail).await), unavailable);
    it.app.aws.restore();
    assert_eq!(it.account(&laptop).await.email, EMAIL);
    assert_eq!(problem_of(&it.press(&mail).await), gone());
}

#[tokio::test]
async fn a_confirmation_is_repeated_by_its_session_alone_as_long_as_the_account_has_the_address() {
    let (it, [laptop, phone]) = changing().await;
    let answer = it.asked(&laptop, NEW).await;
    let first = it.send(CONFIRM, &laptop.token, answer.clone()).await;
    let again = it.send(CONFIRM, &laptop.token, answer.clone()).await;
    assert_eq!(json_of(&first), json!({ "email": NEW }));
    assert_eq!((again.status_code, json_of(&again)), (200, json_of(&first)));
    assert_eq!(it.mails().await.len(), 1, "it was changed once");
    assert_eq!(it.confirm(&phone, &answer).await, code_invalid());
    let mut wrong = answer.clone();
    wrong["code"] = "0000-0000".into();
    assert_eq!(it.confirm(&laptop, &wrong).await, code_invalid());
    it.app.advance(SignedDuration::from_mins(10));
    assert_eq!(it.confirm(&laptop, &answer).await, code_invalid());

    // An address that nobody had confirmed can be corrected again at once.
    let now = it.app.clock.now();
    let imported = register(&it.app.bundle.store, OTHER_EMAIL, PASSWORD, None, now);
    imported.await.unwrap();
    let device = it.app.sign_in_to(OTHER_EMAIL, None).await;
    let answer = it.asked(&device, NEWER).await;
    assert_eq!(it.confirm(&device, &answer).await, fine());
    it.change(&device, "newest@example.com").await;
    assert_eq!(it.confirm(&device, &answer).await, code_invalid());
    assert_eq!(it.account(&device).await.email, "newest@example.com");
}

fn lose_first_transaction() -> impl FnMut(&Call) -> Intercept {
    let mut is_lost = false;
    move |call| {
        let is_first = call.operation == "TransactWriteItems" && !is_lost;
        is_lost |= is_first;
        if is_first {
            Intercept::LoseAnswer
        } else {
            Intercept::Make
        }
    }
}

/// A write of a change or an undo that is held up, and what happens in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    /// Somebody registers the new address.
    Registered,
    /// The account that has the new address without a proof confirms it.
    Confirmed,
    /// Another account claims the new address.
    Claimed,
    /// The caller's own address, which nobody had confirmed, is confirmed.
    OwnConfirmed,
    /// Another device of an account without an address gives it one.
    OtherAddress,
    /// Seven days later, the account has the next address.
    NextAddress,
    /// Seven days later, somebody has registered the address before.
    OldRegistered,
    /// A sign-in has moved the epoch to where the undo jumps.
    Jumped,
}

impl Meanwhile {
    fn is_of_an_undo(self) -> bool {
        matches!(self, Self::NextAddress | Self::OldRegistered | Self::Jumped)
    }
}

impl Changing {
    /// Sends a request whose transaction is held up for something else, and made without a
    /// clause.
    async fn around(
        &self,
        request: impl Future<Output = Reply>,
        (knocked_out, met): (Option<&Clause>, &mut BTreeSet<Clause>),
        meanwhile: impl Future<Output = ()>,
    ) -> Reply {
        let change = |call| {
            met.extend(clauses("change", &call));
            weakened(call, knocked_out)
        };
        let aws = &self.app.aws;
        aws.hold_up(IDENTITIES, request, meanwhile, change).await
    }

    async fn meanwhile(
        &self,
        what: Meanwhile,
        by: &TestDevice,
        other: &TestDevice,
        pending: &Value,
    ) {
        let (app, now) = (&self.app, self.app.clock.now());
        let email = |text: &str| EmailAddress::parse(text).unwrap();
        match what {
            Meanwhile::Registered => app.register(NEW).await,
            Meanwhile::Confirmed => {
                let AddressOwner::Account(owner) = self.owner_of(NEW).await else {
                    panic!("nobody has it");
                };
                let email = email(NEW);
                let confirmed = app.bundle.store.confirm_by_pass(owner, &email, now);
                assert_eq!(confirmed.await.unwrap(), WriteOutcome::Done);
            }
            Meanwhile::Claimed => {
                let asked = ask(app, Purpose::Confirmation, NEW).await;
                let claimed = confirm(app, &asked, &asked.code.to_text(), OTHER_PASSWORD).await;
                assert_eq!(claimed.status_code, 201);
            }
            Meanwhile::OwnConfirmed => {
                let store = &app.bundle.store;
                let email = email(OTHER_EMAIL);
                let confirmed = store.confirm_by_pass(by.account, &email, now);
                assert_eq!(confirmed.await.unwrap(), WriteOutcome::Done);
            }
            Meanwhile::OtherAddress => assert_eq!(self.confirm(other, pending).await, fine()),
            Meanwhile::NextAddress => {
                app.advance(UNDO_FOR);
                self.verify(by);
                self.change(by, NEWER).await;
            }
            Meanwhile::OldRegistered => {
                app.advance(UNDO_FOR);
                app.register(EMAIL).await;
            }
            Meanwhile::Jumped => {
                let epoch = self.account(by).await.epoch.after_jump().0.to_string();
                self.rewrite(by, &json!({ "epoch": { "N": epoch } }));
            }
        }
    }

    /// Returns whether each account has exactly the address that opens it.
    async fn addresses_are_whole(&self) -> bool {
        let store = &self.app.bundle.store;
        let mut opened = Vec::new();
        for row in self.app.aws.rows(IDENTITIES) {
            if row["kept_until"].is_null() {
                let account = row["account_id"]["S"].as_str().unwrap().parse().unwrap();
                let account = store.rows(account, &[]).await.unwrap().account.unwrap();
                opened.push((
                    account.email,
                    row["email"]["S"].as_str().unwrap().to_owned(),
                ));
            }
        }
        let with_address = self.app.aws.rows(ACCOUNTS).into_iter();
        let with_address = with_address
            .filter(|row| row["email"]["S"].is_string())
            .count();
        opened.len() == with_address && opened.iter().all(|(has, opens)| has == opens)
    }
}

/// Holds a change or an undo up for something else. Returns whether the rules are kept, and the
/// clauses of the conditions.
async fn keeps_the_rules(
    what: Meanwhile,
    knocked_out: Option<&Clause>,
) -> (bool, BTreeSet<Clause>) {
    let (it, [mut laptop, mut phone]) = changing().await;
    let (store, now) = (&it.app.bundle.store, it.app.clock.now());
    if matches!(what, Meanwhile::Confirmed | Meanwhile::Claimed) {
        let squatter = register(store, NEW, PASSWORD, None, now).await;
        squatter.unwrap();
    }
    if matches!(what, Meanwhile::OwnConfirmed | Meanwhile::OtherAddress) {
        register(store, OTHER_EMAIL, PASSWORD, None, now)
            .await
            .unwrap();
        laptop = it.app.sign_in_to(OTHER_EMAIL, None).await;
        phone = it.app.sign_in_to(OTHER_EMAIL, None).await;
    }
    let mut pending = Value::Null;
    if what == Meanwhile::OtherAddress {
        let asked = ask(&it.app, Purpose::Confirmation, OTHER_EMAIL).await;
        let claimed = confirm(&it.app, &asked, &asked.code.to_text(), OTHER_PASSWORD).await;
        assert_eq!(claimed.status_code, 201);
        pending = it.asked(&phone, NEWER).await;
    }
    let mut met = BTreeSet::new();
    let weakening = (knocked_out, &mut met);
    if what.is_of_an_undo() {
        let mail = it.changed_mail(&laptop).await;
        let meanwhile = it.meanwhile(what, &laptop, &phone, &pending);
        let _either = Box::pin(it.around(it.press(&mail), weakening, meanwhile)).await;
    } else {
        let answer = it.asked(&laptop, NEW).await;
        let meanwhile = it.meanwhile(what, &laptop, &phone, &pending);
        let request = it.send(CONFIRM, &laptop.token, answer);
        let _either = Box::pin(it.around(request, weakening, meanwhile)).await;
    }
    let account = it.account(&laptop).await;
    let is_kept = it.addresses_are_whole().await
        && match what {
            Meanwhile::Registered | Meanwhile::Claimed | Meanwhile::Confirmed => {
                account.email == EMAIL
            }
            // The address before was a proven one when it was changed.
            Meanwhile::OwnConfirmed => account.address_change.is_some(),
            // One after the other, which is right; or not undone.
            Meanwhile::OtherAddress | Meanwhile::OldRegistered => account.email == NEW,
            Meanwhile::NextAddress => account.email == NEWER,
            Meanwhile::Jumped => account.epoch.0 > domain::Epoch::FIRST.after_jump().0,
        };
    (is_kept, met)
}

#[tokio::test]
async fn every_condition_on_addresses_is_needed() {
    let all = [
        Meanwhile::Registered,
        Meanwhile::Confirmed,
        Meanwhile::Claimed,
        Meanwhile::OwnConfirmed,
        Meanwhile::OtherAddress,
        Meanwhile::NextAddress,
        Meanwhile::OldRegistered,
        Meanwhile::Jumped,
    ];
    let mut unshown = BTreeSet::new();
    let mut shown = BTreeSet::new();
    for what in all {
        let (is_kept, met) = Box::pin(keeps_the_rules(what, None)).await;
        assert!(is_kept, "{what:?}");
        for clause in &met {
            let (is_kept, _) = Box::pin(keeps_the_rules(what, Some(clause))).await;
            if !is_kept {
                shown.insert(clause.clone());
            }
        }
        unshown.extend(met);
    }
    let by_races = |clause: &&Clause| {
        let texts = ["epoch = :epoch", "email = :old"];
        texts.contains(&&*clause.text) || clause.write.ends_with("Devices")
    };
    let unshown: Vec<_> = unshown
        .difference(&shown)
        .filter(|it| !by_races(it))
        .collect();
    assert_eq!(unshown, [] as [&Clause; 0]);
    assert_eq!(shown.len(), 6, "{shown:?}");
}
