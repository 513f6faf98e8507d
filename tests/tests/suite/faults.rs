//! Tables that fail: each call of each function, once with every fault. The
//! answer is the right one or `unavailable`, never an open door and never a
//! verdict that makes a client wipe itself; what was cut off can be asked again.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use curfew_tests::bundle::{Bundle, event, json_of};
use curfew_tests::engine::{Answer, Engine};
use curfew_tests::tables::{ACCOUNTS, DEVICES, IDENTITIES, RECEIPTS};
use curfew_tests::wire::{self, Call, Fate, Slot};
use domain::{DeviceId, Token};
use http_api::Reply;
use jiff::SignedDuration;
use runtime::{Clock, lock};
use serde_json::{Value, json};

const EMAIL: &str = "lea@example.com";
const PASSWORD: &str = "quiet otter borrows nine lanterns";
const OTHER_PASSWORD: &str = "nine lanterns drift past the harbour";

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Throttled,
    Broken,
    TimedOut,
    ErrorBefore,
    /// The table did what it was asked, and answers that it failed.
    ErrorAfter,
    /// Other writers have the rows.
    Conflict,
    /// A batch comes back without its last rows.
    Unprocessed,
    /// Nothing ever comes back.
    Silent,
}

const ONCE: [Fault; 5] = [
    Fault::Throttled,
    Fault::Broken,
    Fault::TimedOut,
    Fault::ErrorBefore,
    Fault::ErrorAfter,
];

/// Which calls fail, and how.
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

#[derive(Debug, Default)]
struct Line {
    plan: Option<Plan>,
    calls: Vec<Call>,
}

impl Line {
    fn take(&mut self, engine: &Engine, call: &Call) -> Fate {
        let at = self.calls.len();
        self.calls.push(call.clone());
        let answer = || engine.answer(&call.operation, &call.body);
        let fault = self
            .plan
            .filter(|plan| (plan.from..plan.to).contains(&at))
            .map(|plan| plan.fault);
        match fault {
            None => Fate::Answered(answer()),
            Some(Fault::Throttled) => {
                let code = "ProvisionedThroughputExceededException";
                Fate::Answered(Answer::error(400, code))
            }
            Some(Fault::Broken) => Fate::Broken,
            Some(Fault::TimedOut) => Fate::TimedOut,
            Some(Fault::ErrorBefore) => Fate::Answered(Answer::error(500, "InternalServerError")),
            Some(Fault::ErrorAfter) => {
                let _unheard = answer();
                Fate::Answered(Answer::error(500, "InternalServerError"))
            }
            Some(Fault::Conflict) => Fate::Answered(conflict(call)),
            Some(Fault::Unprocessed) => Fate::Answered(without_devices(call, &answer())),
            Some(Fault::Silent) => Fate::Waiting(Slot::default()),
        }
    }
}

/// What the table answers when another transaction has one of the rows.
fn conflict(call: &Call) -> Answer {
    if call.operation != "TransactWriteItems" {
        return Answer::error(400, "TransactionConflictException");
    }
    let body: Value = serde_json::from_str(&call.body).unwrap();
    let items = body["TransactItems"].as_array().unwrap().len();
    let mut reasons = vec![json!({ "Code": "None" }); items];
    reasons[0] = json!({ "Code": "TransactionConflict", "Message": "made by a test" });
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "made by a test",
        "CancellationReasons": reasons,
    });
    Answer {
        status: 400,
        body: body.to_string(),
    }
}

/// The answer to a batch with the rows of one table left unprocessed.
fn without_devices(call: &Call, answer: &Answer) -> Answer {
    let asked: Value = serde_json::from_str(&call.body).unwrap();
    let mut body: Value = serde_json::from_str(&answer.body).unwrap();
    let tables = asked["RequestItems"].as_object().unwrap();
    let left = tables.get_key_value(DEVICES).or(tables.iter().next());
    let (table, keys) = left.unwrap();
    body["Responses"].as_object_mut().unwrap().remove(table);
    body["UnprocessedKeys"] = json!({ table: keys });
    Answer {
        status: 200,
        body: body.to_string(),
    }
}

