//! Nobody learns whether an address has an account: what is answered alike costs
//! the same calls to the tables, too. (That a hash is verified in every case is
//! the password's own rule, tried in `domain`.)

use std::mem::take;
use std::sync::{Arc, Mutex};

use curfew_tests::bundle::{Bundle, json_of};
use curfew_tests::engine::Engine;
use curfew_tests::wire::{self, Call, Fate};
use domain::{SignOut, Token};
use http_api::Reply;
use runtime::{Clock, lock};
use serde_json::Value;

const EMAIL: &str = "lea@example.com";
const PASSWORD: &str = "quiet otter borrows nine lanterns";
const WRONG: &str = "nine lanterns drift past the harbour";
const UNKNOWN: &str = "kim@example.com";

/// The functions over an engine, and what they have asked of it.
struct Watched {
    bundle: Bundle,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Watched {
    async fn with_account() -> Self {
        let (engine, asked) = (Engine::new(), Arc::<Mutex<Vec<String>>>::default());
        let seen = asked.clone();
        let clients = wire::clients(move |call: Call| {
            lock(&seen).push(shape(&call));
            Fate::Answered(engine.answer(&call.operation, &call.body))
        });
        let clock = Clock::fixed("2026-11-20T12:00:00Z".parse().unwrap());
        let watched = Self {
            bundle: Bundle::new(clients.dynamodb(), clock),
            asked,
        };
        let (reply, _) = watched.register(EMAIL).await;
        assert_eq!(reply.status_code, 202);
        watched
    }

    async fn register(&self, email: &str) -> (Reply, Vec<String>) {
        take(&mut *lock(&self.asked));
        let reply = self.bundle.register(email, PASSWORD).await;
        (reply, take(&mut *lock(&self.asked)))
    }

    async fn log_in(&self, email: &str, password: &str, key: Option<&str>) -> Seen {
        take(&mut *lock(&self.asked));
        let reply = self.bundle.log_in(email, password, key).await;
        Seen {
            status: reply.status_code,
            headers: format!("{:?}", reply.headers),
            body: json_of(&reply),
            asked: take(&mut *lock(&self.asked)),
        }
    }
}

/// All that somebody who guesses could see of a sign-in, but for its time.
#[derive(Debug, PartialEq)]
struct Seen {
    status: i64,
    headers: String,
    body: Value,
    asked: Vec<String>,
}

/// What a call asks, without the names of rows: its operation, its tables, and how
/// many rows it is about.
fn shape(call: &Call) -> String {
    let body: Value = serde_json::from_str(&call.body).unwrap();
    let about = match body["RequestItems"].as_object() {
        Some(tables) => tables
            .iter()
            .map(|(table, asked)| {
                let keys = asked["Keys"].as_array().map_or(0, Vec::len);
                format!("{table} {keys}")
            })
            .collect::<Vec<_>>()
            .join(", "),
        None => body["TableName"].as_str().unwrap_or_default().to_owned(),
    };
    format!("{} {about}", call.operation)
}

#[tokio::test]
async fn an_unknown_address_is_asked_for_as_a_wrong_password_is() {
    let watched = Watched::with_account().await;

    let wrong = watched.log_in(EMAIL, WRONG, None).await;
    let unknown = watched.log_in(UNKNOWN, WRONG, None).await;

    assert_eq!(wrong.status, 401);
    assert_eq!(unknown, wrong);
}

#[tokio::test]
async fn a_device_key_makes_no_difference_to_that() {
    let watched = Watched::with_account().await;
    let signed_in = watched.log_in(EMAIL, PASSWORD, None).await;
    let key = signed_in.body["device_key"].as_str();

    let wrong = watched.log_in(EMAIL, WRONG, key).await;
    let unknown = watched.log_in(UNKNOWN, WRONG, key).await;

    assert_eq!(wrong.status, 401);
    assert_eq!(unknown, wrong);
}

#[tokio::test]
async fn a_disabled_account_is_asked_for_as_a_wrong_password_is() {
    let watched = Watched::with_account().await;
    let signed_in = watched.log_in(EMAIL, PASSWORD, None).await;
    let token = Token::parse(signed_in.body["token"].as_str().unwrap()).unwrap();
    disable(&watched.bundle, &token).await;

    let disabled = watched.log_in(EMAIL, PASSWORD, None).await;
    let wrong = watched.log_in(EMAIL, WRONG, None).await;
    let unknown = watched.log_in(UNKNOWN, PASSWORD, None).await;

    assert_eq!(disabled.status, 401);
    assert_eq!(wrong, disabled);
    assert_eq!(unknown, disabled);
}

async fn disable(bundle: &Bundle, token: &Token) {
    let now = bundle.clock.now();
    let account = bundle.store.rows(token.account(), &[]).await.unwrap();
    let account = account.account.unwrap();
    let sign_out = SignOut::of_disabled(&account, now, runtime::random());
    let act = bundle.store.disable(&account, &sign_out, &bundle.limits);
    assert_eq!(act.await.unwrap(), store::WriteOutcome::Done);
}

#[tokio::test]
async fn a_taken_address_is_put_as_a_free_one_is() {
    let watched = Watched::with_account().await;

    let (taken, asked_taken) = watched.register(EMAIL).await;
    let (free, asked_free) = watched.register(UNKNOWN).await;

    assert_eq!(json_of(&taken), json_of(&free));
    assert_eq!(taken.status_code, free.status_code);
    assert_eq!(taken.headers, free.headers);
    assert_eq!(asked_taken, asked_free);
    assert_eq!(asked_taken.len(), 1);
}
