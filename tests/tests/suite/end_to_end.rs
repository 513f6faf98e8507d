//! The deployed stack as a whole, on the local AWS: events, the sweep, disabled
//! accounts, the authorizer, headers of the distribution, and the household of `cargo run`.

use std::time::{Duration, Instant};

use curfew::{Record, household};
use curfew_tests::account;
use curfew_tests::aws::{Call, Principal};
use curfew_tests::client::{Api, CONSOLE, Device, Household, LAPTOP, PHONE, TABLET, TV};
use curfew_tests::listener::{Listener, Message};
use curfew_tests::stack::{SECRET, new_secret, stack, store};
use domain::account::Epoch;
use domain::{DeviceState, Limits};
use runtime::Clock;
use serde_json::{Value, json};

/// The maximum time for background work.
const PATIENCE: Duration = Duration::from_mins(2);

/// Returns the details of an event.
fn details(message: &Message) -> &Value {
    let events = message.claims["events"].as_object();
    events.and_then(|events| events.values().next()).unwrap()
}

/// Returns the events of one type.
fn of_type<'a>(heard: &'a [Message], event_type: &str) -> Vec<&'a Message> {
    heard
        .iter()
        .filter(|one| one.event_type() == event_type)
        .collect()
}

/// Waits for as many events of a type, checks them against their schema, and returns
/// them.
async fn hear(listener: &mut Listener, event_type: &str, count: usize) -> Vec<Message> {
    let heard = listener
        .until(|heard| of_type(heard, event_type).len() >= count)
        .await
        .unwrap();
    let heard: Vec<Message> = of_type(heard, event_type).into_iter().cloned().collect();
    let (_, schema) = events::SCHEMAS
        .iter()
        .find(|(of, _)| of.as_str() == event_type)
        .unwrap();
    let schema = jsonschema::draft202012::new(&serde_json::from_str(schema).unwrap()).unwrap();
    for one in &heard {
        let wrong: Vec<String> = schema
            .iter_errors(&one.claims)
            .map(|error| error.to_string())
            .collect();
        assert_eq!(wrong, [] as [String; 0], "{}", one.claims);
        assert_eq!(one.attributes["account_id"], *one.subject("user"));
    }
    heard
}

#[tokio::test]
async fn a_sign_in_and_the_sign_out_of_a_device_reach_a_subscriber() {
    let household = Household::register().await;
    let laptop = household.sign_in(LAPTOP).await;
    let mut listener = Listener::of(&laptop.account_id).await.unwrap();

    let tv = household.sign_in(TV).await;
    let answer = laptop.sign_out(&tv.id).await.done(200);

    let ended = hear(&mut listener, "session-revoked", 1).await;
    let began = hear(&mut listener, "session-established", 1).await;
    let of_the_tv = |heard: &[Message]| {
        let found = heard.iter().find(|one| *one.subject("device") == tv.id);
        found.cloned().unwrap()
    };
    let (ended, began) = (of_the_tv(&ended), of_the_tv(&began));
    assert_eq!(ended.claims["txn"], answer["sign_out"]["id"]);
    assert_eq!(ended.subject("session"), began.subject("session"));
    assert_eq!(ended.attributes["scope"], "device");
    assert_eq!(details(&ended)["initiating_entity"], "user");
}

#[tokio::test]
async fn signing_in_again_publishes_the_end_of_the_replaced_session() {
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;
    let mut listener = Listener::of(&tv.account_id).await.unwrap();

    let again = household
        .sign_in_with(TV, json!({ "device_key": tv.key }))
        .await;

    let ended = hear(&mut listener, "session-revoked", 1).await;
    assert_eq!(*ended[0].subject("device"), again.id);
}

