//! What an attacker gets from the page.

use curfew_tests::client::{Api, Household, SIGN_OUT_ALL, TV};
use curfew_tests::conformance::{Fault, Network};
use curfew_tests::person::Person;
use curfew_tests::stack::{SHOP_ORIGIN, api_url};
use runtime::Clock;
use serde_json::{Value, json};

use super::security::add_app;

const SCRIPT: &str = "<img src=x onerror=\"window.stolen=1\"><script>window.stolen=1</script>";

#[tokio::test]
async fn a_name_with_markup_is_shown_as_text_everywhere() {
    let household = Household::register().await;
    let name = &SCRIPT[..60];
    let agent = format!("{name}/1.0");
    let named = json!({ "device": { "name": name, "model": name, "app": name, "os": name } });
    let tv = household.sign_in_with(&agent, named).await;
    let person = Person::verified(&household).await.unwrap();

    person.reads("<img src=x onerror=").await.unwrap();
    let spoken = format!("Sign out · {}", tv.shown["name"].as_str().unwrap());
    person.press(&spoken).await.unwrap();
    person
        .reads("From that moment on it is refused.")
        .await
        .unwrap();
    person.press("Sign out").await.unwrap();
    person.press("Receipt").await.unwrap();
    person.reads("<img src=x onerror=").await.unwrap();
    person.press("Back to your devices").await.unwrap();
    person.press("Past devices").await.unwrap();
    person.reads("<img src=x onerror=").await.unwrap();

    let harm =
        "[window.stolen === undefined, document.querySelectorAll('main img, main script').length]";
    assert_eq!(person.browser.value(harm).await.unwrap(), json!([true, 0]));
}

#[tokio::test]
async fn the_policy_allows_no_inline_code_and_no_frame() {
    let answer = Api::default().call("GET", "/").send().await;

    let policy = answer.header("content-security-policy").unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'self';",
        "style-src 'self';",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ] {
        assert!(policy.contains(part), "{part}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    assert!(!answer.text().contains("<style") && !answer.text().contains(" style="));
}

#[tokio::test]
async fn a_whole_visit_breaks_no_rule_of_the_policy() {
    let household = Household::register().await;
    let named = json!({ "device": { "name": "Hotel TV" } });
    let _tv = household.sign_in_with(TV, named).await;
    let person = Person::open().await.unwrap();
    let count = "window.violations = []; document.addEventListener('securitypolicyviolation',
        (event) => window.violations.push(event.violatedDirective + ' ' + event.blockedURI));";
    let source = json!({ "source": count });
    let command = "Page.addScriptToEvaluateOnNewDocument";
    person.browser.devtools(command, source).await.unwrap();
    person.browser.reload().await.unwrap();

    for view in ["#/sign-up", "#/forgotten", "#/pass"] {
        person.go(view).await.unwrap();
        person.reads("Continue").await.unwrap();
    }
    person.press("Sign in without a code").await.unwrap();
    person.reads("No account yet?").await.unwrap();
    person
        .sign_in(&household.email, &household.password)
        .await
        .unwrap();
    person.reads("Hotel TV").await.unwrap();
    let now = Clock::System.now();
    person.write_time("verified_at", now).await.unwrap();
    for (pressed, read) in [
        ("Rename Hotel TV", "Rename this device"),
        ("Cancel", "Other devices"),
        ("Past devices", "No device has been signed out yet."),
        ("Signed in", "Other devices"),
        ("Sign out everywhere", "Sign out everywhere?"),
        ("Sign out everywhere", "1 signed out"),
        ("Receipt", "Copy as text"),
        ("Copy as text", "Print"),
        ("Change password", "Current password"),
        ("Devices", "This device"),
        ("Messages", "These are the mails"),
        ("Security", "You have no authenticator app."),
    ] {
        person.press(pressed).await.unwrap();
        person.reads(read).await.unwrap();
    }
    // With the QR code of its secret.
    add_app(&person).await;

    let violations = person.browser.value("window.violations").await.unwrap();
    assert_eq!(violations, json!([]));
}

