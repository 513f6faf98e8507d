//! Authenticator apps and recovery codes, as a person uses them on the page.

use curfew_tests::authenticator::{Authenticator, recovery_codes};
use curfew_tests::client::{Household, LAPTOP};
use curfew_tests::inbox;
use curfew_tests::person::Person;
use domain::verification::VERIFIED_FOR;
use runtime::Clock;
use serde_json::Value;

use super::verification::pass_code;

pub const APP_CODE: &str = "Code of the authenticator app";
pub const RECOVERY_CODE: &str = "Recovery code";
pub const ASKED: &str = "Enter your code";
const NOT_SIGNED_IN: &str = "You are not signed in: a code can be tried five times";

/// Returns an account with an app, which counts at once on its first day, and the device that
/// added it.
async fn with_app() -> (Household, curfew_tests::client::Device, Authenticator) {
    let household = Household::register().await;
    let laptop = household.sign_in(LAPTOP).await;
    let app = Authenticator::add(&laptop).await;
    (household, laptop, app)
}

/// Opens the page, and gets as far as the second step.
pub async fn at_second_step(household: &Household) -> Person {
    let person = Person::open().await.unwrap();
    let (email, password) = (&household.email, &household.password);
    person.sign_in(email, password).await.unwrap();
    person.reads(ASKED).await.unwrap();
    person
}

/// Adds an app in the view "Security". Returns it.
pub async fn add_app(person: &Person) -> Authenticator {
    person.press("Add an app").await.unwrap();
    person.fill("Name", "Lea’s phone").await.unwrap();
    person.press("Continue").await.unwrap();
    person.reads("Scan the picture").await.unwrap();
    let secret = "document.querySelector('.secret').textContent";
    let secret = person.browser.value(secret).await.unwrap();
    let mut app = Authenticator::new(secret.as_str().unwrap());
    person.fill(APP_CODE, &app.code()).await.unwrap();
    person.press("Add this app").await.unwrap();
    person.reads("The app is added.").await.unwrap();
    app
}

/// Returns the recovery codes that the page shows.
async fn shown_codes(person: &Person) -> Vec<String> {
    let codes = "[...document.querySelectorAll('.codes li')].map((it) => it.textContent)";
    let codes = person.browser.value(codes).await.unwrap();
    serde_json::from_value(codes).unwrap()
}

#[tokio::test]
async fn an_owner_adds_an_app_and_recovery_codes_and_signs_in_elsewhere_with_either() {
    let household = Household::register().await;
    let person = Person::verified(&household).await.unwrap();
    person.press("Security").await.unwrap();
    person
        .reads("You have no authenticator app.")
        .await
        .unwrap();
    let mut app = add_app(&person).await;
    person.press("Make recovery codes").await.unwrap();
    person.reads("We show them this once.").await.unwrap();
    let codes = shown_codes(&person).await;
    assert_eq!(codes.len(), 10);
    person.press("I have saved them").await.unwrap();
    person.reads("10 of 10 are left").await.unwrap();
    let text = person.text().await.unwrap();
    assert!(!text.contains(&codes[0]), "they are shown once: {text}");

    let phone = at_second_step(&household).await;
    let empty = Value::from("");
    let cookie = phone.browser.value("document.cookie").await.unwrap();
    assert_eq!(cookie, empty);
    phone.fill(APP_CODE, "000000").await.unwrap();
    phone.key("Enter", 13).await.unwrap();
    phone
        .reads("This code is wrong or was used.")
        .await
        .unwrap();
    let focused = "document.activeElement.id === 'totp'";
    phone.browser.until(focused).await.unwrap();
    phone.fill(APP_CODE, &app.code()).await.unwrap();
    phone.key("Enter", 13).await.unwrap();
    phone.reads("2 devices are signed in").await.unwrap();

    let tablet = at_second_step(&household).await;
    tablet.press("Use a recovery code").await.unwrap();
    let typed = codes[0].to_lowercase().replace('-', " ");
    tablet.fill(RECOVERY_CODE, &typed).await.unwrap();
    tablet.press("Sign in").await.unwrap();
    tablet.reads("3 devices are signed in").await.unwrap();
    person.browser.reload().await.unwrap();
    person.reads("9 of 10 are left").await.unwrap();
}

#[tokio::test]
async fn who_has_added_an_app_can_sign_out_every_other_device() {
    let household = Household::register().await;
    let laptop = household.sign_in(LAPTOP).await;
    let person = Person::verified(&household).await.unwrap();
    person.press("Security").await.unwrap();
    let _app = add_app(&person).await;

    person.press("Sign out every other device").await.unwrap();

    person.reads("No other device is signed in.").await.unwrap();
    laptop.ended().await;
}

