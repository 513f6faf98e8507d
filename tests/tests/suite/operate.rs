//! `operate`: what an operator does to accounts and their sessions.

use std::env;
use std::path::{Path, PathBuf};

use curfew::emulator::point;
use curfew::process::run;
use curfew::root;
use curfew::tools::find_python;
use curfew_tests::authenticator::{Authenticator, recovery_codes};
use curfew_tests::aws::{Call, Principal};
use curfew_tests::bundle::event;
use curfew_tests::client::{Device, Household, LAPTOP, TV, unique};
use curfew_tests::stack::{stack, store};
use curfew_tests::tables::{ACCOUNTS, DEVICES, RECEIPTS, definitions};
use domain::{Limits, Timestamp};
use http_api::OriginPolicy;
use runtime::Clock;
use serde_json::{Value, json};
use store::{Store, Tables};
use tokio::process::Command;
use tokio::sync::OnceCell;

/// Builds the command once.
async fn program() -> PathBuf {
    static BUILT: OnceCell<()> = OnceCell::const_new();
    let build = async || {
        let mut build = find_python()?.command("cargo");
        build
            .args(["build", "--quiet", "--workspace", "--bin", "operate"])
            .current_dir(root());
        run(build, "cargo build --bin operate").await
    };
    BUILT.get_or_try_init(build).await.unwrap();
    // The test's own program is one folder below.
    let test = env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    folder.join("operate")
}

/// Runs the command on tables. Returns its exit code, and all that it printed.
async fn operate(tables: &Tables, command: &[&str]) -> (i32, String) {
    let mut operate = Command::new(program().await);
    operate.args(["--accounts", &tables.accounts]);
    operate.args(["--receipts", &tables.receipts]);
    let optional = [
        ("--identities", &tables.identities),
        ("--factors", &tables.factors),
    ];
    for (option, name) in optional {
        if !name.is_empty() {
            operate.args([option, name.as_str()]);
        }
    }
    operate.env_remove("AWS_SESSION_TOKEN").args(command);
    point(&mut operate, &stack().aws);
    let output = operate.output().await.unwrap();
    let printed = [output.stderr, output.stdout].concat();
    let printed = String::from_utf8(printed).unwrap();
    (output.status.code().unwrap(), printed)
}

fn tables() -> Tables {
    stack().tables.clone().into()
}

async fn dynamodb(action: &str, body: &Value) -> Value {
    let call = Call::dynamodb(action, body);
    let answer = Principal::root().call(&call).await.unwrap();
    answer.success().unwrap()
}

/// Copies a row to another table.
async fn copy(from: &str, to: &str, key: Value) {
    let read = json!({ "TableName": from, "Key": key, "ConsistentRead": true });
    let item = dynamodb("GetItem", &read).await["Item"].clone();
    dynamodb("PutItem", &json!({ "TableName": to, "Item": item })).await;
}

/// Returns new tables with what a backup of this moment has of a device and its account.
async fn restored(device: &Device) -> Tables {
    let name = |table: &str| format!("restored-{table}-{}", unique());
    let restored = Tables {
        accounts: name(ACCOUNTS),
        devices: name(DEVICES),
        receipts: name(RECEIPTS),
        ..Tables::default()
    };
    for mut definition in definitions() {
        let to = match definition["TableName"].as_str().unwrap() {
            ACCOUNTS => &restored.accounts,
            DEVICES => &restored.devices,
            RECEIPTS => &restored.receipts,
            _ => continue,
        };
        definition["TableName"] = json!(to);
        dynamodb("CreateTable", &definition).await;
    }
    let own = tables();
    let account = json!({ "S": device.account_id });
    let row = json!({ "account_id": account, "device_id": { "S": device.id } });
    copy(
        &own.accounts,
        &restored.accounts,
        json!({ "account_id": account }),
    )
    .await;
    copy(&own.devices, &restored.devices, row).await;
    restored
}

/// Checks a token on other tables than the stack's. Returns the status and the body.
async fn check(tables: &Tables, token: &str) -> (i64, Value) {
    let deps = session::Deps {
        sends_mail: false,
        store: Store::new(stack().aws.clients().dynamodb(), tables.clone()),
        limits: Limits::default(),
        origin_policy: OriginPolicy::new(None),
        clock: Clock::System,
    };
    let request = event("GET", "/v1/session", Some(token), None);
    let reply = Box::pin(session::handle(&deps, request)).await;
    let body = curfew_tests::bundle::json_of(&reply);
    (reply.status_code, body)
}

