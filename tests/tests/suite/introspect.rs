//! `POST /v1/introspect`: what the services of an adopting team are told of a
//! token, here in process; and over HTTP, who is told anything at all.

use std::sync::{Arc, Mutex};

use aws_lambda_events::encodings::Body;
use curfew_tests::aws::{Call, Outcome, Principal};
use curfew_tests::bundle::{Bundle, ISSUER, introspection, json_of};
use curfew_tests::client::{Api, Household, LAPTOP, TV, unique};
use curfew_tests::engine::{Answer, Engine};
use curfew_tests::stack::{api_url, stack};
use curfew_tests::wire::{self, Fate};
use domain::{SignOut, Token};
use http_api::{Event, Reply};
use jiff::{SignedDuration, Timestamp};
use runtime::{Clock, lock};
use serde_json::{Value, json};
use store::WriteOutcome;

const EMAIL: &str = "lea@example.com";
const PASSWORD: &str = "quiet otter borrows nine lanterns";
const OTHER_PASSWORD: &str = "nine lanterns drift past the harbour";
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// What becomes of the calls to the tables, the first one being 0.
type Plan = Box<dyn Fn(usize) -> Option<Fate> + Send>;

/// A household with a television.
struct House {
    bundle: Bundle,
    plan: Arc<Mutex<Plan>>,
    calls: Arc<Mutex<Vec<String>>>,
    tv: Value,
}

impl House {
    async fn new() -> Self {
        let engine = Engine::new();
        let plan: Arc<Mutex<Plan>> = Arc::new(Mutex::new(Box::new(|_| None)));
        let calls = Arc::<Mutex<Vec<String>>>::default();
        let (fate, made) = (plan.clone(), calls.clone());
        let clients = wire::clients(move |call| {
            let at = lock(&made).len();
            lock(&made).push(call.operation.clone());
            lock(&fate)(at)
                .unwrap_or_else(|| Fate::Answered(engine.answer(&call.operation, &call.body)))
        });
        let clock = Clock::fixed("2026-11-20T12:00:00Z".parse().unwrap());
        let mut house = Self {
            bundle: Bundle::new(clients.dynamodb(), clock),
            plan,
            calls,
            tv: Value::Null,
        };
        house.bundle.register(EMAIL, PASSWORD).await;
        house.tv = house.sign_in(None).await;
        house
    }

    /// What a sign-in is answered.
    async fn sign_in(&self, key: Option<&str>) -> Value {
        let reply = self.bundle.log_in(EMAIL, PASSWORD, key).await;
        assert_eq!(reply.status_code, 200);
        json_of(&reply)
    }

    fn token(&self) -> &str {
        self.tv["token"].as_str().unwrap()
    }

    /// What is said of the television's token.
    async fn ask(&self) -> Reply {
        self.bundle.introspect(self.token()).await
    }

    /// Lets calls to the tables fail from now on, counted anew.
    fn fail(&self, plan: impl Fn(usize) -> Option<Fate> + Send + 'static) {
        *lock(&self.plan) = Box::new(plan);
        lock(&self.calls).clear();
    }

    fn advance(&self, by: SignedDuration) {
        self.bundle.clock.advance(by);
    }
}

/// The body, to the byte.
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

/// The problem's name, and the field.
fn refused(reply: &Reply) -> (i64, String, Value) {
    let problem = json_of(reply);
    let name = problem["type"].as_str().unwrap_or_default();
    let name = name.rsplit(':').next().unwrap_or_default().to_owned();
    (reply.status_code, name, problem["field"].clone())
}

