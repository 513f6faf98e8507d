//! `GET /v1/session`, `GET /v1/devices` and `PATCH /v1/devices/{device_id}`.

use curfew_tests::client::{Answer, Device, Household, LAPTOP, PHONE, TV};
use serde_json::{Value, json};

use super::ids;

#[tokio::test]
async fn a_session_has_its_account_and_its_device() {
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;

    let answer = tv.get("/v1/session").await.done(200);

    assert_eq!(answer["account"]["id"], json!(tv.account_id));
    assert_eq!(answer["account"]["email"], json!(household.email));
    assert_eq!(answer["device"], tv.shown);
}

#[tokio::test]
async fn devices_are_listed_newest_first() {
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;
    let phone = household.sign_in(PHONE).await;
    let laptop = household.sign_in(LAPTOP).await;

    let devices = phone.devices("signed_in").await;

    assert_eq!(ids(&devices), [&laptop.id, &phone.id, &tv.id]);
    let current: Vec<&Value> = devices.iter().map(|device| &device["current"]).collect();
    assert_eq!(current, [&json!(false), &json!(true), &json!(false)]);
    assert_eq!(devices[1], phone.shown);
}

#[tokio::test]
async fn devices_can_be_filtered_by_status() {
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;
    let phone = household.sign_in(PHONE).await;
    let laptop = household.sign_in(LAPTOP).await;
    let _ = laptop.sign_out(&tv.id).await.done(200);

    let signed_out = laptop.devices("signed_out").await;

    assert_eq!(ids(&signed_out), [&tv.id]);
    let (tv_row, how) = (&signed_out[0], ["status", "reason"]);
    assert_eq!(
        how.map(|what| &tv_row[what]),
        [&json!("signed_out"), &json!("signed_out")]
    );
    assert_eq!(tv_row["signed_out_by"]["id"], json!(laptop.id));
    assert_eq!(tv_row["signed_out_by"]["name"], json!("Firefox on Linux"));
    assert!(tv_row["signed_out_at"].is_string());
    let signed_in = laptop.devices("signed_in").await;
    assert_eq!(ids(&signed_in), [&laptop.id, &phone.id]);
    assert!(signed_in.iter().all(|row| row.get("reason").is_none()));
    let all = laptop.devices("all").await;
    assert_eq!(ids(&all), [&laptop.id, &phone.id, &tv.id]);
}

#[tokio::test]
async fn a_list_in_pages_has_each_device_once() {
    let household = Household::register().await;
    let mut signed_in = Vec::new();
    for _ in 0..5 {
        signed_in.push(household.sign_in(TV).await);
    }
    let tv = &signed_in[4];

    let first = tv.get("/v1/devices?limit=2").await.done(200);
    let next = |page: &Value| {
        let cursor = page["next_cursor"].as_str().unwrap();
        format!("/v1/devices?limit=2&cursor={cursor}")
    };
    let second = tv.get(&next(&first)).await.done(200);
    let third = tv.get(&next(&second)).await.done(200);

    assert_eq!(third["next_cursor"], json!(null));
    let pages = [first, second, third];
    let listed: Vec<&str> = pages
        .iter()
        .flat_map(|page| ids(page["devices"].as_array().unwrap()))
        .collect();
    let newest_first: Vec<&str> = signed_in.iter().rev().map(|one| &*one.id).collect();
    assert_eq!(listed, newest_first);
}

#[tokio::test]
async fn a_page_is_filled_past_devices_that_the_filter_skips() {
    let household = Household::register().await;
    let oldest = household.sign_in(TV).await;
    let between = household.sign_in(PHONE).await;
    let newest = household.sign_in(LAPTOP).await;
    let _ = between.post("/v1/sign-out").await.done(200);

    let page = newest.get("/v1/devices?limit=2").await.done(200);

    assert_eq!(
        ids(page["devices"].as_array().unwrap()),
        [&newest.id, &oldest.id]
    );
    assert_eq!(page["next_cursor"], json!(null));
}

