//! `cargo run -- story`: the main job, played against a running stack and checked
//! step by step, as an app and a subscriber of the events would see it.
//!
//! [`tell`] is the list of steps. A new step is a function like the others: it
//! begins with its title, calls from the devices, says what it expects, and hears
//! the events. [`device`] has the household and how it calls, [`event`] what a
//! subscriber reads, [`narrator`] brings them together, [`page`] writes and
//! counts, [`stage`] finds the stack, [`subscription`] listens to the topic.

mod device;
mod event;
mod narrator;
mod page;
mod stage;
mod subscription;

use std::pin::pin;

use anyhow::{Result, bail};
use http_api::{DeviceView, SignOutView, Status};
use serde_json::json;

use crate::story::device::{Answer, Call, Device, Household, new_password};
use crate::story::event::Expected;
use crate::story::narrator::Narrator;
use crate::story::stage::Stage;

/// Plays the story, unless told to end before.
///
/// # Errors
/// When there is no stack to play it on, or anything in it was not as it should
/// be. What the story made on the stack is removed either way, but for its
/// household.
pub async fn play(told_to_end: impl Future<Output = Result<()>>) -> Result<()> {
    let mut told_to_end = pin!(told_to_end);
    let mut stage = tokio::select! {
        stage = Stage::find() => stage?,
        told = &mut told_to_end => return told.and_then(|()| bail!("the story has not begun")),
    };
    let home = Household::new(stage.record())?;
    let mut narrator = Narrator::begin(stage.record()).await?;
    let told = tokio::select! {
        told = tell(&mut narrator, home) => told,
        broken = stage.broken() => broken,
        told = &mut told_to_end => told.and_then(|()| bail!("it was told to end before")),
    };
    narrator.end(told).await
}

/// The story, step by step.
async fn tell(story: &mut Narrator, mut home: Household) -> Result<()> {
    a_household_signs_up(story, &home).await?;
    five_devices_sign_in(story, &mut home).await?;
    the_phone_sees_every_device(story, &home).await?;
    let tv = the_phone_signs_the_hotel_tv_out(story, &home).await?;
    let others = the_laptop_signs_the_others_out(story, &home, &tv).await?;
    the_phone_signs_in_again(story, &mut home).await?;
    the_password_is_changed(story, &mut home, &tv, &others).await?;
    the_console_comes_back(story, &home, &others).await?;
    the_new_password_opens_the_door(story, &mut home).await?;
    story.hear_no_more(&home)
}

async fn a_household_signs_up(story: &mut Narrator, home: &Household) -> Result<()> {
    story.step("A household signs up");
    let body = json!({ "email": home.email, "password": home.password });
    let call = Call::anonymous("/v1/accounts", body);
    let answer = story.call(&home.laptop, call).await?;
    story.expect("The household is taken in", &answer.status, &202);
    Ok(())
}

async fn five_devices_sign_in(story: &mut Narrator, home: &mut Household) -> Result<()> {
    story.step("Five devices sign in");
    let (email, password) = (home.email.clone(), home.password.clone());
    let (mut expected, mut account) = (Vec::new(), None);
    for device in home.devices_mut() {
        let answer = sign_in(story, device, &email, &password).await?;
        expected.push(Expected::session_established(device, &answer));
        account = answer.text("/account/id").map(str::to_owned);
    }
    home.account = account;
    hear_of_sign_ins(story, home, expected).await
}

async fn the_phone_sees_every_device(story: &mut Narrator, home: &Household) -> Result<()> {
    story.step("The phone sees every device");
    let Household {
        tv,
        phone,
        tablet,
        laptop,
        console,
        ..
    } = home;
    let devices = list(story, phone, "/v1/devices").await?;
    let newest_first = [console, laptop, tablet, phone, tv];
    story.expect(
        "All five are listed, the newest first, and the phone knows itself",
        &devices
            .iter()
            .map(|one| (one.name.as_str(), one.status, one.current))
            .collect(),
        &newest_first
            .map(|one| (one.looks.name, Status::SignedIn, one.id == phone.id))
            .to_vec(),
    );
    Ok(())
}

