//! What each operation costs: its calls to the tables, and the capacity that the
//! tables say it used. The same numbers stand in `infra/docs/performance/cost.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::pin::Pin;

use curfew_tests::bundle::{Bundle, json_of};
use curfew_tests::cost::{Cost, Meter};
use curfew_tests::engine::Engine;
use curfew_tests::many::{add_devices, signed_in};
use curfew_tests::races::operations::{Outcome, check};
use curfew_tests::wire::{self, Call, Fate};
use domain::account::Epoch;
use domain::sign_out::first_to_end;
use domain::{DeviceId, SignOutId, Token};
use http_api::Reply;
use jiff::SignedDuration;
use runtime::Clock;
use serde_json::json;

const EMAIL: &str = "lea@example.com";
const PASSWORD: &str = "quiet otter borrows nine lanterns";
const OTHER_PASSWORD: &str = "nine lanterns drift past the harbour";

/// The functions over an engine that tells what each call used.
struct Metered {
    bundle: Bundle,
    engine: Engine,
    meter: Meter,
}

impl Metered {
    fn new() -> Self {
        let (engine, meter) = (Engine::new(), Meter::default());
        let (tables, used) = (engine.clone(), meter.clone());
        let clients = wire::clients(move |call: Call| {
            let answer = used.answer(&tables, &call.operation, &call.body);
            assert!(answer.is_success(), "{}", answer.body);
            Fate::Answered(answer)
        });
        let clock = Clock::fixed("2026-11-20T12:00:00Z".parse().unwrap());
        Self {
            bundle: Bundle::new(clients.dynamodb(), clock),
            engine,
            meter,
        }
    }

    async fn with_account() -> Self {
        let metered = Self::new();
        let registered = metered.bundle.register(EMAIL, PASSWORD).await;
        assert_eq!(registered.status_code, 202);
        metered
    }

    /// Signs a device in. A second later it is done.
    async fn device(&self) -> (String, String) {
        let reply = self.bundle.log_in(EMAIL, PASSWORD, None).await;
        self.bundle.clock.advance(SignedDuration::from_secs(1));
        let body = json_of(&reply);
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        (text("token"), text("device_key"))
    }

    /// What an operation used that did what it was asked.
    fn cost<'a>(
        &'a self,
        operation: impl Future<Output = Reply> + 'a,
    ) -> Pin<Box<dyn Future<Output = Cost> + 'a>> {
        self.cost_of(&[200, 202], operation)
    }

    /// What an operation used that was refused.
    fn refused<'a>(
        &'a self,
        operation: impl Future<Output = Reply> + 'a,
    ) -> Pin<Box<dyn Future<Output = Cost> + 'a>> {
        self.cost_of(&[401], operation)
    }

    fn cost_of<'a>(
        &'a self,
        statuses: &'a [i64],
        operation: impl Future<Output = Reply> + 'a,
    ) -> Pin<Box<dyn Future<Output = Cost> + 'a>> {
        let operation = Box::pin(operation);
        Box::pin(async move {
            let _before = self.meter.take();
            let reply = operation.await;
            let is_wanted = statuses.contains(&reply.status_code);
            assert!(is_wanted, "{:?}", reply.body);
            self.meter.take()
        })
    }

    /// What a check of the authorizer used.
    async fn checked(&self, token: &str, is_let_in: bool) -> Cost {
        let _before = self.meter.take();
        let told = check(&self.bundle, token).await;
        assert_eq!(told == Outcome::Passed, is_let_in, "{told:?}");
        self.meter.take()
    }
}

fn sign_out_of(reply: &Reply) -> SignOutId {
    let body = json_of(reply);
    body["sign_out"]["id"].as_str().unwrap().parse().unwrap()
}

fn device_of(token: &str) -> DeviceId {
    Token::parse(token).unwrap().device()
}

