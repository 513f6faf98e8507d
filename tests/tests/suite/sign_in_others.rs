//! Signing in and signing everything else out, in one transaction that nothing outruns.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::thread;

use curfew_tests::account::{EMAIL, OTHER_PASSWORD, PASSWORD, TestDevice, disable, noon};
use curfew_tests::app::TestApp;
use curfew_tests::bundle::{Bundle, event, json_of, problem_of};
use curfew_tests::fake_aws::FakeAws;
use curfew_tests::races::clauses::{self, Clause};
use curfew_tests::tables::ACCOUNTS;
use curfew_tests::wire::{self, Call, CallResult};
use domain::DeviceState;
use http_api::Reply;
use jiff::SignedDuration;
use runtime::{Clock, lock};
use serde_json::json;

/// What somebody else does just before the owner's transaction.
type Meanwhile = Arc<dyn Fn(Bundle) -> Pin<Box<dyn Future<Output = ()>>> + Send + Sync>;

/// The product, with somebody else who acts before each of the owner's transactions.
struct Race {
    /// Over clients that others outrun.
    owner: TestApp,
    /// Over clients of its own.
    other: Bundle,
    meanwhile: Arc<Mutex<Option<Meanwhile>>>,
    met: Arc<Mutex<BTreeSet<Clause>>>,
}

fn bundle_over(aws: &Arc<FakeAws>, clock: &Clock) -> Bundle {
    let aws = aws.clone();
    let clients = wire::clients(move |call: Call| CallResult::Answered(aws.make(&call)));
    Bundle::new(clients.dynamodb(), clock.clone())
}

impl Race {
    async fn new(knocked_out: Option<Clause>) -> Self {
        let (aws, clock) = (FakeAws::new(), noon());
        let meanwhile = Arc::<Mutex<Option<Meanwhile>>>::default();
        let met = Arc::<Mutex<BTreeSet<Clause>>>::default();
        let (acts, note) = (meanwhile.clone(), met.clone());
        let (to, at) = (aws.clone(), clock.clone());
        let clients = wire::clients(move |call: Call| {
            let mut call = call;
            if call.operation == "TransactWriteItems"
                && let Some(act) = lock(&acts).clone()
            {
                lock(&note).extend(clauses::clauses("sign in", &call));
                run(act, bundle_over(&to, &at));
                call = clauses::weakened(call, knocked_out.as_ref());
            }
            CallResult::Answered(to.make(&call))
        });
        let other = bundle_over(&aws, &clock);
        other.register(EMAIL, PASSWORD).await;
        Self {
            owner: TestApp::over(&aws, &clients, clock),
            other,
            meanwhile,
            met,
        }
    }

    /// Signs a device in by another client.
    async fn device(&self) -> TestDevice {
        self.owner.advance(SignedDuration::from_secs(1));
        TestDevice::of(&self.other.log_in(EMAIL, PASSWORD, None).await)
    }

    /// Signs the owner in and everything else out, while the other one acts.
    async fn end_others(&self, meanwhile: Meanwhile) -> Reply {
        *lock(&self.meanwhile) = Some(meanwhile);
        let reply = end_others(&self.owner.bundle).await;
        *lock(&self.meanwhile) = None;
        reply
    }

    async fn is_signed_in(&self, device: &TestDevice) -> bool {
        self.other.who_am_i(&device.token).await.status_code == 200
    }
}

/// Runs an act to its end, while the caller waits.
fn run(act: Meanwhile, bundle: Bundle) {
    let acting = thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(act(bundle));
    });
    acting.join().unwrap();
}

async fn end_others(bundle: &Bundle) -> Reply {
    let body = json!({ "email": EMAIL, "password": PASSWORD, "sign_out": "others" });
    bundle
        .send(event("POST", "/v1/login", None, Some(&body)))
        .await
}

/// Signs out all other devices by a stolen token.
fn others(thief: &TestDevice) -> Meanwhile {
    let token = thief.token.clone();
    Arc::new(move |bundle| {
        let token = token.clone();
        Box::pin(async move {
            let reply = bundle.sign_out_scope(&token, "others").await;
            assert_eq!(reply.status_code, 200);
        })
    })
}

#[tokio::test]
async fn the_owner_wins_a_hundred_of_a_hundred_against_a_thief_who_repeats_others() {
    let race = Race::new(None).await;
    for _ in 0..100 {
        let thief = race.device().await;
        let owner = race.end_others(others(&thief)).await;
        let owner = TestDevice::of(&owner);
        assert!(race.is_signed_in(&owner).await);
        assert!(!race.is_signed_in(&thief).await);
        let again = race.other.sign_out_scope(&thief.token, "others").await;
        assert_eq!(problem_of(&again), (401, "session-signed-out".to_owned()));
    }
}

