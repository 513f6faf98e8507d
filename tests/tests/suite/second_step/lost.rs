//! Removing lost authenticator apps: by the password and a code to the address after 72 hours,
//! or by a recovery code and a code to the address at once.

use std::collections::BTreeSet;

use curfew_tests::account::{EMAIL, OTHER_PASSWORD, PASSWORD, TestDevice};
use curfew_tests::app::{Boxed, TestApp};
use curfew_tests::bundle::{event, json_of, problem_of};
use curfew_tests::races::clauses::{Clause, clauses, weakened};
use curfew_tests::tables::{ACCOUNTS, FACTORS};
use curfew_tests::wire::CallResult;
use domain::challenge::CODE_LIFETIME;
use domain::ownership::factors::SETTLED_AFTER;
use domain::ownership::recovery::LOST_FACTOR_WAIT;
use domain::{Account, Purpose};
use http_api::Reply;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{
    Phone, SECOND, STEP, add, app_with_device, complete, events_of, invalid, mark_verified,
    notices, post, recovery_codes, required, sign_in,
};
use crate::challenges::ask;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// Returns an app, a device, and an authenticator app that has settled.
fn with_settled() -> Boxed<'static, (TestApp, TestDevice, Phone)> {
    Box::pin(async {
        let (app, laptop) = app_with_device().await;
        let phone = add(&app, &laptop).await;
        app.advance(SETTLED_AFTER);
        (app, laptop, phone)
    })
}

async fn send(app: &TestApp, path: &str, body: &Value) -> Reply {
    app.bundle.send(event("POST", path, None, Some(body))).await
}

/// Asks for a code at the second step of a sign-in.
async fn report(app: &TestApp, asked: &Reply) -> Reply {
    let asked = json_of(asked);
    let body = json!({ "challenge": asked["challenge"], "device_key": asked["device_key"] });
    send(app, "/v1/lost-factors", &body).await
}

/// Returns what confirms: the challenge of the answer and the code in the mail.
async fn answer_of(app: &TestApp, asked: &Reply) -> Value {
    let reply = report(app, asked).await;
    assert_eq!(reply.status_code, 202, "{}", json_of(&reply));
    let mail = app.aws.take_queued().pop().expect("a mail");
    let mail: Value = serde_json::from_str(&mail.body).unwrap();
    assert_eq!(
        (&mail["kind"], &mail["email"]),
        (&json!("lost_factor"), &json!(EMAIL))
    );
    json!({ "challenge": json_of(&reply)["challenge"], "code": mail["code"] })
}

async fn confirm(app: &TestApp, answer: &Value) -> Reply {
    send(app, "/v1/lost-factors/confirmations", answer).await
}

