//! A page that uses the JavaScript module, in a browser: what its user sees, and
//! what is left of the account in its storages.

use std::time::Instant;

use curfew_tests::authenticator::Authenticator;
use curfew_tests::browser::{Browser, Pages};
use curfew_tests::client::{Device, Household, PHONE, SIGN_OUT_ALL};
use curfew_tests::conformance::{Fault, Network, PATIENCE};
use curfew_tests::inbox;
use curfew_tests::person::{STORED_SESSION, write_time_of};
use curfew_tests::routes::routes;
use curfew_tests::stack::api_url;
use http::Method;
use http_api::SESSION_COOKIE;
use runtime::Clock;
use serde_json::{Value, json};

/// The keys that stay in a wiped page: the device key, the reason for the sign-in
/// screen, and an entry that is not the account's.
const WIPED: [&str; 3] = ["curfew.device", "curfew.ended", "language"];

/// True when the page has listed its devices, stored its films, and is connected.
const READY: &str =
    "['ready', 'connected'].every((name) => events.some((one) => one.name === name))";

/// The timing of a page that does not reconnect by itself during a test.
fn patient() -> Value {
    json!({
        "reconnectCapMs": 86_400_000,
        "reconnectBaseMs": 86_400_000,
        "lookMs": 50,
    })
}

/// A browser with the page of films, and its network.
struct Screen {
    browser: Browser,
    network: Network,
    page: String,
}

impl Screen {
    /// Opens a page that reconnects by itself within a second.
    async fn open(pages: &Pages, name: &str) -> Self {
        let quick = json!({ "reconnectCapMs": 1000, "reconnectBaseMs": 100 });
        Self::open_with(pages, name, &quick, "").await
    }

    /// Opens a page that does not reconnect by itself during the test.
    async fn open_patient(pages: &Pages, name: &str) -> Self {
        Self::open_with(pages, name, &patient(), "").await
    }

    async fn open_with(pages: &Pages, name: &str, timing: &Value, more: &str) -> Self {
        let network = Network::before(api_url()).await.unwrap();
        let api = network.api_url();
        let screen = Self {
            browser: Browser::start(pages).await.unwrap(),
            network,
            page: format!("/films.html?api={api}&name={name}&timing={timing}{more}"),
        };
        screen.load().await;
        screen
    }

    async fn load(&self) {
        self.browser.go(&self.page).await.unwrap();
        self.until("window.started").await;
    }

    async fn sign_in(&self, household: &Household) {
        let browser = &self.browser;
        browser.write("#email", &household.email).await.unwrap();
        let password = &household.password;
        browser.write("#password", password).await.unwrap();
        browser.click("#enter").await.unwrap();
        self.until(READY).await;
    }

    async fn until(&self, expression: &str) {
        self.browser.until(expression).await.unwrap();
    }

    async fn value(&self, expression: &str) -> Value {
        self.browser.value(expression).await.unwrap()
    }

    /// Waits for the sign-in screen. Returns its text.
    async fn sign_in_screen(&self) -> String {
        self.until("!document.getElementById('sign-in').hidden")
            .await;
        let why = self.value("document.getElementById('why').textContent");
        why.await.as_str().unwrap().to_owned()
    }

    /// Presses the button that signs out a device. Returns the sign-out.
    async fn press(&self, device: &str) -> Value {
        let button = format!("[data-device=\"{device}\"]");
        self.until(&format!("document.querySelector('{button}') !== null"))
            .await;
        self.browser.click(&button).await.unwrap();
        self.until("window.signOut !== undefined").await;
        self.value("window.signOut").await
    }

    /// Opens the database and keeps it open, so that it can't be deleted.
    async fn hold_database(&self) {
        let open = "void (indexedDB.open('films').onsuccess = (event) => { window.held = event.target.result; })";
        self.value(open).await;
        self.until("window.held !== undefined").await;
    }

    /// Counts an event.
    async fn count(&self, name: &str) -> i64 {
        let count = format!("events.filter((one) => one.name === '{name}').length");
        self.value(&count).await.as_i64().unwrap()
    }

    /// Returns when an event happened last, in milliseconds of Unix time.
    async fn last(&self, name: &str) -> i64 {
        let last = format!("events.findLast((one) => one.name === '{name}').at");
        self.value(&last).await.as_i64().unwrap()
    }

    /// Waits for the sign-in screen of a page that another device signed out. Returns
    /// its text.
    async fn is_signed_out_and_wiped(&self) -> String {
        let why = self.sign_in_screen().await;
        assert!(why.contains("by “"), "{why}");
        self.assert_wiped().await;
        why
    }

    async fn assert_wiped(&self) {
        let stored = self.value("window.stored()").await;
        let wanted = json!({ "local": WIPED, "caches": [], "databases": [] });
        assert_eq!(stored, wanted);
    }

    /// Reads a receipt in the page until its only entry is in this state.
    async fn part(&self, sign_out: &Value, state: &str) -> Value {
        let id = sign_out["id"].as_str().unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let receipt = self.value(&format!("curfew.receipt('{id}')")).await;
            let part = receipt["devices"][0].clone();
            if part["state"] == state {
                return part;
            }
            assert!(Instant::now() < deadline, "{receipt}");
        }
    }
}

/// Reads the only entry of a receipt.
async fn entry(reader: &Device, sign_out: &Value) -> Value {
    let path = format!("/v1/sign-outs/{}", sign_out["id"].as_str().unwrap());
    reader.get(&path).await.done(200)["sign_out"]["devices"][0].clone()
}