/// Returns the row of an account in a table.
async fn account(tables: &Tables, id: &str) -> domain::Account {
    let store = Store::new(stack().aws.clients().dynamodb(), tables.clone());
    let rows = store.rows(id.parse().unwrap(), &[]).await.unwrap();
    rows.account.unwrap()
}

#[tokio::test]
async fn a_session_that_a_backup_brings_back_is_ended_before_the_tables_are_used() {
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;
    let restored = restored(&tv).await;
    let _ = tv.post("/v1/sign-out").await.done(200);
    tv.ended().await;
    let (status, _) = check(&restored, &tv.token).await;
    assert_eq!(status, 200, "the backup brings it back");

    let (code, printed) = operate(&restored, &["end-sessions", "--all"]).await;

    assert_eq!(code, 0, "{printed}");
    let (status, problem) = check(&restored, &tv.token).await;
    assert_eq!(status, 401, "{problem}");
    assert_eq!(problem["type"], "urn:curfew:problem:session-signed-out");
    assert_eq!(problem["reason"], "signed_out");
    assert_eq!(problem["signed_out_by"], Value::Null);
}

#[tokio::test]
async fn an_owner_who_has_lost_app_and_recovery_codes_signs_in_after_they_are_removed() {
    let household = Household::register().await;
    let laptop = household.sign_in(LAPTOP).await;
    let _app = Authenticator::add(&laptop).await;
    let codes = recovery_codes(&laptop).await;
    let asked = household.log_in(json!({})).send().await;
    let asked = asked.refused(403, "second-step-required");
    let remove = ["remove-factors", household.email.as_str()];

    let unnamed = Tables {
        factors: String::new(),
        ..tables()
    };
    let (code, printed) = operate(&unnamed, &remove).await;
    assert_eq!(code, 1);
    assert!(printed.contains("--factors"), "{printed}");
    for count in [1, 0] {
        let (code, printed) = operate(&tables(), &remove).await;
        assert_eq!(code, 0, "{printed}");
        let had = format!("Authenticator apps: {count}.");
        assert!(printed.contains(&had), "{printed}");
    }

    let tv = household.sign_in(TV).await;
    assert!(tv.is_signed_in().await && laptop.is_signed_in().await);
    let body = json!({ "challenge": asked["challenge"], "recovery_code": codes[0] });
    let by_code = household.api.call("POST", "/v1/second-steps").json(&body);
    let _ = by_code.send().await.refused(403, "code-invalid");
}

#[tokio::test]
async fn ending_all_sessions_goes_on_after_a_corrupt_row_names_it_and_can_be_repeated() {
    let tv = Household::register().await.sign_in(TV).await;
    let restored = restored(&tv).await;
    let corrupt = "0f9b1a52-7d0e-4c56-9c1b-2f0d7f1c9a10";
    let disabled = "1f9b1a52-7d0e-4c56-9c1b-2f0d7f1c9a10";
    let key = json!({ "account_id": { "S": tv.account_id } });
    let read = json!({ "TableName": restored.accounts, "Key": key });
    let mut item = dynamodb("GetItem", &read).await["Item"].clone();
    item["account_id"] = json!({ "S": disabled });
    item["disabled_at"] = json!({ "N": "1700000000000" });
    let mut malformed = item.clone();
    malformed["account_id"] = json!({ "S": "not-an-id" });
    let bad = json!({ "account_id": { "S": corrupt }, "epoch": { "S": "one" } });
    for item in [item, malformed, bad] {
        dynamodb(
            "PutItem",
            &json!({ "TableName": restored.accounts, "Item": item }),
        )
        .await;
    }

    let (first, printed) = operate(&restored, &["end-sessions", "--all"]).await;

    assert_eq!(first, 1, "{printed}");
    assert!(printed.contains(&format!("left: {corrupt}: ")), "{printed}");
    assert!(printed.contains("left: not-an-id: "), "{printed}");
    assert!(
        printed.contains("of 2 accounts have ended. 2 accounts are left."),
        "{printed}"
    );
    let (status, _) = check(&restored, &tv.token).await;
    assert_eq!(status, 401);
    assert!(account(&restored, disabled).await.disabled_at.is_some());
    for left in [corrupt, "not-an-id"] {
        let key = json!({ "account_id": { "S": left } });
        dynamodb(
            "DeleteItem",
            &json!({ "TableName": restored.accounts, "Key": key }),
        )
        .await;
    }
    let before = account(&restored, &tv.account_id).await.epoch;
    let page_by_page = ["end-sessions", "--all", "--page-size", "1"];
    let (again, printed) = operate(&restored, &page_by_page).await;
    assert_eq!(again, 0, "{printed}");
    assert!(
        printed.contains("of 2 accounts have ended. 0 accounts are left."),
        "{printed}"
    );
    let first = printed.split("up to ").nth(1).unwrap();
    let first = first.split_whitespace().next().unwrap();
    let (code, printed) = operate(&restored, &["end-sessions", "--all", "--after", first]).await;
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("of 1 accounts have ended."), "{printed}");
    assert!(account(&restored, &tv.account_id).await.epoch > before);
}

