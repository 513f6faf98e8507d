//! Accounts whose address nobody has confirmed, in a deployment that sends mail.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use curfew_tests::account::{EMAIL, OTHER_EMAIL, OTHER_PASSWORD, PASSWORD, TestDevice, register};
use curfew_tests::app::TestApp;
use curfew_tests::bundle::{event, json_of, problem_of};
use curfew_tests::engine::ServiceResponse;
use curfew_tests::fake_aws::Intercept;
use curfew_tests::races::clauses::{self, Clause};
use curfew_tests::tables::{self, ACCOUNTS, CHALLENGES};
use curfew_tests::wire::{self, Call, CallResult};
use domain::account::UNCONFIRMED_FOR;
use domain::challenge::NewChallenge;
use domain::recognition::recognized_until;
use domain::session::Authenticated;
use domain::{Budget, CounterKey, NoticeId, Purpose};
use http_api::Reply;
use jiff::SignedDuration;
use runtime::lock;
use serde_json::{Value, json};
use store::{Charge, Store, WriteOutcome};

use crate::challenges::{ask, confirm, log_in_by_pass, post};
use crate::mails;

const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// Returns the product with an account that was made before it sent mail.
async fn unconfirmed() -> TestApp {
    let app = TestApp::without_account(|config| config).with_mail();
    give_account(&app, EMAIL).await;
    app
}

async fn give_account(app: &TestApp, email: &str) {
    let (store, now) = (&app.bundle.store, app.clock.now());
    register(store, email, PASSWORD, None, now).await.unwrap();
}

/// Confirms the address of a device's account.
async fn confirm_by(app: &TestApp, device: &TestDevice, asked: &NewChallenge) -> Reply {
    let body = json!({ "challenge": *asked.secret.to_text(), "code": *asked.code.to_text() });
    let path = "/v1/address-confirmations";
    app.bundle
        .send(event("POST", path, Some(&device.token), Some(&body)))
        .await
}

async fn is_asked_to_confirm(app: &TestApp, device: &TestDevice) -> bool {
    let session = json_of(&app.bundle.who_am_i(&device.token).await);
    session["account"]["confirm_address"].as_bool().unwrap()
}

async fn is_confirmed(app: &TestApp, device: &TestDevice) -> bool {
    caller(app, device).await.account.confirmed_at.is_some()
}

async fn caller(app: &TestApp, device: &TestDevice) -> Authenticated {
    let rows = app.bundle.store.rows(device.account, &[device.id]).await;
    let mut rows = rows.unwrap();
    Authenticated {
        device: rows.take_device(device.id).unwrap(),
        account: rows.account.unwrap(),
    }
}

fn code_invalid() -> (i64, String) {
    (403, "code-invalid".to_owned())
}

fn unconfirmed_problem() -> (i64, String) {
    (403, "address-unconfirmed".to_owned())
}

#[tokio::test]
async fn a_sign_in_and_a_session_say_that_the_address_is_to_be_confirmed_where_mail_is_sent() {
    let mut app = unconfirmed().await;
    let signed_in = app.bundle.log_in(EMAIL, PASSWORD, None).await;
    assert_eq!(json_of(&signed_in)["account"]["confirm_address"], true);
    let device = TestDevice::of(&signed_in);
    assert!(is_asked_to_confirm(&app, &device).await);
    app.register(OTHER_EMAIL).await;
    let confirmed = app.bundle.log_in(OTHER_EMAIL, PASSWORD, None).await;
    assert_eq!(json_of(&confirmed)["account"]["confirm_address"], false);

    app.bundle.login.codes = None;
    app.bundle.session.sends_mail = false;
    let signed_in = app.bundle.log_in(EMAIL, PASSWORD, None).await;
    assert_eq!(json_of(&signed_in)["account"]["confirm_address"], false);
    assert!(!is_asked_to_confirm(&app, &device).await);
}

#[tokio::test]
async fn a_session_confirms_the_address_of_its_account_once_and_its_device_is_recognized() {
    let app = unconfirmed().await;
    let device = app.sign_in(None).await;
    let asked = ask(&app, Purpose::Confirmation, EMAIL).await;

    let confirmed = confirm_by(&app, &device, &asked).await;

    assert_eq!(
        (confirmed.status_code, json_of(&confirmed)),
        (200, json!({}))
    );
    assert!(is_confirmed(&app, &device).await && !is_asked_to_confirm(&app, &device).await);
    assert!(app.row(&device).await.recognized_until.is_some());
    let again = confirm_by(&app, &device, &asked).await;
    assert_eq!(problem_of(&again), code_invalid());
    let claim = confirm(&app, &asked, &asked.code.to_text(), PASSWORD).await;
    assert_eq!(problem_of(&claim), code_invalid(), "it works once");
    let recovery = ask(&app, Purpose::Recovery, EMAIL).await;
    let recovered = app.bundle.recover(&recovery, OTHER_PASSWORD).await;
    assert_eq!(recovered.status_code, 200);
}