#[tokio::test]
async fn a_valid_token_is_active_and_everything_is_told_that_a_service_needs() {
    let house = House::new().await;

    let reply = house.ask().await;

    let seconds = |moment: &Value| {
        let moment: Timestamp = moment.as_str().unwrap().parse().unwrap();
        moment.as_second()
    };
    let device = &house.tv["device"];
    assert_eq!(
        json_of(&reply),
        json!({
            "active": true,
            "sub": house.tv["account"]["id"],
            "token_type": "Bearer",
            "iss": ISSUER,
            "iat": seconds(&device["signed_in_at"]),
            "exp": seconds(&device["expires_at"]),
            "auth_time": seconds(&device["signed_in_at"]),
            "device_id": device["id"],
            "session_id": house.tv["session"],
            "epoch": 1,
        })
    );
    assert_eq!(reply.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn an_issuer_that_is_not_configured_is_not_named() {
    let mut house = House::new().await;
    house.bundle.introspect.issuer = None;

    let told = json_of(&house.ask().await);

    assert_eq!(told["active"], true);
    assert!(told.get("iss").is_none());
}

#[tokio::test]
async fn the_epoch_is_the_one_that_the_session_was_born_in() {
    let house = House::new().await;
    house.bundle.sign_out_all(house.token(), "others").await;
    let phone = house.sign_in(None).await;
    let phone = phone["token"].as_str().unwrap();

    let kept = json_of(&house.ask().await);
    let new = json_of(&house.bundle.introspect(phone).await);

    assert_eq!((&kept["epoch"], &new["epoch"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn what_is_not_the_token_of_a_session_is_inactive() {
    let house = House::new().await;
    let token = Token::parse(house.token()).unwrap();
    let forged = Token::new(token.account(), token.device(), [7; 32]).to_text();
    let cut = &house.token()[..house.token().len() - 1];
    let key = house.tv["device_key"].as_str().unwrap();

    for text in ["nonsense", "cft_", "%00", "%ff%fe", cut, key, &forged] {
        assert_inactive(&house.bundle.introspect(text).await);
    }
    assert_active(&house.ask().await);
}

#[tokio::test]
async fn a_token_is_inactive_from_each_kind_of_end_on() {
    for end in ["this", "device", "others", "global", "password", "disabled"] {
        let house = House::new().await;
        let laptop = house.sign_in(None).await;
        let laptop = laptop["token"].as_str().unwrap();
        let tv = Token::parse(house.token()).unwrap();
        assert_active(&house.ask().await);

        let bundle = &house.bundle;
        let status = match end {
            "this" => bundle.sign_out_this(house.token()).await.status_code,
            "device" => {
                let reply = bundle.sign_out_device(laptop, tv.device()).await;
                reply.status_code
            }
            "others" | "global" => bundle.sign_out_all(laptop, end).await.status_code,
            "password" => {
                let reply = bundle.change_password(laptop, PASSWORD, OTHER_PASSWORD, true);
                reply.await.status_code
            }
            _ => {
                disable(bundle, &tv).await;
                200
            }
        };

        assert_eq!(status, 200, "{end}");
        assert_inactive(&house.ask().await);
        let is_kept = ["this", "device", "others", "password"].contains(&end);
        let laptop = json_of(&bundle.introspect(laptop).await);
        assert_eq!(laptop["active"], is_kept, "{end}");
    }
}

/// Disables the account as an operator will.
async fn disable(bundle: &Bundle, token: &Token) {
    let now = bundle.clock.now();
    let rows = bundle.store.rows(token.account(), &[]).await.unwrap();
    let account = rows.account.unwrap();
    let sign_out = SignOut::of_disabled(&account, now, [1; 10]);
    let act = bundle.store.disable(&account, &sign_out, &bundle.limits);
    assert_eq!(act.await.unwrap(), WriteOutcome::Done);
}

#[tokio::test]
async fn the_token_before_the_last_sign_in_of_a_device_is_inactive() {
    let house = House::new().await;
    house.sign_in(house.tv["device_key"].as_str()).await;

    assert_inactive(&house.ask().await);
}

#[tokio::test]
async fn a_token_is_active_until_the_second_in_which_it_runs_out() {
    let house = House::new().await;
    house.advance(house.bundle.limits.idle - SECOND);
    assert_active(&house.ask().await);
    // That was a use of it, so the idle limit begins anew.
    house.advance(house.bundle.limits.idle - SECOND);
    assert_active(&house.ask().await);

    house.advance(house.bundle.limits.idle);

    assert_inactive(&house.ask().await);
}

#[tokio::test]
async fn no_use_moves_the_absolute_limit() {
    let house = House::new().await;
    let step = house.bundle.limits.idle - SECOND;
    let signed_in_at = house.bundle.clock.now();
    let expires_at = house.bundle.limits.expires_at(signed_in_at);
    while house.bundle.clock.now() + step < expires_at {
        house.advance(step);
        assert_active(&house.ask().await);
    }

    let left = expires_at.duration_since(house.bundle.clock.now());
    house.advance(left - SECOND);
    assert_active(&house.ask().await);
    house.advance(SECOND);
    assert_inactive(&house.ask().await);
}

#[tokio::test]
async fn a_use_is_written_down_once_in_five_minutes() {
    let house = House::new().await;
    let ask = async |after: SignedDuration| {
        house.advance(after);
        lock(&house.calls).clear();
        assert_active(&house.ask().await);
        lock(&house.calls).clone()
    };

    let early = ask(SignedDuration::from_mins(5) - SECOND).await;
    let due = ask(SECOND).await;
    let soon = ask(SECOND).await;

    assert_eq!(early, ["BatchGetItem"]);
    assert_eq!(due, ["BatchGetItem", "UpdateItem"]);
    assert_eq!(soon, ["BatchGetItem"]);
}

#[tokio::test]
async fn the_first_contact_of_a_signed_out_device_is_in_the_receipt() {
    for scope in ["device", "others"] {
        let house = House::new().await;
        let laptop = house.sign_in(None).await;
        let laptop = laptop["token"].as_str().unwrap();
        let tv = Token::parse(house.token()).unwrap().device();
        let done = match scope {
            "device" => house.bundle.sign_out_device(laptop, tv).await,
            _ => house.bundle.sign_out_all(laptop, scope).await,
        };
        let id = json_of(&done)["sign_out"]["id"].clone();
        house.advance(SECOND);
        let contact = house.bundle.clock.now();

        assert_inactive(&house.ask().await);
        house.advance(SECOND);
        assert_inactive(&house.ask().await);

        let receipt = house.bundle.receipt(laptop, id.as_str().unwrap()).await;
        let part = &json_of(&receipt)["sign_out"]["devices"][0];
        assert_eq!(part["state"], "contacted", "{scope}");
        assert_eq!(part["contacted_at"], json!(contact.to_string()), "{scope}");
    }
}

#[tokio::test]
async fn tables_that_fail_are_no_verdict() {
    let error = |status, code| Fate::Answered(Answer::error(status, code));
    let faults: [fn() -> Fate; 4] = [
        || Fate::Broken,
        || Fate::TimedOut,
        || Fate::Answered(Answer::error(500, "InternalServerError")),
        || Fate::Answered(Answer::error(400, "ProvisionedThroughputExceededException")),
    ];
    for is_over in [false, true] {
        for fault in faults {
            let house = House::new().await;
            if is_over {
                house.bundle.sign_out_this(house.token()).await;
            }
            house.fail(move |_| Some(fault()));

            let (status, name, _) = refused(&house.ask().await);

            assert_eq!((status, name.as_str()), (503, "unavailable"));
        }
    }
    let house = House::new().await;
    house.fail(move |_| Some(error(400, "AccessDeniedException")));
    assert_eq!(refused(&house.ask().await).0, 503);
}

#[tokio::test]
async fn a_note_that_could_not_be_written_changes_no_verdict() {
    let active = House::new().await;
    active.advance(SignedDuration::from_mins(5));
    active.fail(|at| (at > 0).then_some(Fate::Broken));
    assert_active(&active.ask().await);
    assert_eq!(lock(&active.calls).len(), 2);

    let over = House::new().await;
    over.bundle.sign_out_all(over.token(), "global").await;
    over.fail(|at| (at > 0).then_some(Fate::Broken));
    assert_inactive(&over.ask().await);
    assert!(lock(&over.calls).len() > 1);
}

#[tokio::test]
async fn a_session_that_ends_between_the_check_and_the_touch_is_inactive() {
    let house = House::new().await;
    house.advance(SignedDuration::from_mins(5));
    // The touch finds the row of another session.
    house.fail(|at| {
        let failed = Answer::error(400, "ConditionalCheckFailedException");
        (at == 1).then_some(Fate::Answered(failed))
    });

    assert_active(&house.ask().await);

    assert_eq!(
        *lock(&house.calls),
        ["BatchGetItem", "UpdateItem", "BatchGetItem"],
        "the tables are asked again"
    );
}

#[tokio::test]
async fn a_form_without_the_one_token_is_refused() {
    let house = House::new().await;
    let token = house.token();
    let ask = async |form: String| {
        let reply = introspect::handle(&house.bundle.introspect, introspection(&form)).await;
        refused(&reply)
    };
    let wrong = |field: &str| (400, "request-invalid".to_owned(), json!(field));

    for form in ["", "token", "token=", "tokens=x", "token_type_hint=x"] {
        assert_eq!(ask(form.to_owned()).await, wrong("token"), "{form}");
    }
    assert_eq!(
        ask(format!("token={token}&token={token}")).await,
        wrong("token")
    );
    assert_eq!(ask(format!("token={token}&token=")).await, wrong("token"));
    let hints = format!("token={token}&token_type_hint=a&token_type_hint=b");
    assert_eq!(ask(hints).await, wrong("token_type_hint"));
    let large = format!("token={}", "x".repeat(16 * 1024));
    assert_eq!(ask(large).await.1, "request-too-large");
}

#[tokio::test]
async fn parameters_that_are_not_known_are_passed_over() {
    let house = House::new().await;
    let form = format!(
        "client_id=x&token={}&token_type_hint=refresh_token&client_id=y",
        house.token()
    );

    let reply = introspect::handle(&house.bundle.introspect, introspection(&form)).await;

    assert_active(&reply);
}

#[tokio::test]
async fn a_body_that_is_no_form_is_refused() {
    let house = House::new().await;
    let mut event = introspection(&format!("token={}", house.token()));
    event
        .headers
        .insert("content-type", "application/json".parse().unwrap());

    let reply = introspect::handle(&house.bundle.introspect, event).await;

    let field = json!("Content-Type");
    assert_eq!(refused(&reply), (400, "request-invalid".to_owned(), field));
}

#[tokio::test]
async fn a_caller_whom_iam_has_not_let_in_is_told_nothing() {
    let house = House::new().await;
    let form = format!("token={}", house.token());
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
        // What another kind of authorizer says is not IAM's word.
        without(|event| {
            let authorizer = event.request_context.authorizer.as_mut().unwrap();
            authorizer.iam = None;
            authorizer
                .fields
                .insert("iam".to_owned(), json!({ "accountId": "123456789012" }));
        }),
    ];
    lock(&house.calls).clear();

    for event in events {
        let reply = introspect::handle(&house.bundle.introspect, event).await;

        let (status, name, _) = refused(&reply);
        assert_eq!((status, name.as_str()), (403, "caller-not-allowed"));
    }
    assert!(lock(&house.calls).is_empty(), "no table was asked");
}

/// A service of an adopting team: somebody with a key of AWS.
pub struct Service(Principal);

impl Service {
    /// One that may ask.
    pub async fn new() -> Self {
        let arn = &stack().outputs["IntrospectionArn"];
        Self::that_may(Some(arn)).await
    }

    /// One that may invoke this, and nothing else.
    async fn that_may(invoke: Option<&str>) -> Self {
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
        ))
    }

    /// Asks about a token.
    pub async fn ask(&self, token: &str) -> Outcome {
        let call = Call::posted("execute-api", "/v1/introspect", format!("token={token}"));
        self.0.call_at(api_url(), &call).await.unwrap()
    }
}

async fn iam(fields: &[(&str, &str)]) -> Outcome {
    let call = Call::form("iam", "2010-05-08", fields);
    let outcome = Principal::root().call(&call).await.unwrap();
    assert_eq!(outcome.status, 200, "{}", outcome.text);
    outcome
}

#[tokio::test]
async fn a_service_is_told_that_a_session_is_over_as_soon_as_it_is() {
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
async fn a_service_without_the_right_to_the_route_is_told_nothing() {
    let tv = Household::register().await.sign_in(TV).await;
    let elsewhere = stack().outputs["IntrospectionArn"].replace("introspect", "session");

    for invoke in [None, Some(&*elsewhere)] {
        let told = Service::that_may(invoke).await.ask(&tv.token).await;

        assert_eq!(told.status, 403, "{}", told.text);
        assert!(!told.text.contains("active"), "{}", told.text);
    }
}

#[tokio::test]
async fn nobody_without_the_signature_of_a_key_is_told_anything() {
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
async fn a_signature_by_another_secret_is_refused() {
    let tv = Household::register().await.sign_in(TV).await;
    let user = format!("service-{}", unique());
    iam(&[("Action", "CreateUser"), ("UserName", &*user)]).await;
    let key = iam(&[("Action", "CreateAccessKey"), ("UserName", &*user)]).await;
    let forger = Service(Principal::with_key(
        &key.element("AccessKeyId").unwrap(),
        "another secret",
    ));

    let told = forger.ask(&tv.token).await;

    assert_eq!(told.status, 403, "{}", told.text);
}
