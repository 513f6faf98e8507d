//! Second steps: authenticator apps and recovery codes at a sign-in, at a verification and at a
//! recovery.

mod lost;

use std::collections::BTreeSet;

use curfew_tests::account::{EMAIL, OTHER_EMAIL, OTHER_PASSWORD, PASSWORD, TestDevice};
use curfew_tests::app::{Boxed, TestApp};
use curfew_tests::bundle::{ORIGIN, event, event_about, json_of, problem_of};
use curfew_tests::delivery::{failed_messages, queue_event};
use curfew_tests::engine::ServiceResponse;
use curfew_tests::fake_aws::Intercept;
use curfew_tests::races::clauses::{Clause, clauses, weakened};
use curfew_tests::routes::session_routes;
use curfew_tests::tables::{ACCOUNTS, CHALLENGES, DEVICES, FACTORS};
use curfew_tests::wire::{Call, CallResult};
use domain::Rfc3339;
use domain::challenge::CODE_LIFETIME;
use domain::factors::{CONFIRM_WITHIN, RECOVERY_CODES};
use domain::ownership::HoldCause;
use domain::ownership::factors::SETTLED_AFTER;
use domain::ownership::holds::HELD_FOR;
use futures_util::future::join_all;
use http_api::Reply;
use jiff::SignedDuration;
use mail::MailQueue;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret, Totp};

use super::sockets::handshakes::connect;
use super::transport::with_cookie;

const SECOND: SignedDuration = SignedDuration::from_secs(1);
/// Long enough for the next code.
const STEP: SignedDuration = SignedDuration::from_secs(30);

/// An authenticator app.
#[derive(Clone)]
pub(crate) struct Phone {
    id: String,
    totp: Totp,
}

impl Phone {
    fn of(begun: &Value) -> Self {
        let secret = begun["secret"].as_str().unwrap();
        let secret = Secret::try_from_base32(secret).unwrap();
        Self {
            id: begun["id"].as_str().unwrap().to_owned(),
            totp: Builder::new().with_secret(secret).build().unwrap(),
        }
    }

    /// Returns the code that it shows now.
    fn code(&self, app: &TestApp) -> String {
        let now = app.clock.now().as_second().try_into().unwrap();
        self.totp.generate(now).to_string()
    }
}

pub(crate) async fn post(app: &TestApp, path: &str, token: &str, body: Option<&Value>) -> Reply {
    app.bundle
        .send(event("POST", path, Some(token), body))
        .await
}

async fn begin(app: &TestApp, device: &TestDevice) -> Value {
    let body = json!({ "name": "Lea's phone" });
    let begun = post(app, "/v1/factors", &device.token, Some(&body)).await;
    assert_eq!(begun.status_code, 201, "{}", json_of(&begun));
    json_of(&begun)
}

async fn confirm(app: &TestApp, device: &TestDevice, id: &str, code: &str) -> Reply {
    let body = json!({ "totp": code });
    let route = "POST /v1/factors/{factor_id}/confirmation";
    let event = event_about(route, Some(&device.token), id, Some(&body));
    app.bundle.send(event).await
}

/// Adds an app, whose notice has gone to the address.
pub(crate) async fn add(app: &TestApp, device: &TestDevice) -> Phone {
    let phone = Phone::of(&begin(app, device).await);
    let confirmed = confirm(app, device, &phone.id, &phone.code(app)).await;
    assert_eq!(confirmed.status_code, 200, "{}", json_of(&confirmed));
    notify(app, device).await;
    phone
}

/// Records that every notice has gone.
async fn notify(app: &TestApp, device: &TestDevice) {
    let store = &app.bundle.store;
    let account = store.rows(device.account, &[]).await.unwrap().account;
    let account = account.unwrap();
    let mut factors = account.factors.clone();
    for factor in &mut factors {
        factor.notified_at.get_or_insert(app.clock.now());
    }
    let recording = store.record_factor_notices(&account, &factors).await;
    assert_eq!(recording.unwrap(), store::WriteOutcome::Done);
}

/// Returns an app with mail, factors, and a device that is verified.
pub(crate) fn app_with_device() -> Boxed<'static, (TestApp, TestDevice)> {
    Box::pin(async {
        let app = TestApp::new().await.with_mail().with_factors();
        // The address was confirmed long ago, so that a factor does not settle at once.
        app.advance(SETTLED_AFTER);
        let device = app.sign_in(None).await;
        mark_verified(&app, &device);
        (app, device)
    })
}

/// Writes that the session was verified just now.
pub(crate) fn mark_verified(app: &TestApp, device: &TestDevice) {
    let key = json!({
        "account_id": { "S": device.account }, "device_id": { "S": device.id },
    });
    let mut row = app.aws.engine.row(DEVICES, &key).unwrap();
    let now = app.clock.now().as_millisecond().to_string();
    row["verified_at"] = json!({ "N": now });
    app.aws.engine.put(DEVICES, &row);
}

/// Signs in on another device.
async fn sign_in(app: &TestApp, key: Option<&str>) -> Reply {
    app.bundle.log_in(EMAIL, PASSWORD, key).await
}

async fn complete(app: &TestApp, asked: &Reply, proof: Value) -> Reply {
    let asked = json_of(asked);
    let mut body = proof;
    body["challenge"] = asked["challenge"].clone();
    body["device_key"] = asked["device_key"].clone();
    app.bundle
        .send(event("POST", "/v1/second-steps", None, Some(&body)))
        .await
}

fn required(reply: &Reply) {
    assert_eq!(problem_of(reply), (403, "second-step-required".to_owned()));
}

fn invalid(reply: &Reply) {
    assert_eq!(problem_of(reply), (403, "code-invalid".to_owned()));
}

#[tokio::test]
async fn a_sign_in_on_an_unknown_device_needs_the_app_and_a_recognized_one_does_not() {
    let (app, laptop) = app_with_device().await;
    let phone = add(&app, &laptop).await;
    app.advance(SETTLED_AFTER);
    let asked = sign_in(&app, None).await;
    required(&asked);
    let body = json_of(&asked);
    assert!(
        body["challenge"].as_str().unwrap().starts_with("cfc_"),
        "{body}"
    );
    let done = complete(
        &app,
        &asked,
        json!({ "totp": phone.code(&app), "remember": true }),
    )
    .await;
    let tv = TestDevice::of(&done);
    assert_eq!(tv.key, body["device_key"].as_str().unwrap());
    assert_eq!(app.bundle.who_am_i(&tv.token).await.status_code, 200);
    let again = sign_in(&app, Some(&tv.key)).await;
    assert_eq!(again.status_code, 200);
}

#[tokio::test]
async fn a_page_completes_a_sign_in_and_gets_its_secrets_in_cookies() {
    let (app, laptop) = app_with_device().await;
    let phone = add(&app, &laptop).await;
    app.advance(STEP);
    let sign_in = json!({ "email": EMAIL, "password": PASSWORD, "transport": "cookie" });
    let page = |path: &str, body: &Value, cookie: &str| {
        let mut event = event("POST", path, None, Some(body));
        event.headers.insert("origin", ORIGIN.parse().unwrap());
        event.headers.insert("cookie", cookie.parse().unwrap());
        app.bundle.send(event)
    };
    let value = |reply: &Reply, name: &str| {
        let mut values = reply.cookies.iter().filter_map(|it| {
            let rest = it.strip_prefix(name)?.strip_prefix('=')?;
            Some(rest.split(';').next()?.to_owned())
        });
        values
            .next()
            .unwrap_or_else(|| panic!("{name} in {:?}", reply.cookies))
    };
    let asked = page("/v1/login", &sign_in, "").await;
    required(&asked);
    let key = value(&asked, "__Host-curfew-device");
    let mut step = json!({ "totp": phone.code(&app), "transport": "cookie" });
    step["challenge"] = json_of(&asked)["challenge"].clone();

    invalid(&page("/v1/second-steps", &step, "").await);
    let cookie = format!("__Host-curfew-device={key}");
    let done = page("/v1/second-steps", &step, &cookie).await;

    assert_eq!(done.status_code, 200, "{}", json_of(&done));
    assert_eq!(json_of(&done)["token"], Value::Null);
    let token = value(&done, "__Host-curfew");
    let check = event("GET", "/v1/session", None, None);
    let checked = app.bundle.send(with_cookie(check, "__Host-curfew", &token));
    assert_eq!(checked.await.status_code, 200);
}

#[tokio::test]
async fn a_device_that_is_not_remembered_is_asked_again() {
    let (app, laptop) = app_with_device().await;
    let phone = add(&app, &laptop).await;
    app.advance(STEP);
    let asked = sign_in(&app, None).await;
    let tv = TestDevice::of(&complete(&app, &asked, json!({ "totp": phone.code(&app) })).await);
    required(&sign_in(&app, Some(&tv.key)).await);
}

