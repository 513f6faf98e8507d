//! What any client must do (`infra/docs/devices.md`): the one in `CURFEW_CLIENT`,
//! or the JavaScript module in a page.

use std::time::Instant;

use curfew_tests::client::{Device, Household, PHONE};
use curfew_tests::conformance::{Client, Fault, Kind, Network, PATIENCE};
use curfew_tests::stack::api_url;
use http::Method;
use serde_json::{Value, json};

/// Each fact is tried of each kind of client.
macro_rules! facts {
    ($($fact:ident,)*) => {
        /// The client in `CURFEW_CLIENT`, or the JavaScript module in a page.
        mod client {
            $(#[tokio::test]
            async fn $fact() {
                super::$fact(super::Kind::Chosen).await;
            })*
        }

        /// The device of `cargo run -- device`.
        mod terminal {
            $(#[tokio::test]
            async fn $fact() {
                super::$fact(super::Kind::Terminal).await;
            })*
        }
    };
}

facts! {
    a_session_that_is_signed_out_while_connected_is_wiped_and_acknowledged,
    every_session_of_the_account_is_wiped_when_all_are_signed_out,
    a_session_that_ended_with_its_password_is_told_so,
    a_device_that_was_cut_off_is_wiped_at_its_first_contact,
    a_device_that_was_off_is_wiped_when_it_is_switched_on,
    a_device_that_is_switched_on_again_is_still_signed_in,
    an_api_that_fails_wipes_nothing,
    a_refusal_that_is_not_the_apis_wipes_nothing,
    a_session_that_ran_out_shows_the_sign_in_screen_and_keeps_the_data,
    a_token_of_no_session_shows_the_sign_in_screen_and_keeps_the_data,
    frames_about_another_session_and_frames_that_make_no_sense_are_passed_over,
    a_revocation_that_comes_twice_and_by_two_ways_ends_the_session_once,
    an_acknowledgement_that_got_lost_is_repeated_until_it_is_taken,
    the_device_stays_the_same_one_after_it_was_wiped,
    what_one_account_left_is_gone_before_another_comes,
    what_an_account_left_is_there_when_it_comes_back,
    a_wrong_password_changes_nothing,
    its_own_sign_out_wipes_and_is_acknowledged,
    signing_out_everywhere_wipes_this_device_too,
    signing_out_the_others_leaves_this_device_alone,
    changing_the_password_wipes_this_device_unless_it_stays,
}

/// A television under test, in a household whose phone ends its session.
struct Hotel {
    household: Household,
    network: Network,
    tv: Client,
    tv_id: String,
    phone: Device,
    /// How often the sign-in screen was shown before anything happened.
    screens: usize,
}

impl Hotel {
    /// The television is signed in and connected, and has stored something.
    async fn open(kind: Kind) -> Self {
        let household = Household::register().await;
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

    /// Signs the television in, and waits until it is connected; its id.
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
        let answer = self.tv.tell(command).await.unwrap();
        answer["device_id"].as_str().unwrap().to_owned()
    }

    async fn store(&mut self, key: &str, value: &str) {
        let command = json!({ "do": "store", "key": key, "value": value });
        self.tv.tell(command).await.unwrap();
    }

    async fn call(&mut self, path: &str) -> Value {
        let command = json!({ "do": "call", "method": "GET", "path": path });
        let answer = self.tv.tell(command).await.unwrap();
        json!([answer["status"], answer["problem"]])
    }

    /// What the television has: what it stored, and whether a token and a key.
    async fn has(&mut self) -> Value {
        let answer = self.tv.tell(json!({ "do": "stored" })).await.unwrap();
        json!([answer["entries"], answer["token"], answer["device_key"]])
    }

    /// The phone signs the television out; the sign-out's id.
    async fn sign_out(&self) -> String {
        let answer = self.phone.sign_out(&self.tv_id).await.done(200);
        id_of(&answer["sign_out"])
    }

    /// Waits until the receipt says so much of the television.
    async fn receipt(&self, sign_out: &str, state: &str) -> Value {
        receipt(&self.phone, sign_out, &self.tv_id, state).await
    }

