//! A person in front of the page "Manage access and devices", in a headless browser.

use anyhow::Result;
use serde_json::{Value, json};

use crate::browser::{Browser, Pages};
use crate::client::Household;
use crate::stack::stack;

/// Finds what can be pressed by the name that a screen reader says.
const NAMED: &str = "(() => {
    const scope = document.querySelector('dialog[open]') || document;
    const spoken = (it) => (it.getAttribute('aria-label') || it.textContent).replace(/\\s+/g, ' ').trim();
    const all = [...scope.querySelectorAll('a[href], button, label, input[aria-label]')];
    const found = all.filter((it) => spoken(it) === given && it.getClientRects().length > 0);
    document.querySelectorAll('[data-press]').forEach((it) => it.removeAttribute('data-press'));
    found.forEach((it) => it.setAttribute('data-press', ''));
    return found.length;
})()";

/// A person with the page open.
#[derive(Debug)]
pub struct Person {
    /// The browser.
    pub browser: Browser,
    _pages: Pages,
}

impl Person {
    /// Opens the page.
    ///
    /// # Errors
    /// When no browser can be started.
    pub async fn open() -> Result<Self> {
        let pages = Pages::serve().await?;
        let person = Self {
            browser: Browser::start(&pages).await?,
            _pages: pages,
        };
        person.go("").await?;
        Ok(person)
    }

    /// Opens the page, and signs in.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn signed_in(household: &Household) -> Result<Self> {
        let person = Self::open().await?;
        person
            .sign_in(&household.email, &household.password)
            .await?;
        person.reads("This device").await?;
        Ok(person)
    }

    /// Opens a view by its address: `#/past`.
    ///
    /// # Errors
    /// When the page can't be opened.
    pub async fn go(&self, view: &str) -> Result<()> {
        let address = stack().page_url() + view;
        self.browser.go(&address).await?;
        self.browser
            .until("document.querySelector('h1') !== null")
            .await
    }

    /// Fills in the form of the sign-in view, and sends it.
    ///
    /// # Errors
    /// When there is no such form.
    pub async fn sign_in(&self, email: &str, password: &str) -> Result<()> {
        self.browser.write("#email", email).await?;
        self.browser.write("#password", password).await?;
        self.browser.click("button[type=submit]").await
    }

    /// Presses what has this name, as soon as there is exactly one.
    ///
    /// # Errors
    /// When there is none or more than one.
    pub async fn press(&self, name: &str) -> Result<()> {
        let expression = format!("(given => {NAMED} === 1)({})", json!(name));
        self.browser.until(&expression).await?;
        self.browser.click("[data-press]").await?;
        // The page shows the outcome in its next frame.
        let frames = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(null))))";
        self.browser.value(frames).await.map(|_| ())
    }

    /// Waits until the page shows a text.
    ///
    /// # Errors
    /// When it never does. The message has what it shows.
    pub async fn reads(&self, text: &str) -> Result<()> {
        let text = json!(text);
        self.browser
            .until(&format!("document.body.innerText.includes({text})"))
            .await
    }

    /// Returns what the page shows.
    ///
    /// # Errors
    /// When the browser has ended.
    pub async fn text(&self) -> Result<String> {
        let text = self.browser.value("document.body.innerText").await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Presses a key.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn key(&self, name: &str, code: u32) -> Result<()> {
        for kind in ["keyDown", "keyUp"] {
            let mut event =
                json!({ "type": kind, "key": name, "code": name, "windowsVirtualKeyCode": code });
            if name == "Enter" && kind == "keyDown" {
                event["text"] = json!("\r");
            }
            self.browser
                .devtools("Input.dispatchKeyEvent", event)
                .await?;
        }
        Ok(())
    }

    /// Sets the size of the window, and the colour scheme.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn looks(&self, width: u32, height: u32, scheme: &str) -> Result<()> {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.browser
            .devtools("Emulation.setDeviceMetricsOverride", size)
            .await?;
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.browser
            .devtools("Emulation.setEmulatedMedia", features)
            .await?;
        Ok(())
    }

    /// Returns everything that the browser has stored for the page and that a script can read.
    ///
    /// # Errors
    /// When the browser has ended.
    pub async fn stored(&self) -> Result<Value> {
        self.browser
            .value("({ ...localStorage, ...sessionStorage, cookie: document.cookie })")
            .await
    }
}
