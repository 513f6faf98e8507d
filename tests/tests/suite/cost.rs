//! Calls and units of each operation, compared with `infra/bench/operations.toml`.

mod background;
mod growth;
mod requests;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use curfew_tests::account::{EMAIL, PASSWORD, noon};
use curfew_tests::app::TestApp;
use curfew_tests::bundle::{Bundle, json_of};
use curfew_tests::cost::{Cost, Meter};
use curfew_tests::delivery;
use curfew_tests::fake_aws::FakeAws;
use curfew_tests::races::operations::{Outcome, check};
use curfew_tests::wire::{self, Call, CallResult};
use domain::{DeviceId, DeviceKey, SignOutId, Token};
use http_api::Reply;
use jiff::SignedDuration;
use runtime::Clients;
use serde::Deserialize;

const OTHER_PASSWORD: &str = "nine lanterns drift past the harbour";

/// The functions over tables that report what each call used.
struct Metered {
    meter: Meter,
    aws: Arc<FakeAws>,
    clients: Clients,
    app: TestApp,
    published: Arc<AtomicUsize>,
}

impl Metered {
    /// Without an account.
    fn new() -> Self {
        let (aws, meter) = (FakeAws::new(), Meter::default());
        let published = Arc::<AtomicUsize>::default();
        let (to, used, events) = (aws.clone(), meter.clone(), published.clone());
        let clients = wire::clients(move |call: Call| match call.operation.as_str() {
            "PublishBatch" => {
                used.count(&call.operation);
                let batch = delivery::batch(&call.body);
                events.fetch_add(batch.len(), Ordering::SeqCst);
                let taken: Vec<_> = batch.into_iter().map(|(id, _)| (id, None)).collect();
                CallResult::Answered(delivery::batch_answer(&taken))
            }
            "PostToConnection" | "DeleteConnection" | "SendMessage" => {
                used.count(&call.operation);
                CallResult::Answered(to.make(&call))
            }
            table => {
                let answer = used.answer(&to.engine, table, &call.body);
                assert!(answer.is_success(), "{}", answer.body);
                CallResult::Answered(answer)
            }
        });
        let app = TestApp::over(&aws, &clients, noon());
        Self {
            meter,
            aws,
            clients,
            app,
            published,
        }
    }

    async fn with_account() -> Self {
        let metered = Self::new();
        let registered = metered.bundle().register(EMAIL, PASSWORD).await;
        assert_eq!(registered.status_code, 202);
        metered
    }

    fn bundle(&self) -> &Bundle {
        &self.app.bundle
    }

    /// Signs a device in and lets a second pass. Returns its token and device key.
    async fn device(&self) -> (String, String) {
        let reply = self.bundle().log_in(EMAIL, PASSWORD, None).await;
        self.app.clock.advance(SignedDuration::from_secs(1));
        let body = json_of(&reply);
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        (text("token"), text("device_key"))
    }

    /// What a request used, which must succeed.
    async fn cost(&self, request: impl Future<Output = Reply>) -> Cost {
        let (cost, reply) = self.used(request).await;
        let is_success = [200, 202].contains(&reply.status_code);
        assert!(is_success, "{:?}", reply.body);
        cost
    }

    /// What a request used, which must be answered 401.
    async fn refused(&self, request: impl Future<Output = Reply>) -> Cost {
        let (cost, reply) = self.used(request).await;
        assert_eq!(reply.status_code, 401, "{:?}", reply.body);
        cost
    }

    /// What an operation used, and its result.
    fn used<'a, T>(
        &'a self,
        operation: impl Future<Output = T> + 'a,
    ) -> Pin<Box<dyn Future<Output = (Cost, T)> + 'a>> {
        let operation = Box::pin(operation);
        Box::pin(async move {
            let _before = self.meter.take();
            let result = operation.await;
            (self.meter.take(), result)
        })
    }

    /// What a check by the authorizer used.
    async fn checked(&self, token: &str, is_let_in: bool) -> Cost {
        let (cost, outcome) = self.used(check(self.bundle(), token)).await;
        assert_eq!(outcome == Outcome::Passed, is_let_in, "{outcome:?}");
        cost
    }
}