    /// Of how many devices it is known that they have heard of it.
    async fn confirmed(&self, sign_out: &str) -> Value {
        let path = format!("/v1/sign-outs/{sign_out}");
        let receipt = self.phone.get(&path).await.done(200);
        receipt["sign_out"]["total"]["confirmed"].clone()
    }

    /// It has been wiped, and tells so; the sign-in screen's reasons.
    async fn is_wiped(&mut self, sign_out: &str) -> Value {
        self.tv.event("stopped").await.unwrap();
        self.tv.event("wiped").await.unwrap();
        let screen = self.tv.event("sign_in_screen").await.unwrap();
        assert_eq!(self.has().await, wiped());
        assert_eq!(screen["because"], "signed_out");
        assert_eq!(screen["sign_out"], json!(sign_out));
        screen
    }

    /// It has done so by itself: nobody refused it, and no frame reached it.
    fn was_told_by_nobody(&self) {
        let seen = self.network.seen("/v1/");
        assert!(seen.iter().all(|one| one.status != 401), "{seen:?}");
    }

    /// Nothing has happened to it.
    async fn is_untouched(&mut self) {
        assert_eq!(self.has().await, untouched());
        for event in ["stopped", "wiped"] {
            assert_eq!(self.tv.count(event).await.unwrap(), 0, "{event}");
        }
    }
}

/// What is left after wiping: the device key.
fn wiped() -> Value {
    json!([{}, false, true])
}

fn untouched() -> Value {
    json!([{ "history": "The Long Corridor" }, true, true])
}

/// What is left when the session is over and nobody ended it.
fn kept() -> Value {
    json!([{ "history": "The Long Corridor" }, false, true])
}

fn id_of(sign_out: &Value) -> String {
    sign_out["id"].as_str().unwrap().to_owned()
}

async fn receipt(reader: &Device, sign_out: &str, device: &str, state: &str) -> Value {
    let path = format!("/v1/sign-outs/{sign_out}");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let receipt = reader.get(&path).await.done(200);
        let parts = receipt["sign_out"]["devices"].as_array().unwrap();
        let part = parts.iter().find(|part| part["id"] == device);
        if let Some(part) = part.filter(|part| part["state"] == state) {
            return part.clone();
        }
        assert!(Instant::now() < deadline, "{receipt}");
    }
}

async fn a_session_that_is_signed_out_while_connected_is_wiped_and_acknowledged(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;

    let sign_out = hotel.sign_out().await;

    let screen = hotel.is_wiped(&sign_out).await;
    let part = hotel.receipt(&sign_out, "acknowledged").await;
    assert!(part["pushed_at"].is_string(), "{part}");
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
    receipt(&reader, &sign_out, &hotel.tv_id, "acknowledged").await;
}

async fn a_session_that_ended_with_its_password_is_told_so(kind: Kind) {
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
    assert_eq!(hotel.confirmed(&sign_out).await, 0);

    hotel.network.set_cut(false);

    let screen = hotel.is_wiped(&sign_out).await;
    assert_eq!(screen["signed_out_by"]["id"], json!(hotel.phone.id));
    let part = hotel.receipt(&sign_out, "acknowledged").await;
    assert!(part["contacted_at"].is_string(), "{part}");
}