#[tokio::test]
async fn a_code_works_once_and_so_does_its_challenge() {
    let (app, laptop) = app_with_device().await;
    let phone = add(&app, &laptop).await;
    // The code that confirmed the app is used, too.
    let asked = sign_in(&app, None).await;
    invalid(&complete(&app, &asked, json!({ "totp": phone.code(&app) })).await);
    app.advance(STEP);
    let code = json!({ "totp": phone.code(&app) });
    assert_eq!(complete(&app, &asked, code.clone()).await.status_code, 200);
    invalid(&complete(&app, &asked, code.clone()).await);
    let other = sign_in(&app, None).await;
    invalid(&complete(&app, &other, code).await);
    app.advance(STEP);
    invalid(&complete(&app, &asked, json!({ "totp": phone.code(&app) })).await);
}

#[tokio::test]
async fn of_a_hundred_parallel_tries_with_one_code_one_signs_in() {
    let (app, laptop) = app_with_device().await;
    let phone = add(&app, &laptop).await;
    app.advance(STEP);
    let code = json!({ "totp": phone.code(&app) });
    let asked = join_all((0..10).map(|_| sign_in(&app, None))).await;
    let tries = asked
        .iter()
        .flat_map(|asked| std::iter::repeat_n(asked, 10));
    let replies = join_all(tries.map(|asked| complete(&app, asked, code.clone()))).await;
    let signed_in = replies.iter().filter(|reply| reply.status_code == 200);
    assert_eq!(signed_in.count(), 1);
    assert!(
        replies
            .iter()
            .all(|reply| [200, 403, 429].contains(&reply.status_code))
    );
}

#[tokio::test]
async fn a_challenge_opens_nothing_and_is_bound_to_its_device() {
    let (app, laptop) = app_with_device().await;
    let phone = add(&app, &laptop).await;
    app.advance(STEP);
    let asked = json_of(&sign_in(&app, None).await);
    let challenge = asked["challenge"].as_str().unwrap();
    // Every route takes a token, and a challenge is none.
    let id = laptop.id.to_string();
    for route in session_routes() {
        let by_header = route.event(Some(challenge), &id);
        let by_cookie = with_cookie(route.event(None, &id), "__Host-curfew", challenge);
        for request in [by_header, by_cookie] {
            let reply = app.bundle.send(request).await;
            assert_eq!(reply.status_code, 401, "{}", route.id);
        }
    }
    let check = event("GET", "/films", Some(challenge), None);
    let decision = authorizer::handle(&app.bundle.authorizer, check).await;
    assert!(!decision.unwrap().is_authorized);
    let introspected = json_of(&app.bundle.introspect(challenge).await);
    assert_eq!(introspected["active"], false);
    let bearer = format!("Bearer {challenge}");
    let refused = connect(&app, &[("authorization", &bearer)]).await;
    assert_eq!(refused.status_code, 401);
    // Another device has another key, or none.
    let other = sign_in(&app, None).await;
    for key in [
        json_of(&other)["device_key"].clone(),
        json!(laptop.key),
        Value::Null,
    ] {
        let mut body = json!({ "challenge": challenge, "totp": phone.code(&app) });
        if !key.is_null() {
            body["device_key"] = key;
        }
        let reply = app
            .bundle
            .send(event("POST", "/v1/second-steps", None, Some(&body)));
        invalid(&reply.await);
    }
}

#[tokio::test]
async fn a_device_whose_clock_is_wrong_gets_the_key_with_which_it_completes_the_sign_in() {
    let (app, laptop) = app_with_device().await;
    let phone = add(&app, &laptop).await;
    app.advance(STEP);
    let early = app.clock.now() - SETTLED_AFTER;
    let key = domain::DeviceKey::new(early, runtime::random()).to_text();
    let asked = sign_in(&app, Some(&key)).await;
    required(&asked);
    let new = json_of(&asked)["device_key"].clone();
    assert_ne!(new, json!(*key));
    let done = complete(&app, &asked, json!({ "totp": phone.code(&app) })).await;
    assert_eq!(json!(TestDevice::of(&done).key), new);
}

#[tokio::test]
async fn a_challenge_ends_after_five_tries_and_after_ten_minutes() {
    let (app, laptop) = app_with_device().await;
    let phone = add(&app, &laptop).await;
    app.advance(STEP);
    let asked = sign_in(&app, None).await;
    for _ in 0..5 {
        invalid(&complete(&app, &asked, json!({ "totp": "000000" })).await);
    }
    invalid(&complete(&app, &asked, json!({ "totp": phone.code(&app) })).await);
    for (wait, status) in [(CODE_LIFETIME - SECOND, 200), (CODE_LIFETIME, 403)] {
        app.advance(STEP);
        let asked = sign_in(&app, None).await;
        app.advance(wait);
        let code = json!({ "totp": phone.code(&app) });
        assert_eq!(
            complete(&app, &asked, code).await.status_code,
            status,
            "{wait}"
        );
    }
}

#[tokio::test]
async fn a_password_that_was_changed_in_between_completes_no_sign_in() {
    let (app, laptop) = app_with_device().await;
    let phone = add(&app, &laptop).await;
    app.advance(STEP);
    let asked = sign_in(&app, None).await;
    let other = curfew_tests::account::OTHER_PASSWORD;
    let changed = app
        .bundle
        .change_password(&laptop.token, PASSWORD, other, false);
    assert_eq!(changed.await.status_code, 200);
    invalid(&complete(&app, &asked, json!({ "totp": phone.code(&app) })).await);
}

#[tokio::test]
async fn guesses_are_limited_and_a_recovery_code_gets_past_the_limit() {
    let (app, laptop) = app_with_device().await;
    let phone = add(&app, &laptop).await;
    let codes = recovery_codes(&app, &laptop).await;
    app.advance(STEP);
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let asked = sign_in(&app, None).await;
        for _ in 0..5 {
            let reply = complete(&app, &asked, json!({ "totp": "000000" })).await;
            statuses.push(reply.status_code);
        }
    }
    let guessed = statuses.iter().filter(|status| **status == 403).count();
    assert_eq!((guessed, statuses.len() - guessed), (20, 5));
    let asked = sign_in(&app, None).await;
    let refused = complete(&app, &asked, json!({ "totp": phone.code(&app) })).await;
    assert_eq!(refused.status_code, 429);
    let by_code = complete(&app, &asked, json!({ "recovery_code": codes[0] })).await;
    assert_eq!(by_code.status_code, 200, "{}", json_of(&by_code));
}

async fn recovery_codes(app: &TestApp, device: &TestDevice) -> Vec<String> {
    mark_verified(app, device);
    let made = post(app, "/v1/recovery-codes", &device.token, None).await;
    assert_eq!(made.status_code, 201, "{}", json_of(&made));
    serde_json::from_value(json_of(&made)["codes"].take()).unwrap()
}

#[tokio::test]
async fn each_of_ten_recovery_codes_works_once_and_new_ones_replace_them() {
    let (app, laptop) = app_with_device().await;
    let _phone = add(&app, &laptop).await;
    let old = recovery_codes(&app, &laptop).await;
    assert_eq!(old.len(), RECOVERY_CODES);
    let asked = sign_in(&app, None).await;
    let typed = old[0].to_lowercase().replace('-', " ");
    assert_eq!(
        complete(&app, &asked, json!({ "recovery_code": typed }))
            .await
            .status_code,
        200
    );
    let asked = sign_in(&app, None).await;
    invalid(&complete(&app, &asked, json!({ "recovery_code": old[0] })).await);
    let list = app
        .bundle
        .send(event("GET", "/v1/factors", Some(&laptop.token), None))
        .await;
    assert_eq!(json_of(&list)["recovery_codes"]["left"], 9);
    let new = recovery_codes(&app, &laptop).await;
    invalid(&complete(&app, &asked, json!({ "recovery_code": old[1] })).await);
    assert_eq!(
        complete(&app, &asked, json!({ "recovery_code": new[1] }))
            .await
            .status_code,
        200
    );
    let stored = app.aws.contents(&[FACTORS]).concat();
    assert!(new.iter().all(|code| !stored.contains(code.as_str())));
}