fn sign_out_of(reply: &Reply) -> SignOutId {
    let body = json_of(reply);
    body["sign_out"]["id"].as_str().unwrap().parse().unwrap()
}

fn device_of(token: &str) -> DeviceId {
    Token::parse(token).unwrap().device()
}

/// `infra/bench/operations.toml`.
#[derive(Deserialize)]
struct Published {
    measured: Vec<Measured>,
    receipts: Vec<growth::Receipt>,
}

#[derive(Deserialize)]
struct Measured {
    key: String,
    #[serde(flatten)]
    cost: Cost,
}

impl Published {
    fn read() -> Self {
        let file = curfew::root().join("infra/bench/operations.toml");
        toml::from_str(&fs::read_to_string(file).unwrap()).unwrap()
    }
}

/// An operation by its key in `operations.toml`, with what it used.
type Named = (&'static str, Cost);

#[tokio::test]
async fn every_operation_costs_what_is_published() {
    let mut found = Box::pin(requests::measure()).await;
    found.extend(Box::pin(requests::of_ended_sessions()).await);
    found.extend(Box::pin(background::of_sockets()).await);
    found.extend(Box::pin(background::of_pushes()).await);
    for (name, scope) in [("sweep-global", "global"), ("sweep-others", "others")] {
        found.push((name, Box::pin(background::of_sweep(scope)).await));
    }
    let published = Published::read().measured.into_iter();
    let mut published: BTreeMap<_, _> = published.map(|it| (it.key, it.cost)).collect();
    let mut drift = String::new();
    for (name, mut cost) in found {
        cost.calls = cost.counted_calls();
        if published.remove(name).as_ref() != Some(&cost) {
            writeln!(drift, "\n{name}\n{}", lines(&cost)).unwrap();
        }
    }
    assert!(
        drift.is_empty(),
        "infra/bench/operations.toml should have:\n{drift}"
    );
    let unmeasured: Vec<_> = published.keys().collect();
    assert!(unmeasured.is_empty(), "{unmeasured:?}");
}

/// The cost as `operations.toml` has it.
fn lines(cost: &Cost) -> String {
    let mut lines = format!("calls = {:?}", cost.calls);
    for (name, units) in [("reads", &cost.reads), ("writes", &cost.writes)] {
        let units: Vec<_> = units
            .iter()
            .map(|(of, it)| format!("{of} = {it}"))
            .collect();
        if !units.is_empty() {
            write!(lines, "\n{name} = {{ {} }}", units.join(", ")).unwrap();
        }
    }
    lines
}

#[tokio::test]
async fn a_check_is_one_round_trip_of_two_rows() {
    let m = Metered::with_account().await;
    let (token, _) = m.device().await;

    let cost = m.cost(m.bundle().who_am_i(&token)).await;

    let unit = |table: &str| (table.to_owned(), 1.0);
    let check = Cost {
        calls: vec!["BatchGetItem".to_owned()],
        reads: BTreeMap::from([unit("Accounts"), unit("Devices")]),
        writes: BTreeMap::new(),
    };
    assert_eq!(cost, check);
    assert_eq!(m.checked(&token, true).await, check, "the authorizer");
    let introspection = m.cost(m.bundle().introspect(&token)).await;
    assert_eq!(introspection, check, "introspection");
}

#[tokio::test]
async fn a_first_sign_in_with_a_key_of_the_device_reads_one_row_more() {
    let m = Metered::with_account().await;
    let mut expected = m.cost(m.bundle().log_in(EMAIL, PASSWORD, None)).await;
    let key = DeviceKey::new(m.app.clock.now(), runtime::random()).to_text();

    let with = m.cost(m.bundle().log_in(EMAIL, PASSWORD, Some(&key))).await;

    expected.reads.insert("Devices".to_owned(), 1.0);
    assert_eq!(with, expected);
}
