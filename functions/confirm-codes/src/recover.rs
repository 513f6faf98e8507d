//! Recovering an account by its address.

use codes::{answered_challenge, parse_answer};
use domain::account::Account;
use domain::challenge::{Challenge, Link};
use domain::factors::FactorUse;
use domain::ownership::{Hold, LostFactor, Proof};
use domain::password::StoredHash;
use domain::{CounterKey, Purpose, SignOut, Timestamp};
use factors::{Accepted, After, Checker, Shown};
use http_api::{
    Answer, BodyProblems, Empty, NewPasswordProblems, Problem, RecoveryProblems, Request,
    RequestProblems, TooManyAttempts, WRITE_ATTEMPTS,
};
use serde::Deserialize;
use store::{Charged, StoreError, WriteOutcome};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::{Deps, accept, hash, invalid};

/// The body of the request: the challenge and the code, or the link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct PasswordResetConfirmation {
    /// The challenge in the answer to `POST /v1/password-resets`.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^cfc_[A-Za-z0-9_-]{49}$")]
    pub challenge: Option<Zeroizing<String>>,
    /// The code in the mail, in either case, with or without its dash. It can be tried five
    /// times, for ten minutes.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 64, example = "K7QM-2R9X")]
    pub code: Option<Zeroizing<String>>,
    /// What the mail's link has after `#/recover/`, which works anywhere for an hour.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = r"^[A-Za-z0-9_-]{43}\.[A-Za-z0-9_-]{43}$")]
    pub link: Option<Zeroizing<String>>,
    /// The new password.
    #[schema(
        value_type = String, format = Password, min_length = 15, max_length = 1024,
        example = "nine lanterns drift past the harbour"
    )]
    pub password: Zeroizing<String>,
    /// The code of an authenticator app. Needed, or else a recovery code, if the account has an
    /// app that counts.
    #[serde(default)]
    #[schema(value_type = Option<String>, max_length = 64, example = "287082")]
    pub totp: Option<Zeroizing<String>>,
    /// A recovery code, which works once.
    #[serde(default)]
    #[schema(
        value_type = Option<String>, max_length = 64, example = "7K2M-9QXR-4TVB-H0CD-8WNE-31FG"
    )]
    pub recovery_code: Option<Zeroizing<String>>,
    /// Whether the authenticator apps are removed, because the owner has lost them. Needs a
    /// recovery code. Without one, and with the password, see `POST /v1/lost-factors`.
    #[serde(default)]
    pub remove_factors: bool,
}

impl PasswordResetConfirmation {
    /// Returns the factor that it shows. Having the factors removed needs a recovery code.
    fn shown(&self) -> Result<Option<Shown>, Problem> {
        let totp = self.totp.as_ref().map(|text| text.as_str());
        let recovery_code = self.recovery_code.as_ref().map(|text| text.as_str());
        let shown = Shown::parse(totp, recovery_code)?;
        if self.remove_factors && !may_remove_factors(shown.as_ref()) {
            return Err(invalid("remove_factors", "needs `recovery_code`"));
        }
        Ok(shown)
    }
}

/// Sets the password of the account whose address the caller has proven, and ends every
/// session. No sign-out and no change of the password in between stops it. Signs nobody in.
#[utoipa::path(
    post, path = "/v1/password-resets/confirmations", operation_id = "confirmPasswordReset",
    tag = "accounts",
    request_body(content = PasswordResetConfirmation, example = json!({
        "challenge": format!("cfc_{}", "x".repeat(49)),
        "code": "K7QM-2R9X",
        "password": "nine lanterns drift past the harbour",
    })),
    responses(
        (status = 200, description = "The password is set, and every session has ended.",
            body = Empty, example = json!({})),
        RequestProblems, BodyProblems, RecoveryProblems, NewPasswordProblems, TooManyAttempts,
    ),
)]
pub(crate) async fn recover_account(
    deps: &Deps,
    request: &Request,
    now: Timestamp,
) -> Result<Answer, Problem> {
    let body: PasswordResetConfirmation = request.json()?;
    let shown = body.shown()?;
    let challenge = proven(deps, &body, now).await?;
    let mut hashed: Option<StoredHash> = None;
    for _ in 0..WRITE_ATTEMPTS {
        let account = account_of(deps, &challenge).await?;
        request.note_account(account.id);
        // Checked again in each round, because another request may have used the code meanwhile.
        let mut used = None;
        if account.has_settled_factor(deps.checker.sends_mail, now) {
            let shown = shown.as_ref().ok_or(Problem::FactorRequired)?;
            used = Some(use_factor(deps, request, &account, shown, now).await?);
        }
        let new = match hashed {
            Some(ref hashed) => hashed,
            None => hashed.insert(hash(deps, &body.password, &challenge)?),
        };
        let removes_all = body.remove_factors && used.is_some();
        let by = (&challenge, used.as_ref());
        let recovering = recover(deps, &account, by, (new, removes_all), now);
        if recovering.await? == WriteOutcome::Done {
            request.note_outcome("recovered");
            end_failures(deps, &challenge).await;
            return Ok(Answer::json(200, &Empty {}));
        }
    }
    Err(StoreError::Contended.into())
}

