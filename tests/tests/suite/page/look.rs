//! What the page looks like, to eyes and to screen readers. The pictures are in
//! `target/page-pictures`.

use std::fs;

use curfew_tests::client::{Household, PHONE, TABLET, TV};
use curfew_tests::inbox;
use curfew_tests::person::Person;
use domain::verification::VERIFIED_FOR;
use runtime::Clock;
use serde_json::{Value, json};

use super::files::packages;
use super::mails::{ADDRESS_CHANGED, notice_of};
use super::security::add_app;
use super::verification::mailed_code;

/// The sizes, the last one of a television. The first one is a laptop at 400 %, too.
const SIZES: [(&str, (u32, u32)); 4] = [
    ("narrow", (320, 640)),
    ("phone", (390, 844)),
    ("laptop", (1280, 800)),
    ("tv", (1920, 1080)),
];
const STILL: (&str, &str) = ("prefers-reduced-motion", "reduce");

/// Runs axe with the rules in `given`. Returns what it finds, and whether the page is too
/// wide or something moves.
const CHECK: &str = "axe.run(document, { resultTypes: ['violations'], preload: false, ...given }).then((found) => [
    ...found.violations.map((it) => it.id + ': ' + it.nodes.map((node) => node.html + ' ' + node.failureSummary).join(' | ')),
    ...(document.documentElement.scrollWidth > innerWidth ? ['it scrolls sideways'] : []),
    ...document.getAnimations().map((it) => 'it moves: ' + it.animationName),
])";

async fn picture(person: &Person, name: &str) {
    let taken = person.browser.photograph_in("page-pictures", name).await;
    taken.unwrap();
}

/// Opens the page with axe in it.
pub(super) async fn open_with_axe() -> Person {
    let axe = packages().await.join("axe-core/axe.min.js");
    let source = json!({ "source": fs::read_to_string(axe).unwrap() });
    let person = Person::open().await.unwrap();
    // Trusted Types would keep axe out; the policy is tested elsewhere.
    let bypass = json!({ "enabled": true });
    for (command, parameters) in [
        ("Page.setBypassCSP", bypass),
        ("Page.addScriptToEvaluateOnNewDocument", source),
    ] {
        person.browser.devtools(command, parameters).await.unwrap();
    }
    person.browser.reload().await.unwrap();
    person.reads("E-mail address").await.unwrap();
    person
}

/// Checks the view with axe as it is.
pub(super) async fn can_be_used(person: &Person) {
    let all = json!({ "rules": { "target-size": { "enabled": true } } });
    person.looks(SIZES[2].1, "", &[STILL]).await.unwrap();
    let found = person.browser.value_of(CHECK, all).await.unwrap();
    assert_eq!(found, json!([]));
}

/// Checks the view with axe, in both colour schemes and all sizes, and takes pictures.
/// A scheme changes nothing but colours.
async fn inspect(person: &Person, view: &str, title: &str) {
    let browser = &person.browser;
    let shown = format!("document.title === {}", json!(format!("{title} · Curfew")));
    browser.until(&shown).await.unwrap();
    let all = json!({ "rules": { "target-size": { "enabled": true } } });
    let colours = json!({ "runOnly": ["color-contrast", "link-in-text-block"] });
    for (size, pixels) in SIZES {
        let is_tv = size == "tv";
        for (scheme, rules) in [("light", &all), ("dark", &colours)] {
            let features = [("prefers-color-scheme", scheme), STILL];
            person.looks(pixels, "", &features).await.unwrap();
            let class = format!(
                "(document.documentElement.classList.toggle('television', {is_tv}), {CHECK})"
            );
            let found = browser.value_of(&class, rules.clone()).await.unwrap();
            assert_eq!(found, json!([]), "{view} {size} {scheme}");
            if size != "narrow" {
                picture(person, &format!("{view}-{size}-{scheme}")).await;
            }
        }
    }
    let double = "(({ style, classList }) => { classList.remove('television'); style.fontSize = '200%';
        const isWide = document.documentElement.scrollWidth > innerWidth; style.fontSize = ''; return isWide; })(document.documentElement)";
    person.looks((640, 400), "", &[STILL]).await.unwrap();
    let is_wide = browser.value(double).await.unwrap();
    assert_eq!(is_wide, Value::Bool(false), "{view} with text of 200 %");
}

