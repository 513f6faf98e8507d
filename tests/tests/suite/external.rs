//! Verification by the team's own login, which its backend reports.

use curfew_tests::account::{EMAIL, PASSWORD, TestDevice};
use curfew_tests::app::TestApp;
use curfew_tests::bundle::{by_iam, event, json_of, problem_of};
use curfew_tests::wire::CallResult;
use domain::ChallengeSecret;
use domain::verification::VERIFIED_FOR;
use http_api::Reply;
use jiff::SignedDuration;
use serde_json::{Value, json};

const ADDRESS: &str = "https://login.example.com/verify";
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// Lets the team's own login verify, and nothing else.
fn with_external(mut app: TestApp) -> TestApp {
    for policy in app.bundle.policies() {
        policy.external = Some(ADDRESS);
    }
    app.bundle.login.external = Some(ADDRESS);
    app
}

async fn app() -> (TestApp, [TestDevice; 2]) {
    let (app, devices) = TestApp::with_devices::<2>().await;
    let app = with_external(app);
    // The sign-ins of before counted as verifications.
    app.advance(VERIFIED_FOR);
    (app, devices)
}

fn body(of: &TestDevice, auth_time: i64) -> Value {
    json!({
        "account": of.account.to_string(),
        "session": of.session.to_string(),
        "auth_time": auth_time,
        "amr": ["hwk", "user"],
    })
}

async fn report(app: &TestApp, body: &Value) -> Reply {
    let event = event("POST", "/v1/backend/verifications", None, Some(body));
    app.bundle.send(by_iam(event)).await
}

/// Reports a proof that the login has just had, and returns its challenge.
async fn proof_of(app: &TestApp, device: &TestDevice) -> String {
    let reply = report(app, &body(device, app.clock.now().as_second())).await;
    assert_eq!(reply.status_code, 200, "{reply:?}");
    json_of(&reply)["challenge"].as_str().unwrap().to_owned()
}

async fn verify(app: &TestApp, token: &str, body: Value) -> Reply {
    let event = event("POST", "/v1/verifications", Some(token), Some(&body));
    app.bundle.send(event).await
}

async fn show(app: &TestApp, token: &str, challenge: &str) -> Reply {
    verify(app, token, json!({ "external": challenge })).await
}

fn code_invalid() -> (i64, String) {
    (403, "code-invalid".to_owned())
}

#[tokio::test]
async fn an_act_is_done_with_the_proof_of_the_teams_own_login_and_with_no_other() {
    let (app, [tv, phone]) = app().await;
    let refused = app.bundle.sign_out_scope(&phone.token, "others").await;
    assert_eq!(
        problem_of(&refused),
        (401, "verification-required".to_owned())
    );
    let problem = json_of(&refused);
    assert_eq!(problem["methods"], json!([["external"]]));
    assert_eq!(problem["verify_at"], ADDRESS);
    let by_password = app.bundle.verify(&phone.token, PASSWORD).await;
    assert_eq!(problem_of(&by_password).1, "verification-required");
    let changing = app
        .bundle
        .change_password(&phone.token, PASSWORD, "nine lanterns drift", true);
    assert_eq!(problem_of(&changing.await).1, "verification-required");

    let verified = show(&app, &phone.token, &proof_of(&app, &phone).await).await;

    let token = json_of(&verified)["token"].as_str().unwrap().to_owned();
    let done = app.bundle.sign_out_scope(&token, "others").await;
    assert_eq!(done.status_code, 200, "{done:?}");
    let dead = app.bundle.who_am_i(&tv.token).await;
    assert_eq!(problem_of(&dead).1, "session-signed-out");
}

#[tokio::test]
async fn a_proof_counts_from_its_own_time_for_five_minutes() {
    let (app, [phone, _]) = app().await;
    let at = app.clock.now();
    let challenge = json_of(&report(&app, &body(&phone, at.as_second())).await)["challenge"].take();
    app.advance(VERIFIED_FOR - SECOND);

    let verified = show(&app, &phone.token, challenge.as_str().unwrap()).await;

    assert_eq!(verified.status_code, 200);
    let until = json_of(&verified)["verified_until"].take();
    let until: domain::Timestamp = until.as_str().unwrap().parse().unwrap();
    assert_eq!(until.as_second(), (at + VERIFIED_FOR).as_second());
    app.advance(SECOND);
    let token = json_of(&verified)["token"].as_str().unwrap().to_owned();
    let late = app.bundle.sign_out_scope(&token, "others").await;
    assert_eq!(problem_of(&late).1, "verification-required");
}

