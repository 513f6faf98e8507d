//! Codes and links: what completing one does, how often it works, and what ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use curfew_tests::account::{EMAIL, OTHER_EMAIL, OTHER_PASSWORD, PASSWORD, TestDevice};
use curfew_tests::app::{TestApp, event_of};
use curfew_tests::bundle::{event, json_of};
use curfew_tests::tables::{ACCOUNTS, CHALLENGES, IDENTITIES};
use domain::challenge::{ChallengeRandom, LINK_LIFETIME};
use domain::ownership::Hold;
use domain::{AccountId, EmailAddress, NewChallenge, Purpose, SignOut};
use futures_util::future::join_all;
use http_api::Reply;
use jiff::SignedDuration;
use serde_json::{Value, json};
use store::{Change, WriteOutcome};

const NEW_PASSWORD: &str = "seven kites circle the old lighthouse";

/// Returns the product with a confirmed account and as many devices.
async fn confirmed<const N: usize>() -> (TestApp, AccountId, [TestDevice; N]) {
    let (app, devices) = TestApp::with_devices().await;
    let email = EmailAddress::parse(EMAIL).unwrap();
    let id = app.bundle.store.account_by_email(&email).await.unwrap();
    (app, id.unwrap(), devices)
}

/// Returns the product with an account that was made without mail.
async fn unconfirmed() -> TestApp {
    let app = TestApp::without_account(|config| config);
    let made = app.bundle.register(EMAIL, PASSWORD).await;
    assert_eq!(made.status_code, 202);
    app
}

/// Asks as the functions do, without the mail.
pub(crate) async fn ask(app: &TestApp, purpose: Purpose, email: &str) -> NewChallenge {
    app.advance(SignedDuration::from_secs(1));
    let random = ChallengeRandom {
        secret: runtime::random(),
        code: runtime::random(),
        link: runtime::random(),
    };
    let email = EmailAddress::parse(email).unwrap();
    let asked = NewChallenge::new(purpose, email, app.clock.now(), random);
    let put = app.bundle.store.put_challenge(&asked.challenge).await;
    put.unwrap();
    app.advance(SignedDuration::from_secs(1));
    asked
}

pub(crate) async fn post(app: &TestApp, path: &str, body: Value) -> Reply {
    let event = event("POST", path, None, Some(&body));
    app.bundle.send(event).await
}

pub(crate) async fn confirm(
    app: &TestApp,
    asked: &NewChallenge,
    code: &str,
    password: &str,
) -> Reply {
    let body = json!({ "challenge": *asked.secret.to_text(), "code": code, "password": password });
    post(app, "/v1/accounts/confirmations", body).await
}

pub(crate) async fn recover_by_link(app: &TestApp, asked: &NewChallenge, password: &str) -> Reply {
    let secret = asked.link.as_ref().unwrap().secret_text();
    let link = format!("{}.{}", asked.challenge.id, *secret);
    let body = json!({ "link": link, "password": password });
    post(app, "/v1/password-resets/confirmations", body).await
}

fn outcome(reply: &Reply) -> (i64, String) {
    let body = json_of(reply);
    let kind = body["type"].as_str().unwrap_or_default();
    let name = kind.rsplit(':').next().unwrap_or_default();
    (reply.status_code, name.to_owned())
}

fn refused() -> (i64, String) {
    (403, "code-invalid".to_owned())
}

/// A code that is not the right one.
fn wrong(asked: &NewChallenge) -> &'static str {
    let is_it = asked.code.to_text().starts_with('0');
    if is_it { "1000-0000" } else { "0000-0000" }
}

#[tokio::test]
async fn a_secret_is_in_the_body_of_its_message_alone() {
    let (app, _, []) = confirmed().await;
    let app = app.with_mail();
    for path in ["/v1/accounts", "/v1/password-resets", "/v1/passes"] {
        let asked = json_of(&post(&app, path, json!({ "email": EMAIL })).await);
        let [message] = <[_; 1]>::try_from(app.aws.take_queued()).unwrap();
        assert!(message.attributes.is_empty(), "{:?}", message.attributes);
        let body: Value = serde_json::from_str(&message.body).unwrap();
        let secret = asked["challenge"].as_str().unwrap();
        let rows = app.aws.contents(&[CHALLENGES]).concat();
        assert!(
            !message.body.contains(secret),
            "the mail has the caller's secret"
        );
        for secret in [&body["code"], &body["link_secret"]] {
            let Some(secret) = secret.as_str() else {
                continue;
            };
            assert!(!rows.contains(secret), "the table has {secret}");
            assert!(
                !asked.to_string().contains(secret),
                "the answer has {secret}"
            );
        }
    }
}

