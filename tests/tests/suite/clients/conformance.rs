//! The facts that must hold for every client (`infra/docs/devices.md`), tested with
//! the client in `CURFEW_CLIENT`, or by default the JavaScript module in a page, and
//! with the device of `cargo run -- device`. A few are tested with the module in Node
//! and in Chromium 84, too.

use std::time::Instant;

use curfew_tests::authenticator::{Authenticator, recovery_codes};
use curfew_tests::client::{Device, Household, PHONE};
use curfew_tests::conformance::{Client, Fault, Kind, Network, PATIENCE, write_time};
use curfew_tests::inbox;
use curfew_tests::stack::api_url;
use domain::Timestamp;
use domain::recognition::recognized_until;
use domain::verification::VERIFIED_FOR;
use http::Method;
use runtime::Clock;
use serde_json::{Value, json};

/// Tests each fact with one kind of client.
macro_rules! facts_with {
    ($client:ident, $kind:ident, $($fact:ident,)*) => {
        mod $client {
            $(#[tokio::test]
            async fn $fact() {
                super::$fact(super::Kind::$kind).await;
            })*
        }
    };
}

/// Tests each fact with each kind of client.
macro_rules! facts {
    ($($fact:ident,)*) => {
        facts_with! { client, Chosen, $($fact,)* }
        facts_with! { terminal, Terminal, $($fact,)* }
    };
}

facts_with! {
    node, Node,
    a_session_that_is_signed_out_while_connected_is_wiped_and_acknowledged,
    a_device_that_was_off_is_wiped_when_it_is_switched_on,
    accounts_that_take_turns_are_one_device_each,
    a_verification_whose_answer_was_lost_is_repeated,
}

facts_with! {
    chromium_84, Chromium84,
    a_session_that_is_signed_out_while_connected_is_wiped_and_acknowledged,
    a_device_that_was_cut_off_is_wiped_at_its_first_contact,
    accounts_that_take_turns_are_one_device_each,
}

facts! {
    a_session_that_is_signed_out_while_connected_is_wiped_and_acknowledged,
    every_session_of_the_account_is_wiped_when_all_are_signed_out,
    a_password_change_is_shown_as_the_reason,
    a_device_that_was_cut_off_is_wiped_at_its_first_contact,
    a_device_that_was_off_is_wiped_when_it_is_switched_on,
    a_device_that_is_switched_on_again_is_still_signed_in,
    an_api_that_fails_wipes_nothing,
    a_refusal_that_is_not_the_apis_wipes_nothing,
    an_expired_session_shows_the_sign_in_screen_and_keeps_the_data,
    a_disabled_account_shows_the_sign_in_screen_and_keeps_the_data,
    an_unknown_token_shows_the_sign_in_screen_and_keeps_the_data,
    frames_about_another_session_and_malformed_frames_are_skipped,
    a_revocation_that_comes_twice_and_by_both_ways_ends_the_session_once,
    a_lost_acknowledgement_is_retried_until_it_is_accepted,
    a_wiped_device_stays_the_same_device,
    another_account_finds_no_data_of_the_previous_one,
    an_account_finds_its_data_when_it_comes_back,
    accounts_that_take_turns_are_one_device_each,
    a_first_sign_in_whose_answer_was_lost_leaves_one_device,
    a_wrong_password_changes_nothing,
    its_own_sign_out_wipes_the_device_and_is_acknowledged,
    signing_out_everywhere_wipes_this_device_too,
    signing_out_the_others_keeps_this_device,
    changing_the_password_wipes_this_device_unless_it_is_kept,
    signing_out_the_others_needs_a_proof_and_gives_another_token,
    three_devices_a_day_are_signed_out_by_the_device_key,
    a_verification_whose_answer_was_lost_is_repeated,
    a_device_that_stops_before_it_stores_its_new_token_goes_on_with_the_one_before,
    a_code_whose_answer_was_lost_is_used_up_and_another_one_verifies,
    a_replaced_token_that_nobody_knows_wipes_and_forgets_nothing,
    a_device_with_the_token_before_is_wiped_and_acknowledges,
    wrong_proofs_change_nothing,
    a_second_step_completes_the_sign_in_and_its_device_verifies_by_a_factor,
}