/// Waits until a receipt shows the TV as acknowledged. Returns its entry.
async fn acknowledged(reader: &Device, sign_out: &Value, tv: &str) -> Value {
    let id = sign_out["id"].as_str().unwrap();
    reader.receipt_entry(id, tv, "wiped").await
}

/// The timing of a page that soon gives up and retries a wipe.
fn impatient() -> Value {
    json!({ "wipeMs": 200, "reconnectCapMs": 300, "reconnectBaseMs": 100 })
}

/// Opens a TV and a phone, signed in to the same account.
async fn tv_and_phone(pages: &Pages) -> (Screen, Screen) {
    let household = Household::register().await;
    let (tv, phone) = tokio::join!(Screen::open(pages, "TV"), Screen::open(pages, "Phone"));
    tv.sign_in(&household).await;
    phone.sign_in(&household).await;
    let session = phone.value(STORED_SESSION).await;
    let verified = write_time_of(&session, "verified_at", Clock::System.now());
    verified.await.unwrap();
    (tv, phone)
}

/// Signs the TV in. Returns a device that can sign it out, and the TV's id.
async fn tv_and_owner(tv: &Screen) -> (Device, String) {
    let household = Household::register().await;
    tv.sign_in(&household).await;
    let owner = household.sign_in(PHONE).await;
    let id = tv.value("curfew.session.device.id").await;
    (owner, id.as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_page_that_is_signed_out_in_another_browser_is_wiped_and_shows_the_sign_in_screen() {
    let pages = Pages::serve().await.unwrap();
    let (tv, phone) = tv_and_phone(&pages).await;
    let stored = tv.value("window.stored()").await;
    assert_eq!(stored["caches"], json!(["films"]));
    assert_eq!(stored["databases"], json!(["films"]));
    tv.browser.photograph("watching").await.unwrap();

    let sign_out = phone.press("TV").await;

    let why = tv.sign_in_screen().await;
    tv.assert_wiped().await;
    assert!(why.contains("by “Phone”"), "{why}");
    let part = phone.part(&sign_out, "wiped").await;
    assert!(part["notified_at"].is_string(), "{part}");
    assert_eq!(part["name"], "TV");
    tv.browser.photograph("signed-out").await.unwrap();
    phone.browser.photograph("phone").await.unwrap();
    let answered = phone.last("answered").await;
    for event in ["stopped", "wiped", "sign_in_screen"] {
        let after = tv.last(event).await - answered;
        println!("{event}: {after} ms after the answer to the sign-out");
    }
}

#[tokio::test]
async fn a_page_asks_for_the_code_of_an_authenticator_app() {
    let household = Household::register().await;
    let mut app = Authenticator::add(&household.sign_in(PHONE).await).await;
    let pages = Pages::serve().await.unwrap();
    let tv = Screen::open(&pages, "TV").await;
    let typed = format!("void (window.prompt = () => '{}')", app.code());
    tv.value(&typed).await;

    tv.sign_in(&household).await;
}

#[tokio::test]
async fn a_page_whose_network_was_cut_is_wiped_at_its_first_contact() {
    let pages = Pages::serve().await.unwrap();
    let tv = Screen::open_patient(&pages, "TV").await;
    let (owner, tv_id) = tv_and_owner(&tv).await;
    // Chromium cuts off what is new; the network breaks what is open.
    tv.browser.set_offline(true).await.unwrap();
    tv.network.set_cut(true);
    tv.until("!curfew.connected").await;

    let sign_out = owner.sign_out(&tv_id).await.done(200)["sign_out"].clone();
    let still_there = tv.value("window.stored()").await;
    let unreached = entry(&owner, &sign_out).await;
    tv.network.set_cut(false);
    tv.browser.set_offline(false).await.unwrap();

    tv.is_signed_out_and_wiped().await;
    assert_eq!(still_there["databases"], json!(["films"]));
    assert_eq!(unreached["wiped_at"], Value::Null);
    let part = acknowledged(&owner, &sign_out, &tv_id).await;
    assert!(part["notified_at"].is_string(), "{part}");
}

#[tokio::test]
async fn a_page_that_slept_checks_its_session() {
    let pages = Pages::serve().await.unwrap();
    let tv = Screen::open_patient(&pages, "TV").await;
    let (owner, tv_id) = tv_and_owner(&tv).await;
    // Its socket looks open and is dead.
    tv.network.deafen();
    let _ = owner.sign_out(&tv_id).await.done(200);

    tv.value("void (Date.now = ((now) => () => now.call(Date) + 3_600_000)(Date.now))")
        .await;

    tv.is_signed_out_and_wiped().await;
}

#[tokio::test]
async fn a_page_that_your_own_api_refuses_checks_its_session() {
    let pages = Pages::serve().await.unwrap();
    let films = Network::before(api_url()).await.unwrap();
    let forbidden = Fault::Other(403, "{\"message\":\"Forbidden\"}");
    films.fault(None, "/films", forbidden, usize::MAX);
    let more = format!("&protects={}", films.api_url());
    let tv = Screen::open_with(&pages, "TV", &patient(), &more).await;
    let (owner, tv_id) = tv_and_owner(&tv).await;
    tv.network.deafen();
    let watch = format!(
        "curfew.fetch('{}/films/42').then((answer) => answer.status)",
        films.api_url()
    );
    assert_eq!(tv.value(&watch).await, 403);
    assert_eq!(tv.value("curfew.check()").await, true);
    let _ = owner.sign_out(&tv_id).await.done(200);

    assert_eq!(tv.value(&watch).await, 403);

    tv.is_signed_out_and_wiped().await;
}

#[tokio::test]
async fn a_late_answer_about_an_old_session_changes_nothing() {
    let pages = Pages::serve().await.unwrap();
    let tv = Screen::open(&pages, "TV").await;
    let household = Household::register().await;
    tv.sign_in(&household).await;
    let ended = Fault::Problem(401, "session-signed-out");
    tv.network.hold_faults(true);
    tv.network.fault(None, "/v1/devices", ended, 1);
    tv.value("void (window.late = curfew.fetch('/v1/devices'))")
        .await;
    let credentials = household.credentials();
    let again = tv
        .browser
        .value_of("curfew.signIn(given).then(() => true)", credentials);
    assert_eq!(again.await.unwrap(), true);

    tv.network.hold_faults(false);

    let status = tv
        .value("window.late.then((answer) => answer.status)")
        .await;
    assert_eq!(status, 401);
    assert_eq!(tv.value("curfew.check()").await, true);
    assert_eq!(tv.count("wiped").await, 0);
    assert_eq!(tv.count("stopped").await, 0);
}

#[tokio::test]
async fn the_tabs_of_a_browser_wipe_once_and_all_show_the_sign_in_screen() {
    let pages = Pages::serve().await.unwrap();
    let (tv, phone) = tv_and_phone(&pages).await;
    tv.browser.tab(1).await.unwrap();
    tv.load().await;
    tv.until(READY).await;

    let sign_out = phone.press("TV").await;

    let second = tv.sign_in_screen().await;
    let part = phone.part(&sign_out, "wiped").await;
    tv.assert_wiped().await;
    let mut wiped = tv.count("wiped").await;
    assert_eq!(tv.count("stopped").await, 1);
    tv.browser.tab(0).await.unwrap();
    let first = tv.sign_in_screen().await;
    wiped += tv.count("wiped").await;
    assert_eq!(tv.count("stopped").await, 1);
    tv.assert_wiped().await;
    assert_eq!(first, second);
    assert_eq!(wiped, 1);
    assert!(part["notified_at"].is_string(), "{part}");
}

#[tokio::test]
async fn a_tab_follows_when_another_signs_in_and_out() {
    let household = Household::register().await;
    let pages = Pages::serve().await.unwrap();
    let tv = Screen::open(&pages, "TV").await;
    tv.browser.tab(1).await.unwrap();
    tv.load().await;
    assert_eq!(tv.sign_in_screen().await, "");

    tv.sign_in(&household).await;
    tv.browser.tab(0).await.unwrap();
    tv.until("!document.getElementById('watching').hidden")
        .await;
    tv.browser.tab(1).await.unwrap();
    tv.press("TV").await;

    tv.browser.tab(0).await.unwrap();
    let why = tv.sign_in_screen().await;
    assert!(why.contains("by “TV”"), "{why}");
    tv.assert_wiped().await;
}

#[tokio::test]
async fn a_page_that_is_loaded_after_its_sign_out_is_wiped_and_shows_the_reason() {
    let pages = Pages::serve().await.unwrap();
    let tv = Screen::open(&pages, "TV").await;
    let (owner, tv_id) = tv_and_owner(&tv).await;
    tv.load().await;
    tv.until("curfew.connected").await;
    tv.browser.go("about:blank").await.unwrap();
    let _ = owner.sign_out(&tv_id).await.done(200);

    tv.load().await;

    let why = tv.is_signed_out_and_wiped().await;
    tv.load().await;
    assert_eq!(tv.sign_in_screen().await, why);
    assert_eq!(tv.count("wiped").await, 0);
}

#[tokio::test]
async fn a_failed_wipe_is_not_acknowledged_until_it_succeeds() {
    let pages = Pages::serve().await.unwrap();
    let tv = Screen::open_with(&pages, "TV", &impatient(), "").await;
    let (owner, tv_id) = tv_and_owner(&tv).await;
    tv.hold_database().await;

    let sign_out = owner.sign_out(&tv_id).await.done(200)["sign_out"].clone();

    let why = tv.sign_in_screen().await;
    assert!(why.contains("by “"), "{why}");
    assert_eq!(tv.count("wiped").await, 0);
    assert_eq!(entry(&owner, &sign_out).await["wiped_at"], Value::Null);
    tv.value("held.close()").await;
    acknowledged(&owner, &sign_out, &tv_id).await;
    assert_eq!(tv.count("wiped").await, 1);
    tv.assert_wiped().await;
}

#[tokio::test]
async fn an_interrupted_wipe_is_finished_at_the_next_start() {
    let pages = Pages::serve().await.unwrap();
    let tv = Screen::open_with(&pages, "TV", &impatient(), "").await;
    let (owner, tv_id) = tv_and_owner(&tv).await;
    tv.hold_database().await;
    let _ = owner.sign_out(&tv_id).await.done(200);
    let why = tv.sign_in_screen().await;
    assert_eq!(tv.count("wiped").await, 0);

    // The database is closed with its page.
    tv.load().await;

    assert_eq!(tv.sign_in_screen().await, why);
    assert_eq!(tv.value("events[0].name").await, "wiped");
    tv.assert_wiped().await;
}

#[tokio::test]
async fn a_page_with_a_full_storage_is_wiped_too() {
    let pages = Pages::serve().await.unwrap();
    let tv = Screen::open(&pages, "TV").await;
    let (owner, tv_id) = tv_and_owner(&tv).await;
    tv.value("void (Storage.prototype.setItem = () => { throw new Error('full'); })")
        .await;

    let sign_out = owner.sign_out(&tv_id).await.done(200)["sign_out"].clone();

    let why = tv.sign_in_screen().await;
    assert!(why.contains("by “"), "{why}");
    let stored = tv.value("window.stored()").await;
    let wanted = json!({ "local": ["curfew.device", "language"], "caches": [], "databases": [] });
    assert_eq!(stored, wanted);
    acknowledged(&owner, &sign_out, &tv_id).await;
}

#[tokio::test]
async fn a_connected_page_sends_heartbeats_and_nothing_else() {
    let pages = Pages::serve().await.unwrap();
    let quick = json!({ "heartbeatMs": [20, 40] });
    let tv = Screen::open_with(&pages, "TV", &quick, "").await;
    tv_and_owner(&tv).await;

    let deadline = Instant::now() + PATIENCE;
    while tv.network.frames().len() < 3 {
        assert!(Instant::now() < deadline, "{:?}", tv.network.frames());
        assert_eq!(tv.value("curfew.connected").await, true);
    }

    let frames = tv.network.frames();
    assert!(
        frames
            .iter()
            .all(|frame| frame == r#"{"type":"heartbeat"}"#),
        "{frames:?}"
    );
}

#[tokio::test]
async fn a_page_sends_its_token_only_to_the_api() {
    let pages = Pages::serve().await.unwrap();
    let tv = Screen::open(&pages, "TV").await;
    let stranger = Network::before(api_url()).await.unwrap();
    tv_and_owner(&tv).await;
    let ask = |at: &str| {
        format!(
            "curfew.fetch('{at}/v1/session').then((answer) => answer.json()).then(({{ type }}) => type ?? null)"
        )
    };

    assert_eq!(tv.value(&ask(&tv.network.api_url())).await, Value::Null);
    let refused = tv.value(&ask(&stranger.api_url())).await;

    assert_eq!(refused, "urn:curfew:problem:token-missing");
    assert_eq!(tv.count("stopped").await, 0);
}

/// Signs in in the page, several times at once.
async fn sign_in_at_once(tv: &Screen, household: &Household, times: usize) {
    let signing_in = "Promise.all(given.map((one) => curfew.signIn(one))).then(() => true)";
    let given = json!(vec![household.credentials(); times]);
    let done = tv.browser.value_of(signing_in, given).await.unwrap();
    assert_eq!(done, true);
}

#[tokio::test]
async fn a_double_submit_makes_one_session() {
    let pages = Pages::serve().await.unwrap();
    let tv = Screen::open(&pages, "TV").await;
    let household = Household::register().await;

    sign_in_at_once(&tv, &household, 3).await;

    tv.until(READY).await;
    let owner = household.sign_in(PHONE).await;
    assert_eq!(owner.devices("all").await.len(), 2);
    assert_eq!(
        tv.network
            .seen("/v1/login")
            .iter()
            .filter(|one| one.method == "POST")
            .count(),
        1
    );
}

/// Returns the accounts whose device keys the page has stored, the latest last.
async fn keys_of(tv: &Screen) -> Vec<Value> {
    let names = "JSON.parse(localStorage['curfew.device'] || '[]').map(([name]) => name)";
    tv.value(names).await.as_array().unwrap().clone()
}

#[tokio::test]
async fn two_accounts_in_turn_keep_one_device_key_each_and_a_refused_one_keeps_none() {
    let pages = Pages::serve().await.unwrap();
    let tv = Screen::open(&pages, "TV").await;
    let (first, second) = (Household::register().await, Household::register().await);
    let mut devices = Vec::new();
    for _ in 0..2 {
        for household in [&first, &second] {
            sign_in_at_once(&tv, household, 1).await;
            devices.push(tv.value("curfew.session.device.id").await);
        }
    }
    assert_eq!(devices[..2], devices[2..], "each account finds its device");
    assert_ne!(devices[0], devices[1]);
    let keys = keys_of(&tv).await;
    assert_eq!(keys.len(), 2, "{keys:?}");
    assert_ne!(keys[0], keys[1]);

    // A full storage: the key of the first account is the oldest of twenty.
    let fill = "(() => {
        const keys = JSON.parse(localStorage['curfew.device']);
        const others = Array.from({ length: 18 }, (_, n) => [`other-${n}`, keys[0][1]]);
        localStorage['curfew.device'] = JSON.stringify([keys[0], ...others, keys[1]]);
    })()";
    tv.value(fill).await;
    let twenty = keys_of(&tv).await;
    let mistyped = Household::unregistered();
    let refused = "curfew.signIn(given).then(() => true, (error) => error.problem)";
    let refused = tv.browser.value_of(refused, mistyped.credentials()).await;
    assert_eq!(refused.unwrap(), "credentials-invalid");
    assert_eq!(
        keys_of(&tv).await,
        twenty,
        "a mistyped address costs no key"
    );
    let busy = Fault::Problem(503, "unavailable");
    tv.network.fault(None, "/v1/login", busy, 1);
    let unanswered = "curfew.signIn(given).then(() => true, (error) => error.status)";
    let unanswered = tv.browser.value_of(unanswered, mistyped.credentials());
    assert_eq!(unanswered.await.unwrap(), 503);
    let more = keys_of(&tv).await;
    assert!(more.contains(&keys[0]), "only a success drops the oldest");
    assert_eq!(more.len(), 21);

    sign_in_at_once(&tv, &first, 1).await;
    assert_eq!(tv.value("curfew.session.device.id").await, devices[0]);
    assert_eq!(keys_of(&tv).await.len(), 20);
    sign_in_at_once(&tv, &Household::register().await, 1).await;
    let kept = keys_of(&tv).await;
    assert_eq!(kept.len(), 20);
    // The one that was not answered has cost a place, too.
    assert!(!kept.contains(&json!("other-1")), "the oldest gives way");
    assert!(kept.contains(&json!("other-2")));
    assert!(kept.contains(&keys[0]) && kept.contains(&keys[1]));
}

#[tokio::test]
async fn two_tabs_that_sign_in_at_once_make_one_device() {
    let pages = Pages::serve().await.unwrap();
    let tv = Screen::open(&pages, "TV").await;
    let household = Household::register().await;
    let begin = "void (window.done = curfew.signIn(given).then(() => true))";
    let credentials = household.credentials();
    tv.network
        .fault(None, "/v1/login", Fault::Problem(503, "unavailable"), 1);
    tv.network.hold_faults(true);
    let held = tv.browser.value_of(
        "void curfew.signIn(given).catch(() => {})",
        credentials.clone(),
    );
    held.await.unwrap();
    tv.browser.tab(1).await.unwrap();
    tv.load().await;
    // Both wait for the first one.
    tv.browser
        .value_of(begin, credentials.clone())
        .await
        .unwrap();
    tv.browser.tab(0).await.unwrap();
    let other = json!({ "email": household.email.to_uppercase(), "password": household.password });
    tv.browser.value_of(begin, other).await.unwrap();

    tv.network.hold_faults(false);

    for tab in [0, 1] {
        tv.browser.tab(tab).await.unwrap();
        assert_eq!(tv.value("window.done").await, true);
    }
    let owner = household.sign_in(PHONE).await;
    assert_eq!(owner.devices("all").await.len(), 2);
    // The second sign-in replaces the first one's session, and this tab follows.
    tv.until("curfew.check()").await;
}

#[tokio::test]
async fn only_the_networks_failure_is_no_answer() {
    let pages = Pages::serve().await.unwrap();
    let tv = Screen::open(&pages, "TV").await;
    let failing = |fetch: &str, timing: &str| {
        format!(
            "import('/curfew.js').then(({{ Curfew }}) => new Curfew({{ api: 'http://127.0.0.1:1', \
             storage: localStorage, fetch: {fetch}, timing: {timing} }}).signIn({{ email: 'a', \
             password: 'b' }})).catch((error) => [error.name, error.message, error.passes ?? null])"
        )
    };
    for (fetch, timing, wanted) in [
        (
            "undefined",
            "{}",
            json!(["CurfewError", "no answer to POST /v1/login", true]),
        ),
        (
            "(_, { signal }) => new Promise((_, reject) => { signal.onabort = () => reject(new Error()); })",
            "{ answerMs: 20 }",
            json!(["CurfewError", "no answer to POST /v1/login", true]),
        ),
        (
            "async () => new Response('<h1>Hotel</h1>')",
            "{}",
            json!(["CurfewError", "unreadable answer to POST /v1/login", true]),
        ),
        (
            "() => missing.timeout(1)",
            "{}",
            json!(["ReferenceError", "missing is not defined", null]),
        ),
    ] {
        assert_eq!(tv.value(&failing(fetch, timing)).await, wanted, "{fetch}");
    }
}

#[tokio::test]
async fn a_confirmed_address_brings_no_ended_and_no_replaced_session_back() {
    let pages = Pages::serve().await.unwrap();
    let tv = Screen::open(&pages, "TV").await;
    let stored = |id: &str| {
        json!({
            "session": id, "token": "cft_a", "device": { "id": "d" },
            "account": { "id": "a", "email": "lea@example.com", "confirm_address": true },
        })
    };
    let mut confirmed = stored("first");
    confirmed["account"]["confirm_address"] = false.into();
    // What is stored when the API answers, and afterwards.
    for (at_answer, wanted) in [
        (Value::Null, Value::Null),
        (stored("second"), stored("second")),
        (stored("first"), confirmed),
    ] {
        let confirm = "(async ({ first, at_answer }) => {
            const { Curfew } = await import('/curfew.js');
            const entries = new Map([['curfew.session', JSON.stringify(first)]]);
            const storage = {
              getItem: (key) => entries.get(key) ?? null,
              setItem: (key, value) => entries.set(key, value),
              removeItem: (key) => entries.delete(key),
            };
            const answer = async (url) => {
              if (!url.endsWith('/v1/address-confirmations')) {
                return new Response('', { status: 503 });
              }
              entries.set('curfew.session', JSON.stringify(at_answer));
              return new Response('{}');
            };
            const client = new Curfew({ api: 'http://127.0.0.1:1', storage, fetch: answer });
            await client.start();
            await client.confirmAddress({ challenge: 'cfc_a', code: 'AAAA-AAAA' });
            client.close();
            return JSON.parse(entries.get('curfew.session'));
        })(given)";
        let given = json!({ "first": stored("first"), "at_answer": at_answer });
        let left = tv.browser.value_of(confirm, given).await.unwrap();
        assert_eq!(left, wanted);
    }
}