#[tokio::test]
async fn an_address_that_ses_can_not_send_to_is_refused_with_that_reason() {
    let app = TestApp::without_account(|config| config).with_mail();
    for path in ["/v1/accounts", "/v1/password-resets", "/v1/passes"] {
        let refused = post(&app, path, json!({ "email": "jos\u{e9}@example.com" })).await;
        assert_eq!(outcome(&refused), (400, "request-invalid".to_owned()));
        let reason = json_of(&refused).to_string();
        assert!(
            reason.contains("only ASCII letters before the `@`"),
            "{reason}"
        );
        let sent = post(&app, path, json!({ "email": "jose@b\u{fc}cher.example" })).await;
        assert_eq!(sent.status_code, 202, "{path}");
    }
    assert_eq!(app.aws.rows(CHALLENGES).len(), 3);
}

#[tokio::test]
async fn a_recovery_ends_every_session_and_every_device_learns_why() {
    let (app, id, [tv, laptop]) = confirmed().await;
    app.sign_out_scope(&laptop, "others").await;
    let phone = app.sign_in(None).await;
    let asked = ask(&app, Purpose::Recovery, EMAIL).await;

    let recovered = app.bundle.recover(&asked, NEW_PASSWORD).await;

    assert_eq!(
        (recovered.status_code, json_of(&recovered)),
        (200, json!({}))
    );
    for device in [&laptop, &phone] {
        let answer = json_of(&app.bundle.who_am_i(&device.token).await);
        assert_eq!(answer["reason"], "recovered");
        assert_eq!(answer["signed_out_by"], Value::Null);
    }
    let earlier = json_of(&app.bundle.who_am_i(&tv.token).await);
    assert_eq!(earlier["reason"], "signed_out");
    let old = app.bundle.log_in(EMAIL, PASSWORD, Some(&laptop.key)).await;
    assert_eq!(old.status_code, 401);
    let owner = TestDevice::of(&app.bundle.log_in(EMAIL, NEW_PASSWORD, None).await);
    assert_eq!(owner.account, id);

    let sign_out = json_of(&app.bundle.who_am_i(&laptop.token).await)["sign_out"].clone();
    let sign_out = sign_out.as_str().unwrap().parse().unwrap();
    for _ in ["before the sweep", "after it"] {
        let receipt = json_of(&app.bundle.receipt(&owner.token, sign_out).await);
        assert_eq!(receipt["sign_out"]["total"]["devices"], 2, "{receipt}");
        assert_eq!(receipt["sign_out"]["total"]["notified"], 2, "{receipt}");
        app.sweep(&app.event_of(id, sign_out).await).await;
    }
    assert_ne!(app.row(&phone).await.state, domain::DeviceState::SignedIn);
    assert_eq!(app.bundle.who_am_i(&owner.token).await.status_code, 200);
}

