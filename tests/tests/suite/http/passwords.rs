//! `PUT /v1/password`.

use curfew_tests::client::{Household, LAPTOP, TV};
use serde_json::json;

use super::reasons;

/// Returns the account with another password.
fn with_new_password(household: &Household) -> Household {
    Household {
        password: Household::unregistered().password,
        ..household.clone()
    }
}

#[tokio::test]
async fn changing_the_password_ends_every_session() {
    let old = Household::register().await;
    let (tv, laptop) = (old.sign_in(TV).await, old.sign_in(LAPTOP).await);
    let new = with_new_password(&old);

    let answer = laptop
        .change_password(&old.password, &new.password, false)
        .await;

    let sign_out = &answer.done(200)["sign_out"];
    assert_eq!(sign_out["scope"], json!("global"));
    for device in [&tv, &laptop] {
        let refused = device.ended().await;
        assert_eq!(refused["reason"], json!("password_changed"));
        assert_eq!(refused["signed_out_at"], sign_out["requested_at"]);
        assert_eq!(refused["signed_out_by"]["id"], json!(laptop.id));
    }
    assert!(new.sign_in(TV).await.is_signed_in().await);
}

#[tokio::test]
async fn changing_the_password_can_keep_the_callers_session() {
    let old = Household::register().await;
    let (tv, laptop) = (old.sign_in(TV).await, old.sign_in(LAPTOP).await);
    let new = with_new_password(&old);

    let answer = laptop
        .change_password(&old.password, &new.password, true)
        .await;

    assert_eq!(answer.done(200)["sign_out"]["scope"], json!("others"));
    assert!(laptop.is_signed_in().await);
    let refused = tv.ended().await;
    assert_eq!(refused["reason"], json!("password_changed"));
}

#[tokio::test]
async fn the_old_password_is_refused() {
    let old = Household::register().await;
    let laptop = old.sign_in(LAPTOP).await;
    let new = with_new_password(&old);

    let _ = laptop
        .change_password(&old.password, &new.password, true)
        .await
        .done(200);

    let answer = old.log_in(json!({})).send().await;
    answer.refused(401, "credentials-invalid");
}

#[tokio::test]
async fn a_wrong_current_password_changes_nothing() {
    let household = Household::register().await;
    let (tv, laptop) = (household.sign_in(TV).await, household.sign_in(LAPTOP).await);
    let [wrong, new] = [(); 2].map(|()| with_new_password(&household).password);

    // Not even a new password that would be rejected is judged.
    for new in [&*new, &wrong, "short", &household.email] {
        let answer = laptop.change_password(&wrong, new, false).await;

        answer.refused(403, "credentials-invalid");
    }
    assert!(tv.is_signed_in().await);
    assert!(laptop.is_signed_in().await);
    let _ = household.sign_in(TV).await;
}

#[tokio::test]
async fn a_weak_new_password_is_refused_with_its_reasons() {
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;
    let reason_for = async |new: &str| {
        let answer = tv.change_password(&household.password, new, false).await;
        reasons(&answer.refused(422, "password-rejected")).join(", ")
    };

    assert_eq!(reason_for("rafter 83 ovul").await, "too_short");
    assert_eq!(reason_for("counterproductive").await, "common");
    assert_eq!(reason_for(&household.email).await, "own_words");
    assert_eq!(reason_for(&household.password).await, "unchanged");
    assert!(tv.is_signed_in().await);
}