/// What the story is about.
async fn the_phone_signs_the_hotel_tv_out(
    story: &mut Narrator,
    home: &Household,
) -> Result<SignOutView> {
    story.step("The phone signs the hotel TV out");
    let Household {
        tv,
        phone,
        tablet,
        laptop,
        ..
    } = home;
    story.is_let_in(tv).await?;
    let path = format!("/v1/devices/{}/sign-out", tv.known_id()?);
    let answer = story.call(phone, Call::post(&path, None)).await?;
    let sign_out = acknowledged(story, &answer, "device", phone)?;
    story.is_refused(tv, &sign_out, "signed_out").await?;
    for device in [phone, tablet, laptop] {
        story.is_let_in(device).await?;
    }
    let revoked = Expected::session_revoked(tv, &sign_out, answer.at);
    story
        .hear(home, vec![revoked.saying("reason", "signed_out")])
        .await?;
    Ok(sign_out)
}

async fn the_laptop_signs_the_others_out(
    story: &mut Narrator,
    home: &Household,
    tv_sign_out: &SignOutView,
) -> Result<SignOutView> {
    story.step("The laptop signs all the others out; the console is switched off");
    let Household {
        tv,
        phone,
        tablet,
        laptop,
        console,
        ..
    } = home;
    let call = Call::post("/v1/sign-out-all", Some(json!({ "scope": "others" })));
    let answer = story.call(laptop, call).await?;
    let sign_out = acknowledged(story, &answer, "others", laptop)?;
    for device in [phone, tablet] {
        story.is_refused(device, &sign_out, "signed_out").await?;
    }
    story.is_refused(tv, tv_sign_out, "signed_out").await?;
    story.is_let_in(laptop).await?;
    let mut expected = vec![Expected::others_revoked(laptop, &sign_out, answer.at)];
    for device in [phone, tablet, console] {
        expected.push(Expected::session_revoked(device, &sign_out, answer.at));
    }
    story.hear(home, expected).await?;
    let devices = list(story, laptop, "/v1/devices?status=all").await?;
    story.expect(
        "The laptop alone is signed in",
        &signed_in(&devices),
        &vec![laptop.looks.name],
    );
    Ok(sign_out)
}

async fn the_phone_signs_in_again(story: &mut Narrator, home: &mut Household) -> Result<()> {
    story.step("The phone signs in again, by its device key");
    let (email, password) = (home.email.clone(), home.password.clone());
    let answer = sign_in(story, &mut home.phone, &email, &password).await?;
    let expected = vec![Expected::session_established(&home.phone, &answer)];
    hear_of_sign_ins(story, home, expected).await
}

async fn the_password_is_changed(
    story: &mut Narrator,
    home: &mut Household,
    tv_sign_out: &SignOutView,
    others: &SignOutView,
) -> Result<()> {
    story.step("The laptop changes the password, and everything is refused");
    let old = std::mem::replace(&mut home.password, new_password());
    let body = json!({ "current_password": old, "new_password": home.password });
    let Household {
        tv,
        phone,
        tablet,
        laptop,
        ..
    } = &*home;
    let answer = story.call(laptop, Call::put("/v1/password", body)).await?;
    let sign_out = acknowledged(story, &answer, "global", laptop)?;
    story
        .is_refused(laptop, &sign_out, "password_changed")
        .await?;
    story
        .is_refused(phone, &sign_out, "password_changed")
        .await?;
    // What was over before stays so, and is told as it was.
    story.is_refused(tablet, others, "signed_out").await?;
    story.is_refused(tv, tv_sign_out, "signed_out").await?;
    let body = json!({ "email": home.email, "password": old });
    let refused = story
        .call(phone, Call::anonymous("/v1/login", body))
        .await?;
    story.expect(
        "The old password is refused",
        &refused.problem(),
        &(401, Some("credentials-invalid")),
    );
    let revoked = Expected::all_revoked(&sign_out, answer.at);
    let expected = vec![
        revoked.saying("reason", "password_changed"),
        Expected::password_changed(&sign_out, answer.at),
    ];
    story.hear(home, expected).await
}