/// A thief signs the others out between the recovery's read and its write.
#[tokio::test]
async fn a_recovery_reaches_over_a_sign_out_that_came_in_between() {
    let (app, id, [tv, thief]) = confirmed().await;
    let (store, limits) = (&app.bundle.store, &app.bundle.limits);
    let asked = ask(&app, Purpose::Recovery, EMAIL).await;
    let read = store.rows(id, &[]).await.unwrap().account.unwrap();
    let by_thief = app.sign_out_scope(&thief, "others").await;
    let second = app.sign_in(None).await;

    let sign_out = SignOut::of_recovered(&read, app.clock.now(), runtime::random());
    let hold = Hold::after_recovery(None, app.clock.now());
    let new = (&read.password_hash, &hold);
    let recovered = store.recover(&sign_out, (&asked.challenge, None), new, None, limits);

    assert_eq!(recovered.await.unwrap(), WriteOutcome::Done);
    let reasons = async || {
        let mut reasons = Vec::new();
        for device in [&tv, &thief, &second] {
            let answer = json_of(&app.bundle.who_am_i(&device.token).await);
            reasons.push((
                answer["sign_out"].as_str().unwrap().to_owned(),
                answer["reason"].clone(),
            ));
        }
        reasons
    };
    let expected = [
        (by_thief.to_string(), json!("signed_out")),
        (sign_out.id.to_string(), json!("recovered")),
        (sign_out.id.to_string(), json!("recovered")),
    ];
    assert_eq!(reasons().await, expected);
    app.sweep(&event_of(&Change::SignedOut(sign_out.clone())))
        .await;
    assert_eq!(app.row(&tv).await.state, domain::DeviceState::SignedIn);
    for device in [&thief, &second] {
        assert_ne!(app.row(device).await.state, domain::DeviceState::SignedIn);
    }
    assert_eq!(reasons().await, expected);
    let receipt = async |id| {
        let receipt = store.receipt(read.id, id, limits).await.unwrap().unwrap();
        receipt.entries.len()
    };
    assert_eq!(
        (receipt(by_thief).await, receipt(sign_out.id).await),
        (1, 2)
    );
}

/// Asks over the API, and returns the answer and the message that was queued.
async fn request(app: &TestApp, path: &str, email: &str) -> (Reply, Option<Value>) {
    let reply = post(app, path, json!({ "email": email })).await;
    let queued = app.aws.take_queued().pop();
    let message = queued.map(|queued| serde_json::from_str(&queued.body).unwrap());
    (reply, message)
}

#[tokio::test]
async fn an_account_is_made_and_recovered_by_what_the_mails_say() {
    let app = TestApp::without_account(|config| config).with_mail();
    let weak = post(
        &app,
        "/v1/accounts",
        json!({ "email": EMAIL, "password": PASSWORD }),
    )
    .await;
    assert_eq!(json_of(&weak)["field"], "password");
    let (asked, mail) = request(&app, "/v1/accounts", EMAIL).await;
    let mail = mail.unwrap();
    assert_eq!(
        (asked.status_code, &mail["kind"]),
        (202, &json!("confirm_address"))
    );
    assert!(mail.get("link_secret").is_none());
    let body = json!({
        "challenge": json_of(&asked)["challenge"], "code": mail["code"], "password": PASSWORD,
    });
    let made = post(&app, "/v1/accounts/confirmations", body).await;
    assert_eq!(made.status_code, 201);
    app.advance(SignedDuration::from_secs(1));

    let (_, mail) = request(&app, "/v1/password-resets", EMAIL).await;
    let mail = mail.unwrap();
    let text = |name: &str| mail[name].as_str().unwrap().to_owned();
    let link = format!("{}.{}", text("challenge_id"), text("link_secret"));
    app.advance(SignedDuration::from_secs(1));
    let body = json!({ "link": link, "password": NEW_PASSWORD });
    let recovered = post(&app, "/v1/password-resets/confirmations", body).await;
    assert_eq!(recovered.status_code, 200);
    assert_eq!(
        app.bundle
            .log_in(EMAIL, NEW_PASSWORD, None)
            .await
            .status_code,
        200
    );
}

#[tokio::test]
async fn a_mailbox_gets_three_mails_of_a_kind_at_once_and_ten_in_a_day() {
    let app = TestApp::without_account(|config| config).with_mail();
    let path = "/v1/password-resets";
    for email in [EMAIL, "Lea+one@example.com", "lea+two@EXAMPLE.com"] {
        assert_eq!(
            request(&app, path, email).await.0.status_code,
            202,
            "{email}"
        );
    }
    let (refused, mail) = request(&app, path, "lea+three@example.com").await;
    assert_eq!(outcome(&refused), (429, "too-many-attempts".to_owned()));
    assert_eq!(refused.headers["retry-after"], "1200");
    assert_eq!(mail, None);
    for (path, email) in [
        (path, OTHER_EMAIL),
        ("/v1/passes", EMAIL),
        ("/v1/accounts", EMAIL),
    ] {
        assert_eq!(
            request(&app, path, email).await.0.status_code,
            202,
            "{path} {email}"
        );
    }
    let mut sent = 3;
    for _ in 0..24 * 4 {
        app.advance(SignedDuration::from_mins(15));
        sent += usize::from(request(&app, path, EMAIL).await.0.status_code == 202);
    }
    // What an hour and a day are worth at once, and what became due in that day.
    assert_eq!(sent, 10 + 10);
}