/// A TV under test, and a phone of the same account that signs it out.
struct Hotel {
    household: Household,
    network: Network,
    tv: Client,
    tv_id: String,
    phone: Device,
    /// The number of sign-in screens before the test's own steps.
    screens: usize,
}

impl Hotel {
    /// Signs the TV in, waits until it is connected, and stores something.
    async fn open(kind: Kind) -> Self {
        Self::open_of(kind, Household::register().await).await
    }

    /// Verifies the TV, which never hears the answer.
    async fn loses_its_new_token(&mut self) {
        let (post, lost) = (Some(Method::POST), Fault::LostAnswer);
        self.network
            .fault(post, "/v1/verifications", lost, usize::MAX);
        let verify = json!({ "do": "verify", "password": self.household.password });
        let unheard = self.tv.try_command(verify).await.unwrap();
        assert_eq!(unheard["ok"], false);
    }

    /// Asks for a mail with a code, and returns the command that verifies with it. `number` is
    /// how many there are then.
    async fn mailed_proof(&mut self, number: usize) -> Value {
        let ask = json!({ "do": "request_verification_code" });
        let asked = self.tv.command(ask).await.unwrap();
        let subject = "Your code to confirm that it is you";
        let email = &self.household.email;
        let mails = inbox::wait_for_subject(email, subject, number).await;
        let code = inbox::code_in(mails.last().unwrap()).unwrap();
        json!({ "do": "verify", "challenge": asked["challenge"], "code": code })
    }

    /// The same in an account whose address nobody has confirmed: a verification takes the
    /// password.
    async fn open_unconfirmed(kind: Kind) -> Self {
        Self::open_of(kind, Household::register_as(false).await).await
    }

    async fn open_of(kind: Kind, household: Household) -> Self {
        let phone = household.sign_in(PHONE).await;
        let network = Network::before(api_url()).await.unwrap();
        let mut tv = Client::start(kind).await.unwrap();
        tv.configure(&network).await.unwrap();
        let mut hotel = Self {
            household,
            network,
            tv,
            tv_id: String::new(),
            phone,
            screens: 0,
        };
        hotel.tv_id = hotel.sign_in().await;
        hotel.store("history", "The Long Corridor").await;
        hotel.screens = hotel.tv.count("sign_in_screen").await.unwrap();
        hotel
    }

    /// Signs the TV in, and waits until it is connected. Returns its id.
    async fn sign_in(&mut self) -> String {
        let household = self.household.clone();
        let id = self.sign_in_to(&household).await;
        self.tv.event("connected").await.unwrap();
        id
    }

    async fn sign_in_to(&mut self, household: &Household) -> String {
        let command = json!({
            "do": "sign_in",
            "email": household.email,
            "password": household.password,
        });
        let answer = self.tv.command(command).await.unwrap();
        answer["device_id"].as_str().unwrap().to_owned()
    }

    /// Writes a time into the TV's row, as a verification does.
    async fn write_time(&self, name: &str, at: Timestamp) {
        let account = &self.phone.account_id;
        let written = write_time(account, &self.tv_id, name, at);
        written.await.unwrap();
    }

    /// Sends a command that may fail. Returns the problem and its methods.
    async fn refused(&mut self, command: Value) -> Value {
        let answer = self.tv.try_command(command).await.unwrap();
        assert_eq!(answer["ok"], false, "{answer}");
        json!([answer["problem"], answer["methods"]])
    }

    /// Proves with the password that the TV is the owner's.
    async fn verify(&mut self) {
        let verify = json!({ "do": "verify", "password": self.household.password });
        self.tv.command(verify).await.unwrap();
    }

    async fn store(&mut self, key: &str, value: &str) {
        let command = json!({ "do": "store", "key": key, "value": value });
        self.tv.command(command).await.unwrap();
    }

    async fn call(&mut self, path: &str) -> Value {
        let command = json!({ "do": "call", "method": "GET", "path": path });
        let answer = self.tv.command(command).await.unwrap();
        json!([answer["status"], answer["problem"]])
    }

