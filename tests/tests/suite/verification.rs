//! Verification: what a session has to prove before it ends others, and the token that it gets.

use std::collections::BTreeSet;

use curfew_tests::account::{EMAIL, OTHER_EMAIL, PASSWORD, TestDevice};
use curfew_tests::app::{TestApp, sign_out_of};
use curfew_tests::bundle::{event, event_about, json_of, problem_of};
use curfew_tests::doors::{Door, DoorAnswer};
use curfew_tests::engine::ServiceResponse;
use curfew_tests::races::clauses::{Clause, clauses, weakened};
use curfew_tests::tables::DEVICES;
use curfew_tests::wire::{Call, CallResult};
use domain::challenge::{CODE_LIFETIME, ChallengeRandom};
use domain::recognition::EARNED_AFTER;
use domain::verification::VERIFIED_FOR;
use domain::{EmailAddress, NewChallenge, Purpose};
use futures_util::future::join_all;
use http_api::Reply;
use jiff::SignedDuration;
use serde_json::{Value, json};

const SECOND: SignedDuration = SignedDuration::from_secs(1);

async fn verify(app: &TestApp, token: &str, body: Value) -> Reply {
    let event = event("POST", "/v1/verifications", Some(token), Some(&body));
    app.bundle.send(event).await
}

/// Asks for a code as the function does, without the mail.
async fn ask(app: &TestApp, device: &TestDevice) -> NewChallenge {
    let random = ChallengeRandom {
        secret: runtime::random(),
        code: runtime::random(),
        link: runtime::random(),
    };
    let email = EmailAddress::parse(EMAIL).unwrap();
    let now = app.clock.now();
    let asked = NewChallenge::new(Purpose::Verification, email, now, random);
    let asked = asked.bound_to(device.session);
    let put = app.bundle.store.put_challenge(&asked.challenge).await;
    put.unwrap();
    asked
}

fn code_of(asked: &NewChallenge) -> Value {
    json!({ "challenge": *asked.secret.to_text(), "code": *asked.code.to_text() })
}

fn with_password(mut proofs: Value) -> Value {
    proofs["password"] = PASSWORD.into();
    proofs
}

fn token_of(reply: &Reply) -> String {
    let body = json_of(reply);
    assert_eq!(reply.status_code, 200, "{body}");
    body["token"].as_str().unwrap().to_owned()
}

fn methods_of(reply: &Reply) -> Value {
    assert_eq!(problem_of(reply), (401, "verification-required".to_owned()));
    json_of(reply)["methods"].take()
}

async fn others(app: &TestApp, token: &str) -> Reply {
    app.bundle.sign_out_scope(token, "others").await
}

async fn status(app: &TestApp, token: &str) -> (i64, String) {
    problem_of(&app.bundle.who_am_i(token).await)
}

fn fine() -> (i64, String) {
    (200, String::new())
}

fn refused(name: &str) -> (i64, String) {
    (401, name.to_owned())
}

/// Signs out another device, and shows the caller's device key.
async fn sign_out_with_key(app: &TestApp, by: &TestDevice, of: &TestDevice, key: &str) -> Reply {
    let route = "POST /v1/devices/{device_id}/sign-out";
    let body = json!({ "device_key": key });
    let event = event_about(route, Some(&by.token), of.id, Some(&body));
    app.bundle.send(event).await
}

async fn with_mail<const N: usize>() -> (TestApp, [TestDevice; N]) {
    let (app, devices) = TestApp::with_devices().await;
    (app.with_mail(), devices)
}