#[tokio::test]
async fn a_page_that_signs_up_can_sign_in() {
    let pages = Pages::serve().await.unwrap();
    let tv = Screen::open(&pages, "TV").await;
    let household = Household::unregistered();

    let email = json!({ "email": household.email });
    let asking = tv.browser.value_of("curfew.signUp(given)", email);
    let challenge = asking.await.unwrap();
    let code = inbox::code_for(&household.email, 1).await;
    let proof = json!({ "challenge": challenge, "code": code, "password": household.password });
    let confirming = "curfew.confirmAccount(given).then(() => true)";
    assert_eq!(tv.browser.value_of(confirming, proof).await.unwrap(), true);

    sign_in_at_once(&tv, &household, 1).await;
}

#[tokio::test]
async fn a_refused_socket_is_reported_once() {
    let pages = Pages::serve().await.unwrap();
    let quick = json!({ "reconnectCapMs": 20, "reconnectBaseMs": 10, "refusedMs": 100 });
    let tv = Screen::open_with(&pages, "TV", &quick, "").await;
    let household = Household::register().await;
    // Tickets are posted.
    let (get, forbidden) = (Some(Method::GET), Fault::Other(403, ""));
    tv.network.fault(get, "/v1/socket", forbidden, usize::MAX);

    sign_in_at_once(&tv, &household, 1).await;

    tv.until("events.some((one) => one.name === 'error')").await;
    let mut routes = routes().into_iter();
    let tickets = routes.find(|route| route.id == "createSocketTicket");
    let tickets = tickets.unwrap().path;
    let tried = tv.network.seen(&tickets).len();
    tv.network.until_seen(&tickets, tried + 6).await.unwrap();
    assert_eq!(tv.count("error").await, 1);
    tv.network.clear_faults();
    tv.until("curfew.connected").await;
}