/// Checks that the focus is on the heading of a view that has just opened.
async fn begins(person: &Person) {
    let focused = "document.activeElement.tagName === 'H1'";
    person.browser.until(focused).await.unwrap();
}

/// Checks the views that take a code, each after its mail was asked for.
async fn inspect_codes(person: &Person, email: &str) {
    for (view, title) in [
        ("sign-up", "Create an account"),
        ("forgotten", "Choose a new password"),
        ("pass", "Sign in with a code"),
    ] {
        person.go(&format!("#/{view}")).await.unwrap();
        person.reads(title).await.unwrap();
        if view != "sign-up" {
            inspect(person, view, title).await;
        }
        person.browser.write("#email", email).await.unwrap();
        person.press("Continue").await.unwrap();
        person.reads("Code in the mail").await.unwrap();
        inspect(person, &format!("{view}-code"), title).await;
    }
    person.go("#/confirm/K7QM-2R9X").await.unwrap();
    person
        .reads("Type this code where you started.")
        .await
        .unwrap();
    inspect(person, "code", "Code in the mail").await;
    person.go("#/recover/cfl_secret").await.unwrap();
    person.reads("New password").await.unwrap();
    inspect(person, "recover", "Choose a new password").await;
}

/// Checks the views of the link in a notice, before and after the press.
async fn inspect_notice(person: &Person, email: &str) {
    let link = inbox::link_for(email, "A device signed in").await;
    person.go(&link).await.unwrap();
    person.reads("Nothing has changed yet.").await.unwrap();
    inspect(person, "notice", "Was this you?").await;
    person.press("It was not me: sign it out").await.unwrap();
    person.reads("Choose a new password").await.unwrap();
    begins(person).await;
    inspect(person, "notice-ended", "Signed out").await;
    person.go(&link).await.unwrap();
    person.browser.reload().await.unwrap();
    person.go(&link).await.unwrap();
    person.reads("This link does not work").await.unwrap();
    inspect(person, "notice-missing", "This link does not work").await;
}

#[tokio::test]
async fn every_view_can_be_used_by_everybody() {
    let household = Household::register().await;
    for (agent, name) in [
        (TV, "Hotel TV"),
        (PHONE, "Anna’s phone"),
        (TABLET, "Kids’ tablet"),
    ] {
        let named = json!({ "device": { "name": name } });
        household.sign_in_with(agent, named).await;
        if agent == PHONE {
            // The mail about the phone comes first: its link is opened below.
            inbox::link_for(&household.email, "A device signed in").await;
        }
    }
    let person = open_with_axe().await;

    person.browser.click("button[type=submit]").await.unwrap();
    person.reads("Fill in this field.").await.unwrap();
    inspect(&person, "sign-in", "Sign in").await;
    person.press("Create an account").await.unwrap();
    person.reads("Already have an account?").await.unwrap();
    begins(&person).await;
    inspect(&person, "sign-up", "Create an account").await;
    inspect_codes(&person, &household.email).await;
    person.go("#/").await.unwrap();
    person.reads("See every device").await.unwrap();
    person
        .sign_in(&household.email, &household.password)
        .await
        .unwrap();
    person.reads("Hotel TV").await.unwrap();
    begins(&person).await;
    let title = "Manage access and devices";
    inspect(&person, "devices", title).await;
    inspect_from_right_to_left(&person).await;
    inspect_forced_colours(&person).await;
    person.press("Sign out everywhere").await.unwrap();
    person.reads("3 other devices").await.unwrap();
    inspect(&person, "everywhere", title).await;
    person.press("Cancel").await.unwrap();
    inspect_proving(&person, &household.email).await;
    person.press("Sign out · Hotel TV").await.unwrap();
    person.reads("Sign out “Hotel TV”?").await.unwrap();
    person.press("Sign out").await.unwrap();
    person.reads("Not reached yet").await.unwrap();
    inspect(&person, "signed-out", title).await;
    person.press("Receipt").await.unwrap();
    person.reads("Copy as text").await.unwrap();
    begins(&person).await;
    inspect(&person, "receipt", "Receipt of a sign-out").await;
    inspect_receipt(&person).await;
    person.press("Back to your devices").await.unwrap();
    person.press("Past devices").await.unwrap();
    person.reads("Hotel TV").await.unwrap();
    begins(&person).await;
    inspect(&person, "past", &format!("{title} · Past devices")).await;
    person.press("Messages").await.unwrap();
    person.reads("These are the mails").await.unwrap();
    begins(&person).await;
    let messages = format!("{title} · Messages");
    inspect(&person, "messages", &messages).await;
    person.press("Change password").await.unwrap();
    person.reads("Current password").await.unwrap();
    begins(&person).await;
    inspect(&person, "password", "Change password").await;
    inspect_notice(&person, &household.email).await;
    inspect_address().await;
    inspect_new_address().await;
    inspect_security().await;
}