/// Every operation on an account of three devices, with what it costs.
async fn measured() -> Vec<(&'static str, Cost)> {
    let mut costs = Vec::new();
    let m = Metered::new();
    costs.push(("register", m.cost(m.bundle.register(EMAIL, PASSWORD)).await));
    let sign_in = m.bundle.log_in(EMAIL, PASSWORD, None);
    costs.push(("sign in, a new device", m.cost(sign_in).await));
    let (laptop, laptop_key) = m.device().await;
    let (tv, _) = m.device().await;
    costs.push(("check", m.cost(m.bundle.who_am_i(&laptop)).await));
    m.bundle.clock.advance(SignedDuration::from_mins(5));
    let touch = m.bundle.who_am_i(&laptop);
    costs.push(("check, when a touch is due", m.cost(touch).await));
    costs.push(("list, three devices", m.cost(m.bundle.list(&laptop)).await));
    let one = m.bundle.sign_out_device(&laptop, device_of(&tv));
    costs.push(("sign out one", m.cost(one).await));
    let reply = m.bundle.log_in(EMAIL, PASSWORD, Some(&laptop_key)).await;
    let key = json_of(&reply)["device_key"].as_str().unwrap().to_owned();
    let again = m.bundle.log_in(EMAIL, PASSWORD, Some(&key));
    costs.push(("sign in, the same device", m.cost(again).await));

    let m = Metered::with_account().await;
    let (laptop, _) = m.device().await;
    let (tv, _) = m.device().await;
    costs.push(("sign out this", m.cost(m.bundle.sign_out_this(&tv)).await));
    let others = m.bundle.sign_out_all(&laptop, "others");
    costs.push(("sign out others", m.cost(others).await));
    let change = m
        .bundle
        .change_password(&laptop, PASSWORD, OTHER_PASSWORD, true);
    costs.push(("change the password, keeping", m.cost(change).await));
    let global = m.bundle.sign_out_all(&laptop, "global");
    costs.push(("sign out global", m.cost(global).await));

    let m = Metered::with_account().await;
    let (laptop, _) = m.device().await;
    let change = m
        .bundle
        .change_password(&laptop, PASSWORD, OTHER_PASSWORD, false);
    costs.push(("change the password", m.cost(change).await));
    costs.extend(Box::pin(of_the_ended()).await);
    costs.sort_by_key(|(name, _)| ORDER.iter().position(|it| it == name));
    costs
}

/// What an ended session asks for, and what its owner asks of it, on an account of
/// three devices.
async fn of_the_ended() -> Vec<(&'static str, Cost)> {
    let mut costs = Vec::new();
    let m = Metered::with_account().await;
    let (laptop, _) = m.device().await;
    let (tv, _) = m.device().await;
    let (phone, phone_key) = m.device().await;
    costs.push(("authorizer", m.checked(&laptop, true).await));
    let live = m.cost(m.bundle.introspect(&laptop)).await;
    costs.push(("introspect", live));

    let one = m.bundle.sign_out_device(&laptop, device_of(&tv)).await;
    let first = m.refused(m.bundle.who_am_i(&tv)).await;
    costs.push(("refused for the first time", first));
    let later = m.refused(m.bundle.who_am_i(&tv)).await;
    costs.push(("refused later", later));
    let of_one = m.cost(m.bundle.receipt(&laptop, sign_out_of(&one))).await;
    costs.push(("receipt, one device", of_one));

    let many = m.bundle.sign_out_all(&laptop, "others").await;
    let many = sign_out_of(&many);
    let acknowledged = m.cost(m.bundle.acknowledge(&phone, many)).await;
    costs.push(("acknowledge, not marked yet", acknowledged));
    let again = m.cost(m.bundle.acknowledge(&phone, many)).await;
    costs.push(("acknowledge again", again));
    let first = m.refused(m.bundle.who_am_i(&phone)).await;
    costs.push(("refused for the first time, not marked yet", first));
    let later = m.refused(m.bundle.who_am_i(&phone)).await;
    costs.push(("refused later, not marked yet", later));
    let passer_by = m.checked(&phone, false).await;
    costs.push(("authorizer, refused later", passer_by));
    let inactive = m.cost(m.bundle.introspect(&phone)).await;
    costs.push(("introspect, refused later", inactive));
    let back = m.bundle.log_in(EMAIL, PASSWORD, Some(&phone_key));
    costs.push((
        "sign in, the same device, not marked yet",
        m.cost(back).await,
    ));

    let m = Metered::with_account().await;
    let (laptop, _) = m.device().await;
    let (tv, _) = m.device().await;
    let one = m.bundle.sign_out_device(&laptop, device_of(&tv)).await;
    let acknowledged = m.cost(m.bundle.acknowledge(&tv, sign_out_of(&one)));
    costs.push(("acknowledge", acknowledged.await));
    costs
}

