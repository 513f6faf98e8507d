//! `POST /v1/verification-codes` and `POST /v1/verifications`: the holder of a session proves
//! again that they are the owner, and gets another token. `POST /v1/backend/verifications`: the
//! team's own login reports a proof.

#![allow(
    missing_docs,
    reason = "a field whose name and type say it needs no comment"
)]

mod backend;
mod proofs;

use codes::{CodeRequested, Codes};
use domain::challenge::{Challenge, ChallengeRandom};
use domain::factors::FactorUse;
use domain::notice::FactorAct;
use domain::password::PasswordCheck;
use domain::recognition::is_recognized;
use domain::session::Authenticated;
use domain::verification::{NewToken, VERIFIED_FOR, VerificationPolicy, is_enough, methods};
use domain::{ChallengeSecret, Device, FactorId, Limits, Purpose, Rfc3339, Timestamp, Token};
use factors::{Accepted, After, Checker, news_of, queue_news};
use http_api::{
    Answer, BodyProblems, Event, MailUnavailable, OriginPolicy, Problem, Proving, Reply, Request,
    RequestProblems, SESSION_COOKIE, TooManyAttempts, Transport, VerifiedTokenProblems,
    WRITE_ATTEMPTS, WrongProofs, authenticate, cookie, serve,
};
use mail::MailQueue;
use runtime::{Clock, PasswordHasher};
use serde::Serialize;
use store::{Charged, Store, StoreError, UsedUp, WriteOutcome};
use utoipa::{OpenApi, ToSchema};
use zeroize::Zeroizing;

pub use backend::BackendVerification;
pub use proofs::Verification;

use proofs::Proofs;

/// Reads accounts; writes devices, receipts, challenges, factors and counters of attempts;
/// opens secrets of authenticator apps; queues mails.
pub struct Deps {
    pub store: Store,
    pub limits: Limits,
    pub policy: VerificationPolicy,
    pub origin_policy: OriginPolicy,
    pub clock: Clock,
    /// None when the deployment sends no mail.
    pub codes: Option<Codes>,
    pub checker: Checker,
    /// The queue of `notify-owner`; none when the deployment sends no mail.
    pub notices: Option<MailQueue>,
    pub hasher: PasswordHasher,
}

/// The answer: the session's new token.
#[derive(Serialize, ToSchema)]
pub struct Verified {
    /// The new secret of the session, shown this once. Absent if the token came in a cookie,
    /// which the answer replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^cft_[A-Za-z0-9_-]{92}$")]
    pub token: Option<Zeroizing<String>>,
    /// The session's id, which stays.
    #[schema(value_type = String, format = Uuid)]
    pub session: String,
    /// The latest end of the session, which stays.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Rfc3339,
    /// The time until which this verification counts.
    #[schema(value_type = String, format = DateTime)]
    pub verified_until: Rfc3339,
}

impl Verified {
    fn example() -> Self {
        let time = |text: &str| text.parse::<Timestamp>().expect("it is a time").into();
        Self {
            token: Some(Zeroizing::new(format!("cft_{}", "x".repeat(92)))),
            session: "c2a7a1f4-6d0b-4b43-9a55-0e3f9d2b7c11".to_owned(),
            expires_at: time("2027-11-20T09:30:00Z"),
            verified_until: time("2026-11-20T09:35:00Z"),
        }
    }
}

/// The function's part of the `OpenAPI` document.
#[derive(Debug, Clone, Copy, OpenApi)]
#[openapi(paths(request_code, verify, backend::verify_by_backend))]
pub struct Document;

/// The path of the route for backends.
const BACKEND_PATH: &str = "/v1/backend/verifications";

/// Answers a request of one of the routes.
pub async fn handle(deps: &Deps, event: Event) -> Reply {
    let now = deps.clock.now();
    let path = event.raw_path.as_deref().unwrap_or_default();
    if path.ends_with(BACKEND_PATH) {
        // A signature is for the API's own address, so backends don't use the distribution.
        let policy = deps.origin_policy.without_distribution();
        let answering = serve(&policy, event, now, |request, now| async move {
            backend::verify_by_backend(deps, &request, now).await
        });
        return Box::pin(answering).await;
    }
    serve(&deps.origin_policy, event, now, |request, now| async move {
        match request.route() {
            "POST /v1/verification-codes" => request_code(deps, &request, now).await,
            "POST /v1/verifications" => Box::pin(verify(deps, &request, now)).await,
            _ => Err(Problem::NotFound),
        }
    })
    .await
}

