//! The script of the story: five devices sign in, and are signed out one, some or
//! all at a time.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::device::Device;
use crate::story::{SignOut, Story, about, about_all, random, revocation};
use crate::topic::{CREDENTIAL_CHANGE, OTHER_SESSIONS_REVOKED, SESSION_REVOKED};

/// The TV, the phone, the tablet, the laptop and the console.
type Home = [Device; 5];

/// The time between two pieces of a film.
const PIECE: Duration = Duration::from_millis(300);

/// Plays all steps.
pub async fn play(story: &mut Story<'_>) -> Result<()> {
    let home = &mut Device::household(&story.settings)?;
    five_devices_sign_in(story, home).await?;
    let tv = the_phone_signs_the_tv_out(story, home).await?;
    let others = the_laptop_signs_the_others_out(story, home, &tv).await?;
    the_password_is_changed(story, home, &tv, &others).await?;
    the_console_comes_back(story, home, &others).await?;
    story.begin_step("No other event arrived");
    story.receive(Vec::new()).await
}

async fn five_devices_sign_in(story: &mut Story<'_>, home: &mut Home) -> Result<()> {
    let [tv, phone, tablet, laptop, console] = home;
    story.begin_step("A household signs up, and signs in on five devices");
    let body = json!({ "email": story.email, "password": story.password });
    let answer = story.call(laptop, "POST /v1/accounts", body).await?;
    story.check("The account is registered", answer.status, 202);
    story
        .sign_in(&mut [tv, phone, tablet, laptop, console])
        .await?;
    let listed = story.list(phone, "signed_in").await?;
    let newest_first = [&*console, laptop, tablet, phone, tv];
    for device in newest_first {
        story.say(format!("{:<9} {}", device.is.role, device.is.name));
    }
    let expected = newest_first.map(|device| json!([device.is.name, null, null]));
    story.check("The phone sees every device", listed, expected.to_vec());
    console.go_offline().await?;
    story.say("The console loses its network.");
    Ok(())
}

async fn the_phone_signs_the_tv_out(story: &mut Story<'_>, home: &mut Home) -> Result<SignOut> {
    let [tv, phone, tablet, laptop, _] = home;
    story.begin_step("The phone signs the hotel TV out");
    story.session(tv, None).await?;
    let films = story.film(tv, "/films", 200).await?;
    let first = films.member("/films/0/stream").context("no film")?;
    let mut next_piece = first.to_owned();
    for _ in 0..3 {
        let piece = story.film(tv, &next_piece, 200).await?;
        next_piece = piece.member("/next").context("no next piece")?.to_owned();
        sleep(PIECE).await;
    }
    story.say("The hotel TV plays a film.");
    let call = format!("POST /v1/devices/{}/sign-out", tv.session()?.device);
    let kind = ("device", "signed_out");
    let sign_out = story.sign_out(phone, &call, Value::Null, kind).await?;
    story.goes_dark(tv, &sign_out).await?;
    story.film(tv, &next_piece, 403).await?;
    story.say("The next piece of the film is refused.");
    story.session(tv, Some(&sign_out)).await?;
    for device in [&*phone, tablet, laptop] {
        story.session(device, None).await?;
    }
    let members = json!({ "scope": "device", "reason": "signed_out" });
    let revoked = about(tv, Some(&sign_out), SESSION_REVOKED, members)?;
    story.receive(vec![revoked]).await?;
    story
        .receipt(phone, &sign_out, &[(tv, "acknowledged")], [1, 0, 0])
        .await?;
    let pending = [phone.pending(), laptop.pending()];
    story.check("Phone and laptop are undisturbed", pending, [None, None]);
    Ok(sign_out)
}

