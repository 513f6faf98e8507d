//! What an attacker gets from the page.

use curfew_tests::client::{Api, Household, TV};
use curfew_tests::person::Person;
use serde_json::json;

const SCRIPT: &str = "<img src=x onerror=\"window.stolen=1\"><script>window.stolen=1</script>";

#[tokio::test]
async fn a_name_with_markup_is_shown_as_text_everywhere() {
    let household = Household::register().await;
    let name = &SCRIPT[..60];
    let agent = format!("{name}/1.0");
    let named = json!({ "device": { "name": name, "model": name, "app": name, "os": name } });
    let tv = household.sign_in_with(&agent, named).await;
    let person = Person::signed_in(&household).await.unwrap();

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
    let _tv = household.sign_in(TV).await;
    let person = Person::open().await.unwrap();
    let count = "window.violations = []; document.addEventListener('securitypolicyviolation',
        (event) => window.violations.push(event.violatedDirective + ' ' + event.blockedURI));";
    let source = json!({ "source": count });
    let command = "Page.addScriptToEvaluateOnNewDocument";
    person.browser.devtools(command, source).await.unwrap();
    person.browser.value("location.reload()").await.unwrap();
    person.reads("E-mail address").await.unwrap();

    person
        .sign_in(&household.email, &household.password)
        .await
        .unwrap();
    person.reads("Other devices").await.unwrap();
    person.press("Sign out everywhere").await.unwrap();
    person.press("Sign out everywhere").await.unwrap();
    person.reads("1 signed out").await.unwrap();
    person.press("Change password").await.unwrap();
    person.reads("Current password").await.unwrap();

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