/// What is asked of the functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Register,
    Login,
    LoginAgain,
    WhoAmI,
    Touch,
    SignOutThis,
    List,
    SignOutDevice,
    SignOutOthers,
    SignOutGlobal,
    ChangePasswordKeeping,
    ChangePassword,
    Authorizer,
    /// The television was signed out with all others, and nobody has marked it yet:
    /// what its owner reads of it.
    Receipt,
    /// It was signed out by itself.
    ReceiptOfOne,
    /// It calls for the first time since it was signed out with all others.
    Contact,
    /// The same at another service, which has it refused.
    ContactElsewhere,
    /// It says that it has wiped what it had stored.
    Acknowledge,
    /// It signs in again.
    LoginOverEnded,
}

const ROUTES: [Route; 19] = [
    Route::Register,
    Route::Login,
    Route::LoginAgain,
    Route::WhoAmI,
    Route::Touch,
    Route::SignOutThis,
    Route::List,
    Route::SignOutDevice,
    Route::SignOutOthers,
    Route::SignOutGlobal,
    Route::ChangePasswordKeeping,
    Route::ChangePassword,
    Route::Authorizer,
    Route::Receipt,
    Route::ReceiptOfOne,
    Route::Contact,
    Route::ContactElsewhere,
    Route::Acknowledge,
    Route::LoginOverEnded,
];

impl Route {
    /// Whether the laptop asks, by its token.
    fn is_by_token(self) -> bool {
        !matches!(self, Self::Register | Self::Login | Self::LoginAgain) && !self.is_by_the_ended()
    }

    /// Whether the television asks, when its session is over.
    fn is_by_the_ended(self) -> bool {
        self.is_contact() || matches!(self, Self::Acknowledge | Self::LoginOverEnded)
    }

    fn is_contact(self) -> bool {
        matches!(self, Self::Contact | Self::ContactElsewhere)
    }

    /// Whether its call of that number is about a note: what the request is about
    /// was decided before it.
    fn is_note(self, at: usize, call: &Call) -> bool {
        match self {
            Self::Touch | Self::Contact => call.is_write(),
            Self::ContactElsewhere => at > 0,
            _ => false,
        }
    }

    /// What the same request is told once its change was made.
    fn when_repeated(self) -> (i64, &'static str) {
        match self {
            Self::SignOutThis | Self::SignOutGlobal | Self::ChangePassword => {
                (401, "session-signed-out")
            }
            Self::ChangePasswordKeeping => (403, "credentials-invalid"),
            _ => self.when_well(),
        }
    }

    fn when_well(self) -> (i64, &'static str) {
        match self {
            Self::Register => (202, ""),
            Self::Contact => (401, "session-signed-out"),
            Self::ContactElsewhere => (403, ""),
            _ => (200, ""),
        }
    }
}

/// A household over tables that can fail.
struct House {
    bundle: Bundle,
    engine: Engine,
    line: Arc<Mutex<Line>>,
    laptop: String,
    laptop_key: String,
    tv: String,
    tv_key: String,
    /// By which the television was signed out, if it was.
    sign_out: String,
}

/// How the SDK is set where it is not as usual.
type Setting = fn(aws_sdk_dynamodb::config::Builder) -> aws_sdk_dynamodb::config::Builder;

impl House {
    async fn new() -> Self {
        Self::with(|config| config).await
    }

    /// A household as the route finds it.
    fn at(route: Route) -> Pin<Box<dyn Future<Output = Self>>> {
        Self::at_with(route, |config| config)
    }

    fn at_with(route: Route, setting: Setting) -> Pin<Box<dyn Future<Output = Self>>> {
        Box::pin(Self::prepared(route, setting))
    }

    async fn prepared(route: Route, setting: Setting) -> Self {
        let mut house = Self::with(setting).await;
        house.bundle.clock.advance(SignedDuration::from_secs(1));
        let (bundle, laptop) = (&house.bundle, house.laptop.as_str());
        let signed_out = match route {
            Route::ReceiptOfOne => bundle.sign_out_device(laptop, house.tv()).await,
            _ if route == Route::Receipt || route.is_by_the_ended() => {
                bundle.sign_out_all(laptop, "others").await
            }
            _ => return house,
        };
        let body = json_of(&signed_out);
        let id = body["sign_out"]["id"].as_str().unwrap().to_owned();
        house.sign_out = id;
        house.bundle.clock.advance(SignedDuration::from_secs(1));
        house
    }