#[tokio::test]
async fn a_token_alone_ends_no_other_session() {
    let (app, [thief, tv]) = with_mail().await;
    app.advance(VERIFIED_FOR);
    let both = json!([["password", "code"]]);
    let refused = others(&app, &thief.token).await;
    assert_eq!(methods_of(&refused), both);
    let header = refused.headers["www-authenticate"].to_str().unwrap();
    assert!(
        header.contains("error=\"insufficient_user_authentication\"")
            && header.contains("max_age=\"300\""),
        "{header}"
    );
    assert_eq!(json_of(&refused)["max_age"], 300);
    let one = app.bundle.sign_out_device(&thief.token, tv.id).await;
    assert_eq!(methods_of(&one), both);
    let change = app.bundle.change_password(
        &thief.token,
        PASSWORD,
        "seven kites circle the lighthouse",
        true,
    );
    assert_eq!(methods_of(&change.await), both);
    assert_eq!(status(&app, &tv.token).await, fine());
    // What gains a thief nothing needs no verification.
    let global = app.bundle.sign_out_scope(&thief.token, "global").await;
    assert_eq!(global.status_code, 200);
}

#[tokio::test]
async fn a_password_thiefs_new_sign_in_needs_a_code_to_the_address() {
    let (app, [_owner]) = with_mail().await;
    let thief = app.sign_in(None).await;
    let methods = methods_of(&others(&app, &thief.token).await);
    assert_eq!(methods, json!([["code"], ["password", "code"]]));
    let by_password = verify(&app, &thief.token, json!({ "password": PASSWORD })).await;
    assert_eq!(methods_of(&by_password), methods);
    let asked = ask(&app, &thief).await;
    let token = token_of(&verify(&app, &thief.token, code_of(&asked)).await);
    assert_eq!(others(&app, &token).await.status_code, 200);
}

#[tokio::test]
async fn a_recognized_device_verifies_with_its_password_or_a_code() {
    let (app, [owner]) = with_mail().await;
    app.advance(EARNED_AFTER);
    let methods = json!([["password"], ["code"]]);
    assert_eq!(methods_of(&others(&app, &owner.token).await), methods);
    let token = token_of(&verify(&app, &owner.token, json!({ "password": PASSWORD })).await);
    assert_eq!(others(&app, &token).await.status_code, 200);
    app.advance(VERIFIED_FOR);
    assert_eq!(methods_of(&others(&app, &token).await), methods);
    let asked = ask(&app, &owner).await;
    let token = token_of(&verify(&app, &token, code_of(&asked)).await);
    assert_eq!(others(&app, &token).await.status_code, 200);
}

#[tokio::test]
async fn a_verification_counts_for_five_minutes_to_the_second() {
    let (app, [owner]) = TestApp::with_devices().await;
    app.advance(VERIFIED_FOR - SECOND);
    assert_eq!(others(&app, &owner.token).await.status_code, 200);
    app.advance(SECOND);
    let required = others(&app, &owner.token).await;
    assert_eq!(methods_of(&required), json!([["password"]]));
}

#[tokio::test]
async fn a_sign_in_with_a_pass_counts_as_a_verification() {
    let (app, [_other]) = with_mail().await;
    let asked = super::challenges::ask(&app, Purpose::Pass, EMAIL).await;
    let login = |pass: Value| {
        let mut body = json!({ "email": EMAIL, "password": PASSWORD, "sign_out": "others" });
        if !pass.is_null() {
            body["pass"] = pass;
        }
        app.bundle
            .send(event("POST", "/v1/login", None, Some(&body)))
    };
    let asked_for_pass = login(Value::Null).await;
    assert_eq!(methods_of(&asked_for_pass), json!([["password", "code"]]));
    let challenge = json_of(&asked_for_pass)["challenge"].take();
    assert!(challenge.as_str().unwrap().starts_with("cfc_"));
    let alone = TestDevice::of(&login(code_of(&asked)).await);
    app.sign_in(None).await;
    assert_eq!(others(&app, &alone.token).await.status_code, 200);
}

