//! The page asks who the person is, and goes on by itself.

use std::collections::BTreeMap;

use curfew_tests::authenticator::Authenticator;
use curfew_tests::client::{Device, Household, LAPTOP, PHONE, SIGN_OUT_ALL, TV};
use curfew_tests::conformance::{Fault, Network};
use curfew_tests::inbox;
use curfew_tests::person::{Person, STORED_SESSION};
use curfew_tests::stack::api_url;
use domain::recognition::recognized_until;
use domain::verification::VERIFIED_FOR;
use http::Method;
use runtime::Clock;
use serde_json::{Value, json};
use url::Url;

use super::security::APP_CODE;

const ASKED: &str = "Confirm that it is you";
const NOT_DONE: &str =
    "Not signed out. You did not confirm that it is you, so nothing has changed.";
/// True while the dialog is not shown.
const CLOSED: &str = "document.querySelector('dialog') === null";

/// Returns the code of the last mail to an address that has one for a verification.
pub async fn mailed_code(email: &str) -> String {
    inbox::code_with(email, "Your code to confirm that it is you").await
}

/// Returns a TV, and a page that is not verified.
async fn tv_and_page() -> (Household, Device, Person) {
    let household = Household::register().await;
    let named = json!({ "device": { "name": "Hotel TV" } });
    let tv = household.sign_in_with(TV, named).await;
    let person = Person::signed_in(&household).await.unwrap();
    (household, tv, person)
}

/// Lets the page be of a recognized device whose verification is over.
async fn recognize(person: &Person) {
    let now = Clock::System.now();
    let until = recognized_until(now);
    person.write_time("recognized_until", until).await.unwrap();
    let past = now - VERIFIED_FOR;
    person.write_time("verified_at", past).await.unwrap();
}

async fn sign_out_others(person: &Person) {
    person.press("Sign out everywhere").await.unwrap();
    person.reads("will be signed out.").await.unwrap();
    person.press("Sign out everywhere").await.unwrap();
}

async fn confirm_with_code(person: &Person, email: &str) {
    person.press("Send me a code").await.unwrap();
    person.reads("We sent a mail to").await.unwrap();
    let code = mailed_code(email).await;
    person.browser.write("#code", &code).await.unwrap();
    person.press("Confirm").await.unwrap();
}

#[tokio::test]
async fn a_thief_of_a_session_signs_nobody_out_without_a_proof() {
    let (household, tv, thief) = tv_and_page().await;
    let phone = household.sign_in(PHONE).await;
    thief
        .write_time("signed_in_at", Clock::System.now() - VERIFIED_FOR)
        .await
        .unwrap();
    thief.browser.reload().await.unwrap();

    sign_out_others(&thief).await;
    thief.reads(ASKED).await.unwrap();
    thief.press("Send me a code").await.unwrap();
    thief.reads("We sent a mail to").await.unwrap();
    thief.browser.write("#code", "K7QM-2R9X").await.unwrap();
    thief.browser.write("#password", "a guess").await.unwrap();
    thief.press("Confirm").await.unwrap();
    thief
        .reads("The code is wrong, too old or used.")
        .await
        .unwrap();
    thief.key("Escape", 27).await.unwrap();

    thief.reads(NOT_DONE).await.unwrap();
    thief.browser.until(CLOSED).await.unwrap();
    assert!(tv.is_signed_in().await && phone.is_signed_in().await);
}

#[tokio::test]
async fn the_owner_proves_it_by_the_password_and_the_very_act_is_done() {
    let (household, tv, person) = tv_and_page().await;
    recognize(&person).await;

    sign_out_others(&person).await;
    person.reads(ASKED).await.unwrap();
    person.browser.write("#password", "wrong").await.unwrap();
    person.press("Confirm").await.unwrap();
    person
        .reads("The current password is wrong.")
        .await
        .unwrap();
    let focused = "document.activeElement.id === 'password'";
    person.browser.until(focused).await.unwrap();
    let password = &household.password;
    person.browser.write("#password", password).await.unwrap();
    person.press("Confirm").await.unwrap();

    person.reads("1 signed out · 1 not reached").await.unwrap();
    tv.ended().await;
    person.browser.reload().await.unwrap();
    person.reads("No other device is signed in.").await.unwrap();
}