    async fn with(setting: Setting) -> Self {
        let (engine, line) = (Engine::new(), Arc::<Mutex<Line>>::default());
        let (tables, at) = (engine.clone(), line.clone());
        let client = wire::clients(move |call| lock(&at).take(&tables, &call)).dynamodb();
        let config = setting(client.config().to_builder()).build();
        let client = aws_sdk_dynamodb::Client::from_conf(config);
        let clock = Clock::fixed("2026-11-20T12:00:00Z".parse().unwrap());
        let mut house = Self {
            bundle: Bundle::new(client, clock),
            engine,
            line,
            laptop: String::new(),
            laptop_key: String::new(),
            tv: String::new(),
            tv_key: String::new(),
            sign_out: String::new(),
        };
        let registered = house.bundle.register(EMAIL, PASSWORD).await;
        assert_eq!(registered.status_code, 202);
        (house.laptop, house.laptop_key) = house.device().await;
        (house.tv, house.tv_key) = house.device().await;
        house
    }

    async fn device(&self) -> (String, String) {
        self.bundle.clock.advance(SignedDuration::from_secs(1));
        let reply = self.bundle.log_in(EMAIL, PASSWORD, None).await;
        let body = json_of(&reply);
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        (text("token"), text("device_key"))
    }

    fn tv(&self) -> DeviceId {
        Token::parse(&self.tv).unwrap().device()
    }

    /// Asks, by the laptop where it needs a live token, while some calls fail. Gives
    /// the status, and the problem's name when there is one.
    fn ask<'a>(
        &'a self,
        route: Route,
        plan: impl Into<Option<Plan>>,
    ) -> Pin<Box<dyn Future<Output = (i64, String)> + 'a>> {
        Box::pin(self.asked(route, plan.into()))
    }

    async fn asked(&self, route: Route, plan: Option<Plan>) -> (i64, String) {
        *lock(&self.line) = Line {
            plan,
            calls: Vec::new(),
        };
        let (bundle, token) = (&self.bundle, self.laptop.as_str());
        if route == Route::Touch {
            bundle.clock.advance(SignedDuration::from_mins(10));
        }
        let reply = match route {
            Route::Register => bundle.register("ada@example.com", PASSWORD).await,
            Route::Login => bundle.log_in(EMAIL, PASSWORD, None).await,
            Route::LoginAgain => bundle.log_in(EMAIL, PASSWORD, Some(&self.laptop_key)).await,
            Route::WhoAmI | Route::Touch => bundle.who_am_i(token).await,
            Route::SignOutThis => bundle.sign_out_this(token).await,
            Route::List => bundle.list(token).await,
            Route::SignOutDevice => bundle.sign_out_device(token, self.tv()).await,
            Route::SignOutOthers => bundle.sign_out_all(token, "others").await,
            Route::SignOutGlobal => bundle.sign_out_all(token, "global").await,
            Route::ChangePasswordKeeping | Route::ChangePassword => {
                let keep = route == Route::ChangePasswordKeeping;
                bundle
                    .change_password(token, PASSWORD, OTHER_PASSWORD, keep)
                    .await
            }
            Route::Receipt | Route::ReceiptOfOne => bundle.receipt(token, &self.sign_out).await,
            Route::Contact => bundle.who_am_i(&self.tv).await,
            Route::Acknowledge => bundle.acknowledge(&self.tv, &self.sign_out).await,
            Route::LoginOverEnded => bundle.log_in(EMAIL, PASSWORD, Some(&self.tv_key)).await,
            Route::Authorizer | Route::ContactElsewhere => {
                let is_live = route == Route::Authorizer;
                let token = if is_live { token } else { self.tv.as_str() };
                let event = event("GET", "/films", Some(token), None);
                return match authorizer::handle(&bundle.authorizer, event).await {
                    Ok(decision) if decision.is_authorized => (200, String::new()),
                    Ok(_) => (403, String::new()),
                    Err(_) => (503, "unavailable".to_owned()),
                };
            }
        };
        told(&reply)
    }

    /// The calls of the last request.
    fn calls(&self) -> Vec<Call> {
        lock(&self.line).calls.clone()
    }

    fn row(&self, table: &str, sort: &str) -> Value {
        let rows = self.engine.rows(table).into_iter();
        rows.map(|row| serde_json::to_value(row).unwrap())
            .find(|row| sort.is_empty() || row.to_string().contains(sort))
            .expect("a row")
    }

    fn count(&self, table: &str) -> usize {
        self.engine.rows(table).len()
    }
}

