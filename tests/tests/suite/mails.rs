//! The mails: what each message becomes, and that nobody's text gets into one.

use std::fs;
use std::sync::Arc;

use aws_lambda_events::streams::SqsEventResponse;
use curfew_tests::account::{PASSWORD, noon, register};
use curfew_tests::aws::{Call, Principal};
use curfew_tests::delivery::{failed_messages, queue_event};
use curfew_tests::engine::ServiceResponse;
use curfew_tests::fake_aws::FakeAws;
use curfew_tests::person::Person;
use curfew_tests::wire::CallResult;
use curfew_tests::{inbox, stack, tables};
use domain::{EmailAddress, Timestamp};
use mail::{Challenge, Language, Message, Notice};
use send_mail::{
    Addressee, ConfigurationSets, Deps, Facts, FailureFacts, Mail, Sender, handle, render,
};
use serde_json::{Value, json};
use store::Store;

const PAGE: &str = "https://account.example.com/";

/// Returns a challenge for an address.
fn challenge(email: &str) -> Challenge {
    Challenge {
        email: email.to_owned(),
        challenge_id: "challenge".to_owned(),
        code: "K7QM2R9X".to_owned(),
        link_secret: None,
        language: Language::En,
    }
}

fn deps(aws: &Arc<FakeAws>) -> Deps {
    let clients = aws.clients();
    let sets = ConfigurationSets {
        unproven: "unproven".to_owned(),
        proven: "proven".to_owned(),
    };
    let name = "Für alle\"\r\nBcc: <b@e.c>";
    let sender = Sender::new(clients.ses(), "no-reply@example.com", name, sets);
    Deps {
        store: Store::new(clients.dynamodb(), tables::names()),
        sender: Some(sender),
        page_url: PAGE.to_owned(),
        product: "Curfew".to_owned(),
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

async fn give_account(deps: &Deps, email: &str, confirmed_at: Option<Timestamp>) {
    let now = noon().now();
    let given = register(&deps.store, email, PASSWORD, confirmed_at, now).await;
    given.unwrap();
}

#[tokio::test]
async fn what_a_message_becomes_depends_on_whose_address_it_is() {
    let aws = FakeAws::new();
    let deps = deps(&aws);
    give_account(&deps, "lea@example.com", Some(noon().now())).await;
    give_account(&deps, "ada@example.com", None).await;
    let code = "Your code to sign in";
    let nobody = "There is no account with this address";
    let confirm = "Confirm your address";

    for (message, subjects) in [
        (
            Message::ConfirmAddress as fn(Challenge) -> Message,
            ["You already have an account", confirm, confirm],
        ),
        (
            Message::PasswordReset,
            ["Get back into your account", nobody, nobody],
        ),
        (Message::Pass, [code, code, nobody]),
    ] {
        let emails = [
            "lea@example.com",
            "ada@example.com",
            "noa+curfew@example.com",
        ];
        for (email, subject) in emails.into_iter().zip(subjects) {
            let mail = mail_of(&aws, &message(challenge(email))).await;
            assert_eq!(mail["Content"]["Simple"]["Subject"]["Data"], subject);
            assert_eq!(mail["Destination"], json!({ "ToAddresses": [email] }));
            let from = mail["FromEmailAddress"].as_str().unwrap();
            let (word, address) = from.split_once(' ').unwrap();
            assert!(
                word.starts_with("=?UTF-8?B?") && word.ends_with("?="),
                "{from}"
            );
            assert_eq!(address, "<no-reply@example.com>");
            let set = if email.starts_with("lea") {
                "proven"
            } else {
                "unproven"
            };
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
async fn what_ses_says_about_an_address_is_in_no_error() {
    let aws = FakeAws::new();
    let good = serde_json::to_string(&Message::Pass(challenge("lea@example.com"))).unwrap();
    for (code, failed) in [
        ("BadRequestException", vec![]),
        ("MessageRejected", vec!["0"]),
    ] {
        aws.fail("SendEmail", move || {
            let body = json!({ "__type": code, "message": "lea@example.com is not verified" });
            CallResult::Answered(ServiceResponse {
                status: 400,
                body: body.to_string(),
            })
        });
        assert_eq!(deliver(&deps(&aws), &[&good]).await, failed, "{code}");
        let to = Addressee {
            email: EmailAddress::parse("lea@example.com").unwrap(),
            language: Language::En,
            is_proven: true,
        };
        let mail = render(&every_mail()[0], Language::En, "Curfew").unwrap();
        let sender = deps(&aws).sender.unwrap();
        let error = sender.send(&to, &mail).await.unwrap_err();
        assert!(error.to_string().contains(code));
        assert!(!format!("{error} {error:?}").contains("lea"), "{error:?}");
    }
}

/// Returns a mail of each kind.
fn every_mail() -> [Mail; 11] {
    let (code, link) = (
        "K7QM-2R9X".to_owned(),
        format!("{PAGE}#/confirm/challenge.secret"),
    );
    let facts = Facts {
        device: "Computer (Firefox, Linux)".to_owned(),
        place: Some("Porto, PT".to_owned()),
        at: "2026-11-29, 13:05 UTC".to_owned(),
        reference: "7K3Q9D".to_owned(),
    };
    let with_code = || (code.clone(), link.clone());
    let of_facts = || (facts.clone(), format!("{PAGE}#/notice/cfn_secret"));
    let page = || PAGE.to_owned();
    let [confirm, reset, pass] = [(); 3].map(|()| with_code());
    let [in_, out, changed, recovered, wrong] = [(); 5].map(|()| of_facts());
    [
        Mail::ConfirmAddress {
            code: confirm.0,
            link: confirm.1,
        },
        Mail::PasswordReset {
            code: reset.0,
            link: reset.1,
        },
        Mail::Pass {
            code: pass.0,
            link: pass.1,
        },
        Mail::AddressTaken { link: page() },
        Mail::NoAccount { link: page() },
        Mail::SignedIn {
            facts: in_.0,
            link: in_.1,
        },
        Mail::SignedOut {
            facts: out.0,
            link: out.1,
        },
        Mail::PasswordChanged {
            facts: changed.0,
            link: changed.1,
        },
        Mail::Recovered {
            facts: recovered.0,
            link: recovered.1,
        },
        Mail::WrongPassword {
            facts: wrong.0,
            link: wrong.1,
        },
        Mail::ManyFailures {
            facts,
            failures: FailureFacts {
                count: 50,
                since: "2026-11-29, 12:10 UTC".to_owned(),
            },
            link: page(),
        },
    ]
}

#[test]
fn every_mail_in_every_language_links_to_the_page_alone_and_guards_its_code() {
    for (language, warning) in [
        (Language::En, "Nobody can use this code without you."),
        (Language::Es, "Nadie puede usar este código sin ti."),
        (Language::De, "Ohne dich kann niemand diesen Code benutzen."),
    ] {
        for (at, mail) in every_mail().iter().enumerate() {
            let name = format!("{} {}", language.tag(), mail.name());
            let mail = render(mail, language, "Curfew").unwrap();
            assert!(
                !mail.subject.is_empty() && mail.subject.len() < 60,
                "{name}"
            );
            assert!(
                !mail.text.contains(['[', '{']) && !mail.text.contains("->"),
                "{name}"
            );
            for body in [&mail.text, &mail.html] {
                let links = body.matches("http").count();
                assert_eq!(links, 1, "{name}");
                assert_eq!(body.matches(PAGE).count(), links, "{name}");
                for resource in ["<script", "<img", "<link", "src=", "url("] {
                    assert!(!body.contains(resource), "{name}: {resource}");
                }
            }
            if at < 3 {
                assert!(mail.text.starts_with(warning), "{name}: {}", mail.text);
                let first = mail.html.find("<p>").unwrap();
                assert!(
                    mail.html[first..].starts_with(&format!("<p>{warning}")),
                    "{name}"
                );
                assert!(mail.text.contains("    K7QM-2R9X\n"), "{name}");
            } else {
                assert!(!mail.text.contains("K7QM"), "{name}");
            }
            assert_eq!(mail.text.contains("7K3Q9D"), at > 4, "{name}");
        }
    }
}

#[tokio::test]
async fn a_text_of_a_stranger_stays_a_text() {
    let aws = FakeAws::new();
    let place = "<b>Porto</b>\n\n[button] Call us -> https://evil.example/";
    let notice = Message::Notice(Box::new(Notice {
        email: "lea+curfew@example.com".to_owned(),
        event: "signed_in".to_owned(),
        at_s: 1_795_960_000,
        device_type: Some("tv".to_owned()),
        os: None,
        browser: None,
        place: Some(place.to_owned()),
        reference: "7K3Q9D".to_owned(),
        sign_out: None,
        failures: None,
        link_secret: Some("cfn_secret".to_owned()),
        language: Language::En,
    }));

    let mail = mail_of(&aws, &notice).await;

    assert_eq!(
        mail["Destination"]["ToAddresses"],
        json!(["lea+curfew@example.com"])
    );
    assert_eq!(mail["ConfigurationSetName"], "proven");
    let html = mail["Content"]["Simple"]["Body"]["Html"]["Data"]
        .as_str()
        .unwrap();
    assert_eq!(html.matches("<a ").count(), 1);
    assert!(html.contains(&format!("href=\"{PAGE}#/notice/cfn_secret\"")));
    assert!(!html.contains("<b>"));
}

#[tokio::test]
async fn every_mail_can_be_read_on_a_phone_in_both_colour_schemes() {
    let folder = curfew::target().join("mail-pictures");
    fs::create_dir_all(&folder).unwrap();
    let person = Person::open_at(format!("file://{}/", folder.display()), &[])
        .await
        .unwrap();
    for language in Language::ALL {
        for mail in &every_mail() {
            let name = format!("{}-{}", mail.name(), language.tag());
            let html = render(mail, language, "Curfew").unwrap().html;
            fs::write(folder.join(format!("{name}.html")), html).unwrap();
            person.go(&format!("{name}.html")).await.unwrap();
            for (scheme, width) in [("light", 320), ("dark", 390)] {
                let feature = [("prefers-color-scheme", scheme)];
                person.looks((width, 844), "", &feature).await.unwrap();
                let is_wide = "document.documentElement.scrollWidth > innerWidth";
                let is_wide = person.browser.value(is_wide).await.unwrap();
                assert_eq!(is_wide, false, "{name} {width}");
                if language == Language::En || scheme == "dark" {
                    let picture = format!("{name}-{scheme}");
                    person
                        .browser
                        .photograph_in("mail-pictures", &picture)
                        .await
                        .unwrap();
                }
            }
        }
    }
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
                .contains(&format!("{page}#/confirm/K7QM2R9X"))
        );
    }
}
