//! The log lines of the functions, and the secrets that must not be in any log, event
//! or table.

use std::fs;
use std::time::{Duration, Instant};

use curfew_tests::aws::{Call, Principal};
use curfew_tests::client::{Api, Device, Household, LAPTOP, TV, remember, secrets, unique};
use curfew_tests::inbox;
use curfew_tests::listener::Listener;
use curfew_tests::routes::routes;
use curfew_tests::stack::{allowed_origin, stack};
use serde_json::{Value, json};

/// The maximum time until a line is in its log.
const PATIENCE: Duration = Duration::from_mins(1);

/// Returns the log of each function, with its name.
fn logs() -> Vec<(String, String)> {
    let files = fs::read_dir(&stack().logs).unwrap();
    files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "log"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let text = fs::read(&path).unwrap();
            (name, String::from_utf8_lossy(&text).into_owned())
        })
        .collect()
}

/// Waits until a function has logged as many lines about a device, and returns them.
fn lines(function: &str, device: &str, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let log = logs().into_iter().find(|(name, _)| name == function);
        let (_, text) = log.unwrap_or_default();
        let lines: Vec<Value> = text
            .lines()
            .filter(|line| line.contains(device))
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        if lines.len() >= count {
            return lines;
        }
        assert!(Instant::now() < deadline, "{function} logged {lines:#?}");
    }
}

#[tokio::test]
async fn a_request_is_logged_with_its_outcome_and_ids() {
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;
    let laptop = household.sign_in(LAPTOP).await;
    let _ = laptop.sign_out(&tv.id).await.done(200);
    tv.ended().await;

    let signed_in = &lines("login", &tv.id, 1)[0];
    let signed_out = &lines("sign-out-device", &laptop.id, 1)[0];
    let refused = &lines("session", &tv.id, 1)[0];

    for (line, status, outcome, device) in [
        (signed_in, 200, "done", &tv.id),
        (signed_out, 200, "done", &laptop.id),
        (refused, 401, "session-signed-out", &tv.id),
    ] {
        assert_eq!(line["status"], status, "{line}");
        assert_eq!(line["outcome"], outcome, "{line}");
        assert_eq!(line["account"], json!(tv.account_id), "{line}");
        assert_eq!(line["device"], json!(device), "{line}");
        assert!(line["duration_us"].is_u64(), "{line}");
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'), "{line}");
    }
}

/// Sends a canary in every part of a request, in refused and successful ones. Returns
/// the account and a device.
async fn plant(canary: &str) -> (Household, Device) {
    let household = Household::register().await;
    let api = Api::default();
    let named = json!({ "device": { "model": format!("Set {canary}") } });
    let tv = household.sign_in_with(TV, named).await;

    let routes = routes();
    for route in routes.iter().filter(|route| route.example.is_some()) {
        let (method, path) = (route.method.as_str(), route.path.as_str());
        for body in [
            json!({ "email": canary, "password": canary }),
            json!({ "email": format!("{canary}@household.example"), "password": canary }),
            json!({ "email": household.email, "password": canary, "device_key": canary }),
            json!({ "scope": canary }),
            json!({ "current_password": canary, "new_password": canary }),
            json!({ canary: canary }),
            json!([canary]),
        ] {
            tv.call(method, path).json(&body).send().await;
            api.call(method, path)
                .json(&body)
                .token(canary)
                .send()
                .await;
        }
        let broken = tv.call(method, path).body("application/json", canary);
        broken.send().await;
    }
    for path in ["/v1/session", "/v1/devices", "/nowhere"] {
        let query = format!("{path}?{canary}={canary}&cursor={canary}");
        tv.get(&query).await;
        tv.call(canary, path).send().await;
        let call = tv
            .call("GET", path)
            .header("origin", format!("https://{canary}.example"))
            .header("user-agent", canary)
            .header("x-forwarded-for", canary)
            .header("x-curfew-distribution", canary)
            .header(
                "cookie",
                format!("__Host-curfew={canary}; {canary}={canary}"),
            );
        call.send().await;
        api.call("GET", path).token(canary).send().await;
        let cookie = format!("__Host-curfew={canary}");
        api.call("GET", path).header("cookie", cookie).send().await;
    }
    tv.post(&format!("/v1/devices/{canary}/sign-out")).await;
    api.call("GET", &format!("/{canary}")).send().await;

    if let Some(origin) = allowed_origin() {
        let page = household
            .log_in(json!({ "transport": "cookie" }))
            .header("origin", origin)
            .send()
            .await;
        for cookie in page.cookies() {
            let (pair, _) = cookie.split_once(';').unwrap();
            remember(&[pair.split_once('=').unwrap().1]);
        }
    }
    let again = json!({ "device_key": tv.key });
    let tv = household.sign_in_with(TV, again).await;
    (household, tv)
}