#[tokio::test]
async fn every_device_that_it_ended_is_told_by_whom_and_is_in_the_receipt_before_and_after_the_sweep()
 {
    let race = Race::new(None).await;
    let (thief, tv) = (race.device().await, race.device().await);
    // The thief's first act ends the television; the owner's, what is left.
    let reply = race.end_others(others(&thief)).await;
    let (owner, body) = (TestDevice::of(&reply), json_of(&reply));
    let id = body["sign_out"].as_str().unwrap();

    let refused = json_of(&race.other.who_am_i(&thief.token).await);
    assert_eq!(refused["sign_out"], id);
    assert_eq!(refused["signed_out_by"]["id"], owner.id.to_string());
    let other_end = json_of(&race.other.who_am_i(&tv.token).await);
    assert_ne!(other_end["sign_out"], id);

    let devices = async || {
        let answer = json_of(&race.other.receipt(&owner.token, id).await);
        let receipt = &answer["sign_out"];
        let first = receipt["devices"][0]["id"].clone();
        (receipt["total"]["devices"].clone(), first)
    };
    let thief_alone = (json!(1), json!(thief.id.to_string()));
    assert_eq!(devices().await, thief_alone);
    let event = race
        .owner
        .event_of(thief.account, id.parse().unwrap())
        .await;
    race.owner.sweep(&event).await;
    let row = race.owner.row(&thief).await;
    assert!(matches!(row.state, DeviceState::SignedOut(end) if end.sign_out.to_string() == id));
    assert_eq!(race.owner.row(&tv).await.state, DeviceState::SignedIn);
    assert_eq!(devices().await, thief_alone);
}

#[tokio::test]
async fn it_replaces_the_session_of_its_own_device_and_needs_the_password() {
    let (app, [device, tv]) = TestApp::with_devices().await;
    let mut body = json!({
        "email": EMAIL, "password": OTHER_PASSWORD, "device_key": device.key, "sign_out": "others",
    });
    let send = async |body: &serde_json::Value| {
        app.bundle
            .send(event("POST", "/v1/login", None, Some(body)))
            .await
    };
    assert_eq!(send(&body).await.status_code, 401);
    assert_eq!(app.bundle.who_am_i(&tv.token).await.status_code, 200);
    body["password"] = PASSWORD.into();
    let again = TestDevice::of(&send(&body).await);
    assert_eq!(again.id, device.id);
    for (token, status) in [(&again.token, 200), (&device.token, 401), (&tv.token, 401)] {
        assert_eq!(app.bundle.who_am_i(token).await.status_code, status);
    }
    // The next sign-out of all finds its record, too.
    app.sign_out_scope(&again, "global").await;
    let refused = app.bundle.who_am_i(&again.token).await;
    assert_eq!(problem_of(&refused), (401, "session-signed-out".to_owned()));
    body["sign_out"] = "all".into();
    assert_eq!(
        problem_of(&send(&body).await),
        (400, "request-invalid".to_owned())
    );
}

/// Returns whether the rule holds that a clause of the account's row is for.
async fn keeps_the_rule(text: &str, knocked_out: Option<Clause>) -> (bool, BTreeSet<Clause>) {
    let race = Race::new(knocked_out).await;
    let device = race.device().await;
    let winner = Arc::<Mutex<Option<TestDevice>>>::default();
    let first = winner.clone();
    let reply = match text {
        // Two that end the others: the later one ends the earlier.
        "epoch < :next" => {
            race.end_others(Arc::new(move |bundle| {
                let first = first.clone();
                Box::pin(async move {
                    if lock(&first).is_none() {
                        let device = TestDevice::of(&end_others(&bundle).await);
                        *lock(&first) = Some(device);
                    }
                })
            }))
            .await
        }
        // The old password opens nothing after its change.
        "password_hash = :verified" => {
            race.end_others(Arc::new(move |bundle| {
                let token = device.token.clone();
                Box::pin(async move {
                    bundle
                        .change_password(&token, PASSWORD, OTHER_PASSWORD, true)
                        .await;
                })
            }))
            .await
        }
        // A disabled account has no new session.
        "attribute_not_exists(disabled_at)" => {
            race.end_others(Arc::new(move |bundle| {
                let account = device.account;
                Box::pin(async move {
                    let now = bundle.clock.now();
                    disable(&bundle.store, account, &bundle.limits, now)
                        .await
                        .unwrap();
                })
            }))
            .await
        }
        other => panic!("a new clause: {other}"),
    };
    let met = lock(&race.met).clone();
    let first = lock(&winner).take();
    let is_kept = match first {
        Some(first) => !race.is_signed_in(&first).await,
        None => reply.status_code == 401,
    };
    (is_kept, met)
}

#[tokio::test]
async fn every_condition_on_the_account_that_is_knocked_out_breaks_a_rule() {
    let (is_kept, met) = Box::pin(keeps_the_rule("epoch < :next", None)).await;
    assert!(is_kept);
    let of_account = |it: &&Clause| it.write == format!("Update {ACCOUNTS}");
    let clauses: Vec<_> = met.iter().filter(of_account).collect();
    assert_eq!(clauses.len(), 3);
    for clause in clauses {
        assert!(
            Box::pin(keeps_the_rule(&clause.text, None)).await.0,
            "{clause:?}"
        );
        let knocked_out = Some(clause.clone());
        assert!(
            !Box::pin(keeps_the_rule(&clause.text, knocked_out)).await.0,
            "{clause:?}"
        );
    }
}