fn told(reply: &Reply) -> (i64, String) {
    let body = json_of(reply);
    let problem = body["type"].as_str().unwrap_or_default();
    let name = problem.rsplit(':').next().unwrap_or_default();
    (reply.status_code, name.to_owned())
}

fn is_unavailable(told: &(i64, String)) -> bool {
    *told == (503, "unavailable".to_owned())
}

fn is(told: &(i64, String), wanted: (i64, &str)) -> bool {
    (told.0, told.1.as_str()) == wanted
}

/// How many calls a request makes when all is well.
async fn calls_of(route: Route) -> Vec<Call> {
    let house = House::at(route).await;
    let told = house.ask(route, None).await;
    assert!(is(&told, route.when_well()), "{route:?} {told:?}");
    house.calls()
}

#[tokio::test]
async fn a_call_that_fails_gives_unavailable_or_the_right_answer_and_can_be_repeated() {
    let mut tried = 0;
    for route in ROUTES {
        for (at, call) in calls_of(route).await.iter().enumerate() {
            for fault in ONCE {
                let house = House::at(route).await;
                let told = house.ask(route, Plan::once(fault, at)).await;
                let right = is(&told, route.when_well());
                assert!(
                    right || is_unavailable(&told),
                    "{route:?} {at} {fault:?} {told:?}"
                );
                assert_eq!(right, route.is_note(at, call), "{route:?} {at} {fault:?}");

                let again = house.ask(route, None).await;
                let is_done = fault == Fault::ErrorAfter && call.is_write();
                let wanted = if is_done {
                    route.when_repeated()
                } else {
                    route.when_well()
                };
                assert!(is(&again, wanted), "{route:?} {at} {fault:?} {again:?}");
                tried += 1;
            }
        }
    }
    println!("{tried} faults");
}