#[tokio::test]
async fn a_wrong_parameter_is_named() {
    let tv = Household::register().await.sign_in(TV).await;
    let field = async |query: &str| tv.get(&format!("/v1/devices?{query}")).await.invalid();

    assert_eq!(field("status=signed-in").await, "status");
    assert_eq!(field("status=").await, "status");
    assert_eq!(field("limit=0").await, "limit");
    assert_eq!(field("limit=101").await, "limit");
    assert_eq!(field("limit=-1").await, "limit");
    assert_eq!(field("limit=99999999999999999999999").await, "limit");
    assert_eq!(field("limit=1&limit=2").await, "limit");
    assert_eq!(field("cursor=x").await, "cursor");
    assert_eq!(field("account_id=x").await, "account_id");
}

#[tokio::test]
async fn another_accounts_devices_are_never_listed() {
    let (household, neighbours) = (Household::register().await, Household::register().await);
    let ours = household.sign_in(TV).await;
    let theirs = neighbours.sign_in(TV).await;

    let page = format!("/v1/devices?cursor={}&status=all", theirs.id);
    let after_theirs = ours.get(&page).await.done(200);

    assert_eq!(ids(&ours.devices("all").await), [&ours.id]);
    let listed = after_theirs["devices"].as_array().unwrap();
    assert!(!ids(listed).contains(&&*theirs.id));
}

async fn rename(by: &Device, device: &Device, body: Value) -> Answer {
    let path = format!("/v1/devices/{}", device.id);
    by.call("PATCH", &path).json(&body).send().await
}

#[tokio::test]
async fn the_owners_name_is_shown_everywhere_and_a_sign_in_does_not_change_it() {
    let household = Household::register().await;
    let laptop = household.sign_in(LAPTOP).await;
    let reported = json!({ "device": { "name": "TV-4711" } });
    let tv = household.sign_in_with(TV, reported).await;

    let body = json!({ "name": "  Hotel\u{a0}TV " });
    let renamed = rename(&laptop, &tv, body).await.done(200);

    let mut expected = tv.shown.clone();
    (expected["name"], expected["current"]) = (json!("Hotel TV"), json!(false));
    assert_eq!(renamed["device"], expected);
    let names = [
        tv.get("/v1/session").await.done(200)["device"]["name"].clone(),
        laptop.devices("signed_in").await[0]["name"].clone(),
        tv.sign_out(&tv.id).await.done(200)["sign_out"]["requested_by"]["name"].clone(),
    ];
    assert_eq!(names, ["Hotel TV"; 3]);
    let again = json!({ "device_key": tv.key, "device": { "name": "TV-4712" } });
    let again = household.sign_in_with(TV, again).await;
    assert_eq!(
        (&again.id, &again.shown["name"]),
        (&tv.id, &json!("Hotel TV"))
    );

    let removed = rename(&again, &tv, json!({ "name": " " })).await.done(200);
    let name = removed["device"]["name"].as_str().unwrap();
    assert!(name.starts_with("TV-4712"), "{name}");
}

#[tokio::test]
async fn a_signed_out_device_can_be_renamed_and_stays_signed_out() {
    let household = Household::register().await;
    let (one, many) = (household.sign_in(TV).await, household.sign_in(PHONE).await);
    let laptop = household.sign_in(LAPTOP).await;
    let _ = laptop.sign_out(&one.id).await.done(200);
    let _ = laptop.sign_out_scope("others").await.done(200);

    for device in [&one, &many] {
        let renamed = rename(&laptop, device, json!({ "name": "Lost" })).await;

        let renamed = &renamed.done(200)["device"];
        assert_eq!(renamed["name"], "Lost");
        assert_eq!(renamed["status"], "signed_out");
        assert_eq!(renamed["signed_out_by"]["id"], json!(laptop.id));
        let listed = laptop.devices("signed_out").await;
        assert!(listed.contains(renamed), "{listed:?}");
        assert!(!device.is_signed_in().await);
    }
}

#[tokio::test]
async fn a_wrong_name_of_a_device_changes_nothing() {
    let tv = Household::register().await.sign_in(TV).await;
    let wrong = [
        (json!({ "name": "x".repeat(65) }), "name"),
        (json!({ "name": "TV\u{7}" }), "name"),
        (json!({ "name": null }), "name"),
        (json!({}), "name"),
        (json!({ "name": "TV", "type": "tv" }), "type"),
    ];

    for (body, field) in wrong {
        assert_eq!(rename(&tv, &tv, body).await.invalid(), field);
    }

    assert_eq!(tv.get("/v1/session").await.done(200)["device"], tv.shown);
}
