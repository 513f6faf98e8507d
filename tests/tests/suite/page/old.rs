//! The page in old browsers, hosted elsewhere as its document says. With the bearer
//! transport: without TLS they keep no `__Host-` cookie.

use std::path::PathBuf;

use curfew::target;
use curfew_tests::browser::{ORIGIN, Pages};
use curfew_tests::client::{Household, TV, unique};
use curfew_tests::old_chromium::{OldChromium, Version};
use curfew_tests::person::{STORED_SESSION, write_time_of};
use curfew_tests::snippets::{Snippets, Terminal};
use curfew_tests::stack::api_url;
use runtime::Clock;
use serde_json::json;

/// Makes the site that the document describes. Returns its folder.
async fn site() -> PathBuf {
    let folder = target().join("browsers").join(format!("site-{}", unique()));
    let own = format!("{}/", folder.display());
    let replaced = [
        ("site/", own.as_str()),
        ("https://id.example.com\"", &format!("{}\"", api_url())),
        ("\"transport\": \"cookie\"", "\"transport\": \"bearer\""),
    ];
    let document = Snippets::of("infra/docs/page.md", &replaced).unwrap();
    let commands = document.block("sh", "mkdir").unwrap();
    let terminal = Terminal::start(&[commands]).await.unwrap();
    terminal.end().await.unwrap();
    folder
}

/// Signs a device out with the keys of a remote control, and reads its receipt.
async fn the_page_can_be_used_in(version: Version, name: &str) {
    let household = Household::register().await;
    let named = json!({ "device": { "name": "Hotel TV" } });
    let tv = household.sign_in_with(TV, named).await;
    let pages = Pages::of(vec![site().await]).await.unwrap();
    let mut browser = OldChromium::start(version, &pages).await.unwrap();
    let remote = json!({ "userAgent": TV, "acceptLanguage": "en" });
    let still = json!({ "features": [{ "name": "prefers-reduced-motion", "value": "reduce" }] });
    let size = json!({ "width": 1920, "height": 1080, "deviceScaleFactor": 1, "mobile": false });
    for (command, parameters) in [
        ("Emulation.setUserAgentOverride", remote),
        ("Emulation.setDeviceMetricsOverride", size),
        ("Emulation.setEmulatedMedia", still),
        ("Page.navigate", json!({ "url": ORIGIN })),
    ] {
        browser.devtools(command, parameters).await.unwrap();
    }

    browser.reads("E-mail address").await.unwrap();
    for (field, text) in [
        ("email", &household.email),
        ("password", &household.password),
    ] {
        let focus = format!("document.getElementById('{field}').focus()");
        browser.value(&focus).await.unwrap();
        let typed = json!({ "text": text });
        browser.devtools("Input.insertText", typed).await.unwrap();
    }
    browser.key("Enter", 13).await.unwrap();
    browser.reads("Hotel TV").await.unwrap();
    let session = browser.value(STORED_SESSION).await.unwrap();
    let verified = write_time_of(&session, "verified_at", Clock::System.now());
    verified.await.unwrap();
    browser
        .photograph(&format!("{name}-devices"))
        .await
        .unwrap();

    let focused = "document.activeElement.textContent.replace(/\\s+/g, ' ').trim()";
    for _ in 0..10 {
        browser.key("ArrowDown", 40).await.unwrap();
        if browser.value(focused).await.unwrap() == "Sign out · Hotel TV" {
            break;
        }
    }
    browser.key("Enter", 13).await.unwrap();
    browser.reads("Sign out “Hotel TV”?").await.unwrap();
    browser
        .photograph(&format!("{name}-question"))
        .await
        .unwrap();
    browser.press("Sign out").await.unwrap();
    browser.reads("Signed out. Not reached yet").await.unwrap();
    tv.ended().await;
    browser
        .reads("Signed out. It was notified (")
        .await
        .unwrap();
    browser.press("Receipt").await.unwrap();
    browser.reads("1 signed out · 1 notified").await.unwrap();
    browser
        .photograph(&format!("{name}-receipt"))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_page_can_be_used_in_chromium_84() {
    the_page_can_be_used_in(Version::V84, "chromium-84").await;
}

#[tokio::test]
async fn the_page_can_be_used_in_chromium_92() {
    the_page_can_be_used_in(Version::V92, "chromium-92").await;
}
