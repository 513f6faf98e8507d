//! `POST /v1/introspect`: what it returns about a token, in process; and which
//! callers it answers at all, over HTTP.

use aws_lambda_events::encodings::Body;
use curfew_tests::account::TestDevice;
use curfew_tests::app::TestApp;
use curfew_tests::aws::{AwsResponse, Call, Principal};
use curfew_tests::bundle::{ISSUER, introspection, json_of, problem_of};
use curfew_tests::client::{Api, Household, LAPTOP, TV, unique};
use curfew_tests::engine::ServiceResponse;
use curfew_tests::fake_aws::Intercept;
use curfew_tests::stack::{api_url, stack};
use curfew_tests::wire::CallResult;
use domain::Rfc3339;
use http_api::{Event, Reply};
use jiff::SignedDuration;
use serde_json::{Value, json};

const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// Returns an account with a television.
async fn account() -> (TestApp, TestDevice) {
    let (app, [tv]) = TestApp::with_devices().await;
    (app, tv)
}

/// Introspects the token of a device.
async fn ask(app: &TestApp, device: &TestDevice) -> Reply {
    app.bundle.introspect(&device.token).await
}

/// Replaces the results of calls to the tables, the next one being number 0.
fn fail(app: &TestApp, result: impl Fn(usize) -> Option<CallResult> + Send + 'static) {
    app.aws.clear_calls();
    let mut calls = 0..;
    app.aws.intercept(move |_| {
        let number = calls.next().expect("a number");
        result(number).map_or(Intercept::Make, Intercept::Replace)
    });
}

/// Returns the body as text.
fn text(reply: &Reply) -> &str {
    match &reply.body {
        Some(Body::Text(text)) => text,
        _ => "",
    }
}

