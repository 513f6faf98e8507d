//! What an owner does on the page after a device is stolen or lost.

use curfew_tests::authenticator::{Authenticator, recovery_codes};
use curfew_tests::client::{Household, PHONE};
use curfew_tests::person::Person;
use domain::recognition::recognized_until;
use runtime::Clock;
use serde_json::json;

use super::look::{can_be_used, open_with_axe};
use super::security::{APP_CODE, ASKED, RECOVERY_CODE, add_app, at_second_step};
use super::verification::pass_code;

#[tokio::test]
async fn a_stolen_laptop_is_signed_out_and_its_saved_password_gets_nobody_back_in() {
    let household = Household::register().await;
    let (email, saved) = (&household.email, &household.password);
    let thief = open_with_axe().await;
    thief.sign_in(email, saved).await.unwrap();
    thief.reads("This device").await.unwrap();
    let until = recognized_until(Clock::System.now());
    thief.write_time("recognized_until", until).await.unwrap();

    let owner = open_with_axe().await;
    owner.fill("E-mail address", email).await.unwrap();
    owner.fill("Password", saved).await.unwrap();
    let alone = "Sign in and sign out everything else";
    owner.press(alone).await.unwrap();
    owner.reads("We don’t know this device yet.").await.unwrap();
    let code = pass_code(email).await;
    owner.fill("Code in the mail", &code).await.unwrap();
    owner.fill("Password", saved).await.unwrap();
    owner.press("Sign in").await.unwrap();
    let others = "You are signed in. Every other device was signed out.";
    owner.reads(others).await.unwrap();
    can_be_used(&owner).await;
    thief.reads("You were signed out on").await.unwrap();
    can_be_used(&thief).await;
    let stored = thief.stored().await.unwrap();
    assert!(stored.get("curfew.session").is_none(), "{stored}");

    let new = "seven violet lanterns drift";
    owner.press("Change password").await.unwrap();
    owner.fill("Current password", saved).await.unwrap();
    owner.fill("New password", new).await.unwrap();
    owner.browser.click("button[type=submit]").await.unwrap();
    let changed = "Password changed. Every other device was signed out.";
    owner.reads(changed).await.unwrap();
    thief.sign_in(email, saved).await.unwrap();

    let wrong = "The e-mail address or the password is wrong.";
    thief.reads(wrong).await.unwrap();
    owner.press("Signed in").await.unwrap();
    owner.reads("No other device is signed in.").await.unwrap();
}

#[tokio::test]
async fn who_lost_the_phone_with_the_app_gets_in_with_a_recovery_code_and_uses_another_app() {
    let household = Household::register().await;
    let named = json!({ "device": { "name": "Lost phone" } });
    let phone = household.sign_in_with(PHONE, named).await;
    let mut lost = Authenticator::add(&phone).await;
    let codes = recovery_codes(&phone).await;

    let owner = open_with_axe().await;
    let (email, password) = (&household.email, &household.password);
    owner.sign_in(email, password).await.unwrap();
    owner.reads(ASKED).await.unwrap();
    owner.press("Use a recovery code").await.unwrap();
    owner.fill(RECOVERY_CODE, &codes[0]).await.unwrap();
    owner.press("Sign in").await.unwrap();
    owner.reads("2 devices are signed in").await.unwrap();
    owner.press("Security").await.unwrap();
    owner.press("Remove · Lea's phone").await.unwrap();
    owner.press("Remove").await.unwrap();
    owner.reads("“Lea's phone” is removed.").await.unwrap();
    let mut new = add_app(&owner).await;
    can_be_used(&owner).await;
    owner.press("Devices").await.unwrap();
    owner.press("Sign out · Lost phone · iPhone").await.unwrap();
    owner
        .reads("Sign out “Lost phone · iPhone”?")
        .await
        .unwrap();
    owner.press("Sign out").await.unwrap();
    owner.reads("Signed out. Not reached yet").await.unwrap();
    can_be_used(&owner).await;

    phone.ended().await;
    let elsewhere: Person = at_second_step(&household).await;
    elsewhere.fill(APP_CODE, &lost.code()).await.unwrap();
    elsewhere.press("Sign in").await.unwrap();
    let refused = "This code is wrong or was used.";
    elsewhere.reads(refused).await.unwrap();
    elsewhere.fill(APP_CODE, &new.code()).await.unwrap();
    elsewhere.press("Sign in").await.unwrap();
    elsewhere.reads("2 devices are signed in").await.unwrap();
}