    /// Returns the TV's entries, and whether it has a token and a device key.
    async fn stored(&mut self) -> Value {
        let answer = self.tv.command(json!({ "do": "stored" })).await.unwrap();
        json!([answer["entries"], answer["token"], answer["device_key"]])
    }

    /// Signs the TV out from the phone. Returns the sign-out's id.
    async fn sign_out(&self) -> String {
        let answer = self.phone.sign_out(&self.tv_id).await.done(200);
        id_of(&answer["sign_out"])
    }

    /// Waits until the receipt shows the TV in this state. Returns its entry.
    async fn receipt(&self, sign_out: &str, state: &str) -> Value {
        self.phone.receipt_entry(sign_out, &self.tv_id, state).await
    }

    /// Returns the number of devices that the receipt shows as wiped.
    async fn wiped(&self, sign_out: &str) -> Value {
        let path = format!("/v1/sign-outs/{sign_out}");
        let receipt = self.phone.get(&path).await.done(200);
        receipt["sign_out"]["total"]["wiped"].clone()
    }

    /// Asserts that the TV stops, wipes and shows the sign-in screen. Returns the
    /// event of the screen.
    async fn is_wiped(&mut self, sign_out: &str) -> Value {
        self.tv.event("stopped").await.unwrap();
        self.tv.event("wiped").await.unwrap();
        let screen = self.tv.event("sign_in_screen").await.unwrap();
        assert_eq!(self.stored().await, wiped());
        assert_eq!(screen["because"], "signed_out");
        assert_eq!(screen["sign_out"], json!(sign_out));
        screen
    }

    /// Asserts that no refusal has reached the TV, so that it ended by itself.
    fn was_not_refused(&self) {
        let seen = self.network.seen("/v1/");
        assert!(seen.iter().all(|one| one.status != 401), "{seen:?}");
    }

    /// Asserts that nothing has happened to the TV.
    async fn is_untouched(&mut self) {
        assert_eq!(self.stored().await, untouched());
        for event in ["stopped", "wiped"] {
            assert_eq!(self.tv.count(event).await.unwrap(), 0, "{event}");
        }
    }
}

/// Returns what a wiped TV has: the device key.
fn wiped() -> Value {
    json!([{}, false, true])
}

/// Returns what the TV has while it is signed in.
fn untouched() -> Value {
    json!([{ "history": "The Long Corridor" }, true, true])
}

/// Returns what the TV has after its session has expired.
fn kept() -> Value {
    json!([{ "history": "The Long Corridor" }, false, true])
}

/// Returns the id of a sign-out.
fn id_of(sign_out: &Value) -> String {
    sign_out["id"].as_str().unwrap().to_owned()
}

async fn a_session_that_is_signed_out_while_connected_is_wiped_and_acknowledged(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;

    let sign_out = hotel.sign_out().await;

    let screen = hotel.is_wiped(&sign_out).await;
    let part = hotel.receipt(&sign_out, "wiped").await;
    assert!(part["notified_at"].is_string(), "{part}");
    assert_eq!(screen["reason"], "signed_out");
    assert_eq!(screen["signed_out_at"], part["refused_at"]);
    assert_eq!(screen["signed_out_by"]["id"], json!(hotel.phone.id));
    assert_eq!(screen["signed_out_by"]["name"], hotel.phone.shown["name"]);
}

async fn every_session_of_the_account_is_wiped_when_all_are_signed_out(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;

    let answer = hotel.phone.sign_out_scope("global").await.done(200);

    let sign_out = id_of(&answer["sign_out"]);
    hotel.is_wiped(&sign_out).await;
    let reader = hotel.household.sign_in(PHONE).await;
    let tv = &hotel.tv_id;
    reader.receipt_entry(&sign_out, tv, "wiped").await;
}

async fn a_password_change_is_shown_as_the_reason(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let (old, new) = (
        &hotel.household.password,
        Household::unregistered().password,
    );

    let answer = hotel.phone.change_password(old, &new, true).await.done(200);

    let screen = hotel.is_wiped(&id_of(&answer["sign_out"])).await;
    assert_eq!(screen["reason"], "password_changed");
}