#[tokio::test]
async fn a_factor_is_added_only_by_a_verified_session_with_a_code_within_ten_minutes() {
    let (app, laptop) = app_with_device().await;
    let body = json!({ "name": "Lea's phone" });
    app.advance(domain::verification::VERIFIED_FOR);
    let refused = post(&app, "/v1/factors", &laptop.token, Some(&body)).await;
    assert_eq!(
        problem_of(&refused),
        (401, "verification-required".to_owned())
    );
    mark_verified(&app, &laptop);
    let begun = begin(&app, &laptop).await;
    assert!(
        begun["uri"]
            .as_str()
            .unwrap()
            .starts_with("otpauth://totp/Films:lea%40example.com?")
    );
    assert!(begun["qr_code"].as_str().unwrap().starts_with("<svg"));
    let phone = Phone::of(&begun);
    // Nothing is asked for before it is confirmed.
    assert_eq!(sign_in(&app, None).await.status_code, 200);
    let wrong = confirm(&app, &laptop, &phone.id, "000000").await;
    invalid(&wrong);
    // Another session of the same account can't confirm it.
    let tv = app.sign_in(None).await;
    let stolen = confirm(&app, &tv, &phone.id, &phone.code(&app)).await;
    assert_eq!(problem_of(&stolen), (404, "factor-not-found".to_owned()));
    app.advance(CONFIRM_WITHIN);
    let late = confirm(&app, &laptop, &phone.id, &phone.code(&app)).await;
    assert_eq!(problem_of(&late), (404, "factor-not-found".to_owned()));
}

/// Reads a QR code whose image has a path of squares.
fn read_qr(svg: &str) -> String {
    const PIXELS: usize = 4;
    let (_, size) = svg.split_once("viewBox=\"0 0 ").unwrap();
    let size: usize = size.split(' ').next().unwrap().parse().unwrap();
    let dark: BTreeSet<(usize, usize)> = svg
        .split('M')
        .filter_map(|square| square.split_once("h1v1h-1"))
        .filter_map(|(corner, _)| corner.split_once(','))
        .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
        .collect();
    let pixels = size * PIXELS;
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(pixels, pixels, |x, y| {
        if dark.contains(&(x / PIXELS, y / PIXELS)) {
            0
        } else {
            u8::MAX
        }
    });
    let codes = image.detect_grids();
    assert_eq!(codes.len(), 1, "{svg}");
    codes[0].decode().unwrap().1
}

#[tokio::test]
async fn the_drawn_code_has_the_address_that_an_app_reads() {
    let (app, laptop) = app_with_device().await;
    let begun = begin(&app, &laptop).await;
    assert_eq!(read_qr(begun["qr_code"].as_str().unwrap()), begun["uri"]);
}

#[tokio::test]
async fn an_account_has_five_apps_at_most_and_one_can_be_removed() {
    let (app, laptop) = app_with_device().await;
    let mut phones = Vec::new();
    for _ in 0..5 {
        phones.push(add(&app, &laptop).await);
    }
    let body = json!({ "name": "Sixth" });
    let sixth = post(&app, "/v1/factors", &laptop.token, Some(&body)).await;
    assert_eq!(problem_of(&sixth), (409, "too-many-factors".to_owned()));
    let remove = |token: &str| {
        event_about(
            "DELETE /v1/factors/{factor_id}",
            Some(token),
            &phones[0].id,
            None,
        )
    };
    assert_eq!(
        app.bundle.send(remove(&laptop.token)).await.status_code,
        200
    );
    let gone = app.bundle.send(remove(&laptop.token)).await;
    assert_eq!(problem_of(&gone), (404, "factor-not-found".to_owned()));
    let list = app
        .bundle
        .send(event("GET", "/v1/factors", Some(&laptop.token), None))
        .await;
    assert_eq!(json_of(&list)["factors"].as_array().unwrap().len(), 4);
    app.advance(STEP);
    let asked = sign_in(&app, None).await;
    invalid(&complete(&app, &asked, json!({ "totp": phones[0].code(&app) })).await);
    assert_eq!(
        complete(&app, &asked, json!({ "totp": phones[1].code(&app) }))
            .await
            .status_code,
        200
    );
}

#[tokio::test]
async fn nobody_removes_or_confirms_the_factor_of_another_account() {
    let (app, laptop) = app_with_device().await;
    let phone = add(&app, &laptop).await;
    app.register(OTHER_EMAIL).await;
    let ada = app.sign_in_to(OTHER_EMAIL, None).await;
    mark_verified(&app, &ada);
    let remove = event_about(
        "DELETE /v1/factors/{factor_id}",
        Some(&ada.token),
        &phone.id,
        None,
    );
    let refused = app.bundle.send(remove).await;
    assert_eq!(problem_of(&refused), (404, "factor-not-found".to_owned()));
    required(&sign_in(&app, None).await);
}

#[tokio::test]
async fn a_settled_factor_is_the_only_proof_and_a_young_one_is_none() {
    let (app, laptop) = app_with_device().await;
    let phone = add(&app, &laptop).await;
    let verify = |body: Value| {
        let event = event(
            "POST",
            "/v1/verifications",
            Some(&laptop.token),
            Some(&body),
        );
        app.bundle.send(event)
    };
    // The session was young at the sign-in, so it is not recognized yet.
    app.advance(STEP);
    let young = verify(json!({ "totp": phone.code(&app) })).await;
    assert_eq!(
        problem_of(&young),
        (401, "verification-required".to_owned())
    );
    app.advance(SETTLED_AFTER);
    let by_password = verify(json!({ "password": PASSWORD })).await;
    assert_eq!(
        json_of(&by_password)["methods"],
        json!([["totp"], ["recovery_code"]])
    );
    let wrong = verify(json!({ "totp": "000000" })).await;
    invalid(&wrong);
    let right = verify(json!({ "totp": phone.code(&app) })).await;
    assert_eq!(right.status_code, 200, "{}", json_of(&right));
    // The same code again, with the new token.
    let token = json_of(&right)["token"].as_str().unwrap().to_owned();
    let body = json!({ "totp": phone.code(&app) });
    invalid(&post(&app, "/v1/verifications", &token, Some(&body)).await);
}

#[tokio::test]
async fn a_recovery_needs_a_settled_factor_and_ends_a_young_one() {
    for (settled, wait) in [(false, STEP), (true, SETTLED_AFTER)] {
        let (app, laptop) = app_with_device().await;
        let phone = add(&app, &laptop).await;
        app.advance(wait);
        let asked = super::challenges::ask(&app, domain::Purpose::Recovery, EMAIL).await;
        let other = curfew_tests::account::OTHER_PASSWORD;
        let recovered = app.bundle.recover(&asked, other).await;
        if settled {
            assert_eq!(problem_of(&recovered), (403, "factor-required".to_owned()));
            let mut body = json!({
                "challenge": *asked.secret.to_text(), "code": *asked.code.to_text(),
                "password": other, "totp": "000000",
            });
            let path = "/v1/password-resets/confirmations";
            let send = |body: &Value| app.bundle.send(event("POST", path, None, Some(body)));
            invalid(&send(&body).await);
            body["totp"] = phone.code(&app).into();
            let reply = send(&body).await;
            assert_eq!(reply.status_code, 200, "{}", json_of(&reply));
        } else {
            assert_eq!(recovered.status_code, 200, "{}", json_of(&recovered));
        }
        let asked = app.bundle.log_in(EMAIL, other, None).await;
        assert_eq!(asked.status_code == 403, settled, "{}", json_of(&asked));
    }
}

#[tokio::test]
async fn a_sealed_secret_that_was_changed_or_moved_does_not_open() {
    let (app, laptop) = app_with_device().await;
    let first = add(&app, &laptop).await;
    let second = add(&app, &laptop).await;
    app.advance(STEP);
    let row = |id: &str| {
        let key = json!({ "account_id": { "S": laptop.account }, "factor_id": { "S": id } });
        app.aws.engine.row(FACTORS, &key).unwrap()
    };
    // Who can write to the table changes a byte, or puts the secret of their own app into
    // another's row.
    let sealed = row(&first.id);
    let mut changed = sealed.clone();
    let bytes = changed["sealed_secret"]["B"].as_str().unwrap();
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    let other = if tail.starts_with('A') { "B" } else { "A" };
    changed["sealed_secret"]["B"] = format!("{head}{other}{}", &tail[1..]).into();
    app.aws.engine.put(FACTORS, &changed);
    let asked = sign_in(&app, None).await;
    invalid(&complete(&app, &asked, json!({ "totp": first.code(&app) })).await);
    app.aws.engine.put(FACTORS, &sealed);
    let mut moved = row(&first.id);
    moved["sealed_secret"] = row(&second.id)["sealed_secret"].clone();
    app.aws.engine.put(FACTORS, &moved);
    let remove = event_about(
        "DELETE /v1/factors/{factor_id}",
        Some(&laptop.token),
        &second.id,
        None,
    );
    assert_eq!(app.bundle.send(remove).await.status_code, 200);
    let asked = sign_in(&app, None).await;
    invalid(&complete(&app, &asked, json!({ "totp": second.code(&app) })).await);
    // Another app goes on working.
    let third = add(&app, &laptop).await;
    app.advance(STEP);
    let done = complete(&app, &asked, json!({ "totp": third.code(&app) })).await;
    assert_eq!(done.status_code, 200, "{}", json_of(&done));
}

