//! Removing lost authenticator apps: asking for a code, and beginning the wait with it.

use codes::{CodeRequested, open_or_completed_challenge, parse_answer};
use domain::challenge::{Challenge, ChallengeRandom, PendingSignIn};
use domain::notice::FactorAct;
use domain::ownership::LostFactor;
use domain::{Account, ChallengeSecret, FactorId, Purpose, Rfc3339, Timestamp};
use factors::{news_from, queue_news};
use http_api::{
    Answer, BodyProblems, CodeProblems, DeviceKeys, MailUnavailable, Problem, Request,
    RequestProblems, TooManyAttempts, WRITE_ATTEMPTS,
};
use serde::{Deserialize, Serialize};
use store::{StoreError, WriteOutcome};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::Deps;
use crate::complete::account_of;

/// The body of the request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct LostFactorRequest {
    /// The challenge in the problem `second-step-required`. The request takes none of its tries.
    #[schema(value_type = String, pattern = "^cfc_[A-Za-z0-9_-]{49}$")]
    pub challenge: Zeroizing<String>,
    /// The key of the device that asked. A page's key comes in a cookie.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^cfd_[0-9]{13}_[A-Za-z0-9_-]{43}$")]
    pub device_key: Option<Zeroizing<String>>,
}

/// The body of the confirmation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct LostFactorConfirmation {
    /// The challenge in the answer to `POST /v1/lost-factors`.
    #[schema(value_type = String, pattern = "^cfc_[A-Za-z0-9_-]{49}$")]
    pub challenge: Zeroizing<String>,
    /// The code in the mail, in either case, with or without its dash. It can be tried five
    /// times, for ten minutes.
    #[schema(value_type = String, max_length = 64, example = "K7QM-2R9X")]
    pub code: Zeroizing<String>,
}

/// The removal of lost factors.
#[derive(Serialize, ToSchema)]
pub struct RemovalView {
    /// The time from which on the authenticator apps count for nothing that the account had when
    /// their removal was first asked for.
    #[schema(value_type = String, format = DateTime)]
    pub due_at: Rfc3339,
}

impl From<Timestamp> for RemovalView {
    fn from(due_at: Timestamp) -> Self {
        let due_at = due_at.into();
        Self { due_at }
    }
}

impl RemovalView {
    fn example() -> Self {
        let due_at: Timestamp = "2026-11-23T09:30:00Z".parse().expect("it is a time");
        due_at.into()
    }
}

/// Asks for a mail with a code, with which somebody who has signed in with the password says
/// that the account's authenticator apps are lost. A recovery code is quicker: it completes the
/// sign-in, and the app can be removed at once.
#[utoipa::path(
    post, path = "/v1/lost-factors", operation_id = "reportLostFactors", tag = "factors",
    request_body(content = LostFactorRequest, example = json!({
        "challenge": format!("cfc_{}", "x".repeat(49)),
    })),
    responses(
        (status = 202, description = "Accepted. A mail to the account's address is on its way.",
            body = CodeRequested, example = json!(CodeRequested::example())),
        RequestProblems, BodyProblems, CodeProblems, MailUnavailable, TooManyAttempts,
    ),
)]
pub(crate) async fn report_lost_factors(
    deps: &Deps,
    request: &Request,
    now: Timestamp,
) -> Result<Answer, Problem> {
    let body: LostFactorRequest = request.json()?;
    let secret = challenge_secret(&body.challenge)?;
    let device_key = body.device_key.as_ref().map(|key| key.as_str());
    let keys = DeviceKeys::presented(request, device_key)?;
    let codes = deps.codes.as_ref().ok_or(Problem::MailUnavailable)?;
    let found = deps.store.challenge(&secret.id()).await?;
    let asked = found.filter(|it| it.purpose == Purpose::SecondStep);
    let sign_in = asked.and_then(|asked| {
        let account = asked.sign_in?.account;
        asked.sign_in_on(&keys.devices_in(account), now)
    });
    let sign_in = sign_in.ok_or(Problem::CodeInvalid)?;
    request.note_account(sign_in.account);
    let account = account_with_factor(deps, sign_in, now).await?;
    let random = ChallengeRandom {
        secret: runtime::random(),
        code: runtime::random(),
        link: runtime::random(),
    };
    let of = (&account, sign_in);
    let sending = codes.send_lost_factor(&deps.store, request, of, now, random);
    sending.await
}