async fn a_device_that_was_cut_off_is_wiped_at_its_first_contact(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    hotel.network.set_cut(true);
    hotel.tv.event("disconnected").await.unwrap();
    let sign_out = hotel.sign_out().await;
    hotel.is_untouched().await;
    assert_eq!(hotel.wiped(&sign_out).await, 0);

    hotel.network.set_cut(false);

    let screen = hotel.is_wiped(&sign_out).await;
    assert_eq!(screen["signed_out_by"]["id"], json!(hotel.phone.id));
    let part = hotel.receipt(&sign_out, "wiped").await;
    assert!(part["notified_at"].is_string(), "{part}");
}

async fn a_device_that_was_off_is_wiped_when_it_is_switched_on(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    hotel.tv.switch_off().await.unwrap();
    let sign_out = hotel.sign_out().await;

    hotel.tv.switch_on(&hotel.network).await.unwrap();

    hotel.is_wiped(&sign_out).await;
    hotel.receipt(&sign_out, "wiped").await;
}

async fn a_device_that_is_switched_on_again_is_still_signed_in(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;

    hotel.tv.switch_off().await.unwrap();
    hotel.tv.switch_on(&hotel.network).await.unwrap();

    hotel.tv.event("connected").await.unwrap();
    hotel.is_untouched().await;
    assert_eq!(hotel.call("/v1/session").await, json!([200, null]));
}

async fn an_api_that_fails_wipes_nothing(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let unavailable = Fault::Problem(503, "unavailable");
    hotel.network.fault(None, "/v1/", unavailable, usize::MAX);
    let refused = hotel.call("/v1/session").await;
    assert_eq!(refused, json!([503, "unavailable"]));

    // Its socket breaks too, and every retry fails.
    hotel.network.set_cut(true);
    hotel.tv.event("disconnected").await.unwrap();
    hotel.network.set_cut(false);
    let before = hotel.network.seen("/v1/").len();
    hotel.network.until_seen("/v1/", before + 5).await.unwrap();

    hotel.is_untouched().await;
    hotel.network.clear_faults();
    hotel.tv.event("connected").await.unwrap();
}

async fn a_refusal_that_is_not_the_apis_wipes_nothing(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let strange = [
        Fault::Other(401, "<h1>Welcome to the hotel</h1>"),
        Fault::Other(403, "{\"message\":\"Forbidden\"}"),
        Fault::Other(500, ""),
        Fault::Problem(429, "rate-limited"),
    ];

    for fault in strange {
        let network = &hotel.network;
        network.fault(Some(Method::GET), "/v1/devices", fault, 1);
        assert_ne!(hotel.call("/v1/devices").await[0], 200);
    }

    hotel.is_untouched().await;
    assert_eq!(
        hotel.tv.count("sign_in_screen").await.unwrap(),
        hotel.screens
    );
    assert_eq!(hotel.call("/v1/session").await, json!([200, null]));
}

async fn an_expired_session_shows_the_sign_in_screen_and_keeps_the_data(kind: Kind) {
    shows_the_sign_in_screen_and_keeps_the_data(kind, "session-expired", "expired").await;
}

async fn a_disabled_account_shows_the_sign_in_screen_and_keeps_the_data(kind: Kind) {
    shows_the_sign_in_screen_and_keeps_the_data(kind, "account-disabled", "disabled").await;
}

async fn an_unknown_token_shows_the_sign_in_screen_and_keeps_the_data(kind: Kind) {
    shows_the_sign_in_screen_and_keeps_the_data(kind, "token-invalid", "invalid").await;
}

async fn shows_the_sign_in_screen_and_keeps_the_data(
    kind: Kind,
    problem: &'static str,
    because: &str,
) {
    let mut hotel = Hotel::open(kind).await;
    let refused = Fault::Problem(401, problem);
    hotel.network.fault(None, "/v1/", refused, usize::MAX);

    hotel.call("/v1/session").await;

    let screen = hotel.tv.event("sign_in_screen").await.unwrap();
    assert_eq!(screen["because"], because);
    assert!(screen["signed_out_by"].is_null());
    assert_eq!(hotel.stored().await, kept());
    assert_eq!(hotel.tv.count("wiped").await.unwrap(), 0);
}

