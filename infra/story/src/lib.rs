//! `cargo run -- story`: the main job, played against a running stack and checked
//! step by step, as an app and a subscriber of the events would see it.
//!
//! [`tell`] is the list of steps. A new step is a function like the others: it
//! begins with its title, calls from the devices, says what it expects, and hears
//! the events. [`device`] has the household and how it calls, [`live`] how it is
//! told, [`event`] what a subscriber reads, [`narrator`] brings them together, [`page`] writes and
//! counts, [`stage`] finds the stack, [`subscription`] listens to the topic.

mod device;
mod event;
mod live;
mod narrator;
mod page;
mod subscription;

use std::path::PathBuf;

use anyhow::{Result, bail};
use http_api::{DeviceView, SignOutView, Status};
use serde_json::json;

use crate::device::{Answer, Call, Device, Household, new_password};
use crate::event::Expected;
use crate::live::Film;
use crate::narrator::Narrator;

/// How far a sign-out has come with a device, in the words of the receipt.
const REFUSED: &str = "refused";
const PUSHED: &str = "pushed";
const CONTACTED: &str = "contacted";
const ACKNOWLEDGED: &str = "acknowledged";

/// The stack that the story plays on.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The API, without a slash at the end.
    pub api_url: String,
    /// The socket of devices.
    pub socket_url: String,
    /// The example API that has the films.
    pub example_url: String,
    /// The topic of the events.
    pub topic_arn: String,
    /// The clients of the stack's AWS.
    pub sns: aws_sdk_sns::Client,
    /// The same.
    pub sqs: aws_sdk_sqs::Client,
    /// The folder of the functions' logs.
    pub logs: PathBuf,
    /// Whether the gateway takes every client's address for 127.0.0.1.
    pub watch: bool,
}

/// Plays the story until `interrupted` resolves.
///
/// # Errors
/// When an expectation is not met, or when something is left behind.
pub async fn play(stage: &Stage, interrupted: impl Future<Output = Result<()>>) -> Result<()> {
    let home = Household::new(stage)?;
    let mut narrator = Narrator::begin(stage).await?;
    let told = tokio::select! {
        told = tell(&mut narrator, home) => told,
        interrupted = interrupted => interrupted.and_then(|()| bail!("interrupted")),
    };
    narrator.end(told).await
}