#[tokio::test]
async fn three_single_sign_outs_a_day_of_a_recognized_device_need_its_key_alone() {
    let (app, [owner]) = with_mail().await;
    app.advance(EARNED_AFTER);
    for number in 0..3 {
        let tv = app.sign_in(None).await;
        let without_key = app.bundle.sign_out_device(&owner.token, tv.id).await;
        assert_eq!(methods_of(&without_key), json!([["password"], ["code"]]));
        let foreign = sign_out_with_key(&app, &owner, &tv, &tv.key).await;
        assert_eq!(problem_of(&foreign).1, "verification-required", "{number}");
        let done = sign_out_with_key(&app, &owner, &tv, &owner.key).await;
        assert_eq!(done.status_code, 200, "{number}");
    }
    let tv = app.sign_in(None).await;
    let fourth = sign_out_with_key(&app, &owner, &tv, &owner.key).await;
    assert_eq!(problem_of(&fourth).1, "verification-required");
    // To sign in again by the password alone is no way round.
    let row = app.row(&owner).await.unproven_acts;
    let again = app.sign_in_again(&owner).await;
    assert_eq!((row.count, app.row(&again).await.unproven_acts), (3, row));
    let owner = again;
    app.advance(SignedDuration::from_mins(6));
    let fourth = sign_out_with_key(&app, &owner, &tv, &owner.key).await;
    assert_eq!(problem_of(&fourth).1, "verification-required");
    let token = token_of(&verify(&app, &owner.token, json!({ "password": PASSWORD })).await);
    let done = app.bundle.sign_out_device(&token, tv.id).await;
    assert_eq!(done.status_code, 200);
    // A new day.
    app.advance(SignedDuration::from_hours(24));
    let owner = TestDevice { token, ..owner };
    let tv = app.sign_in(None).await;
    let done = sign_out_with_key(&app, &owner, &tv, &owner.key).await;
    assert_eq!(done.status_code, 200);
}

#[tokio::test]
async fn a_deployment_can_allow_fewer_single_sign_outs_or_none() {
    for most in [0, 1] {
        let (mut app, [owner]) = with_mail().await;
        app.bundle.sign_out_device.most_unproven = most;
        app.advance(EARNED_AFTER);
        for number in 0..2 {
            let tv = app.sign_in(None).await;
            let reply = sign_out_with_key(&app, &owner, &tv, &owner.key).await;
            if number < most {
                assert_eq!(reply.status_code, 200, "{number} of {most}");
            } else {
                assert_eq!(
                    problem_of(&reply).1,
                    "verification-required",
                    "{number} of {most}"
                );
            }
        }
    }
}

#[tokio::test]
async fn of_ten_single_sign_outs_at_once_three_are_done_without_a_verification() {
    let (app, [owner]) = with_mail().await;
    app.advance(EARNED_AFTER);
    let mut tvs = Vec::new();
    for _ in 0..10 {
        tvs.push(app.sign_in(None).await);
    }
    let calls = tvs
        .iter()
        .map(|tv| sign_out_with_key(&app, &owner, tv, &owner.key));
    let answers = join_all(calls).await;
    let done = answers.iter().filter(|it| it.status_code == 200).count();
    assert_eq!(done, 3);
}

#[tokio::test]
async fn an_unrecognized_device_has_no_single_sign_out_without_a_verification() {
    let (app, [tv]) = with_mail().await;
    let owner = app.sign_in(None).await;
    let refused = sign_out_with_key(&app, &owner, &tv, &owner.key).await;
    assert_eq!(problem_of(&refused).1, "verification-required");
}

#[tokio::test]
async fn the_token_before_is_accepted_until_the_new_one_is_seen_and_proves_nothing() {
    let (app, [device]) = TestApp::with_devices().await;
    app.advance(VERIFIED_FOR);
    let password = json!({ "password": PASSWORD });
    let new = token_of(&verify(&app, &device.token, password).await);
    assert_ne!(new, device.token);
    assert_eq!(status(&app, &device.token).await, fine());
    assert_eq!(
        problem_of(&others(&app, &device.token).await).1,
        "verification-required"
    );
    assert_eq!(status(&app, &new).await, fine());
    assert_eq!(
        status(&app, &device.token).await,
        refused("token-superseded")
    );
    let reply = app.bundle.who_am_i(&device.token).await;
    assert!(reply.cookies.is_empty(), "{:?}", reply.cookies);
    let introspected = json_of(&app.bundle.introspect(&device.token).await);
    assert_eq!(introspected["active"], false);
    assert_eq!(json_of(&app.bundle.introspect(&new).await)["active"], true);
    // The session is the same.
    let shown = json_of(&app.bundle.who_am_i(&new).await);
    assert_eq!(shown["device"]["id"], device.id.to_string());
}