/// Opens a page with the cookie.
async fn open_with_cookie(pages: &Pages) -> Screen {
    let quick = json!({ "reconnectCapMs": 1000, "reconnectBaseMs": 100 });
    let network = Network::before(api_url()).await.unwrap();
    // The cookie is for the site of the page only.
    let api = network.api_url().replace("127.0.0.1", "api.page.localhost");
    let tv = Screen {
        browser: Browser::start(pages).await.unwrap(),
        network,
        page: format!("/films.html?api={api}&name=TV&transport=cookie&timing={quick}"),
    };
    tv.load().await;
    tv
}

#[tokio::test]
async fn a_page_with_a_cookie_whose_own_sign_out_was_not_answered_loses_the_cookie() {
    let pages = Pages::serve().await.unwrap();
    for is_deaf in [false, true] {
        let tv = open_with_cookie(&pages).await;
        let household = Household::register().await;
        if is_deaf {
            tv.network.deafen();
        }
        tv.sign_in(&household).await;
        tv.browser.until_cookie(SESSION_COOKIE, true).await.unwrap();
        let post = Some(Method::POST);
        tv.network.fault(post, "/v1/sign-out", Fault::LostAnswer, 1);

        let lost = tv
            .value("curfew.signOut().catch((error) => error.status)")
            .await;
        assert_eq!(lost, 0);
        tv.until("curfew.check().then((is) => is === false)").await;

        tv.browser
            .until_cookie(SESSION_COOKIE, false)
            .await
            .unwrap();
        sign_in_at_once(&tv, &household, 1).await;
        tv.browser.until_cookie(SESSION_COOKIE, true).await.unwrap();
        assert_eq!(tv.value("curfew.check()").await, true);
    }
}