/// The story, step by step.
async fn tell(story: &mut Narrator, mut home: Household) -> Result<()> {
    a_household_signs_up(story, &home).await?;
    five_devices_sign_in(story, &mut home).await?;
    the_phone_sees_every_device(story, &home).await?;
    let film = the_hotel_tv_plays_a_film(story, &home).await?;
    let tv = the_phone_signs_the_hotel_tv_out(story, &home, film).await?;
    let others = the_laptop_signs_the_others_out(story, &home, &tv).await?;
    the_phone_signs_in_again(story, &mut home).await?;
    the_password_is_changed(story, &mut home, &tv, &others).await?;
    the_console_comes_back(story, &home, &others).await?;
    the_new_password_opens_the_door(story, &mut home, &others).await?;
    everybody_comes_home(story, &mut home).await?;
    let all = the_laptop_signs_everything_out(story, &home).await?;
    the_laptop_reads_the_receipt(story, &mut home, &all).await?;
    the_console_is_the_last(story, &home, &all).await?;
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
    story.step("Five devices sign in, and keep a socket open");
    let (email, password) = (home.email.clone(), home.password.clone());
    let (mut expected, mut account) = (Vec::new(), None);
    for device in home.devices_mut() {
        let answer = sign_in(story, device, &email, &password).await?;
        expected.push(Expected::session_established(device, &answer));
        account = answer.text("/account/id").map(str::to_owned);
    }
    home.account = account;
    hear_of_sign_ins(story, home, expected).await?;
    story.connect(home.devices_mut()).await?;
    story.switch_off(&home.console).await
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

/// By another API, which asks Curfew's authorizer about each piece.
async fn the_hotel_tv_plays_a_film(story: &mut Narrator, home: &Household) -> Result<Film> {
    story.step("The hotel TV plays a film");
    story.plays(&home.tv, 0).await
}

/// What the story is about.
async fn the_phone_signs_the_hotel_tv_out(
    story: &mut Narrator,
    home: &Household,
    film: Film,
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
    story.stops(tv, film, answer.at).await?;
    story
        .goes_dark(tv, &sign_out, "signed_out", answer.at)
        .await?;
    story.is_refused(tv, &sign_out, "signed_out").await?;
    for device in [phone, tablet, laptop] {
        story.is_let_in(device).await?;
    }
    let revoked = Expected::session_revoked(tv, &sign_out, answer.at);
    story
        .hear(home, vec![revoked.saying("reason", "signed_out")])
        .await?;
    story
        .receipt(phone, &sign_out, &[(tv, ACKNOWLEDGED)])
        .await?;
    story.hear_nothing([phone, laptop]).await?;
    Ok(sign_out)
}

async fn the_laptop_signs_the_others_out(
    story: &mut Narrator,
    home: &Household,
    tv_sign_out: &SignOutView,
) -> Result<SignOutView> {
    story.step("The laptop signs all the others out; the console is still off");
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
    story
        .goes_dark(phone, &sign_out, "signed_out", answer.at)
        .await?;
    story
        .is_told_in_vain(tablet, &sign_out, "signed_out", answer.at)
        .await?;
    let parts = [(console, REFUSED), (tablet, PUSHED), (phone, ACKNOWLEDGED)];
    story.receipt(laptop, &sign_out, &parts).await?;
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
    story.hear_nothing([laptop]).await?;
    Ok(sign_out)
}

async fn the_phone_signs_in_again(story: &mut Narrator, home: &mut Household) -> Result<()> {
    story.step("The phone signs in again, by its device key");
    let (email, password) = (home.email.clone(), home.password.clone());
    let answer = sign_in(story, &mut home.phone, &email, &password).await?;
    let expected = vec![Expected::session_established(&home.phone, &answer)];
    hear_of_sign_ins(story, home, expected).await?;
    story.connect([&mut home.phone]).await
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
    for device in [laptop, phone] {
        story
            .goes_dark(device, &sign_out, "password_changed", answer.at)
            .await?;
    }
    for device in [laptop, phone] {
        story
            .is_refused(device, &sign_out, "password_changed")
            .await?;
    }
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
    let console = &home.console;
    story.switch_on(console, others, "signed_out").await?;
    story.is_refused(console, others, "signed_out").await
}

async fn the_new_password_opens_the_door(
    story: &mut Narrator,
    home: &mut Household,
    others: &SignOutView,
) -> Result<()> {
    story.step("The phone signs in with the new password, and sees it all");
    let (email, password) = (home.email.clone(), home.password.clone());
    let answer = sign_in(story, &mut home.phone, &email, &password).await?;
    let expected = vec![Expected::session_established(&home.phone, &answer)];
    hear_of_sign_ins(story, home, expected).await?;
    story.connect([&mut home.phone]).await?;
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
    // The phone has signed in twice since, and has not lost its part.
    let parts = [
        (console, ACKNOWLEDGED),
        (tablet, CONTACTED),
        (phone, ACKNOWLEDGED),
    ];
    story.receipt(phone, others, &parts).await
}

async fn everybody_comes_home(story: &mut Narrator, home: &mut Household) -> Result<()> {
    story.step("Everybody signs in again; the console is switched off");
    let (email, password) = (home.email.clone(), home.password.clone());
    let mut expected = Vec::new();
    let Household {
        tv,
        tablet,
        laptop,
        console,
        ..
    } = &mut *home;
    for device in [&mut *console, &mut *laptop, &mut *tablet, &mut *tv] {
        let answer = sign_in(story, device, &email, &password).await?;
        expected.push(Expected::session_established(device, &answer));
    }
    story.connect([console, laptop, tablet, tv]).await?;
    story.switch_off(&home.console).await?;
    hear_of_sign_ins(story, home, expected).await?;
    Ok(())
}

/// The whole household at once: some of it live, one playing, one offline, one
/// that never answers.
async fn the_laptop_signs_everything_out(
    story: &mut Narrator,
    home: &Household,
) -> Result<SignOutView> {
    story.step("The laptop signs everything out");
    let Household {
        tv,
        phone,
        tablet,
        laptop,
        ..
    } = home;
    let film = story.plays(phone, 2).await?;
    let call = Call::post("/v1/sign-out-all", Some(json!({ "scope": "global" })));
    let answer = story.call(laptop, call).await?;
    let sign_out = acknowledged(story, &answer, "global", laptop)?;
    story.stops(phone, film, answer.at).await?;
    for device in [phone, tv, laptop] {
        story
            .goes_dark(device, &sign_out, "signed_out", answer.at)
            .await?;
    }
    story
        .is_told_in_vain(tablet, &sign_out, "signed_out", answer.at)
        .await?;
    story.is_refused(tablet, &sign_out, "signed_out").await?;
    let revoked = Expected::all_revoked(&sign_out, answer.at);
    story
        .hear(home, vec![revoked.saying("reason", "signed_out")])
        .await?;
    Ok(sign_out)
}

async fn the_laptop_reads_the_receipt(
    story: &mut Narrator,
    home: &mut Household,
    all: &SignOutView,
) -> Result<()> {
    story.step("The laptop signs in again, and reads the receipt");
    let (email, password) = (home.email.clone(), home.password.clone());
    let answer = sign_in(story, &mut home.laptop, &email, &password).await?;
    let expected = vec![Expected::session_established(&home.laptop, &answer)];
    hear_of_sign_ins(story, home, expected).await?;
    let Household {
        tv,
        phone,
        tablet,
        laptop,
        console,
        ..
    } = &*home;
    let parts = [
        (console, REFUSED),
        (laptop, ACKNOWLEDGED),
        (tablet, CONTACTED),
        (phone, ACKNOWLEDGED),
        (tv, ACKNOWLEDGED),
    ];
    story.receipt(laptop, all, &parts).await
}

async fn the_console_is_the_last(
    story: &mut Narrator,
    home: &Household,
    all: &SignOutView,
) -> Result<()> {
    story.step("The console has its network again, and the receipt is whole");
    let Household {
        tv,
        phone,
        tablet,
        laptop,
        console,
        ..
    } = home;
    story.switch_on(console, all, "signed_out").await?;
    let parts = [
        (console, ACKNOWLEDGED),
        (laptop, ACKNOWLEDGED),
        (tablet, CONTACTED),
        (phone, ACKNOWLEDGED),
        (tv, ACKNOWLEDGED),
    ];
    story.receipt(laptop, all, &parts).await?;
    story.is_hung_up_on(tablet, all, "signed_out").await
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
    device.begun = Some(answer.session()?);
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