/// Asks for a mail with a code that this session can verify with.
#[utoipa::path(
    post, path = "/v1/verification-codes", operation_id = "requestVerificationCode",
    tag = "sessions",
    security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 202, description = "Accepted. A mail to the account's address is on its way.",
            body = CodeRequested, example = json!(CodeRequested::example())),
        RequestProblems, VerifiedTokenProblems, BodyProblems, MailUnavailable, TooManyAttempts,
    ),
)]
async fn request_code(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Problem> {
    let caller = authenticate(&deps.store, request, &deps.limits, now).await?;
    request.no_body()?;
    // Nothing would accept the code.
    if let Some(address) = deps.policy.external {
        return Err(Problem::external_required(address));
    }
    let codes = deps.codes.as_ref().ok_or(Problem::MailUnavailable)?;
    let random = ChallengeRandom {
        secret: runtime::random(),
        code: runtime::random(),
        link: runtime::random(),
    };
    codes
        .send_verification(&deps.store, request, &caller, now, random)
        .await
}

/// Verifies that the holder of this session is the owner, and replaces its token. The token
/// before is accepted until the new one is first seen, for five minutes at most, and only for
/// what needs no verification. The verification counts for five minutes, an external one from
/// its `auth_time`. One by a factor stops the removal of lost ones.
#[utoipa::path(
    post, path = "/v1/verifications", operation_id = "verify", tag = "sessions",
    request_body(content = Verification, example = json!({
        "password": "quiet otter borrows nine lanterns",
    })),
    security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "The session is verified, and has another token.",
            body = Verified, example = json!(Verified::example())),
        RequestProblems, VerifiedTokenProblems, BodyProblems, WrongProofs, TooManyAttempts,
    ),
)]
async fn verify(deps: &Deps, request: &Request, now: Timestamp) -> Result<Answer, Problem> {
    let proving = Proving {
        store: &deps.store,
        limits: &deps.limits,
        request,
        now,
        random: runtime::random(),
    };
    let presented = request.token()?;
    let mut found = None;
    for _ in 0..WRITE_ATTEMPTS {
        let caller = authenticate(&deps.store, request, &deps.limits, now).await?;
        if *found.get_or_insert(caller.device.token_hash) != caller.device.token_hash {
            // Another verification came first. Its answer has the token that the client will
            // store, which must not be replaced now.
            return Err(Problem::TokenSuperseded);
        }
        let proofs = Proofs::read(request)?;
        let answered = prove(deps, &proving, &caller, &proofs).await?;
        queue_used_code(deps, &caller.device, &answered, now).await?;
        let (account, device) = (caller.account.id, caller.device.id);
        let token = Token::new(account, device, runtime::random());
        let challenge = answered.challenge.as_ref();
        let external_at = challenge.and_then(|it| it.external_proof(&caller, now));
        let proof = (&*proofs.shown(), external_at);
        let mut new = NewToken::new(&token, &presented, proof, now);
        // An external proof may be older than the last verification.
        new.verified_at = new
            .verified_at
            .max(caller.device.verified_at.unwrap_or(new.verified_at));
        let written = deps.store.verify(&caller, &new, &answered);
        if Box::pin(written).await? == WriteOutcome::Done {
            request.note_outcome("verified");
            return Ok(answer(request, &caller, (&token, new.verified_at), now));
        }
    }
    Err(StoreError::Contended.into())
}

/// Queues the news of a recovery code that was used.
async fn queue_used_code(
    deps: &Deps,
    device: &Device,
    used: &UsedUp,
    now: Timestamp,
) -> Result<(), Problem> {
    if !matches!(used.factor, Some(FactorUse::RecoveryCode(_))) {
        return Ok(());
    }
    let id = FactorId::new(now, runtime::random());
    let news = news_of(device, (FactorAct::CodeUsed, id), now);
    queue_news(deps.notices.as_ref(), &news).await
}

/// Checks the proofs of the caller. Returns what they use up.
async fn prove(
    deps: &Deps,
    proving: &Proving<'_>,
    caller: &Authenticated,
    proofs: &Proofs,
) -> Result<UsedUp, Problem> {
    let (Authenticated { account, device }, now) = (caller, proving.now);
    let is_recognized = is_recognized(account, device, &deps.limits, now);
    let methods = methods(account, device, is_recognized, deps.policy, now);
    if !is_enough(methods, &proofs.shown()) {
        return Err(Problem::VerificationRequired {
            methods,
            challenge: None,
            external: deps.policy.external,
        });
    }
    if let Some(secret) = &proofs.external {
        return prove_externally(deps, proving, caller, secret).await;
    }
    let attempt = proving.count(caller).await?;
    let (factor, charged) = shown_factor(deps, (caller, is_recognized), proofs, now).await?;
    let stops = |used| account.stops_removal(used, deps.policy.sends_mail, now);
    let used = UsedUp {
        challenge: answered(deps, caller, proofs, now).await?,
        stops_removal: factor.as_ref().is_some_and(stops),
        factor,
    };
    if let Some((outcome, wrong)) = fault(deps, caller, proofs, &used).await? {
        proving.request.note_outcome(outcome);
        return Err(proving.refuse(caller, &attempt, wrong).await?);
    }
    proving.give_back(&attempt).await;
    if let Some(charged) = charged {
        Checker::give_back(&deps.store, &charged).await;
    }
    Ok(used)
}