#[tokio::test]
async fn a_page_with_a_cookie_has_no_token_and_is_wiped_and_acknowledges() {
    let pages = Pages::serve().await.unwrap();
    for loses_frames in [false, true] {
        let tv = open_with_cookie(&pages).await;
        let (owner, tv_id) = tv_and_owner(&tv).await;
        let stored = tv.value("JSON.stringify(localStorage)").await.to_string();
        assert!(
            !stored.contains("cft_") && !stored.contains("cfd_"),
            "{stored}"
        );
        tv.load().await;
        tv.until(READY).await;
        if loses_frames {
            tv.network.lose_frames();
        }

        let sign_out = owner.sign_out(&tv_id).await.done(200)["sign_out"].clone();

        let why = tv.sign_in_screen().await;
        assert!(why.contains("by “"), "{why}");
        acknowledged(&owner, &sign_out, &tv_id).await;
        // Also after a frame, which can delete no cookie.
        tv.browser
            .until_cookie(SESSION_COOKIE, false)
            .await
            .unwrap();
    }
}

/// Returns a page of an account whose address nobody has confirmed: a verification takes the
/// password. And the proof.
async fn provable(tv: Screen) -> (Screen, Value) {
    let household = Household::register_as(false).await;
    tv.sign_in(&household).await;
    (tv, json!({ "password": household.password }))
}