#[track_caller]
fn assert_inactive(reply: &Reply) {
    assert_eq!(reply.status_code, 200, "{}", text(reply));
    assert_eq!(text(reply), r#"{"active":false}"#);
    assert_eq!(reply.headers["cache-control"], "no-store");
    assert_eq!(reply.headers["content-type"], "application/json");
}

#[track_caller]
fn assert_active(reply: &Reply) {
    assert_eq!(reply.status_code, 200, "{}", text(reply));
    assert_eq!(json_of(reply)["active"], true, "{}", text(reply));
}

/// Returns the status, the problem's name and the field that it names.
fn refused(reply: &Reply) -> (i64, String, Value) {
    let (status, name) = problem_of(reply);
    (status, name, json_of(reply)["field"].clone())
}

#[tokio::test]
async fn a_valid_token_is_active_and_the_answer_has_all_that_a_service_needs() {
    let (app, tv) = account().await;

    let reply = ask(&app, &tv).await;

    let row = app.row(&tv).await;
    assert_eq!(
        json_of(&reply),
        json!({
            "active": true,
            "sub": tv.account,
            "token_type": "Bearer",
            "iss": ISSUER,
            "iat": row.signed_in_at.as_second(),
            "exp": row.expires_at.as_second(),
            "auth_time": row.signed_in_at.as_second(),
            "device_id": tv.id,
            "session_id": tv.session,
            "epoch": 1,
        })
    );
    assert_eq!(reply.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn an_issuer_that_is_not_configured_is_left_out() {
    let (mut app, tv) = account().await;
    app.bundle.introspect.issuer = None;

    let body = json_of(&ask(&app, &tv).await);

    assert_eq!(body["active"], true);
    assert!(body.get("iss").is_none());
}

#[tokio::test]
async fn the_epoch_is_the_one_in_which_the_session_began() {
    let (app, tv) = account().await;
    app.sign_out_scope(&tv, "others").await;
    let phone = app.sign_in(None).await;

    let kept = json_of(&ask(&app, &tv).await);
    let new = json_of(&ask(&app, &phone).await);

    assert_eq!((&kept["epoch"], &new["epoch"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn a_text_that_is_no_sessions_token_is_inactive() {
    let (app, tv) = account().await;
    let forged = tv.with_wrong_secret().token;
    let cut = &tv.token[..tv.token.len() - 1];

    for text in ["nonsense", "cft_", "%00", "%ff%fe", cut, &tv.key, &forged] {
        assert_inactive(&app.bundle.introspect(text).await);
    }
    assert_active(&ask(&app, &tv).await);
}

#[tokio::test]
async fn a_token_is_inactive_after_each_kind_of_end() {
    for end in ["this", "device", "others", "global", "password", "disabled"] {
        let (app, tv) = account().await;
        let laptop = app.sign_in(None).await;
        assert_active(&ask(&app, &tv).await);

        match end {
            "this" => {
                let reply = app.bundle.sign_out_this(&tv.token).await;
                assert_eq!(reply.status_code, 200);
            }
            "device" => drop(app.sign_out_device(&laptop, &tv).await),
            "password" => drop(app.change_password(&laptop, true).await),
            "disabled" => drop(app.disable(tv.account).await),
            scope => drop(app.sign_out_scope(&laptop, scope).await),
        }

        assert_inactive(&ask(&app, &tv).await);
        let is_kept = ["this", "device", "others", "password"].contains(&end);
        let laptop = json_of(&ask(&app, &laptop).await);
        assert_eq!(laptop["active"], is_kept, "{end}");
    }
}

#[tokio::test]
async fn the_token_of_a_replaced_session_is_inactive() {
    let (app, tv) = account().await;
    app.sign_in_again(&tv).await;

    assert_inactive(&ask(&app, &tv).await);
}

#[tokio::test]
async fn a_token_is_active_until_the_second_in_which_it_expires() {
    let (app, tv) = account().await;
    app.advance(app.bundle.limits.idle - SECOND * 31);
    assert_active(&ask(&app, &tv).await);
    // That was a use, so the idle limit starts again.
    app.advance(app.bundle.limits.idle - SECOND);
    assert_active(&ask(&app, &tv).await);

    // A use in the last 30 seconds does not extend the session.
    app.advance(SECOND);

    assert_inactive(&ask(&app, &tv).await);
}

#[tokio::test]
async fn a_use_is_written_once_in_five_minutes() {
    let (app, tv) = account().await;
    let ask_after = async |after: SignedDuration| {
        app.advance(after);
        app.aws.clear_calls();
        assert_active(&ask(&app, &tv).await);
        app.aws.take_operations()
    };

    let early = ask_after(SignedDuration::from_mins(5) - SECOND).await;
    let due = ask_after(SECOND).await;
    let soon = ask_after(SECOND).await;

    assert_eq!(early, ["BatchGetItem"]);
    assert_eq!(due, ["BatchGetItem", "UpdateItem"]);
    assert_eq!(soon, ["BatchGetItem"]);
}

#[tokio::test]
async fn the_first_contact_of_a_signed_out_device_is_in_the_receipt() {
    for scope in ["device", "others"] {
        let (app, tv) = account().await;
        let laptop = app.sign_in(None).await;
        let id = app.sign_out(&laptop, &tv, scope).await;
        app.advance(SECOND);
        let contact = app.clock.now();

        assert_inactive(&ask(&app, &tv).await);
        app.advance(SECOND);
        assert_inactive(&ask(&app, &tv).await);

        let receipt = app.bundle.receipt(&laptop.token, id).await;
        let part = &json_of(&receipt)["sign_out"]["devices"][0];
        assert_eq!(part["state"], "seen", "{scope}");
        assert_eq!(part["seen_at"], json!(Rfc3339::from(contact)), "{scope}");
    }
}

#[tokio::test]
async fn a_failing_table_is_answered_by_unavailable() {
    let faults: [fn() -> CallResult; 5] = [
        || CallResult::Broken,
        || CallResult::TimedOut,
        || error(500, "InternalServerError"),
        || error(400, "ProvisionedThroughputExceededException"),
        || error(400, "AccessDeniedException"),
    ];
    for is_ended in [false, true] {
        for fault in faults {
            let (app, tv) = account().await;
            if is_ended {
                app.bundle.sign_out_this(&tv.token).await;
            }
            fail(&app, move |_| Some(fault()));

            let (status, name, _) = refused(&ask(&app, &tv).await);

            assert_eq!((status, name.as_str()), (503, "unavailable"));
        }
    }
}

fn error(status: u16, code: &str) -> CallResult {
    CallResult::Answered(ServiceResponse::error(status, code))
}

#[tokio::test]
async fn a_touch_or_contact_that_can_not_be_written_changes_no_answer() {
    let (app, tv) = account().await;
    app.advance(SignedDuration::from_mins(5));
    fail(&app, |at| (at > 0).then_some(CallResult::Broken));
    assert_active(&ask(&app, &tv).await);
    assert_eq!(app.aws.calls().len(), 2);

    let (app, tv) = account().await;
    app.sign_out_scope(&tv, "global").await;
    fail(&app, |at| (at > 0).then_some(CallResult::Broken));
    assert_inactive(&ask(&app, &tv).await);
    assert!(app.aws.calls().len() > 1);
}

#[tokio::test]
async fn a_touch_that_finds_another_session_checks_the_session_again() {
    let (app, tv) = account().await;
    app.advance(SignedDuration::from_mins(5));
    // The condition of the touch fails, as it does on the row of another session.
    fail(&app, |at| {
        let failed = error(400, "ConditionalCheckFailedException");
        (at == 1).then_some(failed)
    });

    assert_active(&ask(&app, &tv).await);

    assert_eq!(
        app.aws.operations(),
        ["BatchGetItem", "UpdateItem", "BatchGetItem"],
        "the rows are read again"
    );
}

#[tokio::test]
async fn a_form_without_exactly_one_token_is_refused() {
    let (app, tv) = account().await;
    let token = &tv.token;
    let refusal = async |form: String| {
        let reply = app.bundle.send(introspection(&form)).await;
        refused(&reply)
    };
    let wrong = |field: &str| (400, "request-invalid".to_owned(), json!(field));

    for form in ["", "token", "token=", "tokens=x", "token_type_hint=x"] {
        assert_eq!(refusal(form.to_owned()).await, wrong("token"), "{form}");
    }
    assert_eq!(
        refusal(format!("token={token}&token={token}")).await,
        wrong("token")
    );
    assert_eq!(
        refusal(format!("token={token}&token=")).await,
        wrong("token")
    );
    let hints = format!("token={token}&token_type_hint=a&token_type_hint=b");
    assert_eq!(refusal(hints).await, wrong("token_type_hint"));
    let large = format!("token={}", "x".repeat(16 * 1024));
    assert_eq!(refusal(large).await.1, "request-too-large");
}

#[tokio::test]
async fn unknown_parameters_are_ignored() {
    let (app, tv) = account().await;
    let form = format!(
        "client_id=x&token={}&token_type_hint=refresh_token&client_id=y",
        &tv.token
    );

    let reply = app.bundle.send(introspection(&form)).await;

    assert_active(&reply);
}

#[tokio::test]
async fn a_body_of_another_content_type_is_refused() {
    let (app, tv) = account().await;
    let mut event = introspection(&format!("token={}", &tv.token));
    event
        .headers
        .insert("content-type", "application/json".parse().unwrap());

    let reply = app.bundle.send(event).await;

    let field = json!("Content-Type");
    assert_eq!(refused(&reply), (400, "request-invalid".to_owned(), field));
}

#[tokio::test]
async fn a_caller_without_authorization_by_iam_is_refused_before_any_table_is_read() {
    let (app, tv) = account().await;
    let form = format!("token={}", &tv.token);
    let without = |change: fn(&mut Event)| {
        let mut event = introspection(&form);
        change(&mut event);
        event
    };
    let events = [
        without(|event| event.request_context.authorizer = None),
        without(|event| {
            let authorizer = event.request_context.authorizer.as_mut().unwrap();
            authorizer.iam = None;
        }),
        without(|event| {
            let authorizer = event.request_context.authorizer.as_mut().unwrap();
            authorizer.iam.as_mut().unwrap().account_id = None;
        }),
        without(|event| {
            let authorizer = event.request_context.authorizer.as_mut().unwrap();
            authorizer.iam.as_mut().unwrap().account_id = Some(String::new());
        }),
        // Another kind of authorizer can not stand in for IAM.
        without(|event| {
            let authorizer = event.request_context.authorizer.as_mut().unwrap();
            authorizer.iam = None;
            authorizer
                .fields
                .insert("iam".to_owned(), json!({ "accountId": "123456789012" }));
        }),
    ];
    app.aws.clear_calls();

    for event in events {
        let reply = app.bundle.send(event).await;

        let (status, name, _) = refused(&reply);
        assert_eq!((status, name.as_str()), (403, "caller-not-allowed"));
    }
    assert!(app.aws.calls().is_empty(), "a table was read");
}

/// A service of an adopting team: a user of AWS with a key.
pub struct Service(Principal);

impl Service {
    /// Creates one that may introspect.
    pub async fn new() -> Self {
        let arn = &stack().outputs["IntrospectionArn"];
        Self::with_access_to(Some(arn)).await
    }

    /// Creates one that may invoke this, or nothing.
    async fn with_access_to(invoke: Option<&str>) -> Self {
        let name = format!("service-{}", unique());
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Action": "execute-api:Invoke",
                "Resource": invoke,
            }],
        })
        .to_string();
        let user = ("UserName", &*name);
        iam(&[("Action", "CreateUser"), user]).await;
        if invoke.is_some() {
            let policy = ("PolicyDocument", &*policy);
            let named = ("PolicyName", "introspect");
            iam(&[("Action", "PutUserPolicy"), user, named, policy]).await;
        }
        let key = iam(&[("Action", "CreateAccessKey"), user]).await;
        let element = |name| key.element(name).unwrap();
        Self(Principal::with_key(
            &element("AccessKeyId"),
            &element("SecretAccessKey"),
            None,
        ))
    }

    /// Introspects a token.
    pub async fn ask(&self, token: &str) -> AwsResponse {
        let call = Call::posted("execute-api", "/v1/introspect", format!("token={token}"));
        self.0.call_at(api_url(), &call).await.unwrap()
    }
}

async fn iam(fields: &[(&str, &str)]) -> AwsResponse {
    let call = Call::form("iam", "2010-05-08", fields);
    let outcome = Principal::root().call(&call).await.unwrap();
    assert_eq!(outcome.status, 200, "{}", outcome.text);
    outcome
}

#[tokio::test]
async fn a_token_is_inactive_to_a_service_right_after_its_sign_out() {
    let household = Household::register().await;
    let (tv, laptop) = (household.sign_in(TV).await, household.sign_in(LAPTOP).await);
    let service = Service::new().await;

    let before = service.ask(&tv.token).await.success().unwrap();
    let _ = laptop.sign_out(&tv.id).await.done(200);
    let after = service.ask(&tv.token).await;

    assert_eq!(before["active"], true);
    assert_eq!(before["sub"], json!(tv.account_id));
    assert_eq!(before["device_id"], json!(tv.id));
    assert_eq!((after.status, &*after.text), (200, r#"{"active":false}"#));
}

#[tokio::test]
async fn a_service_without_access_to_the_route_is_refused() {
    let tv = Household::register().await.sign_in(TV).await;
    let elsewhere = stack().outputs["IntrospectionArn"].replace("introspect", "session");

    for invoke in [None, Some(&*elsewhere)] {
        let service = Service::with_access_to(invoke).await;
        let refused = service.ask(&tv.token).await;

        assert_eq!(refused.status, 403, "{}", refused.text);
        assert!(!refused.text.contains("active"), "{}", refused.text);
    }
}

#[tokio::test]
async fn a_call_without_a_valid_signature_is_refused() {
    let tv = Household::register().await.sign_in(TV).await;
    let body = format!("token={}", tv.token);
    let ask = async |authorization: Option<&str>| {
        let mut call = Api::default().call("POST", "/v1/introspect");
        if let Some(authorization) = authorization {
            call = call.header("authorization", authorization);
        }
        let kind = "application/x-www-form-urlencoded";
        call.body(kind, body.clone()).send().await
    };
    let bearer = format!("Bearer {}", tv.token);
    let forged = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261120/us-east-1/execute-api/aws4_request, \
        SignedHeaders=host;x-amz-date, Signature=0000";

    for authorization in [
        None,
        Some(&*bearer),
        Some("Basic dGVzdDp0ZXN0"),
        Some(forged),
    ] {
        let answer = ask(authorization).await;

        assert_eq!(answer.status, 403, "{authorization:?} {}", answer.text());
        assert!(!answer.text().contains("active"), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_signature_with_another_secret_is_refused() {
    let tv = Household::register().await.sign_in(TV).await;
    let user = format!("service-{}", unique());
    iam(&[("Action", "CreateUser"), ("UserName", &*user)]).await;
    let key = iam(&[("Action", "CreateAccessKey"), ("UserName", &*user)]).await;
    let forger = Service(Principal::with_key(
        &key.element("AccessKeyId").unwrap(),
        "another secret",
        None,
    ));

    let refused = forger.ask(&tv.token).await;

    assert_eq!(refused.status, 403, "{}", refused.text);
}