/// Signs in with the password alone, and begins the wait. Returns its end.
async fn lose(app: &TestApp) -> domain::Timestamp {
    let asked = sign_in(app, None).await;
    required(&asked);
    let answer = answer_of(app, &asked).await;
    let accepted = confirm(app, &answer).await;
    assert_eq!(accepted.status_code, 202, "{}", json_of(&accepted));
    json_of(&accepted)["due_at"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

async fn account(app: &TestApp, device: &TestDevice) -> Account {
    let rows = app.bundle.store.rows(device.account, &[]).await.unwrap();
    rows.account.unwrap()
}

async fn is_asked(app: &TestApp, device: &TestDevice) -> bool {
    account(app, device).await.factors_lost_at.is_some()
}

/// Recovers the account with a code to the address, and what else is given.
async fn recover(app: &TestApp, more: Value) -> Reply {
    let asked = ask(app, Purpose::Recovery, EMAIL).await;
    let mut body = more;
    body["challenge"] = json!(*asked.secret.to_text());
    body["code"] = json!(*asked.code.to_text());
    body["password"] = OTHER_PASSWORD.into();
    send(app, "/v1/password-resets/confirmations", &body).await
}

#[tokio::test]
async fn a_lost_app_is_removed_by_a_sign_in_after_72_hours_to_the_second() {
    let (app, laptop, phone) = with_settled().await;
    let due = lose(&app).await;
    assert_eq!(due, app.clock.now() + LOST_FACTOR_WAIT);
    app.advance(LOST_FACTOR_WAIT - SECOND);
    required(&sign_in(&app, None).await);
    app.advance(SECOND);
    let _earlier = notices(&app).await;
    let tv = TestDevice::of(&sign_in(&app, None).await);
    assert_eq!(app.bundle.who_am_i(&tv.token).await.status_code, 200);
    let account = account(&app, &laptop).await;
    assert!(account.factors.is_empty() && account.factors_lost_at.is_none());
    assert!(!app.aws.contents(&[FACTORS]).concat().contains(&phone.id));
    assert_eq!(events_of(&notices(&app).await), ["factor_removed"]);
}

#[tokio::test]
async fn after_72_hours_a_recovery_needs_no_lost_app_and_removes_it() {
    let (app, laptop, _) = with_settled().await;
    lose(&app).await;
    // Asking for the mail takes two seconds.
    app.advance(LOST_FACTOR_WAIT - SECOND * 3);
    let refused = recover(&app, json!({})).await;
    assert_eq!(problem_of(&refused), (403, "factor-required".to_owned()));
    let recovered = recover(&app, json!({})).await;
    assert_eq!(recovered.status_code, 200, "{}", json_of(&recovered));
    let account = account(&app, &laptop).await;
    assert!(account.factors.is_empty() && account.factors_lost_at.is_none());
    assert!(app.aws.rows(FACTORS).is_empty());
}

#[tokio::test]
async fn asking_again_changes_no_time_and_is_no_news() {
    let (app, laptop, _) = with_settled().await;
    let due = lose(&app).await;
    assert_eq!(events_of(&notices(&app).await), ["factor_removal_asked"]);
    app.advance(HOUR);
    assert_eq!(lose(&app).await, due);
    let again = notices(&app).await;
    assert!(!events_of(&again).contains(&"factor_removal_asked"));
    let list = event("GET", "/v1/factors", Some(&laptop.token), None);
    let list = json_of(&app.bundle.send(list).await);
    let shown: domain::Timestamp = list["removal"]["due_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(shown, due);
}

#[tokio::test]
async fn a_confirmation_whose_answer_was_lost_can_be_repeated_until_the_removal_is_stopped() {
    let (app, _, phone) = with_settled().await;
    let asked = sign_in(&app, None).await;
    let answer = answer_of(&app, &asked).await;
    let first = confirm(&app, &answer).await;
    assert_eq!(first.status_code, 202);
    app.advance(STEP);

    let again = confirm(&app, &answer).await;

    assert_eq!(json_of(&again), json_of(&first));
    assert_eq!(events_of(&notices(&app).await), ["factor_removal_asked"]);
    // The app is found again.
    let stopping = complete(&app, &asked, json!({ "totp": phone.code(&app) })).await;
    assert_eq!(stopping.status_code, 200, "{}", json_of(&stopping));
    let late = confirm(&app, &answer).await;
    assert_eq!(problem_of(&late), (403, "code-invalid".to_owned()));
}

#[tokio::test]
async fn the_owner_hears_of_the_request_and_a_press_in_the_mail_can_not_stop_it() {
    let (app, _, _) = with_settled().await;
    lose(&app).await;
    let mut mails = notices(&app).await;
    assert_eq!(events_of(&mails), ["factor_removal_asked"]);
    assert_eq!(mails.remove(0).link_secret, None);
}

#[tokio::test]
async fn nothing_is_asked_for_whose_notice_can_not_be_queued_and_no_news_is_of_nothing() {
    let (app, laptop, _) = with_settled().await;
    let asked = sign_in(&app, None).await;
    let answer = answer_of(&app, &asked).await;
    app.aws.fail("SendMessage", || CallResult::Broken);
    let refused = confirm(&app, &answer).await;
    assert_eq!(problem_of(&refused), (503, "unavailable".to_owned()));
    app.aws.fail("TransactWriteItems", || CallResult::Broken);
    let refused = confirm(&app, &answer).await;
    assert_eq!(problem_of(&refused), (503, "unavailable".to_owned()));
    app.aws.restore();
    assert!(!is_asked(&app, &laptop).await);
    let news = notices(&app).await;
    assert_eq!(events_of(&news), [] as [&str; 0]);
}

#[tokio::test]
async fn a_settled_app_and_a_recovery_code_stop_the_removal_at_a_sign_in() {
    let (app, laptop, phone) = with_settled().await;
    let codes = recovery_codes(&app, &laptop).await;
    for is_code in [false, true] {
        lose(&app).await;
        app.advance(STEP);
        let asked = sign_in(&app, None).await;
        let proof = if is_code {
            json!({ "recovery_code": codes[0] })
        } else {
            json!({ "totp": phone.code(&app) })
        };
        let done = complete(&app, &asked, proof).await;
        assert_eq!(done.status_code, 200, "{}", json_of(&done));
        assert!(!is_asked(&app, &laptop).await);
    }
    app.advance(LOST_FACTOR_WAIT);
    required(&sign_in(&app, None).await);
}

#[tokio::test]
async fn a_settled_app_stops_the_removal_at_a_verification() {
    let (app, laptop, phone) = with_settled().await;
    lose(&app).await;
    app.advance(STEP);
    let body = json!({ "totp": phone.code(&app) });
    let verified = post(&app, "/v1/verifications", &laptop.token, Some(&body)).await;
    assert_eq!(verified.status_code, 200, "{}", json_of(&verified));
    assert!(!is_asked(&app, &laptop).await);
}

#[tokio::test]
async fn a_young_app_stops_nothing() {
    let (app, laptop) = app_with_device().await;
    let phone = add(&app, &laptop).await;
    lose(&app).await;
    app.advance(STEP);
    let asked = sign_in(&app, None).await;
    let done = complete(&app, &asked, json!({ "totp": phone.code(&app) })).await;
    assert_eq!(done.status_code, 200, "{}", json_of(&done));
    assert!(is_asked(&app, &laptop).await);
}

#[tokio::test]
async fn a_recovery_ends_the_request_and_a_sign_out_or_a_new_password_does_not() {
    let (app, laptop, phone) = with_settled().await;
    lose(&app).await;
    let changed = app
        .bundle
        .change_password(&laptop.token, PASSWORD, OTHER_PASSWORD, false);
    assert_eq!(changed.await.status_code, 200);
    assert!(is_asked(&app, &laptop).await);
    app.advance(STEP);
    let recovered = recover(&app, json!({ "totp": phone.code(&app) })).await;
    assert_eq!(recovered.status_code, 200, "{}", json_of(&recovered));
    assert!(!is_asked(&app, &laptop).await);
    app.advance(LOST_FACTOR_WAIT);
    required(&app.bundle.log_in(EMAIL, OTHER_PASSWORD, None).await);
}

#[tokio::test]
async fn an_app_that_was_added_since_stays() {
    let (app, laptop, phone) = with_settled().await;
    lose(&app).await;
    app.advance(LOST_FACTOR_WAIT);
    // No factor counts any more, so the session is verified without one.
    mark_verified(&app, &laptop);
    let new = add(&app, &laptop).await;
    app.advance(STEP);
    let asked = sign_in(&app, None).await;
    required(&asked);
    invalid(&complete(&app, &asked, json!({ "totp": phone.code(&app) })).await);
    let done = complete(&app, &asked, json!({ "totp": new.code(&app) })).await;
    assert_eq!(done.status_code, 200, "{}", json_of(&done));
    let ids = account(&app, &laptop).await.factors;
    assert_eq!(ids.len(), 1);
    assert_eq!(app.aws.rows(FACTORS).len(), 1);
}

#[tokio::test]
async fn a_recovery_code_and_a_code_to_the_address_remove_a_lost_app_at_once() {
    let (app, laptop, phone) = with_settled().await;
    let codes = recovery_codes(&app, &laptop).await;
    app.advance(STEP);
    for too_little in [json!({}), json!({ "totp": phone.code(&app) })] {
        let mut body = too_little;
        body["remove_factors"] = true.into();
        let refused = recover(&app, body).await;
        assert_eq!(problem_of(&refused), (400, "request-invalid".to_owned()));
    }
    app.advance(HOUR);
    let body = json!({ "recovery_code": codes[0], "remove_factors": true });
    let recovered = recover(&app, body).await;
    assert_eq!(recovered.status_code, 200, "{}", json_of(&recovered));
    assert!(app.aws.rows(FACTORS).is_empty());
    let signed_in = app.bundle.log_in(EMAIL, OTHER_PASSWORD, None).await;
    assert_eq!(signed_in.status_code, 200, "{}", json_of(&signed_in));
}

#[tokio::test]
async fn only_the_device_of_the_sign_in_asks_within_ten_minutes_and_under_its_password() {
    let (app, laptop, _) = with_settled().await;
    let asked = sign_in(&app, None).await;
    let challenge = json_of(&asked)["challenge"].clone();
    for key in [Value::Null, json!(laptop.key)] {
        let mut body = json!({ "challenge": challenge });
        if !key.is_null() {
            body["device_key"] = key;
        }
        invalid(&send(&app, "/v1/lost-factors", &body).await);
    }
    let pass = ask(&app, Purpose::Pass, EMAIL).await;
    let body = json!({ "challenge": *pass.secret.to_text() });
    invalid(&send(&app, "/v1/lost-factors", &body).await);
    let answer = answer_of(&app, &asked).await;
    app.advance(CODE_LIFETIME);
    invalid(&report(&app, &asked).await);
    invalid(&confirm(&app, &answer).await);

    let asked = sign_in(&app, None).await;
    let answer = answer_of(&app, &asked).await;
    let changed = app
        .bundle
        .change_password(&laptop.token, PASSWORD, OTHER_PASSWORD, false);
    assert_eq!(changed.await.status_code, 200);
    invalid(&report(&app, &asked).await);
    invalid(&confirm(&app, &answer).await);
    assert!(!is_asked(&app, &laptop).await);
}

#[tokio::test]
async fn a_code_is_tried_five_times_and_asked_for_three_times_an_hour() {
    let (app, laptop, _) = with_settled().await;
    let asked = sign_in(&app, None).await;
    let answer = answer_of(&app, &asked).await;
    let mut wrong = answer.clone();
    wrong["code"] = if answer["code"] == "0000-0000" {
        "1111-1111"
    } else {
        "0000-0000"
    }
    .into();
    for _ in 0..5 {
        invalid(&confirm(&app, &wrong).await);
    }
    invalid(&confirm(&app, &answer).await);
    assert!(!is_asked(&app, &laptop).await);
    for status in [202, 202, 429] {
        assert_eq!(report(&app, &asked).await.status_code, status);
    }
    // A thief with the password does not stop the owner, who is elsewhere.
    let asked_for = json_of(&asked);
    let body =
        json!({ "challenge": asked_for["challenge"], "device_key": asked_for["device_key"] });
    let from = async |ip: &str| {
        let mut elsewhere = event("POST", "/v1/lost-factors", None, Some(&body));
        elsewhere.request_context.http.source_ip = Some(ip.to_owned());
        app.bundle.send(elsewhere).await.status_code
    };
    for n in 0..4 {
        let status = if n < 3 { 202 } else { 429 };
        assert_eq!(from(&format!("2001:db8:7:{n}::1")).await, status, "{n}");
    }
    assert_eq!(from("203.0.113.200").await, 202);
    // A code that confirms nothing else.
    let pass = ask(&app, Purpose::Pass, EMAIL).await;
    let body = json!({ "challenge": *pass.secret.to_text(), "code": *pass.code.to_text() });
    invalid(&confirm(&app, &body).await);
}

#[tokio::test]
async fn without_mail_or_a_confirmed_address_only_an_operator_removes_an_app() {
    let app = TestApp::new().await.with_factors();
    let laptop = app.sign_in(None).await;
    mark_verified(&app, &laptop);
    let _phone = add(&app, &laptop).await;
    let asked = sign_in(&app, None).await;
    required(&asked);
    let refused = report(&app, &asked).await;
    assert_eq!(problem_of(&refused), (409, "mail-unavailable".to_owned()));
    let app = app.with_mail();
    let key = json!({ "account_id": { "S": laptop.account } });
    let mut row = app.aws.engine.row(ACCOUNTS, &key).unwrap();
    row.as_object_mut().unwrap().remove("confirmed_at");
    app.aws.engine.put(ACCOUNTS, &row);
    let refused = report(&app, &asked).await;
    assert_eq!(problem_of(&refused), (409, "mail-unavailable".to_owned()));
}

/// What happens while a write about lost factors is held up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    /// Another device signs every device out, while the code is confirmed.
    EpochBeforeRequest,
    /// Another code is confirmed, an hour earlier.
    RequestBefore,
    /// The same code is confirmed, and the removal is stopped.
    SameCodeAndStop,
    /// A sign-out of every device, while a second step stops the removal.
    EpochBeforeStop,
    /// The same, while a verification stops it.
    EpochBeforeVerification,
    /// A clock is ahead, and the removal is stopped before a sign-in writes it.
    StopBeforeRemoval,
    /// An app is added before a sign-in writes the removal.
    AppBeforeRemoval,
    /// A clock is ahead, and the removal is stopped before a recovery writes it.
    StopBeforeRecovery,
}

impl Meanwhile {
    const ALL: [Self; 8] = [
        Self::EpochBeforeRequest,
        Self::RequestBefore,
        Self::SameCodeAndStop,
        Self::EpochBeforeStop,
        Self::EpochBeforeVerification,
        Self::StopBeforeRemoval,
        Self::AppBeforeRemoval,
        Self::StopBeforeRecovery,
    ];
}

struct Held<'a> {
    app: &'a TestApp,
    knocked_out: Option<&'a Clause>,
    met: &'a mut BTreeSet<Clause>,
}

impl Held<'_> {
    /// Makes a request whose transaction is held up for something else, and made without a
    /// clause.
    async fn around(
        self,
        request: impl Future<Output = Reply>,
        meanwhile: impl Future<Output = ()>,
    ) -> Reply {
        let change = |call| {
            self.met.extend(clauses("lost factor", &call));
            weakened(call, self.knocked_out)
        };
        let aws = &self.app.aws;
        aws.hold_up(ACCOUNTS, request, meanwhile, change).await
    }
}