/// Checks the questions who the person is, for one device after another.
async fn inspect_proving(person: &Person, email: &str) {
    let title = "Manage access and devices";
    person
        .press("Sign out · Kids’ tablet · iPad")
        .await
        .unwrap();
    person.press("Sign out").await.unwrap();
    person.reads("Confirm that it is you").await.unwrap();
    inspect(person, "prove", title).await;
    person.press("Send me a code").await.unwrap();
    person.reads("Code in the mail").await.unwrap();
    person.press("Confirm").await.unwrap();
    person.reads("Fill in this field.").await.unwrap();
    inspect(person, "prove-code", title).await;
    let code = mailed_code(email).await;
    person.browser.write("#code", &code).await.unwrap();
    person.press("Confirm").await.unwrap();
    person.reads("Signed out. Not reached yet").await.unwrap();
    let past = Clock::System.now() - VERIFIED_FOR;
    person.write_time("verified_at", past).await.unwrap();
    person.press("Sign out everywhere").await.unwrap();
    person.press("Sign out everywhere").await.unwrap();
    person.reads("Use a code by mail instead").await.unwrap();
    inspect(person, "prove-password", title).await;
    person.press("Cancel").await.unwrap();
    person.reads("so nothing has changed").await.unwrap();
    inspect(person, "prove-cancelled", title).await;
    for name in ["All other devices", "Kids’ tablet · iPad"] {
        person.press(&format!("Hide {name}")).await.unwrap();
    }
    let now = Clock::System.now();
    person.write_time("verified_at", now).await.unwrap();
}

/// Checks the views of an account whose address nobody has confirmed.
async fn inspect_address() {
    let household = Household::register_as(false).await;
    let person = open_with_axe().await;
    person
        .sign_in(&household.email, &household.password)
        .await
        .unwrap();
    person.reads("is not confirmed yet").await.unwrap();
    inspect(&person, "unconfirmed", "Manage access and devices").await;
    person.go("#/confirm").await.unwrap();
    person.reads("We send a mail with a code to").await.unwrap();
    begins(&person).await;
    inspect(&person, "address", "Confirm your address").await;
}

/// Checks a change of the address, and its undo in the mailbox before.
async fn inspect_new_address() {
    let household = Household::register().await;
    let email = &household.email;
    let person = open_with_axe().await;
    person.sign_in(email, &household.password).await.unwrap();
    person.reads("This device").await.unwrap();
    person
        .write_time("verified_at", Clock::System.now())
        .await
        .unwrap();
    person.press("Change e-mail address").await.unwrap();
    person.reads("New e-mail address").await.unwrap();
    begins(&person).await;
    let title = "Change e-mail address";
    inspect(&person, "new-address", title).await;
    let new = Household::unregistered().email;
    person.fill("New e-mail address", &new).await.unwrap();
    person.press("Continue").await.unwrap();
    person.reads("Code in the mail").await.unwrap();
    inspect(&person, "new-address-code", title).await;
    let code = inbox::code_for(&new, 1).await;
    person.fill("Code in the mail", &code).await.unwrap();
    person.press("Change the address").await.unwrap();
    person.reads("The address is changed.").await.unwrap();

    let (link, reference) = notice_of(email, ADDRESS_CHANGED).await;
    person.go(&link).await.unwrap();
    person.reads("Nothing has changed yet.").await.unwrap();
    let asked = "Did you change the address?";
    inspect(&person, "undo", asked).await;
    person
        .fill("Reference in the mail", &reference)
        .await
        .unwrap();
    person.press("It was not me: undo it").await.unwrap();
    person.reads("Choose a new one now.").await.unwrap();
    begins(&person).await;
    inspect(&person, "undone", "The change is undone").await;
}

