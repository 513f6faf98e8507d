//! What a person does on the page, and what they read.

use curfew_tests::client::{Household, PHONE, TV, unique};
use curfew_tests::conformance::{Fault, Network, device_command};
use curfew_tests::crowd::WrittenDevice;
use curfew_tests::inbox;
use curfew_tests::person::Person;
use curfew_tests::snippets::Terminal;
use curfew_tests::stack::{self, api_url};
use http::Method;
use http_api::SESSION_COOKIE;
use serde_json::json;

/// Loses the answers of all changes while `window.loses` is set: before they are sent,
/// or on their way back.
const LOSING: &str = "
    const real = window.fetch;
    window.fetch = async (...call) => {
        const isChange = (call[1] && call[1].method || 'GET') !== 'GET';
        if (isChange && window.loses === 'request') { throw new TypeError('lost'); }
        const answer = await real.apply(window, call);
        if (isChange && window.loses === 'answer') { throw new TypeError('lost'); }
        return answer;
    };";

async fn tv_and_person() -> (Household, curfew_tests::client::Device, Person) {
    let household = Household::register().await;
    let named = json!({ "device": { "name": "Hotel TV" } });
    let tv = household.sign_in_with(TV, named).await;
    let person = Person::verified(&household).await.unwrap();
    (household, tv, person)
}

async fn sign_out_tv(person: &Person) {
    person.press("Sign out · Hotel TV").await.unwrap();
    person.reads("Sign out “Hotel TV”?").await.unwrap();
    person.press("Sign out").await.unwrap();
}

#[tokio::test]
async fn the_tv_in_the_hotel_is_signed_out_in_two_presses_and_seen_to_be_wiped() {
    let (_, tv, person) = tv_and_person().await;

    sign_out_tv(&person).await;

    let unreached = "Signed out. Not reached yet: it will be refused when it comes back.";
    person.reads(unreached).await.unwrap();
    let ended = tv.ended().await;
    person.reads("Signed out. It was notified (").await.unwrap();
    let path = format!(
        "/v1/sign-outs/{}/acknowledgement",
        ended["sign_out"].as_str().unwrap()
    );
    let _ = tv.post(&path).await.done(200);
    person
        .reads("Signed out. Wiped by the device (")
        .await
        .unwrap();
    person.reads("1 device is signed in").await.unwrap();
    person.press("Receipt").await.unwrap();
    person.reads("1 signed out · 1 wiped").await.unwrap();
    person.reads("Wiped: the device reported on").await.unwrap();
}

#[tokio::test]
async fn a_tv_that_plays_goes_dark_while_the_page_says_that_it_is_wiped() {
    let household = Household::register().await;
    let name = format!("Hotel TV {}", unique());
    let Household {
        email, password, ..
    } = &household;
    let mut tv = Terminal::start(&[&format!(
        "exec {} --name '{name}' --api-url {} --email {email} --password '{password}'",
        device_command().await.unwrap(),
        api_url()
    )])
    .await
    .unwrap();
    let person = Person::verified(&household).await.unwrap();
    tv.line("Socket open.").await.unwrap();
    person.browser.reload().await.unwrap();

    person.press(&format!("Sign out · {name}")).await.unwrap();
    let asked = format!("Sign out “{name}”?");
    person.reads(&asked).await.unwrap();
    person.press("Sign out").await.unwrap();

    let wiped = "Signed out. Wiped by the device (";
    person.reads(wiped).await.unwrap();
    tv.line("Signed out by Headless Chrome").await.unwrap();
    tv.line("Wiped: no data of the account is left.")
        .await
        .unwrap();
    tv.line("Dark.").await.unwrap();
    let rest = tv.end().await.unwrap();
    assert_eq!(rest, "");
}

#[tokio::test]
async fn after_a_lost_phone_everything_else_is_signed_out_and_this_device_stays() {
    let (household, tv, person) = tv_and_person().await;
    let phone = household.sign_in(PHONE).await;
    person.browser.reload().await.unwrap();

    person.press("Sign out everywhere").await.unwrap();
    person
        .reads("2 other devices will be signed out.")
        .await
        .unwrap();
    person.press("Sign out everywhere").await.unwrap();

    person.reads("2 signed out · 2 not reached").await.unwrap();
    person.reads("No other device is signed in.").await.unwrap();
    tv.ended().await;
    phone.ended().await;
    person.reads("2 signed out · 2 notified").await.unwrap();
}