async fn frames_about_another_session_and_malformed_frames_are_skipped(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let another = json!({
        "type": "session-revoked",
        "sign_out": "0192f0c2-0b1d-7a40-8f6e-2d1c9b7a5e33",
        "session": "3f0d1f0a-58a5-4a0f-a35c-0c4f6bb1f0de",
        "reason": "signed_out",
        "signed_out_at": "2026-11-20T09:30:00Z",
        "signed_out_by": null,
    });
    let mut incomplete = another.clone();
    incomplete.as_object_mut().unwrap().remove("session");

    for frame in [
        "",
        "not JSON",
        "null",
        "[]",
        "{\"type\":\"news\"}",
        "{\"type\":\"session-revoked\"}",
        "{\"type\":\"problem\",\"problem\":null}",
        &another.to_string(),
        &incomplete.to_string(),
    ] {
        hotel.network.forge(frame).unwrap();
    }

    assert_eq!(hotel.call("/v1/session").await, json!([200, null]));
    hotel.is_untouched().await;
    // The same socket is still open, and its own revocation arrives.
    assert_eq!(hotel.tv.count("disconnected").await.unwrap(), 0);
    let sign_out = hotel.sign_out().await;
    hotel.is_wiped(&sign_out).await;
}

async fn a_revocation_that_comes_twice_and_by_both_ways_ends_the_session_once(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    hotel.network.duplicate_frames();

    let sign_out = hotel.sign_out().await;
    let _ = hotel
        .tv
        .try_command(json!({ "do": "call", "method": "GET", "path": "/v1/session" }))
        .await
        .unwrap();

    hotel.is_wiped(&sign_out).await;
    hotel.receipt(&sign_out, "wiped").await;
    for event in ["stopped", "wiped"] {
        assert_eq!(hotel.tv.count(event).await.unwrap(), 1, "{event}");
    }
    assert_eq!(
        hotel.tv.count("sign_in_screen").await.unwrap(),
        hotel.screens + 1
    );
}

async fn a_lost_acknowledgement_is_retried_until_it_is_accepted(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let path = "/v1/sign-outs/";
    let (post, unavailable) = (Some(Method::POST), Fault::Problem(503, "unavailable"));
    hotel.network.lose_frames();
    hotel.network.fault(post, path, unavailable, 2);

    let sign_out = hotel.sign_out().await;

    hotel.is_wiped(&sign_out).await;
    hotel.receipt(&sign_out, "wiped").await;
    let seen = hotel.network.seen(path);
    let statuses: Vec<u16> = seen
        .iter()
        .filter(|one| one.method == Method::POST)
        .map(|one| one.status)
        .collect();
    assert_eq!(statuses, [503, 503, 200]);
}

async fn a_wiped_device_stays_the_same_device(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let sign_out = hotel.sign_out().await;
    hotel.is_wiped(&sign_out).await;

    let again = hotel.sign_in().await;

    assert_eq!(again, hotel.tv_id);
    assert_eq!(hotel.call("/v1/session").await, json!([200, null]));
    hotel.receipt(&sign_out, "wiped").await;
}

async fn another_account_finds_no_data_of_the_previous_one(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let expired = Fault::Problem(401, "session-expired");
    hotel
        .network
        .fault(Some(Method::GET), "/v1/session", expired, 1);
    hotel.call("/v1/session").await;
    hotel.tv.event("sign_in_screen").await.unwrap();
    assert_eq!(hotel.stored().await, kept());
    let other = Household::register().await;

    hotel.sign_in_to(&other).await;

    assert_eq!(hotel.stored().await, json!([{}, true, true]));
}

async fn an_account_finds_its_data_when_it_comes_back(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let expired = Fault::Problem(401, "session-expired");
    hotel
        .network
        .fault(Some(Method::GET), "/v1/session", expired, 1);
    hotel.call("/v1/session").await;
    hotel.tv.event("sign_in_screen").await.unwrap();

    hotel.sign_in().await;

    assert_eq!(hotel.stored().await, untouched());
}