/// Checks the view "Security", and each view that asks for a factor.
async fn inspect_security() {
    let household = Household::register().await;
    let person = open_with_axe().await;
    let (email, password) = (&household.email, &household.password);
    person.sign_in(email, password).await.unwrap();
    person.reads("This device").await.unwrap();
    let now = Clock::System.now();
    person.write_time("verified_at", now).await.unwrap();
    person.press("Security").await.unwrap();
    person
        .reads("You have no authenticator app.")
        .await
        .unwrap();
    begins(&person).await;
    inspect(&person, "security-empty", "Security").await;
    person.press("Add an app").await.unwrap();
    begins(&person).await;
    inspect(&person, "security-name", "Add an app").await;
    person.fill("Name", "Kitchen").await.unwrap();
    person.press("Continue").await.unwrap();
    person.reads("Scan the picture").await.unwrap();
    begins(&person).await;
    inspect(&person, "security-code", "Add an app").await;
    person.press("Cancel").await.unwrap();
    let _app = add_app(&person).await;
    inspect(&person, "security", "Security").await;
    person.press("Remove · Lea’s phone").await.unwrap();
    inspect(&person, "security-remove", "Security").await;
    person.press("Cancel").await.unwrap();
    person.press("Make recovery codes").await.unwrap();
    person.reads("We show them this once.").await.unwrap();
    begins(&person).await;
    inspect(&person, "security-codes", "Your recovery codes").await;
    inspect_printed_codes(&person).await;
    person.press("I have saved them").await.unwrap();
    inspect_factor_proof(&person).await;
    inspect_second_step(&household).await;
}

/// Checks the recovery codes on paper: nothing else but what they are for.
async fn inspect_printed_codes(person: &Person) {
    person.looks((794, 1123), "print", &[]).await.unwrap();
    let printed = person.text().await.unwrap();
    assert!(printed.contains("Your recovery codes"), "{printed}");
    for control in ["Copy", "I have saved them", "Change password", "Language"] {
        assert!(!printed.contains(control), "{control}: {printed}");
    }
    picture(person, "security-codes-printed").await;
    person.looks(SIZES[2].1, "", &[]).await.unwrap();
}

/// Checks the question who the person is, of an account with an app.
async fn inspect_factor_proof(person: &Person) {
    let past = Clock::System.now() - VERIFIED_FOR;
    person.write_time("verified_at", past).await.unwrap();
    person.press("Make new codes").await.unwrap();
    person.reads("Confirm that it is you").await.unwrap();
    inspect(person, "prove-totp", "Security").await;
    person.press("Use a recovery code").await.unwrap();
    inspect(person, "prove-recovery-code", "Security").await;
    person.press("Cancel").await.unwrap();
    person.reads("so nothing has changed").await.unwrap();
    inspect(person, "security-cancelled", "Security").await;
}

/// Checks the second step of a sign-in, and that of a recovery.
async fn inspect_second_step(household: &Household) {
    let person = open_with_axe().await;
    let (email, password) = (&household.email, &household.password);
    person.sign_in(email, password).await.unwrap();
    person.reads("Enter your code").await.unwrap();
    person.press("Sign in").await.unwrap();
    person.reads("Fill in this field.").await.unwrap();
    inspect(&person, "second-step", "Enter your code").await;
    inspect_step_from_right_to_left(&person).await;
    person.press("I lost my authenticator app").await.unwrap();
    person.reads("It signs you in at once.").await.unwrap();
    inspect(&person, "lost-app", "A lost authenticator app").await;
    person.press("Use a recovery code").await.unwrap();
    inspect(&person, "second-step-recovery", "Enter your code").await;
    person.press("Back to the password").await.unwrap();
    person.press("Forgotten your password?").await.unwrap();
    person.fill("E-mail address", email).await.unwrap();
    person.press("Continue").await.unwrap();
    let link = inbox::link_for(email, "Get back into your account").await;
    person.go(&link).await.unwrap();
    let new = "seven violet lanterns drift";
    person.fill("New password", new).await.unwrap();
    person.press("Set the password").await.unwrap();
    person.reads("so the mail alone").await.unwrap();
    inspect(&person, "recover-factor", "Choose a new password").await;
}