/// Signs in on an unknown device, to sign every other one out. Returns the answer to the
/// password.
async fn begin_alone(app: &TestApp) -> Reply {
    let body = json!({ "email": EMAIL, "password": PASSWORD, "sign_out": "others" });
    let asked = app
        .bundle
        .send(event("POST", "/v1/login", None, Some(&body)))
        .await;
    required(&asked);
    asked
}

#[tokio::test]
async fn signing_in_with_a_second_step_can_sign_out_every_other_device() {
    let (app, laptop) = app_with_device().await;
    let phone = add(&app, &laptop).await;
    app.advance(SETTLED_AFTER);
    let asked = begin_alone(&app).await;
    let proof = json!({ "totp": phone.code(&app), "sign_out": "others" });
    let done = complete(&app, &asked, proof).await;
    let tv = TestDevice::of(&done);
    assert_eq!(app.bundle.who_am_i(&tv.token).await.status_code, 200);
    assert_eq!(app.bundle.who_am_i(&laptop.token).await.status_code, 401);
}

#[tokio::test]
async fn a_recognized_device_shows_the_app_before_it_signs_every_other_one_out() {
    for sends_mail in [false, true] {
        let mut app = TestApp::new().await;
        if sends_mail {
            app = app.with_mail();
        }
        let app = app.with_factors();
        app.advance(SETTLED_AFTER);
        let laptop = app.sign_in(None).await;
        mark_verified(&app, &laptop);
        let phone = add(&app, &laptop).await;
        let tv = app.aws.rows(DEVICES).len();
        app.advance(SETTLED_AFTER);
        // A session of seven days makes its device recognized.
        let again = sign_in(&app, Some(&laptop.key)).await;
        assert_eq!(again.status_code, 200, "{}", json_of(&again));
        let body = json!({
            "email": EMAIL, "password": PASSWORD, "sign_out": "others", "device_key": laptop.key,
        });
        let asked = app
            .bundle
            .send(event("POST", "/v1/login", None, Some(&body)))
            .await;
        required(&asked);
        let challenge = json_of(&asked)["challenge"].clone();
        let step = json!({
            "challenge": challenge, "device_key": laptop.key, "totp": phone.code(&app),
            "sign_out": "others",
        });
        let path = "/v1/second-steps";
        let done = app
            .bundle
            .send(event("POST", path, None, Some(&step)))
            .await;
        assert_eq!(TestDevice::of(&done).id, laptop.id);
        assert_eq!(app.aws.rows(DEVICES).len(), tv);
    }
}

#[tokio::test]
async fn codes_at_a_verification_are_counted_for_the_account_whatever_session_shows_them() {
    let (app, laptop) = app_with_device().await;
    let phone = add(&app, &laptop).await;
    app.advance(SETTLED_AFTER);
    let (mut wrong, mut refused) = (0, 0);
    for _ in 0..4 {
        // Changing the password to itself ends the wrong proofs in a row of the session.
        let unchanged = app
            .bundle
            .change_password(&laptop.token, PASSWORD, PASSWORD, false);
        assert_eq!(unchanged.await.status_code, 422);
        app.advance(SignedDuration::from_secs(30));
        for _ in 0..7 {
            let guess = json!({ "totp": "000000" });
            let reply = post(&app, "/v1/verifications", &laptop.token, Some(&guess)).await;
            match reply.status_code {
                403 => wrong += 1,
                429 => refused += 1,
                other => panic!("{other}: {}", json_of(&reply)),
            }
        }
    }
    assert_eq!((wrong, refused), (20, 8));
    let right = json!({ "totp": phone.code(&app) });
    let reply = post(&app, "/v1/verifications", &laptop.token, Some(&right)).await;
    assert_eq!(reply.status_code, 429);
}

#[tokio::test]
async fn a_young_app_signs_a_device_in_and_verifies_nothing() {
    let (app, laptop) = app_with_device().await;
    let phone = add(&app, &laptop).await;
    let codes = recovery_codes(&app, &laptop).await;
    app.advance(STEP);
    let (both, settled) = (
        json!([["password", "code"]]),
        json!([["totp"], ["recovery_code"]]),
    );
    // Once without a settled app, and once beside one.
    for wanted in [&both, &settled] {
        let young = if *wanted == settled {
            app.advance(SETTLED_AFTER);
            mark_verified(&app, &laptop);
            add(&app, &laptop).await
        } else {
            phone.clone()
        };
        app.advance(STEP);
        let mut proofs = vec![json!({ "totp": young.code(&app) })];
        if *wanted == both {
            proofs.push(json!({ "recovery_code": codes[0] }));
        }
        for proof in proofs {
            let asked = begin_alone(&app).await;
            let mut alone = proof.clone();
            alone["sign_out"] = "others".into();
            let refused = complete(&app, &asked, alone).await;
            assert_eq!(
                problem_of(&refused),
                (401, "verification-required".to_owned())
            );
            assert_eq!(json_of(&refused)["methods"], *wanted);
            // Nothing was used up.
            let mut remembered = proof;
            remembered["remember"] = true.into();
            let tv = TestDevice::of(&complete(&app, &asked, remembered).await);
            let by_password = json!({ "password": PASSWORD });
            let path = "/v1/verifications";
            let refused = post(&app, path, &tv.token, Some(&by_password)).await;
            assert_eq!(problem_of(&refused).1, "verification-required");
            let body = json!({ "scope": "others" });
            let remove = event_about(
                "DELETE /v1/factors/{factor_id}",
                Some(&tv.token),
                &phone.id,
                None,
            );
            let change = json!({ "email": "thief@example.com" });
            let acts = [
                event("POST", "/v1/sign-out-all", Some(&tv.token), Some(&body)),
                event("POST", "/v1/recovery-codes", Some(&tv.token), None),
                event(
                    "POST",
                    "/v1/address-changes",
                    Some(&tv.token),
                    Some(&change),
                ),
                remove,
            ];
            for act in acts {
                let refused = app.bundle.send(act).await;
                let expected = (401, "verification-required".to_owned());
                assert_eq!(problem_of(&refused), expected);
            }
            let left = app.bundle.sign_out_this(&tv.token).await;
            assert_eq!(left.status_code, 200);
        }
    }
    assert_eq!(app.bundle.who_am_i(&laptop.token).await.status_code, 200);
}

#[tokio::test]
async fn a_pass_does_not_replace_a_factor() {
    let (app, laptop) = app_with_device().await;
    let _phone = add(&app, &laptop).await;
    let asked = super::challenges::ask(&app, domain::Purpose::Pass, EMAIL).await;
    required(&super::challenges::log_in_by_pass(&app, &asked, EMAIL, PASSWORD).await);
}

#[tokio::test]
async fn nothing_of_a_factor_is_stored_or_logged_in_clear() {
    let (app, laptop) = app_with_device().await;
    let begun = begin(&app, &laptop).await;
    let asked = {
        let phone = Phone::of(&begun);
        confirm(&app, &laptop, &phone.id, &phone.code(&app)).await;
        sign_in(&app, None).await
    };
    let stored = app.aws.contents(&[FACTORS, CHALLENGES]).concat();
    for secret in [&begun["secret"], &json_of(&asked)["challenge"]] {
        assert!(!stored.contains(secret.as_str().unwrap()));
    }
}

#[tokio::test]
async fn a_deployment_without_factors_says_so() {
    let app = TestApp::new().await;
    let device = app.sign_in(None).await;
    let body = json!({ "name": "Lea's phone" });
    let refused = post(&app, "/v1/factors", &device.token, Some(&body)).await;
    assert_eq!(
        problem_of(&refused),
        (409, "factors-unavailable".to_owned())
    );
    let list = app
        .bundle
        .send(event("GET", "/v1/factors", Some(&device.token), None))
        .await;
    let mailed = json!({ "enabled": false, "always": false, "available": false });
    assert_eq!(
        json_of(&list),
        json!({ "factors": [], "available": false, "sign_in_codes": mailed })
    );
}

/// Delivers the news of factors that were queued, and returns the notices that are mailed.
fn notifying(app: &TestApp) -> notify_owner::Deps {
    notify_owner::Deps {
        store: app.bundle.store.clone(),
        queue: Some(MailQueue::new(app.aws.clients().sqs(), "mails".to_owned())),
        language: mail::Language::En,
        clock: app.clock.clone(),
    }
}

pub(crate) async fn notices(app: &TestApp) -> Vec<mail::Notice> {
    let notify = notifying(app);
    let news: Vec<String> = app
        .aws
        .take_queued()
        .into_iter()
        .map(|it| it.body)
        .collect();
    let news: Vec<&str> = news.iter().map(String::as_str).collect();
    let failed = failed_messages(notify_owner::handle(&notify, queue_event(&news)).await);
    assert_eq!(failed, [] as [&str; 0]);
    let mails = app.aws.take_queued().into_iter();
    let mails = mails.map(|it| serde_json::from_str(&it.body).unwrap());
    mails
        .map(|mail| match mail {
            mail::Message::Notice(notice) => *notice,
            other => panic!("{other:?}"),
        })
        .collect()
}

