//! The mails: what each message becomes, and that nobody's text gets into one.

use std::sync::Arc;

use aws_lambda_events::streams::SqsEventResponse;
use curfew_tests::aws::{Call, Principal};
use curfew_tests::delivery::{failed_messages, queue_event};
use curfew_tests::fake_aws::FakeAws;
use curfew_tests::{inbox, stack, tables};
use mail::{Challenge, Language, Message};
use send_mail::{ConfigurationSets, Deps, Sender, handle};
use serde_json::{Value, json};
use store::Store;

const PAGE: &str = "https://account.example.com/";

/// Returns a challenge for an address.
fn challenge(email: &str) -> Challenge {
    Challenge {
        email: email.to_owned(),
        challenge_id: "challenge".to_owned(),
        code: "K7QM2R9X".to_owned(),
        link_secret: "secret".to_owned(),
        language: Language::En,
    }
}

fn deps(aws: &Arc<FakeAws>) -> Deps {
    let clients = aws.clients();
    let sets = ConfigurationSets {
        unproven: "unproven".to_owned(),
        proven: "proven".to_owned(),
    };
    let sender = Sender::new(clients.ses(), "no-reply@example.com".to_owned(), sets);
    Deps {
        store: Store::new(clients.dynamodb(), tables::names()),
        sender: Some(sender),
        page_url: PAGE.to_owned(),
    }
}

/// Delivers messages, and returns those that failed.
async fn deliver(deps: &Deps, messages: &[&str]) -> Vec<String> {
    let response: SqsEventResponse = handle(deps, queue_event(messages)).await;
    failed_messages(response)
}

/// Returns the one mail that a message becomes.
async fn mail_of(aws: &Arc<FakeAws>, message: &Message) -> Value {
    let message = serde_json::to_string(message).unwrap();
    let failed = deliver(&deps(aws), &[&message]).await;
    assert_eq!(failed, [] as [&str; 0]);
    let [mail] = <[Value; 1]>::try_from(aws.take_mails()).expect("one mail");
    mail
}

fn text(mail: &Value) -> &str {
    mail["Content"]["Simple"]["Body"]["Text"]["Data"]
        .as_str()
        .unwrap()
}

fn give_account(aws: &FakeAws, email: &str) {
    let account = "0b5c4f6e-8f8e-4bd5-8a36-1c1f5a3c9d11";
    let row = json!({
        "TableName": tables::IDENTITIES,
        "Item": { "email": { "S": email }, "account_id": { "S": account } },
    });
    assert!(aws.engine.answer("PutItem", &row.to_string()).is_success());
}

#[tokio::test]
async fn what_a_message_becomes_depends_on_whose_address_it_is() {
    let aws = FakeAws::new();
    give_account(&aws, "lea@example.com");

    for (message, taken, free) in [
        (
            Message::ConfirmAddress as fn(Challenge) -> Message,
            "You already have an account",
            "Confirm your address",
        ),
        (
            Message::PasswordReset,
            "Get back into your account",
            "There is no account with this address",
        ),
        (
            Message::Pass,
            "Your code to sign in",
            "There is no account with this address",
        ),
    ] {
        for (email, subject, set) in [
            ("lea@example.com", taken, "proven"),
            ("noa+curfew@example.com", free, "unproven"),
        ] {
            let mail = mail_of(&aws, &message(challenge(email))).await;
            assert_eq!(mail["Content"]["Simple"]["Subject"]["Data"], subject);
            assert_eq!(mail["Destination"], json!({ "ToAddresses": [email] }));
            assert_eq!(mail["FromEmailAddress"], "no-reply@example.com");
            assert_eq!(mail["ConfigurationSetName"], set);
            let has_code = !subject.contains("account") || subject.contains("back");
            assert_eq!(text(&mail).contains("K7QM2R9X"), has_code, "{subject}");
        }
    }
}

#[tokio::test]
async fn a_message_that_can_not_become_a_mail_goes_back_and_the_others_are_sent() {
    let aws = FakeAws::new();
    let good = serde_json::to_string(&Message::Pass(challenge("lea@example.com"))).unwrap();
    let injected = "lea@example.com\r\nBcc: all@example.com";
    let injected = serde_json::to_string(&Message::Pass(challenge(injected))).unwrap();
    let two = serde_json::to_string(&Message::Pass(challenge("a@example.com,b@example.com")));

    let failed = deliver(&deps(&aws), &["{}", &injected, &good, &two.unwrap()]).await;

    assert_eq!(failed, ["0", "1", "3"]);
    assert_eq!(aws.take_mails().len(), 1);
    let silent = Deps {
        sender: None,
        ..deps(&aws)
    };
    assert_eq!(deliver(&silent, &[&good]).await, ["0"]);
}

#[tokio::test]
async fn a_message_of_either_queue_arrives_as_a_mail_of_the_deployed_stack() {
    let root = Principal::root();
    for queue in ["Codes", "Mails"] {
        let email = format!("{}@example.com", queue.to_lowercase());
        let message = Message::ConfirmAddress(Challenge {
            language: Language::De,
            ..challenge(&email)
        });
        let body = json!({
            "QueueUrl": stack::stack().resources[queue],
            "MessageBody": serde_json::to_string(&message).unwrap(),
        });
        let sent = root.call(&Call::sqs("SendMessage", &body)).await.unwrap();
        assert_eq!(sent.status, 200, "{}", sent.text);

        let [mail] = <[_; 1]>::try_from(inbox::wait_for(&email, 1).await).unwrap();
        assert_eq!(mail.subject, "Bestätige deine Adresse");
        let page = stack::stack().page_url();
        assert!(
            mail.body_text
                .contains(&format!("{page}#/confirm/challenge.secret"))
        );
    }
}
