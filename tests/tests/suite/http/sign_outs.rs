//! Sign-outs of this device, another device, the others and all.

use curfew_tests::client::{Answer, Household, LAPTOP, PHONE, TV};
use serde_json::{Value, json};

/// Returns the sign-out in an answer.
#[track_caller]
fn sign_out(answer: &Answer) -> Value {
    answer.done(200)["sign_out"].clone()
}

#[tokio::test]
async fn a_device_that_signs_itself_out_is_refused_from_then_on() {
    let household = Household::register().await;
    let (tv, phone) = (household.sign_in(TV).await, household.sign_in(PHONE).await);

    let sign_out = sign_out(&tv.post("/v1/sign-out").await);

    assert_eq!(sign_out["scope"], json!("local"));
    assert_eq!(sign_out["requested_by"]["id"], json!(tv.id));
    let refused = tv.ended().await;
    assert_eq!(refused["signed_out_at"], sign_out["requested_at"]);
    assert_eq!(refused["signed_out_by"], sign_out["requested_by"]);
    assert_eq!(refused["reason"], json!("signed_out"));
    assert!(phone.is_signed_in().await);
}

#[tokio::test]
async fn signing_out_one_device_keeps_the_others() {
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;
    let phone = household.sign_in(PHONE).await;
    let laptop = household.sign_in(LAPTOP).await;

    let sign_out = sign_out(&laptop.sign_out(&tv.id).await);

    assert_eq!(sign_out["scope"], json!("device"));
    assert_eq!(
        sign_out["requested_by"],
        json!({ "id": laptop.id, "name": "Firefox on Linux" })
    );
    let refused = tv.ended().await;
    assert_eq!(refused["signed_out_at"], sign_out["requested_at"]);
    assert_eq!(refused["signed_out_by"], sign_out["requested_by"]);
    assert_eq!(refused["reason"], json!("signed_out"));
    assert!(phone.is_signed_in().await);
    assert!(laptop.is_signed_in().await);
}

#[tokio::test]
async fn a_device_can_sign_itself_out_by_its_id() {
    let household = Household::register().await;
    let (tv, phone) = (household.sign_in(TV).await, household.sign_in(PHONE).await);

    let sign_out = sign_out(&tv.sign_out(&tv.id).await);

    assert_eq!(sign_out["scope"], json!("local"));
    tv.ended().await;
    assert!(phone.is_signed_in().await);
}

#[tokio::test]
async fn signing_out_a_device_twice_returns_the_first_sign_out() {
    let household = Household::register().await;
    let (tv, phone) = (household.sign_in(TV).await, household.sign_in(PHONE).await);
    let laptop = household.sign_in(LAPTOP).await;
    let first = sign_out(&laptop.sign_out(&tv.id).await);

    let second = sign_out(&phone.sign_out(&tv.id).await);

    assert_eq!(second, first);
}

#[tokio::test]
async fn signing_out_a_device_after_a_sign_out_of_the_others_returns_that_one() {
    let household = Household::register().await;
    let (tv, laptop) = (household.sign_in(TV).await, household.sign_in(LAPTOP).await);
    let first = sign_out(&laptop.sign_out_scope("others").await);

    let second = sign_out(&laptop.sign_out(&tv.id).await);

    assert_eq!(second, first);
}

#[tokio::test]
async fn signing_out_the_others_keeps_the_caller() {
    let household = Household::register().await;
    let (tv, phone) = (household.sign_in(TV).await, household.sign_in(PHONE).await);
    let laptop = household.sign_in(LAPTOP).await;

    let sign_out = sign_out(&laptop.sign_out_scope("others").await);

    assert_eq!(sign_out["scope"], json!("others"));
    for device in [&tv, &phone] {
        let refused = device.ended().await;
        assert_eq!(refused["signed_out_at"], sign_out["requested_at"]);
        assert_eq!(refused["signed_out_by"]["id"], json!(laptop.id));
        assert_eq!(refused["reason"], json!("signed_out"));
    }
    assert!(laptop.is_signed_in().await);
    let listed = laptop.devices("signed_out").await;
    assert_eq!(listed.len(), 2);
    for device in &listed {
        assert_eq!(device["signed_out_by"]["id"], json!(laptop.id));
        assert_eq!(device["signed_out_at"], sign_out["requested_at"]);
    }
}

#[tokio::test]
async fn signing_out_globally_ends_the_caller_too() {
    let household = Household::register().await;
    let (tv, laptop) = (household.sign_in(TV).await, household.sign_in(LAPTOP).await);

    let sign_out = sign_out(&laptop.sign_out_scope("global").await);

    assert_eq!(sign_out["scope"], json!("global"));
    for device in [&tv, &laptop] {
        let refused = device.ended().await;
        assert_eq!(refused["signed_out_by"]["id"], json!(laptop.id));
    }
}

#[tokio::test]
async fn a_device_that_signs_in_after_a_global_sign_out_stays_signed_in() {
    let household = Household::register().await;
    let (tv, laptop) = (household.sign_in(TV).await, household.sign_in(LAPTOP).await);
    let _ = laptop.sign_out_scope("global").await.done(200);

    let again = household
        .sign_in_with(TV, json!({ "device_key": tv.key }))
        .await;

    assert_eq!(again.id, tv.id);
    assert!(again.is_signed_in().await);
    tv.get("/v1/session").await.refused(401, "token-invalid");
    let listed = again.devices("signed_in").await;
    assert_eq!(super::ids(&listed), [&tv.id]);
}

#[tokio::test]
async fn another_accounts_device_is_answered_byte_for_byte_like_an_unknown_one() {
    let (household, neighbours) = (Household::register().await, Household::register().await);
    let ours = household.sign_in(TV).await;
    let theirs = neighbours.sign_in(TV).await;
    let ended = neighbours.sign_in(PHONE).await;
    let _ = ended.post("/v1/sign-out").await.done(200);

    let none = ours.sign_out("0192f0c1-4b2d-7a90-8f3e-1d2c3b4a5968").await;
    let no_id = ours.sign_out("nonsense").await;
    let answers = [
        ours.sign_out(&theirs.id).await,
        ours.sign_out(&ended.id).await,
    ];

    none.refused(404, "device-not-found");
    assert_eq!(no_id.alike(), none.alike());
    for answer in answers {
        assert_eq!(answer.alike(), none.alike());
    }
    assert!(theirs.is_signed_in().await);
}

#[tokio::test]
async fn a_sign_out_does_not_affect_another_account() {
    let (household, neighbours) = (Household::register().await, Household::register().await);
    let ours = household.sign_in(TV).await;
    let theirs = neighbours.sign_in(TV).await;

    let _ = ours.sign_out_scope("global").await.done(200);

    assert!(theirs.is_signed_in().await);
}