#[tokio::test]
async fn a_deployment_without_mail_says_so() {
    let app = TestApp::new().await;
    for path in ["/v1/password-resets", "/v1/passes"] {
        let answer = request(&app, path, EMAIL).await.0;
        assert_eq!(outcome(&answer), (409, "mail-unavailable".to_owned()));
    }
}

#[tokio::test]
async fn of_a_hundred_parallel_tries_one_works() {
    let (app, _, []) = confirmed().await;
    for purpose in [Purpose::Recovery, Purpose::Confirmation] {
        let email = if purpose == Purpose::Recovery {
            EMAIL
        } else {
            OTHER_EMAIL
        };
        let asked = ask(&app, purpose, email).await;
        let code = asked.code.to_text();
        let tries = (0..100).map(|_| async {
            match purpose {
                Purpose::Recovery => app.bundle.recover(&asked, NEW_PASSWORD).await,
                _ => confirm(&app, &asked, &code, PASSWORD).await,
            }
        });
        let worked = join_all(tries)
            .await
            .iter()
            .filter(|reply| reply.status_code < 300)
            .count();
        assert_eq!(worked, 1, "{purpose:?}");
    }
    let asked = ask(&app, Purpose::Recovery, EMAIL).await;
    let tries = join_all((0..100).map(|_| recover_by_link(&app, &asked, PASSWORD))).await;
    assert_eq!(
        tries
            .iter()
            .filter(|reply| reply.status_code == 200)
            .count(),
        1
    );
    // The confirmation is a pass now.
    let left = app.aws.rows(CHALLENGES);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["purpose"], json!({ "S": "pass" }));
}

#[tokio::test]
async fn five_tries_are_counted_before_the_code_is_compared() {
    let (app, _, []) = confirmed().await;
    let asked = ask(&app, Purpose::Confirmation, OTHER_EMAIL).await;
    let tries = join_all((0..100).map(|_| confirm(&app, &asked, wrong(&asked), PASSWORD))).await;
    assert!(tries.iter().all(|reply| outcome(reply) == refused()));
    assert_eq!(
        app.aws.rows(CHALLENGES)[0]["tries_made"],
        json!({ "N": "5" })
    );

    let right = confirm(&app, &asked, &asked.code.to_text(), PASSWORD).await;

    assert_eq!(outcome(&right), refused());
    assert_eq!(app.aws.rows(IDENTITIES).len(), 1);
}

#[tokio::test]
async fn a_link_works_anywhere_for_an_hour_whatever_was_tried_by_who_asked() {
    let (app, _, []) = confirmed().await;
    let (asked, late) = (
        ask(&app, Purpose::Recovery, EMAIL).await,
        ask(&app, Purpose::Recovery, EMAIL).await,
    );
    let body = json!({
        "challenge": *asked.secret.to_text(), "code": wrong(&asked), "password": NEW_PASSWORD,
    });
    for _ in 0..6 {
        let path = "/v1/password-resets/confirmations";
        assert_eq!(outcome(&post(&app, path, body.clone()).await), refused());
    }
    app.advance(LINK_LIFETIME - SignedDuration::from_secs(10));

    // Its code is too old.
    assert_eq!(
        outcome(&app.bundle.recover(&late, NEW_PASSWORD).await),
        refused()
    );
    assert_eq!(
        recover_by_link(&app, &asked, NEW_PASSWORD)
            .await
            .status_code,
        200
    );
    assert_eq!(
        outcome(&recover_by_link(&app, &asked, PASSWORD).await),
        refused()
    );
    // The recovery ended the other challenge, too.
    assert_eq!(
        outcome(&recover_by_link(&app, &late, PASSWORD).await),
        refused()
    );
    let too_late = ask(&app, Purpose::Recovery, EMAIL).await;
    app.advance(LINK_LIFETIME);
    assert_eq!(
        outcome(&recover_by_link(&app, &too_late, PASSWORD).await),
        refused()
    );
}