async fn a_device_that_was_off_is_wiped_when_it_is_switched_on(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    hotel.tv.switch_off().await.unwrap();
    let sign_out = hotel.sign_out().await;

    hotel.tv.switch_on(&hotel.network).await.unwrap();

    hotel.is_wiped(&sign_out).await;
    hotel.receipt(&sign_out, "acknowledged").await;
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

    // Its socket breaks, too, and all that it tries then fails.
    hotel.network.set_cut(true);
    hotel.tv.event("disconnected").await.unwrap();
    hotel.network.set_cut(false);
    let before = hotel.network.seen("/v1/").len();
    hotel.network.until_seen("/v1/", before + 5).await.unwrap();

    hotel.is_untouched().await;
    hotel.network.mend();
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

async fn a_session_that_ran_out_shows_the_sign_in_screen_and_keeps_the_data(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let expired = Fault::Problem(401, "session-expired");
    hotel.network.fault(None, "/v1/", expired, usize::MAX);

    hotel.call("/v1/session").await;

    let screen = hotel.tv.event("sign_in_screen").await.unwrap();
    assert_eq!(screen["because"], "expired");
    assert!(screen["signed_out_by"].is_null());
    assert_eq!(hotel.has().await, kept());
    assert_eq!(hotel.tv.count("wiped").await.unwrap(), 0);
}

async fn a_token_of_no_session_shows_the_sign_in_screen_and_keeps_the_data(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let invalid = Fault::Problem(401, "token-invalid");
    hotel.network.fault(None, "/v1/", invalid, usize::MAX);

    hotel.call("/v1/session").await;

    let screen = hotel.tv.event("sign_in_screen").await.unwrap();
    assert_eq!(screen["because"], "invalid");
    assert_eq!(hotel.has().await, kept());
    assert_eq!(hotel.tv.count("wiped").await.unwrap(), 0);
}

async fn frames_about_another_session_and_frames_that_make_no_sense_are_passed_over(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let another = json!({
        "type": "session-revoked",
        "sign_out": "0192f0c2-0b1d-7a40-8f6e-2d1c9b7a5e33",
        "session": "3f0d1f0a-58a5-4a0f-a35c-0c4f6bb1f0de",
        "reason": "signed_out",
        "signed_out_at": "2026-11-20T09:30:00Z",
        "signed_out_by": null,
    });
    let mut nobodys = another.clone();
    nobodys.as_object_mut().unwrap().remove("session");

    for frame in [
        "",
        "not JSON",
        "null",
        "[]",
        "{\"type\":\"news\"}",
        "{\"type\":\"session-revoked\"}",
        "{\"type\":\"problem\",\"problem\":null}",
        &another.to_string(),
        &nobodys.to_string(),
    ] {
        hotel.network.say(frame).unwrap();
    }

    assert_eq!(hotel.call("/v1/session").await, json!([200, null]));
    hotel.is_untouched().await;
    // It still hears, after all that and by the same socket, what is meant for it.
    assert_eq!(hotel.tv.count("disconnected").await.unwrap(), 0);
    let sign_out = hotel.sign_out().await;
    hotel.is_wiped(&sign_out).await;
}

async fn a_revocation_that_comes_twice_and_by_two_ways_ends_the_session_once(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    hotel.network.double_frames();

    let sign_out = hotel.sign_out().await;
    let _ = hotel
        .tv
        .try_to(json!({ "do": "call", "method": "GET", "path": "/v1/session" }))
        .await
        .unwrap();

    hotel.is_wiped(&sign_out).await;
    hotel.receipt(&sign_out, "acknowledged").await;
    for event in ["stopped", "wiped"] {
        assert_eq!(hotel.tv.count(event).await.unwrap(), 1, "{event}");
    }
    assert_eq!(
        hotel.tv.count("sign_in_screen").await.unwrap(),
        hotel.screens + 1
    );
}

async fn an_acknowledgement_that_got_lost_is_repeated_until_it_is_taken(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let path = "/v1/sign-outs/";
    let (post, unavailable) = (Some(Method::POST), Fault::Problem(503, "unavailable"));
    hotel.network.lose_frames();
    hotel.network.fault(post, path, unavailable, 2);

    let sign_out = hotel.sign_out().await;

    hotel.is_wiped(&sign_out).await;
    hotel.receipt(&sign_out, "acknowledged").await;
    let seen = hotel.network.seen(path);
    let statuses: Vec<u16> = seen
        .iter()
        .filter(|one| one.method == Method::POST)
        .map(|one| one.status)
        .collect();
    assert_eq!(statuses, [503, 503, 200]);
}

async fn the_device_stays_the_same_one_after_it_was_wiped(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let sign_out = hotel.sign_out().await;
    hotel.is_wiped(&sign_out).await;

    let again = hotel.sign_in().await;

    assert_eq!(again, hotel.tv_id);
    assert_eq!(hotel.call("/v1/session").await, json!([200, null]));
    hotel.receipt(&sign_out, "acknowledged").await;
}

async fn what_one_account_left_is_gone_before_another_comes(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let expired = Fault::Problem(401, "session-expired");
    hotel
        .network
        .fault(Some(Method::GET), "/v1/session", expired, 1);
    hotel.call("/v1/session").await;
    hotel.tv.event("sign_in_screen").await.unwrap();
    assert_eq!(hotel.has().await, kept());
    let other = Household::register().await;

    hotel.sign_in_to(&other).await;

    assert_eq!(hotel.has().await, json!([{}, true, true]));
}

async fn what_an_account_left_is_there_when_it_comes_back(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let expired = Fault::Problem(401, "session-expired");
    hotel
        .network
        .fault(Some(Method::GET), "/v1/session", expired, 1);
    hotel.call("/v1/session").await;
    hotel.tv.event("sign_in_screen").await.unwrap();

    hotel.sign_in().await;

    assert_eq!(hotel.has().await, untouched());
}

async fn a_wrong_password_changes_nothing(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let command = json!({
        "do": "sign_in",
        "email": hotel.household.email,
        "password": "wrong",
    });

    let refused = hotel.tv.try_to(command).await.unwrap();

    assert_eq!(refused["ok"], false);
    assert_eq!(refused["problem"], "credentials-invalid");
    hotel.is_untouched().await;
}

async fn its_own_sign_out_wipes_and_is_acknowledged(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    hotel.network.deafen();

    let answer = hotel
        .tv
        .tell(json!({ "do": "sign_out", "scope": "local" }))
        .await
        .unwrap();

    let sign_out = answer["sign_out"].as_str().unwrap();
    let screen = hotel.is_wiped(sign_out).await;
    hotel.was_told_by_nobody();
    assert_eq!(screen["signed_out_by"]["id"], json!(hotel.tv_id));
    hotel.receipt(sign_out, "acknowledged").await;
}

async fn signing_out_everywhere_wipes_this_device_too(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    hotel.network.deafen();

    let answer = hotel
        .tv
        .tell(json!({ "do": "sign_out", "scope": "global" }))
        .await
        .unwrap();

    let sign_out = answer["sign_out"].as_str().unwrap();
    hotel.is_wiped(sign_out).await;
    hotel.was_told_by_nobody();
    let reader = hotel.household.sign_in(PHONE).await;
    receipt(&reader, sign_out, &hotel.tv_id, "acknowledged").await;
}

async fn signing_out_the_others_leaves_this_device_alone(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;

    hotel
        .tv
        .tell(json!({ "do": "sign_out", "scope": "others" }))
        .await
        .unwrap();

    hotel.is_untouched().await;
    assert_eq!(hotel.call("/v1/session").await, json!([200, null]));
    assert!(!hotel.phone.is_signed_in().await);
}

async fn changing_the_password_wipes_this_device_unless_it_stays(kind: Kind) {
    let mut hotel = Hotel::open(kind).await;
    let passwords = [
        hotel.household.password.clone(),
        Household::unregistered().password,
        Household::unregistered().password,
    ];
    let change = |from: &str, to: &str, stays: bool| {
        json!({
            "do": "change_password",
            "current_password": from,
            "new_password": to,
            "keep_current": stays,
        })
    };

    let stays = change(&passwords[0], &passwords[1], true);
    hotel.tv.tell(stays).await.unwrap();
    hotel.is_untouched().await;
    hotel.network.deafen();
    let leaves = change(&passwords[1], &passwords[2], false);
    let answer = hotel.tv.tell(leaves).await.unwrap();

    let sign_out = answer["sign_out"].as_str().unwrap();
    let screen = hotel.is_wiped(sign_out).await;
    hotel.was_told_by_nobody();
    assert_eq!(screen["reason"], "password_changed");
}
