//! The mails: what each message becomes, and that nobody's text gets into one.

use std::fs;
use std::sync::Arc;

use aws_lambda_events::streams::SqsEventResponse;
use curfew_tests::account::{PASSWORD, noon, register};
use curfew_tests::aws::{Call, Principal};
use curfew_tests::delivery::{failed_messages, queue_event};
use curfew_tests::engine::ServiceResponse;
use curfew_tests::fake_aws::{FakeAws, Intercept};
use curfew_tests::person::Person;
use curfew_tests::wire::CallResult;
use curfew_tests::{inbox, stack, tables};
use domain::challenge::CODE_LIFETIME;
use domain::notice::NOTICE_LINK_LIFETIME;
use domain::{EmailAddress, Timestamp};
use jiff::SignedDuration;
use mail::{Challenge, Language, Message, Notice};
use runtime::Clock;
use send_mail::{
    Addressee, ConfigurationSets, Deps, Facts, FailureFacts, Mail, Sender, UNPROVEN, handle, render,
};
use serde_json::{Value, json};
use store::Store;

const SECOND: SignedDuration = SignedDuration::from_secs(1);
const PAGE: &str = "https://account.example.com/";

/// Returns a challenge for an address.
fn challenge(email: &str) -> Challenge {
    Challenge {
        email: email.to_owned(),
        challenge_id: "challenge".to_owned(),
        code: "K7QM2R9X".to_owned(),
        link_secret: None,
        expires_at_s: (noon().now() + CODE_LIFETIME).as_second(),
        language: Language::En,
        is_for_password: false,
    }
}

pub(crate) fn deps(aws: &Arc<FakeAws>) -> Deps {
    let clients = aws.clients();
    let sets = ConfigurationSets {
        unproven: "unproven".to_owned(),
        proven: "proven".to_owned(),
    };
    let name = "Für alle\"\r\nBcc: <b@e.c>";
    let sender = Sender::new(clients.config(), "no-reply@example.com", name, sets);
    Deps {
        store: Store::new(clients.dynamodb(), tables::names()),
        sender: Some(sender),
        page_url: PAGE.to_owned(),
        product: "Curfew".to_owned(),
        unproven: UNPROVEN,
        clock: noon(),
    }
}