#[tokio::test]
async fn an_owner_without_an_app_turns_on_codes_by_mail_and_a_new_device_needs_one() {
    let household = Household::register().await;
    let (email, password) = (&household.email, &household.password);
    let person = Person::verified(&household).await.unwrap();
    person.press("Security").await.unwrap();
    person.reads("Codes by mail are off.").await.unwrap();
    person.press("Turn on · Code by mail").await.unwrap();
    person.reads("Codes by mail are on.").await.unwrap();

    let phone = Person::open().await.unwrap();
    phone.sign_in(email, password).await.unwrap();
    let asked = "The code in the mail shows that it is you. You need";
    phone.reads(asked).await.unwrap();
    let code = pass_code(email).await;
    phone.browser.write("#code", &code).await.unwrap();
    phone.browser.write("#password", password).await.unwrap();
    phone.press("Sign in").await.unwrap();
    phone.reads("2 devices are signed in").await.unwrap();

    person.press("Turn off · Code by mail").await.unwrap();
    person.reads("Codes by mail are off.").await.unwrap();
}

#[tokio::test]
async fn a_thief_with_the_password_alone_stops_at_the_second_step() {
    let (household, laptop, _app) = with_app().await;
    let thief = at_second_step(&household).await;

    for _ in 0..4 {
        thief.fill(APP_CODE, "000000").await.unwrap();
        thief.press("Sign in").await.unwrap();
        let refused = "document.querySelector('[aria-disabled=true]') === null
            && document.querySelector('.fault') !== null";
        thief.browser.until(refused).await.unwrap();
    }
    thief.fill(APP_CODE, "000000").await.unwrap();
    thief.press("Sign in").await.unwrap();

    thief.reads(NOT_SIGNED_IN).await.unwrap();
    thief.reads("Password").await.unwrap();
    let stored = thief.stored().await.unwrap();
    assert!(stored.get("curfew.session").is_none(), "{stored}");
    assert_eq!(laptop.devices("all").await.len(), 1);
}

#[tokio::test]
async fn who_has_no_code_at_hand_goes_back_to_the_password() {
    let (household, _laptop, _app) = with_app().await;
    let person = at_second_step(&household).await;

    person.press("Back to the password").await.unwrap();

    person.reads(NOT_SIGNED_IN).await.unwrap();
    person.reads("Forgotten your password?").await.unwrap();
}

#[tokio::test]
async fn who_has_lost_the_app_is_told_until_when_and_the_owner_stops_it() {
    let (household, laptop, mut app) = with_app().await;
    let codes = recovery_codes(&laptop).await;
    let owner = at_second_step(&household).await;
    owner.fill(APP_CODE, &app.code()).await.unwrap();
    owner.press("Sign in").await.unwrap();
    owner.reads("2 devices are signed in").await.unwrap();

    let other = at_second_step(&household).await;
    other.press("I lost my authenticator app").await.unwrap();
    other.reads("It signs you in at once.").await.unwrap();
    other.press("Mail me a code").await.unwrap();
    other.reads("We sent a mail to the address").await.unwrap();
    let subject = "Your code to remove a lost authenticator app";
    let code = inbox::code_with(&household.email, subject).await;
    other.fill("Code in the mail", &code).await.unwrap();
    other.press("Remove the app after 72 hours").await.unwrap();
    other.reads("The app is removed on").await.unwrap();
    other.press("Back to the password").await.unwrap();
    other.reads(NOT_SIGNED_IN).await.unwrap();

    owner.press("Security").await.unwrap();
    owner
        .reads("says that you have lost the app")
        .await
        .unwrap();
    owner.press("Stop the removal").await.unwrap();
    owner.reads("Confirm that it is you").await.unwrap();
    owner.press("Use a recovery code").await.unwrap();
    owner.fill(RECOVERY_CODE, &codes[0]).await.unwrap();
    owner.press("Confirm").await.unwrap();
    owner.reads("The app stays.").await.unwrap();
    let text = owner.text().await.unwrap();
    assert!(!text.contains("says that you have lost the app"), "{text}");
}