/// Completes a second step, which stops the removal.
async fn stop(app: &TestApp, phone: &Phone) {
    let asked = sign_in(app, None).await;
    let done = complete(app, &asked, json!({ "totp": phone.code(app) })).await;
    assert_eq!(done.status_code, 200, "{}", json_of(&done));
}

/// Holds a write up for something else. Returns whether the rule is kept, and the clauses.
async fn keeps_the_rule(what: Meanwhile, knocked_out: Option<&Clause>) -> (bool, BTreeSet<Clause>) {
    let mut met = BTreeSet::new();
    let (app, laptop, phone) = with_settled().await;
    app.advance(STEP);
    let held = Held {
        app: &app,
        knocked_out,
        met: &mut met,
    };
    let is_kept = match what {
        Meanwhile::EpochBeforeRequest | Meanwhile::RequestBefore | Meanwhile::SameCodeAndStop => {
            Box::pin(asks(what, held, &laptop, &phone)).await
        }
        Meanwhile::EpochBeforeStop | Meanwhile::EpochBeforeVerification => {
            Box::pin(stops(what, held, &laptop, &phone)).await
        }
        _ => Box::pin(removes(what, held, &laptop, &phone)).await,
    };
    (is_kept, met)
}

async fn asks(what: Meanwhile, held: Held<'_>, laptop: &TestDevice, phone: &Phone) -> bool {
    let app = held.app;
    let is_whole = held.knocked_out.is_none();
    let asked = sign_in(app, None).await;
    let answer = answer_of(app, &asked).await;
    let other = answer_of(app, &asked).await;
    let before = app.clock.now();
    let meanwhile = async {
        match what {
            Meanwhile::EpochBeforeRequest => {
                let _ = app.sign_out_scope(laptop, "global").await;
            }
            Meanwhile::RequestBefore => {
                app.advance(-HOUR);
                let first = confirm(app, &other).await;
                assert_eq!(first.status_code, 202, "{}", json_of(&first));
                app.advance(HOUR);
            }
            _ => {
                let first = confirm(app, &answer).await;
                assert_eq!(first.status_code, 202, "{}", json_of(&first));
                stop(app, phone).await;
            }
        }
    };
    let reply = held.around(confirm(app, &answer), meanwhile).await;
    let lost_at = account(app, laptop).await.factors_lost_at;
    match what {
        Meanwhile::RequestBefore => lost_at == Some(before - HOUR),
        _ if is_whole => {
            invalid(&reply);
            lost_at.is_none()
        }
        _ => reply.status_code != 202 && lost_at.is_none(),
    }
}