/// The same with the cookie or a token.
async fn provable_by(pages: &Pages, has_cookie: bool) -> (Screen, Value) {
    let tv = if has_cookie {
        open_with_cookie(pages).await
    } else {
        Screen::open_patient(pages, "TV").await
    };
    provable(tv).await
}

async fn verify(tv: &Screen, proof: &Value) {
    let verifying = "curfew.verify(given).then(() => true)";
    let done = tv.browser.value_of(verifying, proof.clone()).await;
    assert_eq!(done.unwrap(), true);
}

/// Asserts that the page of this tab is signed in, and that nothing has happened to it.
async fn is_signed_in(tv: &Screen) {
    let listed = "curfew.devices().then(({ devices }) => devices.length)";
    assert_eq!(tv.value(listed).await, 1);
    assert_eq!(tv.value("curfew.check()").await, true);
    assert_eq!(tv.count("stopped").await, 0);
}

#[tokio::test]
async fn a_token_that_one_tab_has_replaced_is_replaced_in_every_tab() {
    let pages = Pages::serve().await.unwrap();
    for has_cookie in [false, true] {
        let (tv, proof) = provable_by(&pages, has_cookie).await;
        let before = tv.value(STORED_SESSION).await;
        tv.browser.tab(1).await.unwrap();
        tv.load().await;
        tv.until(READY).await;

        tv.browser.tab(0).await.unwrap();
        verify(&tv, &proof).await;
        is_signed_in(&tv).await;
        tv.browser.tab(1).await.unwrap();
        is_signed_in(&tv).await;
        verify(&tv, &proof).await;
        is_signed_in(&tv).await;
        tv.browser.tab(0).await.unwrap();
        is_signed_in(&tv).await;

        let after = tv.value(STORED_SESSION).await;
        assert_eq!(after["session"], before["session"]);
        if !has_cookie {
            assert_ne!(after["token"], before["token"]);
        }
        tv.load().await;
        tv.until(READY).await;
        is_signed_in(&tv).await;
    }
}