#[tokio::test]
async fn every_door_accepts_the_token_before_until_the_new_one_is_seen_and_no_door_afterwards() {
    let (app, [mut device]) = TestApp::with_devices().await;
    let new = token_of(&verify(&app, &device.token, json!({ "password": PASSWORD })).await);
    let id = device.id.to_string();
    for door in Door::harmless() {
        let answer = door.knock(&app, &device, &id).await;
        assert!(answer.is_accepted(), "{}", door.name());
    }
    device.token = new;
    assert_eq!(status(&app, &device.token).await, fine());
    let before = app.sign_in(Some(&device.key)).await;
    let new = token_of(&verify(&app, &before.token, json!({ "password": PASSWORD })).await);
    assert_eq!(status(&app, &new).await, fine());
    for door in Door::all() {
        match door.knock(&app, &before, &id).await {
            DoorAnswer::Reply(reply) => {
                assert_eq!(
                    problem_of(&reply),
                    refused("token-superseded"),
                    "{}",
                    door.name()
                );
            }
            answer => assert!(!answer.is_accepted(), "{}", door.name()),
        }
    }
    assert_eq!(status(&app, &new).await, fine());
}

/// Something that happens to a row while the time of the token before ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    Verifies,
    SignsInAgain,
    IsSignedOut,
}

/// Ends the time of the token before while something else happens to the row. Returns whether the
/// row keeps what that made of it, and the clauses of the write.
async fn keeps_the_token_before(
    what: Meanwhile,
    knocked_out: Option<&Clause>,
) -> (bool, BTreeSet<Clause>) {
    let (app, [device, other]) = TestApp::with_devices().await;
    let password = || json!({ "password": PASSWORD });
    let new = token_of(&verify(&app, &device.token, password()).await);
    let mut made = None;
    let meanwhile = async {
        let before = match what {
            Meanwhile::Verifies => {
                app.advance(SECOND);
                new.clone()
            }
            Meanwhile::SignsInAgain => {
                let again = app.bundle.log_in(EMAIL, PASSWORD, Some(&device.key));
                token_of(&again.await)
            }
            Meanwhile::IsSignedOut => {
                app.sign_out_device(&other, &device).await;
                made = Some(app.row(&device).await.previous_token);
                return;
            }
        };
        assert_eq!(verify(&app, &before, password()).await.status_code, 200);
        made = Some(app.row(&device).await.previous_token);
    };
    let mut met = BTreeSet::new();
    let change = |call| {
        met.extend(clauses("end the token before", &call));
        weakened(call, knocked_out)
    };
    let is_it = |call: &Call| call.body.contains("SET previous_token_until");
    let request = app.bundle.who_am_i(&new);
    let holding = app.aws.hold_up_call(is_it, request, meanwhile, change);
    Box::pin(holding).await;
    let is_kept = Some(app.row(&device).await.previous_token) == made;
    (is_kept, met)
}

#[tokio::test]
async fn every_condition_of_ending_the_token_before_is_needed() {
    for (what, text) in [
        (Meanwhile::Verifies, "previous_token_until = :until"),
        (Meanwhile::SignsInAgain, "session_id = :session"),
        (Meanwhile::IsSignedOut, "#state = :signed_in"),
    ] {
        let (is_kept, clauses) = Box::pin(keeps_the_token_before(what, None)).await;
        assert!(is_kept, "{text}");
        assert_eq!(clauses.len(), 3, "{clauses:?}");
        let clause = clauses.iter().find(|clause| clause.text == text);
        let weakened = keeps_the_token_before(what, Some(clause.expect("the clause")));
        assert!(!Box::pin(weakened).await.0, "{text}");
    }
}