#[tokio::test]
async fn no_script_can_read_the_token() {
    let household = Household::register().await;
    let person = Person::signed_in(&household).await.unwrap();

    let stored = person.stored().await.unwrap();

    assert!(stored["curfew.session"].is_string(), "{stored}");
    assert!(!stored.to_string().contains("cft_"), "{stored}");
    assert_eq!(stored["cookie"], "");
}

#[tokio::test]
async fn an_address_after_the_sign_in_leads_nowhere_else() {
    let household = Household::register().await;
    let person = Person::open().await.unwrap();
    let origin = person.browser.value("location.origin").await.unwrap();
    for view in [
        "#//evil.example",
        "#/https://evil.example",
        "#/javascript:alert(1)",
        "?next=https://evil.example",
    ] {
        person.go(view).await.unwrap();
    }

    person
        .sign_in(&household.email, &household.password)
        .await
        .unwrap();
    person.reads("This device").await.unwrap();

    assert_eq!(
        person.browser.value("location.origin").await.unwrap(),
        origin
    );
}

/// Attacks the page from another one: with calls and cookies. Returns what it could read of
/// the devices.
const ATTACK: &str = "(async () => {
    const call = (path, options) =>
        fetch(given.page + path, { method: 'POST', credentials: 'include', ...options }).catch(() => null);
    const body = JSON.stringify({ scope: 'global' });
    await call(given.all, { headers: { 'content-type': 'application/json' }, body });
    await call(given.all, { mode: 'no-cors', body });
    await call(`/v1/devices/${given.tv}/sign-out`, { mode: 'no-cors' });
    for (const name of ['__Host-curfew', '__host-curfew', '=__Host-curfew', 'curfew', '__Host-curfew-device']) {
        for (const more of ['; Domain=shop.localhost', '; Path=/; Secure', '; Path=/v1; Domain=shop.localhost; Secure']) {
            document.cookie = `${name}=${given.token}${more}`;
        }
    }
    return call('/v1/devices', { method: 'GET' }).then((answer) => answer && answer.text());
})()";

/// Puts the page into a frame.
const FRAME: &str = "(() => {
    const frame = document.createElement('iframe');
    frame.src = given.page + '/';
    document.body.append(frame);
})()";

/// Sends a form whose text is JSON, in place of the page that has it.
const FORM: &str = "(() => {
    const form = document.createElement('form');
    Object.assign(form, { method: 'post', enctype: 'text/plain', action: given.page + given.path });
    const field = document.createElement('input');
    field.name = given.text;
    field.value = '\"}';
    form.append(field);
    document.body.append(form);
    form.submit();
})()";