#[tokio::test]
async fn two_tabs_that_verify_at_once_end_with_the_same_token() {
    let pages = Pages::serve().await.unwrap();
    for has_cookie in [false, true] {
        let (tv, proof) = provable_by(&pages, has_cookie).await;
        tv.browser.tab(1).await.unwrap();
        tv.load().await;
        tv.until(READY).await;
        let begin =
            "void (window.verified = Promise.all([curfew.verify(given), curfew.verify(given)]))";
        for tab in [0, 1] {
            tv.browser.tab(tab).await.unwrap();
            let given = proof.clone();
            tv.browser.value_of(begin, given).await.unwrap();
        }

        for tab in [0, 1] {
            tv.browser.tab(tab).await.unwrap();
            let done = tv.value("window.verified.then(() => true)").await;
            assert_eq!(done, true);
            is_signed_in(&tv).await;
        }
        assert_eq!(statuses(&tv), [200; 4]);
    }
}

/// Returns the statuses of the verifications that a page has asked for.
fn statuses(tv: &Screen) -> Vec<u16> {
    let seen = tv.network.seen("/v1/verifications");
    let posts = seen.iter().filter(|one| one.method == Method::POST);
    posts.map(|one| one.status).collect()
}

#[tokio::test]
async fn a_verification_whose_answer_was_lost_is_asked_again_with_token_or_cookie() {
    let pages = Pages::serve().await.unwrap();
    for has_cookie in [false, true] {
        let (tv, proof) = provable_by(&pages, has_cookie).await;
        let (post, lost) = (Some(Method::POST), Fault::LostAnswer);
        tv.network.fault(post, "/v1/verifications", lost, 1);

        verify(&tv, &proof).await;

        assert_eq!(statuses(&tv).len(), 2, "{has_cookie}");
        is_signed_in(&tv).await;
        tv.load().await;
        tv.until(READY).await;
        is_signed_in(&tv).await;
    }
}

#[tokio::test]
async fn a_call_under_way_during_a_verification_is_repeated_with_the_newer_token() {
    let pages = Pages::serve().await.unwrap();
    for (has_cookie, problem) in [
        (false, "token-superseded"),
        (false, "token-invalid"),
        (true, "token-superseded"),
        (true, "token-invalid"),
    ] {
        let (tv, proof) = provable_by(&pages, has_cookie).await;
        let refused = Fault::Problem(401, problem);
        tv.network.hold_faults(true);
        tv.network.fault(None, "/v1/devices", refused, 2);
        tv.value(
            "void (window.late = Promise.all([curfew.devices(), curfew.fetch('/v1/devices')]))",
        )
        .await;
        verify(&tv, &proof).await;

        tv.network.hold_faults(false);

        let listed = "window.late.then(([{ devices }, { status }]) => [devices.length, status])";
        assert_eq!(tv.value(listed).await, json!([1, 200]), "{problem}");
        is_signed_in(&tv).await;
        assert_eq!(tv.count("sign_in_screen").await, 1);
    }
}

/// The calls of the module with the session's token that need no mail, and their paths.
const CALLS: [(&str, &str); 11] = [
    ("curfew.check()", "/v1/session"),
    ("curfew.devices()", "/v1/devices"),
    (
        "curfew.renameDevice(curfew.session.device.id, 'TV')",
        "/v1/devices",
    ),
    ("curfew.messages()", "/v1/messages"),
    ("curfew.factors()", "/v1/factors"),
    ("curfew.beginFactor('TV')", "/v1/factors"),
    ("curfew.makeRecoveryCodes()", "/v1/recovery-codes"),
    ("curfew.setSignInCodes(false)", "/v1/sign-in-codes"),
    ("curfew.signOutAll('others')", SIGN_OUT_ALL),
    ("curfew.receipt(window.ended)", "/v1/sign-outs/"),
    (
        "curfew.changePassword({ currentPassword: given.password, newPassword: given.password, keepCurrent: true }).catch(({ problem }) => problem === 'password-rejected')",
        "/v1/password",
    ),
];

#[tokio::test]
async fn every_call_under_way_during_a_verification_is_repeated_with_the_newer_token() {
    let pages = Pages::serve().await.unwrap();
    for has_cookie in [false, true] {
        let (tv, proof) = provable_by(&pages, has_cookie).await;
        verify(&tv, &proof).await;
        let ended = "curfew.signOutAll('others').then(({ id }) => { window.ended = id; })";
        tv.value(ended).await;
        for (number, (call, path)) in CALLS.into_iter().enumerate() {
            let refused = Fault::Problem(401, "token-superseded");
            tv.network.hold_faults(true);
            tv.network.fault(None, path, refused, 1);
            let begin = format!(
                "void (window.late = {call}.then((done) => done !== false, (error) => `${{error.status}} ${{error.problem}}`))"
            );
            tv.browser.value_of(&begin, proof.clone()).await.unwrap();
            verify(&tv, &proof).await;

            tv.network.hold_faults(false);

            let done = tv.value("window.late").await;
            assert_eq!(done, true, "{call}");
            let seen = tv.network.seen("/v1/");
            let refused = seen.iter().filter(|one| one.status == 401).count();
            assert_eq!(refused, number + 1, "{call} was refused once");
        }
        is_signed_in(&tv).await;
        assert_eq!(tv.count("sign_in_screen").await, 1);
    }
}