async fn accounts_that_take_turns_are_one_device_each(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let (first, other) = (hotel.household.clone(), Household::register().await);
    let others_tv = hotel.sign_in_to(&other).await;
    for _ in 0..2 {
        assert_eq!(hotel.sign_in_to(&first).await, hotel.tv_id);
        assert_eq!(hotel.sign_in_to(&other).await, others_tv);
    }

    // The session of the account that was replaced last has ended, too.
    let is_tv = |device: &Value| device["id"] == json!(hotel.tv_id);
    let deadline = Instant::now() + PATIENCE;
    while hotel.phone.devices("signed_in").await.iter().any(is_tv) {
        assert!(Instant::now() < deadline, "the session has not ended");
    }
    assert_eq!(hotel.phone.devices("all").await.len(), 2);
    assert_eq!(hotel.call("/v1/session").await, json!([200, null]));
}

async fn a_first_sign_in_whose_answer_was_lost_leaves_one_device(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let other = Household::register().await;
    let login = Some(Method::POST);
    let lost = Fault::LostAnswer;
    hotel.network.fault(login, "/v1/login", lost, 1);
    let command = json!({
        "do": "sign_in",
        "email": other.email,
        "password": other.password,
    });
    let unheard = hotel.tv.try_command(command).await.unwrap();
    assert_eq!(unheard["ok"], false);
    let phone = other.sign_in(PHONE).await;
    assert_eq!(phone.devices("signed_in").await.len(), 2);

    let id = hotel.sign_in_to(&other).await;

    let listed = phone.devices("all").await;
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().any(|device| device["id"] == json!(id)));
}

async fn a_wrong_password_changes_nothing(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let command = json!({
        "do": "sign_in",
        "email": hotel.household.email,
        "password": "wrong",
    });

    let refused = hotel.tv.try_command(command).await.unwrap();

    assert_eq!(refused["ok"], false);
    assert_eq!(refused["problem"], "credentials-invalid");
    hotel.is_untouched().await;
}

async fn its_own_sign_out_wipes_the_device_and_is_acknowledged(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    hotel.network.deafen();

    let answer = hotel
        .tv
        .command(json!({ "do": "sign_out", "scope": "local" }))
        .await
        .unwrap();

    let sign_out = answer["sign_out"].as_str().unwrap();
    let screen = hotel.is_wiped(sign_out).await;
    hotel.was_not_refused();
    assert_eq!(screen["signed_out_by"]["id"], json!(hotel.tv_id));
    hotel.receipt(sign_out, "wiped").await;
}

async fn signing_out_everywhere_wipes_this_device_too(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    hotel.network.deafen();

    let answer = hotel
        .tv
        .command(json!({ "do": "sign_out", "scope": "global" }))
        .await
        .unwrap();

    let sign_out = answer["sign_out"].as_str().unwrap();
    hotel.is_wiped(sign_out).await;
    hotel.was_not_refused();
    let reader = hotel.household.sign_in(PHONE).await;
    let tv = &hotel.tv_id;
    reader.receipt_entry(sign_out, tv, "wiped").await;
}

async fn signing_out_the_others_keeps_this_device(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    hotel.write_time("verified_at", Clock::System.now()).await;

    hotel
        .tv
        .command(json!({ "do": "sign_out", "scope": "others" }))
        .await
        .unwrap();

    hotel.is_untouched().await;
    assert_eq!(hotel.call("/v1/session").await, json!([200, null]));
    assert!(!hotel.phone.is_signed_in().await);
}