#[tokio::test]
async fn a_proof_is_for_one_session_of_the_account_that_signed_in_once_and_in_its_epoch() {
    let (app, [tv, phone]) = app().await;
    // A thief of the token who signs in at the login with an account of their own.
    let [thief] = app.other_account::<1>().await;
    let mut of_thief = body(&phone, app.clock.now().as_second());
    of_thief["account"] = thief.account.to_string().into();
    let stolen = json_of(&report(&app, &of_thief).await)["challenge"].take();
    let stolen = show(&app, &phone.token, stolen.as_str().unwrap()).await;
    assert_eq!(problem_of(&stolen), code_invalid());
    let challenge = proof_of(&app, &phone).await;
    assert_eq!(
        problem_of(&show(&app, &tv.token, &challenge).await),
        code_invalid()
    );
    let verified = show(&app, &phone.token, &challenge).await;
    let token = json_of(&verified)["token"].as_str().unwrap().to_owned();
    assert_eq!(
        problem_of(&show(&app, &token, &challenge).await),
        code_invalid()
    );
    let early = proof_of(&app, &phone).await;
    let others = app.bundle.sign_out_scope(&token, "others").await;
    assert_eq!(others.status_code, 200);
    assert_eq!(
        problem_of(&show(&app, &token, &early).await),
        code_invalid()
    );
    let old = proof_of(&app, &phone).await;
    app.advance(VERIFIED_FOR);
    assert_eq!(problem_of(&show(&app, &token, &old).await), code_invalid());
}

#[tokio::test]
async fn links_with_wrong_proofs_end_no_session() {
    let (app, [phone, _]) = app().await;
    let wrong = ChallengeSecret::new([7; 32]).to_text();
    for _ in 0..11 {
        let refused = show(&app, &phone.token, &wrong).await;
        assert_eq!(problem_of(&refused), code_invalid());
    }
    let right = proof_of(&app, &phone).await;
    assert_eq!(show(&app, &phone.token, &right).await.status_code, 200);
}

#[tokio::test]
async fn nothing_is_mailed_and_no_second_step_ends_others_where_only_the_login_verifies() {
    let (app, [phone, _]) = app().await;
    let route = "/v1/verification-codes";
    let asking = event("POST", route, Some(&phone.token), None);
    let asked = app.bundle.send(asking).await;
    assert_eq!(problem_of(&asked).1, "verification-required");
    let step = json!({
        "challenge": *ChallengeSecret::new([7; 32]).to_text(),
        "totp": "287082",
        "sign_out": "others",
    });
    let step = event("POST", "/v1/second-steps", None, Some(&step));
    let step = app.bundle.send(step).await;
    assert_eq!(problem_of(&step).1, "verification-required");
}

#[tokio::test]
async fn a_report_that_is_not_signed_or_not_right_is_refused_and_named() {
    let (app, [phone, _]) = app().await;
    let now = app.clock.now().as_second();
    let unsigned = event(
        "POST",
        "/v1/backend/verifications",
        None,
        Some(&body(&phone, now)),
    );
    let unsigned = app.bundle.send(unsigned).await;
    assert_eq!(
        problem_of(&unsigned),
        (403, "caller-not-allowed".to_owned())
    );
    let unknown = "00000000-0000-4000-8000-000000000000";
    for (field, value) in [
        ("account", json!("lea")),
        ("account", json!(unknown)),
        ("session", json!("lea")),
        ("auth_time", json!(now - VERIFIED_FOR.as_secs())),
        ("auth_time", json!(now + 61)),
        ("auth_time", json!(i64::MAX)),
        ("auth_time", json!(now * 1000)),
        ("amr", json!([])),
        ("amr", vec!["pwd"; 11].into()),
        ("amr", json!([""])),
        ("amr", json!(["a\nb"])),
        ("amr", json!(["x".repeat(33)])),
    ] {
        let mut body = body(&phone, now);
        body[field] = value.clone();
        let reply = report(&app, &body).await;
        assert_eq!(
            problem_of(&reply),
            (400, "request-invalid".to_owned()),
            "{value}"
        );
        assert_eq!(json_of(&reply)["field"], field, "{value}");
    }
    let both = json!({ "external": proof_of(&app, &phone).await, "password": PASSWORD });
    let both = verify(&app, &phone.token, both).await;
    assert_eq!(json_of(&both)["field"], "external");
}