pub(crate) fn events_of(notices: &[mail::Notice]) -> Vec<&str> {
    notices.iter().map(|notice| &*notice.event).collect()
}

async fn press(app: &TestApp, notice: &mail::Notice, action: &str) -> Reply {
    let secret = notice.link_secret.as_deref().unwrap();
    let body = json!({ "secret": secret, "action": action });
    let event = event("POST", "/v1/notices/actions", None, Some(&body));
    app.bundle.send(event).await
}

/// Adds an app whose notice was mailed, and returns both.
async fn add_with_notice(app: &TestApp, device: &TestDevice) -> (Phone, mail::Notice) {
    let phone = Phone::of(&begin(app, device).await);
    let confirmed = confirm(app, device, &phone.id, &phone.code(app)).await;
    assert_eq!(confirmed.status_code, 200, "{}", json_of(&confirmed));
    let mut notices = notices(app).await;
    assert_eq!(events_of(&notices), ["factor_added"]);
    (phone, notices.remove(0))
}

#[tokio::test]
async fn a_new_factor_settles_seven_days_after_its_notice_and_not_after_it_was_added() {
    let (app, laptop) = app_with_device().await;
    let phone = Phone::of(&begin(&app, &laptop).await);
    confirm(&app, &laptop, &phone.id, &phone.code(&app)).await;
    let settles = async || {
        let list = event("GET", "/v1/factors", Some(&laptop.token), None);
        json_of(&app.bundle.send(list).await)["factors"][0].take()
    };
    assert_eq!(settles().await["settles_at"], Value::Null);
    app.advance(SignedDuration::from_hours(1));
    assert_eq!(events_of(&notices(&app).await), ["factor_added"]);
    let at = app.clock.now() + SETTLED_AFTER;
    let shown: domain::Timestamp = settles().await["settles_at"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(shown, at);
}

#[tokio::test]
async fn a_factor_settles_though_the_write_that_its_notice_went_failed_once() {
    let (app, laptop) = app_with_device().await;
    let phone = Phone::of(&begin(&app, &laptop).await);
    confirm(&app, &laptop, &phone.id, &phone.code(&app)).await;
    let notify = notifying(&app);
    let news = app.aws.take_queued();
    let news: Vec<&str> = news.iter().map(|it| it.body.as_str()).collect();
    app.aws.intercept(|call| {
        if call.body.contains("SET factors") {
            return Intercept::Replace(CallResult::Broken);
        }
        Intercept::Make
    });
    let failed = notify_owner::handle(&notify, queue_event(&news)).await;
    assert_eq!(failed_messages(failed), ["0"]);
    app.aws.restore();
    app.advance(notify_owner::LEASE.try_into().unwrap());
    let failed = notify_owner::handle(&notify, queue_event(&news)).await;
    assert_eq!(failed_messages(failed), [] as [&str; 0]);
    let rows = app.bundle.store.rows(laptop.account, &[]).await.unwrap();
    let [factor] = <[_; 1]>::try_from(rows.account.unwrap().factors).unwrap();
    assert_eq!(factor.notified_at, Some(app.clock.now()));
}

#[tokio::test]
async fn without_kms_nothing_is_sealed_or_used_up() {
    let (app, laptop) = app_with_device().await;
    let phone = add(&app, &laptop).await;
    let begun = Phone::of(&begin(&app, &laptop).await);
    app.advance(STEP);
    let asked = sign_in(&app, None).await;
    let totp = json!({ "totp": phone.code(&app) });
    let name = json!({ "name": "Another phone" });
    let unavailable = (503, "unavailable".to_owned());
    let rows = app.aws.rows(FACTORS);
    let refused = || CallResult::Answered(ServiceResponse::error(400, "AccessDeniedException"));
    for fails in [(|| CallResult::Broken) as fn() -> CallResult, refused] {
        app.aws.fail("Encrypt", fails);
        let sealed = post(&app, "/v1/factors", &laptop.token, Some(&name)).await;
        assert_eq!(problem_of(&sealed), unavailable);
        app.aws.fail("Decrypt", fails);
        let completed = complete(&app, &asked, totp.clone()).await;
        assert_eq!(problem_of(&completed), unavailable);
        let confirmed = confirm(&app, &laptop, &begun.id, &begun.code(&app)).await;
        assert_eq!(problem_of(&confirmed), unavailable);
        app.aws.restore();
    }
    assert_eq!(app.aws.rows(FACTORS), rows);
    assert_eq!(complete(&app, &asked, totp).await.status_code, 200);

    app.advance(SETTLED_AFTER);
    let totp = json!({ "totp": phone.code(&app) });
    app.aws.fail("Decrypt", || CallResult::Broken);
    let verified = post(&app, "/v1/verifications", &laptop.token, Some(&totp)).await;
    assert_eq!(problem_of(&verified), unavailable);
    app.aws.restore();
    let verified = post(&app, "/v1/verifications", &laptop.token, Some(&totp)).await;
    assert_eq!(verified.status_code, 200, "{}", json_of(&verified));
}

/// Shows twenty wrong codes a day, five of a challenge, as a thief with the password can.
async fn show_a_hundred_wrong_codes(app: &TestApp) {
    for _day in 0..5 {
        app.advance(SignedDuration::from_hours(24));
        for _ in 0..4 {
            let asked = sign_in(app, None).await;
            for _ in 0..5 {
                invalid(&complete(app, &asked, json!({ "totp": "000000" })).await);
            }
        }
    }
    app.advance(SignedDuration::from_hours(24));
}

#[tokio::test]
async fn a_hundred_wrong_codes_in_a_row_lock_the_apps_and_not_the_recovery_codes() {
    let (app, laptop) = app_with_device().await;
    let phone = add(&app, &laptop).await;
    let codes = recovery_codes(&app, &laptop).await;
    show_a_hundred_wrong_codes(&app).await;
    let asked = sign_in(&app, None).await;
    let right = json!({ "totp": phone.code(&app) });
    let locked = complete(&app, &asked, right.clone()).await;
    assert_eq!(problem_of(&locked), (403, "factor-locked".to_owned()));

    // The recovery codes are counted on their own: ten tries, and then one an hour.
    let unknown = json!({ "recovery_code": "7K2M-9QXR-4TVB-H0CD-8WNE-31FG" });
    for _ in 0..2 {
        let asked = sign_in(&app, None).await;
        for _ in 0..5 {
            invalid(&complete(&app, &asked, unknown.clone()).await);
        }
    }
    let code = |at: usize| json!({ "recovery_code": codes[at] });
    let asked = sign_in(&app, None).await;
    assert_eq!(complete(&app, &asked, code(0)).await.status_code, 429);
    app.advance(SignedDuration::from_hours(1));
    let asked = sign_in(&app, None).await;
    let tv = TestDevice::of(&complete(&app, &asked, code(0)).await);

    // A new password takes it from the thief, and the app is accepted again.
    let changed = app
        .bundle
        .change_password(&tv.token, PASSWORD, OTHER_PASSWORD, false);
    assert_eq!(changed.await.status_code, 200);
    let asked = app.bundle.log_in(EMAIL, OTHER_PASSWORD, None).await;
    let right = json!({ "totp": phone.code(&app) });
    assert_eq!(complete(&app, &asked, right).await.status_code, 200);
}

/// Recovers the account with a code to the address and one of the app.
async fn recover_by_app(app: &TestApp, phone: &Phone, password: &str) {
    let asked = super::challenges::ask(app, domain::Purpose::Recovery, EMAIL).await;
    let body = json!({
        "challenge": *asked.secret.to_text(), "code": *asked.code.to_text(),
        "password": password, "totp": phone.code(app),
    });
    let path = "/v1/password-resets/confirmations";
    let recovering = app.bundle.send(event("POST", path, None, Some(&body)));
    let recovered = recovering.await;
    assert_eq!(recovered.status_code, 200, "{}", json_of(&recovered));
}

#[tokio::test]
async fn a_thief_with_the_password_does_not_use_up_the_codes_of_the_owner() {
    let (app, laptop) = app_with_device().await;
    let phone = add(&app, &laptop).await;
    app.advance(SETTLED_AFTER);
    show_a_hundred_wrong_codes(&app).await;
    let totp = json!({ "totp": phone.code(&app) });
    let asked = sign_in(&app, None).await;
    let locked = complete(&app, &asked, totp.clone()).await;
    assert_eq!(problem_of(&locked), (403, "factor-locked".to_owned()));

    // A recognized device proves the owner, and so does the mailbox with the app.
    let verified = post(&app, "/v1/verifications", &laptop.token, Some(&totp)).await;
    assert_eq!(verified.status_code, 200, "{}", json_of(&verified));
    app.advance(STEP);
    recover_by_app(&app, &phone, OTHER_PASSWORD).await;
    app.advance(STEP);
    let asked = app.bundle.log_in(EMAIL, OTHER_PASSWORD, None).await;
    let totp = json!({ "totp": phone.code(&app) });
    assert_eq!(complete(&app, &asked, totp).await.status_code, 200);
}

#[tokio::test]
async fn a_code_that_was_used_is_wrong_everywhere() {
    let (app, laptop) = app_with_device().await;
    let phone = add(&app, &laptop).await;
    app.advance(SETTLED_AFTER);
    let totp = json!({ "totp": phone.code(&app) });
    let asked = sign_in(&app, None).await;
    let tv = TestDevice::of(&complete(&app, &asked, totp.clone()).await);

    invalid(&post(&app, "/v1/verifications", &tv.token, Some(&totp)).await);
    let recovery = super::challenges::ask(&app, domain::Purpose::Recovery, EMAIL).await;
    let recover = async |totp: &Value| {
        let body = json!({
            "challenge": *recovery.secret.to_text(), "code": *recovery.code.to_text(),
            "password": "nine lanterns drift past it", "totp": totp,
        });
        let path = "/v1/password-resets/confirmations";
        app.bundle
            .send(event("POST", path, None, Some(&body)))
            .await
    };
    invalid(&recover(&totp["totp"]).await);
    invalid(&complete(&app, &sign_in(&app, None).await, totp).await);
    app.advance(STEP);
    let next = json!(phone.code(&app));
    let recovered = recover(&next).await;
    assert_eq!(recovered.status_code, 200, "{}", json_of(&recovered));
}

/// A write of the account's list of factors.
#[derive(Debug, Clone, Copy)]
enum Rewrite {
    /// The owner removes an app.
    Remove,
    /// A press in the mail removes a young one.
    Press,
    /// The notice of one has gone.
    Notice,
}

/// Writes the list of factors while another app is added. Returns whether that stays, and the
/// clauses of the write.
async fn keeps_what_is_added(
    rewrite: Rewrite,
    knocked_out: Option<&Clause>,
) -> (bool, BTreeSet<Clause>) {
    let (app, laptop) = app_with_device().await;
    let other = app.sign_in(None).await;
    mark_verified(&app, &other);
    let (phone, notice) = add_with_notice(&app, &laptop).await;
    let another = Phone::of(&begin(&app, &other).await);
    let meanwhile = async {
        let added = confirm(&app, &other, &another.id, &another.code(&app)).await;
        assert_eq!(added.status_code, 200, "{}", json_of(&added));
    };
    let mut met = BTreeSet::new();
    let change = |call| {
        met.extend(clauses("factor", &call));
        weakened(call, knocked_out)
    };
    match rewrite {
        Rewrite::Remove => {
            let route = "DELETE /v1/factors/{factor_id}";
            let remove = event_about(route, Some(&other.token), &phone.id, None);
            let held = app.bundle.send(remove);
            app.aws.hold_up(FACTORS, held, meanwhile, change).await;
        }
        Rewrite::Press => {
            let body = json!({ "secret": notice.link_secret, "action": "end" });
            let press = event("POST", "/v1/notices/actions", None, Some(&body));
            let held = app.bundle.send(press);
            app.aws.hold_up(FACTORS, held, meanwhile, change).await;
        }
        Rewrite::Notice => {
            let store = &app.bundle.store;
            let account = store.rows(laptop.account, &[]).await.unwrap().account;
            let account = account.unwrap();
            let held = store.record_factor_notices(&account, &account.factors);
            let is_it = |call: &Call| call.body.contains("SET factors");
            let _ = app.aws.hold_up_call(is_it, held, meanwhile, change).await;
        }
    }
    let account = app.bundle.store.rows(laptop.account, &[]).await.unwrap();
    let factors = account.account.unwrap().factors;
    let is_kept = factors.iter().any(|it| it.id.to_string() == another.id);
    (is_kept, met)
}

#[tokio::test]
async fn no_write_of_the_factors_loses_one_that_was_added_meanwhile() {
    for rewrite in [Rewrite::Remove, Rewrite::Press, Rewrite::Notice] {
        let (is_kept, clauses) = Box::pin(keeps_what_is_added(rewrite, None)).await;
        assert!(is_kept, "{rewrite:?}");
        let text = "factors = :before";
        let clause = clauses.iter().find(|clause| clause.text == text);
        let clause = clause.unwrap_or_else(|| panic!("{text} is not in {clauses:?}"));
        let (is_kept, _) = Box::pin(keeps_what_is_added(rewrite, Some(clause))).await;
        assert!(!is_kept, "{rewrite:?}");
    }
}

/// Returns two devices of an account with a settled app, and a proof by it or a recovery code.
async fn with_proof(by_app: bool) -> (TestApp, TestDevice, TestDevice, Value) {
    let (app, laptop) = app_with_device().await;
    let other = app.sign_in(None).await;
    let phone = add(&app, &laptop).await;
    let codes = recovery_codes(&app, &laptop).await;
    app.advance(SETTLED_AFTER);
    let proof = if by_app {
        json!({ "totp": phone.code(&app) })
    } else {
        json!({ "recovery_code": codes[0] })
    };
    (app, laptop, other, proof)
}

/// Recovers an account by a code that a sign-in uses meanwhile. Returns the status, and the
/// clauses of the write.
async fn recovered_meanwhile(
    by_app: bool,
    knocked_out: Option<&Clause>,
) -> (i64, BTreeSet<Clause>) {
    let (app, _, _, proof) = with_proof(by_app).await;
    let recovery = super::challenges::ask(&app, domain::Purpose::Recovery, EMAIL).await;
    let mut body = proof.clone();
    body["challenge"] = json!(*recovery.secret.to_text());
    body["code"] = json!(*recovery.code.to_text());
    body["password"] = "nine lanterns drift past it".into();
    let path = "/v1/password-resets/confirmations";
    let held = app.bundle.send(event("POST", path, None, Some(&body)));
    let asked = sign_in(&app, None).await;
    let meanwhile = async {
        assert_eq!(complete(&app, &asked, proof).await.status_code, 200);
    };
    let mut met = BTreeSet::new();
    let reply = Box::pin(around(&app, held, (knocked_out, &mut met), meanwhile)).await;
    (reply.status_code, met)
}

/// Verifies two sessions by one code at once. Returns the status of the one that was held up,
/// and the clauses of its write.
async fn verified_twice(by_app: bool, knocked_out: Option<&Clause>) -> (i64, BTreeSet<Clause>) {
    let (app, laptop, other, proof) = with_proof(by_app).await;
    let path = "/v1/verifications";
    let mut met = BTreeSet::new();
    let held = post(&app, path, &laptop.token, Some(&proof));
    let meanwhile = async {
        let first = post(&app, path, &other.token, Some(&proof)).await;
        assert_eq!(first.status_code, 200, "{}", json_of(&first));
    };
    let reply = Box::pin(around(&app, held, (knocked_out, &mut met), meanwhile)).await;
    (reply.status_code, met)
}

#[tokio::test]
async fn what_one_request_uses_up_another_can_not_show_and_the_condition_is_needed() {
    for (by_app, text) in [
        (true, "last_step < :step"),
        (false, "contains(code_hashes, :code)"),
    ] {
        let (status, clauses) = Box::pin(verified_twice(by_app, None)).await;
        assert_eq!(status, 403, "{text}");
        let (recovered, of_recovery) = Box::pin(recovered_meanwhile(by_app, None)).await;
        assert_eq!(recovered, 403, "{text}");
        let find = |clauses: &BTreeSet<Clause>| {
            let clause = clauses.iter().find(|clause| clause.text == text);
            clause
                .unwrap_or_else(|| panic!("{text} is not in {clauses:?}"))
                .clone()
        };
        let (status, _) = Box::pin(verified_twice(by_app, Some(&find(&clauses)))).await;
        assert_eq!(status, 200, "{text}");
        let clause = find(&of_recovery);
        let weakened = recovered_meanwhile(by_app, Some(&clause));
        assert_eq!(Box::pin(weakened).await.0, 200, "{text}");
    }
}

#[tokio::test]
async fn the_notice_of_a_new_app_is_never_left_out() {
    let (app, laptop) = app_with_device().await;
    for _ in 0..12 {
        mark_verified(&app, &laptop);
        let (phone, _) = add_with_notice(&app, &laptop).await;
        let route = "DELETE /v1/factors/{factor_id}";
        let remove = event_about(route, Some(&laptop.token), &phone.id, None);
        assert_eq!(app.bundle.send(remove).await.status_code, 200);
        let _removed = notices(&app).await;
    }
}

#[tokio::test]
async fn a_warning_holds_new_factors_and_codes_and_the_app_that_was_begun_before() {
    let (app, laptop) = app_with_device().await;
    let phone = Phone::of(&begin(&app, &laptop).await);
    let mut account = app.aws.rows(ACCOUNTS).remove(0);
    let now = app.clock.now().as_millisecond().to_string();
    account["held_since"] = json!({ "N": now });
    account["held_by"] = json!({ "S": HoldCause::Warning.as_str() });
    app.aws.engine.put(ACCOUNTS, &account);
    let held = (409, "change-held".to_owned());
    let confirmed = confirm(&app, &laptop, &phone.id, &phone.code(&app)).await;
    assert_eq!(problem_of(&confirmed), held);
    let name = json!({ "name": "Another phone" });
    for (path, body) in [("/v1/factors", Some(&name)), ("/v1/recovery-codes", None)] {
        let refused = post(&app, path, &laptop.token, body).await;
        assert_eq!(problem_of(&refused), held, "{path}");
    }
    let list = event("GET", "/v1/factors", Some(&laptop.token), None);
    let shown = json_of(&app.bundle.send(list).await);
    let until = json!(Rfc3339::from(app.clock.now() + HELD_FOR));
    assert_eq!(shown["factors_held_until"], until);
    assert_eq!(shown["address_held_until"], until);
    assert_eq!(live_factors(&app, &laptop).await, 0);
}

#[tokio::test]
async fn a_recovery_holds_no_change_of_the_address_by_an_app_that_had_settled() {
    let (app, laptop) = app_with_device().await;
    let phone = add(&app, &laptop).await;
    app.advance(SETTLED_AFTER);
    recover_by_app(&app, &phone, PASSWORD).await;
    app.advance(STEP);
    let asked = sign_in(&app, None).await;
    let tv = complete(&app, &asked, json!({ "totp": phone.code(&app) })).await;
    let tv = TestDevice::of(&tv);
    let rows = app.bundle.store.rows(tv.account, &[]).await.unwrap();
    let hold = rows.account.unwrap().hold.map(|hold| hold.cause);
    assert_eq!(hold, Some(HoldCause::Recovery));

    let new = json!({ "email": "new@example.com" });
    let changing = post(&app, "/v1/address-changes", &tv.token, Some(&new)).await;

    assert_eq!(changing.status_code, 202, "{}", json_of(&changing));
}

#[tokio::test]
async fn an_account_keeps_no_ended_factor_and_its_row_stays_under_four_kilobytes() {
    let (app, laptop) = app_with_device().await;
    let mut device = laptop;
    for password in ["nine lanterns drift past it", "ten lanterns drift past it"] {
        for _ in 0..5 {
            let _phone = add(&app, &device).await;
            app.advance(STEP);
        }
        let _codes = recovery_codes(&app, &device).await;
        let asked = super::challenges::ask(&app, domain::Purpose::Recovery, EMAIL).await;
        let recovered = app.bundle.recover(&asked, password).await;
        assert_eq!(recovered.status_code, 200, "{}", json_of(&recovered));
        app.advance(SETTLED_AFTER);
        let key = Some(device.key.as_str());
        device = TestDevice::of(&app.bundle.log_in(EMAIL, password, key).await);
        mark_verified(&app, &device);
        // The five have ended, and the next one removes them.
        let _phone = add(&app, &device).await;
        assert_eq!(live_factors(&app, &device).await, 1);
        let apps = app.aws.rows(FACTORS);
        assert_eq!(apps.len(), 1, "{apps:?}");
        let route = "DELETE /v1/factors/{factor_id}";
        let id = apps[0]["factor_id"]["S"].as_str().unwrap();
        let remove = event_about(route, Some(&device.token), id, None);
        assert_eq!(app.bundle.send(remove).await.status_code, 200);
    }
    for _ in 0..5 {
        let _phone = add(&app, &device).await;
        app.advance(STEP);
    }
    let row = app.aws.rows(ACCOUNTS).remove(0).to_string();
    assert!(
        row.len() < 4_096 / 2,
        "half is for names and longer texts: {row}"
    );
}

#[tokio::test]
async fn no_factor_is_added_whose_notice_can_not_be_queued() {
    let (app, laptop) = app_with_device().await;
    let phone = Phone::of(&begin(&app, &laptop).await);
    app.aws.fail("SendMessage", || CallResult::Broken);
    let refused = confirm(&app, &laptop, &phone.id, &phone.code(&app)).await;
    assert_eq!(problem_of(&refused), (503, "unavailable".to_owned()));
    app.aws.restore();
    assert_eq!(sign_in(&app, None).await.status_code, 200);
}

#[tokio::test]
async fn news_of_what_was_not_written_is_dropped() {
    let (app, laptop) = app_with_device().await;
    let phone = Phone::of(&begin(&app, &laptop).await);
    app.aws.fail("TransactWriteItems", || CallResult::Broken);
    let refused = confirm(&app, &laptop, &phone.id, &phone.code(&app)).await;
    assert_eq!(problem_of(&refused), (503, "unavailable".to_owned()));
    app.aws.restore();
    assert_eq!(events_of(&notices(&app).await), [] as [&str; 0]);
}

#[tokio::test]
async fn a_press_in_the_mail_removes_a_young_factor_and_ends_the_session_that_added_it() {
    let (app, thief) = app_with_device().await;
    let (phone, notice) = add_with_notice(&app, &thief).await;
    let body = json!({ "secret": notice.link_secret });
    let read = app
        .bundle
        .send(event("POST", "/v1/notices/read", None, Some(&body)))
        .await;
    assert_eq!(json_of(&read)["message"]["kind"], "factor_added");
    for wrong in ["mine", "undo"] {
        let reply = press(&app, &notice, wrong).await;
        assert_eq!(problem_of(&reply), (400, "request-invalid".to_owned()));
    }
    let pressed = press(&app, &notice, "end").await;
    assert_eq!(pressed.status_code, 200, "{}", json_of(&pressed));
    assert_eq!(app.bundle.who_am_i(&thief.token).await.status_code, 401);
    assert_eq!(sign_in(&app, None).await.status_code, 200);
    assert!(!app.aws.contents(&[FACTORS]).concat().contains(&phone.id));
    let again = press(&app, &notice, "end").await;
    assert_eq!(problem_of(&again), (404, "notice-not-found".to_owned()));
}

#[tokio::test]
async fn a_press_does_nothing_to_a_factor_that_has_settled() {
    let (app, laptop) = app_with_device().await;
    let phone = Phone::of(&begin(&app, &laptop).await);
    confirm(&app, &laptop, &phone.id, &phone.code(&app)).await;
    let notice = notices(&app).await.remove(0);
    // The link lives as long as the factor is young; a clock that is ahead makes it settle
    // before.
    let mut account = app
        .bundle
        .store
        .rows(laptop.account, &[])
        .await
        .unwrap()
        .account
        .unwrap();
    let before = account.clone();
    account.factors[0].notified_at = Some(app.clock.now() - SETTLED_AFTER);
    let recording = app
        .bundle
        .store
        .record_factor_notices(&before, &account.factors);
    recording.await.unwrap();
    let pressed = press(&app, &notice, "end").await;
    assert_eq!(problem_of(&pressed), (404, "notice-not-found".to_owned()));
    assert_eq!(app.bundle.who_am_i(&laptop.token).await.status_code, 200);
}

#[tokio::test]
async fn the_owner_hears_of_removed_apps_and_of_recovery_codes_made_and_used() {
    let (app, laptop) = app_with_device().await;
    let (phone, _) = add_with_notice(&app, &laptop).await;
    let codes = recovery_codes(&app, &laptop).await;
    assert_eq!(events_of(&notices(&app).await), ["recovery_codes_made"]);
    let asked = sign_in(&app, None).await;
    // The news that a second step is missing comes eleven minutes later.
    let _missing = app.aws.take_queued();
    complete(&app, &asked, json!({ "recovery_code": codes[0] })).await;
    assert_eq!(events_of(&notices(&app).await), ["recovery_code_used"]);
    app.advance(SETTLED_AFTER);
    let body = json!({ "recovery_code": codes[1] });
    let verified = post(&app, "/v1/verifications", &laptop.token, Some(&body)).await;
    assert_eq!(verified.status_code, 200, "{}", json_of(&verified));
    assert_eq!(events_of(&notices(&app).await), ["recovery_code_used"]);
    let token = json_of(&verified)["token"].as_str().unwrap().to_owned();
    let route = "DELETE /v1/factors/{factor_id}";
    let remove = event_about(route, Some(&token), &phone.id, None);
    assert_eq!(app.bundle.send(remove).await.status_code, 200);
    assert_eq!(events_of(&notices(&app).await), ["factor_removed"]);
}

#[tokio::test]
async fn the_owner_hears_of_a_right_password_without_the_second_step() {
    let (app, laptop) = app_with_device().await;
    let (phone, _) = add_with_notice(&app, &laptop).await;
    app.advance(STEP);
    let asked = sign_in(&app, None).await;
    app.advance(CODE_LIFETIME + STEP);
    assert_eq!(events_of(&notices(&app).await), ["second_step_missing"]);
    // Who completes it hears nothing.
    let completed = sign_in(&app, None).await;
    let done = complete(&app, &completed, json!({ "totp": phone.code(&app) })).await;
    assert_eq!(done.status_code, 200, "{}", json_of(&done));
    assert_eq!(events_of(&notices(&app).await), [] as [&str; 0]);
    invalid(&complete(&app, &asked, json!({ "totp": phone.code(&app) })).await);
}

#[tokio::test]
async fn a_recovery_ends_the_recovery_codes() {
    let (app, laptop) = app_with_device().await;
    let _codes = recovery_codes(&app, &laptop).await;
    assert_eq!(app.aws.rows(FACTORS).len(), 1);
    let asked = super::challenges::ask(&app, domain::Purpose::Recovery, EMAIL).await;
    let recovered = app
        .bundle
        .recover(&asked, curfew_tests::account::OTHER_PASSWORD)
        .await;
    assert_eq!(recovered.status_code, 200, "{}", json_of(&recovered));
    assert_eq!(app.aws.rows(FACTORS).len(), 0);
}

/// What happens while a write of a factor is held up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    /// Another request completes the same second step with another recovery code.
    SameStep,
    /// Another sign-in shows the same code of the app.
    SameCode,
    /// Another sign-in shows the same recovery code.
    SameRecoveryCode,
    /// Another device signs every other one out, while this one confirms an app.
    SignedOutByEpoch,
    /// Another device signs this one out, which confirms an app.
    SignedOut,
    /// This device signs in again, so that its row has another session.
    SignedInAgain,
    /// The same session confirms another app.
    AnotherAdded,
    /// The same, and the account had one before.
    OneMoreAdded,
    /// The same session confirms the same app, and removes it.
    AddedAndRemoved,
    /// Another device signs every other one out, while this one makes recovery codes.
    NoCodesByEpoch,
    /// Another device signs this one out, which makes recovery codes.
    NoCodes,
    /// This device signs in again, so that its row has another session, while it makes codes.
    NoCodesOfOldSession,
}

