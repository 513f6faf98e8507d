//! The rows and secrets of the races of second steps and factors. Every secret is known before
//! the race.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::challenge::{Challenge, ChallengeRandom, ChallengeSecret, PendingSignIn};
use domain::factors::{AccountFactor, Begun, RecoveryCode, RecoveryCodes, TotpFactor};
use domain::ownership::LostFactor;
use domain::session::Authenticated;
use domain::{
    Account, AccountId, DeviceId, DeviceKey, EmailAddress, FactorId, NewChallenge, Purpose,
    Timestamp,
};
use factors::TotpSecret;
use http_api::Reply;
use serde_json::{Value, json};
use store::WriteOutcome;
use totp_rs::Builder;

use super::operations::recovery;
use crate::account::{EMAIL, PASSWORD, TestAccount, TestDevice};
use crate::bundle::{Bundle, event, event_about};

/// The number of second steps that are open on new devices, of recovery codes, and of mailed
/// codes by which the app can be reported as lost.
const COUNT: u8 = 2;

/// The number of the second step that is open on the first device.
pub const ON_FIRST_DEVICE: u8 = COUNT;

/// The number of the app that the account has in some histories.
const OWN_APP: usize = 9;

/// The time when everything was asked for.
fn asked_at() -> Timestamp {
    recovery(0).challenge.asked_at
}

fn new_key(challenge: u8) -> DeviceKey {
    DeviceKey::new(asked_at(), [challenge; 32])
}

/// Returns the device that a second step signs in.
#[must_use]
pub fn device_of(challenge: u8, account: &TestAccount) -> DeviceId {
    if challenge == ON_FIRST_DEVICE {
        return account.devices[0].id;
    }
    new_key(challenge).device_in(account.id)
}

fn secret_of(challenge: u8) -> ChallengeSecret {
    // The secrets of other challenges are lower.
    ChallengeSecret::new([200 + challenge; 32])
}

/// Returns the challenge by which a device verifies its session.
fn verification(member: usize) -> NewChallenge {
    let member = u8::try_from(member).expect("few devices");
    mailed(Purpose::Verification, 210 + member)
}

/// Returns the challenge by which the app is reported as lost.
fn lost_app(code: u8) -> NewChallenge {
    mailed(Purpose::LostFactor, 220 + code)
}

fn pending(account: &Account, device: DeviceId) -> PendingSignIn {
    PendingSignIn {
        account: account.id,
        epoch: account.epoch,
        device,
    }
}

fn recovery_code(number: u8) -> RecoveryCode {
    RecoveryCode::new([number; 15])
}

fn totp_secret(member: usize) -> [u8; 20] {
    [u8::try_from(member).expect("few devices"); 20]
}

/// Returns a challenge that is answered by a mailed code.
fn mailed(purpose: Purpose, byte: u8) -> NewChallenge {
    let random = ChallengeRandom {
        secret: [byte; 32],
        code: [byte; 5],
        link: [byte; 32],
    };
    let email = EmailAddress::parse(EMAIL).expect("an address");
    NewChallenge::new(purpose, email, asked_at(), random)
}

/// Returns the id of the app that a device has begun to add.
#[must_use]
pub fn factor_id(member: usize) -> FactorId {
    let member = u8::try_from(member).expect("few devices");
    FactorId::new(asked_at(), [member; 10])
}

/// Opens three second steps, makes two recovery codes and codes by mail, turns codes at sign-ins
/// on, and lets each device begin an app.
///
/// # Panics
/// When a table fails, or a write is refused.
pub async fn prepare(bundle: &Bundle, account: &Account, devices: &[TestDevice]) {
    let store = &bundle.store;
    let email = EmailAddress::parse(&account.email).expect("an address");
    let mut asked = Vec::new();
    let new = |number| new_key(number).device_in(account.id);
    for (number, device) in [new(0), new(1), devices[0].id].into_iter().enumerate() {
        let number = u8::try_from(number).expect("few second steps");
        let (secret, sign_in) = (secret_of(number), pending(account, device));
        let step = Challenge::of_second_step(&secret, email.clone(), sign_in, asked_at());
        asked.extend([step, lost_app(number).of_sign_in(sign_in).challenge]);
    }
    for (member, device) in devices.iter().enumerate() {
        asked.push(verification(member).bound_to(device.session).challenge);
    }
    for challenge in asked {
        store.put_challenge(&challenge).await.expect("a challenge");
    }
    let first = &devices[0];
    let mut rows = store.rows(account.id, &[first.id]).await.expect("the rows");
    let caller = Authenticated {
        account: account.clone(),
        device: rows.take_device(first.id).expect("the first device"),
    };
    let turned_on = store.set_sign_in_codes(&caller, true, FactorId::new(asked_at(), [101; 10]));
    assert_eq!(turned_on.await.expect("an answer"), WriteOutcome::Done);
    let left = (0..COUNT).map(|number| recovery_code(number).hash_in(account.id));
    let codes = RecoveryCodes {
        left: left.collect(),
        made_at: asked_at(),
    };
    let attempt = FactorId::new(asked_at(), [100; 10]);
    let made = store.put_recovery_codes(&caller, &codes, attempt).await;
    assert_eq!(made.expect("an answer"), WriteOutcome::Done);
    for (member, device) in devices.iter().enumerate() {
        begin_app(bundle, account, (member, device)).await;
    }
}