#[tokio::test]
async fn the_owner_proves_it_by_a_code_and_is_asked_once_for_several_devices() {
    let (household, tv, person) = tv_and_page().await;
    let phone = household.sign_in(PHONE).await;
    person.browser.reload().await.unwrap();
    person.press("Select several").await.unwrap();
    for label in ["Hotel TV", "iPhone"] {
        let choice = format!(
            "[...document.querySelectorAll('input[aria-label]')].find((it) => it.ariaLabel.includes('{label}')).click()"
        );
        person.browser.value(&choice).await.unwrap();
    }
    person.press("Sign out 2 devices").await.unwrap();
    person.press("Sign out 2 devices").await.unwrap();

    person.reads(ASKED).await.unwrap();
    confirm_with_code(&person, &household.email).await;

    person.reads("1 device is signed in").await.unwrap();
    tv.ended().await;
    phone.ended().await;
}

#[tokio::test]
async fn who_gives_up_is_asked_once_and_nothing_is_done() {
    let (household, tv, person) = tv_and_page().await;
    let phone = household.sign_in(PHONE).await;
    person.browser.reload().await.unwrap();
    person.press("Select several").await.unwrap();
    let choose = "document.querySelectorAll('input[aria-label]').forEach((it) => it.click())";
    person.browser.value(choose).await.unwrap();
    person.press("Sign out 2 devices").await.unwrap();
    person.press("Sign out 2 devices").await.unwrap();
    person.reads(ASKED).await.unwrap();

    person.press("Cancel").await.unwrap();

    let both = "document.querySelectorAll('.card .outcome.failed').length === 2";
    person.browser.until(both).await.unwrap();
    person.browser.until(CLOSED).await.unwrap();
    assert!(tv.is_signed_in().await && phone.is_signed_in().await);
}

#[tokio::test]
async fn a_new_password_that_keeps_this_device_waits_for_a_code_and_is_set() {
    let (household, tv, person) = tv_and_page().await;
    person.go("#/password").await.unwrap();
    person
        .reads("This signs out every other device too")
        .await
        .unwrap();
    let (old, new) = (&household.password, "seven violet lanterns drift");
    person
        .browser
        .write("#current_password", old)
        .await
        .unwrap();
    person.browser.write("#new_password", new).await.unwrap();
    person.browser.click("button[type=submit]").await.unwrap();

    person.reads(ASKED).await.unwrap();
    confirm_with_code(&person, &household.email).await;

    person
        .reads("Password changed. Every other device was signed out.")
        .await
        .unwrap();
    tv.ended().await;
}

#[tokio::test]
async fn a_sign_in_signs_everything_else_out_with_the_code_in_the_mail() {
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;
    let person = Person::open().await.unwrap();
    let (email, password) = (&household.email, &household.password);
    person.browser.write("#email", email).await.unwrap();
    person.browser.write("#password", password).await.unwrap();

    person
        .press("Sign in and sign out everything else")
        .await
        .unwrap();
    person
        .reads("We don’t know this device yet.")
        .await
        .unwrap();
    assert!(tv.is_signed_in().await);
    let code = pass_code(email).await;
    person.browser.write("#code", &code).await.unwrap();
    person.browser.write("#password", password).await.unwrap();
    person.press("Sign in").await.unwrap();

    person
        .reads("You are signed in. Every other device was signed out.")
        .await
        .unwrap();
    tv.ended().await;
}

/// Returns the code of a pass.
pub async fn pass_code(email: &str) -> String {
    let mut count = 1;
    loop {
        let mails = inbox::wait_for(email, count).await;
        if mails.iter().any(|mail| mail.body_text.contains("#/pass/")) {
            return inbox::code_for(email, count).await;
        }
        count = mails.len() + 1;
    }
}

#[tokio::test]
async fn a_page_whose_new_cookie_was_lost_offers_to_sign_in_again() {
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;
    let network = Network::before(api_url()).await.unwrap();
    let page = network.api_url().replace("127.0.0.1", "localhost");
    let person = Person::open_at(format!("{page}/"), &[]).await.unwrap();
    let (email, password) = (&household.email, &household.password);
    person.sign_in(email, password).await.unwrap();
    person.reads("This device").await.unwrap();
    let superseded = Fault::Problem(401, "token-superseded");
    network.fault(Some(Method::GET), "/v1/devices", superseded, 2);

    person.press("Past devices").await.unwrap();

    person
        .reads("Sign in again: this stays the same device.")
        .await
        .unwrap();
    let stored = person.stored().await.unwrap();
    assert!(stored.get("curfew.session").is_some(), "{stored}");
    person.sign_in(email, password).await.unwrap();
    person.reads("2 devices are signed in").await.unwrap();
    assert_eq!(tv.devices("all").await.len(), 2);
}