impl Meanwhile {
    const ALL: [Self; 12] = [
        Self::SameStep,
        Self::SameCode,
        Self::SameRecoveryCode,
        Self::SignedOutByEpoch,
        Self::SignedOut,
        Self::SignedInAgain,
        Self::AnotherAdded,
        Self::OneMoreAdded,
        Self::AddedAndRemoved,
        Self::NoCodesByEpoch,
        Self::NoCodes,
        Self::NoCodesOfOldSession,
    ];
}

/// Makes a request whose transaction is held up for something else, and made without a clause.
pub(crate) async fn around(
    app: &TestApp,
    request: impl Future<Output = Reply>,
    (knocked_out, met): (Option<&Clause>, &mut BTreeSet<Clause>),
    meanwhile: impl Future<Output = ()>,
) -> Reply {
    let change = |call| {
        met.extend(clauses("factor", &call));
        weakened(call, knocked_out)
    };
    app.aws.hold_up(FACTORS, request, meanwhile, change).await
}

async fn live_factors(app: &TestApp, device: &TestDevice) -> usize {
    let rows = app.bundle.store.rows(device.account, &[]).await.unwrap();
    rows.account.unwrap().factors.len()
}

/// Holds a write up for something else. Returns whether the rule is kept, and the clauses.
async fn keeps_the_rule(what: Meanwhile, knocked_out: Option<&Clause>) -> (bool, BTreeSet<Clause>) {
    let mut met = BTreeSet::new();
    let weakening = (knocked_out, &mut met);
    let is_kept = match what {
        Meanwhile::SameStep | Meanwhile::SameCode | Meanwhile::SameRecoveryCode => {
            Box::pin(one_signs_in(what, weakening)).await
        }
        Meanwhile::NoCodesByEpoch | Meanwhile::NoCodes | Meanwhile::NoCodesOfOldSession => {
            Box::pin(no_codes_after_the_end(what, weakening)).await
        }
        _ => Box::pin(adds_what_it_may(what, weakening)).await,
    };
    (is_kept, met)
}

