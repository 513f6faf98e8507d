//! Tables that fail: each call of each request, once with every fault. The answer is
//! the right one or `unavailable`. It never accepts an ended session, and never reports
//! to a client that its session has ended when it has not. A request that failed can be
//! repeated.

mod corrupt;
mod retries;

use std::collections::BTreeSet;

use curfew_tests::account::{EMAIL, OTHER_EMAIL, OTHER_PASSWORD, PASSWORD, TestDevice};
use curfew_tests::app::{Boxed, TestApp};
use curfew_tests::bundle::{event, problem_of};
use curfew_tests::engine::{Engine, ServiceResponse};
use curfew_tests::fake_aws::Intercept;
use curfew_tests::routes::routes;
use curfew_tests::tables::{ATTEMPTS, DEVICES, RECEIPTS};
use curfew_tests::wire::{Call, CallResult, Slot};
use jiff::SignedDuration;
use serde_json::{Value, json};

/// A fault of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Throttled,
    Broken,
    TimedOut,
    ErrorBefore,
    /// The table makes the change, and answers with an error.
    ErrorAfter,
    /// Another transaction holds the rows.
    Conflict,
    /// A batch is answered without some of its rows.
    Unprocessed,
    /// The call is never answered.
    Silent,
}

const ONCE: [Fault; 5] = [
    Fault::Throttled,
    Fault::Broken,
    Fault::TimedOut,
    Fault::ErrorBefore,
    Fault::ErrorAfter,
];

/// The calls of a request that fail.
#[derive(Debug, Clone, Copy)]
struct Plan {
    fault: Fault,
    from: usize,
    to: usize,
}

impl Plan {
    fn once(fault: Fault, at: usize) -> Self {
        Self {
            fault,
            from: at,
            to: at + 1,
        }
    }

    fn from_then_on(fault: Fault, at: usize) -> Self {
        Self {
            fault,
            from: at,
            to: usize::MAX,
        }
    }
}

/// Applies a fault to a call.
fn apply(fault: Fault, engine: &Engine, call: &Call) -> Intercept {
    let answer = || engine.answer(&call.operation, &call.body);
    let error = |status, code| CallResult::Answered(ServiceResponse::error(status, code));
    Intercept::Replace(match fault {
        Fault::Throttled => error(400, "ProvisionedThroughputExceededException"),
        Fault::Broken => CallResult::Broken,
        Fault::TimedOut => CallResult::TimedOut,
        Fault::ErrorBefore => error(500, "InternalServerError"),
        Fault::ErrorAfter => {
            let _lost = answer();
            error(500, "InternalServerError")
        }
        Fault::Conflict => CallResult::Answered(conflict(call)),
        Fault::Unprocessed => CallResult::Answered(without_devices(call, &answer())),
        Fault::Silent => CallResult::Waiting(Slot::default()),
    })
}

/// Returns the answer to a call while another transaction holds one of its rows.
fn conflict(call: &Call) -> ServiceResponse {
    if call.operation != "TransactWriteItems" {
        return ServiceResponse::error(400, "TransactionConflictException");
    }
    let body: Value = serde_json::from_str(&call.body).unwrap();
    let items = body["TransactItems"].as_array().unwrap().len();
    let mut reasons = vec![json!({ "Code": "None" }); items];
    reasons[0] = json!({ "Code": "TransactionConflict", "Message": "injected by a test" });
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "injected by a test",
        "CancellationReasons": reasons,
    });
    ServiceResponse {
        status: 400,
        body: body.to_string(),
    }
}

/// Returns the answer to a batch with the rows of one table left unprocessed.
fn without_devices(call: &Call, answer: &ServiceResponse) -> ServiceResponse {
    let request: Value = serde_json::from_str(&call.body).unwrap();
    let mut body: Value = serde_json::from_str(&answer.body).unwrap();
    let Some(tables) = request["RequestItems"].as_object() else {
        return answer.clone();
    };
    let left = tables.get_key_value(DEVICES).or(tables.iter().next());
    let (table, keys) = left.unwrap();
    body["Responses"].as_object_mut().unwrap().remove(table);
    body["UnprocessedKeys"] = json!({ table: keys });
    ServiceResponse {
        status: 200,
        body: body.to_string(),
    }
}

/// A request in a certain state of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    Register,
    Login,
    LoginAgain,
    Session,
    Touch,
    SignOut,
    Devices,
    Rename,
    SignOutDevice,
    SignOutOthers,
    SignOutGlobal,
    ChangePasswordKeeping,
    ChangePassword,
    Authorizer,
    /// The receipt of a sign-out of the others, before the sweep.
    Receipt,
    /// The receipt of a sign-out of the television.
    ReceiptOfOne,
    /// The first call of the television after a sign-out of the others.
    Contact,
    /// Its first call at another service, which asks the authorizer.
    ContactElsewhere,
    /// Its acknowledgement.
    Acknowledge,
    /// Its next sign-in.
    LoginOverEnded,
}