#[tokio::test]
async fn a_code_confirms_no_other_address_and_no_other_account() {
    let app = unconfirmed().await;
    let device = app.sign_in(None).await;
    give_account(&app, OTHER_EMAIL).await;
    let other = TestDevice::of(&app.bundle.log_in(OTHER_EMAIL, PASSWORD, None).await);
    let asked = ask(&app, Purpose::Confirmation, EMAIL).await;
    for purpose in [Purpose::Pass, Purpose::Recovery] {
        let asked = ask(&app, purpose, EMAIL).await;
        let reply = confirm_by(&app, &device, &asked).await;
        assert_eq!(problem_of(&reply), code_invalid());
    }

    let reply = confirm_by(&app, &other, &asked).await;

    assert_eq!(problem_of(&reply), code_invalid());
    assert!(!is_confirmed(&app, &device).await && !is_confirmed(&app, &other).await);
}

/// What happens between the read and the write of a confirmation.
const FIRST: [&str; 6] = [
    "claim",
    "confirmation",
    "sign-in",
    "sign-out",
    "others",
    "global",
];

/// Confirms an address after something else has happened. Returns whether it was written, and
/// the clauses of the transaction.
async fn confirm_after(
    first: &str,
    knocked_out: Option<Clause>,
) -> (WriteOutcome, BTreeSet<Clause>) {
    let app = unconfirmed().await;
    let device = app.sign_in(None).await;
    let other = app.sign_in(None).await;
    let asked = ask(&app, Purpose::Confirmation, EMAIL).await;
    let read = caller(&app, &device).await;
    match first {
        "claim" => {
            let claim = ask(&app, Purpose::Confirmation, EMAIL).await;
            let made = confirm(&app, &claim, &claim.code.to_text(), OTHER_PASSWORD).await;
            assert_eq!(made.status_code, 201);
        }
        "confirmation" => {
            let earlier = ask(&app, Purpose::Confirmation, EMAIL).await;
            assert_eq!(confirm_by(&app, &other, &earlier).await.status_code, 200);
        }
        "sign-in" => drop(app.sign_in_again(&device).await),
        "sign-out" => drop(app.sign_out_device(&other, &device).await),
        scope => drop(app.sign_out_scope(&other, scope).await),
    }
    let met = Arc::<Mutex<BTreeSet<Clause>>>::default();
    let (aws, note) = (app.aws.clone(), met.clone());
    let clients = wire::clients(move |call: Call| {
        lock(&note).extend(clauses::clauses("confirm an address", &call));
        CallResult::Answered(aws.make(&clauses::weakened(call, knocked_out.as_ref())))
    });
    let store = Store::new(clients.dynamodb(), tables::names());
    let now = app.clock.now();
    let (times, attempt) = ((now, recognized_until(now)), NoticeId::new(now, [1; 10]));
    let written = store
        .confirm_address_of(&read, &asked.challenge, times, attempt)
        .await;
    let clauses = lock(&met).clone();
    (written.unwrap(), clauses)
}

#[tokio::test]
async fn a_confirmation_is_stopped_by_what_came_first_and_needs_each_of_its_conditions() {
    let mut clauses = BTreeSet::new();
    for first in FIRST {
        let (written, met) = Box::pin(confirm_after(first, None)).await;
        assert_eq!(written, WriteOutcome::Stale, "{first}");
        clauses.extend(met);
    }
    assert_eq!(clauses.len(), 5, "{clauses:?}");
    for clause in clauses {
        let mut is_needed = false;
        for first in FIRST {
            let (written, _) = Box::pin(confirm_after(first, Some(clause.clone()))).await;
            is_needed |= written == WriteOutcome::Done;
        }
        assert!(is_needed, "{clause:?}");
    }
}

#[tokio::test]
async fn an_address_that_is_confirmed_while_it_is_claimed_stays_with_its_account() {
    let app = unconfirmed().await;
    let device = app.sign_in(None).await;
    let asked = ask(&app, Purpose::Confirmation, EMAIL).await;
    let confirmed = json!({
        "TableName": ACCOUNTS,
        "Key": { "account_id": { "S": device.account.to_string() } },
        "UpdateExpression": "SET confirmed_at = :now",
        "ExpressionAttributeValues": { ":now": { "N": app.clock.now().as_millisecond().to_string() } },
    });
    let aws = app.aws.clone();
    app.aws.intercept(move |call| {
        if call.operation == "TransactWriteItems" {
            let confirm = Call {
                operation: "UpdateItem".to_owned(),
                body: confirmed.to_string(),
                ..call.clone()
            };
            assert!(aws.make(&confirm).is_success());
        }
        Intercept::Make
    });

    let claim = confirm(&app, &asked, &asked.code.to_text(), OTHER_PASSWORD).await;

    assert_eq!(problem_of(&claim), (409, "address-taken".to_owned()));
    app.aws.restore();
    let _device = app.sign_in_again(&device).await;
}

