//! What the page looks like, to eyes and to screen readers. The pictures are in
//! `target/page-pictures`.

use std::fs;

use curfew::target;
use curfew_tests::client::{Household, PHONE, TABLET, TV};
use curfew_tests::person::Person;
use serde_json::{Value, json};

use super::files::packages;

const SIZES: [(&str, u32, u32); 4] = [
    ("narrow", 320, 640),
    ("phone", 390, 844),
    ("laptop", 1280, 800),
    ("tv", 1920, 1080),
];

/// Checks the view with axe, in both colour schemes and all widths, and takes pictures.
async fn inspect(person: &Person, view: &str, axe: &str) {
    for (size, width, height) in SIZES {
        for scheme in ["light", "dark"] {
            person.looks(width, height, scheme).await.unwrap();
            let television = format!(
                "document.documentElement.classList.toggle('television', {})",
                size == "tv"
            );
            person.browser.value(&television).await.unwrap();
            let run = "axe.run(document, { resultTypes: ['violations'] }).then((found) =>
                found.violations.map((it) => it.id + ': ' + it.nodes.map((node) => node.html + ' ' + node.failureSummary).join(' | ')))";
            let load = "(() => { if (!window.axe) { (0, Function)(given)(); } })()";
            person.browser.value_of(load, json!(axe)).await.unwrap();
            let found = person.browser.value(run).await.unwrap();
            let wide = "document.documentElement.scrollWidth > innerWidth";
            let is_wide = person.browser.value(wide).await.unwrap();
            picture(person, &format!("{view}-{size}-{scheme}")).await;

            assert_eq!(found, json!([]), "{view} {size} {scheme}");
            assert_eq!(
                is_wide,
                Value::Bool(false),
                "{view} {size} scrolls sideways"
            );
        }
    }
}

async fn picture(person: &Person, name: &str) {
    let path = person.browser.photograph(name).await.unwrap();
    let folder = target().join("page-pictures");
    fs::create_dir_all(&folder).unwrap();
    fs::rename(path, folder.join(format!("{name}.png"))).unwrap();
}

async fn axe() -> String {
    fs::read_to_string(packages().await.join("axe-core/axe.min.js")).unwrap()
}

#[tokio::test]
async fn every_view_can_be_used_by_everybody() {
    let axe = axe().await;
    let household = Household::register().await;
    for (agent, name) in [
        (TV, "Hotel TV"),
        (PHONE, "Anna’s phone"),
        (TABLET, "Kids’ tablet"),
    ] {
        household
            .sign_in_with(agent, json!({ "device": { "name": name } }))
            .await;
    }
    let person = Person::open().await.unwrap();
    // Trusted Types would keep axe out; the policy is tested elsewhere.
    let bypass = json!({ "enabled": true });
    person
        .browser
        .devtools("Page.setBypassCSP", bypass)
        .await
        .unwrap();
    person.browser.value("location.reload()").await.unwrap();
    person.reads("E-mail address").await.unwrap();

    person.browser.click("button[type=submit]").await.unwrap();
    person.reads("Fill in this field.").await.unwrap();
    inspect(&person, "sign-in", &axe).await;
    person.press("Create an account").await.unwrap();
    person.reads("At least 15 characters.").await.unwrap();
    inspect(&person, "sign-up", &axe).await;
    person.press("Sign in").await.unwrap();
    person.reads("See every device").await.unwrap();
    person
        .sign_in(&household.email, &household.password)
        .await
        .unwrap();
    person.reads("Hotel TV").await.unwrap();
    inspect(&person, "devices", &axe).await;
    person.press("Sign out everywhere").await.unwrap();
    person.reads("3 other devices").await.unwrap();
    inspect(&person, "everywhere", &axe).await;
    person.press("Cancel").await.unwrap();
    person.press("Sign out · Hotel TV").await.unwrap();
    person.reads("Sign out “Hotel TV”?").await.unwrap();
    person.press("Sign out").await.unwrap();
    person.reads("Not reached yet").await.unwrap();
    inspect(&person, "signed-out", &axe).await;
    person.press("Receipt").await.unwrap();
    person.reads("Copy as text").await.unwrap();
    inspect(&person, "receipt", &axe).await;
    person.press("Back to your devices").await.unwrap();
    person.press("Past devices").await.unwrap();
    person.reads("Hotel TV").await.unwrap();
    inspect(&person, "past", &axe).await;
    person.press("Change password").await.unwrap();
    person.reads("Current password").await.unwrap();
    inspect(&person, "password", &axe).await;
}

#[tokio::test]
async fn the_page_can_be_read_from_right_to_left() {
    let household = Household::register().await;
    household.sign_in(TV).await;
    let person = Person::signed_in(&household).await.unwrap();

    let turn = "document.documentElement.dir = 'rtl'";
    person.browser.value(turn).await.unwrap();
    person.looks(390, 844, "light").await.unwrap();

    let places = "(() => { const box = (it) => document.querySelector(it).getBoundingClientRect();
        return [box('.card .kind').left > box('.card .about').left, document.documentElement.scrollWidth > innerWidth]; })()";
    assert_eq!(
        person.browser.value(places).await.unwrap(),
        json!([true, false])
    );
    picture(&person, "right-to-left").await;
}

#[tokio::test]
async fn one_device_is_signed_out_by_the_keyboard_alone() {
    let household = Household::register().await;
    let tv = household
        .sign_in_with(TV, json!({ "device": { "name": "Hotel TV" } }))
        .await;
    let person = Person::signed_in(&household).await.unwrap();
    person.reads("Hotel TV").await.unwrap();
    let focused = "document.activeElement.textContent.replace(/\\s+/g, ' ').trim()";

    for _ in 0..30 {
        person.key("Tab", 9).await.unwrap();
        if person.browser.value(focused).await.unwrap() == "Sign out · Hotel TV" {
            break;
        }
    }
    person.key("Enter", 13).await.unwrap();
    person.reads("Sign out “Hotel TV”?").await.unwrap();
    assert_eq!(person.browser.value(focused).await.unwrap(), "Cancel");
    person.key("Escape", 27).await.unwrap();
    let gone = "document.querySelector('dialog') === null";
    person.browser.until(gone).await.unwrap();
    assert_eq!(
        person.browser.value(focused).await.unwrap(),
        "Sign out · Hotel TV"
    );
    person.key("Enter", 13).await.unwrap();
    person.reads("Sign out “Hotel TV”?").await.unwrap();
    person.key("Tab", 9).await.unwrap();
    person.key("Enter", 13).await.unwrap();

    person.reads("Signed out. Not reached yet").await.unwrap();
    assert!(!tv.is_signed_in().await);
}

#[tokio::test]
async fn nothing_moves_while_the_page_loads() {
    let household = Household::register().await;
    household.sign_in(TV).await;
    let person = Person::signed_in(&household).await.unwrap();
    let measure = "new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
        window.shift = (window.shift || 0) + entry.value; })).observe({ type: 'layout-shift', buffered: true });";
    let source = json!({ "source": measure });
    person
        .browser
        .devtools("Page.addScriptToEvaluateOnNewDocument", source)
        .await
        .unwrap();

    person.browser.value("location.reload()").await.unwrap();
    person.reads("Other devices").await.unwrap();

    let shift = person.browser.value("window.shift || 0").await.unwrap();
    assert!(shift.as_f64().unwrap() < 0.1, "{shift}");
}