async fn changing_the_password_wipes_this_device_unless_it_is_kept(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    hotel.write_time("verified_at", Clock::System.now()).await;
    let passwords = [
        hotel.household.password.clone(),
        Household::unregistered().password,
        Household::unregistered().password,
    ];
    let change = |from: &str, to: &str, is_kept: bool| {
        json!({
            "do": "change_password",
            "current_password": from,
            "new_password": to,
            "keep_current": is_kept,
        })
    };

    let kept = change(&passwords[0], &passwords[1], true);
    hotel.tv.command(kept).await.unwrap();
    hotel.is_untouched().await;
    hotel.network.deafen();
    let ended = change(&passwords[1], &passwords[2], false);
    let answer = hotel.tv.command(ended).await.unwrap();

    let sign_out = answer["sign_out"].as_str().unwrap();
    let screen = hotel.is_wiped(sign_out).await;
    hotel.was_not_refused();
    assert_eq!(screen["reason"], "password_changed");
}

async fn signing_out_the_others_needs_a_proof_and_gives_another_token(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let others = json!({ "do": "sign_out", "scope": "others" });
    let methods = json!([["code"], ["password", "code"]]);
    let required = json!(["verification-required", methods]);
    assert_eq!(hotel.refused(others.clone()).await, required);
    assert!(hotel.phone.is_signed_in().await);

    let verify = hotel.mailed_proof(1).await;
    hotel.tv.command(verify).await.unwrap();

    hotel.tv.command(others).await.unwrap();
    assert!(!hotel.phone.is_signed_in().await);
    hotel.is_untouched().await;
    assert_eq!(hotel.tv.count("disconnected").await.unwrap(), 0);
    hotel.tv.switch_off().await.unwrap();
    hotel.tv.switch_on(&hotel.network).await.unwrap();
    hotel.tv.event("connected").await.unwrap();
    assert_eq!(hotel.call("/v1/session").await, json!([200, null]));
}

async fn a_second_step_completes_the_sign_in_and_its_device_verifies_by_a_factor(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let mut app = Authenticator::add(&hotel.phone).await;
    let codes = recovery_codes(&hotel.phone).await;
    let leave = json!({ "do": "sign_out", "scope": "local" });
    hotel.tv.command(leave).await.unwrap();
    let Household {
        email, password, ..
    } = &hotel.household;
    let mut sign_in = json!({ "do": "sign_in", "email": email, "password": password });

    let refused = hotel.tv.try_command(sign_in.clone()).await.unwrap();
    assert_eq!(refused["problem"], "second-step-required", "{refused}");
    sign_in["totp"] = app.code().into();
    let answer = hotel.tv.command(sign_in).await.unwrap();

    // The same device as before: it was the one that asked.
    assert_eq!(answer["device_id"], json!(hotel.tv_id));
    hotel
        .write_time("verified_at", Clock::System.now() - VERIFIED_FOR)
        .await;
    let others = json!({ "do": "sign_out", "scope": "others" });
    let methods = json!([["totp"], ["recovery_code"]]);
    let required = json!(["verification-required", methods]);
    assert_eq!(hotel.refused(others.clone()).await, required);
    let verify = json!({ "do": "verify", "recovery_code": codes[0] });
    hotel.tv.command(verify).await.unwrap();
    hotel.tv.command(others).await.unwrap();
    assert!(!hotel.phone.is_signed_in().await);
}

async fn three_devices_a_day_are_signed_out_by_the_device_key(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let until = recognized_until(Clock::System.now());
    hotel.write_time("recognized_until", until).await;
    let mut phones = vec![hotel.phone.clone()];
    for _ in 0..3 {
        phones.push(hotel.household.sign_in(PHONE).await);
    }
    let sign_out = |device: &Device| json!({ "do": "sign_out_device", "device": device.id });

    for phone in &phones[..3] {
        hotel.tv.command(sign_out(phone)).await.unwrap();
        assert!(!phone.is_signed_in().await);
    }
    let methods = json!([["password"], ["code"]]);
    let required = json!(["verification-required", methods]);
    assert_eq!(hotel.refused(sign_out(&phones[3])).await, required);
    hotel.verify().await;
    hotel.tv.command(sign_out(&phones[3])).await.unwrap();

    assert!(!phones[3].is_signed_in().await);
}