/// Begins the wait of 72 hours after which the authenticator apps are removed that the account
/// has now. Every channel of the owner hears of it, and a factor that counts, or a recovery
/// code, stops it. Asking again does not change the time, and a request whose answer was lost can
/// be repeated.
#[utoipa::path(
    post, path = "/v1/lost-factors/confirmations", operation_id = "confirmLostFactors",
    tag = "factors",
    request_body(content = LostFactorConfirmation, example = json!({
        "challenge": format!("cfc_{}", "x".repeat(49)),
        "code": "K7QM-2R9X",
    })),
    responses(
        (status = 202, description = "Accepted. Sign in again when the time has come.",
            body = RemovalView, example = json!(RemovalView::example())),
        RequestProblems, BodyProblems, CodeProblems,
    ),
)]
pub(crate) async fn confirm_lost_factors(
    deps: &Deps,
    request: &Request,
    now: Timestamp,
) -> Result<Answer, Problem> {
    let body: LostFactorConfirmation = request.json()?;
    let presented = parse_answer(&body.challenge, &body.code)?;
    let purposes = [Purpose::LostFactor, Purpose::LostFactorReported];
    let mut challenge = open_or_completed_challenge(&deps.store, purposes, &presented, now).await?;
    let sign_in = challenge.sign_in.ok_or(Problem::CodeInvalid)?;
    request.note_account(sign_in.account);
    for _ in 0..WRITE_ATTEMPTS {
        let account = account_with_factor(deps, sign_in, now).await?;
        if account.email != challenge.email.as_normal() {
            return Err(Problem::CodeInvalid);
        }
        if let Some(due_at) = account.removal_due_at(now) {
            request.note_outcome("removal-asked-before");
            return Ok(Answer::json(202, &RemovalView::from(due_at)));
        }
        if challenge.purpose != Purpose::LostFactor {
            // The removal that it has asked for was stopped since.
            return Err(Problem::CodeInvalid);
        }
        let written = lose_factors(deps, request, (&challenge, sign_in), now);
        if written.await? == WriteOutcome::Done {
            request.note_outcome("removal-asked");
            let due_at = LostFactor::due_at(now);
            return Ok(Answer::json(202, &RemovalView::from(due_at)));
        }
        // Another request came first, perhaps with the same code: look again.
        let found = deps.store.challenge(&challenge.id).await?;
        challenge = found.ok_or(Problem::CodeInvalid)?;
    }
    Err(StoreError::Contended.into())
}

async fn lose_factors(
    deps: &Deps,
    request: &Request,
    (challenge, sign_in): (&Challenge, PendingSignIn),
    now: Timestamp,
) -> Result<WriteOutcome, Problem> {
    let attempt = FactorId::new(now, runtime::random());
    let act = (FactorAct::RemovalAsked, attempt);
    let news = news_from(sign_in.account, act, request, now);
    queue_news(deps.notices.as_ref(), &news).await?;
    let losing = deps.store.lose_factors(challenge, sign_in, now, attempt);
    Ok(Box::pin(losing).await?)
}

/// Returns the account, if the sign-in is still possible and needs a factor.
async fn account_with_factor(
    deps: &Deps,
    sign_in: PendingSignIn,
    now: Timestamp,
) -> Result<Account, Problem> {
    let rows = deps.store.rows(sign_in.account, &[]).await?;
    let account = account_of(&rows, sign_in)?;
    if account.has_factor(deps.policy.sends_mail, now) {
        Ok(account.clone())
    } else {
        Err(Problem::CodeInvalid)
    }
}

fn challenge_secret(text: &str) -> Result<ChallengeSecret, Problem> {
    ChallengeSecret::parse(text).map_err(|error| Problem::invalid("challenge", error.to_string()))
}