/// Asks for every code, uses right and wrong ones, and opens the link of a notice. Remembers
/// the secrets of challenges, codes, links and passes.
async fn plant_codes(household: &Household, canary: &str) {
    let api = &household.api;
    let new = Household::unregistered();
    let ask = async |of: &Household, path: &str| {
        let asked = api.post(path, &json!({ "email": of.email })).await;
        let secret = asked.done(202)["challenge"].as_str().unwrap().to_owned();
        remember(&[&secret]);
        secret
    };
    let confirmation = ask(&new, "/v1/accounts").await;
    let code = inbox::code_for(&new.email, 1).await;
    let confirm = async |code: &str| {
        let body = json!({ "challenge": confirmation, "code": code, "password": new.password });
        api.post("/v1/accounts/confirmations", &body).await
    };
    confirm(canary).await;
    confirm("0000-0000").await;
    let _ = confirm(&code).await.done(201);

    let pass = ask(&new, "/v1/passes").await;
    let code = inbox::code_for(&new.email, 2).await;
    let pass = json!({ "pass": { "challenge": pass, "code": code } });
    let device = new.sign_in_with(TV, pass).await;
    let stranger = new.sign_in(LAPTOP).await;
    ask(&new, "/v1/password-resets").await;
    inbox::code_for(&new.email, 4).await;
    for mail in inbox::wait_for(&new.email, 4).await {
        let Some((_, secret)) = mail.body_text.split_once("#/") else {
            continue;
        };
        let secret = secret.lines().next().unwrap();
        let (view, secret) = secret.split_once('/').unwrap();
        remember(&[secret]);
        if view == "notice" {
            let body = json!({ "secret": secret });
            let _ = api.post("/v1/notices/read", &body).await.done(200);
            let body = json!({ "secret": secret, "action": "end" });
            let _ = api.post("/v1/notices/actions", &body).await.done(200);
        } else if view == "recover" {
            let body = json!({ "link": secret, "password": new.password });
            let path = "/v1/password-resets/confirmations";
            let _ = api.post(path, &body).await.done(200);
        }
    }
    for ended in [device, stranger] {
        ended.ended().await;
        lines("session", &ended.id, 1);
    }
}

#[tokio::test]
async fn no_secret_is_in_a_log_an_event_or_a_table() {
    let canary = format!("canary{}", unique());
    let (household, tv) = plant(&canary).await;
    plant_codes(&household, &canary).await;
    let mut listener = Listener::of(&tv.account_id).await.unwrap();
    let laptop = household.sign_in(LAPTOP).await;
    let new = Household::unregistered().password;
    let changed = laptop
        .change_password(&household.password, &new, true)
        .await;
    let _ = changed.done(200);
    let _ = laptop.sign_out_scope("global").await.done(200);

    // The functions that were called last have written their lines.
    lines("change-password", &laptop.id, 1);
    lines("sign-out-all", &laptop.id, 1);
    let events = listener.until(|heard| heard.len() >= 4).await.unwrap();
    let events: Vec<String> = events.iter().map(|one| one.claims.to_string()).collect();
    let rows = rows_of(&tv.account_id).await;

    let mut secrets = secrets();
    for (name, log) in logs() {
        // The logs of the emulator contain requests; they are not the product's.
        if name == "emulator" || name == "deploy" {
            continue;
        }
        assert!(!log.contains(&canary), "the log of {name} has the canary");
        for secret in &secrets {
            assert!(!log.contains(secret), "the log of {name} has {secret}");
        }
        assert!(!log.contains("$argon2"), "the log of {name} has a hash");
        assert!(
            !log.contains("127.0.0.1"),
            "the log of {name} has an address"
        );
    }
    for event in events {
        assert!(!event.contains(&canary), "{event}");
        for secret in &secrets {
            assert!(!event.contains(secret), "{event}");
        }
    }
    // An account row contains the address, and a device row the model.
    secrets.remove(&household.email);
    for secret in &secrets {
        assert!(!rows.contains(secret), "a table has {secret}");
    }
}

/// Returns every row of an account as text.
async fn rows_of(account: &str) -> String {
    let tables = &stack().tables;
    let mut rows = String::new();
    for table in [&tables.accounts, &tables.devices, &tables.receipts] {
        let query = json!({
            "TableName": table,
            "KeyConditionExpression": "account_id = :account",
            "ExpressionAttributeValues": { ":account": { "S": account } },
        });
        let call = Call::dynamodb("Query", &query);
        rows += &Principal::root().call(&call).await.unwrap().text;
    }
    rows
}