#[tokio::test]
async fn no_sign_out_and_no_change_of_the_password_ends_a_recovery() {
    let (app, id, [laptop, phone]) = confirmed().await;
    let asked = ask(&app, Purpose::Recovery, EMAIL).await;
    app.sign_out_device(&laptop, &phone).await;
    app.sign_out_scope(&laptop, "others").await;
    app.change_password(&laptop, false).await;

    assert_eq!(
        app.bundle.recover(&asked, NEW_PASSWORD).await.status_code,
        200
    );

    app.disable(id).await;
    let asked = ask(&app, Purpose::Recovery, EMAIL).await;
    assert_eq!(
        outcome(&app.bundle.recover(&asked, PASSWORD).await),
        refused()
    );
}

#[tokio::test]
async fn an_address_that_was_never_confirmed_gets_no_recovery() {
    let app = unconfirmed().await;
    for email in [EMAIL, OTHER_EMAIL] {
        let asked = ask(&app, Purpose::Recovery, email).await;
        assert_eq!(
            outcome(&app.bundle.recover(&asked, NEW_PASSWORD).await),
            refused()
        );
    }
}

#[tokio::test]
async fn a_confirmed_address_gets_an_account_and_nothing_is_stored_or_hashed_before() {
    let app = TestApp::without_account(|config| config);
    let asked = ask(&app, Purpose::Confirmation, EMAIL).await;
    let (code, secret) = (asked.code.to_text(), asked.secret.to_text());
    let stored = app
        .aws
        .contents(&[CHALLENGES, ACCOUNTS, IDENTITIES])
        .concat();
    for canary in [&*code, &code.replace('-', ""), &secret[4..47]] {
        assert!(!stored.contains(canary), "{canary} in {stored}");
    }
    let weak = confirm(&app, &asked, &code, "too short").await;
    assert_eq!(outcome(&weak), (422, "password-rejected".to_owned()));
    let for_another = app.bundle.recover(&asked, PASSWORD).await;
    assert_eq!(outcome(&for_another), refused());

    let made = confirm(&app, &asked, &code.to_lowercase(), PASSWORD).await;

    assert_eq!((made.status_code, json_of(&made)), (201, json!({})));
    let device = app.sign_in(None).await;
    let account = app
        .bundle
        .store
        .rows(device.account, &[])
        .await
        .unwrap()
        .account;
    assert_eq!(
        account.unwrap().confirmed_at,
        Some(app.clock.now() - SignedDuration::from_secs(1))
    );
    assert_eq!(
        outcome(&confirm(&app, &asked, &code, PASSWORD).await),
        refused()
    );
    let taken = ask(&app, Purpose::Confirmation, EMAIL).await;
    let taken = confirm(&app, &taken, &taken.code.to_text(), OTHER_PASSWORD).await;
    assert_eq!(outcome(&taken), (409, "address-taken".to_owned()));
}

#[tokio::test]
async fn who_proves_an_address_gets_it_from_an_account_that_never_did() {
    let app = unconfirmed().await;
    let squatter = app.sign_in(None).await;
    let asked = ask(&app, Purpose::Confirmation, EMAIL).await;

    let made = confirm(&app, &asked, &asked.code.to_text(), NEW_PASSWORD).await;

    assert_eq!(made.status_code, 201);
    let owner = TestDevice::of(&app.bundle.log_in(EMAIL, NEW_PASSWORD, None).await);
    assert_ne!(owner.account, squatter.account);
    assert_eq!(
        app.bundle.log_in(EMAIL, PASSWORD, None).await.status_code,
        401
    );
    let left = json_of(&app.bundle.who_am_i(&squatter.token).await);
    assert_eq!(left["account"]["email"], "");
    let listed = json_of(&app.bundle.list(&owner.token).await);
    assert_eq!(listed["devices"].as_array().unwrap().len(), 1);
}

