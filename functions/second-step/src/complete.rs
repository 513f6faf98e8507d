//! Completing a sign-in.

use std::mem;

use domain::challenge::{ChallengeSecret, PendingSignIn};
use domain::factors::FactorUse;
use domain::notice::FactorAct;
use domain::verification::is_proven_by_sign_in;
use domain::{Account, Challenge, CounterKey, FactorId, Purpose, Timestamp};
use factors::{Accepted, After, Checker, Shown, news_from, queue_news};
use http_api::{
    Answer, BodyProblems, DeviceKeys, Object, Problem, Request, RequestProblems,
    SecondStepProblems, TooManyAttempts, UnprovenStep,
};
use serde::Deserialize;
use sign_in::{
    ATTEMPTS, DeviceClaims, LoggedIn, NewSession, SignIn, SignOutOthers, TokenTransport, Trust,
    Wanted, WantedFields,
};
use store::{Charged, Rows, StoreError, WriteOutcome};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::Deps;

/// The body of the request: the challenge, one of `totp` and `recovery_code`, and what the
/// sign-in asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct SecondStep {
    /// The challenge in the problem `second-step-required`. It can be tried five times, for ten
    /// minutes, by the device that asked.
    #[schema(value_type = String, pattern = "^cfc_[A-Za-z0-9_-]{49}$")]
    pub challenge: Zeroizing<String>,
    /// The code of an authenticator app.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 64, example = "287082")]
    pub totp: Option<Zeroizing<String>>,
    /// A recovery code, which works once.
    #[serde(default)]
    #[schema(
        value_type = Option<String>, max_length = 64, example = "7K2M-9QXR-4TVB-H0CD-8WNE-31FG"
    )]
    pub recovery_code: Option<Zeroizing<String>>,
    /// Whether the device is recognized from now on, for 90 days: its next sign-ins need no
    /// second step. Only a factor that counts can do that.
    #[serde(default)]
    pub remember: bool,
    /// As at the sign-in.
    #[serde(default)]
    #[schema(value_type = Option<DeviceClaims>)]
    pub device: Option<Object<DeviceClaims>>,
    /// The key of the device that asked. A page's key comes in a cookie.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^cfd_[0-9]{13}_[A-Za-z0-9_-]{43}$")]
    pub device_key: Option<Zeroizing<String>>,
    /// As at the sign-in.
    #[serde(default)]
    #[schema(default = "bearer")]
    pub transport: TokenTransport,
    /// As at the sign-in.
    #[serde(default)]
    pub sign_out: Option<SignOutOthers>,
}

/// A well-formed request.
struct Step {
    secret: ChallengeSecret,
    shown: Shown,
    remember: bool,
    wanted: Wanted,
}

impl Step {
    fn parse(request: &Request) -> Result<Self, Problem> {
        let body: SecondStep = request.json()?;
        let fields = WantedFields {
            device: body.device,
            device_key: body.device_key.as_ref().map(|key| key.as_str()),
            transport: body.transport,
            sign_out: body.sign_out,
        };
        let wanted = Wanted::parse(request, fields)?;
        let totp = body.totp.as_ref().map(|text| text.as_str());
        let recovery_code = body.recovery_code.as_ref().map(|text| text.as_str());
        let shown = Shown::parse(totp, recovery_code)?;
        let shown = shown.ok_or_else(|| Problem::invalid("totp", "is missing"))?;
        let secret = ChallengeSecret::parse(&body.challenge)
            .map_err(|error| Problem::invalid("challenge", error.to_string()))?;
        Ok(Self {
            secret,
            shown,
            remember: body.remember,
            wanted,
        })
    }
}

/// Completes a sign-in whose password was right, with a factor of the account. A factor that
/// counts, or a recovery code, stops the removal of lost ones. A young factor verifies nothing, so
/// it can't sign the other devices out: sign in first, then verify the session.
#[utoipa::path(
    post, path = "/v1/second-steps", operation_id = "completeSignIn", tag = "sessions",
    request_body(content = SecondStep, example = json!({
        "challenge": format!("cfc_{}", "x".repeat(49)),
        "totp": "287082",
    })),
    responses(
        (status = 200, description = "The device is signed in.", body = LoggedIn,
            example = json!(LoggedIn::example())),
        RequestProblems, UnprovenStep, BodyProblems, SecondStepProblems, TooManyAttempts,
    ),
)]
pub(crate) async fn complete_sign_in(
    deps: &Deps,
    request: &Request,
    now: Timestamp,
) -> Result<Answer, Problem> {
    let mut step = Step::parse(request)?;
    if let (true, Some(address)) = (step.wanted.ends_others, deps.policy.external) {
        return Err(Problem::external_required(address));
    }
    let mut keys = mem::take(&mut step.wanted.device_keys);
    let (challenge, pending) = answered(deps, &step, &keys, now).await?;
    request.note_account(pending.account);
    let devices = keys.devices_in(pending.account);
    let rows = deps.store.rows(pending.account, &devices).await?;
    let account = account_of(&rows, pending)?;
    let using = use_up(deps, request, (&step, &challenge), account, now);
    let (charged, verified_at) = using.await?;
    let sign_in = SignIn {
        store: &deps.store,
        limits: &deps.limits,
        sends_mail: deps.policy.sends_mail,
        request,
        wanted: &step.wanted,
        now,
    };
    let trust = Trust {
        // A young factor must not make a device on which the password alone verifies.
        is_recognized: step.remember && verified_at.is_some(),
        verified_at,
    };
    let writing = write_session(&sign_in, (rows, pending), &mut keys, trust);
    let (account, session) = writing.await?;
    end_failures(deps, &challenge, &charged).await;
    Ok(sign_in.answer(&account, session, &keys))
}