type Weakening<'a> = (Option<&'a Clause>, &'a mut BTreeSet<Clause>);

async fn one_signs_in(what: Meanwhile, weakening: Weakening<'_>) -> bool {
    let (app, laptop) = app_with_device().await;
    let phone = add(&app, &laptop).await;
    let codes = recovery_codes(&app, &laptop).await;
    app.advance(STEP);
    let asked = sign_in(&app, None).await;
    let other = match what {
        Meanwhile::SameStep => asked.clone(),
        _ => sign_in(&app, None).await,
    };
    let code = |at: usize| json!({ "recovery_code": codes[at] });
    let (first, second) = match what {
        Meanwhile::SameStep => (code(0), code(1)),
        Meanwhile::SameCode => {
            let shown = json!({ "totp": phone.code(&app) });
            (shown.clone(), shown)
        }
        _ => (code(0), code(0)),
    };
    let meanwhile = async {
        let done = complete(&app, &other, second).await;
        assert_eq!(done.status_code, 200, "{}", json_of(&done));
    };
    let held = complete(&app, &asked, first);
    Box::pin(around(&app, held, weakening, meanwhile))
        .await
        .status_code
        != 200
}

/// Ends the session of a device, as said.
async fn end(app: &TestApp, what: Meanwhile, device: &TestDevice, by: &TestDevice) {
    match what {
        Meanwhile::SignedOutByEpoch | Meanwhile::NoCodesByEpoch => {
            let _ = app.sign_out_scope(by, "others").await;
        }
        Meanwhile::SignedOut | Meanwhile::NoCodes => {
            let _ = app.sign_out_device(by, device).await;
        }
        _ => {
            let again = sign_in(app, Some(&device.key)).await;
            assert_eq!(again.status_code, 200, "{}", json_of(&again));
        }
    }
}

