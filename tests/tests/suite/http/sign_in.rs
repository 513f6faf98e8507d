//! `POST /v1/login`.

use curfew_tests::client::{CONSOLE, Device, Household, LAPTOP, PHONE, TABLET, TV};
use serde_json::{Value, json};

use super::ids;

#[tokio::test]
async fn a_sign_in_answers_with_the_token_the_device_and_the_account() {
    let household = Household::register().await;

    let answer = household
        .log_in(json!({}))
        .header("user-agent", TV)
        .send()
        .await;

    let body = answer.done(200);
    assert!(body["token"].as_str().unwrap().starts_with("cft_"));
    assert!(body["device_key"].as_str().unwrap().starts_with("cfd_"));
    assert_eq!(body["account"]["email"], json!(household.email));
    assert_eq!(body["device"]["current"], json!(true));
    assert_eq!(body["device"]["status"], json!("signed_in"));
    assert_eq!(body["device"]["expires_at"], body["expires_at"]);
    assert!(answer.cookies().is_empty());
}

#[tokio::test]
async fn a_sign_in_can_sign_out_every_other_device() {
    let household = Household::register().await;
    let thief = household.sign_in(TV).await;

    let owner = household
        .sign_in_with(
            LAPTOP,
            json!({ "sign_out": "others", "pass": household.pass().await }),
        )
        .await;

    assert!(owner.is_signed_in().await);
    assert_eq!(thief.ended().await["reason"], "signed_out");
}

/// Returns the details of a device.
fn details(device: &Device) -> [&Value; 5] {
    ["name", "type", "os", "browser", "model"].map(|fact| &device.shown[fact])
}

#[tokio::test]
async fn a_device_is_recognized_by_its_user_agent() {
    let household = Household::register().await;

    let tv = household.sign_in(TV).await;
    let phone = household.sign_in(PHONE).await;
    let tablet = household.sign_in(TABLET).await;
    let laptop = household.sign_in(LAPTOP).await;
    let console = household.sign_in(CONSOLE).await;

    assert_eq!(
        json!(details(&tv)),
        json!(["Samsung TV", "tv", "Tizen", null, "Samsung TV"])
    );
    assert_eq!(
        json!(details(&phone)),
        json!(["Safari on iPhone", "phone", "iOS", "Safari", "iPhone"])
    );
    assert_eq!(
        json!(details(&tablet)),
        json!(["Safari on iPad", "tablet", "iPadOS", "Safari", "iPad"])
    );
    assert_eq!(
        json!(details(&laptop)),
        json!(["Firefox on Linux", "computer", "Linux", "Firefox", null])
    );
    assert_eq!(
        json!(details(&console)),
        json!(["PlayStation 5", "console", null, null, "PlayStation 5"])
    );
}

#[tokio::test]
async fn the_details_that_a_device_sends_win_over_its_user_agent() {
    let household = Household::register().await;
    let said = json!({
        "name": "Living room",
        "type": "tv",
        "os": "Tizen 8",
        "model": "QE55",
        "app": "Streamy",
    });

    let device = household
        .sign_in_with(LAPTOP, json!({ "device": said }))
        .await;

    let shown = &device.shown;
    assert!(
        shown["name"].as_str().unwrap().starts_with("Living room"),
        "{shown}"
    );
    assert_eq!(shown["type"], json!("tv"));
    assert_eq!(shown["os"], json!("Tizen 8"));
    assert_eq!(shown["model"], json!("QE55"));
    assert_eq!(shown["app"], json!("Streamy"));
}

#[tokio::test]
async fn a_device_with_its_key_is_the_same_device() {
    let household = Household::register().await;
    let named = json!({ "device": { "name": "Living room" } });
    let before = household.sign_in_with(TV, named).await;

    let after = household
        .sign_in_with(TV, json!({ "device_key": before.key }))
        .await;

    assert_eq!(after.id, before.id);
    assert_eq!(after.shown["name"], before.shown["name"]);
    assert_eq!(
        after.shown["first_signed_in_at"],
        before.shown["first_signed_in_at"]
    );
    assert_ne!(after.token, before.token);
    assert_eq!(after.key, before.key);
    assert_eq!(ids(&after.devices("all").await), [&after.id]);
}

#[tokio::test]
async fn signing_in_again_replaces_the_session_of_the_device() {
    let household = Household::register().await;
    let before = household.sign_in(TV).await;

    let after = household
        .sign_in_with(TV, json!({ "device_key": before.key }))
        .await;

    before
        .get("/v1/session")
        .await
        .refused(401, "token-invalid");
    assert!(after.is_signed_in().await);
}

#[tokio::test]
async fn devices_of_one_kind_are_not_merged() {
    let household = Household::register().await;

    let first = household.sign_in(LAPTOP).await;
    let second = household.sign_in(LAPTOP).await;

    assert_ne!(first.id, second.id);
    let _ = second.sign_out(&first.id).await.done(200);
    assert!(second.is_signed_in().await);
    assert!(!first.is_signed_in().await);
}

#[tokio::test]
async fn another_accounts_device_key_gives_a_new_device() {
    let (household, neighbours) = (Household::register().await, Household::register().await);
    let theirs = neighbours.sign_in(TV).await;

    let ours = household
        .sign_in_with(TV, json!({ "device_key": theirs.key }))
        .await;

    assert_ne!(ours.id, theirs.id);
    assert!(theirs.is_signed_in().await);
    assert_eq!(ids(&theirs.devices("all").await), [&theirs.id]);
}

#[tokio::test]
async fn an_unknown_address_is_answered_like_a_wrong_password() {
    let household = Household::register().await;
    let wrong = Household {
        password: Household::unregistered().password,
        ..household
    };

    let unknown = Household::unregistered().log_in(json!({})).send().await;
    let wrong = wrong.log_in(json!({})).send().await;

    unknown.refused(401, "credentials-invalid");
    assert_eq!(unknown.alike(), wrong.alike());
}

#[tokio::test]
async fn a_malformed_device_key_is_named() {
    let household = Household::register().await;

    let answer = household
        .log_in(json!({ "device_key": "cfd_nonsense" }))
        .send()
        .await;

    assert_eq!(answer.invalid(), "device_key");
}