/// Signs single devices out without a verification, two of them at once as the first ones of the
/// day or as the last. Returns how many are signed out, and the clauses of the count.
async fn unproven(first: usize, knocked_out: Option<&Clause>) -> (usize, BTreeSet<Clause>) {
    let (app, [mut owner]) = with_mail().await;
    app.advance(EARNED_AFTER);
    let mut tvs = Vec::new();
    for _ in 0..7 {
        tvs.push(app.sign_in(None).await);
    }
    // A verified one, so that none is the first of the hour, which is counted on its own.
    owner.token = token_of(&verify(&app, &owner.token, json!({ "password": PASSWORD })).await);
    let verified = app.bundle.sign_out_device(&owner.token, tvs[6].id).await;
    assert_eq!(verified.status_code, 200);
    app.advance(VERIFIED_FOR);
    let tvs = tvs.iter().collect::<Vec<_>>();
    let ends = async |tv: &TestDevice| {
        let done = sign_out_with_key(&app, &owner, tv, &owner.key).await;
        done.status_code == 200
    };
    let mut done = 0;
    for tv in &tvs[..first] {
        done += usize::from(ends(tv).await);
    }
    let mut met = BTreeSet::new();
    let change = |call| {
        met.extend(clauses("sign out one", &call));
        weakened(call, knocked_out)
    };
    let meanwhile = async {
        done += usize::from(ends(tvs[4]).await);
    };
    let held = app
        .aws
        .hold_up(DEVICES, ends(tvs[5]), meanwhile, change)
        .await;
    done += usize::from(held);
    for tv in &tvs[first..4] {
        done += usize::from(ends(tv).await);
    }
    (done, met)
}

#[tokio::test]
async fn every_condition_of_counting_unproven_sign_outs_is_needed() {
    for (first, text) in [
        (2, "unproven_acts < :most_unproven"),
        (
            0,
            "(attribute_not_exists(unproven_acts_day) OR unproven_acts_day < :day)",
        ),
    ] {
        let (done, clauses) = Box::pin(unproven(first, None)).await;
        assert_eq!(done, 3, "{text}");
        let clause = clauses.iter().find(|clause| clause.text == text);
        let clause = clause.unwrap_or_else(|| panic!("{text} is not in {clauses:?}"));
        let (done, _) = Box::pin(unproven(first, Some(clause))).await;
        assert_eq!(done, 4, "{text}");
    }
}

/// Signs a device in again while its session before signs another device out without a
/// verification: the first of all, the second of the day, or the first after one of the day
/// before. Returns whether the new session keeps that count, and the clauses of its write.
async fn keeps_the_count(
    (before, hours): (usize, i64),
    knocked_out: Option<&Clause>,
) -> (bool, BTreeSet<Clause>) {
    let (app, [owner]) = with_mail().await;
    app.advance(EARNED_AFTER);
    let sign_out_one = async || {
        let tv = app.sign_in(None).await;
        let done = sign_out_with_key(&app, &owner, &tv, &owner.key).await;
        assert_eq!(done.status_code, 200);
    };
    for _ in 0..before {
        sign_out_one().await;
    }
    app.advance(SignedDuration::from_hours(hours));
    let mut made = None;
    let meanwhile = async {
        sign_out_one().await;
        made = Some(app.row(&owner).await.unproven_acts);
    };
    let mut met = BTreeSet::new();
    let change = |call| {
        met.extend(clauses("sign in again", &call));
        weakened(call, knocked_out)
    };
    let signing_in = app.sign_in_again(&owner);
    let is_it = |call: &Call| call.operation == "PutItem" && call.body.contains(DEVICES);
    let holding = app.aws.hold_up_call(is_it, signing_in, meanwhile, change);
    let again = Box::pin(holding).await;
    (Some(app.row(&again).await.unproven_acts) == made, met)
}

#[tokio::test]
async fn a_sign_in_keeps_the_count_of_unproven_sign_outs_and_each_condition_is_needed() {
    for (case, text) in [
        ((0, 0), "attribute_not_exists(unproven_acts)"),
        ((1, 0), "unproven_acts = :acts"),
        ((1, 24), "unproven_acts_day = :day"),
    ] {
        let (is_kept, clauses) = Box::pin(keeps_the_count(case, None)).await;
        assert!(is_kept, "{text}");
        let clause = clauses.iter().find(|clause| clause.text == text);
        let clause = clause.unwrap_or_else(|| panic!("{text} is not in {clauses:?}"));
        let (is_kept, _) = Box::pin(keeps_the_count(case, Some(clause))).await;
        assert!(!is_kept, "{text}");
    }
}