async fn stops(what: Meanwhile, held: Held<'_>, laptop: &TestDevice, phone: &Phone) -> bool {
    let app = held.app;
    lose(app).await;
    let code = json!({ "totp": phone.code(app) });
    let meanwhile = async {
        let _ = app.sign_out_scope(laptop, "global").await;
    };
    let reply = if what == Meanwhile::EpochBeforeStop {
        let asked = sign_in(app, None).await;
        held.around(complete(app, &asked, code), meanwhile).await
    } else {
        let verifying = post(app, "/v1/verifications", &laptop.token, Some(&code));
        held.around(verifying, meanwhile).await
    };
    reply.status_code != 200
}

async fn removes(what: Meanwhile, held: Held<'_>, laptop: &TestDevice, phone: &Phone) -> bool {
    let app = held.app;
    lose(app).await;
    app.advance(LOST_FACTOR_WAIT);
    let meanwhile = async {
        if what == Meanwhile::AppBeforeRemoval {
            mark_verified(app, laptop);
            add(app, laptop).await;
            return;
        }
        app.advance(-STEP);
        stop(app, phone).await;
        app.advance(STEP);
    };
    let reply = if what == Meanwhile::StopBeforeRecovery {
        let recovering = Box::pin(recover(app, json!({})));
        Box::pin(held.around(recovering, meanwhile)).await
    } else {
        let signing_in = Box::pin(sign_in(app, None));
        Box::pin(held.around(signing_in, meanwhile)).await
    };
    let left = account(app, laptop).await.factors.len();
    reply.status_code == 403 && left == 1
}

#[tokio::test]
async fn every_condition_on_lost_factors_is_needed() {
    let (mut all, mut shown) = (BTreeSet::new(), BTreeSet::new());
    for what in Meanwhile::ALL {
        let (is_kept, met) = keeps_the_rule(what, None).await;
        assert!(is_kept, "{what:?}");
        for clause in &met {
            if !keeps_the_rule(what, Some(clause)).await.0 {
                shown.insert(clause.clone());
            }
        }
        all.extend(met);
    }
    // The others are those of a second step, a verification and a recovery, whose own tests
    // show that they are needed.
    let own = |clause: &&Clause| {
        clause.write == "Update Accounts" && !is_of_recovery(clause)
            || clause.text == "purpose = :open"
    };
    let unshown: Vec<_> = all.difference(&shown).filter(own).collect();
    assert_eq!(unshown, [] as [&Clause; 0]);
}

fn is_of_recovery(clause: &Clause) -> bool {
    [
        "epoch < :next",
        "email = :email",
        "(attribute_not_exists(recovered_at)",
    ]
    .iter()
    .any(|text| clause.text.starts_with(text))
}