async fn the_console_comes_back(
    story: &mut Narrator,
    home: &Household,
    others: &SignOutView,
) -> Result<()> {
    story.step("The console, off since it signed in, comes back");
    story.is_refused(&home.console, others, "signed_out").await
}

async fn the_new_password_opens_the_door(story: &mut Narrator, home: &mut Household) -> Result<()> {
    story.step("The phone signs in with the new password, and sees it all");
    let (email, password) = (home.email.clone(), home.password.clone());
    let answer = sign_in(story, &mut home.phone, &email, &password).await?;
    let expected = vec![Expected::session_established(&home.phone, &answer)];
    hear_of_sign_ins(story, home, expected).await?;
    let Household {
        tv,
        phone,
        tablet,
        laptop,
        console,
        ..
    } = &*home;
    let devices = list(story, phone, "/v1/devices?status=all").await?;
    let ended =
        |one: &Device, by: &Device, reason| (one.looks.name, Some(by.looks.name), Some(reason));
    story.expect(
        "Each device stands in the list once, with how its session ended",
        &devices.iter().map(end_of).collect(),
        &vec![
            ended(console, laptop, "signed_out"),
            ended(laptop, laptop, "password_changed"),
            ended(tablet, laptop, "signed_out"),
            (phone.looks.name, None, None),
            ended(tv, phone, "signed_out"),
        ],
    );
    Ok(())
}

/// Signs a device in. One that did before shows its key, and stays what it was.
async fn sign_in(
    story: &mut Narrator,
    device: &mut Device,
    email: &str,
    password: &str,
) -> Result<Answer> {
    let mut body = json!({ "email": email, "password": password });
    if let Some(claims) = &device.claims {
        body["device"] = claims.clone();
    }
    if let Some(key) = &device.key {
        body["device_key"] = key.as_str().into();
    }
    let answer = story
        .call(device, Call::anonymous("/v1/login", body))
        .await?;
    let seen: DeviceView = answer.member("device")?;
    story.expect(
        &format!("{} is signed in, and seen as what it is", device.role),
        &(seen.name.as_str(), seen.device_type.as_str(), seen.ip),
        &(
            device.looks.name,
            device.looks.device_type,
            Some(device.ip.to_string()),
        ),
    );
    if let Some(before) = &device.id {
        let claim = format!("{} is the same device as before", device.role);
        story.expect(&claim, &seen.id, before);
    }
    device.id = Some(seen.id);
    device.token = Some(answer.member("token")?);
    device.key = Some(answer.member("device_key")?);
    Ok(answer)
}

/// Hears that devices signed in, and learns which sessions they have.
async fn hear_of_sign_ins(
    story: &mut Narrator,
    home: &mut Household,
    expected: Vec<Expected>,
) -> Result<()> {
    story.hear(home, expected).await?;
    home.learn(story.heard());
    Ok(())
}

/// Lists devices, and shows them.
async fn list(story: &mut Narrator, device: &Device, path: &str) -> Result<Vec<DeviceView>> {
    let devices = story.call(device, Call::get(path)).await?.devices()?;
    story.show(&devices);
    Ok(devices)
}

/// The sign-out that an answer tells of.
fn acknowledged(
    story: &mut Narrator,
    answer: &Answer,
    scope: &str,
    by: &Device,
) -> Result<SignOutView> {
    let sign_out = answer.sign_out()?;
    let requested_by = sign_out.requested_by.as_ref().map(|by| by.id.as_str());
    story.expect(
        "The sign-out is acknowledged",
        &(answer.status, sign_out.scope.as_str(), requested_by),
        &(200, scope, by.id.as_deref()),
    );
    Ok(sign_out)
}

/// The names of the devices that are signed in.
fn signed_in(devices: &[DeviceView]) -> Vec<&str> {
    let signed_in = devices.iter().filter(|one| one.status == Status::SignedIn);
    signed_in.map(|one| one.name.as_str()).collect()
}

/// The name of a device, by which one it was signed out, and why.
fn end_of(device: &DeviceView) -> (&str, Option<&str>, Option<&str>) {
    let by = device.signed_out_by.as_ref().map(|by| by.name.as_str());
    (&device.name, by, device.reason.as_deref())
}