const REQUESTS: [Request; 20] = [
    Request::Register,
    Request::Login,
    Request::LoginAgain,
    Request::Session,
    Request::Touch,
    Request::SignOut,
    Request::Devices,
    Request::Rename,
    Request::SignOutDevice,
    Request::SignOutOthers,
    Request::SignOutGlobal,
    Request::ChangePasswordKeeping,
    Request::ChangePassword,
    Request::Authorizer,
    Request::Receipt,
    Request::ReceiptOfOne,
    Request::Contact,
    Request::ContactElsewhere,
    Request::Acknowledge,
    Request::LoginOverEnded,
];

const SIGNED_OUT: (i64, &str) = (401, "session-signed-out");

impl Request {
    /// Returns the operation of the API that it calls, if it calls one.
    fn operation(self) -> Option<&'static str> {
        Some(match self {
            Self::Register => "register",
            Self::Login | Self::LoginAgain | Self::LoginOverEnded => "login",
            Self::Session | Self::Touch | Self::Contact => "getSession",
            Self::SignOut => "signOut",
            Self::Devices => "listDevices",
            Self::Rename => "renameDevice",
            Self::SignOutDevice => "signOutDevice",
            Self::SignOutOthers | Self::SignOutGlobal => "signOutAll",
            Self::ChangePasswordKeeping | Self::ChangePassword => "changePassword",
            Self::Receipt | Self::ReceiptOfOne => "getSignOut",
            Self::Acknowledge => "acknowledgeSignOut",
            Self::Authorizer | Self::ContactElsewhere => return None,
        })
    }

    /// Returns whether the laptop sends it with its token.
    fn is_by_token(self) -> bool {
        !matches!(self, Self::Register | Self::Login | Self::LoginAgain)
            && !self.is_by_ended_session()
    }

    /// Returns whether the television sends it after its session has ended.
    fn is_by_ended_session(self) -> bool {
        self.is_contact() || matches!(self, Self::Acknowledge | Self::LoginOverEnded)
    }

    fn is_contact(self) -> bool {
        matches!(self, Self::Contact | Self::ContactElsewhere)
    }

    /// Returns whether a call of it only records a touch or a contact, or gives a charge
    /// back: the answer was decided before it.
    fn is_record(self, at: usize, call: &Call) -> bool {
        match self {
            Self::Touch | Self::Contact => call.is_write(),
            Self::ContactElsewhere => at > 0,
            _ => call.body.contains("tat - :cost"),
        }
    }

    /// Returns its answer when its change was made before.
    fn when_repeated(self) -> (i64, &'static str) {
        match self {
            Self::SignOut | Self::SignOutGlobal | Self::ChangePassword => SIGNED_OUT,
            Self::ChangePasswordKeeping => (403, "credentials-invalid"),
            _ => self.when_well(),
        }
    }

    fn when_well(self) -> (i64, &'static str) {
        match self {
            Self::Register => (202, ""),
            Self::Contact => SIGNED_OUT,
            Self::ContactElsewhere => (403, ""),
            _ => (200, ""),
        }
    }
}

/// An account with a laptop and a television, in the state that a request needs.
struct Setup {
    app: TestApp,
    laptop: TestDevice,
    tv: TestDevice,
    /// The sign-out that ended the television's session, if there was one.
    sign_out: String,
}

/// Changes the settings of the SDK.
type Setting = fn(aws_sdk_dynamodb::config::Builder) -> aws_sdk_dynamodb::config::Builder;