#[tokio::test]
async fn signing_out_the_others_publishes_the_kept_session_and_each_that_ended() {
    let household = Household::register().await;
    let laptop = household.sign_in(LAPTOP).await;
    let mut listener = Listener::of(&laptop.account_id).await.unwrap();
    let (tv, phone) = (household.sign_in(TV).await, household.sign_in(PHONE).await);
    let began = hear(&mut listener, "session-established", 2).await;

    let answer = laptop.sign_out_scope("others").await.done(200);

    let all = hear(&mut listener, "other-sessions-revoked", 1).await;
    assert_eq!(all[0].claims["txn"], answer["sign_out"]["id"]);
    assert_eq!(all[0].attributes["scope"], "others");
    let kept = &details(&all[0])["kept_session"];
    assert!(kept.is_string());
    let each = hear(&mut listener, "session-revoked", 2).await;
    for device in [&tv, &phone] {
        let ended = each.iter().find(|one| *one.subject("device") == device.id);
        let ended = ended.unwrap();
        let began = began.iter().find(|one| *one.subject("device") == device.id);
        assert_eq!(ended.claims["txn"], answer["sign_out"]["id"]);
        if let Some(began) = began {
            assert_eq!(ended.subject("session"), began.subject("session"));
        }
        assert_ne!(ended.subject("session"), kept);
    }
}

#[tokio::test]
async fn signing_out_globally_publishes_the_end_of_all_sessions_of_the_account() {
    let household = Household::register().await;
    let laptop = household.sign_in(LAPTOP).await;
    let mut listener = Listener::of(&laptop.account_id).await.unwrap();

    let answer = laptop.sign_out_scope("global").await.done(200);

    let ended = hear(&mut listener, "session-revoked", 1).await;
    assert_eq!(ended[0].claims["txn"], answer["sign_out"]["id"]);
    assert_eq!(*ended[0].subject("user"), laptop.account_id);
    assert!(ended[0].subject("device").is_null());
    assert!(ended[0].subject("session").is_null());
    assert_eq!(ended[0].attributes["scope"], "global");
}

#[tokio::test]
async fn a_changed_password_publishes_the_change_and_the_ended_sessions() {
    let household = Household::register().await;
    let laptop = household.sign_in(LAPTOP).await;
    let mut listener = Listener::of(&laptop.account_id).await.unwrap();
    let new = Household::unregistered().password;

    let answer = laptop
        .change_password(&household.password, &new, false)
        .await;

    let sign_out = &answer.done(200)["sign_out"]["id"];
    let changed = hear(&mut listener, "credential-change", 1).await;
    let ended = hear(&mut listener, "session-revoked", 1).await;
    assert_eq!(changed[0].claims["txn"], *sign_out);
    assert_eq!(ended[0].claims["txn"], *sign_out);
    assert_eq!(details(&changed[0])["change_type"], "update");
    assert_eq!(details(&changed[0])["credential_type"], "password");
}

/// Returns the rows of an account's devices.
async fn rows(account: &str) -> Vec<domain::Device> {
    let page = store().devices(account.parse().unwrap(), None, 100).await;
    page.unwrap().devices
}

/// Waits until the sweep has marked as many devices, and returns the rows.
async fn marked(account: &str, count: usize) -> Vec<domain::Device> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let rows = rows(account).await;
        let is_marked = |row: &&domain::Device| row.state != DeviceState::SignedIn;
        if rows.iter().filter(is_marked).count() >= count {
            return rows;
        }
        assert!(Instant::now() < deadline, "only {rows:#?}");
    }
}