/// Checks that a code stays readable where the text runs from the right.
async fn inspect_step_from_right_to_left(person: &Person) {
    let browser = &person.browser;
    let turn = |to: &str| format!("document.documentElement.dir = '{to}'");
    browser.value(&turn("rtl")).await.unwrap();
    person.looks(SIZES[0].1, "", &[STILL]).await.unwrap();
    let wide = "document.documentElement.scrollWidth > innerWidth";
    assert_eq!(browser.value(wide).await.unwrap(), json!(false));
    picture(person, "second-step-right-to-left").await;
    browser.value(&turn("ltr")).await.unwrap();
}

async fn inspect_from_right_to_left(person: &Person) {
    let browser = &person.browser;
    let turn = |to: &str| format!("document.documentElement.dir = '{to}'");
    browser.value(&turn("rtl")).await.unwrap();
    person.looks(SIZES[1].1, "", &[STILL]).await.unwrap();

    let places = "(() => { const box = (it) => document.querySelector(it).getBoundingClientRect();
        return [box('.card .kind').left > box('.card .about').left, document.documentElement.scrollWidth > innerWidth]; })()";
    assert_eq!(browser.value(places).await.unwrap(), json!([true, false]));
    picture(person, "right-to-left").await;
    browser.value(&turn("ltr")).await.unwrap();
}

/// Checks that what can be pressed has an edge, and the focus an outline, where the system
/// has taken all other colours away.
async fn inspect_forced_colours(person: &Person) {
    let forced = ("forced-colors", "active");
    person.looks(SIZES[2].1, "", &[forced]).await.unwrap();
    let edges = "[...document.querySelectorAll('main button')].every((it) => {
        it.focus();
        const { borderStyle, borderWidth, borderColor, outlineStyle } = getComputedStyle(it);
        return borderStyle === 'solid' && borderWidth === '1px' && borderColor !== 'rgba(0, 0, 0, 0)' && outlineStyle === 'solid';
    })";
    // A browser shows the focus of those who use the keyboard.
    person.key("Tab", 9).await.unwrap();
    assert_eq!(person.browser.value(edges).await.unwrap(), json!(true));
    picture(person, "forced-colours").await;
}

/// Checks the receipt on paper and as text.
async fn inspect_receipt(person: &Person) {
    let browser = &person.browser;
    person.looks((794, 1123), "print", &[]).await.unwrap();
    let printed = person.text().await.unwrap();
    assert!(
        printed.contains("1 signed out · 1 not reached"),
        "{printed}"
    );
    for control in ["Copy as text", "Change password", "Back to", "Language"] {
        assert!(!printed.contains(control), "{control}: {printed}");
    }
    picture(person, "receipt-printed").await;
    person.looks(SIZES[2].1, "", &[]).await.unwrap();

    let take = "void (navigator.clipboard.writeText = async (text) => { window.copied = text; })";
    browser.value(take).await.unwrap();
    person.press("Copy as text").await.unwrap();
    person.reads("Copied.").await.unwrap();
    let copied = browser.value("window.copied").await.unwrap();
    for part in [
        "Receipt of a sign-out, ",
        "By “Headless Chrome",
        "1 signed out · 1 not reached",
        "- Hotel TV: Not reached yet.",
    ] {
        assert!(copied.as_str().unwrap().contains(part), "{part}: {copied}");
    }
}

#[tokio::test]
async fn one_device_is_signed_out_by_the_keyboard_alone() {
    let household = Household::register().await;
    let tv = household
        .sign_in_with(TV, json!({ "device": { "name": "Hotel TV" } }))
        .await;
    let person = Person::verified(&household).await.unwrap();
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
    let person = Person::verified(&household).await.unwrap();
    let measure = "new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
        window.shift = (window.shift || 0) + entry.value; })).observe({ type: 'layout-shift', buffered: true });";
    let source = json!({ "source": measure });
    person
        .browser
        .devtools("Page.addScriptToEvaluateOnNewDocument", source)
        .await
        .unwrap();

    person.browser.reload().await.unwrap();
    person.reads("Other devices").await.unwrap();

    let shift = person.browser.value("window.shift || 0").await.unwrap();
    assert!(shift.as_f64().unwrap() < 0.1, "{shift}");
}
