//! The rows and secrets of the races of second steps and factors. Every secret is known before
//! the race.

use domain::challenge::{Challenge, ChallengeSecret, PendingSignIn};
use domain::factors::{Begun, RecoveryCode, RecoveryCodes, TotpFactor};
use domain::session::Authenticated;
use domain::{Account, DeviceKey, EmailAddress, FactorId, Timestamp};
use factors::TotpSecret;
use http_api::Reply;
use serde_json::json;
use totp_rs::Builder;

use super::operations::recovery;
use crate::account::TestDevice;
use crate::bundle::{Bundle, event, event_about};

/// The number of second steps that are open, and of recovery codes.
const COUNT: u8 = 2;

/// The time when everything was asked for.
fn asked_at() -> Timestamp {
    recovery(0).challenge.asked_at
}

/// Returns the key of the device that a second step signs in.
#[must_use]
pub fn device_key(challenge: u8) -> DeviceKey {
    DeviceKey::new(asked_at(), [challenge; 32])
}

fn secret_of(challenge: u8) -> ChallengeSecret {
    // The secrets of other challenges are lower.
    ChallengeSecret::new([200 + challenge; 32])
}

fn recovery_code(number: u8) -> RecoveryCode {
    RecoveryCode::new([number; 15])
}

fn totp_secret(member: usize) -> [u8; 20] {
    [u8::try_from(member).expect("few devices"); 20]
}

/// Returns the id of the app that a device has begun to add.
#[must_use]
pub fn factor_id(member: usize) -> FactorId {
    let member = u8::try_from(member).expect("few devices");
    FactorId::new(asked_at(), [member; 10])
}

/// Opens two second steps, makes two recovery codes, and lets each device begin an app.
///
/// # Panics
/// When a table fails.
pub async fn prepare(bundle: &Bundle, account: &Account, devices: &[TestDevice]) {
    let store = &bundle.store;
    let email = EmailAddress::parse(&account.email).expect("an address");
    for number in 0..COUNT {
        let sign_in = PendingSignIn {
            account: account.id,
            epoch: account.epoch,
            device: device_key(number).device_in(account.id),
        };
        let secret = secret_of(number);
        let asked = Challenge::of_second_step(&secret, email.clone(), sign_in, asked_at());
        store.put_challenge(&asked).await.expect("a challenge");
    }
    let first = &devices[0];
    let mut rows = store.rows(account.id, &[first.id]).await.expect("the rows");
    let caller = Authenticated {
        account: account.clone(),
        device: rows.take_device(first.id).expect("the first device"),
    };
    let left = (0..COUNT).map(|number| recovery_code(number).hash_in(account.id));
    let codes = RecoveryCodes {
        left: left.collect(),
        made_at: asked_at(),
    };
    let attempt = FactorId::new(asked_at(), [100; 10]);
    let made = store.put_recovery_codes(&caller, &codes, attempt).await;
    made.expect("recovery codes");
    for (member, device) in devices.iter().enumerate() {
        begin_app(bundle, account, (member, device)).await;
    }
}

async fn begin_app(bundle: &Bundle, account: &Account, (member, device): (usize, &TestDevice)) {
    let sealer = bundle.second_step.checker.sealer.as_ref();
    let secret = TotpSecret::new(totp_secret(member));
    let id = factor_id(member);
    let sealing = sealer.expect("a sealer").seal(account.id, id, &secret);
    let begun = TotpFactor {
        account: account.id,
        id,
        name: "Lea's phone".to_owned(),
        sealed: sealing.await.expect("a sealed secret"),
        last_step: None,
        begun: Some(Begun {
            session: device.session,
            epoch: account.epoch,
            at: asked_at(),
        }),
    };
    bundle.store.begin_factor(&begun).await.expect("a factor");
}

/// Completes the sign-in of a second step with a recovery code.
pub async fn complete(bundle: &Bundle, challenge: u8, code: u8) -> Reply {
    let body = json!({
        "challenge": *secret_of(challenge).to_text(),
        "device_key": *device_key(challenge).to_text(),
        "recovery_code": *recovery_code(code).to_text(),
    });
    let event = event("POST", "/v1/second-steps", None, Some(&body));
    bundle.send(event).await
}

/// Confirms the app that a device has begun to add.
pub async fn confirm_app(bundle: &Bundle, member: usize, token: &str) -> Reply {
    let secret = totp_secret(member);
    let totp = Builder::new().with_secret(secret.as_slice()).build();
    let now = u64::try_from(bundle.clock.now().as_second()).expect("after 1970");
    let code = totp.expect("a secret").generate(now).to_string();
    let route = "POST /v1/factors/{factor_id}/confirmation";
    let body = json!({ "totp": code });
    let event = event_about(route, Some(token), factor_id(member), Some(&body));
    bundle.send(event).await
}