/// A thief with the password and a token repeats every act that ends sessions, as fast as
/// they can, while the owner recovers the account.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_wins_against_a_loop_of_every_ending_act() {
    let acts = Arc::new(AtomicUsize::new(0));
    for round in 0..100 {
        let (app, _, [laptop]) = confirmed().await;
        let asked = ask(&app, Purpose::Recovery, EMAIL).await;
        let (app, over) = (Arc::new(app), Arc::new(AtomicBool::new(false)));
        let (theirs, is_over, counted) = (app.clone(), over.clone(), acts.clone());
        let before = counted.load(Ordering::SeqCst);
        let thief = tokio::spawn(async move {
            let mut tokens = vec![laptop.token.clone()];
            while !is_over.load(Ordering::SeqCst) {
                let bundle = &theirs.bundle;
                let back = bundle.log_in(EMAIL, PASSWORD, None).await;
                let token = json_of(&back)["token"].as_str().map(str::to_owned);
                tokens.extend(token);
                let token = tokens.last().unwrap();
                let replies = [
                    bundle.sign_out_device(token, laptop.id).await,
                    bundle.sign_out_scope(token, "others").await,
                    bundle
                        .change_password(token, PASSWORD, OTHER_PASSWORD, true)
                        .await,
                    bundle
                        .change_password(token, OTHER_PASSWORD, PASSWORD, true)
                        .await,
                    bundle.sign_out_scope(token, "global").await,
                ];
                let done = replies
                    .iter()
                    .filter(|reply| reply.status_code == 200)
                    .count();
                counted.fetch_add(done, Ordering::SeqCst);
            }
            tokens
        });
        while acts.load(Ordering::SeqCst) == before {
            tokio::task::yield_now().await;
        }

        let recovered = app.bundle.recover(&asked, NEW_PASSWORD).await;

        assert_eq!(recovered.status_code, 200, "round {round}: {recovered:?}");
        over.store(true, Ordering::SeqCst);
        for token in thief.await.unwrap() {
            assert_eq!(
                app.bundle.who_am_i(&token).await.status_code,
                401,
                "round {round}"
            );
        }
        for theirs in [PASSWORD, OTHER_PASSWORD] {
            assert_eq!(
                app.bundle.log_in(EMAIL, theirs, None).await.status_code,
                401
            );
        }
        let owner = app.bundle.log_in(EMAIL, NEW_PASSWORD, None).await;
        assert_eq!(owner.status_code, 200, "round {round}");
    }
}

/// Each call of a completion fails once, before or after the service has handled it. Then the
/// same request either works, or what it asks for is done.
#[tokio::test]
async fn a_completion_whose_call_failed_can_be_repeated_or_is_done() {
    for (purpose, calls) in [(Purpose::Confirmation, 3), (Purpose::Recovery, 4)] {
        for (call, is_made) in (1..=calls).flat_map(|call| [(call, false), (call, true)]) {
            let (app, _, []) = confirmed().await;
            let (email, code) = match purpose {
                Purpose::Recovery => (EMAIL, None),
                _ => (OTHER_EMAIL, Some(())),
            };
            let asked = ask(&app, purpose, email).await;
            let send = async || match code {
                Some(()) => confirm(&app, &asked, &asked.code.to_text(), NEW_PASSWORD).await,
                None => app.bundle.recover(&asked, NEW_PASSWORD).await,
            };
            app.aws.fail_call(call, is_made);
            let first = send().await;
            app.aws.restore();
            assert_eq!(first.status_code, 503, "{purpose:?} {call} {is_made}");

            let again = send().await;

            let is_done = call == calls && is_made;
            assert_eq!(
                outcome(&again) == refused(),
                is_done,
                "{purpose:?} {call} {again:?}"
            );
            let opens = app.bundle.log_in(email, NEW_PASSWORD, None).await;
            assert_eq!(opens.status_code, 200, "{purpose:?} {call} {is_made}");
        }
    }
}

#[tokio::test]
async fn a_code_whose_mail_was_not_queued_is_not_promised() {
    let app = TestApp::without_account(|config| config).with_mail();
    for call in 1..=6 {
        app.aws.fail_call(call, false);
        let (answer, mail) = request(&app, "/v1/password-resets", EMAIL).await;
        assert_eq!((answer.status_code, mail), (503, None), "{call}");
        app.aws.restore();
        app.advance(SignedDuration::from_hours(3));
    }
    assert_eq!(
        request(&app, "/v1/password-resets", EMAIL)
            .await
            .0
            .status_code,
        202
    );
}

