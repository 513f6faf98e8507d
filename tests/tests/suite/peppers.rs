//! Peppers: their rotation at a sign-in, a pepper that is gone, and the secret that has
//! them.

use std::sync::{Arc, Mutex};

use curfew_tests::account::{EMAIL, OTHER_PASSWORD, PASSWORD, TestDevice};
use curfew_tests::app::TestApp;
use curfew_tests::bundle::{CHEAP, problem_of};
use curfew_tests::client::{Household, TV};
use curfew_tests::engine::ServiceResponse;
use curfew_tests::stack::{PEPPERS, pepper, peppers, stack, store};
use curfew_tests::wire::{self, CallResult};
use domain::password::{Hasher, Password, PasswordCheck, Peppers};
use domain::{Account, AccountId};
use runtime::{Clients, PasswordHasher, lock};
use serde_json::json;
use store::{Store, WriteOutcome};

/// A Secrets Manager with one secret. Counts its reads.
#[derive(Clone)]
struct Secret {
    answer: Arc<Mutex<(u16, String)>>,
    reads: Arc<Mutex<usize>>,
    clients: Clients,
}

impl Secret {
    fn new(text: &str) -> Self {
        let answer = Arc::new(Mutex::new(with_text(text)));
        let reads = Arc::new(Mutex::new(0));
        let (given, count) = (answer.clone(), reads.clone());
        let clients = wire::clients(move |call| {
            assert_eq!(call.operation, "GetSecretValue");
            assert_eq!(call.body, r#"{"SecretId":"curfew/peppers"}"#);
            *lock(&count) += 1;
            let (status, body) = lock(&given).clone();
            CallResult::Answered(ServiceResponse { status, body })
        });
        Self {
            answer,
            reads,
            clients,
        }
    }

    fn set(&self, text: &str) {
        *lock(&self.answer) = with_text(text);
    }

    fn fail(&self, error: &str) {
        *lock(&self.answer) = (400, json!({ "__type": error }).to_string());
    }

    fn reads(&self) -> usize {
        *lock(&self.reads)
    }

    /// Starts a function's hasher.
    async fn hasher(&self) -> Result<PasswordHasher, String> {
        let hasher = Hasher::with_params(CHEAP).unwrap();
        PasswordHasher::with_secret(hasher, self.clients.secrets(), PEPPERS.to_owned()).await
    }
}

fn with_text(text: &str) -> (u16, String) {
    (200, json!({ "SecretString": text }).to_string())
}

/// Starts the functions that verify passwords again, with these peppers.
async fn restart(app: &mut TestApp, ids: &[&str]) {
    let secret = Secret::new(&peppers(ids));
    app.bundle.login.hasher = secret.hasher().await.unwrap();
    app.bundle.change_password.hasher = secret.hasher().await.unwrap();
    app.bundle.verify.hasher = secret.hasher().await.unwrap();
}

async fn account(store: &Store, id: AccountId) -> Account {
    store.rows(id, &[]).await.unwrap().account.unwrap()
}

/// Returns the account's hash as it is stored.
async fn hash(app: &TestApp, device: &TestDevice) -> String {
    let account = account(&app.bundle.store, device.account).await;
    account.password_hash.as_str().to_owned()
}

async fn log_in(app: &TestApp, password: &str) -> (i64, String) {
    problem_of(&app.bundle.log_in(EMAIL, password, None).await)
}

#[tokio::test]
async fn a_sign_in_hashes_the_password_again_with_the_current_pepper() {
    let (mut app, [device]) = TestApp::with_devices().await;
    assert!(!hash(&app, &device).await.contains("keyid"));
    // In base64, `2026-11` is MjAyNi0xMQ and `2026-12` is MjAyNi0xMg.
    for (ids, keyid) in [
        (&["2026-11"][..], ",keyid=MjAyNi0xMQ$"),
        (&["2026-12", "2026-11"], ",keyid=MjAyNi0xMg$"),
    ] {
        restart(&mut app, ids).await;
        assert_eq!(log_in(&app, OTHER_PASSWORD).await.0, 401);
        assert!(!hash(&app, &device).await.contains(keyid));
        assert_eq!(log_in(&app, PASSWORD).await.0, 200);
        let rotated = hash(&app, &device).await;
        assert!(rotated.contains(keyid), "{rotated}");
        assert_eq!(log_in(&app, PASSWORD).await.0, 200);
        assert_eq!(hash(&app, &device).await, rotated, "it is current");
    }
    restart(&mut app, &["2026-12"]).await;
    assert_eq!(log_in(&app, PASSWORD).await.0, 200);
}

#[tokio::test]
async fn a_changed_password_has_the_current_pepper() {
    let (mut app, [device]) = TestApp::with_devices().await;
    restart(&mut app, &["2026-11"]).await;
    let changed = app
        .bundle
        .change_password(&device.token, PASSWORD, OTHER_PASSWORD, false);
    assert_eq!(changed.await.status_code, 200);
    assert!(hash(&app, &device).await.contains(",keyid=MjAyNi0xMQ$"));
    assert_eq!(log_in(&app, OTHER_PASSWORD).await.0, 200);
    assert_eq!(log_in(&app, PASSWORD).await.0, 401);
}

#[tokio::test]
async fn a_password_whose_pepper_is_gone_is_neither_right_nor_wrong() {
    let (mut app, [device]) = TestApp::with_devices().await;
    restart(&mut app, &["2026-11"]).await;
    assert_eq!(log_in(&app, PASSWORD).await.0, 200);
    let before = hash(&app, &device).await;

    restart(&mut app, &["2026-12"]).await;
    let unavailable = (503, "unavailable".to_owned());
    for password in [PASSWORD, OTHER_PASSWORD] {
        assert_eq!(log_in(&app, password).await, unavailable);
        let verified = app.bundle.verify(&device.token, password);
        assert_eq!(problem_of(&verified.await), unavailable);
        let changed =
            app.bundle
                .change_password(&device.token, password, "a new password of mine", false);
        assert_eq!(problem_of(&changed.await), unavailable);
    }
    assert_eq!(hash(&app, &device).await, before);
    let session = app.bundle.who_am_i(&device.token).await;
    assert_eq!(session.status_code, 200, "no session ends");

    // The same without any pepper, as after the parameter was emptied.
    app.bundle.login.hasher = PasswordHasher::new(Hasher::with_params(CHEAP).unwrap());
    assert_eq!(log_in(&app, PASSWORD).await, unavailable);
    restart(&mut app, &["2026-12", "2026-11"]).await;
    assert_eq!(log_in(&app, PASSWORD).await.0, 200);
}

#[tokio::test]
async fn a_function_that_meets_a_newer_pepper_reads_the_secret_again() {
    let (password, secret) = (
        Password::parse(PASSWORD).unwrap(),
        Secret::new(&peppers(&["a"])),
    );
    let early = secret.hasher().await.unwrap();
    secret.set(&peppers(&["b", "a"]));
    let newer = secret.hasher().await.unwrap().hash(&password);
    assert_eq!(secret.reads(), 2);

    secret.fail("InternalServiceError");
    assert!(early.verify(&password, Some(&newer)).await.is_err());
    secret.set(&peppers(&["b", "a"]));
    let check = early.verify(&password, Some(&newer)).await;
    let needs_rehash = false;
    assert_eq!(check, Ok(PasswordCheck::Match { needs_rehash }));
    assert!(early.hash(&password).as_str().contains(",keyid=Yg$"));
    assert_eq!(secret.reads(), 4);

    // It is known now.
    let check = early.verify(&password, Some(&newer)).await;
    assert_eq!(check, Ok(PasswordCheck::Match { needs_rehash }));
    assert_eq!(secret.reads(), 4);
}

#[tokio::test]
async fn a_function_does_not_start_without_usable_peppers() {
    let secret = Secret::new("");
    for (text, fault) in [
        ("", "is not JSON of the form"),
        ("KEY", "is not JSON of the form"),
        (
            r#"{"current":"a","peppers":{"a":"KEY="}}"#,
            "not base64 with padding",
        ),
        (
            r#"{"current":"b","peppers":{"a":"KEY"}}"#,
            "has no pepper `b`, which `current` names",
        ),
    ] {
        secret.set(&text.replace("KEY", &pepper("a")));
        let found = secret.hasher().await.unwrap_err();
        let named = found.starts_with("the secret `curfew/peppers` ");
        assert!(named && found.contains(fault), "{found}");
        assert!(!found.contains(&pepper("a")[..8]), "{found}");
    }
    for error in ["AccessDeniedException", "ResourceNotFoundException"] {
        secret.fail(error);
        let found = secret.hasher().await.unwrap_err();
        assert!(
            found.contains("can't be read: ") && found.contains(error),
            "{found}"
        );
    }
}

#[tokio::test]
async fn the_deployed_functions_hash_and_verify_with_the_peppers_of_the_secret() {
    let household = Household::register().await;
    let id = household.sign_in(TV).await.account_id.parse().unwrap();
    let rotated = account(&store(), id).await.password_hash;
    assert!(rotated.as_str().contains(",keyid="), "it is rotated");

    // The secret is rotated, and a process that started since then has hashed.
    let value = peppers(&["2026-12", "2026-11"]);
    let secrets = stack().aws.clients().secrets();
    let put = secrets.put_secret_value().secret_id(PEPPERS);
    put.secret_string(&value).send().await.unwrap();
    let mut hasher = Hasher::with_params(CHEAP).unwrap();
    hasher.set_peppers(Peppers::parse(&value).unwrap());
    let password = Password::parse(&household.password).unwrap();
    let newer = hasher.hash(&password, runtime::random());
    let written = store().rehash(id, &rotated, &newer).await;
    assert_eq!(written.unwrap(), WriteOutcome::Done);

    household.sign_in(TV).await;
    let hash = account(&store(), id).await.password_hash;
    assert!(hash.as_str().contains(",keyid=MjAyNi0xMg$"));
    let wrong = household.log_in(json!({ "password": OTHER_PASSWORD }));
    wrong.send().await.refused(401, "credentials-invalid");
}