/// Adds an app that has settled when the races begin, from a device that has just signed in.
///
/// # Panics
/// When a table fails, or a write is refused.
pub async fn add_app(bundle: &Bundle, by: &TestDevice) {
    let (store, now) = (&bundle.store, bundle.clock.now());
    let account = async || {
        let rows = store.rows(by.account, &[]).await.expect("the rows");
        rows.account.expect("the account")
    };
    begin_app(bundle, &account().await, (OWN_APP, by)).await;
    let confirmed = confirm_app(bundle, OWN_APP, &by.token).await;
    assert_eq!(confirmed.status_code, 200);
    let account = account().await;
    let notified = |factor: &AccountFactor| AccountFactor {
        notified_at: Some(now),
        ..*factor
    };
    let notified: Vec<_> = account.factors.iter().map(notified).collect();
    let recorded = store.record_factor_notices(&account, &notified).await;
    assert_eq!(recorded.expect("an answer"), WriteOutcome::Done);
}

/// Reports the app as lost, so early that the removal is due at `due_at`.
///
/// # Panics
/// When a table fails, or a write is refused.
pub async fn lose_app(bundle: &Bundle, account: &Account, due_at: Timestamp) {
    let asked = mailed(Purpose::LostFactor, 230).challenge;
    let put = bundle.store.put_challenge(&asked).await;
    put.expect("a challenge");
    let device = new_key(0).device_in(account.id);
    let (sign_in, attempt) = (pending(account, device), FactorId::new(due_at, [102; 10]));
    let wait = LostFactor::due_at(due_at).duration_since(due_at);
    let losing = bundle
        .store
        .lose_factors(&asked, sign_in, due_at - wait, attempt);
    assert_eq!(losing.await.expect("an answer"), WriteOutcome::Done);
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
pub async fn complete(bundle: &Bundle, account: &TestAccount, challenge: u8, code: u8) -> Reply {
    let device_key = if challenge == ON_FIRST_DEVICE {
        account.devices[0].key.clone()
    } else {
        new_key(challenge).to_text().to_string()
    };
    let body = json!({
        "challenge": *secret_of(challenge).to_text(),
        "device_key": device_key,
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

async fn send(bundle: &Bundle, method: &str, path: &str, token: &str, body: &Value) -> Reply {
    let body = Some(body).filter(|body| !body.is_null());
    bundle.send(event(method, path, Some(token), body)).await
}

/// Returns the id of the app that the account has in some histories.
#[must_use]
pub fn own_app() -> FactorId {
    factor_id(OWN_APP)
}

/// Removes the app of the account.
pub async fn remove_app(bundle: &Bundle, token: &str) -> Reply {
    let route = "DELETE /v1/factors/{factor_id}";
    let event = event_about(route, Some(token), own_app(), None);
    bundle.send(event).await
}

/// Makes new recovery codes.
pub async fn make_codes(bundle: &Bundle, token: &str) -> Reply {
    send(bundle, "POST", "/v1/recovery-codes", token, &Value::Null).await
}

/// Turns codes by mail at sign-ins off.
pub async fn turn_off_codes(bundle: &Bundle, token: &str) -> Reply {
    let body = json!({ "enabled": false });
    send(bundle, "PUT", "/v1/sign-in-codes", token, &body).await
}

/// Reports the app as lost.
pub async fn report_lost(bundle: &Bundle, code: u8) -> Reply {
    let asked = lost_app(code);
    let body = json!({ "challenge": *asked.secret.to_text(), "code": *asked.code.to_text() });
    let event = event("POST", "/v1/lost-factors/confirmations", None, Some(&body));
    bundle.send(event).await
}

/// Verifies a session by the password and a mailed code.
pub async fn verify_by_mail(bundle: &Bundle, member: usize, token: &str) -> Reply {
    let asked = verification(member);
    let body = json!({
        "password": PASSWORD,
        "challenge": *asked.secret.to_text(),
        "code": *asked.code.to_text(),
    });
    send(bundle, "POST", "/v1/verifications", token, &body).await
}

/// Verifies a session by a recovery code.
pub async fn verify_by_code(bundle: &Bundle, code: u8, token: &str) -> Reply {
    let body = json!({ "recovery_code": *recovery_code(code).to_text() });
    send(bundle, "POST", "/v1/verifications", token, &body).await
}

/// Returns the hash of a recovery code as its row has it.
#[must_use]
pub fn code_hash(account: AccountId, code: u8) -> String {
    let hash = recovery_code(code).hash_in(account);
    URL_SAFE_NO_PAD.encode(hash.as_bytes())
}