#[tokio::test]
async fn from_the_thirtieth_day_on_a_device_that_is_not_recognized_needs_a_code() {
    let app = unconfirmed().await;
    let known = app.sign_in(None).await;
    app.advance(UNCONFIRMED_FOR - SECOND * 10);
    let _early = app.sign_in(None).await;
    app.advance(SECOND * 10);

    let refused = app.bundle.log_in(EMAIL, PASSWORD, None).await;
    assert_eq!(problem_of(&refused), unconfirmed_problem());
    let wrong = app.bundle.log_in(EMAIL, OTHER_PASSWORD, None).await;
    assert_eq!(wrong.status_code, 401);
    let known = app.sign_in_again(&known).await;
    assert!(!is_confirmed(&app, &known).await);

    let asked = ask(&app, Purpose::Pass, EMAIL).await;
    let by_code = log_in_by_pass(&app, &asked, EMAIL, PASSWORD).await;
    assert_eq!(by_code.status_code, 200);
    assert_eq!(json_of(&by_code)["account"]["confirm_address"], false);
    assert!(is_confirmed(&app, &known).await);
    let _new = app.sign_in(None).await;
}

#[tokio::test]
async fn guesses_that_end_at_the_code_are_counted() {
    let app = unconfirmed().await;
    app.advance(UNCONFIRMED_FOR);
    let too_many = (429, "too-many-attempts".to_owned());
    for attempt in 0..10 {
        let refused = app.bundle.log_in(EMAIL, PASSWORD, None).await;
        if attempt < 3 {
            assert_eq!(problem_of(&refused), unconfirmed_problem());
        } else {
            assert_eq!(problem_of(&refused), too_many);
            assert_eq!(refused.headers["retry-after"], "1200", "of the mails");
        }
    }
    let over_budget = app.bundle.log_in(EMAIL, PASSWORD, None).await;
    assert_eq!(problem_of(&over_budget), too_many);
    assert_eq!(over_budget.headers["retry-after"], "300", "of the attempts");
}

/// Uses up, as a stranger, the mails to the address and those of the network.
async fn use_up_mails(app: &TestApp) {
    let mut last = 0;
    for number in 0..40 {
        let other = format!("user{number}@example.com");
        let email = if number < 4 { EMAIL } else { &other };
        let asked = post(app, "/v1/passes", json!({ "email": email })).await;
        last = asked.status_code;
        assert!(number != 3 || last == 429, "the mailbox");
    }
    assert_eq!(last, 429, "the network");
    drop(app.aws.take_queued());
}

/// Returns the function that mails, with the stack's budget used up and the mails to unproven
/// addresses paused.
async fn send_mail_used_up(app: &TestApp) -> send_mail::Deps {
    let deps = send_mail::Deps {
        unproven: Budget::new(1, SignedDuration::from_hours(24)),
        clock: app.clock.clone(),
        ..mails::deps(&app.aws)
    };
    let counter = CounterKey::new("unproven-mails", &[]);
    let now = app.clock.now();
    let charged = deps.store.charge(counter, &deps.unproven, now).await;
    assert!(matches!(charged, Ok(Charge::Admitted(_))));
    app.aws.intercept(|call| {
        let is_paused = call.operation == "SendEmail" && call.body.contains("\"unproven\"");
        if is_paused {
            let paused = ServiceResponse::error(400, "SendingPausedException");
            return Intercept::Replace(CallResult::Answered(paused));
        }
        Intercept::Make
    });
    deps
}

