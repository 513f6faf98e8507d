//! From a mail to its end, as a person reads it on the page.

use curfew_tests::authenticator::Authenticator;
use curfew_tests::client::{Household, LAPTOP, TV};
use curfew_tests::inbox;
use curfew_tests::person::Person;
use serde_json::json;

#[tokio::test]
async fn a_forgotten_password_is_replaced_from_another_browser_and_every_device_goes_dark() {
    let household = Household::register().await;
    let (email, new) = (&household.email, "seven violet lanterns drift");
    let tv = household.sign_in(TV).await;
    let watching = Person::signed_in(&household).await.unwrap();
    let asking = Person::open().await.unwrap();

    asking.press("Forgotten your password?").await.unwrap();
    asking.fill("E-mail address", email).await.unwrap();
    asking.press("Continue").await.unwrap();
    let sent = format!("We sent a mail to {email}.");
    asking.reads(&sent).await.unwrap();
    let link = inbox::link_for(email, "Get back into your account").await;
    let other = Person::open().await.unwrap();
    other.go(&link).await.unwrap();
    other.reads("This signs out every device").await.unwrap();
    assert!(tv.is_signed_in().await, "opening the link changes nothing");
    other.fill("New password", new).await.unwrap();
    other.press("Set the password").await.unwrap();

    let done = "The password is set, and every device was signed out. Sign in with it.";
    other.reads(done).await.unwrap();
    assert_eq!(tv.ended().await["reason"], "recovered");
    watching.reads("Recovered on").await.unwrap();
    watching.reads("Recover the account").await.unwrap();
    let text = watching.text().await.unwrap();
    assert!(!text.contains("Other devices"), "{text}");
    other.sign_in(email, &household.password).await.unwrap();
    let wrong = "The e-mail address or the password is wrong.";
    other.reads(wrong).await.unwrap();
    other.sign_in(email, new).await.unwrap();
    other.reads("No other device is signed in.").await.unwrap();
    other.press("Messages").await.unwrap();
    other.reads("The account was recovered").await.unwrap();
    other.press("Security").await.unwrap();
    let held = "Your e-mail address can be changed from";
    other.reads(held).await.unwrap();
    asking.go(&link).await.unwrap();
    asking
        .fill("New password", "another violet lantern")
        .await
        .unwrap();
    asking.press("Set the password").await.unwrap();
    asking
        .reads("The code is wrong, too old or used.")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_pass_gets_the_owner_past_the_limit_that_a_stranger_has_used_up() {
    let household = Household::register().await;
    let person = Person::open().await.unwrap();
    let wrong = json!({ "password": Household::unregistered().password });
    let mut tried = 0;
    while household.log_in(wrong.clone()).send().await.status != 429 {
        tried += 1;
        assert!(tried <= 10, "a stranger has ten tries");
    }
    let (email, password) = (&household.email, &household.password);
    person.sign_in(email, password).await.unwrap();
    person.reads("Too many attempts.").await.unwrap();

    person.press("Can't get in?").await.unwrap();
    person.fill("E-mail address", email).await.unwrap();
    person.press("Continue").await.unwrap();
    let code = inbox::code_for(email, 1).await;
    person.fill("Code in the mail", "AAAA-AAAA").await.unwrap();
    person.fill("Password", password).await.unwrap();
    person.press("Sign in").await.unwrap();
    person
        .reads("The code is wrong, too old or used.")
        .await
        .unwrap();
    person.fill("Code in the mail", &code).await.unwrap();
    person.press("Sign in").await.unwrap();

    let signed_in = format!("1 device is signed in to {email}");
    person.reads(&signed_in).await.unwrap();
}

#[tokio::test]
async fn a_sign_in_that_was_the_owners_is_answered_once_and_stays() {
    let household = Household::register().await;
    let laptop = household.sign_in(LAPTOP).await;
    let tv = household.sign_in(TV).await;
    let link = inbox::link_for(&household.email, "A device signed in").await;
    let person = Person::open().await.unwrap();

    person.go(&link).await.unwrap();
    person.reads("Was this you?").await.unwrap();
    person.reads("TV").await.unwrap();
    person.press("It was me").await.unwrap();

    person
        .reads("We know this device from now on.")
        .await
        .unwrap();
    assert!(tv.is_signed_in().await);
    let listed = laptop.get("/v1/messages").await.done(200);
    assert_eq!(listed["messages"][0]["answer"], "mine");
    person.go(&link).await.unwrap();
    person.browser.reload().await.unwrap();
    person.go(&link).await.unwrap();
    person.reads("This link does not work").await.unwrap();
}

#[tokio::test]
async fn a_sign_in_that_was_not_the_owners_is_ended_and_leads_to_a_new_password() {
    let household = Household::register().await;
    let laptop = household.sign_in(LAPTOP).await;
    let thief = household.sign_in(TV).await;
    let link = inbox::link_for(&household.email, "A device signed in").await;
    let person = Person::open().await.unwrap();
    person.go(&link).await.unwrap();
    person.reads("Nothing has changed yet.").await.unwrap();
    assert!(thief.is_signed_in().await);

    person.press("It was not me: sign it out").await.unwrap();

    person
        .reads("The device is refused from now on.")
        .await
        .unwrap();
    let ended = thief.ended().await;
    assert!(laptop.is_signed_in().await);
    person.press("Choose a new password").await.unwrap();
    person
        .fill("E-mail address", &household.email)
        .await
        .unwrap();
    let owner = Person::signed_in(&household).await.unwrap();
    let receipt = ended["sign_out"].as_str().unwrap();
    owner.go(&format!("#/sign-outs/{receipt}")).await.unwrap();
    owner.reads("By the link in a mail").await.unwrap();
}

/// The subject of the notice to the mailbox before a change of the address.
pub(super) const ADDRESS_CHANGED: &str = "The address of your account was changed";

/// Waits for a mail, and returns the part of the page's address in its link, and its reference.
pub(super) async fn notice_of(address: &str, subject: &str) -> (String, String) {
    let link = inbox::link_for(address, subject).await;
    let mails = inbox::wait_for(address, 1).await;
    let mail = mails.iter().find(|mail| mail.subject == subject);
    let (_, reference) = mail.unwrap().body_text.split_once("Reference ").unwrap();
    (link, reference[..6].to_owned())
}

#[tokio::test]
async fn a_thief_changes_the_address_and_the_owner_takes_the_account_back_from_the_old_mailbox() {
    let household = Household::register().await;
    let (email, new) = (&household.email, "seven violet lanterns drift");
    let tv = household.sign_in(TV).await;
    let stolen = Household::unregistered().email;
    let thief = Person::verified(&household).await.unwrap();
    thief.press("Change e-mail address").await.unwrap();
    thief.fill("New e-mail address", email).await.unwrap();
    thief.press("Continue").await.unwrap();
    thief
        .reads("The account has this address already.")
        .await
        .unwrap();
    thief.fill("New e-mail address", &stolen).await.unwrap();
    thief.press("Continue").await.unwrap();
    let code = inbox::code_for(&stolen, 1).await;
    thief.fill("Code in the mail", &code).await.unwrap();
    thief.press("Change the address").await.unwrap();
    thief.reads("The address is changed.").await.unwrap();
    let summary = format!("2 devices are signed in to {stolen}.");
    thief.reads(&summary).await.unwrap();
    assert!(tv.is_signed_in().await, "a change ends no session");

    let (link, reference) = notice_of(email, ADDRESS_CHANGED).await;
    let owner = Person::open().await.unwrap();
    owner.go(&link).await.unwrap();
    owner.reads("Did you change the address?").await.unwrap();
    owner.reads("Nothing has changed yet.").await.unwrap();
    let shown = owner.text().await.unwrap();
    assert!(!shown.contains(&reference), "{shown}");
    owner.press("It was not me: undo it").await.unwrap();
    owner.reads("Fill in this field.").await.unwrap();
    owner.fill("Reference in the mail", "AAAAAA").await.unwrap();
    owner.press("It was not me: undo it").await.unwrap();
    owner
        .reads("That is not the reference in the mail.")
        .await
        .unwrap();
    assert!(tv.is_signed_in().await);
    owner
        .fill("Reference in the mail", &reference)
        .await
        .unwrap();
    owner.press("It was not me: undo it").await.unwrap();
    owner.reads("The change is undone").await.unwrap();

    thief.go("").await.unwrap();
    thief.reads("the password no longer works").await.unwrap();
    assert_eq!(tv.ended().await["reason"], "address_restored");
    thief.sign_in(&stolen, &household.password).await.unwrap();
    thief
        .reads("The e-mail address or the password is wrong.")
        .await
        .unwrap();
    owner.press("Choose a new password").await.unwrap();
    owner.fill("E-mail address", email).await.unwrap();
    owner.press("Continue").await.unwrap();
    let link = inbox::link_for(email, "Get back into your account").await;
    owner.go(&link).await.unwrap();
    owner.fill("New password", new).await.unwrap();
    owner.press("Set the password").await.unwrap();
    owner.reads("Sign in with it.").await.unwrap();
    owner.sign_in(email, new).await.unwrap();
    owner.reads("No other device is signed in.").await.unwrap();
    owner.press("Messages").await.unwrap();
    owner
        .reads("A change of the address was undone")
        .await
        .unwrap();
    owner
        .reads("The mailbox before answered: it was not me")
        .await
        .unwrap();
    owner.press("Signed in").await.unwrap();
    owner.press("Change e-mail address").await.unwrap();
    owner.fill("New e-mail address", &stolen).await.unwrap();
    owner.press("Continue").await.unwrap();
    owner.reads("Confirm that it is you").await.unwrap();
}

#[tokio::test]
async fn a_thief_adds_an_app_and_the_owner_removes_it_from_the_mailbox() {
    let household = Household::register_long_ago().await;
    let thief = household.sign_in(LAPTOP).await;
    let _app = Authenticator::add(&thief).await;
    let asked = household.log_in(json!({})).send().await;
    let _ = asked.refused(403, "second-step-required");
    let subject = "An authenticator app was added to your account";
    let link = inbox::link_for(&household.email, subject).await;
    let owner = Person::open().await.unwrap();

    owner.go(&link).await.unwrap();
    owner
        .reads("Did you add an authenticator app?")
        .await
        .unwrap();
    assert!(thief.is_signed_in().await);
    owner.press("It was not me: remove the app").await.unwrap();

    owner.reads("The app is removed").await.unwrap();
    thief.ended().await;
    let signed_in = Person::signed_in(&household).await.unwrap();
    signed_in.press("Messages").await.unwrap();
    signed_in
        .reads("An authenticator app was added")
        .await
        .unwrap();
    signed_in
        .reads("You answered: it was not me")
        .await
        .unwrap();
    signed_in.press("Security").await.unwrap();
    signed_in
        .reads("You have no authenticator app.")
        .await
        .unwrap();
}