async fn a_verification_whose_answer_was_lost_is_repeated(kind: Kind) {
    let mut hotel = Hotel::open_unconfirmed(kind).await;
    let path = "/v1/verifications";
    let (post, lost) = (Some(Method::POST), Fault::LostAnswer);
    hotel.network.fault(post, path, lost, 1);

    hotel.verify().await;

    let seen = hotel.network.seen(path);
    let posts = seen.iter().filter(|one| one.method == Method::POST);
    assert_eq!(posts.count(), 2);
    assert_eq!(hotel.call("/v1/session").await, json!([200, null]));
    hotel.tv.switch_off().await.unwrap();
    hotel.tv.switch_on(&hotel.network).await.unwrap();
    hotel.tv.event("connected").await.unwrap();
    assert_eq!(hotel.call("/v1/session").await, json!([200, null]));
    hotel.is_untouched().await;
}

async fn a_device_that_stops_before_it_stores_its_new_token_goes_on_with_the_one_before(
    kind: Kind,
) {
    let mut hotel = Hotel::open_unconfirmed(kind).await;
    hotel.loses_its_new_token().await;

    hotel.tv.switch_off().await.unwrap();
    hotel.network.clear_faults();
    hotel.tv.switch_on(&hotel.network).await.unwrap();
    hotel.tv.event("connected").await.unwrap();

    assert_eq!(hotel.call("/v1/session").await, json!([200, null]));
    hotel.verify().await;
    let others = json!({ "do": "sign_out", "scope": "others" });
    hotel.tv.command(others).await.unwrap();
    assert!(!hotel.phone.is_signed_in().await);
    hotel.is_untouched().await;
}

async fn a_code_whose_answer_was_lost_is_used_up_and_another_one_verifies(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let (post, lost) = (Some(Method::POST), Fault::LostAnswer);
    hotel.network.fault(post, "/v1/verifications", lost, 1);

    let used = hotel.mailed_proof(1).await;
    let refused = hotel.tv.try_command(used).await.unwrap();

    assert_eq!(refused["problem"], "code-invalid", "{refused}");
    assert_eq!(hotel.call("/v1/session").await, json!([200, null]));
    let another = hotel.mailed_proof(2).await;
    hotel.tv.command(another).await.unwrap();
    let others = json!({ "do": "sign_out", "scope": "others" });
    hotel.tv.command(others).await.unwrap();
    assert!(!hotel.phone.is_signed_in().await);
    hotel.is_untouched().await;
}

async fn a_replaced_token_that_nobody_knows_wipes_and_forgets_nothing(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let superseded = Fault::Problem(401, "token-superseded");
    hotel.network.fault(None, "/v1/", superseded, usize::MAX);

    let refused = hotel.call("/v1/session").await;
    assert_eq!(refused, json!([401, "token-superseded"]));
    hotel.network.set_cut(true);
    hotel.tv.event("disconnected").await.unwrap();
    hotel.network.set_cut(false);
    let before = hotel.network.seen("/v1/").len();
    hotel.network.until_seen("/v1/", before + 3).await.unwrap();

    hotel.is_untouched().await;
    let screens = hotel.tv.count("sign_in_screen").await.unwrap();
    assert_eq!(screens, hotel.screens);
    hotel.network.clear_faults();
    hotel.tv.event("connected").await.unwrap();
    assert_eq!(hotel.call("/v1/session").await, json!([200, null]));
}

async fn a_device_with_the_token_before_is_wiped_and_acknowledges(kind: Kind) {
    let mut hotel = Hotel::open_unconfirmed(kind).await;
    hotel.loses_its_new_token().await;
    hotel.network.set_cut(true);
    hotel.tv.event("disconnected").await.unwrap();
    let sign_out = hotel.sign_out().await;

    hotel.network.set_cut(false);

    hotel.is_wiped(&sign_out).await;
    hotel.receipt(&sign_out, "wiped").await;
}

async fn wrong_proofs_change_nothing(kind: Kind) {
    let mut hotel = Hotel::open_unconfirmed(kind).await;
    let wrong = json!({ "do": "verify", "password": "wrong" });

    let refused = hotel.refused(wrong).await;

    assert_eq!(refused[0], "credentials-invalid");
    hotel.is_untouched().await;
    assert_eq!(hotel.call("/v1/session").await, json!([200, null]));
}