#[tokio::test]
async fn everything_is_signed_out_with_this_device_too() {
    let (_, tv, person) = tv_and_person().await;

    person.press("Sign out everywhere").await.unwrap();
    person.press("Keep this device signed in").await.unwrap();
    person
        .reads("All 2 devices will be signed out, this one too.")
        .await
        .unwrap();
    person.press("Sign out everywhere").await.unwrap();

    person.reads("You signed out.").await.unwrap();
    tv.ended().await;
}

#[tokio::test]
async fn a_page_that_is_signed_out_under_ones_hands_says_by_whom_and_keeps_nothing() {
    let (_, tv, person) = tv_and_person().await;
    let devices = tv.devices("signed_in").await;
    let page = devices
        .iter()
        .find(|device| device["id"] != *tv.id)
        .unwrap();

    let _ = tv.sign_out(page["id"].as_str().unwrap()).await.done(200);

    person.reads("by “Hotel TV”.").await.unwrap();
    person
        .reads("What this page had stored of your account is deleted.")
        .await
        .unwrap();
    let text = person.text().await.unwrap();
    assert!(!text.contains("Other devices"), "{text}");
    let stored = person.stored().await.unwrap();
    assert!(stored.get("curfew.session").is_none(), "{stored}");
    assert_eq!(stored["cookie"], "");
}

#[tokio::test]
async fn a_changed_password_keeps_this_device_or_signs_it_out_as_chosen() {
    let (household, tv, person) = tv_and_person().await;
    let change = async |person: &Person, from: &str, to: &str| {
        person.go("#/password").await.unwrap();
        person
            .reads("This signs out every other device too")
            .await
            .unwrap();
        person
            .browser
            .write("#current_password", from)
            .await
            .unwrap();
        person.browser.write("#new_password", to).await.unwrap();
    };
    let (second, third) = ("seven violet lanterns drift", "seven amber lanterns settle");

    change(&person, &household.password, "short").await;
    person.browser.click("button[type=submit]").await.unwrap();
    person
        .reads("It is too short: use at least 15 characters.")
        .await
        .unwrap();
    change(&person, "wrong", second).await;
    person.browser.click("button[type=submit]").await.unwrap();
    person
        .reads("The current password is wrong.")
        .await
        .unwrap();
    change(&person, &household.password, second).await;
    person.browser.click("button[type=submit]").await.unwrap();
    person
        .reads("Password changed. Every other device was signed out.")
        .await
        .unwrap();
    tv.ended().await;
    change(&person, second, third).await;
    person.press("Keep this device signed in").await.unwrap();
    person.browser.click("button[type=submit]").await.unwrap();
    person.reads("The password was changed on").await.unwrap();
    person.sign_in(&household.email, third).await.unwrap();
    person.reads("No other device is signed in.").await.unwrap();
}

#[tokio::test]
async fn a_sign_out_whose_request_or_answer_is_lost_is_looked_up_and_not_guessed() {
    let (_, tv, person) = tv_and_person().await;
    let losing = json!({ "source": LOSING });
    let command = "Page.addScriptToEvaluateOnNewDocument";
    person.browser.devtools(command, losing).await.unwrap();
    person.go("").await.unwrap();
    person.browser.reload().await.unwrap();
    person.reads("Other devices").await.unwrap();

    person
        .browser
        .value("void (window.loses = 'request')")
        .await
        .unwrap();
    sign_out_tv(&person).await;
    person
        .reads("There was no answer, and it is still signed in.")
        .await
        .unwrap();
    assert!(tv.is_signed_in().await);
    person
        .browser
        .value("void (window.loses = 'answer')")
        .await
        .unwrap();
    person.press("Try again").await.unwrap();
    person.reads("Signed out. Not reached yet").await.unwrap();

    tv.ended().await;
}