/// Sets the password, and removes the factors: all, or those whose time has come.
async fn recover(
    deps: &Deps,
    account: &Account,
    by: (&Challenge, Option<&FactorUse>),
    (new, removes_all): (&StoredHash, bool),
    now: Timestamp,
) -> Result<WriteOutcome, StoreError> {
    let removal = if removes_all {
        Some(account.removal_of_all())
    } else {
        account.due_removal(now)
    };
    let hold = Hold::after_recovery(account.hold, now);
    let sign_out = SignOut::of_recovered(account, now, runtime::random());
    let (removal, limits) = (removal.as_ref(), &deps.limits);
    let recovering = deps
        .store
        .recover(&sign_out, by, (new, &hold), removal, limits);
    recovering.await
}

/// Returns whether the caller may have lost factors removed at once, with a code to the address.
fn may_remove_factors(shown: Option<&Shown>) -> bool {
    let shown = shown.map(Shown::proof);
    shown.is_some_and(|shown| LostFactor::by(&[Proof::AddressCode, shown]) == LostFactor::Now)
}

/// Returns what the factor uses up that the request has shown. The address alone never
/// replaces it.
async fn use_factor(
    deps: &Deps,
    request: &Request,
    account: &Account,
    shown: &Shown,
    now: Timestamp,
) -> Result<FactorUse, Problem> {
    let charging = shown.charge(&deps.store, account, After::AddressCode, now);
    let charged = charging.await?;
    let checking = deps
        .checker
        .check(&deps.store, account, (shown, Accepted::Settled), now);
    let Some(used) = Box::pin(checking).await? else {
        request.note_outcome("wrong-factor");
        return Err(Problem::CodeInvalid);
    };
    Checker::give_back(&deps.store, &charged).await;
    Ok(used)
}

/// Ends the failed sign-ins in a row of the address: otherwise its owner could not sign in
/// with the new password.
async fn end_failures(deps: &Deps, challenge: &Challenge) {
    let counter = CounterKey::sign_ins_to(&challenge.email);
    if let Err(error) = deps.store.give_back(&Charged::nothing(counter)).await {
        tracing::warn!(cause = error.chain(), "failures in a row not ended");
    }
}

/// Returns the challenge that the request answers.
async fn proven(
    deps: &Deps,
    body: &PasswordResetConfirmation,
    now: Timestamp,
) -> Result<Challenge, Problem> {
    let judge = || accept(deps, &body.password, None);
    match (&body.challenge, &body.code, &body.link) {
        (Some(challenge), Some(code), None) => {
            let presented = parse_answer(challenge, code)?;
            judge()?;
            answered_challenge(&deps.store, Purpose::Recovery, &presented, now).await
        }
        (None, None, Some(link)) => {
            let link = Link::parse(link).map_err(|error| invalid("link", error))?;
            judge()?;
            let found = deps.store.challenge(&link.challenge()).await?;
            let answered = found.filter(|it| it.is_answered_by_link(&link, now));
            answered.ok_or(Problem::CodeInvalid)
        }
        (_, _, Some(_)) => Err(invalid("link", "was sent together with a code: send one")),
        (None, _, None) => Err(invalid("challenge", "is missing")),
        (Some(_), None, None) => Err(invalid("code", "is missing")),
    }
}

/// Returns the account that a challenge may recover.
async fn account_of(deps: &Deps, challenge: &Challenge) -> Result<Account, Problem> {
    let id = deps.store.account_by_email(&challenge.email).await?;
    let id = id.ok_or(Problem::CodeInvalid)?;
    let account = deps.store.rows(id, &[]).await?.account;
    let account = account.filter(|account| account.can_be_recovered(challenge.asked_at));
    account.ok_or(Problem::CodeInvalid)
}
