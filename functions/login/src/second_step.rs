//! Asking for a second step: the password was right, and the account has a factor.

use domain::FactorId;
use domain::challenge::PendingSignIn;
use domain::notice::FactorAct;
use domain::{Account, Challenge, ChallengeSecret, Device, DeviceKey, EmailAddress};
use http_api::{Answer, DEVICE_COOKIE, DeviceKeys, Problem, cookie};
use mail::FactorNews;
use sign_in::{SignIn, TokenTransport};

use crate::Deps;

/// The time after which the owner is notified of a sign-in that was not completed: a minute
/// after its challenge has expired.
const REPORTED_AFTER_S: i32 = 11 * 60;

/// Stores the challenge, and answers with it. It opens nothing: only this device can complete
/// the sign-in, with a factor. A page without a device key gets one in its cookie.
pub(crate) async fn ask(
    deps: &Deps,
    sign_in: &SignIn<'_>,
    (account, devices): (&Account, Vec<Device>),
    keys: &mut DeviceKeys,
) -> Result<Answer, Problem> {
    let now = sign_in.now;
    let secret = ChallengeSecret::new(runtime::random());
    let presented = keys.last().map(DeviceKey::to_text);
    let key = keys.identify(account, devices, now, runtime::random()).key;
    let (device, key) = (key.device_in(account.id), key.to_text());
    let pending = PendingSignIn {
        account: account.id,
        epoch: account.epoch,
        device,
    };
    let email = EmailAddress::parse(&account.email).map_err(|_| Problem::CredentialsInvalid)?;
    let challenge = Challenge::of_second_step(&secret, email, pending, now);
    sign_in.store.put_challenge(&challenge).await?;
    report(deps, sign_in, (account, &challenge)).await;
    sign_in.request.note_device(device);
    sign_in.request.note_outcome("second-step-required");
    let in_cookie = sign_in.wanted.transport == TokenTransport::Cookie;
    // Another key than the request's is needed if its time is more than a day off.
    let is_new = presented.as_ref() != Some(&key);
    let shown = (is_new && !in_cookie).then(|| key.clone());
    let answer = Answer::from(Problem::second_step_required(&secret, shown));
    if !in_cookie {
        return Ok(answer);
    }
    let limits = sign_in.limits;
    let kept_until = limits.device_kept_until(limits.expires_at(now));
    let seconds = kept_until.duration_since(now).as_secs();
    Ok(answer.with_cookie(cookie(DEVICE_COOKIE, &keys.to_cookie(&key), seconds)))
}

/// Queues the news that somebody knows the password. It is dropped if the sign-in is completed,
/// which takes the challenge away. An error is logged: the answer is the same.
async fn report(deps: &Deps, sign_in: &SignIn<'_>, (account, asked): (&Account, &Challenge)) {
    let Some(queue) = &deps.notices else {
        return;
    };
    let place = sign_in.request.place();
    let news = FactorNews {
        factor_account: account.id.to_string(),
        act: FactorAct::StepMissing.as_str().to_owned(),
        id: FactorId::new(sign_in.now, runtime::random()).to_string(),
        by: None,
        challenge_id: Some(asked.id.to_string()),
        place: place.country.or(place.ip),
        at_ms: sign_in.now.as_millisecond(),
    };
    if let Err(error) = queue.send_factor_news(&news, REPORTED_AFTER_S).await {
        tracing::error!(
            cause = store::chain(&*error),
            "news of a second step not queued"
        );
    }
}