#[tokio::test]
async fn a_stranger_who_uses_up_every_mail_does_not_stop_the_owner() {
    let app = unconfirmed().await;
    app.advance(UNCONFIRMED_FOR);
    use_up_mails(&app).await;
    let deps = send_mail_used_up(&app).await;

    let refused = app.bundle.log_in(EMAIL, PASSWORD, None).await;

    assert_eq!(problem_of(&refused), unconfirmed_problem());
    let [message] = <[_; 1]>::try_from(app.aws.take_queued()).unwrap();
    assert_eq!(message.queue, "codes");
    assert!(mails::deliver(&deps, &[&message.body]).await.is_empty());
    let [mail] = <[Value; 1]>::try_from(app.aws.take_mails()).unwrap();
    assert_eq!(mail["ConfigurationSetName"], "proven");

    let message: Value = serde_json::from_str(&message.body).unwrap();
    let pass = json!({ "challenge": json_of(&refused)["challenge"], "code": message["code"] });
    let body = json!({ "email": EMAIL, "password": PASSWORD, "pass": pass });
    let signed_in = post(&app, "/v1/login", body.clone()).await;
    assert_eq!(signed_in.status_code, 200);
    assert!(is_confirmed(&app, &TestDevice::of(&signed_in)).await);
    let again = post(&app, "/v1/login", body).await;
    assert_eq!(problem_of(&again), code_invalid(), "it works once");
}

#[tokio::test]
async fn a_pass_that_anyone_can_ask_for_is_mailed_as_to_an_unproven_address() {
    let app = unconfirmed().await;
    app.advance(UNCONFIRMED_FOR);
    let deps = send_mail_used_up(&app).await;
    let asked = post(&app, "/v1/passes", json!({ "email": EMAIL })).await;
    assert_eq!(asked.status_code, 202);
    let [message] = <[_; 1]>::try_from(app.aws.take_queued()).unwrap();
    assert_eq!(mails::deliver(&deps, &[&message.body]).await, ["0"]);
    assert!(app.aws.take_mails().is_empty());
}

#[tokio::test]
async fn a_wrong_password_mails_nothing_and_uses_up_no_mail_of_the_owner() {
    let app = unconfirmed().await;
    app.advance(UNCONFIRMED_FOR);
    for _ in 0..4 {
        let wrong = app.bundle.log_in(EMAIL, OTHER_PASSWORD, None).await;
        let unknown = app.bundle.log_in(OTHER_EMAIL, PASSWORD, None).await;
        assert_eq!(problem_of(&wrong), (401, "credentials-invalid".to_owned()));
        assert_eq!(json_of(&wrong), json_of(&unknown));
    }
    assert!(app.aws.take_queued().is_empty());
    assert!(app.aws.rows(CHALLENGES).is_empty());
    let refused = app.bundle.log_in(EMAIL, PASSWORD, None).await;
    assert_eq!(problem_of(&refused), unconfirmed_problem());
}

#[tokio::test]
async fn an_address_that_no_mail_can_reach_needs_no_code_and_is_never_locked() {
    let mut app = unconfirmed().await;
    let address = "jos\u{e9}@example.com";
    give_account(&app, address).await;
    give_account(&app, OTHER_EMAIL).await;
    let budget = app.bundle.login.budgets.address;
    app.bundle.login.budgets.address = budget.with_in_a_row(3, None);
    app.advance(UNCONFIRMED_FOR);
    let signed_in = app.bundle.log_in(address, PASSWORD, None).await;
    assert_eq!(json_of(&signed_in)["account"]["confirm_address"], false);

    for email in [address, OTHER_EMAIL] {
        for _ in 0..3 {
            let wrong = app.bundle.log_in(email, "wrong", None).await;
            assert_eq!(wrong.status_code, 401);
        }
        let refused = app.bundle.log_in(email, PASSWORD, None).await;
        assert_eq!(refused.status_code, 429);
    }
    app.advance(SignedDuration::from_hours(1));
    let signed_in = app.bundle.log_in(address, PASSWORD, None).await;
    assert_eq!(signed_in.status_code, 200);
    let refused = app.bundle.log_in(OTHER_EMAIL, PASSWORD, None).await;
    assert_eq!(refused.status_code, 429, "mail can reach it");
}

#[tokio::test]
async fn without_mail_an_old_account_signs_in_as_before() {
    let mut app = unconfirmed().await;
    app.bundle.login.codes = None;
    app.advance(UNCONFIRMED_FOR * 2);
    let _device = app.sign_in(None).await;
}

#[tokio::test]
async fn a_pass_whose_confirmation_fails_signs_in_all_the_same() {
    let app = unconfirmed().await;
    let asked = ask(&app, Purpose::Pass, EMAIL).await;
    app.aws.intercept(|call| {
        let is_confirming = call.operation == "UpdateItem" && call.body.contains(ACCOUNTS);
        if is_confirming {
            let failed = ServiceResponse::error(500, "InternalServerError");
            return Intercept::Replace(CallResult::Answered(failed));
        }
        Intercept::Make
    });

    let signed_in = log_in_by_pass(&app, &asked, EMAIL, PASSWORD).await;

    app.aws.restore();
    assert_eq!(json_of(&signed_in)["account"]["confirm_address"], true);
    let device = TestDevice::of(&signed_in);
    assert!(!is_confirmed(&app, &device).await);
}