#[tokio::test]
async fn the_token_before_is_accepted_for_five_minutes_at_most() {
    let (app, [device]) = TestApp::with_devices().await;
    let password = json!({ "password": PASSWORD });
    let new = token_of(&verify(&app, &device.token, password).await);
    app.advance(VERIFIED_FOR - SECOND);
    assert_eq!(status(&app, &device.token).await, fine());
    app.advance(SECOND);
    assert_eq!(
        status(&app, &device.token).await,
        refused("token-superseded")
    );
    assert_eq!(status(&app, &new).await, fine());
}

#[tokio::test]
async fn a_verification_whose_answer_was_lost_is_asked_again_with_the_token_before() {
    let (app, [device]) = TestApp::with_devices().await;
    let password = json!({ "password": PASSWORD });
    let lost = token_of(&verify(&app, &device.token, password.clone()).await);
    let new = token_of(&verify(&app, &device.token, password.clone()).await);
    assert_eq!(status(&app, &lost).await, refused("token-invalid"));
    assert_eq!(status(&app, &new).await, fine());
    // After the new one was seen, the one before verifies nothing.
    let late = verify(&app, &device.token, password).await;
    assert_eq!(problem_of(&late), refused("token-superseded"));
}

#[tokio::test]
async fn a_device_that_was_offline_with_the_token_before_learns_of_its_end_and_acknowledges() {
    for sweeps in [false, true] {
        let (app, [device, owner]) = TestApp::with_devices().await;
        let password = json!({ "password": PASSWORD });
        let new = token_of(&verify(&app, &device.token, password.clone()).await);
        assert_eq!(status(&app, &new).await, fine());
        let sign_out = sign_out_of(&others(&app, &owner.token).await);
        if sweeps {
            app.sweep(&app.event_of(owner.account, sign_out).await)
                .await;
        }
        let id = sign_out.to_string();
        app.advance(SignedDuration::from_hours(1));
        for token in [&device.token, &new] {
            let told = app.bundle.who_am_i(token).await;
            assert_eq!(problem_of(&told), refused("session-signed-out"));
            assert_eq!(json_of(&told)["sign_out"], id.as_str());
        }
        let again = app.sign_in_again(&device).await;
        let wiped = app.bundle.acknowledge(&device.token, &id).await;
        assert_eq!(wiped.status_code, 200, "{}", json_of(&wiped));
        assert_eq!(status(&app, &again.token).await, fine());
    }
}

#[tokio::test]
async fn a_code_works_once_for_the_session_that_asked_within_ten_minutes() {
    let (app, [owner, other]) = with_mail().await;
    let code = |proofs: Value| with_password(proofs);
    let asked = ask(&app, &owner).await;
    // A stolen challenge and code.
    let stolen = verify(&app, &other.token, code(code_of(&asked))).await;
    assert_eq!(problem_of(&stolen), (403, "code-invalid".to_owned()));
    let token = token_of(&verify(&app, &owner.token, code(code_of(&asked))).await);
    let twice = verify(&app, &token, code(code_of(&asked))).await;
    assert_eq!(problem_of(&twice), (403, "code-invalid".to_owned()));
    let asked = ask(&app, &owner).await;
    app.advance(CODE_LIFETIME);
    let late = verify(&app, &token, code(code_of(&asked))).await;
    assert_eq!(problem_of(&late), (403, "code-invalid".to_owned()));
    // A code for another purpose.
    let pass = super::challenges::ask(&app, Purpose::Pass, EMAIL).await;
    let other_purpose = verify(&app, &token, code(code_of(&pass))).await;
    assert_eq!(problem_of(&other_purpose), (403, "code-invalid".to_owned()));
}