const ORDER: [&str; 25] = [
    "check",
    "check, when a touch is due",
    "authorizer",
    "introspect",
    "sign in, a new device",
    "sign in, the same device",
    "sign in, the same device, not marked yet",
    "list, three devices",
    "sign out this",
    "sign out one",
    "sign out others",
    "sign out global",
    "change the password, keeping",
    "change the password",
    "register",
    "refused for the first time",
    "refused later",
    "refused for the first time, not marked yet",
    "refused later, not marked yet",
    "authorizer, refused later",
    "introspect, refused later",
    "receipt, one device",
    "acknowledge",
    "acknowledge, not marked yet",
    "acknowledge again",
];

fn table(costs: &[(&str, Cost)]) -> String {
    let mut table = "| operation | calls to the tables | read units | write units |\n\
                     | --- | --- | --- | --- |\n"
        .to_owned();
    for (name, cost) in costs {
        let calls: Vec<String> = cost.calls.iter().map(|call| format!("`{call}`")).collect();
        let calls = calls.join(", ");
        writeln!(
            table,
            "| {name} | {calls} | {} | {} |",
            cost.reads, cost.writes
        )
        .unwrap();
    }
    table
}

#[tokio::test]
async fn every_operation_costs_what_the_page_says() {
    let table = table(&Box::pin(measured()).await);
    println!("{table}");

    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/docs/performance/cost.md");
    let page = fs::read_to_string(page).unwrap();
    assert!(
        page.contains(&table),
        "infra/docs/performance/cost.md should have\n{table}"
    );
}

#[tokio::test]
async fn a_check_is_one_round_trip_of_two_rows() {
    let m = Metered::with_account().await;
    let (token, _) = m.device().await;

    let cost = m.cost(m.bundle.who_am_i(&token)).await;

    let check = Cost::of(&["BatchGetItem"], 2.0, 0.0);
    assert_eq!(cost, check);
    assert_eq!(m.checked(&token, true).await, check, "the authorizer");
    assert_eq!(
        m.cost(m.bundle.introspect(&token)).await,
        check,
        "introspection"
    );
}

/// An account with so many devices, the caller among them, its token, and those of
/// the others.
async fn crowd(devices: usize) -> (Metered, String, Vec<String>) {
    let m = Metered::with_account().await;
    let (caller, _) = m.device().await;
    let (store, token) = (&m.bundle.store, Token::parse(&caller).unwrap());
    let rows = store.rows(token.account(), &[token.device()]).await;
    let like = &rows.unwrap().devices[0];
    let others = add_devices(&m.engine, like, devices - 1, m.bundle.clock.now());
    m.bundle.clock.advance(SignedDuration::from_secs(1));
    let tokens = others.iter().map(|token| token.to_text().to_string());
    (m, caller, tokens.collect())
}

/// How many sessions of the account the rule lets in.
async fn valid(m: &Metered, caller: &str) -> usize {
    let account = Token::parse(caller).unwrap().account();
    let (bundle, now) = (&m.bundle, m.bundle.clock.now());
    signed_in(&bundle.store, account, &bundle.limits, now)
        .await
        .len()
}

