//! Requests that a caller waits for.

use curfew_tests::account::{EMAIL, PASSWORD};
use curfew_tests::bundle::{event, json_of};
use curfew_tests::cost::Cost;
use curfew_tests::metered::{Metered, device_of, sign_out_of};
use domain::factors::AccountFactor;
use domain::recognition::EARNED_AFTER;
use domain::{DeviceKey, FactorId, Token};
use jiff::SignedDuration;
use serde_json::json;

use super::{Named, OTHER_PASSWORD};

/// Every request of a signed-in device, on an account of up to three devices.
pub async fn measure() -> Vec<Named> {
    let mut costs = Box::pin(signed_in()).await;
    costs.extend(Box::pin(signing_out()).await);
    costs
}

async fn signed_in() -> Vec<Named> {
    let mut costs = Vec::new();
    let m = Metered::new();
    let bundle = m.bundle();
    costs.push(("register", m.cost(bundle.register(EMAIL, PASSWORD)).await));
    let key = DeviceKey::new(m.app.clock.now(), runtime::random()).to_text();
    let sign_in = bundle.log_in(EMAIL, PASSWORD, Some(&key));
    costs.push(("sign-in-new", m.cost(sign_in).await));
    let (laptop, laptop_key) = m.device().await;
    let (tv, _) = m.device().await;
    costs.push(("check", m.cost(bundle.who_am_i(&laptop)).await));
    costs.push(("authorizer", m.checked(&laptop, true).await));
    costs.push(("introspect", m.cost(bundle.introspect(&laptop)).await));
    m.app.clock.advance(SignedDuration::from_mins(5));
    costs.push(("check-touch", m.cost(bundle.who_am_i(&laptop)).await));
    costs.push(("list", m.cost(bundle.list(&laptop)).await));
    let rename = bundle.rename_device(&laptop, device_of(&tv), "TV");
    costs.push(("rename", m.cost(rename).await));
    // The first call with the new token writes once more.
    let verified = json_of(&bundle.verify(&laptop, PASSWORD).await);
    let laptop = verified["token"].as_str().unwrap().to_owned();
    bundle.who_am_i(&laptop).await;
    let one = bundle.sign_out_device(&laptop, device_of(&tv));
    costs.push(("sign-out-one", m.cost(one).await));
    // A device that is signed in for so long is recognized.
    m.app.clock.advance(EARNED_AFTER);
    let reply = bundle.log_in(EMAIL, PASSWORD, Some(&laptop_key)).await;
    let key = json_of(&reply)["device_key"].as_str().unwrap().to_owned();
    let again = bundle.log_in(EMAIL, PASSWORD, Some(&key));
    costs.push(("sign-in-again", m.cost(again).await));
    costs
}

async fn signing_out() -> Vec<Named> {
    let mut costs = Vec::new();
    let m = Metered::with_account().await;
    let bundle = m.bundle();
    let (laptop, _) = m.device().await;
    let (tv, _) = m.device().await;
    costs.push(("sign-out-this", m.cost(bundle.sign_out_this(&tv)).await));
    let others = bundle.sign_out_scope(&laptop, "others");
    costs.push(("sign-out-others", m.cost(others).await));
    let change = bundle.change_password(&laptop, PASSWORD, OTHER_PASSWORD, true);
    costs.push(("change-password-keeping", m.cost(change).await));
    let verification = bundle.verify(&laptop, OTHER_PASSWORD);
    costs.push(("verify", m.cost(verification).await));
    costs.push(("second-step", Box::pin(second_step()).await));
    let global = bundle.sign_out_scope(&laptop, "global");
    costs.push(("sign-out-global", m.cost(global).await));

    let m = Metered::with_account().await;
    let (laptop, _) = m.device().await;
    let change = (m.bundle()).change_password(&laptop, PASSWORD, OTHER_PASSWORD, false);
    costs.push(("change-password", m.cost(change).await));
    costs
}

/// A sign-in that a recovery code completes.
async fn second_step() -> Cost {
    let m = Metered::with_account().await;
    let bundle = m.bundle();
    let (laptop, _) = m.device().await;
    let made = bundle.send(event("POST", "/v1/recovery-codes", Some(&laptop), None));
    let codes = json_of(&made.await)["codes"].take();
    let account = Token::parse(&laptop).unwrap().account();
    let account = bundle.store.rows(account, &[]).await.unwrap().account;
    let account = account.unwrap();
    let now = m.app.clock.now();
    let factor = AccountFactor {
        id: FactorId::new(now, runtime::random()),
        added_at: now,
        epoch: account.epoch,
        notified_at: None,
    };
    let factors = [factor];
    let adding = bundle.store.record_factor_notices(&account, &factors);
    adding.await.unwrap();
    let asked = json_of(&bundle.log_in(EMAIL, PASSWORD, None).await);
    let body = json!({
        "challenge": asked["challenge"], "device_key": asked["device_key"],
        "recovery_code": codes[0],
    });
    let completing = bundle.send(event("POST", "/v1/second-steps", None, Some(&body)));
    m.cost(completing).await
}

/// Requests of ended sessions, and their owner's requests about them. Each device is
/// one of three.
pub async fn of_ended_sessions() -> Vec<Named> {
    let mut costs = Vec::new();
    let m = Metered::with_account().await;
    let bundle = m.bundle();
    let (laptop, _) = m.device().await;
    let (tv, _) = m.device().await;
    let (phone, phone_key) = m.device().await;

    let one = sign_out_of(&bundle.sign_out_device(&laptop, device_of(&tv)).await);
    costs.push(("refused-first", m.refused(bundle.who_am_i(&tv)).await));
    costs.push(("refused-later", m.refused(bundle.who_am_i(&tv)).await));
    costs.push(("receipt-one", m.cost(bundle.receipt(&laptop, one)).await));

    // The sweep does not run here, so no device is marked.
    let many = sign_out_of(&bundle.sign_out_scope(&laptop, "others").await);
    let acknowledged = m.cost(bundle.acknowledge(&phone, many)).await;
    costs.push(("acknowledge-unmarked", acknowledged));
    let again = m.cost(bundle.acknowledge(&phone, many)).await;
    costs.push(("acknowledge-again", again));
    let first = m.refused(bundle.who_am_i(&phone)).await;
    costs.push(("refused-first-unmarked", first));
    let later = m.refused(bundle.who_am_i(&phone)).await;
    costs.push(("refused-later-unmarked", later));
    // The first one records that the session was seen.
    let _first = m.checked(&phone, false).await;
    costs.push(("authorizer-refused", m.checked(&phone, false).await));
    let inactive = m.cost(bundle.introspect(&phone)).await;
    costs.push(("introspect-refused", inactive));
    let back = bundle.log_in(EMAIL, PASSWORD, Some(&phone_key));
    costs.push(("sign-in-again-unmarked", m.cost(back).await));
    costs.push(("acknowledge", Box::pin(acknowledgement_of_one()).await));
    costs
}

async fn acknowledgement_of_one() -> super::Cost {
    let m = Metered::with_account().await;
    let (laptop, _) = m.device().await;
    let (tv, _) = m.device().await;
    let one = m.bundle().sign_out_device(&laptop, device_of(&tv)).await;
    m.cost(m.bundle().acknowledge(&tv, sign_out_of(&one))).await
}
