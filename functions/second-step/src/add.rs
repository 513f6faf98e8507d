//! Adding an authenticator app.

use domain::factors::{AccountFactor, Begun, MOST_FACTORS, TotpFactor};
use domain::notice::FactorAct;
use domain::ownership::Act;
use domain::session::Authenticated;
use domain::{FactorId, Rfc3339, Timestamp};
use factors::{Sealer, TotpCode, TotpSecret, news_of, qr_code, queue_news};
use http_api::{
    Answer, BodyProblems, CodeProblems, Empty, FactorNotFound, FactorProblems, Problem, Request,
    RequestProblems, TokenProblems, TooManyAttempts, VerifiedTokenProblems, WRITE_ATTEMPTS,
    authenticate, require_verified,
};
use serde::{Deserialize, Serialize};
use store::{StoreError, WriteOutcome};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::Deps;

/// The body of the request.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct NewFactor {
    /// The owner's name for it.
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
        example = "Lea's phone"
    )]
    pub name: String,
}

impl NewFactor {
    /// Returns the name, safe to show.
    fn name(self) -> Result<String, Problem> {
        let name = device_info::owner_name(self.name)
            .map_err(|refused| Problem::invalid(refused.field, refused.problem.to_string()))?;
        name.ok_or_else(|| Problem::invalid("name", "must not be empty"))
    }
}

/// A factor to be confirmed.
#[derive(Serialize, ToSchema)]
pub struct BegunFactor {
    #[schema(value_type = String, format = Uuid)]
    pub id: String,
    /// The secret for an app that takes it typed, in base 32 (RFC 4648). Shown this once.
    #[schema(value_type = String, example = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")]
    pub secret: Zeroizing<String>,
    /// The address that an authenticator app reads.
    #[schema(value_type = String, pattern = "^otpauth://totp/")]
    pub uri: Zeroizing<String>,
    /// The same as a QR code, an SVG image.
    #[schema(value_type = String)]
    pub qr_code: Zeroizing<String>,
    /// The time until which this session can confirm it.
    #[schema(value_type = String, format = DateTime)]
    pub confirm_until: Rfc3339,
}

/// The body of the confirmation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
pub struct ConfirmFactor {
    /// The code that the app shows.
    #[schema(value_type = String, max_length = 64, example = "287082")]
    pub totp: Zeroizing<String>,
}

impl ConfirmFactor {
    fn code(&self) -> Result<TotpCode, Problem> {
        let code = TotpCode::parse(&self.totp);
        code.ok_or_else(|| Problem::invalid("totp", "must have six digits"))
    }
}

impl BegunFactor {
    /// Shows a secret and its address. Returns `None` if the address fits in no QR code.
    fn new(
        id: FactorId,
        secret: &TotpSecret,
        uri: Zeroizing<String>,
        begun: Begun,
    ) -> Option<Self> {
        Some(Self {
            id: id.to_string(),
            secret: secret.to_text(),
            qr_code: qr_code(&uri)?,
            uri,
            confirm_until: begun.confirm_until().into(),
        })
    }

    fn example() -> Self {
        let text = |text: &str| Zeroizing::new(text.to_owned());
        let until: Timestamp = "2026-11-20T09:40:00Z".parse().expect("it is a time");
        Self {
            id: "0192f0c2-0b1d-7a40-8f6e-2d1c9b7a5e33".to_owned(),
            secret: text("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"),
            uri: text(
                "otpauth://totp/Films:lea%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Films",
            ),
            qr_code: text("<svg …>"),
            confirm_until: until.into(),
        }
    }
}

/// Begins to add an authenticator app. It is asked for only once it is confirmed.
#[utoipa::path(
    post, path = "/v1/factors", operation_id = "beginFactor", tag = "factors",
    request_body(content = NewFactor, example = json!({ "name": "Lea's phone" })),
    security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 201, description = "The secret, to be confirmed with a code.",
            body = BegunFactor, example = json!(BegunFactor::example())),
        RequestProblems, VerifiedTokenProblems, BodyProblems, FactorProblems,
    ),
)]
pub(crate) async fn begin_factor(
    deps: &Deps,
    request: &Request,
    now: Timestamp,
) -> Result<Answer, Problem> {
    let caller = authenticate(&deps.store, request, &deps.limits, now).await?;
    let body: NewFactor = request.json()?;
    let name = body.name()?;
    require_verified(deps.policy, &caller, &deps.limits, now)?;
    require_no_hold(deps, &caller, Act::AddFactor, now)?;
    let sealer = deps.checker.sealer.as_ref();
    let sealer = sealer.ok_or(Problem::FactorsUnavailable)?;
    require_room(deps, &caller, now)?;
    let account = &caller.account;
    let (id, secret) = (
        FactorId::new(now, runtime::random()),
        TotpSecret::new(runtime::random()),
    );
    let begun = Begun {
        session: caller.device.session,
        epoch: account.epoch,
        at: now,
    };
    let row = TotpFactor {
        account: account.id,
        id,
        name,
        sealed: seal(sealer, &caller, id, &secret).await?,
        last_step: None,
        begun: Some(begun),
    };
    deps.store.begin_factor(&row).await?;
    request.note_outcome("factor-begun");
    let uri = secret.to_uri(&deps.product, &account.email);
    let shown = BegunFactor::new(id, &secret, uri, begun).ok_or(Problem::Unavailable)?;
    Ok(Answer::json(201, &shown))
}