#[tokio::test]
async fn a_disabled_account_is_found_by_its_address_and_enabling_it_revives_nothing() {
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;
    let email = &*household.email;

    let (code, printed) = operate(&tables(), &["disable", email]).await;

    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains(&tv.account_id), "{printed}");
    assert_eq!(tv.ended().await["reason"], "account_disabled");
    let refused = household.log_in(json!({})).send().await;
    refused.refused(401, "credentials-invalid");
    let (code, printed) = operate(&tables(), &["enable", email]).await;
    assert_eq!(code, 0, "{printed}");
    tv.ended().await;
    let again = household.sign_in(TV).await;
    let (code, _) = operate(&tables(), &["enable", email]).await;
    assert_eq!(code, 0);
    assert!(
        again.is_signed_in().await,
        "enabling an enabled account changes nothing"
    );
}

#[tokio::test]
async fn an_account_that_was_disabled_by_hand_is_enabled_without_its_sessions() {
    let tv = Household::register().await.sign_in(TV).await;
    let by_hand = json!({
        "TableName": tables().accounts,
        "Key": { "account_id": { "S": tv.account_id } },
        "UpdateExpression": "SET disabled_at = :at",
        "ExpressionAttributeValues": { ":at": { "N": "1700000000000" } },
    });
    dynamodb("UpdateItem", &by_hand).await;
    let refused = tv.get("/v1/session").await;
    refused.refused(401, "account-disabled");

    let (code, printed) = operate(&tables(), &["enable", &tv.account_id]).await;

    assert_eq!(code, 0, "{printed}");
    tv.ended().await;
}

#[tokio::test]
async fn the_sessions_of_one_account_are_ended_and_its_owner_signs_in_again() {
    let household = Household::register().await;
    let (tv, other) = (household.sign_in(TV).await, household.sign_in(TV).await);
    let _ = tv.sign_out_scope("others").await.done(200);
    other.ended().await;

    let (code, printed) = operate(&tables(), &["end-sessions", &tv.account_id]).await;

    assert_eq!(code, 0, "{printed}");
    tv.ended().await;
    assert!(household.sign_in(TV).await.is_signed_in().await);
}

#[tokio::test]
async fn what_is_no_account_is_refused_and_writes_nothing() {
    let nobody = "6f9b1a52-7d0e-4c56-9c1b-2f0d7f1c9a10";
    let address = &*Household::unregistered().email;
    for who in [nobody, address, "nobody"] {
        for act in ["disable", "enable", "end-sessions"] {
            let (code, printed) = operate(&tables(), &[act, who]).await;
            assert_eq!(code, 1, "{act} {who}: {printed}");
        }
    }
    let rows = store().rows(nobody.parse().unwrap(), &[]).await.unwrap();
    assert!(rows.account.is_none());
    let without = Tables {
        identities: String::new(),
        ..tables()
    };
    let (code, printed) = operate(&without, &["disable", address]).await;
    assert_eq!(code, 1);
    assert!(printed.contains("--identities"), "{printed}");
    for unclear in [&["end-sessions"][..], &["end-sessions", nobody, "--all"]] {
        let (code, _) = operate(&tables(), unclear).await;
        assert_eq!(code, 2);
    }
}

#[tokio::test]
async fn of_two_jumps_from_one_epoch_the_later_is_stale_and_lowers_nothing() {
    let tv = Household::register().await.sign_in(TV).await;
    let before = account(&tables(), &tv.account_id).await;
    let at: Timestamp = Clock::System.now();
    let limits = Limits::default();
    let jump = |random| domain::SignOut::by_operator(&before, at, random);
    let mut outcomes = Vec::new();
    for random in [[1; 10], [2; 10]] {
        outcomes.push(store().end_sessions(&jump(random), &limits).await.unwrap());
    }
    assert_eq!(
        outcomes,
        [store::WriteOutcome::Done, store::WriteOutcome::Stale]
    );
    let after = account(&tables(), &tv.account_id).await;
    assert_eq!(after.epoch, before.epoch.after_jump());
}