/// Delivers messages, and returns those that failed.
pub(crate) async fn deliver(deps: &Deps, messages: &[&str]) -> Vec<String> {
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
            assert!(mail["EmailTags"].is_null(), "a code has no notice");
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
async fn a_code_that_expired_in_the_queue_is_not_mailed() {
    let aws = FakeAws::new();
    let deps = deps(&aws);
    let waited = challenge("lea@example.com");
    let ask = Message::ConfirmAddress(waited.clone());
    let ask = serde_json::to_string(&ask).unwrap();
    deps.clock.advance(CODE_LIFETIME - SECOND);
    assert_eq!(deliver(&deps, &[&ask]).await, [] as [&str; 0]);
    assert_eq!(aws.take_mails().len(), 1, "a second before");

    deps.clock.advance(SECOND);
    for kind in [
        Message::ConfirmAddress as fn(Challenge) -> Message,
        Message::PasswordReset,
        Message::Pass,
    ] {
        let ask = serde_json::to_string(&kind(waited.clone())).unwrap();
        assert_eq!(deliver(&deps, &[&ask]).await, [] as [&str; 0]);
    }
    assert_eq!(aws.take_mails(), [] as [Value; 0]);
}

#[tokio::test]
async fn mails_to_unproven_addresses_share_a_budget_and_those_to_owners_do_not() {
    let aws = FakeAws::new();
    let deps = deps(&aws);
    give_account(&deps, "lea@example.com", Some(noon().now())).await;
    let ask = |kind: fn(Challenge) -> Message, email: &str| {
        serde_json::to_string(&kind(challenge(email))).unwrap()
    };
    let confirm = ask(Message::ConfirmAddress, "noa@example.com");
    let flood = vec![&*confirm; 120];

    let waiting = deliver(&deps, &flood).await.len();
    assert_eq!((aws.take_mails().len(), waiting), (100, 20));

    // A mail to nobody that has no code is dropped. Mails to owners go on.
    let nobody = ask(Message::PasswordReset, "ada@example.com");
    assert_eq!(deliver(&deps, &[&*nobody; 100]).await, [] as [&str; 0]);
    assert_eq!(aws.take_mails().len(), 100);
    let recovery = ask(Message::PasswordReset, "lea@example.com");
    let taken = ask(Message::ConfirmAddress, "lea@example.com");
    let notice = serde_json::to_string(&Message::Notice(Box::new(signed_in()))).unwrap();
    let others = deliver(&deps, &[&nobody, &recovery, &taken, &notice]).await;
    assert_eq!(others, [] as [&str; 0]);
    let sets: Vec<_> = aws.take_mails();
    assert_eq!(sets.len(), 3);
    assert!(
        sets.iter()
            .all(|mail| mail["ConfigurationSetName"] == "proven")
    );

    // One more each second: what waited is sent while its code is good.
    deps.clock.advance(SECOND * 2);
    assert_eq!(deliver(&deps, &flood[..5]).await.len(), 3);
    assert_eq!(aws.take_mails().len(), 2);
    deps.clock.advance(CODE_LIFETIME);
    assert_eq!(deliver(&deps, &flood).await, [] as [&str; 0]);
    assert_eq!(aws.take_mails(), [] as [Value; 0], "expired");
}

#[tokio::test]
async fn mails_about_no_account_delay_no_code() {
    let aws = FakeAws::new();
    let deps = deps(&aws);
    let ask = |kind: fn(Challenge) -> Message, email: &str| {
        serde_json::to_string(&kind(challenge(email))).unwrap()
    };
    let nobody = ask(Message::PasswordReset, "ada@example.com");
    let dropped = deliver(&deps, &[&*nobody; 120]).await;
    assert_eq!((aws.take_mails().len(), dropped.len()), (100, 0));

    let confirm = ask(Message::ConfirmAddress, "noa@example.com");
    assert_eq!(deliver(&deps, &[&*confirm]).await, [] as [&str; 0]);
    assert_eq!(aws.take_mails().len(), 1);
}

#[tokio::test]
async fn a_mail_says_how_many_places_it_does_not_name() {
    let aws = FakeAws::new();
    for (more_places, wanted) in [(0, "ES, PT\n"), (7, "ES, PT (+7)\n")] {
        let notice = Notice {
            event: "many_failures".to_owned(),
            place: Some("ES, PT".to_owned()),
            failures: Some(mail::Failures {
                count: 50,
                since_s: noon().now().as_second(),
                more_places,
            }),
            ..signed_in()
        };
        let mail = mail_of(&aws, &Message::Notice(Box::new(notice))).await;
        assert!(text(&mail).contains(wanted), "{}", text(&mail));
    }
}

#[tokio::test]
async fn a_pause_of_mails_to_unproven_addresses_keeps_codes_and_drops_the_rest() {
    let aws = FakeAws::new();
    let deps = deps(&aws);
    give_account(&deps, "lea@example.com", Some(noon().now())).await;
    aws.intercept(|call| {
        let is_paused = call.operation == "SendEmail" && call.body.contains("\"unproven\"");
        if !is_paused {
            return Intercept::Make;
        }
        let body = json!({ "__type": "SendingPausedException", "message": "paused" });
        Intercept::Replace(CallResult::Answered(ServiceResponse {
            status: 400,
            body: body.to_string(),
        }))
    });
    let messages = [
        Message::ConfirmAddress(challenge("noa@example.com")),
        Message::Pass(challenge("noa@example.com")),
        Message::PasswordReset(challenge("lea@example.com")),
    ]
    .map(|message| serde_json::to_string(&message).unwrap());
    let messages: Vec<&str> = messages.iter().map(String::as_str).collect();

    assert_eq!(deliver(&deps, &messages).await, ["0"]);
    assert_eq!(aws.take_mails().len(), 1, "the recovery");
}

#[tokio::test]
async fn an_alarm_pauses_the_mails_to_unproven_addresses_alone() {
    let aws = FakeAws::new();
    let deps = pause_mails::Deps {
        ses: aws_sdk_sesv2::Client::new(aws.clients().config()),
        set: "unproven".to_owned(),
    };
    let alarm = |state: &str| {
        let state = json!({ "value": state, "reason": "Threshold Crossed" });
        let data = json!({ "alarmName": "bounces", "state": state, "previousState": {} });
        let event = json!({ "source": "aws.cloudwatch", "alarmArn": "arn", "alarmData": data });
        serde_json::from_value(event).unwrap()
    };

    pause_mails::handle(&deps, alarm("OK")).await.unwrap();
    assert_eq!(aws.take_operations(), [] as [&str; 0]);
    pause_mails::handle(&deps, alarm("ALARM")).await.unwrap();
    let [call] = <[_; 1]>::try_from(aws.calls()).unwrap();
    assert_eq!(call.path, "/v2/email/configuration-sets/unproven/sending");
    assert_eq!(call.body, r#"{"SendingEnabled":false}"#);

    aws.fail("PutConfigurationSetSendingOptions", || CallResult::Broken);
    assert!(pause_mails::handle(&deps, alarm("ALARM")).await.is_err());
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
            notice: None,
        };
        let mail = render(&every_mail()[0], Language::En, "Curfew").unwrap();
        let sender = deps(&aws).sender.unwrap();
        let error = sender.send(&to, &mail).await.unwrap_err();
        assert!(error.to_string().contains(code));
        assert!(!format!("{error} {error:?}").contains("lea"), "{error:?}");
    }
}