/// Checks what the request has shown, and takes it away together with the challenge. Returns
/// what it was charged to and, if it counts as a verification, its time. Wrong codes stay charged.
async fn use_up(
    deps: &Deps,
    request: &Request,
    (step, challenge): (&Step, &Challenge),
    account: &Account,
    now: Timestamp,
) -> Result<(Charged, Option<Timestamp>), Problem> {
    let charging = step
        .shown
        .charge(&deps.store, account, After::Password, now);
    let charged = charging.await?;
    let shown = (&step.shown, Accepted::Live);
    let checking = deps.checker.check(&deps.store, account, shown, now);
    let Some(used) = Box::pin(checking).await? else {
        request.note_outcome("wrong-code");
        return Err(Problem::CodeInvalid);
    };
    let is_verified = is_verified(deps, account, &used, now);
    if step.wanted.ends_others && !is_verified {
        // Uses nothing up, so the same code can still sign this device in without `sign_out`.
        request.note_outcome("unproven");
        let has_settled = account.has_settled_factor(deps.policy.sends_mail, now);
        return Err(Problem::step_unproven(has_settled));
    }
    let attempt = FactorId::new(now, runtime::random());
    if matches!(used, FactorUse::RecoveryCode(_)) {
        let act = (FactorAct::CodeUsed, attempt);
        let news = news_from(account.id, act, request, now);
        queue_news(deps.notices.as_ref(), &news).await?;
    }
    let stops_removal = account.stops_removal(&used, deps.policy.sends_mail, now);
    let by = (account, stops_removal);
    let take = deps.store.take_second_step(by, challenge, &used, attempt);
    if take.await? == WriteOutcome::Stale {
        request.note_outcome("used-code");
        return Err(Problem::CodeInvalid);
    }
    Ok((charged, is_verified.then_some(now)))
}

/// Returns whether the sign-in counts as a verification: by the factor that was used, or because
/// the password alone is enough. With a login of the team's own, always false.
fn is_verified(deps: &Deps, account: &Account, used: &FactorUse, now: Timestamp) -> bool {
    let policy = deps.policy;
    let by_factor = account.is_proven_by(used, policy.sends_mail, now);
    (policy.external.is_none() && by_factor) || is_proven_by_sign_in(account, false, policy, now)
}

/// Writes a session, as long as the account has the epoch of the sign-in. Returns the account
/// as it was read for it.
async fn write_session(
    sign_in: &SignIn<'_>,
    (mut rows, pending): (Rows, PendingSignIn),
    keys: &mut DeviceKeys,
    trust: Trust,
) -> Result<(Account, NewSession), Problem> {
    let devices = keys.devices_in(pending.account);
    for _ in 0..ATTEMPTS {
        account_of(&rows, pending)?;
        let Rows {
            account,
            devices: found,
        } = rows;
        let account = account.ok_or(Problem::CodeInvalid)?;
        let preparing = sign_in.prepare(&account, found, keys, trust);
        let session = Box::pin(preparing).await?;
        let writing = Box::pin(sign_in.write(&account, &session));
        if writing.await? == WriteOutcome::Done {
            return Ok((account, session));
        }
        // As in `login`: the same session must not be written twice.
        rows = sign_in.store.rows(pending.account, &devices).await?;
    }
    Err(StoreError::Contended.into())
}

/// Counts a try of the challenge, and returns it with the sign-in that this device began.
async fn answered(
    deps: &Deps,
    step: &Step,
    keys: &DeviceKeys,
    now: Timestamp,
) -> Result<(Challenge, PendingSignIn), Problem> {
    let id = step.secret.id();
    let found = deps.store.try_challenge(&id, Purpose::SecondStep).await?;
    let challenge = found.ok_or(Problem::CodeInvalid)?;
    let account = challenge.sign_in.ok_or(Problem::CodeInvalid)?.account;
    let pending = challenge.sign_in_on(&keys.devices_in(account), now);
    Ok((challenge, pending.ok_or(Problem::CodeInvalid)?))
}

/// Returns the account, if it still has the epoch that was read with the password's hash. No
/// later one: the password may have been changed.
pub(crate) fn account_of(rows: &Rows, pending: PendingSignIn) -> Result<&Account, Problem> {
    let account = rows.account.as_ref();
    let is_open = |it: &&Account| it.epoch == pending.epoch && it.disabled_at.is_none();
    account.filter(is_open).ok_or(Problem::CodeInvalid)
}

/// Ends the failures in a row of the factor and of the address.
async fn end_failures(deps: &Deps, challenge: &Challenge, charged: &Charged) {
    let sign_ins = Charged::nothing(CounterKey::sign_ins_to(&challenge.email));
    Checker::give_back(&deps.store, charged).await;
    Checker::give_back(&deps.store, &sign_ins).await;
}