#[tokio::test]
async fn a_lost_answer_to_the_pages_own_sign_out_leaves_no_dead_cookie() {
    let household = Household::register().await;
    let network = Network::before(api_url()).await.unwrap();
    let page = network.api_url().replace("127.0.0.1", "localhost");
    let person = Person::open_at(format!("{page}/"), &[]).await.unwrap();
    let (email, password) = (&household.email, &household.password);
    person.sign_in(email, password).await.unwrap();
    person.reads("This device").await.unwrap();
    person
        .browser
        .until_cookie(SESSION_COOKIE, true)
        .await
        .unwrap();
    let lost = (Some(Method::POST), "/v1/sign-out", Fault::LostAnswer);
    network.fault(lost.0, lost.1, lost.2, 1);

    person.press("Sign out").await.unwrap();
    person.reads("Sign out this device?").await.unwrap();
    person.press("Sign out").await.unwrap();

    person.reads("You signed out.").await.unwrap();
    person
        .browser
        .until_cookie(SESSION_COOKIE, false)
        .await
        .unwrap();
    person.sign_in(email, password).await.unwrap();
    person.reads("This device").await.unwrap();
    person.browser.reload().await.unwrap();
    person.reads("No other device is signed in.").await.unwrap();
    person
        .browser
        .until_cookie(SESSION_COOKIE, true)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_page_without_a_network_says_so_and_recovers() {
    let (_, _, person) = tv_and_person().await;
    person.browser.set_offline(true).await.unwrap();

    sign_out_tv(&person).await;

    person
        .reads("No answer. Checking what happened…")
        .await
        .unwrap();
    person.browser.set_offline(false).await.unwrap();
    person
        .reads("There was no answer, and it is still signed in.")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_view_that_can_not_be_loaded_says_so_and_can_be_retried() {
    let (_, _, person) = tv_and_person().await;
    person.browser.set_offline(true).await.unwrap();

    person.press("Messages").await.unwrap();

    person.reads("There was no answer.").await.unwrap();
    person.browser.set_offline(false).await.unwrap();
    person.press("Try again").await.unwrap();
    person.reads("These are the mails").await.unwrap();
}

#[tokio::test]
async fn a_device_that_signs_in_again_can_be_signed_out_again() {
    let (household, tv, person) = tv_and_person().await;
    sign_out_tv(&person).await;
    person.reads("Signed out. Not reached yet").await.unwrap();

    let again = json!({ "device": { "name": "Hotel TV" }, "device_key": tv.key });
    let tv = household.sign_in_with(TV, again).await;
    person.press("Past devices").await.unwrap();
    person.press("Signed in").await.unwrap();

    person.press("Sign out · Hotel TV").await.unwrap();
    person
        .reads("From that moment on it is refused.")
        .await
        .unwrap();
    person.press("Sign out").await.unwrap();
    person.reads("1 device is signed in to").await.unwrap();
    tv.ended().await;
}

#[tokio::test]
async fn a_failed_sign_out_of_this_device_is_shown_on_every_view_and_can_be_retried() {
    let (_, _, person) = tv_and_person().await;
    person.go("#/password").await.unwrap();
    person.press("Sign out").await.unwrap();
    person.reads("Sign out this device?").await.unwrap();
    person.browser.set_offline(true).await.unwrap();

    person.press("Sign out").await.unwrap();

    person
        .reads("Not signed out. There was no answer.")
        .await
        .unwrap();
    person.browser.set_offline(false).await.unwrap();
    person.press("Try again").await.unwrap();
    person.reads("You signed out.").await.unwrap();
}

#[tokio::test]
async fn a_device_is_renamed_in_place() {
    let (_, tv, person) = tv_and_person().await;

    person.press("Rename Hotel TV").await.unwrap();
    person
        .browser
        .write("#name", "Left in Lisbon")
        .await
        .unwrap();
    person.press("Save").await.unwrap();

    person.press("Rename Left in Lisbon").await.unwrap();
    person.browser.write("#name", "\u{200b}").await.unwrap();
    person.press("Save").await.unwrap();
    person
        .reads("Use 1 to 64 visible characters.")
        .await
        .unwrap();
    let names = tv.devices("signed_in").await;
    assert!(
        names
            .iter()
            .any(|device| device["name"] == "Left in Lisbon")
    );
}

#[tokio::test]
async fn a_person_whose_address_was_never_confirmed_confirms_it() {
    let household = Household::register_as(false).await;
    let person = Person::signed_in(&household).await.unwrap();
    let ask = format!("{} is not confirmed yet", household.email);
    person.reads(&ask).await.unwrap();

    person.press("Confirm the address").await.unwrap();
    person.press("Send the code").await.unwrap();
    person.reads("We sent a mail to").await.unwrap();
    let code = inbox::code_for(&household.email, 1).await;
    person.browser.write("#code", &code).await.unwrap();
    person.press("Confirm").await.unwrap();

    person.reads("The address is confirmed.").await.unwrap();
    person.browser.reload().await.unwrap();
    person.reads("1 device is signed in").await.unwrap();
    let shown = "document.body.innerText.includes('is not confirmed yet')";
    assert_eq!(person.browser.value(shown).await.unwrap(), false);
}

#[tokio::test]
async fn a_person_signs_up_and_is_signed_in() {
    let household = Household::unregistered();
    let person = Person::open().await.unwrap();

    person.press("Create an account").await.unwrap();
    person
        .browser
        .write("#email", &household.email)
        .await
        .unwrap();
    person.browser.click("button[type=submit]").await.unwrap();
    person.reads("We sent a mail to").await.unwrap();
    let code = inbox::code_for(&household.email, 1).await;
    person.browser.write("#code", &code).await.unwrap();
    person
        .browser
        .write("#new_password", "passwordpassword")
        .await
        .unwrap();
    person.browser.click("button[type=submit]").await.unwrap();
    person
        .reads("It is in a list of common passwords.")
        .await
        .unwrap();
    person
        .browser
        .write("#new_password", &household.password)
        .await
        .unwrap();
    person.browser.click("button[type=submit]").await.unwrap();

    person
        .reads(&format!("1 device is signed in to {}", household.email))
        .await
        .unwrap();
}

#[tokio::test]
async fn of_three_hundred_devices_one_is_found_and_several_are_signed_out() {
    let household = Household::register().await;
    let laptop = household.sign_in(PHONE).await;
    let store = stack::store();
    let account = laptop.account_id.parse().unwrap();
    let epoch = store
        .rows(account, &[])
        .await
        .unwrap()
        .account
        .unwrap()
        .epoch;
    for n in 0..298 {
        WrittenDevice::new(&store, account, epoch, n).await;
    }
    let person = Person::verified(&household).await.unwrap();

    person.reads("300 devices are signed in").await.unwrap();
    person
        .browser
        .write("input[type=search]", "297")
        .await
        .unwrap();
    person.browser.until("document.querySelectorAll('#other-devices ~ .cards .card, section .cards .card').length === 2").await.unwrap();
    person.press("Select several").await.unwrap();
    let choice = "document.querySelector('input[aria-label]') !== null";
    person.browser.until(choice).await.unwrap();
    person.browser.click("input[aria-label]").await.unwrap();
    person.press("Sign out 1 device").await.unwrap();
    person.reads("Sign out 1 device?").await.unwrap();
    person.press("Sign out 1 device").await.unwrap();
    person.reads("299 devices are signed in").await.unwrap();
}

#[tokio::test]
async fn a_past_device_says_when_by_whom_and_why_it_ended() {
    let (_, tv, person) = tv_and_person().await;
    let _ = tv.post("/v1/sign-out").await.done(200);

    person.press("Past devices").await.unwrap();

    person
        .reads("Signed out on the device itself")
        .await
        .unwrap();
    person.press("Receipt").await.unwrap();
    person.reads("By “Hotel TV”").await.unwrap();
    person.go("#/sign-outs/none").await.unwrap();
    person
        .reads("There is no receipt at this address.")
        .await
        .unwrap();
}

#[tokio::test]
async fn the_page_speaks_the_language_that_is_chosen() {
    let (_, _, person) = tv_and_person().await;
    let choose = "(() => { const list = document.querySelector('footer select');
        list.value = 'es'; list.dispatchEvent(new Event('change')); })()";

    person.browser.value(choose).await.unwrap();

    person
        .reads("Gestionar accesos y dispositivos")
        .await
        .unwrap();
    let language = person.browser.value("document.documentElement.lang").await;
    assert_eq!(language.unwrap(), "es");
    person.browser.reload().await.unwrap();
    person.reads("Cerrar sesión en todas partes").await.unwrap();
}
