//! Asking for a second step: the password was right, and the account has a factor. Removing
//! factors that were lost.

use domain::FactorId;
use domain::challenge::PendingSignIn;
use domain::factors::FactorRemoval;
use domain::notice::FactorAct;
use domain::{Account, Challenge, ChallengeSecret, Device, DeviceKey, EmailAddress};
use http_api::{Answer, DEVICE_COOKIE, DeviceKeys, Problem, cookie};
use mail::{FactorNews, NEWS_DELAY_S};
use sign_in::{SignIn, TokenTransport};
use store::WriteOutcome;

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

/// Removes the factors that the owner has lost, after the wait. They have ended by then; `Stale`
/// if the account has changed since it was read.
pub(crate) async fn remove_lost(
    deps: &Deps,
    sign_in: &SignIn<'_>,
    (account, removal): (&Account, &FactorRemoval),
) -> Result<WriteOutcome, Problem> {
    let attempt = FactorId::new(sign_in.now, runtime::random());
    if let (Some(queue), Some(removed)) = (&deps.notices, removal.removed.first()) {
        let news = news(sign_in, account, (FactorAct::Removed, removed.id));
        let sending = queue.send_factor_news(&news, NEWS_DELAY_S);
        sending.await.map_err(|error| {
            tracing::error!(cause = store::chain(&*error), "news of a factor not queued");
            Problem::Unavailable
        })?;
    }
    let removing = sign_in.store.remove_lost_factors(account, removal, attempt);
    Ok(Box::pin(removing).await?)
}

/// Queues the news that somebody knows the password. It is dropped if the sign-in is completed,
/// which takes the challenge away. An error is logged: the answer is the same.
async fn report(deps: &Deps, sign_in: &SignIn<'_>, (account, asked): (&Account, &Challenge)) {
    let Some(queue) = &deps.notices else {
        return;
    };
    let id = FactorId::new(sign_in.now, runtime::random());
    let news = FactorNews {
        challenge_id: Some(asked.id.to_string()),
        ..news(sign_in, account, (FactorAct::StepMissing, id))
    };
    if let Err(error) = queue.send_factor_news(&news, REPORTED_AFTER_S).await {
        tracing::error!(
            cause = store::chain(&*error),
            "news of a second step not queued"
        );
    }
}

fn news(sign_in: &SignIn<'_>, account: &Account, (act, id): (FactorAct, FactorId)) -> FactorNews {
    let place = sign_in.request.place();
    FactorNews {
        factor_account: account.id.to_string(),
        act: act.as_str().to_owned(),
        id: id.to_string(),
        by: None,
        challenge_id: None,
        place: place.country.or(place.ip),
        at_ms: sign_in.now.as_millisecond(),
    }
}