#[tokio::test]
async fn tables_that_do_not_answer_give_no_proof_and_take_none() {
    let (app, [phone, _]) = app().await;
    let now = body(&phone, app.clock.now().as_second());
    for operation in ["BatchGetItem", "PutItem"] {
        app.aws.fail(operation, || CallResult::Broken);
        let refused = report(&app, &now).await;
        assert_eq!(problem_of(&refused), (503, "unavailable".to_owned()));
        app.aws.restore();
    }
    let challenge = proof_of(&app, &phone).await;
    for operation in ["UpdateItem", "TransactWriteItems"] {
        app.aws.fail(operation, || CallResult::Broken);
        let refused = show(&app, &phone.token, &challenge).await;
        assert_eq!(problem_of(&refused), (503, "unavailable".to_owned()));
        app.aws.restore();
    }
    assert_eq!(show(&app, &phone.token, &challenge).await.status_code, 200);
}

#[tokio::test]
async fn a_deployment_without_a_login_of_its_own_takes_no_such_proof() {
    let (app, [phone, _]) = TestApp::with_devices::<2>().await;
    let now = app.clock.now().as_second();

    let reply = report(&app, &body(&phone, now)).await;

    assert_eq!(problem_of(&reply), (400, "request-invalid".to_owned()));
    assert_eq!(json_of(&reply)["field"], "auth_time");
    let signing_in = json!({
        "person": { "ip": "203.0.113.7" },
        "proof": { "account": phone.account.to_string(), "auth_time": now },
        "sign_in": { "email": EMAIL, "password": PASSWORD },
    });
    let event = event("POST", "/v1/backend/login", None, Some(&signing_in));
    let reply = app.bundle.send(by_iam(event)).await;
    assert_eq!(json_of(&reply)["field"], "proof.auth_time");
}

#[tokio::test]
async fn a_sign_in_ends_the_others_if_the_backend_has_proven_it() {
    let (app, [tv, _]) = app().await;
    let alone = app.bundle.log_in_alone(EMAIL, PASSWORD).await;
    assert_eq!(problem_of(&alone).1, "verification-required");
    assert_eq!(json_of(&alone)["verify_at"], ADDRESS);
    let signing_in = |proof: Option<Value>| {
        json!({
            "person": { "ip": "203.0.113.7" },
            "proof": proof,
            "sign_in": { "email": EMAIL, "password": PASSWORD, "sign_out": "others" },
        })
    };
    let send = async |body: Value| {
        let event = event("POST", "/v1/backend/login", None, Some(&body));
        app.bundle.send(by_iam(event)).await
    };
    assert_eq!(
        problem_of(&send(signing_in(None)).await).1,
        "verification-required"
    );

    let proof = |account: domain::AccountId| {
        let auth_time = app.clock.now().as_second();
        Some(json!({ "account": account.to_string(), "auth_time": auth_time }))
    };
    // A password thief who signs in at the login with an account of their own.
    let [thief] = app.other_account::<1>().await;
    let stolen = send(signing_in(proof(thief.account))).await;
    assert_eq!(json_of(&stolen)["field"], "proof.account");
    assert_eq!(app.bundle.who_am_i(&tv.token).await.status_code, 200);

    let device = TestDevice::of(&send(signing_in(proof(tv.account))).await);

    let dead = app.bundle.who_am_i(&tv.token).await;
    assert_eq!(problem_of(&dead).1, "session-signed-out");
    // It counts as a verification.
    let others = app.bundle.sign_out_scope(&device.token, "others").await;
    assert_eq!(others.status_code, 200);
}