/// Returns the outcome and the problem of a proof that is wrong, if one is.
async fn fault(
    deps: &Deps,
    caller: &Authenticated,
    proofs: &Proofs,
    used: &UsedUp,
) -> Result<Option<(&'static str, Problem)>, Problem> {
    // The codes first: they cost less than a hash.
    let is_wrong = proofs.code.is_some() && used.challenge.is_none()
        || proofs.factor.is_some() && used.factor.is_none();
    Ok(if is_wrong {
        Some(("wrong-code", Problem::CodeInvalid))
    } else if !is_right_password(deps, caller, proofs).await? {
        Some(("wrong-password", Problem::CurrentPasswordWrong))
    } else {
        None
    })
}

/// Checks the proof of the team's own login, and returns its challenge. A wrong one is not
/// counted: it has 256 bits, and any site can open the page with one.
async fn prove_externally(
    deps: &Deps,
    proving: &Proving<'_>,
    caller: &Authenticated,
    secret: &ChallengeSecret,
) -> Result<UsedUp, Problem> {
    let (id, purpose) = (secret.id(), Purpose::External);
    let found = deps.store.try_challenge(&id, purpose).await?;
    let is_proof = |it: &Challenge| it.external_proof(caller, proving.now).is_some();
    let Some(challenge) = found.filter(is_proof) else {
        proving.request.note_outcome("wrong-code");
        return Err(Problem::CodeInvalid);
    };
    Ok(UsedUp {
        challenge: Some(challenge),
        ..UsedUp::default()
    })
}

/// Returns the factor that the request has shown, if it counts, and the charge of the try. It is
/// counted for the account, too, or for a recognized device in it: a thief with the password gets
/// as many sessions as they like.
async fn shown_factor(
    deps: &Deps,
    (caller, is_recognized): (&Authenticated, bool),
    proofs: &Proofs,
    now: Timestamp,
) -> Result<(Option<FactorUse>, Option<Charged>), Problem> {
    let (store, account) = (&deps.store, &caller.account);
    let Some(shown) = &proofs.factor else {
        return Ok((None, None));
    };
    let after = if is_recognized {
        After::Recognized(caller.device.id)
    } else {
        After::Password
    };
    let charged = shown.charge(store, account, after, now).await?;
    let shown = (shown, Accepted::Settled);
    let checking = deps.checker.check(store, account, shown, now);
    Ok((Box::pin(checking).await?, Some(charged)))
}

/// Counts a try of the challenge, and returns it if the code answers it and this session
/// asked for it.
async fn answered(
    deps: &Deps,
    caller: &Authenticated,
    proofs: &Proofs,
    now: Timestamp,
) -> Result<Option<Challenge>, Problem> {
    let Some((secret, code)) = &proofs.code else {
        return Ok(None);
    };
    let purpose = Purpose::Verification;
    let found = deps.store.try_challenge(&secret.id(), purpose).await?;
    Ok(found.filter(|challenge| {
        challenge.session == Some(caller.device.session)
            && challenge.email.as_normal() == caller.account.email
            && challenge.is_answered_by_code(secret, code, now)
    }))
}

/// Returns whether the password is right, or none was shown.
async fn is_right_password(
    deps: &Deps,
    caller: &Authenticated,
    proofs: &Proofs,
) -> Result<bool, Problem> {
    let Some(password) = &proofs.password else {
        return Ok(true);
    };
    let stored = Some(&caller.account.password_hash);
    let check = deps.hasher.verify(password, stored).await?;
    Ok(matches!(check, PasswordCheck::Match { .. }))
}

fn answer(
    request: &Request,
    caller: &Authenticated,
    (token, verified_at): (&Token, Timestamp),
    now: Timestamp,
) -> Answer {
    let text = token.to_text();
    let until = verified_at
        .checked_add(VERIFIED_FOR)
        .unwrap_or(Timestamp::MAX);
    let ends = caller.device.expires_at;
    let (token, cookies) = match request.transport() {
        Transport::Bearer => (Some(text), None),
        Transport::Cookie => {
            let seconds = ends.duration_since(now).as_secs();
            (None, Some(cookie(SESSION_COOKIE, &text, seconds)))
        }
    };
    let verified = Verified {
        token,
        session: caller.device.session.to_string(),
        expires_at: ends.into(),
        verified_until: until.into(),
    };
    let answer = Answer::json(200, &verified);
    cookies.into_iter().fold(answer, Answer::with_cookie)
}