/// Returns what a notice shows.
fn facts() -> Facts {
    Facts {
        device: "Computer (Firefox, Linux)".to_owned(),
        place: Some("Porto, PT".to_owned()),
        at: "2026-11-29, 13:05 UTC".to_owned(),
        reference: "7K3Q9D".to_owned(),
    }
}

/// Returns a mail of each kind.
fn every_mail() -> Vec<Mail> {
    let code = || "K7QM-2R9X".to_owned();
    let link = || format!("{PAGE}#/confirm/challenge.secret");
    let page = || PAGE.to_owned();
    let mut mails = vec![
        Mail::ConfirmAddress {
            code: code(),
            link: link(),
        },
        Mail::PasswordReset {
            code: code(),
            link: link(),
        },
        Mail::Pass {
            code: code(),
            link: link(),
        },
        Mail::AddressTaken { link: page() },
        Mail::NoAccount { link: page() },
        Mail::AddressKept { link: page() },
        Mail::ManyFailures {
            facts: facts(),
            failures: FailureFacts {
                count: 50,
                since: "2026-11-29, 12:10 UTC".to_owned(),
            },
            link: page(),
        },
    ];
    // The notices that say what happened, and link to the page.
    macro_rules! notices {
        ($($kind:ident $({ $($name:ident: $value:expr),* })?),* $(,)?) => {
            [$(Mail::$kind {
                facts: facts(),
                link: format!("{PAGE}#/notice/cfn_secret"),
                $($($name: $value,)*)?
            }),*]
        };
    }
    mails.extend(notices![
        SignedIn { is_expired: false },
        SignedOut,
        PasswordChanged,
        Recovered,
        AddressChanged { is_expired: false },
        AddressRestored,
        AddressLost,
        AddressWarned,
        WrongPassword,
        FactorAdded { is_expired: false },
        FactorRemoved,
        RecoveryCodesMade,
        RecoveryCodeUsed,
        SignInCodesOff,
        SecondStepMissing,
        FactorRemovalAsked,
    ]);
    mails
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
            assert_eq!(mail.text.contains("7K3Q9D"), at > 5, "{name}");
        }
        let code = || "K7QM-2R9X".to_owned();
        for mail in [
            Mail::Verification { code: code() },
            Mail::ChangeAddress { code: code() },
        ] {
            let mail = render(&mail, language, "Curfew").unwrap();
            assert!(mail.text.starts_with(warning), "{}", mail.text);
            assert!(mail.text.contains("    K7QM-2R9X\n") && !mail.html.contains("http"));
        }
    }
}

/// Returns the notice of a sign-in at noon.
fn signed_in() -> Notice {
    Notice {
        account_id: "account".to_owned(),
        notice_id: "notice".to_owned(),
        email: "lea+curfew@example.com".to_owned(),
        event: "signed_in".to_owned(),
        at_s: noon().now().as_second(),
        device_type: Some("tv".to_owned()),
        os: None,
        browser: None,
        place: None,
        reference: "7K3Q9D".to_owned(),
        sign_out: None,
        failures: None,
        link_secret: Some("cfn_secret".to_owned()),
        language: Language::En,
    }
}

#[tokio::test]
async fn a_notice_that_is_mailed_late_has_no_dead_link() {
    let aws = FakeAws::new();
    let deps = deps(&aws);
    let secret = format!("{PAGE}#/notice/cfn_secret");
    let message = Message::Notice(Box::new(signed_in()));
    let message = serde_json::to_string(&message).unwrap();
    let mut mails = Vec::new();
    for wait in [NOTICE_LINK_LIFETIME - SECOND, SECOND] {
        deps.clock.advance(wait);
        assert_eq!(deliver(&deps, &[&message]).await, [] as [&str; 0]);
        mails.append(&mut aws.take_mails());
    }
    let [in_time, late] = mails.as_slice() else {
        panic!("{mails:?}");
    };
    assert!(text(in_time).contains(&secret));
    assert!(!late.to_string().contains("cfn_secret"));
    assert!(text(late).contains(&format!("See your devices:\n{PAGE}\n")));
    assert!(text(late).contains("Reference 7K3Q9D"));
}

