//! `POST /v1/accounts`, its confirmation, and recovery, with the mails of the stack.

use curfew_tests::client::{Answer, Household, LAPTOP, TV, remember, unique};
use curfew_tests::inbox;
use serde_json::{Value, json};

use super::reasons;

/// Asks for an account, and returns the challenge.
async fn ask(household: &Household) -> Value {
    let body = json!({ "email": household.email });
    let asked = household.api.post("/v1/accounts", &body).await;
    let challenge = asked.done(202)["challenge"].clone();
    remember(&[challenge.as_str().unwrap()]);
    challenge
}

/// Sends the code in the mail with the password.
async fn confirm(household: &Household, challenge: &Value, code: &str) -> Answer {
    let body = json!({ "challenge": challenge, "code": code, "password": household.password });
    let path = "/v1/accounts/confirmations";
    household.api.post(path, &body).await
}

#[tokio::test]
async fn an_account_is_made_by_the_code_in_the_mail_and_recovered_by_the_link_in_another() {
    let household = Household::unregistered();
    let challenge = ask(&household).await;
    let code = inbox::code_for(&household.email, 1).await;
    let _ = confirm(&household, &challenge, &code).await.done(201);
    let tv = household.sign_in(TV).await;
    assert!(tv.is_signed_in().await);

    let body = json!({ "email": household.email });
    let asked = household.api.post("/v1/password-resets", &body).await;
    let _ = asked.done(202);
    let mail = inbox::wait_for(&household.email, 2).await.pop().unwrap();
    let (_, link) = mail.body_text.split_once("#/recover/").unwrap();
    let link = link.split_whitespace().next().unwrap();
    remember(&[link]);
    let recovered = Household {
        password: Household::unregistered().password,
        ..household.clone()
    };
    let body = json!({ "link": link, "password": recovered.password });
    let path = "/v1/password-resets/confirmations";
    let _ = household.api.post(path, &body).await.done(200);

    assert!(!tv.is_signed_in().await);
    let laptop = recovered.sign_in(LAPTOP).await;
    assert_eq!(laptop.account_id, tv.account_id);
}

/// The mail of a taken address has no code, and only its owner reads it.
#[tokio::test]
async fn registering_a_taken_address_is_answered_alike_and_changes_nothing() {
    let household = Household::register().await;
    let free = Household::unregistered();
    let answer = async |of: &Household| {
        let answer = of
            .api
            .post("/v1/accounts", &json!({ "email": of.email }))
            .await;
        let (status, headers, text) = answer.alike();
        (status, headers, text.len())
    };

    assert_eq!(answer(&household).await, answer(&free).await);

    let [mail] = <[_; 1]>::try_from(inbox::wait_for(&household.email, 1).await).unwrap();
    assert_eq!(mail.subject, "You already have an account");
    assert!(household.sign_in(TV).await.is_signed_in().await);
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
    let lea = Household {
        email: format!("lea.marten.{}@household.example", unique()),
        ..Household::unregistered()
    };
    let challenge = ask(&lea).await;
    let code = inbox::code_for(&lea.email, 1).await;
    let reason_for = async |password: &str| {
        let lea = Household {
            password: password.to_owned(),
            ..lea.clone()
        };
        let problem = confirm(&lea, &challenge, &code).await;
        reasons(&problem.refused(422, "password-rejected")).join(", ")
    };

    assert_eq!(reason_for("rafter 83 ovul").await, "too_short");
    assert_eq!(reason_for("counterproductive").await, "common");
    assert_eq!(reason_for("123456789012345").await, "guessable");
    assert_eq!(reason_for(&"x".repeat(1025)).await, "too_long");
    // The one that needs the address takes a try.
    assert_eq!(reason_for("lea.marten household").await, "own_words");
    let many: Vec<String> = (0..48).map(|_| unique()).collect();
    let many = Household {
        password: many.join(" "),
        ..lea
    };
    let _ = confirm(&many, &challenge, &code).await.done(201);
    assert!(many.sign_in(TV).await.is_signed_in().await);
}
