//! A person in front of the page "Manage access and devices", in a headless browser.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use domain::Timestamp;
use runtime::Clock;
use serde_json::{Value, json};

use crate::browser::{Browser, Pages};
use crate::client::Household;
use crate::conformance::write_time;
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

/// Returns the expression that marks what has this name, and is true if it is one thing.
pub(crate) fn is_named_once(name: &str) -> String {
    format!("(given => {NAMED} === 1)({})", json!(name))
}

/// The expression of the session that the page has stored.
pub const STORED_SESSION: &str = "JSON.parse(localStorage['curfew.session'])";

/// Writes a time into the row of a page's session, as a verification does.
///
/// # Errors
/// When the page has none, or the table does not take it.
pub async fn write_time_of(session: &Value, name: &str, at: Timestamp) -> Result<()> {
    let id = |of: &str| session[of]["id"].as_str().context("a session");
    write_time(id("account")?, id("device")?, name, at).await
}

/// Returns the events of pressing a key.
pub(crate) fn key_events(name: &str, code: u32) -> [Value; 2] {
    ["keyDown", "keyUp"].map(|kind| {
        let mut event =
            json!({ "type": kind, "key": name, "code": name, "windowsVirtualKeyCode": code });
        if name == "Enter" && kind == "keyDown" {
            event["text"] = json!("\r");
        }
        event
    })
}

/// A person with the page open.
#[derive(Debug)]
pub struct Person {
    /// The browser.
    pub browser: Browser,
    page: String,
    _pages: Pages,
}

impl Person {
    /// Opens the page.
    ///
    /// # Errors
    /// When no browser can be started.
    pub async fn open() -> Result<Self> {
        Self::open_at(stack().page_url(), &[]).await
    }

    /// Opens the page at an address, in a browser that finds more hosts: each at its own
    /// address, or with the pages of the tests.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_at(page: String, hosts: &[(&str, Option<SocketAddr>)]) -> Result<Self> {
        let person = Self::start(page, hosts).await?;
        person.go("").await?;
        Ok(person)
    }

    /// Starts a browser for pages below an address, and opens none.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn start(page: String, hosts: &[(&str, Option<SocketAddr>)]) -> Result<Self> {
        let pages = Pages::serve().await?;
        let hosts: Vec<_> = hosts
            .iter()
            .map(|&(host, address)| (host, address.unwrap_or(pages.address())))
            .collect();
        Ok(Self {
            browser: Browser::start_with(&pages, &hosts).await?,
            page,
            _pages: pages,
        })
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

    /// Opens the page, signs in, and lets the session end others for five minutes.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn verified(household: &Household) -> Result<Self> {
        let person = Self::signed_in(household).await?;
        let now = Clock::System.now();
        person.write_time("verified_at", now).await?;
        Ok(person)
    }

    /// Writes a time into the row of the session, as a verification does.
    ///
    /// # Errors
    /// When there is no session, or the table does not take it.
    pub async fn write_time(&self, name: &str, at: Timestamp) -> Result<()> {
        let session = self.browser.value(STORED_SESSION).await?;
        write_time_of(&session, name, at).await
    }

    /// Opens a view by its address: `#/past`.
    ///
    /// # Errors
    /// When the page can't be opened.
    pub async fn go(&self, view: &str) -> Result<()> {
        self.browser.go(&format!("{}{view}", self.page)).await?;
        // Another fragment loads no document: the old view is there until the next frame.
        self.next_frame().await?;
        self.browser
            .until("document.querySelector('h1') !== null")
            .await
    }

    /// Waits until the page shows what it has rendered.
    async fn next_frame(&self) -> Result<()> {
        let frames = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(null))))";
        self.browser.value(frames).await.map(|_| ())
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

    /// Types into the field with this label.
    ///
    /// # Errors
    /// When there is none or more than one.
    pub async fn fill(&self, label: &str, text: &str) -> Result<()> {
        let label = json!(label);
        let mark = format!(
            "(() => {{
                const found = [...document.querySelectorAll('label[for]')].filter((it) => it.textContent.trim() === {label});
                document.querySelectorAll('[data-fill]').forEach((it) => it.removeAttribute('data-fill'));
                found.forEach((it) => it.control?.setAttribute('data-fill', ''));
                return found.length === 1 && found[0].control !== null;
            }})()"
        );
        self.browser.until(&mark).await?;
        self.browser.write("[data-fill]", text).await
    }

    /// Presses what has this name, as soon as there is exactly one.
    ///
    /// # Errors
    /// When there is none or more than one.
    pub async fn press(&self, name: &str) -> Result<()> {
        self.browser.until(&is_named_once(name)).await?;
        self.browser.click("[data-press]").await?;
        self.next_frame().await
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
        for event in key_events(name, code) {
            self.browser
                .devtools("Input.dispatchKeyEvent", event)
                .await?;
        }
        Ok(())
    }

    /// Sets the size of the window, and what style sheets ask for: the medium, and features.
    ///
    /// # Errors
    /// When the browser refuses.
    pub async fn looks(
        &self,
        (width, height): (u32, u32),
        medium: &str,
        features: &[(&str, &str)],
    ) -> Result<()> {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.browser
            .devtools("Emulation.setDeviceMetricsOverride", size)
            .await?;
        let features: Vec<_> = features
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        let media = json!({ "media": medium, "features": features });
        self.browser
            .devtools("Emulation.setEmulatedMedia", media)
            .await
            .map(drop)
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
