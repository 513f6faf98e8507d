//! A mail scanner: it follows every link of every mail by GET and HEAD, and renders what it
//! finds in a browser that runs scripts. It presses nothing.

use std::collections::BTreeSet;

use curfew::mails::Mail;
use curfew_tests::aws::{Call, Principal};
use curfew_tests::client::{Api, Device, Household, LAPTOP, PHONE, TV, remember};
use curfew_tests::inbox;
use curfew_tests::person::Person;
use curfew_tests::stack::stack;
use domain::ChallengeSecret;
use serde_json::{Value, json};

/// What each kind of link shows to somebody who is not signed in.
const VIEWS: [(&str, &str); 6] = [
    ("#/notice/", "the mail shows the same."),
    ("#/sign-outs/", "Sign in"),
    ("#/recover/", "Choose a new password"),
    ("#/pass/", "Here it can do nothing"),
    ("#/confirm/", "Here it can do nothing"),
    ("", "Sign in"),
];

/// Returns the links in the text and in the HTML of a mail.
fn links(mail: &Mail) -> BTreeSet<String> {
    let html = mail.body_html.as_deref().unwrap_or_default();
    let bodies = [&*mail.body_text, html];
    bodies
        .iter()
        .flat_map(|body| body.match_indices("http").map(|(at, _)| &body[at..]))
        .map(|rest| {
            let end = |c: char| c.is_whitespace() || "\"<>".contains(c);
            rest.split(end).next().unwrap_or_default().to_owned()
        })
        .collect()
}

/// Follows a link as a scanner does.
async fn follow(person: &Person, link: &str) {
    let (address, _) = link.split_once('#').unwrap_or((link, ""));
    let (origin, _) = address.split_at(address.len() - 1);
    for method in ["HEAD", "GET"] {
        let answer = Api::at(origin).call(method, "/").send().await;
        assert!([200, 404].contains(&answer.status), "{method} {address}");
    }
    person.browser.go("about:blank").await.unwrap();
    person.browser.go(link).await.unwrap();
    let is_of = |view: &&(&str, &str)| link.contains(view.0);
    let (_, text) = VIEWS.iter().find(is_of).unwrap();
    person.reads(text).await.unwrap();
    // A scanner stays for a moment, in which the page could act.
    let stay = "new Promise((done) => setTimeout(done, 500, true))";
    person.browser.value(stay).await.unwrap();
}

/// Reads a row of the stack's tables.
async fn row(table: &str, key: Value) -> String {
    let get = json!({ "TableName": table, "Key": key, "ConsistentRead": true });
    let get = Call::dynamodb("GetItem", &get);
    let text = Principal::root().call(&get).await.unwrap().text;
    assert!(text.contains("Item"), "{text}");
    text
}

/// Asks for a code, and returns the secret that it works with.
async fn ask(household: &Household, path: &str) -> String {
    let body = json!({ "email": household.email });
    let asked = household.api.post(path, &body).await.done(202);
    let secret = asked["challenge"].as_str().unwrap();
    remember(&[secret]);
    secret.to_owned()
}

/// Returns the rows that a scanner could change: the account, its devices that are signed in,
/// and the challenges.
async fn rows(devices: &[&Device], challenges: &[String]) -> Vec<String> {
    let tables = &stack().tables;
    let account = json!({ "S": devices[0].account_id });
    let key = json!({ "account_id": account });
    let mut rows = vec![row(&tables.accounts, key).await];
    for device in devices {
        let key = json!({ "account_id": account, "device_id": { "S": device.id } });
        rows.push(row(&tables.devices, key).await);
    }
    for secret in challenges {
        let id = ChallengeSecret::parse(secret).unwrap().id().to_string();
        let key = json!({ "challenge_id": { "S": id } });
        rows.push(row(&tables.challenges, key).await);
    }
    rows
}

/// Has every kind of mail sent. Returns the device that signed in last, the mails, and
/// the secrets of the challenges.
async fn every_mail(
    lea: &mut Household,
    noa: &Household,
    laptop: &Device,
) -> (Device, Vec<Mail>, Vec<String>) {
    let phone = lea.sign_in(PHONE).await;
    let _ = laptop.sign_out(&phone.id).await.done(200);
    let new = Household::unregistered().password;
    let changed = laptop.change_password(&lea.password, &new, true).await;
    let _ = changed.done(200);
    lea.password = new;
    let tv = lea.sign_in(TV).await;
    let mut challenges = Vec::new();
    for path in ["/v1/password-resets", "/v1/passes", "/v1/accounts"] {
        challenges.push(ask(lea, path).await);
    }
    for path in ["/v1/accounts", "/v1/password-resets"] {
        challenges.push(ask(noa, path).await);
    }
    let mut mails = inbox::wait_for(&lea.email, 7).await;
    mails.extend(inbox::wait_for(&noa.email, 2).await);
    (tv, mails, challenges)
}

#[tokio::test]
async fn a_scanner_that_opens_and_renders_every_link_of_every_mail_changes_nothing() {
    let (mut lea, noa) = (Household::register().await, Household::unregistered());
    let laptop = lea.sign_in(LAPTOP).await;
    let (tv, mails, challenges) = every_mail(&mut lea, &noa, &laptop).await;
    let links: BTreeSet<String> = mails.iter().flat_map(links).collect();
    for (view, _) in VIEWS {
        let is_there = links.iter().any(|link| link.contains(view));
        assert!(is_there, "no mail has {view}: {links:?}");
    }
    let signed_in = laptop.devices("signed_in").await;
    let before = rows(&[&laptop, &tv], &challenges).await;

    let person = Person::open().await.unwrap();
    for link in &links {
        follow(&person, link).await;
    }

    assert_eq!(rows(&[&laptop, &tv], &challenges).await, before);
    assert_eq!(laptop.devices("signed_in").await, signed_in);
    let listed = laptop.get("/v1/messages").await.done(200);
    let messages = listed["messages"].as_array().unwrap();
    assert!(messages.iter().all(|message| message["answer"].is_null()));
    let stored = person.stored().await.unwrap();
    assert!(stored.get("curfew.session").is_none(), "{stored}");

    // Every link still does what it is for.
    let link_of = |view: &str| {
        let link = links.iter().find_map(|link| link.split_once(view));
        link.unwrap().1.to_owned()
    };
    let code = link_of("#/confirm/");
    let confirm = json!({ "challenge": challenges[3], "code": code, "password": noa.password });
    let confirmed = noa.api.post("/v1/accounts/confirmations", &confirm).await;
    let _ = confirmed.done(201);
    let is_of_tv = |mail: &&Mail| mail.body_text.contains("Television");
    let of_tv = &mails.iter().find(is_of_tv).unwrap().body_text;
    let (_, secret) = of_tv.split_once("#/notice/").unwrap();
    let secret = secret.split_whitespace().next().unwrap();
    let press = json!({ "secret": secret, "action": "mine" });
    let pressed = lea.api.post("/v1/notices/actions", &press).await;
    let _ = pressed.done(200);
    let listed = laptop.get("/v1/messages").await.done(200);
    let mut messages = listed["messages"].as_array().unwrap().iter();
    assert!(messages.any(|one| one["answer"] == "mine"), "{listed}");
    let recover = json!({ "link": link_of("#/recover/"), "password": noa.password });
    let recovered = lea.api.post("/v1/password-resets/confirmations", &recover);
    let _ = recovered.await.done(200);
}