#[tokio::test]
async fn of_a_hundred_answers_with_one_code_at_once_one_is_taken() {
    let (app, [owner]) = with_mail().await;
    let asked = ask(&app, &owner).await;
    let calls = (0..100).map(|_| verify(&app, &owner.token, code_of(&asked)));
    let answers = join_all(calls).await;
    let taken = answers.iter().filter(|it| it.status_code == 200).count();
    assert_eq!(taken, 1);
}

#[tokio::test]
async fn ten_wrong_proofs_in_a_row_end_the_session() {
    let (app, [device]) = TestApp::with_devices().await;
    let wrong = json!({ "password": "seven kites circle the lighthouse" });
    for _ in 0..9 {
        let refused = verify(&app, &device.token, wrong.clone()).await;
        assert_eq!(
            problem_of(&refused),
            (403, "credentials-invalid".to_owned())
        );
    }
    let last = verify(&app, &device.token, wrong).await;
    assert_eq!(problem_of(&last), refused("session-signed-out"));
    assert_eq!(json_of(&last)["reason"], "wrong_password");
}

#[tokio::test]
async fn a_code_is_mailed_to_the_confirmed_address_and_counted_for_the_session() {
    let (app, [thief, owner]) = with_mail().await;
    let ask = |token: &str| {
        let event = event("POST", "/v1/verification-codes", Some(token), None);
        app.bundle.send(event)
    };
    for _ in 0..3 {
        let asked = ask(&thief.token).await;
        assert_eq!(asked.status_code, 202, "{}", json_of(&asked));
    }
    let refused = ask(&thief.token).await;
    assert_eq!(problem_of(&refused), (429, "too-many-attempts".to_owned()));
    assert_eq!(ask(&owner.token).await.status_code, 202);
}

#[tokio::test]
async fn an_account_without_a_confirmed_address_gets_no_code() {
    let app = TestApp::without_account(|config| config);
    assert_eq!(
        app.bundle.register(OTHER_EMAIL, PASSWORD).await.status_code,
        202
    );
    let app = app.with_mail();
    let device = app.sign_in_to(OTHER_EMAIL, None).await;
    let event = event("POST", "/v1/verification-codes", Some(&device.token), None);
    let refused = app.bundle.send(event).await;
    assert_eq!(problem_of(&refused), (409, "mail-unavailable".to_owned()));
    app.advance(VERIFIED_FOR);
    let password = json!({ "password": PASSWORD });
    let token = token_of(&verify(&app, &device.token, password).await);
    assert_eq!(others(&app, &token).await.status_code, 200);
}

#[tokio::test]
async fn malformed_proofs_name_the_field() {
    let (app, [device]) = TestApp::with_devices().await;
    let cases = [
        (json!({ "password": "x".repeat(1025) }), "password"),
        (json!({ "code": "K7QM-2R9X" }), "challenge"),
        (
            json!({ "challenge": format!("cfc_{}", "x".repeat(49)) }),
            "code",
        ),
        (
            json!({ "challenge": "x", "code": "K7QM-2R9X" }),
            "challenge",
        ),
        (json!({ "passwort": PASSWORD }), "passwort"),
    ];
    for (body, field) in cases {
        let refused = verify(&app, &device.token, body).await;
        assert_eq!(problem_of(&refused), (400, "request-invalid".to_owned()));
        assert_eq!(json_of(&refused)["field"], field);
    }
    assert_eq!(
        methods_of(&verify(&app, &device.token, json!({})).await),
        json!([["password"]])
    );
}

#[tokio::test]
async fn a_failure_of_a_table_verifies_nothing() {
    let (app, [device]) = TestApp::with_devices().await;
    let failed = || CallResult::Answered(ServiceResponse::error(500, "InternalServerError"));
    for operation in ["BatchGetItem", "UpdateItem", "TransactWriteItems"] {
        app.aws.fail(operation, failed);
        let reply = app.bundle.verify(&device.token, PASSWORD).await;
        assert_eq!(problem_of(&reply), (503, "unavailable".to_owned()));
        app.aws.restore();
        assert_eq!(status(&app, &device.token).await, fine());
    }
}
