//! `PUT /v1/password`: changes the password, and signs out every device, or every
//! other one.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

use domain::password::{Password, PasswordCheck, PasswordRules};
use domain::session::Authenticated;
use domain::verification::{Proof, VerificationPolicy, is_enough};
use domain::{EmailAddress, Limits, Reason, SignOut, Timestamp};
use http_api::{
    Answer, BodyProblems, CurrentPasswordWrong, Event, NewPasswordProblems, OriginPolicy,
    PasswordReason, Problem, Proving, RateLimited, Reply, Request, RequestProblems, SignOutAnswer,
    VerifiedTokenProblems, WRITE_ATTEMPTS, authenticate, may_end_others, require_verified, serve,
};
use runtime::{Clock, PasswordHasher};
use serde::Deserialize;
use store::{Charged, Store, StoreError, WriteOutcome};
use utoipa::{OpenApi, ToSchema};
use zeroize::Zeroizing;

/// Writes accounts, devices, receipts and counters of attempts.
pub struct Deps {
    pub store: Store,
    pub limits: Limits,
    pub policy: VerificationPolicy,
    pub origin_policy: OriginPolicy,
    pub clock: Clock,
    pub rules: PasswordRules,
    pub hasher: PasswordHasher,
}

/// The body of the request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct ChangePassword {
    /// The current password.
    #[schema(value_type = String, format = Password, max_length = 1024)]
    pub current_password: Zeroizing<String>,
    /// The new password.
    #[schema(value_type = String, format = Password, min_length = 15, max_length = 1024)]
    pub new_password: Zeroizing<String>,
    /// `true` keeps this device signed in. Every other device is signed out in any
    /// case.
    #[serde(default)]
    #[schema(default = false)]
    pub keep_current: bool,
}

impl ChangePassword {
    fn current(&self) -> Result<Password, Problem> {
        Password::parse(&self.current_password)
            .map_err(|error| Problem::invalid("current_password", error.to_string()))
    }
}

/// The function's part of the `OpenAPI` document.
#[derive(Debug, Clone, Copy, OpenApi)]
#[openapi(paths(change))]
pub struct Document;

/// Answers a request.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let now = deps.clock.now();
    serve(&deps.origin_policy, event, now, |request, now| async move {
        change(deps, &request, now).await
    })
    .await
}

/// Changes the password, and signs out every device, or every other one.
#[utoipa::path(
    put, path = "/v1/password", operation_id = "changePassword", tag = "accounts",
    request_body(content = ChangePassword, example = json!({
        "current_password": "quiet otter borrows nine lanterns",
        "new_password": "nine lanterns drift past the harbour",
        "keep_current": true,
    })),
    security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "The password is changed, and the sessions have ended.",
            body = SignOutAnswer, example = json!(SignOutAnswer::example("others"))),
        RequestProblems, VerifiedTokenProblems, BodyProblems, CurrentPasswordWrong, NewPasswordProblems,
        RateLimited,
    ),
)]
async fn change(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Problem> {
    let mut counted = None;
    let proving = Proving {
        store: &deps.store,
        limits: &deps.limits,
        request,
        now,
        random: runtime::random(),
    };
    for _ in 0..WRITE_ATTEMPTS {
        let caller = authenticate(&deps.store, request, &deps.limits, now).await?;
        let body: ChangePassword = request.json()?;
        if body.keep_current {
            require_proof(deps, &caller, now)?;
            may_end_others(&caller, now)?;
        }
        let current = body.current()?;
        let attempt = match counted.take() {
            Some(attempt) => attempt,
            None => proving.count(&caller).await?,
        };
        // Without the current password a caller learns nothing about a new one, and causes
        // one hash alone.
        require_current(deps, &proving, (&caller, &attempt), &current).await?;
        let new = accept(deps, &body, &caller.account.email)?;
        let new_hash = deps.hasher.hash(&new);
        counted = Some(attempt);
        let reason = Reason::PasswordChanged;
        let sign_out = SignOut::of_all(&caller, body.keep_current, reason, now, runtime::random());
        let written = deps
            .store
            .change_password(&caller, &new_hash, &sign_out, &deps.limits)
            .await?;
        if written == WriteOutcome::Done {
            return Ok(Answer::sign_out(&sign_out, request));
        }
    }
    Err(StoreError::Contended.into())
}

/// Requires what ending others takes. The current password, which every change has, is a proof
/// of its own for most sessions.
fn require_proof(deps: &Deps, caller: &Authenticated, now: Timestamp) -> Result<(), Problem> {
    let required = require_verified(deps.policy, caller, &deps.limits, now);
    match required {
        Err(Problem::VerificationRequired { methods, .. })
            if is_enough(methods, &[Proof::Password]) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Requires the current password. A right one gives the attempt back.
async fn require_current(
    deps: &Deps,
    proving: &Proving<'_>,
    (caller, attempt): (&Authenticated, &Charged),
    current: &Password,
) -> Result<(), Problem> {
    let stored = Some(&caller.account.password_hash);
    match deps.hasher.verify(current, stored).await? {
        PasswordCheck::Match { .. } => {
            proving.give_back(attempt).await;
            Ok(())
        }
        PasswordCheck::Mismatch => {
            proving.request.note_outcome("wrong-password");
            let wrong = Problem::CurrentPasswordWrong;
            Err(proving.refuse(caller, attempt, wrong).await?)
        }
    }
}

/// Returns the new password, if it differs from the current one and keeps the rules.
fn accept(deps: &Deps, body: &ChangePassword, email: &str) -> Result<Password, Problem> {
    if body.new_password == body.current_password {
        return Err(Problem::PasswordRejected(vec![PasswordReason {
            code: "unchanged",
            detail: "The new password must differ from the current one.".to_owned(),
        }]));
    }
    deps.rules
        .accept(&body.new_password, EmailAddress::parse(email).ok().as_ref())
        .map_err(Problem::password_rejected)
}
