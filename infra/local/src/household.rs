//! The devices of the demo account, so that the page has something to show. They sign
//! in through the API. Then their rows get the places and times of a household that
//! has used the account for a while.

use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use curfew_client::{Api, Secret};
use domain::{AccountId, Device, DeviceId, Limits, Place};
use http::Method;
use jiff::SignedDuration;
use runtime::Clock;
use serde_json::{Value, json};
use store::{Store, WriteOutcome};

use crate::progress::step;
use crate::record::Record;

/// Days without use after which a session of `cargo run` expires: the household has a
/// tablet that was not used for 100 days.
pub const IDLE_DAYS: i64 = 365;

struct Demo {
    /// Sent in the body of the sign-in.
    device: Value,
    /// Sent as the `User-Agent`.
    user_agent: &'static str,
    place: (&'static str, &'static str, &'static str),
    signed_in: SignedDuration,
    last_active: SignedDuration,
}

fn hotel_tv() -> Demo {
    Demo {
        device: json!({ "name": "Hotel TV, room 412", "type": "tv", "model": "Samsung QE55Q80", "app": "Curfew Films" }),
        user_agent: "Mozilla/5.0 (SMART-TV; LINUX; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) Version/7.0 TV Safari/537.36",
        place: ("Lisbon", "PT", "203.0.113.41"),
        signed_in: SignedDuration::from_hours(26),
        last_active: SignedDuration::from_hours(3),
    }
}

fn phone() -> Demo {
    Demo {
        device: json!({ "model": "Pixel 8", "app": "Curfew Films", "type": "phone", "os": "Android 16" }),
        user_agent: "CurfewFilms/4.2 (Android 16)",
        place: ("London", "GB", "198.51.100.17"),
        signed_in: SignedDuration::from_hours(24 * 61),
        last_active: SignedDuration::from_mins(2),
    }
}

fn second_phone() -> Demo {
    Demo {
        device: json!({ "name": "Anna’s iPhone" }),
        user_agent: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
        place: ("London", "GB", "198.51.100.17"),
        signed_in: SignedDuration::from_hours(24 * 18),
        last_active: SignedDuration::from_hours(20),
    }
}

fn laptop() -> Demo {
    Demo {
        device: json!({}),
        user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
        place: ("Brighton", "GB", "198.51.100.90"),
        signed_in: SignedDuration::from_hours(24 * 140),
        last_active: SignedDuration::from_hours(24 * 2),
    }
}

fn tablet() -> Demo {
    Demo {
        device: json!({ "name": "Kids’ tablet" }),
        user_agent: "Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.7 Mobile/15E148 Safari/604.1",
        place: ("Madrid", "ES", "203.0.113.200"),
        signed_in: SignedDuration::from_hours(24 * 230),
        last_active: SignedDuration::from_hours(24 * 100),
    }
}

fn old_phone() -> Demo {
    Demo {
        device: json!({ "name": "Old phone", "type": "phone" }),
        user_agent: "Mozilla/5.0 (Linux; Android 11; SM-G973F) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36",
        place: ("London", "GB", "198.51.100.17"),
        signed_in: SignedDuration::from_hours(24 * 300),
        last_active: SignedDuration::from_hours(24 * 62),
    }
}

/// Signs the household in. The last device is signed out by the laptop.
///
/// # Errors
/// When the API or a table rejects it.
pub async fn move_in(record: &Record) -> Result<()> {
    let signing_in = Box::pin(sign_all_in(record));
    step("Signing the demo household in", signing_in).await
}

async fn sign_all_in(record: &Record) -> Result<()> {
    let tables = record.tables.clone().into();
    let store = Store::new(record.aws.clients().dynamodb(), tables);
    let mut members = Vec::new();
    for demo in [
        hotel_tv(),
        phone(),
        second_phone(),
        laptop(),
        tablet(),
        old_phone(),
    ] {
        let signed_in = sign_in(record, &demo).await?;
        let id = text(&signed_in["device"]["id"])?;
        let account = AccountId::from_str(text(&signed_in["account"]["id"])?)?;
        settle(&store, account, DeviceId::from_str(id)?, &demo).await?;
        members.push(signed_in);
    }
    let (laptop, past) = (&members[3], &members[5]);
    let path = format!("/v1/devices/{}/sign-out", text(&past["device"]["id"])?);
    let token = Secret::new(text(&laptop["token"])?.to_owned());
    // It has been signed in for so long that it is recognized: its key is all that it has to show.
    let body = json!({ "device_key": laptop["device_key"] });
    let call = Api::new(&record.api_url)?.call(Method::POST, &path);
    let answer = call.token(&token).json(&body).send().await?;
    ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
    Ok(())
}

async fn sign_in(record: &Record, demo: &Demo) -> Result<Value> {
    let body = json!({
        "email": record.demo.email,
        "password": record.demo.password,
        "device": demo.device,
    });
    let api = Api::new(&record.api_url)?.with_user_agent(demo.user_agent);
    let call = api.call(Method::POST, "/v1/login").json(&body);
    let answer = call.send().await?;
    ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
    Ok(serde_json::from_str(&answer.text())?)
}

/// Writes the device's place and times.
async fn settle(store: &Store, account: AccountId, id: DeviceId, demo: &Demo) -> Result<()> {
    let now = Clock::System.now();
    let mut rows = store.rows(account, &[id]).await?;
    let device = rows.take_device(id).context("the device has no row")?;
    let (city, country, ip) = demo.place;
    let session = device.session;
    let place = Place {
        ip: Some(ip.to_owned()),
        city: Some(city.to_owned()),
        country: Some(country.to_owned()),
    };
    let device = Device {
        active_place: place.clone(),
        place,
        first_signed_in_at: now - demo.signed_in,
        signed_in_at: now - demo.signed_in,
        last_active_at: now - demo.last_active,
        ..device
    };
    let limits = Limits {
        idle: SignedDuration::from_hours(24 * IDLE_DAYS),
        ..Limits::default()
    };
    let outcome = store.sign_in(&device, Some(session), &limits).await?;
    ensure!(outcome == WriteOutcome::Done, "the device has changed");
    Ok(())
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().context("the answer has no such text")
}