async fn the_laptop_signs_the_others_out(
    story: &mut Story<'_>,
    home: &mut Home,
    tv_sign_out: &SignOut,
) -> Result<SignOut> {
    let [tv, phone, tablet, laptop, console] = home;
    story.begin_step("The laptop signs all the others out; the console is offline");
    let body = json!({ "scope": "others" });
    let (call, kind) = ("POST /v1/sign-out-all", ("others", "signed_out"));
    let sign_out = story.sign_out(laptop, call, body, kind).await?;
    story.goes_dark(phone, &sign_out).await?;
    story.is_notified(tablet, &sign_out).await?;
    let states = [
        (&*console, "refused"),
        (tablet, "pushed"),
        (phone, "acknowledged"),
    ];
    story.receipt(laptop, &sign_out, &states, [1, 1, 1]).await?;
    for device in [&*phone, tablet] {
        story.session(device, Some(&sign_out)).await?;
    }
    story.session(tv, Some(tv_sign_out)).await?;
    story.session(laptop, None).await?;
    let members = json!({ "scope": "others", "kept_session": laptop.session()?.id });
    let mut expected = vec![about_all(Some(&sign_out), OTHER_SESSIONS_REVOKED, members)];
    for device in [&*phone, tablet, console] {
        let members = json!({ "scope": "others" });
        expected.push(about(device, Some(&sign_out), SESSION_REVOKED, members)?);
    }
    story.receive(expected).await?;
    let listed = story.list(laptop, "signed_in").await?;
    let expected = vec![json!([laptop.is.name, null, null])];
    story.check("Only the laptop is signed in", listed, expected);
    story.check("The laptop is undisturbed", laptop.pending(), None);
    Ok(sign_out)
}

async fn the_password_is_changed(
    story: &mut Story<'_>,
    home: &mut Home,
    tv_sign_out: &SignOut,
    others: &SignOut,
) -> Result<()> {
    let [tv, phone, tablet, laptop, _] = home;
    story.begin_step("The phone signs in again; the laptop changes the password");
    story.sign_in(&mut [phone]).await?;
    let old = std::mem::replace(&mut story.password, random());
    let body = json!({ "current_password": old, "new_password": story.password });
    let (call, kind) = ("PUT /v1/password", ("global", "password_changed"));
    let sign_out = story.sign_out(laptop, call, body, kind).await?;
    story.goes_dark(laptop, &sign_out).await?;
    story.goes_dark(phone, &sign_out).await?;
    // Earlier sign-outs stay the reason for the devices that they ended.
    for (device, by) in [
        (laptop, &sign_out),
        (phone, &sign_out),
        (tablet, others),
        (tv, tv_sign_out),
    ] {
        story.session(device, Some(by)).await?;
    }
    let body = phone.sign_in(&story.email, &old);
    let answer = story.call(phone, "POST /v1/login", body).await?;
    let problem = answer.problem();
    story.check(
        "The old password is refused",
        problem,
        Some("credentials-invalid"),
    );
    let revoked = json!({ "scope": "global", "reason": "password_changed" });
    let changed = json!({ "credential_type": "password", "change_type": "update" });
    let expected = [(SESSION_REVOKED, revoked), (CREDENTIAL_CHANGE, changed)];
    let expected = expected.map(|(event, members)| about_all(Some(&sign_out), event, members));
    story.receive(expected.to_vec()).await
}

async fn the_console_comes_back(
    story: &mut Story<'_>,
    home: &mut Home,
    others: &SignOut,
) -> Result<()> {
    let [tv, phone, tablet, laptop, console] = home;
    story.begin_step("The console is online again; the phone signs in with the new password");
    console.client()?.set_offline(false);
    story.goes_dark(console, others).await?;
    story.session(console, Some(others)).await?;
    story.sign_in(&mut [phone]).await?;
    let expected = vec![
        json!([console.is.name, laptop.is.name, "signed_out"]),
        json!([laptop.is.name, laptop.is.name, "password_changed"]),
        json!([tablet.is.name, laptop.is.name, "signed_out"]),
        json!([phone.is.name, null, null]),
        json!([tv.is.name, phone.is.name, "signed_out"]),
    ];
    let listed = story.list(phone, "all").await?;
    story.check("The list shows how each session ended", listed, expected);
    // The phone has signed in twice since, and keeps its entry.
    let states = [
        (&*console, "acknowledged"),
        (tablet, "contacted"),
        (phone, "acknowledged"),
    ];
    story.receipt(phone, others, &states, [3, 0, 0]).await?;
    // The gateway closes a socket without an acknowledgement; the frame may come twice.
    let repeated = Some(revocation(tablet, others)?);
    let mut frame = tablet.frame().await?;
    while frame == repeated {
        frame = tablet.frame().await?;
    }
    story.check("The tablet is disconnected", frame, None);
    Ok(())
}
