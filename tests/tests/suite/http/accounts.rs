//! `POST /v1/accounts`.

use curfew_tests::client::{Api, Household, LAPTOP, TV, unique};
use serde_json::json;

use super::reasons;

#[tokio::test]
async fn a_registered_account_can_sign_in() {
    let household = Household::register().await;

    let tv = household.sign_in(TV).await;

    assert!(tv.is_signed_in().await);
}

#[tokio::test]
async fn a_taken_address_is_answered_like_a_free_one() {
    let household = Household::unregistered();
    let free = household
        .api
        .register(&household.email, &household.password)
        .await;

    let taken = household
        .api
        .register(&household.email, &household.password)
        .await;

    assert_eq!(free.status, 202);
    assert_eq!(taken.alike(), free.alike());
}

#[tokio::test]
async fn registering_a_taken_address_changes_neither_its_password_nor_its_devices() {
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;
    let stranger = Household {
        password: Household::unregistered().password,
        ..household.clone()
    };

    let _ = stranger
        .api
        .register(&stranger.email, &stranger.password)
        .await
        .done(202);

    stranger
        .log_in(json!({}))
        .send()
        .await
        .refused(401, "credentials-invalid");
    let laptop = household.sign_in(LAPTOP).await;
    assert_eq!(laptop.account_id, tv.account_id);
    assert!(tv.is_signed_in().await);
}

#[tokio::test]
async fn an_address_in_upper_case_is_the_same_account() {
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;
    let shouting = Household {
        email: household.email.to_uppercase(),
        ..household
    };

    let laptop = shouting.sign_in(LAPTOP).await;

    assert_eq!(laptop.account_id, tv.account_id);
}

#[tokio::test]
async fn a_weak_password_is_rejected_with_its_reasons() {
    let api = Api::default();
    let reason_for = async |password: &str| {
        let answer = api.register("lea.marten@household.example", password).await;
        let problem = answer.refused(422, "password-rejected");
        reasons(&problem).join(", ")
    };

    assert_eq!(reason_for("rafter 83 ovul").await, "too_short");
    assert_eq!(reason_for("counterproductive").await, "common");
    assert_eq!(reason_for("lea.marten household").await, "own_words");
    assert_eq!(reason_for("123456789012345").await, "guessable");
}

#[tokio::test]
async fn a_password_may_have_fifteen_characters_and_a_thousand_bytes() {
    let household = Household::unregistered();
    let many: Vec<String> = (0..48).map(|_| unique()).collect();
    let many = Household {
        password: many.join(" "),
        ..household
    };
    let too_many = many.password.clone() + &"x".repeat(1025 - many.password.len());

    let refused = many.api.register(&many.email, &too_many).await;
    let taken = many.api.register(&many.email, &many.password).await;

    let problem = refused.refused(422, "password-rejected");
    assert_eq!(reasons(&problem), ["too_long"]);
    let _ = taken.done(202);
    assert!(many.sign_in(TV).await.is_signed_in().await);
}
