//! The script of the story: five devices sign in, and are signed out one, some or
//! all at a time.

use anyhow::{Context, Result};
use curfew_client::SignedOut;
use serde_json::{Value, json};

use crate::device::Device;
use crate::story::{Story, event, random, revocation, say};

/// The TV, the phone, the tablet, the laptop and the console.
type Home = [Device; 5];

/// Plays all steps.
pub async fn play(story: &mut Story) -> Result<()> {
    let home = &mut Device::household(&story.settings)?;
    five_devices_sign_in(story, home).await?;
    the_phone_signs_the_tv_out(story, home).await?;
    the_laptop_signs_the_others_out(story, home).await?;
    the_password_is_changed(story, home).await?;
    the_console_comes_back(story, home).await?;
    story.begin_step("No other event arrived");
    story.receive(Vec::new()).await?;
    story.close();
    Ok(())
}

async fn five_devices_sign_in(story: &mut Story, home: &mut Home) -> Result<()> {
    story.begin_step("A household signs in on five devices");
    story.sign_in(&mut home.each_mut()).await?;
    for device in home.iter().rev() {
        say(format!("{:<9} {}", device.is.role, device.is.name));
    }
    let newest_first: Vec<_> = home.iter().rev().map(signed_in).collect();
    let [_, phone, .., console] = home;
    story.list(phone, "signed_in", &newest_first).await?;
    console.go_offline().await?;
    say("The console loses its network.");
    Ok(())
}

async fn the_phone_signs_the_tv_out(story: &mut Story, home: &mut Home) -> Result<()> {
    let [tv, phone, tablet, laptop, _] = home;
    story.begin_step("The phone signs the hotel TV out");
    story.sessions(&[tv]).await?;
    let mut film = "GET /films".to_owned();
    for next in ["/films/0/stream", "/next", "/next", "/next"] {
        let piece = story.call(tv, &film, None, 200).await?;
        film = format!("GET {}", piece.member(next).context("no next piece")?);
    }
    say("The hotel TV plays a film.");
    story.verify(phone).await?;
    let call = format!("POST /v1/devices/{}/sign-out", tv.session()?.device);
    let kind = ("device", "signed_out");
    let sign_out = story.sign_out(phone, &call, None, kind).await?;
    tv.ended = Some(sign_out.clone());
    story.goes_dark(tv).await?;
    story.call(tv, &film, None, 403).await?;
    say("The next piece of the film is refused.");
    story.sessions(&[tv, phone, tablet, laptop]).await?;
    story.receive(vec![event("session-revoked", tv)?]).await?;
    let states = [(&*tv, "wiped")];
    story.receipt(phone, &sign_out, &states, [1, 0, 0]).await?;
    let pending = [phone, laptop].map(|device| device.events.try_recv().ok());
    story.check("Phone and laptop are undisturbed", pending, [None, None])
}

async fn the_laptop_signs_the_others_out(story: &mut Story, home: &mut Home) -> Result<()> {
    let [tv, phone, tablet, laptop, console] = home;
    story.begin_step("The laptop signs all the others out; the console is offline");
    story.verify(laptop).await?;
    let body = Some(json!({ "scope": "others" }));
    let (call, kind) = ("POST /v1/sign-out-all", ("others", "signed_out"));
    let sign_out = story.sign_out(laptop, call, body, kind).await?;
    let mut expected = vec![of_all("other-sessions-revoked", &sign_out)];
    for device in [&mut *phone, tablet, console] {
        device.ended = Some(sign_out.clone());
        expected.push(event("session-revoked", device)?);
    }
    story.goes_dark(phone).await?;
    let frame = Some(revocation(tablet)?);
    story.check("The tablet is notified", tablet.frame().await?, frame)?;
    say("Tablet is notified, and ignores it.");
    let states = [
        (&*console, "not_reached"),
        (tablet, "notified"),
        (phone, "wiped"),
    ];
    story.receipt(laptop, &sign_out, &states, [1, 1, 1]).await?;
    story.sessions(&[phone, tablet, tv, laptop]).await?;
    story.receive(expected).await?;
    let expected = [signed_in(laptop)];
    story.list(laptop, "signed_in", &expected).await?;
    let pending = laptop.events.try_recv().ok();
    story.check("The laptop is undisturbed", pending, None)
}

async fn the_password_is_changed(story: &mut Story, home: &mut Home) -> Result<()> {
    let [tv, phone, tablet, laptop, _] = home;
    story.begin_step("The phone signs in again; the laptop changes the password");
    story.sign_in(&mut [phone]).await?;
    let old = std::mem::replace(&mut story.password, random());
    let body = json!({ "current_password": old, "new_password": story.password });
    let (call, kind) = ("PUT /v1/password", ("global", "password_changed"));
    let sign_out = story.sign_out(laptop, call, Some(body), kind).await?;
    for device in [&mut *laptop, phone] {
        device.ended = Some(sign_out.clone());
        story.goes_dark(device).await?;
    }
    // Earlier sign-outs stay the reason for the devices that they ended.
    story.sessions(&[laptop, phone, tablet, tv]).await?;
    let body = story.credentials(phone, &old);
    let login = story.call(phone, "POST /v1/login", Some(body), 401);
    let (answer, expected) = (login.await?, Some("credentials-invalid"));
    story.check("The old password is refused", answer.problem(), expected)?;
    let events = ["session-revoked", "credential-change"];
    let expected = events.map(|event_type| of_all(event_type, &sign_out));
    story.receive(expected.to_vec()).await
}

async fn the_console_comes_back(story: &mut Story, home: &mut Home) -> Result<()> {
    let [tv, phone, tablet, laptop, console] = home;
    story.begin_step("The console is online again; the phone signs in with the new password");
    console.client.set_offline(false);
    story.goes_dark(console).await?;
    story.sessions(&[console]).await?;
    story.sign_in(&mut [phone]).await?;
    let expected = [
        json!([console.is.name, laptop.is.name, "signed_out"]),
        json!([laptop.is.name, laptop.is.name, "password_changed"]),
        json!([tablet.is.name, laptop.is.name, "signed_out"]),
        signed_in(phone),
        json!([tv.is.name, phone.is.name, "signed_out"]),
    ];
    story.list(phone, "all", &expected).await?;
    // The phone has signed in twice since, and keeps its entry.
    let states = [(&*console, "wiped"), (tablet, "notified"), (phone, "wiped")];
    let others = console.end()?;
    story.receipt(phone, others, &states, [2, 1, 0]).await?;
    // The gateway closes a socket without an acknowledgement; the frame may come twice.
    let repeated = Some(revocation(tablet)?);
    let mut frame = tablet.frame().await?;
    while frame == repeated {
        frame = tablet.frame().await?;
    }
    story.check("The tablet is disconnected", frame, None)
}

/// Returns the row of a signed-in device in the list.
fn signed_in(device: &Device) -> Value {
    json!([device.is.name, null, null])
}

/// Returns an event about the account.
fn of_all(event_type: &str, by: &SignedOut) -> Value {
    json!([event_type, by.sign_out, null, null])
}
