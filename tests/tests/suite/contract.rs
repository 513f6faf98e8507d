//! The contract, tested by schemathesis: it generates valid and invalid calls from the
//! document that the API serves, and checks that the document allows each answer. Its
//! settings are in `tests/contract`.

use std::collections::BTreeMap;
use std::fs;

use curfew::process::run_logged;
use curfew::tools::{Environment, find_python};
use curfew::{root, target};
use curfew_tests::client::{Api, Household};
use curfew_tests::stack::{allowed_origin, api_url, stack};
use serde_json::{Value, json};

/// The accounts of cases that change a password or sign every device out. Nobody has confirmed
/// their addresses.
const ACCOUNTS: usize = 400;

/// The accounts with a confirmed address.
const CONFIRMED: usize = 20;

/// Makes accounts, and returns the address and the password of each.
async fn accounts(count: usize, are_confirmed: bool) -> Vec<[String; 2]> {
    let mut accounts = Vec::new();
    for _ in 0..count {
        let Household {
            email, password, ..
        } = Household::register_as(are_confirmed).await;
        accounts.push([email, password]);
    }
    accounts
}

#[tokio::test]
async fn every_answer_is_one_that_the_document_allows_and_every_operation_succeeds() {
    let tether = find_python().unwrap();
    Environment::Contract.install(&tether).await.unwrap();
    let folder = target().join("tests/contract");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let served = Api::default().call("GET", "/v1/openapi.json").send().await;
    let document = folder.join("openapi.json");
    fs::write(&document, &served.body).unwrap();
    let statuses = folder.join("statuses.json");
    let log = folder.join("schemathesis.log");

    let confirmed = accounts(CONFIRMED, true).await;
    let unproven = accounts(ACCOUNTS, false).await;

    let unconfirmed = Household::register_as(false).await;
    let settings = root().join("tests/contract");
    let mut command = tether.command(Environment::Contract.programs().join("schemathesis"));
    command
        .arg("--config-file")
        .arg(settings.join("schemathesis.toml"))
        .arg("run")
        .arg(&document)
        .args(["--url", api_url(), "--no-color"])
        .current_dir(&folder)
        .env("SCHEMATHESIS_HOOKS", settings.join("hooks.py"))
        .env("CURFEW_CONTRACT_API", api_url())
        .env(
            "CURFEW_CONTRACT_ORIGIN",
            allowed_origin().unwrap_or_default(),
        )
        .env("CURFEW_CONTRACT_ROOT_KEY", &stack().aws.access_key_id)
        .env("CURFEW_CONTRACT_STATUSES", &statuses)
        .env("CURFEW_CONTRACT_MAILS", &stack().mails_url)
        .env("CURFEW_CONTRACT_UNPROVEN", json!(unproven).to_string())
        .env(
            "CURFEW_CONTRACT_UNCONFIRMED",
            unconfirmed.credentials().to_string(),
        )
        .env("CURFEW_CONTRACT_ACCOUNTS", json!(confirmed).to_string())
        .env("NO_PROXY", "127.0.0.1")
        .env("PYTHONDONTWRITEBYTECODE", "1");
    run_logged(command, "schemathesis", &log).await.unwrap();

    let seen = fs::read(&statuses).unwrap();
    let seen: BTreeMap<String, Vec<u16>> = serde_json::from_slice(&seen).unwrap();
    let document: Value = serde_json::from_slice(&served.body).unwrap();
    let methods = document["paths"].as_object().unwrap().values();
    let operations = methods.flat_map(|methods| methods.as_object().unwrap().values());
    for operation in operations {
        let operation = operation["operationId"].as_str().unwrap();
        // The stack of the tests has no login of its own: `external.rs`.
        if operation == "verifyByBackend" {
            continue;
        }
        let succeeded = |status: &u16| (200..300).contains(status);
        assert!(
            seen.get(operation)
                .is_some_and(|seen| seen.iter().any(succeeded)),
            "{operation} never succeeded: {seen:?}"
        );
    }
}