async fn no_codes_after_the_end(what: Meanwhile, weakening: Weakening<'_>) -> bool {
    let (app, laptop) = app_with_device().await;
    let other = app.sign_in(None).await;
    mark_verified(&app, &other);
    let path = "/v1/recovery-codes";
    let held = post(&app, path, &laptop.token, None);
    let meanwhile = end(&app, what, &laptop, &other);
    let made = Box::pin(around(&app, held, weakening, meanwhile)).await;
    made.status_code != 201 && app.aws.rows(FACTORS).is_empty()
}

async fn adds_what_it_may(what: Meanwhile, weakening: Weakening<'_>) -> bool {
    let (app, laptop) = app_with_device().await;
    let other = app.sign_in(None).await;
    mark_verified(&app, &other);
    if what == Meanwhile::OneMoreAdded {
        add(&app, &laptop).await;
    }
    let before = live_factors(&app, &laptop).await;
    let phone = Phone::of(&begin(&app, &laptop).await);
    let second = Phone::of(&begin(&app, &laptop).await);
    let code = phone.code(&app);
    let held = confirm(&app, &laptop, &phone.id, &code);
    let meanwhile = async {
        match what {
            Meanwhile::AnotherAdded | Meanwhile::OneMoreAdded => {
                let added = confirm(&app, &laptop, &second.id, &second.code(&app)).await;
                assert_eq!(added.status_code, 200, "{}", json_of(&added));
            }
            Meanwhile::AddedAndRemoved => {
                let added = confirm(&app, &laptop, &phone.id, &code).await;
                assert_eq!(added.status_code, 200, "{}", json_of(&added));
                let route = "DELETE /v1/factors/{factor_id}";
                let remove = event_about(route, Some(&laptop.token), &phone.id, None);
                assert_eq!(app.bundle.send(remove).await.status_code, 200);
            }
            _ => end(&app, what, &laptop, &other).await,
        }
    };
    let reply = Box::pin(around(&app, held, weakening, meanwhile)).await;
    let added = live_factors(&app, &laptop).await - before;
    match what {
        Meanwhile::AnotherAdded | Meanwhile::OneMoreAdded => added == 2,
        _ => reply.status_code != 200 && added == 0,
    }
}

#[tokio::test]
async fn every_condition_on_factors_is_needed() {
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
    let unshown: Vec<_> = all.difference(&shown).collect();
    assert_eq!(unshown, [] as [&Clause; 0]);
    assert_eq!(shown.len(), 10, "{shown:?}");
}