impl Setup {
    /// Prepares the state that the request needs.
    fn of(request: Request) -> Boxed<'static, Self> {
        Self::with(request, |config| config)
    }

    fn with(request: Request, setting: Setting) -> Boxed<'static, Self> {
        Box::pin(async move {
            let app = TestApp::without_account(setting);
            app.register(EMAIL).await;
            let mut setup = Self {
                laptop: app.sign_in(None).await,
                tv: app.sign_in(None).await,
                sign_out: String::new(),
                app,
            };
            let (app, laptop) = (&setup.app, &setup.laptop);
            let sign_out = match request {
                Request::ReceiptOfOne => app.sign_out_device(laptop, &setup.tv).await,
                _ if request == Request::Receipt || request.is_by_ended_session() => {
                    app.sign_out_scope(laptop, "others").await
                }
                _ => return setup,
            };
            app.advance(SignedDuration::from_secs(1));
            setup.sign_out = sign_out.to_string();
            setup
        })
    }

    /// Sends a request while some of its calls fail. Returns its status, and the
    /// problem's name if there is one.
    fn send(&self, request: Request, plan: impl Into<Option<Plan>>) -> Boxed<'_, (i64, String)> {
        let plan = plan.into();
        self.app.aws.clear_calls();
        let (engine, mut calls) = (self.app.aws.engine.clone(), 0..);
        self.app.aws.intercept(move |call| {
            let number = calls.next().expect("a number");
            match plan.filter(|plan| (plan.from..plan.to).contains(&number)) {
                Some(plan) => apply(plan.fault, &engine, call),
                None => Intercept::Make,
            }
        });
        Box::pin(self.answer(request))
    }

    async fn answer(&self, request: Request) -> (i64, String) {
        let (bundle, token) = (&self.app.bundle, self.laptop.token.as_str());
        let reply = match request {
            Request::Register => bundle.register(OTHER_EMAIL, PASSWORD).await,
            Request::Login => bundle.log_in(EMAIL, PASSWORD, None).await,
            Request::LoginAgain => bundle.log_in(EMAIL, PASSWORD, Some(&self.laptop.key)).await,
            Request::Session => bundle.who_am_i(token).await,
            Request::Touch => {
                self.app.advance(SignedDuration::from_mins(10));
                bundle.who_am_i(token).await
            }
            Request::SignOut => bundle.sign_out_this(token).await,
            Request::Devices => bundle.list(token).await,
            Request::Rename => bundle.rename_device(token, self.tv.id, "TV").await,
            Request::SignOutDevice => bundle.sign_out_device(token, self.tv.id).await,
            Request::SignOutOthers => bundle.sign_out_scope(token, "others").await,
            Request::SignOutGlobal => bundle.sign_out_scope(token, "global").await,
            Request::ChangePasswordKeeping | Request::ChangePassword => {
                let keep = request == Request::ChangePasswordKeeping;
                let change = bundle.change_password(token, PASSWORD, OTHER_PASSWORD, keep);
                change.await
            }
            Request::Receipt | Request::ReceiptOfOne => bundle.receipt(token, &self.sign_out).await,
            Request::Contact => bundle.who_am_i(&self.tv.token).await,
            Request::Acknowledge => bundle.acknowledge(&self.tv.token, &self.sign_out).await,
            Request::LoginOverEnded => bundle.log_in(EMAIL, PASSWORD, Some(&self.tv.key)).await,
            Request::Authorizer => return self.authorize(token).await,
            Request::ContactElsewhere => return self.authorize(&self.tv.token).await,
        };
        problem_of(&reply)
    }

    async fn authorize(&self, token: &str) -> (i64, String) {
        let event = event("GET", "/films", Some(token), None);
        match authorizer::handle(&self.app.bundle.authorizer, event).await {
            Ok(decision) if decision.is_authorized => (200, String::new()),
            Ok(_) => (403, String::new()),
            Err(_) => (503, "unavailable".to_owned()),
        }
    }

    /// Returns the calls of the last request.
    fn calls(&self) -> Vec<Call> {
        self.app.aws.calls()
    }

    /// Returns the row of a table that contains a text.
    fn row(&self, table: &str, text: &str) -> Value {
        let rows = self.app.aws.rows(table).into_iter();
        let mut rows = rows.filter(|row| text.is_empty() || row.to_string().contains(text));
        rows.next().expect("a row")
    }

    fn put(&self, table: &str, row: &Value) {
        self.app.aws.engine.put(table, row);
    }

    fn count(&self, table: &str) -> usize {
        self.app.aws.rows(table).len()
    }
}

fn is_unavailable(answer: &(i64, String)) -> bool {
    is(answer, (503, "unavailable"))
}

fn is(answer: &(i64, String), expected: (i64, &str)) -> bool {
    (answer.0, answer.1.as_str()) == expected
}

/// Returns the calls of a request without faults.
async fn calls_of(request: Request) -> Vec<Call> {
    let setup = Setup::of(request).await;
    let answer = setup.send(request, None).await;
    assert!(is(&answer, request.when_well()), "{request:?} {answer:?}");
    setup.calls()
}

/// Returns whether a call changes more than a counter of attempts.
fn is_change(call: &Call) -> bool {
    call.is_write() && !call.body.contains(ATTEMPTS)
}