#[tokio::test]
async fn a_remembered_device_is_not_asked_again() {
    let (household, _laptop, mut app) = with_app().await;
    let person = at_second_step(&household).await;
    let remember = "Don’t ask again on this device for 90 days";
    person.press(remember).await.unwrap();
    person.fill(APP_CODE, &app.code()).await.unwrap();
    person.press("Sign in").await.unwrap();
    person.reads("2 devices are signed in").await.unwrap();
    person.press("Sign out").await.unwrap();
    person.reads("Sign out this device?").await.unwrap();
    person.press("Sign out").await.unwrap();
    person.reads("You signed out.").await.unwrap();

    let (email, password) = (&household.email, &household.password);
    person.sign_in(email, password).await.unwrap();

    person.reads("2 devices are signed in").await.unwrap();
    person.press("Security").await.unwrap();
    let known = "On these, your password alone signs you in.";
    person.reads(known).await.unwrap();
    let listed = "document.querySelectorAll('section[aria-labelledby=known] li').length === 1";
    person.browser.until(listed).await.unwrap();
}

#[tokio::test]
async fn the_app_is_the_proof_before_others_are_signed_out() {
    let (household, laptop, mut app) = with_app().await;
    let codes = recovery_codes(&laptop).await;
    let person = at_second_step(&household).await;
    person.fill(APP_CODE, &app.code()).await.unwrap();
    person.press("Sign in").await.unwrap();
    person.reads("2 devices are signed in").await.unwrap();
    let past = Clock::System.now() - VERIFIED_FOR;
    person.write_time("verified_at", past).await.unwrap();

    person.press("Sign out everywhere").await.unwrap();
    person.reads("will be signed out.").await.unwrap();
    person.press("Sign out everywhere").await.unwrap();
    person.reads("Confirm that it is you").await.unwrap();
    person.fill(APP_CODE, "000000").await.unwrap();
    person.press("Confirm").await.unwrap();
    person
        .reads("This code is wrong or was used.")
        .await
        .unwrap();
    person.press("Use a recovery code").await.unwrap();
    person.fill(RECOVERY_CODE, &codes[0]).await.unwrap();
    person.press("Confirm").await.unwrap();

    person.reads("1 signed out").await.unwrap();
    laptop.ended().await;
}

#[tokio::test]
async fn an_app_that_is_removed_is_not_asked_for() {
    let (household, laptop, mut app) = with_app().await;
    let codes = recovery_codes(&laptop).await;
    let person = at_second_step(&household).await;
    person.fill(APP_CODE, &app.code()).await.unwrap();
    person.press("Sign in").await.unwrap();
    person.reads("2 devices are signed in").await.unwrap();
    let past = Clock::System.now() - VERIFIED_FOR;
    person.write_time("verified_at", past).await.unwrap();
    person.press("Security").await.unwrap();
    let name = "Remove · Lea's phone";

    person.press(name).await.unwrap();
    person.press("Cancel").await.unwrap();
    person.press(name).await.unwrap();
    person
        .reads("Its codes stop working at once.")
        .await
        .unwrap();
    person.press("Remove").await.unwrap();
    person.reads("Confirm that it is you").await.unwrap();
    person.press("Cancel").await.unwrap();
    person.reads("so nothing has changed").await.unwrap();
    person.press(name).await.unwrap();
    person.press("Remove").await.unwrap();
    person.press("Use a recovery code").await.unwrap();
    person.fill(RECOVERY_CODE, &codes[0]).await.unwrap();
    person.press("Confirm").await.unwrap();

    person.reads("“Lea's phone” is removed.").await.unwrap();
    person
        .reads("You have no authenticator app.")
        .await
        .unwrap();
    household.sign_in(LAPTOP).await;
}

#[tokio::test]
async fn a_forgotten_password_needs_the_app_besides_the_mail() {
    let (household, laptop, mut app) = with_app().await;
    let (email, new) = (&household.email, "seven violet lanterns drift");
    let person = Person::open().await.unwrap();
    person.press("Forgotten your password?").await.unwrap();
    person.fill("E-mail address", email).await.unwrap();
    person.press("Continue").await.unwrap();
    let link = inbox::link_for(email, "Get back into your account").await;
    person.go(&link).await.unwrap();
    person.fill("New password", new).await.unwrap();
    person.press("Set the password").await.unwrap();

    person
        .reads("so the mail alone is not enough")
        .await
        .unwrap();
    assert!(laptop.is_signed_in().await);
    person.fill(APP_CODE, "000000").await.unwrap();
    person.press("Set the password").await.unwrap();
    person
        .reads("This code is wrong or was used.")
        .await
        .unwrap();
    assert!(laptop.is_signed_in().await);
    person.fill(APP_CODE, &app.code()).await.unwrap();
    person.press("Set the password").await.unwrap();

    person.reads("The password is set").await.unwrap();
    assert_eq!(laptop.ended().await["reason"], "recovered");
}