#[tokio::test]
async fn a_sibling_subdomain_and_a_foreign_site_change_nothing_and_read_nothing() {
    let household = Household::register().await;
    let tv = household.sign_in(TV).await;
    let thief = Household::register().await;
    let network = Network::published(api_url()).await.unwrap();
    let hosts = [
        ("id.shop.localhost", Some(network.address())),
        ("evil.shop.localhost", None),
        ("evil.localhost", None),
    ];
    let page = SHOP_ORIGIN.replace(".example", ".localhost");
    let person = Person::open_at(format!("{page}/"), &hosts).await.unwrap();
    person
        .sign_in(&household.email, &household.password)
        .await
        .unwrap();
    person.reads("2 devices are signed in").await.unwrap();
    let token = thief.sign_in(TV).await.token;
    let given = json!({ "page": page, "all": SIGN_OUT_ALL, "tv": tv.id, "token": token });
    let mut sign_in = thief.credentials();
    sign_in["transport"] = json!("cookie");
    let sign_in = sign_in.to_string().replace('}', ",\"x\":\"");
    let loaded = network.seen("/config.json").len();

    for attacker in ["http://evil.shop.localhost", "http://evil.localhost"] {
        person.browser.tab(1).await.unwrap();
        let attack = format!("{attacker}/adapter.html");
        person.browser.go(&attack).await.unwrap();
        let origin = person.browser.value("location.origin").await;
        assert_eq!(origin.unwrap(), attacker);
        let read = person.browser.value_of(ATTACK, given.clone()).await;
        assert_eq!(read.unwrap(), Value::Null, "{attacker}");
        let opened = network.seen("/").len();
        person.browser.value_of(FRAME, given.clone()).await.unwrap();
        network.until_seen("/", opened + 1).await.unwrap();
        for (path, text) in [
            (SIGN_OUT_ALL, r#"{"scope":"global","x":""#.to_owned()),
            ("/v1/sign-out", String::new()),
            ("/v1/login", sign_in.clone()),
        ] {
            person.browser.go(&attack).await.unwrap();
            let before = network.seen("/v1").len();
            let given = json!({ "page": page, "path": path, "text": text });
            person.browser.value_of(FORM, given).await.unwrap();
            network.until_seen("/v1", before + 1).await.unwrap();
        }
        // The frame was refused, and has run nothing of the page.
        assert_eq!(network.seen("/config.json").len(), loaded, "{attacker}");
        person.browser.tab(0).await.unwrap();
        person.go("#/past").await.unwrap();
        person
            .reads("No device has been signed out yet.")
            .await
            .unwrap();
    }

    let sign_outs = network.seen(SIGN_OUT_ALL);
    let posts = sign_outs.iter().filter(|seen| seen.method != "OPTIONS");
    let statuses: Vec<_> = posts.map(|seen| seen.status).collect();
    assert_eq!(statuses, [400; 4], "{sign_outs:?}");
    assert!(tv.is_signed_in().await);
    person.browser.reload().await.unwrap();
    person.press("Signed in").await.unwrap();
    let own = format!("2 devices are signed in to {}", household.email);
    person.reads(&own).await.unwrap();
}

#[tokio::test]
async fn a_forged_configuration_document_runs_nothing_and_sends_no_password_away() {
    let network = Network::before(api_url()).await.unwrap();
    let stranger = Network::before(api_url()).await.unwrap();
    let forged = json!({
        "name": "<img src=x onerror=window.stolen=1>",
        "logo": "javascript:window.stolen=1",
        "links": [{ "text": "Help", "url": "javascript:window.stolen=1" }],
        "texts": { "en": { "sign_in.lead": "<script>window.stolen=1</script>" } },
        "api": stranger.api_url(),
    });
    let forged = Fault::Other(200, forged.to_string().leak());
    network.fault(None, "/config.json", forged, usize::MAX);
    let page = network.api_url().replace("127.0.0.1", "localhost") + "/";
    let person = Person::open_at(page, &[]).await.unwrap();

    person
        .reads("<script>window.stolen=1</script>")
        .await
        .unwrap();
    person
        .reads("<img src=x onerror=window.stolen=1>")
        .await
        .unwrap();
    person.sign_in("lea@example.com", "secret").await.unwrap();
    person.reads("There was no answer.").await.unwrap();

    assert_eq!(stranger.seen("/"), []);
    let harm = "[window.stolen, [...document.links].filter(({ origin }) => origin !== location.origin).length,
        document.querySelectorAll('#page img, #page script').length]";
    assert_eq!(
        person.browser.value(harm).await.unwrap(),
        json!([null, 0, 0])
    );
}

#[tokio::test]
async fn a_forged_configuration_runs_nothing() {
    let person = Person::open().await.unwrap();
    let forged = json!({
        "name": "<b>a</b>",
        "logo": "javascript:alert(1)",
        "accent": "red;background:url(//evil.example)",
        "radius": "9",
        "links": [{ "text": "a", "url": "javascript:alert(1)" }, { "text": "b", "url": "data:text/html,a" }],
        "texts": 3,
        "transport": "other",
    });
    let version =
        "document.querySelector('script[type=module]').src.replace('main.js', 'config.js')";

    let checked = format!("import({version}).then((module) => module.checked(given))");
    let checked = person.browser.value_of(&checked, forged).await.unwrap();

    assert_eq!(checked["logo"], json!(null));
    assert_eq!(checked["accent"], json!(null));
    assert_eq!(checked["radius"], 12);
    assert_eq!(checked["links"], json!([]));
    assert_eq!(checked["texts"], json!({}));
    assert_eq!(checked["transport"], "cookie");
}