async fn seal(
    sealer: &Sealer,
    caller: &Authenticated,
    id: FactorId,
    secret: &TotpSecret,
) -> Result<Vec<u8>, Problem> {
    let sealing = sealer.seal(caller.account.id, id, secret);
    Box::pin(sealing).await.map_err(|error| {
        tracing::error!(?error, "secret not sealed");
        Problem::Unavailable
    })
}

/// Adds an authenticator app, which the caller's session has begun, with a code that it shows.
/// From now on, a sign-in on a device that is not recognized needs it.
#[utoipa::path(
    post, path = "/v1/factors/{factor_id}/confirmation", operation_id = "confirmFactor",
    tag = "factors",
    params(("factor_id" = String, Path, description = "The `id` of a begun factor.", format = Uuid)),
    request_body(content = ConfirmFactor, example = json!({ "totp": "287082" })),
    security(("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "The account has the factor.", body = Empty,
            example = json!({})),
        RequestProblems, TokenProblems, BodyProblems, CodeProblems, FactorNotFound,
        FactorProblems, TooManyAttempts,
    ),
)]
pub(crate) async fn confirm_factor(
    deps: &Deps,
    request: &Request,
    now: Timestamp,
) -> Result<Answer, Problem> {
    let wanted: Option<FactorId> = request
        .path_parameter("factor_id")
        .and_then(|id| id.parse().ok());
    let mut added = None;
    for _ in 0..WRITE_ATTEMPTS {
        let caller = authenticate(&deps.store, request, &deps.limits, now).await?;
        let body: ConfirmFactor = request.json()?;
        let code = body.code()?;
        let wanted = wanted.ok_or(Problem::FactorNotFound)?;
        if caller.account.factors.iter().any(|it| it.id == wanted) {
            // After a write whose answer was lost.
            return Ok(Answer::json(200, &Empty {}));
        }
        // A warning may have come since the app was begun.
        require_no_hold(deps, &caller, Act::AddFactor, now)?;
        require_room(deps, &caller, now)?;
        let Some(row) = begun_by(deps, &caller, wanted, now).await? else {
            // Another request has confirmed it since the account was read.
            continue;
        };
        let step = match added {
            Some(step) => step,
            None => *added.insert(right_step(deps, request, &caller, (&row, &code), now).await?),
        };
        if add(deps, &caller, (&row, step), now).await? == WriteOutcome::Done {
            request.note_outcome("factor-added");
            return Ok(Answer::json(200, &Empty {}));
        }
    }
    Err(StoreError::Contended.into())
}

/// Returns the factor, if the caller's session has begun it and may still confirm it; `None` if
/// it is confirmed.
async fn begun_by(
    deps: &Deps,
    caller: &Authenticated,
    wanted: FactorId,
    now: Timestamp,
) -> Result<Option<TotpFactor>, Problem> {
    let rows = deps.store.factors(caller.account.id).await?;
    let row = rows.totp.into_iter().find(|row| row.id == wanted);
    let row = row.ok_or(Problem::FactorNotFound)?;
    let Some(begun) = row.begun else {
        return Ok(None);
    };
    let session = caller.device.session;
    if begun.may_be_confirmed(session, caller.account.epoch, now) {
        Ok(Some(row))
    } else {
        Err(Problem::FactorNotFound)
    }
}

/// Queues the news of the factor, and adds it with the time step of the code that was shown.
async fn add(
    deps: &Deps,
    caller: &Authenticated,
    (row, step): (&TotpFactor, u64),
    now: Timestamp,
) -> Result<WriteOutcome, Problem> {
    let factor = AccountFactor {
        id: row.id,
        added_at: now,
        epoch: caller.account.epoch,
        notified_at: None,
    };
    let news = news_of(&caller.device, (FactorAct::Added, row.id), now);
    queue_news(deps.notices.as_ref(), &news).await?;
    let attempt = FactorId::new(now, runtime::random());
    let ended = caller.account.removal_of_ended(deps.policy.sends_mail, now);
    let confirming = deps
        .store
        .confirm_factor(caller, (row, factor), (step, &ended), attempt);
    Ok(confirming.await?)
}

/// Returns the time step of the code. Wrong codes are counted for the session.
async fn right_step(
    deps: &Deps,
    request: &Request,
    caller: &Authenticated,
    (row, code): (&TotpFactor, &TotpCode),
    now: Timestamp,
) -> Result<u64, Problem> {
    let proving = http_api::Proving {
        store: &deps.store,
        limits: &deps.limits,
        request,
        now,
        random: runtime::random(),
    };
    let attempt = proving.count(caller).await?;
    let Some(step) = deps.checker.step_of(row, code, now).await? else {
        request.note_outcome("wrong-code");
        let wrong = proving.refuse(caller, &attempt, Problem::CodeInvalid);
        return Err(wrong.await?);
    };
    proving.give_back(&attempt).await;
    Ok(step)
}

/// Requires that no warning of the old mailbox holds an act.
pub(crate) fn require_no_hold(
    deps: &Deps,
    caller: &Authenticated,
    act: Act,
    now: Timestamp,
) -> Result<(), Problem> {
    match caller.account.held_until(act, deps.policy.sends_mail, now) {
        Some(until) => Err(Problem::ChangeHeld { until }),
        None => Ok(()),
    }
}

fn require_room(deps: &Deps, caller: &Authenticated, now: Timestamp) -> Result<(), Problem> {
    let live = caller.account.live_factors(deps.policy.sends_mail, now);
    if live.count() < MOST_FACTORS {
        Ok(())
    } else {
        Err(Problem::TooManyFactors)
    }
}