/// Calls a module whose API refuses two acts until a verification, with a hook that gives a
/// wrong proof first, or gives up.
const PROVING: &str = "(async (givesUp) => {
    const { Curfew } = await import('/curfew.js');
    const session = { token: 'cft_a', session: 's', account: { id: 'a', email: 'a@example.com' }, device: { id: 'd' } };
    const entries = new Map([['curfew.session', JSON.stringify(session)]]);
    const storage = {
      getItem: (key) => entries.get(key) ?? null,
      setItem: (key, value) => entries.set(key, value),
      removeItem: (key) => entries.delete(key),
    };
    const refuse = (status, name, more) => new Response(
      JSON.stringify({ type: `urn:curfew:problem:${name}`, status, ...more }),
      { status, headers: { 'content-type': 'application/problem+json' } },
    );
    const methods = [['password']];
    const calls = [];
    let isVerified = false;
    const answer = async (url, { headers, body }) => {
      const path = new URL(url).pathname;
      if (path === '/v1/verifications') {
        const { password } = JSON.parse(body);
        calls.push(`verify ${password}`);
        isVerified = password === 'right';
        return isVerified ? Response.json({ token: 'cft_b', session: 's' }) : refuse(403, 'credentials-invalid');
      }
      if (!/sign-out(-all)?$/.test(path)) {
        return new Response('', { status: 503 });
      }
      const token = headers.get('authorization');
      calls.push(`${path} ${token} ${token.endsWith(JSON.parse(entries.get('curfew.session')).token)}`);
      return isVerified ? Response.json({ sign_out: { id: path } }) : refuse(401, 'verification-required', { methods });
    };
    const asked = [];
    const client = new Curfew({
      api: 'http://127.0.0.1:1', storage, fetch: answer,
      verificationRequired: async ({ methods, error }) => {
        asked.push([methods, error && error.problem]);
        return givesUp ? null : { password: error ? 'right' : 'wrong' };
      },
    });
    await client.start();
    const acts = [client.signOutAll('others'), ...(givesUp ? [] : [client.signOutDevice('e')])];
    const ended = await Promise.all(acts.map(
      (act) => act.then(({ id }) => id, ({ problem, methods }) => [problem, methods]),
    ));
    client.close();
    return { asked, ended, calls };
})(given)";

#[tokio::test]
async fn acts_that_need_a_proof_ask_once_and_go_on_by_themselves() {
    let pages = Pages::serve().await.unwrap();
    let tv = Screen::open(&pages, "TV").await;

    let done = tv.browser.value_of(PROVING, json!(false)).await.unwrap();
    let (all, one) = (SIGN_OUT_ALL, "/v1/devices/e/sign-out");
    let methods = json!([["password"]]);
    let asked = json!([[methods, null], [methods, "credentials-invalid"]]);
    assert_eq!(done["asked"], asked);
    assert_eq!(done["ended"], json!([all, one]));
    let mut calls: Vec<String> = serde_json::from_value(done["calls"].clone()).unwrap();
    calls[4..].sort();
    let (before, after) = ("Bearer cft_a true", "Bearer cft_b true");
    let mut wanted = [
        format!("{all} {before}"),
        format!("{one} {before}"),
        "verify wrong".to_owned(),
        "verify right".to_owned(),
        format!("{all} {after}"),
        format!("{one} {after}"),
    ];
    wanted[4..].sort();
    assert_eq!(calls, wanted);

    let left = tv.browser.value_of(PROVING, json!(true)).await.unwrap();
    let refused = json!(["verification-required", methods]);
    assert_eq!(left["ended"], json!([refused]));
    assert_eq!(left["asked"], json!([[methods, null]]));
}

#[tokio::test]
async fn a_page_with_the_token_or_cookie_before_is_wiped_and_acknowledges() {
    let pages = Pages::serve().await.unwrap();
    for has_cookie in [false, true] {
        let household = Household::register_as(false).await;
        let tv = if has_cookie {
            open_with_cookie(&pages).await
        } else {
            Screen::open(&pages, "TV").await
        };
        tv.sign_in(&household).await;
        let owner = household.sign_in(PHONE).await;
        let tv_id = tv.value("curfew.session.device.id").await;
        let (post, lost) = (Some(Method::POST), Fault::LostAnswer);
        let path = "/v1/verifications";
        tv.network.fault(post, path, lost, usize::MAX);
        let proof = json!({ "password": household.password });
        let verifying = "curfew.verify(given).catch(({ passes }) => passes)";
        let unheard = tv.browser.value_of(verifying, proof).await.unwrap();
        assert_eq!(unheard, true);
        tv.network.set_cut(true);
        tv.until("!curfew.connected").await;
        let tv_id = tv_id.as_str().unwrap();
        let sign_out = owner.sign_out(tv_id).await.done(200)["sign_out"].clone();

        tv.network.set_cut(false);

        let why = tv.sign_in_screen().await;
        assert!(why.contains("by “"), "{why}");
        acknowledged(&owner, &sign_out, tv_id).await;
    }
}