pub(crate) async fn log_in_by_pass(
    app: &TestApp,
    asked: &NewChallenge,
    email: &str,
    password: &str,
) -> Reply {
    let pass = json!({ "challenge": *asked.secret.to_text(), "code": *asked.code.to_text() });
    let body = json!({ "email": email, "password": password, "pass": pass });
    post(app, "/v1/login", body).await
}

#[tokio::test]
async fn a_pass_signs_one_device_in_past_everything_that_others_have_used_up() {
    let (mut app, _, []) = confirmed().await;
    let budgets = &mut app.bundle.login.budgets;
    budgets.address = budgets.address.with_in_a_row(100, None);
    let mut last = 0;
    for _ in 0..110 {
        app.advance(SignedDuration::from_mins(5));
        last = app
            .bundle
            .log_in(EMAIL, OTHER_PASSWORD, None)
            .await
            .status_code;
    }
    assert_eq!(last, 429, "a hundred failures in a row");
    assert_eq!(
        app.bundle.log_in(EMAIL, PASSWORD, None).await.status_code,
        429
    );
    let asked = ask(&app, Purpose::Pass, EMAIL).await;
    for theirs in [OTHER_PASSWORD, NEW_PASSWORD] {
        let answer = log_in_by_pass(&app, &asked, EMAIL, theirs).await;
        assert_eq!(outcome(&answer), (401, "credentials-invalid".to_owned()));
    }
    let elsewhere = log_in_by_pass(&app, &asked, OTHER_EMAIL, PASSWORD).await;
    assert_eq!(outcome(&elsewhere), refused());

    let device = TestDevice::of(&log_in_by_pass(&app, &asked, EMAIL, PASSWORD).await);

    assert!(app.row(&device).await.recognized_until.is_some());
    assert_eq!(
        outcome(&log_in_by_pass(&app, &asked, EMAIL, PASSWORD).await),
        refused()
    );
    // The pass has ended the failures in a row.
    assert_eq!(
        app.bundle.log_in(EMAIL, PASSWORD, None).await.status_code,
        200
    );
    let asked = ask(&app, Purpose::Pass, EMAIL).await;
    let tries = join_all((0..100).map(|_| log_in_by_pass(&app, &asked, EMAIL, PASSWORD))).await;
    assert_eq!(
        tries
            .iter()
            .filter(|reply| reply.status_code == 200)
            .count(),
        1
    );
}

#[tokio::test]
async fn a_recovery_ends_the_failures_in_a_row() {
    let (mut app, _, []) = confirmed().await;
    let budgets = &mut app.bundle.login.budgets;
    budgets.address = budgets.address.with_in_a_row(10, None);
    for _ in 0..10 {
        app.bundle.log_in(EMAIL, OTHER_PASSWORD, None).await;
    }
    app.advance(SignedDuration::from_hours(1));
    let refused = app.bundle.log_in(EMAIL, PASSWORD, None).await;
    assert_eq!(refused.status_code, 429);
    let asked = ask(&app, Purpose::Recovery, EMAIL).await;

    let recovered = app.bundle.recover(&asked, NEW_PASSWORD).await;

    assert_eq!(recovered.status_code, 200);
    let signed_in = app.bundle.log_in(EMAIL, NEW_PASSWORD, None).await;
    assert_eq!(signed_in.status_code, 200);
}

#[tokio::test]
async fn the_device_that_confirms_an_address_is_recognized_by_the_same_code() {
    let app = TestApp::without_account(|config| config);
    let asked = ask(&app, Purpose::Confirmation, EMAIL).await;
    let early = log_in_by_pass(&app, &asked, EMAIL, PASSWORD).await;
    assert_eq!(outcome(&early), refused());
    let made = confirm(&app, &asked, &asked.code.to_text(), PASSWORD).await;
    assert_eq!(made.status_code, 201);

    let device = TestDevice::of(&log_in_by_pass(&app, &asked, EMAIL, PASSWORD).await);

    assert!(app.row(&device).await.recognized_until.is_some());
    let other = app.sign_in(None).await;
    assert!(app.row(&other).await.recognized_until.is_none());
}