/// Returns a notice that is full of texts by which somebody could mislead the owner.
fn hostile(language: Language) -> Notice {
    let bait = "\u{202e}moc.live\u{2066} Call +1 555 0100\r\nBcc: all@example.com";
    Notice {
        os: Some(format!("{bait} {}", "Linux".repeat(60))),
        browser: Some("<a href=https://evil.example>Firefox</a>".to_owned()),
        place: Some("Llanfairpwllgwyngyll".repeat(20)),
        language,
        ..signed_in()
    }
}

#[tokio::test]
async fn every_mail_can_be_read_on_a_phone_in_both_colour_schemes() {
    let aws = FakeAws::new();
    let mut pages = Vec::new();
    for language in Language::ALL {
        for mail in &every_mail() {
            let html = render(mail, language, "Curfew").unwrap().html;
            pages.push((language, mail.name(), html));
        }
        let late = Notice {
            at_s: 0,
            language,
            ..signed_in()
        };
        for (name, notice) in [("hostile", hostile(language)), ("late", late)] {
            let mail = mail_of(&aws, &Message::Notice(Box::new(notice))).await;
            let html = mail["Content"]["Simple"]["Body"]["Html"]["Data"].as_str();
            pages.push((language, name, html.unwrap().to_owned()));
        }
    }
    let folder = curfew::target().join("mail-pictures");
    fs::create_dir_all(&folder).unwrap();
    let starting = Person::start(format!("file://{}/", folder.display()), &[]);
    let person = starting.await.unwrap();
    for (language, name, html) in pages {
        let name = format!("{name}-{}", language.tag());
        fs::write(folder.join(format!("{name}.html")), html).unwrap();
        person.go(&format!("{name}.html")).await.unwrap();
        for (scheme, width) in [("light", 320), ("dark", 390)] {
            let feature = [("prefers-color-scheme", scheme)];
            person.looks((width, 844), "", &feature).await.unwrap();
            let is_wide = "document.documentElement.scrollWidth > innerWidth";
            let is_wide = person.browser.value(is_wide).await.unwrap();
            assert_eq!(is_wide, false, "{name} {width}");
            let links = "document.querySelectorAll('a').length";
            assert_eq!(person.browser.value(links).await.unwrap(), 1, "{name}");
            let picture = format!("{name}-{scheme}");
            let photograph = person.browser.photograph_in("mail-pictures", &picture);
            photograph.await.unwrap();
        }
    }
}

#[tokio::test]
async fn no_text_of_a_device_or_a_stranger_is_in_a_mail() {
    let aws = FakeAws::new();
    for language in Language::ALL {
        let mail = mail_of(&aws, &Message::Notice(Box::new(hostile(language)))).await;
        let everything = mail["Content"].to_string();
        for bait in [
            "evil", "555", "Bcc", "Llanfair", "live", "\u{202e}", "\u{2066}",
        ] {
            assert!(!everything.contains(bait), "{bait}: {everything}");
        }
        let headers = json!([{ "Name": "Auto-Submitted", "Value": "auto-generated" }]);
        assert_eq!(mail["Content"]["Simple"]["Headers"], headers);
        let to = json!({ "ToAddresses": ["lea+curfew@example.com"] });
        assert_eq!(mail["Destination"], to);
    }
    let known = Notice {
        os: Some("Linux".to_owned()),
        browser: Some("Firefox".to_owned()),
        place: Some("2001:db8::1".to_owned()),
        ..signed_in()
    };
    let mail = mail_of(&aws, &Message::Notice(Box::new(known))).await;
    let tags = json!([
        { "Name": "account", "Value": "account" },
        { "Name": "notice", "Value": "notice" },
    ]);
    assert_eq!(mail["EmailTags"], tags);
    assert!(text(&mail).contains("Television (Firefox, Linux)"));
    assert!(text(&mail).contains("2001:db8::1"));
}

#[tokio::test]
async fn a_message_of_each_queue_arrives_as_a_mail_of_the_deployed_stack() {
    let root = Principal::root();
    for queue in ["Confirmations", "Codes", "Mails"] {
        let email = format!("{}@example.com", queue.to_lowercase());
        let soon = Clock::System.now() + CODE_LIFETIME;
        let message = Message::ConfirmAddress(Challenge {
            expires_at_s: soon.as_second(),
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