/// The operations that need no request here.
const EXEMPT: [(&str, &str); 27] = [
    ("getOpenApi", "reads no table"),
    ("getAsyncApi", "reads no table"),
    (
        "createSocketTicket",
        "its faults are in `sockets/tickets.rs`",
    ),
    ("confirmAccount", "its faults are in `challenges.rs`"),
    ("confirmAddress", "its faults are in `unconfirmed.rs`"),
    (
        "confirmAddressChange",
        "its faults are in `address_changes.rs`",
    ),
    ("requestAddressChange", "its faults are those of codes"),
    ("confirmPasswordReset", "its faults are in `challenges.rs`"),
    ("requestPasswordReset", "its faults are in `challenges.rs`"),
    ("requestPass", "its faults are in `challenges.rs`"),
    ("requestVerificationCode", "its faults are those of codes"),
    ("completeSignIn", "its faults are in `second_step.rs`"),
    ("listFactors", "it only reads"),
    ("beginFactor", "its faults are in `second_step.rs`"),
    ("confirmFactor", "its faults are in `second_step.rs`"),
    ("removeFactor", "its faults are in `second_step.rs`"),
    ("makeRecoveryCodes", "its faults are in `second_step.rs`"),
    ("setSignInCodes", "its faults are in `sign_in_codes.rs`"),
    ("reportLostFactors", "its faults are those of codes"),
    (
        "confirmLostFactors",
        "its faults are in `second_step/lost.rs`",
    ),
    ("verify", "its faults are in `verification.rs`"),
    ("listMessages", "it only reads"),
    ("readNotice", "it only reads"),
    ("answerNotice", "its races are in `notices.rs`"),
    ("introspect", "its faults are in `introspect.rs`"),
    ("loginByBackend", "its faults are those of `login`"),
    ("verifyByBackend", "its faults are in `external.rs`"),
];

#[test]
fn every_operation_of_the_document_has_a_request_or_a_reason_for_none() {
    let documented: BTreeSet<String> = routes().into_iter().map(|route| route.id).collect();
    let requests = REQUESTS.iter().filter_map(|request| request.operation());
    let exempt = EXEMPT.iter().map(|(operation, _)| *operation);

    let known: BTreeSet<String> = requests.chain(exempt).map(str::to_owned).collect();

    assert_eq!(known, documented);
}

#[tokio::test]
async fn a_failed_call_gives_unavailable_or_the_right_answer_and_the_request_can_be_repeated() {
    let mut faults = 0;
    for request in REQUESTS {
        for (at, call) in calls_of(request).await.iter().enumerate() {
            for fault in ONCE {
                let setup = Setup::of(request).await;
                let answer = setup.send(request, Plan::once(fault, at)).await;
                let right = is(&answer, request.when_well());
                assert!(
                    right || is_unavailable(&answer),
                    "{request:?} {at} {fault:?} {answer:?}"
                );
                assert_eq!(
                    right,
                    request.is_record(at, call),
                    "{request:?} {at} {fault:?}"
                );

                let again = setup.send(request, None).await;
                let is_done = right || fault == Fault::ErrorAfter && is_change(call);
                let wanted = if is_done {
                    request.when_repeated()
                } else {
                    request.when_well()
                };
                assert!(is(&again, wanted), "{request:?} {at} {fault:?} {again:?}");
                faults += 1;
            }
        }
    }
    println!("{faults} faults");
}

#[tokio::test]
async fn a_failed_call_never_accepts_an_ended_session() {
    for end in [Request::SignOut, Request::SignOutGlobal] {
        for request in REQUESTS.into_iter().filter(|request| request.is_by_token()) {
            let ended = async || {
                let setup = Setup::of(request).await;
                setup.send(end, None).await;
                setup
            };
            let setup = ended().await;
            let refused = setup.send(request, None).await;
            assert!(matches!(refused.0, 401 | 403), "{refused:?}");
            for at in 0..setup.calls().len() {
                for fault in ONCE {
                    let setup = ended().await;
                    let answer = setup.send(request, Plan::once(fault, at)).await;
                    let right = answer == refused;
                    assert!(
                        right || is_unavailable(&answer),
                        "{request:?} {at} {fault:?} {answer:?}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn a_failed_call_never_accepts_a_wrong_secret() {
    let by_secret = |request: &Request| {
        let is_by_ended_session = request.is_contact() || *request == Request::Acknowledge;
        request.is_by_token() || is_by_ended_session
    };
    for request in REQUESTS.into_iter().filter(by_secret) {
        let mut setup = Setup::of(request).await;
        setup.laptop = setup.laptop.with_wrong_secret();
        setup.tv = setup.tv.with_wrong_secret();
        let refused = setup.send(request, None).await;
        assert!(matches!(refused.0, 401 | 403), "{refused:?}");
        assert!(!is(&refused, (401, "session-signed-out")), "{refused:?}");
        let rows = setup.count(RECEIPTS);
        for at in 0..setup.calls().len() {
            for fault in ONCE {
                let answer = setup.send(request, Plan::once(fault, at)).await;
                let right = answer == refused;
                assert!(
                    right || is_unavailable(&answer),
                    "{request:?} {at} {fault:?} {answer:?}"
                );
            }
        }
        assert_eq!(setup.count(RECEIPTS), rows, "{request:?}");
    }
}