#[tokio::test]
async fn signing_all_out_costs_the_same_at_any_number_of_devices_and_is_complete() {
    for scope in ["others", "global"] {
        let mut costs = Vec::new();
        for devices in [1, 100, 10_000] {
            let (m, caller, tokens) = crowd(devices).await;
            assert_eq!(valid(&m, &caller).await, devices);

            costs.push(m.cost(m.bundle.sign_out_all(&caller, scope)).await);

            let lives_on = usize::from(scope == "others");
            assert_eq!(valid(&m, &caller).await, lives_on);
            for token in tokens.iter().step_by(tokens.len() / 20 + 1) {
                let told = check(&m.bundle, token).await;
                assert!(
                    matches!(told, Outcome::Refused { status: 403, .. }),
                    "{told:?}"
                );
            }
            let told = check(&m.bundle, &caller).await;
            assert_eq!(told == Outcome::Passed, scope == "others");
        }
        let calls = ["BatchGetItem", "TransactWriteItems"];
        assert_eq!(costs[0], costs[1], "{scope}");
        assert_eq!(costs[1], costs[2], "{scope}");
        assert_eq!(costs[0].calls, calls, "{scope}");
    }
}

/// Marks every device that a sign-out has ended, as the sweep does.
async fn swept(m: &Metered, caller: &str, sign_out: SignOutId) {
    let account = Token::parse(caller).unwrap().account();
    let store = &m.bundle.store;
    let sign_outs = store.sign_outs_since(account, Epoch::FIRST).await.unwrap();
    let mut after = None;
    loop {
        let page = store.devices(account, after, 1_000).await.unwrap();
        for device in &page.devices {
            let Some(first) = first_to_end(&sign_outs, device.session, device.epoch) else {
                continue;
            };
            assert_eq!(first.id, sign_out);
            store.sweep(device, first, &m.bundle.limits).await.unwrap();
        }
        after = page.next;
        if after.is_none() {
            return;
        }
    }
}

/// What the receipt of a sign-out of so many devices costs, before the sweep has
/// marked them and after.
async fn receipt_of(scope: &str, devices: usize) -> [Cost; 2] {
    // The caller is one of them, or beside them.
    let beside = usize::from(scope != "global");
    let (m, caller, tokens) = crowd(devices + beside).await;
    let ended = if scope == "device" {
        m.bundle
            .sign_out_device(&caller, device_of(&tokens[0]))
            .await
    } else {
        m.bundle.sign_out_all(&caller, scope).await
    };
    let id = sign_out_of(&ended);
    let reader = if scope == "global" {
        m.device().await.0
    } else {
        caller
    };
    let listed = if scope == "device" { 1 } else { devices };
    let count = json_of(&m.bundle.receipt(&reader, id).await);
    assert_eq!(count["sign_out"]["total"]["devices"], json!(listed));
    let before = m.cost(m.bundle.receipt(&reader, id)).await;
    if scope != "device" {
        swept(&m, &reader, id).await;
    }
    [before, m.cost(m.bundle.receipt(&reader, id)).await]
}

/// The devices of an account, and how each kind of receipt costs then.
fn growth(costs: &[(&str, usize, [Cost; 2])]) -> String {
    let mut table = "| receipt | devices | calls to the tables | read units | calls, swept | read units, swept |\n\
                     | --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for (scope, devices, [before, after]) in costs {
        writeln!(
            table,
            "| {scope} | {devices} | {} | {} | {} | {} |",
            before.calls.len(),
            before.reads,
            after.calls.len(),
            after.reads
        )
        .unwrap();
    }
    table
}

#[tokio::test]
async fn a_receipt_costs_what_the_page_says_and_grows_with_its_devices() {
    let mut costs = Vec::new();
    for scope in ["device", "others", "global"] {
        for devices in [1, 100, 1_000] {
            costs.push((scope, devices, Box::pin(receipt_of(scope, devices)).await));
        }
    }
    let table = growth(&costs);
    println!("{table}");

    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/docs/performance/cost.md");
    let page = fs::read_to_string(page).unwrap();
    assert!(
        page.contains(&table),
        "infra/docs/performance/cost.md should have\n{table}"
    );
}