#[tokio::test]
async fn a_call_that_fails_lets_no_ended_session_in() {
    for end in [Route::SignOutThis, Route::SignOutGlobal] {
        for route in ROUTES.into_iter().filter(|route| route.is_by_token()) {
            let ended = async || {
                let house = House::at(route).await;
                house.ask(end, None).await;
                house
            };
            let house = ended().await;
            let refused = house.ask(route, None).await;
            assert!(matches!(refused.0, 401 | 403), "{refused:?}");
            for at in 0..house.calls().len() {
                for fault in ONCE {
                    let house = ended().await;
                    let told = house.ask(route, Plan::once(fault, at)).await;
                    let right = told == refused;
                    assert!(
                        right || is_unavailable(&told),
                        "{route:?} {at} {fault:?} {told:?}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn a_call_that_fails_lets_no_other_secret_in() {
    let other = |token: &str| {
        let token = Token::parse(token).unwrap();
        let other = Token::new(token.account(), token.device(), [1; 32]);
        other.to_text().to_string()
    };
    let by_secret = |route: &Route| {
        let is_by_the_ended = route.is_contact() || *route == Route::Acknowledge;
        route.is_by_token() || is_by_the_ended
    };
    for route in ROUTES.into_iter().filter(by_secret) {
        let mut house = House::at(route).await;
        (house.laptop, house.tv) = (other(&house.laptop), other(&house.tv));
        let refused = house.ask(route, None).await;
        assert!(matches!(refused.0, 401 | 403), "{refused:?}");
        assert!(!is(&refused, (401, "session-signed-out")), "{refused:?}");
        let rows = house.count(RECEIPTS);
        for at in 0..house.calls().len() {
            for fault in ONCE {
                let told = house.ask(route, Plan::once(fault, at)).await;
                let right = told == refused;
                assert!(
                    right || is_unavailable(&told),
                    "{route:?} {at} {fault:?} {told:?}"
                );
            }
        }
        assert_eq!(house.count(RECEIPTS), rows, "{route:?}");
    }
}

/// The row with an attribute of another type, and without it.
fn spoilt(row: &Value, attribute: &str) -> [Value; 2] {
    let mut of_another_type = row.clone();
    let is_text = !row[attribute]["S"].is_null();
    of_another_type[attribute] = if is_text {
        json!({ "N": "1" })
    } else {
        json!({ "S": "x" })
    };
    let mut without = row.clone();
    without.as_object_mut().unwrap().remove(attribute);
    [of_another_type, without]
}

fn attributes(row: &Value, keys: &[&str]) -> Vec<String> {
    let names = row.as_object().unwrap().keys();
    names
        .filter(|name| !keys.contains(&name.as_str()))
        .cloned()
        .collect()
}

#[tokio::test]
async fn a_corrupt_row_gives_unavailable_or_the_right_answer() {
    let mut unavailable = 0;
    for route in ROUTES {
        let pattern = House::at(route).await;
        let laptop = Token::parse(&pattern.laptop).unwrap().device().to_string();
        let tv = pattern.tv().to_string();
        let keys = ["account_id", "device_id"];
        let rows = [
            (ACCOUNTS, String::new(), &keys[..1]),
            (IDENTITIES, String::new(), &["email"]),
            (DEVICES, laptop, &keys),
            (DEVICES, tv, &keys),
        ];
        for (table, sort, keys) in rows {
            let names = attributes(&pattern.row(table, &sort), keys);
            for name in names {
                for which in 0..2 {
                    let house = House::at(route).await;
                    let sort = match sort.as_str() {
                        "" => String::new(),
                        sort if sort == pattern.tv().to_string() => house.tv().to_string(),
                        _ => Token::parse(&house.laptop).unwrap().device().to_string(),
                    };
                    let row = house.row(table, &sort);
                    house.engine.put(table, &spoilt(&row, &name)[which]);
                    let told = house.ask(route, None).await;
                    let right = is(&told, route.when_well());
                    assert!(
                        right || is_unavailable(&told),
                        "{route:?} {table} {name} {which} {told:?}"
                    );
                    unavailable += usize::from(!right);
                }
            }
        }
    }
    assert!(unavailable > 100, "{unavailable}");
}

#[tokio::test]
async fn a_corrupt_record_of_a_sign_out_gives_unavailable_or_the_right_answer() {
    let house = House::new().await;
    house.ask(Route::SignOutGlobal, None).await;
    let header = house.row(RECEIPTS, "");
    let refused = house.ask(Route::WhoAmI, None).await;
    assert!(is(&refused, (401, "session-signed-out")));

    let mut unavailable = 0;
    // The key of the index can't be of another type: the table sees to that.
    let keys = ["account_id", "sign_out_id", "ended_epoch"];
    for name in attributes(&header, &keys) {
        for row in spoilt(&header, &name) {
            house.engine.put(RECEIPTS, &row);
            let told = house.ask(Route::WhoAmI, None).await;
            assert!(told == refused || is_unavailable(&told), "{name} {told:?}");
            unavailable += usize::from(told != refused);
        }
    }
    assert!(unavailable >= 8, "{unavailable}");
}

#[tokio::test]
async fn a_corrupt_record_or_part_gives_unavailable_or_the_right_receipt() {
    let house = House::at(Route::Receipt).await;
    let refused = house.ask(Route::Contact, None).await;
    assert!(is(&refused, (401, "session-signed-out")));
    let read = async || {
        let reply = house.bundle.receipt(&house.laptop, &house.sign_out).await;
        (told(&reply), json_of(&reply))
    };
    let right = read().await;
    assert!(is(&right.0, (200, "")));

    // What need not be there means something when it is not.
    let optional = ["requested_by", "kept_session", "contacted_at"];
    let keys = ["account_id", "sign_out_id", "ended_epoch"];
    let part = format!("{}#", house.sign_out);
    let mut unavailable = 0;
    for row in [house.row(RECEIPTS, "\"scope\""), house.row(RECEIPTS, &part)] {
        for name in attributes(&row, &keys) {
            let [of_another_type, without] = spoilt(&row, &name);
            let is_optional = optional.contains(&name.as_str());
            let spoilt = [
                Some(of_another_type),
                Some(without).filter(|_| !is_optional),
            ];
            for row in spoilt.into_iter().flatten() {
                house.engine.put(RECEIPTS, &row);
                let told = read().await;
                assert!(told == right || is_unavailable(&told.0), "{name} {told:?}");
                unavailable += usize::from(told != right);
            }
        }
        house.engine.put(RECEIPTS, &row);
    }
    assert!(unavailable >= 20, "{unavailable}");
}

#[tokio::test]
async fn a_state_that_there_is_not_is_no_verdict() {
    let is_without_a_device = |route: &Route| matches!(route, Route::Register | Route::Login);
    for route in ROUTES.into_iter().filter(|it| !is_without_a_device(it)) {
        let house = House::at(route).await;
        for token in [&house.laptop, &house.tv] {
            let device = Token::parse(token).unwrap().device().to_string();
            let mut row = house.row(DEVICES, &device);
            row["state"] = json!({ "S": "half" });
            house.engine.put(DEVICES, &row);
        }
        let told = house.ask(route, None).await;
        assert!(is_unavailable(&told), "{route:?} {told:?}");
    }
}

#[tokio::test]
async fn a_conflict_is_tried_again_a_bounded_number_of_times() {
    for route in ROUTES {
        let calls = calls_of(route).await;
        let Some(write) = calls.iter().position(Call::is_write) else {
            continue;
        };
        let house = House::at(route).await;
        let told = house.ask(route, Plan::once(Fault::Conflict, write)).await;
        assert!(is(&told, route.when_well()), "{route:?} {told:?}");

        let house = House::at(route).await;
        let records = house.count(RECEIPTS);
        let told = house
            .ask(route, Plan::from_then_on(Fault::Conflict, write))
            .await;
        let writes = house.calls().iter().filter(|call| call.is_write()).count();
        if route.is_note(write, &calls[write]) {
            // The next touch will do, and the next contact.
            assert!(is(&told, route.when_well()), "{told:?}");
            assert_eq!(writes, if route == Route::Touch { 1 } else { 5 });
        } else {
            assert!(is_unavailable(&told), "{route:?} {told:?}");
            assert_eq!(writes, 5, "{route:?}");
        }
        assert_eq!(house.count(RECEIPTS), records, "{route:?}");
    }
}

#[tokio::test]
async fn what_a_batch_left_out_is_asked_again_a_bounded_number_of_times() {
    for route in ROUTES {
        let calls = calls_of(route).await;
        let Some(batch) = calls
            .iter()
            .position(|call| call.operation == "BatchGetItem")
        else {
            continue;
        };
        let house = House::at(route).await;
        let told = house
            .ask(route, Plan::once(Fault::Unprocessed, batch))
            .await;
        assert!(is(&told, route.when_well()), "{route:?} {told:?}");
        assert_eq!(house.calls().len(), calls.len() + 1, "{route:?}");

        let house = House::at(route).await;
        let told = house
            .ask(route, Plan::from_then_on(Fault::Unprocessed, batch))
            .await;
        assert!(is_unavailable(&told), "{route:?} {told:?}");
        assert_eq!(house.calls().len(), batch + 5, "{route:?}");
    }
}

#[tokio::test]
async fn a_table_that_never_answers_is_given_up() {
    let impatient: Setting = |config| {
        let attempt = Duration::from_millis(20);
        let timeouts = TimeoutConfig::builder().operation_attempt_timeout(attempt);
        config.timeout_config(timeouts.build())
    };
    for route in ROUTES {
        let house = House::at_with(route, impatient).await;
        let told = house.ask(route, Plan::from_then_on(Fault::Silent, 0)).await;
        assert!(is_unavailable(&told), "{route:?} {told:?}");
        let again = house.ask(route, None).await;
        assert!(is(&again, route.when_well()), "{route:?} {again:?}");
    }
}

#[tokio::test]
async fn a_write_that_the_sdk_makes_again_is_made_once() {
    let patient: Setting = |config| {
        let retries = RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
        config.retry_config(retries)
    };
    for route in ROUTES {
        let calls = calls_of(route).await;
        let Some(write) = calls.iter().position(Call::is_write) else {
            continue;
        };
        let well = House::at_with(route, patient).await;
        well.ask(route, None).await;
        let house = House::at_with(route, patient).await;
        let told = house.ask(route, Plan::once(Fault::ErrorAfter, write)).await;

        assert!(is(&told, route.when_well()), "{route:?} {told:?}");
        assert_eq!(house.count(RECEIPTS), well.count(RECEIPTS), "{route:?}");
        assert_eq!(house.count(ACCOUNTS), well.count(ACCOUNTS), "{route:?}");
        // A first sign-in that was not heard of is not put again: that device is
        // another row, and nobody has its token.
        let unheard = usize::from(route == Route::Login);
        assert_eq!(
            house.count(DEVICES),
            well.count(DEVICES) + unheard,
            "{route:?}"
        );
    }
}