/// Returns the problem of a deployment with a login of its own.
fn external_required() -> Value {
    json!({
        "type": "urn:curfew:problem:verification-required",
        "title": "Confirm that it is you.",
        "status": 401,
        "methods": [["external"]],
        "max_age": 300,
        "verify_at": "https://login.example.com/verify",
    })
}

#[tokio::test]
async fn signing_in_alone_signs_in_first_where_only_the_teams_own_login_verifies() {
    let household = Household::register().await;
    let network = Network::before(api_url()).await.unwrap();
    let page = network.api_url().replace("127.0.0.1", "localhost");
    let person = Person::open_at(format!("{page}/"), &[]).await.unwrap();
    for path in ["/v1/login", SIGN_OUT_ALL] {
        let required = Fault::Json(401, external_required());
        network.fault(Some(Method::POST), path, required, 1);
    }
    let (browser, password) = (&person.browser, &household.password);
    browser.write("#email", &household.email).await.unwrap();
    browser.write("#password", password).await.unwrap();
    browser.click("button[name=others]").await.unwrap();

    person.reads(ASKED).await.unwrap();
    person.reads("Open the sign-in page").await.unwrap();
    person.press("Cancel").await.unwrap();
    person.reads("This device").await.unwrap();
}

#[tokio::test]
async fn who_signs_in_alone_with_a_young_app_is_asked_for_its_code_once_and_for_one_by_mail() {
    let household = Household::register_long_ago().await;
    let laptop = household.sign_in(LAPTOP).await;
    let mut app = Authenticator::add(&laptop).await;
    let (email, password) = (&household.email, &household.password);
    let person = Person::open().await.unwrap();
    person.browser.write("#email", email).await.unwrap();
    person.browser.write("#password", password).await.unwrap();
    person.browser.click("button[name=others]").await.unwrap();

    person.fill(APP_CODE, &app.code()).await.unwrap();
    person.press("Sign in").await.unwrap();
    person.reads(ASKED).await.unwrap();
    assert!(laptop.is_signed_in().await);
    confirm_with_code(&person, email).await;

    person.reads("No other device is signed in.").await.unwrap();
    laptop.ended().await;
}

/// Signs everything else out on a page whose deployment has a login of its own. That answers
/// here for the stack of the tests, which has none.
#[tokio::test]
async fn a_login_of_the_teams_own_opens_in_another_tab_and_the_act_goes_on_in_the_first() {
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;
    let network = Network::before(api_url()).await.unwrap();
    let page = network.api_url().replace("127.0.0.1", "localhost");
    let person = Person::open_at(format!("{page}/"), &[]).await.unwrap();
    let (email, password) = (&household.email, &household.password);
    person.sign_in(email, password).await.unwrap();
    person.reads("This device").await.unwrap();
    let stored = person.browser.value(STORED_SESSION).await.unwrap();
    let (required, post) = (external_required(), Some(Method::POST));
    network.fault(post.clone(), SIGN_OUT_ALL, Fault::Json(401, required), 1);
    sign_out_others(&person).await;
    person.reads(ASKED).await.unwrap();
    let link = "document.querySelector('dialog a').href";
    let link = person.browser.value(link).await.unwrap();
    let link = Url::parse(link.as_str().unwrap()).unwrap();
    let asked: BTreeMap<_, _> = link.query_pairs().into_owned().collect();
    assert_eq!(asked["session"], stored["session"]);
    assert!(
        link.as_str()
            .starts_with("https://login.example.com/verify?")
    );
    let challenge = format!("cfc_{}", "x".repeat(49));
    let now = Clock::System.now();
    person.write_time("verified_at", now).await.unwrap();
    let verified = json!({
        "session": stored["session"],
        "expires_at": stored["expires_at"],
        "verified_until": (now + VERIFIED_FOR).to_string(),
    });
    network.fault(post, "/v1/verifications", Fault::Json(200, verified), 1);

    person.browser.tab(1).await.unwrap();
    person
        .browser
        .go(&format!("{}{challenge}", asked["return_to"]))
        .await
        .unwrap();

    person.reads("You can close this tab.").await.unwrap();
    let address = person.browser.value("location.href").await.unwrap();
    assert!(!address.as_str().unwrap().contains("cfc_"), "{address}");
    person.browser.tab(0).await.unwrap();
    person.reads("Signed out").await.unwrap();
    person.browser.until(CLOSED).await.unwrap();
    tv.ended().await;
}