/// Returns the sort keys of an account's receipts.
async fn receipts(account: &str) -> Vec<String> {
    let query = json!({
        "TableName": stack().tables.receipts,
        "KeyConditionExpression": "account_id = :account",
        "ExpressionAttributeValues": { ":account": { "S": account } },
    });
    let call = Call::dynamodb("Query", &query);
    let found = Principal::root().call(&call).await.unwrap();
    let items = found.success().unwrap()["Items"].clone();
    items
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["sign_out_id"]["S"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_sweep_marks_each_device_that_the_others_ended_and_its_part_of_the_receipt() {
    let household = Household::register().await;
    let (tv, phone) = (household.sign_in(TV).await, household.sign_in(PHONE).await);
    let laptop = household.sign_in(LAPTOP).await;
    let answer = laptop.sign_out_scope("others").await.done(200);

    let rows = marked(&laptop.account_id, 2).await;

    let sign_out = answer["sign_out"]["id"].as_str().unwrap();
    for row in &rows {
        match &row.state {
            DeviceState::SignedIn => assert_eq!(row.id.to_string(), laptop.id),
            DeviceState::SignedOut(ended) => assert_eq!(ended.sign_out.to_string(), sign_out),
        }
    }
    let mut wanted = [
        sign_out.to_owned(),
        format!("epoch#{}", Epoch::FIRST.0),
        format!("{sign_out}#{}", tv.id),
        format!("{sign_out}#{}", phone.id),
    ];
    wanted.sort();
    assert_eq!(receipts(&laptop.account_id).await, wanted);
    assert!(laptop.is_signed_in().await);
}

#[tokio::test]
async fn a_device_is_refused_in_the_same_way_before_and_after_the_sweep() {
    let household = Household::register().await;
    let (tv, laptop) = (household.sign_in(TV).await, household.sign_in(LAPTOP).await);
    let _ = laptop.sign_out_scope("others").await.done(200);
    let refusal = |device: &Device| {
        let call = device.call("GET", "/v1/session");
        async move { call.send().await.refused(401, "session-signed-out") }
    };
    let first = refusal(&tv).await;

    marked(&laptop.account_id, 1).await;

    assert_eq!(refusal(&tv).await, first);
}

#[tokio::test]
async fn a_device_that_signs_in_again_is_not_marked_by_the_sweep() {
    let household = Household::register().await;
    let tablet = household.sign_in(TABLET).await;
    let (tv, laptop) = (household.sign_in(TV).await, household.sign_in(LAPTOP).await);
    let _ = laptop.sign_out_scope("global").await.done(200);
    let again = household
        .sign_in_with(TV, json!({ "device_key": tv.key }))
        .await;

    marked(&tablet.account_id, 2).await;

    assert!(again.is_signed_in().await);
}

/// Disables an account as an operator does.
async fn disable(account: &str) {
    let account = account.parse().unwrap();
    let (limits, now) = (Limits::default(), Clock::System.now());
    let disabled = account::disable(&store(), account, &limits, now).await;
    disabled.unwrap();
}

#[tokio::test]
async fn a_disabled_account_is_answered_like_a_wrong_password() {
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;
    disable(&tv.account_id).await;
    let wrong = Household {
        password: Household::unregistered().password,
        ..household.clone()
    };

    let disabled = household.log_in(json!({})).send().await;
    let wrong = wrong.log_in(json!({})).send().await;

    disabled.refused(401, "credentials-invalid");
    assert_eq!(disabled.alike(), wrong.alike());
}

#[tokio::test]
async fn a_disabled_accounts_devices_are_refused_with_that_reason_and_no_device() {
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;

    disable(&tv.account_id).await;

    let refused = tv.ended().await;
    assert_eq!(refused["reason"], "account_disabled");
    assert_eq!(refused["signed_out_by"], Value::Null);
    assert!(refused["signed_out_at"].is_string());
}

/// Returns the decision of the authorizer on a request with a token.
async fn decision(token: &str) -> Value {
    let authorization = format!("Bearer {token}");
    decision_on(&json!({ "authorization": authorization }), &json!([])).await
}

/// Returns the decision of the authorizer on a request with these headers and cookies.
async fn decision_on(headers: &Value, cookies: &Value) -> Value {
    let authorizer = &stack().functions["Authorizer"].function_name;
    let event = json!({
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": "arn:aws:execute-api:us-east-1:000000000000:own/$default/GET/films",
        "identitySource": ["as the team has chosen"],
        "routeKey": "GET /films",
        "rawPath": "/films",
        "rawQueryString": "",
        "cookies": cookies,
        "headers": headers,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "own",
            "domainName": "own.example.com",
            "http": {
                "method": "GET",
                "path": "/films",
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": LAPTOP,
            },
            "requestId": "request",
            "routeKey": "GET /films",
            "stage": "$default",
            "time": "20/Nov/2026:09:30:00 +0000",
            "timeEpoch": 1_795_167_000_000_u64,
        },
    });
    let path = format!("/2015-03-31/functions/{authorizer}/invocations");
    let call = Call::rest("lambda", "POST", &path, &event.to_string());
    let outcome = Principal::root().call(&call).await.unwrap();
    outcome.success().unwrap()
}

#[tokio::test]
async fn the_authorizer_allows_a_session_and_returns_its_ids() {
    let tv = Household::register().await.sign_in(TV).await;

    let decision = decision(&tv.token).await;

    assert_eq!(decision["isAuthorized"], true);
    let context = &decision["context"];
    assert_eq!(context["account_id"], tv.account_id);
    assert_eq!(context["device_id"], tv.id);
    assert!(context["session_id"].is_string());
}

#[tokio::test]
async fn the_authorizer_allows_a_page_by_its_cookie() {
    let tv = Household::register().await.sign_in(TV).await;
    let cookie = format!("__Host-curfew={}", tv.token);

    let decision = decision_on(&json!({}), &json!([cookie])).await;

    assert_eq!(decision["isAuthorized"], true);
    assert_eq!(decision["context"]["device_id"], tv.id);
}

#[tokio::test]
async fn the_authorizer_refuses_an_ended_session() {
    let tv = Household::register().await.sign_in(TV).await;
    let _ = tv.post("/v1/sign-out").await.done(200);

    let refused = json!({ "isAuthorized": false });

    assert_eq!(decision(&tv.token).await, refused);
    assert_eq!(decision("nonsense").await, refused);
}

/// Signs in with these headers, and returns the address, the place and the type of the
/// device.
async fn place(household: &Household, headers: &[(&str, &str)]) -> [Value; 3] {
    let mut call = household.log_in(json!({}));
    for (name, value) in headers {
        call = call.header(name, value);
    }
    let device = Device::of(&Api::default(), &call.send().await);
    ["ip", "location", "type"].map(|what| device.shown[what].clone())
}

/// Returns the facts that a sign-in shows with headers of a distribution that has a
/// secret.
async fn place_behind(household: &Household, secret: &str) -> [Value; 3] {
    let headers = [
        ("cloudfront-viewer-address", "2001:db8::7:443"),
        ("cloudfront-viewer-city", "Lisbon"),
        ("cloudfront-viewer-country", "PT"),
        ("cloudfront-is-smarttv-viewer", "true"),
        ("x-curfew-distribution", secret),
    ];
    place(household, &headers).await
}

#[tokio::test]
async fn the_place_and_the_type_are_taken_from_a_distribution_with_the_right_secret() {
    let household = Household::register().await;
    let secrets = stack().aws.clients().secrets();
    let read = secrets.get_secret_value().secret_id(SECRET).send().await;
    let secret = read.unwrap().secret_string.unwrap();
    let nearly = format!("{}x", &secret[..secret.len() - 1]);
    let lisbon = json!({ "city": "Lisbon", "country": "PT" });
    let proven = [json!("2001:db8::7"), lisbon, json!("tv")];
    let unproven = [json!("127.0.0.1"), Value::Null, json!("other")];

    assert_eq!(place_behind(&household, &secret).await, proven);
    assert_eq!(place_behind(&household, &nearly).await, unproven);
    assert_eq!(place_behind(&household, "").await, unproven);

    // While the secret is rotated, there is always a value that is accepted.
    let new = new_secret();
    let rotate = secrets.put_secret_value().secret_id(SECRET);
    rotate.secret_string(&new).send().await.unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while place_behind(&household, &new).await != proven {
        assert!(Instant::now() < deadline, "the new value is not accepted");
        assert_eq!(place_behind(&household, &secret).await, proven);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(place_behind(&household, &secret).await, proven);
}

#[tokio::test]
async fn a_forged_host_changes_no_answer() {
    let household = Household::register().await;

    let honest = household.log_in(json!({})).send().await.done(200);
    let forged = household.log_in(json!({})).header("host", "evil.example");
    let forged = forged.send().await;

    assert!(!forged.text().contains("evil.example"));
    let forged = forged.done(200);
    assert_eq!(forged["device"]["ip"], honest["device"]["ip"]);
    assert_eq!(forged["account"], honest["account"]);
}

#[tokio::test]
async fn the_demo_household_moves_in_and_its_laptop_has_signed_the_old_phone_out() {
    let household = Household::register().await;
    let mut record: Record = stack().clone();
    record.demo.email.clone_from(&household.email);
    record.demo.password.clone_from(&household.password);
    household::move_in(&record).await.unwrap();
    let guest = household.sign_in(CONSOLE).await;
    let past = guest.devices("signed_out").await;
    let old_phone = past.iter().find(|device| device["name"] == "Old phone");
    let by = &old_phone.expect("the old phone")["signed_out_by"];
    assert_eq!(by["name"], "Firefox on Linux", "{past:?}");
    let active = guest.devices("signed_in").await;
    let is_tv = |device: &Value| device["model"] == "Samsung QE55Q80";
    assert!(active.iter().any(is_tv), "{active:?}");
}
